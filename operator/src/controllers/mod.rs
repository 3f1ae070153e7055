//! The controllers of keys, policies and releases, and the loop that drives them.
//!
//! Each `reconcile` is a list of steps: parse, gather, evaluate, conclude, write status. Only
//! `gather` reads the cluster, only `write` writes.

mod containment;
mod credentials;
mod events;
mod evidence;
mod examine;
mod failures;
#[cfg(test)]
mod guards;
mod key;
mod key_status;
pub mod learned;
mod ledger;
mod numbers;
mod policy;
mod policy_status;
mod quarantine;
pub mod queue;
mod refresh;
mod release;
mod release_status;
pub mod requests;
#[cfg(test)]
mod scene;
pub mod sealing;
mod watches;
pub mod world;
pub mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use charttrust_verify::chart::{self, ArchiveError, Chart, Part};
use charttrust_verify::limits::ArchiveLimits;
use charttrust_verify::openpgp::Fingerprint;
use futures::FutureExt as _;
use kube::Client;
use tokio::sync::watch;
use tokio::time::Instant;

use self::failures::Failures;
use crate::clock;
use crate::inventory::ReleaseId;
use crate::inventory::helm::{Driver, Records};
use crate::leader::Mandate;
use crate::metrics::{Metrics, PolicyVerdict};
use crate::sources::{Fetcher, Reader, Settings as SourceSettings};
use evidence::Seal;
pub use evidence::stated;
use queue::{Item, Queue, Work};
use watches::Mirrors;
use world::World;

/// How the operator runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's own namespace: key material and credentials are read here only.
    pub namespace: String,
    /// How sources are looked at.
    pub sources: SourceSettings,
    /// Whether releases may be contained, and where never; `None` only reports.
    pub containment: Option<ContainmentSettings>,
}

/// Where releases may be contained.
#[derive(Clone, Debug, Default)]
pub struct ContainmentSettings {
    /// Namespaces in which nothing is ever changed, beside `kube-system` and the operator's own.
    pub protected: Vec<String>,
}

/// What every controller needs.
pub struct Context {
    client: Client,
    mandate: Mandate,
    namespace: String,
    world: World,
    mirrors: Mirrors,
    queue: Queue<Task>,
    examinations: Queue<ReleaseId>,
    errands: Queue<refresh::Errand>,
    learned: learned::Memory,
    refreshes: refresh::Refreshes,
    fetcher: Fetcher<Result<Chart, ArchiveError>>,
    credentials: credentials::Cache,
    seal: OnceLock<Seal>,
    containment: Option<ContainmentSettings>,
    ledger: tokio::sync::Mutex<ledger::Book>,
    /// The releases that were there when this replica began to judge.
    present: OnceLock<BTreeSet<ReleaseId>>,
    failures: Failures<Task>,
    metrics: Arc<Metrics>,
}

/// One thing to reconcile. Keys are read before policies are, releases are judged by both, and
/// counted after they were judged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Task {
    /// Read a `TrustedKey`.
    Key(String),
    /// Read a `ChartTrustPolicy`.
    Policy(String),
    /// Judge a release.
    Release(ReleaseId),
    /// Write the status of a `TrustedKey`.
    KeyStatus(String),
    /// Keep what was learned against a key.
    Learned(Fingerprint),
    /// Decide about the quarantines of a `ChartTrustPolicy`, and write its status.
    PolicyStatus(String),
    /// Bring a `Quarantine` into force, or end it.
    Quarantine(ReleaseId),
    /// Note which incidents there are.
    Ledger,
}

impl Item for Task {
    fn rank(&self) -> u8 {
        match self {
            Self::Key(_) => 0,
            Self::Policy(_) => 1,
            Self::Release(_) => 2,
            Self::KeyStatus(_)
            | Self::Learned(_)
            | Self::Ledger
            | Self::PolicyStatus(_)
            | Self::Quarantine(_) => 3,
        }
    }
}

impl Item for ReleaseId {
    fn rank(&self) -> u8 {
        0
    }
}

pub(crate) use crate::api::FIELD_MANAGER;

