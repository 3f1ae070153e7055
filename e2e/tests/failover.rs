//! Two replicas that contain: the leader dies or is cut off in the middle of a quarantine, the other
//! goes on, and what the first had still on its way does nothing.

use charttrust_e2e::audit::{Audit, Mark};
use charttrust_e2e::auditor;
use charttrust_e2e::cluster::{Cluster, Identity};
use charttrust_e2e::eventually;
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::operator::{Operator, Options, binary};
use charttrust_e2e::proxy::{Fault, Proxy};
use charttrust_e2e::shards::is_taken;
use charttrust_e2e::stage::{
    OPERATOR, OPERATOR_NAMESPACE, Opening, SOON, Scene, install_chart, twin, workloads::automatic,
};
use tempfile::TempDir;

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
    let first = Replica::start(cluster, first.unwrap()).await;
    first.leads().await;
    let roles = [OPERATOR, "charttrust-quarantine"];
    let second = twin(cluster, &roles).await.unwrap();
    let second = Replica::start(cluster, second).await;
    let scene = Opening::of_every_kind("led")
        .with_quarantine(automatic())
        .trusted(cluster)
        .await;
    let before = scene.workloads().await;

    let mut pair = Pair {
        leader: first,
        other: second,
        scene,
        audit,
    };
    let faults = [Fault::Part, Fault::CrashAfter];
    let rounds: Vec<usize> = (0..faults.len())
        .filter(|round| is_taken(*round, faults.len()))
        .collect();
    for round in &rounds {
        // Each in the middle: with what is before it done, and what is behind it not.
        let [contain, restore] = [faults[*round], faults[1 - round]];
        pair.fails(contain, Phase::Contained).await;
        pair.fails(restore, Phase::Restored).await;
        assert_eq!(pair.scene.workloads().await, before);
    }
    pair.one_plan_was_carried_out_at_a_time(start, rounds.len());
}

/// Two replicas, and what the leader of them does.
struct Pair {
    leader: Replica,
    other: Replica,
    scene: Scene,
    audit: Audit,
}

/// What the replica that takes over brings about.
#[derive(Clone, Copy)]
enum Phase {
    Contained,
    Restored,
}

/// The network of a deposed leader is whole again: it has ended, and what it had sent is refused. An event may be among
/// that, which says what was so when it was sent, and changes nothing.
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
        let late = late.only(|event| event.resource != "events");
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

impl Pair {
    /// The leader fails in the middle, the other does the rest and leads from then on.
    async fn fails(&mut self, fault: Fault, phase: Phase) {
        let proxy = &self.leader.proxy;
        proxy.strike_first("PATCH", "/deployments/web", fault);
        match phase {
            Phase::Contained => self.scene.revoke().await,
            Phase::Restored => self.scene.withdraw().await,
        }
        self.leader.is_struck().await;
        if fault == Fault::CrashAfter {
            self.leader.process.kill();
        }
        self.other.leads().await;
        match phase {
            Phase::Contained => drop(
                self.scene
                    .quarantine_has("web", "Active=True/Contained")
                    .await,
            ),
            Phase::Restored => self.scene.no_quarantine("web").await,
        }
        let done = self.scene.workloads().await;
        if fault == Fault::Part {
            is_late(&mut self.leader, &self.audit).await;
        }
        assert_eq!(self.scene.workloads().await, done);
        self.leader.start_again().await;
        std::mem::swap(&mut self.leader, &mut self.other);
    }

    fn one_plan_was_carried_out_at_a_time(&self, start: Mark, incidents: usize) {
        let events = self.audit.since(start).unwrap();
        let replicas = [&self.leader, &self.other];
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
                    && event.namespace == self.scene.namespace
                    && users.contains(&event.user.as_str())
                    && event.code < 300
            });
            done.count()
        };
        // In each incident everything is stopped once, started once, and given back once; where
        // nothing was owned, nothing is given back.
        assert_eq!(count("create", "quarantines"), incidents);
        for (verb, resource, times) in [
            ("patch", "deployments", 3),
            ("patch", "statefulsets", 3),
            ("patch", "daemonsets", 2),
            ("patch", "cronjobs", 3),
            ("create", "networkpolicies", 2),
            ("delete", "networkpolicies", 2),
        ] {
            let done = count(verb, resource);
            assert_eq!(done, times * incidents, "{verb} {resource}");
        }
    }
}
