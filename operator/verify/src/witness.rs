//! Who was verified before: what `grandfather: Witnessed` rests on, of a chart and of its subcharts alike.
//!
//! A date is about an archive and the very provenance beside it, or a Sigstore signature by a key or one that nothing
//! else dates.
//! It stays with a release when it moves on to
//! another version and comes back, or when two versions carry the same subchart.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use jiff::Timestamp;

use crate::bundles::BundleFacts;
use crate::digest::Sha256Digest;
use crate::evidence::{Answer, ArchiveFacts, Evidence};

/// That this very archive was verified with this very provenance, and when first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstVerification {
    statement: Statement,
    /// See [`ArchiveFacts::first_verified`]. In whole seconds.
    pub first_verified: Timestamp,
}

/// An archive and the provenance beside it.
///
/// Decision: half of a digest, as there are many of them for each release. Whoever wants another pair to pass
/// for one that was verified needs a second preimage of 128 bits: that one carries a signature which he
/// could not make then.
type Statement = [u8; 16];

impl FirstVerification {
    /// Of an archive and the provenance beside it.
    pub fn new(
        archive: &Sha256Digest,
        provenance: &Sha256Digest,
        first_verified: Timestamp,
    ) -> Self {
        let both = [archive.as_bytes().as_slice(), provenance.as_bytes()].concat();
        let mut statement = Statement::default();
        let digest = Sha256Digest::of(&both);
        let bytes = statement.iter_mut().zip(digest.as_bytes());
        bytes.for_each(|(to, from)| *to = *from);
        Self {
            statement,
            first_verified,
        }
    }

    /// The same archive and provenance, verified first at this moment.
    #[must_use]
    pub fn dated(self, first_verified: Timestamp) -> Self {
        Self {
            first_verified,
            ..self
        }
    }

    /// When it was first verified, by all that is known of the same.
    fn earliest(self, known: &[Self]) -> Timestamp {
        let before = known.iter().filter(|before| before.is_of_same(&self));
        let before = before.map(|before| before.first_verified).min();
        before.map_or(self.first_verified, |before| {
            before.min(self.first_verified)
        })
    }

    /// Whether another is about the same archive and provenance.
    pub fn is_of_same(&self, other: &Self) -> bool {
        self.statement == other.statement
    }
}

/// As a status keeps it: 32 letters.
impl fmt::Display for FirstVerification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.first_verified.as_second().to_be_bytes();
        let bytes = [self.statement.as_slice(), &seconds].concat();
        f.write_str(&BASE64_STANDARD_NO_PAD.encode(bytes))
    }
}

/// A text is not what [`FirstVerification`] is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no first verification")]
pub struct InvalidWitness;

impl FromStr for FirstVerification {
    type Err = InvalidWitness;

    fn from_str(text: &str) -> Result<Self, InvalidWitness> {
        let bytes = BASE64_STANDARD_NO_PAD.decode(text);
        let bytes = bytes.map_err(|_| InvalidWitness)?;
        let (statement, seconds) = bytes.split_first_chunk().ok_or(InvalidWitness)?;
        let seconds = seconds.try_into().map_err(|_| InvalidWitness)?;
        let first_verified = Timestamp::from_second(i64::from_be_bytes(seconds));
        Ok(Self {
            statement: *statement,
            first_verified: first_verified.map_err(|_| InvalidWitness)?,
        })
    }
}

impl Evidence {
    /// What was verified, and when first: the archives of the chart, then those of its subcharts.
    pub fn first_verifications(&self) -> impl Iterator<Item = FirstVerification> {
        let answers = self.answers.values().chain(self.subcharts.values());
        let archives = answers.filter_map(|answer| match answer {
            Answer::Archive(facts) => Some(facts),
            Answer::Ambiguous { .. } | Answer::NotFound | Answer::Unavailable { .. } => None,
        });
        archives.flat_map(|facts| {
            let bundled = facts
                .bundled()
                .filter_map(|one| first_of_bundle(facts.digest, one));
            facts.first_verification().into_iter().chain(bundled)
        })
    }

    /// Dates what is verified now back to when the very same had been verified before.
    pub fn restore_first_verified(&mut self, known: &[FirstVerification]) {
        let answers = self.answers.values_mut();
        for answer in answers.chain(self.subcharts.values_mut()) {
            let Answer::Archive(facts) = answer else {
                continue;
            };
            if let Some(now) = facts.first_verification() {
                facts.first_verified = Some(now.earliest(known));
            }
            let archive = facts.digest;
            let bundles = facts.bundles.as_mut();
            for one in bundles.into_iter().flat_map(|it| &mut it.signatures) {
                if let Some(now) = first_of_bundle(archive, one) {
                    one.first_verified = Some(now.earliest(known));
                }
            }
        }
    }
}

/// Of a Sigstore signature that holds. One of an identity that a log or an authority dates needs no witness; what the
/// revocation of a key leaves trusted is what we have verified ourselves.
fn first_of_bundle(archive: Sha256Digest, bundle: &BundleFacts) -> Option<FirstVerification> {
    let verified = bundle.verified()?;
    let is_witnessed = verified.identity().is_none() || verified.proven().is_none();
    let first_verified = bundle.first_verified.filter(|_| is_witnessed)?;
    Some(FirstVerification::new(
        &archive,
        &bundle.digest,
        first_verified,
    ))
}

impl ArchiveFacts {
    fn first_verification(&self) -> Option<FirstVerification> {
        let provenance = &self.signed()?.digest;
        let first_verified = self.first_verified?;
        Some(FirstVerification::new(
            &self.digest,
            provenance,
            first_verified,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_nothing_else_is_read() {
        let date = |text: &str| text.parse::<Timestamp>().unwrap();
        let (one, other) = (Sha256Digest::of(b"one"), Sha256Digest::of(b"other"));
        let now = date("2026-11-18T00:00:00Z");
        let first = FirstVerification::new(&one, &other, now);
        for first_verified in [
            now,
            date("1970-01-01T00:00:00Z"),
            date("1900-01-01T00:00:00Z"),
            date("9999-01-01T00:00:00Z"),
        ] {
            let written = first.dated(first_verified);
            let text = written.to_string();
            assert_eq!(text.len(), 32);
            assert_eq!(text.parse(), Ok(written));
        }
        // Order matters, and both.
        for (archive, provenance) in [(other, one), (one, one), (other, other)] {
            let another = FirstVerification::new(&archive, &provenance, now);
            assert!(!first.is_of_same(&another));
        }
        let text = first.to_string();
        let endless = [[0xFF; 16].as_slice(), &[0x7F; 8]].concat();
        let endless = BASE64_STANDARD_NO_PAD.encode(endless);
        for wrong in [
            "",
            "AAAA",
            &text[1..],
            &format!("{text}AAAA"),
            "no base64",
            &endless,
        ] {
            assert_eq!(
                wrong.parse::<FirstVerification>(),
                Err(InvalidWitness),
                "{wrong}"
            );
        }
    }
}
