//! What whoever may write Quarantines, or their status, can claim in them: it uses up nobody's limit, and
//! is remembered by nobody.

use serde_json::{Value, json};

use super::{
    END, FREE, NOTHING, START, TELL, TRUSTED, active_reason, being_deleted, by_a_person, contained,
    decided, incident, incidents, of_revocation, outcomes, reconciled, remembered, stolen, waiting,
};
use crate::clock::Moment;
use crate::controllers::quarantine::made::MADE;
use crate::controllers::quarantine::scope::{self, Containment};
use crate::controllers::quarantine::start;
use crate::controllers::store::Waiting;
use crate::controllers::testing::{POLICY, Scene, id, quarantine_of, said, web, workload_of};
use crate::inventory::helm::Driver;
use crate::quarantine::FINALIZER;

/// A tag that somebody has made up.
fn claimed(mut object: Value) -> Value {
    object["metadata"]["annotations"][MADE] = json!("bm90IG91cnM");
    object
}

#[tokio::test]
async fn what_only_names_a_policy_uses_up_nothing_of_it() {
    for (status, counted) in [(json!({}), 1), (contained(&json!({})), 1)] {
        let scene = Scene::automatic().await;
        scene.declare(&json!({"limit": {"maxReleases": 1, "maxPerNamespace": 1}}));
        for one in 0..4 {
            let place = if one == 0 { "shop" } else { "tenant" };
            let forged = id(place, &format!("forged{one}"));
            scene.quarantine(&forged, &claimed(status.clone()));
        }
        assert_eq!(decided(&scene).await, [START]);
        assert_eq!(outcomes(&scene).active, counted);
        assert_eq!(outcomes(&scene).stopped, []);
        assert_eq!(outcomes(&scene).crowded, []);
    }
    // What it has begun itself does.
    let scene = Scene::automatic().await;
    scene.declare(&json!({"limit": {"maxReleases": 1}}));
    scene.quarantine(&id("tenant", "begun"), &json!({}));
    assert_eq!(decided(&scene).await, NOTHING);
    assert_eq!(outcomes(&scene).stopped, [web()]);
}

/// A tag is for one place, and for what is asked for there.
#[tokio::test]
async fn a_tag_that_was_copied_counts_for_nothing() {
    let scene = Scene::automatic().await;
    scene.declare(&json!({"limit": {"maxReleases": 1}}));
    assert_eq!(decided(&scene).await, [START]);
    let path = quarantine_of(&web());
    let made = scene.cluster.find(&path).unwrap()["metadata"]["annotations"][MADE].clone();
    assert!(made.is_string());
    scene.cluster.remove(&path);
    let copied = json!({"metadata": {"annotations": {MADE: made}}});
    scene.quarantine(&id("tenant", "copy"), &copied);
    assert_eq!(decided(&scene).await, [START, START]);
}

#[tokio::test]
async fn one_that_claims_a_policy_contains_nothing_and_says_so_once() {
    for begun in [false, true] {
        let scene = Scene::automatic().await;
        let status = if begun {
            contained(&json!({}))
        } else {
            json!({})
        };
        scene.quarantine(&web(), &claimed(status));
        reconciled(&scene).await;
        let is_stopped = scene.cluster.find(&workload_of(&web())).unwrap();
        if begun {
            // Of an earlier version, or with a forged status: what was begun goes on, and comes back.
            assert_ne!(active_reason(&scene), "MadeByOthers");
            continue;
        }
        assert_eq!(scene.of_quarantines(), [TELL]);
        assert_eq!(active_reason(&scene), "MadeByOthers");
        assert_eq!(is_stopped["spec"]["replicas"], Value::Null);
        let object = scene.cluster.find(&quarantine_of(&web())).unwrap();
        assert_eq!(object["status"]["state"], "Refused");
        let object = serde_json::from_value(object).unwrap();
        scene.context.cache.quarantines.set(web(), Some(Ok(object)));
        assert_eq!(reconciled(&scene).await, [TELL], "once");
        let told = Containment::Nothing("MadeByOthers".to_owned());
        assert_eq!(scope::containment(&scene.context, &web()), told);
    }
    // A person's is a person's.
    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &by_a_person(json!({})));
    reconciled(&scene).await;
    assert_ne!(active_reason(&scene), "MadeByOthers");
}

