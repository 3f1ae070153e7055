//! Releases whose replicas the real autoscaler of Kubernetes decides.

use charttrust_e2e::charts::Source;
use serde_json::json;

use crate::setup::{DEPLOYMENT, Deployed, Kind};

const AUTOSCALER: Kind = (
    "autoscaling",
    "v2",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
);

/// A workload that leaves its replicas to an autoscaler, which wants two at least.
const SCALED: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec: {containers: [{name: main, image: registry.example.com/pause:1}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: {{ .Release.Name }}}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ .Release.Name }}}
  minReplicas: 2
  maxReplicas: 5
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}
";

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_rests_meanwhile_and_decides_again_afterwards() {
    let scene = Deployed::begin("autoscaler").await;
    let source = Source::new("web", "1.0.0").with_file("templates/deployment.yaml", SCALED);
    let chart = scene.publish(&source, Some(&scene.key)).await;
    scene.install("web", &chart).await;
    scene.expect("web", "SignatureVerified").await;
    let autoscaler = scene.object(AUTOSCALER, "web");
    let workload = scene.object(DEPLOYMENT, "web");
    workload.has_replicas(2).await;
    let before = [autoscaler.essence().await, workload.essence().await];

    scene.revoke().await;
    let status = scene.contained("web").await.status.unwrap();
    let recorded = status.objects.iter().find(|one| one.kind == "Deployment");
    let recorded = recorded.unwrap();
    assert_eq!(recorded.original.as_deref(), Some("2"));
    assert_eq!(recorded.autoscaler.as_deref(), Some("web"));
    workload.has_replicas(0).await;
    autoscaler
        .has_condition("ScalingActive=False/ScalingDisabled")
        .await;
    workload.has_replicas(0).await;

    scene.withdraw().await;
    scene.no_quarantine("web").await;
    assert_eq!(
        [autoscaler.essence().await, workload.essence().await],
        before
    );
    workload.operator_wrote::<3>().await;
    autoscaler.operator_wrote::<0>().await;

    // It wants more meanwhile, and gets it once there is something to scale.
    scene.revoke().await;
    scene.contained("web").await;
    let more = json!({"spec": {"minReplicas": 4}});
    autoscaler.change(more).await;
    autoscaler
        .has_condition("ScalingActive=False/ScalingDisabled")
        .await;
    workload.has_replicas(0).await;
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    workload.has_replicas(4).await;
    workload.holds_nothing_of_ours().await;
    workload.operator_wrote::<6>().await;
    autoscaler.operator_wrote::<0>().await;
}
