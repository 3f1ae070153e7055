//! A key is stolen that many releases of one namespace rest on, and the namespace is full of Pods: what the operator holds in memory.

use std::time::Instant;

use charttrust_e2e::charts::Source;
use charttrust_e2e::stage::workloads::automatic;
use charttrust_e2e::stage::{Opening, Scene};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use serde_json::json;

use crate::contained::rights;
use crate::run::{Bench, PATIENCE, contained, judged, memory, print_memory};
use crate::{Arguments, Result};

pub(crate) async fn row(bench: &Bench, arguments: &Arguments) -> Result {
    let bad = arguments.sizes.first().copied().unwrap_or(arguments.bad);
    let pods = arguments.pods;
    rights(bench).await?;
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
    let began = Instant::now();
    scene.revoke().await;
    contained(&operator, bad).await;
    let took = began.elapsed().as_secs_f64();
    println!("\nquarantine of {bad} releases among {pods} Pods");
    println!("  time to all            {took:.1} s");
    let [_, peak] = memory(operator.id());
    println!(
        "  memory above idle      {} MiB at the peak",
        peak.saturating_sub(idle) / 1024
    );
    print_memory(&operator);
    Ok(())
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
