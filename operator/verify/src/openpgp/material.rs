//! From bytes to packets grouped by certificate (RFC 9580 section 10.1); nothing is verified yet.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::armor::{self, ArmorError};
use super::fingerprint::Fingerprint;
use super::keys::{Key, KeyError};
use super::packets::{self, FramingError, Packet};
use super::signature::{KEY_REVOCATION, SUBKEY_REVOCATION, Signature};
use super::{error::CertificateError, limits};

/// What one piece of key material contains.
#[derive(Debug, Default)]
pub(super) struct Material {
    pub(super) certificates: Vec<ClaimedCertificate>,
    /// Revocations of primary keys, wherever they were found.
    pub(super) key_revocations: Vec<ClaimedRevocation>,
    /// Revocations of subkeys, wherever they were found.
    pub(super) subkey_revocations: Vec<ClaimedRevocation>,
    /// Versions of primary keys that were skipped, because no such key can be used here.
    pub(super) foreign: BTreeSet<u8>,
    packets: usize,
}

/// The packets between one primary key and the next.
#[derive(Debug)]
pub(super) struct ClaimedCertificate {
    pub(super) primary: Arc<Key>,
    pub(super) direct: Vec<Signature>,
    pub(super) user_ids: Vec<ClaimedUserId>,
    pub(super) subkeys: Vec<ClaimedSubkey>,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct ClaimedUserId {
    pub(super) id: Vec<u8>,
    pub(super) signatures: Vec<Signature>,
}

#[derive(Debug)]
pub(super) struct ClaimedSubkey {
    pub(super) key: Arc<Key>,
    pub(super) signatures: Vec<Signature>,
}

/// A revocation and where it was found, which matters only if it cannot be checked.
#[derive(Debug)]
pub(super) struct ClaimedRevocation {
    pub(super) signature: Signature,
    /// The certificate it was found in.
    pub(super) certificate: FoundIn,
    /// The subkey it was found under.
    pub(super) subkey: FoundIn,
}

/// What a revocation stands beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FoundIn {
    /// A key of another version, which is skipped.
    Foreign,
    /// The key of this fingerprint.
    Key(Fingerprint),
    /// Nothing.
    Nothing,
}

