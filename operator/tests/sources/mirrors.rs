//! Mirrors stand in for a silent source; they add proof and take none away.

use charttrust::sources::{Cause, FetchError, Place, ProvenanceAnswer, Source};
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::finding::{Fact, Note};
use wiremock::{MockServer, ResponseTemplate};

use crate::court::{self, Bar, Looks, OTHER_CHART, SIGNED_CHART, STATEMENT};
use crate::server::*;

fn mirrored(main: &MockServer, mirrors: &[&MockServer]) -> Source {
    Source {
        mirrors: mirrors.iter().map(|mirror| mirror.uri()).collect(),
        ..source(main.uri())
    }
}

/// A server that answers nothing but 404.
async fn empty() -> MockServer {
    MockServer::start().await
}

#[tokio::test]
async fn mirrors_are_asked_in_order_while_the_source_is_unavailable() {
    let (main, dead, mirror, last) = (
        empty().await,
        empty().await,
        repository().await,
        repository().await,
    );
    let fetched = fetcher()
        .fetch(&mirrored(&main, &[&dead, &mirror, &last]), CHART, VERSION)
        .await
        .unwrap();
    assert_eq!(
        (fetched.place, fetched.url),
        (Place::Mirror, format!("{}{ARCHIVE}", mirror.uri()))
    );
    assert_eq!(
        fetched.provenance,
        ProvenanceAnswer::Present(SIGNED.as_bytes().into())
    );
    assert_eq!(paths(&dead).await, [INDEX]);
    assert!(paths(&last).await.is_empty());
}

#[tokio::test]
async fn mirrors_are_not_asked_when_the_source_answers() {
    let mirror = repository().await;
    for main in [repository().await, unsigned_repository().await] {
        let fetched = fetcher()
            .fetch(&mirrored(&main, &[&mirror]), CHART, VERSION)
            .await
            .unwrap();
        assert_eq!(fetched.place, Place::Main);
    }
    let without = empty().await;
    serve(
        &without,
        INDEX,
        ResponseTemplate::new(200).set_body_string("apiVersion: v1\nentries: {}"),
    )
    .await;
    let error = fetcher()
        .fetch(&mirrored(&without, &[&mirror]), CHART, VERSION)
        .await
        .unwrap_err();
    assert_eq!(error.cause(), Cause::ChartNotFound);
    assert!(paths(&mirror).await.is_empty());
}

#[tokio::test]
async fn a_mirror_without_provenance_does_not_make_the_chart_unsigned() {
    let (main, mirror) = (empty().await, unsigned_repository().await);
    let fetched = fetcher()
        .fetch(&mirrored(&main, &[&mirror]), CHART, VERSION)
        .await
        .unwrap();
    assert_eq!(
        (fetched.place, fetched.archive.content.as_slice()),
        (Place::Mirror, GZIP)
    );
    let ProvenanceAnswer::Unavailable(error) = fetched.provenance else {
        panic!("{:?}", fetched.provenance)
    };
    assert_eq!(
        error.to_string(),
        format!("{}/index.yaml answered 404", main.uri())
    );
}

#[tokio::test]
async fn a_mirror_with_provenance_is_preferred_to_one_without() {
    let (main, unsigned, signed) = (
        empty().await,
        unsigned_repository().await,
        repository().await,
    );
    let fetched = fetcher()
        .fetch(&mirrored(&main, &[&unsigned, &signed]), CHART, VERSION)
        .await
        .unwrap();
    assert_eq!(fetched.url, format!("{}{ARCHIVE}", signed.uri()));
}

#[tokio::test]
async fn a_mirror_that_lacks_the_version_does_not_make_the_chart_not_found() {
    let (main, mirror) = (empty().await, empty().await);
    serve(
        &mirror,
        INDEX,
        ResponseTemplate::new(200).set_body_string("apiVersion: v1\nentries: {}"),
    )
    .await;
    let error = fetcher()
        .fetch(&mirrored(&main, &[&mirror]), CHART, VERSION)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{}/index.yaml answered 404", main.uri())
    );
}

