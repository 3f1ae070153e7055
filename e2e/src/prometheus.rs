//! The alert rules of the operator's chart, evaluated by Prometheus' own `promtool`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{CommandError, run_async};
use crate::stage::path;
use crate::tools::{self, Tool, ToolError};

/// The rules, as Prometheus reads them.
pub fn rules() -> PathBuf {
    PathBuf::from(path("operator/chart/files/alerts.yaml"))
}

/// Whether Prometheus accepts a file of rules.
pub async fn check(rules: &Path) -> Result<(), PromtoolError> {
    promtool(&["check", "rules"], rules).await
}

/// Runs the tests in a file of unit tests for rules.
pub async fn test(tests: &Path) -> Result<(), PromtoolError> {
    promtool(&["test", "rules"], tests).await
}

async fn promtool(action: &[&str], file: &Path) -> Result<(), PromtoolError> {
    let mut command = Command::new(tools::path(Tool::Promtool)?);
    command.args(action).arg(file);
    run_async(command).await?;
    Ok(())
}

/// Why promtool did not say yes.
#[derive(Debug, thiserror::Error)]
pub enum PromtoolError {
    /// It said no; its standard error stands in the message.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// It is not there.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

/// One line of what `/metrics` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Name and labels.
    pub series: String,
    /// The value, as written.
    pub value: String,
}

/// The samples in a text that Prometheus reads.
pub fn samples(text: &str) -> Vec<Sample> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        Some(Sample {
            series: series.to_owned(),
            value: value.to_owned(),
        })
    };
    lines.filter_map(sample).collect()
}

/// The names of the operator's metrics in a text: rules, or what `/metrics` says.
pub fn metrics(text: &str) -> BTreeSet<String> {
    let of_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let starts = text.match_indices("charttrust_");
    let name = |(start, _): (usize, &str)| text[start..].chars().take_while(|c| of_name(*c));
    starts.map(|start| name(start).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE charttrust_leader gauge\ncharttrust_leader 1\n\
        charttrust_releases{policy=\"a b\",reason=\"Unsigned\"} 3\n# EOF\n";

    #[test]
    fn samples_are_series_and_value() {
        let read = samples(TEXT);
        let read: Vec<_> = read.iter().map(|s| (&*s.series, &*s.value)).collect();
        let releases = "charttrust_releases{policy=\"a b\",reason=\"Unsigned\"}";
        assert_eq!(read, [("charttrust_leader", "1"), (releases, "3")]);
    }

    #[test]
    fn metrics_are_found_by_their_prefix() {
        let found: Vec<_> = metrics(TEXT).into_iter().collect();
        assert_eq!(found, ["charttrust_leader", "charttrust_releases"]);
    }
}
