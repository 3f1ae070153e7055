//! What real cosign has signed by real services, kept in `vectors` (with the recipe): it verifies, and nothing that is
//! changed in it makes it a signature of something else or by somebody else.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::sigstore::{
    Artifact, ClaimedBundle, Fault, Means, PublicKey, SignerRecord, SimpleSignature, TrustedRoot,
    VerifiedBundle, verify,
};
use proptest::prelude::*;
use proptest::sample::Index;
use serde::Deserialize;
use serde_json::Value;

/// One signature, and what is known of it.
#[derive(Clone, Deserialize)]
struct Vector {
    #[serde(skip)]
    name: String,
    manifest: Sha256Digest,
    /// What the operator says of a chart that has nothing else.
    word: String,
    /// The identity, if it is not by the key.
    subject: Option<String>,
    bundle: Option<String>,
    payload: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

fn read(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sigstore/vectors");
    std::fs::read(folder.join(name)).unwrap()
}

static VECTORS: LazyLock<Vec<Vector>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sigstore/vectors");
    let names = std::fs::read_dir(folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    let is_vector = |name: &String| {
        let is_json = Path::new(name).extension().is_some_and(|it| it == "json");
        is_json && name != "trusted_root.json"
    };
    names.retain(is_vector);
    names.sort();
    let vector = |name: String| Vector {
        name: name.clone(),
        ..serde_json::from_slice(&read(&name)).unwrap()
    };
    names.into_iter().map(vector).collect()
});
static ROOT: LazyLock<TrustedRoot> =
    LazyLock::new(|| TrustedRoot::parse(&read("trusted_root.json")).unwrap());
static KEY: LazyLock<PublicKey> = LazyLock::new(|| PublicKey::parse(&read("cosign.pub")).unwrap());

impl Vector {
    fn claimed(&self) -> Option<ClaimedBundle> {
        if let Some(bundle) = &self.bundle {
            return ClaimedBundle::parse(bundle.as_bytes()).ok();
        }
        let simple = SimpleSignature {
            payload: self.payload.as_ref()?.as_bytes(),
            annotations: self.annotations.as_ref()?,
        };
        simple.parse().ok()
    }

    fn verified(&self, root: &TrustedRoot) -> Option<Result<VerifiedBundle, Fault>> {
        let means = match self.subject {
            Some(_) => Means::Identity(root),
            None => Means::Key(&KEY, Some(root)),
        };
        let claimed = self.claimed()?;
        Some(verify(&claimed, Artifact::Digest(self.manifest), means))
    }

    /// That whoever it is found to be by is who has signed it, and what it is of is what he has signed.
    fn is_itself(&self, verified: &VerifiedBundle) {
        let record = verified.record();
        assert_eq!(record.artifact, self.manifest, "{}", self.name);
        match (&record.signer, &self.subject) {
            (SignerRecord::Key(key), None) => assert_eq!(*key, KEY.fingerprint()),
            (SignerRecord::Identity(identity), Some(subject)) => {
                assert_eq!(identity.subject, *subject, "{}", self.name);
            }
            (signer, _) => panic!("{}: {signer:?}", self.name),
        }
        assert!(record.kind.is_signature(), "{}", self.name);
    }
}

#[test]
fn what_cosign_has_signed_verifies() {
    assert!(VECTORS.len() >= 14, "{}", VECTORS.len());
    for vector in VECTORS.iter() {
        let verified = vector.verified(&ROOT).unwrap();
        if vector.word == "ArchiveVerified" {
            let verified = verified.unwrap_or_else(|fault| panic!("{}: {fault}", vector.name));
            vector.is_itself(&verified);
        } else {
            let fault = verified.unwrap_err();
            assert_eq!(fault.code().said().word(), vector.word, "{}", vector.name);
        }
    }
}

#[test]
fn what_cosign_has_signed_is_of_nothing_else() {
    for vector in VECTORS.iter() {
        let other = Vector {
            manifest: Sha256Digest::of(b"another chart"),
            ..vector.clone()
        };
        let fault = other.verified(&ROOT).unwrap().unwrap_err();
        let expected = match vector.word.as_str() {
            "ArchiveVerified" => "DigestMismatch",
            word => word,
        };
        assert_eq!(
            fault.code().said().word(),
            expected,
            "{}: {fault}",
            vector.name
        );
    }
}

/// A change of a document.
#[derive(Clone, Debug)]
enum Change {
    /// A part goes.
    Drop(Index),
    /// A part stands where another was.
    Move(Index, Index),
    /// Bytes of a text, also of one that is encoded.
    Noise(Index, Index, Vec<u8>),
    /// A number.
    Number(Index, i64),
    /// A list has a part twice.
    Repeat(Index),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let index = any::<Index>;
    let change = prop_oneof![
        index().prop_map(Change::Drop),
        (index(), index()).prop_map(|(from, to)| Change::Move(from, to)),
        (
            index(),
            index(),
            proptest::collection::vec(any::<u8>(), 1..9)
        )
            .prop_map(|(part, at, noise)| Change::Noise(part, at, noise)),
        (index(), any::<i64>()).prop_map(|(part, number)| Change::Number(part, number)),
        index().prop_map(Change::Repeat),
    ];
    proptest::collection::vec(change, 1..4)
}

