//! What all stories share: one plane, one operator, and for each story a registry of its own.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use charttrust::api::ReleaseTrust;
use charttrust::api::release_trust::SourceEvidence;
use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::helm::Version;
use charttrust_e2e::operator::binary;
use charttrust_e2e::registry::{Kind, Registry};
use charttrust_e2e::stage::{Power, Setting, Stage, Story, StoryKey};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// The cluster of all stories.
pub(crate) async fn cluster() -> &'static Cluster {
    stage().await.cluster
}

/// One plane and one operator for all stories.
pub(crate) async fn stage() -> &'static Stage {
    static STAGE: OnceCell<Stage> = OnceCell::const_new();
    let set = async || {
        let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
        Stage::set(cluster, Setting::new(binary(), Power::Reports)).await
    };
    STAGE.get_or_init(set).await
}

/// A story whose charts lie in a registry.
pub(crate) struct Published {
    pub(crate) story: Story,
    pub(crate) registry: Registry,
    /// The key that the policy trusts.
    pub(crate) key: StoryKey,
}

/// Where `charttrust verify` may find a login.
#[derive(Clone, Copy)]
pub(crate) enum Logins {
    /// Nowhere.
    None,
    /// Where `helm registry login` has put it.
    OfHelm,
}

impl Published {
    pub(crate) async fn begin(prefix: &str, version: Version, kind: Kind) -> Self {
        let story = Story::begin(stage().await.cluster, prefix, version).await;
        let registry = story.done("start a registry", Registry::start(kind).await);
        let key = story.trusted_key("platform").await;
        Self {
            story,
            registry,
            key,
        }
    }

    /// Declares a policy that looks at the registry every second, with more fields of its source.
    pub(crate) async fn policy(&self, more: &Value) -> String {
        let mut source = json!({"url": self.registry.url()});
        for (field, value) in more.as_object().into_iter().flatten() {
            source[field] = value.clone();
        }
        let sources = json!({"sources": [source]});
        let rule = self.story.rule("*", &[&self.key], sources);
        let spec = json!({"interval": "1s", "rules": [rule]});
        self.story.policy("policy", &[], spec).await
    }

    /// Packages a chart and pushes it, signed if there is a key.
    pub(crate) async fn publish(&self, source: &Source, key: Option<&StoryKey>) -> Chart {
        let chart = self.story.package(source, key).await;
        self.push(&chart).await;
        chart
    }

    pub(crate) async fn push(&self, chart: &Chart) {
        let pushed = self.registry.push(&self.story.helm, chart).await;
        self.story.done(&format!("push {}", chart.name), pushed);
    }

    /// Has a pushed chart lie in another repository of the registry as well.
    pub(crate) async fn done_copying(&self, chart: &Chart, to: &str) {
        let copied = self.registry.copy(chart, to).await;
        self.story
            .done(&format!("copy {} to {to}", chart.name), copied);
    }

    /// Installs a chart from the registry.
    pub(crate) async fn install(&self, release: &str, chart: &Chart) {
        let address = format!("{}/{}", self.registry.url(), chart.name);
        let more = ["--version", &chart.version, "--plain-http"];
        let helm = &self.story.helm;
        let installed = helm.install(&self.story.namespace, release, &address, &more);
        let step = format!("install {release} from {address}");
        self.story.done(&step, installed.await);
    }

    /// What the registry is known to have answered for a release.
    pub(crate) fn evidence<'a>(&self, trust: &'a ReleaseTrust) -> &'a SourceEvidence {
        let status = trust.status.as_ref().unwrap();
        let sources = &status.evidence.as_ref().unwrap().sources;
        let of_registry = sources.iter().find(|one| one.url == self.registry.url());
        of_registry.unwrap_or_else(|| panic!("{sources:?}"))
    }

    /// What `charttrust verify` says about what the registry has, in one word, and its exit code.
    pub(crate) async fn verified(&self, chart: &Chart, logins: Logins) -> (String, i32) {
        let reference = self.registry.reference(chart);
        self.verified_at(&reference, &[], logins).await
    }

    /// The same of an address, with more arguments.
    pub(crate) async fn verified_at(
        &self,
        reference: &str,
        more: &[&str],
        logins: Logins,
    ) -> (String, i32) {
        let key = self.key_file();
        let mut command = Command::new(binary());
        command.args(["verify", reference, "--allow-host", &self.registry.host()]);
        command.args(more);
        command.arg("--key").arg(&key).args(["--output", "json"]);
        // Nothing of whoever runs the test.
        let nowhere = key.with_file_name("nowhere");
        command.env("DOCKER_CONFIG", &nowhere).env("HOME", &nowhere);
        let config = match logins {
            Logins::None => nowhere,
            Logins::OfHelm => self.story.helm.registry_config(),
        };
        command.env("HELM_REGISTRY_CONFIG", config);
        command.stdin(Stdio::null());
        let run = tokio::task::spawn_blocking(move || command.output());
        let output = self.story.done("verify", run.await.unwrap());
        let said = format!("{output:?}");
        assert!(!said.contains(charttrust_e2e::registry::LOGIN.1), "{said}");
        let report: Value = serde_json::from_slice(&output.stdout).expect(&said);
        let word = report["reason"].as_str().expect(&said).to_owned();
        (word, output.status.code().expect(&said))
    }

    fn key_file(&self) -> PathBuf {
        let file = self.registry.folder().join("key.asc");
        std::fs::write(&file, self.story.public(&self.key)).unwrap();
        file
    }
}

/// What `charttrust verify` says where the operator says this: it cannot compare with a release.
pub(crate) fn offline(word: &str) -> (String, i32) {
    let (word, code) = match word {
        "SignatureVerified" => ("ArchiveVerified", 0),
        "SourceUnavailable" => (word, 3),
        _ => (word, 1),
    };
    (word.to_owned(), code)
}

/// Tests in two flavours, one for each Helm.
macro_rules! with_both_helms {
    ($($name:ident)+) => {
        mod helm_3 { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(charttrust_e2e::helm::Version::V3).await; })+ }
        mod helm_4 { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(charttrust_e2e::helm::Version::V4).await; })+ }
    };
}

pub(crate) use with_both_helms;
