//! Hashes and mathematics of one signature; no rule of validity is decided here.

use pgp::crypto::hash::HashAlgorithm;
use pgp::types::{Mpi, SignatureBytes, VerifyingKey as _};

use super::bytes::Bytes;
use super::keys::{
    DSA, ECDSA, ED448, ED25519, EDDSA_LEGACY, Key, Material, RSA, RSA_SIGN, same_algorithm,
};
use super::signature::SignaturePacket;

/// What the mathematics say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maths {
    Bad,
    Good,
    /// The hash or the curve is not known here, or the two do not go together.
    Uncheckable,
}

/// Whether `signer` made the signature over the parts.
pub(super) fn check(signature: &SignaturePacket, signer: &Key, parts: &[&[u8]]) -> Maths {
    match digest(signature, parts) {
        Digested::Matches(digest) => check_digest(signature, signer, &digest),
        Digested::Differs => Maths::Bad,
        Digested::Unknown => Maths::Uncheckable,
    }
}

/// What hashing the signed parts gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Digested {
    /// The two bytes of the hash that the packet states are another's.
    Differs,
    Matches(Vec<u8>),
    /// No such hash here, or it is a known collision (SHA-1).
    Unknown,
}

/// Hashes the parts with the signature's own statement (RFC 9580 section 5.2.4).
pub(super) fn digest(signature: &SignaturePacket, parts: &[&[u8]]) -> Digested {
    let mut input = signature.salt.clone();
    for part in parts {
        input.extend_from_slice(part);
    }
    input.extend_from_slice(signature.statement());
    input.extend(trailer(signature));
    let Ok(digest) = hash_algorithm(signature).digest(&input) else {
        return Digested::Unknown;
    };
    // Section 5.2.4: cheap, and it saves the mathematics for nearly every forged signature of a
    // flooded key.
    if !digest.starts_with(&signature.hash_prefix) {
        return Digested::Differs;
    }
    Digested::Matches(digest)
}

/// Whether `signer` made the signature over the digest.
pub(super) fn check_digest(signature: &SignaturePacket, signer: &Key, digest: &[u8]) -> Maths {
    if !same_algorithm(signature.key_algorithm, signer.algorithm) {
        return Maths::Bad;
    }
    let Material::Usable { numbers, rsa } = &signer.material else {
        return Maths::Uncheckable;
    };
    let hash = hash_algorithm(signature);
    let Some(salt_length) = salt_length(signature, hash) else {
        return Maths::Uncheckable;
    };
    if needs_longer_hash(signer, hash) {
        return Maths::Uncheckable;
    }
    if signature.salt.len() != salt_length {
        return Maths::Bad;
    }
    let Some(claimed) = signature_numbers(signature) else {
        return Maths::Bad;
    };
    // Helm 3 writes RSA numbers with leading zeros cut off, and libraries that insist on their
    // canonical form refuse more than half of its signatures; `FastRsa` pads them.
    let fast = match (&claimed, rsa) {
        (SignatureBytes::Mpis(mpis), Some(rsa)) => mpis
            .first()
            .and_then(|mpi| rsa.check(hash, digest, mpi.as_ref())),
        _ => None,
    };
    let good = fast.unwrap_or_else(|| numbers.verify(hash, digest, &claimed).is_ok());
    if good { Maths::Good } else { Maths::Bad }
}

/// The hash algorithm of the signature.
pub(super) fn hash_algorithm(signature: &SignaturePacket) -> HashAlgorithm {
    HashAlgorithm::from(signature.hash_algorithm)
}

/// The name of a hash algorithm (section 9.5).
pub(super) fn hash_name(algorithm: u8) -> &'static str {
    match algorithm {
        1 => "MD5",
        2 => "SHA1",
        3 => "RIPEMD160",
        8 => "SHA256",
        9 => "SHA384",
        10 => "SHA512",
        11 => "SHA224",
        12 => "SHA3-256",
        14 => "SHA3-512",
        _ => "unknown",
    }
}

fn trailer(signature: &SignaturePacket) -> Vec<u8> {
    let length = u32::try_from(signature.hashed_length).unwrap_or(u32::MAX);
    // The count is of four bytes in both versions; version 6 differs in the salt, which is hashed
    // first.
    let mut trailer = vec![signature.version, 0xff];
    trailer.extend(length.to_be_bytes());
    trailer
}

/// The salt that the version asks for; `None` for hashes that version 6 does not know.
fn salt_length(signature: &SignaturePacket, hash: HashAlgorithm) -> Option<usize> {
    if signature.version == 6 {
        hash.salt_len()
    } else {
        Some(0)
    }
}

/// rPGP refuses short hashes with elliptic curves, which does not make the signature wrong.
fn needs_longer_hash(signer: &Key, hash: HashAlgorithm) -> bool {
    let bits = hash.digest_size().unwrap_or(0).saturating_mul(8);
    matches!(signer.algorithm, ECDSA | EDDSA_LEGACY | ED25519 | ED448)
        && bits < signer.least_hash_bits()
}

/// The numbers of the signature; `None` if they are malformed (section 5.2.3).
fn signature_numbers(signature: &SignaturePacket) -> Option<SignatureBytes> {
    let mut reader = Bytes::new(&signature.numbers);
    let numbers = match signature.key_algorithm {
        RSA | RSA_SIGN => SignatureBytes::Mpis(mpis(&mut reader, 1)?),
        DSA | ECDSA | EDDSA_LEGACY => SignatureBytes::Mpis(mpis(&mut reader, 2)?),
        ED25519 => SignatureBytes::Native(reader.take(64)?.to_vec().into()),
        ED448 => SignatureBytes::Native(reader.take(114)?.to_vec().into()),
        _ => return None,
    };
    reader.is_empty().then_some(numbers)
}

fn mpis(reader: &mut Bytes<'_>, count: usize) -> Option<Vec<Mpi>> {
    (0..count)
        .map(|_| reader.mpi().map(Mpi::from_slice))
        .collect()
}
