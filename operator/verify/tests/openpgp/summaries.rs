//! What people are shown about a certificate, and what a refresh may learn.

use charttrust_verify::openpgp::{Certificate, CertificateError, Code, Learned, SigningKey};
use jiff::Timestamp;

use crate::cells::v6;
use crate::forge::{
    CERTIFY, CERTIFY_AND_SIGN, DAY, ENCRYPT, Key, SIGN, Shape, Sig, USER_ID, day, sub, time, words,
};

const OK: Code = Code::Valid;
const HARD: Code = Code::RevokedHard { compromised: false };

#[test]
fn a_signing_subkey_has_an_algorithm_and_an_end_of_its_own() {
    let mut shape = Shape::good();
    shape.subkeys.clear();
    shape.add_subkey(Key::rsa(), |sig| sig.flags(SIGN).key_lifetime(DAY * 50));
    let summary = shape.load().summary(time(day(10)));
    let [primary, subkey] = summary.signing_keys.as_slice() else {
        panic!("{summary:?}")
    };
    assert_eq!(
        (primary.algorithm.as_str(), primary.expires),
        ("Ed25519", None)
    );
    assert!(subkey.algorithm.starts_with("RSA-"), "{subkey:?}");
    assert_eq!(subkey.expires, Some(time(Key::rsa().created + DAY * 50)));
}

#[test]
fn a_summary_names_what_there_is() {
    let summary = Shape::good().load().summary(time(day(10)));
    assert_eq!(summary.algorithm, "Ed25519");
    assert_eq!(summary.user_ids, ["Good <good@example.org>"]);
    assert_eq!(summary.created, time(day(0)));
    assert_eq!(summary.expires, None);
    let signing = |seed: u8| SigningKey {
        fingerprint: Key::ed25519(seed).fingerprint(),
        algorithm: "Ed25519".to_owned(),
        expires: None,
    };
    assert_eq!(summary.signing_keys, [signing(1), signing(2)]);
    assert_eq!((summary.revocation, summary.usable), (None, Ok(())));
    assert_eq!(v6().load().summary(time(day(10))).algorithm, "Ed25519");
    assert!(
        format!("{:?}", Shape::good().load()).len() < 60,
        "no key material in logs"
    );
}

#[test]
fn a_hostile_user_id_is_escaped_and_cut() {
    let mut shape = Shape::good();
    shape.user_ids.clear();
    for id in [
        b"a\n[GNUPG:] GOODSIG 0 x".as_slice(),
        b"\x1b[31mred\x07",
        "rtl \u{202e}fdp \u{feff}\u{200b}\u{2028}".as_bytes(),
        b"\xff\xfe",
        "é 中 ok".as_bytes(),
        &[b'x'; 128],
        &[b'y'; 129],
    ] {
        shape.add_user_id(id, |sig| sig.flags(CERTIFY_AND_SIGN));
    }
    let shown = shape.load().summary(time(day(10))).user_ids;
    assert_eq!(shown.len(), 7);
    for text in &shown {
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert!(text.chars().count() <= 129 * 8);
    }
    assert!(shown.contains(&"a\\u{a}[GNUPG:] GOODSIG 0 x".to_owned()));
    assert!(shown.contains(&"\\u{1b}[31mred\\u{7}".to_owned()));
    assert!(shown.contains(&"rtl \\u{202e}fdp \\u{feff}\\u{200b}\\u{2028}".to_owned()));
    assert!(shown.contains(&"é 中 ok".to_owned()));
    assert!(shown.contains(&"x".repeat(128)));
    assert!(shown.contains(&format!("{}…", "y".repeat(128))));
}

#[test]
fn at_most_eight_user_ids_are_shown_the_primary_one_first() {
    let mut shape = Shape::good();
    for number in 0..9 {
        let id = format!("number {number}");
        shape.add_user_id(id.as_bytes(), |sig| {
            let sig = sig.flags(CERTIFY_AND_SIGN);
            if number == 7 {
                sig.with(sub::PRIMARY, [1])
            } else {
                sig
            }
        });
    }
    let shown = shape.load().summary(time(day(10))).user_ids;
    assert_eq!(shown.len(), 8);
    assert_eq!(shown[0], "number 7");
    assert_eq!(shown.iter().filter(|id| *id == "number 7").count(), 1);
}

#[test]
fn user_ids_that_the_key_does_not_state_are_not_shown() {
    let mut shape = Shape::good();
    shape.user_ids.push((b"claimed".to_vec(), vec![]));
    let forged = Sig::new(0x13, &shape.primary, day(0)).flags(3).broken();
    let forged = shape.sign_user_id(&forged, b"forged");
    shape.user_ids.push((b"forged".to_vec(), vec![forged]));
    assert_eq!(
        shape.load().summary(time(day(10))).user_ids,
        ["Good <good@example.org>"]
    );
}

