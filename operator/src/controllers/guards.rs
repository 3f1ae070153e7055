//! Every guard of a quarantine, alone: each of these turns red when the one that it names is gone.
//! What the steps of one quarantine guard is told by `quarantine::preconditions`.

use std::collections::BTreeSet;
use std::time::Duration;

use charttrust_verify::key::{HardRevocation, RevocationWord};
use charttrust_verify::verdict::{Basis, Cause, Reason, Verdict};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::scene::{HOME, POLICY, Scene, UID, id, quarantine_of, revocation, said, stolen, web};
use super::world::{Outcomes, Waiting};
use super::{ContainmentSettings, Task, containment, ledger, policy, quarantine};
use crate::inventory::ReleaseId;
use crate::inventory::helm::Driver;
use crate::leader::Mandate;
use crate::quarantine::FINALIZER;
use crate::quarantine::incident::{Ledger, Revocation};

const NOTHING: [&str; 0] = [];
const START: &str = "POST shop/quarantines";
const END: &str = "DELETE shop/quarantines/web";
const TELL: &str = "PUT shop/quarantines/web/status";
const FREE: &str = "PATCH shop/quarantines/web";
const TRUSTED: Verdict = Verdict::Trusted(Basis::SignatureVerified);
const HOUR: Duration = Duration::from_secs(3600);

