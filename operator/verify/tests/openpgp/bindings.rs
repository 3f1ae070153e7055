//! Self-signatures, subkey bindings and back-signatures: unbound, forged, weak and adopted keys.

use std::collections::BTreeSet;

use charttrust_verify::openpgp::{
    ArmorError, CertificateError, Code, Fingerprint, FingerprintError, load, load_all,
    parse_cleartext, skipped_versions,
};

use crate::cells::v6;
use crate::forge::{
    BORN, CERTIFY, CERTIFY_AND_SIGN, DAY, ENCRYPT, Key, SHA256, SHA512, SIGN, Shape, Sig, USER_ID,
    day, packet, public_block, stand, sub, time, words,
};

const OK: Code = Code::Valid;
const MISSING: Code = Code::NoValidSelfSignature;
const UNBOUND: Code = Code::NotBound;
const UNCONFIRMED: Code = Code::NoBackSignature;

fn subkey() -> Key {
    Key::ed25519(2)
}

/// A certificate the only binding of which is this one.
fn bound_by(binding: Vec<u8>) -> Shape {
    let mut shape = Shape::good();
    shape.subkeys[0].1 = vec![binding];
    shape
}

fn subkey_word(shape: &Shape) -> Code {
    let words = shape.subkey_words(day(10), day(900));
    assert_eq!(words.0, words.1);
    words.0
}

fn primary_word(shape: &Shape) -> Code {
    let words = shape.primary_words(day(10), day(900));
    assert_eq!(words.0, words.1);
    words.0
}

/// A certificate the only self-signature of which is this one, for the user ID.
fn certified_by(certification: Vec<u8>) -> Shape {
    let mut shape = Shape::good();
    shape.user_ids[0].1 = vec![certification];
    shape
}

/// Certifications of the user ID that certify nothing, and why.
fn bad_certifications(good: &Shape) -> Vec<(&'static str, Vec<u8>)> {
    let stranger = Key::ed25519(9);
    let over = [good.primary.hashed(), crate::forge::hashed_user_id(USER_ID)];
    let over: Vec<&[u8]> = over.iter().map(Vec::as_slice).collect();
    let sig = |kind, key: &Key| Sig::new(kind, key, BORN).flags(CERTIFY_AND_SIGN);
    vec![
        ("by a stranger", sig(0x13, &stranger).sign(&stranger, &over)),
        (
            "by a stranger in the owner's name",
            sig(0x13, &good.primary).sign(&stranger, &over),
        ),
        (
            "over another user ID",
            good.sign_user_id(&sig(0x13, &good.primary), b"other"),
        ),
        (
            "broken",
            good.certification(USER_ID, |one| one.flags(CERTIFY_AND_SIGN).broken()),
        ),
        (
            "without issuer",
            good.certification(USER_ID, |one| one.flags(3).without(sub::ISSUER)),
        ),
        (
            "no creation time",
            good.certification(USER_ID, |one| one.flags(3).without(sub::CREATED)),
        ),
        (
            "two creation times",
            good.certification(USER_ID, |one| {
                one.flags(3).with(sub::CREATED, BORN.to_be_bytes())
            }),
        ),
        (
            "older than the key",
            good.sign_user_id(&Sig::new(0x13, &good.primary, BORN - 1).flags(3), USER_ID),
        ),
    ]
}

/// Certifications of the user ID with something critical, malformed or of another type in them.
fn unusable_certifications(good: &Shape) -> Vec<(&'static str, Vec<u8>)> {
    let sig = |kind, key: &Key| Sig::new(kind, key, BORN).flags(CERTIFY_AND_SIGN);
    let notation = [&[0x80, 0, 0, 0, 0, 3, 0, 1][..], b"a@bx"].concat();
    vec![
        (
            "critical notation",
            good.certification(USER_ID, |one| {
                one.flags(3).critical(sub::NOTATION, notation)
            }),
        ),
        (
            "critical private subpacket",
            good.certification(USER_ID, |one| one.flags(3).critical(101, [1])),
        ),
        (
            "critical trust",
            good.certification(USER_ID, |one| one.flags(3).critical(5, [1, 60])),
        ),
        (
            "critical regular expression",
            good.certification(USER_ID, |one| one.flags(3).critical(6, *b"x\0")),
        ),
        (
            "malformed key lifetime",
            good.certification(USER_ID, |one| one.flags(3).with(sub::KEY_LIFETIME, [1])),
        ),
        (
            "malformed lifetime",
            good.certification(USER_ID, |one| one.flags(3).with(sub::LIFETIME, [1])),
        ),
        (
            "a direct signature's type",
            good.sign_user_id(&sig(0x1f, &good.primary), USER_ID),
        ),
        (
            "a text signature's type",
            good.sign_user_id(&sig(0x01, &good.primary), USER_ID),
        ),
        ("version 3", vec![3, 5, 0x13, 0, 0, 0, 0]),
        ("empty", vec![]),
    ]
}

