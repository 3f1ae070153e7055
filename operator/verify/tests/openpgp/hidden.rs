//! Revocations that somebody tries to hide, to forge or to make look invalid.

use charttrust_verify::openpgp::{CertificateError, ClaimedRevocations, Code, load, load_all};

use crate::cells::v6;
use crate::forge::{
    BORN, CERTIFY_AND_SIGN, DAY, Key, SHA256, Shape, Sig, USER_ID, day, packet, public_block, sub,
    time, words,
};

const HARD: Code = Code::RevokedHard { compromised: false };
const COMPROMISED: Code = Code::RevokedHard { compromised: true };
const OK: Code = Code::Valid;
const UNCLEAR: Code = Code::RevocationNotVerifiable;

/// The word for both keys of the certificate, long after everything.
fn word(shape: &Shape) -> Code {
    let primary = shape.primary_words(day(10), day(900));
    let subkey = shape.subkey_words(day(10), day(900));
    assert_eq!(primary, subkey);
    assert_eq!(primary.0, primary.1);
    primary.0
}

fn revoked(change: impl FnOnce(Sig) -> Sig) -> Shape {
    revoked_of(Shape::good(), change)
}

fn revoked_of(mut shape: Shape, change: impl FnOnce(Sig) -> Sig) -> Shape {
    shape.direct.push(shape.key_revocation(day(50), change));
    shape
}

fn rsa() -> Shape {
    Shape::of(Key::rsa(), Key::ed25519(2))
}

#[test]
fn a_revocation_counts_in_every_place() {
    let body = Shape::good().key_revocation(day(50), |sig| sig.reason(2));
    let mut places = vec![];
    let mut direct = Shape::good();
    direct.direct.push(body.clone());
    places.push(direct);
    let mut under_user_id = Shape::good();
    under_user_id.user_ids[0].1.push(body.clone());
    places.push(under_user_id);
    let mut under_subkey = Shape::good();
    under_subkey.subkeys[0].1.push(body.clone());
    places.push(under_subkey);
    let mut under_attribute = Shape::good();
    under_attribute.after = [packet(17, &[1, 1, 1]), packet(2, &body)].concat();
    places.push(under_attribute);
    let mut behind_trust = Shape::good();
    behind_trust.after = [
        packet(12, &[0, 0]),
        packet(10, b"PGP"),
        packet(21, &[0; 9]),
        packet(2, &body),
    ]
    .concat();
    places.push(behind_trust);
    let mut behind_unknown = Shape::good();
    behind_unknown.after = [packet(60, &[1, 2]), packet(2, &body)].concat();
    places.push(behind_unknown);
    let mut under_another_key = Shape::good();
    under_another_key.after = [packet(6, &Key::ed25519(9).body()), packet(2, &body)].concat();
    places.push(under_another_key);
    for shape in places {
        assert_eq!(word(&shape), COMPROMISED);
    }
}

#[test]
fn a_revocation_counts_in_every_block() {
    let shape = Shape::good();
    let body = shape.key_revocation(day(50), |sig| sig.reason(2));
    let (key, bare) = (
        public_block(&shape.bytes()),
        public_block(&packet(2, &body)),
    );
    let pinned = shape.primary.fingerprint();
    for text in [
        format!("{key}{bare}"),
        format!("{bare}{key}"),
        format!("{key}\nSome words: about the key\n\n{bare}"),
        format!("# A note: the key follows\n{key}\n{bare}\nThe end: really\n"),
        format!("\u{feff}{key}{bare}"),
        format!("{key}{bare}").replace('\n', "\r\n"),
        format!("{key}{key}{bare}{bare}"),
    ] {
        let certificate = load(text.as_bytes(), &pinned, &[]).unwrap();
        assert_eq!(
            words(&certificate, &shape.primary, day(10), day(900)).1,
            COMPROMISED,
            "{text}"
        );
    }
    let binary = [packet(2, &body), shape.bytes()].concat();
    let certificate = load(&binary, &pinned, &[]).unwrap();
    assert_eq!(
        words(&certificate, &shape.primary, day(10), day(900)).1,
        COMPROMISED
    );
}

