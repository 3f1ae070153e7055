//! `TrustedKey` of type `PublicKey`, its material and its trusted root → a public key to judge by.

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::finding::error_chain;
use charttrust_verify::key::Scope;
use charttrust_verify::sigstore::{
    KnownPublicKey, PublicKey, PublicKeyError, Root, Transparency, TrustedPublicKey,
};
use kube::ResourceExt as _;

use super::key::{KeyProblem, check_places, instant, revocation, scope};
use super::{Problem, Problems};
use crate::api::TrustedKey;
use crate::api::reasons::KeyReason;
use crate::api::trusted_key as api;

/// Reads a public key from its object and material. Any problem makes it unusable: a part that cannot be read
/// may be the one that limits it.
///
/// # Errors
/// Every field that is wrong, with the next step.
pub fn public_key(
    object: &TrustedKey,
    material: &[u8],
    root: Root,
) -> Result<KnownPublicKey, KeyProblem> {
    let spec = &object.spec;
    let mut problems = Problems::default();
    check_places(spec, &mut problems);
    check_type(spec, &mut problems);
    let fingerprint = spec.fingerprint.parse::<Sha256Digest>();
    let fingerprint = fingerprint.map_err(|_| NO_DIGEST);
    let fingerprint = problems.take("spec.fingerprint", fingerprint);
    let limits = spec.scope.as_ref();
    let limits = limits.map(|named| scope(named, &mut problems));
    let not_after = instant("spec.notAfter", spec.not_after.as_ref(), &mut problems);
    let revocation = revocation(object, &mut problems);
    let (Some(fingerprint), None) = (fingerprint, Problems::summary(problems.found())) else {
        let message = Problems::summary(problems.found()).unwrap_or_default();
        return Err(KeyProblem::new(KeyReason::InvalidSpec, message));
    };
    let key = PublicKey::parse_pinned(material, fingerprint).map_err(|error| unusable(&error))?;
    Ok(KnownPublicKey {
        trusted: TrustedPublicKey {
            name: object.name_any(),
            fingerprint,
            transparency: transparency(spec),
            scope: limits.unwrap_or_default(),
            not_after,
            revocations: revocation.into_iter().collect(),
        },
        labels: object.labels().clone(),
        key: Some(key),
        root: Some(root),
        unusable: None,
    })
}

/// What remains of an object that cannot be used: it approves of nothing, and what is known against its key
/// counts. `None` where not even the fingerprint can be read.
pub fn public_key_remains(
    object: &TrustedKey,
    material: Option<&[u8]>,
    problem: &KeyProblem,
) -> Option<KnownPublicKey> {
    let fingerprint = object.spec.fingerprint.parse::<Sha256Digest>().ok()?;
    let key = material.and_then(|bytes| PublicKey::parse_pinned(bytes, fingerprint).ok());
    Some(KnownPublicKey {
        trusted: TrustedPublicKey {
            name: object.name_any(),
            fingerprint,
            transparency: transparency(&object.spec),
            scope: Scope::default(),
            not_after: None,
            revocations: super::declared_revocation(object).into_iter().collect(),
        },
        labels: object.labels().clone(),
        key,
        root: None,
        unusable: Some(problem.message.clone()),
    })
}

/// Several objects of one fingerprint: every revocation counts for all of them. Scope and end stay each
/// object's own.
pub fn share_public_revocations(keys: &mut [KnownPublicKey]) {
    let all: Vec<_> = keys
        .iter()
        .map(|one| (one.trusted.fingerprint, one.trusted.revocations.clone()))
        .collect();
    for key in keys {
        let same = all.iter().filter(|(of, _)| *of == key.trusted.fingerprint);
        key.trusted.revocations = same.flat_map(|(_, said)| said.iter().cloned()).collect();
    }
}

fn transparency(spec: &api::TrustedKeySpec) -> Transparency {
    match spec.transparency {
        None | Some(api::Transparency::IfPresent) => Transparency::IfPresent,
        Some(api::Transparency::Required) => Transparency::Required,
    }
}

fn check_type(spec: &api::TrustedKeySpec, problems: &mut Problems) {
    let of_others = [
        ("spec.refresh", spec.refresh.is_some()),
        (
            "spec.revocationCertificates",
            !spec.revocation_certificates.is_empty(),
        ),
    ];
    for (path, _) in of_others.into_iter().filter(|(_, is_set)| *is_set) {
        problems.add(path, "is for type OpenPGP only, leave it out");
    }
}

const NO_DIGEST: &str = "is no digest of a public key, write sha256: and the 64 digits that \
                         `charttrust key show FILE` prints";

