//! The seal over evidence that lies where others may write.
//!
//! A signature whose bytes are gone is believed again only on an [`Attestation`], and only a seal gives
//! one: nobody restores by mistake what nobody has verified.

use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, UnparsedPublicKey,
};
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

    /// A signature for programs of others: ECDSA on P-256 with SHA-256, in ASN.1, which is what they know. No two
    /// are equal. `None` where the system gives no randomness.
    pub fn sign_for_others(&self, text: &[u8]) -> Option<Vec<u8>> {
        let signature = self.pair_for_others()?.sign(&SystemRandom::new(), text);
        Some(signature.ok()?.as_ref().to_vec())
    }

    /// What checks such a signature, as X.509 has it (`SubjectPublicKeyInfo`, DER).
    pub fn key_for_others(&self) -> Option<Vec<u8>> {
        let pair = self.pair_for_others()?;
        let key: PublicKeyX509Der<'_> = pair.public_key().as_der().ok()?;
        Some(key.as_ref().to_vec())
    }

    /// Made of the key of the tags too. One in four thousand million numbers is none of the curve's: the next one is
    /// taken then.
    fn pair_for_others(&self) -> Option<EcdsaKeyPair> {
        let of = |number: u8| {
            let mut text = b"charttrust.io: key that signs statements (ECDSA P-256), ".to_vec();
            text.push(number);
            let secret = hmac::sign(&self.tags, &text);
            let key = [EC_BEFORE, secret.as_ref(), EC_AFTER].concat();
            EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, &key).ok()
        };
        (0..4).find_map(of)
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

/// What stands before and behind the secret number of an `ECPrivateKey` (RFC 5915) on P-256: version 1, 32 bytes; the
/// name of the curve.
const EC_BEFORE: &[u8] = &[0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20];
const EC_AFTER: &[u8] = &[
    0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
];

/// Whether a signature by [`Seal::sign_for_others`] is that of a text, by a key of [`Seal::key_for_others`].
pub fn is_signed(text: &[u8], signature: &[u8], key: &[u8]) -> bool {
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key);
    key.verify(text, signature).is_ok()
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

    #[test]
    fn a_signature_for_others_is_checked_by_the_key_that_they_have() {
        let (seal, other) = (Seal::new(&[7; Seal::LENGTH]), Seal::new(&[8; Seal::LENGTH]));
        let key = seal.key_for_others().unwrap();
        assert_eq!(seal.key_for_others().as_ref(), Some(&key), "it stays");
        assert_ne!(other.key_for_others().as_ref(), Some(&key));
        let signature = seal.sign_for_others(b"text").unwrap();
        assert!(is_signed(b"text", &signature, &key));
        let foreign = other.sign_for_others(b"text").unwrap();
        for (text, signature, key) in [
            ("texT", &signature, &key),
            ("text", &foreign, &key),
            ("text", &signature, &other.key_for_others().unwrap()),
            ("text", &Vec::new(), &key),
            ("text", &signature, &Vec::new()),
        ] {
            assert!(!is_signed(text.as_bytes(), signature, key), "{text}");
        }
    }
}
