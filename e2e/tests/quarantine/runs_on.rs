//! What the thief of a signing key lets run on where nobody looks: none of it is ever called contained.

use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::workloads::{automatic, left_out};
use charttrust_e2e::stage::{Opening, SOON, Scene, kubectl};
use k8s_openapi::api::apps::v1::{DaemonSet, ReplicaSet};
use kube::ResourceExt;
use kube::api::ListParams;

use crate::stage;
use crate::thief::{deployment, plain, replicas, spec};

/// Runs kubectl in the namespace of a story, as a pipeline does.
async fn pipeline(scene: &Scene, kubeconfig: &std::path::Path, arguments: &[&str]) {
    let place = ["--namespace", &scene.namespace];
    let done = kubectl(kubeconfig, &[arguments, &place].concat()).await;
    done.unwrap();
}

/// A release that is trusted, with this file more in its chart.
async fn opened(prefix: &str, version: Version, path: &str, content: &str) -> Scene {
    let stage = stage().await;
    Opening::new(prefix)
        .with_helm(version)
        .with_chart(plain().with_file(path, content))
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await
}

/// The key is stolen: what is left out and runs is told, and the rest is stopped.
async fn partly_contained(scene: &Scene) -> Vec<String> {
    scene.revoke().await;
    let object = scene
        .quarantine_has("web", "Active=False/PartlyContained")
        .await;
    assert_eq!(replicas(scene, "web").await, Some(0));
    left_out(&object)
}

/// Helm installs whatever lies there, waits until that is ready, and lists it nowhere. One of no node is ready at
/// once.
fn definition() -> String {
    format!(
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: evil}}\n{}",
        spec("evil").replace("  replicas: 3\n", "")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_chart_installs_as_a_definition_is_never_called_contained() {
    for version in [Version::V3, Version::V4] {
        let scene = opened("crds", version, "crds/evil.yaml", &definition()).await;
        scene.json::<DaemonSet>("evil").await;
        let left = partly_contained(&scene).await;
        assert_eq!(left, ["DaemonSet evil"], "{version:?}");
    }
}

/// A pipeline deletes the Deployment, and what it has made stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_deleted_workload_leaves_behind_is_never_called_contained() {
    let kubeconfig = stage().await.cluster.kubeconfig().to_owned();
    let evil = deployment("evil", "");
    let scene = opened("orphaned", Version::V4, "templates/evil.yaml", &evil).await;
    let sets = scene.api::<ReplicaSet>();
    let own = async || {
        let all = sets.list(&ListParams::default()).await.unwrap().items;
        let names = all.iter().map(ResourceExt::name_any);
        names
            .filter(|name| name.starts_with("evil-"))
            .collect::<Vec<_>>()
    };
    eventually(SOON, "its ReplicaSet is there", async || {
        let names = own().await;
        if names.len() == 1 {
            Ok(())
        } else {
            Err(format!("{names:?}"))
        }
    })
    .await;
    let orphan = ["delete", "deployment", "evil", "--cascade=orphan"];
    pipeline(&scene, &kubeconfig, &orphan).await;
    let left = partly_contained(&scene).await;
    assert_eq!(left, [format!("ReplicaSet {}", own().await[0])]);
}

/// Whom a chart names as owner is being deleted, and manages nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_an_owner_that_goes_and_never_is_gone_is_never_called_contained() {
    let kubeconfig = stage().await.cluster.kubeconfig().to_owned();
    let kept = "annotations: {helm.sh/resource-policy: keep}";
    let held = format!(", {kept}, finalizers: [thief.example.com/hold]");
    let decoy = deployment("decoy", &held).replace("replicas: 3", "replicas: 0");
    let scene = opened("decoy", Version::V3, "templates/decoy.yaml", &decoy).await;
    let delete = ["delete", "deployment", "decoy", "--wait=false"];
    pipeline(&scene, &kubeconfig, &delete).await;
    let owned = format!(
        ", {kept}, ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: decoy, controller: true, \
         uid: {{{{ (lookup \"apps/v1\" \"Deployment\" .Release.Namespace \"decoy\").metadata.uid }}}}}}]"
    );
    let evil =
        deployment("evil", &owned).replace("kind: Deployment\nmeta", "kind: ReplicaSet\nmeta");
    let second = Source::new("web", "1.0.1").with_file("templates/evil.yaml", &evil);
    let second = scene.publish(&second, Some(&scene.key)).await;
    scene.upgrade("web", &second).await;
    let third = Source::new("web", "1.0.2");
    let third = scene.publish(&third, Some(&scene.key)).await;
    scene.upgrade("web", &third).await;
    scene.settled("web").await;
    let left = partly_contained(&scene).await;
    assert!(left.contains(&"ReplicaSet evil".to_owned()), "{left:?}");
    let free = [
        "patch",
        "deployment",
        "decoy",
        "--type=merge",
        "-p",
        "{\"metadata\":{\"finalizers\":null}}",
    ];
    pipeline(&scene, &kubeconfig, &free).await;
}

