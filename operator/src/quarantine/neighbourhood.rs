//! What else lives in a namespace: its Pods, and what makes them.
//!
//! A namespace may hold ten thousand Pods and the releases of fifty quarantines. So its lists are read
//! once for all that ask at the same time, and shared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::FutureExt as _;
use futures::future::try_join_all;
use kube::Client;
use kube::api::ApiResource;
use serde_json::Value;
use tokio::time::Instant;

use super::callers::Callers;
use super::pod::{Pod, owner};
use super::reading::GatherError;
use super::recent::{Absent, Recent};
use super::target::{TARGETS, Target};
use super::{fields, reading, reduced, resources};
use crate::watch::Reach;

/// What else lives in a namespace, reduced to what tells whose it is.
#[derive(Clone, Debug, Default)]
pub struct Neighbourhood {
    /// The Pods.
    pub(super) pods: Vec<Pod>,
    /// `ReplicaSets` and Jobs, which stand between workloads and Pods.
    pub(super) intermediates: Vec<Value>,
    /// All other workloads that make Pods, or will.
    pub(super) pod_owners: Vec<Value>,
}

const INTERMEDIATES: [&str; 2] = ["ReplicaSet", "Job"];
const POD_OWNERS: [&str; 4] = ["CronJob", "DaemonSet", "Deployment", "StatefulSet"];

impl Neighbourhood {
    /// Kind and name of every workload.
    pub(super) fn workloads(&self) -> BTreeSet<(&str, &str)> {
        let all = self.pod_owners.iter().chain(&self.intermediates);
        let named = all.filter_map(|object| {
            let kind = fields::text(object, &["kind"])?;
            Some((kind, fields::text(object, &["metadata", "name"])?))
        });
        named.collect()
    }

    async fn list(client: &Client, namespace: &str) -> Result<Self, GatherError> {
        let pod = resources::pod();
        // Together: an API server takes up to a tenth of a second to know that what it has in memory is what there is.
        let (pods, intermediates, pod_owners) = futures::try_join!(
            reduced::all(client, &pod, namespace, |pod| Pod::of(&pod)),
            of_kinds(client, &INTERMEDIATES, namespace),
            of_kinds(client, &POD_OWNERS, namespace),
        )?;
        let mut found = Self {
            pods,
            intermediates,
            pod_owners,
        };
        if !found.has_all_makers() {
            // Made since its kind was listed: what makes others is listed after those.
            found.intermediates = of_kinds(client, &INTERMEDIATES, namespace).await?;
            found.pod_owners = of_kinds(client, &POD_OWNERS, namespace).await?;
        }
        Ok(found)
    }

    /// Whether everything is there of which Pods, and what stands between, say that it makes them.
    fn has_all_makers(&self) -> bool {
        let all = self.pod_owners.iter().chain(&self.intermediates);
        let uids = all.filter_map(|object| fields::text(object, &["metadata", "uid"]));
        let uids: BTreeSet<&str> = uids.collect();
        let of_pods = self.pods.iter().filter_map(Pod::owner);
        let makers = of_pods.chain(self.intermediates.iter().filter_map(owner));
        let is_listed = |kind| INTERMEDIATES.contains(&kind) || POD_OWNERS.contains(&kind);
        let mut listed = makers.filter(|maker| is_listed(maker.kind));
        listed.all(|maker| uids.contains(maker.uid))
    }
}

async fn of_kinds(
    client: &Client,
    kinds: &[&str],
    namespace: &str,
) -> Result<Vec<Value>, GatherError> {
    let targets = TARGETS.iter().filter(|one| kinds.contains(&one.kind));
    let lists = targets.map(|target| of_kind(client, target, namespace).boxed());
    let found = try_join_all(lists).await?;
    Ok(found.into_iter().flatten().collect())
}

async fn of_kind(
    client: &Client,
    target: &Target,
    namespace: &str,
) -> Result<Vec<Value>, GatherError> {
    reduced::all(client, &resources::of(target), namespace, Some).await
}

/// The neighbourhoods that are looked at just now.
pub struct Neighbourhoods {
    client: Client,
    reach: Reach,
    tick: fn() -> Instant,
    known: Mutex<BTreeMap<String, Arc<Place>>>,
    /// What the API server calls, wherever that is.
    callers: Recent<Callers>,
    absent: Absent,
}

/// One namespace; whoever lists it holds the lock, and the others wait for what is found.
type Place = tokio::sync::Mutex<Listing>;

