//! A later answer of a source: what it may change, and what is only told of it.
//!
//! Once a release is bound to an archive, an answer takes no trust away and turns no failure into
//! another. It may give trust.

use std::mem::discriminant;

use jiff::Timestamp;

use crate::bundles::Bundles;
use crate::case::{Case, Known};
use crate::check::{self, Judgement};
use crate::deployer::Deployer;
use crate::evidence::{Answer, ArchiveFacts, Evidence, Place, ProvenanceFacts, Signed, SubchartId};
use crate::finding::{Fact, Finding, Note};
use crate::policy::{Policy, ReleaseRef};
use crate::sigstore::SigstoreSigners;
use crate::verdict::{Basis, Cause, Reason, Verdict};

/// What evidence is judged by, and for which release.
#[derive(Clone, Copy, Debug)]
pub struct JudgedBy<'a> {
    /// The release as policies see it.
    pub release: ReleaseRef<'a>,
    /// Chart name in the record.
    pub chart: &'a str,
    /// Chart version in the record.
    pub version: &'a str,
    /// What deploys the release.
    pub deployers: &'a [Deployer],
    /// Every policy.
    pub policies: &'a [Policy],
    /// Everybody whose signatures are known.
    pub known: Known<'a>,
    /// The moment of judging.
    pub now: Timestamp,
}

impl JudgedBy<'_> {
    fn judge(&self, evidence: &Evidence) -> Judgement {
        let mut evidence = evidence.clone();
        evidence.try_keys(self.known.keys, self.now);
        evidence.try_sigstore(self.known.sigstore, self.now);
        let case = Case {
            release: self.release,
            chart: self.chart,
            version: self.version,
            deployers: self.deployers,
            evidence: &evidence,
        };
        check::judge(&case, self.policies, self.known, self.now)
    }

    /// What each policy makes of some evidence.
    fn verdicts(&self, evidence: &Evidence) -> Vec<Verdict> {
        let policies = self.judge(evidence).policies;
        policies.iter().map(|policy| policy.verdict).collect()
    }
}

impl Evidence {
    /// Takes in what a source answered.
    ///
    /// A first answer is taken as it is. A later one changes nothing that is settled, unless it gives
    /// trust; what it then would have changed is returned as findings. What a mirror says is taken where
    /// it gives trust, and is silence of the source otherwise. On what trust rests afterwards is noted by
    /// whoever judges ([`Evidence::settle`]): what one policy gains here is no word for another yet.
    pub fn apply(&mut self, source: &str, answer: Answer, by: &JudgedBy<'_>) -> Vec<Finding> {
        let known = self.answers.get(source);
        // A mirror's word that gave nobody trust is as good as none: the source may still say it
        // first.
        let counts = known.is_some_and(Answer::is_known) || self.is_answered(source, by);
        let offer = match (known, answer) {
            (known, answer) if !counts => first(source, known, answer, by.known.sigstore),
            (Some(_), Answer::Unavailable { cause, message }) => {
                return vec![Finding::new(Fact::Doubt(cause), message)];
            }
            (Some(known), answer) => compare(source, known, answer, by.known.sigstore),
            (None, answer) => Offer::of_unheard(source, answer),
        };
        let refused = self.take_over(source, offer.parts, by);
        offer.told.into_iter().chain(refused).collect()
    }

    /// Takes over what is offered: all of it, or else one part. Statement and Sigstore signatures may give trust
    /// together that neither gives alone, and none is held up by what becomes of the other. Returns what is to be
    /// told of the parts that were not taken over.
    fn take_over(&mut self, source: &str, parts: Vec<Part>, by: &JudgedBy<'_>) -> Vec<Finding> {
        let alone = (0..parts.len()).filter(|_| parts.len() > 1).map(Some);
        let mut choices = std::iter::once(None).chain(alone);
        let is_in = |choice: Option<usize>, position: usize| choice.is_none_or(|it| it == position);
        let taken = choices.find_map(|choice| {
            let numbered = || parts.iter().enumerate();
            let chosen = || numbered().filter(|(position, _)| is_in(choice, *position));
            let demand = chosen().map(|(_, part)| part.demand).max()?;
            let mut candidate = self.clone();
            chosen().for_each(|(_, part)| part.change.put(&mut candidate, source));
            let is_admitted = self.admits(&candidate, demand, by);
            is_admitted.then_some((choice, candidate))
        });
        let Some((choice, candidate)) = taken else {
            return parts.into_iter().flat_map(|part| part.refused).collect();
        };
        *self = candidate;
        let numbered = parts.into_iter().enumerate();
        let refused = numbered.filter(|(position, _)| !is_in(choice, *position));
        refused.flat_map(|(_, part)| part.refused).collect()
    }

