//! Provenance files that lie elsewhere than the archives.

use charttrust::sources::{Credentials, Fetched, Place, ProvenanceAnswer, ProvenanceAt, Source};
use wiremock::{MockServer, ResponseTemplate};

use crate::court::{self, Looks, OTHER_CHART, SIGNED_CHART, STATEMENT};
use crate::server::*;

const FOLDER: &str = "/prov";
const FILE: &str = "/prov/payments-2.4.1.tgz.prov";

fn proven_at(main: &MockServer, folder: &str, credentials: Option<Credentials>) -> Source {
    Source {
        provenance: Some(ProvenanceAt {
            url: folder.to_owned(),
            credentials,
        }),
        ..source(main.uri())
    }
}

fn token(text: &str) -> Credentials {
    Credentials::Bearer(text.to_owned().into())
}

async fn folder() -> MockServer {
    let server = MockServer::start().await;
    serve(
        &server,
        FILE,
        ResponseTemplate::new(200).set_body_string(SIGNED),
    )
    .await;
    server
}

async fn fetched(source: &Source) -> Fetched<Vec<u8>> {
    fetcher().fetch(source, CHART, VERSION).await.unwrap()
}

fn present() -> ProvenanceAnswer {
    ProvenanceAnswer::Present(SIGNED.as_bytes().into())
}

#[tokio::test]
async fn the_folder_is_asked_and_what_is_beside_the_archive_is_not() {
    let (main, folder) = (repository().await, folder().await);
    for url in [
        format!("{}{FOLDER}", folder.uri()),
        format!("{}{FOLDER}/", folder.uri()),
    ] {
        let fetched = fetched(&proven_at(&main, &url, None)).await;
        assert_eq!(fetched.provenance, present());
        let places = (fetched.place, fetched.provenance_place);
        assert_eq!(places, (Place::Main, Place::Elsewhere));
    }
    assert_eq!(paths(&folder).await, [FILE, FILE]);
    assert!(!paths(&main).await.contains(&PROVENANCE.to_owned()));
}

#[tokio::test]
async fn each_origin_gets_its_own_credentials_and_no_other() {
    let (main, other) = (repository().await, folder().await);
    serve(
        &main,
        FILE,
        ResponseTemplate::new(200).set_body_string(SIGNED),
    )
    .await;
    // On the same host too: whoever may read archives there may perhaps read no statements.
    for (folder, own) in [
        (&other, Some("of-folder")),
        (&other, None),
        (&main, Some("of-folder")),
        (&main, None),
    ] {
        let url = format!("{}{FOLDER}", folder.uri());
        let source = Source {
            credentials: Some(token("of-main")),
            ..proven_at(&main, &url, own.map(token))
        };
        assert_eq!(fetched(&source).await.provenance, present());
        let requests = folder.received_requests().await.unwrap();
        let asked = requests
            .iter()
            .rfind(|request| request.url.path() == FILE)
            .unwrap();
        let sent = asked
            .headers
            .get("authorization")
            .map(|value| value.to_str().unwrap());
        let expected = own.map(|own| format!("Bearer {own}"));
        assert_eq!(sent, expected.as_deref());
    }
    for request in main.received_requests().await.unwrap() {
        let sent = request
            .headers
            .get("authorization")
            .unwrap_or(&"".parse().unwrap())
            .clone();
        let is_of_file = request.url.path() == FILE;
        assert_eq!(sent == "Bearer of-main", !is_of_file, "{}", request.url);
    }
}

#[tokio::test]
async fn a_folder_that_redirects_gives_its_credentials_to_nobody() {
    let (main, folder, honeypot) = (
        repository().await,
        MockServer::start().await,
        MockServer::start().await,
    );
    let to = format!("{}/stolen", honeypot.uri());
    serve(
        &folder,
        FILE,
        ResponseTemplate::new(302).insert_header("location", to),
    )
    .await;
    serve(
        &honeypot,
        "/stolen",
        ResponseTemplate::new(200).set_body_string(SIGNED),
    )
    .await;
    let url = format!("{}{FOLDER}", folder.uri());
    let source = proven_at(&main, &url, Some(token("canary")));
    assert_eq!(fetched(&source).await.provenance, present());
    let requests = honeypot.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    assert!(!requests.iter().any(has_secret), "{requests:?}");
}

