//! Certificates of the webhook: an authority of our own, what it vouches for, and when both are made anew.
//!
//! Pure but for randomness: whoever keeps them says what there is and what time it is.
//!
//! Decision: `rcgen`, of the authors of rustls, on the same cryptography as everything else here. It reads no
//! certificates of others; what we made ourselves is read by `x509-cert`, which is there for Sigstore.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier as _;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use zeroize::Zeroizing;

/// A certificate with its key, both PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: Zeroizing<String>,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Issued(…)")
    }
}

/// The system gives no randomness, or a key cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("a certificate cannot be made")]
pub struct Unmade(#[from] rcgen::Error);

/// What is kept.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The authority.
    pub authority: Option<Issued>,
    /// Certificates of earlier authorities, PEM.
    pub older: Vec<String>,
    /// What is shown to whoever calls the webhook.
    pub leaf: Option<Leaf>,
}

/// What is shown, and who vouches for it.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The certificate.
    pub issued: Issued,
    /// The certificate of its authority, PEM.
    pub authority: String,
}

/// What is to be kept from now on.
#[derive(Clone, Debug)]
pub struct Plan {
    /// A new authority, and the certificates of the earlier ones. To be kept before anything else is done.
    pub authority: Option<(Issued, Vec<String>)>,
    /// Whom callers have to believe, PEM.
    pub bundle: String,
    /// What is to be shown, once callers believe the bundle.
    pub leaf: Option<Leaf>,
}

/// How long an authority lives.
const AUTHORITY: SignedDuration = SignedDuration::from_hours(365 * 24);
/// How long what it vouches for does.
const LEAF: SignedDuration = SignedDuration::from_hours(90 * 24);
/// A clock may be wrong by that much.
const BACK: SignedDuration = SignedDuration::from_mins(5);
/// How long API servers have to hear of a new authority before anything is shown that rests on it.
const HEARD: SignedDuration = SignedDuration::from_hours(1);

/// What is to be done now about a webhook that is called by these names.
///
/// An authority, and what is shown, are made anew after two thirds of their life. What was shown before is
/// believed until it ends: callers and replicas need not change at the same moment.
///
/// # Errors
/// [`Unmade`].
pub fn plan(kept: &Kept, names: &BTreeSet<String>, now: Timestamp) -> Result<Plan, Unmade> {
    let known = kept.authority.as_ref();
    let current = known.filter(|known| is_fresh(&known.certificate, now));
    let current = current.filter(|known| KeyPair::from_pem(&known.key).is_ok());
    let older = older(kept, current, now);
    let made = match current {
        Some(_) => None,
        None => Some(self::authority(now)?),
    };
    // Invariant: one of both is there.
    let Some(authority) = current.or(made.as_ref()) else {
        return Err(Unmade(rcgen::Error::CouldNotParseKeyPair));
    };
    let leaf = if is_leaf_due(kept.leaf.as_ref(), authority, (names, now)) {
        Some(Leaf {
            issued: self::leaf(authority, names, now)?,
            authority: authority.certificate.clone(),
        })
    } else {
        None
    };
    let bundle = std::iter::once(&authority.certificate).chain(&older);
    Ok(Plan {
        bundle: bundle.map(|one| one.trim_end().to_owned() + "\n").collect(),
        authority: made.map(|made| (made, older)),
        leaf,
    })
}

/// The earlier authorities that something may still rest on. Of one whose Secret was lost the certificate lies
/// beside what it vouches for.
fn older(kept: &Kept, current: Option<&Issued>, now: Timestamp) -> Vec<String> {
    let of_leaf = kept.leaf.iter().map(|leaf| &leaf.authority);
    let all = kept.authority.iter().map(|one| &one.certificate);
    let all = all.chain(&kept.older).chain(of_leaf);
    let mut older: Vec<String> = Vec::new();
    for one in all {
        let is_current = current.is_some_and(|current| current.certificate == *one);
        let is_alive = life(one).is_some_and(|life| life.until > now);
        if is_alive && !is_current && !older.contains(one) {
            older.push(one.clone());
        }
    }
    older
}

