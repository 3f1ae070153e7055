//! From what people wrote to what the engine judges by.
//!
//! Pure. Every problem of an object is found at once, with the path of its field and the next
//! step. The schema refuses most of them before, but an object may be older than the schema, or
//! come from a file.

mod duration;
#[cfg(test)]
mod examples;
mod exception;
mod glass;
mod identity;
mod key;
mod policy;
mod problem;
mod public_key;
mod quarantine;
mod refresh;
mod rule;
mod selector;
mod share;
mod source;
mod text;
mod time;
mod unreadable;
mod unreadable_identity;

pub use duration::{DurationError, duration};
pub use glass::Glass;
pub use identity::{identity, identity_remains, is_caller_told};
pub use key::{KeyProblem, Remains, claimed, declared_revocation, key, remains};
pub use policy::{DoorTerms, LoadedPolicy, QuarantineTerms, policy, policy_by, unreadable_policy};
pub use problem::Problem;
pub use public_key::{public_key, public_key_remains, share_public_revocations};
pub use quarantine::quarantine_problems;
pub use refresh::{Refresh, refresh};
pub use selector::label_selector;
pub use share::{share_revocations, share_with};
pub use source::{AddressError, TokenRule, repository};
pub use time::{TimeError, timestamp};
pub use unreadable::{UnreadableKey, unreadable_key};
pub use unreadable_identity::{UnreadableIdentity, unreadable_identity};

use problem::Problems;
