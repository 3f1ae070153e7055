//! Chart values: what Helm makes of values.yaml, the user's values and subcharts.
//!
//! Values decide which dependencies are recorded; beyond that they are never proof of anything.
//! Touches nothing but values.

mod process;
mod table;

use std::fmt;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value as Json};

use crate::chart::metadata::Dependency;
use crate::wiped::Wipe as _;
use crate::yaml::{Value, YamlError, float64};

pub(crate) use process::{Expected, expected};
pub(crate) use table::Unmergeable;

/// What values.yaml says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum Defaults {
    /// There is no values.yaml.
    #[default]
    Absent,
    /// Our YAML reader cannot read it.
    Unreadable,
    /// The first document, as Helm 3 reads it, and all merged, as Helm 4 does, if that differs.
    Read { first: Json, merged: Option<Json> },
}

impl Defaults {
    /// Reads the text of values.yaml, given a reader of one document.
    ///
    /// # Errors
    /// Fails where Helm does: the text is no YAML, not a mapping, or has no JSON form.
    pub(crate) fn read(
        text: &str,
        read: impl Fn(&str) -> Result<Value, YamlError>,
    ) -> Result<Self, YamlError> {
        let first = table(read(text)?)?;
        let documents = documents(text);
        // Most have one document, which need not be read twice.
        if documents == [text.strip_prefix("---\n").unwrap_or(text)] {
            return Ok(Self::Read {
                first,
                merged: None,
            });
        }
        let mut merged = Json::Object(Map::new());
        for document in documents {
            match read(&document).and_then(table) {
                Ok(document) => merge(&mut merged, document),
                Err(YamlError::TooLarge) => return Err(YamlError::TooLarge),
                // Helm 4 cannot load the chart, Helm 3 can.
                Err(_) => {
                    return Ok(Self::Read {
                        first,
                        merged: None,
                    });
                }
            }
        }
        let merged = (merged != first).then_some(merged);
        Ok(Self::Read { first, merged })
    }

    /// Returns the values as one of the readings sees them; what is not there is an empty table.
    fn under(&self, reader: Helm) -> Json {
        match (self, reader) {
            (Self::Absent | Self::Unreadable, _) => Json::Object(Map::new()),
            (
                Self::Read {
                    merged: Some(merged),
                    ..
                },
                Helm::V4,
            ) => merged.clone(),
            (Self::Read { first, .. }, _) => first.clone(),
        }
    }
}

/// Which Helm read values.yaml and put the user's values over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Helm {
    V3,
    V4,
}

/// A chart and its subcharts, as far as values are concerned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tree {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) defaults: Defaults,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) subcharts: Vec<Tree>,
}

impl Tree {
    /// Says whether every values.yaml in it could be read.
    pub(crate) fn is_readable(&self) -> bool {
        self.defaults != Defaults::Unreadable && self.subcharts.iter().all(Self::is_readable)
    }
}

/// A [`Tree`] as JSON, compressed where it is long: charts are kept for long, values are needed rarely. To inflate a few
/// kilobytes takes several times as long as to read them.
#[derive(Clone)]
pub(crate) enum Packed {
    Plain(Box<[u8]>),
    Deflated(Box<[u8]>),
}

/// Most bytes that are kept as they are.
const PLAIN: usize = 4 << 10;

impl Packed {
    pub(crate) fn new(tree: &Tree) -> Self {
        // Invariant: writing to memory cannot fail; an empty result unpacks to `None`.
        let json = serde_json::to_vec(tree).unwrap_or_default();
        if json.len() <= PLAIN {
            return Self::Plain(json.into_boxed_slice());
        }
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        let written = encoder.write_all(&json).ok();
        let packed = written
            .and_then(|()| encoder.finish().ok())
            .unwrap_or_default();
        Self::Deflated(packed.into_boxed_slice())
    }

    /// Bytes of memory.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Plain(bytes) | Self::Deflated(bytes) => bytes.len(),
        }
    }

    /// Returns the tree; `None` never happens for what [`Packed::new`] made.
    pub(crate) fn tree(&self) -> Option<Tree> {
        let deflated = match self {
            Self::Plain(json) => return serde_json::from_slice(json).ok(),
            Self::Deflated(bytes) => bytes.as_ref(),
        };
        let mut json = Vec::new();
        DeflateDecoder::new(deflated).read_to_end(&mut json).ok()?;
        serde_json::from_slice(&json).ok()
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packed({} bytes)", self.weight())
    }
}

/// Values out of a record: they may hold passwords, so they are wiped when dropped and never
/// printed.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Secret(Json);

impl Secret {
    pub(crate) fn new(values: Json) -> Self {
        Self(values)
    }

    pub(crate) fn json(&self) -> &Json {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Json) {
    match value {
        Json::String(text) => text.wipe(),
        Json::Array(items) => items.iter_mut().for_each(wipe),
        Json::Object(map) => map.values_mut().for_each(wipe),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// Compares values; all numbers are `float64`, and nothing at the top is an empty table.
pub(crate) fn same(left: &Json, right: &Json) -> bool {
    let empty = Json::Object(Map::new());
    let (left, right) = if left.is_null() {
        (&empty, right)
    } else {
        (left, right)
    };
    equal(left, if right.is_null() { &empty } else { right })
}

fn equal(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Number(left), Json::Number(right)) => left.as_f64() == right.as_f64(),
        (Json::Array(left), Json::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| equal(left, right))
        }
        (Json::Object(left), Json::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, value)| right.get(key).is_some_and(|other| equal(value, other)))
        }
        _ => left == right,
    }
}

