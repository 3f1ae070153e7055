//! Signature packets (RFC 9580 section 5.2), read without judging them.
//!
//! Our own reader, because the bytes that are hashed must be the bytes that were read: rPGP hashes
//! what it writes back, and one subpacket it reads differently would hide a revocation.

use super::bytes::Bytes;
use super::fingerprint::{Fingerprint, V4_BYTES, V6_BYTES};
use super::packets::two_octet_length;

/// One signature packet, or as much of it as can be read.
#[derive(Debug, Clone)]
pub(super) enum Signature {
    Read(SignaturePacket),
    /// Another version, or malformed; the type is where all versions have it.
    Unreadable {
        kind: Option<u8>,
        raw: Vec<u8>,
    },
}

/// A version 4 or 6 signature packet.
#[derive(Debug, Clone)]
pub(super) struct SignaturePacket {
    pub(super) raw: Vec<u8>,
    pub(super) version: u8,
    pub(super) kind: u8,
    pub(super) key_algorithm: u8,
    pub(super) hash_algorithm: u8,
    pub(super) hashed: Vec<Subpacket>,
    pub(super) unhashed: Vec<Subpacket>,
    /// How many bytes of `raw`, from its start, are part of what is hashed.
    pub(super) hashed_length: usize,
    pub(super) hash_prefix: [u8; 2],
    pub(super) salt: Vec<u8>,
    pub(super) numbers: Vec<u8>,
}

/// One subpacket (section 5.2.3.7).
#[derive(Debug, Clone)]
pub(super) struct Subpacket {
    pub(super) kind: u8,
    pub(super) critical: bool,
    pub(super) body: Vec<u8>,
}

/// Who a signature says made it; anybody can write that.
#[derive(Debug, Clone, Default)]
pub(super) struct Issuers {
    pub(super) fingerprints: Vec<Fingerprint>,
    pub(super) key_ids: Vec<String>,
}

impl Signature {
    /// Reads the body of a signature packet; never fails, so that nothing gets lost.
    pub(super) fn read(body: &[u8]) -> Self {
        SignaturePacket::read(body).map_or_else(
            || Self::Unreadable {
                kind: unreadable_kind(body),
                raw: body.to_vec(),
            },
            Self::Read,
        )
    }

    pub(super) fn kind(&self) -> Option<u8> {
        match self {
            Self::Read(packet) => Some(packet.kind),
            Self::Unreadable { kind, .. } => *kind,
        }
    }

    pub(super) fn raw(&self) -> &[u8] {
        match self {
            Self::Read(packet) => &packet.raw,
            Self::Unreadable { raw, .. } => raw,
        }
    }
}

impl SignaturePacket {
    fn read(raw: &[u8]) -> Option<Self> {
        let mut reader = Bytes::new(raw);
        // Version 3 has no hashed area: nothing in it but the time is signed (section 5.2.2).
        let version = reader.u8().filter(|version| matches!(version, 4 | 6))?;
        let [kind, key_algorithm, hash_algorithm] = reader.array()?;
        let hashed_area = area(version, &mut reader)?;
        let hashed_length = raw.len().checked_sub(reader.len())?;
        let unhashed_area = area(version, &mut reader)?;
        let hash_prefix = reader.array()?;
        let salt = salt(version, &mut reader)?.to_vec();
        Some(Self {
            raw: raw.to_vec(),
            version,
            kind,
            key_algorithm,
            hash_algorithm,
            // A malformed subpacket in what was signed may be the one that limits it, so that none
            // of it is believed.
            hashed: subpackets(hashed_area).ok()?,
            unhashed: readable_subpackets(unhashed_area),
            hashed_length,
            hash_prefix,
            salt,
            numbers: reader.rest().to_vec(),
        })
    }

    /// The bytes of the packet that are part of what was signed.
    pub(super) fn statement(&self) -> &[u8] {
        self.raw.get(..self.hashed_length).unwrap_or_default()
    }