    /// Takes in what the repository of a subchart answered, unless that takes trust.
    pub fn apply_subchart(&mut self, id: &SubchartId, answer: Answer, by: &JudgedBy<'_>) {
        let known = self.subcharts.get(id);
        let is_silence = matches!(answer, Answer::Unavailable { .. });
        let was_silent = known.is_none_or(|known| matches!(known, Answer::Unavailable { .. }));
        if is_silence && !was_silent {
            return;
        }
        let mut answer = answer;
        if let (Some(Answer::Archive(old)), Answer::Archive(new)) = (known, &mut answer) {
            let of = |facts: &ArchiveFacts| (facts.digest, facts.signed().map(|it| it.digest));
            // We are a witness of these bytes with this provenance.
            new.first_verified = old.first_verified.filter(|_| of(old) == of(new));
        }
        let mut candidate = self.clone();
        candidate.subcharts.insert(id.clone(), answer);
        if self.admits(&candidate, Demand::TakeNoTrust, by) {
            *self = candidate;
        }
    }

    /// Notes which archives trust has rested on: from now on they count, whatever other sources leave
    /// unsaid, and so do statements that lie elsewhere. Returns whether any is new.
    pub fn settle(&mut self, judgement: &Judgement) -> bool {
        let mut is_new = false;
        let policies = judgement.policies.iter();
        for policy in policies.filter(|policy| policy.verdict.is_trusted()) {
            let origin = policy.origin.as_ref();
            if let Some(Answer::Archive(facts)) =
                origin.and_then(|origin| self.answers.get_mut(origin))
            {
                is_new |= !facts.settled | facts.adopt_statement(policy.verdict);
                facts.settled = true;
            }
        }
        is_new
    }

    /// Whether what a source is known to have said counts for anything: the source itself has said it,
    /// or a mirror's words give trust to a policy.
    pub fn is_answered(&self, source: &str, by: &JudgedBy<'_>) -> bool {
        match self.answers.get(source) {
            Some(Answer::Archive(facts)) if facts.is_of_mirror() => self.gives_trust(source, by),
            Some(answer) => answer.is_known(),
            None => false,
        }
    }

    /// Whether a policy trusts the release by what a source is known to have said.
    pub fn gives_trust(&self, source: &str, by: &JudgedBy<'_>) -> bool {
        let policies = by.judge(self).policies;
        let mut trusted = policies.iter().filter(|policy| policy.verdict.is_trusted());
        trusted.any(|policy| policy.origin.as_deref() == Some(source))
    }

    fn admits(&self, candidate: &Self, demand: Demand, by: &JudgedBy<'_>) -> bool {
        if demand == Demand::Nothing {
            return true;
        }
        let before = by.verdicts(self);
        let is_bound = self.archives().any(|(_, facts)| facts.binding.is_bound());
        // Nothing rests on what is known yet, so that the next answer may take its place. Once a
        // release is bound, only trust can be added.
        let is_open = !is_bound && !before.iter().any(|verdict| verdict.is_trusted());
        let may_be_taken = is_open && demand != Demand::Prove;
        may_be_taken || demand.is_met(&before, &by.verdicts(candidate))
    }
}

/// An answer before which the source itself has said nothing.
fn first(source: &str, known: Option<&Answer>, answer: Answer, signers: &SigstoreSigners) -> Offer {
    match (known, harmless(source, answer)) {
        // What a mirror has may give trust later, when its signer is known.
        (Some(Answer::Archive(_)), Answer::Unavailable { cause, message }) => {
            Offer::nothing(vec![Finding::new(Fact::Doubt(cause), message)])
        }
        (Some(Answer::Archive(old)), Answer::Archive(new)) if old.digest == new.digest => {
            match new.place {
                Place::Main | Place::Elsewhere => {
                    Offer::of_unheard(source, old.confirmed_by(*new, signers))
                }
                Place::Mirror => old.compare_later(source, &new, signers),
            }
        }
        (_, answer) => Offer::of_unheard(source, answer),
    }
}

/// An archive of a mirror that the release is not made of is no answer.
fn harmless(source: &str, answer: Answer) -> Answer {
    match answer {
        Answer::Archive(facts) if facts.place == Place::Mirror && !facts.binding.is_bound() => {
            Answer::Unavailable {
                cause: Cause::SourceUnavailable,
                message: format!("{source} did not answer, and its mirror has another archive"),
            }
        }
        answer => answer,
    }
}

