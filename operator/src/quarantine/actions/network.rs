//! `IsolateNetwork`: all traffic of the release's Pods is denied.

use super::super::policies::Way;
use super::denial::Denial;
use crate::api::quarantine_words::{QuarantineAction, QuarantineCondition, QuarantineReason};

/// All that there is to it.
pub(super) static DENIAL: Denial = Denial {
    action: QuarantineAction::IsolateNetwork,
    ways: &[Way::Egress, Way::Ingress],
    condition: QuarantineCondition::Isolated,
    reason: QuarantineReason::TrafficDenied,
    traffic: "all traffic",
    state: "isolated",
};