fn unusable(error: &PublicKeyError) -> KeyProblem {
    let reason = match error {
        PublicKeyError::PinnedNotFound { .. } => KeyReason::FingerprintMismatch,
        PublicKeyError::Malformed
        | PublicKeyError::SecretKey
        | PublicKeyError::TooLarge { .. }
        | PublicKeyError::TooMany
        | PublicKeyError::Unsupported(_) => KeyReason::MaterialUnusable,
    };
    KeyProblem::new(
        reason,
        Problem {
            path: "spec.publicKey".to_owned(),
            message: error_chain(error),
        }
        .to_string(),
    )
}

#[cfg(test)]
mod tests {
    use charttrust_verify::key::RevocationReason;

    use super::*;

    // openssl ecparam -genkey -name prime256v1 -noout | openssl ec -pubout
    const GOOD: &str = include_str!("../../../examples/trusted-key-cosign.yaml");

    fn object(change: impl FnOnce(&mut TrustedKey)) -> TrustedKey {
        let mut object: TrustedKey = serde_saphyr::from_multiple(GOOD).unwrap().remove(0);
        change(&mut object);
        object
    }

    fn read(object: &TrustedKey) -> Result<KnownPublicKey, KeyProblem> {
        let material = object.spec.public_key.inline.clone().unwrap_or_default();
        public_key(
            object,
            material.as_bytes(),
            Root::Unknown("none".to_owned()),
        )
    }

    #[test]
    fn a_good_public_key_is_read_whole() {
        let object = object(|it| it.spec.transparency = Some(api::Transparency::Required));
        let known = read(&object).unwrap();
        assert_eq!(
            known.trusted.fingerprint.to_string(),
            object.spec.fingerprint
        );
        assert_eq!(known.trusted.transparency, Transparency::Required);
        assert!(known.key.is_some() && known.unusable.is_none());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field_and_its_word() {
        type Change = fn(&mut TrustedKey);
        let rows: [(KeyReason, &str, Change); 7] = [
            (
                KeyReason::InvalidSpec,
                "spec.fingerprint: is no digest",
                |it| {
                    it.spec.fingerprint = "1".repeat(64);
                },
            ),
            (KeyReason::InvalidSpec, "spec.notAfter: ", |it| {
                it.spec.not_after = Some("soon".to_owned());
            }),
            (
                KeyReason::InvalidSpec,
                "spec.revocationCertificates: is for",
                |it| {
                    it.spec.revocation_certificates = vec!["x".to_owned()];
                },
            ),
            (KeyReason::InvalidSpec, "spec.refresh: is for", |it| {
                let refresh = serde_json::json!({"url": "https://example.com/key.pem"});
                it.spec.refresh = Some(serde_json::from_value(refresh).unwrap());
            }),
            (
                KeyReason::FingerprintMismatch,
                "spec.publicKey: the key has",
                |it| {
                    it.spec.fingerprint = format!("sha256:{}", "0".repeat(64));
                },
            ),
            (
                KeyReason::MaterialUnusable,
                "spec.publicKey: this is no",
                |it| {
                    it.spec.public_key.inline = Some("none".to_owned());
                },
            ),
            (
                KeyReason::InvalidSpec,
                "spec.publicKey: set exactly one",
                |it| {
                    it.spec.public_key.inline = None;
                },
            ),
        ];
        for (reason, told, change) in rows {
            let problem = read(&object(change)).expect_err(told);
            assert_eq!(problem.reason, reason, "{told}");
            assert!(problem.message.starts_with(told), "{told}: {problem}");
        }
    }

    /// A mistake elsewhere in the object gives no trust back, and that of one object counts for all.
    #[test]
    fn a_revocation_counts_though_its_object_cannot_be_used_and_for_all_objects_of_the_key() {
        let odd = object(|it| {
            it.metadata.name = Some("odd".to_owned());
            it.spec.not_after = Some("soon".to_owned());
            let revocation = serde_json::json!({"reason": "Compromised"});
            it.spec.revocation = Some(serde_json::from_value(revocation).unwrap());
        });
        let problem = read(&odd).unwrap_err();
        let material = odd.spec.public_key.inline.clone().unwrap();
        let remains = public_key_remains(&odd, Some(material.as_bytes()), &problem).unwrap();
        assert!(remains.key.is_some() && remains.unusable.is_some());
        let mut keys = [read(&object(|_| {})).unwrap(), remains];
        share_public_revocations(&mut keys);
        for key in keys {
            let [said] = key.trusted.revocations.as_slice() else {
                panic!("{key:?}")
            };
            assert_eq!(said.reason, RevocationReason::Compromised);
            assert_eq!(said.declared_by, "odd");
        }
    }
}
