//! Why a bundle does not verify, in words of our own.

use std::fmt;

use sigstore_verify::{CertificateError, Error, TimestampError, TransparencyLogError, bundle};

use crate::finding::bounded;
use crate::verdict::{Cause, Reason};

/// Why a bundle does not verify.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Fault {
    code: Code,
    detail: String,
}

/// The closed list of what can be wrong with a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// A good signature of another artifact.
    ArtifactMismatch,
    /// An authority of the trusted root whose time in it does not cover the signature.
    AuthorityNotValid,
    /// An authority that the trusted root does not have.
    AuthorityUnknown,
    /// A certificate that is not one for signing, or says not who holds it.
    CertificateInvalid,
    /// The signature was made outside the life of the certificate.
    CertificateNotValid,
    /// The log entry is that of another signature.
    EntryMismatch,
    /// Something that is dated ahead of the clock.
    FromFuture,
    /// The certificate says more than is read.
    LimitExceeded,
    /// A log of the trusted root did not say what the bundle says it did.
    LogProofInvalid,
    /// It contradicts itself, or the format.
    Malformed,
    /// Nothing proves that, or when, the signature was made public.
    NotLogged,
    /// Made by a key where an identity is asked for, by an identity where a key is, or by another key.
    OtherSigner,
    /// The mathematics say no.
    SignatureInvalid,
    /// A timestamp that its authority did not make for this signature.
    TimestampInvalid,
    /// An algorithm that is not accepted, or that needs the artifact itself.
    Unsupported,
}

/// The word of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Said {
    /// Not trusted, and why.
    Reason(Reason),
    /// Not known, and why.
    Cause(Cause),
}

impl Code {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::ArtifactMismatch,
        Self::AuthorityNotValid,
        Self::AuthorityUnknown,
        Self::CertificateInvalid,
        Self::CertificateNotValid,
        Self::EntryMismatch,
        Self::FromFuture,
        Self::LimitExceeded,
        Self::LogProofInvalid,
        Self::Malformed,
        Self::NotLogged,
        Self::OtherSigner,
        Self::SignatureInvalid,
        Self::TimestampInvalid,
        Self::Unsupported,
    ];

    /// The word itself, for findings.
    pub fn word(self) -> &'static str {
        match self {
            Self::ArtifactMismatch => "ArtifactMismatch",
            Self::AuthorityNotValid => "AuthorityNotValid",
            Self::AuthorityUnknown => "AuthorityUnknown",
            Self::CertificateInvalid => "CertificateInvalid",
            Self::CertificateNotValid => "CertificateNotValid",
            Self::EntryMismatch => "EntryMismatch",
            Self::FromFuture => "FromFuture",
            Self::LimitExceeded => "LimitExceeded",
            Self::LogProofInvalid => "LogProofInvalid",
            Self::Malformed => "Malformed",
            Self::NotLogged => "NotLogged",
            Self::OtherSigner => "OtherSigner",
            Self::SignatureInvalid => "SignatureInvalid",
            Self::TimestampInvalid => "TimestampInvalid",
            Self::Unsupported => "Unsupported",
        }
    }

    /// The code of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.word() == word)
    }

    /// What it is in a verdict.
    ///
    /// What the root lacks is never tampering: the root may be the wrong one.
    pub fn said(self) -> Said {
        Said::Reason(match self {
            Self::LimitExceeded => return Said::Cause(Cause::LimitExceeded),
            Self::NotLogged => Reason::TransparencyMissing,
            Self::ArtifactMismatch => Reason::DigestMismatch,
            Self::AuthorityNotValid
            | Self::AuthorityUnknown
            | Self::CertificateInvalid
            | Self::CertificateNotValid
            | Self::FromFuture
            | Self::OtherSigner => Reason::SignerNotTrusted,
            Self::EntryMismatch
            | Self::LogProofInvalid
            | Self::SignatureInvalid
            | Self::TimestampInvalid => Reason::SignatureInvalid,
            Self::Malformed => Reason::ProvenanceMalformed,
            Self::Unsupported => Reason::WeakSignature,
        })
    }
}

