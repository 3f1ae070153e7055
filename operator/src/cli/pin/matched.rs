//! Which archive a release is made of, as the operator has found it; and why one is not pinned. Touches
//! nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use charttrust_verify::openpgp::Code;
use charttrust_verify::sigstore::{self as engine, Said};
use charttrust_verify::verdict::{Basis, Cause, Class, Reason, Verdict};
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::api::chart_trust_policy::PinnedDigest;
use crate::api::release_trust::{
    Binding, Driver, Evidence, Mirrored, Release, ReleaseTrustStatus, Signer, SourceAnswer,
    SourceEvidence,
};
use crate::api::trusted_key::{KeyState, RevocationReason};
use crate::api::{ChartTrustPolicy, ReleaseTrust, TrustedKey};
use crate::cli::sigstore;
use crate::clock;
use crate::controllers::stated;

/// What else is declared: nothing is pinned against it.
#[derive(Debug, Default)]
pub(in crate::cli) struct Declared {
    pub(in crate::cli) policies: Vec<ChartTrustPolicy>,
    pub(in crate::cli) keys: Vec<TrustedKey>,
    pub(in crate::cli) identities: Vec<sigstore::Declared>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Wish<'a> {
    /// Only what this policy decides about.
    pub(in crate::cli) policy: Option<&'a str>,
    /// Whether somebody has named the releases: then what needs no pin gets one too.
    pub(in crate::cli) is_named: bool,
}

/// A release with the archive that it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Matched {
    /// Namespace and name.
    pub(in crate::cli) release: String,
    /// The source that has the archive.
    pub(in crate::cli) source: String,
    /// The archive.
    pub(in crate::cli) pin: PinnedDigest,
    /// The rules that decide, by policy.
    pub(in crate::cli) rules: BTreeMap<String, String>,
    /// What was not checked, or was found besides.
    pub(in crate::cli) notes: Vec<String>,
}

/// A release that is not pinned, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Left {
    /// It needs none.
    Aside { release: String, why: String },
    /// Because of what was found.
    Known { release: String, why: String },
    /// It could not be found out.
    Unclear { release: String, why: String },
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aside { release, why } => write!(f, "{release}: needs no pin: {why}"),
            Self::Known { release, why } | Self::Unclear { release, why } => {
                write!(f, "{release}: not pinned: {why}")
            }
        }
    }
}

/// Why a release is not pinned, before it is named.
enum Why {
    Aside(String),
    Known(String),
    Unclear(String),
}

impl Why {
    fn of(self, release: String) -> Left {
        match self {
            Self::Aside(why) => Left::Aside { release, why },
            Self::Known(why) => Left::Known { release, why },
            Self::Unclear(why) => Left::Unclear { release, why },
        }
    }
}

/// Which of the releases are made of a known archive, and why the others are left.
pub(in crate::cli) fn sorted(
    trusts: &[ReleaseTrust],
    declared: &Declared,
    wish: Wish<'_>,
) -> (Vec<Matched>, Vec<Left>) {
    let (mut matched, mut left) = (Vec::new(), Vec::new());
    for trust in trusts.iter().filter(|trust| is_meant(trust, wish)) {
        let release = format!(
            "{}/{}",
            trust.namespace().unwrap_or_default(),
            trust.name_any()
        );
        match archive_of(trust, declared, wish) {
            Ok((pin, source, notes)) => matched.push(Matched {
                release,
                source,
                pin,
                rules: rules(trust),
                notes,
            }),
            Err(why) => left.push(why.of(release)),
        }
    }
    let (matched, contested) = without_contested(matched);
    left.extend(contested);
    left.sort_by_key(ToString::to_string);
    (matched, left)
}

/// Whether the policy that is asked for decides about it; what somebody names is never passed over.
fn is_meant(trust: &ReleaseTrust, wish: Wish<'_>) -> bool {
    let decides = |policy: &str| rules(trust).contains_key(policy);
    wish.is_named || wish.policy.is_none_or(decides)
}

/// The rules that decide about a release, by policy.
fn rules(trust: &ReleaseTrust) -> BTreeMap<String, String> {
    let policies = trust.status.iter().flat_map(|status| &status.policies);
    policies
        .filter_map(|one| Some((one.policy.clone(), one.rule.clone()?)))
        .collect()
}

