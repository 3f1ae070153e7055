//! The body of an answer, never more of it than a limit.

use std::time::Duration;

use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use super::error::{Amount, FetchError, Part};
use super::large::{self, Place};
use super::network;

/// How long an answer is waited for.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// All of it.
    pub(super) deadline: Instant,
    /// Its next piece. Not the client's own time limit: that runs on while we do not read.
    pub(super) idle: Duration,
    /// The rest of a large one, while others wait: what its source takes, not what we do with it.
    pub(super) turn: Duration,
}

/// A body on its way.
pub(super) struct Body {
    /// What came first of it, for whoever has to know what a body is that is too large.
    beginning: Vec<u8>,
    part: Part,
    /// One of few, once it is large.
    place: Option<Place>,
    patience: Patience,
    read: u64,
    response: Response,
    shown: String,
}

impl Body {
    pub(super) fn new(response: Response, part: Part, shown: String, patience: Patience) -> Self {
        Self {
            beginning: Vec::new(),
            part,
            place: None,
            patience,
            read: 0,
            response,
            shown,
        }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// More than `limit` bytes announced or sent, silence, a broken connection.
    pub(super) async fn next(&mut self, limit: u64) -> Result<Option<Vec<u8>>, FetchError> {
        if self
            .response
            .content_length()
            // What is announced is only good for refusing early; what arrives is counted all the
            // same.
            .is_some_and(|announced| announced > limit)
        {
            return Err(self.too_large(limit));
        }
        let Some(chunk) = self.chunk().await? else {
            return Ok(None);
        };
        self.read += chunk.len() as u64;
        if self.read > limit {
            return Err(self.too_large(limit));
        }
        if self.read > large::few_bytes(self.part) && self.place.is_none() {
            let begun = Instant::now();
            self.place = large::place().await;
            // The source has kept nobody waiting.
            self.patience.deadline += begun.elapsed();
        }
        Ok(Some(chunk))
    }

    /// The place that it has as a large one, for whoever still holds what was read of it.
    pub(super) fn take_place(&mut self) -> Option<Place> {
        self.place.take()
    }

    /// The first bytes, as far as one piece has them, also of a body that announces too many.
    pub(super) async fn beginning(&mut self) -> &[u8] {
        if self.beginning.is_empty() {
            // What cannot be read has no beginning.
            let _ = self.chunk().await;
        }
        &self.beginning
    }

    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, FetchError> {
        let (begun, until) = (Instant::now(), self.patience.next_piece());
        let chunk = tokio::select! {
            biased;
            () = large::is_wanted_back(self.place.as_ref(), self.patience.turn) => None,
            chunk = timeout_at(until, self.response.chunk()) => chunk.ok(),
        };
        if self.place.is_some() {
            let left = self.patience.turn.saturating_sub(begun.elapsed());
            self.patience.turn = left;
        }
        let Some(chunk) = chunk else {
            return Err(FetchError::Timeout(self.shown.clone()));
        };
        let chunk = chunk.map_err(|error| network::failure(&error, &self.shown))?;
        let Some(chunk) = chunk else { return Ok(None) };
        if self.beginning.is_empty() {
            self.beginning.extend(chunk.iter().take(BEGINNING));
        }
        Ok(Some(chunk.to_vec()))
    }

    /// The whole body.
    pub(super) async fn read(&mut self, limit: u64) -> Result<Vec<u8>, FetchError> {
        let mut bytes = Vec::new();
        while let Some(mut chunk) = self.next(limit).await? {
            if self.place.is_some() {
                // At once, where it would double again and again. What is announced is within the limit.
                let announced = self.response.content_length().unwrap_or_default();
                let announced = usize::try_from(announced).unwrap_or_default();
                bytes.reserve_exact(announced.saturating_sub(bytes.len()));
            }
            bytes.append(&mut chunk);
        }
        Ok(bytes)
    }

    /// The whole body, if it has this size: neither the end of the connection nor the length that a
    /// registry or a proxy announces says so.
    pub(super) async fn read_exactly(&mut self, size: u64) -> Result<Vec<u8>, FetchError> {
        let (part, url) = (self.part, self.shown.clone());
        let unusable = |why: &str| FetchError::Unusable {
            part,
            url,
            why: why.to_owned(),
        };
        match self.read(size).await {
            Err(FetchError::TooLarge { .. }) => {
                Err(unusable("it is longer than its manifest says"))
            }
            Ok(bytes) if (bytes.len() as u64) < size => {
                Err(unusable("it is shorter than its manifest says"))
            }
            read => read,
        }
    }

    fn too_large(&self, limit: u64) -> FetchError {
        FetchError::TooLarge {
            limit: Amount::Bytes(limit),
            part: self.part,
            url: self.shown.clone(),
        }
    }
}

impl Patience {
    /// Until when the next piece of an answer, or its head, is waited for.
    pub(super) fn next_piece(&self) -> Instant {
        self.deadline.min(Instant::now() + self.idle)
    }
}

/// Bytes that tell a page, JSON or an index from anything else.
const BEGINNING: usize = 1024;