impl Code {
    /// What usually stands behind it, for people.
    pub fn cause(self) -> &'static str {
        match self {
            Self::ArtifactMismatch => {
                "It is a good signature of something else: of another chart, or of the archive where the \
                 manifest of a registry is meant."
            }
            Self::AuthorityNotValid => {
                "Who vouches for it is in the trusted root, for another time than that of the signature."
            }
            Self::AuthorityUnknown => {
                "Who vouches for it is not in the trusted root: it is from another Sigstore, or the root is old."
            }
            Self::CertificateInvalid => {
                "Its certificate is not one for signing, or does not say who holds it."
            }
            Self::CertificateNotValid => {
                "It was made before its certificate began, or after that had ended."
            }
            Self::EntryMismatch => "The log entry in it is that of another signature.",
            Self::FromFuture => "It is dated ahead of our clock: one of the clocks is wrong.",
            Self::LimitExceeded => "Its certificate says more than is read.",
            Self::LogProofInvalid => "The log has not said what the signature says it did.",
            Self::Malformed => "It contradicts itself, or the format.",
            Self::NotLogged => "Nothing proves that, or when, it was made public.",
            Self::OtherSigner => {
                "It is by a key where an identity is asked for, or the other way round, or by another key."
            }
            Self::SignatureInvalid => "It was changed after it was made.",
            Self::TimestampInvalid => "The timestamp in it was made for another signature.",
            Self::Unsupported => {
                "The algorithm is not accepted, or signs the archive itself where only its digest is at hand."
            }
        }
    }

    /// What to do next.
    pub fn step(self) -> &'static str {
        match self {
            Self::ArtifactMismatch => {
                "Sign this chart: `cosign sign` by the digest of its manifest."
            }
            Self::AuthorityNotValid | Self::AuthorityUnknown => {
                "Give the trusted root of the Sigstore that it is from (`trustedRootRef`, `--trusted-root`)."
            }
            Self::CertificateInvalid => "Sign with a certificate of Fulcio, or with a key.",
            Self::CertificateNotValid => "Sign again, and within the life of the certificate.",
            Self::FromFuture => "Set the clock and look again.",
            Self::NotLogged => "Sign with a transparency log or a timestamp authority.",
            Self::OtherSigner => {
                "List who has signed it, or have it signed by whom the rule lists."
            }
            Self::EntryMismatch
            | Self::LogProofInvalid
            | Self::SignatureInvalid
            | Self::TimestampInvalid => {
                "Find out who has published it so; publish the original signature again."
            }
            Self::LimitExceeded | Self::Malformed => "Sign again with a current cosign.",
            Self::Unsupported => "Sign with a key on P-256 and SHA-256, as cosign does by itself.",
        }
    }
}

impl Said {
    /// The word itself.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reason(reason) => reason.word(),
            Self::Cause(cause) => cause.word(),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Fault {
    pub(super) fn new(code: Code, detail: impl AsRef<str>) -> Self {
        Self {
            code,
            detail: bounded(detail.as_ref()),
        }
    }

    /// What is wrong.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What exactly, fit for a status.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::new(code(&error), error.to_string())
    }
}

fn code(error: &Error) -> Code {
    match error {
        Error::ArtifactMismatch(_) => Code::ArtifactMismatch,
        Error::Bundle(error) => code_of_structure(error),
        Error::Certificate(error) => code_of_certificate(error),
        Error::Crypto(_) | Error::UnsupportedArtifact(_) | Error::UnsupportedBundle(_) => {
            Code::Unsupported
        }
        // A verifier was made of the root; what is left is a log of certificates that it does not have.
        Error::InvalidTrustRoot(_) => Code::AuthorityUnknown,
        Error::SignatureInvalid(_) => Code::SignatureInvalid,
        Error::Timestamp(error) => code_of_timestamp(error),
        Error::TransparencyLog(error) => code_of_log(error),
        _ => Code::Malformed,
    }
}

fn code_of_structure(error: &bundle::Error) -> Code {
    match error {
        bundle::Error::MissingInclusionPromise(_)
        | bundle::Error::MissingInclusionProof(_)
        | bundle::Error::MissingSigningTimeEvidence
        | bundle::Error::MissingTimestamp => Code::NotLogged,
        _ => Code::Malformed,
    }
}

fn code_of_certificate(error: &CertificateError) -> Code {
    match error {
        CertificateError::ChainInvalid(text)
            if UNKNOWN_ISSUER.iter().any(|part| text.contains(part)) =>
        {
            Code::AuthorityUnknown
        }
        CertificateError::ChainInvalid(text) if NOT_NOW.iter().any(|part| text.contains(part)) => {
            Code::CertificateNotValid
        }
        CertificateError::NoValidAuthority { .. } => Code::AuthorityNotValid,
        CertificateError::Expired { .. } | CertificateError::NotYetValid { .. } => {
            Code::CertificateNotValid
        }
        _ => Code::CertificateInvalid,
    }
}

fn code_of_timestamp(error: &TimestampError) -> Code {
    match error {
        TimestampError::NoVerifiedTimestamp(_) => Code::NotLogged,
        TimestampError::OutsideAuthorityValidity { .. } => Code::AuthorityNotValid,
        _ => Code::TimestampInvalid,
    }
}

fn code_of_log(error: &TransparencyLogError) -> Code {
    match error {
        TransparencyLogError::EntryMismatch(_) => Code::EntryMismatch,
        TransparencyLogError::InclusionPromise(text) if text.contains(LOG_NOT_VALID) => {
            Code::AuthorityNotValid
        }
        TransparencyLogError::IntegratedTime(text) if text.contains(IN_FUTURE) => Code::FromFuture,
        TransparencyLogError::IntegratedTime(_) => Code::CertificateNotValid,
        TransparencyLogError::MalformedEntry(_) => Code::Malformed,
        TransparencyLogError::UnknownLog { .. } => Code::AuthorityUnknown,
        _ => Code::LogProofInvalid,
    }
}

// What the crate tells in its text only; `tests/sigstore/words.rs` holds each of them.
/// The second of an authority that has only the name of one of the root.
const UNKNOWN_ISSUER: [&str; 2] = ["UnknownIssuer", "InvalidSignatureForPublicKey"];
const NOT_NOW: [&str; 2] = ["CertExpired", "CertNotValidYet"];
const LOG_NOT_VALID: &str = "No log key valid at integrated time";
const IN_FUTURE: &str = "in the future";