/// Of an earlier version, or under another seal: what is contained uses up its place.
#[tokio::test]
async fn what_was_begun_for_a_bad_release_counts_without_a_tag() {
    for (is_bad, started, active) in [(true, NOTHING.as_slice(), 1), (false, &[START], 1)] {
        let scene = Scene::automatic().await;
        scene.declare(&json!({"limit": {"maxReleases": 1}}));
        let begun = id("tenant", "begun");
        scene.install(&begun, Driver::Secret);
        let good = said(TRUSTED);
        scene.judge(&begun, vec![if is_bad { stolen() } else { good }]);
        let object = json!({"action": "ScaleToZero", "apiVersion": "apps/v1", "kind": "Deployment",
            "name": "begun", "state": "Contained"});
        let status = json!({"status": {"objects": [object]}});
        scene.quarantine(&begun, &claimed(contained(&status)));
        assert_eq!(decided(&scene).await, started, "{is_bad}");
        assert_eq!(outcomes(&scene).active, active, "{is_bad}");
        let stopped: &[_] = if is_bad { &[web()] } else { &[] };
        assert_eq!(outcomes(&scene).stopped, stopped, "{is_bad}");
    }
}

/// Whoever deletes what was refused does what it says, and the policy begins its own.
#[tokio::test]
async fn the_end_of_a_claim_is_nobodys_word() {
    for (word, is_released) in [
        (json!({}), false),
        (json!({"charttrust.io/released": "true"}), true),
    ] {
        let scene = Scene::automatic().await;
        let mut claim = claimed(json!({"metadata": {"annotations": word,
            "deletionTimestamp": "2026-11-18T10:00:00Z", "finalizers": [FINALIZER]}}));
        claim["metadata"]["annotations"]["example.com/a"] = json!("b");
        scene.quarantine(&web(), &claim);
        assert_eq!(reconciled(&scene).await, [FREE], "{word}");
        let known = remembered(&scene).await;
        assert_eq!(
            known.is_released(&of_revocation(), &web()),
            is_released,
            "{word}"
        );
    }
}

/// One of an earlier version, or under a seal that is lost, stays until somebody deletes it: so the policy that
/// would begin its own says that it cannot, and what to do.
#[tokio::test]
async fn a_claim_that_stands_in_the_way_of_a_quarantine_is_told_by_its_policy() {
    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &claimed(json!({})));
    let refused = start::reconcile(&scene.context, POLICY, Moment::now()).await;
    let why = refused.unwrap_err().to_string();
    let way_on = "kubectl delete quarantine web --namespace shop";
    assert!(why.contains(way_on), "{why}");
    let told = outcomes(&scene);
    assert_eq!(told.active, 0);
    assert!(told.failed[&web()].contains(way_on), "{told:?}");
    // What it recommends to a person is told as if there were none.
    let scene = Scene::automatic().await;
    scene.declare(&json!({"approval": "Manual"}));
    scene.quarantine(&web(), &claimed(json!({})));
    assert_eq!(decided(&scene).await, NOTHING);
    assert_eq!(waiting(&scene), Some(Waiting::ForApproval));
    // What goes on is nobody's claim: the policy's own, a person's.
    for object in [
        json!({}),
        by_a_person(json!({})),
        claimed(contained(&json!({}))),
    ] {
        let scene = Scene::automatic().await;
        scene.quarantine(&web(), &object);
        assert_eq!(decided(&scene).await, NOTHING, "{object}");
        assert!(outcomes(&scene).failed.is_empty(), "{object}");
    }
}

