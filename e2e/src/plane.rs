//! A Kubernetes control plane of our own: etcd, API server, controller manager.
//!
//! Starts processes on loopback and keeps everything in one temporary folder; dropping the
//! [`Plane`] ends the first and removes the second. Tests use it through
//! [`Cluster`](crate::cluster::Cluster), which lets a separate process own it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tempfile::TempDir;

use crate::ports::free_ports;
use crate::process::{Process, ProcessError};
use crate::tools::{self, Tool, ToolError};

mod anew;

/// A running control plane.
#[derive(Debug)]
pub struct Plane {
    access: Access,
    setup: Setup,
    // Dropped in this order: what writes into the folder ends before the folder goes.
    processes: Vec<Process>,
    _dir: TempDir,
}

/// How to reach a control plane.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Access {
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// The audit log, one JSON event a line; absent for a cluster that somebody else runs.
    pub audit_log: Option<PathBuf>,
}

impl Plane {
    /// Builds what is missing, starts a plane and returns when it answers. It logs what an audit policy in a file
    /// says, or else what tests ask for.
    pub async fn start(audit_policy: Option<&Path>) -> Result<Self, PlaneError> {
        let wanted = Wanted {
            audit_policy,
            ..Wanted::default()
        };
        Self::start_as(wanted).await
    }

    /// The same, whose etcd takes no more bytes than these.
    pub async fn start_with_room(bytes: u64) -> Result<Self, PlaneError> {
        let wanted = Wanted {
            room: Some(bytes),
            ..Wanted::default()
        };
        Self::start_as(wanted).await
    }

    /// The same, whose API server sends parts of lists and watches (KEP-5866).
    pub async fn start_sharding() -> Result<Self, PlaneError> {
        let wanted = Wanted {
            gates: "ShardedListAndWatch=true",
            ..Wanted::default()
        };
        Self::start_as(wanted).await
    }

    async fn start_as(wanted: Wanted<'_>) -> Result<Self, PlaneError> {
        tools::ensure(&[Tool::Etcd, Tool::KubeApiserver, Tool::KubeControllerManager])?;
        let mut tries = 1;
        loop {
            match Self::start_once(wanted).await {
                Err(error) if error.is_lost_port() && tries < MAX_TRIES => tries += 1,
                other => return other,
            }
        }
    }

    /// How to reach it.
    pub fn access(&self) -> &Access {
        &self.access
    }

    async fn start_once(wanted: Wanted<'_>) -> Result<Self, PlaneError> {
        let dir = tempfile::Builder::new()
            .prefix("charttrust-plane-")
            .tempdir()?;
        let setup = Setup::write(dir.path(), wanted)?;
        let deadline = Instant::now() + START_DEADLINE;

        let mut processes = vec![spawn(Tool::Etcd, setup.etcd(), dir.path())?];
        processes.push(spawn(Tool::KubeApiserver, setup.apiserver(), dir.path())?);
        until_certified(&setup, &mut processes, deadline).await?;
        let client = client(&setup.kubeconfigs()?).await?;
        until_ready(&client, &mut processes, deadline).await?;

        let controllers = spawn(Tool::KubeControllerManager, setup.controllers(), dir.path())?;
        processes.push(controllers);
        until_controllers_work(&client, &mut processes, deadline).await?;
        let access = Access {
            kubeconfig: setup.path("admin.kubeconfig"),
            audit_log: Some(setup.path(AUDIT_LOG)),
        };
        Ok(Self {
            access,
            setup,
            processes,
            _dir: dir,
        })
    }
}

