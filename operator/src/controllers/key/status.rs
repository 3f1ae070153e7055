//! What a `TrustedKey` says of itself: pure, from what it was read as.

use charttrust_verify::key::Key;
use charttrust_verify::openpgp::{self, CertificateRevocation, Fingerprint, Summary};
use jiff::Timestamp;

use super::learned;
use crate::api::conditions::{Condition, KeyCondition, Status, find, merge};
use crate::api::reasons::KeyReason;
use crate::api::trusted_key::{SigningKey, TrustedKeyStatus};
use crate::api::{bounds, time};
use crate::controllers::life::{Beside, Dependents, Life, declared};
use crate::controllers::store::LoadedKey;
use crate::controllers::store::refreshes::Outcome;

/// What is known of a key.
#[derive(Clone, Debug)]
pub(in crate::controllers) struct Known<'a> {
    /// What the object was read as.
    pub(in crate::controllers) loaded: &'a LoadedKey,
    /// The key with the revocations, and the doubts, of all objects of its fingerprint.
    pub(in crate::controllers) key: Option<&'a Key>,
    /// Other objects of the same fingerprint.
    pub(in crate::controllers) others: &'a [&'a str],
    /// Who takes over.
    pub(in crate::controllers) successor: Option<&'a str>,
    /// The releases that it signed.
    pub(in crate::controllers) releases: &'a Dependents,
    /// Whether the object says where copies are published.
    pub(in crate::controllers) wants_refresh: bool,
    /// What became of looking for them, once this process has looked.
    pub(in crate::controllers) refreshed: Option<Outcome>,
    /// The fingerprint, if what was learned against it could not be written.
    pub(in crate::controllers) unkept: Option<&'a Fingerprint>,
}

/// The status to write. Equal knowledge gives an equal status, whatever the time.
pub(in crate::controllers) fn conclude(
    old: Option<&TrustedKeyStatus>,
    known: &Known<'_>,
    now: Timestamp,
) -> TrustedKeyStatus {
    let before = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    let (life, summary) = life_of(known, now);
    let summary = summary.as_ref();
    TrustedKeyStatus {
        state: Some(life.state),
        algorithm: summary.map(|it| bounds::fit(&it.algorithm, bounds::WORD)),
        user_ids: summary.map(user_ids).unwrap_or_default(),
        created: summary.map(|it| time(it.created)),
        expires: life.ends.map(time),
        signing_keys: summary.map(signing_keys).unwrap_or_default(),
        trusted_root: None,
        releases: u32::try_from(known.releases.count()).unwrap_or(u32::MAX),
        conditions: merge(before, conditions(&life, known, before, now)),
        observed_generation: Some(known.loaded.reading.generation),
        shards: Vec::new(),
    }
}

/// How its life stands, and what the key says of itself.
fn life_of(known: &Known<'_>, now: Timestamp) -> (Life, Option<Summary>) {
    let key = match (&known.loaded.key, known.key) {
        (Ok(_), Some(key)) => key,
        (Err(problem), _) => return (Life::invalid(problem.reason, &problem.message), None),
        (Ok(_), None) => {
            let reason = KeyReason::ProgressingWithRetry;
            return (Life::invalid(reason, "the key is being read"), None);
        }
    };
    if let Some(doubt) = &key.unusable {
        let reason = KeyReason::RevocationNotVerifiable;
        return (Life::invalid(reason, doubt), None);
    }
    let summary = key.certificate.summary(now);
    let ends = [summary.expires, key.not_after].into_iter().flatten().min();
    let life = Life::read(ends);
    let is_over = ends.is_some_and(|end| end <= now);
    let life = match (revoked(key, &summary), summary.usable) {
        (Some(Revoked { reason, by }), _) => {
            let message = format!("{}; {by}", effect(reason));
            life.revoked(reason, message)
        }
        (None, Err(word)) if !is_over => Life {
            message: format!("{word}. {}", word.step()),
            ..life
        },
        (None, _) => life.ended_or_alive(known.successor, now),
    };
    (life.beside(known.others), Some(summary))
}

fn user_ids(summary: &Summary) -> Vec<String> {
    let ids = summary.user_ids.iter().take(bounds::SHORT_LIST);
    ids.map(|id| bounds::fit(id, bounds::LONG_LIST)).collect()
}

