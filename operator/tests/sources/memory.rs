//! What is remembered between fetches, and when a source is asked again.

use std::sync::Arc;
use std::time::Duration;

use charttrust::sources::{Answered, Cause, Fetcher, Limits, ProvenanceAnswer, Reader, Settings};
use charttrust_verify::digest::Digested;
use wiremock::matchers::{header, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::server::*;

/// Answers like a server that keeps entity tags.
fn tagged(tag: &'static str, body: impl Into<Vec<u8>>) -> impl Fn(&Request) -> ResponseTemplate {
    let body = body.into();
    move |request: &Request| match request.headers.get("if-none-match") {
        Some(known) if known == tag => ResponseTemplate::new(304),
        _ => ResponseTemplate::new(200)
            .insert_header("etag", tag)
            .set_body_bytes(body.clone()),
    }
}

async fn tagged_repository() -> MockServer {
    let server = MockServer::start().await;
    serve(&server, INDEX, tagged("\"i\"", index("payments-2.4.1.tgz"))).await;
    serve(&server, ARCHIVE, tagged("W/\"a\"", GZIP)).await;
    serve(&server, PROVENANCE, tagged("\"p\"", SIGNED)).await;
    server
}

fn always_asking() -> Fetcher<Vec<u8>> {
    fetcher_with(
        &["127.0.0.1"],
        Limits {
            index_fresh_for: Duration::ZERO,
            ..limits()
        },
    )
}

async fn answered(fetcher: &Fetcher<Vec<u8>>, server: &MockServer) -> Answered {
    fetcher
        .fetch(&source(server.uri()), CHART, VERSION)
        .await
        .unwrap()
        .answered
}

#[tokio::test]
async fn a_second_fetch_revalidates_everything_and_downloads_nothing() {
    let (server, fetcher) = (tagged_repository().await, always_asking());
    assert_eq!(answered(&fetcher, &server).await, Answered::Downloaded);
    let second = fetcher
        .fetch(&source(server.uri()), CHART, VERSION)
        .await
        .unwrap();
    assert_eq!(second.answered, Answered::Unchanged);
    assert_eq!(second.archive.content, GZIP);
    assert_eq!(
        second.provenance,
        ProvenanceAnswer::Present(SIGNED.as_bytes().into())
    );
    assert_eq!(
        paths(&server).await,
        [INDEX, ARCHIVE, PROVENANCE, INDEX, ARCHIVE, PROVENANCE]
    );
    let counts = fetcher.counts();
    assert_eq!(counts.downloads, 1);
    assert_eq!(
        counts.requests.values().copied().collect::<Vec<_>>(),
        [3, 3]
    );
}

#[tokio::test]
async fn a_date_of_change_revalidates_too() {
    let date = "Sun, 22 Nov 2026 10:00:00 GMT";
    let server = MockServer::start().await;
    let dated = |body: Vec<u8>| {
        ResponseTemplate::new(200)
            .insert_header("last-modified", date)
            .set_body_bytes(body)
    };
    let known = move |request: &Request| {
        request
            .headers
            .get("if-modified-since")
            .is_some_and(|known| known == date)
    };
    Mock::given(known)
        .respond_with(ResponseTemplate::new(304))
        .mount(&server)
        .await;
    serve(&server, INDEX, dated(index("payments-2.4.1.tgz").into())).await;
    serve(&server, ARCHIVE, dated(GZIP.into())).await;
    serve(&server, PROVENANCE, dated(SIGNED.into())).await;
    let fetcher = always_asking();
    assert_eq!(answered(&fetcher, &server).await, Answered::Downloaded);
    assert_eq!(answered(&fetcher, &server).await, Answered::Unchanged);
}

#[tokio::test]
async fn a_server_that_ignores_conditions_is_recognised_by_a_strong_tag() {
    let server = unsigned_repository().await;
    serve(
        &server,
        "/x/index.yaml",
        ResponseTemplate::new(200).set_body_string(index("c.tgz")),
    )
    .await;
    serve(
        &server,
        "/x/c.tgz",
        archive().insert_header("etag", "\"a\""),
    )
    .await;
    let fetcher = fetcher();
    for expected in [Answered::Downloaded, Answered::Unchanged] {
        let fetched = fetcher
            .fetch(&source(format!("{}/x", server.uri())), CHART, VERSION)
            .await
            .unwrap();
        assert_eq!(fetched.answered, expected);
    }
    assert_eq!(fetcher.counts().downloads, 1);
}

#[tokio::test]
async fn a_republished_archive_is_downloaded() {
    let (server, fetcher) = (tagged_repository().await, fetcher());
    assert_eq!(answered(&fetcher, &server).await, Answered::Downloaded);
    server.reset().await;
    let other = [GZIP, b"2"].concat();
    serve(&server, ARCHIVE, tagged("W/\"b\"", other.clone())).await;
    serve(&server, PROVENANCE, tagged("\"q\"", "other")).await;
    let fetched = fetcher
        .fetch(&source(server.uri()), CHART, VERSION)
        .await
        .unwrap();
    assert_eq!(
        (fetched.answered, &fetched.archive.content),
        (Answered::Downloaded, &other)
    );
    assert_eq!(
        fetched.provenance,
        ProvenanceAnswer::Present(b"other".as_slice().into())
    );
}

#[tokio::test]
async fn without_tags_the_digest_of_the_index_vouches_for_the_archive() {
    let digest = "9b8b7e0e2bd4ee0f4c59c8d7f4a5e0d6b4d1a9b6a8b8a2a0f7f7a4a7d0f0c0de";
    for (claimed, downloads) in [(sha256_of_gzip().await, 1), (digest.to_owned(), 2)] {
        let server = MockServer::start().await;
        let listed = format!("{}    digest: {claimed}\n", index("payments-2.4.1.tgz"));
        serve(
            &server,
            INDEX,
            ResponseTemplate::new(200).set_body_string(listed),
        )
        .await;
        serve(&server, ARCHIVE, archive()).await;
        let fetcher = fetcher();
        answered(&fetcher, &server).await;
        answered(&fetcher, &server).await;
        assert_eq!(fetcher.counts().downloads, downloads, "{claimed}");
    }
}

async fn sha256_of_gzip() -> String {
    let server = unsigned_repository().await;
    let digest = fetch(server.uri()).await.unwrap().archive.digest;
    let bytes: Vec<String> = digest
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    bytes.concat()
}

#[tokio::test]
async fn without_tags_and_digest_the_archive_is_downloaded_again() {
    let (server, fetcher) = (repository().await, fetcher());
    answered(&fetcher, &server).await;
    assert_eq!(answered(&fetcher, &server).await, Answered::Downloaded);
}

#[tokio::test]
async fn an_unasked_for_304_is_no_answer() {
    for at in [INDEX, ARCHIVE] {
        let raw = Raw::serve(usual_but(at, || {
            Answer::Close(http("304 Not Modified", b""))
        }))
        .await;
        assert_eq!(cause(&raw.url).await, Cause::SourceUnavailable);
    }
}

#[tokio::test]
async fn many_fetches_at_once_are_one_download() {
    let (server, fetcher) = (repository().await, fetcher());
    let source = source(server.uri());
    let fetches = (0..50).map(|_| fetcher.fetch(&source, CHART, VERSION));
    let fetches: Vec<_> = futures::future::join_all(fetches).await;
    assert!(
        fetches
            .iter()
            .all(|fetched| fetched.as_ref().unwrap().archive.content == GZIP)
    );
    assert_eq!(paths(&server).await, [INDEX, ARCHIVE, PROVENANCE]);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_take_the_others_with_it() {
    let (server, fetcher) = (repository().await, fetcher());
    let source = source(server.uri());
    let mut first = Box::pin(fetcher.fetch(&source, CHART, VERSION));
    assert!(futures::poll!(&mut first).is_pending());
    let second = fetcher.fetch(&source, CHART, VERSION);
    drop(first);
    assert!(second.await.is_ok());
}

#[tokio::test]
async fn charts_of_one_source_share_its_index() {
    let server = MockServer::start().await;
    let listed = "apiVersion: v1\nentries:\n  a:\n  - {version: 1.0.0, urls: [a.tgz]}\n  b:\n  - {version: 1.0.0, urls: [b.tgz]}\n";
    serve(
        &server,
        INDEX,
        ResponseTemplate::new(200).set_body_string(listed),
    )
    .await;
    serve(&server, "/a.tgz", archive()).await;
    serve(&server, "/b.tgz", archive()).await;
    let (fetcher, source) = (fetcher(), source(server.uri()));
    let (a, b) = tokio::join!(
        fetcher.fetch(&source, "a", "1.0.0"),
        fetcher.fetch(&source, "b", "1.0.0")
    );
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(asked(&server, INDEX).await, 1);
    assert_eq!(fetcher.counts().downloads, 2);
}

#[tokio::test]
async fn a_version_missing_from_a_known_index_is_asked_for_once_more() {
    let (server, fetcher) = (repository().await, fetcher());
    answered(&fetcher, &server).await;
    let newer =
        "apiVersion: v1\nentries:\n  payments:\n  - {version: 2.4.2, urls: [payments-2.4.1.tgz]}\n";
    replace(
        &server,
        &[
            (INDEX, ResponseTemplate::new(200).set_body_string(newer)),
            (ARCHIVE, archive()),
        ],
    )
    .await;
    assert!(
        fetcher
            .fetch(&source(server.uri()), CHART, "2.4.2")
            .await
            .is_ok()
    );
    assert_eq!(asked(&server, INDEX).await, 1);
    let error = fetcher
        .fetch(&source(server.uri()), CHART, "2.4.3")
        .await
        .unwrap_err();
    assert_eq!(error.cause(), Cause::ChartNotFound);
    assert_eq!(asked(&server, INDEX).await, 2);
}

#[tokio::test]
async fn chart_not_found_is_never_said_from_memory() {
    let (server, fetcher) = (repository().await, fetcher());
    answered(&fetcher, &server).await;
    replace(&server, &[(INDEX, ResponseTemplate::new(503))]).await;
    let error = fetcher
        .fetch(&source(server.uri()), CHART, "9.9.9")
        .await
        .unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable);
}

#[tokio::test]
async fn a_fresh_index_is_not_asked_twice_for_a_missing_version() {
    let (server, fetcher) = (repository().await, fetcher());
    fetcher
        .fetch(&source(server.uri()), CHART, "9.9.9")
        .await
        .unwrap_err();
    assert_eq!(paths(&server).await, [INDEX]);
}

#[tokio::test]
async fn an_archive_gone_from_a_known_index_is_not_found_once_the_index_says_so() {
    let (server, fetcher) = (repository().await, fetcher());
    answered(&fetcher, &server).await;
    let empty = "apiVersion: v1\nentries: {}";
    replace(
        &server,
        &[(INDEX, ResponseTemplate::new(200).set_body_string(empty))],
    )
    .await;
    let error = fetcher
        .fetch(&source(server.uri()), CHART, VERSION)
        .await
        .unwrap_err();
    assert_eq!(error.cause(), Cause::ChartNotFound);
}

#[tokio::test]
async fn an_archive_gone_that_the_index_still_lists_is_unavailable() {
    let (server, fetcher) = (repository().await, fetcher());
    answered(&fetcher, &server).await;
    replace(
        &server,
        &[(
            INDEX,
            ResponseTemplate::new(200).set_body_string(index("payments-2.4.1.tgz")),
        )],
    )
    .await;
    let error = fetcher
        .fetch(&source(server.uri()), CHART, VERSION)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{}{ARCHIVE} answered 404", server.uri())
    );
    assert_eq!(paths(&server).await, [ARCHIVE, INDEX, ARCHIVE]);
}