/// A certificate whose keys end on these days.
fn ending(primary: Option<u32>, subkey: Option<u32>, flags: u8) -> Shape {
    let life = |sig: Sig, days: Option<u32>| match days {
        Some(days) => sig.key_lifetime(days * DAY),
        None => sig,
    };
    let mut shape = Shape::good();
    shape.user_ids.clear();
    shape.add_user_id(USER_ID, |sig| life(sig.flags(flags), primary));
    shape.subkeys.clear();
    shape.add_subkey(Key::ed25519(2), |sig| life(sig.flags(SIGN), subkey));
    shape
}

#[test]
fn a_key_ends_when_its_last_signing_key_does() {
    let both = CERTIFY_AND_SIGN;
    for (primary, subkey, flags, end) in [
        (None, None, both, None),
        (Some(100), None, both, Some(100)),
        (None, Some(50), both, None),
        (Some(100), Some(50), both, Some(100)),
        (Some(100), Some(200), CERTIFY, Some(100)),
        (Some(100), Some(50), CERTIFY, Some(50)),
        (None, Some(50), CERTIFY, Some(50)),
        (None, None, CERTIFY, None),
    ] {
        let summary = ending(primary, subkey, flags).load().summary(time(day(10)));
        assert_eq!(
            summary.expires,
            end.map(|days| time(day(days))),
            "{primary:?} {subkey:?} {flags}"
        );
    }
    let ended = ending(Some(100), None, both).load().summary(time(day(200)));
    assert_eq!(
        (ended.expires, ended.usable),
        (Some(time(day(100))), Err(Code::Expired))
    );
    assert_eq!(ended.signing_keys, []);
}

#[test]
fn the_reason_why_a_key_cannot_be_used_is_about_its_signing_keys() {
    let usable = |shape: &Shape, now: u32| shape.load().summary(time(day(now))).usable;
    assert_eq!(
        usable(&ending(None, Some(50), CERTIFY), 60),
        Err(Code::Expired)
    );
    let mut shape = ending(None, Some(50), CERTIFY);
    shape.add_subkey(Key::ed25519(3), |sig| sig.flags(ENCRYPT));
    let revocation = shape.subkey_revocation(&Key::ed25519(3), day(5), |sig| sig);
    shape.subkeys[1].1.push(revocation);
    assert_eq!(
        usable(&shape, 60),
        Err(Code::Expired),
        "an encryption key does not matter"
    );
    assert_eq!(usable(&shape, 40), Ok(()));
    let revocation = shape.subkey_revocation(&Key::ed25519(2), day(5), |sig| sig);
    shape.subkeys[0].1.push(revocation);
    assert_eq!(usable(&shape, 60), Err(HARD));
    let mut only_certifies = ending(None, None, CERTIFY);
    only_certifies.subkeys.clear();
    assert_eq!(usable(&only_certifies, 10), Err(Code::NotSigningCapable));
    let mut nothing = Shape::good();
    nothing.user_ids.clear();
    assert_eq!(usable(&nothing, 10), Err(Code::NoValidSelfSignature));
}

#[test]
fn a_revocation_is_described() {
    for (code, reason, hard, compromised) in [
        (0, "unspecified", true, false),
        (1, "superseded", false, false),
        (2, "compromised", true, true),
        (3, "retired", false, false),
        (32, "user ID invalid", false, false),
        (100, "unknown reason", true, false),
    ] {
        let mut shape = Shape::good();
        shape
            .direct
            .push(shape.key_revocation(day(50), |sig| sig.reason(code)));
        let summary = shape.load().summary(time(day(60)));
        let revocation = summary.revocation.unwrap();
        let described = (revocation.reason, revocation.hard, revocation.compromised);
        assert_eq!(described, (reason, hard, compromised));
        assert_eq!(revocation.since, Some(time(day(50))));
        let word = if hard {
            Code::RevokedHard { compromised }
        } else {
            Code::RevokedSoft
        };
        assert_eq!(summary.usable, Err(word));
    }
}

