//! Several sources: which archive the release comes from, and what silence means.

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{Answer, Bound, ProvenanceFacts, SubchartFacts, SubchartId};
use charttrust_verify::finding::Finding;
use charttrust_verify::key::RevocationReason;
use charttrust_verify::policy::{Dependencies, Level};
use charttrust_verify::verdict::{Basis, Cause, Reason, Verdict};

use crate::forge::Sig;
use crate::world::{
    MIRROR, SOURCE, World, archive, facts_of, other_digest, person, provenance, read, signature_by,
    source, text,
};

const TRUSTED: Verdict = Verdict::Trusted(Basis::SignatureVerified);
const ARCHIVE: Verdict = Verdict::Trusted(Basis::ArchiveVerified);
const UNASKED: Verdict = Verdict::Unknown(Cause::Pending);
const SILENT: Verdict = Verdict::Unknown(Cause::SourceUnavailable);
const DIFFERENT: Verdict = Verdict::Untrusted(Reason::ContentMismatch);
const AMBIGUOUS: Verdict = Verdict::Untrusted(Reason::ArchiveAmbiguous);
const NOT_FOUND: Verdict = Verdict::Untrusted(Reason::ChartNotFound);
const NOT_BINDABLE: Verdict = Verdict::Unknown(Cause::NotBindable);
const UNSIGNED: Verdict = Verdict::Untrusted(Reason::Unsigned);

/// What one of two sources answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    Same,
    SameUnsigned,
    Different,
    OldWriter,
    Ambiguous,
    NotFound,
    Silent,
    Unasked,
}

const ALL: [Says; 8] = [
    Says::Same,
    Says::SameUnsigned,
    Says::Different,
    Says::OldWriter,
    Says::Ambiguous,
    Says::NotFound,
    Says::Silent,
    Says::Unasked,
];

fn answer(says: Says) -> Option<Answer> {
    let signed = || provenance(&text(), &[crate::world::signature(&person(1))]);
    let bound = |binding, provenance| {
        let mut answer = archive(provenance);
        if let Answer::Archive(facts) = &mut answer {
            facts.binding = binding;
        }
        Some(answer)
    };
    match says {
        Says::Same => bound(Bound::Same(Vec::new()), signed()),
        Says::SameUnsigned => bound(Bound::Same(Vec::new()), ProvenanceFacts::Missing),
        Says::Different => bound(Bound::Different(vec!["a template".into()]), signed()),
        Says::OldWriter => bound(Bound::OldWriter(vec!["old".into()]), signed()),
        Says::Ambiguous => Some(Answer::Ambiguous {
            message: "two".into(),
        }),
        Says::NotFound => Some(Answer::NotFound),
        Says::Silent => Some(Answer::Unavailable {
            cause: Cause::SourceUnavailable,
            message: "no answer".into(),
        }),
        Says::Unasked => None,
    }
}

fn two(level: Level, first: Says, second: Says) -> World {
    let mut world = World::good();
    world.level(level);
    world.rule().sources.push(source(MIRROR));
    world.evidence.answers.clear();
    for (url, says) in [(SOURCE, first), (MIRROR, second)] {
        if let Some(answer) = answer(says) {
            world.answer(url, answer);
        }
    }
    world
}

/// Strict: in either order of the two sources.
fn strict(one: Says, other: Says) -> Verdict {
    use Says::{Ambiguous, Different, NotFound, OldWriter, Same, SameUnsigned, Silent, Unasked};
    match (one, other) {
        (Same, _) | (_, Same) => TRUSTED,
        // What one says while the other is silent can give trust and takes none.
        (Silent, _) | (_, Silent) => SILENT,
        (Unasked, _) | (_, Unasked) => UNASKED,
        (SameUnsigned, _) | (_, SameUnsigned) => UNSIGNED,
        (OldWriter, _) | (_, OldWriter) => NOT_BINDABLE,
        (Ambiguous, _) | (_, Ambiguous) => AMBIGUOUS,
        (Different, _) | (_, Different) => DIFFERENT,
        (NotFound, NotFound) => NOT_FOUND,
    }
}

#[test]
fn under_strict_the_source_with_the_same_content_decides() {
    for one in ALL {
        for other in ALL {
            let verdict = two(Level::Strict, one, other).verdict();
            assert_eq!(verdict, strict(one, other), "{one:?}, {other:?}");
        }
    }
}

#[test]
fn under_signature_the_first_source_that_has_it_decides() {
    for one in ALL {
        for other in ALL {
            let alone = |says| match says {
                Says::Same | Says::Different | Says::OldWriter => ARCHIVE,
                Says::SameUnsigned => UNSIGNED,
                Says::Ambiguous => AMBIGUOUS,
                Says::NotFound => NOT_FOUND,
                Says::Silent => SILENT,
                Says::Unasked => UNASKED,
            };
            // A silent source does not end the search, but after it only trust is taken.
            let expected = match (one, alone(other)) {
                (Says::NotFound, alone) => alone,
                (Says::Silent | Says::Unasked, ARCHIVE) => ARCHIVE,
                (Says::Unasked, SILENT) => SILENT,
                (one, _) => alone(one),
            };
            let verdict = two(Level::Signature, one, other).verdict();
            assert_eq!(verdict, expected, "{one:?}, {other:?}");
        }
    }
}

