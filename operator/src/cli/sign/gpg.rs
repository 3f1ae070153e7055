//! gpg, which has the secret keys: what it knows of one, and its signature. Nothing secret comes from it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use charttrust_verify::openpgp::Fingerprint;

use super::Digest;
use crate::cli::screen::plain;

/// A gpg, and the key that it signs with.
pub(super) struct Gpg {
    program: PathBuf,
    key: Fingerprint,
    digest: Digest,
}

/// Why gpg did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum GpgError {
    #[error("{program}: {said}")]
    Failed { program: String, said: String },
    #[error("{program}: cannot be run: install GnuPG, or name its gpg with --gpg")]
    Missing {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "{program} has no key {key}: gpg --list-secret-keys --with-subkey-fingerprint lists those it has"
    )]
    NoKey { program: String, key: Fingerprint },
    #[error("{program}: stopped before it was done")]
    Running {
        program: String,
        #[source]
        source: std::io::Error,
    },
}

impl Gpg {
    /// That gpg for that key.
    pub(super) fn new(program: &Path, key: &Fingerprint, digest: Digest) -> Self {
        Self {
            program: program.to_owned(),
            key: key.clone(),
            digest,
        }
    }

    /// Its name for people.
    pub(super) fn shown(&self) -> String {
        self.program.display().to_string()
    }

    /// The digest that is asked for.
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    /// The public key, with all of its subkeys.
    pub(super) fn public(&self) -> Result<Vec<u8>, GpgError> {
        let output = self.run(&["--export", self.key.as_str()], "")?;
        if output.stdout.is_empty() {
            return Err(GpgError::NoKey {
                program: self.shown(),
                key: self.key.clone(),
            });
        }
        Ok(output.stdout)
    }

    /// The text with a signature by the key, and by no other of its subkeys.
    pub(super) fn clearsign(&self, text: &str) -> Result<Vec<u8>, GpgError> {
        let exactly = format!("{}!", self.key);
        let arguments = [
            "--local-user",
            &exactly,
            "--digest-algo",
            self.digest.name(),
            // What a gpg.conf may ask for, and Helm does not take or nobody needs.
            "--no-comments",
            "--no-emit-version",
            "--clearsign",
        ];
        // gpg takes the last end of a line for its own, and Helm signs it.
        Ok(self.run(&arguments, &format!("{text}\n"))?.stdout)
    }

    /// Runs gpg to its end. The agent asks people by its own pinentry, so that gpg never has to.
    fn run(&self, arguments: &[&str], input: &str) -> Result<Output, GpgError> {
        let mut command = Command::new(&self.program);
        command
            .arg("--batch")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| GpgError::Missing {
            program: self.shown(),
            source,
        })?;
        // Whoever ends before it has read all says why by itself.
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).unwrap_or_default();
        }
        let output = child.wait_with_output();
        let output = output.map_err(|source| GpgError::Running {
            program: self.shown(),
            source,
        })?;
        if output.status.success() {
            return Ok(output);
        }
        Err(GpgError::Failed {
            program: self.shown(),
            said: said(&output),
        })
    }
}

/// What gpg said, in one line, and what people do about it where gpg does not say so.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = text.lines().map(|line| line.trim_start_matches("gpg: "));
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).map(plain).collect();
    let said = if lines.is_empty() {
        format!("failed without a word ({})", output.status)
    } else {
        lines.join("; ")
    };
    // The agent asks on the terminal that this names, and gpg has the statement as its standard input.
    let needs_terminal = text.contains("ioctl") && std::env::var_os("GPG_TTY").is_none();
    if needs_terminal {
        format!("{said}; export GPG_TTY=$(tty) tells the agent where to ask for the passphrase")
    } else {
        said
    }
}
