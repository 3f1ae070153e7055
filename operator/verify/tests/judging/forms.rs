//! One secret in two forms: what revokes the key of `OpenPGP` revokes the public key, and the other way round.

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::ProvenanceFacts;
use charttrust_verify::key::{DeclaredRevocation, Grandfather, RevocationReason, RevokedBy};
use charttrust_verify::openpgp::{Fingerprint, load_all};
use charttrust_verify::sigstore::PublicKey;
use charttrust_verify::verdict::{Basis, Reason, Verdict};
use jiff::SignedDuration;

use crate::bundles::{GOOD, messages, now, public_key};
use crate::forge::{self, Shape, day, time};
use crate::thieves::pgp_and;
use crate::world::{World, key_named, person};

/// The subkey that Alice signs with, her primary key, and a key of nobody of OpenPGP.
const SUBKEY: [u8; 32] = [101; 32];
const PRIMARY: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [77; 32];

fn word(reason: RevocationReason) -> DeclaredRevocation {
    DeclaredRevocation {
        declared_by: "said".to_owned(),
        reason,
        since: Some(time(day(1))),
        grandfather: Grandfather::Never,
    }
}

/// The public key alone has signed, and Alice is known and not listed.
fn by_public(seed: [u8; 32]) -> World {
    let mut world = pgp_and(seed);
    world.facts().provenance = ProvenanceFacts::Missing;
    world.signers(&["board"], 1);
    world
}

/// Alice alone has signed, and the public key is known and not listed.
fn by_alice(seed: [u8; 32]) -> World {
    let mut world = pgp_and(seed);
    world.put(Vec::new());
    world.signers(&["alice"], 1);
    world
}

#[track_caller]
fn expect(world: &World, expected: Verdict, what: &str) {
    assert_eq!(world.verdict(), expected, "{what}: {}", messages(world));
}

/// The fingerprints of the keys whose revocations the verdict rests on.
fn rests_on(world: &World) -> Vec<Fingerprint> {
    let said = &world.judge().policies[0].revocations;
    said.iter().map(|one| one.fingerprint.clone()).collect()
}

fn public(world: &World) -> Sha256Digest {
    world.sigstore.keys[0].trusted.fingerprint
}

const HARD: [(RevocationReason, Reason); 2] = [
    (RevocationReason::Compromised, Reason::KeyCompromised),
    (RevocationReason::Unspecified, Reason::KeyRevoked),
];
const SOFT: [(RevocationReason, Reason); 2] = [
    (RevocationReason::Retired, Reason::KeyRetired),
    (RevocationReason::Superseded, Reason::KeyRetired),
];

/// Whatever the algorithm: keys that real gpg has made, and the same as ssh-keygen writes them.
#[test]
fn a_key_is_known_in_its_other_form() {
    let all = [
        ("helm-test-key.pub", "helm-test-key.pem"),
        ("nistp256.asc", "nistp256.pem"),
        ("nistp384.asc", "nistp384.pem"),
    ];
    let certificates: Vec<_> = all
        .iter()
        .map(|(file, _)| load_all(&forge::vector(file)).unwrap().remove(0))
        .collect();
    for (index, (_, pem)) in all.into_iter().enumerate() {
        let mut known = public_key("pem");
        known.key = Some(PublicKey::parse(&forge::vector(pem)).unwrap());
        for (other, certificate) in certificates.iter().enumerate() {
            let form = known.form_in(certificate);
            let expected = (index == other).then(|| certificate.fingerprint());
            assert_eq!(form, expected, "{pem} {certificate:?}");
        }
        // Of a key that cannot be read, nothing is known.
        known.key = None;
        assert_eq!(known.form_in(&certificates[index]), None);
    }
}

