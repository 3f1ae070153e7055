//! A context over a small API server in memory, for tests of what is decided and written.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use charttrust_verify::check::{Judgement, PolicyVerdict};
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{
    Answer, ArchiveFacts, Claim, Claims, Evidence, Outcome, Place, ProvenanceFacts, SignatureFacts,
    Signed,
};
use charttrust_verify::key::{HardRevocation, RevokedBy};
use charttrust_verify::openpgp::{Fingerprint, SignatureRecord, VerifiedSignature};
use charttrust_verify::seal::Attestation;
use charttrust_verify::verdict::{Reason, Verdict};
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};
use wiremock::MockServer;

use crate::api::Quarantine;
use crate::controllers::context::{
    Context, DeployerSecrets, QuarantineSettings, Reports, Settings,
};
use crate::controllers::quarantine::made;
use crate::controllers::store::{Content, Reading, Revision};
use crate::fake_cluster::FakeCluster;
use crate::inventory::helm::{Driver, RecordKey, RecordMeta};
use crate::inventory::{Mark, ReleaseId};
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::parse;
use crate::sources;
use crate::watch::Reach;

/// The operator's own namespace.
pub(super) const OPERATOR_NAMESPACE: &str = "charttrust-system";
/// uid of each Quarantine.
pub(super) const UID: &str = "quarantine-uid";
/// The policy of [`Scene::automatic`].
pub(super) const POLICY: &str = "strict";

/// A trusted root with one log: that of the public instance.
pub(super) const ROOT: &str = r#"{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
  "tlogs": [{"baseUrl": "https://rekor.sigstore.dev", "hashAlgorithm": "SHA2_256",
    "publicKey": {"rawBytes": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2G2Y+2tabdTV5BcGiBIx0a9fAFwrkBbmLSGtks4L3qX6yYY0zufBnhC8Ur/iy55GhWP/9A/bY2LhC30M9+RYtw==",
      "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": {"start": "2021-01-12T11:53:27.000Z"}},
    "logId": {"keyId": "wNI9atQGlz+VWfO6LRygH4QUfY/8W4RFwiT5i5WRgB0="}}],
  "certificateAuthorities": [], "ctlogs": [], "timestampAuthorities": []}"#;

/// What is known of a cluster, and the cluster.
pub(super) struct Scene {
    pub(super) context: Context,
    pub(super) cluster: FakeCluster,
    pub(super) server: MockServer,
}

impl Scene {
    /// With these settings of quarantine, and nothing known.
    pub(super) async fn with(
        quarantine: Option<QuarantineSettings>,
        leadership: Leadership,
    ) -> Self {
        Self::reaching(Vec::new(), quarantine, leadership).await
    }

    /// With sources at these hosts.
    pub(super) async fn reaching(
        allowed_hosts: Vec<sources::AllowedHost>,
        quarantine: Option<QuarantineSettings>,
        leadership: Leadership,
    ) -> Self {
        Self::on(
            FakeCluster::default(),
            allowed_hosts,
            quarantine,
            leadership,
        )
        .await
    }

    async fn on(
        cluster: FakeCluster,
        allowed_hosts: Vec<sources::AllowedHost>,
        quarantine: Option<QuarantineSettings>,
        leadership: Leadership,
    ) -> Self {
        let mut settings = settings(allowed_hosts);
        settings.quarantine = quarantine;
        Self::of(cluster, settings, leadership).await
    }

    /// One that reports verdicts in a kind of others.
    pub(super) async fn reporting(cluster: FakeCluster, reports: Reports) -> Self {
        let settings = Settings {
            reports,
            ..settings(Vec::new())
        };
        Self::of(cluster, settings, Leadership::Alone).await
    }

    /// One that signs statements.
    pub(super) async fn signing() -> Self {
        Self::signing_on(FakeCluster::default()).await
    }

    /// The same cluster, and a process that has read nothing yet.
    pub(super) async fn started_anew(self) -> Self {
        Self::signing_on(self.cluster).await
    }