/// A chart may bring a Quarantine of its own release that does little: it is a person's as far as anybody can tell,
/// so it stays, and the policy says that what it asks for is not done.
#[tokio::test]
async fn one_that_does_less_than_the_policy_is_told_and_one_that_does_as_much_is_not() {
    let asks = json!({"approval": "Automatic", "actions": ["ScaleToZero", "IsolateNetwork"]});
    for (actions, does_less) in [
        (json!(["IsolateNetwork"]), true),
        (json!(["ScaleToZero"]), true),
        (json!(["PauseDeployer"]), true),
        (json!(["IsolateNetwork", "ScaleToZero"]), false),
        (
            json!(["ScaleToZero", "IsolateNetwork", "PauseDeployer"]),
            false,
        ),
    ] {
        for state in [json!({}), contained(&json!({}))] {
            let scene = Scene::automatic().await;
            scene.declare(&asks);
            let mut object = by_a_person(state);
            object["spec"]["actions"] = actions.clone();
            scene.quarantine(&web(), &object);
            // In force, and remembered: nobody has ended it.
            let taken_in = incidents::reconcile(&scene.context, Moment::now()).await;
            taken_in.unwrap();
            let result = start::reconcile(&scene.context, POLICY, Moment::now()).await;
            assert_eq!(result.is_err(), does_less, "{object}");
            let told = outcomes(&scene);
            assert_eq!(told.active, 0);
            let why = told.failed.get(&web());
            assert_eq!(why.is_some(), does_less, "{object}");
            let way_on = "kubectl delete quarantine web --namespace shop";
            assert!(why.is_none_or(|why| why.contains(way_on)), "{why:?}");
        }
    }
    // Where a person decides, it was a person's decision.
    let scene = Scene::automatic().await;
    scene.declare(&json!({"approval": "Manual", "actions": ["ScaleToZero", "IsolateNetwork"]}));
    let mut object = by_a_person(json!({}));
    object["spec"]["actions"] = json!(["IsolateNetwork"]);
    scene.quarantine(&web(), &object);
    assert_eq!(decided(&scene).await, NOTHING);
    assert!(outcomes(&scene).failed.is_empty());
}

/// The thief of a key may write the status of the Quarantine that holds him.
#[tokio::test]
async fn what_somebody_else_has_written_of_the_end_ends_nothing_and_goes() {
    for ended in ["TrustReturned", "ReleaseGone", "Withdrawn"] {
        for tag in ["Zm9yZ2Vk", "", "?"] {
            let forged = json!({"status": {"endedBy": ended, "endedTag": tag}});
            let scene = Scene::automatic().await;
            scene.quarantine(&web(), &contained(&forged));
            let steps = reconciled(&scene).await;
            assert!(!steps.contains(&END.to_owned()), "{ended}: {steps:?}");
            let object = scene.cluster.find(&quarantine_of(&web())).unwrap();
            for field in ["endedBy", "endedTag"] {
                assert_eq!(object["status"][field], Value::Null, "{ended}");
            }
            // It was in force, and that is remembered: who deletes it has ended the incident.
            let scene = Scene::automatic().await;
            scene.quarantine(&web(), &contained(&forged));
            let taken_in = incidents::reconcile(&scene.context, Moment::now()).await;
            taken_in.unwrap();
            assert!(
                remembered(&scene)
                    .await
                    .was_active(&of_revocation(), &web())
            );
            let scene = Scene::automatic().await;
            scene.quarantine(&web(), &being_deleted(&forged));
            reconciled(&scene).await;
            assert!(
                remembered(&scene)
                    .await
                    .is_released(&of_revocation(), &web())
            );
        }
    }
}

/// What is said before an uninstallation has no seal: who says so deletes the object too.
#[tokio::test]
async fn the_word_of_an_uninstallation_ends_nothing_before_the_deletion() {
    let scene = Scene::automatic().await;
    scene.quarantine(
        &web(),
        &contained(&json!({"status": {"endedBy": "Uninstall"}})),
    );
    let steps = reconciled(&scene).await;
    assert!(!steps.contains(&END.to_owned()), "{steps:?}");
    let object = scene.cluster.find(&quarantine_of(&web())).unwrap();
    assert_eq!(
        object["status"]["endedBy"], "Uninstall",
        "it stays until then"
    );
    // Trust that returns meanwhile is our own word again.
    let scene = Scene::automatic().await;
    scene.quarantine(
        &web(),
        &contained(&json!({"status": {"endedBy": "Uninstall"}})),
    );
    scene.judge(&web(), vec![said(TRUSTED)]);
    assert_eq!(reconciled(&scene).await, [TELL, END]);
}

