//! Objects that carry the mark of a quarantine that did not make it: the Quarantine was removed by
//! force, or the object was made again.

use std::path::Path;

use charttrust::api::quarantine::{ContainedObject, ObjectState, Quarantine};
use charttrust_e2e::eventually;
use charttrust_e2e::stage::{Opening, SOON, Scene, kubectl};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::{ALL, charttrust, not_contained, stage};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_forced_end_left_is_taken_over_by_the_next_quarantine() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("forced")
        .trusted(stage.cluster)
        .await;
    let before = scene.workloads().await;
    scene.contain("web", &ALL).await;
    let first = scene.quarantine_has("web", "Active=True/Contained").await;
    scene.force_quarantine_away().await;
    assert_eq!(scene.replicas().await, 0);

    scene.contain("web", &ALL).await;
    let second = scene.quarantine_has("web", "Active=True/Contained").await;
    let uid = second.uid().unwrap();
    let status = second.status.unwrap();
    assert_eq!(not_contained(&status), Vec::<&str>::new(), "{status:#?}");
    let web = status.objects.iter().find(|one| one.kind == "Deployment");
    let web = web.unwrap();
    assert_eq!(web.original.as_deref(), Some("3"));
    assert_eq!(web.left_by, first.uid());
    assert_eq!(scene.replicas().await, 0);
    let mark = scene.json::<Deployment>("web").await["metadata"]["annotations"]
        ["charttrust.io/quarantine"]
        .to_string();
    assert!(
        mark.contains(&uid) && mark.contains(r#"\"original\":3"#),
        "{mark}"
    );

    scene.delete_quarantine("web").await;
    assert_eq!(scene.workloads().await, before);
    assert_eq!(scene.policies_of_network().await, Vec::<String>::new());
}

/// As a person does who wants to see an object fresh.
async fn made_again(scene: &Scene, kubeconfig: &Path, kind: &str, name: &str) {
    let live = match kind {
        "Deployment" => scene.json::<Deployment>(name).await,
        _ => scene.json::<StatefulSet>(name).await,
    };
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), live.to_string()).unwrap();
    let file = file.path().to_string_lossy();
    let replace = ["replace", "--force", "--grace-period=0", "-f", &file];
    kubectl(kubeconfig, &replace).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_again_from_a_contained_copy_is_told_and_not_claimed_as_back() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("again").trusted(stage.cluster).await;
    scene.contain("web", &["ScaleToZero"]).await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    let kubeconfig = stage.cluster.kubeconfig();
    made_again(&scene, kubeconfig, "Deployment", "web").await;
    made_again(&scene, kubeconfig, "StatefulSet", "web-db").await;

    // A look may fall between the two; the next one sees both.
    scene.look().await;
    let quarantines = scene.api::<Quarantine>();
    eventually(SOON, "both are contested", async || {
        let object = quarantines.get("web").await.unwrap();
        let status = object.status.unwrap();
        let contested = |one: &&ContainedObject| one.state == ObjectState::Contested;
        let contested = status.objects.iter().filter(contested).count();
        let is_told = (status.contained, contested) == (2, 2);
        is_told.then_some(()).ok_or(format!("{status:#?}"))
    })
    .await;
    let params = DeleteParams::default();
    quarantines.delete("web", &params).await.unwrap();
    scene.quarantine_has("web", "Active=False/Restoring").await;
    let disagree = "Contested=True/OriginalsDisagree";
    let message = scene.expect_condition(&quarantines, "web", disagree).await;
    for told in [
        "Deployment web (was made again while it was contained",
        "we recorded 3",
        "StatefulSet web-db",
        "we recorded 2",
        "set the field to the value it shall have and remove the annotation",
    ] {
        assert!(message.contains(told), "{told}: {message}");
    }
    assert_eq!(scene.replicas().await, 0);
    let name = format!("{}/web", scene.namespace);
    let (code, said) = charttrust(&stage, &["restore", &name, "--yes"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Deployment web is contested"), "{said}");

    set_by_hand(&scene).await;
    scene.look().await;
    scene.no_quarantine("web").await;
    assert_eq!(scene.replicas().await, 3);
    let note = scene.event("Restored").await;
    assert!(note.starts_with("2 objects were put back"), "{note}");
    let sets = scene.api::<StatefulSet>();
    let sets = sets.list(&ListParams::default()).await.unwrap();
    assert_eq!(sets.items.len(), 1);
}

/// The way out that is told.
async fn set_by_hand(scene: &Scene) {
    let by_hand = |replicas: u32| {
        Patch::Merge(json!({
            "metadata": {"annotations": {"charttrust.io/quarantine": null}},
            "spec": {"replicas": replicas},
        }))
    };
    let params = PatchParams::default();
    let deployments = scene.api::<Deployment>();
    deployments
        .patch("web", &params, &by_hand(3))
        .await
        .unwrap();
    let sets = scene.api::<StatefulSet>();
    sets.patch("web-db", &params, &by_hand(2)).await.unwrap();
}
