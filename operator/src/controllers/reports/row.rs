//! What is reported of one release. Touches nothing.

use std::collections::BTreeMap;

use charttrust_verify::verdict::{Cause, Class, Verdict};
use kube::{Resource as _, ResourceExt as _};
use serde::{Deserialize, Serialize};

use crate::api::conditions::{Condition, Status};
use crate::api::release_trust::PolicyVerdict;
use crate::api::{ReleaseTrust, bounds};

/// One result, in the form that both kinds have.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    #[serde(default)]
    category: Option<String>,
    #[serde(default)]
    message: String,
    policy: String,
    #[serde(default)]
    properties: BTreeMap<String, String>,
    #[serde(default)]
    resources: Vec<Reference>,
    pub(super) result: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    severity: Option<Severity>,
    #[serde(default)]
    source: String,
    #[serde(default)]
    timestamp: Option<Seconds>,
}

/// The object that a result is about.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    api_version: String,
    kind: String,
    name: String,
    namespace: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Seconds {
    nanos: i32,
    seconds: i64,
}

/// What a result says; that there is none is said of what nobody asked about.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// It could not be told.
    Error,
    /// It is not trusted.
    Fail,
    /// It is trusted.
    Pass,
    /// An exception forgives it.
    Skip,
    /// Nothing of ours says this.
    #[serde(other)]
    Other,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Critical,
    High,
    Info,
    Low,
    Medium,
    #[serde(other)]
    Other,
}

impl Row {
    /// The release that it is about.
    pub(super) fn release(&self) -> Option<&str> {
        self.resources.first().map(|one| one.name.as_str())
    }
}

/// What is reported of a release; `None` where no policy asks for anything, or none has judged yet.
pub(super) fn row(trust: &ReleaseTrust) -> Option<Row> {
    let said = trust.verdict()?;
    let (result, severity, class) = worth(said)?;
    let status = trust.status.as_ref()?;
    let decides = |one: &&PolicyVerdict| one.reason == said.reason;
    let policies = &status.policies;
    let policy = policies.iter().find(decides).or(policies.first());
    let reference = Reference {
        api_version: ReleaseTrust::api_version(&()).into_owned(),
        kind: ReleaseTrust::kind(&()).into_owned(),
        name: trust.name_any(),
        namespace: trust.namespace()?,
    };
    let release = status.release.iter();
    let chart = release.flat_map(|release| {
        let facts = [("chart", &release.chart), ("version", &release.version)];
        facts.map(|(name, fact)| (name.to_owned(), bounds::fit(fact, MOST_OF_FACT)))
    });
    let reason = ("reason".to_owned(), said.reason.clone());
    let row = Row {
        category: Some(class.to_owned()),
        message: match said.message.as_str() {
            "" => said.reason.clone(),
            message => format!("{}: {message}", said.reason),
        },
        policy: policy.map_or_else(|| SOURCE.to_owned(), |one| one.policy.clone()),
        properties: chart.chain([reason]).collect(),
        resources: vec![reference],
        result,
        rule: policy.and_then(|one| one.rule.clone()),
        severity,
        source: SOURCE.to_owned(),
        timestamp: Some(Seconds {
            nanos: 0,
            seconds: said.last_transition_time.0.as_second(),
        }),
    };
    Some(fitted(row))
}

/// How a verdict is called by others.
fn worth(said: &Condition) -> Option<(Outcome, Option<Severity>, &'static str)> {
    let verdict = Verdict::of_word(&said.reason);
    if verdict == Some(Verdict::Unknown(Cause::NoPolicy)) {
        return None;
    }
    let class = verdict.map_or_else(|| of_status(said.status), Verdict::class);
    Some(match class {
        Class::Badness => (Outcome::Fail, Some(Severity::Critical), "proof of badness"),
        Class::CouldNotTell => (Outcome::Error, Some(Severity::Low), "could not tell"),
        Class::Exempt => (Outcome::Skip, Some(Severity::Info), "forgiven"),
        Class::ProofMissing => (Outcome::Fail, Some(Severity::Medium), "proof missing"),
        Class::Tampering => (Outcome::Fail, Some(Severity::High), "signs of tampering"),
        Class::Trusted => (Outcome::Pass, None, "proof found"),
        Class::Unmanaged => return None,
    })
}

/// Of a word that a later version has written.
fn of_status(status: Status) -> Class {
    match status {
        Status::False => Class::ProofMissing,
        Status::True => Class::Trusted,
        Status::Unknown => Class::CouldNotTell,
    }
}