#[tokio::test]
async fn two_sources_with_other_folders_share_no_answer() {
    let (main, with, without) = (
        unsigned_repository().await,
        folder().await,
        MockServer::start().await,
    );
    let fetcher = fetcher();
    for (folder, expected) in [
        (&without, ProvenanceAnswer::Missing),
        (&with, present()),
        (&without, ProvenanceAnswer::Missing),
    ] {
        let url = format!("{}{FOLDER}", folder.uri());
        let source = proven_at(&main, &url, None);
        let fetched = fetcher.fetch(&source, CHART, VERSION).await.unwrap();
        assert_eq!(fetched.provenance, expected);
    }
    let beside = fetcher
        .fetch(&source(main.uri()), CHART, VERSION)
        .await
        .unwrap();
    assert_eq!(beside.provenance, ProvenanceAnswer::Missing);
    assert_eq!(beside.provenance_place, Place::Main);
}

#[tokio::test]
async fn what_is_known_of_the_folder_is_asked_for_conditionally() {
    let (main, folder) = (repository().await, MockServer::start().await);
    let answer = ResponseTemplate::new(200)
        .set_body_string(SIGNED)
        .insert_header("etag", "\"1\"");
    serve(&folder, FILE, answer).await;
    let (fetcher, source) = (
        fetcher(),
        proven_at(&main, &format!("{}{FOLDER}", folder.uri()), None),
    );
    for _ in 0..2 {
        let fetched = fetcher.fetch(&source, CHART, VERSION).await.unwrap();
        assert_eq!(fetched.provenance, present());
    }
    let requests = folder.received_requests().await.unwrap();
    let conditions: Vec<_> = requests
        .iter()
        .map(|it| it.headers.get("if-none-match").is_some())
        .collect();
    assert_eq!(conditions, [false, true]);
}

#[tokio::test]
async fn a_folder_where_nobody_may_be_asked_is_silence() {
    let main = repository().await;
    for url in [
        "https://169.254.169.254/prov",
        "http://example.com/prov",
        "https://10.0.0.1/prov",
    ] {
        let fetched = fetched(&proven_at(&main, url, None)).await;
        let ProvenanceAnswer::Unavailable(error) = fetched.provenance else {
            panic!("{:?}", fetched.provenance)
        };
        assert!(error.to_string().starts_with(url), "{error}");
    }
    let nonsense = fetcher()
        .fetch(&proven_at(&main, "nonsense", None), CHART, VERSION)
        .await;
    let nonsense = nonsense.unwrap_err().to_string();
    assert_eq!(nonsense, "the URL of the provenance files cannot be parsed");
}

/// The signed chart, without its statement.
async fn archives() -> MockServer {
    let server = MockServer::start().await;
    let (name, version) = (court::NAME, court::VERSION);
    let index =
        format!("apiVersion: v1\nentries:\n  {name}:\n  - version: {version}\n    urls: [x.tgz]\n");
    serve(
        &server,
        INDEX,
        ResponseTemplate::new(200).set_body_string(index),
    )
    .await;
    serve(
        &server,
        "/x.tgz",
        ResponseTemplate::new(200).set_body_bytes(SIGNED_CHART),
    )
    .await;
    server
}

async fn statement(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    serve(&server, "/hashtest-1.2.3.tgz.prov", answer).await;
    server
}

fn body(bytes: &[u8]) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_bytes(bytes)
}

