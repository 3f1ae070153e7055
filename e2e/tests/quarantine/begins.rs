//! What is contained, and what is not: limits, approval, policies, and records that may lie.

use charttrust::api::conditions::find;
use charttrust::api::quarantine::Quarantine;
use charttrust::api::quarantine_words::QuarantineCondition;
use charttrust::api::{ChartTrustPolicy, TrustedKey};
use charttrust_e2e::eventually;
use charttrust_e2e::stage::{
    Opening, SOON,
    workloads::{automatic, chart},
};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::json;

use crate::others::{Freeze, Refuses};
use crate::stage;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_and_does_not_fit_starts_not_at_all() {
    let stage = stage().await;
    let mut quarantine = automatic();
    quarantine["limit"] = json!({"maxReleases": 2, "maxPercent": 100});
    let scene = Opening::of_every_kind("limit")
        .with_quarantine(quarantine)
        .trusted(stage.cluster)
        .await;
    let archive = scene.publish(&chart("1.0.0"), Some(&scene.key)).await;
    for release in ["shop", "forum"] {
        scene.install(release, &archive).await;
        scene.expect(release, "SignatureVerified").await;
    }
    scene.revoke().await;
    let policies = scene.policies();
    let message = scene
        .expect_condition(
            &policies,
            &scene.policy,
            "QuarantineStopped=True/LimitReached",
        )
        .await;
    let named = format!("{}/forum,shop,web", scene.namespace);
    assert!(message.contains(&named), "{message}");
    assert!(message.contains("raise spec.quarantine.limit"), "{message}");
    let started = scene
        .api::<Quarantine>()
        .list(&ListParams::default())
        .await
        .unwrap();
    assert!(started.items.is_empty());
    assert_eq!(scene.replicas().await, 3);
    let trusts = scene.trusts();
    for release in ["forum", "shop", "web"] {
        let said = "Quarantined=False/LimitReached";
        scene.expect_condition(&trusts, release, said).await;
    }

    // The way on.
    let raise = json!({"spec": {"quarantine": {"limit": {"maxReleases": 3}}}});
    scene
        .story
        .patch::<ChartTrustPolicy>(&scene.policy, raise)
        .await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    assert_eq!(scene.replicas().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_automatic_approval_it_is_recommended_and_nothing_is_changed() {
    let stage = stage().await;
    let mut quarantine = automatic();
    quarantine["approval"] = json!("Manual");
    let scene = Opening::of_every_kind("approval")
        .with_quarantine(quarantine)
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    let trusts = scene.trusts();
    let waiting = "Quarantined=False/AwaitingApproval";
    scene.expect_condition(&trusts, "web", waiting).await;
    let note = scene.event("AwaitingApproval").await;
    assert!(note.contains(&scene.policy), "{note}");
    assert_eq!(scene.replicas().await, 3);
    scene.contain("web", &["ScaleToZero"]).await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    scene
        .expect_condition(&trusts, "web", "Quarantined=True/Active")
        .await;
    assert_eq!(scene.replicas().await, 0);
}

/// Each in a namespace of its own, under a policy that would contain it but for one thing.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_due_is_not_contained() {
    let stage = stage().await;
    let mut later = automatic();
    later["after"] = json!("1h");
    let later = Opening::of_every_kind("later")
        .with_quarantine(later)
        .trusted(stage.cluster)
        .await;
    let suspended = Opening::of_every_kind("suspended")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    let suspend = json!({"spec": {"suspend": true}});
    suspended
        .story
        .patch::<ChartTrustPolicy>(&suspended.policy, suspend)
        .await;
    let other_reason = Opening::of_every_kind("other-reason")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    later.revoke().await;
    suspended.revoke().await;
    let unspecified = json!({"spec": {"revocation": {"reason": "Unspecified"}}});
    other_reason
        .story
        .patch::<TrustedKey>(&other_reason.key.name, unspecified)
        .await;
    later.expect("web", "KeyCompromised").await;
    suspended.expect("web", "KeyCompromised").await;
    other_reason.expect("web", "KeyRevoked").await;

    // What is due is contained meanwhile.
    let due = Opening::of_every_kind("due")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    due.revoke().await;
    due.quarantine_has("web", "Active=True/Contained").await;
    for scene in [&later, &suspended, &other_reason] {
        let all = scene.api::<Quarantine>();
        let all = all.list(&ListParams::default()).await.unwrap();
        assert!(all.items.is_empty(), "{}", scene.namespace);
        assert_eq!(scene.replicas().await, 3, "{}", scene.namespace);
    }
    eventually(SOON, "the policy says that it waits", async || {
        let policy = later.policies().get(&later.policy).await;
        let policy = policy.map_err(|error| error.to_string())?;
        let counts = policy.status.unwrap_or_default().quarantine;
        if counts.waiting == 1 {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_installed_later_is_not_the_one_that_was_meant() {
    let stage = stage().await;
    let scene = Opening::new("nobody").keyed(stage.cluster).await;
    scene.contain("web", &["ScaleToZero"]).await;
    scene
        .quarantine_has("web", "Active=False/ReleaseNotFound")
        .await;
    let archive = scene.publish(&chart("1.0.0"), None).await;
    scene.install("web", &archive).await;
    scene.look().await;
    let told = async || {
        let object = scene.quarantines().get("web").await.unwrap();
        let conditions = object.status.unwrap_or_default().conditions;
        let active = find(&conditions, QuarantineCondition::Active);
        active
            .map(|active| active.message.clone())
            .unwrap_or_default()
    };
    eventually(SOON, "it says that the release came later", async || {
        let message = told().await;
        if message.contains("after this Quarantine was made") {
            Ok(())
        } else {
            Err(message)
        }
    })
    .await;
    assert_eq!(scene.replicas().await, 3);

    scene.delete_quarantine("web").await;
    scene.contain("web", &["ScaleToZero"]).await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    assert_eq!(scene.replicas().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_own_namespace_is_protected() {
    let stage = stage().await;
    let client = stage.cluster.client().await.unwrap();
    let api = Api::<Quarantine>::namespaced(client, "kube-system");
    let object: Quarantine = serde_json::from_value(json!({
        "metadata": {"name": "dns"},
        "spec": {"reason": "a story", "actions": ["ScaleToZero"]},
    }))
    .unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
    eventually(SOON, "it is refused", async || {
        let object = api.get("dns").await.map_err(|error| error.to_string())?;
        let status = serde_json::to_value(object.status).unwrap();
        let is_protected = status["conditions"][0]["reason"] == "Protected";
        if is_protected {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .await;
    api.delete("dns", &DeleteParams::default()).await.unwrap();
}

/// Anybody who may create `ConfigMap`s could claim that a release is what a stolen key signed.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_another_driver_contains_nothing_by_itself() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("drivers")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    let stolen = scene.trusted_key("stolen").await;
    let rules = json!([scene.rule("*", &[&scene.key, &stolen], json!({}))]);
    let change = json!({"spec": {"rules": rules}});
    let policies = &scene.policy;
    scene
        .story
        .patch::<ChartTrustPolicy>(policies, change)
        .await;
    let old = scene.publish(&chart("0.9.0"), Some(&stolen)).await;
    let elsewhere = stage.cluster.namespace("drivers-far").await.unwrap();
    let archive = old.archive.to_string_lossy().into_owned();
    scene
        .helm
        .install(&elsewhere, "web", &archive, &[])
        .await
        .unwrap();
    let far = Api::<Secret>::namespaced(scene.story.client.clone(), &elsewhere);
    let secret = far.get("sh.helm.release.v1.web.v1").await.unwrap();
    let payload = secret.data.unwrap()["release"].clone();
    let mut record = charttrust_e2e::record::decode(&payload.0).unwrap();
    record["namespace"] = json!(scene.namespace);
    record["version"] = json!(9);
    let payload = charttrust_e2e::record::encode(&record).unwrap();
    let payload: ByteString = serde_json::from_value(json!(payload)).unwrap();
    let forged: ConfigMap = serde_json::from_value(json!({
        "metadata": {
            "name": "sh.helm.release.v1.web.v9",
            "labels": {"owner": "helm", "name": "web", "status": "deployed", "version": "9"},
        },
        "data": {"release": String::from_utf8(payload.0).unwrap()},
    }))
    .unwrap();
    let maps = scene.api::<ConfigMap>();
    maps.create(&PostParams::default(), &forged).await.unwrap();
    let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    scene.story.patch::<TrustedKey>(&stolen.name, revoke).await;
    scene.expect("web", "KeyCompromised").await;
    let trusts = scene.trusts();
    scene
        .expect_condition(&trusts, "web", "Quarantined=False/AwaitingApproval")
        .await;
    let quarantines = scene.api::<Quarantine>();
    assert!(quarantines.get_opt("web").await.unwrap().is_none());
    assert_eq!(scene.replicas().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_a_policy_that_does_not_contain_by_itself_is_not_begun() {
    let stage = stage().await;
    let mut manual = automatic();
    manual["approval"] = json!("Manual");
    let scene = Opening::of_every_kind("withdrawn")
        .with_quarantine(manual)
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    scene.expect("web", "KeyCompromised").await;
    // Whoever writes one that names the policy has not asked it.
    let object: Quarantine = serde_json::from_value(json!({
        "apiVersion": "charttrust.io/v1alpha1", "kind": "Quarantine",
        "metadata": {"name": "web", "finalizers": [charttrust::quarantine::FINALIZER]},
        "spec": {"reason": "a story", "actions": ["ScaleToZero"], "policy": scene.policy},
    }))
    .unwrap();
    let quarantines = scene.api::<Quarantine>();
    quarantines
        .create(&PostParams::default(), &object)
        .await
        .unwrap();
    scene
        .quarantine_has("web", "Active=False/MadeByOthers")
        .await;
    assert_eq!(scene.replicas().await, 3);
    scene.delete_quarantine("web").await;
    assert_eq!(scene.replicas().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_bad_one_by_one_meets_the_limit_as_a_whole() {
    let stage = stage().await;
    let mut quarantine = automatic();
    quarantine["limit"] = json!({"maxReleases": 1, "maxPercent": 100});
    quarantine["after"] = json!("40s");
    let scene = Opening::of_every_kind("one-by-one")
        .with_quarantine(quarantine)
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    scene.expect("web", "KeyCompromised").await;
    let archive = scene.publish(&chart("1.0.0"), Some(&scene.key)).await;
    scene.install("shop", &archive).await;
    scene.expect("shop", "KeyCompromised").await;
    let policies = scene.policies();
    let stopped = "QuarantineStopped=True/LimitReached";
    let message = scene
        .expect_condition(&policies, &scene.policy, stopped)
        .await;
    let named = format!("{}/shop,web", scene.namespace);
    assert!(message.contains(&named), "{message}");
    let quarantines = scene.api::<Quarantine>();
    assert!(quarantines.get_opt("web").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_whose_quarantine_is_refused_says_so_until_it_is_contained() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("refused")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    let freeze = Freeze::of(&scene, Refuses::Quarantines).await;
    freeze.begins().await;
    scene.revoke().await;
    let trusts = scene.trusts();
    let said = "Quarantined=False/StartFailed";
    let message = scene.expect_condition(&trusts, "web", said).await;
    assert!(message.contains(&scene.policy), "{message}");
    scene.event("StartFailed").await;
    let (policies, stopped) = (scene.policies(), "QuarantineStopped=True/StartFailed");
    let message = scene
        .expect_condition(&policies, &scene.policy, stopped)
        .await;
    assert!(message.contains("nothing is changed today"), "{message}");
    assert_eq!(scene.replicas().await, 3);

    freeze.ends().await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    let said = "Quarantined=True/Active";
    scene.expect_condition(&trusts, "web", said).await;
    assert_eq!(scene.replicas().await, 0);
}