/// What a look offers to take over, and what is to be told in any case.
struct Offer {
    parts: Vec<Part>,
    told: Vec<Finding>,
}

/// What is taken over as a whole or not at all.
struct Part {
    change: Change,
    /// What taking it over must do to what the policies say.
    demand: Demand,
    /// What is to be told if it is not taken over.
    refused: Vec<Finding>,
}

enum Change {
    Answer(Answer),
    /// Of the archive that is known.
    Bundles(Box<Bundles>),
}

impl Change {
    fn put(&self, evidence: &mut Evidence, source: &str) {
        match (self, evidence.answers.get_mut(source)) {
            (Self::Answer(answer), _) => {
                evidence.answers.insert(source.to_owned(), answer.clone());
            }
            (Self::Bundles(bundles), Some(Answer::Archive(facts))) => {
                facts.bundles = Some(bundles.clone());
            }
            (Self::Bundles(_), _) => {}
        }
    }
}

/// The more is demanded, the later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Demand {
    Nothing,
    TakeNoTrust,
    GiveTrust,
    /// To give trust, even where nothing is settled yet.
    Prove,
}

impl Demand {
    fn is_met(self, before: &[Verdict], after: &[Verdict]) -> bool {
        let mut policies = before.iter().zip(after);
        let takes_trust = |(old, new): (&Verdict, &Verdict)| old.is_trusted() && !new.is_trusted();
        let gives_trust = |(old, new): (&Verdict, &Verdict)| !old.is_trusted() && new.is_trusted();
        // Another failure of the same class may come: one policy's trust must not wait for whom another
        // policy lists. Nothing worse may, or a later look could bring badness.
        let worsens =
            // Classes are ordered from good to bad; within one the word may change.
            |(old, new): (&Verdict, &Verdict)| new.class() > old.class() && !new.is_trusted();
        match self {
            Self::GiveTrust | Self::Prove => {
                policies.clone().any(gives_trust) && !policies.any(worsens)
            }
            Self::Nothing => true,
            Self::TakeNoTrust => !policies.any(takes_trust),
        }
    }
}

impl Offer {
    /// An answer, on one condition; what is told if that is not met.
    fn of(answer: Answer, demand: Demand, refused: Option<Finding>) -> Self {
        let part = Part {
            change: Change::Answer(answer),
            demand,
            refused: refused.into_iter().collect(),
        };
        Self {
            parts: vec![part],
            told: Vec::new(),
        }
    }

    /// A source that had not answered itself: it may not take the trust that others have given.
    fn of_unheard(source: &str, answer: Answer) -> Self {
        let message = format!("{source} has answered since, and what it has satisfies no rule");
        Self::of(answer, Demand::TakeNoTrust, Some(republished(message)))
    }

    fn nothing(told: Vec<Finding>) -> Self {
        Self {
            parts: Vec::new(),
            told,
        }
    }
}

/// What a mirror says that the source has answered before: nothing that the source itself has shown is
/// replaced by it.
fn compare_mirror(source: &str, known: &Answer, facts: Box<ArchiveFacts>) -> Offer {
    let message = format!("{source} did not answer, and its mirror has something else");
    let silence = Finding::new(Fact::Doubt(Cause::SourceUnavailable), message);
    match known {
        Answer::Archive(_) | Answer::Unavailable { .. } => Offer::nothing(vec![silence]),
        Answer::Ambiguous { .. } | Answer::NotFound => {
            Offer::of(Answer::Archive(facts), Demand::Prove, Some(silence))
        }
    }
}

fn compare(source: &str, known: &Answer, answer: Answer, signers: &SigstoreSigners) -> Offer {
    let finding = match (known, &answer) {
        (Answer::Archive(old), Answer::Archive(new)) if old.digest == new.digest => {
            return old.compare_later(source, new, signers);
        }
        (_, Answer::Archive(new)) if new.place == Place::Mirror => {
            return compare_mirror(source, known, new.clone());
        }
        (Answer::Ambiguous { .. }, Answer::Ambiguous { .. })
        | (Answer::NotFound, Answer::NotFound) => return Offer::nothing(Vec::new()),
        (_, Answer::NotFound | Answer::Unavailable { .. }) => {
            let message = format!("{source} lists this version no more");
            Finding::new(Fact::Failure(Reason::ChartNotFound), message)
        }
        // Which one is the source's choice each time, and no other finding.
        (_, Answer::Archive(_)) => republished(format!("{source} now serves another archive")),
        (_, Answer::Ambiguous { .. }) => republished(format!(
            "{source} now serves another archive, which can be read in more than one way"
        )),
    };
    match known {
        // Provenance may give trust to the archive that is known, other archives may not.
        Answer::Archive(old) if old.binding.is_bound() => Offer::nothing(vec![finding]),
        _ => Offer::of(answer, Demand::GiveTrust, Some(finding)),
    }
}

