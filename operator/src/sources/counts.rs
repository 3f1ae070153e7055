//! Requests made, for the metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CodeClass {
    /// 1xx or a code outside of HTTP.
    Other,
    /// 2xx.
    Success,
    /// 3xx, which includes answers to conditional requests.
    Redirect,
    /// 4xx.
    ClientError,
    /// 5xx.
    ServerError,
    /// No answer.
    Failed,
}

impl CodeClass {
    /// The label of the metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Success => "2xx",
            Self::Redirect => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::Failed => "error",
        }
    }

    pub(super) fn of(code: u16) -> Self {
        match code {
            200..=299 => Self::Success,
            300..=399 => Self::Redirect,
            400..=499 => Self::ClientError,
            500..=599 => Self::ServerError,
            _ => Self::Other,
        }
    }
}

/// Requests by host and outcome, and archives downloaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Chart archives read to their end.
    pub downloads: u64,
    /// Requests by host label and outcome. Hosts that are no configured source are `other`.
    pub requests: BTreeMap<(String, CodeClass), u64>,
}

/// Counters shared by all requests.
#[derive(Default)]
pub(super) struct Counters(Mutex<Counts>);

impl Counters {
    /// Counts one request to `host` on behalf of the source at `configured`.
    pub(super) fn request(&self, configured: Option<&str>, host: Option<&str>, class: CodeClass) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = host.filter(|_| host == configured);
        let known = |host: &str| counts.requests.keys().any(|(known, _)| known == host);
        let label = own
            .filter(|host| counts.requests.len() < MOST_LABELS || known(host))
            .unwrap_or(OTHER);
        let label = label.to_owned();
        *counts.requests.entry((label, class)).or_default() += 1;
    }

    pub(super) fn download(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .downloads += 1;
    }

    pub(super) fn now(&self) -> Counts {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

const OTHER: &str = "other";

/// Pairs of host and outcome after which new hosts are counted as `other`.
const MOST_LABELS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_not_configured_are_counted_together() {
        let counters = Counters::default();
        counters.request(Some("a"), Some("a"), CodeClass::of(200));
        counters.request(Some("a"), Some("cdn-1"), CodeClass::of(404));
        counters.request(Some("a"), Some("cdn-2"), CodeClass::of(404));
        let requests = counters.now().requests;
        assert_eq!(
            requests.get(&("a".to_owned(), CodeClass::Success)),
            Some(&1)
        );
        assert_eq!(
            requests.get(&("other".to_owned(), CodeClass::ClientError)),
            Some(&2)
        );
        assert_eq!(requests.len(), 2);
    }

    #[test]
    fn the_number_of_labels_is_bounded() {
        let counters = Counters::default();
        for host in 0..=MOST_LABELS {
            let host = format!("host-{host}");
            counters.request(Some(&host), Some(&host), CodeClass::Success);
        }
        assert_eq!(counters.now().requests.len(), MOST_LABELS + 1);
        assert_eq!(
            counters
                .now()
                .requests
                .get(&("other".to_owned(), CodeClass::Success)),
            Some(&1)
        );
    }

    #[test]
    fn each_code_has_its_class() {
        let words = [199, 200, 299, 300, 304, 400, 499, 500, 599, 600]
            .map(|code| CodeClass::of(code).as_str());
        assert_eq!(
            words,
            [
                "other", "2xx", "2xx", "3xx", "3xx", "4xx", "4xx", "5xx", "5xx", "other"
            ]
        );
    }
}