#[test]
fn a_primary_key_needs_a_self_signature() {
    let good = Shape::good();
    let bad = bad_certifications(&good).into_iter();
    for (name, body) in bad.chain(unusable_certifications(&good)) {
        let shape = certified_by(body);
        assert_eq!(primary_word(&shape), MISSING, "{name}");
        assert_eq!(subkey_word(&shape), MISSING, "{name}");
    }
    let mut none = Shape::good();
    none.user_ids.clear();
    assert_eq!(primary_word(&none), MISSING, "no user ID at all");
    assert_eq!(subkey_word(&none), MISSING, "no user ID at all");
}

#[test]
fn of_two_statements_of_one_second_the_stricter_counts() {
    for flags in [[SIGN, CERTIFY], [CERTIFY, SIGN]] {
        let mut shape = Shape::good();
        let certification = |flags: u8| shape.certification(USER_ID, |sig| sig.flags(flags));
        shape.user_ids[0].1 = flags.map(certification).to_vec();
        assert_eq!(primary_word(&shape), Code::NotSigningCapable);
    }
}

#[test]
fn a_statement_counts_from_its_very_second() {
    let mut shape = Shape::good();
    let sig = Sig::new(0x13, &shape.primary, day(20)).flags(CERTIFY);
    let body = shape.sign_user_id(&sig, USER_ID);
    shape.user_ids[0].1.push(body);
    let at = |second| shape.primary_words(second, day(900)).0;
    assert_eq!(at(day(20) - 1), OK);
    assert_eq!(at(day(20)), Code::NotSigningCapable);
}

#[test]
fn a_user_id_that_says_it_is_not_the_primary_one_is_not() {
    for (primary, word) in [(0, OK), (1, Code::NotSigningCapable)] {
        let mut shape = certified_by(Shape::good().certification(USER_ID, |sig| {
            sig.flags(CERTIFY).with(sub::PRIMARY, [primary])
        }));
        let sig = Sig::new(0x13, &shape.primary, day(1)).flags(CERTIFY_AND_SIGN);
        let body = shape.sign_user_id(&sig, b"second");
        shape.user_ids.push((b"second".to_vec(), vec![body]));
        assert_eq!(primary_word(&shape), word);
    }
}

#[test]
fn every_kind_of_certification_and_common_critical_subpackets_count() {
    let good = Shape::good();
    for kind in 0x10..=0x13 {
        let sig = Sig::new(kind, &good.primary, BORN).flags(CERTIFY_AND_SIGN);
        assert_eq!(
            primary_word(&certified_by(good.sign_user_id(&sig, USER_ID))),
            OK
        );
    }
    let critical = good.certification(USER_ID, |sig| {
        sig.critical(sub::FLAGS, [CERTIFY_AND_SIGN])
            .critical(sub::KEY_ID, good.primary.key_id())
    });
    assert_eq!(
        primary_word(&certified_by(critical)),
        OK,
        "ProtonMail marks the key ID critical"
    );
    let only_id = good.certification(USER_ID, |sig| sig.flags(3).only_key_id(&good.primary));
    assert_eq!(primary_word(&certified_by(only_id)), OK);
    let mut direct = Shape::good();
    direct.user_ids.clear();
    let sig = Sig::new(0x1f, &direct.primary, BORN).flags(CERTIFY_AND_SIGN);
    direct.direct.push(direct.direct(&sig));
    assert_eq!(
        (primary_word(&direct), subkey_word(&direct)),
        (OK, OK),
        "direct signature alone"
    );
    assert_eq!(
        (primary_word(&v6()), subkey_word(&v6())),
        (OK, OK),
        "version 6"
    );
}

#[test]
fn self_signatures_with_weak_hashes_do_not_count_whatever_their_date() {
    for (hash, expected) in [
        (1, MISSING),
        (2, MISSING),
        (3, MISSING),
        (11, MISSING),
        (99, MISSING),
        (8, OK),
        (9, OK),
        (10, OK),
        (12, OK),
        (14, OK),
    ] {
        let mut shape = Shape::of(Key::rsa(), subkey());
        shape.user_ids.clear();
        shape.add_user_id(USER_ID, |sig| sig.flags(CERTIFY_AND_SIGN).hash(hash));
        assert_eq!(primary_word(&shape), expected, "hash {hash}");
        let mut shape = Shape::of(Key::rsa(), subkey());
        shape.subkeys.clear();
        shape.add_subkey(subkey(), |sig| sig.flags(SIGN).hash(hash));
        let expected = if expected == OK { OK } else { UNBOUND };
        assert_eq!(subkey_word(&shape), expected, "binding with hash {hash}");
    }
}

