//! What kind of place publishes a chart, and how one version is located there.
//!
//! A new kind of source is a variant here and a file of its own in this folder; whatever follows the
//! location is the same for all.

mod oci;

use std::collections::BTreeSet;

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::scheme::Scheme;
use reqwest::Url;
use tokio::time::Instant;

pub(in crate::sources) use oci::Registries;
pub(super) use oci::foreign;
pub use oci::{Helper, NoLogin, docker_login, is_spelling};

use crate::sources::Source;
use crate::sources::catalogue::Catalogues;
use crate::sources::claimed::Known;
use crate::sources::credentials::{Credentials, Fingerprint, fingerprint};
use crate::sources::error::{FetchError, Part};
use crate::sources::guard::Refused;
use crate::sources::http::{Ask, How, Reply, Validator, Web};
use crate::sources::located::{Listed, Located, Manifest, Wanted};
use crate::sources::singleflight::NotBefore;
use crate::sources::site::Site;
use crate::sources::text::{escaped, redacted};
use crate::sources::urls::index;
use oci::{Client, Question, Repository};

/// One address of a source: its configured URL, or a mirror.
pub(in crate::sources) enum Origin {
    /// A repository that lists its charts in an `index.yaml`.
    Http(Site),
    /// The chart's own repository in a registry.
    Oci(Repository),
}

/// An origin, and what it is asked with.
#[derive(Clone, Copy)]
pub(in crate::sources) struct Asking<'a> {
    pub(in crate::sources) catalogues: &'a Catalogues,
    pub(in crate::sources) origin: &'a Origin,
    pub(in crate::sources) registries: &'a Registries,
    pub(in crate::sources) web: &'a Web,
}

impl Origin {
    /// The configured URL, with the credentials of the source.
    pub(in crate::sources) fn main(
        source: &Source,
        wanted: Wanted<'_>,
    ) -> Result<Self, FetchError> {
        let url = parse(&source.url, "the URL of the source")?;
        Self::of(url, source, wanted, source.credentials.clone())
    }

    /// A mirror: other machines, so it gets no credentials.
    pub(in crate::sources) fn mirror(
        source: &Source,
        url: &str,
        wanted: Wanted<'_>,
    ) -> Result<Self, FetchError> {
        Self::of(parse(url, "the URL of a mirror")?, source, wanted, None)
    }

    fn of(
        url: Url,
        source: &Source,
        wanted: Wanted<'_>,
        credentials: Option<Credentials>,
    ) -> Result<Self, FetchError> {
        let Some((scheme, _)) = Scheme::split(url.as_str()) else {
            return Err(FetchError::Refused {
                url: redacted(&url),
                refused: Refused::Scheme,
            });
        };
        let ca = source.ca.clone();
        match scheme {
            Scheme::Http | Scheme::Https => Ok(Self::Http(Site::new(scheme, url, ca, credentials))),
            Scheme::Oci => {
                let repository = Repository::new(&url, wanted.chart, ca, credentials);
                let unnamed = || FetchError::NoReference {
                    chart: escaped(wanted.chart),
                    version: escaped(wanted.version),
                    url: redacted(&url),
                };
                repository.map(Self::Oci).ok_or_else(unnamed)
            }
        }
    }

    /// The address that is asked first.
    pub(in crate::sources) fn configured(&self) -> &Url {
        match self {
            Self::Http(site) => &site.configured,
            Self::Oci(repository) => repository.registry(),
        }
    }

    /// Identity of a fetch from here. The scheme is in the site's: two kinds at one address share nothing.
    pub(in crate::sources) fn key(&self, wanted: Wanted<'_>) -> Fingerprint {
        let (chart, version) = (wanted.chart.as_bytes(), wanted.version.as_bytes());
        match self {
            Self::Http(site) => fingerprint(&[&site.key, chart, version]),
            Self::Oci(repository) => {
                let [kind, digest] = Manifest::key(wanted.manifest.as_ref());
                fingerprint(&[&repository.key(), chart, version, kind, digest])
            }
        }
    }
}

