//! The layers around the JSON: base64 and gzip.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::bufread::MultiGzDecoder;
use zeroize::Zeroizing;

use super::error::RecordError;
use crate::limits::RecordLimits;

/// Returns the JSON; the buffers are wiped when dropped, because they hold the user's values.
pub(super) fn json(
    payload: &[u8],
    limits: &RecordLimits,
) -> Result<Zeroizing<Vec<u8>>, RecordError> {
    if payload.len() > limits.payload_bytes {
        return Err(RecordError::TooLarge {
            what: "payload",
            limit: limits.payload_bytes,
        });
    }
    let bytes = Zeroizing::new(STANDARD.decode(payload).map_err(|_| RecordError::Base64)?);
    // `decodeRelease`: before compression was introduced, records were plain JSON.
    if !(bytes.starts_with(&GZIP) && bytes.len() > GZIP.len()) {
        return Ok(bytes);
    }
    inflate(&bytes, limits.json_bytes)
}

fn inflate(bytes: &[u8], limit: usize) -> Result<Zeroizing<Vec<u8>>, RecordError> {
    // The trailer tells the size, so that the buffer need not be copied while it grows. It is only
    // a hint: all members count, and so does the limit.
    let hint = bytes
        .last_chunk()
        .map_or(0, |size| u32::from_le_bytes(*size));
    let hint = usize::try_from(hint)
        .unwrap_or(limit)
        .min(limit)
        .saturating_add(1);
    let mut json = Zeroizing::new(Vec::with_capacity(hint));
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    // Go reads all members of a gzip stream. Helm has no cap: a payload of 1 MiB could inflate to 1
    // GiB.
    let mut decoder = MultiGzDecoder::new(bytes).take(most);
    decoder
        .read_to_end(&mut json)
        .map_err(|_| RecordError::Compression)?;
    if json.len() > limit {
        Err(RecordError::TooLarge {
            what: "inflated size",
            limit,
        })
    } else {
        Ok(json)
    }
}

/// Magic number and the only compression method, deflate (`magicGzip`).
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
