//! The clock of the operator's machine jumps by a year: nothing is contained for it, nothing comes
//! back for it, and the leader leads on.

use charttrust::api::quarantine::Quarantine;
use charttrust::api::{ChartTrustPolicy, TrustedKey};
use charttrust_e2e::auditor;
use charttrust_e2e::clock::Clock;
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::eventually;
use charttrust_e2e::operator::binary;
use charttrust_e2e::proxy::Proxy;
use charttrust_e2e::stage::{
    OPERATOR_NAMESPACE, Opening, Power, SOON, Scene, Setting, Stage, workloads::automatic,
};
use jiff::SignedDuration;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

const YEAR: i64 = 365 * 86_400;

#[tokio::test(flavor = "multi_thread")]
async fn a_year_forwards_and_back_contains_nothing_and_ends_nothing() {
    let clock = Clock::new().unwrap();
    let (stage, _proxy) = behind(&clock).await;
    let audit = stage.cluster.audit().unwrap();
    let start = audit.mark().unwrap();
    let running = expiring(&stage).await;
    let contained = Opening::of_every_kind("contained")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    contained.revoke().await;
    contained
        .quarantine_has("web", "Active=True/Contained")
        .await;
    let calm = [running.workloads().await, contained.workloads().await];
    let leader = lease(&stage).await;

    for (years, word) in [
        (1, "KeyExpired"),
        (0, "SignatureVerified"),
        (-1, "SignerNotTrusted"),
        (0, "SignatureVerified"),
    ] {
        clock.jump(years * YEAR).unwrap();
        is_led(&stage).await;
        judged_anew(&running).await;
        judged_anew(&contained).await;
        running.expect("web", word).await;
        contained.expect("web", "KeyCompromised").await;
        // Long enough to act on it.
        is_led(&stage).await;
        contained
            .quarantine_has("web", "Active=True/Contained")
            .await;
    }

    assert_eq!(
        [running.workloads().await, contained.workloads().await],
        calm
    );
    contained
        .quarantine_has("web", "Active=True/Contained")
        .await;
    assert_eq!(quarantined(&running).await, [contained.namespace.as_str()]);
    let now = lease(&stage).await;
    assert_eq!(now.holder_identity, leader.holder_identity);
    assert_eq!(now.lease_transitions, leader.lease_transitions);

    contained.withdraw().await;
    contained.no_quarantine("web").await;
    let events = audit.since(start).unwrap();
    let us = [stage.identity.user()];
    let found = auditor::check(&events, &us, OPERATOR_NAMESPACE);
    assert_eq!(found.breaches, [], "of {} writes", found.checked);
    let log = stage.operator(|operator| operator.log());
    assert_eq!(auditor::panics(&log), []);
}

/// The operator behind a clock, and behind a proxy: the certificate of the API server is valid for a
/// year only, which is not what this is about. It leads as one of several would.
async fn behind(clock: &Clock) -> (Stage, Proxy) {
    let binary = clock.before(&binary()).unwrap();
    let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
    let proxy = Proxy::start(cluster.kubeconfig()).await.unwrap();
    let setting = Setting {
        proxy: Some(&proxy),
        more: Vec::new(),
        ..Setting::new(binary, Power::Contains)
    };
    (Stage::set(cluster, setting).await, proxy)
}

/// A trusted release whose key expires in half a year, under a policy that contains at once.
async fn expiring(stage: &Stage) -> Scene {
    let scene = Opening::of_every_kind("expiring")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    // By the API server's own clock.
    let trust = scene.trusts().get("web").await.unwrap();
    let today = trust.metadata.creation_timestamp.unwrap().0;
    let end = today + SignedDuration::from_hours(24 * 180);
    let end = json!({"spec": {"notAfter": end.to_string()}});
    scene.story.patch::<TrustedKey>(&scene.key.name, end).await;
    let rule = scene.rule(
        "*",
        &[&scene.key],
        json!({"verify": {"expiredKeys": "Reject"}}),
    );
    let rules = json!({"spec": {"rules": [rule]}});
    scene
        .story
        .patch::<ChartTrustPolicy>(&scene.policy, rules)
        .await;
    scene.expect("web", "SignatureVerified").await;
    scene
}

/// Any change of a policy has everything judged anew that it applies to.
async fn judged_anew(scene: &Scene) {
    let policy = scene.policies().get(&scene.policy).await.unwrap();
    let rule = format!("after-{}", policy.metadata.generation.unwrap());
    let mut rules = serde_json::to_value(policy.spec.rules).unwrap();
    rules[0]["name"] = rule.into();
    let change = json!({"spec": {"rules": rules}});
    let story = &scene.story;
    story.patch::<ChartTrustPolicy>(&scene.policy, change).await;
}

/// The lease is renewed twice, by the same replica.
async fn is_led(stage: &Stage) {
    let first = lease(stage).await;
    let mut last = first.clone();
    let mut renewals = 0;
    eventually(SOON, "the lease is renewed twice", async || {
        let now = lease(stage).await;
        assert_eq!(now.holder_identity, first.holder_identity);
        assert_eq!(now.lease_transitions, first.lease_transitions);
        if now.renew_time != last.renew_time {
            assert!(now.renew_time > last.renew_time);
            last = now;
            renewals += 1;
        }
        if renewals < 2 { Err(renewals) } else { Ok(()) }
    })
    .await;
    let metrics = stage.operator(|operator| operator.metrics_url());
    let metrics = reqwest::get(metrics).await.unwrap().text().await.unwrap();
    assert!(metrics.lines().any(|line| line == "charttrust_leader 1"));
}

/// The namespaces that hold a Quarantine.
async fn quarantined(scene: &Scene) -> Vec<String> {
    let all = Api::<Quarantine>::all(scene.client.clone());
    let all = all.list(&ListParams::default()).await.unwrap();
    let namespaces = all.iter().filter_map(kube::ResourceExt::namespace);
    namespaces.collect()
}

async fn lease(stage: &Stage) -> k8s_openapi::api::coordination::v1::LeaseSpec {
    let client = stage.cluster.client().await.unwrap();
    let leases = Api::<Lease>::namespaced(client, OPERATOR_NAMESPACE);
    leases.get("charttrust").await.unwrap().spec.unwrap()
}