#[tokio::test]
async fn a_failure_is_not_remembered() {
    let (server, fetcher) = (MockServer::start().await, fetcher());
    let source = source(server.uri());
    for times in [1, 2] {
        fetcher.fetch(&source, CHART, VERSION).await.unwrap_err();
        assert_eq!(asked(&server, INDEX).await, times);
    }
}

#[tokio::test]
async fn an_outage_does_not_cost_what_was_known() {
    let (server, fetcher) = (tagged_repository().await, always_asking());
    answered(&fetcher, &server).await;
    replace(&server, &[(INDEX, ResponseTemplate::new(503))]).await;
    assert!(
        fetcher
            .fetch(&source(server.uri()), CHART, VERSION)
            .await
            .is_err()
    );
    server.reset().await;
    for (at, tag, body) in [
        (INDEX, "\"i\"", index("payments-2.4.1.tgz")),
        (ARCHIVE, "W/\"a\"", String::new()),
    ] {
        serve(&server, at, tagged(tag, body)).await;
    }
    assert_eq!(answered(&fetcher, &server).await, Answered::Unchanged);
}

#[tokio::test]
async fn a_provenance_file_withdrawn_is_missing_at_once() {
    let (server, fetcher) = (tagged_repository().await, fetcher());
    answered(&fetcher, &server).await;
    server.reset().await;
    serve(&server, ARCHIVE, tagged("W/\"a\"", GZIP)).await;
    let fetched = fetcher
        .fetch(&source(server.uri()), CHART, VERSION)
        .await
        .unwrap();
    assert_eq!(
        (fetched.answered, fetched.provenance),
        (Answered::Unchanged, ProvenanceAnswer::Missing)
    );
}

