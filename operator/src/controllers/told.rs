//! What is told by events of changes that come together, come again, or come to many objects.

use std::time::Duration;

use serde_json::json;

use crate::api::TrustedKey;
use crate::clock::{self, Moment};
use crate::controllers::context::QuarantineSettings;
use crate::controllers::quarantine::start;
use crate::controllers::store::shown::Shown;
use crate::controllers::store::{LoadedKey, Reading};
use crate::controllers::task::Task;
use crate::controllers::testing::{POLICY, Scene, id, quarantine_of, signed_revision, web};
use crate::controllers::{policy, release};
use crate::inventory::helm::Driver;
use crate::inventory::{RecordId, ReleaseId};
use crate::leader::Leadership;
use crate::parse;

const KEY: &str = include_str!("../../../examples/key-retiring.yaml");
pub(super) const NOW: &str = "2026-11-22T00:00:00Z";

fn key() -> TrustedKey {
    serde_saphyr::from_multiple(KEY).unwrap().remove(0)
}

/// What somebody applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    Key,
    Policy,
    Release,
}

impl Applied {
    pub(super) fn to(self, scene: &Scene) {
        match self {
            Self::Key => scene
                .context
                .store
                .set_key("platform", Some(loaded(&key())))
                .map_or((), drop),
            Self::Policy => scene.declare_spec(&json!({})),
            Self::Release => install(scene, &web()),
        }
    }
}

fn loaded(object: &TrustedKey) -> LoadedKey {
    let material = object.spec.public_key.inline.clone().unwrap();
    let key = parse::key(object, material.as_bytes()).map(|mut key| {
        key.name = "platform".to_owned();
        key
    });
    LoadedKey {
        reading: Reading {
            generation: 1,
            details: String::new(),
            at: NOW.parse().unwrap(),
        },
        fingerprint: object.spec.fingerprint.parse().ok(),
        revocation: parse::declared_revocation(object),
        refresh: None,
        key,
        remains: parse::Remains::default(),
    }
}

fn install(scene: &Scene, release: &ReleaseId) {
    scene.install(release, Driver::Secret);
    let record = RecordId::Helm {
        driver: Driver::Secret,
        revision: 1,
    };
    scene.context.store.update(release, |known| {
        let key = key().spec.fingerprint.parse().unwrap();
        known
            .revisions
            .insert(record, signed_revision(&key, &[None]))
    });
}

fn stolen() -> TrustedKey {
    let mut object = key();
    let revocation = json!({"reason": "Compromised"});
    object.spec.revocation = serde_json::from_value(revocation).unwrap();
    object
}

pub(super) async fn empty() -> Scene {
    Scene::with(None, Leadership::Alone).await
}

/// The watch shows what is on the server, and the release is judged so much later.
async fn judged(scene: &Scene, release: &ReleaseId, start: tokio::time::Instant, later: Duration) {
    let path = path(release);
    let object = scene.cluster.find(&path);
    let object =
        object.map(|object| Shown::of(serde_json::from_value(object).map_err(|e| e.to_string())));
    scene.context.cache.trusts.set(release.clone(), object);
    scene.context.trust_changed(release);
    let moment = Moment {
        date: NOW.parse().unwrap(),
        tick: start + later,
    };
    // What is refused is tried again.
    let _ = release::reconcile(&scene.context, release, moment).await;
    if is_put_off(scene, release) {
        let _ = release::show(&scene.context, release, moment).await;
    }
}

/// Whether what was found out is written later, and asks for that no more.
fn is_put_off(scene: &Scene, release: &ReleaseId) -> bool {
    let (tasks, task) = (&scene.context.queues.tasks, Task::Show(release.clone()));
    let is_put_off = tasks.due_at(&task).is_some();
    tasks.forget(&task);
    is_put_off
}

pub(super) fn path(release: &ReleaseId) -> String {
    let ReleaseId { namespace, name } = release;
    format!("/apis/charttrust.io/v1alpha1/namespaces/{namespace}/releasetrusts/{name}")
}

