//! A later look at a source: what it may change, and what it is only told for.
//!
//! Once a release is bound to an archive, a look takes no trust away and turns no failure into
//! another. It may give trust.

use std::mem::discriminant;

use crate::evidence::{Answer, ArchiveFacts, Bound, Evidence, ProvenanceFacts, Signed};
use crate::finding::{Finding, Note, Word};
use crate::verdict::{Reason, Verdict};

impl Evidence {
    /// Takes in what a source answered.
    ///
    /// `judge` says what each policy makes of some evidence. A first answer is taken as it is. A later
    /// one changes nothing that is settled, unless it gives trust; what it then would have changed is
    /// returned as findings.
    pub fn absorb(
        &mut self,
        source: &str,
        answer: Answer,
        judge: impl Fn(&Self) -> Vec<Verdict>,
    ) -> Vec<Finding> {
        let known = self.answers.get(source).filter(|known| known.is_known());
        let offer = match (known, answer) {
            (None, answer) => Offer::first(answer),
            (Some(_), Answer::Unavailable { cause, message }) => {
                return vec![Finding::new(Word::Doubt(cause), message)];
            }
            (Some(known), answer) => compare(source, known, answer),
        };
        let Some(answer) = offer.answer else {
            return offer.told;
        };
        let mut candidate = self.clone();
        candidate.answers.insert(source.to_owned(), answer);
        if self.admits(&candidate, offer.demand, judge) {
            *self = candidate;
            offer.told
        } else {
            offer.told.into_iter().chain(offer.refused).collect()
        }
    }

    fn admits(
        &self,
        candidate: &Self,
        demand: Demand,
        judge: impl Fn(&Self) -> Vec<Verdict>,
    ) -> bool {
        if demand == Demand::Nothing {
            return true;
        }
        let before = judge(self);
        let is_bound = self.archives().any(|(_, facts)| facts.is_bound());
        let is_settled = is_bound || before.iter().any(|verdict| verdict.is_trusted());
        !is_settled || demand.is_met(&before, &judge(candidate))
    }
}

