//! Signers of Sigstore as the operator reads them, for what is foretold. Reads only.

use std::collections::BTreeMap;

use charttrust_verify::bundles::BundleFacts;
use charttrust_verify::evidence::ArchiveFacts;
use charttrust_verify::policy::ExpiredKeys;
use charttrust_verify::sigstore::{
    Circumstances, KnownIdentity, Refusal, Root, SignerRecord, VerifiedBundle,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, ResourceExt as _};

use super::cluster::{self, Failure, chain};
use crate::api::TrustedIdentity;
use crate::api::data_ref::DataRef;
use crate::api::trusted_root::TrustedRootRef;
use crate::controllers::store::Content;
use crate::controllers::store::roots::{self, FoundRoot};
use crate::controllers::store::signers::Sought;
use crate::parse;

/// The trusted roots that objects name, by name and entry of their ConfigMaps.
#[derive(Debug, Default)]
pub(super) struct Roots {
    all: roots::Roots,
    read: BTreeMap<(String, String), Root>,
}

impl Roots {
    /// Reads those that are named. Of one that people may not read nothing is known.
    pub(super) async fn read(
        client: &Client,
        namespace: &str,
        references: impl Iterator<Item = &TrustedRootRef>,
    ) -> Self {
        let mut roots = Self::default();
        for TrustedRootRef { config_map: place } in references {
            let key = (place.name.clone(), place.key.clone());
            if !roots.read.contains_key(&key) {
                let bytes = bytes(client, namespace, place).await;
                let root = bytes.and_then(|bytes| {
                    let read = roots.all.read(&bytes);
                    read.map_err(|error| error.to_string())
                });
                let root = root.map_or_else(Root::Unknown, Root::Known);
                roots.read.insert(key, root);
            }
        }
        roots
    }

    /// The root that an object names.
    pub(super) fn of(&self, reference: Option<&TrustedRootRef>) -> FoundRoot {
        let named = reference.map(|it| (it.config_map.name.clone(), it.config_map.key.clone()));
        let root = match named {
            None => self.all.compiled_in(),
            Some(key) => {
                let missing = || Root::Unknown("it was not read".to_owned());
                self.read.get(&key).cloned().unwrap_or_else(missing)
            }
        };
        FoundRoot {
            root,
            is_unanswered: false,
        }
    }
}

/// A `TrustedIdentity`, and who is meant by it.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    /// The object.
    pub(super) object: TrustedIdentity,
    /// Nobody, where that cannot be told.
    pub(super) known: Option<KnownIdentity>,
}

/// Every `TrustedIdentity` of the cluster, each with its trusted root. Where people may not read that, by whose
/// word somebody is one is not asked.
///
/// # Errors
/// If they cannot be listed.
pub(super) async fn identities(client: &Client, namespace: &str) -> Result<Vec<Declared>, Failure> {
    let objects = cluster::identities(client).await?;
    let named = |object: &TrustedIdentity| object.spec.trusted_root_ref.clone();
    let references: Vec<_> = objects.iter().filter_map(named).collect();
    let roots = Roots::read(client, namespace, references.iter()).await;
    let declared = objects.into_iter().map(|object| {
        let root = roots.of(object.spec.trusted_root_ref.as_ref()).root;
        Declared::of(object, root)
    });
    Ok(declared.collect())
}

impl Declared {
    /// What an object says, as far as it can be used.
    pub(super) fn of(object: TrustedIdentity, root: Root) -> Self {
        let whole = parse::identity(&object, root.clone()).ok();
        let known = whole.or_else(|| parse::identity_remains(&object, root, "it cannot be used"));
        Self { object, known }
    }

    /// Its name.
    pub(super) fn name(&self) -> String {
        self.object.name_any()
    }

    /// Whether somebody of this name may be this identity.
    pub(super) fn is_named(&self, issuer: &str, subject: &str) -> bool {
        let known = self.known.as_ref();
        known.is_some_and(|known| known.identity.is_named(issuer, subject))
    }

    /// Whether a verified signature is one of this identity.
    pub(super) fn has_made(&self, bundle: &VerifiedBundle) -> bool {
        let known = self.known.as_ref().zip(bundle.identity());
        known.is_some_and(|(known, identity)| {
            known.identity.matches(identity).is_ok() && known.may_be(bundle.record())
        })
    }

    /// Why a signature of this identity is void, if it is.
    pub(super) fn voids(&self, signature: &Signature<'_>, now: Timestamp) -> Option<Refusal> {
        let known = self
            .known
            .as_ref()
            .filter(|_| self.has_made(signature.verified))?;
        let at = Circumstances {
            archive: signature.facts.digest,
            chart: &signature.facts.name,
            source: None,
            first_verified: signature.bundle.first_verified,
            expired_keys: ExpiredKeys::AcceptIfSignedBefore,
            now,
        };
        known.identity.voids(signature.verified, &at)
    }
}