#[test]
fn what_revokes_a_key_of_openpgp_revokes_its_public_form() {
    for (reason, said) in HARD.into_iter().chain(SOFT) {
        for (seed, is_hers) in [(SUBKEY, true), (PRIMARY, true), (OTHER, false)] {
            let mut world = by_public(seed);
            expect(&world, GOOD, "not revoked");
            world.alice().revocations = vec![word(reason)];
            let expected = if is_hers {
                Verdict::Untrusted(said)
            } else {
                GOOD
            };
            expect(&world, expected, &format!("{reason:?} {seed:?}"));
            let alice = world.alice().fingerprint().clone();
            let is_hard = is_hers && HARD.iter().any(|(hard, _)| *hard == reason);
            let expected: Vec<_> = is_hard.then_some(alice).into_iter().collect();
            assert_eq!(rests_on(&world), expected, "{reason:?} {seed:?}");
        }
    }
}

#[test]
fn what_revokes_a_public_key_revokes_its_form_in_openpgp() {
    for (reason, said) in HARD.into_iter().chain(SOFT) {
        for (seed, is_hers) in [(SUBKEY, true), (PRIMARY, true), (OTHER, false)] {
            let mut world = by_alice(seed);
            expect(&world, GOOD, "not revoked");
            world.public().revocations = vec![word(reason)];
            let expected = if is_hers {
                Verdict::Untrusted(said)
            } else {
                GOOD
            };
            expect(&world, expected, &format!("{reason:?} {seed:?}"));
            let told = messages(&world);
            assert_eq!(
                told.contains("by TrustedKey said, which is the same key"),
                is_hers,
                "{told}"
            );
            let public = Fingerprint::of_digest(&public(&world));
            let is_hard = is_hers && HARD.iter().any(|(hard, _)| *hard == reason);
            let expected: Vec<_> = is_hard.then_some(public).into_iter().collect();
            assert_eq!(rests_on(&world), expected, "{reason:?} {seed:?}");
        }
    }
}

/// A subkey that did not sign says nothing of the one that did.
#[test]
fn a_revoked_public_key_is_one_subkey_and_not_its_certificate() {
    let mut world = by_alice(OTHER);
    let mut shape = person(1);
    shape.add_subkey(forge::Key::ed25519(77), |sig| sig.flags(forge::SIGN));
    world.alice().certificate = shape.load();
    world.public().revocations = vec![word(RevocationReason::Compromised)];
    expect(&world, GOOD, "another subkey");
    // The public key itself is revoked by whatever revokes the certificate.
    let mut world = by_public(OTHER);
    world.alice().certificate = shape.load();
    world.alice().revocations = vec![word(RevocationReason::Compromised)];
    expect(
        &world,
        Verdict::Untrusted(Reason::KeyCompromised),
        "its certificate",
    );
}

/// Whoever names the key of somebody else as his subkey revokes nothing of it.
#[test]
fn who_names_a_key_without_its_consent_does_not_revoke_it() {
    let mut world = by_public(OTHER);
    let mut shape = person(2);
    let named = forge::Key::ed25519(77);
    let binding = shape.bare_binding(&named, |sig| sig.flags(forge::SIGN));
    let revoked = shape.subkey_revocation(&named, day(1), |sig| sig.reason(2));
    shape.subkeys.push((named, vec![revoked, binding]));
    let mut mallory = key_named("mallory", &shape);
    mallory.revocations = vec![word(RevocationReason::Compromised)];
    world.keys.push(mallory);
    expect(&world, GOOD, "named without consent");
}

