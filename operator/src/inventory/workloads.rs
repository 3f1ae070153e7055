//! Workloads that carry Helm's marks: of which release each says to be. Reads only, and of each no more than
//! its metadata.
//!
//! Kept is one number for each object, and one text for each release that they name. Whoever may write
//! workloads in one namespace makes as many as he pleases, so both are bounded there.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::{Client, Resource};
use serde::de::DeserializeSeed as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::ReleaseId;
use crate::watch::{Followed, Heard, Only, Part, Path, Reach, as_its_kind, config, hear};

/// The marks that Helm puts on what it makes of a chart (`pkg/action/validate.go`).
const RELEASE_NAME: &str = "meta.helm.sh/release-name";
const RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";

/// Most objects of a namespace that are kept; with more, their number is at least this.
pub const MOST_WORKLOADS: usize = 10_000;
/// Most releases of a namespace that are told apart; what says to be of another counts as one more.
pub const MOST_RELEASES: usize = 1000;
/// Longest name of a release (`MaxReleaseNameLen` of Helm's `pkg/chart/common`).
const LONGEST_NAME: usize = 53;
/// Longest name of a namespace.
const LONGEST_NAMESPACE: usize = 63;

/// A workload as far as it says whose it is.
#[derive(Clone, Debug)]
pub struct Workload<K> {
    metadata: ObjectMeta,
    /// The release that it says to be of, if it says so and stays.
    pub claim: Option<ReleaseId>,
    kind: PhantomData<fn() -> K>,
}

const PATHS: [Path; 6] = [
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "resourceVersion"],
    &["metadata", "deletionTimestamp"],
    &["metadata", "annotations", RELEASE_NAME],
    &["metadata", "annotations", RELEASE_NAMESPACE],
];

impl<'de, K> Deserialize<'de> for Workload<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Only::of(&PATHS).deserialize(deserializer)?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let field = |name: &str| text(&object["metadata"][name]);
        let mark = |name: &str| {
            let value = text(&object["metadata"]["annotations"][name])?;
            Some((name.to_owned(), value))
        };
        let marks = [RELEASE_NAME, RELEASE_NAMESPACE]
            .into_iter()
            .filter_map(mark);
        let whole = ObjectMeta {
            name: field("name"),
            namespace: field("namespace"),
            resource_version: field("resourceVersion"),
            deletion_timestamp: field("deletionTimestamp").and_then(|at| at.parse().ok().map(Time)),
            annotations: Some(marks.collect()),
            ..ObjectMeta::default()
        };
        Ok(Self {
            claim: claim(&whole),
            metadata: ObjectMeta {
                annotations: None,
                ..whole
            },
            kind: PhantomData,
        })
    }
}

