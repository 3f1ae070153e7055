//! Releases that the real helm-controller of k3s looks after.

use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::k3s::{self, K3s, NAMESPACE};
use charttrust_e2e::stage::SOON;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::setup::{DEPLOYMENT, Kind, Object, Scene, stage};

const HELM_CHART: Kind = ("helm.cattle.io", "v1", "HelmChart", "helmcharts");
const JOB: Kind = ("batch", "v1", "Job", "jobs");

async fn with_k3s() -> &'static K3s {
    static K3S: OnceCell<K3s> = OnceCell::const_new();
    let start = async || K3s::start(stage().await.cluster).await.unwrap();
    K3S.get_or_init(start).await
}

/// Declares a release, and waits until k3s has made the Job that installs it.
async fn declared(scene: &Scene, name: &str) -> (Object, Object) {
    let user = with_k3s().await.identity.user();
    let cluster = stage().await.cluster;
    k3s::deploy(cluster, scene, name, "1.0.0").await.unwrap();
    let job = scene.object_in(NAMESPACE, JOB, &format!("helm-install-{name}"));
    until_written(&job, user, 0).await;
    (scene.object_in(NAMESPACE, HELM_CHART, name), job)
}

/// Waits until somebody has written an object more often than so many times.
async fn until_written(object: &Object, user: &str, before: usize) {
    eventually(SOON, "k3s writes the Job", async || {
        let writes = object.writes_by(user).await;
        if writes > before { Ok(()) } else { Err(writes) }
    })
    .await;
}

fn annotations(object: &Value) -> Value {
    object["metadata"]["annotations"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn k3s_leaves_a_contained_release_alone_and_goes_on_afterwards() {
    let user = with_k3s().await.identity.user();
    let scene = Scene::begin("k3s").await;
    let source = Source::new("web", "1.0.0").with_file("values.yaml", "replicas: 3\n");
    let chart = scene.publish(&source, Some(&scene.key)).await.unwrap();
    let (declaration, job) = declared(&scene, "web").await;
    // What that Job does, where there is a node.
    scene.install("web", &chart).await.unwrap();
    scene.expect("web", "SignatureVerified").await;
    let workload = scene.object(DEPLOYMENT, "web");
    let before = declaration.json().await;
    let by_k3s = job.writes_by(user).await;

    scene.revoke().await;
    let objects = scene.contained("web").await.status.unwrap().objects;
    assert_eq!(objects[0].kind, "HelmChart");
    assert_eq!(objects[0].namespace.as_deref(), Some(NAMESPACE));
    let unmanaged = "helmcharts.helm.cattle.io/unmanaged";
    assert_eq!(annotations(&declaration.json().await)[unmanaged], "true");
    workload.has_replicas(0).await;
    let ([paused], [stopped]) = (
        declaration.operator_wrote().await,
        workload.operator_wrote().await,
    );
    assert!(paused < stopped);

    // It is at work, and does not follow a change of this one.
    let change = json!({"spec": {"valuesContent": "replicas: 4\n"}});
    declaration.change(change).await;
    declared(&scene, "other").await;
    assert_eq!(job.writes_by(user).await, by_k3s);
    workload.has_replicas(0).await;

    scene.withdraw().await;
    scene.no_quarantine("web").await;
    workload.has_replicas(3).await;
    let after = declaration.json().await;
    assert_eq!(annotations(&after), annotations(&before));
    declaration.holds_nothing_of_ours().await;
    let [_, resumed] = declaration.operator_wrote().await;
    let [_, started, _] = workload.operator_wrote().await;
    assert!(started < resumed);
    until_written(&job, user, by_k3s).await;
}
