//! The Sigstore signatures of an archive, as a `ReleaseTrust` keeps them.

use std::str::FromStr as _;

use charttrust_verify::bundles::{BundleFacts, BundleOutcome, Bundles, ManifestFacts};
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{ArchiveFacts, Place};
use charttrust_verify::seal::Attestation;
use charttrust_verify::sigstore::{ClaimedSigner, Code, Said, SignerRecord, VerifiedBundle};
use charttrust_verify::verdict::{Cause, Verdict};

use crate::api::release_trust as v1;
use crate::api::{bounds, time};

/// Those of an archive, if anybody has looked for any.
pub(super) fn written(facts: &ArchiveFacts) -> Option<Box<v1::BundlesEvidence>> {
    let bundles = facts.bundles.as_deref()?;
    let signatures = bundles.signatures.iter().take(bounds::BUNDLES);
    let (incomplete, message) = bundles.incomplete.as_ref().map(why).unzip();
    Some(Box::new(v1::BundlesEvidence {
        signatures: signatures.map(|one| signature(one, facts.digest)).collect(),
        incomplete,
        message,
        mirrored: bundles.place == Place::Mirror,
    }))
}

/// What a source has not said is not known, whatever the reason.
fn why((cause, message): &(Cause, String)) -> (v1::Incomplete, String) {
    let incomplete = match cause {
        Cause::LimitExceeded => v1::Incomplete::LimitExceeded,
        _ => v1::Incomplete::SourceUnavailable,
    };
    (incomplete, bounds::fit(message, bounds::MESSAGE))
}

fn signature(facts: &BundleFacts, archive: Sha256Digest) -> v1::BundleEvidence {
    let manifest = facts.manifest;
    let layer = manifest.map(|it| it.layer).filter(|layer| *layer != archive);
    let bare = v1::BundleEvidence {
        digest: facts.digest.to_string(),
        manifest: manifest.map(|it| it.digest.to_string()),
        layer: layer.map(|layer| layer.to_string()),
        outcome: v1::BundleOutcome::Open,
        signer: None,
        issuer: None,
        subject: None,
        key: None,
        fault: None,
        message: None,
        record: None,
        first_verified: facts.first_verified.map(time),
    };
    let claimed = || claiming(bare.clone(), facts.claimed.as_ref());
    let fitted = |message: &str| Some(bounds::fit(message, bounds::MESSAGE));
    match &facts.outcome {
        BundleOutcome::Fault { key, code, message } => v1::BundleEvidence {
            outcome: v1::BundleOutcome::Fault,
            key: key.map(|key| key.to_string()),
            fault: Some(code.word().to_owned()),
            message: fitted(message),
            ..claimed()
        },
        BundleOutcome::Open => claimed(),
        BundleOutcome::Unreadable { said, message } => v1::BundleEvidence {
            outcome: v1::BundleOutcome::Unreadable,
            fault: Some(said.word().to_owned()),
            message: fitted(message),
            ..claimed()
        },
        BundleOutcome::Verified(verified) => v1::BundleEvidence {
            outcome: v1::BundleOutcome::Verified,
            record: Some(verified.text()),
            ..bare
        },
    }
}

fn claiming(bare: v1::BundleEvidence, claimed: Option<&ClaimedSigner>) -> v1::BundleEvidence {
    let (signer, names) = match claimed {
        None => (None, None),
        Some(ClaimedSigner::Identity { issuer, subject }) => {
            let fitted = |name: &str| bounds::fit(name, bounds::FACT);
            let names = (fitted(issuer), fitted(subject));
            (Some(v1::BundleSigner::Identity), Some(names))
        }
        Some(ClaimedSigner::Key) => (Some(v1::BundleSigner::Key), None),
        Some(ClaimedSigner::Unreadable) => (Some(v1::BundleSigner::Unreadable), None),
    };
    let (issuer, subject) = names.unzip();
    v1::BundleEvidence {
        signer,
        issuer,
        subject,
        ..bare
    }
}