pub(super) fn verdict(scene: &Scene, release: &ReleaseId) -> String {
    let object = scene.cluster.find(&path(release)).unwrap_or_default();
    let conditions = object["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let trusted = conditions.iter().find(|one| one["type"] == "Trusted");
    trusted.map_or_else(String::new, |one| {
        one["reason"].as_str().unwrap().to_owned()
    })
}

/// The reasons of the events that the server has taken.
fn events(scene: &Scene) -> Vec<String> {
    let all = scene.cluster.writes().into_iter();
    let created = all.filter(|write| write.path.ends_with("/events"));
    let mut names = std::collections::BTreeSet::new();
    let new = created.filter(|write| names.insert(write.body["metadata"]["name"].to_string()));
    new.map(|write| write.body["reason"].as_str().unwrap().to_owned())
        .collect()
}

/// Never say trusted without proof; and no alarm about half of what somebody applies at once.
#[tokio::test]
async fn what_is_applied_within_a_second_is_told_as_a_whole() {
    use Applied::{Key, Policy, Release};
    for order in [
        [Key, Policy, Release],
        [Key, Release, Policy],
        [Policy, Key, Release],
        [Policy, Release, Key],
        [Release, Key, Policy],
        [Release, Policy, Key],
    ] {
        let (scene, start) = (empty().await, clock::tick());
        let half = Duration::from_millis(500);
        for (step, applied) in (0..).zip(order) {
            applied.to(&scene);
            judged(&scene, &web(), start, half * step).await;
        }
        judged(&scene, &web(), start, Duration::from_secs(4)).await;
        assert_eq!(verdict(&scene, &web()), "SignatureVerified", "{order:?}");
        assert_eq!(events(&scene), Vec::<String>::new(), "{order:?}");
    }
}

#[tokio::test]
async fn a_key_that_does_not_come_is_missed_and_a_theft_is_told_at_once() {
    let (scene, start) = (empty().await, clock::tick());
    Applied::Policy.to(&scene);
    Applied::Release.to(&scene);
    judged(&scene, &web(), start, Duration::ZERO).await;
    assert_eq!(verdict(&scene, &web()), "");
    judged(&scene, &web(), start, Duration::from_secs(2)).await;
    assert_eq!(verdict(&scene, &web()), "SignerNotTrusted");
    scene
        .context
        .store
        .set_key("platform", Some(loaded(&stolen())));
    judged(&scene, &web(), start, Duration::from_secs(2)).await;
    assert_eq!(events(&scene), ["SignerNotTrusted", "KeyCompromised"]);
}

/// Whoever dies between telling and writing has told; whoever comes after does not tell it again.
#[tokio::test]
async fn no_event_is_lost_with_a_replica_and_none_is_told_twice() {
    let (scene, start) = (empty().await, clock::tick());
    for applied in [Applied::Key, Applied::Policy, Applied::Release] {
        applied.to(&scene);
    }
    judged(&scene, &web(), start, Duration::ZERO).await;
    scene
        .context
        .store
        .set_key("platform", Some(loaded(&stolen())));
    scene
        .cluster
        .refuse("PUT", "/releasetrusts", (503, "ServiceUnavailable"));
    for _ in 0..3 {
        judged(&scene, &web(), start, Duration::from_secs(1)).await;
    }
    assert_eq!(events(&scene), ["KeyCompromised"]);
    scene.cluster.allow();
    scene
        .context
        .store
        .update(&web(), |release| release.told = None);
    judged(&scene, &web(), start, Duration::from_secs(2)).await;
    assert_eq!(verdict(&scene, &web()), "KeyCompromised");
    assert_eq!(events(&scene), ["KeyCompromised"]);
}

/// What others do to all our objects, with how many releases: how many events, at most.
#[tokio::test]
async fn many_objects_that_go_at_once_are_a_few_events() {
    for (releases, at_most) in [(1, 1), (5, 5), (120, 5)] {
        let (scene, start) = (empty().await, clock::tick());
        let all: Vec<_> = (0..releases)
            .map(|n| id("shop", &format!("web-{n}")))
            .collect();
        scene
            .context
            .store
            .set_key("platform", Some(loaded(&stolen())));
        scene.declare_spec(&json!({}));
        for release in &all {
            install(&scene, release);
            judged(&scene, release, start, Duration::ZERO).await;
        }
        let before = events(&scene).len();
        assert_eq!(before, releases, "the theft is told of each");
        for release in &all {
            scene.cluster.remove(&path(release));
            judged(&scene, release, start, Duration::from_secs(5)).await;
            assert_eq!(verdict(&scene, release), "KeyCompromised");
        }
        let after = events(&scene).len() - before;
        assert_eq!(after, at_most, "{releases} ReleaseTrusts were deleted");
    }
}

/// A definition that is deleted takes its policies with it, and comes back with them.
#[tokio::test]
async fn a_policy_that_goes_and_comes_back_is_one_event_and_not_one_for_each_release() {
    let (scene, start) = (empty().await, clock::tick());
    let all: Vec<_> = (0..20).map(|n| id("shop", &format!("web-{n}"))).collect();
    Applied::Key.to(&scene);
    Applied::Policy.to(&scene);
    let each = async |later| {
        for release in &all {
            judged(&scene, release, start, Duration::from_secs(later)).await;
        }
    };
    for release in &all {
        install(&scene, release);
    }
    each(0).await;
    policy::reconcile(&scene.context, POLICY, Moment::now()).await;
    each(5).await;
    assert_eq!(verdict(&scene, &all[0]), "NoPolicy");
    assert_eq!(events(&scene), ["PolicyDeleted"]);
    Applied::Policy.to(&scene);
    each(10).await;
    assert_eq!(verdict(&scene, &all[0]), "SignatureVerified");
    assert_eq!(events(&scene), ["PolicyDeleted"]);
}

/// Whoever takes a release out of a policy's reach, by a label for example, is heard.
#[tokio::test]
async fn a_release_that_a_policy_applies_to_no_more_is_told() {
    let (scene, start) = (empty().await, clock::tick());
    for applied in [Applied::Key, Applied::Policy, Applied::Release] {
        applied.to(&scene);
    }
    judged(&scene, &web(), start, Duration::ZERO).await;
    scene.declare_spec(&json!({"match": {"releases": ["bank/*"]}}));
    judged(&scene, &web(), start, Duration::from_secs(5)).await;
    assert_eq!(events(&scene), ["NoPolicy"]);
}

/// These releases are bad by a policy that contains by itself, and are judged.
async fn bad(releases: &[ReleaseId]) -> Scene {
    let settings = Some(QuarantineSettings::default());
    let scene = Scene::with(settings, Leadership::Alone).await;
    let key = loaded(&stolen());
    scene.context.store.set_key("platform", Some(key));
    scene.declare(&json!({}));
    for release in releases {
        install(&scene, release);
        seen(&scene, release).await;
    }
    scene
}

/// The watch shows the release and its Quarantine, and the release is judged.
async fn seen(scene: &Scene, release: &ReleaseId) {
    let object = scene.cluster.find(&quarantine_of(release));
    let object = object.map(|object| serde_json::from_value(object).map_err(|e| e.to_string()));
    let quarantines = &scene.context.cache.quarantines;
    quarantines.set(release.clone(), object);
    judged(scene, release, clock::tick(), Duration::from_secs(60)).await;
}

/// The policy decides, whatever that comes to; then every release is shown of which that is news.
async fn decided(scene: &Scene, releases: &[ReleaseId]) {
    let tasks = &scene.context.queues.tasks;
    let shown = |release: &ReleaseId| Task::Release(release.clone());
    for release in releases {
        tasks.forget(&shown(release));
    }
    let _ = start::reconcile(&scene.context, POLICY, Moment::now()).await;
    for release in releases {
        if tasks.due_at(&shown(release)).is_some() {
            seen(scene, release).await;
        }
    }
}

/// The Quarantine says so of itself, and the release is shown.
async fn says(scene: &Scene, release: &ReleaseId, active_is: (&str, &str)) {
    let path = quarantine_of(release);
    let mut object = scene.cluster.find(&path).unwrap();
    object["status"] = active(active_is);
    scene.cluster.put(&path, object);
    seen(scene, release).await;
}

fn active((status, reason): (&str, &str)) -> serde_json::Value {
    json!({"incident": "a", "conditions": [{
        "type": "Active", "status": status, "reason": reason, "message": "",
        "observedGeneration": 1, "lastTransitionTime": "2026-11-18T10:00:00Z",
    }]})
}

fn quarantined(scene: &Scene, release: &ReleaseId) -> Option<String> {
    let object = scene.cluster.find(&path(release)).unwrap();
    let conditions = object["status"]["conditions"].as_array().cloned();
    let mut conditions = conditions.unwrap().into_iter();
    let said = conditions.find(|one| one["type"] == "Quarantined")?;
    let part = |name: &str| said[name].as_str().unwrap().to_owned();
    Some(format!("{}/{}", part("status"), part("reason")))
}

/// How often the status of a release was written.
fn statuses(scene: &Scene, release: &ReleaseId) -> usize {
    let status = format!("{}/status", path(release));
    let all = scene.cluster.writes().into_iter();
    all.filter(|write| write.path == status).count()
}

/// The verdict, and that it is contained later: a key of a thousand releases must not cost more.
#[tokio::test]
async fn containment_costs_one_write_more_of_each_release() {
    let scene = Box::pin(bad(&[web()])).await;
    decided(&scene, &[web()]).await;
    assert!(scene.cluster.find(&quarantine_of(&web())).is_some());
    seen(&scene, &web()).await;
    decided(&scene, &[web()]).await;
    says(&scene, &web(), ("False", "Containing")).await;
    assert_eq!(quarantined(&scene, &web()), None);
    assert_eq!(statuses(&scene, &web()), 1);
    says(&scene, &web(), ("True", "Contained")).await;
    decided(&scene, &[web()]).await;
    assert_eq!(quarantined(&scene, &web()).as_deref(), Some("True/Active"));
    assert_eq!(statuses(&scene, &web()), 2);
}

/// Of a thousand that are bad at once the first is contained before anything is written about the others, and what is
/// contained by then costs one write.
#[tokio::test]
async fn what_is_contained_meanwhile_is_told_by_the_same_write() {
    let settings = Some(QuarantineSettings::default());
    let scene = Scene::with(settings, Leadership::Alone).await;
    Applied::Key.to(&scene);
    scene.declare(&json!({}));
    install(&scene, &web());
    seen(&scene, &web()).await;
    assert_eq!(verdict(&scene, &web()), "SignatureVerified");
    let key = loaded(&stolen());
    scene.context.store.set_key("platform", Some(key));
    let judged = async || {
        let moment = Moment {
            date: NOW.parse().unwrap(),
            tick: clock::tick() + Duration::from_secs(60),
        };
        let judged = release::reconcile(&scene.context, &web(), moment).await;
        judged.unwrap();
        moment
    };
    judged().await;
    assert_eq!(verdict(&scene, &web()), "SignatureVerified", "put off");
    start::reconcile(&scene.context, POLICY, Moment::now())
        .await
        .unwrap();
    let mut object = scene.cluster.find(&quarantine_of(&web())).unwrap();
    object["status"] = active(("True", "Contained"));
    let object = serde_json::from_value(object).unwrap();
    scene.context.cache.quarantines.set(web(), Some(Ok(object)));
    let moment = judged().await;
    assert!(is_put_off(&scene, &web()));
    let shown = release::show(&scene.context, &web(), moment).await;
    shown.unwrap();
    assert_eq!(quarantined(&scene, &web()).as_deref(), Some("True/Active"));
    assert_eq!(verdict(&scene, &web()), "KeyCompromised");
    assert_eq!(statuses(&scene, &web()), 2);
    assert_eq!(events(&scene), ["KeyCompromised"]);
}

/// Without automatic containment nothing is put off.
#[tokio::test]
async fn what_no_policy_contains_is_written_at_once() {
    let scene = empty().await;
    let key = loaded(&stolen());
    scene.context.store.set_key("platform", Some(key));
    scene.declare(&json!({}));
    install(&scene, &web());
    let moment = Moment {
        date: NOW.parse().unwrap(),
        tick: clock::tick(),
    };
    let judged = release::reconcile(&scene.context, &web(), moment).await;
    judged.unwrap();
    assert_eq!(verdict(&scene, &web()), "KeyCompromised");
    assert!(!is_put_off(&scene, &web()));
}

/// Say what was not done: once, however often it is tried.
#[tokio::test]
async fn a_release_says_that_its_quarantine_was_refused() {
    for (verb, part) in [
        ("POST", "/namespaces/shop/quarantines"),
        ("GET", "/configmaps"),
    ] {
        let scene = Box::pin(bad(&[web()])).await;
        scene.cluster.refuse(verb, part, (403, "Forbidden"));
        for _ in 0..3 {
            decided(&scene, &[web()]).await;
            let said = quarantined(&scene, &web());
            assert_eq!(said.as_deref(), Some("False/StartFailed"), "{part}");
        }
        // A key changes: until everything is judged again it is not known what becomes of it.
        let change = scene.context.change(None, clock::tick());
        decided(&scene, &[web()]).await;
        drop(change);
        decided(&scene, &[web()]).await;
        assert_eq!(statuses(&scene, &web()), 2, "{part}");
        let told = ["KeyCompromised", "StartFailed"];
        assert_eq!(events(&scene), told, "{part}");

        scene.cluster.allow();
        decided(&scene, &[web()]).await;
        seen(&scene, &web()).await;
        says(&scene, &web(), ("False", "ObjectRefused")).await;
        let said = quarantined(&scene, &web());
        assert_eq!(said.as_deref(), Some("False/NotContained"), "{part}");
        says(&scene, &web(), ("True", "Contained")).await;
        let said = quarantined(&scene, &web());
        assert_eq!(said.as_deref(), Some("True/Active"), "{part}");
    }
}

#[tokio::test]
async fn a_release_says_that_it_does_not_fit_the_limit() {
    let all = [web(), id("bank", "api")];
    let scene = Box::pin(bad(&all)).await;
    scene.declare(&json!({"limit": {"maxReleases": 1}}));
    for _ in 0..3 {
        decided(&scene, &all).await;
        for release in &all {
            let said = quarantined(&scene, release);
            assert_eq!(said.as_deref(), Some("False/LimitReached"), "{release}");
            assert_eq!(statuses(&scene, release), 2, "{release}");
        }
    }
    scene.declare(&json!({"limit": {"maxReleases": 2}}));
    decided(&scene, &all).await;
    for release in &all {
        assert!(scene.cluster.find(&quarantine_of(release)).is_some());
    }
}
