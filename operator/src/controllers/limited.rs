//! An operator that looks at some namespaces only: what it asks for, and what it makes of what it may not read.

use charttrust_verify::verdict::Reason;
use futures::FutureExt as _;
use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use serde_json::json;

use super::events::{self, Announcement};
use super::release;
use super::store::shown::Shown;
use super::testing::{OPERATOR_NAMESPACE, Scene, id};
use super::triggers::follow_everything;
use crate::clock::Moment;
use crate::fake_cluster::FakeCluster;
use crate::leader::Leadership;

const TRUSTS: &str = "/apis/charttrust.io/v1alpha1/namespaces";

/// A server with two namespaces, and the kinds of Flux and k3s.
fn cluster() -> FakeCluster {
    let cluster = FakeCluster::default();
    for (name, plurals) in [
        ("helm.toolkit.fluxcd.io", &["helmreleases"][..]),
        (
            "source.toolkit.fluxcd.io",
            &["helmcharts", "helmrepositories", "ocirepositories"],
        ),
        ("helm.cattle.io", &["helmcharts"]),
    ] {
        let of = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
        let group = json!({"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": [of],
            "preferredVersion": of});
        cluster.hold(&format!("/apis/{name}"), group);
        let resource = |plural: &&str| json!({"name": plural, "singularName": "", "namespaced": true, "kind": "A", "verbs": ["list"]});
        let resources: Vec<_> = plurals.iter().map(resource).collect();
        let list = json!({"kind": "APIResourceList", "groupVersion": format!("{name}/v1"),
            "resources": resources});
        cluster.hold(&format!("/apis/{name}/v1"), list);
    }
    for name in ["bank", "shop", "yard"] {
        let path = format!("/api/v1/namespaces/{name}");
        cluster.put(&path, json!({"metadata": {"name": name}}));
    }
    cluster
}

/// Follows everything until all of it was listed once, and these kinds were asked for.
async fn listed(scene: &Scene, kinds: &[String]) {
    let all_listed = async {
        scene.context.cache.completed().await;
        loop {
            let requests = scene.cluster.requests();
            let asked = scene.asked().await;
            let is_asked = |kind: &String| asked.iter().any(|one| one.contains(kind));
            if kinds.iter().all(is_asked) {
                return;
            }
            scene.cluster.asked(requests + 1).await;
        }
    };
    let listed = tokio::time::timeout(Duration::from_secs(60), all_listed);
    tokio::select! {
        () = follow_everything(&scene.context) => panic!("the watches have ended"),
        listed = listed => listed.expect("everything was listed"),
    }
}

/// Whether a request is for what lies in one of these namespaces, or for a kind that lies in none.
fn is_within(asked: &str, namespaces: &[&str]) -> bool {
    let (path, query) = asked.split_once('?').unwrap();
    let place = path.split("/namespaces/").nth(1);
    let place = place.and_then(|rest| rest.split('/').next());
    if let Some(place) = place {
        return namespaces.contains(&place);
    }
    if path == "/api/v1/namespaces" {
        let mut names = namespaces.iter();
        return names.any(|name| query.contains(&format!("metadata.name%3D{name}&")));
    }
    let of_cluster = ["/trustedkeys", "/trustedidentities", "/charttrustpolicies"];
    let is_discovery = path.starts_with("/apis/") && path.split('/').count() <= 4;
    is_discovery || of_cluster.iter().any(|kind| path.ends_with(kind))
}

#[tokio::test]
async fn an_operator_of_some_namespaces_asks_for_nothing_elsewhere() {
    let scene = Scene::limited(cluster(), &["bank", "shop"]).await;
    let kinds = [
        "secrets",
        "configmaps",
        "releasetrusts",
        "quarantines",
        "helmreleases",
        "helmrepositories",
        "deployments",
        "jobs",
    ];
    let of_both =
        |kind: &&str| ["bank", "shop"].map(|namespace| format!("/namespaces/{namespace}/{kind}?"));
    let kinds: Vec<_> = kinds.iter().flat_map(of_both).collect();
    Box::pin(listed(&scene, &kinds)).await;
    let ours = ["bank", "shop", OPERATOR_NAMESPACE];
    let asked = scene.asked().await;
    let elsewhere: Vec<_> = asked.iter().filter(|one| !is_within(one, &ours)).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
    assert_eq!(scene.context.cache.unseen(), Vec::<String>::new());
}

