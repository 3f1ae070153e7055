//! What a tenant costs and hides who stores any number of records that are none.

use std::collections::BTreeSet;

use charttrust_verify::verdict::{Cause, Verdict};

use super::release;
use super::store::Revision;
use super::store::junk::MOST_SHOWN;
use super::store::shown::Shown;
use super::task::Task;
use super::testing::{Scene, id, signed_revision, web};
use crate::clock::Moment;
use crate::inventory::helm::Driver;
use crate::inventory::{Mark, RecordId, ReleaseId};
use crate::leader::Leadership;

const RECORD: RecordId = RecordId::Helm {
    driver: Driver::Secret,
    revision: 1,
};

fn junk(number: usize) -> ReleaseId {
    id("shop", &format!("junk-{number:03}"))
}

fn unreadable() -> Revision {
    Revision {
        resource_version: "1".to_owned(),
        content: Err((Cause::ReleaseUnreadable, "it is garbage".to_owned())),
        mark: Mark::None,
    }
}

fn readable() -> Revision {
    let key = "0123456789ABCDEF0123456789ABCDEF01234567".parse().unwrap();
    signed_revision(&key, &[])
}

/// A record is there and was read, and its release is looked at.
async fn read(scene: &Scene, release: &ReleaseId, revision: Option<Revision>) {
    scene.record(release, Driver::Secret);
    scene.context.store.update(release, |known| {
        known.revisions = revision
            .map(|revision| (RECORD, revision))
            .into_iter()
            .collect();
    });
    seen(scene, release).await;
}

/// The watch shows the `ReleaseTrust` as it is, and the release is looked at.
async fn seen(scene: &Scene, release: &ReleaseId) {
    let object = scene.cluster.find(&path(release));
    let object =
        object.map(|object| Shown::of(serde_json::from_value(object).map_err(|e| e.to_string())));
    scene.context.cache.trusts.set(release.clone(), object);
    let looked = release::reconcile(&scene.context, release, Moment::now());
    looked.await.unwrap();
}

fn path(release: &ReleaseId) -> String {
    let ReleaseId { namespace, name } = release;
    format!("/apis/charttrust.io/v1alpha1/namespaces/{namespace}/releasetrusts/{name}")
}

fn verdict(scene: &Scene, release: &ReleaseId) -> String {
    let object = scene.cluster.find(&path(release)).unwrap_or_default();
    let all = object["status"]["conditions"].as_array().cloned();
    let mut all = all.into_iter().flatten();
    let said = all.find(|one| one["type"] == "Trusted");
    said.map_or_else(String::new, |said| {
        said["reason"].as_str().unwrap().to_owned()
    })
}

fn told(scene: &Scene) -> Vec<String> {
    let all = scene.cluster.writes().into_iter();
    let told = all.filter(|write| write.body["reason"] == "TooManyUnreadable");
    told.map(|event| format!("{} {}", event.path, event.body["regarding"]["kind"]))
        .collect()
}

async fn full() -> Scene {
    let scene = Scene::with(None, Leadership::Alone).await;
    for number in 0..MOST_SHOWN + 5 {
        read(&scene, &junk(number), Some(unreadable())).await;
    }
    scene
}

/// Say what was checked: those beyond are counted, and it is told that they are not shown.
#[tokio::test]
async fn records_that_are_none_cost_so_many_objects_in_a_namespace_and_it_is_told_once() {
    let scene = Box::pin(full()).await;
    let shown = |number: &usize| verdict(&scene, &junk(*number)) == "ReleaseUnreadable";
    let all: BTreeSet<_> = (0..MOST_SHOWN + 5).filter(shown).collect();
    assert_eq!(all, (0..MOST_SHOWN).collect());
    let events = "/apis/events.k8s.io/v1/namespaces/shop/events \"Namespace\"";
    assert_eq!(told(&scene), [events]);
    let mut counted = 0;
    scene.context.store.judgements(|_, judgement| {
        let unreadable = Verdict::Unknown(Cause::ReleaseUnreadable);
        counted += usize::from(judgement.verdict == unreadable);
    });
    assert_eq!(counted, MOST_SHOWN + 5);
    let elsewhere = id("bank", "junk");
    read(&scene, &elsewhere, Some(unreadable())).await;
    assert_eq!(
        verdict(&scene, &elsewhere),
        "ReleaseUnreadable",
        "nobody else pays"
    );
}

/// Never trusted without proof: who fills a namespace with junk hides nothing that can be read, and freezes
/// no verdict.
#[tokio::test]
async fn junk_hides_nothing_that_can_be_read_and_freezes_no_verdict() {
    let scene = Scene::with(None, Leadership::Alone).await;
    read(&scene, &web(), Some(readable())).await;
    let before = verdict(&scene, &web());
    assert_eq!(before, "NoPolicy");
    for number in 0..MOST_SHOWN + 5 {
        read(&scene, &junk(number), Some(unreadable())).await;
    }
    read(&scene, &web(), Some(unreadable())).await;
    assert_eq!(verdict(&scene, &web()), "ReleaseUnreadable");
    let newcomer = id("shop", "new");
    read(&scene, &newcomer, None).await;
    assert_eq!(verdict(&scene, &newcomer), "", "it waits until it was read");
    read(&scene, &newcomer, Some(readable())).await;
    assert_eq!(verdict(&scene, &newcomer), "NoPolicy");
    let late = junk(MOST_SHOWN + 3);
    read(&scene, &late, Some(readable())).await;
    assert_eq!(verdict(&scene, &late), "NoPolicy");
    assert_eq!(told(&scene).len(), 1);
}

#[tokio::test]
async fn when_one_goes_the_next_is_shown() {
    let scene = Box::pin(full()).await;
    let next = junk(MOST_SHOWN);
    let queue = &scene.context.queues.tasks;
    let task = Task::Release(next.clone());
    assert_eq!(queue.due_at(&task), None);
    scene.uninstall(&junk(0));
    seen(&scene, &junk(0)).await;
    assert!(queue.due_at(&task).is_some());
    seen(&scene, &next).await;
    assert_eq!(verdict(&scene, &next), "ReleaseUnreadable");
    assert_eq!(verdict(&scene, &junk(MOST_SHOWN + 1)), "");
}
