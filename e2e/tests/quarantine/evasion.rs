//! What whoever wrote the chart, or Kubernetes itself, does so that something runs on, is lost, or is
//! started again.

use charttrust::api::quarantine::{ObjectState, Quarantine};
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{
    Opening, SOON, Scene,
    workloads::{automatic, chart},
};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::{charttrust, stage};

/// Its volumes are deleted with its Pods.
const FORGETFUL: &str = "\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: {{ .Release.Name }}-forgetful}
spec:
  replicas: 2
  podManagementPolicy: Parallel
  serviceName: forgetful
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain, whenScaled: Delete}
  selector: {matchLabels: {app: forgetful}}
  template:
    metadata: {labels: {app: forgetful}}
    spec:
      containers: [{name: main, image: registry.example.com/pause:1}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      resources: {requests: {storage: 1Mi}}
";

/// One that a hook makes, one inside something else, and one in a hook that no server ever sees.
const HIDDEN: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-hooked
  annotations: {helm.sh/hook: post-install}
spec:
  replicas: 3
  selector: {matchLabels: {app: hooked}}
  template:
    metadata: {labels: {app: hooked}}
    spec:
      containers: [{name: main, image: registry.example.com/pause:1}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-harmless}
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: {{ .Release.Name }}-nested}
  spec:
    replicas: 3
    selector: {matchLabels: {app: nested}}
    template:
      metadata: {labels: {app: nested}}
      spec:
        containers: [{name: main, image: registry.example.com/pause:1}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: a b, annotations: {helm.sh/hook: test}}
";

/// Names and uids of the volumes of a namespace that are to stay.
async fn volumes(scene: &Scene) -> Vec<(String, Option<String>)> {
    let claims = scene.api::<PersistentVolumeClaim>();
    let all = claims.list(&ListParams::default()).await.unwrap();
    let lasting = all.items.into_iter().filter(|claim| {
        claim.metadata.deletion_timestamp.is_none() && claim.owner_references().is_empty()
    });
    lasting
        .map(|claim| (claim.name_any(), claim.uid()))
        .collect()
}