/// Two archives of the same content, the first with this provenance, the second without any.
fn beside_unsigned(provenance: ProvenanceFacts) -> World {
    let mut world = two(Level::Strict, Says::Same, Says::SameUnsigned);
    world.facts().provenance = provenance;
    world
}

fn in_both_orders(world: &mut World) -> Verdict {
    let verdict = world.verdict();
    world.rule().sources.reverse();
    assert_eq!(world.verdict(), verdict, "the order of sources decides");
    verdict
}

#[test]
fn a_source_without_provenance_hides_no_revocation() {
    let mut world = two(Level::Strict, Says::Same, Says::SameUnsigned);
    assert_eq!(in_both_orders(&mut world), TRUSTED);
    world.revoke("alice", RevocationReason::Compromised);
    let bad = Verdict::Untrusted(Reason::KeyCompromised);
    assert_eq!(in_both_orders(&mut world), bad);
}

#[test]
fn a_source_whose_provenance_is_out_of_reach_hides_no_revocation() {
    let mut world = two(Level::Strict, Says::Same, Says::SameUnsigned);
    facts_of(&mut world.evidence, MIRROR).provenance = ProvenanceFacts::Unavailable {
        cause: Cause::SourceUnavailable,
        message: "no answer".into(),
    };
    world.revoke("alice", RevocationReason::Unspecified);
    let bad = Verdict::Untrusted(Reason::KeyRevoked);
    assert_eq!(in_both_orders(&mut world), bad);
}

#[test]
fn trust_through_one_source_beats_badness_through_another() {
    let mut world = World::signed_by(&[person(1), person(2)]);
    world.rule().sources.push(source(MIRROR));
    world.signers(&["alice", "bob"], 1);
    let signature = crate::world::signature(&person(2));
    world.facts().provenance = provenance(&text(), &[signature]);
    let by_alice = provenance(&text(), &[crate::world::signature(&person(1))]);
    world.answer(MIRROR, archive(by_alice));
    world.revoke("alice", RevocationReason::Compromised);
    assert_eq!(in_both_orders(&mut world), TRUSTED);
    let told = |word: &str| {
        let findings = world.judge().findings;
        findings
            .iter()
            .any(|finding| finding.message.contains(word))
    };
    assert!(told("KeyCompromised"), "the other source's finding is told");
}

#[test]
fn of_several_failures_the_worst_is_the_headline_in_any_order() {
    let broken = signature_by(person(1).signer(), &text(), Sig::broken);
    let weak = signature_by(person(1).signer(), &text(), |sig| sig.hash(2));
    for (provenance, reason) in [
        (provenance(&text(), &[broken]), Reason::SignatureInvalid),
        (provenance(&text(), &[weak]), Reason::WeakSignature),
        (read(b"no provenance"), Reason::ProvenanceMalformed),
    ] {
        let verdict = in_both_orders(&mut beside_unsigned(provenance));
        assert_eq!(verdict, Verdict::Untrusted(reason));
    }
}

#[test]
fn an_exception_forgives_alike_in_any_order_of_sources() {
    let mut world = two(Level::Strict, Says::SameUnsigned, Says::SameUnsigned);
    let facts = facts_of(&mut world.evidence, MIRROR);
    facts.has_subcharts = true;
    // From a folder beside the chart.
    facts.subcharts.push(SubchartFacts {
        id: SubchartId {
            repository: String::new(),
            name: "db".into(),
            version: "1.0.0".into(),
        },
        content: other_digest(),
    });
    world.verify().dependencies = Dependencies::Verify;
    world.except(&[Reason::Unsigned]);
    assert_eq!(in_both_orders(&mut world), UNSIGNED);
}

#[test]
fn provenance_out_of_reach_at_one_source_leaves_the_answer_open() {
    let provenance = ProvenanceFacts::Unavailable {
        cause: Cause::LimitExceeded,
        message: "too large".into(),
    };
    let verdict = in_both_orders(&mut beside_unsigned(provenance));
    assert_eq!(verdict, Verdict::Unknown(Cause::LimitExceeded));
}

