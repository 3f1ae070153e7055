//! What all stories share: one Sigstore, both cosigns, and a registry of each kind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use charttrust::api::TrustedIdentity;
use charttrust::parse;
use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::helm::{self, Helm};
use charttrust_e2e::operator::binary;
use charttrust_e2e::registry::{Kind, Registry};
use charttrust_e2e::sigstore::{Algorithm, Cosign, Job, KeyFiles, Services, Sigstore, Version};
use charttrust_e2e::tools::{self, Tool};
use charttrust_verify::key::Scope;
use charttrust_verify::sigstore::{
    KnownIdentity, KnownPublicKey, PublicKey, Root, SigstoreSigners, Transparency,
    TrustedPublicKey, TrustedRoot,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// One Sigstore, and who signs by it.
pub(crate) struct World {
    pub(crate) sigstore: Sigstore,
    pub(crate) job: Job,
    pub(crate) key: KeyFiles,
    v2: Cosign,
    v3: Cosign,
    pub(crate) helm: Helm,
    oras: PathBuf,
    files: TempDir,
}

/// Who signs, and who is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signer {
    /// Whoever has the key.
    Key,
    /// The pipeline of the publisher.
    Job,
}

impl Signer {
    /// What tells cosign to sign as him.
    pub(crate) fn signs(self) -> &'static [&'static str] {
        match self {
            Self::Key => &["--key", "{private}"],
            Self::Job => &["--identity-token", "{token}"],
        }
    }

    /// What tells cosign to believe him.
    pub(crate) fn is_believed(self) -> &'static [&'static str] {
        match self {
            Self::Key => &["--key", "{public}"],
            Self::Job => &[
                "--certificate-identity",
                "{subject}",
                "--certificate-oidc-issuer",
                "{issuer}",
                "--insecure-ignore-sct",
            ],
        }
    }
}

/// The world of all stories.
pub(crate) async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD.get_or_init(World::make).await
}

impl World {
    async fn make() -> Self {
        let sigstore = Sigstore::start().await.unwrap();
        let (v2, v3) = (
            Cosign::new(Version::V2).unwrap(),
            Cosign::new(Version::V3).unwrap(),
        );
        let key = v3.make_key("cosign", Algorithm::EcdsaP256).await.unwrap();
        Self {
            sigstore,
            job: Job::release("example/charts", "1.0.0"),
            key,
            v2,
            v3,
            helm: Helm::new(helm::Version::V4).unwrap(),
            oras: tools::path(Tool::Oras).unwrap(),
            files: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn cosign(&self, version: Version) -> &Cosign {
        match version {
            Version::V2 => &self.v2,
            Version::V3 => &self.v3,
        }
    }

    /// Puts a file into a folder of its own.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.files.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A token in a file: cosign takes one that is longer than the name of a file for none.
    pub(crate) fn token(&self, token: &str) -> String {
        let file = self.file(&format!("{:x}.token", hash(token)), token);
        file.to_string_lossy().into_owned()
    }

    /// A chart that is pushed nowhere.
    pub(crate) async fn package(&self, name: &str) -> Chart {
        let folder = tempfile::tempdir_in(self.files.path()).unwrap().keep();
        Source::new(name, "1.0.0")
            .package(&self.helm, &folder, None)
            .await
            .unwrap()
    }

    /// Runs cosign with words in which names in braces stand for what this world has.
    pub(crate) async fn run(
        &self,
        version: Version,
        words: &[&str],
        more: &[(&str, &str)],
    ) -> Result<String, String> {
        let words = self.filled(words, more);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let ran = self.cosign(version).run(&words).await;
        ran.map_err(|error| error.to_string())
    }

    fn filled(&self, words: &[&str], more: &[(&str, &str)]) -> Vec<String> {
        let sigstore = &self.sigstore;
        let [fulcio, older_log, stamping] = sigstore.urls();
        let file = |path: &Path| path.to_string_lossy().into_owned();
        let config = |services| file(&sigstore.signing_config(services));
        let mut known = BTreeMap::from([
            ("{private}", file(&self.key.private)),
            ("{public}", file(&self.key.public)),
            ("{token}", self.token(&sigstore.token(&self.job).unwrap())),
            ("{issuer}", sigstore.issuer().to_owned()),
            ("{subject}", self.job.subject()),
            ("{root}", file(&sigstore.root())),
            ("{all}", config(Services::All)),
            ("{none}", config(Services::None)),
            ("{older}", config(Services::OlderLog)),
            ("{unlogged}", config(Services::Unlogged)),
            ("{fulcio}", fulcio),
            ("{rekor1}", older_log),
            ("{stamping}", stamping),
        ]);
        known.extend(
            more.iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        let filled = |word: &&str| {
            let start = (*word).to_owned();
            known
                .iter()
                .fold(start, |text, (name, value)| text.replace(name, value))
        };
        words.iter().map(filled).collect()
    }

    /// The trusted root, as we read it.
    pub(crate) fn root(&self) -> Arc<TrustedRoot> {
        let json = std::fs::read(self.sigstore.root()).unwrap();
        Arc::new(TrustedRoot::parse(&json).unwrap())
    }

    /// Whoever may sign, as we are told.
    pub(crate) fn believed(&self, signer: Signer) -> SigstoreSigners {
        match signer {
            Signer::Key => {
                let pem = std::fs::read(&self.key.public).unwrap();
                SigstoreSigners {
                    keys: vec![bare(&pem, &self.root())],
                    ..SigstoreSigners::default()
                }
            }
            Signer::Job => self.named(&json!({"subject": {"exact": self.job.subject()}})),
        }
    }

    /// A `TrustedIdentity` with more of its spec.
    pub(crate) fn named(&self, more: &Value) -> SigstoreSigners {
        let mut spec = json!({"issuer": self.sigstore.issuer()});
        for (field, value) in more.as_object().unwrap() {
            spec[field] = value.clone();
        }
        let identity = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedIdentity",
            "metadata": {"name": "release"}, "spec": spec,
        });
        let identity: TrustedIdentity = serde_json::from_value(identity).unwrap();
        let known: KnownIdentity = parse::identity(&identity, Root::Known(self.root())).unwrap();
        SigstoreSigners {
            identities: vec![known],
            ..SigstoreSigners::default()
        }
    }
}

/// A registry, and what is in it.
pub(crate) struct Place {
    pub(crate) registry: Registry,
    charts: TempDir,
}

/// A chart in a registry.
pub(crate) struct Pushed {
    pub(crate) chart: Chart,
    /// As cosign names it, by the digest of its manifest.
    pub(crate) image: String,
    /// Where in the registry it lies: a repository below which charts have their names.
    folder: String,
}

impl Pushed {
    /// What a policy would name as source.
    pub(crate) fn source(&self, registry: &Registry) -> String {
        format!("oci://{}/{}", registry.host(), self.folder)
    }