    /// The creation time, if the hashed area has exactly one (section 5.2.3.11).
    pub(super) fn created(&self) -> Option<i64> {
        match self.creation_times().as_slice() {
            [Some(time)] => Some(*time),
            _ => None,
        }
    }

    /// Every creation time of the hashed area; malformed ones are `None`.
    pub(super) fn creation_times(&self) -> Vec<Option<i64>> {
        self.hashed_of(CREATION_TIME).map(seconds).collect()
    }

    /// The shortest lifetime that the hashed area states; `Err` for a malformed one (5.2.3.18).
    pub(super) fn lifetime(&self) -> Result<Option<i64>, Malformed> {
        shortest(self.hashed_of(SIGNATURE_LIFETIME))
    }

    /// The shortest key lifetime that the hashed area states (section 5.2.3.13).
    pub(super) fn key_lifetime(&self) -> Result<Option<i64>, Malformed> {
        shortest(self.hashed_of(KEY_LIFETIME))
    }

    /// Whether every key flags subpacket has the sign bit; `None` without one (section 5.2.3.29).
    pub(super) fn may_sign(&self) -> Option<bool> {
        // All of several subpackets must allow it: which of them counts is read differently, and a
        // key must not mean more here than elsewhere.
        let signs = |flags: &[u8]| flags.first().is_some_and(|first| first & SIGN_BIT != 0);
        let mut flags = self.hashed_of(KEY_FLAGS).peekable();
        flags.peek()?;
        Some(flags.all(signs))
    }

    /// Whether the hashed area marks the primary user ID (section 5.2.3.27).
    pub(super) fn is_primary_user_id(&self) -> bool {
        // Any value but 0: who marks a user ID in a way of their own has marked it.
        self.hashed_of(PRIMARY_USER_ID).any(|body| body != [0])
    }

    /// Every reason for revocation in the hashed area (section 5.2.3.31).
    pub(super) fn revocation_reasons(&self) -> Vec<Option<u8>> {
        self.hashed_of(REVOCATION_REASON)
            .map(|body| body.first().copied())
            .collect()
    }

    /// Fingerprints of designated revokers in the hashed area (section 5.2.3.23).
    pub(super) fn designated_revokers(&self) -> Vec<Fingerprint> {
        // Class and algorithm stand before the fingerprint; what class a revoker has does not
        // matter to what it revokes.
        let digits = |body: &[u8]| Fingerprint::from_bytes(body.get(2..)?);
        self.hashed_of(REVOCATION_KEY).filter_map(digits).collect()
    }

    /// Embedded signatures of both areas (section 5.2.3.34).
    pub(super) fn embedded(&self) -> impl Iterator<Item = SignaturePacket> {
        self.everywhere(EMBEDDED_SIGNATURE).filter_map(Self::read)
    }

    /// Issuers that can be read, named in either area.
    pub(super) fn issuers(&self) -> Issuers {
        Issuers {
            fingerprints: self
                .everywhere(ISSUER_FINGERPRINT)
                .filter_map(issuer)
                .collect(),
            key_ids: self
                .everywhere(ISSUER_KEY_ID)
                .filter(|id| id.len() == KEY_ID_BYTES)
                .map(hex::encode_upper)
                .collect(),
        }
    }

    /// Whether some issuer subpacket cannot be read.
    fn has_unreadable_issuer(&self) -> bool {
        self.everywhere(ISSUER_FINGERPRINT)
            .any(|body| issuer(body).is_none())
            || self
                .everywhere(ISSUER_KEY_ID)
                .any(|body| body.len() != KEY_ID_BYTES)
    }

    /// Whether it says clearly which one key made it (sections 5.2.3.12 and 5.2.3.35).
    pub(super) fn names_issuer(&self) -> bool {
        let issuers = self.issuers();
        !issuers.is_empty() && !self.has_unreadable_issuer() && issuers.agree()
    }

    /// Whether the hashed area addresses the signature to somebody (section 5.2.3.36).
    pub(super) fn has_intended_recipient(&self) -> bool {
        self.hashed_of(INTENDED_RECIPIENT).next().is_some()
    }

