//! How the life of a signer stands, and what its conditions say of that: pure, and the same for keys of every
//! type and for identities.

use std::collections::BTreeSet;
use std::time::Duration;

use charttrust_verify::key::RevocationReason;
use jiff::{SignedDuration, Timestamp};

use crate::api::conditions::{Condition, KeyCondition, Status};
use crate::api::reasons::KeyReason;
use crate::api::trusted_key::KeyState;
use crate::api::{bounds, time};
use crate::controllers::queue::LONGEST_WAIT;
use crate::inventory::ReleaseId;

/// What the life of a signer has come to.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) state: KeyState,
    pub(super) ends: Option<Timestamp>,
    pub(super) valid: (Status, KeyReason),
    pub(super) revoked: Option<(KeyReason, String)>,
    /// Within how many days it ends, if that is worth a warning, and the word for it.
    pub(super) warning: Option<(i64, KeyReason)>,
    pub(super) is_read: bool,
    pub(super) message: String,
}

/// The releases with a signature by a signer.
#[derive(Clone, Debug, Default)]
pub(super) struct Dependents {
    /// Those that are known by name.
    pub(super) named: BTreeSet<ReleaseId>,
    /// How many others there are, of which another replica knows.
    pub(super) more: usize,
}

impl Dependents {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.named.len().saturating_add(self.more)
    }
}

impl From<BTreeSet<ReleaseId>> for Dependents {
    fn from(named: BTreeSet<ReleaseId>) -> Self {
        Self { named, more: 0 }
    }
}

/// What is known beside it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside<'a> {
    /// Who takes over.
    pub(super) successor: Option<&'a str>,
    /// The releases with a signature by it.
    pub(super) releases: &'a Dependents,
    /// The generation of its object.
    pub(super) generation: i64,
}

/// How soon the end of a signer is worth a warning, and the word for it; the nearest first.
const WARNINGS: [(i64, KeyReason); 3] = [
    (7, KeyReason::ExpiresIn7Days),
    (30, KeyReason::ExpiresIn30Days),
    (90, KeyReason::ExpiresIn90Days),
];

/// The instants at which there is something new to say of a signer that ends then.
pub(super) fn warnings(end: Timestamp) -> impl Iterator<Item = Timestamp> {
    let before = move |(days, _)| end.checked_sub(SignedDuration::from_hours(days * 24)).ok();
    WARNINGS.into_iter().filter_map(before)
}

/// How long it is until the next of these instants, if there is one. Long waits are cut, so that a clock that is set
/// right meanwhile is noticed.
pub(super) fn wait(ends: impl Iterator<Item = Timestamp>, now: Timestamp) -> Option<Duration> {
    let next = ends.filter(|end| *end > now).min()?;
    let wait = next.duration_since(now).unsigned_abs();
    Some(wait.min(LONGEST_WAIT))
}

/// The word for a revocation of ours.
pub(super) fn declared(reason: RevocationReason) -> KeyReason {
    match reason {
        RevocationReason::Compromised => KeyReason::Compromised,
        RevocationReason::Unspecified => KeyReason::Unspecified,
        RevocationReason::Retired => KeyReason::Retired,
        RevocationReason::Superseded => KeyReason::Superseded,
    }
}

impl Life {
    /// One that cannot be used.
    pub(super) fn invalid(reason: KeyReason, message: &str) -> Self {
        Self {
            state: KeyState::Invalid,
            ends: None,
            valid: (Status::False, reason),
            revoked: None,
            warning: None,
            is_read: false,
            message: message.to_owned(),
        }
    }

    /// One that was read, and of which nothing else is said yet.
    pub(super) fn read(ends: Option<Timestamp>) -> Self {
        Self {
            ends,
            is_read: true,
            ..Self::invalid(KeyReason::MaterialUnusable, "")
        }
    }

    /// One that is revoked: nothing that it signs counts.
    pub(super) fn revoked(self, reason: KeyReason, message: String) -> Self {
        Self {
            state: match reason {
                KeyReason::Compromised => KeyState::Compromised,
                _ => KeyState::Revoked,
            },
            valid: (Status::False, reason),
            revoked: Some((reason, message.clone())),
            message,
            ..self
        }
    }

    /// One that has ended, or may vouch.
    pub(super) fn ended_or_alive(self, successor: Option<&str>, now: Timestamp) -> Self {
        if self.ends.is_none_or(|end| end > now) {
            return self.alive(successor, now);
        }
        Self {
            state: KeyState::Expired,
            valid: (Status::False, KeyReason::Expired),
            message: "signatures made before the end still count where the policy accepts them"
                .to_owned(),
            ..self
        }
    }

