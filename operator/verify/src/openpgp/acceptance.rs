//! Which signature packets may count at all: the rules that need no reference time.

use pgp::crypto::hash::HashAlgorithm;

use super::codes::Code;
use super::crypto::hash_algorithm;
use super::keys::Key;
use super::signature::SignaturePacket;
use super::time::begins;

/// Answers the creation time and lifetime of a signature that may count if `signer` made it.
///
/// Used alike for data signatures, self-signatures and back-signatures, and for no revocation:
/// a badly made revocation still revokes.
pub(super) fn accept(signature: &SignaturePacket, signer: &Key) -> Result<Lifespan, Code> {
    // RFC 9580 section 10.1.1 pairs keys and signatures of one version; rPGP checks that for
    // version 6 only.
    if (signature.version == 6) != (signer.version == 6) {
        return Err(Code::UnsupportedAlgorithm);
    }
    signer.strength()?;
    accept_hash(hash_algorithm(signature), signer)?;
    // Section 5.2.3.7: who does not understand a critical subpacket must take the signature for
    // invalid. rPGP does so for unassigned types only, and lets critical notations and private
    // types pass.
    if signature.has_unknown_critical() {
        return Err(Code::CriticalUnknown);
    }
    // From the hashed area alone: anybody can write another time into the unhashed one.
    let created = signature.created().ok_or(Code::WrongType)?;
    let lifetime = signature.lifetime().map_err(|_| Code::WrongType)?;
    // No key signs before it exists (section 5.5.2). Who back-dates a signature to get below a
    // revocation or an expiry runs into this.
    if created < signer.created {
        return Err(Code::PredatesKey);
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

impl Lifespan {
    /// The seconds at which it begins to count, is no longer ahead of any clock, and ceases to count.
    pub(super) fn turns(self) -> impl Iterator<Item = i64> {
        let begins = [begins(self.created), self.created];
        begins.into_iter().chain(self.expires)
    }
}

/// No exception for old signatures: their dates are written by whoever made them (section 9.5).
fn accept_hash(hash: HashAlgorithm, signer: &Key) -> Result<(), Code> {
    let bits = match hash {
        HashAlgorithm::Sha256 | HashAlgorithm::Sha3_256 => 256,
        HashAlgorithm::Sha384 => 384,
        HashAlgorithm::Sha512 | HashAlgorithm::Sha3_512 => 512,
        HashAlgorithm::Md5
        | HashAlgorithm::Sha1
        | HashAlgorithm::Ripemd160
        | HashAlgorithm::Sha224 => return Err(Code::WeakHash),
        _ => return Err(Code::UnsupportedAlgorithm),
    };
    // FIPS 186-5 and section 9.5 ask for hashes as long as the curve; rPGP refuses shorter ones in
    // any case.
    if bits < signer.least_hash_bits() {
        return Err(Code::WeakHash);
    }
    Ok(())
}
