//! What one rule says of a release: what fails, what is in doubt, what trust would rest on.

use std::collections::BTreeSet;

use crate::finding::{Fact, Finding, Note};
use crate::key::HardRevocation;
use crate::verdict::{Basis, Cause, Class, Reason, Verdict};

/// That a source has not answered itself: why, and in words.
pub(crate) type Silence = (Cause, String);

/// What one rule says, before exceptions.
#[derive(Debug, Default)]
pub(crate) struct RuleResult {
    /// What is wrong. Any makes the rule fail.
    pub(crate) failing: BTreeSet<Reason>,
    /// What could not be found out. Any keeps the rule from being satisfied.
    pub(crate) doubts: BTreeSet<Cause>,
    /// What trust would rest on.
    pub(crate) basis: Option<Basis>,
    /// Whether only time has taken trust away.
    pub(crate) has_lapsed: bool,
    /// Whether Sigstore signatures alone are what trust would rest on.
    pub(crate) is_bundled: bool,
    /// What badness rests on.
    pub(crate) revocations: BTreeSet<HardRevocation>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) origin: Option<String>,
}

impl RuleResult {
    pub(crate) fn fail(&mut self, reason: Reason, message: impl Into<String>) {
        self.failing.insert(reason);
        self.findings
            .push(Finding::new(Fact::Failure(reason), message));
    }

    pub(crate) fn fail_each(&mut self, reason: Reason, messages: Vec<String>) {
        for message in messages {
            self.fail(reason, message);
        }
    }

    pub(crate) fn note_each(&mut self, note: Note, messages: Vec<String>) {
        for message in messages {
            self.note(note, message);
        }
    }

    pub(crate) fn doubt(&mut self, cause: Cause, message: impl Into<String>) {
        self.doubts.insert(cause);
        self.findings
            .push(Finding::new(Fact::Doubt(cause), message));
    }

    pub(crate) fn note(&mut self, note: Note, message: impl Into<String>) {
        self.findings.push(Finding::new(Fact::Note(note), message));
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let failing = self
            .failing
            .first()
            .map(|reason| Verdict::Untrusted(*reason));
        let doubt = self.doubts.first().map(|cause| Verdict::Unknown(*cause));
        let basis = self.basis.map(Verdict::Trusted);
        failing
            .or(doubt)
            .or(basis)
            .unwrap_or(Verdict::Unknown(Cause::Pending))
    }
}

impl RuleResult {
    /// What remains when every failure is forgiven: doubts are not.
    pub(crate) fn forgiven(&self) -> Verdict {
        let exempt = Verdict::Unknown(Cause::Exempt);
        let doubts = self.doubts.iter().map(|cause| Verdict::Unknown(*cause));
        Verdict::worst(doubts.chain([exempt])).unwrap_or(exempt)
    }

    /// Takes over what was found about the archive that decides.
    pub(crate) fn take_over(&mut self, archive: Self) {
        self.failing.extend(archive.failing);
        self.doubts.extend(archive.doubts);
        self.basis = archive.basis;
        self.revocations = archive.revocations;
        self.findings.extend(archive.findings);
        self.origin = archive.origin;
    }

    /// Both have to be satisfied.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.failing.extend(other.failing);
        self.doubts.extend(other.doubts);
        self.basis = self.basis.filter(|_| other.basis.is_some());
        self.revocations.extend(other.revocations);
        self.findings.extend(other.findings);
        self
    }

    /// What is left where only trust counts: what fails is silence, and no more than a note.
    pub(crate) fn unless_silent(self, silence: &[Silence]) -> Self {
        if silence.is_empty() || self.failing.is_empty() {
            return self;
        }
        let mut left = Self::default();
        for (cause, message) in silence {
            left.doubt(*cause, message.clone());
        }
        left.note_other(&self);
        left
    }

    /// Turns failures of these reasons, and what goes with them, into notes: something else is enough, or may
    /// be. Doubts go where nothing is left that could fail.
    pub(crate) fn become_notes(&mut self, which: impl Fn(Reason) -> bool) {
        let all = Reason::ALL.iter().all(|reason| which(*reason));
        self.failing.retain(|reason| !which(*reason));
        if all {
            self.doubts.clear();
            self.revocations.clear();
        }
        for finding in &mut self.findings {
            let is_note = match finding.fact {
                Fact::Failure(reason) => which(reason),
                Fact::Doubt(_) => all,
                Fact::Note(_) => false,
            };
            if is_note {
                let message = format!("{}: {}", finding.fact, finding.message);
                *finding = Finding::new(Fact::Note(Note::OtherSignature), message);
            }
        }
    }

    /// Takes in what one check has shown.
    pub(crate) fn take_in(&mut self, shown: Self) {
        self.failing.extend(shown.failing);
        self.doubts.extend(shown.doubts);
        self.revocations.extend(shown.revocations);
        self.findings.extend(shown.findings);
        self.has_lapsed |= shown.has_lapsed;
    }

    /// What is bad about a statement that lies elsewhere than the archive is only told: whoever keeps it may
    /// have chosen it, and who signed what runs is not known.
    pub(crate) fn prove_nothing_bad(&mut self) {
        let is_bad = |reason: &Reason| matches!(reason.class(), Class::Badness | Class::Tampering);
        if !self.failing.iter().any(is_bad) {
            return;
        }
        self.failing.retain(|reason| !is_bad(reason));
        self.revocations.clear();
        for finding in &mut self.findings {
            if let Fact::Failure(reason) = finding.fact
                && is_bad(&reason)
            {
                let message = format!("{reason}: {}", finding.message);
                *finding = Finding::new(Fact::Note(Note::OtherSignature), message);
            }
        }
        let message = "the signed statement does not lie beside the archive, and is none about it by whom the \
                       rule believes";
        self.fail(Reason::SignerNotTrusted, message);
    }

    /// Notes what is wrong with an archive that does not decide.
    pub(crate) fn note_other(&mut self, other: &Self) {
        let origin = other.origin.as_deref().unwrap_or_default();
        for finding in &other.findings {
            if !matches!(finding.fact, Fact::Note(_)) {
                let message = format!("{origin}: {}: {}", finding.fact, finding.message);
                self.note(Note::OtherSource, message);
            }
        }
    }
}
