//! Bundles that somebody made to stop whoever reads them, and those that can be read in two ways.

use charttrust_verify::key::RevocationReason;
use charttrust_verify::sigstore::{
    ClaimedBundle, Code, IdentityRevocation, RevocationError, RootError, TrustedRoot, Window,
    limits,
};
use serde_json::{Value, json};

use crate::forge::{Shape, World, at, claimed, noon};
use crate::words::fault_of;

fn reason(bundle: &Value) -> Option<&'static str> {
    let outcome = ClaimedBundle::parse(bundle.to_string().as_bytes());
    outcome.err().map(|error| error.said().word())
}

fn good() -> Value {
    let world = World::new();
    let shape = Shape {
        stamped_at: Some(noon()),
        ..world.good()
    };
    shape.bundle()
}

#[test]
fn lists_are_read_up_to_their_limit() {
    let bundle = good();
    let material = &bundle["verificationMaterial"];
    let with = |change: &dyn Fn(&mut Value)| {
        let mut bundle = bundle.clone();
        change(&mut bundle["verificationMaterial"]);
        reason(&bundle)
    };
    let entries = |count: usize| {
        let entries = vec![material["tlogEntries"][0].clone(); count];
        with(&|it| it["tlogEntries"] = json!(entries))
    };
    assert_eq!(entries(limits::LOG_ENTRIES), None);
    assert_eq!(entries(limits::LOG_ENTRIES + 1), Some("LimitExceeded"));
    let stamps = |count: usize| {
        let stamp = material["timestampVerificationData"]["rfc3161Timestamps"][0].clone();
        let stamps = json!({"rfc3161Timestamps": vec![stamp; count]});
        with(&|it| it["timestampVerificationData"] = stamps.clone())
    };
    assert_eq!(stamps(limits::TIMESTAMPS), None);
    assert_eq!(stamps(limits::TIMESTAMPS + 1), Some("LimitExceeded"));
    let chain = |count: usize| {
        let chain = json!({"certificates": vec![material["certificate"].clone(); count]});
        with(&|it| {
            it.as_object_mut().unwrap().remove("certificate");
            it["x509CertificateChain"] = chain.clone();
        })
    };
    assert_eq!(chain(limits::CERTIFICATES), None);
    assert_eq!(chain(limits::CERTIFICATES + 1), Some("LimitExceeded"));
}

#[test]
fn sizes_are_read_up_to_their_limit() {
    let of = |limit: usize| {
        let mut text = good().to_string();
        let rest = limit - text.len();
        text.push_str(&" ".repeat(rest));
        ClaimedBundle::parse(text.as_bytes()).map_err(|error| error.said().word())
    };
    assert!(of(limits::BUNDLE_BYTES).is_ok());
    assert_eq!(of(limits::BUNDLE_BYTES + 1).err(), Some("LimitExceeded"));
    let of = |limit: usize| {
        let mut text = World::new().root_json().to_string();
        let rest = limit - text.len();
        text.push_str(&" ".repeat(rest));
        TrustedRoot::parse(text.as_bytes()).map_err(|error| error.reason())
    };
    assert!(of(limits::ROOT_BYTES).is_ok());
    assert_eq!(of(limits::ROOT_BYTES + 1).err(), Some("RootTooLarge"));
}

#[test]
fn what_a_certificate_says_is_read_up_to_its_limit() {
    let world = World::new();
    let with = |length: usize| {
        let shape = Shape {
            issuer: "i".repeat(length),
            ..world.good()
        };
        shape.claimed()
    };
    let root = world.root();
    assert_eq!(
        fault_of(&with(limits::FACT_BYTES + 1), &root).code(),
        Code::LimitExceeded
    );
    let means = charttrust_verify::sigstore::Means::Identity(&root);
    let artifact = charttrust_verify::sigstore::Artifact::Digest(crate::forge::manifest());
    assert!(
        charttrust_verify::sigstore::verify(&with(limits::FACT_BYTES), artifact, means).is_ok()
    );
}

#[test]
fn a_root_has_up_to_its_limit_of_each_kind() {
    let parse = |json: &Value| TrustedRoot::parse(json.to_string().as_bytes());
    let root = |count: usize, part: &str| {
        let mut json = World::new().root_json();
        let one = json[part][0].clone();
        json[part] = json!(vec![one; count]);
        parse(&json)
    };
    for part in ["certificateAuthorities", "timestampAuthorities"] {
        assert!(root(limits::ROOT_ENTRIES, part).is_ok(), "{part}");
        let error = root(limits::ROOT_ENTRIES + 1, part).unwrap_err();
        assert!(matches!(error, RootError::TooMany { .. }), "{error}");
    }
    // Logs are told apart by their IDs.
    assert_eq!(root(2, "tlogs").unwrap_err().reason(), "RootUnusable");
}

