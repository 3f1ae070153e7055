//! What a tenant does to our own objects who may write them in his namespace: finalizers, owners, claims of a
//! policy, edits without end; and what happens to a quarantine whose namespace goes.

use std::time::Duration;

use charttrust::api::quarantine::Quarantine;
use charttrust::api::quarantine_words::QuarantineAction;
use charttrust::api::{ReleaseTrust, TrustedKey};
use charttrust_e2e::charts::Source;
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::eventually;
use charttrust_e2e::stage::{
    OPERATOR_NAMESPACE, Opening, SOON, Scene, kubectl, workloads::automatic,
};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{charttrust, stage, stage_alone};

const THEIRS: &str = "tenant.example.com/keep";

/// A Quarantine that names a policy, as anybody may write one.
fn claiming(name: &str, policy: &str) -> Quarantine {
    let object = json!({
        "apiVersion": "charttrust.io/v1alpha1", "kind": "Quarantine",
        "metadata": {"name": name},
        "spec": {"reason": "a claim", "actions": ["ScaleToZero"], "policy": policy},
    });
    serde_json::from_value(object).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_names_a_policy_uses_up_nothing_of_it_and_stands_in_nobodys_way_unseen() {
    let stage = stage().await;
    let mut section = automatic();
    section["limit"] = json!({"maxReleases": 1, "maxPercent": 100, "maxPerNamespace": 1});
    let scene = Opening::of_every_kind("claims")
        .with_quarantine(section)
        .trusted(stage.cluster)
        .await;
    let elsewhere = stage.cluster.namespace("claimant").await.unwrap();
    let theirs = Api::<Quarantine>::namespaced(scene.client.clone(), &elsewhere);
    let params = PostParams::default();
    for number in 0..3 {
        let name = format!("claim{number}");
        let object = claiming(&name, &scene.policy);
        theirs.create(&params, &object).await.unwrap();
        let refused = "Active=False/MadeByOthers";
        scene.expect_condition(&theirs, &name, refused).await;
    }
    scene.revoke().await;
    scene.contained("web").await;
    assert_eq!(scene.replicas().await, 0);
    for object in theirs.list(&ListParams::default()).await.unwrap() {
        assert_eq!(object.finalizers(), [] as [String; 0], "nothing is ours");
    }
    // In words, as they are done.
    let arguments = ["get", "quar", "-n", &scene.namespace, "web", "--no-headers"];
    let shown = kubectl(stage.cluster.kubeconfig(), &arguments)
        .await
        .unwrap();
    let actions = "PauseDeployer, IsolateNetwork, ScaleToZero";
    assert!(shown.contains(actions), "{shown}");

    // In the place of the one that the policy would begin, it is told where people look.
    let scene = Opening::of_every_kind("claimed")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    let object = claiming("web", "of-nobody");
    scene.quarantines().create(&params, &object).await.unwrap();
    scene.revoke().await;
    let trusts = scene.trusts();
    let said = "Quarantined=False/NotContained";
    let told = scene.expect_condition(&trusts, "web", said).await;
    assert!(told.contains("MadeByOthers"), "{told}");
    // And by the policy that would begin its own.
    let (policies, failed) = (scene.policies(), "QuarantineStopped=True/StartFailed");
    let told = scene
        .expect_condition(&policies, &scene.policy, failed)
        .await;
    assert!(told.contains("kubectl delete quarantine web"), "{told}");
    let (quarantines, params) = (scene.quarantines(), DeleteParams::default());
    quarantines.delete("web", &params).await.unwrap();
    scene.contained("web").await;
}

/// A tenant has an object kept by this, or by nothing any more; what else keeps it stays.
async fn hold<K>(scene: &Scene, name: &str, by: Option<&str>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let api = scene.api::<K>();
    let mut finalizers = api.get(name).await.unwrap().finalizers().to_vec();
    finalizers.retain(|one| one != THEIRS);
    finalizers.extend(by.map(str::to_owned));
    let change = json!({"metadata": {"finalizers": finalizers}});
    let params = PatchParams::default();
    api.patch(name, &params, &Patch::Merge(change))
        .await
        .unwrap();
}

/// Waits until an object is being deleted, and what still holds it is the tenant's.
async fn only_theirs_is_left<K>(scene: &Scene, name: &str)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    eventually(
        SOON,
        &format!("{name} is kept by the tenant alone"),
        async || {
            let object = scene.api::<K>().get(name).await;
            let object = object.map_err(|error| error.to_string())?;
            let is_going = object.meta().deletion_timestamp.is_some();
            if is_going && object.finalizers() == [THEIRS] {
                Ok(())
            } else {
                Err(format!("{:?}", object.meta()))
            }
        },
    )
    .await;
}

