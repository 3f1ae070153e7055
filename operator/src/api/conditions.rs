//! Conditions: what is so about an object, in words that others may rely on.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds;
use super::schema;

/// One aspect of the object's state.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// When `status` last changed.
    #[schemars(schema_with = "schema::time")]
    pub last_transition_time: Time,
    /// For people: which object it is about, and the next step. Empty: nothing to say.
    // An empty one is filled in by the API server, by the default: every condition has the key, as
    // metav1.Condition demands, and what we send stays small.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = bounds::LISTING), extend("default" = ""))]
    pub message: String,
    /// The `metadata.generation` this was concluded from.
    #[schemars(range(min = 0))]
    pub observed_generation: i64,
    /// One word of a closed vocabulary that says why.
    #[schemars(length(min = 1, max = bounds::WORD))]
    pub reason: String,
    /// True, False or Unknown.
    pub status: Status,
    /// Which aspect.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = bounds::WORD))]
    pub type_: String,
}

/// True, False or Unknown.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Status {
    /// It is not so.
    False,
    /// It is so.
    True,
    /// We cannot tell.
    Unknown,
}

/// A word that may stand as the reason of a condition.
pub trait ConditionReason: Copy {
    /// The word.
    fn word(self) -> &'static str;
}

/// The types of conditions of one kind.
pub trait ConditionType: Copy {
    /// The word, as `kubectl wait --for=condition=…` takes it.
    fn word(self) -> &'static str;
}

macro_rules! types {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])+ $word:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum $name { $($(#[doc = $doc])+ $word,)+ }

        impl $name {
            /// Every type of this kind.
            pub const ALL: &[Self] = &[$(Self::$word,)+];

            /// What it says about the object, for people.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$word => concat!($($doc,)+).trim_ascii_start(),)+ }
            }
        }

        impl ConditionType for $name {
            fn word(self) -> &'static str {
                match self { $(Self::$word => stringify!($word),)+ }
            }
        }
    };
}

pub(super) use types;

types! {
    /// Conditions of a `TrustedKey`; of a `TrustedIdentity` those of [`KeyCondition::OF_IDENTITIES`].
    KeyCondition {
        /// It ends soon. Absent otherwise.
        Expiring,
        /// The object was read, and may vouch or is known to be revoked.
        Ready,
        /// A passing trouble is retried. Absent otherwise.
        Reconciling,
        /// A published copy of the key was looked at for revocations. Absent without spec.refresh.
        Refreshed,
        /// It is revoked, by us or by a certificate, be it for a time. Absent otherwise.
        Revoked,
        /// Only a person can help. Absent otherwise.
        Stalled,
        /// It may vouch for charts now.
        Valid,
    }
}

impl KeyCondition {
    /// Those of a `TrustedIdentity`.
    pub const OF_IDENTITIES: &[Self] = &[
        Self::Expiring,
        Self::Ready,
        Self::Revoked,
        Self::Stalled,
        Self::Valid,
    ];
}

types! {
    /// Conditions of a `ChartTrustPolicy`.
    PolicyCondition {
        /// False if a release is untrusted, Unknown while one could not be judged.
        Compliant,
        /// An exception has ended or ends soon. Absent otherwise.
        ExceptionExpiring,
        /// Every key and identity that a rule names exists and is usable.
        KeysResolved,
        /// What is due does not fit the limit, so no quarantine starts. Absent otherwise.
        QuarantineStopped,
        /// The object was read and is judged by. Unknown while its releases are being judged.
        Ready,
        /// The object was changed, and its releases are being judged by it. Absent otherwise.
        Reconciling,
        /// Every source that was asked answered the last look.
        SourcesReachable,
        /// Only a person can help. Absent otherwise.
        Stalled,
        /// API servers are answered by the webhook, which does what the mode says. Absent in mode Audit, and
        /// while the policy is suspended.
        WebhookReady,
    }
}

types! {
    /// Conditions of a `ReleaseTrust`.
    ReleaseCondition {
        /// False after looks at the source failed for two intervals.
        Fresh,
        /// True while contained, False while that waits for approval, is due and does not begin, holds
        /// nothing, or was ended by a person. Absent otherwise.
        Quarantined,
        /// The release was judged. Unknown while a source is being asked about it.
        Ready,
        /// The record is being read, or a source is being asked about it. Absent otherwise.
        Reconciling,
        /// The verdict.
        Trusted,
    }
}

