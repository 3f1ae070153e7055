//! Data signatures: which can never count, and what their own dates do.

use charttrust_verify::openpgp::{
    Code, SignatureRecord, VerifiedSignature, load_all, signature_validity, verify,
};
use charttrust_verify::seal::Attestation;

use crate::cells::v6;
use crate::forge::{
    BORN, DAY, Key, SHA256, SHA512, Shape, Sig, TEXT, day, hashed_text, message, message_of, stand,
    sub, text_signature, time, vector, verify_word,
};

const OK: Code = Code::Valid;

/// The word for a signature by the primary Ed25519 key with one change.
fn word(change: impl FnOnce(Sig) -> Sig) -> Code {
    verify_word(
        &Shape::good().load(),
        text_signature(&Key::ed25519(1), day(10), change),
    )
}

fn rsa_word(change: impl FnOnce(Sig) -> Sig) -> Code {
    let shape = Shape::of(Key::rsa(), Key::ed25519(2));
    verify_word(&shape.load(), text_signature(&Key::rsa(), day(10), change))
}

#[test]
fn a_plain_text_signature_is_valid() {
    assert_eq!(word(|sig| sig), OK);
    assert_eq!(rsa_word(|sig| sig), OK);
    assert_eq!(
        verify_word(
            &v6().load(),
            text_signature(&Key::v6(2), day(10), |sig| sig)
        ),
        OK
    );
    assert_eq!(
        word(|sig| sig.only_key_id(&Key::ed25519(1))),
        OK,
        "as Helm 3 writes it"
    );
    assert_eq!(
        word(|sig| sig.unhashed(sub::KEY_ID, Key::ed25519(1).key_id())),
        OK,
        "as GnuPG does"
    );
    let salt = [
        &[0, 0, 0, 0, 0, 29, 0, 2][..],
        b"salt@notations.openpgpjs.org",
        b"\x80",
        b"ab",
    ]
    .concat();
    assert_eq!(
        word(|sig| sig.with(sub::NOTATION, salt)),
        OK,
        "as Helm 4 writes it"
    );
    assert_eq!(
        word(|sig| sig.critical(sub::KEY_ID, Key::ed25519(1).key_id())),
        OK
    );
    assert_eq!(
        word(|sig| sig.with(99, [1]).with(101, [2]).unhashed(0xe3, [3])),
        OK
    );
}

#[test]
fn only_text_signatures_count() {
    for kind in [
        0x00, 0x02, 0x10, 0x13, 0x18, 0x19, 0x1f, 0x20, 0x28, 0x30, 0x40, 0x50, 0xff,
    ] {
        let word = word(|mut sig| {
            sig.kind = kind;
            sig
        });
        assert_eq!(word, Code::WrongType, "type {kind:#x}");
    }
}

#[test]
fn a_standalone_or_timestamp_signature_over_one_byte_is_refused() {
    // rPGP alone hashes one byte of the text for these and calls them valid.
    for kind in [0x02, 0x40] {
        let mut sig = Sig::new(kind, &Key::ed25519(1), day(10));
        sig.kind = kind;
        let body = sig.sign(&Key::ed25519(1), &[&TEXT.as_bytes()[..1]]);
        assert_eq!(verify_word(&Shape::good().load(), body), Code::WrongType);
    }
}

#[test]
fn a_binary_signature_over_the_very_bytes_is_refused() {
    for text in [TEXT.as_bytes().to_vec(), hashed_text(TEXT)] {
        let body = Sig::new(0x00, &Key::ed25519(1), day(10)).sign(&Key::ed25519(1), &[&text]);
        assert_eq!(verify_word(&Shape::good().load(), body), Code::WrongType);
    }
}

#[test]
fn weak_hashes_are_refused_whatever_the_date() {
    for hash in [1, 2, 3, 11] {
        assert_eq!(
            rsa_word(|sig| sig.hash(hash)),
            Code::WeakHash,
            "hash {hash}"
        );
        let old = text_signature(&Key::rsa(), BORN, |sig| sig.hash(hash));
        let shape = Shape::of(Key::rsa(), Key::ed25519(2));
        assert_eq!(
            verify_word(&shape.load(), old),
            Code::WeakHash,
            "hash {hash}, old"
        );
    }
    for hash in [8, 9, 10, 12, 14] {
        assert_eq!(rsa_word(|sig| sig.hash(hash)), OK, "hash {hash}");
    }
    for hash in [0, 4, 13, 99, 110] {
        assert_eq!(
            word(|sig| sig.hash(hash)),
            Code::UnsupportedAlgorithm,
            "hash {hash}"
        );
    }
}

