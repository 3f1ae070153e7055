//! Who vouches: thresholds, several objects of one key, shared subkeys, strangers.

use std::collections::BTreeMap;

use charttrust_verify::evidence::{Outcome, ProvenanceFacts};
use charttrust_verify::finding::Finding;
use charttrust_verify::key::{Grandfather, Key, RevocationReason, Scope};
use charttrust_verify::openpgp::{Code, SignatureRecord, VerifiedSignature};
use charttrust_verify::policy::{LabelSelector, Pattern, Requirement};
use charttrust_verify::seal::Attestation;
use charttrust_verify::verdict::{Basis, Class, Reason, Verdict};

use crate::forge::{self, CERTIFY, CERTIFY_AND_SIGN, ENCRYPT, SIGN, Shape, Sig, day, time};
use crate::world::{
    MIRROR, SIGNED, World, archive, key, key_named, name, person, provenance, signature,
    signature_by, source, text,
};

const TRUSTED: Verdict = Verdict::Trusted(Basis::SignatureVerified);
const TOO_FEW: Verdict = Verdict::Untrusted(Reason::SignerNotTrusted);

/// Alice, Bob and Carol are known; those whose bit is set signed, or are listed.
fn crowd(signed: u8, listed: u8, threshold: u32) -> World {
    let is_in = |set: u8, number: u8| set & (1 << (number - 1)) != 0;
    let people = || (1..=3).map(person);
    let signers = (1..=3).filter(|n| is_in(signed, *n)).map(person);
    let signatures: Vec<_> = signers.map(|shape| signature(&shape)).collect();
    let provenance = if signatures.is_empty() {
        ProvenanceFacts::Missing
    } else {
        provenance(&text(), &signatures)
    };
    let mut world = World::of(people().map(|shape| key(&shape)).collect(), provenance);
    let listed: Vec<_> = (1..=3).filter(|n| is_in(listed, *n)).map(name).collect();
    world.signers(&listed, threshold);
    world
}

#[test]
fn as_many_listed_signers_as_the_threshold_are_needed() {
    for signed in 0_u8..8 {
        for listed in 0_u8..8 {
            for threshold in 1..=4 {
                let verdict = crowd(signed, listed, threshold).verdict();
                let expected = match (signed & listed).count_ones() {
                    count if count >= threshold => TRUSTED,
                    _ if signed == 0 => Verdict::Untrusted(Reason::Unsigned),
                    _ => TOO_FEW,
                };
                assert_eq!(
                    verdict, expected,
                    "{signed:03b} of {listed:03b}, {threshold} needed"
                );
            }
        }
    }
}

#[test]
fn a_threshold_above_all_numbers_is_never_met() {
    assert_eq!(crowd(7, 7, u32::MAX).verdict(), TOO_FEW);
}

#[test]
fn one_signer_counts_once_however_often_and_with_whatever_subkey() {
    let mut shape = person(1);
    shape.add_subkey(forge::Key::ed25519(50), |sig| sig.flags(SIGN));
    let keys = [&shape.primary, &shape.subkeys[0].0, &shape.subkeys[1].0];
    let mut signatures: Vec<_> = keys
        .iter()
        .map(|key| signature_by(key, &text(), |sig| sig))
        .collect();
    signatures.push(signatures[0].clone());
    let mut world = World::of(
        vec![key_named("alice", &shape)],
        provenance(&text(), &signatures),
    );
    assert_eq!(world.verdict(), TRUSTED);
    world.signers(&["alice"], 2);
    assert_eq!(world.verdict(), TOO_FEW);
}

#[test]
fn several_objects_of_one_key_are_one_signer() {
    let mut world = World::good();
    world.keys.push(key_named("alice-too", &person(1)));
    world.signers(&["alice", "alice-too"], 2);
    assert_eq!(world.verdict(), TOO_FEW);
    world.signers(&["alice", "alice-too"], 1);
    assert_eq!(world.verdict(), TRUSTED);
}

