//! The release that stories about quarantines contain: it has a workload of every kind that is scaled.

use std::collections::BTreeMap;
use std::fmt::Debug;

use charttrust::api::quarantine::Quarantine;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::charts::Source;
use crate::eventually;

use super::{Opening, SOON, Scene};

/// A chart with a workload of every kind that is scaled.
pub fn chart(version: &str) -> Source {
    Source::new("web", version)
        .with_file("values.yaml", "replicas: 3\n")
        .with_file("templates/more.yaml", MORE)
}

/// A `quarantine` section that contains at once, however many there are.
pub fn automatic() -> Value {
    json!({
        "onReasons": ["KeyCompromised"], "approval": "Automatic", "after": "0s",
        "actions": ["PauseDeployer", "IsolateNetwork", "ScaleToZero"],
        "limit": {"maxReleases": 100, "maxPercent": 100, "maxPerNamespace": 100},
    })
}

impl Opening {
    /// With a workload of every kind that is scaled in the release `web`.
    pub fn of_every_kind(prefix: &str) -> Self {
        Self::new(prefix).with_chart(chart("1.0.0"))
    }
}

impl Scene {
    /// Asks for a look at once, as a person does who changes anything about the Quarantine; one that
    /// has ended by itself meanwhile needs none.
    pub async fn look(&self) {
        let api = self.quarantines();
        let object = self.done("read the Quarantine", api.get_opt("web").await);
        let Some(object) = object else {
            return;
        };
        // Another value each time, as the same would change nothing.
        let version = object.metadata.resource_version;
        let change = json!({"metadata": {"annotations": {"example.com/asked": version}}});
        let params = PatchParams::default();
        match api.patch("web", &params, &Patch::Merge(change)).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            other => drop(self.done("ask for a look", other)),
        }
    }

    /// Removes the Quarantine as somebody does who cannot wait for the finalizer.
    pub async fn force_quarantine_away(&self) {
        let force = json!({"metadata": {"finalizers": null}});
        let (api, params) = (self.quarantines(), PatchParams::default());
        let forced = api.patch("web", &params, &Patch::Merge(force)).await;
        self.done("take the finalizer away", forced);
        self.delete_quarantine("web").await;
    }

    /// An object of the story's namespace, as it is.
    pub async fn json<K>(&self, name: &str) -> Value
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Serialize,
    {
        let object = self.done(&format!("read {name}"), self.api::<K>().get(name).await);
        self.done(&format!("write {name}"), serde_json::to_value(object))
    }

    /// Spec, annotations and who owns what of every workload, without what controllers write.
    pub async fn workloads(&self) -> BTreeMap<&'static str, Value> {
        let all = [
            ("Deployment", self.json::<Deployment>("web").await),
            ("StatefulSet", self.json::<StatefulSet>("web-db").await),
            ("DaemonSet", self.json::<DaemonSet>("web-agent").await),
            ("CronJob", self.json::<CronJob>("web-nightly").await),
        ];
        all.map(|(kind, object)| (kind, essence(object))).into()
    }

    /// The names of the `NetworkPolicies` of the story's namespace.
    pub async fn policies_of_network(&self) -> Vec<String> {
        let api = self.api::<NetworkPolicy>();
        let all = api.list(&ListParams::default()).await;
        let all = self.done("list NetworkPolicies", all).items;
        all.iter().map(ResourceExt::name_any).collect()
    }

    /// How many replicas the Deployment asks for.
    pub async fn replicas(&self) -> i64 {
        let object = self.json::<Deployment>("web").await;
        let replicas = object["spec"]["replicas"].as_i64();
        self.done("count replicas", replicas.ok_or("there is no number"))
    }

    /// Waits until the Deployment `web` asks for so many replicas.
    pub async fn replicas_are(&self, wanted: i64) {
        eventually(SOON, &format!("{wanted} replicas"), async || {
            match self.replicas().await {
                found if found == wanted => Ok(()),
                found => Err(found),
            }
        })
        .await;
    }

    /// Waits until a Job has its one Pod.
    pub async fn job_runs(&self, name: &str) {
        let jobs = self.api::<Job>();
        eventually(SOON, &format!("Job {name} runs"), async || {
            let job = jobs.get(name).await.map_err(|error| error.to_string())?;
            let active = job.status.and_then(|status| status.active);
            if active == Some(1) {
                Ok(())
            } else {
                Err(format!("{active:?}"))
            }
        })
        .await;
    }

    /// Scales the Deployment as a person does.
    pub async fn scale(&self, replicas: i64) {
        let change = json!({"spec": {"replicas": replicas}});
        let params = PatchParams {
            field_manager: Some("person".to_owned()),
            ..PatchParams::default()
        };
        let api = self.api::<Deployment>();
        let scaled = api.patch("web", &params, &Patch::Merge(change)).await;
        self.done("scale web", scaled);
    }
}

fn essence(mut object: Value) -> Value {
    // The API server counts changes of a DaemonSet's template there, as in `generation`.
    if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
        annotations.remove("deprecated.daemonset.template.generation");
    }
    // The controller of Deployments writes its revision there, and everybody's status.
    let is_helms = |entry: &&Value| {
        entry["subresource"] == Value::Null && entry["manager"] != "kube-controller-manager"
    };
    let owners = object["metadata"]["managedFields"].as_array();
    let helm: Vec<_> = owners.into_iter().flatten().filter(is_helms).collect();
    json!({
        "spec": object["spec"],
        "annotations": object["metadata"]["annotations"],
        "owners": helm,
    })
}

/// What stands in a Secret of the chart, and must never stand anywhere else.
pub const CANARY: &str = "a-canary-in-a-coal-mine";

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
";

/// Kind and name of what is left out and runs, in order.
///
/// # Panics
///
/// If nothing was concluded about it yet.
pub fn left_out(object: &Quarantine) -> Vec<String> {
    let status = object.status.as_ref().unwrap();
    let running = status.uncontained.iter().filter(|one| one.runs);
    let mut told: Vec<_> = running
        .map(|one| format!("{} {}", one.kind, one.name))
        .collect();
    told.sort();
    told
}
