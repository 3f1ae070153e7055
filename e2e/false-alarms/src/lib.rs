//! Looks for false alarms: signs any charts, installs them with both Helms, and lists every
//! verdict that is not Trusted - and, on the same charts, every change of a record that is missed.

mod alter;
mod gather;
mod install;
mod report;
mod signed;
mod statements;

pub use install::Way;
pub use report::{Record, Report};
pub use statements::{Statements, statements};

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use charttrust::api::ReleaseTrust;
use charttrust::api::conditions::{self, ReleaseCondition, Status};
use charttrust_verify::binding::{Binding, Note};
use charttrust_verify::chart::{self, Chart};
use charttrust_verify::limits::ArchiveLimits;
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::record;
use charttrust_e2e::registry::{Kind, Registry};
use charttrust_e2e::stage::{Stage, Story, StoryKey};
use gather::{Found, Packaged, Packager};
use install::{Installed, Installer, Order, record_name};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Where the charts are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a repository over HTTP.
    Http,
    /// In an OCI registry.
    Registry,
}

/// How much to do.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Where the charts are published.
    pub place: Place,
    /// Installations at a time.
    pub parallel: usize,
    /// Every how many charts one is also installed from its folder, and one upgraded.
    pub sample: usize,
    /// How many records to change in the cluster.
    pub altered: usize,
    /// How long verdicts may take after the last installation.
    pub deadline: Duration,
}

/// Runs all charts below `folders` through the operator on `stage`.
pub async fn run(stage: &Stage, folders: &[&Path], options: Options) -> Result<Report> {
    let mut report = Report::default();
    let mut clock = Instant::now();
    let mut step = |report: &mut Report, name| {
        report.times.push((name, clock.elapsed()));
        clock = Instant::now();
    };
    let story = Story::begin(stage.cluster, "alarms", Version::V4).await;
    let key = story.trusted_key("publisher").await;
    let kubeconfig = stage.cluster.kubeconfig();
    let helm = |version| Helm::new(version).map(|helm| helm.on(kubeconfig));
    let helms = [helm(Version::V3)?, helm(Version::V4)?];
    let (mut charts, copies) = package(&story, &key, &helms, folders, &mut report).await?;
    let registry = match options.place {
        Place::Http => None,
        Place::Registry => Some(Registry::start(Kind::Distribution).await?),
    };
    if let Some(registry) = &registry {
        charts = push(registry, &helms[1], charts, &mut report).await;
    }
    report.charts = charts.len();
    let publishers = charts.iter().map(|chart| chart.publisher.clone());
    report.publishers = publishers.collect();
    let rows: BTreeSet<_> = charts.iter().map(|chart| chart.row).collect();
    for row in rows {
        declare(&story, &key, registry.as_ref(), row).await?;
    }
    step(&mut report, "packaging and signing");

    let installer = Installer::new(story.client.clone(), helms, &story.namespace)?;
    let orders = orders(&charts, &story.namespace, options);
    let installed = install(&installer, &orders, options, &mut report).await?;
    drop(copies);
    step(
        &mut report,
        "installing, comparing and altering in the engine",
    );
    let trusts = verdicts(&story.client, &installed, options.deadline).await?;
    step(&mut report, "waiting for verdicts after that");
    conclude(&installed, &trusts, &mut report);
    alter_in_cluster(&story.client, &installed, options, &mut report).await?;
    step(&mut report, "altering records in the cluster");
    Ok(report)
}

/// Publishes one row, with a policy of its own over what is installed from it.
async fn declare(story: &Story, key: &StoryKey, registry: Option<&Registry>, row: usize) -> Result {
    let url = if let Some(registry) = registry {
        registry.url()
    } else {
        let folder = story.repository.dir().join(row.to_string());
        story.helm.index(&folder).await?;
        story.repository.url()
    };
    let rule = json!({
        "name": "all",
        "charts": ["*"],
        "sources": [{"url": format!("{url}/{row}")}],
        "verify": {"signers": {"keys": [key.name]}},
    });
    let releases = format!("{}-{row}-*/*", story.namespace);
    let more = json!({"match": {"releases": [releases]}, "rules": [rule]});
    story.policy(&format!("row-{row}"), &[key], more).await;
    Ok(())
}

