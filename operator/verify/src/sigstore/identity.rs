//! Identities that somebody trusts, and whether a certificate is one of theirs.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;

use super::pattern::{Pattern, SubjectPattern};
use super::revocation::IdentityRevocation;
use super::verified::IdentityRecord;
use crate::key::Scope;

/// A parsed `TrustedIdentity`: one signer, whatever matches it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Name of the object.
    pub name: String,
    /// Who has to tell the authority: exactly.
    pub issuer: String,
    /// Who it has to be.
    pub subject: SubjectRule,
    /// What has to be said of the workload.
    pub claims: ClaimRules,
    /// What it may speak for.
    pub scope: Scope,
    /// When its signatures cease to count.
    pub not_after: Option<Timestamp>,
    /// What of it counts for nothing.
    pub revocation: Option<IdentityRevocation>,
}

/// Who an identity has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectRule {
    /// This, character for character.
    Exact(String),
    /// Any that matches.
    Glob(SubjectPattern),
}

/// What has to be said of a workload. What is not named is not looked at.
#[derive(Clone, Debug, Default)]
pub struct ClaimRules {
    /// The repository that was built.
    pub source_repository: Option<String>,
    /// Its identifier.
    pub source_repository_id: Option<String>,
    /// The branch or tag.
    pub source_ref: Option<Pattern>,
    /// Where it was built.
    pub runner_environment: Option<String>,
    /// What may have started the build; empty is no restriction.
    pub trigger: BTreeSet<String>,
}

/// Why a certificate is not one of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Another told who it is.
    Issuer,
    /// It is another.
    Subject,
    /// This claim is absent, or says something else.
    Claim(&'static str),
}

impl Identity {
    /// Whether a verified certificate is one of this identity.
    ///
    /// # Errors
    /// Why it is not; the first of issuer, subject and claims.
    pub fn matches(&self, record: &IdentityRecord) -> Result<(), Mismatch> {
        if self.issuer != record.issuer {
            return Err(Mismatch::Issuer);
        }
        if !self.is_named(&record.issuer, &record.subject) {
            return Err(Mismatch::Subject);
        }
        self.claims.matches(record)
    }

    /// Whether somebody of this name may be this identity; what is said of the workload is not looked at.
    pub fn is_named(&self, issuer: &str, subject: &str) -> bool {
        let is_subject = match &self.subject {
            SubjectRule::Exact(exact) => exact == subject,
            SubjectRule::Glob(pattern) => pattern.matches(subject),
        };
        self.issuer == issuer && is_subject
    }
}

impl ClaimRules {
    fn matches(&self, record: &IdentityRecord) -> Result<(), Mismatch> {
        let claims = &record.claims;
        let is = |rule: &Option<String>, claim: &Option<String>| rule.is_none() || rule == claim;
        let is_ref = self.source_ref.as_ref().is_none_or(|pattern| {
            let claim = claims.source_ref.as_ref();
            claim.is_some_and(|claim| pattern.matches(claim))
        });
        let trigger = claims.trigger.as_ref();
        let is_trigger =
            self.trigger.is_empty() || trigger.is_some_and(|it| self.trigger.contains(it));
        let id = is(&self.source_repository_id, &claims.source_repository_id);
        let checks = [
            (
                "sourceRepository",
                is(&self.source_repository, &claims.source_repository),
            ),
            ("sourceRepositoryId", id),
            ("ref", is_ref),
            (
                "runnerEnvironment",
                is(&self.runner_environment, &claims.runner_environment),
            ),
            ("trigger", is_trigger),
        ];
        match checks.into_iter().find(|(_, holds)| !holds) {
            Some((claim, _)) => Err(Mismatch::Claim(claim)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer => f.write_str("the issuer is another"),
            Self::Subject => f.write_str("the subject is another"),
            Self::Claim(claim) => write!(f, "the claim {claim} is absent or another"),
        }
    }
}
