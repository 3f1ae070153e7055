//! Two replicas: one leads, the other takes over when it is stopped, hangs or dies.

use std::time::{Duration, Instant};

use charttrust::api::TrustedKey;
use charttrust_e2e::audit::{Audit, Events, Mark};
use charttrust_e2e::cluster::{Cluster, Identity};
use charttrust_e2e::eventually;
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::operator::{Operator, Options, binary};
use charttrust_e2e::stage::{
    OPERATOR, OPERATOR_NAMESPACE, Opening, SOON, Scene, Story, StoryKey, install_chart, twin,
};
use serde_json::json;

/// A replica with an identity of its own, so that the audit log tells it from the other.
struct Replica {
    identity: Identity,
    process: Operator,
}

impl Replica {
    async fn start(identity: Identity) -> Self {
        let mut process = Operator::start(&options(&identity)).unwrap();
        process.ready(SOON).await.unwrap();
        Self { identity, process }
    }

    async fn start_again(&mut self) {
        self.process = Operator::start(&options(&self.identity)).unwrap();
        self.process.ready(SOON).await.unwrap();
    }

    async fn leads(&self) -> Result<bool, String> {
        let text = self.process.metrics().await;
        let text = text.map_err(|error| error.to_string())?;
        Ok(text.lines().any(|line| line == "charttrust_leader 1"))
    }

    /// Waits until it leads, and tells how long after `since` that was.
    async fn takes_over(&self, since: Instant) -> Duration {
        eventually(SOON, "the other replica leads", async || {
            if self.leads().await? {
                Ok(())
            } else {
                Err("it does not".to_owned())
            }
        })
        .await;
        since.elapsed()
    }

    /// What it has written since, the lease aside.
    fn writes(&self, audit: &Audit, mark: Mark) -> Events {
        let writes = audit.since(mark).unwrap().by(self.identity.user()).writes();
        writes.only(|event| event.resource != "leases")
    }
}

fn options(identity: &Identity) -> Options {
    Options {
        binary: binary(),
        kubeconfig: identity.kubeconfig(),
        namespace: OPERATOR_NAMESPACE.to_owned(),
        allow_hosts: vec!["127.0.0.1".to_owned()],
        more: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_and_the_other_follows_when_it_stops_hangs_or_dies() {
    let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
    let helm = Helm::new(Version::V4).unwrap().on(cluster.kubeconfig());
    install_chart(&helm, cluster.kubeconfig(), &[])
        .await
        .unwrap();
    let audit = cluster.audit().unwrap();
    let start = audit.mark().unwrap();
    let first = cluster
        .identity(OPERATOR_NAMESPACE, OPERATOR)
        .await
        .unwrap();
    let mut first = Replica::start(first).await;
    first.takes_over(Instant::now()).await;
    let mut second = Replica::start(twin(cluster, &[OPERATOR]).await.unwrap()).await;
    let (story, key) = trusted_release(cluster).await;
    assert!(!second.leads().await.unwrap());
    let written = second.writes(&audit, start);
    assert!(written.is_empty(), "it stands by: {written:?}");

    let stopped = Instant::now();
    assert_eq!(
        first.process.stop().and_then(|status| status.code()),
        Some(0)
    );
    let took = second.takes_over(stopped).await;
    println!("a leader that was stopped was followed after {took:.1?}");
    assert!(took < Duration::from_secs(10), "the lease was given away");
    revoke(&story, &key).await;

    first.start_again().await;
    assert!(!first.leads().await.unwrap());
    second.process.freeze();
    let took = first.takes_over(Instant::now()).await;
    println!("a leader that hung was followed after {took:.1?}");
    let deposed = audit.mark().unwrap();
    forgive(&story, &key).await;
    second.process.thaw();
    let code = eventually(SOON, "the deposed leader ends", async || {
        second.process.ended().ok_or("it runs")
    })
    .await;
    assert_eq!(code.code(), Some(4), "{}", second.process.log());
    let log = second.process.log();
    assert!(log.contains("does not lead any more"), "{log}");
    let late = second
        .writes(&audit, deposed)
        .only(|event| event.code < 400);
    assert!(late.is_empty(), "it wrote although another led: {late:?}");

    second.start_again().await;
    assert!(!second.leads().await.unwrap());
    first.process.kill();
    let took = second.takes_over(Instant::now()).await;
    println!("a leader that died was followed after {took:.1?}");
    revoke(&story, &key).await;
}

async fn trusted_release(cluster: &Cluster) -> (Story, StoryKey) {
    let Scene { story, key, .. } = Opening::new("led").trusted(cluster).await;
    story.settled("web").await;
    (story, key)
}

async fn revoke(story: &Story, key: &StoryKey) {
    let change = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story.patch::<TrustedKey>(&key.name, change).await;
    story.expect("web", "KeyCompromised").await;
}

async fn forgive(story: &Story, key: &StoryKey) {
    let change = json!({"spec": {"revocation": null}});
    story.patch::<TrustedKey>(&key.name, change).await;
    story.expect("web", "SignatureVerified").await;
}