#[test]
fn a_hash_shorter_than_the_curve_is_weak() {
    let word = |name: &str, hash: u8| {
        let certificate = load_all(&vector(name)).unwrap().remove(0);
        let id = hex::decode(certificate.fingerprint().as_str()).unwrap();
        let issuer = [&[4][..], &id].concat();
        let mut sig = Sig::new(0x01, &Key::ed25519(1), 1_720_000_000)
            .hash(hash)
            .without(sub::ISSUER);
        sig = sig.with(sub::ISSUER, issuer);
        sig.key_algorithm = Some(19);
        let body = sig.sign(&Key::ed25519(1), &[&hashed_text(TEXT)]);
        verify_word(&certificate, body)
    };
    for (name, weak, strong) in [
        ("nistp384.asc", &[8, 12][..], 9),
        ("nistp521.asc", &[8, 9, 12], 10),
    ] {
        for hash in weak {
            assert_eq!(word(name, *hash), Code::WeakHash, "{name} {hash}");
        }
        assert_eq!(word(name, strong), Code::BadSignature, "{name}");
    }
}

#[test]
fn the_mathematics_must_be_right() {
    assert_eq!(word(Sig::broken), Code::BadSignature);
    assert_eq!(rsa_word(Sig::broken), Code::BadSignature);
    assert_eq!(
        rsa_word(|sig| sig.broken().hash(14)),
        Code::BadSignature,
        "left to rPGP"
    );
    let mut other_algorithm = Sig::new(0x01, &Key::ed25519(1), day(10));
    other_algorithm.key_algorithm = Some(1);
    let body = other_algorithm.sign(&Key::ed25519(1), &[&hashed_text(TEXT)]);
    assert_eq!(verify_word(&Shape::good().load(), body), Code::BadSignature);
    let by_stranger =
        Sig::new(0x01, &Key::ed25519(1), day(10)).sign(&Key::ed25519(9), &[&hashed_text(TEXT)]);
    assert_eq!(
        verify_word(&Shape::good().load(), by_stranger),
        Code::BadSignature
    );
    let mut mislabelled = Sig::new(0x01, &Key::ed25519(1), day(10));
    mislabelled.key_algorithm = Some(17);
    let body = mislabelled.sign(&Key::ed25519(1), &[&hashed_text(TEXT)]);
    let word = verify_word(&Shape::good().load(), body);
    assert_eq!(word, Code::BadSignature, "said to be DSA");
    let mut unsalted = Sig::new(0x01, &Key::v6(1), day(10));
    unsalted.salt_length = Some(31);
    let body = unsalted.sign(&Key::v6(1), &[&hashed_text(TEXT)]);
    let word = verify_word(&v6().load(), body);
    assert_eq!(word, Code::BadSignature, "salt of another length");
    let other_text = Sig::new(0x01, &Key::ed25519(1), day(10)).sign(&Key::ed25519(1), &[b"x"]);
    assert_eq!(
        verify_word(&Shape::good().load(), other_text),
        Code::BadSignature
    );
    let mut prefix = text_signature(&Key::rsa(), day(10), |sig| sig);
    let at = prefix.len() - 2 - 256 - 2;
    prefix[at] ^= 1;
    let shape = Shape::of(Key::rsa(), Key::ed25519(2));
    assert_eq!(
        verify_word(&shape.load(), prefix),
        Code::BadSignature,
        "hash prefix"
    );
    let longer = [text_signature(&Key::rsa(), day(10), |sig| sig), vec![0]].concat();
    assert_eq!(
        verify_word(&shape.load(), longer),
        Code::BadSignature,
        "bytes behind the number"
    );
}

