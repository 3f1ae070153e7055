//! What is remembered of incidents, and whose word that is.

use std::collections::BTreeMap;
use std::time::Duration;

use charttrust_verify::key::{
    DeclaredRevocation, Grandfather, HardRevocation, Key, RevocationReason, RevokedBy, Scope,
};
use charttrust_verify::openpgp::{self, Fingerprint};
use charttrust_verify::verdict::{Reason, Verdict};
use serde_json::{Value, json};

use super::{
    FREE, NOTHING, START, being_deleted, by_a_person, contained, decided, forum, is_due_after,
    of_revocation, outcomes, reconciled, remember, remembered, report_only, waiting,
};
use crate::api::TrustedKey;
use crate::api::reasons::KeyReason;
use crate::clock::{Moment, tick};
use crate::controllers::quarantine::incidents;
use crate::controllers::store::roots::FoundRoot;
use crate::controllers::store::signers::{LoadedIdentity, LoadedPublicKey};
use crate::controllers::store::{LoadedKey, Reading, Waiting};
use crate::controllers::task::Task;
use crate::controllers::testing::{
    OPERATOR_NAMESPACE, POLICY, Scene, UID, quarantine_of, revocation, said, stolen, web,
};
use crate::parse::KeyProblem;
use crate::quarantine::incident::{Incidents, RevocationId};

#[tokio::test]
async fn what_a_person_has_ended_stays_ended() {
    let scene = Scene::automatic().await;
    remember(&scene, |incidents| {
        incidents.note_released(&of_revocation(), &web());
    });
    assert_eq!(decided(&scene).await, NOTHING);
    assert!(matches!(waiting(&scene), Some(Waiting::Released(_))));
    assert_eq!(outcomes(&scene).waiting, 0);
}

#[tokio::test]
async fn what_was_in_force_and_is_gone_was_ended_by_a_person() {
    let in_force = |scene: &Scene| {
        remember(scene, |incidents| {
            incidents.note_active(&of_revocation(), &web());
        });
    };
    let scene = Scene::automatic().await;
    in_force(&scene);
    assert_eq!(decided(&scene).await, NOTHING);
    // Its first revision was there.
    assert_eq!(waiting(&scene), Some(Waiting::Released(Some(1))));
    let revision = remembered(&scene)
        .await
        .released_at(&of_revocation(), &web());
    assert_eq!(revision, Some(1));
    assert!(
        remembered(&scene)
            .await
            .is_released(&of_revocation(), &web())
    );

    // The watch lags: the server has it.
    let scene = Scene::automatic().await;
    in_force(&scene);
    scene.quarantine(&web(), &contained(&json!({})));
    scene.context.cache.quarantines.set(web(), None);
    assert_eq!(decided(&scene).await, NOTHING);
    assert!(
        remembered(&scene)
            .await
            .was_active(&of_revocation(), &web())
    );
}

#[tokio::test]
async fn what_a_person_has_ended_waits_for_nobody() {
    let scene = Scene::automatic().await;
    scene.declare(&json!({"approval": "Manual"}));
    remember(&scene, |incidents| {
        incidents.note_released(&of_revocation(), &web());
    });
    assert_eq!(decided(&scene).await, NOTHING);
    assert!(matches!(waiting(&scene), Some(Waiting::Released(_))));
    assert_eq!(outcomes(&scene).waiting, 0);
}

#[tokio::test]
async fn an_incident_that_nobody_has_ended_counts_whatever_became_of_another() {
    let scene = Scene::automatic().await;
    let mut twice = stolen();
    twice.revocations.insert(HardRevocation {
        by: RevokedBy::Certificate("1a7e".to_owned()),
        ..revocation()
    });
    scene.judge(&web(), vec![twice]);
    remember(&scene, |incidents| {
        incidents.note_released(&of_revocation(), &web());
    });
    assert_eq!(decided(&scene).await, [START]);

    // And the one that begins is about that.
    scene.quarantine(&web(), &json!({}));
    reconciled(&scene).await;
    let object = scene.cluster.find(&quarantine_of(&web())).unwrap();
    assert_eq!(object["status"]["endedBy"], json!(null));
    let later = RevocationId::certificate(&of_revocation().fingerprint, "1a7e");
    let about = crate::controllers::quarantine::incident_of(&scene.context, &web(), POLICY).await;
    assert_eq!(about.unwrap(), Some(Incidents::default().id_of(&later)));
}

