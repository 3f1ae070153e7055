//! The charts within an archive, and where it says that they come from.

use crate::chart::{Chart, Subchart};
use crate::digest::Sha256Digest;
use crate::scheme::Scheme;

/// A subchart, and where the chart that has it says that it comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubchartId {
    /// As Chart.lock or Chart.yaml say; empty if they name none that can be asked.
    pub repository: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A chart within an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubchartFacts {
    /// Which one.
    pub id: SubchartId,
    /// Digest of its content, as of its own archive.
    pub content: Sha256Digest,
}

impl SubchartId {
    /// Whether it names a place that can be asked.
    pub fn is_published(&self) -> bool {
        !self.repository.is_empty()
    }
}

impl SubchartFacts {
    /// Of several declarations of one name, that counts whose version is locked.
    pub(crate) fn of(chart: &Chart, subchart: &Subchart) -> Self {
        let locked = chart.lock.iter().flat_map(|lock| &lock.dependencies);
        let locked = locked.filter(|it| it.version == subchart.version);
        let mut declared = locked.chain(&chart.metadata.dependencies);
        let declared = declared.find(|it| it.name == subchart.name);
        let repository = declared.map_or("", |it| it.repository.trim_end_matches('/'));
        // `file://`, and names that only the publisher's Helm knows, are no places.
        let is_place = Scheme::split(repository).is_some() && repository.len() <= MAX_REPOSITORY;
        Self {
            id: SubchartId {
                repository: if is_place { repository } else { "" }.to_owned(),
                name: subchart.name.clone(),
                version: subchart.version.clone(),
            },
            content: subchart.content,
        }
    }
}

/// Bytes of the address of a source in a status.
const MAX_REPOSITORY: usize = 512;