#[test]
fn an_rsa_number_may_be_shorter_than_the_modulus_and_not_longer() {
    let shape = Shape::of(Key::rsa(), Key::ed25519(2));
    let certificate = shape.load();
    // About one signature in 256 has a leading zero byte, which the number leaves out.
    let short = (0..4000)
        .map(|second| text_signature(&Key::rsa(), day(10) + second, |sig| sig))
        .find(|body| u16::from_be_bytes([body[number(body)], body[number(body) + 1]]) <= 2040)
        .expect("one of 4000 signatures is short");
    assert_eq!(verify_word(&certificate, short), OK);
    let body = text_signature(&Key::rsa(), day(10), |sig| sig);
    let at = number(&body);
    let mut padded = body[..at].to_vec();
    padded.extend((2048u16 + 8).to_be_bytes());
    padded.push(0);
    padded.extend(&body[at + 2..]);
    assert_eq!(
        verify_word(&certificate, padded),
        OK,
        "leading zeros are no part of a number"
    );
    let mut longer = body[..at].to_vec();
    longer.extend((2048u16 + 8).to_be_bytes());
    longer.push(1);
    longer.extend(&body[at + 2..]);
    assert_eq!(verify_word(&certificate, longer), Code::BadSignature);
}

/// Where the RSA number begins in a signature made by [`text_signature`].
fn number(body: &[u8]) -> usize {
    let hashed = usize::from(u16::from_be_bytes([body[4], body[5]]));
    6 + hashed + 2 + 2
}

#[test]
fn critical_subpackets_that_are_not_enforced_refuse_the_signature() {
    let notation = [&[0x80, 0, 0, 0, 0, 3, 0, 1][..], b"a@bx"].concat();
    assert_eq!(
        word(|sig| sig.critical(sub::NOTATION, notation)),
        Code::CriticalUnknown
    );
    for kind in [
        0, 1, 4, 5, 6, 8, 10, 13, 14, 15, 17, 18, 19, 26, 28, 31, 36, 37, 38, 40, 99, 100, 105,
        110, 127,
    ] {
        assert_eq!(
            word(|sig| sig.critical(kind, [1])),
            Code::CriticalUnknown,
            "subpacket {kind}"
        );
        assert_eq!(
            word(|sig| sig.with(kind, [1])),
            OK,
            "subpacket {kind}, not critical"
        );
    }
    for kind in [7, 11, 21, 22, 23, 24, 25, 27, 29, 30, 32, 34, 39] {
        assert_eq!(word(|sig| sig.critical(kind, [1])), OK, "subpacket {kind}");
    }
}

#[test]
fn the_creation_time_is_signed_and_single() {
    assert_eq!(word(|sig| sig.without(sub::CREATED)), Code::WrongType);
    let unhashed = |sig: Sig| {
        sig.without(sub::CREATED)
            .unhashed(sub::CREATED, day(10).to_be_bytes())
    };
    assert_eq!(word(unhashed), Code::WrongType);
    assert_eq!(
        word(|sig| sig.with(sub::CREATED, day(10).to_be_bytes())),
        Code::WrongType
    );
    assert_eq!(
        word(|sig| sig.without(sub::CREATED).with(sub::CREATED, [1, 2, 3])),
        Code::WrongType
    );
    assert_eq!(
        word(|sig| sig.unhashed(sub::CREATED, day(99).to_be_bytes())),
        OK
    );
    assert_eq!(
        word(|sig| sig.with(sub::LIFETIME, [1, 2, 3])),
        Code::WrongType
    );
}

#[test]
fn the_issuer_is_named_without_contradiction() {
    let own = Key::ed25519(1);
    let other = Key::ed25519(9);
    let fingerprint = |key: &Key| [&[4][..], &key.fingerprint_bytes()].concat();
    assert_eq!(word(|sig| sig.without(sub::ISSUER)), Code::NoIssuer);
    for change in [
        (sub::KEY_ID, other.key_id()),
        (sub::ISSUER, fingerprint(&other)),
        (sub::ISSUER, vec![4, 1, 2]),
        (sub::ISSUER, [&[6][..], &own.fingerprint_bytes()].concat()),
        (sub::ISSUER, vec![]),
        (sub::KEY_ID, vec![1, 2, 3]),
    ] {
        assert_eq!(
            word(|sig| sig.unhashed(change.0, change.1.clone())),
            Code::NoIssuer,
            "{change:?}"
        );
        assert_eq!(
            word(|sig| sig.with(change.0, change.1.clone())),
            Code::NoIssuer,
            "{change:?}"
        );
    }
    let two_ids = |sig: Sig| sig.only_key_id(&own).unhashed(sub::KEY_ID, other.key_id());
    assert_eq!(word(two_ids), Code::NoIssuer);
    assert_eq!(
        word(|sig| sig.only_key_id(&own).unhashed(sub::KEY_ID, own.key_id())),
        OK
    );
    let stranger = text_signature(&other, day(10), |sig| sig);
    assert_eq!(
        verify_word(&Shape::good().load(), stranger),
        Code::UnknownKey
    );
    let by_id = text_signature(&other, day(10), |sig| sig.only_key_id(&other));
    assert_eq!(verify_word(&Shape::good().load(), by_id), Code::UnknownKey);
}