/// The same with a message that is cut where the row would be too long. The `ReleaseTrust` has all of it.
fn fitted(mut row: Row) -> Row {
    let length = serde_json::to_vec(&row).map_or(usize::MAX, |text| text.len());
    if let Some(over) = length.checked_sub(MOST).filter(|over| *over > 0) {
        let kept = row.message.len().saturating_sub(over);
        row.message = bounds::fit(&row.message, kept.max(LEAST_OF_MESSAGE));
    }
    row
}

/// Who says so.
pub(super) const SOURCE: &str = "charttrust";
/// Most bytes of a row, as JSON: thousands of them lie in etcd. One with names of hundreds of letters may have more.
const MOST: usize = 600;
/// What is left of a message in any case: the reason, and where to read on.
const LEAST_OF_MESSAGE: usize = 80;
/// Most bytes of a chart's name and of its version.
const MOST_OF_FACT: usize = 64;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(status: &str, reason: &str, message: &str) -> ReleaseTrust {
        serde_json::from_value(json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ReleaseTrust",
            "metadata": {"namespace": "shop", "name": "web"}, "spec": {},
            "status": {
                "release": {"revision": 1, "chart": "web", "version": "1.0.0", "owner": "Helm",
                    "resourceVersion": "1"},
                "conditions": [{"type": "Trusted", "status": status, "reason": reason, "message": message,
                    "observedGeneration": 1, "lastTransitionTime": "2026-11-18T10:00:00Z"}],
                "policies": [
                    {"policy": "first", "rule": "a", "verdict": "Trusted", "reason": "SignatureVerified"},
                    {"policy": "second", "rule": "b", "verdict": "Untrusted", "reason": reason},
                ],
            },
        }))
        .unwrap()
    }

    #[test]
    fn each_class_of_verdicts_has_its_word() {
        let fail = Some(Outcome::Fail);
        for (status, reason, expected, severity) in [
            ("True", "SignatureVerified", Some(Outcome::Pass), None),
            ("True", "Grandfathered", Some(Outcome::Pass), None),
            ("False", "KeyCompromised", fail, Some(Severity::Critical)),
            ("False", "ContentMismatch", fail, Some(Severity::High)),
            ("False", "Unsigned", fail, Some(Severity::Medium)),
            (
                "Unknown",
                "SourceUnavailable",
                Some(Outcome::Error),
                Some(Severity::Low),
            ),
            (
                "Unknown",
                "Pending",
                Some(Outcome::Error),
                Some(Severity::Low),
            ),
            (
                "Unknown",
                "Exempt",
                Some(Outcome::Skip),
                Some(Severity::Info),
            ),
            ("Unknown", "Unmanaged", None, None),
            ("Unknown", "NoPolicy", None, None),
            ("False", "OfALaterVersion", fail, Some(Severity::Medium)),
        ] {
            let row = row(&said(status, reason, ""));
            assert_eq!(row.as_ref().map(|row| row.result), expected, "{reason}");
            assert_eq!(row.and_then(|row| row.severity), severity, "{reason}");
        }
        assert_eq!(row(&ReleaseTrust::default()), None);
    }

    #[test]
    fn the_policy_that_decides_is_named_and_the_release() {
        let row = row(&said("False", "Unsigned", "no .prov")).unwrap();
        let told = serde_json::to_value(&row).unwrap();
        assert_eq!(
            told,
            json!({
                "category": "proof missing", "message": "Unsigned: no .prov", "policy": "second", "rule": "b",
                "properties": {"chart": "web", "reason": "Unsigned", "version": "1.0.0"},
                "resources": [{"apiVersion": "charttrust.io/v1alpha1", "kind": "ReleaseTrust", "name": "web",
                    "namespace": "shop"}],
                "result": "fail", "severity": "medium", "source": "charttrust",
                "timestamp": {"nanos": 0, "seconds": 1_794_996_000},
            })
        );
        assert_eq!(serde_json::from_value::<Row>(told).unwrap(), row);
    }

    #[test]
    fn a_row_is_at_most_600_bytes_and_never_loses_its_reason() {
        for message in ["x".repeat(512), "é\"".repeat(200), String::new()] {
            let row = row(&said("False", "Unsigned", &message)).unwrap();
            let length = serde_json::to_string(&row).unwrap().len();
            assert!(length <= MOST, "{length}");
            assert!(row.message.starts_with("Unsigned"), "{}", row.message);
        }
    }
}