#[tokio::test]
async fn a_mirror_gives_the_provenance_file_that_the_source_cannot() {
    let (main, mirror) = (unsigned_repository().await, repository().await);
    serve(&main, PROVENANCE, ResponseTemplate::new(503)).await;
    let fetched = fetcher()
        .fetch(&mirrored(&main, &[&mirror]), CHART, VERSION)
        .await
        .unwrap();
    assert_eq!(
        (fetched.place, fetched.provenance_place),
        (Place::Main, Place::Mirror)
    );
    assert_eq!(fetched.url, format!("{}{ARCHIVE}", main.uri()));
    assert_eq!(
        fetched.silence.unwrap().to_string(),
        format!("{}{PROVENANCE} answered 503", main.uri())
    );
    let unsigned = unsigned_repository().await;
    let fetched = fetcher()
        .fetch(&mirrored(&main, &[&unsigned]), CHART, VERSION)
        .await
        .unwrap();
    assert_eq!(fetched.place, Place::Main);
    assert!(matches!(
        fetched.provenance,
        ProvenanceAnswer::Unavailable(_)
    ));
}

#[tokio::test]
async fn the_archive_of_the_source_is_not_replaced_by_that_of_a_mirror() {
    let (main, other, mirror) = (
        unsigned_repository().await,
        repository().await,
        repository().await,
    );
    serve(&main, PROVENANCE, ResponseTemplate::new(503)).await;
    let others = [GZIP, b" of somebody else"].concat();
    let archive = ResponseTemplate::new(200).set_body_bytes(others);
    let listed = ResponseTemplate::new(200).set_body_string(index("payments-2.4.1.tgz"));
    let signed = ResponseTemplate::new(200).set_body_string("by a thief");
    let usual = [(INDEX, listed), (ARCHIVE, archive), (PROVENANCE, signed)];
    replace(&other, &usual).await;
    for (mirrors, provenance) in [
        (vec![&other], Place::Main),
        (vec![&other, &mirror], Place::Mirror),
    ] {
        let fetched = fetcher()
            .fetch(&mirrored(&main, &mirrors), CHART, VERSION)
            .await
            .unwrap();
        assert_eq!(fetched.archive.content, GZIP);
        assert_eq!(
            (fetched.place, fetched.provenance_place),
            (Place::Main, provenance)
        );
    }
}

#[tokio::test]
async fn an_archive_over_the_limit_is_not_sought_elsewhere() {
    let (main, mirror) = (empty().await, repository().await);
    serve(
        &main,
        INDEX,
        ResponseTemplate::new(200).set_body_string(index("payments-2.4.1.tgz")),
    )
    .await;
    serve(
        &main,
        ARCHIVE,
        ResponseTemplate::new(200).set_body_bytes(vec![0x1f; 5000]),
    )
    .await;
    let error = fetcher()
        .fetch(&mirrored(&main, &[&mirror]), CHART, VERSION)
        .await
        .unwrap_err();
    assert_eq!(error.cause(), Cause::LimitExceeded);
    assert!(paths(&mirror).await.is_empty());
}

#[tokio::test]
async fn mirrors_pass_the_guard_and_a_bad_one_is_passed_over() {
    let (main, mirror) = (empty().await, repository().await);
    let mut source = mirrored(&main, &[&mirror]);
    for bad in [
        "oci://registry.example.com",
        "nonsense",
        "https://169.254.169.254/",
        "http://example.com/",
    ] {
        source.mirrors.insert(0, bad.to_owned());
    }
    assert_eq!(
        fetcher()
            .fetch(&source, CHART, VERSION)
            .await
            .unwrap()
            .place,
        Place::Mirror
    );
    source.mirrors.pop();
    assert!(matches!(
        fetcher().fetch(&source, CHART, VERSION).await,
        Err(FetchError::Status { code: 404, .. })
    ));
}

