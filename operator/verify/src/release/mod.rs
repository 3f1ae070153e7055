//! Decodes a release record as Helm stores it (`pkg/storage/driver/util.go`): base64, usually gzip,
//! JSON.
//!
//! A record is written by whoever installed the release; nothing in it is proof of anything by
//! itself. May use `chart`, `values`, `yaml`, `digest` and `limits`.

mod digest;
mod error;
mod field;
mod files;
mod json;
mod manifest;
mod mark;
mod payload;
mod wire;

pub use error::RecordError;
pub use manifest::ManifestObject;
pub use mark::{HelmReleaseMark, HelmReleaseName};

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use crate::chart::{Lock, Metadata, Part};
use crate::digest::Sha256Digest;
use crate::limits::RecordLimits;
use crate::values::Secret;

/// A release record, reduced to what verification needs: hashes, not contents.
#[derive(Clone, Debug)]
pub struct Record {
    /// Name of the release.
    pub name: String,
    /// Namespace that the release was installed into; the record may be stored elsewhere.
    pub namespace: String,
    /// Revision, counted from 1.
    pub revision: i64,
    /// What Helm thinks of the release.
    pub status: Status,
    /// The chart as Helm recorded it.
    pub chart: RecordedChart,
    /// The objects of the manifest, in its order, without hooks.
    pub objects: Vec<ManifestObject>,
    /// Those of them that say themselves that they run nothing: no replicas, or suspended.
    pub stopped: Vec<ManifestObject>,
    /// The objects of its hooks, and what its chart has in `crds/` beside definitions: Helm makes both without
    /// its marks, and never upgrades them.
    pub hooks: Vec<ManifestObject>,
    /// Documents of the manifest, of hooks and of `crds/` that could not be read as objects.
    pub unread_objects: usize,
    /// The `HelmRelease` that has made it, if one has.
    pub helm_release: HelmReleaseMark,
    /// How Helm 4 applied the manifest, `ssa` or `csa`; no other Helm writes it.
    pub apply_method: Option<String>,
    /// When the release was first installed.
    pub first_deployed: Option<Timestamp>,
    /// When this revision was installed.
    pub last_deployed: Option<Timestamp>,
    /// The user's values.
    pub(crate) config: Secret,
}

/// The chart within a record.
#[derive(Clone, Debug)]
pub struct RecordedChart {
    /// Chart.yaml after Helm dropped disabled dependencies.
    pub metadata: Metadata,
    /// The templates, in their order.
    pub templates: Vec<Part>,
    /// The other files, in their order.
    pub files: Vec<Part>,
    /// Digest of the schema, if there is one and it is not empty.
    pub schema: Option<Sha256Digest>,
    /// The lock.
    pub lock: Option<Lock>,
    /// When Chart.yaml was last modified; only Helm 4 writes it.
    pub modified: Option<Timestamp>,
    /// Digest of the schema without its byte-order mark; only Helm before 3.3 wrote one.
    pub(crate) schema_without_mark: Option<Sha256Digest>,
    /// The default values, or what `--reuse-values` made of them.
    pub(crate) values: Secret,
}

/// The state of a release (`pkg/release/common/status.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are Helm's")]
pub enum Status {
    Deployed,
    Failed,
    PendingInstall,
    PendingRollback,
    PendingUpgrade,
    Superseded,
    Uninstalled,
    Uninstalling,
    /// `unknown`, or a word that Helm does not use.
    Unknown,
}

/// Decodes the payload of a record: the string that remains after Kubernetes' own base64 of a
/// Secret is undone, or a `ConfigMap`'s as it is.
///
/// # Errors
/// [`RecordError::TooLarge`] if a limit is reached; the other errors say what is wrong with it.
pub fn decode(payload: &[u8], limits: &RecordLimits) -> Result<Record, RecordError> {
    let json = payload::json(payload, limits)?;
    wire::record(&json, limits)
}

impl Record {
    /// Returns a digest of the parts that are compared with an archive.
    ///
    /// Equal parts have equal digests, across rollbacks and whatever Helm version rewrote the
    /// record. It covers metadata, templates and files in their order, schema, lock, and of the
    /// user's and default values what a condition or tag could see: which keys there are, and
    /// which of them are true, false or null - not the other values themselves.
    pub fn content_digest(&self) -> Sha256Digest {
        digest::content(self)
    }
}

impl Status {
    /// Whether Helm says that it is at work on the revision.
    pub fn is_pending(self) -> bool {
        matches!(
            self,
            Self::PendingInstall | Self::PendingRollback | Self::PendingUpgrade
        )
    }

    /// Returns Helm's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployed => "deployed",
            Self::Failed => "failed",
            Self::PendingInstall => "pending-install",
            Self::PendingRollback => "pending-rollback",
            Self::PendingUpgrade => "pending-upgrade",
            Self::Superseded => "superseded",
            Self::Uninstalled => "uninstalled",
            Self::Uninstalling => "uninstalling",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [
            Self::Deployed,
            Self::Failed,
            Self::PendingInstall,
            Self::PendingRollback,
            Self::PendingUpgrade,
            Self::Superseded,
            Self::Uninstalled,
            Self::Uninstalling,
        ];
        Ok(all
            .into_iter()
            .find(|status| status.as_str() == text)
            .unwrap_or(Self::Unknown))
    }
}