fn is_leaf_due(
    leaf: Option<&Leaf>,
    authority: &Issued,
    (names, now): (&BTreeSet<String>, Timestamp),
) -> bool {
    let Some(leaf) = leaf else {
        return true;
    };
    let certificate = &leaf.issued.certificate;
    let is_usable = life(certificate).is_some_and(|life| life.until > now)
        && self::names(certificate).is_superset(names)
        && KeyPair::from_pem(&leaf.issued.key).is_ok();
    if !is_usable {
        return true;
    }
    let is_heard_of =
        life(&authority.certificate).is_some_and(|life| life.from + BACK + HEARD <= now);
    let is_of_another = leaf.authority != authority.certificate;
    is_heard_of && (is_of_another || !is_fresh(certificate, now))
}

/// Whether a certificate is in the first two thirds of its life.
fn is_fresh(certificate: &str, now: Timestamp) -> bool {
    let Some(life) = life(certificate) else {
        return false;
    };
    let whole = life.until.duration_since(life.from).as_secs();
    now.duration_since(life.from).as_secs() < whole / 3 * 2
}

/// Until when callers who believe a bundle take what is shown, PEM both, by the name that they call it by.
///
/// # Errors
/// Why they do not.
pub fn believed(
    (bundle, shown): (&[u8], &str),
    name: Option<&str>,
    now: Timestamp,
) -> Result<Timestamp, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle) {
        let certificate = certificate.map_err(|_| "the caBundle is no PEM")?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|_| "the caBundle has no certificate")?;
    let chain = CertificateDer::pem_slice_iter(shown.as_bytes());
    let chain: Result<Vec<_>, _> = chain.collect();
    let chain = chain.map_err(|_| "tls.crt is no PEM")?;
    let (leaf, others) = chain.split_first().ok_or("tls.crt has no certificate")?;
    let own = names(shown).into_iter().next();
    let name = name.map(str::to_owned).or(own).unwrap_or_default();
    let name = ServerName::try_from(name).map_err(|_| "it is for no name")?;
    let second = u64::try_from(now.as_second()).unwrap_or_default();
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(second));
    let verified = verifier.verify_server_cert(leaf, others, &name, &[], at);
    verified.map_err(|error| error.to_string())?;
    let life = life(shown).ok_or("its end cannot be read")?;
    Ok(life.until)
}

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The first moment.
    pub from: Timestamp,
    /// The last.
    pub until: Timestamp,
}

/// From when until when the first certificate of a text is valid.
pub fn life(certificate: &str) -> Option<Life> {
    let validity = parsed(certificate)?.tbs_certificate.validity;
    let second = |time: x509_cert::time::Time| {
        let seconds = time.to_unix_duration().as_secs();
        Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
    };
    Some(Life {
        from: second(validity.not_before)?,
        until: second(validity.not_after)?,
    })
}

fn parsed(certificate: &str) -> Option<Certificate> {
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
    Certificate::from_der(&der).ok()
}

/// By which names something may be called that shows a certificate.
fn names(certificate: &str) -> BTreeSet<String> {
    let Some(parsed) = parsed(certificate) else {
        return BTreeSet::new();
    };
    let named = parsed.tbs_certificate.get::<SubjectAltName>();
    let named = named.ok().flatten().map(|(_, named)| named.0);
    let word = |name: GeneralName| match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => {
            address(bytes.as_bytes()).map(|address| address.to_string())
        }
        _ => None,
    };
    named.into_iter().flatten().filter_map(word).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let of_four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    of_four
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

fn authority(now: Timestamp) -> Result<Issued, Unmade> {
    let key = KeyPair::generate()?;
    let params = authority_params(Some(now));
    Ok(issued(params.self_signed(&key)?.pem(), &key))
}