#[test]
fn a_revocation_in_one_of_two_copies_counts() {
    let (good, bad) = (Shape::good(), revoked(|sig| sig.reason(2)));
    for bytes in [
        [good.bytes(), bad.bytes()].concat(),
        [bad.bytes(), good.bytes()].concat(),
    ] {
        let certificate = load(&bytes, &good.primary.fingerprint(), &[]).unwrap();
        assert_eq!(
            words(&certificate, &good.primary, day(10), day(900)).1,
            COMPROMISED
        );
        assert_eq!(load_all(&bytes).unwrap().len(), 1);
    }
}

/// Revocations that break a rule of their making, but say what they say.
fn badly_made_revocations() -> Vec<(&'static str, Shape)> {
    let notation = [&[0x80, 0, 0, 0, 0, 3, 0, 1][..], b"a@bx"].concat();
    vec![
        (
            "critical notation",
            revoked(|sig| sig.critical(sub::NOTATION, notation)),
        ),
        (
            "critical private subpacket",
            revoked(|sig| sig.critical(101, [1])),
        ),
        (
            "critical unknown subpacket",
            revoked(|sig| sig.critical(99, [1])),
        ),
        (
            "older than the key",
            revoked(|mut sig| {
                sig.hashed[0].1 = 1u32.to_be_bytes().to_vec();
                sig
            }),
        ),
        (
            "from the far future",
            revoked(|mut sig| {
                sig.hashed[0].1 = u32::MAX.to_be_bytes().to_vec();
                sig
            }),
        ),
        ("expired", revoked(|sig| sig.lifetime(DAY))),
        ("no creation time", revoked(|sig| sig.without(sub::CREATED))),
        (
            "two creation times",
            revoked(|sig| sig.with(sub::CREATED, BORN.to_be_bytes())),
        ),
        ("no issuer", revoked(|sig| sig.without(sub::ISSUER))),
        (
            "only a key ID",
            revoked(|sig| sig.only_key_id(&Key::ed25519(1))),
        ),
        (
            "a wrong issuer",
            revoked(|sig| sig.without(sub::ISSUER).unhashed(sub::KEY_ID, [7; 8])),
        ),
        ("reason 100", revoked(|sig| sig.reason(100))),
        ("MD5", revoked_of(rsa(), |sig| sig.hash(1))),
        ("SHA-1", revoked_of(rsa(), |sig| sig.hash(2))),
        ("RIPEMD-160", revoked_of(rsa(), |sig| sig.hash(3))),
        ("SHA-224", revoked_of(rsa(), |sig| sig.hash(11))),
        ("SHA3-512", revoked_of(rsa(), |sig| sig.hash(14))),
        (
            "malformed unhashed area",
            revoked(|sig| sig.unhashed(0, [])),
        ),
        (
            "version 4 by a version 6 key",
            revoked_of(v6(), |sig| sig.version(4)),
        ),
        ("version 6", revoked_of(v6(), |sig| sig)),
    ]
}

#[test]
fn a_badly_made_revocation_still_revokes() {
    for (name, shape) in badly_made_revocations() {
        assert_eq!(word(&shape), HARD, "{name}");
    }
}

