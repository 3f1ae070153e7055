//! Follows one kind of object on the API server and keeps the part of each that we need.
//!
//! Reads only. A relist after a broken watch reports what went missing meanwhile as deleted, which
//! a plain stream of events does not.
//!
//! Decision: not `kube::runtime::reflector::Store`, which keeps whole objects. Of a record we keep a
//! few words, of a namespace its labels; a tenant can make the rest as large as the API server allows.

mod lean;
mod optional;
mod others;
mod picked;
mod range;
mod reach;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::future::Future;
use std::ops::RangeBounds;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use backon::ExponentialBuilder;
use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use kube::api::ListParams;
use kube::core::ObjectList;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::ExponentialBackoff;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

pub(crate) use lean::as_its_kind;
pub use lean::{Lean, LeanMeta};
pub use optional::{Change, Kind, ObjectName, Optional, State, discover};
pub use others::Others;
pub use picked::{EACH, FIRST, Kept, LAST, MOST, Only, PRESENT, Path, Picked};
pub use range::Range;
pub use reach::{Part, Reach};

/// What is known of the objects of one kind, by a key of our choosing.
#[derive(Debug)]
pub struct Cache<K, V> {
    values: RwLock<BTreeMap<K, Arc<V>>>,
    parts: watch::Sender<BTreeMap<Part, Answer>>,
}

/// What the server has said about one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Nothing yet.
    Awaited,
    /// Everything in it is known.
    Listed,
    /// It may not be read; what was known before stands.
    Refused,
}

impl<K: Clone + Ord, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self::of(&Reach::Everywhere)
    }
}

impl<K: Clone + Ord, V> Cache<K, V> {
    /// Of what is looked at here; nothing is known of it yet.
    pub fn of(reach: &Reach) -> Self {
        let parts = reach.parts().into_iter();
        let parts = parts.map(|part| (part, Answer::Awaited)).collect();
        Self {
            values: RwLock::default(),
            parts: watch::Sender::new(parts),
        }
    }

    /// Whether everything was listed that lies in a namespace: what is not known there does not exist.
    pub fn is_listed(&self, namespace: &str) -> bool {
        let parts = self.parts.borrow();
        let mut parts = parts.iter().filter(|(part, _)| part.holds(namespace));
        parts.any(|(_, answer)| *answer == Answer::Listed)
    }

    /// Whether what lies in a namespace may not be read: what is not known there may exist.
    pub fn is_refused(&self, namespace: &str) -> bool {
        let parts = self.parts.borrow();
        let mut parts = parts.iter().filter(|(part, _)| part.holds(namespace));
        parts.any(|(_, answer)| *answer == Answer::Refused)
    }

    /// Whether something was listed, and may not be read any more.
    pub fn is_any_refused(&self) -> bool {
        let parts = self.parts.borrow();
        parts.values().any(|answer| *answer == Answer::Refused)
    }

    /// The namespaces that may not be read.
    pub fn refused(&self) -> BTreeSet<String> {
        let parts = self.parts.borrow();
        let refused = parts
            .iter()
            .filter(|(_, answer)| **answer == Answer::Refused);
        let names = refused.filter_map(|(part, _)| part.namespace());
        names.map(str::to_owned).collect()
    }

    /// It may not be read. Without a right to the whole there is nothing to do, and the start waits for it; if it is
    /// taken away later, what is known stands.
    fn refused_now(&self, part: &Part) {
        self.parts.send_if_modified(|parts| {
            let known = parts.get_mut(part);
            let is_all = part.namespace().is_none();
            let is_awaited = |answer: &Answer| is_all && *answer == Answer::Awaited;
            match known.filter(|answer| !is_awaited(answer)) {
                Some(answer) => std::mem::replace(answer, Answer::Refused) != Answer::Refused,
                None => false,
            }
        });
    }

    fn answer(&self, part: &Part, answer: Answer) {
        self.parts.send_modify(|parts| {
            parts.insert(part.clone(), answer);
        });
    }

    /// What is known under a key.
    pub fn find(&self, key: &K) -> Option<Arc<V>> {
        self.values
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }

    /// Everything that is known, in order.
    pub fn all(&self) -> Vec<(K, Arc<V>)> {
        let values = self.values.read().unwrap_or_else(PoisonError::into_inner);
        values
            .iter()
            .map(|(key, value)| (key.clone(), Arc::clone(value)))
            .collect()
    }

    /// What is known under a range of keys, in order.
    pub fn range(&self, keys: impl RangeBounds<K>) -> Vec<(K, Arc<V>)> {
        let values = self.values.read().unwrap_or_else(PoisonError::into_inner);
        values
            .range(keys)
            .map(|(key, value)| (key.clone(), Arc::clone(value)))
            .collect()
    }

