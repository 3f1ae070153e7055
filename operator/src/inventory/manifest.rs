//! What Flux does with a chart before it installs it, and the mark that this leaves in the version of the record.

use charttrust_verify::digest::Sha256Digest;

/// A manifest in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    digest: Sha256Digest,
    /// The tag that stood for it, if that is known.
    tag: Option<String>,
}

/// What Flux says it has done with a chart, where that changes its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// Taken from this manifest.
    Manifest(Manifest),
    /// Packed anew, with other values.
    Repacked,
}

/// A chart as its publisher calls it, and the manifest that it was deployed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The version in its Chart.yaml.
    pub version: String,
    /// Digest of the manifest, if it was one.
    pub manifest: Option<Sha256Digest>,
}

impl Manifest {
    /// What source-controller calls a revision: `<tag>@sha256:<digest>`, or the digest alone.
    pub fn of_revision(revision: &str) -> Option<Self> {
        let (tag, digest) = match revision.rsplit_once('@') {
            Some((tag, digest)) => (Some(tag.to_owned()), digest),
            None => (None, revision),
        };
        let digest = digest.parse().ok()?;
        Some(Self { digest, tag })
    }

    /// Whether a build of a version is how Flux marks it with this manifest.
    fn is_mark(&self, build: &str) -> bool {
        let text = self.digest.to_string();
        let digits = text.strip_prefix("sha256:").unwrap_or_default();
        build.len() == MARK && digits.starts_with(build)
    }

    /// The version that its tag stands for, if that is one, and this one but for a `v` and the build.
    fn version_as(&self, base: &str) -> Option<String> {
        let version = self.tag.as_ref()?.replace('_', "+");
        let bare = version.split('+').next().unwrap_or_default();
        let is_same = bare.strip_prefix('v').unwrap_or(bare) == base;
        is_same.then_some(version)
    }
}

impl Published {
    /// What was published, of a version as a record has it that is marked by one of these.
    ///
    /// helm-controller replaces the build of a version by the first twelve digits of the manifest's digest, and
    /// drops a `v`, where the chart is of an `OCIRepository` (`mutateChartWithSourceRevision`). source-controller
    /// replaces it by the generation of the `HelmChart` where that has `valuesFiles`
    /// (`internal/helm/chart/builder_remote.go`).
    pub fn of(recorded: &str, traces: &[Trace]) -> Option<Self> {
        let (base, build) = recorded.split_once('+')?;
        let manifests = traces.iter().filter_map(Trace::manifest);
        let mut marking = manifests.filter(|one| one.is_mark(build)).peekable();
        let Some(manifest) = marking.peek().map(|one| one.digest) else {
            let is_repacked = traces.contains(&Trace::Repacked) && is_generation(build);
            return is_repacked.then(|| Self {
                version: base.to_owned(),
                manifest: None,
            });
        };
        let mut named = marking.filter(|one| one.digest == manifest);
        let version = named.find_map(|one| one.version_as(base));
        let version = version.unwrap_or_else(|| base.to_owned());
        Some(Self {
            version,
            manifest: Some(manifest),
        })
    }

    /// Whether a version of a record may be marked, and this be what was published.
    pub fn may_be(published: &str, recorded: &str) -> bool {
        let Some((base, build)) = recorded.split_once('+') else {
            return false;
        };
        let bare = published.split('+').next().unwrap_or_default();
        let is_digest = build.len() == MARK && build.bytes().all(|digit| digit.is_ascii_hexdigit());
        let is_marked = is_digest && bare.strip_prefix('v').unwrap_or(bare) == base;
        is_marked || (is_generation(build) && published == base)
    }
}

impl Trace {
    fn manifest(&self) -> Option<&Manifest> {
        match self {
            Self::Manifest(manifest) => Some(manifest),
            Self::Repacked => None,
        }
    }
}

/// Whether a build is a number that the API server counts an object's changes by.
fn is_generation(build: &str) -> bool {
    let is_number = build.bytes().all(|digit| digit.is_ascii_digit());
    is_number && (1..MARK).contains(&build.len()) && !build.starts_with('0')
}