const DENIAL: &str = "charttrust-quarantine-web";

#[tokio::test(flavor = "multi_thread")]
async fn finalizers_of_a_tenant_keep_objects_and_nothing_else() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("kept")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    scene.contained("web").await;
    hold::<Quarantine>(&scene, "web", Some(THEIRS)).await;
    hold::<NetworkPolicy>(&scene, DENIAL, Some(THEIRS)).await;
    hold::<ReleaseTrust>(&scene, "web", Some(THEIRS)).await;

    // Everything comes back, and it is not said to be contained.
    scene.withdraw().await;
    scene.expect("web", "SignatureVerified").await;
    scene.replicas_are(3).await;
    only_theirs_is_left::<Quarantine>(&scene, "web").await;
    only_theirs_is_left::<NetworkPolicy>(&scene, DENIAL).await;
    eventually(SOON, "it is not said to be contained", async || {
        let trust = scene.trusts().get("web").await;
        let trust = trust.map_err(|error| error.to_string())?;
        let conditions = trust.status.unwrap_or_default().conditions;
        let said = conditions.iter().find(|one| one.type_ == "Quarantined");
        said.map_or(Ok(()), |said| Err(format!("{said:?}")))
    })
    .await;
    // Nobody writes for ever at what only the tenant can end.
    stage.at_rest(&scene.namespace).await;

    // What stands in the way of the next one is named.
    scene.revoke().await;
    let policies = scene.policies();
    let told = eventually(SOON, "the policy says what is in the way", async || {
        let policy = policies.get(&scene.policy).await;
        let policy = policy.map_err(|error| error.to_string())?;
        let status = policy.status.unwrap_or_default();
        let all = serde_json::to_string(&status.conditions).unwrap();
        if all.contains(THEIRS) {
            Ok(all)
        } else {
            Err(all)
        }
    })
    .await;
    assert!(told.contains("stands in the way"), "{told}");
    hold::<NetworkPolicy>(&scene, DENIAL, None).await;
    hold::<Quarantine>(&scene, "web", None).await;
    scene.contained("web").await;
    assert_eq!(scene.replicas().await, 0);
    scene.withdraw().await;
    scene.no_quarantine("web").await;

    // A ReleaseTrust that is kept while its release goes and comes is there again with its verdict.
    let arguments = [
        "delete",
        "rtrust",
        "web",
        "-n",
        &scene.namespace,
        "--wait=false",
    ];
    kubectl(stage.cluster.kubeconfig(), &arguments)
        .await
        .unwrap();
    only_theirs_is_left::<ReleaseTrust>(&scene, "web").await;
    stage.at_rest(&scene.namespace).await;
    hold::<ReleaseTrust>(&scene, "web", None).await;
    eventually(SOON, "it is made again", async || {
        let trust = scene.trusts().get("web").await;
        let trust = trust.map_err(|error| error.to_string())?;
        match trust.metadata.deletion_timestamp {
            None => Ok(()),
            Some(at) => Err(format!("{at:?}")),
        }
    })
    .await;
    scene.expect("web", "SignatureVerified").await;
}

