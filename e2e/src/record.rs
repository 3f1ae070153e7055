//! Helm's release records, as a test edits them (`pkg/storage/driver/util.go` of Helm).

use std::fmt::Display;
use std::io::{Read, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use serde_json::{Value, json};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The JSON of a record, from the bytes of `data.release` as the API gives them.
pub fn decode(payload: &[u8]) -> Result<Value, Error> {
    let compressed = BASE64_STANDARD.decode(payload)?;
    let mut json = Vec::new();
    MultiGzDecoder::new(compressed.as_slice()).read_to_end(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

/// The name under which a revision is stored.
pub fn stored(release: &str, revision: impl Display) -> String {
    format!("sh.helm.release.v1.{release}.v{revision}")
}

/// A record as that of the first revision of another release, with something changed.
pub fn copy(
    template: &Secret,
    name: &str,
    change: impl FnOnce(&mut Value),
) -> Result<Secret, Error> {
    let data = template.data.as_ref().ok_or("it has no data")?;
    let mut record = decode(&data.get("release").ok_or("it has no release")?.0)?;
    record["name"] = json!(name);
    change(&mut record);
    let payload: ByteString = serde_json::from_value(json!(encode(&record)?))?;
    let mut labels = template.metadata.labels.clone().unwrap_or_default();
    labels.insert("name".to_owned(), name.to_owned());
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(stored(name, 1)),
            labels: Some(labels),
            resource_version: None,
            uid: None,
            ..template.metadata.clone()
        },
        data: Some([("release".to_owned(), payload)].into()),
        ..template.clone()
    })
}

/// What makes a record that is stored say this status, in its label and in itself: a merge patch.
///
/// # Errors
/// If it is no record.
pub fn status(stored: &Secret, status: &str) -> Result<Value, Error> {
    let data = stored.data.as_ref().ok_or("it has no data")?;
    let mut record = decode(&data.get("release").ok_or("it has no release")?.0)?;
    record["info"]["status"] = json!(status);
    Ok(json!({
        "metadata": {"labels": {"status": status}},
        "data": {"release": encode(&record)?},
    }))
}

/// What a patch of `data.release` takes: both layers of base64.
pub fn encode(release: &Value) -> Result<String, Error> {
    Ok(BASE64_STANDARD.encode(packed(release)?))
}

/// What Helm stores: packed, and in one layer of base64.
pub fn packed(release: &Value) -> Result<String, Error> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&serde_json::to_vec(release)?)?;
    Ok(BASE64_STANDARD.encode(encoder.finish()?))
}