#[test]
fn a_right_user_id_under_another_fingerprint_is_unknown() {
    let impostor = Shape::of(Key::ed25519(9), Key::ed25519(8));
    assert_eq!(impostor.user_ids[0].0, Shape::good().user_ids[0].0);
    let body = text_signature(&impostor.primary, day(10), |sig| sig);
    assert_eq!(verify_word(&Shape::good().load(), body), Code::UnknownKey);
}

#[test]
fn a_signature_for_one_reader_is_no_public_statement() {
    let recipient = [&[4][..], &Key::ed25519(9).fingerprint_bytes()].concat();
    assert_eq!(
        word(|sig| sig.with(sub::RECIPIENT, recipient.clone())),
        Code::WrongType
    );
    assert_eq!(
        word(|sig| sig.critical(sub::RECIPIENT, recipient.clone())),
        Code::WrongType
    );
    assert_eq!(
        word(|sig| sig.unhashed(sub::RECIPIENT, recipient.clone())),
        OK
    );
}

#[test]
fn other_versions_are_not_supported() {
    for body in [
        &[3, 5, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 22, 8, 0, 0][..],
        &[2, 5],
        &[5, 1],
        &[99],
        &[4, 1],
        &[],
    ] {
        let word = verify_word(&Shape::good().load(), body.to_vec());
        assert_eq!(word, Code::UnsupportedAlgorithm, "{body:?}");
    }
    let six_by_four = |sig: Sig| sig.version(6);
    assert_eq!(word(six_by_four), Code::UnsupportedAlgorithm);
    let four_by_six = text_signature(&Key::v6(1), day(10), |sig| sig.version(4));
    assert_eq!(
        verify_word(&v6().load(), four_by_six),
        Code::UnsupportedAlgorithm
    );
}

#[test]
fn a_signature_is_not_older_than_its_key() {
    let certificate = Shape::good().load();
    let at = |created| {
        verify_word(
            &certificate,
            text_signature(&Key::ed25519(1), created, |sig| sig),
        )
    };
    assert_eq!(at(BORN), OK);
    assert_eq!(at(BORN - 1), Code::PredatesKey);
    assert_eq!(at(0), Code::PredatesKey);
    let mut shape = Shape::good();
    shape.subkeys.clear();
    shape.add_subkey(Key::ed25519(2).born(day(50)), |sig| sig.flags(2));
    let subkey = shape.signer().clone();
    let at = |created| verify_word(&shape.load(), text_signature(&subkey, created, |sig| sig));
    assert_eq!(at(day(50)), OK);
    assert_eq!(at(day(50) - 1), Code::PredatesKey);
}

#[test]
fn a_signature_is_not_older_than_the_primary_key_either() {
    let mut shape = Shape::good();
    shape.subkeys.clear();
    let older = Key::ed25519(2).born(BORN - DAY);
    let binding = {
        let back = shape.back_signature(&older, |sig| sig);
        shape.bare_binding(&older, |mut sig| {
            sig.hashed[0].1 = BORN.to_be_bytes().to_vec();
            sig.flags(2).with(sub::EMBEDDED, back)
        })
    };
    shape.subkeys.push((older, vec![binding]));
    assert_eq!(shape.subkey_words(BORN, day(1)), (OK, OK));
    assert_eq!(
        shape.subkey_words(BORN - 1, day(1)),
        (Code::PredatesKey, Code::PredatesKey)
    );
}

#[test]
fn a_signature_from_the_future_waits_until_clocks_agree() {
    let shape = Shape::good();
    let future = (Code::FromFuture, Code::FromFuture);
    assert_eq!(shape.primary_words(day(10), day(9)), future);
    assert_eq!(shape.primary_words(day(10), day(10) - 301), future);
    assert_eq!(shape.primary_words(day(10), day(10) - 300), (OK, OK));
    assert_eq!(shape.primary_words(day(10), day(10)), (OK, OK));
    assert_eq!(shape.primary_words(u32::MAX, day(10)), future);
}