#[tokio::test]
async fn what_is_in_force_is_remembered_soon() {
    let before = tick();
    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &contained(&json!({})));
    reconciled(&scene).await;
    let soon = Duration::from_secs(1);
    assert!(is_due_after(&scene, &Task::Incidents, before, soon));
}

#[tokio::test]
async fn a_person_s_word_counts_before_it_is_written_and_is_written_later() {
    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &being_deleted(&json!({})));
    scene
        .cluster
        .refuse("POST", "/configmaps", (500, "InternalError"));
    assert_eq!(reconciled(&scene).await, [FREE]);
    let incidents = remembered(&scene).await;
    assert!(incidents.is_released(&of_revocation(), &web()));
    assert_eq!(incidents.released_at(&of_revocation(), &web()), Some(1));
    assert!(
        scene
            .context
            .queues
            .tasks
            .due_at(&Task::Incidents)
            .is_some()
    );
    assert!(
        incidents::reconcile(&scene.context, Moment::now())
            .await
            .is_err(),
        "it is tried again"
    );

    scene.cluster.allow();
    incidents::reconcile(&scene.context, Moment::now())
        .await
        .unwrap();
    let path = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/configmaps/charttrust-incidents");
    assert!(scene.cluster.find(&path).is_some());
    assert!(
        remembered(&scene)
            .await
            .is_released(&of_revocation(), &web())
    );
}

#[tokio::test]
async fn who_has_ended_one_is_remembered_for_every_incident_that_it_is_in() {
    let later = RevocationId::certificate(&of_revocation().fingerprint, "1a7e");
    // Begun by a revocation that the verdict does not name any more.
    let incident = Incidents::default().id_of(&later);
    let both = json!({"status": {"incident": incident.to_string()}});
    let scene = Scene::automatic().await;
    let stays = json!({"metadata": {"name": "shop"}});
    scene.cluster.put("/api/v1/namespaces/shop", stays);
    remember(&scene, |incidents| incidents.note_active(&later, &web()));
    scene.quarantine(&web(), &being_deleted(&both));
    assert_eq!(reconciled(&scene).await, [FREE]);
    let incidents = remembered(&scene).await;
    assert!(incidents.is_released(&later, &web()));
    assert!(incidents.is_released(&of_revocation(), &web()));
    assert_eq!(scene.cluster.find(&quarantine_of(&web())), None);

    // We ended it: it may begin again.
    let scene = Scene::automatic().await;
    remember(&scene, |incidents| {
        incidents.note_active(&of_revocation(), &web());
    });
    let by_us = json!({"status": {"endedBy": "TrustReturned"}});
    scene.quarantine(&web(), &being_deleted(&by_us));
    assert_eq!(reconciled(&scene).await, [FREE]);
    let incidents = remembered(&scene).await;
    assert!(!incidents.is_released(&of_revocation(), &web()));
    assert!(!incidents.was_active(&of_revocation(), &web()));
}

/// Whoever takes back what a person has begun says nothing of what a policy would begin.
#[tokio::test]
async fn whose_word_the_end_of_one_is() {
    let released = json!({"metadata": {"annotations": {"charttrust.io/released": "true"}}});
    let uninstalled = json!({"status": {"endedBy": "Uninstall"}});
    for (why, changes, of_policy, of_person) in [
        ("deleted", json!({}), true, false),
        ("by charttrust restore", released, true, true),
        ("before an uninstallation", uninstalled, true, true),
    ] {
        for (who, object, is_released) in [
            ("a policy", being_deleted(&changes), of_policy),
            ("a person", by_a_person(being_deleted(&changes)), of_person),
        ] {
            let scene = Scene::automatic().await;
            remember(&scene, |incidents| {
                incidents.note_active(&of_revocation(), &web());
            });
            scene.quarantine(&web(), &object);
            assert_eq!(reconciled(&scene).await, [FREE], "{who}, {why}");
            let incidents = remembered(&scene).await;
            let was_released = incidents.is_released(&of_revocation(), &web());
            assert_eq!(was_released, is_released, "{who}, {why}");
            let was_active = incidents.was_active(&of_revocation(), &web());
            assert!(!was_active, "{who}, {why}");
            // The watch lags, and must not bring it back.
            taken_in(&scene).await;
            scene.context.cache.quarantines.set(web(), None);
            let starts = decided(&scene).await.contains(&START.to_owned());
            assert_eq!(starts, !is_released, "{who}, {why}");
        }
    }
}