#[test]
fn scope_and_end_are_of_the_listed_object() {
    let mut world = World::good();
    let mut narrow = key_named("narrow", &person(1));
    narrow.scope.charts = vec![Pattern::new("db-*")];
    let mut short = key_named("short", &person(1));
    short.not_after = Some(time(day(SIGNED)));
    world.keys.extend([narrow, short]);
    for (listed, verdict) in [
        (&["alice"][..], TRUSTED),
        (&["narrow"], Verdict::Untrusted(Reason::KeyOutOfScope)),
        (&["short"], Verdict::Untrusted(Reason::KeyExpired)),
        (
            &["narrow", "short"],
            Verdict::Untrusted(Reason::KeyOutOfScope),
        ),
        (&["alice", "narrow", "short"], TRUSTED),
    ] {
        world.signers(listed, 1);
        assert_eq!(world.verdict(), verdict, "{listed:?}");
        world.keys.reverse();
        assert_eq!(world.verdict(), verdict, "{listed:?} in another order");
    }
}

#[test]
fn keys_are_listed_by_name_or_label() {
    let mut world = World::good();
    world.signers(&[], 1);
    world.verify().signers.selector = Some(LabelSelector(vec![Requirement::In(
        "team".into(),
        crate::world::names(&["shop"]),
    )]));
    assert_eq!(world.verdict(), TOO_FEW);
    world.alice().labels = BTreeMap::from([("team".into(), "shop".into())]);
    assert_eq!(world.verdict(), TRUSTED);
    world.alice().labels = BTreeMap::from([("team".into(), "other".into())]);
    assert_eq!(world.verdict(), TOO_FEW);
    world.signers(&["alice"], 1);
    assert_eq!(world.verdict(), TRUSTED, "the union of both");
}

#[test]
fn an_unlisted_key_neither_helps_nor_hurts() {
    let mut world = World::signed_by(&[person(1), person(2)]);
    world.revoke("bob", RevocationReason::Compromised);
    assert_eq!(world.verdict(), TRUSTED);
    world.signers(&["carol"], 1);
    let judgement = world.judge();
    assert_eq!(judgement.verdict, TOO_FEW);
    let told: Vec<_> = judgement.findings.iter().map(|f| &f.message).collect();
    for key in &world.keys {
        let key = key.fingerprint().to_string();
        let times = told.iter().filter(|message| message.contains(&key)).count();
        assert_eq!(times, 1, "{key}: {told:?}");
    }
}

#[test]
fn a_revoked_signer_beside_enough_others_is_only_told() {
    let mut world = World::signed_by(&[person(1), person(2)]);
    world.signers(&["alice", "bob"], 1);
    world.revoke("bob", RevocationReason::Compromised);
    let judgement = world.judge();
    assert_eq!(judgement.verdict, TRUSTED);
    assert_eq!(judgement.findings[0].fact.to_string(), "OtherSignature");
    world.signers(&["alice", "bob"], 2);
    assert_eq!(world.verdict(), Verdict::Untrusted(Reason::KeyCompromised));
}

#[test]
fn too_few_signers_fail_for_the_worst_reason_of_the_listed() {
    let mut world = World::signed_by(&[person(1), person(2), person(3)]);
    world.signers(&["alice", "bob", "carol"], 3);
    for (name, reason, expected) in [
        ("alice", RevocationReason::Retired, Reason::KeyRetired),
        ("bob", RevocationReason::Unspecified, Reason::KeyRevoked),
        (
            "carol",
            RevocationReason::Compromised,
            Reason::KeyCompromised,
        ),
    ] {
        world.revoke(name, reason);
        assert_eq!(world.verdict(), Verdict::Untrusted(expected));
    }
}

#[test]
fn grandfathered_signers_count_but_are_named_as_such() {
    let mut world = World::signed_by(&[person(1), person(2)]);
    world.signers(&["alice", "bob"], 2);
    world.facts().first_verified = Some(time(day(SIGNED)));
    let revocation = world.revoke("bob", RevocationReason::Unspecified);
    revocation.grandfather = Grandfather::Witnessed;
    revocation.since = Some(time(day(50)));
    assert_eq!(world.verdict(), Verdict::Trusted(Basis::Grandfathered));
    world.signers(&["alice", "bob"], 1);
    assert_eq!(world.verdict(), TRUSTED);
    world.signers(&["alice", "bob"], 3);
    assert_eq!(world.verdict(), TOO_FEW);
    let message = &world.judge().findings[0].message;
    assert!(message.starts_with("2 of 3 signers"), "{message}");
}

#[test]
fn one_revocation_that_is_not_grandfathered_is_enough() {
    let mut world = World::good();
    world.facts().first_verified = Some(time(day(SIGNED)));
    let witnessed = world.revoke("alice", RevocationReason::Unspecified);
    witnessed.grandfather = Grandfather::Witnessed;
    witnessed.since = Some(time(day(50)));
    let twin = world.revoke("alice", RevocationReason::Compromised);
    twin.since = Some(time(day(50)));
    assert_eq!(world.verdict(), Verdict::Untrusted(Reason::KeyCompromised));
}