#[tokio::test]
async fn memory_is_bounded_by_entries() {
    let server = MockServer::start().await;
    let listed = "apiVersion: v1\nentries:\n  a:\n  - {version: 1.0.0, urls: [a.tgz]}\n  b:\n  - {version: 1.0.0, urls: [b.tgz]}\n";
    serve(
        &server,
        INDEX,
        ResponseTemplate::new(200).set_body_string(listed),
    )
    .await;
    serve(&server, "/a.tgz", archive().insert_header("etag", "\"a\"")).await;
    serve(&server, "/b.tgz", archive().insert_header("etag", "\"b\"")).await;
    for (cached_fetches, downloads) in [(1, 3), (2, 2)] {
        let fetcher = fetcher_with(
            &["127.0.0.1"],
            Limits {
                cached_fetches,
                ..limits()
            },
        );
        for chart in ["a", "b", "a"] {
            fetcher
                .fetch(&source(server.uri()), chart, "1.0.0")
                .await
                .unwrap();
        }
        assert_eq!(fetcher.counts().downloads, downloads);
    }
}

#[tokio::test]
async fn an_archive_heavier_than_the_memory_is_read_and_not_kept() {
    let server = tagged_repository().await;
    for (cached_bytes, downloads) in [(8, 2), (1 << 20, 1)] {
        let fetcher = fetcher_with(
            &["127.0.0.1"],
            Limits {
                cached_bytes,
                ..limits()
            },
        );
        for _ in 0..2 {
            answered(&fetcher, &server).await;
        }
        assert_eq!(fetcher.counts().downloads, downloads);
    }
}

