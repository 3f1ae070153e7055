//! What holds of any keys, policies, evidence and times.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use charttrust_verify::evidence::{Answer, Bound, ProvenanceFacts};
use charttrust_verify::key::{Grandfather, Key, RevocationReason};
use charttrust_verify::policy::{ExpiredKeys, Level, Pin, Policy};
use charttrust_verify::verdict::{Cause, Class, Reason, Verdict};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::forge::{Sig, day, time};
use crate::signers::{Adoption, adopter};
use crate::world::{
    self, MIRROR, SOURCE, World, archive, key, key_named, person, provenance, signature_by, source,
    text,
};

const NAMES: [&str; 6] = ["alice", "bob", "carol", "dave", "eve", "alice-too"];

/// Four people, one who adopted Alice's subkey, and a second object of Alice.
static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let mut keys: Vec<_> = [1, 2, 3].map(|number| key(&person(number))).into();
    keys.push(key_named("dave", &adopter(4, 2, Adoption::Agreed)));
    keys.push(key_named("eve", &adopter(5, 1, Adoption::WithoutConsent)));
    keys.push(key_named("alice-too", &person(1)));
    keys
});

/// Good and bad signatures over the usual text.
static SIGNATURES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let sign =
        |number, change: fn(Sig) -> Sig| signature_by(person(number).signer(), &text(), change);
    let mut all: Vec<_> = [1, 2, 3, 4].map(|number| sign(number, |sig| sig)).into();
    all.push(sign(1, Sig::broken));
    all.push(sign(2, |sig| sig.hash(2)));
    all.push(signature_by(&person(3).primary, &text(), |sig| sig));
    all
});

fn keys() -> impl Strategy<Value = Vec<Key>> {
    let one = |key: Key| {
        (Just(key), 0..20_u8, 0..12_u8).prop_map(|(key, life, scope)| lived(key, life, scope))
    };
    let each: Vec<_> = KEYS.iter().cloned().map(one).collect();
    let shuffled = each.prop_shuffle();
    let count = prop_oneof![1 => 0..=KEYS.len(), 2 => Just(KEYS.len())];
    (shuffled, count).prop_map(|(mut keys, count)| {
        keys.truncate(count);
        share(&mut keys);
        keys
    })
}

/// A key with something in its life: expiry, revocation.
fn lived(mut key: Key, life: u8, scope: u8) -> Key {
    let mut world = World::good();
    world.keys = vec![key.clone()];
    let name = key.name.clone();
    match life {
        0 => world.revoke(&name, RevocationReason::Compromised).since = Some(time(day(50))),
        1 => _ = world.revoke(&name, RevocationReason::Unspecified),
        2 => world.revoke(&name, RevocationReason::Retired).since = Some(time(day(5))),
        3 => world.revoke(&name, RevocationReason::Superseded).since = Some(time(day(50))),
        4 => {
            let revocation = world.revoke(&name, RevocationReason::Compromised);
            revocation.grandfather = Grandfather::Witnessed;
            revocation.since = Some(time(day(110)));
        }
        5 => world.keys[0].not_after = Some(time(day(105))),
        _ => {}
    }
    key = world.keys.remove(0);
    if scope == 0 {
        key.scope.sources = vec![MIRROR.into()];
    }
    key
}

/// Every revocation counts for all objects of one fingerprint, as whoever loads keys sees to.
fn share(keys: &mut [Key]) {
    let all = keys.to_vec();
    for key in keys {
        let same = all
            .iter()
            .filter(|other| other.fingerprint() == key.fingerprint());
        key.revocations = same.flat_map(|other| other.revocations.clone()).collect();
    }
}

fn provenances() -> impl Strategy<Value = ProvenanceFacts> {
    let signed = subsequence(SIGNATURES.clone(), 1..=6).prop_shuffle();
    prop_oneof![
        8 => signed.prop_map(|signatures| provenance(&text(), &signatures)),
        1 => Just(ProvenanceFacts::Missing),
        1 => Just(world::read(b"junk")),
        1 => Just(ProvenanceFacts::Unavailable {
            cause: Cause::SourceUnavailable,
            message: "no answer".into(),
        }),
    ]
}

fn is_known(provenance: &ProvenanceFacts) -> bool {
    !matches!(provenance, ProvenanceFacts::Unavailable { .. })
}

fn answers() -> impl Strategy<Value = Option<Answer>> {
    let binding = prop_oneof![
        8 => Just(Bound::Same(Vec::new())),
        1 => Just(Bound::Different(vec!["it".into()])),
        1 => Just(Bound::OldWriter(vec!["it".into()])),
        1 => Just(Bound::NoRecord),
    ];
    let archives = (provenances(), binding).prop_map(|(provenance, binding)| {
        let mut answer = archive(provenance);
        if let Answer::Archive(facts) = &mut answer {
            facts.binding = binding;
        }
        Some(answer)
    });
    prop_oneof![
        12 => archives,
        1 => Just(None),
        1 => Just(Some(Answer::NotFound)),
        1 => Just(Some(Answer::Ambiguous { message: "two".into() })),
        1 => Just(Some(Answer::Unavailable {
            cause: Cause::LimitExceeded,
            message: "too large".into(),
        })),
    ]
}

