//! What `charttrust verify` prints.

use charttrust_verify::bundles::{BundleFacts, BundleOutcome};
use charttrust_verify::chart::{ArchiveError, Chart};
use charttrust_verify::check::{Judgement, Known};
use charttrust_verify::evidence::{Answer, ArchiveFacts, Evidence, Outcome, SignatureFacts};
use charttrust_verify::finding::{Fact, Finding, Note};
use charttrust_verify::openpgp::Code;
use charttrust_verify::sigstore::{ClaimedSigner, SignerRecord, SigstoreSigners, VerifiedBundle};
use charttrust_verify::verdict::{Reason, Verdict};
use jiff::Timestamp;
use serde::Serialize;

use super::Verify;
use crate::cli::SCHEMA_VERSION;
use crate::cli::screen::plain;
use crate::evidence as gathering;

/// What is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    schema_version: u32,
    pub(super) verdict: &'static str,
    pub(super) reason: &'static str,
    pub(super) chart: String,
    pub(super) version: String,
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    signers: Vec<ReportedSigner>,
    findings: Vec<ReportedFinding>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReportedSigner {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Name of the `TrustedIdentity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    /// Who has told the certificate authority who it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    /// Who it is, by the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    fingerprint: String,
    signed_at: Option<String>,
    algorithm: String,
    verified: bool,
    /// What is wrong with it, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct ReportedFinding {
    reason: String,
    message: String,
}

/// What is told of a judgement.
pub(super) fn of(
    arguments: &Verify,
    chart: &Chart,
    evidence: &Evidence,
    judgement: &Judgement,
    (known, now): (Known<'_>, Timestamp),
) -> Report {
    let mut findings: Vec<_> = judgement.findings.iter().map(reported).collect();
    if arguments.source.is_none() {
        let finding = Finding::new(Fact::Note(Note::NotChecked), "source (no --source given)");
        findings.push(reported(&finding));
    }
    Report {
        schema_version: SCHEMA_VERSION,
        verdict: verdict_word(judgement.verdict),
        reason: judgement.verdict.word(),
        chart: chart.metadata.name.clone(),
        version: chart.metadata.version.clone(),
        digest: Some(chart.digest.to_string()),
        rule: judgement
            .policies
            .iter()
            .find_map(|policy| policy.rule.clone()),
        signers: signers(evidence, known, now),
        findings,
    }
}

fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Trusted(_) => "trusted",
        Verdict::Unknown(_) => "unknown",
        Verdict::Untrusted(_) => "untrusted",
    }
}

fn reported(finding: &Finding) -> ReportedFinding {
    ReportedFinding {
        reason: finding.fact.to_string(),
        message: finding.message.clone(),
    }
}

fn signers(evidence: &Evidence, known: Known<'_>, now: Timestamp) -> Vec<ReportedSigner> {
    let first = evidence.archives().next().map(|(_, facts)| facts);
    let bundles = first.and_then(|facts| facts.bundles.as_deref());
    let bundles = bundles.into_iter().flat_map(|it| &it.signatures);
    let bundled = bundles.map(|it| bundled(it, known.sigstore));
    let keys = known.keys;
    let signed = first.and_then(ArchiveFacts::signed);
    let signatures = signed
        .map(|signed| signed.signatures.as_slice())
        .unwrap_or_default();
    let signer = |signature: &SignatureFacts| {
        let claimed = &signature.claimed;
        let issuer = || claimed.issuer().map(str::to_owned);
        let known = match &signature.outcome {
            Outcome::Verified(verified) => Some(verified.primary()),
            Outcome::Fault(fingerprint, _) => Some(fingerprint),
            Outcome::Nobodys(_) | Outcome::UnknownIssuer => None,
        };
        let key = known.and_then(|f| keys.iter().find(|key| key.fingerprint() == f));
        ReportedSigner {
            key: key.map(|key| key.name.clone()),
            identity: None,
            issuer: None,
            subject: None,
            fingerprint: known
                .map(ToString::to_string)
                .or_else(issuer)
                .unwrap_or_default(),
            signed_at: claimed.created.map(|at| at.to_string()),
            algorithm: claimed.algorithm.clone(),
            verified: matches!(signature.outcome, Outcome::Verified(_)),
            fault: signature.fault(keys, now).map(Code::word),
        }
    };
    signatures.iter().map(signer).chain(bundled).collect()
}

/// What is told of a Sigstore signature.
fn bundled(bundle: &BundleFacts, known: &SigstoreSigners) -> ReportedSigner {
    let mut told = ReportedSigner {
        key: None,
        identity: None,
        issuer: None,
        subject: None,
        fingerprint: String::new(),
        signed_at: None,
        algorithm: "Sigstore".to_owned(),
        verified: false,
        fault: None,
    };
    if let Some(ClaimedSigner::Identity { issuer, subject }) = &bundle.claimed {
        (told.issuer, told.subject) = (Some(issuer.clone()), Some(subject.clone()));
    }
    match &bundle.outcome {
        BundleOutcome::Fault { key, code, .. } => {
            told.fingerprint = key.map(|key| key.to_string()).unwrap_or_default();
            told.fault = Some(code.word());
        }
        BundleOutcome::Open => {}
        BundleOutcome::Unreadable { said, .. } => told.fault = Some(said.word()),
        BundleOutcome::Verified(verified) => {
            told.verified = verified.record().kind.is_signature();
            told.fault = (!told.verified).then(|| Note::NotASignature.word());
            told.signed_at = verified.proven().map(|at| at.to_string());
            add_signer(&mut told, verified, known);
        }
    }
    told
}

fn add_signer(told: &mut ReportedSigner, verified: &VerifiedBundle, known: &SigstoreSigners) {
    match verified.signer() {
        SignerRecord::Identity(record) => {
            let mut identities = known.identities.iter();
            let found = identities.find(|one| one.identity.matches(record).is_ok());
            told.identity = found.map(|one| one.identity.name.clone());
        }
        SignerRecord::Key(key) => {
            let found = known
                .keys
                .iter()
                .find(|one| one.trusted.fingerprint == *key);
            told.key = found.map(|one| one.trusted.name.clone());
            told.fingerprint = key.to_string();
        }
    }
}

/// An archive that cannot be read says nothing about its provenance.
pub(super) fn unreadable(arguments: &Verify, error: &ArchiveError) -> (Verdict, Report) {
    let verdict = match gathering::unreadable(error) {
        Answer::Unavailable { cause, .. } => Verdict::Unknown(cause),
        Answer::Ambiguous { .. } | Answer::Archive(_) | Answer::NotFound => {
            Verdict::Untrusted(Reason::ArchiveAmbiguous)
        }
    };
    let name = arguments.chart.display().to_string();
    (verdict, unread((&name, ""), verdict, error.to_string()))
}

/// What is told of an archive of which nothing was read.
pub(super) fn unread((chart, version): (&str, &str), verdict: Verdict, message: String) -> Report {
    let finding = ReportedFinding {
        reason: verdict.word().to_owned(),
        message,
    };
    Report {
        schema_version: SCHEMA_VERSION,
        verdict: verdict_word(verdict),
        reason: verdict.word(),
        chart: chart.to_owned(),
        version: version.to_owned(),
        digest: None,
        rule: None,
        signers: Vec::new(),
        findings: vec![finding],
    }
}

/// What people read of a report.
pub(super) fn text(report: &Report) -> String {
    let lines = lines(report).into_iter();
    lines.map(|line| plain(&line) + "\n").collect()
}

/// What is found, a line each.
pub(super) fn findings(report: &Report) -> impl Iterator<Item = String> {
    let findings = report.findings.iter();
    findings.map(|finding| format!("{}: {}", finding.reason, finding.message))
}

fn lines(report: &Report) -> Vec<String> {
    let Report {
        chart,
        version,
        verdict,
        reason,
        ..
    } = report;
    let first = format!("{chart} {version}   {verdict}/{reason}");
    let verified = report.signers.iter().filter(|signer| signer.verified);
    let signers = verified.map(|signer| match &signer.key {
        _ if signer.subject.is_some() => {
            let subject = signer.subject.as_deref().unwrap_or_default();
            let name = signer.identity.as_deref().unwrap_or("unknown");
            format!("   signer {name} ({subject})")
        }
        Some(key) if *key != signer.fingerprint => {
            format!("   signer {key} ({})", signer.fingerprint)
        }
        _ => format!("   signer {}", signer.fingerprint),
    });
    let rule = report.rule.iter().map(|rule| format!("   rule {rule}"));
    let first = std::iter::once(first).chain(signers).chain(rule).collect();
    let findings = findings(report).map(|finding| format!("  {finding}"));
    std::iter::once(first).chain(findings).collect()
}
