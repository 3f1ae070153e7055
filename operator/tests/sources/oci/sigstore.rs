//! `charttrust verify oci://…` with identities and public keys: the real binary, whatever the form of the signature.

use std::path::PathBuf;
use std::process::Command;

use charttrust_verify::digest::Sha256Digest;
use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::ResponseTemplate;

use crate::court::{REPOSITORY, SIGNED_CHART, VERSION};
use crate::forge::{Content, ISSUER, Key, Log, SUBJECT, Shape, World, pem};
use crate::registry::*;

pub(super) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
pub(super) const IDENTITY: [&str; 4] =
    ["--identity", "identity.yaml", "--trusted-root", "root.json"];

/// A chart in a registry, and somebody who believes a workflow and a key.
pub(super) struct Stage {
    pub(super) registry: Registry,
    /// The manifest's bytes: what is signed.
    pub(super) manifest: Vec<u8>,
    home: TempDir,
    pub(super) world: World,
    key: Key,
}

impl Stage {
    pub(super) async fn new() -> Self {
        let registry = Registry::named(REPOSITORY, |_, _| None).await;
        Self::of(registry)
    }

    pub(super) fn of(registry: Registry) -> Self {
        let manifest = registry.content.manifest(&[(ARCHIVE, SIGNED_CHART)]);
        registry.tag(VERSION, &manifest);
        let (world, key) = (World::called("ours"), Key::new());
        let stage = Self {
            registry,
            manifest: manifest.to_string().into_bytes(),
            home: tempfile::tempdir().unwrap(),
            world,
            key,
        };
        let identity = format!(
            "apiVersion: charttrust.io/v1alpha1\nkind: TrustedIdentity\nmetadata:\n  name: release\nspec:\n  \
             issuer: {ISSUER}\n  subject: {{exact: \"{SUBJECT}\"}}\n"
        );
        stage.keep("identity.yaml", identity);
        stage.keep("root.json", stage.world.root_json().to_string());
        stage.keep("cosign.pub", stage.key.public_pem());
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn keep(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// A signature of the manifest by the workflow.
    pub(super) fn good(&self) -> Shape<'_> {
        Shape {
            artifact: self.manifest.clone(),
            ..self.world.good()
        }
    }

    fn keyed(&self) -> Shape<'_> {
        Shape {
            artifact: self.manifest.clone(),
            ..self.world.keyed(&self.key)
        }
    }

    pub(super) fn tag_of(&self) -> String {
        let digest = Sha256Digest::of(&self.manifest);
        digest.to_string().replace(':', "-")
    }

