//! The operator as a child process.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::ports::free_ports;
use crate::process::{Process, ProcessError};
use crate::tls;

/// How to start the operator.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `charttrust` binary.
    pub binary: PathBuf,
    /// Whom it acts as.
    pub kubeconfig: PathBuf,
    /// Its own namespace.
    pub namespace: String,
    /// Hosts on loopback that it may ask, as `HOST:PORT`.
    pub allow_hosts: Vec<String>,
    /// Further arguments of `charttrust run`.
    pub more: Vec<String>,
}

/// The operator that `make` has built.
///
/// # Panics
/// If nobody says where it is.
pub fn binary() -> PathBuf {
    let named = std::env::var_os(BINARY_VARIABLE);
    let named =
        named.unwrap_or_else(|| panic!("{BINARY_VARIABLE} names the operator; run make test"));
    named.into()
}

/// A running operator; ended (SIGKILL) when dropped.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    health: String,
    metrics: String,
    _dir: TempDir,
}

impl Operator {
    /// Starts it, without waiting for anything.
    pub fn start(options: &Options) -> Result<Self, OperatorError> {
        let dir = tempfile::Builder::new()
            .prefix("charttrust-operator-")
            .tempdir_in(folder_of(options))?;
        let [health, metrics] = free_ports()?.map(|port| format!("127.0.0.1:{port}"));
        let command = command(options, &health, &metrics);
        let process = Process::spawn("charttrust", &command, &dir.path().join("log"))?;
        Ok(Self {
            process,
            health,
            metrics,
            _dir: dir,
        })
    }

    /// Returns when `/readyz` says so; fails at once if the process ends.
    pub async fn ready(&mut self, deadline: Duration) -> Result<(), OperatorError> {
        let start = Instant::now();
        loop {
            self.process.check()?;
            let answer = get(&self.health, "/readyz").await;
            match answer {
                Ok(_) => return Ok(()),
                Err(last) if start.elapsed() > deadline => {
                    let (last, log) = (last.to_string(), self.log());
                    return Err(OperatorError::NotReady {
                        deadline,
                        last,
                        log,
                    });
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// What `/metrics` says.
    pub async fn metrics(&self) -> Result<String, OperatorError> {
        Ok(get(&self.metrics, "/metrics").await?)
    }

    /// Where `/metrics` is.
    pub fn metrics_url(&self) -> String {
        format!("http://{}/metrics", self.metrics)
    }

    /// Everything it has logged so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The file of what it logs.
    pub fn log_file(&self) -> &Path {
        self.process.log_file()
    }

    /// I12: asks whether it is alive, and fails if that takes longer than a second or if it has more
    /// memory than the chart gives it.
    pub async fn pulse(health: &str, id: u32) -> Result<(), String> {
        let asked = tokio::time::timeout(PULSE, get(health, "/healthz")).await;
        asked
            .map_err(|_| format!("no answer within {PULSE:?}"))?
            .map_err(|error| error.to_string())?;
        let pages = std::fs::read_to_string(format!("/proc/{id}/statm"));
        let pages = pages.map_err(|error| error.to_string())?;
        let resident = pages.split(' ').nth(1).and_then(|text| text.parse().ok());
        let resident: u64 = resident.ok_or_else(|| format!("no memory in {pages}"))?;
        if resident * PAGE > MEMORY {
            return Err(format!("{} bytes of memory", resident * PAGE));
        }
        Ok(())
    }

    /// Where `/healthz` is.
    pub fn health(&self) -> &str {
        &self.health
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it as Kubernetes does: SIGTERM, and SIGKILL after half a minute.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        self.process.terminate(GRACE)
    }

    /// Stops it from running, as a machine does that hangs.
    pub fn freeze(&mut self) {
        self.process.freeze();
    }

    /// Lets it run again.
    pub fn thaw(&mut self) {
        self.process.thaw();
    }

    /// How it has ended by itself, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Ends it as a crash does (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

/// Why the operator does not run.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// Its log file or a port cannot be had.
    #[error("failed to prepare the start of the operator")]
    Io(#[from] std::io::Error),
    /// It does not answer.
    #[error("the operator does not answer")]
    NoAnswer(#[from] reqwest::Error),
    /// It runs but did not become ready.
    #[error("the operator was not ready after {deadline:?} ({last}); its log:\n{log}")]
    NotReady {
        /// How long was waited.
        deadline: Duration,
        /// The last answer.
        last: String,
        /// All of its log.
        log: String,
    },
    /// It did not start or did not stay.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// Beside the operator's kubeconfig, which goes with the cluster.
fn folder_of(options: &Options) -> PathBuf {
    let beside = options.kubeconfig.parent().map(Path::to_owned);
    beside
        .filter(|folder| folder.is_dir())
        .unwrap_or_else(std::env::temp_dir)
}

fn command(options: &Options, health: &str, metrics: &str) -> Command {
    let mut command = Command::new(&options.binary);
    command.args(["run", "--namespace", &options.namespace]);
    command.args(["--health-addr", health, "--metrics-addr", metrics]);
    for host in &options.allow_hosts {
        command.args(["--allow-host", host]);
    }
    command
        .args(&options.more)
        // Read by the operator's TLS library in place of the system's authorities.
        .env("SSL_CERT_FILE", tls::authority())
        .env("KUBECONFIG", &options.kubeconfig);
    command
}

async fn get(address: &str, path: &str) -> reqwest::Result<String> {
    let response = reqwest::get(format!("http://{address}{path}")).await?;
    response.error_for_status()?.text().await
}

/// Names the operator to test.
const BINARY_VARIABLE: &str = "CHARTTRUST_BINARY";
/// Longest wait for an answer of a process that is alive.
const PULSE: Duration = Duration::from_secs(1);
/// What the operator's chart sets as its limit.
const MEMORY: u64 = 512 << 20;
const PAGE: u64 = 4096;
const GRACE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn options(binary: &Path) -> Options {
        Options {
            binary: binary.to_owned(),
            kubeconfig: "/nowhere/kubeconfig".into(),
            namespace: "charttrust-system".to_owned(),
            allow_hosts: vec!["127.0.0.1:8080".to_owned()],
            more: vec!["--quarantine=off".to_owned()],
        }
    }

    /// A stand-in that tells its arguments and waits for its end.
    fn script(dir: &TempDir, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.path().join("charttrust");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn end_before_readiness_is_told_with_the_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let binary = script(&dir, "echo \"$KUBECONFIG $*\"; exit 3");
        let mut operator = Operator::start(&options(&binary)).unwrap();
        let error = operator
            .ready(Duration::from_secs(30))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/nowhere/kubeconfig run --namespace charttrust-system"),
            "{error}"
        );
        assert!(
            error.contains("--allow-host 127.0.0.1:8080 --quarantine=off"),
            "{error}"
        );
        assert!(error.contains("exit status: 3"), "{error}");
    }

    #[tokio::test]
    async fn stop_is_a_sigterm() {
        let dir = tempfile::tempdir().unwrap();
        let binary = script(
            &dir,
            "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done",
        );
        let mut operator = Operator::start(&options(&binary)).unwrap();
        let up = async || operator.log().contains("up").then_some(()).ok_or("no word");
        crate::eventually(Duration::from_secs(30), "the stand-in is up", up).await;
        assert_eq!(operator.stop().and_then(|status| status.code()), Some(7));
    }
}