impl Origin {
    /// Whether an address follows from what was configured and asked for, so that the origin has no choice.
    pub(in crate::sources) fn is_ours(&self, address: &str) -> bool {
        match self {
            Self::Http(site) => address == redacted(&index(&site.base)),
            Self::Oci(repository) => repository.is_ours(address),
        }
    }
}

impl Asking<'_> {
    /// Finds a version, from an answer of the origin that is recent enough.
    ///
    /// # Errors
    /// `ChartNotFound` only from an answer after `not_before.failure`.
    pub(in crate::sources) async fn locate(
        self,
        wanted: Wanted<'_>,
        not_before: NotBefore,
    ) -> Result<Located, FetchError> {
        match self.origin {
            Origin::Http(site) => {
                let located = self.catalogues.locate(self.web, site, wanted, not_before);
                located.await
            }
            Origin::Oci(repository) => {
                // Boxed, or the future of every fetch would be as large as this one.
                Box::pin(oci::locate(self.client(repository), wanted, not_before)).await
            }
        }
    }

    /// What the origin lists, by an answer after a moment; `chart` is the one of a repository in a registry.
    pub(in crate::sources) async fn listed(
        self,
        chart: &str,
        since: Instant,
    ) -> Result<BTreeSet<Listed>, FetchError> {
        match self.origin {
            Origin::Http(site) => self.catalogues.listed(self.web, site, since).await,
            Origin::Oci(repository) => {
                let tags = Box::pin(oci::every_tag(self.client(repository))).await?;
                let listed = tags.into_iter().map(|tag| Listed {
                    chart: chart.to_owned(),
                    // Tags have no `+`, and versions no `_`.
                    version: tag.replace('_', "+"),
                });
                Ok(listed.collect())
            }
        }
    }

    /// Asks for what was located.
    pub(in crate::sources) async fn get(
        self,
        part: Part,
        url: &Url,
        validator: Option<&Validator>,
    ) -> Result<Reply, FetchError> {
        let how = How::Get;
        match self.origin {
            Origin::Http(site) => {
                let ask = Ask {
                    part,
                    site,
                    url,
                    validator,
                    how,
                };
                self.web.get(ask).await
            }
            Origin::Oci(repository) => {
                let question = Question {
                    part,
                    url,
                    validator,
                    how,
                };
                Box::pin(self.client(repository).get(question)).await
            }
        }
    }

    /// What was published in a registry to sign a manifest; nothing elsewhere.
    pub(in crate::sources) async fn referrers(
        self,
        subject: Sha256Digest,
        kept: Option<Known>,
    ) -> Result<Known, FetchError> {
        match self.origin {
            Origin::Http(_) => Ok(Known::default()),
            // Boxed, as what locates a chart there is.
            Origin::Oci(repository) => {
                Box::pin(oci::referrers(self.client(repository), subject, kept)).await
            }
        }
    }

    fn client<'a>(&'a self, repository: &'a Repository) -> Client<'a> {
        Client {
            registries: self.registries,
            repository,
            web: self.web,
        }
    }
}

fn parse(url: &str, name: &'static str) -> Result<Url, FetchError> {
    Url::parse(url).map_err(|_| FetchError::InvalidUrl(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_another_scheme_is_asked_by_no_kind() {
        for url in [
            "ftp://a.example",
            "files+https://a.example",
            "file:///etc",
            "httpss://a.example",
        ] {
            let source = Source::at(url);
            let wanted = Wanted {
                chart: "a",
                version: "1.0.0",
                manifest: None,
            };
            for origin in [
                Origin::main(&source, wanted),
                Origin::mirror(&source, url, wanted),
            ] {
                let Err(FetchError::Refused { refused, .. }) = origin else {
                    panic!("{url} was taken for an address of some kind");
                };
                assert_eq!(refused, Refused::Scheme, "{url}");
            }
        }
    }
}
