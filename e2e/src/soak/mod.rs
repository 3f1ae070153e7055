//! `make soak`: releases come and go each second while the API server fails now and then, and what the operator
//! takes is measured from outside.

mod churn;
mod page;
mod samples;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

pub use page::written;
pub use samples::{Sample, growth, most};

use crate::audit::Mark;
use crate::auditor;
use crate::charts::Source;
use crate::cluster::Cluster;
use crate::eventually;
use crate::helm::Version;
use crate::proxy::Proxy;
use crate::record;
use crate::stage::{
    OPERATOR_NAMESPACE, Power, SOON, Scene, Setting, Stage, Story, verdict, workloads,
};
use churn::{Churn, Kind, Step};

/// A run.
#[derive(Debug, Default)]
pub struct Soaked {
    /// What was measured, each second.
    pub samples: Vec<Sample>,
    /// What failed meanwhile.
    pub struck: Vec<Struck>,
    /// Writes of the operator to objects of others that were looked at.
    pub checked: usize,
    /// What was done to releases and keys.
    pub steps: u64,
}

/// Something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Struck {
    /// Since this second.
    pub from: u64,
    /// Until this one.
    pub to: u64,
    /// What it was.
    pub what: &'static str,
}

impl Soaked {
    /// The run in a few sentences.
    pub fn told(&self) -> Vec<String> {
        let (memory, _) = most(&self.samples, |sample| sample.memory);
        let (descriptors, _) = most(&self.samples, |sample| sample.descriptors);
        let (oldest, at) = most(&self.samples, |sample| sample.oldest);
        let sum = |of: fn(&Sample) -> u64| self.samples.iter().map(of).sum::<u64>();
        let grows = growth(&self.samples) / 1024.0;
        vec![
            format!(
                "{} steps, {} faults, {} writes to objects of others, each as it must be",
                self.steps,
                self.struck.len(),
                self.checked
            ),
            format!(
                "memory at most {} MiB, growing by {grows:.1} MiB an hour in the second half",
                memory / 1024
            ),
            format!("descriptors at most {descriptors}"),
            format!(
                "{} requests, {} of them writes",
                sum(|s| s.requests),
                sum(|s| s.writes)
            ),
            format!(
                "the longest verdict was wanted for {oldest} ms, at second {}",
                at.as_secs()
            ),
        ]
    }
}

/// Runs for so long, and then until everything is as it has to be.
///
/// # Panics
/// If a step cannot be taken, if in the end a verdict, a Quarantine or a workload is not what it has to be, if the
/// operator has panicked, or if it has written what it never may.
pub async fn run(
    cluster: &'static Cluster,
    binary: std::path::PathBuf,
    time: Duration,
    seed: u64,
) -> Soaked {
    let proxy = Proxy::start(cluster.kubeconfig()).await;
    let proxy = proxy.unwrap_or_else(|error| panic!("the proxy: {error}"));
    let setting = Setting {
        proxy: Some(&proxy),
        ..Setting::new(binary, Power::Contains)
    };
    let stage = Stage::set(cluster, setting).await;
    let start = cluster.mark();
    let mut run = Run::begin(&stage, &proxy, seed).await;
    let before = run.scene.workloads().await;
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while run.started.elapsed() < time {
        ticks.tick().await;
        run.fail();
        run.step().await;
        run.sample().await;
    }
    run.ends().await;
    run.scene.no_quarantine("web").await;
    assert_eq!(run.scene.workloads().await, before, "workloads are back");
    stage.at_rest(&run.scene.namespace).await;
    let us = [stage.identity.user()];
    let found = auditor::check(&cluster.asked_since(start), &us, OPERATOR_NAMESPACE);
    assert_eq!(found.breaches, [], "of {} writes", found.checked);
    let log = stage.operator(|operator| operator.log());
    assert_eq!(auditor::panics(&log), []);
    run.soaked.checked = found.checked;
    run.soaked
}

struct Run<'a> {
    stage: &'a Stage,
    proxy: &'a Proxy,
    scene: Scene,
    templates: BTreeMap<Kind, Secret>,
    churn: Churn,
    wanted: BTreeMap<String, Wanted>,
    started: Instant,
    mark: Mark,
    failing: Option<(u64, Failing)>,
    soaked: Soaked,
}

