//! Real Argo CD: its application controller and repository server, on a cluster of the test bed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::cluster::{Cluster, Identity};
use crate::ports::free_ports;
use crate::process::Process;
use crate::stage::{Story, administrator, apply, established, kubectl, merge};
use crate::tools::{self, Tool};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Argo CD's own namespace, in which its Applications lie.
pub const NAMESPACE: &str = "argocd";

/// Argo CD's programs; they end when dropped.
#[derive(Debug)]
pub struct Argo {
    /// Whom it acts as.
    pub identity: Identity,
    /// The address of the API server, as Applications name it.
    server: String,
    // Dropped before the folder that they write into.
    _processes: [Process; 4],
    _dir: TempDir,
}

impl Argo {
    /// Installs Argo CD's definitions and settings, and starts it with the rights that it asks for.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        tools::ensure(&[Tool::Redis, Tool::ArgoCd, Tool::Helm3])?;
        let admin = cluster.kubeconfig();
        kubectl(admin, &["create", "namespace", NAMESPACE]).await?;
        let identity = administrator(cluster, NAMESPACE, "argocd").await?;
        install(admin).await?;
        let config: Value = serde_json::from_slice(&std::fs::read(identity.kubeconfig())?)?;
        let server = text(&config, "/clusters/0/cluster/server");
        apply(admin, &settings(&config, &server)?).await?;
        let dir = tempfile::Builder::new()
            .prefix("charttrust-argo-")
            .tempdir_in(identity.kubeconfig().parent().unwrap_or(Path::new(".")))?;
        let processes = programs(&identity, dir.path()).await?;
        Ok(Self {
            identity,
            server,
            _processes: processes,
            _dir: dir,
        })
    }

    /// What a user of Argo CD commits: an Application of the chart `web` from the repository of a
    /// story, named after its namespace and deployed there, that is synced by itself and put back
    /// when somebody changes it. With more fields in its spec.
    pub async fn deploy(
        &self,
        cluster: &Cluster,
        story: &Story,
        version: &str,
        more: Value,
    ) -> Result {
        let application = self.application(story, &story.namespace, version, more);
        apply(cluster.kubeconfig(), &[application]).await
    }

    /// The same under another name, before anybody applies it.
    pub fn application(&self, story: &Story, name: &str, version: &str, more: Value) -> Value {
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": self.spec(story, version, more),
        })
    }

    /// The same by an `ApplicationSet`, which makes the Application.
    ///
    /// # Errors
    /// What kubectl says.
    pub async fn deploy_by_set(
        &self,
        cluster: &Cluster,
        story: &Story,
        version: &str,
        more: Value,
    ) -> Result {
        let namespace = &story.namespace;
        let set = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet",
            "metadata": {"name": namespace, "namespace": NAMESPACE},
            "spec": {
                "goTemplate": true,
                "generators": [{"list": {"elements": [{"name": namespace}]}}],
                "template": {
                    "metadata": {"name": "{{.name}}"},
                    "spec": self.spec(story, version, more),
                },
            },
        });
        apply(cluster.kubeconfig(), &[set]).await
    }

    /// A login to a registry, or that it needs none: without that, Argo CD takes an address without a scheme
    /// for no registry.
    ///
    /// # Errors
    /// What kubectl says.
    pub async fn know_registry(&self, cluster: &Cluster, name: &str, url: &str) -> Result {
        let repository = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": name, "namespace": NAMESPACE,
                "labels": {"argocd.argoproj.io/secret-type": "repository"}},
            "stringData": {"name": name, "type": "helm", "enableOCI": "true", "url": url},
        });
        apply(cluster.kubeconfig(), &[repository]).await
    }

    fn spec(&self, story: &Story, version: &str, more: Value) -> Value {
        let mut spec = json!({
            "project": "default",
            "source": {
                "repoURL": story.repository.url(), "chart": "web", "targetRevision": version,
                "helm": {"releaseName": "web"},
            },
            "destination": {"server": self.server, "namespace": story.namespace},
            "syncPolicy": {"automated": {"prune": true, "selfHeal": true}},
        });
        merge(&mut spec, more);
        if let Some(spec) = spec.as_object_mut() {
            spec.retain(|_, value| !value.is_null());
        }
        spec
    }
}

/// Definitions, roles and settings, from where the sources of Argo CD lie.
async fn install(admin: &Path) -> Result {
    let manifests = tools::module_dir(Tool::ArgoCd)?.join("manifests");
    let files = DEFINITIONS.map(|name| manifests.join("crds").join(name));
    let settings = SETTINGS.map(|name| manifests.join("base/config").join(name));
    for file in files.iter().chain(&settings) {
        let file = file.to_string_lossy();
        let arguments = [
            "apply",
            "--server-side",
            "--namespace",
            NAMESPACE,
            "-f",
            &file,
        ];
        kubectl(admin, &arguments).await?;
    }
    for file in &files {
        let file = file.to_string_lossy();
        established(admin, &file).await?;
    }
    Ok(())
}

const DEFINITIONS: [&str; 3] = [
    "application-crd.yaml",
    "applicationset-crd.yaml",
    "appproject-crd.yaml",
];

