//! Crashes: the real operator is killed before and after each of its writes, or loses the answer,
//! is refused, or loses its watches, and ends where an undisturbed one does.
//!
//! `CHARTTRUST_CHAOS=all` takes every point; otherwise a shard of them is taken, so that different
//! commits take different ones (`CHARTTRUST_CHAOS=K`).

use std::io::Write as _;
use std::pin::pin;
use std::time::Duration;

use charttrust_e2e::auditor;
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::lasting;
use charttrust_e2e::operator::{Operator, binary};
use charttrust_e2e::proxy::{Fault, Proxy};
use charttrust_e2e::stage::{Power, Setting, Stage};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

mod meanwhile;
mod quarantines;
mod verdicts;

/// An operator that reaches the API server only through a proxy that fails.
struct Chaos {
    stage: Stage,
    proxy: Proxy,
}

async fn chaos() -> MutexGuard<'static, Chaos> {
    static CHAOS: OnceCell<Mutex<Chaos>> = OnceCell::const_new();
    let set = async || {
        let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
        let proxy = Proxy::start(cluster.kubeconfig()).await.unwrap();
        let setting = Setting {
            proxy: Some(&proxy),
            ..Setting::new(binary(), Power::Contains)
        };
        let stage = Stage::set(cluster, setting).await;
        Mutex::new(Chaos { stage, proxy })
    };
    CHAOS.get_or_init(set).await.lock().await
}

/// Straight to the terminal: the harness swallows what is printed.
fn say(text: &str) {
    let mut terminal = std::io::stderr();
    writeln!(terminal, "chaos: {text}").unwrap();
}

impl Chaos {
    /// Tells a story while the operator fails at one write. Whether there was such a write.
    async fn tell(&self, number: usize, fault: Fault, story: impl Future<Output = ()>) -> bool {
        self.proxy.strike(number, fault);
        let mut story = pin!(story);
        loop {
            tokio::select! {
                () = &mut story => break,
                () = self.proxy.held() => self.kill().await,
                () = self.proxy.frozen() => self.thaw().await,
            }
        }
        let was_struck = self.proxy.writes().len() >= number;
        if self.proxy.holds() {
            self.kill().await;
        }
        self.proxy.behave();
        was_struck
    }

    /// After a moment in which the operator may act on what it saw last.
    async fn thaw(&self) {
        self.lives(Duration::from_secs(1)).await;
        self.proxy.join();
    }

    /// For so long the operator answers at once, and keeps its memory.
    async fn lives(&self, time: Duration) {
        let operator = |operator: &mut Operator| (operator.health().to_owned(), operator.id());
        let (health, id) = self.stage.operator(operator);
        let alive = lasting(time, async || Operator::pulse(&health, id).await);
        assert_eq!(alive.await, Ok(()));
    }

    async fn kill(&self) {
        let log = self.stage.operator(|operator| operator.log());
        assert_eq!(auditor::panics(&log), []);
        self.stage.operator(Operator::kill);
        self.proxy.behave();
        self.stage.restart().await;
    }
}