#[test]
fn a_weak_primary_key_makes_its_subkeys_useless() {
    for (file, word) in [
        ("rsa1024", Code::WeakKey),
        ("dsa2048", Code::UnsupportedAlgorithm),
    ] {
        let mut primary = Key::file(file);
        primary.created = BORN;
        let shape = Shape::of(primary, subkey());
        assert_eq!(subkey_word(&shape), word, "{file}");
    }
    // A weak key can still revoke itself.
    for file in ["rsa1024", "dsa2048"] {
        for hash in [SHA1, SHA256, SHA512] {
            let mut shape = Shape::of(Key::file(file), subkey());
            shape
                .direct
                .push(shape.key_revocation(day(5), |sig| sig.reason(2).hash(hash)));
            let summary = shape.load().summary(crate::forge::time(day(10)));
            assert!(summary.revocation.is_some(), "{file} {hash}");
            let binding = shape.binding(&subkey(), |sig| sig.flags(SIGN).hash(hash));
            shape.subkeys[0].1 = vec![binding];
            assert_eq!(
                subkey_word(&shape),
                Code::RevokedHard { compromised: true },
                "{file} {hash}"
            );
        }
    }
}

const SHA1: u8 = 2;

#[test]
fn a_subkey_needs_a_binding_by_its_primary_key() {
    let good = Shape::good();
    let stranger = Shape::of(Key::ed25519(9), subkey());
    let parts = [good.primary.hashed(), subkey().hashed()];
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let back = good.back_signature(&subkey(), |sig| sig);
    let sig = Sig::new(0x18, &good.primary, BORN)
        .flags(SIGN)
        .with(sub::EMBEDDED, back);
    let notation = [&[0x80, 0, 0, 0, 0, 3, 0, 1][..], b"a@bx"].concat();
    let bad: Vec<(&str, Vec<u8>)> = vec![
        (
            "by a stranger",
            stranger.binding(&subkey(), |sig| sig.flags(SIGN)),
        ),
        (
            "by a stranger in the owner's name",
            sig.sign(&Key::ed25519(9), &parts),
        ),
        ("by the subkey", sig.sign(&subkey(), &parts)),
        ("broken", sig.clone().broken().sign(&good.primary, &parts)),
        (
            "of another subkey",
            good.binding(&Key::ed25519(3), |sig| sig.flags(SIGN)),
        ),
        (
            "critical notation",
            good.binding(&subkey(), |sig| {
                sig.flags(SIGN).critical(sub::NOTATION, notation)
            }),
        ),
        (
            "older than the primary key",
            good.binding(&subkey(), |mut sig| {
                sig.hashed[0].1 = (BORN - 1).to_be_bytes().to_vec();
                sig.flags(SIGN)
            }),
        ),
        ("a certification's type", {
            let mut sig = sig.clone();
            sig.kind = 0x13;
            sig.sign(&good.primary, &parts)
        }),
        ("empty", vec![]),
    ];
    for (name, body) in bad {
        let shape = bound_by(body);
        assert_eq!(subkey_word(&shape), UNBOUND, "{name}");
        assert_eq!(primary_word(&shape), OK, "{name}");
    }
    let mut none = Shape::good();
    none.subkeys[0].1.clear();
    assert_eq!(subkey_word(&none), UNBOUND);
}

/// Back signatures that confirm nothing, and why.
fn bogus_back_signatures(good: &Shape) -> Vec<(&'static str, Vec<u8>)> {
    let parts = [good.primary.hashed(), subkey().hashed()];
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    vec![
        ("broken", good.back_signature(&subkey(), Sig::broken)),
        (
            "by the primary key",
            Sig::new(0x19, &subkey(), BORN).sign(&good.primary, &parts),
        ),
        (
            "by a stranger",
            Sig::new(0x19, &subkey(), BORN).sign(&Key::ed25519(9), &parts),
        ),
        (
            "of another subkey",
            good.back_signature(&Key::ed25519(3), |sig| sig),
        ),
        (
            "for another primary key",
            Shape::of(Key::ed25519(9), subkey()).back_signature(&subkey(), |sig| sig),
        ),
        (
            "older than the subkey",
            good.back_signature(&subkey(), |mut sig| {
                sig.hashed[0].1 = (BORN - 1).to_be_bytes().to_vec();
                sig
            }),
        ),
        (
            "no creation time",
            good.back_signature(&subkey(), |sig| sig.without(sub::CREATED)),
        ),
        (
            "critical private subpacket",
            good.back_signature(&subkey(), |sig| sig.critical(101, [1])),
        ),
        (
            "expired",
            good.back_signature(&subkey(), |sig| sig.lifetime(DAY)),
        ),
        (
            "from the future",
            good.back_signature(&subkey(), |mut sig| {
                sig.hashed[0].1 = day(2000).to_be_bytes().to_vec();
                sig
            }),
        ),
        (
            "a binding's type",
            Sig::new(0x18, &subkey(), BORN).sign(&subkey(), &parts),
        ),
        ("empty", vec![]),
    ]
}

