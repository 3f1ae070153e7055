//! What a `ChartTrustPolicy` says of itself: pure, from the verdicts it gave.

mod quarantines;
mod shared;

use std::collections::{BTreeMap, BTreeSet};

use charttrust_verify::key::Key;
use charttrust_verify::openpgp::Code;
use charttrust_verify::policy::{Demands, Level, Policy, Rule, Signers};
use charttrust_verify::sigstore::{KnownPublicKey, Root, Transparency};
use charttrust_verify::verdict::{Cause, Verdict};
use jiff::{SignedDuration, Timestamp};

use self::quarantines::stopped;
use super::door::{self, State};
use crate::api::chart_trust_policy::{
    ChartTrustPolicyStatus, Coverage, PolicyShard, QuarantineCounts, ReleaseCounts, UnknownCount,
};
use crate::api::conditions::{Condition, PolicyCondition, Status, merge};
use crate::api::reasons::PolicyReason;
use crate::controllers::store::gate::Seen;
use crate::controllers::store::signers::LoadedPublicKey;
use crate::controllers::store::{Outcomes, Store, Trust};
use crate::parse::LoadedPolicy;
use crate::watch::Reach;

/// What a policy's releases came to.
#[derive(Clone, Debug, Default)]
pub(in crate::controllers) struct Counted {
    releases: ReleaseCounts,
    /// Untrusted releases with their reasons, in order.
    untrusted: Vec<String>,
    /// Releases that could not be judged.
    could_not_tell: u32,
    /// How many of them for each cause.
    causes: BTreeMap<String, u32>,
    /// Rules that decide about some release.
    rules: BTreeSet<String>,
    /// Sources whose last look failed, and what happened.
    silent: BTreeMap<String, String>,
    /// Sources that nobody has heard of yet.
    unheard: Vec<String>,
    /// What became of its quarantines.
    quarantine: Outcomes,
}

impl Counted {
    /// With releases of which there is no record.
    pub(in crate::controllers) fn with_unaccounted(mut self, releases: u32) -> Self {
        self.releases.unaccounted = releases;
        self
    }
}

/// Counts the verdicts that a policy gave.
pub(in crate::controllers) fn count(store: &Store, name: &str) -> Counted {
    let mut counted = Counted::default();
    store.judgements(|id, judgement| {
        let verdicts = judgement
            .policies
            .iter()
            .filter(|policy| policy.policy == name);
        for policy in verdicts {
            counted.add(&id.to_string(), policy.verdict);
            counted.rules.extend(policy.rule.clone());
        }
    });
    counted.quarantine = store.outcomes(name);
    let trust = store.trust();
    if let Some(loaded) = trust.policies.get(name) {
        let named: BTreeSet<_> = sources(&loaded.policy).collect();
        counted.silent = store.silent_sources();
        counted.silent.retain(|url, _| named.contains(url.as_str()));
        let answering = store.answering_sources();
        let is_heard = |url: &str| answering.contains(url) || counted.silent.contains_key(url);
        let unheard = asked(&loaded.policy).filter(|url| !is_heard(url));
        let unheard: BTreeSet<_> = unheard.map(str::to_owned).collect();
        counted.unheard = unheard.into_iter().collect();
    }
    counted
}

impl Counted {
    fn add(&mut self, release: &str, verdict: Verdict) {
        let counts = &mut self.releases;
        counts.total += 1;
        match verdict {
            Verdict::Trusted(_) => counts.trusted += 1,
            Verdict::Untrusted(reason) => {
                counts.untrusted += 1;
                self.untrusted.push(format!("{release} ({reason})"));
            }
            Verdict::Unknown(Cause::Exempt) => counts.exempt += 1,
            Verdict::Unknown(Cause::Unmanaged) => counts.unmanaged += 1,
            Verdict::Unknown(cause) => {
                counts.unknown += 1;
                self.could_not_tell += 1;
                *self.causes.entry(cause.word().to_owned()).or_default() += 1;
            }
        }
    }
}

fn rules(policy: &Policy) -> &[Rule] {
    match &policy.demands {
        Demands::Rules(rules) => rules,
        Demands::TrustNobody { .. } => &[],
    }
}

fn sources(policy: &Policy) -> impl Iterator<Item = &str> {
    rules(policy)
        .iter()
        .flat_map(|rule| &rule.sources)
        .map(|source| source.url.as_str())
}

/// The sources that are asked if a release has a chart from there.
fn asked(policy: &Policy) -> impl Iterator<Item = &str> {
    let asking = |rule: &&Rule| rule.verify.level != Level::None;
    let rules = rules(policy).iter().filter(asking);
    let sources = rules.flat_map(|rule| &rule.sources);
    sources.map(|source| source.url.as_str())
}

