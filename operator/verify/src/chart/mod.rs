//! Reads a chart archive as Helm's loader does, in memory and within limits, or refuses.
//!
//! Follows `pkg/chart/loader/archive/archive.go` and `pkg/chart/v2/loader/load.go`. May use `yaml`,
//! `values`, `version`, `digest` and `limits`.

mod entries;
mod error;
mod json;
mod load;
pub(crate) mod metadata;
mod sanitize;
mod since_14;
mod stream;
mod tar;
mod validate;

pub use error::{Ambiguity, ArchiveError, Damage};
pub use metadata::{Dependency, ImportValue, Lock, Maintainer, Metadata};

pub(crate) use entries::MARK;
pub(crate) use json::{Mismatch, folds};
pub(crate) use metadata::{Imports, instant};
pub(crate) use sanitize::{remove_unstable, sanitize};

use jiff::Timestamp;

use crate::digest::{Digested, Sha256Digest};
use crate::limits::ArchiveLimits;
use crate::values::Packed;
use crate::yaml::Value;

/// A chart as an archive holds it: names and hashes, not contents, so that it is cheap to keep.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Digest of the bytes of the archive.
    pub digest: Sha256Digest,
    /// Digest of all that Helm makes of it, however it was packaged: a subchart has that of its own archive.
    pub content: Sha256Digest,
    /// What Chart.yaml says, sanitised as Helm does it.
    pub metadata: Metadata,
    /// The files under `templates/`, in the order of the archive.
    pub templates: Vec<Part>,
    /// All other files that Helm records, in the order of the archive.
    pub files: Vec<Part>,
    /// Digest of `values.schema.json`, if it is there and not empty.
    pub schema: Option<Sha256Digest>,
    /// What Chart.lock or, in old charts, requirements.lock says.
    pub lock: Option<Lock>,
    /// When Chart.yaml was last modified.
    pub modified: Option<Timestamp>,
    /// What deserves a warning, although Helm and we read it alike.
    pub oddities: Vec<Oddity>,
    /// The charts directly under `charts/`, in the order of their folders' names.
    pub subcharts: Vec<Subchart>,
    /// Default values of the chart and what is needed of its subcharts.
    pub(crate) values: Packed,
}

impl Chart {
    /// Bytes of memory that it takes, about: whoever publishes it chooses how long its texts are.
    pub fn weight(&self) -> usize {
        let parts = self.templates.iter().chain(&self.files);
        let parts = parts.map(|part| size_of::<Part>().saturating_add(part.name.len()));
        let subcharts = self.subcharts.iter().map(|chart| {
            let texts = chart.name.len().saturating_add(chart.version.len());
            size_of::<Subchart>().saturating_add(texts)
        });
        let of_metadata = self.metadata.weight();
        let of_lock = self.lock.as_ref().map_or(0, Lock::weight);
        let beside = [
            size_of::<Self>(),
            of_metadata,
            of_lock,
            self.values.weight(),
        ];
        parts.chain(subcharts).chain(beside).sum()
    }
}

/// A file of a chart, in an archive or in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Path within the chart, as Go's JSON encoder writes it.
    pub name: String,
    /// Digest of the content, without a leading byte-order mark if it comes from an archive.
    pub digest: Sha256Digest,
    /// When the file was last modified, if known: any archive, or a record written by Helm 4.
    pub modified: Option<Timestamp>,
    /// Digest without the byte-order mark, if a record has one; only Helm before 3.3 wrote it.
    pub(crate) without_mark: Option<Sha256Digest>,
}

/// A chart within a chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subchart {
    /// Its name as its own Chart.yaml says.
    pub name: String,
    /// Its version.
    pub version: String,
    /// As [`Chart::content`].
    pub content: Sha256Digest,
}

/// Something unusual in an archive that is no reason to refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Oddity {
    /// The entries have different top directories, which Helm lays over each other.
    SeveralTopDirectories,
    /// A name contains `.`, `..` or empty elements, which Helm cleans.
    UncleanPath,
}

/// Reads a chart archive.
///
/// Everything happens in memory and within `limits`; nothing is unpacked.
///
/// # Errors
/// [`ArchiveError::NotGzip`] if this is no archive at all, [`ArchiveError::Ambiguous`] if readers
/// could disagree about its content, [`ArchiveError::Malformed`] if Helm could not install it, and
/// [`ArchiveError::TooLarge`] if a limit is reached.
///
/// # Guarantees
/// The digest and the content come from the same bytes. An archive that is read lists the same
/// entries as Go's `archive/tar` does for Helm.
pub fn read(archive: &[u8], limits: &ArchiveLimits) -> Result<Chart, ArchiveError> {
    read_digested(&Digested::of(archive), limits)
}

/// Reads a chart archive like [`read`], for callers that need the digest of one that cannot be read too.
///
/// # Errors
/// As for [`read`].
pub fn read_digested(
    archive: &Digested<'_>,
    limits: &ArchiveLimits,
) -> Result<Chart, ArchiveError> {
    read_with_imports(archive, limits).map(|(chart, _)| chart)
}

/// Reads a chart archive like [`read`], with the `import-values` of each dependency as they are written.
pub(crate) fn read_with_imports(
    archive: &Digested<'_>,
    limits: &ArchiveLimits,
) -> Result<(Chart, Imports), ArchiveError> {
    if archive.bytes().len() > limits.archive_bytes {
        return Err(ArchiveError::too_large(
            "archive size",
            limits.archive_bytes,
        ));
    }
    if !archive.bytes().starts_with(&GZIP) {
        return Err(ArchiveError::NotGzip);
    }
    load::archive(archive, limits)
}

/// Decodes Chart.yaml as Helm does, without the defaults and checks of the loader.
pub(crate) fn decode_metadata(value: &Value) -> Result<Metadata, Mismatch> {
    let mut metadata = Metadata::default();
    metadata.merge(value)?;
    Ok(metadata)
}

/// Decodes a lock; null is none.
pub(crate) fn decode_lock(value: &Value) -> Result<Option<Lock>, Mismatch> {
    Lock::read(value)
}

/// Magic number and the only compression method, deflate.
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