#[tokio::test]
async fn what_a_person_has_released_stays_so_whatever_they_begin_and_take_back_later() {
    let scene = Scene::automatic().await;
    remember(&scene, |incidents| {
        incidents.note_released(&of_revocation(), &web());
    });
    let manual = by_a_person(being_deleted(
        &json!({"status": {"incident": "manual/uid"}}),
    ));
    scene.quarantine(&web(), &manual);
    assert_eq!(reconciled(&scene).await, [FREE]);
    scene.context.cache.quarantines.set(web(), None);
    assert_eq!(decided(&scene).await, [FREE], "none begins");
    assert!(matches!(waiting(&scene), Some(Waiting::Released(_))));
}

/// What is remembered once what is in force was taken in.
async fn taken_in(scene: &Scene) -> Incidents {
    incidents::reconcile(&scene.context, Moment::now())
        .await
        .unwrap();
    remembered(scene).await
}

#[tokio::test]
async fn only_what_is_in_force_and_is_to_stay_is_remembered_as_active() {
    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &contained(&json!({})));
    assert!(taken_in(&scene).await.was_active(&of_revocation(), &web()));

    for (why, changes) in [
        ("it is being deleted", being_deleted(&json!({}))),
        (
            "we are ending it",
            contained(&json!({"status": {"endedBy": "TrustReturned"}})),
        ),
        (
            "it has not begun",
            contained(&json!({"status": {"incident": null}})),
        ),
        (
            "it is not in force",
            contained(&json!({"status": {"conditions": [{
                "type": "Active", "status": "False", "reason": "Containing", "message": "",
                "observedGeneration": 1, "lastTransitionTime": "2026-11-18T10:00:00Z",
            }]}})),
        ),
        (
            "nobody knows whether it is in force",
            contained(&json!({"status": {"conditions": []}})),
        ),
    ] {
        let scene = Scene::automatic().await;
        scene.quarantine(&web(), &changes);
        assert_eq!(taken_in(&scene).await, Incidents::default(), "{why}");
    }

    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &contained(&json!({})));
    incidents::note_ended(&scene.context, &web(), UID).await;
    assert_eq!(
        taken_in(&scene).await,
        Incidents::default(),
        "the watch lags"
    );

    let scene = report_only().await;
    scene.quarantine(&web(), &contained(&json!({})));
    assert_eq!(
        taken_in(&scene).await,
        Incidents::default(),
        "without the switch"
    );

    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &contained(&json!({})));
    let _change = scene.context.change(None, crate::clock::tick());
    assert_eq!(
        taken_in(&scene).await,
        Incidents::default(),
        "a key is being taken in"
    );
}

