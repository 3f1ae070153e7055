//! What a policy asks of one archive: by the very functions that the engine judges with. Touches nothing.

use charttrust_verify::chart::Chart;
use charttrust_verify::policy::{Demands, Dependencies, Level, Policy, Rule, Signers};
use charttrust_verify::verdict::{Basis, Cause, Reason, Verdict};
use serde::Serialize;

/// The rule that decides for an archive, and what comes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Decision {
    /// Name in the archive's Chart.yaml.
    pub(super) chart: String,
    /// Version there.
    pub(super) version: String,
    /// sha256 of the archive.
    pub(super) digest: String,
    /// The rule; none matches if it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<String>,
    /// Later rules that match as well, and are not asked.
    pub(super) hidden: Vec<String>,
    /// What the rule asks for, or why it cannot be satisfied, for people.
    pub(super) asks: String,
    /// The verdict that follows already, whoever has signed; absent if the signatures decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<&'static str>,
    /// The same for the exit code.
    #[serde(skip)]
    pub(super) settled: Option<Verdict>,
}

impl Decision {
    /// What a policy says of an archive.
    pub(super) fn of(policy: &Policy, chart: &Chart) -> Self {
        let (name, version) = (&chart.metadata.name, &chart.metadata.version);
        let rules = match &policy.demands {
            Demands::Rules(rules) => rules.as_slice(),
            Demands::TrustNobody { .. } => &[],
        };
        let mut matching = rules.iter().filter(|rule| rule.covers(name));
        let deciding = matching.next();
        let (asks, settled) = match deciding {
            None => (
                format!("no rule of policy {} is about this chart", policy.name),
                Some(Verdict::Unknown(Cause::NoPolicy)),
            ),
            Some(rule) => asked(rule, chart),
        };
        Self {
            chart: name.clone(),
            version: version.clone(),
            digest: chart.digest.to_string(),
            rule: deciding.map(|rule| rule.name.clone()),
            hidden: matching.map(|rule| rule.name.clone()).collect(),
            asks,
            verdict: settled.map(Verdict::word),
            settled,
        }
    }
}

/// What a rule asks of an archive, and the verdict if signatures change nothing.
fn asked(rule: &Rule, chart: &Chart) -> (String, Option<Verdict>) {
    let (name, version) = (&chart.metadata.name, &chart.metadata.version);
    let no = |reason, why: String| (why, Some(Verdict::Untrusted(reason)));
    if rule.verify.level == Level::None {
        let nothing = "nothing, on purpose: level None".to_owned();
        return (nothing, Some(Verdict::Unknown(Cause::Unmanaged)));
    }
    if !rule.allows_version(version) {
        return no(
            Reason::VersionNotAllowed,
            format!("version {version} is outside `versions` of the rule"),
        );
    }
    let has_parts = rule.verify.dependencies == Dependencies::Verify && !chart.subcharts.is_empty();
    let parts = if has_parts {
        "; each subchart must be signed too, in its own repository"
    } else {
        ""
    };
    if rule.pins(name, version, &chart.digest) {
        let pinned = Verdict::Trusted(Basis::DigestPinned);
        let why = format!("pinned: nobody need have signed it, unless a revoked key has{parts}");
        return (why, (!has_parts).then_some(pinned));
    }
    let pins = rule.pins.iter();
    let others = pins.filter(|pin| pin.chart == *name && pin.version == *version);
    let others: Vec<_> = others.map(|pin| pin.digest.to_string()).collect();
    let otherwise = if others.is_empty() {
        String::new()
    } else {
        let others = others.join(", ");
        format!("; another archive of this version is pinned: {others}")
    };
    match signers(&rule.verify.signers) {
        Ok(signers) => (
            format!("{}: {signers}{otherwise}{parts}", level(rule)),
            None,
        ),
        Err(why) => no(Reason::SignerNotTrusted, format!("{why}{otherwise}")),
    }
}

fn level(rule: &Rule) -> &'static str {
    match rule.verify.level {
        Level::None => "None",
        Level::Signature => "Signature",
        Level::Strict => "Strict",
    }
}

/// Who must have signed; or why nobody can.
fn signers(signers: &Signers) -> Result<String, String> {
    let threshold = signers.threshold.get();
    let listed = signers.keys.len();
    let names: Vec<_> = signers.keys.iter().map(String::as_str).collect();
    let names = names.join(", ");
    if signers.selector.is_some() {
        let or = if names.is_empty() {
            String::new()
        } else {
            format!("{names}, or ")
        };
        return Ok(format!(
            "{threshold} signature(s) by {or}keys that keySelector selects in the cluster"
        ));
    }
    match u32::try_from(listed) {
        Ok(0) => Err("the rule lists no signer, and does not pin this archive".to_owned()),
        Ok(listed) if listed < threshold => Err(format!(
            "the rule asks for {threshold} signers, and lists {listed}: {names}"
        )),
        Ok(1) => Ok(format!("signed by {names}")),
        Ok(_) | Err(_) => Ok(format!("signed by {threshold} of {names}")),
    }
}