    async fn signing_on(cluster: FakeCluster) -> Self {
        let settings = Settings {
            signs_statements: true,
            ..settings(Vec::new())
        };
        Self::of(cluster, settings, Leadership::Alone).await
    }

    /// One that contains, and looks at these namespaces only.
    pub(super) async fn limited(cluster: FakeCluster, namespaces: &[&str]) -> Self {
        let named = namespaces.iter().map(ToString::to_string);
        let settings = Settings {
            reach: Reach::of(named),
            quarantine: Some(QuarantineSettings::default()),
            ..settings(Vec::new())
        };
        Self::of(cluster, settings, Leadership::Alone).await
    }

    async fn of(cluster: FakeCluster, settings: Settings, leadership: Leadership) -> Self {
        let (server, client) = cluster.clone().start().await;
        let context = Context::new(client, leadership, settings, Arc::new(Metrics::default()));
        context.cache.deployers.suppose_absent();
        context.cache.records.applications.suppose_absent();
        Self {
            context,
            cluster,
            server,
        }
    }

    /// The paths of all requests that have reached the server, in order.
    pub(super) async fn asked(&self) -> Vec<String> {
        let all = self.server.received_requests().await.unwrap();
        let path = |request: &wiremock::Request| {
            let query = request.url.query().unwrap_or_default();
            format!("{}?{query}", request.url.path())
        };
        all.iter().map(path).collect()
    }