impl Change {
    fn make(&self, document: &mut Value) {
        let all = places(document, "");
        let at = |index: &Index| all[index.index(all.len())].as_str();
        match self {
            Self::Drop(part) => drop_part(document, at(part)),
            Self::Move(from, to) => {
                let part = document.pointer(at(from)).cloned().unwrap();
                *document.pointer_mut(at(to)).unwrap() = part;
            }
            Self::Noise(part, place, noise) => {
                if let Some(Value::String(text)) = document.pointer_mut(at(part)) {
                    *text = noisy(text, *place, noise);
                }
            }
            Self::Number(part, number) => {
                *document.pointer_mut(at(part)).unwrap() = (*number).into();
            }
            Self::Repeat(part) => {
                if let Some(Value::Array(all)) = document.pointer_mut(at(part)) {
                    all.extend(all.first().cloned());
                }
            }
        }
    }
}

/// Where all parts of a document lie, as JSON pointers.
fn places(document: &Value, at: &str) -> Vec<String> {
    let below: Vec<(String, &Value)> = match document {
        Value::Object(fields) => {
            let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
            fields
                .iter()
                .map(|(name, part)| (escaped(name), part))
                .collect()
        }
        Value::Array(all) => {
            let numbered = all.iter().enumerate();
            numbered
                .map(|(number, part)| (number.to_string(), part))
                .collect()
        }
        _ => Vec::new(),
    };
    let below = below
        .into_iter()
        .flat_map(|(name, part)| places(part, &format!("{at}/{name}")));
    std::iter::once(at.to_owned()).chain(below).collect()
}

fn drop_part(document: &mut Value, at: &str) {
    let Some((above, name)) = at.rsplit_once('/') else {
        *document = Value::Null;
        return;
    };
    match document.pointer_mut(above) {
        Some(Value::Object(fields)) => {
            fields.remove(&name.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(all)) => {
            all.remove(name.parse().unwrap());
        }
        _ => {}
    }
}

/// With other bytes at a place; of what is encoded, the bytes that are meant.
fn noisy(text: &str, place: Index, noise: &[u8]) -> String {
    use base64::Engine as _;
    let engine = base64::prelude::BASE64_STANDARD;
    let decoded = engine.decode(text).ok().filter(|bytes| !bytes.is_empty());
    let mut bytes = decoded.clone().unwrap_or_else(|| text.as_bytes().to_vec());
    if bytes.is_empty() {
        return String::from_utf8_lossy(noise).into_owned();
    }
    let begin = place.index(bytes.len());
    let end = (begin + noise.len()).min(bytes.len());
    bytes.splice(begin..end, noise.iter().copied());
    match decoded {
        Some(_) => engine.encode(bytes),
        None => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// The same with changes in the bundle, or in annotations and payload.
fn changed(vector: &Vector, changes: &[Change]) -> Vector {
    let mut vector = vector.clone();
    if let Some(bundle) = &vector.bundle {
        let mut document = serde_json::from_str(bundle).unwrap();
        for change in changes {
            change.make(&mut document);
        }
        vector.bundle = Some(document.to_string());
        return vector;
    }
    let mut document = serde_json::json!({
        "payload": vector.payload, "annotations": vector.annotations,
    });
    // Annotations that hold a document: changed inside.
    let entry = "/annotations/dev.sigstore.cosign~1bundle";
    let text = document.pointer(entry).and_then(Value::as_str);
    let inner = text.map(|text| serde_json::from_str::<Value>(text).unwrap());
    if let Some(inner) = inner {
        *document.pointer_mut(entry).unwrap() = inner;
    }
    for change in changes {
        change.make(&mut document);
    }
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    vector.payload = Some(text(&document["payload"]));
    let fields = document["annotations"].as_object().cloned();
    let fields = fields.unwrap_or_default().into_iter();
    vector.annotations = Some(fields.map(|(name, value)| (name, text(&value))).collect());
    vector
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// Parts are dropped, moved, doubled and overwritten: nothing panics, and what still verifies says the same.
    #[test]
    fn what_is_changed_is_by_nobody_else(which in any::<Index>(), changes in changes()) {
        let vector = &VECTORS[which.index(VECTORS.len())];
        if let Some(Ok(verified)) = changed(vector, &changes).verified(&ROOT) {
            vector.is_itself(&verified);
        }
    }

    #[test]
    fn another_root_makes_nobody_else_of_a_signer(which in any::<Index>(), changes in changes()) {
        let vector = &VECTORS[which.index(VECTORS.len())];
        let mut document: Value = serde_json::from_slice(&read("trusted_root.json")).unwrap();
        for change in &changes {
            change.make(&mut document);
        }
        let Ok(root) = TrustedRoot::parse(document.to_string().as_bytes()) else { return Ok(()) };
        if let Some(Ok(verified)) = vector.verified(&root) {
            vector.is_itself(&verified);
        }
    }
}

/// More of them with `PROPTEST_CASES`.
fn cases() -> u32 {
    let told = std::env::var("PROPTEST_CASES").ok();
    told.and_then(|text| text.parse().ok()).unwrap_or(256)
}
