//! The story that most stories are: a release `web`, the key that signs it, the policy that demands it.

use std::ops::Deref;

use charttrust::api::{Quarantine, TrustedKey};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource};
use serde_json::{Value, json};

use crate::charts::Source;
use crate::cluster::Cluster;
use crate::eventually;
use crate::helm::Version;

use super::story::merge;
use super::{OPERATOR_NAMESPACE, SOON, Story, StoryKey};

/// How such a story opens.
#[derive(Debug, Clone)]
pub struct Opening {
    prefix: String,
    version: Version,
    chart: Source,
    policy: Value,
}

impl Opening {
    /// In a namespace of its own that starts with this prefix, with Helm 4.
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            version: Version::V4,
            chart: Source::new("web", "1.0.0"),
            policy: json!({}),
        }
    }

    /// With this Helm.
    #[must_use]
    pub fn with_helm(self, version: Version) -> Self {
        Self { version, ..self }
    }

    /// With this chart as `web`.
    #[must_use]
    pub fn with_chart(self, chart: Source) -> Self {
        Self { chart, ..self }
    }

    /// With more fields in the policy's spec.
    #[must_use]
    pub fn with_policy(mut self, more: Value) -> Self {
        merge(&mut self.policy, more);
        self
    }

    /// With this `quarantine` section in the policy.
    #[must_use]
    pub fn with_quarantine(self, section: Value) -> Self {
        let mut more = json!({});
        more["quarantine"] = section;
        self.with_policy(more)
    }

    /// With a key alone, and no policy.
    pub async fn keyed(self, cluster: &Cluster) -> Scene {
        let story = Story::begin(cluster, &self.prefix, self.version).await;
        let key = story.trusted_key("platform").await;
        Scene {
            quarantine_namespace: story.namespace.clone(),
            story,
            key,
            policy: String::new(),
        }
    }

    /// With a key and a policy; nothing is installed yet.
    pub async fn declared(self, cluster: &Cluster) -> Scene {
        let more = self.policy.clone();
        let mut scene = self.keyed(cluster).await;
        scene.policy = scene.story.policy("policy", &[&scene.key], more).await;
        scene
    }

    /// With a release `web` that is trusted.
    pub async fn trusted(self, cluster: &Cluster) -> Scene {
        let chart = self.chart.clone();
        let scene = self.declared(cluster).await;
        let chart = scene.publish(&chart, Some(&scene.key)).await;
        scene.install("web", &chart).await;
        scene.expect("web", "SignatureVerified").await;
        scene
    }
}

/// A story with a key and a policy.
pub struct Scene {
    /// The story.
    pub story: Story,
    /// The key that signs.
    pub key: StoryKey,
    /// The policy that demands it, if any.
    pub policy: String,
    /// Where its Quarantines lie; a deployer's own namespace, where that differs.
    pub quarantine_namespace: String,
}

impl Deref for Scene {
    type Target = Story;
    fn deref(&self) -> &Story {
        &self.story
    }
}

impl Scene {
    /// Objects of the story's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Revokes the key as stolen.
    pub async fn revoke(&self) {
        let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
        self.patch::<TrustedKey>(&self.key.name, revoke).await;
    }

    /// Takes the revocation back.
    pub async fn withdraw(&self) {
        let withdraw = json!({"spec": {"revocation": null}});
        self.patch::<TrustedKey>(&self.key.name, withdraw).await;
    }

    /// Its Quarantines.
    pub fn quarantines(&self) -> Api<Quarantine> {
        Api::namespaced(self.client.clone(), &self.quarantine_namespace)
    }

    /// Waits until a release is contained, and gives its Quarantine.
    pub async fn contained(&self, release: &str) -> Quarantine {
        self.quarantine_has(release, "Active=True/Contained").await
    }

    /// Contains a release as a person does.
    pub async fn contain(&self, release: &str, actions: &[&str]) {
        let object: std::result::Result<Quarantine, _> = serde_json::from_value(json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "Quarantine",
            "metadata": {"name": release},
            "spec": {"reason": "a story", "actions": actions},
        }));
        let object = self.done("write a Quarantine", object);
        let (api, params) = (self.quarantines(), PostParams::default());
        let created = api.create(&params, &object).await;
        self.done(&format!("contain {release}"), created);
    }

    /// Waits until a Quarantine has a condition such as `Active=True/Contained`, and gives it.
    pub async fn quarantine_has(&self, release: &str, condition: &str) -> Quarantine {
        let api = self.quarantines();
        self.expect_condition(&api, release, condition).await;
        let found = api.get(release).await;
        self.done(&format!("read the Quarantine {release}"), found)
    }

    /// Waits until the operator remembers that a release is contained: from then on it knows that somebody
    /// has ended it, though it was away.
    pub async fn incident_is_remembered(&self, release: &str) {
        let maps = Api::<ConfigMap>::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        let name = format!("{}/{release}", self.namespace);
        eventually(SOON, "the operator remembers it", async || {
            let map = maps.get("charttrust-incidents").await;
            let map = map.map_err(|error| error.to_string())?;
            let data = map.data.unwrap_or_default();
            let is_noted = data.values().any(|entry| entry.contains(&name));
            if is_noted {
                Ok(())
            } else {
                Err(format!("{data:?}"))
            }
        })
        .await;
    }

    /// Deletes a Quarantine, and waits until it has ended.
    pub async fn delete_quarantine(&self, release: &str) {
        let (api, params) = (self.quarantines(), DeleteParams::default());
        let deleted = api.delete(release, &params).await;
        self.done(&format!("delete the Quarantine {release}"), deleted);
        self.no_quarantine(release).await;
    }

    /// Waits until there is no Quarantine of a release.
    pub async fn no_quarantine(&self, release: &str) {
        let api = self.quarantines();
        eventually(SOON, "there is no quarantine", async || {
            let found = api.get_opt(release).await;
            match found.map_err(|error| error.to_string())? {
                None => Ok(()),
                Some(object) => Err(format!("{:?}", object.status)),
            }
        })
        .await;
    }

    /// Waits for an event of this reason in the story's namespace, and gives its note.
    pub async fn event(&self, reason: &str) -> String {
        let api = self.api::<Event>();
        eventually(SOON, &format!("an event {reason}"), async || {
            let all = api.list(&ListParams::default()).await;
            let all = all.map_err(|error| error.to_string())?.items;
            let found = all.iter().find(|e| e.reason.as_deref() == Some(reason));
            let note = found.and_then(|event| event.note.clone());
            note.ok_or_else(|| format!("{} others", all.len()))
        })
        .await
    }
}
