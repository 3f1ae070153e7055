//! Key state × signature time × reference time: one line a cell.

use charttrust_verify::openpgp::Code;

use crate::forge::{
    AUTHENTICATE, CERTIFY, CERTIFY_AND_SIGN, DAY, ENCRYPT, Key, SIGN, Shape, Sig, USER_ID, day, sub,
};

const OK: Code = Code::Valid;
const EXPIRED: Code = Code::Expired;
const SOFT: Code = Code::RevokedSoft;
const HARD: Code = Code::RevokedHard { compromised: false };
const COMPROMISED: Code = Code::RevokedHard { compromised: true };

/// One cell: made and looked at on these days, with these words at signing and now.
type Cell = (u32, u32, Code, Code);

fn subkey_cells(name: &str, shape: &Shape, cells: &[Cell]) {
    for (signed, now, at_signing, at_now) in cells {
        let words = shape.subkey_words(day(*signed), day(*now));
        assert_eq!(
            words,
            (*at_signing, *at_now),
            "{name}: signed day {signed}, looked at day {now}"
        );
    }
}

fn primary_cells(name: &str, shape: &Shape, cells: &[Cell]) {
    for (signed, now, at_signing, at_now) in cells {
        let words = shape.primary_words(day(*signed), day(*now));
        assert_eq!(
            words,
            (*at_signing, *at_now),
            "{name}: signed day {signed}, looked at day {now}"
        );
    }
}

/// The same cells for a signature by the primary key and one by the subkey.
fn both_cells(name: &str, shape: &Shape, cells: &[Cell]) {
    primary_cells(name, shape, cells);
    subkey_cells(name, shape, cells);
}

fn with_certification(change: impl FnOnce(Sig) -> Sig) -> Shape {
    let mut shape = Shape::good();
    shape.user_ids.clear();
    shape.add_user_id(USER_ID, |sig| change(sig.flags(CERTIFY_AND_SIGN)));
    shape
}

fn with_subkey(change: impl FnOnce(Sig) -> Sig) -> Shape {
    let mut shape = Shape::good();
    shape.subkeys.clear();
    shape.add_subkey(Key::ed25519(2), change);
    shape
}

fn with_key_revocation(day_of: u32, change: impl FnOnce(Sig) -> Sig) -> Shape {
    let mut shape = Shape::good();
    shape.direct.push(shape.key_revocation(day(day_of), change));
    shape
}

fn with_subkey_revocation(day_of: u32, change: impl FnOnce(Sig) -> Sig) -> Shape {
    let mut shape = Shape::good();
    let revocation = shape.subkey_revocation(&Key::ed25519(2), day(day_of), change);
    shape.subkeys[0].1.push(revocation);
    shape
}

#[test]
fn a_good_key_is_good_whenever_it_signed() {
    let cells = [
        (0, 0, OK, OK),
        (0, 900, OK, OK),
        (500, 500, OK, OK),
        (500, 900, OK, OK),
    ];
    both_cells("version 4", &Shape::good(), &cells);
    both_cells("version 6", &v6(), &cells);
    both_cells("rsa", &Shape::of(Key::rsa(), Key::ed25519(2)), &cells);
    both_cells(
        "rsa subkey",
        &Shape::of(Key::ed25519(1), Key::rsa()),
        &cells,
    );
}

#[test]
fn a_key_without_an_end_is_told_by_zero_as_well() {
    let cells = [(0, 20_000, OK, OK), (20_000, 20_000, OK, OK)];
    both_cells(
        "zero",
        &with_certification(|sig| sig.key_lifetime(0)),
        &cells,
    );
    both_cells(
        "longest",
        &with_certification(|sig| sig.key_lifetime(u32::MAX)),
        &cells,
    );
    subkey_cells(
        "zero",
        &with_subkey(|sig| sig.flags(SIGN).key_lifetime(0)),
        &cells,
    );
    subkey_cells(
        "longest",
        &with_subkey(|sig| sig.flags(SIGN).key_lifetime(u32::MAX)),
        &cells,
    );
}

