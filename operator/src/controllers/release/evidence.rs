//! Evidence as a `ReleaseTrust` keeps it: written, sealed, and read back after a restart.
//!
//! It lies where tenants may have rights, so it is believed only with a valid seal.

mod bound;
mod bundles;
mod earlier;
pub(in crate::controllers) mod readers;
mod room;
mod unsigned;

use std::collections::BTreeSet;
use std::str::FromStr as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{
    Answer, ArchiveFacts, Claim, Claims, Evidence, Outcome, Place, ProvenanceFacts, SignatureFacts,
    Signed, SubchartId,
};
use charttrust_verify::key::Key;
use charttrust_verify::openpgp::{self, Fingerprint, SignatureRecord, VerifiedSignature};
use charttrust_verify::seal::{self, Attestation};
use charttrust_verify::witness::FirstVerification;
use jiff::Timestamp;
use serde::Serialize;

use self::room::Room;
use super::bundled::{bundled, unbundled};
use crate::api::release_trust as v1;
use crate::api::{bounds, time};
use crate::controllers::store::Content;
use crate::controllers::store::seal::Seal;
use crate::inventory::ReleaseId;

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
    earlier: &'a [String],
    /// Of earlier versions only.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    witnesses: &'a [v1::Witness],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    dependencies: &'a [v1::SourceEvidence],
    /// Which engine has found it. Absent in the seals of versions that knew no epochs.
    #[serde(skip_serializing_if = "is_first")]
    epoch: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_first(epoch: &u32) -> bool {
    *epoch == 0
}

/// How evidence is sealed.
#[derive(Clone, Copy, Debug)]
pub(in crate::controllers) struct Sealing<'a> {
    pub(in crate::controllers) seal: &'a Seal,
    /// Which engine has found it.
    pub(in crate::controllers) age: Age,
}

/// Whether evidence was found by this engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::controllers) enum Age {
    Current,
    /// By an earlier one, which may have had a hole that is mended now.
    Older,
}

impl Age {
    fn epoch(self) -> u32 {
        match self {
            Self::Current => seal::EPOCH,
            Self::Older => seal::EPOCH.saturating_sub(1),
        }
    }
}

fn message(sealed: &Sealed<'_>) -> Vec<u8> {
    // Invariant: plain structs of strings and numbers always serialize.
    serde_json::to_vec(sealed).unwrap_or_default()
}

/// What evidence and signers are described from.
#[derive(Clone, Copy, Debug)]
pub(in crate::controllers) struct Described<'a> {
    /// The content that the verdict is about, unless its record cannot be read.
    pub(in crate::controllers) content: Option<&'a Content>,
    /// The source whose archive was judged. Without a record nothing else shows which of them it is.
    pub(in crate::controllers) origin: Option<&'a str>,
    /// What was verified of others.
    pub(in crate::controllers) others: &'a [FirstVerification],
    /// The keys, by which a signature that holds may count for nothing nevertheless.
    pub(in crate::controllers) keys: &'a [Key],
    /// When.
    pub(in crate::controllers) now: Timestamp,
}

/// Evidence and signers for the status, sealed for this release: of the content that the verdict is
/// about, unless its record cannot be read, and what was verified of others. `None` where nothing is
/// known.
pub(in crate::controllers) fn describe(
    id: &ReleaseId,
    release: &v1::Release,
    described: Described<'_>,
    sealing: Sealing<'_>,
) -> (Option<v1::Evidence>, Vec<v1::Signer>) {
    let Described {
        content, others, ..
    } = described;
    let mut room = Room::default();
    let sources = content.map(|content| sources((content, described.origin), &mut room));
    let sources = sources.unwrap_or_default();
    let dependencies = content.map(|content| dependencies(content, &mut room));
    let dependencies = dependencies.unwrap_or_default();
    let signers = content.map(|content| signers(content, &room, described));
    let signers = signers.unwrap_or_default();
    let earlier = earlier::written(others);
    if sources.is_empty() && earlier.is_empty() {
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
        earlier: &earlier,
        witnesses: &[],
        dependencies: &dependencies,
        epoch: sealing.age.epoch(),
    };
    let tag = sealing.seal.sign(&message(&sealed));
    (
        Some(v1::Evidence {
            content,
            sources,
            dependencies,
            earlier,
            witnesses: Vec::new(),
            tag: Some(tag),
        }),
        signers,
    )
}