/// What a look offers to take over.
struct Offer {
    answer: Option<Answer>,
    /// What taking it over must do to what the policies say.
    demand: Demand,
    /// What is to be told in any case.
    told: Vec<Finding>,
    /// What is to be told if it is not taken over.
    refused: Vec<Finding>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Demand {
    GiveTrust,
    Nothing,
    TakeNoTrust,
}

impl Demand {
    fn is_met(self, before: &[Verdict], after: &[Verdict]) -> bool {
        let mut policies = before.iter().zip(after);
        let takes_trust = |(old, new): (&Verdict, &Verdict)| old.is_trusted() && !new.is_trusted();
        let gives_trust = |(old, new): (&Verdict, &Verdict)| !old.is_trusted() && new.is_trusted();
        let changes = |(old, new): (&Verdict, &Verdict)| old != new && !new.is_trusted();
        match self {
            Self::GiveTrust => policies.clone().any(gives_trust) && !policies.any(changes),
            Self::Nothing => true,
            Self::TakeNoTrust => !policies.any(takes_trust),
        }
    }
}

impl Offer {
    fn first(answer: Answer) -> Self {
        Self {
            answer: Some(answer),
            demand: Demand::Nothing,
            told: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn nothing(told: Vec<Finding>) -> Self {
        Self {
            answer: None,
            demand: Demand::Nothing,
            told,
            refused: Vec::new(),
        }
    }

    fn other(answer: Answer, finding: Finding) -> Self {
        Self {
            answer: Some(answer),
            demand: Demand::GiveTrust,
            told: Vec::new(),
            refused: vec![finding],
        }
    }
}

fn compare(source: &str, known: &Answer, answer: Answer) -> Offer {
    let finding = match (known, &answer) {
        (Answer::Archive(old), Answer::Archive(new)) if old.digest == new.digest => {
            return old.compare_later(source, new);
        }
        (Answer::Ambiguous { .. }, Answer::Ambiguous { .. })
        | (Answer::NotFound, Answer::NotFound) => return Offer::nothing(Vec::new()),
        (_, Answer::NotFound | Answer::Unavailable { .. }) => {
            let message = format!("{source} lists this version no more");
            Finding::new(Word::Failure(Reason::ChartNotFound), message)
        }
        (_, Answer::Archive(new)) => republished(format!("{source} now serves {}", new.digest)),
        (_, Answer::Ambiguous { message }) => {
            republished(format!("{source} now serves another archive: {message}"))
        }
    };
    match known {
        // Provenance may give trust to the archive that is known, other archives may not.
        Answer::Archive(old) if old.is_bound() => Offer::nothing(vec![finding]),
        _ => Offer::other(answer, finding),
    }
}

fn republished(message: String) -> Finding {
    Finding::new(Word::Note(Note::Republished), message)
}

impl ArchiveFacts {
    fn is_bound(&self) -> bool {
        match self.binding {
            Bound::NoRecord | Bound::NotCompared | Bound::Same(_) => true,
            Bound::Different(_) | Bound::OldWriter(_) => false,
        }
    }

    /// A later look found the same archive.
    fn compare_later(&self, source: &str, later: &Self) -> Offer {
        let is_as_bound = discriminant(&self.binding) == discriminant(&later.binding);
        if !self.is_bound() && !is_as_bound {
            // Only a newer version of ourselves compares the same things in another way.
            let finding = republished(format!("{source} compares differently now"));
            return Offer::other(Answer::Archive(Box::new(later.clone())), finding);
        }
        let offer = self.compare_provenance(source, later);
        if offer.answer.is_some() || self.index_disagrees == later.index_disagrees {
            return offer;
        }
        // What the index says decides nothing, so it is taken over as it is.
        let facts = Self {
            index_disagrees: later.index_disagrees,
            ..self.clone()
        };
        Offer {
            told: offer.told,
            ..Offer::first(Answer::Archive(Box::new(facts)))
        }
    }

    fn compare_provenance(&self, source: &str, later: &Self) -> Offer {
        use ProvenanceFacts::{Malformed, Missing, Signed, Unavailable};
        let told = |word, message: String| Offer::nothing(vec![Finding::new(word, message)]);
        match (&self.provenance, &later.provenance) {
            (_, Unavailable { cause, message }) => {
                told(Word::Doubt(*cause), format!("provenance: {message}"))
            }
            (Signed(old), Signed(new)) if old.digest == new.digest && old.message.is_some() => {
                Offer::nothing(Vec::new())
            }
            (Signed(old), Signed(new)) if old.digest == new.digest => Offer {
                demand: Demand::TakeNoTrust,
                ..Offer::first(self.with(Signed(Box::new(new.knowing(old))), later))
            },
            (Unavailable { .. }, _) => {
                let finding = republished(format!("{source} now serves what satisfies no rule"));
                let demand = Demand::TakeNoTrust;
                Offer {
                    demand,
                    ..Offer::other(self.with(later.provenance.clone(), later), finding)
                }
            }
            (_, Signed(_)) => {
                let finding = republished(format!("{source} now serves other provenance"));
                Offer::other(self.with_other(later), finding)
            }
            (Signed(_), Missing) => {
                let message = format!("{source} has no provenance for it any more");
                told(Word::Failure(Reason::Unsigned), message)
            }
            (Signed(_), Malformed { message }) => {
                told(Word::Failure(Reason::ProvenanceMalformed), message.clone())
            }
            (Missing | Malformed { .. }, _) => Offer::nothing(Vec::new()),
        }
    }

    /// The same archive with a later look's provenance; when it was first verified stays.
    fn with(&self, provenance: ProvenanceFacts, later: &Self) -> Answer {
        Answer::Archive(Box::new(Self {
            provenance,
            index_disagrees: later.index_disagrees,
            ..self.clone()
        }))
    }

    /// The same archive with other provenance. We are no witness of that: a thief of the key may have
    /// made it later than what we had verified.
    fn with_other(&self, later: &Self) -> Answer {
        Answer::Archive(Box::new(Self {
            provenance: later.provenance.clone(),
            index_disagrees: later.index_disagrees,
            first_verified: None,
            ..self.clone()
        }))
    }
}

impl Signed {
    /// The same file with its text, and what is known of its signatures: a certificate may have lost
    /// the subkey since with which one was verified.
    fn knowing(&self, before: &Self) -> Self {
        let mut statement = self.clone();
        for (signature, known) in statement.signatures.iter_mut().zip(&before.signatures) {
            signature.outcome = known.outcome.clone();
        }
        statement
    }
}
