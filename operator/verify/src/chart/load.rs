//! Makes a chart out of files by the rules of Helm's `LoadFiles`.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::entries::{self, Content, File, extension};
use super::error::{ArchiveError, Damage};
use super::metadata::{Imports, Lock, Metadata, merge_imports};
use super::sanitize::sanitize;
use super::stream::Budget;
use super::validate::validate;
use super::{Chart, Part, Subchart};
use crate::digest::{Digested, Hasher, Sha256Digest};
use crate::limits::ArchiveLimits;
use crate::values::{Defaults, Packed, Tree};
use crate::yaml::{self, Reading, Value, YamlError};

/// Reads a whole archive; its size and magic number have been checked.
pub(super) fn archive(
    archive: &Digested<'_>,
    limits: &ArchiveLimits,
) -> Result<(Chart, Imports), ArchiveError> {
    let budget = Budget::new(*limits);
    let mut oddities = Vec::new();
    let files = entries::list(Box::new(archive.bytes()), &budget, 0, &mut oddities)?;
    oddities.sort();
    let loaded = Loaded::new(files, &budget, 0)?;
    let subcharts = loaded.subcharts.iter().map(|chart| Subchart {
        name: chart.metadata.name.clone(),
        version: chart.metadata.version.clone(),
        content: chart.content(),
    });
    let chart = Chart {
        digest: archive.digest(),
        content: loaded.content(),
        subcharts: subcharts.collect(),
        values: Packed::new(&loaded.tree()),
        metadata: loaded.metadata,
        templates: loaded.templates,
        files: loaded.files,
        schema: loaded.schema,
        lock: loaded.lock,
        modified: loaded.modified,
        oddities,
    };
    Ok((chart, loaded.imports))
}

/// A chart or subchart in the making.
#[derive(Default)]
struct Loaded {
    metadata: Metadata,
    imports: Imports,
    templates: Vec<Part>,
    files: Vec<Part>,
    schema: Option<Sha256Digest>,
    lock: Option<Lock>,
    modified: Option<Timestamp>,
    values: Defaults,
    /// Digest of values.yaml.
    values_file: Option<Sha256Digest>,
    subcharts: Vec<Loaded>,
}

impl Loaded {
    fn new(files: Vec<File>, budget: &Budget, depth: usize) -> Result<Self, ArchiveError> {
        let limits = budget.limits();
        if depth > limits.chart_depth {
            return Err(ArchiveError::too_large(
                "depth of subcharts",
                limits.chart_depth,
            ));
        }
        budget.clone().chart()?;
        let mut chart = Self::default();
        let mut has_metadata = false;
        // First Chart.yaml, wherever it is in the archive.
        for file in files.iter().filter(|file| file.name == "Chart.yaml") {
            chart.merge_metadata(file, budget)?;
            // `LoadFiles` does so for charts of Helm 2, which had no apiVersion.
            if chart.metadata.api_version.is_empty() {
                "v1".clone_into(&mut chart.metadata.api_version);
            }
            chart.modified = file.modified;
            has_metadata = true;
        }
        let mut vendored = BTreeMap::<String, Vec<File>>::new();
        for file in files {
            chart.classify(file, budget, &mut vendored, &mut has_metadata)?;
        }
        if !has_metadata {
            return Err(Damage::NoChart.into());
        }
        // In the order of Helm: sanitised first, then validated. The other way round a name that is
        // valid only afterwards would be refused.
        chart.metadata.edit_sanitized(&sanitize);
        validate(&chart.metadata)?;
        if chart.metadata.has_longer_names(limits.name_bytes) {
            return Err(ArchiveError::too_large(
                "length of a chart's name and version",
                limits.name_bytes,
            ));
        }
        for (name, files) in vendored {
            chart.add_subchart(&name, files, budget, depth.saturating_add(1))?;
        }
        Ok(chart)
    }