/// Why stored evidence is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::controllers) enum Rejected {
    /// Somebody else wrote it, or it was sealed under a key that is lost.
    #[error("the evidence carries no valid seal")]
    Seal,
    /// It is sealed, but this version cannot read it.
    #[error("the evidence cannot be read by this version")]
    Unreadable,
}

/// What a status says of a release.
#[derive(Debug)]
pub(in crate::controllers) struct Restored {
    /// The content that the verdict was about, if sources had answered about it.
    pub(in crate::controllers) content: Option<Content>,
    /// What was verified of other revisions.
    pub(in crate::controllers) witnesses: Vec<FirstVerification>,
    /// Which engine has found it.
    pub(in crate::controllers) age: Age,
}

/// What a status says of a release's content, if it carries our seal. `None` if it says nothing.
pub(in crate::controllers) fn restore(
    id: &ReleaseId,
    status: &v1::ReleaseTrustStatus,
    seal: &Seal,
) -> Option<Result<Restored, Rejected>> {
    attested(id, status, |sealed, tag| seal.attest(sealed, tag))
}

fn attested(
    id: &ReleaseId,
    status: &v1::ReleaseTrustStatus,
    attest: impl Fn(&[u8], &str) -> Option<Attestation>,
) -> Option<Result<Restored, Rejected>> {
    let (release, evidence) = (status.release.as_ref()?, status.evidence.as_ref()?);
    let attest_by = |epoch| {
        let sealed = Sealed {
            namespace: &id.namespace,
            name: &id.name,
            release,
            content: &evidence.content,
            sources: &evidence.sources,
            signers: &status.signers,
            earlier: &evidence.earlier,
            witnesses: &evidence.witnesses,
            dependencies: &evidence.dependencies,
            epoch,
        };
        let attested = attest(
            &message(&sealed),
            evidence.tag.as_deref().unwrap_or_default(),
        )?;
        Some((epoch, attested))
    };
    let Some((epoch, attested)) = (0..=seal::EPOCH).rev().find_map(attest_by) else {
        return Some(Err(Rejected::Seal));
    };
    let age = if epoch == seal::EPOCH {
        Age::Current
    } else {
        Age::Older
    };
    let witnesses = earlier::read(evidence);
    let content = if evidence.sources.is_empty() {
        Some(None)
    } else {
        content(release, evidence, &status.signers, attested).map(Some)
    };
    let restored = content.zip(witnesses);
    let restored = restored.map(|(content, witnesses)| Restored {
        content,
        witnesses,
        age,
    });
    Some(restored.ok_or(Rejected::Unreadable))
}

fn content(
    release: &v1::Release,
    evidence: &v1::Evidence,
    signers: &[v1::Signer],
    attested: Attestation,
) -> Option<Content> {
    let bytes = BASE64_STANDARD_NO_PAD.decode(&evidence.content).ok()?;
    let mut restored = Evidence::default();
    for source in evidence.sources.iter().filter(|source| is_answer(source)) {
        let answer = answer(release, source, signers, attested)?;
        restored.answers.insert(source.url.clone(), answer);
    }
    let answered = evidence.dependencies.iter();
    for source in answered.filter(|source| is_answer(source)) {
        let id = SubchartId {
            repository: source.url.clone(),
            name: source.chart.clone()?,
            version: source.version.clone()?,
        };
        let answer = answer(release, source, signers, attested)?;
        restored.subcharts.insert(id, answer);
    }
    Some(Content {
        chart: release.chart.clone(),
        version: release.version.clone(),
        manifest: None,
        recorded: None,
        digest: Sha256Digest::from_bytes(bytes.try_into().ok()?),
        evidence: restored,
    })
}

