//! Evidence as a `ReleaseTrust` keeps it: written, sealed, and read back after a restart.
//!
//! It lies where tenants may have rights, so it is believed only with a valid seal.

use std::collections::BTreeSet;
use std::str::FromStr as _;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{
    Answer, ArchiveFacts, Bound, Claim, Claims, Evidence, Outcome, ProvenanceFacts, SignatureFacts,
    Signed, Witness,
};
use charttrust_verify::openpgp::{self, Fingerprint, SignatureRecord, VerifiedSignature};
use serde::Serialize;

use super::world::Content;
use crate::api::release_trust as v1;
use crate::api::{bounds, time};
use crate::inventory::ReleaseId;

/// The key under which evidence is sealed.
#[derive(Clone, Debug)]
pub(super) struct Seal(hmac::Key);

/// What the seal covers: whose evidence it is, the revision it was gathered for, all of it.
#[derive(Serialize)]
struct Sealed<'a> {
    namespace: &'a str,
    name: &'a str,
    release: &'a v1::Release,
    content: &'a str,
    sources: &'a [v1::SourceEvidence],
    signers: &'a [v1::Signer],
    /// Absent where there are none, as in the seals of earlier versions.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    witnesses: &'a [v1::Witness],
}

impl Seal {
    /// Bytes of a key.
    pub(super) const LENGTH: usize = 32;

    /// A seal with this key.
    pub(super) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The tag for this evidence.
    fn tag(&self, sealed: &Sealed<'_>) -> String {
        BASE64_STANDARD_NO_PAD.encode(hmac::sign(&self.0, &message(sealed)))
    }

    fn is_valid(&self, sealed: &Sealed<'_>, tag: &str) -> bool {
        let Ok(tag) = BASE64_STANDARD_NO_PAD.decode(tag) else {
            return false;
        };
        hmac::verify(&self.0, &message(sealed), &tag).is_ok()
    }
}

fn message(sealed: &Sealed<'_>) -> Vec<u8> {
    // Invariant: plain structs of strings and numbers always serialize.
    serde_json::to_vec(sealed).unwrap_or_default()
}

/// Evidence and signers for the status, sealed for this release: of the content that the verdict is
/// about, unless its record cannot be read, and what was verified of others. `None` where nothing is
/// known.
pub(super) fn describe(
    id: &ReleaseId,
    release: &v1::Release,
    content: Option<&Content>,
    others: &BTreeSet<Witness>,
    seal: &Seal,
) -> (Option<v1::Evidence>, Vec<v1::Signer>) {
    let signers = content.map(signers).unwrap_or_default();
    let mut sources: Vec<_> = content
        .iter()
        .flat_map(|content| {
            let answers = content.evidence.answers.iter();
            answers.map(|(url, answer)| source(content, url, answer))
        })
        .collect();
    sources.sort_by_key(|source| source.binding != Some(v1::Binding::Same));
    sources.truncate(bounds::LIST);
    let witnesses: Vec<_> = others
        .iter()
        .take(bounds::SHORT_LIST)
        .map(witness)
        .collect();
    if sources.is_empty() && witnesses.is_empty() {
        return (None, signers);
    }
    let content = content.map(|content| BASE64_STANDARD_NO_PAD.encode(content.digest.as_bytes()));
    let content = content.unwrap_or_default();
    let sealed = Sealed {
        namespace: &id.namespace,
        name: &id.name,
        release,
        content: &content,
        sources: &sources,
        signers: &signers,
        witnesses: &witnesses,
    };
    let tag = seal.tag(&sealed);
    (
        Some(v1::Evidence {
            content,
            sources,
            witnesses,
            tag: Some(tag),
        }),
        signers,
    )
}

/// Why stored evidence is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Rejected {
    /// Somebody else wrote it, or it was sealed under a key that is lost.
    #[error("the evidence carries no valid seal")]
    Seal,
    /// It is sealed, but this version cannot read it.
    #[error("the evidence cannot be read by this version")]
    Unreadable,
}

