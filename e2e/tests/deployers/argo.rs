//! Applications of real Argo CD, which keeps no record, and undoes within seconds what others
//! change.

use charttrust::api::quarantine::QuarantineStatus;
use charttrust::api::quarantine::{ObjectState, Quarantine};
use charttrust_e2e::argo::{Argo, NAMESPACE};
use charttrust_e2e::charts::Source;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::setup::{DEPLOYMENT, Deployed, Kind, NETWORK_POLICY, Object, stage};

pub(crate) const APPLICATION: Kind = ("argoproj.io", "v1alpha1", "Application", "applications");

pub(crate) async fn with_argo() -> &'static Argo {
    static ARGO: OnceCell<Argo> = OnceCell::const_new();
    let start = async || Argo::start(stage().await.cluster).await.unwrap();
    ARGO.get_or_init(start).await
}

/// More of a sync policy than what a quarantine takes away.
pub(crate) fn sync_policy() -> Value {
    json!({"syncPolicy": {
        "automated": {"prune": true, "selfHeal": true, "allowEmpty": true},
        "retry": {"limit": 3},
        "syncOptions": ["CreateNamespace=true"],
    }})
}

/// A story with a chart `web` of three replicas.
async fn begin(prefix: &str) -> Deployed {
    let scene = Deployed::begin(prefix).await;
    let chart = Source::new("web", "1.0.0").with_file("values.yaml", "replicas: 3\n");
    scene.publish(&chart, Some(&scene.key)).await;
    scene
}

/// The Application, and what it has deployed.
async fn deployed(scene: &Deployed) -> (Object, Object) {
    let cluster = stage().await.cluster;
    let argo = with_argo().await;
    let done = argo.deploy(cluster, scene, "1.0.0", sync_policy()).await;
    done.unwrap();
    let application = scene.object_in(NAMESPACE, APPLICATION, &scene.namespace);
    let is_done = |object: &Value| {
        is_synced(object) && object["status"]["operationState"]["phase"] == "Succeeded"
    };
    application.until("is synced", is_done).await;
    let workload = scene.object(DEPLOYMENT, "web");
    workload.has_replicas(3).await;
    (application, workload)
}

pub(crate) fn is_synced(application: &Value) -> bool {
    application["status"]["sync"]["status"] == "Synced"
}

/// Its spec and metadata without what Argo CD itself writes.
pub(crate) async fn essence(application: &Object) -> Value {
    let mut essence = application.essence().await;
    let owners = essence["owners"].as_array_mut().unwrap();
    owners.retain(|entry| entry["manager"] != "argocd-application-controller");
    essence
}

/// Proves that Argo CD is at work: what a person scales, it puts back.
pub(crate) async fn argo_puts_back(workload: &Object) {
    argo_puts_back_to(workload, 3).await;
}

async fn argo_puts_back_to(workload: &Object, replicas: i64) {
    let user = with_argo().await.identity.user();
    let before = workload.writes_by(user).await;
    workload.change(json!({"spec": {"replicas": 0}})).await;
    workload.written_again(user, before).await;
    workload.has_replicas(replicas).await;
}

const ALL: [&str; 3] = ["PauseDeployer", "IsolateNetwork", "ScaleToZero"];

#[tokio::test(flavor = "multi_thread")]
async fn argo_is_paused_first_fights_nobody_and_goes_on_with_the_very_same_policy() {
    let user = with_argo().await.identity.user();
    let mut scene = begin("argo-pause").await;
    let neighbour = begin("argo-neighbour").await;
    let (application, workload) = deployed(&scene).await;
    let (_, other) = deployed(&neighbour).await;
    let marks = workload.json().await["metadata"]["annotations"].to_string();
    assert!(marks.contains("argocd.argoproj.io/tracking-id") && !marks.contains("meta.helm.sh"));
    let before = [essence(&application).await, workload.essence().await];

    scene.quarantine_namespace = NAMESPACE.to_owned();
    let release = format!("argocd.{}", scene.namespace);
    scene.contain(&release, &ALL).await;
    let status = scene.contained(&release).await.status.unwrap();
    lists_its_objects(&status, &scene.namespace);
    workload.has_replicas(0).await;
    // What it had begun before it was paused may have been written until then.
    let by_argo = workload.writes_by(user).await;
    let policy = application.json().await["spec"]["syncPolicy"].take();
    let mut paused = sync_policy()["syncPolicy"].take();
    paused.as_object_mut().unwrap().remove("automated");
    assert_eq!(policy, paused);
    let ([paused], [stopped]) = (
        application.operator_wrote().await,
        workload.operator_wrote().await,
    );
    assert!(paused < stopped);

    // It sees that the workload was stopped, is at work elsewhere, and leaves it.
    application
        .until("is out of sync", |object| !is_synced(object))
        .await;
    argo_puts_back(&other).await;
    scene.contained(&release).await;
    workload.has_replicas(0).await;
    assert_eq!(workload.writes_by(user).await, by_argo);

    scene.delete_quarantine(&release).await;
    assert_eq!(
        [essence(&application).await, workload.essence().await],
        before
    );
    let [_, resumed, _] = application.operator_wrote().await;
    let [_, started, _] = workload.operator_wrote().await;
    assert!(started < resumed);
    let denial = format!("charttrust-quarantine-{release}");
    scene
        .object(NETWORK_POLICY, &denial)
        .operator_wrote::<2>()
        .await;
    application.until("is synced again", is_synced).await;
    argo_puts_back(&workload).await;
}

