//! What becomes of our kinds when others delete them, edit them or make them again.

use std::sync::Arc;
use std::time::Duration;

use charttrust_verify::verdict::Cause;
use serde_json::{Value, json};

use crate::api::REQUESTED_AT;
use crate::clock::Moment;
use crate::controllers::store::Revision;
use crate::controllers::store::shown::Shown;
use crate::controllers::testing::{POLICY, Scene, quarantine_of, web};
use crate::controllers::{identity, key, policy, quarantine, release};
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
    let now = Moment::now();
    // What is not known yet is told once it was not known for a while.
    let later = Moment {
        tick: now.tick + Duration::from_secs(3),
        ..now
    };
    for moment in [now, later] {
        release::reconcile(&scene.context, &web(), moment)
            .await
            .unwrap();
    }
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

/// A signer that people declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signer {
    Identity,
    OpenPgp,
    PublicKey,
}

impl Signer {
    const ALL: [Self; 3] = [Self::Identity, Self::OpenPgp, Self::PublicKey];

    fn path(self) -> &'static str {
        match self {
            Self::Identity => "/apis/charttrust.io/v1alpha1/trustedidentities/platform",
            Self::OpenPgp | Self::PublicKey => "/apis/charttrust.io/v1alpha1/trustedkeys/platform",
        }
    }

    /// Its object, with this word against it.
    fn with(self, revocation: &Value) -> Value {
        let yaml = match self {
            Self::Identity => include_str!("../../../examples/identity-incident.yaml"),
            Self::OpenPgp => include_str!("../../../examples/key-revoked.yaml"),
            Self::PublicKey => include_str!("../../../examples/trusted-key-cosign.yaml"),
        };
        let mut object: Value = serde_saphyr::from_multiple(yaml).unwrap().remove(0);
        object["metadata"] = json!({"name": "platform", "generation": 1, "uid": "a"});
        let spec = object["spec"].as_object_mut().unwrap();
        spec.remove("revocation");
        if !revocation.is_null() {
            spec.insert("revocation".to_owned(), revocation.clone());
        }
        object
    }

    fn stolen(self) -> Value {
        self.with(&json!({"reason": "Compromised"}))
    }

    /// The watch shows it as it is on the server; it is read, and its status is written.
    async fn seen(self, scene: &Scene) {
        let (object, name, moment) = (scene.cluster.find(self.path()), "platform", Moment::now());
        let (cache, context) = (&scene.context.cache, &scene.context);
        let written = if self == Self::Identity {
            let object = object.map(|object| serde_json::from_value(object).unwrap());
            cache.identities.set(name.to_owned(), object.map(Ok));
            identity::reconcile(context, name, moment).await;
            identity::write_status(context, name, moment).await
        } else {
            let object = object.map(|object| serde_json::from_value(object).unwrap());
            cache.keys.set(name.to_owned(), object.map(Ok));
            key::reconcile(context, name, moment).await;
            key::write_status(context, name, moment).await
        };
        written.unwrap();
    }
}

/// Keys and identities are written by people: the status comes back with the object, and that it is revoked is
/// told once.
#[tokio::test]
async fn the_status_of_a_signer_comes_back_whatever_others_do_to_it() {
    let cases = Signer::ALL.map(|signer| DEEDS.map(|deed| (signer, deed)));
    for (signer, deed) in cases.into_iter().flatten() {
        for power in [Power::Running, Power::Stopped] {
            let case = format!("{signer:?} {deed:?} {power:?}");
            let scene = Scene::automatic().await;
            scene.cluster.put(signer.path(), signer.stolen());
            signer.seen(&scene).await;
            let expected = words(scene.cluster.find(signer.path()));
            assert!(
                expected.iter().any(|word| word.contains("Revoked")),
                "{case}: {expected:?}"
            );
            done(&scene, deed, signer.path());
            let scene = match power {
                Power::Running => scene,
                Power::Stopped => scene.restarted().await,
            };
            signer.seen(&scene).await;
            if let Deed::Delete = deed {
                assert_eq!(
                    scene.cluster.find(signer.path()),
                    None,
                    "nobody but people makes one"
                );
                scene.cluster.put(signer.path(), signer.stolen());
                signer.seen(&scene).await;
            }
            assert_eq!(words(scene.cluster.find(signer.path())), expected, "{case}");
            let told = match (deed, power) {
                (_, Power::Running) => 1,
                // What an earlier process has told is not known to this one, if the object does not say so.
                (_, Power::Stopped) => 2,
            };
            assert_eq!(events(&scene, "Compromised"), told, "{case}");
        }
    }
}

