//! A judged thing, whatever keeps a record of it.

use std::fmt;

use charttrust_verify::release::Record;
use kube::Client;
use tokio::time::Instant;

use super::ReleaseId;
use super::helm::{self, Driver, Read, ReadError, RecordKey, SeenRecord};
use super::kept::Kept;

/// Something that runs and claims to be made of a chart: one revision of a release.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Item {
    /// Whose verdict it counts for.
    pub id: ReleaseId,
    /// Which record says what it is made of.
    pub record: RecordId,
}

/// Which record of a release, in the order in which they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordId {
    /// What an Application of Argo CD, which keeps no record, says that it has deployed.
    Application {
        /// Which of its charts.
        claim: Claim,
        /// How many it had deployed before.
        revision: u64,
    },
    /// A revision that Helm has stored.
    Helm {
        /// Where it is stored.
        driver: Driver,
        /// Which revision it is.
        revision: u64,
    },
}

/// Which chart of an Application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Claim {
    /// The first.
    First,
    /// Another, by the place of its source among all, from 1.
    Further(u32),
}

/// Who deploys a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// An Application of Argo CD.
    ArgoCd,
    /// A `HelmRelease` of Flux.
    Flux,
    /// A person or a pipeline that runs Helm.
    Helm,
    /// A `HelmChart` of k3s.
    K3s,
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Application { revision, .. } => write!(f, "revision {revision} (Application)"),
            Self::Helm { driver, revision } => {
                write!(f, "revision {revision} ({})", driver.word())
            }
        }
    }
}

impl RecordId {
    /// Which revision it is.
    pub fn revision(self) -> u64 {
        match self {
            Self::Application { revision, .. } | Self::Helm { revision, .. } => revision,
        }
    }
}

impl Item {
    /// Reads the record of the item, as it is since it was seen at a resource version, gives what `take` makes of it, and
    /// keeps the record for [`Item::read_again`]. One that is kept of that very version is not asked for.
    ///
    /// # Errors
    /// As for [`helm::read`]. Of what has no record it is gone.
    pub async fn read<T: Send + 'static>(
        &self,
        client: &Client,
        since: &str,
        (kept, now): (&Kept, Instant),
        take: impl FnOnce(Record) -> T + Send + 'static,
    ) -> Result<Read<T>, ReadError> {
        let seen = self.seen(since).ok_or(ReadError::Gone)?;
        let packed = match kept.take_at(&seen.key, since) {
            Some(packed) => packed,
            None => helm::packed(client, &seen).await?,
        };
        kept.keep(&seen.key, &packed, now);
        packed.decoded(take).await
    }

    /// The same of a record that was read before: of the one that was kept, or else of the one that there is now.
    ///
    /// # Errors
    /// As for [`helm::read`]. Of what has no record it is gone.
    pub async fn read_again<T: Send + 'static>(
        &self,
        client: &Client,
        since: &str,
        kept: &Kept,
        take: impl FnOnce(Record) -> T + Send + 'static,
    ) -> Result<Read<T>, ReadError> {
        let seen = self.seen(since).ok_or(ReadError::Gone)?;
        let packed = match kept.take(&seen.key) {
            Some(packed) => packed,
            None => helm::packed(client, &seen).await?,
        };
        packed.decoded(take).await
    }

    /// The stored revision that it is, if it is one, and the resource version at which it was seen.
    pub fn seen(&self, resource_version: &str) -> Option<SeenRecord> {
        Some(SeenRecord {
            key: self.key()?,
            resource_version: resource_version.to_owned(),
        })
    }

    /// The stored revision that it is, if it is one.
    pub fn key(&self) -> Option<RecordKey> {
        match self.record {
            RecordId::Application { .. } => None,
            RecordId::Helm { driver, revision } => Some(RecordKey {
                release: self.id.clone(),
                driver,
                revision,
            }),
        }
    }
}
