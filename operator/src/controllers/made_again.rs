//! What becomes of our kinds when others delete them, edit them or make them again.

use std::sync::Arc;

use charttrust_verify::verdict::Cause;
use serde_json::{Value, json};

use crate::api::{REQUESTED_AT, TrustedKey};
use crate::clock::Moment;
use crate::controllers::store::Revision;
use crate::controllers::store::shown::Shown;
use crate::controllers::testing::{POLICY, Scene, quarantine_of, web};
use crate::controllers::{key, policy, quarantine, release};
use crate::inventory::helm::Driver;
use crate::inventory::{Mark, RecordId};

const TRUST: &str = "/apis/charttrust.io/v1alpha1/namespaces/shop/releasetrusts/web";
const DECLARED: &str = "/apis/charttrust.io/v1alpha1/charttrustpolicies/strict";

/// What others do to an object at a path.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Delete,
    Edit,
    Recreate,
}

const DEEDS: [Deed; 3] = [Deed::Delete, Deed::Edit, Deed::Recreate];

fn done(scene: &Scene, deed: Deed, path: &str) {
    let before = scene.cluster.find(path).unwrap();
    match deed {
        Deed::Delete => scene.cluster.remove(path),
        Deed::Edit => {
            let mut object = before;
            object["status"]["conditions"] = json!([]);
            scene.cluster.put(path, object);
        }
        Deed::Recreate => {
            scene.cluster.remove(path);
            let mut object = before;
            object["status"] = Value::Null;
            object["metadata"]["uid"] = json!("another");
            scene.cluster.put(path, object);
        }
    }
}

/// The watch shows the `ReleaseTrust` as it is on the server, and the release is looked at.
async fn seen(scene: &Scene) {
    scene.context.cache.trusts.set(web(), shown(scene));
    scene.context.trust_changed(&web());
    let moment = Moment::now();
    release::reconcile(&scene.context, &web(), moment)
        .await
        .unwrap();
}

fn shown(scene: &Scene) -> Option<Shown> {
    let object = scene.cluster.find(TRUST)?;
    Some(Shown::of(
        serde_json::from_value(object).map_err(|e| e.to_string()),
    ))
}

fn words(object: Option<Value>) -> Vec<String> {
    let conditions = object.unwrap_or_default()["status"]["conditions"].clone();
    let all = conditions.as_array().cloned().unwrap_or_default();
    let word = |one: &Value| format!("{} {}", one["type"], one["reason"]);
    all.iter().map(word).collect()
}

fn events(scene: &Scene, reason: &str) -> usize {
    let all = scene.cluster.writes().into_iter();
    let events = all.filter(|write| write.path.ends_with("/events"));
    events
        .filter(|write| write.body["reason"] == reason)
        .count()
}

