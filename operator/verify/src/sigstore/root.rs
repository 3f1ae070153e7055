//! Whom somebody trusts to say who signed, and when.

use std::fmt;

use jiff::Timestamp;
use sigstore_verify::Verifier;
use sigstore_verify::trust_root::{self, CertificateAuthority, SIGSTORE_PRODUCTION_TRUSTED_ROOT};
use sigstore_verify::types::{DerCertificate, TimeRange};

use super::fault::Said;
use super::limits;
use super::verified::{Authority, AuthorityKind, BundleRecord};
use crate::digest::Sha256Digest;
use crate::finding::bounded;
use crate::verdict::Cause;

/// A trusted root: certificate authorities, logs and timestamp authorities, each with its time.
pub struct TrustedRoot {
    digest: Sha256Digest,
    pub(super) content: trust_root::TrustedRoot,
    /// With all of it.
    pub(super) whole: Verifier,
    /// With one certificate authority each, so that it can be told which of them vouched.
    pub(super) by_authority: Vec<(Authority, Verifier)>,
}

/// Why bytes are no trusted root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// Nobody is in it.
    #[error("the trusted root names no authority and no log")]
    Empty,
    /// No JSON of a trusted root.
    #[error("this is no trusted root (`trusted_root.json`): {0}")]
    Malformed(String),
    /// Larger than is read.
    #[error("the trusted root is larger than {limit} bytes")]
    TooLarge {
        /// Most bytes.
        limit: usize,
    },
    /// More entries of one kind than are looked at.
    #[error("the trusted root has more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// Most of them.
        limit: usize,
    },
    /// A key or certificate in it is malformed, stands there twice or is of a kind that is not known.
    #[error("the trusted root cannot be used: {0}")]
    Unusable(String),
}

impl RootError {
    /// One word for conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Empty | Self::Malformed(_) => "RootMalformed",
            Self::TooLarge { .. } | Self::TooMany { .. } => "RootTooLarge",
            Self::Unusable(_) => "RootUnusable",
        }
    }

    /// What signatures that need the root are in a verdict.
    pub fn said(&self) -> Said {
        Said::Cause(Cause::TrustRootUnknown)
    }
}

impl TrustedRoot {
    /// Reads a root as Sigstore publishes it (`trusted_root.json`).
    ///
    /// # Errors
    /// If it is too large, no root, or anything in it cannot be used: a part that is left out may be the
    /// one that was meant.
    pub fn parse(json: &[u8]) -> Result<Self, RootError> {
        let limit = limits::ROOT_BYTES;
        if json.len() > limit {
            return Err(RootError::TooLarge { limit });
        }
        let malformed =
            |problem: &dyn fmt::Display| RootError::Malformed(bounded(&problem.to_string()));
        let text = std::str::from_utf8(json).map_err(|error| malformed(&error))?;
        let content = trust_root::TrustedRoot::from_json(text);
        let content = content.map_err(|error| malformed(&error))?;
        if !content.media_type.starts_with(MEDIA_TYPE) {
            return Err(malformed(&"its mediaType is another"));
        }
        check_counts(&content)?;
        let whole = verifier(&content)?;
        let authorities = content.certificate_authorities.iter();
        let by_authority = authorities.map(|authority| alone(authority, &content));
        let by_authority = by_authority.collect::<Result<_, RootError>>()?;
        Ok(Self {
            digest: Sha256Digest::of(json),
            by_authority,
            whole,
            content,
        })
    }

    /// The root of the public-good instance (sigstore.dev) that is compiled in.
    ///
    /// # Errors
    /// Never, as long as the tests of this crate pass.
    pub fn public_good() -> Result<Self, RootError> {
        Self::parse(SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes())
    }

    /// Digest of its bytes.
    pub fn digest(&self) -> Sha256Digest {
        self.digest
    }

    /// When the newest of its entries begins: the root is as new as that, or newer.
    pub fn date(&self) -> Option<Timestamp> {
        let content = &self.content;
        let logs = content.tlogs.iter().map(|log| log.public_key.valid_for);
        let ctlogs = content.ctlogs.iter().map(|log| log.public_key.valid_for);
        let authorities = content.certificate_authorities.iter();
        let authorities = authorities.map(|authority| authority.valid_for);
        let stamping = content.timestamp_authorities.iter();
        let stamping = stamping.map(|authority| authority.valid_for);
        let all = logs.chain(ctlogs).chain(authorities).chain(stamping);
        all.flatten().map(|range: TimeRange| range.start).max()
    }

