//! A small cluster in memory, and the program run against it as people run it.

use std::fs::{OpenOptions, Permissions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use charttrust::controllers::statements::{self, Envelope, Statement, pem};
use charttrust::inventory::ReleaseId;
use charttrust_verify::seal::Seal;
use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::MockServer;

use crate::fake_cluster::FakeCluster;

pub(crate) const KEY: &str = "/apis/charttrust.io/v1alpha1/trustedkeys/platform";
pub(crate) const LEASE: &str =
    "/apis/coordination.k8s.io/v1/namespaces/charttrust-system/leases/charttrust";

/// What a command is run with that nobody listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Both are read.
    Open,
    /// The reader of standard output has gone.
    OutputClosed,
    /// Both readers have gone, as with `2>&1 | head -1`.
    BothClosed,
    /// Standard output goes to a disk that is full.
    DiskFull,
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
    pub(crate) errors: String,
}

pub(crate) struct World {
    pub(crate) cluster: FakeCluster,
    pub(crate) folder: TempDir,
    server: MockServer,
}

impl World {
    /// Releases `shop/web` and `bank/ledger`, signed by the key `platform`; an operator that leads.
    pub(crate) async fn new() -> Self {
        let cluster = FakeCluster::default();
        let (server, _) = cluster.clone().start().await;
        let folder = tempfile::tempdir().unwrap();
        let world = Self {
            cluster,
            folder,
            server,
        };
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{"name": "c", "cluster": {"server": world.server.uri()}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        });
        std::fs::write(world.kubeconfig(), config.to_string()).unwrap();
        world.declare();
        world.releases();
        world.lease("charttrust-0", "2099-01-02T03:04:05.000000Z");
        world
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    fn declare(&self) {
        self.cluster.put(KEY, key());
        let rule = json!({
            "name": "all", "charts": ["*"], "sources": [{"url": SOURCE}],
            "verify": {"signers": {"keys": ["platform"]}},
        });
        let object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
            "metadata": {"name": "policy", "generation": 1}, "spec": {"rules": [rule]},
            "status": {"observedGeneration": 1},
        });
        let path = "/apis/charttrust.io/v1alpha1/charttrustpolicies/policy";
        self.cluster.put(path, object);
    }

    /// Its two releases are there, and judged.
    pub(crate) fn releases(&self) {
        for (namespace, name) in [("shop", "web"), ("bank", "ledger")] {
            self.install(namespace, name);
        }
    }

    fn install(&self, namespace: &str, name: &str) {
        let namespaces = format!("/api/v1/namespaces/{namespace}");
        let object = json!({"metadata": {"name": namespace, "labels": {}}});
        self.cluster.put(&namespaces, object);
        let workload = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{name}"),
                "labels": {"app.kubernetes.io/managed-by": "Helm"},
                "annotations": {"meta.helm.sh/release-name": name,
                    "meta.helm.sh/release-namespace": namespace}},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}}},
        });
        let manifest = format!("---\n{workload}\n");
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
        self.cluster.put(&path, workload);
        let record = json!({
            "name": name, "namespace": namespace, "version": 1, "info": {"status": "deployed"},
            "chart": {"metadata": {"apiVersion": "v2", "name": name, "version": "1.0.0"}},
            "manifest": manifest, "hooks": [],
        });
        let encoded = BASE64_STANDARD.encode(BASE64_STANDARD.encode(record.to_string()));
        let object = format!("sh.helm.release.v1.{name}.v1");
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
            "metadata": {"namespace": namespace, "name": object,
                "labels": {"owner": "helm", "name": name, "status": "deployed", "version": "1"}},
            "data": {"release": encoded},
        });
        self.cluster
            .put(&format!("{namespaces}/secrets/{object}"), secret);
        let path =
            format!("/apis/charttrust.io/v1alpha1/namespaces/{namespace}/releasetrusts/{name}");
        self.cluster.put(&path, trust(namespace, name));
    }

    /// A person has asked for the quarantine of a release, and the operator has stopped it.
    pub(crate) fn contained(&self, namespace: &str, name: &str) {
        let uid = format!("quarantine-{name}");
        let workload = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
        let mut live = self.cluster.find(&workload).unwrap();
        let annotation = json!({
            "incident": format!("manual/{uid}"), "quarantine": uid, "uid": format!("uid-{name}"),
            "time": "2026-11-18T10:00:00Z", "original": 3,
        });
        live["metadata"]["annotations"]["charttrust.io/quarantine"] = json!(annotation.to_string());
        live["metadata"]["managedFields"] = json!([{
            "manager": "charttrust", "operation": "Update", "apiVersion": "apps/v1",
            "time": "2026-11-18T10:00:00Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:annotations": {"f:charttrust.io/quarantine": {}}},
                "f:spec": {"f:replicas": {}}},
        }]);
        live["spec"]["replicas"] = json!(0);
        self.cluster.put(&workload, live);
        let object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "Quarantine",
            "metadata": {"namespace": namespace, "name": name, "uid": uid, "generation": 1,
                "creationTimestamp": "2026-11-18T10:00:00Z", "finalizers": ["charttrust.io/restore"]},
            "spec": {"reason": "a test", "actions": ["ScaleToZero"]},
            "status": {
                "incident": format!("manual/{uid}"), "contained": 1, "observedGeneration": 1,
                "objects": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": name,
                    "action": "ScaleToZero", "original": "3",
                    "uid": format!("uid-{name}"), "state": "Contained"}],
                "conditions": [{"type": "Active", "status": "True", "reason": "Contained",
                    "message": "1 of 1 objects are contained", "observedGeneration": 1,
                    "lastTransitionTime": "2026-11-18T10:00:00Z"}],
            },
        });
        self.cluster.put(&quarantine(namespace, name), object);
    }

    /// The operator has signed a statement about each release.
    pub(crate) fn stated(&self) {
        let key = seal().key_for_others().unwrap();
        self.stated_by(&pem(&key));
        for (namespace, name) in [("shop", "web"), ("bank", "ledger")] {
            let status = serde_json::from_value(trust(namespace, name)["status"].clone()).unwrap();
            let id = ReleaseId {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            };
            let statement = Statement::of(&id, &status, "2026-11-18T10:00:00Z".parse().unwrap());
            let envelope = Envelope::signed(&statement.unwrap(), &seal()).unwrap();
            let data = json!({name: serde_json::to_string(&envelope).unwrap()});
            self.config_map(&statements::name(namespace, 1), &data);
        }
    }

    /// The key of the statements, as the operator has written it down.
    pub(crate) fn stated_by(&self, key: &str) {
        self.config_map(statements::KEY, &json!({statements::KEY_ENTRY: key}));
    }

    /// The entries of a ConfigMap of the operator's namespace.
    pub(crate) fn config(&self, name: &str) -> Value {
        let path = format!("/api/v1/namespaces/charttrust-system/configmaps/{name}");
        self.cluster.find(&path).unwrap()["data"].clone()
    }

    pub(crate) fn config_map(&self, name: &str, data: &Value) {
        let namespace = "charttrust-system";
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": namespace, "name": name}, "data": data});
        self.cluster.put(&path, object);
    }

    /// The Lease of the operator.
    pub(crate) fn lease(&self, holder: &str, renewed: &str) {
        let object = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "charttrust", "namespace": "charttrust-system"},
            "spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15},
        });
        self.cluster.put(LEASE, object);
    }

    /// An installation as the chart makes it, whose leader has renewed its Lease this moment.
    pub(crate) fn installed(&self) {
        let version = json!({"major": "1", "minor": "36", "gitVersion": "v1.36.3", "gitCommit": "",
            "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
        self.cluster.hold("/version", version);
        for (name, document) in charttrust::cli::crds::files() {
            let definition: Value = serde_saphyr::from_str(&document).unwrap();
            let name = name.trim_end_matches(".yaml");
            let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
            self.cluster
                .put(&format!("{path}/{name}.charttrust.io"), definition);
        }
        let namespace = "charttrust-system";
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"namespace": namespace, "name": "charttrust"},
            "spec": {"replicas": 2, "selector": {}, "template": {"spec": {
                "serviceAccountName": "charttrust",
                "containers": [{"name": "operator", "args": ["run", "--namespace=charttrust-system"]}]}}},
            "status": {"readyReplicas": 2},
        });
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/charttrust");
        self.cluster.put(&path, deployment);
        self.lease("charttrust-0", &format!("{:.6}", charttrust::clock::now()));
    }

    /// How many replicas a workload is to have.
    pub(crate) fn replicas(&self, namespace: &str, name: &str) -> Value {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
        self.cluster.find(&path).unwrap()["spec"]["replicas"].clone()
    }

    /// Puts Helm's signed test chart, its key, and the one of the cluster into the folder.
    pub(crate) fn lay_chart(&self) {
        std::fs::write(self.folder.path().join("key.yaml"), key().to_string()).unwrap();
        let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("verify/tests");
        for (from, to) in [
            ("data/hashtest-1.2.3.tgz", "hashtest-1.2.3.tgz"),
            (
                "openpgp/vectors/helm-hashtest-1.2.3.tgz.prov",
                "hashtest-1.2.3.tgz.prov",
            ),
            ("openpgp/vectors/helm-test-key.pub", "key.gpg"),
        ] {
            std::fs::copy(vectors.join(from), self.folder.path().join(to)).unwrap();
        }
    }

    /// Puts a chart that is not signed into the folder, and a program that answers as gpg does that has Helm's
    /// test key: it hands out `key.gpg`, and what that key has signed. It notes in `gpg.log` how it is run.
    pub(crate) fn lay_gpg(&self) {
        self.lay_chart();
        let here = |name: &str| self.folder.path().join(name);
        std::fs::rename(here("hashtest-1.2.3.tgz.prov"), here("signed.asc")).unwrap();
        self.lay_program("gpg", GPG);
    }

    /// Puts a program for `sh` into the folder.
    pub(crate) fn lay_program(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }

    /// Whether that chart is signed now, with nothing left beside it.
    pub(crate) fn is_signed(&self) -> bool {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        let names: Vec<_> = names
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        let has_part = names.iter().any(|name| name.starts_with('.'));
        names.contains(&"hashtest-1.2.3.tgz.prov".to_owned()) && !has_part
    }

    /// Declares a key that takes over.
    pub(crate) fn next_key(&self) {
        let mut next = key();
        next["metadata"]["name"] = json!("next");
        next["spec"]["fingerprint"] = json!("B".repeat(40));
        self.cluster
            .put("/apis/charttrust.io/v1alpha1/trustedkeys/next", next);
    }

    /// Declares a second key, whose material lies in a ConfigMap.
    pub(crate) fn hide_key(&self) {
        let mut key = key();
        key["metadata"]["name"] = json!("hidden");
        key["spec"]["fingerprint"] = json!("0".repeat(40));
        key["spec"]["publicKey"] = json!({"configMapRef": {"name": "keys", "key": "hidden.asc"}});
        self.cluster
            .put("/apis/charttrust.io/v1alpha1/trustedkeys/hidden", key);
    }

    /// Puts the policy of the cluster into the folder.
    pub(crate) fn lay_policy(&self) {
        let path = "/apis/charttrust.io/v1alpha1/charttrustpolicies/policy";
        let policy = self.cluster.find(path).unwrap().to_string();
        std::fs::write(self.folder.path().join("policy.yaml"), policy).unwrap();
    }

    /// Runs the program to its end.
    pub(crate) async fn run(&self, arguments: &[String], ends: Ends) -> Said {
        let child = self.start(arguments, ends);
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
        Said::of(&output.await.unwrap())
    }

    /// Runs the program until the cluster is so, and tells it to stop.
    pub(crate) async fn until(
        &self,
        is_so: impl Fn(&Self) -> bool,
        arguments: &[String],
        ends: Ends,
    ) -> Said {
        let child = self.start(arguments, ends);
        let process = child.id().to_string();
        let mut output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
        while !is_so(self) {
            tokio::select! {
                () = self.cluster.asked(self.cluster.requests() + 1) => {}
                ended = &mut output => return Said::of(&ended.unwrap()),
            }
        }
        let _ = Command::new("kill").args(["-TERM", &process]).status();
        Said::of(&output.await.unwrap())
    }

    fn start(&self, arguments: &[String], ends: Ends) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_charttrust"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("KUBECONFIG", self.kubeconfig())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if ends == Ends::DiskFull {
            let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
            command.stdout(full);
        }
        let mut child = command.spawn().unwrap();
        if matches!(ends, Ends::OutputClosed | Ends::BothClosed) {
            drop(child.stdout.take());
        }
        if ends == Ends::BothClosed {
            drop(child.stderr.take());
        }
        child
    }
}