/// Whether every release is judged by this generation of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::controllers) enum Progress {
    Ended,
    UnderWay,
}

/// What a status is concluded from.
#[derive(Debug)]
pub(in crate::controllers) struct Known<'a> {
    pub(in crate::controllers) loaded: &'a LoadedPolicy,
    pub(in crate::controllers) trust: &'a Trust,
    pub(in crate::controllers) counted: &'a Counted,
    pub(in crate::controllers) progress: Progress,
    /// Kinds of deployers, and namespaces, that cannot be read.
    pub(in crate::controllers) unread: Vec<String>,
    /// Where releases are looked for.
    pub(in crate::controllers) reach: &'a Reach,
    /// What stands before the API server's store.
    pub(in crate::controllers) gate: &'a Seen,
    /// The annotation that asked for looks, once all of them have ended.
    pub(in crate::controllers) handled: Option<String>,
    /// What others have told of their releases, where several replicas share the work.
    pub(in crate::controllers) shards: &'a [PolicyShard],
    /// The ranges of the namespaces that no replica holds, if there are any.
    pub(in crate::controllers) unheld: Option<String>,
}

/// The status to write. Equal knowledge gives an equal status, whatever the time.
pub(in crate::controllers) fn conclude(
    old: Option<&ChartTrustPolicyStatus>,
    known: &Known<'_>,
    now: Timestamp,
) -> ChartTrustPolicyStatus {
    let Known {
        loaded,
        counted,
        handled,
        ..
    } = known;
    let before = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    ChartTrustPolicyStatus {
        observed_generation: Some(loaded.generation),
        last_handled_reconcile_at: handled
            .clone()
            .or_else(|| old.and_then(|old| old.last_handled_reconcile_at.clone())),
        releases: counted.releases,
        coverage: coverage(counted),
        quarantine: quarantine_counts(&counted.quarantine),
        conditions: merge(before, conditions(known, now)),
        shards: known.shards.to_vec(),
    }
}

/// How much is covered. What runs without a record is not covered either.
fn coverage(counted: &Counted) -> Coverage {
    let causes = counted.causes.iter();
    Coverage {
        trusted_percent: counted.releases.trusted_percent(),
        unknown: causes
            .map(|(cause, releases)| UnknownCount {
                cause: cause.clone(),
                releases: *releases,
            })
            .collect(),
    }
}

fn quarantine_counts(outcomes: &Outcomes) -> QuarantineCounts {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    QuarantineCounts {
        active: number(outcomes.active),
        waiting: number(outcomes.waiting),
        stopped: number(outcomes.due()),
    }
}

fn conditions(known: &Known<'_>, now: Timestamp) -> Vec<Condition> {
    let Known {
        loaded,
        trust,
        counted,
        progress,
        ..
    } = *known;
    let keys = keys_resolved(&loaded.policy, trust, now);
    let ready = match readiness(known, &keys) {
        ((Status::True, _), _) if progress == Progress::UnderWay => progressing(Status::Unknown),
        ready => ready,
    };
    let mut states = vec![
        (PolicyCondition::Ready, ready.clone()),
        (PolicyCondition::KeysResolved, keys),
        (
            PolicyCondition::SourcesReachable,
            reachable(loaded, counted),
        ),
        (
            PolicyCondition::Compliant,
            match compliance(&loaded.policy, counted) {
                ((Status::True, _), _) if known.unheld.is_some() => (
                    (Status::Unknown, PolicyReason::ReleasesUnknown),
                    known.unheld.clone().unwrap_or_default(),
                ),
                ((Status::True, _), _) if progress == Progress::UnderWay => {
                    progressing(Status::Unknown)
                }
                compliance => compliance,
            },
        ),
    ];
    if progress == Progress::UnderWay {
        states.push((PolicyCondition::Reconciling, progressing(Status::True)));
    }
    states.extend(exceptions(&loaded.policy, now).map(|s| (PolicyCondition::ExceptionExpiring, s)));
    states.extend(door::ready(loaded, known.gate).map(|s| (PolicyCondition::WebhookReady, s)));
    if !loaded.problems.is_empty() {
        let stalled = ((Status::True, PolicyReason::InvalidSpec), ready.1);
        states.push((PolicyCondition::Stalled, stalled));
    }
    let generation = loaded.generation;
    let condition = |(type_, (state, message)): (PolicyCondition, State)| {
        Condition::new(type_, state, message, generation, now)
    };
    let stopped = stopped(&counted.quarantine).map(|(state, message)| {
        let type_ = PolicyCondition::QuarantineStopped;
        Condition::listing(type_, state, &message, generation, now)
    });
    states.into_iter().map(condition).chain(stopped).collect()
}

