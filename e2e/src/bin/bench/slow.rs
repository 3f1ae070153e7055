//! A source that sends a byte a second, of which many charts are installed, and releases of another source.

use std::time::{Duration, Instant};

use charttrust_e2e::charts::Source;
use charttrust_e2e::operator::Operator;
use charttrust_e2e::repository::{Fault, Repository};
use charttrust_e2e::stage::{Opening, Scene};
use serde_json::json;

use crate::Result;
use crate::run::{Bench, PATIENCE, judged};

pub(crate) async fn row(bench: &Bench, slow_releases: usize) -> Result {
    let scene = Opening::new("slow").declared(bench.cluster).await;
    let slow = Repository::start()?;
    slow.put("index.yaml", "apiVersion: v1\nentries: {}\n".repeat(1000))?;
    slow.misbehave("/index.yaml", Fault::Trickle(Duration::from_secs(1)));
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
    let mut operator = bench.start(&[])?;
    operator.ready(PATIENCE).await?;
    let alone = verdicts(&scene, &operator, 0).await;
    println!("preparing {slow_releases} releases of a source that sends a byte a second …");
    for number in 0..slow_releases {
        let name = format!("slow-{number}");
        let chart = scene.package(&Source::new(&name, "1.0.0"), None).await;
        scene.install(&name, &chart).await;
    }
    // Until the workers that may be kept are.
    tokio::time::sleep(KEPT).await;
    let beside = verdicts(&scene, &operator, TIMES).await;
    let ratio = beside.as_secs_f64() / alone.as_secs_f64();
    println!(
        "\n{slow_releases} releases of a source that sends a byte a second, and {TIMES} of another"
    );
    println!(
        "  verdict without them   {:.2} s (median)",
        alone.as_secs_f64()
    );
    println!("  verdict beside them    {:.2} s", beside.as_secs_f64());
    println!("  ratio                  {ratio:.2}");
    println!("  requests there         {}", slow.requests().len());
    if ratio > MOST {
        return Err(format!("another source's verdict took {ratio:.2} times as long").into());
    }
    Ok(())
}

/// How long it takes from the end of `helm install` to a verdict, in the middle of several.
async fn verdicts(scene: &Scene, operator: &Operator, before: usize) -> Duration {
    let mut taken = Vec::new();
    for number in before..before + TIMES {
        let source = Source::new(&format!("web-{number}"), "1.0.0");
        let chart = scene.publish(&source, Some(&scene.key)).await;
        let release = chart.name.clone();
        scene.install(&release, &chart).await;
        let began = Instant::now();
        judged(operator, &scene.namespace, number + 1).await;
        taken.push(began.elapsed());
    }
    taken.sort();
    taken[TIMES / 2]
}

const KEPT: Duration = Duration::from_secs(8);
/// How many are installed, each time.
const TIMES: usize = 7;
/// A machine that does other work is not as quick twice.
const MOST: f64 = 2.5;