/// What was found, for as long as somebody uses it.
#[derive(Default)]
struct Listing {
    found: Weak<Neighbourhood>,
    until: Option<Instant>,
}

impl Listing {
    /// What was found, if that is young enough.
    fn at(&self, tick: Instant) -> Option<Arc<Neighbourhood>> {
        let is_young = self.until.is_some_and(|until| tick < until);
        is_young.then(|| self.found.upgrade())?
    }
}

impl Neighbourhoods {
    /// None is known yet; `tick` is the clock that only goes on.
    pub fn new(client: Client, tick: fn() -> Instant) -> Self {
        Self {
            client,
            reach: Reach::Everywhere,
            tick,
            known: Mutex::default(),
            callers: Recent::default(),
            absent: Absent::default(),
        }
    }

    /// Deployers and Quarantines are looked for here only.
    #[must_use]
    pub fn within(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    /// Where deployers and Quarantines are looked for.
    pub(super) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// The client that it is listed by.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The clock that only goes on.
    pub(super) fn tick(&self) -> fn() -> Instant {
        self.tick
    }

    /// What the API server calls.
    ///
    /// # Errors
    /// If it does not answer.
    pub(super) async fn callers(&self, since: Instant) -> Result<Arc<Callers>, GatherError> {
        let list = async || Callers::list(&self.client).await;
        self.callers.get((self.tick, since), list).await
    }

    /// What is needed of everything of a kind that most places have none of, in one place or everywhere. Where there was
    /// none a moment ago nobody is asked again.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub(super) async fn rare(
        &self,
        (resource, namespace): (&ApiResource, Option<&str>),
        since: Instant,
        needed: impl Fn(&Value) -> bool,
    ) -> Result<Vec<Value>, GatherError> {
        let place = namespace.unwrap_or_default();
        let list = format!("{}/{}/{place}", resource.api_version, resource.plural);
        let began = (self.tick)();
        if self.absent.is_known(&list, since, began) {
            return Ok(Vec::new());
        }
        let is_any = AtomicBool::new(false);
        let some = |object: Value| {
            is_any.store(true, Ordering::Relaxed);
            Some(object).filter(&needed).into_iter().collect()
        };
        let found = reading::select(&self.client, resource, namespace, some).await?;
        if !is_any.load(Ordering::Relaxed) {
            self.absent.note(list, began);
        }
        Ok(found)
    }

    /// What lives in a namespace. A list is as good as new for as long as it took to make: nobody sees
    /// much older Pods than by a list of his own, and at most half of the time goes into lists.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub(super) async fn of(&self, namespace: &str) -> Result<Arc<Neighbourhood>, GatherError> {
        let place = self.place(namespace);
        let mut listing = place.lock().await;
        let began = (self.tick)();
        if let Some(found) = listing.at(began) {
            return Ok(found);
        }
        let found = Arc::new(Neighbourhood::list(&self.client, namespace).await?);
        let ended = (self.tick)();
        *listing = Listing {
            found: Arc::downgrade(&found),
            until: Some(ended + ended.duration_since(began)),
        };
        Ok(found)
    }

    fn place(&self, namespace: &str) -> Arc<Place> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, place| is_used(place));
        Arc::clone(known.entry(namespace.to_owned()).or_default())
    }
}

