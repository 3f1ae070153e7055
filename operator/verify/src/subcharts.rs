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
        Self {
            id: SubchartId {
                repository: if is_place(repository) { repository } else { "" }.to_owned(),
                name: subchart.name.clone(),
                version: subchart.version.clone(),
            },
            content: subchart.content,
        }
    }
}

/// Whether an address can be asked, and stand in a status. `file://`, and names that only the publisher's Helm
/// knows, are no places; and what may hold a password is told nobody.
fn is_place(repository: &str) -> bool {
    let Some((_, rest)) = Scheme::split(repository) else {
        return false;
    };
    let host = rest.split('/').next().unwrap_or_default();
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\\' | '?' | '#');
    let is_plain = !host.is_empty() && !host.contains('@') && !repository.contains(is_odd);
    is_plain && repository.len() <= MAX_REPOSITORY
}

/// Bytes of the address of a source in a status.
const MAX_REPOSITORY: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_that_can_stand_in_a_status() {
        for repository in [
            "https://charts.example.com",
            "http://127.0.0.1:8080/a/b",
            "oci://ghcr.io/example/charts",
            "oci://[::1]:5000/a@b",
        ] {
            assert!(is_place(repository), "{repository}");
        }
        for repository in [
            "",
            "@alias",
            "alias:parts",
            "file://../parts",
            "ftp://example.com",
            "HTTPS://example.com",
            "https://",
            "https:///path",
            "https://user:canary@example.com",
            "https://example.com?token=canary",
            "https://example.com/a?token=canary",
            "oci://example.com/a#b",
            "https://example.com/\u{1b}[31m",
            "https://example.com/a b",
            "https://example.com\\@other.example",
        ] {
            assert!(!is_place(repository), "{repository:?}");
        }
        assert!(!is_place(&format!(
            "https://{}",
            "a".repeat(MAX_REPOSITORY)
        )));
    }
}
