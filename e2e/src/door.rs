//! The webhook as a child process, and an API server that calls it.
//!
//! The plane has no nodes and so no Services: the configuration of the chart is pointed at the process by its
//! address, and the operator makes the certificate for that.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::eventually;
use crate::ports::free_ports;
use crate::process::{Process, ProcessError};
use crate::tls;

/// The configuration, and the account of the webhook, as the chart names both.
pub const NAME: &str = "charttrust-webhook";

/// A webhook; ended (SIGKILL) when dropped.
#[derive(Debug)]
pub struct Door {
    process: Process,
    address: String,
    health: String,
    _dir: TempDir,
}

impl Door {
    /// Starts it for the operator of a namespace, at any free port or at this address.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(
        binary: &PathBuf,
        kubeconfig: &PathBuf,
        namespace: &str,
        address: Option<&str>,
    ) -> Result<Self, ProcessError> {
        let dir = tempfile::tempdir().map_err(ProcessError::Log)?;
        let ports = free_ports().map_err(ProcessError::Log)?;
        let [own, health] = ports.map(|port| format!("127.0.0.1:{port}"));
        let address = address.map_or(own, str::to_owned);
        let mut command = Command::new(binary);
        command
            .args([
                "webhook",
                "--namespace",
                namespace,
                "--allow-host",
                "127.0.0.1",
            ])
            .args(["--webhook-addr", &address, "--health-addr", &health])
            .env("SSL_CERT_FILE", tls::authority())
            // As the chart has it.
            .env("MALLOC_ARENA_MAX", "1")
            .env("KUBECONFIG", kubeconfig);
        let process = Process::spawn("charttrust webhook", &command, &dir.path().join("log"))?;
        Ok(Self {
            process,
            address,
            health,
            _dir: dir,
        })
    }

    /// Returns when it can answer.
    ///
    /// # Panics
    /// If it ends, or cannot within a minute.
    pub async fn ready(&mut self) {
        let health = format!("http://{}/readyz", self.health);
        eventually(
            Duration::from_secs(60),
            "the webhook is ready",
            async || {
                let is_there = self.process.check();
                is_there.unwrap_or_else(|error| panic!("{error}"));
                let answer = reqwest::get(&health)
                    .await
                    .map_err(|error| error.to_string())?;
                if answer.status().is_success() {
                    return Ok(());
                }
                Err(format!(
                    "{}; {}",
                    answer.text().await.unwrap_or_default(),
                    self.process.log()
                ))
            },
        )
        .await;
    }

    /// Where it answers.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it counts.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn metrics(&self) -> reqwest::Result<String> {
        reqwest::get(self.metrics_url()).await?.text().await
    }

    /// Where it tells that.
    pub fn metrics_url(&self) -> String {
        format!("http://{}/metrics", self.health)
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Stops it from running: whoever calls it waits.
    pub fn freeze(&mut self) {
        self.process.freeze();
    }

    /// Lets it run again.
    pub fn thaw(&mut self) {
        self.process.thaw();
    }

    /// A connection from an address of this machine, such as another loopback one. Whom it believes is `bundle`,
    /// as the configuration has it.
    ///
    /// # Errors
    /// If nobody listens, or shows what is not believed.
    pub async fn connect(
        &self,
        from: Ipv4Addr,
        bundle: &[u8],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let address: SocketAddr = self.address.parse().map_err(std::io::Error::other)?;
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        let stream = socket.connect(address).await?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(bundle) {
            let certificate = certificate.map_err(std::io::Error::other)?;
            roots.add(certificate).map_err(std::io::Error::other)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(std::io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::from(address.ip());
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    /// Ends it as a crash does.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

/// Has API servers call a webhook at its address.
///
/// # Errors
/// If the configuration cannot be read or changed.
pub async fn point(client: &Client, address: &str) -> kube::Result<()> {
    let api = Api::<ValidatingWebhookConfiguration>::all(client.clone());
    let known = api.get(NAME).await?;
    let all = known.webhooks.iter().flatten();
    let bundle = all
        .clone()
        .find_map(|one| one.client_config.ca_bundle.clone());
    let mut config = json!({"url": format!("https://{address}/v1/records")});
    if let Some(bundle) = bundle {
        config["caBundle"] = json!(bundle);
    }
    let change = |index: usize| {
        let path = format!("/webhooks/{index}/clientConfig");
        json!({"op": "replace", "path": path, "value": config})
    };
    let patch: Vec<_> = (0..all.count()).map(change).collect();
    let patch = serde_json::from_value(json!(patch)).map_err(kube::Error::SerdeError)?;
    api.patch(NAME, &PatchParams::default(), &Patch::<()>::Json(patch))
        .await?;
    Ok(())
}
