//! P6, P7, P9 and P22: the key is stolen on which many releases rest. How long it takes until the first and the last of
//! them is contained, beside a bare client that makes the same changes; what is written for each; and what somebody
//! else who reads notices of it.
//!
//! When something happened is what the API server says in its audit log: a change counts once it is answered.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use charttrust::api::TrustedKey;
use charttrust_e2e::audit::{Events, Mark};
use charttrust_e2e::charts::Source;
use charttrust_e2e::operator::Operator;
use charttrust_e2e::stage::workloads::automatic;
use charttrust_e2e::stage::{self, Opening, Scene};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::copies;
use crate::load::{drive, drive_beside};
use crate::numbers::{Load, Outcome, Pairs, Ratio, Sample, real, slope};
use crate::run::{Bench, PATIENCE, contained, counted, judged, kind};
use crate::{Arguments, Result};

/// How many requests others make in a second meanwhile.
const READS: u32 = 50;
/// For each release beside its objects: verdict, approval, saved originals, conclusion.
const MORE_WRITES: usize = 4;
/// Workloads of a release.
const WORKLOADS: usize = 1;

/// The rows, for each number of releases.
pub(crate) async fn row(bench: &Bench, arguments: &Arguments) -> Result {
    rights(bench).await?;
    let default = [arguments.bad];
    let sizes = match arguments.sizes.as_slice() {
        [] => &default[..],
        sizes => sizes,
    };
    let mut points = Vec::new();
    for size in sizes {
        let mut stand = Stand::set(bench, *size).await?;
        let took = stand.measure(arguments).await?;
        points.push((real(*size).ln(), took.ln()));
        stand.clear().await;
    }
    if sizes.len() > 2 {
        let [slope, explained] = slope(&points);
        println!(
            "\n  P6 exponent {slope:.2} (R² {explained:.3}) of {sizes:?} releases (goal: at most 1.05)"
        );
    }
    Ok(())
}

/// What the operator needs to contain anything.
pub(crate) async fn rights(bench: &Bench) -> Result {
    let rights = stage::path("operator/install/quarantine");
    let apply = ["apply", "--server-side", "-f", &rights];
    stage::kubectl(bench.cluster.kubeconfig(), &apply).await?;
    Ok(())
}

/// Contains whatever is due, by scaling alone.
pub(crate) fn unlimited() -> Value {
    let mut section = automatic();
    section["actions"] = json!(["ScaleToZero"]);
    section["limit"] = json!({"maxReleases": 10_000, "maxPercent": 100, "maxPerNamespace": 10_000});
    section
}

/// Releases that are trusted, and an operator that would contain them.
struct Stand<'a> {
    bench: &'a Bench,
    scene: Scene,
    names: Vec<String>,
    operator: Operator,
}

/// What one round has shown, in milliseconds.
struct Round {
    /// The same changes, by a bare client.
    floor: f64,
    /// As many changes as are promised at most.
    writes: f64,
    /// One change after the other.
    patch: Sample,
    first: f64,
    last: f64,
    /// Writes for each release.
    each: Sample,
    idle: Sample,
    busy: Sample,
}

impl<'a> Stand<'a> {
    async fn set(bench: &'a Bench, count: usize) -> Result<Self> {
        let scene = Opening::new("contained").with_quarantine(unlimited());
        let scene = scene.declared(bench.cluster).await;
        println!("preparing {count} releases that will be contained …");
        let chart = scene
            .publish(&Source::new("web", "1.0.0"), Some(&scene.key))
            .await;
        let names = copies::make(&scene, &chart, count).await?;
        let mut operator = bench.start(&["--quarantine"])?;
        operator.ready(PATIENCE).await?;
        judged(&operator, &scene.namespace, count).await;
        Ok(Self {
            bench,
            scene,
            names,
            operator,
        })
    }

    /// All rounds; gives the milliseconds to the last of all.
    async fn measure(&mut self, arguments: &Arguments) -> Result<f64> {
        let load = Load::now();
        let mut rounds = Vec::new();
        for number in 0..arguments.rounds {
            rounds.push(self.round(arguments, number).await?);
        }
        tell(&rounds, self.names.len());
        println!("  load from outside      {} %", load.outside());
        let last = Sample::of(rounds.iter().map(|round| round.last).collect());
        Ok(last.at(500))
    }

