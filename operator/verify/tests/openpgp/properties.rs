//! Properties that hold for any input.

use charttrust_verify::openpgp::{
    Certificate, Code, load, load_all, parse_cleartext, signature_validity, verify,
};
use pgp::composed::CleartextSignedMessage;
use proptest::prelude::*;

use crate::cells::v6;
use crate::forge::{
    Key, Shape, Sig, TEXT, day, hashed_text, message, message_of, packet, public_block,
    text_signature, text_vector, time, vector,
};

/// Whether any signature of the file is valid under the certificate.
fn is_trusted(certificate: &Certificate, file: &[u8]) -> bool {
    let Ok(message) = parse_cleartext(file) else {
        return false;
    };
    let verified = message
        .signatures()
        .iter()
        .filter_map(|one| verify(&message, one, certificate).ok());
    verified
        .into_iter()
        .any(|one| signature_validity(certificate, &one, time(day(20))).now == Code::Valid)
}

/// Uses a certificate in every way.
fn exercise(bytes: &[u8]) {
    let Ok(all) = load_all(bytes) else { return };
    for certificate in &all {
        let summary = certificate.summary(time(day(20)));
        assert_eq!(summary.usable.is_ok(), !summary.signing_keys.is_empty());
        let _ = is_trusted(
            certificate,
            message_of(
                TEXT,
                &[text_signature(&Key::ed25519(1), day(10), |sig| sig)],
            )
            .as_bytes(),
        );
        let learned = certificate.learn(certificate, time(day(20)));
        let _ = learned.map(|learned| certificate.apply(&learned));
        let _ = all.first().map(|first| first.union(certificate));
    }
}

#[test]
fn no_changed_bit_of_the_text_verifies() {
    let certificate = Shape::good().load();
    let good = message_of(
        TEXT,
        &[text_signature(&Key::ed25519(1), day(10), |sig| sig)],
    );
    assert!(is_trusted(&certificate, good.as_bytes()));
    let begin = good.find("name").unwrap();
    let end = good.find("\n-----BEGIN PGP SIGNATURE").unwrap();
    for position in begin..end {
        for bit in 0..8 {
            let mut bytes = good.clone().into_bytes();
            bytes[position] ^= 1 << bit;
            assert!(
                !is_trusted(&certificate, &bytes),
                "byte {position}, bit {bit}"
            );
        }
    }
}

#[test]
fn no_changed_bit_of_a_signature_verifies() {
    for (certificate, key) in [
        (Shape::good().load(), Key::ed25519(1)),
        (Shape::of(Key::rsa(), Key::ed25519(2)).load(), Key::rsa()),
        (v6().load(), Key::v6(1)),
    ] {
        let good = text_signature(&key, day(10), |sig| sig);
        assert!(is_trusted(
            &certificate,
            message_of(TEXT, std::slice::from_ref(&good)).as_bytes()
        ));
        for position in 0..good.len() {
            for bit in 0..8 {
                let mut body = good.clone();
                body[position] ^= 1 << bit;
                let file = message_of(TEXT, &[body.clone()]);
                // The bit count of a number may state leading zeros, which are no part of it.
                let same_number = is_trusted(&certificate, file.as_bytes())
                    && states_the_same_numbers(&good, &body, position);
                assert!(
                    same_number || !is_trusted(&certificate, file.as_bytes()),
                    "byte {position}, bit {bit}"
                );
            }
        }
    }
}

/// Whether the byte belongs to the bit count of a number and the byte count stays the same.
fn states_the_same_numbers(good: &[u8], changed: &[u8], position: usize) -> bool {
    let hashed = usize::from(u16::from_be_bytes([good[4], good[5]]));
    let mut at = 6 + hashed + 2 + 2;
    while at + 1 < good.len() {
        let bytes =
            |body: &[u8]| usize::from(u16::from_be_bytes([body[at], body[at + 1]])).div_ceil(8);
        if position == at || position == at + 1 {
            return bytes(good) == bytes(changed);
        }
        at += 2 + bytes(good);
    }
    false
}

#[test]
fn no_changed_bit_of_a_certificate_gives_trust_to_another_key() {
    let shape = Shape::good();
    let good = shape.bytes();
    let stranger = message_of(
        TEXT,
        &[text_signature(&Key::ed25519(9), day(10), |sig| sig)],
    );
    for position in 0..good.len() {
        let mut bytes = good.clone();
        bytes[position] ^= 1 << (position % 8);
        if let Ok(certificate) = load(&bytes, &shape.primary.fingerprint(), &[]) {
            assert!(
                !is_trusted(&certificate, stranger.as_bytes()),
                "byte {position}"
            );
        }
    }
}

#[test]
fn no_changed_bit_of_the_hashed_part_of_a_binding_verifies() {
    let shape = Shape::good();
    let body = shape.bare_binding(shape.signer(), |sig| sig.flags(2));
    let back = shape.back_signature(shape.signer(), |sig| sig);
    let hashed = 6 + usize::from(u16::from_be_bytes([body[4], body[5]]));
    let _ = back;
    for position in 0..hashed {
        let mut changed = Shape::good();
        let mut binding = changed.subkeys[0].1[0].clone();
        binding[position] ^= 1;
        changed.subkeys[0].1[0] = binding;
        let words = changed.subkey_words(day(10), day(20));
        assert_ne!(words.1, Code::Valid, "byte {position}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        exercise(&bytes);
        let _ = parse_cleartext(&bytes);
        exercise(public_block(&bytes).as_bytes());
        let _ = message(std::slice::from_ref(&bytes));
        exercise(&packet(6, &bytes));
        exercise(&[Shape::good().bytes(), packet(2, &bytes)].concat());
        exercise(&[Shape::good().bytes(), packet(14, &bytes)].concat());
    }

    #[test]
    fn any_text_is_answered(text in "(-----BEGIN PGP (SIGNED MESSAGE|SIGNATURE|PUBLIC KEY BLOCK)-----\n|-----END PGP SIGNATURE-----\n|Hash: SHA512\n|\n|- |--|\r|[a-zA-Z0-9+/=]{1,64}\n|\\PC){0,30}") {
        let _ = parse_cleartext(text.as_bytes());
        let _ = load_all(text.as_bytes());
    }

    #[test]
    fn changed_certificates_are_answered(
        which in 0usize..4,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = match which {
            0 => Shape::good().bytes(),
            1 => v6().bytes(),
            2 => vector("old-keyring.gpg"),
            _ => text_vector("split.asc").into_bytes(),
        };
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        exercise(&bytes);
        exercise(&bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn changed_messages_are_answered(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let certificate = Shape::good().load();
        let mut bytes = message_of(TEXT, &[text_signature(&Key::ed25519(1), day(10), |sig| sig)]).into_bytes();
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        let _ = is_trusted(&certificate, &bytes);
        let _ = is_trusted(&certificate, &bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn rpgp_hashes_the_same_text(text in "([a-z -]{0,20}[ \t]{0,3}\n|-{1,3}[a-z]{0,3}\n|From [a-z]{1,3}\n){0,20}[a-z]{0,5}") {
        let body = Sig::new(1, &Key::ed25519(1), day(10)).sign(&Key::ed25519(1), &[&hashed_text(&text)]);
        let file = message_of(&text, &[body]);
        let ours = parse_cleartext(file.as_bytes()).unwrap();
        let (theirs, _) = CleartextSignedMessage::from_string(file.trim_end()).unwrap();
        prop_assert_eq!(theirs.signed_text(), ours.text().replace('\n', "\r\n"));
        prop_assert!(is_trusted(&Shape::good().load(), file.as_bytes()));
    }
}
