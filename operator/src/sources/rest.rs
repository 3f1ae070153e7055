//! Which servers have asked to be left alone, and until when.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::Url;
use tokio::time::Instant;

use super::credentials::{Fingerprint, fingerprint};
use super::error::FetchError;
use super::site::Site;
use super::text::redacted;

/// The servers that are left alone. What one answers on behalf of a source concerns that source only: a
/// server where somebody else's charts lie, or to which a source redirects, can close no other.
#[derive(Default)]
pub(super) struct Rests(Mutex<HashMap<Fingerprint, Pause>>);

/// What one has asked for.
struct Pause {
    code: u16,
    until: Instant,
}

impl Rests {
    /// Nothing, if a server may be asked on behalf of a source.
    ///
    /// # Errors
    /// That it has asked to be left alone, and for how long from now.
    pub(super) fn check(&self, site: &Site, url: &Url, now: Instant) -> Result<(), FetchError> {
        let rests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = rests.get(&key(site, url)).filter(|rest| rest.until > now);
        rest.map_or(Ok(()), |rest| {
            Err(FetchError::Resting {
                code: rest.code,
                retry_after: rest.until.saturating_duration_since(now),
                url: redacted(url),
            })
        })
    }

    /// Notes with which status a server has answered, and how long it asked to be left alone.
    pub(super) fn note(&self, site: &Site, url: &Url, (code, wait): (u16, Duration), now: Instant) {
        if wait.is_zero() || !matches!(code, 429 | 503) {
            return;
        }
        let mut rests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rests.len() >= MOST_RESTS {
            rests.retain(|_, rest| rest.until > now);
        }
        if rests.len() >= MOST_RESTS {
            rests.clear();
        }
        let until = now + wait;
        rests.insert(key(site, url), Pause { code, until });
    }
}

fn key(site: &Site, url: &Url) -> Fingerprint {
    let origin = url.origin().ascii_serialization();
    fingerprint(&[&site.key, origin.as_bytes()])
}

/// Most servers kept; more than any cluster asks, so that redirects cannot fill the memory.
const MOST_RESTS: usize = 4096;

#[cfg(test)]
mod tests {
    use charttrust_verify::scheme::Scheme;

    use super::super::credentials::Credentials;
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn site(text: &str, token: Option<&str>) -> Site {
        let credentials = token.map(|token| Credentials::Bearer(token.to_owned().into()));
        Site::new(Scheme::Https, url(text), None, credentials)
    }

    #[test]
    fn a_server_is_left_alone_as_long_as_it_asked_by_whoever_asks_alike() {
        let (rests, now) = (Rests::default(), Instant::now());
        let (asked, hour) = (
            site("https://a.example/charts", None),
            Duration::from_secs(3600),
        );
        rests.note(
            &asked,
            &url("https://a.example/charts/index.yaml"),
            (429, hour),
            now,
        );
        let is_open = |site: &Site, at: &str, now| rests.check(site, &url(at), now).is_ok();
        assert!(!is_open(
            &asked,
            "https://a.example/charts/web-1.0.0.tgz",
            now
        ));
        assert!(is_open(&asked, "https://cdn.example/web-1.0.0.tgz", now));
        assert!(is_open(
            &asked,
            "https://a.example/charts/index.yaml",
            now + hour
        ));
        for other in [
            site("https://a.example/charts", Some("token")),
            site("https://a.example/other", None),
        ] {
            assert!(is_open(&other, "https://a.example/charts/index.yaml", now));
        }
        let error = rests.check(&asked, &url("https://a.example/x"), now + hour / 4);
        assert_eq!(error.unwrap_err().retry_after(), Some(hour * 3 / 4));
    }

    #[test]
    fn only_an_answer_that_asks_for_rest_gives_rest() {
        let (rests, now) = (Rests::default(), Instant::now());
        let (asked, at) = (site("https://a.example", None), url("https://a.example/x"));
        for (code, wait) in [(404, 60), (301, 60), (200, 60), (429, 0)] {
            rests.note(&asked, &at, (code, Duration::from_secs(wait)), now);
            assert!(rests.check(&asked, &at, now).is_ok(), "{code} {wait}");
        }
        rests.note(&asked, &at, (503, Duration::from_secs(1)), now);
        assert!(rests.check(&asked, &at, now).is_err());
    }

    #[test]
    fn redirects_to_ever_new_servers_fill_no_memory() {
        let (rests, now) = (Rests::default(), Instant::now());
        let asked = site("https://a.example", None);
        for number in 0..=MOST_RESTS {
            let server = url(&format!("https://cdn-{number}.example"));
            rests.note(&asked, &server, (429, Duration::from_secs(60)), now);
        }
        assert!(rests.0.lock().unwrap().len() <= MOST_RESTS);
    }
}