/// Whether somebody waits for a list, or still has it.
fn is_used(place: &Arc<Place>) -> bool {
    let has_it = |listing: &Listing| listing.found.strong_count() > 0;
    Arc::strong_count(place) > 1 || place.try_lock().is_ok_and(|listing| has_it(&listing))
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::time::Duration;

    use serde_json::json;
    use wiremock::matchers::{any, path_regex};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "nothing is judged by it")]
    fn tick() -> Instant {
        Instant::now()
    }

    /// A server whose every list takes a moment and holds one Pod.
    async fn server() -> (MockServer, Neighbourhoods) {
        let server = MockServer::start().await;
        let pod = json!([{"metadata": {"name": "web-1"}}]);
        let pods = Mock::given(path_regex("/pods$")).respond_with(answer(&pod));
        pods.with_priority(1).mount(&server).await;
        let others = Mock::given(any()).respond_with(answer(&json!([])));
        others.mount(&server).await;
        let all = around(&server);
        (server, all)
    }

    fn answer(items: &Value) -> ResponseTemplate {
        let list = json!({"metadata": {"resourceVersion": "1"}, "items": items});
        let answer = ResponseTemplate::new(200).set_body_json(list);
        answer.set_delay(Duration::from_millis(30))
    }

    fn around(server: &MockServer) -> Neighbourhoods {
        let config = kube::Config::new(server.uri().parse().unwrap());
        Neighbourhoods::new(Client::try_from(config).unwrap(), tick)
    }

    async fn asked(server: &MockServer) -> usize {
        server.received_requests().await.unwrap().len()
    }

    #[tokio::test]
    async fn all_who_ask_at_the_same_time_share_one_list() {
        let (server, all) = server().await;
        let asking = (0..50).map(|_| all.of("shop"));
        let found = futures::future::join_all(asking).await;
        assert_eq!(asked(&server).await, 7, "one of each kind");
        for one in &found {
            assert_eq!(one.as_ref().unwrap().pods.len(), 1);
        }
        all.of("bank").await.unwrap();
        assert_eq!(asked(&server).await, 14, "of each namespace");
    }

    #[tokio::test]
    async fn where_there_is_none_nobody_asks_again_for_a_second() {
        fn still() -> Instant {
            static THEN: OnceLock<Instant> = OnceLock::new();
            *THEN.get_or_init(tick)
        }
        let (server, all) = server().await;
        let all = Neighbourhoods::new(all.client, still);
        let (none, some) = (resources::policy(), resources::pod());
        for (resource, lists) in [(&none, 1), (&some, 3)] {
            let before = asked(&server).await;
            for _ in 0..3 {
                let found = all.rare((resource, Some("shop")), still(), |_| false).await;
                assert!(found.unwrap().is_empty());
            }
            assert_eq!(asked(&server).await - before, lists, "{}", resource.kind);
        }
        all.rare((&none, Some("bank")), still(), |_| true)
            .await
            .unwrap();
        assert_eq!(asked(&server).await, 5, "of each namespace");
    }

    #[tokio::test]
    async fn what_nobody_uses_any_more_is_forgotten() {
        let (server, all) = server().await;
        drop(all.of("shop").await.unwrap());
        let kept = all.of("bank").await.unwrap();
        let known = |all: &Neighbourhoods| {
            all.known
                .lock()
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(known(&all), ["bank"]);
        all.of("shop").await.unwrap();
        assert_eq!(asked(&server).await, 21, "it is read again");
        drop(kept);
    }

    /// Lists are made at the same time: a `ReplicaSet` may be made after its list, and before that of Pods.
    #[tokio::test]
    async fn what_makes_others_is_listed_after_them() {
        let made_by = |kind: &str, uid: &str| json!([{"kind": kind, "name": "web", "uid": uid, "controller": true}]);
        for (maker, lists) in [("ReplicaSet", 13), ("Rollout", 7)] {
            let server = MockServer::start().await;
            let pod =
                json!([{"metadata": {"name": "web-1", "ownerReferences": made_by(maker, "set")}}]);
            let set = json!([{"metadata": {"name": "web", "uid": "set", "ownerReferences": made_by("Deployment", "it")}}]);
            let deployment = json!([{"metadata": {"name": "web", "uid": "it"}}]);
            let pods = Mock::given(path_regex("/pods$")).respond_with(answer(&pod));
            server.register(pods.with_priority(1)).await;
            for (plural, later) in [("replicasets", set), ("deployments", deployment)] {
                let list = || Mock::given(path_regex(format!("/{plural}$")));
                let first = list().respond_with(answer(&json!([])));
                server
                    .register(first.up_to_n_times(1).with_priority(1))
                    .await;
                let later = list().respond_with(answer(&later));
                server.register(later.with_priority(2)).await;
            }
            server
                .register(Mock::given(any()).respond_with(answer(&json!([]))))
                .await;
            let all = around(&server);
            let found = all.of("shop").await.unwrap();
            assert_eq!(asked(&server).await, lists, "{maker}");
            assert!(found.has_all_makers(), "{maker}");
            let is_whole = found.intermediates.len() == 1 && found.pod_owners.len() == 1;
            assert_eq!(is_whole, maker == "ReplicaSet");
        }
    }

    #[test]
    fn a_list_is_not_used_after_its_time() {
        let found = Arc::new(Neighbourhood::default());
        let until = tick();
        let listing = Listing {
            found: Arc::downgrade(&found),
            until: Some(until),
        };
        assert!(listing.at(until - Duration::from_millis(1)).is_some());
        assert!(listing.at(until).is_none());
    }
}
