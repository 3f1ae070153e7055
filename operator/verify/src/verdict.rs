//! The answer: trusted, not trusted, or not known, each with one word that says why.
//!
//! The words are a closed vocabulary. Conditions, events, metrics, the command line and the
//! documentation all use them, so a word never has two meanings.

use std::cmp::Reverse;
use std::fmt;

/// The answer to "is the chart behind this release trusted?".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Proof was found; the basis says what the trust rests on.
    Trusted(Basis),
    /// We could not find out. Never bad, never good.
    Unknown(Cause),
    /// We know, and the answer is no.
    Untrusted(Reason),
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $word:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $word,)+ }

        impl $name {
            /// Every word, in the order in which they become the headline.
            pub const ALL: &[Self] = &[$(Self::$word,)+];

            /// The word itself, as conditions, events and metrics show it.
            pub fn word(self) -> &'static str {
                match self { $(Self::$word => stringify!($word),)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.word()) }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownWord;
            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|known| known.word() == word)
                    .ok_or_else(|| UnknownWord(word.chars().take(64).collect()))
            }
        }
    };
}

/// A word that is not in the vocabulary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no word of this vocabulary")]
pub struct UnknownWord(String);

words! {
    /// What trust rests on, strongest first.
    Basis {
        /// Signed, and the content of the running release was compared with the signed archive.
        SignatureVerified,
        /// Signed; the content of the release was not compared (level `Signature`).
        ArchiveVerified,
        /// The archive is one that the policy pins by digest.
        DigestPinned,
        /// The key was revoked later than our own first verification of this very archive.
        Grandfathered,
    }
}

words! {
    /// Why a release is not trusted, worst first: badness, tampering, then missing proof.
    Reason {
        /// The signing key was revoked as compromised.
        KeyCompromised,
        /// The signing key was revoked for a reason that makes all its signatures void.
        KeyRevoked,
        /// The running release differs from the signed archive.
        ContentMismatch,
        /// The archive differs from the signed digest.
        DigestMismatch,
        /// Signed name or version, archive and release name different charts.
        MetadataMismatch,
        /// A listed signer's signature does not belong to this text.
        SignatureInvalid,
        /// The key was superseded or retired before this signature was made.
        KeyRetired,
        /// The key had expired.
        KeyExpired,
        /// The key may not speak for this chart or source.
        KeyOutOfScope,
        /// No listed signer vouches for this chart, or too few do.
        SignerNotTrusted,
        /// The signature uses an algorithm that no longer proves anything.
        WeakSignature,
        /// The provenance file cannot be read as one unambiguous signed statement.
        ProvenanceMalformed,
        /// The archive can be read in more than one way.
        ArchiveAmbiguous,
        /// The source has the chart but no provenance for it.
        Unsigned,
        /// The version is outside what the rule allows.
        VersionNotAllowed,
        /// No source has this chart and version.
        ChartNotFound,
        /// A subchart is not trusted on its own (`dependencies: Verify`).
        DependencyNotTrusted,
    }
}

words! {
    /// Why we cannot tell.
    Cause {
        /// A source did not give a usable answer.
        SourceUnavailable,
        /// A limit on size, count or time was reached.
        LimitExceeded,
        /// The release record cannot be read.
        ReleaseUnreadable,
        /// No source is known for this chart.
        SourceUnknown,
        /// The release cannot be compared with the archive.
        NotBindable,
        /// Not looked at yet.
        Pending,
        /// A policy exception forgives the failure; the real verdict is a finding.
        Exempt,
        /// The rule asks for no verification (level `None`).
        Unmanaged,
        /// No policy applies.
        NoPolicy,
    }
}

/// Classes of verdicts, the worst last, so that `max` is the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A rule says on purpose that nothing is checked.
    Unmanaged,
    /// Proof was found.
    Trusted,
    /// Forgiven by an exception.
    Exempt,
    /// Could not tell.
    CouldNotTell,
    /// A required proof is missing or too old.
    ProofMissing,
    /// Signs of tampering.
    Tampering,
    /// Proof of badness: the only class that may start a quarantine.
    Badness,
}

impl Reason {
    /// How bad this reason is.
    pub fn class(self) -> Class {
        match self {
            Self::KeyCompromised | Self::KeyRevoked => Class::Badness,
            Self::ContentMismatch
            | Self::DigestMismatch
            | Self::MetadataMismatch
            | Self::SignatureInvalid => Class::Tampering,
            Self::KeyRetired
            | Self::KeyExpired
            | Self::KeyOutOfScope
            | Self::SignerNotTrusted
            | Self::WeakSignature
            | Self::ProvenanceMalformed
            | Self::ArchiveAmbiguous
            | Self::Unsigned
            | Self::VersionNotAllowed
            | Self::ChartNotFound
            | Self::DependencyNotTrusted => Class::ProofMissing,
        }
    }
}

