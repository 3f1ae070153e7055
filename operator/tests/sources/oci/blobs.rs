//! Blobs that lie elsewhere than in the registry: what goes along, how far it is followed, and what is told.

use charttrust::sources::{Cause, Credentials, FetchError, Refused};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::registry::*;
use crate::server::{CHART, GZIP, VERSION, fetcher, has_secret};

const BASIC: &str = "Basic YWRhOmNhbmFyeQ==";

fn ada() -> Credentials {
    Credentials::Basic {
        username: "ada".to_owned().into(),
        password: "canary".to_owned().into(),
    }
}

fn to(location: &str) -> ResponseTemplate {
    ResponseTemplate::new(307).append_header("location", location)
}

fn is_blob(request: &Request) -> bool {
    request.url.path().contains("/blobs/")
}

/// A registry with the chart whose blobs lie elsewhere.
async fn moved(location: String) -> Registry {
    let registry = Registry::deviating(move |request, _| is_blob(request).then(|| to(&location)));
    let registry = registry.await;
    registry.push(VERSION, &[(ARCHIVE, GZIP)]);
    registry
}

/// As S3 answers for a signature that has ended.
#[tokio::test]
async fn the_query_of_a_signed_address_is_not_told() {
    let storage = MockServer::start().await;
    let denied = ResponseTemplate::new(403).set_body_string("<Error>canary</Error>");
    Mock::given(any())
        .respond_with(denied)
        .mount(&storage)
        .await;
    let location = format!("{}/bucket?X-Amz-Signature=canary", storage.uri());
    let error = moved(location).await.fetch().await.unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable);
    let told = format!("{error} {error:?}");
    assert!(
        !told.contains("canary") && !told.contains("X-Amz"),
        "{told}"
    );
}

#[tokio::test]
async fn credentials_stay_with_the_origin_of_the_registry() {
    let registry = Registry::deviating(|request, content| {
        // Behind the login, as Artifactory serves its own storage.
        let is_stored = request.url.path() == "/storage";
        let is_ada = request
            .headers
            .get("authorization")
            .is_some_and(|given| given == BASIC);
        match (is_blob(request), is_stored, is_ada) {
            (true, _, true) => Some(to("/storage")),
            (_, true, true) => Some(ResponseTemplate::new(200).set_body_bytes(GZIP)),
            (_, true, false) => Some(refusal(401, "UNAUTHORIZED")),
            _ => Some(content.answer(request)),
        }
    });
    let registry = registry.await;
    registry.push(VERSION, &[(ARCHIVE, GZIP)]);
    registry.log_in(BASIC, "Basic realm=x");
    let source = registry.source_with(ada());
    let fetched = fetcher().fetch(&source, CHART, VERSION).await.unwrap();
    assert_eq!(fetched.archive.content, GZIP);
}

#[tokio::test]
async fn every_hop_passes_the_guard_and_gets_nothing_of_ours() {
    let honeypot = MockServer::start().await;
    for (location, refused) in [
        (
            "http://169.254.169.254/latest/meta-data",
            Refused::PlainHttp,
        ),
        ("https://169.254.169.254/", Refused::ForbiddenAddress),
        ("https://[fd00:ec2::254]/", Refused::ForbiddenAddress),
        ("https://2852039166/", Refused::ForbiddenAddress),
        ("https://10.0.0.1/bucket", Refused::PrivateAddress),
        ("http://storage.example/bucket", Refused::PlainHttp),
    ] {
        let registry = moved(location.to_owned()).await;
        registry.log_in(BASIC, "Basic realm=x");
        let source = registry.source_with(ada());
        let error = fetcher().fetch(&source, CHART, VERSION).await.unwrap_err();
        let FetchError::Refused { refused: seen, .. } = error else {
            panic!("{location}: {error}");
        };
        assert_eq!(seen, refused, "{location}");
    }
    let user = format!("http://ada:canary@{}/", honeypot.address());
    let error = moved(user).await.fetch().await.unwrap_err();
    assert!(matches!(error, FetchError::Refused { .. }), "{error}");
    assert!(honeypot.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn three_redirects_of_a_blob_are_followed_and_not_four() {
    for (hops, is_followed) in [(3, true), (4, false)] {
        let storage = MockServer::start().await;
        let answer = move |request: &Request| {
            let hop: u32 = request.url.path().trim_matches('/').parse().unwrap();
            if hop == hops {
                ResponseTemplate::new(200).set_body_bytes(GZIP)
            } else {
                to(&format!("/{}", hop + 1))
            }
        };
        Mock::given(any())
            .respond_with(answer)
            .mount(&storage)
            .await;
        let registry = moved(format!("{}/1", storage.uri())).await;
        registry.log_in(BASIC, "Basic realm=x");
        let source = registry.source_with(ada());
        let fetched = fetcher().fetch(&source, CHART, VERSION).await;
        assert_eq!(fetched.is_ok(), is_followed, "{hops}");
        let requests = storage.received_requests().await.unwrap();
        assert_eq!(requests.len(), 3);
        assert!(!requests.iter().any(has_secret));
    }
}
