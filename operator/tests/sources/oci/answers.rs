//! What a registry answers, and what it means for a chart.

use std::time::Duration;

use charttrust::sources::{Answered, Cause, FetchError, Place, ProvenanceAnswer, Source};
use charttrust_verify::digest::Sha256Digest;
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::registry::*;
use crate::server::{CHART, GZIP, SIGNED, VERSION, fetch, fetcher, fetcher_with, limits, source};

fn present() -> ProvenanceAnswer {
    ProvenanceAnswer::Present(SIGNED.as_bytes().into())
}

#[tokio::test]
async fn a_signed_chart_costs_three_requests_and_then_one() {
    let (registry, fetcher) = (Registry::signed().await, fetcher());
    let first = registry.fetch_with(&fetcher).await.unwrap();
    assert_eq!(first.archive.content, GZIP);
    assert_eq!(first.claimed_digest, Some(Sha256Digest::of(GZIP)));
    assert_eq!(
        (first.answered, first.provenance),
        (Answered::Downloaded, present())
    );
    let once = [
        "GET manifests/2.4.1",
        "GET blobs/sha256:",
        "GET blobs/sha256:",
    ];
    assert_eq!(registry.asked().await, once);
    let again = registry.fetch_with(&fetcher).await.unwrap();
    assert_eq!(
        (again.answered, again.provenance),
        (Answered::Unchanged, present())
    );
    assert_eq!(registry.asked().await[3..], ["HEAD manifests/2.4.1"]);
}

#[tokio::test]
async fn a_tag_that_moves_is_followed_by_digest() {
    let (registry, fetcher) = (Registry::signed().await, fetcher());
    registry.fetch_with(&fetcher).await.unwrap();
    let other = [GZIP, b"other"].concat();
    registry.push(VERSION, &[(ARCHIVE, &other)]);
    let moved = registry.fetch_with(&fetcher).await.unwrap();
    assert_eq!(moved.archive.digest, Sha256Digest::of(&other));
    assert_eq!(
        (moved.answered, moved.provenance),
        (Answered::Downloaded, ProvenanceAnswer::Missing)
    );
    let after = [
        "HEAD manifests/2.4.1",
        "GET manifests/sha256:",
        "GET blobs/sha256:",
    ];
    assert_eq!(registry.asked().await[3..], after);
}

#[tokio::test]
async fn a_chart_without_provenance_layer_is_unsigned_without_a_question() {
    let registry = Registry::empty().await;
    registry.push(VERSION, &[(ARCHIVE, GZIP)]);
    assert_eq!(
        registry.fetch().await.unwrap().provenance,
        ProvenanceAnswer::Missing
    );
    assert_eq!(registry.asked().await.len(), 2);
}

#[tokio::test]
async fn a_version_is_found_under_the_tag_that_publishers_give_it() {
    for (version, tag) in [
        ("2.4.1+build.7", "2.4.1_build.7"),
        ("2.4.1", "v2.4.1"),
        ("v2.4.1", "2.4.1"),
        ("v2.4.1+a", "2.4.1_a"),
    ] {
        let registry = Registry::empty().await;
        registry.push(tag, &[(ARCHIVE, GZIP)]);
        let fetched = fetcher().fetch(&registry.source(), CHART, version).await;
        assert_eq!(fetched.unwrap().archive.content, GZIP, "{version}");
    }
}

#[tokio::test]
async fn a_chart_is_not_found_where_the_registry_lists_all_its_tags_without_it() {
    let registry = Registry::empty().await;
    registry.push("2.4.0", &[(ARCHIVE, GZIP)]);
    let error = registry.fetch().await.unwrap_err();
    assert_eq!(error.cause(), Cause::ChartNotFound);
    let url = registry.server.uri().replace("http", "https");
    let text =
        format!("{url}/v2/charts/payments/tags/list does not list version 2.4.1 of chart payments");
    assert_eq!(error.to_string(), text);
    let asked = [
        "GET manifests/2.4.1",
        "GET manifests/v2.4.1",
        "GET tags/list",
    ];
    assert_eq!(registry.asked().await, asked);
}

