//! The kinds people and the operator write, as Kubernetes stores them.
//!
//! Imports nothing of ours but the engine's words, `charttrust_verify::verdict` and `scheme`. Doc comments
//! become the schema's descriptions, so they are written
//! for a reader of `kubectl explain`.

#![allow(
    clippy::duplicated_attributes,
    reason = "each column of a kind has a type of its own, and many have the same"
)]
#![allow(
    clippy::doc_markdown,
    reason = "the comments are the descriptions of `kubectl explain`, which shows them as they are"
)]

mod admission;
pub mod bounds;
mod bundle_evidence;
pub mod chart_trust_policy;
pub mod conditions;
pub mod data_ref;
mod definitions;
pub mod fields;
mod policy_status;
pub mod quarantine;
pub mod quarantine_words;
pub mod reasons;
pub mod release_trust;
mod schema;
pub mod shards;
mod signers;
mod source_login;
mod source_words;
pub mod trusted_identity;
pub mod trusted_key;
pub mod trusted_root;
mod witness;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::PostParams;

pub use chart_trust_policy::ChartTrustPolicy;
pub use definitions::definitions;
pub use quarantine::Quarantine;
pub use release_trust::ReleaseTrust;
pub use trusted_identity::TrustedIdentity;
pub use trusted_key::TrustedKey;

/// The group of every kind.
pub const GROUP: &str = "charttrust.io";

/// The version of every kind.
pub const VERSION: &str = "v1alpha1";

/// The annotation that asks for a look at once; answered in `status.lastHandledReconcileAt`.
pub const REQUESTED_AT: &str = "charttrust.io/requestedAt";

/// On the operator's namespace: until when the webhook lets everything in.
pub const BREAK_GLASS: &str = "charttrust.io/break-glass-until";

/// Who we are to the API server.
pub const FIELD_MANAGER: &str = "charttrust";

/// Who one of several replicas that share the work is, in what it says of its range.
pub fn manager_of(range: usize) -> String {
    format!("{FIELD_MANAGER}-shard-{range}")
}

/// Who tells of something, in events.
pub const REPORTER: &str = "charttrust.io/charttrust";

/// How we create and replace objects: under our name.
pub fn create_params() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// An instant as Kubernetes stores it: whole seconds, so that it reads back equal.
pub fn time(instant: Timestamp) -> Time {
    Time(rounded_down(instant, Unit::Second))
}

/// The whole unit that an instant is in: never later than it.
pub fn rounded_down(instant: Timestamp, unit: Unit) -> Timestamp {
    let down = TimestampRound::new().smallest(unit).mode(RoundMode::Floor);
    // Invariant: only rounding up past the last representable second can fail; the span stays.
    instant.round(down).unwrap_or(instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_back_equal() {
        let instant = time("2026-11-18T10:20:30.987654321Z".parse().unwrap());
        let text = serde_json::to_string(&instant).unwrap();
        assert_eq!(text, "\"2026-11-18T10:20:30Z\"");
        assert_eq!(serde_json::from_str::<Time>(&text).unwrap(), instant);
    }
}
