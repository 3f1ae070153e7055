//! The cluster a test talks to.
//!
//! A plane is owned by a process of its own (`testbed plane`), which ends it when the pipe to its
//! standard input closes. The kernel closes that pipe however this process ends: by returning,
//! by Ctrl-C or by SIGKILL. So nothing is left behind, even by a [`Cluster::shared`], which lies
//! in a static that Rust never drops.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;
use tempfile::TempDir;

use crate::audit::{Audit, Events, Mark};
use crate::plane::Access;

/// A cluster, ours or somebody else's.
#[derive(Debug)]
pub struct Cluster {
    access: Access,
    /// Dropping it ends the plane.
    owner: Option<Owner>,
}

impl Cluster {
    /// Starts a plane of its own; `testbed` is the path of that binary.
    ///
    /// Integration tests of this package know it as `env!("CARGO_BIN_EXE_testbed")`.
    pub fn start(testbed: &str) -> Result<Self, ClusterError> {
        Self::owned(Command::new(testbed).arg("plane"))
    }

    /// The same; it logs what the audit policy in a file says.
    pub fn audited(testbed: &str, policy: &Path) -> Result<Self, ClusterError> {
        let mut command = Command::new(testbed);
        Self::owned(command.args(["plane", "--audit-policy"]).arg(policy))
    }

    fn owned(command: &mut Command) -> Result<Self, ClusterError> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(ClusterError::Owner)?;
        let stdout = child.stdout.take();
        let owner = Owner(child);
        let mut line = String::new();
        if let Some(stdout) = stdout {
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(ClusterError::Owner)?;
        }
        let access = serde_json::from_str(&line).map_err(|_| ClusterError::NotStarted)?;
        Ok(Self {
            access,
            owner: Some(owner),
        })
    }

    /// The cluster of this test process: the one that `E2E_KUBECONFIG` names, or else a plane that
    /// all tests of the process share.
    ///
    /// # Panics
    /// When there is no cluster, as no test can go on then.
    pub fn shared(testbed: &str) -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| {
            let cluster = Self::existing().map_or_else(|| Self::start(testbed), Ok);
            cluster.unwrap_or_else(|error| panic!("no cluster to test on: {error:?}"))
        })
    }

    /// The cluster that the environment names, if any.
    pub fn existing() -> Option<Self> {
        let kubeconfig = PathBuf::from(std::env::var_os(KUBECONFIG_VARIABLE)?);
        let audit_log = std::env::var_os(AUDIT_LOG_VARIABLE).map(PathBuf::from);
        Some(Self {
            access: Access {
                kubeconfig,
                audit_log,
            },
            owner: None,
        })
    }

    /// The cluster that a plane of this very process is.
    pub fn of(access: Access) -> Self {
        Self {
            access,
            owner: None,
        }
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.access.kubeconfig
    }

    /// A client with the administrator's rights, for the current runtime.
    pub async fn client(&self) -> Result<Client, ClusterError> {
        client(&Kubeconfig::read_from(self.kubeconfig())?).await
    }

    /// Where its audit log is; nowhere for a cluster that somebody else runs.
    pub fn audit_log(&self) -> Option<&Path> {
        self.access.audit_log.as_deref()
    }

    /// What the API server was asked, by whom.
    pub fn audit(&self) -> Result<Audit, ClusterError> {
        let log = self
            .access
            .audit_log
            .as_ref()
            .ok_or(ClusterError::NoAuditLog)?;
        Ok(Audit::new(log))
    }

    /// This moment in the log of what the API server was asked.
    ///
    /// # Panics
    /// If the log cannot be read, or the cluster is somebody else's.
    pub fn mark(&self) -> Mark {
        let mark = || -> Result<_, Box<dyn std::error::Error>> { Ok(self.audit()?.mark()?) };
        mark().unwrap_or_else(|error| panic!("no moment in the audit log: {error}"))
    }

    /// What was asked since then, once all of it was answered.
    ///
    /// # Panics
    /// If the log cannot be read, or an answer does not come.
    pub fn asked_since(&self, mark: Mark) -> Events {
        let since = || -> Result<_, Box<dyn std::error::Error>> { Ok(self.audit()?.since(mark)?) };
        since().unwrap_or_else(|error| panic!("the audit log tells nothing: {error}"))
    }

    /// Makes a namespace with a name of its own that starts with `prefix`.
    pub async fn namespace(&self, prefix: &str) -> Result<String, ClusterError> {
        let generate_name = Some(format!("{prefix}-"));
        self.create_namespace(ObjectMeta {
            generate_name,
            ..Default::default()
        })
        .await
    }

    /// Makes a namespace of exactly this name. It must not be there.
    pub async fn namespace_named(&self, name: &str) -> Result<String, ClusterError> {
        self.create_namespace(ObjectMeta {
            name: Some(name.to_owned()),
            ..Default::default()
        })
        .await
    }

    async fn create_namespace(&self, metadata: ObjectMeta) -> Result<String, ClusterError> {
        let namespaces = Api::<Namespace>::all(self.client().await?);
        let namespace = Namespace {
            metadata,
            ..Namespace::default()
        };
        let created = namespaces
            .create(&PostParams::default(), &namespace)
            .await?;
        Ok(created.metadata.name.unwrap_or_default())
    }

    /// Where what belongs to this cluster lies: in the plane's own folder, which its owner removes,
    /// because a shared cluster lies in a static that is never dropped.
    fn folder(&self) -> PathBuf {
        let of_plane = self.kubeconfig().parent().filter(|_| self.owner.is_some());
        of_plane.map_or_else(std::env::temp_dir, Path::to_owned)
    }

    /// A service account with a real token, made if absent; it may do what RBAC grants it.
    pub async fn identity(&self, namespace: &str, name: &str) -> Result<Identity, ClusterError> {
        let admin = Kubeconfig::read_from(self.kubeconfig())?;
        let accounts = Api::<ServiceAccount>::namespaced(client(&admin).await?, namespace);
        create_account(&accounts, name).await?;
        let token = token(&accounts, name).await?;
        let config = with_token(admin, &token)?;
        let dir = tempfile::Builder::new()
            .prefix("charttrust-identity-")
            .tempdir_in(self.folder())?;
        std::fs::write(
            dir.path().join("kubeconfig"),
            serde_json::to_string(&config)?,
        )?;
        let user = format!("system:serviceaccount:{namespace}:{name}");
        Ok(Identity { user, config, dir })
    }
}