/// Whether a source has said what can be judged without asking it. A signature that was verified can be, whatever
/// is not known of the provenance beside it.
fn is_answer(source: &v1::SourceEvidence) -> bool {
    let is_silent = match source.provenance_problem {
        Some(v1::ProvenanceProblem::TooLarge | v1::ProvenanceProblem::Unavailable) => true,
        Some(v1::ProvenanceProblem::Malformed | v1::ProvenanceProblem::Missing) | None => false,
    };
    let bundles = source.bundles.iter().flat_map(|it| &it.signatures);
    let mut outcomes = bundles.map(|one| one.outcome);
    let is_verified = outcomes.any(|outcome| outcome == v1::BundleOutcome::Verified);
    source.answer != v1::SourceAnswer::Unavailable && (is_verified || !is_silent)
}

/// What the sources have answered, the origin first.
fn sources<'a>(
    (content, origin): (&'a Content, Option<&str>),
    room: &mut Room<'a>,
) -> Vec<v1::SourceEvidence> {
    let answers = content.evidence.answers.iter();
    let described = answers.map(|(url, answer)| (source(content, url, answer), answer));
    let mut described: Vec<_> = described.collect();
    let is_origin = |source: &v1::SourceEvidence| origin == Some(source.url.as_str());
    described.sort_by_key(|(source, _)| {
        let is_same = source.binding == Some(v1::Binding::Same);
        (!is_same, !is_origin(source))
    });
    let listed = described.into_iter().take(bounds::LIST);
    let listed = listed.filter(|(source, answer)| room.takes(source, answer));
    listed.map(|(source, _)| source).collect()
}

