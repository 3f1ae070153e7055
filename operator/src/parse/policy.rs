//! `ChartTrustPolicy` → the policy to judge by.

use std::collections::BTreeSet;
use std::time::Duration;

use charttrust_verify::policy::{Demands, Policy, Selection};
use charttrust_verify::verdict::{Class, Reason};
use kube::ResourceExt as _;

use super::exception::exceptions;
use super::rule::rules;
use super::selector::selector;
use super::source::TokenRule;
use super::text::release_globs;
use super::{Problem, Problems, duration};
use crate::api::ChartTrustPolicy;
use crate::api::chart_trust_policy::{
    Admission, Approval, Match, Mode, QuarantineLimit, QuarantineSpec,
};
use crate::api::quarantine_words::{FREEZE_WITHOUT_PAUSE, QuarantineAction};

/// A policy as it was read.
#[derive(Clone, Debug)]
pub struct LoadedPolicy {
    /// Generation of the object that was read.
    pub generation: i64,
    /// The policy to judge by. What cannot be used of it trusts nobody and forgives nothing.
    pub policy: Policy,
    /// How often sources are looked at again.
    pub interval: Duration,
    /// What it does at the door.
    pub door: DoorTerms,
    /// When and how releases are contained. `None` too for a policy with problems: what cannot be
    /// read contains nothing.
    pub quarantine: Option<QuarantineTerms>,
    /// What is wrong with the object; empty if nothing is.
    pub problems: Vec<Problem>,
}

impl LoadedPolicy {
    /// What it does at the door. One that is suspended does nothing: whoever suspends it wants it out of the way.
    pub fn mode(&self) -> Mode {
        if self.policy.suspended {
            Mode::Audit
        } else {
            self.door.mode
        }
    }
}

/// What a policy does while a release is being installed or upgraded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DoorTerms {
    /// Whether it refuses, warns, or does nothing.
    pub mode: Mode,
    /// What it does where it cannot tell.
    pub admission: Admission,
}

/// When and how a policy contains releases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineTerms {
    /// The verdicts that lead to it: proof of badness only.
    pub reasons: BTreeSet<Reason>,
    /// Who starts it.
    pub approval: Approval,
    /// What it does.
    pub actions: Vec<QuarantineAction>,
    /// How long the verdict must hold first.
    pub after: Duration,
    /// How many releases may be contained automatically.
    pub limit: QuarantineLimit,
}

/// Reads a policy. What a field that cannot be used is about is judged as if the policy trusted nobody,
/// never skipped: the charts of a rule, or everything that may be meant.
///
/// Which tokens the operator may send is not asked: that is for the operator to say ([`policy_by`]).
pub fn policy(object: &ChartTrustPolicy) -> LoadedPolicy {
    policy_by(object, &|_, _| Ok(()))
}

/// Reads a policy as an operator does, whose tokens go where the rule says and nowhere else.
pub fn policy_by(object: &ChartTrustPolicy, tokens: &TokenRule<'_>) -> LoadedPolicy {
    let spec = &object.spec;
    let mut problems = Problems::default();
    let interval = interval(&spec.interval, &mut problems);
    let selection = selection(&spec.selection, &mut problems);
    let rules = rules(&spec.rules, tokens, &mut problems);
    let exceptions = exceptions(&spec.exceptions, &mut problems);
    let quarantine = spec.quarantine.as_ref();
    let quarantine = quarantine.and_then(|spec| quarantine_terms(spec, &mut problems));
    let problems = problems.into_vec();
    let policy = Policy {
        name: object.name_any(),
        suspended: spec.suspend,
        selection,
        demands: Demands::Rules(rules),
        exceptions,
    };
    LoadedPolicy {
        generation: object.metadata.generation.unwrap_or_default(),
        policy: distrust(policy, &problems),
        interval,
        door: DoorTerms {
            mode: spec.mode,
            admission: spec.admission,
        },
        // Whatever the problem: a selection that was read wrongly must not stop somebody else's
        // workloads.
        quarantine: quarantine.filter(|_| problems.is_empty()),
        problems,
    }
}