impl Condition {
    /// A condition as concluded at `now` from `generation`. [`merge`] restores the time of the
    /// last transition.
    pub fn new(
        type_: impl ConditionType,
        (status, reason): (Status, impl ConditionReason),
        message: impl AsRef<str>,
        generation: i64,
        now: Timestamp,
    ) -> Self {
        let message = bounds::fit(message.as_ref(), bounds::MESSAGE);
        Self::listing(type_, (status, reason), &message, generation, now)
    }

    /// The same with a message that names everything it is about.
    pub fn listing(
        type_: impl ConditionType,
        (status, reason): (Status, impl ConditionReason),
        message: &str,
        generation: i64,
        now: Timestamp,
    ) -> Self {
        Self {
            last_transition_time: super::time(now),
            message: bounds::fit(message, bounds::LISTING),
            observed_generation: generation,
            reason: reason.word().to_owned(),
            status,
            type_: type_.word().to_owned(),
        }
    }
}

/// The concluded conditions, in their order. One whose status is as before keeps its time; a type
/// that is no longer concluded is gone.
pub fn merge(before: &[Condition], concluded: Vec<Condition>) -> Vec<Condition> {
    let keep_time = |mut condition: Condition| {
        if let Some(same) = before.iter().find(|old| is_unchanged(old, &condition)) {
            condition.last_transition_time = same.last_transition_time.clone();
        }
        condition
    };
    concluded.into_iter().map(keep_time).collect()
}

/// The condition of a type, if it is there.
pub fn find(conditions: &[Condition], type_: impl ConditionType) -> Option<&Condition> {
    conditions
        .iter()
        .find(|condition| condition.type_ == type_.word())
}

fn is_unchanged(old: &Condition, new: &Condition) -> bool {
    old.type_ == new.type_ && old.status == new.status
}

#[cfg(test)]
mod tests {
    use super::super::reasons::{KeyReason, PolicyReason};
    use super::*;

    const EARLIER: &str = "2026-11-18T00:00:00Z";
    const LATER: &str = "2026-11-19T00:00:00Z";

    fn valid(status: Status, reason: KeyReason, at: &str) -> Condition {
        Condition::new(
            KeyCondition::Valid,
            (status, reason),
            "key a",
            3,
            at.parse().unwrap(),
        )
    }

    #[test]
    fn an_unchanged_status_keeps_its_time_though_reason_and_generation_change() {
        let before = [valid(Status::False, KeyReason::Expired, EARLIER)];
        let after = merge(
            &before,
            vec![valid(Status::False, KeyReason::Retired, LATER)],
        );
        assert_eq!(
            after[0].last_transition_time,
            before[0].last_transition_time
        );
        assert_eq!(after[0].reason, "Retired");
    }

    #[test]
    fn a_changed_status_takes_the_new_time() {
        let before = [valid(Status::True, KeyReason::Accepted, EARLIER)];
        let concluded = vec![valid(Status::False, KeyReason::Expired, LATER)];
        assert_eq!(merge(&before, concluded.clone()), concluded);
    }

    #[test]
    fn a_condition_that_is_no_longer_concluded_is_gone() {
        let before = [valid(Status::True, KeyReason::Accepted, EARLIER)];
        assert_eq!(merge(&before, Vec::new()), []);
    }

    #[test]
    fn merging_again_changes_nothing() {
        let before = [valid(Status::True, KeyReason::Accepted, EARLIER)];
        let again = vec![valid(Status::True, KeyReason::Accepted, LATER)];
        assert_eq!(merge(&before, again), before);
    }

    #[test]
    fn a_message_is_cut_to_its_bound() {
        let reason = (Status::False, PolicyReason::InvalidSpec);
        let now = EARLIER.parse().unwrap();
        let condition = Condition::new(PolicyCondition::Ready, reason, "x".repeat(600), 1, now);
        assert_eq!(condition.message.len(), bounds::MESSAGE);
        assert_eq!(
            find(&[condition], PolicyCondition::Ready).unwrap().reason,
            "InvalidSpec"
        );
    }
}
