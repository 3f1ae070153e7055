//! Whom to believe of Sigstore: trusted roots, public keys and patterns of identities.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::sigstore::{
    ClaimedBundle, Pattern, PublicKey, SignerRecord, SubjectPattern, TrustedRoot, limits,
};
use serde_json::Value;

use crate::sigstore::{KEY, VECTORS, verified};
use crate::{Target, joined, parts, vectors};

pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "sigstore-root",
        reads: "a trusted root, by which signatures are then verified",
        holds: "Whoever is believed, nobody has signed anything but what he signed: a signature is of its artifact, by its signer.",
        longest: 16384,
        check: root,
        seeds: roots,
    },
    Target {
        name: "sigstore-root-keys",
        reads: "certificates and keys in base64 in a trusted root",
        holds: "The same, with bytes put into each place of a real root.",
        longest: 4096,
        check: inside,
        seeds: insides,
    },
    Target {
        name: "public-key",
        reads: "a public key in PEM, or its DER",
        holds: "A key has one fingerprint, that of its bytes; pinned it is the same key, and pinned to another it is none.",
        longest: 4096,
        check: public_key,
        seeds: public_keys,
    },
    Target {
        name: "subject-pattern",
        reads: "the pattern of a subject, and a subject",
        holds: "It matches what a plain search of all ways finds; a pattern of subjects is one that names whose they are.",
        longest: 256,
        check: pattern,
        seeds: patterns,
    },
];

fn root_text() -> Vec<u8> {
    vectors::read("sigstore/vectors/trusted_root.json")
}

fn roots() -> Vec<Vec<u8>> {
    vec![root_text()]
}

/// Bundles, each with what it is of.
static CLAIMED: LazyLock<Vec<(ClaimedBundle, Sha256Digest)>> = LazyLock::new(|| {
    let all = VECTORS.iter().filter_map(|vector| {
        let claimed = ClaimedBundle::parse(vector.bundle.as_ref()?.as_bytes());
        Some((claimed.ok()?, vector.manifest))
    });
    let all: Vec<_> = all.collect();
    assert!(all.len() > 4, "only {} bundles", all.len());
    all
});

/// Subjects that certificates of the vectors name.
static SUBJECTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let root = TrustedRoot::parse(&root_text());
    let root = root.unwrap_or_else(|error| panic!("the root of the vectors: {error}"));
    let facts = CLAIMED.iter();
    let facts = facts.flat_map(|(claimed, own)| verified(claimed, Some(*own), &root));
    let subjects = facts.filter_map(|(signer, ..)| match signer {
        SignerRecord::Identity(identity) => Some(identity.subject),
        SignerRecord::Key(_) => None,
    });
    subjects.collect()
});

fn root(bytes: &[u8]) {
    let Ok(root) = TrustedRoot::parse(bytes) else {
        return;
    };
    assert!(bytes.len() <= limits::ROOT_BYTES);
    assert_eq!(root.digest(), Sha256Digest::of(bytes));
    let _ = (root.date(), root.authorities(), root.described());
    // One signature by a certificate and one by a key are enough: others take the same time again.
    let keyed = CLAIMED.iter().find(|(claimed, _)| claimed.is_keyed());
    let by_name = CLAIMED.iter().find(|(claimed, _)| !claimed.is_keyed());
    for (claimed, own) in keyed.into_iter().chain(by_name) {
        for (signer, _, _) in verified(claimed, Some(*own), &root) {
            match signer {
                SignerRecord::Key(key) => assert_eq!(key, KEY.fingerprint()),
                SignerRecord::Identity(identity) => {
                    assert!(SUBJECTS.contains(&identity.subject), "{identity:?}");
                }
            }
        }
    }
}

static ROOT: LazyLock<Value> = LazyLock::new(|| {
    let root = serde_json::from_slice(&root_text());
    root.unwrap_or_else(|error| panic!("the root of the vectors: {error}"))
});

/// Where the root has bytes in base64.
static PLACES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut found = Vec::new();
    bytes_below(&ROOT, "", &mut found);
    assert!(found.len() > 4, "{found:?}");
    found
});

fn bytes_below(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                bytes_below(value, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(all) => {
            for (index, value) in all.iter().enumerate() {
                bytes_below(value, &format!("{at}/{index}"), found);
            }
        }
        Value::String(_) if at.ends_with("/rawBytes") || at.ends_with("/keyId") => {
            found.push(at.to_owned());
        }
        _ => {}
    }
}

/// The first byte says which place.
fn insides() -> Vec<Vec<u8>> {
    let all = (0_u8..).zip(PLACES.iter()).map(|(place, pointer)| {
        let text = ROOT
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default();
        let bytes = BASE64_STANDARD.decode(text).unwrap_or_default();
        [&[place], bytes.as_slice()].concat()
    });
    all.collect()
}

