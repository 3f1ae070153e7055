//! What one rule says of a release: what fails, what is in doubt, what trust would rest on.

use std::collections::BTreeSet;

use crate::finding::{Finding, Note, Word};
use crate::verdict::{Basis, Cause, Reason, Verdict};

/// What one rule says, before exceptions.
#[derive(Debug, Default)]
pub(crate) struct Opinion {
    /// What is wrong. Any makes the rule fail.
    pub(crate) failing: BTreeSet<Reason>,
    /// What could not be found out. Any keeps the rule from being satisfied.
    pub(crate) doubts: BTreeSet<Cause>,
    /// What trust would rest on.
    pub(crate) basis: Option<Basis>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) origin: Option<String>,
}

impl Opinion {
    pub(crate) fn fail(&mut self, reason: Reason, message: impl Into<String>) {
        self.failing.insert(reason);
        self.findings
            .push(Finding::new(Word::Failure(reason), message));
    }

    pub(crate) fn doubt(&mut self, cause: Cause, message: impl Into<String>) {
        self.doubts.insert(cause);
        self.findings
            .push(Finding::new(Word::Doubt(cause), message));
    }

    pub(crate) fn note(&mut self, note: Note, message: impl Into<String>) {
        self.findings.push(Finding::new(Word::Note(note), message));
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

impl Opinion {
    pub(crate) fn absorb(&mut self, other: Self) {
        self.failing.extend(other.failing);
        self.doubts.extend(other.doubts);
        self.basis = other.basis;
        self.findings.extend(other.findings);
        self.origin = other.origin;
    }
}
