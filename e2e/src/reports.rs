//! The kinds of reports that others have defined, installed as those who define them ship them.

use std::path::Path;

use crate::stage::{established, kubectl};
use crate::tools::{ToolError, shipped};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Whose kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Definer {
    /// `Report` of openreports.io.
    OpenReports,
    /// `PolicyReport` of the working group policy, as Kyverno ships it.
    WorkingGroup,
}

impl Definer {
    fn file(self) -> std::result::Result<std::path::PathBuf, ToolError> {
        let (module, sum, file) = match self {
            Self::OpenReports => (
                "github.com/openreports/reports-api@v0.2.1",
                "h1:g9KS3yle9Y1elmww4TK9EkD1rl6inIaiIJPX6e+u680=",
                "config/crd/openreports.io_reports.yaml",
            ),
            Self::WorkingGroup => (
                "github.com/kyverno/kyverno@v1.19.1",
                "h1:/MkgFii3/VlQfKR1JpC9tVwNNVNQTt2S4U6qCsafsTU=",
                "config/crds/policyreport/wgpolicyk8s.io_policyreports.yaml",
            ),
        };
        Ok(shipped(module, sum)?.join(file))
    }

    /// Installs the definition, and waits until the server knows it.
    ///
    /// # Errors
    /// If it cannot be downloaded or installed.
    pub async fn install(self, kubeconfig: &Path) -> Result {
        let file = tokio::task::spawn_blocking(move || self.file()).await??;
        let file = file.to_string_lossy();
        kubectl(kubeconfig, &["apply", "--server-side", "-f", &file]).await?;
        established(kubeconfig, &file).await
    }
}
