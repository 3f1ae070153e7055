//! What all stories share: one plane, one operator that may contain, one Flux, and ways to look at
//! objects of any kind.

use charttrust::api::ChartTrustPolicy;
use charttrust_e2e::audit::{Event, Mark};
use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::eventually;
use charttrust_e2e::operator::binary;
use charttrust_e2e::stage::workloads::automatic;
use charttrust_e2e::stage::{Opening, Power, SOON, Scene, Setting, Stage, summary};
use jiff::Timestamp;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// One operator for all.
pub(crate) async fn stage() -> &'static Stage {
    static STAGE: OnceCell<Stage> = OnceCell::const_new();
    let set = async || {
        let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
        let mut setting = Setting::new(binary(), Power::Contains);
        setting.more.push("--read-deployer-secrets".to_owned());
        setting.more.push("--discover-unaccounted".to_owned());
        setting
            .values
            .push("sources.readDeployerSecrets=true".to_owned());
        Stage::set(cluster, setting).await
    };
    STAGE.get_or_init(set).await
}

/// A story whose policy contains `web` at once when the key is compromised, and what happened since.
pub(crate) struct Deployed {
    scene: Scene,
    start: Mark,
}

impl std::ops::Deref for Deployed {
    type Target = Scene;
    fn deref(&self) -> &Scene {
        &self.scene
    }
}

impl std::ops::DerefMut for Deployed {
    fn deref_mut(&mut self) -> &mut Scene {
        &mut self.scene
    }
}

impl Deployed {
    pub(crate) async fn begin(prefix: &str) -> Self {
        let cluster = stage().await.cluster;
        let start = cluster.mark();
        let opening = Opening::new(prefix).with_quarantine(automatic());
        let scene = opening.declared(cluster).await;
        // The release alone: what else the namespace holds belongs to the deployer.
        let only = json!({"spec": {"match": {"releases": [format!("{}/web", scene.namespace)]}}});
        scene.patch::<ChartTrustPolicy>(&scene.policy, only).await;
        Self { scene, start }
    }

    /// The chart `web` in another version, with four replicas, signed with a fresh key that the
    /// policy accepts.
    pub(crate) async fn sign_anew(&self, version: &str) -> Chart {
        let fresh = self.trusted_key("fresh").await;
        let rules = [self.rule("*", &[&self.key, &fresh], json!({}))];
        let accept = json!({"spec": {"rules": rules}});
        self.patch::<ChartTrustPolicy>(&self.policy, accept).await;
        let source = Source::new("web", version).with_file("values.yaml", "replicas: 4\n");
        self.publish(&source, Some(&fresh)).await
    }

    /// Upgrades the release as a person does who takes over what others have changed.
    pub(crate) async fn upgrade_forcing(&self, release: &str, chart: &Chart) {
        let archive = chart.archive.to_string_lossy();
        let force = ["--force-conflicts"];
        let done = self
            .helm
            .upgrade(&self.namespace, release, &archive, &force);
        done.await.unwrap();
    }

    /// An object of the story's namespace.
    pub(crate) fn object(&self, kind: Kind, name: &str) -> Object {
        self.object_in(&self.namespace, kind, name)
    }

    pub(crate) fn object_in(&self, namespace: &str, kind: Kind, name: &str) -> Object {
        let (group, version, kind, plural) = kind;
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
        Object {
            api: Api::namespaced_with(self.client.clone(), namespace, &resource),
            namespace: namespace.to_owned(),
            plural,
            name: name.to_owned(),
            start: self.start,
        }
    }
}

/// Group, version, kind and plural.
pub(crate) type Kind = (&'static str, &'static str, &'static str, &'static str);

pub(crate) const DEPLOYMENT: Kind = ("apps", "v1", "Deployment", "deployments");
pub(crate) const NETWORK_POLICY: Kind = (
    "networking.k8s.io",
    "v1",
    "NetworkPolicy",
    "networkpolicies",
);

/// One object, and what was asked of the API server about it since the story began.
pub(crate) struct Object {
    api: Api<DynamicObject>,
    namespace: String,
    plural: &'static str,
    name: String,
    start: Mark,
}

impl Object {
    pub(crate) async fn json(&self) -> Value {
        serde_json::to_value(self.api.get(&self.name).await.unwrap()).unwrap()
    }

    /// Changes it as a person does.
    pub(crate) async fn change(&self, change: Value) {
        let params = PatchParams {
            field_manager: Some("person".to_owned()),
            ..PatchParams::default()
        };
        let change = Patch::Merge(change);
        self.api.patch(&self.name, &params, &change).await.unwrap();
    }

