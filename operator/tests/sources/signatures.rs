//! Sigstore bundles beside the archives of a repository over HTTP.

use charttrust::sources::{Asked, Cause, FetchError, Fetcher, Form, Signatures, Signed};
use charttrust_verify::digest::Sha256Digest;
use wiremock::{MockServer, ResponseTemplate};

use crate::server::*;

const BUNDLE: &str = "/payments-2.4.1.tgz.sigstore.json";

async fn signatures(
    fetcher: &Fetcher<Vec<u8>>,
    main: &MockServer,
) -> Result<Signatures, FetchError> {
    let signed = Signed {
        chart: CHART,
        version: VERSION,
        manifest: None,
    };
    fetcher
        .signatures(&source(main.uri()), signed, Asked::now())
        .await
}

fn body(bytes: &[u8]) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_bytes(bytes)
}

#[tokio::test]
async fn a_bundle_lies_beside_its_archive() {
    let (main, fetcher) = (repository().await, fetcher());
    serve(&main, BUNDLE, body(b"{} a bundle")).await;
    let found = signatures(&fetcher, &main).await.unwrap();
    assert_eq!(found.left_out, []);
    let [one] = found.claimed.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(
        (&*one.bytes, &one.form),
        (&b"{} a bundle"[..], &Form::Bundle)
    );
    assert_eq!(one.digest, Sha256Digest::of(b"{} a bundle"));
    assert_eq!(paths(&main).await, [INDEX, BUNDLE]);
}

#[tokio::test]
async fn whoever_needs_no_signatures_asks_for_none() {
    let (main, fetcher) = (repository().await, fetcher());
    serve(&main, BUNDLE, body(b"{} a bundle")).await;
    fetcher
        .fetch(&source(main.uri()), CHART, VERSION)
        .await
        .unwrap();
    assert_eq!(paths(&main).await, [INDEX, ARCHIVE, PROVENANCE]);
    // Whoever needs them has the index already.
    signatures(&fetcher, &main).await.unwrap();
    assert_eq!(paths(&main).await[3..], [BUNDLE]);
}

#[tokio::test]
async fn whatever_is_answered_for_a_bundle_has_its_meaning() {
    let large = vec![b'x'; (1 << 20) + 1];
    for (answer, expected) in [
        (ResponseTemplate::new(404), Ok(0)),
        (ResponseTemplate::new(410), Ok(0)),
        (body(&large[..1 << 20]), Ok(1)),
        (body(b""), Ok(1)),
        (ResponseTemplate::new(401), Err(Cause::SourceUnavailable)),
        (ResponseTemplate::new(403), Err(Cause::SourceUnavailable)),
        (ResponseTemplate::new(429), Err(Cause::SourceUnavailable)),
        (ResponseTemplate::new(503), Err(Cause::SourceUnavailable)),
        (body(b"<html>"), Err(Cause::SourceUnavailable)),
        (body(b" \n<html>"), Err(Cause::SourceUnavailable)),
        (
            ResponseTemplate::new(200).set_body_raw("not found", "text/html"),
            Err(Cause::SourceUnavailable),
        ),
        (body(&large), Err(Cause::LimitExceeded)),
    ] {
        let main = repository().await;
        serve(&main, BUNDLE, answer).await;
        let said = signatures(&fetcher(), &main).await;
        let said = said.map(|it| it.claimed.len()).map_err(|it| it.cause());
        assert_eq!(said, expected);
    }
    let gone = MockServer::start().await;
    let said = signatures(&fetcher(), &gone).await;
    assert_eq!(said.unwrap_err().cause(), Cause::SourceUnavailable);
}

#[tokio::test]
async fn a_bundle_that_is_known_is_asked_for_conditionally() {
    let (main, fetcher) = (repository().await, fetcher());
    let answer = body(b"{} a bundle").insert_header("etag", "\"1\"");
    serve(&main, BUNDLE, answer).await;
    let first = signatures(&fetcher, &main).await.unwrap();
    assert_eq!(signatures(&fetcher, &main).await, Ok(first));
    let requests = main.received_requests().await.unwrap();
    let of_bundle = requests.iter().filter(|it| it.url.path() == BUNDLE);
    let conditions = of_bundle.map(|it| it.headers.contains_key("if-none-match"));
    assert_eq!(conditions.collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn a_bundle_is_asked_for_through_the_same_guard_as_an_archive() {
    let (main, honeypot) = (repository().await, MockServer::start().await);
    for location in [
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "https://10.0.0.1/".to_owned(),
        format!("http://ada:canary@{}/", honeypot.address()),
    ] {
        replace(
            &main,
            &[
                (
                    INDEX,
                    ResponseTemplate::new(200).set_body_string(index("payments-2.4.1.tgz")),
                ),
                (
                    BUNDLE,
                    ResponseTemplate::new(302).insert_header("location", location.as_str()),
                ),
            ],
        )
        .await;
        let error = signatures(&fetcher(), &main).await.unwrap_err();
        assert!(
            matches!(error, FetchError::Refused { .. }),
            "{location}: {error}"
        );
    }
    assert!(honeypot.received_requests().await.unwrap().is_empty());
}
