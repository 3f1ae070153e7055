//! What people are told of Sigstore signatures: who has made each, when by whose word, and what is not proven. Touches
//! nothing.

use charttrust_verify::bundles::BundleFacts;
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::finding::Note;
use charttrust_verify::sigstore::{BundleRecord, Code, VerifiedBundle};
use charttrust_verify::verdict::Verdict;
use kube::ResourceExt as _;

use super::sigstore::Declared;
use crate::api::TrustedKey;
use crate::api::conditions::{KeyCondition, find};
use crate::api::release_trust::{
    BundleEvidence, BundleOutcome, BundlesEvidence, Incomplete, Signer, SourceEvidence,
};

/// Who is declared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) keys: &'a [TrustedKey],
    pub(super) identities: &'a [Declared],
}

/// A signature among the signers of a release, in one line.
pub(super) fn line(signer: &Signer, facts: Option<&BundleFacts>, known: Known<'_>) -> String {
    let verified = facts.and_then(BundleFacts::verified);
    let who = who(signer, verified, known);
    let record = verified.map(VerifiedBundle::record);
    let when = match record {
        Some(record) => testimony(record),
        None => signer
            .signed_at
            .as_ref()
            .map_or_else(String::new, |at| format!(", proven to exist at {}", at.0)),
    };
    let algorithm = &signer.algorithm;
    format!("{who}, {algorithm}{when}: {}", worth(signer, record))
}

fn who(signer: &Signer, verified: Option<&VerifiedBundle>, known: Known<'_>) -> String {
    let Some((subject, issuer)) = signer.subject.as_ref().zip(signer.issuer.as_ref()) else {
        let mut keys = known.keys.iter();
        return match keys.find(|key| {
            key.spec
                .fingerprint
                .eq_ignore_ascii_case(&signer.fingerprint)
        }) {
            Some(key) => format!("{} ({})", signer.fingerprint, key.name_any()),
            None if signer.fingerprint.is_empty() => "a public key".to_owned(),
            None => signer.fingerprint.clone(),
        };
    };
    let names = verified.map(|verified| {
        let makers = known.identities.iter().filter(|one| one.has_made(verified));
        let names: Vec<_> = makers.map(Declared::name).collect();
        match names.as_slice() {
            [] => "no TrustedIdentity".to_owned(),
            names => format!("TrustedIdentity {}", names.join(", ")),
        }
    });
    let names = names.map_or_else(String::new, |names| format!("; {names}"));
    format!("{subject} (issuer {issuer}{names})")
}

/// When it is proven to have existed and by whom, where it is public, and what is not proven.
fn testimony(record: &BundleRecord) -> String {
    let times = record.times.iter();
    let times = times.map(|time| format!("proven to exist at {} by {}", time.at, time.by));
    let logs = record.logs.iter();
    let logs = logs.map(|entry| format!("entry {} of log {}", entry.index, short(entry.log)));
    let missing: Vec<_> = record.not_proven.iter().map(ToString::to_string).collect();
    let missing = (!missing.is_empty()).then(|| format!("not proven: {}", missing.join("; ")));
    let all = times.chain(logs).chain(missing);
    all.fold(String::new(), |told, part| told + ", " + &part)
}

/// The first digits, by which people tell digests apart.
fn short(digest: Sha256Digest) -> String {
    digest
        .to_string()
        .chars()
        .skip("sha256:".len())
        .take(12)
        .collect()
}

fn worth(signer: &Signer, record: Option<&BundleRecord>) -> String {
    match (&signer.fault, signer.verified) {
        (_, true) => "holds".to_owned(),
        (Some(fault), false) if fault == Note::NotASignature.word() => {
            let kind = record.map_or("an attestation".to_owned(), |record| {
                record.kind.to_string()
            });
            format!(
                "holds, and is no signature: {fault}, {kind}. {}",
                Note::NotASignature.step()
            )
        }
        (Some(fault), false) => format!("does not hold: {}", explained(fault)),
        (None, false) => "by nobody who is known".to_owned(),
    }
}