/// What makes it a case, and what is different then.
type Case = (&'static str, fn(&Scene));

/// What is written to Quarantines when the policy decides.
async fn decided(scene: &Scene) -> Vec<String> {
    let trust = scene.context.world.trust();
    let loaded = &trust.policies[POLICY];
    let decided = containment::decide(&scene.context, POLICY, loaded).await;
    decided.unwrap();
    scene.of_quarantines()
}

/// What is written to Quarantines when that of `shop/web` is looked at.
async fn looked(scene: &Scene) -> Vec<String> {
    quarantine::reconcile(&scene.context, &web()).await.unwrap();
    scene.of_quarantines()
}

fn outcomes(scene: &Scene) -> Outcomes {
    scene.context.world.outcomes(POLICY)
}

fn waiting(scene: &Scene) -> Option<Waiting> {
    let release = scene.context.world.release(&web()).unwrap();
    release.decisions[POLICY]
}

fn forum() -> ReleaseId {
    id("shop", "forum")
}

fn of_revocation() -> Revocation {
    Revocation::of(&revocation()).unwrap()
}

fn incident() -> String {
    Ledger::default().incident(&of_revocation())
}

/// Something is remembered before the operator starts.
fn remember(scene: &Scene, note: impl Fn(&mut Ledger)) {
    let mut ledger = Ledger::default();
    note(&mut ledger);
    let path = format!("/api/v1/namespaces/{HOME}/configmaps/charttrust-incidents");
    let map = json!({"metadata": {"name": "charttrust-incidents"}, "data": ledger.data()});
    scene.cluster.put(&path, map);
}

async fn remembered(scene: &Scene) -> Ledger {
    ledger::read(&scene.context).await.unwrap()
}

fn contained(changes: &Value) -> Value {
    let mut object = json!({"status": {"incident": incident(), "conditions": [{
        "type": "Active", "status": "True", "reason": "Contained", "message": "",
        "observedGeneration": 1, "lastTransitionTime": "2026-11-18T10:00:00Z",
    }]}});
    json_patch::merge(&mut object, changes);
    object
}

fn being_deleted(changes: &Value) -> Value {
    let mut object = contained(&json!({
        "metadata": {"deletionTimestamp": "2026-11-18T10:00:00Z"},
    }));
    json_patch::merge(&mut object, changes);
    object
}

fn by_a_person(mut object: Value) -> Value {
    object["spec"] = json!({"policy": null});
    object
}

async fn report_only() -> Scene {
    let scene = Scene::with(None, Mandate::Alone).await;
    scene.declare(&json!({}));
    scene.install(&web(), Driver::Secret);
    scene.judge(&web(), vec![stolen()]);
    scene
}

#[tokio::test]
async fn what_is_bad_is_contained_as_the_policy_says() {
    let scene = Scene::automatic().await;
    assert_eq!(decided(&scene).await, [START]);
    let object = scene.cluster.find(&quarantine_of(&web())).unwrap();
    assert_eq!(object["metadata"]["finalizers"], json!([FINALIZER]));
    let spec = json!({
        "actions": ["ScaleToZero"], "policy": POLICY, "reason": "KeyCompromised under policy strict",
    });
    assert_eq!(object["spec"], spec);
    let expected = Outcomes {
        active: 1,
        allowance: 1,
        ..Outcomes::default()
    };
    assert_eq!(outcomes(&scene), expected);
}

#[tokio::test]
async fn nothing_starts_unless_everything_speaks_for_it() {
    let cases: [Case; 14] = [
        ("no quarantine is asked for", |scene| {
            scene.declare_spec(&json!({}));
        }),
        ("a person has to approve", |scene| {
            scene.declare(&json!({"approval": "Manual"}));
        }),
        ("another reason is asked for", |scene| {
            scene.declare(&json!({"onReasons": ["KeyRevoked"]}));
        }),
        ("the policy is suspended", |scene| {
            scene.declare_spec(&json!({"suspend": true, "quarantine": {
                "onReasons": ["KeyCompromised"], "approval": "Automatic", "after": "0s",
                "actions": ["ScaleToZero"],
            }}));
        }),
        ("it is trusted", |scene| {
            scene.judge(&web(), vec![said(TRUSTED)]);
        }),
        ("nobody knows", |scene| {
            let unknown = Verdict::Unknown(Cause::SourceUnavailable);
            scene.judge(&web(), vec![said(unknown)]);
        }),
        ("another policy says so", |scene| {
            let mut other = stolen();
            other.policy = "other".to_owned();
            scene.judge(&web(), vec![said(TRUSTED), other]);
        }),
        ("no revocation explains it", |scene| {
            let bad = Verdict::Untrusted(Reason::KeyCompromised);
            scene.judge(&web(), vec![said(bad)]);
        }),
        ("it is contained", |scene| {
            scene.quarantine(&web(), &json!({}));
        }),
        ("two drivers hold records of it", |scene| {
            scene.install(&web(), Driver::ConfigMap);
        }),
        ("it has not been bad for long enough", |scene| {
            scene.declare(&json!({"after": "1h"}));
        }),
        ("it is to be judged again", |scene| {
            let world = &scene.context.world;
            world.update(&web(), |release| release.judgings.ask());
        }),
        ("another was not judged yet", |scene| {
            scene.install(&forum(), Driver::Secret);
        }),
        ("another is known and was not judged yet", |scene| {
            scene.install(&forum(), Driver::Secret);
            scene.context.world.update(&forum(), |_| ());
        }),
    ];
    for (why, change) in cases {
        let scene = Scene::automatic().await;
        change(&scene);
        assert_eq!(decided(&scene).await, NOTHING, "{why}");
    }
}

#[tokio::test]
async fn only_proof_of_badness_is_a_reason_whatever_a_policy_names() {
    let scene = Scene::automatic().await;
    let trust = scene.context.world.trust();
    let mut loaded = trust.policies[POLICY].clone();
    let containment = loaded.containment.as_mut().unwrap();
    containment.reasons = BTreeSet::from([Reason::SignerNotTrusted, Reason::ContentMismatch]);
    for reason in [Reason::SignerNotTrusted, Reason::ContentMismatch] {
        let mut bad = stolen();
        bad.verdict = Verdict::Untrusted(reason);
        scene.judge(&web(), vec![bad]);
        let decided = containment::decide(&scene.context, POLICY, &loaded).await;
        decided.unwrap();
        assert_eq!(scene.of_quarantines(), NOTHING, "{reason:?}");
    }
}

#[tokio::test]
async fn nothing_starts_while_a_key_or_policy_is_being_taken_in() {
    let scene = Scene::automatic().await;
    let change = scene.context.world.change();
    assert_eq!(decided(&scene).await, NOTHING);
    assert_eq!(outcomes(&scene).waiting, 1);
    drop(change);
    assert_eq!(decided(&scene).await, [START]);
}

#[tokio::test]
async fn nothing_starts_where_nothing_may_be_changed() {
    let protected = ContainmentSettings {
        protected: vec!["shop".to_owned()],
    };
    for (settings, namespace) in [
        (protected, "shop"),
        (ContainmentSettings::default(), "kube-system"),
        (ContainmentSettings::default(), HOME),
    ] {
        let scene = Scene::with(Some(settings), Mandate::Alone).await;
        scene.declare(&json!({}));
        let release = id(namespace, "web");
        scene.install(&release, Driver::Secret);
        scene.judge(&release, vec![stolen()]);
        assert_eq!(decided(&scene).await, NOTHING, "{namespace}");
    }
}

#[tokio::test]
async fn nothing_starts_and_nobody_has_ended_anything_without_the_switch() {
    let scene = report_only().await;
    remember(&scene, |ledger| {
        ledger.note_active(&of_revocation(), &forum());
    });
    scene.install(&forum(), Driver::Secret);
    scene.judge(&forum(), vec![stolen()]);
    assert_eq!(decided(&scene).await, NOTHING);
    assert_eq!(outcomes(&scene).waiting, 1);
    assert!(
        !remembered(&scene)
            .await
            .is_released(&of_revocation(), &forum())
    );
}

#[tokio::test]
async fn releases_that_came_later_and_those_of_nobody_hold_nobody_up() {
    let scene = Scene::automatic().await;
    let present = BTreeSet::from([web()]);
    scene.context.present.get_or_init(|| present);
    scene.install(&forum(), Driver::Secret);
    let pending = Verdict::Unknown(Cause::Pending);
    scene.judge(&forum(), vec![said(pending)]);
    assert_eq!(decided(&scene).await, [START]);

    let scene = Scene::automatic().await;
    scene.install(&forum(), Driver::Secret);
    scene.judge(&forum(), vec![said(pending)]);
    let present = BTreeSet::from([web(), forum()]);
    scene.context.present.get_or_init(|| present);
    assert_eq!(decided(&scene).await, NOTHING, "it was there at the start");

    let scene = Scene::automatic().await;
    scene.declare_spec(
        &json!({"match": {"excludeNamespaces": ["elsewhere"]}, "quarantine": {
            "onReasons": ["KeyCompromised"], "approval": "Automatic", "after": "0s",
            "actions": ["ScaleToZero"],
        }}),
    );
    scene.install(&id("elsewhere", "forum"), Driver::Secret);
    assert_eq!(decided(&scene).await, [START]);
}

#[tokio::test]
async fn what_was_decided_is_written_to_the_policy() {
    let scene = Scene::automatic().await;
    let path = format!("/apis/charttrust.io/v1alpha1/charttrustpolicies/{POLICY}");
    let object = scene.cluster.put(
        &path,
        json!({"apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
            "metadata": {"name": POLICY, "generation": 1}, "spec": {"rules": []}}),
    );
    let object = serde_json::from_value(object).unwrap();
    let policies = &scene.context.mirrors.policies;
    policies.set(POLICY.to_owned(), Some(Ok(object)));
    policy::write_status(&scene.context, POLICY).await.unwrap();
    assert_eq!(scene.of_quarantines(), [START]);
    let written = scene.cluster.find(&path).unwrap();
    let counts = json!({"active": 1, "waiting": 0, "stopped": 0});
    assert_eq!(written["status"]["quarantine"], counts);
}

#[tokio::test]
async fn what_holds_nothing_and_never_will_takes_no_place() {
    let nothing_saved = json!({"status": {"objects": null}});
    let not_begun = json!({"status": {"incident": null, "objects": null}});
    let object = json!({
        "action": "ScaleToZero", "apiVersion": "apps/v1", "kind": "Deployment",
        "name": "forum", "state": "Planned",
    });
    let not_changed_yet = json!({"status": {"objects": [object]}});
    for (changes, active) in [(nothing_saved, 0), (not_begun, 1), (not_changed_yet, 1)] {
        let scene = Scene::automatic().await;
        scene.declare(&json!({"limit": {"maxReleases": 1}}));
        scene.install(&forum(), Driver::Secret);
        scene.judge(&forum(), vec![stolen()]);
        scene.quarantine(&forum(), &contained(&changes));
        let started = decided(&scene).await.len();
        assert_eq!(started, 1 - active, "{changes}");
        let stopped = outcomes(&scene).stopped.len();
        assert_eq!(stopped, active, "{changes}");
    }
}

#[tokio::test]
async fn what_is_in_force_and_what_is_due_later_count_against_the_limit() {
    let one = json!({"limit": {"maxReleases": 1}});
    let scene = Scene::automatic().await;
    scene.declare(&one);
    scene.install(&forum(), Driver::Secret);
    scene.judge(&forum(), vec![said(TRUSTED)]);
    scene.quarantine(&forum(), &json!({}));
    assert_eq!(decided(&scene).await, NOTHING);
    assert_eq!(outcomes(&scene).stopped, [web()]);
    assert_eq!(outcomes(&scene).active, 1);

    let scene = Scene::automatic().await;
    scene.declare(&one);
    scene.install(&forum(), Driver::Secret);
    scene.judge(&forum(), vec![said(TRUSTED)]);
    scene.quarantine(&forum(), &json!({"spec": {"policy": "other"}}));
    assert_eq!(
        decided(&scene).await,
        [START],
        "that of another policy does not count"
    );

    let scene = Scene::automatic().await;
    scene.declare(&one);
    scene.install(&forum(), Driver::Secret);
    scene.judge(&forum(), vec![stolen()]);
    scene.context.world.update(&forum(), |release| {
        let later = Instant::now() + HOUR;
        release.bad_since.insert(POLICY.to_owned(), later);
    });
    assert_eq!(decided(&scene).await, NOTHING);
    assert_eq!(outcomes(&scene).stopped, [forum(), web()]);
    assert_eq!(outcomes(&scene).waiting, 0);
}

#[tokio::test]
async fn what_is_bad_anew_has_to_be_so_for_the_whole_time() {
    let scene = Scene::automatic().await;
    scene.declare(&json!({"after": "1h"}));
    let since = || {
        let release = scene.context.world.release(&web()).unwrap();
        release.bad_since.get(POLICY).copied()
    };
    decided(&scene).await;
    let first = since().unwrap();
    decided(&scene).await;
    assert_eq!(since(), Some(first));
    assert_eq!(outcomes(&scene).waiting, 1);
    scene.judge(&web(), vec![said(TRUSTED)]);
    decided(&scene).await;
    assert_eq!(since(), None);
    scene.judge(&web(), vec![stolen()]);
    decided(&scene).await;
    assert!(since().unwrap() > first);
    let mut other = stolen();
    other.policy = "other".to_owned();
    scene.judge(&web(), vec![other]);
    decided(&scene).await;
    assert_eq!(since(), None, "the policy does not apply any more");
}

#[tokio::test]
async fn what_a_person_has_ended_stays_ended() {
    let scene = Scene::automatic().await;
    remember(&scene, |ledger| {
        ledger.note_released(&of_revocation(), &web());
    });
    assert_eq!(decided(&scene).await, NOTHING);
    assert_eq!(waiting(&scene), Some(Waiting::Released));
    assert_eq!(outcomes(&scene).waiting, 0);
}

#[tokio::test]
async fn what_was_in_force_and_is_gone_was_ended_by_a_person() {
    let in_force = |scene: &Scene| {
        remember(scene, |ledger| ledger.note_active(&of_revocation(), &web()));
    };
    let scene = Scene::automatic().await;
    in_force(&scene);
    assert_eq!(decided(&scene).await, NOTHING);
    assert_eq!(waiting(&scene), Some(Waiting::Released));
    assert!(
        remembered(&scene)
            .await
            .is_released(&of_revocation(), &web())
    );

    // The watch lags: the server has it.
    let scene = Scene::automatic().await;
    in_force(&scene);
    scene.quarantine(&web(), &contained(&json!({})));
    scene.context.mirrors.quarantines.set(web(), None);
    assert_eq!(decided(&scene).await, NOTHING);
    assert!(
        remembered(&scene)
            .await
            .was_active(&of_revocation(), &web())
    );
}

#[tokio::test]
async fn each_release_is_told_what_it_waits_for() {
    let scene = Scene::automatic().await;
    scene.declare(&json!({"approval": "Manual"}));
    decided(&scene).await;
    assert_eq!(waiting(&scene), Some(Waiting::ForApproval));
    assert_eq!(outcomes(&scene).waiting, 1);
    scene.judge(&web(), vec![said(TRUSTED)]);
    decided(&scene).await;
    assert_eq!(waiting(&scene), None);
    assert_eq!(outcomes(&scene).waiting, 0);
}

#[tokio::test]
async fn what_a_policy_decides_no_more_is_forgotten() {
    let scene = Scene::automatic().await;
    scene.declare(&json!({"approval": "Manual"}));
    decided(&scene).await;
    scene.declare_spec(&json!({}));
    decided(&scene).await;
    assert_eq!(waiting(&scene), None);
    assert_eq!(outcomes(&scene), Outcomes::default());

    let scene = Scene::automatic().await;
    scene.declare(&json!({"approval": "Manual"}));
    decided(&scene).await;
    let mut other = said(TRUSTED);
    other.policy = "other".to_owned();
    scene.judge(&web(), vec![other]);
    decided(&scene).await;
    let release = scene.context.world.release(&web()).unwrap();
    assert!(!release.decisions.contains_key(POLICY));
}

#[tokio::test]
async fn what_a_person_has_ended_waits_for_nobody() {
    let scene = Scene::automatic().await;
    scene.declare(&json!({"approval": "Manual"}));
    remember(&scene, |ledger| {
        ledger.note_released(&of_revocation(), &web());
    });
    assert_eq!(decided(&scene).await, NOTHING);
    assert_eq!(waiting(&scene), Some(Waiting::Released));
    assert_eq!(outcomes(&scene).waiting, 0);
}

#[tokio::test]
async fn an_incident_that_nobody_has_ended_counts_whatever_became_of_another() {
    let scene = Scene::automatic().await;
    let mut twice = stolen();
    twice.revocations.insert(HardRevocation {
        word: RevocationWord::Certificate("1a7e".to_owned()),
        ..revocation()
    });
    scene.judge(&web(), vec![twice]);
    remember(&scene, |ledger| {
        ledger.note_released(&of_revocation(), &web());
    });
    assert_eq!(decided(&scene).await, [START]);

    // And the one that begins is about that.
    scene.quarantine(&web(), &json!({}));
    looked(&scene).await;
    let object = scene.cluster.find(&quarantine_of(&web())).unwrap();
    assert_eq!(object["status"]["endedBy"], json!(null));
    let later = Revocation::certificate(&of_revocation().fingerprint, "1a7e");
    let about = containment::incident_of(&scene.context, &web(), POLICY).await;
    assert_eq!(about.unwrap(), Some(Ledger::default().incident(&later)));
}

/// Whether a task waits for so long from now, as it was asked for since `before`.
fn is_due_after(scene: &Scene, task: &Task, before: Instant, wait: Duration) -> bool {
    let at = scene.context.queue.due_at(task);
    at.is_some_and(|at| (before + wait..=Instant::now() + wait).contains(&at))
}

#[tokio::test]
async fn a_policy_decides_again_when_time_alone_makes_something_due() {
    let task = Task::PolicyStatus(POLICY.to_owned());
    let before = Instant::now();
    let scene = Scene::automatic().await;
    scene.declare(&json!({"after": "1h"}));
    decided(&scene).await;
    assert!(is_due_after(&scene, &task, before, HOUR));

    let scene = Scene::automatic().await;
    scene.install(&forum(), Driver::Secret);
    decided(&scene).await;
    assert!(scene.context.queue.due_at(&task).is_some());

    let scene = Scene::automatic().await;
    decided(&scene).await;
    assert_eq!(scene.context.queue.due_at(&task), None);
}

#[tokio::test]
async fn what_has_been_bad_for_long_enough_is_due() {
    let scene = Scene::automatic().await;
    scene.declare(&json!({"after": "1h"}));
    assert_eq!(decided(&scene).await, NOTHING);
    scene.declare(&json!({"after": "5s"}));
    scene.context.world.update(&web(), |release| {
        let since = Instant::now().checked_sub(Duration::from_secs(6)).unwrap();
        release.bad_since.insert(POLICY.to_owned(), since);
    });
    assert_eq!(decided(&scene).await, [START]);
}

#[tokio::test]
async fn a_release_is_shown_anew_when_what_was_decided_is_news() {
    let task = Task::Release(web());
    let is_shown = |scene: &Scene| {
        let is_due = scene.context.queue.due_at(&task).is_some();
        scene.context.queue.forget(&task);
        is_due
    };
    let scene = Scene::automatic().await;
    decided(&scene).await;
    assert!(!is_shown(&scene), "there is nothing to be shown");
    scene.declare(&json!({"approval": "Manual"}));
    decided(&scene).await;
    assert!(is_shown(&scene));
    decided(&scene).await;
    assert!(!is_shown(&scene), "nothing new");

    let scene = Scene::automatic().await;
    scene.declare(&json!({"approval": "Manual"}));
    decided(&scene).await;
    assert!(is_shown(&scene), "first decided");

    // What was shown before a start is not true any more.
    let scene = Scene::automatic().await;
    let shown = json!({"metadata": {"namespace": "shop", "name": "web"}, "status": {"conditions": [{
        "type": "Quarantined", "status": "False", "reason": "AwaitingApproval", "message": "",
        "observedGeneration": 1, "lastTransitionTime": "2026-11-18T10:00:00Z",
    }]}});
    let shown = serde_json::from_value(shown).unwrap();
    scene.context.mirrors.trusts.set(web(), Some(Ok(shown)));
    scene.judge(&web(), vec![said(TRUSTED)]);
    decided(&scene).await;
    assert!(is_shown(&scene));
}

#[tokio::test]
async fn a_quarantine_is_looked_at_again() {
    let task = Task::Quarantine(web());
    let [soon, later] = [2, 30].map(Duration::from_secs);
    let before = Instant::now();
    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &contained(&json!({})));
    looked(&scene).await;
    assert!(is_due_after(&scene, &task, before, later), "in force");

    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &json!({}));
    let world = &scene.context.world;
    world.update(&web(), |release| release.judgement = None);
    looked(&scene).await;
    assert!(is_due_after(&scene, &task, before, soon), "not judged yet");

    let scene = in_protected_namespace().await;
    scene.judge(&web(), vec![stolen()]);
    scene.quarantine(&web(), &contained(&json!({})));
    looked(&scene).await;
    assert!(is_due_after(&scene, &task, before, later), "protected");
}

