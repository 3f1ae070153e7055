//! Where anything may be written at all.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::sync::watch;

use super::{
    HOUR, NOTHING, TELL, TRUSTED, WORKLOAD, active_reason, being_deleted, by_a_person, contained,
    in_protected_namespace, incident, is_due_after, of_argo_cd, reconciled, report_only,
};
use crate::api::quarantine::QuarantineStatus;
use crate::clock::{Moment, tick};
use crate::controllers::context::QuarantineSettings;
use crate::controllers::quarantine;
use crate::controllers::quarantine::scope::{self, Containment};
use crate::controllers::task::Task;
use crate::controllers::testing::{Scene, quarantine_of, said, stolen, web};
use crate::inventory::helm::Driver;
use crate::leader::Leadership;

#[tokio::test]
async fn a_quarantine_is_looked_at_again() {
    let task = Task::Quarantine(web());
    let [soon, later] = [2, 30].map(Duration::from_secs);
    let before = tick();
    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &contained(&json!({})));
    reconciled(&scene).await;
    assert!(is_due_after(&scene, &task, before, later), "in force");

    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &json!({}));
    let store = &scene.context.store;
    store.update(&web(), |release| release.judgement = None);
    reconciled(&scene).await;
    assert!(is_due_after(&scene, &task, before, soon), "not judged yet");

    let scene = in_protected_namespace().await;
    scene.judge(&web(), vec![stolen()]);
    scene.quarantine(&web(), &contained(&json!({})));
    reconciled(&scene).await;
    assert!(is_due_after(&scene, &task, before, later), "protected");
}

/// Each look asks the API server a dozen questions, and the watch tells what we write as well.
#[tokio::test]
async fn what_a_look_has_written_is_no_reason_for_another() {
    let scene = Scene::automatic().await;
    let (context, task) = (&scene.context, Task::Quarantine(web()));
    let is_looked_at = || {
        context.queues.tasks.forget(&task);
        quarantine::look_unless_ours(context, &web());
        context.queues.tasks.due_at(&task).is_some()
    };
    let show = || {
        let object = scene.cluster.find(&quarantine_of(&web())).unwrap();
        let object = serde_json::from_value(object).unwrap();
        context.cache.quarantines.set(web(), Some(Ok(object)));
    };
    scene.quarantine(&web(), &json!({}));
    assert!(is_looked_at(), "nobody has looked yet");
    assert!(!reconciled(&scene).await.is_empty());
    assert!(!is_looked_at(), "the watch lags");
    show();
    assert!(!is_looked_at(), "it is what we have written");
    let change = json!({"metadata": {"annotations": {"example.com/asked": "1"}}});
    let mut object = scene.cluster.find(&quarantine_of(&web())).unwrap();
    json_patch::merge(&mut object, &change);
    scene.cluster.put(&quarantine_of(&web()), object);
    show();
    assert!(is_looked_at(), "somebody else has written");
}

/// Each request of a look is refused in turn: before anything is contained, while it is in force and while it ends. What
/// is not looked after is told where people look, and what is known of it stands.
#[tokio::test]
async fn a_look_that_fails_is_told_and_takes_nothing_back() {
    let requests = [
        ("GET", "/quarantines/web"),
        ("PATCH", "/quarantines/web"),
        ("GET", "/shop/secrets"),
        ("GET", "/shop/deployments"),
        ("GET", "/deployments/web"),
        ("PATCH", "/deployments/web"),
        ("GET", "/helmreleases"),
        ("GET", "/webhookconfigurations"),
        ("GET", "/apiservices"),
        ("GET", "/namespaces"),
        ("GET", "/configmaps"),
    ];
    let ending = json!({"metadata": {"deletionTimestamp": "2026-11-18T11:00:00Z"}});
    let mut failed = Vec::new();
    for (stage, object) in [
        ("it begins", json!({})),
        ("it is in force", contained(&json!({}))),
        ("it ends", contained(&ending)),
    ] {
        for (verb, path) in requests {
            let scene = Scene::automatic().await;
            scene.quarantine(&web(), &object);
            scene.cluster.refuse(verb, path, (403, "Forbidden"));
            let look = async || {
                let shown = scene.cluster.find(&quarantine_of(&web())).unwrap();
                let shown = serde_json::from_value(shown).unwrap();
                scene.context.cache.quarantines.set(web(), Some(Ok(shown)));
                quarantine::reconcile(&scene.context, &web(), Moment::now(), tick()).await
            };
            if look().await.is_ok() {
                continue;
            }
            // A watch has shown meanwhile what was written before that.
            assert!(look().await.is_err());
            let case = format!("{stage}, {verb} {path}");
            let status = scene.cluster.find(&quarantine_of(&web())).unwrap()["status"].clone();
            let conditions = status["conditions"].as_array().unwrap();
            let told = conditions.iter().find(|one| one["type"] == "Reconciling");
            let told = told.unwrap_or_else(|| panic!("{case}: {conditions:?}"));
            assert_eq!(told["reason"], "ProgressingWithRetry", "{case}");
            let message = told["message"].as_str().unwrap();
            assert!(message.ends_with("Forbidden"), "{case}: {message}");
            let ready = conditions.iter().find(|one| one["type"] == "Ready");
            assert_eq!(ready.unwrap()["status"], "False", "{case}");
            let active = conditions.iter().find(|one| one["type"] == "Active");
            let was = &object["status"]["conditions"][0]["status"];
            let is_kept = was.is_null() || active.unwrap()["status"] == *was;
            assert!(is_kept, "{case}: {active:?}");
            let count = scene.cluster.writes().len();
            assert!(look().await.is_err(), "{case}");
            let again = scene.cluster.writes().split_off(count);
            let again = again.iter().filter(|write| write.path.ends_with("/status"));
            assert_eq!(again.count(), 0, "{case}: it is told once");
            failed.push(case);
        }
    }
    assert!(failed.len() > 5, "{failed:?}");
}

