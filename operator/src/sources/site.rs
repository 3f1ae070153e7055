//! One address of a source: its URL, and what may be sent there.

use reqwest::Url;

use super::credentials::{Credentials, Fingerprint, fingerprint, parts};
use super::error::FetchError;
use super::{Source, text, urls};

/// The configured URL of a source, or one of its mirrors.
pub(super) struct Site {
    /// Base URL of the repository, without fragment.
    pub(super) base: Url,
    /// PEM certificates that replace the public authorities.
    pub(super) ca: Option<Vec<u8>>,
    /// Tells sites apart, credentials included.
    pub(super) key: Fingerprint,
    credentials: Option<Credentials>,
}

impl Site {
    /// The configured URL, with the credentials of the source.
    pub(super) fn main(source: &Source) -> Result<Self, FetchError> {
        Self::new(
            source,
            &source.url,
            "the URL of the source",
            source.credentials.clone(),
        )
    }

    /// A mirror: other machines, so it gets no credentials.
    pub(super) fn mirror(source: &Source, url: &str) -> Result<Self, FetchError> {
        Self::new(source, url, "the URL of a mirror", None)
    }

    /// An address that is no source of charts: nothing is sent there, and the public authorities
    /// vouch for it.
    pub(super) fn public(mut base: Url) -> Self {
        base.set_fragment(None);
        let key = fingerprint(&[base.as_str().as_bytes()]);
        Self {
            base,
            ca: None,
            key,
            credentials: None,
        }
    }

    fn new(
        source: &Source,
        url: &str,
        name: &'static str,
        credentials: Option<Credentials>,
    ) -> Result<Self, FetchError> {
        let mut base = Url::parse(url).map_err(|_| FetchError::InvalidUrl(name))?;
        if base.scheme() == "oci" {
            return Err(FetchError::Oci(text::redacted(&base)));
        }
        base.set_fragment(None);
        let ca = source.ca.clone();
        let [kind, name, secret] = parts(credentials.as_ref());
        let key = fingerprint(&[
            base.as_str().as_bytes(),
            kind,
            name,
            secret,
            ca.as_deref().unwrap_or_default(),
        ]);
        Ok(Self {
            base,
            ca,
            key,
            credentials,
        })
    }

    /// Address of the index.
    pub(super) fn index(&self) -> Url {
        urls::index(&self.base)
    }

    /// The credentials, if a request for this URL may carry them: same scheme, host and port.
    pub(super) fn credentials_for(&self, url: &Url) -> Option<&Credentials> {
        self.credentials
            .as_ref()
            .filter(|_| url.origin() == self.base.origin())
    }

    /// Identity of a look at this site.
    pub(super) fn look_key(&self, chart: &str, version: &str) -> Fingerprint {
        fingerprint(&[&self.key, chart.as_bytes(), version.as_bytes()])
    }
}