/// What was answered about the subcharts of its archives. Those that are not listed are asked about again.
fn dependencies<'a>(content: &'a Content, room: &mut Room<'a>) -> Vec<v1::SourceEvidence> {
    let evidence = &content.evidence;
    let archives = evidence.archives();
    let listed: BTreeSet<_> = archives
        .flat_map(|(_, facts)| facts.subcharts.iter().map(|subchart| &subchart.id))
        .collect();
    let answers = evidence.subcharts.iter();
    let answers = answers.filter(|(id, _)| listed.contains(id));
    let described = answers.map(|(id, answer)| {
        let described = v1::SourceEvidence {
            chart: Some(bounds::fit(&id.name, bounds::NAME)),
            version: Some(bounds::fit(&id.version, bounds::VERSION)),
            ..source(content, &id.repository, answer)
        };
        (described, answer)
    });
    let fitting = described.filter(|(described, answer)| room.takes(described, answer));
    fitting
        .take(bounds::LIST)
        .map(|(described, _)| described)
        .collect()
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
    attested: Attestation,
) -> Option<Answer> {
    Some(match source.answer {
        v1::SourceAnswer::Ambiguous => Answer::Ambiguous {
            message: source.message.clone().unwrap_or_default(),
        },
        v1::SourceAnswer::NotFound => Answer::NotFound,
        v1::SourceAnswer::Unavailable => return None,
        v1::SourceAnswer::Archive => {
            Answer::Archive(Box::new(facts(release, source, signers, attested)?))
        }
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
        message: unsigned::message(&facts.provenance),
        archive: Some(facts.digest.to_string()),
        chart: other(&content.chart, &facts.name, bounds::NAME),
        version: other(&content.version, &facts.version, bounds::VERSION),
        binding: Some(bound::written(&facts.binding)),
        differences: bound::differences(&facts.binding),
        subcharts: facts.has_subcharts,
        dependencies: bundled(facts),
        content: facts.content.map(|digest| digest.to_string()),
        index_disagrees: facts.index_disagrees,
        mirrored: match (facts.place, signed.map(|signed| signed.place)) {
            (Place::Mirror, _) => v1::Mirrored::Archive,
            (_, Some(Place::Mirror)) => v1::Mirrored::Provenance,
            (_, Some(Place::Elsewhere)) => v1::Mirrored::Elsewhere,
            (_, Some(Place::Main) | None) => v1::Mirrored::Nothing,
        },
        provisional: !facts.settled,
        provenance: signed.map(|signed| signed.digest.to_string()),
        provenance_problem: unsigned::written(&facts.provenance),
        signed_chart: claims
            .and_then(|claims| other(&content.chart, &claims.claimed_name, bounds::NAME)),
        signed_version: claims
            .and_then(|claims| other(&content.version, &claims.claimed_version, bounds::VERSION)),
        signed_archive: signed_archive
            .filter(|digest| *digest != Some(facts.digest))
            .map(|digest| digest.map(|digest| digest.to_string()).unwrap_or_default()),
        first_verified: facts.first_verified.map(time),
        bundles: bundles::written(facts),
        ..v1::SourceEvidence::new(url, v1::SourceAnswer::Archive)
    }
}

fn facts(
    release: &v1::Release,
    source: &v1::SourceEvidence,
    signers: &[v1::Signer],
    attested: Attestation,
) -> Option<ArchiveFacts> {
    let digest = Sha256Digest::from_str(source.archive.as_ref()?).ok()?;
    let or_same = |other: &Option<String>, ours: &str| other.clone().unwrap_or(ours.to_owned());
    Some(ArchiveFacts {
        digest,
        name: or_same(&source.chart, &release.chart),
        version: or_same(&source.version, &release.version),
        binding: bound::read(source.binding?, &source.differences),
        has_subcharts: source.subcharts,
        subcharts: source
            .dependencies
            .iter()
            .map(unbundled)
            .collect::<Option<_>>()?,
        content: match &source.content {
            Some(digest) => Some(Sha256Digest::from_str(digest).ok()?),
            None => None,
        },
        index_disagrees: source.index_disagrees,
        provenance: provenance(release, source, signers, attested)?,
        bundles: match &source.bundles {
            Some(written) => Some(bundles::read(written, digest, attested)?),
            None => None,
        },
        place: match source.mirrored {
            v1::Mirrored::Archive => Place::Mirror,
            _ => Place::Main,
        },
        settled: !source.provisional,
        first_verified: source.first_verified.as_ref().map(|time| time.0),
    })
}

fn provenance(
    release: &v1::Release,
    source: &v1::SourceEvidence,
    signers: &[v1::Signer],
    attested: Attestation,
) -> Option<ProvenanceFacts> {
    if let Some(problem) = source.provenance_problem {
        return Some(unsigned::read(source, problem));
    }
    let named = source.provenance.as_ref()?;
    let of_this = |signer: &&v1::Signer| {
        let provenance = signer.provenance.as_ref();
        signer.bundle.is_none() && provenance.is_none_or(|provenance| provenance == named)
    };
    let signatures: Option<Vec<_>> = signers
        .iter()
        .filter(of_this)
        .map(|signer| signature(signer, attested))
        .collect();
    let claimed_archive = match source.signed_archive.as_deref() {
        None => Some(Sha256Digest::from_str(source.archive.as_ref()?).ok()?),
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
        place: match source.mirrored {
            v1::Mirrored::Archive | v1::Mirrored::Provenance => Place::Mirror,
            v1::Mirrored::Elsewhere => Place::Elsewhere,
            v1::Mirrored::Nothing => Place::Main,
        },
        message: None,
    })))
}