/// Revocations of which nobody can say whether they are the owner's.
fn unverifiable_revocations() -> Vec<(&'static str, Shape)> {
    let unknown_hash = |sig: Sig| sig.hash(99);
    vec![
        ("unknown hash", revoked(unknown_hash)),
        (
            "unknown hash, key ID only",
            revoked(|sig| unknown_hash(sig).only_key_id(&Key::ed25519(1))),
        ),
        (
            "unknown hash, no issuer",
            revoked(|sig| unknown_hash(sig).without(sub::ISSUER)),
        ),
        (
            "unknown hash, unreadable issuer",
            revoked(|sig| {
                unknown_hash(sig)
                    .without(sub::ISSUER)
                    .unhashed(sub::ISSUER, [9, 9])
            }),
        ),
        ("EdDSA with SHA-1", revoked(|sig| sig.hash(2))),
        (
            "unknown hash, malformed key ID",
            revoked(|sig| {
                unknown_hash(sig)
                    .without(sub::ISSUER)
                    .unhashed(sub::KEY_ID, [9])
            }),
        ),
        ("unknown version", revoked(|sig| sig.version(99))),
        (
            "version 6 with a hash it does not know",
            revoked_of(v6(), |sig| sig.hash(2)),
        ),
    ]
}

#[test]
fn a_revocation_that_cannot_be_checked_stops_the_key() {
    for (name, shape) in unverifiable_revocations() {
        assert_eq!(word(&shape), UNCLEAR, "{name}");
        let revocation = shape.load().summary(time(day(60))).revocation.unwrap();
        assert_eq!(
            (revocation.hard, revocation.reason),
            (true, "not verifiable"),
            "{name}"
        );
    }
    for body in [
        &[5u8, 0x20, 22, 8][..],
        &[4, 0x20],
        &[3, 5, 0x20, 0, 0, 0, 0],
        &[4, 0x20, 1, 8, 0, 2, 9, 9],
    ] {
        let mut shape = Shape::good();
        shape.direct.push(body.to_vec());
        assert_eq!(word(&shape), UNCLEAR, "{body:?}");
        let mut loose = Shape::good();
        loose.after = Vec::new();
        let bytes = [packet(2, body), loose.bytes()].concat();
        let certificate = load(&bytes, &loose.primary.fingerprint(), &[]).unwrap();
        assert_eq!(
            words(&certificate, &loose.primary, day(10), day(20)).1,
            UNCLEAR
        );
    }
}

#[test]
fn an_unclear_revocation_is_worse_than_a_soft_one_and_better_than_a_hard_one() {
    let mut shape = revoked(|sig| sig.reason(1));
    shape
        .direct
        .push(shape.key_revocation(day(50), |sig| sig.hash(99)));
    assert_eq!(word(&shape), UNCLEAR);
    shape
        .direct
        .push(shape.key_revocation(day(50), |sig| sig.reason(0)));
    assert_eq!(word(&shape), HARD);
}

#[test]
fn a_forged_revocation_does_nothing() {
    let good = Shape::good();
    let stranger = Key::ed25519(9);
    let by_stranger = |sig: &Sig| sig.sign(&stranger, &[&good.primary.hashed()]);
    let cases = [
        (
            "in the owner's name",
            by_stranger(&Sig::new(0x20, &good.primary, day(50))),
        ),
        (
            "in the stranger's name",
            by_stranger(&Sig::new(0x20, &stranger, day(50))),
        ),
        (
            "in nobody's name",
            by_stranger(&Sig::new(0x20, &stranger, day(50)).without(sub::ISSUER)),
        ),
        ("broken", good.key_revocation(day(50), Sig::broken)),
        (
            "stranger, unknown hash",
            by_stranger(&Sig::new(0x20, &stranger, day(50)).hash(99)),
        ),
        (
            "of another key",
            Sig::new(0x20, &good.primary, day(50)).sign(&good.primary, &[&stranger.hashed()]),
        ),
        ("another algorithm", {
            let mut sig = Sig::new(0x20, &good.primary, day(50));
            sig.key_algorithm = Some(1);
            good.direct(&sig)
        }),
    ];
    for (name, body) in cases {
        let mut shape = Shape::good();
        shape.direct.push(body);
        assert_eq!(word(&shape), OK, "{name}");
    }
}

