//! A cold start with many releases of fewer charts, a warm one, and the revocation of a key.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use charttrust::api::TrustedKey;
use charttrust_e2e::audit::Events;
use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::helm::Version;
use charttrust_e2e::operator::Operator;
use charttrust_e2e::stage::{Story, StoryKey};
use charttrust_e2e::{eventually, record};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use serde_json::json;

use crate::numbers::{Load, Outcome, Ratio, Sample, real, slope, ticks};
use crate::run::{Bench, PATIENCE, judged, memory};
use crate::{Arguments, Result};

pub(crate) async fn row(bench: &Bench, arguments: &Arguments) -> Result {
    let default = [arguments.charts * arguments.each];
    let sizes = match arguments.sizes.as_slice() {
        [] => &default[..],
        sizes => sizes,
    };
    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for size in sizes {
        let each = size.div_ceil(arguments.charts).max(1);
        let releases = Releases::installed(bench, arguments.charts, each).await?;
        let took = releases.starts(bench, arguments).await?;
        let of = |index: usize| Sample::of(took.iter().map(|pair| pair[index]).collect());
        let point = |seconds: f64| (releases.total().ln(), seconds.ln());
        ours.push(point(of(0).at(500)));
        floors.push(point(of(1).at(500)));
        releases.revoke(bench).await?;
        releases.remove().await?;
    }
    if sizes.len() > 2 {
        println!("\nexponents of a cold start, {sizes:?} releases (goal: at most 1.1)");
        for (whose, points) in [("ours", &ours), ("the floor", &floors)] {
            let [slope, explained] = slope(points);
            println!("  P15 {whose:<10} {slope:.2} (R² {explained:.3})");
        }
    }
    Ok(())
}

/// Releases of a story, and the keys of their charts.
struct Releases {
    story: Story,
    few: StoryKey,
    charts: usize,
    each: usize,
    /// Bytes of all records.
    raw: usize,
}

impl Releases {
    async fn installed(bench: &Bench, charts: usize, each: usize) -> Result<Self> {
        let story = Story::begin(bench.cluster, "bench", Version::V4).await;
        let (many, few) = (
            story.trusted_key("many").await,
            story.trusted_key("few").await,
        );
        println!("preparing {charts} charts and {} releases …", charts * each);
        let published = publish(charts, &story, &many, &few).await?;
        let raw = populate(0..each, &story, &published).await?;
        story.policy("policy", &[&many, &few], json!({})).await;
        Ok(Self {
            story,
            few,
            charts,
            each,
            raw,
        })
    }

    fn count(&self) -> usize {
        self.charts * self.each
    }

    fn total(&self) -> f64 {
        u32::try_from(self.count()).map_or(f64::NAN, f64::from)
    }

    /// Cold starts, each beside the least that one costs, and a warm one. Gives the seconds of both.
    async fn starts(&self, bench: &Bench, arguments: &Arguments) -> Result<Vec<[f64; 2]>> {
        let (story, total) = (&self.story, self.count());
        let mut took = Vec::new();
        let mut operator = None;
        let load = Load::now();
        for _ in 0..arguments.rounds {
            drop(operator.take());
            self.forget().await?;
            let floor = bench
                .floor(&story.namespace, &story.repository.url())
                .await?;
            self.forget().await?;
            let before = downloads(story);
            let mut started = bench.start(&[])?;
            let cold = bench.cost(&mut started, &story.namespace, total).await?;
            println!("\ncold start, {total} releases of {} charts", self.charts);
            cold.print(&started);
            println!("  records                {} MiB", self.raw >> 20);
            println!(
                "  P16 downloads          {} (goal: as many as distinct charts, {})",
                downloads(story) - before,
                self.charts
            );
            let [_, peak] = memory(started.id());
            self.print_share("P13 the peak", peak, 0.25);
            println!("  at least, without us   {floor:.1} s");
            cold.print_each(total);
            took.push([cold.seconds, floor]);
            operator = Some(started);
        }
        let ratio = Ratio::of(took.iter().map(|[ours, floor]| (*ours, *floor)));
        println!("  P15 {ratio} (goal: at most 1.5)");
        println!("  load from outside      {} %", load.outside());
        drop(operator.take());
        let before = story.repository.requests().len();
        let mut operator = bench.start(&[])?;
        let warm = bench.cost(&mut operator, &story.namespace, total).await?;
        println!("\nwarm restart");
        warm.print(&operator);
        let asked = story.repository.requests().len() - before;
        println!(
            "  P17 of the repository  {asked} requests, beside the writes above (goals: 0, 0)"
        );
        self.reported().await?;
        rest(bench, &operator, arguments.idle).await?;
        let [now, _] = memory(operator.id());
        self.print_share("P12 memory", now, 0.12);
        Ok(took)
    }

    /// So many KiB as a part of the bytes of all records.
    fn print_share(&self, what: &str, kib: u64, goal: f64) {
        let kib = real(usize::try_from(kib).unwrap_or(usize::MAX));
        let share = kib * 1024.0 / real(self.raw);
        let outcome = Outcome::at_most(goal, share);
        let mebibytes = kib / 1024.0;
        println!(
            "  {what:<22} {share:.2} of the records, {mebibytes:.0} MiB (goal: at most {goal}{outcome})"
        );
    }

