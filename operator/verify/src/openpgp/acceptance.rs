//! Which signature packets may count at all: the rules that need no reference time.

use pgp::crypto::hash::HashAlgorithm;

use super::crypto::hash_algorithm;
use super::keys::Key;
use super::signature::SignaturePacket;
use super::words::Word;

/// Answers the creation time and lifetime of a signature that may count if `signer` made it.
///
/// Used alike for data signatures, self-signatures and back-signatures, and for no revocation:
/// a badly made revocation still revokes.
pub(super) fn accept(signature: &SignaturePacket, signer: &Key) -> Result<Lifespan, Word> {
    if (signature.version == 6) != (signer.version == 6) {
        return Err(Word::UnsupportedAlgorithm);
    }
    signer.strength()?;
    accept_hash(hash_algorithm(signature), signer)?;
    if signature.has_unknown_critical() {
        return Err(Word::CriticalUnknown);
    }
    let created = signature.created().ok_or(Word::WrongType)?;
    let lifetime = signature.lifetime().map_err(|_| Word::WrongType)?;
    if created < signer.created {
        return Err(Word::PredatesKey);
    }
    Ok(Lifespan {
        created,
        expires: lifetime.map(|seconds| created.saturating_add(seconds)),
    })
}

/// From when to when a signature counts, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifespan {
    pub(super) created: i64,
    /// The first second in which it no longer counts.
    pub(super) expires: Option<i64>,
}

/// No exception for old signatures: their dates are written by whoever made them (section 9.5).
fn accept_hash(hash: HashAlgorithm, signer: &Key) -> Result<(), Word> {
    let bits = match hash {
        HashAlgorithm::Sha256 | HashAlgorithm::Sha3_256 => 256,
        HashAlgorithm::Sha384 => 384,
        HashAlgorithm::Sha512 | HashAlgorithm::Sha3_512 => 512,
        HashAlgorithm::Md5
        | HashAlgorithm::Sha1
        | HashAlgorithm::Ripemd160
        | HashAlgorithm::Sha224 => return Err(Word::WeakHash),
        _ => return Err(Word::UnsupportedAlgorithm),
    };
    if bits < signer.least_hash_bits() {
        return Err(Word::WeakHash);
    }
    Ok(())
}