/// How many things are judged and written at a time.
const WORKERS: usize = 8;
/// How many releases are read or looked up at a time. Bounds the memory of decoded records.
const EXAMINERS: usize = 16;
/// How many copies of keys are looked for at a time.
const ERRAND_RUNNERS: usize = 2;
/// How long to wait after the API server refused or did not answer.
const RETRY: Duration = Duration::from_secs(2);

impl Context {
    /// A context that knows nothing yet. The client writes only while the mandate is held.
    pub fn new(
        client: Client,
        mandate: Mandate,
        settings: Settings,
        metrics: Arc<Metrics>,
    ) -> Self {
        let read = |bytes: &[u8]| chart::read(bytes, &ArchiveLimits::default());
        let reader = Reader {
            read: Arc::new(read),
            weigh,
        };
        Self {
            client,
            mandate,
            namespace: settings.namespace,
            world: World::default(),
            mirrors: Mirrors::default(),
            queue: Queue::default(),
            examinations: Queue::default(),
            errands: Queue::default(),
            learned: learned::Memory::default(),
            refreshes: refresh::Refreshes::default(),
            fetcher: Fetcher::new(settings.sources, reader),
            credentials: credentials::Cache::default(),
            seal: OnceLock::new(),
            containment: settings.containment,
            ledger: tokio::sync::Mutex::default(),
            present: OnceLock::new(),
            failures: Failures::default(),
            metrics,
        }
    }

    /// Runs until `stop` turns true. `ready` turns true when everything has been read once. A replica
    /// that does not lead keeps watching, so that it can go on at once when it does.
    pub async fn run(self: Arc<Self>, ready: watch::Sender<bool>, stop: watch::Receiver<bool>) {
        let watches = tokio::spawn(watches::follow_all(Arc::clone(&self)));
        let work = tokio::spawn(Arc::clone(&self).work(ready));
        let mut stop = stop;
        // Invariant: an error means that the sender is gone, which is as good as a stop.
        let _ = stop.wait_for(|stop| *stop).await;
        watches.abort();
        work.abort();
    }

    async fn work(self: Arc<Self>, ready: watch::Sender<bool>) {
        self.mirrors.completed().await;
        if !self.mandate.is_held() {
            ready.send_replace(true);
            tracing::info!("standing by until this replica leads");
            self.mandate.granted().await;
        }
        self.present.get_or_init(|| self.recorded());
        let seal = self.unlock().await;
        learned::recall(&self).await;
        sealing::recall(&self, &seal).await;
        self.seal.get_or_init(|| seal);
        self.read_all_trust().await;
        ready.send_replace(true);
        tracing::info!(
            releases = self.mirrors.secrets.len() + self.mirrors.config_maps.len(),
            keys = self.mirrors.keys.len(),
            policies = self.mirrors.policies.len(),
            "everything was read once"
        );
        let workers = (0..WORKERS).map(|_| Arc::clone(&self).reconcile_for_ever().boxed());
        let examiners = (0..EXAMINERS).map(|_| Arc::clone(&self).examine_for_ever().boxed());
        let runners = (0..ERRAND_RUNNERS).map(|_| Arc::clone(&self).run_for_ever().boxed());
        let running = workers.chain(examiners).chain(runners);
        let running: Vec<_> = running.map(tokio::spawn).collect();
        let _stop_together = AbortOnDrop(running);
        std::future::pending::<()>().await;
    }

    /// Every release of which there is a record.
    fn recorded(&self) -> BTreeSet<ReleaseId> {
        let secrets = self.mirrors.secrets.all().into_iter();
        let all = secrets.chain(self.mirrors.config_maps.all());
        all.map(|(key, _)| key.release).collect()
    }

