//! The metrics, in the names of `charttrust_…` and the words of the vocabulary.

pub mod door;
mod policy;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use charttrust_verify::verdict::Verdict;
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub(crate) use self::policy::{PolicyNumbers, PolicyVerdict};
use crate::api::trusted_identity::TrustedIdentityStatus;
use crate::api::trusted_key::TrustedKeyStatus;
use crate::sources::Counts;

/// Every metric of the operator.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    releases: Family<ReleaseLabels, Gauge>,
    verifications: Family<VerificationLabels, Counter>,
    looks: Family<ResultLabels, Counter>,
    reconciliations: Family<ControllerLabels, Counter>,
    errors: Family<ControllerLabels, Counter>,
    durations: Family<ControllerLabels, Histogram>,
    source_requests: Family<SourceLabels, Counter>,
    downloads: Counter,
    key_states: Family<KeyStateLabels, Gauge>,
    key_releases: Family<KeyLabels, Gauge>,
    key_expiry: Family<KeyLabels, Gauge>,
    identity_states: Family<IdentityStateLabels, Gauge>,
    identity_releases: Family<IdentityLabels, Gauge>,
    identity_expiry: Family<IdentityLabels, Gauge>,
    last_verification: Family<PolicyLabels, Gauge>,
    policy_interval: Family<PolicyLabels, Gauge>,
    exception_expiry: Family<ExceptionLabels, Gauge>,
    sources_unavailable: Family<HostLabels, Gauge>,
    unaccounted: Family<NamespaceLabels, Gauge>,
    coverage: Family<PolicyLabels, Gauge<f64, AtomicU64>>,
    quarantined: Gauge,
    quarantines_awaiting: Gauge,
    quarantine_stopped: Family<PolicyLabels, Gauge>,
    events_dropped: Counter,
    leader: Gauge,
    shards: Gauge,
    webhook_certificate: Gauge,
    webhook_ready: Family<PolicyLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLabels {
    policy: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExceptionLabels {
    policy: String,
    exception: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NamespaceLabels {
    namespace: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HostLabels {
    host: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReleaseLabels {
    policy: String,
    namespace: String,
    verdict: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerificationLabels {
    result: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabels {
    controller: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    host: String,
    code_class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyLabels {
    key: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyStateLabels {
    key: String,
    state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IdentityLabels {
    identity: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IdentityStateLabels {
    identity: String,
    state: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self::unregistered();
        metrics.register();
        metrics.register_identities();
        metrics
    }
}

impl Metrics {
    fn unregistered() -> Self {
        Self {
            registry: Mutex::new(Registry::with_prefix("charttrust")),
            releases: Family::default(),
            verifications: Family::default(),
            looks: Family::default(),
            reconciliations: Family::default(),
            errors: Family::default(),
            durations: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 4.0, 8))
            }),
            source_requests: Family::default(),
            downloads: Counter::default(),
            key_states: Family::default(),
            key_releases: Family::default(),
            key_expiry: Family::default(),
            identity_states: Family::default(),
            identity_releases: Family::default(),
            identity_expiry: Family::default(),
            last_verification: Family::default(),
            policy_interval: Family::default(),
            exception_expiry: Family::default(),
            sources_unavailable: Family::default(),
            unaccounted: Family::default(),
            coverage: Family::default(),
            quarantined: Gauge::default(),
            quarantines_awaiting: Gauge::default(),
            quarantine_stopped: Family::default(),
            events_dropped: Counter::default(),
            leader: Gauge::default(),
            shards: Gauge::default(),
            webhook_certificate: Gauge::default(),
            webhook_ready: Family::default(),
        }
    }

    fn register(&self) {
        let Ok(mut registry) = self.registry.lock() else {
            return;
        };
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", build);
        registry.register("releases", "Releases by verdict", self.releases.clone());
        registry.register(
            "verifications",
            "Verdicts concluded",
            self.verifications.clone(),
        );
        registry.register("looks", "Looks at sources", self.looks.clone());
        registry.register(
            "reconciliations",
            "Reconciliations",
            self.reconciliations.clone(),
        );
        registry.register(
            "reconciliation_errors",
            "Failed reconciliations",
            self.errors.clone(),
        );
        registry.register_with_unit(
            "reconciliation_duration",
            "Time of a reconciliation",
            Unit::Seconds,
            self.durations.clone(),
        );
        let requests = self.source_requests.clone();
        registry.register("source_requests", "Requests to sources", requests);
        registry.register(
            "archive_downloads",
            "Archives downloaded",
            self.downloads.clone(),
        );
        registry.register(
            "events_dropped",
            "Events not written",
            self.events_dropped.clone(),
        );
        let leader = self.leader.clone();
        registry.register("leader", "Whether this replica judges and writes", leader);
        let shards = self.shards.clone();
        registry.register("shards_held", "Ranges that this replica holds", shards);
        registry.register(
            "webhook_certificate_expiry_timestamp_seconds",
            "End of the certificate that the webhook shows",
            self.webhook_certificate.clone(),
        );
        registry.register(
            "policy_webhook_ready",
            "Whether the webhook does what the mode of the policy says",
            self.webhook_ready.clone(),
        );
        self.register_keys(&mut registry);
        self.register_policies(&mut registry);
    }

    fn register_keys(&self, registry: &mut Registry) {
        registry.register(
            "trusted_key_state",
            "State of each key",
            self.key_states.clone(),
        );
        registry.register(
            "trusted_key_releases",
            "Releases by key",
            self.key_releases.clone(),
        );
        let expiry = self.key_expiry.clone();
        registry.register(
            "trusted_key_expiry_timestamp_seconds",
            "End of each key",
            expiry,
        );
    }

    fn register_policies(&self, registry: &mut Registry) {
        registry.register(
            "last_verification_timestamp_seconds",
            "Oldest last answer of a source about a release of the policy",
            self.last_verification.clone(),
        );
        registry.register(
            "policy_interval_seconds",
            "How often sources are looked at",
            self.policy_interval.clone(),
        );
        registry.register(
            "exception_expiry_timestamp_seconds",
            "End of each exception",
            self.exception_expiry.clone(),
        );
        registry.register(
            "sources_unavailable",
            "Sources on each host whose last look gave no answer",
            self.sources_unavailable.clone(),
        );
        registry.register(
            "unaccounted_workloads",
            "Workloads that carry the marks of a release of which there is no record",
            self.unaccounted.clone(),
        );
        registry.register(
            "coverage_ratio",
            "Share of the trusted in all releases of the policy and those without a record",
            self.coverage.clone(),
        );
        registry.register(
            "quarantined_releases",
            "Releases that are contained",
            self.quarantined.clone(),
        );
        registry.register(
            "quarantine_awaiting_approval_releases",
            "Contained releases of which something runs on until a person approves that it is stopped",
            self.quarantines_awaiting.clone(),
        );
        registry.register(
            "quarantine_stopped_releases",
            "Releases that are due to be contained and do not fit the limit of the policy",
            self.quarantine_stopped.clone(),
        );
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Ok(registry) = self.registry.lock() {
            // Invariant: writing to a String does not fail.
            let _ = encode(&mut text, &registry);
        }
        text
    }

    /// A reconciliation ended.
    pub(crate) fn reconciled<T, E>(
        &self,
        controller: &'static str,
        result: &Result<T, E>,
        took: Duration,
    ) {
        let labels = ControllerLabels { controller };
        self.reconciliations.get_or_create(&labels).inc();
        self.durations
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        if result.is_err() {
            self.errors.get_or_create(&labels).inc();
        }
    }

    /// The webhook shows a certificate that ends then.
    pub(crate) fn webhook_certificate(&self, end: Timestamp) {
        self.webhook_certificate.set(end.as_second());
    }

    /// A verdict was concluded that differs from the one before.
    pub(crate) fn judged(&self, verdict: Verdict) {
        let labels = VerificationLabels {
            result: result(verdict),
            reason: verdict.word(),
        };
        self.verifications.get_or_create(&labels).inc();
    }

    /// A source has answered.
    pub(crate) fn poll_answered(&self) {
        let result = "success";
        self.looks.get_or_create(&ResultLabels { result }).inc();
    }

    /// A source, or a part of it, gave no answer.
    pub(crate) fn poll_failed(&self) {
        let result = "failure";
        self.looks.get_or_create(&ResultLabels { result }).inc();
    }

    /// An event could not be written.
    pub(crate) fn event_dropped(&self) {
        self.events_dropped.inc();
    }

    /// How many workloads without a record each namespace has.
    pub(crate) fn unaccounted(&self, namespaces: &BTreeMap<String, usize>) {
        self.unaccounted.clear();
        for (namespace, workloads) in namespaces {
            let namespace = namespace.clone();
            let labels = NamespaceLabels { namespace };
            let workloads = i64::try_from(*workloads).unwrap_or(i64::MAX);
            self.unaccounted.get_or_create(&labels).set(workloads);
        }
    }

    /// How many releases are contained.
    pub(crate) fn quarantined(&self, number: usize) {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        self.quarantined.set(number);
    }

    /// How many releases wait for a person, of those that are contained.
    pub(crate) fn quarantines_awaiting(&self, number: usize) {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        self.quarantines_awaiting.set(number);
    }

    /// This replica leads.
    pub(crate) fn leads(&self) {
        self.leader.set(1);
    }

    /// This replica stands by.
    pub(crate) fn stands_by(&self) {
        self.leader.set(0);
    }

    /// This replica holds so many ranges of the namespaces.
    pub(crate) fn holds(&self, shards: usize) {
        self.shards.set(i64::try_from(shards).unwrap_or(i64::MAX));
    }

    /// Takes the numbers of this moment.
    pub(crate) fn observe(
        &self,
        verdicts: impl IntoIterator<Item = PolicyVerdict>,
        keys: &[(String, TrustedKeyStatus)],
        counts: &Counts,
    ) {
        self.releases.clear();
        for PolicyVerdict {
            policy,
            namespace,
            verdict,
        } in verdicts
        {
            let (reason, verdict) = (verdict.word(), result(verdict));
            let labels = ReleaseLabels {
                policy,
                namespace,
                verdict,
                reason,
            };
            self.releases.get_or_create(&labels).inc();
        }
        self.observe_keys(keys);
        self.observe_sources(counts);
    }

    /// Takes the numbers of policies, and of sources by host, of this moment.
    pub(crate) fn observe_policies(
        &self,
        policies: Vec<PolicyNumbers>,
        hosts: BTreeMap<String, usize>,
    ) {
        self.last_verification.clear();
        self.policy_interval.clear();
        self.exception_expiry.clear();
        self.quarantine_stopped.clear();
        self.coverage.clear();
        self.webhook_ready.clear();
        self.sources_unavailable.clear();
        for PolicyNumbers {
            policy,
            interval,
            oldest_answer,
            exceptions,
            stopped,
            coverage,
            webhook_ready,
        } in policies
        {
            let labels = PolicyLabels {
                policy: policy.clone(),
            };
            let seconds = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX);
            self.policy_interval.get_or_create(&labels).set(seconds);
            if let Some(at) = oldest_answer {
                let last = self.last_verification.get_or_create(&labels);
                last.set(at.as_second());
            }
            if let Some(share) = coverage {
                self.coverage.get_or_create(&labels).set(share);
            }
            if let Some(is_ready) = webhook_ready {
                let ready = self.webhook_ready.get_or_create(&labels);
                ready.set(i64::from(is_ready));
            }
            let due = self.quarantine_stopped.get_or_create(&labels);
            due.set(i64::try_from(stopped).unwrap_or(i64::MAX));
            for (exception, end) in exceptions {
                let policy = policy.clone();
                let labels = ExceptionLabels { policy, exception };
                let expiry = self.exception_expiry.get_or_create(&labels);
                expiry.set(end.as_second());
            }
        }
        for (host, silent) in hosts {
            let silent = i64::try_from(silent).unwrap_or(i64::MAX);
            self.sources_unavailable
                .get_or_create(&HostLabels { host })
                .set(silent);
        }
    }

    fn register_identities(&self) {
        let Ok(mut registry) = self.registry.lock() else {
            return;
        };
        registry.register(
            "trusted_identity_state",
            "State of each identity",
            self.identity_states.clone(),
        );
        registry.register(
            "trusted_identity_releases",
            "Releases by identity",
            self.identity_releases.clone(),
        );
        registry.register(
            "trusted_identity_expiry_timestamp_seconds",
            "End of each identity",
            self.identity_expiry.clone(),
        );
    }

    /// Takes the numbers of identities of this moment.
    pub(crate) fn observe_identities(&self, identities: &[(String, TrustedIdentityStatus)]) {
        self.identity_states.clear();
        self.identity_releases.clear();
        self.identity_expiry.clear();
        for (name, status) in identities {
            let identity = name.clone();
            let labels = IdentityLabels { identity };
            let releases = self.identity_releases.get_or_create(&labels);
            releases.set(i64::from(status.releases));
            if let Some(expires) = &status.expires {
                let expiry = self.identity_expiry.get_or_create(&labels);
                expiry.set(expires.0.as_second());
            }
            if let Some(state) = status.state {
                let state = IdentityStateLabels {
                    identity: labels.identity,
                    state: format!("{state:?}"),
                };
                self.identity_states.get_or_create(&state).set(1);
            }
        }
    }

    fn observe_keys(&self, keys: &[(String, TrustedKeyStatus)]) {
        self.key_states.clear();
        self.key_releases.clear();
        self.key_expiry.clear();
        for (key, status) in keys {
            let labels = KeyLabels { key: key.clone() };
            self.key_releases
                .get_or_create(&labels)
                .set(i64::from(status.releases));
            if let Some(expires) = &status.expires {
                self.key_expiry
                    .get_or_create(&labels)
                    .set(expires.0.as_second());
            }
            if let Some(state) = status.state {
                let state = KeyStateLabels {
                    key: key.clone(),
                    state: format!("{state:?}"),
                };
                self.key_states.get_or_create(&state).set(1);
            }
        }
    }

    fn observe_sources(&self, counts: &Counts) {
        raise(&self.downloads, counts.downloads);
        for ((host, class), number) in &counts.requests {
            let labels = SourceLabels {
                host: host.clone(),
                code_class: class.as_str(),
            };
            raise(&self.source_requests.get_or_create(&labels), *number);
        }
    }
}

/// Counters only grow, so one that is kept elsewhere is caught up with.
fn raise(counter: &Counter, number: u64) {
    counter.inc_by(number.saturating_sub(counter.get()));
}

fn result(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Trusted(_) => "trusted",
        Verdict::Unknown(_) => "unknown",
        Verdict::Untrusted(_) => "untrusted",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use charttrust_verify::verdict::Cause;
    use jiff::Timestamp;

    use super::*;
    use crate::api::time;
    use crate::api::trusted_key::KeyState;
    use crate::sources::CodeClass;

    /// Metrics of which each has a sample.
    fn used() -> Metrics {
        let metrics = Metrics::default();
        metrics.reconciled("key", &Err::<(), _>(()), Duration::from_secs(1));
        metrics.judged(Verdict::Unknown(Cause::Pending));
        metrics.poll_answered();
        metrics.holds(2);
        metrics.event_dropped();
        let verdict = PolicyVerdict {
            policy: "policy".into(),
            namespace: "shop".into(),
            verdict: Verdict::Unknown(Cause::Pending),
        };
        let status = TrustedKeyStatus {
            state: Some(KeyState::Active),
            expires: Some(time(Timestamp::UNIX_EPOCH)),
            ..TrustedKeyStatus::default()
        };
        let counts = Counts {
            downloads: 1,
            requests: BTreeMap::from([(("host".to_owned(), CodeClass::Success), 1)]),
        };
        let identity = TrustedIdentityStatus {
            state: Some(KeyState::Active),
            expires: Some(time(Timestamp::UNIX_EPOCH)),
            ..TrustedIdentityStatus::default()
        };
        metrics.observe([verdict], &[("key".to_owned(), status)], &counts);
        metrics.observe_identities(&[("charts-release".to_owned(), identity)]);
        let numbers = PolicyNumbers {
            policy: "policy".into(),
            interval: Duration::from_secs(3600),
            oldest_answer: Some(Timestamp::UNIX_EPOCH),
            exceptions: vec![("hotfix".to_owned(), Timestamp::UNIX_EPOCH)],
            stopped: 0,
            coverage: Some(0.5),
            webhook_ready: Some(true),
        };
        metrics.unaccounted(&BTreeMap::from([("shop".to_owned(), 1)]));
        let hosts = BTreeMap::from([("charts.example.com".to_owned(), 1)]);
        metrics.observe_policies(vec![numbers], hosts);
        metrics
    }

    fn names(text: &str) -> BTreeSet<&str> {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let names = samples.filter_map(|line| line.split(['{', ' ']).next());
        names
            .map(|name| {
                let ends = ["_bucket", "_sum", "_count"];
                let end = ends.iter().find_map(|end| name.strip_suffix(end));
                end.unwrap_or(name)
            })
            .collect()
    }

    #[test]
    fn the_documents_list_exactly_the_metrics_that_there_are() {
        let page = include_str!("../../docs/metrics.md");
        let of_door = door::Numbers::default();
        of_door.answered(door::Fate::Allowed, Duration::from_millis(1));
        let text = used().text() + &of_door.text(None);
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        let rows = rows.filter(|row| row.starts_with("charttrust_"));
        let listed: BTreeSet<_> = rows.filter_map(|row| row.split('`').next()).collect();
        assert_eq!(listed, names(&text));
        let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
        for mention in page.split("charttrust_").skip(1) {
            let end = mention.find(|c| !is_part(c)).unwrap_or(mention.len());
            let name = format!("charttrust_{}", &mention[..end]);
            // What kube-state-metrics is told to count begins so.
            let is_of_objects = name.starts_with("charttrust_object");
            let is_known = end == 0 || is_of_objects || listed.contains(name.as_str());
            assert!(is_known, "{name}");
        }
    }
}