#[test]
fn a_refresh_learns_verified_revocations() {
    let own = Shape::good();
    let mut copy = own.clone();
    copy.direct
        .push(own.key_revocation(day(50), |sig| sig.reason(2)));
    let revocation = own.subkey_revocation(&Key::ed25519(2), day(50), |sig| sig);
    copy.subkeys[0].1.push(revocation);
    let learned = own.load().learn(&copy.load(), time(day(60))).unwrap();
    let json = serde_json::to_string(&learned).unwrap();
    let kept: Learned = serde_json::from_str(&json).unwrap();
    assert_eq!(kept, learned);
    let applied = own.load().apply(&kept).unwrap();
    let word = Code::RevokedHard { compromised: true };
    assert_eq!(
        words(&applied, &own.primary, day(10), day(60)),
        (word, word)
    );
    assert_eq!(applied.summary(time(day(60))).subkey_revocations.len(), 1);
    let merged = merged(&own, &copy, time(day(60)));
    assert_eq!(
        merged.summary(time(day(60))),
        applied.summary(time(day(60)))
    );
}

#[test]
fn a_refresh_learns_nothing_that_is_known_or_gives_trust() {
    let own = Shape::good();
    let mut copy = own.clone();
    copy.add_subkey(Key::ed25519(3), |sig| sig.flags(SIGN));
    copy.add_user_id(b"second", |sig| sig.flags(CERTIFY_AND_SIGN));
    copy.direct
        .push(own.key_revocation(day(50), |sig| sig.hash(99)));
    copy.direct.push(own.key_revocation(day(50), Sig::broken));
    let foreign = copy.subkey_revocation(&Key::ed25519(3), day(50), |sig| sig);
    copy.subkeys[1].1.push(foreign);
    let learned = own.load().learn(&copy.load(), time(day(60))).unwrap();
    assert!(learned.is_empty(), "{learned:?}");
    assert_eq!(
        own.load().apply(&learned).unwrap().summary(time(day(60))),
        own.load().summary(time(day(60)))
    );
    let mut revoked = own.clone();
    revoked.direct.push(own.key_revocation(day(50), |sig| sig));
    assert!(
        revoked
            .load()
            .learn(&revoked.load(), time(day(60)))
            .unwrap()
            .is_empty()
    );
    assert!(
        revoked
            .load()
            .learn(&own.load(), time(day(60)))
            .unwrap()
            .is_empty()
    );
    let other = Shape::of(Key::ed25519(9), Key::ed25519(8)).load();
    assert!(matches!(
        own.load().learn(&other, time(0)),
        Err(CertificateError::OtherKey { .. })
    ));
}

#[test]
fn a_refresh_learns_a_shorter_life_and_never_a_longer_one() {
    let certified = |made: u32, ends: Option<u32>| {
        let mut shape = Shape::good();
        let sig = Sig::new(0x13, &shape.primary, day(made)).flags(CERTIFY_AND_SIGN);
        let sig = ends.map_or(sig.clone(), |days| sig.key_lifetime(days * DAY));
        let body = shape.sign_user_id(&sig, USER_ID);
        shape.user_ids[0].1.push(body);
        shape.load()
    };
    let primary = Key::ed25519(1);
    let now = |certificate: &charttrust_verify::openpgp::Certificate, at| {
        words(certificate, &primary, day(10), day(at)).1
    };
    let (own, shorter, longer) = (
        certified(20, Some(200)),
        certified(30, Some(100)),
        certified(30, Some(300)),
    );
    let learned = own.learn(&shorter, time(day(40))).unwrap();
    assert!(!learned.is_empty());
    let applied = own.apply(&learned).unwrap();
    assert_eq!((now(&applied, 99), now(&applied, 100)), (OK, Code::Expired));
    assert_eq!(applied.summary(time(day(40))).expires, Some(time(day(100))));
    assert!(own.learn(&longer, time(day(40))).unwrap().is_empty());
    assert!(
        own.learn(&certified(30, None), time(day(40)))
            .unwrap()
            .is_empty()
    );
    let old_copy = certified(10, Some(100));
    assert!(
        own.learn(&old_copy, time(day(40))).unwrap().is_empty(),
        "an old copy says nothing new"
    );
    for (made, ends) in [(20, 100), (30, 200)] {
        let copy = certified(made, Some(ends));
        let learned = own.learn(&copy, time(day(40))).unwrap();
        assert!(learned.is_empty(), "neither newer nor shorter");
    }
    let as_new = certified(30, Some(400)).apply(&learned).unwrap();
    assert_eq!(now(&as_new, 100), OK, "only the object itself is as new");
    let renewed = certified(50, Some(400)).apply(&learned).unwrap();
    assert_eq!(
        now(&renewed, 100),
        OK,
        "a newer statement in the object itself counts"
    );
    let same = shorter.apply(&learned).unwrap();
    assert_eq!((now(&same, 99), now(&same, 100)), (OK, Code::Expired));
    let united = applied.union(&own).unwrap();
    assert_eq!(now(&united, 100), Code::Expired, "what was learned stays");
}

