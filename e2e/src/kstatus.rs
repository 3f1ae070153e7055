//! What `kstatus` makes of objects: by it Flux, Argo CD and others wait for what they have applied.

use std::process::Command;

use serde_json::Value;

use crate::command::{CommandError, run_with_input};
use crate::tools::{self, Tool, ToolError};

/// Why it says nothing.
#[derive(Debug, thiserror::Error)]
pub enum KstatusError {
    /// It does not run.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// It is not there.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

/// Its word for an object: `Current`, `Failed`, `InProgress`, `Terminating`.
///
/// # Errors
/// If it cannot be built or run, or refuses the object.
pub fn of(object: &Value) -> Result<String, KstatusError> {
    let mut command = Command::new(tools::path(Tool::Kstatus)?);
    let said = run_with_input(&mut command, &object.to_string())?;
    Ok(String::from_utf8_lossy(&said).trim().to_owned())
}