#[test]
fn a_strange_revocation_elsewhere_does_not_touch_this_key() {
    let body = Key::ed25519(9).body();
    let unreadable = [packet(6, &body), packet(2, &[99, 0x20])].concat();
    let nameless = Sig::new(0x20, &Key::ed25519(9), day(50))
        .hash(99)
        .without(sub::ISSUER);
    let nameless = nameless.sign(&Key::ed25519(9), &[&Key::ed25519(9).hashed()]);
    let nameless = [packet(6, &body), packet(2, &nameless)].concat();
    for other in [unreadable, nameless] {
        let mut shape = Shape::good();
        shape.after = other;
        assert_eq!(word(&shape), OK);
        let all = load_all(&shape.bytes()).unwrap();
        let other = all
            .iter()
            .find(|one| one.fingerprint() == &Key::ed25519(9).fingerprint())
            .unwrap();
        assert_eq!(other.summary(time(day(60))).usable, Err(UNCLEAR));
    }
}

#[test]
fn a_subkey_revocation_counts_in_every_place() {
    let body = Shape::good().subkey_revocation(&Key::ed25519(2), day(50), |sig| sig);
    let mut shapes = vec![
        Shape::good(),
        Shape::good(),
        Shape::good(),
        Shape::good(),
        Shape::good(),
    ];
    shapes[0].direct.push(body.clone());
    shapes[1].user_ids[0].1.push(body.clone());
    shapes[2].subkeys[0].1.push(body.clone());
    shapes[3].add_subkey(Key::ed25519(3), |sig| sig.flags(2));
    shapes[3].subkeys[1].1.push(body.clone());
    shapes[4].after = [packet(6, &Key::ed25519(9).body()), packet(2, &body)].concat();
    for shape in &shapes {
        assert_eq!(shape.subkey_words(day(10), day(900)), (HARD, HARD));
        assert_eq!(shape.primary_words(day(10), day(900)), (OK, OK));
    }
    assert_eq!(
        words(&shapes[3].load(), &Key::ed25519(3), day(10), day(900)),
        (OK, OK)
    );
    let bare = [packet(2, &body), Shape::good().bytes()].concat();
    let pinned = Shape::good().primary.fingerprint();
    let certificate = load(&bare, &pinned, &[]).unwrap();
    assert_eq!(
        words(&certificate, &Key::ed25519(2), day(10), day(900)),
        (HARD, HARD)
    );
    let certificate = load(&Shape::good().bytes(), &pinned, &[&packet(2, &body)]).unwrap();
    assert_eq!(
        words(&certificate, &Key::ed25519(2), day(10), day(900)),
        (HARD, HARD)
    );
}

#[test]
fn an_unclear_subkey_revocation_stops_the_subkey_it_stands_under() {
    let unclear = Shape::good().subkey_revocation(&Key::ed25519(2), day(50), |sig| sig.hash(99));
    for body in [unclear, vec![99, 0x28, 1, 2]] {
        let mut shape = Shape::good();
        shape.add_subkey(Key::ed25519(3), |sig| sig.flags(2));
        shape.subkeys[0].1.push(body.clone());
        assert_eq!(shape.subkey_words(day(10), day(60)), (UNCLEAR, UNCLEAR));
        assert_eq!(shape.primary_words(day(10), day(60)), (OK, OK));
        assert_eq!(
            words(&shape.load(), &Key::ed25519(3), day(10), day(60)),
            (OK, OK)
        );
        let mut anywhere = Shape::good();
        anywhere.direct.push(body);
        assert_eq!(anywhere.subkey_words(day(10), day(60)), (UNCLEAR, UNCLEAR));
    }
}

#[test]
fn an_unclear_subkey_revocation_in_another_certificate_does_nothing() {
    let good = Shape::good();
    let body = good.subkey_revocation(&Key::ed25519(2), day(50), |sig| sig.hash(99));
    let mut other = Shape::of(Key::ed25519(8), Key::ed25519(2));
    other.subkeys[0].1.push(body);
    let both = [good.bytes(), other.bytes()].concat();
    let certificate = load(&both, &good.primary.fingerprint(), &[]).unwrap();
    let words = words(&certificate, &Key::ed25519(2), day(10), day(60));
    assert_eq!(words, (OK, OK));
}

