//! `make bench`: what many releases, and what other people's objects, cost on the real server.
//!
//! Requests and writes are counted in the API server's audit log, downloads at the repository and
//! memory by the kernel; nothing is taken from the operator's own word. Times of one run on one
//! machine are printed to be compared with each other, not as a promise.

mod bundles;
mod contained;
mod copies;
mod door;
mod few;
mod fresh;
mod hostile;
mod load;
mod moonshot;
mod numbers;
mod pods;
mod registry;
mod releases;
mod run;
mod slow;
mod sources;
mod started;
mod verify;

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
    /// Releases of the row of that name, one number after the other, of as many charts as above, instead of `each`; and
    /// the first of them is how many are contained, instead of `bad`.
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<usize>,
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
    /// Rounds of what is measured in turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Records a second that the API server is asked to create.
    #[arg(long, value_delimiter = ',', default_value = "50,100,200")]
    rates: Vec<u32>,
    /// For how many seconds at each rate each webhook is asked in all, by turns; and for how many others read, or records
    /// come.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// For how many seconds it is watched that nothing happens.
    #[arg(long, default_value_t = 60)]
    idle: u64,
    /// The operator to measure; default: the release build beside this program's.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// What does the least that a cold start has to do; default: the release build beside that.
    #[arg(long)]
    floor: Option<PathBuf>,
    /// The webhook that looks at nothing; default: the release build beside that.
    #[arg(long)]
    noop: Option<PathBuf>,
    /// What answers records without a look at them; default: the release build beside that.
    #[arg(long)]
    watcher: Option<PathBuf>,
    /// What measures the engine; default: the release build beside that.
    #[arg(long)]
    speed: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Row {
    /// One Sigstore bundle, by the engine, by sigstore-go and by cosign.
    Bundles,
    /// P6, P7, P9, P22: the quarantine of many releases.
    #[value(aliases = ["P6", "P7", "P9", "P22"])]
    Contained,
    /// P19 to P21: what the webhook costs whoever installs, beside one that looks at nothing.
    #[value(aliases = ["P19", "P20", "P21"])]
    Door,
    /// P8: the quarantine of ten releases among many.
    #[value(alias = "P8")]
    Few,
    /// P18: new records of a chart that is known.
    #[value(alias = "P18")]
    Fresh,
    /// P14: records that anybody may write, with as many annotations as the server takes.
    #[value(alias = "P14")]
    Hostile,
    /// As many releases as are named (100,000) on two replicas that share the work. Only if it is asked for.
    Moonshot,
    /// A quarantine of many releases among many Pods.
    Pods,
    /// P10 to P13, P15 to P17, P23, P24: a cold start, a warm one, rest and a revocation.
    #[value(aliases = ["P10", "P11", "P12", "P13", "P15", "P16", "P17", "P23", "P24"])]
    Releases,
    /// A source that sends a byte a second, beside one that answers.
    Slow,
    /// What a repository and a registry are asked at a cold start.
    Sources,
    /// P25: a start with nothing there.
    #[value(alias = "P25")]
    Started,
    /// P1 to P5: how fast charts are verified and records decoded, beside other programs.
    #[value(aliases = ["P1", "P2", "P3", "P4", "P5"])]
    Verify,
}

impl Arguments {
    fn wants(&self, row: Row) -> bool {
        self.rows.is_empty() || self.rows.contains(&row)
    }

    /// The seconds of one round.
    fn of_round(&self) -> u64 {
        let rounds = u64::try_from(self.rounds).unwrap_or(u64::MAX);
        (self.seconds / rounds.max(1)).max(1)
    }

    /// What measures the engine.
    fn speed(&self) -> Result<PathBuf> {
        match &self.speed {
            Some(program) => Ok(program.clone()),
            None => Ok(built("../release/speed")?),
        }
    }
}

#[tokio::main]
async fn main() -> Result {
    let arguments = Arguments::parse();
    // These need no cluster, or one of their own.
    let alone = [Row::Bundles, Row::Door, Row::Moonshot, Row::Verify];
    if arguments.wants(Row::Bundles) {
        bundles::row(&arguments)?;
    }
    if arguments.wants(Row::Verify) {
        verify::row(&arguments).await?;
    }
    if arguments.wants(Row::Door) {
        door::row(&arguments).await?;
    }
    if arguments.rows.contains(&Row::Moonshot) {
        Box::pin(moonshot::row(&arguments)).await?;
    }
    if !arguments.rows.is_empty() && arguments.rows.iter().all(|row| alone.contains(row)) {
        return Ok(());
    }
    let testbed = built("testbed")?;
    let cluster = Cluster::shared(&testbed.to_string_lossy());
    stage::install(cluster.kubeconfig()).await?;
    let bench = run::Bench::new(cluster, &arguments).await?;
    // While nothing is there.
    if arguments.wants(Row::Started) {
        started::row(&bench, &arguments).await?;
    }
    if arguments.wants(Row::Releases) {
        releases::row(&bench, &arguments).await?;
    }
    if arguments.wants(Row::Fresh) {
        fresh::row(&bench, &arguments).await?;
    }
    if arguments.wants(Row::Contained) {
        contained::row(&bench, &arguments).await?;
    }
    if arguments.wants(Row::Few) {
        Box::pin(few::row(&bench, &arguments)).await?;
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

/// Bytes that cannot be packed, the same in each run.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 2026_u64;
    let bytes = (0..length).map(|_| {
        // Knuth's multiplicative generator (MMIX).
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    });
    bytes.collect()
}