/// What has to be said of a release, and since when; nothing of one that went.
struct Wanted {
    said: Option<(i64, &'static str)>,
    since: Instant,
}

impl<'a> Run<'a> {
    async fn begin(stage: &'a Stage, proxy: &'a Proxy, seed: u64) -> Self {
        let story = Story::begin(stage.cluster, "soak", Version::V4).await;
        let (good, stolen) = (
            story.trusted_key("good").await,
            story.trusted_key("stolen").await,
        );
        let more = json!({"quarantine": workloads::automatic()});
        let policy = story.policy("policy", &[&good, &stolen], more).await;
        let web = story
            .publish(&workloads::chart("1.0.0"), Some(&stolen))
            .await;
        story.install("web", &web).await;
        let mut templates = BTreeMap::new();
        for (kind, name, key) in [
            (Kind::Good, "good", Some(&good)),
            (Kind::Stolen, "stolen", Some(&stolen)),
            (Kind::Unsigned, "unsigned", None),
        ] {
            let chart = story.publish(&Source::new(name, "1.0.0"), key).await;
            story.install(name, &chart).await;
            let record = kube::Api::<Secret>::namespaced(story.client.clone(), &story.namespace)
                .get(&record::stored(name, 1))
                .await;
            templates.insert(kind, story.done("read a record", record));
        }
        story.expect("web", "SignatureVerified").await;
        let scene = Scene {
            quarantine_namespace: story.namespace.clone(),
            story,
            key: stolen,
            policy,
        };
        Self {
            stage,
            proxy,
            scene,
            templates,
            churn: Churn::new(seed),
            wanted: BTreeMap::new(),
            started: Instant::now(),
            mark: stage.cluster.mark(),
            failing: None,
            soaked: Soaked::default(),
        }
    }