    fn classify(
        &mut self,
        file: File,
        budget: &Budget,
        vendored: &mut BTreeMap<String, Vec<File>>,
        has_metadata: &mut bool,
    ) -> Result<(), ArchiveError> {
        match file.name.as_str() {
            "Chart.yaml" => {}
            "Chart.lock" => self.lock = read_lock(&file, budget)?,
            "values.yaml" => {
                self.values = defaults(&file, budget)?;
                self.values_file = part(&file).map(|part| part.digest);
            }
            "values.schema.json" => self.schema = schema(&file),
            // Helm 2 kept dependencies here. Every Helm still merges them, for charts of apiVersion
            // v2 too.
            "requirements.yaml" => {
                *has_metadata = true;
                self.merge_metadata(&file, budget)?;
                self.add_old_file(&file);
            }
            "requirements.lock" => {
                *has_metadata = true;
                self.lock = read_lock(&file, budget)?;
                self.add_old_file(&file);
            }
            name if name.starts_with("templates/") => self.templates.extend(part(&file)),
            name if name.starts_with("charts/") && extension(name) != ".prov" => {
                let name = name.strip_prefix("charts/").unwrap_or(name).to_owned();
                let folder = name.split('/').next().unwrap_or_default().to_owned();
                vendored
                    .entry(folder)
                    .or_default()
                    .push(File { name, ..file });
            }
            _ => self.files.extend(part(&file)),
        }
        Ok(())
    }

    fn merge_metadata(&mut self, file: &File, budget: &Budget) -> Result<(), ArchiveError> {
        let value = parse(file, budget)?;
        let merged = self.metadata.merge(&value);
        let merged = merged.and_then(|()| merge_imports(&mut self.imports, &value));
        merged.map_err(|_| damaged(file, WRONG_TYPE).into())
    }

    /// Adds what charts of apiVersion v1 also keep as a file.
    fn add_old_file(&mut self, file: &File) {
        if self.metadata.api_version == "v1" {
            self.files.extend(part(file));
        }
    }

    fn add_subchart(
        &mut self,
        folder: &str,
        files: Vec<File>,
        budget: &Budget,
        depth: usize,
    ) -> Result<(), ArchiveError> {
        // As `LoadFiles`: `helm dependency update` leaves such folders behind.
        if folder.starts_with(['_', '.']) {
            return Ok(());
        }
        let files = if extension(folder) == ".tgz" {
            vendored_archive(folder, files)
        } else {
            vendored_folder(files)
        };
        let chart = Loaded::new(files, budget, depth).map_err(|error| match error {
            ArchiveError::Malformed(damage) => Damage::Subchart {
                name: folder.to_owned(),
                what: damage.to_string(),
            }
            .into(),
            other => other,
        })?;
        self.subcharts.push(chart);
        Ok(())
    }

    /// Digest of all that Helm installs of it. `helm package` writes Chart.yaml anew, and lists subcharts and
    /// files as it found them: what they say counts, and no order. A lock is of no use to who installs.
    fn content(&self) -> Sha256Digest {
        let mut hasher = Hasher::new();
        // Invariant: plain structs of texts always serialize.
        hasher.field(&serde_json::to_vec(&self.metadata).unwrap_or_default());
        for digest in [self.schema, self.values_file] {
            hasher.field(digest.as_ref().map_or(&[], |digest| digest.as_bytes()));
        }
        for parts in [&self.templates, &self.files] {
            let parts = parts.iter().filter(|part| part.name != "requirements.lock");
            let mut sorted: Vec<_> = parts.map(|part| (&part.name, part.digest)).collect();
            sorted.sort();
            hasher.number(sorted.len());
            for (name, digest) in sorted {
                hasher.field(name.as_bytes());
                hasher.field(digest.as_bytes());
            }
        }
        let mut subcharts: Vec<_> = self.subcharts.iter().map(Self::content).collect();
        subcharts.sort();
        for subchart in subcharts {
            hasher.field(subchart.as_bytes());
        }
        hasher.finish()
    }

