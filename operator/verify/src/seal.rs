//! The seal over evidence that lies where others may write.
//!
//! A signature whose bytes are gone is believed again only on an [`Attestation`], and only a seal gives
//! one: nobody restores by mistake what nobody has verified.

use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
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
pub struct Seal {
    /// Of tags, which only who has the key can check.
    tags: hmac::Key,
    /// Of signatures, which others can check too.
    signatures: Option<Arc<Ed25519KeyPair>>,
    /// Whether others have to.
    is_shown: bool,
}

/// The half of a seal that checks signatures and can make none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicSeal(Vec<u8>);

/// That a record is our own, so that what it says was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attestation(());

impl Seal {
    /// Bytes of a key.
    pub const LENGTH: usize = 32;

    /// A seal with this key.
    pub fn new(key: &[u8]) -> Self {
        let tags = hmac::Key::new(hmac::HMAC_SHA256, key);
        // Another key than that of the tags, made of it, so that there is one Secret to keep.
        let seed = hmac::sign(
            &tags,
            b"charttrust.io: seed of the key that signs evidence (Ed25519)",
        );
        let signatures = Ed25519KeyPair::from_seed_unchecked(seed.as_ref());
        Self {
            tags,
            signatures: signatures.ok().map(Arc::new),
            is_shown: false,
        }
    }

    /// The same, which others have to check: signatures take twice the room of tags.
    #[must_use]
    pub fn shown(self) -> Self {
        Self {
            is_shown: true,
            ..self
        }
    }

    /// The half that others may have.
    pub fn public(&self) -> Option<PublicSeal> {
        let pair = self.signatures.as_ref()?;
        Some(PublicSeal(pair.public_key().as_ref().to_vec()))
    }

    /// The signature for this evidence, or the tag where nobody else checks it.
    pub fn sign(&self, sealed: &[u8]) -> String {
        match &self.signatures {
            Some(pair) if self.is_shown => BASE64_STANDARD_NO_PAD.encode(pair.sign(sealed)),
            Some(_) | None => self.tag(sealed),
        }
    }

    /// The tag for this evidence.
    pub fn tag(&self, sealed: &[u8]) -> String {
        BASE64_STANDARD_NO_PAD.encode(hmac::sign(&self.tags, sealed))
    }

    /// What a tag or a signature attests, if it is the one for this evidence.
    pub fn attest(&self, sealed: &[u8], tag: &str) -> Option<Attestation> {
        let bytes = BASE64_STANDARD_NO_PAD.decode(tag).ok()?;
        if hmac::verify(&self.tags, sealed, &bytes).is_ok() {
            return Some(Attestation(()));
        }
        self.public()?.attest(sealed, tag)
    }
}

impl PublicSeal {
    /// The half of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What a signature attests, if it is the one for this evidence.
    pub fn attest(&self, sealed: &[u8], signature: &str) -> Option<Attestation> {
        let signature = BASE64_STANDARD_NO_PAD.decode(signature).ok()?;
        let key = UnparsedPublicKey::new(&ED25519, &self.0);
        let is_valid = key.verify(sealed, &signature).is_ok();
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

    #[test]
    fn a_signature_is_checked_by_the_public_half_and_made_by_the_other_only() {
        let unshown = Seal::new(&[7; Seal::LENGTH]);
        let (seal, other) = (
            unshown.clone().shown(),
            Seal::new(&[8; Seal::LENGTH]).shown(),
        );
        assert_eq!(unshown.sign(b"evidence"), seal.tag(b"evidence"));
        let signature = seal.sign(b"evidence");
        assert!(unshown.attest(b"evidence", &signature).is_some());
        let public = PublicSeal::new(seal.public().unwrap().as_bytes());
        assert_eq!(
            signature,
            seal.sign(b"evidence"),
            "what is the same is written once"
        );
        assert!(seal.attest(b"evidence", &signature).is_some());
        assert!(public.attest(b"evidence", &signature).is_some());
        for (public, text, signature) in [
            (other.public().unwrap(), "evidence", signature.as_str()),
            (public.clone(), "evidencE", &signature),
            (public.clone(), "evidence", &seal.tag(b"evidence")),
            (public.clone(), "evidence", &other.sign(b"evidence")),
            (public.clone(), "evidence", ""),
            (PublicSeal::new(b""), "evidence", &signature),
            (PublicSeal::new(b"no key"), "evidence", &signature),
        ] {
            assert_eq!(
                public.attest(text.as_bytes(), signature),
                None,
                "{text} {signature}"
            );
        }
    }
}
