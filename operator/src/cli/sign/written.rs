//! Writes a file so that nobody ever sees a part of it.

use std::fs::{File, OpenOptions};
use std::io::{Result, Write as _};
use std::path::{Path, PathBuf};

/// Puts a file into its place, whole or not at all.
///
/// # Errors
/// As the system says. Nothing is left then.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = partial(path);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&partial)?;
    let placed = fill(file, bytes).and_then(|()| std::fs::rename(&partial, path));
    placed.inspect_err(|_| std::fs::remove_file(&partial).unwrap_or_default())
}

fn fill(mut file: File, bytes: &[u8]) -> Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

/// Beside it, because only there it can be renamed in one step.
fn partial(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}
