//! Finds charts in a folder, packages what is source, and signs everything with one key.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use charttrust_verify::version::Constraint;
use serde_json::Value;
use tempfile::TempDir;

use crate::Result;
use charttrust_e2e::gpg::{Key, Keyring, Signer};
use charttrust_e2e::helm::Helm;

/// Charts in a folder.
#[derive(Debug, Default)]
pub(super) struct Found {
    root: PathBuf,
    folders: Vec<PathBuf>,
    archives: Vec<PathBuf>,
}

impl Found {
    /// Looks below `dir`, but not inside charts.
    pub(super) fn below(dir: &Path) -> std::io::Result<Self> {
        let mut found = Self {
            root: dir.to_owned(),
            ..Self::default()
        };
        found.look(dir)?;
        Ok(found)
    }

    /// Only sources count from now on.
    pub(super) fn forget_archives(&mut self) {
        self.archives.clear();
    }

    /// Whose chart it is: the folder directly below the one that was looked into, as each publisher's
    /// repository lies in a folder of its own.
    fn publisher(&self, chart: &Path) -> String {
        let below = chart.strip_prefix(&self.root).unwrap_or(chart);
        let first = below.components().next();
        first.map_or_else(String::new, |first| {
            first.as_os_str().to_string_lossy().into_owned()
        })
    }

    fn look(&mut self, dir: &Path) -> std::io::Result<()> {
        if dir.join("Chart.yaml").is_file() {
            self.folders.push(dir.to_owned());
            return Ok(());
        }
        let mut entries = std::fs::read_dir(dir)?.collect::<std::io::Result<Vec<_>>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let (kind, path) = (entry.file_type()?, entry.path());
            if kind.is_dir() {
                self.look(&path)?;
            } else if kind.is_file() && path.extension().is_some_and(|e| e == "tgz") {
                self.archives.push(path);
            }
        }
        Ok(())
    }
}

/// A signed chart in the repository.
#[derive(Debug)]
pub(super) struct Packaged {
    /// Its name.
    pub(super) name: String,
    /// Its version.
    pub(super) version: String,
    /// The archive in its row.
    pub(super) archive: PathBuf,
    /// Charts of the same name and version lie in different rows.
    pub(super) row: usize,
    /// Whose it is.
    pub(super) publisher: String,
    /// The folder it was packaged from, unless it came as an archive.
    pub(super) folder: Option<PathBuf>,
    /// Conditions of its dependencies, as `--set` takes them.
    pub(super) conditions: Vec<String>,
}

/// Packages everything into the rows of one folder, each of which becomes a repository.
pub(super) struct Packager<'a> {
    helms: [&'a Helm; 2],
    keyring: &'a Keyring,
    key: &'a Key,
    signer: &'a Signer,
    repository: &'a Path,
    siblings: BTreeMap<String, Vec<(String, PathBuf)>>,
    /// Copies of charts whose dependencies had to be added.
    copies: TempDir,
    /// How many rows have something of that name, version or file name.
    taken: HashMap<String, usize>,
}

