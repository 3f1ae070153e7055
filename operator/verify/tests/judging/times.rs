//! Key state × signature time × reference time, under both readings of expiry: one line a cell.

use charttrust_verify::evidence::{ArchiveFacts, Bound, ProvenanceFacts};
use charttrust_verify::key::{Grandfather, Key, RevocationReason};
use charttrust_verify::policy::ExpiredKeys;
use charttrust_verify::verdict::{Basis, Reason, Verdict};

use crate::forge::{CERTIFY_AND_SIGN, DAY, SIGN, Shape, Sig, USER_ID, day, hashed_text, time};
use crate::world::{World, key_named, person, provenance, text};

const OK: Verdict = Verdict::Trusted(Basis::SignatureVerified);
const OLD: Verdict = Verdict::Trusted(Basis::Grandfathered);
const EXPIRED: Verdict = Verdict::Untrusted(Reason::KeyExpired);
const RETIRED: Verdict = Verdict::Untrusted(Reason::KeyRetired);
const REVOKED: Verdict = Verdict::Untrusted(Reason::KeyRevoked);
const STOLEN: Verdict = Verdict::Untrusted(Reason::KeyCompromised);
const NOT_YET: Verdict = Verdict::Untrusted(Reason::SignerNotTrusted);

/// Signed and looked at on these days: under `AcceptIfSignedBefore`, and under `Reject`.
type Cell = (u32, u32, Verdict, Verdict);

fn world(key: Key, signed: u32) -> World {
    let signer = person(1).signer().clone();
    let signature = Sig::new(0x01, &signer, day(signed)).sign(&signer, &[&hashed_text(&text())]);
    World::of(vec![key], provenance(&text(), &[signature]))
}

fn cells(state: &str, key: &Key, cells: &[Cell]) {
    for (signed, now, accept, reject) in cells {
        let mut world = world(key.clone(), *signed).on(*now);
        let place = format!("{state}, signed on day {signed}, seen on day {now}");
        assert_eq!(world.verdict(), *accept, "{place}");
        world.verify().expired_keys = ExpiredKeys::Reject;
        assert_eq!(world.verdict(), *reject, "{place}, expired keys rejected");
    }
}

fn alice(shape: &Shape) -> Key {
    key_named("alice", shape)
}

/// Alice declares herself revoked since day 50.
fn declared(reason: RevocationReason) -> World {
    let mut world = world(alice(&person(1)), 10);
    world.revoke("alice", reason).since = Some(time(day(50)));
    world
}

/// A certificate that was revoked on day 50 for a reason.
fn certified(reason: Option<u8>) -> Key {
    let mut shape = person(1);
    let revocation = shape.key_revocation(day(50), |sig| match reason {
        Some(code) => sig.reason(code),
        None => sig,
    });
    shape.direct.push(revocation);
    alice(&shape)
}

#[test]
fn a_living_key_is_trusted_from_its_signature_on() {
    let key = alice(&person(1));
    let table = [
        (10, 10, OK, OK),
        (10, 20_000, OK, OK),
        (50, 10, NOT_YET, NOT_YET),
    ];
    cells("alive", &key, &table);
}

#[test]
fn expiry_counts_at_signing_or_also_now() {
    let mut primary = person(1);
    primary.user_ids.clear();
    primary.add_user_id(USER_ID, |sig| {
        sig.flags(CERTIFY_AND_SIGN).key_lifetime(50 * DAY)
    });
    let mut subkey = person(1);
    let (signer, _) = subkey.subkeys.remove(0);
    subkey.add_subkey(signer, |sig| sig.flags(SIGN).key_lifetime(50 * DAY));
    let mut ours = alice(&person(1));
    ours.not_after = Some(time(day(50)));
    let table = [
        (10, 49, OK, OK),
        (10, 50, OK, EXPIRED),
        (10, 500, OK, EXPIRED),
        (49, 500, OK, EXPIRED),
        (50, 50, EXPIRED, EXPIRED),
        (50, 500, EXPIRED, EXPIRED),
        (60, 500, EXPIRED, EXPIRED),
    ];
    cells("primary key expires on day 50", &alice(&primary), &table);
    cells("subkey expires on day 50", &alice(&subkey), &table);
    cells("notAfter day 50", &ours, &table);
}

#[test]
fn soft_revocations_count_for_signatures_since_then() {
    let table = [
        (10, 49, OK, OK),
        (10, 500, OK, OK),
        (49, 500, OK, OK),
        (50, 50, RETIRED, RETIRED),
        (60, 500, RETIRED, RETIRED),
    ];
    for reason in [RevocationReason::Retired, RevocationReason::Superseded] {
        cells("ours", &declared(reason).keys[0], &table);
    }
    cells("superseded", &certified(Some(1)), &table);
    cells("retired", &certified(Some(3)), &table);
}

#[test]
fn soft_revocations_without_a_date_count_for_all() {
    let mut world = declared(RevocationReason::Retired);
    world.alice().revocations[0].since = None;
    cells(
        "ours, undated",
        &world.keys[0],
        &[(10, 49, RETIRED, RETIRED), (60, 500, RETIRED, RETIRED)],
    );
}

