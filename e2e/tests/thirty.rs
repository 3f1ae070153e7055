//! A key that 30 of 100 releases depend on is revoked: how many are contained, how fast beside a bare
//! client that makes the same patches, with how many writes; and all of it back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::time::{Duration, Instant};

use charttrust::api::{ChartTrustPolicy, Quarantine, TrustedKey};
use charttrust_e2e::audit::{Event, Events};
use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::helm::Version;
use charttrust_e2e::operator::binary;
use charttrust_e2e::stage::{Power, SOON, Setting, Stage, Story, StoryKey, verdict};
use charttrust_e2e::{eventually, lasting};
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

const DEPENDENT: usize = 30;
const OTHERS: usize = 70;
/// Of each release.
const WORKLOADS: usize = 1;
/// A hundred releases on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// A hundred releases, and the key of thirty of them.
struct Company<'a> {
    stage: &'a Stage,
    story: Story,
    stolen: StoryKey,
    policy: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_of_a_hundred_releases_are_contained_and_come_back() {
    let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
    let stage = Stage::set(cluster, Setting::new(binary(), Power::Contains)).await;
    let scene = Company::set(&stage).await;
    let before = scene.workloads().await;

    scene.nothing_starts_beyond_the_default_limit().await;
    same(&before, &scene.workloads().await);
    scene.change_key(Value::Null).await;
    scene.all_are("SignatureVerified", DEPENDENT + OTHERS).await;
    let limit = json!({"spec": {"quarantine": {"limit": {"maxReleases": 30, "maxPercent": 30, "maxPerNamespace": 30}}}});
    let story = &scene.story;
    story.patch::<ChartTrustPolicy>(&scene.policy, limit).await;

    scene.exactly_the_dependent_are_contained().await;
    scene.all_come_back(&before).await;
}

impl<'a> Company<'a> {
    async fn set(stage: &'a Stage) -> Self {
        let story = Story::begin(stage.cluster, "thirty", Version::V4).await;
        let stolen = story.trusted_key("stolen").await;
        let kept = story.trusted_key("kept").await;
        let quarantine = json!({"quarantine": {
            "onReasons": ["KeyCompromised"], "approval": "Automatic", "after": "0s",
            "actions": ["ScaleToZero"],
        }});
        let keys = [&stolen, &kept];
        let policy = story.policy("policy", &keys, quarantine).await;
        let scene = Self {
            stage,
            story,
            stolen,
            policy,
        };
        for (name, key, count) in [
            (DEPENDENT_CHART, &scene.stolen, DEPENDENT),
            ("quiet-service", &kept, OTHERS),
        ] {
            let source = Source::new(name, "1.0.0").with_file("values.yaml", "replicas: 3\n");
            let chart = scene.story.publish(&source, Some(key)).await;
            scene.install(&chart, count).await;
        }
        scene.all_are("SignatureVerified", DEPENDENT + OTHERS).await;
        scene
    }

    async fn install(&self, chart: &Chart, count: usize) {
        let install = async |number: usize| {
            let release = release(&chart.name, number);
            self.story.install(&release, chart).await;
        };
        let all = futures::stream::iter(0..count).map(install);
        all.buffer_unordered(4).collect::<()>().await;
    }

    /// Waits until so many releases have this word as verdict.
    async fn all_are(&self, word: &str, count: usize) {
        eventually(PATIENCE, &format!("{count} are {word}"), async || {
            let all = self.story.trusts().list(&ListParams::default()).await;
            let all = all.map_err(|error| error.to_string())?.items;
            match all.iter().filter(|trust| verdict(trust) == word).count() {
                found if found == count => Ok(()),
                found => Err(format!("{found} of {count}")),
            }
        })
        .await;
    }

    async fn change_key(&self, revocation: Value) {
        let change = json!({"spec": {"revocation": revocation}});
        let name = &self.stolen.name;
        self.story.patch::<TrustedKey>(name, change).await;
    }

