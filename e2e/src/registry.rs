//! Real OCI registries on loopback, over plain HTTP.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use charttrust_verify::digest::Sha256Digest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::charts::Chart;
use crate::helm::{Helm, HelmError};
use crate::ports::free_ports;
use crate::process::{LOG_TAIL, Process, ProcessError, tail};
use crate::tools::{self, Tool, ToolError};

/// A registry; ended (SIGKILL) when dropped.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    kind: Kind,
    process: Option<Process>,
    dir: TempDir,
}

/// Whose registry it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// That of the distribution project; keeps what it holds on disk.
    Distribution,
    /// The same, which shows nothing without [`LOGIN`].
    DistributionWithLogin,
    /// That of go-containerregistry: it knows the Referrers API, and keeps what it holds in memory.
    WithReferrers,
}

/// User name and password of a registry with a login.
pub const LOGIN: (&str, &str) = ("ann", "secret");

/// Made by `perl -e 'print crypt("secret", q($2y$05$abcdefghijklmnopqrstuu))'`: the registry takes bcrypt only.
const HTPASSWD: &str = "ann:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

impl Registry {
    /// An empty registry, which is built first if it is missing.
    ///
    /// # Errors
    /// If it cannot be built, or does not answer.
    pub async fn start(kind: Kind) -> Result<Self, RegistryError> {
        let [port] = free_ports()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self::start_at(kind, address).await
    }

    /// The same, at this address.
    ///
    /// # Errors
    /// If it cannot be built, or does not answer.
    pub async fn start_at(kind: Kind, address: SocketAddr) -> Result<Self, RegistryError> {
        let dir = tempfile::Builder::new()
            .prefix("charttrust-registry-")
            .tempdir()?;
        let mut registry = Self {
            address,
            kind,
            process: None,
            dir,
        };
        registry.restart().await?;
        Ok(registry)
    }

    /// `HOST:PORT`, as `--allow-host` takes it and logins name it.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// What a policy names as source.
    pub fn url(&self) -> String {
        format!("oci://{}/charts", self.address)
    }

    /// A chart as Helm and `charttrust verify` name it.
    pub fn reference(&self, chart: &Chart) -> String {
        let tag = chart.version.replace('+', "_");
        format!("{}/{}:{tag}", self.url(), chart.name)
    }

    /// A folder of its own, for what a story needs beside it.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Puts a chart there by Helm, with its provenance if it has one.
    ///
    /// # Errors
    /// What Helm says.
    pub async fn push(&self, helm: &Helm, chart: &Chart) -> Result<(), HelmError> {
        helm.push(&chart.archive, &self.url()).await
    }

    /// Has what lies below [`url`](Self::url) under a name in another repository too, whole and unchanged.
    ///
    /// # Errors
    /// What the registry answers instead.
    pub async fn copy(&self, chart: &Chart, to: &str) -> Result<(), RegistryError> {
        let (client, from) = (reqwest::Client::new(), format!("charts/{}", chart.name));
        let tag = chart.version.replace('+', "_");
        let at = |name: &str, rest: &str| format!("http://{}/v2/{name}/{rest}", self.address);
        let manifest = format!("manifests/{tag}");
        let asked = client.get(at(&from, &manifest)).header("accept", MANIFEST);
        let bytes = asked.send().await?.error_for_status()?.bytes().await?;
        let document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let layers = document["layers"].as_array().into_iter().flatten();
        for blob in layers.chain([&document["config"]]) {
            let digest = blob["digest"].as_str().unwrap_or_default();
            let mount = format!("blobs/uploads/?mount={digest}&from={from}");
            client
                .post(at(to, &mount))
                .send()
                .await?
                .error_for_status()?;
        }
        let put = client
            .put(at(to, &manifest))
            .header("content-type", MANIFEST);
        put.body(bytes).send().await?.error_for_status()?;
        Ok(())
    }

    /// Whether it lists itself what refers to a manifest.
    pub fn lists_referrers(&self) -> bool {
        self.kind == Kind::WithReferrers
    }

