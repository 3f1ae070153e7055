//! Which revocations a verdict of badness rests on: those of the keys whose signatures were to count.

use charttrust_verify::key::{HardRevocation, Key, RevocationReason, RevocationWord};
use charttrust_verify::verdict::{Class, Reason};

use crate::forge::{Shape, day, time};
use crate::signers::{Adoption, adopter};
use crate::world::{World, key, person};

/// Whose revocations the first policy's verdict rests on, and by whose word, in that order.
fn expect(world: &World, expected: &[(&str, &str)]) {
    let of = |revocation: &HardRevocation| {
        let mut keys = world.keys.iter();
        let key = keys.find(|key| *key.fingerprint() == revocation.fingerprint);
        let word = match &revocation.word {
            RevocationWord::Certificate(_) => "by certificate",
            RevocationWord::Declared(_) => "declared",
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
    world.learn();
    world.keys[0] = key(&shape);
    assert_eq!(world.judge().verdict.class(), Class::ProofMissing);
    expect(&world, &[]);
}