/// It has started a Pod, and starts others when that ends.
const TRIES: &str = "\
---
apiVersion: batch/v1
kind: Job
metadata: {name: tries}
spec:
  completions: 1000
  backoffLimit: 1000
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: registry.example.com/pause:1}]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_makes_more_pods_is_never_called_contained() {
    let scene = opened("tries", Version::V3, "templates/tries.yaml", TRIES).await;
    scene.job_runs("tries").await;
    let left = partly_contained(&scene).await;
    assert_eq!(left, ["Job tries"]);
}

/// Nobody has put it on a node yet.
const LATER: &str = "\
---
apiVersion: v1
kind: Pod
metadata: {name: pending}
spec: {containers: [{name: main, image: registry.example.com/pause:1}]}
";

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_later_is_never_called_contained() {
    let scene = opened("later", Version::V4, "templates/later.yaml", LATER).await;
    let left = partly_contained(&scene).await;
    assert_eq!(left, ["Pod pending"]);
}

/// The label of our own making may be a node's.
#[tokio::test(flavor = "multi_thread")]
async fn a_chart_that_names_our_label_for_its_nodes_is_contained_all_the_same() {
    let agent = format!(
        "---\napiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: agent}}\n{}",
        spec("agent").replace("  replicas: 3\n", "").replace(
            "spec: {containers",
            "spec: {nodeSelector: {charttrust.io/quarantined: mine}, containers"
        )
    );
    let scene = opened("labelled", Version::V4, "templates/agent.yaml", &agent).await;
    let selector = async || {
        let agent = scene.json::<DaemonSet>("agent").await;
        agent["spec"]["template"]["spec"]["nodeSelector"]["charttrust.io/quarantined"].clone()
    };
    assert_eq!(selector().await, "mine");
    scene.revoke().await;
    scene.contained("web").await;
    assert_eq!(selector().await, "true");
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    assert_eq!(selector().await, "mine");
}

/// Helm says that it is uninstalling, and that never ends.
#[tokio::test(flavor = "multi_thread")]
async fn an_uninstallation_that_never_ends_saves_nothing() {
    let hook = TRIES.replace(
        "{name: tries}",
        "{name: stays, annotations: {helm.sh/hook: pre-delete}}",
    );
    let scene = opened("uninstalling", Version::V3, "templates/stays.yaml", &hook).await;
    let uninstall = [
        "uninstall",
        "web",
        "--timeout",
        "1s",
        "--namespace",
        &scene.namespace,
    ];
    assert!(scene.helm.run(&uninstall).await.is_err());
    scene.revoke().await;
    scene.replicas_are(0).await;
}

/// Hooks that are never run, and that nobody has to ask for one by one.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_names_cost_a_handful_of_requests() {
    let stage = stage().await;
    let hooks = "{{- range until 6000 }}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: \"never-{{ . }}\", annotations: {helm.sh/hook: test}}\n{{- end }}\n";
    let scene = opened("many-names", Version::V4, "templates/hooks.yaml", hooks).await;
    let mark = stage.cluster.mark();
    scene.revoke().await;
    scene.contained("web").await;
    let asked = stage.cluster.asked_since(mark);
    let asked = asked
        .by(stage.identity.user())
        .of("deployments")
        .only(|event| event.namespace == scene.namespace && event.verb == "get");
    assert!(asked.len() < 100, "{}", asked.len());
}