#[tokio::test]
async fn what_is_in_force_is_remembered_soon() {
    let before = Instant::now();
    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &contained(&json!({})));
    looked(&scene).await;
    let soon = Duration::from_secs(1);
    assert!(is_due_after(&scene, &Task::Ledger, before, soon));
}

#[tokio::test]
async fn only_what_is_in_force_counts_as_contained() {
    let refused = json!({"status": {"conditions": [{
        "type": "Active", "status": "False", "reason": "Protected", "message": "",
        "observedGeneration": 1, "lastTransitionTime": "2026-11-18T10:00:00Z",
    }]}});
    for (object, is_active) in [
        (contained(&json!({})), true),
        (json!({}), false),
        (refused, false),
    ] {
        let scene = Scene::automatic().await;
        scene.quarantine(&web(), &object);
        assert_eq!(quarantine::is_active(&scene.context, &web()), is_active);
        let number = quarantine::active(&scene.context);
        assert_eq!(number, usize::from(is_active));
    }
}

const WORKLOAD: &str = "/apis/apps/v1/namespaces/web/deployments/a";

/// The Application `shop` of Argo CD, which has deployed one workload into `web`.
async fn of_argo_cd(protected: &[&str]) -> (Scene, ReleaseId) {
    let protected = protected.iter().map(|&name| name.to_owned()).collect();
    let settings = Some(ContainmentSettings { protected });
    let scene = Scene::with(settings, Mandate::Alone).await;
    let resource = json!({
        "group": "apps", "version": "v1", "kind": "Deployment", "namespace": "web", "name": "a",
    });
    scene.cluster.put(
        "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/shop",
        json!({
            "metadata": {"namespace": "argocd", "name": "shop", "uid": "app"},
            "spec": {"destination": {"namespace": "web"}},
            "status": {"controllerNamespace": "argocd", "resources": [resource]},
        }),
    );
    scene.cluster.put(
        WORKLOAD,
        json!({
            "metadata": {"namespace": "web", "name": "a", "uid": "w", "annotations": {
                "argocd.argoproj.io/tracking-id": "shop:apps/Deployment:web/a",
            }},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "a"}}},
        }),
    );
    (scene, id("argocd", "argocd.shop"))
}