#[test]
fn a_revocation_certificate_may_repeat_what_the_key_says() {
    let mut shape = Shape::good();
    let body = shape.subkey_revocation(&Key::ed25519(2), day(50), |sig| sig);
    shape.subkeys[0].1.push(body.clone());
    let pinned = shape.primary.fingerprint();
    assert!(load(&shape.bytes(), &pinned, &[&packet(2, &body)]).is_ok());
}

#[test]
fn a_user_id_that_is_revoked_in_one_place_is_revoked() {
    let mut shape = Shape::good();
    let revocation = Sig::new(0x30, &shape.primary, day(50));
    let revocation = shape.sign_user_id(&revocation, USER_ID);
    let again = (shape.user_ids[0].0.clone(), vec![revocation]);
    shape.user_ids.push(again);
    let missing = Code::NoValidSelfSignature;
    assert_eq!(shape.primary_words(day(10), day(60)), (missing, missing));
}

/// Designates these keys, each in a signature of its own.
fn designating(revokers: &[u8]) -> Shape {
    let mut shape = Shape::good();
    for revoker in revokers {
        let body = [&[0x80, 22][..], &Key::ed25519(*revoker).fingerprint_bytes()].concat();
        let direct = Sig::new(0x1f, &shape.primary, day(0)).with(sub::REVOKER, body);
        shape.direct.push(shape.direct(&direct));
    }
    shape
}

fn revocation_by(revoker: &Key, change: impl FnOnce(Sig) -> Sig) -> Vec<u8> {
    let primary = Shape::good().primary;
    change(Sig::new(0x20, revoker, day(50))).sign(revoker, &[&primary.hashed()])
}

#[test]
fn each_of_several_designated_revokers_may_revoke() {
    for revoker in [8, 9] {
        let mut shape = designating(&[9, 9, 8]);
        let key = Key::ed25519(revoker);
        shape.after = packet(6, &key.body());
        shape.direct.push(revocation_by(&key, |sig| sig));
        assert_eq!(shape.primary_words(day(10), day(60)), (HARD, HARD));
    }
}

#[test]
fn a_revocation_by_nobody_designated_does_nothing() {
    let stranger = Key::ed25519(7);
    for body in [
        revocation_by(&stranger, |sig| sig),
        revocation_by(&stranger, |sig| sig.only_key_id(&stranger)),
    ] {
        let mut shape = designating(&[9]);
        shape.direct.push(body);
        assert_eq!(shape.primary_words(day(10), day(60)), (OK, OK));
    }
}

#[test]
fn a_forged_subkey_revocation_does_nothing() {
    let good = Shape::good();
    let parts = [good.primary.hashed(), Key::ed25519(2).hashed()];
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let by_itself = Sig::new(0x28, &Key::ed25519(2), day(50)).sign(&Key::ed25519(2), &parts);
    let by_stranger = Sig::new(0x28, &good.primary, day(50)).sign(&Key::ed25519(9), &parts);
    let of_another = good.subkey_revocation(&Key::ed25519(3), day(50), |sig| sig);
    for body in [by_itself, by_stranger, of_another] {
        let mut shape = Shape::good();
        shape.subkeys[0].1.push(body);
        assert_eq!(shape.subkey_words(day(10), day(60)), (OK, OK));
    }
}