#[tokio::test]
async fn a_reader_that_panics_harms_its_own_fetch_only() {
    let server = repository().await;
    let read = |archive: &Digested<'_>| {
        let bytes = archive.bytes();
        assert!(bytes.ends_with(b"good"), "a bad archive");
        bytes.len()
    };
    let allowed_hosts = vec!["127.0.0.1".parse().unwrap()];
    let settings = Settings {
        allowed_hosts,
        auth_hosts: Vec::new(),
        limits: limits(),
        user_agent: "test".to_owned(),
    };
    let fetcher = Fetcher::new(
        settings,
        Reader {
            read: Arc::new(read),
            cost: |_| 8,
        },
    );
    let error = fetcher
        .fetch(&source(server.uri()), CHART, VERSION)
        .await
        .unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable);
    let good = ResponseTemplate::new(200).set_body_bytes([GZIP, b"good"].concat());
    replace(&server, &[(ARCHIVE, good)]).await;
    assert_eq!(
        fetcher
            .fetch(&source(server.uri()), CHART, VERSION)
            .await
            .unwrap()
            .archive
            .content,
        GZIP.len() + 4
    );
}

#[tokio::test]
async fn a_tag_of_one_origin_is_not_shown_to_another() {
    let (server, first, second) = (
        MockServer::start().await,
        repository().await,
        repository().await,
    );
    let cdn = |target: &MockServer| {
        ResponseTemplate::new(302).insert_header("location", format!("{}/c.tgz", target.uri()))
    };
    let listed = || ResponseTemplate::new(200).set_body_string(index("payments-2.4.1.tgz"));
    serve(&first, "/c.tgz", archive().insert_header("etag", "\"1\"")).await;
    Mock::given(path("/c.tgz"))
        .and(header("if-none-match", "\"1\""))
        .respond_with(ResponseTemplate::new(304))
        .mount(&second)
        .await;
    serve(&second, "/c.tgz", archive()).await;
    let fetcher = fetcher();
    for target in [&first, &second] {
        replace(&server, &[(INDEX, listed()), (ARCHIVE, cdn(target))]).await;
        assert_eq!(answered(&fetcher, &server).await, Answered::Downloaded);
    }
}