#[test]
fn a_refresh_learns_a_shorter_life_of_a_subkey() {
    let own = Shape::good();
    let mut copy = own.clone();
    let binding = copy.binding(&Key::ed25519(2), |mut sig| {
        sig.hashed[0].1 = day(20).to_be_bytes().to_vec();
        sig.flags(SIGN).key_lifetime(100 * DAY)
    });
    copy.subkeys[0].1.push(binding);
    let applied = merged(&own, &copy, time(day(40)));
    assert_eq!(words(&applied, &Key::ed25519(2), day(10), day(99)).1, OK);
    assert_eq!(
        words(&applied, &Key::ed25519(2), day(10), day(100)).1,
        Code::Expired
    );
    assert_eq!(words(&applied, &Key::ed25519(1), day(10), day(100)).1, OK);
}

#[test]
fn a_newer_binding_in_the_object_itself_overrules_a_learned_end() {
    let bound = |made: u32, days: u32| {
        let mut shape = Shape::good();
        let binding = shape.binding(&Key::ed25519(2), |mut sig| {
            sig.hashed[0].1 = day(made).to_be_bytes().to_vec();
            sig.flags(SIGN).key_lifetime(days * DAY)
        });
        shape.subkeys[0].1.push(binding);
        shape.load()
    };
    let now = time(day(40));
    let learned = Shape::good().load().learn(&bound(20, 100), now).unwrap();
    for (made, word) in [(19, Code::Expired), (20, OK), (30, OK)] {
        let applied = bound(made, 400).apply(&learned).unwrap();
        let words = words(&applied, &Key::ed25519(2), day(10), day(100));
        assert_eq!(words.1, word, "{made}");
    }
}

#[test]
fn a_refresh_learns_a_worse_revocation_than_the_known_one() {
    let mut own = Shape::good();
    own.direct
        .push(own.key_revocation(day(50), |sig| sig.reason(3)));
    let mut copy = own.clone();
    copy.direct
        .push(own.key_revocation(day(51), |sig| sig.reason(2)));
    let merged = merged(&own, &copy, time(day(60)));
    let word = Code::RevokedHard { compromised: true };
    assert_eq!(words(&merged, &own.primary, day(10), day(60)), (word, word));
}

#[test]
fn a_refresh_learns_about_every_subkey() {
    let mut own = Shape::good();
    own.add_subkey(Key::ed25519(3), |sig| sig.flags(SIGN));
    let mut copy = own.clone();
    let revocation = own.subkey_revocation(&Key::ed25519(3), day(50), |sig| sig);
    copy.subkeys[1].1.push(revocation);
    let merged = merged(&own, &copy, time(day(60)));
    let word = |key: u8| words(&merged, &Key::ed25519(key), day(10), day(60)).1;
    assert_eq!((word(2), word(3)), (OK, HARD));
}

#[test]
fn what_was_learned_only_grows() {
    let own = Shape::good();
    let with = |code: u8, ends: u32| {
        let mut copy = own.clone();
        copy.direct
            .push(own.key_revocation(day(50), |sig| sig.reason(code)));
        let sig = Sig::new(0x13, &own.primary, day(20))
            .flags(CERTIFY_AND_SIGN)
            .key_lifetime(ends * DAY);
        let body = copy.sign_user_id(&sig, USER_ID);
        copy.user_ids[0].1.push(body);
        own.load().learn(&copy.load(), time(day(60))).unwrap()
    };
    let (mut one, mut other) = (with(1, 100), with(3, 90));
    let (first, second) = (one.clone(), other.clone());
    one.join(&second);
    other.join(&first);
    assert_eq!(one, other);
    one.join(&Learned::default());
    assert_eq!(one, other);
    let applied = own.load().apply(&one).unwrap();
    assert_eq!(applied.summary(time(day(60))).expires, Some(time(day(90))));
}