async fn volumes_are(scene: &Scene, count: usize) -> Vec<(String, Option<String>)> {
    eventually(SOON, "the volumes are there", async || {
        let found = volumes(scene).await;
        if found.len() == count {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await;
    volumes(scene).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_volume_is_lost_where_they_go_with_the_pods() {
    let stage = stage().await;
    let source = chart("1.0.0").with_file("templates/forgetful.yaml", FORGETFUL);
    let scene = Opening::new("volumes")
        .with_chart(source)
        .trusted(stage.cluster)
        .await;
    let before = volumes_are(&scene, 2).await;
    let policy = async || {
        let set = scene.json::<StatefulSet>("web-forgetful").await;
        set["spec"]["persistentVolumeClaimRetentionPolicy"]["whenScaled"].clone()
    };

    scene.contain("web", &["ScaleToZero"]).await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    assert_eq!(policy().await, "Retain");
    eventually(SOON, "its Pods are gone", async || {
        let set = scene.json::<StatefulSet>("web-forgetful").await;
        let left = set["status"]["replicas"].as_u64().unwrap_or_default();
        if left == 0 {
            Ok(())
        } else {
            Err(format!("{left}"))
        }
    })
    .await;
    assert_eq!(volumes(&scene).await, before);

    scene.delete_quarantine("web").await;
    assert_eq!(policy().await, "Delete");
    assert_eq!(volumes_are(&scene, 2).await, before);
}

/// Set by an administrator, and not by the chart: an upgrade puts the replicas back and says nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_volumes_goes_back_though_an_upgrade_names_the_replicas_alone() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("volumes-upgraded")
        .with_helm(Version::V3)
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    let policy = json!({"whenDeleted": "Retain", "whenScaled": "Delete"});
    let policy = json!({"spec": {"persistentVolumeClaimRetentionPolicy": policy}});
    let (sets, params) = (scene.api::<StatefulSet>(), PatchParams::default());
    let patched = sets.patch("web-db", &params, &Patch::Merge(policy)).await;
    patched.unwrap();
    let found = async || {
        let set = scene.json::<StatefulSet>("web-db").await;
        let policy = &set["spec"]["persistentVolumeClaimRetentionPolicy"];
        (
            set["spec"]["replicas"].clone(),
            policy["whenScaled"].clone(),
        )
    };
    let before = found().await;
    assert_eq!(before.1, "Delete");
    scene.revoke().await;
    scene.contained("web").await;
    assert_eq!(found().await, (json!(0), json!("Retain")));

    let again = scene.publish(&chart("1.0.1"), Some(&scene.key)).await;
    scene.upgrade("web", &again).await;
    eventually(SOON, "the next revision is contained too", async || {
        let object = scene.quarantines().get("web").await;
        let object = object.map_err(|error| error.to_string())?;
        let status = object.status.unwrap_or_default();
        let mut all = status.objects.iter();
        let set = all.find(|one| one.name == "web-db");
        let is_new =
            set.is_some_and(|set| set.revision == Some(2) && set.state == ObjectState::Contained);
        if is_new {
            Ok(())
        } else {
            Err(format!("{set:?}"))
        }
    })
    .await;
    assert_eq!(found().await, (json!(0), json!("Retain")));
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    assert_eq!(found().await, before);
}

/// The `ReplicaSet` of the first revision, once it carries a copy of our annotation.
async fn old(sets: &Api<ReplicaSet>) -> ReplicaSet {
    let mut found = None;
    eventually(SOON, "the annotation is copied", async || {
        let all = sets.list(&ListParams::default()).await;
        let all = all.map_err(|error| error.to_string())?;
        let copied = all.items.into_iter().find(|set| {
            set.annotations().contains_key("charttrust.io/quarantine")
                && set.name_any().starts_with("web-")
        });
        let is_copied = copied.is_some();
        found = copied;
        if is_copied {
            Ok(())
        } else {
            Err("none".to_owned())
        }
    })
    .await;
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_starts_nothing_that_carries_a_copy_of_our_annotation() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("copied")
        .trusted(stage.cluster)
        .await;
    scene.contain("web", &["ScaleToZero"]).await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    let sets = scene.api::<ReplicaSet>();
    let copied = old(&sets).await;
    scene.delete_quarantine("web").await;

    // As a chart whose Pods carry Helm's label makes it, and as a rollout leaves it.
    let params = PatchParams::default();
    let labelled = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}});
    let name = copied.name_any();
    sets.patch(&name, &params, &Patch::Merge(&labelled))
        .await
        .unwrap();
    let deployments = scene.api::<Deployment>();
    let image = json!({"spec": {"template": {"metadata": {"annotations": {"rolled": "out"}}}}});
    deployments
        .patch("web", &params, &Patch::Merge(&image))
        .await
        .unwrap();
    let (code, text) = charttrust(
        &stage,
        &["restore", &format!("{}/web", scene.namespace), "--yes"],
    )
    .await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("nothing is contained"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hooks_and_items_hide_is_contained_or_told_and_never_called_contained() {
    let stage = stage().await;
    let source = chart("1.0.0").with_file("templates/hidden.yaml", HIDDEN);
    let scene = Opening::new("hidden")
        .with_chart(source)
        .trusted(stage.cluster)
        .await;
    scene.contain("web", &["ScaleToZero"]).await;
    let object: Quarantine = scene
        .quarantine_has("web", "Active=False/PartlyContained")
        .await;
    let replicas = async |name: &str| {
        let live = scene.json::<Deployment>(name).await;
        live["spec"]["replicas"].as_i64()
    };
    assert_eq!(replicas("web-nested").await, Some(0));
    assert_eq!(replicas("web-hooked").await, Some(3));
    let status = object.status.unwrap();
    assert_eq!(status.left_out, 1, "{status:#?}");
    let told = status.uncontained.iter().find(|one| one.runs).unwrap();
    assert_eq!(
        (told.kind.as_str(), told.name.as_str()),
        ("Deployment", "web-hooked")
    );

    // It may be stopped by hand, and then nothing is left out.
    let stop = json!({"spec": {"replicas": 0}});
    scene
        .api::<Deployment>()
        .patch("web-hooked", &PatchParams::default(), &Patch::Merge(&stop))
        .await
        .unwrap();
    scene.look().await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    scene.delete_quarantine("web").await;
    assert_eq!(replicas("web-nested").await, Some(3));
}
