//! Statements in a small cluster: when they are written, and when not.

use serde_json::{Value, json};

use super::statement::tests::status;
use super::*;
use crate::controllers::testing::{OPERATOR_NAMESPACE, Scene, id};
use crate::inventory::helm::Driver;

fn path(name: &str) -> String {
    format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/configmaps/{name}")
}

fn stated(scene: &Scene, name: &str) -> Vec<String> {
    let found = scene.cluster.find(&path(name)).unwrap_or_default();
    let entries = found["data"].as_object().cloned().unwrap_or_default();
    entries.keys().cloned().collect()
}

/// A release that has a record, and what was concluded of it.
fn concluded(scene: &Scene, release: &ReleaseId, changes: &Value) {
    if scene.context.cache.records.has_none(release) {
        scene.record(release, Driver::Secret);
    }
    note(&scene.context, release, &status(changes));
}

async fn written(scene: &Scene, namespace: &str) -> usize {
    let before = scene.cluster.writes().len();
    let done = reconcile(&scene.context, namespace, Moment::now()).await;
    done.unwrap();
    scene.cluster.writes().len() - before
}

fn unknown() -> Value {
    json!({"conditions": [{"type": "Trusted", "status": "Unknown", "reason": "SourceUnavailable", "message": "",
        "observedGeneration": 1, "lastTransitionTime": "2026-11-01T10:00:00Z"}]})
}

#[tokio::test]
async fn what_was_concluded_is_signed_once_and_taken_back_when_it_does_not_hold_any_more() {
    let scene = Scene::signing().await;
    let (web, forum) = (id("shop", "web"), id("shop", "forum"));
    concluded(&scene, &web, &json!({}));
    concluded(&scene, &forum, &json!({"release": {"chart": "forum"}}));
    concluded(&scene, &id("bank", "ledger"), &json!({}));
    assert_eq!(written(&scene, "shop").await, 1);
    assert_eq!(stated(&scene, "charttrust-vsa-shop"), ["forum", "web"]);
    assert_eq!(
        stated(&scene, "charttrust-vsa-bank"),
        [""; 0],
        "it is not its turn"
    );
    assert_eq!(written(&scene, "shop").await, 0);

    let map = scene.cluster.find(&path("charttrust-vsa-shop")).unwrap();
    let envelope: Envelope = serde_json::from_str(map["data"]["web"].as_str().unwrap()).unwrap();
    let key = scene.context.store.seal().key_for_others().unwrap();
    let said = envelope.opened(&key).unwrap();
    let now = Moment::now().date;
    assert!(said.says_the_same(&Statement::of(&web, &status(&json!({})), now).unwrap()));

    concluded(&scene, &web, &unknown());
    assert_eq!(written(&scene, "shop").await, 1);
    assert_eq!(stated(&scene, "charttrust-vsa-shop"), ["forum"]);
    scene.uninstall(&forum);
    assert_eq!(written(&scene, "shop").await, 1);
    assert_eq!(scene.cluster.find(&path("charttrust-vsa-shop")), None);
}

/// A new process has not looked at everything yet.
#[tokio::test]
async fn what_an_earlier_process_has_stated_stands_until_it_is_looked_at() {
    let scene = Scene::signing().await;
    concluded(&scene, &id("shop", "web"), &json!({}));
    concluded(&scene, &id("shop", "forum"), &json!({}));
    assert_eq!(written(&scene, "shop").await, 1);
    let scene = scene.started_anew().await;
    scene.record(&id("shop", "web"), Driver::Secret);
    // It is known, as what an earlier process has found out is, and not judged.
    scene.context.store.update(&id("shop", "web"), |_| ());
    concluded(&scene, &id("shop", "forum"), &unknown());
    assert_eq!(written(&scene, "shop").await, 1);
    assert_eq!(stated(&scene, "charttrust-vsa-shop"), ["web"]);
    concluded(&scene, &id("shop", "web"), &json!({}));
    assert_eq!(written(&scene, "shop").await, 0, "it is as it was");
    scene.context.cache.records.secrets.suppose_refused();
    scene.uninstall(&id("shop", "web"));
    let writes = written(&scene, "shop").await;
    assert_eq!(writes, 0, "what cannot be read need not be gone");
}

#[tokio::test]
async fn the_key_is_there_for_others_and_put_right() {
    let scene = Scene::signing().await;
    assert_eq!(written(&scene, "").await, 1);
    let map = scene.cluster.find(&path(KEY)).unwrap();
    let text = map["data"][KEY_ENTRY].as_str().unwrap();
    assert_eq!(of_pem(text), scene.context.store.seal().key_for_others());
    assert_eq!(written(&scene, "").await, 0);
    let mut other = map.clone();
    other["data"][KEY_ENTRY] = json!("another");
    scene.cluster.put(&path(KEY), other);
    assert_eq!(written(&scene, "").await, 1);
    assert_eq!(scene.cluster.find(&path(KEY)).unwrap()["data"], map["data"]);
}

#[tokio::test]
async fn a_change_asks_for_statements_only_where_they_are_signed() {
    let task = Task::Statements("shop".to_owned());
    for signs in [true, false] {
        let scene = if signs {
            Scene::signing().await
        } else {
            Scene::automatic().await
        };
        concluded(&scene, &id("shop", "web"), &json!({}));
        assert_eq!(scene.context.queues.tasks.due_at(&task).is_some(), signs);
        let scene = if signs {
            Scene::signing().await
        } else {
            Scene::automatic().await
        };
        scene.context.trust_changed(&id("shop", "web"));
        assert_eq!(scene.context.queues.tasks.due_at(&task).is_some(), signs);
    }
}

#[test]
fn the_name_of_each_tells_the_namespace_and_nothing_else_does() {
    for (namespace, number) in [("shop", 1), ("shop", 2), ("a-2", 1), ("a-2", 13)] {
        assert_eq!(namespace_of(&name(namespace, number)), Some(namespace));
    }
    assert_eq!(namespace_of(KEY), Some(""));
    for other in [
        "charttrust-seal",
        "charttrust-vsax",
        "x-charttrust-vsa-shop",
    ] {
        assert_eq!(namespace_of(other), None, "{other}");
    }
    let secret = OwnObject::Secret("charttrust-vsa-shop".to_owned());
    assert_eq!(namespace_in(&secret), None);
}