/// How a certificate comes to list somebody else's subkey.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Adoption {
    Agreed,
    ForOtherUse,
    Forged,
    WithoutConsent,
}

/// Somebody who lists another one's signing subkey.
pub(crate) fn adopter(number: u8, of: u8, adoption: Adoption) -> Shape {
    let mut shape = person(number);
    let subkey = person(of).signer().clone();
    let binding = match adoption {
        Adoption::Agreed => shape.binding(&subkey, |sig| sig.flags(SIGN)),
        Adoption::ForOtherUse => shape.bare_binding(&subkey, |sig| sig.flags(ENCRYPT)),
        Adoption::Forged => shape.binding(&subkey, |sig| sig.flags(SIGN).broken()),
        Adoption::WithoutConsent => shape.bare_binding(&subkey, |sig| sig.flags(SIGN)),
    };
    shape.subkeys.push((subkey, vec![binding]));
    shape
}

#[test]
fn who_adopts_a_subkey_takes_nothing_from_its_owner() {
    for adoption in [Adoption::Agreed, Adoption::Forged, Adoption::WithoutConsent] {
        for listed in [&["alice"][..], &["alice", "dave"]] {
            let mut world = World::good();
            world.signers(listed, 1);
            world.keys.insert(0, key(&adopter(4, 1, adoption)));
            assert_eq!(world.verdict(), TRUSTED);
            world.keys.reverse();
            assert_eq!(world.verdict(), TRUSTED);
            world.revoke("dave", RevocationReason::Compromised);
            assert_eq!(world.verdict(), TRUSTED);
        }
    }
}

#[test]
fn who_adopts_a_subkey_without_consent_signs_nothing_with_it() {
    for adoption in [Adoption::Forged, Adoption::WithoutConsent] {
        let mut world = World::good();
        world.keys.push(key(&adopter(4, 1, adoption)));
        world.signers(&["dave"], 1);
        assert_eq!(world.verdict(), TOO_FEW);
        world.keys[1].scope.sources = vec!["https://other.example.com".into()];
        assert_eq!(world.verdict(), TOO_FEW, "whatever Dave may speak for");
        world.keys[1].scope = Scope::default();
        world.revoke("dave", RevocationReason::Compromised);
        assert_eq!(
            world.verdict(),
            TOO_FEW,
            "nothing bad about what Alice signed"
        );
        world.keys.remove(0);
        assert_eq!(world.verdict(), TOO_FEW, "nor if Alice is not known");
    }
}

#[test]
fn no_end_of_who_adopts_without_consent_is_bad_about_what_the_owner_signed() {
    let adoptions = [
        Adoption::ForOtherUse,
        Adoption::Forged,
        Adoption::WithoutConsent,
    ];
    let revoke = |shape: &mut Shape| {
        let word = shape.key_revocation(day(5), |sig| sig.reason(2));
        shape.direct.push(word);
    };
    let expire = |shape: &mut Shape| {
        shape.add_user_id(b"expired", |sig| sig.key_lifetime(1).with(25, [1]));
    };
    for adoption in adoptions {
        for end in [&revoke as &dyn Fn(&mut Shape), &expire] {
            let mut shape = adopter(4, 1, adoption);
            end(&mut shape);
            let mut world = World::good();
            world.keys.insert(0, key(&shape));
            world.signers(&["alice", "dave"], 1);
            world.revoke("dave", RevocationReason::Compromised);
            assert_eq!(world.verdict(), TRUSTED);
            world.revoke("alice", RevocationReason::Retired).since = Some(time(day(1)));
            assert_eq!(
                world.verdict(),
                Verdict::Untrusted(Reason::KeyRetired),
                "{adoption:?}"
            );
            world.keys.truncate(1);
            assert_eq!(world.verdict(), TOO_FEW, "{adoption:?}, nobody else known");
        }
    }
}

#[test]
fn what_a_subkey_signed_stays_the_keys_when_it_is_taken_out() {
    let mut world = World::good();
    world.try_keys();
    let mut without = person(1);
    without.subkeys.clear();
    world.alice().certificate = without.load();
    assert_eq!(world.verdict(), TOO_FEW);
    world.revoke("alice", RevocationReason::Compromised);
    assert_eq!(world.verdict(), Verdict::Untrusted(Reason::KeyCompromised));
}

