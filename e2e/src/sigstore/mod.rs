//! A Sigstore of one's own on loopback: real Fulcio, Rekor and timestamp authority, with stubs for what needs more
//! than a program (an issuer of tokens, a log of the first kind), for real cosign to sign by.
//!
//! The timestamp authority takes port 2112 as well, whatever it is told: one Sigstore runs on a machine at a time.

mod cosign;
mod oidc;
mod rekor1;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

pub use cosign::{Algorithm, Cosign, KeyFiles, Version};
pub use oidc::Job;

use crate::command::CommandError;
use crate::eventually::within;
use crate::ports::free_ports;
use crate::process::{LOG_TAIL, Process, ProcessError, tail};
use crate::tools::{self, Tool, ToolError};

/// A Sigstore; ended when dropped.
#[derive(Debug)]
pub struct Sigstore {
    issuer: oidc::Issuer,
    other_issuer: oidc::Issuer,
    log: rekor1::Rekor1,
    places: Places,
    processes: Vec<Process>,
    dir: TempDir,
}

/// Where its programs answer.
#[derive(Clone, Copy, Debug)]
struct Places {
    fulcio: SocketAddr,
    rekor: SocketAddr,
    stamping: SocketAddr,
}

/// By which services cosign signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Services {
    /// Certificate authority, the newer log, timestamps.
    All,
    /// None: where nothing may go out.
    None,
    /// Certificate authority and the older log, which promises a time.
    OlderLog,
    /// Certificate authority and timestamps, and no log.
    Unlogged,
}

impl Sigstore {
    /// Its programs are built first if they are missing, which takes half an hour.
    ///
    /// # Errors
    /// If one of them cannot be built, or does not answer.
    pub async fn start() -> Result<Self, SigstoreError> {
        let dir = tempfile::Builder::new()
            .prefix("charttrust-sigstore-")
            .tempdir()?;
        let places = Places {
            fulcio: free()?,
            rekor: free()?,
            stamping: free()?,
        };
        let mut sigstore = Self {
            issuer: oidc::Issuer::start()?,
            other_issuer: oidc::Issuer::start()?,
            log: rekor1::Rekor1::start()?,
            places,
            processes: Vec::new(),
            dir,
        };
        let log_key = sigstore.spawn_rekor()?;
        sigstore.spawn_stamping()?;
        sigstore.spawn_fulcio()?;
        let root = sigstore.ask_for_root(&log_key).await?;
        std::fs::write(sigstore.root(), root.to_string())?;
        for services in [
            Services::All,
            Services::None,
            Services::OlderLog,
            Services::Unlogged,
        ] {
            let config = sigstore.config(services).to_string();
            std::fs::write(sigstore.signing_config(services), config)?;
        }
        Ok(sigstore)
    }