/// What a status says of a release.
#[derive(Debug)]
pub(super) struct Restored {
    /// The content that the verdict was about, if sources had answered about it.
    pub(super) content: Option<Content>,
    /// What was verified of other revisions.
    pub(super) witnesses: BTreeSet<Witness>,
}

/// What a status says of a release's content, if it carries our seal. `None` if it says nothing.
pub(super) fn restore(
    id: &ReleaseId,
    status: &v1::ReleaseTrustStatus,
    seal: &Seal,
) -> Option<Result<Restored, Rejected>> {
    let (release, evidence) = (status.release.as_ref()?, status.evidence.as_ref()?);
    let sealed = Sealed {
        namespace: &id.namespace,
        name: &id.name,
        release,
        content: &evidence.content,
        sources: &evidence.sources,
        signers: &status.signers,
        witnesses: &evidence.witnesses,
    };
    if !seal.is_valid(&sealed, evidence.tag.as_deref().unwrap_or_default()) {
        return Some(Err(Rejected::Seal));
    }
    let witnesses: Option<_> = evidence.witnesses.iter().map(witnessed).collect();
    let content = if evidence.sources.is_empty() {
        Some(None)
    } else {
        content(release, evidence, &status.signers).map(Some)
    };
    let restored = content.zip(witnesses);
    let restored = restored.map(|(content, witnesses)| Restored { content, witnesses });
    Some(restored.ok_or(Rejected::Unreadable))
}

fn witness(witness: &Witness) -> v1::Witness {
    v1::Witness {
        archive: witness.archive.to_string(),
        provenance: witness.provenance.to_string(),
        first_verified: time(witness.first_verified),
    }
}

fn witnessed(witness: &v1::Witness) -> Option<Witness> {
    Some(Witness {
        archive: Sha256Digest::from_str(&witness.archive).ok()?,
        provenance: Sha256Digest::from_str(&witness.provenance).ok()?,
        first_verified: witness.first_verified.0,
    })
}

/// What a status says of a release's content, whoever wrote it: for people who ask what would be,
/// never for a verdict. `None` if it says nothing that can be read.
pub fn stated(status: &v1::ReleaseTrustStatus) -> Option<Content> {
    let (release, evidence) = (status.release.as_ref()?, status.evidence.as_ref()?);
    content(release, evidence, &status.signers)
}

fn content(
    release: &v1::Release,
    evidence: &v1::Evidence,
    signers: &[v1::Signer],
) -> Option<Content> {
    let bytes = BASE64_STANDARD_NO_PAD.decode(&evidence.content).ok()?;
    let mut restored = Evidence::default();
    for source in &evidence.sources {
        let is_answer = source.answer != v1::SourceAnswer::Unavailable
            && source.provenance_problem != Some(v1::ProvenanceProblem::Unavailable);
        if is_answer {
            restored
                .answers
                .insert(source.url.clone(), answer(release, source, signers)?);
        }
    }
    Some(Content {
        chart: release.chart.clone(),
        version: release.version.clone(),
        digest: Sha256Digest::from_bytes(bytes.try_into().ok()?),
        evidence: restored,
    })
}

fn source(content: &Content, url: &str, answer: &Answer) -> v1::SourceEvidence {
    let bare = |answer, message: Option<&String>| v1::SourceEvidence {
        message: message.map(|message| bounds::fit(message, bounds::MESSAGE)),
        ..v1::SourceEvidence::new(url, answer)
    };
    match answer {
        Answer::Ambiguous { message } => bare(v1::SourceAnswer::Ambiguous, Some(message)),
        Answer::NotFound => bare(v1::SourceAnswer::NotFound, None),
        Answer::Unavailable { message, .. } => bare(v1::SourceAnswer::Unavailable, Some(message)),
        Answer::Archive(facts) => archive(content, url, facts),
    }
}

