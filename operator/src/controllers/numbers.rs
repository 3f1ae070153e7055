//! Numbers for the metrics of policies and their sources, from what is known at a moment.

use std::collections::{BTreeMap, BTreeSet};

use charttrust_verify::check::Judgement;
use charttrust_verify::policy::{Demands, Level, Policy, Source};
use charttrust_verify::small_map::SmallMap;
use jiff::{SignedDuration, Timestamp};
use reqwest::Url;
use tokio::time::Instant;

use super::context::Context;
use super::policy::door;
use super::quarantine::scope;
use super::store::{PollState, Trust};
use crate::api::chart_trust_policy::ReleaseCounts;
use crate::api::trusted_identity::TrustedIdentityStatus;
use crate::api::trusted_key::TrustedKeyStatus;
use crate::clock::Moment;
use crate::metrics::{Metrics, PolicyNumbers, PolicyVerdict};
use crate::parse::LoadedPolicy;
use crate::sources::Counts;

/// The numbers of one moment.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    verdicts: Vec<PolicyVerdict>,
    policies: Vec<PolicyNumbers>,
    silent: BTreeMap<String, usize>,
    unaccounted: BTreeMap<String, usize>,
    quarantined: usize,
    awaiting: usize,
    leads: bool,
    keys: Vec<(String, TrustedKeyStatus)>,
    identities: Vec<(String, TrustedIdentityStatus)>,
    counts: Counts,
}

impl Context {
    /// Numbers for the metrics of this moment.
    pub(super) fn numbers(&self) -> Numbers {
        let mut verdicts = Vec::new();
        self.store.judgements(|id, judgement| {
            verdicts.extend(judgement.policies.iter().map(|said| PolicyVerdict {
                policy: said.policy.clone(),
                namespace: id.namespace.clone(),
                verdict: said.verdict,
            }));
        });
        let trust = self.store.trust();
        let mut polls = Polls::of(&trust);
        self.store
            .polls(|judgement, states| polls.add(judgement, states));
        let stopped = |policy: &str| self.store.outcomes(policy).due();
        let mut policies = polls.by_policy(&trust, stopped, Moment::now());
        let (counts, gate) = (counts(&verdicts), self.store.gate.seen());
        for numbers in policies.iter_mut().filter(|_| self.is_first()) {
            let mut counts = counts.get(&numbers.policy).copied().unwrap_or_default();
            if let Some(loaded) = trust.policies.get(&numbers.policy) {
                counts.unaccounted = self.unaccounted(&loaded.policy.selection);
                numbers.webhook_ready = door::is_ready(loaded, &gate);
            }
            counts.add(&self.counted_elsewhere(&numbers.policy));
            numbers.coverage = counts.trusted_share();
        }
        Numbers {
            verdicts,
            policies,
            silent: polls.silent_by_host(),
            unaccounted: self.unaccounted_workloads(),
            quarantined: scope::active(self),
            awaiting: scope::awaiting(self),
            leads: self.is_first() && self.leadership.is_held(),
            keys: self.cache.key_states(),
            identities: self.cache.identity_states(),
            counts: self.fetcher.counts(),
        }
    }
}

impl Numbers {
    /// Together with those of another part of the work.
    pub(super) fn add(&mut self, other: Self) {
        self.verdicts.extend(other.verdicts);
        for theirs in other.policies {
            let mut known = self.policies.iter_mut();
            match known.find(|one| one.policy == theirs.policy) {
                Some(ours) => ours.add(&theirs),
                None => self.policies.push(theirs),
            }
        }
        for (host, silent) in other.silent {
            let ours = self.silent.entry(host).or_default();
            *ours = silent.max(*ours);
        }
        self.unaccounted.extend(other.unaccounted);
        self.quarantined += other.quarantined;
        self.awaiting += other.awaiting;
        self.leads |= other.leads;
        // Each part has read all of them, and asks sources with the others.
        self.keys = other.keys;
        self.identities = other.identities;
        self.counts = other.counts;
    }

