//! Signatures by an identity for which a certificate was issued.

use sigstore_verify::trust_root::CertificateAuthority;
use sigstore_verify::types::Bundle;
use sigstore_verify::types::bundle::{VerificationMaterialContent, X509Certificate};
use sigstore_verify::{VerificationPolicy, VerificationResult};

use super::bundle::{Artifact, ClaimedBundle};
use super::certificate::Certificate;
use super::fault::{Code, Fault};
use super::root::TrustedRoot;
use super::verified::{Authority, AuthorityKind, BundleRecord, NotProven, SignerRecord};
use super::witnesses::{self, Testimony};

/// Certificate, log entry, proven time and signature, each by the trusted root. Whose the identity is
/// decides nothing here.
pub(super) fn verify(
    claimed: &ClaimedBundle,
    artifact: Artifact<'_>,
    root: &TrustedRoot,
) -> Result<BundleRecord, Fault> {
    if claimed.is_keyed() {
        let message = "it is made with a key, and not by an identity";
        return Err(Fault::new(Code::OtherSigner, message));
    }
    let Some(leaf) = claimed.bundle.signing_certificate() else {
        return Err(Fault::new(Code::Malformed, "its chain has no certificate"));
    };
    let certificate = Certificate::parse(leaf.as_bytes())?;
    let identity = certificate.identity()?;
    witnesses::check(&claimed.bundle, root)?;
    let (authority, result) = vouched(claimed, artifact, root)
        .map_err(|fault| name_authority(fault, &certificate, root))?;
    let mut testimony = Testimony::of(&claimed.bundle, result.verified_timestamps(), root);
    testimony.authorities.push(authority);
    let mut not_proven = Vec::new();
    match certificate_log(&certificate, root) {
        Some(log) if result.sct_verified() => testimony.authorities.push(log),
        _ => not_proven.push(NotProven::CertificatePublic),
    }
    testimony.authorities.sort();
    Ok(BundleRecord {
        signer: SignerRecord::Identity(Box::new(identity)),
        kind: claimed
            .kind()
            .map_err(|error| Fault::new(Code::Malformed, error.to_string()))?,
        artifact: artifact.digest(),
        times: testimony.times,
        logs: testimony.logs,
        authorities: testimony.authorities,
        root: Some(root.digest()),
        not_proven,
    })
}

/// Which authority vouches for the certificate, and what the mathematics found by its word alone.
///
/// Who issues, the root says. The mathematics would take a certificate that a bundle brings along for one of the
/// authority if any of its chain has issued it; but whoever stands at the top of a company has issued many.
fn vouched(
    claimed: &ClaimedBundle,
    artifact: Artifact<'_>,
    root: &TrustedRoot,
) -> Result<(Authority, VerificationResult), Fault> {
    let policy = policy(root);
    let brought = brought_along(&claimed.bundle);
    let authorities = root.content.certificate_authorities.iter();
    let authorities = authorities.zip(&root.by_authority);
    let own = authorities.filter(|(authority, _)| has_all(authority, brought));
    let mut own = own.map(|(_, alone)| alone).peekable();
    if own.peek().is_none() && !brought.is_empty() {
        let message = "the bundle brings along who has issued it";
        return Err(Fault::new(Code::AuthorityUnknown, message));
    }
    for (authority, verifier) in own {
        if let Ok(result) = verifier.verify(claimed.message_for(artifact), &claimed.bundle, &policy)
        {
            return Ok((authority.clone(), result));
        }
    }
    match root
        .whole
        .verify(claimed.message_for(artifact), &claimed.bundle, &policy)
    {
        Ok(_) => Err(Fault::new(
            Code::AuthorityNotValid,
            "no authority alone covers all times at which it is said to have been signed",
        )),
        Err(error) => Err(error.into()),
    }
}

/// The certificates in a bundle besides that of whoever has signed.
fn brought_along(bundle: &Bundle) -> &[X509Certificate] {
    match &bundle.verification_material.content {
        VerificationMaterialContent::X509CertificateChain { certificates } => {
            certificates.get(1..).unwrap_or_default()
        }
        _ => &[],
    }
}

fn has_all(authority: &CertificateAuthority, certificates: &[X509Certificate]) -> bool {
    let chain = &authority.cert_chain.certificates;
    let has = |one: &X509Certificate| chain.iter().any(|own| own.raw_bytes == one.raw_bytes);
    certificates.iter().all(has)
}

/// Any identity: whom to trust is decided by facts. A stamp of a log of certificates is asked for if the
/// root names such a log, whatever the bundle says.
fn policy(root: &TrustedRoot) -> VerificationPolicy {
    let policy = VerificationPolicy::any_identity();
    if root.asks_for_stamps() {
        policy
    } else {
        policy.skip_sct()
    }
}

fn certificate_log(certificate: &Certificate, root: &TrustedRoot) -> Option<Authority> {
    let id = certificate.certificate_log()?;
    let mut all = root.authorities().into_iter();
    all.find(|one| one.kind == AuthorityKind::CertificateLog && one.id == id)
}

/// Who reads the fault has to know which authority it is, and how old the root.
fn name_authority(fault: Fault, certificate: &Certificate, root: &TrustedRoot) -> Fault {
    if fault.code() != Code::AuthorityUnknown {
        return fault;
    }
    let (root, issuer) = (root.described(), certificate.issued_by());
    let message =
        format!("{root} does not have the authority {issuer:?}, or not with the log that it uses");
    Fault::new(Code::AuthorityUnknown, message)
}
