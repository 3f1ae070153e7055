//! One question: guarded at every hop, bounded in time, with credentials for one origin only.

use jiff::SignedDuration;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, DATE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION, RETRY_AFTER,
};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

use super::body::{Body, Patience};
use super::clients::{Clients, Way};
use super::counts::{CodeClass, Counters};
use super::credentials::Credentials;
use super::error::{FetchError, Part};
use super::guard::{Guard, Load, Refused};
use super::limits::Limits;
use super::network;
use super::rest::Rests;
use super::site::Site;
use super::text::redacted;

/// What all requests share.
pub(super) struct Web {
    pub(super) clients: Clients,
    pub(super) counters: Counters,
    pub(super) guard: Guard,
    pub(super) limits: Limits,
    pub(super) rests: Rests,
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
    /// In which way.
    pub(super) how: How<'a>,
}

/// How a question is put.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum How<'a> {
    /// GET of one of these media types.
    Accept(&'static str),
    /// POST of a form that holds a secret. Redirects are not followed.
    Form(&'a str),
    /// GET.
    #[default]
    Get,
    /// HEAD of one of these media types.
    Head(&'static str),
    /// GET whose redirects are not followed.
    Unmoved,
}

/// The head of an answer, whatever it says.
pub(super) struct Head {
    part: Part,
    patience: Patience,
    response: Response,
    shown: String,
    url: Url,
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
        let head = self.send(&ask).await?;
        self.reply(&ask, head)
    }

    /// As [`Web::get`], but every answer that is no redirect is one.
    pub(super) async fn send(&self, ask: &Ask<'_>) -> Result<Head, FetchError> {
        // One deadline for all hops and the body: a source that sends a byte a second within every
        // single limit holds nobody up for longer.
        let patience = Patience {
            deadline: Instant::now() + self.limits.total,
            idle: self.limits.idle,
            turn: self.limits.large_turn,
        };
        let mut url = ask.url.clone();
        for _ in 0..=self.limits.redirects {
            let response = self.hop(ask, &url, patience).await?;
            let Some(next) = redirect(ask, &url, &response)? else {
                let head = Head {
                    part: ask.part,
                    patience,
                    response,
                    shown: redacted(ask.url),
                    url,
                };
                self.note_rest(ask, &head);
                return Ok(head);
            };
            if !ask.how.follows() {
                return Err(FetchError::unusable(ask.part, ask.url, "it redirects"));
            }
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
        patience: Patience,
    ) -> Result<Response, FetchError> {
        self.rests.check(ask.site, url, Instant::now())?;
        let request = self.request(ask, url)?;
        let outcome = match timeout_at(patience.next_piece(), request.send()).await {
            Ok(outcome) => outcome.map_err(|error| network::failure(&error, &redacted(ask.url))),
            Err(_) => Err(FetchError::Timeout(redacted(ask.url))),
        };
        self.count(ask.site, url, &outcome);
        outcome
    }

    fn request(&self, ask: &Ask<'_>, url: &Url) -> Result<RequestBuilder, FetchError> {
        let credentials = ask.site.credentials_for(url);
        // Decided at every hop: a redirect to another origin goes without credentials, whoever sent
        // it.
        let load = match (credentials, ask.how) {
            (None, How::Accept(_) | How::Get | How::Head(_) | How::Unmoved) => Load::Nothing,
            _ => Load::Credentials,
        };
        let reach = self
            .guard
            .check(&ask.site.configured, url, load)
            .map_err(|refused| refusal(url, refused))?;
        let identity = credentials.and_then(Credentials::identity);
        let identity = identity.as_deref().map(Vec::as_slice);
        let way = Way {
            ca: ask.site.ca.as_deref(),
            identity,
            reach,
        };
        let mut headers = conditions(ask.validator, url);
        // Asked for as it is: a body that inflates on arrival passes every limit on bytes, and the
        // digest is over what is stored.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(header) = credentials.map(Credentials::header).transpose()?.flatten() {
            headers.insert(AUTHORIZATION, header);
        }
        headers.extend(ask.how.accepts().map(|kinds| (ACCEPT, kinds)));
        let client = self.clients.client(way, &self.limits)?;
        let request = client.request(ask.how.method(), url.clone());
        Ok(match ask.how {
            How::Form(form) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(FORM));
                request.headers(headers).body(form.to_owned())
            }
            _ => request.headers(headers),
        })
    }

    fn count(&self, site: &Site, url: &Url, outcome: &Result<Response, FetchError>) {
        let class = match outcome {
            Ok(response) => CodeClass::of(response.status().as_u16()),
            // The resolver refused the addresses: nothing was sent.
            Err(FetchError::Refused { .. }) => return,
            Err(_) => CodeClass::Failed,
        };
        let configured = site.configured.host_str();
        self.counters.request(configured, url.host_str(), class);
    }

    /// What the head of an answer says to a question.
    ///
    /// # Errors
    /// As [`Web::get`].
    pub(super) fn reply(&self, ask: &Ask<'_>, head: Head) -> Result<Reply, FetchError> {
        let validator = Validator::of(&head.url, head.headers());
        let asked = ask
            .validator
            .filter(|validator| validator.origin == origin(&head.url));
        match head.status() {
            StatusCode::NOT_MODIFIED if asked.is_some() => Ok(Reply::Unchanged),
            // Some servers send the body although the condition holds. Reading it again would cost,
            // and say nothing new.
            StatusCode::OK if asked.is_some_and(|asked| asked.proves(validator.as_ref())) => {
                Ok(Reply::Unchanged)
            }
            StatusCode::OK => {
                let html = is_html(head.headers());
                Ok(Reply::Found(Box::new(Found {
                    body: head.into_body(),
                    html,
                    validator,
                })))
            }
            _ => Err(self.failure(&head)),
        }
    }

    /// After some answers their server is left alone.
    fn note_rest(&self, ask: &Ask<'_>, head: &Head) {
        let answer = (head.status().as_u16(), self.retry_after(head));
        if let (code, Some(wait)) = answer {
            self.rests
                .note(ask.site, &head.url, (code, wait), Instant::now());
        }
    }

    fn retry_after(&self, head: &Head) -> Option<Duration> {
        retry_after(head.headers(), self.limits.retry_after)
    }

    /// What an answer is that is none of those wanted.
    pub(super) fn failure(&self, head: &Head) -> FetchError {
        FetchError::Status {
            code: head.status().as_u16(),
            retry_after: self.retry_after(head),
            url: head.shown.clone(),
        }
    }
}