#[tokio::test]
async fn nothing_is_changed_in_a_protected_namespace_that_an_application_deploys_into() {
    for (protected, replicas) in [(&[][..], 0), (&["web"][..], 3), (&["bank"][..], 0)] {
        let (scene, shop) = of_argo_cd(protected).await;
        scene.quarantine(&shop, &by_a_person(json!({})));
        let looked = quarantine::reconcile(&scene.context, &shop).await;
        looked.unwrap();
        let workload = scene.cluster.find(WORKLOAD).unwrap();
        assert_eq!(workload["spec"]["replicas"], replicas, "{protected:?}");
    }
}

#[tokio::test]
async fn what_its_policy_begins_is_about_the_incident_that_the_policy_names() {
    let (scene, shop) = of_argo_cd(&[]).await;
    scene.declare(&json!({}));
    let meta = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/shop";
    assert!(scene.cluster.find(meta).is_some());
    scene.install(&shop, Driver::Secret);
    scene.judge(&shop, vec![stolen()]);
    scene.quarantine(&shop, &json!({}));
    let looked = quarantine::reconcile(&scene.context, &shop).await;
    looked.unwrap();
    let object = scene.cluster.find(&quarantine_of(&shop)).unwrap();
    assert_eq!(object["status"]["incident"], incident());
}