/// Without a record of a release, its verdict goes; without the right to look for one it stands.
#[tokio::test]
async fn what_may_not_be_read_holds_up_nothing_and_takes_nothing_away() {
    let cluster = cluster();
    for namespace in ["bank", "shop"] {
        let object = json!({"apiVersion": "charttrust.io/v1alpha1", "kind": "ReleaseTrust",
            "metadata": {"namespace": namespace, "name": "web", "uid": "u"}, "spec": {}});
        cluster.put(&format!("{TRUSTS}/{namespace}/releasetrusts/web"), object);
    }
    cluster.refuse("GET", "/namespaces/bank/secrets", (403, "Forbidden"));
    let scene = Scene::limited(cluster.clone(), &["bank", "gone", "shop"]).await;
    Box::pin(listed(&scene, &[])).await;
    for namespace in ["bank", "shop"] {
        let id = id(namespace, "web");
        let found = cluster.find(&format!("{TRUSTS}/{namespace}/releasetrusts/web"));
        let object = serde_json::from_value(found.unwrap()).map_err(|error| error.to_string());
        let trusts = &scene.context.cache.trusts;
        trusts.set(id.clone(), Some(Shown::of(object)));
        let reconciled = release::reconcile(&scene.context, &id, Moment::now()).await;
        reconciled.unwrap();
    }
    let is_there = |namespace: &str| {
        let found = cluster.find(&format!("{TRUSTS}/{namespace}/releasetrusts/web"));
        found.is_some()
    };
    assert!(is_there("bank"), "nobody knows whether there is a record");
    assert!(!is_there("shop"), "there is none");
    assert_eq!(
        scene.context.cache.unseen(),
        [
            "namespace gone: it does not exist",
            "namespace bank: the operator may not read it"
        ]
    );
}

/// The server takes an event only where what it is about is said to lie.
#[tokio::test]
async fn events_about_keys_lie_in_the_own_namespace() {
    for (namespaces, place) in [(&["shop"][..], OPERATOR_NAMESPACE), (&[], "default")] {
        let scene = Scene::limited(cluster(), namespaces).await;
        let announcement = Announcement {
            regarding: ObjectReference {
                name: Some("platform".to_owned()),
                ..ObjectReference::default()
            },
            related: None,
            alarming: false,
            action: "Verify",
            reason: Reason::KeyRevoked.word().to_owned(),
            note: String::new(),
        };
        events::publish(&scene.context, Some(announcement)).await;
        let writes = scene.cluster.writes();
        let places: BTreeSet<_> = writes.iter().map(|write| write.path.as_str()).collect();
        let expected = format!("/apis/events.k8s.io/v1/namespaces/{place}/events");
        assert_eq!(places, BTreeSet::from([expected.as_str()]));
        let about = &writes[0].body["regarding"]["namespace"];
        let expected = namespaces.first().map(|_| OPERATOR_NAMESPACE);
        assert_eq!(about.as_str(), expected);
    }
}

/// A right that is taken away later: what is known stands, and that nothing more is heard is told.
#[tokio::test]
async fn what_may_not_be_read_any_more_is_told_by_policies() {
    let scene = Scene::with(None, Leadership::Alone).await;
    let key = json!({"metadata": {"name": "platform"}, "spec": {
        "fingerprint": "0123456789ABCDEF0123456789ABCDEF01234567", "publicKey": {"inline": "x"}}});
    let path = "/apis/charttrust.io/v1alpha1/trustedkeys/platform";
    scene.cluster.put(path, key);
    scene
        .cluster
        .refuse("GET", "/trustedkeys", (403, "Forbidden"));
    let cache = &scene.context.cache;
    let told_of = |kind: &'static str| {
        move || {
            cache
                .unseen()
                .iter()
                .any(|told| told.contains(kind) && told.contains("may not"))
        }
    };
    let test = async {
        // Before everything was read once there is nothing to stand by: the start waits.
        until(&scene, || cache.policies.is_listed("")).await;
        let asked = scene.cluster.requests();
        scene.cluster.asked(asked + 20).await;
        assert!(cache.completed().now_or_never().is_none());
        assert!(!told_of("TrustedKeys")());
        scene.cluster.allow();
        cache.completed().await;
        assert_eq!(cache.unseen(), Vec::<String>::new());
        for (part, kind) in [("/trustedkeys", "TrustedKeys"), ("/secrets", "Secrets")] {
            scene.cluster.refuse("GET", part, (403, "Forbidden"));
            until(&scene, told_of(kind)).await;
            assert_eq!(cache.keys.len(), 1, "what is known stands");
            scene.cluster.allow();
            until(&scene, || cache.unseen().is_empty()).await;
        }
    };
    Box::pin(scene.following(follow_everything(&scene.context), test)).await;
}

/// Waits until something is so; the server is asked all the time.
async fn until(scene: &Scene, is_so: impl Fn() -> bool) {
    while !is_so() {
        let asked = scene.cluster.requests();
        scene.cluster.asked(asked + 1).await;
    }
}
