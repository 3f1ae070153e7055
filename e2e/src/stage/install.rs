//! The operator's chart and manifests on a cluster, and identities with rights of their own.

use std::path::{Path, PathBuf};

use crate::cluster::{Cluster, Identity};
use crate::helm::Helm;

use super::Result;
use super::kubectl::{established, kubectl};

/// The operator's namespace.
pub const OPERATOR_NAMESPACE: &str = "charttrust-system";

/// The root of this repository's checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Applies what a user without Helm applies: the definitions, then the permissions.
pub async fn install(kubeconfig: &Path) -> Result {
    kubectl(kubeconfig, &["apply", "--server-side", "-f", &path("crds")]).await?;
    established(kubeconfig, &path("crds")).await?;
    let permissions = path("operator/install/rbac.yaml");
    kubectl(kubeconfig, &["apply", "--server-side", "-f", &permissions]).await?;
    Ok(())
}

/// Installs or upgrades the operator's chart, with more arguments. The test bed has no nodes, so no
/// replica is asked for.
pub async fn install_chart(helm: &Helm, kubeconfig: &Path, more: &[&str]) -> Result {
    let chart = path(CHART);
    let fixed = [
        "upgrade",
        "--install",
        OPERATOR,
        &chart,
        "--namespace",
        OPERATOR_NAMESPACE,
        "--create-namespace",
        "--set",
        "replicas=0,image.registry=registry.example.com",
    ];
    helm.run(&[&fixed, more].concat()).await?;
    established(kubeconfig, &path("crds")).await
}

/// The folder of the operator's chart, below the root.
pub const CHART: &str = "operator/chart";

/// The name of the operator's release, and of its service account.
pub const OPERATOR: &str = "charttrust";

/// Another service account in place of the operator's, with the same rights: a replica with an
/// identity of its own, so that the audit log tells it from the other. These cluster roles.
pub async fn twin(cluster: &Cluster, cluster_roles: &[&str]) -> Result<Identity> {
    let identity = cluster.identity(OPERATOR_NAMESPACE, "twin").await?;
    let account = format!("--serviceaccount={OPERATOR_NAMESPACE}:twin");
    let bind = async |kind: &str, name: &str, role: &str| {
        let namespace = format!("--namespace={OPERATOR_NAMESPACE}");
        let binding = ["create", kind, name, role, &account, &namespace];
        kubectl(cluster.kubeconfig(), &binding).await
    };
    let role = format!("--role={OPERATOR}");
    bind("rolebinding", "twin", &role).await?;
    for name in cluster_roles {
        let role = format!("--clusterrole={name}");
        let binding = format!("twin-{name}");
        bind("clusterrolebinding", &binding, &role).await?;
    }
    Ok(identity)
}

/// Somebody who may do everything, as the controllers of others ask for: a service account.
pub async fn administrator(cluster: &Cluster, namespace: &str, name: &str) -> Result<Identity> {
    let identity = cluster.identity(namespace, name).await?;
    let account = format!("--serviceaccount={namespace}:{name}");
    let role = "--clusterrole=cluster-admin";
    let binding = ["create", "clusterrolebinding", name, role, &account];
    kubectl(cluster.kubeconfig(), &binding).await?;
    Ok(identity)
}

/// A file or folder of this repository.
pub fn path(below: &str) -> String {
    root().join(below).to_string_lossy().into_owned()
}
