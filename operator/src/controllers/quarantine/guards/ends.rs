//! What ends a quarantine, and what does not.

use charttrust_verify::verdict::{Cause, Reason, Verdict};
use serde_json::json;

use super::{
    Case, END, NOTHING, TELL, TRUSTED, active_reason, by_a_person, contained,
    in_protected_namespace, of_revocation, reconciled, remember, remembered, report_only,
};
use crate::clock::Moment;
use crate::controllers::quarantine;
use crate::controllers::testing::{Scene, UID, quarantine_of, said, stolen, web, workload_of};

#[tokio::test]
async fn a_quarantine_that_began_lasts_while_it_is_not_trusted_again() {
    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &contained(&json!({})));
    let steps = reconciled(&scene).await;
    assert!(!steps.contains(&END.to_owned()), "{steps:?}");
    let unknown = Verdict::Unknown(Cause::SourceUnavailable);
    let unsigned = Verdict::Untrusted(Reason::SignerNotTrusted);
    for verdict in [unknown, unsigned] {
        scene.judge(&web(), vec![said(verdict)]);
        assert!(
            !reconciled(&scene).await.contains(&END.to_owned()),
            "{verdict}"
        );
    }
    // Nor because its policy does not apply any more.
    let mut other = said(TRUSTED);
    other.policy = "other".to_owned();
    scene.judge(&web(), vec![other]);
    assert!(!reconciled(&scene).await.contains(&END.to_owned()));
    // Nor because its policy asks for it no more, or is suspended.
    scene.declare(&json!({"approval": "Manual"}));
    scene.judge(&web(), vec![stolen()]);
    assert!(!reconciled(&scene).await.contains(&END.to_owned()));
}

#[tokio::test]
async fn a_quarantine_ends_for_a_reason_that_is_written_first() {
    let cases: [Case; 2] = [
        ("TrustReturned", |scene| {
            scene.judge(&web(), vec![said(TRUSTED)]);
        }),
        ("ReleaseGone", |scene| scene.uninstall(&web())),
    ];
    for (ended, change) in cases {
        let scene = Scene::automatic().await;
        remember(&scene, |incidents| {
            incidents.note_active(&of_revocation(), &web());
        });
        scene.quarantine(&web(), &contained(&json!({})));
        change(&scene);
        assert_eq!(reconciled(&scene).await, [TELL, END]);
        let object = scene.cluster.find(&quarantine_of(&web())).unwrap();
        assert_eq!(object["status"]["endedBy"], ended);
        let last = scene.cluster.writes().pop().unwrap();
        assert_eq!(last.body["preconditions"], json!({"uid": UID}), "{ended}");
        let incidents = remembered(&scene).await;
        assert!(!incidents.was_active(&of_revocation(), &web()), "{ended}");
        assert!(!incidents.is_released(&of_revocation(), &web()), "{ended}");
    }
}

/// Whoever may delete a record, and write an owner or take a label, could start its workloads otherwise.
#[tokio::test]
async fn without_a_record_it_lasts_while_a_workload_of_it_is_there_whatever_that_claims() {
    let owner = json!({"metadata": {"ownerReferences": [
        {"controller": true, "kind": "Namespace", "name": "kube-system", "uid": "ns"},
    ]}});
    let no_label = json!({"metadata": {"uid": "w", "labels": null}});
    let no_marks = json!({"metadata": {"uid": "w", "labels": null, "annotations": null}});
    let ending = json!({"metadata": {"uid": "w", "deletionTimestamp": "2026-11-18T10:00:00Z"}});
    let another = json!({"metadata": {"uid": "x", "labels": null}});
    for (why, change, is_left) in [
        ("as it was", json!({}), true),
        ("it claims an owner", owner, true),
        ("its label was taken", no_label, true),
        ("all its marks were", no_marks, true),
        ("it is being deleted", ending, false),
        ("one of that name, without marks", another, false),
    ] {
        let scene = Scene::automatic().await;
        let record = json!({"action": "ScaleToZero", "apiVersion": "apps/v1", "kind": "Deployment",
            "name": "web", "uid": "w", "original": "3", "state": "Contained"});
        let changes = contained(&json!({"status": {"objects": [record]}}));
        scene.quarantine(&web(), &changes);
        let path = workload_of(&web());
        let mut workload = scene.cluster.find(&path).unwrap();
        json_patch::merge(&mut workload, &change);
        scene.uninstall(&web());
        scene.cluster.put(&path, workload);
        let has_ended = reconciled(&scene).await.contains(&END.to_owned());
        assert_eq!(has_ended, !is_left, "{why}");
    }
}

/// What the watch does not show may be there.
#[tokio::test]
async fn nothing_is_taken_for_gone_where_records_may_not_be_read() {
    let cases: [Case; 2] = [
        ("Secrets", |scene| {
            scene.context.cache.records.secrets.suppose_refused();
        }),
        ("ConfigMaps", |scene| {
            scene.context.cache.records.config_maps.suppose_refused();
        }),
    ];
    for (why, refuse) in cases {
        let scene = Scene::automatic().await;
        scene.quarantine(&web(), &contained(&json!({})));
        scene.uninstall(&web());
        refuse(&scene);
        assert!(!reconciled(&scene).await.contains(&END.to_owned()), "{why}");
    }
}

