//! Helm's release records, as a test edits them (`pkg/storage/driver/util.go` of Helm).

use std::io::{Read, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The JSON of a record, from the bytes of `data.release` as the API gives them.
pub fn decode(payload: &[u8]) -> Result<Value, Error> {
    let compressed = BASE64_STANDARD.decode(payload)?;
    let mut json = Vec::new();
    MultiGzDecoder::new(compressed.as_slice()).read_to_end(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

/// What a patch of `data.release` takes: both layers of base64.
pub fn encode(release: &Value) -> Result<String, Error> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&serde_json::to_vec(release)?)?;
    Ok(BASE64_STANDARD.encode(BASE64_STANDARD.encode(encoder.finish()?)))
}
