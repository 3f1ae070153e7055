//! Events, as `kubectl describe` shows them: it asks for those that regard the object by its uid.

use charttrust_e2e::eventually;
use charttrust_e2e::stage::{Opening, SOON, Scene, Stage, kubectl, workloads::automatic};
use serde_json::json;

use crate::{ALL, stage};

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_describe_shows_the_events_of_all_four_kinds() {
    let stage = stage().await;
    let mut quarantine = automatic();
    quarantine["limit"] = json!({"maxReleases": 1, "maxPercent": 100});
    let scene = Opening::of_every_kind("described")
        .with_quarantine(quarantine)
        .trusted(stage.cluster)
        .await;
    let chart = charttrust_e2e::charts::Source::new("other", "1.0.0");
    let chart = scene.publish(&chart, Some(&scene.key)).await;
    scene.install("other", &chart).await;
    scene.expect("other", "SignatureVerified").await;

    scene.revoke().await;
    describes(&stage, &scene, "trustedkey", &scene.key.name, "Compromised").await;
    describes(&stage, &scene, "releasetrust", "web", "KeyCompromised").await;
    let policy = "charttrustpolicy";
    describes(&stage, &scene, policy, &scene.policy, "QuarantineStopped").await;
    scene.contain("web", &ALL).await;
    describes(&stage, &scene, "quarantine", "web", "Quarantined").await;
}

async fn describes(stage: &Stage, scene: &Scene, kind: &str, name: &str, reason: &str) {
    let kubeconfig = stage.cluster.kubeconfig();
    let what = format!("kubectl describe {kind} {name} shows an event {reason}");
    eventually(SOON, &what, async || {
        let describe = ["describe", kind, name, "-n", &scene.namespace];
        let text = kubectl(kubeconfig, &describe).await;
        let text = text.map_err(|error| error.to_string())?;
        let (_, events) = text.rsplit_once("\nEvents:").unwrap_or_default();
        let mut words = events.split_whitespace();
        if words.any(|word| word == reason) {
            Ok(())
        } else {
            Err(format!("Events:{events}"))
        }
    })
    .await;
}
