//! `make bench`: what many releases, and what other people's objects, cost on the real server.
//!
//! Requests and writes are counted in the API server's audit log, downloads at the repository and
//! memory by the kernel; nothing is taken from the operator's own word. Times of one run on one
//! machine are printed to be compared with each other, not as a promise.

mod hostile;
mod pods;
mod registry;
mod releases;
mod run;
mod slow;
mod sources;

use std::path::PathBuf;

use charttrust_e2e::cluster::{Cluster, built};
use charttrust_e2e::stage;
use clap::{Parser, ValueEnum};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures the operator with many releases of fewer charts, and with hostile neighbours.
#[derive(Parser)]
struct Arguments {
    /// What to measure; default: everything.
    rows: Vec<Row>,
    /// Distinct charts.
    #[arg(long, default_value_t = 100)]
    charts: usize,
    /// Releases of each chart.
    #[arg(long, default_value_t = 10)]
    each: usize,
    /// Hostile Secrets, and as many ConfigMaps.
    #[arg(long, default_value_t = 1100)]
    junk: usize,
    /// Releases of charts at a source that sends a byte a second.
    #[arg(long, default_value_t = 40)]
    hanging: usize,
    /// Pods in the namespace of the releases that are contained.
    #[arg(long, default_value_t = 10_000)]
    pods: usize,
    /// Releases that are contained there.
    #[arg(long, default_value_t = 50)]
    bad: usize,
    /// The operator to measure; default: the release build beside this program's.
    #[arg(long)]
    binary: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Row {
    /// Records that anybody may write, with as many annotations as the server takes.
    Hostile,
    /// A quarantine of many releases among many Pods.
    Pods,
    /// A cold start, a warm one and a revocation.
    Releases,
    /// A source that sends a byte a second, beside one that answers.
    Slow,
    /// What a repository and a registry are asked at a cold start.
    Sources,
}

impl Arguments {
    fn wants(&self, row: Row) -> bool {
        self.rows.is_empty() || self.rows.contains(&row)
    }
}

#[tokio::main]
async fn main() -> Result {
    let arguments = Arguments::parse();
    let testbed = built("testbed")?;
    let cluster = Cluster::shared(&testbed.to_string_lossy());
    stage::install(cluster.kubeconfig()).await?;
    let bench = run::Bench::new(cluster, &arguments).await?;
    if arguments.wants(Row::Releases) {
        releases::row(&bench, &arguments).await?;
    }
    if arguments.wants(Row::Hostile) {
        hostile::row(&bench, arguments.junk).await?;
    }
    if arguments.wants(Row::Sources) {
        sources::row(&bench, &arguments).await?;
    }
    if arguments.wants(Row::Slow) {
        slow::row(&bench, arguments.hanging).await?;
    }
    if arguments.wants(Row::Pods) {
        pods::row(&bench, &arguments).await?;
    }
    Ok(())
}