const GPG: &str = r#"#!/bin/sh
echo "$*" >> gpg.log
case "$*" in
*--export*0000) ;;
*--export*) cat key.gpg ;;
*--clearsign*) cat > asked.txt; cat signed.asc ;;
esac
"#;

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code(),
            text: text(&output.stdout),
            errors: text(&output.stderr),
        }
    }
}

pub(crate) fn quarantine(namespace: &str, name: &str) -> String {
    format!("/apis/charttrust.io/v1alpha1/namespaces/{namespace}/quarantines/{name}")
}

const ARMORED: &str = include_str!("../../verify/tests/openpgp/vectors/ed25519.asc");
const SOURCE: &str = "https://charts.example.com";

fn fingerprint() -> String {
    let all = charttrust_verify::openpgp::load_all(ARMORED.as_bytes()).unwrap();
    all[0].fingerprint().to_string()
}

fn key() -> Value {
    json!({
        "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey",
        "metadata": {"name": "platform", "generation": 1},
        "spec": {"fingerprint": fingerprint(), "publicKey": {"inline": ARMORED}},
        "status": {"observedGeneration": 1},
    })
}

/// What the operator has found of a release: an archive that the key has signed.
/// That of the operator.
pub(crate) fn seal() -> Seal {
    Seal::new(&[7; Seal::LENGTH])
}

