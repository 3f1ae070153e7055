//! The JSON of a record (`pkg/release/v1/release.go`, `pkg/chart/v2/chart.go`).
//!
//! Go's decoder takes keys in any case and lets repetitions merge. Helm never writes such a record,
//! so both are refused: what we read is what Helm reads.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;
use zeroize::{Zeroize, Zeroizing};

use super::error::RecordError;
use super::manifest::{self, Manifest};
use super::{Record, RecordedChart};
use crate::chart::{self, Lock, MARK, Metadata, Part, folds};
use crate::digest::Sha256Digest;
use crate::limits::RecordLimits;
use crate::values::Secret;
use crate::yaml::Value;

/// Decodes the JSON of a record.
pub(super) fn record(json: &[u8], limits: &RecordLimits) -> Result<Record, RecordError> {
    // Before serde allocates for any of them: a value of two bytes takes up to 120 in memory, so
    // that 16 MiB of brackets would take a GiB.
    if has_more_values(json, limits.values) {
        return Err(RecordError::TooLarge {
            what: "number of values",
            limit: limits.values,
        });
    }
    let Fields(release): Fields<Release<'_>> =
        serde_json::from_slice(json).map_err(|error| RecordError::Json {
            line: error.line(),
            column: error.column(),
        })?;
    let chart = release.chart.ok_or(RecordError::Missing("chart"))?;
    if chart.templates.len().saturating_add(chart.files.len()) > limits.parts {
        return Err(RecordError::TooLarge {
            what: "number of files",
            limit: limits.parts,
        });
    }
    if release.name.0.is_empty() {
        return Err(RecordError::Missing("name"));
    }
    // Helm counts revisions from 1. A record without one was not written by Helm.
    if release.version < 1 {
        return Err(RecordError::Missing("revision"));
    }
    let text = Zeroizing::new(release.manifest.0.into_owned());
    let manifest = manifest::objects(&text, limits)?;
    let hooks = hooks(release.hooks, limits)?;
    let info = release.info;
    Ok(Record {
        name: release.name.0.into_owned(),
        namespace: release.namespace.0.into_owned(),
        revision: release.version,
        // Invariant: parsing a status cannot fail.
        // A status that a later Helm invents makes no record unreadable: which revisions are judged
        // says the label.
        status: info.status.0.parse().unwrap_or(super::Status::Unknown),
        chart: chart.into_chart(limits)?,
        objects: manifest.objects,
        stopped: manifest.stopped,
        hooks: hooks.objects,
        helm_release: manifest.mark.before(hooks.mark),
        unread_objects: manifest.unread.saturating_add(hooks.unread),
        // Only Helm 4 writes it (`ssa` or `csa`), which tells how the record was made.
        apply_method: Some(release.apply_method.0.into_owned()).filter(|text| !text.is_empty()),
        first_deployed: info.first_deployed,
        last_deployed: info.last_deployed,
        config: Secret::new(release.config),
    })
}

/// Together they may list as many objects as a manifest.
fn hooks(hooks: Vec<Hook>, limits: &RecordLimits) -> Result<Manifest, RecordError> {
    let texts = hooks.into_iter().map(|hook| hook.manifest.0.into_owned());
    let all = Zeroizing::new(texts.collect::<Vec<_>>().join("\n---\n"));
    manifest::objects(&all, limits)
}

/// Whether there are more values than this, counted before any takes memory.
fn has_more_values(json: &[u8], limit: usize) -> bool {
    let begins_value = |byte: &u8| matches!(byte, b'[' | b'{' | b',');
    // Most text is in strings, and most records are small.
    // Counting bytes costs less than following the strings, and nearly every record passes here.
    if json.iter().filter(|byte| begins_value(byte)).count() <= limit {
        return false;
    }
    let mut count = 0_usize;
    let (mut in_text, mut is_escaped) = (false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            byte if !in_text && begins_value(byte) => count = count.saturating_add(1),
            _ => {}
        }
    }
    count > limit
}

#[derive(Default)]
struct Release<'de> {
    name: Text<'de>,
    namespace: Text<'de>,
    version: i64,
    info: Info<'de>,
    chart: Option<Chart>,
    config: Json,
    manifest: Text<'de>,
    hooks: Vec<Hook<'de>>,
    apply_method: Text<'de>,
}

#[derive(Default)]
struct Info<'de> {
    status: Text<'de>,
    first_deployed: Option<Timestamp>,
    last_deployed: Option<Timestamp>,
}