    /// Bundles as cosign 3 pushes them, in the list of the registry.
    pub(super) fn refer(&self, bundles: &[Shape<'_>]) {
        self.registry.content.list_referrers(self.index(bundles));
    }

    /// The same, under the tag that stands for such a list.
    pub(super) fn refer_by_tag(&self, bundles: &[Shape<'_>]) {
        let index = self.index(bundles);
        self.registry.content.tag(&self.tag_of(), index);
    }

    pub(super) fn index(&self, bundles: &[Shape<'_>]) -> Vec<u8> {
        let descriptors = bundles.iter().map(|shape| {
            let bytes = shape.bundle().to_string().into_bytes();
            let content = &self.registry.content;
            let layer = descriptor(BUNDLE, &content.blob(&bytes), bytes.len());
            let config = descriptor("application/vnd.oci.empty.v1+json", &content.blob(b"{}"), 2);
            let manifest = json!({
                "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE, "config": config,
                "layers": [layer],
            });
            let bytes = manifest.to_string().into_bytes();
            let digest = content.untagged(&bytes);
            let mut said = descriptor(MANIFEST, &digest, bytes.len());
            said["artifactType"] = BUNDLE.into();
            said
        });
        let all: Vec<_> = descriptors.collect();
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": all});
        index.to_string().into_bytes()
    }

    /// A signature as cosign 2 pushes it.
    pub(super) fn simple(&self, shape: &Shape<'_>) {
        let payload = json!({
            "critical": {
                "identity": {"docker-reference": "registry.test/charts/hashtest"},
                "image": {"docker-manifest-digest": Sha256Digest::of(&self.manifest).to_string()},
                "type": "cosign container image signature",
            },
            "optional": null,
        });
        let payload = payload.to_string().into_bytes();
        let made = Shape {
            artifact: payload.clone(),
            content: Content::Message,
            names: shape.names.clone(),
            claims: shape.claims.clone(),
            issuer: shape.issuer.clone(),
            ..*shape
        }
        .make();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut annotations = json!({
            "dev.cosignproject.cosign/signature": text(&made.bundle["messageSignature"]["signature"]),
        });
        if let Some(certificate) = &made.certificate {
            let entry = &made.bundle["verificationMaterial"]["tlogEntries"][0];
            let id = base64_to_hex(&text(&entry["logId"]["keyId"]));
            let promise = json!({
                "SignedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
                "Payload": {
                    "body": entry["canonicalizedBody"],
                    "integratedTime": text(&entry["integratedTime"]).parse::<i64>().unwrap(),
                    "logIndex": text(&entry["logIndex"]).parse::<i64>().unwrap(),
                    "logID": id,
                },
            });
            annotations["dev.sigstore.cosign/certificate"] = pem("CERTIFICATE", certificate).into();
            annotations["dev.sigstore.cosign/bundle"] = promise.to_string().into();
        }
        let content = &self.registry.content;
        let mut layer = descriptor(SIMPLE, &content.blob(&payload), payload.len());
        layer["annotations"] = annotations;
        let kind = "application/vnd.oci.image.config.v1+json";
        let config = descriptor(kind, &content.blob(b"{}"), 2);
        let image =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        self.registry.tag(&format!("{}.sig", self.tag_of()), &image);
    }

    pub(super) async fn verify(&self, arguments: &[&str]) -> (i32, Value) {
        let chart = format!("{}/hashtest:{VERSION}", self.registry.url());
        self.verify_at(&chart, arguments).await
    }

    async fn verify_at(&self, chart: &str, arguments: &[&str]) -> (i32, Value) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_charttrust"));
        command.env_clear().env("HOME", self.home.path());
        command.current_dir(self.home.path());
        command.args(["verify", chart]).args(arguments);
        command.args(["--allow-host", "127.0.0.1", "-o", "json"]);
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.unwrap().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let report = serde_json::from_slice(&output.stdout);
        let report = report.unwrap_or_else(|error| panic!("{error}: {told}"));
        (output.status.code().unwrap(), report)
    }

    #[track_caller]
    pub(super) fn is((code, report): (i32, Value), expected: i32, word: &str) {
        assert_eq!(
            (code, report["reason"].as_str()),
            (expected, Some(word)),
            "{report}"
        );
    }
}

fn base64_to_hex(text: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::prelude::BASE64_STANDARD.decode(text).unwrap();
    hex::encode(bytes)
}

#[tokio::test]
async fn each_form_of_each_kind_of_signature_is_enough() {
    let by_key = ["--key", "cosign.pub", "--trusted-root", "root.json"];
    for is_keyed in [false, true] {
        let arguments = if is_keyed { &by_key } else { &IDENTITY };
        for form in ["registry", "tag", "sig"] {
            let stage = Stage::new().await;
            let one = || {
                if is_keyed {
                    stage.keyed()
                } else {
                    stage.good()
                }
            };
            let without = stage.verify(arguments).await;
            Stage::is(without, 1, "Unsigned");
            match form {
                "registry" => stage.refer(&[one()]),
                "tag" => stage.refer_by_tag(&[one()]),
                _ => stage.simple(&one()),
            }
            let said = stage.verify(arguments).await;
            assert_eq!(said.1["signers"][0]["algorithm"], "Sigstore", "{form}");
            Stage::is(said, 0, "ArchiveVerified");
        }
    }
}

#[tokio::test]
async fn what_does_not_bind_this_chart_has_its_word() {
    let theirs = World::called("theirs");
    let stage = Stage::new().await;
    let of_another = Shape {
        artifact: b"another manifest".to_vec(),
        ..stage.good()
    };
    // A signature of the archive is none of the manifest that lists it.
    let of_archive = Shape {
        artifact: SIGNED_CHART.to_vec(),
        ..stage.good()
    };
    let sbom = Shape {
        content: Content::Statement("https://spdx.dev/Document"),
        ..stage.good()
    };
    let by_others = Shape {
        artifact: stage.manifest.clone(),
        ..theirs.good()
    };
    for (shape, word) in [
        (of_another, "DigestMismatch"),
        (of_archive, "DigestMismatch"),
        (sbom, "Unsigned"),
        (by_others, "SignerNotTrusted"),
    ] {
        stage.refer(&[shape]);
        Stage::is(stage.verify(&IDENTITY).await, 1, word);
    }
    stage.refer(&[stage.good()]);
    Stage::is(stage.verify(&IDENTITY).await, 0, "ArchiveVerified");
}

#[tokio::test]
async fn what_is_not_told_is_unknown_and_never_unsigned() {
    let registry = Registry::named(REPOSITORY, |request, _| {
        let is_asked = request.url.path().contains("/referrers/");
        is_asked.then(|| ResponseTemplate::new(503))
    });
    let stage = Stage::of(registry.await);
    stage.refer(&[stage.good()]);
    Stage::is(stage.verify(&IDENTITY).await, 3, "SourceUnavailable");

    let stage = Stage::new().await;
    let junk = (0..32).map(|_| Shape {
        content: Content::Statement("https://spdx.dev/Document"),
        ..stage.good()
    });
    let all: Vec<_> = junk.chain([stage.good()]).collect();
    stage.refer(&all);
    Stage::is(stage.verify(&IDENTITY).await, 3, "LimitExceeded");
    stage.refer(&all[1..]);
    Stage::is(stage.verify(&IDENTITY).await, 0, "ArchiveVerified");
}

#[tokio::test]
async fn whoever_gives_no_key_of_sigstore_asks_for_no_signature() {
    let stage = Stage::new().await;
    stage.keep("key.gpg", crate::court::KEY);
    stage.refer(&[stage.good()]);
    let said = stage.verify(&["--key", "key.gpg"]).await;
    Stage::is(said, 1, "Unsigned");
    let asked = stage.registry.asked().await;
    assert!(
        !asked.iter().any(|it| it.contains("referrers")),
        "{asked:?}"
    );
    assert!(!asked.iter().any(|it| it.contains(".sig")), "{asked:?}");
}

/// A bundle beside an archive binds the archive itself.
#[tokio::test]
async fn a_bundle_beside_an_archive_over_http_is_enough() {
    let stage = Stage::new().await;
    let server = wiremock::MockServer::start().await;
    let bytes = |bytes: Vec<u8>| ResponseTemplate::new(200).set_body_bytes(bytes);
    let index = "apiVersion: v1\nentries:\n  hashtest:\n  - name: hashtest\n    version: 1.2.3\n    urls: \
                 [hashtest-1.2.3.tgz]\n";
    let good = Shape {
        artifact: SIGNED_CHART.to_vec(),
        log: Log::V1,
        ..stage.world.good()
    };
    for (path, answer) in [
        ("/index.yaml", bytes(index.into())),
        ("/hashtest-1.2.3.tgz", bytes(SIGNED_CHART.to_vec())),
        (
            "/hashtest-1.2.3.tgz.sigstore.json",
            bytes(good.bundle().to_string().into_bytes()),
        ),
    ] {
        let mock = wiremock::Mock::given(wiremock::matchers::path(path)).respond_with(answer);
        mock.mount(&server).await;
    }
    let chart = format!("{}/hashtest-1.2.3.tgz", server.uri());
    Stage::is(
        stage.verify_at(&chart, &IDENTITY).await,
        0,
        "ArchiveVerified",
    );
    let repository = ["--repo", &server.uri(), "--key", "cosign.pub"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_charttrust"));
    command
        .env_clear()
        .env("HOME", stage.home.path())
        .current_dir(stage.home.path());
    command
        .arg("verify")
        .args(repository)
        .args(["--allow-host", "127.0.0.1"]);
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // Asked for, and by somebody else.
    assert!(text.contains("SignerNotTrusted"), "{text}");
}
