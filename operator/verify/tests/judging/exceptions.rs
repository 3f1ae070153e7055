//! Exceptions forgive only their own policy, only by name, only everything at once.

use charttrust_verify::evidence::{Answer, Bound, ProvenanceFacts};
use charttrust_verify::key::RevocationReason;
use charttrust_verify::policy::{Demands, Level, ReleasePattern};
use charttrust_verify::verdict::{Cause, Reason, Verdict};

use crate::forge::{day, time};
use crate::world::{TODAY, World, policy};

const EXEMPT: Verdict = Verdict::Unknown(Cause::Exempt);

fn unsigned() -> World {
    let mut world = World::good();
    world.facts().provenance = ProvenanceFacts::Missing;
    world
}

#[test]
fn a_named_failure_is_forgiven_and_stays_visible() {
    let mut world = unsigned();
    world.except(&[Reason::Unsigned, Reason::WeakSignature]);
    let judgement = world.judge();
    assert_eq!(judgement.verdict, EXEMPT);
    assert_eq!(judgement.policies[0].exempt_by.as_deref(), Some("legacy"));
    let words: Vec<_> = judgement
        .findings
        .iter()
        .map(|f| f.fact.to_string())
        .collect();
    assert_eq!(words, ["Unsigned"]);
}

#[test]
fn a_failure_that_is_not_named_is_not_forgiven() {
    for reasons in [&[][..], &[Reason::WeakSignature]] {
        let mut world = unsigned();
        world.except(reasons);
        assert_eq!(world.verdict(), Verdict::Untrusted(Reason::Unsigned));
    }
}

#[test]
fn one_unnamed_failure_among_named_ones_is_enough() {
    let mut world = unsigned();
    world.rule().versions = Some(">=2".parse().unwrap());
    world.except(&[Reason::Unsigned]);
    assert_eq!(world.verdict(), Verdict::Untrusted(Reason::Unsigned));
    world.policies[0].exceptions.clear();
    world.except(&[Reason::Unsigned, Reason::VersionNotAllowed]);
    assert_eq!(world.verdict(), EXEMPT);
}

#[test]
fn two_exceptions_never_add_up() {
    let mut world = unsigned();
    world.rule().versions = Some(">=2".parse().unwrap());
    world.except(&[Reason::Unsigned]);
    world.except(&[Reason::VersionNotAllowed]);
    assert_eq!(world.verdict(), Verdict::Untrusted(Reason::Unsigned));
}

#[test]
fn badness_is_forgiven_only_by_name() {
    for (revocation, reason) in [
        (RevocationReason::Compromised, Reason::KeyCompromised),
        (RevocationReason::Unspecified, Reason::KeyRevoked),
    ] {
        let mut world = World::good();
        world.revoke("alice", revocation);
        let others = Reason::ALL.iter().filter(|other| **other != reason);
        let others: Vec<_> = others.copied().collect();
        world.except(&others);
        assert_eq!(world.verdict(), Verdict::Untrusted(reason));
        world.except(&[reason]);
        assert_eq!(world.verdict(), EXEMPT);
    }
}

#[test]
fn an_exception_ends_at_its_instant() {
    for (ends, verdict) in [
        (TODAY - 1, Verdict::Untrusted(Reason::Unsigned)),
        (TODAY, Verdict::Untrusted(Reason::Unsigned)),
        (TODAY + 1, EXEMPT),
    ] {
        let mut world = unsigned();
        world.except(&[Reason::Unsigned]).expires_at = time(day(ends));
        assert_eq!(world.verdict(), verdict, "ends on day {ends}");
    }
}

#[test]
fn an_exception_is_for_its_releases() {
    for (patterns, forgives) in [
        (&[][..], false),
        (&["front"], true),
        (&["back", "fr*"], true),
        (&["shop/front"], true),
        (&["*/front"], true),
        (&["shop/back"], false),
        (&["prod/front"], false),
        (&["fron"], false),
    ] {
        let mut world = unsigned();
        let patterns = patterns.iter().map(|text| ReleasePattern::new(text));
        world.except(&[Reason::Unsigned]).releases = patterns.collect();
        assert_eq!(world.verdict() == EXEMPT, forgives);
    }
}

#[test]
fn an_exception_leaves_other_policies_alone() {
    let mut world = unsigned();
    world.except(&[Reason::Unsigned]);
    world.policies.push(policy("other", &["alice"]));
    let judgement = world.judge();
    assert_eq!(judgement.verdict, Verdict::Untrusted(Reason::Unsigned));
    assert_eq!(judgement.policies[0].verdict, EXEMPT);
}

#[test]
fn trust_needs_no_exception() {
    let mut world = World::good();
    world.except(Reason::ALL);
    assert!(world.verdict().is_trusted());
    assert_eq!(world.judge().policies[0].exempt_by, None);
}

#[test]
fn an_exception_forgives_no_doubt() {
    let mut world = World::good();
    world.rule().versions = Some(">=2".parse().unwrap());
    world.except(&[Reason::VersionNotAllowed]);
    assert_eq!(world.verdict(), EXEMPT);
    let (cause, message) = (Cause::SourceUnavailable, "no answer".into());
    world.answer(crate::world::SOURCE, Answer::Unavailable { cause, message });
    let judgement = world.judge();
    assert_eq!(
        judgement.verdict,
        Verdict::Unknown(Cause::SourceUnavailable)
    );
    assert_eq!(judgement.policies[0].exempt_by, None);
}

#[test]
fn an_exception_does_not_make_a_release_bindable() {
    let mut world = unsigned();
    world.facts().binding = Bound::NoRecord;
    world.except(&[Reason::Unsigned]);
    assert_eq!(world.verdict(), Verdict::Unknown(Cause::NotBindable));
}

#[test]
fn an_unusable_policy_trusts_nobody_whatever_its_exceptions() {
    let mut world = World::good();
    world.except(Reason::ALL);
    let problem = "spec.interval is no duration".into();
    world.policies[0].demands = Demands::TrustNobody { problem };
    let judgement = world.judge();
    assert_eq!(
        judgement.verdict,
        Verdict::Untrusted(Reason::SignerNotTrusted)
    );
    assert_eq!(judgement.policies[0].rule, None);
}

#[test]
fn level_none_still_requires_the_version() {
    let mut world = World::good();
    world.level(Level::None);
    world.rule().versions = Some(">=2".parse().unwrap());
    assert_eq!(
        world.verdict(),
        Verdict::Untrusted(Reason::VersionNotAllowed)
    );
    world.except(&[Reason::VersionNotAllowed]);
    assert_eq!(world.verdict(), EXEMPT);
    world.rule().versions = Some(">=1".parse().unwrap());
    assert_eq!(world.verdict(), Verdict::Unknown(Cause::Unmanaged));
}