/// The archive, its source, and what is to be said of it.
fn archive_of(
    trust: &ReleaseTrust,
    declared: &Declared,
    wish: Wish<'_>,
) -> Result<(PinnedDigest, String, Vec<String>), Why> {
    let none = || Why::Unclear("it was not judged yet: charttrust status tells when it was".into());
    let status = trust.status.as_ref().ok_or_else(none)?;
    let said = trust.verdict().ok_or_else(none)?;
    let release = status.release.as_ref().ok_or_else(none)?;
    if !wish.is_named {
        needs_one(&said.reason)?;
    }
    is_not_bad(status, declared)?;
    is_not_by_a_revoked_key(status, &declared.keys)?;
    is_not_by_a_revoked_identity(status, &declared.identities, clock::now())?;
    if let Some(policy) = wish.policy
        && !rules(trust).contains_key(policy)
    {
        let why = format!("no rule of policy {policy} decides about it");
        return Err(Why::Unclear(why));
    }
    let unmatched = || {
        let why = match said.message.as_str() {
            "" => said.reason.clone(),
            message => format!("{}: {message}", said.reason),
        };
        match Verdict::of_word(&said.reason) {
            Some(Verdict::Untrusted(_)) => Why::Known(why),
            Some(_) | None => Why::Unclear(why),
        }
    };
    let evidence = status.evidence.as_ref().ok_or_else(unmatched)?;
    let source = same(status, evidence, release).map_err(|why| why.unwrap_or_else(unmatched))?;
    let pin = PinnedDigest {
        chart: release.chart.clone(),
        version: release.version.clone(),
        digest: source.archive.clone().ok_or_else(unmatched)?,
    };
    is_not_pinned_otherwise(&pin, &declared.policies)?;
    let mut notes = notes(evidence, source);
    if source.binding == Some(Binding::NoRecord) {
        let note = "what runs was not compared with it: Argo CD keeps no record";
        notes.push(note.to_owned());
    }
    Ok((pin, source.url.clone(), notes))
}

/// A signature says more than a pin: who vouches, and for every later version too. And a pin would hide
/// that it is gone.
fn needs_one(word: &str) -> Result<(), Why> {
    let aside = |why: String| Err(Why::Aside(why));
    match Verdict::of_word(word) {
        Some(Verdict::Trusted(basis)) if basis != Basis::DigestPinned => aside(format!(
            "it is signed ({basis}); name it to pin it all the same"
        )),
        Some(Verdict::Unknown(Cause::Unmanaged)) => {
            aside(format!("{}: its rule asks for nothing", Cause::Unmanaged))
        }
        Some(_) | None => Ok(()),
    }
}

/// Nothing that was found about it is proof of badness or a sign of tampering, whatever policy found it, and
/// whatever an exception forgives.
fn is_not_bad(status: &ReleaseTrustStatus, declared: &Declared) -> Result<(), Why> {
    let of_policies = status.policies.iter().map(|one| one.reason.as_str());
    let of_findings = status.findings.iter().map(|one| one.reason.as_str());
    let of_conditions = status.conditions.iter().map(|one| one.reason.as_str());
    let words = of_conditions.chain(of_policies).chain(of_findings);
    let reasons = words.filter_map(|word| word.parse::<Reason>().ok());
    let signers = status.signers.iter();
    let of_faults = signers.filter_map(|signer| reason_of_fault(signer, declared));
    let bad: BTreeSet<_> = reasons
        .chain(of_faults)
        .filter(|one| is_bad(*one))
        .collect();
    let Some(worst) = bad.first() else {
        return Ok(());
    };
    let kind = crate::cli::words::class(worst.class());
    let found = status
        .findings
        .iter()
        .find(|one| one.reason == worst.word());
    let message = found.map_or_else(String::new, |one| format!(": {}", one.message));
    Err(Why::Known(format!("{worst}, {kind}{message}")))
}

