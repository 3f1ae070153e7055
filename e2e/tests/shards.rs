//! Two replicas that share the namespaces: each judges its own, one decides about quarantines for all, and what one
//! leaves the other takes, whether it ends, hangs, or comes later.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use axum::http::Request;
use charttrust::api::chart_trust_policy::{ChartTrustPolicyStatus, PolicyShard};
use charttrust::api::{ChartTrustPolicy, Quarantine, TrustedKey};
use charttrust::watch::Range;
use charttrust_e2e::audit::{Audit, Events, Mark};
use charttrust_e2e::auditor;
use charttrust_e2e::charts::Chart;
use charttrust_e2e::cluster::{Cluster, Identity};
use charttrust_e2e::eventually;
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::operator::{Operator, Options, binary};
use charttrust_e2e::plane::Plane;
use charttrust_e2e::proxy::Proxy;
use charttrust_e2e::stage::{
    OPERATOR, OPERATOR_NAMESPACE, SOON, Story, StoryKey, install_chart, twin, workloads,
};
use kube::{Api, Client};
use serde_json::{Value, json};

/// Into how many ranges the namespaces are cut.
const RANGES: usize = 2;

/// How soon the ranges of a replica that hangs are held by another.
const TAKEN_OVER: Duration = Duration::from_secs(20);

/// A replica with an identity of its own.
struct Replica {
    identity: Identity,
    process: Operator,
}

impl Replica {
    async fn start(identity: Identity) -> Self {
        let kubeconfig = identity.kubeconfig();
        Self::behind(identity, kubeconfig).await
    }

    /// The same, which reaches the API server as a kubeconfig says.
    async fn behind(identity: Identity, kubeconfig: PathBuf) -> Self {
        let options = Options {
            binary: binary(),
            kubeconfig,
            namespace: OPERATOR_NAMESPACE.to_owned(),
            allow_hosts: vec!["127.0.0.1".to_owned()],
            more: vec!["--quarantine".to_owned(), format!("--shards={RANGES}")],
        };
        let mut process = Operator::start(&options).unwrap();
        process.ready(SOON).await.unwrap();
        Self { identity, process }
    }

    /// Waits until it holds so many ranges, and has read everything of them.
    async fn holds(&mut self, ranges: usize) {
        let wanted = format!("charttrust_shards_held {ranges}");
        eventually(SOON, &wanted, async || {
            let text = self.process.metrics().await;
            let text = text.map_err(|error| error.to_string())?;
            let mut lines = text.lines();
            let held = lines.find(|line| line.starts_with("charttrust_shards_held"));
            match held {
                Some(held) if held == wanted => Ok(()),
                held => Err(format!("{held:?}")),
            }
        })
        .await;
        self.process.ready(SOON).await.unwrap();
    }

    /// The successful writes of everything but Leases and events in a namespace.
    fn writes(&self, events: Events, namespace: &str) -> Events {
        events.by(self.identity.user()).writes().only(|event| {
            event.namespace == namespace
                && event.code < 300
                && !["leases", "events"].contains(&event.resource.as_str())
        })
    }
}

/// What happens in both namespaces, each of another range.
struct Stories {
    here: Story,
    there: Story,
    key: StoryKey,
    policy: String,
    chart: Chart,
}

/// The first namespace of this prefix that belongs to a range.
fn name_in(range: usize, prefix: &str) -> String {
    let range = Range::new(range, RANGES).unwrap();
    let mut names = (0..).map(|number| format!("{prefix}-{number}"));
    names.find(|name| range.contains(name)).unwrap()
}

fn quarantine(most: u32) -> Value {
    let mut section = workloads::automatic();
    section["limit"]["maxReleases"] = json!(most);
    json!({"quarantine": section})
}

impl Stories {
    async fn begin(cluster: &Cluster) -> Self {
        let here = Story::named(cluster, &name_in(0, "here"), Version::V4).await;
        let there = Story::named(cluster, &name_in(1, "there"), Version::V4).await;
        let key = here.trusted_key("platform").await;
        let both = [&here, &there].map(|story| format!("{}/*", story.namespace));
        let mut more = quarantine(1);
        more["match"] = json!({"releases": both});
        let policy = here.policy("both", &[&key], more).await;
        let chart = here.publish(&workloads::chart("1.0.0"), Some(&key)).await;
        Self {
            here,
            there,
            key,
            policy,
            chart,
        }
    }

