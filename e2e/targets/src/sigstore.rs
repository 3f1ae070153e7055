//! Signatures of Sigstore: bundles, what is in them, and the older form.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use charttrust_verify::bundles::BundleFacts;
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::seal::Attestation;
use charttrust_verify::sigstore::{
    Artifact, ClaimedBundle, Code, Kind, Means, PublicKey, SignerRecord, SimpleSignature,
    TrustedRoot, VerifiedBundle, limits, verify,
};
use serde::Deserialize;
use serde_json::Value;

use crate::{Target, joined, parts, vectors};

pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "sigstore-bundle",
        reads: "a bundle of Sigstore, verified by a root and by a key",
        holds: "What verifies has been signed by whom it says, over what it says; what is kept of it is read back equal.",
        longest: 16384,
        check: bundle,
        seeds: bundles,
    },
    Target {
        name: "sigstore-payload",
        reads: "what a bundle has in base64: statement, certificate, log entry, timestamp, proof",
        holds: "The same, with bytes put into each place of real bundles.",
        longest: 8192,
        check: inside,
        seeds: insides,
    },
    Target {
        name: "sigstore-simple",
        reads: "a payload of simple signing with its annotations, as cosign 1 and 2 published them",
        holds: "The same as of a bundle.",
        longest: 12288,
        check: simple,
        seeds: simples,
    },
];