/// The garbage collector deletes what has owners that are not there.
#[tokio::test(flavor = "multi_thread")]
async fn owners_that_a_tenant_invents_end_no_verdict_and_leave_nothing_stopped() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("owned")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    scene.contained("web").await;
    let owners = json!({"metadata": {"ownerReferences": [{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": "0-0-0-0",
    }]}});
    let (params, owned) = (PatchParams::default(), Patch::Merge(owners));
    let before = scene.trusts().get("web").await.unwrap().uid();
    scene.trusts().patch("web", &params, &owned).await.unwrap();
    let denials = scene.api::<NetworkPolicy>();
    denials.patch(DENIAL, &params, &owned).await.unwrap();
    eventually(
        SOON,
        "the collector has come, and it is made again",
        async || {
            let trust = scene.trusts().get_opt("web").await;
            let trust = trust.map_err(|error| error.to_string())?;
            match trust.and_then(|trust| trust.uid()) {
                Some(uid) if Some(&uid) != before.as_ref() => Ok(()),
                found => Err(format!("{found:?}")),
            }
        },
    )
    .await;
    scene.expect("web", "KeyCompromised").await;
    // What others do to a denial is told, and not fought.
    scene
        .quarantine_has("web", "Isolated=False/ChangedByOthers")
        .await;
    assert_eq!(scene.replicas().await, 0);
    // Of the Quarantine itself: whoever may do that may delete it, and it restores.
    let quarantines = scene.quarantines();
    quarantines.patch("web", &params, &owned).await.unwrap();
    scene.no_quarantine("web").await;
    scene.replicas_are(3).await;
    assert_eq!(scene.policies_of_network().await, [] as [String; 0]);
    let released = "Quarantined=False/Released";
    let trusts = scene.trusts();
    scene.expect_condition(&trusts, "web", released).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_goes_while_a_person_restores_what_is_in_it() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("both")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    scene.contained("web").await;
    let namespaces = Api::<Namespace>::all(scene.client.clone());
    let (name, params) = (&scene.namespace, DeleteParams::default());
    let release = format!("{name}/web");
    let arguments = ["restore", release.as_str(), "--yes"];
    let (deleted, (code, said)) = tokio::join!(
        namespaces.delete(name, &params),
        charttrust(&stage, &arguments)
    );
    deleted.unwrap();
    // Whichever was first: it is back, or it was gone.
    assert!(code.is_some_and(|code| code <= 2), "{code:?} {said}");
    assert!(!said.contains("panicked"), "{said}");
    eventually(SOON, "the namespace is gone", async || {
        match namespaces.get_opt(name).await {
            Ok(None) => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    })
    .await;
    stage.at_rest(name).await;
}

/// So many edits, at a pace of so many a second.
const EDITS: u32 = 2000;
const A_SECOND: u32 = 200;

