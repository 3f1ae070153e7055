//! What the watches keep: the objects of our kinds, and what we need of others.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use charttrust_verify::policy::ReleaseRef;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::{DeserializeGuard, ObjectMeta};
use kube::{Resource, ResourceExt as _};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::api::trusted_identity::TrustedIdentityStatus;
use crate::api::trusted_root::TrustedRootRef;
use crate::api::{self, ChartTrustPolicy, Quarantine, ReleaseTrust, TrustedIdentity, TrustedKey};
use crate::controllers::store::shown::Shown;
use crate::inventory::workloads::Workloads;
use crate::inventory::{Deployed, Deployers, Mark, RecordId, ReleaseId, Stored};
use crate::parse::{UnreadableIdentity, UnreadableKey, unreadable_identity, unreadable_key};
use crate::watch::{Cache, Lean, LeanMeta, Located, Range, Reach};

/// An object of ours, or why it cannot be read.
pub(crate) type Ours<K> = Result<K, String>;

/// A key object, or what can be read of it.
pub(crate) type ReadKey = Result<TrustedKey, UnreadableKey>;

/// An identity object, or what can be read of it.
pub(crate) type ReadIdentity = Result<TrustedIdentity, UnreadableIdentity>;

/// A kind of which something counts even where an object does not have its form.
pub(crate) trait Partly:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned
{
    /// What can be read of such an object.
    type Remains: Clone + Debug;

    /// Reads it as far as it can be read.
    fn remains(object: &Value, problem: String) -> Self::Remains;
}

impl Partly for TrustedKey {
    type Remains = UnreadableKey;

    fn remains(object: &Value, problem: String) -> UnreadableKey {
        unreadable_key(object, problem)
    }
}

impl Partly for TrustedIdentity {
    type Remains = UnreadableIdentity;

    fn remains(object: &Value, problem: String) -> UnreadableIdentity {
        unreadable_identity(object, problem)
    }
}

/// An object of a signer as the API server sends it. Unlike `DeserializeGuard` it keeps what can be read of one
/// that does not have the form: a revocation must not get lost with it.
#[derive(Clone, Debug)]
pub(crate) struct Sent<K: Partly> {
    metadata: ObjectMeta,
    read: Result<K, K::Remains>,
}

impl<'de, K: Partly> Deserialize<'de> for Sent<K> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(from)?;
        let metadata = ObjectMeta::deserialize(&object["metadata"]).map_err(D::Error::custom)?;
        let read = serde_json::from_value(object.clone());
        Ok(Self {
            metadata,
            read: read.map_err(|error| K::remains(&object, error.to_string())),
        })
    }
}

impl<K: Partly> Resource for Sent<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

pub(crate) fn keep_sent<K: Partly>(
    Lean(object): &Lean<Sent<K>>,
) -> Option<(String, Result<K, K::Remains>)> {
    Some((object.metadata.name.clone()?, object.read.clone()))
}

/// What is known of the objects on the API server.
#[derive(Debug)]
pub(super) struct Caches {
    /// Where objects of namespaced kinds are looked at.
    pub(super) reach: Reach,
    pub(super) records: Stored,
    pub(super) deployers: Deployers,
    pub(super) workloads: Workloads,
    pub(super) keys: Cache<String, ReadKey>,
    pub(super) identities: Cache<String, ReadIdentity>,
    pub(super) policies: Cache<String, Ours<ChartTrustPolicy>>,
    pub(super) trusts: Cache<ReleaseId, Shown>,
    pub(super) quarantines: Cache<ReleaseId, Ours<Quarantine>>,
    pub(super) namespaces: Cache<NamespaceName, BTreeMap<String, String>>,
    /// Resource versions of Secrets and ConfigMaps in the operator's own namespace.
    pub(super) own: Cache<OwnObject, String>,
    pub(super) own_config_maps: Cache<OwnObject, String>,
}

/// A namespace, by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NamespaceName(pub(super) String);

impl Located for NamespaceName {
    fn namespace(&self) -> &str {
        &self.0
    }
}

/// How long a start waits for an answer about deployers.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);

/// A release, with the labels of its namespace.
#[derive(Clone, Debug)]
pub(super) struct Placed<'a> {
    pub(super) id: &'a ReleaseId,
    labels: Option<Arc<BTreeMap<String, String>>>,
}

#[cfg(test)]
impl<'a> Placed<'a> {
    /// In a namespace of which nothing is known.
    pub(super) fn nowhere(id: &'a ReleaseId) -> Self {
        Self { id, labels: None }
    }
}

impl Placed<'_> {
    /// What policies select by.
    pub(super) fn reference(&self) -> ReleaseRef<'_> {
        ReleaseRef {
            namespace: &self.id.namespace,
            namespace_labels: self.labels.as_deref(),
            name: &self.id.name,
        }
    }
}

/// A Secret or ConfigMap in the operator's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OwnObject {
    ConfigMap(String),
    Secret(String),
}

