//! How registries ask for a login, and what they are shown.

use std::sync::atomic::{AtomicUsize, Ordering};

use charttrust::sources::{Cause, Credentials, FetchError};
use serde_json::json;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::registry::*;
use crate::server::{CHART, GZIP, VERSION, fetcher, has_secret};

fn basic() -> Credentials {
    Credentials::Basic {
        username: "ada".to_owned().into(),
        password: "canary".to_owned().into(),
    }
}

const BASIC: &str = "Basic YWRhOmNhbmFyeQ==";

fn bearer_of(realm: &str) -> String {
    format!(
        r#"Bearer realm="{realm}",service="registry.example",scope="repository:other/x:pull,push""#
    )
}

/// A registry whose token service is on its own origin.
async fn with_own_tokens(wanted: &'static str) -> Registry {
    let registry = Registry::signed_but(move |request, _| {
        if request.url.path() != "/prefix/v2/token" {
            return None;
        }
        let scope = request.url.query_pairs().find(|(name, _)| name == "scope");
        let token = format!("token-of-{}", scope.unwrap().1);
        let given = request
            .headers
            .get("authorization")
            .map(|given| given.to_str().unwrap());
        Some(if given.unwrap_or_default() == wanted {
            ResponseTemplate::new(200).set_body_json(json!({"access_token": token}))
        } else {
            refusal(401, "DENIED")
        })
    });
    let registry = registry.await;
    let realm = format!("{}/prefix/v2/token", registry.server.uri());
    registry.log_in(TOKEN, &bearer_of(&realm));
    registry
}

#[tokio::test]
async fn a_token_is_asked_for_once_without_credentials_too() {
    let (registry, fetcher) = (with_own_tokens("").await, fetcher());
    registry.fetch_with(&fetcher).await.unwrap();
    let first = [
        "GET manifests/2.4.1",
        "GET /prefix/v2/token",
        "GET manifests/2.4.1",
        "GET blobs/sha256:",
        "GET blobs/sha256:",
    ];
    assert_eq!(registry.asked().await, first);
    registry.fetch_with(&fetcher).await.unwrap();
    assert_eq!(registry.asked().await[5..], ["HEAD manifests/2.4.1"]);
}

#[tokio::test]
async fn a_token_is_asked_for_to_pull_this_repository_and_nothing_else() {
    let registry = with_own_tokens(BASIC).await;
    let source = registry.source_with(basic());
    fetcher().fetch(&source, CHART, VERSION).await.unwrap();
    let requests = registry.server.received_requests().await.unwrap();
    let token = requests
        .iter()
        .find(|request| request.url.path().ends_with("/token"))
        .unwrap();
    let query = "service=registry.example&scope=repository%3Acharts%2Fpayments%3Apull";
    assert_eq!(token.url.query(), Some(query));
    assert_eq!(token.headers.get("authorization").unwrap(), BASIC);
    let others = requests
        .iter()
        .filter(|request| !request.url.path().ends_with("/token"));
    for other in others {
        assert!(
            other
                .headers
                .get("authorization")
                .is_none_or(|given| given == TOKEN)
        );
    }
}

#[tokio::test]
async fn the_next_chart_needs_a_token_and_no_refusal_first() {
    let (registry, fetcher) = (with_own_tokens("").await, fetcher());
    registry.fetch_with(&fetcher).await.unwrap();
    fetcher
        .fetch(&registry.source(), "ledger", VERSION)
        .await
        .unwrap_err();
    let asked = registry.asked().await;
    let next = [
        "GET /prefix/v2/token",
        "GET /v2/charts/ledger/manifests/2.4.1",
    ];
    assert_eq!(asked[5..7], next);
}

