//! Follows every kind the operator depends on, and turns changes into work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{Context, Task, credentials, examine, learned};
use crate::api::{self, ChartTrustPolicy, Quarantine, ReleaseTrust, TrustedKey};
use crate::inventory::ReleaseId;
use crate::inventory::helm::{self, RecordKey, Records};
use crate::watch::{Mirror, config, follow};

/// An object of ours, or why it cannot be read.
pub(super) type Ours<K> = Result<K, String>;

/// What is known of the objects on the API server.
#[derive(Debug, Default)]
pub(super) struct Mirrors {
    pub(super) secrets: Records,
    pub(super) config_maps: Records,
    pub(super) keys: Mirror<String, Ours<TrustedKey>>,
    pub(super) policies: Mirror<String, Ours<ChartTrustPolicy>>,
    pub(super) trusts: Mirror<ReleaseId, Ours<ReleaseTrust>>,
    pub(super) quarantines: Mirror<ReleaseId, Ours<Quarantine>>,
    pub(super) namespaces: Mirror<String, BTreeMap<String, String>>,
    /// Resource versions of Secrets and ConfigMaps in the operator's own namespace.
    pub(super) own: Mirror<OwnObject, String>,
    own_config_maps: Mirror<OwnObject, String>,
}

/// A Secret or ConfigMap in the operator's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OwnObject {
    ConfigMap(String),
    Secret(String),
}

impl Mirrors {
    /// Waits until everything has been listed once.
    pub(super) async fn completed(&self) {
        self.namespaces.completed().await;
        self.own.completed().await;
        self.own_config_maps.completed().await;
        self.keys.completed().await;
        self.policies.completed().await;
        self.trusts.completed().await;
        self.quarantines.completed().await;
        self.secrets.completed().await;
        self.config_maps.completed().await;
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

    /// The state of each key as its status says.
    pub(super) fn key_states(&self) -> Vec<(String, api::trusted_key::TrustedKeyStatus)> {
        let status = |(name, key): (String, Arc<Ours<TrustedKey>>)| {
            Some((name, key.as_ref().as_ref().ok()?.status.clone()?))
        };
        self.keys.all().into_iter().filter_map(status).collect()
    }
}

/// How long a new release may wait for its first look before it shows as `Pending`.
const PENDING_AFTER: Duration = Duration::from_secs(2);

/// Follows everything for ever.
pub(super) async fn follow_all(context: Arc<Context>) {
    let context = &*context;
    let client = &context.client;
    let mirrors = &context.mirrors;
    let own_secrets =
        Api::<PartialObjectMeta<Secret>>::namespaced(client.clone(), &context.namespace);
    let own_maps =
        Api::<PartialObjectMeta<ConfigMap>>::namespaced(client.clone(), &context.namespace);
    let record_changed = |key: &RecordKey| context.record_changed(key);
    tokio::join!(
        helm::follow_secrets(client.clone(), &mirrors.secrets, record_changed),
        helm::follow_config_maps(client.clone(), &mirrors.config_maps, record_changed),
        follow(
            Api::all(client.clone()),
            config(),
            &mirrors.keys,
            keep_named,
            |name| {
                context.queue.add(Task::Key(name.clone()));
            }
        ),
        follow(
            Api::all(client.clone()),
            config(),
            &mirrors.policies,
            keep_named,
            |name| {
                context.queue.add(Task::Policy(name.clone()));
            }
        ),
        follow(
            Api::all(client.clone()),
            config(),
            &mirrors.trusts,
            keep_release,
            |id| {
                context.queue.add(Task::Release(id.clone()));
            }
        ),
        follow(
            Api::all(client.clone()),
            config(),
            &mirrors.quarantines,
            keep_release,
            |id| {
                context.quarantine_changed(id);
            }
        ),
        follow(
            Api::all(client.clone()),
            config(),
            &mirrors.namespaces,
            keep_labels,
            |name| {
                context.namespace_changed(name);
            }
        ),
        follow(
            own_secrets,
            config(),
            &mirrors.own,
            keep_own(OwnObject::Secret),
            |object| {
                context.own_changed(object);
            }
        ),
        follow(
            own_maps,
            config(),
            &mirrors.own_config_maps,
            keep_own(OwnObject::ConfigMap),
            |object| {
                context.own_changed(object);
            }
        ),
    );
}

fn keep_named<K>(object: &DeserializeGuard<K>) -> Option<(String, Ours<K>)>
where
    K: Resource + Clone + DeserializeOwned,
    DeserializeGuard<K>: Resource,
{
    Some((object.meta().name.clone()?, readable(object)))
}

fn keep_release<K>(object: &DeserializeGuard<K>) -> Option<(ReleaseId, Ours<K>)>
where
    K: Resource + Clone + DeserializeOwned,
    DeserializeGuard<K>: Resource,
{
    let meta = object.meta();
    let id = ReleaseId {
        namespace: meta.namespace.clone()?,
        name: meta.name.clone()?,
    };
    Some((id, readable(object)))
}

fn readable<K: Clone>(object: &DeserializeGuard<K>) -> Ours<K> {
    match &object.0 {
        Ok(object) => Ok(object.clone()),
        Err(invalid) => Err(invalid.error.clone()),
    }
}

fn keep_labels(
    object: &PartialObjectMeta<Namespace>,
) -> Option<(String, BTreeMap<String, String>)> {
    Some((object.metadata.name.clone()?, object.labels().clone()))
}

fn keep_own<K>(
    wrap: fn(String) -> OwnObject,
) -> impl Fn(&PartialObjectMeta<K>) -> Option<(OwnObject, String)> {
    move |object| {
        let meta = &object.metadata;
        Some((wrap(meta.name.clone()?), meta.resource_version.clone()?))
    }
}

impl Context {
    fn record_changed(&self, key: &RecordKey) {
        self.examinations.add(key.release.clone());
        self.queue.add_at(
            Task::Release(key.release.clone()),
            Instant::now() + PENDING_AFTER,
        );
        self.look_at_quarantine(&key.release);
    }

