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
use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use tokio::time::Instant;

use super::picked::{Kept, Picked};
use super::reach::{Part, Reach};
use super::{Cache, Located, config, is_name, patience, refusal, within_deadline};

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

impl Located for ObjectName {
    fn namespace(&self) -> &str {
        &self.namespace
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
    reach: Reach,
    objects: Cache<ObjectName, V>,
    states: watch::Sender<BTreeMap<Part, State>>,
    again: Notify,
    /// When the server was last asked whether it has come, where it had said that it is not there.
    asked: AsyncMutex<Option<Instant>>,
    /// In which version it is followed.
    resource: Mutex<Option<ApiResource>>,
}

impl<V: Kept + Send + Sync + 'static> Optional<V> {
    /// Nothing is known of it, in what is looked at.
    pub fn new(kind: Kind, reach: &Reach) -> Self {
        let parts = reach.parts().into_iter();
        let states = parts.map(|part| (part, State::Unlisted)).collect();
        Self {
            kind,
            reach: reach.clone(),
            objects: Cache::of(reach),
            states: watch::Sender::new(states),
            again: Notify::new(),
            asked: AsyncMutex::default(),
            resource: Mutex::default(),
        }
    }

    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What is known of the kind: absent if that is known of all parts, and listed if it is of one.
    pub fn state(&self) -> State {
        overall(&self.states.borrow())
    }

    /// What is known of the objects of the kind in a namespace.
    pub fn state_in(&self, namespace: &str) -> State {
        let states = self.states.borrow();
        match self.reach.part_of(namespace) {
            Some(part) => states.get(&part).copied().unwrap_or(State::Unlisted),
            None if overall(&states) == State::Absent => State::Absent,
            None => State::Unreadable(OUTSIDE),
        }
    }

    /// Whether it is certain that there is no object of the kind in the whole cluster.
    pub fn is_nowhere(&self) -> bool {
        match self.state() {
            State::Absent => true,
            State::Listed => self.reach == Reach::Everywhere && self.objects.is_empty(),
            State::Unlisted | State::Unreadable(_) => false,
        }
    }

    /// Which parts cannot be read, and why.
    pub fn unreadable(&self) -> Vec<(Part, &'static str)> {
        let states = self.states.borrow();
        let unreadable = states.iter().filter_map(|(part, state)| match state {
            State::Unreadable(why) => Some((part.clone(), *why)),
            State::Absent | State::Listed | State::Unlisted => None,
        });
        unreadable.collect()
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
        self.set_all(state);
    }

    #[cfg(test)]
    /// As if the server had this object.
    pub fn hold(&self, name: ObjectName, value: V) {
        self.objects.set(name, Some(value));
    }

    /// Waits until the server has answered once, whatever it has said.
    pub async fn answered(&self) {
        let mut states = self.states.subscribe();
        let is_answered = |states: &BTreeMap<Part, State>| {
            let mut states = states.values();
            states.all(|state| *state != State::Unlisted)
        };
        // Invariant: the sender lives as long as `self`, so waiting cannot fail.
        let _ = states.wait_for(is_answered).await;
    }

    /// Looks now for an object of which somebody else has heard: a watch may be behind, and the kind new.
    /// Until the objects of a new kind are listed, nothing is known of it.
    ///
    /// # Errors
    /// If the server gives no answer.
    pub async fn look_again(&self, client: &Client, name: &ObjectName) -> kube::Result<()> {
        match self.state_in(&name.namespace) {
            State::Absent => {
                if !matches!(discover(client, self.kind).await, Ok(None)) {
                    self.set_all(State::Unlisted);
                }
                self.again.notify_one();
                Ok(())
            }
            State::Listed if self.find(name).is_none() => self.fetch(client, name).await,
            State::Listed | State::Unlisted | State::Unreadable(_) => Ok(()),
        }
    }

    /// Looks whether a kind that was absent has come: then nothing is known of it until its objects are listed.
    /// `now` is the present moment; an answer to what was asked after `since` is good enough, so that all who ask
    /// meanwhile share one.
    ///
    /// # Errors
    /// If the server gives no answer.
    pub async fn confirm_absent(
        &self,
        client: &Client,
        (since, now): (Instant, Instant),
    ) -> kube::Result<()> {
        if self.state() != State::Absent {
            return Ok(());
        }
        let mut asked = self.asked.lock().await;
        if self.state() != State::Absent || asked.is_some_and(|asked| asked >= since) {
            return Ok(());
        }
        if discover(client, self.kind).await?.is_some() {
            self.set_all(State::Unlisted);
            self.again.notify_one();
        }
        *asked = Some(now);
        Ok(())
    }

    /// Keeps an object that the watch has not told of yet. One that it tells of later is newer; and of a name that
    /// none can have, there is none.
    async fn fetch(&self, client: &Client, name: &ObjectName) -> kube::Result<()> {
        let resource = self.resource.lock();
        let resource = resource.unwrap_or_else(PoisonError::into_inner).clone();
        let Some(resource) = resource.filter(|_| is_name(&name.namespace) && is_name(&name.name))
        else {
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
            let before = self.state();
            match discover(client, self.kind).await {
                // Somebody has seen it come since this was asked.
                Ok(None) if self.state() == State::Unlisted && before != State::Unlisted => {
                    continue;
                }
                Ok(None) => self.take_for_absent(&changed),
                Ok(Some(resource)) => {
                    if self.state() == State::Absent {
                        self.set_all(State::Unlisted);
                    }
                    let known = self.resource.lock();
                    *known.unwrap_or_else(PoisonError::into_inner) = Some(resource.clone());
                    self.follow_all(client, &resource, &changed).await;
                    self.take_for_absent(&changed);
                }
                Err(error) => self.take_for_silent(&error, &changed),
            }
            self.pause().await;
        }
    }