#[test]
fn of_many_revocations_the_worst_is_learned_and_no_more_of_its_kind() {
    let own = Shape::good();
    let with = |revocations: &[(u8, u32)]| {
        let mut copy = own.clone();
        for (code, made) in revocations {
            let body = own.key_revocation(day(*made), |sig| sig.reason(*code));
            copy.direct.push(body);
        }
        copy.load()
    };
    let count = |learned: &Learned| {
        let json = serde_json::to_value(learned).unwrap();
        json["revocations"].as_array().map_or(0, Vec::len)
    };
    let news = |known: &[(u8, u32)], copy: &[(u8, u32)]| {
        count(&with(known).learn(&with(copy), time(day(60))).unwrap())
    };
    for (known, copy, learned) in [
        (&[][..], &[(1, 50), (2, 51), (2, 52), (0, 40)][..], 1),
        (&[(2, 50)], &[(2, 40), (2, 51), (0, 40), (1, 10)], 0),
        (&[(0, 50)], &[(0, 40), (1, 10)], 0),
        (&[(0, 50)], &[(2, 55)], 1),
        (&[(1, 50)], &[(1, 50), (3, 50), (1, 51)], 0),
        (&[(1, 50)], &[(3, 49), (1, 48)], 1),
        (&[(1, 50)], &[(0, 55)], 1),
    ] {
        assert_eq!(news(known, copy), learned, "{known:?} {copy:?}");
    }
    let all = with(&[(1, 50), (2, 51), (0, 40)]);
    let worst = own.load().apply(&all.carried()).unwrap();
    assert_eq!(count(&all.carried()), 1);
    assert_eq!(
        worst.summary(time(day(60))).revocation,
        all.summary(time(day(60))).revocation
    );
}

#[test]
fn a_certificate_carries_its_verified_revocations_and_no_others() {
    let mut own = Shape::good();
    assert!(own.load().carried().is_empty());
    own.direct
        .push(own.key_revocation(day(50), |sig| sig.hash(99)));
    own.direct.push(own.key_revocation(day(50), Sig::broken));
    assert!(own.load().carried().is_empty(), "none of them verifies");
    let of_subkey = own.subkey_revocation(&Key::ed25519(2), day(50), |sig| sig);
    own.subkeys[0].1.push(of_subkey);
    own.direct
        .push(own.key_revocation(day(50), |sig| sig.reason(2)));
    let carried = own.load().carried();
    let kept = Shape::good().load().apply(&carried).unwrap();
    let summary = kept.summary(time(day(60)));
    assert!(summary.revocation.unwrap().compromised);
    assert_eq!(summary.subkey_revocations.len(), 1);
    assert!(carried.contains(&kept.carried()) && kept.carried().contains(&carried));
    assert!(!Learned::default().contains(&carried) && carried.contains(&Learned::default()));
}

#[test]
fn what_is_known_contains_earlier_ends_and_newer_statements_only() {
    let of = |at: &str, said: &str| -> Learned {
        let key = Shape::good().load().fingerprint().clone();
        let json = format!("{{\"ends\":{{\"{key}\":{{\"at\":\"{at}\",\"said\":\"{said}\"}}}}}}");
        serde_json::from_str(&json).unwrap()
    };
    let (early, late) = ("2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z");
    assert!(of(early, late).contains(&of(late, early)));
    assert!(!of(late, late).contains(&of(early, late)));
    assert!(!of(early, early).contains(&of(early, late)));
    assert!(!Learned::default().contains(&of(late, early)));
}

#[test]
fn a_refresh_tells_what_it_leaves_out() {
    let lasting = |made: u32, ends: Option<u32>| {
        let mut shape = Shape::good();
        let sig = Sig::new(0x13, &shape.primary, day(made)).flags(CERTIFY_AND_SIGN);
        let sig = ends.map_or(sig.clone(), |days| sig.key_lifetime(days * DAY));
        let body = shape.sign_user_id(&sig, USER_ID);
        shape.user_ids[0].1.push(body);
        shape
    };
    let own = lasting(20, Some(100));
    let longer = |copy: &Shape| {
        let left = own.load().leave_out(&copy.load(), time(day(40)));
        (left.keys.len(), left.longer_life)
    };
    assert_eq!(longer(&own), (0, false));
    assert_eq!(longer(&lasting(30, Some(101))), (0, true));
    assert_eq!(longer(&lasting(30, None)), (0, true));
    assert_eq!(longer(&lasting(30, Some(99))), (0, false));
    assert_eq!(longer(&lasting(10, Some(200))), (0, false), "an old copy");
    let mut bare = own.clone();
    bare.user_ids.clear();
    assert_eq!(longer(&bare), (0, false), "it says nothing of its life");
    let mut more = own.clone();
    more.add_subkey(Key::ed25519(3), |sig| sig.flags(SIGN));
    assert_eq!(longer(&more), (1, false));
}

#[test]
fn a_fetched_copy_without_user_ids_brings_its_revocation() {
    let own = Shape::good();
    let mut copy = own.clone();
    copy.user_ids.clear();
    copy.direct.push(own.key_revocation(day(50), |sig| sig));
    let merged = merged(&own, &copy, time(day(60)));
    assert_eq!(words(&merged, &own.primary, day(10), day(60)), (HARD, HARD));
}

