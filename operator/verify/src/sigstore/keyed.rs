//! Signatures by a key that somebody has beforehand.
//!
//! Decision: the signature is checked here and not by `sigstore-verify`, which takes none without a log
//! entry or a timestamp: those of machines without a way out have neither. It asks the crate for what a
//! bundle has of both.

use std::borrow::Cow;

use aws_lc_rs::digest;
use sigstore_verify::PublicKeyVerificationPolicy;
use sigstore_verify::crypto::{
    KeyAlgorithm, SigningScheme, verify_signature, verify_signature_prehashed,
};
use sigstore_verify::types::{HashAlgorithm, MessageSignature, SignatureBytes, SignatureContent};

use super::bundle::{Artifact, ClaimedBundle, Message, Statement};
use super::fault::{Code, Fault};
use super::public_key::PublicKey;
use super::root::TrustedRoot;
use super::verified::{BundleRecord, NotProven, SignerRecord};
use super::witnesses::{self, Testimony};

/// Signature and artifact by the key; logs and timestamps by the root, if there is one.
///
/// A log or authority that the root does not have proves nothing and is told: whoever holds the key could
/// leave it out. What one of the root has *not* said is a fault.
pub(super) fn verify(
    claimed: &ClaimedBundle,
    artifact: Artifact<'_>,
    key: &PublicKey,
    root: Option<&TrustedRoot>,
) -> Result<BundleRecord, Fault> {
    if !claimed.is_keyed() {
        let message = "it is made by an identity with a certificate, and not with this key";
        return Err(Fault::new(Code::OtherSigner, message));
    }
    let scheme = check_signature(claimed, artifact, key)?;
    let mut record = BundleRecord {
        signer: SignerRecord::Key(key.fingerprint()),
        kind: claimed
            .kind()
            .map_err(|error| Fault::new(Code::Malformed, error.to_string()))?,
        artifact: artifact.digest(),
        times: Vec::new(),
        logs: Vec::new(),
        authorities: Vec::new(),
        root: root.map(TrustedRoot::digest),
        not_proven: Vec::new(),
    };
    match root {
        Some(root) if scheme == Hashing::Usual => {
            add_testimony(
                &mut record,
                claimed,
                claimed.message_for(artifact),
                (key, root),
            )?;
        }
        Some(_) if has_testimony(claimed) => record.not_proven.push(NotProven::HashNotSupported),
        None if has_testimony(claimed) => record.not_proven.push(NotProven::NoRoot),
        _ => {}
    }
    let missing = [
        record.logs.is_empty().then_some(NotProven::NotLogged),
        record.times.is_empty().then_some(NotProven::Time),
    ];
    record.not_proven.extend(missing.into_iter().flatten());
    Ok(record)
}

fn has_testimony(claimed: &ClaimedBundle) -> bool {
    let material = &claimed.bundle.verification_material;
    let stamps = &material.timestamp_verification_data.rfc3161_timestamps;
    !material.tlog_entries.is_empty() || !stamps.is_empty()
}

/// What logs and timestamp authorities of the root say.
fn add_testimony(
    record: &mut BundleRecord,
    claimed: &ClaimedBundle,
    message: sigstore_verify::types::Artifact<'_>,
    (key, root): (&PublicKey, &TrustedRoot),
) -> Result<(), Fault> {
    let (known, unknown) = witnesses::known_part(&claimed.bundle, root);
    let unknown = unknown.into_iter().map(NotProven::UnknownAuthority);
    record.not_proven.extend(unknown);
    let material = &known.verification_material;
    let stamps = &material.timestamp_verification_data.rfc3161_timestamps;
    let mut policy = PublicKeyVerificationPolicy::new(key.der.clone());
    if material.tlog_entries.is_empty() {
        if stamps.is_empty() {
            return Ok(());
        }
        policy = policy.skip_tlog_unsafe();
    }
    witnesses::check(&known, root)?;
    let result = root.whole.verify(message, &known, &policy)?;
    let testimony = Testimony::of(&known, result.verified_timestamps(), root);
    record.times = testimony.times;
    record.logs = testimony.logs;
    record.authorities = testimony.authorities;
    Ok(())
}