/// A verified Sigstore signature of the archive of a release.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signature<'a> {
    /// What is known of the archive.
    pub(super) facts: &'a ArchiveFacts,
    /// The signature.
    pub(super) bundle: &'a BundleFacts,
    /// What was verified of it.
    pub(super) verified: &'a VerifiedBundle,
}

impl Signature<'_> {
    /// Whether it is by the public key with this fingerprint.
    pub(super) fn is_by_key(&self, fingerprint: &str) -> bool {
        match self.verified.signer() {
            SignerRecord::Key(key) => key.to_string().eq_ignore_ascii_case(fingerprint),
            SignerRecord::Identity(_) => false,
        }
    }
}

/// The verified Sigstore signatures of the archive of a release, whatever became of who has made them. One of
/// something else, or an attestation, is none.
pub(super) fn signatures(content: &Content) -> impl Iterator<Item = Signature<'_>> {
    let archives = content.evidence.archives();
    archives.flat_map(|(_, facts)| {
        facts.bundled().filter_map(move |bundle| {
            let verified = bundle.signature_of(facts.digest)?;
            Some(Signature {
                facts,
                bundle,
                verified,
            })
        })
    })
}

/// Whether there is a verified signature by somebody.
pub(super) fn is_signed(content: &Content, by: Sought<'_>) -> bool {
    content.bundles().any(|bundle| by.has_signed(bundle))
}

async fn bytes(client: &Client, namespace: &str, place: &DataRef) -> Result<Vec<u8>, String> {
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let map = api.get_opt(&place.name).await;
    let map = map.map_err(|error| chain(&error))?.unwrap_or_default();
    let text = map.data.unwrap_or_default().remove(&place.key);
    let binary = map.binary_data.unwrap_or_default().remove(&place.key);
    let bytes = text.map(String::into_bytes).or(binary.map(|it| it.0));
    bytes.ok_or_else(|| format!("{} has no key {:?}", place.name, place.key))
}

#[cfg(test)]
pub(super) mod tests {
    use charttrust_verify::digest::Sha256Digest;
    use charttrust_verify::finding::Note;
    use charttrust_verify::seal::Attestation;
    use charttrust_verify::sigstore::{
        BundleRecord, Claims, IdentityRecord, Kind, LogRecord, ProvenTime, TimeSource,
    };
    use serde_json::{Value, json};

    use super::*;
    use crate::api::ReleaseTrust;
    use crate::controllers::stated;

    pub(in crate::cli) const ISSUER: &str = "https://issuer.example.com";
    pub(in crate::cli) const SUBJECT: &str = "release@example.com";

    fn archive() -> Sha256Digest {
        Sha256Digest::of(b"archive")
    }

    pub(in crate::cli) fn now() -> Timestamp {
        "2026-11-22T00:00:00Z".parse().unwrap()
    }

    fn signed_at() -> Timestamp {
        "2026-11-02T12:00:00Z".parse().unwrap()
    }

    /// What was verified of a signature of the archive.
    pub(in crate::cli) fn signed(signer: SignerRecord) -> BundleRecord {
        BundleRecord {
            signer,
            kind: Kind::Artifact,
            artifact: archive(),
            times: vec![ProvenTime {
                at: signed_at(),
                by: TimeSource::TimestampAuthority,
            }],
            logs: vec![LogRecord {
                log: Sha256Digest::of(b"log"),
                index: 7,
            }],
            authorities: Vec::new(),
            root: None,
            not_proven: Vec::new(),
        }
    }

    pub(in crate::cli) fn by(subject: &str) -> SignerRecord {
        SignerRecord::Identity(Box::new(IdentityRecord {
            issuer: ISSUER.to_owned(),
            subject: subject.to_owned(),
            claims: Claims::default(),
            not_before: signed_at(),
            not_after: "2026-11-02T12:10:00Z".parse().unwrap(),
            certificate: Sha256Digest::of(subject.as_bytes()),
        }))
    }

    /// The public key of this digit, and its fingerprint.
    pub(in crate::cli) fn by_key(digit: &str) -> (SignerRecord, String) {
        let fingerprint = format!("sha256:{}", digit.repeat(64));
        (SignerRecord::Key(fingerprint.parse().unwrap()), fingerprint)
    }

    /// An attestation, which is no signature.
    pub(in crate::cli) fn attested(signer: SignerRecord) -> BundleRecord {
        BundleRecord {
            kind: Kind::Statement("https://spdx.dev/Document".to_owned()),
            ..signed(signer)
        }
    }

