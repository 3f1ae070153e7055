//! Signatures by a key, with and without logs.

use aws_lc_rs::digest::{SHA512, digest};
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1_SIGNING, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA512, RsaKeyPair,
};
use charttrust_verify::sigstore::{
    Artifact, ClaimedBundle, Code, Fault, Means, NotProven, PublicKey, PublicKeyError,
    SignerRecord, TimeSource, TrustedRoot, VerifiedBundle, verify,
};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::der::{bits, oid, seq, tlv};
use crate::forge::{
    Content, Key, Log, MANIFEST, SIGN, Shape, World, base64, claimed, manifest, noon, pem, root,
};

pub(crate) fn public(key: &Key) -> PublicKey {
    PublicKey::parse(key.public_pem().as_bytes()).unwrap()
}

fn by(
    claimed: &ClaimedBundle,
    key: &PublicKey,
    root: Option<&TrustedRoot>,
) -> Result<VerifiedBundle, Fault> {
    verify(claimed, Artifact::Bytes(MANIFEST), Means::Key(key, root))
}

/// `cosign sign --key` without a log: what `sigstore-verify` refuses, and machines without a way out have.
#[test]
fn a_key_alone_suffices_and_the_time_is_unknown() {
    let world = World::new();
    let key = Key::new();
    for content in [Content::Statement(SIGN), Content::Message] {
        let shape = Shape {
            content,
            ..world.keyed(&key)
        };
        let root = world.root();
        for root in [None, Some(&root)] {
            let verified = by(&shape.claimed(), &public(&key), root).unwrap();
            let record = verified.record();
            assert_eq!(record.signer, SignerRecord::Key(public(&key).fingerprint()));
            assert_eq!(record.not_proven, [NotProven::NotLogged, NotProven::Time]);
            assert_eq!(verified.proven(), None);
            assert!(record.kind.is_signature());
        }
    }
}

#[test]
fn logs_and_timestamps_beside_a_key_are_proven_by_the_root() {
    let world = World::new();
    let key = Key::new();
    let later = noon() + SignedDuration::from_secs(5);
    for (log, stamped_at, at, by_whom) in [
        (Log::V1, None, later, TimeSource::Log),
        (
            Log::V2,
            Some(noon()),
            noon(),
            TimeSource::TimestampAuthority,
        ),
        (
            Log::None,
            Some(noon()),
            noon(),
            TimeSource::TimestampAuthority,
        ),
    ] {
        for content in [Content::Statement(SIGN), Content::Message] {
            let shape = Shape {
                log,
                stamped_at,
                content,
                ..world.keyed(&key)
            };
            let claimed = shape.claimed();
            let verified = by(&claimed, &public(&key), Some(&world.root())).unwrap();
            let record = verified.record();
            let times: Vec<_> = record.times.iter().map(|time| (time.at, time.by)).collect();
            assert_eq!(times, [(at, by_whom)], "{log:?} {content:?}");
            assert_eq!(record.logs.len(), usize::from(log != Log::None));
            // Without a root nothing of it is believed, and that is said.
            let verified = by(&claimed, &public(&key), None).unwrap();
            let missing = [NotProven::NoRoot, NotProven::NotLogged, NotProven::Time];
            assert_eq!(verified.record().not_proven, missing);
            assert_eq!(verified.record().root, None);
        }
    }
}

/// The public log in a bundle, and a root of one's own: the key is good, and nothing is proven.
#[test]
fn a_log_that_the_root_does_not_have_proves_nothing() {
    let world = World::new();
    let key = Key::new();
    let shape = Shape {
        log: Log::V1,
        stamped_at: Some(noon()),
        ..world.keyed(&key)
    };
    let verified = by(&shape.claimed(), &public(&key), Some(&World::new().root())).unwrap();
    let record = verified.record();
    assert_eq!((record.times.len(), record.logs.len()), (0, 0));
    let unknown = |one: &&NotProven| matches!(one, NotProven::UnknownAuthority(_));
    assert_eq!(record.not_proven.iter().filter(unknown).count(), 2);
}

/// What an authority of the root has not said is a lie of somebody.
#[test]
fn a_forged_proof_is_a_fault_though_the_key_is_good() {
    let world = World::new();
    let key = Key::new();
    let shape = Shape {
        log: Log::V1,
        stamped_at: Some(noon()),
        ..world.keyed(&key)
    };
    let material = "verificationMaterial";
    let other = shape.bundle();
    for (part, code) in [
        ("tlogEntries", Code::EntryMismatch),
        ("timestampVerificationData", Code::TimestampInvalid),
    ] {
        let mut bundle = shape.bundle();
        bundle[material][part] = other[material][part].clone();
        let fault = by(&claimed(&bundle), &public(&key), Some(&world.root())).unwrap_err();
        assert_eq!(fault.code(), code, "{fault}");
    }
}