#[test]
fn a_signing_subkey_confirms_its_primary_key() {
    let good = Shape::good();
    let with = |back: Vec<u8>| {
        good.bare_binding(&subkey(), |sig| sig.flags(SIGN).with(sub::EMBEDDED, back))
    };
    let beside = |back: Vec<u8>| {
        good.bare_binding(&subkey(), |sig| {
            sig.flags(SIGN).unhashed(sub::EMBEDDED, back)
        })
    };
    let right = good.back_signature(&subkey(), |sig| sig);
    let bogus = bogus_back_signatures(&good);
    assert_eq!(subkey_word(&bound_by(with(right.clone()))), OK);
    assert_eq!(subkey_word(&bound_by(beside(right.clone()))), OK);
    let none = good.bare_binding(&subkey(), |sig| sig.flags(SIGN));
    assert_eq!(subkey_word(&bound_by(none)), UNCONFIRMED);
    for (name, back) in bogus {
        assert_eq!(
            subkey_word(&bound_by(with(back.clone()))),
            UNCONFIRMED,
            "{name}, hashed"
        );
        assert_eq!(
            subkey_word(&bound_by(beside(back.clone()))),
            UNCONFIRMED,
            "{name}, unhashed"
        );
        let bogus_first = good.bare_binding(&subkey(), |sig| {
            sig.flags(SIGN)
                .with(sub::EMBEDDED, back.clone())
                .unhashed(sub::EMBEDDED, right.clone())
        });
        assert_eq!(
            subkey_word(&bound_by(bogus_first)),
            OK,
            "{name} before a right one"
        );
    }
}

#[test]
fn a_back_signature_with_a_weak_hash_does_not_count() {
    for (hash, expected) in [(2, UNCONFIRMED), (11, UNCONFIRMED), (8, OK), (12, OK)] {
        let subkey = Key::rsa();
        let good = Shape::good();
        let back = good.back_signature(&subkey, |sig| sig.hash(hash));
        let binding = good.bare_binding(&subkey, |sig| sig.flags(SIGN).with(sub::EMBEDDED, back));
        let mut shape = Shape::good();
        shape.subkeys = vec![(subkey, vec![binding])];
        assert_eq!(subkey_word(&shape), expected, "hash {hash}");
    }
}

#[test]
fn a_back_signature_that_ends_counts_until_then() {
    let good = Shape::good();
    let back = good.back_signature(&subkey(), |sig| sig.lifetime(100 * DAY));
    let shape =
        bound_by(good.bare_binding(&subkey(), |sig| sig.flags(SIGN).with(sub::EMBEDDED, back)));
    assert_eq!(shape.subkey_words(day(10), day(99)), (OK, OK));
    assert_eq!(shape.subkey_words(day(10), day(100)), (OK, UNCONFIRMED));
    assert_eq!(
        shape.subkey_words(day(100), day(100)),
        (UNCONFIRMED, UNCONFIRMED)
    );
}

#[test]
fn a_thief_cannot_adopt_the_victims_subkey() {
    let victim = Shape::good();
    let thief = Shape::of(Key::ed25519(9), Key::ed25519(8));
    let stolen = victim.back_signature(&subkey(), |sig| sig);
    for binding in [
        thief.bare_binding(&subkey(), |sig| sig.flags(SIGN)),
        thief.bare_binding(&subkey(), |sig| {
            sig.flags(SIGN).with(sub::EMBEDDED, stolen.clone())
        }),
        thief.bare_binding(&subkey(), |sig| {
            sig.flags(SIGN).unhashed(sub::EMBEDDED, stolen.clone())
        }),
        victim.binding(&subkey(), |sig| sig.flags(SIGN)),
    ] {
        let mut adopted = thief.clone();
        adopted.subkeys.push((subkey(), vec![binding]));
        let word = words(&adopted.load(), &subkey(), day(10), day(20)).1;
        assert!(
            matches!(word, Code::NoBackSignature | Code::NotBound),
            "{word:?}"
        );
    }
}

/// Somebody's certificate that names the victim's subkey, bound in these ways.
fn adopting(bindings: impl FnOnce(&Shape) -> Vec<Vec<u8>>) -> Shape {
    let mut thief = Shape::of(Key::ed25519(9), Key::ed25519(8));
    let bindings = bindings(&thief);
    thief.subkeys.push((subkey(), bindings));
    thief
}

