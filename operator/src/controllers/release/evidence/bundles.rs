//! The Sigstore signatures of an archive, as a `ReleaseTrust` keeps them.

use std::str::FromStr as _;

use charttrust_verify::bundles::{BundleFacts, BundleOutcome, Bundles, ManifestFacts};
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{ArchiveFacts, Place};
use charttrust_verify::finding::Note;
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
    let layer = manifest
        .map(|it| it.layer)
        .filter(|layer| *layer != archive);
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
    written: &v1::BundlesEvidence,
    archive: Sha256Digest,
    attested: Attestation,
) -> Option<Box<Bundles>> {
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
    Some(Box::new(bundles))
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
            signer.verified = verified.record().kind.is_signature();
            signer.fault = (!signer.verified).then(|| Note::NotASignature.word().to_owned());
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

#[cfg(test)]
mod tests {
    use charttrust_verify::evidence::{Answer, ArchiveFacts, Evidence, ProvenanceFacts};
    use charttrust_verify::sigstore::{KnownPublicKey, PublicKey, Root, SigstoreSigners};
    use jiff::Timestamp;

    use super::super::{Age, Described, Rejected, Sealing, describe, restore};
    use super::*;
    use crate::controllers::store::Content;
    use crate::controllers::store::seal::Seal;
    use crate::controllers::testing::web;
    use crate::forge::{Content as Signed, ISSUER, Key, Log, Shape, World};
    use crate::parse;

    const ARCHIVE: &[u8] = b"archive";
    const URL: &str = "https://charts.example.com";

    fn now() -> Timestamp {
        "2026-11-29T00:00:00.5Z".parse().unwrap()
    }

    fn seal() -> Seal {
        Seal::new(&[7; Seal::LENGTH])
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

    /// The workflow, and a key, as somebody has declared them.
    fn known(world: &World, key: &Key) -> SigstoreSigners {
        let root = Root::Known(std::sync::Arc::new(world.root()));
        let identity = serde_json::json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedIdentity",
            "metadata": {"name": "release"},
            "spec": {"issuer": ISSUER, "subject": {"exact": crate::forge::SUBJECT}},
        });
        let identity = serde_json::from_value(identity).unwrap();
        let key = PublicKey::parse(key.public_pem().as_bytes()).unwrap();
        SigstoreSigners {
            identities: vec![parse::identity(&identity, root.clone()).unwrap()],
            keys: vec![KnownPublicKey {
                trusted: charttrust_verify::sigstore::TrustedPublicKey {
                    name: "board".into(),
                    fingerprint: key.fingerprint(),
                    transparency: charttrust_verify::sigstore::Transparency::IfPresent,
                    scope: charttrust_verify::key::Scope::default(),
                    not_after: None,
                    revocations: Vec::new(),
                },
                labels: std::collections::BTreeMap::new(),
                key: Some(key),
                root: Some(root),
                unusable: None,
            }],
        }
    }

    fn archive() -> Sha256Digest {
        Sha256Digest::of(ARCHIVE)
    }

    fn of(shape: Shape<'_>) -> Shape<'_> {
        Shape {
            artifact: ARCHIVE.to_vec(),
            ..shape
        }
    }

    /// A signature of each kind, with every outcome.
    fn every_signature() -> Vec<BundleFacts> {
        let (world, other) = (World::called("ours"), World::called("theirs"));
        let (key, strange) = (Key::new(), Key::new());
        let good = || of(world.good());
        let stamped = good().at + jiff::SignedDuration::from_secs(7);
        let shapes = [
            good(),
            Shape {
                content: Signed::Message,
                ..good()
            },
            Shape {
                log: Log::V2,
                stamped_at: Some(stamped),
                ..good()
            },
            Shape {
                content: Signed::Statement("https://spdx.dev/Document"),
                ..good()
            },
            Shape {
                names: vec![(0x86, "https://github.com/\"quoted\"/\\x".to_owned())],
                ..good()
            },
            of(world.keyed(&key)),
            Shape {
                log: Log::V1,
                ..of(world.keyed(&key))
            },
            of(world.keyed(&strange)),
            of(other.good()),
            Shape {
                artifact: b"another".to_vec(),
                ..good()
            },
            Shape {
                artifact: b"another".to_vec(),
                ..of(world.keyed(&key))
            },
        ];
        let known = known(&world, &key);
        let mut all: Vec<_> = shapes
            .iter()
            .map(|shape| {
                let mut facts = BundleFacts::read(shape.bundle().to_string().as_bytes());
                let artifact = charttrust_verify::sigstore::Artifact::Digest(archive());
                facts.try_signers(artifact, &known, now());
                facts
            })
            .collect();
        let large = vec![b' '; charttrust_verify::sigstore::limits::BUNDLE_BYTES + 1];
        all.extend([
            BundleFacts::read(b"{}"),
            BundleFacts::read(&large),
            BundleFacts::read(shapes[0].bundle().to_string().as_bytes()),
        ]);
        all
    }

    fn content(bundles: Option<Bundles>, provenance: ProvenanceFacts) -> Content {
        let facts = ArchiveFacts {
            bundles: bundles.map(Box::new),
            settled: true,
            ..ArchiveFacts::plain(archive(), ("web", "1.0.0"), provenance)
        };
        let mut evidence = Evidence::default();
        let answer = Answer::Archive(Box::new(facts));
        evidence.answers.insert(URL.to_owned(), answer);
        // As the store keeps it.
        evidence.take_bundles();
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
        let described = Described {
            content: Some(content),
            others: &[],
            origin: None,
            keys: &[],
            now: now(),
        };
        let sealing = Sealing {
            seal: &seal(),
            age: Age::Current,
        };
        let (evidence, signers) = describe(&web(), &release(), described, sealing);
        v1::ReleaseTrustStatus {
            release: Some(release()),
            evidence,
            signers,
            ..v1::ReleaseTrustStatus::default()
        }
    }

    fn content_in(status: &v1::ReleaseTrustStatus) -> Content {
        let text = serde_json::to_string(status).unwrap();
        let status = serde_json::from_str(&text).unwrap();
        let restored = restore(&web(), &status, &seal()).unwrap().unwrap();
        restored.content.expect("a content")
    }

    fn told(content: &Content) -> String {
        format!("{content:?}")
    }

    #[test]
    fn every_signature_is_read_back_as_it_was_written_and_written_alike() {
        let signatures = every_signature();
        let outcomes: Vec<_> = signatures
            .iter()
            .map(|one| match &one.outcome {
                BundleOutcome::Fault { key, code, .. } => format!("{code} {}", key.is_some()),
                BundleOutcome::Open => "open".to_owned(),
                BundleOutcome::Unreadable { said, .. } => said.to_string(),
                BundleOutcome::Verified(_) => "verified".to_owned(),
            })
            .collect();
        for expected in [
            "verified",
            "open",
            "AuthorityUnknown false",
            "ArtifactMismatch false",
            "ProvenanceMalformed",
            "LimitExceeded",
        ] {
            assert!(
                outcomes.iter().any(|it| it == expected),
                "{expected}: {outcomes:?}"
            );
        }
        let (manifest, layer) = (Sha256Digest::of(b"manifest"), Sha256Digest::of(b"layer"));
        let manifests = [
            None,
            Some(ManifestFacts {
                digest: manifest,
                layer: archive(),
            }),
            Some(ManifestFacts {
                digest: manifest,
                layer,
            }),
        ];
        let why = |cause| Some((cause, "https://a.example: 403".to_owned()));
        let incomplete = [
            None,
            why(Cause::LimitExceeded),
            why(Cause::SourceUnavailable),
        ];
        for (number, manifest) in manifests.into_iter().enumerate() {
            for place in [Place::Main, Place::Mirror] {
                let mut all = signatures.clone();
                for one in &mut all {
                    one.manifest = manifest;
                }
                let bundles = Bundles::of(all, incomplete[number].clone()).served_by(place);
                let content = content(Some(bundles), ProvenanceFacts::Missing);
                let status = status_of(&content);
                assert_eq!(told(&content_in(&status)), told(&content));
                assert_eq!(status_of(&content_in(&status)), status);
            }
        }
    }

    /// That nobody has looked is no empty answer: the one is asked for, the other is none.
    #[test]
    fn an_empty_answer_is_told_from_none() {
        for (bundles, expected) in [(None, None), (Some(Bundles::default()), Some(0))] {
            let content = content(bundles, ProvenanceFacts::Missing);
            let restored = content_in(&status_of(&content));
            let (_, facts) = restored.evidence.archives().next().unwrap();
            let count = facts.bundles.as_ref().map(|it| it.signatures.len());
            assert_eq!(count, expected);
        }
    }

    #[test]
    fn what_was_verified_outlives_a_statement_that_the_source_does_not_tell() {
        let silence = |cause| ProvenanceFacts::Unavailable {
            cause,
            message: "https://a.example: 500".into(),
        };
        let mut all = every_signature();
        let (one, none) = (all.remove(0), all.remove(6));
        assert!(one.verified().is_some() && none.verified().is_none());
        for cause in [Cause::LimitExceeded, Cause::SourceUnavailable] {
            let of = |one: &BundleFacts| {
                let bundles = Bundles::of(vec![one.clone()], None);
                content(Some(bundles), silence(cause))
            };
            let verified = of(&one);
            assert_eq!(told(&content_in(&status_of(&verified))), told(&verified));
            let restored = content_in(&status_of(&of(&none)));
            assert!(restored.evidence.answers.is_empty(), "it is asked again");
        }
    }

    #[test]
    fn any_change_breaks_the_seal() {
        let bundles = Bundles::of(every_signature(), None);
        let content = content(Some(bundles), ProvenanceFacts::Missing);
        let changes: [fn(&mut v1::BundlesEvidence); 6] = [
            |all| all.signatures.truncate(1),
            |all| all.signatures[7].outcome = v1::BundleOutcome::Verified,
            |all| all.signatures[0].first_verified = None,
            |all| all.incomplete = Some(v1::Incomplete::LimitExceeded),
            |all| all.mirrored = true,
            |all| {
                let record = all.signatures[0].record.as_mut().unwrap();
                *record = record.replace("refs/tags/v1.2.3", "refs/tags/v1.2.4");
            },
        ];
        let rejected = |status: &v1::ReleaseTrustStatus| {
            let restored = restore(&web(), status, &seal()).unwrap();
            restored.err()
        };
        let status = status_of(&content);
        assert_eq!(rejected(&status), None);
        for change in changes {
            let mut status = status_of(&content);
            let evidence = status.evidence.as_mut().unwrap();
            change(evidence.sources[0].bundles.as_mut().unwrap());
            assert_eq!(rejected(&status), Some(Rejected::Seal));
        }
        let mut status = status_of(&content);
        status.signers[0].subject = Some("somebody else".into());
        assert_eq!(rejected(&status), Some(Rejected::Seal));
    }

    /// What this version cannot read is gathered again, and never half believed.
    #[test]
    fn a_record_of_a_later_version_is_gathered_again() {
        let bundles = Bundles::of(every_signature(), None);
        let content = content(Some(bundles), ProvenanceFacts::Missing);
        let status = status_of(&content);
        let evidence = status.evidence.as_ref().unwrap();
        let written = evidence.sources[0].bundles.as_deref().unwrap();
        let changes: [fn(&mut v1::BundleEvidence); 4] = [
            |one| {
                one.record = Some(
                    one.record
                        .as_ref()
                        .unwrap()
                        .replacen('{', "{\"more\":1,", 1),
                );
            },
            |one| one.record = None,
            |one| one.digest = "sha512:00".into(),
            |one| {
                one.outcome = v1::BundleOutcome::Fault;
                one.fault = Some("Other".into());
            },
        ];
        let supposed = Attestation::supposed();
        assert!(read(written, archive(), supposed).is_some());
        for change in changes {
            let mut other = written.clone();
            change(&mut other.signatures[0]);
            assert!(read(&other, archive(), supposed).is_none());
        }
    }

    #[test]
    fn signers_have_the_words_of_the_command_line() {
        let bundles = Bundles::of(every_signature(), None);
        let status = status_of(&content(Some(bundles), ProvenanceFacts::Missing));
        let said = status.signers.iter().map(|one| {
            let who = one.subject.as_deref().or(Some(one.fingerprint.as_str()));
            let who = who.is_some_and(|it| !it.is_empty());
            (who, one.verified, one.fault.clone().unwrap_or_default())
        });
        let said: Vec<_> = said.collect();
        assert_eq!(said[0], (true, true, String::new()));
        assert_eq!(said[3], (true, false, "NotASignature".to_owned()));
        assert_eq!(said[8], (true, false, "AuthorityUnknown".to_owned()));
        assert_eq!(said[11], (false, false, "ProvenanceMalformed".to_owned()));
        assert!(status.signers.iter().all(|one| one.algorithm == "Sigstore"));
        assert!(status.signers[0].signed_at.is_some(), "it is proven");
        assert!(status.signers[5].signed_at.is_none(), "nothing proves it");
    }
}