/// A person who restores it while the operator is away has said so, whatever was left out of it.
#[tokio::test]
async fn what_is_contained_in_part_is_remembered_as_the_whole() {
    let record = |state: &str| {
        json!({"action": "ScaleToZero", "apiVersion": "apps/v1", "kind": "Deployment",
            "name": "web", "uid": "w", "original": "3", "state": state})
    };
    let not = |reason: &str| {
        json!([{
            "type": "Active", "status": "False", "reason": reason, "message": "",
            "observedGeneration": 1, "lastTransitionTime": "2026-11-18T10:00:00Z",
        }])
    };
    for (reason, state, contained_number) in [
        ("PartlyContained", "Contained", 1),
        ("AwaitingApproval", "Contained", 1),
        ("ChangedByOthers", "Kept", 0),
        ("Containing", "Contained", 1),
        // What a run that was stopped has done is not counted yet.
        ("Containing", "Planned", 0),
    ] {
        let scene = Scene::automatic().await;
        let status = json!({"conditions": not(reason), "objects": [record(state)],
            "contained": contained_number});
        scene.quarantine(&web(), &contained(&json!({ "status": status })));
        let incidents = taken_in(&scene).await;
        assert!(incidents.was_active(&of_revocation(), &web()), "{reason}");

        // Gone, and nobody else's word.
        scene.cluster.remove(&quarantine_of(&web()));
        scene.context.cache.quarantines.set(web(), None);
        assert_eq!(decided(&scene).await, NOTHING, "{reason}");
        assert!(
            matches!(waiting(&scene), Some(Waiting::Released(_))),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn one_that_a_person_began_is_about_all_that_the_release_is_bad_by() {
    let scene = Scene::automatic().await;
    let manual = contained(&json!({"status": {"incident": "manual/uid"}}));
    scene.quarantine(&web(), &by_a_person(manual));
    assert!(taken_in(&scene).await.was_active(&of_revocation(), &web()));
}

#[tokio::test]
async fn what_another_replica_remembers_is_kept() {
    let scene = Scene::automatic().await;
    remember(&scene, |_| {});
    remembered(&scene).await;
    // Written behind our back: the first try fails.
    remember(&scene, |incidents| {
        incidents.note_released(&of_revocation(), &forum());
    });
    scene.quarantine(&web(), &contained(&json!({})));
    let incidents = taken_in(&scene).await;
    assert!(incidents.is_released(&of_revocation(), &forum()));
    assert!(incidents.was_active(&of_revocation(), &web()));

    let before = scene.cluster.writes().len();
    taken_in(&scene).await;
    assert_eq!(
        scene.cluster.writes().len(),
        before,
        "nothing new, nothing written"
    );
}

#[tokio::test]
async fn what_the_server_refuses_is_not_remembered_again_at_once() {
    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &contained(&json!({})));
    let refusal = (500, "InternalError");
    scene.cluster.refuse("POST", "/configmaps", refusal);
    assert!(
        incidents::reconcile(&scene.context, Moment::now())
            .await
            .is_err()
    );
    assert_eq!(scene.cluster.writes().len(), 1);
}

/// A key as it was read, of which we say this.
fn loaded(armored: &str, own: Option<RevocationReason>) -> LoadedKey {
    let certificates = openpgp::load_all(armored.as_bytes()).unwrap();
    let certificate = certificates.into_iter().next().unwrap();
    let fingerprint = certificate.fingerprint().clone();
    let revocation = own.map(|reason| DeclaredRevocation {
        declared_by: "platform".to_owned(),
        reason,
        since: Some("2024-01-01T00:00:00Z".parse().unwrap()),
        grandfather: Grandfather::Never,
    });
    LoadedKey {
        reading: reading(),
        fingerprint: Some(fingerprint),
        revocation: revocation.clone(),
        refresh: None,
        key: Ok(Key {
            name: "platform".to_owned(),
            labels: BTreeMap::new(),
            certificate,
            scope: Scope::default(),
            not_after: None,
            unusable: None,
            revocations: revocation.into_iter().collect(),
        }),
        remains: crate::parse::Remains::default(),
    }
}

const SOUND: &str = include_str!("../../../../verify/tests/openpgp/vectors/ed25519.asc");

const COMPROMISED: &str =
    include_str!("../../../../verify/tests/openpgp/vectors/revoked-compromised.asc");

const RETIRED: &str = include_str!("../../../../verify/tests/openpgp/vectors/revoked-retired.asc");

/// Whom a revocation is of.
#[derive(Clone, Copy, Debug)]
enum Signer {
    Identity,
    OpenPgp,
    PublicKey,
}

/// Whether its object can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Sound,
    Unusable,
}

const COSIGN: &str = include_str!("../../../../../examples/trusted-key-cosign.yaml");
const WORKFLOW: &str = include_str!("../../../../../examples/trusted-identity.yaml");

/// Takes in a signer of which we say this; who that is.
fn declared(
    scene: &Scene,
    signer: Signer,
    own: Option<RevocationReason>,
    read: Read,
) -> Fingerprint {
    let store = &scene.context.store;
    let missing = KeyProblem::new(KeyReason::MaterialMissing, "it is gone");
    match signer {
        Signer::OpenPgp => {
            let mut key = loaded(SOUND, own);
            if read == Read::Unusable {
                key.key = Err(missing);
            }
            let fingerprint = key.fingerprint.clone().unwrap();
            store.set_key("platform", Some(key));
            fingerprint
        }
        Signer::PublicKey => {
            let mut object: Value = serde_saphyr::from_multiple(COSIGN).unwrap().remove(0);
            if let Some(reason) = own {
                let since = "2024-01-01T00:00:00Z";
                let word = json!({"reason": format!("{reason:?}"), "since": since});
                object["spec"]["revocation"] = word;
            }
            let object: TrustedKey = serde_json::from_value(object).unwrap();
            let pem = object.spec.public_key.inline.clone().unwrap();
            let material = match read {
                Read::Sound => Ok(pem.as_bytes()),
                Read::Unusable => Err(&missing),
            };
            let loaded = LoadedPublicKey::of(&object, material, root(scene), reading());
            let fingerprint = Fingerprint::of_digest(&loaded.fingerprint.unwrap());
            store.set_public_key("platform", Some(loaded));
            fingerprint
        }
        Signer::Identity => declared_identity(scene, own, read),
    }
}

fn declared_identity(scene: &Scene, own: Option<RevocationReason>, read: Read) -> Fingerprint {
    let mut object: Value = serde_saphyr::from_multiple(WORKFLOW).unwrap().remove(0);
    let mut change = json!({});
    if let Some(reason) = own {
        change["revocation"] = json!({"reason": format!("{reason:?}")});
    }
    if own == Some(RevocationReason::Retired) {
        change["revocation"]["windows"] = json!([{"from": "2024-01-01T00:00:00Z"}]);
    }
    if read == Read::Unusable {
        change["notAfter"] = json!("soon");
    }
    json_patch::merge(&mut object["spec"], &change);
    let object = serde_json::from_value(object).unwrap();
    let loaded = LoadedIdentity::of(&object, None, root(scene), reading());
    let fingerprint = loaded.known.as_ref().unwrap().signer_id();
    assert_eq!(loaded.problem.is_some(), read == Read::Unusable);
    scene.context.store.set_identity("platform", Some(loaded));
    fingerprint
}

fn root(scene: &Scene) -> FoundRoot {
    FoundRoot {
        root: scene.context.store.roots.compiled_in(),
        is_unanswered: false,
    }
}

fn reading() -> Reading {
    Reading {
        generation: 1,
        details: String::new(),
        at: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn word(reason: RevocationReason) -> DeclaredRevocation {
    DeclaredRevocation {
        declared_by: "platform".to_owned(),
        reason,
        since: None,
        grandfather: Grandfather::Never,
    }
}

/// Whether an incident, in which a person has released a release, is still the same once what is in force was
/// taken in.
async fn lasts(scene: &Scene, fingerprint: &Fingerprint, own: Option<RevocationReason>) -> bool {
    let revocation = own.and_then(|reason| RevocationId::declared(fingerprint, &word(reason)));
    // One that was withdrawn is of a signer that says nothing of it any more.
    let revocation = revocation.unwrap_or_else(|| RevocationId::certificate(fingerprint, "5eed"));
    remember(scene, |incidents| {
        incidents.note_released(&revocation, &web());
    });
    taken_in(scene).await.is_released(&revocation, &web())
}

#[tokio::test]
async fn an_incident_lasts_while_its_hard_revocation_stands() {
    use RevocationReason::{Compromised, Retired, Unspecified};
    for signer in [Signer::Identity, Signer::OpenPgp, Signer::PublicKey] {
        for (own, read, expected, why) in [
            (Some(Compromised), Read::Sound, true, "our word"),
            (Some(Unspecified), Read::Sound, true, "our word"),
            (None, Read::Sound, false, "withdrawn"),
            (Some(Retired), Read::Sound, false, "a soft one is none"),
            (None, Read::Unusable, true, "nobody can tell"),
            (
                Some(Compromised),
                Read::Unusable,
                true,
                "our word needs no key",
            ),
        ] {
            let scene = Scene::automatic().await;
            let fingerprint = declared(&scene, signer, own, read);
            let found = lasts(&scene, &fingerprint, own).await;
            assert_eq!(found, expected, "{signer:?}: {why}");
        }
        // One that is gone says nothing either.
        let scene = Scene::automatic().await;
        let fingerprint = declared(&scene, signer, Some(Compromised), Read::Sound);
        let store = &scene.context.store;
        store.set_key("platform", None);
        store.set_public_key("platform", None);
        store.set_identity("platform", None);
        let found = lasts(&scene, &fingerprint, Some(Compromised)).await;
        assert!(found, "{signer:?} is gone");
    }
}

#[tokio::test]
async fn an_incident_lasts_while_a_hard_revocation_is_in_the_key() {
    for (armored, expected) in [(COMPROMISED, true), (RETIRED, false)] {
        let scene = Scene::automatic().await;
        let key = loaded(armored, None);
        let fingerprint = key.fingerprint.clone().unwrap();
        let summary = key
            .key
            .as_ref()
            .unwrap()
            .certificate
            .summary(crate::clock::now());
        let digest = summary.revocation.unwrap().digest;
        let revocation = RevocationId::certificate(&fingerprint, &digest);
        remember(&scene, |incidents| {
            incidents.note_released(&revocation, &web());
        });
        scene.context.store.set_key("platform", Some(key));
        let found = taken_in(&scene).await.is_released(&revocation, &web());
        assert_eq!(found, expected);
    }
}

/// What a person has released is not contained again because somebody corrects the date of a theft,
/// names the key anew, or lets what was verified before stay trusted.
#[tokio::test]
async fn a_word_that_is_corrected_is_the_same_incident() {
    let base = DeclaredRevocation {
        declared_by: "platform".to_owned(),
        reason: RevocationReason::Compromised,
        since: None,
        grandfather: Grandfather::Never,
    };
    let since = Some("2024-01-01T00:00:00Z".parse().unwrap());
    let cases: [(DeclaredRevocation, &[&str]); 4] = [
        (base.clone(), &[]),
        (
            DeclaredRevocation {
                since,
                grandfather: Grandfather::Witnessed,
                ..base.clone()
            },
            &[],
        ),
        (
            DeclaredRevocation {
                declared_by: "platform-2024".to_owned(),
                ..base.clone()
            },
            &[],
        ),
        (
            DeclaredRevocation {
                reason: RevocationReason::Unspecified,
                ..base.clone()
            },
            &[START],
        ),
    ];
    for (word, expected) in cases {
        let scene = Scene::automatic().await;
        let judged_by = |word: &DeclaredRevocation| {
            let mut bad = stolen();
            bad.revocations = [HardRevocation {
                by: RevokedBy::Declared(word.clone()),
                ..revocation()
            }]
            .into();
            scene.judge(&web(), vec![bad]);
        };
        judged_by(&base);
        scene.quarantine(
            &web(),
            &being_deleted(&json!({"status": {"incident": null}})),
        );
        assert_eq!(reconciled(&scene).await, [FREE]);
        scene.context.cache.quarantines.set(web(), None);
        // A key that says so at every moment withdraws nothing.
        judged_by(&word);
        let starts: Vec<_> = decided(&scene).await.into_iter().skip(1).collect();
        assert_eq!(starts, expected, "{word:?}");
    }
}

#[tokio::test]
async fn a_verdict_without_a_revocation_is_nobody_s_release() {
    let scene = Scene::automatic().await;
    let bad = Verdict::Untrusted(Reason::KeyCompromised);
    scene.judge(&web(), vec![said(bad)]);
    decided(&scene).await;
    assert_eq!(waiting(&scene), None);
}
