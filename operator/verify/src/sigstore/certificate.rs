//! What a signing certificate says: exactly one identity, or none.

use sigstore_verify::crypto::{CertificateInfo, FulcioCiClaims, parse_certificate_info};
use sigstore_verify::types::DerCertificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{SignedCertificateTimestampList, SubjectAltName};

use super::fault::{Code, Fault};
use super::limits;
use super::verified::{Claims, IdentityRecord};
use crate::digest::Sha256Digest;
use crate::finding::bounded;

/// A certificate that was read and not verified.
pub(super) struct Certificate {
    read: x509_cert::Certificate,
    info: CertificateInfo,
    digest: Sha256Digest,
}

impl Certificate {
    pub(super) fn parse(der: &[u8]) -> Result<Self, Fault> {
        let invalid = |problem: String| Fault::new(Code::CertificateInvalid, problem);
        let certificate = x509_cert::Certificate::from_der(der);
        let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
        let info = parse_certificate_info(&DerCertificate::from_bytes(der));
        let info = info.map_err(|error| invalid(error.to_string()))?;
        let digest = Sha256Digest::of(der);
        Ok(Self {
            read: certificate,
            info,
            digest,
        })
    }

    /// Who holds it, as it says.
    pub(super) fn identity(&self) -> Result<IdentityRecord, Fault> {
        self.has_one_name()?;
        let subject = self.info.identity.as_ref();
        let subject = subject.ok_or_else(|| lacks("a name that is an address or an e-mail"))?;
        let issuer = self.info.issuer.clone();
        let issuer = issuer.ok_or_else(|| lacks("the issuer of the identity"))?;
        let identity = IdentityRecord {
            issuer,
            subject: subject.as_str().to_owned(),
            claims: claims(&self.info.ci_claims),
            not_before: self.info.not_before,
            not_after: self.info.not_after,
            certificate: self.digest,
        };
        check_lengths(&identity)?;
        Ok(identity)
    }

    /// Fulcio writes one name. Of several the mathematics would look at the first, and others at any.
    fn has_one_name(&self) -> Result<(), Fault> {
        let names = self.read.tbs_certificate.get::<SubjectAltName>();
        let names = names.ok().flatten().map(|(_, names)| names.0);
        match names.unwrap_or_default().as_slice() {
            [GeneralName::Rfc822Name(_) | GeneralName::UniformResourceIdentifier(_)] => Ok(()),
            [] => Err(lacks("a name")),
            [_] => Err(lacks("a name that is an address or an e-mail")),
            [..] => Err(Fault::new(
                Code::CertificateInvalid,
                "the certificate has more than one name",
            )),
        }
    }

    /// Who issued it, as it says.
    pub(super) fn issued_by(&self) -> String {
        bounded(&self.read.tbs_certificate.issuer.to_string())
    }

    /// Whether it names itself as its issuer.
    pub(super) fn is_self_issued(&self) -> bool {
        let tbs = &self.read.tbs_certificate;
        tbs.issuer == tbs.subject
    }

    /// The log of certificates whose stamp it carries, if it carries one.
    pub(super) fn certificate_log(&self) -> Option<Sha256Digest> {
        let stamps = self.read.tbs_certificate.get();
        let (_, stamps): (_, SignedCertificateTimestampList) = stamps.ok().flatten()?;
        let stamps = stamps.parse_timestamps().ok()?;
        let stamp = stamps.first()?.parse_timestamp().ok()?;
        Some(Sha256Digest::from_bytes(stamp.log_id.key_id))
    }
}

fn lacks(what: &str) -> Fault {
    Fault::new(
        Code::CertificateInvalid,
        format!("the certificate lacks {what}"),
    )
}

fn claims(claims: &FulcioCiClaims) -> Claims {
    Claims {
        source_repository: claims.source_repository_uri.clone(),
        source_repository_id: claims.source_repository_identifier.clone(),
        source_ref: claims.source_repository_ref.clone(),
        runner_environment: claims.runner_environment.clone(),
        trigger: claims.build_trigger.clone(),
        commit: claims.source_repository_digest.clone(),
        run: claims.run_invocation_uri.clone(),
    }
}

fn check_lengths(identity: &IdentityRecord) -> Result<(), Fault> {
    let claims = &identity.claims;
    let optional = [
        &claims.source_repository,
        &claims.source_repository_id,
        &claims.source_ref,
        &claims.runner_environment,
        &claims.trigger,
        &claims.commit,
        &claims.run,
    ];
    let optional = optional.into_iter().flatten();
    let mut all = optional.chain([&identity.issuer, &identity.subject]);
    let limit = limits::FACT_BYTES;
    if all.any(|text| text.len() > limit) {
        let message = format!("the certificate says something of more than {limit} bytes");
        return Err(Fault::new(Code::LimitExceeded, message));
    }
    Ok(())
}
