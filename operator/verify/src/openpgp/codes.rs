//! The closed list of answers about one signature and one certificate.

use std::fmt;

/// What one signature, or one key, is worth under one certificate.
///
/// The rules behind each word follow RFC 9580; `Valid` is the only word that gives trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
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
    /// Nothing but the fingerprint of the key is known now.
    NoMaterial,
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

impl Code {
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

    /// The words of keys and signatures that may become good, or were so once.
    pub const OF_KEYS: &[Self] = &[
        Self::Expired,
        Self::RevokedHard { compromised: false },
        Self::RevokedHard { compromised: true },
        Self::RevokedSoft,
        Self::RevocationNotVerifiable,
        Self::NoValidSelfSignature,
        Self::NotBound,
        Self::NoBackSignature,
        Self::NoMaterial,
        Self::NotSigningCapable,
        Self::FromFuture,
    ];

    /// The word of a signature that can never become good, as [`Self::word`] writes it.
    pub fn of_fault(word: &str) -> Option<Self> {
        let mut faults = Self::FAULTS.iter().copied();
        faults.find(|fault| fault.word() == word)
    }

    /// The code of this word, whatever it is about. Of a hard revocation the reason is not in the word.
    pub fn of_word(word: &str) -> Option<Self> {
        let mut codes = Self::FAULTS.iter().chain(Self::OF_KEYS).copied();
        codes.find(|code| code.word() == word)
    }

    /// The word itself, for findings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Valid => "Valid",
            Self::Expired => "Expired",
            Self::RevokedHard { .. } => "RevokedHard",
            Self::RevokedSoft => "RevokedSoft",
            Self::RevocationNotVerifiable => "RevocationNotVerifiable",
            Self::NoValidSelfSignature => "NoValidSelfSignature",
            Self::NotBound => "NotBound",
            Self::NoBackSignature => "NoBackSignature",
            Self::NoMaterial => "NoMaterial",
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

impl Code {
    /// What usually stands behind it, for people.
    pub fn cause(self) -> &'static str {
        match self {
            Self::Valid => "Everything that was asked for was proved.",
            Self::Expired => "The key, or the subkey that signed, has ended.",
            Self::RevokedHard { compromised: true } => {
                "The key is revoked: the secret is in other hands."
            }
            Self::RevokedHard { compromised: false } => {
                "The key is revoked without a reason that could be milder."
            }
            Self::RevokedSoft => "It was made after the key was retired or superseded.",
            Self::RevocationNotVerifiable => {
                "A revocation that may be the key's own cannot be checked, so it counts."
            }
            Self::NoValidSelfSignature => {
                "The key has no user ID or statement of its own that counts: some key servers leave \
                 them out, and old ones were made with SHA-1."
            }
            Self::NotBound => {
                "The primary key does not say that the subkey that signed is its own."
            }
            Self::NoBackSignature => {
                "The subkey that signed does not say that it belongs to the key."
            }
            Self::NoMaterial => {
                "The TrustedKey is there, and its key material is not, or is damaged."
            }
            Self::NotSigningCapable => {
                "The key that signed is not marked for signing: Helm signs with the primary key, which \
                 may only certify where a subkey signs."
            }
            Self::WeakHash => "SHA-1 or MD5.",
            Self::WeakKey => "RSA of less than 2048 bits.",
            Self::UnsupportedAlgorithm => "DSA, a curve or a version that we do not accept.",
            Self::CriticalUnknown => "It carries a condition that we do not know.",
            Self::FromFuture => {
                "It, or its key, claims to be made later than now: a clock is wrong."
            }
            Self::PredatesKey => {
                "It claims to be older than the key that made it: a clock was wrong."
            }
            Self::SignatureExpired => "It has an end of its own, which has passed.",
            Self::WrongType => "A signature for something else was pasted in.",
            Self::NoIssuer => {
                "It does not say which key made it, or says it twice and differently."
            }
            Self::BadSignature => "The text was changed after it was signed.",
            Self::UnknownKey => "None of the keys that are known made it.",
        }
    }

    /// What to do about it.
    pub fn step(self) -> &'static str {
        match self {
            Self::Valid => "None.",
            Self::Expired => "Sign with a current key, or extend this one and apply it again.",
            Self::RevokedHard { .. } => "Look at what it signed; sign with another key.",
            Self::RevokedSoft => "Sign with the successor.",
            Self::RevocationNotVerifiable => {
                "Have the revocation made again with a current algorithm, or change keys."
            }
            Self::NoValidSelfSignature => {
                "Export the key where it was made (`gpg --armor --export`), not from a key server."
            }
            Self::NotBound | Self::NoBackSignature => {
                "Export the key again with all of its subkeys, from where it was made."
            }
            Self::NoMaterial => "Mend what the TrustedKey says in its condition Valid.",
            Self::NotSigningCapable => {
                "Sign by `gpg --clearsign` with the signing subkey, or with a key that may sign itself."
            }
            Self::WeakHash => "Sign with SHA-256 or longer, as GnuPG does by itself.",
            Self::WeakKey => "Make a new key.",
            Self::UnsupportedAlgorithm => {
                "Sign with RSA (2048 bits or more), Ed25519 or a NIST curve."
            }
            Self::CriticalUnknown => "Sign with GnuPG, without notations that are marked critical.",
            Self::FromFuture | Self::PredatesKey => "Set the clock and sign again.",
            Self::SignatureExpired => "Sign again without `--default-sig-expire`.",
            Self::WrongType => "Sign by `helm package --sign` or `gpg --clearsign`.",
            Self::NoIssuer => "Sign with a current GnuPG.",
            Self::BadSignature => "Publish the original `.prov` again.",
            Self::UnknownKey => "Declare and list the key if you trust its owner.",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(sentence(*self))
    }
}

fn sentence(word: Code) -> &'static str {
    match word {
        Code::Valid => "the signature is valid",
        Code::Expired => "the key has expired",
        Code::RevokedHard { compromised: true } => "the key is revoked as compromised",
        Code::RevokedHard { compromised: false } => "the key is revoked for all signatures",
        Code::RevokedSoft => "the signature was made after the key was retired or superseded",
        Code::RevocationNotVerifiable => {
            "a revocation names the key and cannot be checked, so the key is not used"
        }
        Code::NoValidSelfSignature => "the key has no valid self-signature",
        Code::NotBound => "the signing subkey is not bound to the primary key",
        Code::NoBackSignature => "the signing subkey does not confirm its primary key",
        Code::NoMaterial => "the key's material is missing or cannot be used",
        Code::NotSigningCapable => "the key is not marked as a signing key, or has no marks at all",
        Code::WeakHash => "the signature uses a hash algorithm that is not safe",
        Code::WeakKey => "the key is shorter than 2048 bit RSA",
        Code::UnsupportedAlgorithm => {
            "the signature or its key uses an algorithm or version that is not accepted"
        }
        Code::CriticalUnknown => "the signature has a critical part that is not understood",
        Code::FromFuture => "the signature or its key claims to be made in the future",
        Code::PredatesKey => "the signature claims to be older than its key",
        Code::SignatureExpired => "the signature has expired",
        Code::WrongType => "the signature is not a public text signature with one creation time",
        Code::NoIssuer => "the signature does not say clearly which key made it",
        Code::BadSignature => "the signature does not match the text",
        Code::UnknownKey => "the signature was made by another key",
    }
}
