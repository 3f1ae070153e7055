//! Whether an operator leads now, and whether it has read what is declared: verdicts that nobody keeps
//! up to date are no answer. Reads only.

use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, ResourceExt as _};

use super::cluster::{Failure, all, chain, identities};
use super::screen::{plain, tell};
use super::{TRUSTED, UNKNOWN};
use crate::api::{ChartTrustPolicy, TrustedKey};
use crate::clock;
use crate::leader::LEASE;

/// Where the operator is.
#[derive(Args, Clone, Debug)]
pub struct Operator {
    /// The operator's own namespace, in which its Lease lies.
    #[arg(long, value_name = "NAMESPACE", default_value = NAMESPACE)]
    pub operator_namespace: String,
}

impl Operator {
    /// The Lease of the operator, or why there is none to be seen.
    pub(super) async fn lease(&self, client: &Client) -> Result<Lease, String> {
        let namespace = &self.operator_namespace;
        let leases = Api::<Lease>::namespaced(client.clone(), namespace);
        match leases.get_opt(LEASE).await {
            Ok(Some(lease)) => Ok(lease),
            Ok(None) => Err(format!(
                "there is no Lease {LEASE} in namespace {namespace}: name the operator's namespace with \
                 --operator-namespace, unless it runs with --no-leader-election"
            )),
            Err(error) => Err(chain(&error)),
        }
    }
}

/// What is known of the operator.
#[derive(Debug, Eq, PartialEq)]
enum Leading {
    /// A replica renews the lease.
    Somebody,
    /// Nobody does: since when, if that is known.
    Nobody(Option<Timestamp>),
    /// It could not be found out; why.
    NotChecked(String),
}

/// What speaks against verdicts being those of now.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubts {
    /// What could not be found out, and why.
    pub(super) not_checked: Vec<String>,
    /// What makes them old.
    pub(super) old: Vec<String>,
}

/// Says what makes verdicts old, and gives the exit code: that of the verdicts, or worse.
pub(super) async fn checked(client: &Client, operator: &Operator, verdicts: u8) -> u8 {
    doubts(client, operator).await.told(verdicts)
}

/// Looks for what speaks against verdicts being those of now.
pub(super) async fn doubts(client: &Client, operator: &Operator) -> Doubts {
    let mut doubts = Doubts::default();
    match leading(client, operator).await {
        Leading::Somebody => {}
        Leading::Nobody(since) => doubts.old.push(nobody(since, &operator.operator_namespace)),
        Leading::NotChecked(why) => doubts
            .not_checked
            .push(format!("not checked whether an operator leads: {why}")),
    }
    match unread_for_long(client).await {
        Ok(unread) => doubts.old.extend(unread),
        Err(error) => doubts.not_checked.push(format!(
            "not checked whether keys and policies were read: {error}"
        )),
    }
    doubts
}

impl Doubts {
    /// Says them on standard error, and gives the exit code: that of the verdicts, or worse.
    pub(super) fn told(&self, verdicts: u8) -> u8 {
        for doubt in self.not_checked.iter().chain(&self.old) {
            tell(&format!("{}\n", plain(doubt)));
        }
        match verdicts {
            TRUSTED if !self.old.is_empty() => UNKNOWN,
            worse => worse,
        }
    }
}

/// What to do about an operator that gives no answer.
pub(super) async fn advice(client: &Client, operator: &Operator) -> String {
    let namespace = &operator.operator_namespace;
    match leading(client, operator).await {
        Leading::Nobody(since) => nobody(since, namespace),
        Leading::Somebody => format!("one leads: see its log, kubectl logs -n {namespace}"),
        Leading::NotChecked(why) => format!("not checked whether one leads: {why}"),
    }
}

fn nobody(since: Option<Timestamp>, namespace: &str) -> String {
    let since = since.map_or_else(String::new, |since| format!(" since {since}"));
    format!(
        "no operator has led{since}, so what is told may be old: see kubectl get pods -n {namespace}"
    )
}

async fn leading(client: &Client, operator: &Operator) -> Leading {
    let first = match operator.lease(client).await {
        Ok(first) => first,
        Err(why) => return Leading::NotChecked(why),
    };
    let found = held(&first, clock::now());
    if !matches!(found, Leading::Nobody(_)) || holder(&first).is_none() {
        return found;
    }
    // Two clocks may disagree; a lease that is renewed is held, whatever its date.
    tokio::time::sleep(RENEWAL).await;
    match operator.lease(client).await {
        Ok(second) if second.resource_version() != first.resource_version() => Leading::Somebody,
        Ok(_) => found,
        Err(why) => Leading::NotChecked(why),
    }
}

