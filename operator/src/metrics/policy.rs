//! What is counted of policies.

use std::time::Duration;

use charttrust_verify::verdict::Verdict;
use jiff::Timestamp;

/// What one policy says of one release.
#[derive(Clone, Debug)]
pub(crate) struct PolicyVerdict {
    /// Name of the policy.
    pub(crate) policy: String,
    /// Namespace of the release.
    pub(crate) namespace: String,
    /// Its verdict.
    pub(crate) verdict: Verdict,
}

/// What is counted of one policy.
#[derive(Clone, Debug)]
pub(crate) struct PolicyNumbers {
    /// Its name.
    pub(crate) policy: String,
    /// How often sources are looked at.
    pub(crate) interval: Duration,
    /// When the source answered that has been silent longest about some release, if any was asked.
    pub(crate) oldest_answer: Option<Timestamp>,
    /// Its exceptions and when they end.
    pub(crate) exceptions: Vec<(String, Timestamp)>,
    /// How many releases are due to be contained and do not fit its limit.
    pub(crate) stopped: usize,
    /// The share of its releases that are trusted, if there are any.
    pub(crate) coverage: Option<f64>,
    /// Whether API servers would be answered, if its mode needs that and it is known.
    pub(crate) webhook_ready: Option<bool>,
}

impl PolicyNumbers {
    /// Together with those of other releases of the same policy.
    pub(crate) fn add(&mut self, other: &Self) {
        self.oldest_answer = match (self.oldest_answer, other.oldest_answer) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        self.stopped += other.stopped;
        self.coverage = self.coverage.or(other.coverage);
        self.webhook_ready = self.webhook_ready.or(other.webhook_ready);
    }
}
