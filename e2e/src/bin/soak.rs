//! `make soak`: half an hour of churn and faults, drawn into one page.

use std::path::PathBuf;
use std::time::Duration;

use charttrust_e2e::cluster::{Cluster, built};
use charttrust_e2e::soak;
use clap::Parser;

/// Lets releases come and go while the API server fails now and then.
#[derive(Parser)]
struct Arguments {
    /// For how many minutes.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// What comes and goes follows from this number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the page goes.
    #[arg(long, default_value = "target/soak.html")]
    page: PathBuf,
    /// The operator; default: the release build beside this program's.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// By how many MiB an hour memory may grow in the second half.
    #[arg(long, default_value_t = 8.0)]
    growth: f64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let arguments = Arguments::parse();
    let binary = match arguments.binary {
        Some(binary) => binary,
        None => built("../release/charttrust")?,
    };
    let cluster = Cluster::shared(&built("testbed")?.to_string_lossy());
    let time = Duration::from_secs(60 * arguments.minutes);
    let soaked = soak::run(cluster, binary, time, arguments.seed).await;
    std::fs::write(&arguments.page, soak::written(&soaked))?;
    for line in soaked.told() {
        println!("{line}");
    }
    println!("drawn in {}", arguments.page.display());
    let grows = soak::growth(&soaked.samples) / 1024.0;
    if grows > arguments.growth {
        return Err(format!("memory grows by {grows:.1} MiB an hour").into());
    }
    Ok(())
}
