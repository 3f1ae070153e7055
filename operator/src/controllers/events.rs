//! Events: one for each transition of a verdict or of a key's life, in the words of the vocabulary.

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
    Condition, KeyCondition, PolicyCondition, QuarantineCondition, ReleaseCondition, Status, find,
};
use crate::api::quarantine::{ObjectState, QuarantineStatus};
use crate::api::reasons::KeyReason;
use crate::api::release_trust::ReleaseTrustStatus;
use crate::api::trusted_key::TrustedKeyStatus;
use crate::api::{ChartTrustPolicy, ReleaseTrust, TrustedKey, bounds};
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

/// What a change of a key's status is worth announcing: that it is revoked, or not any more, and
/// each step towards its end. A key that cannot be read says nothing about that.
pub(super) fn of_key(
    object: &TrustedKey,
    old: Option<&TrustedKeyStatus>,
    new: &TrustedKeyStatus,
) -> Vec<Announcement> {
    let is_read = find(&new.conditions, KeyCondition::Ready)
        .is_some_and(|ready| ready.status == Status::True);
    if !is_read {
        return Vec::new();
    }
    let before = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let told = |type_, action, change: Change<'_>| {
        let (reason, message) = change.told()?;
        Some(Announcement {
            regarding: reference_to_key(object),
            alarming: type_ == KeyCondition::Revoked && is_hard(&reason),
            action,
            note: match type_ {
                // Its message names them.
                KeyCondition::Expiring => message,
                _ => format!("{message}; {}", dependents(new.releases)),
            },
            reason,
        })
    };
    let change = |type_| Change {
        before: find(before, type_),
        after: find(&new.conditions, type_),
        type_,
    };
    let ended = change(KeyCondition::Valid).only(KeyReason::Expired);
    [
        told(
            KeyCondition::Revoked,
            "Revoke",
            change(KeyCondition::Revoked),
        ),
        told(
            KeyCondition::Expiring,
            "Verify",
            change(KeyCondition::Expiring),
        ),
        told(KeyCondition::Valid, "Verify", ended),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// One condition before and after.
#[derive(Clone, Copy)]
struct Change<'a> {
    type_: KeyCondition,
    before: Option<&'a Condition>,
    after: Option<&'a Condition>,
}

impl Change<'_> {
    /// The same, as if the condition were there for one reason only.
    fn only(self, reason: KeyReason) -> Self {
        let keep = |condition: &&Condition| condition.reason == reason.word();
        Self {
            before: self.before.filter(keep),
            after: self.after.filter(keep),
            ..self
        }
    }

    /// The word and the message of what is new, if anything is.
    fn told(self) -> Option<(String, String)> {
        let is_new = |after: &&Condition| {
            let before = self.before.map(|before| &before.reason);
            before != Some(&after.reason)
        };
        let withdrawn = || {
            let name = KeyReason::RevocationWithdrawn.word().to_owned();
            (
                name,
                "the revocation was withdrawn, signatures count again".to_owned(),
            )
        };
        match (self.type_, self.before, self.after) {
            (KeyCondition::Revoked, Some(_), None) => Some(withdrawn()),
            (_, _, after) => {
                let after = after.filter(is_new)?;
                Some((after.reason.clone(), after.message.clone()))
            }
        }
    }
}

/// Whether a revocation for this reason is proof of badness.
fn is_hard(reason: &str) -> bool {
    let hard = [KeyReason::Compromised, KeyReason::Unspecified];
    hard.iter().any(|hard| hard.word() == reason)
}

fn dependents(count: u32) -> String {
    match count {
        0 => "no release depends on it".to_owned(),
        1 => "1 release depends on it".to_owned(),
        many => format!("{many} releases depend on it"),
    }
}