    /// Runs a test while something is followed, as a replica that leads does it.
    pub(super) fn following<'a>(
        &'a self,
        watches: impl Future<Output = ()> + 'a,
        test: impl Future<Output = ()> + 'a,
    ) -> LocalBoxFuture<'a, ()> {
        let open = &self.context.queues.are_open;
        open.store(true, Ordering::SeqCst);
        let test = tokio::time::timeout(Duration::from_secs(60), test);
        let following = async move {
            tokio::select! {
                () = watches => panic!("the watches have ended"),
                ended = test => ended.expect("what was waited for"),
            }
        };
        following.boxed_local()
    }

    /// One that contains by itself: `shop/web` was installed, and is bad by its policy.
    pub(super) async fn automatic() -> Self {
        let scene = Self::with(Some(QuarantineSettings::default()), Leadership::Alone).await;
        scene.know_automatic();
        scene
    }

    fn know_automatic(&self) {
        self.declare(&json!({}));
        self.install(&web(), Driver::Secret);
        self.judge(&web(), vec![stolen()]);
    }

    /// Another process on the cluster of one that contained by itself.
    pub(super) async fn restarted(&self) -> Self {
        let quarantine = Some(QuarantineSettings::default());
        let scene = Self::on(
            self.cluster.clone(),
            Vec::new(),
            quarantine,
            Leadership::Alone,
        )
        .await;
        scene.know_automatic();
        scene
    }

    /// Declares the policy, with changes to the quarantine that it asks for.
    pub(super) fn declare(&self, changes: &Value) {
        let mut quarantine = json!({
            "onReasons": ["KeyCompromised"], "approval": "Automatic", "after": "0s",
            "actions": ["ScaleToZero"], "limit": {"maxReleases": 5, "maxPercent": 100},
        });
        json_patch::merge(&mut quarantine, changes);
        self.declare_spec(&json!({"quarantine": quarantine}));
    }

    /// Declares the policy, with changes to its whole specification.
    pub(super) fn declare_spec(&self, changes: &Value) {
        let mut spec = json!({"rules": [{
            "name": "all", "charts": ["*"],
            "sources": [{"url": "https://charts.example.com"}],
            "verify": {"signers": {"keys": ["platform"]}},
        }]});
        json_patch::merge(&mut spec, changes);
        let object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
            "metadata": {"name": POLICY, "generation": 1}, "spec": spec,
        });
        let path = format!("/apis/charttrust.io/v1alpha1/charttrustpolicies/{POLICY}");
        self.cluster.put(&path, object.clone());
        let loaded = parse::policy(&serde_json::from_value(object).unwrap());
        assert_eq!(loaded.problems, []);
        let reading = Reading {
            generation: 1,
            details: String::new(),
            at: Timestamp::UNIX_EPOCH,
        };
        self.context
            .store
            .set_policy(POLICY, Some((reading, loaded)));
    }

    /// A record of a release appears, and a workload that carries its marks.
    pub(super) fn install(&self, release: &ReleaseId, driver: Driver) {
        let ReleaseId { namespace, name } = release;
        let workload = json!({"metadata": {
            "namespace": namespace, "name": name,
            "labels": {"app.kubernetes.io/managed-by": "Helm"},
            "annotations": {
                "meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace,
            },
        }});
        self.cluster.put(&workload_of(release), workload);
        self.record(release, driver);
    }

    /// A record of a release appears.
    pub(super) fn record(&self, release: &ReleaseId, driver: Driver) {
        let key = RecordKey {
            release: release.clone(),
            driver,
            revision: 1,
        };
        let meta = RecordMeta {
            resource_version: "1".to_owned(),
            claimed_status: "deployed".to_owned(),
        };
        self.context.cache.records.of(driver).set(key, Some(meta));
    }

    /// The release is judged so.
    pub(super) fn judge(&self, release: &ReleaseId, policies: Vec<PolicyVerdict>) {
        let verdicts = policies.iter().map(|said| said.verdict);
        let judgement = Judgement {
            verdict: Verdict::worst(verdicts).unwrap(),
            policies,
            findings: Vec::new(),
        };
        self.context
            .store
            .update(release, |known| known.judgement = Some(judgement));
    }

    /// Its record and its workload go.
    pub(super) fn uninstall(&self, release: &ReleaseId) {
        let key = RecordKey {
            release: release.clone(),
            driver: Driver::Secret,
            revision: 1,
        };
        self.context.cache.records.secrets.set(key, None);
        self.cluster.remove(&workload_of(release));
    }

    /// A Quarantine of a release is on the server, started by the policy, and seen.
    pub(super) fn quarantine(&self, release: &ReleaseId, changes: &Value) {
        let ReleaseId { namespace, name } = release;
        let mut object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "Quarantine",
            "metadata": {"namespace": namespace, "name": name, "uid": UID, "generation": 1,
                "finalizers": [crate::quarantine::FINALIZER]},
            "spec": {"reason": "a test", "policy": POLICY, "actions": ["ScaleToZero"]},
        });
        json_patch::merge(&mut object, changes);
        let carried = &object["metadata"]["annotations"][made::MADE];
        if object["spec"]["policy"].is_string() && carried.is_null() {
            let spec = serde_json::from_value(object["spec"].clone()).unwrap();
            let tag = made::tag(self.context.store.seal(), release, &spec);
            let made = json!({"metadata": {"annotations": {made::MADE: tag}}});
            json_patch::merge(&mut object, &made);
        }
        let ended = &object["status"]["endedBy"];
        let is_ours = ended.is_string() && ended != "Uninstall";
        if is_ours && object["status"]["endedTag"].is_null() {
            let ended = serde_json::from_value(ended.clone()).unwrap();
            let tag = made::end_tag(self.context.store.seal(), (release, UID), ended);
            object["status"]["endedTag"] = json!(tag);
        }
        let object = self.cluster.put(&quarantine_of(release), object);
        let object: Quarantine = serde_json::from_value(object).unwrap();
        let quarantines = &self.context.cache.quarantines;
        quarantines.set(release.clone(), Some(Ok(object)));
    }

    /// The writes to Quarantines, in words.
    pub(super) fn of_quarantines(&self) -> Vec<String> {
        let all = self.cluster.writes().into_iter();
        all.filter(|write| write.path.contains("/quarantines"))
            .map(|write| {
                let place = write.path.split("/namespaces/").nth(1).unwrap();
                format!("{} {place}", write.verb)
            })
            .collect()
    }
}

