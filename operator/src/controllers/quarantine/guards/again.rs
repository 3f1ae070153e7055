//! What becomes of what a policy has decided: when it decides again, what it writes, what it tells.

use std::time::Duration;

use serde_json::json;

use super::{
    Case, HOUR, NOTHING, START, TRUSTED, decided, declared, forum, is_due_after, outcomes, waiting,
};
use crate::clock::{Moment, tick};
use crate::controllers::policy;
use crate::controllers::quarantine::start;
use crate::controllers::store::shown::Shown;
use crate::controllers::store::{Outcomes, Waiting};
use crate::controllers::task::Task;
use crate::controllers::testing::{POLICY, Scene, id, quarantine_of, said, stolen, web};
use crate::inventory::helm::Driver;

#[tokio::test]
async fn what_was_decided_is_written_to_the_policy() {
    let scene = Scene::automatic().await;
    let path = declared(&scene);
    decided(&scene).await;
    let moment = Moment::now();
    policy::write_status(&scene.context, POLICY, moment)
        .await
        .unwrap();
    assert_eq!(scene.of_quarantines(), [START]);
    let written = scene.cluster.find(&path).unwrap();
    let counts = json!({"active": 1, "waiting": 0, "stopped": 0});
    assert_eq!(written["status"]["quarantine"], counts);
}

#[tokio::test]
async fn what_is_bad_anew_has_to_be_so_for_the_whole_time() {
    let scene = Scene::automatic().await;
    scene.declare(&json!({"after": "1h"}));
    let since = || {
        let release = scene.context.store.release(&web()).unwrap();
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
    let release = scene.context.store.release(&web()).unwrap();
    assert!(!release.decisions.contains_key(POLICY));
}

#[tokio::test]
async fn a_policy_decides_again_when_time_alone_makes_something_due() {
    let task = Task::Decide(POLICY.to_owned());
    let before = tick();
    let scene = Scene::automatic().await;
    scene.declare(&json!({"after": "1h"}));
    decided(&scene).await;
    assert!(is_due_after(&scene, &task, before, HOUR));

    let scene = Scene::automatic().await;
    scene.install(&forum(), Driver::Secret);
    decided(&scene).await;
    assert!(scene.context.queues.tasks.due_at(&task).is_some());

    let scene = Scene::automatic().await;
    decided(&scene).await;
    assert_eq!(scene.context.queues.tasks.due_at(&task), None);
}

#[tokio::test]
async fn what_has_been_bad_for_long_enough_is_due() {
    let scene = Scene::automatic().await;
    scene.declare(&json!({"after": "1h"}));
    assert_eq!(decided(&scene).await, NOTHING);
    scene.declare(&json!({"after": "5s"}));
    scene.context.store.update(&web(), |release| {
        let since = tick().checked_sub(Duration::from_secs(6)).unwrap();
        release.bad_since.insert(POLICY.to_owned(), since);
    });
    assert_eq!(decided(&scene).await, [START]);
}

#[tokio::test]
async fn a_release_is_shown_anew_when_what_was_decided_is_news() {
    let task = Task::Release(web());
    let is_shown = |scene: &Scene| {
        let is_due = scene.context.queues.tasks.due_at(&task).is_some();
        scene.context.queues.tasks.forget(&task);
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
    scene
        .context
        .cache
        .trusts
        .set(web(), Some(Shown::of(Ok(shown))));
    scene.judge(&web(), vec![said(TRUSTED)]);
    decided(&scene).await;
    assert!(is_shown(&scene));
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
    let decided = start::reconcile(&scene.context, POLICY, Moment::now()).await;
    assert_eq!(
        decided.unwrap_err().to_string(),
        "failed to create a Quarantine"
    );
}

/// Never say trusted without proof, and say what was not done.
#[tokio::test]
async fn whatever_refuses_a_quarantine_the_policy_s_status_tells_the_truth() {
    let refusals: [(&str, &str, Case); 3] = [
        (
            "POST",
            "/namespaces/shop/quarantines",
            ("its namespace is terminating", |_| ()),
        ),
        (
            "GET",
            "/configmaps",
            ("what is remembered cannot be read", |_| ()),
        ),
        (
            "GET",
            "/configmaps",
            ("nor for two releases", |scene| {
                scene.install(&forum(), Driver::Secret);
                scene.judge(&forum(), vec![stolen()]);
            }),
        ),
    ];
    for (verb, path, (why, change)) in refusals {
        let scene = Scene::automatic().await;
        change(&scene);
        let policy = declared(&scene);
        scene.cluster.refuse(verb, path, (403, "Forbidden"));
        let task = Task::PolicyStatus(POLICY.to_owned());
        scene.context.queues.tasks.forget(&task);
        let decided = start::reconcile(&scene.context, POLICY, Moment::now()).await;
        assert!(decided.is_err(), "{why}: it is tried again");
        assert!(scene.context.queues.tasks.due_at(&task).is_some(), "{why}");
        let moment = Moment::now();
        policy::write_status(&scene.context, POLICY, moment)
            .await
            .unwrap();
        let status = scene.cluster.find(&policy).unwrap()["status"].clone();
        let conditions = status["conditions"].as_array().unwrap();
        let find = |type_: &str| conditions.iter().find(|one| one["type"] == type_).unwrap();
        assert_eq!(find("Compliant")["status"], "False", "{why}");
        assert_eq!(find("QuarantineStopped")["reason"], "StartFailed", "{why}");
        let said = find("QuarantineStopped")["message"].as_str().unwrap();
        assert!(
            said.contains("shop/") && said.contains("web"),
            "{why}: {said}"
        );
        assert_eq!(status["quarantine"]["active"], 0, "{why}");
        assert_ne!(status["quarantine"]["stopped"], 0, "{why}");
    }
}

#[tokio::test]
async fn one_that_is_refused_holds_nobody_else_up() {
    let scene = Scene::automatic().await;
    scene.install(&id("bank", "api"), Driver::Secret);
    scene.judge(&id("bank", "api"), vec![stolen()]);
    scene
        .cluster
        .refuse("POST", "/namespaces/bank/quarantines", (403, "Forbidden"));
    let decided = start::reconcile(&scene.context, POLICY, Moment::now()).await;
    assert!(decided.is_err());
    assert!(scene.cluster.find(&quarantine_of(&web())).is_some());
    let outcomes = outcomes(&scene);
    assert_eq!(outcomes.active, 1);
    assert_eq!(
        outcomes.failed.keys().collect::<Vec<_>>(),
        [&id("bank", "api")]
    );
}