#[test]
fn a_key_from_the_future_waits_too() {
    let shape = Shape::of(Key::ed25519(1).born(day(50)), Key::ed25519(2).born(day(50)));
    let early = SignatureRecord {
        created: time(day(10)),
        ..stand_record(&shape, day(50))
    };
    let early = VerifiedSignature::restore(early, Attestation::supposed());
    assert_eq!(
        signature_validity(&shape.load(), &early, time(day(20))).now,
        Code::FromFuture
    );
    assert_eq!(
        shape.load().summary(time(day(20))).usable,
        Err(Code::FromFuture)
    );
    assert_eq!(shape.primary_words(day(50), day(50) - 300), (OK, OK));
}

#[test]
fn a_subkey_from_the_future_waits_too() {
    let mut shape = Shape::good();
    shape.subkeys.clear();
    shape.add_subkey(Key::ed25519(2).born(day(50)), |sig| sig.flags(2));
    let record = SignatureRecord {
        signer: shape.signer().fingerprint(),
        ..stand_record(&shape, day(10))
    };
    let early = VerifiedSignature::restore(record, Attestation::supposed());
    assert_eq!(
        signature_validity(&shape.load(), &early, time(day(20))).now,
        Code::FromFuture
    );
    assert_eq!(
        signature_validity(&shape.load(), &early, time(day(60))).now,
        Code::PredatesKey
    );
}

fn stand_record(shape: &Shape, created: u32) -> SignatureRecord {
    let message = message(&[text_signature(&shape.primary, created, |sig| sig)]);
    let verified = verify(&message, &message.signatures()[0], &shape.load()).unwrap();
    verified.record().clone()
}

#[test]
fn a_signature_ends_with_its_own_life() {
    let certificate = Shape::good().load();
    let words = |lifetime: u32, now: u32| {
        let message = message(&[text_signature(&Key::ed25519(1), day(10), |sig| {
            sig.lifetime(lifetime)
        })]);
        let verified = verify(&message, &message.signatures()[0], &certificate).unwrap();
        let standing = signature_validity(&certificate, &verified, time(now));
        assert_eq!(standing.at_signing, standing.now);
        standing.now
    };
    assert_eq!(words(5 * DAY, day(15) - 1), OK);
    assert_eq!(words(5 * DAY, day(15)), Code::SignatureExpired);
    assert_eq!(words(5 * DAY, day(900)), Code::SignatureExpired);
    assert_eq!(words(0, day(9000)), OK, "zero means for ever");
    assert_eq!(words(u32::MAX, day(9000)), OK, "no overflow");
}

#[test]
fn several_signatures_are_judged_each_for_itself() {
    let certificate = Shape::good().load();
    let own = text_signature(&Key::ed25519(1), day(10), |sig| sig);
    let subkey = text_signature(&Key::ed25519(2), day(10), |sig| sig);
    let bad = text_signature(&Key::ed25519(1), day(10), Sig::broken);
    let stranger = text_signature(&Key::ed25519(9), day(10), |sig| sig);
    let unreadable = vec![99, 1, 2, 3];
    let all = [bad, own.clone(), stranger, own, unreadable, subkey];
    let message = message(&all);
    let words: Vec<Code> = message
        .signatures()
        .iter()
        .map(|one| verify(&message, one, &certificate).err().unwrap_or(OK))
        .collect();
    let expected = [
        Code::BadSignature,
        OK,
        Code::UnknownKey,
        OK,
        Code::UnsupportedAlgorithm,
        OK,
    ];
    assert_eq!(words, expected);
    let primaries: Vec<_> = message
        .signatures()
        .iter()
        .filter_map(|one| verify(&message, one, &certificate).ok())
        .map(|verified| verified.primary().clone())
        .collect();
    assert_eq!(primaries.len(), 3);
    assert!(
        primaries.iter().all(|one| one == certificate.fingerprint()),
        "one signer"
    );
}

