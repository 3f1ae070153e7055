//! Of several replicas, one leads: it judges and writes, the others watch and wait.
//!
//! Reads and writes one Lease of the operator's namespace. Everything else that this process
//! writes passes [`Leadership::guard`], which lets nothing through once the lease may be somebody
//! else's. What was sent just before carries a precondition, so a late write is harmless.
//!
//! With `--shards` several share the work: each range of the namespaces has a Lease of its own, and whoever holds it
//! judges and writes for it ([`Keeper`]).
//!
//! Decision: an own Lease. `kube-leader-election` compares the lease with the wall clock and takes
//! it without a precondition, which makes two leaders where clocks differ; `kubert` pins another kube.

mod cut;
pub mod elector;
mod keeper;
mod ranges;
mod told;

use std::future::Future;
use std::time::Duration;

use aws_lc_rs::rand;
use axum::http::Request;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::ObjectMeta;
use kube::client::{Body, ClientBuilder};
use kube::{Api, Client, Config};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::filter::FilterLayer;

pub use cut::Cut;
pub use elector::Loss;
pub use keeper::{Holders, Keeper, Order, SHARDS, Turn, lease_of};
pub use told::{
    Containing, DISCOVERY, Discovering, LOOKED, Look, Looked, QUARANTINE, Told, UNACCOUNTED,
    Unaccounted, looked, looked_text,
};

use crate::api::create_params;
use crate::clock;
use elector::{Action, Elector, LEASE_DURATION, Observation};
use keeper::{CHANGING, number};

/// The Lease in the operator's namespace.
pub const LEASE: &str = "charttrust";

/// Whether this process may write.
#[derive(Clone, Debug)]
pub enum Leadership {
    /// It runs alone, and always may.
    Alone,
    /// It may until the instant, if any, that its election last told it.
    Elected(watch::Receiver<Option<Instant>>),
}

impl Leadership {
    /// Whether it may write at this moment.
    pub fn is_held(&self) -> bool {
        match self {
            Self::Alone => true,
            Self::Elected(until) => until.borrow().is_some_and(|until| clock::tick() < until),
        }
    }

    /// Waits until it may write. Leadership that was lost is never given again: the process ends.
    pub async fn granted(&self) {
        if let Self::Elected(until) = self {
            let mut until = until.clone();
            if until.wait_for(Option::is_some).await.is_err() {
                // The election is over without us: nothing may ever be written.
                std::future::pending::<()>().await;
            }
        }
    }

    /// A client that sends writes only while this replica leads.
    ///
    /// # Errors
    /// If the configuration cannot be used.
    pub fn guard(&self, mut config: Config) -> kube::Result<Client> {
        // kube repeats what was answered by 429, 503 or 504, below this gate and for as long as
        // `Retry-After` says: a write of a replica that does not lead any more, a watch that is deaf
        // for an hour. Everything here has pauses of its own.
        config.default_retry = false;
        let leadership = self.clone();
        let gate = move |request: Request<Body>| {
            if request.method().is_safe() || leadership.is_held() {
                Ok(request)
            } else {
                Err(NotLeading)
            }
        };
        let builder = ClientBuilder::try_from(config)?;
        Ok(builder.with_layer(&FilterLayer::new(gate)).build())
    }
}

/// A write was held back.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this replica does not lead")]
struct NotLeading;

/// A name for this process that no other ever has: that of its Pod, and chance.
///
/// # Errors
/// If the system gives no randomness.
pub fn identity(pod: &str) -> Result<String, aws_lc_rs::error::Unspecified> {
    let mut chance = [0; 8];
    rand::fill(&mut chance)?;
    Ok(format!("{pod}_{:016x}", u64::from_be_bytes(chance)))
}

/// The part of the work that this is, where several replicas share it.
#[derive(Clone, Debug)]
pub struct Share {
    /// The number of the range, counted from 0.
    pub range: usize,
    /// How many ranges there are.
    pub of: usize,
    /// Who holds it: the identity of this process.
    pub identity: String,
    /// Who holds the others.
    pub holders: watch::Receiver<Holders>,
}