fn signing_keys(summary: &Summary) -> Vec<SigningKey> {
    let signing = |key: &openpgp::SigningKey| SigningKey {
        fingerprint: key.fingerprint.to_string(),
        algorithm: bounds::fit(&key.algorithm, bounds::WORD),
        expires: key.expires.map(time),
    };
    let keys = summary.signing_keys.iter().take(bounds::LIST);
    keys.map(signing).collect()
}

fn conditions(
    life: &Life,
    known: &Known<'_>,
    before: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let generation = known.loaded.reading.generation;
    let new = |type_, state, message: &str| Condition::new(type_, state, message, generation, now);
    let beside = Beside {
        successor: known.successor,
        releases: known.releases,
        generation,
    };
    let unkept = known.unkept.map(|key| {
        let state = (Status::True, KeyReason::ProgressingWithRetry);
        new(KeyCondition::Reconciling, state, &unkept(key))
    });
    let own = unkept.into_iter().chain(refreshed(known, before, &new));
    life.conditions(beside, now)
        .into_iter()
        .chain(own)
        .collect()
}

fn unkept(key: &Fingerprint) -> String {
    format!(
        "what was learned against the key could not be written to ConfigMap {}, so a restart would \
         forget it; check the permissions of the operator in its namespace",
        learned::name_of(key)
    )
}

/// After a start, what was so before stands until the first look.
fn refreshed(
    known: &Known<'_>,
    before: &[Condition],
    new: &impl Fn(KeyCondition, (Status, KeyReason), &str) -> Condition,
) -> Option<Condition> {
    if !known.wants_refresh {
        return None;
    }
    let condition = |state, message: &str| new(KeyCondition::Refreshed, state, message);
    match &known.refreshed {
        None => find(before, KeyCondition::Refreshed).cloned(),
        Some(Outcome::Failed(why)) => {
            Some(condition((Status::False, KeyReason::RefreshFailed), why))
        }
        Some(Outcome::Seen(left_out)) => Some(condition(
            (Status::True, KeyReason::RefreshSucceeded),
            left_out,
        )),
    }
}

/// Why a key counts as revoked, and by what.
struct Revoked {
    reason: KeyReason,
    by: String,
}

/// The worst revocation of a key. Among equals one by a certificate, because that stays.
fn revoked(key: &Key, summary: &Summary) -> Option<Revoked> {
    let theirs = summary.revocation.as_ref().map(|revocation| Revoked {
        reason: certified(revocation),
        by: "a revocation certificate says so, which cannot be taken back".to_owned(),
    });
    let ours = key.revocations.iter().map(|revocation| Revoked {
        reason: declared(revocation.reason),
        by: format!("spec.revocation of {} says so", revocation.declared_by),
    });
    let order = [
        KeyReason::Compromised,
        KeyReason::Unspecified,
        KeyReason::RevocationNotVerifiable,
        KeyReason::Superseded,
        KeyReason::Retired,
    ];
    theirs
        .into_iter()
        .chain(ours)
        .min_by_key(|revoked| order.iter().position(|known| *known == revoked.reason))
}

/// The word for a revocation by certificate.
fn certified(revocation: &CertificateRevocation) -> KeyReason {
    match (revocation.hard, revocation.compromised, revocation.reason) {
        (true, true, _) => KeyReason::Compromised,
        (true, false, "not verifiable") => KeyReason::RevocationNotVerifiable,
        (true, false, _) => KeyReason::Unspecified,
        (false, _, "superseded") => KeyReason::Superseded,
        (false, ..) => KeyReason::Retired,
    }
}

