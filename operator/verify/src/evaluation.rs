//! For whom one signature counts, and how many signers several signatures make.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::digest::Sha256Digest;
use crate::key::HardRevocation;
use crate::openpgp::Fingerprint;
use crate::verdict::{Cause, Reason};

/// Who counts as one signer, however often and in whichever form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SignerId {
    /// Name of a `TrustedIdentity`, whatever matches it.
    Identity(String),
    /// A key of OpenPGP, by its primary fingerprint.
    OpenPgp(Fingerprint),
    /// A public key.
    PublicKey(Sha256Digest),
}

/// Several for one signature: certificates can share a subkey, and identities can match one certificate.
pub(crate) type Signers = BTreeSet<SignerId>;

/// For whom one signature counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evaluation {
    /// The key of `OpenPGP` that has made it, if it is one in another form.
    pub(crate) made_by: Option<Fingerprint>,
    /// Who approves without reservation.
    pub(crate) valid: Signers,
    /// Who approves.
    pub(crate) now: Signers,
    /// Who would approve, had no time passed since it was made.
    pub(crate) before: Signers,
    /// Why it counts for nobody.
    pub(crate) problem: Option<Problem>,
}

#[derive(Clone, Debug)]
pub(crate) enum Problem {
    /// No signature at all, but something else that was signed.
    Attestation(String),
    /// A listed signer's, but it does not count.
    Listed(Failure),
    /// By somebody whom the rule does not list.
    NotListed(String),
    /// Whether it counts cannot be told.
    Unclear(Cause, String),
}

/// Why a listed signer's signature does not count.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) message: String,
    /// What badness rests on.
    pub(crate) revocations: BTreeSet<HardRevocation>,
}

impl Failure {
    pub(crate) fn new(reason: Reason, message: String) -> Self {
        Self {
            reason,
            message,
            revocations: BTreeSet::new(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl From<Problem> for Evaluation {
    fn from(problem: Problem) -> Self {
        Self {
            problem: Some(problem),
            ..Self::default()
        }
    }
}

/// How many signers there are if every signature counts for one: a matching of the greatest size, and not a sum,
/// as one person with two certificates that share a subkey is one.
pub(crate) fn count(approvals: &[Signers]) -> usize {
    let mut signature_of = BTreeMap::new();
    for index in 0..approvals.len() {
        find_signer(index, approvals, &mut signature_of, &mut BTreeSet::new());
    }
    signature_of.len()
}

/// Finds a signer for a signature; one that is taken is freed if its signature finds another one.
fn find_signer<'a>(
    signature: usize,
    approvals: &'a [Signers],
    signature_of: &mut BTreeMap<&'a SignerId, usize>,
    tried: &mut BTreeSet<&'a SignerId>,
) -> bool {
    for signer in approvals.get(signature).into_iter().flatten() {
        if !tried.insert(signer) {
            continue;
        }
        let taken = signature_of.get(signer).copied();
        if taken.is_none_or(|other| find_signer(other, approvals, signature_of, tried)) {
            signature_of.insert(signer, signature);
            return true;
        }
    }
    false
}