/// An earlier version wrote no tag beside its word: what it was ending when it was replaced was no person's end.
#[tokio::test]
async fn what_an_earlier_version_was_ending_is_nobodys_release() {
    for (verdict, is_released) in [(said(TRUSTED), false), (stolen(), true)] {
        let scene = Scene::automatic().await;
        scene.judge(&web(), vec![verdict]);
        let ending = json!({"status": {"endedBy": "TrustReturned", "endedTag": ""}});
        scene.quarantine(&web(), &being_deleted(&ending));
        reconciled(&scene).await;
        let known = remembered(&scene).await;
        assert_eq!(known.is_released(&of_revocation(), &web()), is_released);
    }
}

/// A finalizer of somebody else keeps the object, and nothing else.
#[tokio::test]
async fn what_is_over_and_kept_counts_for_nothing_and_is_told_where_it_stands_in_the_way() {
    let kept = |changes: &Value| {
        let mut object = contained(&json!({"metadata": {
            "deletionTimestamp": "2026-11-18T10:00:00Z", "finalizers": ["tenant.example.com/keep"],
        }}));
        json_patch::merge(&mut object, changes);
        object
    };
    let scene = Scene::automatic().await;
    scene.declare(&json!({"limit": {"maxReleases": 1}}));
    for one in 0..4 {
        scene.quarantine(&id("tenant", &format!("over{one}")), &kept(&json!({})));
    }
    assert_eq!(scope::active(&scene.context), 0);
    assert_eq!(decided(&scene).await, [START]);

    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &kept(&json!({})));
    assert_eq!(
        scope::containment(&scene.context, &web()),
        Containment::None
    );
    let refused = start::reconcile(&scene.context, POLICY, Moment::now()).await;
    let why = refused.unwrap_err().to_string();
    assert!(why.contains("stands in the way"), "{why}");
    assert!(why.contains("tenant.example.com/keep"), "{why}");
    assert_eq!(outcomes(&scene).active, 0);
    assert!(outcomes(&scene).failed.contains_key(&web()));
    // With ours on it, it is still put back.
    let scene = Scene::automatic().await;
    let ours = json!({"metadata": {"finalizers": ["tenant.example.com/keep", FINALIZER]}});
    scene.quarantine(&web(), &kept(&ours));
    assert_eq!(decided(&scene).await, NOTHING);
    assert_eq!(
        scope::containment(&scene.context, &web()),
        Containment::InForce
    );
}

/// Each edit of a status could add an entry, until nothing can be remembered any more.
#[tokio::test]
async fn an_incident_that_never_was_is_not_remembered() {
    let forged = |number: usize| format!("{number:040X}/5eed5eed5eed5eed/0");
    let begun = |incident: String| {
        let object = json!({"action": "ScaleToZero", "apiVersion": "apps/v1", "kind": "Deployment",
            "name": "web", "state": "Contained"});
        contained(&json!({"status": {"incident": incident, "objects": [object]}}))
    };
    let scene = Scene::automatic().await;
    for number in 0..8 {
        scene.install(&id("shop", "forum"), Driver::Secret);
        scene.quarantine(&id("shop", "forum"), &begun(forged(number)));
        incidents::reconcile(&scene.context, Moment::now())
            .await
            .unwrap();
    }
    assert_eq!(remembered(&scene).await.data().len(), 0);
    // What the release is bad by is.
    scene.quarantine(&web(), &begun(incident()));
    incidents::reconcile(&scene.context, Moment::now())
        .await
        .unwrap();
    assert!(
        remembered(&scene)
            .await
            .was_active(&of_revocation(), &web())
    );
    assert_eq!(remembered(&scene).await.data().len(), 1);

    // Nor by its end.
    let scene = Scene::automatic().await;
    for number in 0..8 {
        let mut ending = begun(forged(number));
        ending["metadata"]["deletionTimestamp"] = json!("2026-11-18T10:00:00Z");
        scene.quarantine(&web(), &ending);
        reconciled(&scene).await;
    }
    let known = remembered(&scene).await;
    assert!(known.is_released(&of_revocation(), &web()));
    assert_eq!(known.data().len(), 1);
}
