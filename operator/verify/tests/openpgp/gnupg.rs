//! Keys, messages and revocations made by GnuPG, and Helm's own test data.

use charttrust_verify::openpgp::{
    Certificate, CertificateError, Fingerprint, Standing, Word, load, load_all, parse_cleartext,
    standing, verify,
};
use jiff::Timestamp;

use crate::forge::{text_vector, vector};

fn at(text: &str) -> Timestamp {
    format!("{text}T00:00:00Z").parse().unwrap()
}

fn certificate(name: &str) -> Certificate {
    let mut all = load_all(&vector(name)).unwrap();
    assert_eq!(all.len(), 1, "{name}");
    all.remove(0)
}

fn verified(key: &Certificate, message: &str, now: &str) -> Result<Standing, Word> {
    let message = parse_cleartext(&vector(message)).unwrap();
    let verified = verify(&message, &message.signatures()[0], key)?;
    Ok(standing(key, &verified, at(now)))
}

fn both(key: &str, message: &str, now: &str) -> (Word, Word) {
    let standing = verified(&certificate(key), message, now).unwrap();
    (standing.at_signing, standing.now)
}

const VALID: (Word, Word) = (Word::Valid, Word::Valid);
const HARD: Word = Word::RevokedHard { compromised: false };
const COMPROMISED: Word = Word::RevokedHard { compromised: true };

#[test]
fn messages_by_every_accepted_algorithm_are_valid() {
    let names = [
        ("rsa2048", "RSA-2048"),
        ("rsa3072", "RSA-3072"),
        ("rsa4096", "RSA-4096"),
        ("ed25519", "Ed25519"),
        ("nistp256", "ECDSA-P256"),
        ("nistp384", "ECDSA-P384"),
        ("nistp521", "ECDSA-P521"),
    ];
    for (name, algorithm) in names {
        let key = certificate(&format!("{name}.asc"));
        let summary = key.summary(at("2024-07-01"));
        assert_eq!(summary.algorithm, algorithm);
        assert_eq!(summary.user_ids, [format!("{name} <{name}@example.org>")]);
        assert_eq!(summary.signing_keys, [key.fingerprint().clone()]);
        assert_eq!(summary.usable, Ok(()));
        assert_eq!(
            both(
                &format!("{name}.asc"),
                &format!("{name}.prov"),
                "2026-01-01"
            ),
            VALID
        );
    }
}

#[test]
fn keys_that_are_too_weak_or_unknown_verify_nothing() {
    let cases = [
        ("rsa1024", Word::WeakKey),
        ("dsa2048", Word::UnsupportedAlgorithm),
        ("secp256k1", Word::UnsupportedAlgorithm),
        ("brainpoolP256r1", Word::UnsupportedAlgorithm),
    ];
    for (name, word) in cases {
        let key = certificate(&format!("{name}.asc"));
        let answer = verified(&key, &format!("{name}.prov"), "2024-07-01");
        assert_eq!(answer.unwrap_err(), word, "{name}");
        assert_eq!(key.summary(at("2024-07-01")).usable, Err(word), "{name}");
    }
}

#[test]
fn hashes_of_gnupg_are_valid_or_weak() {
    let key = certificate("rsa2048.asc");
    for (hash, expected) in [
        ("sha1", Err(Word::WeakHash)),
        ("ripemd160", Err(Word::WeakHash)),
        ("sha224", Err(Word::WeakHash)),
        ("sha256", Ok(Word::Valid)),
        ("sha384", Ok(Word::Valid)),
        ("sha512", Ok(Word::Valid)),
    ] {
        let answer = verified(&key, &format!("hash-{hash}.prov"), "2024-07-01");
        assert_eq!(answer.map(|standing| standing.now), expected, "{hash}");
    }
}

#[test]
fn a_signing_subkey_counts_for_its_primary_key() {
    let key = certificate("split.asc");
    assert_eq!(both("split.asc", "split.prov", "2024-07-01"), VALID);
    let message = parse_cleartext(&vector("split.prov")).unwrap();
    let verified = verify(&message, &message.signatures()[0], &key).unwrap();
    assert_eq!(verified.primary(), key.fingerprint());
    assert_ne!(verified.signer(), key.fingerprint());
    let signing = key.summary(at("2024-07-01")).signing_keys;
    assert_eq!(
        signing,
        [verified.signer().clone()],
        "encryption and authentication do not sign"
    );
}