/// Every signature of every statement that is told, each of which names its statement only if there are several;
/// then those of Sigstore.
fn signers(content: &Content, room: &Room<'_>, described: Described<'_>) -> Vec<v1::Signer> {
    let mut statements: Vec<&Signed> = Vec::new();
    for signed in content
        .evidence
        .statements()
        .filter(|signed| room.has(signed))
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
            .map(move |signature| signer(signature, digest.as_ref(), described))
    });
    all.chain(room.bundles().map(bundles::signer)).collect()
}

fn signer(
    signature: &SignatureFacts,
    provenance: Option<&String>,
    described: Described<'_>,
) -> v1::Signer {
    let claimed = &signature.claimed;
    let unverified = |fingerprint: String, fault| v1::Signer {
        fingerprint,
        issuer: None,
        subject: None,
        subkey: None,
        signed_at: claimed.created.map(time),
        expires_at: None,
        algorithm: bounds::fit(&claimed.algorithm, bounds::WORD),
        verified: false,
        fault,
        provenance: provenance.cloned(),
        bundle: None,
    };
    match &signature.outcome {
        // Whatever issuer it may claim, its fault is not that key's.
        Outcome::Nobodys(code) => unverified(String::new(), Some(code.word().to_owned())),
        Outcome::UnknownIssuer => unverified(claimed.issuer().unwrap_or_default().to_owned(), None),
        Outcome::Fault(fingerprint, word) => {
            unverified(fingerprint.to_string(), Some(word.word().to_owned()))
        }
        Outcome::Verified(verified) => v1::Signer {
            fingerprint: verified.primary().to_string(),
            issuer: None,
            subject: None,
            subkey: (verified.signer() != verified.primary())
                .then(|| verified.signer().to_string()),
            signed_at: Some(time(verified.created())),
            expires_at: verified.expires().map(time),
            algorithm: format!("{}/{}", verified.algorithm(), verified.hash()),
            verified: true,
            fault: signature
                .fault(described.keys, described.now)
                .map(|code| code.word().to_owned()),
            provenance: provenance.cloned(),
            bundle: None,
        },
    }
}

fn signature(signer: &v1::Signer, attested: Attestation) -> Option<SignatureFacts> {
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
        (Some(word), false) => match (openpgp::Code::of_fault(word)?, fingerprint) {
            (code, None) | (code @ openpgp::Code::NoIssuer, _) => Outcome::Nobodys(code),
            (code, Some(fingerprint)) => Outcome::Fault(fingerprint, code),
        },
        (_, true) => Outcome::Verified(verified(signer, fingerprint?, attested)?),
    };
    Some(SignatureFacts { claimed, outcome })
}

