//! The operator's chart as it is published: what `helm package` packs, with what only a release knows.

use std::collections::BTreeMap;
use std::path::Path;

use super::archive::{Entry, gzip, tar};
use super::{BOM, Commit, PROVENANCE, PUBLIC_KEY, ReleaseError, SUMS, VERSION, read, read_text};

/// What only a release knows.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The image, and the digest of its manifest.
    pub(super) image: Option<(String, String)>,
    /// The fingerprint of the key that signs the chart.
    pub(super) key: Option<String>,
    /// The folder in which the files of the release lie.
    pub(super) url: Option<String>,
}

/// The archive of the chart in a folder.
pub(super) fn pack(folder: &Path, known: &Known, commit: &Commit) -> Result<Vec<u8>, ReleaseError> {
    let mut files = files(folder)?;
    let text = |name: &str| {
        let bytes = files.get(name).cloned().unwrap_or_default();
        String::from_utf8(bytes).map_err(|_| ReleaseError::chart(name, "is no text"))
    };
    let (metadata, values) = (text("Chart.yaml")?, text("values.yaml")?);
    has_this_version(&metadata)?;
    files.insert("Chart.yaml".to_owned(), annotated(metadata, known)?.into());
    if let Some((image, digest)) = &known.image {
        let pinned = pinned(&values, image, digest)?;
        files.insert("values.yaml".to_owned(), pinned.into());
    }
    let entries: Vec<_> = files
        .into_iter()
        .map(|(path, content)| Entry::file(format!("{NAME}/{path}"), content))
        .collect();
    gzip(&tar(&entries, commit.epoch)?)
}

/// What is not ignored of a chart, by its path below the folder.
fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, ReleaseError> {
    let ignored = Ignored::of(&read_text(&folder.join(".helmignore"))?)?;
    let mut found = BTreeMap::new();
    collect(folder, "", &ignored, &mut found)?;
    Ok(found)
}

fn collect(
    folder: &Path,
    below: &str,
    ignored: &Ignored,
    found: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), ReleaseError> {
    let failed = |source| ReleaseError::file(folder, source);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{below}{name}");
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() && !ignored.folders.contains(&name) {
            collect(&entry.path(), &format!("{path}/"), ignored, found)?;
        } else if kind.is_symlink() {
            return Err(ReleaseError::chart(&path, "is a link"));
        } else if kind.is_file() && !ignored.has_file(&name) {
            found.insert(path, read(&entry.path())?);
        }
    }
    Ok(())
}

/// What `.helmignore` leaves out, of the patterns that ours is written in.
#[derive(Debug, Default)]
struct Ignored {
    folders: Vec<String>,
    names: Vec<String>,
    endings: Vec<String>,
}

impl Ignored {
    fn of(text: &str) -> Result<Self, ReleaseError> {
        let mut ignored = Self::default();
        let lines = text.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, kind) = if let Some(name) = line.strip_suffix('/') {
                (name, &mut ignored.folders)
            } else if let Some(ending) = line.strip_prefix('*') {
                (ending, &mut ignored.endings)
            } else {
                (line, &mut ignored.names)
            };
            if name.contains(['/', '*', '?', '[', '!', '\\']) {
                let what = format!("has the pattern {line}, which `make release` does not know");
                return Err(ReleaseError::chart(".helmignore", &what));
            }
            kind.push(name.to_owned());
        }
        Ok(ignored)
    }

    fn has_file(&self, name: &str) -> bool {
        let is_named = self.names.iter().any(|one| one == name);
        is_named || self.endings.iter().any(|ending| name.ends_with(ending))
    }
}

/// The chart, its operator and the workspace have one version.
fn has_this_version(metadata: &str) -> Result<(), ReleaseError> {
    for field in ["version", "appVersion"] {
        let line = format!("{field}: {VERSION}");
        if !metadata.lines().any(|one| one == line) {
            return Err(ReleaseError::chart(
                "Chart.yaml",
                &format!("lacks the line `{line}`"),
            ));
        }
    }
    Ok(())
}

