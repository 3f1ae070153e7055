//! What others do while a write of the operator is on its way.

use charttrust_e2e::eventually;
use charttrust_e2e::proxy::Fault;
use charttrust_e2e::stage::{Opening, SOON, Scene};
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::chaos;

/// As an autoscaler does.
async fn autoscaled(scene: &Scene, name: &str, replicas: u32) {
    let params = PatchParams {
        field_manager: Some("kube-controller-manager".to_owned()),
        ..PatchParams::default()
    };
    let scale = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    let sets = scene.api::<StatefulSet>();
    sets.patch_scale(name, &params, &scale).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_scaled_between_plan_and_patch_is_contained_and_comes_back_as_it_was_last() {
    let chaos = chaos().await;
    let scene = Opening::of_every_kind("scaled")
        .trusted(chaos.stage.cluster)
        .await;
    let proxy = &chaos.proxy;
    proxy.strike_first("PATCH", "/deployments/web", Fault::Part);
    scene.contain("web", &["ScaleToZero"]).await;
    eventually(SOON, "the patch is on its way", async || {
        if proxy.is_parted() {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
    assert_eq!(scene.replicas().await, 3);
    scene.scale(5).await;
    autoscaled(&scene, "web-db", 4).await;
    // Only these two are still as others have made them.
    let mut before = scene.workloads().await;
    before.retain(|kind, _| ["Deployment", "StatefulSet"].contains(kind));
    proxy.join();

    let status = scene
        .quarantine_has("web", "Active=True/Contained")
        .await
        .status
        .unwrap();
    assert_eq!(status.contained, 4, "{status:#?}");
    let original = |kind: &str| {
        let found = status.objects.iter().find(|one| one.kind == kind);
        found.and_then(|one| one.original.clone())
    };
    assert_eq!(original("Deployment").as_deref(), Some("5"));
    assert_eq!(original("StatefulSet").as_deref(), Some("4"));
    assert_eq!(scene.replicas().await, 0);
    let set = scene.json::<StatefulSet>("web-db").await;
    assert_eq!(set["spec"]["replicas"], 0);

    scene.delete_quarantine("web").await;
    proxy.behave();
    let after = scene.workloads().await;
    for (kind, workload) in &before {
        assert_eq!(after[kind], *workload, "{kind}");
    }
    assert_eq!(scene.replicas().await, 5);
}
