//! What is demanded of some charts.

use std::num::NonZeroU32;

use charttrust_verify::policy::{Dependencies, ExpiredKeys, Level, Pin, Rule, Signers, Verify};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::Problems;
use super::selector::selector;
use super::source::{TokenRule, sources};
use super::text::chart_globs;
use crate::api::chart_trust_policy as api;

/// The rules of a policy, in their order. What cannot be used is a problem.
pub(super) fn rules(
    all: &[api::Rule],
    tokens: &TokenRule<'_>,
    problems: &mut Problems,
) -> Vec<Rule> {
    problems.expect_some("spec.rules", all, "rule");
    problems.expect_unique("spec.rules", all.iter().map(|one| one.name.as_str()));
    let numbered = all.iter().enumerate();
    let mut rules: Vec<_> = numbered
        .map(|(index, one)| rule(&format!("spec.rules[{index}]"), one, tokens, problems))
        .collect();
    for (index, rule) in rules.iter_mut().enumerate() {
        // By rule, because a bad constraint in one of them says nothing about the charts of the
        // others.
        let within = format!("spec.rules[{index}].");
        let found = problems.found().iter();
        let own = found.filter(|problem| problem.path.starts_with(&within));
        let own: Vec<_> = own.cloned().collect();
        let summary = Problems::summary(&own);
        rule.problem = summary.map(|summary| format!("rule {}: {summary}", rule.name));
    }
    rules
}

fn rule(path: &str, rule: &api::Rule, tokens: &TokenRule<'_>, problems: &mut Problems) -> Rule {
    let versions = rule.versions.as_ref().map(|text| {
        text.parse()
            .map_err(|_| "is no version constraint, write it as Helm does: >=2.0.0 <4")
    });
    Rule {
        name: rule.name.clone(),
        charts: chart_globs(&format!("{path}.charts"), &rule.charts, problems),
        versions: versions.and_then(|read| problems.take(&format!("{path}.versions"), read)),
        sources: sources(&format!("{path}.sources"), rule, tokens, problems),
        verify: verify(&format!("{path}.verify"), &rule.verify, problems),
        pins: pins(&format!("{path}.digests"), &rule.digests, problems),
        problem: None,
    }
}

fn verify(path: &str, verify: &api::Verify, problems: &mut Problems) -> Verify {
    Verify {
        level: match verify.level {
            api::Level::None => Level::None,
            api::Level::Signature => Level::Signature,
            api::Level::Strict => Level::Strict,
        },
        signers: signers(&format!("{path}.signers"), &verify.signers, problems),
        expired_keys: match verify.expired_keys {
            api::ExpiredKeys::AcceptIfSignedBefore => ExpiredKeys::AcceptIfSignedBefore,
            api::ExpiredKeys::Reject => ExpiredKeys::Reject,
        },
        dependencies: match verify.dependencies {
            api::Dependencies::Inherit => Dependencies::Inherit,
            api::Dependencies::Verify => Dependencies::Verify,
        },
    }
}

fn signers(path: &str, signers: &api::Signers, problems: &mut Problems) -> Signers {
    let threshold = NonZeroU32::new(signers.threshold).unwrap_or_else(|| {
        problems.add(
            format!("{path}.threshold"),
            "is 0, at least one signer is needed",
        );
        // Not 0, which everybody would meet.
        NonZeroU32::MIN
    });
    let mut selected = |field: &str, labels: Option<&LabelSelector>| {
        labels.map(|labels| selector(&format!("{path}.{field}"), labels, problems))
    };
    Signers {
        keys: signers.keys.iter().cloned().collect(),
        selector: selected("keySelector", signers.key_selector.as_ref()),
        identities: signers.identities.iter().cloned().collect(),
        identity_selector: selected("identitySelector", signers.identity_selector.as_ref()),
        threshold,
    }
}

fn pins(path: &str, digests: &[api::PinnedDigest], problems: &mut Problems) -> Vec<Pin> {
    let numbered = digests.iter().enumerate();
    numbered
        .filter_map(|(index, one)| pin(&format!("{path}[{index}]"), one, problems))
        .collect()
}

fn pin(path: &str, pinned: &api::PinnedDigest, problems: &mut Problems) -> Option<Pin> {
    for (field, text) in [("chart", &pinned.chart), ("version", &pinned.version)] {
        // A pin is about bytes; one for several versions would be a rule without a signer.
        if text.is_empty() || text.contains(['*', '?']) {
            problems.add(
                format!("{path}.{field}"),
                "must name exactly one, write it out",
            );
        }
    }
    let digest = pinned.digest.parse().map_err(
        |_| "is no digest, write sha256: and the 64 lower-case digits that sha256sum prints",
    );
    let digest = problems.take(&format!("{path}.digest"), digest)?;
    Some(Pin {
        chart: pinned.chart.clone(),
        version: pinned.version.clone(),
        digest,
    })
}
