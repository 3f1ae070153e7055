//! What happens to what is read through the proxy, and to its watches.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::watch;

use super::{Proxy, Watches};

/// How a request is refused that the API server never hears of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: u16,
    /// After how many seconds to come again, if the answer says so.
    pub retry_after: Option<u32>,
}

impl Refusal {
    /// As an API server refuses that says when to come again where it is overloaded.
    pub fn of(status: u16) -> Self {
        Self {
            status,
            retry_after: (status == 429).then_some(1),
        }
    }

    pub(super) fn answer(self) -> Response {
        let status = StatusCode::from_u16(self.status);
        let mut answer = status
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            .into_response();
        if let Some(seconds) = self.retry_after {
            let seconds = HeaderValue::from(seconds);
            answer.headers_mut().insert(RETRY_AFTER, seconds);
        }
        answer
    }
}

/// What happens to what is asked, until [`Proxy::behave`].
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Everything that was asked, as `METHOD PATH?QUERY`, leases left out.
    asked: Vec<String>,
    /// How everything is refused.
    refusal: Option<Refusal>,
    /// Requests of a method to a path that ends like this are never answered.
    swallowed: Option<(Method, String)>,
    /// How many requests were.
    silences: usize,
    /// So many requests for a next page are told that their token is too old.
    stale_pages: usize,
    /// The API server is asked for pages of this size.
    page: Option<usize>,
    /// What lists said, by what was asked; nothing is remembered unless there is a memory.
    memory: Option<BTreeMap<String, Bytes>>,
    /// The resource of which lists are told as they are remembered.
    lagging: Option<String>,
}

/// What a request gets that is not passed on.
pub(super) enum Instead {
    Answer(Response),
    Silence,
}

impl Reading {
    /// Notes what is asked, and says what it gets if it is not passed on.
    pub(super) fn instead(&mut self, method: &Method, uri: &Uri) -> Option<Instead> {
        if uri.path().contains("/leases") {
            return None;
        }
        self.asked.push(format!("{method} {uri}"));
        if let Some(refusal) = self.refusal {
            return Some(Instead::Answer(refusal.answer()));
        }
        let is_meant = |(of, end): &(Method, String)| of == method && uri.path().ends_with(end);
        if self.swallowed.as_ref().is_some_and(is_meant) {
            self.silences += 1;
            return Some(Instead::Silence);
        }
        let query = uri.query().unwrap_or_default();
        if query.contains("continue=") && self.stale_pages > 0 {
            self.stale_pages -= 1;
            let told = json(StatusCode::GONE, Bytes::from_static(STALE_PAGE.as_bytes()));
            return Some(Instead::Answer(told));
        }
        let lagging = self.lagging.as_ref()?;
        if !is_of(uri.path(), lagging) {
            return None;
        }
        // Once: whoever asks again is told how it is now.
        let known = self.memory.as_mut()?.remove(&uri.to_string())?;
        Some(Instead::Answer(json(StatusCode::OK, known)))
    }

    /// What the API server is asked instead, if pages are to be small.
    pub(super) fn shortened(&self, path: &str) -> String {
        match self.page {
            Some(page) => path.replace("limit=50", &format!("limit={page}")),
            None => path.to_owned(),
        }
    }

    /// Remembers what a list said.
    pub(super) fn note(&mut self, asked: &str, status: StatusCode, whole: &Bytes) {
        let is_list = asked.contains("limit=") && status == StatusCode::OK;
        if let Some(memory) = self
            .memory
            .as_mut()
            .filter(|_| is_list && self.lagging.is_none())
        {
            memory.insert(asked.to_owned(), whole.clone());
        }
    }
}

