//! The subcharts of an archive, as a `ReleaseTrust` keeps them.

use std::str::FromStr as _;

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{ArchiveFacts, SubchartFacts, SubchartId};

use crate::api::bounds;
use crate::api::release_trust as v1;

/// The subcharts of an archive. Of more than are looked at there is one more, and none of them is checked.
pub(super) fn bundled(facts: &ArchiveFacts) -> Vec<v1::BundledChart> {
    let listed = facts.subcharts.iter().take(bounds::SUBCHARTS);
    let bundled = listed.map(|subchart| v1::BundledChart {
        name: subchart.id.name.clone(),
        version: subchart.id.version.clone(),
        repository: Some(subchart.id.repository.clone()).filter(|it| !it.is_empty()),
        content: subchart.content.to_string(),
    });
    bundled.collect()
}

/// What was written, read back.
pub(super) fn unbundled(bundled: &v1::BundledChart) -> Option<SubchartFacts> {
    Some(SubchartFacts {
        id: SubchartId {
            repository: bundled.repository.clone().unwrap_or_default(),
            name: bundled.name.clone(),
            version: bundled.version.clone(),
        },
        content: Sha256Digest::from_str(&bundled.content).ok()?,
    })
}