/// What was written, read back; `None` if this version cannot.
pub(super) fn read(
    written: Option<&v1::BundlesEvidence>,
    archive: Sha256Digest,
    attested: Attestation,
) -> Option<Option<Box<Bundles>>> {
    let Some(written) = written else {
        return Some(None);
    };
    let signatures = written.signatures.iter();
    let signatures: Option<Vec<_>> = signatures
        .map(|one| facts(one, archive, attested))
        .collect();
    let message = written.message.clone().unwrap_or_default();
    let incomplete = written.incomplete.map(|it| match it {
        v1::Incomplete::LimitExceeded => (Cause::LimitExceeded, message),
        v1::Incomplete::SourceUnavailable => (Cause::SourceUnavailable, message),
    });
    let place = if written.mirrored {
        Place::Mirror
    } else {
        Place::Main
    };
    let bundles = Bundles::of(signatures?, incomplete).served_by(place);
    Some(Some(Box::new(bundles)))
}

fn facts(
    written: &v1::BundleEvidence,
    archive: Sha256Digest,
    attested: Attestation,
) -> Option<BundleFacts> {
    let digest = |text: &Option<String>| match text {
        None => Some(None),
        Some(text) => Sha256Digest::from_str(text).ok().map(Some),
    };
    let layer = digest(&written.layer)?.unwrap_or(archive);
    let manifest = digest(&written.manifest)?.map(|digest| ManifestFacts { digest, layer });
    let message = written.message.clone().unwrap_or_default();
    let mut claimed = claimed(written);
    let outcome = match written.outcome {
        v1::BundleOutcome::Open => BundleOutcome::Open,
        v1::BundleOutcome::Fault => BundleOutcome::Fault {
            key: digest(&written.key)?,
            code: Code::of(written.fault.as_deref()?)?,
            message,
        },
        v1::BundleOutcome::Unreadable => BundleOutcome::Unreadable {
            said: said(written.fault.as_deref()?)?,
            message,
        },
        v1::BundleOutcome::Verified => {
            let verified = VerifiedBundle::read(written.record.as_deref()?, attested)?;
            claimed = Some(ClaimedSigner::of(&verified));
            BundleOutcome::Verified(Box::new(verified))
        }
    };
    Some(BundleFacts {
        digest: Sha256Digest::from_str(&written.digest).ok()?,
        manifest,
        claimed,
        outcome,
        first_verified: written.first_verified.as_ref().map(|time| time.0),
        bundle: None,
    })
}

fn claimed(written: &v1::BundleEvidence) -> Option<ClaimedSigner> {
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    written.signer.map(|signer| match signer {
        v1::BundleSigner::Identity => ClaimedSigner::Identity {
            issuer: name(&written.issuer),
            subject: name(&written.subject),
        },
        v1::BundleSigner::Key => ClaimedSigner::Key,
        v1::BundleSigner::Unreadable => ClaimedSigner::Unreadable,
    })
}

fn said(word: &str) -> Option<Said> {
    match Verdict::of_word(word)? {
        Verdict::Trusted(_) => None,
        Verdict::Unknown(cause) => Some(Said::Cause(cause)),
        Verdict::Untrusted(reason) => Some(Said::Reason(reason)),
    }
}

/// A signature among the signers of a release.
pub(super) fn signer(facts: &BundleFacts) -> v1::Signer {
    let mut signer = v1::Signer {
        fingerprint: String::new(),
        issuer: None,
        subject: None,
        subkey: None,
        signed_at: None,
        expires_at: None,
        algorithm: ALGORITHM.to_owned(),
        verified: false,
        fault: None,
        provenance: None,
        bundle: Some(facts.digest.to_string()),
    };
    if let Some(ClaimedSigner::Identity { issuer, subject }) = &facts.claimed {
        signer.issuer = Some(bounds::fit(issuer, bounds::FACT));
        signer.subject = Some(bounds::fit(subject, bounds::FACT));
    }
    match &facts.outcome {
        BundleOutcome::Fault { key, code, .. } => {
            signer.fingerprint = key.map(|key| key.to_string()).unwrap_or_default();
            signer.fault = Some(code.word().to_owned());
        }
        BundleOutcome::Open => {}
        BundleOutcome::Unreadable { said, .. } => signer.fault = Some(said.word().to_owned()),
        BundleOutcome::Verified(verified) => {
            signer.verified = true;
            signer.signed_at = verified.proven().map(time);
            if let SignerRecord::Key(key) = verified.signer() {
                signer.fingerprint = key.to_string();
            }
        }
    }
    signer
}

/// What stands in the place of the algorithm, as `charttrust verify` says it.
const ALGORITHM: &str = "Sigstore";