/// What is wrong with a signature. Of Sigstore anybody can publish a broken one that says it is by somebody: it
/// counts if somebody is declared who may have made it.
fn reason_of_fault(signer: &Signer, declared: &Declared) -> Option<Reason> {
    let fault = signer.fault.as_deref()?;
    if signer.bundle.is_none() {
        return charttrust_verify::reason_of(Code::of_word(fault)?);
    }
    let mut keys = declared.keys.iter().map(|key| &key.spec.fingerprint);
    let mut identities = declared.identities.iter();
    let is_declared = match (&signer.issuer, &signer.subject) {
        (Some(issuer), Some(subject)) => identities.any(|one| one.is_named(issuer, subject)),
        _ => keys.any(|key| key.eq_ignore_ascii_case(&signer.fingerprint)),
    };
    match engine::Code::of(fault).filter(|_| is_declared)?.said() {
        Said::Reason(reason) => Some(reason),
        Said::Cause(_) => None,
    }
}

/// A pin stands in for a missing signature, and never for a revoked one.
fn is_bad(reason: Reason) -> bool {
    matches!(reason.class(), Class::Badness | Class::Tampering) || reason == Reason::KeyRetired
}

/// Nobody whose key is revoked has signed it, be the key listed or not.
fn is_not_by_a_revoked_key(status: &ReleaseTrustStatus, keys: &[TrustedKey]) -> Result<(), Why> {
    let mut signers = status.signers.iter().filter(|signer| signer.verified);
    let revoked = signers.find_map(|signer| {
        let is_its = |key: &&TrustedKey| {
            key.spec
                .fingerprint
                .eq_ignore_ascii_case(&signer.fingerprint)
                && is_revoked(key)
        };
        keys.iter().find(is_its)
    });
    match revoked {
        Some(key) => Err(Why::Known(format!(
            "it is signed by TrustedKey {}, which is revoked",
            key.name_any()
        ))),
        None => Ok(()),
    }
}

/// Nor an identity in a time, or an archive, for which it is revoked.
fn is_not_by_a_revoked_identity(
    status: &ReleaseTrustStatus,
    identities: &[sigstore::Declared],
    now: Timestamp,
) -> Result<(), Why> {
    let content = stated(status);
    let signatures = content.iter().flat_map(sigstore::signatures);
    let mut void = signatures.filter_map(|signature| {
        let mut all = identities.iter();
        all.find_map(|one| Some((one, one.voids(&signature, now)?)))
    });
    match void.next() {
        Some((identity, why)) => Err(Why::Known(format!(
            "it is signed by TrustedIdentity {}: {why}",
            identity.name()
        ))),
        None => Ok(()),
    }
}

/// Whether a key is revoked for good, by its object or as the operator has found it.
pub(in crate::cli) fn is_revoked(key: &TrustedKey) -> bool {
    let hard = [RevocationReason::Compromised, RevocationReason::Unspecified];
    let declared = key.spec.revocation.as_ref();
    let state = key.status.as_ref().and_then(|status| status.state);
    declared.is_some_and(|one| hard.contains(&one.reason))
        || matches!(state, Some(KeyState::Compromised | KeyState::Revoked))
}

/// The source whose own archive is what runs; the operator puts the origin first. Without a reason the
/// verdict says it.
fn same<'a>(
    status: &ReleaseTrustStatus,
    evidence: &'a Evidence,
    release: &Release,
) -> Result<&'a SourceEvidence, Option<Why>> {
    let sources = &evidence.sources;
    // Argo CD keeps no record, and says itself from which source it takes the chart: that is the first.
    let unknown = Cause::SourceUnknown.word();
    let is_known = !status.policies.iter().any(|said| said.reason == unknown);
    let is_named = |source: &SourceEvidence| {
        release.driver == Driver::Application
            && is_known
            && source.answer == SourceAnswer::Archive
            && sources.first() == Some(source)
    };
    let mut same = sources.iter().filter(|one| is_same(one) || is_named(one));
    // A mirror answers while its source is silent, and whoever keeps it silent may be the mirror.
    let mut own = same.clone();
    if let Some(own) = own.find(|one| one.mirrored != Mirrored::Archive) {
        let other = other_name(own, release);
        return other.map_or(Ok(own), |why| Err(Some(Why::Known(why))));
    }
    if let Some(mirrored) = same.next() {
        return Err(Some(Why::Unclear(format!(
            "only a mirror of {} has shown the archive: pin it when the source answers itself",
            mirrored.url
        ))));
    }
    let is_different = |one: &&SourceEvidence| one.binding == Some(Binding::Different);
    let different = sources.iter().find(is_different);
    Err(different.map(|one| {
        let what = one.differences.first();
        let what = what.map_or_else(String::new, |what| format!(": {what}"));
        Why::Known(format!("what runs is not the archive of {}{what}", one.url))
    }))
}

