//! The closed vocabulary of reasons: one word, one meaning, wherever it is shown.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conditions::Status;

/// A word that may stand as the reason of a condition.
pub trait ConditionReason: fmt::Display {}

/// A word that is not in the vocabulary.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no reason this version knows")]
pub struct UnknownReason(String);

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $word:ident,)+ }) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd,
            Serialize,
        )]
        pub enum $name { $($(#[$doc])* $word,)+ }

        impl $name {
            /// Every word.
            pub const ALL: &[Self] = &[$(Self::$word,)+];

            /// The word itself.
            pub fn word(self) -> &'static str {
                match self { $(Self::$word => stringify!($word),)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.word()) }
        }

        impl FromStr for $name {
            type Err = UnknownReason;
            fn from_str(word: &str) -> Result<Self, UnknownReason> {
                let known = Self::ALL.iter().copied().find(|known| known.word() == word);
                known.ok_or_else(|| UnknownReason(super::bounds::fit(word, 64)))
            }
        }

        impl ConditionReason for $name {}
    };
}

words! {
    /// Why a release is trusted.
    Basis {
        /// Signed; the content of the running release was not compared (level Signature).
        ArchiveVerified,
        /// The policy pins this very archive by digest.
        DigestPinned,
        /// The key was revoked after this operator had verified this very archive.
        Grandfathered,
        /// Signed, and the running release is what was signed.
        SignatureVerified,
    }
}

words! {
    /// Why a release is not trusted.
    UntrustedReason {
        /// The archive can be read in more than one way.
        ArchiveAmbiguous,
        /// No source has this chart and version.
        ChartNotFound,
        /// The running release differs from the signed archive.
        ContentMismatch,
        /// A subchart is not trusted on its own.
        DependencyNotTrusted,
        /// The archive differs from the signed digest.
        DigestMismatch,
        /// The signing key was revoked as compromised.
        KeyCompromised,
        /// The signing key had expired.
        KeyExpired,
        /// The signing key may not speak for this chart or source.
        KeyOutOfScope,
        /// The signing key was superseded or retired before it signed.
        KeyRetired,
        /// The signing key was revoked for a reason that voids all its signatures.
        KeyRevoked,
        /// Signed name or version, archive and release name different charts.
        MetadataMismatch,
        /// The provenance cannot be read as one unambiguous signed statement.
        ProvenanceMalformed,
        /// A listed signer's signature does not belong to this text.
        SignatureInvalid,
        /// No listed signer vouches for the chart, or too few do.
        SignerNotTrusted,
        /// The source has the chart but no provenance for it.
        Unsigned,
        /// The version is outside what the rule allows.
        VersionNotAllowed,
        /// The signature uses an algorithm that no longer proves anything.
        WeakSignature,
    }
}

words! {
    /// Why we cannot tell.
    UnknownCause {
        /// A policy exception forgives the failure for a time.
        Exempt,
        /// A limit on size, count or time was reached.
        LimitExceeded,
        /// No policy applies.
        NoPolicy,
        /// The release cannot be compared with the archive.
        NotBindable,
        /// Not looked at yet.
        Pending,
        /// The release record cannot be read.
        ReleaseUnreadable,
        /// A source gave no usable answer.
        SourceUnavailable,
        /// No source is known for the chart.
        SourceUnknown,
        /// The rule asks for no verification (level None).
        Unmanaged,
    }
}

words! {
    /// Proof of badness: the only reasons that may start a quarantine.
    BadnessReason {
        /// The signing key was revoked as compromised.
        KeyCompromised,
        /// The signing key was revoked for a reason that voids all its signatures.
        KeyRevoked,
    }
}

words! {
    /// Reasons of a `TrustedKey`'s conditions.
    KeyReason {
        /// The key may vouch for charts.
        Accepted,
        /// Revoked: the secret is in other hands.
        Compromised,
        /// The key, or our own `notAfter`, has ended.
        Expired,
        /// The key ends within 30 days.
        ExpiresIn30Days,
        /// The key ends within 7 days.
        ExpiresIn7Days,
        /// The key ends within 90 days.
        ExpiresIn90Days,
        /// The material holds no key of the pinned fingerprint.
        FingerprintMismatch,
        /// A field cannot be used; the message names it.
        InvalidSpec,
        /// What was learned against the key cannot be read, so it is not known to be good.
        LearnedUnreadable,
        /// The ConfigMap or Secret, or its entry, does not exist.
        MaterialMissing,
        /// The material is no usable OpenPGP key.
        MaterialUnusable,
        /// A passing trouble is retried.
        ProgressingWithRetry,
        /// The place to refresh from gave no usable answer.
        RefreshFailed,
        /// A copy of the key was read, and what it revokes was taken over.
        RefreshSucceeded,
        /// Revoked: out of service.
        Retired,
        /// A revocation that may be the key's own cannot be checked, so it counts.
        RevocationNotVerifiable,
        /// Our own revocation was removed; signatures by the key count again.
        RevocationWithdrawn,
        /// Revoked: another key has taken over.
        Superseded,
        /// Revoked without a reason that could be milder.
        Unspecified,
    }
}

