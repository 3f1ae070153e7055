//! A judged thing, whatever keeps a record of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use charttrust_verify::release::Record;
use kube::Client;

use super::ReleaseId;
use super::helm::{self, Driver, Read, ReadError, RecordKey, RecordMeta};

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
    /// A revision that Helm has stored.
    Helm {
        /// Where it is stored.
        driver: Driver,
        /// Which revision it is.
        revision: u32,
    },
}

/// Who deploys a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
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
            Self::Helm { driver, revision } => {
                write!(f, "revision {revision} ({})", driver.word())
            }
        }
    }
}

impl Item {
    /// Reads what the item is made of, and keeps what `take` makes of it.
    ///
    /// # Errors
    /// As for [`helm::read`].
    pub async fn read<T: Send + 'static>(
        &self,
        client: &Client,
        take: impl FnOnce(Record) -> T + Send + 'static,
    ) -> Result<Read<T>, ReadError> {
        match self.record {
            RecordId::Helm { .. } => helm::read(client, &self.key(), take).await,
        }
    }

    /// The stored revision that it is.
    pub fn key(&self) -> RecordKey {
        let RecordId::Helm { driver, revision } = self.record;
        RecordKey {
            release: self.id.clone(),
            driver,
            revision,
        }
    }
}

/// The records of all releases, as the watches say.
#[derive(Debug, Default)]
pub struct Stored {
    /// Those in Secrets.
    pub secrets: helm::Records,
    /// Those in ConfigMaps.
    pub config_maps: helm::Records,
}

impl Stored {
    /// The records that a driver of Helm keeps.
    pub fn of(&self, driver: Driver) -> &helm::Records {
        match driver {
            Driver::ConfigMap => &self.config_maps,
            Driver::Secret => &self.secrets,
        }
    }

    /// Whether there is no record of a release.
    pub fn has_none(&self, id: &ReleaseId) -> bool {
        let revisions = self.revisions(id);
        revisions.iter().all(|(_, of_driver)| of_driver.is_empty())
    }

    /// Every release of which there is a record.
    pub fn releases(&self) -> BTreeSet<ReleaseId> {
        let all = self.secrets.all().into_iter();
        let all = all.chain(self.config_maps.all());
        all.map(|(key, _)| key.release).collect()
    }

    /// The records to judge, by what their metadata say.
    pub fn judged(&self, id: &ReleaseId) -> BTreeMap<RecordId, RecordMeta> {
        let mut judged = BTreeMap::new();
        for (driver, mut revisions) in self.revisions(id) {
            for revision in helm::judged(&revisions) {
                let record = RecordId::Helm { driver, revision };
                judged.extend(revisions.remove(&revision).map(|meta| (record, meta)));
            }
        }
        judged
    }

    /// The newest of the records of each driver that would be judged, were there fewer.
    pub fn omitted(&self, id: &ReleaseId) -> impl Iterator<Item = RecordId> {
        self.revisions(id)
            .into_iter()
            .filter_map(|(driver, revisions)| {
                let revision = helm::omitted(&revisions)?;
                Some(RecordId::Helm { driver, revision })
            })
    }

    fn revisions(&self, id: &ReleaseId) -> [(Driver, BTreeMap<u32, RecordMeta>); 2] {
        [Driver::Secret, Driver::ConfigMap]
            .map(|driver| (driver, helm::revisions(self.of(driver), id, driver)))
    }
}