#[test]
fn an_expired_primary_key_ends_its_subkeys_too() {
    let shape = with_certification(|sig| sig.key_lifetime(100 * DAY));
    both_cells(
        "expires on day 100",
        &shape,
        &[
            (10, 99, OK, OK),
            (10, 100, OK, EXPIRED),
            (10, 500, OK, EXPIRED),
            (99, 500, OK, EXPIRED),
            (100, 500, EXPIRED, EXPIRED),
            (400, 500, EXPIRED, EXPIRED),
        ],
    );
}

#[test]
fn an_expired_subkey_does_not_end_its_primary_key() {
    let shape = with_subkey(|sig| sig.flags(SIGN).key_lifetime(100 * DAY));
    let subkey = [
        (10, 99, OK, OK),
        (10, 100, OK, EXPIRED),
        (99, 500, OK, EXPIRED),
        (100, 500, EXPIRED, EXPIRED),
    ];
    subkey_cells("subkey expires on day 100", &shape, &subkey);
    primary_cells(
        "its primary key",
        &shape,
        &[(10, 500, OK, OK), (400, 500, OK, OK)],
    );
}

#[test]
fn the_end_counts_to_the_second() {
    let shape = with_certification(|sig| sig.key_lifetime(100 * DAY));
    let end = day(100);
    assert_eq!(shape.primary_words(end - 1, end - 1), (OK, OK));
    assert_eq!(shape.primary_words(end - 1, end), (OK, EXPIRED));
    assert_eq!(shape.primary_words(end, end), (EXPIRED, EXPIRED));
}

#[test]
fn the_life_of_a_subkey_counts_from_its_own_birth() {
    let mut shape = Shape::good();
    shape.subkeys.clear();
    let late = Key::ed25519(2).born(day(50));
    shape.add_subkey(late, |sig| sig.flags(SIGN).key_lifetime(100 * DAY));
    subkey_cells(
        "born on day 50",
        &shape,
        &[(60, 149, OK, OK), (60, 150, OK, EXPIRED)],
    );
}

#[test]
fn either_the_direct_signature_or_the_user_id_may_end_the_key() {
    let ends = |direct: Option<u32>, user_id: Option<u32>| {
        let life = |sig: Sig, days: Option<u32>| match days {
            Some(days) => sig.key_lifetime(days * DAY),
            None => sig,
        };
        let mut shape = with_certification(|sig| life(sig, user_id));
        let direct = life(Sig::new(0x1f, &shape.primary, day(0)), direct);
        shape.direct.push(shape.direct(&direct));
        shape
    };
    let ended = [
        (10, 99, OK, OK),
        (10, 100, OK, EXPIRED),
        (100, 100, EXPIRED, EXPIRED),
    ];
    both_cells("direct says so", &ends(Some(100), None), &ended);
    both_cells("user ID says so", &ends(None, Some(100)), &ended);
    both_cells("both, direct sooner", &ends(Some(100), Some(300)), &ended);
    both_cells("both, user ID sooner", &ends(Some(300), Some(100)), &ended);
    both_cells("neither", &ends(None, None), &[(10, 900, OK, OK)]);
}

#[test]
fn the_newest_statement_until_the_time_decides() {
    let mut shape = with_certification(|sig| sig.key_lifetime(100 * DAY));
    let longer = Sig::new(0x13, &shape.primary, day(90))
        .flags(CERTIFY_AND_SIGN)
        .key_lifetime(300 * DAY);
    let longer = shape.sign_user_id(&longer, USER_ID);
    shape.user_ids[0].1.push(longer.clone());
    both_cells(
        "made longer on day 90",
        &shape,
        &[
            (10, 299, OK, OK),
            (95, 299, OK, OK),
            (150, 299, OK, OK),
            (150, 300, OK, EXPIRED),
            (300, 300, EXPIRED, EXPIRED),
        ],
    );
    shape.user_ids[0].1.swap(0, 1);
    both_cells(
        "in another order",
        &shape,
        &[(150, 299, OK, OK), (150, 300, OK, EXPIRED)],
    );
    shape.user_ids[0].1 = vec![longer];
    both_cells(
        "minimal export",
        &shape,
        &[(10, 299, OK, OK), (10, 300, OK, EXPIRED)],
    );
}

