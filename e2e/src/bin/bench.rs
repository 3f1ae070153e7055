//! `make bench`: what a thousand releases cost, on the real server.
//!
//! Requests and writes are counted in the API server's audit log, downloads at the repository and
//! memory by the kernel; nothing is taken from the operator's own word. Times of one run on one
//! machine are printed to be compared with each other, not as a promise.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use charttrust::api::TrustedKey;
use charttrust_e2e::audit::Events;
use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::cluster::{Cluster, Identity};
use charttrust_e2e::helm::Version;
use charttrust_e2e::operator::{Operator, Options};
use charttrust_e2e::stage::{self, OPERATOR_NAMESPACE, Story, StoryKey};
use charttrust_e2e::{eventually, record};
use clap::Parser;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use serde_json::json;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures the operator with many releases of fewer charts.
#[derive(Parser)]
struct Arguments {
    /// Distinct charts.
    #[arg(long, default_value_t = 100)]
    charts: usize,
    /// Releases of each chart.
    #[arg(long, default_value_t = 10)]
    each: usize,
    /// The operator to measure; default: the release build beside this program's.
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// A program that cargo built in the same target folder.
fn sibling(path: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folder = here.parent().ok_or("this program lies in no folder")?;
    let found = folder.join(path);
    let missing = || format!("{} is missing; run `make bench`", found.display());
    found
        .exists()
        .then(|| found.clone())
        .ok_or_else(|| missing().into())
}

/// Longest wait for all verdicts, for a machine that is slow beyond use.
const PATIENCE: Duration = Duration::from_secs(600);

#[tokio::main]
async fn main() -> Result {
    let arguments = Arguments::parse();
    let testbed = sibling("testbed")?;
    let cluster = Cluster::shared(&testbed.to_string_lossy());
    stage::install(cluster.kubeconfig()).await?;
    let story = Story::begin(cluster, "bench", Version::V4).await?;
    let (many, few) = (
        story.trusted_key("many").await?,
        story.trusted_key("few").await?,
    );
    println!(
        "preparing {} charts and {} releases …",
        arguments.charts,
        total(&arguments)
    );
    let charts = publish(&arguments, &story, &many, &few).await?;
    let raw = populate(&arguments, &story, &charts).await?;
    story.policy("policy", &[&many, &few], json!({})).await?;

    let identity = cluster.identity(OPERATOR_NAMESPACE, "charttrust").await?;
    let mut operator = start(&arguments, &identity)?;
    let empty = Instant::now();
    let cold = measure(&arguments, cluster, &identity, &mut operator, &story, empty).await?;
    println!(
        "\ncold start, {} releases of {} charts",
        total(&arguments),
        arguments.charts
    );
    cold.print(&operator, raw);
    println!(
        "  downloads              {} (distinct charts: {})",
        downloads(&story),
        charts.len()
    );

    operator.kill();
    let before = story.repository.requests().len();
    let mut operator = start(&arguments, &identity)?;
    let warm = measure(
        &arguments,
        cluster,
        &identity,
        &mut operator,
        &story,
        Instant::now(),
    )
    .await?;
    println!("\nwarm restart");
    warm.print(&operator, raw);
    println!(
        "  repository requests    {}",
        story.repository.requests().len() - before
    );

    revoke(&arguments, cluster, &identity, &story, &few).await
}

fn total(arguments: &Arguments) -> usize {
    arguments.charts * arguments.each
}

/// Charts of a few templates; the first is signed by `few`, all others by `many`.
async fn publish(
    arguments: &Arguments,
    story: &Story,
    many: &StoryKey,
    few: &StoryKey,
) -> Result<Vec<Chart>> {
    let package = async |index: usize| {
        let key = if index == 0 { few } else { many };
        let source = Source::new(&format!("chart-{index}"), "1.0.0");
        let chart = story.package(&source, Some(key)).await?;
        for path in [chart.archive.clone(), chart.provenance()] {
            let name = path.file_name().unwrap_or_default().to_owned();
            std::fs::copy(&path, story.repository.dir().join(name))?;
        }
        Result::Ok(chart)
    };
    let all = futures::stream::iter(0..arguments.charts)
        .map(package)
        .buffered(2);
    let charts = all.try_collect().await?;
    story.repository.reindex(&story.helm).await?;
    Ok(charts)
}

/// Real Helm installs each chart once; the record it makes is stored again under other names.
/// Returns the bytes of all records.
async fn populate(arguments: &Arguments, story: &Story, charts: &[Chart]) -> Result<usize> {
    let secrets = Api::<Secret>::namespaced(story.client.clone(), &story.namespace);
    let install = async |chart: &Chart| {
        story.install(&chart.name, chart).await?;
        let name = format!("sh.helm.release.v1.{}.v1", chart.name);
        let original = secrets.get(&name).await?;
        let mut bytes = 0;
        for copy in 0..arguments.each {
            let secret = renamed(&original, &format!("{}-{copy}", chart.name))?;
            bytes += secret
                .data
                .iter()
                .flatten()
                .map(|(_, value)| value.0.len())
                .sum::<usize>();
            if copy > 0 {
                secrets.create(&PostParams::default(), &secret).await?;
            }
        }
        Result::Ok(bytes)
    };
    let all = futures::stream::iter(charts)
        .map(install)
        .buffer_unordered(2);
    Ok(all.try_collect::<Vec<_>>().await?.into_iter().sum())
}

/// The same record as that of another release.
fn renamed(original: &Secret, release: &str) -> Result<Secret> {
    let mut data = original.data.clone().unwrap_or_default();
    let payload = data.remove("release").ok_or("the record has no payload")?;
    let mut json = record::decode(&payload.0)?;
    json["name"] = json!(release);
    let encoded = record::encode(&json)?;
    let payload: ByteString = serde_json::from_value(json!(encoded))?;
    let mut labels = original.metadata.labels.clone().unwrap_or_default();
    labels.insert("name".to_owned(), release.to_owned());
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(format!("sh.helm.release.v1.{release}.v1")),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("release".to_owned(), payload)])),
        type_: original.type_.clone(),
        ..Secret::default()
    })
}