    async fn quarantines(&self) -> Vec<Quarantine> {
        let api = Api::namespaced(self.story.client.clone(), &self.story.namespace);
        api.list(&ListParams::default()).await.unwrap().items
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.story.client.clone(), &self.story.namespace)
    }

    /// Spec, annotations and owners of every workload, without what its controller writes.
    async fn workloads(&self) -> BTreeMap<String, Value> {
        let all = self.deployments().list(&ListParams::default()).await;
        let essence = |object: Deployment| {
            let owners = object.managed_fields().iter();
            let owners = owners.filter(|one| one.manager.as_deref() == Some("helm"));
            // The controller of Deployments counts there.
            let mut annotations = object.annotations().clone();
            annotations.remove("deployment.kubernetes.io/revision");
            let essence = json!({
                "spec": object.spec,
                "annotations": annotations,
                "ours": object.managed_fields().iter().any(is_ours),
                "helm": owners.collect::<Vec<_>>(),
            });
            (object.name_any(), essence)
        };
        all.unwrap().items.into_iter().map(essence).collect()
    }

    async fn nothing_starts_beyond_the_default_limit(&self) {
        let mark = self.stage.cluster.mark();
        self.change_key(json!({"reason": "Compromised"})).await;
        let stopped = "QuarantineStopped=True/LimitReached";
        let policies = self.story.policies();
        let message = self
            .story
            .expect_condition(&policies, &self.policy, stopped)
            .await;
        for release in dependent() {
            assert!(message.contains(&release), "{release}: {message}");
        }
        // All lie in one namespace, whose own limit is the lower one.
        let due = "30 are due in namespaces in which only 3 may be contained";
        assert!(message.contains(due), "{message}");
        assert!(self.quarantines().await.is_empty());
        let audit = self.stage.cluster.asked_since(mark);
        let writes = audit.by(self.stage.identity.user()).writes();
        assert_eq!(writes.clone().of("quarantines").len(), 0);
        assert_eq!(writes.of("deployments").len(), 0);
    }

    async fn exactly_the_dependent_are_contained(&self) {
        // That the limit is no longer reached is written after the verdict.
        self.stage.at_rest(&self.story.namespace).await;
        let mark = self.stage.cluster.mark();
        self.change_key(json!({"reason": "Compromised"})).await;
        self.active(DEPENDENT).await;
        self.all_are("KeyCompromised", DEPENDENT).await;
        self.settled(mark).await;

        let named: BTreeSet<_> = self.quarantines().await.iter().map(name).collect();
        assert_eq!(named, dependent().collect());
        for (name, object) in self.workloads().await {
            let expected = if named.contains(&name) { 0 } else { 3 };
            assert_eq!(object["spec"]["replicas"], expected, "{name}");
        }
        let events = self.stage.cluster.asked_since(mark);
        let ours = self.stage.identity.user();
        let revoked = events
            .iter()
            .find(|event| event.name == self.stolen.name && event.user != ours);
        let revoked = revoked.unwrap().time;
        let writes = events.clone().by(ours).writes();
        self.count_writes(&writes);
        let patches = writes.of("deployments");
        let [first, last] = [patches.iter().map(at).min(), patches.iter().map(at).max()]
            .map(|time| milliseconds(revoked, time.unwrap()));
        let (bare_first, bare_last) = self.bare_client().await;
        say(&format!(
            "revocation to the first and the last of {DEPENDENT} patches: {first} ms, {last} ms; \
             between them {} ms, a bare client {} ms (its first after {bare_first} ms)",
            last - first,
            bare_last - bare_first,
        ));
    }

    /// Waits until so many quarantines are in force.
    async fn active(&self, count: usize) {
        eventually(PATIENCE, &format!("{count} are contained"), async || {
            let url = self.stage.operator(|operator| operator.metrics_url());
            let text = async { reqwest::get(url).await?.text().await };
            let text = text.await.map_err(|error| error.to_string())?;
            let wanted = format!("charttrust_quarantined_releases {count}");
            let found = text.lines().find(|line| line.starts_with(QUARANTINED));
            if found == Some(wanted.as_str()) {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            }
        })
        .await;
    }

    /// Waits until every dependent release says that it is contained: the last that is written.
    async fn settled(&self, mark: charttrust_e2e::audit::Mark) {
        eventually(SOON, "each dependent release says so", async || {
            let trusts = self.story.trusts().list(&ListParams::default()).await;
            let trusts = trusts.map_err(|error| error.to_string())?.items;
            let says = trusts.iter().filter(|trust| {
                let conditions = trust.status.iter().flat_map(|status| &status.conditions);
                conditions
                    .filter(|condition| condition.type_ == "Quarantined")
                    .any(|condition| condition.reason == "Active")
            });
            match says.count() {
                DEPENDENT => Ok(()),
                found => Err(format!("{found} of {DEPENDENT}")),
            }
        })
        .await;
        self.stage.cluster.asked_since(mark);
    }

    /// Designed are: the verdict, the quarantine, the originals, the patches, the conclusion, and the
    /// verdict's object once more, which says that it is contained.
    fn count_writes(&self, writes: &Events) {
        let of_release = |release: &str| {
            let of = |event: &&Event| {
                event.namespace == self.story.namespace && event.name == release && event.code < 300
            };
            writes.iter().filter(of).map(kind).collect::<Vec<_>>()
        };
        let mut most = Vec::new();
        for release in dependent() {
            let mut kinds = of_release(&release);
            kinds.sort();
            let patches = kinds.iter().filter(|kind| *kind == "patch deployments");
            assert_eq!(patches.count(), WORKLOADS, "{release}: {kinds:?}");
            if kinds.len() > most.len() {
                most = kinds;
            }
        }
        say(&format!(
            "writes of one release: at most {} (W + 4 = {}): {}",
            most.len(),
            WORKLOADS + 4,
            most.join(", ")
        ));
        assert!(most.len() <= WORKLOADS + 5, "{most:?}");
    }

    /// The same patches by a client that knows what to do, on as many releases that stay trusted.
    async fn bare_client(&self) -> (i64, i64) {
        let api = self.deployments();
        let started = Instant::now();
        let mut times = Vec::new();
        for number in 0..DEPENDENT {
            let name = release("quiet-service", number);
            let object = api.get(&name).await.unwrap();
            let version = object.resource_version().unwrap();
            let patch = json!([
                {"op": "test", "path": "/metadata/resourceVersion", "value": version},
                {"op": "test", "path": "/spec/replicas", "value": 3},
                {"op": "add", "path": "/metadata/annotations/example.com~1mark", "value": "3"},
                {"op": "replace", "path": "/spec/replicas", "value": 0},
            ]);
            let patch = Patch::<Value>::Json(serde_json::from_value(patch).unwrap());
            let params = PatchParams::default();
            api.patch(&name, &params, &patch).await.unwrap();
            times.push(i64::try_from(started.elapsed().as_millis()).unwrap());
        }
        for number in 0..DEPENDENT {
            let change = json!({
                "metadata": {"annotations": {"example.com/mark": null}},
                "spec": {"replicas": 3},
            });
            let name = release("quiet-service", number);
            let params = PatchParams::default();
            api.patch(&name, &params, &Patch::Merge(change))
                .await
                .unwrap();
        }
        (times[0], times[DEPENDENT - 1])
    }

    async fn all_come_back(&self, before: &BTreeMap<String, Value>) {
        let started = Instant::now();
        self.change_key(Value::Null).await;
        self.all_are("SignatureVerified", DEPENDENT + OTHERS).await;
        self.active(0).await;
        let api: Api<Quarantine> =
            Api::namespaced(self.story.client.clone(), &self.story.namespace);
        eventually(PATIENCE, "no quarantine is left", async || {
            let left = api.list(&ListParams::default()).await;
            match left.map_err(|error| error.to_string())?.items.len() {
                0 => Ok(()),
                left => Err(format!("{left} are left")),
            }
        })
        .await;
        let restored = started.elapsed();
        let mark = self.stage.cluster.mark();
        let after = self.workloads().await;
        // The others were changed by the bare client.
        let dependent = |mut all: BTreeMap<String, Value>| {
            all.retain(|name, _| name.starts_with(DEPENDENT_CHART));
            all
        };
        same(&dependent(before.clone()), &dependent(after));
        // Longer than anything that the operator would do about it by itself.
        let still = lasting(Duration::from_secs(3), async || {
            let writes = self.stage.cluster.asked_since(mark);
            let further = writes.by(self.stage.identity.user()).writes();
            let further = further.only(|event| event.resource == "deployments");
            if further.is_empty() {
                Ok(())
            } else {
                Err(further)
            }
        });
        let further = still.await.err();
        assert!(further.is_none(), "{further:#?}");
        say(&format!(
            "trust returned: all {DEPENDENT} as they were after {} ms",
            restored.as_millis()
        ));
    }
}