    /// The key of the seal; without it nothing is judged, because nothing could be kept.
    async fn unlock(&self) -> Seal {
        loop {
            match sealing::unlock(self).await {
                Ok(seal) => return seal,
                Err(error) => {
                    tracing::warn!(%error, "waiting for the key of the evidence");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn seal(&self) -> &Seal {
        // Invariant: set before the first release is judged; an empty key would seal nothing that a
        // later start believes.
        self.seal.get_or_init(|| Seal::new(&[]))
    }

    /// Keys first, then policies, so that no release is judged by half of them.
    async fn read_all_trust(&self) {
        for (name, _) in self.mirrors.keys.all() {
            key::read(self, &name).await;
        }
        for (name, _) in self.mirrors.policies.all() {
            policy::read(self, &name);
        }
    }

    async fn reconcile_for_ever(self: Arc<Self>) {
        loop {
            let work = self.queue.next().await;
            self.reconcile(&work).await;
        }
    }

    async fn examine_for_ever(self: Arc<Self>) {
        loop {
            let work = self.examinations.next().await;
            examine::examine(&self, &work.item).await;
        }
    }

    async fn run_for_ever(self: Arc<Self>) {
        loop {
            let work = self.errands.next().await;
            refresh::run(&self, &work.item).await;
        }
    }

    async fn reconcile(&self, work: &Work<Task>) {
        let started = Instant::now();
        let (controller, result) = match &work.item {
            Task::Key(name) => ("key", {
                key::read(self, name).await;
                Ok(())
            }),
            Task::Policy(name) => ("policy", {
                policy::read(self, name);
                Ok(())
            }),
            Task::Release(id) => ("release", release::reconcile(self, id).await),
            Task::KeyStatus(name) => ("key", key::write_status(self, name).await),
            Task::Learned(key) => ("key", learned::keep(self, key).await),
            Task::PolicyStatus(name) => ("policy", policy::write_status(self, name).await),
            Task::Quarantine(id) => ("quarantine", quarantine::reconcile(self, id).await),
            Task::Ledger => ("quarantine", ledger::reconcile(self).await),
        };
        self.metrics
            .reconciled(controller, result.is_ok(), started.elapsed());
        if let Err(error) = result {
            let pause = self.failures.pause(&work.item);
            tracing::warn!(task = ?work.item, error = &error as &dyn std::error::Error, "will retry");
            self.queue.add_at(work.item.clone(), Instant::now() + pause);
        } else {
            self.failures.forget(&work.item);
        }
    }

    fn records(&self, driver: Driver) -> &Records {
        match driver {
            Driver::ConfigMap => &self.mirrors.config_maps,
            Driver::Secret => &self.mirrors.secrets,
        }
    }

    fn namespace_labels(&self, namespace: &str) -> Option<Arc<BTreeMap<String, String>>> {
        self.mirrors.namespaces.find(&namespace.to_owned())
    }

    /// Numbers for the metrics of this moment.
    pub fn observe(&self) {
        let mut verdicts = Vec::new();
        self.world.judgements(|id, judgement| {
            verdicts.extend(judgement.policies.iter().map(|said| PolicyVerdict {
                policy: said.policy.clone(),
                namespace: id.namespace.clone(),
                verdict: said.verdict,
            }));
        });
        let trust = self.world.trust();
        let mut looks = numbers::Looks::of(&trust);
        self.world
            .looks(|judgement, states| looks.add(judgement, states));
        let stopped = |policy: &str| self.world.outcomes(policy).stopped.len();
        let policies = looks.by_policy(&trust, stopped, Instant::now(), clock::now());
        self.metrics
            .observe_policies(policies, looks.silent_by_host());
        self.metrics.quarantined(quarantine::active(self));
        self.metrics.leads(self.mandate.is_held());
        self.metrics
            .observe(verdicts, &self.mirrors.key_states(), &self.fetcher.counts());
    }
}

/// About how many bytes of memory an archive takes that was read.
fn weigh(chart: &Result<Chart, ArchiveError>) -> usize {
    let of_parts = |parts: &[Part]| {
        parts
            .iter()
            .map(|part| part.name.len() + 128)
            .sum::<usize>()
    };
    match chart {
        Ok(chart) => 8192 + of_parts(&chart.templates) + of_parts(&chart.files),
        Err(_) => 256,
    }
}

/// Tasks that end with their owner.
struct AbortOnDrop(Vec<tokio::task::JoinHandle<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Why a reconcile has to be tried again.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The API server refused or did not answer.
    #[error("failed to {0}")]
    Api(&'static str, #[source] kube::Error),
    /// A quarantine could not be brought further.
    #[error("{0}")]
    Quarantine(String),
    /// The key of the evidence cannot be used.
    #[error("Secret {SECRET} {0}", SECRET = sealing::SECRET)]
    Seal(&'static str),
}
