//! A source that takes every request and never answers, of which many charts are installed, and a release
//! of another source.

use std::time::{Duration, Instant};

use charttrust_e2e::charts::Source;
use charttrust_e2e::repository::{Fault, Repository};
use charttrust_e2e::stage::Opening;
use serde_json::json;

use crate::Result;
use crate::run::{Bench, PATIENCE, judged};

pub(crate) async fn row(bench: &Bench, hanging: usize) -> Result {
    let scene = Opening::new("slow").declared(bench.cluster).await;
    let slow = Repository::start()?;
    slow.misbehave("/index.yaml", Fault::Slow(PATIENCE * 10));
    let source = json!({"sources": [{"url": slow.url()}]});
    let rules = [
        scene.rule("slow-*", &[&scene.key], source),
        scene.rule("*", &[&scene.key], json!({})),
    ];
    scene
        .patch::<charttrust::api::ChartTrustPolicy>(
            &scene.policy,
            json!({"spec": {"rules": rules}}),
        )
        .await;
    println!("preparing {hanging} releases of a source that hangs …");
    for number in 0..hanging {
        let name = format!("slow-{number}");
        let chart = scene.package(&Source::new(&name, "1.0.0"), None).await;
        scene.install(&name, &chart).await;
    }
    let chart = scene
        .publish(&Source::new("web", "1.0.0"), Some(&scene.key))
        .await;
    let mut operator = bench.start(&[])?;
    operator.ready(PATIENCE).await?;
    // Until the workers that may hang do.
    tokio::time::sleep(HANGING).await;
    let began = Instant::now();
    scene.install("web", &chart).await;
    judged(&operator, &scene.namespace, 1).await;
    println!("\n{hanging} releases of a source that hangs, one of another");
    let seconds = began.elapsed().as_secs_f64();
    println!("  from helm install to the other's first verdict {seconds:.1} s");
    println!("  requests that hang     {}", slow.requests().len());
    Ok(())
}

const HANGING: Duration = Duration::from_secs(8);
