//! How fast one Sigstore bundle of an identity is verified, from its bytes to its signer: by the engine and by sigstore-go
//! in process, and by cosign, which is a process for each.
//!
//! Nothing is asked of the network: bundles and trusted root are those that real cosign has made for the tests.

use std::path::{Path, PathBuf};

use charttrust_e2e::tools::{self, Tool};
use charttrust_verify::sigstore::{ClaimedBundle, ClaimedSigner};
use serde::Deserialize;

use crate::numbers::{Load, Ratio};
use crate::verify::{each, nanoseconds, run, text, told};
use crate::{Arguments, Result};

/// For how long each is repeated in a round, in milliseconds, as the programs take it.
const LASTING: &str = "500";
/// What cosign has to be told of a bundle with a timestamp, and does not take of one without.
const STAMPED: &[&str] = &["--use-signed-timestamps"];

/// The row.
pub(crate) fn row(arguments: &Arguments) -> Result {
    let programs = Programs {
        ours: arguments.speed()?,
        go: tools::path(Tool::SigstoreGo)?,
        cosign: tools::present(Tool::Cosign)?,
    };
    let load = Load::now();
    for (file, what, told) in [
        (
            "job-bundle.json",
            "log entry (Rekor 2) and timestamp",
            STAMPED,
        ),
        ("job-bundle-older-log.json", "log entry (Rekor 1)", &[]),
    ] {
        let vector = Vector::read(file, told)?;
        println!("\none bundle of an identity with {what}");
        programs.verify(arguments, &vector)?;
    }
    println!("load from outside: {} % of the machine", load.outside());
    Ok(())
}

/// What verifies.
struct Programs {
    ours: PathBuf,
    go: PathBuf,
    cosign: Option<PathBuf>,
}

impl Programs {
    fn verify(&self, arguments: &Arguments, vector: &Vector) -> Result {
        let (bundle, root) = (vector.bundle(), root());
        let [bundle, root] = [text(&bundle)?, text(&root)?];
        let (mut ours, mut go, mut cosign) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..arguments.rounds {
            let asked = [
                LASTING,
                bundle,
                root,
                &vector.digest,
                &vector.issuer,
                &vector.subject,
            ];
            ours.push(nanoseconds(
                &self.ours,
                &[&["bundle"][..], &asked].concat(),
            )?);
            go.push(nanoseconds(&self.go, &asked)?);
            if let Some(program) = &self.cosign {
                let asked = vector.asked_of_cosign(bundle, root);
                cosign.push(each(|| run(program, &asked).map(drop))?);
            }
        }
        told("ours", &ours);
        beside("sigstore-go, in process", &go, &ours);
        if cosign.is_empty() {
            println!("  not run: cosign is not built (make sigstore)");
        } else {
            beside("cosign, a process", &cosign, &ours);
        }
        Ok(())
    }
}

fn beside(what: &str, theirs: &[f64], ours: &[f64]) {
    told(what, theirs);
    let rounds = theirs.iter().copied().zip(ours.iter().copied());
    println!("    {} times ours", Ratio::of(rounds));
}

/// A bundle that real cosign has made, in a file of its own.
struct Vector {
    folder: tempfile::TempDir,
    /// Of the manifest that is signed, in hexadecimal.
    digest: String,
    issuer: String,
    subject: String,
    /// What cosign is told besides.
    told: &'static [&'static str],
}

impl Vector {
    fn read(file: &str, told: &'static [&'static str]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Kept {
            manifest: String,
            bundle: String,
        }
        let kept: Kept = serde_json::from_slice(&std::fs::read(vectors().join(file))?)?;
        let claimed = ClaimedBundle::parse(kept.bundle.as_bytes())?.claimed_signer();
        let ClaimedSigner::Identity { issuer, subject } = claimed else {
            return Err(format!("{file} is not by an identity").into());
        };
        let vector = Self {
            folder: tempfile::tempdir()?,
            digest: kept.manifest.trim_start_matches("sha256:").to_owned(),
            issuer,
            subject,
            told,
        };
        std::fs::write(vector.bundle(), kept.bundle)?;
        Ok(vector)
    }

    fn bundle(&self) -> PathBuf {
        self.folder.path().join("bundle.json")
    }

    /// cosign asks for what this root cannot say unless it is told otherwise: it names no log of certificates.
    fn asked_of_cosign<'a>(&'a self, bundle: &'a str, root: &'a str) -> Vec<&'a str> {
        let mut asked: Vec<&str> = vec![
            "verify-blob-attestation",
            "--insecure-ignore-sct",
            "--bundle",
            bundle,
            "--trusted-root",
            root,
            "--type",
            "https://sigstore.dev/cosign/sign/v1",
            "--digest",
            &self.digest,
            "--digestAlg",
            "sha256",
            "--certificate-identity",
            &self.subject,
            "--certificate-oidc-issuer",
            &self.issuer,
        ];
        asked.extend(self.told);
        asked
    }
}

fn root() -> PathBuf {
    vectors().join("trusted_root.json")
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../operator/verify/tests/sigstore/vectors")
}
