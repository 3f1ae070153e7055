//! A key is stolen that many releases of one namespace rest on, and the namespace is full of Pods.

use std::time::Instant;

use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::operator::Operator;
use charttrust_e2e::stage::workloads::automatic;
use charttrust_e2e::stage::{self, Opening, Scene};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::run::{Bench, PATIENCE, judged, memory, number, print_memory};
use crate::{Arguments, Result};

pub(crate) async fn row(bench: &Bench, arguments: &Arguments) -> Result {
    let bad = arguments.sizes.first().copied().unwrap_or(arguments.bad);
    let pods = arguments.pods;
    let kubeconfig = bench.cluster.kubeconfig();
    let rights = stage::path("operator/install/quarantine");
    stage::kubectl(kubeconfig, &["apply", "--server-side", "-f", &rights]).await?;
    let scene = Opening::new("pods").with_quarantine(automatic());
    let scene = scene.declared(bench.cluster).await;
    println!("preparing {pods} Pods and {bad} releases …");
    let chart = scene
        .publish(&Source::new("web", "1.0.0"), Some(&scene.key))
        .await;
    let install = async |number: usize| scene.install(&format!("web-{number}"), &chart).await;
    let all = futures::stream::iter(0..bad).map(install);
    all.buffer_unordered(4).collect::<()>().await;
    fill(&scene, pods).await?;

    let mut operator = bench.start(&["--quarantine"])?;
    operator.ready(PATIENCE).await?;
    judged(&operator, &scene.namespace, bad).await;
    let [idle, _] = memory(operator.id());
    let floor = patched(&scene).await?;
    let began = Instant::now();
    scene.revoke().await;
    contained(&operator, bad).await;
    let took = began.elapsed().as_secs_f64();
    println!("\nquarantine of {bad} releases among {pods} Pods");
    println!("  time to all            {took:.1} s");
    println!("  as many bare patches   {floor:.1} s");
    println!("  P6 {:.2} (goal: at most 1.3 with 1,000)", took / floor);
    let [_, peak] = memory(operator.id());
    println!(
        "  memory above idle      {} MiB at the peak",
        peak.saturating_sub(idle) / 1024
    );
    print_memory(&operator);
    Ok(())
}

/// How many seconds it takes to patch each Deployment once, without any reason: the least of several concurrencies.
async fn patched(scene: &Scene) -> Result<f64> {
    let api = scene.api::<Deployment>();
    let all = api.list_metadata(&ListParams::default()).await?.items;
    let names: Vec<_> = all
        .iter()
        .filter_map(|one| one.metadata.name.clone())
        .collect();
    let mut least = f64::INFINITY;
    for at_a_time in [1, 4, 16, 64] {
        let change =
            json!({"metadata": {"annotations": {"example.com/bench": at_a_time.to_string()}}});
        let patch = async |name: &String| {
            let (parameters, patch) = (PatchParams::default(), Patch::Merge(&change));
            api.patch_metadata(name, &parameters, &patch)
                .await
                .map(drop)
        };
        let began = Instant::now();
        let patches = futures::stream::iter(&names).map(patch);
        patches
            .buffer_unordered(at_a_time)
            .try_collect::<()>()
            .await?;
        least = least.min(began.elapsed().as_secs_f64());
    }
    Ok(least)
}

/// Pods of somebody else, as large as real ones are.
async fn fill(scene: &Scene, count: usize) -> Result {
    let api = scene.api::<Pod>();
    let environment: Vec<_> = (0..100)
        .map(|number| json!({"name": format!("SETTING_{number}"), "value": "x".repeat(100)}))
        .collect();
    let create = async |number: usize| {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": format!("other-{number}"), "labels": {"app": "other"}},
            "spec": {"containers": [{
                "name": "main", "image": "registry.example.com/pause:1", "env": environment,
            }]},
        }))?;
        api.create(&PostParams::default(), &pod).await?;
        Result::Ok(())
    };
    let all = futures::stream::iter(0..count).map(create);
    all.buffer_unordered(16).try_collect().await
}

async fn contained(operator: &Operator, wanted: usize) {
    eventually(PATIENCE, "all are contained", async || {
        let text = operator.metrics().await;
        let text = text.map_err(|error| error.to_string())?;
        let line = |line: &&str| line.starts_with("charttrust_quarantined_releases ");
        let found = text.lines().find(line).and_then(number).unwrap_or_default();
        if found == wanted {
            Ok(())
        } else {
            Err(format!("{found} of {wanted}"))
        }
    })
    .await;
}
