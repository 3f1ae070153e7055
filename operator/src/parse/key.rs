//! `TrustedKey` and its material → a key to judge by.

use std::collections::BTreeMap;
use std::fmt;

use charttrust_verify::finding::error_chain;
use charttrust_verify::key::{DeclaredRevocation, Grandfather, Key, RevocationReason, Scope};
use charttrust_verify::openpgp::{
    self, Certificate, CertificateError, ClaimedRevocations, Fingerprint,
};
use jiff::Timestamp;
use kube::ResourceExt as _;

use super::refresh::mail_address;
use super::source::address;
use super::text::chart_globs;
use super::{Problems, duration, timestamp};
use crate::api::TrustedKey;
use crate::api::reasons::KeyReason;
use crate::api::trusted_key as api;

/// Why a `TrustedKey` cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyProblem {
    /// The word for its conditions.
    pub reason: KeyReason,
    /// Every field that is wrong, and the next step.
    pub message: String,
}

impl KeyProblem {
    /// A problem in one word and one sentence.
    pub fn new(reason: KeyReason, message: impl AsRef<str>) -> Self {
        Self {
            reason,
            message: message.as_ref().to_owned(),
        }
    }
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Reads a key from its object and material. Any problem makes it unusable: a part that cannot
/// be read may be the one that limits it.
pub fn key(object: &TrustedKey, material: &[u8]) -> Result<Key, KeyProblem> {
    let spec = &object.spec;
    let mut problems = Problems::default();
    check_places(spec, &mut problems);
    check_type(spec, &mut problems);
    let fingerprint = problems.take("spec.fingerprint", spec.fingerprint.parse::<Fingerprint>());
    let scope = spec
        .scope
        .as_ref()
        .map(|named| scope(named, &mut problems))
        .unwrap_or_default();
    let not_after = instant("spec.notAfter", spec.not_after.as_ref(), &mut problems);
    let revocation = revocation(object, &mut problems);
    let (Some(fingerprint), None) = (fingerprint, Problems::summary(problems.found())) else {
        let message = Problems::summary(problems.found()).unwrap_or_default();
        return Err(KeyProblem::new(KeyReason::InvalidSpec, message));
    };
    Ok(Key {
        name: object.name_any(),
        labels: object.labels().clone(),
        certificate: certificate(spec, material, &fingerprint)?,
        scope,
        not_after,
        unusable: None,
        revocations: revocation.into_iter().collect(),
    })
}

fn check_type(spec: &api::TrustedKeySpec, problems: &mut Problems) {
    if spec.key_type != api::KeyType::OpenPGP {
        problems.add(
            "spec.type",
            "is no OpenPGP key, and only those are read here",
        );
    }
    let of_others = [
        ("spec.transparency", spec.transparency.is_some()),
        ("spec.trustedRootRef", spec.trusted_root_ref.is_some()),
    ];
    for (path, _) in of_others.into_iter().filter(|(_, is_set)| *is_set) {
        problems.add(path, "is for type PublicKey only, leave it out");
    }
}

/// What the object itself says against its key, also where the key cannot be used: a revocation
/// counts for every object of the same fingerprint. A date that cannot be read is no excuse.
pub fn declared_revocation(object: &TrustedKey) -> Option<DeclaredRevocation> {
    revocation(object, &mut Problems::default())
}

/// What an object says against its key beside the key itself, also where that cannot be used.
#[derive(Clone, Debug, Default)]
pub struct Remains {
    /// Labels of the object, for `keySelector`.
    pub labels: BTreeMap<String, String>,
    /// Every revocation that stands in the object or its material, as far as either can be read.
    pub claimed: ClaimedRevocations,
    /// The certificate, if the material holds it.
    pub certificate: Option<Certificate>,
    /// That the object says something against its key which cannot be read: then no key of this
    /// fingerprint is believed, whichever object lists it.
    pub doubt: Option<String>,
}

/// Every revocation that stands in an object or its material, verified or not: one by a designated revoker
/// may be shown by another copy of the key only, which names that revoker.
pub fn claimed(object: &TrustedKey, material: Option<&[u8]>) -> ClaimedRevocations {
    let bare = object.spec.revocation_certificates.iter();
    let bare = bare.map(String::as_bytes);
    let mut claimed = ClaimedRevocations::default();
    // The material as well: GnuPG puts a revocation into the key that it exports.
    for bytes in bare.chain(material) {
        claimed.join(ClaimedRevocations::read(bytes));
    }
    claimed
}

/// Reads what remains of an object that cannot be used; `material` is absent where it could not be had.
pub fn remains(object: &TrustedKey, material: Option<&[u8]>) -> Remains {
    let fingerprint = object.spec.fingerprint.parse::<Fingerprint>().ok();
    let certificate = fingerprint.zip(material);
    let certificate = certificate.and_then(|(key, bytes)| openpgp::load(bytes, &key, &[]).ok());
    Remains {
        labels: object.labels().clone(),
        claimed: claimed(object, material),
        certificate,
        doubt: None,
    }
}

impl Remains {
    /// What remains of a key that was read and must not be used.
    pub fn of(key: &Key) -> Self {
        Self {
            labels: key.labels.clone(),
            claimed: ClaimedRevocations::default(),
            certificate: Some(key.certificate.clone()),
            doubt: None,
        }
    }