    /// Says of some of its fields what they shall be, as a tool does that looks after them.
    pub(crate) async fn apply_as(&self, tool: &str, mut fields: Value) {
        let found = self.json().await;
        fields["apiVersion"] = found["apiVersion"].clone();
        fields["kind"] = found["kind"].clone();
        let params = PatchParams::apply(tool).force();
        let change = Patch::Apply(fields);
        self.api.patch(&self.name, &params, &change).await.unwrap();
    }

    /// Deletes it, and waits until it is gone.
    pub(crate) async fn delete(&self) {
        let params = DeleteParams::default();
        self.api.delete(&self.name, &params).await.unwrap();
        let what = format!("{} {} is gone", self.plural, self.name);
        eventually(SOON, &what, async || {
            match self.api.get_opt(&self.name).await {
                Ok(None) => Ok(()),
                seen => Err(format!("{seen:?}")),
            }
        })
        .await;
    }

    /// Waits until something is true of it, and gives it.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let what = format!("{} {} {what}", self.plural, self.name);
        eventually(SOON, &what, async || {
            let found = self.api.get(&self.name).await;
            let found = found.map_err(|error| error.to_string())?;
            let found = serde_json::to_value(found).map_err(|error| error.to_string())?;
            if is_so(&found) {
                Ok(found)
            } else {
                Err(found.to_string())
            }
        })
        .await
    }

    pub(crate) async fn has_replicas(&self, replicas: i64) {
        let wanted = json!(replicas);
        let is_so = |object: &Value| object["spec"]["replicas"] == wanted;
        self.until(&format!("has {replicas} replicas"), is_so).await;
    }

    /// What it asks for and who says so, without what its controllers write.
    pub(crate) async fn essence(&self) -> Value {
        let mut object = self.json().await;
        let is_asked = |entry: &&Value| entry["subresource"] != "status";
        let owners = object["metadata"]["managedFields"].as_array().unwrap();
        let owners: Vec<_> = owners.iter().filter(is_asked).cloned().collect();
        json!({
            "annotations": object["metadata"]["annotations"].take(),
            "finalizers": object["metadata"]["finalizers"].take(),
            "owners": owners,
            "spec": object["spec"].take(),
        })
    }

    /// A condition, as `Active=True/Contained`.
    pub(crate) async fn has_condition(&self, wanted: &str) {
        let has = |object: &Value| {
            let conditions = object["status"]["conditions"].as_array();
            conditions.is_some_and(|all| all.iter().any(|one| summary(one) == wanted))
        };
        self.until(&format!("has {wanted}"), has).await;
    }

    pub(crate) async fn holds_nothing_of_ours(&self) {
        let text = self.json().await.to_string();
        assert!(!text.contains("charttrust.io"), "{text}");
        assert!(!text.contains("\"manager\":\"charttrust\""), "{text}");
    }

    /// Who has written its spec or metadata since the story began, oldest first.
    pub(crate) async fn writers(&self) -> Vec<Event> {
        let audit = stage().await.cluster.audit().unwrap();
        let of_us = |event: &Event| {
            event.namespace == self.namespace
                && event.name == self.name
                && event.subresource != "status"
                && event.code < 300
        };
        let all = audit.since(self.start).unwrap().of(self.plural).writes();
        all.only(of_us).to_vec()
    }

    /// How often somebody has written it.
    pub(crate) async fn writes_by(&self, user: &str) -> usize {
        let writers = self.writers().await;
        writers.iter().filter(|event| event.user == user).count()
    }

    /// Waits until somebody has written it more often than so many times.
    pub(crate) async fn written_again(&self, user: &str, before: usize) {
        let what = format!("{user} writes {} {}", self.plural, self.name);
        eventually(SOON, &what, async || {
            let writes = self.writes_by(user).await;
            if writes > before { Ok(()) } else { Err(writes) }
        })
        .await;
    }

    /// How often somebody's write of it has named a field, by its path in a JSON patch.
    pub(crate) async fn changes_of(&self, path: &str) -> usize {
        let names = |event: &Event| {
            let request = event.request.as_ref().map(Value::to_string);
            request.is_some_and(|request| request.contains(path))
        };
        self.writers()
            .await
            .iter()
            .filter(|event| names(event))
            .count()
    }

    /// Waits until the operator has written it so many times, and gives when.
    pub(crate) async fn operator_wrote<const N: usize>(&self) -> [Timestamp; N] {
        let user = stage().await.identity.user();
        let what = format!("the operator wrote {} {N} times", self.name);
        eventually(SOON, &what, async || {
            let writers = self.writers().await.into_iter();
            let ours = writers.filter(|event| event.user == user);
            let times: Vec<_> = ours.map(|event| event.time).collect();
            times
                .try_into()
                .map_err(|times: Vec<_>| format!("{times:?}"))
        })
        .await
    }
}
