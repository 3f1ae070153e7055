//! The content digest of a record.

use serde::Serialize;
use serde_json::Value as Json;

use super::Record;
use crate::chart::Part;
use crate::digest::{Hasher, Sha256Digest};

pub(super) fn content(record: &Record) -> Sha256Digest {
    let chart = &record.chart;
    let mut hasher = Hasher::new();
    hasher.field(DOMAIN);
    structure(&chart.metadata, &mut hasher);
    parts(&chart.templates, &mut hasher);
    parts(&chart.files, &mut hasher);
    hasher.field(
        chart
            .schema
            .as_ref()
            .map_or(&[], |schema| schema.as_bytes().as_slice()),
    );
    structure(&chart.lock, &mut hasher);
    // Values may be passwords, and are no proof of anything; but conditions decide which
    // dependencies Helm records.
    outline(record.config.json(), &mut hasher);
    outline(chart.values.json(), &mut hasher);
    hasher.finish()
}

/// Hashes the JSON of a plain structure, whose fields are in the order of their declaration.
fn structure(value: &impl Serialize, hasher: &mut Hasher) {
    // Invariant: texts, flags, lists and maps with text keys always have a JSON form.
    hasher.field(&serde_json::to_vec(value).unwrap_or_default());
}

fn parts(parts: &[Part], hasher: &mut Hasher) {
    hasher.number(parts.len());
    for part in parts {
        hasher.field(part.name.as_bytes());
        hasher.field(part.digest.as_bytes());
    }
}

/// Hashes what conditions and tags can see: keys, booleans and nulls.
fn outline(value: &Json, hasher: &mut Hasher) {
    match value {
        Json::Null => hasher.update(b"n"),
        Json::Bool(true) => hasher.update(b"t"),
        Json::Bool(false) => hasher.update(b"f"),
        Json::Object(map) => {
            hasher.update(b"{");
            hasher.number(map.len());
            // Sorted, whatever map serde_json was built with.
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by_key(|(key, _)| *key);
            for (key, value) in keys {
                hasher.field(key.as_bytes());
                outline(value, hasher);
            }
        }
        Json::Array(_) | Json::Number(_) | Json::String(_) => hasher.update(b"o"),
    }
}

/// Keeps digests of different meanings apart; the number changes with what is hashed.
const DOMAIN: &[u8] = b"charttrust record content 1";