#[test]
fn nothing_bad_about_a_certificate_is_bad_about_a_subkey_that_never_agreed() {
    let unbound = adopting(|_| Vec::new());
    let forged = adopting(|it| vec![it.binding(&subkey(), |sig| sig.flags(SIGN).broken())]);
    let bare = adopting(|it| vec![it.bare_binding(&subkey(), |sig| sig.flags(SIGN))]);
    let mute = adopting(|it| vec![it.bare_binding(&subkey(), |sig| sig.flags(ENCRYPT))]);
    for (adopted, word) in [
        (unbound, UNBOUND),
        (forged, UNBOUND),
        (bare, UNCONFIRMED),
        (mute, Code::NotSigningCapable),
    ] {
        let words = |shape: &Shape| words(&shape.load(), &subkey(), day(10), day(900));
        assert_eq!(words(&adopted), (word, word));
        for reason in [0, 1, 2, 3] {
            let mut revoked = adopted.clone();
            revoked
                .direct
                .push(adopted.key_revocation(day(5), |sig| sig.reason(reason)));
            let bindings = &mut revoked.subkeys.last_mut().unwrap().1;
            bindings.push(adopted.subkey_revocation(&subkey(), day(5), |sig| sig.reason(reason)));
            assert_eq!(words(&revoked), (word, word));
            let certificate = revoked.load();
            let standing = stand(&certificate, &subkey(), day(10), day(900));
            assert_eq!(standing.revocation, None);
            assert!(certificate.names_without_consent(&subkey().fingerprint()));
        }
    }
}

#[test]
fn a_subkey_that_agreed_once_is_revoked_with_its_certificate() {
    let agreed = adopting(|it| vec![it.binding(&subkey(), |sig| sig.flags(SIGN))]);
    let lately_mute = adopting(|it| {
        let later = |sig: Sig| {
            let sig = sig.without(sub::CREATED).flags(ENCRYPT);
            sig.with(sub::CREATED, day(6).to_be_bytes())
        };
        vec![
            it.binding(&subkey(), |sig| sig.flags(SIGN)),
            it.bare_binding(&subkey(), later),
        ]
    });
    let own = adopting(|_| Vec::new());
    for (mut shape, signer) in [
        (agreed, subkey()),
        (lately_mute, subkey()),
        (own.clone(), own.primary.clone()),
    ] {
        shape
            .direct
            .push(shape.key_revocation(day(5), |sig| sig.reason(2)));
        let certificate = shape.load();
        let word = Code::RevokedHard { compromised: true };
        assert_eq!(
            words(&certificate, &signer, day(10), day(900)),
            (word, word)
        );
        assert!(!certificate.names_without_consent(&signer.fingerprint()));
    }
}

#[test]
fn a_copy_in_which_a_subkey_agreed_speaks_for_all_copies() {
    let bound = adopting(|it| vec![it.binding(&subkey(), |sig| sig.flags(SIGN))]).load();
    let unbound = adopting(|_| Vec::new()).load();
    for (one, other) in [(&bound, &unbound), (&unbound, &bound)] {
        let both = one.union(other).unwrap();
        assert!(!both.names_without_consent(&subkey().fingerprint()));
    }
}

#[test]
fn a_subkey_counts_once_and_with_all_its_bindings() {
    let mut shape = Shape::good();
    let (key, bindings) = shape.subkeys[0].clone();
    shape.subkeys[0].1.clear();
    shape.subkeys.push((key, bindings));
    assert_eq!(subkey_word(&shape), OK);
    let summary = shape.load().summary(crate::forge::time(day(10)));
    assert_eq!(summary.signing_keys.len(), 2);
    let mut repeated = Shape::good();
    repeated.user_ids.push(repeated.user_ids[0].clone());
    assert_eq!(
        repeated
            .load()
            .summary(crate::forge::time(day(10)))
            .user_ids
            .len(),
        1
    );
}

#[test]
fn copies_of_a_certificate_are_put_together() {
    let full = Shape::good();
    let (mut without_subkey, mut without_user_id) = (full.clone(), full.clone());
    without_subkey.subkeys.clear();
    without_user_id.user_ids.clear();
    let both = [without_subkey.bytes(), without_user_id.bytes()].concat();
    let certificate = load(&both, &full.primary.fingerprint(), &[]).unwrap();
    assert_eq!(words(&certificate, &subkey(), day(10), day(20)), (OK, OK));
    let united = without_subkey
        .load()
        .union(&without_user_id.load())
        .unwrap();
    assert_eq!(words(&united, &subkey(), day(10), day(20)), (OK, OK));
    let other = Shape::of(Key::ed25519(5), Key::ed25519(6)).load();
    assert!(matches!(
        united.union(&other),
        Err(CertificateError::OtherKey { .. })
    ));
}

#[test]
fn versions_of_keys_are_not_mixed() {
    for shape in [
        Shape::of(Key::ed25519(1), Key::v6(2)),
        Shape::of(Key::v6(1), Key::ed25519(2)),
    ] {
        assert_eq!(
            shape.try_load().unwrap_err(),
            CertificateError::MixedVersions
        );
    }
    for version in [2, 3, 5, 7, 99] {
        let mut body = Shape::good().primary.body();
        body[0] = version;
        let error = load_all(&packet(6, &body)).unwrap_err();
        assert_eq!(error, CertificateError::UnsupportedVersion { version });
    }
}

