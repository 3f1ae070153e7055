//! What holds automatic quarantine back, and what whoever may write in one namespace cannot make of it.

use charttrust::api::conditions::{PolicyCondition, find};
use charttrust::api::quarantine::Quarantine;
use charttrust::api::{ChartTrustPolicy, ReleaseTrust};
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::stage::{
    Opening, Scene,
    workloads::{automatic, chart},
};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::stage;

/// Another namespace under the same policy, in which `web` is installed too.
struct Victim {
    quarantines: Api<Quarantine>,
}

impl Victim {
    async fn beside(scene: &Scene, cluster: &Cluster, namespace: &str) -> Self {
        let namespace = cluster.namespace(namespace).await.unwrap();
        let releases = [&scene.namespace, &namespace].map(|one| format!("{one}/*"));
        let change = json!({"spec": {"match": {"releases": releases}}});
        scene.patch::<ChartTrustPolicy>(&scene.policy, change).await;
        let archive = scene.publish(&chart("1.0.1"), Some(&scene.key)).await;
        let archive = archive.archive.to_string_lossy().into_owned();
        let installed = scene.helm.install(&namespace, "web", &archive, &[]).await;
        installed.unwrap();
        let trusts = Api::<ReleaseTrust>::namespaced(scene.client.clone(), &namespace);
        let verified = "Trusted=True/SignatureVerified";
        scene.expect_condition(&trusts, "web", verified).await;
        Self {
            quarantines: Api::namespaced(scene.client.clone(), &namespace),
        }
    }

    async fn is_contained(&self, scene: &Scene) {
        let contained = "Active=True/Contained";
        scene
            .expect_condition(&self.quarantines, "web", contained)
            .await;
    }
}

fn limited(limit: Value) -> Value {
    let mut quarantine = automatic();
    quarantine["limit"] = limit;
    quarantine
}

/// Copies the record of `web` as another release.
async fn copy(scene: &Scene, name: &str) {
    let secrets = scene.api::<Secret>();
    let template = secrets.get("sh.helm.release.v1.web.v1").await.unwrap();
    let secret = charttrust_e2e::record::copy(&template, name, |_| ()).unwrap();
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    scene.expect(name, "SignatureVerified").await;
}

/// Six writes of one tenant must not keep a stolen key's releases running anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn copies_of_a_record_keep_nothing_from_being_contained() {
    let stage = stage().await;
    let limit = json!({"maxReleases": 5, "maxPercent": 100, "maxPerNamespace": 3});
    let scene = Opening::of_every_kind("copies")
        .with_quarantine(limited(limit))
        .trusted(stage.cluster)
        .await;
    let victim = Victim::beside(&scene, stage.cluster, "copies-victim").await;
    for number in 0..6 {
        copy(&scene, &format!("copy{number}")).await;
    }
    scene.revoke().await;
    victim.is_contained(&scene).await;
    scene.contained("web").await;
    assert_eq!(scene.replicas().await, 0);
    let trusts = scene.trusts();
    for number in 0..6 {
        let name = format!("copy{number}");
        let nothing = "Quarantined=False/NothingToContain";
        scene.expect_condition(&trusts, &name, nothing).await;
        let found = scene.quarantines().get_opt(&name).await.unwrap();
        assert!(found.is_none(), "{name}");
    }
    let policy = scene.policies().get(&scene.policy).await.unwrap();
    let conditions = policy.status.unwrap().conditions;
    let stopped = find(&conditions, PolicyCondition::QuarantineStopped);
    assert_eq!(stopped, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_asks_for_too_much_stops_only_itself() {
    let stage = stage().await;
    let limit = json!({"maxReleases": 2, "maxPercent": 100, "maxPerNamespace": 1});
    let scene = Opening::of_every_kind("crowded")
        .with_quarantine(limited(limit))
        .trusted(stage.cluster)
        .await;
    let victim = Victim::beside(&scene, stage.cluster, "crowded-victim").await;
    let archive = scene.publish(&chart("1.0.0"), Some(&scene.key)).await;
    scene.install("forum", &archive).await;
    scene.expect("forum", "SignatureVerified").await;
    scene.revoke().await;
    victim.is_contained(&scene).await;
    let policies = scene.policies();
    let stopped = "QuarantineStopped=True/LimitReached";
    let message = scene
        .expect_condition(&policies, &scene.policy, stopped)
        .await;
    let named = format!("Due: {}/forum,web", scene.namespace);
    assert!(message.contains("2 are due in namespaces"), "{message}");
    assert!(message.ends_with(&named), "{message}");
    assert!(scene.quarantines().get_opt("web").await.unwrap().is_none());
    assert_eq!(scene.replicas().await, 3);

    // The way on.
    let raise =
        json!({"spec": {"quarantine": {"limit": {"maxReleases": 3, "maxPerNamespace": 2}}}});
    scene.patch::<ChartTrustPolicy>(&scene.policy, raise).await;
    scene.contained("web").await;
    scene.contained("forum").await;
}

/// Whoever may only write `ConfigMap`s must not disarm: neither by one that is no record, nor by one
/// of a newer revision in another namespace.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_record_disarms_nothing() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("second")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    let archive = scene.publish(&chart("1.0.0"), Some(&scene.key)).await;
    scene.install("forum", &archive).await;
    scene.expect("forum", "SignatureVerified").await;
    let mut record = record_of(&scene, "forum").await;
    record["namespace"] = json!("elsewhere");
    record["version"] = json!(9);
    let elsewhere = charttrust_e2e::record::encode(&record).unwrap();
    let elsewhere: ByteString = serde_json::from_value(json!(elsewhere)).unwrap();
    let elsewhere = String::from_utf8(elsewhere.0).unwrap();
    store(&scene, "web", 1, "x").await;
    store(&scene, "forum", 9, &elsewhere).await;
    scene.expect("web", "ReleaseUnreadable").await;
    scene.expect_finding("forum", "OtherRevision").await;
    scene.revoke().await;
    for (release, told) in [
        ("web", "ConfigMap sh.helm.release.v1.web.v1"),
        ("forum", "namespace elsewhere"),
    ] {
        let object = scene.contained(release).await;
        let left = object.status.unwrap().uncontained;
        let mut of_records = left.iter().filter(|one| one.kind == "record");
        assert!(of_records.any(|one| one.message.contains(told)), "{left:?}");
    }
    assert_eq!(scene.replicas().await, 0);
}

async fn record_of(scene: &Scene, release: &str) -> Value {
    let name = format!("sh.helm.release.v1.{release}.v1");
    let secret = scene.api::<Secret>().get(&name).await.unwrap();
    charttrust_e2e::record::decode(&secret.data.unwrap()["release"].0).unwrap()
}

/// Writes a record of Helm's other driver.
async fn store(scene: &Scene, release: &str, revision: u32, payload: &str) {
    let map: ConfigMap = serde_json::from_value(json!({
        "metadata": {
            "name": format!("sh.helm.release.v1.{release}.v{revision}"),
            "labels": {"owner": "helm", "name": release, "status": "deployed",
                "version": revision.to_string()},
        },
        "data": {"release": payload},
    }))
    .unwrap();
    let maps = scene.api::<ConfigMap>();
    maps.create(&PostParams::default(), &map).await.unwrap();
}