    /// As Helm and `charttrust verify` name it.
    pub(crate) fn reference(&self, registry: &Registry) -> String {
        let Chart { name, version, .. } = &self.chart;
        format!("{}/{name}:{version}", self.source(registry))
    }

    /// The same chart in another folder of the registry.
    pub(crate) fn at(&self, folder: &str) -> Self {
        let image = self
            .image
            .replacen(&format!("/{}/", self.folder), &format!("/{folder}/"), 1);
        Self {
            chart: self.chart.clone(),
            image,
            folder: folder.to_owned(),
        }
    }
}

impl Place {
    pub(crate) async fn new(kind: Kind) -> Self {
        Self {
            registry: Registry::start(kind).await.unwrap(),
            charts: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) async fn push(&self, name: &str) -> Pushed {
        self.push_source(&Source::new(name, "1.0.0")).await
    }

    /// Another chart of the same name and version, in its place.
    pub(crate) async fn push_changed(&self, name: &str) -> Pushed {
        let source = Source::new(name, "1.0.0").with_file("values.yaml", "replicas: 2\n");
        self.push_source(&source).await
    }

    async fn push_source(&self, source: &Source) -> Pushed {
        let world = world().await;
        let chart = source
            .package(&world.helm, self.charts.path(), None)
            .await
            .unwrap();
        self.push_chart(chart).await
    }

    /// Puts a chart there that was packaged, with its provenance if it has one.
    pub(crate) async fn push_chart(&self, chart: Chart) -> Pushed {
        let helm = &world().await.helm;
        self.registry.push(helm, &chart).await.unwrap();
        let repository = format!("charts/{}", chart.name);
        let digest = self
            .registry
            .digest((&repository, &chart.version))
            .await
            .unwrap();
        Pushed {
            image: format!("{}/{repository}@{digest}", self.registry.host()),
            chart,
            folder: "charts".to_owned(),
        }
    }

    /// Runs oras.
    pub(crate) async fn oras(&self, words: &[&str]) {
        let mut command = Command::new(&world().await.oras);
        command.args(words).current_dir(self.charts.path());
        command
            .env("HOME", self.charts.path())
            .env("DOCKER_CONFIG", self.charts.path());
        let output = ran(command).await;
        assert!(output.status.success(), "{output:?}");
    }
}

/// What `charttrust verify` says of an archive, with what lies beside it, or of an address; and its exit code.
pub(crate) async fn on_the_command_line(chart: &str, signer: Signer) -> (String, i32) {
    let world = world().await;
    let mut command = Command::new(binary());
    command.args(["verify", chart, "--output", "json", "--trusted-root"]);
    command.arg(world.sigstore.root());
    command.args(["--allow-host", "127.0.0.1"]);
    match signer {
        Signer::Key => command.arg("--key").arg(&world.key.public),
        Signer::Job => {
            let identity = json!({
                "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedIdentity",
                "metadata": {"name": "release"},
                "spec": {
                    "issuer": world.sigstore.issuer(),
                    "subject": {"exact": world.job.subject()},
                },
            });
            let file = world.file(&format!("{:x}.yaml", hash(chart)), identity.to_string());
            command.arg("--identity").arg(file)
        }
    };
    // Nothing of whoever runs the test.
    let nowhere = world.files.path().join("nowhere");
    command.env("DOCKER_CONFIG", &nowhere).env("HOME", &nowhere);
    command.env("HELM_REGISTRY_CONFIG", &nowhere);
    let output = ran(command).await;
    let said = format!("{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).expect(&said);
    let word = report["reason"].as_str().expect(&said).to_owned();
    (word, output.status.code().expect(&said))
}

async fn ran(mut command: Command) -> Output {
    command.stdin(Stdio::null());
    let run = tokio::task::spawn_blocking(move || command.output());
    run.await.unwrap().unwrap()
}

fn hash(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// A key alone, with a root by which logs and timestamps are checked.
pub(crate) fn bare(pem: &[u8], root: &Arc<TrustedRoot>) -> KnownPublicKey {
    let key = PublicKey::parse(pem).unwrap();
    KnownPublicKey {
        trusted: TrustedPublicKey {
            name: "cosign".to_owned(),
            fingerprint: key.fingerprint(),
            transparency: Transparency::IfPresent,
            scope: Scope::default(),
            not_after: None,
            revocations: Vec::new(),
        },
        labels: BTreeMap::new(),
        key: Some(key),
        root: Some(Root::Known(root.clone())),
        unusable: None,
    }
}