fn answer(
    release: &v1::Release,
    source: &v1::SourceEvidence,
    signers: &[v1::Signer],
) -> Option<Answer> {
    Some(match source.answer {
        v1::SourceAnswer::Ambiguous => Answer::Ambiguous {
            message: source.message.clone().unwrap_or_default(),
        },
        v1::SourceAnswer::NotFound => Answer::NotFound,
        v1::SourceAnswer::Unavailable => return None,
        v1::SourceAnswer::Archive => Answer::Archive(Box::new(facts(release, source, signers)?)),
    })
}

fn archive(content: &Content, url: &str, facts: &ArchiveFacts) -> v1::SourceEvidence {
    // Whoever serves an archive chose its names, and one that is too long makes the server refuse
    // the whole status.
    let other =
        |ours: &str, theirs: &str, longest| (ours != theirs).then(|| bounds::fit(theirs, longest));
    let signed = facts.signed();
    let claims = signed.map(|signed| &signed.claims);
    let signed_archive = claims.map(|claims| claims.claimed_archive);
    v1::SourceEvidence {
        message: message_of(&facts.provenance),
        archive: Some(facts.digest.to_string()),
        chart: other(&content.chart, &facts.name, bounds::NAME),
        version: other(&content.version, &facts.version, bounds::VERSION),
        binding: Some(binding(&facts.binding)),
        differences: differences(&facts.binding),
        subcharts: facts.has_subcharts,
        index_disagrees: facts.index_disagrees,
        provenance: signed.map(|signed| signed.digest.to_string()),
        provenance_problem: problem(&facts.provenance),
        signed_chart: claims
            .and_then(|claims| other(&content.chart, &claims.claimed_name, bounds::NAME)),
        signed_version: claims
            .and_then(|claims| other(&content.version, &claims.claimed_version, bounds::VERSION)),
        signed_archive: signed_archive
            .filter(|digest| *digest != Some(facts.digest))
            .map(|digest| digest.map(|digest| digest.to_string()).unwrap_or_default()),
        first_verified: facts.first_verified.map(time),
        ..v1::SourceEvidence::new(url, v1::SourceAnswer::Archive)
    }
}

fn facts(
    release: &v1::Release,
    source: &v1::SourceEvidence,
    signers: &[v1::Signer],
) -> Option<ArchiveFacts> {
    let digest = Sha256Digest::from_str(source.archive.as_ref()?).ok()?;
    let or_same = |other: &Option<String>, ours: &str| other.clone().unwrap_or(ours.to_owned());
    let differences = source.differences.clone();
    Some(ArchiveFacts {
        digest,
        name: or_same(&source.chart, &release.chart),
        version: or_same(&source.version, &release.version),
        binding: match source.binding? {
            v1::Binding::Different => Bound::Different(differences),
            v1::Binding::NoRecord => Bound::NoRecord,
            v1::Binding::OldWriter => Bound::OldWriter(differences),
            v1::Binding::Same => Bound::Same(differences),
        },
        has_subcharts: source.subcharts,
        index_disagrees: source.index_disagrees,
        provenance: provenance(release, source, digest, signers)?,
        first_verified: source.first_verified.as_ref().map(|time| time.0),
    })
}