fn inside(bytes: &[u8]) {
    let [place, inner @ ..] = bytes else { return };
    let mut changed = ROOT.clone();
    let pointer = &PLACES[usize::from(*place) % PLACES.len()];
    if let Some(text) = changed.pointer_mut(pointer) {
        *text = BASE64_STANDARD.encode(inner).into();
    }
    root(changed.to_string().as_bytes());
}

fn public_keys() -> Vec<Vec<u8>> {
    let pem = vectors::read("sigstore/vectors/cosign.pub");
    let der = vectors::unarmored(&String::from_utf8_lossy(&pem), "PUBLIC KEY");
    let keys = insides();
    let keys = keys
        .iter()
        .map(|bytes| bytes[1..].to_vec())
        .filter(|bytes| bytes.len() > 32);
    keys.chain([pem, der]).collect()
}

fn public_key(bytes: &[u8]) {
    let is_pem = bytes.starts_with(b"-----");
    let encoded = BASE64_STANDARD.encode(bytes);
    let wrapped = format!("-----BEGIN PUBLIC KEY-----\n{encoded}\n-----END PUBLIC KEY-----\n");
    let pem = if is_pem { bytes } else { wrapped.as_bytes() };
    let Ok(key) = PublicKey::parse(pem) else {
        return;
    };
    assert!(pem.len() <= limits::PUBLIC_KEY_BYTES);
    let fingerprint = key.fingerprint();
    if !is_pem {
        assert_eq!(
            fingerprint,
            Sha256Digest::of(bytes),
            "one key with two fingerprints"
        );
    }
    let pinned = PublicKey::parse_pinned(pem, fingerprint).map(|key| key.fingerprint());
    assert!(pinned.is_ok_and(|pinned| pinned == fingerprint));
    assert!(PublicKey::parse_pinned(pem, Sha256Digest::of(b"another")).is_err());
    assert!(
        key.openpgp_numbers()
            .is_some_and(|numbers| !numbers.is_empty())
    );
    assert!(!key.algorithm().is_empty());
}

fn patterns() -> Vec<Vec<u8>> {
    let pairs = [
        (
            "https://github.com/acme/*/.github/workflows/release.yaml@refs/tags/**",
            "https://github.com/acme/web/.github/workflows/release.yaml@refs/tags/v1.2.3",
        ),
        ("*@example.com", "ann@example.com"),
        (
            "https://gitlab.com/acme/web//.gitlab-ci.yml@refs/heads/*",
            "https://gitlab.com/acme/web",
        ),
        ("**", "a/b@c"),
        ("a*b**c", "axbyc"),
    ];
    let joined =
        |(pattern, subject): (&str, &str)| joined(&[pattern.as_bytes(), subject.as_bytes()]);
    pairs.map(joined).to_vec()
}

fn pattern(bytes: &[u8]) {
    let [pattern, subject] = parts(bytes).map(std::str::from_utf8);
    let (Ok(pattern), Ok(subject)) = (pattern, subject) else {
        return;
    };
    let parsed = pattern.parse::<Pattern>();
    if let Ok(parsed) = &parsed {
        let (pattern, subject): (Vec<_>, Vec<_>) =
            (pattern.chars().collect(), subject.chars().collect());
        // Every star has as many ways as the subject has letters.
        let stars = pattern.iter().filter(|letter| **letter == '*').count();
        if stars <= 4 && subject.len() <= 40 {
            let text: String = subject.iter().collect();
            assert_eq!(
                parsed.matches(&text),
                matches(&pattern, &subject),
                "{parsed} and {text}"
            );
        }
    }
    if let Ok(subjects) = pattern.parse::<SubjectPattern>() {
        let literal = pattern.split('*').next().unwrap_or_default();
        let has_owner = literal.matches('/').count() >= 4;
        let has_domain = pattern
            .split_once('@')
            .is_some_and(|(_, domain)| !domain.contains('*'));
        assert!(has_owner || has_domain, "{pattern} is open to everybody");
        assert_eq!(
            Some(subjects.matches(subject)),
            parsed.ok().map(|it| it.matches(subject))
        );
    }
}

/// The definition, by trying all ways: `**` is any run without `@`, `*` one without `/` as well.
fn matches(pattern: &[char], text: &[char]) -> bool {
    let run = |rest: &[char], stops: &[char]| {
        let longest = text
            .iter()
            .take_while(|letter| !stops.contains(letter))
            .count();
        (0..=longest).any(|length| matches(rest, &text[length..]))
    };
    match pattern {
        [] => text.is_empty(),
        ['*', '*', rest @ ..] => run(rest, &['@']),
        ['*', rest @ ..] => run(rest, &['@', '/']),
        [letter, rest @ ..] => text.first() == Some(letter) && matches(rest, &text[1..]),
    }
}