#[test]
fn a_life_made_shorter_counts_from_then_on() {
    let mut shape = Shape::good();
    let shorter = Sig::new(0x13, &shape.primary, day(50))
        .flags(CERTIFY_AND_SIGN)
        .key_lifetime(60 * DAY);
    let shorter = shape.sign_user_id(&shorter, USER_ID);
    shape.user_ids[0].1.push(shorter);
    both_cells(
        "shorter on day 50",
        &shape,
        &[
            (10, 59, OK, OK),
            (10, 60, OK, EXPIRED),
            (70, 80, EXPIRED, EXPIRED),
        ],
    );
}

#[test]
fn of_two_statements_of_one_second_the_shorter_life_counts() {
    for order in [[0, 1], [1, 0]] {
        let mut shape = Shape::good();
        let certifications = [
            shape.certification(USER_ID, |sig| sig.flags(CERTIFY_AND_SIGN)),
            shape.certification(USER_ID, |sig| {
                sig.flags(CERTIFY_AND_SIGN).key_lifetime(100 * DAY)
            }),
        ];
        shape.user_ids[0].1 = order
            .map(|index: usize| certifications[index].clone())
            .to_vec();
        both_cells(
            "same second",
            &shape,
            &[(10, 99, OK, OK), (10, 100, OK, EXPIRED)],
        );
    }
}

#[test]
fn the_primary_user_id_decides_among_several() {
    let two = |first: fn(Sig) -> Sig, second: fn(Sig) -> Sig| {
        let mut shape = Shape::good();
        shape.user_ids.clear();
        shape.add_user_id(b"first", |sig| first(sig.flags(CERTIFY_AND_SIGN)));
        shape.add_user_id(b"second", |sig| second(sig.flags(CERTIFY_AND_SIGN)));
        shape
    };
    let ends: fn(Sig) -> Sig = |sig| sig.key_lifetime(100 * DAY);
    let stays: fn(Sig) -> Sig = |sig| sig;
    let ends_primary: fn(Sig) -> Sig = |sig| sig.key_lifetime(100 * DAY).with(sub::PRIMARY, [1]);
    let stays_primary: fn(Sig) -> Sig = |sig| sig.with(sub::PRIMARY, [1]);
    let not_primary: fn(Sig) -> Sig = |sig| sig.with(sub::PRIMARY, [0]);
    let ended = [(10, 100, OK, EXPIRED)];
    let lives = [(10, 100, OK, OK)];
    both_cells("primary first ends", &two(ends_primary, stays), &ended);
    both_cells("primary second ends", &two(stays, ends_primary), &ended);
    both_cells("primary first stays", &two(stays_primary, ends), &lives);
    both_cells("primary second stays", &two(ends, stays_primary), &lives);
    both_cells("none is primary: the shorter", &two(ends, stays), &ended);
    both_cells("none is primary: the shorter", &two(stays, ends), &ended);
    both_cells(
        "zero is not primary",
        &two(not_primary, ends_primary),
        &ended,
    );
}

#[test]
fn a_self_signature_that_expired_does_not_count_any_more() {
    let shape = with_certification(|sig| sig.lifetime(100 * DAY));
    let missing = Code::NoValidSelfSignature;
    both_cells(
        "self-signature until day 100",
        &shape,
        &[
            (10, 99, OK, OK),
            (10, 100, OK, missing),
            (100, 200, missing, missing),
        ],
    );
    let shape = with_subkey(|sig| sig.flags(SIGN).lifetime(100 * DAY));
    let unbound = Code::NotBound;
    subkey_cells(
        "binding until day 100",
        &shape,
        &[
            (10, 99, OK, OK),
            (10, 100, OK, unbound),
            (100, 200, unbound, unbound),
        ],
    );
}