/// Puts every chart into the registry, each row below a path of its own. Those that it has no place for are told.
async fn push(
    registry: &Registry,
    helm: &Helm,
    charts: Vec<Packaged>,
    report: &mut Report,
) -> Vec<Packaged> {
    let mut pushed = Vec::new();
    for chart in charts {
        let below = format!("{}/{}", registry.url(), chart.row);
        match helm.push(&chart.archive, &below).await {
            Ok(()) => pushed.push(chart),
            Err(error) => report.not_packaged.push((chart.archive, error.to_string())),
        }
    }
    pushed
}

async fn package(
    story: &Story,
    key: &StoryKey,
    helms: &[Helm; 2],
    folders: &[&Path],
    report: &mut Report,
) -> Result<(Vec<Packaged>, tempfile::TempDir)> {
    let keys = (&story.keyring, &key.key, &key.signer);
    let [three, four] = helms;
    let mut packager = Packager::new([three, four], keys, story.repository.dir())?;
    let mut charts = Vec::new();
    for folder in folders {
        let found = Found::below(folder)?;
        let (packaged, skipped) = packager.package(&found).await;
        charts.extend(packaged);
        report.not_packaged.extend(skipped);
    }
    for chart in &charts {
        match signed::difference(&chart.archive)? {
            None => report.statements += 1,
            Some(what) => {
                let told = format!("{} {}", chart.name, chart.version);
                report.alarm(told, format!("would be signed otherwise: {what}"));
            }
        }
    }
    Ok((charts, packager.into_copies()))
}

/// Each chart by both Helms; the other ways by both where there are conditions, and on a sample.
fn orders<'a>(charts: &'a [Packaged], prefix: &str, options: Options) -> Vec<Order<'a>> {
    let mut orders = Vec::new();
    for (number, chart) in charts.iter().enumerate() {
        let sampled = |offset: usize| (number + offset).is_multiple_of(options.sample.max(1));
        let conditions = !chart.conditions.is_empty();
        let ways = [
            (Way::Archive, true),
            (Way::Off, conditions),
            (Way::On, conditions),
            (Way::Folder, chart.folder.is_some() && sampled(0)),
            (Way::Reused, sampled(1)),
        ];
        for (way, _) in ways.into_iter().filter(|(_, wanted)| *wanted) {
            for (version, helm) in [(Version::V3, "3"), (Version::V4, "4")] {
                let way_name = format!("{way:?}").to_ascii_lowercase();
                let row = chart.row;
                let namespace = format!("{prefix}-{row}-{number}-{way_name}-{helm}");
                orders.push(Order {
                    chart,
                    namespace,
                    version,
                    way,
                });
            }
        }
    }
    orders
}

async fn install<'a>(
    installer: &Installer,
    orders: &[Order<'a>],
    options: Options,
    report: &mut Report,
) -> Result<Vec<Installed<'a>>> {
    let total = orders.len();
    let made = stream::iter(orders)
        .map(|order| async move { (order, installer.install(order).await) })
        .buffer_unordered(options.parallel.max(1))
        .enumerate()
        .inspect(|(done, _)| {
            if done % PROGRESS == 0 {
                eprintln!("false-alarms: {done} of {total} installed");
            }
        });
    let mut made = pin!(made);
    let mut installed = Vec::new();
    // One after the other is compared while Helm installs the next.
    while let Some((_, (order, result))) = made.next().await {
        match result {
            Ok(release) => {
                compare(&release, report)?;
                installed.push(release);
            }
            Err(error) => {
                let (order, error) = (order.to_string(), error.to_string());
                report.not_installed.push((order, error));
            }
        }
    }
    Ok(installed)
}

type Trusts = HashMap<(String, String), ReleaseTrust>;

