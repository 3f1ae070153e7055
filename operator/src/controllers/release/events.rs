//! What a change of a release's status is worth announcing.

use charttrust_verify::check::Judgement;
use charttrust_verify::verdict::{Cause, Class, Verdict};

use k8s_openapi::api::core::v1::{Namespace, ObjectReference};

use crate::api::conditions::{ReleaseCondition, Status, find};
use crate::api::reasons::{EventReason, ReleaseReason};
use crate::api::release_trust::ReleaseTrustStatus;
use crate::controllers::events::{self as announce, Announcement};
use crate::controllers::store::junk::MOST_SHOWN;
use crate::controllers::store::{Told, Trust};

/// What is known when a change of a release's status is announced.
#[derive(Clone, Copy, Debug)]
pub(in crate::controllers) struct Known<'a> {
    /// What was told last.
    pub(in crate::controllers) told: Option<&'a Told>,
    /// The status before.
    pub(in crate::controllers) old: Option<&'a ReleaseTrustStatus>,
    pub(in crate::controllers) judgement: &'a Judgement,
    pub(in crate::controllers) trust: &'a Trust,
}

/// What a change of a release's status is worth announcing: a change of its verdict, unless it is
/// the first and not bad, or every policy that applies is suspended or gone.
pub(in crate::controllers) fn of_release(
    known: &Known<'_>,
    new: &ReleaseTrustStatus,
    about: &ObjectReference,
) -> Option<Announcement> {
    let Known {
        told,
        old,
        judgement,
        trust,
    } = *known;
    let after = find(&new.conditions, ReleaseCondition::Trusted)?;
    let before = told.and_then(|told| told.verdict.as_deref());
    let is_news = match before {
        Some(before) if !says_nothing(before) => before != after.reason,
        _ => matches!(judgement.verdict, Verdict::Untrusted(_)),
    };
    let applies = |name: &str| {
        trust
            .policies
            .get(name)
            .is_some_and(|l| !l.policy.suspended)
    };
    // A policy that goes says so itself, once for all its releases.
    let exists = |name: &str| trust.policies.contains_key(name);
    let is_silenced = if judgement.verdict == Verdict::Unknown(Cause::NoPolicy) {
        let judged_by = old.map(|old| old.policies.as_slice()).unwrap_or_default();
        !judged_by.iter().any(|policy| exists(&policy.policy))
    } else {
        let judged_by = judgement.policies.as_slice();
        !judged_by.is_empty() && !judged_by.iter().any(|policy| applies(&policy.policy))
    };
    (is_news && !is_silenced).then(|| Announcement {
        regarding: about.clone(),
        related: None,
        alarming: is_alarming(judgement.verdict),
        action: "Verify",
        reason: after.reason.clone(),
        note: if after.message.is_empty() {
            after.reason.clone()
        } else {
            after.message.clone()
        },
    })
}

/// Whether a verdict is none: what follows is the first.
fn says_nothing(word: &str) -> bool {
    [Cause::Pending, Cause::NoPolicy]
        .iter()
        .any(|cause| cause.word() == word)
}

/// What became of the quarantine of a release, as its status shows it.
pub(in crate::controllers) fn of_quarantined(
    told: Option<&Told>,
    new: &ReleaseTrustStatus,
    about: &ObjectReference,
) -> Option<Announcement> {
    let after = find(&new.conditions, ReleaseCondition::Quarantined)?;
    let before = told.and_then(|told| told.quarantined.as_ref());
    let is_news = before != Some(&after.reason);
    // What is due and is not contained is a warning; what waits for a person, or was ended by one, is none.
    let is_alarming = [
        ReleaseReason::LimitReached,
        ReleaseReason::NotContained,
        ReleaseReason::StartFailed,
    ]
    .iter()
    .any(|reason| after.reason == reason.word());
    // That it is in force is told by the quarantine itself, with what was contained.
    (is_news && after.status == Status::False).then(|| Announcement {
        regarding: about.clone(),
        related: None,
        alarming: is_alarming,
        action: "Quarantine",
        reason: after.reason.clone(),
        note: after.message.clone(),
    })
}

/// Evidence that lay in a `ReleaseTrust` and is not believed.
pub(in crate::controllers) fn of_rejection(about: &ObjectReference, why: &str) -> Announcement {
    Announcement {
        regarding: about.clone(),
        related: None,
        alarming: true,
        action: "Verify",
        reason: EventReason::EvidenceRejected.word().to_owned(),
        note: format!("{why}; it is gathered again from the source"),
    }
}

/// Somebody has deleted a `ReleaseTrust`: verdict, evidence and dates would be lost.
pub(in crate::controllers) fn of_deletion(about: &ObjectReference) -> Announcement {
    Announcement {
        regarding: about.clone(),
        related: None,
        alarming: true,
        action: "Verify",
        reason: EventReason::ReleaseTrustDeleted.word().to_owned(),
        note: "somebody has deleted it; it was written again as it was".to_owned(),
    }
}

/// Somebody has stored more records in a namespace that are none than are shown.
pub(in crate::controllers) fn of_too_many_unreadable(namespace: &str) -> Announcement {
    let regarding = ObjectReference {
        // Where whoever may mend it can see it; about a namespace the server takes it there too.
        namespace: Some(namespace.to_owned()),
        ..announce::reference_to::<Namespace>(Some(namespace.to_owned()), None)
    };
    Announcement {
        regarding,
        related: None,
        alarming: true,
        action: "Verify",
        reason: EventReason::TooManyUnreadable.word().to_owned(),
        note: format!(
            "more than {MOST_SHOWN} releases of the namespace have records that cannot be read: those beyond \
             get no ReleaseTrust, and count as unknown; find out who writes Secrets and ConfigMaps \
             that look like Helm's, and remove them"
        ),
    }
}

/// How a finding weighs for people: only badness and tampering are warnings.
fn is_alarming(verdict: Verdict) -> bool {
    matches!(verdict.class(), Class::Badness | Class::Tampering)
}
