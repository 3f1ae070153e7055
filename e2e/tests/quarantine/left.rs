//! Objects that carry the mark of a quarantine that did not make it: the Quarantine was removed by
//! force, or the object was made again.

use std::path::Path;

use charttrust::api::quarantine::{ObjectState, Quarantine};
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::kubectl;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::scene::{Scene, scene};
use crate::{ALL, charttrust, stage};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_forced_end_left_is_taken_over_by_the_next_quarantine() {
    let stage = stage().await;
    let scene = scene(&stage, "forced", Version::V4, Value::Null).await;
    let before = scene.workloads().await;
    scene.create_quarantine(&ALL).await;
    let first = scene.quarantine_is("Active=True/Contained").await;
    scene.force_quarantine_away().await;
    assert_eq!(scene.replicas().await, 0);

    scene.create_quarantine(&ALL).await;
    let second = scene.quarantine_is("Active=True/Contained").await;
    let uid = second.uid().unwrap();
    let status = second.status.unwrap();
    assert_eq!(status.contained, 8, "{status:#?}");
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

    scene.delete_quarantine().await;
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
    let scene = scene(&stage, "again", Version::V4, Value::Null).await;
    scene.create_quarantine(&["ScaleToZero"]).await;
    scene.quarantine_is("Active=True/Contained").await;
    let kubeconfig = stage.cluster.kubeconfig();
    made_again(&scene, kubeconfig, "Deployment", "web").await;
    made_again(&scene, kubeconfig, "StatefulSet", "web-db").await;

    scene.look().await;
    let object = scene
        .quarantine_is("Contested=True/OriginalsDisagree")
        .await;
    let status = object.status.unwrap();
    assert_eq!(status.contained, 2, "{status:#?}");
    let contested = |one: &&_| {
        let one: &charttrust::api::quarantine::ContainedObject = one;
        one.state == ObjectState::Contested
    };
    assert_eq!(status.objects.iter().filter(contested).count(), 2);
    let quarantines = scene.api::<Quarantine>();
    let params = DeleteParams::default();
    quarantines.delete("web", &params).await.unwrap();
    scene.quarantine_is("Active=False/Restoring").await;
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

    // The way out that was told.
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
    scene.look().await;
    scene.no_quarantine().await;
    assert_eq!(scene.replicas().await, 3);
    let note = scene.event("Restored").await;
    assert!(note.starts_with("2 objects were put back"), "{note}");
    assert_eq!(
        sets.list(&ListParams::default()).await.unwrap().items.len(),
        1
    );
}
