//! Properties that hold for any input.

use std::collections::BTreeMap;

use charttrust_verify::sigstore::{
    Artifact, ClaimedBundle, Means, PublicKey, SimpleSignature, TrustedRoot, verify,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::forge::{Content, Key, Log, MANIFEST, SIGN, Shape, World, manifest, noon};
use crate::keyed::public;

/// Reads and verifies bytes in every way; whether any of them found it good.
fn is_good(bytes: &[u8], root: &TrustedRoot, key: &PublicKey) -> bool {
    let Ok(claimed) = ClaimedBundle::parse(bytes) else {
        return false;
    };
    let _ = (claimed.kind(), claimed.claimed_signer(), claimed.is_keyed());
    let means = [
        Means::Identity(root),
        Means::Key(key, None),
        Means::Key(key, Some(root)),
    ];
    let outcomes = means.map(|means| {
        let by_bytes = verify(&claimed, Artifact::Bytes(MANIFEST), means);
        let by_digest = verify(&claimed, Artifact::Digest(manifest()), means);
        by_bytes.is_ok() || by_digest.is_ok()
    });
    outcomes.contains(&true)
}

/// One of each form, with a root and a key.
fn forms(world: &World, key: &Key) -> Vec<Value> {
    let mut forms = Vec::new();
    for content in [Content::Message, Content::Statement(SIGN)] {
        for log in [Log::V1, Log::V2] {
            let shape = Shape {
                content,
                log,
                stamped_at: Some(noon()),
                ..world.good()
            };
            forms.push(shape.bundle());
            let keyed = Shape {
                key: Some(key),
                ..shape
            };
            forms.push(keyed.bundle());
        }
    }
    forms
}

#[test]
fn no_truncated_bundle_is_good() {
    let (world, key) = (World::new(), Key::new());
    let (root, public) = (world.root(), public(&key));
    for bundle in forms(&world, &key) {
        let bytes = bundle.to_string().into_bytes();
        assert!(is_good(&bytes, &root, &public));
        for length in (0..bytes.len()).step_by(7) {
            assert!(!is_good(&bytes[..length], &root, &public), "{length}");
        }
    }
}

/// What is signed, signature, certificate, promise and stamp: a changed bit of any is noticed.
#[test]
fn no_changed_bit_is_good() {
    use base64::Engine as _;
    let engine = base64::prelude::BASE64_STANDARD;
    let (world, key) = (World::new(), Key::new());
    let (root, public) = (world.root(), public(&key));
    for bundle in forms(&world, &key) {
        let material = "/verificationMaterial";
        let entry = format!("{material}/tlogEntries/0");
        for place in [
            "/dsseEnvelope/payload".to_owned(),
            "/dsseEnvelope/signatures/0/sig".to_owned(),
            "/messageSignature/signature".to_owned(),
            "/messageSignature/messageDigest/digest".to_owned(),
            format!("{material}/certificate/rawBytes"),
            format!("{entry}/canonicalizedBody"),
            format!("{entry}/inclusionPromise/signedEntryTimestamp"),
            format!("{entry}/inclusionProof/hashes/0"),
        ] {
            let Some(text) = bundle.pointer(&place).and_then(Value::as_str) else {
                continue;
            };
            let bytes = engine.decode(text).unwrap();
            let bits = bytes.len() * 8;
            for bit in (0..bits).step_by(bits / 16) {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let mut changed = bundle.clone();
                *changed.pointer_mut(&place).unwrap() = engine.encode(bytes).into();
                let changed = changed.to_string();
                // Without a root nobody looks at logs and stamps of a keyed one.
                let is_of_log = place.starts_with(material);
                let good = if is_of_log {
                    by_root(changed.as_bytes(), &root, &public)
                } else {
                    is_good(changed.as_bytes(), &root, &public)
                };
                assert!(!good, "bit {bit} of {place}");
            }
        }
    }
}

fn by_root(bytes: &[u8], root: &TrustedRoot, key: &PublicKey) -> bool {
    let Ok(claimed) = ClaimedBundle::parse(bytes) else {
        return false;
    };
    let means = [Means::Identity(root), Means::Key(key, Some(root))];
    let mut outcomes = means
        .into_iter()
        .map(|means| verify(&claimed, Artifact::Bytes(MANIFEST), means));
    outcomes.any(|outcome| outcome.is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let annotations = BTreeMap::from([
            ("dev.cosignproject.cosign/signature".to_owned(), "AAAA".to_owned()),
            ("dev.sigstore.cosign/certificate".to_owned(), text.clone()),
            ("dev.sigstore.cosign/chain".to_owned(), text.clone()),
            ("dev.sigstore.cosign/bundle".to_owned(), text.clone()),
        ]);
        let simple = SimpleSignature { payload: &bytes, annotations: &annotations };
        let _ = (ClaimedBundle::parse(&bytes), TrustedRoot::parse(&bytes), PublicKey::parse(&bytes));
        let _ = simple.parse();
    }

    /// Bytes of certificates, stamps, bodies and notes replaced at random.
    #[test]
    fn no_inner_bytes_make_it_panic(
        form in 0_usize..8,
        place in 0_usize..9,
        noise in proptest::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
    ) {
        use base64::Engine as _;
        let engine = base64::prelude::BASE64_STANDARD;
        let (world, key) = (World::new(), Key::new());
        let mut bundle = forms(&world, &key).swap_remove(form);
        let material = "/verificationMaterial";
        let entry = format!("{material}/tlogEntries/0");
        let places = [
            "/dsseEnvelope/payload".to_owned(),
            "/dsseEnvelope/signatures/0/sig".to_owned(),
            "/messageSignature/signature".to_owned(),
            format!("{material}/certificate/rawBytes"),
            format!("{material}/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp"),
            format!("{entry}/canonicalizedBody"),
            format!("{entry}/inclusionPromise/signedEntryTimestamp"),
            format!("{entry}/logId/keyId"),
            format!("{entry}/inclusionProof/rootHash"),
        ];
        let Some(value) = bundle.pointer_mut(&places[place]) else { return Ok(()) };
        let mut bytes = engine.decode(value.as_str().unwrap()).unwrap();
        let begin = at.index(bytes.len());
        let end = (begin + noise.len() / 2).min(bytes.len());
        bytes.splice(begin..end, noise);
        *value = engine.encode(bytes).into();
        is_good(bundle.to_string().as_bytes(), &world.root(), &public(&key));
    }
}
