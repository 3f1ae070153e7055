//! Chart.yaml and Chart.lock as Helm's typed structs (`pkg/chart/v2/metadata.go`,
//! `dependency.go`).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::json::{Mismatch, field, flag, folds, list, merge_objects, merge_texts, text, texts};
use crate::yaml::Value;

/// What Chart.yaml says, as Helm's loader holds it. Absent, null and empty are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the fields are those of Chart.yaml")]
pub struct Metadata {
    pub name: String,
    pub home: String,
    pub sources: Vec<String>,
    pub version: String,
    pub description: String,
    pub keywords: Vec<String>,
    pub maintainers: Vec<Maintainer>,
    pub icon: String,
    pub api_version: String,
    pub condition: String,
    pub tags: String,
    pub app_version: String,
    pub deprecated: bool,
    pub annotations: BTreeMap<String, String>,
    pub kube_version: String,
    pub dependencies: Vec<Dependency>,
    /// `application` or `library`; the field `type`.
    pub kind: String,
}

/// One item of `maintainers`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the fields are those of Chart.yaml")]
pub struct Maintainer {
    pub name: String,
    pub email: String,
    pub url: String,
}

/// One item of `dependencies`, in Chart.yaml, requirements.yaml or a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of Chart.yaml")]
pub struct Dependency {
    pub name: String,
    pub version: String,
    pub repository: String,
    pub condition: String,
    pub tags: Vec<String>,
    pub enabled: bool,
    pub import_values: Vec<ImportValue>,
    pub alias: String,
}

/// One item of `import-values`, in the form that Helm records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ImportValue {
    /// Path of the table in the subchart.
    pub child: String,
    /// Path in the chart that it is merged into; `.` is the top.
    pub parent: String,
}

/// What Chart.lock or requirements.lock says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lock {
    /// The instant it was made; `None` is Go's zero time, `0001-01-01T00:00:00Z`.
    pub generated: Option<Timestamp>,
    /// Helm's digest of the declared dependencies.
    pub digest: String,
    /// The exact versions.
    pub dependencies: Vec<Dependency>,
}

impl Metadata {
    /// Decodes `value` into what is already there, as Go's `json.Unmarshal` into a used struct.
    pub(crate) fn merge(&mut self, value: &Value) -> Result<(), Mismatch> {
        let Value::Map(pairs) = value else {
            return super::json::only_null(value);
        };
        for (key, value) in pairs {
            let Some(name) = field(key, &METADATA_FIELDS) else {
                continue;
            };
            self.merge_field(name, value)?;
        }
        Ok(())
    }

    fn merge_field(&mut self, name: &str, value: &Value) -> Result<(), Mismatch> {
        match name {
            "annotations" => merge_texts(&mut self.annotations, value),
            "dependencies" => merge_objects(&mut self.dependencies, value, Dependency::merge),
            "deprecated" => flag(&mut self.deprecated, value),
            "keywords" => texts(&mut self.keywords, value),
            "maintainers" => merge_objects(&mut self.maintainers, value, Maintainer::merge),
            "sources" => texts(&mut self.sources, value),
            _ => match self.text_field(name) {
                Some(target) => text(target, value),
                None => Ok(()),
            },
        }
    }

    fn text_field(&mut self, name: &str) -> Option<&mut String> {
        Some(match name {
            "apiVersion" => &mut self.api_version,
            "appVersion" => &mut self.app_version,
            "condition" => &mut self.condition,
            "description" => &mut self.description,
            "home" => &mut self.home,
            "icon" => &mut self.icon,
            "kubeVersion" => &mut self.kube_version,
            "name" => &mut self.name,
            "tags" => &mut self.tags,
            "type" => &mut self.kind,
            "version" => &mut self.version,
            _ => return None,
        })
    }

    /// Whether name or version is longer than this.
    pub(crate) fn has_longer_names(&self, bytes: usize) -> bool {
        self.name.len() > bytes || self.version.len() > bytes
    }