#[test]
fn a_signature_is_filed_under_a_key_that_is_bound_to_it() {
    for number in [2, 3, 4] {
        for adoption in [Adoption::Forged, Adoption::WithoutConsent] {
            let mut world = World::good();
            let alice = world.keys[0].fingerprint().clone();
            world.keys.insert(0, key(&adopter(number, 1, adoption)));
            world.try_keys();
            let signers: Vec<_> = world.evidence.good_signers().collect();
            assert_eq!(signers, [&alice]);
        }
    }
}

#[test]
fn learning_says_whether_anything_was_learned() {
    let mut world = World::signed_by(&[person(1), person(2)]);
    let bob = world.keys.pop().unwrap();
    assert!(!world.evidence.try_keys(&[], world.now));
    assert!(world.evidence.try_keys(&world.keys, world.now));
    assert!(
        !world.evidence.try_keys(&world.keys, world.now),
        "the same again"
    );
    world.keys.push(bob);
    assert!(
        !world.evidence.wants_text(crate::world::SOURCE, &world.keys),
        "it is at hand"
    );
    assert!(world.evidence.try_keys(&world.keys, world.now));
}

#[test]
fn one_signature_by_a_shared_subkey_is_one_signer() {
    let mut world = World::good();
    world.keys.push(key(&adopter(4, 1, Adoption::Agreed)));
    world.signers(&["dave"], 1);
    assert_eq!(world.verdict(), TRUSTED);
    world.signers(&["alice", "dave"], 2);
    assert_eq!(world.verdict(), TOO_FEW);
}

/// Who holds a subkey that two certificates share may sign again, or publish what was signed once more.
#[test]
fn a_shared_subkey_is_one_signer_however_often_it_signs() {
    let shared = person(1);
    let once = signature_by(shared.signer(), &text(), |sig| sig);
    let later = Sig::new(0x01, shared.signer(), day(SIGNED + 1));
    let again = signature_by(shared.signer(), &text(), |_| later);
    for (signatures, elsewhere) in [
        (vec![once.clone(), once.clone()], None),
        (vec![once.clone(), again.clone()], None),
        (vec![once.clone()], Some(once.clone())),
        (vec![once], Some(again)),
    ] {
        let keys = vec![key(&person(1)), key(&adopter(4, 1, Adoption::Agreed))];
        let mut world = World::of(keys, provenance(&text(), &signatures));
        world.signers(&["alice", "dave"], 2);
        if let Some(signature) = elsewhere {
            world.rule().sources.push(source(MIRROR));
            let other = archive(provenance(&text(), &[signature]));
            world.evidence.answers.insert(MIRROR.to_owned(), other);
        }
        assert_eq!(world.verdict(), TOO_FEW);
        world.signers(&["alice", "dave"], 1);
        assert_eq!(world.verdict(), TRUSTED);
    }
}

#[test]
fn revocation_of_a_key_that_shares_its_subkey_is_not_hidden() {
    for number in [2, 4] {
        let mut world = World::good();
        world.keys.push(key(&adopter(number, 1, Adoption::Agreed)));
        world.try_keys();
        world.revoke("alice", RevocationReason::Compromised);
        assert_eq!(world.verdict(), Verdict::Untrusted(Reason::KeyCompromised));
        world.keys.reverse();
        assert_eq!(world.verdict(), Verdict::Untrusted(Reason::KeyCompromised));
    }
}

#[test]
fn a_fault_is_never_proof_of_badness() {
    for compromised in [true, false] {
        let mut world = World::good();
        world.try_keys();
        let fingerprint = world.alice().fingerprint().clone();
        let ProvenanceFacts::Signed(signed) = &mut world.facts().provenance else {
            panic!("it is signed")
        };
        signed.message = None;
        signed.signatures[0].outcome =
            Outcome::Fault(fingerprint, Code::RevokedHard { compromised });
        let Verdict::Untrusted(reason) = world.verdict() else {
            panic!("trusted")
        };
        assert_ne!(reason.class(), Class::Badness);
    }
}