/// How many digits of the digest helm-controller takes.
const MARK: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90";

    fn manifests(revisions: &[&str]) -> Vec<Trace> {
        let all = revisions.iter().copied();
        let all = all.filter_map(Manifest::of_revision);
        all.map(Trace::Manifest).collect()
    }

    #[test]
    fn the_mark_of_a_manifest_is_taken_off_a_version() {
        let tagged = |tag: &str| format!("{tag}@{DIGEST}");
        for (recorded, revision, expected) in [
            ("1.0.0+a1b2c3d4e5f6", DIGEST.to_owned(), "1.0.0"),
            ("1.0.0+a1b2c3d4e5f6", tagged("1.0.0"), "1.0.0"),
            ("1.0.0+a1b2c3d4e5f6", tagged("v1.0.0"), "v1.0.0"),
            (
                "1.0.0+a1b2c3d4e5f6",
                tagged("1.0.0_build.7"),
                "1.0.0+build.7",
            ),
            (
                "1.0.0-rc.1+a1b2c3d4e5f6",
                tagged("1.0.0-rc.1"),
                "1.0.0-rc.1",
            ),
            // Tags that are none of its versions.
            ("1.0.0+a1b2c3d4e5f6", tagged("latest"), "1.0.0"),
            ("1.0.0+a1b2c3d4e5f6", tagged("2.0.0"), "1.0.0"),
        ] {
            let published = Published::of(recorded, &manifests(&[&revision])).unwrap();
            assert_eq!(published.version, expected, "{recorded} {revision}");
            assert_eq!(published.manifest.unwrap().to_string(), DIGEST);
            assert!(Published::may_be(expected, recorded));
            // Taken off once, and never again.
            assert_eq!(Published::of(expected, &manifests(&[&revision])), None);
        }
        let both = manifests(&[DIGEST, &tagged("v1.0.0")]);
        let published = Published::of("1.0.0+a1b2c3d4e5f6", &both).unwrap();
        assert_eq!(published.version, "v1.0.0");
    }

    #[test]
    fn a_build_of_the_publishers_own_stays() {
        for recorded in [
            "1.0.0",
            "1.0.0+build.7",
            "1.0.0+b1b2c3d4e5f6",
            "1.0.0+a1b2c3d4e5f",
            "1.0.0+a1b2c3d4e5f60",
            "1.0.0+A1B2C3D4E5F6",
            "1.0.0+",
            "a1b2c3d4e5f6",
        ] {
            assert_eq!(
                Published::of(recorded, &manifests(&[DIGEST])),
                None,
                "{recorded}"
            );
        }
        assert_eq!(Published::of("1.0.0+a1b2c3d4e5f6", &[]), None);
        for (published, recorded) in [
            ("1.0.1", "1.0.0+a1b2c3d4e5f6"),
            ("1.0.0", "1.0.0+build.7"),
            ("1.0.0", "1.0.0+notofdigits1"),
            ("1.0.0", "1.0.0"),
        ] {
            assert!(
                !Published::may_be(published, recorded),
                "{published} {recorded}"
            );
        }
    }

    #[test]
    fn the_number_of_a_chart_that_was_packed_anew_is_taken_off_a_version() {
        for (recorded, expected) in [
            ("1.0.0+1", Some("1.0.0")),
            ("v1.0.0-rc.1+27", Some("v1.0.0-rc.1")),
            ("1.0.0", None),
            ("1.0.0+", None),
            ("1.0.0+0", None),
            ("1.0.0+build.7", None),
            ("1.0.0+1.2", None),
            ("1.0.0+1234567890123", None),
        ] {
            let published = Published::of(recorded, &[Trace::Repacked]);
            let version = published.as_ref().map(|one| one.version.as_str());
            assert_eq!(version, expected, "{recorded}");
            assert_eq!(published.and_then(|one| one.manifest), None);
            assert_eq!(Published::of(recorded, &manifests(&[DIGEST])), None);
            let known = expected.unwrap_or("1.0.0");
            assert_eq!(Published::may_be(known, recorded), expected.is_some());
        }
    }

    #[test]
    fn what_names_no_sha_256_is_no_manifest() {
        for revision in [
            "",
            "latest",
            "latest@",
            "main@sha1:a1b2",
            "sha512:a1b2",
            "@",
            "1.0.0@sha256:a1",
        ] {
            assert_eq!(Manifest::of_revision(revision), None, "{revision}");
        }
    }
}