    /// Whether a critical subpacket of the hashed area is not enforced here (section 5.2.3.7).
    pub(super) fn has_unknown_critical(&self) -> bool {
        self.hashed
            .iter()
            .any(|sub| sub.critical && !ENFORCED.contains(&sub.kind))
    }

    fn hashed_of(&self, kind: u8) -> impl Iterator<Item = &[u8]> {
        self.hashed
            .iter()
            .filter(move |sub| sub.kind == kind)
            .map(|sub| sub.body.as_slice())
    }

    fn everywhere(&self, kind: u8) -> impl Iterator<Item = &[u8]> {
        // GnuPG puts the key ID of the issuer where nobody signs it. It only says which key to try:
        // what that key says of the signature is checked.
        let all = self.hashed.iter().chain(&self.unhashed);
        all.filter(move |sub| sub.kind == kind)
            .map(|sub| sub.body.as_slice())
    }
}

impl Issuers {
    pub(super) fn is_empty(&self) -> bool {
        self.fingerprints.is_empty() && self.key_ids.is_empty()
    }

    /// Whether a fingerprint names the key or, where no fingerprint is given, a key ID does.
    pub(super) fn name(&self, key: &Fingerprint) -> bool {
        // The key ID beside a fingerprint adds nothing but a second, forgeable name.
        if self.fingerprints.is_empty() {
            return self.key_ids.iter().any(|id| id == key.key_id());
        }
        self.fingerprints.contains(key)
    }

    /// Whether any issuer, fingerprint or key ID, names the key.
    pub(super) fn may_name(&self, key: &Fingerprint) -> bool {
        self.fingerprints.contains(key) || self.key_ids.iter().any(|id| id == key.key_id())
    }

    /// Whether all issuers can be one and the same key (sections 5.2.3.12 and 5.2.3.35).
    pub(super) fn agree(&self) -> bool {
        let one_fingerprint = all_equal(&self.fingerprints);
        let one_key_id = all_equal(&self.key_ids);
        let same = match (self.fingerprints.first(), self.key_ids.first()) {
            (Some(fingerprint), Some(key_id)) => fingerprint.key_id() == key_id,
            _ => true,
        };
        one_fingerprint && one_key_id && same
    }
}

/// A subpacket whose body has the wrong length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

fn unreadable_kind(body: &[u8]) -> Option<u8> {
    let (version, rest) = body.split_first()?;
    match version {
        // Versions 2 and 3 have the length of what is hashed before the type.
        2 | 3 => rest.get(1).copied(),
        _ => rest.first().copied(),
    }
}

fn area<'a>(version: u8, reader: &mut Bytes<'a>) -> Option<&'a [u8]> {
    let length = if version == 6 {
        reader.length32()?
    } else {
        usize::from(reader.u16()?)
    };
    reader.take(length)
}

fn salt<'a>(version: u8, reader: &mut Bytes<'a>) -> Option<&'a [u8]> {
    if version != 6 {
        return Some(&[]);
    }
    let length = usize::from(reader.u8()?);
    reader.take(length)
}

fn subpackets(area: &[u8]) -> Result<Vec<Subpacket>, Malformed> {
    let mut reader = Bytes::new(area);
    let mut found = Vec::new();
    while !reader.is_empty() {
        found.push(subpacket(&mut reader).ok_or(Malformed)?);
    }
    Ok(found)
}

/// The subpackets before the first malformed one: nobody signed this area.
fn readable_subpackets(area: &[u8]) -> Vec<Subpacket> {
    let mut reader = Bytes::new(area);
    std::iter::from_fn(|| subpacket(&mut reader)).collect()
}

fn subpacket(reader: &mut Bytes<'_>) -> Option<Subpacket> {
    let first = reader.u8()?;
    let length = match first {
        0..=191 => usize::from(first),
        192..=254 => two_octet_length(first, reader)?,
        255 => reader.length32()?,
    };
    let (kind, body) = reader.take(length)?.split_first()?;
    Some(Subpacket {
        kind: kind & 0x7f,
        critical: kind & 0x80 != 0,
        body: body.to_vec(),
    })
}

