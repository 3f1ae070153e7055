//! Releases that real Flux installs, and keeps as they are in Git.

use charttrust::api::quarantine::ObjectState;
use charttrust_e2e::charts::Source;
use charttrust_e2e::flux::{self, Flux};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::setup::{DEPLOYMENT, Deployed, Kind, Object, stage};

pub(crate) const HELM_RELEASE: Kind = (
    "helm.toolkit.fluxcd.io",
    "v2",
    "HelmRelease",
    "helmreleases",
);

pub(crate) async fn with_flux() -> &'static Flux {
    static FLUX: OnceCell<Flux> = OnceCell::const_new();
    let start = async || Flux::start(stage().await.cluster).await.unwrap();
    FLUX.get_or_init(start).await
}

/// A release that looks every second whether the cluster is as it says.
fn eager() -> Value {
    json!({"interval": "1s", "driftDetection": {"mode": "enabled"}})
}

fn chart(version: &str, replicas: u32) -> Source {
    Source::new("web", version).with_file("values.yaml", &format!("replicas: {replicas}\n"))
}

/// Flux has installed `web` in version 1.0.0 with three replicas, and it is trusted.
async fn deployed(prefix: &str) -> Deployed {
    with_flux().await;
    let scene = Deployed::begin(prefix).await;
    let key = Some(&scene.key);
    scene.publish(&chart("1.0.0", 3), key).await;
    deploy(&scene, "web").await;
    scene.expect("web", "SignatureVerified").await;
    scene
}

async fn deploy(scene: &Deployed, name: &str) {
    let cluster = stage().await.cluster;
    let done = flux::release(cluster, &scene.story, name, "1.0.0", eager()).await;
    done.unwrap();
    scene
        .object(HELM_RELEASE, name)
        .until("is ready", is_ready)
        .await;
}

fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Proves that Flux is at work: what a person scales of another release, it puts back.
async fn flux_puts_back_another(scene: &Deployed) {
    let user = with_flux().await.identity.user();
    let other = scene.object(DEPLOYMENT, "other");
    let before = other.writes_by(user).await;
    other.change(json!({"spec": {"replicas": 0}})).await;
    other.written_again(user, before).await;
    other.has_replicas(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_is_suspended_first_fights_nobody_and_goes_on_afterwards() {
    let flux = with_flux().await.identity.user();
    let scene = deployed("flux-pause").await;
    let (release, workload) = (
        scene.object(HELM_RELEASE, "web"),
        scene.object(DEPLOYMENT, "web"),
    );
    let before = [release.essence().await, workload.essence().await];

    scene.revoke().await;
    let object = scene.contained("web").await;
    let objects = object.status.unwrap().objects;
    let kinds: Vec<_> = objects.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(kinds, ["HelmRelease", "NetworkPolicy", "Deployment"]);
    assert_eq!(release.json().await["spec"]["suspend"], true);
    workload.has_replicas(0).await;
    // What it had begun before it was paused may have been written until then.
    let by_flux = workload.writes_by(flux).await;
    let ([paused], [stopped]) = (
        release.operator_wrote().await,
        workload.operator_wrote().await,
    );
    assert!(paused < stopped);

    // Asked to reconcile at once, as `flux reconcile` does; and Flux is at work elsewhere.
    let asked = |time: Value| json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": time}}});
    release.change(asked(json!("now"))).await;
    deploy(&scene, "other").await;
    flux_puts_back_another(&scene).await;
    scene.contained("web").await;
    workload.has_replicas(0).await;
    assert_eq!(workload.writes_by(flux).await, by_flux);
    release.change(asked(Value::Null)).await;

    scene.withdraw().await;
    scene.no_quarantine("web").await;
    assert_eq!([release.essence().await, workload.essence().await], before);
    let [_, resumed] = release.operator_wrote().await;
    let [_, started, _] = workload.operator_wrote().await;
    assert!(started < resumed);

    // Flux looks after it again.
    workload.change(json!({"spec": {"replicas": 1}})).await;
    workload.has_replicas(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_a_person_has_suspended_stays_suspended() {
    let scene = deployed("flux-suspended").await;
    let (release, workload) = (
        scene.object(HELM_RELEASE, "web"),
        scene.object(DEPLOYMENT, "web"),
    );
    release.change(json!({"spec": {"suspend": true}})).await;
    let before = [release.essence().await, workload.essence().await];
    scene.revoke().await;
    let contained = scene.contained("web").await.status.unwrap();
    assert_eq!(contained.contained, 2, "{contained:#?}");
    workload.has_replicas(0).await;
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    assert_eq!([release.essence().await, workload.essence().await], before);
    workload.operator_wrote::<3>().await;
    release.operator_wrote::<0>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flux_that_was_not_to_be_suspended_is_told_of_and_not_fought() {
    let scene = deployed("flux-unpaused").await;
    let (release, workload) = (
        scene.object(HELM_RELEASE, "web"),
        scene.object(DEPLOYMENT, "web"),
    );
    let user = with_flux().await.identity.user();
    let before = release.essence().await;
    let by_flux = workload.writes_by(user).await;
    scene.contain("web", &["ScaleToZero"]).await;
    workload.written_again(user, by_flux).await;
    let api = scene.quarantines();
    scene
        .expect_condition(&api, "web", "Contested=True/ChangedByOthers")
        .await;
    workload.has_replicas(3).await;
    let status = api.get("web").await.unwrap().status.unwrap();
    assert_eq!(status.objects[0].state, ObjectState::Kept);
    let told = &status.uncontained[0];
    assert!(
        told.kind == "HelmRelease" && told.message.contains("add PauseDeployer"),
        "{told:?}"
    );
    workload.operator_wrote::<1>().await;

    scene.delete_quarantine("web").await;
    workload.has_replicas(3).await;
    workload.holds_nothing_of_ours().await;
    assert_eq!(release.essence().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_forward_is_a_resumed_release_of_a_chart_signed_anew() {
    let scene = deployed("flux-forward").await;
    let (release, workload) = (
        scene.object(HELM_RELEASE, "web"),
        scene.object(DEPLOYMENT, "web"),
    );
    scene.revoke().await;
    scene.contained("web").await;

    scene.sign_anew("2.0.0").await;
    let forward = json!({"spec": {"suspend": false, "chart": {"spec": {"version": "2.0.0"}}}});
    release.change(forward).await;

    scene.expect("web", "SignatureVerified").await;
    scene.no_quarantine("web").await;
    workload.has_replicas(4).await;
    assert_eq!(release.json().await["spec"]["suspend"], false);
    release.holds_nothing_of_ours().await;
    workload.holds_nothing_of_ours().await;
    // Suspended once, and never again after the person had resumed it.
    assert_eq!(release.changes_of("/spec/suspend").await, 1);

    workload.change(json!({"spec": {"replicas": 1}})).await;
    workload.has_replicas(4).await;
}

/// What it asks for, and who says so, whenever that was.
async fn said(object: &Object) -> Value {
    let mut said = object.essence().await;
    for entry in said["owners"].as_array_mut().unwrap() {
        entry.as_object_mut().unwrap().remove("time");
    }
    said
}

/// A Kustomization with `suspend: false` in Git applies that every few minutes, and nobody has decided so.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_tool_resumes_is_paused_again_with_what_flux_makes_of_it() {
    let scene = deployed("flux-undone").await;
    let (release, workload) = (
        scene.object(HELM_RELEASE, "web"),
        scene.object(DEPLOYMENT, "web"),
    );
    let git = || json!({"spec": {"suspend": false}});
    release.apply_as("kustomize-controller", git()).await;
    // By this name Flux puts back what it deploys.
    workload.change(json!({"spec": {"replicas": 1}})).await;
    workload.has_replicas(3).await;
    let owners = workload.json().await["metadata"]["managedFields"].take();
    let is_flux = |entry: &&Value| entry["manager"] == "helm-controller";
    let mut by_flux = owners.as_array().unwrap().iter().filter(is_flux);
    let is_of_replicas = |entry: &Value| !entry["fieldsV1"]["f:spec"]["f:replicas"].is_null();
    assert!(by_flux.any(is_of_replicas), "{owners:#}");
    let before = [said(&release).await, said(&workload).await];
    scene.revoke().await;
    scene.contained("web").await;
    workload.has_replicas(0).await;

    release.apply_as("kustomize-controller", git()).await;
    let api = scene.quarantines();
    let undone = "Contested=True/Undone";
    let message = scene.expect_condition(&api, "web", undone).await;
    let named = "HelmRelease web by kustomize-controller (1 times)";
    assert!(message.contains(named), "{message}");
    let is_suspended = |object: &Value| object["spec"]["suspend"] == true;
    release.until("is suspended again", is_suspended).await;
    scene.contained("web").await;
    workload.has_replicas(0).await;

    scene.withdraw().await;
    scene.no_quarantine("web").await;
    assert_eq!([said(&release).await, said(&workload).await], before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_whose_namespace_goes_leaves_none_suspended_elsewhere() {
    with_flux().await;
    let scene = Deployed::begin("flux-far").await;
    let key = Some(&scene.key);
    scene.publish(&chart("1.0.0", 3), key).await;
    let cluster = stage().await.cluster;
    let home = cluster.namespace("flux-home").await.unwrap();
    // A value of its own, which is not the same as none.
    let more = json!({"suspend": false});
    flux::deploy_from(cluster, &scene, &home, more)
        .await
        .unwrap();
    let release = scene.object_in(&home, HELM_RELEASE, "web");
    release.until("is ready", is_ready).await;
    scene.expect("web", "SignatureVerified").await;
    let before = release.essence().await;

    scene.revoke().await;
    let objects = scene.contained("web").await.status.unwrap().objects;
    assert_eq!(objects[0].kind, "HelmRelease");
    assert_eq!(objects[0].namespace.as_deref(), Some(home.as_str()));
    assert_eq!(release.json().await["spec"]["suspend"], true);
    let namespaces = Api::<Namespace>::all(scene.client.clone());
    let params = DeleteParams::default();
    namespaces.delete(&scene.namespace, &params).await.unwrap();
    scene.no_quarantine("web").await;
    assert_eq!(release.essence().await, before);
    // Suspended, resumed, and given back to whoever had said so.
    release.operator_wrote::<3>().await;
    release.delete().await;
}

/// The policy names no login; the `HelmRepository` does, and its Secret is the only one that is got.
#[tokio::test(flavor = "multi_thread")]
async fn a_private_repository_is_asked_with_the_login_of_flux() {
    with_flux().await;
    let scene = Deployed::begin("flux-login").await;
    let stage = stage().await;
    let mark = stage.cluster.mark();
    scene.publish(&chart("1.0.0", 3), Some(&scene.key)).await;
    scene.repository.require_login("ada", "canary");
    let login = ("ada", "canary");
    let made = flux::private_repository(stage.cluster, &scene.story, "private", login).await;
    scene.done("declare the repository", made);
    let mut spec = eager();
    spec["chart"] = json!({"spec": {"sourceRef": {"name": "private"}}});
    let made = flux::release(stage.cluster, &scene.story, "web", "1.0.0", spec).await;
    scene.done("declare the release", made);
    let trust = scene.expect("web", "SignatureVerified").await;
    let said = serde_json::to_string(&trust).unwrap();
    assert!(!said.contains("canary"), "{said}");
    let got = stage.cluster.asked_since(mark).by(stage.identity.user());
    let got = got.of("secrets").only(|event| event.verb == "get");
    assert!(!got.is_empty());
    for event in got.iter() {
        let place = (event.namespace.as_str(), event.name.as_str(), event.code);
        assert_eq!(place, (scene.namespace.as_str(), "charts-login", 200));
    }
    let log = stage.operator(|operator| operator.log());
    assert!(!log.contains("canary"));
}
