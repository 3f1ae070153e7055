//! The same of registries: manifests, lists and challenges.

use charttrust_verify::digest::Sha256Digest;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, LINK, WWW_AUTHENTICATE};

use super::challenge::Challenges;
use super::manifest::Content;
use super::{realm, referrers, tags as pages};
use crate::sources::error::Part;
use crate::sources::guard::{AuthHost, Guard, Load};

/// The layers of a chart, by their digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers {
    /// The archive.
    pub archive: Sha256Digest,
    /// How many bytes it is said to have.
    pub archive_bytes: u64,
    /// The manifest itself.
    pub manifest: Sha256Digest,
    /// The signed statement.
    pub provenance: Option<Sha256Digest>,
}

/// The layers that a manifest lists; `None` if it is no manifest of one chart.
pub fn layers(body: &[u8]) -> Option<Layers> {
    let Content::Manifest(chart, _) = Content::parse(body).ok()? else {
        return None;
    };
    let chart = chart.ok()?;
    Some(Layers {
        archive: chart.archive.digest,
        archive_bytes: chart.archive.size,
        manifest: chart.manifest,
        provenance: chart.provenance.map(|blob| blob.digest),
    })
}

/// The manifests that an index lists; `None` if it is no index.
pub fn children(body: &[u8]) -> Option<Vec<Sha256Digest>> {
    match Content::parse(body).ok()? {
        Content::Index(children) => Some(children),
        Content::Manifest(..) => None,
    }
}

/// What an index of referrers lists that may be a bundle: what says so, and what says nothing. `None` if it is no
/// index.
pub fn referring(body: &[u8]) -> Option<[Vec<Sha256Digest>; 2]> {
    referrers::listed(body)
}

/// The tags of a page; `None` if it is no list of tags.
pub fn tags(body: &[u8]) -> Option<Vec<String>> {
    pages::listed(body).ok()
}

/// The next page that the `Link` header of a page names: `None` if it names none, an error if it is elsewhere.
///
/// # Errors
/// What is told of it.
pub fn next_page(page: &Url, link: &str) -> Option<Result<Url, String>> {
    let link = HeaderValue::from_str(link).ok()?;
    let headers: HeaderMap = [(LINK, link)].into_iter().collect();
    let target = pages::next_page(&headers)?;
    let next = pages::resolve(page, &target, Part::Tags);
    Some(next.map_err(|error| error.to_string()))
}

/// What is sent to whom after a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Whether user name and password are asked for by the registry itself.
    pub basic: bool,
    /// Where a token is asked for, if anywhere.
    pub realm: Option<Url>,
    /// Whether that may be asked without credentials.
    pub may_ask: bool,
    /// Whether credentials of the registry may be sent there.
    pub may_send: bool,
}

/// What follows from a line of `WWW-Authenticate`.
pub fn login(registry: &Url, challenge: &str, named: &[AuthHost]) -> Option<Login> {
    let line = HeaderValue::from_str(challenge).ok()?;
    let found = Challenges::of(&[(WWW_AUTHENTICATE, line)].into_iter().collect());
    let guard = Guard::new(Vec::new()).with_auth_hosts(named.to_vec());
    let realm = found.bearer.map(|bearer| bearer.realm);
    let may = |load| {
        let realm = realm.as_ref();
        realm.is_some_and(|realm| realm::check(&guard, registry, realm, load).is_ok())
    };
    Some(Login {
        basic: found.basic.is_some(),
        may_ask: may(Load::Nothing),
        may_send: may(Load::Credentials),
        realm,
    })
}