    fn alive(self, successor: Option<&str>, now: Timestamp) -> Self {
        let is_within = |end: Timestamp, days: i64| {
            end.duration_since(now) <= SignedDuration::from_hours(days * 24)
        };
        let warning = self.ends.and_then(|end| {
            let mut warnings = WARNINGS.into_iter();
            warnings.find(|(days, _)| is_within(end, *days))
        });
        let (state, message) = match (successor, warning) {
            (Some(successor), _) => (KeyState::Retiring, format!("{successor} takes over")),
            (None, Some(_)) => (
                KeyState::Expiring,
                "it ends soon; sign with a successor".to_owned(),
            ),
            (None, None) => (KeyState::Active, String::new()),
        };
        Self {
            state,
            valid: (Status::True, KeyReason::Accepted),
            warning,
            message,
            ..self
        }
    }

    /// Says that other objects pin the same key, unless there is something worse to say.
    pub(super) fn beside(self, others: &[&str]) -> Self {
        if others.is_empty() || !self.message.is_empty() {
            return self;
        }
        let message = format!(
            "the same key as TrustedKey {}: one signer for thresholds, and a revocation of either counts for \
             both",
            others.join(", ")
        );
        Self {
            message: bounds::fit(&message, bounds::MESSAGE),
            ..self
        }
    }

    /// Ready, Valid, and if so Revoked, Expiring and Stalled.
    pub(super) fn conditions(&self, beside: Beside<'_>, now: Timestamp) -> Vec<Condition> {
        // It says that the object was read, and what came of it: a revoked key is not accepted.
        let (_, reason) = self.valid;
        let ready = if self.is_read {
            (Status::True, reason)
        } else {
            self.valid
        };
        let new = |type_, state, message: &str| {
            Condition::new(type_, state, message, beside.generation, now)
        };
        let needs_person = [
            KeyReason::FingerprintMismatch,
            KeyReason::InvalidSpec,
            KeyReason::LearnedUnreadable,
            KeyReason::MaterialUnusable,
            KeyReason::RevocationNotVerifiable,
        ];
        let is_stalled = !self.is_read && needs_person.contains(&reason);
        let revoked = self.revoked.as_ref();
        let optional = [
            revoked.map(|(reason, message)| {
                new(KeyCondition::Revoked, (Status::True, *reason), message)
            }),
            self.warn(beside)
                .map(|(state, message)| new(KeyCondition::Expiring, state, &message)),
            is_stalled.then(|| new(KeyCondition::Stalled, (Status::True, reason), &self.message)),
        ];
        let always = [
            new(KeyCondition::Ready, ready, &self.message),
            new(KeyCondition::Valid, self.valid, &self.message),
        ];
        always
            .into_iter()
            .chain(optional.into_iter().flatten())
            .collect()
    }

    /// When it ends, what depends on it and what to do, if that is worth a warning.
    fn warn(&self, beside: Beside<'_>) -> Option<((Status, KeyReason), String)> {
        let ((days, reason), end) = (self.warning?, self.ends?);
        let begin = format!("ends {}, within {days} days", time(end).0);
        let count = beside.releases.count();
        if count == 0 {
            return Some((
                (Status::True, reason),
                format!("{begin}; no release depends on it"),
            ));
        }
        let (count, depend) = match count {
            1 => ("1 release".to_owned(), "depends"),
            many => (format!("{many} releases"), "depend"),
        };
        let next = match beside.successor {
            Some(successor) => format!("sign what comes next with {successor}"),
            None => "name a successor, and sign with it".to_owned(),
        };
        let begin = format!("{begin}; {count} {depend} on it: ");
        let room = bounds::MESSAGE.saturating_sub(begin.len() + next.len() + 2);
        let names = named(beside.releases, room);
        Some(((Status::True, reason), format!("{begin}{names}; {next}")))
    }
}

/// As many of the names as find room, at most [`NAMED`].
fn named(releases: &Dependents, room: usize) -> String {
    let names: Vec<_> = releases
        .named
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect();
    let text = |count: usize| {
        let first = names.get(..count).unwrap_or_default().join(", ");
        match releases.count() - count {
            0 => first,
            more if count == 0 => format!("{more}, whose names are too long"),
            more => format!("{first} and {more} more"),
        }
    };
    let fitting = (0..=names.len())
        .rev()
        .find(|count| text(*count).len() <= room);
    text(fitting.unwrap_or(0))
}

/// How many releases a warning names at most.
pub(super) const NAMED: usize = 20;
