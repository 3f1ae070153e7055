//! Who ends a quarantine, and what holds afterwards.

use charttrust::api::quarantine::Quarantine;
use charttrust::api::{ChartTrustPolicy, TrustedKey};
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, SOON};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::scene::{Scene, automatic, scene};
use crate::{charttrust, stage, stage_alone};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_ended_stays_ended_through_a_restart() {
    let stage = stage_alone().await;
    let scene = scene(&stage, "ended", Version::V4, automatic()).await;
    scene.revoke().await;
    scene.quarantine_is("Active=True/Contained").await;
    scene.delete_quarantine().await;
    let trusts = scene.trusts();
    scene
        .expect_condition(&trusts, "web", "Quarantined=False/Released")
        .await;
    assert_eq!(scene.replicas().await, 3);
    stage.restart().await.unwrap();
    let other = self::scene(&stage, "ended-other", Version::V4, automatic()).await;
    other.revoke().await;
    other.quarantine_is("Active=True/Contained").await;
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
    let scene = scene(&stage, "restarted", Version::V4, automatic()).await;
    let before = scene.workloads().await;
    scene.revoke().await;
    scene.quarantine_is("Active=True/Contained").await;
    let audit = stage.cluster.audit().unwrap();
    let mark = audit.mark().unwrap();
    stage.restart().await.unwrap();
    let other = self::scene(&stage, "restarted-other", Version::V4, automatic()).await;
    other.revoke().await;
    other.quarantine_is("Active=True/Contained").await;
    let writes = audit
        .since(mark)
        .unwrap()
        .by(stage.identity.user())
        .writes();
    let writes = writes.only(|event| event.namespace == scene.namespace);
    assert!(writes.is_empty(), "{writes:#?}");
    scene.withdraw().await;
    scene.no_quarantine().await;
    assert_eq!(scene.workloads().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_policy_or_key_it_stays_until_a_person_ends_it() {
    let stage = stage().await;
    let scene = scene(&stage, "orphaned", Version::V4, automatic()).await;
    let before = scene.workloads().await;
    scene.revoke().await;
    scene.quarantine_is("Active=True/Contained").await;
    scene
        .story
        .delete::<ChartTrustPolicy>(&scene.policy)
        .await
        .unwrap();
    scene.expect("web", "NoPolicy").await;
    scene
        .story
        .delete::<TrustedKey>(&scene.key.name)
        .await
        .unwrap();
    scene.quarantine_is("Active=True/Contained").await;
    assert_eq!(scene.replicas().await, 0);
    scene.delete_quarantine().await;
    assert_eq!(scene.workloads().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_release_gone_it_ends_and_leaves_nothing() {
    let stage = stage().await;
    let scene = scene(&stage, "uninstalled", Version::V4, automatic()).await;
    scene.revoke().await;
    scene.quarantine_is("Active=True/Contained").await;
    scene.helm.uninstall(&scene.namespace, "web").await.unwrap();
    scene.no_quarantine().await;
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
    let scene = scene(&stage, "going", Version::V4, automatic()).await;
    scene.revoke().await;
    scene.quarantine_is("Active=True/Contained").await;
    // Somebody holds up the Deployment, so that it could still be started.
    hold(&scene, &["example.com/hold"]).await;
    let audit = stage.cluster.audit().unwrap();
    let mark = audit.mark().unwrap();
    let namespaces = Api::<Namespace>::all(scene.client.clone());
    namespaces
        .delete(&scene.namespace, &DeleteParams::default())
        .await
        .unwrap();
    scene.no_quarantine().await;
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
    let us = stage.identity.user();
    let of_others = audit.since(mark).unwrap().by(us).writes().only(|event| {
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
    let scene = scene(&stage, "by-hand", Version::V4, manual).await;
    scene.revoke().await;
    scene.expect("web", "KeyCompromised").await;
    scene.create_quarantine(&["ScaleToZero"]).await;
    scene.quarantine_is("Active=True/Contained").await;
    let remembered = Api::<ConfigMap>::namespaced(scene.story.client.clone(), OPERATOR_NAMESPACE);
    let name = format!("{}/web", scene.namespace);
    eventually(SOON, "the operator remembers it", async || {
        let map = remembered.get("charttrust-incidents").await;
        let data = map
            .map_err(|error| error.to_string())?
            .data
            .unwrap_or_default();
        let is_noted = data.values().any(|entry| entry.contains(&name));
        if is_noted {
            Ok(())
        } else {
            Err(format!("{data:?}"))
        }
    })
    .await;
    stage.operator(charttrust_e2e::operator::Operator::kill);
    let (code, said) = charttrust(&stage, &["restore", &name, "--yes"]).await;
    assert_eq!(code, Some(0), "{said}");
    scene.no_quarantine().await;
    let change = json!({"spec": {"quarantine": {"approval": "Automatic"}}});
    scene
        .story
        .patch::<ChartTrustPolicy>(&scene.policy, change)
        .await
        .unwrap();
    stage.restart().await.unwrap();
    let trusts = scene.trusts();
    scene
        .expect_condition(&trusts, "web", "Quarantined=False/Released")
        .await;
    assert_eq!(scene.replicas().await, 3);
    scene.no_quarantine().await;
}
