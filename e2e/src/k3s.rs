//! The real helm-controller of k3s, on a cluster of the test bed.
//!
//! It answers a `HelmChart` with a Job that runs Helm. There is no node to run it here, so tests
//! install what that Job would.

use std::process::Command;

use serde_json::json;

use crate::cluster::{Cluster, Identity};
use crate::process::Process;
use crate::stage::{Story, administrator, apply, established, kubectl};
use crate::tools::{self, Tool};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Where k3s keeps its own charts, and most people theirs.
pub const NAMESPACE: &str = "kube-system";

/// The controller; it ends when dropped.
#[derive(Debug)]
pub struct K3s {
    _process: Process,
    /// Whom it acts as; its folder has the log, and goes last.
    pub identity: Identity,
}

impl K3s {
    /// Installs the definitions, and starts the controller with the rights that it has in k3s.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        tools::ensure(&[Tool::K3s])?;
        let admin = cluster.kubeconfig();
        let definitions = tools::module_dir(Tool::K3s)?.join("pkg/crds/yaml/generated");
        let folder = definitions.to_string_lossy();
        kubectl(admin, &["apply", "--server-side", "-f", &folder]).await?;
        established(admin, &folder).await?;
        let identity = administrator(cluster, NAMESPACE, "k3s").await?;
        let kubeconfig = identity.kubeconfig();
        let mut command = Command::new(tools::path(Tool::K3s)?);
        command
            .env("KUBECONFIG", &kubeconfig)
            .env("NODE_NAME", "testbed");
        let process = Process::spawn(
            Tool::K3s.name(),
            &command,
            &kubeconfig.with_extension("log"),
        )?;
        Ok(Self {
            _process: process,
            identity,
        })
    }
}

/// What a user of k3s writes into `place`: the chart `web` of a story, version 1.0.0, as a release of
/// this name in the namespace of the story.
pub async fn deploy(cluster: &Cluster, story: &Story, place: &str, name: &str) -> Result {
    let chart = json!({
        "apiVersion": "helm.cattle.io/v1", "kind": "HelmChart",
        "metadata": {"name": name, "namespace": place},
        "spec": {
            "chart": "web", "version": "1.0.0", "repo": story.repository.url(),
            "targetNamespace": story.namespace,
        },
    });
    apply(cluster.kubeconfig(), &[chart]).await
}
