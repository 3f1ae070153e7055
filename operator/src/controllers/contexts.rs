//! What runs in this process: all of the work, or the parts of it that this replica has taken.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::watch;
use tokio::time::Instant;

use super::context::Context;
use super::numbers::Numbers;
use crate::metrics::Metrics;

/// The parts of the work that run here, by the numbers of their ranges.
#[derive(Default)]
pub struct Contexts {
    all: RwLock<BTreeMap<usize, Part>>,
    /// Whether it is known which parts are ours.
    is_known: AtomicBool,
}

struct Part {
    context: Arc<Context>,
    is_ready: watch::Receiver<bool>,
}

impl Contexts {
    /// All of the work is one part.
    pub fn whole(context: Arc<Context>, is_ready: watch::Receiver<bool>) -> Self {
        let whole = Self::default();
        whole.put(0, context, is_ready);
        whole.known();
        whole
    }

    /// A part begins, and is ready when everything of it has been read once.
    pub fn put(&self, range: usize, context: Arc<Context>, is_ready: watch::Receiver<bool>) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(range, Part { context, is_ready });
    }

    /// A part has ended.
    pub fn remove(&self, range: usize) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.remove(&range);
    }

    /// It is known from now on which parts are ours; none is an answer.
    pub fn known(&self) {
        self.is_known.store(true, Ordering::SeqCst);
    }

    /// Whether everything that is ours has been read once.
    pub fn are_ready(&self) -> bool {
        self.is_known.load(Ordering::SeqCst) && self.read().values().all(|it| *it.is_ready.borrow())
    }

    /// Which queue of which part does not move any more, if one does not.
    pub fn stuck(&self, now: Instant) -> Option<String> {
        self.read()
            .values()
            .find_map(|part| part.context.stuck(now))
    }

    /// Numbers for the metrics of this moment.
    pub fn observe(&self, metrics: &Metrics) {
        let (mut sum, mut ranges) = (Numbers::default(), 0);
        for part in self.read().values() {
            sum.add(part.context.numbers());
            ranges += usize::from(part.context.share.is_some());
        }
        metrics.holds(ranges);
        sum.show(metrics);
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<usize, Part>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner)
    }
}