fn provenance(
    release: &v1::Release,
    source: &v1::SourceEvidence,
    archive: Sha256Digest,
    signers: &[v1::Signer],
) -> Option<ProvenanceFacts> {
    match source.provenance_problem {
        Some(v1::ProvenanceProblem::Malformed) => {
            let message = source.message.clone().unwrap_or_default();
            return Some(ProvenanceFacts::Malformed { message });
        }
        Some(v1::ProvenanceProblem::Missing) => return Some(ProvenanceFacts::Missing),
        Some(v1::ProvenanceProblem::Unavailable) => return None,
        None => {}
    }
    let named = source.provenance.as_ref()?;
    let of_this = |signer: &&v1::Signer| {
        signer
            .provenance
            .as_ref()
            .is_none_or(|provenance| provenance == named)
    };
    let signatures: Option<Vec<_>> = signers.iter().filter(of_this).map(signature).collect();
    let claimed_archive = match source.signed_archive.as_deref() {
        None => Some(archive),
        Some("") => None,
        Some(other) => Some(Sha256Digest::from_str(other).ok()?),
    };
    let or_same = |other: &Option<String>, ours: &str| other.clone().unwrap_or(ours.to_owned());
    Some(ProvenanceFacts::Signed(Box::new(Signed {
        digest: Sha256Digest::from_str(named).ok()?,
        claims: Claims {
            claimed_name: or_same(&source.signed_chart, &release.chart),
            claimed_version: or_same(&source.signed_version, &release.version),
            claimed_archive,
        },
        signatures: signatures?,
        message: None,
    })))
}

fn message_of(provenance: &ProvenanceFacts) -> Option<String> {
    match provenance {
        ProvenanceFacts::Malformed { message } | ProvenanceFacts::Unavailable { message, .. } => {
            Some(bounds::fit(message, bounds::MESSAGE))
        }
        ProvenanceFacts::Missing | ProvenanceFacts::Signed(_) => None,
    }
}

fn binding(bound: &Bound) -> v1::Binding {
    match bound {
        Bound::Different(_) => v1::Binding::Different,
        Bound::NoRecord | Bound::NotCompared => v1::Binding::NoRecord,
        Bound::OldWriter(_) => v1::Binding::OldWriter,
        Bound::Same(_) => v1::Binding::Same,
    }
}

fn differences(bound: &Bound) -> Vec<String> {
    match bound {
        Bound::Different(all) | Bound::OldWriter(all) | Bound::Same(all) => {
            let bounded = all.iter().map(|text| bounds::fit(text, bounds::MESSAGE));
            bounded.take(bounds::SHORT_LIST).collect()
        }
        Bound::NoRecord | Bound::NotCompared => Vec::new(),
    }
}

fn problem(provenance: &ProvenanceFacts) -> Option<v1::ProvenanceProblem> {
    match provenance {
        ProvenanceFacts::Malformed { .. } => Some(v1::ProvenanceProblem::Malformed),
        ProvenanceFacts::Missing => Some(v1::ProvenanceProblem::Missing),
        ProvenanceFacts::Signed(_) => None,
        ProvenanceFacts::Unavailable { .. } => Some(v1::ProvenanceProblem::Unavailable),
    }
}

/// Every signature of every statement; each names its statement only if there are several.
fn signers(content: &Content) -> Vec<v1::Signer> {
    let mut statements: Vec<&Signed> = Vec::new();
    for signed in content
        .evidence
        .archives()
        .filter_map(|(_, facts)| facts.signed())
    {
        if statements.iter().all(|known| known.digest != signed.digest) {
            statements.push(signed);
        }
    }
    let are_several = statements.len() > 1;
    let all = statements.iter().flat_map(|signed| {
        let digest = are_several.then(|| signed.digest.to_string());
        signed
            .signatures
            .iter()
            .map(move |signature| signer(signature, digest.as_ref()))
    });
    all.take(bounds::LIST).collect()
}

