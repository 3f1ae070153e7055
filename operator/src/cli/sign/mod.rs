//! `charttrust sign`: the provenance of chart archives, as Helm writes it, signed by gpg. Reads the named
//! archives, runs gpg, and writes one file beside each.

mod gpg;
mod signer;
mod written;

use std::path::{Path, PathBuf};

use charttrust_verify::chart::ArchiveError;
use charttrust_verify::finding::error_chain;
use charttrust_verify::limits::ArchiveLimits;
use charttrust_verify::openpgp::Fingerprint;
use charttrust_verify::statement::{self, Statement, StatementError};
use clap::{Args, ValueEnum};
use serde::Serialize;

use self::gpg::{Gpg, GpgError};
use self::signer::{Signer, SignerError};
use super::key::fingerprint;
use super::screen::{Format, note, plain, say};
use super::verify::inputs::{self, Kind, UsageError};
use super::{INTERNAL, SCHEMA_VERSION, TRUSTED, UNKNOWN, UNTRUSTED, USAGE, complain};
use crate::clock;

/// Signs chart archives by gpg, and writes CHART.tgz.prov beside each, as Helm does.
///
/// gpg signs with what it can sign with: a key of its agent, a smartcard, an HSM, a subkey. Who asks for the
/// passphrase or the PIN is the agent; charttrust never sees it. A key by which nobody would believe a chart is
/// refused, and what gpg has signed is verified by the rules of the operator before it is written.
///
/// Exit code 0: all are signed; 1: nobody would believe the key, or what came of it; 2: the arguments cannot be
/// used, and nothing is signed; 3: gpg did not sign; 4: charttrust failed.
#[derive(Args, Clone, Debug)]
pub struct Sign {
    /// The chart archives, under the names that `helm package` gives them.
    #[arg(value_name = "CHART.tgz", required = true)]
    pub charts: Vec<PathBuf>,
    /// The fingerprint of the key that signs, primary key or subkey.
    #[arg(long, value_name = "FPR", value_parser = named_key)]
    pub key: Fingerprint,
    /// The gpg to run.
    #[arg(long, value_name = "PROGRAM", default_value = "gpg")]
    pub gpg: PathBuf,
    /// The digest that is signed.
    #[arg(long, value_enum, default_value_t = Digest::Sha512)]
    pub digest: Digest,
    /// Replaces a .prov that is there.
    #[arg(long)]
    pub force: bool,
    /// Prints for programs.
    #[arg(short, long, value_enum)]
    pub output: Option<Format>,
}

/// A digest that every verifier takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Digest {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512, as Helm.
    Sha512,
}

impl Digest {
    /// Its name in OpenPGP.
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA256",
            Self::Sha384 => "SHA384",
            Self::Sha512 => "SHA512",
        }
    }
}

/// As gpg takes it: the mark for exactly this key may follow, and is meant anyhow.
fn named_key(text: &str) -> Result<Fingerprint, String> {
    fingerprint(text.strip_suffix('!').unwrap_or(text))
}