/// Revocations inside the certificate: of the whole, of the very subkey, and of another one.
#[test]
fn a_certificate_that_revokes_itself_revokes_its_public_form() {
    type Change = fn(&mut Shape);
    let whole: Change = |shape| {
        let revoked = shape.key_revocation(day(1), |sig| sig.reason(2));
        shape.direct.push(revoked);
    };
    let retired: Change = |shape| {
        let revoked = shape.key_revocation(day(1), |sig| sig.reason(3));
        shape.direct.push(revoked);
    };
    // Nobody can say whether this is hers. It neither revokes nor hides what does.
    let unclear: Change = |shape| {
        let unclear = shape.key_revocation(day(1), |sig| sig.reason(2).hash(99));
        shape.direct.push(unclear);
        let (key, _) = shape.subkeys[0].clone();
        let unclear = shape.subkey_revocation(&key, day(1), |sig| sig.reason(2).hash(99));
        shape.subkeys[0].1.push(unclear);
    };
    let both: Change = |shape| {
        let unclear = shape.key_revocation(day(1), |sig| sig.reason(2).hash(99));
        let retired = shape.key_revocation(day(1), |sig| sig.reason(3));
        shape.direct.extend([unclear, retired]);
    };
    let subkey: Change = |shape| {
        let (key, _) = shape.subkeys[0].clone();
        let revoked = shape.subkey_revocation(&key, day(1), |sig| sig.reason(0));
        shape.subkeys[0].1.push(revoked);
    };
    for (change, seed, expected) in [
        (whole, SUBKEY, Some(Reason::KeyCompromised)),
        (whole, PRIMARY, Some(Reason::KeyCompromised)),
        (whole, OTHER, None),
        (retired, SUBKEY, Some(Reason::KeyRetired)),
        (unclear, SUBKEY, None),
        (unclear, PRIMARY, None),
        (both, SUBKEY, Some(Reason::KeyRetired)),
        (subkey, SUBKEY, Some(Reason::KeyRevoked)),
        (subkey, PRIMARY, None),
    ] {
        let mut world = by_public(seed);
        let mut shape = person(1);
        change(&mut shape);
        world.alice().certificate = shape.load();
        expect(
            &world,
            expected.map_or(GOOD, Verdict::Untrusted),
            &format!("{seed:?}"),
        );
        let by = world.judge().policies[0].revocations.clone();
        let is_inside = by
            .iter()
            .all(|one| matches!(one.by, RevokedBy::Certificate(_)));
        let is_hard = matches!(expected, Some(Reason::KeyCompromised | Reason::KeyRevoked));
        assert!(is_inside && by.is_empty() != is_hard, "{by:?}");
    }
}

/// What is proven to be older than a soft revocation counts, in the other form as well.
#[test]
fn a_retired_key_leaves_what_was_verified_before() {
    let later = now() + SignedDuration::from_hours(1);
    let earlier = now() - SignedDuration::from_hours(1);
    for (since, expected) in [
        (later, GOOD),
        (earlier, Verdict::Untrusted(Reason::KeyRetired)),
    ] {
        let mut world = by_public(SUBKEY);
        world.try_keys();
        let since = Some(since);
        world.alice().revocations = vec![DeclaredRevocation {
            since,
            ..word(RevocationReason::Retired)
        }];
        expect(&world, expected, "retired");
        world.alice().revocations = vec![DeclaredRevocation {
            since,
            grandfather: Grandfather::Witnessed,
            ..word(RevocationReason::Compromised)
        }];
        let expected = if expected == GOOD {
            Verdict::Trusted(Basis::Grandfathered)
        } else {
            Verdict::Untrusted(Reason::KeyCompromised)
        };
        expect(
            &world,
            expected,
            "compromised, and spares what was witnessed",
        );
    }
}

/// A pin stands in for a signature that is missing, and not for one whose key is revoked in its other form.
#[test]
fn a_pin_forgives_no_key_that_is_revoked_in_its_other_form() {
    let pinned = |mut world: World| {
        world.pin();
        world.signers(&["nobody"], 1);
        world
    };
    for (seed, is_forgiven) in [(SUBKEY, false), (OTHER, true)] {
        let mut by_public = pinned(by_public(seed));
        by_public.alice().revocations = vec![word(RevocationReason::Compromised)];
        let mut by_alice = pinned(by_alice(seed));
        by_alice.public().revocations = vec![word(RevocationReason::Compromised)];
        for world in [by_public, by_alice] {
            assert_eq!(
                world.verdict().is_trusted(),
                is_forgiven,
                "{}",
                messages(&world)
            );
        }
    }
}
