//! Real Flux: its source-controller and helm-controller, on a cluster of the test bed.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::{Cluster, Identity};
use crate::ports::free_ports;
use crate::process::Process;
use crate::stage::{Story, administrator, apply, established, kubectl, merge};
use crate::tools::{self, Tool};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The two controllers; they end when dropped.
#[derive(Debug)]
pub struct Flux {
    /// Whom the controllers act as.
    pub identity: Identity,
    // Dropped before the folder that they write into.
    _processes: [Process; 2],
    _dir: TempDir,
}

const NAMESPACE: &str = "flux-system";

impl Flux {
    /// Installs Flux's definitions, and starts its controllers with the rights that they ask for.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        tools::ensure(&[Tool::FluxSource, Tool::FluxHelm])?;
        let admin = cluster.kubeconfig();
        for tool in [Tool::FluxSource, Tool::FluxHelm] {
            let definitions = tools::module_dir(tool)?.join("config/crd/bases");
            let folder = definitions.to_string_lossy();
            kubectl(admin, &["apply", "--server-side", "-f", &folder]).await?;
            established(admin, &folder).await?;
        }
        kubectl(admin, &["create", "namespace", NAMESPACE]).await?;
        let identity = administrator(cluster, NAMESPACE, "flux").await?;
        let dir = tempfile::Builder::new()
            .prefix("charttrust-flux-")
            .tempdir_in(identity.kubeconfig().parent().unwrap_or(Path::new(".")))?;
        let processes = [
            controller(Tool::FluxSource, &identity, dir.path())?,
            controller(Tool::FluxHelm, &identity, dir.path())?,
        ];
        Ok(Self {
            identity,
            _processes: processes,
            _dir: dir,
        })
    }
}

/// What a user of Flux commits: the repository of a story, and a release of the chart `web`, with
/// more fields in its spec.
pub async fn deploy(cluster: &Cluster, story: &Story, version: &str, more: Value) -> Result {
    release(cluster, story, "web", version, more).await
}

/// The same, for a release of another name.
pub async fn release(
    cluster: &Cluster,
    story: &Story,
    name: &str,
    version: &str,
    more: Value,
) -> Result {
    let mut spec = spec(name, version);
    merge(&mut spec, more);
    declare(cluster, story, &story.namespace, name, spec).await
}

/// A `HelmRepository` of this name has this address from now on; that of [`deploy`] is `charts`.
pub async fn repository(cluster: &Cluster, story: &Story, name: &str, url: &str) -> Result {
    let repository = helm_repository(&story.namespace, name, url);
    apply(cluster.kubeconfig(), &[repository]).await
}

/// A `HelmRepository` of this name with the address of the story, and a login in a Secret `charts-login`.
pub async fn private_repository(
    cluster: &Cluster,
    story: &Story,
    name: &str,
    (user, password): (&str, &str),
) -> Result {
    let namespace = &story.namespace;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "charts-login", "namespace": namespace},
        "stringData": {"username": user, "password": password},
    });
    let mut repository = helm_repository(namespace, name, &story.repository.url());
    repository["spec"]["secretRef"] = json!({"name": "charts-login"});
    apply(cluster.kubeconfig(), &[secret, repository]).await
}

/// The same for `web` in version 1.0.0, by objects that lie in another namespace than the release.
pub async fn deploy_from(cluster: &Cluster, story: &Story, place: &str, more: Value) -> Result {
    let there = &story.namespace;
    let mut spec = spec("web", "1.0.0");
    merge(
        &mut spec,
        json!({"targetNamespace": there, "storageNamespace": there}),
    );
    merge(&mut spec, more);
    declare(cluster, story, place, "web", spec).await
}

fn spec(name: &str, version: &str) -> Value {
    json!({
        "interval": "1m", "releaseName": name,
        "install": {"disableWait": true}, "upgrade": {"disableWait": true},
        "chart": {"spec": {
            "chart": "web", "version": version, "interval": "1s",
            "sourceRef": {"kind": "HelmRepository", "name": "charts"},
        }},
    })
}

async fn declare(cluster: &Cluster, story: &Story, place: &str, name: &str, spec: Value) -> Result {
    let release = json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
        "metadata": {"name": name, "namespace": place},
        "spec": spec,
    });
    let repository = helm_repository(place, "charts", &story.repository.url());
    apply(cluster.kubeconfig(), &[repository, release]).await
}

fn helm_repository(place: &str, name: &str, url: &str) -> Value {
    json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository",
        "metadata": {"name": name, "namespace": place},
        "spec": {"interval": "1s", "url": url},
    })
}

fn controller(tool: Tool, identity: &Identity, dir: &Path) -> Result<Process> {
    let [health, metrics, storage] = free_ports()?.map(|port| format!("127.0.0.1:{port}"));
    let mut command = Command::new(tools::path(tool)?);
    command
        .env("KUBECONFIG", identity.kubeconfig())
        .env("RUNTIME_NAMESPACE", NAMESPACE)
        .args(["--enable-leader-election=false", "--health-addr", &health])
        .args(["--metrics-addr", &metrics]);
    if tool == Tool::FluxSource {
        let folder = dir.join("artifacts");
        std::fs::create_dir_all(&folder)?;
        command
            .args(["--storage-addr", &storage, "--storage-adv-addr", &storage])
            .arg("--storage-path")
            .arg(folder);
    }
    let log = dir.join(tool.name()).with_extension("log");
    Ok(Process::spawn(tool.name(), &command, &log)?)
}