#[test]
fn badness_is_about_this_very_archive() {
    let text = crate::world::text_about(crate::world::other_digest());
    let signature = signature_by(person(1).signer(), &text, |sig| sig);
    let mut world = World::of(vec![key(&person(1))], provenance(&text, &[signature]));
    world.revoke("alice", RevocationReason::Compromised);
    assert_eq!(world.verdict(), Verdict::Untrusted(Reason::DigestMismatch));
    let is_told = |found: &Finding| {
        found.fact.to_string() == "OtherSignature" && found.message.contains("KeyCompromised")
    };
    assert!(world.judge().findings.iter().any(is_told));
    let text = text.replace("web-1.2.3.tgz", "web-1.2.4.tgz");
    let signature = signature_by(person(1).signer(), &text, |sig| sig);
    world.facts().provenance = provenance(&text, &[signature]);
    assert_eq!(
        world.verdict(),
        Verdict::Untrusted(Reason::MetadataMismatch)
    );
}

#[test]
fn faults_of_listed_signers_have_their_own_words() {
    let wrong = |change: fn(Sig) -> Sig| signature_by(person(1).signer(), &text(), change);
    let early = day(0) - 1;
    for (signature, reason) in [
        (wrong(Sig::broken), Reason::SignatureInvalid),
        (wrong(|sig| sig.hash(2)), Reason::WeakSignature),
        (
            wrong(|sig| sig.critical(100, [0])),
            Reason::ProvenanceMalformed,
        ),
        (wrong(|sig| sig.lifetime(1)), Reason::SignerNotTrusted),
        (
            Sig::new(0x00, person(1).signer(), day(SIGNED))
                .sign(person(1).signer(), &[&forge::hashed_text(&text())]),
            Reason::ProvenanceMalformed,
        ),
        (
            Sig::new(0x01, person(1).signer(), early)
                .sign(person(1).signer(), &[&forge::hashed_text(&text())]),
            Reason::SignerNotTrusted,
        ),
    ] {
        let mut world = World::good();
        world.facts().provenance = provenance(&text(), std::slice::from_ref(&signature));
        assert_eq!(world.verdict(), Verdict::Untrusted(reason));
        world.signers(&["bob"], 1);
        assert_eq!(world.verdict(), TOO_FEW, "not listed, so nothing of ours");
        world.signers(&["alice"], 1);
        let good = self::signature(&person(1));
        world.facts().provenance = provenance(&text(), &[signature, good]);
        assert_eq!(
            world.verdict(),
            TRUSTED,
            "beside a good one it only is told"
        );
    }
}

#[test]
fn a_restored_signature_is_judged_like_a_verified_one() {
    let mut world = World::good();
    world.try_keys();
    let ProvenanceFacts::Signed(signed) = &mut world.facts().provenance else {
        panic!("it is signed")
    };
    signed.message = None;
    let Outcome::Verified(verified) = &signed.signatures[0].outcome else {
        panic!("it is verified")
    };
    let record: SignatureRecord = verified.record().clone();
    signed.signatures[0].outcome =
        Outcome::Verified(VerifiedSignature::restore(record, Attestation::supposed()));
    assert_eq!(world.verdict(), TRUSTED);
    world.revoke("alice", RevocationReason::Compromised);
    assert_eq!(world.verdict(), Verdict::Untrusted(Reason::KeyCompromised));
    world.keys.clear();
    assert_eq!(world.verdict(), TOO_FEW);
}

#[test]
fn each_fact_is_found_once() {
    let signature = signature(&person(1));
    let signed = provenance(&text(), &[signature.clone(), signature]);
    let mut world = World::of(vec![key(&person(1))], signed);
    world.revoke("alice", RevocationReason::Compromised);
    let findings = world.judge().findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
}

#[test]
fn a_key_that_comes_later_is_tried_without_a_download() {
    let mut world = World::good();
    let keys: Vec<Key> = std::mem::take(&mut world.keys);
    world.try_keys();
    assert_eq!(world.verdict(), TOO_FEW);
    world.keys = keys;
    assert_eq!(world.verdict(), TRUSTED);
}

/// Which part of a certificate is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Revoked {
    Primary,
    Subkey,
}

/// A certificate that names Alice's subkey without her consent, and is revoked.
fn revoked_adopter(adoption: Adoption, revoked: Revoked) -> Shape {
    let mut shape = adopter(4, 1, adoption);
    if revoked == Revoked::Subkey {
        let subkey = person(1).signer().clone();
        let revocation = shape.subkey_revocation(&subkey, day(20), |sig| sig.reason(2));
        shape.subkeys.last_mut().unwrap().1.push(revocation);
    } else {
        let revocation = shape.key_revocation(day(20), |sig| sig.reason(2));
        shape.direct.push(revocation);
    }
    shape
}