#[test]
fn a_user_id_revocation_removes_that_user_id_only() {
    let mut shape = Shape::good();
    shape.add_user_id(b"second", |sig| sig.flags(CERTIFY_AND_SIGN));
    let revocation = shape.sign_user_id(
        &Sig::new(0x30, &shape.primary, day(50)).reason(32),
        b"second",
    );
    shape.user_ids[1].1.push(revocation.clone());
    assert_eq!(word(&shape), OK);
    shape.user_ids.swap(0, 1);
    assert_eq!(word(&shape), OK);
    shape.user_ids.truncate(1);
    assert_eq!(word(&shape), Code::NoValidSelfSignature);
    let mut forged = Shape::good();
    forged.user_ids[0].1.push(revocation);
    assert_eq!(word(&forged), OK, "a revocation of another user ID");
    let mut broken = Shape::good();
    let body = broken.sign_user_id(
        &Sig::new(0x30, &broken.primary, day(50)).broken(),
        b"Good <good@example.org>",
    );
    broken.user_ids[0].1.push(body);
    assert_eq!(word(&broken), OK);
}

#[test]
fn a_designated_revoker_revokes_if_present_and_stops_the_key_if_absent() {
    let revoker = Key::ed25519(9);
    let designated = |sig: Sig| {
        sig.with(
            sub::REVOKER,
            [&[0x80, 22][..], &revoker.fingerprint_bytes()].concat(),
        )
    };
    let mut shape = Shape::good();
    let direct = designated(Sig::new(0x1f, &shape.primary, day(0)));
    shape.direct.push(shape.direct(&direct));
    assert_eq!(word(&shape), OK, "not used yet");
    let revocation = Sig::new(0x20, &revoker, day(50))
        .reason(2)
        .sign(&revoker, &[&shape.primary.hashed()]);
    shape.direct.push(revocation.clone());
    assert_eq!(word(&shape), UNCLEAR, "the revoker's key is not there");
    shape.after = packet(6, &revoker.body());
    assert_eq!(word(&shape), COMPROMISED);

    let mut broken = shape.clone();
    broken.direct.pop();
    let body = Sig::new(0x20, &revoker, day(50))
        .broken()
        .sign(&revoker, &[&shape.primary.hashed()]);
    broken.direct.push(body);
    assert_eq!(word(&broken), OK, "wrong mathematics");

    let mut unclear = broken.clone();
    unclear.direct.pop();
    let body = Sig::new(0x20, &revoker, day(50))
        .hash(99)
        .sign(&revoker, &[&shape.primary.hashed()]);
    unclear.direct.push(body);
    assert_eq!(word(&unclear), UNCLEAR, "unknown hash");

    let mut weak = Shape::of(Key::rsa(), Key::ed25519(2));
    let direct = designated(Sig::new(0x1f, &weak.primary, day(0)).hash(2));
    weak.direct.push(weak.direct(&direct));
    let body = Sig::new(0x20, &revoker, day(50)).sign(&revoker, &[&weak.primary.hashed()]);
    weak.direct.push(body);
    assert_eq!(
        word(&weak),
        UNCLEAR,
        "designated by a SHA-1 signature, which gives no trust"
    );

    let mut not_designated = Shape::good();
    not_designated.direct.push(revocation);
    not_designated.after = packet(6, &revoker.body());
    assert_eq!(word(&not_designated), OK);

    let mut forged = Shape::good();
    let direct = designated(Sig::new(0x1f, &forged.primary, day(0)).broken());
    forged.direct.push(forged.direct(&direct));
    let body = Sig::new(0x20, &revoker, day(50)).sign(&revoker, &[&forged.primary.hashed()]);
    forged.direct.push(body);
    assert_eq!(word(&forged), OK, "nobody designated this revoker");
}