fn progressing(status: Status) -> State {
    let message = "its releases are being judged by it".to_owned();
    ((status, PolicyReason::Progressing), message)
}

/// The message is the column STATUS: it says what is wrong with keys too, though the others count.
fn readiness(known: &Known<'_>, keys: &State) -> State {
    let loaded = known.loaded;
    if loaded.problems.is_empty() {
        let unread = known.unread.iter().map(|kind| format!("without {kind}"));
        let said = Some(keys.1.clone()).filter(|said| !said.is_empty());
        let only = sees_only(&loaded.policy, known.reach);
        let said: Vec<_> = said.into_iter().chain(only).chain(unread).collect();
        return ((Status::True, PolicyReason::Reconciled), said.join("; "));
    }
    let problems: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
    let is_unusable = |rule: &Rule| rule.problem.is_some();
    let effect = match &loaded.policy.demands {
        Demands::TrustNobody { .. } => "judged as if it trusted nobody until mended",
        Demands::Rules(rules) if rules.iter().any(is_unusable) => {
            "the rules that cannot be used trust nobody until mended"
        }
        Demands::Rules(_) => "without exceptions and quarantine until mended",
    };
    let message = format!("{effect}: {}", problems.join("; "));
    ((Status::False, PolicyReason::InvalidSpec), message)
}

/// That releases are looked for in some namespaces only, if the policy may select others.
fn sees_only(policy: &Policy, reach: &Reach) -> Option<String> {
    let named = reach.named()?;
    let names: Vec<_> = named.iter().cloned().collect();
    let said = || format!("sees the namespaces {} only", some_of(&names));
    (!policy.selection.is_within(named)).then(said)
}

fn keys_resolved(policy: &Policy, trust: &Trust, now: Timestamp) -> State {
    let rules = || rules(policy).iter().map(|rule| &rule.verify.signers);
    let keys: BTreeSet<_> = rules().flat_map(|signers| &signers.keys).collect();
    let identities: BTreeSet<_> = rules().flat_map(|signers| &signers.identities).collect();
    let keys = keys.into_iter().filter_map(|name| of_key(name, trust, now));
    let identities = identities
        .into_iter()
        .filter_map(|name| of_identity(name, trust));
    let missing = keys.chain(identities);
    let problems: Vec<_> = missing.chain(too_few(policy, trust)).collect();
    if problems.is_empty() {
        return ((Status::True, PolicyReason::AllResolved), String::new());
    }
    (
        (Status::False, PolicyReason::KeysUnresolved),
        problems.join("; "),
    )
}

/// Why a key that a rule names makes no signature count, if so.
fn of_key(name: &str, trust: &Trust, now: Timestamp) -> Option<String> {
    let why = match (trust.loaded.get(name), trust.public_keys.get(name)) {
        (None, None) => return Some(format!("TrustedKey {name} does not exist")),
        (Some(loaded), _) => match &loaded.key {
            Err(problem) => Some(problem.to_string()),
            Ok(key) => invalid(key, now).map(|code| code.to_string()),
        },
        (None, Some(loaded)) => {
            let problem = loaded.problem.as_ref().map(ToString::to_string);
            problem.or_else(|| demands_root(loaded))
        }
    };
    why.map(|why| format!("TrustedKey {name}: {why}"))
}

/// Why nothing of a key counts that demands a proof: nobody's word is believed.
fn demands_root(loaded: &LoadedPublicKey) -> Option<String> {
    let known = loaded.known.as_ref()?;
    match &known.root {
        Some(Root::Unknown(why)) if known.trusted.transparency == Transparency::Required => {
            Some(why.clone())
        }
        Some(_) | None => None,
    }
}

/// Why an identity that a rule names makes no signature count, if so.
fn of_identity(name: &str, trust: &Trust) -> Option<String> {
    let Some(loaded) = trust.identities.get(name) else {
        return Some(format!("TrustedIdentity {name} does not exist"));
    };
    let root = loaded.known.as_ref().and_then(|known| match &known.root {
        Root::Unknown(why) => Some(why.clone()),
        Root::Known(_) => None,
    });
    let why = loaded.problem.clone().or(root);
    why.map(|why| format!("TrustedIdentity {name}: {why}"))
}

