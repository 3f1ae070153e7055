//! The shell that the demo types into: a real `sh`, with tools and settings of its own.
//!
//! Nothing of the user's kubectl, Helm or GnuPG settings is read or written.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use charttrust_e2e::cluster::built;
use charttrust_e2e::stage::LAB;
use charttrust_e2e::tools::{self, Tool};

use crate::Result;
use crate::screen::Screen;

/// A shell in the demo's folder.
#[derive(Debug)]
pub(crate) struct Shell {
    folder: tempfile::TempDir,
    environment: Vec<(&'static str, OsString)>,
    screen: Screen,
}

impl Shell {
    /// A shell that finds the operator, kubectl and both Helms, and knows the cluster and the keys.
    pub(crate) fn new(
        screen: Screen,
        operator: &Path,
        kubeconfig: &Path,
        gnupg: &Path,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix(LAB).tempdir()?;
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("bin"))?;
        symlink(operator, at("bin/charttrust"))?;
        symlink(built("lesson")?, at("bin/lesson"))?;
        // By this the lessons find the cluster.
        symlink(kubeconfig, at("kubeconfig"))?;
        for tool in [Tool::Kubectl, Tool::Helm3, Tool::Helm4] {
            symlink(tools::path(tool)?, at("bin").join(tool.name()))?;
        }
        let environment = vec![
            ("GNUPGHOME", gnupg.into()),
            ("HELM_CACHE_HOME", at("helm/cache").into()),
            ("HELM_CONFIG_HOME", at("helm/config").into()),
            ("HELM_DATA_HOME", at("helm/data").into()),
            ("KUBECACHEDIR", at("kube-cache").into()),
            ("KUBECONFIG", kubeconfig.into()),
            ("PATH", path_with(&at("bin"))?),
        ];
        Ok(Self {
            folder,
            environment,
            screen,
        })
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Shows a command, runs it and shows what it says. Fails if the command does.
    pub(crate) async fn run(&self, line: &str) -> Result<String> {
        self.screen.command(line);
        let said = self.quietly(line).await?;
        self.screen.output(&said);
        Ok(said)
    }

    /// Runs a command that the audience does not need to see.
    pub(crate) async fn quietly(&self, line: &str) -> Result<String> {
        let mut command = tokio::process::Command::new("sh");
        command.arg("-c").arg(format!("exec 2>&1\n{line}"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HELM_") {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = command.output().await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            return Err(format!("`{line}` ended with {}: {said}", output.status).into());
        }
        Ok(said)
    }

    /// The lines with which a user gets the same environment.
    pub(crate) fn exports(&self) -> String {
        let shown = self
            .environment
            .iter()
            .filter(|(name, _)| !name.starts_with("HELM_"));
        let export = |(name, value): &(&str, OsString)| match *name {
            "PATH" => format!("export PATH={}/bin:$PATH\n", self.folder().display()),
            _ => format!("export {name}={}\n", value.to_string_lossy()),
        };
        shown.map(export).collect()
    }
}

fn path_with(first: &Path) -> Result<OsString> {
    let known = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(first.to_owned()).chain(std::env::split_paths(&known));
    Ok(std::env::join_paths(all)?)
}
