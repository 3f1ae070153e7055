//! Signs, installs and judges all charts below a folder, and lists every false alarm.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use charttrust_e2e::cluster::{Cluster, built};
use charttrust_e2e::stage::{Power, Setting, Stage};
use charttrust_false_alarms::{Options, Place};
use clap::Parser;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Parser)]
#[command(about = "Installs signed charts and lists every verdict that is not Trusted")]
struct Arguments {
    /// A folder with sources and archives of charts, at any depth.
    charts: PathBuf,
    /// Installations at a time.
    #[arg(long, default_value_t = 2)]
    parallel: usize,
    /// Every how many charts one is also installed from its folder, and one upgraded.
    #[arg(long, default_value_t = 10)]
    sample: usize,
    /// Publishes the charts in an OCI registry, and not in a repository over HTTP.
    #[arg(long)]
    registry: bool,
    /// How many records to change in the cluster.
    #[arg(long, default_value_t = 30)]
    altered: usize,
    /// Only compares what `charttrust sign` signs with what both Helms sign, byte for byte: no cluster.
    #[arg(long)]
    statements: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok((told, true)) => {
            print!("{told}");
            ExitCode::SUCCESS
        }
        Ok((told, false)) => {
            print!("{told}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("false-alarms: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What came of it, and whether that is good.
async fn run(arguments: &Arguments) -> Result<(String, bool)> {
    let charts = arguments.charts.canonicalize().map_err(|error| {
        let charts = arguments.charts.display();
        format!("cannot look into the folder `{charts}`: {error}; name one as CHARTS=DIR")
    })?;
    let operator = std::env::var_os("CHARTTRUST_BINARY").map(PathBuf::from);
    let operator = operator.map_or_else(|| built("charttrust"), Ok)?;
    if arguments.statements {
        let told = charttrust_false_alarms::statements(&operator, &charts).await?;
        return Ok((told.to_string(), told.is_good()));
    }
    let setting = Setting::new(operator, Power::Reports);
    let cluster = Cluster::shared(&built("testbed")?.to_string_lossy());
    let stage = Stage::set(cluster, setting).await;
    let (parallel, sample, altered) = (arguments.parallel, arguments.sample, arguments.altered);
    let place = if arguments.registry {
        Place::Registry
    } else {
        Place::Http
    };
    let options = Options {
        place,
        parallel,
        sample,
        altered,
        deadline: Duration::from_secs(300),
    };
    let told = charttrust_false_alarms::run(&stage, &[&charts], options).await?;
    Ok((told.to_string(), told.is_good()))
}
