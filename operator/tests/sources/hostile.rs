//! Repositories that answer as they should not, told to the word that a user reads: with a chart that Helm has
//! signed, and whose repository wants it to be something else.

use std::time::Duration;

use charttrust::sources::{Cause, FetchError};

use crate::court::{NAME, OTHER_CHART, SIGNED_CHART, STATEMENT, VERSION, word};
use crate::server::*;

const CHART_FILE: &str = "/x.tgz";
const PROV_FILE: &str = "/x.tgz.prov";

fn listing(entries: &str) -> Vec<u8> {
    format!("apiVersion: v1\nentries:\n  {NAME}:\n{entries}").into_bytes()
}

fn listed() -> Vec<u8> {
    listing(&format!("  - {{version: {VERSION}, urls: [x.tgz]}}\n"))
}

/// The repository of the signed chart, but for one path.
async fn word_but(at: &'static str, other: fn() -> Answer) -> &'static str {
    let answer = move |head: &str| match head.split(' ').nth(1) {
        Some(path) if path == at => other(),
        Some(INDEX) => ok(&listed()),
        Some(CHART_FILE) => ok(SIGNED_CHART),
        Some(PROV_FILE | "/other.tgz.prov") => ok(STATEMENT),
        Some("/other.tgz") => ok(OTHER_CHART),
        _ => Answer::Close(http("404 Not Found\r\ncontent-length: 0", b"")),
    };
    word(&Raw::serve(answer).await.url).await
}

fn with(head: &str, body: &[u8]) -> Answer {
    Answer::Close(http(
        &format!("{head}\r\ncontent-length: {}", body.len()),
        body,
    ))
}

fn joined(parts: &[&[u8]]) -> Answer {
    ok(&parts.concat())
}

/// What is answered where, and the word for it.
type Row = (&'static str, &'static str, fn() -> Answer, &'static str);

const ANSWERS: &[Row] = &[
    ("as it should", "/none", || ok(b""), "SignatureVerified"),
    // What a code means does not depend on what comes with it.
    (
        "no content",
        PROV_FILE,
        || Answer::Close(http("204 No Content", b"")),
        "SourceUnavailable",
    ),
    (
        "the whole as a part",
        PROV_FILE,
        || {
            with(
                "206 Partial Content\r\ncontent-range: bytes 0-9/10",
                STATEMENT,
            )
        },
        "SourceUnavailable",
    ),
    (
        "not its own word",
        PROV_FILE,
        || with("203 Non-Authoritative", STATEMENT),
        "SourceUnavailable",
    ),
    (
        "a list of choices",
        PROV_FILE,
        || with("300 Multiple Choices\r\nlocation: /x.tgz.prov", STATEMENT),
        "SourceUnavailable",
    ),
    (
        "a redirect with a body",
        PROV_FILE,
        || with("302 Found\r\nlocation: /gone", STATEMENT),
        "Unsigned",
    ),
    (
        "a part of the archive",
        CHART_FILE,
        || with("206 Partial Content", SIGNED_CHART),
        "SourceUnavailable",
    ),
    (
        "gone",
        CHART_FILE,
        || with("410 Gone", SIGNED_CHART),
        "SourceUnavailable",
    ),
    // Words before the answer are none.
    (
        "hints first",
        PROV_FILE,
        || joined_raw(&[b"HTTP/1.1 103 Early Hints\r\nlink: </evil>; rel=preload\r\n\r\n"]),
        "SignatureVerified",
    ),
    (
        "go on, often",
        PROV_FILE,
        || joined_raw(&[&b"HTTP/1.1 100 Continue\r\n\r\n"[..]; 50]),
        "SignatureVerified",
    ),
    (
        "an older protocol",
        PROV_FILE,
        || Answer::Close([b"HTTP/1.0 200 OK\r\n\r\n", STATEMENT].concat()),
        "SignatureVerified",
    ),
    // One statement, and nothing beside it that could be taken for another.
    (
        "two statements",
        PROV_FILE,
        || joined(&[STATEMENT, STATEMENT]),
        "ProvenanceMalformed",
    ),
    (
        "a statement in a statement",
        PROV_FILE,
        || {
            joined(&[
                b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n",
                STATEMENT,
            ])
        },
        "ProvenanceMalformed",
    ),
    (
        "compressed",
        PROV_FILE,
        || with("200 OK\r\ncontent-encoding: gzip", &[0x1f, 0x8b, 8, 0]),
        "ProvenanceMalformed",
    ),
    (
        "a statement called a page",
        PROV_FILE,
        || with("200 OK\r\ncontent-type: text/html", STATEMENT),
        "SourceUnavailable",
    ),
    // Which archive is listed.
    (
        "another archive of the name",
        INDEX,
        || ok(&listing("  - {version: 1.2.3, urls: [other.tgz]}\n")),
        "DigestMismatch",
    ),
    (
        "a second one with a v",
        INDEX,
        || {
            ok(&listing(
                "  - {version: v1.2.3, urls: [other.tgz]}\n  - {version: 1.2.3, urls: [x.tgz]}\n",
            ))
        },
        "SignatureVerified",
    ),
    (
        "one with build metadata",
        INDEX,
        || ok(&listing("  - {version: 1.2.3+1, urls: [x.tgz]}\n")),
        "ChartNotFound",
    ),
    (
        "a number",
        INDEX,
        || ok(&listing("  - {version: 1.2, urls: [x.tgz]}\n")),
        "ChartNotFound",
    ),
    (
        "by merging",
        INDEX,
        || {
            ok(&listing(
                "  - &a {version: 1.2.4, urls: [other.tgz]}\n  - {<<: *a, version: 1.2.3}\n",
            ))
        },
        "DigestMismatch",
    ),
    (
        "as data",
        INDEX,
        || {
            ok(&listing(
                "  - {version: 1.2.3, urls: ['data:application/gzip;base64,H4sI']}\n",
            ))
        },
        "SourceUnavailable",
    ),
    (
        "as a file",
        INDEX,
        || {
            ok(&listing(
                "  - {version: 1.2.3, urls: ['file:///etc/passwd']}\n",
            ))
        },
        "SourceUnavailable",
    ),
    (
        "with a password",
        INDEX,
        || {
            ok(&listing(
                "  - {version: 1.2.3, urls: ['https://a:b@example.com/x.tgz']}\n",
            ))
        },
        "SourceUnavailable",
    ),
    (
        "outside of its folder",
        INDEX,
        || ok(&listing("  - {version: 1.2.3, urls: ['../../../x.tgz']}\n")),
        "SignatureVerified",
    ),
    (
        "the second address only",
        INDEX,
        || ok(&listing("  - {version: 1.2.3, urls: [gone.tgz, x.tgz]}\n")),
        "SourceUnavailable",
    ),
    (
        "nothing of it",
        INDEX,
        || ok(b"apiVersion: v1\nentries: {}\n"),
        "ChartNotFound",
    ),
    (
        "it in another document",
        INDEX,
        || joined(&[b"apiVersion: v1\nentries: {}\n---\n", &listed()]),
        "SourceUnavailable",
    ),
];

/// Something, and then the statement.
fn joined_raw(first: &[&[u8]]) -> Answer {
    let head = format!("200 OK\r\ncontent-length: {}", STATEMENT.len());
    Answer::Close([first.concat(), http(&head, STATEMENT)].concat())
}

#[tokio::test]
async fn whatever_a_repository_answers_has_its_word() {
    let mut wrong = Vec::new();
    for (what, at, answer, expected) in ANSWERS {
        let word = word_but(at, *answer).await;
        if word != *expected {
            wrong.push(format!("{what}: {word} instead of {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The client passes over what comes before an answer; the deadline does not.
#[tokio::test]
async fn who_says_for_ever_that_the_answer_will_come_is_given_up() {
    let begun = charttrust::clock::tick();
    let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
    let endless = || Answer::Endless(go_on.to_vec(), go_on.to_vec());
    let slow = || Answer::Slow(go_on.to_vec(), go_on.to_vec(), Duration::from_millis(20));
    for raw in [
        Raw::serve(usual_but(INDEX, endless)).await,
        Raw::serve(usual_but(INDEX, slow)).await,
    ] {
        assert_eq!(cause(&raw.url).await, Cause::SourceUnavailable);
    }
    assert!(begun.elapsed() < Duration::from_secs(15));
}

/// What a source makes of an address is shown in a status, so it must be short and plain, and hold nothing
/// that looks like a secret.
#[tokio::test]
async fn messages_about_addresses_that_a_source_chooses_are_short_and_plain() {
    for target in [
        "https://user:canary@example.com/",
        "https://example.com/\u{202e}gnp.tgz",
        "http://example.com/?token=canary",
        "http://example.com/#canary",
        "ftp://canary@example.com/",
        "http://169.254.169.254/latest/meta-data/iam/security-credentials/?canary",
    ] {
        for long in ["", &"a".repeat(4000)] {
            let index = format!(
                "apiVersion: v1\nentries:\n  {CHART}:\n  - version: {VERSION_OF_CHART}\n    urls: ['{target}{long}']\n"
            );
            let raw = Raw::serve(usual_but(INDEX, move || ok(index.as_bytes()))).await;
            let error: FetchError =
                fetcher_with(&["127.0.0.1"], charttrust::sources::Limits::default())
                    .fetch(&source(&raw.url), CHART, VERSION_OF_CHART)
                    .await
                    .unwrap_err();
            let told = error.to_string();
            assert_eq!(error.cause(), Cause::SourceUnavailable, "{told}");
            assert!(told.len() < 600 && told.is_ascii(), "{told}");
            let path = told.split("canary").count() - 1;
            assert_eq!(path, 0, "{told}");
        }
    }
}

/// The version that `usual_but` lists.
const VERSION_OF_CHART: &str = crate::server::VERSION;