fn leaf(authority: &Issued, names: &BTreeSet<String>, now: Timestamp) -> Result<Issued, Unmade> {
    let issuer = Issuer::new(authority_params(None), KeyPair::from_pem(&authority.key)?);
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    // Not for which names: it would be cut, and nobody reads it.
    params.distinguished_name = called("charttrust webhook");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Nothing outlives who vouches for it.
    let end = life(&authority.certificate).map_or(now + LEAF, |life| life.until.min(now + LEAF));
    live(&mut params, now, end);
    Ok(issued(params.signed_by(&key, &issuer)?.pem(), &key))
}

fn issued(certificate: String, key: &KeyPair) -> Issued {
    Issued {
        certificate,
        key: Zeroizing::new(key.serialize_pem()),
    }
}

/// The same for the certificate of an authority and for what it vouches for, whose issuer it names.
fn authority_params(now: Option<Timestamp>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = called("charttrust webhook authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    if let Some(now) = now {
        live(&mut params, now, now + AUTHORITY);
    }
    params
}

fn called(name: &str) -> DistinguishedName {
    let mut called = DistinguishedName::new();
    called.push(DnType::CommonName, name);
    called
}

fn live(params: &mut CertificateParams, now: Timestamp, end: Timestamp) {
    let epoch = date_time_ymd(1970, 1, 1);
    let at = |time: Timestamp| {
        let seconds = u64::try_from(time.as_second()).unwrap_or_default();
        epoch + std::time::Duration::from_secs(seconds)
    };
    params.not_before = at(now - BACK);
    params.not_after = at(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "charttrust-webhook.charttrust-system.svc";

    fn start() -> Timestamp {
        "2026-11-30T12:00:00Z".parse().unwrap()
    }

    fn hours(hours: i64) -> Timestamp {
        start() + SignedDuration::from_hours(hours)
    }

    fn called_by(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Keeps what is planned, as the leader does.
    fn keep(kept: &mut Kept, now: Timestamp) -> Plan {
        let plan = plan(kept, &called_by(&[SERVICE]), now).unwrap();
        if let Some((authority, older)) = &plan.authority {
            kept.authority = Some(authority.clone());
            kept.older.clone_from(older);
        }
        if let Some(leaf) = &plan.leaf {
            kept.leaf = Some(leaf.clone());
        }
        plan
    }

    /// Whether a caller who believes a bundle takes what is shown.
    fn is_believed(bundle: &str, leaf: &Leaf, name: &str, now: Timestamp) -> Result<(), String> {
        believed(
            (bundle.as_bytes(), &leaf.issued.certificate),
            Some(name),
            now,
        )
        .map(drop)
    }

    #[test]
    fn what_is_made_first_is_believed_by_its_name_and_no_other() {
        let mut kept = Kept::default();
        let plan = keep(&mut kept, start());
        let leaf = kept.leaf.clone().unwrap();
        assert_eq!(is_believed(&plan.bundle, &leaf, SERVICE, start()), Ok(()));
        assert!(is_believed(&plan.bundle, &leaf, "evil.example", start()).is_err());
        let other = keep(&mut Kept::default(), start());
        assert!(is_believed(&other.bundle, &leaf, SERVICE, start()).is_err());
        // Nothing more is to be done.
        let again = keep(&mut kept, hours(24));
        assert!(again.authority.is_none() && again.leaf.is_none());
        assert_eq!(again.bundle, plan.bundle);
    }

    #[test]
    fn an_address_is_a_name_too() {
        let names = called_by(&["127.0.0.1", "::1", SERVICE]);
        let plan = plan(&Kept::default(), &names, start()).unwrap();
        let leaf = plan.leaf.unwrap();
        assert_eq!(self::names(&leaf.issued.certificate), names);
        assert_eq!(
            is_believed(&plan.bundle, &leaf, "127.0.0.1", start()),
            Ok(())
        );
    }

    /// Looked at twice a day for four years, by a caller who has heard of no bundle since, and by a replica that shows
    /// what there was then.
    #[test]
    fn no_call_fails_while_everything_is_made_anew() {
        let mut kept = Kept::default();
        let mut seen = (keep(&mut kept, start()).bundle, kept.leaf.clone().unwrap());
        let (mut authorities, mut leaves) = (0, 0);
        for half_day in 1..=(4 * 365 * 2) {
            let now = hours(12 * half_day);
            let plan = keep(&mut kept, now);
            authorities += usize::from(plan.authority.is_some());
            leaves += usize::from(plan.leaf.is_some());
            let leaf = kept.leaf.clone().unwrap();
            for (bundle, leaf) in [
                (&plan.bundle, &leaf),
                (&seen.0, &leaf),
                (&plan.bundle, &seen.1),
                (&seen.0, &seen.1),
            ] {
                assert_eq!(
                    is_believed(bundle, leaf, SERVICE, now),
                    Ok(()),
                    "half day {half_day}"
                );
            }
            // Nothing outlives who vouches for it, and whoever has ended is believed no more.
            let until = |certificate: &str| life(certificate).unwrap().until;
            assert!(until(&leaf.issued.certificate) <= until(&leaf.authority));
            let authorities = plan.bundle.matches("BEGIN CERTIFICATE").count();
            assert!(authorities <= 2, "half day {half_day}: {authorities}");
            seen = (plan.bundle, leaf);
        }
        // Each 243 and 60 days, and whenever the authority has changed.
        assert_eq!((authorities, leaves), (5, 29));
    }

    #[test]
    fn what_is_lost_is_made_anew_and_what_is_shown_stays_believed() {
        let mut kept = Kept::default();
        keep(&mut kept, start());
        let shown = kept.leaf.clone().unwrap();
        let without_authority = Kept {
            authority: None,
            ..kept.clone()
        };
        let mut lost = without_authority;
        let plan = keep(&mut lost, hours(2));
        assert!(plan.authority.is_some() && plan.leaf.is_none());
        assert_eq!(is_believed(&plan.bundle, &shown, SERVICE, hours(2)), Ok(()));
        let later = keep(&mut lost, hours(4));
        assert!(later.authority.is_none() && later.leaf.is_some());

        let without_leaf = Kept { leaf: None, ..kept };
        let plan = plan_of(&without_leaf, hours(2));
        assert!(plan.authority.is_none());
        let leaf = plan.leaf.unwrap();
        assert_eq!(is_believed(&plan.bundle, &leaf, SERVICE, hours(2)), Ok(()));
    }

    fn plan_of(kept: &Kept, now: Timestamp) -> Plan {
        plan(kept, &called_by(&[SERVICE]), now).unwrap()
    }

    #[test]
    fn what_cannot_be_read_or_is_called_otherwise_is_made_anew() {
        let mut kept = Kept::default();
        keep(&mut kept, start());
        let other = called_by(&[SERVICE, "other.example"]);
        let renamed = plan(&kept, &other, hours(1)).unwrap();
        assert!(renamed.authority.is_none() && renamed.leaf.is_some());
        for broken in [
            "",
            "no PEM",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            let mut authority = kept.clone();
            if let Some(authority) = &mut authority.authority {
                broken.clone_into(&mut authority.certificate);
            }
            assert!(
                plan_of(&authority, hours(1)).authority.is_some(),
                "{broken}"
            );
            let mut leaf = kept.clone();
            if let Some(leaf) = &mut leaf.leaf {
                broken.clone_into(&mut leaf.issued.certificate);
            }
            assert!(plan_of(&leaf, hours(1)).leaf.is_some(), "{broken}");
        }
        let mut keyless = kept.clone();
        if let Some(authority) = &mut keyless.authority {
            authority.key = Zeroizing::new(String::new());
        }
        assert!(plan_of(&keyless, hours(1)).authority.is_some());
    }
}