    /// The trusted root (`trusted_root.json`).
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("trusted_root.json")
    }

    /// What tells cosign by which services to sign.
    pub fn signing_config(&self, services: Services) -> PathBuf {
        self.dir.path().join(format!("{services:?}.json"))
    }

    /// Who says who somebody is.
    pub fn issuer(&self) -> &str {
        self.issuer.url()
    }

    /// Somebody else who says so, and whom the certificate authority believes as well.
    pub fn other_issuer(&self) -> &str {
        self.other_issuer.url()
    }

    /// Where the certificate authority, the older log and the timestamp authority answer.
    pub fn urls(&self) -> [String; 3] {
        [
            format!("http://{}", self.places.fulcio),
            self.log.url().to_owned(),
            format!("http://{}/api/v1/timestamp", self.places.stamping),
        ]
    }

    /// A token for a job.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn token(&self, job: &Job) -> Result<String, SigstoreError> {
        self.issuer.token(job)
    }

    /// A token for a job by the other issuer.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn other_token(&self, job: &Job) -> Result<String, SigstoreError> {
        self.other_issuer.token(job)
    }

    /// A folder of its own.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// The newer log, and its public key.
    fn spawn_rekor(&mut self) -> Result<Vec<u8>, SigstoreError> {
        let key = Ed25519KeyPair::generate()?;
        let file = self.dir.path().join("rekor.pem");
        std::fs::write(
            &file,
            cosign::pem("PRIVATE KEY", key.to_pkcs8v1()?.as_ref()),
        )?;
        let mut command = Command::new(tools::path(Tool::Rekor)?);
        let at = self.places.rekor;
        command.args([
            "serve",
            "--http-address",
            "127.0.0.1",
            "--grpc-address",
            "127.0.0.1",
        ]);
        command.arg("--http-port").arg(at.port().to_string());
        command.arg("--grpc-port").arg(free()?.port().to_string());
        command
            .arg("--http-metrics-port")
            .arg(free()?.port().to_string());
        command.args(["--hostname", ORIGIN, "--checkpoint-interval", "1s"]);
        command.arg("--persistent-antispam=false");
        command
            .arg("--storage-dir")
            .arg(self.dir.path().join("log"));
        command.arg("--signer-filepath").arg(file);
        std::fs::create_dir(self.dir.path().join("log"))?;
        self.spawn("rekor", &command)?;
        Ok(key.public_key().as_ref().to_vec())
    }

    fn spawn_stamping(&mut self) -> Result<(), SigstoreError> {
        let mut command = Command::new(tools::path(Tool::TimestampServer)?);
        command.args([
            "serve",
            "--host",
            "127.0.0.1",
            "--timestamp-signer",
            "memory",
        ]);
        command
            .arg("--port")
            .arg(self.places.stamping.port().to_string());
        command.arg("--disable-ntp-monitoring");
        self.spawn("stamping", &command)
    }

    fn spawn_fulcio(&mut self) -> Result<(), SigstoreError> {
        // In JSON the same fields have other names.
        let issuers = [self.issuer.url(), self.other_issuer.url()].map(|url| {
            format!("  {url}:\n    issuer-url: {url}\n    client-id: sigstore\n    type: github-workflow\n")
        });
        let file = self.dir.path().join("fulcio.yaml");
        std::fs::write(&file, format!("oidc-issuers:\n{}", issuers.concat()))?;
        let mut command = Command::new(tools::path(Tool::Fulcio)?);
        let (at, socket) = (
            self.places.fulcio,
            format!("@charttrust-{}", self.places.fulcio),
        );
        command.args(["serve", "--ca", "ephemeralca", "--ct-log-url="]);
        command.args(["--host", "127.0.0.1", "--grpc-host", "127.0.0.1"]);
        command.arg("--port").arg(at.port().to_string());
        command.arg("--grpc-port").arg(free()?.port().to_string());
        command
            .arg("--metrics-port")
            .arg(free()?.port().to_string());
        command.arg("--legacy-unix-domain-socket").arg(socket);
        command.arg("--config-path").arg(file);
        self.spawn("fulcio", &command)
    }

    fn spawn(&mut self, name: &str, command: &Command) -> Result<(), SigstoreError> {
        let log = self.dir.path().join(format!("{name}.log"));
        self.processes.push(Process::spawn(name, command, &log)?);
        Ok(())
    }

    /// The trusted root, of what the programs say of themselves once they answer.
    async fn ask_for_root(&mut self, log_key: &[u8]) -> Result<Value, SigstoreError> {
        let chain = format!("{}/certchain", self.urls()[2]);
        let chain = self.answer(&chain).await?;
        let bundle = format!("{}/api/v2/trustBundle", self.urls()[0]);
        let bundle: Value = serde_json::from_str(&self.answer(&bundle).await?)?;
        self.answer(&format!("http://{}/healthz", self.places.rekor))
            .await?;
        let authorities: Vec<_> = bundle["chains"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|chain| {
                let certificates = chain["certificates"].as_array().into_iter().flatten();
                let text: String = certificates.filter_map(Value::as_str).collect();
                authority("fulcio", &self.urls()[0], &text)
            })
            .collect();
        let logs = [self.log.in_root(&valid()), newer_log(log_key)];
        Ok(json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": logs,
            "certificateAuthorities": authorities,
            "ctlogs": [],
            "timestampAuthorities": [authority("stamping", &self.urls()[2], &chain)],
        }))
    }

    async fn answer(&mut self, url: &str) -> Result<String, SigstoreError> {
        let processes = &mut self.processes;
        let asked = async || {
            for process in processes.iter_mut() {
                process.check().map_err(|error| error.to_string())?;
            }
            let answer = reqwest::get(url)
                .await
                .and_then(reqwest::Response::error_for_status);
            let answer = answer.map_err(|error| error.to_string())?;
            answer.text().await.map_err(|error| error.to_string())
        };
        let answer = within(DEADLINE, asked).await;
        answer.map_err(|last| SigstoreError::NotReady {
            last: format!("{url}: {last}\n{}", self.last_words()),
        })
    }

    fn last_words(&self) -> String {
        let logs = self.processes.iter();
        let logs = logs.map(|process| tail(&process.log(), LOG_TAIL));
        logs.collect::<Vec<_>>().join("\n")
    }

    fn config(&self, services: Services) -> Value {
        let [fulcio, older_log, stamping] = self.urls();
        let service = |url: String, version: u8| json!([{"url": url, "majorApiVersion": version, "validFor": valid(), "operator": "test"}]);
        let mut config = json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "rekorTlogConfig": {"selector": "ANY"}, "tsaConfig": {"selector": "ANY"},
        });
        if services != Services::None {
            config["caUrls"] = service(fulcio, 1);
        }
        if matches!(services, Services::All | Services::Unlogged) {
            config["tsaUrls"] = service(stamping, 1);
        }
        match services {
            Services::All => {
                config["rekorTlogUrls"] = service(format!("http://{}", self.places.rekor), 2);
            }
            Services::OlderLog => config["rekorTlogUrls"] = service(older_log, 1),
            Services::None | Services::Unlogged => {}
        }
        config
    }
}

