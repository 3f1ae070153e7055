//! Every word of our kinds with what it means and what to do about it, out of the vocabularies themselves:
//! what the documents list and `charttrust explain` tells. Touches nothing.

use charttrust_verify::finding::Note;
use charttrust_verify::openpgp::Code;
use charttrust_verify::sigstore;
use charttrust_verify::verdict::{Basis, Cause, Class, Reason};
use schemars::{JsonSchema, schema_for};
use serde::Serialize;

use crate::api::chart_trust_policy::{
    Approval, CaKind, Dependencies, ExpiredKeys, Level, Lookup, Mode, OnUnknown,
};
use crate::api::conditions::{
    ConditionType, KeyCondition, PolicyCondition, ReleaseCondition, Status,
};
use crate::api::quarantine::{EndedBy, ObjectState, QuarantineState};
use crate::api::quarantine_words::{QuarantineAction, QuarantineCondition, QuarantineReason};
use crate::api::reasons::{EventReason, KeyReason, PolicyReason, ReleaseReason};
use crate::api::release_trust::{
    Binding, BundleOutcome, BundleSigner, Driver, Incomplete, Mirrored, Owner, ProvenanceProblem,
    SourceAnswer, Verdict,
};
use crate::api::trusted_key::{Grandfather, KeyState, KeyType, RevocationReason, Transparency};

/// What one word means in one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    /// The word itself.
    pub(super) word: String,
    /// Where it stands.
    pub(super) place: String,
    /// What it means, or what usually stands behind it.
    pub(super) meaning: String,
    /// What to do about it, if anything can be.
    #[serde(rename = "next", skip_serializing_if = "Option::is_none")]
    pub(super) step: Option<String>,
}

impl Entry {
    fn new(word: &str, place: impl Into<String>, meaning: &str) -> Self {
        Self {
            word: word.to_owned(),
            place: place.into(),
            meaning: meaning.to_owned(),
            step: None,
        }
    }

    fn with_step(self, step: &str) -> Self {
        let step = Some(step.to_owned());
        Self { step, ..self }
    }
}

/// Every word, each as often as it means something.
pub(super) fn all() -> Vec<Entry> {
    let mut all = verdicts();
    all.extend(findings());
    all.extend(reasons());
    all.extend(conditions());
    all.extend(values());
    all
}

/// The words of verdicts, trust first, then the worst.
fn verdicts() -> Vec<Entry> {
    let trusted = Basis::ALL
        .iter()
        .map(|one| Entry::new(one.word(), "verdict: Trusted", one.cause()).with_step(one.step()));
    let untrusted = Reason::ALL.iter().map(|one| {
        let place = format!("verdict: Untrusted, {}", class(one.class()));
        Entry::new(one.word(), place, one.cause()).with_step(one.step())
    });
    let unknown = Cause::ALL
        .iter()
        .map(|one| Entry::new(one.word(), "verdict: Unknown", one.cause()).with_step(one.step()));
    trusted.chain(untrusted).chain(unknown).collect()
}

/// What is known of a release that is not trusted.
pub(super) fn class(class: Class) -> &'static str {
    match class {
        Class::Badness => "proof of badness",
        Class::CouldNotTell => "could not tell",
        Class::Exempt => "forgiven by an exception",
        Class::ProofMissing => "proof missing",
        Class::Tampering => "signs of tampering",
        Class::Trusted => "proof found",
        Class::Unmanaged => "nothing asked",
    }
}

/// What findings, signatures and events say besides the words of verdicts.
fn findings() -> Vec<Entry> {
    let notes = Note::ALL.iter().map(|one| {
        let place = "ReleaseTrust: finding that decides nothing";
        Entry::new(one.word(), place, one.cause()).with_step(one.step())
    });
    let faults = Code::FAULTS.iter().chain(Code::OF_KEYS).map(|one| {
        let reason = charttrust_verify::reason_of(*one);
        let reason = reason.map_or_else(String::new, |reason| format!(", verdict {reason}"));
        let place = format!("ReleaseTrust: fault of a signature{reason}");
        Entry::new(one.word(), place, one.cause()).with_step(one.step())
    });
    let of_sigstore = sigstore::Code::ALL.iter().map(|one| {
        let said = one.said();
        let place = format!("ReleaseTrust: fault of a Sigstore signature, verdict {said}");
        Entry::new(one.word(), place, one.cause()).with_step(one.step())
    });
    let events = EventReason::ALL
        .iter()
        .map(|one| Entry::new(one.word(), "event", one.cause()).with_step(one.step()));
    let faults = faults.chain(of_sigstore);
    notes.chain(faults).chain(events).collect()
}