/// A key of another version, with everything that may follow one.
fn foreign(version: u8, revocation: &[u8]) -> Vec<u8> {
    let mut body = Shape::good().primary.body();
    body[0] = version;
    let subkey = packet(14, &body);
    let signature = packet(2, &[3, 5, 0x10, 0, 0, 0, 0]);
    let user_id = packet(13, b"Old <old@example.org>");
    let revocation = packet(2, revocation);
    [
        packet(6, &body),
        revocation,
        user_id,
        signature.clone(),
        subkey,
        signature,
    ]
    .concat()
}

#[test]
fn keys_of_other_versions_in_a_file_of_many_are_skipped_and_named() {
    let good = Shape::good();
    for version in [2, 3, 5, 7] {
        for file in [
            [foreign(version, &[3, 5, 0x10]), good.bytes()].concat(),
            [good.bytes(), foreign(version, &[3, 5, 0x10])].concat(),
        ] {
            let all = load_all(&file).unwrap();
            assert_eq!(all.len(), 1, "version {version}");
            let pinned = load(&file, &good.primary.fingerprint(), &[]).unwrap();
            assert_eq!(words(&pinned, &subkey(), day(10), day(20)), (OK, OK));
            assert_eq!(skipped_versions(&file), BTreeSet::from([version]));
            let other = Key::ed25519(9).fingerprint();
            let error = load(&file, &other, &[]).unwrap_err().to_string();
            assert!(
                error.contains(&format!("keys of version {version}")),
                "{error}"
            );
        }
    }
}

#[test]
fn a_revocation_beside_a_key_that_is_skipped_counts_and_garbage_there_does_not() {
    let good = Shape::good();
    let revocation = good.key_revocation(day(5), |sig| sig);
    let file = [good.bytes(), foreign(3, &revocation)].concat();
    let revoked = load(&file, &good.primary.fingerprint(), &[]).unwrap();
    assert!(revoked.summary(time(day(10))).revocation.is_some());
    // One that cannot be read is the skipped key's, not ours.
    let file = [good.bytes(), foreign(3, &[3, 5, 0x20, 0, 0, 0, 0])].concat();
    let alive = load(&file, &good.primary.fingerprint(), &[]).unwrap();
    assert_eq!(words(&alive, &subkey(), day(10), day(20)), (OK, OK));
}

#[test]
fn a_subkey_of_a_version_that_is_not_known_leaves_the_others() {
    let good = Shape::good();
    let mut body = Key::ed25519(7).body();
    body[0] = 5;
    let binding = packet(2, &[5, 0x18, 22, 8, 0, 0, 0, 0]);
    let file = [good.bytes(), packet(14, &body), binding].concat();
    let loaded = load(&file, &good.primary.fingerprint(), &[]).unwrap();
    assert_eq!(words(&loaded, &subkey(), day(10), day(20)), (OK, OK));
    assert_eq!(loaded.key_fingerprints().count(), 2);
}

#[test]
fn signatures_of_another_version_than_the_key_do_not_count() {
    let mut shape = Shape::good();
    shape.user_ids.clear();
    shape.add_user_id(USER_ID, |sig| sig.flags(CERTIFY_AND_SIGN).version(6));
    assert_eq!(primary_word(&shape), MISSING);
    let mut shape = v6();
    let direct = Sig::new(0x1f, &shape.primary, BORN)
        .flags(CERTIFY_AND_SIGN)
        .version(4);
    shape.direct = vec![shape.direct(&direct)];
    assert_eq!(primary_word(&shape), MISSING);
}

#[test]
fn packets_without_a_place_in_a_key_refuse_it() {
    let good = Shape::good().bytes();
    for tag in [1, 3, 4, 8, 9, 11, 18, 19, 20, 22, 39] {
        let error = load_all(&[good.clone(), packet(tag, &[0; 4])].concat()).unwrap_err();
        assert_eq!(
            error,
            CertificateError::UnexpectedPacket { tag },
            "type {tag}"
        );
    }
    for tag in [10, 12, 21, 40, 60, 63] {
        assert!(
            load_all(&[packet(tag, &[0; 4]), good.clone(), packet(tag, &[0; 4])].concat()).is_ok()
        );
    }
    for tag in [5, 7] {
        let error = load_all(&[good.clone(), packet(tag, &[0; 4])].concat()).unwrap_err();
        assert_eq!(error, CertificateError::SecretKey);
    }
    for tag in [13, 14, 17] {
        let error = load_all(&[packet(tag, &[0; 4]), good.clone()].concat()).unwrap_err();
        assert_eq!(
            error,
            CertificateError::UnexpectedPacket { tag },
            "before any key"
        );
    }
    let stray = packet(2, &Shape::good().user_ids[0].1[0]);
    let error = load_all(&[stray, good].concat()).unwrap_err();
    assert_eq!(
        error,
        CertificateError::UnexpectedPacket { tag: 2 },
        "signature before any key"
    );
}