#[test]
fn a_self_signature_from_the_future_does_not_count_yet() {
    let mut shape = Shape::good();
    let future = Sig::new(0x13, &shape.primary, day(50)).flags(CERTIFY_AND_SIGN);
    shape.user_ids[0].1 = vec![shape.sign_user_id(&future, USER_ID)];
    let missing = Code::NoValidSelfSignature;
    both_cells(
        "made on day 50",
        &shape,
        &[(10, 40, missing, missing), (10, 50, OK, OK)],
    );
    let made = day(50);
    assert_eq!(
        shape.primary_words(day(10), made - 300),
        (OK, OK),
        "clocks differ by 5 minutes"
    );
    assert_eq!(shape.primary_words(day(10), made - 301), (missing, missing));
}

#[test]
fn hard_revocations_of_the_primary_key_count_always() {
    let cells = |word| {
        [
            (10, 20, word, word),
            (10, 60, word, word),
            (55, 60, word, word),
        ]
    };
    for code in [0, 4, 5, 31, 33, 99, 100, 110, 255] {
        both_cells(
            "hard code",
            &with_key_revocation(50, |sig| sig.reason(code)),
            &cells(HARD),
        );
    }
    both_cells(
        "no reason",
        &with_key_revocation(50, |sig| sig),
        &cells(HARD),
    );
    both_cells(
        "compromised",
        &with_key_revocation(50, |sig| sig.reason(2)),
        &cells(COMPROMISED),
    );
}

#[test]
fn soft_revocations_of_the_primary_key_count_from_their_date() {
    let cells = [
        (10, 20, OK, OK),
        (49, 60, OK, OK),
        (50, 60, SOFT, SOFT),
        (55, 60, SOFT, SOFT),
    ];
    for code in [1, 3, 32] {
        both_cells(
            "soft code",
            &with_key_revocation(50, |sig| sig.reason(code)),
            &cells,
        );
    }
}

#[test]
fn revocations_of_a_subkey_leave_the_primary_key_alone() {
    let fine = [(10, 60, OK, OK), (55, 60, OK, OK)];
    let soft = [(49, 60, OK, OK), (50, 60, SOFT, SOFT), (55, 60, SOFT, SOFT)];
    let hard = |word| [(10, 60, word, word), (55, 60, word, word)];
    for (code, cells) in [
        (1, soft.as_slice()),
        (3, &soft),
        (0, &hard(HARD)),
        (2, &hard(COMPROMISED)),
    ] {
        let shape = with_subkey_revocation(50, |sig| sig.reason(code));
        subkey_cells("subkey revoked", &shape, cells);
        primary_cells("its primary key", &shape, &fine);
    }
    let shape = with_subkey_revocation(50, |sig| sig);
    subkey_cells("no reason", &shape, &hard(HARD));
}

#[test]
fn the_worst_of_several_revocations_counts() {
    let mut shape = with_key_revocation(50, |sig| sig.reason(1));
    shape
        .direct
        .push(shape.key_revocation(day(70), |sig| sig.reason(0)));
    both_cells("soft and hard", &shape, &[(10, 20, HARD, HARD)]);
    shape
        .direct
        .push(shape.key_revocation(day(90), |sig| sig.reason(2)));
    both_cells(
        "and compromised",
        &shape,
        &[(10, 20, COMPROMISED, COMPROMISED)],
    );
    let mut shape = with_key_revocation(50, |sig| sig.reason(1));
    shape
        .direct
        .push(shape.key_revocation(day(30), |sig| sig.reason(3)));
    both_cells(
        "two soft ones",
        &shape,
        &[(29, 60, OK, OK), (30, 60, SOFT, SOFT)],
    );
}

