//! Follows one kind of object on the API server and keeps the part of each that we need.
//!
//! Reads only. A relist after a broken watch reports what went missing meanwhile as deleted, which
//! a plain stream of events does not.
//!
//! Decision: not `kube::runtime::reflector::Store`, which keeps whole objects. Of a record we keep a
//! few words, of a namespace its labels; a tenant can make the rest as large as the API server allows.

mod lean;
mod optional;
mod picked;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::ops::RangeBounds;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use backon::ExponentialBuilder;
use futures::StreamExt as _;
use kube::api::ListParams;
use kube::core::ObjectList;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::ExponentialBackoff;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

pub use lean::{Lean, LeanMeta};
pub use optional::{Change, Kind, ObjectName, Optional, State, discover};
pub use picked::{EACH, FIRST, Kept, LAST, MOST, Only, PRESENT, Path, Picked};

/// What is known of the objects of one kind, by a key of our choosing.
#[derive(Debug)]
pub struct Cache<K, V> {
    values: RwLock<BTreeMap<K, Arc<V>>>,
    complete: watch::Sender<bool>,
}

impl<K: Clone + Ord, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self {
            values: RwLock::default(),
            complete: watch::Sender::new(false),
        }
    }
}

impl<K: Clone + Ord, V> Cache<K, V> {
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

    /// Waits until everything has been listed once.
    pub async fn completed(&self) {
        let mut complete = self.complete.subscribe();
        // Invariant: the sender lives as long as `self`, so waiting cannot fail.
        let _ = complete.wait_for(|complete| *complete).await;
    }

    /// Keeps a value, or forgets it.
    pub(crate) fn set(&self, key: K, value: Option<V>) {
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        match value {
            Some(value) => drop(values.insert(key, Arc::new(value))),
            None => drop(values.remove(&key)),
        }
    }

    /// Replaces everything; returns the keys that are gone.
    fn replace(&self, listed: BTreeMap<K, Arc<V>>) -> Vec<K> {
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        let gone = values
            .keys()
            .filter(|key| !listed.contains_key(key))
            .cloned()
            .collect();
        *values = listed;
        gone
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

/// Follows `api` for ever. `keep` says under which key an object is kept, and what of it; `None`
/// leaves it out. `changed` hears of every key that appeared, changed or went.
pub async fn follow<O, K, V>(
    api: Api<O>,
    config: watcher::Config,
    cache: &Cache<K, V>,
    keep: impl Fn(&O) -> Option<(K, V)>,
    changed: impl Fn(&K),
) where
    O: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K: Clone + Ord,
{
    let mut events = pin!(watcher(api, config).backoff(patience()));
    let mut listed = BTreeMap::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Apply(object)) => {
                if let Some((key, value)) = keep(&object) {
                    cache.set(key.clone(), Some(value));
                    changed(&key);
                }
            }
            Ok(watcher::Event::Delete(object)) => {
                if let Some((key, _)) = keep(&object) {
                    cache.set(key.clone(), None);
                    changed(&key);
                }
            }
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                listed.extend(keep(&object).map(|(key, value)| (key, Arc::new(value))));
            }
            Ok(watcher::Event::InitDone) => relisted(cache, std::mem::take(&mut listed), &changed),
            Err(error) => tracing::warn!(%error, kind = std::any::type_name::<O>(), "watch failed"),
        }
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
/// Longest wait after a watch broke, jitter apart.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

fn relisted<K: Clone + Ord, V>(
    cache: &Cache<K, V>,
    listed: BTreeMap<K, Arc<V>>,
    changed: &impl Fn(&K),
) {
    let keys: Vec<K> = listed.keys().cloned().collect();
    let gone = cache.replace(listed);
    cache.complete.send_replace(true);
    // Everything listed counts as changed: what changed while the watch was broken came without an
    // event.
    keys.iter().chain(&gone).for_each(changed);
}

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