    async fn round(&mut self, arguments: &Arguments, number: usize) -> Result<Round> {
        // Nothing is asked of a program that stands still, and it takes nothing from the bare client.
        self.operator.freeze();
        let (patch, floor) = self.patched(number).await?;
        let writes = self.written(number).await?;
        self.operator.thaw();
        self.bench.at_rest().await?;
        let wave = (READS, Duration::from_secs(arguments.of_round()));
        let idle = drive(wave, |_| self.read()).await?;
        let mark = self.bench.cluster.mark();
        let containing = async {
            self.scene.revoke().await;
            contained(&self.operator, self.names.len()).await;
        };
        let ((), busy) = drive_beside(READS, containing, |_| self.read()).await?;
        self.bench.at_rest().await?;
        let [first, last] = self.contained_since(mark)?;
        let each = self.wrote(mark, number)?;
        self.scene.withdraw().await;
        contained(&self.operator, 0).await;
        self.bench.at_rest().await?;
        Ok(Round {
            floor,
            writes,
            patch,
            first,
            last,
            each,
            idle,
            busy,
        })
    }

    /// Times of single patches, and the milliseconds that one patch of each Deployment takes: the least of several
    /// concurrencies.
    async fn patched(&self, number: usize) -> Result<(Sample, f64)> {
        let (mut single, mut least) = (Sample::default(), f64::INFINITY);
        for at_a_time in [1, 4, 16, 64] {
            let patch = |name| self.patch(name, format!("{number}-{at_a_time}"));
            let names = self.names.iter().map(String::as_str);
            let begun = Instant::now();
            let patches = futures::stream::iter(names).map(patch);
            let times: Vec<f64> = patches.buffer_unordered(at_a_time).try_collect().await?;
            least = least.min(millis(begun.elapsed()));
            if at_a_time == 1 {
                single = Sample::of(times);
            }
        }
        Ok((single, least))
    }

    /// The milliseconds that as many patches take as writes are promised, those of a release one after the other.
    async fn written(&self, number: usize) -> Result<f64> {
        let begun = Instant::now();
        let names = self.names.iter().map(String::as_str);
        let writes = WORKLOADS + MORE_WRITES;
        let release = async |name| -> Result {
            for write in 0..writes {
                self.patch(name, format!("{number}-w{write}")).await?;
            }
            Ok(())
        };
        let releases = futures::stream::iter(names).map(release);
        releases.buffer_unordered(16).try_collect::<()>().await?;
        Ok(millis(begun.elapsed()))
    }

    /// Patches one Deployment without any reason.
    async fn patch(&self, name: &str, value: String) -> Result<f64> {
        let change = json!({"metadata": {"annotations": {"example.com/bench": value}}});
        let (params, patch) = (PatchParams::default(), Patch::Merge(&change));
        let api = self.scene.api::<Deployment>();
        let begun = Instant::now();
        api.patch_metadata(name, &params, &patch).await?;
        Ok(millis(begun.elapsed()))
    }

    /// Somebody else reads something that is nobody's.
    fn read(&self) -> impl Future<Output = Result> + Send + 'static {
        let api = self.scene.api::<ConfigMap>();
        let name = self.names[0].clone();
        async move {
            api.get(&name).await?;
            Ok(())
        }
    }

    /// The milliseconds from the revocation to the first and to the last change of a workload.
    fn contained_since(&self, mark: Mark) -> Result<[f64; 2]> {
        let asked = self.bench.cluster.asked_since(mark);
        let revoked = revoked_at(&asked, &self.scene.key.name).ok_or("nobody has revoked")?;
        let changes = changes(asked, self.bench.identity.user());
        let since = |at: Option<Timestamp>| {
            at.map(|at| at.duration_since(revoked).as_secs_f64() * 1000.0)
                .ok_or("nothing was contained")
        };
        let times = || changes.iter().map(|event| event.answered);
        if changes.len() != self.names.len() * WORKLOADS {
            return Err(format!("{} changes of {}", changes.len(), self.names.len()).into());
        }
        Ok([since(times().min())?, since(times().max())?])
    }

    /// What was written for each release since then; in the first round all requests are told.
    fn wrote(&self, mark: Mark, number: usize) -> Result<Sample> {
        let asked = self.bench.cluster.asked_since(mark);
        let revoked = revoked_at(&asked, &self.scene.key.name).ok_or("nobody has revoked")?;
        let all = asked.by(self.bench.identity.user());
        if number == 0 {
            tell_requests(&all, self.names.len(), revoked);
        }
        let mut each: BTreeMap<_, usize> = self.names.iter().map(|name| (name, 0)).collect();
        for write in all.writes().only(|event| event.resource != "events").iter() {
            // What is written for all of them together is of another name.
            if let Some(writes) = each.get_mut(&write.name) {
                *writes += 1;
            }
        }
        Ok(Sample::of(each.into_values().map(real).collect()))
    }

    /// Nothing stays that would burden what is measured next.
    async fn clear(self) {
        drop(self.operator);
        self.scene.delete::<TrustedKey>(&self.scene.key.name).await;
        copies::remove(&self.scene).await;
    }
}

