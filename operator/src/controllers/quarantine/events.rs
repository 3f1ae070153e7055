//! What a change of a quarantine is worth announcing.

use k8s_openapi::api::core::v1::ObjectReference;

use crate::api::Quarantine;
use crate::api::conditions::{Status, find};
use crate::api::quarantine::{ContainedObject, ObjectState, QuarantineStatus};
use crate::api::quarantine_words::{QuarantineCondition, QuarantineReason};
use crate::api::reasons::EventReason;
use crate::controllers::events::{Announcement, reference, reference_to};
use crate::inventory::ReleaseId;

/// A quarantine and the release that it contains.
#[derive(Debug)]
pub(in crate::controllers) struct About {
    quarantine: ObjectReference,
    release: ObjectReference,
}

impl About {
    /// The quarantine of this uid; `trust` is the uid of the `ReleaseTrust`, if there is one.
    pub(in crate::controllers) fn of(id: &ReleaseId, uid: &str, trust: Option<String>) -> Self {
        let (name, uid) = (Some(id.name.clone()), Some(uid.to_owned()));
        Self {
            quarantine: ObjectReference {
                namespace: Some(id.namespace.clone()),
                ..reference_to::<Quarantine>(name, uid)
            },
            release: reference(id, trust),
        }
    }
}

/// What a change of a quarantine is worth announcing.
pub(in crate::controllers) fn of_quarantine(
    about: &About,
    old: &QuarantineStatus,
    new: &QuarantineStatus,
) -> Vec<Announcement> {
    let announced = |type_, alarming, word: EventReason| {
        let after = find(&new.conditions, type_).filter(|after| after.status == Status::True)?;
        let before = find(&old.conditions, type_);
        let is_news = before.is_none_or(|b| b.status != Status::True || b.message != after.message);
        is_news.then(|| Announcement {
            regarding: about.quarantine.clone(),
            related: Some(about.release.clone()),
            alarming,
            action: "Quarantine",
            reason: word.word().to_owned(),
            note: after.message.clone(),
        })
    };
    let active = announced(QuarantineCondition::Active, false, EventReason::Quarantined);
    let was_active = find(&old.conditions, QuarantineCondition::Active)
        .is_some_and(|before| before.status == Status::True);
    let contested = announced(QuarantineCondition::Contested, true, EventReason::Contested);
    let active = active.filter(|_| !was_active);
    let partly = partly(about, old, new);
    active.into_iter().chain(partly).chain(contested).collect()
}

/// Something that runs is left out, or waits for a person.
fn partly(about: &About, old: &QuarantineStatus, new: &QuarantineStatus) -> Option<Announcement> {
    let words = [
        QuarantineReason::AwaitingApproval.word(),
        QuarantineReason::PartlyContained.word(),
    ];
    let active = find(&new.conditions, QuarantineCondition::Active)?;
    let word = words.into_iter().find(|word| active.reason == *word)?;
    let before = find(&old.conditions, QuarantineCondition::Active);
    let was_so = before.is_some_and(|before| before.reason == word);
    (!was_so).then(|| Announcement {
        regarding: about.quarantine.clone(),
        related: Some(about.release.clone()),
        alarming: true,
        action: "Quarantine",
        reason: word.to_owned(),
        note: active.message.clone(),
    })
}

/// A quarantine has ended, and what became of its objects.
pub(in crate::controllers) fn of_restore(about: &About, status: &QuarantineStatus) -> Announcement {
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
    let is_back = |object: &&ContainedObject| object.state == ObjectState::Restored;
    let back = status.objects.iter().filter(is_back).count();
    let mut note = format!("{back} objects were put back");
    if !kept.is_empty() {
        note = format!("{note}; kept: {}", kept.join(", "));
    }
    Announcement {
        // The Quarantine is gone, so the release tells it.
        regarding: about.release.clone(),
        related: Some(about.quarantine.clone()),
        alarming: false,
        action: "Restore",
        reason: EventReason::Restored.word().to_owned(),
        note,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_quarantine_counts_what_was_put_back_and_names_what_was_kept() {
        let object = |name: &str, state: &str, message: Option<&str>| {
            serde_json::from_value::<ContainedObject>(serde_json::json!({
                "action": "ScaleToZero", "apiVersion": "apps/v1", "kind": "Deployment",
                "name": name, "state": state, "message": message,
            }))
            .unwrap()
        };
        let status = QuarantineStatus {
            contained: 3,
            objects: vec![
                object("web", "Restored", None),
                object("api", "Kept", Some("was set to 5 by person, and stays so")),
                object("db", "Gone", None),
            ],
            ..QuarantineStatus::default()
        };
        let id = ReleaseId {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        };
        assert_eq!(
            of_restore(&About::of(&id, "uid", None), &status).note,
            "1 objects were put back; kept: Deployment api was set to 5 by person, and stays so"
        );
    }
}
