//! The answer: trusted, not trusted, or not known, each with one word that says why.
//!
//! The words are closed vocabularies. Conditions, events, metrics, the schema, the command line and
//! the documentation are made of them, so a word never has two meanings. Whoever adds one writes it
//! here, with what to do about it, its class and its link; nothing else lists words by hand.

use std::cmp::Reverse;
use std::fmt;

pub use crate::vocabulary::UnknownWord;
use crate::words;

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

words! {
    /// What trust rests on, strongest first.
    Basis {
        /// Signed, and the content of the running release was compared with the signed archive.
        SignatureVerified:
            "A listed key signed the chart, and the running release is what was signed."
            => "None.",
        /// Signed; the content of the release was not compared (level `Signature`).
        ArchiveVerified:
            "A listed key signed the chart; the content of the release was not compared, at \
             level `Signature` or in CI."
            => "Use `level: Strict` where possible.",
        /// The archive is one that the policy pins by digest.
        DigestPinned: "The rule pins this very archive; a signature is missing."
            => "Ask the publisher to sign; renew the pin with each version.",
        /// The key was revoked later than our own first verification of this very archive.
        Grandfathered:
            "The key was revoked with `grandfather: Witnessed`, after the operator had verified \
             this very archive."
            => "Re-sign with a new key and upgrade.",
    }
}

words! {
    /// Why a release is not trusted, worst first: badness, tampering, then missing proof.
    Reason {
        /// The signing key was revoked as compromised.
        KeyCompromised: "The signing key is revoked as compromised."
            => "Look at the release. Sign a new version with another key and upgrade.",
        /// The signing key was revoked for a reason that makes all its signatures void.
        KeyRevoked: "The signing key is revoked without a reason, which voids all its signatures."
            => "Look at the release, ask the key's owner why, and sign a new version with \
                another key.",
        /// The running release differs from the signed archive.
        ContentMismatch:
            "The running release is not what was signed: installed from a changed folder, or its \
             record was edited."
            => "Read which file in the findings; install the published archive again.",
        /// The archive differs from the signed digest.
        DigestMismatch:
            "The archive in the repository is not the signed one: replaced, or packaged again \
             without `--sign`."
            => "Find out who wrote to the repository; publish archive and `.prov` together.",
        /// Signed name or version, archive and release name different charts.
        MetadataMismatch: "Signed name or version differ from the archive's or the release's."
            => "Check which `.prov` belongs to which archive.",
        /// A listed signer's signature does not belong to this text.
        SignatureInvalid: "The provenance was changed after it was signed."
            => "Publish the original `.prov` again.",
        /// The key was superseded or retired before this signature was made.
        KeyRetired: "Signed after the key was retired or superseded."
            => "Sign with the successor.",
        /// The key had expired.
        KeyExpired:
            "Signed after the key's end; or it has ended since, and the rule says `expiredKeys: \
             Reject`."
            => "Sign with a current key, or extend this one and apply it again.",
        /// The key may not speak for this chart or source.
        KeyOutOfScope: "`spec.scope` of the key does not cover this chart or source."
            => "Widen the scope if that is meant, or sign with the right key.",
        /// No listed signer vouches for this chart, or too few do.
        SignerNotTrusted: "Nobody whom the rule lists signed it, or fewer than `threshold`."
            => "Declare and list the key if you trust its owner.",
        /// The signature uses an algorithm that no longer proves anything.
        WeakSignature:
            "SHA-1, a short key, an algorithm that proves nothing today, or one that we cannot \
             check, as brainpool curves."
            => "Sign with a current key and GnuPG.",
        /// A log entry or timestamp is demanded and missing.
        TransparencyMissing:
            "No log entry or timestamp proves that or when it was signed, and the key (`transparency: Required`), \
             the certificate, or a window of a revocation asks for one."
            => "Sign again with a transparency log or a timestamp authority of the trusted root.",
        /// The provenance file cannot be read as one unambiguous signed statement.
        ProvenanceMalformed:
            "The `.prov` is not one readable signed statement: cut off, or two texts in one \
             file."
            => "Publish the original `.prov` again.",
        /// The archive can be read in more than one way.
        ArchiveAmbiguous: "The archive can be read in more than one way: links, duplicate names."
            => "Package it with `helm package`.",
        /// The source has the chart but no provenance for it.
        Unsigned: "Packaged without `--sign`, the `.prov` not uploaded, or dropped by a mirror."
            => "`helm package --sign`, and upload both files.",
        /// The version is outside what the rule allows.
        VersionNotAllowed: "The version is outside `versions` of the rule."
            => "Upgrade, or change the rule.",
        /// No source has this chart and version.
        ChartNotFound: "No source of the rule has this chart in this version."
            => "Check `sources`, and whether the version was removed.",
        /// A subchart is not trusted on its own (`dependencies: Verify`).
        DependencyNotTrusted:
            "The rule says `dependencies: Verify`, and a subchart is not signed by its signers, or its \
             repository lacks it."
            => "Have the subchart signed where it is published, or use `dependencies: Inherit` if the chart's \
                signature may stand for it.",
    }
}