    /// How many objects are known.
    pub fn len(&self) -> usize {
        self.values
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until everything has been listed once, as far as it may be read.
    pub async fn completed(&self) {
        let mut parts = self.parts.subscribe();
        let is_complete = |parts: &BTreeMap<Part, Answer>| {
            let mut answers = parts.values();
            answers.all(|answer| *answer != Answer::Awaited)
        };
        // Invariant: the sender lives as long as `self`, so waiting cannot fail.
        let _ = parts.wait_for(is_complete).await;
    }

    #[cfg(test)]
    /// As if the server let nobody read it.
    pub(crate) fn suppose_refused(&self) {
        self.parts.send_modify(|parts| {
            for answer in parts.values_mut() {
                *answer = Answer::Refused;
            }
        });
    }

    /// Keeps a value, or forgets it.
    pub(crate) fn set(&self, key: K, value: Option<V>) {
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        match value {
            Some(value) => drop(values.insert(key, Arc::new(value))),
            None => drop(values.remove(&key)),
        }
    }

    /// Replaces everything that `is_here`; returns the keys that are gone.
    fn replace(&self, listed: BTreeMap<K, Arc<V>>, is_here: impl Fn(&K) -> bool) -> Vec<K> {
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<K> = values
            .keys()
            .filter(|key| is_here(key) && !listed.contains_key(key))
            .cloned()
            .collect();
        for key in &gone {
            values.remove(key);
        }
        values.extend(listed);
        gone
    }
}

/// A key that tells in which namespace its object lies.
pub trait Located {
    /// The namespace.
    fn namespace(&self) -> &str;
}

/// What one watch follows.
#[derive(Debug)]
pub struct Followed<O> {
    api: Api<O>,
    config: watcher::Config,
    part: Part,
    /// Where what is asked for leaves out.
    others: Option<Arc<Others>>,
}

impl<O> Followed<O> {
    /// Which part it is.
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// Everything that an API gives.
    pub fn whole(api: Api<O>) -> Self {
        Self {
            api,
            config: config(),
            part: Part::Whole,
            others: None,
        }
    }

    /// One object, by its name: a right to it by its name is a right to list and watch it by its name.
    pub fn one(api: Api<O>, name: &str) -> Self {
        let config = config().fields(&format!("metadata.name={name}"));
        let whole = Self::whole(api);
        Self { config, ..whole }
    }

    /// A namespaced kind, in each part that is looked at, narrowed by a configuration. Of a share the server leaves
    /// out what it can.
    pub fn each(client: &Client, reach: &Reach, config: &watcher::Config) -> Vec<Self>
    where
        O: Resource<Scope = NamespaceResourceScope>,
        O::DynamicType: Default,
    {
        let others = reach.others();
        let spared = others.map(|others| others.spared(client));
        let one = |part: Part| Self {
            api: part.api(spared.as_ref().unwrap_or(client)),
            config: config.clone(),
            part,
            others: others.cloned(),
        };
        reach.parts().into_iter().map(one).collect()
    }