/// A replica that wants to lead, and what it does about the Lease.
pub struct Election {
    leases: Api<Lease>,
    elector: Elector,
    leads_until: watch::Sender<Option<Instant>>,
    /// What the leader tells with each renewal.
    told: watch::Receiver<Told>,
    /// Who held the lease when that was last logged.
    logged: Option<String>,
    newest: Newest,
    /// When it may be worked alone, if others have shared the work before.
    alone_at: Option<Instant>,
}

/// The newest version of a lease that was seen. Versions of one kind are numbers that grow (KEP-5504), and each
/// renewal makes one, so a smaller one shows that etcd was put back to an older state. Watches do not show it: the
/// API server takes them up where they ended and tells nothing until it has come that far again, and what is kept
/// here is of a cluster that is no more.
#[derive(Debug, Default)]
struct Newest(Option<u64>);

impl Newest {
    /// Notes the version of a lease. Whether a newer one was seen before.
    fn has_gone_back(&mut self, lease: &Lease) -> bool {
        let version = lease.metadata.resource_version.as_deref();
        let version = version.and_then(|text| text.parse().ok());
        let is_newer = version.is_some_and(|version: u64| self.0 > Some(version));
        self.0 = self.0.max(version);
        is_newer
    }
}

impl Election {
    /// Takes part under this identity for the lease of a namespace, and tells `told` while it leads; and
    /// the leadership that it may win.
    ///
    /// # Errors
    /// If the configuration cannot be used.
    pub fn new(
        mut config: Config,
        namespace: &str,
        identity: String,
        told: watch::Receiver<Told>,
    ) -> kube::Result<(Self, Leadership)> {
        // A renewal that comes late is worth nothing, so nothing is repeated behind our back.
        config.default_retry = false;
        let (leads_until, until) = watch::channel(None);
        let election = Self {
            leases: Api::namespaced(Client::try_from(config)?, namespace),
            elector: Elector::new(identity),
            leads_until,
            told,
            logged: None,
            newest: Newest::default(),
            alone_at: None,
        };
        Ok((election, Leadership::Elected(until)))
    }

    /// Wins the lease and keeps it until `stepped_down` turns true, then releases it.
    ///
    /// # Errors
    /// The loss of the lease, after which this process must not write and should end.
    pub async fn run(mut self, mut stepped_down: watch::Receiver<bool>) -> Result<(), Loss> {
        loop {
            let pause = self.acquire_or_renew().await?;
            // Invariant: an error means that the sender is gone, which is as good as its word.
            let steps_down = stepped_down.wait_for(|stepped_down| *stepped_down);
            if tokio::time::timeout(pause, steps_down).await.is_ok() {
                self.release().await;
                return Ok(());
            }
        }
    }

    /// Reads the lease and does what follows from it; returns how long to wait for the next time.
    async fn acquire_or_renew(&mut self) -> Result<Duration, Loss> {
        let (observed, lease) = self.read().await;
        if lease
            .as_ref()
            .is_some_and(|lease| self.newest.has_gone_back(lease))
        {
            self.leads_until.send_replace(None);
            return Err(Loss::GoneBack);
        }
        if let Observation::Present(spec) = &observed {
            self.log_holder(spec);
        }
        match self.elector.step(observed, clock::tick(), clock::now()) {
            Action::Create(spec) => self.create(spec).await,
            Action::Replace(spec) => self.replace(lease.unwrap_or_default(), spec).await,
            Action::StepDown(loss) => {
                self.leads_until.send_replace(None);
                return Err(loss);
            }
            Action::Wait => {}
        }
        Ok(self.elector.pause(clock::tick()))
    }

    async fn read(&self) -> (Observation, Option<Lease>) {
        match self.in_time(self.leases.get_opt(LEASE)).await {
            Ok(None) => (Observation::Absent, None),
            Ok(Some(lease)) => {
                let spec = lease.spec.clone().unwrap_or_default();
                (Observation::Present(spec), Some(lease))
            }
            Err(error) => {
                warn("read", &error);
                (Observation::Unanswered, None)
            }
        }
    }

    async fn create(&mut self, spec: LeaseSpec) {
        let mut metadata = ObjectMeta {
            name: Some(LEASE.to_owned()),
            ..ObjectMeta::default()
        };
        told::tell(&mut metadata, &self.told.borrow());
        let lease = Lease {
            metadata,
            spec: Some(spec),
        };
        let sent = clock::tick();
        let params = create_params();
        let create = self.leases.create(&params, &lease);
        let written = self.in_time(create).await;
        self.note(written, sent);
    }

