//! `OpenPGP`: which key made a signature over a text, and whether that key may be believed.
//!
//! Bytes and times in, words out; touches no clock, file or network. The crate `pgp` gives
//! packets' numbers and mathematics only, and none of its types leaves this room; every rule of
//! validity is ours:
//!
//! 1. [`load`] reads a certificate and checks, once, every statement the key makes about itself.
//! 2. [`parse_cleartext`] splits a message; what it answers is claimed and not verified.
//! 3. [`verify`] checks one signature against one certificate, whatever the time.
//! 4. [`signature_validity`] says what that signature is worth at a time; it needs no bytes.
//!
//! # Caveats
//! When a signature was made is written by the signer. Rules that depend on it (expiry, soft
//! revocation) hold against mistakes, not against a thief of the key: that is what hard
//! revocations are for.

mod acceptance;
mod armor;
mod assemble;
mod budget;
mod bytes;
mod certificate;
mod cleartext;
mod codes;
mod crypto;
mod error;
mod excerpt;
mod fast_rsa;
mod fingerprint;
mod keys;
mod learned;
pub mod limits;
mod material;
mod packets;
mod revocation;
mod signature;
mod summary;
mod time;
mod validity;
mod verified;
mod verify;

pub use armor::ArmorError;
pub use assemble::{ClaimedRevocations, load, load_all, skipped_versions};
pub use certificate::Certificate;
pub use cleartext::{ClaimedSignature, CleartextError, SignedMessage, parse_cleartext};
pub use codes::Code;
pub use error::CertificateError;
pub use excerpt::Excerpt;
pub use fingerprint::{Fingerprint, FingerprintError};
pub use learned::{Learned, LeftOut};
pub use packets::FramingError;
pub use revocation::CertificateRevocation;
pub use summary::{SigningKey, Summary};
pub use validity::{Validity, signature_validity};
pub use verified::{SignatureRecord, VerifiedSignature};
pub use verify::verify;
