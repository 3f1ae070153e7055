//! An operator that looks for releases in some namespaces only, with rights in these and its own: what it
//! judges and contains there is as everywhere, and nothing is asked for elsewhere.

use charttrust::api::release_trust::Owner;
use charttrust::api::{ChartTrustPolicy, ReleaseTrust};
use charttrust_e2e::audit::Event;
use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::flux::{self, Flux};
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::operator::binary;
use charttrust_e2e::stage::workloads::automatic;
use charttrust_e2e::stage::{
    OPERATOR_NAMESPACE, Power, SOON, Scene, Setting, Stage, Story, install_chart, summary,
};
use charttrust_e2e::{eventually, lasting};
use kube::Api;
use serde_json::{Value, json};

/// A cluster of one operator, which lasts as long as the process.
fn cluster() -> &'static Cluster {
    Box::leak(Box::new(
        Cluster::start(env!("CARGO_BIN_EXE_testbed")).unwrap(),
    ))
}

/// Kinds that lie in no namespace and that the operator may ask for.
const CLUSTER_WIDE: [&str; 7] = [
    "apiservices",
    "charttrustpolicies",
    "customresourcedefinitions",
    "mutatingwebhookconfigurations",
    "trustedidentities",
    "trustedkeys",
    "validatingwebhookconfigurations",
];

/// Whether a request is about nothing but what these namespaces hold, the operator's own, and kinds that
/// lie in none.
fn is_within(event: &Event, namespaces: &[&str]) -> bool {
    let is_ours = |name: &str| namespaces.contains(&name) || name == OPERATOR_NAMESPACE;
    match event.resource.as_str() {
        // Such as `/apis`.
        "" => true,
        "namespaces" => is_ours(&event.name),
        kind if CLUSTER_WIDE.contains(&kind) => event.namespace.is_empty(),
        _ => is_ours(&event.namespace),
    }
}

/// Nothing was asked for elsewhere, and nothing was refused.
fn asked_only_within(stage: &Stage, start: charttrust_e2e::audit::Mark, namespaces: &[&str]) {
    let asked = stage.cluster.asked_since(start).by(stage.identity.user());
    let is_wrong = |event: &&Event| !is_within(event, namespaces) || event.code == 403;
    let wrong: Vec<_> = asked.iter().filter(is_wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    // It was asked at all.
    for (resource, verb) in [
        ("secrets", "list"),
        ("configmaps", "watch"),
        ("helmreleases", "watch"),
        ("releasetrusts", "create"),
        ("quarantines", "create"),
        ("deployments", "patch"),
        ("networkpolicies", "create"),
        ("events", "create"),
    ] {
        let is_one = |event: &&Event| event.resource == resource && event.verb == verb;
        assert!(
            asked.iter().any(|event| is_one(&event)),
            "{verb} {resource}"
        );
    }
}

/// A story with a key, and a policy for all releases of the cluster, with more fields in its spec.
async fn declared(story: Story, mut more: Value) -> Scene {
    let key = story.trusted_key("platform").await;
    more["match"] = json!({"releases": ["*"]});
    let policy = story.policy("policy", &[&key], more).await;
    Scene {
        quarantine_namespace: story.namespace.clone(),
        story,
        key,
        policy,
    }
}

async fn install(story: &Story, release: &str, chart: &Chart) {
    story.install(release, chart).await;
}

/// Waits until `Ready` of the policy says all of this, and nothing of that.
async fn ready_says(scene: &Scene, parts: &[&str], not: &[&str]) {
    let policies: Api<ChartTrustPolicy> = scene.policies();
    eventually(
        SOON,
        &format!("Ready says {parts:?}, not {not:?}"),
        async || {
            let object = policies.get(&scene.policy).await;
            let object = object.map_err(|error| error.to_string())?;
            let object = serde_json::to_value(object).map_err(|error| error.to_string())?;
            let conditions = object["status"]["conditions"].as_array().cloned();
            let conditions = conditions.unwrap_or_default();
            let ready = conditions
                .iter()
                .find(|one| summary(one) == "Ready=True/Reconciled");
            let ready = ready.ok_or_else(|| format!("{conditions:?}"))?;
            let said = ready["message"].as_str().unwrap_or_default();
            let has = |part: &&str| said.contains(*part);
            if parts.iter().all(&has) && !not.iter().any(has) {
                Ok(())
            } else {
                Err(said.to_owned())
            }
        },
    )
    .await;
}

fn owner(trust: &ReleaseTrust) -> Option<Owner> {
    Some(trust.status.as_ref()?.release.as_ref()?.owner)
}

fn web(version: &str) -> Source {
    Source::new("web", version).with_file("values.yaml", "replicas: 3\n")
}

/// Install, upgrade, verdicts, a `HelmRelease` of Flux, a revocation that contains and a return of trust.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_of_two_namespaces_asks_for_nothing_elsewhere() {
    let cluster = cluster();
    let flux = Flux::start(cluster).await.unwrap();
    let bank = Story::begin(cluster, "bank", Version::V3).await;
    let shop = Story::begin(cluster, "shop", Version::V4).await;
    let yard = Story::begin(cluster, "yard", Version::V4).await;
    let (here, there) = (bank.namespace.clone(), shop.namespace.clone());
    let namespaces = [here.as_str(), there.as_str()];
    let start = cluster.mark();
    let setting = Setting::new(binary(), Power::Contains).within(&namespaces);
    let stage = Stage::set(cluster, setting).await;

    let scene = declared(shop, json!({"quarantine": automatic()})).await;
    let chart = scene.publish(&web("1.0.0"), Some(&scene.key)).await;
    for story in [&*scene, &bank, &yard] {
        install(story, "web", &chart).await;
    }
    scene.expect("web", "SignatureVerified").await;
    bank.expect("web", "SignatureVerified").await;
    let both = format!("sees the namespaces {here}, {there} only");
    ready_says(&scene, &[&both], &["without"]).await;

    // Flux deploys from objects of one of the namespaces, and from elsewhere.
    let released = flux::release(cluster, &scene, "flux", "1.0.0", json!({})).await;
    scene.done("declare a HelmRelease", released);
    let trust = scene.expect("flux", "SignatureVerified").await;
    assert_eq!(owner(&trust), Some(Owner::Flux));
    let named = json!({"releaseName": "far"});
    let released = flux::deploy_from(cluster, &scene, &yard.namespace, named).await;
    scene.done("declare a HelmRelease elsewhere", released);
    let trust = scene.expect("far", "SourceUnknown").await;
    let said = format!("{:?}", trust.status.unwrap().conditions);
    assert!(said.contains("does not look at that namespace"), "{said}");

    let unsigned = scene.publish(&web("1.1.0"), None).await;
    bank.upgrade("web", &unsigned).await;
    bank.expect("web", "Unsigned").await;
    contained_and_restored(&scene, &bank).await;
    nothing_is_said_of(&yard).await;
    stage.at_rest(&scene.namespace).await;
    asked_only_within(&stage, start, &namespaces);
    drop(flux);
}