    /// The object still has the resource version that was read, so a change in between is a refusal.
    async fn replace(&mut self, mut lease: Lease, spec: LeaseSpec) {
        lease.spec = Some(spec);
        lease.metadata.managed_fields = None;
        told::tell(&mut lease.metadata, &self.told.borrow());
        let sent = clock::tick();
        self.end_shares(&mut lease.metadata, sent);
        let params = create_params();
        let replace = self.leases.replace(LEASE, &params, &lease);
        let written = self.in_time(replace).await;
        self.note(written, sent);
    }

    /// Where several have shared the work, it is said that they do no longer, and waited until all have seen it or
    /// may not write any more. Where nobody has, nothing is said.
    fn end_shares(&mut self, metadata: &mut ObjectMeta, now: Instant) {
        let Some(before) = number(metadata).map(str::to_owned) else {
            return;
        };
        if self.elector.leads_until().is_none() && before != ALONE {
            self.alone_at = Some(now + LEASE_DURATION);
        }
        let said = if self.is_alone(now) { ALONE } else { CHANGING };
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(SHARDS.to_owned(), said.to_owned());
    }

    fn is_alone(&self, now: Instant) -> bool {
        self.alone_at.is_none_or(|at| at <= now)
    }

    fn note(&mut self, written: kube::Result<Lease>, sent: Instant) {
        match written {
            Ok(lease) => {
                self.newest.has_gone_back(&lease);
                self.elector.wrote(sent);
                if self.is_alone(clock::tick()) {
                    self.leads_until.send_replace(self.elector.leads_until());
                }
                self.log_holder(&lease.spec.unwrap_or_default());
            }
            Err(kube::Error::Api(status)) if is_lost_race(&status) => {}
            Err(error) => warn("write", &error),
        }
    }

    /// Gives the lease away, so that another replica need not wait for its end.
    async fn release(&mut self) {
        self.leads_until.send_replace(None);
        let (_, lease) = self.read().await;
        let Some(mut lease) = lease else { return };
        let spec = lease.spec.take().unwrap_or_default();
        let Some(spec) = self.elector.release(&spec) else {
            return;
        };
        lease.spec = Some(spec);
        lease.metadata.managed_fields = None;
        match self
            .in_time(self.leases.replace(LEASE, &create_params(), &lease))
            .await
        {
            Ok(_) => tracing::info!("the lease was released"),
            Err(error) => warn("release", &error),
        }
    }

    /// Bounds a request, so that the end of leadership is never slept through.
    async fn in_time<T>(&self, request: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
        let patience = clock::tick() + REQUEST_DEADLINE;
        let until = self
            .elector
            .leads_until()
            .map_or(patience, |until| until.min(patience));
        let answer = tokio::time::timeout_at(until, request).await;
        answer.unwrap_or_else(|_| Err(kube::Error::Service("no answer in time".into())))
    }

    fn log_holder(&mut self, spec: &LeaseSpec) {
        if self.logged == spec.holder_identity {
            return;
        }
        self.logged.clone_from(&spec.holder_identity);
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if self.leads_until.borrow().is_some() {
            tracing::info!(holder, "this replica leads");
        } else if holder.is_empty() {
            tracing::info!("nobody holds the lease");
        } else {
            tracing::info!(holder, "another replica leads");
        }
    }
}

/// Another replica was faster, which the next look shows.
fn is_lost_race(status: &kube::core::Status) -> bool {
    status.is_conflict() || status.is_already_exists()
}

fn warn(what: &str, error: &kube::Error) {
    tracing::warn!(
        lease = LEASE,
        error = error as &dyn std::error::Error,
        "failed to {what} the lease; without it nothing is judged"
    );
}

/// As how many ranges one works that works alone.
const ALONE: &str = "1";

