//! Credentials reach the origin of the configured URL and nobody else.

use charttrust::sources::{Cause, Credentials, Source};
use wiremock::{MockServer, ResponseTemplate};

use crate::server::*;

fn with(credentials: Credentials, url: impl Into<String>) -> Source {
    Source {
        credentials: Some(credentials),
        ..source(url)
    }
}

fn basic() -> Credentials {
    Credentials::Basic {
        username: "ada".to_owned().into(),
        password: "canary".to_owned().into(),
    }
}

fn bearer() -> Credentials {
    Credentials::Bearer("canary".to_owned().into())
}

/// A server that has everything, on another port, hence another origin.
async fn honeypot() -> MockServer {
    repository().await
}

async fn saw_no_secret(server: &MockServer) {
    let requests = server.received_requests().await.unwrap();
    assert!(!requests.is_empty(), "the honeypot was not asked at all");
    assert!(!requests.iter().any(has_secret), "{requests:?}");
}

#[tokio::test]
async fn credentials_go_with_every_request_to_the_source() {
    for (credentials, header) in [
        (basic(), "Basic YWRhOmNhbmFyeQ=="),
        (bearer(), "Bearer canary"),
    ] {
        let server = repository().await;
        fetcher()
            .fetch(&with(credentials, server.uri()), CHART, VERSION)
            .await
            .unwrap();
        let requests = server.received_requests().await.unwrap();
        assert_eq!(requests.len(), 3);
        assert!(
            requests
                .iter()
                .all(|request| request.headers.get("authorization").unwrap() == header)
        );
    }
}

#[tokio::test]
async fn an_archive_of_another_origin_is_fetched_without_credentials() {
    let (server, honeypot) = (MockServer::start().await, honeypot().await);
    let listed = index(&format!("{}{ARCHIVE}", honeypot.uri()));
    serve(
        &server,
        INDEX,
        ResponseTemplate::new(200).set_body_string(listed),
    )
    .await;
    fetcher()
        .fetch(&with(basic(), server.uri()), CHART, VERSION)
        .await
        .unwrap();
    saw_no_secret(&honeypot).await;
    assert_eq!(paths(&honeypot).await, [ARCHIVE, PROVENANCE]);
}

#[tokio::test]
async fn the_same_port_of_another_name_is_another_origin() {
    let server = repository().await;
    let url = server.uri().replace("127.0.0.1", "localhost");
    let listed = index(&format!("{}{ARCHIVE}", server.uri()));
    serve(
        &server,
        "/other/index.yaml",
        ResponseTemplate::new(200).set_body_string(listed),
    )
    .await;
    fetcher()
        .fetch(&with(bearer(), format!("{url}/other")), CHART, VERSION)
        .await
        .unwrap();
    let requests = server.received_requests().await.unwrap();
    let secrets: Vec<bool> = requests.iter().map(has_secret).collect();
    assert_eq!(secrets, [true, false, false]);
}

#[tokio::test]
async fn every_redirect_to_another_origin_loses_the_credentials() {
    for (part, code) in [INDEX, ARCHIVE, PROVENANCE]
        .into_iter()
        .zip([302, 307, 308])
    {
        let (server, honeypot) = (repository().await, honeypot().await);
        let target = format!("{}{part}", honeypot.uri());
        replace_one(
            &server,
            part,
            ResponseTemplate::new(code).insert_header("location", target),
        )
        .await;
        fetcher()
            .fetch(&with(basic(), server.uri()), CHART, VERSION)
            .await
            .unwrap();
        saw_no_secret(&honeypot).await;
    }
}

#[tokio::test]
async fn a_redirect_within_the_origin_keeps_the_credentials() {
    let server = repository().await;
    let location = "/moved/index.yaml";
    replace_one(
        &server,
        INDEX,
        ResponseTemplate::new(301).insert_header("location", location),
    )
    .await;
    serve(
        &server,
        location,
        ResponseTemplate::new(200).set_body_string(index("payments-2.4.1.tgz")),
    )
    .await;
    fetcher()
        .fetch(&with(basic(), server.uri()), CHART, VERSION)
        .await
        .unwrap();
    assert!(
        server
            .received_requests()
            .await
            .unwrap()
            .iter()
            .all(has_secret)
    );
}

#[tokio::test]
async fn credentials_come_back_only_with_the_origin() {
    let (server, honeypot) = (repository().await, honeypot().await);
    let there = format!("{}/back", honeypot.uri());
    let back = format!("{}/real/index.yaml", server.uri());
    replace_one(
        &server,
        INDEX,
        ResponseTemplate::new(302).insert_header("location", there),
    )
    .await;
    serve(
        &honeypot,
        "/back",
        ResponseTemplate::new(302).insert_header("location", back),
    )
    .await;
    serve(
        &server,
        "/real/index.yaml",
        ResponseTemplate::new(200).set_body_string(index("payments-2.4.1.tgz")),
    )
    .await;
    fetcher()
        .fetch(&with(basic(), server.uri()), CHART, VERSION)
        .await
        .unwrap();
    saw_no_secret(&honeypot).await;
}

