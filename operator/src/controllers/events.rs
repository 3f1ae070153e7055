//! Events: one for each transition of a verdict, in the words of the vocabulary.

use charttrust_verify::check::Judgement;
use charttrust_verify::verdict::{Cause, Verdict};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Resource as _};

use super::release::is_alarming;
use super::world::Trust;
use super::{Context, FIELD_MANAGER};
use crate::api::chart_trust_policy::ChartTrustPolicyStatus;
use crate::api::conditions::{
    PolicyCondition, QuarantineCondition, ReleaseCondition, Status, find,
};
use crate::api::quarantine::{ObjectState, QuarantineStatus};
use crate::api::release_trust::ReleaseTrustStatus;
use crate::api::{ChartTrustPolicy, ReleaseTrust, bounds};
use crate::clock;
use crate::inventory::ReleaseId;
use crate::watch::within_deadline;

/// Something to announce.
#[derive(Debug)]
pub(super) struct Announcement {
    regarding: ObjectReference,
    alarming: bool,
    action: &'static str,
    reason: String,
    note: String,
}

/// What a change of a release's status is worth announcing: a change of its verdict, unless it is
/// the first and not bad, or every policy that applies is suspended.
pub(super) fn of_release(
    old: Option<&ReleaseTrustStatus>,
    new: &ReleaseTrustStatus,
    id: &ReleaseId,
    judgement: &Judgement,
    trust: &Trust,
) -> Option<Announcement> {
    let after = find(&new.conditions, ReleaseCondition::Trusted)?;
    let before = old.and_then(|old| find(&old.conditions, ReleaseCondition::Trusted));
    let was_known = before.is_some_and(|before| before.reason != Cause::Pending.word());
    let is_news = match before {
        Some(before) if was_known => before.reason != after.reason,
        _ => matches!(judgement.verdict, Verdict::Untrusted(_)),
    };
    let applies = |name: &str| {
        trust
            .policies
            .get(name)
            .is_some_and(|l| !l.policy.suspended)
    };
    let is_silenced = !judgement.policies.is_empty()
        && !judgement
            .policies
            .iter()
            .any(|policy| applies(&policy.policy));
    (is_news && !is_silenced).then(|| Announcement {
        regarding: reference(id),
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

/// What became of the quarantine of a release, as its status shows it.
pub(super) fn of_quarantined(
    old: Option<&ReleaseTrustStatus>,
    new: &ReleaseTrustStatus,
    id: &ReleaseId,
) -> Option<Announcement> {
    let after = find(&new.conditions, ReleaseCondition::Quarantined)?;
    let before = old.and_then(|old| find(&old.conditions, ReleaseCondition::Quarantined));
    let is_news = before.is_none_or(|before| before.reason != after.reason);
    // That it is in force is told by the quarantine itself, with what was contained.
    (is_news && after.status == Status::False).then(|| Announcement {
        regarding: reference(id),
        alarming: false,
        action: "Quarantine",
        reason: after.reason.clone(),
        note: after.message.clone(),
    })
}

/// What a change of a quarantine is worth announcing.
pub(super) fn of_quarantine(
    id: &ReleaseId,
    old: &QuarantineStatus,
    new: &QuarantineStatus,
) -> Vec<Announcement> {
    let announced = |type_, alarming, word: &str| {
        let after = find(&new.conditions, type_).filter(|after| after.status == Status::True)?;
        let before = find(&old.conditions, type_);
        let is_news = before.is_none_or(|b| b.status != Status::True || b.message != after.message);
        is_news.then(|| Announcement {
            regarding: reference(id),
            alarming,
            action: "Quarantine",
            reason: word.to_owned(),
            note: after.message.clone(),
        })
    };
    let active = announced(QuarantineCondition::Active, false, "Quarantined");
    let was_active = find(&old.conditions, QuarantineCondition::Active)
        .is_some_and(|before| before.status == Status::True);
    let contested = announced(QuarantineCondition::Contested, true, "Contested");
    let active = active.filter(|_| !was_active);
    active.into_iter().chain(contested).collect()
}

/// A quarantine has ended, and what became of its objects.
pub(super) fn of_restore(id: &ReleaseId, status: &QuarantineStatus) -> Announcement {
    let kept = status
        .objects
        .iter()
        .filter(|object| object.state == ObjectState::Kept);
    let kept: Vec<_> = kept
        .map(|object| {
            let message = object.message.as_deref().unwrap_or("was changed by others");
            format!("{} {} {message}", object.kind, object.name)
        })
        .collect();
    let mut note = format!("{} objects were put back", status.contained);
    if !kept.is_empty() {
        note = format!("{note}; kept: {}", kept.join(", "));
    }
    Announcement {
        regarding: reference(id),
        alarming: false,
        action: "Restore",
        reason: "Restored".to_owned(),
        note,
    }
}

/// That what is due does not fit the limit of a policy.
pub(super) fn of_policy(
    name: &str,
    old: Option<&ChartTrustPolicyStatus>,
    new: &ChartTrustPolicyStatus,
) -> Option<Announcement> {
    let after = find(&new.conditions, PolicyCondition::QuarantineStopped)?;
    let before = old.and_then(|old| find(&old.conditions, PolicyCondition::QuarantineStopped));
    before.is_none().then(|| Announcement {
        regarding: ObjectReference {
            api_version: Some(ChartTrustPolicy::api_version(&()).into_owned()),
            kind: Some(ChartTrustPolicy::kind(&()).into_owned()),
            name: Some(name.to_owned()),
            ..ObjectReference::default()
        },
        alarming: true,
        action: "Quarantine",
        reason: "QuarantineStopped".to_owned(),
        note: after.message.clone(),
    })
}

/// Evidence that lay in a `ReleaseTrust` and is not believed.
pub(super) fn of_rejection(id: &ReleaseId, why: &str) -> Announcement {
    Announcement {
        regarding: reference(id),
        alarming: true,
        action: "Verify",
        reason: "EvidenceRejected".to_owned(),
        note: format!("{why}; it is gathered again from the source"),
    }
}

fn reference(id: &ReleaseId) -> ObjectReference {
    ObjectReference {
        api_version: Some(ReleaseTrust::api_version(&()).into_owned()),
        kind: Some(ReleaseTrust::kind(&()).into_owned()),
        name: Some(id.name.clone()),
        namespace: Some(id.namespace.clone()),
        ..ObjectReference::default()
    }
}

/// Publishes an announcement. An event that cannot be written is not worth failing for.
pub(super) async fn publish(context: &Context, announcement: Option<Announcement>) {
    let Some(announcement) = announcement else {
        return;
    };
    let namespace = namespace_of(&announcement).to_owned();
    let event = event(&announcement);
    let api = Api::<Event>::namespaced(context.client.clone(), &namespace);
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..Default::default()
    };
    if let Err(error) = within_deadline(api.create(&params, &event)).await {
        context.metrics.event_dropped();
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "an event was not written"
        );
    }
}

/// Events about cluster-wide objects lie in `default`.
fn namespace_of(announcement: &Announcement) -> &str {
    announcement
        .regarding
        .namespace
        .as_deref()
        .unwrap_or("default")
}

fn event(announcement: &Announcement) -> Event {
    let now = clock::now();
    let name = announcement.regarding.name.as_deref().unwrap_or_default();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            namespace: Some(namespace_of(announcement).to_owned()),
            ..ObjectMeta::default()
        },
        action: Some(announcement.action.to_owned()),
        event_time: Some(MicroTime(now)),
        note: Some(bounds::fit(&announcement.note, MAX_NOTE)),
        reason: Some(announcement.reason.clone()),
        regarding: Some(announcement.regarding.clone()),
        reporting_controller: Some("charttrust.io/charttrust".to_owned()),
        reporting_instance: Some("charttrust".to_owned()),
        type_: Some(
            if announcement.alarming {
                "Warning"
            } else {
                "Normal"
            }
            .to_owned(),
        ),
        ..Event::default()
    }
}

/// Longest note of an event, in bytes (`events.k8s.io` allows 1 kB).
const MAX_NOTE: usize = 1000;