#[test]
fn a_forged_learned_revocation_does_nothing() {
    let own = Shape::good();
    let bodies = [
        own.key_revocation(day(50), Sig::broken),
        vec![1, 2, 3],
        Vec::new(),
    ];
    for body in bodies {
        let json = format!("{{\"revocations\":[\"{}\"]}}", hex::encode(body));
        let learned: Learned = serde_json::from_str(&json).unwrap();
        let applied = own.load().apply(&learned).unwrap();
        assert_eq!(words(&applied, &own.primary, day(10), day(60)), (OK, OK));
    }
}

#[test]
fn every_word_has_a_name_and_a_sentence() {
    let all = [
        Code::Valid,
        Code::Expired,
        Code::RevokedHard { compromised: true },
        Code::RevokedHard { compromised: false },
        Code::RevokedSoft,
        Code::RevocationNotVerifiable,
        Code::NoValidSelfSignature,
        Code::NotBound,
        Code::NoBackSignature,
        Code::NotSigningCapable,
        Code::WeakHash,
        Code::WeakKey,
        Code::UnsupportedAlgorithm,
        Code::CriticalUnknown,
        Code::FromFuture,
        Code::PredatesKey,
        Code::SignatureExpired,
        Code::WrongType,
        Code::NoIssuer,
        Code::BadSignature,
        Code::UnknownKey,
    ];
    let sentences: std::collections::BTreeSet<_> = all.iter().map(ToString::to_string).collect();
    assert_eq!(sentences.len(), all.len());
    assert!(
        all.iter()
            .all(|word| format!("{word:?}").starts_with(word.word()))
    );
}

#[test]
fn a_weak_signing_subkey_is_named_as_the_reason() {
    let mut shape = ending(None, None, CERTIFY);
    shape.subkeys.clear();
    shape.add_subkey(Key::file("rsa1024"), |sig| sig.flags(SIGN));
    let usable = shape.load().summary(time(day(10))).usable;
    assert_eq!(usable, Err(Code::WeakKey));
}

/// What a signature by `signer` is worth under both certificates together.
fn united_word(one: &Shape, other: &Shape, signer: &Key) -> Code {
    let words = [(one, other), (other, one)].map(|(first, second)| {
        let united = first.load().union(&second.load()).unwrap();
        crate::forge::words(&united, signer, day(10), day(60)).1
    });
    assert_eq!(words[0], words[1], "the order does not matter");
    words[0]
}

#[test]
fn a_union_takes_every_revocation_of_both() {
    let good = Shape::good();
    let (primary, subkey) = (Key::ed25519(1), Key::ed25519(2));
    assert_eq!(united_word(&good, &good, &primary), OK);

    let mut revoked = good.clone();
    revoked.direct.push(good.key_revocation(day(50), |sig| sig));
    assert_eq!(united_word(&good, &revoked, &primary), HARD);

    let mut unclear = good.clone();
    unclear
        .direct
        .push(good.key_revocation(day(50), |sig| sig.hash(99)));
    assert_eq!(
        united_word(&good, &unclear, &primary),
        Code::RevocationNotVerifiable
    );

    let mut subkey_revoked = good.clone();
    let revocation = good.subkey_revocation(&subkey, day(50), |sig| sig);
    subkey_revoked.subkeys[0].1.push(revocation);
    assert_eq!(united_word(&good, &subkey_revoked, &subkey), HARD);

    let mut user_id_revoked = good.clone();
    let revocation = good.sign_user_id(&Sig::new(0x30, &primary, day(50)), USER_ID);
    user_id_revoked.user_ids[0].1.push(revocation);
    assert_eq!(
        united_word(&good, &user_id_revoked, &primary),
        Code::NoValidSelfSignature
    );

    let mut other_revoked = good.clone();
    other_revoked.add_user_id(b"second", |sig| sig.flags(CERTIFY_AND_SIGN));
    let revocation = good.sign_user_id(&Sig::new(0x30, &primary, day(50)), b"second");
    other_revoked.user_ids[1].1.push(revocation);
    assert_eq!(united_word(&good, &other_revoked, &primary), OK);
}