/// Why a key that was read makes no signature count: revoked and expired ones have served.
fn invalid(key: &Key, now: Timestamp) -> Option<Code> {
    let code = key.certificate.summary(now).usable.err()?;
    let has_served = matches!(
        code,
        Code::Expired | Code::RevokedHard { .. } | Code::RevokedSoft
    );
    (!has_served).then_some(code)
}

/// Rules that ask for more signers than they list, so that no signature ever satisfies them.
fn too_few<'a>(policy: &'a Policy, trust: &'a Trust) -> impl Iterator<Item = String> + 'a {
    rules(policy).iter().filter_map(|rule| {
        let signers = &rule.verify.signers;
        if signers.believe_nobody() {
            // Pins alone can satisfy it, which is said nowhere to be a mistake.
            return None;
        }
        let listed = listed(signers, trust);
        let wanted = signers.threshold.get();
        let is_enough = usize::try_from(wanted).is_ok_and(|wanted| wanted <= listed);
        let what = if signers.identities.is_empty() && signers.identity_selector.is_none() {
            "keys"
        } else {
            "signers"
        };
        (!is_enough).then(|| {
            format!(
                "rule {} asks for {wanted} different {what} and lists {listed}",
                rule.name
            )
        })
    })
}

/// How many different signers a rule lists, those that cannot be read among them.
fn listed(signers: &Signers, trust: &Trust) -> usize {
    let keys = trust.keys.iter().filter(|key| signers.list(key));
    let keys: BTreeSet<_> = keys.map(Key::fingerprint).collect();
    let public = trust.sigstore.keys.iter();
    let public = public.filter(|key| signers.list_key(&key.trusted.name, &key.labels));
    let public: BTreeSet<_> = public.map(|key| key.trusted.fingerprint).collect();
    let of_sigstore = trust.sigstore.identities.iter();
    let identities = of_sigstore
        .filter(|it| signers.list_identity(&it.identity.name, &it.labels))
        .count();
    let is_unread = |name: &&String| {
        let is_public = |key: &KnownPublicKey| key.trusted.name == **name;
        trust.keys.iter().all(|key| key.name != **name)
            && !trust.sigstore.keys.iter().any(is_public)
    };
    let is_nobody = |name: &&String| {
        let mut all = trust.sigstore.identities.iter();
        all.all(|it| it.identity.name != **name)
    };
    let unread = signers.keys.iter().filter(is_unread).count();
    let nobody = signers.identities.iter().filter(is_nobody).count();
    keys.len() + public.len() + identities + unread + nobody
}

fn reachable(loaded: &LoadedPolicy, counted: &Counted) -> State {
    if loaded.policy.suspended {
        return (
            (Status::Unknown, PolicyReason::Suspended),
            "looks are suspended".to_owned(),
        );
    }
    if counted.silent.is_empty() {
        let unheard = counted.unheard.as_slice();
        let said = format!("not asked yet, for want of a release: {}", some_of(unheard));
        let said = if unheard.is_empty() {
            String::new()
        } else {
            said
        };
        return ((Status::True, PolicyReason::AllReachable), said);
    }
    let silent = counted
        .silent
        .iter()
        .map(|(url, told)| match told.as_str() {
            "" => url.clone(),
            told if told.contains(url) => told.to_owned(),
            told => format!("{url}: {told}"),
        });
    let silent: Vec<_> = silent.take(NAMED).collect();
    let message = format!(
        "check address, credentials and --allow-host; the last look gave no answer: {}",
        silent.join("; ")
    );
    ((Status::False, PolicyReason::SourceUnavailable), message)
}

fn compliance(policy: &Policy, counted: &Counted) -> State {
    let (state, message) = verdict_of_all(counted);
    let idle = rules(policy)
        .iter()
        .filter(|rule| !counted.rules.contains(&rule.name))
        .map(|rule| rule.name.clone());
    let idle: Vec<_> = idle.collect();
    let said = match idle.as_slice() {
        _ if counted.releases.total == 0 => String::new(),
        [] => String::new(),
        idle => format!("no release has a chart of rule {}", some_of(idle)),
    };
    let parts = [message, said, without_record(counted.releases.unaccounted)];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    (state, parts.join("; "))
}

/// That something runs of which nobody can tell whether it is to be trusted.
fn without_record(releases: u32) -> String {
    let which = "charttrust status --unaccounted lists what runs";
    match releases {
        0 => String::new(),
        1 => format!("of 1 more release there is no record: {which}"),
        many => format!("of {many} more releases there is no record: {which}"),
    }
}

