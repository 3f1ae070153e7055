//! Every limit of key material at N and at N + 1, and floods within bounded time.

use std::time::{Duration, Instant};

use charttrust_verify::openpgp::{CertificateError, Code, limits, load_all};

use crate::forge::{
    BORN, CERTIFY_AND_SIGN, Key, SIGN, Shape, Sig, USER_ID, day, hashed_user_id, packet,
    public_block, time,
};

fn error(bytes: &[u8]) -> CertificateError {
    load_all(bytes).expect_err("refused")
}

/// Distinct keys that are only numbers.
fn key(number: usize) -> Key {
    Key::ed25519(1).born(BORN + u32::try_from(number).unwrap())
}

#[test]
fn material_has_a_largest_size() {
    let good = public_block(&Shape::good().bytes());
    let padded = |size: usize| format!("{}\n{good}", "x".repeat(size - good.len() - 1));
    let limit = limits::KEY_MATERIAL_BYTES;
    assert!(load_all(padded(limit).as_bytes()).is_ok());
    assert_eq!(
        error(padded(limit + 1).as_bytes()),
        CertificateError::TooLarge { limit }
    );
}

#[test]
fn a_certificate_has_a_largest_size() {
    let base = Shape::good().bytes();
    let bodies = {
        let shape = Shape::good();
        shape.primary.body().len()
            + shape.user_ids[0].0.len()
            + shape.user_ids[0].1[0].len()
            + shape.subkeys[0].0.body().len()
            + shape.subkeys[0].1[0].len()
    };
    let limit = limits::CERTIFICATE_BYTES;
    let padded = |size: usize| [base.clone(), packet(13, &vec![b'x'; size - bodies])].concat();
    assert!(load_all(&padded(limit)).is_ok());
    assert_eq!(
        error(&padded(limit + 1)),
        CertificateError::CertificateTooLarge { limit }
    );
    let twice = [padded(limit), padded(limit)].concat();
    assert!(load_all(&twice).is_ok(), "each copy by itself");
    for tag in [2, 17] {
        let mut flooded = base.clone();
        for _ in 0..9 {
            flooded.extend(packet(tag, &[9; 8000]));
        }
        assert_eq!(
            error(&flooded),
            CertificateError::CertificateTooLarge { limit },
            "type {tag}"
        );
    }
}

#[test]
fn material_has_a_most_number_of_certificates() {
    let certificates = |count: usize| -> Vec<u8> {
        (0..count)
            .flat_map(|number| packet(6, &key(number).body()))
            .collect()
    };
    let limit = limits::CERTIFICATES;
    assert_eq!(load_all(&certificates(limit)).unwrap().len(), limit);
    assert_eq!(
        error(&certificates(limit + 1)),
        CertificateError::TooManyCertificates { limit }
    );
}

#[test]
fn material_has_a_most_number_of_packets() {
    let key = packet(6, &key(0).body());
    let packets = |count: usize| [key.clone(), packet(12, &[0]).repeat(count - 1)].concat();
    let limit = limits::PACKETS;
    assert!(load_all(&packets(limit)).is_ok());
    assert_eq!(
        error(&packets(limit + 1)),
        CertificateError::TooManyPackets { limit }
    );
    let blocks = |count: usize| {
        let first = public_block(&packets(limit / 2));
        format!(
            "{first}{}",
            public_block(&packet(12, &[0]).repeat(count - limit / 2))
        )
    };
    assert!(load_all(blocks(limit).as_bytes()).is_ok());
    assert_eq!(
        error(blocks(limit + 1).as_bytes()),
        CertificateError::TooManyPackets { limit }
    );
}

#[test]
fn a_key_packet_has_a_largest_size() {
    let padded = |size: usize| {
        let mut body = vec![4, 0, 0, 0, 1, 99];
        body.resize(size, 0);
        packet(6, &body)
    };
    assert!(load_all(&padded(limits::KEY_PACKET_BYTES)).is_ok());
    assert_eq!(
        error(&padded(limits::KEY_PACKET_BYTES + 1)),
        CertificateError::MalformedKey
    );
}

#[test]
fn a_certificate_has_a_most_number_of_subkeys() {
    let subkeys = |count: usize| -> Vec<u8> {
        let subkeys = (1..=count).flat_map(|number| packet(14, &key(number).body()));
        packet(6, &key(0).body())
            .into_iter()
            .chain(subkeys)
            .collect()
    };
    let limit = limits::SUBKEYS;
    assert!(load_all(&subkeys(limit)).is_ok());
    assert_eq!(
        error(&subkeys(limit + 1)),
        CertificateError::TooManySubkeys { limit }
    );
    assert_eq!(
        error(&subkeys(1000)),
        CertificateError::TooManySubkeys { limit }
    );
}

/// A certificate with this many bogus certifications in the owner's name, with right hash bytes.
fn flooded(count: u32) -> Shape {
    let mut shape = Shape::good();
    for number in 0..count {
        let sig = Sig::new(0x13, &shape.primary, BORN + number).broken();
        let body = shape.sign_user_id(&sig, USER_ID);
        shape.user_ids[0].1.push(body);
    }
    shape
}

#[test]
fn self_signatures_are_checked_up_to_a_limit() {
    // The good certificate itself needs three checks: user ID, binding and back-signature.
    let limit = limits::SIGNATURE_CHECKS;
    let most = u32::try_from(limit).unwrap() - 3;
    assert_eq!(
        flooded(most).primary_words(day(1), day(2)),
        (Code::Valid, Code::Valid)
    );
    let refused = flooded(most + 1).try_load().unwrap_err();
    assert_eq!(refused, CertificateError::TooManySelfSignatures { limit });
}