#[test]
fn a_union_takes_every_shorter_life_of_both() {
    let now = time(day(60));
    let good = Shape::good();
    let (primary, subkey) = (Key::ed25519(1), Key::ed25519(2));
    let mut shorter = good.clone();
    let sig = Sig::new(0x13, &primary, day(20))
        .flags(CERTIFY_AND_SIGN)
        .key_lifetime(30 * DAY);
    let body = good.sign_user_id(&sig, USER_ID);
    shorter.user_ids[0].1.push(body);
    assert_eq!(united_word(&good, &shorter, &primary), Code::Expired);
    let binding = good.binding(&subkey, |mut sig| {
        sig.hashed[0].1 = day(20).to_be_bytes().to_vec();
        sig.flags(SIGN).key_lifetime(30 * DAY)
    });
    shorter.subkeys[0].1.push(binding);

    let mut shorter_by_key = good.clone();
    let sig = Sig::new(0x1f, &primary, day(20))
        .flags(CERTIFY_AND_SIGN)
        .key_lifetime(30 * DAY);
    shorter_by_key.direct.push(good.direct(&sig));
    assert_eq!(united_word(&good, &shorter_by_key, &primary), Code::Expired);

    let mut shorter_subkey = good.clone();
    shorter_subkey.subkeys = shorter.subkeys.clone();
    assert_eq!(united_word(&good, &shorter_subkey, &subkey), Code::Expired);

    let learned = good.load().learn(&shorter.load(), time(day(25))).unwrap();
    let limited = good.load().apply(&learned).unwrap();
    for united in [
        good.load().union(&limited).unwrap(),
        limited.union(&good.load()).unwrap(),
    ] {
        assert_eq!(words(&united, &primary, day(10), day(60)).1, Code::Expired);
        assert_eq!(united.summary(now).usable, Err(Code::Expired));
        let subkey_end = united.learn(&good.load(), now).unwrap();
        assert!(subkey_end.is_empty());
    }
}

#[test]
fn a_union_keeps_what_was_learned_about_a_subkey() {
    let good = Shape::good();
    let mut shorter = good.clone();
    let binding = good.binding(&Key::ed25519(2), |mut sig| {
        sig.hashed[0].1 = day(20).to_be_bytes().to_vec();
        sig.flags(SIGN).key_lifetime(30 * DAY)
    });
    shorter.subkeys[0].1.push(binding);
    let limited = merged(&good, &shorter, time(day(25)));
    for united in [
        good.load().union(&limited).unwrap(),
        limited.union(&good.load()).unwrap(),
    ] {
        assert_eq!(
            words(&united, &Key::ed25519(2), day(10), day(60)).1,
            Code::Expired
        );
    }
}

#[test]
fn a_union_knows_the_revokers_of_both() {
    let revoker = Key::ed25519(9);
    let mut with_revoker = Shape::good();
    let body = [&[0x80, 22][..], &revoker.fingerprint_bytes()].concat();
    let direct = Sig::new(0x1f, &with_revoker.primary, day(0)).with(sub::REVOKER, body);
    with_revoker.direct.push(with_revoker.direct(&direct));
    let mut with_key = with_revoker.clone();
    with_key.after = crate::forge::packet(6, &revoker.body());
    let mut used = with_key.clone();
    let revocation = Sig::new(0x20, &revoker, day(50));
    let revocation = revocation.sign(&revoker, &[&used.primary.hashed()]);
    used.direct.push(revocation);
    let learned = with_revoker
        .load()
        .learn(&used.load(), time(day(60)))
        .unwrap();
    let primary = &with_revoker.primary;
    let word = |certificate: &charttrust_verify::openpgp::Certificate| {
        words(
            &certificate.apply(&learned).unwrap(),
            primary,
            day(10),
            day(60),
        )
        .1
    };
    assert_eq!(
        word(&Shape::good().load()),
        OK,
        "nobody designated the revoker"
    );
    assert_eq!(
        word(&with_revoker.load()),
        Code::RevocationNotVerifiable,
        "its key is missing"
    );
    assert_eq!(word(&with_key.load()), HARD);
    assert_eq!(
        word(&with_revoker.load().union(&with_key.load()).unwrap()),
        HARD
    );
    assert_eq!(
        word(&with_key.load().union(&with_revoker.load()).unwrap()),
        HARD
    );
    assert_eq!(
        word(&Shape::good().load().union(&with_key.load()).unwrap()),
        HARD
    );
}

#[test]
fn the_end_of_every_key_is_told_not_only_the_last() {
    let mut shape = Shape::of(Key::ed25519(1), Key::ed25519(2));
    shape.user_ids.clear();
    shape.add_user_id(USER_ID, |sig| sig.flags(CERTIFY).key_lifetime(300 * DAY));
    shape.subkeys.clear();
    for (seed, days) in [(2, 100), (3, 200)] {
        shape.add_subkey(Key::ed25519(seed), |sig| {
            sig.flags(SIGN).key_lifetime(days * DAY)
        });
    }
    shape.add_subkey(Key::ed25519(4), |sig| sig.flags(SIGN));
    let mut turns = shape.load().turns(time(day(10)));
    turns.sort();
    assert_eq!(turns, [100, 200, 300].map(|end| time(day(end))));
    assert_eq!(Shape::good().load().turns(time(day(10))), []);
}