    /// The key of the object, which approves of nothing; what is known against it counts.
    pub fn into_key(self, name: &str, fingerprint: &Fingerprint, problem: &KeyProblem) -> Key {
        let missing = || Certificate::missing(fingerprint.clone());
        let certificate = self.certificate.unwrap_or_else(missing);
        Key {
            name: name.to_owned(),
            labels: self.labels,
            certificate,
            scope: Scope::default(),
            not_after: None,
            unusable: Some(problem.message.clone()),
            revocations: Vec::new(),
        }
    }
}

pub(super) fn check_places(spec: &api::TrustedKeySpec, problems: &mut Problems) {
    let place = &spec.public_key;
    let places = [
        place.inline.is_some(),
        place.config_map_ref.is_some(),
        place.secret_ref.is_some(),
    ];
    if places.into_iter().filter(|given| *given).count() != 1 {
        problems.add(
            "spec.publicKey",
            "set exactly one of inline, configMapRef and secretRef",
        );
    }
    if let Some(refresh) = &spec.refresh {
        check_refresh(refresh, problems);
    }
}

fn check_refresh(refresh: &api::Refresh, problems: &mut Problems) {
    let places = [&refresh.url, &refresh.wkd, &refresh.keyserver];
    if places.into_iter().flatten().count() != 1 {
        problems.add("spec.refresh", "set exactly one of url, wkd and keyserver");
    }
    let begins =
        |text: &Option<String>, scheme| text.as_ref().is_none_or(|text| text.starts_with(scheme));
    if !begins(&refresh.url, "https://") {
        problems.add("spec.refresh.url", "does not begin with https://");
    }
    if !begins(&refresh.keyserver, "hkps://") {
        problems.add("spec.refresh.keyserver", "does not begin with hkps://");
    }
    if refresh
        .wkd
        .as_ref()
        .is_some_and(|text| mail_address(text).is_none())
    {
        let message = "is no mail address, write it as charts@example.com";
        problems.add("spec.refresh.wkd", message);
    }
    let interval = problems.take("spec.refresh.interval", duration(&refresh.interval));
    if interval.is_some_and(|interval| interval.as_secs() == 0) {
        problems.add(
            "spec.refresh.interval",
            "is shorter than 1s, write a longer one, as 24h",
        );
    }
}

pub(super) fn scope(scope: &api::Scope, problems: &mut Problems) -> Scope {
    if scope.charts.is_none() && scope.sources.is_none() {
        let message = "is empty, name charts, sources or both, or leave it out";
        problems.add("spec.scope", message);
    }
    let charts = scope.charts.as_ref();
    let charts = charts.map(|globs| chart_globs("spec.scope.charts", globs, problems));
    let sources = scope.sources.as_ref();
    if let Some(sources) = sources {
        problems.expect_some("spec.scope.sources", sources, "URL prefix");
    }
    for (index, url) in sources.into_iter().flatten().enumerate() {
        problems.take(&format!("spec.scope.sources[{index}]"), address(url));
    }
    Scope {
        charts: charts.unwrap_or_default(),
        sources: sources.cloned().unwrap_or_default(),
    }
}

pub(super) fn revocation(
    object: &TrustedKey,
    problems: &mut Problems,
) -> Option<DeclaredRevocation> {
    let declared = object.spec.revocation.as_ref()?;
    let since = instant("spec.revocation.since", declared.since.as_ref(), problems);
    let grandfather = match declared.grandfather {
        api::Grandfather::Never => Grandfather::Never,
        api::Grandfather::Witnessed => Grandfather::Witnessed,
    };
    check_revocation(declared, problems);
    Some(DeclaredRevocation {
        declared_by: object.name_any(),
        reason: reason(declared.reason),
        since,
        grandfather,
    })
}

pub(super) fn reason(reason: api::RevocationReason) -> RevocationReason {
    match reason {
        api::RevocationReason::Compromised => RevocationReason::Compromised,
        api::RevocationReason::Retired => RevocationReason::Retired,
        api::RevocationReason::Superseded => RevocationReason::Superseded,
        api::RevocationReason::Unspecified => RevocationReason::Unspecified,
    }
}

fn check_revocation(declared: &api::Revocation, problems: &mut Problems) {
    let is_soft = match declared.reason {
        api::RevocationReason::Retired | api::RevocationReason::Superseded => true,
        api::RevocationReason::Compromised | api::RevocationReason::Unspecified => false,
    };
    let has_witnesses = declared.grandfather == api::Grandfather::Witnessed;
    if declared.since.is_none() && (is_soft || has_witnesses) {
        let message = "is required for Superseded, Retired and grandfather, write a date";
        problems.add("spec.revocation.since", message);
    }
    if is_soft && has_witnesses {
        let message = "is only for Compromised and Unspecified, leave it out";
        problems.add("spec.revocation.grandfather", message);
    }
}

pub(super) fn instant(
    path: &str,
    text: Option<&String>,
    problems: &mut Problems,
) -> Option<Timestamp> {
    text.and_then(|text| problems.take(path, timestamp(text)))
}

fn certificate(
    spec: &api::TrustedKeySpec,
    material: &[u8],
    fingerprint: &Fingerprint,
) -> Result<Certificate, KeyProblem> {
    let bare: Vec<_> = spec
        .revocation_certificates
        .iter()
        .map(String::as_bytes)
        .collect();
    openpgp::load(material, fingerprint, &bare).map_err(|error| unusable(&error))
}

fn unusable(error: &CertificateError) -> KeyProblem {
    let (reason, path) = match error {
        CertificateError::PinnedSubkey { .. } => (
            KeyReason::FingerprintMismatch,
            "spec.fingerprint".to_owned(),
        ),
        CertificateError::OtherKey { .. } | CertificateError::PinnedNotFound { .. } => {
            (KeyReason::FingerprintMismatch, "spec.publicKey".to_owned())
        }
        CertificateError::RevocationOfOtherKey { number } => {
            let index = number.saturating_sub(1);
            (
                KeyReason::InvalidSpec,
                format!("spec.revocationCertificates[{index}]"),
            )
        }
        _ => (KeyReason::MaterialUnusable, "spec.publicKey".to_owned()),
    };
    KeyProblem {
        reason,
        message: format!("{path}: {}", error_chain(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{share_revocations, share_with};
    use super::*;

    const RETIRING: &str = include_str!("../../../examples/key-retiring.yaml");
    const REVOKED: &str = include_str!("../../../examples/key-revoked-keeping-witnessed.yaml");
    const CERTIFIED: &str = include_str!("../../../examples/key-revocation-certificate.yaml");

    fn object(yaml: &str) -> TrustedKey {
        serde_saphyr::from_multiple(yaml).unwrap().remove(0)
    }

    fn read(object: &TrustedKey) -> Result<Key, KeyProblem> {
        let material = object.spec.public_key.inline.clone().unwrap_or_default();
        key(object, material.as_bytes())
    }

    /// One good base, one change, and the word and the fields that are named.
    fn problem(change: impl FnOnce(&mut TrustedKey)) -> (KeyReason, String) {
        let mut object = object(REVOKED);
        change(&mut object);
        let problem = read(&object).expect_err("a problem");
        let lines = problem.message.split("; ");
        let paths = lines.filter_map(|line| line.strip_prefix("spec.")?.split(": ").next());
        let paths: Vec<_> = paths.map(|path| format!("spec.{path}")).collect();
        (problem.reason, paths.join(" "))
    }

    #[test]
    fn a_good_key_is_read_whole() {
        let key = read(&object(RETIRING)).unwrap();
        assert_eq!(key.name, "platform-2026");
        assert_eq!(key.not_after, Some("2027-03-31T00:00:00Z".parse().unwrap()));
        assert_eq!(key.revocations, []);
    }

    #[test]
    fn every_unusable_field_is_named() {
        let at = |path: &str, change: fn(&mut api::TrustedKeySpec)| {
            let expected = (KeyReason::InvalidSpec, path.to_owned());
            assert_eq!(problem(|object| change(&mut object.spec)), expected);
        };
        at("spec.fingerprint", |spec| {
            spec.fingerprint = "872793E69E810A76".to_owned();
        });
        at("spec.notAfter", |spec| {
            spec.not_after = Some("2027-03-31".to_owned());
        });
        at("spec.publicKey", |spec| {
            let place = crate::api::data_ref::DataRef {
                name: "a".to_owned(),
                key: "b".to_owned(),
            };
            spec.public_key.secret_ref = Some(place);
        });
        at("spec.scope", |spec| {
            spec.scope = Some(api::Scope::default());
        });
        at("spec.scope.charts", |spec| {
            spec.scope = Some(api::Scope {
                charts: Some(Vec::new()),
                sources: None,
            });
        });
        at("spec.scope.sources[0]", |spec| {
            let sources = vec!["charts.example.com".to_owned()];
            spec.scope = Some(api::Scope {
                charts: None,
                sources: Some(sources),
            });
        });
        at("spec.revocation.since", |spec| {
            revocation(spec).since = None;
        });
        at("spec.revocation.since", |spec| {
            revocation(spec).since = Some("today".to_owned());
        });
        at("spec.revocation.grandfather", |spec| {
            revocation(spec).reason = api::RevocationReason::Retired;
        });
    }

    #[test]
    fn every_unusable_field_of_a_refresh_is_named() {
        let refresh = |interval: &str, wkd: Option<&str>| api::Refresh {
            interval: interval.to_owned(),
            url: None,
            wkd: wkd.map(str::to_owned),
            keyserver: None,
        };
        let nowhere = refresh("1h", None);
        let often = refresh("999ms", Some("a@example.com"));
        let nobody = refresh("1h", Some("example.com"));
        let all = [
            (nowhere, "spec.refresh"),
            (often, "spec.refresh.interval"),
            (nobody, "spec.refresh.wkd"),
        ];
        for (refresh, path) in all {
            let expected = (KeyReason::InvalidSpec, path.to_owned());
            assert_eq!(
                problem(|object| object.spec.refresh = Some(refresh)),
                expected
            );
        }
    }

    fn revocation(spec: &mut api::TrustedKeySpec) -> &mut api::Revocation {
        spec.revocation.as_mut().unwrap()
    }

    #[test]
    fn all_problems_are_named_at_once() {
        let (_, paths) = problem(|object| {
            object.spec.not_after = Some("soon".to_owned());
            object.spec.scope = Some(api::Scope::default());
        });
        assert_eq!(paths, "spec.scope spec.notAfter");
    }

    #[test]
    fn material_of_another_key_is_refused() {
        let (reason, path) = problem(|object| object.spec.fingerprint = "0".repeat(40));
        assert_eq!(
            (reason, path.as_str()),
            (KeyReason::FingerprintMismatch, "spec.publicKey")
        );
    }

    #[test]
    fn material_that_is_no_key_is_refused() {
        let nonsense = |object: &mut TrustedKey| {
            object.spec.public_key.inline = Some("nonsense".to_owned());
        };
        let (reason, path) = problem(nonsense);
        assert_eq!(
            (reason, path.as_str()),
            (KeyReason::MaterialUnusable, "spec.publicKey")
        );
    }

    #[test]
    fn a_certificate_that_revokes_another_key_is_refused() {
        let other = object(CERTIFIED).spec.revocation_certificates;
        let successor: TrustedKey = serde_saphyr::from_multiple(RETIRING).unwrap().remove(1);
        let (reason, path) = problem(|object| {
            object.spec = successor.spec;
            object.spec.revocation_certificates = other;
        });
        assert_eq!(reason, KeyReason::InvalidSpec);
        assert_eq!(path, "spec.revocationCertificates[0]");
    }

    #[test]
    fn every_revocation_counts_for_every_object_of_the_fingerprint() {
        let mut all = [RETIRING, REVOKED, CERTIFIED].map(|yaml| read(&object(yaml)).unwrap());
        for (key, name) in all.iter_mut().zip(["a", "b", "c"]) {
            name.clone_into(&mut key.name);
        }
        let now = "2026-11-20T00:00:00Z".parse().unwrap();
        assert!(all[0].certificate.summary(now).revocation.is_none());
        for key in share_revocations(&all) {
            assert_eq!(key.revocations.len(), 1, "{}", key.name);
            assert!(
                key.certificate.summary(now).revocation.is_some(),
                "{}",
                key.name
            );
        }
        let ends: Vec<_> = share_revocations(&all)
            .iter()
            .map(|key| key.not_after)
            .collect();
        assert_eq!(ends, [all[0].not_after, None, None]);
    }

    #[test]
    fn an_unusable_object_still_revokes() {
        let mut unusable = object(REVOKED);
        unusable.spec.revocation.as_mut().unwrap().since = Some("today".to_owned());
        assert!(read(&unusable).is_err());
        let keys = share_with(
            &[read(&object(RETIRING)).unwrap(), unusable_key(&unusable)],
            &BTreeMap::new(),
        );
        assert_eq!(keys[0].revocations[0].reason, RevocationReason::Compromised);
        assert_eq!(keys[0].revocations[0].since, None);
    }

    /// The key of an object that cannot be used.
    fn unusable_key(object: &TrustedKey) -> Key {
        let problem = read(object).unwrap_err();
        let material = object.spec.public_key.inline.as_deref().map(str::as_bytes);
        let fingerprint = object.spec.fingerprint.parse().unwrap();
        let mut key = remains(object, material).into_key("odd", &fingerprint, &problem);
        key.revocations = declared_revocation(object).into_iter().collect();
        key
    }

    fn claimed(object: &TrustedKey) -> BTreeMap<Fingerprint, ClaimedRevocations> {
        let fingerprint = object.spec.fingerprint.parse().unwrap();
        let material = object.spec.public_key.inline.as_deref().map(str::as_bytes);
        BTreeMap::from([(fingerprint, remains(object, material).claimed)])
    }

    #[test]
    fn a_revocation_certificate_counts_whatever_else_is_wrong_with_its_object() {
        let now = "2026-11-20T00:00:00Z".parse().unwrap();
        let faults: [fn(&mut TrustedKey); 5] = [
            |object| object.spec.public_key = api::PublicKey::default(),
            |object| object.spec.public_key.inline = Some("nonsense".to_owned()),
            |object| {
                let sources = Some(vec!["https://a/../b".to_owned()]);
                object.spec.scope = Some(api::Scope {
                    charts: None,
                    sources,
                });
            },
            |object| object.spec.not_after = Some("soon".to_owned()),
            |object| {
                let bare = &mut object.spec.revocation_certificates;
                bare.push("nonsense".to_owned());
            },
        ];
        for fault in faults {
            let mut twin = object(CERTIFIED);
            let mut good = twin.clone();
            good.spec.revocation_certificates.clear();
            fault(&mut twin);
            let (good, odd) = (read(&good).unwrap(), unusable_key(&twin));
            assert_eq!(good.certificate.summary(now).revocation, None);
            let keys = share_with(&[odd, good], &claimed(&twin));
            for key in keys {
                let revocation = key.certificate.summary(now).revocation;
                assert!(revocation.is_some(), "{}: {:?}", key.name, key.unusable);
            }
        }
    }

    #[test]
    fn an_unusable_object_gives_others_nothing_but_revocations() {
        let mut longer = object(RETIRING);
        longer.spec.not_after = Some("soon".to_owned());
        let good = read(&object(RETIRING)).unwrap();
        let keys = share_with(&[unusable_key(&longer), good.clone()], &BTreeMap::new());
        let (odd, same) = (&keys[1], &keys[0]);
        assert_eq!((&same.unusable, same.not_after), (&None, good.not_after));
        assert!(
            odd.unusable
                .as_ref()
                .is_some_and(|why| why.contains("spec.notAfter"))
        );
        assert_eq!(
            odd.certificate.fingerprint(),
            same.certificate.fingerprint()
        );
    }
}
