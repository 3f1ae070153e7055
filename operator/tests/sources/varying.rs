//! A source that varies what it chooses: as long as it answers alike, what is told of it stays the same, so that
//! nothing is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::court::{Bar, Looks, NAME, SIGNED_CHART, STATEMENT, VERSION};
use crate::server::{Answer, INDEX, Raw, http, ok};

/// What a source answers a path with at its n-th look.
type Answers = fn(&str, usize) -> Answer;

fn status(code: &str, number: usize) -> Answer {
    let head = format!(
        "{code}\r\ndate: Mon, 01 Jan 2024 00:00:{number:02} GMT\r\nx-request-id: {number}\r\n\
         etag: \"{number}\"\r\ncontent-length: 9"
    );
    Answer::Close(http(
        &head,
        format!("failure-{number}").as_bytes().get(..9).unwrap(),
    ))
}

fn redirect(to: &str) -> Answer {
    let head = format!("302 Found\r\nlocation: {to}\r\ncontent-length: 0");
    Answer::Close(http(&head, b""))
}

/// An index that names the archive so, with something else in it each time.
fn index(url: &str, number: usize) -> Answer {
    let text = format!(
        "apiVersion: v1\ngenerated: {number}\nentries:\n  {NAME}:\n  - version: {VERSION}\n    \
         description: {number}\n    urls: ['{url}']\n"
    );
    ok(text.as_bytes())
}

const SOURCES: &[(&str, &str, Answers)] = &[
    ("the index fails", "answered 503", |_, n| {
        status("503 Unavailable", n)
    }),
    ("the index is none", "not valid YAML", |_, n| {
        ok(format!("a: [{n}").as_bytes())
    }),
    ("the index is elsewhere", "private", |_, n| {
        redirect(&format!("https://10.0.0.{n}/index.yaml"))
    }),
    ("the index redirects", "redirects more than", |_, n| {
        redirect(&format!("/{n}"))
    }),
    (
        "the archive is not there",
        "answered 404",
        |path, n| match path {
            INDEX => index(&format!("{n}/x.tgz"), n),
            _ => status("404 Not Found", n),
        },
    ),
    (
        "the archive redirects to what fails",
        "answered 500",
        |path, n| match path {
            INDEX => index(&format!("{n}/x.tgz"), n),
            path if path.ends_with("/x.tgz") => redirect(&format!("/other/{n}")),
            _ => status("500 Error", n),
        },
    ),
    (
        "the archive is elsewhere",
        "private",
        |path, n| match path {
            INDEX => index(&format!("https://10.0.0.{n}/x.tgz"), n),
            _ => status("404 Not Found", n),
        },
    ),
    (
        "the archive is no archive",
        "not gzip",
        |path, n| match path {
            INDEX => index(&format!("{n}.tgz"), n),
            _ => ok(format!("nonsense {n}").as_bytes()),
        },
    ),
    (
        "the archive is in a registry",
        "in an OCI registry",
        |path, n| match path {
            INDEX => index(&format!("oci://{n}.example/a/b:1"), n),
            _ => status("404 Not Found", n),
        },
    ),
    (
        "the provenance file fails",
        "answered 503",
        |path, n| match path {
            INDEX => index(&format!("{n}/x.tgz"), n),
            path if !path.contains(".prov") => ok(SIGNED_CHART),
            _ => status("503 Unavailable", n),
        },
    ),
    (
        "the provenance file is HTML",
        "it is HTML",
        |path, n| match path {
            INDEX => index(&format!("{n}/x.tgz"), n),
            path if !path.contains(".prov") => ok(SIGNED_CHART),
            _ => ok(format!("<html>{n}").as_bytes()),
        },
    ),
    ("all is well", "", |path, n| match path {
        INDEX => index(&format!("{n}/x.tgz"), n),
        path if !path.contains(".prov") => ok(SIGNED_CHART),
        _ => ok(STATEMENT),
    }),
];

#[tokio::test]
async fn equal_looks_are_told_alike_whatever_the_source_varies() {
    for (what, expected, answers) in SOURCES {
        let number = Arc::new(AtomicUsize::new(1));
        let now = Arc::clone(&number);
        let server = Raw::serve(move |head| {
            let path = head.split(' ').nth(1).unwrap_or_default();
            answers(path, now.load(Ordering::SeqCst))
        })
        .await;
        let looks = Looks::at(&server.url);
        let mut told = Vec::new();
        for _ in 0..4 {
            let (answer, judgement) = looks.judged(&Bar::strict()).await;
            told.push((format!("{answer:?}"), judgement.verdict, judgement.findings));
            number.fetch_add(1, Ordering::SeqCst);
        }
        let (first, others) = told.split_first().unwrap();
        for other in others {
            assert_eq!(other.1, first.1, "{what}");
            assert_eq!(other.2, first.2, "{what}");
            assert_eq!(other.0, first.0, "{what}");
        }
        assert!(first.0.contains(expected), "{what}: {}", first.0);
    }
}
