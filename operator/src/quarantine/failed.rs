//! What a `Quarantine` says of itself while nobody can look at it.

use super::conclude::refused;
use super::view::View;
use crate::api::conditions::{Condition, Status, merge};
use crate::api::quarantine::QuarantineStatus;
use crate::api::quarantine_words::{QuarantineCondition, QuarantineReason};

/// The status of a quarantine that could not be looked at. What is known of one in force stands as it was concluded, and
/// beside it that it is not looked after now, as Flux says that of its own.
pub fn failed_look(view: &View, message: &str) -> QuarantineStatus {
    let reason = QuarantineReason::ProgressingWithRetry;
    if view.status.incident.is_none() {
        return refused(view, reason, message);
    }
    let said =
        |type_, status| Condition::new(type_, (status, reason), message, view.generation, view.now);
    let told = [
        said(QuarantineCondition::Reconciling, Status::True),
        said(QuarantineCondition::Ready, Status::False),
    ];
    let known = view.status.conditions.iter();
    let stands = |one: &&Condition| told.iter().all(|told| told.type_ != one.type_);
    let mut concluded: Vec<_> = known.filter(stands).cloned().collect();
    concluded.extend(told);
    QuarantineStatus {
        conditions: merge(&view.status.conditions, concluded),
        ..view.status.clone()
    }
}