    /// Shows them.
    pub(super) fn show(self, metrics: &Metrics) {
        metrics.observe_policies(self.policies, self.silent);
        metrics.unaccounted(&self.unaccounted);
        metrics.quarantined(self.quarantined);
        metrics.quarantines_awaiting(self.awaiting);
        if self.leads {
            metrics.leads();
        } else {
            metrics.stands_by();
        }
        metrics.observe_identities(&self.identities);
        metrics.observe(self.verdicts, &self.keys, &self.counts);
    }
}

/// How many releases each policy trusts, of how many.
fn counts(verdicts: &[PolicyVerdict]) -> BTreeMap<String, ReleaseCounts> {
    let mut counts: BTreeMap<String, ReleaseCounts> = BTreeMap::new();
    for said in verdicts {
        let of_policy = counts.entry(said.policy.clone()).or_default();
        of_policy.total += 1;
        of_policy.trusted += u32::from(said.verdict.is_trusted());
    }
    counts
}

/// The looks at the sources that the deciding rules name; others are history.
#[derive(Debug)]
pub(super) struct Polls {
    sources: BTreeMap<(String, String), Vec<String>>,
    oldest: BTreeMap<String, Instant>,
    /// By policy: since when each source was asked about each release; `None` until all were once.
    asked: BTreeMap<String, Option<Instant>>,
    hosts: BTreeMap<String, BTreeSet<String>>,
}

/// Since when the sources of a policy were asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AskedSince {
    /// Each was, about each release, at this instant or later.
    Date(Timestamp),
    /// Not all were yet.
    NotYet,
    /// There is nothing to ask.
    Nothing,
}

impl Polls {
    /// No polls yet, at the sources of these policies. Those of a suspended one are not looked at.
    pub(super) fn of(trust: &Trust) -> Self {
        let policies = trust.policies.values().map(|loaded| &loaded.policy);
        let sources = policies
            .filter(|policy| !policy.suspended)
            .flat_map(sources_by_rule);
        Self {
            sources: sources.collect(),
            oldest: BTreeMap::new(),
            asked: BTreeMap::new(),
            hosts: BTreeMap::new(),
        }
    }

    /// Takes in the polls for one release.
    pub(super) fn add(&mut self, judgement: &Judgement, polls: &SmallMap<String, PollState>) {
        for verdict in &judgement.policies {
            let rule = verdict.rule.clone().unwrap_or_default();
            let Some(urls) = self.sources.get(&(verdict.policy.clone(), rule)) else {
                continue;
            };
            for url in urls {
                let asked = polls.get(url).map(|poll| poll.last_asked);
                let oldest = self.asked.entry(verdict.policy.clone()).or_insert(asked);
                // `None` is less than every instant.
                *oldest = asked.min(*oldest);
            }
            for (url, poll) in urls.iter().filter_map(|url| Some((url, polls.get(url)?))) {
                let oldest = self.oldest.entry(verdict.policy.clone());
                let oldest = oldest.or_insert(poll.answering_since);
                *oldest = poll.answering_since.min(*oldest);
                let silent = self.hosts.entry(host(url)).or_default();
                silent.extend((poll.failures > 0).then(|| url.clone()));
            }
        }
    }

    /// How many sources on each host that is looked at gave no answer to their last look.
    pub(super) fn silent_by_host(&self) -> BTreeMap<String, usize> {
        let hosts = self.hosts.iter();
        hosts
            .map(|(host, silent)| (host.clone(), silent.len()))
            .collect()
    }

    /// Since when each source of a policy was asked about each release that it decides.
    pub(super) fn asked_since(&self, policy: &str, moment: Moment) -> AskedSince {
        match self.asked.get(policy) {
            None => AskedSince::Nothing,
            Some(None) => AskedSince::NotYet,
            Some(Some(since)) => AskedSince::Date(dated(*since, moment)),
        }
    }