impl Material {
    /// Reads armored or binary key material.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.len() > limits::KEY_MATERIAL_BYTES {
            return Err(CertificateError::TooLarge {
                limit: limits::KEY_MATERIAL_BYTES,
            });
        }
        let mut material = Self::default();
        for block in decoded(bytes)? {
            material.add_block(&block)?;
        }
        Ok(material)
    }

    /// Revocations that were kept without the certificate they came from.
    pub(super) fn of_revocations(
        packets: impl IntoIterator<Item = Vec<u8>>,
        found_in: &FoundIn,
    ) -> Self {
        let mut material = Self::default();
        for body in packets {
            let signature = Signature::read(&body);
            let kind = signature.kind();
            let claimed = ClaimedRevocation {
                signature,
                certificate: found_in.clone(),
                subkey: found_in.clone(),
            };
            match kind {
                Some(KEY_REVOCATION) => material.key_revocations.push(claimed),
                Some(SUBKEY_REVOCATION) => material.subkey_revocations.push(claimed),
                _ => {}
            }
        }
        material
    }

    fn add_block(&mut self, block: &[u8]) -> Result<(), CertificateError> {
        let left = limits::PACKETS.saturating_sub(self.packets);
        let packets = packets::split(block, left).map_err(counted)?;
        self.packets = self.packets.saturating_add(packets.len());
        let mut place = Place::Outside;
        for packet in packets {
            self.add(&mut place, packet)?;
        }
        Ok(())
    }

    fn add(&mut self, place: &mut Place, packet: Packet<'_>) -> Result<(), CertificateError> {
        match packet.tag {
            packets::SIGNATURE => self.add_signature(*place, packet.body),
            packets::PUBLIC_KEY => self.add_primary(place, packet.body),
            packets::PUBLIC_SUBKEY => self.add_subkey(place, packet.body),
            packets::USER_ID => self.add_user_id(place, packet.body),
            packets::USER_ATTRIBUTE => self.skip_component(place, packet.body),
            // Trust packets stand in `pubring.gpg`, and rPGP stops at the first: it would see a key
            // without its revocations.
            packets::MARKER | packets::TRUST | packets::PADDING => Ok(()),
            packets::SECRET_KEY | packets::SECRET_SUBKEY => Err(CertificateError::SecretKey),
            tag if tag >= packets::FIRST_NON_CRITICAL => Ok(()),
            tag => Err(CertificateError::UnexpectedPacket { tag }),
        }
    }

    fn add_primary(&mut self, place: &mut Place, body: &[u8]) -> Result<(), CertificateError> {
        if self.certificates.len() == limits::CERTIFICATES {
            return Err(CertificateError::TooManyCertificates {
                limit: limits::CERTIFICATES,
            });
        }
        match Key::read(body) {
            // One old key in a file of many must not take the others away (RFC 9580 section 5.5.2: keys of
            // version 3 are deprecated, those of version 5 are LibrePGP's). What follows is about it.
            Err(KeyError::Version(version)) => {
                self.foreign.insert(version);
                *place = Place::Foreign;
            }
            Err(KeyError::Malformed) => return Err(CertificateError::MalformedKey),
            Ok(primary) => {
                self.certificates.push(ClaimedCertificate::new(primary));
                *place = Place::Primary;
            }
        }
        Ok(())
    }

    fn add_subkey(&mut self, place: &mut Place, body: &[u8]) -> Result<(), CertificateError> {
        if *place == Place::Foreign {
            return Ok(());
        }
        let certificate = self.current(*place, packets::PUBLIC_SUBKEY)?;
        certificate.grow(body)?;
        if certificate.subkeys.len() == limits::SUBKEYS {
            return Err(CertificateError::TooManySubkeys {
                limit: limits::SUBKEYS,
            });
        }
        match Key::read(body) {
            // GnuPG 2.5 gives keys of version 4 subkeys of version 5 for post-quantum encryption.
            Err(KeyError::Version(_)) => *place = Place::ForeignSubkey,
            Err(KeyError::Malformed) => return Err(CertificateError::MalformedKey),
            Ok(key) if key.version != certificate.primary.version => {
                return Err(CertificateError::MixedVersions);
            }
            Ok(key) => {
                certificate.subkeys.push(ClaimedSubkey::new(key));
                *place = Place::Subkey;
            }
        }
        Ok(())
    }

    fn add_user_id(&mut self, place: &mut Place, body: &[u8]) -> Result<(), CertificateError> {
        if *place == Place::Foreign {
            return Ok(());
        }
        let certificate = self.current(*place, packets::USER_ID)?;
        certificate.grow(body)?;
        certificate.user_ids.push(ClaimedUserId {
            id: body.to_vec(),
            signatures: Vec::new(),
        });
        *place = Place::UserId;
        Ok(())
    }

    fn skip_component(&mut self, place: &mut Place, body: &[u8]) -> Result<(), CertificateError> {
        if *place == Place::Foreign {
            return Ok(());
        }
        self.current(*place, packets::USER_ATTRIBUTE)?.grow(body)?;
        *place = Place::Skipped;
        Ok(())
    }

    fn add_signature(&mut self, place: Place, body: &[u8]) -> Result<(), CertificateError> {
        let signature = Signature::read(body);
        let kind = signature.kind();
        let mut found_in = FoundIn::Foreign;
        let mut found_under = FoundIn::Nothing;
        if place != Place::Foreign {
            let certificate = self.current(place, packets::SIGNATURE).ok();
            found_in = certificate.as_ref().map_or(FoundIn::Nothing, |found| {
                FoundIn::Key(found.fingerprint().clone())
            });
            if let Some(certificate) = certificate {
                found_under = certificate.subkey_at(place);
                certificate.grow(body)?;
                certificate.add_signature(place, &signature);
            }
        }
        let outside = found_in == FoundIn::Nothing;
        let revocation = ClaimedRevocation {
            signature,
            certificate: found_in,
            subkey: found_under,
        };
        match kind {
            Some(KEY_REVOCATION) => self.key_revocations.push(revocation),
            Some(SUBKEY_REVOCATION) => self.subkey_revocations.push(revocation),
            _ if outside => {
                return Err(CertificateError::UnexpectedPacket {
                    tag: packets::SIGNATURE,
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn current(
        &mut self,
        place: Place,
        tag: u8,
    ) -> Result<&mut ClaimedCertificate, CertificateError> {
        let inside = !matches!(place, Place::Foreign | Place::Outside);
        let current = self.certificates.last_mut().filter(|_| inside);
        current.ok_or(CertificateError::UnexpectedPacket { tag })
    }
}

impl ClaimedCertificate {
    fn new(primary: Key) -> Self {
        Self {
            bytes: primary.body.len(),
            primary: Arc::new(primary),
            direct: Vec::new(),
            user_ids: Vec::new(),
            subkeys: Vec::new(),
        }
    }

    pub(super) fn fingerprint(&self) -> &Fingerprint {
        &self.primary.fingerprint
    }

    /// Whether it lists a subkey of this fingerprint.
    pub(super) fn names(&self, subkey: &Fingerprint) -> bool {
        self.subkeys
            .iter()
            .any(|one| one.key.fingerprint == *subkey)
    }

    fn grow(&mut self, body: &[u8]) -> Result<(), CertificateError> {
        self.bytes = self.bytes.saturating_add(body.len());
        if self.bytes > limits::CERTIFICATE_BYTES {
            return Err(CertificateError::CertificateTooLarge {
                limit: limits::CERTIFICATE_BYTES,
            });
        }
        Ok(())
    }

    fn add_signature(&mut self, place: Place, signature: &Signature) {
        let signatures = match place {
            Place::Primary => Some(&mut self.direct),
            Place::UserId => self
                .user_ids
                .last_mut()
                .map(|claimed| &mut claimed.signatures),
            Place::Subkey => self
                .subkeys
                .last_mut()
                .map(|claimed| &mut claimed.signatures),
            Place::Foreign | Place::ForeignSubkey | Place::Outside | Place::Skipped => None,
        };
        if let Some(signatures) = signatures {
            signatures.push(signature.clone());
        }
    }

    fn subkey_at(&self, place: Place) -> FoundIn {
        match (place, self.subkeys.last()) {
            (Place::ForeignSubkey, _) => FoundIn::Foreign,
            (Place::Subkey, Some(subkey)) => FoundIn::Key(subkey.key.fingerprint.clone()),
            _ => FoundIn::Nothing,
        }
    }
}

impl ClaimedSubkey {
    fn new(key: Key) -> Self {
        Self {
            key: Arc::new(key),
            signatures: Vec::new(),
        }
    }
}

/// The bodies of all revocations of keys that stand anywhere in some bytes, as far as those can be read.
pub(super) fn revocation_packets(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let bytes = bytes.get(..limits::KEY_MATERIAL_BYTES).unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).ok();
    let blocks = match text {
        Some(text) => armor::readable_blocks(text, armor::PUBLIC_KEY),
        None => vec![bytes.to_vec()],
    };
    let bodies = blocks.into_iter().flat_map(|block| {
        let packets = packets::readable(&block, limits::PACKETS);
        let signatures = packets.filter(|packet| packet.tag == packets::SIGNATURE);
        signatures
            .map(|packet| packet.body.to_vec())
            .collect::<Vec<_>>()
    });
    bodies.filter(|body| {
        let kind = Signature::read(body).kind();
        matches!(kind, Some(KEY_REVOCATION | SUBKEY_REVOCATION))
    })
}

/// What the next signature belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Foreign,
    ForeignSubkey,
    Outside,
    Primary,
    Skipped,
    Subkey,
    UserId,
}

/// The binary blocks of the material.
pub(super) fn decoded(bytes: &[u8]) -> Result<Vec<Vec<u8>>, CertificateError> {
    // GnuPG keeps its keys in this format since 2.1; people pass the file where an export is meant.
    if bytes.get(8..12) == Some(b"KBXf".as_slice()) {
        return Err(CertificateError::Keybox);
    }
    if armor::is_utf16(bytes) {
        return Err(CertificateError::Utf16);
    }
    if bytes.first().is_some_and(|first| first & 0x80 != 0) && !bytes.starts_with(BYTE_ORDER_MARK) {
        return Ok(vec![bytes.to_vec()]);
    }
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| CertificateError::NoKey)?;
    let blocks = armor::blocks(text, armor::PUBLIC_KEY).map_err(armor_error)?;
    if blocks.is_empty() {
        return Err(CertificateError::NoKey);
    }
    Ok(blocks)
}

fn armor_error(error: ArmorError) -> CertificateError {
    match error {
        ArmorError::Kind { found, .. } if found.contains("PRIVATE") => CertificateError::SecretKey,
        error => CertificateError::Armor(error),
    }
}

pub(super) fn counted(error: FramingError) -> CertificateError {
    match error {
        FramingError::TooMany { .. } => CertificateError::TooManyPackets {
            limit: limits::PACKETS,
        },
        error => CertificateError::Packets(error),
    }
}

/// UTF-8 byte order mark; as an `OpenPGP` packet it would be a padding packet of open length.
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];