/// Neither another authority, whose time has not ended, nor a log makes up for it.
#[test]
fn an_authority_whose_time_has_ended_proves_no_time_beside_a_key() {
    let world = World::new();
    let key = Key::new();
    let mut json = world.root_json();
    let part = "timestampAuthorities";
    let other = World::called("other").root_json()[part][0].clone();
    json[part].as_array_mut().unwrap().push(other);
    json[part][0]["validFor"] =
        json!({"start": "1990-01-01T00:00:00Z", "end": "1991-01-01T00:00:00Z"});
    for log in [Log::None, Log::V1, Log::V2] {
        let shape = Shape {
            log,
            stamped_at: Some(noon()),
            ..world.keyed(&key)
        };
        let fault = by(&shape.claimed(), &public(&key), Some(&root(&json))).unwrap_err();
        assert_eq!(fault.code(), Code::AuthorityNotValid, "{log:?}: {fault}");
    }
}

#[test]
fn another_key_another_artifact_and_a_changed_text_are_told_apart() {
    let world = World::new();
    let key = Key::new();
    for content in [Content::Statement(SIGN), Content::Message] {
        let shape = Shape {
            content,
            ..world.keyed(&key)
        };
        let fault = by(&shape.claimed(), &public(&Key::new()), None).unwrap_err();
        assert_eq!(fault.code(), Code::SignatureInvalid);
        let shape = Shape {
            artifact: b"another chart".to_vec(),
            ..shape
        };
        let fault = by(&shape.claimed(), &public(&key), None).unwrap_err();
        assert_eq!(fault.code(), Code::ArtifactMismatch, "{fault}");
    }
    let mut bundle = world.keyed(&key).bundle();
    let mut payload = shape_payload(&bundle);
    payload["predicate"] = json!({"added": true});
    bundle["dsseEnvelope"]["payload"] = json!(base64(payload.to_string()));
    let fault = by(&claimed(&bundle), &public(&key), None).unwrap_err();
    assert_eq!(fault.code(), Code::SignatureInvalid);
}

fn shape_payload(bundle: &Value) -> Value {
    use base64::Engine as _;
    let text = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    let bytes = base64::prelude::BASE64_STANDARD.decode(text).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn message(signature: &[u8]) -> ClaimedBundle {
    claimed(&json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": ""}},
        "messageSignature": {"signature": base64(signature)},
    }))
}

/// Keys and hashes that cosign can be told to use, each over bytes, and over the digest where it can be.
#[test]
fn every_key_and_hash_of_cosign_is_verified() {
    let random = aws_lc_rs::rand::SystemRandom::new();
    let mut cases: Vec<(&str, PublicKey, Vec<u8>, bool)> = Vec::new();
    let p256 = Key::new();
    cases.push(("P-256", public(&p256), p256.sign(MANIFEST), true));
    let p384 = Key::of(&ECDSA_P384_SHA384_ASN1_SIGNING, "1.3.132.0.34");
    cases.push(("P-384", public(&p384), p384.sign(MANIFEST), false));
    let rsa = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let spki = seq(&[
        seq(&[oid("1.2.840.113549.1.1.1"), tlv(5, &[])]),
        bits(rsa.public_key().as_ref()),
    ]);
    let rsa_public = PublicKey::parse(pem("PUBLIC KEY", &spki).as_bytes()).unwrap();
    for (name, padding, by_digest) in [
        ("RSA, SHA-256", &RSA_PKCS1_SHA256, true),
        ("RSA, SHA-512", &RSA_PKCS1_SHA512, false),
    ] {
        let mut signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(padding, &random, MANIFEST, &mut signature)
            .unwrap();
        cases.push((name, rsa_public.clone(), signature, by_digest));
    }
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let ed25519 = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let spki = seq(&[
        seq(&[oid("1.3.101.112")]),
        bits(ed25519.public_key().as_ref()),
    ]);
    let ed25519_public = PublicKey::parse(pem("PUBLIC KEY", &spki).as_bytes()).unwrap();
    let signature = ed25519.sign(MANIFEST).as_ref().to_vec();
    cases.push(("Ed25519", ed25519_public, signature, false));
    for (name, key, signature, by_digest) in cases {
        let claimed = message(&signature);
        by(&claimed, &key, None).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let outcome = verify(
            &claimed,
            Artifact::Digest(manifest()),
            Means::Key(&key, None),
        );
        assert_eq!(outcome.is_ok(), by_digest, "{name}: {outcome:?}");
        let other = verify(&claimed, Artifact::Bytes(b"other"), Means::Key(&key, None));
        // Whether that was hashed first, nobody can tell.
        let code = match name {
            "Ed25519" => Code::Unsupported,
            _ => Code::SignatureInvalid,
        };
        assert_eq!(other.unwrap_err().code(), code, "{name}");
    }
}