fn policies() -> impl Strategy<Value = Policy> {
    let level = select(vec![
        Level::Strict,
        Level::Strict,
        Level::Signature,
        Level::None,
    ]);
    let listed = subsequence(NAMES.to_vec(), 0..=NAMES.len());
    let threshold = prop_oneof![3 => Just(1), 1 => 2..=3_u32];
    let sources = prop_oneof![
        1 => subsequence(vec![SOURCE, MIRROR], 0..=1),
        4 => Just(vec![SOURCE, MIRROR]),
    ];
    let switches = (any::<bool>(), 0..3_u8, 0..8_u8);
    let exempt = prop_oneof![
        3 => Just(Vec::new()),
        1 => subsequence(Reason::ALL.to_vec(), 0..=Reason::ALL.len()),
    ];
    (level, listed, threshold, sources, switches, exempt).prop_map(
        |(level, listed, threshold, sources, (reject, pin, old), exempt)| {
            let mut world = World::good();
            world.level(level);
            world.signers(&listed, threshold);
            if pin == 0 {
                world.pin();
            }
            if !exempt.is_empty() {
                world.except(&exempt);
            }
            let rule = world.rule();
            rule.sources = sources.into_iter().map(source).collect();
            if reject {
                rule.verify.expired_keys = ExpiredKeys::Reject;
            }
            if old == 0 {
                rule.versions = Some(">=2".parse().unwrap());
            }
            world.policies.remove(0)
        },
    )
}

fn worlds() -> impl Strategy<Value = World> {
    let policies = prop::collection::vec(policies(), 1..=2);
    (keys(), policies, answers(), answers(), 9..130_u32).prop_map(
        |(keys, policies, first, second, now)| {
            let mut world = World::good();
            world.evidence.answers.clear();
            for (source, answer) in [(SOURCE, first), (MIRROR, second)] {
                if let Some(answer) = answer {
                    world.answer(source, answer);
                }
            }
            World {
                keys,
                policies,
                ..world
            }
            .on(now)
        },
    )
}

#[test]
fn the_worlds_below_have_verdicts_of_every_class() {
    let mut runner = TestRunner::deterministic();
    let mut counts = BTreeMap::new();
    for _ in 0..400 {
        let world = worlds().new_tree(&mut runner).unwrap().current();
        *counts.entry(world.verdict().class()).or_insert(0) += 1;
    }
    assert!(
        counts.len() == 7 && counts.values().all(|count| *count >= 5),
        "{counts:?}"
    );
}

