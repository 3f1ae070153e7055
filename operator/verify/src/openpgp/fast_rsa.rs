//! RSA verification by aws-lc-rs, seven to nine times faster than the `rsa` crate.

use std::fmt;
use std::ops::RangeInclusive;

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RsaParameters,
};
use pgp::crypto::hash::HashAlgorithm;

/// An RSA key of 2048 to 8192 bit, parsed once for each hash it is used with.
pub(super) struct FastRsa {
    sha256: ParsedPublicKey,
    sha384: ParsedPublicKey,
    sha512: ParsedPublicKey,
    modulus_bytes: usize,
}

impl FastRsa {
    /// Sizes of the modulus, in bits, that this library verifies with. It parses keys of other sizes
    /// too, and then calls every signature wrong, which would hide the revocation of a short key.
    pub(super) const BITS: RangeInclusive<usize> = 2048..=8192;

    /// `None` for keys that this library does not take.
    pub(super) fn new(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let components = PublicKeyComponents {
            n: modulus,
            e: exponent,
        };
        let parse = |with: &'static RsaParameters| components.to_parsed_public_key(with).ok();
        Some(Self {
            sha256: parse(&RSA_PKCS1_2048_8192_SHA256)?,
            sha384: parse(&RSA_PKCS1_2048_8192_SHA384)?,
            sha512: parse(&RSA_PKCS1_2048_8192_SHA512)?,
            modulus_bytes: modulus.len(),
        })
    }

    /// Whether the signature is right; `None` for hashes that are left to rPGP.
    pub(super) fn check(&self, hash: HashAlgorithm, hashed: &[u8], mpi: &[u8]) -> Option<bool> {
        let (key, algorithm) = match hash {
            HashAlgorithm::Sha256 => (&self.sha256, &digest::SHA256),
            HashAlgorithm::Sha384 => (&self.sha384, &digest::SHA384),
            HashAlgorithm::Sha512 => (&self.sha512, &digest::SHA512),
            _ => return None,
        };
        let Ok(hashed) = Digest::import_less_safe(hashed, algorithm) else {
            return Some(false);
        };
        let Some(signature) = self.padded(mpi) else {
            return Some(false);
        };
        Some(key.verify_digest_sig(&hashed, &signature).is_ok())
    }

    /// The number with as many bytes as the modulus; `None` if it has more (RFC 8017 8.2.2).
    fn padded(&self, mpi: &[u8]) -> Option<Vec<u8>> {
        let zeros = self.modulus_bytes.checked_sub(mpi.len())?;
        let mut padded = vec![0; zeros];
        padded.extend(mpi);
        Some(padded)
    }
}

impl fmt::Debug for FastRsa {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "FastRsa({} bytes)", self.modulus_bytes)
    }
}
