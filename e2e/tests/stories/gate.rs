//! What `charttrust verify` says of charts and repositories before they are published, with the keys and the
//! policy of the cluster.

use std::path::{Path, PathBuf};

use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::helm::Version;
use charttrust_e2e::repository::{Fault, Repository};
use charttrust_e2e::stage::{Story, StoryKey};
use serde_json::{Value, json};

use crate::commands::charttrust;
use crate::origins::{part, umbrella};
use crate::setup::story;

const TRUSTED: i32 = 0;
const UNTRUSTED: i32 = 1;
const UNKNOWN: i32 = 3;

/// A key and a policy as they are committed.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new(story: &Story, key: &StoryKey, dependencies: &str) -> Self {
        let desk = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey", "metadata": {"name": "platform"},
            "spec": {"fingerprint": key.key.fingerprint, "publicKey": {"inline": story.public(key)}},
        });
        desk.lay("key.yaml", &object);
        let rule = json!({"name": "all", "charts": ["*"], "sources": [{"url": story.repository.url()}],
            "verify": {"dependencies": dependencies, "signers": {"keys": ["platform"]}}});
        let object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
            "metadata": {"name": "gate"}, "spec": {"rules": [rule]},
        });
        desk.lay("policy.yaml", &object);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn lay(&self, name: &str, object: &Value) {
        std::fs::write(self.path(name), object.to_string()).unwrap();
    }

    async fn verify(&self, more: &[&str]) -> crate::commands::Said {
        let (key, policy) = (self.path("key.yaml"), self.path("policy.yaml"));
        let (key, policy) = (key.to_string_lossy(), policy.to_string_lossy());
        let fixed = [
            "verify",
            "--key",
            &key,
            "--policy",
            &policy,
            "--allow-host",
            "127.0.0.1",
        ];
        charttrust(&[&fixed[..], more].concat()).await
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// An umbrella chart of three, one of which is not signed: the finding names it. All signed: trusted. From files,
/// from the repository, and as the operator says of the release.
#[tokio::test(flavor = "multi_thread")]
async fn a_subchart_that_nobody_has_signed_is_named_before_it_is_published() {
    let story = story("gate-parts", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let desk = Desk::new(&story, &key, "Verify");
    let repository = Repository::start().unwrap();
    let mut parts = Vec::<Chart>::new();
    for name in ["cache", "db", "queue"] {
        let signer = (name != "db").then_some(&key);
        let chart = story.package(&part(name), signer).await;
        repository.publish(&story.helm, &chart).await.unwrap();
        parts.push(chart);
    }
    let all: Vec<_> = parts.iter().collect();
    let source = umbrella("shop", &all, &repository.url());
    let shop = story.publish(&source, Some(&key)).await;
    let files = [&shop].into_iter().chain(&parts);
    let files: Vec<_> = files.map(|chart| text(&chart.archive)).collect();
    let url = story.repository.url();
    let of_files: Vec<_> = files
        .iter()
        .map(String::as_str)
        .chain(["--source", &url])
        .collect();
    let of_repository = ["--repo", &url];

    let named = "DependencyNotTrusted: subchart db 1.0.0: Unsigned: ";
    for line in [&of_files[..], &of_repository] {
        let said = desk.verify(line).await.with(UNTRUSTED, &[named]);
        let first = said.text.lines().next().unwrap();
        assert!(
            first.starts_with("shop 1.0.0   untrusted/DependencyNotTrusted"),
            "{first}"
        );
    }
    // Of an archive that is not named nothing is known, offline.
    let alone = [files[0].as_str(), "--source", &url];
    let missing = "name cache-1.0.0.tgz beside the chart, with its .prov";
    desk.verify(&alone).await.with(UNKNOWN, &[missing]);

    // Whoever publishes an archive that nobody has signed sends us nowhere.
    let bare = umbrella("bare", &all, &repository.url());
    story.publish(&bare, None).await;
    let asked = repository.requests().len();
    let said = desk.verify(&["--repo", &url, "--chart", "bare"]).await;
    said.with(UNTRUSTED, &["bare 1.0.0   untrusted/Unsigned"]);
    assert_eq!(
        repository.requests().len(),
        asked,
        "the repository of subcharts was asked"
    );

    let signed = story.package(&part("db"), Some(&key)).await;
    repository.publish(&story.helm, &signed).await.unwrap();
    // Helm packs the same files into other bytes; what counts is what is in them.
    let again = [&shop, &parts[0], &signed, &parts[2]];
    let files = again.map(|chart| text(&chart.archive));
    let of_files: Vec<_> = files
        .iter()
        .map(String::as_str)
        .chain(["--source", &url])
        .collect();
    let of_repository = ["--repo", &url, "--chart", "shop"];
    for line in [&of_files[..], &of_repository] {
        let said = desk.verify(line).await;
        let first = said.text.lines().next().unwrap_or_default();
        let is_trusted = first.starts_with("shop 1.0.0   trusted/ArchiveVerified");
        assert!(is_trusted, "{}\n{}", said.text, said.errors);
    }
}

/// What the operator would say of each version, with one exit code.
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_judged_as_a_whole() {
    let story = story("gate-repository", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let desk = Desk::new(&story, &key, "Inherit");
    for (name, version) in [("web", "1.0.0"), ("web", "1.1.0"), ("api", "0.1.0")] {
        story.publish(&Source::new(name, version), Some(&key)).await;
    }
    let url = story.repository.url();
    let good = desk.verify(&["--repo", &url]).await;
    good.with(
        TRUSTED,
        &["3 chart versions: 3 trusted, 0 not trusted, 0 unknown"],
    );
    story.publish(&Source::new("web", "1.2.0"), None).await;
    let bad = desk.verify(&["--repo", &url]).await;
    let bad = bad.with(
        UNTRUSTED,
        &[
            "web 1.2.0   untrusted/Unsigned",
            "4 chart versions: 3 trusted",
        ],
    );
    assert_eq!(
        bad.text.matches("trusted/ArchiveVerified").count(),
        3,
        "{}",
        bad.text
    );
    let last = desk
        .verify(&["--repo", &url, "--after", "web:1.1.0", "-o", "junit"])
        .await;
    last.with(UNTRUSTED, &[r#"tests="1" failures="1" errors="0""#]);
    // What Helm installs is verified, however the index writes its fields.
    let index = "apiVersion: v1\nentries:\n  web:\n  - {name: web, version: 1.0.0, urls: [web-1.0.0.tgz]}\n  \
                 - {name: web, Version: 1.2.0, URLS: [web-1.2.0.tgz]}\n";
    let written = Fault::Bytes(index.as_bytes().to_vec());
    story.repository.misbehave("/index.yaml", written);
    let show = ["show", "chart", "web", "--repo", &url, "--version", "1.2.0"];
    story.done("show what the index lists", story.helm.run(&show).await);
    let bad = desk.verify(&["--repo", &url]).await;
    let listed = "2 chart versions: 1 trusted";
    bad.with(UNTRUSTED, &["web 1.2.0   untrusted/Unsigned", listed]);
    story.repository.misbehave("/index.yaml", Fault::Html);
    desk.verify(&["--repo", &url])
        .await
        .with(UNKNOWN, &["SourceUnavailable"]);
}
