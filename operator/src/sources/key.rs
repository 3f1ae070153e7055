//! A copy of an OpenPGP key, from an address that publishes it.

use reqwest::Url;

use super::Fetcher;
use super::error::{FetchError, Part};
use super::http::{Ask, Found, How, Reply};
use super::site::Site;

impl<T: Send + Sync + 'static> Fetcher<T> {
    /// What `read` makes of the bytes at an address where a key is said to be; it says why it can
    /// make nothing of them. Called on a thread that may block.
    ///
    /// # Errors
    /// [`FetchError`], fit for a status, as for [`Fetcher::fetch`].
    pub async fn key<K: Send + 'static>(
        &self,
        address: &str,
        read: impl FnOnce(&[u8]) -> Result<K, String> + Send + 'static,
    ) -> Result<K, FetchError> {
        let invalid = |_| FetchError::InvalidUrl("the address of the key");
        let site = Site::public(Url::parse(address).map_err(invalid)?);
        let bytes = self.key_bytes(&site).await?;
        match tokio::task::spawn_blocking(move || read(&bytes)).await {
            Ok(Ok(key)) => Ok(key),
            Ok(Err(why)) => Err(unusable(&site.base, &why)),
            Err(_) => Err(unusable(&site.base, "reading it failed")),
        }
    }

    async fn key_bytes(&self, site: &Site) -> Result<Vec<u8>, FetchError> {
        let web = &self.0.web;
        let ask = Ask {
            part: Part::Key,
            site,
            url: &site.base,
            validator: None,
            how: How::Get,
        };
        match web.get(ask).await? {
            Reply::Found(found) => bytes_of(&site.base, *found, web.limits.key_bytes).await,
            Reply::Unchanged => Err(unusable(&site.base, "it is said to be unchanged")),
        }
    }
}

async fn bytes_of(url: &Url, mut found: Found, limit: u64) -> Result<Vec<u8>, FetchError> {
    if found.html {
        return Err(unusable(url, "it is HTML"));
    }
    let bytes = found.body.read(limit).await?;
    match bytes.trim_ascii_start().first() {
        Some(b'<') => Err(unusable(url, "it is HTML")),
        Some(_) => Ok(bytes),
        None => Err(unusable(url, "it is empty")),
    }
}

fn unusable(url: &Url, why: &str) -> FetchError {
    FetchError::unusable(Part::Key, url, why)
}