#[test]
fn what_a_key_states_of_itself_turns_when_it_begins_and_when_it_ends() {
    const TOLERANCE: u32 = 5 * 60;
    const MINUTE: u32 = 60;
    let mut shape = Shape::good();
    shape.user_ids.clear();
    shape.add_user_id(USER_ID, |sig| {
        sig.without(sub::CREATED)
            .with(sub::CREATED, day(50).to_be_bytes())
            .lifetime(30 * DAY)
    });
    let certificate = shape.load();
    let turns = |at| certificate.turns(time(at));
    let (begins, ends) = (day(50) - TOLERANCE, day(80));
    assert_eq!(turns(day(10)), [begins, day(50), ends].map(time));
    assert_eq!(turns(day(50)), [time(ends)]);
    assert_eq!(turns(ends), []);

    let mut changes = 0;
    for minute in (day(49)..day(81)).step_by(MINUTE as usize) {
        let (before, after) = (time(minute), time(minute + MINUTE));
        let has_turned = turns(minute).iter().any(|turn| *turn <= after);
        let has_changed = certificate.summary(before) != certificate.summary(after);
        assert!(has_turned || !has_changed, "{before}");
        changes += u32::from(has_changed);
    }
    assert_eq!(changes, 2, "it begins, and it ends");
}

#[test]
fn a_refresh_leaves_out_a_longer_life_of_a_subkey() {
    let lasting = |made: u32, ends: u32| {
        let mut shape = Shape::good();
        let key = shape.subkeys[0].0.clone();
        let back = shape.back_signature(&key, |sig| sig);
        let binding = Sig::new(0x18, &shape.primary, day(made))
            .flags(SIGN)
            .key_lifetime(ends * DAY)
            .with(sub::EMBEDDED, back);
        let parts = [&shape.primary.hashed()[..], &key.hashed()];
        shape.subkeys[0]
            .1
            .push(binding.sign(&shape.primary, &parts));
        shape
    };
    let own = lasting(20, 100);
    let longer = |copy: &Shape| {
        let left = own.load().leave_out(&copy.load(), time(day(40)));
        left.longer_life
    };
    assert!(longer(&lasting(30, 101)));
    assert!(!longer(&lasting(30, 100)), "the same end");
    assert!(!longer(&lasting(20, 101)), "of the same second");
    assert!(!longer(&lasting(10, 101)), "an old copy");
}

#[test]
fn what_was_learned_contains_itself() {
    let own = Shape::good();
    let mut copy = own.clone();
    let sig = Sig::new(0x13, &own.primary, day(20))
        .flags(CERTIFY_AND_SIGN)
        .key_lifetime(90 * DAY);
    let body = copy.sign_user_id(&sig, USER_ID);
    copy.user_ids[0].1.push(body);
    let learned = own.load().learn(&copy.load(), time(day(60))).unwrap();
    assert!(!learned.is_empty());
    assert!(learned.contains(&learned));
}

#[test]
fn a_union_joins_each_revoker_with_itself() {
    let revokers = [Key::ed25519(8), Key::ed25519(9)];
    let mut without = Shape::good();
    for revoker in &revokers {
        let body = [&[0x80, 22][..], &revoker.fingerprint_bytes()].concat();
        let direct = Sig::new(0x1f, &without.primary, day(0)).with(sub::REVOKER, body);
        without.direct.push(without.direct(&direct));
    }
    for revoker in &revokers {
        let mut with = without.clone();
        with.after = crate::forge::packet(6, &revoker.body());
        let mut used = with.clone();
        let revocation = Sig::new(0x20, revoker, day(50));
        let revocation = revocation.sign(revoker, &[&used.primary.hashed()]);
        used.direct.push(revocation);
        let now = time(day(60));
        let learned = without.load().learn(&used.load(), now).unwrap();
        for union in [
            without.load().union(&with.load()).unwrap(),
            with.load().union(&without.load()).unwrap(),
        ] {
            let applied = union.apply(&learned).unwrap();
            let word = words(&applied, &without.primary, day(10), day(60)).1;
            assert_eq!(word, HARD);
        }
    }
}

/// A certificate with everything that another copy of it says against it.
fn merged(own: &Shape, copy: &Shape, now: Timestamp) -> Certificate {
    let own = own.load();
    own.apply(&own.learn(&copy.load(), now).unwrap()).unwrap()
}