words! {
    /// Why we cannot tell.
    Cause {
        /// A source did not give a usable answer.
        SourceUnavailable:
            "The repository did not answer, or answered with a login page, 401, 403, 429 or 5xx, or \
             with JSON or its index in place of a `.prov`."
            => "Look at the finding; check URL, credentials and `--allow-host`.",
        /// A limit on size, count or time was reached.
        LimitExceeded: "Archive, provenance or index are larger than the operator reads."
            => "Look at the finding; publish less in one archive.",
        /// The release record cannot be read.
        ReleaseUnreadable: "Helm's record of the release cannot be decoded."
            => "`helm history`; upgrade the release once.",
        /// No source is known for this chart.
        SourceUnknown:
            "The rule that decides has no `sources`, or none from which the deployer of the release \
             takes the chart."
            => "Add the repository to the rule, if it is to be trusted.",
        /// There is no usable trusted root, by which a Sigstore signature could be verified.
        TrustRootUnknown:
            "A Sigstore signature is there, and the trusted root of the identity that may have made it cannot be \
             read."
            => "Look at the finding; give `trustedRootRef` (`--trusted-root`) a `trusted_root.json`.",
        /// The release cannot be compared with the archive.
        NotBindable:
            "An old Helm wrote the record in a way that cannot be compared; or a chart of \
             `apiVersion: v1` shows a lock or dependencies that only its unpacked folder has; or Argo CD has \
             deployed it, which keeps no record."
            => "Install the published archive once with a current Helm, or use `level: \
                Signature`, which is all that can be asked of an Application.",
        /// Not looked at yet.
        Pending: "Not looked at yet."
            => "Wait; the operator is reading.",
        /// A policy exception forgives the failure; the real verdict is a finding.
        Exempt: "An exception of the policy forgives the reason until a date."
            => "The real verdict is in the findings.",
        /// The rule asks for no verification (level `None`).
        Unmanaged: "The rule says `level: None`."
            => "None, if that is meant.",
        /// No policy applies.
        NoPolicy: "No policy has a rule for this chart here."
            => "Write one.",
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
            | Self::TransparencyMissing
            | Self::ProvenanceMalformed
            | Self::ArchiveAmbiguous
            | Self::Unsigned
            | Self::VersionNotAllowed
            | Self::ChartNotFound
            | Self::DependencyNotTrusted => Class::ProofMissing,
        }
    }
}

impl Class {
    /// The reasons of this class, in the order of the list.
    pub fn reasons(self) -> impl Iterator<Item = Reason> {
        let all = Reason::ALL.iter().copied();
        all.filter(move |reason| reason.class() == self)
    }

    /// The same in a sentence: `KeyCompromised and KeyRevoked`.
    pub fn listed(self) -> String {
        let words: Vec<_> = self.reasons().map(Reason::word).collect();
        words.join(" and ")
    }
}

