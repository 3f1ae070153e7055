//! One public key packet (RFC 9580 section 5.5.2) and what may be done with it.

use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{PacketHeader, PublicKey};
use pgp::ser::Serialize as _;
use pgp::types::{EcdsaPublicParams, EddsaLegacyPublicParams, KeyDetails as _, PublicParams, Tag};

use super::bytes::Bytes;
use super::fast_rsa::FastRsa;
use super::fingerprint::Fingerprint;
use super::{codes::Code, limits};

/// A primary key or subkey.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) version: u8,
    pub(super) created: i64,
    pub(super) algorithm: u8,
    pub(super) fingerprint: Fingerprint,
    pub(super) body: Vec<u8>,
    pub(super) material: Material,
}

/// What the key's numbers are.
#[derive(Debug)]
pub(super) enum Material {
    /// Can check signatures.
    Usable {
        numbers: Box<PublicKey>,
        rsa: Option<FastRsa>,
    },
    /// Nothing but the fingerprint is known.
    Missing,
    /// An algorithm or curve we have no mathematics for, or malformed numbers.
    Unusable,
}

/// Why a packet is no key of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyError {
    Malformed,
    Version(u8),
}

impl Key {
    /// Reads the body of a public key or subkey packet.
    ///
    /// Numbers that cannot be used give a key that cannot be used, because its fingerprint is
    /// still needed to say so.
    pub(super) fn read(body: &[u8]) -> Result<Self, KeyError> {
        if body.len() > limits::KEY_PACKET_BYTES {
            return Err(KeyError::Malformed);
        }
        let mut reader = Bytes::new(body);
        let version = reader.u8().ok_or(KeyError::Malformed)?;
        // Fingerprints of versions 2 and 3 are MD5 (section 5.5.4), so they pin nothing; 5 is
        // LibrePGP, which rPGP lacks.
        if !matches!(version, 4 | 6) {
            return Err(KeyError::Version(version));
        }
        let created = reader.u32().ok_or(KeyError::Malformed)?;
        let algorithm = reader.u8().ok_or(KeyError::Malformed)?;
        Ok(Self {
            version,
            created: i64::from(created),
            algorithm,
            fingerprint: fingerprint(version, body).ok_or(KeyError::Malformed)?,
            body: body.to_vec(),
            material: material(body),
        })
    }

    /// A key of which nothing but the fingerprint is known.
    pub(super) fn missing(fingerprint: Fingerprint) -> Self {
        Self {
            version: 4,
            created: 0,
            algorithm: 0,
            fingerprint,
            body: Vec::new(),
            material: Material::Missing,
        }
    }

    pub(super) fn is_missing(&self) -> bool {
        matches!(self.material, Material::Missing)
    }

    /// The key as it goes into a hash (section 5.2.4).
    pub(super) fn hashed(&self) -> Vec<u8> {
        hashed(self.version, &self.body).unwrap_or_default()
    }

    /// Whether signatures by this key can count (sections 9.1 and 12.4).
    pub(super) fn strength(&self) -> Result<(), Code> {
        let Material::Usable { numbers, .. } = &self.material else {
            return Err(Code::UnsupportedAlgorithm);
        };
        match numbers.public_params() {
            PublicParams::RSA(_) if !matches!(self.algorithm, RSA | RSA_SIGN) => {
                Err(Code::UnsupportedAlgorithm)
            }
            // Section 12.4: signatures by RSA keys below 2048 bits must not be verified. Helm knows
            // no minimum.
            PublicParams::RSA(_) if rsa_bits(&self.body) < limits::RSA_BITS => Err(Code::WeakKey),
            PublicParams::RSA(_)
            | PublicParams::Ed25519(_)
            | PublicParams::Ed448(_)
            | PublicParams::EdDSALegacy(EddsaLegacyPublicParams::Ed25519 { .. })
            | PublicParams::ECDSA(
                EcdsaPublicParams::P256 { .. }
                | EcdsaPublicParams::P384 { .. }
                | EcdsaPublicParams::P521 { .. },
            ) => Ok(()),
            _ => Err(Code::UnsupportedAlgorithm),
        }
    }

    /// The smallest hash that this key may be used with, in bits (section 5.2.3.2).
    pub(super) fn least_hash_bits(&self) -> usize {
        let Material::Usable { numbers, .. } = &self.material else {
            return 0;
        };
        match numbers.public_params() {
            PublicParams::ECDSA(EcdsaPublicParams::P384 { .. }) => 384,
            PublicParams::ECDSA(EcdsaPublicParams::P521 { .. }) | PublicParams::Ed448(_) => 512,
            _ => 256,
        }
    }