    /// Cluster-wide objects, all of them or those of these names, each by a watch of its own: a right to
    /// one object by its name is a right to list and watch it by its name.
    pub fn named(api: &Api<O>, reach: &Reach) -> Vec<Self>
    where
        O: Clone,
    {
        let one = |part: Part| {
            let by_name = part.namespace().map(|name| format!("metadata.name={name}"));
            let whole = Self::whole(api.clone());
            Self {
                config: match by_name {
                    Some(selector) => config().fields(&selector),
                    None => whole.config,
                },
                api: whole.api,
                part,
                others: None,
            }
        };
        reach.parts().into_iter().map(one).collect()
    }
}

/// A watch of everything. The API server ends each after [`WATCH_SECONDS`], so one that hangs is
/// noticed soon after; kube's own five minutes are long for a revocation.
pub fn config() -> watcher::Config {
    watcher::Config::default()
        .timeout(WATCH_SECONDS)
        .page_size(PAGE)
}

// A minute is what a broken connection may hide of a revocation; shorter ones cost a request per
// kind each time.
const WATCH_SECONDS: u32 = 60;

/// Objects in one answer of a list. kube's own 500 may be 128 MiB of other people's annotations at a time.
pub const PAGE: u32 = 50;

/// Follows something for ever. `keep` says under which key an object is kept, and what of it; `None`
/// leaves it out. `changed` hears of every key that appeared, changed or went.
pub async fn follow<O, K, V>(
    followed: Followed<O>,
    cache: &Cache<K, V>,
    keep: impl Fn(&O) -> Option<(K, V)>,
    changed: impl Fn(&K),
) where
    O: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K: Clone + Ord,
{
    follow_part(&followed, cache, |_| true, &keep, &changed).await;
}

/// Follows all parts for ever, each by a watch of its own. One that may not be read is asked for again and
/// again, and holds up no other.
pub async fn follow_each<O, K, V>(
    all: Vec<Followed<O>>,
    cache: &Cache<K, V>,
    keep: impl Fn(&O) -> Option<(K, V)>,
    changed: impl Fn(&K),
) where
    O: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K: Clone + Ord + Located,
{
    let parts = all.iter().map(|one| {
        let is_here = |key: &K| one.part.holds(key.namespace());
        follow_part(one, cache, is_here, &keep, &changed)
    });
    futures::future::join_all(parts).await;
}

async fn follow_part<O, K, V>(
    followed: &Followed<O>,
    cache: &Cache<K, V>,
    is_here: impl Fn(&K) -> bool,
    keep: &impl Fn(&O) -> Option<(K, V)>,
    changed: &impl Fn(&K),
) where
    O: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K: Clone + Ord,
{
    let mut listed = BTreeMap::new();
    // Of a share of all namespaces the server sends the rest as well.
    let keep = |object: &O| keep(object).filter(|(key, _)| is_here(key));
    hear(followed, |heard| match heard {
        Heard::Applied(object) => {
            if let Some((key, value)) = keep(&object) {
                cache.set(key.clone(), Some(value));
                changed(&key);
            }
        }
        Heard::Deleted(object) => {
            if let Some((key, _)) = keep(&object) {
                cache.set(key.clone(), None);
                changed(&key);
            }
        }
        Heard::Listing => listed.clear(),
        Heard::Listed(object) => {
            listed.extend(keep(&object).map(|(key, value)| (key, Arc::new(value))));
        }
        Heard::AllListed => {
            let listed = std::mem::take(&mut listed);
            let keys: Vec<K> = listed.keys().cloned().collect();
            let gone = cache.replace(listed, &is_here);
            cache.answer(&followed.part, Answer::Listed);
            // Everything listed counts as changed: what changed while the watch was broken came without
            // an event.
            keys.iter().chain(&gone).for_each(changed);
        }
        Heard::Refused => cache.refused_now(&followed.part),
    })
    .await;
}

/// What a watch tells.
#[derive(Debug)]
pub enum Heard<O> {
    /// Everything that is there was told.
    AllListed,
    /// An object appeared or changed.
    Applied(O),
    /// An object went.
    Deleted(O),
    /// An object that is there.
    Listed(O),
    /// From now on it is told what is there; what was told before and is not told again is gone.
    Listing,
    /// It may not be read; it is asked for again and again.
    Refused,
}

/// Follows something for ever, and tells everything that is heard of it.
pub async fn hear<O>(followed: &Followed<O>, mut on: impl FnMut(Heard<O>))
where
    O: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let Followed {
        api,
        config,
        part,
        others,
    } = followed;
    loop {
        let mut events = pin!(watcher(api.clone(), config.clone()).backoff(patience()));
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(object)) => on(Heard::Applied(object)),
                Ok(watcher::Event::Delete(object)) => on(Heard::Deleted(object)),
                Ok(watcher::Event::Init) => on(Heard::Listing),
                Ok(watcher::Event::InitApply(object)) => on(Heard::Listed(object)),
                Ok(watcher::Event::InitDone) => on(Heard::AllListed),
                Err(error) => {
                    let namespace = part.namespace();
                    let kind = std::any::type_name::<O>();
                    tracing::warn!(%error, kind, namespace, "watch failed");
                    if let Some(others) = others {
                        others.failed(&error);
                    }
                    if refusal(&error) == Some(403) {
                        on(Heard::Refused);
                        break;
                    }
                }
            }
        }
        tokio::time::sleep(LONGEST_PAUSE).await;
    }
}

/// What the server does not let be read, by the code of its answer.
fn refusal(error: &watcher::Error) -> Option<u16> {
    code_of(error).filter(|code| [403, 404, 405].contains(code))
}

