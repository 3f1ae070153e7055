//! How much hashing and mathematics one certificate may cost.

use super::crypto::{self, Digested, Maths};
use super::error::CertificateError;
use super::keys::Key;
use super::limits;
use super::signature::SignaturePacket;

/// Counts down while one certificate is verified.
#[derive(Debug)]
pub(super) struct Budget {
    hashes: usize,
    checks: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            hashes: limits::SIGNATURE_HASHES,
            checks: limits::SIGNATURE_CHECKS,
        }
    }

    /// Checks a signature; the mathematics are done only if its stated hash bytes fit.
    pub(super) fn check(
        &mut self,
        signature: &SignaturePacket,
        signer: &Key,
        parts: &[&[u8]],
    ) -> Result<Maths, CertificateError> {
        spend(&mut self.hashes, limits::SIGNATURE_HASHES)?;
        let digest = match crypto::digest(signature, parts) {
            Digested::Matches(digest) => digest,
            Digested::Differs => return Ok(Maths::Bad),
            Digested::Unknown => return Ok(Maths::Uncheckable),
        };
        // Only after the hash has fitted: garbage, which anybody may append to a certificate, uses
        // up nothing that an honest revocation needs.
        spend(&mut self.checks, limits::SIGNATURE_CHECKS)?;
        Ok(crypto::check_digest(signature, signer, &digest))
    }
}

fn spend(left: &mut usize, limit: usize) -> Result<(), CertificateError> {
    let Some(rest) = left.checked_sub(1) else {
        return Err(CertificateError::TooManySelfSignatures { limit });
    };
    *left = rest;
    Ok(())
}
