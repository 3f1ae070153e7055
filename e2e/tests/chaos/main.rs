//! Crashes: the real operator is killed before and after each of its writes, or loses the answer,
//! is refused, or loses its watches, and ends where an undisturbed one does.
//!
//! `CHARTTRUST_CHAOS=all` takes every point; otherwise a shard of them is taken, so that different
//! commits take different ones (`CHARTTRUST_CHAOS=K`).

use std::io::Write as _;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use charttrust_e2e::auditor;
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::operator::Operator;
use charttrust_e2e::proxy::{Fault, Proxy};
use charttrust_e2e::stage::Stage;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

mod meanwhile;
mod quarantines;
#[path = "../scene/mod.rs"]
mod scene;
mod verdicts;

/// An operator that reaches the API server only through a proxy that fails.
struct Chaos {
    stage: Stage,
    proxy: Proxy,
    _kubeconfig: TempDir,
}

async fn chaos() -> MutexGuard<'static, Chaos> {
    static CHAOS: OnceCell<Mutex<Chaos>> = OnceCell::const_new();
    let set = async || {
        let binary = std::env::var("CHARTTRUST_BINARY")
            .expect("CHARTTRUST_BINARY names the operator; run make test");
        let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
        let proxy = Proxy::start(cluster.kubeconfig()).await.unwrap();
        let dir = TempDir::new().unwrap();
        let kubeconfig = dir.path().join("kubeconfig");
        let stage = Stage::containing_with(cluster, Path::new(&binary), |options| {
            proxy.kubeconfig(&options.kubeconfig, &kubeconfig)?;
            options.kubeconfig = kubeconfig;
            Ok(())
        });
        Mutex::new(Chaos {
            stage: stage.await.unwrap(),
            proxy,
            _kubeconfig: dir,
        })
    };
    CHAOS.get_or_init(set).await.lock().await
}

/// Whether this run takes a point, if there are so many shards.
fn is_taken(number: usize, shards: usize) -> bool {
    let asked = std::env::var("CHARTTRUST_CHAOS").unwrap_or_default();
    match asked.parse::<usize>() {
        Ok(shard) => number % shards == shard % shards,
        Err(_) => asked == "all" || number.is_multiple_of(shards),
    }
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
                () = self.held() => self.kill().await,
                () = self.frozen() => self.thaw().await,
            }
        }
        let was_struck = self.proxy.writes().len() >= number;
        if self.proxy.holds() {
            self.kill().await;
        }
        self.proxy.behave();
        was_struck
    }

    async fn held(&self) {
        while !self.proxy.holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn frozen(&self) {
        while !self.proxy.is_frozen() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// After a moment in which the operator may act on what it saw last.
    async fn thaw(&self) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.proxy.join();
    }

    async fn kill(&self) {
        let log = self.stage.operator(|operator| operator.log());
        assert_eq!(auditor::panics(&log), []);
        self.stage.operator(Operator::kill);
        self.proxy.behave();
        self.stage.restart().await.unwrap();
    }
}