/// Never say trusted without proof, and never say nothing where there was something.
#[tokio::test]
async fn a_release_trust_comes_back_whatever_others_do_to_it() {
    for first in DEEDS {
        for second in DEEDS {
            let scene = Scene::automatic().await;
            seen(&scene).await;
            let expected = words(scene.cluster.find(TRUST));
            assert_ne!(expected, Vec::<String>::new());
            for deed in [first, second] {
                seen(&scene).await;
                done(&scene, deed, TRUST);
                seen(&scene).await;
                assert_eq!(
                    words(scene.cluster.find(TRUST)),
                    expected,
                    "{first:?} {second:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn that_somebody_has_deleted_one_is_reported_once() {
    let scene = Scene::automatic().await;
    for _ in 0..3 {
        seen(&scene).await;
    }
    assert_eq!(events(&scene, "ReleaseTrustDeleted"), 0);
    scene.cluster.remove(TRUST);
    for _ in 0..3 {
        seen(&scene).await;
    }
    assert_eq!(events(&scene, "ReleaseTrustDeleted"), 1);
}

#[tokio::test]
async fn evidence_that_somebody_else_writes_is_reported_while_we_run() {
    let scene = Scene::automatic().await;
    seen(&scene).await;
    let mut object = scene.cluster.find(TRUST).unwrap();
    object["status"]["release"] = json!({
        "driver": "Secret", "revision": 1, "chart": "web", "version": "1.0.0",
        "owner": "Helm", "resourceVersion": "1",
    });
    object["status"]["evidence"] = json!({"content": "", "sources": [], "tag": "forged"});
    scene.cluster.put(TRUST, object);
    seen(&scene).await;
    seen(&scene).await;
    assert_eq!(events(&scene, "EvidenceRejected"), 1);
}

#[tokio::test]
async fn what_was_written_is_kept_once_as_soon_as_the_watch_shows_it() {
    let scene = Scene::automatic().await;
    seen(&scene).await;
    let is_once = || {
        let written = scene.context.store.release(&web()).unwrap().written;
        let shown = scene.context.cache.trusts.find(&web()).unwrap();
        Arc::ptr_eq(&written.unwrap().status, &shown)
    };
    // Before the first write there was none to show.
    scene.context.cache.trusts.set(web(), shown(&scene));
    assert!(!is_once());
    scene.context.trust_changed(&web());
    assert!(is_once());
    let mut object = scene.cluster.find(TRUST).unwrap();
    object["metadata"]["annotations"] = json!({"charttrust.io/requestedAt": "now"});
    scene.cluster.put(TRUST, object);
    scene.context.cache.trusts.set(web(), shown(&scene));
    scene.context.trust_changed(&web());
    assert!(!is_once(), "it is another's");
}

#[tokio::test]
async fn one_whose_last_record_goes_is_not_missed() {
    let scene = Scene::automatic().await;
    seen(&scene).await;
    seen(&scene).await;
    scene.uninstall(&web());
    seen(&scene).await;
    assert_eq!(scene.cluster.find(TRUST), None);
    scene.install(&web(), Driver::Secret);
    seen(&scene).await;
    assert_eq!(events(&scene, "ReleaseTrustDeleted"), 0);
}

/// Whether the operator runs while others do something, or finds it when it comes back.
#[derive(Clone, Copy, Debug)]
enum Power {
    Running,
    Stopped,
}

#[tokio::test]
async fn a_release_trust_comes_back_though_the_operator_was_stopped() {
    for deed in DEEDS {
        let scene = Scene::automatic().await;
        seen(&scene).await;
        let expected = words(scene.cluster.find(TRUST));
        done(&scene, deed, TRUST);
        let scene = scene.restarted().await;
        seen(&scene).await;
        assert_eq!(words(scene.cluster.find(TRUST)), expected, "{deed:?}");
    }
}

const KEY: &str = "/apis/charttrust.io/v1alpha1/trustedkeys/platform";

/// The watch shows the key as it is on the server; it is read, and its status is written.
async fn seen_key(scene: &Scene) {
    let object = scene.cluster.find(KEY);
    let object = object.map(|object| serde_json::from_value(object).unwrap());
    let name = "platform".to_owned();
    scene.context.cache.keys.set(name.clone(), object.map(Ok));
    let moment = Moment::now();
    key::reconcile(&scene.context, &name, moment).await;
    key::write_status(&scene.context, &name, moment)
        .await
        .unwrap();
}

/// A key is written by people: its status comes back with it, and one that comes back without its
/// revocation gives trust back, which is told.
#[tokio::test]
async fn the_status_of_a_key_comes_back_whatever_others_do_to_it() {
    let yaml = include_str!("../../../examples/key-revoked.yaml");
    let revoked: TrustedKey = serde_saphyr::from_multiple(yaml).unwrap().remove(0);
    let mut revoked = serde_json::to_value(revoked).unwrap();
    revoked["metadata"] = json!({"name": "platform", "generation": 1, "uid": "a"});
    for deed in DEEDS {
        for power in [Power::Running, Power::Stopped] {
            let scene = Scene::automatic().await;
            scene.cluster.put(KEY, revoked.clone());
            seen_key(&scene).await;
            let expected = words(scene.cluster.find(KEY));
            assert!(
                expected.iter().any(|word| word.contains("Revoked")),
                "{expected:?}"
            );
            done(&scene, deed, KEY);
            let scene = match power {
                Power::Running => scene,
                Power::Stopped => scene.restarted().await,
            };
            seen_key(&scene).await;
            if let Deed::Delete = deed {
                assert_eq!(scene.cluster.find(KEY), None, "nobody but people makes one");
                scene.cluster.put(KEY, revoked.clone());
                seen_key(&scene).await;
            }
            assert_eq!(
                words(scene.cluster.find(KEY)),
                expected,
                "{deed:?} {power:?}"
            );
            let told = match (deed, power) {
                (_, Power::Running) => 1,
                // What an earlier process has told is not known to this one, if the object does not say so.
                (_, Power::Stopped) => 2,
            };
            assert_eq!(events(&scene, "Compromised"), told, "{deed:?} {power:?}");
        }
    }
}

#[tokio::test]
async fn a_key_that_is_deleted_and_made_again_without_its_revocation_is_told() {
    let scene = Scene::automatic().await;
    let yaml = include_str!("../../../examples/key-revoked.yaml");
    let revoked: TrustedKey = serde_saphyr::from_multiple(yaml).unwrap().remove(0);
    let mut revoked = serde_json::to_value(revoked).unwrap();
    revoked["metadata"] = json!({"name": "platform", "generation": 1, "uid": "a"});
    scene.cluster.put(KEY, revoked.clone());
    seen_key(&scene).await;
    scene.cluster.remove(KEY);
    seen_key(&scene).await;
    let mut innocent = revoked;
    innocent["metadata"]["uid"] = json!("b");
    innocent["spec"]
        .as_object_mut()
        .unwrap()
        .remove("revocation");
    scene.cluster.put(KEY, innocent);
    seen_key(&scene).await;
    assert_eq!(events(&scene, "RevocationWithdrawn"), 1);
}

/// Who deletes a policy while the operator is stopped is answered when it comes back.
#[tokio::test]
async fn a_policy_that_went_while_the_operator_was_stopped_is_told() {
    let scene = Scene::automatic().await;
    seen(&scene).await;
    let mut object = scene.cluster.find(TRUST).unwrap();
    object["status"]["policies"] =
        json!([{"policy": "gone", "verdict": "Trusted", "reason": "SignatureVerified"}]);
    scene.cluster.put(TRUST, object);
    let scene = scene.restarted().await;
    let object = scene.cluster.find(TRUST);
    let object =
        object.map(|object| Shown::of(serde_json::from_value(object).map_err(|e| e.to_string())));
    scene.context.cache.trusts.set(web(), object);
    policy::report_gone(&scene.context).await;
    assert_eq!(events(&scene, "PolicyDeleted"), 1);
}

/// A Quarantine is written by people and by us: whatever becomes of the object, what was contained stays
/// contained, and the status says so again.
#[tokio::test]
async fn a_quarantine_is_told_again_whatever_others_write_into_it() {
    let path = quarantine_of(&web());
    for power in [Power::Running, Power::Stopped] {
        let scene = Scene::automatic().await;
        scene.quarantine(&web(), &json!({"spec": {"policy": null}}));
        quarantine::reconcile(&scene.context, &web(), Moment::now())
            .await
            .unwrap();
        let expected = words(scene.cluster.find(&path));
        assert_ne!(expected, Vec::<String>::new());
        done(&scene, Deed::Edit, &path);
        let scene = match power {
            Power::Running => scene,
            Power::Stopped => scene.restarted().await,
        };
        let object = scene.cluster.find(&path).unwrap();
        let object = serde_json::from_value(object).map_err(|error| error.to_string());
        scene.context.cache.quarantines.set(web(), Some(object));
        quarantine::reconcile(&scene.context, &web(), Moment::now())
            .await
            .unwrap();
        assert_eq!(words(scene.cluster.find(&path)), expected, "{power:?}");
    }
}

/// Policies and keys are written by people: the status comes back with the object.
#[tokio::test]
async fn the_status_of_a_policy_comes_back_whatever_others_do_to_it() {
    for deed in DEEDS {
        let scene = Scene::automatic().await;
        scene.cluster.put(
            DECLARED,
            json!({"apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
                "metadata": {"name": POLICY, "generation": 1,
                    "annotations": {REQUESTED_AT: "now"}}, "spec": {"rules": []}}),
        );
        let seen = async || {
            let object = scene.cluster.find(DECLARED);
            let object =
                object.map(|object| serde_json::from_value(object).map_err(|e| e.to_string()));
            let name = POLICY.to_owned();
            scene.context.cache.policies.set(name, object);
            let moment = Moment::now();
            policy::write_status(&scene.context, POLICY, moment)
                .await
                .unwrap();
        };
        seen().await;
        let expected = words(scene.cluster.find(DECLARED));
        assert_ne!(expected, Vec::<String>::new());
        let declared = scene.cluster.find(DECLARED).unwrap();
        done(&scene, deed, DECLARED);
        seen().await;
        if let Deed::Delete = deed {
            assert_eq!(
                scene.cluster.find(DECLARED),
                None,
                "nobody but people makes one"
            );
            let mut declared = declared;
            declared["status"] = Value::Null;
            scene.cluster.put(DECLARED, declared);
            seen().await;
        }
        assert_eq!(words(scene.cluster.find(DECLARED)), expected, "{deed:?}");
    }
}

/// `kubectl describe` asks for the events of an object's uid.
#[tokio::test]
async fn events_name_the_uid_of_the_object_and_the_pod_that_reports() {
    let scene = Scene::automatic().await;
    scene.context.store.update(&web(), |release| {
        let content = Err((Cause::ReleaseUnreadable, "it is garbage".to_owned()));
        let revision = Revision {
            resource_version: "1".to_owned(),
            content,
            mark: Mark::None,
        };
        let record = RecordId::Helm {
            driver: Driver::Secret,
            revision: 1,
        };
        release.revisions.insert(record, revision);
    });
    seen(&scene).await;
    scene.cluster.remove(TRUST);
    seen(&scene).await;
    let uid = scene.cluster.find(TRUST).unwrap()["metadata"]["uid"].clone();
    let mut all = scene.cluster.writes().into_iter();
    let event = all.rfind(|write| write.path.ends_with("/events"));
    let event = event.unwrap().body;
    assert_eq!(event["regarding"]["kind"], "ReleaseTrust");
    assert_eq!(event["regarding"]["uid"], uid);
    assert_eq!(event["reportingInstance"], "charttrust-0");
}