impl Verdict {
    /// The one word of this verdict.
    pub fn word(self) -> &'static str {
        match self {
            Self::Trusted(basis) => basis.word(),
            Self::Unknown(cause) => cause.word(),
            Self::Untrusted(reason) => reason.word(),
        }
    }

    /// The class that decides which of several verdicts is the worst.
    pub fn class(self) -> Class {
        match self {
            Self::Trusted(_) => Class::Trusted,
            Self::Unknown(Cause::Exempt) => Class::Exempt,
            Self::Unknown(Cause::Unmanaged) => Class::Unmanaged,
            Self::Unknown(_) => Class::CouldNotTell,
            Self::Untrusted(reason) => reason.class(),
        }
    }

    /// Whether this is `Trusted`.
    pub fn is_trusted(self) -> bool {
        matches!(self, Self::Trusted(_))
    }

    /// The worst of several verdicts, in the order badness, tampering, proof missing, could not
    /// tell, exempt, trusted, unmanaged; within a class the first in vocabulary order.
    pub fn worst(verdicts: impl IntoIterator<Item = Self>) -> Option<Self> {
        verdicts.into_iter().max_by_key(|verdict| verdict.rank())
    }

    /// What [`Self::worst`] orders by, the worst last.
    pub(crate) fn rank(self) -> (Class, Reverse<usize>) {
        let position = match self {
            Self::Trusted(basis) => position(Basis::ALL, basis),
            Self::Unknown(cause) => position(Cause::ALL, cause),
            Self::Untrusted(reason) => position(Reason::ALL, reason),
        };
        (self.class(), Reverse(position))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trusted(basis) => write!(f, "Trusted/{basis}"),
            Self::Unknown(cause) => write!(f, "Unknown/{cause}"),
            Self::Untrusted(reason) => write!(f, "Untrusted/{reason}"),
        }
    }
}

fn position<T: Copy + PartialEq>(all: &[T], word: T) -> usize {
    all.iter()
        .position(|known| *known == word)
        .unwrap_or(all.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of_each_class_worst_first() -> [Verdict; 7] {
        [
            Verdict::Untrusted(Reason::KeyRevoked),
            Verdict::Untrusted(Reason::SignatureInvalid),
            Verdict::Untrusted(Reason::DependencyNotTrusted),
            Verdict::Unknown(Cause::NoPolicy),
            Verdict::Unknown(Cause::Exempt),
            Verdict::Trusted(Basis::SignatureVerified),
            Verdict::Unknown(Cause::Unmanaged),
        ]
    }

    #[test]
    fn no_verdicts_have_no_worst() {
        assert_eq!(Verdict::worst([]), None);
    }

    #[test]
    fn a_worse_class_wins_in_either_order() {
        let verdicts = one_of_each_class_worst_first();
        for (i, worse) in verdicts.iter().enumerate() {
            for better in &verdicts[i..] {
                assert_eq!(Verdict::worst([*worse, *better]), Some(*worse));
                assert_eq!(Verdict::worst([*better, *worse]), Some(*worse));
            }
        }
    }

    #[test]
    fn within_a_class_the_first_word_is_the_headline() {
        for class in [Class::Badness, Class::Tampering, Class::ProofMissing] {
            let reasons: Vec<_> = Reason::ALL.iter().filter(|r| r.class() == class).collect();
            let all = reasons.iter().rev().map(|r| Verdict::Untrusted(**r));
            assert_eq!(Verdict::worst(all), Some(Verdict::Untrusted(*reasons[0])));
        }
    }

    #[test]
    fn words_are_unique_across_the_three_vocabularies() {
        let mut words: Vec<_> = Basis::ALL.iter().map(|w| w.word()).collect();
        words.extend(Reason::ALL.iter().map(|w| w.word()));
        words.extend(Cause::ALL.iter().map(|w| w.word()));
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
    }

    #[test]
    fn a_word_reads_back_as_itself() {
        for reason in Reason::ALL {
            assert_eq!(reason.word().parse::<Reason>(), Ok(*reason));
        }
        assert!("Nonsense".parse::<Reason>().is_err());
    }
}