    /// Bytes of memory, about.
    pub(super) fn weight(&self) -> usize {
        let texts = self.sources.len().saturating_add(self.keywords.len());
        let all = [
            text_bytes(self),
            size_of::<Self>(),
            texts.saturating_mul(size_of::<String>()),
            // A node of a map has room for eleven pairs, and is half empty at worst.
            self.annotations
                .len()
                .saturating_mul(size_of::<[String; 4]>()),
            self.maintainers
                .len()
                .saturating_mul(size_of::<Maintainer>()),
            self.dependencies.iter().map(Dependency::weight).sum(),
        ];
        all.into_iter().sum()
    }

    /// Applies `edit` to every text that Helm sanitises (`Metadata.Validate`).
    pub(crate) fn edit_sanitized(&mut self, edit: &dyn Fn(&mut String)) {
        for text in [
            &mut self.name,
            &mut self.description,
            &mut self.home,
            &mut self.icon,
            &mut self.condition,
            &mut self.tags,
            &mut self.app_version,
            &mut self.kube_version,
        ] {
            edit(text);
        }
        self.sources
            .iter_mut()
            .chain(&mut self.keywords)
            .for_each(edit);
        for maintainer in &mut self.maintainers {
            let texts = [
                &mut maintainer.name,
                &mut maintainer.email,
                &mut maintainer.url,
            ];
            texts.into_iter().for_each(edit);
        }
        for dependency in &mut self.dependencies {
            dependency.edit_sanitized(edit);
        }
    }
}

impl Maintainer {
    fn merge(&mut self, value: &Value) -> Result<(), Mismatch> {
        let Value::Map(pairs) = value else {
            return Err(Mismatch);
        };
        for (key, value) in pairs {
            match field(key, &["name", "email", "url"]) {
                Some("name") => text(&mut self.name, value)?,
                Some("email") => text(&mut self.email, value)?,
                Some(_) => text(&mut self.url, value)?,
                None => {}
            }
        }
        Ok(())
    }
}

