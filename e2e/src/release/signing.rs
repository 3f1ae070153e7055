//! Who vouches for a release: a key of gpg, by `charttrust sign` for the chart and by gpg for the checksums.

use std::path::Path;
use std::process::Command;

use super::{PUBLIC_KEY, ReleaseError, TRUSTED_KEY, told};
use crate::command::{run, run_with_input};

/// A key in gpg's keyring (`GNUPGHOME`).
pub(super) struct Signer {
    key: String,
    /// The fingerprint of its primary key.
    pub(super) primary: String,
}

impl Signer {
    pub(super) fn new(key: &str) -> Result<Self, ReleaseError> {
        let unknown = || ReleaseError::NoKey {
            key: key.to_owned(),
        };
        let listed =
            run(&mut gpg(&["--with-colons", "--list-keys", key])).map_err(|_| unknown())?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let first = listed.lines().find(|line| line.starts_with("fpr:"));
        let primary = first.and_then(|line| line.split(':').nth(9));
        Ok(Self {
            key: key.to_owned(),
            primary: primary.ok_or_else(unknown)?.to_owned(),
        })
    }

    /// The public key.
    pub(super) fn public(&self) -> Result<String, ReleaseError> {
        let public = run(&mut gpg(&["--armor", "--export", &self.primary]))?;
        Ok(String::from_utf8_lossy(&public).into_owned())
    }

    /// The `TrustedKey` that declares the public key in the folder.
    pub(super) fn declared(&self, binary: &Path, out: &Path) -> Result<String, ReleaseError> {
        let public = out.join(PUBLIC_KEY).to_string_lossy().into_owned();
        let import = ["key", "import", &public, "--fingerprint", &self.primary];
        told(
            binary,
            &[&import[..], &["--name", "charttrust-release"]].concat(),
        )
    }

    /// Signs the chart in the folder, and verifies that by what is published there.
    pub(super) fn sign(&self, binary: &Path, out: &Path, chart: &str) -> Result<(), ReleaseError> {
        let at = |name: &str| out.join(name).to_string_lossy().into_owned();
        told(binary, &["sign", &at(chart), "--key", &self.key])?;
        for key in [PUBLIC_KEY, TRUSTED_KEY] {
            told(binary, &["verify", &at(chart), "--key", &at(key)])?;
        }
        Ok(())
    }

    /// A signature of the text beside it.
    pub(super) fn signature(&self, text: &str) -> Result<String, ReleaseError> {
        // Exactly this key, not another of the same certificate.
        let user = format!("{}!", self.key);
        let mut command = gpg(&["--local-user", &user, "--armor", "--detach-sign"]);
        let signature = run_with_input(&mut command, text)?;
        Ok(String::from_utf8_lossy(&signature).into_owned())
    }
}

fn gpg(arguments: &[&str]) -> Command {
    let mut command = Command::new("gpg");
    command
        .args(["--batch", "--quiet", "--no-tty"])
        .args(arguments);
    command
}
