//! A trusted key: an OpenPGP certificate, what it may speak for, and how its life ends.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::glob::Pattern;
use crate::openpgp::{Certificate, Fingerprint};

/// One usable `TrustedKey`.
#[derive(Clone, Debug)]
pub struct Key {
    /// Name of the object.
    pub name: String,
    /// Labels of the object, for `keySelector`.
    pub labels: BTreeMap<String, String>,
    /// The certificate, with the revocations of every object of the same fingerprint merged in.
    pub certificate: Certificate,
    /// What the key may speak for. Per object.
    pub scope: Scope,
    /// Our own end date, judged like the key's own expiry. Per object.
    pub not_after: Option<Timestamp>,
    /// Why it can approve of nothing now: its object has a fault. What is known against it counts all the
    /// same, as does what was verified before, so that a fault hides no badness.
    pub unusable: Option<String>,
    /// What `spec.revocation` says, gathered from every object of the same fingerprint.
    pub revocations: Vec<DeclaredRevocation>,
}

impl Key {
    /// The primary fingerprint: the identity of the signer.
    pub fn fingerprint(&self) -> &Fingerprint {
        self.certificate.fingerprint()
    }
}

/// What a key may speak for; empty lists are no restriction.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Charts by name.
    pub charts: Vec<Pattern>,
    /// URL prefixes that end at a path-segment border.
    pub sources: Vec<String>,
}

impl Scope {
    /// Whether the key may speak for this chart from this configured source. An unknown source
    /// is outside every restriction.
    pub fn covers(&self, chart: &str, source: Option<&str>) -> bool {
        let chart_is_in = self.charts.is_empty() || self.charts.iter().any(|p| p.matches(chart));
        let source_is_in = self.sources.is_empty()
            || source.is_some_and(|url| self.sources.iter().any(|p| is_under(p, url)));
        chart_is_in && source_is_in
    }
}

/// Whether `url` is `prefix` or lies below it, at a path-segment border.
fn is_under(prefix: &str, url: &str) -> bool {
    // The repository of one chart is `REPOSITORY#CHART`: the scope is about the repository.
    let url = url.split('#').next().unwrap_or(url);
    // "https://charts.example.com" must not cover "https://charts.example.com.evil.test".
    let prefix = prefix.trim_end_matches('/');
    let url = url.trim_end_matches('/');
    url.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `spec.revocation` of one `TrustedKey`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeclaredRevocation {
    /// Name of the object that says so.
    pub declared_by: String,
    /// Why.
    pub reason: RevocationReason,
    /// From when; `None` for a hard revocation without a date.
    pub since: Option<Timestamp>,
    /// Whether releases that we had verified before stay trusted.
    pub grandfather: Grandfather,
}

/// A hard revocation: a key's signatures count for nothing by it, whatever their dates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HardRevocation {
    /// Primary fingerprint of the key.
    pub fingerprint: Fingerprint,
    /// Who says so.
    pub by: RevokedBy,
}

/// Who revoked a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RevokedBy {
    /// The key's own, by a revocation signature with this digest, in hexadecimal.
    Certificate(String),
    /// Ours.
    Declared(DeclaredRevocation),
}

/// Why a key was revoked, as people declare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RevocationReason {
    /// Hard: the secret is in other hands.
    Compromised,
    /// Soft: the key is out of service.
    Retired,
    /// Soft: another key has taken over.
    Superseded,
    /// Hard: nothing is known, so the worst is assumed.
    Unspecified,
}

/// Whether releases that this operator had verified before a revocation stay trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grandfather {
    /// None.
    Never,
    /// Those whose very archive was verified before `since`.
    Witnessed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(charts: &[&str], sources: &[&str]) -> Scope {
        Scope {
            charts: charts.iter().map(|text| Pattern::new(text)).collect(),
            sources: sources.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn an_empty_scope_covers_anything() {
        assert!(Scope::default().covers("shop", Some("https://charts.example.com")));
        assert!(Scope::default().covers("shop", None));
    }

    #[test]
    fn charts_and_sources_must_both_be_in_scope() {
        let scope = scope(&["shop-*"], &["https://charts.example.com"]);
        assert!(scope.covers("shop-web", Some("https://charts.example.com")));
        assert!(!scope.covers("search", Some("https://charts.example.com")));
        assert!(!scope.covers("shop-web", Some("https://other.example.com")));
        assert!(!scope.covers("shop-web", None));
    }

    #[test]
    fn a_source_prefix_ends_at_a_path_segment() {
        let scope = scope(&[], &["https://charts.example.com/team/"]);
        for (url, covered) in [
            ("https://charts.example.com/team", true),
            ("https://charts.example.com/team/", true),
            ("https://charts.example.com/team/a", true),
            ("https://charts.example.com/teams", false),
            ("https://charts.example.com", false),
            ("https://charts.example.com.evil.test/team", false),
            // The repository of one chart, `REPOSITORY#CHART`.
            ("https://charts.example.com/team#shop", true),
            ("https://charts.example.com/team/a#shop", true),
            ("https://charts.example.com/teams#shop", false),
            ("https://charts.example.com#/team", false),
        ] {
            assert_eq!(scope.covers("any", Some(url)), covered, "{url}");
        }
    }
}
