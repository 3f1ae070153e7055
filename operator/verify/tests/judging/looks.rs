//! Later looks: no trust is taken, no failure becomes another, trust may be given.

use std::collections::BTreeSet;

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{Answer, ArchiveFacts, Bound, ProvenanceFacts, Signed};
use charttrust_verify::finding::Finding;
use charttrust_verify::key::{Grandfather, RevocationReason};
use charttrust_verify::policy::Level;
use charttrust_verify::verdict::{Basis, Cause, Reason, Verdict};

use crate::forge::{Sig, day, time};
use crate::world::{
    MIRROR, SOURCE, World, archive, facts_of, other_digest, person, policy, provenance, read,
    signature, signature_by, source, text,
};

const TRUSTED: Verdict = Verdict::Trusted(Basis::SignatureVerified);

impl World {
    /// Looks at a source; returns the words of what was found.
    fn look(&mut self, source: &str, answer: Answer) -> Vec<String> {
        self.try_keys();
        let world = self.clone();
        let findings = self.evidence.apply(source, answer, &world.judged_by());
        self.try_keys();
        findings
            .iter()
            .map(|finding: &Finding| finding.fact.to_string())
            .collect()
    }
}

fn good() -> ProvenanceFacts {
    provenance(&text(), &[signature(&person(1))])
}

fn broken() -> ProvenanceFacts {
    provenance(
        &text(),
        &[signature_by(person(1).signer(), &text(), Sig::broken)],
    )
}

fn by_stranger() -> ProvenanceFacts {
    provenance(&text(), &[signature(&person(2))])
}

fn unreachable() -> ProvenanceFacts {
    ProvenanceFacts::Unavailable {
        cause: Cause::SourceUnavailable,
        message: "no answer".into(),
    }
}

fn unavailable() -> Answer {
    Answer::Unavailable {
        cause: Cause::LimitExceeded,
        message: "too large".into(),
    }
}

fn ambiguous() -> Answer {
    Answer::Ambiguous {
        message: "two".into(),
    }
}

fn changed(answer: Answer, change: impl FnOnce(&mut ArchiveFacts)) -> Answer {
    let Answer::Archive(mut facts) = answer else {
        panic!("{answer:?}")
    };
    change(&mut facts);
    Answer::Archive(facts)
}

/// Another archive under the same name, whose content even is the same, with a good signature.
fn rebuilt() -> Answer {
    let text = crate::world::text_about(other_digest());
    let signature = signature_by(person(1).signer(), &text, |sig| sig);
    changed(archive(provenance(&text, &[signature])), |facts| {
        facts.digest = other_digest();
    })
}

/// What a source may answer later, what is told of it if it answered `good()` before, and if it
/// had no provenance before.
fn later() -> Vec<(Answer, &'static str, &'static str)> {
    vec![
        (archive(good()), "", "given"),
        (archive(broken()), "Republished", "Republished"),
        (archive(by_stranger()), "Republished", "Republished"),
        (archive(ProvenanceFacts::Missing), "Unsigned", ""),
        (archive(read(b"junk")), "ProvenanceMalformed", ""),
        (
            archive(unreachable()),
            "SourceUnavailable",
            "SourceUnavailable",
        ),
        (rebuilt(), "Republished", "Republished"),
        (ambiguous(), "Republished", "Republished"),
        (Answer::NotFound, "ChartNotFound", "ChartNotFound"),
        (unavailable(), "LimitExceeded", "LimitExceeded"),
    ]
}

#[test]
fn no_later_look_takes_trust_away() {
    for level in [Level::Strict, Level::Signature] {
        for (answer, told, _) in later() {
            let mut world = World::good();
            world.level(level);
            let before = world.verdict();
            let words = world.look(SOURCE, answer.clone());
            assert_eq!(world.verdict(), before, "{answer:?}");
            assert_eq!(words.join(" "), told, "{answer:?}");
            assert_eq!(
                world.look(SOURCE, answer).join(" "),
                told,
                "the second time"
            );
        }
    }
}

