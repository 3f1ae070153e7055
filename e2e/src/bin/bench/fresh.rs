//! P18: how long it takes from a new record to its verdict, where the chart is known, beside somebody who watches too
//! and writes without looking.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use charttrust::api::ChartTrustPolicy;
use charttrust_e2e::audit::{Event, Events, Mark};
use charttrust_e2e::charts::Source;
use charttrust_e2e::cluster::built;
use charttrust_e2e::eventually;
use charttrust_e2e::operator::Operator;
use charttrust_e2e::process::Process;
use charttrust_e2e::record;
use charttrust_e2e::stage::{Opening, Scene};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use tempfile::TempDir;

use crate::load::drive;
use crate::numbers::{Load, Outcome, Pairs, Sample};
use crate::run::{Bench, PATIENCE, judged};
use crate::{Arguments, Result, copies};

/// New records a second.
const RATE: u32 = 10;

/// Who answers a new record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Ours,
    Floor,
}

/// The row.
pub(crate) async fn row(bench: &Bench, arguments: &Arguments) -> Result {
    let mut stand = Stand::set(bench, arguments).await?;
    let load = Load::now();
    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for number in 0..arguments.rounds {
        floors.push(
            stand
                .turn(Turn::Floor, (number, arguments.of_round()))
                .await?,
        );
        ours.push(
            stand
                .turn(Turn::Ours, (number, arguments.of_round()))
                .await?,
        );
    }
    println!("\nnew records, {RATE} a second, to the status that is written");
    println!("  ours                   {}", Sample::all(&ours));
    println!("  a bare watcher         {}", Sample::all(&floors));
    let p18 = Pairs::of(ours.iter().zip(&floors)).at(990);
    let outcome = match Outcome::at_most(250.0, Sample::all(&ours).at(990)) {
        Outcome::Met => Outcome::at_most(1.5, p18.ratio),
        missed @ Outcome::Missed => missed,
    };
    println!("  P18 {p18} (goal: at most 1.5, and 250 ms{outcome})");
    println!("  load from outside      {} %", load.outside());
    stand.clear().await;
    Ok(())
}

/// A release of which the chart is known, an operator, and a namespace in which nobody but the floor looks.
struct Stand<'a> {
    bench: &'a Bench,
    scene: Scene,
    template: Arc<Secret>,
    operator: Operator,
    /// Frozen as well while it is not its turn.
    floor: Process,
    _dir: TempDir,
}

impl<'a> Stand<'a> {
    async fn set(bench: &'a Bench, arguments: &Arguments) -> Result<Self> {
        let scene = Opening::new("fresh").declared(bench.cluster).await;
        let source = Source::new("web", "1.0.0");
        let chart = scene.publish(&source, Some(&scene.key)).await;
        scene.install("web", &chart).await;
        let secrets = scene.api::<Secret>();
        let template = secrets.get(&record::stored("web", 1)).await?;
        let mut operator = bench.start(&[])?;
        operator.ready(PATIENCE).await?;
        judged(&operator, &scene.namespace, 1).await;
        let program = match &arguments.watcher {
            Some(program) => program.clone(),
            None => built("../release/watch-floor")?,
        };
        let mut command = Command::new(program);
        command.arg(&scene.namespace);
        command.env("KUBECONFIG", bench.cluster.kubeconfig());
        let dir = tempfile::tempdir()?;
        let floor = Process::spawn("watch-floor", &command, &dir.path().join("log"))?;
        eventually(PATIENCE, "the floor watches", async || {
            floor
                .log()
                .contains("watching")
                .then_some(())
                .ok_or_else(|| floor.log())
        })
        .await;
        Ok(Self {
            bench,
            scene,
            template: Arc::new(template),
            operator,
            floor,
            _dir: dir,
        })
    }

    /// Records come for so many seconds, and one of the two answers; the other stands still.
    async fn turn(&mut self, turn: Turn, (number, seconds): (usize, u64)) -> Result<Sample> {
        match turn {
            Turn::Ours => {
                self.floor.freeze();
                self.operator.thaw();
            }
            Turn::Floor => {
                self.operator.freeze();
                self.floor.thaw();
            }
        }
        self.bench.at_rest().await?;
        let mark = self.bench.cluster.mark();
        let wave = (RATE, Duration::from_secs(seconds));
        let prefix = format!(
            "{}-{number}",
            if turn == Turn::Ours { "ours" } else { "floor" }
        );
        drive(wave, |index| self.install(format!("{prefix}-{index}"))).await?;
        let all = usize::try_from(u64::from(RATE) * seconds)?;
        let answered = async || {
            let times = self.times(turn, mark, &prefix);
            let found = times.len();
            (found == all)
                .then_some(times)
                .ok_or(format!("{found} of {all}"))
        };
        let times = eventually(PATIENCE, "each record is answered", answered).await;
        Ok(Sample::of(times))
    }

    fn install(&self, name: String) -> impl Future<Output = Result> + Send + 'static {
        let api: Api<Secret> = self.scene.api();
        let template = Arc::clone(&self.template);
        async move {
            let mut secret = record::copy(&template, &name, |_| ())?;
            secret.metadata.managed_fields = None;
            api.create(&PostParams::default(), &secret).await?;
            Ok(())
        }
    }

    /// The milliseconds between each record and its status.
    fn times(&self, turn: Turn, mark: Mark, prefix: &str) -> Vec<f64> {
        let asked = self.bench.cluster.asked_since(mark);
        let is_stored = |event: &Event| {
            event.resource == "secrets" && event.verb == "create" && event.code == 201
        };
        let records = asked.clone().only(is_stored);
        let user = self.bench.identity.user();
        let is_told = |event: &Event| {
            let is_ours = event.user == user;
            event.resource == "releasetrusts"
                && event.subresource == "status"
                && event.code == 200
                && is_ours == (turn == Turn::Ours)
                && (!is_ours || is_trusted(event))
        };
        let told = first(&asked.only(is_told));
        let of_record = |(name, stored): (String, Timestamp)| {
            let release = name
                .strip_prefix("sh.helm.release.v1.")?
                .strip_suffix(".v1")?;
            let told = told.get(release).filter(|_| release.starts_with(prefix))?;
            Some(told.duration_since(stored).as_secs_f64() * 1000.0)
        };
        first(&records).into_iter().filter_map(of_record).collect()
    }

    async fn clear(self) {
        drop((self.operator, self.floor));
        self.scene
            .delete::<ChartTrustPolicy>(&self.scene.policy)
            .await;
        copies::remove(&self.scene).await;
    }
}

/// Whether what was written says that the release is trusted.
fn is_trusted(event: &Event) -> bool {
    let conditions = event
        .request
        .as_ref()
        .and_then(|object| object["status"]["conditions"].as_array());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|one| one["type"] == "Trusted" && one["status"] == "True")
}

/// When each object was first written.
fn first(events: &Events) -> BTreeMap<String, Timestamp> {
    let mut all = BTreeMap::new();
    for event in events.iter() {
        let at = all.entry(event.name.clone()).or_insert(event.answered);
        *at = (*at).min(event.answered);
    }
    all
}