/// True only with proof for some release and a doubt about none.
fn verdict_of_all(counted: &Counted) -> State {
    let counts = &counted.releases;
    let state = if !counted.untrusted.is_empty() {
        return (
            (Status::False, PolicyReason::ReleasesUntrusted),
            some_of_many(&counted.untrusted, counts.untrusted),
        );
    } else if counted.could_not_tell > 0 {
        let message = format!("{} releases could not be judged", counted.could_not_tell);
        return ((Status::Unknown, PolicyReason::ReleasesUnknown), message);
    } else if counts.total == 0 {
        let message = "no release matches: check match, and the charts of the rules".to_owned();
        return ((Status::Unknown, PolicyReason::NothingMatched), message);
    } else if counts.trusted == counts.total {
        return ((Status::True, PolicyReason::AllTrusted), String::new());
    } else if counts.trusted == 0 {
        (Status::Unknown, PolicyReason::NothingAsked)
    } else {
        (Status::True, PolicyReason::NothingUntrusted)
    };
    let message = format!(
        "{} of {} releases are trusted, {} exempt, {} unmanaged: for the last two no proof is asked",
        counts.trusted, counts.total, counts.exempt, counts.unmanaged
    );
    (state, message)
}

/// How many releases or sources a message names.
const NAMED: usize = 5;