/// The Application, the denial of traffic and the workload, in this order and where they lie.
fn lists_its_objects(status: &QuarantineStatus, namespace: &str) {
    let listed = status.objects.iter().map(|object| {
        let place = object.namespace.as_deref();
        (object.kind.as_str(), place)
    });
    let there = Some(namespace);
    let expected = [
        ("Application", None),
        ("NetworkPolicy", there),
        ("Deployment", there),
    ];
    assert_eq!(listed.collect::<Vec<_>>(), expected);
    assert_eq!(status.uncontained, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argo_that_was_not_to_be_paused_is_told_of_and_not_fought() {
    let mut scene = begin("argo-unpaused").await;
    let (application, workload) = deployed(&scene).await;
    let before = essence(&application).await;
    scene.quarantine_namespace = NAMESPACE.to_owned();
    let release = format!("argocd.{}", scene.namespace);
    let user = with_argo().await.identity.user();
    let by_argo = workload.writes_by(user).await;
    scene.contain(&release, &["ScaleToZero"]).await;
    workload.written_again(user, by_argo).await;
    let api = scene.quarantines();
    let contested = "Contested=True/ChangedByOthers";
    scene.expect_condition(&api, &release, contested).await;
    workload.has_replicas(3).await;
    let status = api.get(&release).await.unwrap().status.unwrap();
    assert_eq!(status.objects[0].state, ObjectState::Kept);
    let told = &status.uncontained[0];
    let is_told = told.kind == "Application" && told.message.contains("add PauseDeployer");
    assert!(is_told, "{told:?}");
    workload.operator_wrote::<1>().await;

    scene.delete_quarantine(&release).await;
    workload.has_replicas(3).await;
    workload.holds_nothing_of_ours().await;
    application.operator_wrote::<0>().await;
    assert_eq!(essence(&application).await, before);
}

/// A release of Helm that Argo CD has taken over.
async fn adopted(prefix: &str) -> (Deployed, Object, Object) {
    let scene = begin(prefix).await;
    let chart = Source::new("web", "1.0.0").with_file("values.yaml", "replicas: 3\n");
    let chart = scene.package(&chart, Some(&scene.key)).await;
    scene.install("web", &chart).await;
    let (application, workload) = deployed(&scene).await;
    scene.expect("web", "SignatureVerified").await;
    (scene, application, workload)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argo_that_has_taken_over_a_release_of_helm_is_paused_with_it() {
    let (scene, application, workload) = adopted("argo-adopted").await;
    let before = [essence(&application).await, workload.essence().await];

    scene.revoke().await;
    let object: Quarantine = scene.contained("web").await;
    let objects = object.status.unwrap().objects;
    assert_eq!(objects[0].kind, "Application");
    assert_eq!(objects[0].namespace.as_deref(), Some(NAMESPACE));
    application
        .until("is out of sync", |object| !is_synced(object))
        .await;
    workload.has_replicas(0).await;
    let ([paused], [stopped]) = (
        application.operator_wrote().await,
        workload.operator_wrote().await,
    );
    assert!(paused < stopped);

    scene.withdraw().await;
    scene.no_quarantine("web").await;
    assert_eq!(
        [essence(&application).await, workload.essence().await],
        before
    );
    application.until("is synced again", is_synced).await;
    argo_puts_back(&workload).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_forward_is_a_resumed_application_of_a_chart_signed_anew() {
    let (scene, application, workload) = adopted("argo-forward").await;
    scene.revoke().await;
    scene.contained("web").await;
    workload.has_replicas(0).await;

    let chart = scene.sign_anew("2.0.0").await;
    let (cluster, argo) = (stage().await.cluster, with_argo().await);
    let forward = argo.deploy(cluster, &scene, "2.0.0", sync_policy()).await;
    forward.unwrap();
    workload.has_replicas(4).await;
    // The record is Helm's, and a person brings it along.
    scene.upgrade_forcing("web", &chart).await;
    scene.expect("web", "SignatureVerified").await;
    scene.no_quarantine("web").await;
    workload.has_replicas(4).await;
    let policy = application.json().await["spec"]["syncPolicy"].take();
    assert_eq!(policy, sync_policy()["syncPolicy"]);
    application.holds_nothing_of_ours().await;
    workload.holds_nothing_of_ours().await;
    // Paused once, and never again after the person had resumed it.
    assert_eq!(
        application.changes_of("/spec/syncPolicy/automated").await,
        1
    );
    application.until("is synced", is_synced).await;
    argo_puts_back_to(&workload, 4).await;
}