/// A revocation contains what stands in the namespaces, a `HelmRelease` of one of them is suspended, and all
/// is as it was when it is withdrawn.
async fn contained_and_restored(scene: &Scene, bank: &Story) {
    scene.revoke().await;
    for release in ["web", "flux"] {
        scene.contained(release).await;
    }
    assert_eq!(scene.replicas().await, 0);
    bank.expect("web", "Unsigned").await;
    scene.withdraw().await;
    for release in ["web", "flux"] {
        scene.no_quarantine(release).await;
        scene.expect(release, "SignatureVerified").await;
    }
    assert_eq!(scene.replicas().await, 3);
}

async fn nothing_is_said_of(yard: &Story) {
    lasting(std::time::Duration::from_secs(1), async || {
        let found = yard.trusts().list(&kube::api::ListParams::default()).await;
        let found = found.map_err(|error| error.to_string())?.items;
        if found.is_empty() {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await
    .unwrap();
}

/// Whoever names a namespace that does not exist yet is told, and need not restart the operator.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_comes_later_is_told_until_it_is_there() {
    let cluster = cluster();
    let shop = Story::begin(cluster, "shop", Version::V4).await;
    let here = shop.namespace.clone();
    let start = cluster.mark();
    let mut setting = Setting::new(binary(), Power::Reports).within(&[&here]);
    let off = "discovery.unaccounted=false".to_owned();
    setting.values.push(off);
    setting.more.pop();
    setting
        .more
        .push(format!("--discover-namespaces={here},later"));
    let stage = Stage::set(cluster, setting).await;

    let scene = declared(shop, json!({})).await;
    let chart = scene.publish(&web("1.0.0"), Some(&scene.key)).await;
    scene.install("web", &chart).await;
    scene.expect("web", "SignatureVerified").await;
    // It has no right to look whether it is there.
    ready_says(&scene, &["without namespace later"], &[]).await;

    let later = Story::named(cluster, "later", Version::V4).await;
    install(&later, "web", &chart).await;
    let helm = Helm::new(Version::V4).unwrap().on(cluster.kubeconfig());
    let names = format!("discovery.namespaces={{{here},later}}");
    let installed = install_chart(&helm, cluster.kubeconfig(), &["--set", &names]).await;
    scene.done("make the Roles", installed);
    later.expect("web", "SignatureVerified").await;
    let both = format!("sees the namespaces later, {here} only");
    ready_says(&scene, &[&both], &["without"]).await;

    // And one that goes takes nothing along but what was in it.
    let namespaces = Api::<k8s_openapi::api::core::v1::Namespace>::all(scene.client.clone());
    let deleted = namespaces
        .delete("later", &kube::api::DeleteParams::default())
        .await;
    scene.done("delete the namespace", deleted);
    ready_says(&scene, &["without namespace later"], &[]).await;
    scene.expect("web", "SignatureVerified").await;
    asked_for_no_workloads(&stage, start);
}

/// Where nobody looks for what has no record, workloads are neither asked for nor refused.
fn asked_for_no_workloads(stage: &Stage, start: charttrust_e2e::audit::Mark) {
    let asked = stage.cluster.asked_since(start).by(stage.identity.user());
    for kind in [
        "cronjobs",
        "daemonsets",
        "deployments",
        "jobs",
        "statefulsets",
    ] {
        let of_kind = asked.clone().of(kind);
        assert!(of_kind.is_empty(), "{of_kind:?}");
    }
}