    fn row(record: &BundleRecord, bundle: &str) -> Value {
        let is_signature = record.kind.is_signature();
        let fault = (!is_signature).then(|| Note::NotASignature.word());
        let mut row = json!({"fingerprint": "", "algorithm": "Sigstore", "verified": is_signature,
            "bundle": bundle, "fault": fault, "signedAt": signed_at().to_string()});
        match &record.signer {
            SignerRecord::Identity(identity) => {
                (row["issuer"], row["subject"]) = (json!(identity.issuer), json!(identity.subject));
            }
            SignerRecord::Key(key) => row["fingerprint"] = json!(key.to_string()),
        }
        row
    }

    /// A release of an archive with these signatures.
    pub(in crate::cli) fn trust(name: &str, records: &[BundleRecord]) -> ReleaseTrust {
        let all = records.iter().map(|record| {
            let bundle = VerifiedBundle::restore(record.clone(), Attestation::supposed());
            let digest = Sha256Digest::of(bundle.text().as_bytes()).to_string();
            let evidence = json!({"digest": digest, "record": bundle.text()});
            (row(record, &digest), evidence)
        });
        let (signers, signatures): (Vec<_>, Vec<_>) = all.unzip();
        let source = json!({"url": "https://charts.example.com", "archive": archive().to_string(),
            "binding": "Same", "provenanceProblem": "Missing", "bundles": {"signatures": signatures}});
        let condition = json!({"type": "Trusted", "status": "True", "reason": "ArchiveVerified",
            "message": "", "observedGeneration": 1, "lastTransitionTime": "2026-11-18T10:00:00Z"});
        serde_json::from_value(json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ReleaseTrust",
            "metadata": {"namespace": "shop", "name": name}, "spec": {},
            "status": {
                "release": {"revision": 1, "chart": name, "version": "1.0.0", "owner": "Helm",
                    "resourceVersion": "1"},
                "conditions": [condition], "signers": signers,
                "evidence": {"content": "A".repeat(43), "sources": [source]},
            },
        }))
        .unwrap()
    }

    /// The identity of [`SUBJECT`], with changes; nobody says by whose word.
    pub(in crate::cli) fn identity(name: &str, changes: &Value) -> Declared {
        let mut object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedIdentity",
            "metadata": {"name": name},
            "spec": {"issuer": ISSUER, "subject": {"exact": SUBJECT}},
            "status": {"state": "Active"},
        });
        json_patch::merge(&mut object, changes);
        let root = Root::Unknown("a test".to_owned());
        Declared::of(serde_json::from_value(object).unwrap(), root)
    }

    /// A revocation of what was signed within these hours of that day.
    pub(in crate::cli) fn window(from: u8, until: u8) -> Value {
        let at = |hour: u8| format!("2026-11-02T{hour:02}:00:00Z");
        json!({"spec": {"revocation": {"reason": "Compromised",
            "windows": [{"from": at(from), "until": at(until)}]}}})
    }

    #[test]
    fn only_what_signs_the_archive_is_a_signature_and_is_void_in_a_window_alone() {
        let other = BundleRecord {
            artifact: Sha256Digest::of(b"another"),
            ..signed(by(SUBJECT))
        };
        let records = [
            signed(by(SUBJECT)),
            attested(by(SUBJECT)),
            other,
            signed(by("somebody@example.com")),
            signed(by_key("a").0),
        ];
        let trust = trust("web", &records);
        let content = stated(trust.status.as_ref().unwrap()).unwrap();
        assert_eq!(content.bundles().count(), 5);
        let found: Vec<_> = signatures(&content).collect();
        assert_eq!(found.len(), 3);
        let whose = |declared: &Declared| {
            let own = found.iter().filter(|one| declared.has_made(one.verified));
            let void = found
                .iter()
                .filter(|one| declared.voids(one, now()).is_some());
            (own.count(), void.count())
        };
        assert_eq!(whose(&identity("release", &json!({}))), (1, 0));
        assert_eq!(whose(&identity("release", &window(11, 13))), (1, 1));
        assert_eq!(whose(&identity("release", &window(13, 14))), (1, 0));
        let unusable = json!({"spec": {"notAfter": "soon"}});
        assert_eq!(whose(&identity("release", &unusable)), (1, 0));
        let nobody = json!({"spec": {"subject": {"exact": null}}});
        assert_eq!(whose(&identity("release", &nobody)), (0, 0));
        let by_key = |digit: &str| {
            found
                .iter()
                .filter(|one| one.is_by_key(&self::by_key(digit).1))
                .count()
        };
        assert_eq!((by_key("a"), by_key("b")), (1, 0));
    }
}