/// Of so many of which the first are known by name.
fn some_of_many(first: &[String], all: u32) -> String {
    let all = usize::try_from(all).map_or(usize::MAX, |all| all.max(first.len()));
    let named = first.iter().take(NAMED).cloned().collect::<Vec<_>>();
    match all.saturating_sub(named.len()) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

fn some_of(all: &[String]) -> String {
    let named = all
        .iter()
        .take(NAMED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// How soon the end of an exception is worth a warning.
const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

fn exceptions(policy: &Policy, now: Timestamp) -> Option<State> {
    let named = |wanted: &dyn Fn(Timestamp) -> bool| -> Vec<_> {
        let all = policy
            .exceptions
            .iter()
            .filter(|exception| wanted(exception.expires_at));
        all.map(|exception| format!("{} ({})", exception.name, exception.expires_at))
            .collect()
    };
    let over = named(&|end| end <= now);
    let soon = named(&|end| end > now && end.duration_since(now) <= SOON);
    match (over.is_empty(), soon.is_empty()) {
        (false, _) => {
            let message = format!("ended, remove them: {}", over.join(", "));
            Some(((Status::True, PolicyReason::ExceptionExpired), message))
        }
        (true, false) => {
            let message = format!("end within a week: {}", soon.join(", "));
            Some(((Status::True, PolicyReason::ExceptionExpiresSoon), message))
        }
        (true, true) => None,
    }
}

#[cfg(test)]
mod tests {
    use charttrust_verify::verdict::{Basis, Reason};
    use serde_json::json;

    use super::*;
    use crate::api::conditions::find;
    use crate::inventory::ReleaseId;
    use crate::parse;

    fn loaded() -> LoadedPolicy {
        let yaml = include_str!("../../../../examples/policy-strict-in-house.yaml");
        let policies: Vec<crate::api::ChartTrustPolicy> =
            serde_saphyr::from_multiple(yaml).unwrap();
        parse::policy(&policies[0])
    }

    fn concluded_of(
        loaded: &LoadedPolicy,
        trust: &Trust,
        counted: &Counted,
    ) -> ChartTrustPolicyStatus {
        let known = Known {
            loaded,
            trust,
            counted,
            progress: Progress::Ended,
            unread: Vec::new(),
            reach: &Reach::Everywhere,
            gate: &Seen::default(),
            handled: None,
            shards: &[],
            unheld: None,
        };
        conclude(None, &known, Timestamp::UNIX_EPOCH)
    }

    fn message(counted: &Counted, type_: PolicyCondition) -> String {
        let (loaded, trust) = (loaded(), Trust::default());
        let status = concluded_of(&loaded, &trust, counted);
        let found = find(&status.conditions, type_);
        found.expect("the condition").message.clone()
    }

    #[test]
    fn a_silent_source_is_named_once_with_what_happened_and_the_next_step() {
        let (bare, told) = ("https://a.example.com", "https://b.example.com");
        let silent = [
            (bare, String::new()),
            (told, format!("{told}/index.yaml answered 503")),
            (
                "https://c.example.com",
                "a private address needs a flag".into(),
            ),
        ];
        let counted = Counted {
            silent: silent.map(|(url, told)| (url.to_owned(), told)).into(),
            ..Counted::default()
        };
        assert_eq!(
            message(&counted, PolicyCondition::SourcesReachable),
            "check address, credentials and --allow-host; the last look gave no answer: \
             https://a.example.com; https://b.example.com/index.yaml answered 503; \
             https://c.example.com: a private address needs a flag"
        );
    }

    #[test]
    fn a_source_that_nobody_has_asked_is_not_said_to_have_answered() {
        let said = |unheard: &[&str]| {
            let unheard = unheard.iter().map(ToString::to_string).collect();
            let counted = Counted {
                unheard,
                ..Counted::default()
            };
            message(&counted, PolicyCondition::SourcesReachable)
        };
        assert_eq!(said(&[]), "");
        assert_eq!(
            said(&["https://a.example.com"]),
            "not asked yet, for want of a release: https://a.example.com"
        );
    }

    /// What `Compliant` says of releases with these verdicts, all under the first rule.
    fn compliant(verdicts: &[Verdict]) -> (String, String) {
        let mut counted = Counted::default();
        for verdict in verdicts {
            counted.add("shop/web", *verdict);
            counted.rules.insert("in-house".to_owned());
        }
        let (loaded, trust) = (loaded(), Trust::default());
        let status = concluded_of(&loaded, &trust, &counted);
        let found = find(&status.conditions, PolicyCondition::Compliant).unwrap();
        let word = format!("{:?}/{}", found.status, found.reason);
        (word, found.message.clone())
    }

    #[test]
    fn how_much_is_covered_is_counted_with_what_has_no_record() {
        let mut counted = Counted::default();
        for verdict in [
            Verdict::Trusted(Basis::SignatureVerified),
            Verdict::Untrusted(Reason::Unsigned),
            Verdict::Unknown(Cause::SourceUnavailable),
            Verdict::Unknown(Cause::Pending),
            Verdict::Unknown(Cause::SourceUnavailable),
            Verdict::Unknown(Cause::Exempt),
            Verdict::Unknown(Cause::Unmanaged),
        ] {
            counted.add("shop/web", verdict);
        }
        let counted = counted.with_unaccounted(2);
        let (loaded, trust) = (loaded(), Trust::default());
        let status = concluded_of(&loaded, &trust, &counted);
        assert_eq!((status.releases.total, status.releases.unaccounted), (7, 2));
        assert_eq!(status.coverage.trusted_percent, Some(11), "one of nine");
        let unknown: Vec<_> = status.coverage.unknown.iter().collect();
        let unknown: Vec<_> = unknown
            .iter()
            .map(|one| (one.cause.as_str(), one.releases))
            .collect();
        assert_eq!(unknown, [("Pending", 1), ("SourceUnavailable", 2)]);
        let compliant = find(&status.conditions, PolicyCondition::Compliant).unwrap();
        let said = "of 2 more releases there is no record: charttrust status --unaccounted";
        assert!(compliant.message.contains(said), "{}", compliant.message);
        let nothing = concluded_of(&loaded, &trust, &Counted::default());
        assert_eq!(nothing.coverage.trusted_percent, None);
    }

    #[test]
    fn a_policy_says_which_namespaces_it_sees_where_it_may_select_more() {
        let trust = Trust::default();
        let counted = Counted::default();
        let ready = |releases: &str, reach: &Reach| {
            let object = json!({
                "apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
                "metadata": {"name": "platform"},
                "spec": {"match": {"releases": [releases]}, "rules": [{"name": "all", "charts": ["*"],
                    "sources": [{"url": "https://charts.example.com"}], "verify": {"level": "None"}}]},
            });
            let loaded = parse::policy(&serde_json::from_value(object).unwrap());
            let known = Known {
                loaded: &loaded,
                trust: &trust,
                counted: &counted,
                progress: Progress::Ended,
                unread: vec!["namespace gone: it does not exist".to_owned()],
                reach,
                gate: &Seen::default(),
                handled: None,
                shards: &[],
                unheld: None,
            };
            let status = conclude(None, &known, Timestamp::UNIX_EPOCH);
            let ready = find(&status.conditions, PolicyCondition::Ready).unwrap();
            ready.message.clone()
        };
        let two = Reach::of(["bank", "shop"].map(str::to_owned));
        let without = "without namespace gone: it does not exist";
        for (releases, reach, expected) in [
            ("*", &Reach::Everywhere, without.to_owned()),
            ("shop/*", &two, without.to_owned()),
            (
                "*",
                &two,
                format!("sees the namespaces bank, shop only; {without}"),
            ),
        ] {
            assert_eq!(ready(releases, reach), expected, "{releases}");
        }
    }

    #[test]
    fn nothing_complies_without_proof() {
        let trusted = Verdict::Trusted(Basis::SignatureVerified);
        let [exempt, unmanaged] = [Cause::Exempt, Cause::Unmanaged].map(Verdict::Unknown);
        let unknown = Verdict::Unknown(Cause::SourceUnavailable);
        let untrusted = Verdict::Untrusted(Reason::Unsigned);
        for (verdicts, word) in [
            (&[][..], "Unknown/NothingMatched"),
            (&[unmanaged], "Unknown/NothingAsked"),
            (&[exempt], "Unknown/NothingAsked"),
            (&[exempt, unmanaged], "Unknown/NothingAsked"),
            (&[trusted], "True/AllTrusted"),
            (&[trusted, unmanaged], "True/NothingUntrusted"),
            (&[trusted, exempt], "True/NothingUntrusted"),
            (&[trusted, exempt, unknown], "Unknown/ReleasesUnknown"),
            (&[unmanaged, unknown], "Unknown/ReleasesUnknown"),
            (&[trusted, unknown, untrusted], "False/ReleasesUntrusted"),
            (&[unmanaged, untrusted], "False/ReleasesUntrusted"),
        ] {
            assert_eq!(compliant(verdicts).0, word, "{verdicts:?}");
        }
    }

    #[test]
    fn what_complies_without_proof_is_counted_and_idle_rules_are_named() {
        let causes = [Cause::Unmanaged, Cause::Unmanaged, Cause::Exempt];
        assert_eq!(
            compliant(&causes.map(Verdict::Unknown)).1,
            "0 of 3 releases are trusted, 1 exempt, 2 unmanaged: for the last two no proof is asked; \
             no release has a chart of rule rest"
        );
        assert_eq!(
            compliant(&[]).1,
            "no release matches: check match, and the charts of the rules"
        );
    }

    #[test]
    fn more_signers_than_are_listed_never_resolve() {
        let rule = |signers: serde_json::Value| {
            json!({
                "apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
                "metadata": {"name": "strict"},
                "spec": {"rules": [{"name": "x", "charts": ["*"], "verify": {"signers": signers}}]},
            })
        };
        let resolved = |signers| {
            let loaded = parse::policy(&serde_json::from_value(rule(signers)).unwrap());
            let counted = Counted::default();
            let status = concluded_of(&loaded, &Trust::default(), &counted);
            let of = |type_| find(&status.conditions, type_).unwrap().message.clone();
            assert!(of(PolicyCondition::Ready).contains(&of(PolicyCondition::KeysResolved)));
            of(PolicyCondition::KeysResolved)
        };
        assert_eq!(
            resolved(json!({"keys": ["a"], "threshold": 2})),
            "TrustedKey a does not exist; rule x asks for 2 different keys and lists 1"
        );
        assert_eq!(
            resolved(json!({"keys": ["a"], "threshold": 1})),
            "TrustedKey a does not exist"
        );
        assert_eq!(
            resolved(json!({"keySelector": {"matchLabels": {"team": "a"}}})),
            "rule x asks for 1 different keys and lists 0"
        );
        assert_eq!(
            resolved(json!({"keys": ["a"], "identities": ["b"], "threshold": 3})),
            "TrustedKey a does not exist; TrustedIdentity b does not exist; rule x asks for 3 different \
             signers and lists 2"
        );
        assert_eq!(
            resolved(json!({"identitySelector": {"matchLabels": {"team": "a"}}})),
            "rule x asks for 1 different signers and lists 0"
        );
        assert_eq!(
            resolved(json!({})),
            "",
            "only pins can satisfy it, on purpose"
        );
    }

    #[test]
    fn the_end_of_an_exception_is_told_with_its_date() {
        let yaml = include_str!("../../../../examples/policy-exception.yaml");
        let loaded = parse::policy(&serde_saphyr::from_str(yaml).unwrap());
        let at = |now: &str| {
            let now = now.parse().unwrap();
            let (trust, counted) = (Trust::default(), Counted::default());
            let known = Known {
                loaded: &loaded,
                trust: &trust,
                counted: &counted,
                progress: Progress::Ended,
                unread: Vec::new(),
                reach: &Reach::Everywhere,
                gate: &Seen::default(),
                handled: None,
                shards: &[],
                unheld: None,
            };
            let status = conclude(None, &known, now);
            let found = find(&status.conditions, PolicyCondition::ExceptionExpiring);
            found.map(|found| found.message.clone())
        };
        assert_eq!(at("2026-12-01T00:00:00Z"), None);
        let soon = "end within a week: payments-hotfix (2026-12-15T00:00:00Z)".to_owned();
        assert_eq!(at("2026-12-10T00:00:00Z"), Some(soon));
        let over = "ended, remove them: payments-hotfix (2026-12-15T00:00:00Z)".to_owned();
        assert_eq!(at("2026-12-15T00:00:00Z"), Some(over));
    }

    fn concluded(quarantine: Outcomes) -> ChartTrustPolicyStatus {
        let policy = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
            "metadata": {"name": "strict"},
            "spec": {"rules": [{"name": "rest", "charts": ["*"], "verify": {"level": "None"}}]},
        });
        let loaded = parse::policy(&serde_json::from_value(policy).unwrap());
        let counted = Counted {
            quarantine,
            ..Counted::default()
        };
        concluded_of(&loaded, &Trust::default(), &counted)
    }

    fn release(namespace: &str, name: &str) -> ReleaseId {
        ReleaseId {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn what_does_not_fit_is_counted_and_named_with_the_way_on() {
        let stopped = vec![
            release("bank", "api"),
            release("shop", "forum"),
            release("shop", "web"),
        ];
        let status = concluded(Outcomes {
            active: 1,
            waiting: 2,
            stopped,
            allowance: 5,
            ..Outcomes::default()
        });
        let counts = QuarantineCounts {
            active: 1,
            waiting: 2,
            stopped: 3,
        };
        assert_eq!(status.quarantine, counts);
        let stopped = find(&status.conditions, PolicyCondition::QuarantineStopped).unwrap();
        assert_eq!(stopped.status, Status::True);
        assert_eq!(stopped.reason, "LimitReached");
        let said = &stopped.message;
        assert!(
            said.starts_with("3 are due, 5 may be contained at a time and 1 are"),
            "{said}"
        );
        assert!(said.ends_with("Due: bank/api shop/forum,web"), "{said}");
    }

    #[test]
    fn what_is_too_much_for_its_namespace_is_named_beside_what_is_in_all() {
        let crowded = vec![release("tenant", "a"), release("tenant", "b")];
        let alone = Outcomes {
            active: 1,
            crowded,
            allowance: 5,
            per_namespace: 1,
            ..Outcomes::default()
        };
        let both = Outcomes {
            stopped: vec![release("shop", "web")],
            ..alone.clone()
        };
        let said = |outcomes| {
            let status = concluded(outcomes);
            let stopped = find(&status.conditions, PolicyCondition::QuarantineStopped).unwrap();
            assert_eq!(stopped.reason, "LimitReached");
            (status.quarantine.stopped, stopped.message.clone())
        };
        let (count, message) = said(alone);
        assert_eq!(count, 2);
        assert!(
            message.starts_with("2 are due in namespaces in which only 1 may be contained"),
            "{message}"
        );
        assert!(message.ends_with("Due: tenant/a,b"), "{message}");
        let (count, message) = said(both);
        assert_eq!(count, 3);
        assert!(message.contains("Due: shop/web. 2 are due in"), "{message}");
    }

    #[test]
    fn what_could_not_be_started_is_counted_and_named_with_the_reason() {
        let why = "failed to create a Quarantine: the namespace is terminating".to_owned();
        let status = concluded(Outcomes {
            failed: BTreeMap::from([(release("shop", "web"), why.clone())]),
            allowance: 5,
            ..Outcomes::default()
        });
        assert_eq!(status.quarantine.stopped, 1);
        let stopped = find(&status.conditions, PolicyCondition::QuarantineStopped).unwrap();
        assert_eq!(stopped.reason, "StartFailed");
        assert!(stopped.message.contains(&why), "{}", stopped.message);
        assert!(
            stopped.message.ends_with("Due: shop/web"),
            "{}",
            stopped.message
        );
    }

    #[test]
    fn what_could_not_be_started_is_named_beside_what_does_not_fit() {
        let status = concluded(Outcomes {
            stopped: vec![release("shop", "web")],
            failed: BTreeMap::from([(release("bank", "api"), "exceeded quota".to_owned())]),
            allowance: 5,
            ..Outcomes::default()
        });
        assert_eq!(status.quarantine.stopped, 2);
        let stopped = find(&status.conditions, PolicyCondition::QuarantineStopped).unwrap();
        assert_eq!(stopped.reason, "LimitReached");
        let said = &stopped.message;
        assert!(said.contains("Due: shop/web. 1 are due"), "{said}");
        assert!(said.ends_with("exceeded quota. Due: bank/api"), "{said}");
    }

    #[test]
    fn what_fits_is_not_stopped() {
        let status = concluded(Outcomes {
            active: 1,
            waiting: 1,
            ..Outcomes::default()
        });
        let stopped = find(&status.conditions, PolicyCondition::QuarantineStopped);
        assert_eq!(stopped, None);
    }
}