fn signer(signature: &SignatureFacts, provenance: Option<&String>) -> v1::Signer {
    let claimed = &signature.claimed;
    let unverified = |fingerprint: String, fault| v1::Signer {
        fingerprint,
        subkey: None,
        signed_at: claimed.created.map(time),
        expires_at: None,
        algorithm: bounds::fit(&claimed.algorithm, bounds::WORD),
        verified: false,
        fault,
        provenance: provenance.cloned(),
    };
    match &signature.outcome {
        Outcome::UnknownIssuer => unverified(claimed.issuer().unwrap_or_default().to_owned(), None),
        Outcome::Fault(fingerprint, word) => {
            unverified(fingerprint.to_string(), Some(word.as_str().to_owned()))
        }
        Outcome::Verified(verified) => v1::Signer {
            fingerprint: verified.primary().to_string(),
            subkey: (verified.signer() != verified.primary())
                .then(|| verified.signer().to_string()),
            signed_at: Some(time(verified.created())),
            expires_at: verified.expires().map(time),
            algorithm: format!("{}/{}", verified.algorithm(), verified.hash()),
            verified: true,
            fault: None,
            provenance: provenance.cloned(),
        },
    }
}

fn signature(signer: &v1::Signer) -> Option<SignatureFacts> {
    let fingerprint = Fingerprint::from_str(&signer.fingerprint).ok();
    let is_key_id = fingerprint.is_none() && !signer.fingerprint.is_empty();
    let claimed = Claim {
        key_id: is_key_id.then(|| signer.fingerprint.clone()),
        fingerprint: fingerprint.clone(),
        created: signer.signed_at.as_ref().map(|time| time.0),
        algorithm: signer.algorithm.clone(),
    };
    let outcome = match (&signer.fault, signer.verified) {
        (None, false) => Outcome::UnknownIssuer,
        (Some(word), false) => Outcome::Fault(fingerprint?, openpgp::Word::of_fault(word)?),
        (_, true) => Outcome::Verified(verified(signer, fingerprint?)?),
    };
    Some(SignatureFacts { claimed, outcome })
}