#[test]
fn a_key_packet_must_be_whole_and_canonical() {
    let good = Key::ed25519(1).body();
    for length in 0..6 {
        let error = load_all(&packet(6, &good[..length])).unwrap_err();
        assert_eq!(error, CertificateError::MalformedKey, "{length} bytes");
    }
    // A longer packet is another key with another fingerprint, and one that we cannot use.
    let longer = load_all(&packet(6, &[good.clone(), vec![0]].concat()))
        .unwrap()
        .remove(0);
    assert_eq!(
        longer.summary(crate::forge::time(day(1))).usable,
        Err(Code::UnsupportedAlgorithm)
    );
    assert_ne!(*longer.fingerprint(), Key::ed25519(1).fingerprint());
}

#[test]
fn framing_errors_refuse_the_material() {
    let good = Shape::good().bytes();
    for bad in [
        &[0xc6][..],
        &[0xc6, 0xff, 0, 0, 0, 9, 1],
        &[0x9b, 1, 2],
        &[0xc6, 0xe1, 1, 2],
        &[0x40, 1],
        &[0x98],
    ] {
        let error = load_all(&[good.as_slice(), bad].concat()).unwrap_err();
        assert!(
            matches!(error, CertificateError::Packets(_)),
            "{bad:?}: {error}"
        );
        assert_eq!(error.reason(), "KeyMalformed");
    }
}

#[test]
fn armor_is_read_strictly_or_not_at_all() {
    let block = public_block(&Shape::good().bytes());
    let indented = format!("  {}", block.replace('\n', "\n  "));
    let quoted = format!("> {}", block.replace('\n', "\n> "));
    let armor = |text: &str| load_all(text.as_bytes()).unwrap_err();
    for text in [
        indented,
        quoted,
        format!(":{block}"),
        block.replace("-----END PGP PUBLIC KEY BLOCK-----\n", ""),
        block.replace("\n\n", "\n"),
        block.replace("\n\n", "\nno header\n\n"),
        block.replace("\n\n", "\nno header: x\n\n"),
        block.replace("-----END", "=\n-----END"),
        block.replace(
            "PGP PUBLIC KEY BLOCK-----\n\n",
            "PGP PUBLIC KEY BLOCK-----\n\n!",
        ),
        format!("{block}-----END PGP PUBLIC KEY BLOCK-----\n"),
        block.replace("PUBLIC KEY BLOCK", "MESSAGE"),
        block.replace("PUBLIC KEY BLOCK", "SIGNATURE"),
        format!("{block}{block}").replacen("-----END PGP PUBLIC KEY BLOCK-----\n", "", 1),
    ] {
        assert_eq!(armor(&text).reason(), "ArmorMalformed", "{text}");
    }
    assert_eq!(
        armor(&block.replace("PUBLIC", "PRIVATE")),
        CertificateError::SecretKey
    );
    for text in ["", "no key here", "\u{feff}", "Version: 1\n\nAAAA"] {
        assert_eq!(armor(text), CertificateError::NoKey);
    }
    assert_eq!(load_all(b"\x01\xff").unwrap_err(), CertificateError::NoKey);
    for text in [
        block.replace("\n\n", "\nVersion: x\nComment: y: z\nComment:\n\n"),
        block.replace("-----END", "=AAAA\n-----END"),
        block.replace('\n', " \t\n"),
        format!("# leading\n\n{block}\ntrailing\n"),
    ] {
        assert!(load_all(text.as_bytes()).is_ok(), "{text}");
    }
    let open = block.replace("-----END PGP PUBLIC KEY BLOCK-----\n", "");
    let twice = CertificateError::Armor(ArmorError::Marker);
    assert_eq!(
        armor(&format!("{open}{block}")),
        twice,
        "a block inside a block"
    );
    let two_checksums = block.replace("-----END", "=AAAA\n=AAAA\n-----END");
    assert_eq!(armor(&two_checksums).reason(), "ArmorMalformed");
}

#[test]
fn only_a_bare_revocation_gives_no_certificate() {
    let bare = packet(2, &Shape::good().key_revocation(day(5), |sig| sig));
    assert_eq!(load_all(&bare).unwrap_err(), CertificateError::NoKey);
    let pinned = Shape::good().primary.fingerprint();
    let error = load(&bare, &pinned, &[]).unwrap_err();
    assert_eq!(
        error,
        CertificateError::PinnedNotFound {
            pinned,
            found: Vec::new(),
            foreign: BTreeSet::new(),
        }
    );
    assert!(error.to_string().contains("no key"));
}