/// Edits two objects in turn, as fast as a tenant may.
async fn edit(scene: &Scene) {
    let (trusts, quarantines) = (scene.trusts(), scene.quarantines());
    let params = PatchParams::default();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / A_SECOND);
    for number in 0..EDITS {
        pace.tick().await;
        let text = number.to_string();
        // What a watch shows, and what may mean something to the operator.
        let annotations = json!({"example.com/edit": text, "charttrust.io/approved": text});
        let change = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        let edited = if number % 2 == 0 {
            trusts
                .patch_metadata("web", &params, &change)
                .await
                .map(drop)
        } else {
            quarantines
                .patch_metadata("web", &params, &change)
                .await
                .map(drop)
        };
        edited.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_without_end_cost_little_and_hold_up_nobody() {
    let stage = stage_alone().await;
    let scene = Opening::of_every_kind("edits")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    let other = Opening::new("bystander").trusted(stage.cluster).await;
    scene.revoke().await;
    scene.contained("web").await;
    stage.at_rest(&scene.namespace).await;
    let mark = stage.cluster.mark();
    let began = std::time::Instant::now();
    let meanwhile = async {
        tokio::task::yield_now().await;
        let revoke: Value = json!({"spec": {"revocation": {"reason": "Compromised"}}});
        other.patch::<TrustedKey>(&other.key.name, revoke).await;
        other.expect("web", "KeyCompromised").await;
        began.elapsed()
    };
    let ((), judged) = tokio::join!(edit(&scene), meanwhile);
    let seconds = began.elapsed().as_secs() + 1;
    let asked = stage.cluster.asked_since(mark).by(stage.identity.user());
    let about = asked.only(|event| event.namespace == scene.namespace);
    let (requests, written) = (about.len() as u64, about.writes().len());
    assert!(judged < Duration::from_secs(10), "{judged:?}");
    assert!(
        requests <= seconds * 60,
        "{requests} requests in {seconds} s"
    );
    assert!(written <= 8, "{written} writes");
    assert_eq!(scene.replicas().await, 0);
}

/// A tenant puts our finalizer on what only names a policy. To delete it is what it says itself, and is
/// nobody's word about the release.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_deletes_a_refused_claim_gets_the_quarantine_of_the_policy() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("advice")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    let mut object = claiming("web", &scene.policy);
    object.metadata.finalizers = Some(vec!["charttrust.io/restore".to_owned()]);
    let (quarantines, params) = (scene.quarantines(), PostParams::default());
    quarantines.create(&params, &object).await.unwrap();
    scene
        .quarantine_has("web", "Active=False/MadeByOthers")
        .await;
    scene.revoke().await;
    let trusts = scene.trusts();
    let said = "Quarantined=False/NotContained";
    scene.expect_condition(&trusts, "web", said).await;
    let params = DeleteParams::default();
    quarantines.delete("web", &params).await.unwrap();
    scene.contained("web").await;
    assert_eq!(scene.replicas().await, 0);
}

/// A chart may bring a Quarantine of its own release that does little. It may be a person's, so it stays; but the
/// policy says what it asks for and is not done.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_less_than_the_policy_keeps_nobody_from_knowing() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("little")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    let mut object = claiming("web", "of-nobody");
    object.spec.policy = None;
    object.spec.actions = vec![QuarantineAction::IsolateNetwork];
    let (quarantines, params) = (scene.quarantines(), PostParams::default());
    quarantines.create(&params, &object).await.unwrap();
    let trusts = scene.trusts();
    let active = "Quarantined=True/Active";
    scene.expect_condition(&trusts, "web", active).await;
    scene.revoke().await;
    let (policies, failed) = (scene.policies(), "QuarantineStopped=True/StartFailed");
    let told = scene
        .expect_condition(&policies, &scene.policy, failed)
        .await;
    assert!(told.contains("does less"), "{told}");
    assert!(told.contains("kubectl delete quarantine web"), "{told}");
    scene.expect_condition(&trusts, "web", active).await;
    assert_ne!(scene.replicas().await, 0);
    let params = DeleteParams::default();
    quarantines.delete("web", &params).await.unwrap();
    scene.replicas_are(0).await;
    scene.contained("web").await;
}

/// Whoever may write the status of a Quarantine says in it that its policy trusts the release again.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_end_ends_nothing_and_is_taken_away() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("forged-end")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    let uid = scene.contained("web").await.uid();
    let (quarantines, params) = (scene.quarantines(), PatchParams::default());
    for ended in ["TrustReturned", "ReleaseGone", "Withdrawn"] {
        let forged = Patch::Merge(json!({"status": {"endedBy": ended, "endedTag": "Zm9yZ2Vk"}}));
        let patched = quarantines.patch_status("web", &params, &forged).await;
        drop(scene.done("forge an end", patched));
        eventually(SOON, "the forged word goes", async || {
            let object = quarantines.get("web").await;
            let status = object.map_err(|error| error.to_string())?.status;
            match status.and_then(|status| status.ended_by) {
                None => Ok(()),
                Some(ended) => Err(format!("{ended:?}")),
            }
        })
        .await;
        assert_eq!(scene.contained("web").await.uid(), uid, "the same");
        assert_eq!(scene.replicas().await, 0);
    }
    // Our own word still ends it.
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    scene.replicas_are(3).await;
}

