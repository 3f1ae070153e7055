//! What is stated of a release for programs of others: a Verification Summary Attestation of SLSA, in a statement
//! of in-toto. Touches nothing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::conditions::{ReleaseCondition, Status, find};
use crate::api::release_trust::{
    Binding, PolicyVerdict, Release, ReleaseTrustStatus, SourceEvidence,
};
use crate::inventory::ReleaseId;

/// What was found of the archive that a release is made of.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: Summary,
}

/// The archive, and the release that is made of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// The predicate, <https://slsa.dev/spec/v1.0/verification_summary>.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    verifier: Verifier,
    time_verified: Timestamp,
    resource_uri: String,
    policy: Place,
    verification_result: Outcome,
    verified_levels: Vec<String>,
    /// The word of the verdict. Others look over what they do not know.
    #[serde(rename = "https://charttrust.io/reason")]
    reason: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Verifier {
    id: String,
    #[serde(default)]
    version: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Place {
    uri: String,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Outcome {
    Failed,
    Passed,
}

impl Statement {
    /// What is stated of a release with this status, verified at an instant.
    ///
    /// `None` where the verdict is neither yes nor no: a summary knows nothing else. And `None` where nobody can say
    /// which archive it is about: there is none, sources have different ones, or the release is made of another.
    pub fn of(id: &ReleaseId, status: &ReleaseTrustStatus, now: Timestamp) -> Option<Self> {
        let said = find(&status.conditions, ReleaseCondition::Trusted)?;
        let outcome = match said.status {
            Status::False => Outcome::Failed,
            Status::True => Outcome::Passed,
            Status::Unknown => return None,
        };
        let release = status.release.as_ref()?;
        let (source, archive) = archive(status)?;
        let decides = |one: &&PolicyVerdict| one.reason == said.reason;
        let policy = status.policies.iter().find(decides)?;
        let levels = match outcome {
            Outcome::Failed => "FAILED".to_owned(),
            Outcome::Passed => format!("CHARTTRUST_{}", said.reason),
        };
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Some(Self {
            kind: "https://in-toto.io/Statement/v1".to_owned(),
            subject: vec![subject(id, release, archive)?],
            predicate_type: "https://slsa.dev/verification_summary/v1".to_owned(),
            predicate: Summary {
                verifier: Verifier {
                    id: "https://charttrust.io/operator".to_owned(),
                    version: [("charttrust".to_owned(), version)].into(),
                },
                time_verified: whole_seconds(now),
                resource_uri: package(release, &source.url),
                policy: Place { uri: place(policy) },
                verification_result: outcome,
                verified_levels: vec![levels],
                reason: said.reason.clone(),
            },
        })
    }

    /// The same, verified at an instant.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        self.predicate.time_verified = whole_seconds(now);
        self
    }

    /// Whether another states the same, whenever and by whichever version it was verified.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let (mut one, it) = (self.clone(), &other.predicate);
        one.predicate.time_verified = it.time_verified;
        one.predicate
            .verifier
            .version
            .clone_from(&it.verifier.version);
        one == *other
    }
}

/// Enough, and what every reader has.
fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// The one archive that a release is made of, as far as anybody can say, and a source that has it.
fn archive(status: &ReleaseTrustStatus) -> Option<(&SourceEvidence, &str)> {
    let all = status.evidence.iter().flat_map(|it| &it.sources);
    let own = all.filter(|source| source.binding != Some(Binding::Different));
    let known = own.filter_map(|source| Some((source, source.archive.as_deref()?)));
    let known: Vec<_> = known.collect();
    let digests: BTreeSet<_> = known.iter().map(|(_, archive)| archive).collect();
    known.first().copied().filter(|_| digests.len() == 1)
}