#[test]
fn fingerprints_are_full_or_refused() {
    let lower = "0123456789abcdef0123456789abcdef01234567";
    let fingerprint: Fingerprint = lower.parse().unwrap();
    assert_eq!(fingerprint.to_string(), lower.to_uppercase());
    assert_eq!(fingerprint, lower.to_uppercase().parse().unwrap());
    assert_eq!(fingerprint.key_id(), "89ABCDEF01234567");
    let long: Fingerprint = format!("{lower}{}", "f".repeat(24)).parse().unwrap();
    assert_eq!(long.key_id(), "0123456789ABCDEF");
    let json = serde_json::to_string(&fingerprint).unwrap();
    assert_eq!(
        serde_json::from_str::<Fingerprint>(&json).unwrap(),
        fingerprint
    );
    assert!(serde_json::from_str::<Fingerprint>("\"89abcdef\"").is_err());
    for (text, error) in [
        ("89abcdef", FingerprintError::KeyId),
        ("89abcdef01234567", FingerprintError::KeyId),
        ("", FingerprintError::Length(0)),
        (&lower[1..], FingerprintError::Length(39)),
        (&"0".repeat(32), FingerprintError::Length(32)),
        (&format!("0x{lower}"), FingerprintError::NotHex),
        (&lower.replace('0', " "), FingerprintError::NotHex),
        (&"é".repeat(20), FingerprintError::NotHex),
    ] {
        assert_eq!(text.parse::<Fingerprint>().unwrap_err(), error, "{text}");
    }
}

#[test]
fn old_packets_have_lengths_of_one_two_and_four_octets() {
    let shape = Shape::good();
    let body = shape.primary.body();
    let length = u8::try_from(body.len()).unwrap();
    for head in [
        &[0x98, length][..],
        &[0x99, 0, length],
        &[0x9a, 0, 0, 0, length],
    ] {
        let material = [head, &body].concat();
        let certificate = load_all(&material).unwrap().remove(0);
        assert_eq!(*certificate.fingerprint(), shape.primary.fingerprint());
    }
}

/// Where a signature belongs is what stands before it, be it something that nobody reads.
#[test]
fn nothing_behind_a_user_attribute_belongs_to_what_stands_before_it() {
    let mut shape = bound_by(Vec::new());
    let binding = shape.binding(&subkey(), |sig| sig.flags(SIGN));
    shape.subkeys[0].1.clear();
    shape.after = [packet(17, &[1, 1, 1]), packet(2, &binding)].concat();
    assert_eq!(subkey_word(&shape), Code::NotBound);
    shape.after = packet(2, &binding);
    assert_eq!(subkey_word(&shape), OK);
}

#[test]
fn the_size_of_an_rsa_key_is_that_of_its_number() {
    let algorithm = |body: &[u8]| {
        let certificate = load_all(&packet(6, body)).unwrap().remove(0);
        certificate.summary(crate::forge::time(day(1))).algorithm
    };
    let key = Key::rsa();
    assert_eq!(algorithm(&key.body()), "RSA-2048");
    let mut v6 = key.clone();
    v6.version = 6;
    assert_eq!(algorithm(&v6.body()), "RSA-2048");
    let mut padded = key;
    padded.parameters.splice(..2, [0x08, 0x10, 0, 0]);
    assert_eq!(algorithm(&padded.body()), "RSA-2048", "after two zeros");
}

#[test]
fn what_a_back_signature_says_counts_only_where_the_flags_ask_for_it() {
    let shape = bound_by(Vec::new());
    for flags in [CERTIFY, ENCRYPT] {
        let binding = shape.binding(&subkey(), |sig| sig.flags(flags));
        assert_eq!(subkey_word(&bound_by(binding)), Code::NotSigningCapable);
    }
}

#[test]
fn a_block_does_not_go_on_with_the_certificate_of_another() {
    let good = public_block(&Shape::good().bytes());
    for tag in [13, 14, 17] {
        let body = Key::ed25519(3).body();
        let material = format!("{good}{}", public_block(&packet(tag, &body)));
        assert_eq!(
            load_all(material.as_bytes()).unwrap_err(),
            CertificateError::UnexpectedPacket { tag }
        );
    }
}

#[test]
fn a_pinned_subkey_is_told_with_its_primary_key() {
    let good = Shape::good();
    let (pinned, primary) = (subkey().fingerprint(), good.primary.fingerprint());
    let error = load(&good.bytes(), &pinned, &[]).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with(&format!("pin the primary key, {primary}"))
    );
    assert_eq!(error, CertificateError::PinnedSubkey { pinned, primary });
}

#[test]
fn text_that_powershell_wrote_is_called_so() {
    let utf16: Vec<u8> = "-----BEGIN"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for mark in [[0xff, 0xfe], [0xfe, 0xff]] {
        let file = [mark.as_slice(), &utf16].concat();
        assert_eq!(load_all(&file).unwrap_err(), CertificateError::Utf16);
        let error = parse_cleartext(&file).unwrap_err();
        assert!(error.to_string().contains("PowerShell"), "{error}");
    }
}