#[test]
fn hard_revocations_count_whatever_the_dates() {
    for (state, key, verdict) in [
        (
            "ours",
            declared(RevocationReason::Compromised).keys[0].clone(),
            STOLEN,
        ),
        (
            "ours",
            declared(RevocationReason::Unspecified).keys[0].clone(),
            REVOKED,
        ),
        ("compromised", certified(Some(2)), STOLEN),
        ("no reason", certified(None), REVOKED),
        ("reason 0", certified(Some(0)), REVOKED),
        ("reason 100", certified(Some(100)), REVOKED),
    ] {
        let table = [
            (10, 10),
            (10, 49),
            (10, 500),
            (49, 500),
            (50, 50),
            (60, 500),
        ]
        .map(|(signed, now)| (signed, now, verdict, verdict));
        cells(state, &key, &table);
    }
}

#[test]
fn a_revoked_subkey_counts_like_a_revoked_key() {
    for (reason, before, after) in [(2, STOLEN, STOLEN), (0, REVOKED, REVOKED), (3, OK, RETIRED)] {
        let mut shape = person(1);
        let signer = shape.signer().clone();
        let revocation = shape.subkey_revocation(&signer, day(50), |sig| sig.reason(reason));
        shape.subkeys[0].1.push(revocation);
        let table = [(10, 500, before, before), (60, 500, after, after)];
        cells("subkey", &alice(&shape), &table);
    }
}

#[test]
fn a_hard_revocation_is_worse_than_any_expiry_or_scope() {
    let mut key = declared(RevocationReason::Compromised).keys[0].clone();
    key.not_after = Some(time(day(5)));
    key.scope.sources = vec!["https://other.example.com".into()];
    cells("everything", &key, &[(10, 500, STOLEN, STOLEN)]);
}

/// Alice's key ends on day 50; Bob's was stolen. Both signed, one is enough.
fn beside_a_thief() -> World {
    let mut world = World::signed_by(&[person(1), person(2)]);
    world.signers(&["alice", "bob"], 1);
    world.verify().expired_keys = ExpiredKeys::Reject;
    world.alice().not_after = Some(time(day(50)));
    world.revoke("bob", RevocationReason::Compromised);
    world
}

#[test]
fn time_alone_brings_no_badness() {
    let world = beside_a_thief();
    assert_eq!(world.clone().on(49).verdict(), OK);
    assert_eq!(world.clone().on(50).verdict(), EXPIRED);
    let told = world.judge().findings;
    assert!(
        told.iter()
            .any(|finding| finding.message.contains("KeyCompromised"))
    );
    let mut without_alice = world;
    without_alice.signers(&["bob"], 1);
    assert_eq!(without_alice.verdict(), STOLEN);
}

#[test]
fn time_alone_brings_no_badness_from_another_source() {
    let mut world = beside_a_thief();
    world
        .rule()
        .sources
        .push(crate::world::source(crate::world::MIRROR));
    for (source, number) in [(crate::world::SOURCE, 1), (crate::world::MIRROR, 2)] {
        let signature = crate::world::signature(&person(number));
        world.answer(
            source,
            crate::world::archive(provenance(&text(), &[signature])),
        );
    }
    assert_eq!(world.clone().on(49).verdict(), OK);
    assert_eq!(world.clone().on(50).verdict(), EXPIRED);
    // What never was trusted hides no badness.
    crate::world::facts_of(&mut world.evidence, crate::world::SOURCE).name = "other".into();
    assert_eq!(world.clone().on(49).verdict(), STOLEN);
    assert_eq!(world.on(50).verdict(), STOLEN);
}

#[test]
fn who_shares_a_subkey_with_an_expired_key_brings_no_badness() {
    let mut world = World::good();
    world.keys.push(crate::world::key(&crate::signers::adopter(
        4,
        1,
        crate::signers::Adoption::Agreed,
    )));
    world.signers(&["alice", "dave"], 2);
    world.verify().expired_keys = ExpiredKeys::Reject;
    world.alice().not_after = Some(time(day(50)));
    world.revoke("dave", RevocationReason::Compromised);
    assert_eq!(world.clone().on(49).verdict(), NOT_YET);
    assert_eq!(world.on(50).verdict(), EXPIRED);
}

#[test]
fn a_signature_that_ends_brings_no_badness() {
    let signer = person(1).signer().clone();
    let short = crate::world::signature_by(&signer, &text(), |sig| sig.lifetime(40 * DAY));
    let mut world = beside_a_thief();
    world.alice().not_after = None;
    world.facts().provenance = provenance(&text(), &[short, crate::world::signature(&person(2))]);
    assert_eq!(world.clone().on(49).verdict(), OK);
    assert_eq!(world.on(50).verdict(), NOT_YET);
}

