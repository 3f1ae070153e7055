//! Two replicas that contain: the leader dies or is cut off in the middle of a quarantine, the other
//! goes on, and what the first had still on its way does nothing.

use std::path::PathBuf;

use charttrust_e2e::audit::{Audit, Mark};
use charttrust_e2e::auditor;
use charttrust_e2e::cluster::{Cluster, Identity};
use charttrust_e2e::eventually;
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::operator::{Operator, Options};
use charttrust_e2e::proxy::{Fault, Proxy};
use charttrust_e2e::stage::{OPERATOR, OPERATOR_NAMESPACE, SOON, install_chart, twin};
use tempfile::TempDir;

mod scene;

use scene::{Scene, automatic, scene_on};

/// A replica with an identity and a network of its own.
struct Replica {
    identity: Identity,
    proxy: Proxy,
    process: Operator,
    options: Options,
    _kubeconfig: TempDir,
}

impl Replica {
    async fn start(cluster: &Cluster, identity: Identity) -> Self {
        let proxy = Proxy::start(cluster.kubeconfig()).await.unwrap();
        let dir = TempDir::new().unwrap();
        let kubeconfig = dir.path().join("kubeconfig");
        proxy
            .kubeconfig(&identity.kubeconfig(), &kubeconfig)
            .unwrap();
        let options = Options {
            binary: binary(),
            kubeconfig,
            namespace: OPERATOR_NAMESPACE.to_owned(),
            allow_hosts: vec!["127.0.0.1".to_owned()],
            more: vec!["--quarantine".to_owned()],
        };
        let mut process = Operator::start(&options).unwrap();
        process.ready(SOON).await.unwrap();
        Self {
            identity,
            proxy,
            process,
            options,
            _kubeconfig: dir,
        }
    }

    async fn start_again(&mut self) {
        assert_eq!(auditor::panics(&self.process.log()), []);
        self.proxy.behave();
        self.process = Operator::start(&self.options).unwrap();
        self.process.ready(SOON).await.unwrap();
    }

    async fn leads(&self) {
        eventually(SOON, "the replica leads", async || {
            let text = self.process.metrics().await;
            let text = text.map_err(|error| error.to_string())?;
            let leads = text.lines().any(|line| line == "charttrust_leader 1");
            leads.then_some(()).ok_or("it does not".to_owned())
        })
        .await;
    }

    /// Waits until it is at a write that was to be struck.
    async fn is_struck(&self) {
        eventually(SOON, "the leader is in the middle", async || {
            let is_struck = self.proxy.holds() || self.proxy.is_parted();
            is_struck.then_some(()).ok_or("it is not there yet")
        })
        .await;
    }
}

fn binary() -> PathBuf {
    std::env::var("CHARTTRUST_BINARY")
        .expect("CHARTTRUST_BINARY names the operator; run make test")
        .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_or_dies_in_the_middle_is_followed_and_harms_nothing() {
    let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
    let helm = Helm::new(Version::V4).unwrap().on(cluster.kubeconfig());
    let contain = ["--set", "quarantine.enabled=true"];
    install_chart(&helm, cluster.kubeconfig(), &contain)
        .await
        .unwrap();
    let audit = cluster.audit().unwrap();
    let start = audit.mark().unwrap();
    let first = cluster.identity(OPERATOR_NAMESPACE, OPERATOR).await;
    let mut first = Replica::start(cluster, first.unwrap()).await;
    first.leads().await;
    let roles = [OPERATOR, "charttrust-quarantine"];
    let second = twin(cluster, &roles).await.unwrap();
    let mut second = Replica::start(cluster, second).await;
    let scene = scene_on(cluster, "led", Version::V4, automatic()).await;
    let before = scene.workloads().await;

    // Cut off while it contains; what it had sent arrives when the other has done it.
    first
        .proxy
        .strike_first("PATCH", "/deployments/web", Fault::Part);
    scene.revoke().await;
    first.is_struck().await;
    second.leads().await;
    scene.quarantine_is("Active=True/Contained").await;
    let contained = scene.workloads().await;
    is_late(&mut first, &audit).await;
    assert_eq!(scene.workloads().await, contained);
    first.start_again().await;

    // Dead while it restores: the database runs again, and the rest not yet.
    second
        .proxy
        .strike_first("PATCH", "/deployments/web", Fault::CrashAfter);
    scene.withdraw().await;
    second.is_struck().await;
    second.process.kill();
    first.leads().await;
    scene.no_quarantine().await;
    assert_eq!(scene.workloads().await, before);
    second.start_again().await;

    // Dead while it contains.
    first
        .proxy
        .strike_first("POST", "/networkpolicies", Fault::CrashAfter);
    scene.revoke().await;
    first.is_struck().await;
    first.process.kill();
    second.leads().await;
    scene.quarantine_is("Active=True/Contained").await;
    first.start_again().await;

    // Cut off while it restores; by then the other has given everything back.
    second
        .proxy
        .strike_first("PATCH", "/statefulsets/web-db", Fault::Part);
    scene.withdraw().await;
    second.is_struck().await;
    first.leads().await;
    scene.no_quarantine().await;
    assert_eq!(scene.workloads().await, before);
    is_late(&mut second, &audit).await;
    assert_eq!(scene.workloads().await, before);

    one_plan_was_carried_out_at_a_time(&scene, &audit, start, [&first, &second]);
}

/// The network of a deposed leader is whole again: it has ended, and what it had sent is refused.
async fn is_late(deposed: &mut Replica, audit: &Audit) {
    let code = eventually(SOON, "the deposed leader ends", async || {
        deposed.process.ended().ok_or("it runs")
    })
    .await;
    assert_eq!(code.code(), Some(4), "{}", deposed.process.log());
    let mark = audit.mark().unwrap();
    deposed.proxy.join();
    let late = eventually(SOON, "what it had sent arrives", async || {
        let events = audit.since(mark).map_err(|error| error.to_string())?;
        let late = events.by(deposed.identity.user()).writes();
        let arrived = late.iter().any(|event| event.resource != "leases");
        if arrived {
            Ok(late)
        } else {
            Err(format!("{late:?}"))
        }
    })
    .await;
    assert!(late.iter().all(|event| event.code >= 400), "{late:#?}");
}

fn one_plan_was_carried_out_at_a_time(
    scene: &Scene,
    audit: &Audit,
    start: Mark,
    replicas: [&Replica; 2],
) {
    let events = audit.since(start).unwrap();
    let users = replicas.map(|replica| replica.identity.user());
    let found = auditor::check(&events, &users, OPERATOR_NAMESPACE);
    assert_eq!(found.breaches, [], "of {} writes", found.checked);
    for replica in replicas {
        assert_eq!(auditor::panics(&replica.process.log()), []);
    }
    let count = |verb: &str, resource: &str| {
        let done = events.iter().filter(|event| {
            event.verb == verb
                && event.resource == resource
                && event.namespace == scene.namespace
                && users.contains(&event.user.as_str())
                && event.code < 300
        });
        done.count()
    };
    // Two incidents: each is contained once, started once, and given back once.
    assert_eq!(count("create", "quarantines"), 2);
    assert_eq!(count("patch", "deployments"), 6);
    assert_eq!(count("patch", "statefulsets"), 6);
    assert_eq!(count("patch", "daemonsets"), 4);
    assert_eq!(count("patch", "cronjobs"), 6);
    assert_eq!(count("create", "networkpolicies"), 8);
    assert_eq!(count("delete", "networkpolicies"), 8);
}