/// Why something is not signed.
#[derive(Debug, thiserror::Error)]
enum SignError {
    #[error("{path}: {why}")]
    Archive { path: String, why: String },
    #[error("{path}: is there already: --force replaces it")]
    Exists { path: String },
    #[error("{path}: holds {chart}: name it {expected}, which is what is signed")]
    Name {
        path: String,
        chart: String,
        expected: String,
    },
    #[error(transparent)]
    Gpg(#[from] GpgError),
    #[error("{path}: what {gpg} has signed is not written: {why}")]
    NotBelieved {
        path: String,
        gpg: String,
        why: String,
    },
    #[error(transparent)]
    Signer(#[from] SignerError),
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error("{path}: cannot be written")]
    Written {
        path: String,
        #[source]
        source: std::io::Error,
    },
}

impl SignError {
    fn code(&self) -> u8 {
        match self {
            Self::Archive { .. } | Self::Exists { .. } | Self::Name { .. } | Self::Usage(_) => {
                USAGE
            }
            Self::Gpg(error) => match error {
                GpgError::Missing { .. } | GpgError::NoKey { .. } => USAGE,
                GpgError::Failed { .. } | GpgError::Running { .. } => UNKNOWN,
            },
            Self::NotBelieved { .. } => UNTRUSTED,
            Self::Signer(error) => match error {
                SignerError::Refused { .. } | SignerError::MayNotSign { .. } => UNTRUSTED,
                SignerError::Unreadable { .. } => USAGE,
            },
            Self::Written { .. } => INTERNAL,
        }
    }
}

/// Runs the command and gives its exit code.
pub(super) fn main(arguments: &Sign) -> u8 {
    let prepared = arguments
        .charts
        .iter()
        .map(|path| prepared(arguments, path));
    // Nobody has to type a passphrase before all that can be known is known.
    let prepared: Result<Vec<_>, _> = prepared.collect();
    let ready = prepared.and_then(|charts| {
        let gpg = Gpg::new(&arguments.gpg, &arguments.key, arguments.digest);
        let signer = Signer::of(&gpg.public()?, &arguments.key, clock::now())?;
        Ok((charts, gpg, signer))
    });
    let (charts, gpg, signer) = match ready {
        Ok(ready) => ready,
        Err(error) => return complain(&error, error.code()),
    };
    let mut signed = Vec::new();
    let mut failed = None;
    for chart in &charts {
        match sign(chart, &gpg, &signer) {
            Ok(one) => {
                if arguments.output.is_none() {
                    note(&(plain(&one.line()) + "\n"));
                }
                signed.push(one);
            }
            Err(error) => {
                failed = Some(complain(&error, error.code()));
                break;
            }
        }
    }
    let printed = arguments.output.map_or(Ok(()), |format| {
        say(&format.write(&Signed {
            schema_version: SCHEMA_VERSION,
            signed,
        })?)
    });
    match (failed, printed) {
        (Some(code), _) => code,
        (None, Err(error)) => complain(&error, INTERNAL),
        (None, Ok(())) => TRUSTED,
    }
}

/// An archive that can be signed.
struct Prepared {
    path: PathBuf,
    provenance: PathBuf,
    statement: Statement,
}

fn prepared(arguments: &Sign, path: &Path) -> Result<Prepared, SignError> {
    let shown = path.display().to_string();
    let bytes = inputs::read_whole(path, Kind::Package)?;
    let statement = statement::of(&bytes, &ArchiveLimits::default());
    let statement = statement.map_err(|error| match error {
        StatementError::Archive(ArchiveError::NotGzip) => {
            SignError::Usage(UsageError::NoArchive(shown.clone()))
        }
        error => SignError::Archive {
            path: shown.clone(),
            why: error_chain(&error),
        },
    })?;
    let expected = statement::file_name(&statement.chart);
    if path
        .file_name()
        .is_none_or(|name| name != expected.as_str())
    {
        let own = &statement.chart.metadata;
        return Err(SignError::Name {
            path: shown,
            chart: format!("{} {}", own.name, own.version),
            expected,
        });
    }
    let mut provenance = path.to_owned().into_os_string();
    provenance.push(".prov");
    let provenance = PathBuf::from(provenance);
    // Also a link that leads nowhere is there.
    if !arguments.force && provenance.symlink_metadata().is_ok() {
        return Err(SignError::Exists {
            path: provenance.display().to_string(),
        });
    }
    Ok(Prepared {
        path: path.to_owned(),
        provenance,
        statement,
    })
}

fn sign(chart: &Prepared, gpg: &Gpg, signer: &Signer) -> Result<SignedChart, SignError> {
    let statement = &chart.statement;
    let signed = gpg.clearsign(&statement.text)?;
    let algorithm = signer.check(statement, &signed, gpg.digest(), clock::now());
    let algorithm = algorithm.map_err(|why| SignError::NotBelieved {
        path: chart.path.display().to_string(),
        gpg: gpg.shown(),
        why,
    })?;
    let path = chart.provenance.display().to_string();
    let written = written::write(&chart.provenance, &signed);
    written.map_err(|source| SignError::Written {
        path: path.clone(),
        source,
    })?;
    let read = &statement.chart;
    Ok(SignedChart {
        provenance: path,
        chart: read.metadata.name.clone(),
        version: read.metadata.version.clone(),
        digest: read.digest.to_string(),
        fingerprint: signer.primary().to_string(),
        signer: signer.fingerprint().to_string(),
        algorithm,
    })
}

/// What programs read.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Signed {
    schema_version: u32,
    signed: Vec<SignedChart>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SignedChart {
    /// The file that was written.
    provenance: String,
    chart: String,
    version: String,
    /// Of the archive.
    digest: String,
    /// The primary key, by which a TrustedKey names it.
    fingerprint: String,
    /// The key that has signed: the primary key or a subkey.
    signer: String,
    algorithm: String,
}

impl SignedChart {
    fn line(&self) -> String {
        let Self {
            provenance,
            chart,
            version,
            signer,
            algorithm,
            ..
        } = self;
        format!("{provenance}: {chart} {version}, signed by {signer} ({algorithm})")
    }
}