#[test]
fn what_a_signature_claims_is_called_claimed() {
    let message = message(&[
        text_signature(&Key::ed25519(1), day(10), |sig| sig),
        text_signature(&Key::ed25519(1), day(10), |sig| {
            sig.only_key_id(&Key::ed25519(1))
        }),
        text_signature(&Key::ed25519(1), day(10), |sig| {
            sig.unhashed(sub::KEY_ID, [7; 8])
        }),
        vec![99, 1],
    ]);
    let [full, only_id, contradicting, unreadable] = message.signatures() else {
        panic!()
    };
    let fingerprint = Key::ed25519(1).fingerprint();
    assert_eq!(full.claimed_issuer_fingerprint(), Some(&fingerprint));
    assert_eq!(full.claimed_issuer_key_id(), Some(fingerprint.key_id()));
    assert_eq!(full.claimed_created(), Some(time(day(10))));
    assert_eq!(
        (full.claimed_algorithm(), full.claimed_hash()),
        ("EdDSA", "SHA512")
    );
    assert_eq!(only_id.claimed_issuer_fingerprint(), None);
    assert_eq!(only_id.claimed_issuer_key_id(), Some(fingerprint.key_id()));
    assert_eq!(contradicting.claimed_issuer_fingerprint(), None);
    assert_eq!(contradicting.claimed_issuer_key_id(), None);
    assert_eq!(unreadable.claimed_created(), None);
    assert_eq!(
        (unreadable.claimed_algorithm(), unreadable.claimed_hash()),
        ("unknown", "unknown")
    );
}

#[test]
fn a_restored_signature_stands_as_the_verified_one() {
    let shape = Shape::of(Key::rsa(), Key::ed25519(2));
    let certificate = shape.load();
    let body = text_signature(&Key::rsa(), day(10), |sig| sig.lifetime(50 * DAY));
    let message = message(&[body]);
    let verified = verify(&message, &message.signatures()[0], &certificate).unwrap();
    let json = serde_json::to_string(verified.record()).unwrap();
    let restored = VerifiedSignature::restore(
        serde_json::from_str(&json).unwrap(),
        Attestation::supposed(),
    );
    assert_eq!(restored, verified);
    assert_eq!(
        (restored.algorithm(), restored.hash()),
        ("RSA-2048", "SHA512")
    );
    assert_eq!(restored.expires(), Some(time(day(60))));
    for now in [day(9), day(20), day(60), day(100)] {
        assert_eq!(
            signature_validity(&certificate, &restored, time(now)),
            signature_validity(&certificate, &verified, time(now))
        );
    }
}

#[test]
fn a_restored_signature_is_judged_by_the_certificate_of_today() {
    let shape = Shape::good();
    let verified = {
        let message = message(&[text_signature(&Key::ed25519(2), day(10), |sig| sig)]);
        verify(&message, &message.signatures()[0], &shape.load()).unwrap()
    };
    let mut revoked = shape.clone();
    revoked
        .direct
        .push(shape.key_revocation(day(50), |sig| sig.reason(2)));
    let answer = signature_validity(&revoked.load(), &verified, time(day(60)));
    assert_eq!(answer.now, Code::RevokedHard { compromised: true });
    assert_eq!(
        answer.revocation.as_ref().map(|one| one.since),
        Some(Some(time(day(50))))
    );
    let mut dropped = shape.clone();
    dropped.subkeys.clear();
    assert_eq!(
        signature_validity(&dropped.load(), &verified, time(day(60))).now,
        Code::NotBound
    );
    dropped
        .direct
        .push(shape.key_revocation(day(50), |sig| sig.reason(2)));
    assert_eq!(
        signature_validity(&dropped.load(), &verified, time(day(60))).now,
        Code::RevokedHard { compromised: true }
    );
    let other = Shape::of(Key::ed25519(9), Key::ed25519(2)).load();
    assert_eq!(
        signature_validity(&other, &verified, time(day(60))).now,
        Code::UnknownKey
    );
    assert_eq!(
        stand(&shape.load(), &Key::ed25519(2), day(10), day(60)).revocation,
        None
    );
}

#[test]
fn a_soft_revocation_is_for_later_signatures_of_lost_subkeys_too() {
    let shape = Shape::good();
    let mut soft = shape.clone();
    soft.subkeys.clear();
    soft.direct
        .push(shape.key_revocation(day(50), |sig| sig.reason(3)));
    for (signed, word) in [(10, Code::NotBound), (55, Code::RevokedSoft)] {
        let message = message(&[text_signature(&Key::ed25519(2), day(signed), |sig| sig)]);
        let verified = verify(&message, &message.signatures()[0], &shape.load()).unwrap();
        let answer = signature_validity(&soft.load(), &verified, time(day(60)));
        assert_eq!(answer.now, word, "{signed}");
    }
}

