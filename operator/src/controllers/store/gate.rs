//! What API servers ask or apply before anything is stored, as the leader has seen it last.

use std::sync::{PoisonError, RwLock};

use crate::parse::Glass;
use crate::quarantine::Freeze;

/// What was seen last.
#[derive(Debug, Default)]
pub struct Gate(RwLock<Seen>);

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What became of a call to the webhook.
    pub called: Called,
    /// What is written on the operator's namespace about letting everything in.
    pub glass: Glass,
    /// Whether upgrades of a release can be refused.
    pub freeze: Freeze,
}

/// What became of a call to the webhook, as API servers call it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Called {
    /// There is none, and why that is known.
    Absent(String),
    /// It has answered, and shows what the configuration has API servers believe.
    Answered,
    /// It has not, and why.
    Failed(String),
    /// It was not called yet.
    #[default]
    Unseen,
}

impl Gate {
    /// What was seen last.
    pub fn seen(&self) -> Seen {
        let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }

    /// Keeps what is seen now, and gives what was seen before.
    pub fn see(&self, seen: Seen) -> Seen {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut known, seen)
    }
}