#[test]
fn a_revocation_with_several_reasons_is_as_hard_as_the_hardest() {
    let twice = |one, two| with_key_revocation(50, move |sig| sig.reason(one).reason(two));
    both_cells("soft, soft", &twice(1, 3), &[(10, 60, OK, OK)]);
    both_cells("soft, hard", &twice(1, 0), &[(10, 60, HARD, HARD)]);
    both_cells("hard, soft", &twice(0, 1), &[(10, 60, HARD, HARD)]);
    both_cells(
        "soft, compromised",
        &twice(3, 2),
        &[(10, 60, COMPROMISED, COMPROMISED)],
    );
    let empty = with_key_revocation(50, |sig| sig.with(sub::REASON, []));
    both_cells("empty reason", &empty, &[(10, 60, HARD, HARD)]);
    let unhashed = with_key_revocation(50, |sig| sig.unhashed(sub::REASON, [1]));
    both_cells(
        "nobody signed the reason",
        &unhashed,
        &[(10, 60, HARD, HARD)],
    );
}

#[test]
fn a_soft_revocation_without_a_clear_date_counts_from_the_beginning() {
    let none = with_key_revocation(50, |sig| sig.reason(1).without(sub::CREATED));
    both_cells(
        "no date",
        &none,
        &[(0, 60, SOFT, SOFT), (10, 60, SOFT, SOFT)],
    );
    let unhashed = with_key_revocation(50, |sig| {
        sig.reason(1)
            .without(sub::CREATED)
            .unhashed(sub::CREATED, day(50).to_be_bytes())
    });
    both_cells("nobody signed the date", &unhashed, &[(10, 60, SOFT, SOFT)]);
    let two = with_key_revocation(50, |sig| {
        sig.reason(1).with(sub::CREATED, day(30).to_be_bytes())
    });
    both_cells(
        "the earlier of two",
        &two,
        &[(29, 60, OK, OK), (30, 60, SOFT, SOFT)],
    );
    let short = with_key_revocation(50, |sig| sig.reason(1).with(sub::CREATED, [1, 2]));
    both_cells("one malformed", &short, &[(10, 60, SOFT, SOFT)]);
}

#[test]
fn nothing_undoes_a_revocation() {
    for (code, word) in [(2, COMPROMISED), (0, HARD)] {
        let revoked = with_key_revocation(50, |sig| sig.reason(code));
        both_cells(
            "revoked",
            &revoked,
            &[(10, 200, word, word), (150, 200, word, word)],
        );

        let mut newer_user_id = revoked.clone();
        let sig = Sig::new(0x13, &revoked.primary, day(100)).flags(CERTIFY_AND_SIGN);
        newer_user_id.user_ids[0]
            .1
            .push(revoked.sign_user_id(&sig, USER_ID));
        both_cells(
            "newer user ID",
            &newer_user_id,
            &[(10, 200, word, word), (150, 200, word, word)],
        );

        let mut newer_direct = revoked.clone();
        let sig = Sig::new(0x1f, &revoked.primary, day(100)).flags(CERTIFY_AND_SIGN);
        newer_direct.direct.push(revoked.direct(&sig));
        both_cells(
            "newer direct signature",
            &newer_direct,
            &[(10, 200, word, word), (150, 200, word, word)],
        );

        let mut newer_binding = revoked.clone();
        let binding = revoked.binding(&Key::ed25519(3), |sig| sig.flags(SIGN));
        newer_binding.subkeys.push((Key::ed25519(3), vec![binding]));
        both_cells(
            "new subkey",
            &newer_binding,
            &[(10, 200, word, word), (150, 200, word, word)],
        );
        assert_eq!(
            crate::forge::words(&newer_binding.load(), &Key::ed25519(3), day(10), day(20)),
            (word, word)
        );
    }
    let mut subkey = with_subkey_revocation(50, |sig| sig.reason(0));
    let again = subkey.binding(&Key::ed25519(2), |mut sig| {
        sig.hashed[0].1 = day(100).to_be_bytes().to_vec();
        sig.flags(SIGN)
    });
    subkey.subkeys[0].1.push(again);
    subkey_cells(
        "newer binding",
        &subkey,
        &[(10, 200, HARD, HARD), (150, 200, HARD, HARD)],
    );
}

