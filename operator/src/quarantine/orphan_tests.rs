//! What is found of quarantines that are gone, and put back: over an API server in memory.

use kube::Client;
use serde_json::{Value, json};
use wiremock::MockServer;

use super::ANNOTATION;
use super::annotation::Annotation;
use super::orphan::{Marked, marked};
use crate::api::FIELD_MANAGER;
use crate::fake_cluster::FakeCluster;
use crate::inventory::ReleaseId;

const WEB: &str = "/apis/apps/v1/namespaces/shop/deployments/web";
const FLUX: &str = "/apis/helm.toolkit.fluxcd.io/v2/namespaces/flux/helmreleases/web";
const DENIAL: &str =
    "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/charttrust-quarantine-web";

fn web() -> ReleaseId {
    ReleaseId {
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
    }
}

fn annotation() -> Annotation {
    Annotation {
        incident: "manual/1".to_owned(),
        quarantine: "1".to_owned(),
        uid: Some("w".to_owned()),
        when_scaled: None,
        revision: None,
        time: "2026-11-18T00:00:00Z".to_owned(),
        original: super::original::Original::of(Some(&json!(3))),
        owners: vec![json!({
            "manager": "helm", "operation": "Apply", "apiVersion": "apps/v1",
            "time": "2026-11-17T00:00:00Z", "owned": {},
        })],
    }
}

/// A stopped Deployment that carries our annotation, with the marks of a release.
fn workload(namespace: &str, name: &str, release: &str) -> Value {
    json!({
        "metadata": {
            "namespace": namespace, "name": name, "uid": "w",
            "labels": {"app.kubernetes.io/managed-by": "Helm"},
            "annotations": {
                "meta.helm.sh/release-name": release,
                "meta.helm.sh/release-namespace": namespace,
                ANNOTATION: annotation().text(),
            },
            "managedFields": [{
                "manager": FIELD_MANAGER, "operation": "Update", "apiVersion": "apps/v1",
                "time": "2026-11-18T00:00:00Z", "fieldsType": "FieldsV1",
                "fieldsV1": {
                    "f:metadata": {"f:annotations": {format!("f:{ANNOTATION}"): {}}},
                    "f:spec": {"f:replicas": {}},
                },
            }],
        },
        "spec": {"replicas": 0},
    })
}

fn helm_release(name: &str) -> Value {
    json!({
        "metadata": {"namespace": "flux", "name": name, "uid": "w",
            "managedFields": [{"manager": FIELD_MANAGER, "fieldsV1":
                {"f:metadata": {"f:annotations": {format!("f:{ANNOTATION}"): {}}}}}],
            "annotations": {ANNOTATION: annotation().text()}},
        "spec": {"suspend": true},
        "status": {"storageNamespace": "shop", "history": [{"name": name, "version": 7}]},
    })
}

fn denial(release: &str) -> Value {
    let made = Annotation {
        uid: None,
        ..annotation()
    };
    json!({
        "metadata": {"namespace": "shop", "name": "charttrust-quarantine-web", "uid": "d",
            "annotations": {ANNOTATION: made.text(), "charttrust.io/release": release}},
        "spec": {"podSelector": {}},
    })
}

/// A release that is contained, and whose Quarantine is gone.
async fn orphaned() -> (FakeCluster, Client, MockServer) {
    let cluster = FakeCluster::default();
    cluster.put(WEB, workload("shop", "web", "web"));
    cluster.put(FLUX, helm_release("web"));
    cluster.put(DENIAL, denial("shop/web"));
    let (server, client) = cluster.clone().start().await;
    (cluster, client, server)
}

async fn found(client: &Client, only: Option<&ReleaseId>) -> Vec<String> {
    let found = marked(client, only).await.unwrap();
    found.iter().map(ToString::to_string).collect()
}

async fn only(client: &Client, name: &str) -> Marked {
    let found = marked(client, None).await.unwrap().into_iter();
    let mut found = found.filter(|one| one.to_string() == name);
    found.next().unwrap()
}

const ALL: [&str; 3] = [
    "NetworkPolicy shop/charttrust-quarantine-web",
    "HelmRelease flux/web",
    "Deployment shop/web",
];