/// Whoever keeps statements can withhold proof: no answer of his is bad for the release, or an alarm.
#[tokio::test]
async fn whatever_the_folder_answers_shows_at_worst_that_there_is_no_proof() {
    let of_another = String::from_utf8(STATEMENT.to_vec()).unwrap();
    let of_another = of_another.replace(court::NAME, "frobnitz");
    for (answer, word) in [
        (body(STATEMENT), "SignatureVerified"),
        (ResponseTemplate::new(404), "Unsigned"),
        (ResponseTemplate::new(410), "Unsigned"),
        (ResponseTemplate::new(401), "SourceUnavailable"),
        (ResponseTemplate::new(403), "SourceUnavailable"),
        (ResponseTemplate::new(429), "SourceUnavailable"),
        (ResponseTemplate::new(503), "SourceUnavailable"),
        (body(b"<html>no such file"), "SourceUnavailable"),
        (body(b"{}"), "SourceUnavailable"),
        (body(&vec![b'x'; 70_000]), "LimitExceeded"),
        (body(b""), "ProvenanceMalformed"),
        (body(b"nonsense"), "ProvenanceMalformed"),
        (body(of_another.as_bytes()), "SignerNotTrusted"),
    ] {
        let (main, folder) = (archives().await, statement(answer.clone()).await);
        let looks = Looks::at(&main.uri()).proven_at(&folder.uri());
        assert_eq!(looks.word().await, word, "{answer:?}");
        let gives_trust = word == "SignatureVerified";
        let stolen = if gives_trust {
            "SignerNotTrusted"
        } else {
            word
        };
        assert_eq!(looks.word_after_theft().await, stolen, "{answer:?}");
    }
    // Beside the archive the same statement is the source's own word.
    let main = archives().await;
    serve(&main, "/x.tgz.prov", body(STATEMENT)).await;
    assert_eq!(
        Looks::at(&main.uri()).word_after_theft().await,
        "KeyCompromised"
    );
}

/// An archive of a mirror is proven by the folder too, and by what the mirror has beside it.
#[tokio::test]
async fn a_mirror_stands_in_for_archives_and_for_statements() {
    let (silent, mirror) = (MockServer::start().await, archives().await);
    let (proof, none) = (
        statement(body(STATEMENT)).await,
        statement(ResponseTemplate::new(503)).await,
    );
    let word = async |main: &MockServer, folder: &MockServer| {
        let looks = Looks::at(&main.uri()).proven_at(&folder.uri());
        looks.mirrored(&mirror.uri()).word().await
    };
    assert_eq!(word(&silent, &proof).await, "SignatureVerified");
    assert_eq!(word(&silent, &none).await, "SourceUnavailable");
    let main = archives().await;
    assert_eq!(word(&main, &none).await, "SourceUnavailable");
    serve(&mirror, "/x.tgz.prov", body(STATEMENT)).await;
    assert_eq!(word(&silent, &none).await, "SignatureVerified");
    assert_eq!(word(&main, &none).await, "SignatureVerified");
    let other = MockServer::start().await;
    serve(&other, "/x.tgz", body(OTHER_CHART)).await;
    assert_eq!(
        word(&other, &proof).await,
        "SignatureVerified",
        "a source without an index is silent"
    );
}

/// Three mirrors that have the archive and no statement, whatever the folder says and whether or not the source
/// itself has the archive.
#[tokio::test]
async fn a_folder_is_asked_once_for_a_source_and_all_its_mirrors() {
    for status in [404, 503] {
        for (main, mirrors) in [
            (unsigned_repository().await, 3),
            (MockServer::start().await, 3),
            (MockServer::start().await, 0),
        ] {
            let folder = MockServer::start().await;
            serve(&folder, FILE, ResponseTemplate::new(status)).await;
            let (fetcher, mirror) = (fetcher(), unsigned_repository().await);
            let mut source = proven_at(&main, &format!("{}{FOLDER}", folder.uri()), None);
            let paths = (0..mirrors).map(|at| format!("{}?mirror={at}", mirror.uri()));
            source.mirrors = paths.collect();
            let is_known = mirrors > 0;
            for looks in 1..=2 {
                let fetched = fetcher.fetch(&source, CHART, VERSION).await;
                assert_eq!(fetched.is_ok(), is_known);
                let expected = if is_known { looks } else { 0 };
                assert_eq!(asked(&folder, FILE).await, expected, "{status} {mirrors}");
            }
        }
    }
}

/// What was said to somebody else before is not what it says now.
#[tokio::test]
async fn a_folder_that_has_said_nothing_is_asked_again_at_the_next_look() {
    let (main, folder) = (unsigned_repository().await, MockServer::start().await);
    let (fetcher, url) = (fetcher(), format!("{}{FOLDER}", folder.uri()));
    let source = proven_at(&main, &url, None);
    let look = async || {
        fetcher
            .fetch(&source, CHART, VERSION)
            .await
            .unwrap()
            .provenance
    };
    replace(&folder, &[(FILE, ResponseTemplate::new(503))]).await;
    assert!(matches!(look().await, ProvenanceAnswer::Unavailable(_)));
    let file = ResponseTemplate::new(200).set_body_string(SIGNED);
    replace(&folder, &[(FILE, file)]).await;
    assert_eq!(look().await, present());
}
