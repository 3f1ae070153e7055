//! Sigstore signatures of a source with mirrors: who is asked, and what a mirror may add.

use charttrust::evidence::{Forms, Gathered, fetcher, gather};
use charttrust::sources::{Asked, Credentials, Limits, Settings, Source};
use charttrust_verify::bundles::Bundles;
use charttrust_verify::evidence::{Answer, Bound, Claimed, Place};
use charttrust_verify::verdict::Cause;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::court::{SIGNED_CHART, STATEMENT};

const INDEX: &str = "/index.yaml";
const ARCHIVE: &str = "/hashtest-1.2.3.tgz";
const PROVENANCE: &str = "/hashtest-1.2.3.tgz.prov";
const BUNDLE: &str = "/hashtest-1.2.3.tgz.sigstore.json";
const LISTED: &str = "apiVersion: v1\nentries:\n  hashtest:\n  - name: hashtest\n    version: 1.2.3\n    urls: \
                      [hashtest-1.2.3.tgz]\n";

/// What a server has in the place of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Has {
    Bundle,
    Nothing,
    Silence,
}

fn bytes(bytes: &[u8]) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_bytes(bytes)
}

async fn serve(server: &MockServer, place: &str, answer: ResponseTemplate) {
    let mock = Mock::given(path(place)).respond_with(answer);
    mock.mount(server).await;
}

/// A repository with the chart, and this beside it.
async fn repository(signature: Has) -> MockServer {
    let server = MockServer::start().await;
    serve(&server, INDEX, bytes(LISTED.as_bytes())).await;
    serve(&server, ARCHIVE, bytes(SIGNED_CHART)).await;
    match signature {
        Has::Bundle => serve(&server, BUNDLE, bytes(b"{}")).await,
        Has::Nothing => {}
        Has::Silence => serve(&server, BUNDLE, ResponseTemplate::new(503)).await,
    }
    server
}

async fn silent() -> MockServer {
    let server = MockServer::start().await;
    let mock = Mock::given(wiremock::matchers::any()).respond_with(ResponseTemplate::new(503));
    mock.mount(&server).await;
    server
}

async fn bundles(main: &MockServer, mirror: &MockServer) -> Option<Bundles> {
    let login = Credentials::Basic {
        username: "ada".to_owned().into(),
        password: "canary".to_owned().into(),
    };
    let source = Source {
        mirrors: vec![mirror.uri()],
        credentials: Some(login),
        ..Source::at(main.uri())
    };
    let fetcher = fetcher(Settings {
        allowed_hosts: vec!["127.0.0.1".parse().unwrap()],
        auth_hosts: Vec::new(),
        limits: Limits::default(),
        user_agent: "charttrust/test".to_owned(),
    });
    let claimed = Claimed {
        chart: "hashtest",
        version: "1.2.3",
    };
    let asked = (Asked::now(), Forms::Every);
    let gathered = gather(&fetcher, &source, claimed, asked).await;
    let sent = mirror.received_requests().await.unwrap();
    assert!(
        sent.iter()
            .all(|it| !it.headers.contains_key("authorization"))
    );
    match gathered {
        Gathered::Found(found) => match found.bound(Bound::NotCompared) {
            Answer::Archive(facts) => facts.bundles.map(|it| *it),
            other => panic!("{other:?}"),
        },
        Gathered::Other(nothing) => panic!("{nothing:?}"),
    }
}

async fn asked(server: &MockServer) -> usize {
    let requests = server.received_requests().await.unwrap();
    requests.iter().filter(|it| it.url.path() == BUNDLE).count()
}

#[tokio::test]
async fn a_mirror_is_asked_where_the_source_does_not_tell_and_only_adds() {
    use Has::{Bundle, Nothing, Silence};
    for (main, mirror, expected) in [
        (Bundle, Bundle, (1, Place::Main, false, 0)),
        (Nothing, Bundle, (0, Place::Main, false, 0)),
        (Silence, Bundle, (1, Place::Mirror, true, 1)),
        (Silence, Nothing, (0, Place::Main, true, 1)),
        (Silence, Silence, (0, Place::Main, true, 1)),
    ] {
        let (main, mirror) = (repository(main).await, repository(mirror).await);
        let found = bundles(&main, &mirror).await.unwrap();
        let is_silent = matches!(found.incomplete, Some((Cause::SourceUnavailable, _)));
        let said = (
            found.signatures.len(),
            found.place,
            is_silent,
            asked(&mirror).await,
        );
        assert_eq!(said, expected);
        assert_eq!(asked(&main).await, 1);
    }
}

/// A statement of the source itself counts in full: what is bad about it is hidden by nothing that a mirror has.
#[tokio::test]
async fn beside_a_statement_of_the_source_itself_no_mirror_is_asked() {
    let (main, mirror) = (
        repository(Has::Silence).await,
        repository(Has::Bundle).await,
    );
    serve(&main, PROVENANCE, bytes(STATEMENT)).await;
    let found = bundles(&main, &mirror).await.unwrap();
    assert_eq!((found.signatures.len(), found.place), (0, Place::Main));
    assert_eq!(asked(&mirror).await, 0);
}

#[tokio::test]
async fn of_an_archive_that_a_mirror_has_served_that_mirror_is_asked() {
    for (has, count) in [(Has::Bundle, 1), (Has::Nothing, 0), (Has::Silence, 0)] {
        let (main, mirror) = (silent().await, repository(has).await);
        let found = bundles(&main, &mirror).await.unwrap();
        assert_eq!(
            (found.signatures.len(), found.place),
            (count, Place::Mirror)
        );
        assert!(found.is_silent(), "the source itself may have more");
        assert_eq!((asked(&main).await, asked(&mirror).await), (0, 1));
    }
}