#[test]
fn a_superseded_subkey_keeps_its_older_signatures() {
    assert_eq!(
        both("split-subkey-superseded.asc", "split.prov", "2024-08-01"),
        VALID
    );
    let key = certificate("split-subkey-superseded.asc");
    let summary = key.summary(at("2024-08-01"));
    assert_eq!(summary.usable, Err(Word::RevokedSoft));
    assert_eq!(summary.revocation, None);
    assert_eq!(summary.subkey_revocations.len(), 1);
    assert_eq!(summary.subkey_revocations[0].1.reason, "superseded");
}

#[test]
fn an_expired_key_keeps_its_older_signatures_at_signing_only() {
    for (now, expected) in [
        ("2024-12-31", (Word::Valid, Word::Valid)),
        ("2025-01-01", (Word::Valid, Word::Expired)),
        ("2026-01-01", (Word::Valid, Word::Expired)),
    ] {
        assert_eq!(both("short.asc", "short.prov", now), expected, "{now}");
    }
    let expired = (Word::Expired, Word::Expired);
    assert_eq!(both("short.asc", "short-later.prov", "2025-07-01"), expired);
    assert_eq!(
        both("short-extended.asc", "short-later.prov", "2025-07-01"),
        VALID
    );
    assert_eq!(
        both("short-extended.asc", "short.prov", "2025-07-01"),
        VALID
    );
    let end = certificate("short.asc").summary(at("2024-02-01")).expires;
    assert_eq!(end, Some(at("2025-01-01")));
}

#[test]
fn revocations_of_gnupg_count_by_their_reason() {
    let cases = [
        ("unspecified", (HARD, HARD), (HARD, HARD)),
        (
            "compromised",
            (COMPROMISED, COMPROMISED),
            (COMPROMISED, COMPROMISED),
        ),
        ("superseded", VALID, (Word::RevokedSoft, Word::RevokedSoft)),
        ("retired", VALID, (Word::RevokedSoft, Word::RevokedSoft)),
    ];
    for (reason, before, after) in cases {
        let (key, bare) = (
            format!("revoked-{reason}.asc"),
            format!("revoked-{reason}-before.asc"),
        );
        let (old, new) = (
            format!("revoked-{reason}-before.prov"),
            format!("revoked-{reason}-after.prov"),
        );
        assert_eq!(both(&bare, &old, "2024-10-01"), VALID, "{reason}");
        assert_eq!(both(&key, &old, "2024-10-01"), before, "{reason}");
        assert_eq!(both(&key, &new, "2024-10-01"), after, "{reason}");
        let revocation = certificate(&key)
            .summary(at("2024-10-01"))
            .revocation
            .unwrap();
        assert_eq!(revocation.reason, reason);
        assert_eq!(revocation.since, Some(at("2024-07-01")));
    }
}

#[test]
fn a_bare_revocation_certificate_is_attached() {
    for reason in ["unspecified", "compromised", "superseded", "retired"] {
        let key = vector(&format!("revoked-{reason}-before.asc"));
        let pinned = certificate(&format!("revoked-{reason}-before.asc"))
            .fingerprint()
            .clone();
        let revocation = vector(&format!("revoked-{reason}.rev"));
        let revoked = load(&key, &pinned, &[&revocation]).unwrap();
        let in_key = certificate(&format!("revoked-{reason}.asc"));
        let now = at("2024-10-01");
        assert_eq!(
            revoked.summary(now).revocation,
            in_key.summary(now).revocation
        );
        assert!(revoked.summary(now).revocation.is_some());
        let appended = [key, revocation].concat();
        let appended = load(&appended, &pinned, &[]).unwrap();
        assert_eq!(
            appended.summary(now).revocation,
            in_key.summary(now).revocation
        );
    }
}

#[test]
fn the_pregenerated_revocation_of_gnupg_needs_its_colon_removed() {
    let key = vector("ed25519.asc");
    let pinned = certificate("ed25519.asc").fingerprint().clone();
    let with_colon = vector("pregenerated.rev");
    let error = load(&key, &pinned, &[&with_colon]).unwrap_err();
    assert_eq!(error.reason(), "ArmorMalformed");
    let without = text_vector("pregenerated.rev").replace(":-----", "-----");
    let revoked = load(&key, &pinned, &[without.as_bytes()]).unwrap();
    assert_eq!(
        verified(&revoked, "ed25519.prov", "2024-07-01")
            .unwrap()
            .now,
        HARD
    );
}

#[test]
fn a_revocation_certificate_of_another_key_is_an_error() {
    let pinned = certificate("ed25519.asc").fingerprint().clone();
    let other = vector("revoked-compromised.rev");
    let error = load(&vector("ed25519.asc"), &pinned, &[&other]).unwrap_err();
    assert_eq!(error, CertificateError::RevocationOfOtherKey { number: 1 });
}

