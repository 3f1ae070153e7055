//! One GET: guarded at every hop, bounded in time, with credentials for one origin only.

use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, DATE, ETAG, HeaderMap, HeaderValue,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION, RETRY_AFTER,
};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

use super::body::Body;
use super::clients::{Clients, Way};
use super::counts::{CodeClass, Counters};
use super::credentials::Credentials;
use super::error::{FetchError, Part};
use super::guard::{Guard, Load, Refused};
use super::limits::Limits;
use super::network;
use super::site::Site;
use super::text::redacted;

/// What all requests share.
pub(super) struct Web {
    pub(super) clients: Clients,
    pub(super) counters: Counters,
    pub(super) guard: Guard,
    pub(super) limits: Limits,
}

/// One question.
pub(super) struct Ask<'a> {
    /// What the answer is good for.
    pub(super) part: Part,
    /// On whose behalf.
    pub(super) site: &'a Site,
    /// Where.
    pub(super) url: &'a Url,
    /// What is known of an earlier answer.
    pub(super) validator: Option<&'a Validator>,
}

/// A good answer.
pub(super) enum Reply {
    /// 200 with a body.
    Found(Box<Found>),
    /// The earlier answer still stands.
    Unchanged,
}

/// A 200, its body not yet read.
pub(super) struct Found {
    /// The body.
    pub(super) body: Body,
    /// Whether the source calls it HTML.
    pub(super) html: bool,
    /// For the next time.
    pub(super) validator: Option<Validator>,
}

/// What a source said to recognise an answer by. It is shown to the origin that said it only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validator {
    etag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
    origin: String,
}

impl Web {
    /// Asks, follows redirects, and waits for the head of the answer.
    ///
    /// # Errors
    /// Everything but 200, and 304 to a question that had a validator.
    pub(super) async fn get(&self, ask: Ask<'_>) -> Result<Reply, FetchError> {
        let deadline = Instant::now() + self.limits.total;
        let mut url = ask.url.clone();
        for _ in 0..=self.limits.redirects {
            let response = self.hop(&ask, &url, deadline).await?;
            let Some(next) = redirect(&ask, &url, &response)? else {
                return self.reply(&ask, &url, response, deadline);
            };
            url = next;
        }
        Err(FetchError::TooManyRedirects {
            limit: self.limits.redirects,
            url: redacted(ask.url),
        })
    }

    async fn hop(
        &self,
        ask: &Ask<'_>,
        url: &Url,
        deadline: Instant,
    ) -> Result<Response, FetchError> {
        let request = self.request(ask, url)?;
        let outcome = match timeout_at(deadline, request.send()).await {
            Ok(outcome) => outcome.map_err(|error| network::failure(&error, &redacted(ask.url))),
            Err(_) => Err(FetchError::Timeout(redacted(ask.url))),
        };
        self.count(ask.site, url, &outcome);
        outcome
    }

    fn request(&self, ask: &Ask<'_>, url: &Url) -> Result<RequestBuilder, FetchError> {
        let credentials = ask.site.credentials_for(url);
        let load = credentials.map_or(Load::Nothing, |_| Load::Credentials);
        let reach = self
            .guard
            .check(url, load)
            .map_err(|refused| refusal(url, refused))?;
        let identity = credentials.and_then(Credentials::identity);
        let identity = identity.as_deref().map(Vec::as_slice);
        let way = Way {
            ca: ask.site.ca.as_deref(),
            identity,
            reach,
        };
        let mut headers = conditions(ask.validator, url);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(header) = credentials.map(Credentials::header).transpose()?.flatten() {
            headers.insert(AUTHORIZATION, header);
        }
        Ok(self
            .clients
            .client(way, &self.limits)?
            .get(url.clone())
            .headers(headers))
    }

    fn count(&self, site: &Site, url: &Url, outcome: &Result<Response, FetchError>) {
        let class = match outcome {
            Ok(response) => CodeClass::of(response.status().as_u16()),
            // The resolver refused the addresses: nothing was sent.
            Err(FetchError::Refused { .. }) => return,
            Err(_) => CodeClass::Failed,
        };
        self.counters
            .request(site.base.host_str(), url.host_str(), class);
    }

    fn reply(
        &self,
        ask: &Ask<'_>,
        url: &Url,
        response: Response,
        deadline: Instant,
    ) -> Result<Reply, FetchError> {
        let validator = Validator::of(url, response.headers());
        let asked = ask
            .validator
            .filter(|validator| validator.origin == origin(url));
        match response.status() {
            StatusCode::NOT_MODIFIED if asked.is_some() => Ok(Reply::Unchanged),
            StatusCode::OK if asked.is_some_and(|asked| asked.proves(validator.as_ref())) => {
                Ok(Reply::Unchanged)
            }
            StatusCode::OK => {
                let html = is_html(response.headers());
                let body = Body::new(response, ask.part, redacted(ask.url), deadline);
                Ok(Reply::Found(Box::new(Found {
                    body,
                    html,
                    validator,
                })))
            }
            code => Err(FetchError::Status {
                code: code.as_u16(),
                retry_after: retry_after(response.headers(), self.limits.retry_after),
                url: redacted(ask.url),
            }),
        }
    }
}

impl Validator {
    fn of(url: &Url, headers: &HeaderMap) -> Option<Self> {
        let (etag, modified) = (
            headers.get(ETAG).cloned(),
            headers.get(LAST_MODIFIED).cloned(),
        );
        let any = etag.is_some() || modified.is_some();
        any.then(|| Self {
            etag,
            modified,
            origin: origin(url),
        })
    }

