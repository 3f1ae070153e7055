//! What a `TrustedKey` says of itself: pure, from what it was read as.

use charttrust_verify::key::{Key, RevocationReason};
use charttrust_verify::openpgp::Summary;
use jiff::{SignedDuration, Timestamp};

use super::world::LoadedKey;
use crate::api::conditions::{Condition, KeyCondition, Status, merge};
use crate::api::reasons::KeyReason;
use crate::api::trusted_key::{KeyState, SigningKey, TrustedKeyStatus};
use crate::api::{bounds, time};

/// The status to write. Equal knowledge gives an equal status, whatever the time.
pub(super) fn conclude(
    old: Option<&TrustedKeyStatus>,
    loaded: &LoadedKey,
    key: Option<&Key>,
    successor: Option<&str>,
    releases: usize,
    now: Timestamp,
) -> TrustedKeyStatus {
    let before = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let life = match (&loaded.key, key) {
        (Ok(_), Some(key)) => Life::of(key, successor, now),
        (Err(problem), _) => Life::invalid(problem.reason, &problem.message),
        (Ok(_), None) => Life::invalid(KeyReason::MaterialUnusable, "the key is being read"),
    };
    TrustedKeyStatus {
        state: Some(life.state),
        algorithm: life
            .summary
            .as_ref()
            .map(|s| bounds::fit(&s.algorithm, bounds::WORD)),
        user_ids: life.user_ids(),
        created: life.summary.as_ref().map(|s| time(s.created)),
        expires: life.ends.map(time),
        signing_keys: life.signing_keys(),
        releases: u32::try_from(releases).unwrap_or(u32::MAX),
        conditions: merge(before, life.conditions(loaded.reading.generation, now)),
        observed_generation: Some(loaded.reading.generation),
    }
}

/// How soon the end of a key is worth a warning.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What a key's life has come to.
struct Life {
    state: KeyState,
    summary: Option<Summary>,
    ends: Option<Timestamp>,
    valid: (Status, KeyReason),
    revoked: Option<KeyReason>,
    is_read: bool,
    message: String,
}

impl Life {
    fn invalid(reason: KeyReason, message: &str) -> Self {
        Self {
            state: KeyState::Invalid,
            summary: None,
            ends: None,
            valid: (Status::False, reason),
            revoked: None,
            is_read: false,
            message: message.to_owned(),
        }
    }

    fn of(key: &Key, successor: Option<&str>, now: Timestamp) -> Self {
        let summary = key.certificate.summary(now);
        let ends = [summary.expires, key.not_after].into_iter().flatten().min();
        let revoked = revoked(key, &summary);
        let has_ended = ends.is_some_and(|end| end <= now);
        let is_unusable = summary.usable.is_err();
        let (state, valid, message) = match (revoked, successor) {
            (Some(KeyReason::Compromised), _) => (
                KeyState::Compromised,
                (Status::False, KeyReason::Compromised),
                "signatures by this key count no more, whatever their date".to_owned(),
            ),
            (Some(reason), _) => (
                KeyState::Revoked,
                (Status::False, reason),
                revoked_text(reason),
            ),
            (None, _) if has_ended => (
                KeyState::Expired,
                (Status::False, KeyReason::Expired),
                "signatures made before the end still count where the policy accepts them".into(),
            ),
            (None, _) if is_unusable => {
                let why = summary
                    .usable
                    .err()
                    .map(|word| word.to_string())
                    .unwrap_or_default();
                (
                    KeyState::Invalid,
                    (Status::False, KeyReason::MaterialUnusable),
                    why,
                )
            }
            (None, Some(successor)) => (
                KeyState::Retiring,
                (Status::True, KeyReason::Accepted),
                format!("{successor} takes over"),
            ),
            (None, None) if ends.is_some_and(|end| end.duration_since(now) <= SOON) => (
                KeyState::Expiring,
                (Status::True, KeyReason::Accepted),
                "the key ends soon; sign with a successor".into(),
            ),
            (None, None) => (
                KeyState::Active,
                (Status::True, KeyReason::Accepted),
                String::new(),
            ),
        };
        Self {
            state,
            summary: Some(summary),
            ends,
            valid,
            revoked,
            is_read: true,
            message,
        }
    }

    fn user_ids(&self) -> Vec<String> {
        let ids = self.summary.iter().flat_map(|summary| &summary.user_ids);
        ids.take(bounds::SHORT_LIST)
            .map(|id| bounds::fit(id, bounds::LONG_LIST))
            .collect()
    }

    fn signing_keys(&self) -> Vec<SigningKey> {
        let Some(summary) = &self.summary else {
            return Vec::new();
        };
        let signing = |fingerprint: &charttrust_verify::openpgp::Fingerprint| SigningKey {
            fingerprint: fingerprint.to_string(),
            algorithm: bounds::fit(&summary.algorithm, bounds::WORD),
            expires: None,
        };
        summary
            .signing_keys
            .iter()
            .take(bounds::LIST)
            .map(signing)
            .collect()
    }

    fn conditions(&self, generation: i64, now: Timestamp) -> Vec<Condition> {
        let ready = if self.is_read {
            (Status::True, KeyReason::Accepted)
        } else {
            self.valid
        };
        let new =
            |type_, state, message: &str| Condition::new(type_, state, message, generation, now);
        let mut conditions = vec![
            new(
                KeyCondition::Ready,
                ready,
                if self.is_read { "" } else { &self.message },
            ),
            new(KeyCondition::Valid, self.valid, &self.message),
        ];
        if let Some(reason) = self.revoked {
            conditions.push(new(
                KeyCondition::Revoked,
                (Status::True, reason),
                &self.message,
            ));
        }
        if self.is_expiring(now) {
            let soon = (Status::True, KeyReason::ExpiresSoon);
            conditions.push(new(KeyCondition::Expiring, soon, "sign with a successor"));
        }
        if !self.is_read && self.valid.1 == KeyReason::InvalidSpec {
            conditions.push(new(KeyCondition::Stalled, self.valid, &self.message));
        }
        conditions
    }

    fn is_expiring(&self, now: Timestamp) -> bool {
        let is_alive = matches!(
            self.state,
            KeyState::Active | KeyState::Expiring | KeyState::Retiring
        );
        is_alive && self.ends.is_some_and(|end| end.duration_since(now) <= SOON)
    }
}

/// Why a key counts as revoked, the worst first: by us or by a certificate.
fn revoked(key: &Key, summary: &Summary) -> Option<KeyReason> {
    let ours = key
        .revocations
        .iter()
        .map(|revocation| match revocation.reason {
            RevocationReason::Compromised => KeyReason::Compromised,
            RevocationReason::Unspecified => KeyReason::Unspecified,
            RevocationReason::Retired => KeyReason::Retired,
            RevocationReason::Superseded => KeyReason::Superseded,
        });
    let theirs = summary.revocation.as_ref().map(|revocation| {
        match (revocation.hard, revocation.compromised) {
            (true, true) => KeyReason::Compromised,
            (true, false) => KeyReason::Revoked,
            (false, _) => KeyReason::Retired,
        }
    });
    let order = [
        KeyReason::Compromised,
        KeyReason::Unspecified,
        KeyReason::Revoked,
        KeyReason::Superseded,
        KeyReason::Retired,
    ];
    ours.chain(theirs)
        .min_by_key(|reason| order.iter().position(|known| known == reason))
}

fn revoked_text(reason: KeyReason) -> String {
    match reason {
        KeyReason::Retired | KeyReason::Superseded => {
            "signatures made before the revocation still count".to_owned()
        }
        _ => "signatures by this key count no more, whatever their date".to_owned(),
    }
}