#[derive(Default)]
struct Chart {
    metadata: Option<Value>,
    lock: Option<Value>,
    templates: Vec<Part>,
    files: Vec<Part>,
    values: Json,
    schema: Option<Sha256Digest>,
    schema_without_mark: Option<Sha256Digest>,
    modified: Option<Timestamp>,
}

impl Chart {
    fn into_chart(self, limits: &RecordLimits) -> Result<RecordedChart, RecordError> {
        let metadata = self
            .metadata
            .ok_or(RecordError::Missing("chart metadata"))?;
        let metadata = read_metadata(&metadata)?;
        if metadata.has_longer_names(limits.name_bytes) {
            return Err(RecordError::TooLarge {
                what: "length of the chart's name and version",
                limit: limits.name_bytes,
            });
        }
        Ok(RecordedChart {
            metadata,
            templates: self.templates,
            files: self.files,
            schema: self.schema,
            schema_without_mark: self.schema_without_mark,
            lock: read_lock(self.lock.as_ref())?,
            modified: self.modified,
            values: Secret::new(self.values),
        })
    }
}

fn read_metadata(value: &Value) -> Result<Metadata, RecordError> {
    chart::decode_metadata(value).map_err(|_| RecordError::Missing("readable chart metadata"))
}

fn read_lock(value: Option<&Value>) -> Result<Option<Lock>, RecordError> {
    let lock = chart::decode_lock(value.unwrap_or(&Value::Null));
    lock.map_err(|_| RecordError::Missing("readable lock"))
}

/// A JSON object whose known keys are read into `T`.
trait Known<'de>: Default {
    const KEYS: &'static [&'static str];

    fn set<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

impl<'de> Known<'de> for Release<'de> {
    const KEYS: &'static [&'static str] = &[
        "name",
        "info",
        "chart",
        "config",
        "manifest",
        "hooks",
        "version",
        "namespace",
        "apply_method",
    ];

    fn set<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "name" => self.name = map.next_value()?,
            "info" => self.info = map.next_value::<Fields<_>>()?.0,
            "chart" => {
                self.chart = map
                    .next_value::<Option<Fields<_>>>()?
                    .map(|fields| fields.0);
            }
            "config" => self.config = map.next_value()?,
            "manifest" => self.manifest = map.next_value()?,
            "hooks" => {
                let Lenient(Hooks(hooks)) = map.next_value()?;
                self.hooks = hooks;
            }
            "version" => self.version = map.next_value()?,
            "namespace" => self.namespace = map.next_value()?,
            _ => self.apply_method = map.next_value()?,
        }
        Ok(())
    }
}

/// What Helm applies beside the manifest, at its own time.
#[derive(Default)]
struct Hook<'de> {
    manifest: Text<'de>,
}

impl<'de> Known<'de> for Hook<'de> {
    const KEYS: &'static [&'static str] = &["manifest"];

    fn set<A: MapAccess<'de>>(&mut self, _: &str, map: &mut A) -> Result<(), A::Error> {
        self.manifest = map.next_value()?;
        Ok(())
    }
}

/// A list of hooks.
#[derive(Default)]
struct Hooks<'de>(Vec<Hook<'de>>);

/// What Helm would not read is none: a record is judged whatever stands among its hooks.
trait Readable<'de>: Default {
    fn map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }

    fn list<A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

impl<'de> Readable<'de> for Hook<'de> {
    fn map<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        FieldsVisitor(PhantomData)
            .visit_map(map)
            .map(|fields| fields.0)
    }
}

impl<'de> Readable<'de> for Hooks<'de> {
    fn list<A: SeqAccess<'de>>(mut items: A) -> Result<Self, A::Error> {
        let mut hooks = Vec::new();
        while let Some(Lenient(hook)) = items.next_element()? {
            hooks.push(hook);
        }
        Ok(Self(hooks))
    }
}

struct Lenient<T>(T);

impl<'de, T: Readable<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LenientVisitor(PhantomData))
    }
}

struct LenientVisitor<T>(PhantomData<T>);

impl<'de, T: Readable<'de>> Visitor<'de> for LenientVisitor<T> {
    type Value = Lenient<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Lenient(T::default()))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Lenient(T::default()))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Lenient(T::default()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::map(map).map(Lenient)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        T::list(items).map(Lenient)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Lenient(T::default()))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Lenient(T::default()))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Lenient(T::default()))
    }
}