impl Dependency {
    fn merge(&mut self, value: &Value) -> Result<(), Mismatch> {
        let Value::Map(pairs) = value else {
            return Err(Mismatch);
        };
        for (key, value) in pairs {
            match field(key, &DEPENDENCY_FIELDS).unwrap_or_default() {
                "alias" => text(&mut self.alias, value)?,
                "condition" => text(&mut self.condition, value)?,
                "enabled" => flag(&mut self.enabled, value)?,
                "import-values" => self.import_values = imports(value)?,
                "name" => text(&mut self.name, value)?,
                "repository" => text(&mut self.repository, value)?,
                "tags" => texts(&mut self.tags, value)?,
                "version" => text(&mut self.version, value)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn edit_sanitized(&mut self, edit: &dyn Fn(&mut String)) {
        let texts = [
            &mut self.name,
            &mut self.version,
            &mut self.repository,
            &mut self.condition,
        ];
        texts.into_iter().for_each(edit);
        self.tags.iter_mut().for_each(edit);
    }

    fn weight(&self) -> usize {
        let tags = self.tags.len().saturating_mul(size_of::<String>());
        let imports = self
            .import_values
            .len()
            .saturating_mul(size_of::<ImportValue>());
        size_of::<Self>()
            .saturating_add(tags)
            .saturating_add(imports)
    }

    /// Returns the name under which the subchart's values are found: the alias, if there is one.
    pub fn alias_or_name(&self) -> &str {
        if self.alias.is_empty() {
            &self.name
        } else {
            &self.alias
        }
    }
}

/// Decodes `import-values` of each dependency as Chart.yaml has them. Helm signs them so, and not in the form
/// that it records.
pub(crate) fn merge_imports(target: &mut Imports, value: &Value) -> Result<(), Mismatch> {
    let Value::Map(pairs) = value else {
        return Ok(());
    };
    for (_, value) in pairs.iter().filter(|(key, _)| folds(key, "dependencies")) {
        merge_objects(target, value, |imports, item| {
            let Value::Map(pairs) = item else {
                return Err(Mismatch);
            };
            for (_, value) in pairs.iter().filter(|(key, _)| folds(key, "import-values")) {
                *imports = list(value)?.to_vec();
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// For each dependency its `import-values`.
pub(crate) type Imports = Vec<Vec<Value>>;

/// Bytes of all texts: as JSON, which is a little more.
fn text_bytes(value: &impl Serialize) -> usize {
    let mut counted = Counted(0);
    // Invariant: plain structs of texts always serialize, and counting cannot fail.
    serde_json::to_writer(&mut counted, value).unwrap_or_default();
    counted.0
}

/// A writer that keeps nothing.
struct Counted(usize);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lock {
    /// Bytes of memory, about.
    pub(super) fn weight(&self) -> usize {
        let dependencies: usize = self.dependencies.iter().map(Dependency::weight).sum();
        text_bytes(self).saturating_add(dependencies)
    }

    /// Decodes a lock; null is none.
    pub(crate) fn read(value: &Value) -> Result<Option<Self>, Mismatch> {
        let Value::Map(pairs) = value else {
            return super::json::only_null(value).map(|()| None);
        };
        let mut lock = Self::default();
        for (key, value) in pairs {
            match field(key, &["generated", "digest", "dependencies"]) {
                Some("generated") => instant(&mut lock.generated, value)?,
                Some("digest") => text(&mut lock.digest, value)?,
                Some(_) => merge_objects(&mut lock.dependencies, value, Dependency::merge)?,
                None => {}
            }
        }
        Ok(Some(lock))
    }
}

/// Reads RFC 3339, as Go's `time.Time` in JSON; null leaves the target alone.
pub(crate) fn instant(target: &mut Option<Timestamp>, value: &Value) -> Result<(), Mismatch> {
    match value {
        Value::Null => Ok(()),
        Value::Text(text) => {
            let instant: Timestamp = text.parse().map_err(|_| Mismatch)?;
            *target = (instant != zero_time()).then_some(instant);
            Ok(())
        }
        _ => Err(Mismatch),
    }
}

/// Go's zero time.
fn zero_time() -> Timestamp {
    Timestamp::from_second(-62_135_596_800).unwrap_or(Timestamp::MIN)
}

/// Reads `import-values` into the form that `processImportValues` records
/// (`pkg/chart/v2/util/dependencies.go`): items that are neither text nor map are dropped.
fn imports(value: &Value) -> Result<Vec<ImportValue>, Mismatch> {
    Ok(list(value)?.iter().filter_map(import).collect())
}

fn import(item: &Value) -> Option<ImportValue> {
    match item {
        Value::Text(name) => Some(ImportValue {
            child: format!("exports.{name}"),
            parent: ".".to_owned(),
        }),
        Value::Map(pairs) => {
            let last = |name: &str| {
                let value = pairs
                    .iter()
                    .rev()
                    .find(|(key, _)| key == name)
                    .map(|(_, value)| value);
                super::json::go_text(value.unwrap_or(&Value::Null))
            };
            Some(ImportValue {
                child: last("child"),
                parent: last("parent"),
            })
        }
        _ => None,
    }
}

const METADATA_FIELDS: [&str; 17] = [
    "annotations",
    "apiVersion",
    "appVersion",
    "condition",
    "dependencies",
    "deprecated",
    "description",
    "home",
    "icon",
    "keywords",
    "kubeVersion",
    "maintainers",
    "name",
    "sources",
    "tags",
    "type",
    "version",
];

const DEPENDENCY_FIELDS: [&str; 8] = [
    "alias",
    "condition",
    "enabled",
    "import-values",
    "name",
    "repository",
    "tags",
    "version",
];