/// The links between a running release and the key behind it, in the order in which they are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Link {
    /// The record of the release.
    Release,
    /// The rule that decides, and what it asks for.
    Rule,
    /// Where the chart is published.
    Source,
    /// The archive that is published there.
    Archive,
    /// Whether the release is made of the archive.
    Content,
    /// The signatures beside the archive.
    Signature,
    /// What the signed text says of the archive.
    Statement,
    /// What became of the keys that signed.
    Key,
}

impl Reason {
    /// The link that is broken.
    pub fn link(self) -> Link {
        match self {
            Self::VersionNotAllowed => Link::Rule,
            Self::ArchiveAmbiguous | Self::ChartNotFound => Link::Source,
            Self::DependencyNotTrusted => Link::Archive,
            Self::ContentMismatch => Link::Content,
            Self::ProvenanceMalformed
            | Self::SignatureInvalid
            | Self::SignerNotTrusted
            | Self::TransparencyMissing
            | Self::Unsigned
            | Self::WeakSignature => Link::Signature,
            Self::DigestMismatch | Self::MetadataMismatch => Link::Statement,
            Self::KeyCompromised
            | Self::KeyExpired
            | Self::KeyOutOfScope
            | Self::KeyRetired
            | Self::KeyRevoked => Link::Key,
        }
    }
}

impl Cause {
    /// The link that is not known.
    pub fn link(self) -> Link {
        match self {
            Self::Pending | Self::ReleaseUnreadable => Link::Release,
            Self::Exempt | Self::NoPolicy | Self::Unmanaged => Link::Rule,
            Self::LimitExceeded | Self::SourceUnavailable | Self::SourceUnknown => Link::Source,
            Self::NotBindable => Link::Content,
            Self::TrustRootUnknown => Link::Signature,
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

    /// The verdict of this word, in whichever vocabulary it is: a status holds the word alone.
    pub fn of_word(word: &str) -> Option<Self> {
        let trusted = || word.parse().map(Self::Trusted).ok();
        let unknown = || word.parse().map(Self::Unknown).ok();
        let untrusted = word.parse().map(Self::Untrusted).ok();
        untrusted.or_else(unknown).or_else(trusted)
    }

    /// The link that is broken or not known.
    pub fn link(self) -> Option<Link> {
        match self {
            Self::Trusted(_) => None,
            Self::Unknown(cause) => Some(cause.link()),
            Self::Untrusted(reason) => Some(reason.link()),
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
        let mut words: Vec<_> = every_verdict().map(Verdict::word).collect();
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
    }

    #[test]
    fn a_word_reads_back_as_itself() {
        for verdict in every_verdict() {
            assert_eq!(Verdict::of_word(verdict.word()), Some(verdict));
        }
        assert_eq!(Verdict::of_word("Nonsense"), None);
        assert!("Nonsense".parse::<Reason>().is_err());
    }

    fn every_verdict() -> impl Iterator<Item = Verdict> {
        let trusted = Basis::ALL.iter().map(|word| Verdict::Trusted(*word));
        let unknown = Cause::ALL.iter().map(|word| Verdict::Unknown(*word));
        let untrusted = Reason::ALL.iter().map(|word| Verdict::Untrusted(*word));
        trusted.chain(unknown).chain(untrusted)
    }

    #[test]
    fn only_proof_of_badness_may_quarantine() {
        let bad = Reason::ALL
            .iter()
            .filter(|one| one.class() == Class::Badness);
        let bad: Vec<_> = bad.map(|reason| reason.word()).collect();
        assert_eq!(bad, ["KeyCompromised", "KeyRevoked"]);
    }

    #[test]
    fn every_word_has_a_sentence_for_its_cause_and_the_next_step() {
        for reason in Reason::ALL {
            for sentence in [reason.cause(), reason.step()] {
                assert!(
                    sentence.ends_with('.') && sentence.len() > 4,
                    "{reason}: {sentence}"
                );
            }
        }
    }
}