/// `web` is contained, and takes the only place; `forum` is as bad, and waits.
async fn full(cluster: &Cluster, prefix: &str) -> Scene {
    let mut section = automatic();
    section["limit"] = json!({"maxReleases": 1, "maxPercent": 100, "maxPerNamespace": 5});
    let scene = Opening::of_every_kind(prefix)
        .with_quarantine(section)
        .trusted(cluster)
        .await;
    scene.revoke().await;
    scene.contained("web").await;
    let forum = Source::new("forum", "1.0.0");
    let archive = scene.publish(&forum, Some(&scene.key)).await;
    scene.install("forum", &archive).await;
    let limited = "Quarantined=False/LimitReached";
    let trusts = scene.trusts();
    scene.expect_condition(&trusts, "forum", limited).await;
    scene
}

/// It still is so, and everything comes back.
async fn is_full_and_comes_back(scene: &Scene) {
    let second = scene.quarantines().get_opt("forum").await.unwrap();
    assert_eq!(second.map(|object| object.spec.reason), None);
    scene.contained("web").await;
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    scene.replicas_are(3).await;
}

/// As one that an earlier version has begun.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_counts_for_its_policy_without_its_tag_too() {
    let stage = stage().await;
    let scene = full(stage.cluster, "untagged").await;
    let untag = json!({"metadata": {"annotations": {"charttrust.io/made": null}}});
    let (quarantines, params) = (scene.quarantines(), PatchParams::default());
    let untag = Patch::Merge(untag);
    quarantines.patch("web", &params, &untag).await.unwrap();
    stage.at_rest(&scene.namespace).await;
    is_full_and_comes_back(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seal_that_is_lost_while_something_is_contained_loses_no_way_back() {
    let stage = stage_alone().await;
    let scene = full(stage.cluster, "unsealed").await;
    stage.at_rest(&scene.namespace).await;
    let seal = "charttrust-evidence";
    let arguments = ["delete", "secret", "-n", OPERATOR_NAMESPACE, seal];
    let deleted = kubectl(stage.cluster.kubeconfig(), &arguments).await;
    scene.done("delete the seal", deleted);
    stage.restart().await;
    stage.at_rest(&scene.namespace).await;
    scene.expect("web", "KeyCompromised").await;
    scene.expect("forum", "KeyCompromised").await;
    is_full_and_comes_back(&scene).await;
}

/// The tag of an earlier one, copied by a tenant, begins nothing that a person has released.
#[tokio::test(flavor = "multi_thread")]
async fn a_copied_quarantine_is_worth_no_more_than_the_one_it_is_of() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("copied")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    let made = scene.contained("web").await;
    let copy = || {
        let mut copy = made.clone();
        copy.metadata = ObjectMeta {
            name: made.metadata.name.clone(),
            annotations: made.metadata.annotations.clone(),
            ..ObjectMeta::default()
        };
        copy.status = None;
        copy
    };
    let (quarantines, params) = (scene.quarantines(), PostParams::default());
    scene.delete_quarantine("web").await;
    scene.replicas_are(3).await;
    // Released by a person: the copy goes by itself and stops nothing.
    quarantines.create(&params, &copy()).await.unwrap();
    scene.no_quarantine("web").await;
    assert_eq!(scene.replicas().await, 3);
    // Trusted again: so does the copy.
    scene.withdraw().await;
    scene.expect("web", "SignatureVerified").await;
    quarantines.create(&params, &copy()).await.unwrap();
    scene.no_quarantine("web").await;
    assert_eq!(scene.replicas().await, 3);
    stage.at_rest(&scene.namespace).await;
}