    /// Whoever has installed the kind has objects of it soon, and they say themselves that it is there
    /// ([`Optional::look_again`]), or whoever reads a record looks ([`Optional::confirm_absent`]).
    async fn pause(&self) {
        let again = self.again.notified();
        let _ = tokio::time::timeout(AGAIN, again).await;
    }

    /// Follows the objects of all parts until the server does not know the kind any more.
    async fn follow_all(
        &self,
        client: &Client,
        resource: &ApiResource,
        changed: &impl Fn(Change<'_, V>),
    ) where
        Picked<V>: DeserializeOwned,
    {
        let parts = self.reach.parts().into_iter();
        let following =
            parts.map(|part| Box::pin(self.follow_part((client, resource), part, changed)));
        futures::future::select_all(following).await;
    }

    /// Follows the objects of one part until the server does not know the kind any more, at least not in
    /// this version. What may not be read is asked for again and again.
    async fn follow_part(
        &self,
        (client, resource): (&Client, &ApiResource),
        part: Part,
        changed: &impl Fn(Change<'_, V>),
    ) where
        Picked<V>: DeserializeOwned,
    {
        let api = part.api_with(client, resource);
        loop {
            if self.is_gone_after_following(&api, &part, changed).await {
                return;
            }
            // First, so that nobody takes for gone what can only not be read.
            self.set(&part, State::Unreadable(FORBIDDEN), changed);
            self.relist(&part, BTreeMap::new(), changed);
            self.pause().await;
            // Whether there is such a kind at all, a server says to who may read it.
            if let Ok(found) = discover(client, self.kind).await
                && found.as_ref() != Some(resource)
            {
                return;
            }
        }
    }

    /// Follows the objects until the server does not let them be read, and says whether that is because it
    /// does not know the kind.
    async fn is_gone_after_following(
        &self,
        api: &Api<Picked<V>>,
        part: &Part,
        changed: &impl Fn(Change<'_, V>),
    ) -> bool
    where
        Picked<V>: DeserializeOwned,
    {
        let mut events = pin!(watcher(api.clone(), config()).backoff(patience()));
        let mut listed = BTreeMap::new();
        let named = |object: &Picked<V>| named(object).filter(|name| part.holds(&name.namespace));
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
                    self.relist(part, std::mem::take(&mut listed), changed);
                    self.set(part, State::Listed, changed);
                }
                Err(error) => {
                    tracing::warn!(%error, kind = self.kind.kind, namespace = part.namespace(), "watch failed");
                    match refusal(&error) {
                        Some(404) => return true,
                        Some(_) => return false,
                        None => self.doubt(part, &error, changed),
                    }
                }
            }
        }
        false
    }

    fn take_for_absent(&self, changed: &impl Fn(Change<'_, V>)) {
        for part in self.reach.parts() {
            self.set(&part, State::Absent, changed);
            self.relist(&part, BTreeMap::new(), changed);
        }
    }

    fn take_for_silent(&self, error: &dyn fmt::Display, changed: &impl Fn(Change<'_, V>)) {
        for part in self.reach.parts() {
            self.doubt(&part, error, changed);
        }
    }

    /// What is known stands until the server answers again.
    fn doubt(&self, part: &Part, error: &dyn fmt::Display, changed: &impl Fn(Change<'_, V>)) {
        let state = self.states.borrow().get(part).copied();
        if matches!(state, None | Some(State::Unlisted)) {
            tracing::warn!(%error, kind = self.kind.kind, "cannot be read");
            self.set(part, State::Unreadable(SILENT), changed);
        }
    }

    fn set(&self, part: &Part, state: State, changed: &impl Fn(Change<'_, V>)) {
        let is_news = self.states.send_if_modified(|states| {
            let before = states.insert(part.clone(), state);
            before != Some(state)
        });
        if is_news {
            changed(Change::State);
        }
    }

    fn set_all(&self, state: State) {
        self.states.send_modify(|states| {
            for one in states.values_mut() {
                *one = state;
            }
        });
    }

    fn put(&self, name: &ObjectName, now: Option<V>, changed: &impl Fn(Change<'_, V>)) {
        let before = self.objects.find(name);
        if before.as_deref() == now.as_ref() {
            return;
        }
        self.objects.set(name.clone(), now);
        changed(Change::Object(name, [before, self.objects.find(name)]));
    }

    /// Everything there is in a part, each as if it had just changed or gone, unless nothing about it has.
    fn relist(
        &self,
        part: &Part,
        listed: BTreeMap<ObjectName, V>,
        changed: &impl Fn(Change<'_, V>),
    ) {
        let before = self.objects.all().into_iter().map(|(name, _)| name);
        let gone = before.filter(|name| part.holds(&name.namespace) && !listed.contains_key(name));
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
const OUTSIDE: &str = "charttrust does not look at that namespace";

fn overall(states: &BTreeMap<Part, State>) -> State {
    let of = |wanted: fn(&State) -> bool| states.values().copied().find(wanted);
    of(|state| *state == State::Unlisted)
        .or_else(|| of(|state| *state == State::Listed))
        .or_else(|| of(|state| matches!(state, State::Unreadable(_))))
        .unwrap_or(State::Absent)
}

fn named<V>(object: &Picked<V>) -> Option<ObjectName> {
    let meta = object.meta();
    Some(ObjectName {
        namespace: meta.namespace.clone()?,
        name: meta.name.clone()?,
    })
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
