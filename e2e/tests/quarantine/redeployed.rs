//! What a pipeline of the thief of a signing key deploys again, once it is contained: the same Helm, the
//! same chart, and nobody who has decided anything.

use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::workloads::automatic;
use charttrust_e2e::stage::{Opening, SOON, Scene, kubectl};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::stage;
use crate::thief::{deployment, plain, replicas};

async fn is_stopped(scene: &Scene, name: &str) {
    eventually(SOON, &format!("{name} is stopped"), async || {
        let found = replicas(scene, name).await;
        if found == Some(0) {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await;
}

/// Runs until somebody deletes it.
const SLOW: &str = "\
apiVersion: batch/v1
kind: Job
metadata: {name: slow, annotations: {helm.sh/hook: pre-upgrade}}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: registry.example.com/pause:1}]
";

/// Says that Helm is at work on a revision for longer than anybody waits.
async fn at_work_for_long(scene: &Scene, revision: u32) {
    let secrets = scene.api::<Secret>();
    let name = format!("sh.helm.release.v1.web.v{revision}");
    let mut found = None;
    eventually(SOON, "Helm has begun", async || {
        found = secrets.get_opt(&name).await.unwrap();
        if found.is_some() {
            Ok(())
        } else {
            Err("no record".to_owned())
        }
    })
    .await;
    let payload = found.unwrap().data.unwrap()["release"].clone();
    let mut record = charttrust_e2e::record::decode(&payload.0).unwrap();
    record["info"]["last_deployed"] = json!("2026-01-01T00:00:00Z");
    let change =
        json!({"stringData": {"release": charttrust_e2e::record::encode(&record).unwrap()}});
    let params = PatchParams::default();
    let change = Patch::Merge(change);
    secrets.patch(&name, &params, &change).await.unwrap();
}

/// Helm writes the record first, waits for the hook, and then applies what the record lists.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_slow_hook_lets_helm_apply_late_is_contained_again() {
    let stage = stage().await;
    let scene = Opening::new("slow-hook")
        .with_helm(Version::V3)
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    scene.contained("web").await;
    let second = Source::new("web", "1.0.1").with_file("templates/slow.yaml", SLOW);
    let second = scene.publish(&second, Some(&scene.key)).await;
    let archive = second.archive.to_string_lossy().into_owned();
    let more = ["--timeout", "3m"];
    let upgrade = scene.helm.upgrade(&scene.namespace, "web", &archive, &more);
    let meanwhile = async {
        at_work_for_long(&scene, 2).await;
        scene.look().await;
        stage.at_rest(&scene.namespace).await;
        let kubeconfig = stage.cluster.kubeconfig();
        let free = ["delete", "job", "slow", "--namespace", &scene.namespace];
        kubectl(kubeconfig, &free).await.unwrap();
    };
    let (upgraded, ()) = tokio::join!(upgrade, meanwhile);
    upgraded.unwrap();
    scene.expect("web", "KeyCompromised").await;
    is_stopped(&scene, "web").await;
    scene.contained("web").await;
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    assert_eq!(replicas(&scene, "web").await, Some(1));
}

/// The number of a revision begins at 1 again.
#[tokio::test(flavor = "multi_thread")]
async fn what_outlives_its_release_is_contained_again_when_that_comes_back() {
    let stage = stage().await;
    let kept = deployment("kept", ", annotations: {helm.sh/resource-policy: keep}");
    let source =
        |version: &str| Source::new("web", version).with_file("templates/kept.yaml", &kept);
    let scene = Opening::new("comes-back")
        .with_helm(Version::V3)
        .with_chart(plain().with_file("templates/kept.yaml", &kept))
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    let mut chart = None;
    for version in ["1.0.1", "1.0.2"] {
        let next = scene.publish(&source(version), Some(&scene.key)).await;
        scene.upgrade("web", &next).await;
        chart = Some(next);
    }
    scene.settled("web").await;
    scene.revoke().await;
    scene.contained("web").await;
    assert_eq!(replicas(&scene, "kept").await, Some(0));
    scene.helm.uninstall(&scene.namespace, "web").await.unwrap();
    scene.install("web", &chart.unwrap()).await;
    scene.expect("web", "KeyCompromised").await;
    is_stopped(&scene, "web").await;
    is_stopped(&scene, "kept").await;
    scene.contained("web").await;
}