/// cert-manager signs so: P-256 with SHA-512. The curve takes the first half of the digest.
#[test]
fn a_digest_that_is_longer_than_the_curve_is_cut() {
    use aws_lc_rs::digest::{Digest, SHA256};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let spki = seq(&[
        seq(&[oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")]),
        bits(pair.public_key().as_ref()),
    ]);
    let key = PublicKey::parse(pem("PUBLIC KEY", &spki).as_bytes()).unwrap();
    let long = digest(&SHA512, MANIFEST);
    let cut = Digest::import_less_safe(&long.as_ref()[..32], &SHA256).unwrap();
    let signature = pair.sign_digest(&cut).unwrap();
    let claimed = message(signature.as_ref());
    let verified = by(&claimed, &key, Some(&World::new().root())).unwrap();
    assert_eq!(
        verified.record().not_proven,
        [NotProven::NotLogged, NotProven::Time]
    );
}

#[test]
fn a_key_file_that_is_no_key_is_told_why() {
    let key = Key::new();
    let good = key.public_pem();
    let pinned = public(&key).fingerprint();
    assert!(PublicKey::parse_pinned(good.as_bytes(), pinned).is_ok());
    let other = public(&Key::new()).fingerprint();
    let mismatch = PublicKeyError::PinnedNotFound {
        pinned: other,
        found: pinned,
    };
    assert_eq!(
        PublicKey::parse_pinned(good.as_bytes(), other),
        Err(mismatch)
    );
    let limit = charttrust_verify::sigstore::limits::PUBLIC_KEY_BYTES;
    for (text, reason) in [
        (String::new(), "KeyMalformed"),
        (
            "-----BEGIN PGP PUBLIC KEY BLOCK-----".to_owned(),
            "KeyMalformed",
        ),
        (pem("CERTIFICATE", &key.spki()), "KeyMalformed"),
        (pem("PRIVATE KEY", b"secret"), "SecretKey"),
        (
            format!("{good}{}", pem("EC PRIVATE KEY", b"secret")),
            "SecretKey",
        ),
        (format!("{good}{good}"), "KeyMalformed"),
        (pem("PUBLIC KEY", b"no key"), "KeyUnsupported"),
        (" ".repeat(limit + 1), "KeyTooLarge"),
    ] {
        let error = PublicKey::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.reason(), reason, "{text}: {error}");
        assert!(!error.to_string().contains("secret"));
    }
    let short = seq(&[
        seq(&[oid("1.2.840.113549.1.1.1"), tlv(5, &[])]),
        bits(&seq(&[tlv(2, &[1; 64]), tlv(2, &[1, 0, 1])])),
    ]);
    let error = PublicKey::parse(pem("PUBLIC KEY", &short).as_bytes()).unwrap_err();
    assert_eq!(error.reason(), "KeyUnsupported", "{error}");
}

/// Who revokes a key by its fingerprint has revoked it, and whoever lists two has listed two.
#[test]
fn a_key_has_one_fingerprint() {
    let mut rsa = tlv(2, &[&[0, 0xc1][..], &[0x5a; 254], &[1]].concat());
    rsa.extend(tlv(2, &[1, 0, 1]));
    let key = bits(&tlv(0x30, &rsa));
    let encryption = oid("1.2.840.113549.1.1.1");
    let usual = seq(&[seq(&[encryption.clone(), tlv(5, &[])]), key.clone()]);
    let bare = seq(&[seq(&[encryption]), key]);
    let parse = |der: &[u8]| PublicKey::parse(pem("PUBLIC KEY", der).as_bytes());
    assert!(parse(&usual).is_ok());
    let error = parse(&bare).unwrap_err();
    assert_eq!(error.reason(), "KeyUnsupported", "{error}");
    let one = Key::new().spki();
    assert!(parse(&one).is_ok());
    for other in [
        [&one[..], &[0]].concat(),
        // A length in more bytes than it needs.
        [&[0x30, 0x81], &one[1..]].concat(),
        // The same point, compressed.
        {
            let point = &one[one.len() - 64..];
            let sign = 2 + (point[63] & 1);
            let compressed = [&[sign][..], &point[..32]].concat();
            let algorithm = seq(&[oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")]);
            seq(&[algorithm, bits(&compressed)])
        },
    ] {
        assert!(parse(&other).is_err(), "{other:?}");
    }
}

/// What a signature says it is over is signed, too: a text of another type is no statement, whoever has had it
/// signed.
#[test]
fn a_text_of_another_type_is_no_statement() {
    use base64::Engine as _;
    let (world, key) = (World::new(), Key::new());
    let mut bundle = world.keyed(&key).bundle();
    let envelope = &mut bundle["dsseEnvelope"];
    let payload = envelope["payload"].as_str().unwrap();
    let payload = base64::prelude::BASE64_STANDARD.decode(payload).unwrap();
    let payload = String::from_utf8(payload).unwrap();
    let kind = "application/json";
    let signed = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
    envelope["payloadType"] = json!(kind);
    envelope["signatures"][0]["sig"] = json!(base64(key.sign(signed.as_bytes())));
    let root = world.root();
    for root in [None, Some(&root)] {
        let fault = by(&claimed(&bundle), &public(&key), root).unwrap_err();
        assert_eq!(fault.code(), Code::Unsupported, "{fault}");
    }
}
