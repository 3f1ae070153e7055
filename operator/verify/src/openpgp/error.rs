//! Why key material is refused as a whole.

use std::collections::BTreeSet;

use super::armor::ArmorError;
use super::fingerprint::Fingerprint;
use super::packets::FramingError;

/// Why key material gives no certificate.
///
/// Material is refused as a whole: a part that cannot be read may be the revocation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The armor cannot be read.
    #[error("failed to read the armor")]
    Armor(#[source] ArmorError),
    /// One certificate is larger than allowed.
    #[error(
        "one key is larger than {limit} bytes: export it with `gpg --export-options \
         export-minimal --export --armor`"
    )]
    CertificateTooLarge {
        /// Largest certificate in bytes.
        limit: usize,
    },
    /// A keybox file of GnuPG.
    #[error("this is a GnuPG keybox file: export the key with `gpg --export --armor`")]
    Keybox,
    /// A key packet that contradicts its own lengths.
    #[error("a key packet is malformed")]
    MalformedKey,
    /// A subkey of another version than its primary key (RFC 9580 section 10.1.1).
    #[error("a subkey has another version than its primary key")]
    MixedVersions,
    /// Nothing that looks like a public key.
    #[error("found no OpenPGP public key: expected a `BEGIN PGP PUBLIC KEY BLOCK`")]
    NoKey,
    /// Two certificates were combined that are not the same key.
    #[error("the key has fingerprint {found}, not {expected}")]
    OtherKey {
        /// The fingerprint it should have.
        expected: Fingerprint,
        /// The fingerprint it has.
        found: Fingerprint,
    },
    /// The bytes are no sequence of packets.
    #[error("failed to read the packets")]
    Packets(#[source] FramingError),
    /// The pinned fingerprint is not the primary fingerprint of any certificate.
    #[error(
        "none of the keys has the primary fingerprint {pinned}; found: {}{}",
        list(.found), skipped(.foreign)
    )]
    PinnedNotFound {
        /// The fingerprint of the `TrustedKey`.
        pinned: Fingerprint,
        /// The primary fingerprints that are there.
        found: Vec<Fingerprint>,
        /// Versions of keys that are there and cannot be used.
        foreign: BTreeSet<u8>,
    },
    /// The pinned fingerprint is that of a subkey.
    #[error("{pinned} is a subkey of {primary}: pin the primary key, {primary}")]
    PinnedSubkey {
        /// The fingerprint of the `TrustedKey`.
        pinned: Fingerprint,
        /// The primary key that names it.
        primary: Fingerprint,
    },
    /// A revocation certificate does not revoke this key.
    #[error("revocation certificate {number} does not revoke this key")]
    RevocationOfOtherKey {
        /// Its place in the list, starting with 1.
        number: usize,
    },
    /// The material contains a private key.
    #[error(
        "this contains a PRIVATE key: remove it, replace the key, and give only the public one"
    )]
    SecretKey,
    /// The material is larger than allowed.
    #[error("the key material is larger than {limit} bytes")]
    TooLarge {
        /// Largest material in bytes.
        limit: usize,
    },
    /// Too many certificates.
    #[error("more than {limit} keys")]
    TooManyCertificates {
        /// Most certificates.
        limit: usize,
    },
    /// Too many packets.
    #[error("more than {limit} packets")]
    TooManyPackets {
        /// Most packets.
        limit: usize,
    },
    /// More signatures claim to be by the key itself than are checked.
    #[error(
        "more than {limit} signatures claim to be made by the key itself: export it with \
         `gpg --export-options export-minimal --export --armor`"
    )]
    TooManySelfSignatures {
        /// Most signatures that are checked.
        limit: usize,
    },
    /// Too many subkeys.
    #[error("more than {limit} subkeys")]
    TooManySubkeys {
        /// Most subkeys.
        limit: usize,
    },
    /// A packet that has no place in a public key, or is not known and critical (section 4.3).
    #[error("a packet of type {tag} has no place in a public key")]
    UnexpectedPacket {
        /// Its type.
        tag: u8,
    },
    /// The material is UTF-16.
    #[error("this is UTF-16, as `>` of PowerShell writes it: save it as UTF-8")]
    Utf16,
    /// A key of another version than 4 and 6.
    #[error("keys of version {version} are not supported, only versions 4 and 6")]
    UnsupportedVersion {
        /// The version.
        version: u8,
    },
}

impl CertificateError {
    /// One word for conditions, events and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Armor(_) | Self::Utf16 => "ArmorMalformed",
            Self::CertificateTooLarge { .. }
            | Self::TooLarge { .. }
            | Self::TooManyCertificates { .. }
            | Self::TooManyPackets { .. }
            | Self::TooManySelfSignatures { .. }
            | Self::TooManySubkeys { .. } => "KeyTooLarge",
            Self::Keybox => "Keybox",
            Self::MalformedKey | Self::MixedVersions | Self::Packets(_) => "KeyMalformed",
            Self::NoKey => "NoKey",
            Self::OtherKey { .. } | Self::PinnedNotFound { .. } | Self::PinnedSubkey { .. } => {
                "FingerprintMismatch"
            }
            Self::RevocationOfOtherKey { .. } => "RevocationOfOtherKey",
            Self::SecretKey => "SecretKey",
            Self::UnexpectedPacket { .. } => "UnexpectedPacket",
            Self::UnsupportedVersion { .. } => "UnsupportedVersion",
        }
    }
}

/// A key of another version may be the pinned one, so it is named.
fn skipped(versions: &BTreeSet<u8>) -> String {
    let versions: Vec<_> = versions.iter().map(u8::to_string).collect();
    if versions.is_empty() {
        return String::new();
    }
    let versions = versions.join(" and ");
    format!("; skipped: keys of version {versions}, which are not supported")
}

fn list(fingerprints: &[Fingerprint]) -> String {
    if fingerprints.is_empty() {
        return "no key".to_owned();
    }
    let shown: Vec<_> = fingerprints
        .iter()
        .take(4)
        .map(Fingerprint::as_str)
        .collect();
    let more = if fingerprints.len() > 4 { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}