#[test]
fn what_never_was_trusted_hides_no_badness() {
    let about_other = crate::world::text_about(crate::world::other_digest());
    let by_alice = |text: &str| crate::world::signature_by(person(1).signer(), text, |sig| sig);
    for change in [
        (|facts, other| facts.provenance = other) as fn(&mut ArchiveFacts, ProvenanceFacts),
        |facts, _| facts.name = "other".into(),
        |facts, _| facts.binding = Bound::NoRecord,
    ] {
        let mut world = beside_a_thief();
        world
            .rule()
            .sources
            .push(crate::world::source(crate::world::MIRROR));
        let by_bob = crate::world::signature(&person(2));
        world.answer(
            crate::world::MIRROR,
            crate::world::archive(provenance(&text(), &[by_bob])),
        );
        world.facts().provenance = provenance(&text(), &[by_alice(&text())]);
        assert_eq!(world.clone().on(50).verdict(), EXPIRED);
        change(
            world.facts(),
            provenance(&about_other, &[by_alice(&about_other)]),
        );
        assert_eq!(world.clone().on(49).verdict(), STOLEN);
        assert_eq!(world.on(50).verdict(), STOLEN);
    }
}

#[test]
fn a_signature_from_a_fast_clock_is_not_older_than_it_says() {
    let mut key = alice(&person(1));
    key.not_after = Some(time(day(50)));
    let mut world = world(key, 50);
    world.now = time(day(50) - 60);
    assert_eq!(world.verdict(), EXPIRED);
    world.verify().expired_keys = ExpiredKeys::Reject;
    assert_eq!(world.verdict(), EXPIRED);
}

/// When the archive was first verified, and what that is worth.
fn witnessed(reason: RevocationReason, first_verified: Option<u32>, since: Option<u32>) -> Verdict {
    let mut world = declared(reason);
    world.alice().revocations[0].since = since.map(|since| time(day(since)));
    world.alice().revocations[0].grandfather = Grandfather::Witnessed;
    world.try_keys();
    world.facts().first_verified = first_verified.map(|first| time(day(first)));
    world.verdict()
}

#[test]
fn only_what_we_verified_before_the_revocation_is_grandfathered() {
    for (reason, bad) in [
        (RevocationReason::Compromised, STOLEN),
        (RevocationReason::Unspecified, REVOKED),
    ] {
        for (first_verified, since, verdict) in [
            (Some(49), Some(50), OLD),
            (Some(50), Some(50), bad),
            (Some(51), Some(50), bad),
            // Learned today, on day 100.
            (None, Some(50), bad),
            (None, Some(101), OLD),
            (Some(49), None, bad),
        ] {
            let found = witnessed(reason, first_verified, since);
            assert_eq!(found, verdict, "{first_verified:?} before {since:?}");
        }
    }
}

#[test]
fn grandfathering_needs_to_be_declared() {
    let mut world = declared(RevocationReason::Compromised);
    world.facts().first_verified = Some(time(day(20)));
    assert_eq!(world.verdict(), STOLEN);
}

#[test]
fn a_certificate_is_never_grandfathered() {
    let mut world = world(certified(Some(2)), 10);
    world.facts().first_verified = Some(time(day(20)));
    let revocation = world.revoke("alice", RevocationReason::Unspecified);
    revocation.since = Some(time(day(50)));
    revocation.grandfather = Grandfather::Witnessed;
    assert_eq!(world.verdict(), STOLEN);
}

#[test]
fn what_a_key_that_is_grandfathered_and_expired_signed_is_not_trusted() {
    let mut world = declared(RevocationReason::Compromised);
    world.facts().first_verified = Some(time(day(20)));
    world.alice().revocations[0].grandfather = Grandfather::Witnessed;
    world.alice().not_after = Some(time(day(5)));
    assert_eq!(world.verdict(), EXPIRED);
}

#[test]
fn an_archive_is_witnessed_in_the_second_after_it_was_verified() {
    let mut world = World::good();
    world.now = "2026-01-01T00:00:00.000000001Z".parse().unwrap();
    world.try_keys();
    let first = world.facts().first_verified.unwrap();
    assert_eq!(first.to_string(), "2026-01-01T00:00:01Z");
    world.now = time(day(5000));
    world.try_keys();
    assert_eq!(
        world.facts().first_verified,
        Some(first),
        "the first time stays"
    );
}

#[test]
fn nothing_is_witnessed_without_a_good_signature_of_this_archive() {
    let text = crate::world::text_about(crate::world::other_digest());
    let signature = crate::world::signature_by(person(1).signer(), &text, |sig| sig);
    let broken = crate::world::signature_by(person(1).signer(), &crate::world::text(), Sig::broken);
    for provenance in [
        provenance(&text, &[signature]),
        provenance(&crate::world::text(), &[broken]),
        provenance(
            &crate::world::text(),
            &[crate::world::signature(&person(2))],
        ),
        ProvenanceFacts::Missing,
    ] {
        let mut world = World::good();
        world.facts().provenance = provenance;
        world.try_keys();
        assert_eq!(world.facts().first_verified, None);
    }
}