#[tokio::test]
async fn what_the_server_cannot_put_back_is_tried_again_soon() {
    let (scene, shop) = of_argo_cd(&[]).await;
    scene.quarantine(&shop, &by_a_person(json!({})));
    quarantine::reconcile(&scene.context, &shop).await.unwrap();
    let mut object = scene.cluster.find(&quarantine_of(&shop)).unwrap();
    object["metadata"]["deletionTimestamp"] = json!("2026-11-18T10:00:00Z");
    scene.cluster.put(&quarantine_of(&shop), object);
    scene
        .cluster
        .refuse("PATCH", "/deployments/a", (500, "InternalError"));
    let task = Task::Quarantine(shop.clone());
    scene.context.queue.forget(&task);
    let before = Instant::now();
    quarantine::reconcile(&scene.context, &shop).await.unwrap();
    let soon = Duration::from_secs(2);
    assert!(is_due_after(&scene, &task, before, soon));
    let workload = scene.cluster.find(WORKLOAD).unwrap();
    assert_eq!(workload["spec"]["replicas"], 0);
    assert!(scene.cluster.find(&quarantine_of(&shop)).is_some());
}

#[tokio::test]
async fn one_that_another_replica_has_made_is_no_error_and_a_refusal_is_one() {
    let scene = Scene::automatic().await;
    scene
        .cluster
        .put(&quarantine_of(&web()), json!({"metadata": {"name": "web"}}));
    assert_eq!(decided(&scene).await, [START]);

    let scene = Scene::automatic().await;
    scene
        .cluster
        .refuse("POST", "/quarantines", (403, "Forbidden"));
    let trust = scene.context.world.trust();
    let decided = containment::decide(&scene.context, POLICY, &trust.policies[POLICY]).await;
    assert_eq!(
        decided.unwrap_err().to_string(),
        "failed to create a Quarantine"
    );
}

