//! The files of a chart within a record, and what Helm installs of them as definitions.

use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::error::RecordError;
use super::json::{Fields, Known, Text, Time};
use super::manifest::{self, Manifest};
use crate::chart::{MARK, Part};
use crate::digest::Sha256Digest;
use crate::limits::RecordLimits;
use crate::wiped::Wiped;

/// What is no definition among what a chart installs as such: Helm looks at none of it.
pub(super) fn definitions(
    texts: &[Wiped<String>],
    limits: &RecordLimits,
) -> Result<Manifest, RecordError> {
    let texts: Vec<&str> = texts.iter().map(|text| text.as_str()).collect();
    let all = Wiped::new(texts.join("\n---\n"));
    let mut found = manifest::objects(&all, limits)?;
    found
        .objects
        .retain(|object| object.kind != "CustomResourceDefinition");
    Ok(found)
}

/// A list of files, and what Helm installs of them as definitions; null is an empty one.
#[derive(Default)]
pub(super) struct Files(pub(super) Vec<Part>, pub(super) Vec<Wiped<String>>);

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FilesVisitor)
    }
}

struct FilesVisitor;

impl<'de> Visitor<'de> for FilesVisitor {
    type Value = Files;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of files")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Files::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let (mut files, mut definitions) = (Vec::new(), Vec::new());
        while let Some(Fields(file)) = items.next_element::<Fields<File<'de>>>()? {
            definitions.extend(file.definitions());
            files.push(file.into());
        }
        Ok(Files(files, definitions))
    }
}

/// One item of `templates` or `files`.
#[derive(Default)]
struct File<'de> {
    name: Text<'de>,
    data: Data,
    encoded: Text<'de>,
    modified: Option<Timestamp>,
}

impl<'de> Known<'de> for File<'de> {
    const KEYS: &'static [&'static str] = &["name", "data", "modtime"];

    fn set<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "name" => self.name = map.next_value()?,
            "data" => {
                self.encoded = map.next_value()?;
                self.data = Data::of(&self.encoded).map_err(A::Error::custom)?;
            }
            _ => self.modified = map.next_value::<Time>()?.0,
        }
        Ok(())
    }
}

impl File<'_> {
    /// What Helm installs of it before all else, without its marks, if it is a file of such
    /// (`pkg/chart/v2/chart.go`).
    fn definitions(&self) -> Option<Wiped<String>> {
        let name = self.name.0.as_ref();
        let is_read = [".json", ".yaml", ".yml"]
            .iter()
            .any(|end| name.ends_with(end));
        let is_one = is_read && name.starts_with("crds/");
        let bytes = is_one.then(|| Wiped::of_base64(self.encoded.0.as_bytes()))??;
        Some(Wiped::new(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

impl From<File<'_>> for Part {
    fn from(file: File<'_>) -> Self {
        Self {
            name: file.name.0.into_owned(),
            digest: file.data.digest.unwrap_or_else(|| Sha256Digest::of(b"")),
            modified: file.modified,
            without_mark: file.data.without_mark,
        }
    }
}

/// Base64 that is hashed at once.
#[derive(Default)]
pub(super) struct Data {
    pub(super) digest: Option<Sha256Digest>,
    pub(super) without_mark: Option<Sha256Digest>,
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        Self::of(&text).map_err(D::Error::custom)
    }
}

impl Data {
    fn of(text: &Text<'_>) -> Result<Self, &'static str> {
        let bytes = Wiped::of_base64(text.0.as_bytes()).ok_or("no base64")?;
        let without_mark = bytes.strip_prefix(&MARK).map(Sha256Digest::of);
        let digest = Some(Sha256Digest::of(&bytes));
        Ok(Self {
            digest,
            without_mark,
        })
    }
}
