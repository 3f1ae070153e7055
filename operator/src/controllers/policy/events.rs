//! What a change of a policy's status is worth announcing.

use crate::api::ChartTrustPolicy;
use crate::api::chart_trust_policy::ChartTrustPolicyStatus;
use crate::api::conditions::{PolicyCondition, find};
use crate::api::reasons::EventReason;
use crate::controllers::events::{Announcement, reference_of, reference_to};

/// That what is due does not fit the limit of a policy.
pub(in crate::controllers) fn of_policy(
    object: &ChartTrustPolicy,
    old: Option<&ChartTrustPolicyStatus>,
    new: &ChartTrustPolicyStatus,
) -> Option<Announcement> {
    let after = find(&new.conditions, PolicyCondition::QuarantineStopped)?;
    let before = old.and_then(|old| find(&old.conditions, PolicyCondition::QuarantineStopped));
    before.is_none().then(|| Announcement {
        regarding: reference_of(object),
        related: None,
        alarming: true,
        action: "Quarantine",
        reason: EventReason::QuarantineStopped.word().to_owned(),
        note: after.message.clone(),
    })
}

/// A policy is gone, and with it the verdicts that it gave: told once, not for each release.
pub(in crate::controllers) fn of_deletion(name: &str, releases: usize) -> Announcement {
    let note = match releases {
        0 => "the policy is gone; no release was judged by it".to_owned(),
        1 => "the policy is gone; 1 release was judged by it".to_owned(),
        many => format!("the policy is gone; {many} releases were judged by it"),
    };
    Announcement {
        regarding: reference_to::<ChartTrustPolicy>(Some(name.to_owned()), None),
        related: None,
        alarming: false,
        action: "Verify",
        reason: EventReason::PolicyDeleted.word().to_owned(),
        note,
    }
}