    /// The algorithm and size for people, such as `RSA-4096` or `Ed25519`.
    pub(super) fn algorithm_name(&self) -> String {
        if matches!(self.algorithm, RSA | RSA_ENCRYPT | RSA_SIGN) {
            return format!("RSA-{}", rsa_bits(&self.body));
        }
        let Material::Usable { numbers, .. } = &self.material else {
            return algorithm_name(self.algorithm).to_owned();
        };
        match numbers.public_params() {
            PublicParams::EdDSALegacy(EddsaLegacyPublicParams::Ed25519 { .. }) => "Ed25519".into(),
            PublicParams::ECDSA(EcdsaPublicParams::P256 { .. }) => "ECDSA-P256".into(),
            PublicParams::ECDSA(EcdsaPublicParams::P384 { .. }) => "ECDSA-P384".into(),
            PublicParams::ECDSA(EcdsaPublicParams::P521 { .. }) => "ECDSA-P521".into(),
            PublicParams::ECDSA(EcdsaPublicParams::Secp256k1 { .. }) => "ECDSA-secp256k1".into(),
            _ => algorithm_name(self.algorithm).to_owned(),
        }
    }
}

/// The name of a public key algorithm (section 9.1).
pub(super) fn algorithm_name(algorithm: u8) -> &'static str {
    match algorithm {
        RSA | RSA_ENCRYPT | RSA_SIGN => "RSA",
        16 | 20 => "Elgamal",
        17 => "DSA",
        18 => "ECDH",
        ECDSA => "ECDSA",
        EDDSA_LEGACY => "EdDSA",
        25 => "X25519",
        26 => "X448",
        ED25519 => "Ed25519",
        ED448 => "Ed448",
        _ => "unknown",
    }
}

/// Whether a signature that names one algorithm can be by a key of the other.
pub(super) fn same_algorithm(signature: u8, key: u8) -> bool {
    let rsa = |algorithm| matches!(algorithm, RSA | RSA_SIGN);
    signature == key || (rsa(signature) && matches!(key, RSA | RSA_ENCRYPT | RSA_SIGN))
}

fn fingerprint(version: u8, body: &[u8]) -> Option<Fingerprint> {
    // SHA-1 is no weakness here: to forge a fingerprint needs a second preimage, and nobody can
    // make one.
    let hash = if version == 4 {
        HashAlgorithm::Sha1
    } else {
        HashAlgorithm::Sha256
    };
    let digest = hash.digest(&hashed(version, body)?).ok()?;
    Fingerprint::from_bytes(&digest)
}

fn hashed(version: u8, body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len().saturating_add(5));
    if version == 4 {
        out.push(0x99);
        out.extend(u16::try_from(body.len()).ok()?.to_be_bytes());
    } else {
        out.push(0x9b);
        out.extend(u32::try_from(body.len()).ok()?.to_be_bytes());
    }
    out.extend(body);
    Some(out)
}

fn material(body: &[u8]) -> Material {
    let Some(numbers) = numbers(body) else {
        return Material::Unusable;
    };
    // aws-lc-rs takes RSA-4096 in 67 microseconds, the crate `rsa` in 595; it reads 2048 to 8192
    // bits only, what is left goes the slow way.
    let rsa = matches!(numbers.public_params(), PublicParams::RSA(_))
        .then(|| rsa_numbers(body))
        .flatten()
        .filter(|_| FastRsa::BITS.contains(&rsa_bits(body)))
        .and_then(|(n, e)| FastRsa::new(n, e));
    Material::Usable {
        numbers: Box::new(numbers),
        rsa,
    }
}

/// The numbers, if rPGP reads from the packet exactly what is in it.
fn numbers(body: &[u8]) -> Option<PublicKey> {
    let length = u32::try_from(body.len()).ok()?;
    let header = PacketHeader::new_fixed(Tag::PublicKey, length);
    let key = PublicKey::try_from_reader(header, body).ok()?;
    let supported = !matches!(
        key.public_params(),
        PublicParams::Unknown { .. }
            | PublicParams::ECDSA(EcdsaPublicParams::Unsupported { .. })
            | PublicParams::EdDSALegacy(EddsaLegacyPublicParams::Unsupported { .. })
    );
    // What rPGP would write back differently it has read differently, and might verify something
    // else than was signed.
    (supported && key.to_bytes().ok()? == body).then_some(key)
}

fn rsa_bits(body: &[u8]) -> usize {
    let bits = |(n, _): (&[u8], &[u8])| {
        let spare = n.first().map_or(0, |first| first.leading_zeros());
        let spare = usize::try_from(spare).unwrap_or(0);
        n.len().saturating_mul(8).saturating_sub(spare)
    };
    rsa_numbers(body).map_or(0, bits)
}

/// Modulus and exponent (section 5.5.5.1).
fn rsa_numbers(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Bytes::new(body);
    let version = reader.u8()?;
    reader.take(if version == 6 { 9 } else { 5 })?;
    Some((reader.mpi()?, reader.mpi()?))
}

pub(super) const RSA: u8 = 1;
const RSA_ENCRYPT: u8 = 2;
pub(super) const RSA_SIGN: u8 = 3;
pub(super) const DSA: u8 = 17;
pub(super) const ECDSA: u8 = 19;
pub(super) const EDDSA_LEGACY: u8 = 22;
pub(super) const ED25519: u8 = 27;
pub(super) const ED448: u8 = 28;