/// The release that a workload says to be of, by its metadata. What Helm would not have written says nothing,
/// and neither does what is being deleted.
pub fn claim(metadata: &ObjectMeta) -> Option<ReleaseId> {
    let marks = metadata.annotations.as_ref()?;
    let name = marks.get(RELEASE_NAME)?;
    let namespace = marks
        .get(RELEASE_NAMESPACE)
        .or(metadata.namespace.as_ref())?;
    let is_short = name.len() <= LONGEST_NAME && namespace.len() <= LONGEST_NAMESPACE;
    let is_one = is_short && !name.is_empty() && !namespace.is_empty();
    let stays = metadata.deletion_timestamp.is_none();
    (is_one && stays).then(|| ReleaseId {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

impl<K: Resource> Resource for Workload<K> {
    as_its_kind!(K);

    fn metadata_api() -> bool {
        true
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The workloads that carry Helm's marks.
#[derive(Debug, Default)]
pub struct Workloads {
    namespaces: Mutex<BTreeMap<String, Place>>,
    /// What may not be read.
    refused: Mutex<BTreeSet<(Number, Part)>>,
    hasher: RandomState,
}

/// What is kept of one namespace.
#[derive(Debug, Default)]
struct Place {
    /// By the number of each object, the release that it says to be of.
    objects: BTreeMap<u64, Arc<str>>,
    /// The texts that they share.
    releases: BTreeSet<Arc<str>>,
}

/// How many workloads of one namespace say to be of the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The namespace of the workloads.
    pub namespace: String,
    /// Of what.
    pub of: Claimant,
    /// How many.
    pub workloads: usize,
}

/// Of what something says to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claimant {
    /// Of Applications of Argo CD that deploy no chart, each of which is one.
    Applications,
    /// Of a release.
    Release(ReleaseId),
    /// Of releases that are too many to be told apart.
    Rest,
}

impl Claimed {
    /// As how many releases it counts.
    pub fn releases(&self) -> usize {
        match self.of {
            Claimant::Applications => self.workloads,
            Claimant::Release(_) | Claimant::Rest => 1,
        }
    }

    /// The name of the release, as far as it has one.
    pub fn name(&self) -> &str {
        match &self.of {
            Claimant::Release(release) => &release.name,
            Claimant::Applications | Claimant::Rest => "",
        }
    }
}

/// Which kind an object is of.
type Number = u64;

/// The number of a kind is in the first bits of the number of its objects, so that those of a kind lie together.
const KIND_BITS: u32 = 3;

impl Workloads {
    /// Follows all kinds of workloads for ever. `changed` hears when something may be another than before.
    pub async fn follow(&self, client: &Client, reach: &Reach, changed: impl Fn()) {
        tokio::join!(
            self.follow_kind::<CronJob>(client, reach, (0, &changed)),
            self.follow_kind::<DaemonSet>(client, reach, (1, &changed)),
            self.follow_kind::<Deployment>(client, reach, (2, &changed)),
            self.follow_kind::<Job>(client, reach, (3, &changed)),
            self.follow_kind::<StatefulSet>(client, reach, (4, &changed)),
        );
    }

    async fn follow_kind<K>(
        &self,
        client: &Client,
        reach: &Reach,
        (kind, changed): (Number, &impl Fn()),
    ) where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + 'static,
        Workload<K>: std::fmt::Debug,
    {
        let all = Followed::<Workload<K>>::each(client, reach, &config());
        let parts = all.iter().map(|one| self.follow_part(one, kind, changed));
        futures::future::join_all(parts).await;
    }

    async fn follow_part<K>(
        &self,
        followed: &Followed<Workload<K>>,
        kind: Number,
        changed: &impl Fn(),
    ) where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + 'static,
        Workload<K>: std::fmt::Debug,
    {
        let mut listed = BTreeSet::new();
        let is_here = |object: &Workload<K>| {
            let namespace = object.metadata.namespace.as_deref();
            followed.part().holds(namespace.unwrap_or_default())
        };
        hear(followed, |heard| {
            let is_news = match heard {
                Heard::Applied(object) | Heard::Deleted(object) | Heard::Listed(object)
                    if !is_here(&object) =>
                {
                    false
                }
                Heard::Applied(object) => self.put(kind, &object).is_news,
                Heard::Deleted(object) => self.remove(kind, &object),
                Heard::Listed(object) => {
                    let put = self.put(kind, &object);
                    listed.insert(put.number);
                    put.is_news
                }
                Heard::Listing => {
                    listed.clear();
                    false
                }
                Heard::AllListed => {
                    let is_readable = self.refused().remove(&(kind, followed.part().clone()));
                    let listed = std::mem::take(&mut listed);
                    self.retain(kind, followed.part(), &listed) || is_readable
                }
                Heard::Refused => self.refused().insert((kind, followed.part().clone())),
            };
            if is_news {
                changed();
            }
        })
        .await;
    }

    #[cfg(test)]
    /// As if the server had told of a Deployment that says to be of a release.
    pub fn suppose(&self, namespace: &str, name: &str, release: ReleaseId) {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        };
        let object = Workload::<Deployment> {
            metadata,
            claim: Some(release),
            kind: PhantomData,
        };
        self.put(2, &object);
    }

    /// Whether workloads may not be read somewhere.
    pub fn are_refused(&self) -> bool {
        !self.refused().is_empty()
    }

    fn refused(&self) -> MutexGuard<'_, BTreeSet<(Number, Part)>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that is claimed, by namespace and release, but only claims for which `is_one` is true.
    pub fn claimed(&self, is_one: impl Fn(&ReleaseId) -> bool) -> Vec<Claimed> {
        let namespaces = self.lock();
        let mut all = Vec::new();
        for (namespace, place) in namespaces.iter() {
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for release in place.objects.values() {
                *counts.entry(release).or_default() += 1;
            }
            for (text, workloads) in counts {
                let release = text.split_once('/').map(|(namespace, name)| ReleaseId {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                });
                if release.as_ref().is_none_or(&is_one) {
                    all.push(Claimed {
                        namespace: namespace.clone(),
                        of: release.map_or(Claimant::Rest, Claimant::Release),
                        workloads,
                    });
                }
            }
        }
        all
    }

    fn put<K>(&self, kind: Number, object: &Workload<K>) -> Put {
        let number = self.number(kind, object);
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        let mut namespaces = self.lock();
        let Some(claim) = &object.claim else {
            let is_news = forget(&mut namespaces, namespace, number);
            return Put { number, is_news };
        };
        let place = namespaces.entry(namespace.to_owned()).or_default();
        let text = place.text(&claim.to_string());
        let is_kept = place.objects.contains_key(&number) || place.objects.len() < MOST_WORKLOADS;
        let before = is_kept.then(|| place.objects.insert(number, Arc::clone(&text)));
        let is_news = before.is_some_and(|before| before != Some(text));
        place.tidy();
        Put { number, is_news }
    }

    fn remove<K>(&self, kind: Number, object: &Workload<K>) -> bool {
        let number = self.number(kind, object);
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        forget(&mut self.lock(), namespace, number)
    }

    /// Forgets what is of a kind, lies in a part, and was not listed.
    fn retain(&self, kind: Number, part: &Part, listed: &BTreeSet<u64>) -> bool {
        let mut is_news = false;
        let is_of_kind = |number: &u64| number >> (u64::BITS - KIND_BITS) == kind;
        self.lock().retain(|namespace, place| {
            if part.holds(namespace) {
                let before = place.objects.len();
                let stays = |number: &u64| !is_of_kind(number) || listed.contains(number);
                place.objects.retain(|number, _| stays(number));
                is_news |= place.objects.len() != before;
                place.tidy();
            }
            !place.objects.is_empty()
        });
        is_news
    }

    fn number<K>(&self, kind: Number, object: &Workload<K>) -> u64 {
        let meta = &object.metadata;
        let hash = self.hasher.hash_one((&meta.namespace, &meta.name));
        (kind << (u64::BITS - KIND_BITS)) | (hash >> KIND_BITS)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Place>> {
        let namespaces = self.namespaces.lock();
        namespaces.unwrap_or_else(PoisonError::into_inner)
    }
}

struct Put {
    number: u64,
    is_news: bool,
}

fn forget(namespaces: &mut BTreeMap<String, Place>, namespace: &str, number: u64) -> bool {
    let Some(place) = namespaces.get_mut(namespace) else {
        return false;
    };
    let is_news = place.objects.remove(&number).is_some();
    place.tidy();
    if place.objects.is_empty() {
        namespaces.remove(namespace);
    }
    is_news
}

impl Place {
    /// The text of a release, shared by all that say to be of it. With too many there is one for the rest.
    fn text(&mut self, release: &str) -> Arc<str> {
        if let Some(known) = self.releases.get(release) {
            return Arc::clone(known);
        }
        let text = if self.releases.len() < MOST_RELEASES {
            release
        } else {
            REST
        };
        let text = self
            .releases
            .get(text)
            .cloned()
            .unwrap_or_else(|| text.into());
        self.releases.insert(Arc::clone(&text));
        text
    }

    /// Forgets texts that nobody has any more; not each time, as all are looked at for that.
    fn tidy(&mut self) {
        if self.releases.len() > 2 * self.objects.len() + 1 || self.releases.len() > MOST_RELEASES {
            self.releases.retain(|text| Arc::strong_count(text) > 1);
        }
    }
}

/// In place of a release: those that are too many. No claim is this text.
const REST: &str = "";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    type Found = Workload<Deployment>;

    fn workload(namespace: &str, name: &str, marks: &Value) -> Found {
        let object = json!({"metadata": {
            "namespace": namespace, "name": name, "resourceVersion": "1", "annotations": marks,
            "labels": {"a": "b"}, "managedFields": [{"manager": "helm"}],
        }});
        serde_json::from_str(&object.to_string()).unwrap()
    }

    fn marks(namespace: &str, name: &str) -> Value {
        json!({RELEASE_NAME: name, RELEASE_NAMESPACE: namespace, "example.com/junk": "x".repeat(1 << 18)})
    }

    fn of(namespace: &str, name: &str, release: &str) -> Found {
        workload(namespace, name, &marks(namespace, release))
    }

    /// Namespace, release and number of workloads of all that is claimed.
    fn counts(all: &Workloads) -> Vec<(String, String, usize)> {
        let claimed = all.claimed(|_| true).into_iter();
        let text = |of: Claimant| match of {
            Claimant::Release(id) => id.to_string(),
            Claimant::Applications | Claimant::Rest => String::new(),
        };
        let told = claimed.map(|one| (one.namespace, text(one.of), one.workloads));
        told.collect()
    }

    #[test]
    fn only_what_helm_would_have_written_is_a_claim() {
        let claim = |marks: &Value| {
            let claim = workload("shop", "web", marks).claim;
            claim.map(|id| id.to_string())
        };
        let (name, longer) = ("a".repeat(LONGEST_NAME), "a".repeat(LONGEST_NAME + 1));
        for (marks, expected) in [
            (marks("bank", "web"), Some("bank/web".to_owned())),
            (json!({RELEASE_NAME: "web"}), Some("shop/web".to_owned())),
            (json!({RELEASE_NAME: name}), Some(format!("shop/{name}"))),
            (json!({RELEASE_NAME: longer}), None),
            (json!({RELEASE_NAME: ""}), None),
            (json!({RELEASE_NAME: 7}), None),
            (marks(&"a".repeat(LONGEST_NAMESPACE + 1), "web"), None),
            (json!({RELEASE_NAMESPACE: "shop"}), None),
            (json!(null), None),
        ] {
            assert_eq!(claim(&marks), expected, "{marks}");
        }
        let mut object = json!({"metadata": {"namespace": "shop", "name": "web",
            "annotations": marks("shop", "web")}});
        object["metadata"]["deletionTimestamp"] = json!("2026-11-29T00:00:00Z");
        let leaving: Found = serde_json::from_value(object).unwrap();
        assert_eq!(leaving.claim, None);
    }

    #[test]
    fn what_changes_or_goes_is_counted_no_more() {
        let all = Workloads::default();
        assert!(all.put(2, &of("shop", "web", "web")).is_news);
        assert!(
            !all.put(2, &of("shop", "web", "web")).is_news,
            "nothing new"
        );
        assert!(
            all.put(3, &of("shop", "web", "web")).is_news,
            "of another kind"
        );
        assert!(all.put(2, &of("bank", "web", "web")).is_news);
        let shop = |release: &str, many| ("shop".to_owned(), format!("shop/{release}"), many);
        let bank = ("bank".to_owned(), "bank/web".to_owned(), 1);
        assert_eq!(counts(&all), [bank.clone(), shop("web", 2)]);
        assert!(all.put(2, &of("shop", "web", "other")).is_news);
        assert_eq!(
            counts(&all),
            [bank.clone(), shop("other", 1), shop("web", 1)]
        );
        assert!(all.put(2, &workload("shop", "web", &json!({}))).is_news);
        assert!(all.remove(3, &of("shop", "web", "web")));
        assert!(!all.remove(3, &of("shop", "web", "web")));
        assert_eq!(counts(&all), [bank]);
        assert!(all.retain(2, &Part::Whole, &BTreeSet::new()));
        assert!(all.lock().is_empty(), "and nothing is kept of a namespace");
    }

    #[test]
    fn a_list_of_one_kind_and_part_takes_nothing_else_along() {
        let all = Workloads::default();
        for namespace in ["bank", "shop"] {
            all.put(2, &of(namespace, "web", "web"));
            all.put(3, &of(namespace, "job", "web"));
        }
        let shop = Part::Namespace("shop".to_owned());
        assert!(all.retain(2, &shop, &BTreeSet::new()));
        let found: Vec<_> = counts(&all)
            .into_iter()
            .map(|(namespace, _, many)| (namespace, many))
            .collect();
        assert_eq!(found, [("bank".to_owned(), 2), ("shop".to_owned(), 1)]);
    }

    #[test]
    fn whoever_makes_many_fills_one_namespace_to_its_bounds() {
        let all = Workloads::default();
        for number in 0..MOST_WORKLOADS + 10 {
            all.put(2, &of("shop", &format!("w{number}"), &format!("r{number}")));
        }
        all.put(2, &of("bank", "web", "web"));
        let shop: Vec<_> = counts(&all)
            .into_iter()
            .filter(|(namespace, ..)| namespace == "shop")
            .collect();
        let workloads: usize = shop.iter().map(|(_, _, many)| many).sum();
        assert_eq!((shop.len(), workloads), (MOST_RELEASES + 1, MOST_WORKLOADS));
        assert_eq!(
            counts(&all).len(),
            MOST_RELEASES + 2,
            "others are told apart"
        );
        assert!(all.lock()["shop"].releases.len() <= MOST_RELEASES + 1);
    }

    proptest! {
        /// Whatever comes and goes: what is counted is what is there.
        #[test]
        fn what_is_counted_is_what_is_there(
            events in prop::collection::vec((0..5_u64, 0..3_u8, 0..4_u8, 0..4_u8, any::<bool>()), 0..60)
        ) {
            let all = Workloads::default();
            let mut there: BTreeMap<(u64, u8, u8), u8> = BTreeMap::new();
            for (kind, namespace, name, release, goes) in events {
                let object = of(&format!("n{namespace}"), &format!("w{name}"), &format!("r{release}"));
                if goes {
                    all.remove(kind, &object);
                    there.remove(&(kind, namespace, name));
                } else {
                    all.put(kind, &object);
                    there.insert((kind, namespace, name), release);
                }
            }
            let mut expected: BTreeMap<(String, String), usize> = BTreeMap::new();
            for ((_, namespace, _), release) in there {
                let key = (format!("n{namespace}"), format!("n{namespace}/r{release}"));
                *expected.entry(key).or_default() += 1;
            }
            let found: BTreeMap<_, _> = counts(&all)
                .into_iter()
                .map(|(namespace, release, many)| ((namespace, release), many))
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