#[test]
fn one_revoked_user_id_of_two_does_not_matter() {
    assert_eq!(
        both(
            "one-user-id-revoked.asc",
            "one-user-id-revoked.prov",
            "2024-09-01"
        ),
        VALID
    );
    let summary = certificate("one-user-id-revoked.asc").summary(at("2024-09-01"));
    assert_eq!(summary.user_ids, ["Second <second@example.org>"]);
}

#[test]
fn a_key_with_a_designated_revoker_is_fine_until_it_is_used() {
    assert_eq!(
        both("designated.asc", "designated.prov", "2024-07-01"),
        VALID
    );
    let pinned = certificate("designated.asc").fingerprint().clone();
    let (key, revocation) = (vector("designated.asc"), vector("designated.rev"));
    let alone = load(&key, &pinned, &[&revocation]).unwrap();
    let word = verified(&alone, "designated.prov", "2024-08-01")
        .unwrap()
        .now;
    assert_eq!(word, Word::RevocationNotVerifiable);
    let with_revoker = [key, vector("ed25519.asc")].concat();
    let revoked = load(&with_revoker, &pinned, &[&revocation]).unwrap();
    assert_eq!(
        verified(&revoked, "designated.prov", "2024-08-01")
            .unwrap()
            .now,
        COMPROMISED
    );
}

#[test]
fn an_old_keyring_with_trust_packets_keeps_its_revocation() {
    let all = load_all(&vector("old-keyring.gpg")).unwrap();
    assert_eq!(all.len(), 2);
    let pinned = certificate("revoked-compromised.asc").fingerprint().clone();
    let key = load(&vector("old-keyring.gpg"), &pinned, &[]).unwrap();
    let standing = verified(&key, "revoked-compromised-before.prov", "2024-10-01").unwrap();
    assert_eq!(standing.now, COMPROMISED);
}

#[test]
fn every_armor_block_of_a_file_is_read() {
    let second = certificate("rsa2048.asc").fingerprint().clone();
    let key = load(&vector("two-blocks.asc"), &second, &[]).unwrap();
    assert_eq!(
        verified(&key, "rsa2048.prov", "2024-07-01").unwrap().now,
        Word::Valid
    );
    assert_eq!(load_all(&vector("two-blocks.asc")).unwrap().len(), 2);
}

#[test]
fn keyboxes_and_secret_keys_are_refused_by_name() {
    assert_eq!(
        load_all(&vector("keybox.kbx")).unwrap_err(),
        CertificateError::Keybox
    );
    let secret = load_all(&vector("secret/rsa2048.asc")).unwrap_err();
    assert_eq!(secret, CertificateError::SecretKey);
}

#[test]
fn a_key_under_another_pin_is_refused_and_named() {
    let pinned: Fingerprint = "00".repeat(20).parse().unwrap();
    let error = load(&vector("ed25519.asc"), &pinned, &[]).unwrap_err();
    let found = vec![certificate("ed25519.asc").fingerprint().clone()];
    assert_eq!(error, CertificateError::PinnedNotFound { pinned, found });
}

#[test]
fn the_fingerprint_of_a_subkey_does_not_pin_its_certificate() {
    let key = certificate("split.asc");
    let subkey = key.summary(at("2024-07-01")).signing_keys[0].clone();
    let error = load(&vector("split.asc"), &subkey, &[]).unwrap_err();
    assert!(matches!(error, CertificateError::PinnedNotFound { .. }));
}

#[test]
fn another_key_did_not_make_the_signature() {
    let key = certificate("rsa3072.asc");
    let answer = verified(&key, "rsa2048.prov", "2024-07-01");
    assert_eq!(answer.unwrap_err(), Word::UnknownKey);
}

#[test]
fn helm_made_messages_verify_with_helm_made_keys() {
    for name in ["helm-msgblock.yaml.asc", "helm-hashtest-1.2.3.tgz.prov"] {
        let key = certificate("helm-test-key.pub");
        let standing = verified(&key, name, "2026-01-01").unwrap();
        assert_eq!((standing.at_signing, standing.now), VALID, "{name}");
    }
    let key = certificate("helm-test-key.pub");
    let answer = verified(&key, "helm-msgblock.yaml.tampered", "2026-01-01");
    assert_eq!(answer.unwrap_err(), Word::BadSignature);
    assert_eq!(
        load_all(&vector("helm-mixed-keyring.pub")).unwrap().len(),
        2
    );
}