fn seconds(body: &[u8]) -> Option<i64> {
    body.try_into()
        .ok()
        .map(|bytes| i64::from(u32::from_be_bytes(bytes)))
}

/// The shortest of several lifetimes, where 0 means for ever.
fn shortest<'a>(bodies: impl Iterator<Item = &'a [u8]>) -> Result<Option<i64>, Malformed> {
    let all = bodies
        .map(seconds)
        .collect::<Option<Vec<_>>>()
        .ok_or(Malformed)?;
    Ok(all.into_iter().filter(|lifetime| *lifetime != 0).min())
}

fn issuer(body: &[u8]) -> Option<Fingerprint> {
    let (version, digits) = body.split_first()?;
    match (version, digits.len()) {
        (4, V4_BYTES) | (6, V6_BYTES) => Fingerprint::from_bytes(digits),
        _ => None,
    }
}

fn all_equal<T: PartialEq>(values: &[T]) -> bool {
    values.windows(2).all(|pair| pair.first() == pair.last())
}

pub(super) const TEXT: u8 = 0x01;
pub(super) const FIRST_CERTIFICATION: u8 = 0x10;
pub(super) const LAST_CERTIFICATION: u8 = 0x13;
pub(super) const SUBKEY_BINDING: u8 = 0x18;
pub(super) const BACK_SIGNATURE: u8 = 0x19;
pub(super) const DIRECT_KEY: u8 = 0x1f;
pub(super) const KEY_REVOCATION: u8 = 0x20;
pub(super) const SUBKEY_REVOCATION: u8 = 0x28;
pub(super) const CERTIFICATION_REVOCATION: u8 = 0x30;

const KEY_ID_BYTES: usize = 8;
const SIGN_BIT: u8 = 0x02;

const CREATION_TIME: u8 = 2;
const SIGNATURE_LIFETIME: u8 = 3;
const REVOCABLE: u8 = 7;
const KEY_LIFETIME: u8 = 9;
const PREFERRED_CIPHERS: u8 = 11;
const REVOCATION_KEY: u8 = 12;
const ISSUER_KEY_ID: u8 = 16;
const PREFERRED_HASHES: u8 = 21;
const PREFERRED_COMPRESSION: u8 = 22;
const KEY_SERVER_PREFERENCES: u8 = 23;
const PREFERRED_KEY_SERVER: u8 = 24;
const PRIMARY_USER_ID: u8 = 25;
const KEY_FLAGS: u8 = 27;
const REVOCATION_REASON: u8 = 29;
const FEATURES: u8 = 30;
const EMBEDDED_SIGNATURE: u8 = 32;
const ISSUER_FINGERPRINT: u8 = 33;
const PREFERRED_MODES: u8 = 34;
const INTENDED_RECIPIENT: u8 = 35;
const PREFERRED_AEAD: u8 = 39;

/// Subpackets that may be critical: what they say is enforced here or does not concern verifying.
///
/// `Revocable` is among them because no revocation is ever ignored. Notations, trust levels,
/// regular expressions, policies and private types are not.
const ENFORCED: [u8; 19] = [
    CREATION_TIME,
    SIGNATURE_LIFETIME,
    REVOCABLE,
    KEY_LIFETIME,
    PREFERRED_CIPHERS,
    REVOCATION_KEY,
    ISSUER_KEY_ID,
    PREFERRED_HASHES,
    PREFERRED_COMPRESSION,
    KEY_SERVER_PREFERENCES,
    PREFERRED_KEY_SERVER,
    PRIMARY_USER_ID,
    KEY_FLAGS,
    REVOCATION_REASON,
    FEATURES,
    EMBEDDED_SIGNATURE,
    ISSUER_FINGERPRINT,
    PREFERRED_MODES,
    PREFERRED_AEAD,
];