/// A finalizer that keeps a Pod for days must not have a quarantine looked at every two seconds.
#[test]
fn pods_that_do_not_end_are_looked_at_ever_more_seldom() {
    let status: QuarantineStatus =
        serde_json::from_value(contained(&json!({}))["status"].clone()).unwrap();
    let begin: Timestamp = "2026-11-18T10:00:00Z".parse().unwrap();
    let waits = [-5, 0, 15, 40, 80, 239, 240, 86_400].map(|age| {
        let now = begin + SignedDuration::from_secs(age);
        quarantine::until_pods_end(&status, now).as_secs()
    });
    assert_eq!(waits, [2, 2, 2, 5, 10, 29, 30, 30]);
    let soon = quarantine::until_pods_end(&QuarantineStatus::default(), begin);
    assert_eq!(soon, Duration::from_secs(2));
}

#[tokio::test]
async fn only_what_is_in_force_counts_as_contained() {
    let not = |reason: &str| {
        json!({"status": {"conditions": [{
            "type": "Active", "status": "False", "reason": reason, "message": "",
            "observedGeneration": 1, "lastTransitionTime": "2026-11-18T10:00:00Z",
        }]}})
    };
    let nothing = |reason: &str| (not(reason), Containment::Nothing(reason.to_owned()));
    for (object, expected) in [
        (contained(&json!({})), Containment::InForce),
        (json!({}), Containment::None),
        (not("Containing"), Containment::None),
        (not("Restoring"), Containment::None),
        nothing("Protected"),
        nothing("ObjectRefused"),
        nothing("ProgressingWithRetry"),
    ] {
        let scene = Scene::automatic().await;
        scene.quarantine(&web(), &object);
        assert_eq!(scope::containment(&scene.context, &web()), expected);
        let number = scope::active(&scene.context);
        assert_eq!(number, usize::from(expected == Containment::InForce));
    }
}

