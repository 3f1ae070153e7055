//! What each answer of a source means.

use charttrust::sources::{Amount, Answered, Cause, FetchError, Part, Place, ProvenanceAnswer};
use charttrust_verify::digest::Sha256Digest;
use wiremock::matchers::{path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::server::*;

#[tokio::test]
async fn archive_and_provenance_come_from_where_the_index_says() {
    let server = repository().await;
    let fetched = fetch(server.uri()).await.unwrap();
    assert_eq!(fetched.archive.content, GZIP);
    assert_eq!(fetched.archive.size, GZIP.len() as u64);
    assert_eq!(
        fetched.provenance,
        ProvenanceAnswer::Present(SIGNED.as_bytes().into())
    );
    assert_eq!(
        (fetched.answered, fetched.place, fetched.claimed_digest),
        (Answered::Downloaded, Place::Main, None)
    );
    assert_eq!(fetched.url, format!("{}{ARCHIVE}", server.uri()));
    assert_eq!(paths(&server).await, [INDEX, ARCHIVE, PROVENANCE]);
}

#[tokio::test]
async fn the_claimed_digest_of_the_index_is_handed_on() {
    let server = repository().await;
    let listed = format!(
        "{}    digest: sha256:{}\n",
        index("payments-2.4.1.tgz"),
        "AB".repeat(32)
    );
    serve(
        &server,
        "/other/index.yaml",
        ResponseTemplate::new(200).set_body_string(listed),
    )
    .await;
    serve(&server, "/other/payments-2.4.1.tgz", archive()).await;
    let fetched = fetch(format!("{}/other", server.uri())).await.unwrap();
    assert_eq!(
        fetched.claimed_digest,
        Some(Sha256Digest::from_bytes([0xab; 32]))
    );
}

#[tokio::test]
async fn requests_say_who_asks_and_want_no_compression() {
    let server = repository().await;
    fetch(server.uri()).await.unwrap();
    for request in server.received_requests().await.unwrap() {
        assert_eq!(
            request.headers.get("user-agent").unwrap(),
            "charttrust/test"
        );
        assert_eq!(request.headers.get("accept-encoding").unwrap(), "identity");
        assert!(
            !request.headers.contains_key("referer") && !request.headers.contains_key("cookie")
        );
    }
}

#[tokio::test]
async fn the_query_of_the_base_url_goes_with_every_request() {
    let server = repository().await;
    fetch(format!("{}?token=canary", server.uri()))
        .await
        .unwrap();
    let requests = server.received_requests().await.unwrap();
    assert!(
        requests
            .iter()
            .all(|request| request.url.query() == Some("token=canary"))
    );
    assert_eq!(requests.len(), 3);
}

#[tokio::test]
async fn a_missing_provenance_file_is_an_answer() {
    for code in [404, 410] {
        let server = unsigned_repository().await;
        serve(&server, PROVENANCE, ResponseTemplate::new(code)).await;
        assert_eq!(provenance(server.uri()).await, ProvenanceAnswer::Missing);
    }
}

#[tokio::test]
async fn any_other_code_for_the_provenance_file_is_no_answer() {
    for code in OTHER_CODES {
        let server = unsigned_repository().await;
        serve(&server, PROVENANCE, ResponseTemplate::new(code)).await;
        let ProvenanceAnswer::Unavailable(error) = provenance(server.uri()).await else {
            panic!("{code} is no answer");
        };
        assert_eq!(error.cause(), Cause::SourceUnavailable, "{code}");
        assert_eq!(
            error.to_string(),
            format!("{}{PROVENANCE} answered {code}", server.uri())
        );
    }
}

#[tokio::test]
async fn html_in_place_of_a_provenance_file_is_no_answer() {
    for (body, kind) in [
        (SIGNED, "text/html"),
        (SIGNED, "Text/Html; charset=utf-8"),
        ("", "text/html"),
        ("<html>", "text/plain"),
        ("<?xml version='1.0'?>", "application/octet-stream"),
        (" \n\t<!DOCTYPE html>", "application/pgp"),
        ("\u{feff}<html>", "application/pgp"),
    ] {
        let server = unsigned_repository().await;
        serve(
            &server,
            PROVENANCE,
            ResponseTemplate::new(200).set_body_raw(body, kind),
        )
        .await;
        let ProvenanceAnswer::Unavailable(error) = provenance(server.uri()).await else {
            panic!("{body:?} as {kind} is no answer");
        };
        assert_eq!(error.cause(), Cause::SourceUnavailable);
    }
}

#[tokio::test]
async fn json_or_the_index_in_place_of_a_provenance_file_is_no_answer() {
    for body in [
        r#"{"errors":[{"status":404,"message":"File not found."}]}"#,
        " [\n]",
        "{}",
        "apiVersion: v1\nentries:\n  web: []\ngenerated: \"2026-11-18T00:00:00Z\"\n",
        "apiVersion: v1\r\nserverInfo: {}\r\nentries:\r\n",
        "entries: {}\napiVersion: v1\n",
    ] {
        let server = unsigned_repository().await;
        serve(
            &server,
            PROVENANCE,
            ResponseTemplate::new(200).set_body_raw(body, "application/octet-stream"),
        )
        .await;
        let ProvenanceAnswer::Unavailable(error) = provenance(server.uri()).await else {
            panic!("{body:?} is no answer");
        };
        assert_eq!(error.cause(), Cause::SourceUnavailable);
        let is_named = ["JSON", "index"]
            .iter()
            .any(|word| error.to_string().contains(word));
        assert!(is_named, "{error}");
    }
}

/// Most indexes and pages are larger than any provenance file, and are named all the same.
#[tokio::test]
async fn a_page_or_an_index_in_place_of_a_provenance_file_is_named_however_large() {
    for (body, word) in [
        ("<!DOCTYPE html>\n", "it is HTML"),
        ("{\"errors\": [", "it is JSON"),
        ("apiVersion: v1\nentries:\n", "it is the repository's index"),
        (
            "-----BEGIN PGP SIGNED MESSAGE-----\n",
            "larger than 65536 bytes",
        ),
    ] {
        let large = format!("{body}{}", "x".repeat(70_000));
        let announced = large.clone();
        let (announced, streamed) = (
            Raw::serve(usual_but(PROVENANCE, move || ok(announced.as_bytes()))).await,
            Raw::serve(usual_but(PROVENANCE, move || {
                Answer::Close(http("200 OK", large.as_bytes()))
            }))
            .await,
        );
        for server in [announced, streamed] {
            let ProvenanceAnswer::Unavailable(error) = provenance(&server.url).await else {
                panic!("{word}");
            };
            assert!(error.to_string().ends_with(word), "{error}");
        }
    }
}

#[tokio::test]
async fn an_empty_provenance_file_is_malformed() {
    for body in ["", "\n", " \r\n\t ", "\u{feff}"] {
        let server = unsigned_repository().await;
        serve(
            &server,
            PROVENANCE,
            ResponseTemplate::new(200).set_body_raw(body, "application/pgp"),
        )
        .await;
        assert!(
            matches!(
                provenance(server.uri()).await,
                ProvenanceAnswer::Malformed(_)
            ),
            "{body:?}"
        );
    }
}

#[tokio::test]
async fn a_provenance_file_of_any_other_content_is_left_to_the_engine() {
    for body in [&b"nonsense"[..], b"\x1f\x8b", b"\0"] {
        let server = unsigned_repository().await;
        serve(
            &server,
            PROVENANCE,
            ResponseTemplate::new(200).set_body_raw(body, "application/octet-stream"),
        )
        .await;
        assert_eq!(
            provenance(server.uri()).await,
            ProvenanceAnswer::Present(body.into())
        );
    }
}

#[tokio::test]
async fn a_provenance_file_may_have_64_kib_and_no_byte_more() {
    let server = unsigned_repository().await;
    serve(
        &server,
        PROVENANCE,
        ResponseTemplate::new(200).set_body_bytes(vec![b'x'; 65_536]),
    )
    .await;
    assert_eq!(
        provenance(server.uri()).await,
        ProvenanceAnswer::Present(vec![b'x'; 65_536].into())
    );
    let server = unsigned_repository().await;
    serve(
        &server,
        PROVENANCE,
        ResponseTemplate::new(200).set_body_bytes(vec![b'x'; 65_537]),
    )
    .await;
    let url = format!("{}{PROVENANCE}", server.uri());
    let refused = FetchError::TooLarge {
        limit: Amount::Bytes(65_536),
        part: Part::Provenance,
        url,
    };
    assert_eq!(refused.cause(), Cause::LimitExceeded);
    assert_eq!(
        provenance(server.uri()).await,
        ProvenanceAnswer::Unavailable(refused)
    );
}

#[tokio::test]
async fn an_archive_may_be_as_large_as_its_limit_and_no_larger() {
    let body = |bytes| {
        ResponseTemplate::new(200).set_body_bytes([GZIP, &vec![0; bytes - GZIP.len()]].concat())
    };
    let server = unsigned_repository().await;
    serve(
        &server,
        "/a/index.yaml",
        ResponseTemplate::new(200).set_body_string(index("fits")),
    )
    .await;
    serve(&server, "/a/fits", body(4096)).await;
    serve(
        &server,
        "/b/index.yaml",
        ResponseTemplate::new(200).set_body_string(index("bursts")),
    )
    .await;
    serve(&server, "/b/bursts", body(4097)).await;
    assert_eq!(
        fetch(format!("{}/a", server.uri()))
            .await
            .unwrap()
            .archive
            .size,
        4096
    );
    let error = fetch(format!("{}/b", server.uri())).await.unwrap_err();
    assert_eq!(error.cause(), Cause::LimitExceeded);
    assert_eq!(
        error.to_string(),
        format!(
            "{}/b/bursts: chart archive is larger than 4096 bytes",
            server.uri()
        )
    );
}

#[tokio::test]
async fn an_index_may_be_as_large_as_its_limit_and_no_larger() {
    let body = |bytes| {
        let index = index("../payments-2.4.1.tgz");
        let padding = "#".repeat(bytes - index.len());
        ResponseTemplate::new(200).set_body_string(index + &padding)
    };
    let server = unsigned_repository().await;
    serve(&server, "/a/index.yaml", body(4096)).await;
    serve(&server, "/b/index.yaml", body(4097)).await;
    assert!(fetch(format!("{}/a", server.uri())).await.is_ok());
    assert_eq!(
        cause(format!("{}/b", server.uri())).await,
        Cause::LimitExceeded
    );
}

#[tokio::test]
async fn an_archive_that_does_not_come_with_200_is_unavailable() {
    for code in OTHER_CODES.into_iter().chain([404, 410]) {
        let server = MockServer::start().await;
        serve(
            &server,
            INDEX,
            ResponseTemplate::new(200).set_body_string(index("payments-2.4.1.tgz")),
        )
        .await;
        serve(&server, ARCHIVE, ResponseTemplate::new(code)).await;
        assert_eq!(
            cause(server.uri()).await,
            Cause::SourceUnavailable,
            "{code}"
        );
    }
}

#[tokio::test]
async fn an_archive_that_is_no_gzip_is_unavailable() {
    for body in [&b""[..], b"\x1f", b"<html>", b"PK\x03\x04", b"{}"] {
        let server = MockServer::start().await;
        serve(
            &server,
            INDEX,
            ResponseTemplate::new(200).set_body_string(index("payments-2.4.1.tgz")),
        )
        .await;
        serve(
            &server,
            ARCHIVE,
            ResponseTemplate::new(200).set_body_bytes(body),
        )
        .await;
        let error = fetch(server.uri()).await.unwrap_err();
        assert_eq!(error.cause(), Cause::SourceUnavailable);
        assert_eq!(
            error.to_string(),
            format!(
                "{}{ARCHIVE} is not a usable chart archive: it is not gzip",
                server.uri()
            )
        );
    }
}

#[tokio::test]
async fn an_index_that_does_not_come_with_200_is_unavailable() {
    for code in OTHER_CODES.into_iter().chain([404, 410]) {
        let server = MockServer::start().await;
        serve(&server, INDEX, ResponseTemplate::new(code)).await;
        assert_eq!(
            cause(server.uri()).await,
            Cause::SourceUnavailable,
            "{code}"
        );
    }
}

#[tokio::test]
async fn an_index_that_is_none_is_unavailable() {
    for body in [
        "",
        "<html></html>",
        "not found",
        "entries: {}",
        "apiVersion: v1",
        "apiVersion: v1\nentries: [",
        "{}",
    ] {
        let server = MockServer::start().await;
        serve(
            &server,
            INDEX,
            ResponseTemplate::new(200).set_body_string(body),
        )
        .await;
        assert_eq!(
            cause(server.uri()).await,
            Cause::SourceUnavailable,
            "{body:?}"
        );
    }
}

#[tokio::test]
async fn a_chart_or_version_that_a_valid_index_does_not_list_is_not_found() {
    let server = repository().await;
    for (chart, version) in [
        ("payment", VERSION),
        (CHART, "2.4"),
        (CHART, "v2.4.1"),
        (CHART, "2.4.1+build"),
    ] {
        let error = fetcher()
            .fetch(&source(server.uri()), chart, version)
            .await
            .unwrap_err();
        assert_eq!(error.cause(), Cause::ChartNotFound);
        let text = format!(
            "{}/index.yaml does not list version {version} of chart {chart}",
            server.uri()
        );
        assert_eq!(error.to_string(), text);
    }
}

#[tokio::test]
async fn a_version_listed_twice_is_unavailable() {
    let server = repository().await;
    let twice = format!(
        "{}  - version: {VERSION}\n    urls: [other.tgz]\n",
        index("payments-2.4.1.tgz")
    );
    serve(
        &server,
        "/twice/index.yaml",
        ResponseTemplate::new(200).set_body_string(twice),
    )
    .await;
    let error = fetch(format!("{}/twice", server.uri())).await.unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable);
    assert!(
        error
            .to_string()
            .ends_with("lists version 2.4.1 of chart payments more than once"),
        "{error}"
    );
}