#[test]
fn a_soft_revocation_is_final_too() {
    let mut shape = with_key_revocation(50, |sig| sig.reason(1));
    let sig = Sig::new(0x13, &shape.primary, day(100)).flags(CERTIFY_AND_SIGN);
    let newer = shape.sign_user_id(&sig, USER_ID);
    shape.user_ids[0].1.push(newer);
    both_cells(
        "newer user ID",
        &shape,
        &[(49, 200, OK, OK), (150, 200, SOFT, SOFT)],
    );
}

#[test]
fn key_flags_decide_who_signs() {
    let not = Code::NotSigningCapable;
    for flags in [CERTIFY, ENCRYPT, AUTHENTICATE, 0] {
        let shape = with_subkey(|sig| sig.flags(flags));
        subkey_cells("subkey flags", &shape, &[(10, 20, not, not)]);
        let mut shape = Shape::good();
        shape.user_ids.clear();
        shape.add_user_id(USER_ID, |sig| sig.flags(flags));
        primary_cells("primary flags", &shape, &[(10, 20, not, not)]);
        subkey_cells("its subkey", &shape, &[(10, 20, OK, OK)]);
    }
    subkey_cells("no flags", &with_subkey(|sig| sig), &[(10, 20, not, not)]);
    subkey_cells(
        "empty flags",
        &with_subkey(|sig| sig.with(sub::FLAGS, [])),
        &[(10, 20, not, not)],
    );
    let unsigned = with_subkey(|sig| sig.unhashed(sub::FLAGS, [SIGN]));
    subkey_cells("nobody signed the flags", &unsigned, &[(10, 20, not, not)]);
    let two = with_subkey(|sig| sig.flags(SIGN).flags(ENCRYPT));
    subkey_cells("contradicting flags", &two, &[(10, 20, not, not)]);
    let mut shape = Shape::good();
    shape.user_ids.clear();
    shape.add_user_id(USER_ID, |sig| sig);
    primary_cells("primary without flags", &shape, &[(10, 20, not, not)]);
}

#[test]
fn the_direct_signature_may_give_or_deny_the_right_to_sign() {
    let not = Code::NotSigningCapable;
    let direct = |flags: Option<u8>, user_id: Option<u8>| {
        let flag = |sig: Sig, flags: Option<u8>| match flags {
            Some(flags) => sig.flags(flags),
            None => sig,
        };
        let mut shape = Shape::good();
        shape.user_ids.clear();
        shape.add_user_id(USER_ID, |sig| flag(sig, user_id));
        let sig = flag(Sig::new(0x1f, &shape.primary, day(0)), flags);
        shape.direct.push(shape.direct(&sig));
        shape
    };
    for (flags, user_id, word) in [
        (Some(CERTIFY_AND_SIGN), None, OK),
        (None, Some(CERTIFY_AND_SIGN), OK),
        (Some(CERTIFY_AND_SIGN), Some(CERTIFY_AND_SIGN), OK),
        (Some(CERTIFY), Some(CERTIFY_AND_SIGN), not),
        (Some(CERTIFY_AND_SIGN), Some(CERTIFY), not),
        (None, None, not),
    ] {
        primary_cells("flags", &direct(flags, user_id), &[(10, 20, word, word)]);
    }
}

#[test]
fn the_flags_at_the_time_decide() {
    let mut shape = with_subkey(|sig| sig.flags(SIGN));
    let later = shape.binding(&Key::ed25519(2), |mut sig| {
        sig.hashed[0].1 = day(50).to_be_bytes().to_vec();
        sig.flags(ENCRYPT)
    });
    shape.subkeys[0].1.push(later);
    let not = Code::NotSigningCapable;
    subkey_cells(
        "sign until day 50",
        &shape,
        &[(10, 40, OK, OK), (10, 60, OK, not), (55, 60, not, not)],
    );
}

/// A certificate of version 6: direct-key signature with flags, no user ID.
pub(crate) fn v6() -> Shape {
    let mut shape = Shape::of(Key::v6(1), Key::v6(2));
    shape.user_ids.clear();
    let direct = Sig::new(0x1f, &shape.primary, day(0)).flags(CERTIFY_AND_SIGN);
    shape.direct.push(shape.direct(&direct));
    shape
}