/// Why there is no control plane.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// A kubeconfig that was just written cannot be used.
    #[error("failed to use the kubeconfig of the control plane")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// A client cannot be made.
    #[error("failed to make a client of the control plane")]
    Client(#[from] kube::Error),
    /// etcd does not do what it is asked.
    #[error("failed to ask etcd")]
    Etcd(#[from] reqwest::Error),
    /// A file in the temporary folder cannot be written.
    #[error("failed to write the files of the control plane")]
    Files(#[from] std::io::Error),
    /// It does not answer in time.
    #[error("the control plane was not ready after {seconds} s; it said last: {last}")]
    NotReady {
        /// How long was waited.
        seconds: u64,
        /// The last answer.
        last: String,
    },
    /// A process did not start or did not stay.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A binary is missing.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

impl PlaneError {
    /// Whether somebody else took a port between our choice and its use.
    fn is_lost_port(&self) -> bool {
        matches!(self, Self::Process(ProcessError::Ended { log, .. })
            if log.contains("address already in use"))
    }
}

/// The files and ports of one plane.
#[derive(Debug)]
struct Setup {
    dir: PathBuf,
    etcd_port: u16,
    etcd_peer_port: u16,
    api_port: u16,
    controllers_port: u16,
    admin_token: String,
    controllers_token: String,
    /// How many bytes etcd takes, if not what it takes by itself.
    room: Option<u64>,
    /// What of the API server is switched on beside what is by itself.
    gates: String,
}

/// What a plane may have otherwise.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted<'a> {
    room: Option<u64>,
    audit_policy: Option<&'a Path>,
    gates: &'a str,
}

impl Setup {
    fn write(dir: &Path, wanted: Wanted<'_>) -> Result<Self, PlaneError> {
        let [etcd_port, etcd_peer_port, api_port, controllers_port] = free_ports()?;
        let [admin_token, controllers_token] = [random_token()?, random_token()?];
        let tokens = format!(
            "{admin_token},{ADMIN},admin,\"system:masters\"\n\
             {controllers_token},system:kube-controller-manager,controllers\n"
        );
        std::fs::write(dir.join("tokens.csv"), tokens)?;
        let logged = match wanted.audit_policy {
            Some(policy) => std::fs::read_to_string(policy)?,
            None => self::audit_policy().to_string(),
        };
        std::fs::write(dir.join(AUDIT_POLICY), logged)?;
        let [private, public] = signing_key()?;
        std::fs::write(dir.join("service-accounts.pem"), private)?;
        std::fs::write(dir.join("service-accounts.pub"), public)?;
        Ok(Self {
            dir: dir.to_owned(),
            etcd_port,
            etcd_peer_port,
            api_port,
            controllers_port,
            admin_token,
            controllers_token,
            room: wanted.room,
            gates: wanted.gates.to_owned(),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn file(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    /// The certificate that the API server makes for itself.
    fn certificate(&self) -> PathBuf {
        self.path("apiserver.crt")
    }

    /// Writes the kubeconfigs and returns the administrator's.
    fn kubeconfigs(&self) -> Result<Kubeconfig, PlaneError> {
        for (name, token) in [
            ("admin", &self.admin_token),
            ("controllers", &self.controllers_token),
        ] {
            let text = json!({
                "apiVersion": "v1", "kind": "Config", "current-context": "testbed",
                "clusters": [{"name": "testbed", "cluster": {
                    "server": format!("https://127.0.0.1:{}", self.api_port),
                    "certificate-authority": self.certificate(),
                }}],
                "users": [{"name": name, "user": {"token": token}}],
                "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": name}}],
            });
            std::fs::write(self.path(&format!("{name}.kubeconfig")), text.to_string())?;
        }
        Ok(Kubeconfig::read_from(self.path("admin.kubeconfig"))?)
    }

    fn etcd(&self) -> Vec<String> {
        let client = format!("http://127.0.0.1:{}", self.etcd_port);
        let peer = format!("http://127.0.0.1:{}", self.etcd_peer_port);
        let room = self.room.unwrap_or_default().to_string();
        flags(&[
            ("--quota-backend-bytes", &room),
            ("--data-dir", &self.file("etcd")),
            ("--unsafe-no-fsync", "true"),
            ("--listen-client-urls", &client),
            ("--advertise-client-urls", &client),
            ("--listen-peer-urls", &peer),
            ("--initial-advertise-peer-urls", &peer),
            ("--initial-cluster", &format!("default={peer}")),
            ("--log-level", "warn"),
        ])
    }

    fn apiserver(&self) -> Vec<String> {
        flags(&[
            (
                "--etcd-servers",
                &format!("http://127.0.0.1:{}", self.etcd_port),
            ),
            ("--bind-address", "127.0.0.1"),
            ("--advertise-address", "127.0.0.1"),
            ("--secure-port", &self.api_port.to_string()),
            ("--cert-dir", &self.dir.to_string_lossy()),
            ("--token-auth-file", &self.file("tokens.csv")),
            ("--authorization-mode", "RBAC"),
            ("--service-cluster-ip-range", "10.0.0.0/24"),
            ("--service-account-issuer", "https://kubernetes.default.svc"),
            (
                "--service-account-key-file",
                &self.file("service-accounts.pub"),
            ),
            (
                "--service-account-signing-key-file",
                &self.file("service-accounts.pem"),
            ),
            ("--endpoint-reconciler-type", "none"),
            // Otherwise a pretended node keeps the taint that nobody here would remove.
            ("--disable-admission-plugins", "TaintNodesByCondition"),
            ("--audit-policy-file", &self.file(AUDIT_POLICY)),
            ("--audit-log-path", &self.file(AUDIT_LOG)),
            // An event is written before its answer is sent, so that tests can assert on it.
            ("--audit-log-mode", "blocking"),
            ("--audit-log-maxsize", "100000"),
            ("--feature-gates", &self.gates),
        ])
    }

    fn controllers(&self) -> Vec<String> {
        let kubeconfig = self.file("controllers.kubeconfig");
        flags(&[
            ("--kubeconfig", &kubeconfig),
            ("--authentication-kubeconfig", &kubeconfig),
            ("--authorization-kubeconfig", &kubeconfig),
            ("--bind-address", "127.0.0.1"),
            ("--secure-port", &self.controllers_port.to_string()),
            ("--cert-dir", &self.file("controllers")),
            (
                "--service-account-private-key-file",
                &self.file("service-accounts.pem"),
            ),
            ("--root-ca-file", &self.certificate().to_string_lossy()),
            ("--use-service-account-credentials", "true"),
            ("--leader-elect", "false"),
            ("--controllers", "*,-nodeipam,-node-lifecycle-controller"),
            ("--horizontal-pod-autoscaler-sync-period", "1s"),
        ])
    }
}

fn spawn(tool: Tool, flags: Vec<String>, dir: &Path) -> Result<Process, PlaneError> {
    let mut command = Command::new(tools::path(tool)?);
    command.args(flags);
    let log = dir.join(tool.name()).with_extension("log");
    Ok(Process::spawn(tool.name(), &command, &log)?)
}

async fn client(kubeconfig: &Kubeconfig) -> Result<Client, PlaneError> {
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options).await?;
    Ok(Client::try_from(config)?)
}

/// The API server writes its certificate first and then its private key, so with the key's last line
/// the certificate is complete. A client that reads half of it never trusts the server.
async fn until_certified(
    setup: &Setup,
    processes: &mut [Process],
    deadline: Instant,
) -> Result<(), PlaneError> {
    let key = setup.path("apiserver.key");
    until(processes, deadline, async || {
        let written = std::fs::read_to_string(&key).unwrap_or_default();
        let is_complete = written.trim_end().ends_with("PRIVATE KEY-----");
        let complete = is_complete.then_some(());
        complete.ok_or("the API server has no certificate yet".to_owned())
    })
    .await
}

async fn until_ready(
    client: &Client,
    processes: &mut [Process],
    deadline: Instant,
) -> Result<(), PlaneError> {
    until(processes, deadline, async || {
        let request = Request::get("/readyz")
            .body(Vec::new())
            .map_err(|e| e.to_string())?;
        client
            .request_text(request)
            .await
            .map(drop)
            .map_err(|e| e.to_string())
    })
    .await
}

/// The service account of a namespace is made by a controller.
async fn until_controllers_work(
    client: &Client,
    processes: &mut [Process],
    deadline: Instant,
) -> Result<(), PlaneError> {
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), "default");
    until(processes, deadline, async || {
        accounts
            .get("default")
            .await
            .map(drop)
            .map_err(|e| e.to_string())
    })
    .await
}