    fn second(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// Begins a fault or ends it.
    fn fail(&mut self) {
        let now = self.second();
        if let Some((from, failing)) = self.failing {
            if now >= from + FAULT_LASTS {
                self.proxy.behave();
                self.proxy.join();
                self.failing = None;
                self.soaked.struck.push(Struck {
                    from,
                    to: now,
                    what: failing.told(),
                });
            }
            return;
        }
        if now % FAULT_EVERY != FAULT_EVERY / 2 {
            return;
        }
        let failing = Failing::ALL[usize::try_from(self.churn.below(4)).unwrap_or_default()];
        match failing {
            Failing::Cut => self.proxy.cut_watches(),
            Failing::Frozen => self.proxy.freeze_watches(),
            Failing::Parted => self.proxy.part(),
            Failing::Refused => self.proxy.refuse(Some(500)),
        }
        self.failing = Some((now, failing));
    }

    async fn step(&mut self) {
        self.soaked.steps += 1;
        match self.churn.step() {
            Step::Install(name, _) => self.writes(&name).await,
            Step::Upgrade(name) => {
                self.writes(&name).await;
                let revision = self.churn.present()[&name].1;
                self.deletes(&name, revision - 1).await;
            }
            Step::Uninstall(name) => {
                let revision = self.wanted[&name].said.map_or(1, |(revision, _)| revision);
                self.deletes(&name, revision).await;
                self.want(name, None);
            }
            Step::Revoke => {
                self.scene.revoke().await;
                self.turned();
            }
            Step::Withdraw => {
                self.scene.withdraw().await;
                self.turned();
            }
        }
    }

    /// Stores the record of the newest revision.
    async fn writes(&mut self, name: &str) {
        let (kind, revision) = self.churn.present()[name];
        let change = |record: &mut Value| record["version"] = json!(revision);
        let record = record::copy(&self.templates[&kind], name, change);
        let mut record = self.scene.done("copy a record", record);
        record.metadata.name = Some(record::stored(name, revision));
        let labels = record.metadata.labels.get_or_insert_default();
        labels.insert("version".to_owned(), revision.to_string());
        let stored = self.scene.api::<Secret>();
        let stored = stored.create(&PostParams::default(), &record).await;
        self.scene.done("store a record", stored);
        let word = self.churn.verdict(kind);
        self.want(name.to_owned(), Some((revision, word)));
    }

    async fn deletes(&self, name: &str, revision: i64) {
        let stored = self.scene.api::<Secret>();
        let name = record::stored(name, revision);
        let deleted = stored.delete(&name, &DeleteParams::default()).await;
        drop(self.scene.done("delete a record", deleted));
    }

    fn want(&mut self, name: String, said: Option<(i64, &'static str)>) {
        let since = Instant::now();
        self.wanted.insert(name, Wanted { said, since });
    }

    /// What the stolen key has signed is to be judged anew.
    fn turned(&mut self) {
        let stolen = self.churn.present().iter();
        let stolen: Vec<_> = stolen
            .filter(|(_, (kind, _))| *kind == Kind::Stolen)
            .map(|(name, (kind, revision))| (name.clone(), (*revision, self.churn.verdict(*kind))))
            .collect();
        for (name, said) in stolen {
            self.want(name, Some(said));
        }
    }

    /// Since when the longest is wanted that is not so, in milliseconds; and its name.
    async fn oldest(&self) -> (u64, Option<String>) {
        let trusts = self.scene.trusts().list(&ListParams::default()).await;
        let trusts = self.scene.done("list what is said", trusts);
        let said: BTreeMap<_, _> = trusts
            .items
            .iter()
            .filter_map(|trust| {
                let name = trust.metadata.name.as_deref()?;
                let release = trust.status.as_ref()?.release.as_ref()?;
                Some((name, (release.revision, verdict(trust))))
            })
            .collect();
        let open = self.wanted.iter().filter(|(name, wanted)| {
            let said = said.get(name.as_str());
            said.map(|(revision, word)| (*revision, word.as_str())) != wanted.said
        });
        let oldest = open.min_by_key(|(_, wanted)| wanted.since);
        oldest.map_or((0, None), |(name, wanted)| {
            let age = u64::try_from(wanted.since.elapsed().as_millis());
            (age.unwrap_or(u64::MAX), Some(name.clone()))
        })
    }

    async fn sample(&mut self) {
        let (oldest, _) = self.oldest().await;
        let id = self.stage.operator(|operator| operator.id());
        let [memory, descriptors] = samples::of_process(id);
        let now = self.stage.cluster.mark();
        let audit = self.scene.done("audit", self.stage.cluster.audit());
        let answered = audit.answered_since(self.mark);
        let ours = self.scene.done("read the audit log", answered);
        let ours = ours.by(self.stage.identity.user());
        self.mark = now;
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.soaked.samples.push(Sample {
            second: self.second(),
            memory,
            descriptors,
            requests: count(ours.len()),
            writes: count(ours.writes().len()),
            oldest,
            releases: count(self.churn.present().len()),
        });
    }

    /// Nothing fails any more, the key is good, and everything comes true.
    async fn ends(&mut self) {
        self.proxy.behave();
        self.proxy.join();
        self.scene.withdraw().await;
        self.churn.withdraw();
        self.turned();
        eventually(
            2 * SOON,
            "all is said that has to be",
            async || match self.oldest().await {
                (_, None) => Ok(()),
                (age, Some(name)) => Err(format!("{name}, for {age} ms")),
            },
        )
        .await;
        let quarantines = self.scene.quarantines();
        eventually(2 * SOON, "no Quarantine is left", async || {
            let left = quarantines.list_metadata(&ListParams::default()).await;
            let left = left.map_err(|error| error.to_string())?.items;
            let left: Vec<_> = left.into_iter().map(|one| one.metadata.name).collect();
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            }
        })
        .await;
    }
}

/// What fails.
#[derive(Debug, Clone, Copy)]
enum Failing {
    Cut,
    Frozen,
    Parted,
    Refused,
}

impl Failing {
    const ALL: [Self; 4] = [Self::Cut, Self::Frozen, Self::Parted, Self::Refused];

    fn told(self) -> &'static str {
        match self {
            Self::Cut => "watches break off",
            Self::Frozen => "watches say nothing",
            Self::Parted => "the network is parted",
            Self::Refused => "writes are answered by 500",
        }
    }
}

/// A fault begins so often, in seconds.
const FAULT_EVERY: u64 = 20;
/// And lasts so long.
const FAULT_LASTS: u64 = 3;
