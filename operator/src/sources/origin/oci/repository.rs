//! One repository of a registry, and what it is asked with.

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::scheme::Scheme;
use reqwest::Url;

use super::name::Address;
use super::scope::Scope;
use crate::sources::credentials::{Credentials, Fingerprint, fingerprint};
use crate::sources::site::Site;
use crate::sources::text::redacted;

/// The repository of one chart.
pub(in crate::sources) struct Repository {
    /// The registry with the credentials of the source, over TLS.
    pub(super) site: Site,
    /// Its name in the registry.
    name: String,
}

impl Repository {
    /// The repository of a chart below an `oci://` address, or at `oci://REPOSITORY#CHART`; `None` if no
    /// repository can be named so.
    pub(in crate::sources) fn new(
        url: &Url,
        chart: &str,
        ca: Option<Vec<u8>>,
        credentials: Option<Credentials>,
    ) -> Option<Self> {
        let address = Address::parse(url)?;
        let name = match url.fragment() {
            Some(only) => address.whole().filter(|_| only == chart)?,
            None => address.repository(chart)?,
        };
        let site = Site::new(Scheme::Oci, address.registry, ca, credentials);
        Some(Self { site, name })
    }

    /// Tells repositories apart, and with what they are asked.
    pub(in crate::sources) fn key(&self) -> Fingerprint {
        fingerprint(&[&self.site.key, self.name.as_bytes()])
    }

    pub(in crate::sources::origin) fn registry(&self) -> &Url {
        &self.site.base
    }

    pub(super) fn scope(&self) -> Scope {
        Scope::pull(&self.name)
    }

    /// Where a tag or digest is resolved.
    pub(super) fn manifest(&self, reference: &str) -> Url {
        self.at(&format!("manifests/{reference}"))
    }

    pub(super) fn blob(&self, digest: &Sha256Digest) -> Url {
        self.at(&format!("blobs/{digest}"))
    }

    /// Where a registry that keeps such a list says what refers to a manifest.
    pub(super) fn referrers(&self, subject: &Sha256Digest) -> Url {
        self.at(&format!("referrers/{subject}"))
    }

    /// Where tags are listed, as many at once as registries give.
    pub(super) fn tags(&self) -> Url {
        let mut url = self.at("tags/list");
        url.set_query(Some("n=1000"));
        url
    }

    /// Whether an address of it names no digest, which the registry has chosen.
    pub(in crate::sources) fn is_ours(&self, address: &str) -> bool {
        let below = address.strip_prefix(&redacted(&self.at("")));
        below.is_some_and(|below| !below.contains("sha256:"))
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.site.base.clone();
        url.set_path(&format!("/v2/{}/{path}", self.name));
        url
    }
}
