//! Every guard of a quarantine, alone: each of these turns red when the one that it names is gone.
//! What the steps of one quarantine guard is told by `quarantine::preconditions`.

mod again;
mod applications;
mod ends;
mod forged;
mod identities;
mod memory;
mod restores;
mod starts;
mod writes;

use std::time::Duration;

use charttrust_verify::verdict::{Basis, Verdict};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{incidents, start};
use crate::clock::{Moment, tick};
use crate::controllers::context::QuarantineSettings;
use crate::controllers::quarantine;
use crate::controllers::store::{Outcomes, Waiting};
use crate::controllers::task::Task;
use crate::controllers::testing::{
    OPERATOR_NAMESPACE, POLICY, Scene, id, quarantine_of, revocation, stolen, web,
};
use crate::inventory::ReleaseId;
use crate::inventory::helm::Driver;
use crate::leader::Leadership;
use crate::quarantine::incident::{Incidents, RevocationId};

const NOTHING: [&str; 0] = [];
const START: &str = "POST shop/quarantines";
const END: &str = "DELETE shop/quarantines/web";
const TELL: &str = "PUT shop/quarantines/web/status";
const FREE: &str = "PATCH shop/quarantines/web";
const TRUSTED: Verdict = Verdict::Trusted(Basis::SignatureVerified);
const HOUR: Duration = Duration::from_secs(3600);

/// What makes it a case, and what is different then.
type Case = (&'static str, fn(&Scene));

/// What is written to Quarantines when the policy decides.
async fn decided(scene: &Scene) -> Vec<String> {
    decided_after(scene, Duration::ZERO).await
}

/// What is written to Quarantines when the policy decides so much later.
async fn decided_after(scene: &Scene, wait: Duration) -> Vec<String> {
    let Moment { date, tick } = Moment::now();
    let tick = tick + wait;
    let decided = start::reconcile(&scene.context, POLICY, Moment { date, tick }).await;
    decided.unwrap();
    scene.of_quarantines()
}

/// Longer than any release may keep others from being contained.
const LONG: Duration = Duration::from_secs(301);

/// What is written to Quarantines when that of `shop/web` is reconciled at.
async fn reconciled(scene: &Scene) -> Vec<String> {
    quarantine::reconcile(&scene.context, &web(), Moment::now(), crate::clock::tick())
        .await
        .unwrap();
    scene.of_quarantines()
}

fn outcomes(scene: &Scene) -> Outcomes {
    scene.context.store.outcomes(POLICY)
}

fn waiting(scene: &Scene) -> Option<Waiting> {
    let release = scene.context.store.release(&web()).unwrap();
    *release.decisions.get(POLICY).unwrap()
}

fn forum() -> ReleaseId {
    id("shop", "forum")
}

fn of_revocation() -> RevocationId {
    RevocationId::of(&revocation()).unwrap()
}

fn incident() -> String {
    Incidents::default().id_of(&of_revocation()).to_string()
}

/// Something is remembered before the operator starts.
fn remember(scene: &Scene, note: impl Fn(&mut Incidents)) {
    let mut incidents = Incidents::default();
    note(&mut incidents);
    let path = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/configmaps/charttrust-incidents");
    let map = json!({"metadata": {"name": "charttrust-incidents"}, "data": incidents.data()});
    scene.cluster.put(&path, map);
}

async fn remembered(scene: &Scene) -> Incidents {
    incidents::read(&scene.context).await.unwrap()
}

fn contained(changes: &Value) -> Value {
    let mut object = json!({"status": {"incident": incident(), "conditions": [{
        "type": "Active", "status": "True", "reason": "Contained", "message": "",
        "observedGeneration": 1, "lastTransitionTime": "2026-11-18T10:00:00Z",
    }]}});
    json_patch::merge(&mut object, changes);
    object
}

fn being_deleted(changes: &Value) -> Value {
    let mut object = contained(&json!({
        "metadata": {"deletionTimestamp": "2026-11-18T10:00:00Z"},
    }));
    json_patch::merge(&mut object, changes);
    object
}

fn by_a_person(mut object: Value) -> Value {
    object["spec"] = json!({"policy": null});
    object
}

async fn report_only() -> Scene {
    let scene = Scene::with(None, Leadership::Alone).await;
    scene.declare(&json!({}));
    scene.install(&web(), Driver::Secret);
    scene.judge(&web(), vec![stolen()]);
    scene
}

/// Whether a task waits for so long from now, as it was asked for since `before`.
fn is_due_after(scene: &Scene, task: &Task, before: Instant, wait: Duration) -> bool {
    let at = scene.context.queues.tasks.due_at(task);
    at.is_some_and(|at| (before + wait..=tick() + wait).contains(&at))
}

const WORKLOAD: &str = "/apis/apps/v1/namespaces/web/deployments/a";

/// The Application `shop` of Argo CD, which has deployed one workload into `web`.
async fn of_argo_cd(protected: &[&str]) -> (Scene, ReleaseId) {
    let protected = protected.iter().map(|&name| name.to_owned()).collect();
    let settings = Some(QuarantineSettings { protected });
    let scene = Scene::with(settings, Leadership::Alone).await;
    let resource = json!({
        "group": "apps", "version": "v1", "kind": "Deployment", "namespace": "web", "name": "a",
    });
    scene.cluster.put(
        "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/shop",
        json!({
            "metadata": {"namespace": "argocd", "name": "shop", "uid": "app"},
            "spec": {"destination": {"namespace": "web"}},
            "status": {"controllerNamespace": "argocd", "resources": [resource]},
        }),
    );
    scene.cluster.put(
        WORKLOAD,
        json!({
            "metadata": {"namespace": "web", "name": "a", "uid": "w", "annotations": {
                "argocd.argoproj.io/tracking-id": "shop:apps/Deployment:web/a",
            }},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "a"}}},
        }),
    );
    (scene, id("argocd", "argocd.shop"))
}

/// Puts the policy on the server; gives its path.
fn declared(scene: &Scene) -> String {
    let path = format!("/apis/charttrust.io/v1alpha1/charttrustpolicies/{POLICY}");
    let object = scene.cluster.put(
        &path,
        json!({"apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
            "metadata": {"name": POLICY, "generation": 1}, "spec": {"rules": []}}),
    );
    let object = serde_json::from_value(object).unwrap();
    let policies = &scene.context.cache.policies;
    policies.set(POLICY.to_owned(), Some(Ok(object)));
    path
}

fn active_reason(scene: &Scene) -> String {
    let object = scene.cluster.find(&quarantine_of(&web())).unwrap();
    let conditions = object["status"]["conditions"].as_array().unwrap();
    let active = conditions.iter().find(|one| one["type"] == "Active");
    active.unwrap()["reason"].as_str().unwrap().to_owned()
}

async fn in_protected_namespace() -> Scene {
    let protected = QuarantineSettings {
        protected: vec!["shop".to_owned()],
    };
    let scene = Scene::with(Some(protected), Leadership::Alone).await;
    scene.declare(&json!({}));
    scene.install(&web(), Driver::Secret);
    scene
}
