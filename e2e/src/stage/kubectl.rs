//! The real kubectl.

use std::path::Path;

use serde_json::{Value, json};

use crate::tools::{self, Tool};
use crate::within;

use super::{Result, SOON};

/// Runs the real kubectl, and gives what it prints.
pub async fn kubectl(kubeconfig: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = tokio::process::Command::new(tools::path(Tool::Kubectl)?);
    command
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(arguments)
        .kill_on_drop(true);
    let output = command.output().await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("kubectl {} failed: {said}", arguments.join(" ")).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits until the server serves the definitions of a file or folder. Some versions of kubectl give up at once on a
/// definition that is so new that it has no conditions yet.
pub async fn established(kubeconfig: &Path, definitions: &str) -> Result {
    let wait = ["wait", "--for=condition=Established", "--timeout=60s", "-f"];
    let wait = [&wait[..], &[definitions]].concat();
    within(SOON, || kubectl(kubeconfig, &wait)).await?;
    Ok(())
}

/// Applies objects as a person does, by the real kubectl.
pub async fn apply(kubeconfig: &Path, objects: &[Value]) -> Result {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let file = tempfile::NamedTempFile::with_suffix(".json")?;
    std::fs::write(file.path(), list.to_string())?;
    let path = file.path().to_string_lossy().into_owned();
    kubectl(kubeconfig, &["apply", "--server-side", "-f", &path]).await?;
    Ok(())
}
