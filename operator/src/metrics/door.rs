//! What the door counts.

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Every metric of the door.
#[derive(Debug)]
pub struct Numbers {
    registry: Mutex<Registry>,
    reviews: Family<Labels, Counter>,
    durations: Histogram,
    break_glass: Gauge,
}

/// What became of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing is against the record.
    Allowed,
    /// It is not created.
    Denied,
    /// There is no answer.
    Failed,
    /// It was about no record.
    Passed,
    /// It is created, and somebody is warned.
    Warned,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    result: &'static str,
}

impl Default for Numbers {
    fn default() -> Self {
        let reviews = Family::<Labels, Counter>::default();
        let durations = Histogram::new(exponential_buckets(0.0005, 2.0, 14));
        let break_glass = Gauge::default();
        let mut registry = Registry::with_prefix("charttrust");
        registry.register(
            "admission_reviews",
            "Reviews by what became of them",
            reviews.clone(),
        );
        registry.register_with_unit(
            "admission_duration",
            "Time of a review",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register(
            "admission_break_glass",
            "Whether everything is let in",
            break_glass.clone(),
        );
        Self {
            registry: Mutex::new(registry),
            reviews,
            durations,
            break_glass,
        }
    }
}

impl Numbers {
    /// A review was answered.
    pub fn answered(&self, fate: Fate, took: Duration) {
        let result = fate.word();
        self.reviews.get_or_create(&Labels { result }).inc();
        self.durations.observe(took.as_secs_f64());
    }

    /// The text that Prometheus reads; everything is let in until then, if it is.
    pub fn text(&self, broken_until: Option<Timestamp>) -> String {
        self.break_glass.set(i64::from(broken_until.is_some()));
        let mut text = String::new();
        if let Ok(registry) = self.registry.lock() {
            // Invariant: writing to a String does not fail.
            let _ = encode(&mut text, &registry);
        }
        text
    }
}

impl Fate {
    fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Passed => "passed",
            Self::Warned => "warned",
        }
    }
}
