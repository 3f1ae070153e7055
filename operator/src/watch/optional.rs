//! Follows kinds that a cluster may not have, may get later, or serve in a version of its own.
//!
//! Reads only: what the server says it has, and the objects of a kind that is there.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroup, APIResourceList};
use kube::api::{ApiResource, GetParams};
use kube::core::{GroupVersionKind, Request};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource as _};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};

use super::picked::{Kept, Picked};
use super::{Cache, config, patience, within_deadline};

/// An object by its namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A kind of somebody else, of whatever version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its API group.
    pub group: &'static str,
    /// Its name.
    pub kind: &'static str,
    /// Its resource.
    pub plural: &'static str,
}

/// What is known of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The server does not know it.
    Absent,
    /// Its objects are known.
    Listed,
    /// Nobody has asked yet, or no answer has come yet.
    Unlisted,
    /// It cannot be read: why, in words that do not vary.
    Unreadable(&'static str),
}

/// What has changed.
#[derive(Debug)]
pub enum Change<'a, V> {
    /// What is kept of an object: before, and now.
    Object(&'a ObjectName, [Option<Arc<V>>; 2]),
    /// Whether the kind can be read.
    State,
}

/// The objects of a kind that may be absent.
#[derive(Debug)]
pub struct Optional<V> {
    kind: Kind,
    objects: Cache<ObjectName, V>,
    state: watch::Sender<State>,
    again: Notify,
    /// In which version it is followed.
    resource: Mutex<Option<ApiResource>>,
}