/// Longest wait for one answer about the lease.
const REQUEST_DEADLINE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use kube::api::{DeleteParams, Patch, PatchParams, PostParams};

    use super::elector::RENEW_DEADLINE;
    use super::*;
    use crate::fake_cluster::FakeCluster;

    #[test]
    fn two_processes_of_one_pod_have_two_identities() {
        let [one, two] = [(), ()].map(|()| identity("charttrust-0").unwrap());
        assert!(one.starts_with("charttrust-0_"), "{one}");
        assert_ne!(one, two);
    }

    #[tokio::test]
    async fn without_leadership_reads_pass_and_writes_are_held_back() {
        let cluster = FakeCluster::default();
        cluster.hold(
            "/apis/coordination.k8s.io/v1/namespaces/charttrust-system/leases/charttrust",
            serde_json::json!({"metadata": {"name": LEASE}}),
        );
        let (server, _) = cluster.clone().start().await;
        let (sender, until) = watch::channel(None);
        let config = Config::new(server.uri().parse().unwrap());
        let client = Leadership::Elected(until).guard(config).unwrap();
        let leases = Api::<Lease>::namespaced(client, "charttrust-system");

        leases.get(LEASE).await.unwrap();
        assert_eq!(cluster.requests(), 1);
        let (post, patch) = (PostParams::default(), PatchParams::default());
        let (lease, change) = (Lease::default(), Patch::Merge(serde_json::json!({})));
        leases.create(&post, &lease).await.unwrap_err();
        leases.replace(LEASE, &post, &lease).await.unwrap_err();
        leases.patch(LEASE, &patch, &change).await.unwrap_err();
        let refused = leases.delete(LEASE, &DeleteParams::default()).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("does not lead"), "{refused}");
        assert_eq!(cluster.requests(), 1);

        sender.send_replace(Some(clock::tick() + RENEW_DEADLINE));
        leases.create(&post, &lease).await.unwrap();
        assert_eq!(cluster.requests(), 2);
    }

    /// kube's own retries would send a write again when this replica leads no more.
    #[tokio::test]
    async fn nothing_is_repeated_behind_the_gate() {
        let cluster = FakeCluster::default();
        for verb in ["GET", "POST"] {
            cluster.refuse(verb, "/leases", (503, "ServiceUnavailable"));
        }
        let (server, _) = cluster.clone().start().await;
        let config = Config::new(server.uri().parse().unwrap());
        let client = Leadership::Alone.guard(config).unwrap();
        let leases = Api::<Lease>::namespaced(client, "charttrust-system");
        let (post, lease) = (PostParams::default(), Lease::default());
        leases.create(&post, &lease).await.unwrap_err();
        leases.get(LEASE).await.unwrap_err();
        assert_eq!(cluster.requests(), 2);
    }

    /// Whoever stands by would lead by what a cluster once was.
    #[tokio::test]
    async fn whoever_leads_or_stands_by_ends_when_the_server_has_gone_back() {
        for holder in [None, Some("another")] {
            let (cluster, mut election) = candidate(holder).await;
            election.acquire_or_renew().await.unwrap();
            election.acquire_or_renew().await.unwrap();
            let leads = holder.is_none();
            assert_eq!(election.leads_until.borrow().is_some(), leads);
            let mut older = cluster.find(PATH).unwrap();
            let seen: u64 = older["metadata"]["resourceVersion"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap();
            // The same once more is nothing.
            election.acquire_or_renew().await.unwrap();
            older["metadata"]["resourceVersion"] = serde_json::json!((seen - 1).to_string());
            cluster.hold(PATH, older);
            assert_eq!(election.acquire_or_renew().await, Err(Loss::GoneBack));
            assert_eq!(*election.leads_until.borrow(), None);
        }
    }

    /// A lease that is made again has a greater version, and versions that are no numbers say nothing.
    #[tokio::test]
    async fn a_lease_that_is_made_again_is_no_going_back() {
        let (cluster, mut election) = candidate(Some("another")).await;
        election.acquire_or_renew().await.unwrap();
        cluster.remove(PATH);
        cluster.put(PATH, lease_of(Some("third")));
        election.acquire_or_renew().await.unwrap();
        let mut odd = lease_of(Some("third"));
        odd["metadata"]["resourceVersion"] = serde_json::json!("odd");
        cluster.hold(PATH, odd);
        election.acquire_or_renew().await.unwrap();
    }

    const PATH: &str =
        "/apis/coordination.k8s.io/v1/namespaces/charttrust-system/leases/charttrust";

    fn lease_of(holder: Option<&str>) -> serde_json::Value {
        serde_json::json!({"metadata": {"name": LEASE}, "spec": {"holderIdentity": holder}})
    }

    /// A replica, and the server on which somebody holds the lease.
    async fn candidate(holder: Option<&str>) -> (FakeCluster, Election) {
        let cluster = FakeCluster::default();
        for _ in 0..9 {
            cluster.put(PATH, lease_of(holder));
        }
        let (server, _) = cluster.clone().start().await;
        let config = Config::new(server.uri().parse().unwrap());
        let (_, told) = watch::channel(Told::default());
        let identity = "charttrust-0".to_owned();
        let election = Election::new(config, "charttrust-system", identity, told);
        // The server has to outlive this.
        Box::leak(Box::new(server));
        (cluster, election.unwrap().0)
    }

    /// What commands learn from it is of the replica that leads, and what others wrote there stays.
    #[tokio::test]
    async fn a_leader_tells_how_it_runs_with_each_renewal() {
        let path = "/apis/coordination.k8s.io/v1/namespaces/charttrust-system/leases/charttrust";
        let cluster = FakeCluster::default();
        let (server, client) = cluster.clone().start().await;
        let config = Config::new(server.uri().parse().unwrap());
        let containing = |names: &[&str]| Containing {
            enabled: true,
            protected: names.iter().map(|&name| name.to_owned()).collect(),
        };
        let told = |names: &[&str]| Told::from([(QUARANTINE, containing(names).text())]);
        let (sender, receiver) = watch::channel(told(&["kube-system"]));
        let identity = "charttrust-0".to_owned();
        let election = Election::new(config, "charttrust-system", identity, receiver);
        let (mut election, _leadership) = election.unwrap();
        let leases = Api::<Lease>::namespaced(client, "charttrust-system");

        election.acquire_or_renew().await.unwrap();
        let lease = leases.get(LEASE).await.unwrap();
        assert_eq!(
            Containing::of(&lease.metadata),
            Some(containing(&["kube-system"]))
        );

        let mut noted = cluster.find(path).unwrap();
        noted["metadata"]["annotations"]["example.com/note"] = serde_json::json!("theirs");
        cluster.put(path, noted);
        sender.send_replace(told(&["bank", "kube-system"]));
        election.acquire_or_renew().await.unwrap();
        let lease = leases.get(LEASE).await.unwrap();
        assert_eq!(
            Containing::of(&lease.metadata),
            Some(containing(&["bank", "kube-system"]))
        );
        assert_eq!(
            lease.metadata.annotations.unwrap()["example.com/note"],
            "theirs"
        );
        assert_eq!(Containing::of(&ObjectMeta::default()), None);
    }

    /// Whoever shared the work may write for as long as a Lease lasts.
    #[tokio::test]
    async fn one_that_works_alone_waits_for_those_who_have_shared_the_work() {
        for (said, waits) in [
            (None, false),
            (Some("1"), false),
            (Some("3"), true),
            (Some(CHANGING), true),
        ] {
            let (cluster, mut election) = candidate(None).await;
            if let Some(said) = said {
                let mut lease = lease_of(None);
                lease["metadata"]["annotations"][SHARDS] = said.into();
                cluster.put(PATH, lease);
            }
            election.acquire_or_renew().await.unwrap();
            assert_eq!(election.leads_until.borrow().is_none(), waits, "{said:?}");
            let stands = |cluster: &FakeCluster| {
                cluster.find(PATH).unwrap()["metadata"]["annotations"][SHARDS].clone()
            };
            let expected = if waits { Some(CHANGING) } else { said };
            assert_eq!(stands(&cluster).as_str(), expected);
            for _ in 0..2 {
                tokio::time::pause();
                tokio::time::advance(LEASE_DURATION / 2).await;
                tokio::time::resume();
                election.acquire_or_renew().await.unwrap();
            }
            assert!(election.leads_until.borrow().is_some());
            assert_eq!(stands(&cluster).as_str(), said.map(|_| "1"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn leadership_ends_by_itself() {
        let (sender, until) = watch::channel(None);
        let leadership = Leadership::Elected(until);
        assert!(!leadership.is_held());
        sender.send_replace(Some(clock::tick() + RENEW_DEADLINE));
        assert!(leadership.is_held());
        tokio::time::advance(RENEW_DEADLINE).await;
        assert!(!leadership.is_held());
        assert!(Leadership::Alone.is_held());
    }
}