const DEPENDENT_CHART: &str = "customer-portal";
const QUARANTINED: &str = "charttrust_quarantined_releases ";

fn same(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) {
    assert_eq!(before.len(), after.len());
    for (name, object) in before {
        assert_eq!(object, &after[name], "{name}");
    }
}

fn release(chart: &str, number: usize) -> String {
    format!("{chart}-{number:02}")
}

fn dependent() -> impl Iterator<Item = String> {
    (0..DEPENDENT).map(|number| release(DEPENDENT_CHART, number))
}

fn name(object: &Quarantine) -> String {
    object.name_any()
}

fn is_ours(entry: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some("charttrust")
}

fn kind(event: &Event) -> String {
    let part = match event.subresource.as_str() {
        "" => String::new(),
        part => format!("/{part}"),
    };
    format!("{} {}{part}", event.verb, event.resource)
}

fn at(event: &Event) -> Timestamp {
    event.time
}

fn milliseconds(from: Timestamp, to: Timestamp) -> i64 {
    i64::try_from(to.duration_since(from).as_millis()).unwrap()
}

/// Straight to the terminal: the harness swallows what is printed.
fn say(text: &str) {
    let mut terminal = std::io::stderr();
    writeln!(terminal, "30 of 100: {text}").unwrap();
}