fn is_same(source: &SourceEvidence) -> bool {
    source.answer == SourceAnswer::Archive && source.binding == Some(Binding::Same)
}

/// What the archive calls itself, where the release is called otherwise: level Signature does not look.
fn other_name(source: &SourceEvidence, release: &Release) -> Option<String> {
    if source.chart.is_none() && source.version.is_none() {
        return None;
    }
    let chart = source.chart.as_ref().unwrap_or(&release.chart);
    let version = source.version.as_ref().unwrap_or(&release.version);
    Some(format!(
        "{}: the archive of {} calls itself {chart} {version}, the release {} {}",
        Reason::MetadataMismatch,
        source.url,
        release.chart,
        release.version
    ))
}

/// A pin that stands is somebody's word for one archive, and this is another one.
fn is_not_pinned_otherwise(pin: &PinnedDigest, policies: &[ChartTrustPolicy]) -> Result<(), Why> {
    for policy in policies {
        for rule in &policy.spec.rules {
            let about =
                |one: &&PinnedDigest| (&one.chart, &one.version) == (&pin.chart, &pin.version);
            let pins: Vec<_> = rule.digests.iter().filter(about).collect();
            if pins.iter().any(|one| one.digest == pin.digest) {
                continue;
            }
            if let Some(other) = pins.first() {
                return Err(Why::Known(format!(
                    "{}/{} pins another archive of {} {}: {}, and it is made of {}: find out which is \
                     right",
                    policy.name_any(),
                    rule.name,
                    pin.chart,
                    pin.version,
                    other.digest,
                    pin.digest
                )));
            }
        }
    }
    Ok(())
}

/// What whoever takes over the pin should know.
fn notes(evidence: &Evidence, source: &SourceEvidence) -> Vec<String> {
    let mut notes = Vec::new();
    if source.index_disagrees {
        notes.push("the index of the source names another digest than the archive's".to_owned());
    }
    if source.subcharts {
        notes.push("its subcharts were not compared: Helm does not record them".to_owned());
    }
    let others = evidence.sources.iter();
    let others = others.filter(|one| is_same(one) && one.archive != source.archive);
    notes.extend(others.map(|one| {
        let digest = one.archive.as_deref().unwrap_or_default();
        format!(
            "{} has another archive with the same content: {digest}",
            one.url
        )
    }));
    notes
}

