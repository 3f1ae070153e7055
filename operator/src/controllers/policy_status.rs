//! What a `ChartTrustPolicy` says of itself: pure, from the verdicts it gave.

use std::collections::{BTreeMap, BTreeSet};

use charttrust_verify::policy::{Demands, Policy};
use charttrust_verify::verdict::{Cause, Verdict};
use jiff::{SignedDuration, Timestamp};

use super::Context;
use super::world::{Outcomes, Trust};
use crate::api::chart_trust_policy::{ChartTrustPolicyStatus, QuarantineCounts, ReleaseCounts};
use crate::api::conditions::{Condition, PolicyCondition, Status, merge};
use crate::api::reasons::PolicyReason;
use crate::inventory::ReleaseId;
use crate::parse::LoadedPolicy;

/// What a policy's releases came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    releases: ReleaseCounts,
    /// Untrusted releases with their reasons, in order.
    untrusted: Vec<String>,
    /// Releases that could not be judged.
    could_not_tell: u32,
    /// Sources whose last look failed, and what happened.
    silent: BTreeMap<String, String>,
    /// What became of its quarantines.
    quarantine: Outcomes,
}

/// Counts the verdicts that a policy gave.
pub(super) fn count(context: &Context, name: &str) -> Counted {
    let mut counted = Counted::default();
    context.world.judgements(|id, judgement| {
        let verdicts = judgement
            .policies
            .iter()
            .filter(|policy| policy.policy == name);
        for policy in verdicts {
            counted.add(&id.to_string(), policy.verdict);
        }
    });
    counted.quarantine = context.world.outcomes(name);
    let trust = context.world.trust();
    if let Some(loaded) = trust.policies.get(name) {
        let named: BTreeSet<_> = sources(&loaded.policy).collect();
        counted.silent = context.world.silent_sources();
        counted.silent.retain(|url, _| named.contains(url.as_str()));
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
            Verdict::Unknown(_) => {
                counts.unknown += 1;
                self.could_not_tell += 1;
            }
        }
    }
}

fn sources(policy: &Policy) -> impl Iterator<Item = &str> {
    let rules = match &policy.demands {
        Demands::Rules(rules) => rules.as_slice(),
        Demands::TrustNobody { .. } => &[],
    };
    rules
        .iter()
        .flat_map(|rule| &rule.sources)
        .map(|source| source.url.as_str())
}

/// The status to write. Equal knowledge gives an equal status, whatever the time.
pub(super) fn conclude(
    old: Option<&ChartTrustPolicyStatus>,
    loaded: &LoadedPolicy,
    trust: &Trust,
    counted: &Counted,
    handled: Option<String>,
    now: Timestamp,
) -> ChartTrustPolicyStatus {
    let before = old.map(|old| old.conditions.as_slice()).unwrap_or_default();
    ChartTrustPolicyStatus {
        observed_generation: Some(loaded.generation),
        last_handled_reconcile_at: handled
            .or_else(|| old.and_then(|old| old.last_handled_reconcile_at.clone())),
        releases: counted.releases,
        quarantine: quarantine_counts(&counted.quarantine),
        conditions: merge(before, conditions(loaded, trust, counted, now)),
    }
}

fn quarantine_counts(outcomes: &Outcomes) -> QuarantineCounts {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    QuarantineCounts {
        active: number(outcomes.active),
        waiting: number(outcomes.waiting),
        stopped: number(outcomes.stopped.len()),
    }
}

type State = ((Status, PolicyReason), String);