fn subject(id: &ReleaseId, release: &Release, archive: &str) -> Option<Subject> {
    let (algorithm, hex) = archive.split_once(':')?;
    let about = [
        (RELEASE, format!("{}/{}", id.namespace, id.name)),
        (REVISION, release.revision.to_string()),
    ];
    Some(Subject {
        name: format!("{}-{}.tgz", release.chart, release.version),
        digest: [(algorithm.to_owned(), hex.to_owned())].into(),
        annotations: about.map(|(name, text)| (name.to_owned(), text)).into(),
    })
}

const RELEASE: &str = "charttrust.io/release";
const REVISION: &str = "charttrust.io/revision";

/// A chart and where it comes from, as a package URL.
fn package(release: &Release, source: &str) -> String {
    let [chart, version] = [&release.chart, &release.version].map(|text| encoded(text));
    let source = encoded(source);
    format!("pkg:helm/{chart}@{version}?repository_url={source}")
}

fn place(policy: &PolicyVerdict) -> String {
    let name = encoded(&policy.policy);
    let rule = policy.rule.as_deref().map(encoded);
    let rule = rule.map_or_else(String::new, |rule| format!("#{rule}"));
    format!("https://charttrust.io/v1alpha1/charttrustpolicies/{name}{rule}")
}

/// A text as a part of an address (RFC 3986: all but the unreserved by their bytes).
fn encoded(text: &str) -> String {
    let letter = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(letter).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(in super::super) const NOW: &str = "2026-11-18T10:00:00Z";

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    pub(in super::super) fn web() -> ReleaseId {
        ReleaseId {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        }
    }

    /// A release that is trusted, and changes of that.
    pub(in super::super) fn status(changes: &Value) -> ReleaseTrustStatus {
        let mut status = json!({
            "release": {"revision": 7, "chart": "web", "version": "1.0.0+b", "owner": "Helm",
                "resourceVersion": "1"},
            "conditions": [{"type": "Trusted", "status": "True", "reason": "SignatureVerified", "message": "",
                "observedGeneration": 1, "lastTransitionTime": "2026-11-01T10:00:00Z"}],
            "policies": [
                {"policy": "first", "rule": "a", "verdict": "Trusted", "reason": "DigestPinned"},
                {"policy": "second", "rule": "b", "verdict": "Trusted", "reason": "SignatureVerified"},
            ],
            "evidence": {"content": "AAAA", "sources": [source("a", "Same")]},
        });
        json_patch::merge(&mut status, changes);
        serde_json::from_value(status).unwrap()
    }

    fn source(digit: &str, binding: &str) -> Value {
        let archive = format!("sha256:{}", digit.repeat(64));
        json!({"url": "https://charts.example.com", "archive": archive, "binding": binding})
    }

    fn said(status: &str, reason: &str) -> Value {
        json!({"conditions": [{"type": "Trusted", "status": status, "reason": reason, "message": "",
            "observedGeneration": 1, "lastTransitionTime": "2026-11-01T10:00:00Z"}],
            "policies": [{"policy": "second", "rule": "b", "verdict": "Unknown", "reason": reason}]})
    }

    fn stated(changes: &Value) -> Option<Value> {
        let statement = Statement::of(&web(), &status(changes), now())?;
        Some(serde_json::to_value(statement).unwrap())
    }

    /// Field by field as SLSA's page of version 1.0 has it.
    #[test]
    fn a_trusted_release_is_stated_as_slsa_has_it() {
        let expected = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{
                "name": "web-1.0.0+b.tgz",
                "digest": {"sha256": "a".repeat(64)},
                "annotations": {"charttrust.io/release": "shop/web", "charttrust.io/revision": "7"},
            }],
            "predicateType": "https://slsa.dev/verification_summary/v1",
            "predicate": {
                "verifier": {
                    "id": "https://charttrust.io/operator",
                    "version": {"charttrust": env!("CARGO_PKG_VERSION")},
                },
                "timeVerified": NOW,
                "resourceUri": "pkg:helm/web@1.0.0%2Bb?repository_url=https%3A%2F%2Fcharts.example.com",
                "policy": {"uri": "https://charttrust.io/v1alpha1/charttrustpolicies/second#b"},
                "verificationResult": "PASSED",
                "verifiedLevels": ["CHARTTRUST_SignatureVerified"],
                "https://charttrust.io/reason": "SignatureVerified",
            },
        });
        assert_eq!(stated(&json!({})), Some(expected));
        let failed = stated(&said("False", "KeyCompromised")).unwrap();
        assert_eq!(failed["predicate"]["verificationResult"], "FAILED");
        assert_eq!(failed["predicate"]["verifiedLevels"], json!(["FAILED"]));
    }

    #[test]
    fn nothing_is_stated_where_the_answer_is_neither_yes_nor_no() {
        for reason in [
            "Exempt",
            "NoPolicy",
            "Pending",
            "SourceUnavailable",
            "Unmanaged",
        ] {
            assert_eq!(stated(&said("Unknown", reason)), None, "{reason}");
        }
        assert_eq!(stated(&json!({"conditions": []})), None);
        assert_eq!(stated(&json!({"policies": []})), None, "nobody decides");
    }

    /// An honest archive is not called bad because a release is made of something else.
    #[test]
    fn nothing_is_stated_of_an_archive_of_which_nobody_can_say_that_it_is_the_one() {
        let sources = |all: Value| json!({"evidence": {"sources": all}});
        let (same, other) = (source("a", "Same"), source("b", "Same"));
        let different = source("b", "Different");
        let none = json!({"url": "https://other.example.com", "answer": "NotFound"});
        let is_stated = |all: Value| stated(&sources(all)).is_some();
        assert!(!is_stated(json!([])));
        assert!(!is_stated(json!([none])));
        assert!(!is_stated(json!([different])));
        assert!(!is_stated(json!([same, other])));
        assert!(is_stated(json!([same, same, none])));
        assert!(is_stated(json!([different, same])));
        assert!(is_stated(json!([source("a", "NoRecord")])));
        let mut uncompared = same.clone();
        uncompared.as_object_mut().unwrap().remove("binding");
        assert!(
            is_stated(json!([uncompared])),
            "nobody asked for a comparison"
        );
        assert_eq!(stated(&json!({"evidence": null})), None);
    }

    #[test]
    fn only_time_and_version_may_differ_in_what_is_the_same() {
        let one = Statement::of(&web(), &status(&json!({})), now()).unwrap();
        let mut later = one.clone();
        later.predicate.time_verified = Timestamp::UNIX_EPOCH;
        later.predicate.verifier.version = BTreeMap::new();
        assert!(one.says_the_same(&later) && later.says_the_same(&one));
        for changes in [
            json!({"release": {"revision": 8}}),
            json!({"release": {"version": "1.0.1"}}),
            json!({"evidence": {"sources": [source("b", "Same")]}}),
            said("False", "KeyCompromised"),
            said("True", "DigestPinned"),
        ] {
            let other = Statement::of(&web(), &status(&changes), now()).unwrap();
            assert!(!one.says_the_same(&other), "{changes}");
        }
        let other = ReleaseId {
            name: "forum".to_owned(),
            ..web()
        };
        let other = Statement::of(&other, &status(&json!({})), now()).unwrap();
        assert!(!one.says_the_same(&other));
    }

    /// Whoever names charts and rules may be a stranger.
    #[test]
    fn names_cannot_change_an_address() {
        let odd =
            json!({"release": {"chart": "a?b&repository_url=https://evil", "version": "1#2"}});
        let stated = stated(&odd).unwrap();
        let address = stated["predicate"]["resourceUri"].as_str().unwrap();
        assert!(
            address.ends_with("@1%232?repository_url=https%3A%2F%2Fcharts.example.com"),
            "{address}"
        );
        assert_eq!(
            address.matches(['?', '#', '&', '=']).count(),
            2,
            "{address}"
        );
    }
}
