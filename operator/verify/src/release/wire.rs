//! The JSON of a record (`pkg/release/v1/release.go`, `pkg/chart/v2/chart.go`).
//!
//! Go's decoder takes keys in any case and lets repetitions merge. Helm never writes such a record,
//! so both are refused: what we read is what Helm reads.

use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use super::error::RecordError;
use super::files::{Data, Files, definitions};
use super::json::{Fields, FieldsVisitor, Known, Text, Time};
use super::manifest::{self, Manifest};
use super::{Record, RecordedChart};
use crate::chart::{self, Lock, Metadata, Part};
use crate::digest::Sha256Digest;
use crate::limits::RecordLimits;
use crate::values::Secret;
use crate::wiped::Wiped;
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
    let text = Wiped::new(release.manifest.0.into_owned());
    let manifest = manifest::objects(&text, limits)?;
    let hooks = hooks(release.hooks, limits)?;
    let definitions = definitions(&chart.definitions, limits)?;
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
        helm_release: manifest.mark.before(hooks.mark),
        unread_objects: [hooks.unread, definitions.unread]
            .into_iter()
            .fold(manifest.unread, usize::saturating_add),
        hooks: [hooks.objects, definitions.objects].concat(),
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
    let all = Wiped::new(texts.collect::<Vec<_>>().join("\n---\n"));
    manifest::objects(&all, limits)
}

/// Whether there are more values than this, counted before any takes memory.
fn has_more_values(json: &[u8], limit: usize) -> bool {
    let begins_value = |byte: &u8| matches!(byte, b'[' | b'{' | b',');
    // Most text is in strings, and most records are small.
    // Counting bytes costs less than following the strings, and nearly every record passes here. As many at a time
    // as a byte counts, so that the compiler does it with wide instructions.
    let few = |bytes: &[u8]| {
        let count = |sum: u8, byte| sum.wrapping_add(u8::from(begins_value(byte)));
        usize::from(bytes.iter().fold(0, count))
    };
    let most = json.chunks(usize::from(u8::MAX)).map(few);
    if most.sum::<usize>() <= limit {
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
    definitions: Vec<Wiped<String>>,
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
            "files" => {
                let Files(files, definitions) = map.next_value()?;
                self.files = files;
                self.definitions = definitions;
            }
            "modtime" => self.modified = map.next_value::<Time>()?.0,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}