/// The reasons of conditions other than Trusted.
fn reasons() -> Vec<Entry> {
    let keys = KeyReason::of_keys().into_iter();
    let keys = keys.map(|one| ("TrustedKey", one.word(), one.cause(), one.step()));
    let identities = KeyReason::OF_IDENTITIES
        .iter()
        .map(|one| ("TrustedIdentity", one.word(), one.cause(), one.step()));
    let key = keys.chain(identities);
    let policy = PolicyReason::ALL
        .iter()
        .map(|one| ("ChartTrustPolicy", one.word(), one.cause(), one.step()));
    let release = ReleaseReason::ALL
        .iter()
        .map(|one| ("ReleaseTrust", one.word(), one.cause(), one.step()));
    let quarantine = QuarantineReason::ALL
        .iter()
        .map(|one| ("Quarantine", one.word(), one.cause(), one.step()));
    let all = key.chain(policy).chain(release).chain(quarantine);
    all.map(|(kind, word, cause, step)| {
        Entry::new(word, format!("{kind}: reason of a condition"), cause).with_step(step)
    })
    .collect()
}

/// The types of conditions.
pub(super) fn conditions() -> Vec<Entry> {
    fn of<T: ConditionType>(kind: &str, all: &[T], meaning: fn(T) -> &'static str) -> Vec<Entry> {
        let word = |one: &T| Entry::new(one.word(), format!("{kind}: condition"), meaning(*one));
        all.iter().map(word).collect()
    }
    let keys = of("TrustedKey", KeyCondition::ALL, KeyCondition::meaning);
    let identities = of(
        "TrustedIdentity",
        KeyCondition::OF_IDENTITIES,
        KeyCondition::meaning,
    );
    let policies = of(
        "ChartTrustPolicy",
        PolicyCondition::ALL,
        PolicyCondition::meaning,
    );
    let releases = of(
        "ReleaseTrust",
        ReleaseCondition::ALL,
        ReleaseCondition::meaning,
    );
    let quarantines = of(
        "Quarantine",
        QuarantineCondition::ALL,
        QuarantineCondition::meaning,
    );
    [keys, identities, policies, releases, quarantines].concat()
}

/// What may stand in a field that takes words of a closed list only.
pub(super) fn values() -> Vec<Entry> {
    [
        of::<Mode>("ChartTrustPolicy: spec.mode"),
        of::<OnUnknown>("ChartTrustPolicy: spec.admission.onUnknown"),
        of::<Lookup>("ChartTrustPolicy: spec.admission.lookup"),
        of::<Level>("ChartTrustPolicy: spec.rules[].verify.level"),
        of::<ExpiredKeys>("ChartTrustPolicy: spec.rules[].verify.expiredKeys"),
        of::<Dependencies>("ChartTrustPolicy: spec.rules[].verify.dependencies"),
        of::<CaKind>("ChartTrustPolicy: spec.rules[].sources[].caRef.kind"),
        of::<Approval>("ChartTrustPolicy: spec.quarantine.approval"),
        actions(),
        of::<KeyType>("TrustedKey: spec.type"),
        of::<Transparency>("TrustedKey: spec.transparency"),
        of::<RevocationReason>("TrustedKey: spec.revocation.reason"),
        of::<Grandfather>("TrustedKey: spec.revocation.grandfather"),
        of::<KeyState>("TrustedKey: status.state"),
        of::<RevocationReason>("TrustedIdentity: spec.revocation.reason"),
        of::<KeyState>("TrustedIdentity: status.state"),
        of::<Driver>("ReleaseTrust: status.release.driver"),
        of::<Owner>("ReleaseTrust: status.release.owner"),
        of::<SourceAnswer>("ReleaseTrust: status.evidence.sources[].answer"),
        of::<Binding>("ReleaseTrust: status.evidence.sources[].binding"),
        of::<Mirrored>("ReleaseTrust: status.evidence.sources[].mirrored"),
        of::<ProvenanceProblem>("ReleaseTrust: status.evidence.sources[].provenanceProblem"),
        of::<Incomplete>("ReleaseTrust: status.evidence.sources[].bundles.incomplete"),
        of::<BundleOutcome>("ReleaseTrust: status.evidence.sources[].bundles.signatures[].outcome"),
        of::<BundleSigner>("ReleaseTrust: status.evidence.sources[].bundles.signatures[].signer"),
        of::<Verdict>("ReleaseTrust: status.policies[].verdict"),
        of::<QuarantineState>("Quarantine: status.state"),
        of::<EndedBy>("Quarantine: status.endedBy"),
        of::<ObjectState>("Quarantine: status.objects[].state"),
        of::<Status>("every kind: status.conditions[].status"),
    ]
    .concat()
}