#[tokio::test]
async fn what_could_be_hidden_is_never_not_found() {
    let tags = |answer: fn() -> ResponseTemplate| {
        move |request: &wiremock::Request, _: &Content| {
            request.url.path().ends_with("/tags/list").then(answer)
        }
    };
    let of_manifest = |answer: fn() -> ResponseTemplate| {
        move |request: &wiremock::Request, _: &Content| {
            request.url.path().contains("/manifests/").then(answer)
        }
    };
    let denied = || refusal(403, "DENIED");
    let bare = || ResponseTemplate::new(404);
    let html = || ResponseTemplate::new(200).set_body_string("<html>");
    let listed = || ResponseTemplate::new(200).set_body_json(json!({"tags": ["v2.4.1"]}));
    for (what, registry) in [
        ("tags denied", Registry::deviating(tags(denied)).await),
        ("tags without a body", Registry::deviating(tags(bare)).await),
        ("tags in HTML", Registry::deviating(tags(html)).await),
        ("tags that list it", Registry::deviating(tags(listed)).await),
        (
            "tags that fail",
            Registry::deviating(tags(|| ResponseTemplate::new(500))).await,
        ),
        (
            "manifest denied",
            Registry::deviating(of_manifest(denied)).await,
        ),
        (
            "manifest without a body",
            Registry::deviating(of_manifest(bare)).await,
        ),
        (
            "no such name",
            Registry::deviating(of_manifest(|| refusal(404, "NAME_UNKNOWN"))).await,
        ),
        (
            "not found",
            Registry::deviating(of_manifest(|| refusal(404, "NOT_FOUND"))).await,
        ),
        (
            "unauthorized",
            Registry::deviating(of_manifest(|| refusal(401, "UNAUTHORIZED"))).await,
        ),
        (
            "gone",
            Registry::deviating(of_manifest(|| ResponseTemplate::new(410))).await,
        ),
        (
            "fails",
            Registry::deviating(of_manifest(|| ResponseTemplate::new(503))).await,
        ),
    ] {
        registry.push("2.4.0", &[(ARCHIVE, GZIP)]);
        let error = registry.fetch().await.unwrap_err();
        assert_eq!(error.cause(), Cause::SourceUnavailable, "{what}: {error}");
        assert!(!error.to_string().contains("canary"), "{what}: {error}");
    }
}

#[tokio::test]
async fn tags_are_read_to_their_last_page() {
    for (pages, cause) in [
        (1, Cause::ChartNotFound),
        (10, Cause::ChartNotFound),
        (11, Cause::LimitExceeded),
    ] {
        let registry = Registry::deviating(move |request, _| {
            if !request.url.path().ends_with("/tags/list") {
                return None;
            }
            let page = request.url.query_pairs().find(|(name, _)| name == "page");
            let page: u32 = page.map_or(1, |(_, page)| page.parse().unwrap());
            let answer =
                ResponseTemplate::new(200).set_body_json(json!({"tags": [format!("0.0.{page}")]}));
            let next = format!("</v2/{NAME}/tags/list?page={}>; rel=\"next\"", page + 1);
            Some(if page < pages {
                answer.append_header("link", next.as_str())
            } else {
                answer
            })
        });
        let registry = registry.await;
        registry.push("2.4.0", &[(ARCHIVE, GZIP)]);
        assert_eq!(
            registry.fetch().await.unwrap_err().cause(),
            cause,
            "{pages}"
        );
    }
}

#[tokio::test]
async fn an_endless_list_of_tags_ends() {
    let registry = Registry::deviating(|request, _| {
        let is_tags = request.url.path().ends_with("/tags/list");
        let tags: Vec<_> = (0..=10_000).map(|tag| tag.to_string()).collect();
        is_tags.then(|| ResponseTemplate::new(200).set_body_json(json!({"tags": tags})))
    });
    let registry = registry.await;
    registry.push("2.4.0", &[(ARCHIVE, GZIP)]);
    let error = registry.fetch().await.unwrap_err();
    assert_eq!(error.cause(), Cause::LimitExceeded);
    assert!(
        error
            .to_string()
            .ends_with("list of tags is larger than 10000 tags"),
        "{error}"
    );
}

#[tokio::test]
async fn a_registry_is_left_alone_as_long_as_it_asks() {
    let date = "Sun, 22 Nov 2026 10:00:00 GMT";
    for (header, wait) in [
        (Some("30"), Some(Duration::from_secs(30))),
        (
            Some("Sun, 22 Nov 2026 10:00:45 GMT"),
            Some(Duration::from_secs(45)),
        ),
        (Some("880.092\u{b5}s"), Some(Duration::from_nanos(880_092))),
        (Some("1.246809ms"), Some(Duration::from_nanos(1_246_809))),
        (Some("soon"), None),
        (None, None),
    ] {
        let registry = Registry::deviating(move |_, _| {
            let answer = refusal(429, "TOOMANYREQUESTS").append_header("date", date);
            let value = header.map(http_value);
            Some(match value {
                Some(value) => answer.append_header("retry-after", value),
                None => answer,
            })
        });
        let registry = registry.await;
        let error = registry.fetch().await.unwrap_err();
        assert_eq!(
            (error.cause(), error.retry_after()),
            (Cause::SourceUnavailable, wait),
            "{header:?}"
        );
        assert_eq!(registry.asked().await.len(), 1, "{header:?}");
    }
}