/// The metadata with annotations of what only the release knows: they are the last field.
fn annotated(metadata: String, known: &Known) -> Result<String, ReleaseError> {
    let mut fields = metadata
        .lines()
        .filter(|line| !line.starts_with([' ', '#']));
    if fields.next_back() != Some("annotations:") || !metadata.ends_with('\n') {
        let what = "does not end with its annotations, to which a release adds its own";
        return Err(ReleaseError::chart("Chart.yaml", what));
    }
    let mut text = metadata;
    if let Some((image, digest)) = &known.image {
        let images = format!(
            "  artifacthub.io/images: |\n    - name: {NAME}\n      image: {image}:{VERSION}@{digest}\n"
        );
        text.push_str(&images);
    }
    if let Some(url) = &known.url {
        text += "  artifacthub.io/links: |\n";
        for (name, file) in LINKS {
            let link = format!("    - name: {name}\n      url: {url}/{file}\n");
            text.push_str(&link);
        }
    }
    if let (Some(key), Some(url)) = (&known.key, &known.url) {
        let signed = format!(
            "  artifacthub.io/signKey: |\n    fingerprint: {key}\n    url: {url}/{PUBLIC_KEY}\n"
        );
        text.push_str(&signed);
    }
    Ok(text)
}

/// The values with the image of the release, by its digest, in place of none.
fn pinned(values: &str, image: &str, digest: &str) -> Result<String, ReleaseError> {
    let (registry, repository) = image.split_once('/').unwrap_or(("", image));
    let note =
        "# The image of this release, pinned. For another one name its digest too, or none.\n";
    let replaced = [
        (NO_IMAGE, note.to_owned()),
        ("  registry: \"\"\n", format!("  registry: {registry}\n")),
        (
            "  repository: charttrust\n",
            format!("  repository: {repository}\n"),
        ),
        ("  digest: \"\"\n", format!("  digest: \"{digest}\"\n")),
    ];
    replaced
        .iter()
        .try_fold(values.to_owned(), |text, (old, new)| {
            if text.matches(old).count() == 1 {
                return Ok(text.replace(old, new));
            }
            let what = format!("does not have once the text that a release replaces: {old}");
            Err(ReleaseError::chart("values.yaml", what.trim_end()))
        })
}

const NAME: &str = "charttrust";
/// What Artifact Hub links.
const LINKS: [(&str, &str); 3] = [
    ("Bill of materials (CycloneDX)", BOM),
    ("Provenance (SLSA)", PROVENANCE),
    ("Checksums", SUMS),
];
const NO_IMAGE: &str = "\
# There is no published image: build one with operator/Dockerfile, and name it here. Without a registry only an
# image that the nodes have already can be meant: pullPolicy Never.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn said<T: std::fmt::Debug>(result: Result<T, ReleaseError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_pattern_of_an_ignored_file_that_is_not_known_is_named() {
        let ignored = Ignored::of("# Comment\n\n.DS_Store\nci/\n*.tgz\n").unwrap();
        assert_eq!(ignored.folders, ["ci"]);
        assert!(ignored.has_file("a.tgz") && ignored.has_file(".DS_Store"));
        assert!(!ignored.has_file("ci") && !ignored.has_file("tgz"));
        for pattern in ["!ci", "a/b", "*.t?z", "**/ci/"] {
            assert!(said(Ignored::of(pattern)).contains(pattern));
        }
    }

    #[test]
    fn metadata_of_another_version_are_refused() {
        let good = format!("version: {VERSION}\nappVersion: {VERSION}\n");
        has_this_version(&good).unwrap();
        for field in ["version", "appVersion"] {
            let bad = good.replace(&format!("{field}: {VERSION}\n"), "");
            let line = format!("`{field}: {VERSION}`");
            // The end of one is the other.
            let bad = bad.replace(
                "Version: ",
                if field == "version" {
                    "Version: "
                } else {
                    "x: "
                },
            );
            assert!(said(has_this_version(&bad)).contains(&line), "{bad}");
        }
    }

    #[test]
    fn annotations_have_to_come_last_or_a_release_would_write_them_elsewhere() {
        let known = Known::default();
        let good = "name: a\nannotations:\n  a: b\n";
        assert_eq!(annotated(good.to_owned(), &known).unwrap(), good);
        for bad in ["annotations:\n  a: b\nname: a\n", "annotations:\n  a: b"] {
            assert!(
                said(annotated(bad.to_owned(), &known)).contains("annotations"),
                "{bad}"
            );
        }
    }

    #[test]
    fn values_that_a_release_does_not_find_once_are_named() {
        let good = format!(
            "{NO_IMAGE}image:\n  registry: \"\"\n  repository: charttrust\n  digest: \"\"\n"
        );
        let pin = |values: &str| pinned(values, "registry.example.com/a/b", "sha256:0");
        let made = pin(&good).unwrap();
        assert!(made.ends_with(
            "registry: registry.example.com\n  repository: a/b\n  digest: \"sha256:0\"\n"
        ));
        for line in ["  registry: \"\"\n", "  digest: \"\"\n", NO_IMAGE] {
            for bad in [good.replace(line, ""), format!("{good}{line}")] {
                assert!(said(pin(&bad)).contains(line.trim_end()), "{bad}");
            }
        }
    }
}
