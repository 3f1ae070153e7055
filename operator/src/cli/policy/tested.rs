//! `charttrust policy test`: which rule decides for an archive. Reads the named files and nothing else.

use std::path::{Path, PathBuf};

use charttrust_verify::chart;
use charttrust_verify::finding::error_chain;
use charttrust_verify::limits::ArchiveLimits;
use charttrust_verify::policy::Policy;
use charttrust_verify::verdict::Verdict;
use clap::Args;
use serde::Serialize;

use super::decision::Decision;
use crate::cli::screen::Format;
use crate::cli::status::shown;
use crate::cli::verify::inputs::{self, Kind, UsageError};
use crate::cli::{INTERNAL, SCHEMA_VERSION, TRUSTED, UNKNOWN, UNTRUSTED, USAGE, complain, print};

/// Tells which rule of a policy decides for chart archives, and what it asks of them.
///
/// Nothing is verified: `charttrust verify --policy` does that, with keys. `match` and exceptions of the
/// policy are about releases, and are not looked at.
///
/// Exit code 0: each can be trusted by the rule that decides for it; 1: one cannot, whoever has signed it;
/// 2: the arguments cannot be used; 3: no rule asks for anything of one.
#[derive(Args, Clone, Debug)]
pub struct Test {
    /// The ChartTrustPolicy.
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// The chart archives, as `helm package` makes them.
    #[arg(value_name = "CHART.tgz", required = true)]
    pub charts: Vec<PathBuf>,
    /// Prints for programs.
    #[arg(short, long, value_enum)]
    pub output: Option<Format>,
}

/// Prints what the policy says, and gives the exit code.
pub(super) fn main(arguments: &Test) -> u8 {
    let (decisions, failures) = match decided(arguments) {
        Ok(all) => all,
        Err(error) => return complain(&error, USAGE),
    };
    let text = match arguments.output {
        Some(format) => format.write(&Tested {
            schema_version: SCHEMA_VERSION,
            archives: &decisions,
        }),
        None => Ok(decisions.iter().map(told).collect()),
    };
    let printed = match text {
        Ok(text) => print(&text),
        Err(error) => complain(&error, INTERNAL),
    };
    let failed = failures.iter().map(|error| complain(error, USAGE)).max();
    match (printed, failed) {
        (TRUSTED, Some(failed)) => failed,
        (TRUSTED, None) => worst(&decisions),
        (printed, _) => printed,
    }
}

/// What programs read.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tested<'a> {
    schema_version: u32,
    archives: &'a [Decision],
}

/// What is said of each archive, and which cannot be read.
fn decided(arguments: &Test) -> Result<(Vec<Decision>, Vec<UsageError>), UsageError> {
    let policy = inputs::policy_of(&arguments.file)?;
    let (mut decisions, mut failures) = (Vec::new(), Vec::new());
    for path in &arguments.charts {
        match decision(&policy, path) {
            Ok(decision) => decisions.push(decision),
            Err(failure) => failures.push(failure),
        }
    }
    Ok((decisions, failures))
}

fn decision(policy: &Policy, path: &Path) -> Result<Decision, UsageError> {
    let bytes = inputs::read_whole(path, Kind::Archive)?;
    let chart = chart::read(&bytes, &ArchiveLimits::default());
    let chart = chart.map_err(|error| UsageError::Unusable {
        path: path.display().to_string(),
        problem: error_chain(&error),
    })?;
    Ok(Decision::of(policy, &chart))
}

fn told(decision: &Decision) -> String {
    let Decision {
        chart,
        version,
        asks,
        hidden,
        ..
    } = decision;
    let rule = match &decision.rule {
        Some(rule) => format!("rule {rule}"),
        None => "no rule".to_owned(),
    };
    let verdict = decision
        .settled
        .map_or_else(String::new, |verdict| format!("   {verdict}"));
    let mut lines = vec![
        format!("{chart} {version}   {rule}{verdict}"),
        format!("  {asks}"),
    ];
    if !hidden.is_empty() {
        let hidden = hidden.join(", ");
        lines.push(format!("  matches too, and is not asked: {hidden}"));
    }
    shown(lines)
}

/// What a rule refuses stands above what no rule asks about.
fn worst(decisions: &[Decision]) -> u8 {
    let codes = decisions.iter().map(|decision| match decision.settled {
        None | Some(Verdict::Trusted(_)) => (0, TRUSTED),
        Some(Verdict::Unknown(_)) => (1, UNKNOWN),
        Some(Verdict::Untrusted(_)) => (2, UNTRUSTED),
    });
    codes.max().map_or(TRUSTED, |(_, code)| code)
}