/// Only for evidence whose seal was checked.
fn verified(signer: &v1::Signer, primary: Fingerprint) -> Option<VerifiedSignature> {
    let (algorithm, hash) = signer.algorithm.rsplit_once('/')?;
    let subkey = match &signer.subkey {
        Some(subkey) => Some(Fingerprint::from_str(subkey).ok()?),
        None => None,
    };
    Some(VerifiedSignature::restore(SignatureRecord {
        signer: subkey.unwrap_or_else(|| primary.clone()),
        primary,
        created: signer.signed_at.as_ref()?.0,
        expires: signer.expires_at.as_ref().map(|time| time.0),
        algorithm: algorithm.to_owned(),
        hash: hash.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use charttrust_verify::verdict::Cause;

    use super::*;

    const KEY: &str = "0123456789ABCDEF0123456789ABCDEF01234567";
    const SUBKEY: &str = "89ABCDEF0123456789ABCDEF0123456789ABCDEF";

    fn id() -> ReleaseId {
        ReleaseId {
            namespace: "shop".into(),
            name: "web".into(),
        }
    }

    fn release() -> v1::Release {
        v1::Release {
            driver: v1::Driver::Secret,
            revision: 1,
            chart: "web".into(),
            version: "1.0.0".into(),
            owner: v1::Owner::Helm,
            resource_version: "7".into(),
        }
    }

    fn seal() -> Seal {
        Seal::new(&[7; Seal::LENGTH])
    }

    fn signature_facts(outcome: Outcome) -> SignatureFacts {
        let claimed = Claim {
            fingerprint: Some(KEY.parse().unwrap()),
            key_id: None,
            created: Some("2026-11-18T00:00:00Z".parse().unwrap()),
            algorithm: "RSA-2048/SHA512".into(),
        };
        SignatureFacts { claimed, outcome }
    }

    fn verified_signature(signer: &str) -> Outcome {
        Outcome::Verified(VerifiedSignature::restore(SignatureRecord {
            primary: KEY.parse().unwrap(),
            signer: signer.parse().unwrap(),
            created: "2026-11-18T00:00:00Z".parse().unwrap(),
            expires: Some("2027-11-18T00:00:00Z".parse().unwrap()),
            algorithm: "RSA-2048".into(),
            hash: "SHA512".into(),
        }))
    }

    fn archive_facts(provenance: ProvenanceFacts) -> Answer {
        Answer::Archive(Box::new(ArchiveFacts {
            digest: Sha256Digest::of(b"archive"),
            name: "web".into(),
            version: "1.0.0".into(),
            binding: Bound::Same(vec!["values differ".into()]),
            has_subcharts: true,
            index_disagrees: true,
            provenance,
            first_verified: Some("2026-11-19T00:00:00Z".parse().unwrap()),
        }))
    }

    fn signed(outcomes: Vec<Outcome>, claimed_archive: Option<Sha256Digest>) -> ProvenanceFacts {
        ProvenanceFacts::Signed(Box::new(Signed {
            digest: Sha256Digest::of(b"provenance"),
            claims: Claims {
                claimed_name: "web".into(),
                claimed_version: "0.9.0".into(),
                claimed_archive,
            },
            signatures: outcomes.into_iter().map(signature_facts).collect(),
            message: None,
        }))
    }

    fn content_of(answer: Answer) -> Content {
        let mut evidence = Evidence::default();
        evidence
            .answers
            .insert("https://charts.example.com".into(), answer);
        Content {
            chart: "web".into(),
            version: "1.0.0".into(),
            digest: Sha256Digest::of(b"content"),
            evidence,
        }
    }

    fn status_of(content: &Content) -> v1::ReleaseTrustStatus {
        status_with(Some(content), &BTreeSet::new())
    }

    fn status_with(
        content: Option<&Content>,
        others: &BTreeSet<Witness>,
    ) -> v1::ReleaseTrustStatus {
        let (evidence, signers) = describe(&id(), &release(), content, others, &seal());
        let status = v1::ReleaseTrustStatus::default();
        v1::ReleaseTrustStatus {
            release: Some(release()),
            evidence,
            signers,
            ..status
        }
    }

    fn content_in(status: &v1::ReleaseTrustStatus) -> Content {
        let restored = restore(&id(), status, &seal()).unwrap().unwrap();
        restored.content.expect("a content")
    }

    fn every_answer() -> Vec<Answer> {
        let key: Fingerprint = KEY.parse().unwrap();
        let fault = Outcome::Fault(key, openpgp::Word::WeakHash);
        let all = vec![
            verified_signature(KEY),
            verified_signature(SUBKEY),
            fault,
            Outcome::UnknownIssuer,
        ];
        let other = Some(Sha256Digest::of(b"other"));
        vec![
            Answer::Ambiguous {
                message: "a link".into(),
            },
            Answer::NotFound,
            archive_facts(ProvenanceFacts::Missing),
            archive_facts(ProvenanceFacts::Malformed {
                message: "no BEGIN line".into(),
            }),
            archive_facts(signed(all, Some(Sha256Digest::of(b"archive")))),
            archive_facts(signed(Vec::new(), other)),
            archive_facts(signed(vec![Outcome::UnknownIssuer], None)),
        ]
    }

    #[test]
    fn what_was_written_is_read_back() {
        for answer in every_answer() {
            let content = content_of(answer);
            let restored = content_in(&status_of(&content));
            assert_eq!(format!("{restored:?}"), format!("{content:?}"));
        }
    }

    #[test]
    fn what_was_read_back_is_written_alike() {
        for answer in every_answer() {
            let status = status_of(&content_of(answer));
            assert_eq!(status_of(&content_in(&status)), status);
        }
    }

    #[test]
    fn names_that_others_chose_fit_the_schema() {
        let endless = "a".repeat(70_000);
        let Answer::Archive(mut facts) = archive_facts(signed(Vec::new(), None)) else {
            panic!("an archive")
        };
        (facts.name, facts.version) = (endless.clone(), endless.clone());
        if let ProvenanceFacts::Signed(signed) = &mut facts.provenance {
            signed.claims.claimed_name = endless.clone();
            signed.claims.claimed_version = endless;
        }
        let status = status_of(&content_of(Answer::Archive(facts)));
        let source = &status.evidence.as_ref().unwrap().sources[0];
        for (text, longest) in [
            (&source.chart, bounds::NAME),
            (&source.signed_chart, bounds::NAME),
            (&source.version, bounds::VERSION),
            (&source.signed_version, bounds::VERSION),
        ] {
            let text = text.as_ref().expect("it is another");
            assert!(text.len() <= longest, "{} bytes", text.len());
        }
        assert_eq!(status_of(&content_in(&status)), status);
    }

    #[test]
    fn silence_is_not_read_back() {
        let silence = Answer::Unavailable {
            cause: Cause::LimitExceeded,
            message: "big".into(),
        };
        let half = ProvenanceFacts::Unavailable {
            cause: Cause::SourceUnavailable,
            message: "500".into(),
        };
        for answer in [silence, archive_facts(half)] {
            let status = status_of(&content_of(answer));
            assert!(content_in(&status).evidence.answers.is_empty());
        }
    }

    #[test]
    fn any_change_breaks_the_seal() {
        let content = content_of(every_answer().remove(4));
        let changes: [fn(&mut v1::ReleaseTrustStatus); 6] = [
            |status| status.signers[3].verified = true,
            |status| status.signers.truncate(1),
            |status| status.evidence.as_mut().unwrap().sources[0].index_disagrees = false,
            |status| status.evidence.as_mut().unwrap().content = "A".repeat(43),
            |status| status.release.as_mut().unwrap().chart = "other".into(),
            |status| status.evidence.as_mut().unwrap().tag = None,
        ];
        for change in changes {
            let mut status = status_of(&content);
            change(&mut status);
            assert_eq!(
                restore(&id(), &status, &seal()).unwrap().err(),
                Some(Rejected::Seal)
            );
        }
    }

    #[test]
    fn what_was_verified_of_others_is_sealed_too_also_beside_nothing() {
        let witness = |archive: &[u8]| Witness {
            archive: Sha256Digest::of(archive),
            provenance: Sha256Digest::of(b"provenance"),
            first_verified: "2026-09-01T00:00:00Z".parse().unwrap(),
        };
        let others = BTreeSet::from([witness(b"one"), witness(b"another")]);
        let content = content_of(every_answer().remove(4));
        for content in [Some(&content), None] {
            let status = status_with(content, &others);
            let restored = restore(&id(), &status, &seal()).unwrap().unwrap();
            assert_eq!(restored.witnesses, others);
            assert_eq!(restored.content.is_some(), content.is_some());

            let mut forged = status.clone();
            let evidence = forged.evidence.as_mut().unwrap();
            evidence.witnesses[0].first_verified = time("2020-01-01T00:00:00Z".parse().unwrap());
            assert_eq!(
                restore(&id(), &forged, &seal()).unwrap().err(),
                Some(Rejected::Seal)
            );
        }
        assert_eq!(status_with(None, &BTreeSet::new()).evidence, None);
    }

    #[test]
    fn evidence_of_another_release_or_key_is_not_believed() {
        let status = status_of(&content_of(every_answer().remove(4)));
        let elsewhere = ReleaseId {
            namespace: "other".into(),
            ..id()
        };
        let renamed = ReleaseId {
            name: "other".into(),
            ..id()
        };
        for id in [elsewhere, renamed] {
            assert_eq!(
                restore(&id, &status, &seal()).unwrap().err(),
                Some(Rejected::Seal)
            );
        }
        let lost = Seal::new(&[8; Seal::LENGTH]);
        assert_eq!(
            restore(&id(), &status, &lost).unwrap().err(),
            Some(Rejected::Seal)
        );
    }

    #[test]
    fn a_status_without_evidence_says_nothing() {
        assert!(restore(&id(), &v1::ReleaseTrustStatus::default(), &seal()).is_none());
    }
}
