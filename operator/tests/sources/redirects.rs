//! Redirects: few, guarded, and never away from https.

use charttrust::sources::{Cause, FetchError, Refused};
use wiremock::{MockServer, ResponseTemplate};

use crate::server::*;

fn to(target: &str) -> ResponseTemplate {
    ResponseTemplate::new(302).insert_header("location", target)
}

/// A repository whose index is so many redirects away.
async fn behind(hops: usize) -> MockServer {
    let server = repository().await;
    for hop in 0..hops {
        let next = if hop + 1 == hops {
            "../index.yaml".to_owned()
        } else {
            format!("../{}/index.yaml", hop + 1)
        };
        serve(&server, &format!("/{hop}/index.yaml"), to(&next)).await;
    }
    for file in [ARCHIVE, PROVENANCE] {
        serve(&server, &format!("/0{file}"), to(&format!("..{file}"))).await;
    }
    server
}

#[tokio::test]
async fn three_redirects_are_followed_and_not_four() {
    assert!(fetch(format!("{}/0", behind(3).await.uri())).await.is_ok());
    let server = behind(4).await;
    let error = fetch(format!("{}/0", server.uri())).await.unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable);
    assert_eq!(
        error.to_string(),
        format!("{}/0/index.yaml redirects more than 3 times", server.uri())
    );
    assert_eq!(paths(&server).await.len(), 4);
}

#[tokio::test]
async fn every_kind_of_redirect_is_followed() {
    for code in [301, 302, 303, 307, 308] {
        let server = repository().await;
        let answer = ResponseTemplate::new(code).insert_header("location", "/index.yaml#fragment");
        serve(&server, "/moved/index.yaml", answer).await;
        serve(&server, "/moved/payments-2.4.1.tgz", to(ARCHIVE)).await;
        assert!(
            fetch(format!("{}/moved", server.uri())).await.is_ok(),
            "{code}"
        );
    }
}

#[tokio::test]
async fn a_loop_ends() {
    let server = MockServer::start().await;
    serve(&server, INDEX, to("/index.yaml")).await;
    assert!(matches!(
        fetch(server.uri()).await,
        Err(FetchError::TooManyRedirects { limit: 3, .. })
    ));
    assert_eq!(paths(&server).await.len(), 4);
}

#[tokio::test]
async fn a_redirect_without_a_usable_target_is_no_answer() {
    for answer in [
        ResponseTemplate::new(302),
        to(""),
        to("https://"),
        to("http://["),
    ] {
        let server = MockServer::start().await;
        serve(&server, INDEX, answer).await;
        assert_eq!(cause(server.uri()).await, Cause::SourceUnavailable);
    }
}

#[tokio::test]
async fn every_hop_passes_the_guard() {
    for (target, expected) in [
        ("http://169.254.169.254/", Refused::PlainHttp),
        ("https://169.254.169.254/", Refused::ForbiddenAddress),
        ("https://2852039166/", Refused::ForbiddenAddress),
        (
            "https://[::ffff:169.254.169.254]/",
            Refused::ForbiddenAddress,
        ),
        ("https://192.168.0.1/", Refused::PrivateAddress),
        ("https://user:canary@example.com/", Refused::UserInfo),
        ("file:///etc/passwd", Refused::Scheme),
        ("ftp://example.com/", Refused::Scheme),
        ("http://example.com/", Refused::PlainHttp),
    ] {
        let server = MockServer::start().await;
        serve(&server, INDEX, to("/second")).await;
        serve(&server, "/second", to(target)).await;
        let error = fetch(server.uri()).await.unwrap_err();
        assert!(
            matches!(error, FetchError::Refused { refused, .. } if refused == expected),
            "{target}: {error}"
        );
        assert!(!error.to_string().contains("canary"));
    }
}

#[tokio::test]
async fn a_server_that_is_not_named_is_not_reached_by_a_redirect() {
    let (server, inner) = (MockServer::start().await, repository().await);
    serve(&server, INDEX, to(&format!("{}{INDEX}", inner.uri()))).await;
    let fetcher = fetcher_with(
        &[&format!("127.0.0.1:{}", server.address().port())],
        limits(),
    );
    let error = fetcher
        .fetch(&source(server.uri()), CHART, VERSION)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        FetchError::Refused {
            refused: Refused::PlainHttp,
            ..
        }
    ));
    assert!(paths(&inner).await.is_empty());
}

#[tokio::test]
async fn hosts_behind_redirects_are_counted_together() {
    let (server, other) = (repository().await, repository().await);
    let target = format!("{}{ARCHIVE}", other.uri()).replace("127.0.0.1", "localhost");
    serve(
        &server,
        "/cdn/index.yaml",
        ResponseTemplate::new(200).set_body_string(index("payments.tgz")),
    )
    .await;
    serve(&server, "/cdn/payments.tgz", to(&target)).await;
    let fetcher = fetcher();
    fetcher
        .fetch(&source(format!("{}/cdn", server.uri())), CHART, VERSION)
        .await
        .unwrap();
    let counts = fetcher.counts();
    let shown: Vec<String> = counts
        .requests
        .iter()
        .map(|((host, class), count)| format!("{host} {} {count}", class.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            "127.0.0.1 2xx 1",
            "127.0.0.1 3xx 1",
            "127.0.0.1 4xx 1",
            "other 2xx 1"
        ]
    );
}