#[tokio::test]
async fn everything_that_carries_our_annotation_is_found() {
    let (cluster, client, _server) = orphaned().await;
    let bare = json!({"metadata": {"namespace": "shop", "name": "bare"}, "spec": {}});
    cluster.put("/apis/apps/v1/namespaces/shop/deployments/bare", bare);
    let mut garbled = workload("shop", "garbled", "web");
    garbled["metadata"]["annotations"][ANNOTATION] = json!("{");
    cluster.put("/apis/apps/v1/namespaces/shop/deployments/garbled", garbled);
    let names = [
        &ALL[..2],
        &["Deployment shop/garbled", "Deployment shop/web"],
    ]
    .concat();
    assert_eq!(found(&client, None).await, names);
    let garbled = only(&client, "Deployment shop/garbled").await;
    assert_eq!(garbled.annotation, None);
    garbled.restore(&client).await.unwrap();
    assert_eq!(cluster.writes().len(), 0, "nobody knows what it was");
    assert!(only(&client, ALL[0]).await.is_created());
    assert!(!only(&client, ALL[2]).await.is_created());
}

#[tokio::test]
async fn of_one_release_only_what_belongs_to_it_is_found() {
    let (cluster, client, _server) = orphaned().await;
    for (path, object) in [
        (
            "/apis/apps/v1/namespaces/shop/deployments/forum",
            workload("shop", "forum", "forum"),
        ),
        (
            "/apis/apps/v1/namespaces/bank/deployments/web",
            workload("bank", "web", "web"),
        ),
        (
            "/apis/helm.toolkit.fluxcd.io/v2/namespaces/flux/helmreleases/forum",
            helm_release("forum"),
        ),
        (
            "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/charttrust-quarantine--2-web",
            denial("shop/forum"),
        ),
    ] {
        cluster.put(path, object);
    }
    assert_eq!(found(&client, Some(&web())).await, ALL);
}

#[tokio::test]
async fn workloads_are_looked_for_no_further_than_they_may_lie() {
    let (cluster, client, _server) = orphaned().await;
    cluster.refuse("GET", "/apps/v1/deployments", (500, "InternalError"));
    assert_eq!(found(&client, Some(&web())).await, ALL);
    assert!(marked(&client, None).await.is_err());
}

#[tokio::test]
async fn what_an_application_has_deployed_is_found_in_any_namespace() {
    let (cluster, client, _server) = orphaned().await;
    let mut tracked = workload("web", "a", "unused");
    tracked["metadata"]["labels"] = json!({});
    tracked["metadata"]["annotations"] = json!({
        "argocd.argoproj.io/tracking-id": "shop:apps/Deployment:web/a",
        ANNOTATION: annotation().text(),
    });
    cluster.put("/apis/apps/v1/namespaces/web/deployments/a", tracked);
    let shop = ReleaseId {
        namespace: "argocd".to_owned(),
        name: "argocd.shop".to_owned(),
    };
    assert_eq!(found(&client, Some(&shop)).await, ["Deployment web/a"]);
}

#[tokio::test]
async fn who_may_look_at_one_namespace_restores_what_lies_in_it() {
    let (cluster, client, _server) = orphaned().await;
    cluster.refuse("GET", "/v2/helmreleases", (403, "Forbidden"));
    assert_eq!(found(&client, Some(&web())).await, [ALL[0], ALL[2]]);
    let mut near = helm_release("web");
    near["metadata"]["namespace"] = json!("shop");
    cluster.put(
        "/apis/helm.toolkit.fluxcd.io/v2/namespaces/shop/helmreleases/web",
        near,
    );
    let near = [ALL[0], "HelmRelease shop/web", ALL[2]];
    assert_eq!(found(&client, Some(&web())).await, near);
    assert!(marked(&client, None).await.is_err());
}

