//! Which revocations a verdict of badness rests on: those of the keys whose signatures were to count.

use charttrust_verify::key::{HardRevocation, Key, RevocationReason, RevokedBy};
use charttrust_verify::openpgp::Certificate;
use charttrust_verify::verdict::{Class, Reason, Verdict};

use crate::forge::{Shape, day, time};
use crate::signers::{Adoption, adopter};
use crate::world::{World, key, person};

/// Whose revocations the first policy's verdict rests on, and by whose word, in that order.
fn expect(world: &World, expected: &[(&str, &str)]) {
    let of = |revocation: &HardRevocation| {
        let mut keys = world.keys.iter();
        let key = keys.find(|key| *key.fingerprint() == revocation.fingerprint);
        let word = match &revocation.by {
            RevokedBy::Certificate(_) => "by certificate",
            RevokedBy::Declared(_) => "declared",
        };
        (key.unwrap().name.as_str(), word)
    };
    let judgement = world.judge();
    let mut found: Vec<_> = judgement.policies[0].revocations.iter().map(of).collect();
    found.sort_unstable();
    assert_eq!(found, expected);
}

fn stolen(number: u8) -> Key {
    let mut shape = person(number);
    let revocation = shape.key_revocation(day(50), |sig| sig.reason(2));
    shape.direct.push(revocation);
    key(&shape)
}

fn signed_by(numbers: &[u8]) -> World {
    let people: Vec<Shape> = numbers.iter().map(|number| person(*number)).collect();
    World::signed_by(&people)
}

#[test]
fn trust_rests_on_no_revocation() {
    let mut world = World::good();
    expect(&world, &[]);
    world.revoke("alice", RevocationReason::Retired).since = Some(time(day(1)));
    expect(&world, &[]);
}

#[test]
fn each_word_against_the_signer_is_named() {
    let mut world = World::good();
    world.revoke("alice", RevocationReason::Compromised);
    expect(&world, &[("alice", "declared")]);
    world.keys[0] = stolen(1);
    expect(&world, &[("alice", "by certificate")]);
    world.revoke("alice", RevocationReason::Unspecified);
    world.revoke("alice", RevocationReason::Retired);
    expect(
        &world,
        &[("alice", "by certificate"), ("alice", "declared")],
    );
}

#[test]
fn all_signers_that_were_to_count_are_named_and_no_others() {
    let mut world = signed_by(&[1, 2, 3]);
    world.signers(&["alice", "bob"], 1);
    for name in ["alice", "bob", "carol"] {
        world.revoke(name, RevocationReason::Compromised);
    }
    expect(&world, &[("alice", "declared"), ("bob", "declared")]);
}

#[test]
fn a_signer_that_others_make_up_for_is_none_of_the_grounds() {
    let mut world = signed_by(&[1, 2]);
    world.signers(&["alice", "bob"], 1);
    world.revoke("alice", RevocationReason::Compromised);
    expect(&world, &[]);
    world.signers(&["alice", "bob"], 2);
    expect(&world, &[("alice", "declared")]);
}

#[test]
fn who_adopts_a_subkey_without_consent_brings_no_ground_of_his_own() {
    for adoption in [Adoption::Forged, Adoption::WithoutConsent] {
        let mut shape = adopter(4, 1, adoption);
        let revocation = shape.key_revocation(day(20), |sig| sig.reason(2));
        shape.direct.push(revocation);
        let mut world = World::good();
        world.keys.insert(0, key(&shape));
        world.signers(&["alice", "dave"], 1);
        world.revoke("dave", RevocationReason::Compromised);
        world.revoke("alice", RevocationReason::Compromised);
        expect(&world, &[("alice", "declared")]);
    }
}

#[test]
fn what_is_forgiven_or_lapsed_rests_on_nothing() {
    let mut world = World::good();
    world.revoke("alice", RevocationReason::Compromised);
    world.except(&[Reason::KeyCompromised]);
    assert_eq!(world.judge().verdict.class(), Class::Exempt);
    expect(&world, &[]);
}

#[test]
fn a_soft_revocation_in_the_certificate_is_no_ground() {
    let mut shape = person(1);
    let retired = shape.key_revocation(day(5), |sig| sig.reason(3));
    shape.direct.push(retired);
    let mut world = World::good();
    world.keys[0] = key(&shape);
    world.revoke("alice", RevocationReason::Compromised);
    expect(&world, &[("alice", "declared")]);
}

#[test]
fn a_revocation_that_cannot_be_checked_is_no_ground() {
    let mut shape = person(1);
    let unclear = shape.key_revocation(day(50), |sig| sig.hash(99));
    shape.direct.push(unclear);
    let mut world = World::good();
    world.try_keys();
    world.keys[0] = key(&shape);
    assert_eq!(world.judge().verdict.class(), Class::ProofMissing);
    expect(&world, &[]);
}

/// Alice's TrustedKey after what its material lay in was deleted.
fn without_material(world: &mut World) {
    world.try_keys();
    let alice = world.alice();
    alice.certificate = Certificate::missing(alice.fingerprint().clone());
    alice.unusable = Some("spec.publicKey: keys has no key \"alice.asc\"".to_owned());
}

#[test]
fn badness_stays_when_the_material_of_a_revoked_key_goes() {
    let mut world = World::good();
    without_material(&mut world);
    for (reason, expected) in [
        (RevocationReason::Unspecified, Reason::KeyRevoked),
        (RevocationReason::Compromised, Reason::KeyCompromised),
    ] {
        world.revoke("alice", reason);
        assert_eq!(world.verdict(), Verdict::Untrusted(expected));
    }
}

#[test]
fn a_key_that_cannot_be_used_approves_of_nothing_and_is_named_with_its_fault() {
    let unusable = |world: &mut World| world.alice().unusable = Some("it is odd".to_owned());
    for change in [without_material as fn(&mut World), unusable] {
        let mut world = World::good();
        change(&mut world);
        let judgement = world.judge();
        let expected = Verdict::Untrusted(Reason::SignerNotTrusted);
        assert_eq!(judgement.verdict, expected);
        let message = &judgement.findings[0].message;
        assert!(
            message.contains("alice is listed and cannot be used"),
            "{message}"
        );
        let problem = world.alice().unusable.clone().unwrap();
        assert!(message.contains(&problem), "{message}");
    }
}

#[test]
fn a_key_without_material_makes_no_signature_hold() {
    let mut world = World::good();
    let alice = world.alice();
    alice.certificate = Certificate::missing(alice.fingerprint().clone());
    world.revoke("alice", RevocationReason::Compromised);
    assert_eq!(world.judge().verdict.class(), Class::ProofMissing);
}

#[test]
fn a_certificate_that_cannot_be_used_otherwise_revokes_what_it_had_signed() {
    let mut world = World::good();
    world.try_keys();
    world.keys[0] = stolen(1);
    world.alice().unusable = Some("spec.scope.sources[0]: is no address".to_owned());
    expect(&world, &[("alice", "by certificate")]);
}

/// Two objects of one key: whoever is sent to the one that says nothing finds no revocation there.
#[test]
fn a_revocation_names_the_object_that_declares_it() {
    let message = |by: &str| {
        let mut world = World::good();
        world
            .revoke("alice", RevocationReason::Compromised)
            .declared_by = by.to_owned();
        world.judge().findings[0].message.clone()
    };
    let own = message("alice");
    assert!(
        own.starts_with("alice was revoked as compromised ("),
        "{own}"
    );
    let others = message("alice-old");
    assert!(
        others.starts_with(
            "alice was revoked as compromised by TrustedKey alice-old, which is the same key ("
        ),
        "{others}"
    );
}