    /// Takes what coalescing values needs; without dependencies that is only the chart's own.
    fn tree(&self) -> Tree {
        // `ProcessDependencies` leaves values alone if the chart declares none, whatever lies in
        // `charts/`.
        let own = self.metadata.dependencies.is_empty();
        Tree {
            name: self.metadata.name.clone(),
            version: self.metadata.version.clone(),
            defaults: self.values.clone(),
            dependencies: self.metadata.dependencies.clone(),
            subcharts: if own {
                Vec::new()
            } else {
                self.subcharts.iter().map(Self::full_tree).collect()
            },
        }
    }

    fn full_tree(&self) -> Tree {
        Tree {
            subcharts: self.subcharts.iter().map(Self::full_tree).collect(),
            ..self.tree()
        }
    }
}

/// Helm looks at the first file of the group only; any other would have a different name.
fn vendored_archive(folder: &str, files: Vec<File>) -> Vec<File> {
    match files.into_iter().next() {
        Some(File {
            name,
            content: Content::Archive(files),
            ..
        }) if name == folder => files,
        _ => Vec::new(),
    }
}

/// Strips the folder; files directly in `charts/` are dropped, which leaves no Chart.yaml.
fn vendored_folder(files: Vec<File>) -> Vec<File> {
    let inner = |file: File| {
        let (_, name) = file.name.split_once('/')?;
        Some(File {
            name: name.to_owned(),
            ..file
        })
    };
    files.into_iter().filter_map(inner).collect()
}

fn part(file: &File) -> Option<Part> {
    match &file.content {
        Content::Bytes(digest, _) => Some(Part {
            name: file.name.clone(),
            digest: *digest,
            modified: file.modified,
            without_mark: None,
        }),
        Content::Archive(_) | Content::Dropped => None,
    }
}

fn schema(file: &File) -> Option<Sha256Digest> {
    part(file)
        .map(|part| part.digest)
        .filter(|digest| *digest != Sha256Digest::of(b""))
}

fn read_lock(file: &File, budget: &Budget) -> Result<Option<Lock>, ArchiveError> {
    if matches!(file.content, Content::Dropped) {
        return Ok(None);
    }
    Lock::read(&parse(file, budget)?).map_err(|_| damaged(file, WRONG_TYPE).into())
}

/// Reads values.yaml. What our YAML reader cannot read is no reason to refuse the chart, since
/// values are never proof of anything; it is noted instead.
fn defaults(file: &File, budget: &Budget) -> Result<Defaults, ArchiveError> {
    let Ok(text) = text(file) else {
        return Ok(Defaults::Unreadable);
    };
    let read = |text: &str| {
        let value = yaml::document(text, Reading::AsHelm, &budget.yaml())?;
        budget.nodes(value.nodes());
        Ok(value)
    };
    match Defaults::read(text, read) {
        Ok(defaults) => Ok(defaults),
        Err(YamlError::TooLarge) => Err(too_large(budget)),
        Err(_) => Ok(Defaults::Unreadable),
    }
}

fn parse(file: &File, budget: &Budget) -> Result<Value, ArchiveError> {
    let value = yaml::document(text(file)?, Reading::AsHelm, &budget.yaml());
    let value = value.map_err(|error| match error {
        YamlError::TooLarge => too_large(budget),
        YamlError::NotJson => damaged(file, "it cannot be turned into JSON").into(),
        YamlError::NotPlain | YamlError::Syntax => damaged(file, "it is not YAML").into(),
    })?;
    budget.nodes(value.nodes());
    Ok(value)
}

fn too_large(budget: &Budget) -> ArchiveError {
    ArchiveError::too_large("values in YAML documents", budget.limits().yaml.nodes)
}

fn text(file: &File) -> Result<&str, Damage> {
    match &file.content {
        Content::Bytes(_, Some(bytes)) => {
            std::str::from_utf8(bytes).map_err(|_| damaged(file, "it is not UTF-8"))
        }
        _ => Err(damaged(file, "it was not kept")),
    }
}

fn damaged(file: &File, what: &'static str) -> Damage {
    Damage::Document {
        file: file.name.clone(),
        what,
    }
}

const WRONG_TYPE: &str = "a field has the wrong type";