#[tokio::test]
async fn nothing_is_changed_in_a_protected_namespace_that_an_application_deploys_into() {
    for (protected, replicas) in [(&[][..], 0), (&["web"][..], 3), (&["bank"][..], 0)] {
        let (scene, shop) = of_argo_cd(protected).await;
        scene.quarantine(&shop, &by_a_person(json!({})));
        let reconciled =
            quarantine::reconcile(&scene.context, &shop, Moment::now(), crate::clock::tick()).await;
        reconciled.unwrap();
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
    let reconciled =
        quarantine::reconcile(&scene.context, &shop, Moment::now(), crate::clock::tick()).await;
    reconciled.unwrap();
    let object = scene.cluster.find(&quarantine_of(&shop)).unwrap();
    assert_eq!(object["status"]["incident"], incident());
}

#[tokio::test]
async fn objects_of_others_are_written_only_by_a_leader_that_may_contain() {
    let (given, leadership) = watch::channel(None);
    for (is_on, is_led, may) in [
        (true, true, true),
        (true, false, false),
        (false, true, false),
        (false, false, false),
    ] {
        given.send_replace(is_led.then(|| tick() + HOUR));
        let settings = is_on.then(QuarantineSettings::default);
        let scene = Scene::with(settings, Leadership::Elected(leadership.clone())).await;
        assert_eq!(scene.context.may_write(), may, "{is_on} {is_led}");
    }
}

#[tokio::test]
async fn a_replica_that_leads_no_more_brings_nothing_further() {
    let (given, leadership) = watch::channel(Some(tick() + HOUR));
    let settings = Some(QuarantineSettings::default());
    let scene = Scene::with(settings, Leadership::Elected(leadership)).await;
    scene.quarantine(&web(), &by_a_person(json!({})));
    given.send_replace(None);
    let reconciled =
        quarantine::reconcile(&scene.context, &web(), Moment::now(), crate::clock::tick()).await;
    assert!(reconciled.is_err());
    assert_eq!(scene.of_quarantines(), NOTHING);
    given.send_replace(Some(tick() + HOUR));
    quarantine::reconcile(&scene.context, &web(), Moment::now(), crate::clock::tick())
        .await
        .unwrap();
    assert_eq!(scene.of_quarantines(), [TELL]);
}

#[tokio::test]
async fn what_may_not_be_changed_is_told_and_left() {
    for (scene, reason) in [
        (report_only().await, "Disabled"),
        (in_protected_namespace().await, "Protected"),
    ] {
        scene.judge(&web(), vec![said(TRUSTED)]);
        scene.quarantine(&web(), &by_a_person(json!({})));
        assert_eq!(reconciled(&scene).await, [TELL], "{reason}");
        assert_eq!(active_reason(&scene), reason);
        assert_eq!(reconciled(&scene).await, [TELL], "{reason}: told once");
    }
}

/// Whoever may write the status of Quarantines has nothing of another namespace written by that, and
/// learns nothing of it.
#[tokio::test]
async fn a_forged_status_reaches_no_other_namespace_and_tells_nothing_of_it() {
    let forged = |action: &str, api_version: &str, kind: &str| {
        json!({"action": action, "apiVersion": api_version, "kind": kind, "namespace": "bank",
            "name": "vault", "uid": "v", "original": "2", "state": "Planned",
            "owners": r#"[{"manager": "thief", "operation": "Apply", "owned": {}}]"#})
    };
    let objects = json!([
        forged("ScaleToZero", "apps/v1", "Deployment"),
        forged("PauseDeployer", "helm.toolkit.fluxcd.io/v2", "HelmRelease"),
        forged("IsolateNetwork", "networking.k8s.io/v1", "NetworkPolicy"),
    ]);
    for begun in [contained(&json!({})), being_deleted(&json!({}))] {
        let scene = Scene::automatic().await;
        for (place, spec) in [
            (
                "apps/v1/namespaces/bank/deployments",
                json!({"replicas": 7_171_717}),
            ),
            (
                "helm.toolkit.fluxcd.io/v2/namespaces/bank/helmreleases",
                json!({"suspend": "secret"}),
            ),
            (
                "networking.k8s.io/v1/namespaces/bank/networkpolicies",
                json!({"podSelector": {"matchLabels": {"app": "secret"}}}),
            ),
        ] {
            let owned = json!({"f:spec": {"f:replicas": {}, "f:suspend": {}, "f:policyTypes": {}}});
            let object = json!({"spec": spec, "metadata": {
                "namespace": "bank", "name": "vault", "uid": "v",
                // As if another quarantine were about to put it back.
                "managedFields": [{"manager": "charttrust", "operation": "Update", "fieldsV1": owned}],
            }});
            scene.cluster.put(&format!("/apis/{place}/vault"), object);
        }
        let mut object = begun.clone();
        object["status"]["objects"] = objects.clone();
        scene.quarantine(&web(), &object);
        let _ = quarantine::reconcile(&scene.context, &web(), Moment::now(), crate::clock::tick())
            .await;
        let written = scene.cluster.writes();
        let far: Vec<_> = written
            .iter()
            .filter(|one| one.path.contains("/bank/"))
            .collect();
        assert!(far.is_empty(), "{far:#?}");
        assert!(!written.is_empty(), "{begun}");
        let told = written.iter().map(|one| one.body.to_string());
        let told: String = told.collect();
        for secret in ["7171717", "secret", "its annotation"] {
            assert!(!told.contains(secret), "{secret}: {told}");
        }
    }
}