#[test]
fn a_revoked_certificate_that_adopts_a_subkey_brings_no_badness_to_its_owner() {
    for adoption in [Adoption::Forged, Adoption::WithoutConsent] {
        for revoked in [Revoked::Primary, Revoked::Subkey] {
            let mut world = World::good();
            world
                .keys
                .insert(0, key(&revoked_adopter(adoption, revoked)));
            world.signers(&["dave"], 1);
            assert_eq!(world.verdict(), TOO_FEW, "{adoption:?} {revoked:?}");
            world.signers(&["alice", "dave"], 1);
            assert_eq!(world.verdict(), TRUSTED, "{adoption:?} {revoked:?}");
            world.alice().scope.charts = vec![Pattern::new("db-*")];
            let out_of_scope = Verdict::Untrusted(Reason::KeyOutOfScope);
            assert_eq!(world.verdict(), out_of_scope, "{adoption:?} {revoked:?}");
            world.keys.remove(1);
            assert_eq!(
                world.verdict(),
                TOO_FEW,
                "{adoption:?} {revoked:?}, not known"
            );
        }
    }
}

#[test]
fn whose_signature_has_ended_it_stays_its_owners() {
    for adoption in [Adoption::Forged, Adoption::WithoutConsent] {
        let short = signature_by(person(1).signer(), &text(), |sig| {
            sig.lifetime(40 * forge::DAY)
        });
        let mut world = World::good();
        world.facts().provenance = provenance(&text(), &[short]);
        world.keys.push(key(&adopter(4, 1, adoption)));
        world.signers(&["dave"], 1);
        world.revoke("dave", RevocationReason::Compromised);
        assert_eq!(world.clone().on(49).verdict(), TOO_FEW, "{adoption:?}");
        assert_eq!(world.on(51).verdict(), TOO_FEW, "{adoption:?}");
    }
}

#[test]
fn a_shared_subkey_leaves_either_owner_to_another_signature() {
    let dave = adopter(4, 1, Adoption::Agreed);
    for own in [&person(1).primary, &dave.primary] {
        let shared = signature(&person(1));
        let by_one = signature_by(own, &text(), |sig| sig);
        for signatures in [[shared.clone(), by_one.clone()], [by_one, shared]] {
            let keys = vec![key(&person(1)), key(&dave)];
            let mut world = World::of(keys, provenance(&text(), &signatures));
            world.signers(&["alice", "dave"], 2);
            assert_eq!(world.verdict(), TRUSTED, "each counts for one owner");
        }
    }
}

#[test]
fn a_fault_is_of_the_signer_that_it_names() {
    let broken = signature_by(person(2).signer(), &text(), Sig::broken);
    let keys = vec![key(&person(1)), key(&person(2))];
    let mut world = World::of(keys, provenance(&text(), &[broken]));
    assert_eq!(world.verdict(), TOO_FEW, "Alice is listed, Bob is not");
    world.signers(&["alice", "bob"], 1);
    let invalid = Verdict::Untrusted(Reason::SignatureInvalid);
    assert_eq!(world.verdict(), invalid);
    let message = &world.judge().findings[0].message;
    assert!(message.starts_with("signature of bob"), "{message}");
}

#[test]
fn the_object_that_vouches_without_reservation_is_the_best_of_one_key() {
    let mut world = World::good();
    world.facts().first_verified = Some(time(day(SIGNED)));
    let revocation = world.revoke("alice", RevocationReason::Unspecified);
    revocation.grandfather = Grandfather::Witnessed;
    revocation.since = Some(time(day(50)));
    world.keys.push(key_named("twin", &person(1)));
    assert_eq!(world.verdict(), Verdict::Trusted(Basis::Grandfathered));
    world.signers(&["alice", "twin"], 1);
    assert_eq!(world.verdict(), TRUSTED);
    world.keys.reverse();
    assert_eq!(world.verdict(), TRUSTED);
}

#[test]
fn whoever_signed_instead_is_named() {
    let mut world = World::signed_by(&[person(2)]);
    let message = |world: &World| world.judge().findings[0].message.clone();
    let bob = world.keys[0].fingerprint().clone();
    let told = message(&world);
    assert!(told.contains(bob.as_str()), "{told}");
    let signer = person(2).signer().fingerprint();
    world.keys.clear();
    let told = message(&world);
    assert!(told.contains(signer.as_str()), "{told}");
}