/// One that comes back without its revocation gives trust back, which is told.
#[tokio::test]
async fn a_signer_that_is_deleted_and_made_again_without_its_revocation_is_told() {
    for signer in Signer::ALL {
        let scene = Scene::automatic().await;
        scene.cluster.put(signer.path(), signer.stolen());
        signer.seen(&scene).await;
        scene.cluster.remove(signer.path());
        signer.seen(&scene).await;
        let mut innocent = signer.with(&Value::Null);
        innocent["metadata"]["uid"] = json!("b");
        scene.cluster.put(signer.path(), innocent);
        signer.seen(&scene).await;
        assert_eq!(events(&scene, "RevocationWithdrawn"), 1, "{signer:?}");
    }
}

/// What is known of a signer is what stands on the server, whatever it was before: nothing is believed of one that
/// is gone, and nothing is left of an object whose name another has taken.
#[tokio::test]
async fn a_signer_is_known_as_it_stands_whatever_others_do_to_it() {
    let known = |scene: &Scene| {
        let trust = scene.context.store.trust();
        let sigstore = &trust.sigstore;
        let identities = sigstore.identities.iter();
        let identities = identities.map(|one| one.identity.revocation.is_some());
        let public = sigstore
            .keys
            .iter()
            .map(|one| !one.trusted.revocations.is_empty());
        let of_pgp = trust.keys.iter().map(|one| !one.revocations.is_empty());
        [
            identities.collect(),
            of_pgp.collect(),
            public.collect::<Vec<_>>(),
        ]
    };
    let cases = Signer::ALL.map(|before| Signer::ALL.map(|after| (before, after)));
    for (before, after) in cases.into_iter().flatten() {
        let scene = Scene::automatic().await;
        scene.cluster.put(before.path(), before.stolen());
        before.seen(&scene).await;
        let expected = |signer: Signer, is_revoked| {
            Signer::ALL.map(|one| {
                if one == signer {
                    vec![is_revoked]
                } else {
                    Vec::new()
                }
            })
        };
        assert_eq!(known(&scene), expected(before, true), "{before:?}");
        scene.cluster.remove(before.path());
        if before.path() != after.path() {
            before.seen(&scene).await;
            assert_eq!(known(&scene).concat(), [false; 0], "{before:?}");
        }
        // The name may be another's by the time that it is seen.
        let mut other = after.with(&Value::Null);
        other["metadata"]["uid"] = json!("b");
        scene.cluster.put(after.path(), other);
        after.seen(&scene).await;
        assert_eq!(
            known(&scene),
            expected(after, false),
            "{before:?} {after:?}"
        );
    }
}

/// Whoever uses PGP alone needs no trusted root: none is read, and no status speaks of one.
#[tokio::test]
async fn no_root_is_read_and_none_is_told_of_where_keys_are_of_pgp() {
    for signer in Signer::ALL {
        let scene = Scene::automatic().await;
        for object in [signer.with(&Value::Null), signer.stolen()] {
            scene.cluster.put(signer.path(), object);
            signer.seen(&scene).await;
            seen(&scene).await;
        }
        let objects =
            [signer.path(), TRUST].map(|path| scene.cluster.find(path).unwrap()["status"].clone());
        let told = objects.map(|status| status.to_string()).join("\n");
        let is_told = ["trustedRoot", "trusted root", "TrustRoot"]
            .iter()
            .any(|word| told.contains(word));
        let is_of_pgp = signer == Signer::OpenPgp;
        assert_eq!(
            scene.context.store.roots.are_unread(),
            is_of_pgp,
            "{signer:?}"
        );
        assert_eq!(is_told, !is_of_pgp, "{signer:?}: {told}");
    }
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
        quarantine::reconcile(&scene.context, &web(), Moment::now(), crate::clock::tick())
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
        quarantine::reconcile(&scene.context, &web(), Moment::now(), crate::clock::tick())
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