/// The policy of an object that does not even have the form: it may have meant any release, so it
/// selects all of them, and trusts nobody.
pub fn unreadable_policy(name: &str, problem: &str) -> LoadedPolicy {
    let message = format!("cannot be read: {problem}, apply the object again");
    let problems = vec![Problem {
        path: "spec".to_owned(),
        message,
    }];
    let policy = Policy {
        name: name.to_owned(),
        suspended: false,
        selection: Selection::default(),
        demands: Demands::Rules(Vec::new()),
        exceptions: Vec::new(),
    };
    LoadedPolicy {
        generation: 0,
        policy: distrust(policy, &problems),
        interval: DEFAULT_INTERVAL,
        // Nobody knows which mode was meant: what cannot be read refuses nothing.
        door: DoorTerms::default(),
        quarantine: None,
        problems,
    }
}

/// A policy that does not say which releases or charts it is about demands what nobody can satisfy of
/// everything that it may have meant. Where only rules cannot be used, they say so themselves; what else
/// cannot be used gives no trust: no exception, no quarantine.
fn distrust(policy: Policy, problems: &[Problem]) -> Policy {
    let Some(problem) = Problems::summary(problems) else {
        return policy;
    };
    let is_selection = |problem: &Problem| problem.path.starts_with("spec.match");
    let is_whole = |problem: &Problem| {
        let is_list = ["spec", "spec.rules"].contains(&problem.path.as_str());
        is_list || is_selection(problem) || is_of_charts(&problem.path)
    };
    // Who meant to select less gets all distrusted until it is mended. The other way round a typo
    // would let releases run unchecked, and nobody would see it.
    let selection = if problems.iter().any(is_selection) {
        Selection::default()
    } else {
        policy.selection
    };
    let demands = if problems.iter().any(is_whole) {
        Demands::TrustNobody { problem }
    } else {
        policy.demands
    };
    Policy {
        selection,
        demands,
        exceptions: Vec::new(),
        ..policy
    }
}

/// Whether a field says which charts a rule is about.
fn is_of_charts(path: &str) -> bool {
    let rule = path.strip_prefix("spec.rules[");
    let field = rule.and_then(|rest| rest.split_once("]."));
    field.is_some_and(|(_, field)| field.starts_with("charts"))
}

fn interval(text: &str, problems: &mut Problems) -> Duration {
    let read = problems.take("spec.interval", duration(text));
    if read.is_some_and(|interval| interval < LEAST_INTERVAL) {
        problems.add(
            "spec.interval",
            "is shorter than 1s, write a longer one, for example 1h",
        );
    }
    // Judged on all the same: how often to look says nothing about whom to trust.
    read.map_or(DEFAULT_INTERVAL, |interval| interval.max(LEAST_INTERVAL))
}

fn selection(matched: &Match, problems: &mut Problems) -> Selection {
    let namespaces = matched.namespace_selector.as_ref();
    let read = |labels| selector("spec.match.namespaceSelector", labels, problems);
    Selection {
        namespaces: namespaces.map(read),
        excluded_namespaces: matched.exclude_namespaces.iter().cloned().collect(),
        releases: release_globs("spec.match.releases", &matched.releases, problems),
    }
}

fn quarantine_terms(
    quarantine: &QuarantineSpec,
    problems: &mut Problems,
) -> Option<QuarantineTerms> {
    check_quarantine(quarantine, problems);
    let after = problems.take("spec.quarantine.after", duration(&quarantine.after));
    Some(QuarantineTerms {
        reasons: quarantine.on_reasons.iter().copied().collect(),
        approval: quarantine.approval,
        actions: quarantine.actions.clone(),
        after: after?,
        limit: quarantine.limit.clone(),
    })
}

fn check_quarantine(quarantine: &QuarantineSpec, problems: &mut Problems) {
    let reasons = &quarantine.on_reasons;
    problems.expect_some(
        "spec.quarantine.onReasons",
        reasons,
        &format!("of {}", Class::Badness.listed()),
    );
    if reasons
        .iter()
        .any(|reason| reason.class() != Class::Badness)
    {
        let message = format!(
            "may name {} only: nothing else is proof of badness",
            Class::Badness.listed()
        );
        problems.add("spec.quarantine.onReasons", message);
    }
    problems.expect_some("spec.quarantine.actions", &quarantine.actions, "action");
    if QuarantineAction::freezes_without_pause(&quarantine.actions) {
        problems.add("spec.quarantine.actions", FREEZE_WITHOUT_PAUSE);
    }
    let percent = "spec.quarantine.limit.maxPercent";
    if !(1..=100).contains(&quarantine.limit.max_percent) {
        problems.add(percent, "is no percentage, write a number from 1 to 100");
    }
    let QuarantineLimit {
        max_releases,
        max_per_namespace,
        ..
    } = quarantine.limit;
    for (number, name) in [
        (max_releases, "maxReleases"),
        (max_per_namespace, "maxPerNamespace"),
    ] {
        if number == 0 {
            let path = format!("spec.quarantine.limit.{name}");
            problems.add(&path, "is 0, leave quarantine out instead");
        }
    }
}