    fn both(&self) -> [&Story; 2] {
        [&self.here, &self.there]
    }

    async fn expect(&self, word: &str) {
        for story in self.both() {
            story.expect("web", word).await;
        }
    }

    /// Waits until the status of the policy is as wanted.
    async fn status(&self, what: &str, is_one: impl Fn(&ChartTrustPolicyStatus) -> bool) {
        eventually(SOON, what, async || {
            let object = self.here.policies().get_status(&self.policy).await;
            let status = object.map_err(|error| error.to_string())?.status;
            let status = status.ok_or("none")?;
            is_one(&status).then_some(()).ok_or(format!("{status:?}"))
        })
        .await;
    }

    async fn has_revocation(&self, reason: Option<&str>) {
        let revocation = reason.map(|reason| json!({"reason": reason}));
        let change = json!({"spec": {"revocation": revocation}});
        self.here.patch::<TrustedKey>(&self.key.name, change).await;
    }

    async fn may_contain(&self, most: u32) {
        let change = json!({"spec": quarantine(most)});
        self.here
            .patch::<ChartTrustPolicy>(&self.policy, change)
            .await;
    }

    fn quarantines(story: &Story) -> Api<Quarantine> {
        Api::namespaced(story.client.clone(), &story.namespace)
    }

    async fn are_contained(&self) {
        for story in self.both() {
            let api = Self::quarantines(story);
            story
                .expect_condition(&api, "web", "Active=True/Contained")
                .await;
        }
    }