#[test]
fn windows_are_counted_and_have_an_order() {
    let of = |count: usize| {
        let window = Window::new(noon(), None).unwrap();
        IdentityRevocation::new(
            RevocationReason::Compromised,
            vec![window; count],
            std::collections::BTreeSet::new(),
        )
    };
    assert!(of(limits::WINDOWS).is_ok());
    assert!(matches!(
        of(limits::WINDOWS + 1),
        Err(RevocationError::TooMany { .. })
    ));
    for until in [noon(), at("2026-11-01T11:59:59Z")] {
        let window = Window::new(noon(), Some(until));
        assert!(matches!(window, Err(RevocationError::Backwards { .. })));
    }
}

/// Two contents, two signers, or a field twice: others may take the one that we do not.
#[test]
fn a_bundle_that_reads_in_two_ways_is_refused() {
    let bundle = good();
    let text = bundle.to_string();
    let twice = |field: &str, value: &str| {
        let position = text.find(&format!("\"{field}\":")).unwrap();
        let (before, after) = text.split_at(position);
        format!("{before}\"{field}\":{value},{after}")
    };
    let mut both = bundle.clone();
    both["messageSignature"] = json!({"signature": "AAAA"});
    let mut signers = bundle.clone();
    signers["verificationMaterial"]["publicKey"] = json!({"hint": ""});
    let mut chain = bundle.clone();
    chain["verificationMaterial"]["x509CertificateChain"] = json!({"certificates": []});
    let mut nothing = bundle.clone();
    nothing.as_object_mut().unwrap().remove("dsseEnvelope");
    let mut nobody = bundle.clone();
    nobody["verificationMaterial"]
        .as_object_mut()
        .unwrap()
        .remove("certificate");
    for text in [
        both.to_string(),
        signers.to_string(),
        chain.to_string(),
        nothing.to_string(),
        nobody.to_string(),
        twice(
            "mediaType",
            "\"application/vnd.dev.sigstore.bundle.v0.3+json\"",
        ),
        twice("dsseEnvelope", "{}"),
        twice("verificationMaterial", "{}"),
        twice("certificate", "{}"),
        twice("tlogEntries", "[]"),
        twice("kindVersion", "{}"),
        twice("canonicalizedBody", "\"\""),
        twice("payload", "\"\""),
    ] {
        let error = ClaimedBundle::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.said().word(), "ProvenanceMalformed", "{error}");
    }
}

/// The statement decides what a signature is: it has one type and one list of subjects.
#[test]
fn a_statement_that_reads_in_two_ways_is_refused() {
    use base64::Engine as _;
    let engine = base64::prelude::BASE64_STANDARD;
    let bundle = good();
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    let payload = String::from_utf8(engine.decode(payload).unwrap()).unwrap();
    for (from, to) in [
        (
            "\"predicateType\":",
            "\"predicateType\":\"https://spdx.dev/Document\",\"predicateType\":",
        ),
        ("\"subject\":", "\"subject\":[],\"subject\":"),
        ("\"_type\":", "\"_type\":\"\",\"_type\":"),
        (
            "https://in-toto.io/Statement/v1",
            "https://in-toto.io/Statement/v2",
        ),
        ("{", "["),
    ] {
        let mut bundle = bundle.clone();
        bundle["dsseEnvelope"]["payload"] = json!(engine.encode(payload.replacen(from, to, 1)));
        assert_eq!(reason(&bundle), Some("ProvenanceMalformed"), "{from}");
    }
}

#[test]
fn a_long_proof_and_a_deep_text_end_soon() {
    let world = World::new();
    let mut bundle = world.good().bundle();
    let hashes = vec![crate::forge::base64([7; 32]); 10_000];
    bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["hashes"] = json!(hashes);
    let fault = fault_of(&claimed(&bundle), &world.root());
    assert_eq!(fault.code(), Code::LogProofInvalid, "{fault}");
    let deep = "[".repeat(limits::BUNDLE_BYTES / 2);
    assert!(ClaimedBundle::parse(deep.as_bytes()).is_err());
    let deep = format!(
        "{{\"verificationMaterial\":{{\"certificate\":{}",
        "{\"a\":".repeat(100_000)
    );
    assert!(ClaimedBundle::parse(deep.as_bytes()).is_err());
}