/// The code of the answer of the server, if that is why.
fn code_of(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

/// How long to wait after a watch broke. kube's own would grow to half a minute and stay there for
/// two, and a revocation is to be seen in seconds once the API server answers again.
fn patience() -> impl Backoff {
    let growing = ExponentialBuilder::new()
        .with_min_delay(SHORTEST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .with_jitter();
    ExponentialBackoff::from(growing)
}

// With jitter: replicas and kinds that lost their watches together do not come back together.
const SHORTEST_PAUSE: Duration = Duration::from_millis(400);
/// Longest wait after a watch broke or was refused, jitter apart.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Lists everything in pages, each of which is reduced before the next is asked for.
///
/// # Errors
/// The error of a request, or its timeout.
pub async fn pages<O, T>(
    api: &Api<O>,
    params: ListParams,
    keep: impl Fn(O) -> Option<T>,
) -> kube::Result<Vec<T>>
where
    O: Clone + DeserializeOwned + Debug,
{
    let mut kept = Vec::new();
    let page = |params| async move { api.list(&params).await };
    each(params.limit(PAGE), page, |object| kept.extend(keep(object))).await?;
    Ok(kept)
}

/// Takes everything of a list, page by page, as `page` asks for them; what was taken before an error stays
/// taken.
///
/// # Errors
/// The error of a request, or its timeout.
pub async fn each<O, F>(
    mut params: ListParams,
    page: impl Fn(ListParams) -> F,
    mut take: impl FnMut(O),
) -> kube::Result<()>
where
    O: Clone,
    F: Future<Output = kube::Result<ObjectList<O>>>,
{
    loop {
        let page = within_deadline(page(params.clone())).await?;
        page.items.into_iter().for_each(&mut take);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            // A token is good for five minutes on the server (etcd compaction); a page is taken in far
            // less.
            Some(token) => params.continue_token = Some(token),
            None => return Ok(()),
        }
    }
}

/// Whether an object, or a namespace, of the kinds that are asked for by their names can have this one. What others
/// write as a name may be any text: no request can be made of some, and others lead to another path.
pub fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_inner = |byte: u8| is_letter(byte) || matches!(byte, b'-' | b'.');
    let is_end = |byte: Option<&u8>| byte.is_some_and(|byte| is_letter(*byte));
    let bytes = text.as_bytes();
    let is_whole = is_end(bytes.first()) && is_end(bytes.last());
    is_whole && bytes.len() <= LONGEST_NAME && bytes.iter().copied().all(is_inner)
}

/// Of a DNS subdomain.
const LONGEST_NAME: usize = 253;

/// Bounds one request to the API server. kube itself has no read timeout.
///
/// # Errors
/// The error of the request, or a timeout in the shape of one.
pub async fn within_deadline<T>(request: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    match tokio::time::timeout(REQUEST_DEADLINE, request).await {
        Ok(answer) => answer,
        Err(_) => Err(kube::Error::Service(
            "the API server gave no answer in time".into(),
        )),
    }
}

/// Longest wait for one answer of the API server (`limits` fault F10 asks for at most 15 s).
const REQUEST_DEADLINE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::json;

    use super::*;

    /// A server may give an empty page that others follow, and an empty token at the end.
    #[tokio::test]
    async fn all_pages_of_a_list_are_taken_and_what_was_taken_stays_taken() {
        let page = |token: Option<&str>| {
            let (items, next) = match token {
                None => (json!(["a", "b"]), json!("second")),
                Some("second") => (json!([]), json!("third")),
                Some("third") => (json!(["c"]), json!("")),
                Some(other) => panic!("nobody gave {other}"),
            };
            json!({"apiVersion": "v1", "kind": "List", "metadata": {"continue": next}, "items": items})
        };
        for (failing, expected) in [(None, vec!["a", "b", "c"]), (Some("third"), vec!["a", "b"])] {
            let asked = RefCell::new(Vec::new());
            let answer = |params: ListParams| {
                assert_eq!(params.limit, Some(7));
                let token = params.continue_token;
                asked.borrow_mut().push(token.clone());
                let refused = kube::Error::Service("refused".into());
                let is_refused = token.is_some() && token.as_deref() == failing;
                let list = serde_json::from_value::<ObjectList<String>>(page(token.as_deref()));
                std::future::ready(if is_refused {
                    Err(refused)
                } else {
                    Ok(list.unwrap())
                })
            };
            let mut taken = Vec::new();
            let all = each(ListParams::default().limit(7), answer, |one| {
                taken.push(one);
            })
            .await;
            assert_eq!(
                (all.is_err(), taken),
                (
                    failing.is_some(),
                    expected.iter().map(|&one| one.to_owned()).collect()
                )
            );
            let tokens = [None, Some("second"), Some("third")];
            assert_eq!(
                *asked.borrow(),
                tokens.map(|token| token.map(str::to_owned))
            );
        }
    }
}
