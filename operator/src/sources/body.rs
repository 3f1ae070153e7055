//! The body of an answer, never more of it than a limit.

use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use super::error::{Amount, FetchError, Part};
use super::network;

/// A body on its way.
pub(super) struct Body {
    deadline: Instant,
    part: Part,
    read: u64,
    response: Response,
    shown: String,
}

impl Body {
    pub(super) fn new(response: Response, part: Part, shown: String, deadline: Instant) -> Self {
        Self {
            deadline,
            part,
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
            .is_some_and(|announced| announced > limit)
        {
            return Err(self.too_large(limit));
        }
        let chunk = match timeout_at(self.deadline, self.response.chunk()).await {
            Ok(chunk) => chunk.map_err(|error| network::failure(&error, &self.shown))?,
            Err(_) => return Err(FetchError::Timeout(self.shown.clone())),
        };
        let Some(chunk) = chunk else { return Ok(None) };
        self.read += chunk.len() as u64;
        if self.read > limit {
            return Err(self.too_large(limit));
        }
        Ok(Some(chunk.to_vec()))
    }

    /// The whole body.
    pub(super) async fn read(mut self, limit: u64) -> Result<Vec<u8>, FetchError> {
        let mut bytes = Vec::new();
        while let Some(mut chunk) = self.next(limit).await? {
            bytes.append(&mut chunk);
        }
        Ok(bytes)
    }

    fn too_large(&self, limit: u64) -> FetchError {
        FetchError::TooLarge {
            limit: Amount::Bytes(limit),
            part: self.part,
            url: self.shown.clone(),
        }
    }
}