/// Two archives under one version: one of them has taken the place of the other, and which is right is
/// not ours to say.
fn without_contested(matched: Vec<Matched>) -> (Vec<Matched>, Vec<Left>) {
    let version = |one: &Matched| (one.pin.chart.clone(), one.pin.version.clone());
    let mut digests = BTreeMap::<_, BTreeSet<String>>::new();
    for one in &matched {
        let known = digests.entry(version(one)).or_default();
        known.insert(one.pin.digest.clone());
    }
    let is_single = |one: &Matched| digests.get(&version(one)).is_some_and(|all| all.len() == 1);
    let (single, contested): (Vec<_>, Vec<_>) = matched.into_iter().partition(is_single);
    let left = contested.into_iter().map(|one| Left::Known {
        why: format!(
            "other releases are made of another archive of {} {}, this one of {} (from {}): find out which \
             is right, and pin that by the release's name",
            one.pin.chart, one.pin.version, one.pin.digest, one.source
        ),
        release: one.release,
    });
    (single, left.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use charttrust_verify::sigstore::BundleRecord;

    use super::*;
    use crate::cli::sigstore::tests as bundled;

    const OURS: &str = "https://charts.example.com";
    const FINGERPRINT: &str = "1111222233334444555566667777888899990000";

    fn digest(digit: &str) -> String {
        format!("sha256:{}", digit.repeat(64))
    }

    /// A release that is, file by file, the unsigned archive of its source.
    fn unsigned() -> Value {
        json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ReleaseTrust",
            "metadata": {"namespace": "shop", "name": "web"}, "spec": {},
            "status": {
                "release": {"revision": 1, "chart": "web", "version": "1.0.0", "owner": "Helm",
                    "resourceVersion": "1"},
                "conditions": [condition("False", "Unsigned")],
                "policies": [{"policy": "everything", "rule": "all", "verdict": "Untrusted",
                    "reason": "Unsigned"}],
                "evidence": {"content": "AAAA", "sources": [{
                    "url": OURS, "archive": digest("a"), "binding": "Same",
                    "provenanceProblem": "Missing", "provisional": true}]},
            },
        })
    }

    fn condition(status: &str, reason: &str) -> Value {
        json!({"type": "Trusted", "status": status, "reason": reason, "message": "said",
            "observedGeneration": 1, "lastTransitionTime": "2026-11-18T10:00:00Z"})
    }

    const ALL: Wish<'_> = Wish {
        policy: None,
        is_named: false,
    };
    const NAMED: Wish<'_> = Wish {
        policy: None,
        is_named: true,
    };

    fn sorted_of(object: &Value, declared: &Declared, wish: Wish<'_>) -> (Vec<Matched>, Vec<Left>) {
        let trust = serde_json::from_value(object.clone()).unwrap();
        sorted(&[trust], declared, wish)
    }

    /// What becomes of the release with one thing changed.
    fn changed(change: impl Fn(&mut Value), wish: Wish<'_>) -> Result<Matched, Left> {
        let mut object = unsigned();
        change(&mut object["status"]);
        let (mut matched, mut left) = sorted_of(&object, &Declared::default(), wish);
        matched.pop().ok_or_else(|| left.pop().unwrap())
    }

    #[track_caller]
    fn known(part: &str, change: impl Fn(&mut Value)) {
        for wish in [ALL, NAMED] {
            let left = changed(&change, wish).unwrap_err();
            assert!(matches!(left, Left::Known { .. }), "{left:?}");
            assert!(left.to_string().contains(part), "{left}");
        }
    }

    #[track_caller]
    fn unclear(part: &str, change: impl Fn(&mut Value)) {
        for wish in [ALL, NAMED] {
            let left = changed(&change, wish).unwrap_err();
            assert!(matches!(left, Left::Unclear { .. }), "{left:?}");
            assert!(left.to_string().contains(part), "{left}");
        }
    }

    #[test]
    fn an_unsigned_release_is_pinned_to_the_archive_that_it_is_made_of() {
        for wish in [ALL, NAMED] {
            let one = changed(|_| (), wish).unwrap();
            assert_eq!(
                (one.release.as_str(), one.source.as_str()),
                ("shop/web", OURS)
            );
            assert_eq!(one.pin.digest, digest("a"));
            assert_eq!(
                (one.pin.chart.as_str(), one.pin.version.as_str()),
                ("web", "1.0.0")
            );
            assert_eq!(one.notes, [""; 0]);
        }
    }

    #[test]
    fn nothing_bad_is_pinned_whoever_found_it() {
        let all = Reason::ALL.iter().copied();
        for reason in all {
            let word = reason.word();
            let verdict =
                |status: &mut Value| status["conditions"] = json!([condition("False", word)]);
            let exempt = |status: &mut Value| {
                status["conditions"] = json!([condition("Unknown", "Exempt")]);
                status["findings"] = json!([{"reason": word, "message": "found"}]);
            };
            let other = |status: &mut Value| {
                let other =
                    json!({"policy": "b", "rule": "x", "verdict": "Untrusted", "reason": word});
                status["policies"].as_array_mut().unwrap().push(other);
            };
            for change in [&verdict as &dyn Fn(&mut Value), &exempt, &other] {
                if is_bad(reason) {
                    known(word, change);
                } else {
                    assert!(changed(change, ALL).is_ok(), "{word}");
                }
            }
        }
        for fault in ["RevokedHard", "BadSignature"] {
            known("", |status| status["signers"] = json!([signer(fault)]));
        }
        assert!(
            changed(
                |status| status["signers"] = json!([signer("WeakHash")]),
                ALL
            )
            .is_ok()
        );
    }

    fn signer(fault: &str) -> Value {
        json!({"fingerprint": FINGERPRINT, "algorithm": "RSA", "verified": false, "fault": fault})
    }

    fn key(more: &Value) -> TrustedKey {
        let mut object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey", "metadata": {"name": "platform"},
            "spec": {"fingerprint": FINGERPRINT, "publicKey": {"inline": "x"}},
        });
        json_patch::merge(&mut object, more);
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_a_revoked_key_has_signed_is_not_pinned_though_no_rule_lists_it() {
        let mut object = unsigned();
        object["status"]["conditions"] = json!([condition("False", "SignerNotTrusted")]);
        object["status"]["signers"] = json!([{"fingerprint": FINGERPRINT.to_lowercase(), "algorithm": "RSA", "verified": true}]);
        let revoked = |reason: &str| json!({"spec": {"revocation": {"reason": reason}}});
        let with_since = json!({"spec": {"revocation":
            {"reason": "Retired", "since": "2026-11-18T00:00:00Z"}}});
        for (more, is_pinned) in [
            (json!({}), true),
            (revoked("Compromised"), false),
            (revoked("Unspecified"), false),
            (with_since, true),
            (json!({"status": {"state": "Compromised"}}), false),
            (json!({"status": {"state": "Revoked"}}), false),
            (json!({"status": {"state": "Expired"}}), true),
        ] {
            let declared = Declared {
                keys: vec![key(&more)],
                ..Declared::default()
            };
            let (matched, left) = sorted_of(&object, &declared, NAMED);
            assert_eq!(matched.len(), usize::from(is_pinned), "{more}");
            let is_told = left
                .iter()
                .all(|one| one.to_string().contains("platform, which is revoked"));
            assert!(is_told, "{left:?}");
        }
    }

    #[test]
    fn what_is_signed_or_not_asked_about_is_left_aside_unless_it_is_named() {
        for (status, word) in [
            ("True", "SignatureVerified"),
            ("True", "ArchiveVerified"),
            ("True", "Grandfathered"),
            ("Unknown", "Unmanaged"),
        ] {
            let is_so = |all: &mut Value| all["conditions"] = json!([condition(status, word)]);
            let left = changed(is_so, ALL).unwrap_err();
            assert!(matches!(left, Left::Aside { .. }), "{left:?}");
            assert!(changed(is_so, NAMED).is_ok(), "{word}");
        }
        let pinned =
            |all: &mut Value| all["conditions"] = json!([condition("True", "DigestPinned")]);
        assert!(changed(pinned, ALL).is_ok());
    }

    #[test]
    fn what_is_made_of_no_known_archive_says_why() {
        let source = "/evidence/sources/0";
        let with = |more: Value| {
            move |status: &mut Value| {
                let source = status.pointer_mut(source).unwrap();
                json_patch::merge(source, &more);
            }
        };
        let different = json!({"binding": "Different", "differences": ["templates/web.yaml"]});
        known(
            "is not the archive of https://charts.example.com: templates/web.yaml",
            with(different),
        );
        known("calls itself web 0.9.0", with(json!({"version": "0.9.0"})));
        known("calls itself shop 1.0.0", with(json!({"chart": "shop"})));
        unclear(
            "only a mirror of https://charts",
            with(json!({"mirrored": "Archive"})),
        );
        assert!(changed(with(json!({"mirrored": "Provenance"})), ALL).is_ok());
        let is_not_there = |word: &'static str, verdict: &'static str| {
            move |status: &mut Value| {
                status["conditions"] = json!([condition(verdict, word)]);
                status["evidence"]["sources"] = json!([{"url": OURS, "answer": "NotFound"}]);
            }
        };
        known(
            "ChartNotFound: said",
            is_not_there("ChartNotFound", "False"),
        );
        unclear(
            "SourceUnavailable: said",
            is_not_there("SourceUnavailable", "Unknown"),
        );
        for binding in ["NoRecord", "OldWriter"] {
            unclear("NotBindable: said", |status| {
                with(json!({"binding": binding}))(status);
                status["conditions"] = json!([condition("Unknown", "NotBindable")]);
            });
        }
        unclear("NoPolicy: said", |status| {
            status["conditions"] = json!([condition("Unknown", "NoPolicy")]);
            status["evidence"] = Value::Null;
        });
        unclear("not judged yet", |status| status["conditions"] = json!([]));
        unclear("not judged yet", |status| status["release"] = Value::Null);
    }

    /// It says itself which source it takes the chart from, and nothing else shows that.
    #[test]
    fn of_an_application_the_archive_of_the_source_that_was_judged_is_pinned() {
        let of = |driver: &str, reason: &str| {
            let pinned = changed(
                |status| {
                    status["release"]["driver"] = json!(driver);
                    status["evidence"]["sources"][0]["binding"] = json!("NoRecord");
                    status["policies"][0]["reason"] = json!(reason);
                },
                ALL,
            );
            pinned.map(|matched| matched.notes)
        };
        let notes = of("Application", "Unsigned").unwrap();
        assert!(
            notes.iter().any(|note| note.contains("was not compared")),
            "{notes:?}"
        );
        assert!(of("Application", "SourceUnknown").is_err());
        assert!(of("Secret", "Unsigned").is_err());
    }

    #[test]
    fn nothing_is_pinned_against_a_pin_that_stands() {
        let policy = |name: &str, digests: &[(&str, &str, &str)]| -> ChartTrustPolicy {
            let pin = |(chart, version, digit): &(&str, &str, &str)| json!({"chart": chart, "version": version, "digest": digest(digit)});
            let digests: Vec<_> = digests.iter().map(pin).collect();
            let rule = json!({"name": "all", "charts": ["*"], "digests": digests});
            let object = json!({"apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
                "metadata": {"name": name}, "spec": {"rules": [rule]}});
            serde_json::from_value(object).unwrap()
        };
        for (digests, is_pinned) in [
            (&[][..], true),
            (&[("web", "1.0.0", "a")], true),
            (&[("web", "0.9.0", "b")], true),
            (&[("api", "1.0.0", "b")], true),
            (&[("web", "1.0.0", "b")], false),
            (&[("web", "1.0.0", "b"), ("web", "1.0.0", "a")], true),
        ] {
            let policies = vec![policy("fine", &[]), policy("pinning", digests)];
            let declared = Declared {
                policies,
                ..Declared::default()
            };
            for wish in [ALL, NAMED] {
                let (matched, left) = sorted_of(&unsigned(), &declared, wish);
                assert_eq!(matched.len(), usize::from(is_pinned), "{digests:?}");
                let part = "pinning/all pins another archive of web 1.0.0: sha256:bbb";
                assert!(
                    left.iter().all(|one| one.to_string().contains(part)),
                    "{left:?}"
                );
            }
        }
    }

    #[test]
    fn two_archives_of_one_version_are_both_left_until_one_is_named() {
        let trust = |name: &str, digit: &str| -> ReleaseTrust {
            let mut object = unsigned();
            object["metadata"]["name"] = json!(name);
            object["status"]["evidence"]["sources"][0]["archive"] = json!(digest(digit));
            serde_json::from_value(object).unwrap()
        };
        let [one, other] = [trust("one", "a"), trust("other", "b")];
        let both = [one.clone(), other];
        let (matched, left) = sorted(&both, &Declared::default(), ALL);
        assert_eq!((matched.len(), left.len()), (0, 2), "{matched:?}");
        for one in &left {
            assert!(matches!(one, Left::Known { .. }), "{one:?}");
            assert!(
                one.to_string().contains("another archive of web 1.0.0"),
                "{one}"
            );
        }
        let (matched, left) = sorted(&[one.clone(), one.clone()], &Declared::default(), ALL);
        assert_eq!((matched.len(), left.len()), (2, 0), "{left:?}");
        let (matched, _) = sorted(&[one], &Declared::default(), NAMED);
        assert_eq!(matched.len(), 1);
    }

    #[test]
    fn a_policy_pins_what_it_decides_about() {
        let wish = |policy, is_named| Wish {
            policy: Some(policy),
            is_named,
        };
        assert_eq!(
            changed(|_| (), wish("everything", false)).unwrap().rules["everything"],
            "all"
        );
        let (matched, left) = sorted_of(&unsigned(), &Declared::default(), wish("other", false));
        assert_eq!(
            (matched.len(), left.len()),
            (0, 0),
            "others' releases are not its concern"
        );
        let left = changed(|_| (), wish("other", true)).unwrap_err();
        assert!(
            left.to_string().contains("no rule of policy other decides"),
            "{left}"
        );
    }

    #[test]
    fn what_was_not_compared_is_noted() {
        let one = changed(
            |status| {
                let sources = status["evidence"]["sources"].as_array_mut().unwrap();
                sources[0]["subcharts"] = json!(true);
                sources[0]["indexDisagrees"] = json!(true);
                let mut other = sources[0].clone();
                other["url"] = json!("https://other.example.com");
                other["archive"] = json!(digest("b"));
                sources.push(other);
            },
            ALL,
        );
        let notes = one.unwrap().notes.join("\n");
        for part in [
            "names another digest",
            "subcharts were not compared",
            "https://other.example.com has another archive with the same content: sha256:bbb",
        ] {
            assert!(notes.contains(part), "{notes}");
        }
    }

    /// A release with the archive of which a pipeline has made a signature, while this identity is declared.
    fn pinned_though(records: &[BundleRecord], identity: &Value) -> Result<Matched, Left> {
        let trust = bundled::trust("web", records);
        let declared = Declared {
            identities: vec![bundled::identity("release", identity)],
            ..Declared::default()
        };
        let (mut matched, mut left) = sorted(&[trust], &declared, NAMED);
        matched.pop().ok_or_else(|| left.pop().unwrap())
    }

    #[test]
    fn what_a_revoked_identity_has_signed_is_not_pinned_though_no_rule_lists_it() {
        let own = [bundled::signed(bundled::by(bundled::SUBJECT))];
        let attested = [bundled::attested(bundled::by(bundled::SUBJECT))];
        let other = [bundled::signed(bundled::by("another@example.com"))];
        let retired = json!({"spec": {"revocation": {"reason": "Retired",
            "windows": [{"from": "2026-11-02T11:00:00Z"}]}}});
        let whole = json!({"spec": {"revocation": {"reason": "Unspecified"}}});
        let (inside, outside) = (bundled::window(11, 13), bundled::window(13, 14));
        for (records, identity, is_pinned) in [
            (&own, &json!({}), true),
            (&own, &inside, false),
            (&own, &outside, true),
            (&own, &whole, false),
            (&own, &retired, false),
            (&attested, &inside, true),
            (&other, &whole, true),
        ] {
            match pinned_though(records, identity) {
                Ok(_) => assert!(is_pinned, "{identity}"),
                Err(left) => {
                    assert!(!is_pinned, "{left}");
                    assert!(matches!(left, Left::Known { .. }), "{left:?}");
                    let part = "not pinned: it is signed by TrustedIdentity release: Key";
                    assert!(left.to_string().contains(part), "{left}");
                }
            }
        }
    }

    /// Anybody can publish a broken signature that says it is by somebody.
    #[test]
    fn a_broken_signature_of_sigstore_counts_if_somebody_may_have_made_it() {
        let row = |subject: &str, fault: &str| {
            json!({"fingerprint": "", "algorithm": "Sigstore", "verified": false, "fault": fault,
                "issuer": bundled::ISSUER, "subject": subject, "bundle": digest("b")})
        };
        let by_key = |fingerprint: &str, fault: &str| {
            json!({"fingerprint": fingerprint, "algorithm": "Sigstore", "verified": false, "fault": fault,
                "bundle": digest("b")})
        };
        let ours = digest("c");
        let declared = Declared {
            identities: vec![bundled::identity("release", &json!({}))],
            keys: vec![key(
                &json!({"spec": {"type": "PublicKey", "fingerprint": ours}}),
            )],
            ..Declared::default()
        };
        for (signer, is_pinned) in [
            (row(bundled::SUBJECT, "SignatureInvalid"), false),
            (row(bundled::SUBJECT, "ArtifactMismatch"), false),
            (row(bundled::SUBJECT, "AuthorityUnknown"), true),
            (row(bundled::SUBJECT, "LimitExceeded"), true),
            (row(bundled::SUBJECT, "NotASignature"), true),
            (row("another@example.com", "SignatureInvalid"), true),
            (by_key(&ours, "SignatureInvalid"), false),
            (by_key(&digest("d"), "SignatureInvalid"), true),
            (by_key("", "ArtifactMismatch"), true),
        ] {
            let mut object = unsigned();
            object["status"]["signers"] = json!([signer]);
            let (matched, left) = sorted_of(&object, &declared, ALL);
            assert_eq!(matched.len(), usize::from(is_pinned), "{signer} {left:?}");
        }
    }
}