    /// A manifest or index at a tag or digest; null if there is none.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn manifest(&self, (name, reference): (&str, &str)) -> Result<Value, RegistryError> {
        let bytes = self.bytes(name, reference).await?;
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// The digest of what lies at a tag.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn digest(&self, (name, tag): (&str, &str)) -> Result<Sha256Digest, RegistryError> {
        let bytes = self.bytes(name, tag).await?;
        Ok(Sha256Digest::of(&bytes))
    }

    async fn bytes(&self, name: &str, reference: &str) -> Result<Vec<u8>, RegistryError> {
        let url = format!("http://{}/v2/{name}/manifests/{reference}", self.address);
        let asked = reqwest::Client::new().get(url);
        let asked = asked.header("accept", format!("{MANIFEST}, {INDEX}"));
        Ok(asked.send().await?.bytes().await?.to_vec())
    }

    /// Puts a manifest and what it names into a repository, under a tag or its digest.
    ///
    /// # Errors
    /// What the registry answers instead.
    pub async fn put(
        &self,
        (name, reference): (&str, &str),
        manifest: &Value,
        blobs: &[&[u8]],
    ) -> Result<(), RegistryError> {
        let client = reqwest::Client::new();
        let at = |rest: &str| format!("http://{}/v2/{name}/{rest}", self.address);
        for blob in blobs {
            let begun = client.post(at("blobs/uploads/")).send().await?;
            let begun = begun.error_for_status()?;
            let place = begun.headers().get("location");
            let place = place.and_then(|place| place.to_str().ok());
            let place = place.and_then(|place| begun.url().join(place).ok());
            let mut place = place.ok_or_else(|| std::io::Error::other("no place for a blob"))?;
            let digest = Sha256Digest::of(blob).to_string();
            place.query_pairs_mut().append_pair("digest", &digest);
            let put = client.put(place).body(blob.to_vec()).send().await?;
            put.error_for_status()?;
        }
        let kind = manifest["mediaType"]
            .as_str()
            .unwrap_or(MANIFEST)
            .to_owned();
        let put = client
            .put(at(&format!("manifests/{reference}")))
            .header("content-type", kind);
        let put = put.body(manifest.to_string()).send().await?;
        put.error_for_status()?;
        Ok(())
    }

    /// Goes down: open connections break, new ones are refused.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Comes up again at the same address.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn restart(&mut self) -> Result<(), RegistryError> {
        self.stop();
        let command = self.command()?;
        let log = self.dir.path().join("log");
        let mut process = Process::spawn("registry", &command, &log)?;
        self.until_it_answers(&mut process).await?;
        self.process = Some(process);
        Ok(())
    }

    fn command(&self) -> Result<Command, RegistryError> {
        if self.kind == Kind::WithReferrers {
            let mut command = Command::new(tools::path(Tool::Referrers)?);
            command.arg(self.host());
            return Ok(command);
        }
        let config = self.dir.path().join("config.json");
        std::fs::write(&config, self.config()?.to_string())?;
        let mut command = Command::new(tools::path(Tool::Registry)?);
        command.arg("serve").arg(config);
        Ok(command)
    }

    /// JSON is YAML as well.
    fn config(&self) -> Result<Value, RegistryError> {
        let folder = self.dir.path();
        let mut config = json!({
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": folder.join("data")}},
            "http": {"addr": self.host(), "secret": "of a test"},
        });
        if self.kind == Kind::DistributionWithLogin {
            let path = folder.join("htpasswd");
            std::fs::write(&path, HTPASSWD)?;
            config["auth"] = json!({"htpasswd": {"realm": "charts", "path": path}});
        }
        Ok(config)
    }

    async fn until_it_answers(&self, process: &mut Process) -> Result<(), RegistryError> {
        let (start, api) = (Instant::now(), format!("http://{}/v2/", self.address));
        loop {
            process.check()?;
            let code = reqwest::get(&api)
                .await
                .map(|answer| answer.status().as_u16());
            match code {
                Ok(200 | 401) => return Ok(()),
                seen if start.elapsed() > START_DEADLINE => {
                    return Err(RegistryError::NotReady {
                        last: format!(
                            "{seen:?}; its last words:\n{}",
                            tail(&process.log(), LOG_TAIL)
                        ),
                    });
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }
}

/// Why there is no registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The folder or the port cannot be used.
    #[error("failed to serve a registry")]
    Io(#[from] std::io::Error),
    /// It does not do what is asked of it.
    #[error("failed to ask the registry")]
    Asked(#[from] reqwest::Error),
    /// It does not answer in time.
    #[error("the registry does not answer: {last}")]
    NotReady {
        /// The last answer.
        last: String,
    },
    /// It did not start or did not stay.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It cannot be built.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const START_DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
