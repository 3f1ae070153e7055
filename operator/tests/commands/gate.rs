//! `charttrust verify --repo`: everything that a repository lists is judged, or the exit code says that it was
//! not.

use serde_json::Value;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::world::{Ends, Said, World};

/// A repository with Helm's signed chart, the same archive under a later version, one that is not signed, and one
/// that is not there.
struct Published {
    world: World,
    server: MockServer,
}

impl Published {
    async fn new() -> Self {
        let world = World::new().await;
        world.lay_chart();
        let server = MockServer::start().await;
        let published = Self { world, server };
        let index = "apiVersion: v1\nentries:\n  hashtest:\n  - {version: 1.2.3, urls: [hashtest-1.2.3.tgz]}\n  \
                     - {version: 1.2.4, urls: [later/hashtest-1.2.4.tgz]}\n  \
                     bare:\n  - {version: 0.1.0, urls: [bare-0.1.0.tgz]}\n  \
                     gone:\n  - {version: 2.0.0, urls: [gone-2.0.0.tgz]}\n";
        published.serve("/index.yaml", index.into()).await;
        let archive = published.read("hashtest-1.2.3.tgz");
        let statement = published.read("hashtest-1.2.3.tgz.prov");
        for (at, body) in [
            ("/hashtest-1.2.3.tgz", &archive),
            ("/hashtest-1.2.3.tgz.prov", &statement),
            ("/later/hashtest-1.2.4.tgz", &archive),
            ("/later/hashtest-1.2.4.tgz.prov", &statement),
            ("/bare-0.1.0.tgz", &archive),
        ] {
            published.serve(at, body.clone()).await;
        }
        published
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.world.folder.path().join(name)).unwrap()
    }

    async fn serve(&self, at: &str, body: Vec<u8>) {
        let answer = ResponseTemplate::new(200).set_body_bytes(body);
        let mock = Mock::given(path(at)).respond_with(answer);
        mock.mount(&self.server).await;
    }

    async fn asked(&self, at: &str) -> usize {
        let requests = self.server.received_requests().await.unwrap();
        requests.iter().filter(|one| one.url.path() == at).count()
    }

    async fn verify(&self, more: &str) -> Said {
        let host = self.server.address();
        let line = format!("verify --key key.gpg --level signature --allow-host {host} {more}");
        let line = line.replace("REPO", &format!("http://{host}"));
        let arguments: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        self.world.run(&arguments, Ends::Open).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_of_a_repository_is_judged() {
    let published = Published::new().await;
    let said = published.verify("--repo REPO").await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let verdicts: Vec<_> = said
        .text
        .lines()
        .filter(|line| !line.starts_with(' '))
        .collect();
    assert_eq!(verdicts.len(), 4, "{said:?}");
    for (line, part) in verdicts.iter().zip([
        "untrusted/",
        "gone 2.0.0   unknown/SourceUnavailable",
        "hashtest 1.2.3   trusted/ArchiveVerified   signer 5E615389B53CA37F0EE60BD3843BBF981FC18762",
        "untrusted/MetadataMismatch",
    ]) {
        assert!(line.contains(part), "{part}: {said:?}");
    }
    let count = "4 chart versions: 1 trusted, 2 not trusted, 1 unknown";
    assert!(said.errors.contains(count), "{said:?}");
    // Once, and again for what it lists and has not: it may have been withdrawn.
    assert_eq!(published.asked("/index.yaml").await, 2);
    assert_eq!(published.world.cluster.requests(), 0);

    let json = published.verify("--repo REPO -o json").await;
    let all: Value = serde_json::from_str(&json.text).unwrap();
    let words: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["verdict"])
        .collect();
    assert_eq!(
        words,
        ["untrusted", "unknown", "trusted", "untrusted"],
        "{json:?}"
    );
    let junit = published.verify("--repo REPO -o junit").await;
    assert_eq!(junit.code, Some(1), "{junit:?}");
    let counts = r#"tests="4" failures="2" errors="1""#;
    assert!(junit.text.contains(counts), "{junit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_verified_and_what_is_left_is_told() {
    let published = Published::new().await;
    for (line, code, verdicts, told) in [
        (
            "--repo REPO --chart hashtest --version 1.2.3",
            0,
            1,
            "1 trusted, 0 not trusted",
        ),
        (
            "--repo REPO --chart hashtest",
            1,
            2,
            "1 trusted, 1 not trusted",
        ),
        (
            "--repo REPO --after gone:2.0.0 --limit 1",
            3,
            1,
            "1 more were not verified: go on with --after hashtest:1.2.3",
        ),
        (
            "--repo REPO --after hashtest:1.2.3",
            1,
            1,
            "0 trusted, 1 not trusted",
        ),
        // Nothing at all is no success.
        ("--repo REPO --chart typo", 3, 0, "0 chart versions"),
        ("--repo REPO/typo", 3, 1, ""),
        ("--repo REPO --version 1.2.3", 2, 0, "name it with --chart"),
        ("--repo REPO --after typo", 2, 0, "takes CHART:VERSION"),
        ("--repo ftp://a.example", 2, 0, "https://"),
        ("REPO/hashtest-1.2.3.tgz", 0, 1, ""),
        ("REPO/hashtest-1.2.5.tgz", 1, 1, ""),
    ] {
        let said = published.verify(line).await;
        assert_eq!(said.code, Some(code), "{line}: {said:?}");
        let found = said
            .text
            .lines()
            .filter(|line| !line.starts_with(' '))
            .count();
        assert_eq!(found, verdicts, "{line}: {said:?}");
        assert!(said.errors.contains(told), "{line}: {said:?}");
    }
}

/// As a source of the operator, so that it reaches nothing inside that was not named.
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_asked_through_the_guard() {
    let published = Published::new().await;
    let host = published.server.address();
    let line = format!("verify --key key.gpg --repo http://{host}");
    let arguments: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    let said = published.world.run(&arguments, Ends::Open).await;
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.text.contains("--allow-host"), "{said:?}");
    assert_eq!(published.asked("/index.yaml").await, 0);
}