    /// The numbers of each policy.
    pub(super) fn by_policy(
        &self,
        trust: &Trust,
        stopped: impl Fn(&str) -> usize,
        moment: Moment,
    ) -> Vec<PolicyNumbers> {
        let policies = trust.policies.iter();
        let numbers = |(name, loaded): (&String, &LoadedPolicy)| PolicyNumbers {
            policy: name.clone(),
            interval: loaded.interval,
            oldest_answer: self.oldest.get(name).map(|since| dated(*since, moment)),
            exceptions: loaded
                .policy
                .exceptions
                .iter()
                .map(|exception| (exception.name.clone(), exception.expires_at))
                .collect(),
            stopped: stopped(name),
            coverage: None,
            webhook_ready: None,
        };
        policies.map(numbers).collect()
    }
}

fn sources_by_rule(policy: &Policy) -> Vec<((String, String), Vec<String>)> {
    let rules = match &policy.demands {
        Demands::Rules(rules) => rules.as_slice(),
        Demands::TrustNobody { .. } => &[],
    };
    let urls = |sources: &[Source]| sources.iter().map(|source| source.url.clone()).collect();
    let asks = rules.iter().filter(|rule| rule.verify.level != Level::None);
    asks.map(|rule| {
        let key = (policy.name.clone(), rule.name.clone());
        (key, urls(&rule.sources))
    })
    .collect()
}

/// Only the host: what else an address says is not for everybody who reads metrics.
fn host(url: &str) -> String {
    let parsed = Url::parse(url).ok();
    let host = parsed.as_ref().and_then(Url::host_str);
    host.unwrap_or("unknown").to_owned()
}

