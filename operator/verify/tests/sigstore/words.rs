//! One change to a good bundle, and the word that it gives.

use charttrust_verify::sigstore::{
    Artifact, ClaimedBundle, ClaimedSigner, Code, Fault, Means, PublicKey, Said, TrustedRoot,
    verify,
};
use charttrust_verify::verdict::{Cause, Reason};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::forge::{
    Content, Key, Log, MANIFEST, SIGN, Shape, World, at, base64, claimed, noon, root,
};

pub(crate) fn fault_of(claimed: &ClaimedBundle, root: &TrustedRoot) -> Fault {
    verify(claimed, Artifact::Bytes(MANIFEST), Means::Identity(root)).unwrap_err()
}

/// What becomes of a good shape that was changed.
fn shaped(change: impl FnOnce(&mut Shape<'_>)) -> Fault {
    let world = World::new();
    let mut shape = world.good();
    change(&mut shape);
    fault_of(&shape.claimed(), &world.root())
}

/// What becomes of a good bundle that was changed.
fn changed(content: Content, log: Log, change: impl FnOnce(&mut Value)) -> Fault {
    let world = World::new();
    let shape = Shape {
        content,
        log,
        stamped_at: (log == Log::V2).then(noon),
        ..world.good()
    };
    let mut bundle = shape.bundle();
    change(&mut bundle);
    fault_of(&claimed(&bundle), &world.root())
}

/// What becomes of a good bundle by a root that was changed.
fn rooted(change: impl FnOnce(&mut Value)) -> Fault {
    let world = World::new();
    let shape = Shape {
        log: Log::V1,
        stamped_at: Some(noon()),
        ..world.good()
    };
    let mut json = world.root_json();
    change(&mut json);
    fault_of(&shape.claimed(), &root(&json))
}

fn entry(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["tlogEntries"][0]
}

/// Flips a bit in the middle of what stands there in base64.
fn flip(value: &mut Value) {
    use base64::Engine as _;
    let engine = base64::prelude::BASE64_STANDARD;
    let mut bytes = engine.decode(value.as_str().unwrap()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    *value = json!(engine.encode(bytes));
}

const SIGNED: Content = Content::Statement(SIGN);

#[test]
fn each_code_has_a_change_that_gives_it() {
    for code in Code::ALL {
        let fault = match code {
            Code::ArtifactMismatch => shaped(|it| it.artifact = b"another chart".to_vec()),
            Code::AuthorityNotValid => rooted(|it| {
                let ended = json!({"start": "1990-01-01T00:00:00Z", "end": "1991-01-01T00:00:00Z"});
                it["certificateAuthorities"][0]["validFor"] = ended;
            }),
            Code::AuthorityUnknown => rooted(|it| {
                let other = World::new().root_json();
                it["certificateAuthorities"] = other["certificateAuthorities"].clone();
            }),
            Code::CertificateInvalid => shaped(|it| it.names.clear()),
            Code::CertificateNotValid => {
                shaped(|it| it.logged_at = it.at + SignedDuration::from_mins(11))
            }
            Code::EntryMismatch => entry_of_another(),
            Code::FromFuture => shaped(|it| {
                it.at = at("2150-01-01T00:00:00Z");
                it.logged_at = it.at;
            }),
            Code::LimitExceeded => shaped(|it| it.issuer = "i".repeat(1025)),
            Code::LogProofInvalid => changed(SIGNED, Log::V1, |it| {
                flip(&mut entry(it)["inclusionPromise"]["signedEntryTimestamp"]);
            }),
            Code::Malformed => changed(SIGNED, Log::V1, |it| {
                entry(it)["inclusionProof"]["treeSize"] = json!("0");
            }),
            Code::NotLogged => shaped(|it| it.log = Log::None),
            Code::OtherSigner => by_key(),
            Code::SignatureInvalid => changed(Content::Message, Log::V1, |it| {
                let other = World::new().good().bundle();
                it["messageSignature"]["signature"] =
                    other["dsseEnvelope"]["signatures"][0]["sig"].clone();
            }),
            Code::TimestampInvalid => stamp_of_another_signature(),
            Code::Unsupported => changed(SIGNED, Log::V1, |it| {
                it["dsseEnvelope"]["payloadType"] = json!("text/plain");
            }),
        };
        assert_eq!(fault.code(), *code, "{fault}");
    }
}

/// The log is the right one, and the entry is that of another signature.
fn entry_of_another() -> Fault {
    let world = World::new();
    let other = world.good().bundle();
    let mut bundle = world.good().bundle();
    *entry(&mut bundle) = other["verificationMaterial"]["tlogEntries"][0].clone();
    fault_of(&claimed(&bundle), &world.root())
}

fn stamp_of_another_signature() -> Fault {
    let world = World::new();
    let shape = || Shape {
        stamped_at: Some(noon()),
        ..world.good()
    };
    let stamps = "timestampVerificationData";
    let mut bundle = shape().bundle();
    bundle["verificationMaterial"][stamps] =
        shape().bundle()["verificationMaterial"][stamps].clone();
    fault_of(&claimed(&bundle), &world.root())
}

fn by_key() -> Fault {
    let world = World::new();
    let key = Key::new();
    let claimed = world.keyed(&key).claimed();
    fault_of(&claimed, &world.root())
}

/// The words of the contract, and no other.
#[test]
fn each_code_is_a_word_of_verdicts() {
    for (code, word) in [
        (Code::ArtifactMismatch, Said::Reason(Reason::DigestMismatch)),
        (
            Code::AuthorityNotValid,
            Said::Reason(Reason::SignerNotTrusted),
        ),
        (
            Code::AuthorityUnknown,
            Said::Reason(Reason::SignerNotTrusted),
        ),
        (
            Code::CertificateInvalid,
            Said::Reason(Reason::SignerNotTrusted),
        ),
        (
            Code::CertificateNotValid,
            Said::Reason(Reason::SignerNotTrusted),
        ),
        (Code::EntryMismatch, Said::Reason(Reason::SignatureInvalid)),
        (Code::FromFuture, Said::Reason(Reason::SignerNotTrusted)),
        (Code::LimitExceeded, Said::Cause(Cause::LimitExceeded)),
        (
            Code::LogProofInvalid,
            Said::Reason(Reason::SignatureInvalid),
        ),
        (Code::Malformed, Said::Reason(Reason::ProvenanceMalformed)),
        (Code::NotLogged, Said::Reason(Reason::TransparencyMissing)),
        (Code::OtherSigner, Said::Reason(Reason::SignerNotTrusted)),
        (
            Code::SignatureInvalid,
            Said::Reason(Reason::SignatureInvalid),
        ),
        (
            Code::TimestampInvalid,
            Said::Reason(Reason::SignatureInvalid),
        ),
        (Code::Unsupported, Said::Reason(Reason::WeakSignature)),
    ] {
        assert_eq!(code.said(), word, "{code}");
    }
}

/// Another chart's bundle beside ours: the digest is wrong only if the bundle is good for what it names.
#[test]
fn only_a_good_bundle_of_another_artifact_is_a_mismatch() {
    for (content, log) in [
        (SIGNED, Log::V1),
        (SIGNED, Log::V2),
        (Content::Message, Log::V1),
        (Content::Message, Log::V2),
    ] {
        let world = World::new();
        let shape = Shape {
            content,
            log,
            stamped_at: (log == Log::V2).then(noon),
            artifact: b"another chart".to_vec(),
            ..world.good()
        };
        let fault = fault_of(&shape.claimed(), &world.root());
        assert_eq!(
            fault.code(),
            Code::ArtifactMismatch,
            "{content:?} {log:?}: {fault}"
        );
        let named = charttrust_verify::digest::Sha256Digest::of(b"another chart");
        assert!(fault.detail().contains(&named.to_string()), "{fault}");
    }
    // What anybody can write beside a chart: a digest that nobody signed.
    let fault = changed(Content::Message, Log::V1, |it| {
        it["messageSignature"]["messageDigest"]["digest"] = json!(base64([7; 32]));
    });
    assert_eq!(fault.code(), Code::SignatureInvalid, "{fault}");
}

/// The texts by which the crate tells an authority that is unknown from a lie.
#[test]
fn whom_the_root_does_not_have_is_named_and_never_a_lie() {
    let other = World::new().root_json();
    for part in ["certificateAuthorities", "tlogs", "timestampAuthorities"] {
        for replaced in [other[part].clone(), json!([])] {
            let fault = rooted(|it| it[part] = replaced);
            let code = fault.code();
            let expected = match (
                part,
                fault.detail().contains("no trusted certificate authority"),
            ) {
                ("certificateAuthorities", true) => Code::AuthorityNotValid,
                _ => Code::AuthorityUnknown,
            };
            assert_eq!(code, expected, "{part}: {fault}");
            assert_eq!(code.said(), Said::Reason(Reason::SignerNotTrusted));
        }
    }
    let unknown =
        rooted(|it| it["certificateAuthorities"] = other["certificateAuthorities"].clone());
    assert!(
        unknown.detail().contains("trusted root of 1990-01-01"),
        "{unknown}"
    );
    assert!(unknown.detail().contains("CN=fulcio "), "{unknown}");
    let unknown = rooted(|it| it["tlogs"] = other["tlogs"].clone());
    assert!(unknown.detail().contains("rekor.test"), "{unknown}");
}

/// Private instances are called alike: one that has only the name of ours is another.
#[test]
fn an_authority_of_the_same_name_is_another() {
    let (ours, theirs) = (World::called("twin"), World::called("twin"));
    let mut json = ours.root_json();
    json["tlogs"] = theirs.root_json()["tlogs"].clone();
    let fault = fault_of(&theirs.good().claimed(), &root(&json));
    assert_eq!(fault.code(), Code::AuthorityUnknown, "{fault}");
}

#[test]
fn an_authority_speaks_for_its_own_time_only() {
    let ended = json!({"start": "1990-01-01T00:00:00Z", "end": "1991-01-01T00:00:00Z"});
    for part in ["certificateAuthorities", "timestampAuthorities"] {
        let fault = rooted(|it| it[part][0]["validFor"] = ended.clone());
        assert_eq!(fault.code(), Code::AuthorityNotValid, "{part}: {fault}");
    }
    let fault = rooted(|it| it["tlogs"][0]["publicKey"]["validFor"] = ended);
    assert_eq!(fault.code(), Code::AuthorityNotValid, "{fault}");
}

/// Expired at one proven time is expired: a log and an authority cannot be played against each other.
#[test]
fn a_certificate_must_live_at_every_proven_time() {
    for minutes in [-1, 11] {
        let late = noon() + SignedDuration::from_mins(minutes);
        let fault = shaped(|it| it.stamped_at = Some(late));
        assert_eq!(fault.code(), Code::CertificateNotValid, "{fault}");
        let fault = shaped(|it| it.logged_at = late);
        assert_eq!(fault.code(), Code::CertificateNotValid, "{fault}");
    }
}

#[test]
fn a_certificate_names_one_identity_by_one_authority() {
    let uri = |text: &str| (0x86, text.to_owned());
    for names in [
        vec![],
        vec![uri("https://a.test/b"), uri("https://a.test/c")],
        vec![uri("https://a.test/b"), (0x81, "a@b.test".to_owned())],
        vec![(0x82, "host.test".to_owned())],
        vec![(0x82, "host.test".to_owned()), uri("https://a.test/b")],
    ] {
        let fault = shaped(|it| it.names.clone_from(&names));
        assert_eq!(fault.code(), Code::CertificateInvalid, "{names:?}: {fault}");
    }
    // A certificate for servers.
    let fault = shaped(|it| it.purpose = "1.3.6.1.5.5.7.3.1");
    assert_eq!(fault.code(), Code::CertificateInvalid, "{fault}");
}

/// That a stamp of a log of certificates is absent, the root decides.
#[test]
fn a_log_of_certificates_is_asked_for_if_the_root_has_one() {
    let plain = World::new();
    let claimed = plain.good().claimed();
    assert!(
        verify(
            &claimed,
            Artifact::Bytes(MANIFEST),
            Means::Identity(&plain.root())
        )
        .is_ok()
    );
    let mut with_log = plain.root_json();
    with_log["ctlogs"] = with_log["tlogs"].clone();
    let fault = fault_of(&claimed, &root(&with_log));
    assert_eq!(fault.code(), Code::CertificateInvalid, "{fault}");
    assert!(fault.detail().contains("SCT"), "{fault}");
    // By another log than that of the root.
    let logged = World {
        certificates: Some(Key::new()),
        ..World::new()
    };
    let mut json = logged.root_json();
    json["ctlogs"] = with_log["tlogs"].clone();
    let fault = fault_of(&logged.good().claimed(), &root(&json));
    assert_eq!(fault.code(), Code::CertificateInvalid, "{fault}");
}

/// Rekor 2 proves no time; an entry of Rekor 1 without a promise does not either.
#[test]
fn what_nothing_dates_is_not_logged() {
    let fault = shaped(|it| it.log = Log::V2);
    assert_eq!(fault.code(), Code::NotLogged, "{fault}");
    let fault = changed(SIGNED, Log::V1, |it| {
        entry(it)
            .as_object_mut()
            .unwrap()
            .remove("inclusionPromise");
    });
    assert_eq!(fault.code(), Code::NotLogged, "{fault}");
    // A timestamp alone says when, and not that it is public.
    let fault = shaped(|it| {
        it.log = Log::None;
        it.stamped_at = Some(noon());
    });
    assert_eq!(fault.code(), Code::NotLogged, "{fault}");
}

#[test]
fn a_key_does_not_stand_in_for_an_identity_nor_the_other_way_round() {
    let world = World::new();
    let key = Key::new();
    let public = PublicKey::parse(key.public_pem().as_bytes()).unwrap();
    let means = Means::Key(&public, None);
    let fault = verify(&world.good().claimed(), Artifact::Bytes(MANIFEST), means).unwrap_err();
    assert_eq!(fault.code(), Code::OtherSigner);
    assert_eq!(by_key().code(), Code::OtherSigner);
    // Nobody is not the holder of a key.
    let mut bundle = world.good().bundle();
    let material = bundle["verificationMaterial"].as_object_mut().unwrap();
    material.remove("certificate");
    material.insert(
        "x509CertificateChain".to_owned(),
        json!({"certificates": []}),
    );
    let empty = claimed(&bundle);
    assert_eq!(fault_of(&empty, &world.root()).code(), Code::Malformed);
    assert_eq!(empty.claimed_signer(), ClaimedSigner::Unreadable);
    let fault = verify(&empty, Artifact::Bytes(MANIFEST), means).unwrap_err();
    assert_eq!(fault.code(), Code::OtherSigner);
}

/// What stands in a certificate or a root reaches a status, and cannot forge what a terminal shows.
#[test]
fn foreign_text_is_cleaned_and_cut() {
    let world = World::new();
    let mut json = world.root_json();
    let other = World::new().root_json();
    json["certificateAuthorities"] = other["certificateAuthorities"].clone();
    let shape = Shape {
        issuer: "\u{1b}[31mred\u{202e}".to_owned(),
        ..world.good()
    };
    let claimed = shape.claimed();
    let told = format!("{:?}", claimed.claimed_signer());
    assert!(
        told.contains('\u{fffd}') && !told.contains('\u{202e}'),
        "{told}"
    );
    let fault = fault_of(&claimed, &root(&json));
    assert!(fault.to_string().len() <= 600);
}
