//! The operator itself is killed again and again, told to stop, or hardly runs.

use std::time::{Duration, Instant};

use charttrust_e2e::operator::Operator;
use charttrust_e2e::proxy::Fault;
use charttrust_e2e::stage::{Opening, Scene, Stage, workloads::automatic};

use crate::{Failing, audited, failing, say};

async fn scene(failing: &Failing, prefix: &str) -> Scene {
    Opening::of_every_kind(prefix)
        .with_quarantine(automatic())
        .trusted(failing.stage.cluster)
        .await
}

/// Everything is as if nothing had been.
async fn rests(stage: &Stage, scene: &Scene) {
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    scene.expect("web", "SignatureVerified").await;
    stage.at_rest(&scene.namespace).await;
}

/// F4. Killed at moments that have nothing to do with what it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_of_crashes_ends_where_one_run_does() {
    let failing = failing().await;
    let start = failing.stage.cluster.mark();
    let scene = scene(&failing, "loop").await;
    let before = scene.workloads().await;
    let objects = kept(&scene).await;
    for round in 0..CRASHES {
        if round % 2 == 0 {
            scene.revoke().await;
        } else {
            scene.withdraw().await;
        }
        // Longer each time, so that each finds it somewhere else.
        failing.lives(Duration::from_millis(60 * round)).await;
        failing.stage.restart().await;
    }
    scene.revoke().await;
    scene.contained("web").await;
    scene.incident_is_remembered("web").await;
    rests(&failing.stage, &scene).await;
    assert_eq!(scene.workloads().await, before);
    assert_eq!(kept(&scene).await, objects, "nothing is kept of it");
    audited(&failing.stage, start);
}

const CRASHES: u64 = 20;

/// How many objects there are in the story's namespace that the operator makes.
async fn kept(scene: &Scene) -> [usize; 3] {
    let params = kube::api::ListParams::default();
    let trusts = scene.trusts().list(&params).await.unwrap().items.len();
    let quarantines = scene.quarantines().list(&params).await.unwrap().items.len();
    [trusts, quarantines, scene.policies_of_network().await.len()]
}

/// F29. A write is on its way and never answered, others wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_told_to_stop_in_the_middle_stops_soon_and_loses_nothing() {
    let failing = failing().await;
    let start = failing.stage.cluster.mark();
    let scene = scene(&failing, "stops").await;
    let before = scene.workloads().await;
    for fault in [Fault::CrashBefore, Fault::CrashAfter] {
        failing
            .proxy
            .strike_first("PATCH", "/deployments/web", fault);
        scene.revoke().await;
        failing.proxy.held().await;
        let asked = Instant::now();
        let ended = failing.stage.operator(Operator::stop);
        let took = asked.elapsed();
        assert_eq!(ended.and_then(|status| status.code()), Some(0), "{fault:?}");
        assert!(took < GRACE, "{fault:?}: it took {took:?}");
        say(&format!(
            "told to stop with {fault:?}, it ended after {took:?}"
        ));
        failing.proxy.behave();
        failing.stage.restart().await;
        scene.contained("web").await;
        scene.incident_is_remembered("web").await;
        rests(&failing.stage, &scene).await;
        assert_eq!(scene.workloads().await, before, "{fault:?}");
    }
    audited(&failing.stage, start);
}

/// Ten seconds for what is being done, and a little.
const GRACE: Duration = Duration::from_secs(13);

/// F32. It runs for one millisecond in ten: slow, and not wrong.
#[tokio::test(flavor = "multi_thread")]
async fn with_hardly_a_processor_it_is_slow_and_not_wrong() {
    let failing = failing().await;
    let start = failing.stage.cluster.mark();
    let scene = scene(&failing, "slow").await;
    let before = scene.workloads().await;
    let story = async {
        scene.revoke().await;
        scene.contained("web").await;
        scene.incident_is_remembered("web").await;
        rests(&failing.stage, &scene).await;
    };
    tokio::select! {
        () = story => {}
        () = hardly_runs(&failing.stage) => {}
    }
    failing.stage.operator(Operator::thaw);
    assert_eq!(scene.workloads().await, before);
    audited(&failing.stage, start);
}

async fn hardly_runs(stage: &Stage) {
    loop {
        stage.operator(Operator::freeze);
        tokio::time::sleep(Duration::from_millis(45)).await;
        stage.operator(Operator::thaw);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
