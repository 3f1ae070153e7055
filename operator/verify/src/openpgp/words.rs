//! The closed list of answers about one signature and one certificate.

use std::fmt;

/// What one signature, or one key, is worth under one certificate.
///
/// The rules behind each word follow RFC 9580; `Valid` is the only word that gives trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Word {
    /// Everything that was asked for was proved.
    Valid,
    /// The key had expired at the time in question (section 5.2.3.13).
    Expired,
    /// A revocation that counts for every signature whatever its date (section 5.2.3.31).
    RevokedHard {
        /// The reason given is code 2, key material compromised.
        compromised: bool,
    },
    /// A superseded or retired key signed at or after its revocation.
    RevokedSoft,
    /// A revocation names this key and cannot be checked, so it may be true.
    RevocationNotVerifiable,
    /// The primary key has no self-signature that counts (section 10.1).
    NoValidSelfSignature,
    /// The primary key does not bind the signing subkey (section 5.2.1.8).
    NotBound,
    /// The subkey does not confirm its primary key (section 5.2.1.9).
    NoBackSignature,
    /// The key flags do not allow signing (section 5.2.3.29).
    NotSigningCapable,
    /// The hash algorithm is broken or too short (section 9.5).
    WeakHash,
    /// The key is too short (section 12.4).
    WeakKey,
    /// The algorithm, curve or version is not accepted.
    UnsupportedAlgorithm,
    /// A critical subpacket is not understood (section 5.2.3.7).
    CriticalUnknown,
    /// The creation time lies in the future.
    FromFuture,
    /// The signature is older than the key that made it.
    PredatesKey,
    /// The signature's own lifetime has ended (section 5.2.3.18).
    SignatureExpired,
    /// Not a text signature with exactly one creation time for everybody (section 5.2.1.2).
    WrongType,
    /// No issuer, or issuers that contradict each other (sections 5.2.3.12, 5.2.3.35).
    NoIssuer,
    /// The mathematics say no.
    BadSignature,
    /// The signature was not made by a key of this certificate.
    UnknownKey,
}

impl Word {
    /// The words of signatures that can never become good, which evidence keeps.
    pub const FAULTS: &[Self] = &[
        Self::BadSignature,
        Self::CriticalUnknown,
        Self::NoIssuer,
        Self::PredatesKey,
        Self::SignatureExpired,
        Self::UnsupportedAlgorithm,
        Self::WeakHash,
        Self::WeakKey,
        Self::WrongType,
    ];

    /// The word of a signature that can never become good, from how [`Self::as_str`] writes it.
    pub fn of_fault(word: &str) -> Option<Self> {
        let mut faults = Self::FAULTS.iter().copied();
        faults.find(|fault| fault.as_str() == word)
    }

    /// The word itself, for findings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "Valid",
            Self::Expired => "Expired",
            Self::RevokedHard { .. } => "RevokedHard",
            Self::RevokedSoft => "RevokedSoft",
            Self::RevocationNotVerifiable => "RevocationNotVerifiable",
            Self::NoValidSelfSignature => "NoValidSelfSignature",
            Self::NotBound => "NotBound",
            Self::NoBackSignature => "NoBackSignature",
            Self::NotSigningCapable => "NotSigningCapable",
            Self::WeakHash => "WeakHash",
            Self::WeakKey => "WeakKey",
            Self::UnsupportedAlgorithm => "UnsupportedAlgorithm",
            Self::CriticalUnknown => "CriticalUnknown",
            Self::FromFuture => "FromFuture",
            Self::PredatesKey => "PredatesKey",
            Self::SignatureExpired => "SignatureExpired",
            Self::WrongType => "WrongType",
            Self::NoIssuer => "NoIssuer",
            Self::BadSignature => "BadSignature",
            Self::UnknownKey => "UnknownKey",
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(sentence(*self))
    }
}

fn sentence(word: Word) -> &'static str {
    match word {
        Word::Valid => "the signature is valid",
        Word::Expired => "the key has expired",
        Word::RevokedHard { compromised: true } => "the key is revoked as compromised",
        Word::RevokedHard { compromised: false } => "the key is revoked for all signatures",
        Word::RevokedSoft => "the signature was made after the key was retired or superseded",
        Word::RevocationNotVerifiable => {
            "a revocation names the key and cannot be checked, so the key is not used"
        }
        Word::NoValidSelfSignature => "the key has no valid self-signature",
        Word::NotBound => "the signing subkey is not bound to the primary key",
        Word::NoBackSignature => "the signing subkey does not confirm its primary key",
        Word::NotSigningCapable => "the key is not marked as a signing key",
        Word::WeakHash => "the signature uses a hash algorithm that is not safe",
        Word::WeakKey => "the key is shorter than 2048 bit RSA",
        Word::UnsupportedAlgorithm => {
            "the signature or its key uses an algorithm or version that is not accepted"
        }
        Word::CriticalUnknown => "the signature has a critical part that is not understood",
        Word::FromFuture => "the signature or its key claims to be made in the future",
        Word::PredatesKey => "the signature claims to be older than its key",
        Word::SignatureExpired => "the signature has expired",
        Word::WrongType => "the signature is not a public text signature with one creation time",
        Word::NoIssuer => "the signature does not say clearly which key made it",
        Word::BadSignature => "the signature does not match the text",
        Word::UnknownKey => "the signature was made by another key",
    }
}
