//! Logs and timestamp authorities: which of the trusted root vouched for a bundle.

use sigstore_verify::crypto::VerificationKey;
use sigstore_verify::trust_root::{TimestampAuthority, TransparencyLog};
use sigstore_verify::tsa::{Error, verify_timestamp_for_authority};
use sigstore_verify::types::{
    Bundle, KindVersion, MediaType, SignatureBytes, SignatureContent, TimestampToken,
    TransparencyLogEntry, TsaAuthority,
};

use super::fault::{Code, Fault};
use super::root::{TrustedRoot, timestamp_authority};
use super::verified::{Authority, AuthorityKind, LogRecord, ProvenTime, TimeSource};
use crate::digest::Sha256Digest;
use crate::finding::bounded;

/// What logs and timestamp authorities say of a bundle that was verified.
pub(super) struct Testimony {
    pub(super) times: Vec<ProvenTime>,
    pub(super) logs: Vec<LogRecord>,
    pub(super) authorities: Vec<Authority>,
}

impl Testimony {
    /// Of a bundle that the mathematics have found good by this root, with the times that they found.
    pub(super) fn of(bundle: &Bundle, proven: &[jiff::Timestamp], root: &TrustedRoot) -> Self {
        let material = &bundle.verification_material;
        let from_log: Vec<_> = material.tlog_entries.iter().filter_map(log_time).collect();
        let times = proven.iter().map(|at| ProvenTime {
            at: *at,
            by: if from_log.contains(at) {
                TimeSource::Log
            } else {
                TimeSource::TimestampAuthority
            },
        });
        let mut times: Vec<_> = times.collect();
        times.sort();
        let (mut logs, mut authorities) = (Vec::new(), Vec::new());
        for entry in &material.tlog_entries {
            for log in logs_of(entry, root) {
                let log = named(log);
                logs.extend(record(entry, log.as_ref()));
                authorities.extend(log);
            }
        }
        let stamps = &material.timestamp_verification_data.rfc3161_timestamps;
        let signature = signature(bundle);
        for stamp in stamps {
            let authority = signature.map(|it| stamped_by(&stamp.signed_timestamp, it, root));
            authorities.extend(authority.and_then(Result::ok));
        }
        authorities.sort();
        authorities.dedup();
        logs.dedup();
        Self {
            times,
            logs,
            authorities,
        }
    }
}

/// Whether the root has everybody who vouches for a bundle, and each has made the stamp that it shows.
pub(super) fn check(bundle: &Bundle, root: &TrustedRoot) -> Result<(), Fault> {
    let material = &bundle.verification_material;
    let unknown = material
        .tlog_entries
        .iter()
        .find(|one| !is_known(one, root));
    if let Some(entry) = unknown {
        return Err(unknown_log(entry, root));
    }
    let signature = signature(bundle);
    let stamps = &material.timestamp_verification_data.rfc3161_timestamps;
    for stamp in stamps {
        signature.map_or(Ok(()), |signature| {
            stamped_by(&stamp.signed_timestamp, signature, root).map(|_| ())
        })?;
    }
    Ok(())
}

/// The bundle without what those say whom the root does not have, and who they are.
pub(super) fn known_part(bundle: &Bundle, root: &TrustedRoot) -> (Bundle, Vec<String>) {
    let (mut known, mut unknown) = (bundle.clone(), Vec::new());
    let signature = signature(bundle);
    let material = &mut known.verification_material;
    material.tlog_entries.retain(|entry| {
        let is_known = is_known(entry, root);
        unknown.extend((!is_known).then(|| unknown_log(entry, root).detail().to_owned()));
        is_known
    });
    let stamps = &mut material.timestamp_verification_data.rfc3161_timestamps;
    stamps.retain(|stamp| {
        let fault = signature.map(|it| stamped_by(&stamp.signed_timestamp, it, root));
        let Some(Err(fault)) = fault else { return true };
        let is_unknown = fault.code() == Code::AuthorityUnknown;
        unknown.extend(is_unknown.then(|| fault.detail().to_owned()));
        !is_unknown
    });
    if material.tlog_entries.is_empty() {
        // Version 0.1 demands the promise of a log; the signature is the same in all of them.
        known.media_type = MediaType::Bundle0_3;
    }
    (known, unknown)
}

/// When a log says that it took an entry, if its promise covers that: only those of Rekor 1 do.
fn log_time(entry: &TransparencyLogEntry) -> Option<jiff::Timestamp> {
    entry.inclusion_promise.as_ref()?;
    let is_v2 = entry.kind_version == KindVersion::HashedRekordV002;
    entry.integrated_time.filter(|_| !is_v2)
}

/// Whether some log of the root may have made what the entry shows; whether it has is for mathematics.
fn is_known(entry: &TransparencyLogEntry, root: &TrustedRoot) -> bool {
    let mut logs = root.content.tlogs.iter();
    logs.any(|log| log.log_id == entry.log_id || hints_at(entry, log))
}

/// Whether a signature of the checkpoint names the log, by the first bytes of its ID.
fn hints_at(entry: &TransparencyLogEntry, log: &TransparencyLog) -> bool {
    let proof = entry.inclusion_proof.as_ref();
    let checkpoint = proof.and_then(|proof| proof.checkpoint.checkpoint());
    let signatures = checkpoint.map_or(&[][..], |one| one.signatures());
    let id = log.log_id.key_id.as_bytes();
    signatures
        .iter()
        .any(|one| id.starts_with(one.key_id.as_slice()))
}

