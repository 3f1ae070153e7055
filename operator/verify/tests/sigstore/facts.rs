//! What is found in good bundles.

use charttrust_verify::seal::Attestation;
use charttrust_verify::sigstore::{
    Artifact, AuthorityKind, BundleRecord, ClaimedSigner, Kind, Means, NotProven, ProvenTime,
    SignerRecord, TimeSource, VerifiedBundle, verify,
};
use jiff::SignedDuration;

use crate::forge::{
    Content, ISSUER, Key, Log, MANIFEST, SIGN, SUBJECT, Shape, World, manifest, noon,
};

pub(crate) fn verified(shape: &Shape<'_>) -> VerifiedBundle {
    let root = shape.world.root();
    let means = Means::Identity(&root);
    verify(&shape.claimed(), Artifact::Bytes(MANIFEST), means).unwrap()
}

#[test]
fn a_certificate_says_who_signed_and_what_was_built() {
    let world = World::new();
    let verified = verified(&world.good());
    let identity = verified.identity().unwrap();
    assert_eq!(
        (identity.issuer.as_str(), identity.subject.as_str()),
        (ISSUER, SUBJECT)
    );
    assert_eq!(identity.not_before, noon());
    assert_eq!(identity.not_after, noon() + SignedDuration::from_mins(10));
    let claims = &identity.claims;
    let text = |claim: &Option<String>| claim.clone().unwrap();
    assert_eq!(
        text(&claims.source_repository),
        "https://github.com/example/charts"
    );
    assert_eq!(text(&claims.source_repository_id), "123456");
    assert_eq!(text(&claims.source_ref), "refs/tags/v1.2.3");
    assert_eq!(text(&claims.runner_environment), "github-hosted");
    assert_eq!(text(&claims.trigger), "push");
    assert!(text(&claims.commit).starts_with("0123"));
    assert!(text(&claims.run).ends_with("/runs/1"));
}

/// Both logs, both contents, bytes and digest: the same facts, but for who proves the time.
#[test]
fn every_form_of_a_bundle_gives_the_same_facts() {
    let world = World::new();
    let root = world.root();
    let stamp = noon() + SignedDuration::from_secs(3);
    for (log, stamped_at, times) in [
        (Log::V1, None, vec![(5, TimeSource::Log)]),
        (
            Log::V2,
            Some(stamp),
            vec![(3, TimeSource::TimestampAuthority)],
        ),
        (
            Log::V1,
            Some(stamp),
            vec![(3, TimeSource::TimestampAuthority), (5, TimeSource::Log)],
        ),
    ] {
        for (content, kind) in [
            (Content::Message, Kind::Artifact),
            (Content::Statement(SIGN), Kind::Statement(SIGN.to_owned())),
        ] {
            let shape = Shape {
                log,
                stamped_at,
                content,
                ..world.good()
            };
            let claimed = shape.claimed();
            let of = |artifact| verify(&claimed, artifact, Means::Identity(&root)).unwrap();
            let verified = of(Artifact::Digest(manifest()));
            assert_eq!(verified, of(Artifact::Bytes(MANIFEST)));
            let record = verified.record();
            let proven = times.iter().map(|(seconds, by)| ProvenTime {
                at: noon() + SignedDuration::from_secs(*seconds),
                by: *by,
            });
            assert_eq!(
                record.times,
                proven.collect::<Vec<_>>(),
                "{log:?} {content:?}"
            );
            assert_eq!((&record.kind, record.artifact), (&kind, manifest()));
            assert!(record.kind.is_signature());
            assert_eq!(record.root, Some(root.digest()));
            assert_eq!(record.not_proven, [NotProven::CertificatePublic]);
        }
    }
}

#[test]
fn a_record_names_all_on_whose_word_it_rests() {
    let world = World {
        certificates: Some(Key::new()),
        ..World::new()
    };
    let shape = Shape {
        log: Log::V2,
        stamped_at: Some(noon()),
        ..world.good()
    };
    let verified = verified(&shape);
    let record = verified.record();
    let kinds: Vec<_> = record.authorities.iter().map(|one| one.kind).collect();
    assert_eq!(
        kinds,
        [
            AuthorityKind::CertificateAuthority,
            AuthorityKind::CertificateLog,
            AuthorityKind::TimestampAuthority,
            AuthorityKind::TransparencyLog,
        ]
    );
    let names: Vec<_> = record
        .authorities
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let hosts = ["fulcio", "ct", "stamping", "rekor"].map(|host| format!("https://{host}.test"));
    assert_eq!(names, hosts);
    assert_eq!(record.not_proven, []);
    assert_eq!(record.logs.len(), 1);
    assert_eq!(record.logs[0].log.as_bytes().as_slice(), world.rekor.id());
}

/// The index of a promise counts over all trees of the log, and only a promise covers it.
#[test]
fn the_index_that_is_kept_is_the_proven_one() {
    let world = World::new();
    for (log, stamped_at, index) in [(Log::V1, None, 41), (Log::V2, Some(noon()), 0)] {
        let shape = Shape {
            log,
            stamped_at,
            ..world.good()
        };
        assert_eq!(verified(&shape).record().logs[0].index, index, "{log:?}");
    }
}

/// An attestation verifies as a signature does; that it is none is a fact.
#[test]
fn an_attestation_is_no_signature() {
    let world = World::new();
    for predicate in [
        "https://slsa.dev/provenance/v1",
        "https://spdx.dev/Document",
        "https://sigstore.dev/cosign/sign/v1/",
        "",
    ] {
        let shape = Shape {
            content: Content::Statement(predicate),
            ..world.good()
        };
        let verified = verified(&shape);
        assert_eq!(
            verified.record().kind,
            Kind::Statement(predicate.to_owned())
        );
        assert!(!verified.record().kind.is_signature(), "{predicate}");
    }
}

#[test]
fn an_e_mail_is_an_identity_too() {
    let world = World::new();
    let shape = Shape {
        issuer: "https://accounts.example.com".to_owned(),
        names: vec![(0x81, "release@example.com".to_owned())],
        claims: Vec::new(),
        ..world.good()
    };
    let verified = verified(&shape);
    let identity = verified.identity().unwrap();
    assert_eq!(identity.subject, "release@example.com");
    assert!(identity.claims.is_empty());
}

#[test]
fn a_record_is_kept_and_restored() {
    let world = World {
        certificates: Some(Key::new()),
        ..World::new()
    };
    let key = Key::new();
    let claimed = world.keyed(&key).claimed();
    let public =
        charttrust_verify::sigstore::PublicKey::parse(key.public_pem().as_bytes()).unwrap();
    let keyed = verify(
        &claimed,
        Artifact::Bytes(MANIFEST),
        Means::Key(&public, None),
    )
    .unwrap();
    assert_eq!(*keyed.signer(), SignerRecord::Key(public.fingerprint()));
    for verified in [verified(&world.good()), keyed] {
        let text = serde_json::to_string(verified.record()).unwrap();
        let record: BundleRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(
            VerifiedBundle::restore(record, Attestation::supposed()),
            verified
        );
        assert!(text.len() < 2048, "{} bytes", text.len());
    }
}

#[test]
fn what_a_bundle_claims_is_told_before_it_is_verified() {
    let world = World::new();
    let key = Key::new();
    let expected = ClaimedSigner::Identity {
        issuer: ISSUER.to_owned(),
        subject: SUBJECT.to_owned(),
    };
    assert_eq!(world.good().claimed().claimed_signer(), expected);
    assert_eq!(
        world.keyed(&key).claimed().claimed_signer(),
        ClaimedSigner::Key
    );
}