#[test]
fn hashing_is_bounded_as_well() {
    // Every revocation of a subkey is tried with every subkey: 64 of 64, and one more.
    let limit = limits::SIGNATURE_HASHES;
    let certificate = |revocations: u32| {
        let primary = Key::ed25519(9);
        let mut bytes = packet(6, &primary.body());
        bytes.extend((1..=64).flat_map(|number| packet(14, &key(number).body())));
        for number in 0..revocations {
            let sig = Sig::new(0x28, &primary, BORN + number);
            bytes.extend(packet(2, &sig.sign(&primary, &[b"nothing"])));
        }
        bytes
    };
    assert!(load_all(&certificate(64)).is_ok());
    assert_eq!(
        error(&certificate(65)),
        CertificateError::TooManySelfSignatures { limit }
    );
}

#[test]
fn repeated_signatures_are_checked_once() {
    let mut shape = Shape::good();
    let certification = shape.user_ids[0].1[0].clone();
    let binding = shape.subkeys[0].1[0].clone();
    let revocation = shape.subkey_revocation(&Key::ed25519(3), day(1), |sig| sig);
    shape.add_subkey(Key::ed25519(3), |sig| sig.flags(SIGN));
    shape.user_ids[0].1 = vec![certification; 60];
    shape.subkeys[0].1 = vec![binding; 60];
    shape.subkeys[1].1.extend(vec![revocation; 60]);
    assert_eq!(
        shape.primary_words(day(1), day(2)),
        (Code::Valid, Code::Valid)
    );
    assert_eq!(
        shape.subkey_words(day(1), day(2)),
        (Code::Valid, Code::Valid)
    );
}

#[test]
fn a_flood_of_strangers_signatures_costs_nothing() {
    let mut shape = Shape::good();
    let stranger = Key::ed25519(9);
    let parts = [shape.primary.hashed(), hashed_user_id(USER_ID)];
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let one = Sig::new(0x10, &stranger, BORN).sign(&stranger, &parts);
    let count = 60_000 / one.len();
    for number in 0..count {
        let mut body = one.clone();
        body[10] = u8::try_from(number % 251).unwrap();
        shape.user_ids[0].1.push(body);
    }
    let started = Instant::now();
    assert_eq!(
        shape.primary_words(day(1), day(2)),
        (Code::Valid, Code::Valid)
    );
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn floods_are_refused_in_bounded_time() {
    let stranger = packet(
        2,
        &Sig::new(0x10, &Key::ed25519(9), BORN).sign(&Key::ed25519(9), &[]),
    );
    let good = Shape::good().bytes();
    let many_self = flooded(450).bytes();
    let rsa = {
        let mut shape = Shape::of(Key::rsa(), Key::ed25519(2));
        for number in 0..180 {
            let sig = Sig::new(0x13, &shape.primary, BORN + number).broken();
            let body = shape.sign_user_id(&sig, USER_ID);
            shape.user_ids[0].1.push(body);
        }
        shape.bytes()
    };
    for flood in [
        [good.clone(), stranger.repeat(100_000)].concat(),
        many_self,
        rsa,
    ] {
        let started = Instant::now();
        let error = error(&flood);
        assert_eq!(error.reason(), "KeyTooLarge");
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{:?}",
            started.elapsed()
        );
    }
}

#[test]
fn a_giant_rsa_key_is_read_and_not_used() {
    for bits in [8200u16, 16_000] {
        let mut body = vec![4, 0, 0, 0, 1, 1];
        body.extend(bits.to_be_bytes());
        body.extend(vec![0xff; usize::from(bits / 8)]);
        body.extend([0, 17, 1, 0, 1]);
        let started = Instant::now();
        let certificate = load_all(&packet(6, &body)).unwrap().remove(0);
        let summary = certificate.summary(time(BORN));
        assert_eq!(summary.usable, Err(Code::UnsupportedAlgorithm));
        assert_eq!(summary.algorithm, format!("RSA-{bits}"));
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_compressed_keyring_is_not_inflated() {
    let bomb = packet(8, &[1; 5000]);
    assert_eq!(error(&bomb), CertificateError::UnexpectedPacket { tag: 8 });
    let inside = [Shape::good().bytes(), bomb].concat();
    assert_eq!(
        error(&inside),
        CertificateError::UnexpectedPacket { tag: 8 }
    );
}

#[test]
fn times_at_the_end_of_their_range_do_not_overflow() {
    let key = Key::ed25519(1).born(u32::MAX);
    let mut shape = Shape::of(key, Key::ed25519(2).born(u32::MAX));
    shape.user_ids.clear();
    shape.add_user_id(USER_ID, |sig| {
        sig.flags(CERTIFY_AND_SIGN)
            .key_lifetime(u32::MAX)
            .lifetime(u32::MAX)
    });
    assert_eq!(
        shape.primary_words(u32::MAX, u32::MAX),
        (Code::Valid, Code::Valid)
    );
    let certificate = shape.load();
    for now in [
        jiff::Timestamp::MIN,
        jiff::Timestamp::MAX,
        jiff::Timestamp::UNIX_EPOCH,
    ] {
        let _ = certificate.summary(now);
    }
    assert_eq!(
        certificate
            .summary(jiff::Timestamp::MAX)
            .usable
            .unwrap_err(),
        Code::NoValidSelfSignature
    );
}