/// Turns a document into JSON; Helm wants a mapping or nothing.
fn table(value: Value) -> Result<Json, YamlError> {
    match value {
        Value::Null => Ok(Json::Object(Map::new())),
        Value::Map(_) => json(value),
        _ => Err(YamlError::NotJson),
    }
}

/// Turns a value into JSON as Go's `json.Marshal` and `json.Unmarshal` do: numbers are `float64`.
fn json(value: Value) -> Result<Json, YamlError> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(yes) => Json::Bool(yes),
        Value::Int(number) => float(float64(number))?,
        Value::Float(number) => float(number)?,
        Value::Text(text) => Json::String(text),
        Value::List(items) => items.into_iter().map(json).collect::<Result<_, _>>()?,
        Value::Map(pairs) => {
            let pairs = pairs
                .into_iter()
                .map(|(key, value)| Ok((key, json(value)?)));
            Json::Object(pairs.collect::<Result<_, _>>()?)
        }
    })
}

fn float(number: f64) -> Result<Json, YamlError> {
    Number::from_f64(number)
        .map(Json::Number)
        .ok_or(YamlError::NotJson)
}

/// Splits a stream of documents as Kubernetes' `YAMLReader` does, which Helm 4 uses.
fn documents(text: &str) -> Vec<String> {
    let mut documents = Vec::new();
    let mut document = String::new();
    for line in text.split_inclusive('\n') {
        if line.starts_with("---") {
            documents.push(std::mem::take(&mut document));
        } else {
            document.push_str(line);
        }
    }
    if !document.is_empty() && !document.ends_with('\n') {
        document.push('\n');
    }
    documents.push(document);
    documents.retain(|document| !document.is_empty());
    documents
}

/// Helm 4's `MergeMaps`: the later document wins, tables are merged.
fn merge(target: &mut Json, later: Json) {
    match (target, later) {
        (Json::Object(target), Json::Object(later)) => {
            for (key, value) in later {
                match target.get_mut(&key) {
                    Some(old) => merge(old, value),
                    None => drop(target.insert(key, value)),
                }
            }
        }
        (target, later) => *target = later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::YamlLimits;
    use crate::yaml::{Reading, document};
    use serde_json::json;

    fn read(text: &str) -> Result<Defaults, YamlError> {
        Defaults::read(text, |text| {
            document(text, Reading::AsHelm, &YamlLimits::default())
        })
    }

    #[test]
    fn helm_3_reads_the_first_document_and_helm_4_merges_all() {
        let defaults = read("a: {x: 1, z: 1}\nb: 1\n---\na: {z: 2}\n--- \nb: null\n").unwrap();
        let first = json!({"a": {"x": 1.0, "z": 1.0}, "b": 1.0});
        let merged = json!({"a": {"x": 1.0, "z": 2.0}, "b": null});
        assert_eq!(
            defaults,
            Defaults::Read {
                first,
                merged: Some(merged)
            }
        );
    }

    #[test]
    fn empty_values_are_an_empty_table_and_other_types_are_refused() {
        for text in ["", "# nothing\n", "null\n", "{}\n"] {
            assert_eq!(
                read(text),
                Ok(Defaults::Read {
                    first: json!({}),
                    merged: None
                }),
                "{text}"
            );
        }
        assert_eq!(read("[1]\n"), Err(YamlError::NotJson));
        assert_eq!(read("a: .nan\n"), Err(YamlError::NotJson));
    }

    #[test]
    fn broken_second_document_is_no_matter_for_helm_3() {
        let first = json!({"a": 1.0});
        assert_eq!(
            read("a: 1\n---\n[b\n"),
            Ok(Defaults::Read {
                first,
                merged: None
            })
        );
    }

    #[test]
    fn numbers_are_compared_as_floats() {
        assert!(same(&json!({"a": [1]}), &json!({"a": [1.0]})));
        assert!(!same(&json!({"a": 1}), &json!({"a": "1"})));
        assert!(same(&json!(null), &json!({})));
        assert!(!same(&json!({"a": null}), &json!({})));
    }

    #[test]
    fn packed_tree_unpacks_to_itself() {
        let tree = |values: &str| Tree {
            name: "a".to_owned(),
            version: "1.0.0".to_owned(),
            defaults: read(values).unwrap(),
            dependencies: vec![Dependency {
                name: "b".to_owned(),
                ..Dependency::default()
            }],
            subcharts: Vec::new(),
        };
        let long = format!("a: {}\n", "b".repeat(PLAIN));
        for (values, is_plain) in [("a: 1\n", true), (&long, false)] {
            let tree = tree(values);
            let packed = Packed::new(&tree);
            assert_eq!(matches!(packed, Packed::Plain(_)), is_plain);
            assert!(packed.weight() < PLAIN);
            assert_eq!(packed.tree(), Some(tree));
        }
    }
}