fn verified(
    signer: &v1::Signer,
    primary: Fingerprint,
    attested: Attestation,
) -> Option<VerifiedSignature> {
    let (algorithm, hash) = signer.algorithm.rsplit_once('/')?;
    let subkey = match &signer.subkey {
        Some(subkey) => Some(Fingerprint::from_str(subkey).ok()?),
        None => None,
    };
    let record = SignatureRecord {
        signer: subkey.unwrap_or_else(|| primary.clone()),
        primary,
        created: signer.signed_at.as_ref()?.0,
        expires: signer.expires_at.as_ref().map(|time| time.0),
        algorithm: algorithm.to_owned(),
        hash: hash.to_owned(),
    };
    Some(VerifiedSignature::restore(record, attested))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use charttrust_verify::evidence::{Bound, SubchartFacts};
    use charttrust_verify::key::Scope;
    use charttrust_verify::limits::MOST_SUBCHARTS;
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

    fn described<'a>(
        content: Option<&'a Content>,
        others: &'a [FirstVerification],
    ) -> Described<'a> {
        Described {
            content,
            others,
            origin: None,
            keys: &[],
            now: Timestamp::UNIX_EPOCH,
        }
    }

    fn sealing(age: Age) -> Sealing<'static> {
        static SEAL: std::sync::LazyLock<Seal> = std::sync::LazyLock::new(seal);
        Sealing { seal: &SEAL, age }
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
        let record = SignatureRecord {
            primary: KEY.parse().unwrap(),
            signer: signer.parse().unwrap(),
            created: "2026-11-18T00:00:00Z".parse().unwrap(),
            expires: Some("2027-11-18T00:00:00Z".parse().unwrap()),
            algorithm: "RSA-2048".into(),
            hash: "SHA512".into(),
        };
        Outcome::Verified(VerifiedSignature::restore(record, Attestation::supposed()))
    }

    /// Nothing in it is what is read where nothing was written.
    fn facts_of(provenance: ProvenanceFacts) -> ArchiveFacts {
        ArchiveFacts {
            bundles: None,
            digest: Sha256Digest::of(b"archive"),
            name: "web".into(),
            version: "1.0.0".into(),
            binding: Bound::Same(vec!["values differ".into()]),
            has_subcharts: true,
            subcharts: vec![SubchartFacts {
                id: subchart(),
                content: Sha256Digest::of(b"subchart"),
            }],
            content: Some(Sha256Digest::of(b"own")),
            index_disagrees: true,
            provenance,
            place: Place::Mirror,
            settled: true,
            first_verified: Some("2026-11-19T00:00:00Z".parse().unwrap()),
        }
    }

    fn subchart() -> SubchartId {
        SubchartId {
            repository: "https://charts.example.org".into(),
            name: "db".into(),
            version: "2.0.0".into(),
        }
    }

    fn archive_facts(provenance: ProvenanceFacts) -> Answer {
        Answer::Archive(Box::new(facts_of(provenance)))
    }

    /// Whoever adds a fact is asked for the epoch here: nothing else notices that it stayed.
    #[test]
    fn the_facts_of_this_epoch_are_those_of_the_schema() {
        let schema = schemars::schema_for!(v1::SourceEvidence);
        let fields = schema.get("properties").and_then(|all| all.as_object());
        let fields: BTreeSet<&str> = fields.unwrap().keys().map(String::as_str).collect();
        let facts: BTreeSet<&str> = seal::FACTS.iter().copied().collect();
        assert_eq!(
            fields, facts,
            "raise EPOCH in verify/src/seal.rs, and say the facts of the new one beside it"
        );
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
            place: Place::Mirror,
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
            manifest: None,
            recorded: None,
            digest: Sha256Digest::of(b"content"),
            evidence,
        }
    }

    fn status_of(content: &Content) -> v1::ReleaseTrustStatus {
        status_with(Some(content), &[])
    }

    fn status_with(
        content: Option<&Content>,
        others: &[FirstVerification],
    ) -> v1::ReleaseTrustStatus {
        let (evidence, signers) = describe(
            &id(),
            &release(),
            described(content, others),
            sealing(Age::Current),
        );
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
        let fault = Outcome::Fault(key, openpgp::Code::WeakHash);
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
    fn what_was_answered_of_subcharts_is_read_back() {
        let outcomes = || vec![verified_signature(SUBKEY)];
        let mut content = content_of(archive_facts(signed(outcomes(), None)));
        let mut own = facts_of(signed(outcomes(), Some(Sha256Digest::of(b"archive"))));
        let id = subchart();
        (own.name, own.version) = (id.name.clone(), id.version.clone());
        if let ProvenanceFacts::Signed(signed) = &mut own.provenance {
            signed.digest = Sha256Digest::of(b"another provenance");
        }
        for answer in [Answer::Archive(Box::new(own)), Answer::NotFound] {
            content.evidence.subcharts.insert(id.clone(), answer);
            let status = status_of(&content);
            let restored = content_in(&status);
            assert_eq!(format!("{restored:?}"), format!("{content:?}"));
            let mut forged = status.clone();
            forged.evidence.as_mut().unwrap().dependencies.clear();
            let rejected = restore(&self::id(), &forged, &seal());
            assert!(
                matches!(rejected, Some(Err(Rejected::Seal))),
                "it is sealed"
            );
        }
        let message = "no answer".to_owned();
        let cause = Cause::SourceUnavailable;
        let silence = Answer::Unavailable { cause, message };
        content.evidence.subcharts.insert(id, silence);
        let restored = content_in(&status_of(&content));
        assert!(restored.evidence.subcharts.is_empty(), "it is asked again");
    }

    /// One that is not listed would not be checked.
    #[test]
    fn a_list_of_subcharts_is_whole_or_has_more_than_are_looked_at() {
        assert_eq!(bounds::SUBCHARTS, MOST_SUBCHARTS + 1);
        let most = bounds::SUBCHARTS;
        for (count, listed) in [(most - 1, most - 1), (most, most), (most + 1, most)] {
            let mut facts = facts_of(signed(Vec::new(), None));
            facts.subcharts = vec![facts.subcharts.remove(0); count];
            let status = status_of(&content_of(Answer::Archive(Box::new(facts))));
            let source = &status.evidence.as_ref().unwrap().sources[0];
            assert_eq!(source.dependencies.len(), listed);
            assert!(source.subcharts);
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
    fn a_signature_that_holds_and_counts_for_nothing_says_why() {
        let keys = [Key {
            name: "alice".into(),
            labels: BTreeMap::new(),
            certificate: openpgp::Certificate::missing(KEY.parse().unwrap()),
            scope: Scope::default(),
            not_after: None,
            unusable: None,
            revocations: Vec::new(),
        }];
        let signatures = vec![verified_signature(KEY), Outcome::UnknownIssuer];
        let content = content_of(archive_facts(signed(signatures, None)));
        let described = Described {
            keys: &keys,
            ..described(Some(&content), &[])
        };
        let (evidence, signers) = describe(&id(), &release(), described, sealing(Age::Current));
        let said = signers
            .iter()
            .map(|signer| (signer.verified, signer.fault.as_deref()));
        let said: Vec<_> = said.collect();
        assert_eq!(said, [(true, Some("NoMaterial")), (false, None)]);

        let status = v1::ReleaseTrustStatus {
            release: Some(release()),
            evidence,
            signers,
            ..v1::ReleaseTrustStatus::default()
        };
        let restored = content_in(&status);
        assert_eq!(format!("{restored:?}"), format!("{content:?}"));
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
        let others = [witness(b"one"), witness(b"another")];
        let content = content_of(every_answer().remove(4));
        for content in [Some(&content), None] {
            let status = status_with(content, &others);
            let restored = restore(&id(), &status, &seal()).unwrap().unwrap();
            assert_eq!(restored.witnesses, others);
            assert_eq!(restored.content.is_some(), content.is_some());

            let mut forged = status.clone();
            let evidence = forged.evidence.as_mut().unwrap();
            let earlier = others[0].dated("2020-01-01T00:00:00Z".parse().unwrap());
            evidence.earlier[0] = earlier.to_string();
            assert_eq!(
                restore(&id(), &forged, &seal()).unwrap().err(),
                Some(Rejected::Seal)
            );
        }
        assert_eq!(status_with(None, &[]).evidence, None);
    }

    fn witness(archive: &[u8]) -> FirstVerification {
        let (archive, provenance) = (Sha256Digest::of(archive), Sha256Digest::of(b"provenance"));
        let date = "2026-09-01T00:00:00Z".parse().unwrap();
        FirstVerification::new(&archive, &provenance, date)
    }

    /// Dates are for good: an upgrade of the operator must not lose them.
    #[test]
    fn what_an_earlier_version_wrote_of_others_is_read() {
        let old = v1::Witness {
            archive: Sha256Digest::of(b"one").to_string(),
            provenance: Sha256Digest::of(b"provenance").to_string(),
            first_verified: time("2026-09-01T00:00:00Z".parse().unwrap()),
        };
        // Sealed as it was: without a word of what came later.
        let sealed = serde_json::json!({
            "namespace": "shop", "name": "web", "release": release(), "content": "", "sources": [],
            "signers": [], "witnesses": [old], "epoch": seal::EPOCH,
        });
        let evidence = serde_json::json!({
            "content": "", "witnesses": [old], "tag": seal().tag(&ordered(&sealed)),
        });
        let status = v1::ReleaseTrustStatus {
            release: Some(release()),
            evidence: Some(serde_json::from_value(evidence).unwrap()),
            ..v1::ReleaseTrustStatus::default()
        };
        let restored = restore(&id(), &status, &seal()).unwrap().unwrap();
        assert_eq!(restored.witnesses, [witness(b"one")]);
    }

    /// The fields in the order in which they are sealed.
    fn ordered(sealed: &serde_json::Value) -> Vec<u8> {
        let order = [
            "namespace",
            "name",
            "release",
            "content",
            "sources",
            "signers",
            "witnesses",
            "epoch",
        ];
        let release = serde_json::to_string(&release()).unwrap();
        let fields = order.map(|name| match name {
            "release" => format!("\"release\":{release}"),
            "witnesses" => {
                let old: Vec<v1::Witness> = serde_json::from_value(sealed[name].clone()).unwrap();
                format!("\"witnesses\":{}", serde_json::to_string(&old).unwrap())
            }
            name => format!("\"{name}\":{}", sealed[name]),
        });
        format!("{{{}}}", fields.join(",")).into_bytes()
    }

    /// A statement with some of its signatures would be judged as another, and trust lost at a restart.
    #[test]
    fn what_has_no_room_is_left_out_whole() {
        let statement = |number: usize, signatures: usize| {
            let outcomes = (0..signatures).map(|_| verified_signature(KEY)).collect();
            let archive = Sha256Digest::of(b"archive");
            let mut facts = facts_of(signed(outcomes, Some(archive)));
            if let ProvenanceFacts::Signed(signed) = &mut facts.provenance {
                signed.digest = Sha256Digest::of(number.to_string().as_bytes());
            }
            facts
        };
        for (signatures, told) in [(1, 64), (4, 63), (16, 15)] {
            let mut content = content_of(Answer::Archive(Box::new(statement(1000, signatures))));
            for number in 0..64 {
                let id = SubchartId {
                    name: format!("part-{number}"),
                    ..subchart()
                };
                let mut own = statement(number, signatures);
                (own.name, own.version) = (id.name.clone(), id.version.clone());
                own.subcharts.clear();
                let answers = &mut content.evidence.answers;
                if let Some(Answer::Archive(facts)) = answers.values_mut().next() {
                    let content = Sha256Digest::of(b"subchart");
                    let id = id.clone();
                    facts.subcharts.push(SubchartFacts { id, content });
                }
                let answer = Answer::Archive(Box::new(own));
                content.evidence.subcharts.insert(id, answer);
            }
            let status = status_of(&content);
            assert!(status.signers.len() <= bounds::LONG_LIST);
            let restored = content_in(&status);
            let evidence = &restored.evidence;
            assert_eq!(evidence.subcharts.len(), told, "{signatures}");
            let mut all = evidence.statements();
            assert!(all.all(|signed| signed.signatures.len() == signatures));
        }
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

    /// Never trusted without proof: what a faulty engine has found is not believed for ever.
    #[test]
    fn what_an_earlier_engine_has_found_is_told_apart() {
        let witnesses = [witness(b"archive")];
        for age in [Age::Current, Age::Older] {
            let (evidence, signers) =
                describe(&id(), &release(), described(None, &witnesses), sealing(age));
            let status = v1::ReleaseTrustStatus {
                release: Some(release()),
                evidence,
                signers,
                ..v1::ReleaseTrustStatus::default()
            };
            let restored = restore(&id(), &status, &seal()).unwrap().unwrap();
            assert_eq!(restored.age, age);
            assert_eq!(restored.witnesses, witnesses, "its dates stand");
        }
    }
}