#[tokio::test]
async fn objects_of_others_are_written_only_by_a_leader_that_may_contain() {
    let (given, mandate) = watch::channel(None);
    for (containment, is_led, may) in [
        (true, true, true),
        (true, false, false),
        (false, true, false),
        (false, false, false),
    ] {
        given.send_replace(is_led.then(|| Instant::now() + HOUR));
        let settings = containment.then(ContainmentSettings::default);
        let scene = Scene::with(settings, Mandate::Elected(mandate.clone())).await;
        assert_eq!(scene.context.may_write(), may, "{containment} {is_led}");
    }
}

#[tokio::test]
async fn a_replica_that_leads_no_more_brings_nothing_further() {
    let (given, mandate) = watch::channel(Some(Instant::now() + HOUR));
    let settings = Some(ContainmentSettings::default());
    let scene = Scene::with(settings, Mandate::Elected(mandate)).await;
    scene.quarantine(&web(), &by_a_person(json!({})));
    given.send_replace(None);
    let looked = quarantine::reconcile(&scene.context, &web()).await;
    assert!(looked.is_err());
    assert_eq!(scene.of_quarantines(), NOTHING);
    given.send_replace(Some(Instant::now() + HOUR));
    quarantine::reconcile(&scene.context, &web()).await.unwrap();
    assert_eq!(scene.of_quarantines(), [TELL]);
}

#[tokio::test]
async fn a_quarantine_that_began_lasts_while_it_is_not_trusted_again() {
    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &contained(&json!({})));
    let steps = looked(&scene).await;
    assert!(!steps.contains(&END.to_owned()), "{steps:?}");
    let unknown = Verdict::Unknown(Cause::SourceUnavailable);
    let unsigned = Verdict::Untrusted(Reason::SignerNotTrusted);
    for verdict in [unknown, unsigned] {
        scene.judge(&web(), vec![said(verdict)]);
        assert!(!looked(&scene).await.contains(&END.to_owned()), "{verdict}");
    }
    // Nor because its policy does not apply any more.
    let mut other = said(TRUSTED);
    other.policy = "other".to_owned();
    scene.judge(&web(), vec![other]);
    assert!(!looked(&scene).await.contains(&END.to_owned()));
    // Nor because its policy asks for it no more, or is suspended.
    scene.declare(&json!({"approval": "Manual"}));
    scene.judge(&web(), vec![stolen()]);
    assert!(!looked(&scene).await.contains(&END.to_owned()));
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
        remember(&scene, |ledger| {
            ledger.note_active(&of_revocation(), &web());
        });
        scene.quarantine(&web(), &contained(&json!({})));
        change(&scene);
        assert_eq!(looked(&scene).await, [TELL, END]);
        let object = scene.cluster.find(&quarantine_of(&web())).unwrap();
        assert_eq!(object["status"]["endedBy"], ended);
        let last = scene.cluster.writes().pop().unwrap();
        assert_eq!(last.body["preconditions"], json!({"uid": UID}), "{ended}");
        let ledger = remembered(&scene).await;
        assert!(!ledger.was_active(&of_revocation(), &web()), "{ended}");
        assert!(!ledger.is_released(&of_revocation(), &web()), "{ended}");
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
            remember(scene, |ledger| {
                ledger.note_released(&of_revocation(), &web());
            });
        }),
    ];
    for (why, change) in cases {
        let scene = Scene::automatic().await;
        scene.quarantine(&web(), &json!({}));
        change(&scene);
        assert_eq!(looked(&scene).await, [TELL, END], "{why}");
        let object = scene.cluster.find(&quarantine_of(&web())).unwrap();
        assert_eq!(object["status"]["endedBy"], "Withdrawn", "{why}");
    }
}