    /// A quarantine is looked at, shown at its release, and counted by its policy.
    fn quarantine_changed(&self, id: &ReleaseId) {
        self.queue.add(Task::Quarantine(id.clone()));
        self.queue.add(Task::Release(id.clone()));
        for (name, _) in self.mirrors.policies.all() {
            self.queue.add(Task::PolicyStatus(name));
        }
    }

    /// A quarantine depends on the verdict on its release.
    pub(super) fn look_at_quarantine(&self, id: &ReleaseId) {
        if self.mirrors.quarantines.find(id).is_some() {
            self.queue.add(Task::Quarantine(id.clone()));
        }
    }

    /// Has a release judged again; until it was, no quarantine begins under its policies.
    pub(super) fn judge_again(&self, id: &ReleaseId) {
        self.world.update(id, |release| release.judgings.ask());
        self.queue.add(Task::Release(id.clone()));
    }

    /// Labels of a namespace select policies.
    fn namespace_changed(&self, name: &str) {
        let ids = self.world.release_ids();
        for id in ids.into_iter().filter(|id| id.namespace == name) {
            self.examinations.add(id);
        }
    }

    /// Keys whose material lies in a changed object are read again, what was learned is kept, and
    /// sources are asked again whose credentials or authorities it holds.
    fn own_changed(&self, object: &OwnObject) {
        if let Some(key) = learned::key_of(object) {
            self.queue.add(Task::Learned(key));
        }
        let outdated = credentials::outdated(self, object);
        if !outdated.is_empty() {
            examine::ask_again(self, &outdated);
        }
        for (name, key) in self.mirrors.keys.all() {
            if key
                .as_ref()
                .as_ref()
                .is_ok_and(|key| material_of(key).as_ref() == Some(object))
            {
                self.queue.add(Task::Key(name));
            }
        }
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