/// Waits until every release has a verdict, or the deadline has passed.
async fn verdicts(
    client: &Client,
    installed: &[Installed<'_>],
    deadline: Duration,
) -> Result<Trusts> {
    let start = Instant::now();
    let api = Api::<ReleaseTrust>::all(client.clone());
    let mut before = 0;
    loop {
        let all = api.list(&ListParams::default()).await?;
        let trusts: Trusts = all
            .into_iter()
            .filter_map(|trust| Some((key(&trust)?, trust)))
            .collect();
        let open = installed
            .iter()
            .filter(|release| !is_settled(release, &trusts))
            .count();
        if open == 0 || start.elapsed() > deadline {
            return Ok(trusts);
        }
        if open != before {
            let first = installed
                .iter()
                .find(|release| !is_settled(release, &trusts));
            let first = first
                .map(|release| release.order.to_string())
                .unwrap_or_default();
            eprintln!("false-alarms: {open} releases have no verdict yet, one is {first}");
        }
        before = open;
        tokio::time::sleep(POLL).await;
    }
}

fn key(trust: &ReleaseTrust) -> Option<(String, String)> {
    Some((
        trust.metadata.namespace.clone()?,
        trust.metadata.name.clone()?,
    ))
}

fn is_settled(release: &Installed<'_>, trusts: &Trusts) -> bool {
    let found = trusts.get(&(release.order.namespace.clone(), release.release.clone()));
    let revision = if release.order.way == Way::Reused {
        2
    } else {
        1
    };
    found.is_some_and(|trust| {
        let judged = trust
            .status
            .as_ref()
            .and_then(|status| status.release.as_ref());
        judged.is_some_and(|judged| judged.revision >= revision)
            && trusted(trust)
                .is_some_and(|(status, reason)| status != Status::Unknown || reason == NOT_BINDABLE)
    })
}

fn trusted(trust: &ReleaseTrust) -> Option<(Status, String)> {
    let conditions = &trust.status.as_ref()?.conditions;
    let condition = conditions::find(conditions, ReleaseCondition::Trusted)?;
    Some((condition.status, condition.reason.clone()))
}

fn conclude(installed: &[Installed<'_>], trusts: &Trusts, report: &mut Report) {
    for release in installed {
        let found = trusts.get(&(release.order.namespace.clone(), release.release.clone()));
        let Some(trust) = found else {
            report.alarm(release.order.to_string(), "no ReleaseTrust".to_owned());
            continue;
        };
        let findings = trust.status.iter().flat_map(|status| &status.findings);
        match trusted(trust) {
            Some((Status::True, _)) => {
                report.trusted += 1;
                for finding in findings {
                    let told = format!("{}: {}", finding.reason, finding.message);
                    *report.findings.entry(told).or_default() += 1;
                }
            }
            verdict => {
                let word = verdict.map(|(_, reason)| reason).unwrap_or_default();
                let told: Vec<_> = findings
                    .map(|f| format!("{}: {}", f.reason, f.message))
                    .collect();
                let cause = format!("{word} [{}]", told.join(" | "));
                let name = release.order.to_string();
                if word == NOT_BINDABLE && report.other_charts.contains(&name) {
                    continue;
                }
                report.alarm(name, cause);
            }
        }
    }
}

/// Compares a record as the engine does, first as it is, then with every alteration.
fn compare(release: &Installed<'_>, report: &mut Report) -> Result {
    let archive = std::fs::read(&release.order.chart.archive)?;
    let told = release.order.to_string();
    let json = record::decode(&release.payload)?;
    let (version, way, replaced) = (release.order.version, release.order.way, release.replaced);
    let deployed = json["info"]["status"] == "deployed";
    report.records.push(Record {
        version,
        way,
        replaced,
        deployed,
    });
    let chart = match chart::read(&archive, &ArchiveLimits::default()) {
        Ok(chart) => chart,
        Err(error) => {
            report.alarm(told, format!("the archive is refused: {error}"));
            return Ok(());
        }
    };
    match alter::judge_payload(&chart, &release.payload) {
        Ok(Binding::Same { .. }) => alter_all(&chart, &json, &told, report),
        Ok(Binding::OldWriter { notes }) if is_other_chart(release, &chart, &notes) => {
            report.other_charts.push(told);
        }
        other => report.alarm(told, format!("compared: {other:?}")),
    }
    Ok(())
}

fn alter_all(chart: &Chart, json: &serde_json::Value, told: &str, report: &mut Report) {
    for alteration in alter::alterations(json) {
        *report.altered.entry(alteration.name).or_default() += 1;
        match alter::judge(chart, &alteration.release) {
            Ok(Binding::Different { .. }) => {}
            Ok(Binding::OldWriter { .. }) => {
                *report.doubted.entry(alteration.name).or_default() += 1;
            }
            other => report.miss(told.to_owned(), format!("{}: {other:?}", alteration.name)),
        }
    }
}

/// Whether the folder is another chart than what Helm packages of it: of apiVersion v1 it drops
/// Chart.lock and the dependencies in Chart.yaml, so nobody has signed what was installed.
fn is_other_chart(release: &Installed<'_>, chart: &Chart, notes: &[Note]) -> bool {
    release.order.way == Way::Folder
        && chart.metadata.api_version == "v1"
        && notes.contains(&Note::DirectoryV1)
}

/// Alters some records where they are stored, each in another way.
async fn alter_in_cluster(
    client: &Client,
    installed: &[Installed<'_>],
    options: Options,
    report: &mut Report,
) -> Result {
    let alarms: BTreeSet<_> = report
        .alarms
        .iter()
        .map(|(release, _)| release.clone())
        .collect();
    let archives: Vec<_> = installed
        .iter()
        .filter(|release| release.order.way == Way::Archive)
        .filter(|release| !alarms.contains(&release.order.to_string()))
        .collect();
    let stride = (archives.len() / options.altered.max(1)).max(1);
    let mut altered = Vec::new();
    for (number, release) in archives
        .into_iter()
        .step_by(stride)
        .take(options.altered)
        .enumerate()
    {
        let mut ways = alter::alterations(&record::decode(&release.payload)?);
        if ways.is_empty() {
            continue;
        }
        let way = ways.swap_remove(number % ways.len());
        let change = json!({"data": {"release": record::encode(&way.release)?}});
        let secrets = Api::<Secret>::namespaced(client.clone(), &release.order.namespace);
        let name = record_name(&release.release, 1);
        secrets
            .patch(&name, &PatchParams::default(), &Patch::Merge(change))
            .await?;
        altered.push((release, way.name));
    }
    let start = Instant::now();
    for (release, what) in altered {
        let left = options.deadline.saturating_sub(start.elapsed());
        match distrust(client, release, left).await? {
            Ok(word) => *report.altered_in_cluster.entry(word).or_default() += 1,
            Err(word) => {
                let told = format!("{what}, in the cluster: {word}");
                report.miss(release.order.to_string(), told);
            }
        }
    }
    Ok(())
}

/// Waits until an altered release has the verdict that it deserves, or says which one it has.
async fn distrust(
    client: &Client,
    release: &Installed<'_>,
    deadline: Duration,
) -> Result<std::result::Result<String, String>> {
    let trusts = Api::<ReleaseTrust>::namespaced(client.clone(), &release.order.namespace);
    let start = Instant::now();
    loop {
        let trust = trusts.get(&release.release).await?;
        let word = trusted(&trust)
            .map(|(_, reason)| reason)
            .unwrap_or_default();
        if DISTRUST.contains(&word.as_str()) {
            return Ok(Ok(word));
        }
        if start.elapsed() > deadline {
            return Ok(Err(word));
        }
        tokio::time::sleep(POLL).await;
    }
}

impl std::fmt::Display for Order<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Packaged { name, version, .. } = self.chart;
        let helm = match self.version {
            Version::V3 => "Helm 3",
            Version::V4 => "Helm 4",
        };
        write!(f, "{name} {version} ({helm}, {:?})", self.way)
    }
}

/// Content that is not the signed one; a name or version that nobody publishes; and what an old
/// Helm could have left out.
const DISTRUST: [&str; 3] = ["ContentMismatch", "ChartNotFound", NOT_BINDABLE];
const NOT_BINDABLE: &str = "NotBindable";
const POLL: Duration = Duration::from_secs(1);
const PROGRESS: usize = 25;
