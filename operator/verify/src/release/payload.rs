//! The layers around the JSON: base64 and gzip.

use std::io::Read;

use flate2::bufread::MultiGzDecoder;

use super::error::RecordError;
use crate::limits::RecordLimits;
use crate::wiped::Wiped;

/// Returns the JSON; the buffers are wiped when dropped, because they hold the user's values.
pub(super) fn json(payload: &[u8], limits: &RecordLimits) -> Result<Wiped<Vec<u8>>, RecordError> {
    if payload.len() > limits.payload_bytes {
        return Err(RecordError::TooLarge {
            what: "payload",
            limit: limits.payload_bytes,
        });
    }
    let bytes = Wiped::of_base64(payload).ok_or(RecordError::Base64)?;
    // `decodeRelease`: before compression was introduced, records were plain JSON.
    if !(bytes.starts_with(&GZIP) && bytes.len() > GZIP.len()) {
        return Ok(bytes);
    }
    inflate(&bytes, limits.json_bytes)
}

fn inflate(bytes: &[u8], limit: usize) -> Result<Wiped<Vec<u8>>, RecordError> {
    // Go reads all members of a gzip stream. Helm has no cap: a payload of 1 MiB could inflate to 1
    // GiB.
    let mut decoder = MultiGzDecoder::new(bytes);
    let most = limit.saturating_add(1);
    let mut json = Wiped::new(vec![0; room(bytes).min(most)]);
    let mut length = 0_usize;
    // By slices as large as there are: `read_to_end` asks for some kilobytes at a time, which takes a third longer.
    while let Some(rest) = json.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match decoder.read(rest).map_err(|_| RecordError::Compression)? {
            0 => break,
            read => length = length.saturating_add(read),
        }
        if length == json.len() && length < most {
            let mut larger = vec![0; length.saturating_mul(2).min(most)];
            larger
                .get_mut(..length)
                .into_iter()
                .for_each(|start| start.copy_from_slice(&json));
            json = Wiped::new(larger);
        }
    }
    if length > limit {
        return Err(RecordError::TooLarge {
            what: "inflated size",
            limit,
        });
    }
    json.truncate(length);
    Ok(json)
}

/// How much room what a gzip stream says is given at first: as its trailer tells, and a byte by which its end is
/// found. That is only a hint, since all members count, and deflate makes no more of a byte.
fn room(bytes: &[u8]) -> usize {
    let hint = bytes
        .last_chunk()
        .map_or(0, |size| u32::from_le_bytes(*size));
    let hint = usize::try_from(hint).unwrap_or(usize::MAX);
    let most = bytes.len().saturating_mul(MOST_OF_A_BYTE);
    hint.min(most).saturating_add(1)
}

/// 258 bytes by two codes of one bit each.
const MOST_OF_A_BYTE: usize = 1032;

/// Magic number and the only compression method, deflate (`magicGzip`).
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