#[test]
fn a_designated_revoker_may_revoke_a_subkey() {
    let revoker = Key::ed25519(9);
    let mut shape = Shape::good();
    let body = [&[0x80, 22][..], &revoker.fingerprint_bytes()].concat();
    let direct = Sig::new(0x1f, &shape.primary, day(0)).with(sub::REVOKER, body);
    shape.direct.push(shape.direct(&direct));
    let parts = [shape.primary.hashed(), Key::ed25519(2).hashed()];
    let revocation = Sig::new(0x28, &revoker, day(50)).sign(&revoker, &[&parts[0], &parts[1]]);
    shape.subkeys[0].1.push(revocation);
    assert_eq!(shape.subkey_words(day(10), day(60)), (UNCLEAR, UNCLEAR));
    shape.after = packet(6, &revoker.body());
    assert_eq!(shape.subkey_words(day(10), day(60)), (HARD, HARD));
    assert_eq!(shape.primary_words(day(10), day(60)), (OK, OK));
}

#[test]
fn a_revocation_certificate_must_revoke_the_pinned_key() {
    let shape = Shape::good();
    let pinned = shape.primary.fingerprint();
    let right = packet(2, &shape.key_revocation(day(50), |sig| sig));
    let wrong = packet(
        2,
        &Shape::of(Key::ed25519(5), Key::ed25519(6)).key_revocation(day(50), |sig| sig),
    );
    let broken = packet(2, &shape.key_revocation(day(50), Sig::broken));
    assert!(load(&shape.bytes(), &pinned, &[&right]).is_ok());
    assert!(
        load(&shape.bytes(), &pinned, &[&right, &right]).is_ok(),
        "twice the same"
    );
    for bad in [wrong, broken, shape.bytes()] {
        let error = load(&shape.bytes(), &pinned, &[&right, &bad]).unwrap_err();
        assert_eq!(error, CertificateError::RevocationOfOtherKey { number: 2 });
    }
    let garbage = load(&shape.bytes(), &pinned, &[b"no revocation"]).unwrap_err();
    assert_eq!(garbage, CertificateError::NoKey);
}

#[test]
fn the_digest_names_the_statement_and_not_its_wrapping() {
    let plain = revoked(|sig| sig.reason(2));
    let wrapped = revoked(|sig| sig.reason(2).unhashed(sub::NOTATION, [1]));
    let other = revoked(|sig| sig.reason(2).hash(SHA256));
    let digest = |shape: &Shape| {
        shape
            .load()
            .summary(time(day(60)))
            .revocation
            .unwrap()
            .digest
    };
    assert_eq!(digest(&plain), digest(&wrapped));
    assert_ne!(digest(&plain), digest(&other));
    assert_eq!(digest(&plain).len(), 64);
}

#[test]
fn an_unclear_subkey_revocation_elsewhere_stops_the_subkeys_of_its_own_certificate() {
    let unclear = Shape::good().subkey_revocation(&Key::ed25519(2), day(50), |sig| sig.hash(99));
    let mut good = Shape::good();
    good.add_subkey(Key::ed25519(3), |sig| sig.flags(2));
    let mut behind_user_id = good.clone();
    behind_user_id.after = [packet(13, b"later"), packet(2, &unclear)].concat();
    for seed in [2, 3] {
        let stopped = words(
            &behind_user_id.load(),
            &Key::ed25519(seed),
            day(10),
            day(60),
        );
        assert_eq!(stopped, (UNCLEAR, UNCLEAR), "key {seed}");
    }
    let mut other = Shape::of(Key::ed25519(8), Key::ed25519(9));
    other.direct.push(unclear);
    let both = [good.bytes(), other.bytes()].concat();
    let certificate = load(&both, &good.primary.fingerprint(), &[]).unwrap();
    let words = words(&certificate, &Key::ed25519(2), day(10), day(60));
    assert_eq!(words, (OK, OK), "it stands in another certificate");
}

#[test]
fn a_flood_of_one_revocation_is_checked_once() {
    let mut shape = Shape::good();
    let revocation = shape.key_revocation(day(50), |sig| sig.reason(2));
    shape.direct = vec![revocation; 200];
    assert_eq!(word(&shape), COMPROMISED);
}