fn actions() -> Vec<Entry> {
    let action = |one: &QuarantineAction| {
        let place = "Quarantine: spec.actions[]";
        let meaning = format!("{} What it leaves: {}", one.does(), one.leaves());
        Entry::new(one.word(), place, &meaning)
    };
    QuarantineAction::ALL.iter().map(action).collect()
}

/// The words that the schema of a type lists, with what is written about each where it is declared.
fn of<T: JsonSchema>(place: &str) -> Vec<Entry> {
    let schema = schema_for!(T).to_value();
    let one = |value: &serde_json::Value| {
        let (word, meaning) = (value["const"].as_str()?, value["description"].as_str()?);
        let meaning = meaning.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(Entry::new(word, place, &meaning))
    };
    let listed = schema["oneOf"].as_array().into_iter().flatten();
    listed.filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// What the API server takes in a field, as (kind and path, word).
    fn listed(kind: &str, schema: &Value, path: &str, into: &mut BTreeSet<(String, String)>) {
        for word in schema["enum"].as_array().into_iter().flatten() {
            let word = word.as_str().unwrap_or_else(|| panic!("{path}: {word}"));
            into.insert((format!("{kind}: {path}"), word.to_owned()));
        }
        if schema["items"].is_object() {
            listed(kind, &schema["items"], &format!("{path}[]"), into);
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            listed(kind, field, path.trim_start_matches('.'), into);
        }
    }

    #[test]
    fn every_word_that_a_field_can_hold_is_explained_in_its_place() {
        let mut fields = BTreeSet::new();
        for definition in crate::api::definitions() {
            let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
            let kind = &definition.spec.names.kind;
            listed(kind, &schema["openAPIV3Schema"], "", &mut fields);
        }
        assert!(fields.len() > 60, "{fields:?}");
        let explained: BTreeSet<_> = all().into_iter().map(|one| (one.place, one.word)).collect();
        let anywhere = |word: &str| explained.iter().any(|(_, known)| known == word);
        for (place, word) in fields {
            // The words of reasons and actions stand in more than one field.
            let field = place.rsplit('.').next().unwrap_or_default();
            // In, NotIn, Exists and DoesNotExist are words of Kubernetes.
            if field == "operator" {
                continue;
            }
            let is_shared = ["reasons[]", "onReasons[]", "actions[]", "action"].contains(&field);
            let own = match place.split_once(": ") {
                Some((_, "status.conditions[].status")) => {
                    "every kind: status.conditions[].status".to_owned()
                }
                // What repositories of subcharts say has the form of what sources say.
                _ => place.replace("evidence.dependencies[]", "evidence.sources[]"),
            };
            let is_explained = if is_shared {
                anywhere(&word)
            } else {
                explained.contains(&(own, word.clone()))
            };
            assert!(is_explained, "{place}: {word}");
        }
    }

    #[test]
    fn every_word_says_something_and_nothing_twice() {
        let mut seen = BTreeSet::new();
        for one in all() {
            assert!(one.meaning.ends_with(['.', '?']), "{one:?}");
            assert!(one.step.as_deref() != Some(""), "{one:?}");
            let key = (one.word.clone(), one.place.clone(), one.meaning.clone());
            assert!(seen.insert(key), "twice: {one:?}");
        }
        assert!(seen.len() > 180, "{}", seen.len());
    }
}