/// Whether a further policy may say more than there was to say.
fn is_open(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Unknown(Cause::NoPolicy | Cause::Unmanaged)
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(192) })]

    #[test]
    fn one_more_key_takes_trust_only_by_revocations(world in worlds(), key in select(KEYS.clone())) {
        let mut fewer = world;
        // Beside a pin, a key shows that a signature is broken which was a stranger's before.
        for policy in &mut fewer.policies {
            world::rule(policy).pins.clear();
        }
        fewer.keys.retain(|known| known.name != key.name);
        let mut more = fewer.clone();
        more.keys.insert(0, key);
        share(&mut more.keys);
        let (before, after) = (fewer.verdict(), more.verdict());
        // Another object of the same fingerprint may have a revocation for it.
        if more.keys[0].revocations.is_empty() {
            prop_assert!(!before.is_trusted() || after.is_trusted(), "{before}, then {after}");
            let is_bad = |verdict: Verdict| verdict.class() == Class::Badness;
            prop_assert!(is_bad(before) || !is_bad(after), "{before}, then {after}");
        }
    }

    #[test]
    fn one_key_less_gives_no_trust(world in worlds(), which in any::<Index>()) {
        prop_assume!(!world.keys.is_empty());
        let mut world = world;
        // With its object goes what is known against a signature, and a pin stands in for a stranger's.
        for policy in &mut world.policies {
            world::rule(policy).pins.clear();
        }
        let mut fewer = world.clone();
        fewer.keys.remove(which.index(world.keys.len()));
        prop_assert!(world.verdict().is_trusted() || !fewer.verdict().is_trusted());
    }

    #[test]
    fn one_more_revocation_gives_no_trust(world in worlds(), which in any::<Index>(), life in 0..6_u8) {
        prop_assume!(!world.keys.is_empty());
        let mut revoked = world.clone();
        let key = &mut revoked.keys[which.index(world.keys.len())];
        *key = lived(key.clone(), life, 1);
        share(&mut revoked.keys);
        prop_assert!(world.verdict().is_trusted() || !revoked.verdict().is_trusted());
    }

    /// Whatever the archive is worth without it.
    #[test]
    fn a_pin_turns_no_bad_word_into_trust(world in worlds(), now in 9..130_u32) {
        let mut without = world.on(now);
        for policy in &mut without.policies {
            world::rule(policy).pins.clear();
        }
        let mut with = without.clone();
        let digest = World::good().facts().digest;
        for policy in &mut with.policies {
            world::rule(policy).pins.push(Pin { chart: "web".into(), version: "1.2.3".into(), digest });
        }
        let (before, after) = (without.judge(), with.judge());
        for (before, after) in before.policies.iter().zip(&after.policies) {
            let (before, after) = (before.verdict, after.verdict);
            let is_bad = matches!(before.class(), Class::Badness | Class::Tampering);
            prop_assert!(!is_bad || after == before, "{before}, with a pin {after}");
            prop_assert!(!before.is_trusted() || after.is_trusted(), "{before}, with a pin {after}");
        }
    }

    #[test]
    fn one_more_policy_never_loosens(world in worlds(), policy in policies()) {
        let before = world.verdict();
        let mut more = world.clone();
        more.policies.push(policy);
        let after = more.verdict();
        prop_assert!(is_open(before) || before.class() <= after.class(), "{before}, then {after}");
    }

    #[test]
    fn order_decides_nothing(world in worlds()) {
        let before = world.judge();
        let mut other = world.clone();
        other.keys.reverse();
        for policy in &mut other.policies {
            let rule = world::rule(policy);
            if rule.verify.level == Level::Strict {
                rule.sources.reverse();
            }
        }
        let same_order = other.judge();
        prop_assert_eq!(before.verdict, same_order.verdict);
        let verdicts = |judgement: &charttrust_verify::check::Judgement| -> Vec<_> {
            judgement.policies.iter().map(|policy| policy.verdict).collect()
        };
        prop_assert_eq!(verdicts(&before), verdicts(&same_order));
        other.policies.reverse();
        prop_assert_eq!(before.verdict, other.verdict());
    }

    #[test]
    fn the_order_of_signatures_decides_nothing(
        keys in keys(),
        policy in policies(),
        signatures in subsequence(SIGNATURES.clone(), 1..=5),
        now in 9..130_u32,
    ) {
        let verdict = |signatures: &[Vec<u8>]| {
            let mut world = World::of(keys.clone(), provenance(&text(), signatures)).on(now);
            world.policies = vec![policy.clone()];
            world.verdict()
        };
        let mut other = signatures.clone();
        other.reverse();
        prop_assert_eq!(verdict(&signatures), verdict(&other));
    }

    #[test]
    fn time_alone_makes_nothing_bad(world in worlds(), later in 0..2000_u32) {
        let mut world = world;
        world.try_keys();
        let before = world.verdict().class() == Class::Badness;
        let second = world.now.as_second() + i64::from(later) * 86_400;
        world.now = jiff::Timestamp::from_second(second).unwrap();
        let after = world.verdict().class() == Class::Badness;
        // An exception that ends lets badness show that was there.
        let exempted = world.policies.iter().any(|policy| !policy.exceptions.is_empty());
        prop_assert!(before || !after || exempted);
    }

    #[test]
    fn a_verdict_is_a_function_of_its_inputs(world in worlds()) {
        prop_assert_eq!(world.judge(), world.judge());
    }

    #[test]
    fn a_later_look_gives_trust_or_changes_nothing_and_makes_nothing_worse(
        world in worlds(),
        known in provenances().prop_filter("it is known", is_known),
        answer in answers().prop_map(|answer| answer.unwrap_or(Answer::NotFound)),
    ) {
        let mut world = world;
        world.answer(SOURCE, archive(known));
        world.try_keys();
        // Whoever judges notes on what trust rests.
        let judgement = world.judge();
        world.evidence.settle(&judgement);
        let verdicts = |world: &World| -> Vec<_> {
            world.judge().policies.iter().map(|policy| policy.verdict).collect()
        };
        let before = verdicts(&world);
        let asked = world.clone();
        world.evidence.apply(SOURCE, answer, &asked.judged_by());
        let after = verdicts(&world);
        let mut policies = before.iter().zip(&after);
        let gives_trust = policies.any(|(before, after)| after.is_trusted() && !before.is_trusted());
        for (before, after) in before.into_iter().zip(after) {
            let is_no_worse = gives_trust && after.class() <= before.class();
            let is_right = before == after || after.is_trusted() || is_no_worse;
            prop_assert!(is_right, "{before}, then {after}");
            prop_assert!(after.is_trusted() || !before.is_trusted(), "{before}, then {after}");
        }
    }
}