#[tokio::test]
async fn what_was_begun_to_end_is_ended_whatever_is_said_by_then() {
    let scene = Scene::automatic().await;
    let ended = contained(&json!({"status": {"endedBy": "TrustReturned"}}));
    scene.quarantine(&web(), &ended);
    assert_eq!(looked(&scene).await, [END]);
}

#[tokio::test]
async fn nothing_ends_or_begins_by_what_cannot_be_found_out() {
    let cases: [Case; 3] = [
        ("not judged", |scene| {
            let world = &scene.context.world;
            world.update(&web(), |release| release.judgement = None);
        }),
        ("to be judged again", |scene| {
            let world = &scene.context.world;
            world.update(&web(), |release| release.judgings.ask());
        }),
        ("a key is being taken in", |scene| {
            std::mem::forget(scene.context.world.change());
        }),
    ];
    for (why, change) in cases {
        let scene = Scene::automatic().await;
        scene.quarantine(&web(), &contained(&json!({})));
        scene.judge(&web(), vec![said(TRUSTED)]);
        change(&scene);
        assert!(!looked(&scene).await.contains(&END.to_owned()), "{why}");

        let scene = Scene::automatic().await;
        scene.quarantine(&web(), &json!({}));
        change(&scene);
        assert_eq!(looked(&scene).await, NOTHING, "{why}");
    }
}

#[tokio::test]
async fn a_person_who_began_one_ends_it() {
    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &by_a_person(contained(&json!({}))));
    scene.judge(&web(), vec![said(TRUSTED)]);
    assert!(!looked(&scene).await.contains(&END.to_owned()));
    scene.uninstall(&web());
    assert!(!looked(&scene).await.contains(&END.to_owned()));
}

#[tokio::test]
async fn what_may_not_be_changed_is_told_and_left() {
    for (scene, reason) in [
        (report_only().await, "Disabled"),
        (in_protected_namespace().await, "Protected"),
    ] {
        scene.judge(&web(), vec![said(TRUSTED)]);
        scene.quarantine(&web(), &by_a_person(json!({})));
        assert_eq!(looked(&scene).await, [TELL], "{reason}");
        assert_eq!(active_reason(&scene), reason);
        assert_eq!(looked(&scene).await, [TELL], "{reason}: told once");
    }
}

fn active_reason(scene: &Scene) -> String {
    let object = scene.cluster.find(&quarantine_of(&web())).unwrap();
    let conditions = object["status"]["conditions"].as_array().unwrap();
    let active = conditions.iter().find(|one| one["type"] == "Active");
    active.unwrap()["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn without_the_switch_nothing_ends() {
    let scene = report_only().await;
    scene.judge(&web(), vec![said(TRUSTED)]);
    scene.quarantine(&web(), &json!({}));
    assert_eq!(looked(&scene).await, [TELL]);
    assert_eq!(active_reason(&scene), "Disabled");
}

#[tokio::test]
async fn one_that_can_never_begin_ends_in_a_protected_namespace() {
    let scene = in_protected_namespace().await;
    scene.judge(&web(), vec![stolen()]);
    scene.quarantine(&web(), &json!({}));
    assert_eq!(looked(&scene).await, [TELL, END]);
    let object = scene.cluster.find(&quarantine_of(&web())).unwrap();
    assert_eq!(object["status"]["endedBy"], "Withdrawn");
}

#[tokio::test]
async fn what_was_contained_before_its_namespace_was_protected_lasts_until_trust_returns() {
    let scene = in_protected_namespace().await;
    scene.judge(&web(), vec![stolen()]);
    scene.quarantine(&web(), &contained(&json!({})));
    assert_eq!(looked(&scene).await, [TELL]);
    assert_eq!(active_reason(&scene), "Protected");
    scene.judge(&web(), vec![said(TRUSTED)]);
    assert_eq!(looked(&scene).await, [TELL, TELL, END]);
}

async fn in_protected_namespace() -> Scene {
    let protected = ContainmentSettings {
        protected: vec!["shop".to_owned()],
    };
    let scene = Scene::with(Some(protected), Mandate::Alone).await;
    scene.declare(&json!({}));
    scene.install(&web(), Driver::Secret);
    scene
}

#[tokio::test]
async fn one_that_is_gone_at_its_end_has_ended_and_a_refusal_is_tried_again() {
    let ended = contained(&json!({"status": {"endedBy": "TrustReturned"}}));
    for (refusal, is_good) in [((404, "NotFound"), true), ((403, "Forbidden"), false)] {
        let scene = Scene::automatic().await;
        scene.quarantine(&web(), &ended);
        scene.cluster.refuse("DELETE", "/quarantines", refusal);
        let looked = quarantine::reconcile(&scene.context, &web()).await;
        assert_eq!(looked.is_ok(), is_good, "{refusal:?}");
    }
}

#[tokio::test]
async fn one_that_the_watch_does_not_show_or_the_server_does_not_have_is_left() {
    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &contained(&json!({})));
    scene.context.mirrors.quarantines.set(web(), None);
    assert_eq!(looked(&scene).await, NOTHING);

    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &contained(&json!({})));
    scene
        .cluster
        .refuse("GET", "/quarantines/", (404, "NotFound"));
    assert_eq!(looked(&scene).await, NOTHING);
}