/// The logs that made what a verified entry shows: its promise, its checkpoint, or both. What the entry
/// itself says of its log is covered by a promise only.
fn logs_of<'a>(
    entry: &TransparencyLogEntry,
    root: &'a TrustedRoot,
) -> impl Iterator<Item = &'a TransparencyLog> {
    root.content.tlogs.iter().filter(|log| {
        let promised = entry.inclusion_promise.is_some() && log.log_id == entry.log_id;
        promised || has_signed_checkpoint(entry, log)
    })
}

fn has_signed_checkpoint(entry: &TransparencyLogEntry, log: &TransparencyLog) -> bool {
    let proof = entry.inclusion_proof.as_ref();
    let Some(checkpoint) = proof.and_then(|proof| proof.checkpoint.checkpoint()) else {
        return false;
    };
    let Ok(key) = VerificationKey::from_spki(&log.public_key.raw_bytes) else {
        return false;
    };
    let id = log.log_id.key_id.as_bytes();
    let signatures = checkpoint.signatures().iter();
    let mut own = signatures.filter(|one| id.starts_with(one.key_id.as_slice()));
    own.any(|one| key.verify(checkpoint.signed_data(), &one.signature).is_ok())
}

fn named(log: &TransparencyLog) -> Option<Authority> {
    let id = log.log_id.key_id.as_bytes().try_into().ok()?;
    Some(Authority {
        kind: AuthorityKind::TransparencyLog,
        id: Sha256Digest::from_bytes(id),
        name: bounded(&log.base_url),
    })
}

/// The index that is proven: by the promise, or by the proof. Rekor 1 counts over several trees in the
/// one and within one tree in the other.
fn record(entry: &TransparencyLogEntry, log: Option<&Authority>) -> Option<LogRecord> {
    let is_v2 = entry.kind_version == KindVersion::HashedRekordV002;
    let in_tree = entry.inclusion_proof.as_ref().map(|proof| proof.log_index);
    let index = match in_tree {
        Some(in_tree) if entry.inclusion_promise.is_none() && !is_v2 => in_tree,
        _ => entry.log_index,
    };
    Some(LogRecord {
        log: log?.id,
        index: index.get(),
    })
}

fn unknown_log(entry: &TransparencyLogEntry, root: &TrustedRoot) -> Fault {
    let proof = entry.inclusion_proof.as_ref();
    let checkpoint = proof.and_then(|proof| proof.checkpoint.checkpoint());
    let called = checkpoint.map_or_else(String::new, |one| format!(" ({})", one.origin()));
    let id = hex::encode(entry.log_id.key_id.as_bytes());
    let root = root.described();
    let message = format!("{root} does not have the transparency log {id}{called}");
    Fault::new(Code::AuthorityUnknown, message)
}

/// The signature of a bundle: what timestamps are made for.
fn signature(bundle: &Bundle) -> Option<&SignatureBytes> {
    match &bundle.content {
        SignatureContent::DsseEnvelope(envelope) => Some(&envelope.signature.sig),
        SignatureContent::MessageSignature(message) => Some(&message.signature),
        _ => None,
    }
}

/// Who made a timestamp for a signature.
fn stamped_by(
    token: &TimestampToken,
    signature: &SignatureBytes,
    root: &TrustedRoot,
) -> Result<Authority, Fault> {
    let message = format!(
        "{} does not have the authority of a timestamp",
        root.described()
    );
    let mut worst = Fault::new(Code::AuthorityUnknown, message);
    for authority in &root.content.timestamp_authorities {
        let Some(unit) = as_unit(authority) else {
            continue;
        };
        match verify_timestamp_for_authority(token, signature, &unit) {
            Ok(_) => return Ok(timestamp_authority(authority)),
            Err(error) if is_of_another(&error) => {}
            Err(error) => worst = fault(&error),
        }
    }
    Err(worst)
}

/// The authority as one: chain and time in one value, so that none lends its time to another.
fn as_unit(authority: &TimestampAuthority) -> Option<TsaAuthority> {
    let chain = authority.cert_chain.certificates.as_slice();
    let (leaf, intermediates, root) = match chain {
        [] => return None,
        [root] => (root, &[][..], root),
        [leaf, intermediates @ .., root] => (leaf, intermediates, root),
    };
    let intermediates = intermediates.iter().map(|one| one.raw_bytes.clone());
    Some(TsaAuthority::new(
        leaf.raw_bytes.clone(),
        intermediates.collect(),
        root.raw_bytes.clone(),
        authority.valid_for,
    ))
}

fn is_of_another(error: &Error) -> bool {
    matches!(error, Error::SignatureVerificationError(text) if text.contains(OTHER_AUTHORITY))
}

fn fault(error: &Error) -> Fault {
    let code = match error {
        Error::CertificateValidationError(_) | Error::TimestampOutsideValidity { .. } => {
            Code::AuthorityNotValid
        }
        Error::Asn1(_) | Error::NoTstInfo | Error::Parse(_) => Code::Malformed,
        _ => Code::TimestampInvalid,
    };
    Fault::new(code, error.to_string())
}

// The crate tells it in its text only; `tests/sigstore/words.rs` holds it.
const OTHER_AUTHORITY: &str = "does not match any trusted TSA certificate";