fn settings(allowed_hosts: Vec<sources::AllowedHost>) -> Settings {
    Settings {
        namespace: OPERATOR_NAMESPACE.to_owned(),
        instance: "charttrust-0".to_owned(),
        reach: Reach::Everywhere,
        unaccounted: true,
        sources: sources::Settings {
            allowed_hosts,
            auth_hosts: Vec::new(),
            limits: sources::Limits::default(),
            user_agent: "charttrust".to_owned(),
        },
        deployer_secrets: DeployerSecrets::default(),
        token_audiences: Vec::new(),
        webhook: None,
        freeze: None,
        quarantine: None,
        reports: Reports::None,
        signs_statements: false,
    }
}

pub(super) fn id(namespace: &str, name: &str) -> ReleaseId {
    ReleaseId {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

pub(super) fn web() -> ReleaseId {
    id("shop", "web")
}

pub(super) fn quarantine_of(release: &ReleaseId) -> String {
    let ReleaseId { namespace, name } = release;
    format!("/apis/charttrust.io/v1alpha1/namespaces/{namespace}/quarantines/{name}")
}

pub(super) fn workload_of(release: &ReleaseId) -> String {
    let ReleaseId { namespace, name } = release;
    format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
}

/// The policy has nothing against it, or something that names no revocation.
pub(super) fn said(verdict: Verdict) -> PolicyVerdict {
    PolicyVerdict {
        policy: POLICY.to_owned(),
        rule: Some("all".to_owned()),
        verdict,
        exempt_by: None,
        origin: None,
        revocations: BTreeSet::new(),
    }
}

/// The policy says that its key was stolen.
pub(super) fn stolen() -> PolicyVerdict {
    PolicyVerdict {
        revocations: BTreeSet::from([revocation()]),
        ..said(Verdict::Untrusted(Reason::KeyCompromised))
    }
}

pub(super) fn revocation() -> HardRevocation {
    HardRevocation {
        fingerprint: "0123456789ABCDEF0123456789ABCDEF01234567".parse().unwrap(),
        by: RevokedBy::Certificate("5eed".to_owned()),
    }
}

/// A revision of a chart whose archive this key has signed, with signatures that end then.
pub(super) fn signed_revision(key: &Fingerprint, ends: &[Option<&str>]) -> Revision {
    let signature = |end: Option<&str>| SignatureFacts {
        claimed: Claim {
            fingerprint: Some(key.clone()),
            key_id: None,
            created: None,
            algorithm: "Ed25519/SHA512".into(),
        },
        outcome: Outcome::Verified(VerifiedSignature::restore(
            SignatureRecord {
                primary: key.clone(),
                signer: key.clone(),
                created: "2026-11-18T00:00:00Z".parse().unwrap(),
                expires: end.map(|end| end.parse().unwrap()),
                algorithm: "Ed25519".into(),
                hash: "SHA512".into(),
            },
            Attestation::supposed(),
        )),
    };
    let digest = Sha256Digest::of(b"archive");
    let signed = Signed {
        digest: Sha256Digest::of(b"provenance"),
        claims: Claims {
            claimed_name: "web".into(),
            claimed_version: "1.0.0".into(),
            claimed_archive: Some(digest),
        },
        signatures: ends.iter().copied().map(signature).collect(),
        place: Place::Main,
        message: None,
    };
    let provenance = ProvenanceFacts::Signed(Box::new(signed));
    let facts = ArchiveFacts {
        settled: true,
        ..ArchiveFacts::plain(digest, ("web", "1.0.0"), provenance)
    };
    let mut evidence = Evidence::default();
    let source = "https://charts.example.com".to_owned();
    let answer = Answer::Archive(Box::new(facts));
    evidence.answers.insert(source, answer);
    Revision {
        mark: Mark::None,
        resource_version: "1".into(),
        content: Ok(Content {
            chart: "web".into(),
            version: "1.0.0".into(),
            manifest: None,
            recorded: None,
            digest: Sha256Digest::of(b"content"),
            evidence,
        }),
    }
}
