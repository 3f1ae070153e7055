//! The manifest of a registry that Flux has taken a chart from, and the mark that this leaves in the record.

use charttrust_verify::digest::Sha256Digest;

/// A manifest in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    digest: Sha256Digest,
    /// The tag that stood for it, if that is known.
    tag: Option<String>,
}

/// A chart as its publisher calls it, and the manifest that it was deployed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The version in its Chart.yaml.
    pub version: String,
    /// Digest of the manifest.
    pub manifest: Sha256Digest,
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
    /// What was published, of a version as a record has it that is marked with one of these manifests.
    ///
    /// helm-controller replaces the build of a version by the first twelve digits of the manifest's digest, and
    /// drops a `v`, where the chart is of an `OCIRepository` (`mutateChartWithSourceRevision`).
    pub fn of(recorded: &str, manifests: &[Manifest]) -> Option<Self> {
        let (base, build) = recorded.split_once('+')?;
        let mut marking = manifests.iter().filter(|one| one.is_mark(build)).peekable();
        let manifest = marking.peek()?.digest;
        let mut named = marking.filter(|one| one.digest == manifest);
        let version = named.find_map(|one| one.version_as(base));
        let version = version.unwrap_or_else(|| base.to_owned());
        Some(Self { version, manifest })
    }

    /// Whether a version of a record may be marked, and this be what was published.
    pub fn may_be(published: &str, recorded: &str) -> bool {
        let Some((base, build)) = recorded.split_once('+') else {
            return false;
        };
        let bare = published.split('+').next().unwrap_or_default();
        build.len() == MARK
            && build.bytes().all(|digit| digit.is_ascii_hexdigit())
            && bare.strip_prefix('v').unwrap_or(bare) == base
    }
}

/// How many digits of the digest helm-controller takes.
const MARK: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90";

    fn manifests(revisions: &[&str]) -> Vec<Manifest> {
        let all = revisions.iter().copied();
        all.filter_map(Manifest::of_revision).collect()
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
            assert_eq!(published.manifest.to_string(), DIGEST);
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