/// Files that hold a revocation and cannot be used otherwise.
fn damaged(revocation: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let bare = packet(2, revocation);
    let block = public_block(&bare);
    let of_shape = |after: &[u8]| [Shape::good().bytes(), bare.clone(), after.to_vec()].concat();
    let indented: Vec<_> = block.lines().map(|line| format!("    {line}")).collect();
    vec![
        (
            "a secret key follows",
            of_shape(&packet(5, &[4, 0, 0, 0, 0, 22])),
        ),
        ("it is cut off after it", of_shape(&[0xc2, 0xff])),
        (
            "the key is malformed",
            [packet(6, &[4]), bare.clone()].concat(),
        ),
        (
            "a packet that has no place",
            [packet(11, b"text"), bare.clone()].concat(),
        ),
        (
            "a colon before it, as GnuPG writes",
            format!(":{block}").into_bytes(),
        ),
        ("indented", indented.join("\n").into_bytes()),
        (
            "another block is broken",
            format!("{block}\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!\n").into_bytes(),
        ),
        ("a private key block before it", {
            format!("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nAAAA\n{block}").into_bytes()
        }),
    ]
}

#[test]
fn a_revocation_is_found_in_whatever_cannot_be_used_otherwise() {
    let good = Shape::good();
    let revocation = good.key_revocation(day(5), |sig| sig.reason(2));
    for (what, file) in damaged(&revocation) {
        let pinned = good.primary.fingerprint();
        assert!(load(&file, &pinned, &[]).is_err(), "{what}");
        let claimed = ClaimedRevocations::read(&file);
        let revoked = good.load().with_claimed(&claimed).summary(time(day(10)));
        assert!(
            revoked.revocation.is_some_and(|one| one.compromised),
            "{what}"
        );
    }
}

#[test]
fn claimed_revocations_of_strangers_and_garbage_change_nothing() {
    let good = Shape::good();
    let stranger = Shape::of(Key::ed25519(8), Key::ed25519(9));
    let mut claimed = ClaimedRevocations::default();
    for packet_body in [
        stranger.key_revocation(day(5), |sig| sig),
        good.key_revocation(day(5), Sig::broken),
        vec![3, 5, 0x20, 0, 0, 0, 0],
    ] {
        claimed.join(ClaimedRevocations::read(&packet(2, &packet_body)));
    }
    assert!(!claimed.is_empty());
    let same = good.load().with_claimed(&claimed);
    assert_eq!(
        same.summary(time(day(10))),
        good.load().summary(time(day(10)))
    );
    assert!(ClaimedRevocations::read(b"").is_empty());
    assert!(ClaimedRevocations::read(&good.bytes()).is_empty());
}

#[test]
fn a_designated_revoker_that_only_another_copy_names_revokes() {
    let revoker = Key::ed25519(9);
    let mut naming = designating(&[9]);
    naming.after = packet(6, &revoker.body());
    let mut revoked = Shape::good();
    revoked.direct.push(revocation_by(&revoker, |sig| sig));
    assert_eq!(word(&naming), OK);
    assert_eq!(word(&revoked), OK, "nobody named the revoker here");
    let claimed = ClaimedRevocations::read(&revoked.bytes());
    for united in [
        naming.load().union(&revoked.load()).unwrap(),
        revoked.load().union(&naming.load()).unwrap(),
    ] {
        let united = united.with_claimed(&claimed);
        assert_eq!(
            words(&united, &naming.primary, day(10), day(60)),
            (HARD, HARD)
        );
    }
}

#[test]
fn a_claimed_revocation_of_a_subkey_counts_for_it() {
    let good = Shape::good();
    let revocation = good.subkey_revocation(&Key::ed25519(2), day(5), |sig| sig);
    let claimed = ClaimedRevocations::read(&packet(2, &revocation));
    let summary = good.load().with_claimed(&claimed).summary(time(day(10)));
    assert_eq!(summary.subkey_revocations.len(), 1);
    assert_eq!(summary.revocation, None);
}