impl<'de> Known<'de> for Info<'de> {
    const KEYS: &'static [&'static str] = &["status", "first_deployed", "last_deployed"];

    fn set<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "status" => self.status = map.next_value()?,
            "first_deployed" => self.first_deployed = map.next_value::<Time>()?.0,
            _ => self.last_deployed = map.next_value::<Time>()?.0,
        }
        Ok(())
    }
}

impl<'de> Known<'de> for Chart {
    const KEYS: &'static [&'static str] = &[
        "metadata",
        "lock",
        "templates",
        "values",
        "schema",
        "schemamodtime",
        "files",
        "modtime",
    ];

    fn set<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "metadata" => self.metadata = Some(map.next_value()?),
            "lock" => self.lock = Some(map.next_value()?),
            "templates" => self.templates = map.next_value::<Files>()?.0,
            "values" => self.values = map.next_value()?,
            "schema" => {
                let data: Data = map.next_value()?;
                self.schema = data
                    .digest
                    // Go writes a missing schema as null and an empty one as an empty text;
                    // archives know no difference.
                    .filter(|digest| *digest != Sha256Digest::of(b""));
                self.schema_without_mark = data.without_mark;
            }
            "files" => self.files = map.next_value::<Files>()?.0,
            "modtime" => self.modified = map.next_value::<Time>()?.0,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

/// One item of `templates` or `files`.
#[derive(Default)]
struct File<'de> {
    name: Text<'de>,
    data: Data,
    modified: Option<Timestamp>,
}

impl<'de> Known<'de> for File<'de> {
    const KEYS: &'static [&'static str] = &["name", "data", "modtime"];

    fn set<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "name" => self.name = map.next_value()?,
            "data" => self.data = map.next_value()?,
            _ => self.modified = map.next_value::<Time>()?.0,
        }
        Ok(())
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

/// Reads the known keys of an object; null is an empty one.
struct Fields<T>(T);

impl<'de, T: Known<'de>> Deserialize<'de> for Fields<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldsVisitor(PhantomData))
    }
}

struct FieldsVisitor<T>(PhantomData<T>);

impl<'de, T: Known<'de>> Visitor<'de> for FieldsVisitor<T> {
    type Value = Fields<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Fields(T::default()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut target = T::default();
        let mut seen = 0_u32;
        while let Some(Text(key)) = map.next_key()? {
            let Some(index) = T::KEYS.iter().position(|known| folds(&key, known)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let bit = u32::try_from(index).map_or(0, |index| 1_u32.wrapping_shl(index));
            // Helm takes both spellings, and the last wins: what we compare would not be what Helm
            // applies.
            let exact = T::KEYS.get(index).is_some_and(|known| *known == key);
            if !exact || seen & bit != 0 {
                return Err(A::Error::custom("repeated key, or key in another case"));
            }
            seen |= bit;
            target.set(&key, &mut map)?;
        }
        Ok(Fields(target))
    }
}

/// A list of files; null is an empty one.
#[derive(Default)]
struct Files(Vec<Part>);

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
        let mut files = Vec::new();
        while let Some(Fields(file)) = items.next_element::<Fields<File<'de>>>()? {
            files.push(file.into());
        }
        Ok(Files(files))
    }
}

/// A text, borrowed where it has no escapes; null is an empty one.
#[derive(Default)]
struct Text<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Text::default())
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text)))
    }
}

/// Base64 that is hashed at once.
#[derive(Default)]
struct Data {
    digest: Option<Sha256Digest>,
    without_mark: Option<Sha256Digest>,
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        let mut bytes = STANDARD
            .decode(text.as_bytes())
            .map_err(|_| D::Error::custom("no base64"))?;
        let without_mark = bytes.strip_prefix(&MARK).map(Sha256Digest::of);
        let digest = Some(Sha256Digest::of(&bytes));
        bytes.zeroize();
        Ok(Self {
            digest,
            without_mark,
        })
    }
}

/// An RFC 3339 instant; null, empty and Go's zero time are none.
struct Time(Option<Timestamp>);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        let mut time = None;
        let read = chart::instant(&mut time, &Value::Text(text.into_owned()));
        read.map(|()| Self(time)).map_err(D::Error::custom)
    }
}

/// Metadata and locks have no numbers.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without numbers")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<Value, E> {
        Ok(Value::Bool(yes))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut pairs: Vec<(String, Value)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            // Fields in another case, or twice, would be merged by Go.
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom("repeated key"));
            }
            pairs.push((key, value));
        }
        Ok(Value::Map(pairs))
    }
}