#[tokio::test]
async fn the_query_of_the_source_does_not_follow_a_redirect() {
    let (server, honeypot) = (repository().await, honeypot().await);
    let target = format!("{}{ARCHIVE}", honeypot.uri());
    replace_one(
        &server,
        ARCHIVE,
        ResponseTemplate::new(302).insert_header("location", target),
    )
    .await;
    fetcher()
        .fetch(
            &source(format!("{}?token=canary", server.uri())),
            CHART,
            VERSION,
        )
        .await
        .unwrap();
    saw_no_secret(&honeypot).await;
}

/// A token of our own `ServiceAccount`, wherever a repository would have it.
#[tokio::test]
async fn a_token_of_ours_stays_with_the_origin_of_its_source() {
    let token = || Credentials::Renewed {
        audience: "charts.test".to_owned(),
        token: "canary".to_owned().into(),
    };
    for part in [INDEX, ARCHIVE, PROVENANCE] {
        let (server, honeypot) = (repository().await, honeypot().await);
        let target = format!("{}{part}", honeypot.uri());
        let moved = ResponseTemplate::new(302).insert_header("location", target);
        replace_one(&server, part, moved).await;
        let source = with(token(), server.uri());
        fetcher().fetch(&source, CHART, VERSION).await.unwrap();
        saw_no_secret(&honeypot).await;
        assert!(
            server
                .received_requests()
                .await
                .unwrap()
                .iter()
                .all(has_secret)
        );
    }
    // Over plain HTTP to another machine it does not go at all.
    let plain = fetcher_with(&["charts.example.com"], limits());
    let elsewhere = with(token(), "http://charts.example.com");
    let refused = plain.fetch(&elsewhere, CHART, VERSION);
    assert_eq!(refused.await.unwrap_err().cause(), Cause::SourceUnavailable);
}

#[tokio::test]
async fn mirrors_get_no_credentials() {
    let (server, honeypot) = (MockServer::start().await, honeypot().await);
    let mirrors = vec![honeypot.uri()];
    let source = Source {
        mirrors,
        ..with(basic(), server.uri())
    };
    fetcher().fetch(&source, CHART, VERSION).await.unwrap();
    saw_no_secret(&honeypot).await;
}

#[tokio::test]
async fn a_challenge_does_not_draw_out_credentials() {
    let server = MockServer::start().await;
    let challenge = "Bearer realm=\"http://127.0.0.1:1/token\"";
    serve(
        &server,
        INDEX,
        ResponseTemplate::new(401).insert_header("www-authenticate", challenge),
    )
    .await;
    let error = fetcher()
        .fetch(&with(basic(), server.uri()), CHART, VERSION)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{}/index.yaml answered 401", server.uri())
    );
    assert_eq!(paths(&server).await, [INDEX]);
}

#[tokio::test]
async fn credentials_that_fit_no_header_are_refused_before_any_request() {
    let server = repository().await;
    let source = with(
        Credentials::Bearer("canary\n".to_owned().into()),
        server.uri(),
    );
    let error = fetcher().fetch(&source, CHART, VERSION).await.unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable);
    assert_eq!(
        error.to_string(),
        "the credentials of the source cannot be used"
    );
    assert!(paths(&server).await.is_empty());
}

#[tokio::test]
async fn answers_for_one_set_of_credentials_are_not_given_to_another() {
    let server = MockServer::start().await;
    let listed = ResponseTemplate::new(200).set_body_string(index("payments-2.4.1.tgz"));
    serve(&server, INDEX, listed).await;
    // Whoever knows this tag is not sent the archive again.
    serve(&server, ARCHIVE, archive().insert_header("etag", "\"1\"")).await;
    let fetcher = fetcher();
    for source in [
        with(basic(), server.uri()),
        with(bearer(), server.uri()),
        source(server.uri()),
        source(server.uri()),
    ] {
        fetcher.fetch(&source, CHART, VERSION).await.unwrap();
    }
    assert_eq!(fetcher.counts().downloads, 3);
}

#[tokio::test]
async fn nothing_that_can_be_printed_shows_credentials() {
    let server = MockServer::start().await;
    for credentials in [basic(), bearer()] {
        let source = with(credentials, server.uri());
        let error = fetcher().fetch(&source, CHART, VERSION).await.unwrap_err();
        let text = format!("{source:?} {error} {error:?}");
        assert!(
            !text.contains("canary") && !text.contains("Y2FuYXJ5"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_url_with_a_password_is_refused_without_showing_it() {
    for url in [
        "https://ada:canary@charts.example.com/",
        "https://ada:canary@charts.example.com:99999/",
    ] {
        let error = fetcher()
            .fetch(&source(url), CHART, VERSION)
            .await
            .unwrap_err();
        assert_eq!(error.cause(), Cause::SourceUnavailable);
        assert!(
            !format!("{error} {error:?}").contains("canary"),
            "{error:?}"
        );
    }
}

/// Another answer for one path of a repository.
async fn replace_one(server: &MockServer, at: &str, answer: ResponseTemplate) {
    let usual = [
        (
            INDEX,
            ResponseTemplate::new(200).set_body_string(index("payments-2.4.1.tgz")),
        ),
        (ARCHIVE, archive()),
        (
            PROVENANCE,
            ResponseTemplate::new(200).set_body_string(SIGNED),
        ),
    ];
    replace(
        server,
        &usual.map(|(path, usual)| (path, if path == at { answer.clone() } else { usual })),
    )
    .await;
}
