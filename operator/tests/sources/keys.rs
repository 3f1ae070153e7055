//! Copies of keys, from servers that have them, and from others.

use std::time::Duration;

use charttrust::sources::{FetchError, Fetcher, Limits, Refused};
use wiremock::{MockServer, ResponseTemplate};

use crate::server::*;

const AT: &str = "/platform.asc";

async fn key(answer: ResponseTemplate) -> Result<Vec<u8>, FetchError> {
    let server = MockServer::start().await;
    serve(&server, AT, answer).await;
    let address = format!("{}{AT}?token=canary", server.uri());
    fetch(&fetcher(), &address).await
}

async fn fetch(fetcher: &Fetcher<Vec<u8>>, address: &str) -> Result<Vec<u8>, FetchError> {
    fetcher.key(address, |bytes| Ok(bytes.to_vec())).await
}

fn found(body: impl Into<Vec<u8>>) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_bytes(body.into())
}

#[tokio::test]
async fn a_key_is_given_as_it_is() {
    for body in [
        &b"-----BEGIN PGP PUBLIC KEY BLOCK-----"[..],
        b"\x99\x01\x0d",
        b"\n x<",
    ] {
        assert_eq!(key(found(body)).await.unwrap(), body);
    }
}

#[tokio::test]
async fn a_reader_that_can_make_nothing_of_it_says_why() {
    let server = MockServer::start().await;
    serve(&server, AT, found("a key")).await;
    let address = format!("{}{AT}?token=canary", server.uri());
    let error = fetcher()
        .key(&address, |_| Err::<(), _>("no key of ours".to_owned()))
        .await;
    let text = format!(
        "{}{AT} is not a usable OpenPGP key: no key of ours",
        server.uri()
    );
    assert_eq!(error.unwrap_err().to_string(), text);
}

#[tokio::test]
async fn what_is_no_key_is_told_without_the_query() {
    for (answer, why) in [
        (found(""), "is not a usable OpenPGP key: it is empty"),
        (found("<html>"), "is not a usable OpenPGP key: it is HTML"),
        (
            ResponseTemplate::new(200).set_body_raw("a key", "text/html; charset=utf-8"),
            "is not a usable OpenPGP key: it is HTML",
        ),
        (ResponseTemplate::new(404), "answered 404"),
        (ResponseTemplate::new(503), "answered 503"),
        (ResponseTemplate::new(304), "answered 304"),
    ] {
        let error = key(answer).await.unwrap_err().to_string();
        assert!(error.ends_with(why), "{error}");
        assert!(error.contains(AT) && !error.contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn a_key_may_have_a_mebibyte_and_not_one_byte_more() {
    assert_eq!(Limits::default().key_bytes, 1 << 20);
    let server = MockServer::start().await;
    let limit = Limits {
        key_bytes: 100,
        ..limits()
    };
    let fetcher = fetcher_with(&["127.0.0.1"], limit);
    serve(&server, "/100", found(vec![b'x'; 100])).await;
    serve(&server, "/101", found(vec![b'x'; 101])).await;
    let ask = async |path: &str| fetch(&fetcher, &format!("{}{path}", server.uri())).await;
    assert_eq!(ask("/100").await.unwrap().len(), 100);
    let error = ask("/101").await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { .. }), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("OpenPGP key is larger than 100 bytes")
    );
}

#[tokio::test]
async fn an_endless_or_silent_answer_ends() {
    let endless = Raw::serve(|_| Answer::Endless(http("200 OK", b""), vec![b'x'; 1 << 16])).await;
    let error = fetch(&fetcher(), &endless.url).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { .. }), "{error}");
    let silent = Raw::serve(|_| Answer::Silence(http("200 OK\r\ncontent-length: 9", b"x"))).await;
    let begun = charttrust::clock::tick();
    let error = fetch(&fetcher(), &silent.url).await.unwrap_err();
    assert!(matches!(error, FetchError::Timeout(_)), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn the_guard_stands_before_every_hop() {
    let nowhere = fetcher_with(&["example.com"], limits());
    for (url, refused) in [
        ("https://127.0.0.1/a", Refused::PrivateAddress),
        ("https://10.0.0.1/a", Refused::PrivateAddress),
        ("https://169.254.169.254/a", Refused::ForbiddenAddress),
        ("http://keys.example.org/a", Refused::PlainHttp),
        ("https://me:canary@example.com/a", Refused::UserInfo),
        ("file:///etc/passwd", Refused::Scheme),
    ] {
        let error = fetch(&nowhere, url).await.unwrap_err();
        let is_refused =
            matches!(&error, FetchError::Refused { refused: found, .. } if *found == refused);
        assert!(is_refused, "{url}: {error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    let away = ResponseTemplate::new(302).insert_header("location", "https://169.254.169.254/");
    let error = key(away).await.unwrap_err();
    assert!(
        matches!(
            error,
            FetchError::Refused {
                refused: Refused::ForbiddenAddress,
                ..
            }
        ),
        "{error}"
    );
    let error = fetch(&fetcher(), "https://openpgpkey.127.0.0.1/x")
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "the address of the key cannot be parsed");
}

#[tokio::test]
async fn redirects_are_followed_three_times() {
    let server = MockServer::start().await;
    for hop in 0..5 {
        let next = format!("/{}", hop + 1);
        let to = ResponseTemplate::new(302).insert_header("location", next.as_str());
        serve(&server, &format!("/{hop}"), to).await;
    }
    serve(&server, "/5", found("a key")).await;
    let ask = async |path: &str| fetch(&fetcher(), &format!("{}{path}", server.uri())).await;
    assert_eq!(ask("/2").await.unwrap(), b"a key");
    let error = ask("/1").await.unwrap_err();
    assert!(
        matches!(error, FetchError::TooManyRedirects { limit: 3, .. }),
        "{error}"
    );
}