#[tokio::test]
async fn a_token_that_ends_meanwhile_is_asked_for_anew() {
    let count = AtomicUsize::new(0);
    let registry = Registry::signed_but(move |request, _| {
        let token = |at: usize| format!("Bearer token-{at}");
        if request.url.path() == "/token" {
            let at = count.fetch_add(1, Ordering::Relaxed) + 1;
            let token = json!({"token": format!("token-{at}"), "expires_in": 300});
            return Some(ResponseTemplate::new(200).set_body_json(token));
        }
        // The registry has forgotten the first token when it is asked for blobs.
        let valid = if request.url.path().contains("/blobs/") {
            token(2)
        } else {
            token(count.load(Ordering::Relaxed))
        };
        let given = request.headers.get("authorization");
        given.is_none_or(|given| *given != valid).then(|| {
            let realm = format!("http://{}/token", request.headers["host"].to_str().unwrap());
            refusal(401, "UNAUTHORIZED")
                .append_header("www-authenticate", bearer_of(&realm).as_str())
        })
    });
    let registry = registry.await;
    registry.fetch().await.unwrap();
    let asked = registry.asked().await;
    assert_eq!(
        asked.iter().filter(|line| *line == "GET /token").count(),
        2,
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_registry_that_asks_for_user_and_password_gets_them_when_it_asks() {
    let registry = Registry::signed().await;
    registry.log_in(
        BASIC,
        r#"Basic realm="https://1.dkr.ecr.example/",service="ecr""#,
    );
    let fetcher = fetcher();
    let source = registry.source_with(basic());
    fetcher.fetch(&source, CHART, VERSION).await.unwrap();
    fetcher.fetch(&source, CHART, VERSION).await.unwrap();
    let requests = registry.server.received_requests().await.unwrap();
    assert!(
        !has_secret(&requests[0]),
        "nothing is sent before the registry asks"
    );
    assert!(requests[1..].iter().all(has_secret));
    assert_eq!(requests.len(), 5);
    let error = registry.fetch().await.unwrap_err();
    assert!(
        matches!(error, FetchError::Denied { code: 401, .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains("credentialsSecretRef"),
        "{error}"
    );
}

#[tokio::test]
async fn a_token_of_the_secret_is_sent_when_a_token_is_asked_for() {
    let registry = Registry::signed().await;
    registry.log_in("Bearer canary", &bearer_of("https://evil.example/token"));
    let token = Credentials::Bearer("canary".to_owned().into());
    fetcher()
        .fetch(&registry.source_with(token), CHART, VERSION)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_identity_token_is_exchanged_by_post_and_shown_to_nobody_else() {
    let registry = Registry::signed_but(|request, _| {
        (request.url.path() == "/token").then(|| {
            let form = String::from_utf8(request.body.clone()).unwrap();
            let is_form = request.headers["content-type"] == "application/x-www-form-urlencoded";
            let expected = "grant_type=refresh_token&service=registry.example&client_id=charttrust\
                            &scope=repository%3Acharts%2Fpayments%3Apull&refresh_token=canary";
            if request.method == "POST" && form == expected && is_form {
                ResponseTemplate::new(200).set_body_json(json!({
                    "access_token": "token-of-repository:charts/payments:pull", "refresh_token": "x",
                }))
            } else {
                refusal(400, "UNSUPPORTED")
            }
        })
    });
    let registry = registry.await;
    registry.log_in(
        TOKEN,
        &bearer_of(&format!("{}/token", registry.server.uri())),
    );
    let token = Credentials::Identity("canary".to_owned().into());
    fetcher()
        .fetch(&registry.source_with(token), CHART, VERSION)
        .await
        .unwrap();
    for request in registry.server.received_requests().await.unwrap() {
        let has_canary =
            format!("{request:?} {}", String::from_utf8_lossy(&request.body)).contains("canary");
        assert_eq!(has_canary, request.url.path() == "/token");
    }
}

#[tokio::test]
async fn of_several_challenges_one_is_answered_that_may_be() {
    let registry = Registry::signed().await;
    let challenge = r#"Negotiate, Bearer realm="https://evil.example/token", Basic realm="a, b""#;
    registry.log_in(BASIC, challenge);
    fetcher()
        .fetch(&registry.source_with(basic()), CHART, VERSION)
        .await
        .unwrap();
}

#[tokio::test]
async fn credentials_that_are_refused_are_told_and_not_tried_again() {
    for registry in [with_own_tokens("Basic of somebody else").await, {
        let registry = with_own_tokens(BASIC).await;
        let realm = format!("{}/prefix/v2/token", registry.server.uri());
        registry.log_in("Bearer of somebody else", &bearer_of(&realm));
        registry
    }] {
        let fetched = fetcher()
            .fetch(&registry.source_with(basic()), CHART, VERSION)
            .await;
        let error = fetched.unwrap_err();
        assert_eq!(error.cause(), Cause::SourceUnavailable);
        assert!(
            error.to_string().contains("the credentials are refused"),
            "{error}"
        );
        assert!(!error.to_string().contains("canary"));
        assert!(registry.asked().await.len() <= 3);
    }
}

#[tokio::test]
async fn a_401_with_nothing_that_could_be_answered_is_told() {
    for challenge in [
        "",
        "Negotiate",
        "Bearer",
        r#"Bearer realm="/token""#,
        "Digest realm=x",
    ] {
        let registry = Registry::signed().await;
        registry.log_in("nobody", challenge);
        let error = registry.fetch().await.unwrap_err();
        assert!(
            matches!(error, FetchError::Denied { code: 401, .. }),
            "{challenge}: {error}"
        );
        assert_eq!(registry.asked().await.len(), 1);
    }
}

#[tokio::test]
async fn a_token_service_that_answers_nonsense_is_unavailable() {
    for answer in [
        ResponseTemplate::new(200).set_body_string("<html>"),
        ResponseTemplate::new(200).set_body_json(json!({"token": ""})),
        ResponseTemplate::new(200).set_body_json(json!({"token": "a\nb"})),
        ResponseTemplate::new(200).set_body_string("x".repeat(256 * 1024 + 1)),
        ResponseTemplate::new(500),
        ResponseTemplate::new(404),
    ] {
        let registry = Registry::signed_but(move |request, _| {
            (request.url.path() == "/token").then(|| answer.clone())
        });
        let registry = registry.await;
        registry.log_in(
            TOKEN,
            &bearer_of(&format!("{}/token", registry.server.uri())),
        );
        let error = registry.fetch().await.unwrap_err();
        assert_ne!(error.cause(), Cause::ChartNotFound, "{error}");
    }
    let limited = ResponseTemplate::new(429).append_header("retry-after", "7");
    let registry = Registry::signed_but(move |request, _| {
        (request.url.path() == "/token").then(|| limited.clone())
    });
    let registry = registry.await;
    registry.log_in(
        TOKEN,
        &bearer_of(&format!("{}/token", registry.server.uri())),
    );
    let error = registry.fetch().await.unwrap_err();
    assert_eq!(error.retry_after().unwrap().as_secs(), 7);
}

#[tokio::test]
async fn each_identity_and_each_repository_has_a_token_of_its_own() {
    let service_calls =
        |asked: &[String]| asked.iter().filter(|line| line.ends_with("/token")).count();
    let (registry, fetcher) = (with_own_tokens(BASIC).await, fetcher());
    let ada = registry.source_with(basic());
    fetcher.fetch(&ada, CHART, VERSION).await.unwrap();
    fetcher.fetch(&ada, CHART, "9.9.9").await.unwrap_err();
    assert_eq!(service_calls(&registry.asked().await), 1);
    // Without credentials nothing of what ada was given is used.
    registry.fetch_with(&fetcher).await.unwrap_err();
    assert_eq!(service_calls(&registry.asked().await), 2);
    fetcher.fetch(&ada, "ledger", VERSION).await.unwrap_err();
    assert_eq!(service_calls(&registry.asked().await), 3);
}

#[tokio::test]
async fn many_who_ask_at_once_share_one_token() {
    let (registry, fetcher) = (with_own_tokens("").await, fetcher());
    fetcher
        .fetch(&registry.source(), "other", VERSION)
        .await
        .unwrap_err();
    let before = registry.asked().await.len();
    let versions = ["2.4.1", "2.4.2", "2.4.3", "2.4.4"];
    let source = registry.source();
    let all = versions.map(|version| fetcher.fetch(&source, CHART, version));
    futures::future::join_all(all).await;
    let asked = registry.asked().await;
    let tokens = asked[before..]
        .iter()
        .filter(|line| line.ends_with("/token"))
        .count();
    assert_eq!(tokens, 1, "{asked:?}");
}

#[tokio::test]
async fn a_blob_elsewhere_is_fetched_without_anything_of_ours() {
    for code in [302, 307] {
        let storage = MockServer::start().await;
        let bytes = ResponseTemplate::new(200).set_body_bytes(GZIP);
        Mock::given(any()).respond_with(bytes).mount(&storage).await;
        let location = format!("{}/bucket?X-Amz-Signature=canary2", storage.uri());
        let registry = Registry::deviating(move |request, _| {
            let is_blob = request.url.path().contains("/blobs/");
            is_blob
                .then(|| ResponseTemplate::new(code).append_header("location", location.as_str()))
        });
        let registry = registry.await;
        registry.push(VERSION, &[(ARCHIVE, GZIP)]);
        registry.log_in(BASIC, "Basic realm=x");
        fetcher()
            .fetch(&registry.source_with(basic()), CHART, VERSION)
            .await
            .unwrap();
        let requests = storage.received_requests().await.unwrap();
        assert_eq!(requests.len(), 1);
        assert!(requests[0].headers.get("authorization").is_none());
    }
}

#[tokio::test]
async fn a_401_of_where_blobs_lie_is_none_of_the_registry() {
    let storage = MockServer::start().await;
    let refusal = ResponseTemplate::new(401).append_header("www-authenticate", "Basic realm=x");
    Mock::given(any())
        .respond_with(refusal)
        .mount(&storage)
        .await;
    let location = storage.uri();
    let registry = Registry::signed_but(move |request, _| {
        let is_blob = request.url.path().contains("/blobs/");
        is_blob.then(|| ResponseTemplate::new(307).append_header("location", location.as_str()))
    });
    let registry = registry.await;
    let error = fetcher()
        .fetch(&registry.source_with(basic()), CHART, VERSION)
        .await;
    assert!(matches!(error, Err(FetchError::Status { code: 401, .. })));
    let requests = storage.received_requests().await.unwrap();
    assert!(requests.iter().all(|request| !has_secret(request)));
}