/// When the key was revoked, by whoever is not the operator.
pub(crate) fn revoked_at(asked: &Events, key: &str) -> Option<Timestamp> {
    let mut all = asked.iter();
    let revoked = all.find(|event| {
        event.resource == "trustedkeys" && event.name == key && event.subresource.is_empty()
    });
    revoked.map(|event| event.answered)
}

/// The changes of workloads that somebody has made.
pub(crate) fn changes(asked: Events, user: &str) -> Events {
    let of_workloads = asked.by(user).writes().of("deployments");
    of_workloads.only(|event| event.code == 200)
}

/// How many requests there were for each release, of which kinds, and after how long the first and the last of each was
/// answered.
fn tell_requests(all: &Events, count: usize, revoked: Timestamp) {
    let each = |times: usize| real(times) / real(count);
    println!(
        "\nof {count} releases, for each     {:.2} requests",
        each(all.len())
    );
    for (what, times) in counted(all) {
        let answered = all.iter().filter(|event| kind(event) == what);
        let answered = answered.map(|event| event.answered.duration_since(revoked).as_millis());
        let (first, last) = answered.fold((i128::MAX, i128::MIN), |(first, last), at| {
            (first.min(at), last.max(at))
        });
        println!("  {what:<44} {:>6.2}  {first:>6} to {last} ms", each(times));
    }
}

fn tell(rounds: &[Round], count: usize) {
    let of = |value: fn(&Round) -> f64| Sample::of(rounds.iter().map(value).collect()).at(500);
    let ratio = |ours: fn(&Round) -> f64, floor: fn(&Round) -> f64| {
        Ratio::of(rounds.iter().map(|round| (ours(round), floor(round))))
    };
    println!(
        "\nquarantine of {count} releases, medians of {} rounds",
        rounds.len()
    );
    println!(
        "  first, last            {:.0} ms, {:.0} ms",
        of(|r| r.first),
        of(|r| r.last)
    );
    println!("  the same bare patches  {:.0} ms", of(|r| r.floor));
    println!("  as many bare writes    {:.0} ms", of(|r| r.writes));
    println!("  one bare patch         {:.1} ms", of(|r| r.patch.at(500)));
    let p6 = ratio(|r| r.last, |r| r.floor);
    let outcome = Outcome::at_most(1.3, p6.median());
    println!("  P6 {p6} (goal: at most 1.3{outcome})");
    println!(
        "    of as many writes    {}",
        ratio(|r| r.last, |r| r.writes)
    );
    let p7 = ratio(|r| r.first, |r| r.patch.at(500));
    let outcome = match Outcome::at_most(300.0, of(|r| r.first)) {
        Outcome::Met => Outcome::at_most(20.0, p7.median()),
        missed @ Outcome::Missed => missed,
    };
    println!("  P7 {p7} (goal: at most 20, and 300 ms{outcome})");
    let most = real(WORKLOADS + MORE_WRITES);
    let each = Sample::all(
        &rounds
            .iter()
            .map(|round| round.each.clone())
            .collect::<Vec<_>>(),
    );
    let p9 = each.at(500) / most;
    let outcome = Outcome::at_most(1.0, p9);
    println!(
        "  P9 {p9:.2}: {:.0} writes of {most:.0}, and {:.0} for the release with most (goal: at most 1.0{outcome})",
        each.at(500),
        each.at(1000)
    );
    let all = |of: fn(&Round) -> &Sample| {
        Sample::all(&rounds.iter().map(of).cloned().collect::<Vec<_>>())
    };
    println!("  GETs of others, idle   {}", all(|r| &r.idle));
    println!("  meanwhile              {}", all(|r| &r.busy));
    let p22 = Pairs::of(rounds.iter().map(|round| (&round.busy, &round.idle))).at(990);
    let outcome = Outcome::at_most(2.0, p22.ratio);
    println!("  P22 {p22} (goal: at most 2.0{outcome})");
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