impl<V: Kept + Send + Sync + 'static> Optional<V> {
    /// Nothing is known of it.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            objects: Cache::default(),
            state: watch::Sender::new(State::Unlisted),
            again: Notify::new(),
            resource: Mutex::default(),
        }
    }

    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What is known of the kind.
    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    /// What is kept of an object.
    pub fn find(&self, name: &ObjectName) -> Option<Arc<V>> {
        self.objects.find(name)
    }

    /// What is kept of all objects.
    pub fn all(&self) -> Vec<(ObjectName, Arc<V>)> {
        self.objects.all()
    }

    #[cfg(test)]
    /// As if the server had said this.
    pub fn suppose(&self, state: State) {
        self.state.send_replace(state);
    }

    #[cfg(test)]
    /// As if the server had this object.
    pub fn hold(&self, name: ObjectName, value: V) {
        self.objects.set(name, Some(value));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Waits until the server has answered once, whatever it has said.
    pub async fn answered(&self) {
        let mut state = self.state.subscribe();
        // Invariant: the sender lives as long as `self`, so waiting cannot fail.
        let _ = state.wait_for(|state| *state != State::Unlisted).await;
    }

    /// Looks now for an object of which somebody else has heard: a watch may be behind, and the kind new.
    /// Until the objects of a new kind are listed, nothing is known of it.
    ///
    /// # Errors
    /// If the server gives no answer.
    pub async fn look_again(&self, client: &Client, name: &ObjectName) -> kube::Result<()> {
        match self.state() {
            State::Absent => {
                if !matches!(discover(client, self.kind).await, Ok(None)) {
                    self.state.send_replace(State::Unlisted);
                }
                self.again.notify_one();
                Ok(())
            }
            State::Listed if self.find(name).is_none() => self.fetch(client, name).await,
            State::Listed | State::Unlisted | State::Unreadable(_) => Ok(()),
        }
    }

    /// Keeps an object that the watch has not told of yet. One that it tells of later is newer.
    async fn fetch(&self, client: &Client, name: &ObjectName) -> kube::Result<()> {
        let resource = self.resource.lock();
        let resource = resource.unwrap_or_else(PoisonError::into_inner).clone();
        let Some(resource) = resource else {
            return Ok(());
        };
        let api = Api::<Picked<V>>::namespaced_with(client.clone(), &name.namespace, &resource);
        let found = match within_deadline(api.get_opt(&name.name)).await {
            // What may be listed and not asked for is told by the watch, a little later.
            Err(kube::Error::Api(status)) if status.is_forbidden() => None,
            found => found?,
        };
        if let Some(found) = found
            && self.find(name).is_none()
        {
            self.objects.set(name.clone(), V::of(&found.value));
        }
        Ok(())
    }

    /// Follows the kind for ever. `changed` hears of everything that is another than before.
    pub async fn follow(&self, client: &Client, changed: impl Fn(Change<'_, V>)) {
        loop {
            let state = match discover(client, self.kind).await {
                Ok(None) => State::Absent,
                Ok(Some(resource)) => {
                    let api = Api::all_with(client.clone(), &resource);
                    let known = self.resource.lock();
                    *known.unwrap_or_else(PoisonError::into_inner) = Some(resource);
                    self.follow_until_refused(api, &changed).await
                }
                Err(error) => self.unless_known(&error),
            };
            // First, so that nobody takes for gone what can only not be read.
            self.set(state, &changed);
            if state != State::Listed {
                self.relist(BTreeMap::new(), &changed);
            }
            let again = self.again.notified();
            // Whoever has installed the kind has objects of it soon, and they say themselves that it is
            // there ([`Optional::look_again`]).
            let _ = tokio::time::timeout(AGAIN, again).await;
        }
    }

    /// Follows the objects until the server does not let them be read, and says what is so then.
    async fn follow_until_refused(
        &self,
        api: Api<Picked<V>>,
        changed: &impl Fn(Change<'_, V>),
    ) -> State
    where
        Picked<V>: DeserializeOwned,
    {
        let mut events = pin!(watcher(api, config()).backoff(patience()));
        let mut listed = BTreeMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(object)) => {
                    if let Some(name) = named(&object) {
                        self.put(&name, V::of(&object.value), changed);
                    }
                }
                Ok(watcher::Event::Delete(object)) => {
                    if let Some(name) = named(&object) {
                        self.put(&name, None, changed);
                    }
                }
                Ok(watcher::Event::Init) => listed.clear(),
                Ok(watcher::Event::InitApply(object)) => {
                    listed.extend(named(&object).zip(V::of(&object.value)));
                }
                Ok(watcher::Event::InitDone) => {
                    self.relist(std::mem::take(&mut listed), changed);
                    self.set(State::Listed, changed);
                }
                Err(error) => {
                    tracing::warn!(%error, kind = self.kind.kind, "watch failed");
                    match refusal(&error) {
                        Some(404) => return State::Absent,
                        Some(_) => return State::Unreadable(FORBIDDEN),
                        None => self.set(self.unless_known(&error), changed),
                    }
                }
            }
        }
        State::Unreadable(SILENT)
    }

    /// What is known stands until the server answers again.
    fn unless_known(&self, error: &dyn fmt::Display) -> State {
        match self.state() {
            State::Unlisted => {
                tracing::warn!(%error, kind = self.kind.kind, "cannot be read");
                State::Unreadable(SILENT)
            }
            known => known,
        }
    }

    fn set(&self, state: State, changed: &impl Fn(Change<'_, V>)) {
        if self.state.send_replace(state) != state {
            changed(Change::State);
        }
    }

    fn put(&self, name: &ObjectName, now: Option<V>, changed: &impl Fn(Change<'_, V>)) {
        let before = self.objects.find(name);
        if before.as_deref() == now.as_ref() {
            return;
        }
        self.objects.set(name.clone(), now);
        changed(Change::Object(name, [before, self.objects.find(name)]));
    }

    /// Everything there is, each as if it had just changed or gone, unless nothing about it has.
    fn relist(&self, listed: BTreeMap<ObjectName, V>, changed: &impl Fn(Change<'_, V>)) {
        let before = self.objects.all().into_iter().map(|(name, _)| name);
        let gone = before.filter(|name| !listed.contains_key(name));
        for name in gone.collect::<Vec<_>>() {
            self.put(&name, None, changed);
        }
        for (name, value) in listed {
            self.put(&name, Some(value), changed);
        }
    }
}

/// How long after the server did not know a kind it is asked again.
const AGAIN: Duration = Duration::from_secs(10);

const FORBIDDEN: &str = "the operator may not list and watch them";
const SILENT: &str = "the API server did not list them";

fn named<V>(object: &Picked<V>) -> Option<ObjectName> {
    let meta = object.meta();
    Some(ObjectName {
        namespace: meta.namespace.clone()?,
        name: meta.name.clone()?,
    })
}

/// What the server does not let be read, by the code of its answer.
fn refusal(error: &watcher::Error) -> Option<u16> {
    let code = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.code,
        _ => return None,
    };
    [403, 404, 405].contains(&code).then_some(code)
}

/// The resource of a kind in the version that the server prefers of those that have it.
///
/// # Errors
/// If the server does not answer; that it does not know the kind is none.
pub async fn discover(client: &Client, kind: Kind) -> kube::Result<Option<ApiResource>> {
    let Some(group) = ask::<APIGroup>(client, "/apis", kind.group).await? else {
        return Ok(None);
    };
    let preferred = group.preferred_version.iter();
    let mut versions: Vec<_> = preferred.map(|version| &version.version).collect();
    versions.extend(group.versions.iter().map(|version| &version.version));
    for version in versions {
        let at = format!("/apis/{}", kind.group);
        let served = ask::<APIResourceList>(client, &at, version).await?;
        let served = served.map(|list| list.resources).unwrap_or_default();
        if served.iter().any(|one| one.name == kind.plural) {
            let kind_of = GroupVersionKind::gvk(kind.group, version, kind.kind);
            return Ok(Some(ApiResource::from_gvk_with_plural(
                &kind_of,
                kind.plural,
            )));
        }
    }
    Ok(None)
}

async fn ask<T: DeserializeOwned>(
    client: &Client,
    at: &str,
    what: &str,
) -> kube::Result<Option<T>> {
    let request = Request::new(at).get(what, &GetParams::default());
    let request = request.map_err(kube::Error::BuildRequest)?;
    match within_deadline(client.request(request)).await {
        Ok(answer) => Ok(Some(answer)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}
