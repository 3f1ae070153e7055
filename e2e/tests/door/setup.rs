//! What all stories share.

use charttrust::api::{ChartTrustPolicy, TrustedKey};
use charttrust_e2e::cluster::{Cluster, Identity};
use charttrust_e2e::door::{Door, NAME, point};
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::operator::binary;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, Power, SOON, Setting, Stage, Story, StoryKey};
use jiff::{SignedDuration, Timestamp, Unit};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// One plane, one operator and one webhook for all stories. What changes how it answers others takes it alone.
pub(crate) struct Front {
    pub(crate) stage: Stage,
    pub(crate) door: RwLock<Door>,
    /// What takes the admission policy of frozen releases away, or needs it, takes this before the webhook.
    pub(crate) freezing: Mutex<()>,
    /// Whom the webhook acts as: its kubeconfig lasts as long as this.
    pub(crate) identity: Identity,
}

/// The admission policy of frozen releases, and its binding, as the chart names both.
pub(crate) const FREEZE: &str = "charttrust-freeze";
/// Values of the operator's chart.
pub(crate) const VALUES: [&str; 3] = [
    "quarantine.enabled=true",
    "admission.enabled=true",
    "admission.freeze=true",
];

pub(crate) async fn front() -> &'static Front {
    static FRONT: OnceCell<Front> = OnceCell::const_new();
    let set = async || {
        let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
        let mut setting = Setting::new(binary(), Power::Contains);
        setting.values.extend(VALUES.map(str::to_owned));
        setting.more.push(format!("--freeze-policy={FREEZE}"));
        // As the chart has it by default.
        setting.more.push("--discover-unaccounted".to_owned());
        setting.more.push("--webhook".to_owned());
        setting.more.push(format!("--webhook-configuration={NAME}"));
        let stage = Stage::set(cluster, setting).await;
        let identity = cluster.identity(OPERATOR_NAMESPACE, NAME).await.unwrap();
        let kubeconfig = identity.kubeconfig();
        let mut door = Door::start(&binary(), &kubeconfig, OPERATOR_NAMESPACE, None).unwrap();
        let client = cluster.client().await.unwrap();
        point(&client, door.address()).await.unwrap();
        door.ready().await;
        Front {
            stage,
            door: RwLock::new(door),
            freezing: Mutex::new(()),
            identity,
        }
    };
    FRONT.get_or_init(set).await
}

/// A story with a namespace of its own. While it is told, nobody stops the webhook; others may be told.
pub(crate) async fn story(
    prefix: &str,
    version: Version,
) -> (Story, RwLockReadGuard<'static, Door>) {
    let front = front().await;
    let door = front.door.read().await;
    let story = Story::begin(front.stage.cluster, prefix, version).await;
    called(&story).await;
    (story, door)
}

/// A story that stops the webhook, changes how API servers find it, or looks at all that is asked of it.
pub(crate) async fn story_alone(
    prefix: &str,
    version: Version,
) -> (Story, RwLockWriteGuard<'static, Door>) {
    let front = front().await;
    let door = front.door.write().await;
    let story = Story::begin(front.stage.cluster, prefix, version).await;
    called(&story).await;
    (story, door)
}

/// Waits until the API server calls the webhook, and believes it: a record without anything in it is refused by a
/// policy for this namespace that refuses what cannot be read.
pub(crate) async fn called(story: &Story) {
    let name = format!("{}-called", story.namespace);
    let spec = json!({
        "mode": "Enforce",
        "admission": {"onUnknown": "Deny", "lookup": "Memory"},
        "match": {"releases": [format!("{}/called", story.namespace)]},
        "rules": [{"name": "none", "charts": ["*"]}],
    });
    story.apply::<ChartTrustPolicy>(&name, spec).await;
    let secrets = Api::<Secret>::namespaced(story.client.clone(), &story.namespace);
    let empty = json!({
        "metadata": {"name": "sh.helm.release.v1.called.v1"},
        "type": "helm.sh/release.v1",
    });
    let empty: Secret = serde_json::from_value(empty).unwrap();
    let dry = kube::api::PostParams {
        dry_run: true,
        ..Default::default()
    };
    eventually(
        SOON,
        "the API server asks the webhook",
        async || match secrets.create(&dry, &empty).await {
            Err(kube::Error::Api(status)) if status.message.contains("ReleaseUnreadable") => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await;
    story.delete::<ChartTrustPolicy>(&name).await;
}

/// Fields of a policy with a mode.
pub(crate) fn mode(mode: &str) -> Value {
    json!({"mode": mode})
}

/// Waits until the webhook has heard of a policy: whether a record of this release that cannot be read is refused
/// or told.
pub(crate) async fn heard(story: &Story, policy: &str) {
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "sh.helm.release.v1.heard.v1", "labels": {"owner": "helm"}},
        "type": "helm.sh/release.v1",
    });
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), object.to_string()).unwrap();
    let path = file.path().to_string_lossy().into_owned();
    eventually(SOON, "the webhook has heard of the policy", async || {
        let arguments = [
            "create",
            "--dry-run=server",
            "-n",
            &story.namespace,
            "-f",
            &path,
        ];
        let said = said_by_kubectl(&arguments).await;
        if said.contains(policy) {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
}

/// Everything that kubectl prints.
pub(crate) async fn said_by_kubectl(arguments: &[&str]) -> String {
    use charttrust_e2e::tools::{self, Tool};
    let kubeconfig = front().await.stage.cluster.kubeconfig();
    let mut command = tokio::process::Command::new(tools::path(Tool::Kubectl).unwrap());
    command.arg("--kubeconfig").arg(kubeconfig).args(arguments);
    let output = command.output().await.unwrap();
    let texts =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    texts.concat()
}

/// The status of each record of a release, in the order of revisions.
pub(crate) async fn records(story: &Story, release: &str) -> Vec<String> {
    records_in(&story.client, &story.namespace, release).await
}

/// The same of a release in any namespace.
pub(crate) async fn records_in(client: &Client, namespace: &str, release: &str) -> Vec<String> {
    let of_release = ListParams::default().labels(&format!("owner=helm,name={release}"));
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    let maps = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let secrets = secrets.list(&of_release).await.unwrap().items.into_iter();
    let maps = maps.list(&of_release).await.unwrap().items.into_iter();
    let labels = secrets
        .map(|one| one.metadata.labels)
        .chain(maps.map(|one| one.metadata.labels));
    let mut all: Vec<_> = labels
        .flatten()
        .map(|labels| {
            (
                labels["version"].parse::<u64>().unwrap(),
                labels["status"].clone(),
            )
        })
        .collect();
    all.sort();
    all.into_iter().map(|(_, status)| status).collect()
}

/// Tests in two flavours, one for each Helm.
macro_rules! with_both_helms {
    ($($name:ident)+) => {
        mod helm_3 { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(charttrust_e2e::helm::Version::V3).await; })+ }
        mod helm_4 { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(charttrust_e2e::helm::Version::V4).await; })+ }
    };
}

pub(crate) use with_both_helms;

/// Revokes a key as stolen a moment ago: what the operator had verified before stays trusted.
pub(crate) async fn steal_now(story: &Story, key: &StoryKey) {
    let since = Timestamp::now() + SignedDuration::from_secs(2);
    let since = since.round(Unit::Second).unwrap();
    eventually(SOON, "the moment of the theft has passed", async || {
        if Timestamp::now() > since {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
    let stolen = json!({"spec": {"revocation": {
        "reason": "Compromised", "since": since.to_string(), "grandfather": "Witnessed",
    }}});
    story.patch::<TrustedKey>(&key.name, stolen).await;
}
