//! A context over a small API server in memory, for tests of what is decided and written.

use std::collections::BTreeSet;
use std::sync::Arc;

use charttrust_verify::check::{Judgement, PolicyVerdict};
use charttrust_verify::key::{HardRevocation, RevocationWord};
use charttrust_verify::verdict::{Reason, Verdict};
use jiff::Timestamp;
use serde_json::{Value, json};
use wiremock::MockServer;

use super::world::Reading;
use super::{ContainmentSettings, Context, Settings};
use crate::api::Quarantine;
use crate::inventory::ReleaseId;
use crate::inventory::helm::{Driver, RecordKey, RecordMeta};
use crate::leader::Mandate;
use crate::metrics::Metrics;
use crate::parse;
use crate::quarantine::cluster::Cluster;
use crate::sources;

/// The operator's own namespace.
pub(super) const HOME: &str = "charttrust-system";
/// uid of each Quarantine.
pub(super) const UID: &str = "quarantine-uid";
/// The policy of [`Scene::automatic`].
pub(super) const POLICY: &str = "strict";

/// What is known of a cluster, and the cluster.
pub(super) struct Scene {
    pub(super) context: Context,
    pub(super) cluster: Cluster,
    _server: MockServer,
}

impl Scene {
    /// With these settings of containment, and nothing known.
    pub(super) async fn with(containment: Option<ContainmentSettings>, mandate: Mandate) -> Self {
        let cluster = Cluster::default();
        let (server, client) = cluster.clone().start().await;
        let settings = Settings {
            namespace: HOME.to_owned(),
            sources: sources::Settings {
                allowed_hosts: Vec::new(),
                limits: sources::Limits::default(),
                user_agent: "charttrust".to_owned(),
            },
            containment,
        };
        Self {
            context: Context::new(client, mandate, settings, Arc::new(Metrics::default())),
            cluster,
            _server: server,
        }
    }

    /// One that contains by itself: `shop/web` was installed, and is bad by its policy.
    pub(super) async fn automatic() -> Self {
        let scene = Self::with(Some(ContainmentSettings::default()), Mandate::Alone).await;
        scene.declare(&json!({}));
        scene.install(&web(), Driver::Secret);
        scene.judge(&web(), vec![stolen()]);
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
        let loaded = parse::policy(&serde_json::from_value(object).unwrap());
        assert_eq!(loaded.problems, []);
        let reading = Reading {
            generation: 1,
            details: String::new(),
            at: Timestamp::UNIX_EPOCH,
        };
        self.context
            .world
            .set_policy(POLICY, Some((reading, loaded)));
    }

    /// A record of a release appears.
    pub(super) fn install(&self, release: &ReleaseId, driver: Driver) {
        let key = RecordKey {
            release: release.clone(),
            driver,
            revision: 1,
        };
        let meta = RecordMeta {
            resource_version: "1".to_owned(),
            claimed_status: "deployed".to_owned(),
        };
        self.context.records(driver).set(key, Some(meta));
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
            .world
            .update(release, |known| known.judgement = Some(judgement));
    }

    /// Its record goes.
    pub(super) fn uninstall(&self, release: &ReleaseId) {
        let key = RecordKey {
            release: release.clone(),
            driver: Driver::Secret,
            revision: 1,
        };
        self.context.mirrors.secrets.set(key, None);
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
        let object = self.cluster.put(&quarantine_of(release), object);
        let object: Quarantine = serde_json::from_value(object).unwrap();
        let quarantines = &self.context.mirrors.quarantines;
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
        word: RevocationWord::Certificate("5eed".to_owned()),
    }
}