    /// What the store keeps of what we say.
    async fn reported(&self) -> Result {
        let all = self.story.trusts().list(&ListParams::default()).await?;
        let sizes = all
            .items
            .iter()
            .map(|one| serde_json::to_vec(one).map(|text| text.len()));
        let sizes = sizes.collect::<std::result::Result<Vec<_>, _>>()?;
        let (sum, most) = (sizes.iter().sum::<usize>(), sizes.iter().max());
        println!(
            "  P23 reports            {} bytes for each release, {} the largest (goals: 1,200, 256 Ki)",
            sum / sizes.len().max(1),
            most.copied().unwrap_or_default()
        );
        Ok(())
    }

    /// Nothing is known of the releases any more.
    async fn forget(&self) -> Result {
        let trusts = self.story.trusts();
        trusts
            .delete_collection(&DeleteParams::default(), &ListParams::default())
            .await?;
        eventually(PATIENCE, "no ReleaseTrust is there", async || {
            let left = trusts.list_metadata(&ListParams::default().limit(1)).await;
            let left = left.map_err(|error| error.to_string())?.items.len();
            if left == 0 {
                Ok(())
            } else {
                Err(format!("{left}"))
            }
        })
        .await;
        Ok(())
    }

    /// The namespace goes, with everything in it.
    async fn remove(self) -> Result {
        let all = Api::<Namespace>::all(self.story.client.clone());
        all.delete(&self.story.namespace, &DeleteParams::default())
            .await?;
        eventually(PATIENCE, "the namespace is gone", async || {
            match all.get_metadata_opt(&self.story.namespace).await {
                Ok(None) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        Ok(())
    }
}

/// What an operator does while nothing changes.
async fn rest(bench: &Bench, operator: &Operator, seconds: u64) -> Result {
    // What comes last after a start is no rest yet.
    tokio::time::sleep(SETTLING).await;
    let (mark, before) = (bench.cluster.mark(), ticks(operator.id()));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let ours = bench.cluster.asked_since(mark).by(bench.identity.user());
    let took = ticks(operator.id()).saturating_sub(before);
    // A second has 100 ticks (proc(5)), so that they are hundredths of one core.
    println!("\n{seconds} s in which nothing changes");
    println!(
        "  P10 object writes      {} (goal: 0)",
        ours.clone().writes().len()
    );
    println!("  P11 requests           {}", ours.len());
    println!(
        "  P24 of one core        {:.2} %",
        hundredths(took, seconds)
    );
    Ok(())
}

const SETTLING: Duration = Duration::from_secs(10);

fn hundredths(ticks: u64, seconds: u64) -> f64 {
    let [ticks, seconds] = [ticks, seconds].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    f64::from(ticks) / f64::from(seconds.max(1))
}

/// Charts of a few templates; the first is signed by `few`, all others by `many`.
async fn publish(
    charts: usize,
    story: &Story,
    many: &StoryKey,
    few: &StoryKey,
) -> Result<Vec<Chart>> {
    let package = async |index: usize| {
        let key = if index == 0 { few } else { many };
        let source = Source::new(&format!("chart-{index}"), "1.0.0");
        let chart = story.package(&source, Some(key)).await;
        for path in [chart.archive.clone(), chart.provenance()] {
            let name = path.file_name().unwrap_or_default().to_owned();
            std::fs::copy(&path, story.repository.dir().join(name))?;
        }
        Result::Ok(chart)
    };
    let all = futures::stream::iter(0..charts).map(package).buffered(2);
    let charts = all.try_collect().await?;
    story.repository.reindex(&story.helm).await?;
    Ok(charts)
}

/// Real Helm installs each chart once; the record it makes is stored again under other names.
/// Returns the bytes of
/// all these records. Where the first are there already, more join them.
pub(crate) async fn populate(each: Range<usize>, story: &Story, charts: &[Chart]) -> Result<usize> {
    let secrets = Api::<Secret>::namespaced(story.client.clone(), &story.namespace);
    let install = async |chart: &Chart| {
        if each.start == 0 && !each.is_empty() {
            story.install(&chart.name, chart).await;
        }
        let name = record::stored(&chart.name, 1);
        let original = secrets.get(&name).await?;
        let mut bytes = 0;
        for copy in each.clone() {
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
pub(crate) fn renamed(original: &Secret, release: &str) -> Result<Secret> {
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
            name: Some(record::stored(release, 1)),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("release".to_owned(), payload)])),
        type_: original.type_.clone(),
        ..Secret::default()
    })
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

impl Releases {
    /// Revokes the key of one chart and counts what is written for it.
    async fn revoke(&self, bench: &Bench) -> Result {
        let (story, each) = (&self.story, self.each);
        let operator = bench.start(&[])?;
        judged(&operator, &story.namespace, self.count()).await;
        let audit = bench.cluster.audit()?;
        let mark = audit.mark()?;
        let asked = story.repository.requests().len();
        let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
        story.patch::<TrustedKey>(&self.few.name, revoke).await;
        let committed = charttrust::clock::now();
        let written = || -> Result<Events> {
            Ok(audit
                .since(mark)?
                .by(bench.identity.user())
                .writes()
                .of("releasetrusts"))
        };
        eventually(
            PATIENCE,
            "every dependent release was written",
            async || {
                let count = written().map_err(|error| error.to_string())?.len();
                if count >= each {
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
            each,
            self.count()
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
}
