//! The alert rules of the operator's chart, evaluated by Prometheus' own `promtool`; and a Prometheus that scrapes and
//! answers queries, as the dashboard asks them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{CommandError, run_async};
use crate::eventually;
use crate::ports::free_ports;
use crate::process::{Process, ProcessError};
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

/// A Prometheus that scrapes each second; ended when dropped.
#[derive(Debug)]
pub struct Server {
    _process: Process,
    address: String,
    _dir: TempDir,
}

impl Server {
    /// One that scrapes these addresses of `/metrics`, and keeps the labels of what it reads, as the chart's
    /// `ServiceMonitor` says.
    ///
    /// # Errors
    /// If it is not there, or cannot be started.
    pub async fn start(targets: &[String]) -> Result<Self, ServerError> {
        let dir = tempfile::tempdir()?;
        let [port] = free_ports()?;
        let address = format!("127.0.0.1:{port}");
        let host = |url: &String| url.trim_start_matches("http://").replace("/metrics", "");
        let targets: Vec<_> = targets.iter().map(host).collect();
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [
                {"job_name": "charttrust", "honor_labels": true, "static_configs": [{"targets": targets}]},
            ],
        });
        let file = dir.path().join("prometheus.yml");
        // YAML includes JSON.
        std::fs::write(&file, config.to_string())?;
        let mut command = Command::new(tools::path(Tool::Prometheus)?);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"));
        let process = Process::spawn("prometheus", &command, &dir.path().join("log"))?;
        let server = Self {
            _process: process,
            address,
            _dir: dir,
        };
        eventually(START, "Prometheus answers", async || {
            server.ask("query", &[("query", "1")]).await
        })
        .await;
        Ok(server)
    }

    /// Asks for something below `/api/v1`, and gives its `data`.
    ///
    /// # Errors
    /// What is wrong with the question, in Prometheus' words, or that it does not answer.
    pub async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let url = format!("http://{}/api/v1/{path}", self.address);
        let url =
            reqwest::Url::parse_with_params(&url, parameters).map_err(|error| error.to_string())?;
        let text = async { reqwest::get(url).await?.text().await };
        let text = text.await.map_err(|error| error.to_string())?;
        let mut answer: Value =
            serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        if answer["status"] == "success" {
            return Ok(answer["data"].take());
        }
        Err(text)
    }
}

/// Why Prometheus does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Its folder or a port cannot be had.
    #[error("failed to prepare the start of Prometheus")]
    Io(#[from] std::io::Error),
    /// It did not start.
    #[error(transparent)]
    Process(#[from] ProcessError),
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

const START: Duration = Duration::from_secs(60);

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