#[tokio::test]
async fn one_that_has_changed_nothing_ends_when_it_is_asked_for_no_more() {
    let cases: [Case; 6] = [
        ("bad by what the policy does not ask about", |scene| {
            let mut revoked = stolen();
            revoked.verdict = Verdict::Untrusted(Reason::KeyRevoked);
            scene.judge(&web(), vec![revoked]);
        }),
        ("the policy is suspended", |scene| {
            scene.declare_spec(&json!({"suspend": true, "quarantine": {
                "onReasons": ["KeyCompromised"], "approval": "Automatic", "after": "0s",
                "actions": ["ScaleToZero"],
            }}));
        }),
        ("not trusted, but nothing proves it bad", |scene| {
            let unsigned = Verdict::Untrusted(Reason::SignerNotTrusted);
            scene.judge(&web(), vec![said(unsigned)]);
        }),
        ("a person has to approve now", |scene| {
            scene.declare(&json!({"approval": "Manual"}));
        }),
        ("the policy asks for none", |scene| {
            scene.declare_spec(&json!({}));
        }),
        ("a person has ended the incident", |scene| {
            remember(scene, |incidents| {
                incidents.note_released(&of_revocation(), &web());
            });
        }),
    ];
    for (why, change) in cases {
        let scene = Scene::automatic().await;
        scene.quarantine(&web(), &json!({}));
        change(&scene);
        assert_eq!(reconciled(&scene).await, [TELL, END], "{why}");
        let object = scene.cluster.find(&quarantine_of(&web())).unwrap();
        assert_eq!(object["status"]["endedBy"], "Withdrawn", "{why}");
    }
}

#[tokio::test]
async fn what_was_begun_to_end_is_ended_whatever_is_said_by_then() {
    let scene = Scene::automatic().await;
    let ended = contained(&json!({"status": {"endedBy": "TrustReturned"}}));
    scene.quarantine(&web(), &ended);
    assert_eq!(reconciled(&scene).await, [END]);
}

#[tokio::test]
async fn nothing_ends_or_begins_by_what_cannot_be_found_out() {
    let cases: [Case; 3] = [
        ("not judged", |scene| {
            let store = &scene.context.store;
            store.update(&web(), |release| release.judgement = None);
        }),
        ("to be judged again", |scene| {
            let store = &scene.context.store;
            store.update(&web(), |release| release.judgings.ask());
        }),
        ("a key is being taken in", |scene| {
            std::mem::forget(scene.context.change(None, crate::clock::tick()));
        }),
    ];
    for (why, change) in cases {
        let scene = Scene::automatic().await;
        scene.quarantine(&web(), &contained(&json!({})));
        scene.judge(&web(), vec![said(TRUSTED)]);
        change(&scene);
        assert!(!reconciled(&scene).await.contains(&END.to_owned()), "{why}");

        let scene = Scene::automatic().await;
        scene.quarantine(&web(), &json!({}));
        change(&scene);
        assert_eq!(reconciled(&scene).await, NOTHING, "{why}");
    }
}

#[tokio::test]
async fn a_person_who_began_one_ends_it() {
    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &by_a_person(contained(&json!({}))));
    scene.judge(&web(), vec![said(TRUSTED)]);
    assert!(!reconciled(&scene).await.contains(&END.to_owned()));
    scene.uninstall(&web());
    assert!(!reconciled(&scene).await.contains(&END.to_owned()));
}

#[tokio::test]
async fn without_the_switch_nothing_ends() {
    let scene = report_only().await;
    scene.judge(&web(), vec![said(TRUSTED)]);
    scene.quarantine(&web(), &json!({}));
    assert_eq!(reconciled(&scene).await, [TELL]);
    assert_eq!(active_reason(&scene), "Disabled");
}

#[tokio::test]
async fn one_that_can_never_begin_ends_in_a_protected_namespace() {
    let scene = in_protected_namespace().await;
    scene.judge(&web(), vec![stolen()]);
    scene.quarantine(&web(), &json!({}));
    assert_eq!(reconciled(&scene).await, [TELL, END]);
    let object = scene.cluster.find(&quarantine_of(&web())).unwrap();
    assert_eq!(object["status"]["endedBy"], "Withdrawn");
}

#[tokio::test]
async fn what_was_contained_before_its_namespace_was_protected_lasts_until_trust_returns() {
    let scene = in_protected_namespace().await;
    scene.judge(&web(), vec![stolen()]);
    scene.quarantine(&web(), &contained(&json!({})));
    assert_eq!(reconciled(&scene).await, [TELL]);
    assert_eq!(active_reason(&scene), "Protected");
    scene.judge(&web(), vec![said(TRUSTED)]);
    assert_eq!(reconciled(&scene).await, [TELL, TELL, END]);
}

#[tokio::test]
async fn one_that_is_gone_at_its_end_has_ended_and_a_refusal_is_tried_again() {
    let ended = contained(&json!({"status": {"endedBy": "TrustReturned"}}));
    for (refusal, is_good) in [((404, "NotFound"), true), ((403, "Forbidden"), false)] {
        let scene = Scene::automatic().await;
        scene.quarantine(&web(), &ended);
        scene.cluster.refuse("DELETE", "/quarantines", refusal);
        let reconciled =
            quarantine::reconcile(&scene.context, &web(), Moment::now(), crate::clock::tick())
                .await;
        assert_eq!(reconciled.is_ok(), is_good, "{refusal:?}");
    }
}

#[tokio::test]
async fn one_that_the_watch_does_not_show_or_the_server_does_not_have_is_left() {
    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &contained(&json!({})));
    scene.context.cache.quarantines.set(web(), None);
    assert_eq!(reconciled(&scene).await, NOTHING);

    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &contained(&json!({})));
    scene
        .cluster
        .refuse("GET", "/quarantines/", (404, "NotFound"));
    assert_eq!(reconciled(&scene).await, NOTHING);
}
