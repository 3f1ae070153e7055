//! Releases that the real helm-controller of k3s looks after.

use charttrust::api::ReleaseTrust;
use charttrust::api::release_trust::Owner;
use charttrust_e2e::charts::Source;
use charttrust_e2e::k3s::{self, K3s, NAMESPACE};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::setup::{DEPLOYMENT, Deployed, Kind, Object, stage};

const HELM_CHART: Kind = ("helm.cattle.io", "v1", "HelmChart", "helmcharts");
const UNMANAGED: &str = "helmcharts.helm.cattle.io/unmanaged";
const JOB: Kind = ("batch", "v1", "Job", "jobs");

async fn with_k3s() -> &'static K3s {
    static K3S: OnceCell<K3s> = OnceCell::const_new();
    let start = async || K3s::start(stage().await.cluster).await.unwrap();
    K3S.get_or_init(start).await
}

/// Declares a release, and waits until k3s has made the Job that installs it.
async fn declared(scene: &Deployed, place: &str, name: &str) -> (Object, Object) {
    let user = with_k3s().await.identity.user();
    let cluster = stage().await.cluster;
    k3s::deploy(cluster, scene, place, name).await.unwrap();
    let job = scene.object_in(place, JOB, &format!("helm-install-{name}"));
    job.written_again(user, 0).await;
    (scene.object_in(place, HELM_CHART, name), job)
}

fn annotations(object: &Value) -> Value {
    object["metadata"]["annotations"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn k3s_leaves_a_contained_release_alone_and_goes_on_afterwards() {
    let user = with_k3s().await.identity.user();
    let scene = Deployed::begin("k3s").await;
    let source = Source::new("web", "1.0.0").with_file("values.yaml", "replicas: 3\n");
    let chart = scene.publish(&source, Some(&scene.key)).await;
    let (declaration, job) = declared(&scene, &scene.namespace, "web").await;
    // What that Job does, where there is a node.
    scene.install("web", &chart).await;
    scene.expect("web", "SignatureVerified").await;
    let workload = scene.object(DEPLOYMENT, "web");
    let before = declaration.json().await;
    let by_k3s = job.writes_by(user).await;

    scene.revoke().await;
    let objects = scene.contained("web").await.status.unwrap().objects;
    assert_eq!(objects[0].kind, "HelmChart");
    assert_eq!(objects[0].namespace, None);
    assert_eq!(annotations(&declaration.json().await)[UNMANAGED], "true");
    workload.has_replicas(0).await;
    let ([paused], [stopped]) = (
        declaration.operator_wrote().await,
        workload.operator_wrote().await,
    );
    assert!(paused < stopped);

    // It is at work, and does not follow a change of this one.
    let change = json!({"spec": {"valuesContent": "replicas: 4\n"}});
    declaration.change(change).await;
    declared(&scene, &scene.namespace, "other").await;
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
    job.written_again(user, by_k3s).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_k3s_keeps_in_a_protected_namespace_is_left_and_told() {
    let scene = Deployed::begin("k3s-protected").await;
    let source = Source::new("web", "1.0.0").with_file("values.yaml", "replicas: 3\n");
    let chart = scene.publish(&source, Some(&scene.key)).await;
    let (declaration, _) = declared(&scene, NAMESPACE, "web").await;
    scene.install("web", &chart).await;
    scene.expect("web", "SignatureVerified").await;

    scene.revoke().await;
    let status = scene.contained("web").await.status.unwrap();
    assert!(status.objects.iter().all(|one| one.kind != "HelmChart"));
    let left = status
        .uncontained
        .iter()
        .find(|one| one.kind == "HelmChart");
    let left = left.unwrap();
    assert_eq!(left.namespace.as_deref(), Some(NAMESPACE));
    assert!(left.message.contains("pause it by hand"), "{left:?}");
    scene.object(DEPLOYMENT, "web").has_replicas(0).await;
    let [] = declaration.operator_wrote().await;
    scene.withdraw().await;
    scene.no_quarantine("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_forward_is_a_resumed_helm_chart_of_a_chart_signed_anew() {
    let user = with_k3s().await.identity.user();
    let scene = Deployed::begin("k3s-forward").await;
    let source = Source::new("web", "1.0.0").with_file("values.yaml", "replicas: 3\n");
    let chart = scene.publish(&source, Some(&scene.key)).await;
    let (declaration, job) = declared(&scene, &scene.namespace, "web").await;
    scene.install("web", &chart).await;
    scene.expect("web", "SignatureVerified").await;
    let workload = scene.object(DEPLOYMENT, "web");
    let by_k3s = job.writes_by(user).await;
    scene.revoke().await;
    scene.contained("web").await;

    let chart = scene.sign_anew("2.0.0").await;
    let forward = json!({
        "metadata": {"annotations": {UNMANAGED: null}}, "spec": {"version": "2.0.0"},
    });
    declaration.change(forward).await;
    job.written_again(user, by_k3s).await;
    // What that Job does, where there is a node.
    scene.upgrade_forcing("web", &chart).await;
    scene.expect("web", "SignatureVerified").await;
    scene.no_quarantine("web").await;
    workload.has_replicas(4).await;
    assert_eq!(
        annotations(&declaration.json().await)[UNMANAGED],
        Value::Null
    );
    declaration.holds_nothing_of_ours().await;
    workload.holds_nothing_of_ours().await;
    // Paused once, and never again after the person had resumed it.
    let path = "/metadata/annotations/helmcharts.helm.cattle.io~1unmanaged";
    assert_eq!(declaration.changes_of(path).await, 1);

    let by_k3s = job.writes_by(user).await;
    let change = json!({"spec": {"valuesContent": "replicas: 5\n"}});
    declaration.change(change).await;
    job.written_again(user, by_k3s).await;
}

/// The very archive, but from a repository that is no source of the policy.
#[tokio::test(flavor = "multi_thread")]
async fn a_chart_that_k3s_takes_from_elsewhere_is_not_trusted() {
    with_k3s().await;
    let scene = Deployed::begin("k3s-elsewhere").await;
    let chart = scene
        .publish(&Source::new("web", "1.0.0"), Some(&scene.key))
        .await;
    let (declaration, _) = declared(&scene, &scene.namespace, "web").await;
    scene.install("web", &chart).await;
    let owner = |trust: &ReleaseTrust| {
        let release = trust.status.as_ref()?.release.as_ref();
        release.map(|release| release.owner)
    };
    let is_of_k3s = |trust: &ReleaseTrust| owner(trust) == Some(Owner::K3s);
    // The definitions of k3s may have come after the operator started.
    scene.until("web", "web is of k3s", is_of_k3s).await;
    scene.expect("web", "SignatureVerified").await;

    let source = scene.repository.url();
    let elsewhere = source.replace("127.0.0.1", "localhost");
    for (repo, word) in [
        (&elsewhere, "SourceUnknown"),
        (&source, "SignatureVerified"),
    ] {
        declaration.change(json!({"spec": {"repo": repo}})).await;
        let trust = scene.expect("web", word).await;
        assert!(is_of_k3s(&trust), "{trust:?}");
    }
}
