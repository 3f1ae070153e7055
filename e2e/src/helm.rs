//! Helm 3 and Helm 4, isolated from the user's own.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::command::{CommandError, run_async, told_async};
use crate::gpg::Signer;
use crate::tools::{self, Tool, ToolError};

/// Which Helm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Patches from the client, records with the legacy engine.
    V3,
    /// Applies server-side as manager `helm`.
    V4,
}

/// One installation of Helm with caches and settings of its own.
#[derive(Debug)]
pub struct Helm {
    binary: PathBuf,
    home: TempDir,
    kubeconfig: Option<PathBuf>,
    driver: Option<String>,
}

impl Helm {
    /// A Helm without a cluster, enough to package and index. Built first if it is missing.
    pub fn new(version: Version) -> Result<Self, HelmError> {
        let tool = match version {
            Version::V3 => Tool::Helm3,
            Version::V4 => Tool::Helm4,
        };
        let home = tempfile::Builder::new()
            .prefix("charttrust-helm-")
            .tempdir()?;
        Ok(Self {
            binary: tools::path(tool)?,
            home,
            kubeconfig: None,
            driver: None,
        })
    }

    /// The same, acting on a cluster.
    #[must_use]
    pub fn on(mut self, kubeconfig: &Path) -> Self {
        self.kubeconfig = Some(kubeconfig.to_owned());
        self
    }

    /// The same, keeping its records elsewhere (`configmap`).
    #[must_use]
    pub fn storing_in(mut self, driver: &str) -> Self {
        self.driver = Some(driver.to_owned());
        self
    }

    /// The folder in which it looks for plugins.
    pub fn plugins(&self) -> PathBuf {
        self.home.path().join("DATA/plugins")
    }

    /// Runs Helm with any arguments and returns what it printed.
    pub async fn run(&self, arguments: &[&str]) -> Result<String, HelmError> {
        let mut command = Command::new(&self.binary);
        command.args(arguments);
        self.isolate(&mut command);
        let output = run_async(command).await?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// Runs Helm with any arguments and returns what it told beside what it printed, such as warnings.
    pub async fn told(&self, arguments: &[&str]) -> Result<String, HelmError> {
        let mut command = Command::new(&self.binary);
        command.args(arguments);
        self.isolate(&mut command);
        let told = told_async(command).await?;
        Ok(String::from_utf8_lossy(&told).into_owned())
    }

    /// Packages the chart folder `source` into `destination`, signed if there is a signer.
    pub async fn package(
        &self,
        source: &Path,
        destination: &Path,
        signer: Option<&Signer>,
    ) -> Result<(), HelmError> {
        let (source, destination) = (source.to_string_lossy(), destination.to_string_lossy());
        let mut arguments = vec!["package", &source, "--destination", &destination];
        let keyring = signer.map(|signer| signer.keyring().to_string_lossy());
        if let (Some(signer), Some(keyring)) = (signer, &keyring) {
            arguments.extend(["--sign", "--key", signer.user_id(), "--keyring", keyring]);
        }
        self.run(&arguments).await.map(drop)
    }

    /// Verifies an archive by a keyring, and returns what it says.
    pub async fn verify(&self, archive: &Path, keyring: &Path) -> Result<String, HelmError> {
        let (archive, keyring) = (archive.to_string_lossy(), keyring.to_string_lossy());
        self.run(&["verify", &archive, "--keyring", &keyring]).await
    }

    /// Writes the index of a folder of charts.
    pub async fn index(&self, folder: &Path) -> Result<(), HelmError> {
        self.run(&["repo", "index", &folder.to_string_lossy()])
            .await
            .map(drop)
    }

    /// Makes a repository known under a name.
    pub async fn repo_add(&self, name: &str, url: &str) -> Result<(), HelmError> {
        self.run(&["repo", "add", name, url]).await.map(drop)
    }

    /// Fetches the indexes of all known repositories.
    pub async fn repo_update(&self) -> Result<(), HelmError> {
        self.run(&["repo", "update"]).await.map(drop)
    }

    /// Puts an archive, and the provenance file beside it, below an `oci://` address that speaks plain HTTP.
    pub async fn push(&self, archive: &Path, to: &str) -> Result<(), HelmError> {
        self.run(&["push", &archive.to_string_lossy(), to, "--plain-http"])
            .await
            .map(drop)
    }

    /// Logs in to a registry that speaks plain HTTP.
    pub async fn registry_login(
        &self,
        host: &str,
        user: &str,
        password: &str,
    ) -> Result<(), HelmError> {
        let login = ["registry", "login", host, "--plain-http"];
        let credentials = ["--username", user, "--password", password];
        self.run(&[login, credentials].concat()).await.map(drop)
    }

    /// Where it keeps its logins to registries.
    pub fn registry_config(&self) -> PathBuf {
        self.home.path().join("CONFIG/registry/config.json")
    }

    /// Installs `chart`: a folder, an archive, `repository/name` or an `oci://` address.
    pub async fn install(
        &self,
        namespace: &str,
        release: &str,
        chart: &str,
        more: &[&str],
    ) -> Result<(), HelmError> {
        let fixed = ["install", release, chart, "--namespace", namespace];
        self.run(&[&fixed, more].concat()).await.map(drop)
    }

    /// Upgrades a release to `chart`.
    pub async fn upgrade(
        &self,
        namespace: &str,
        release: &str,
        chart: &str,
        more: &[&str],
    ) -> Result<(), HelmError> {
        let fixed = ["upgrade", release, chart, "--namespace", namespace];
        self.run(&[&fixed, more].concat()).await.map(drop)
    }

    /// Rolls a release back to an earlier revision.
    pub async fn rollback(
        &self,
        namespace: &str,
        release: &str,
        revision: u32,
    ) -> Result<(), HelmError> {
        let revision = revision.to_string();
        self.run(&["rollback", release, &revision, "--namespace", namespace])
            .await
            .map(drop)
    }

    /// Removes a release.
    pub async fn uninstall(&self, namespace: &str, release: &str) -> Result<(), HelmError> {
        self.run(&["uninstall", release, "--namespace", namespace])
            .await
            .map(drop)
    }

    /// Nothing of the user's own Helm reaches this one, and nothing of this one remains.
    fn isolate(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HELM_") {
                command.env_remove(name);
            }
        }
        if let Some(driver) = &self.driver {
            command.env("HELM_DRIVER", driver);
        }
        for folder in ["CACHE", "CONFIG", "DATA"] {
            command.env(format!("HELM_{folder}_HOME"), self.home.path().join(folder));
        }
        // Where it looks for a login that it has not made itself.
        command.env("DOCKER_CONFIG", self.home.path().join("DOCKER"));
        let nowhere = self.home.path().join("no-cluster");
        command.env("KUBECONFIG", self.kubeconfig.as_ref().unwrap_or(&nowhere));
    }
}

/// Why Helm did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum HelmError {
    /// Helm said no; its standard error stands in the message.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Its folders cannot be made.
    #[error("failed to make Helm's folders")]
    Files(#[from] std::io::Error),
    /// It is not there.
    #[error(transparent)]
    Tool(#[from] ToolError),
}
