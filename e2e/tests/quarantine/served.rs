//! What the API server calls in a release that a policy contains: stopping it would block others.

use charttrust::api::quarantine::Quarantine;
use charttrust_e2e::stage::workloads::{automatic, chart};
use charttrust_e2e::stage::{Opening, Scene, Stage};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::DeleteParams;

use crate::{charttrust, stage};

/// A webhook that must answer, asked about something that no other story makes.
const GUARD: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}-guard}
spec:
  replicas: 2
  selector: {matchLabels: {app: guard}}
  template:
    metadata: {labels: {app: guard}}
    spec:
      containers: [{name: main, image: registry.example.com/pause:1}]
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}-guard}
spec:
  selector: {app: {{ .Values.selected | default \"guard\" }}}
  ports: [{port: 443, targetPort: 8443}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: guard-{{ .Release.Namespace }}}
webhooks:
- name: guard.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Release.Namespace }}}}
  rules:
  - {apiGroups: [\"\"], apiVersions: [v1], operations: [CREATE], resources: [{{ .Values.about | default \"limitranges\" }}]}
  clientConfig:
    service: {namespace: {{ .Release.Namespace }}, name: {{ .Release.Name }}-guard}
";

async fn guarded(stage: &Stage, prefix: &str, values: &str) -> Scene {
    let values = format!("replicas: 3\n{values}");
    let source = chart("1.0.0")
        .with_file("templates/guard.yaml", GUARD)
        .with_file("values.yaml", &values);
    let scene = Opening::new(prefix)
        .with_chart(source)
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    scene
}

async fn guards(scene: &Scene) -> Option<i64> {
    let live = scene.json::<Deployment>("web-guard").await;
    live["spec"]["replicas"].as_i64()
}

fn configurations(scene: &Scene) -> Api<ValidatingWebhookConfiguration> {
    Api::all(scene.client.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_serves_a_live_webhook_waits_for_a_person_and_all_else_is_contained() {
    let stage = stage().await;
    let scene = guarded(&stage, "webhook", "").await;
    let object: Quarantine = scene
        .quarantine_has("web", "Active=False/AwaitingApproval")
        .await;
    assert_eq!(scene.replicas().await, 0);
    assert_eq!(guards(&scene).await, Some(2));
    let served = format!("ValidatingWebhookConfiguration guard-{}", scene.namespace);
    let status = object.status.unwrap();
    let left = status.uncontained.iter().find(|one| one.runs).unwrap();
    assert_eq!(left.name, "web-guard");
    assert_eq!(left.waits_for.as_ref(), Some(&served));
    let note = scene.event("AwaitingApproval").await;
    assert!(note.contains(&served), "{note}");

    let release = format!("{}/web", scene.namespace);
    let asking = ["quarantine", &release, "--reason", "the webhook is theirs"];
    let (code, shown) = charttrust(&stage, &[&asking[..], &["--dry-run"]].concat()).await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("web-guard: stopped"), "{shown}");
    assert!(shown.contains("delete it with kubectl first"), "{shown}");
    assert_eq!(guards(&scene).await, Some(2));
    let (code, approved) = charttrust(&stage, &[&asking[..], &["--yes"]].concat()).await;
    assert_eq!(code, Some(0), "{approved}");
    assert!(approved.contains("is Contained"), "{approved}");
    assert_eq!(guards(&scene).await, Some(0));
    scene.delete_quarantine("web").await;
    assert_eq!(guards(&scene).await, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_configuration_it_is_stopped_as_the_rest() {
    let stage = stage().await;
    let scene = guarded(&stage, "webhook-gone", "").await;
    scene
        .quarantine_has("web", "Active=False/AwaitingApproval")
        .await;
    let name = format!("guard-{}", scene.namespace);
    let all = configurations(&scene);
    all.delete(&name, &DeleteParams::default()).await.unwrap();
    scene.look().await;
    scene.contained("web").await;
    assert_eq!(guards(&scene).await, Some(0));
}

/// Each in a namespace of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_for_show_saves_nobody() {
    let stage = stage().await;
    let elsewhere = guarded(&stage, "webhook-nobody", "selected: nobody\n").await;
    let nothing = guarded(&stage, "webhook-nothing", "about: nothings\n").await;
    for scene in [elsewhere, nothing] {
        scene.contained("web").await;
        assert_eq!(guards(&scene).await, Some(0), "{}", scene.namespace);
    }
}