#[test]
fn a_later_look_gives_trust_or_leaves_the_failure() {
    for level in [Level::Strict, Level::Signature] {
        for (answer, _, told) in later() {
            let mut world = World::good();
            world.level(level);
            let trusted = world.verdict();
            world.facts().provenance = ProvenanceFacts::Missing;
            let words = world.look(SOURCE, answer.clone());
            let (verdict, words) = match (told, words.join(" ")) {
                ("given", none) => (trusted, format!("given{none}")),
                (_, words) => (Verdict::Untrusted(Reason::Unsigned), words),
            };
            assert_eq!(world.verdict(), verdict, "{answer:?}");
            assert_eq!(words, told, "{answer:?}");
        }
    }
}

#[test]
fn a_failure_of_a_bound_release_never_becomes_another() {
    for before in [
        broken(),
        by_stranger(),
        read(b"junk"),
        ProvenanceFacts::Missing,
    ] {
        for (answer, ..) in later() {
            let mut world = World::good();
            world.facts().provenance = before.clone();
            let verdict = world.verdict();
            world.look(SOURCE, answer.clone());
            let after = world.verdict();
            assert!(
                after == verdict || after == TRUSTED,
                "{verdict}, then {after}: {answer:?}"
            );
        }
    }
}

#[test]
fn bad_provenance_beside_a_bound_archive_is_no_badness() {
    let mut world = World::good();
    world.keys.push(crate::world::key(&person(2)));
    world.signers(&["alice", "bob"], 1);
    world.revoke("bob", RevocationReason::Compromised);
    world.facts().provenance = ProvenanceFacts::Missing;
    assert_eq!(world.look(SOURCE, archive(by_stranger())), ["Republished"]);
    assert_eq!(world.verdict(), Verdict::Untrusted(Reason::Unsigned));
}

#[test]
fn a_first_answer_is_taken_as_it_is() {
    for first in [None, Some(unavailable())] {
        let answers = later().into_iter().map(|(answer, ..)| answer);
        for answer in answers.chain([unavailable()]) {
            let mut fresh = World::good();
            fresh.answer(SOURCE, answer.clone());
            let mut world = World::good();
            world.evidence.answers.clear();
            if let Some(first) = first.clone() {
                world.answer(SOURCE, first);
            }
            assert!(world.look(SOURCE, answer.clone()).is_empty(), "{answer:?}");
            assert_eq!(world.verdict(), fresh.verdict(), "{answer:?}");
        }
    }
}

#[test]
fn provenance_that_was_out_of_reach_is_taken_when_it_comes() {
    for (provenance, verdict) in [
        (good(), TRUSTED),
        (broken(), Verdict::Untrusted(Reason::SignatureInvalid)),
        (
            ProvenanceFacts::Missing,
            Verdict::Untrusted(Reason::Unsigned),
        ),
        (
            read(b"junk"),
            Verdict::Untrusted(Reason::ProvenanceMalformed),
        ),
        (unreachable(), Verdict::Unknown(Cause::SourceUnavailable)),
    ] {
        let mut world = World::good();
        world.facts().provenance = unreachable();
        assert_eq!(world.verdict(), Verdict::Unknown(Cause::SourceUnavailable));
        world.look(SOURCE, archive(provenance));
        assert_eq!(world.verdict(), verdict);
    }
}

#[test]
fn provenance_that_comes_late_takes_no_trust_from_a_pin() {
    let mut world = World::good();
    world.pin();
    world.facts().provenance = unreachable();
    let pinned = Verdict::Trusted(Basis::DigestPinned);
    assert_eq!(world.verdict(), pinned);
    let text = crate::world::text_about(other_digest());
    let about_other = provenance(&text, &[signature_by(person(1).signer(), &text, |sig| sig)]);
    assert_eq!(world.look(SOURCE, archive(about_other)), ["Republished"]);
    assert_eq!(world.verdict(), pinned);
    assert!(
        world
            .look(SOURCE, archive(ProvenanceFacts::Missing))
            .is_empty()
    );
    assert_eq!(world.verdict(), pinned);
    assert_eq!(world.look(SOURCE, archive(good())), ["Republished"]);
    assert_eq!(world.verdict(), pinned, "it is trusted already");
}

