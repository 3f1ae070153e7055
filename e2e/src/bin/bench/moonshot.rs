//! Many releases on two replicas that share the work: what each holds, how long everything takes, and what a
//! revocation costs that touches few of them. The records are written straight into etcd, as the API server would take
//! longer for them than anything that is measured.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::http::Request;
use charttrust::api::TrustedKey;
use charttrust::api::chart_trust_policy::ChartTrustPolicyStatus;
use charttrust::watch::{self, LeanMeta};
use charttrust_e2e::charts::Source;
use charttrust_e2e::cluster::{Cluster, Identity};
use charttrust_e2e::eventually;
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::operator::{Operator, Options};
use charttrust_e2e::plane::Plane;
use charttrust_e2e::record;
use charttrust_e2e::stage::{OPERATOR, OPERATOR_NAMESPACE, Story, StoryKey, install_chart, twin};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::{ListParams, ObjectMeta, PostParams};
use serde_json::json;

use crate::releases::renamed;
use crate::run::{Bench, memory};
use crate::{Arguments, Result};

/// Into how many ranges the namespaces are cut.
const SHARDS: usize = 8;
/// Over how many namespaces the releases are spread.
const NAMESPACES: usize = 64;
/// Charts of all of them; the first is signed by a key of its own.
const CHARTS: usize = 10;
/// Releases of that chart.
const FEW: usize = 10;
const MIB: f64 = 1_048_576.0;
/// Longest wait for one step, for a machine that is slow beyond use.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);

pub(crate) async fn row(arguments: &Arguments) -> Result {
    let total = arguments.sizes.first().copied().unwrap_or(100_000);
    let plane = Plane::start_sharding().await?;
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::of(plane.access().clone())));
    let helm = Helm::new(Version::V4)?.on(cluster.kubeconfig());
    let shards = format!("shards={SHARDS}");
    install_chart(&helm, cluster.kubeconfig(), &["--set", &shards]).await?;
    let moon = Moon::prepared(&plane, cluster, total).await?;
    let bench = Bench::new(cluster, arguments).await?;
    println!("\n{total} releases in {NAMESPACES} namespaces, {SHARDS} ranges on two replicas");
    let identity = cluster.identity(OPERATOR_NAMESPACE, OPERATOR).await?;
    let started = Instant::now();
    let first = moon.replica(&bench, &identity).await?;
    let other = twin(cluster, &[OPERATOR]).await?;
    let before = moon.sent().await?;
    let second = moon.replica(&bench, &other).await?;
    holds(&second, SHARDS / 2).await;
    let half = moon.sent().await? - before;
    moon.list_all().await?;
    let all = moon.sent().await? - before - half;
    println!(
        "  records listed         {:.1} MiB by the second replica, {:.2} of all (goal: 0.55)",
        half / MIB,
        half / all
    );
    moon.status("all are trusted", |status| {
        count(status.releases.trusted) == total && status.shards.iter().all(|one| one.judged)
    })
    .await;
    println!(
        "  time to all verdicts   {:.1} s",
        started.elapsed().as_secs_f64()
    );
    for (name, replica) in [("first", &first), ("second", &second)] {
        let [now, peak] = memory(replica.id()).map(|kib| kib / 1024);
        let held = held(replica).await?;
        println!(
            "  the {name:<6} replica     {held} ranges, {now} MiB, {peak} MiB at its peak (goal: 256)"
        );
    }
    moon.rest(arguments.idle, [&identity, &other]).await?;
    moon.revoke().await?;
    let killed = Instant::now();
    drop(second);
    holds(&first, SHARDS).await;
    let took = killed.elapsed().as_secs_f64();
    println!("  a replica is killed    its ranges are held after {took:.1} s (goal: 20)");
    moon.status("all are judged again", |status| {
        status.shards.iter().all(|one| one.judged) && count(status.releases.total) == total
    })
    .await;
    Ok(())
}

/// Waits until a replica holds so many ranges.
async fn holds(replica: &Operator, ranges: usize) {
    eventually(PATIENCE, "the ranges are held", async || {
        let held = held(replica).await.map_err(|error| error.to_string())?;
        (held == ranges).then_some(()).ok_or(held.to_string())
    })
    .await;
}

