//! Crashes: the real operator is killed before and after each of its writes, or loses the answer,
//! and the next one ends where an undisturbed one does.
//!
//! `CHARTTRUST_CHAOS=all` takes every point; otherwise one of [`SHARDS`] is taken, so that different
//! commits take different ones (`CHARTTRUST_CHAOS=K`).

use std::io::Write as _;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use charttrust::api::{ChartTrustPolicy, TrustedKey};
use charttrust_e2e::charts::Source;
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::gpg::Revocation;
use charttrust_e2e::helm::Version;
use charttrust_e2e::operator::Operator;
use charttrust_e2e::proxy::{Fault, Proxy};
use charttrust_e2e::repository::Repository;
use charttrust_e2e::stage::{Stage, Story, StoryKey, Trusted};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

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
        let stage = Stage::set_with(cluster, Path::new(&binary), |options| {
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

const SHARDS: usize = 5;

/// Whether this run takes a point.
fn is_taken(number: usize) -> bool {
    let asked = std::env::var("CHARTTRUST_CHAOS").unwrap_or_default();
    match asked.parse::<usize>() {
        Ok(shard) => number % SHARDS == shard % SHARDS,
        Err(_) => asked == "all" || number.is_multiple_of(SHARDS),
    }
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

    async fn kill(&self) {
        self.stage.operator(Operator::kill);
        self.proxy.behave();
        self.stage.restart().await.unwrap();
    }

    /// Takes the points of a story one after the other until the story has no more writes.
    async fn at_every_write(&self, fault: Fault, story: impl AsyncFn()) -> usize {
        let mut points = 0;
        for number in 1.. {
            if !is_taken(number) {
                continue;
            }
            if !self.tell(number, fault, story()).await {
                break;
            }
            points += 1;
        }
        points
    }
}

/// A release is judged; its key is revoked; it is judged again, and everybody is told.
async fn a_key_is_revoked(stage: &Stage) {
    let trusted = Story::trusted(stage.cluster, "crash").await.unwrap();
    let Trusted { story, key, policy } = trusted;
    let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story.patch::<TrustedKey>(&key.name, revoke).await.unwrap();
    story.expect("web", "KeyCompromised").await;
    everybody_is_told(&story, &key, &policy).await;
    story.delete::<ChartTrustPolicy>(&policy).await.unwrap();
    story.delete::<TrustedKey>(&key.name).await.unwrap();
}

async fn everybody_is_told(story: &Story, key: &StoryKey, policy: &str) {
    story
        .expect_condition(&story.keys(), &key.name, "Revoked=True/Compromised")
        .await;
    story.counted(key, policy, |counts| counts.untrusted).await;
}

/// A revocation is learned from a copy that is published for a moment only; the operator that comes
/// after still knows.
async fn a_revocation_is_learned(stage: &Stage) {
    let story = Story::begin(stage.cluster, "learn", Version::V4)
        .await
        .unwrap();
    let publisher = Repository::start_with_tls().unwrap();
    let key = story.make_key("platform").unwrap();
    let original = story.keyring.public_armored(&key.key).unwrap();
    let url = format!("{}/platform.asc", publisher.url());
    publisher.put("platform.asc", &original).unwrap();
    let refresh = json!({"refresh": {"interval": "1s", "url": url}});
    story.declare(&key, refresh).await.unwrap();
    let policy = story.policy("policy", &[&key], json!({})).await.unwrap();
    let source = Source::new("web", "1.0.0");
    let chart = story.publish(&source, Some(&key)).await.unwrap();
    story.install("web", &chart).await.unwrap();
    story.expect("web", "SignatureVerified").await;
    let word = story.keyring.revocation(&key.key, Revocation::Compromised);
    story.keyring.import(&word.unwrap()).unwrap();
    let revoked = story.keyring.public_armored(&key.key).unwrap();
    publisher.put("platform.asc", revoked).unwrap();
    story.expect("web", "KeyCompromised").await;
    publisher.put("platform.asc", original).unwrap();
    stage.restart().await.unwrap();
    stage.judged(&story.namespace, "KeyCompromised").await;
    everybody_is_told(&story, &key, &policy).await;
    story.delete::<ChartTrustPolicy>(&policy).await.unwrap();
    story.delete::<TrustedKey>(&key.name).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_learned_survives_a_crash_at_every_write() {
    let chaos = chaos().await;
    for fault in [Fault::CrashBefore, Fault::CrashAfter] {
        let points = chaos
            .at_every_write(fault, async || a_revocation_is_learned(&chaos.stage).await)
            .await;
        writeln!(
            std::io::stderr(),
            "chaos: {fault:?} at {points} writes of learning"
        )
        .unwrap();
        assert!(points > 0, "no write was struck by {fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_survive_a_fault_at_every_write() {
    let chaos = chaos().await;
    for fault in [
        Fault::CrashBefore,
        Fault::CrashAfter,
        Fault::LoseAnswer,
        Fault::Refuse(409),
        Fault::Refuse(429),
        Fault::Refuse(500),
    ] {
        let points = chaos
            .at_every_write(fault, async || a_key_is_revoked(&chaos.stage).await)
            .await;
        // Straight to the terminal: the harness swallows what is printed.
        writeln!(std::io::stderr(), "chaos: {fault:?} at {points} writes").unwrap();
        assert!(points > 0, "no write was struck by {fault:?}");
    }
    assert!(
        !chaos
            .stage
            .operator(|operator| operator.log())
            .contains("panicked")
    );
}