/// What a lease says at an instant.
fn held(lease: &Lease, now: Timestamp) -> Leading {
    let spec = lease.spec.as_ref();
    let renewed = spec
        .and_then(|spec| spec.renew_time.as_ref())
        .map(|at| at.0);
    let is_fresh = renewed.is_some_and(|at| now.duration_since(at) <= PATIENCE);
    match holder(lease) {
        Some(_) if is_fresh => Leading::Somebody,
        Some(_) | None => Leading::Nobody(renewed),
    }
}

/// Who holds a lease.
pub(super) fn holder(lease: &Lease) -> Option<&str> {
    let spec = lease.spec.as_ref();
    let holder = spec.and_then(|spec| spec.holder_identity.as_deref());
    holder.filter(|holder| !holder.is_empty())
}

/// What is still unread a moment later: nothing is read in the same instant in which it is declared.
pub(super) async fn unread_for_long(client: &Client) -> Result<Vec<String>, Failure> {
    let first = unread(client).await?;
    if first.is_empty() {
        return Ok(first);
    }
    tokio::time::sleep(MOMENT).await;
    let mut second = unread(client).await?;
    second.retain(|one| first.contains(one));
    Ok(second)
}

/// Keys, identities and policies of which the operator has not read the last change.
async fn unread(client: &Client) -> Result<Vec<String>, Failure> {
    let keys = all(&Api::<TrustedKey>::all(client.clone()), "TrustedKeys").await?;
    let policies = Api::<ChartTrustPolicy>::all(client.clone());
    let policies = all(&policies, "ChartTrustPolicies").await?;
    let keys = keys.iter().filter_map(|key| {
        let read = key
            .status
            .as_ref()
            .and_then(|status| status.observed_generation);
        lag("TrustedKey", &key.name_any(), key.metadata.generation, read)
    });
    let policies = policies.iter().filter_map(|policy| {
        let read = policy
            .status
            .as_ref()
            .and_then(|status| status.observed_generation);
        lag(
            "ChartTrustPolicy",
            &policy.name_any(),
            policy.metadata.generation,
            read,
        )
    });
    let identities = identities(client).await?;
    let identities = identities.iter().filter_map(|identity| {
        let status = identity.status.as_ref();
        let read = status.and_then(|status| status.observed_generation);
        let declared = identity.metadata.generation;
        lag("TrustedIdentity", &identity.name_any(), declared, read)
    });
    Ok(keys.chain(identities).chain(policies).collect())
}

fn lag(kind: &str, name: &str, declared: Option<i64>, read: Option<i64>) -> Option<String> {
    let declared = declared?;
    let read = read.unwrap_or(0);
    (read < declared).then(|| {
        format!(
            "{kind} {name} has changed (generation {declared}) and the operator has not read it yet \
             (generation {read}): verdicts may still be those of before"
        )
    })
}

/// Where the operator is, unless it is told otherwise.
pub(super) const NAMESPACE: &str = "charttrust-system";
/// How old a renewal may be: four times as long as a lease holds, for clocks that disagree a little.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);
/// How long the operator may take to read a key or a policy.
const MOMENT: Duration = Duration::from_secs(2);
/// Longer than a leader waits between two renewals.
pub(super) const RENEWAL: Duration = Duration::from_secs(6);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lease(holder: &str, renewed: &str) -> Lease {
        serde_json::from_value(json!({
            "metadata": {"name": "charttrust"},
            "spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15},
        }))
        .unwrap()
    }

    #[test]
    fn a_lease_that_is_renewed_is_held() {
        let now: Timestamp = "2026-11-28T12:01:00Z".parse().unwrap();
        let renewed: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        for (holder, at, expected) in [
            ("pod-1", "2026-11-28T12:00:00.000000Z", Leading::Somebody),
            ("pod-1", "2026-11-28T12:05:00.000000Z", Leading::Somebody),
            (
                "pod-1",
                "2026-11-28T11:59:59.000000Z",
                Leading::Nobody(Some(renewed - SignedDuration::from_secs(1))),
            ),
            (
                "",
                "2026-11-28T12:00:00.000000Z",
                Leading::Nobody(Some(renewed)),
            ),
        ] {
            assert_eq!(held(&lease(holder, at), now), expected, "{holder} {at}");
        }
        assert_eq!(held(&Lease::default(), now), Leading::Nobody(None));
    }

    #[test]
    fn what_was_not_read_is_told() {
        assert_eq!(lag("TrustedKey", "a", Some(3), Some(3)), None);
        let told = lag("TrustedKey", "a", Some(3), Some(2)).unwrap();
        assert!(
            told.contains("TrustedKey a has changed (generation 3)"),
            "{told}"
        );
        assert!(lag("TrustedKey", "a", Some(1), None).is_some());
    }
}
