//! The release that stories about quarantines contain: it has a workload of every kind that is
//! scaled.

#![allow(dead_code, reason = "each program takes what its stories need")]

use std::collections::BTreeMap;

use charttrust::api::TrustedKey;
use charttrust::api::quarantine::Quarantine;
use charttrust_e2e::charts::Source;
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{SOON, Stage, Story, StoryKey};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const MORE: &str = "\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: {{ .Release.Name }}-db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: {{ .Release.Name }}-db}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}-db}}
    spec: {containers: [{name: main, image: registry.example.com/pause:1}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: {{ .Release.Name }}-agent}
spec:
  selector: {matchLabels: {app: {{ .Release.Name }}-agent}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}-agent}}
    spec: {containers: [{name: main, image: registry.example.com/pause:1}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: {{ .Release.Name }}-nightly}
spec:
  schedule: '0 3 1 1 *'
  jobTemplate:
    spec:
      template:
        metadata: {labels: {app: {{ .Release.Name }}-nightly}}
        spec:
          restartPolicy: Never
          containers: [{name: main, image: registry.example.com/pause:1}]
---
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}-password}
stringData: {password: a-canary-in-a-coal-mine}
---
apiVersion: v1
kind: Pod
metadata: {name: {{ .Release.Name }}-bare}
spec: {containers: [{name: main, image: registry.example.com/pause:1}]}
";

/// What stands in a Secret of the chart, and must never stand anywhere else.
pub(crate) const CANARY: &str = "a-canary-in-a-coal-mine";

/// A chart with a workload of every kind that is scaled.
pub(crate) fn chart(version: &str) -> Source {
    Source::new("web", version)
        .with_file("values.yaml", "replicas: 3\n")
        .with_file("templates/more.yaml", MORE)
}

/// A story with a release `web` that is trusted and has a workload of every kind that is scaled.
pub(crate) struct Scene {
    pub(crate) story: Story,
    pub(crate) key: StoryKey,
    pub(crate) policy: String,
}

impl std::ops::Deref for Scene {
    type Target = Story;
    fn deref(&self) -> &Story {
        &self.story
    }
}

/// A trusted release `web`, under a policy with this `quarantine` section.
pub(crate) async fn scene(
    stage: &Stage,
    prefix: &str,
    version: Version,
    quarantine: Value,
) -> Scene {
    scene_on(stage.cluster, prefix, version, quarantine).await
}

/// The same, whichever operator there is.
pub(crate) async fn scene_on(
    cluster: &Cluster,
    prefix: &str,
    version: Version,
    quarantine: Value,
) -> Scene {
    let story = Story::begin(cluster, prefix, version).await.unwrap();
    let key = story.trusted_key("platform").await.unwrap();
    let chart = story.publish(&chart("1.0.0"), Some(&key)).await.unwrap();
    let more = if quarantine.is_null() {
        json!({})
    } else {
        json!({ "quarantine": quarantine })
    };
    let policy = story.policy("policy", &[&key], more).await.unwrap();
    story.install("web", &chart).await.unwrap();
    story.expect("web", "SignatureVerified").await;
    Scene { story, key, policy }
}

/// A `quarantine` section that contains at once, however many there are.
pub(crate) fn automatic() -> Value {
    json!({
        "onReasons": ["KeyCompromised"], "approval": "Automatic", "after": "0s",
        "actions": ["PauseDeployer", "IsolateNetwork", "ScaleToZero"],
        "limit": {"maxReleases": 100, "maxPercent": 100},
    })
}