fn republished(message: String) -> Finding {
    Finding::new(Fact::Note(Note::Republished), message)
}

impl ArchiveFacts {
    /// A statement that lies elsewhere, and that trust has rested on, is the source's own from now on: what is
    /// revoked later is as bad as beside the archive. Beside a pin it has shown nothing.
    fn adopt_statement(&mut self, verdict: Verdict) -> bool {
        let bundles = self.bundles.as_deref();
        let is_bundled = bundles.is_some_and(Bundles::has_verified);
        let is_pinned = matches!(verdict, Verdict::Trusted(Basis::DigestPinned));
        let is_by_signature = !is_pinned && !is_bundled;
        match &mut self.provenance {
            ProvenanceFacts::Signed(signed) if signed.place == Place::Elsewhere => {
                signed.place = if is_by_signature {
                    Place::Main
                } else {
                    Place::Elsewhere
                };
                is_by_signature
            }
            _ => false,
        }
    }

    /// A later look found the same archive.
    fn compare_later(&self, source: &str, later: &Self, signers: &SigstoreSigners) -> Offer {
        // By kind and not by text: the wording of a difference may change with a new version of
        // ours, and that is no other answer.
        let is_as_bound = discriminant(&self.binding) == discriminant(&later.binding);
        if !self.binding.is_bound() && !is_as_bound && later.place == Place::Main {
            // Only a newer version of ourselves compares the same things in another way.
            let finding = republished(format!("{source} compares differently now"));
            let answer = Answer::Archive(Box::new(later.clone()));
            return Offer::of(answer, Demand::GiveTrust, Some(finding));
        }
        let mut offer = self.compare_provenance(source, later);
        let bundles = self.compare_bundles(source, later, signers);
        offer.parts.extend(bundles);
        let index_disagrees = self.index_as_of(later);
        let is_same = self.index_disagrees == index_disagrees && self.subcharts == later.subcharts;
        if !offer.parts.is_empty() || is_same {
            return offer;
        }
        // What the index says decides nothing, so it is taken over as it is. And the same bytes have the same
        // subcharts: an earlier engine did not list them.
        let facts = Self {
            index_disagrees,
            subcharts: later.subcharts.clone(),
            ..self.clone()
        };
        Offer {
            told: offer.told,
            ..Offer::of(Answer::Archive(Box::new(facts)), Demand::Nothing, None)
        }
    }

    /// What a later look has shown of Sigstore signatures, if it is more than what is known.
    fn compare_bundles(
        &self,
        source: &str,
        later: &Self,
        signers: &SigstoreSigners,
    ) -> Option<Part> {
        let new = later.bundles.as_deref()?;
        let known = self.bundles.as_deref();
        let is_of_mirror = later.place == Place::Mirror || new.place == Place::Mirror;
        let has_own = |it: &Bundles| !it.signatures.is_empty() && it.place != Place::Mirror;
        if is_of_mirror && known.is_some_and(has_own) {
            return None;
        }
        // What the source itself has shown in full stands in place of what a mirror had.
        let is_in_place =
            |it: &&Bundles| it.place == Place::Mirror && !is_of_mirror && new.incomplete.is_none();
        let replaced = known.filter(is_in_place);
        let joined = match (replaced, known) {
            (Some(known), _) => new.knowing(known),
            (None, Some(known)) => known.joined(new, signers),
            (None, None) => new.clone(),
        };
        if known.is_some_and(|known| !known.is_less_than(&joined)) {
            return None;
        }
        let is_open = replaced.is_some() || known.is_none_or(|it| it.incomplete.is_some());
        let has_more = known.is_none_or(|known| joined.has_others_than(known));
        let demand = match (has_more, is_open, is_of_mirror) {
            (true, _, true) => Demand::Prove,
            // Nothing was known yet that could be turned into another word.
            (_, true, _) => Demand::TakeNoTrust,
            (true, false, false) => Demand::GiveTrust,
            (false, false, _) => Demand::Nothing,
        };
        let message = format!("{source} has further Sigstore signatures, which satisfy no rule");
        Some(Part {
            change: Change::Bundles(Box::new(joined)),
            demand,
            refused: vec![Finding::new(Fact::Note(Note::OtherSignature), message)],
        })
    }