    /// Whether a full answer is the one known already: its strong entity tag is the same.
    fn proves(&self, now: Option<&Self>) -> bool {
        let strong = self
            .etag
            .as_ref()
            .filter(|etag| etag.as_bytes().starts_with(b"\""));
        strong.is_some() && strong == now.and_then(|now| now.etag.as_ref())
    }
}

/// The conditions that a validator puts on a request to the origin it comes from.
fn conditions(validator: Option<&Validator>, url: &Url) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(validator) = validator.filter(|validator| validator.origin == origin(url)) {
        let pairs = [
            (IF_NONE_MATCH, &validator.etag),
            (IF_MODIFIED_SINCE, &validator.modified),
        ];
        headers.extend(
            pairs
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.clone()?))),
        );
    }
    headers
}

/// Where an answer sends us; `None` if it is no redirect.
fn redirect(ask: &Ask<'_>, url: &Url, response: &Response) -> Result<Option<Url>, FetchError> {
    if !matches!(response.status().as_u16(), 301..=303 | 307 | 308) {
        return Ok(None);
    }
    let target = response
        .headers()
        .get(LOCATION)
        .and_then(|location| location.to_str().ok());
    let Some(mut next) = target.and_then(|target| url.join(target).ok()) else {
        return Err(FetchError::unusable(
            ask.part,
            ask.url,
            "it redirects to no usable URL",
        ));
    };
    if url.scheme() == "https" && next.scheme() == "http" {
        return Err(refusal(&next, Refused::Downgrade));
    }
    next.set_fragment(None);
    Ok(Some(next))
}

/// The wait that a source asks for, in seconds or until a date that its own clock measures.
fn retry_after(headers: &HeaderMap, longest: Duration) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => until(text, headers.get(DATE)?.to_str().ok()?)?,
    };
    Some(wait.min(longest))
}

fn until(then: &str, now: &str) -> Option<Duration> {
    let date = |text| {
        jiff::fmt::rfc2822::parse(text)
            .ok()
            .map(|date| date.timestamp())
    };
    let wait = date(then)?.duration_since(date(now)?);
    Some(Duration::try_from(wait).unwrap_or_default())
}

fn is_html(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml")
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn refusal(url: &Url, refused: Refused) -> FetchError {
    FetchError::Refused {
        url: redacted(url),
        refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date_and_capped() {
        let date = ("date", "Sun, 22 Nov 2026 10:00:00 GMT");
        for (pairs, seconds) in [
            (vec![], None),
            (vec![("retry-after", "30")], Some(30)),
            (vec![("retry-after", "3600")], Some(3600)),
            (vec![("retry-after", "3601")], Some(3600)),
            (vec![("retry-after", "99999999999999999999999")], None),
            (vec![("retry-after", "-1")], None),
            (vec![("retry-after", "soon"), date], None),
            (
                vec![("retry-after", "Sun, 22 Nov 2026 10:00:45 GMT"), date],
                Some(45),
            ),
            (
                vec![("retry-after", "Sun, 22 Nov 2026 09:00:00 GMT"), date],
                Some(0),
            ),
            (vec![("retry-after", "Sun, 22 Nov 2026 10:00:45 GMT")], None),
        ] {
            let wait = retry_after(&headers(&pairs), Duration::from_secs(3600));
            assert_eq!(wait, seconds.map(Duration::from_secs), "{pairs:?}");
        }
    }

    #[test]
    fn html_is_recognised_by_its_content_type() {
        for (kind, expected) in [
            ("text/html", true),
            ("Text/HTML; charset=utf-8", true),
            ("application/xhtml+xml", true),
            ("text/htmlx", false),
            ("application/pgp-signature", false),
            ("", false),
        ] {
            assert_eq!(
                is_html(&headers(&[("content-type", kind)])),
                expected,
                "{kind}"
            );
        }
    }

    #[test]
    fn a_validator_is_shown_to_its_own_origin_only() {
        let url = |text| Url::parse(text).unwrap();
        let validator =
            Validator::of(&url("https://a.example/x"), &headers(&[("etag", "\"1\"")])).unwrap();
        let sent = |text| !conditions(Some(&validator), &url(text)).is_empty();
        assert!(sent("https://a.example/y") && sent("https://a.example:443/y"));
        assert!(
            !sent("https://b.example/x")
                && !sent("https://a.example:8443/x")
                && !sent("http://a.example/x")
        );
    }

    #[test]
    fn only_a_strong_entity_tag_proves_a_full_answer_unchanged() {
        let validator =
            |pairs: &[_]| Validator::of(&Url::parse("https://a.example").unwrap(), &headers(pairs));
        let strong = validator(&[("etag", "\"1\"")]);
        let weak = validator(&[("etag", "W/\"1\"")]);
        let dated = validator(&[("last-modified", "Sun, 22 Nov 2026 10:00:00 GMT")]);
        for (before, now, expected) in [
            (&strong, &strong, true),
            (&strong, &weak, false),
            (&strong, &dated, false),
            (&strong, &None, false),
            (&weak, &weak, false),
            (&dated, &dated, false),
        ] {
            assert_eq!(
                before.as_ref().unwrap().proves(now.as_ref()),
                expected,
                "{before:?} {now:?}"
            );
        }
    }
}
