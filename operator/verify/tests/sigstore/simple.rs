//! Signatures beside `.sig` tags.

use std::collections::BTreeMap;

use charttrust_verify::sigstore::{
    Artifact, BundleError, ClaimedBundle, Code, Kind, Means, NotProven, PublicKey, SimpleSignature,
    TimeSource, limits, verify,
};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::forge::{Content, Key, Log, MANIFEST, Shape, World, base64, manifest, noon, pem};
use crate::keyed::public;

pub(crate) type Annotations = BTreeMap<String, String>;

/// The payload of cosign 2.
pub(crate) fn payload(digest: &str) -> Vec<u8> {
    let payload = json!({
        "critical": {
            "identity": {"docker-reference": "registry.test/charts/shop"},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": null,
    });
    payload.to_string().into_bytes()
}

pub(crate) fn named() -> Vec<u8> {
    payload(&manifest().to_string())
}

pub(crate) fn parse(
    payload: &[u8],
    annotations: &Annotations,
) -> Result<ClaimedBundle, BundleError> {
    SimpleSignature {
        payload,
        annotations,
    }
    .parse()
}

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const ENTRY: &str = "dev.sigstore.cosign/bundle";
const STAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// A signature over a payload, in the order in which cosign 2 writes it.
pub(crate) fn published(shape: &Shape<'_>) -> Annotations {
    let made = shape.make();
    let bundle = &made.bundle;
    let material = &bundle["verificationMaterial"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut annotations = Annotations::new();
    let signature = text(&bundle["messageSignature"]["signature"]);
    annotations.insert(SIGNATURE.to_owned(), signature);
    if let Some(certificate) = &made.certificate {
        annotations.insert(CERTIFICATE.to_owned(), pem("CERTIFICATE", certificate));
        let root = pem("CERTIFICATE", &shape.world.fulcio_certificate);
        annotations.insert(CHAIN.to_owned(), root);
    }
    if let Some(entry) = material["tlogEntries"].get(0) {
        let promise = json!({
            "SignedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
            "Payload": {
                "body": entry["canonicalizedBody"],
                "integratedTime": text(&entry["integratedTime"]).parse::<i64>().unwrap(),
                "logIndex": text(&entry["logIndex"]).parse::<i64>().unwrap(),
                "logID": hex::encode(shape.world.rekor.id()),
            },
        });
        annotations.insert(ENTRY.to_owned(), promise.to_string());
    }
    let stamps = &material["timestampVerificationData"]["rfc3161Timestamps"];
    if let Some(stamp) = stamps.get(0) {
        let stamp = json!({"SignedRFC3161Timestamp": stamp["signedTimestamp"]});
        annotations.insert(STAMP.to_owned(), stamp.to_string());
    }
    annotations
}

fn shape(world: &World, payload: Vec<u8>) -> Shape<'_> {
    Shape {
        content: Content::Message,
        artifact: payload,
        ..world.good()
    }
}

#[test]
fn an_identity_signs_a_payload_and_the_log_promises_when() {
    let world = World::new();
    let claimed = parse(&named(), &published(&shape(&world, named()))).unwrap();
    let root = world.root();
    for artifact in [Artifact::Bytes(MANIFEST), Artifact::Digest(manifest())] {
        let verified = verify(&claimed, artifact, Means::Identity(&root)).unwrap();
        let record = verified.record();
        assert_eq!(
            (&record.kind, record.artifact),
            (&Kind::SimpleSigning, manifest())
        );
        assert!(record.kind.is_signature());
        assert_eq!(
            verified.proven(),
            Some(noon() + SignedDuration::from_secs(5))
        );
        assert_eq!(record.times[0].by, TimeSource::Log);
        assert_eq!(record.logs[0].index, 41);
    }
}

/// With a log, with a timestamp, with both and with neither.
#[test]
fn a_key_signs_a_payload() {
    let world = World::new();
    let key = Key::new();
    for log in [Log::None, Log::V1] {
        for stamped_at in [None, Some(noon())] {
            let shape = Shape {
                log,
                stamped_at,
                key: Some(&key),
                ..shape(&world, named())
            };
            let claimed = parse(&named(), &published(&shape)).unwrap();
            assert!(claimed.is_keyed());
            let root = world.root();
            let means = Means::Key(&public_of(&key), Some(&root));
            let verified = verify(&claimed, Artifact::Digest(manifest()), means);
            let verified =
                verified.unwrap_or_else(|fault| panic!("{log:?} {stamped_at:?}: {fault}"));
            let record = verified.record();
            assert_eq!(record.logs.len(), usize::from(log == Log::V1));
            let is_dated = log == Log::V1 || stamped_at.is_some();
            assert_eq!(
                verified.proven().is_some(),
                is_dated,
                "{log:?} {stamped_at:?}"
            );
            assert_eq!(record.not_proven.contains(&NotProven::Time), !is_dated);
        }
    }
}

fn public_of(key: &Key) -> PublicKey {
    public(key)
}

/// cert-manager: SHA-512 on P-256, in no log.
#[test]
fn a_payload_signed_with_another_hash_verifies_too() {
    use aws_lc_rs::digest::{Digest, SHA256, SHA512, digest};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let curve = crate::der::oid("1.2.840.10045.3.1.7");
    let algorithm = crate::der::seq(&[crate::der::oid("1.2.840.10045.2.1"), curve]);
    let point = crate::der::bits(pair.public_key().as_ref());
    let key = pem("PUBLIC KEY", &crate::der::seq(&[algorithm, point]));
    let key = PublicKey::parse(key.as_bytes()).unwrap();
    let long = digest(&SHA512, &named());
    let cut = Digest::import_less_safe(&long.as_ref()[..32], &SHA256).unwrap();
    let signature = base64(pair.sign_digest(&cut).unwrap());
    let annotations = Annotations::from([(SIGNATURE.to_owned(), signature)]);
    let claimed = parse(&named(), &annotations).unwrap();
    let means = Means::Key(&key, None);
    assert!(verify(&claimed, Artifact::Digest(manifest()), means).is_ok());
}

#[test]
fn a_payload_that_names_another_manifest_is_a_mismatch() {
    let world = World::new();
    let key = Key::new();
    let other = payload(&format!("sha256:{}", "ab".repeat(32)));
    let root = world.root();
    for key in [None, Some(&key)] {
        let shape = Shape {
            key,
            ..shape(&world, other.clone())
        };
        let claimed = parse(&other, &published(&shape)).unwrap();
        let public = key.map(public);
        let means = match &public {
            Some(key) => Means::Key(key, Some(&root)),
            None => Means::Identity(&root),
        };
        let fault = verify(&claimed, Artifact::Digest(manifest()), means).unwrap_err();
        assert_eq!(fault.code(), Code::ArtifactMismatch, "{fault}");
        // Signed it was, but not this.
        let changed = parse(&named(), &published(&shape)).unwrap();
        let fault = verify(&changed, Artifact::Digest(manifest()), means).unwrap_err();
        assert!(
            [Code::SignatureInvalid, Code::EntryMismatch].contains(&fault.code()),
            "{fault}"
        );
    }
}

#[test]
fn what_is_signed_must_be_a_signature_of_cosign() {
    let world = World::new();
    let annotations = published(&shape(&world, named()));
    let good = String::from_utf8(named()).unwrap();
    for (text, reason) in [
        ("{}".to_owned(), "ProvenanceMalformed"),
        (
            good.replace("cosign container", "other"),
            "ProvenanceMalformed",
        ),
        (good.replace("sha256:", "sha512:"), "ProvenanceMalformed"),
        (
            good.replace(
                "\"image\":",
                "\"image\":{\"docker-manifest-digest\":\"\"},\"image\":",
            ),
            "ProvenanceMalformed",
        ),
        (format!("{good}{good}"), "ProvenanceMalformed"),
        (" ".repeat(limits::PAYLOAD_BYTES + 1), "LimitExceeded"),
    ] {
        let error = parse(text.as_bytes(), &annotations).unwrap_err();
        assert_eq!(error.said().word(), reason, "{text:.80}: {error}");
    }
}

#[test]
fn annotations_that_cannot_be_read_are_named() {
    let world = World::new();
    let good = published(&shape(&world, named()));
    let leaf = good[CERTIFICATE].clone();
    for (name, text) in [
        (SIGNATURE, "no base64"),
        (SIGNATURE, ""),
        (CERTIFICATE, "no certificate"),
        (CERTIFICATE, &format!("{leaf}{leaf}")),
        (CHAIN, "no certificate"),
        (ENTRY, "{}"),
        (ENTRY, &good[ENTRY].replace("logID\":\"", "logID\":\"zz")),
        (
            ENTRY,
            &good[ENTRY].replace("\"logIndex\":41", "\"logIndex\":-1"),
        ),
        (STAMP, "{}"),
        (STAMP, "{\"SignedRFC3161Timestamp\":\"?\"}"),
    ] {
        let mut annotations = good.clone();
        annotations.insert(name.to_owned(), text.to_owned());
        let error = parse(&named(), &annotations).unwrap_err();
        assert_eq!(
            error.said().word(),
            "ProvenanceMalformed",
            "{name} {text:.40}: {error}"
        );
        assert!(error.to_string().contains(name), "{name}: {error}");
        let long = " ".repeat(limits::ANNOTATION_BYTES + 1);
        annotations.insert(name.to_owned(), long);
        assert_eq!(
            parse(&named(), &annotations).unwrap_err().said().word(),
            "LimitExceeded"
        );
    }
    // An old kind of entry.
    let mut annotations = good.clone();
    let mut entry: Value = serde_json::from_str(&good[ENTRY]).unwrap();
    entry["Payload"]["body"] = json!(base64(
        r#"{"apiVersion":"0.0.1","kind":"rekord","spec":{}}"#
    ));
    annotations.insert(ENTRY.to_owned(), entry.to_string());
    let error = parse(&named(), &annotations).unwrap_err();
    assert!(error.to_string().contains("rekord"), "{error}");
}