const SETTINGS: [&str; 6] = [
    "argocd-cm.yaml",
    "argocd-gpg-keys-cm.yaml",
    "argocd-rbac-cm.yaml",
    "argocd-secret.yaml",
    "argocd-ssh-known-hosts-cm.yaml",
    "argocd-tls-certs-cm.yaml",
];

/// What an installation adds: a project that allows everything, and the cluster by the
/// address that it has outside of itself.
fn settings(config: &Value, server: &str) -> Result<[Value; 2]> {
    let certificate = text(config, "/clusters/0/cluster/certificate-authority");
    let login = json!({
        "bearerToken": text(config, "/users/0/user/token"),
        "tlsClientConfig": {"caData": STANDARD.encode(std::fs::read(certificate)?)},
    });
    Ok([
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
            "metadata": {"name": "default", "namespace": NAMESPACE},
            "spec": {
                "sourceRepos": ["*"],
                "destinations": [{"namespace": "*", "server": "*"}],
                "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": "testbed", "namespace": NAMESPACE,
                "labels": {"argocd.argoproj.io/secret-type": "cluster"}},
            "stringData": {"name": "testbed", "server": server, "config": login.to_string()},
        }),
    ])
}

fn text(config: &Value, pointer: &str) -> String {
    let found = config.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}

async fn programs(identity: &Identity, dir: &Path) -> Result<[Process; 4]> {
    helm(dir)?;
    let [store, charts, charts_metrics, metrics] = free_ports()?;
    let address = |port: u16| format!("127.0.0.1:{port}");
    let mut command = Command::new(tools::path(Tool::Redis)?);
    command.arg(address(store));
    let mut redis = Process::spawn("redis", &command, &dir.join("redis.log"))?;
    let mut repo_server = program(
        "argocd-repo-server",
        identity,
        dir,
        &[
            &[
                "--redis",
                &address(store),
                "--disable-tls",
                "--address",
                "127.0.0.1",
            ],
            &[
                "--metrics-address",
                "127.0.0.1",
                "--port",
                &charts.to_string(),
            ],
            &["--metrics-port", &charts_metrics.to_string()],
        ],
    )?;
    listening(&mut redis, &address(store)).await?;
    listening(&mut repo_server, &address(charts)).await?;
    let controller = program(
        "argocd-application-controller",
        identity,
        dir,
        &[
            &[
                "--redis",
                &address(store),
                "--repo-server-plaintext",
                "--namespace",
                NAMESPACE,
            ],
            &[
                "--repo-server",
                &address(charts),
                "--metrics-port",
                &metrics.to_string(),
            ],
            &["--app-resync", "10", "--self-heal-timeout-seconds", "1"],
        ],
    )?;
    let [metrics, probes, hooks] = free_ports()?;
    let sets = program(
        "argocd-applicationset-controller",
        identity,
        dir,
        &[
            &["--namespace", NAMESPACE, "--repo-server-plaintext"],
            &["--argocd-repo-server", &address(charts)],
            &["--metrics-addr", &address(metrics)],
            &["--probe-addr", &address(probes)],
            &["--webhook-addr", &address(hooks)],
        ],
    )?;
    Ok([sets, controller, repo_server, redis])
}

/// Helm, as Argo CD runs it. It has no way to be told that a registry speaks plain HTTP, as those of the test
/// bed do.
fn helm(dir: &Path) -> Result {
    let helm = tools::path(Tool::Helm3)?;
    let script = format!(
        "#!/bin/sh\ncase \"$1 $*\" in\n\"pull \"*oci://*) exec '{0}' \"$@\" --plain-http ;;\n*) exec '{0}' \"$@\" ;;\nesac\n",
        helm.display()
    );
    let path = dir.join("helm");
    std::fs::write(&path, script)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// One of the programs that the one binary of Argo CD is.
fn program(name: &str, identity: &Identity, dir: &Path, arguments: &[&[&str]]) -> Result<Process> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let search = [dir.to_owned()]
        .into_iter()
        .chain(std::env::split_paths(&search));
    let mut command = Command::new(tools::path(Tool::ArgoCd)?);
    command
        .env("ARGOCD_BINARY_NAME", name)
        .env("ARGOCD_GPG_ENABLED", "false")
        .env("HOME", dir)
        .env("KUBECONFIG", identity.kubeconfig())
        .env("PATH", std::env::join_paths(search)?)
        .env("TMPDIR", dir)
        .args(arguments.iter().copied().flatten());
    for variable in ["ARGOCD_SSH_DATA_PATH", "ARGOCD_TLS_DATA_PATH"] {
        command.env(variable, dir);
    }
    Ok(Process::spawn(
        name,
        &command,
        &dir.join(name).with_extension("log"),
    )?)
}

/// Waits until something listens there; fails at once if the program ends.
async fn listening(program: &mut Process, address: &str) -> Result {
    let start = Instant::now();
    loop {
        program.check()?;
        match TcpStream::connect(address).await {
            Ok(_) => return Ok(()),
            Err(error) if start.elapsed() > START_DEADLINE => return Err(error.into()),
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

const POLL: Duration = Duration::from_millis(50);
/// Far beyond the second that it takes.
const START_DEADLINE: Duration = Duration::from_secs(120);
