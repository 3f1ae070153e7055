//! Faults of the API server, as the operator reads it: what it says too late, twice, in another order or not at
//! all, and what it does when it is started anew or is full. `docs/threats.md` names them by their numbers.

use std::io::Write as _;
use std::time::Duration;

use charttrust_e2e::audit::{Events, Mark};
use charttrust_e2e::auditor;
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::operator::{Operator, binary};
use charttrust_e2e::proxy::Proxy;
use charttrust_e2e::shards::is_taken;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, Power, Scene, Setting, Stage, verdict};
use charttrust_e2e::{eventually, lasting};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

mod canaries;
mod lagging;
mod process;
mod requests;
mod rights;
mod server;
mod watches;

/// An operator that contains and reaches the API server only through a proxy that fails.
struct Failing {
    stage: Stage,
    proxy: Proxy,
}

/// One for all stories of this program, one after the other.
async fn failing() -> MutexGuard<'static, Failing> {
    static FAILING: OnceCell<Mutex<Failing>> = OnceCell::const_new();
    let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
    let set = async || Mutex::new(Failing::on(cluster).await);
    let failing = FAILING.get_or_init(set).await.lock().await;
    // What a story that has failed left is no fault of the next.
    failing.proxy.behave();
    failing.stage.operator(Operator::thaw);
    if failing
        .stage
        .operator(|operator| operator.ended().is_some())
    {
        failing.stage.restart().await;
    }
    failing
}

/// One on a cluster of its own, for what all others would feel.
async fn alone() -> Failing {
    let cluster = Cluster::start(env!("CARGO_BIN_EXE_testbed")).unwrap();
    Failing::on(Box::leak(Box::new(cluster))).await
}

impl Failing {
    async fn on(cluster: &'static Cluster) -> Self {
        let proxy = Proxy::start(cluster.kubeconfig()).await.unwrap();
        let setting = Setting {
            proxy: Some(&proxy),
            ..Setting::new(binary(), Power::Contains)
        };
        let stage = Stage::set(cluster, setting).await;
        Self { stage, proxy }
    }

    /// For so long the operator answers at once, and keeps its memory.
    async fn lives(&self, time: Duration) {
        let operator = |operator: &mut Operator| (operator.health().to_owned(), operator.id());
        let (health, id) = self.stage.operator(operator);
        let alive = lasting(time, async || Operator::pulse(&health, id).await);
        assert_eq!(alive.await, Ok(()));
    }
}

/// Those of all cases that this run takes: all with `CHARTTRUST_CHAOS=all`, otherwise one of so many shards, so that
/// different commits take different ones (`CHARTTRUST_CHAOS=K`).
fn taken<T>(all: impl IntoIterator<Item = T>, shards: usize) -> Vec<T> {
    let all = all.into_iter().enumerate();
    let taken = all.filter(|(number, _)| is_taken(*number, shards));
    taken.map(|(_, one)| one).collect()
}

/// Straight to the terminal: the harness swallows what is printed.
fn say(text: &str) {
    let mut terminal = std::io::stderr();
    writeln!(terminal, "faults: {text}").unwrap();
}

/// How long nothing has to happen that a story says does not.
const WHILE: Duration = Duration::from_secs(5);

/// What was written since then breaches no invariant, and the operator has not panicked.
fn audited(stage: &Stage, start: Mark) {
    breaches_nothing(stage, &stage.cluster.asked_since(start));
}

fn breaches_nothing(stage: &Stage, events: &Events) {
    let us = [stage.identity.user()];
    let found = auditor::check(events, &us, OPERATOR_NAMESPACE);
    assert_eq!(found.breaches, [], "of {} writes", found.checked);
    let log = stage.operator(|operator| operator.log());
    assert_eq!(auditor::panics(&log), []);
}

/// Waits until the release `web` rests on a key that is known to be stolen.
async fn revocation_is_seen(scene: &Scene, within: Duration) {
    eventually(within, "the revocation is seen", async || {
        let trust = scene.trusts().get("web").await;
        let seen = verdict(&trust.map_err(|error| error.to_string())?);
        if seen.contains("KeyCompromised") {
            Ok(())
        } else {
            Err(seen)
        }
    })
    .await;
}
