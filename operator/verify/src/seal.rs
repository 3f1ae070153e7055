//! The seal over evidence that lies where others may write.
//!
//! A signature whose bytes are gone is believed again only on an [`Attestation`], and only a seal gives
//! one: nobody restores by mistake what nobody has verified.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;

/// Which facts this engine finds: raised whenever it would find others in the same bytes, so that what an
/// earlier one has found can be told apart and compared again.
pub const EPOCH: u32 = 3;

/// What evidence says of a source in this epoch, by the names in its schema. A fact that is added here, or
/// found in another way, is a new epoch: raise [`EPOCH`], or it is taken as not so wherever an earlier
/// engine has looked.
pub const FACTS: &[&str] = &[
    "answer",
    "archive",
    "binding",
    "bundles",
    "chart",
    "content",
    "dependencies",
    "differences",
    "firstVerified",
    "indexDisagrees",
    "message",
    "mirrored",
    "provenance",
    "provenanceProblem",
    "provisional",
    "signedArchive",
    "signedChart",
    "signedVersion",
    "subcharts",
    "url",
    "version",
];

/// The key under which evidence is sealed.
#[derive(Clone, Debug)]
pub struct Seal(hmac::Key);

/// That a record is our own, so that what it says was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attestation(());

impl Seal {
    /// Bytes of a key.
    pub const LENGTH: usize = 32;

    /// A seal with this key.
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The tag for this evidence.
    pub fn tag(&self, sealed: &[u8]) -> String {
        BASE64_STANDARD_NO_PAD.encode(hmac::sign(&self.0, sealed))
    }

    /// What the tag attests, if it is the one for this evidence.
    pub fn attest(&self, sealed: &[u8], tag: &str) -> Option<Attestation> {
        let tag = BASE64_STANDARD_NO_PAD.decode(tag).ok()?;
        let is_valid = hmac::verify(&self.0, sealed, &tag).is_ok();
        is_valid.then_some(Attestation(()))
    }
}

impl Attestation {
    /// Takes a record at its word although nobody has shown it to be ours: to tell people what would be,
    /// never for a verdict that anything follows from.
    pub fn supposed() -> Self {
        Self(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tag_of_this_key_and_text_attests() {
        let (seal, other) = (Seal::new(&[7; Seal::LENGTH]), Seal::new(&[8; Seal::LENGTH]));
        let tag = seal.tag(b"evidence");
        assert!(seal.attest(b"evidence", &tag).is_some());
        for (seal, text, tag) in [
            (&other, "evidence", tag.as_str()),
            (&seal, "evidencE", &tag),
            (&seal, "evidence", ""),
            (&seal, "evidence", "no base64"),
            (&seal, "evidence", &tag[1..]),
        ] {
            assert_eq!(seal.attest(text.as_bytes(), tag), None, "{text} {tag}");
        }
    }
}