/// One signature, and what was signed by it.
#[derive(Clone, Deserialize)]
pub(crate) struct Vector {
    /// The manifest.
    pub(crate) manifest: Sha256Digest,
    /// The bundle, if it is one.
    pub(crate) bundle: Option<String>,
    payload: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

pub(crate) static VECTORS: LazyLock<Vec<Vector>> = LazyLock::new(|| {
    let mut all = vectors::all("sigstore/vectors", ".json");
    all.retain(|(name, _)| name != "trusted_root.json");
    let read = |(name, bytes): (String, Vec<u8>)| {
        let vector = serde_json::from_slice(&bytes);
        vector.unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    all.into_iter().map(read).collect()
});

static ROOT: LazyLock<TrustedRoot> = LazyLock::new(|| {
    let root = TrustedRoot::parse(&vectors::read("sigstore/vectors/trusted_root.json"));
    root.unwrap_or_else(|error| panic!("the root of the vectors: {error}"))
});

pub(crate) static KEY: LazyLock<PublicKey> = LazyLock::new(|| {
    let key = PublicKey::parse(&vectors::read("sigstore/vectors/cosign.pub"));
    key.unwrap_or_else(|error| panic!("the key of the vectors: {error}"))
});

/// What a signature is: by whom, over what, and of which kind.
type Fact = (SignerRecord, Sha256Digest, Kind);

/// What the untouched vectors are found to be.
static MADE: LazyLock<Vec<Fact>> = LazyLock::new(|| {
    let facts = VECTORS.iter().flat_map(|vector| {
        let claimed = match &vector.bundle {
            Some(bundle) => ClaimedBundle::parse(bundle.as_bytes()).ok(),
            None => vector.simple(),
        };
        let own = Some(vector.manifest);
        claimed
            .map(|claimed| verified(&claimed, own, &ROOT))
            .unwrap_or_default()
    });
    let all: Vec<_> = facts.collect();
    let by_keys = all
        .iter()
        .filter(|(signer, ..)| matches!(signer, SignerRecord::Key(_)));
    let by_keys = by_keys.count();
    assert!(
        by_keys > 4 && all.len() - by_keys > 4,
        "{} vectors, {by_keys} by keys",
        all.len()
    );
    all
});

impl Vector {
    fn simple(&self) -> Option<ClaimedBundle> {
        let simple = SimpleSignature {
            payload: self.payload.as_ref()?.as_bytes(),
            annotations: self.annotations.as_ref()?,
        };
        simple.parse().ok()
    }
}

/// Facts of all ways in which a signature verifies, of an artifact or of the one that it names.
pub(crate) fn verified(
    claimed: &ClaimedBundle,
    artifact: Option<Sha256Digest>,
    root: &TrustedRoot,
) -> Vec<Fact> {
    let _ = (
        claimed.claimed_signer(),
        claimed.claimed_key(),
        claimed.weight(),
    );
    let means = [
        Means::Identity(root),
        Means::Key(&KEY, None),
        Means::Key(&KEY, Some(root)),
    ];
    let mut all = Vec::new();
    for means in means {
        let Some(artifact) = artifact.or_else(|| named(claimed, means)) else {
            continue;
        };
        let Ok(verified) = verify(claimed, Artifact::Digest(artifact), means) else {
            continue;
        };
        let kept = VerifiedBundle::read(&verified.text(), Attestation::supposed());
        assert_eq!(
            kept.as_ref(),
            Some(&verified),
            "not read back as it was kept"
        );
        let record = verified.record();
        assert_eq!(record.artifact, artifact);
        all.push((record.signer.clone(), record.artifact, record.kind.clone()));
    }
    all
}

/// Of which artifact it is a good signature, as a fault says.
fn named(claimed: &ClaimedBundle, means: Means<'_>) -> Option<Sha256Digest> {
    let nothing = Artifact::Digest(Sha256Digest::of(b"nothing that anybody has signed"));
    let fault = verify(claimed, nothing, means).err()?;
    let other = fault.detail().strip_prefix("it is a signature of ");
    let digest = other
        .filter(|_| fault.code() == Code::ArtifactMismatch)?
        .parse();
    Some(digest.unwrap_or_else(|_| panic!("no digest is told: {fault}")))
}

/// That whatever verifies was made.
fn was_made(claimed: &ClaimedBundle, artifact: Option<Sha256Digest>) {
    for fact in verified(claimed, artifact, &ROOT) {
        assert!(MADE.contains(&fact), "nobody has made {fact:?}");
    }
}

fn bundles() -> Vec<Vec<u8>> {
    let all = VECTORS.iter().filter_map(|vector| vector.bundle.clone());
    all.map(String::into_bytes).collect()
}

fn bundle(bytes: &[u8]) {
    let facts = BundleFacts::read(bytes);
    assert_eq!(facts.digest, Sha256Digest::of(bytes));
    let Ok(claimed) = ClaimedBundle::parse(bytes) else {
        return;
    };
    assert!(bytes.len() <= limits::BUNDLE_BYTES && claimed.kind().is_ok());
    was_made(&claimed, None);
}

/// Where a bundle has bytes in base64.
const PLACES: [&str; 12] = [
    "/dsseEnvelope/payload",
    "/dsseEnvelope/signatures/0/sig",
    "/messageSignature/signature",
    "/messageSignature/messageDigest/digest",
    "/verificationMaterial/certificate/rawBytes",
    "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp",
    "/verificationMaterial/tlogEntries/0/canonicalizedBody",
    "/verificationMaterial/tlogEntries/0/inclusionPromise/signedEntryTimestamp",
    "/verificationMaterial/tlogEntries/0/logId/keyId",
    "/verificationMaterial/tlogEntries/0/inclusionProof/rootHash",
    "/verificationMaterial/tlogEntries/0/inclusionProof/hashes/0",
    "/verificationMaterial/publicKey/hint",
];

/// The bundles, each with what it is of.
static FORMS: LazyLock<Vec<(Value, Sha256Digest)>> = LazyLock::new(|| {
    let all = VECTORS.iter().filter_map(|vector| {
        let form = serde_json::from_str::<Value>(vector.bundle.as_ref()?).ok()?;
        Some((form, vector.manifest))
    });
    all.collect()
});

/// The first byte says which bundle, the second which place.
fn insides() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (form, (bundle, _)) in (0_u8..).zip(FORMS.iter()) {
        for (place, pointer) in (0_u8..).zip(PLACES) {
            let text = bundle.pointer(pointer).and_then(Value::as_str);
            let bytes = text.and_then(|text| BASE64_STANDARD.decode(text).ok());
            all.extend(bytes.map(|bytes| [&[form, place], bytes.as_slice()].concat()));
        }
    }
    all
}

fn inside(bytes: &[u8]) {
    let [form, place, inner @ ..] = bytes else {
        return;
    };
    let pointer = PLACES[usize::from(*place) % PLACES.len()];
    let (mut bundle, artifact) = FORMS[usize::from(*form) % FORMS.len()].clone();
    let Some(text) = bundle.pointer_mut(pointer) else {
        return;
    };
    *text = BASE64_STANDARD.encode(inner).into();
    if let Ok(claimed) = ClaimedBundle::parse(bundle.to_string().as_bytes()) {
        was_made(&claimed, Some(artifact));
    }
}

fn simples() -> Vec<Vec<u8>> {
    let all = VECTORS.iter().filter_map(|vector| {
        let annotations = serde_json::to_vec(vector.annotations.as_ref()?).ok()?;
        Some(joined(&[vector.payload.as_ref()?.as_bytes(), &annotations]))
    });
    all.collect()
}

fn simple(bytes: &[u8]) {
    let [payload, annotations] = parts(bytes);
    let Ok(annotations) = serde_json::from_slice(annotations) else {
        return;
    };
    let simple = SimpleSignature {
        payload,
        annotations: &annotations,
    };
    if let Ok(claimed) = simple.parse() {
        assert!(payload.len() <= limits::PAYLOAD_BYTES);
        was_made(&claimed, None);
    }
}