/// Whether a signature is hashed as its kind of key usually does, which logs expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hashing {
    Other,
    Usual,
}

/// Whether the key made the signature, and the signature is of the artifact.
fn check_signature(
    claimed: &ClaimedBundle,
    artifact: Artifact<'_>,
    key: &PublicKey,
) -> Result<Hashing, Fault> {
    match &claimed.bundle.content {
        SignatureContent::DsseEnvelope(envelope) => {
            if envelope.payload_type != STATEMENT {
                let message = format!(
                    "what was signed is {:?}, and no statement",
                    envelope.payload_type
                );
                return Err(Fault::new(Code::Unsupported, message));
            }
            let signed = Signed::Bytes(Cow::Owned(envelope.pae()));
            let hashing = signed_by(key, &signed, &envelope.signature.sig)?;
            let statement = Statement::parse(envelope.payload.as_bytes());
            let statement =
                statement.map_err(|error| Fault::new(Code::Malformed, error.to_string()))?;
            if statement.is_about(artifact.digest()) {
                return Ok(hashing);
            }
            let message = "no subject of the statement is this artifact";
            Err(Fault::new(Code::ArtifactMismatch, message))
        }
        SignatureContent::MessageSignature(signature) => {
            let signed = match (&claimed.message, artifact) {
                (Message::Payload { bytes, .. }, _) => Signed::Bytes(Cow::Borrowed(bytes)),
                (Message::Artifact, artifact) => {
                    check_hint(signature, artifact)?;
                    artifact.into()
                }
            };
            signed_by(key, &signed, &signature.signature)
        }
        _ => Err(Fault::new(
            Code::Unsupported,
            "its content is of a kind that is not known",
        )),
    }
}

/// The digest beside a signature is a hint. It says that another artifact was meant; that it was signed,
/// the signature says.
fn check_hint(signature: &MessageSignature, artifact: Artifact<'_>) -> Result<(), Fault> {
    let Some(hint) = &signature.message_digest else {
        return Ok(());
    };
    let digest = match (hint.algorithm, artifact) {
        (HashAlgorithm::Sha2256, artifact) => artifact.digest().as_bytes().to_vec(),
        (algorithm, Artifact::Bytes(bytes)) => match algorithm_of(algorithm) {
            Some(algorithm) => digest::digest(algorithm, bytes).as_ref().to_vec(),
            None => return Err(Fault::new(Code::Unsupported, "a hash that is not known")),
        },
        (_, Artifact::Digest(_)) => return Ok(()),
    };
    if hint.digest.as_bytes() == digest.as_slice() {
        return Ok(());
    }
    let message = "the digest beside the signature is that of another artifact";
    Err(Fault::new(Code::ArtifactMismatch, message))
}

fn algorithm_of(algorithm: HashAlgorithm) -> Option<&'static digest::Algorithm> {
    match algorithm {
        HashAlgorithm::Sha2256 => Some(&digest::SHA256),
        HashAlgorithm::Sha2384 => Some(&digest::SHA384),
        HashAlgorithm::Sha2512 => Some(&digest::SHA512),
        _ => None,
    }
}

/// What a signature is over.
enum Signed<'a> {
    Bytes(Cow<'a, [u8]>),
    Sha256(Vec<u8>),
}

impl<'a> From<Artifact<'a>> for Signed<'a> {
    fn from(artifact: Artifact<'a>) -> Self {
        match artifact {
            Artifact::Bytes(bytes) => Self::Bytes(Cow::Borrowed(bytes)),
            Artifact::Digest(digest) => Self::Sha256(digest.as_bytes().to_vec()),
        }
    }
}

