//! What the readers of foreign answers make of bytes, without asking anybody: so that whoever has other bytes than
//! the tests here can hold them before the readers (`e2e/targets`).

use charttrust_verify::digest::Sha256Digest;
use reqwest::Url;

use super::guard::{AllowedHost, Guard, Load, Refused};
use super::index;
use super::limits::Limits;

pub use super::origin::foreign::{
    Layers, Login, children, layers, login, next_page, referring, tags,
};

/// What an index lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Charts with their versions, in the order of their names, each as often as it is listed.
    pub versions: Vec<(String, String)>,
    /// Versions that stand there once, each with the digest that is claimed for it.
    pub claimed: Vec<(String, String, Option<Sha256Digest>)>,
    /// Bytes of memory that it takes, about.
    pub cost: usize,
}

/// What the index of a repository lists; `None` if it is no index, or more than the limits allow.
pub fn index(body: &[u8], limits: &Limits) -> Option<Listing> {
    let index = index::Index::read(body, limits).ok()?;
    let all = index.all();
    let mut versions: Vec<_> = all
        .map(|(chart, version)| (chart.to_owned(), version.to_owned()))
        .collect();
    versions.sort_unstable();
    let claimed = versions.iter().filter_map(|(chart, version)| {
        let found = index.find(chart, version).ok()?;
        Some((chart.clone(), version.clone(), found.claimed_digest))
    });
    Some(Listing {
        claimed: claimed.collect(),
        cost: index.cost(),
        versions,
    })
}

/// Whether a request without credentials may be made, on behalf of a source at that very address.
///
/// # Errors
/// Why it may not; of what is no address, [`Refused::Host`].
pub fn may_ask(address: &str, named: &[AllowedHost]) -> Result<(), Refused> {
    let url = Url::parse(address).map_err(|_| Refused::Host)?;
    let guard = Guard::new(named.to_vec());
    guard.check(&url, &url, Load::Nothing).map(|_| ())
}