fn http_value(text: &str) -> reqwest::header::HeaderValue {
    reqwest::header::HeaderValue::from_bytes(text.as_bytes()).unwrap()
}

#[tokio::test]
async fn a_limit_at_the_head_of_a_known_tag_is_obeyed_too() {
    let (registry, fetcher) = (
        Registry::signed_but(|request, _| {
            let is_head = request.method == "HEAD";
            is_head.then(|| ResponseTemplate::new(429).append_header("retry-after", "30"))
        })
        .await,
        fetcher(),
    );
    registry.fetch_with(&fetcher).await.unwrap();
    let error = registry.fetch_with(&fetcher).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
    assert_eq!(registry.asked().await.len(), 4);
}

#[tokio::test]
async fn a_mirror_stands_in_for_a_silent_registry_and_gets_no_credentials() {
    let (main, mirror) = (
        Registry::deviating(|_, _| Some(ResponseTemplate::new(503))).await,
        Registry::signed().await,
    );
    let source = Source {
        mirrors: vec![format!("oci://{}/charts", mirror.server.address())],
        ..main.source_with(charttrust::sources::Credentials::Bearer(
            "canary".to_owned().into(),
        ))
    };
    let fetched = fetcher().fetch(&source, CHART, VERSION).await.unwrap();
    assert_eq!(
        (fetched.place, fetched.provenance),
        (Place::Mirror, present())
    );
    let requests = mirror.server.received_requests().await.unwrap();
    assert!(!requests.iter().any(crate::server::has_secret));
}

#[tokio::test]
async fn what_a_record_calls_its_chart_cannot_lead_to_another_repository() {
    let registry = Registry::signed().await;
    for chart in [
        "../payments",
        "payments/../payments",
        "",
        "..",
        "a/b",
        "a%2fb",
        "a?b",
    ] {
        let error = fetcher()
            .fetch(&registry.source(), chart, VERSION)
            .await
            .unwrap_err();
        assert!(
            matches!(error, FetchError::NoReference { .. }),
            "{chart}: {error}"
        );
    }
    for version in ["../x", "a b", "x/y", "sha256:0"] {
        let error = fetcher()
            .fetch(&registry.source(), CHART, version)
            .await
            .unwrap_err();
        assert_eq!(
            error.cause(),
            Cause::SourceUnavailable,
            "{version}: {error}"
        );
    }
    assert!(registry.asked().await.is_empty());
}

#[tokio::test]
async fn a_repository_of_its_own_is_asked_whatever_its_name_and_for_no_other_chart() {
    let registry = Registry::named("team/helm-shop", |_, _| None).await;
    registry.push(VERSION, &[(ARCHIVE, GZIP)]);
    let source = Source {
        url: format!(
            "{}#{CHART}",
            registry.url().replace("/charts", "/team/helm-shop")
        ),
        ..registry.source()
    };
    let found = fetcher().fetch(&source, CHART, VERSION).await.unwrap();
    assert_eq!(found.archive.content, GZIP);
    for chart in ["other", "team/helm-shop", ""] {
        let error = fetcher().fetch(&source, chart, VERSION).await.unwrap_err();
        assert!(
            matches!(error, FetchError::NoReference { .. }),
            "{chart}: {error}"
        );
    }
    let requests = registry.server.received_requests().await.unwrap();
    let elsewhere = |url: &str| !url.contains("/v2/team/helm-shop/");
    assert!(!requests.iter().any(|request| elsewhere(request.url.path())));
}

#[tokio::test]
async fn plain_http_is_spoken_to_named_hosts_only() {
    let registry = Registry::signed().await;
    let fetcher = fetcher_with(&[], limits());
    let error = registry.fetch_with(&fetcher).await.unwrap_err();
    assert!(matches!(error, FetchError::Refused { .. }), "{error}");
    assert!(registry.asked().await.is_empty());
}

#[tokio::test]
async fn a_registry_that_nobody_answers_for_is_unavailable() {
    // Bound, and never listened at: nobody else has the port meanwhile.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let error = fetch(format!("oci://{address}/charts")).await.unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable);
    let refused = source("oci://me:canary@127.0.0.1/charts");
    let error = fetcher().fetch(&refused, CHART, VERSION).await.unwrap_err();
    assert!(matches!(error, FetchError::Refused { .. }), "{error}");
    assert!(!error.to_string().contains("canary"));
}