impl Head {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Whether this place itself has answered, and not one that it redirects to.
    pub(super) fn is_of(&self, place: &Url) -> bool {
        self.url.origin() == place.origin()
    }

    pub(super) fn into_body(self) -> Body {
        Body::new(self.response, self.part, self.shown, self.patience)
    }
}

impl How<'_> {
    fn method(self) -> Method {
        match self {
            Self::Accept(_) | Self::Get | Self::Unmoved => Method::GET,
            Self::Form(_) => Method::POST,
            Self::Head(_) => Method::HEAD,
        }
    }

    fn accepts(self) -> Option<HeaderValue> {
        match self {
            Self::Accept(kinds) | Self::Head(kinds) => Some(HeaderValue::from_static(kinds)),
            Self::Form(_) | Self::Get | Self::Unmoved => None,
        }
    }

    fn follows(self) -> bool {
        !matches!(self, Self::Form(_) | Self::Unmoved)
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

impl Validator {
    fn of(url: &Url, headers: &HeaderMap) -> Option<Self> {
        let (etag, modified) = (short(headers, &ETAG), short(headers, &LAST_MODIFIED));
        let any = etag.is_some() || modified.is_some();
        any.then(|| Self {
            etag,
            modified,
            origin: origin(url),
        })
    }

    /// Bytes of memory that it takes beside itself.
    pub(super) fn cost(&self) -> usize {
        let values = [&self.etag, &self.modified];
        let values = values.into_iter().flatten().map(HeaderValue::len);
        values.sum::<usize>() + self.origin.len()
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

/// A header to keep, if it is short. Copied: as it arrives, it holds the whole head of the answer in memory.
fn short(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let value = headers.get(name)?.as_bytes();
    let is_short = value.len() <= LONGEST_VALIDATOR;
    HeaderValue::from_bytes(value).ok().filter(|_| is_short)
}

/// Bytes of an entity tag; real ones have less than 100. Without it, it is downloaded again.
const LONGEST_VALIDATOR: usize = 512;

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
    // Whoever sits between us and there could change the archive, and read what was asked for.
    if url.scheme() == "https" && next.scheme() == "http" {
        return Err(refusal(&next, Refused::Downgrade));
    }
    // A fragment is for browsers, and would make another key of the same place.
    next.set_fragment(None);
    Ok(Some(next))
}

/// The wait that a source asks for: in seconds, until a date that its own clock measures, or as Go writes
/// durations (some registries do).
fn retry_after(headers: &HeaderMap, longest: Duration) -> Option<Duration> {
    // Go writes the letter µ.
    let text = std::str::from_utf8(headers.get(RETRY_AFTER)?.as_bytes())
        .ok()?
        .trim();
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else if let Ok(duration) = text.parse::<SignedDuration>() {
        Duration::try_from(duration).ok()?
    } else {
        until(text, headers.get(DATE)?.to_str().ok()?)?
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
            (vec![("retry-after", "1m30s")], Some(90)),
            (vec![("retry-after", "2h0m0s")], Some(3600)),
            (vec![("retry-after", "-5s")], None),
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
    fn retry_after_is_read_as_go_writes_a_duration() {
        for (text, nanoseconds) in [
            ("880.092\u{b5}s", 880_092),
            ("880.092us", 880_092),
            ("1.246809ms", 1_246_809),
            ("1.5s", 1_500_000_000),
        ] {
            let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
            let headers = [(RETRY_AFTER, value)].into_iter().collect();
            let wait = retry_after(&headers, Duration::from_secs(3600));
            assert_eq!(wait, Some(Duration::from_nanos(nanoseconds)), "{text}");
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

    /// Thousands of answers are remembered.
    #[test]
    fn a_long_entity_tag_is_none() {
        let validator = |length: usize| {
            let tag = "t".repeat(length);
            Validator::of(
                &Url::parse("https://a.example").unwrap(),
                &headers(&[("etag", &tag)]),
            )
        };
        assert!(validator(LONGEST_VALIDATOR).is_some());
        assert_eq!(validator(LONGEST_VALIDATOR + 1), None);
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