#[test]
fn another_source_that_gets_the_chart_takes_no_trust_away() {
    for answer in [archive(ProvenanceFacts::Missing), ambiguous()] {
        let mut world = World::good();
        world.level(Level::Signature);
        world.rule().sources.insert(0, source(MIRROR));
        world.answer(MIRROR, Answer::NotFound);
        let trusted = world.verdict();
        assert!(trusted.is_trusted());
        assert_eq!(world.look(MIRROR, answer), ["Republished"]);
        assert_eq!(world.verdict(), trusted);
    }
}

#[test]
fn another_source_that_gets_the_chart_brings_no_badness_to_a_bound_release() {
    let mut world = World::good();
    world.rule().sources.push(source(MIRROR));
    world.answer(MIRROR, Answer::NotFound);
    world.facts().provenance = ProvenanceFacts::Missing;
    world.revoke("alice", RevocationReason::Compromised);
    assert_eq!(world.look(MIRROR, archive(good())), ["Republished"]);
    assert_eq!(world.verdict(), Verdict::Untrusted(Reason::Unsigned));
}

#[test]
fn trust_by_one_policy_survives_what_another_distrusts() {
    let mut world = World::good();
    world.level(Level::Signature);
    world.policies.push(policy("other", &["carol"]));
    world.facts().binding = Bound::Different(vec!["a template".into()]);
    let before: Vec<_> = world
        .judge()
        .policies
        .iter()
        .map(|policy| policy.verdict)
        .collect();
    assert!(before[0].is_trusted() && !before[1].is_trusted());
    for (answer, ..) in later() {
        world.look(SOURCE, changed_binding(answer));
        let after: Vec<_> = world
            .judge()
            .policies
            .iter()
            .map(|policy| policy.verdict)
            .collect();
        assert_eq!(after, before);
    }
}

fn changed_binding(answer: Answer) -> Answer {
    match answer {
        Answer::Archive(_) => changed(answer, |facts| {
            facts.binding = Bound::Different(vec!["a template".into()]);
        }),
        other => other,
    }
}

#[test]
fn trust_is_given_to_one_policy_while_another_still_distrusts() {
    let mut world = World::good();
    world.facts().provenance = ProvenanceFacts::Missing;
    world.policies.push(policy("other", &["carol"]));
    let mut mirrored = policy("mirrored", &["alice"]);
    crate::world::rule(&mut mirrored).sources = vec![source(MIRROR)];
    world.policies.push(mirrored);
    world.answer(MIRROR, Answer::NotFound);
    assert!(world.look(MIRROR, archive(good())).is_empty());
    let verdicts: Vec<_> = world
        .judge()
        .policies
        .iter()
        .map(|policy| policy.verdict)
        .collect();
    let unsigned = Verdict::Untrusted(Reason::Unsigned);
    assert_eq!(verdicts, [unsigned, unsigned, TRUSTED]);
}

#[test]
fn provenance_that_satisfies_one_policy_is_taken_though_another_lists_somebody_else() {
    let mut world = World::good();
    world.facts().provenance = ProvenanceFacts::Missing;
    world.policies.push(policy("other", &["carol"]));
    assert!(world.look(SOURCE, archive(good())).is_empty());
    let verdicts = verdicts(&world);
    assert_eq!(
        verdicts,
        [TRUSTED, Verdict::Untrusted(Reason::SignerNotTrusted)]
    );
}

#[test]
fn provenance_that_satisfies_one_policy_brings_no_badness_to_another() {
    let mut world = World::signed_by(&[person(1), person(2)]);
    let both = world.facts().provenance.clone();
    world.facts().provenance = ProvenanceFacts::Missing;
    world.policies.push(policy("other", &["bob"]));
    world.revoke("bob", RevocationReason::Compromised);
    assert_eq!(world.look(SOURCE, archive(both)), ["Republished"]);
    assert_eq!(verdicts(&world), [Verdict::Untrusted(Reason::Unsigned); 2]);
}

fn verdicts(world: &World) -> Vec<Verdict> {
    let judgement = world.judge();
    judgement.policies.iter().map(|said| said.verdict).collect()
}