#[tokio::test]
async fn a_person_s_word_is_remembered_before_anything_is_put_back() {
    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &being_deleted(&json!({})));
    scene
        .cluster
        .refuse("POST", "/configmaps", (500, "InternalError"));
    let looked = quarantine::reconcile(&scene.context, &web()).await;
    assert!(looked.is_err());
    assert_eq!(scene.of_quarantines(), NOTHING);
}

#[tokio::test]
async fn who_has_ended_one_is_remembered_for_every_incident_that_it_is_in() {
    let later = Revocation::certificate(&of_revocation().fingerprint, "1a7e");
    // Begun by a revocation that the verdict does not name any more.
    let incident = Ledger::default().incident(&later);
    let both = json!({"status": {"incident": incident}});
    let scene = Scene::automatic().await;
    let stays = json!({"metadata": {"name": "shop"}});
    scene.cluster.put("/api/v1/namespaces/shop", stays);
    scene.quarantine(&web(), &being_deleted(&both));
    assert_eq!(looked(&scene).await, [FREE]);
    let ledger = remembered(&scene).await;
    assert!(ledger.is_released(&later, &web()));
    assert!(ledger.is_released(&of_revocation(), &web()));
    assert_eq!(scene.cluster.find(&quarantine_of(&web())), None);

    // We ended it: it may begin again.
    let scene = Scene::automatic().await;
    remember(&scene, |ledger| {
        ledger.note_active(&of_revocation(), &web());
    });
    let by_us = json!({"status": {"endedBy": "TrustReturned"}});
    scene.quarantine(&web(), &being_deleted(&by_us));
    assert_eq!(looked(&scene).await, [FREE]);
    let ledger = remembered(&scene).await;
    assert!(!ledger.is_released(&of_revocation(), &web()));
    assert!(!ledger.was_active(&of_revocation(), &web()));
}

#[tokio::test]
async fn one_without_our_finalizer_is_none_of_ours() {
    let scene = Scene::automatic().await;
    let of_others = json!({"metadata": {"finalizers": ["example.com/other"]}});
    scene.quarantine(&web(), &being_deleted(&of_others));
    assert_eq!(looked(&scene).await, NOTHING);
    assert_eq!(
        scene.cluster.writes().len(),
        0,
        "nobody's word is remembered"
    );
}

#[tokio::test]
async fn one_that_goes_with_its_namespace_was_ended_by_nobody() {
    let goes = json!({"metadata": {
        "name": "shop", "deletionTimestamp": "2026-11-18T10:00:00Z",
    }});
    for containment in [Some(ContainmentSettings::default()), None] {
        let scene = Scene::with(containment, Mandate::Alone).await;
        scene.judge(&web(), vec![stolen()]);
        scene.cluster.put("/api/v1/namespaces/shop", goes.clone());
        remember(&scene, |ledger| {
            ledger.note_active(&of_revocation(), &web());
        });
        scene.quarantine(&web(), &being_deleted(&json!({})));
        assert_eq!(looked(&scene).await, [FREE]);
        let ledger = remembered(&scene).await;
        assert!(!ledger.is_released(&of_revocation(), &web()));
        assert!(!ledger.was_active(&of_revocation(), &web()));
    }
}

#[tokio::test]
async fn without_the_switch_what_was_changed_keeps_its_way_back() {
    let scene = report_only().await;
    scene.quarantine(&web(), &being_deleted(&json!({})));
    assert_eq!(looked(&scene).await, [TELL]);
    let object = scene.cluster.find(&quarantine_of(&web())).unwrap();
    assert_eq!(object["metadata"]["finalizers"], json!([FINALIZER]));

    // Nothing was changed, so nothing is lost.
    let scene = report_only().await;
    let untouched = json!({"status": {"incident": null}});
    scene.quarantine(&web(), &being_deleted(&untouched));
    assert_eq!(looked(&scene).await, [FREE]);
}

/// What is remembered once what is in force was taken in.
async fn taken_in(scene: &Scene) -> Ledger {
    ledger::reconcile(&scene.context).await.unwrap();
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
            "nobody knows whether it is in force",
            contained(&json!({"status": {"conditions": []}})),
        ),
    ] {
        let scene = Scene::automatic().await;
        scene.quarantine(&web(), &changes);
        assert_eq!(taken_in(&scene).await, Ledger::default(), "{why}");
    }

    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &contained(&json!({})));
    ledger::note_ended(&scene.context, &web(), UID)
        .await
        .unwrap();
    assert_eq!(taken_in(&scene).await, Ledger::default(), "the watch lags");

    let scene = report_only().await;
    scene.quarantine(&web(), &contained(&json!({})));
    assert_eq!(
        taken_in(&scene).await,
        Ledger::default(),
        "without the switch"
    );

    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &contained(&json!({})));
    let _change = scene.context.world.change();
    assert_eq!(
        taken_in(&scene).await,
        Ledger::default(),
        "a key is being taken in"
    );
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
    remember(&scene, |ledger| {
        ledger.note_released(&of_revocation(), &forum());
    });
    scene.quarantine(&web(), &contained(&json!({})));
    let ledger = taken_in(&scene).await;
    assert!(ledger.is_released(&of_revocation(), &forum()));
    assert!(ledger.was_active(&of_revocation(), &web()));

    let before = scene.cluster.writes().len();
    taken_in(&scene).await;
    assert_eq!(
        scene.cluster.writes().len(),
        before,
        "nothing new, nothing written"
    );
}