    async fn are_free(&self) {
        for story in self.both() {
            let api = Self::quarantines(story);
            eventually(SOON, "the Quarantine has ended", async || {
                match api.get_opt("web").await {
                    Ok(None) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await;
        }
    }
}

/// The chart, cut into ranges.
async fn install(cluster: &Cluster) {
    let helm = Helm::new(Version::V4).unwrap().on(cluster.kubeconfig());
    let ranges = format!("shards={RANGES}");
    let values = ["--set", "quarantine.enabled=true", "--set", ranges.as_str()];
    install_chart(&helm, cluster.kubeconfig(), &values)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_namespaces_and_one_decides_for_all() {
    let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
    install(cluster).await;
    let audit = cluster.audit().unwrap();
    let start = audit.mark().unwrap();
    let first = cluster.identity(OPERATOR_NAMESPACE, OPERATOR).await;
    let mut first = Replica::start(first.unwrap()).await;
    first.holds(RANGES).await;

    let stories = Stories::begin(cluster).await;
    for story in stories.both() {
        story.install("web", &stories.chart).await;
    }
    stories.expect("SignatureVerified").await;
    let is_trusted = |of: u32| {
        move |status: &ChartTrustPolicyStatus| {
            status.releases.total == of && status.releases.trusted == of
        }
    };
    stories
        .status("both are counted by one", is_trusted(2))
        .await;

    // One that comes takes a range over, and nobody starts anew.
    let second = twin(cluster, &[OPERATOR, "charttrust-quarantine"]).await;
    let mut second = Replica::start(second.unwrap()).await;
    second.holds(1).await;
    first.holds(1).await;
    let counts_one =
        |shard: &PolicyShard| (shard.range, shard.releases.total, shard.judged) == (1, 1, true);
    stories
        .status("both are counted, one by each", |status| {
            is_trusted(2)(status) && status.shards.iter().any(counts_one)
        })
        .await;

    one_decides(&stories, (&first, &second), &audit).await;
    what_hangs_is_taken_over(&stories, (&mut first, &mut second), &audit).await;
    what_ends_is_taken_over(&stories, (&mut first, &mut second)).await;

    let events = audit.since(start).unwrap();
    nothing_is_written_by_two(&events, [&first, &second]);
    for replica in [&first, &second] {
        assert_eq!(auditor::panics(&replica.process.log()), []);
    }
}

/// Two are due, each in another range, and one may be contained: none is. Two may: each is once.
async fn one_decides(stories: &Stories, (first, second): (&Replica, &Replica), audit: &Audit) {
    let mark = audit.mark().unwrap();
    stories.has_revocation(Some("Compromised")).await;
    stories.expect("KeyCompromised").await;
    let stopped = "QuarantineStopped=True/LimitReached";
    let policies = stories.here.policies();
    let said = stories
        .here
        .expect_condition(&policies, &stories.policy, stopped)
        .await;
    for story in stories.both() {
        let name = format!("{}/web", story.namespace);
        assert!(said.contains(&name), "{name} in {said}");
    }
    let key = stories
        .here
        .keys()
        .get_status(&stories.key.name)
        .await
        .unwrap();
    assert_eq!(key.status.map(|status| status.releases), Some(2));
    assert_eq!(created(audit, mark), []);
    stories.may_contain(2).await;
    stories.are_contained().await;
    let created = created(audit, mark);
    let by = first.identity.user().to_owned();
    let both = stories
        .both()
        .map(|story| (by.clone(), story.namespace.clone()));
    assert_eq!(created, both, "by whoever holds the first range");
    let events = audit.since(mark).unwrap();
    let scaled = |replica: &Replica, story: &Story| {
        let writes = replica.writes(events.clone(), &story.namespace);
        writes
            .iter()
            .filter(|event| event.resource == "deployments")
            .count()
    };
    let [here, there] = stories.both();
    assert!(scaled(first, here) > 0 && scaled(second, there) > 0);
    assert_eq!((scaled(first, there), scaled(second, here)), (0, 0));
}

/// By whom, and where, Quarantines were made.
fn created(audit: &Audit, mark: Mark) -> Vec<(String, String)> {
    let events = audit.since(mark).unwrap();
    let made = events.iter().filter(|event| {
        event.verb == "create" && event.resource == "quarantines" && event.code < 300
    });
    let mut made: Vec<_> = made
        .map(|event| (event.user.clone(), event.namespace.clone()))
        .collect();
    made.sort();
    made
}

/// The replica of the second range hangs: the other restores what it had contained, and what it still has on its way
/// when it goes on does nothing.
async fn what_hangs_is_taken_over(
    stories: &Stories,
    (first, second): (&mut Replica, &mut Replica),
    audit: &Audit,
) {
    second.process.freeze();
    let frozen = Instant::now();
    first.holds(RANGES).await;
    let took = frozen.elapsed();
    assert!(took <= TAKEN_OVER, "{took:?}");
    let mark = audit.mark().unwrap();
    stories.has_revocation(None).await;
    stories.are_free().await;
    stories.expect("SignatureVerified").await;
    second.process.thaw();
    // It gets a range back, which it has to read first.
    second.holds(1).await;
    first.holds(1).await;
    let events = audit.since(mark).unwrap();
    let there = &stories.there.namespace;
    assert_eq!(second.writes(events, there).iter().count(), 0);
}

/// One that ends as it is told gives its range away at once.
async fn what_ends_is_taken_over(stories: &Stories, (first, second): (&mut Replica, &mut Replica)) {
    let stopped = Instant::now();
    assert!(first.process.stop().is_some_and(|status| status.success()));
    second.holds(RANGES).await;
    assert!(stopped.elapsed() <= TAKEN_OVER, "{:?}", stopped.elapsed());
    for story in stories.both() {
        story.install("late", &stories.chart).await;
        story.expect("late", "SignatureVerified").await;
    }
    stories
        .status("all are counted by one", |status| {
            (status.releases.total, status.releases.trusted) == (4, 4)
        })
        .await;
}

/// Who writes an object changes no more often than its range has changed hands.
fn nothing_is_written_by_two(events: &Events, replicas: [&Replica; 2]) {
    let mut writers: BTreeMap<(String, String, String), Vec<String>> = BTreeMap::new();
    let users = replicas.map(|replica| replica.identity.user());
    let written = events.iter().filter(|event| {
        event.is_write()
            && event.code < 300
            && users.contains(&event.user.as_str())
            && event.resource == "releasetrusts"
    });
    for event in written {
        let object = (
            event.resource.clone(),
            event.namespace.clone(),
            event.name.clone(),
        );
        let writers = writers.entry(object).or_default();
        if writers.last() != Some(&event.user) {
            writers.push(event.user.clone());
        }
    }
    assert!(writers.len() >= 2, "{writers:?}");
    for (object, writers) in writers {
        // To the second, back when that hung, to it again, and when the first has ended.
        assert!(writers.len() <= 5, "{object:?} by {writers:?}");
    }
}

/// Where API servers can leave out what lies in other ranges (KEP-5866), each range is sent its own, and the verdicts
/// are the same, also of a namespace that comes later.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_can_sends_each_range_its_own() {
    let plane = Plane::start_sharding().await.unwrap();
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::of(plane.access().clone())));
    install(cluster).await;
    let stories = Stories::begin(cluster).await;
    let everything = json!({"match": {"releases": ["*/*"]}});
    let change = json!({"spec": everything});
    stories
        .here
        .patch::<ChartTrustPolicy>(&stories.policy, change)
        .await;
    for story in stories.both() {
        story.install("web", &stories.chart).await;
    }
    let identity = cluster
        .identity(OPERATOR_NAMESPACE, OPERATOR)
        .await
        .unwrap();
    let mut first = Replica::start(identity).await;
    first.holds(RANGES).await;
    let proxy = Proxy::start(cluster.kubeconfig()).await.unwrap();
    proxy.remember();
    let other = twin(cluster, &[OPERATOR]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    proxy.kubeconfig(&other.kubeconfig(), &kubeconfig).unwrap();
    let mut second = Replica::behind(other, kubeconfig).await;
    second.holds(1).await;
    first.holds(1).await;
    stories.expect("SignatureVerified").await;
    for resource in ["secrets", "releasetrusts"] {
        is_sent_its_own(&proxy, resource, &stories);
    }

    the_longest_that_is_named_is_taken(&stories.here.client).await;
    let late = Story::named(cluster, &name_in(1, "late"), Version::V4).await;
    late.install("web", &stories.chart).await;
    late.expect("web", "SignatureVerified").await;
    stories.has_revocation(Some("Compromised")).await;
    for story in [&late, &stories.here, &stories.there] {
        story.expect("web", "KeyCompromised").await;
    }
    for replica in [&first, &second] {
        assert_eq!(auditor::panics(&replica.process.log()), []);
    }
}

/// A range leaves out 512 hashes at most.
async fn the_longest_that_is_named_is_taken(client: &Client) {
    let hashes = (0..512_u64).map(|number| number << 55);
    let named = hashes.map(|begin| {
        let end = begin + 1;
        format!("shardRange(object.metadata.namespace,%270x{begin:016x}%27,%270x{end:016x}%27)")
    });
    let named = named.collect::<Vec<_>>().join("%7C%7C");
    let asked = Request::get(format!("/api/v1/secrets?limit=50&shardSelector={named}"));
    let list: Value = client
        .request(asked.body(Vec::new()).unwrap())
        .await
        .unwrap();
    assert_eq!(list["items"], json!([]));
    assert!(
        list["metadata"]["shardInfo"]["selector"].is_string(),
        "{list}"
    );
}

/// Of the range of `there`, and of nothing else.
fn is_sent_its_own(proxy: &Proxy, resource: &str, stories: &Stories) {
    let lists = proxy.remembered(resource);
    let everywhere = lists
        .iter()
        .filter(|(asked, _)| !asked.contains("/namespaces/"));
    let said: Vec<_> = everywhere.collect();
    assert!(!said.is_empty(), "{lists:?}");
    for (asked, said) in said {
        assert!(asked.contains("shardSelector=shardRange("), "{asked}");
        let names =
            |story: &Story| said.contains(&format!("\"namespace\":\"{}\"", story.namespace));
        assert!(
            names(&stories.there) && !names(&stories.here),
            "{asked}: {said}"
        );
    }
}