#[test]
fn what_is_not_bound_changes_with_every_answer() {
    let different = || changed_binding(archive(good()));
    for before in [different(), Answer::NotFound, ambiguous()] {
        let mut world = World::good();
        world.answer(SOURCE, before);
        for (answer, verdict) in [
            (ambiguous(), Reason::ArchiveAmbiguous),
            (Answer::NotFound, Reason::ChartNotFound),
            (different(), Reason::ContentMismatch),
        ] {
            assert!(world.look(SOURCE, answer).is_empty());
            assert_eq!(world.verdict(), Verdict::Untrusted(verdict));
            assert_eq!(world.look(SOURCE, unavailable()), ["LimitExceeded"]);
            assert_eq!(world.verdict(), Verdict::Untrusted(verdict), "it stands");
        }
        world.look(SOURCE, archive(good()));
        assert_eq!(world.verdict(), TRUSTED);
    }
}

#[test]
fn what_the_index_says_is_always_up_to_date() {
    let mut world = World::good();
    for disagrees in [true, true, false] {
        let answer = changed(archive(good()), |facts| facts.index_disagrees = disagrees);
        assert!(world.look(SOURCE, answer).is_empty());
        assert_eq!(world.facts().index_disagrees, disagrees);
    }
    let answer = changed(archive(unreachable()), |facts| facts.index_disagrees = true);
    assert_eq!(world.look(SOURCE, answer), ["SourceUnavailable"]);
    assert!(world.facts().index_disagrees);
    assert_eq!(world.verdict(), TRUSTED);
}

#[test]
fn an_archive_that_was_bound_stays_bound() {
    let mut world = World::good();
    let answer = changed(changed_binding(archive(good())), |facts| {
        facts.index_disagrees = true;
    });
    assert!(world.look(SOURCE, answer).is_empty());
    assert_eq!(world.verdict(), TRUSTED);
    assert!(world.facts().index_disagrees);
}

#[test]
fn text_that_comes_back_lets_new_keys_be_tried() {
    let mut world = World::signed_by(&[person(1), person(2)]);
    let provenance = world.facts().provenance.clone();
    world.keys.pop();
    world.try_keys();
    let first_verified = world.facts().first_verified;
    let ProvenanceFacts::Signed(signed) = &mut world.facts().provenance else {
        panic!()
    };
    signed.message = None;
    world.keys.push(crate::world::key(&person(2)));
    world.signers(&["bob"], 1);
    assert_eq!(
        world.verdict(),
        Verdict::Untrusted(Reason::SignerNotTrusted)
    );
    assert!(world.evidence.wants_text(SOURCE, &world.keys));
    assert!(!world.evidence.wants_text(SOURCE, &world.keys[..1]));
    assert!(!world.evidence.wants_text(MIRROR, &world.keys));
    world.now = time(day(200));
    assert!(world.look(SOURCE, archive(provenance)).is_empty());
    assert!(!world.evidence.wants_text(SOURCE, &world.keys));
    assert_eq!(world.verdict(), TRUSTED);
    assert_eq!(world.facts().first_verified, first_verified);
}

#[test]
fn nobody_was_a_witness_of_provenance_that_came_later() {
    let mut world = World::signed_by(&[person(2)]);
    world.keys.push(crate::world::key(&person(1)));
    world.try_keys();
    let first_verified = world.facts().first_verified;
    assert_eq!(first_verified, Some(world.now), "by Bob, who is not listed");
    let revocation = world.revoke("alice", RevocationReason::Compromised);
    revocation.grandfather = Grandfather::Witnessed;
    revocation.since = Some(time(day(150)));
    let mut world = world.on(200);
    world.look(SOURCE, archive(good()));
    assert!(
        !world.verdict().is_trusted(),
        "a thief may have made it yesterday"
    );
}

#[test]
fn a_second_look_keeps_when_the_archive_was_first_verified() {
    let mut world = World::good();
    world.facts().binding = Bound::Different(vec!["a template".into()]);
    world.level(Level::Signature);
    world.revoke("alice", RevocationReason::Compromised);
    world.try_keys();
    let first = world.facts().first_verified;
    let mut world = world.on(200);
    world.look(SOURCE, changed_binding(archive(good())));
    assert_eq!(facts_of(&mut world.evidence, SOURCE).first_verified, first);
}

#[test]
fn a_newer_version_of_ourselves_may_compare_better() {
    let mut world = World::good();
    world.answer(SOURCE, changed_binding(archive(good())));
    assert_eq!(world.verdict(), Verdict::Untrusted(Reason::ContentMismatch));
    assert!(world.look(SOURCE, archive(good())).is_empty());
    assert_eq!(world.verdict(), TRUSTED);
}