/// Least time between two looks at a source.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// The schema's default.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use charttrust_verify::policy::ReleaseRef;

    use super::*;

    const GOOD: &str = r#"
apiVersion: charttrust.io/v1alpha1
kind: ChartTrustPolicy
metadata: {name: platform, generation: 3}
spec:
  interval: 30m
  match: {excludeNamespaces: [kube-system], releases: ["shop/*"]}
  rules:
    - name: in-house
      charts: ["payments", "shop-*"]
      versions: ">=2.0.0"
      sources: [{url: "https://charts.example.com"}]
      verify: {signers: {keys: [platform-2026], keySelector: {matchLabels: {team: a}}}}
      digests:
        - chart: payments
          version: 2.4.1
          digest: sha256:0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0
  exceptions:
    - name: one
      releases: ["shop/payments"]
      reasons: [Unsigned]
      expiresAt: "2026-12-15T00:00:00Z"
      justification: broken
  quarantine: {onReasons: [KeyRevoked], actions: [ScaleToZero]}
"#;

    fn good() -> ChartTrustPolicy {
        serde_saphyr::from_str(GOOD).unwrap()
    }

    /// One good base, one change, the paths that are named.
    fn paths(change: impl FnOnce(&mut ChartTrustPolicy)) -> Vec<String> {
        let mut object = good();
        change(&mut object);
        let loaded = policy(&object);
        assert!(loaded.policy.exceptions.is_empty(), "forgives nothing");
        assert_eq!(loaded.quarantine, None);
        loaded
            .problems
            .into_iter()
            .map(|problem| problem.path)
            .collect()
    }

    #[test]
    fn a_good_policy_is_read_whole() {
        let loaded = policy(&good());
        assert_eq!(loaded.problems, []);
        assert_eq!(loaded.generation, 3);
        assert_eq!(loaded.interval, Duration::from_secs(30 * 60));
        assert_eq!(loaded.policy.exceptions.len(), 1);
        let Demands::Rules(rules) = &loaded.policy.demands else {
            panic!("no rules")
        };
        assert!(rules[0].covers("shop-web"));
        assert!(rules[0].verify.signers.keys.contains("platform-2026"));
        assert_eq!(rules[0].pins.len(), 1);
        assert_eq!(rules[0].sources.len(), 1);
        let terms = loaded.quarantine.unwrap();
        assert_eq!(terms.reasons, BTreeSet::from([Reason::KeyRevoked]));
        assert_eq!(terms.approval, Approval::Manual);
        assert_eq!(terms.actions, [QuarantineAction::ScaleToZero]);
        assert_eq!(terms.after, Duration::from_secs(300));
        assert_eq!(terms.limit, QuarantineLimit::default());
    }

    #[test]
    fn a_policy_with_a_problem_contains_nothing() {
        let mut object = good();
        object.spec.interval = "often".to_owned();
        assert_eq!(policy(&object).quarantine, None);
        let mut object = good();
        object.spec.quarantine = None;
        assert_eq!(policy(&object).quarantine, None);
    }

    #[test]
    fn every_unusable_field_is_named() {
        let at = |path: &str, change: fn(&mut ChartTrustPolicy)| {
            assert_eq!(paths(change), [path]);
        };
        at("spec.interval", |p| p.spec.interval = "1".to_owned());
        at("spec.interval", |p| p.spec.interval = "999ms".to_owned());
        at("spec.match.releases[0]", |p| {
            p.spec.selection.releases = vec!["a/b/c".to_owned()];
        });
        at("spec.match.releases", |p| p.spec.selection.releases.clear());
        at("spec.match.namespaceSelector.matchExpressions[0]", |p| {
            let selector = "{matchExpressions: [{key: a, operator: In}]}";
            p.spec.selection.namespace_selector = Some(serde_saphyr::from_str(selector).unwrap());
        });
    }

    #[test]
    fn every_unusable_field_of_a_rule_is_named() {
        let at = |path: &str, change: fn(&mut ChartTrustPolicy)| {
            assert_eq!(paths(change), [path]);
        };
        at("spec.rules", |p| p.spec.rules.clear());
        at("spec.rules[1].name", |p| {
            p.spec.rules.push(p.spec.rules[0].clone());
        });
        at("spec.rules[0].charts", |p| p.spec.rules[0].charts.clear());
        at("spec.rules[0].charts[1]", |p| {
            p.spec.rules[0].charts[1] = "a/b".to_owned();
        });
        at("spec.rules[0].versions", |p| {
            p.spec.rules[0].versions = Some(">=two".to_owned());
        });
        at("spec.rules[0].sources[0].url", |p| {
            p.spec.rules[0].sources[0].url = "ftp://a".to_owned();
        });
        at("spec.rules[0].sources[0].mirrors[0]", |p| {
            p.spec.rules[0].sources[0]
                .mirrors
                .push("https://me@a".to_owned());
        });
        at("spec.rules[0].verify.signers.threshold", |p| {
            p.spec.rules[0].verify.signers.threshold = 0;
        });
        at(
            "spec.rules[0].verify.signers.keySelector.matchExpressions[0]",
            |p| {
                let selector = "{matchExpressions: [{key: a, operator: Near}]}";
                let selector = serde_saphyr::from_str(selector).unwrap();
                p.spec.rules[0].verify.signers.key_selector = Some(selector);
            },
        );
        at("spec.rules[0].digests[0].digest", |p| {
            p.spec.rules[0].digests[0].digest = "sha256:00".to_owned();
        });
        at("spec.rules[0].digests[0].chart", |p| {
            p.spec.rules[0].digests[0].chart = "shop-*".to_owned();
        });
    }

    #[test]
    fn every_unusable_field_of_an_exception_or_quarantine_is_named() {
        let at = |path: &str, change: fn(&mut ChartTrustPolicy)| {
            assert_eq!(paths(change), [path]);
        };
        at("spec.exceptions[1].name", |p| {
            p.spec.exceptions.push(p.spec.exceptions[0].clone());
        });
        at("spec.exceptions[0].releases", |p| {
            p.spec.exceptions[0].releases.clear();
        });
        at("spec.exceptions[0].reasons", |p| {
            p.spec.exceptions[0].reasons.clear();
        });
        at("spec.exceptions[0].expiresAt", |p| {
            p.spec.exceptions[0].expires_at = "2026-12-15".to_owned();
        });
        at("spec.exceptions[0].justification", |p| {
            p.spec.exceptions[0].justification = " ".to_owned();
        });
        at("spec.quarantine.onReasons", |p| {
            quarantine(p).on_reasons.clear();
        });
        at("spec.quarantine.onReasons", |p| {
            quarantine(p).on_reasons.push(Reason::ContentMismatch);
        });
        at("spec.quarantine.actions", |p| quarantine(p).actions.clear());
        at("spec.quarantine.after", |p| {
            quarantine(p).after = "soon".to_owned();
        });
        at("spec.quarantine.limit.maxPercent", |p| {
            quarantine(p).limit.max_percent = 101;
        });
        at("spec.quarantine.limit.maxReleases", |p| {
            quarantine(p).limit.max_releases = 0;
        });
        at("spec.quarantine.limit.maxPerNamespace", |p| {
            quarantine(p).limit.max_per_namespace = 0;
        });
    }

    fn quarantine(object: &mut ChartTrustPolicy) -> &mut QuarantineSpec {
        object.spec.quarantine.as_mut().unwrap()
    }

    #[test]
    fn all_problems_are_named_at_once() {
        let paths = paths(|p| {
            p.spec.interval = "often".to_owned();
            p.spec.rules[0].versions = Some("new".to_owned());
            p.spec.exceptions[0].expires_at = "never".to_owned();
        });
        assert_eq!(
            paths,
            [
                "spec.interval",
                "spec.rules[0].versions",
                "spec.exceptions[0].expiresAt"
            ]
        );
    }

    /// Whether a release of the chart could be trusted: `None` if no rule is about it.
    fn judges(loaded: &LoadedPolicy, chart: &str) -> Option<bool> {
        let rule = loaded.policy.rule_for(&release("shop", "any"), chart);
        rule.map(|rule| rule.is_ok())
    }

    #[test]
    fn only_what_the_unusable_rule_is_about_trusts_nobody() {
        let unusable = |change: fn(&mut ChartTrustPolicy)| {
            let mut object = good();
            object.spec.selection = Match::default();
            let mut other = object.spec.rules[0].clone();
            other.name = "other".to_owned();
            other.charts = vec!["*".to_owned()];
            object.spec.rules.push(other);
            change(&mut object);
            let loaded = policy(&object);
            assert_eq!(loaded.problems.len(), 1, "{:?}", loaded.problems);
            ["shop-web", "elsewhere"].map(|chart| judges(&loaded, chart).unwrap())
        };
        let first = |p: &mut ChartTrustPolicy| p.spec.rules[0].versions = Some("new".to_owned());
        assert_eq!(unusable(first), [false, true]);
        let second = |p: &mut ChartTrustPolicy| p.spec.rules[1].verify.signers.threshold = 0;
        assert_eq!(unusable(second), [true, false]);
        let charts = |p: &mut ChartTrustPolicy| p.spec.rules[1].charts.push("a/b".to_owned());
        assert_eq!(unusable(charts), [false, false]);
        let matched = |p: &mut ChartTrustPolicy| p.spec.selection.releases = vec![String::new()];
        assert_eq!(unusable(matched), [false, false]);
        let elsewhere = |p: &mut ChartTrustPolicy| p.spec.interval = "often".to_owned();
        assert_eq!(unusable(elsewhere), [true, true]);
        let exception = |p: &mut ChartTrustPolicy| p.spec.exceptions[0].reasons.clear();
        assert_eq!(unusable(exception), [true, true]);
    }

    #[test]
    fn a_token_that_may_not_be_sent_makes_its_rule_unusable() {
        let mut object = good();
        let source = serde_json::json!({
            "url": "https://charts.example.com", "kubernetesToken": {"audience": "charts.test"},
        });
        object.spec.rules[0].sources = vec![serde_json::from_value(source).unwrap()];
        assert_eq!(policy(&object).problems, []);
        let asked = std::cell::RefCell::new(Vec::new());
        let loaded = policy_by(&object, &|url, audience| {
            asked
                .borrow_mut()
                .push((url.to_owned(), audience.to_owned()));
            Err("is not paired".to_owned())
        });
        let expected = (
            "https://charts.example.com".to_owned(),
            "charts.test".to_owned(),
        );
        assert_eq!(asked.into_inner(), [expected]);
        let path = "spec.rules[0].sources[0].kubernetesToken.audience";
        assert_eq!(loaded.problems[0].path, path);
        let rule = loaded.policy.rule_for(&release("shop", "any"), "shop-web");
        assert!(rule.is_some_and(|rule| rule.is_err()), "it trusts nobody");
        let named = serde_json::from_value(serde_json::json!({"name": "login"})).unwrap();
        object.spec.rules[0].sources[0].credentials_secret_ref = Some(named);
        assert!(policy(&object).problems[0].message.contains("instead of"));
    }

    #[test]
    fn the_problem_names_rule_and_field() {
        let mut object = good();
        object.spec.rules[0].versions = Some("new".to_owned());
        let loaded = policy(&object);
        let problem = loaded.policy.rule_for(&release("shop", "any"), "shop-web");
        let problem = problem.unwrap().unwrap_err();
        assert!(
            problem.starts_with("rule in-house: spec.rules[0].versions: "),
            "{problem}"
        );
    }

    #[test]
    fn a_problem_outside_match_keeps_the_selection_and_forgives_nothing() {
        let mut object = good();
        object.spec.rules[0].versions = Some("new".to_owned());
        let policy = policy(&object).policy;
        assert!(policy.exceptions.is_empty());
        assert!(policy.selection.selects(&release("shop", "payments")));
        assert!(!policy.selection.selects(&release("bank", "payments")));
    }

    #[test]
    fn a_policy_that_cannot_tell_whom_it_means_means_everybody() {
        let mut object = good();
        object.spec.selection.releases = vec![String::new()];
        assert!(
            policy(&object)
                .policy
                .selection
                .selects(&release("kube-system", "any"))
        );
        let unreadable = unreadable_policy("platform", "spec.rules: missing field");
        assert!(
            unreadable
                .policy
                .selection
                .selects(&release("kube-system", "any"))
        );
        assert!(matches!(
            unreadable.policy.demands,
            Demands::TrustNobody { .. }
        ));
    }

    fn release<'a>(namespace: &'a str, name: &'a str) -> ReleaseRef<'a> {
        ReleaseRef {
            namespace,
            namespace_labels: None,
            name,
        }
    }
}
