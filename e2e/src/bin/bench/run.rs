//! An operator that is measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use charttrust_e2e::audit::{Event, Events};
use charttrust_e2e::cluster::{Cluster, Identity, built};
use charttrust_e2e::eventually;
use charttrust_e2e::operator::{Operator, Options};
use charttrust_e2e::process;
use charttrust_e2e::stage::OPERATOR_NAMESPACE;

use crate::numbers::real;
use crate::{Arguments, Result};

/// Longest wait for all verdicts, for a machine that is slow beyond use.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// How long nothing is written before all counts as told.
const STILL: Duration = Duration::from_secs(2);

/// What all rows have in common.
pub(crate) struct Bench {
    pub(crate) cluster: &'static Cluster,
    pub(crate) identity: Identity,
    binary: PathBuf,
    /// What does the least that a cold start has to do.
    floor: Option<PathBuf>,
}

impl Bench {
    pub(crate) async fn new(cluster: &'static Cluster, arguments: &Arguments) -> Result<Self> {
        Ok(Self {
            cluster,
            identity: cluster.identity(OPERATOR_NAMESPACE, "charttrust").await?,
            binary: match &arguments.binary {
                Some(binary) => binary.clone(),
                None => built("../release/charttrust")?,
            },
            floor: arguments.floor.clone(),
        })
    }

    /// The operator to measure.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// The seconds that a cold start takes at least: records read, charts downloaded and hashed, objects written.
    pub(crate) async fn floor(&self, namespace: &str, repository: &str) -> Result<f64> {
        let program = match &self.floor {
            Some(program) => program.clone(),
            None => built("../release/cold-floor")?,
        };
        let mut command = tokio::process::Command::new(program);
        command.args([namespace, repository]);
        command.env("KUBECONFIG", self.cluster.kubeconfig());
        let output = command.output().await?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let milliseconds: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
        Ok(milliseconds / 1000.0)
    }

    /// Starts the operator, with more arguments.
    pub(crate) fn start(&self, more: &[&str]) -> Result<Operator> {
        let more = ["--no-leader-election"].iter().chain(more);
        Ok(Operator::start(&Options {
            binary: self.binary.clone(),
            kubeconfig: self.identity.kubeconfig(),
            namespace: OPERATOR_NAMESPACE.to_owned(),
            allow_hosts: vec!["127.0.0.1".to_owned()],
            more: more.map(|flag| (*flag).to_owned()).collect(),
        })?)
    }

    /// Waits until nobody has written for a while.
    pub(crate) async fn at_rest(&self) -> Result {
        let begun = Instant::now();
        loop {
            let mark = self.cluster.mark();
            tokio::time::sleep(STILL).await;
            let writes = self.cluster.asked_since(mark).writes();
            let writes = writes.only(|event| event.resource != "leases");
            if writes.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("somebody writes all the time: {:?}", writes.first()).into());
            }
        }
    }

    /// What it costs until so many releases of a namespace are trusted.
    pub(crate) async fn cost(
        &self,
        operator: &mut Operator,
        namespace: &str,
        wanted: usize,
    ) -> Result<Cost> {
        let (mark, started) = (self.cluster.mark(), Instant::now());
        operator.ready(PATIENCE).await?;
        judged(operator, namespace, wanted).await;
        let seconds = started.elapsed().as_secs_f64();
        let ours = self.cluster.asked_since(mark).by(self.identity.user());
        Ok(Cost {
            seconds,
            kinds: counted(&ours),
            requests: ours.len(),
            writes: ours.writes().len(),
        })
    }
}

/// What a start cost.
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    requests: usize,
    writes: usize,
    /// How often each kind of request was made.
    kinds: BTreeMap<String, usize>,
}

impl Cost {
    pub(crate) fn print(&self, operator: &Operator) {
        println!("  time to all verdicts   {:.1} s", self.seconds);
        println!("  requests to the server {}", self.requests);
        println!("  object writes          {}", self.writes);
        print_memory(operator);
    }

    /// What it costs for each release.
    pub(crate) fn print_each(&self, releases: usize) {
        let each = |count: usize| real(count) / real(releases.max(1));
        println!(
            "  for each release       {:.2} requests, {:.2} of them write (goals: 3, 2)",
            each(self.requests),
            each(self.writes)
        );
        let many = self
            .kinds
            .iter()
            .filter(|(_, count)| **count * 10 >= releases);
        for (kind, count) in many {
            println!("    {kind:<40} {:.2}", each(*count));
        }
    }
}

/// As the kernel counts it.
pub(crate) fn print_memory(operator: &Operator) {
    let [now, peak] = memory(operator.id()).map(|kib| kib / 1024);
    println!("  memory now, peak       {now} MiB, {peak} MiB");
}

/// Resident memory now and at its peak, in KiB.
pub(crate) fn memory(process: u32) -> [u64; 2] {
    ["VmRSS:", "VmHWM:"]
        .map(|field| u64::try_from(process::memory(process, field) / 1024).unwrap_or(u64::MAX))
}

/// Waits until the operator counts so many releases as trusted.
pub(crate) async fn judged(operator: &Operator, namespace: &str, wanted: usize) {
    eventually(PATIENCE, "all releases are judged", async || {
        let text = operator.metrics().await;
        let text = text.map_err(|error| error.to_string())?;
        let counts = text.lines().filter(|line| {
            line.starts_with("charttrust_releases{")
                && line.contains(&format!("namespace=\"{namespace}\""))
                && line.contains("verdict=\"trusted\"")
        });
        let sum: usize = counts.filter_map(number).sum();
        if sum == wanted {
            Ok(())
        } else {
            Err(format!("{sum} of {wanted}"))
        }
    })
    .await;
}

/// Waits until the operator counts so many releases as contained.
pub(crate) async fn contained(operator: &Operator, wanted: usize) {
    eventually(PATIENCE, "so many are contained", async || {
        let text = operator.metrics().await;
        let text = text.map_err(|error| error.to_string())?;
        let line = |line: &&str| line.starts_with("charttrust_quarantined_releases ");
        let found = text.lines().find(line).and_then(number).unwrap_or_default();
        if found == wanted {
            Ok(())
        } else {
            Err(format!("{found} of {wanted}"))
        }
    })
    .await;
}

/// The value of a metric's line.
pub(crate) fn number(line: &str) -> Option<usize> {
    line.rsplit(' ').next()?.parse().ok()
}

/// What was asked for, without of what.
pub(crate) fn kind(event: &Event) -> String {
    let kind = [event.resource.as_str(), event.subresource.as_str()].join("/");
    let kind = kind.trim_end_matches('/');
    format!("{} {kind} {}", event.verb, event.code)
}

/// How often each kind of request was made.
pub(crate) fn counted(events: &Events) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for event in events.iter() {
        *all.entry(kind(event)).or_default() += 1;
    }
    all
}