#[test]
fn a_restored_signature_older_than_its_key_is_not_believed() {
    let shape = Shape::good();
    let record = SignatureRecord {
        created: time(BORN - 1),
        ..stand_record(&shape, day(1))
    };
    let standing = signature_validity(
        &shape.load(),
        &VerifiedSignature::restore(record, Attestation::supposed()),
        time(day(20)),
    );
    assert_eq!(
        (standing.at_signing, standing.now),
        (Code::PredatesKey, Code::PredatesKey)
    );
}

#[test]
fn rpgp_agrees_about_the_mathematics_of_accepted_messages() {
    use pgp::composed::{CleartextSignedMessage, Deserializable as _, SignedPublicKey};
    for shape in [Shape::good(), Shape::of(Key::rsa(), Key::ed25519(2))] {
        let text = message_of(TEXT, &[text_signature(&shape.primary, day(10), |sig| sig)]);
        let (theirs, _) = CleartextSignedMessage::from_string(text.trim_end()).unwrap();
        let key = SignedPublicKey::from_bytes(shape.bytes().as_slice()).unwrap();
        theirs.verify(&key).unwrap();
    }
}

#[test]
fn times_that_nobody_signed_are_ignored() {
    let mut shape = Shape::good();
    shape.user_ids.clear();
    shape.add_user_id(crate::forge::USER_ID, |sig| {
        sig.flags(3)
            .unhashed(sub::KEY_LIFETIME, DAY.to_be_bytes())
            .unhashed(sub::LIFETIME, DAY.to_be_bytes())
    });
    assert_eq!(shape.primary_words(day(10), day(20)), (OK, OK));
    let message = message(&[text_signature(&Key::ed25519(1), day(10), |sig| {
        sig.unhashed(sub::LIFETIME, DAY.to_be_bytes())
    })]);
    let verified = verify(&message, &message.signatures()[0], &shape.load()).unwrap();
    assert_eq!(verified.expires(), None);
}

#[test]
fn certificates_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<charttrust_verify::openpgp::Certificate>();
    shared::<charttrust_verify::openpgp::SignedMessage>();
    shared::<VerifiedSignature>();
}

#[test]
fn an_rsa_key_for_encryption_only_does_not_sign() {
    let mut key = Key::rsa();
    key.algorithm = 2;
    let shape = Shape::of(key, Key::ed25519(2));
    let body = text_signature(&shape.primary, day(10), |mut sig| {
        sig.key_algorithm = Some(1);
        sig
    });
    assert_eq!(verify_word(&shape.load(), body), Code::UnsupportedAlgorithm);
    let mut sign_only = Key::rsa();
    sign_only.algorithm = 3;
    let shape = Shape::of(sign_only, Key::ed25519(2));
    let body = text_signature(&shape.primary, day(10), |sig| sig);
    assert_eq!(verify_word(&shape.load(), body), OK);
}

#[test]
fn an_ed448_key_signs_with_long_hashes_only() {
    let mut shape = Shape::of(Key::ed448(1), Key::v6(2));
    (shape.user_ids[0].1, shape.subkeys) = (Vec::new(), Vec::new());
    let certification = shape.certification(crate::forge::USER_ID, |sig| sig.flags(3).hash(SHA512));
    shape.user_ids[0].1.push(certification);
    let word = |hash: u8| {
        let body = text_signature(&shape.primary, day(10), |sig| sig.hash(hash));
        verify_word(&shape.load(), body)
    };
    assert_eq!(word(SHA512), OK);
    assert_eq!(word(14), OK, "SHA3-512");
    assert_eq!(word(SHA256), Code::WeakHash);
    let name = shape.load().summary(crate::forge::time(day(1))).algorithm;
    assert_eq!(name, "Ed448");
    let cut = text_signature(&shape.primary, day(10), |sig| sig.hash(SHA512));
    let cut = cut[..cut.len() - 1].to_vec();
    assert_ne!(verify_word(&shape.load(), cut), OK);
}