fn json(status: StatusCode, body: Bytes) -> Response {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

/// Whether a path is that of all objects of a resource, in a namespace or everywhere.
fn is_of(path: &str, resource: &str) -> bool {
    path.rsplit('/').next() == Some(resource)
}

/// What the API server says to who asks for the next page of a list that it has forgotten.
const STALE_PAGE: &str = concat!(
    r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
    r#""message":"The provided continue parameter is too old","reason":"Expired","code":410}"#,
);

impl Proxy {
    /// From now on, refuses everything.
    pub fn refuse_everything(&self, refusal: Refusal) {
        let mut plan = self.shared.plan();
        plan.reading.asked.clear();
        plan.reading.refusal = Some(refusal);
    }

    /// From now on, requests of this method to a path with this end are never answered.
    pub fn swallow(&self, method: Method, end: &str) {
        let mut plan = self.shared.plan();
        plan.reading.silences = 0;
        plan.reading.swallowed = Some((method, end.to_owned()));
    }

    /// How many requests were not answered since [`Proxy::swallow`].
    pub fn silences(&self) -> usize {
        self.shared.plan().reading.silences
    }

    /// From now on, lists come in pages of this size, and so many requests for a next one are told that
    /// their token is too old (410).
    pub fn page(&self, size: usize, stale: usize) {
        let mut plan = self.shared.plan();
        plan.reading.page = Some(size);
        plan.reading.stale_pages = stale;
    }

    /// How many requests for a next page are still to be told that their token is too old.
    pub fn stale_pages(&self) -> usize {
        self.shared.plan().reading.stale_pages
    }

    /// From now on, remembers what lists say.
    pub fn remember(&self) {
        self.shared.plan().reading.memory = Some(BTreeMap::new());
    }

    /// The lists of a resource that are remembered: what was asked, and what was said.
    pub fn remembered(&self, resource: &str) -> Vec<(String, String)> {
        let plan = self.shared.plan();
        let lists = plan.reading.memory.iter().flatten();
        let path = |asked: &str| asked.split('?').next().unwrap_or_default().to_owned();
        let of_it = lists.filter(|(asked, _)| is_of(&path(asked), resource));
        of_it
            .map(|(asked, said)| (asked.clone(), String::from_utf8_lossy(said).into_owned()))
            .collect()
    }

    /// From now on, the first list of a resource is the one that is remembered, and its watches say nothing: as
    /// behind an API server whose cache lags.
    pub fn lag(&self, resource: &str) {
        self.shared.plan().reading.lagging = Some(resource.to_owned());
        self.hold_watches(resource);
    }

    /// Everything that was asked since [`Proxy::refuse_everything`] or [`Proxy::behave`], as
    /// `METHOD PATH?QUERY`, leases left out.
    pub fn asked(&self) -> Vec<String> {
        self.shared.plan().reading.asked.clone()
    }

    /// What is said of a resource is held up until [`Proxy::release_watches`].
    pub fn hold_watches(&self, resource: &str) {
        self.shared
            .watches
            .send_modify(|watches| watches.held.extend([resource.to_owned()]));
    }

    /// What was held up arrives.
    pub fn release_watches(&self) {
        self.shared
            .watches
            .send_modify(|watches| watches.held.clear());
    }

    /// From now on, every watch says everything twice.
    pub fn double_watches(&self) {
        self.shared
            .watches
            .send_modify(|watches| watches.doubled = true);
    }

    /// The watches that are open now stay open, and say nothing any more; those that are opened later do.
    pub fn silence_watches(&self) {
        self.shared
            .watches
            .send_modify(|watches| watches.silenced += 1);
    }

    /// Every open watch breaks off, and the next one of each kind is told that what it asks for is too
    /// old (410).
    pub fn expire_watches(&self) {
        self.shared.plan().expired = Some(std::collections::BTreeSet::new());
        self.cut_watches();
    }
}

/// The frames of one watch, whole.
pub(super) struct Frames {
    chunks: BoxStream<'static, reqwest::Result<Bytes>>,
    watches: watch::Receiver<Watches>,
    resource: String,
    /// What had happened when it was opened.
    cuts: u32,
    silenced: u32,
    /// The beginning of a frame.
    rest: Vec<u8>,
}

type Told = std::io::Result<Bytes>;

impl Frames {
    pub(super) fn of(
        answer: reqwest::Response,
        watches: watch::Receiver<Watches>,
        path: &str,
    ) -> Self {
        let (cuts, silenced) = {
            let watches = watches.borrow();
            (watches.cuts, watches.silenced)
        };
        Self {
            chunks: answer.bytes_stream().boxed(),
            watches,
            resource: path.rsplit('/').next().unwrap_or_default().to_owned(),
            cuts,
            silenced,
            rest: Vec::new(),
        }
    }

    /// The next frames, once nothing holds them up; nothing at the end.
    pub(super) async fn next(&mut self) -> Option<Told> {
        let whole = self.whole().await;
        let (cuts, silenced) = (self.cuts, self.silenced);
        let is_over = |watches: &Watches| watches.cuts > cuts;
        let may_pass = |watches: &Watches| {
            let is_silent = watches.silenced > silenced;
            let is_held = watches.frozen || is_silent || watches.held.contains(&self.resource);
            !is_held || is_over(watches)
        };
        // Invariant: the sender lives as long as the server that runs this.
        let now = self.watches.wait_for(may_pass).await.ok()?;
        let (is_over, is_doubled) = (is_over(&now), now.doubled);
        drop(now);
        if is_over {
            return Some(Err(std::io::Error::other("cut")));
        }
        let double = |frames: Bytes| {
            let lines = frames.split_inclusive(|byte| *byte == b'\n');
            let twice = lines.flat_map(|line| [line, line]);
            Bytes::from(twice.collect::<Vec<_>>().concat())
        };
        whole.map(|told| told.map(|frames| if is_doubled { double(frames) } else { frames }))
    }

    async fn whole(&mut self) -> Option<Told> {
        let cuts = self.cuts;
        loop {
            let is_cut = |watches: &Watches| watches.cuts > cuts;
            let chunk = tokio::select! {
                chunk = self.chunks.next() => chunk?,
                _ = self.watches.wait_for(is_cut) => return Some(Err(std::io::Error::other("cut"))),
            };
            match chunk {
                Ok(chunk) => self.rest.extend_from_slice(&chunk),
                Err(error) => return Some(Err(std::io::Error::other(error))),
            }
            if let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') {
                let rest = self.rest.split_off(end + 1);
                return Some(Ok(Bytes::from(std::mem::replace(&mut self.rest, rest))));
            }
        }
    }
}