#[cfg(test)]
mod tests {
    use charttrust_verify::chart;
    use charttrust_verify::limits::ArchiveLimits;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::ChartTrustPolicy;
    use crate::parse;

    /// hashtest 1.2.3.
    fn archive() -> Chart {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/verify/tests/data/hashtest-1.2.3.tgz"
        );
        chart::read(&std::fs::read(path).unwrap(), &ArchiveLimits::default()).unwrap()
    }

    fn policy(rules: &Value) -> Policy {
        let object = json!({"apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
            "metadata": {"name": "platform"}, "spec": {"rules": rules}});
        let object: ChartTrustPolicy = serde_json::from_value(object).unwrap();
        let parsed = parse::policy(&object);
        assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
        parsed.policy
    }

    /// What comes of a rule about the chart with more fields.
    fn decided(more: &Value) -> Decision {
        let mut rule = json!({"name": "in-house", "charts": ["hash*"],
            "verify": {"signers": {"keys": ["a"]}}});
        json_patch::merge(&mut rule, more);
        Decision::of(&policy(&json!([rule])), &archive())
    }

    #[test]
    fn the_first_rule_that_matches_decides_and_the_others_are_named() {
        let rule = |name: &str, charts: &str| json!({"name": name, "charts": [charts]});
        let rules = json!([
            rule("other", "x*"),
            rule("first", "hashtest"),
            rule("rest", "*")
        ]);
        let decision = Decision::of(&policy(&rules), &archive());
        assert_eq!(decision.rule.as_deref(), Some("first"));
        assert_eq!(decision.hidden, ["rest"]);
        let none = Decision::of(&policy(&json!([rule("other", "x*")])), &archive());
        assert_eq!((none.rule, none.verdict), (None, Some("NoPolicy")));
        assert!(
            none.asks.contains("no rule of policy platform"),
            "{}",
            none.asks
        );
    }

    #[track_caller]
    fn comes(more: &Value, verdict: Option<&str>, part: &str) {
        let decision = decided(more);
        assert_eq!(decision.verdict, verdict, "{more}: {decision:?}");
        assert!(decision.asks.contains(part), "{more}: {decision:?}");
    }

    #[test]
    fn what_signatures_cannot_change_is_settled() {
        let signers = |signers: Value| json!({"verify": {"signers": signers}});
        let nobody = Some("SignerNotTrusted");
        for (more, verdict, part) in [
            (json!({}), None, "Strict: signed by a"),
            (json!({"versions": ">=1.0.0"}), None, "signed by a"),
            (
                json!({"versions": ">=2.0.0"}),
                Some("VersionNotAllowed"),
                "version 1.2.3 is outside",
            ),
            (
                json!({"verify": {"level": "None"}}),
                Some("Unmanaged"),
                "on purpose",
            ),
            (
                json!({"verify": {"level": "Signature"}}),
                None,
                "Signature: signed by a",
            ),
            (signers(json!({"keys": []})), nobody, "no signer"),
            (
                signers(json!({"threshold": 2})),
                nobody,
                "asks for 2 signers, and lists 1: a",
            ),
            (
                signers(json!({"keys": ["a", "b"], "threshold": 2})),
                None,
                "signed by 2 of a, b",
            ),
            (
                signers(json!({"keySelector": {"matchLabels": {"team": "x"}}})),
                None,
                "by a, or keys that keySelector selects",
            ),
        ] {
            comes(&more, verdict, part);
        }
    }

    #[test]
    fn a_pin_excuses_a_missing_signature_and_nothing_else() {
        let own = archive().digest.to_string();
        let other = format!("sha256:{}", "0".repeat(64));
        let pin =
            |digest: &str| json!([{"chart": "hashtest", "version": "1.2.3", "digest": digest}]);
        let both = json!({"digests": pin(&own), "versions": ">=2.0.0"});
        comes(
            &json!({"digests": pin(&own)}),
            Some("DigestPinned"),
            "pinned",
        );
        comes(
            &json!({"digests": pin(&other)}),
            None,
            "another archive of this version is pinned: sha256:000",
        );
        comes(&both, Some("VersionNotAllowed"), "outside");
    }
}