    /// Everybody in it.
    pub fn authorities(&self) -> Vec<Authority> {
        let content = &self.content;
        let log = |kind, id: &[u8], url: &str| {
            let id = id.try_into().ok().map(Sha256Digest::from_bytes)?;
            let name = bounded(url);
            Some(Authority { kind, id, name })
        };
        let logs = content.tlogs.iter().filter_map(|one| {
            let id = one.log_id.key_id.as_bytes();
            log(AuthorityKind::TransparencyLog, id, &one.base_url)
        });
        let ctlogs = content.ctlogs.iter().filter_map(|one| {
            let id = one.log_id.key_id.as_bytes();
            log(AuthorityKind::CertificateLog, id, &one.base_url)
        });
        let authorities = content.certificate_authorities.iter();
        let stamping = content.timestamp_authorities.iter();
        let stamping = stamping.map(timestamp_authority);
        let all = authorities.map(certificate_authority).chain(stamping);
        all.chain(logs).chain(ctlogs).collect()
    }

    /// Whether a certificate has to carry the stamp of a log of certificates: the root names such a log.
    pub fn asks_for_stamps(&self) -> bool {
        !self.content.ctlogs.is_empty()
    }

    /// Of those on whose word a verified bundle rests, the first that this root does not have: whoever is
    /// removed from a root is not believed any more. One whose time has ended stays. Nothing rests on a log of
    /// certificates where the root asks for no stamp, whatever another root has found.
    pub fn lacks<'a>(&self, record: &'a BundleRecord) -> Option<&'a Authority> {
        let is_asked =
            |one: &&Authority| one.kind != AuthorityKind::CertificateLog || self.asks_for_stamps();
        self.missing(record.authorities.iter().filter(is_asked))
    }

    /// Whether this root asks for a stamp that nobody has found: it was verified by a root that asks for none.
    pub fn lacks_stamp(&self, record: &BundleRecord) -> bool {
        self.asks_for_stamps() && !record.is_stamped()
    }

    /// The same of whoever says who has signed.
    pub fn lacks_issuer<'a>(&self, record: &'a BundleRecord) -> Option<&'a Authority> {
        let all = record.authorities.iter();
        self.missing(all.filter(|one| one.kind == AuthorityKind::CertificateAuthority))
    }

    fn missing<'a>(&self, mut all: impl Iterator<Item = &'a Authority>) -> Option<&'a Authority> {
        let present = self.authorities();
        let is_present = |wanted: &Authority| {
            let mut present = present.iter();
            present.any(|one| (one.kind, one.id) == (wanted.kind, wanted.id))
        };
        all.find(|one| !is_present(one))
    }

    /// What it is called in messages.
    pub fn described(&self) -> String {
        match self.date() {
            Some(date) => format!("the trusted root of {}", date.strftime("%F")),
            None => "the trusted root".to_owned(),
        }
    }
}

impl fmt::Debug for TrustedRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TrustedRoot").field(&self.digest).finish()
    }
}

fn verifier(content: &trust_root::TrustedRoot) -> Result<Verifier, RootError> {
    Verifier::new(content).map_err(|error| RootError::Unusable(bounded(&error.to_string())))
}

/// A certificate authority with the rest of the root, but for the others.
fn alone(
    authority: &CertificateAuthority,
    content: &trust_root::TrustedRoot,
) -> Result<(Authority, Verifier), RootError> {
    let mut alone = content.clone();
    alone.certificate_authorities = vec![authority.clone()];
    Ok((certificate_authority(authority), verifier(&alone)?))
}

fn check_counts(content: &trust_root::TrustedRoot) -> Result<(), RootError> {
    let counts = [
        ("transparency logs", content.tlogs.len()),
        ("certificate logs", content.ctlogs.len()),
        (
            "certificate authorities",
            content.certificate_authorities.len(),
        ),
        ("timestamp authorities", content.timestamp_authorities.len()),
    ];
    if counts.iter().all(|(_, count)| *count == 0) {
        return Err(RootError::Empty);
    }
    let limit = limits::ROOT_ENTRIES;
    match counts.into_iter().find(|(_, count)| *count > limit) {
        Some((what, _)) => Err(RootError::TooMany { what, limit }),
        None => Ok(()),
    }
}

fn certificate_authority(authority: &CertificateAuthority) -> Authority {
    Authority {
        kind: AuthorityKind::CertificateAuthority,
        id: first(
            authority
                .cert_chain
                .certificates
                .iter()
                .map(|one| &one.raw_bytes),
        ),
        name: bounded(&authority.uri),
    }
}

pub(super) fn timestamp_authority(authority: &trust_root::TimestampAuthority) -> Authority {
    let subject = &authority.subject;
    let name = authority.uri.as_ref().or(subject.common_name.as_ref());
    Authority {
        kind: AuthorityKind::TimestampAuthority,
        id: first(
            authority
                .cert_chain
                .certificates
                .iter()
                .map(|one| &one.raw_bytes),
        ),
        name: bounded(name.map_or("", String::as_str)),
    }
}

/// Digest of the certificate that issues or stamps, which a chain begins with.
fn first<'a>(mut chain: impl Iterator<Item = &'a DerCertificate>) -> Sha256Digest {
    Sha256Digest::of(chain.next().map_or(&[], |one| one.as_bytes()))
}

/// Versions 0.1 and 0.2 are read alike (`sigstore_trustroot.proto`).
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot";
