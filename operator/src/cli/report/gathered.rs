//! What a report is made of, as the cluster has it. Reads only.

use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{ChartTrustPolicy, Quarantine, ReleaseTrust};
use crate::cli::cluster::{Failure, all, chosen};
use crate::cli::key::Known;
use crate::cli::leading::{self, Doubts, Operator};
use crate::cli::looked::Looks;
use crate::cli::{sigstore, status};
use crate::leader::{Discovering, Unaccounted};

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// What stands above it, such as the name of the cluster.
    pub(super) title: Option<String>,
    /// One namespace only.
    pub(super) namespace: Option<String>,
    /// From when on changes are told.
    pub(super) since: Timestamp,
    /// The present instant.
    pub(super) now: Timestamp,
}

/// One kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Read {
    /// What was asked for.
    pub(super) what: &'static str,
    /// How many there are; absent if it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) objects: Option<usize>,
    /// Why it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<String>,
}

/// Everything that was read.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) question: Question,
    pub(super) trusts: Vec<ReleaseTrust>,
    pub(super) known: Known,
    pub(super) policies: Vec<ChartTrustPolicy>,
    pub(super) quarantines: Vec<Quarantine>,
    /// Of `ReleaseTrust`s; whoever may write events may have written them.
    pub(super) events: Vec<Event>,
    /// Where the operator looks; `None` if it does not tell.
    pub(super) discovering: Option<Discovering>,
    /// What runs without a record; `None` if nobody looks for that.
    pub(super) unaccounted: Option<Unaccounted>,
    pub(super) looks: Looks,
    pub(super) doubts: Doubts,
    pub(super) reads: Vec<Read>,
}

impl Gathered {
    /// Reads it. What may not be read is told, but for the verdicts: without them there is no report.
    ///
    /// # Errors
    /// If the `ReleaseTrust`s cannot be listed, or there is no such namespace.
    pub(super) async fn read(
        client: &Client,
        operator: &Operator,
        question: Question,
    ) -> Result<Self, Failure> {
        let namespace = question.namespace.as_deref();
        let trusts = status::listed(client, namespace).await?;
        let mut reads = Reads::default();
        reads.note("ReleaseTrusts", trusts.len());
        let keys = all(&Api::all(client.clone()), "TrustedKeys").await;
        let own = &operator.operator_namespace;
        let known = Known {
            keys: reads.of("TrustedKeys", keys),
            identities: reads.of("TrustedIdentities", sigstore::identities(client, own).await),
        };
        let policies = all(&Api::all(client.clone()), "ChartTrustPolicies").await;
        let quarantines = all(&within(client, namespace), "Quarantines").await;
        let events = chosen(&within(client, namespace), of_verdicts(), "events").await;
        let lease = operator.lease(client).await;
        let lease = reads
            .of(
                LEASE,
                lease.map(|lease| vec![lease]).map_err(Failure::Asked),
            )
            .pop();
        let metadata = lease.map(|lease| lease.metadata).unwrap_or_default();
        Ok(Self {
            trusts,
            known,
            policies: reads.of("ChartTrustPolicies", policies),
            quarantines: reads.of("Quarantines", quarantines),
            events: reads.of(EVENTS, events),
            discovering: Discovering::of(&metadata),
            // What is told is about all namespaces.
            unaccounted: Unaccounted::of(&metadata).filter(|_| question.namespace.is_none()),
            looks: Looks::told(client, operator).await,
            doubts: leading::doubts(client, operator).await,
            reads: reads.0,
            question,
        })
    }

    /// Whether something could not be read that a report rests on: events tell of changes only, and go by
    /// themselves.
    pub(super) fn is_partial(&self) -> bool {
        let mut reads = self.reads.iter();
        reads.any(|read| read.refused.is_some() && ![EVENTS, LEASE].contains(&read.what))
    }
}

/// What was asked for so far.
#[derive(Debug, Default)]
struct Reads(Vec<Read>);

impl Reads {
    /// What was found, and that it was; or nothing, and why.
    fn of<T>(&mut self, what: &'static str, found: Result<Vec<T>, Failure>) -> Vec<T> {
        match found {
            Ok(found) => {
                self.note(what, found.len());
                found
            }
            Err(why) => {
                self.0.push(Read {
                    what,
                    objects: None,
                    refused: Some(why.to_string()),
                });
                Vec::new()
            }
        }
    }

    fn note(&mut self, what: &'static str, objects: usize) {
        self.0.push(Read {
            what,
            objects: Some(objects),
            refused: None,
        });
    }
}

/// The objects of a kind in one namespace, or in all of them.
fn within<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn of_verdicts() -> ListParams {
    ListParams::default().fields("regarding.kind=ReleaseTrust")
}

pub(super) const EVENTS: &str = "events of ReleaseTrusts";
const LEASE: &str = "the Lease of the operator";