#[tokio::test]
async fn an_index_that_lists_no_usable_url_is_unavailable() {
    for url in ["", "https://", "http://[", "https://a b/"] {
        let server = MockServer::start().await;
        serve(
            &server,
            INDEX,
            ResponseTemplate::new(200).set_body_string(index(url)),
        )
        .await;
        let error = fetch(server.uri()).await.unwrap_err();
        assert_eq!(error.cause(), Cause::SourceUnavailable, "{url}");
        assert!(
            error.to_string().contains("it lists no usable URL"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_index_that_names_an_archive_in_a_registry_is_not_followed() {
    let server = MockServer::start().await;
    let listed = index("oci://registry.example.com/charts/payments:2.4.1?token=canary");
    serve(
        &server,
        INDEX,
        ResponseTemplate::new(200).set_body_string(listed),
    )
    .await;
    let error = fetch(server.uri()).await.unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable);
    let text = "oci://registry.example.com/charts/payments:2.4.1 is in an OCI registry; name the registry as a source of the rule";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn with_a_query_the_provenance_file_is_looked_for_in_both_places() {
    let server = MockServer::start().await;
    let listed = index("payments-2.4.1.tgz");
    serve(
        &server,
        INDEX,
        ResponseTemplate::new(200).set_body_string(listed),
    )
    .await;
    Mock::given(path(ARCHIVE))
        .and(query_param("t", "x.prov"))
        .respond_with(ResponseTemplate::new(200).set_body_string(SIGNED))
        .mount(&server)
        .await;
    Mock::given(path(ARCHIVE))
        .and(query_param("t", "x"))
        .respond_with(archive())
        .mount(&server)
        .await;
    let answer = provenance(format!("{}?t=x", server.uri())).await;
    assert_eq!(answer, ProvenanceAnswer::Present(SIGNED.as_bytes().into()));
}

#[tokio::test]
async fn a_server_that_ignores_the_query_does_not_pass_the_archive_off_as_provenance() {
    let server = unsigned_repository().await;
    let answer = provenance(format!("{}?t=x", server.uri())).await;
    assert_eq!(answer, ProvenanceAnswer::Missing);
    assert_eq!(asked(&server, ARCHIVE).await, 2);
}

#[tokio::test]
async fn the_second_place_is_not_asked_when_the_first_has_the_file() {
    let server = repository().await;
    provenance(format!("{}?t=x", server.uri())).await;
    assert_eq!(asked(&server, ARCHIVE).await, 1);
}

#[tokio::test]
async fn a_failing_second_place_does_not_hide_that_the_first_has_none() {
    let server = MockServer::start().await;
    serve(
        &server,
        INDEX,
        ResponseTemplate::new(200).set_body_string(index("payments-2.4.1.tgz")),
    )
    .await;
    Mock::given(path(ARCHIVE))
        .and(query_param("t", "x"))
        .respond_with(archive())
        .mount(&server)
        .await;
    Mock::given(path(ARCHIVE))
        .respond_with(ResponseTemplate::new(503))
        .mount(&server)
        .await;
    let answer = provenance(format!("{}?t=x", server.uri())).await;
    assert_eq!(answer, ProvenanceAnswer::Missing);
}

#[tokio::test]
async fn retry_after_is_kept_and_capped() {
    for (header, seconds) in [("30", 30), ("86400", 3600)] {
        let server = MockServer::start().await;
        serve(
            &server,
            INDEX,
            ResponseTemplate::new(429).insert_header("retry-after", header),
        )
        .await;
        let error = fetch(server.uri()).await.unwrap_err();
        assert_eq!(
            error.retry_after().map(|wait| wait.as_secs()),
            Some(seconds)
        );
        assert_eq!(
            error.to_string(),
            format!("{}/index.yaml answered 429", server.uri())
        );
    }
}

#[tokio::test]
async fn messages_hold_no_query_and_no_control_characters() {
    let server = repository().await;
    let url = format!("{}/%1b[31m\u{202e}?token=canary#canary", server.uri());
    let error = fetcher()
        .fetch(&source(url), "a\u{1b}[31m", "1\n2")
        .await
        .unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(
        !text.contains("canary") && !text.contains(['\u{1b}', '\u{202e}', '\n']),
        "{text}"
    );
    let server = MockServer::start().await;
    serve(
        &server,
        INDEX,
        ResponseTemplate::new(200).set_body_string("apiVersion: v1\nentries: {}"),
    )
    .await;
    let error = fetcher()
        .fetch(&source(server.uri()), "a\u{1b}[31m", &"x".repeat(9999))
        .await
        .unwrap_err();
    assert!(
        error.to_string().len() < 1024 && error.to_string().contains("a\\u{1b}[31m"),
        "{error}"
    );
}

const OTHER_CODES: [u16; 17] = [
    201, 202, 204, 206, 300, 304, 305, 400, 401, 402, 403, 407, 429, 500, 502, 503, 504,
];