#[test]
fn without_a_record_badness_of_one_archive_is_none_of_another() {
    let mut world = two(Level::Strict, Says::Same, Says::Same);
    world.facts().binding = Bound::NoRecord;
    let other = facts_of(&mut world.evidence, MIRROR);
    other.binding = Bound::NoRecord;
    other.digest = Sha256Digest::of(b"another build");
    let text = crate::world::text_about(other.digest);
    let by_bob = signature_by(person(2).signer(), &text, |sig| sig);
    other.provenance = provenance(&text, &[by_bob]);
    world.keys.push(crate::world::key(&person(2)));
    world.signers(&["alice", "bob"], 1);
    assert_eq!(in_both_orders(&mut world), NOT_BINDABLE);
    world.revoke("bob", RevocationReason::Compromised);
    assert_eq!(in_both_orders(&mut world), NOT_BINDABLE);
    world.revoke("alice", RevocationReason::Compromised);
    let bad = Verdict::Untrusted(Reason::KeyCompromised);
    assert_eq!(in_both_orders(&mut world), bad);
}

#[test]
fn an_ambiguous_archive_may_be_the_origin_so_nothing_was_tampered_with() {
    let world = two(Level::Strict, Says::Different, Says::Ambiguous);
    let findings = world.judge().findings;
    let words: Vec<_> = findings
        .iter()
        .map(|found| found.fact.to_string())
        .collect();
    assert_eq!(words, ["ArchiveAmbiguous", "OtherSource"]);
}

#[test]
fn a_pinned_archive_of_other_content_is_not_this_release() {
    let mut world = two(Level::Strict, Says::Different, Says::NotFound);
    world.pin();
    assert_eq!(world.verdict(), DIFFERENT);
}

#[test]
fn an_archive_of_other_content_proves_nothing_bad() {
    let mut world = two(Level::Strict, Says::Different, Says::NotFound);
    world.revoke("alice", RevocationReason::Compromised);
    assert_eq!(world.verdict(), DIFFERENT);
}

#[test]
fn an_answer_of_a_source_that_the_rule_does_not_name_counts_for_nothing() {
    let mut world = two(Level::Strict, Says::NotFound, Says::Same);
    world.rule().sources.pop();
    assert_eq!(world.verdict(), NOT_FOUND);
}

#[test]
fn the_index_only_warns() {
    let mut world = World::good();
    world.facts().index_disagrees = true;
    let judgement = world.judge();
    assert_eq!(judgement.verdict, TRUSTED);
    assert_eq!(judgement.findings[0].fact.to_string(), "Republished");
}

#[test]
fn without_a_record_tampering_with_one_archive_is_none_of_another() {
    let mut world = two(Level::Strict, Says::Same, Says::SameUnsigned);
    world.facts().digest = Sha256Digest::of(b"other");
    let tampered = Verdict::Untrusted(Reason::DigestMismatch);
    assert_eq!(in_both_orders(&mut world), tampered);
    for url in [SOURCE, MIRROR] {
        facts_of(&mut world.evidence, url).binding = Bound::NoRecord;
    }
    assert_eq!(in_both_orders(&mut world), UNSIGNED);
}

#[test]
fn the_source_whose_archive_was_judged_is_named() {
    let origin = |world: &World| world.judge().policies[0].origin.clone();
    let world = two(Level::Strict, Says::Different, Says::Same);
    assert_eq!(origin(&world).as_deref(), Some(MIRROR));
    let world = two(Level::Signature, Says::Different, Says::Same);
    assert_eq!(origin(&world).as_deref(), Some(SOURCE));
    let world = two(Level::Strict, Says::Different, Says::NotFound);
    assert_eq!(origin(&world), None);
}

#[test]
fn what_was_found_is_told_with_its_differences() {
    let told = |world: &World, word: &str, message: &str| {
        let findings = world.judge().findings;
        let is_it =
            |found: &Finding| found.fact.to_string() == word && found.message.contains(message);
        assert!(findings.iter().any(is_it), "{word} {message}: {findings:?}");
    };
    let mut world = two(Level::Strict, Says::Different, Says::Silent);
    told(&world, "SourceUnavailable", "no answer");
    world.answer(MIRROR, Answer::NotFound);
    told(&world, "ContentMismatch", "a template");
    let mut world = World::good();
    world.facts().binding = Bound::Same(vec!["other values".into()]);
    told(&world, "ValuesDiffer", "other values");
}

#[test]
fn a_rule_without_sources_finds_nothing_out_at_any_level() {
    for level in [Level::Signature, Level::Strict] {
        let mut world = World::good();
        world.level(level);
        world.rule().sources.clear();
        let unknown = Verdict::Unknown(Cause::SourceUnknown);
        assert_eq!(world.verdict(), unknown, "{level:?}");
    }
}

#[test]
fn of_another_source_only_what_is_wrong_is_told() {
    let mut world = two(Level::Strict, Says::Same, Says::SameUnsigned);
    facts_of(&mut world.evidence, MIRROR).index_disagrees = true;
    let findings = world.judge().findings;
    let messages: Vec<_> = findings.iter().map(|found| &found.message).collect();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].contains("Unsigned"), "{messages:?}");
}
