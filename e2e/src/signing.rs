//! A folder in which charts are signed by `charttrust sign`, and everybody is asked whether they believe it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use charttrust_verify::digest::Sha256Digest;

use crate::charts::Source;
use crate::gpg::{Algorithm, Key, Keyring};
use crate::helm::{Helm, Version};
use crate::operator::binary;
use crate::program::chain;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A folder with archives, a keyring, and the program.
#[derive(Debug)]
pub struct Bench {
    folder: tempfile::TempDir,
    /// Who signs.
    pub keyring: Keyring,
}

impl Bench {
    /// An empty one.
    ///
    /// # Panics
    /// If there is no folder.
    pub fn new(keyring: Keyring) -> Self {
        let folder = done(tempfile::tempdir(), "make a folder");
        Self { folder, keyring }
    }

    /// Where a file of it lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Packages a chart of that name, and tells its file.
    ///
    /// # Panics
    /// If Helm does not.
    pub async fn package(&self, name: &str) -> String {
        let packaged = async || -> Result {
            let helm = Helm::new(Version::V4)?;
            let chart = Source::new(name, VERSION);
            chart.package(&helm, self.folder.path(), None).await?;
            Ok(())
        };
        done(packaged().await, "package a chart");
        format!("{name}-{VERSION}.tgz")
    }

    /// Runs a line of ours, with the keyring.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn charttrust(&self, line: &str) -> Output {
        let mut command = tokio::process::Command::new(binary());
        command
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .env("GNUPGHOME", self.keyring.home())
            .env_remove("GPG_TTY")
            .stdin(Stdio::null());
        done(command.output().await, line)
    }

    /// What a line prints that ends well.
    ///
    /// # Panics
    /// If it does not.
    pub async fn good(&self, line: &str) -> Vec<u8> {
        let output = self.charttrust(line).await;
        assert_eq!(output.status.code(), Some(0), "{line}: {output:?}");
        output.stdout
    }

    /// Writes the `TrustedKey` of a key into [`TRUSTED`].
    ///
    /// # Panics
    /// If that fails.
    pub async fn declare(&self, key: &Key) {
        let armored = done(self.keyring.public_armored(key), "export a key");
        done(std::fs::write(self.path("key.asc"), armored), "write a key");
        let import = format!("key import key.asc --fingerprint {}", key.fingerprint);
        let trusted = self.good(&import).await;
        let written = std::fs::write(self.path(TRUSTED), trusted);
        done(written, "write a TrustedKey");
    }

    /// The file of a signature, up to that.
    ///
    /// # Panics
    /// If there is none.
    pub fn unsigned_part(&self, archive: &str) -> String {
        let part = unsigned_part(&self.path(archive));
        done(part, "read what was signed")
    }

    /// The same of a file that a Helm has written for the same chart.
    ///
    /// # Panics
    /// If it does not.
    pub async fn as_helm_signs(&self, version: Version, name: &str) -> String {
        let signed = async || -> Result<String> {
            let helm = Helm::new(version)?;
            let keyring = Keyring::new()?;
            let key = keyring.key("helm", Algorithm::Rsa2048)?;
            let (signer, by_helm) = (keyring.signer(&key)?, tempfile::tempdir()?);
            let chart = Source::new(name, VERSION);
            let packed = chart
                .package(&helm, by_helm.path(), Some(&signer))
                .await?
                .archive;
            let digest = |archive: &Path| -> Result<String> {
                Ok(Sha256Digest::of(&std::fs::read(archive)?).to_string())
            };
            // Times of files are in the archive.
            let own = digest(&self.path(&format!("{name}-{VERSION}.tgz")))?;
            Ok(unsigned_part(&packed)?.replace(&digest(&packed)?, &own))
        };
        done(signed().await, "sign by Helm")
    }

    /// Both Helms, gpg and charttrust believe an archive by the keyring of the `TrustedKey` that was declared.
    ///
    /// # Panics
    /// If one does not.
    pub async fn is_believed(&self, archive: &str) {
        let export = format!("key export --helm -f {TRUSTED}");
        let ring = self.path("ring.gpg");
        let written = std::fs::write(&ring, self.good(&export).await);
        done(written, "write a keyring");
        let asked = async || -> Result {
            for version in [Version::V3, Version::V4] {
                let said = Helm::new(version)?
                    .verify(&self.path(archive), &ring)
                    .await?;
                if !said.contains("Chart Hash Verified: sha256:") {
                    return Err(format!("{version:?}: {said}").into());
                }
            }
            let provenance = self.path(&format!("{archive}.prov"));
            let verify = ["--verify", &provenance.to_string_lossy()];
            self.keyring.gpg(&verify)?;
            Ok(())
        };
        done(asked().await, &format!("have {archive} believed"));
        let verify = format!("verify {archive} --key {TRUSTED}");
        let said = self.good(&verify).await;
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("trusted/ArchiveVerified"), "{said}");
    }
}

/// The file of the signature of an archive, up to that: heads, escapes and text.
pub fn unsigned_part(archive: &Path) -> std::io::Result<String> {
    let file = std::fs::read_to_string(format!("{}.prov", archive.display()))?;
    let (text, _) = file
        .split_once("-----BEGIN PGP SIGNATURE")
        .ok_or_else(|| std::io::Error::other("is not signed"))?;
    Ok(text.to_owned())
}

fn done<T>(result: std::result::Result<T, impl Into<Error>>, step: &str) -> T {
    result.unwrap_or_else(|error| panic!("cannot {step}: {}", chain(error.into().as_ref())))
}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The file with the `TrustedKey` that was declared last.
pub const TRUSTED: &str = "trusted.yaml";
const VERSION: &str = "1.0.0";