fn dated(since: Instant, moment: Moment) -> Timestamp {
    let age =
        SignedDuration::try_from(moment.tick.saturating_duration_since(since)).unwrap_or_default();
    moment.date.checked_sub(age).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use charttrust_verify::check::PolicyVerdict;
    use charttrust_verify::verdict::{Basis, Verdict};

    use super::*;
    use crate::parse;

    const TWO_RULES: &str = "
metadata: {name: platform}
spec:
  interval: 30m
  rules:
    - name: in-house
      charts: [web]
      sources: [{url: 'https://charts.example.com/a'}, {url: 'https://charts.example.com/b/secret'}]
    - name: rest
      charts: ['*']
      sources: [{url: 'https://old.example.com'}]
  exceptions:
    - {name: hotfix, releases: [web], reasons: [Unsigned], expiresAt: '2026-12-15T00:00:00Z', justification: broken}
";

    fn trust(yaml: &str) -> Trust {
        let text = format!("apiVersion: charttrust.io/v1alpha1\nkind: ChartTrustPolicy\n{yaml}");
        let loaded = parse::policy(&serde_saphyr::from_str(&text).unwrap());
        assert_eq!(loaded.problems, []);
        Trust {
            policies: Arc::new(BTreeMap::from([("platform".to_owned(), loaded)])),
            ..Trust::default()
        }
    }

    fn judgement(rule: &str) -> Judgement {
        let verdict = Verdict::Trusted(Basis::SignatureVerified);
        Judgement {
            verdict,
            policies: vec![PolicyVerdict {
                policy: "platform".to_owned(),
                rule: Some(rule.to_owned()),
                verdict,
                exempt_by: None,
                origin: None,
                revocations: BTreeSet::new(),
            }],
            findings: Vec::new(),
        }
    }

    fn poll(answering_since: Instant, failures: u32) -> PollState {
        PollState {
            last_asked: answering_since,
            answering_since,
            every: Duration::from_secs(1800),
            failures,
            retry_after: None,
            requests: 0,
        }
    }

    const A: &str = "https://charts.example.com/a";
    const B: &str = "https://charts.example.com/b/secret";
    const OLD: &str = "https://old.example.com";

    fn polls(of: &[(&str, PollState)]) -> SmallMap<String, PollState> {
        of.iter()
            .map(|(url, poll)| ((*url).to_owned(), *poll))
            .collect()
    }

    #[test]
    fn the_oldest_answer_of_any_release_counts() {
        let trust = trust(TWO_RULES);
        let start = crate::clock::tick();
        let at = |second| start + Duration::from_secs(second);
        let mut all = Polls::of(&trust);
        all.add(&judgement("in-house"), &polls(&[(A, poll(at(50), 0))]));
        all.add(
            &judgement("in-house"),
            &polls(&[(A, poll(at(70), 0)), (B, poll(at(40), 3))]),
        );
        let date: Timestamp = "2026-11-22T00:01:40Z".parse().unwrap();
        let numbers = all.by_policy(
            &trust,
            |_| 7,
            Moment {
                date,
                tick: at(100),
            },
        );
        assert_eq!(numbers.len(), 1);
        assert_eq!(numbers[0].interval, Duration::from_secs(1800));
        assert_eq!(numbers[0].stopped, 7);
        let oldest = "2026-11-22T00:00:40Z".parse().unwrap();
        assert_eq!(numbers[0].oldest_answer, Some(oldest));
        let end = "2026-12-15T00:00:00Z".parse().unwrap();
        assert_eq!(numbers[0].exceptions, [("hotfix".to_owned(), end)]);
    }

    #[test]
    fn a_policy_was_looked_at_when_each_source_was_asked_about_each_release() {
        let trust = trust(TWO_RULES);
        let start = crate::clock::tick();
        let at = |second| start + Duration::from_secs(second);
        let moment = Moment {
            date: "2026-11-22T00:01:40Z".parse().unwrap(),
            tick: at(100),
        };
        let since = |all: &Polls| all.asked_since("platform", moment);
        let mut all = Polls::of(&trust);
        assert_eq!(since(&all), AskedSince::Nothing);
        let (a, b) = ((A, poll(at(50), 0)), (B, poll(at(40), 3)));
        all.add(&judgement("in-house"), &polls(&[a, b]));
        let date = "2026-11-22T00:00:40Z".parse().unwrap();
        assert_eq!(since(&all), AskedSince::Date(date), "one was silent");
        all.add(&judgement("in-house"), &polls(&[a]));
        assert_eq!(since(&all), AskedSince::NotYet);
        all.add(&judgement("in-house"), &polls(&[a, b]));
        assert_eq!(since(&all), AskedSince::NotYet);
    }

    #[test]
    fn sources_are_counted_by_host_and_nothing_else_of_them_is_told() {
        let trust = trust(TWO_RULES);
        let now = crate::clock::tick();
        let mut all = Polls::of(&trust);
        assert_eq!(all.silent_by_host(), BTreeMap::new());
        for failures in [1, 2] {
            let polls = polls(&[(A, poll(now, 0)), (B, poll(now, failures))]);
            all.add(&judgement("in-house"), &polls);
        }
        let expected = BTreeMap::from([("charts.example.com".to_owned(), 1)]);
        assert_eq!(all.silent_by_host(), expected);
    }

    #[test]
    fn a_host_that_answers_is_zero() {
        let trust = trust(TWO_RULES);
        let mut all = Polls::of(&trust);
        all.add(
            &judgement("rest"),
            &polls(&[(OLD, poll(crate::clock::tick(), 0))]),
        );
        let expected = BTreeMap::from([("old.example.com".to_owned(), 0)]);
        assert_eq!(all.silent_by_host(), expected);
    }

    /// Since when the only policy has had no answer of one of its sources.
    fn oldest_answer(all: &Polls, trust: &Trust, tick: Instant) -> Option<Timestamp> {
        let date = Timestamp::MIN;
        let policies = all.by_policy(trust, |_| 0, Moment { date, tick });
        policies[0].oldest_answer
    }

    #[test]
    fn looks_at_sources_of_other_rules_are_history() {
        let trust = trust(TWO_RULES);
        let now = crate::clock::tick();
        let mut all = Polls::of(&trust);
        all.add(&judgement("in-house"), &polls(&[(OLD, poll(now, 9))]));
        assert_eq!(all.silent_by_host(), BTreeMap::new());
        assert_eq!(oldest_answer(&all, &trust, now), None);
    }

    #[test]
    fn a_suspended_policy_is_not_stale() {
        let trust = trust(&TWO_RULES.replace("interval: 30m", "suspend: true"));
        let now = crate::clock::tick();
        let mut all = Polls::of(&trust);
        all.add(&judgement("in-house"), &polls(&[(A, poll(now, 9))]));
        assert_eq!(oldest_answer(&all, &trust, now), None);
        assert_eq!(all.silent_by_host(), BTreeMap::new());
    }
}
