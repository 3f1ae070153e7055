//! The charts within an archive, and where it says that they come from.

use crate::chart::{Chart, Dependency, Subchart};
use crate::digest::Sha256Digest;
use crate::scheme::Scheme;
use crate::version::is_compatible;

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
    /// Where it comes from is what its chart says of this name and version.
    pub(crate) fn of(chart: &Chart, subchart: &Subchart) -> Self {
        let locked = chart.lock.iter().flat_map(|lock| &lock.dependencies);
        let declared = (locked, chart.metadata.dependencies.iter());
        let repository = repository(declared, (&subchart.name, &subchart.version));
        let repository = repository.filter(|it| is_place(it)).unwrap_or_default();
        Self {
            id: SubchartId {
                repository: repository.to_owned(),
                name: subchart.name.clone(),
                version: subchart.version.clone(),
            },
            content: subchart.content,
        }
    }
}

/// The repository of a subchart: that of the lock for this version, or else that of the only declaration of this
/// name, or of those that allow this version. Under aliases there may be several, and if those name several
/// repositories nobody knows which one this is from.
fn repository<'a>(
    (locked, declared): (
        impl Iterator<Item = &'a Dependency>,
        impl Iterator<Item = &'a Dependency>,
    ),
    (name, version): (&str, &str),
) -> Option<&'a str> {
    let mut named: Vec<_> = locked
        .filter(|it| it.name == name && it.version == version)
        .collect();
    if named.is_empty() {
        named = declared.filter(|it| it.name == name).collect();
        if named.len() > 1 {
            named.retain(|it| is_compatible(&it.version, version));
        }
    }
    let mut repositories = named.iter().map(|it| it.repository.trim_end_matches('/'));
    let first = repositories.next()?;
    repositories.all(|it| it == first).then_some(first)
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

    fn dependency(version: &str, repository: &str) -> Dependency {
        Dependency {
            name: "db".into(),
            version: version.into(),
            repository: format!("https://{repository}.example.com"),
            ..Dependency::default()
        }
    }

    /// Version and repository, as a chart says them.
    type Said<'a> = &'a [(&'a str, &'a str)];

    /// Two of one name, from two places.
    #[test]
    fn a_subchart_is_from_where_its_very_version_is() {
        let of = |(version, repository): &(&str, &str)| dependency(version, repository);
        let rows: [(Said<'_>, Said<'_>, Option<&str>); 11] = [
            (&[], &[], None),
            (&[], &[("^2.0.0", "b")], Some("b")),
            // It is the only one: where else could it be from?
            (&[], &[("^1.0.0", "a")], Some("a")),
            (&[], &[("^1.0.0", "a"), ("^2.0.0", "b")], Some("b")),
            (&[], &[("^2.0.0", "b"), ("^1.0.0", "a")], Some("b")),
            (&[], &[("^1.0.0", "a"), ("1.1.0", "b")], None),
            // Under two aliases.
            (&[], &[(">=1", "b"), ("^2.0.0", "b")], Some("b")),
            (&[], &[(">=1", "a"), ("^2.0.0", "b")], None),
            (
                &[("1.0.0", "a"), ("2.0.0", "b")],
                &[("*", "c"), ("*", "d")],
                Some("b"),
            ),
            (&[("2.0.0", "a"), ("2.0.0", "b")], &[("*", "a")], None),
            (
                &[("1.0.0", "a")],
                &[("^1.0.0", "a"), ("^2.0.0", "b")],
                Some("b"),
            ),
        ];
        for (locked, declared, expected) in rows {
            let of_all = |all: Said<'_>| all.iter().map(of).collect::<Vec<_>>();
            let (lock, declares) = (of_all(locked), of_all(declared));
            let found = repository((lock.iter(), declares.iter()), ("db", "2.0.0"));
            let expected = expected.map(|name| format!("https://{name}.example.com"));
            assert_eq!(found, expected.as_deref(), "{locked:?} {declared:?}");
            assert_eq!(
                repository((lock.iter(), declares.iter()), ("cache", "2.0.0")),
                None
            );
        }
    }

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