fn reference_to_key(object: &TrustedKey) -> ObjectReference {
    ObjectReference {
        api_version: Some(TrustedKey::api_version(&()).into_owned()),
        kind: Some(TrustedKey::kind(&()).into_owned()),
        name: object.metadata.name.clone(),
        // `kubectl describe` looks for the events of this very object.
        uid: object.metadata.uid.clone(),
        ..ObjectReference::default()
    }
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
    let namespace = namespace(&announcement);
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

fn event(announcement: &Announcement) -> Event {
    let now = clock::now();
    let name = announcement.regarding.name.as_deref().unwrap_or_default();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            namespace: Some(namespace(announcement)),
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

/// Events about cluster-wide objects lie in the namespace `default`: the server wants it so.
fn namespace(announcement: &Announcement) -> String {
    let own = announcement.regarding.namespace.clone();
    own.unwrap_or_else(|| "default".to_owned())
}

/// Longest note of an event, in bytes (`events.k8s.io` allows 1 kB).
const MAX_NOTE: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    type Conditions<'a> = &'a [(KeyCondition, Status, KeyReason)];

    fn status(conditions: Conditions<'_>) -> TrustedKeyStatus {
        let now = "2026-11-22T00:00:00Z".parse().unwrap();
        let condition = |(type_, status, reason): &(_, _, KeyReason)| {
            Condition::new(*type_, (*status, *reason), "said", 1, now)
        };
        let ready = (KeyCondition::Ready, Status::True, KeyReason::Accepted);
        let has_ready = conditions
            .iter()
            .any(|(type_, ..)| *type_ == KeyCondition::Ready);
        let all = conditions.iter().chain((!has_ready).then_some(&ready));
        TrustedKeyStatus {
            releases: 2,
            conditions: all.map(condition).collect(),
            ..TrustedKeyStatus::default()
        }
    }

    /// The words of what is announced, with `!` for warnings.
    fn words(old: Option<Conditions<'_>>, new: Conditions<'_>) -> Vec<String> {
        let spec = serde_json::json!({"fingerprint": "0".repeat(40), "publicKey": {}});
        let object = TrustedKey::new("platform", serde_json::from_value(spec).unwrap());
        let old = old.map(status);
        let announced = of_key(&object, old.as_ref(), &status(new));
        let word = |one: &Announcement| {
            assert_eq!(namespace(one), "default");
            let counts = one.note.ends_with("; 2 releases depend on it");
            assert_eq!(counts, !one.reason.starts_with("ExpiresIn"), "{}", one.note);
            format!("{}{}", one.reason, if one.alarming { "!" } else { "" })
        };
        announced.iter().map(word).collect()
    }

    const COMPROMISED: (KeyCondition, Status, KeyReason) =
        (KeyCondition::Revoked, Status::True, KeyReason::Compromised);
    const RETIRED: (KeyCondition, Status, KeyReason) =
        (KeyCondition::Revoked, Status::True, KeyReason::Retired);
    const IN_90: (KeyCondition, Status, KeyReason) = (
        KeyCondition::Expiring,
        Status::True,
        KeyReason::ExpiresIn90Days,
    );
    const IN_30: (KeyCondition, Status, KeyReason) = (
        KeyCondition::Expiring,
        Status::True,
        KeyReason::ExpiresIn30Days,
    );
    const ENDED: (KeyCondition, Status, KeyReason) =
        (KeyCondition::Valid, Status::False, KeyReason::Expired);
    const UNREAD: (KeyCondition, Status, KeyReason) = (
        KeyCondition::Ready,
        Status::False,
        KeyReason::MaterialMissing,
    );

    #[test]
    fn a_revocation_is_announced_once_and_a_hard_one_is_a_warning() {
        assert_eq!(words(None, &[COMPROMISED]), ["Compromised!"]);
        assert_eq!(words(Some(&[]), &[COMPROMISED]), ["Compromised!"]);
        assert_eq!(words(Some(&[]), &[RETIRED]), ["Retired"]);
        assert_eq!(words(Some(&[RETIRED]), &[COMPROMISED]), ["Compromised!"]);
        assert!(words(Some(&[COMPROMISED]), &[COMPROMISED]).is_empty());
    }

    #[test]
    fn a_withdrawn_revocation_is_announced_but_not_by_a_key_that_cannot_be_read() {
        assert_eq!(words(Some(&[COMPROMISED]), &[]), ["RevocationWithdrawn"]);
        assert_eq!(words(Some(&[RETIRED]), &[]), ["RevocationWithdrawn"]);
        assert!(words(Some(&[COMPROMISED]), &[UNREAD]).is_empty());
        assert!(words(None, &[]).is_empty());
    }

    #[test]
    fn each_step_towards_the_end_is_announced_once() {
        assert_eq!(words(Some(&[]), &[IN_90]), ["ExpiresIn90Days"]);
        assert!(words(Some(&[IN_90]), &[IN_90]).is_empty());
        assert_eq!(words(Some(&[IN_90]), &[IN_30]), ["ExpiresIn30Days"]);
        assert_eq!(words(Some(&[IN_30]), &[ENDED]), ["Expired"]);
        assert!(words(Some(&[ENDED]), &[ENDED]).is_empty());
        assert!(
            words(Some(&[IN_30]), &[]).is_empty(),
            "it was given a longer life"
        );
    }
}