/// Never say what was not checked: nobody has seen the index of a source that is silent.
#[tokio::test]
async fn what_the_index_of_a_mirror_says_is_no_word_of_the_source() {
    let (main, mirror) = (empty().await, MockServer::start().await);
    let index = format!(
        "apiVersion: v1\nentries:\n  {}:\n  - version: {}\n    urls: [x.tgz]\n    digest: {}\n",
        court::NAME,
        court::VERSION,
        Sha256Digest::of(OTHER_CHART)
    );
    let bytes = |bytes: &[u8]| ResponseTemplate::new(200).set_body_bytes(bytes);
    serve(&mirror, INDEX, bytes(index.as_bytes())).await;
    serve(&mirror, "/x.tgz", bytes(SIGNED_CHART)).await;
    serve(&mirror, "/x.tgz.prov", bytes(STATEMENT)).await;
    let is_told = async |looks: Looks| {
        let (_, judgement) = looks.judged(&Bar::strict()).await;
        assert_eq!(judgement.verdict.word(), "SignatureVerified");
        let mut findings = judgement.findings.iter();
        findings.any(|finding| finding.fact == Fact::Note(Note::Republished))
    };
    assert!(!is_told(Looks::at(&main.uri()).mirrored(&mirror.uri())).await);
    assert!(
        is_told(Looks::at(&mirror.uri())).await,
        "of the source itself"
    );
}

async fn repository_with(archive: &[u8], statement: Option<&[u8]>) -> MockServer {
    let server = MockServer::start().await;
    let index = format!(
        "apiVersion: v1\nentries:\n  {}:\n  - version: {}\n    urls: [x.tgz]\n",
        court::NAME,
        court::VERSION
    );
    let bytes = |bytes: &[u8]| ResponseTemplate::new(200).set_body_bytes(bytes);
    serve(&server, INDEX, bytes(index.as_bytes())).await;
    serve(&server, "/x.tgz", bytes(archive)).await;
    if let Some(statement) = statement {
        serve(&server, "/x.tgz.prov", bytes(statement)).await;
    }
    server
}

/// The statement with another chart's name, which nobody has signed so.
fn of_another_chart() -> Vec<u8> {
    let text = String::from_utf8(STATEMENT.to_vec()).unwrap();
    text.replace(court::NAME, "frobnitz").into_bytes()
}

/// What gives no trust is silence, whoever says it: each order of three mirrors, of which one has the proof.
#[tokio::test]
async fn no_mirror_silences_those_after_it() {
    let silent = empty().await;
    let broken = of_another_chart();
    let worthless: [Option<&[u8]>; 5] = [
        None,
        Some(b"nonsense"),
        Some(b"<html>no such file"),
        Some(b""),
        Some(&broken),
    ];
    let mut others = Vec::new();
    for statement in worthless {
        others.push(repository_with(SIGNED_CHART, statement).await);
    }
    others.push(repository_with(OTHER_CHART, Some(STATEMENT)).await);
    let proof = repository_with(SIGNED_CHART, Some(STATEMENT)).await;
    let without_answer = repository_with(SIGNED_CHART, None).await;
    serve(&without_answer, "/x.tgz.prov", ResponseTemplate::new(503)).await;
    for main in [&silent, &without_answer] {
        for one in &others {
            for other in &others {
                for order in [
                    [one, other, &proof],
                    [one, &proof, other],
                    [&proof, one, other],
                ] {
                    let mut looks = Looks::at(&main.uri());
                    for mirror in order {
                        looks = looks.mirrored(&mirror.uri());
                    }
                    assert_eq!(looks.word().await, "SignatureVerified");
                }
                let looks = Looks::at(&main.uri())
                    .mirrored(&one.uri())
                    .mirrored(&other.uri());
                assert_eq!(looks.word().await, "SourceUnavailable");
            }
        }
    }
}