fn start(arguments: &Arguments, identity: &Identity) -> Result<Operator> {
    Ok(Operator::start(&Options {
        binary: match &arguments.binary {
            Some(binary) => binary.clone(),
            None => sibling("../release/charttrust")?,
        },
        kubeconfig: identity.kubeconfig(),
        namespace: OPERATOR_NAMESPACE.to_owned(),
        allow_hosts: vec!["127.0.0.1".to_owned()],
        more: vec!["--no-leader-election".to_owned()],
    })?)
}

/// What a start cost.
struct Cost {
    seconds: f64,
    requests: usize,
    writes: usize,
}

impl Cost {
    fn print(&self, operator: &Operator, raw: usize) {
        println!("  time to all verdicts   {:.1} s", self.seconds);
        println!("  requests to the server {}", self.requests);
        println!("  object writes          {}", self.writes);
        let [now, peak] = memory(operator.id()).map(|kib| kib / 1024);
        println!(
            "  memory now, peak       {now} MiB, {peak} MiB (records: {} MiB)",
            raw >> 20
        );
    }
}

async fn measure(
    arguments: &Arguments,
    cluster: &Cluster,
    identity: &Identity,
    operator: &mut Operator,
    story: &Story,
    started: Instant,
) -> Result<Cost> {
    let mark = cluster.audit()?.mark()?;
    operator.ready(PATIENCE).await?;
    judged(operator, &story.namespace, total(arguments)).await;
    let waited = started.elapsed().as_secs_f64();
    let ours = cluster.audit()?.since(mark)?.by(identity.user());
    let requests = ours.len();
    let writes = ours.writes();
    Ok(Cost {
        seconds: waited,
        requests,
        writes: writes.len(),
    })
}

/// Waits until the operator counts so many releases as trusted, and has nothing more to write.
async fn judged(operator: &Operator, namespace: &str, wanted: usize) {
    eventually(PATIENCE, "all releases are judged", async || {
        let text = operator
            .metrics()
            .await
            .map_err(|error| error.to_string())?;
        let counts = text.lines().filter(|line| {
            line.starts_with("charttrust_releases{")
                && line.contains(&format!("namespace=\"{namespace}\""))
                && line.contains("verdict=\"trusted\"")
        });
        let number = |line: &str| {
            line.rsplit(' ')
                .next()
                .and_then(|n| n.parse::<usize>().ok())
        };
        let sum: usize = counts.filter_map(number).sum();
        if sum == wanted {
            Ok(())
        } else {
            Err(format!("{sum} of {wanted}"))
        }
    })
    .await;
}

fn downloads(story: &Story) -> usize {
    let requests = story.repository.requests();
    requests
        .iter()
        .filter(|asked| is_archive(&asked.path) && asked.status == 200)
        .count()
}

fn is_archive(path: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "tgz")
}

/// Resident memory now and at its peak, in KiB, as the kernel counts it.
fn memory(process: u32) -> [u64; 2] {
    let status =
        std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status"));
    let status = status.unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .unwrap_or_default()
    };
    [field("VmRSS:"), field("VmHWM:")]
}

/// Revokes the key of one chart and counts what is written for it.
async fn revoke(
    arguments: &Arguments,
    cluster: &Cluster,
    identity: &Identity,
    story: &Story,
    key: &StoryKey,
) -> Result {
    let audit = cluster.audit()?;
    let mark = audit.mark()?;
    let asked = story.repository.requests().len();
    let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story.patch::<TrustedKey>(&key.name, revoke).await?;
    let committed = charttrust::clock::now();
    let written = || -> Result<Events> {
        Ok(audit
            .since(mark)?
            .by(identity.user())
            .writes()
            .of("releasetrusts"))
    };
    eventually(
        PATIENCE,
        "every dependent release was written",
        async || {
            let count = written().map_err(|error| error.to_string())?.len();
            if count >= arguments.each {
                Ok(())
            } else {
                Err(format!("{count}"))
            }
        },
    )
    .await;
    let writes = written()?;
    let last = writes
        .iter()
        .map(|event| event.time)
        .max()
        .unwrap_or(committed);
    println!(
        "\nrevocation of a key with {} of {} releases",
        arguments.each,
        total(arguments)
    );
    println!("  releases written       {}", writes.len());
    println!(
        "  time to the last       {} ms",
        last.duration_since(committed).as_millis()
    );
    println!(
        "  repository requests    {}",
        story.repository.requests().len() - asked
    );
    Ok(())
}