/// A fault in its word, a sentence and the next step.
fn explained(fault: &str) -> String {
    let verdict = Verdict::of_word(fault);
    let said = match (Code::of(fault), verdict) {
        (Some(code), _) => Some((code.cause(), code.step())),
        (None, Some(Verdict::Unknown(cause))) => Some((cause.cause(), cause.step())),
        (None, Some(Verdict::Untrusted(reason))) => Some((reason.cause(), reason.step())),
        (None, Some(Verdict::Trusted(_)) | None) => None,
    };
    said.map_or_else(
        || fault.to_owned(),
        |(cause, step)| format!("{fault}. {cause} {step}"),
    )
}

/// What a source has not told of its Sigstore signatures, or that it has none.
pub(super) fn problem(source: &SourceEvidence) -> Option<String> {
    let bundles = source.bundles.as_deref()?;
    let message = bundles.message.as_ref();
    let message = message.map_or_else(String::new, |message| format!(" ({message})"));
    let url = &source.url;
    match bundles.incomplete {
        Some(Incomplete::LimitExceeded) => Some(format!(
            "{url}: has more Sigstore signatures than are looked at{message}"
        )),
        Some(Incomplete::SourceUnavailable) => Some(format!(
            "{url}: did not tell which Sigstore signatures there are{message}"
        )),
        None if bundles.signatures.is_empty() => Some(format!("{url}: has no Sigstore signature")),
        None => None,
    }
}

/// What the signatures of a source that hold are about.
pub(super) fn statements(source: &SourceEvidence) -> Vec<String> {
    let bundles = source.bundles.as_deref();
    let verified = |one: &&BundleEvidence| one.outcome == BundleOutcome::Verified;
    let all = bundles
        .into_iter()
        .flat_map(|it: &BundlesEvidence| &it.signatures);
    let archive = source.archive.as_deref().unwrap_or_default();
    let told = all.filter(verified).filter_map(|one| {
        let record: BundleRecord = serde_json::from_str(one.record.as_deref()?).ok()?;
        Some(format!(
            "Sigstore {} {}",
            one.digest,
            about(one, &record, archive)
        ))
    });
    told.collect()
}

fn about(one: &BundleEvidence, record: &BundleRecord, archive: &str) -> String {
    let signed = record.artifact.to_string();
    let meant = one.manifest.as_deref().unwrap_or(archive);
    match (&one.manifest, &one.layer) {
        _ if signed != meant => format!("is of {signed}, and not of {meant}"),
        (None, _) => format!("is of {archive}, the archive is the same"),
        (Some(manifest), None) => {
            format!("is of manifest {manifest}, whose layer {archive} is the archive")
        }
        (Some(manifest), Some(layer)) => {
            format!("is of manifest {manifest}, whose layer is {layer}, the archive is {archive}")
        }
    }
}

/// What an object says of an identity: its state, its end, and what of it counts no more.
pub(super) fn identity(declared: &Declared) -> String {
    let status = declared.object.status.clone().unwrap_or_default();
    let state = status.state;
    let state = state.map_or("not read".to_owned(), |state| format!("{state:?}"));
    let ends = status
        .expires
        .map_or("never".to_owned(), |end| end.0.to_string());
    let told = [KeyCondition::Valid, KeyCondition::Revoked];
    let told = told.map(|type_| find(&status.conditions, type_).map(|one| one.message.clone()));
    let mut told: Vec<_> = told
        .into_iter()
        .flatten()
        .filter(|it| !it.is_empty())
        .collect();
    told.dedup();
    let told = told
        .iter()
        .fold(String::new(), |told, message| told + "; " + message);
    format!(
        "TrustedIdentity {}: {state}, ends {ends}{told}",
        declared.name()
    )
}