/// What Alice's key says of a signature that the change makes.
fn message_of(shape: &Shape, change: impl FnOnce(Sig) -> Sig) -> String {
    let signature = signature_by(shape.signer(), &text(), change);
    let world = World::of(vec![key(shape)], provenance(&text(), &[signature]));
    world.judge().findings[0].message.clone()
}

#[test]
fn every_cause_of_a_key_that_cannot_sign_is_named_with_the_next_step() {
    let certify_only = {
        let mut shape = person(1);
        shape.user_ids.clear();
        shape.add_user_id(forge::USER_ID, |sig| sig.flags(CERTIFY));
        shape
    };
    let without_user_id = {
        let mut shape = person(1);
        shape.user_ids.clear();
        shape
    };
    let subkey = person(1).subkeys[0].0.clone();
    let unconfirmed = {
        let mut shape = person(1);
        shape.subkeys[0].1 = vec![shape.bare_binding(&subkey, |sig| sig.flags(SIGN))];
        shape
    };
    let sign_by_primary = |shape: &Shape| {
        let signature = signature_by(&shape.primary, &text(), |sig| sig);
        let world = World::of(vec![key(shape)], provenance(&text(), &[signature]));
        world.judge().findings[0].message.clone()
    };
    let cases = [
        (sign_by_primary(&certify_only), Code::NotSigningCapable),
        (
            message_of(&without_user_id, |sig| sig),
            Code::NoValidSelfSignature,
        ),
        (message_of(&unconfirmed, |sig| sig), Code::NoBackSignature),
        (
            message_of(&person(1), |sig| sig.lifetime(60)),
            Code::SignatureExpired,
        ),
        (
            message_of(&person(1), |sig| {
                sig.without(2).with(2, day(900).to_be_bytes())
            }),
            Code::FromFuture,
        ),
    ];
    for (message, code) in cases {
        assert!(message.contains(&code.to_string()), "{code:?}: {message}");
        assert!(message.contains(code.step()), "{code:?}: {message}");
        assert!(message.contains("alice"), "{message}");
    }
}

#[test]
fn an_expired_key_is_told_with_its_end() {
    let mut world = World::good();
    world.alice().not_after = Some(time(day(5)));
    let message = world.judge().findings[0].message.clone();
    let end = time(day(5));
    assert!(
        message.contains(&format!("has expired on {end}")),
        "{message}"
    );
    let mut shape = person(1);
    shape.user_ids.clear();
    let end_of_life = |sig: Sig| sig.flags(CERTIFY_AND_SIGN).key_lifetime(day(5) - day(0));
    shape.add_user_id(forge::USER_ID, end_of_life);
    let message = message_of(&shape, |sig| sig);
    assert!(
        message.contains(&format!("has expired on {end}")),
        "{message}"
    );
}

#[test]
fn a_signature_that_names_no_key_is_nobodys() {
    let bare = |sig: Sig| sig.without(forge::sub::ISSUER);
    let two_issuers = |sig: Sig| sig.with(forge::sub::KEY_ID, person(2).primary.key_id());
    for signature in [
        signature_by(person(1).signer(), &text(), bare),
        signature_by(person(1).signer(), &text(), two_issuers),
        vec![3, 5, 1, 0, 0, 0, 0],
    ] {
        let mut world = World::of(vec![key(&person(1))], provenance(&text(), &[signature]));
        let judgement = world.judge();
        assert_eq!(judgement.verdict, TOO_FEW, "{judgement:?}");
        let message = &judgement.findings[0].message;
        assert!(!message.contains("alice"), "{message}");
        assert!(
            message.contains("a signature that names no key"),
            "{message}"
        );
        world.except(&[Reason::WeakSignature]);
        assert_eq!(
            world.verdict(),
            TOO_FEW,
            "it is no listed signer's weak signature"
        );
    }
}

#[test]
fn a_listed_key_that_does_not_exist_is_named() {
    let mut world = World::good();
    world.signers(&["alice", "ghost"], 1);
    assert!(world.verdict().is_trusted());
    world.signers(&["ghost"], 1);
    assert_eq!(world.verdict(), TOO_FEW);
    let findings = world.judge().findings;
    let message = &findings[0].message;
    assert!(
        message
            .contains("which is not listed; the rule lists ghost, of which there is no TrustedKey"),
        "{message}"
    );
}
