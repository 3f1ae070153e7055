//! cosign, isolated from the user's own: it signs and verifies by a Sigstore on loopback.

use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tempfile::TempDir;

use super::SigstoreError;
use crate::command::{CommandError, run_async};
use crate::tools::{self, Tool};

/// Which cosign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Writes `.sig` tags unless told otherwise.
    V2,
    /// Writes bundles unless told otherwise.
    V3,
}

/// One installation of cosign with a home of its own.
#[derive(Debug)]
pub struct Cosign {
    binary: PathBuf,
    home: TempDir,
}

/// The two halves of a key, as files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFiles {
    /// The private key, encrypted with an empty password.
    pub private: PathBuf,
    /// The public key in PEM.
    pub public: PathBuf,
}

/// What kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// What cosign makes itself.
    EcdsaP256,
    /// On the next larger curve.
    EcdsaP384,
    /// One that signs no digest.
    Ed25519,
}

impl Cosign {
    /// Built first if it is missing.
    ///
    /// # Errors
    /// If it cannot be built.
    pub fn new(version: Version) -> Result<Self, SigstoreError> {
        let tool = match version {
            Version::V2 => Tool::Cosign2,
            Version::V3 => Tool::Cosign,
        };
        let home = tempfile::Builder::new()
            .prefix("charttrust-cosign-")
            .tempdir()?;
        Ok(Self {
            binary: tools::path(tool)?,
            home,
        })
    }

    /// Runs it with any arguments and returns what it printed on standard output.
    ///
    /// # Errors
    /// What it says on standard error, if it ends with a failure.
    pub async fn run(&self, arguments: &[&str]) -> Result<String, CommandError> {
        self.run_with(arguments, &[]).await
    }

    /// The same, with more of the environment.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_with(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<String, CommandError> {
        let mut command = Command::new(&self.binary);
        command.args(arguments).current_dir(self.home.path());
        // Nothing of whoever runs the test, and nothing from the network.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().into_owned();
            if ["COSIGN_", "SIGSTORE_", "TUF_"]
                .iter()
                .any(|it| text.starts_with(it))
            {
                command.env_remove(name);
            }
        }
        command.env("HOME", self.home.path());
        command.env("DOCKER_CONFIG", self.home.path());
        command
            .env("COSIGN_PASSWORD", "")
            .env("SIGSTORE_NO_CACHE", "true");
        command.envs(environment.iter().copied());
        let output = run_async(command).await?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// Makes a key.
    ///
    /// # Errors
    /// What cosign says.
    pub async fn make_key(
        &self,
        name: &str,
        algorithm: Algorithm,
    ) -> Result<KeyFiles, SigstoreError> {
        let (prefix, flag) = (self.home.path().join(name), "--output-key-prefix");
        let prefix = prefix.to_string_lossy().into_owned();
        match private_pem(algorithm)? {
            None => self.run(&["generate-key-pair", flag, &prefix]).await?,
            Some(pem) => {
                let file = format!("{prefix}.pem");
                std::fs::write(&file, pem)?;
                let import = ["import-key-pair", "--yes", "--key", &file, flag, &prefix];
                self.run(&import).await?
            }
        };
        Ok(KeyFiles {
            private: format!("{prefix}.key").into(),
            public: format!("{prefix}.pub").into(),
        })
    }

    /// A folder of its own.
    pub fn folder(&self) -> &Path {
        self.home.path()
    }
}

/// A private key that cosign does not make itself.
fn private_pem(algorithm: Algorithm) -> Result<Option<String>, SigstoreError> {
    let der = match algorithm {
        Algorithm::EcdsaP256 => return Ok(None),
        Algorithm::EcdsaP384 => {
            let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING)?;
            key.to_pkcs8v1()?.as_ref().to_vec()
        }
        Algorithm::Ed25519 => {
            let key = Ed25519KeyPair::generate()?;
            key.to_pkcs8v1()?.as_ref().to_vec()
        }
    };
    Ok(Some(pem("PRIVATE KEY", &der)))
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}