#[tokio::test]
async fn a_kind_that_the_server_does_not_know_has_no_objects_and_no_answer_is_an_error() {
    let (cluster, client, _server) = orphaned().await;
    cluster.refuse("GET", "/helmreleases", (404, "NotFound"));
    assert_eq!(found(&client, Some(&web())).await, [ALL[0], ALL[2]]);
    assert_eq!(found(&client, None).await, [ALL[0], ALL[2]]);
    cluster.refuse("GET", "/networkpolicies", (500, "InternalError"));
    assert!(marked(&client, Some(&web())).await.is_err());
}

#[tokio::test]
async fn value_and_ownership_come_back_each_by_its_own_patch() {
    let (cluster, client, _server) = orphaned().await;
    only(&client, ALL[2]).await.restore(&client).await.unwrap();
    let object = cluster.find(WEB).unwrap();
    assert_eq!(object["spec"]["replicas"], 3);
    assert_eq!(object["metadata"]["annotations"][ANNOTATION], json!(null));
    let managers = object["metadata"]["managedFields"].as_array().unwrap();
    let managers: Vec<_> = managers.iter().map(|one| &one["manager"]).collect();
    assert_eq!(managers, ["helm"]);
    let patches = cluster.writes();
    assert_eq!(patches.len(), 2);
    assert!(!patches[0].body.to_string().contains("managedFields"));
    assert!(!patches[1].body.to_string().contains("/spec/replicas"));
}

#[tokio::test]
async fn what_others_write_meanwhile_is_read_again() {
    let (cluster, client, _server) = orphaned().await;
    let mut scaled = workload("shop", "web", "web");
    scaled["spec"]["replicas"] = json!(7);
    cluster.meddle(WEB, Some(scaled));
    only(&client, ALL[2]).await.restore(&client).await.unwrap();
    let object = cluster.find(WEB).unwrap();
    assert_eq!(object["spec"]["replicas"], 7);
    assert_eq!(object["metadata"]["annotations"][ANNOTATION], json!(null));

    let (cluster, client, _server) = orphaned().await;
    let mut again = workload("shop", "web", "web");
    let later = Annotation {
        quarantine: "2".to_owned(),
        ..annotation()
    };
    again["metadata"]["annotations"][ANNOTATION] = later.text();
    cluster.meddle(WEB, Some(again));
    only(&client, ALL[2]).await.restore(&client).await.unwrap();
    let object = cluster.find(WEB).unwrap();
    let carried = &object["metadata"]["annotations"][ANNOTATION];
    assert_eq!(*carried, later.text(), "contained anew by another");
    assert_eq!(cluster.writes().len(), 1);

    let (cluster, client, _server) = orphaned().await;
    cluster.meddle(WEB, None);
    only(&client, ALL[2]).await.restore(&client).await.unwrap();
    assert_eq!(cluster.find(WEB), None);
}

#[tokio::test]
async fn what_the_server_refuses_is_no_conflict_and_not_tried_again() {
    for refusal in [(422, "Invalid"), (403, "Forbidden")] {
        let (cluster, client, _server) = orphaned().await;
        cluster.refuse("PATCH", "/deployments/web", refusal);
        let web = only(&client, ALL[2]).await;
        assert!(web.restore(&client).await.is_err(), "{refusal:?}");
        assert_eq!(cluster.writes().len(), 1, "{refusal:?}");
    }
}

#[tokio::test]
async fn what_is_written_by_others_all_the_time_is_given_up() {
    let (cluster, client, _server) = orphaned().await;
    for _ in 0..20 {
        cluster.meddle(WEB, Some(workload("shop", "web", "web")));
    }
    let web = only(&client, ALL[2]).await;
    assert!(web.restore(&client).await.is_err());
    assert_eq!(cluster.writes().len(), 8);
}

#[tokio::test]
async fn a_policy_is_deleted_only_if_it_is_the_one_that_was_seen() {
    let (cluster, client, _server) = orphaned().await;
    only(&client, ALL[0]).await.restore(&client).await.unwrap();
    assert_eq!(cluster.find(DENIAL), None);

    let (cluster, client, _server) = orphaned().await;
    let seen = only(&client, ALL[0]).await;
    cluster.meddle(DENIAL, Some(denial("shop/web")));
    assert!(seen.restore(&client).await.is_err());
    assert!(cluster.find(DENIAL).is_some());
}