impl<'a> Packager<'a> {
    pub(super) fn new(
        helms: [&'a Helm; 2],
        (keyring, key, signer): (&'a Keyring, &'a Key, &'a Signer),
        repository: &'a Path,
    ) -> Result<Self> {
        let (copies, taken, siblings) = (tempfile::tempdir()?, HashMap::new(), BTreeMap::new());
        Ok(Self {
            helms,
            keyring,
            key,
            signer,
            repository,
            siblings,
            copies,
            taken,
        })
    }

    /// The folder of the copies, which has to last as long as something is installed from it.
    pub(super) fn into_copies(self) -> TempDir {
        self.copies
    }

    /// Packages all charts; those that cannot be packaged are given with the reason.
    pub(super) async fn package(
        &mut self,
        found: &Found,
    ) -> (Vec<Packaged>, Vec<(PathBuf, String)>) {
        for folder in &found.folders {
            if let Ok(source) = Source::read(folder) {
                let known = self.siblings.entry(source.name).or_default();
                known.push((source.version, folder.clone()));
            }
        }
        let (mut packaged, mut skipped) = (Vec::new(), Vec::new());
        let all = found.folders.iter().chain(&found.archives);
        for (number, path) in all.enumerate() {
            let made = if path.is_dir() {
                self.folder(path, self.helms[number % 2]).await
            } else {
                self.archive(path, self.helms[number % 2]).await
            };
            match made {
                Ok(chart) => packaged.push(Packaged {
                    publisher: found.publisher(path),
                    ..chart
                }),
                Err(error) => skipped.push((path.clone(), error.to_string())),
            }
        }
        (packaged, skipped)
    }

    async fn folder(&mut self, folder: &Path, helm: &Helm) -> Result<Packaged> {
        let source = Source::read(folder)?.installable()?;
        let file = format!("{}-{}.tgz", source.name, source.version);
        let folder = self.complete(folder, helm, 0).await?;
        let (row, archive) = self.place(&file)?;
        let row_folder = archive.with_file_name("");
        helm.package(&folder, &row_folder, Some(self.signer))
            .await?;
        if !archive.exists() {
            return Err(format!("Helm did not write {file}").into());
        }
        *self.taken.entry(file).or_default() += 1;
        Ok(source.packaged(archive, row, Some(folder)))
    }

    /// Takes a ready-made archive as it is, signed as `helm package --sign` would.
    async fn archive(&mut self, archive: &Path, helm: &Helm) -> Result<Packaged> {
        let metadata = helm
            .run(&["show", "chart", &archive.to_string_lossy()])
            .await?;
        let source = Source::parse(&metadata)?.installable()?;
        // Whatever the file was called: a row has each name and version once.
        let file = format!("{}-{}.tgz", source.name, source.version);
        let (row, copy) = self.place(&file)?;
        std::fs::copy(archive, &copy)?;
        self.sign(&copy, metadata.trim_end())?;
        *self.taken.entry(file).or_default() += 1;
        Ok(source.packaged(copy, row, None))
    }

    /// The first row where this file has a place, and its path there.
    fn place(&self, file: &str) -> std::io::Result<(usize, PathBuf)> {
        let row = self.taken.get(file).copied().unwrap_or_default();
        let folder = self.repository.join(row.to_string());
        std::fs::create_dir_all(&folder)?;
        Ok((row, folder.join(file)))
    }

    fn sign(&self, archive: &Path, metadata: &str) -> Result {
        let name = archive.file_name().unwrap_or_default().to_string_lossy();
        let sum = hex::encode(digest(&SHA256, &std::fs::read(archive)?));
        let text = format!("{metadata}\n\n...\nfiles:\n  {name}: sha256:{sum}\n");
        let message = self.copies.path().join("message");
        std::fs::write(&message, text)?;
        let provenance = archive.with_file_name(format!("{name}.prov"));
        let options = [
            "--digest-algo",
            "SHA512",
            "--local-user",
            &self.key.fingerprint,
        ];
        let files = ["--output", &provenance.to_string_lossy(), "--clearsign"];
        self.keyring
            .gpg(&[&options[..], &files, &[&message.to_string_lossy()]].concat())?;
        Ok(())
    }

    /// The folder itself if it has all its dependencies, else a copy with those that are among the
    /// other charts.
    async fn complete(&self, folder: &Path, helm: &Helm, depth: usize) -> Result<PathBuf> {
        let source = Source::read(folder)?;
        let missing = source.missing(folder, helm).await?;
        if missing.is_empty() {
            return Ok(folder.to_owned());
        }
        if depth > MAX_DEPTH {
            return Err("charts depend on each other".into());
        }
        let copy = tempfile::tempdir_in(self.copies.path())?
            .keep()
            .join(&source.name);
        copy_folder(folder, &copy)?;
        let charts = copy.join("charts");
        std::fs::create_dir_all(&charts)?;
        for dependency in missing {
            let sibling = self.sibling(&dependency)?;
            let complete = Box::pin(self.complete(sibling, helm, depth + 1)).await?;
            helm.package(&complete, &charts, None).await?;
        }
        Ok(copy)
    }

    fn sibling(&self, dependency: &Dependency) -> Result<&Path> {
        let constraint: Option<Constraint> = dependency.version.parse().ok();
        let known = self
            .siblings
            .get(&dependency.name)
            .map_or(&[][..], Vec::as_slice);
        let fits = |version: &str| {
            dependency.version.is_empty()
                || constraint
                    .as_ref()
                    .is_some_and(|constraint| constraint.allows(version))
        };
        let sibling = known.iter().find(|(version, _)| fits(version));
        let (_, folder) = sibling.ok_or_else(|| {
            let Dependency { name, version, .. } = dependency;
            format!("depends on {name} {version}, which is not in the folder")
        })?;
        Ok(folder)
    }
}

/// What is needed of a Chart.yaml.
#[derive(Debug, Default)]
struct Source {
    name: String,
    version: String,
    kind: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Dependency {
    name: String,
    version: String,
    conditions: Vec<String>,
}

impl Source {
    fn read(folder: &Path) -> Result<Self> {
        let mut source = Self::parse(&std::fs::read_to_string(folder.join("Chart.yaml"))?)?;
        if let Ok(text) = std::fs::read_to_string(folder.join("requirements.yaml")) {
            source.dependencies.extend(dependencies(&yaml(&text)?));
        }
        Ok(source)
    }

    fn parse(text: &str) -> Result<Self> {
        let chart = yaml(text)?;
        let (name, version) = (word(&chart["name"]), word(&chart["version"]));
        if name.is_empty() || version.is_empty() {
            return Err("Chart.yaml has no name or no version".into());
        }
        let kind = chart["type"].as_str().map(str::to_owned);
        Ok(Self {
            name,
            version,
            kind,
            dependencies: dependencies(&chart),
        })
    }

    fn packaged(self, archive: PathBuf, row: usize, folder: Option<PathBuf>) -> Packaged {
        let conditions = self.dependencies.into_iter().flat_map(|d| d.conditions);
        Packaged {
            conditions: conditions.collect(),
            name: self.name,
            version: self.version,
            archive,
            row,
            publisher: String::new(),
            folder,
        }
    }

    fn installable(self) -> Result<Self> {
        if self.kind.as_deref() == Some("library") {
            return Err("library charts cannot be installed".into());
        }
        Ok(self)
    }

    /// The dependencies that Helm misses under `charts/`.
    async fn missing(&self, folder: &Path, helm: &Helm) -> Result<Vec<Dependency>> {
        if self.dependencies.is_empty() {
            return Ok(Vec::new());
        }
        let table = helm
            .run(&["dependency", "list", &folder.to_string_lossy()])
            .await?;
        let missing = |dependency: &&Dependency| {
            table.lines().any(|line| {
                let mut words = line.split_whitespace();
                words.next() == Some(&dependency.name) && line.trim_end().ends_with("missing")
            })
        };
        let mut missing: Vec<_> = self.dependencies.iter().filter(missing).cloned().collect();
        missing.dedup_by(|one, other| one.name == other.name && one.version == other.version);
        Ok(missing)
    }
}

fn dependencies(chart: &Value) -> Vec<Dependency> {
    let all = chart["dependencies"].as_array().into_iter().flatten();
    all.map(|dependency| Dependency {
        name: word(&dependency["name"]),
        version: word(&dependency["version"]),
        conditions: word(&dependency["condition"])
            .split(',')
            .map(|condition| condition.trim().to_owned())
            .filter(|condition| !condition.is_empty())
            .collect(),
    })
    .collect()
}

fn yaml(text: &str) -> Result<Value> {
    // Helm takes the last of two equal keys.
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
    };
    let text = text.trim_start_matches('\u{feff}');
    Ok(serde_saphyr::from_str_with_options(text, options)?)
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(
        || {
            if value.is_null() {
                String::new()
            } else {
                value.to_string()
            }
        },
        |text| text.trim().to_owned(),
    )
}

/// Copies a folder; links are followed, as Helm follows them.
fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            std::fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

/// Deeper chains of dependencies are not honest ones.
const MAX_DEPTH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &Path, content: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    #[test]
    fn charts_are_found_at_any_depth_but_not_inside_charts() {
        let dir = tempfile::tempdir().unwrap();
        file(&dir.path().join("charts/a/Chart.yaml"), "");
        file(&dir.path().join("charts/a/charts/b/Chart.yaml"), "");
        file(&dir.path().join("charts/a/charts/c-1.0.0.tgz"), "");
        file(&dir.path().join("more/d-1.0.0.tgz"), "");
        file(&dir.path().join("more/d-1.0.0.tgz.prov"), "");
        let found = Found::below(dir.path()).unwrap();
        assert_eq!(found.folders, [dir.path().join("charts/a")]);
        assert_eq!(found.archives, [dir.path().join("more/d-1.0.0.tgz")]);
        let all = found.folders.iter().chain(&found.archives);
        let publishers: Vec<_> = all.map(|path| found.publisher(path)).collect();
        assert_eq!(publishers, ["charts", "more"]);
    }

    #[test]
    fn metadata_may_have_numbers_and_several_conditions() {
        let text = "{name: a, version: 1.10.0, appVersion: 1.10, dependencies: \
            [{name: b, version: 2, condition: 'b.on, global.b'}, {name: c}]}";
        let source = Source::parse(text).unwrap();
        assert_eq!(
            (source.name.as_str(), source.version.as_str()),
            ("a", "1.10.0")
        );
        assert_eq!(source.dependencies[0].version, "2");
        assert_eq!(source.dependencies[0].conditions, ["b.on", "global.b"]);
        assert_eq!(source.dependencies[1].conditions, [""; 0]);
    }

    #[test]
    fn last_of_two_equal_keys_counts() {
        let source = Source::parse("name: a\nversion: 1.0.0\nname: b\n").unwrap();
        assert_eq!(source.name, "b");
    }

    #[test]
    fn what_cannot_be_installed_is_told() {
        let library = Source::parse("{name: a, version: 1.0.0, type: library}").unwrap();
        library.installable().unwrap_err();
        Source::parse("{name: a}").unwrap_err();
        Source::parse("{name: [").unwrap_err();
    }
}
