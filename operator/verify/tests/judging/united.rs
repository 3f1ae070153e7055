//! Signatures over one archive count together, wherever their statements lie.

use std::collections::BTreeSet;

use charttrust_verify::evidence::{Answer, Bound, Place, ProvenanceFacts, Signed};
use charttrust_verify::finding::{Fact, Note};
use charttrust_verify::key::RevocationReason;
use charttrust_verify::policy::Level;
use charttrust_verify::verdict::{Cause, Class, Reason, Verdict};
use proptest::prelude::*;

use crate::world::{
    MIRROR, SOURCE, World, archive, other_digest, person, provenance, signature, source, text,
};

const THIRD: &str = "https://third.example.com";
const SOURCES: [&str; 3] = [SOURCE, MIRROR, THIRD];

/// What one place has of the chart: who has signed it there, by number.
#[derive(Clone, Debug)]
enum Has {
    Signed(BTreeSet<u8>),
    Unsigned,
    Other(BTreeSet<u8>),
    Silence,
}

impl Has {
    fn at(&self, place: Place) -> Answer {
        let by = |people: &BTreeSet<u8>| {
            let signatures: Vec<_> = people.iter().map(|one| signature(&person(*one))).collect();
            provenance(&text(), &signatures).served_by(place)
        };
        let mut answer = match self {
            Self::Signed(people) | Self::Other(people) => archive(by(people)),
            Self::Unsigned => archive(ProvenanceFacts::Missing),
            Self::Silence => Answer::Unavailable {
                cause: Cause::SourceUnavailable,
                message: "no answer".into(),
            },
        };
        if let Answer::Archive(facts) = &mut answer {
            facts.place = place;
            if matches!(self, Self::Other(_)) {
                facts.digest = other_digest();
                facts.binding = Bound::Different(vec!["a template".into()]);
            }
        }
        answer
    }
}

/// Alice, Bob and Carol are listed at three sources; nothing was answered yet.
fn world(threshold: u32) -> World {
    let mut world = World::signed_by(&[person(1), person(2), person(3)]);
    world.signers(&["alice", "bob", "carol"], threshold);
    world.rule().sources = SOURCES.iter().map(|url| source(url)).collect();
    world.evidence.answers.clear();
    world
}

fn hear(world: &mut World, url: &str, answer: Answer) {
    let by = world.clone();
    world.evidence.apply(url, answer, &by.judged_by());
    world.try_keys();
}

fn by(people: &[u8]) -> Has {
    Has::Signed(people.iter().copied().collect())
}

#[test]
fn two_signers_at_two_sources_are_two_signers() {
    for level in [Level::Strict, Level::Signature] {
        for (here, there, trusted) in [
            (by(&[1]), by(&[2]), true),
            (by(&[1]), by(&[1]), false),
            (by(&[1]), Has::Unsigned, false),
            (by(&[1]), Has::Other([2].into()), false),
            // The first source decides under Signature; under Strict the other is its own candidate.
            (Has::Unsigned, by(&[1, 2]), level == Level::Strict),
        ] {
            let mut world = world(2);
            world.level(level);
            hear(&mut world, SOURCE, here.at(Place::Main));
            hear(&mut world, MIRROR, there.at(Place::Main));
            hear(&mut world, THIRD, Has::Unsigned.at(Place::Main));
            let judgement = world.judge();
            assert_eq!(
                judgement.verdict.is_trusted(),
                trusted,
                "{here:?} {there:?}"
            );
            if trusted && matches!(here, Has::Signed(_)) {
                let mut facts = judgement.findings.iter().map(|finding| finding.fact);
                assert!(facts.any(|fact| fact == Fact::Note(Note::OtherSource)));
            }
        }
    }
}

/// The key may speak for the source where its statement lies, and for no other by lying elsewhere.
#[test]
fn each_signature_is_of_the_source_that_has_it() {
    let mut world = world(2);
    hear(&mut world, SOURCE, by(&[1]).at(Place::Main));
    hear(&mut world, MIRROR, by(&[2]).at(Place::Main));
    assert!(world.verdict().is_trusted());
    let bob = world.keys.iter_mut().find(|key| key.name == "bob");
    bob.unwrap().scope.sources = vec![THIRD.to_owned()];
    assert!(!world.verdict().is_trusted());
}

/// What a mirror has shown adds trust; that a key of it was stolen takes the trust, and proves nothing.
#[test]
fn a_mirror_adds_a_signer_and_its_revocation_is_no_badness() {
    let mut world = world(2);
    hear(&mut world, SOURCE, by(&[1]).at(Place::Main));
    hear(&mut world, MIRROR, by(&[2]).at(Place::Mirror));
    hear(&mut world, THIRD, Has::Silence.at(Place::Main));
    let judgement = world.judge();
    assert!(judgement.verdict.is_trusted());
    world.evidence.settle(&judgement);
    world.revoke("bob", RevocationReason::Compromised);
    assert_eq!(world.verdict(), Verdict::Unknown(Cause::SourceUnavailable));
}

#[test]
fn a_stolen_key_at_one_source_takes_no_trust_that_enough_others_give() {
    let mut world = world(2);
    hear(&mut world, SOURCE, by(&[1]).at(Place::Main));
    hear(&mut world, MIRROR, by(&[2]).at(Place::Main));
    hear(&mut world, THIRD, by(&[3]).at(Place::Main));
    world.revoke("carol", RevocationReason::Compromised);
    assert!(world.verdict().is_trusted());
    world.revoke("bob", RevocationReason::Compromised);
    assert_eq!(world.verdict(), Verdict::Untrusted(Reason::KeyCompromised));
}

fn has() -> impl Strategy<Value = Has> {
    let people = || proptest::collection::btree_set(1..4_u8, 1..3);
    prop_oneof![
        4 => people().prop_map(Has::Signed),
        1 => Just(Has::Unsigned),
        1 => people().prop_map(Has::Other),
        1 => Just(Has::Silence),
    ]
}

fn said() -> impl Strategy<Value = Vec<(usize, Place, Has)>> {
    let place = prop_oneof![3 => Just(Place::Main), 1 => Just(Place::Mirror)];
    proptest::collection::vec((0..SOURCES.len(), place, has()), 1..8)
}

proptest! {
    /// Over all orders of answers: trusted exactly if enough of those listed have signed the archive
    /// that the release is made of, and nothing else comes of what others have signed.
    #[test]
    fn who_signed_the_archive_counts_wherever_and_in_whatever_order(
        said in said(), threshold in 1..4_u32
    ) {
        let mut world = world(threshold);
        for (number, place, has) in said {
            hear(&mut world, SOURCES[number], has.at(place));
            let mut signers = BTreeSet::new();
            for (_, facts) in world.evidence.archives() {
                let is_it = facts.digest != other_digest();
                let signed = facts.signed().filter(|_| is_it);
                signers.extend(signed.into_iter().flat_map(Signed::good_signers).cloned());
            }
            let enough = signers.len() >= usize::try_from(threshold).unwrap();
            let judgement = world.judge();
            prop_assert_eq!(judgement.verdict.is_trusted(), enough, "{}", judgement.verdict);
            prop_assert!(judgement.verdict.class() != Class::Badness);
            world.evidence.settle(&judgement);
        }
    }
}
