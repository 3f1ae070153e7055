//! Quarantines on a real control plane with real Helm: what is changed, what comes back, and what
//! is never touched. The operator of these stories runs with `--quarantine`.

use std::sync::LazyLock;

use charttrust::api::quarantine::{ObjectState, QuarantineStatus};
use charttrust::api::quarantine_words::QuarantineAction;
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::operator::binary;
use charttrust_e2e::stage::{Power, Setting, Stage};
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

mod begins;
mod both_helms;
mod brakes;
mod commands;
mod ends;
mod evasion;
mod events;
mod kinds;
mod left;
mod network;
mod others;
mod redeployed;
mod runs_on;
mod served;
mod tenant;
mod thief;

/// One operator for all: stories that restart it have it alone.
async fn shared() -> &'static RwLock<Stage> {
    static STAGE: OnceCell<RwLock<Stage>> = OnceCell::const_new();
    let set = async || {
        let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
        RwLock::new(Stage::set(cluster, Setting::new(binary(), Power::Contains)).await)
    };
    STAGE.get_or_init(set).await
}

/// Once a story: while another waits to have it alone, whoever asks again waits for that one for ever.
pub(crate) async fn stage() -> RwLockReadGuard<'static, Stage> {
    let stage = shared().await.read().await;
    if stage.operator(|operator| operator.ended().is_none()) {
        return stage;
    }
    drop(stage);
    stage_alone().await.downgrade()
}

/// A story that had stopped the operator and failed is no fault of the next.
pub(crate) async fn stage_alone() -> RwLockWriteGuard<'static, Stage> {
    let stage = shared().await.write().await;
    if stage.operator(|operator| operator.ended().is_some()) {
        stage.restart().await;
    }
    stage
}

/// Every action: of a new one that the fence or a right refuses, each story that takes all of them says so.
pub(crate) static ALL: LazyLock<Vec<&str>> = LazyLock::new(|| {
    QuarantineAction::ALL
        .iter()
        .map(|action| action.word())
        .collect()
});

/// Names of what was recorded and is not contained, whatever the actions: `contained` counts the others.
pub(crate) fn not_contained(status: &QuarantineStatus) -> Vec<&str> {
    let objects = status.objects.iter();
    let (contained, other): (Vec<_>, Vec<_>) =
        objects.partition(|one| one.state == ObjectState::Contained);
    assert_eq!(status.contained as usize, contained.len(), "{status:#?}");
    other.into_iter().map(|one| one.name.as_str()).collect()
}

/// Runs a command of the real binary as the administrator; its exit code and what it printed.
pub(crate) async fn charttrust(stage: &Stage, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::new(binary());
    command
        .args(arguments)
        .env("KUBECONFIG", stage.cluster.kubeconfig())
        .stdin(std::process::Stdio::null());
    let output = command.output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}