/// Asks until the answer is yes, a process ends or the deadline passes.
async fn until(
    processes: &mut [Process],
    deadline: Instant,
    mut ask: impl AsyncFnMut() -> Result<(), String>,
) -> Result<(), PlaneError> {
    loop {
        processes.iter_mut().try_for_each(Process::check)?;
        let Err(last) = ask().await else {
            return Ok(());
        };
        if Instant::now() > deadline {
            return Err(PlaneError::NotReady {
                seconds: START_DEADLINE.as_secs(),
                last,
            });
        }
        tokio::time::sleep(POLL).await;
    }
}

pub(crate) fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// Everything is recorded without bodies; writes of our own objects, of events and of workloads with
/// them.
fn audit_policy() -> serde_json::Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "rules": [
            {
                "level": "RequestResponse",
                "verbs": ["create", "update", "patch"],
                "resources": [{"group": "charttrust.io"}, {"group": "events.k8s.io"}],
            },
            // What a quarantine may change is followed through every state.
            {
                "level": "RequestResponse",
                "verbs": ["create", "update", "patch"],
                "resources": [
                    {"group": "apps"}, {"group": "batch"}, {"group": "networking.k8s.io"},
                    {"group": "argoproj.io"}, {"group": "helm.cattle.io"}, {"group": "helm.toolkit.fluxcd.io"},
                ],
            },
            {"level": "Metadata"},
        ],
    })
}

pub(crate) fn random_token() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(hex::encode(bytes))
}

/// A fresh P-256 key in PEM, the private part first; the API server signs service account tokens
/// with it.
pub(crate) fn signing_key() -> std::io::Result<[String; 2]> {
    let key =
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(std::io::Error::other)?;
    let private = key.to_pkcs8v1().map_err(std::io::Error::other)?;
    let public: PublicKeyX509Der = key.public_key().as_der().map_err(std::io::Error::other)?;
    Ok([
        pem("PRIVATE KEY", private.as_ref()),
        pem("PUBLIC KEY", public.as_ref()),
    ])
}

fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
}

/// The user whom the administrator's kubeconfig names; it is in the group `system:masters`.
pub const ADMIN: &str = "testbed-admin";

const AUDIT_LOG: &str = "audit.log";
/// YAML or JSON.
const AUDIT_POLICY: &str = "audit-policy.yaml";
const MAX_TRIES: u32 = 3;
const POLL: Duration = Duration::from_millis(50);
/// Far beyond the four seconds it takes, for machines that are busy with something else.
const START_DEADLINE: Duration = Duration::from_secs(120);