    /// The archive of a mirror, now that the source itself serves it. What the source does not answer
    /// about, the mirror has shown.
    fn confirmed_by(&self, main: Self, signers: &SigstoreSigners) -> Answer {
        let provenance = match (&self.provenance, main.provenance) {
            (signed @ ProvenanceFacts::Signed(_), ProvenanceFacts::Unavailable { .. }) => {
                signed.clone()
            }
            (_, shown) => shown,
        };
        let digest = |facts: &ProvenanceFacts| match facts {
            ProvenanceFacts::Signed(signed) => Some(signed.digest),
            _ => None,
        };
        let is_same = digest(&self.provenance) == digest(&provenance);
        let bundles = match (&self.bundles, &main.bundles) {
            (Some(known), Some(shown)) if shown.incomplete.is_none() => {
                Some(Box::new(shown.knowing(known)))
            }
            (Some(known), Some(shown)) => Some(Box::new(known.joined(shown, signers))),
            (known, shown) => shown.clone().or_else(|| known.clone()),
        };
        Answer::Archive(Box::new(Self {
            provenance,
            bundles,
            settled: self.settled,
            // We are a witness of the very provenance that we verified, and of no other for the
            // same bytes.
            first_verified: self.first_verified.filter(|_| is_same),
            ..main
        }))
    }

    /// Whether the index of the source itself names another digest, by its last word.
    fn index_as_of(&self, later: &Self) -> bool {
        match later.place {
            Place::Main | Place::Elsewhere => later.index_disagrees,
            Place::Mirror => self.index_disagrees,
        }
    }

    fn compare_provenance(&self, source: &str, later: &Self) -> Offer {
        use ProvenanceFacts::{Malformed, Missing, Signed, Unavailable};
        let told = |word, message: String| Offer::nothing(vec![Finding::new(word, message)]);
        match (&self.provenance, &later.provenance) {
            (_, Unavailable { cause, message }) => {
                told(Fact::Doubt(*cause), format!("provenance: {message}"))
            }
            (Signed(old), Signed(new))
                if old.digest == new.digest
                    && old.message.is_some()
                    && old.place <= new.place
                    && self.place <= later.place =>
            {
                Offer::nothing(Vec::new())
            }
            (Signed(old), Signed(new)) if old.digest == new.digest => {
                let statement = Signed(Box::new(new.knowing(old)));
                Offer::of(self.with(statement, later), Demand::TakeNoTrust, None)
            }
            (Signed(old), _) if old.place == Place::Mirror && !later.is_of_mirror() => {
                let finding = republished(format!("{source} itself serves other provenance"));
                let answer = self.with_other(later);
                Offer::of(answer, Demand::TakeNoTrust, Some(finding))
            }
            (Unavailable { .. }, _) => {
                let finding = republished(format!("{source} now serves what satisfies no rule"));
                let answer = self.with(later.provenance.clone(), later);
                Offer::of(answer, Demand::TakeNoTrust, Some(finding))
            }
            (_, Signed(new)) => {
                let finding = republished(format!("{source} now serves other provenance"));
                let demand = match new.place {
                    Place::Main | Place::Elsewhere => Demand::GiveTrust,
                    Place::Mirror => Demand::Prove,
                };
                Offer::of(self.with_other(later), demand, Some(finding))
            }
            (Signed(_), Missing) => {
                let message = format!("{source} has no provenance for it any more");
                told(Fact::Failure(Reason::Unsigned), message)
            }
            (Signed(_), Malformed { .. }) => {
                let message = format!("{source} now serves no readable provenance for it");
                told(Fact::Failure(Reason::ProvenanceMalformed), message)
            }
            (Missing | Malformed { .. }, _) => Offer::nothing(Vec::new()),
        }
    }

    /// The same archive with a later look's provenance; when it was first verified stays.
    fn with(&self, provenance: ProvenanceFacts, later: &Self) -> Answer {
        Answer::Archive(Box::new(Self {
            provenance,
            place: self.place.min(later.place),
            index_disagrees: self.index_as_of(later),
            subcharts: later.subcharts.clone(),
            ..self.clone()
        }))
    }

    /// The same archive with other provenance. We are no witness of that: a thief of the key may have
    /// made it later than what we had verified.
    fn with_other(&self, later: &Self) -> Answer {
        Answer::Archive(Box::new(Self {
            provenance: later.provenance.clone(),
            place: self.place.min(later.place),
            index_disagrees: self.index_as_of(later),
            subcharts: later.subcharts.clone(),
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
        statement.place = self.place.min(before.place);
        statement
    }
}
