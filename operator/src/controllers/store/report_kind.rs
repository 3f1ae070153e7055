//! The kinds of reports that the cluster knows.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::api::ApiResource;
use tokio::time::Instant;

/// What was found when it was looked last.
#[derive(Debug, Default)]
pub struct ReportKind(Mutex<Option<Found>>);

/// The kinds, the one to write first, and when it was looked.
type Found = (Vec<ApiResource>, Instant);

/// How long it stands that the cluster knows none.
const NONE_STANDS: Duration = Duration::from_secs(20);

impl ReportKind {
    /// What was found, as long as that stands; `None`: it is to be looked again.
    pub fn found(&self, now: Instant) -> Option<Vec<ApiResource>> {
        let memory = self.memory();
        let (found, at) = memory.as_ref()?;
        let stands = !found.is_empty() || now.saturating_duration_since(*at) < NONE_STANDS;
        stands.then(|| found.clone())
    }

    /// Notes what was found.
    pub fn note(&self, found: Vec<ApiResource>, now: Instant) {
        *self.memory() = Some((found, now));
    }

    /// What was found need not be so any more.
    pub fn forget(&self) {
        *self.memory() = None;
    }

    fn memory(&self) -> MutexGuard<'_, Option<Found>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