impl Caches {
    /// What is looked at; nothing is known of it yet.
    pub(super) fn new(reach: Reach) -> Self {
        Self {
            records: Stored::new(&reach),
            deployers: Deployers::new(&reach),
            workloads: Workloads::default(),
            keys: Cache::default(),
            identities: Cache::default(),
            policies: Cache::default(),
            trusts: Cache::of(&reach),
            quarantines: Cache::of(&reach),
            namespaces: Cache::of(&reach),
            own: Cache::default(),
            own_config_maps: Cache::default(),
            reach,
        }
    }

    /// What of that lies in a share of all namespaces. What deploys a release may lie anywhere.
    pub(super) fn within(reach: &Reach, range: Range) -> Self {
        Self {
            deployers: Deployers::new(reach),
            ..Self::new(reach.within(range))
        }
    }

    /// What there is to look at and cannot be seen, and why.
    pub(super) fn unseen(&self) -> Vec<String> {
        let mut unseen = self.unseen_namespaces();
        unseen.extend(self.unseen_kinds());
        unseen
    }

    /// The kinds that were read, and may not be read any more: what is known of them stands, and is of then.
    fn unseen_kinds(&self) -> Option<String> {
        let everywhere = self.reach.named().is_none();
        let kinds = [
            ("ChartTrustPolicies", self.policies.is_any_refused()),
            ("TrustedKeys", self.keys.is_any_refused()),
            ("TrustedIdentities", self.identities.is_any_refused()),
            (
                "Quarantines",
                everywhere && self.quarantines.is_any_refused(),
            ),
            ("ReleaseTrusts", everywhere && self.trusts.is_any_refused()),
            (
                "Secrets",
                everywhere && self.records.secrets.is_any_refused(),
            ),
            (
                "ConfigMaps",
                everywhere && self.records.config_maps.is_any_refused(),
            ),
            ("Namespaces", everywhere && self.namespaces.is_any_refused()),
            ("Secrets of its own", self.own.is_any_refused()),
            (
                "ConfigMaps of its own",
                self.own_config_maps.is_any_refused(),
            ),
        ];
        let refused = kinds.into_iter().filter(|(_, is_refused)| *is_refused);
        let names: Vec<_> = refused.map(|(name, _)| name).collect();
        let told = format!(
            "what has changed of {}: the operator may not list and watch them any more (charttrust doctor names \
             the rights)",
            names.join(", ")
        );
        (!names.is_empty()).then_some(told)
    }

    /// Of the namespaces to look at.
    fn unseen_namespaces(&self) -> Vec<String> {
        let Some(named) = self.reach.named() else {
            return Vec::new();
        };
        let records = [&self.records.secrets, &self.records.config_maps];
        let mut refused: BTreeSet<String> = records.into_iter().flat_map(Cache::refused).collect();
        refused.extend(self.trusts.refused());
        refused.extend(self.quarantines.refused());
        let is_missing = |name: &String| {
            self.namespaces.is_listed(name) && self.namespace_labels(name).is_none()
        };
        let (missing, there): (Vec<_>, Vec<_>) = named.iter().partition(|name| is_missing(name));
        let refused = there.into_iter().filter(|name| refused.contains(*name));
        let told = |which: Vec<&String>, why: &str| {
            let first = which.first()?;
            Some(match which.len() - 1 {
                0 => format!("namespace {first}: {why}"),
                more => format!("namespace {first} and {more} more: {why}"),
            })
        };
        let missing = told(missing, "it does not exist");
        let refused = told(refused.collect(), "the operator may not read it");
        missing.into_iter().chain(refused).collect()
    }

    /// A release as policies select it.
    pub(super) fn placed<'a>(&self, id: &'a ReleaseId) -> Placed<'a> {
        Placed {
            id,
            labels: self.namespace_labels(&id.namespace),
        }
    }

    /// The `ReleaseTrust` of a release, if there is one.
    pub(super) fn trust(&self, id: &ReleaseId) -> Option<Ours<ReleaseTrust>> {
        self.trusts.find(id).map(|shown| shown.open())
    }

    /// The labels of a namespace, if it is known.
    pub(super) fn namespace_labels(
        &self,
        namespace: &str,
    ) -> Option<Arc<BTreeMap<String, String>>> {
        self.namespaces.find(&NamespaceName(namespace.to_owned()))
    }

    /// Waits until everything has been listed once.
    pub(super) async fn completed(&self) {
        self.namespaces.completed().await;
        self.own.completed().await;
        self.own_config_maps.completed().await;
        self.keys.completed().await;
        self.identities.completed().await;
        self.policies.completed().await;
        self.trusts.completed().await;
        self.quarantines.completed().await;
        self.records.secrets.completed().await;
        self.records.config_maps.completed().await;
        // What cannot be listed holds up nothing: releases that it may concern wait on their own.
        let deployers = self.deployers.answered();
        let answered = futures::future::join(deployers, self.records.applications.answered());
        let _ = tokio::time::timeout(ANSWER_DEADLINE, answered).await;
    }

    /// What deploys a revision of a release.
    pub(super) fn deployed(&self, id: &ReleaseId, (record, mark): (RecordId, &Mark)) -> Deployed {
        match record {
            RecordId::Application { .. } => self.records.applications.deployed(id, record),
            RecordId::Helm { .. } => self.deployers.of(id, mark),
        }
    }

    /// Which kinds of deployers cannot be read, and why.
    pub(super) fn unreadable(&self) -> Vec<String> {
        let mut unreadable = self.deployers.unreadable();
        unreadable.extend(self.records.applications.unreadable());
        unreadable
    }

    /// The resource version of an object in the operator's namespace, if it exists.
    pub(super) fn own_version(&self, object: &OwnObject) -> Option<Arc<String>> {
        match object {
            OwnObject::ConfigMap(_) => self.own_config_maps.find(object),
            OwnObject::Secret(_) => self.own.find(object),
        }
    }

    /// The ConfigMaps in the operator's namespace.
    pub(super) fn own_config_maps(&self) -> impl Iterator<Item = OwnObject> {
        self.own_config_maps
            .all()
            .into_iter()
            .map(|(object, _)| object)
    }

    /// The state of each identity as its status says.
    pub(super) fn identity_states(&self) -> Vec<(String, TrustedIdentityStatus)> {
        let status = |(name, identity): (String, Arc<ReadIdentity>)| {
            Some((name, identity.as_ref().as_ref().ok()?.status.clone()?))
        };
        self.identities
            .all()
            .into_iter()
            .filter_map(status)
            .collect()
    }

    /// The state of each key as its status says.
    pub(super) fn key_states(&self) -> Vec<(String, api::trusted_key::TrustedKeyStatus)> {
        let status = |(name, key): (String, Arc<ReadKey>)| {
            Some((name, key.as_ref().as_ref().ok()?.status.clone()?))
        };
        self.keys.all().into_iter().filter_map(status).collect()
    }
}

