//! Numbers for the metrics of policies and their sources: pure, from what is known at a moment.

use std::collections::{BTreeMap, BTreeSet};

use charttrust_verify::check::Judgement;
use charttrust_verify::policy::{Demands, Policy, Source};
use jiff::{SignedDuration, Timestamp};
use reqwest::Url;
use tokio::time::Instant;

use super::world::{LookState, Trust};
use crate::metrics::PolicyNumbers;
use crate::parse::LoadedPolicy;

/// The looks at the sources that the deciding rules name; others are history.
#[derive(Debug)]
pub(super) struct Looks {
    sources: BTreeMap<(String, String), Vec<String>>,
    oldest: BTreeMap<String, Instant>,
    hosts: BTreeMap<String, BTreeSet<String>>,
}

impl Looks {
    /// No looks yet, at the sources of these policies. Those of a suspended one are not looked at.
    pub(super) fn of(trust: &Trust) -> Self {
        let policies = trust.policies.values().map(|loaded| &loaded.policy);
        let sources = policies
            .filter(|policy| !policy.suspended)
            .flat_map(sources_by_rule);
        Self {
            sources: sources.collect(),
            oldest: BTreeMap::new(),
            hosts: BTreeMap::new(),
        }
    }

    /// Takes in the looks for one release.
    pub(super) fn add(&mut self, judgement: &Judgement, looks: &BTreeMap<String, LookState>) {
        for verdict in &judgement.policies {
            let rule = verdict.rule.clone().unwrap_or_default();
            let Some(urls) = self.sources.get(&(verdict.policy.clone(), rule)) else {
                continue;
            };
            for (url, look) in urls.iter().filter_map(|url| looks.get_key_value(url)) {
                let oldest = self.oldest.entry(verdict.policy.clone());
                let oldest = oldest.or_insert(look.answering_since);
                *oldest = look.answering_since.min(*oldest);
                let silent = self.hosts.entry(host(url)).or_default();
                silent.extend((look.failures > 0).then(|| url.clone()));
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

    /// The numbers of each policy. `now` and `date` are the same moment.
    pub(super) fn by_policy(
        &self,
        trust: &Trust,
        stopped: impl Fn(&str) -> usize,
        now: Instant,
        date: Timestamp,
    ) -> Vec<PolicyNumbers> {
        let policies = trust.policies.iter();
        let numbers = |(name, loaded): (&String, &LoadedPolicy)| PolicyNumbers {
            policy: name.clone(),
            interval: loaded.interval,
            oldest_answer: self.oldest.get(name).map(|since| dated(*since, now, date)),
            exceptions: loaded
                .policy
                .exceptions
                .iter()
                .map(|exception| (exception.name.clone(), exception.expires_at))
                .collect(),
            stopped: stopped(name),
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
    rules
        .iter()
        .map(|rule| {
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

fn dated(since: Instant, now: Instant, date: Timestamp) -> Timestamp {
    let age = SignedDuration::try_from(now.saturating_duration_since(since)).unwrap_or_default();
    date.checked_sub(age).unwrap_or(Timestamp::MIN)
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

    fn look(answering_since: Instant, failures: u32) -> LookState {
        LookState {
            last_asked: answering_since,
            answering_since,
            every: Duration::from_secs(1800),
            failures,
        }
    }

    const A: &str = "https://charts.example.com/a";
    const B: &str = "https://charts.example.com/b/secret";
    const OLD: &str = "https://old.example.com";

    fn looks(of: &[(&str, LookState)]) -> BTreeMap<String, LookState> {
        of.iter()
            .map(|(url, look)| ((*url).to_owned(), *look))
            .collect()
    }

    #[test]
    fn the_oldest_answer_of_any_release_counts() {
        let trust = trust(TWO_RULES);
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut all = Looks::of(&trust);
        all.add(&judgement("in-house"), &looks(&[(A, look(at(50), 0))]));
        all.add(
            &judgement("in-house"),
            &looks(&[(A, look(at(70), 0)), (B, look(at(40), 3))]),
        );
        let date: Timestamp = "2026-11-22T00:01:40Z".parse().unwrap();
        let numbers = all.by_policy(&trust, |_| 7, at(100), date);
        assert_eq!(numbers.len(), 1);
        assert_eq!(numbers[0].interval, Duration::from_secs(1800));
        assert_eq!(numbers[0].stopped, 7);
        let oldest = "2026-11-22T00:00:40Z".parse().unwrap();
        assert_eq!(numbers[0].oldest_answer, Some(oldest));
        let end = "2026-12-15T00:00:00Z".parse().unwrap();
        assert_eq!(numbers[0].exceptions, [("hotfix".to_owned(), end)]);
    }

    #[test]
    fn sources_are_counted_by_host_and_nothing_else_of_them_is_told() {
        let trust = trust(TWO_RULES);
        let now = Instant::now();
        let mut all = Looks::of(&trust);
        assert_eq!(all.silent_by_host(), BTreeMap::new());
        for failures in [1, 2] {
            let looks = looks(&[(A, look(now, 0)), (B, look(now, failures))]);
            all.add(&judgement("in-house"), &looks);
        }
        let expected = BTreeMap::from([("charts.example.com".to_owned(), 1)]);
        assert_eq!(all.silent_by_host(), expected);
    }

    #[test]
    fn a_host_that_answers_is_zero() {
        let trust = trust(TWO_RULES);
        let mut all = Looks::of(&trust);
        all.add(
            &judgement("rest"),
            &looks(&[(OLD, look(Instant::now(), 0))]),
        );
        let expected = BTreeMap::from([("old.example.com".to_owned(), 0)]);
        assert_eq!(all.silent_by_host(), expected);
    }

    #[test]
    fn looks_at_sources_of_other_rules_are_history() {
        let trust = trust(TWO_RULES);
        let now = Instant::now();
        let mut all = Looks::of(&trust);
        all.add(&judgement("in-house"), &looks(&[(OLD, look(now, 9))]));
        assert_eq!(all.silent_by_host(), BTreeMap::new());
        assert_eq!(
            all.by_policy(&trust, |_| 0, now, Timestamp::MIN)[0].oldest_answer,
            None
        );
    }

    #[test]
    fn a_suspended_policy_is_not_stale() {
        let trust = trust(&TWO_RULES.replace("interval: 30m", "suspend: true"));
        let now = Instant::now();
        let mut all = Looks::of(&trust);
        all.add(&judgement("in-house"), &looks(&[(A, look(now, 9))]));
        assert_eq!(
            all.by_policy(&trust, |_| 0, now, Timestamp::MIN)[0].oldest_answer,
            None
        );
        assert_eq!(all.silent_by_host(), BTreeMap::new());
    }
}
