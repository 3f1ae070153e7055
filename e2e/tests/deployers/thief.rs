//! What the thief of a signing key has deployers do, so that something runs on and is called contained.

use charttrust_e2e::argo::NAMESPACE;
use charttrust_e2e::charts::Source;
use charttrust_e2e::stage::{apply, workloads::left_out};
use serde_json::{Value, json};

use crate::argo::with_argo;
use crate::flux::with_flux;
use crate::setup::{Deployed, stage};

const ALL: [&str; 3] = ["PauseDeployer", "IsolateNetwork", "ScaleToZero"];

/// A release of a release: what Flux makes of it is listed by no record of this one.
#[tokio::test(flavor = "multi_thread")]
async fn a_chart_that_brings_a_deployer_is_never_called_contained() {
    with_flux().await;
    let scene = Deployed::begin("child").await;
    let child = "\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: child}
spec:
  interval: 1h
  chart: {spec: {chart: evil, sourceRef: {kind: HelmRepository, name: thief}}}
";
    let source = Source::new("web", "1.0.0").with_file("templates/child.yaml", child);
    let chart = scene.publish(&source, Some(&scene.key)).await;
    scene.install("web", &chart).await;
    scene.expect("web", "SignatureVerified").await;
    scene.revoke().await;
    let object = scene
        .quarantine_has("web", "Active=False/PartlyContained")
        .await;
    assert_eq!(left_out(&object), ["HelmRelease child"]);
}

/// An Application that nobody syncs, in the namespace of a story, as Argo CD may be told to look there.
fn application(scene: &Deployed, name: &str, server: &str, resources: &Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name, "namespace": scene.namespace},
        "spec": {
            "project": "default",
            "source": {"repoURL": scene.repository.url(), "chart": "web", "targetRevision": "1.0.0"},
            "destination": {"server": server, "namespace": scene.namespace},
            "syncPolicy": {"automated": {"selfHeal": true}},
        },
        "status": {"controllerNamespace": NAMESPACE, "resources": resources,
            "sync": {"status": "Synced", "revision": "1.0.0", "comparedTo": {"source": {"repoURL": "a"}, "destination": {}}}},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_in_another_cluster_is_never_called_contained() {
    with_argo().await;
    let scene = Deployed::begin("argo-far").await;
    let far = json!([{"group": "apps", "version": "v1", "kind": "Deployment",
        "namespace": scene.namespace, "name": "far"}]);
    let object = application(&scene, "far", "https://far.example.com", &far);
    apply(stage().await.cluster.kubeconfig(), &[object])
        .await
        .unwrap();
    scene.contain("argocd.far", &ALL).await;
    let object = scene
        .quarantine_has("argocd.far", "Active=False/PartlyContained")
        .await;
    assert_eq!(left_out(&object), ["Deployment far"]);
}

/// A child puts back what it is made of, whatever becomes of its parent.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_of_applications_is_never_called_contained() {
    with_argo().await;
    let scene = Deployed::begin("argo-parent").await;
    let child = json!([{"group": "argoproj.io", "version": "v1alpha1", "kind": "Application",
        "namespace": scene.namespace, "name": "child"}]);
    let here = "https://kubernetes.default.svc";
    let objects = [
        application(&scene, "parent", here, &child),
        application(&scene, "child", here, &json!([])),
    ];
    apply(stage().await.cluster.kubeconfig(), &objects)
        .await
        .unwrap();
    scene.contain("argocd.parent", &ALL).await;
    let object = scene
        .quarantine_has("argocd.parent", "Active=False/PartlyContained")
        .await;
    assert_eq!(left_out(&object), ["Application child"]);
}