/// How many ranges a replica holds.
async fn held(replica: &Operator) -> Result<usize> {
    let text = replica.metrics().await?;
    let held = text
        .lines()
        .find_map(|line| line.strip_prefix("charttrust_shards_held "));
    Ok(held.ok_or("it does not say what it holds")?.parse()?)
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The releases, and what judges them.
struct Moon {
    cluster: &'static Cluster,
    story: Story,
    few: StoryKey,
    policy: String,
}

impl Moon {
    async fn prepared(plane: &Plane, cluster: &'static Cluster, total: usize) -> Result<Self> {
        println!("preparing {CHARTS} charts and {total} releases …");
        let story = Story::begin(cluster, "moon", Version::V4).await;
        let many = story.trusted_key("many").await;
        let few = story.trusted_key("few").await;
        let mut originals = Vec::new();
        for index in 0..CHARTS {
            let key = if index == 0 { &few } else { &many };
            let source = Source::new(&format!("chart-{index}"), "1.0.0");
            let chart = story.publish(&source, Some(key)).await;
            story.install(&chart.name, &chart).await;
            let secrets = Api::<Secret>::namespaced(story.client.clone(), &story.namespace);
            originals.push(secrets.get(&record::stored(&chart.name, 1)).await?);
        }
        let places: Vec<_> = (0..NAMESPACES)
            .map(|number| format!("moon-{number:02}"))
            .collect();
        let namespaces = Api::<Namespace>::all(story.client.clone());
        for place in &places {
            let metadata = ObjectMeta {
                name: Some(place.clone()),
                ..ObjectMeta::default()
            };
            let namespace = Namespace {
                metadata,
                ..Namespace::default()
            };
            namespaces
                .create(&PostParams::default(), &namespace)
                .await?;
        }
        populate(plane, &originals, &places, total).await?;
        // Not those that Helm has installed itself, in the namespace of the story.
        let more = json!({"match": {"releases": ["moon-*/r*"]}});
        let policy = story.policy("policy", &[&many, &few], more).await;
        Ok(Self {
            cluster,
            story,
            few,
            policy,
        })
    }

    async fn replica(&self, bench: &Bench, identity: &Identity) -> Result<Operator> {
        let mut operator = Operator::start(&Options {
            binary: bench.binary().to_owned(),
            kubeconfig: identity.kubeconfig(),
            namespace: OPERATOR_NAMESPACE.to_owned(),
            allow_hosts: vec!["127.0.0.1".to_owned()],
            more: vec![format!("--shards={SHARDS}")],
        })?;
        operator.ready(PATIENCE).await?;
        Ok(operator)
    }

    /// Bytes of all lists of the whole cluster's Secrets that the API server has sent.
    async fn sent(&self) -> Result<f64> {
        let asked = Request::get("/metrics").body(Vec::new())?;
        let text = self.story.client.request_text(asked).await?;
        let lists = text.lines().filter(|line| {
            line.starts_with("apiserver_response_sizes_sum{")
                && line.contains(r#"resource="secrets""#)
                && line.contains(r#"verb="LIST""#)
                && line.contains(r#"scope="cluster""#)
        });
        let sizes = lists.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(sizes.sum())
    }

    /// Lists all records as the operator does that does not share them.
    async fn list_all(&self) -> Result {
        let api = Api::<LeanMeta<Secret>>::all(self.story.client.clone());
        let records = ListParams::default().fields("type=helm.sh/release.v1");
        watch::pages(&api, records, |_| None::<()>).await?;
        Ok(())
    }

    async fn status(&self, what: &str, is_one: impl Fn(&ChartTrustPolicyStatus) -> bool) {
        eventually(PATIENCE, what, async || {
            let object = self.story.policies().get_status(&self.policy).await;
            let status = object.map_err(|error| error.to_string())?.status;
            let status = status.ok_or("no status")?;
            is_one(&status)
                .then_some(())
                .ok_or(format!("{:?}", status.releases))
        })
        .await;
    }

    /// What both do while nothing changes.
    async fn rest(&self, seconds: u64, replicas: [&Identity; 2]) -> Result {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let mark = self.cluster.mark();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let asked = self.cluster.asked_since(mark);
        for (identity, name) in replicas.into_iter().zip(["first", "second"]) {
            let writes = asked.clone().by(identity.user()).writes();
            let writes = writes.only(|event| event.resource != "leases");
            println!(
                "  {seconds} s of rest, {name:<6}   {} object writes (goal: 0)",
                writes.len()
            );
        }
        Ok(())
    }

    /// How long it takes until all that a key has signed shows that it is revoked.
    async fn revoke(&self) -> Result {
        let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
        let begun = Instant::now();
        self.story.patch::<TrustedKey>(&self.few.name, revoke).await;
        self.status("the few are not trusted", |status| {
            count(status.releases.untrusted) == FEW
        })
        .await;
        let took = begun.elapsed().as_millis();
        println!("  a key of {FEW} is revoked  the policy counts them after {took} ms");
        Ok(())
    }
}

/// Records of as many releases, each in the next namespace: the first few of the first chart.
async fn populate(plane: &Plane, originals: &[Secret], places: &[String], total: usize) -> Result {
    let mut batch = BTreeMap::new();
    for number in 0..total {
        let chart = if number < FEW {
            0
        } else {
            1 + number % (originals.len() - 1)
        };
        let original = originals.get(chart).ok_or("no such chart")?;
        let (name, place) = (format!("r{number}"), &places[number % places.len()]);
        let mut secret = serde_json::to_value(renamed(original, &name)?)?;
        let object = secret["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        secret["apiVersion"] = json!("v1");
        secret["kind"] = json!("Secret");
        secret["metadata"]["namespace"] = json!(place);
        secret["metadata"]["uid"] = json!(format!("00000000-0000-4000-8000-{number:012}"));
        secret["metadata"]["creationTimestamp"] = json!("2026-11-01T00:00:00Z");
        let key = format!("/registry/secrets/{place}/{object}");
        batch.insert(key, serde_json::to_vec(&secret)?);
        if batch.len() == 100 || number + 1 == total {
            plane.put(std::mem::take(&mut batch)).await?;
        }
    }
    Ok(())
}
