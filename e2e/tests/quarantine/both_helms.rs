//! Containing a release and putting it back, with both Helms.

use charttrust::api::ChartTrustPolicy;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{
    Opening, SOON,
    workloads::{automatic, chart},
};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::ListParams;
use serde_json::json;

use crate::{ALL, not_contained, stage};

async fn a_person_contains_a_release_and_gets_it_back_as_it_was(version: Version) {
    let stage = stage().await;
    let scene = Opening::of_every_kind("by-hand")
        .with_helm(version)
        .trusted(stage.cluster)
        .await;
    let before = scene.workloads().await;

    scene.contain("web", &ALL).await;
    let object = scene.quarantine_has("web", "Active=True/Contained").await;
    scene
        .quarantine_has("web", "Isolated=True/TrafficDenied")
        .await;
    let status = object.status.unwrap();
    assert_eq!(not_contained(&status), Vec::<&str>::new(), "{status:#?}");
    assert_eq!(status.uncontained, []);
    assert_eq!(scene.replicas().await, 0);
    assert_eq!(
        scene.json::<StatefulSet>("web-db").await["spec"]["replicas"],
        0
    );
    assert_eq!(
        scene.json::<CronJob>("web-nightly").await["spec"]["suspend"],
        true
    );
    let agent = scene.json::<DaemonSet>("web-agent").await;
    let selector = &agent["spec"]["template"]["spec"]["nodeSelector"];
    assert_eq!(*selector, json!({"charttrust.io/quarantined": "true"}));
    let denial = scene
        .json::<NetworkPolicy>("charttrust-quarantine-web")
        .await;
    assert_eq!(denial["spec"]["policyTypes"], json!(["Egress", "Ingress"]));
    let trusts = scene.trusts();
    scene
        .expect_condition(&trusts, "web", "Quarantined=True/Active")
        .await;

    scene.delete_quarantine("web").await;
    assert_eq!(scene.workloads().await, before);
    let policies = scene
        .api::<NetworkPolicy>()
        .list(&ListParams::default())
        .await
        .unwrap();
    assert!(policies.items.is_empty());
    scene.event("Restored").await;

    let archive = scene.publish(&chart("1.0.1"), Some(&scene.key)).await;
    let archive = archive.archive.to_string_lossy().into_owned();
    let helm = &scene.helm;
    let set = ["--set", "replicas=5"];
    helm.upgrade(&scene.namespace, "web", &archive, &set)
        .await
        .unwrap();
    assert_eq!(scene.replicas().await, 5);
}

async fn a_revocation_contains_and_its_withdrawal_restores(version: Version) {
    let stage = stage().await;
    let scene = Opening::of_every_kind("automatic")
        .with_helm(version)
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    let before = scene.workloads().await;
    scene.revoke().await;
    let object = scene.quarantine_has("web", "Active=True/Contained").await;
    assert_eq!(object.spec.policy.as_ref(), Some(&scene.policy));
    let incident = object.status.unwrap().incident.unwrap();
    assert!(
        incident.starts_with(&scene.key.key.fingerprint),
        "{incident}"
    );
    assert_eq!(scene.replicas().await, 0);
    eventually(SOON, "the policy counts it", async || {
        let policy = scene
            .policies()
            .get(&scene.policy)
            .await
            .map_err(|e| e.to_string())?;
        let counts = policy.status.unwrap_or_default().quarantine;
        if counts.active == 1 {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    })
    .await;

    scene.withdraw().await;
    scene.no_quarantine("web").await;
    assert_eq!(scene.workloads().await, before);
    scene.expect("web", "SignatureVerified").await;

    // Declared again it is another incident.
    scene.revoke().await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    assert_eq!(scene.workloads().await, before);
}

macro_rules! with_both_helms {
    ($($name:ident)+) => {
        mod helm_3 { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(charttrust_e2e::helm::Version::V3).await; })+ }
        mod helm_4 { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(charttrust_e2e::helm::Version::V4).await; })+ }
    };
}

with_both_helms! {
    a_person_contains_a_release_and_gets_it_back_as_it_was
    a_revocation_contains_and_its_withdrawal_restores
    an_upgrade_to_a_trusted_chart_ends_it_and_its_values_stand
    an_upgrade_to_no_replicas_stands_when_trust_returns
}

async fn an_upgrade_to_a_trusted_chart_ends_it_and_its_values_stand(version: Version) {
    let stage = stage().await;
    let scene = Opening::of_every_kind("forward")
        .with_helm(version)
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    let fresh = scene.trusted_key("fresh").await;
    let rules = [scene.rule("*", &[&scene.key, &fresh], json!({}))];
    let change = json!({"spec": {"rules": rules}});
    scene
        .story
        .patch::<ChartTrustPolicy>(&scene.policy, change)
        .await;
    scene.revoke().await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    let source = chart("2.0.0").with_file("values.yaml", "replicas: 4\n");
    let signed = scene.publish(&source, Some(&fresh)).await;
    let archive = signed.archive.to_string_lossy().into_owned();
    let force: &[&str] = match version {
        Version::V3 => &[],
        // Helm 4 says whose fields it would take; the person who goes on takes them.
        Version::V4 => &["--force-conflicts"],
    };
    scene
        .helm
        .upgrade(&scene.namespace, "web", &archive, force)
        .await
        .unwrap();
    scene.expect("web", "SignatureVerified").await;
    scene.no_quarantine("web").await;
    assert_eq!(scene.replicas().await, 4);
    let stateful = scene.json::<StatefulSet>("web-db").await;
    assert_eq!(stateful["spec"]["replicas"], 2);
    assert!(!stateful.to_string().contains("charttrust.io/quarantine"));

    // Back to what the stolen key has signed: trust had ended the quarantine, not a person.
    scene
        .helm
        .rollback(&scene.namespace, "web", 1)
        .await
        .unwrap();
    scene.quarantine_has("web", "Active=True/Contained").await;
    assert_eq!(scene.replicas().await, 0);
}

/// An upgrade to no replicas is meant, though the field is that already while it is contained.
async fn an_upgrade_to_no_replicas_stands_when_trust_returns(version: Version) {
    let stage = stage().await;
    let scene = Opening::of_every_kind("to-zero")
        .with_helm(version)
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    let bad = scene.publish(&chart("1.0.1"), Some(&scene.key)).await;
    let archive = bad.archive.to_string_lossy().into_owned();
    let force: &[&str] = match version {
        Version::V3 => &["--set", "replicas=0"],
        Version::V4 => &["--set", "replicas=0", "--force-conflicts"],
    };
    scene
        .helm
        .upgrade(&scene.namespace, "web", &archive, force)
        .await
        .unwrap();
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    assert_eq!(scene.replicas().await, 0, "as the upgrade says");
    let live = scene.json::<Deployment>("web").await.to_string();
    assert!(!live.contains("charttrust"), "{live}");
    let stateful = scene.json::<StatefulSet>("web-db").await;
    assert_eq!(
        stateful["spec"]["replicas"], 2,
        "what it leaves comes back as before"
    );
}