/// Somebody with rights of their own, and a kubeconfig that lasts as long as this value.
#[derive(Debug)]
pub struct Identity {
    user: String,
    config: Kubeconfig,
    dir: TempDir,
}

impl Identity {
    /// The name that the audit log shows.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The kubeconfig for programs that act as this identity.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    /// A client that acts as this identity, for the current runtime.
    pub async fn client(&self) -> Result<Client, ClusterError> {
        client(&self.config).await
    }
}

/// Why there is no cluster, or why it did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The API server refused a request.
    #[error("the API server refused a request")]
    Api(#[from] kube::Error),
    /// A temporary file cannot be written.
    #[error("failed to write a kubeconfig")]
    Files(#[from] std::io::Error),
    /// A kubeconfig cannot be read.
    #[error("failed to use a kubeconfig")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// A kubeconfig cannot be written as JSON.
    #[error("failed to write a kubeconfig as JSON")]
    KubeconfigJson(#[from] serde_json::Error),
    /// The cluster is somebody else's.
    #[error("no audit log: {KUBECONFIG_VARIABLE} names a cluster that the test bed did not start")]
    NoAuditLog,
    /// The owner process said why on standard error.
    #[error("the control plane did not start; the reason stands above")]
    NotStarted,
    /// The process that owns the plane cannot be started or heard.
    #[error("failed to run the process that owns the control plane")]
    Owner(#[source] std::io::Error),
}

/// The process that owns a plane.
#[derive(Debug)]
struct Owner(Child);

impl Drop for Owner {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

async fn create_account(accounts: &Api<ServiceAccount>, name: &str) -> Result<(), kube::Error> {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    };
    let account = ServiceAccount {
        metadata,
        ..ServiceAccount::default()
    };
    match accounts.create(&PostParams::default(), &account).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        other => other.map(drop),
    }
}

async fn token(accounts: &Api<ServiceAccount>, name: &str) -> Result<String, kube::Error> {
    let lifetime = i64::try_from(TOKEN_LIFETIME.as_secs()).ok();
    let spec = TokenRequestSpec {
        expiration_seconds: lifetime,
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest {
        spec,
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request(name, &PostParams::default(), &request)
        .await?;
    Ok(answer.status.map(|status| status.token).unwrap_or_default())
}

/// The same cluster, seen by the owner of `token`.
fn with_token(mut config: Kubeconfig, token: &str) -> Result<Kubeconfig, serde_json::Error> {
    config.auth_infos =
        serde_json::from_value(json!([{"name": "identity", "user": {"token": token}}]))?;
    for context in &mut config.contexts {
        if let Some(context) = &mut context.context {
            context.user = Some("identity".to_owned());
        }
    }
    Ok(config)
}

async fn client(config: &Kubeconfig) -> Result<Client, ClusterError> {
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(config.clone(), &options).await?;
    Ok(Client::try_from(config)?)
}

/// A program that cargo has built beside the one that runs, or beside the folder of its tests.
///
/// # Errors
/// If it is not there, with what builds it.
pub fn built(name: &str) -> std::io::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folders = here.ancestors().skip(1).take(2);
    let mut programs = folders.map(|folder| folder.join(name));
    programs.find(|program| program.is_file()).ok_or_else(|| {
        let advice = format!("{name} is not built; run `cargo build --workspace --bins`");
        std::io::Error::new(std::io::ErrorKind::NotFound, advice)
    })
}

/// Names the kubeconfig of an existing cluster to use instead of starting one.
pub const KUBECONFIG_VARIABLE: &str = "E2E_KUBECONFIG";
/// Names the audit log of that cluster, set by `testbed exec`.
pub const AUDIT_LOG_VARIABLE: &str = "E2E_AUDIT_LOG";

/// Longer than any test run.
const TOKEN_LIFETIME: Duration = Duration::from_secs(4 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_of_somebody_else_has_no_audit_log() {
        let access = Access {
            kubeconfig: "/somewhere/kubeconfig".into(),
            audit_log: None,
        };
        let cluster = Cluster {
            access,
            owner: None,
        };
        assert!(matches!(cluster.audit(), Err(ClusterError::NoAuditLog)));
    }

    #[test]
    fn owner_that_says_nothing_is_an_error() {
        assert!(matches!(
            Cluster::start("true"),
            Err(ClusterError::NotStarted)
        ));
        assert!(matches!(
            Cluster::start("no-such-program"),
            Err(ClusterError::Owner(_))
        ));
    }

    #[test]
    fn identity_keeps_the_cluster_and_changes_the_user() {
        let admin = Kubeconfig::from_yaml(
            "{clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}],
              users: [{name: admin, user: {token: secret}}],
              contexts: [{name: x, context: {cluster: c, user: admin}}], current-context: x}",
        )
        .unwrap();
        let text = serde_json::to_string(&with_token(admin, "other").unwrap()).unwrap();
        assert!(
            text.contains("https://127.0.0.1:1") && text.contains("other"),
            "{text}"
        );
        assert!(
            !text.contains("secret") && !text.contains("admin"),
            "{text}"
        );
    }
}
