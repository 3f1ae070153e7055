//! A chart of one file, and the record that Helm makes of it.

use std::io::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::archive;

/// An archive of one file, of the chart `web`.
pub(crate) fn packed(version: &str) -> Vec<u8> {
    let yaml = format!("apiVersion: v2\nname: web\nversion: {version}\n");
    archive::packed("web", &yaml)
}

/// What the record of a release of that chart holds, at its first revision.
pub(crate) fn recorded(release: &str, version: &str, status: &str) -> Value {
    json!({
        "name": release, "version": 1, "namespace": "shop", "info": {"status": status},
        "chart": {"metadata": {"name": "web", "version": version, "apiVersion": "v2"}},
    })
}

/// What a driver of Helm stores of a record: base64 of gzip of its JSON.
pub(crate) fn payload(record: &Value) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(record.to_string().as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    BASE64_STANDARD.encode(packed).into_bytes()
}

/// The `data` of the Secret that holds such a record.
pub(crate) fn stored(record: &Value) -> Value {
    let of_helm = BASE64_STANDARD.encode(record.to_string());
    json!({"release": BASE64_STANDARD.encode(of_helm)})
}