words! {
    /// Reasons of a `ChartTrustPolicy`'s conditions.
    PolicyReason {
        /// Every source answered.
        AllReachable,
        /// Every key is there and usable.
        AllResolved,
        /// No release is untrusted or unknown.
        AllTrusted,
        /// An exception has ended.
        ExceptionExpired,
        /// An exception ends soon.
        ExceptionExpiresSoon,
        /// A field cannot be used; the policy is judged as if it trusted nobody.
        InvalidSpec,
        /// A key is missing or not usable; the others count.
        KeysUnresolved,
        /// What is due does not fit the limit.
        LimitReached,
        /// Not every release has been judged yet.
        Pending,
        /// A passing trouble is retried.
        ProgressingWithRetry,
        /// The policy was read and is judged by.
        Reconciled,
        /// A release could not be judged.
        ReleasesUnknown,
        /// At least one release is untrusted.
        ReleasesUntrusted,
        /// A source gave no usable answer.
        SourceUnavailable,
        /// Looks at sources are suspended.
        Suspended,
    }
}

words! {
    /// Reasons of a `ReleaseTrust`'s conditions other than `Trusted`.
    ReleaseReason {
        /// The release is contained.
        Active,
        /// Containment is recommended and waits for a person.
        AwaitingApproval,
        /// The release was judged.
        Evaluated,
        /// Looks at the source failed for two intervals.
        LookFailed,
        /// The last look was answered.
        LookSucceeded,
        /// The source was not looked at yet.
        NotLooked,
        /// A passing trouble is retried.
        ProgressingWithRetry,
        /// The record could not be read.
        ReleaseUnreadable,
        /// A person ended the containment.
        Released,
    }
}

words! {
    /// Reasons of a `Quarantine`'s conditions.
    QuarantineReason {
        /// Somebody has changed contained objects; those changes are kept.
        ChangedByOthers,
        /// What was asked for is done.
        Contained,
        /// It is under way.
        Containing,
        /// The operator runs without `--quarantine`.
        Disabled,
        /// Nothing in the release can be contained by these actions.
        NothingToContain,
        /// What objects carry and what was recorded disagree.
        OriginalsDisagree,
        /// The record is stored in another namespace than the release runs in.
        OtherNamespace,
        /// Other NetworkPolicies allow traffic to the same pods.
        OtherPoliciesAllow,
        /// A passing trouble is retried.
        ProgressingWithRetry,
        /// The namespace is protected.
        Protected,
        /// There is no release of this name in this namespace.
        ReleaseNotFound,
        /// The release record cannot be read.
        ReleaseUnreadable,
        /// What was recorded is put back.
        Restoring,
        /// Pods of others have the same labels, so they are not isolated.
        SelectorShared,
        /// NetworkPolicies deny it; whether the network plugin obeys them was not checked.
        TrafficDenied,
    }
}

/// The reason of a `Trusted` condition.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum TrustedReason {
    /// Trusted is Unknown.
    Unknown(UnknownCause),
    /// Trusted is False.
    Untrusted(UntrustedReason),
    /// Trusted is True.
    Trusted(Basis),
}

impl TrustedReason {
    /// The status that goes with the reason.
    pub fn status(self) -> Status {
        match self {
            Self::Trusted(_) => Status::True,
            Self::Unknown(_) => Status::Unknown,
            Self::Untrusted(_) => Status::False,
        }
    }
}

impl fmt::Display for TrustedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trusted(basis) => basis.fmt(f),
            Self::Unknown(cause) => cause.fmt(f),
            Self::Untrusted(reason) => reason.fmt(f),
        }
    }
}

impl FromStr for TrustedReason {
    type Err = UnknownReason;

    fn from_str(word: &str) -> Result<Self, UnknownReason> {
        let trusted = word.parse().map(Self::Trusted);
        let unknown = || word.parse().map(Self::Unknown);
        let untrusted = || word.parse().map(Self::Untrusted);
        trusted
            .or_else(|_| unknown())
            .or_else(|_: UnknownReason| untrusted())
    }
}

impl ConditionReason for TrustedReason {}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_trusted_reason() -> impl Iterator<Item = TrustedReason> {
        let trusted = Basis::ALL.iter().map(|word| TrustedReason::Trusted(*word));
        let unknown = UnknownCause::ALL
            .iter()
            .map(|word| TrustedReason::Unknown(*word));
        let untrusted = UntrustedReason::ALL
            .iter()
            .map(|word| TrustedReason::Untrusted(*word));
        trusted.chain(unknown).chain(untrusted)
    }

    #[test]
    fn every_reason_reads_back_as_itself() {
        for reason in every_trusted_reason() {
            assert_eq!(reason.to_string().parse(), Ok(reason));
        }
        assert!("Nonsense".parse::<TrustedReason>().is_err());
    }

    #[test]
    fn only_proof_of_badness_may_quarantine() {
        for reason in BadnessReason::ALL {
            assert!(reason.word().parse::<UntrustedReason>().is_ok());
        }
        assert_eq!(BadnessReason::ALL.len(), 2);
    }

    #[test]
    fn words_are_in_alphabetical_order() {
        assert!(UntrustedReason::ALL.is_sorted_by_key(|word| word.word()));
        assert!(UnknownCause::ALL.is_sorted_by_key(|word| word.word()));
        assert!(KeyReason::ALL.is_sorted_by_key(|word| word.word()));
        assert!(PolicyReason::ALL.is_sorted_by_key(|word| word.word()));
        assert!(QuarantineReason::ALL.is_sorted_by_key(|word| word.word()));
        assert!(ReleaseReason::ALL.is_sorted_by_key(|word| word.word()));
    }
}