#[test]
fn text_that_comes_back_hides_no_revocation() {
    for text_is_at_hand in [true, false] {
        let mut world = World::good();
        world.try_keys();
        if !text_is_at_hand {
            signed(&mut world).message = None;
        }
        let mut without = person(1);
        without.subkeys.clear();
        world.alice().certificate = without.load();
        world.revoke("alice", RevocationReason::Compromised);
        let bad = Verdict::Untrusted(Reason::KeyCompromised);
        assert_eq!(world.verdict(), bad);
        assert!(world.look(SOURCE, archive(good())).is_empty());
        assert_eq!(world.verdict(), bad, "a failure never becomes another");
        assert!(signed(&mut world).message.is_some());
    }
}

fn signed(world: &mut World) -> &mut Signed {
    match &mut world.facts().provenance {
        ProvenanceFacts::Signed(signed) => signed,
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_archive_of_other_content_is_taken_over_as_a_whole() {
    let mut world = World::good();
    world.level(Level::Signature);
    let unsigned = archive(ProvenanceFacts::Missing);
    world.answer(SOURCE, changed_binding(unsigned));
    assert_eq!(world.verdict(), Verdict::Untrusted(Reason::Unsigned));
    assert!(world.look(SOURCE, changed_binding(rebuilt())).is_empty());
    assert_eq!(world.facts().digest, other_digest());
    assert_eq!(world.verdict(), Verdict::Trusted(Basis::ArchiveVerified));
}

#[test]
fn provenance_and_index_may_change_in_one_look() {
    for before in [unreachable(), ProvenanceFacts::Missing] {
        let mut world = World::good();
        world.facts().provenance = before;
        let answer = changed(archive(good()), |facts| facts.index_disagrees = true);
        assert!(world.look(SOURCE, answer).is_empty());
        assert_eq!(world.verdict(), TRUSTED);
        assert!(world.facts().index_disagrees);
    }
}

#[test]
fn text_is_wanted_for_a_key_that_is_named_by_its_id_only() {
    let signer = person(1).signer().clone();
    let by_id = signature_by(&signer, &text(), |sig| sig.only_key_id(&signer));
    let mut world = World::good();
    world.facts().provenance = provenance(&text(), &[by_id]);
    signed(&mut world).message = None;
    assert!(world.evidence.wants_text(SOURCE, &world.keys));
    let others = [crate::world::key(&person(2))];
    assert!(!world.evidence.wants_text(SOURCE, &others));
}

/// Whoever serves other bytes at each look has nothing written by it: what is told names none of what the
/// source has chosen.
#[test]
fn what_is_told_of_equal_looks_is_the_same_whatever_the_source_chooses() {
    let other_archive = |number: u8| {
        let mut answer = archive(good());
        if let Answer::Archive(facts) = &mut answer {
            facts.digest = Sha256Digest::of(&[number]);
            facts.binding = Bound::Different(vec![format!("templates/{number}.yaml")]);
        }
        answer
    };
    let in_several_ways = |number: u8| Answer::Ambiguous {
        message: format!("it contains `{number}` twice"),
    };
    let unreadable = |number: u8| {
        let lines = "a\n".repeat(usize::from(number));
        let text = format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{lines}\u{1}\n");
        archive(read(text.as_bytes()))
    };
    let by_others = |number: u8| archive(provenance(&text(), &[signature(&person(number + 1))]));
    let kinds: [&dyn Fn(u8) -> Answer; 4] =
        [&other_archive, &in_several_ways, &unreadable, &by_others];
    for answer in kinds {
        let mut world = World::good();
        world.try_keys();
        let mut told = BTreeSet::new();
        for number in 1..4 {
            let by = world.clone();
            told.insert(
                world
                    .evidence
                    .apply(SOURCE, answer(number), &by.judged_by()),
            );
            assert_eq!(world.verdict(), TRUSTED);
        }
        assert_eq!(told.len(), 1, "{told:#?}");
        assert_ne!(told.first(), Some(&Vec::new()), "it is told");
    }
}
