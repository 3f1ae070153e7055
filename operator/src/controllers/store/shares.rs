//! What this part of the work has told the others, where several replicas share it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::written::LastWritten;
use crate::api::chart_trust_policy::PolicyShard;
use crate::api::shards::{ShardQuarantine, SignerShard};

/// What was told last.
#[derive(Debug, Default)]
pub struct Shares {
    /// Of each policy.
    pub policies: LastWritten<PolicyShard>,
    /// Of each key.
    pub keys: LastWritten<SignerShard>,
    /// Of each identity.
    pub identities: LastWritten<SignerShard>,
    surveys: Mutex<BTreeMap<String, Surveyed>>,
}

/// What was found due under a policy, and by what it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surveyed {
    /// The generation of the policy.
    pub generation: i64,
    /// A digest of the signers.
    pub signers: String,
    /// Whether everything was judged by them.
    pub is_settled: bool,
    /// Since when that was not so, if it is not.
    pub unsettled_since: Option<Instant>,
    /// What is due, as others are told it.
    pub due: ShardQuarantine,
}

impl Shares {
    /// Notes what was found due under a policy.
    pub fn note(&self, policy: &str, surveyed: Surveyed) {
        let mut all = self.surveys.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(policy.to_owned(), surveyed);
    }

    /// What was found due under a policy when that was looked at last.
    pub fn surveyed(&self, policy: &str) -> Surveyed {
        let all = self.surveys.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(policy).cloned().unwrap_or_default()
    }
}