/// An authority of a trusted root, of its certificates in PEM.
fn authority(name: &str, url: &str, pem: &str) -> Value {
    let blocks = pem.split("-----END CERTIFICATE-----");
    let blocks = blocks.filter_map(|block| block.split_once("-----BEGIN CERTIFICATE-----"));
    let certificates: Vec<_> = blocks
        .map(|(_, text)| json!({"rawBytes": text.split_whitespace().collect::<String>()}))
        .collect();
    json!({
        "subject": {"organization": "test", "commonName": name},
        "uri": url,
        "certChain": {"certificates": certificates},
        "validFor": valid(),
    })
}

/// The newer log: its ID is made of its name and key (C2SP `signed-note`).
fn newer_log(key: &[u8]) -> Value {
    // SubjectPublicKeyInfo of Ed25519 (RFC 8410): a fixed head.
    let head = [
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
    ];
    let id = digest(&SHA256, &[ORIGIN.as_bytes(), b"\n\x01", key].concat());
    json!({
        "baseUrl": format!("http://{ORIGIN}"),
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": BASE64_STANDARD.encode([&head[..], key].concat()),
            "keyDetails": "PKIX_ED25519",
            "validFor": valid(),
        },
        "logId": {"keyId": BASE64_STANDARD.encode(id)},
    })
}

fn valid() -> Value {
    json!({"start": "2020-01-01T00:00:00Z"})
}

fn free() -> std::io::Result<SocketAddr> {
    let [port] = free_ports()?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// Why there is no Sigstore, or why cosign did not sign.
#[derive(Debug, thiserror::Error)]
pub enum SigstoreError {
    /// cosign said no.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A folder or port cannot be used.
    #[error("failed to run a Sigstore")]
    Io(#[from] std::io::Error),
    /// An answer is no JSON.
    #[error("an answer cannot be read")]
    Json(#[from] serde_json::Error),
    /// No key could be made or used.
    #[error("no key could be made: {0}")]
    Key(String),
    /// A program does not answer in time.
    #[error("Sigstore does not answer: {last}")]
    NotReady {
        /// The last answer.
        last: String,
    },
    /// A program did not start or did not stay.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A program cannot be built.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

impl From<Unspecified> for SigstoreError {
    fn from(error: Unspecified) -> Self {
        Self::Key(error.to_string())
    }
}

impl From<KeyRejected> for SigstoreError {
    fn from(error: KeyRejected) -> Self {
        Self::Key(error.to_string())
    }
}

/// What the newer log is called in what it signs; cosign compares it with the host of the address in the root.
const ORIGIN: &str = "rekor2.test";
const DEADLINE: Duration = Duration::from_secs(60);