fn conditions(
    loaded: &LoadedPolicy,
    trust: &Trust,
    counted: &Counted,
    now: Timestamp,
) -> Vec<Condition> {
    let ready = readiness(loaded);
    let mut states = vec![
        (PolicyCondition::Ready, ready.clone()),
        (
            PolicyCondition::KeysResolved,
            keys_resolved(&loaded.policy, trust),
        ),
        (
            PolicyCondition::SourcesReachable,
            reachable(loaded, counted),
        ),
        (PolicyCondition::Compliant, compliance(counted)),
    ];
    states.extend(exceptions(&loaded.policy, now).map(|s| (PolicyCondition::ExceptionExpiring, s)));
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

fn readiness(loaded: &LoadedPolicy) -> State {
    if loaded.problems.is_empty() {
        return ((Status::True, PolicyReason::Reconciled), String::new());
    }
    let problems: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
    let message = format!(
        "judged as if it trusted nobody until mended: {}",
        problems.join("; ")
    );
    ((Status::False, PolicyReason::InvalidSpec), message)
}

fn keys_resolved(policy: &Policy, trust: &Trust) -> State {
    let rules = match &policy.demands {
        Demands::Rules(rules) => rules.as_slice(),
        Demands::TrustNobody { .. } => &[],
    };
    let named: BTreeSet<&String> = rules
        .iter()
        .flat_map(|rule| &rule.verify.signers.keys)
        .collect();
    let missing = named
        .iter()
        .filter_map(|name| match trust.loaded.get(*name) {
            None => Some(format!("TrustedKey {name} does not exist")),
            Some(loaded) => loaded
                .key
                .as_ref()
                .err()
                .map(|problem| format!("TrustedKey {name}: {problem}")),
        });
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() {
        return ((Status::True, PolicyReason::AllResolved), String::new());
    }
    (
        (Status::False, PolicyReason::KeysUnresolved),
        missing.join("; "),
    )
}

fn reachable(loaded: &LoadedPolicy, counted: &Counted) -> State {
    if loaded.policy.suspended {
        return (
            (Status::Unknown, PolicyReason::Suspended),
            "looks are suspended".to_owned(),
        );
    }
    if counted.silent.is_empty() {
        return ((Status::True, PolicyReason::AllReachable), String::new());
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

fn compliance(counted: &Counted) -> State {
    if !counted.untrusted.is_empty() {
        let message = some_of(&counted.untrusted);
        return ((Status::False, PolicyReason::ReleasesUntrusted), message);
    }
    if counted.could_not_tell > 0 {
        let message = format!("{} releases could not be judged", counted.could_not_tell);
        return ((Status::Unknown, PolicyReason::ReleasesUnknown), message);
    }
    let message = composition(&counted.releases);
    ((Status::True, PolicyReason::AllTrusted), message)
}

/// That not all of what complies was checked, if so.
fn composition(counts: &ReleaseCounts) -> String {
    if counts.total == 0 {
        return "no release matches".to_owned();
    }
    if counts.trusted == counts.total {
        return String::new();
    }
    format!(
        "{} of {} releases are trusted, {} exempt, {} unmanaged: for the last two no proof is asked",
        counts.trusted, counts.total, counts.exempt, counts.unmanaged
    )
}

/// How many releases or sources a message names.
const NAMED: usize = 5;

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

/// That what is due does not fit: all of it by name, by namespace, and the way on.
fn stopped(outcomes: &Outcomes) -> Option<State> {
    if outcomes.stopped.is_empty() {
        return None;
    }
    let head = format!(
        "{} are due, {} may be contained at a time and {} are, so none starts; raise \
         spec.quarantine.limit, or run charttrust quarantine --key NAME. Due:",
        outcomes.stopped.len(),
        outcomes.allowance,
        outcomes.active
    );
    let message = format!("{head} {}", by_namespace(&outcomes.stopped));
    Some(((Status::True, PolicyReason::LimitReached), message))
}

/// `shop/a,b bank/c`: short, so that many fit into a message.
fn by_namespace(releases: &[ReleaseId]) -> String {
    let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for release in releases {
        all.entry(&release.namespace)
            .or_default()
            .push(&release.name);
    }
    let one = |(namespace, names): (&str, Vec<&str>)| format!("{namespace}/{}", names.join(","));
    all.into_iter().map(one).collect::<Vec<_>>().join(" ")
}

/// How soon the end of an exception is worth a warning.
const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

fn exceptions(policy: &Policy, now: Timestamp) -> Option<State> {
    let named = |wanted: &dyn Fn(Timestamp) -> bool| -> Vec<_> {
        let all = policy
            .exceptions
            .iter()
            .filter(|exception| wanted(exception.expires_at));
        all.map(|exception| exception.name.as_str()).collect()
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
    use serde_json::json;

    use super::*;
    use crate::api::conditions::find;
    use crate::parse;

    fn loaded() -> LoadedPolicy {
        let yaml = include_str!("../../../examples/policy-strict-in-house.yaml");
        let policies: Vec<crate::api::ChartTrustPolicy> =
            serde_saphyr::from_multiple(yaml).unwrap();
        parse::policy(&policies[0])
    }

    fn message(counted: &Counted, type_: PolicyCondition) -> String {
        let (loaded, trust) = (loaded(), Trust::default());
        let status = conclude(None, &loaded, &trust, counted, None, Timestamp::UNIX_EPOCH);
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
    fn what_complies_without_proof_is_counted() {
        let verdicts = [Cause::Unmanaged, Cause::Unmanaged, Cause::Exempt];
        let mut counted = Counted::default();
        assert_eq!(
            message(&counted, PolicyCondition::Compliant),
            "no release matches"
        );
        for cause in verdicts {
            counted.add("shop/web", Verdict::Unknown(cause));
        }
        assert_eq!(
            message(&counted, PolicyCondition::Compliant),
            "0 of 3 releases are trusted, 1 exempt, 2 unmanaged: for the last two no proof is asked"
        );
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
        let now = Timestamp::UNIX_EPOCH;
        conclude(None, &loaded, &Trust::default(), &counted, None, now)
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