fn trust(namespace: &str, name: &str) -> Value {
    let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
    json!({
        "apiVersion": "charttrust.io/v1alpha1", "kind": "ReleaseTrust",
        "metadata": {"namespace": namespace, "name": name, "generation": 1},
        "spec": {},
        "status": {
            "observedGeneration": 1,
            "release": {"revision": 1, "chart": name, "version": "1.0.0", "owner": "Helm",
                "resourceVersion": "1"},
            "conditions": [{"type": "Trusted", "status": "True", "reason": "SignatureVerified",
                "message": "content as signed", "observedGeneration": 1,
                "lastTransitionTime": "2026-11-18T10:00:00Z"}],
            "policies": [{"policy": "policy", "rule": "all", "verdict": "Trusted",
                "reason": "SignatureVerified"}],
            "signers": [{"fingerprint": fingerprint(), "algorithm": "Ed25519/SHA512",
                "signedAt": "2026-09-02T10:00:00Z", "verified": true}],
            "evidence": {
                "content": BASE64_STANDARD.encode([7; 32]).trim_end_matches('='),
                "sources": [{"url": SOURCE, "archive": digest("a"), "binding": "Same",
                    "provenance": digest("b"), "firstVerified": "2026-09-03T10:00:00Z"}],
            },
        },
    })
}