/// The ConfigMap that holds a trusted root, unless it is the one that is compiled in.
pub(super) fn root_of(reference: Option<&TrustedRootRef>) -> Option<OwnObject> {
    reference.map(|it| OwnObject::ConfigMap(it.config_map.name.clone()))
}

pub(crate) fn keep_named<K>(object: &DeserializeGuard<Lean<K>>) -> Option<(String, Ours<K>)>
where
    K: Resource + Clone + DeserializeOwned,
    DeserializeGuard<Lean<K>>: Resource,
{
    Some((object.meta().name.clone()?, readable(object)))
}

pub(super) fn keep_release<K>(object: &DeserializeGuard<Lean<K>>) -> Option<(ReleaseId, Ours<K>)>
where
    K: Resource + Clone + DeserializeOwned,
    DeserializeGuard<Lean<K>>: Resource,
{
    let meta = object.meta();
    let id = ReleaseId {
        namespace: meta.namespace.clone()?,
        name: meta.name.clone()?,
    };
    Some((id, readable(object)))
}

pub(super) fn keep_trust(
    object: &DeserializeGuard<Lean<ReleaseTrust>>,
) -> Option<(ReleaseId, Shown)> {
    let (id, object) = keep_release(object)?;
    Some((id, Shown::of(object)))
}

pub(super) fn readable<K: Clone>(object: &DeserializeGuard<Lean<K>>) -> Ours<K> {
    match &object.0 {
        Ok(object) => Ok(object.0.clone()),
        Err(invalid) => Err(invalid.error.clone()),
    }
}

pub(super) fn keep_labels(
    object: &LeanMeta<Namespace>,
) -> Option<(NamespaceName, BTreeMap<String, String>)> {
    let name = object.metadata.name.clone()?;
    Some((NamespaceName(name), object.labels().clone()))
}

pub(super) fn keep_own<K>(
    wrap: fn(String) -> OwnObject,
) -> impl Fn(&LeanMeta<K>) -> Option<(OwnObject, String)> {
    move |object| {
        let meta = &object.metadata;
        Some((wrap(meta.name.clone()?), meta.resource_version.clone()?))
    }
}

/// The object that holds a key's material, unless it is inline.
pub(super) fn material_of(key: &TrustedKey) -> Option<OwnObject> {
    let material = &key.spec.public_key;
    let map = material
        .config_map_ref
        .as_ref()
        .map(|r| OwnObject::ConfigMap(r.name.clone()));
    let secret = || {
        material
            .secret_ref
            .as_ref()
            .map(|r| OwnObject::Secret(r.name.clone()))
    };
    map.or_else(secret)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_that_does_not_have_the_form_keeps_its_name_and_its_revocation() {
        let sent = json!({
            "apiVersion": "charttrust.io/v1alpha1",
            "kind": "TrustedKey",
            "metadata": {"name": "good-b", "resourceVersion": "7"},
            "spec": {
                "fingerprint": "0123456789abcdef0123456789abcdef01234567",
                "owner": {"team": "a"},
                "revocation": {"reason": "Compromised"},
            },
        });
        let sent: Lean<Sent<TrustedKey>> = serde_json::from_value(sent).unwrap();
        let (name, read) = keep_sent(&sent).unwrap();
        let unreadable = read.unwrap_err();
        assert_eq!(name, "good-b");
        assert!(unreadable.revocation.is_some() && unreadable.fingerprint.is_some());
        assert!(!unreadable.problem.is_empty());
    }
}
