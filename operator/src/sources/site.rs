//! One address, and what may be sent there.

use charttrust_verify::scheme::Scheme;
use reqwest::Url;

use super::credentials::{Credentials, Fingerprint, fingerprint, parts};

/// A base URL with the credentials and authorities that belong to it.
pub(super) struct Site {
    /// Base URL, without fragment.
    pub(super) base: Url,
    /// PEM certificates that replace the public authorities.
    pub(super) ca: Option<Vec<u8>>,
    /// The address on whose behalf this one is asked, for the counters.
    pub(super) configured: Url,
    /// Tells sites apart, credentials and the kind of source included: what one kind answers at an address
    /// is never taken for the answer of another.
    pub(super) key: Fingerprint,
    credentials: Option<Credentials>,
    scheme: Scheme,
}

impl Site {
    /// An address that is no source of charts: nothing is sent there, and the public authorities
    /// vouch for it.
    pub(super) fn public(base: Url) -> Self {
        Self::new(Scheme::Https, base, None, None)
    }

    /// A folder of provenance files, with what is sent to it.
    pub(super) fn folder(base: Url, ca: Option<Vec<u8>>, own: Option<Credentials>) -> Self {
        Self::new(Scheme::Https, base, ca, own)
    }

    /// An address with what is sent to it; `scheme` is that of the configured URL.
    pub(super) fn new(
        scheme: Scheme,
        mut base: Url,
        ca: Option<Vec<u8>>,
        credentials: Option<Credentials>,
    ) -> Self {
        base.set_fragment(None);
        let [kind, name, secret] = parts(credentials.as_ref());
        let key = fingerprint(&[
            scheme.word().as_bytes(),
            base.as_str().as_bytes(),
            kind,
            name,
            secret,
            ca.as_deref().unwrap_or_default(),
        ]);
        Self {
            configured: base.clone(),
            base,
            ca,
            key,
            credentials,
            scheme,
        }
    }

    /// An address that is asked on behalf of this one, with the same authorities: what a server there
    /// asks for concerns whoever asks as this one does.
    pub(super) fn beside(&self, base: Url, credentials: Option<Credentials>) -> Self {
        Self {
            configured: self.configured.clone(),
            key: self.key,
            ..Self::new(self.scheme, base, self.ca.clone(), credentials)
        }
    }

    /// The credentials, for whoever checks himself where they go.
    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// The credentials, if a request for this URL may carry them: same scheme, host and port.
    pub(super) fn credentials_for(&self, url: &Url) -> Option<&Credentials> {
        self.credentials
            .as_ref()
            .filter(|_| url.origin() == self.base.origin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> [Option<Credentials>; 2] {
        [None, Some(Credentials::Bearer("token".to_owned().into()))]
    }

    /// Over every scheme there is: a base URL alone does not say how it is asked.
    #[test]
    fn sites_of_two_kinds_at_one_address_have_nothing_in_common() {
        let base = Url::parse("https://a.example/charts").unwrap();
        for credentials in tokens() {
            for ca in [None, Some(b"pem".to_vec())] {
                let key = |scheme: &Scheme| {
                    Site::new(*scheme, base.clone(), ca.clone(), credentials.clone()).key
                };
                let mut keys: Vec<_> = Scheme::ALL.iter().map(key).collect();
                keys.sort_unstable();
                keys.dedup();
                assert_eq!(keys.len(), Scheme::ALL.len());
            }
        }
    }
}
