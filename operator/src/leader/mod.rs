//! Of several replicas, one leads: it judges and writes, the others watch and wait.
//!
//! Reads and writes one Lease of the operator's namespace. Everything else that this process
//! writes passes [`Mandate::guard`], which lets nothing through once the lease may be somebody
//! else's. What was sent just before carries a precondition, so a late write is harmless.

pub mod elector;

use std::future::Future;
use std::time::Duration;

use aws_lc_rs::rand;
use axum::http::Request;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{ObjectMeta, PostParams};
use kube::client::{Body, ClientBuilder};
use kube::{Api, Client, Config};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::filter::FilterLayer;

pub use elector::Loss;

use crate::clock;
use elector::{Action, Elector, Observation};

/// The Lease in the operator's namespace.
pub const LEASE: &str = "charttrust";

/// Whether this process may write.
#[derive(Clone, Debug)]
pub enum Mandate {
    /// It runs alone, and always may.
    Alone,
    /// It may until the instant, if any, that its candidate last heard of.
    Elected(watch::Receiver<Option<Instant>>),
}

impl Mandate {
    /// Whether it may write at this moment.
    pub fn is_held(&self) -> bool {
        match self {
            Self::Alone => true,
            Self::Elected(until) => until.borrow().is_some_and(|until| Instant::now() < until),
        }
    }

    /// Waits until it may write. A mandate that was lost is never given again: the process ends.
    pub async fn granted(&self) {
        if let Self::Elected(until) = self {
            let mut until = until.clone();
            if until.wait_for(Option::is_some).await.is_err() {
                // The candidate is gone without having been elected: nothing may ever be written.
                std::future::pending::<()>().await;
            }
        }
    }

    /// A client that sends writes only while the mandate is held.
    ///
    /// # Errors
    /// If the configuration cannot be used.
    pub fn guard(&self, config: Config) -> kube::Result<Client> {
        let mandate = self.clone();
        let gate = move |request: Request<Body>| {
            if request.method().is_safe() || mandate.is_held() {
                Ok(request)
            } else {
                Err(NotLeading)
            }
        };
        let builder = ClientBuilder::try_from(config)?;
        Ok(builder.with_layer(&FilterLayer::new(gate)).build())
    }
}

/// A write was held back.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this replica does not lead")]
struct NotLeading;

/// A name for this process that no other ever has: that of its Pod, and chance.
///
/// # Errors
/// If the system gives no randomness.
pub fn identity(pod: &str) -> Result<String, aws_lc_rs::error::Unspecified> {
    let mut chance = [0; 8];
    rand::fill(&mut chance)?;
    Ok(format!("{pod}_{:016x}", u64::from_be_bytes(chance)))
}

/// A replica that wants to lead.
pub struct Candidate {
    leases: Api<Lease>,
    elector: Elector,
    mandate: watch::Sender<Option<Instant>>,
    /// Who held the lease when it was last told.
    told: Option<String>,
}

impl Candidate {
    /// A candidate of this identity for the lease of a namespace, and the mandate it may win.
    ///
    /// # Errors
    /// If the configuration cannot be used.
    pub fn new(
        mut config: Config,
        namespace: &str,
        identity: String,
    ) -> kube::Result<(Self, Mandate)> {
        // A renewal that comes late is worth nothing, so nothing is repeated behind our back.
        config.default_retry = false;
        let (mandate, until) = watch::channel(None);
        let candidate = Self {
            leases: Api::namespaced(Client::try_from(config)?, namespace),
            elector: Elector::new(identity),
            mandate,
            told: None,
        };
        Ok((candidate, Mandate::Elected(until)))
    }

    /// Wins the lease and keeps it until `retired` turns true, then releases it.
    ///
    /// # Errors
    /// The loss of the lease, after which this process must not write and should end.
    pub async fn campaign(mut self, mut retired: watch::Receiver<bool>) -> Result<(), Loss> {
        loop {
            let pause = self.look().await?;
            // Invariant: an error means that the sender is gone, which is as good as its word.
            let retires = retired.wait_for(|retired| *retired);
            if tokio::time::timeout(pause, retires).await.is_ok() {
                self.release().await;
                return Ok(());
            }
        }
    }

    /// One look at the lease and what follows from it; tells how long to wait for the next.
    async fn look(&mut self) -> Result<Duration, Loss> {
        let (observed, lease) = self.read().await;
        if let Observation::Present(spec) = &observed {
            self.tell(spec);
        }
        match self.elector.step(observed, Instant::now(), clock::now()) {
            Action::Create(spec) => self.create(spec).await,
            Action::Replace(spec) => self.replace(lease.unwrap_or_default(), spec).await,
            Action::Resign(loss) => {
                self.mandate.send_replace(None);
                return Err(loss);
            }
            Action::Wait => {}
        }
        Ok(self.elector.pause(Instant::now()))
    }

    async fn read(&self) -> (Observation, Option<Lease>) {
        match self.in_time(self.leases.get_opt(LEASE)).await {
            Ok(None) => (Observation::Absent, None),
            Ok(Some(lease)) => {
                let spec = lease.spec.clone().unwrap_or_default();
                (Observation::Present(spec), Some(lease))
            }
            Err(error) => {
                warn("read", &error);
                (Observation::Unanswered, None)
            }
        }
    }