fn effect(reason: KeyReason) -> &'static str {
    match reason {
        KeyReason::Retired | KeyReason::Superseded => {
            "signatures made before the revocation still count"
        }
        _ => "signatures by this key count no more, whatever their date",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::TrustedKey;
    use crate::api::trusted_key::KeyState;
    use crate::controllers::life::warnings;
    use crate::controllers::store::Reading;
    use crate::inventory::ReleaseId;
    use crate::parse::{self, KeyProblem};

    const KEY: &str = include_str!("../../../../examples/trusted-key.yaml");
    const REVOKED: &str = include_str!("../../../../examples/key-revoked.yaml");
    const RETIRED: &str = include_str!("../../../../examples/key-retired.yaml");
    const CERTIFIED: &str = include_str!("../../../../examples/key-revocation-certificate.yaml");
    const END: &str = "2027-03-31T00:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn object(yaml: &str) -> TrustedKey {
        serde_saphyr::from_multiple(yaml).unwrap().remove(0)
    }

    fn loaded(object: &TrustedKey) -> LoadedKey {
        let material = object.spec.public_key.inline.clone().unwrap_or_default();
        LoadedKey {
            reading: Reading {
                generation: 3,
                details: String::new(),
                at: at(END),
            },
            fingerprint: object.spec.fingerprint.parse().ok(),
            revocation: parse::declared_revocation(object),
            refresh: None,
            key: parse::key(object, material.as_bytes()),
            remains: parse::Remains::default(),
        }
    }

    fn releases(count: usize, name: &str) -> BTreeSet<ReleaseId> {
        let release = |number| ReleaseId {
            namespace: "shop".to_owned(),
            name: format!("{name}-{number:02}"),
        };
        (0..count).map(release).collect()
    }

    /// One good base, one change.
    struct Case {
        loaded: LoadedKey,
        releases: BTreeSet<ReleaseId>,
        others: Vec<&'static str>,
        successor: Option<&'static str>,
        wants_refresh: bool,
        refreshed: Option<Outcome>,
        is_unkept: bool,
        old: Option<TrustedKeyStatus>,
    }

    impl Case {
        fn of(yaml: &str) -> Self {
            Self {
                loaded: loaded(&object(yaml)),
                releases: BTreeSet::new(),
                others: Vec::new(),
                successor: None,
                wants_refresh: false,
                refreshed: None,
                is_unkept: false,
                old: None,
            }
        }

        fn ending(successor: Option<&'static str>, releases: BTreeSet<ReleaseId>) -> Self {
            let mut object = object(KEY);
            object.spec.not_after = Some(END.to_owned());
            Self {
                loaded: loaded(&object),
                releases,
                successor,
                ..Self::of(KEY)
            }
        }

        fn status(&self, now: &str) -> TrustedKeyStatus {
            let releases = self.releases.clone().into();
            let known = Known {
                loaded: &self.loaded,
                key: self.loaded.key.as_ref().ok(),
                others: &self.others,
                successor: self.successor,
                releases: &releases,
                wants_refresh: self.wants_refresh,
                refreshed: self.refreshed.clone(),
                unkept: self.loaded.fingerprint.as_ref().filter(|_| self.is_unkept),
            };
            conclude(self.old.as_ref(), &known, at(now))
        }

        /// `Status/Reason`, if the condition is there, and its message.
        fn condition(&self, now: &str, type_: KeyCondition) -> Option<(String, String)> {
            let status = self.status(now);
            let found = find(&status.conditions, type_)?;
            Some((
                format!("{:?}/{}", found.status, found.reason),
                found.message.clone(),
            ))
        }
    }

    #[test]
    fn the_end_of_a_key_is_warned_of_at_90_30_and_7_days_to_the_second() {
        for (now, state, warning) in [
            ("2026-12-30T23:59:59Z", KeyState::Active, None),
            (
                "2026-12-31T00:00:00Z",
                KeyState::Expiring,
                Some("True/ExpiresIn90Days"),
            ),
            (
                "2027-02-28T23:59:59Z",
                KeyState::Expiring,
                Some("True/ExpiresIn90Days"),
            ),
            (
                "2027-03-01T00:00:00Z",
                KeyState::Expiring,
                Some("True/ExpiresIn30Days"),
            ),
            (
                "2027-03-23T23:59:59Z",
                KeyState::Expiring,
                Some("True/ExpiresIn30Days"),
            ),
            (
                "2027-03-24T00:00:00Z",
                KeyState::Expiring,
                Some("True/ExpiresIn7Days"),
            ),
            (
                "2027-03-30T23:59:59Z",
                KeyState::Expiring,
                Some("True/ExpiresIn7Days"),
            ),
            (END, KeyState::Expired, None),
        ] {
            let case = Case::ending(None, BTreeSet::new());
            assert_eq!(case.status(now).state, Some(state), "{now}");
            let found = case.condition(now, KeyCondition::Expiring);
            assert_eq!(found.map(|(found, _)| found).as_deref(), warning, "{now}");
        }
        let instants: Vec<_> = warnings(at(END)).map(|at| at.to_string()).collect();
        let crossed = [
            "2027-03-24T00:00:00Z",
            "2027-03-01T00:00:00Z",
            "2026-12-31T00:00:00Z",
        ];
        assert_eq!(instants, crossed, "at each the key is read again");
        assert_eq!(warnings(Timestamp::MIN).count(), 0);
    }

    /// Whoever revokes one of them should know of the other, and who lists both count one signer.
    #[test]
    fn objects_of_one_key_name_each_other() {
        let mut case = Case::of(KEY);
        let now = "2026-11-29T00:00:00Z";
        let valid = |case: &Case| case.condition(now, KeyCondition::Valid).unwrap().1;
        assert_eq!(valid(&case), "");
        case.others = vec!["high", "middle"];
        assert!(valid(&case).starts_with("the same key as TrustedKey high, middle: one signer"));
        let mut revoked = Case::of(REVOKED);
        revoked.others = vec!["high"];
        assert!(valid(&revoked).starts_with("signatures by this key count no more"));
    }

    #[test]
    fn time_alone_changes_nothing_between_two_warnings() {
        let mut case = Case::ending(None, releases(3, "web"));
        let first = case.status("2027-03-01T00:00:00Z");
        case.old = Some(first.clone());
        assert_eq!(case.status("2027-03-23T23:59:59Z"), first);
        assert_ne!(case.status("2027-03-24T00:00:00Z"), first);
    }

    #[test]
    fn a_warning_counts_and_names_what_depends_on_the_key() {
        let message = |successor, releases| {
            let case = Case::ending(successor, releases);
            let found = case.condition("2027-03-24T00:00:00Z", KeyCondition::Expiring);
            found.unwrap().1
        };
        let begin = "ends 2027-03-31T00:00:00Z, within 7 days; ";
        assert_eq!(
            message(None, BTreeSet::new()),
            format!("{begin}no release depends on it")
        );
        assert_eq!(
            message(None, releases(1, "web")),
            format!(
                "{begin}1 release depends on it: shop/web-00; name a successor, and sign with it"
            )
        );
        assert_eq!(
            message(Some("next"), releases(2, "web")),
            format!(
                "{begin}2 releases depend on it: shop/web-00, shop/web-01; sign what comes next with next"
            )
        );
        let twenty = message(None, releases(20, "web"));
        assert!(twenty.contains("shop/web-19; name"), "{twenty}");
        let more = message(None, releases(21, "web"));
        assert!(more.contains("21 releases depend on it"), "{more}");
        assert!(more.contains("shop/web-19 and 1 more; name"), "{more}");
    }

    #[test]
    fn long_names_leave_room_for_the_count_and_the_next_step() {
        for length in [40, 200, 460] {
            let case = Case::ending(None, releases(30, &"x".repeat(length)));
            let found = case.condition("2027-03-24T00:00:00Z", KeyCondition::Expiring);
            let (_, message) = found.unwrap();
            assert!(message.len() <= bounds::MESSAGE, "{}", message.len());
            assert!(message.contains("30 releases depend on it"), "{message}");
            assert!(
                message.ends_with("; name a successor, and sign with it"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_key_with_a_successor_is_retiring_and_warned_of_nevertheless() {
        let case = Case::ending(Some("next"), BTreeSet::new());
        let now = "2027-03-24T00:00:00Z";
        assert_eq!(case.status(now).state, Some(KeyState::Retiring));
        assert!(case.condition(now, KeyCondition::Expiring).is_some());
        let early = "2026-06-01T00:00:00Z";
        assert_eq!(case.status(early).state, Some(KeyState::Retiring));
        assert_eq!(case.condition(early, KeyCondition::Expiring), None);
    }

    #[test]
    fn a_revoked_key_says_why_and_by_what() {
        let now = "2026-11-22T00:00:00Z";
        for (yaml, state, reason, by) in [
            (
                REVOKED,
                KeyState::Compromised,
                "True/Compromised",
                "spec.revocation of platform-2026",
            ),
            (
                RETIRED,
                KeyState::Revoked,
                "True/Retired",
                "spec.revocation of platform-2026",
            ),
            (
                CERTIFIED,
                KeyState::Revoked,
                "True/Unspecified",
                "cannot be taken back",
            ),
        ] {
            let case = Case::of(yaml);
            let found = case.status(now);
            let (revoked, message) = case.condition(now, KeyCondition::Revoked).unwrap();
            assert!(message.contains(by), "{message}");
            assert_eq!(
                (found.state, revoked.as_str()),
                (Some(state), reason),
                "{message}"
            );
            let valid = case.condition(now, KeyCondition::Valid).unwrap().0;
            assert_eq!(valid.replace("False", "True"), reason);
            let ready = case.condition(now, KeyCondition::Ready).unwrap();
            assert_eq!(ready, (reason.to_owned(), message));
        }
        assert_eq!(Case::of(KEY).condition(now, KeyCondition::Revoked), None);
    }

    #[test]
    fn a_certificate_is_named_rather_than_our_own_equal_word() {
        let mut both = object(CERTIFIED);
        both.spec.revocation = object(REVOKED).spec.revocation;
        let reason = both.spec.revocation.as_mut().unwrap();
        reason.reason = crate::api::trusted_key::RevocationReason::Unspecified;
        let case = Case {
            loaded: loaded(&both),
            ..Case::of(KEY)
        };
        let found = case.condition("2026-11-22T00:00:00Z", KeyCondition::Revoked);
        assert!(found.unwrap().1.contains("cannot be taken back"));
    }

    #[test]
    fn each_kind_of_certificate_has_its_word() {
        let word = |hard, compromised, reason| {
            certified(&CertificateRevocation {
                hard,
                compromised,
                reason,
                since: None,
                digest: String::new(),
            })
        };
        assert_eq!(word(true, true, "compromised"), KeyReason::Compromised);
        assert_eq!(word(true, false, "unspecified"), KeyReason::Unspecified);
        assert_eq!(word(true, false, "unknown reason"), KeyReason::Unspecified);
        assert_eq!(
            word(true, false, "not verifiable"),
            KeyReason::RevocationNotVerifiable
        );
        assert_eq!(word(false, false, "superseded"), KeyReason::Superseded);
        assert_eq!(word(false, false, "retired"), KeyReason::Retired);
        assert_eq!(word(false, false, "user ID invalid"), KeyReason::Retired);
    }

    #[test]
    fn a_refresh_shows_from_the_first_look_on_and_outlives_a_restart() {
        let now = "2026-11-22T00:00:00Z";
        let mut case = Case::of(KEY);
        case.refreshed = Some(Outcome::Failed("it answered 404".to_owned()));
        assert_eq!(
            case.condition(now, KeyCondition::Refreshed),
            None,
            "not wanted"
        );
        case.wants_refresh = true;
        let failed = (
            "False/RefreshFailed".to_owned(),
            "it answered 404".to_owned(),
        );
        assert_eq!(
            case.condition(now, KeyCondition::Refreshed),
            Some(failed.clone())
        );
        case.old = Some(case.status(now));
        case.refreshed = None;
        assert_eq!(case.condition(now, KeyCondition::Refreshed), Some(failed));
        case.refreshed = Some(Outcome::Seen(String::new()));
        let seen = ("True/RefreshSucceeded".to_owned(), String::new());
        assert_eq!(case.condition(now, KeyCondition::Refreshed), Some(seen));
        case.old = None;
        case.refreshed = None;
        assert_eq!(case.condition(now, KeyCondition::Refreshed), None);
    }

    #[test]
    fn what_could_not_be_kept_is_told_with_the_object() {
        let now = "2026-11-22T00:00:00Z";
        let mut case = Case::of(KEY);
        assert_eq!(case.condition(now, KeyCondition::Reconciling), None);
        case.is_unkept = true;
        let (state, message) = case.condition(now, KeyCondition::Reconciling).unwrap();
        assert_eq!(state, "True/ProgressingWithRetry");
        assert!(
            message.contains("ConfigMap charttrust-learned-272855be"),
            "{message}"
        );
    }

    #[test]
    fn only_a_person_can_help_a_key_with_a_bad_field_or_an_unreadable_memory() {
        let now = "2026-11-22T00:00:00Z";
        for (reason, is_stalled) in [
            (KeyReason::InvalidSpec, true),
            (KeyReason::LearnedUnreadable, true),
            (KeyReason::MaterialMissing, false),
            (KeyReason::ProgressingWithRetry, false),
        ] {
            let mut case = Case::of(KEY);
            case.loaded.key = Err(KeyProblem::new(reason, "mend it"));
            let status = case.status(now);
            assert_eq!(status.state, Some(KeyState::Invalid));
            let ready = case.condition(now, KeyCondition::Ready).unwrap();
            assert_eq!(ready, (format!("False/{reason}"), "mend it".to_owned()));
            let stalled = case.condition(now, KeyCondition::Stalled);
            assert_eq!(stalled.is_some(), is_stalled, "{reason}");
            assert!(stalled.is_none_or(|(state, _)| state == format!("True/{reason}")));
        }
    }
}
