//! What a change of a signer's status is worth announcing, and announces it.

use k8s_openapi::api::core::v1::ObjectReference;

use super::context::Context;
use super::events::{Announcement, publish};
use crate::api::conditions::{Condition, KeyCondition, Status, find};
use crate::api::reasons::{EventReason, KeyReason};

/// A signer whose status changes.
#[derive(Clone, Debug)]
pub(super) struct Signer<'a> {
    /// Its object.
    pub(super) reference: ObjectReference,
    /// Its conditions as they were told last.
    pub(super) before: &'a [Condition],
    /// Its conditions now.
    pub(super) after: &'a [Condition],
    /// How many releases have a signature by it.
    pub(super) releases: u32,
}

/// Announces what has changed, before it is written: as for releases, nothing is lost with a replica that dies in
/// between.
pub(super) async fn announce(context: &Context, signer: Signer<'_>) {
    for announcement in of_signer(&signer) {
        publish(context, Some(announcement)).await;
    }
}

/// What a change of a signer's status is worth announcing: that it is revoked, or not any more, and
/// each step towards its end. One that cannot be read says nothing about that.
pub(super) fn of_signer(signer: &Signer<'_>) -> Vec<Announcement> {
    let Signer { before, after, .. } = *signer;
    let is_read = find(after, KeyCondition::Ready).is_some_and(|one| one.status == Status::True);
    if !is_read {
        return Vec::new();
    }
    let event = |type_, action, change: Change<'_>| {
        let (reason, message) = change.transition()?;
        Some(Announcement {
            regarding: signer.reference.clone(),
            related: None,
            alarming: type_ == KeyCondition::Revoked && is_hard(&reason),
            action,
            note: match type_ {
                // Its message names them.
                KeyCondition::Expiring => message,
                _ => format!("{message}; {}", dependents(signer.releases)),
            },
            reason,
        })
    };
    let change = |type_| Change {
        before: find(before, type_),
        after: find(after, type_),
        type_,
    };
    let ended = change(KeyCondition::Valid).only(KeyReason::Expired);
    [
        event(
            KeyCondition::Revoked,
            "Revoke",
            change(KeyCondition::Revoked),
        ),
        event(
            KeyCondition::Expiring,
            "Verify",
            change(KeyCondition::Expiring),
        ),
        event(KeyCondition::Valid, "Verify", ended),
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
    fn transition(self) -> Option<(String, String)> {
        let is_new = |after: &&Condition| {
            let before = self.before.map(|before| &before.reason);
            before != Some(&after.reason)
        };
        let withdrawn = || {
            let name = EventReason::RevocationWithdrawn.word().to_owned();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::TrustedKey;
    use crate::api::trusted_key::TrustedKeyStatus;
    use crate::controllers::events::{namespace, reference_of};

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
        let new = status(new);
        let before = old.as_ref().map(|old| old.conditions.as_slice());
        let announced = of_signer(&Signer {
            reference: reference_of(&object),
            before: before.unwrap_or_default(),
            after: &new.conditions,
            releases: new.releases,
        });
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