impl Scene {
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.story.client.clone(), &self.story.namespace)
    }

    pub(crate) async fn create_quarantine(&self, actions: &[&str]) {
        let object: Quarantine = serde_json::from_value(json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "Quarantine",
            "metadata": {"name": "web"},
            "spec": {"reason": "a story", "actions": actions},
        }))
        .unwrap();
        self.api::<Quarantine>()
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }

    pub(crate) async fn delete_quarantine(&self) {
        let api = self.api::<Quarantine>();
        api.delete("web", &DeleteParams::default()).await.unwrap();
        self.no_quarantine().await;
    }

    pub(crate) async fn no_quarantine(&self) {
        let api = self.api::<Quarantine>();
        eventually(SOON, "there is no quarantine", async || {
            match api
                .get_opt("web")
                .await
                .map_err(|error| error.to_string())?
            {
                None => Ok(()),
                Some(object) => Err(format!("{:?}", object.status)),
            }
        })
        .await;
    }

    /// Asks for a look at once, as a person does who changes anything about the Quarantine; one that
    /// has ended by itself meanwhile needs none.
    pub(crate) async fn look(&self) {
        let api = self.api::<Quarantine>();
        let Some(object) = api.get_opt("web").await.unwrap() else {
            return;
        };
        // Another value each time, as the same would change nothing.
        let version = object.metadata.resource_version;
        let change = json!({"metadata": {"annotations": {"example.com/asked": version}}});
        let params = PatchParams::default();
        match api.patch("web", &params, &Patch::Merge(change)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Removes the Quarantine as somebody does who cannot wait for the finalizer.
    pub(crate) async fn force_quarantine_away(&self) {
        let force = json!({"metadata": {"finalizers": null}});
        let params = PatchParams::default();
        let api = self.api::<Quarantine>();
        api.patch("web", &params, &Patch::Merge(force))
            .await
            .unwrap();
        self.delete_quarantine().await;
    }

    pub(crate) async fn quarantine_is(&self, condition: &str) -> Quarantine {
        let api = self.api::<Quarantine>();
        self.story.expect_condition(&api, "web", condition).await;
        api.get("web").await.unwrap()
    }

    pub(crate) async fn revoke(&self) {
        let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
        self.story
            .patch::<TrustedKey>(&self.key.name, revoke)
            .await
            .unwrap();
    }

    pub(crate) async fn withdraw(&self) {
        let withdraw = json!({"spec": {"revocation": null}});
        self.story
            .patch::<TrustedKey>(&self.key.name, withdraw)
            .await
            .unwrap();
    }

    pub(crate) async fn json<K>(&self, name: &str) -> Value
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
        K: Clone + std::fmt::Debug + DeserializeOwned + Serialize,
    {
        serde_json::to_value(self.api::<K>().get(name).await.unwrap()).unwrap()
    }

    /// Spec, annotations and who owns what of every workload, without what controllers write.
    pub(crate) async fn workloads(&self) -> BTreeMap<&'static str, Value> {
        let all = [
            ("Deployment", self.json::<Deployment>("web").await),
            ("StatefulSet", self.json::<StatefulSet>("web-db").await),
            ("DaemonSet", self.json::<DaemonSet>("web-agent").await),
            ("CronJob", self.json::<CronJob>("web-nightly").await),
        ];
        let essence = |mut object: Value| {
            // The API server counts changes of a DaemonSet's template there, as in `generation`.
            let annotations = object["metadata"]["annotations"].as_object_mut().unwrap();
            annotations.remove("deprecated.daemonset.template.generation");
            // The controller of Deployments writes its revision there, and everybody's status.
            let is_helms = |entry: &&Value| {
                entry["subresource"] == Value::Null && entry["manager"] != "kube-controller-manager"
            };
            let owners = object["metadata"]["managedFields"].as_array().unwrap();
            let helm: Vec<_> = owners.iter().filter(is_helms).collect();
            json!({
                "spec": object["spec"],
                "annotations": object["metadata"]["annotations"],
                "owners": helm,
            })
        };
        all.map(|(kind, object)| (kind, essence(object))).into()
    }

    pub(crate) async fn policies_of_network(&self) -> Vec<String> {
        let api = self.api::<NetworkPolicy>();
        let all = api.list(&ListParams::default()).await.unwrap();
        let names = all.items.into_iter().map(|one| one.metadata.name);
        names.map(Option::unwrap).collect()
    }

    pub(crate) async fn replicas(&self) -> i64 {
        let object = self.json::<Deployment>("web").await;
        object["spec"]["replicas"].as_i64().unwrap()
    }

    pub(crate) async fn scale(&self, replicas: i64) {
        let change = json!({"spec": {"replicas": replicas}});
        let params = PatchParams {
            field_manager: Some("person".to_owned()),
            ..PatchParams::default()
        };
        self.api::<Deployment>()
            .patch("web", &params, &Patch::Merge(change))
            .await
            .unwrap();
    }

    pub(crate) async fn event(&self, reason: &str) -> String {
        let api = self.api::<Event>();
        eventually(SOON, &format!("an event {reason}"), async || {
            let all = api.list(&ListParams::default()).await;
            let all = all.map_err(|error| error.to_string())?;
            let found = all
                .items
                .iter()
                .find(|e| e.reason.as_deref() == Some(reason));
            let note = found.and_then(|event| event.note.clone());
            note.ok_or_else(|| format!("{} others", all.items.len()))
        })
        .await
    }
}
