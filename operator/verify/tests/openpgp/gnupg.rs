//! Keys, messages and revocations made by GnuPG, and Helm's own test data.

use std::collections::BTreeSet;

use charttrust_verify::openpgp::{
    Certificate, CertificateError, Code, Fingerprint, Validity, load, load_all, parse_cleartext,
    signature_validity, verify,
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

fn verified(key: &Certificate, message: &str, now: &str) -> Result<Validity, Code> {
    let message = parse_cleartext(&vector(message)).unwrap();
    let verified = verify(&message, &message.signatures()[0], key)?;
    Ok(signature_validity(key, &verified, at(now)))
}

fn both(key: &str, message: &str, now: &str) -> (Code, Code) {
    let standing = verified(&certificate(key), message, now).unwrap();
    (standing.at_signing, standing.now)
}

const VALID: (Code, Code) = (Code::Valid, Code::Valid);
const HARD: Code = Code::RevokedHard { compromised: false };
const COMPROMISED: Code = Code::RevokedHard { compromised: true };

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
        let signing: Vec<_> = summary
            .signing_keys
            .iter()
            .map(|one| &one.fingerprint)
            .collect();
        assert_eq!(signing, [key.fingerprint()]);
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
        ("rsa1024", Code::WeakKey),
        ("dsa2048", Code::UnsupportedAlgorithm),
        ("secp256k1", Code::UnsupportedAlgorithm),
        ("brainpoolP256r1", Code::UnsupportedAlgorithm),
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
        ("sha1", Err(Code::WeakHash)),
        ("ripemd160", Err(Code::WeakHash)),
        ("sha224", Err(Code::WeakHash)),
        ("sha256", Ok(Code::Valid)),
        ("sha384", Ok(Code::Valid)),
        ("sha512", Ok(Code::Valid)),
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
    let signing: Vec<_> = signing.iter().map(|one| &one.fingerprint).collect();
    assert_eq!(
        signing,
        [verified.signer()],
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
    assert_eq!(summary.usable, Err(Code::RevokedSoft));
    assert_eq!(summary.revocation, None);
    assert_eq!(summary.subkey_revocations.len(), 1);
    assert_eq!(summary.subkey_revocations[0].1.reason, "superseded");
}

#[test]
fn an_expired_key_keeps_its_older_signatures_at_signing_only() {
    for (now, expected) in [
        ("2024-12-31", (Code::Valid, Code::Valid)),
        ("2025-01-01", (Code::Valid, Code::Expired)),
        ("2026-01-01", (Code::Valid, Code::Expired)),
    ] {
        assert_eq!(both("short.asc", "short.prov", now), expected, "{now}");
    }
    let expired = (Code::Expired, Code::Expired);
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
        ("superseded", VALID, (Code::RevokedSoft, Code::RevokedSoft)),
        ("retired", VALID, (Code::RevokedSoft, Code::RevokedSoft)),
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
    assert_eq!(word, Code::RevocationNotVerifiable);
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
        Code::Valid
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
    assert_eq!(
        error,
        CertificateError::PinnedNotFound {
            pinned,
            found,
            foreign: BTreeSet::new(),
        }
    );
}

#[test]
fn the_fingerprint_of_a_subkey_does_not_pin_its_certificate() {
    let key = certificate("split.asc");
    let subkey = key.summary(at("2024-07-01")).signing_keys[0]
        .fingerprint
        .clone();
    let error = load(&vector("split.asc"), &subkey, &[]).unwrap_err();
    let primary = key.fingerprint().clone();
    let pinned = subkey;
    assert_eq!(error, CertificateError::PinnedSubkey { pinned, primary });
}

#[test]
fn another_key_did_not_make_the_signature() {
    let key = certificate("rsa3072.asc");
    let answer = verified(&key, "rsa2048.prov", "2024-07-01");
    assert_eq!(answer.unwrap_err(), Code::UnknownKey);
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
    assert_eq!(answer.unwrap_err(), Code::BadSignature);
    assert_eq!(
        load_all(&vector("helm-mixed-keyring.pub")).unwrap().len(),
        2
    );
}