    async fn create(&mut self, spec: LeaseSpec) {
        let metadata = ObjectMeta {
            name: Some(LEASE.to_owned()),
            ..ObjectMeta::default()
        };
        let lease = Lease {
            metadata,
            spec: Some(spec),
        };
        let sent = Instant::now();
        let parameters = parameters();
        let create = self.leases.create(&parameters, &lease);
        let written = self.in_time(create).await;
        self.note(written, sent);
    }

    /// The object still has the resource version that was read, so a change in between is a refusal.
    async fn replace(&mut self, mut lease: Lease, spec: LeaseSpec) {
        lease.spec = Some(spec);
        lease.metadata.managed_fields = None;
        let sent = Instant::now();
        let parameters = parameters();
        let replace = self.leases.replace(LEASE, &parameters, &lease);
        let written = self.in_time(replace).await;
        self.note(written, sent);
    }

    fn note(&mut self, written: kube::Result<Lease>, sent: Instant) {
        match written {
            Ok(lease) => {
                self.elector.wrote(sent);
                self.mandate.send_replace(self.elector.mandate());
                self.tell(&lease.spec.unwrap_or_default());
            }
            Err(kube::Error::Api(status)) if is_lost_race(&status) => {}
            Err(error) => warn("write", &error),
        }
    }

    /// Gives the lease away, so that another replica need not wait for its end.
    async fn release(&mut self) {
        self.mandate.send_replace(None);
        let (_, lease) = self.read().await;
        let Some(mut lease) = lease else { return };
        let spec = lease.spec.take().unwrap_or_default();
        let Some(spec) = self.elector.release(&spec) else {
            return;
        };
        lease.spec = Some(spec);
        lease.metadata.managed_fields = None;
        match self
            .in_time(self.leases.replace(LEASE, &parameters(), &lease))
            .await
        {
            Ok(_) => tracing::info!("the lease was released"),
            Err(error) => warn("release", &error),
        }
    }

    /// Bounds a request, so that the end of the mandate is never slept through.
    async fn in_time<T>(&self, request: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
        let patience = Instant::now() + REQUEST_DEADLINE;
        let until = self.elector.mandate().map_or(patience, |m| m.min(patience));
        let answer = tokio::time::timeout_at(until, request).await;
        answer.unwrap_or_else(|_| Err(kube::Error::Service("no answer in time".into())))
    }

    fn tell(&mut self, spec: &LeaseSpec) {
        if self.told == spec.holder_identity {
            return;
        }
        self.told.clone_from(&spec.holder_identity);
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        tracing::info!(
            holder,
            ours = self.mandate.borrow().is_some(),
            "the lease has another holder"
        );
    }
}

/// Another replica was faster, which the next look shows.
fn is_lost_race(status: &kube::core::Status) -> bool {
    status.is_conflict() || status.is_already_exists()
}

fn warn(what: &str, error: &kube::Error) {
    tracing::warn!(
        lease = LEASE,
        error = error as &dyn std::error::Error,
        "failed to {what} the lease; without it nothing is judged"
    );
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some("charttrust".to_owned()),
        ..PostParams::default()
    }
}

/// Longest wait for one answer about the lease.
const REQUEST_DEADLINE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use kube::api::{DeleteParams, Patch, PatchParams};
    use wiremock::matchers::any;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::elector::RENEW_DEADLINE;
    use super::*;

    #[test]
    fn two_processes_of_one_pod_have_two_identities() {
        let [one, two] = [(), ()].map(|()| identity("charttrust-0").unwrap());
        assert!(one.starts_with("charttrust-0_"), "{one}");
        assert_ne!(one, two);
    }

    #[tokio::test]
    async fn without_a_mandate_reads_pass_and_writes_are_held_back() {
        let server = MockServer::start().await;
        let lease = serde_json::json!({"metadata": {"name": LEASE}});
        let answer = ResponseTemplate::new(200).set_body_json(lease);
        Mock::given(any()).respond_with(answer).mount(&server).await;
        let (sender, until) = watch::channel(None);
        let config = Config::new(server.uri().parse().unwrap());
        let client = Mandate::Elected(until).guard(config).unwrap();
        let leases = Api::<Lease>::namespaced(client, "charttrust-system");
        let reached = async || server.received_requests().await.unwrap().len();

        leases.get(LEASE).await.unwrap();
        assert_eq!(reached().await, 1);
        let (post, patch) = (PostParams::default(), PatchParams::default());
        let (lease, change) = (Lease::default(), Patch::Merge(serde_json::json!({})));
        leases.create(&post, &lease).await.unwrap_err();
        leases.replace(LEASE, &post, &lease).await.unwrap_err();
        leases.patch(LEASE, &patch, &change).await.unwrap_err();
        let refused = leases.delete(LEASE, &DeleteParams::default()).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("does not lead"), "{refused}");
        assert_eq!(reached().await, 1);

        sender.send_replace(Some(Instant::now() + RENEW_DEADLINE));
        leases.create(&post, &lease).await.unwrap();
        assert_eq!(reached().await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_mandate_ends_by_itself() {
        let (sender, until) = watch::channel(None);
        let mandate = Mandate::Elected(until);
        assert!(!mandate.is_held());
        sender.send_replace(Some(Instant::now() + RENEW_DEADLINE));
        assert!(mandate.is_held());
        tokio::time::advance(RENEW_DEADLINE).await;
        assert!(!mandate.is_held());
        assert!(Mandate::Alone.is_held());
    }
}