/// Whether the key made the signature, with the hash that is usual or one that cosign can be told to use
/// (`--signature-digest-algorithm`): nothing beside an old signature says which.
fn signed_by(
    key: &PublicKey,
    signed: &Signed<'_>,
    signature: &SignatureBytes,
) -> Result<Hashing, Fault> {
    let usual = key.algorithm.default_signing_scheme();
    let candidates = candidates(key.algorithm);
    if candidates.is_empty() {
        return whole(key, signed, signature);
    }
    let mut left_out = false;
    for candidate in candidates {
        let digest = match signed {
            Signed::Bytes(bytes) => digest::digest(candidate.hash, bytes).as_ref().to_vec(),
            Signed::Sha256(digest) if *candidate.hash == digest::SHA256 => digest.clone(),
            Signed::Sha256(_) => {
                left_out = true;
                continue;
            }
        };
        let part = digest.get(..candidate.bytes).unwrap_or(&digest);
        if verify_signature_prehashed(&key.der, part, signature, candidate.scheme).is_ok() {
            let is_usual = candidate.scheme == usual && part.len() == digest.len();
            return Ok(if is_usual {
                Hashing::Usual
            } else {
                Hashing::Other
            });
        }
    }
    if left_out && usual.hash_algorithm() != Some(HashAlgorithm::Sha2256) {
        return Err(needs_bytes(key));
    }
    let message = "the signature was not made with this key over this";
    Err(Fault::new(Code::SignatureInvalid, message))
}

/// Keys that sign no digest. That what is there was not signed so is no proof that it was changed: cosign hashes
/// first with such a key (Ed25519ph), and verifies as little of it as is done here.
fn whole(
    key: &PublicKey,
    signed: &Signed<'_>,
    signature: &SignatureBytes,
) -> Result<Hashing, Fault> {
    let Signed::Bytes(bytes) = signed else {
        return Err(needs_bytes(key));
    };
    let scheme = key.algorithm.default_signing_scheme();
    match verify_signature(&key.der, bytes, signature, scheme) {
        Ok(()) => Ok(Hashing::Usual),
        Err(error) => {
            let message = format!("{error}; one that is hashed first (Ed25519ph) is not read");
            Err(Fault::new(Code::Unsupported, message))
        }
    }
}

fn needs_bytes(key: &PublicKey) -> Fault {
    let algorithm = key.algorithm();
    let message =
        format!("a signature by a key of {algorithm} is over the artifact itself, not its digest");
    Fault::new(Code::Unsupported, message)
}

/// The type of in-toto statements (in-toto attestation framework, `spec/v1/envelope.md`). What says that it is
/// something else is no statement, though it may look like one: whoever has it signed may have written it.
const STATEMENT: &str = "application/vnd.in-toto+json";

/// One way to hash and verify.
struct Candidate {
    hash: &'static digest::Algorithm,
    /// How much of the digest counts.
    bytes: usize,
    scheme: SigningScheme,
}

/// ECDSA takes the leftmost bits of a digest that is longer than the curve (FIPS 186-5 section 6.4.2), so
/// SHA-512 on a shorter curve is verified with the scheme of that length.
fn candidates(algorithm: KeyAlgorithm) -> Vec<Candidate> {
    use SigningScheme as Scheme;
    let of = |schemes: [(usize, Scheme); 3]| {
        let hashes = [&digest::SHA256, &digest::SHA384, &digest::SHA512];
        let all = hashes.into_iter().zip(schemes);
        let all = all.map(|(hash, (bytes, scheme))| Candidate {
            hash,
            bytes,
            scheme,
        });
        all.collect()
    };
    match algorithm {
        KeyAlgorithm::EcdsaP256 => of([
            (32, Scheme::EcdsaP256Sha256),
            (48, Scheme::EcdsaP256Sha384),
            (32, Scheme::EcdsaP256Sha256),
        ]),
        KeyAlgorithm::EcdsaP384 => of([
            (32, Scheme::EcdsaP384Sha256),
            (48, Scheme::EcdsaP384Sha384),
            (48, Scheme::EcdsaP384Sha384),
        ]),
        KeyAlgorithm::Rsa => of([
            (32, Scheme::RsaPkcs1Sha256),
            (48, Scheme::RsaPkcs1Sha384),
            (64, Scheme::RsaPkcs1Sha512),
        ]),
        _ => Vec::new(),
    }
}
