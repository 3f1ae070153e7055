//! Who ends a quarantine, and what holds afterwards.

use charttrust::api::quarantine::Quarantine;
use charttrust::api::{ChartTrustPolicy, TrustedKey};
use charttrust_e2e::eventually;
use charttrust_e2e::stage::{Opening, SOON, Scene, Stage, workloads::automatic};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::others::{Freeze, Refuses};
use crate::{charttrust, stage, stage_alone};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_ended_stays_ended_through_a_restart() {
    let stage = stage_alone().await;
    let scene = Opening::of_every_kind("ended")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    scene.delete_quarantine("web").await;
    let trusts = scene.trusts();
    scene
        .expect_condition(&trusts, "web", "Quarantined=False/Released")
        .await;
    assert_eq!(scene.replicas().await, 3);
    stage.restart().await;
    let other = Opening::of_every_kind("ended-other")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    other.revoke().await;
    other.quarantine_has("web", "Active=True/Contained").await;
    assert_eq!(scene.replicas().await, 3);
    scene
        .expect_condition(&trusts, "web", "Quarantined=False/Released")
        .await;
    assert!(
        scene
            .api::<Quarantine>()
            .get_opt("web")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_changes_nothing_twice() {
    let stage = stage_alone().await;
    let scene = Opening::of_every_kind("restarted")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    let before = scene.workloads().await;
    scene.revoke().await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    stage.at_rest(&scene.namespace).await;
    let mark = stage.cluster.mark();
    stage.restart().await;
    let other = Opening::of_every_kind("restarted-other")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    other.revoke().await;
    other.quarantine_has("web", "Active=True/Contained").await;
    let writes = stage.written_since(mark, &scene.namespace);
    assert!(writes.is_empty(), "{writes:#?}");
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    assert_eq!(scene.workloads().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_policy_or_key_it_stays_until_a_person_ends_it() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("orphaned")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    let before = scene.workloads().await;
    scene.revoke().await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    scene.story.delete::<ChartTrustPolicy>(&scene.policy).await;
    scene.expect("web", "NoPolicy").await;
    scene.story.delete::<TrustedKey>(&scene.key.name).await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    assert_eq!(scene.replicas().await, 0);
    scene.delete_quarantine("web").await;
    assert_eq!(scene.workloads().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_release_gone_it_ends_and_leaves_nothing() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("uninstalled")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    scene.helm.uninstall(&scene.namespace, "web").await.unwrap();
    scene.no_quarantine("web").await;
    let policies = scene
        .api::<NetworkPolicy>()
        .list(&ListParams::default())
        .await
        .unwrap();
    assert!(policies.items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_goes_is_not_held_up() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("going")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    // Somebody holds up the Deployment, so that it could still be started.
    hold(&scene, &["example.com/hold"]).await;
    stage.at_rest(&scene.namespace).await;
    let mark = stage.cluster.mark();
    let namespaces = Api::<Namespace>::all(scene.client.clone());
    namespaces
        .delete(&scene.namespace, &DeleteParams::default())
        .await
        .unwrap();
    scene.no_quarantine("web").await;
    assert_eq!(scene.replicas().await, 0);
    hold(&scene, &[]).await;
    eventually(SOON, "the namespace is gone", async || {
        match namespaces.get_opt(&scene.namespace).await {
            Ok(None) => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    })
    .await;
    // Nothing is started again only to be deleted.
    let of_others = stage.written_since(mark, &scene.namespace).only(|event| {
        let ours = ["events", "quarantines", "releasetrusts"];
        event.namespace == scene.namespace && !ours.contains(&event.resource.as_str())
    });
    assert!(of_others.is_empty(), "{of_others:#?}");
}

async fn hold(scene: &Scene, finalizers: &[&str]) {
    let change = json!({"metadata": {"finalizers": finalizers}});
    scene
        .api::<Deployment>()
        .patch("web", &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_began_and_ended_without_the_operator_stays_ended() {
    let stage = stage_alone().await;
    let mut manual = automatic();
    manual["approval"] = json!("Manual");
    let scene = Opening::of_every_kind("by-hand")
        .with_quarantine(manual)
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    scene.expect("web", "KeyCompromised").await;
    scene.contain("web", &["ScaleToZero"]).await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    let name = format!("{}/web", scene.namespace);
    scene.incident_is_remembered("web").await;
    stage.operator(charttrust_e2e::operator::Operator::kill);
    let (code, said) = charttrust(&stage, &["restore", &name, "--yes"]).await;
    assert_eq!(code, Some(0), "{said}");
    scene.no_quarantine("web").await;
    let change = json!({"spec": {"quarantine": {"approval": "Automatic"}}});
    scene
        .story
        .patch::<ChartTrustPolicy>(&scene.policy, change)
        .await;
    stage.restart().await;
    let trusts = scene.trusts();
    scene
        .expect_condition(&trusts, "web", "Quarantined=False/Released")
        .await;
    assert_eq!(scene.replicas().await, 3);
    scene.no_quarantine("web").await;
}

/// `web` is bad, and a person has contained it; from now on the policy would do so by itself.
async fn contained_by_a_person(stage: &Stage, prefix: &str) -> Scene {
    let mut manual = automatic();
    manual["approval"] = json!("Manual");
    let scene = Opening::of_every_kind(prefix)
        .with_quarantine(manual)
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    scene.expect("web", "KeyCompromised").await;
    scene.contain("web", &["ScaleToZero"]).await;
    scene.contained("web").await;
    scene.incident_is_remembered("web").await;
    let change = json!({"spec": {"quarantine": {"approval": "Automatic"}}});
    let policy = &scene.policy;
    scene.story.patch::<ChartTrustPolicy>(policy, change).await;
    scene
}

/// To take back what a person has begun is no word about the key: it is still stolen.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_takes_back_the_policy_begins_and_what_a_person_restores_it_does_not() {
    let stage = stage().await;
    let scene = contained_by_a_person(&stage, "taken-back").await;
    let quarantines = scene.quarantines();
    let params = DeleteParams::default();
    quarantines.delete("web", &params).await.unwrap();
    eventually(SOON, "the policy has begun it", async || {
        let found = quarantines.get_opt("web").await;
        let found = found.map_err(|error| error.to_string())?;
        let by = found.and_then(|object| object.spec.policy);
        if by.as_deref() == Some(scene.policy.as_str()) {
            Ok(())
        } else {
            Err(format!("{by:?}"))
        }
    })
    .await;
    scene.contained("web").await;
    assert_eq!(scene.replicas().await, 0);

    let restored = contained_by_a_person(&stage, "restored").await;
    for scene in [&scene, &restored] {
        let name = format!("{}/web", scene.namespace);
        let (code, said) = charttrust(&stage, &["restore", &name, "--yes"]).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("no policy contains it again"), "{said}");
        let released = "Quarantined=False/Released";
        let trusts = scene.trusts();
        scene.expect_condition(&trusts, "web", released).await;
        assert_eq!(scene.replicas().await, 3);
        scene.no_quarantine("web").await;
    }
}

/// One object that the server refused makes a person's word about the others no smaller.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_contained_in_part_and_restored_without_the_operator_stays_restored() {
    let stage = stage_alone().await;
    let scene = Opening::of_every_kind("in-part")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    let freeze = Freeze::of(&scene, Refuses::Changes).await;
    freeze.begins().await;
    scene.revoke().await;
    scene.quarantine_has("web", "Active=False/Containing").await;
    let trusts = scene.trusts();
    let active = "Quarantined=True/Active";
    scene.expect_condition(&trusts, "web", active).await;
    scene.incident_is_remembered("web").await;
    stage.operator(charttrust_e2e::operator::Operator::kill);
    freeze.ends().await;
    let name = format!("{}/web", scene.namespace);
    let (code, said) = charttrust(&stage, &["restore", &name, "--yes"]).await;
    assert_eq!(code, Some(0), "{said}");
    stage.restart().await;
    let released = "Quarantined=False/Released";
    scene.expect_condition(&trusts, "web", released).await;
    assert_eq!(scene.replicas().await, 3);
    scene.no_quarantine("web").await;
}
