//! Packet framing (RFC 9580 section 4.2), without the lengths that only data packets may have.

use super::bytes::Bytes;

/// One packet: its type and its body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    pub(super) tag: u8,
    pub(super) body: &'a [u8],
}

/// Why bytes are no sequence of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// The first byte of a packet lacks its marker bit.
    #[error("found bytes that are no OpenPGP packet")]
    NotAPacket,
    /// A length that is only allowed in encrypted or literal data.
    #[error("a packet has a partial or indeterminate length")]
    OpenLength,
    /// The data ends inside a packet.
    #[error("the data ends inside a packet")]
    Truncated,
    /// More packets than allowed.
    #[error("more than {limit} packets")]
    TooMany {
        /// How many are read at most.
        limit: usize,
    },
}

pub(super) const SIGNATURE: u8 = 2;
pub(super) const SECRET_KEY: u8 = 5;
pub(super) const PUBLIC_KEY: u8 = 6;
pub(super) const SECRET_SUBKEY: u8 = 7;
pub(super) const MARKER: u8 = 10;
pub(super) const TRUST: u8 = 12;
pub(super) const USER_ID: u8 = 13;
pub(super) const PUBLIC_SUBKEY: u8 = 14;
pub(super) const USER_ATTRIBUTE: u8 = 17;
pub(super) const PADDING: u8 = 21;
/// Packet types from here on may be skipped by whoever does not know them (section 4.3).
pub(super) const FIRST_NON_CRITICAL: u8 = 40;

/// Cuts bytes into at most `limit` packets.
pub(super) fn split(bytes: &[u8], limit: usize) -> Result<Vec<Packet<'_>>, FramingError> {
    let mut reader = Bytes::new(bytes);
    let mut packets = Vec::new();
    while !reader.is_empty() {
        if packets.len() == limit {
            return Err(FramingError::TooMany { limit });
        }
        packets.push(packet(&mut reader)?);
    }
    Ok(packets)
}

/// The packets before the first one that cannot be read.
pub(super) fn readable(bytes: &[u8], limit: usize) -> impl Iterator<Item = Packet<'_>> {
    let mut reader = Bytes::new(bytes);
    let next = move || {
        (!reader.is_empty())
            .then(|| packet(&mut reader).ok())
            .flatten()
    };
    std::iter::from_fn(next).take(limit)
}

fn packet<'a>(reader: &mut Bytes<'a>) -> Result<Packet<'a>, FramingError> {
    let head = reader.u8().ok_or(FramingError::Truncated)?;
    let (tag, length) = match head >> 6 {
        0b11 => (head & 0x3f, new_length(reader)?),
        0b10 => ((head >> 2) & 0x0f, old_length(head & 0x03, reader)?),
        _ => return Err(FramingError::NotAPacket),
    };
    let body = reader.take(length).ok_or(FramingError::Truncated)?;
    Ok(Packet { tag, body })
}

fn new_length(reader: &mut Bytes<'_>) -> Result<usize, FramingError> {
    let first = reader.u8().ok_or(FramingError::Truncated)?;
    match first {
        0..=191 => Ok(usize::from(first)),
        192..=223 => two_octet_length(first, reader).ok_or(FramingError::Truncated),
        224..=254 => Err(FramingError::OpenLength),
        255 => reader.length32().ok_or(FramingError::Truncated),
    }
}

fn old_length(kind: u8, reader: &mut Bytes<'_>) -> Result<usize, FramingError> {
    let length = match kind {
        0 => reader.u8().map(usize::from),
        1 => reader.u16().map(usize::from),
        2 => reader.length32(),
        _ => return Err(FramingError::OpenLength),
    };
    length.ok_or(FramingError::Truncated)
}

/// The two-octet length that packets and subpackets share: 192 to 16319.
pub(super) fn two_octet_length(first: u8, reader: &mut Bytes<'_>) -> Option<usize> {
    let high = usize::from(first.checked_sub(192)?);
    let low = usize::from(reader.u8()?);
    high.checked_mul(256)?.checked_add(low)?.checked_add(192)
}
