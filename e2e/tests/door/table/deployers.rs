//! What deployers do: the controllers of Flux, the Job of a `HelmChart` of k3s, and Argo CD.

use std::collections::BTreeMap;

use charttrust_e2e::argo::{self, Argo};
use charttrust_e2e::charts::Chart;
use charttrust_e2e::eventually;
use charttrust_e2e::flux::{self, Flux};
use charttrust_e2e::k3s::{self, K3s};
use charttrust_e2e::record;
use charttrust_e2e::shards::is_taken;
use charttrust_e2e::stage::SOON;
use charttrust_verify::verdict::Cause;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::cell::{Case, Mode, Seen};
use super::ground::Ground;
use super::helm::restart;
use super::page::{Table, shows};
use crate::ready::charttrust;
use crate::setup::{called, front, said_by_kubectl};

/// Who does what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    FluxNew,
    FluxNext,
    FluxUninstalls,
    K3sNew,
    K3sNext,
    K3sReinstalls,
    K3sAborts,
    ArgoNew,
    ArgoNext,
}

impl Way {
    const ALL: [Self; 9] = [
        Self::FluxNew,
        Self::FluxNext,
        Self::FluxUninstalls,
        Self::K3sNew,
        Self::K3sNext,
        Self::K3sReinstalls,
        Self::K3sAborts,
        Self::ArgoNew,
        Self::ArgoNext,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::FluxNew => "Flux: a new HelmRelease",
            Self::FluxNext => "Flux: another version",
            Self::FluxUninstalls => {
                "Flux: another version, `upgrade.remediation`: `strategy: uninstall`, `retries: 1`"
            }
            Self::K3sNew => "k3s: a new HelmChart",
            Self::K3sNext => "k3s: another version",
            Self::K3sReinstalls => {
                "k3s: another version after a failed one, `failurePolicy: reinstall`"
            }
            Self::K3sAborts => "k3s: another version after a failed one, `failurePolicy: abort`",
            Self::ArgoNew => "Argo CD: a new Application",
            Self::ArgoNext => "Argo CD: another version",
        }
    }

    fn is_new(self) -> bool {
        matches!(self, Self::FluxNew | Self::K3sNew | Self::ArgoNew)
    }
}

struct Cell<'a> {
    ground: &'a Ground,
    way: Way,
    case: Case,
}

/// The repository that no policy names, as Flux knows it.
const ELSEWHERE: &str = "elsewhere";

async fn with_flux() -> &'static Flux {
    static FLUX: OnceCell<Flux> = OnceCell::const_new();
    let start = async || Flux::start(front().await.stage.cluster).await.unwrap();
    FLUX.get_or_init(start).await
}

async fn with_k3s() -> &'static K3s {
    static K3S: OnceCell<K3s> = OnceCell::const_new();
    let start = async || K3s::start(front().await.stage.cluster).await.unwrap();
    K3S.get_or_init(start).await
}

/// Argo CD, once for all stories.
pub(crate) async fn with_argo() -> &'static Argo {
    static ARGO: OnceCell<Argo> = OnceCell::const_new();
    let start = async || Argo::start(front().await.stage.cluster).await.unwrap();
    ARGO.get_or_init(start).await
}

impl Cell<'_> {
    fn name(&self) -> String {
        let way = format!("{:?}", self.way).to_lowercase();
        format!("{way}-{}", self.case.name())
    }

    /// Whether it is one of those that `doctor` and `policy preview` have to name before anything is refused.
    fn is_named_before(&self) -> bool {
        let deletes = matches!(self.way, Way::FluxUninstalls | Way::K3sReinstalls);
        deletes && self.case == Case::Stolen && self.ground.mode == Mode::Enforce
    }

    /// What there is before. No policy is in force yet.
    async fn prepare(&self) {
        if self.way.is_new() {
            return;
        }
        let base = self.ground.base(self.case);
        let done = self.deploy(base).await;
        done.unwrap_or_else(|said| panic!("{}: {said}", self.name()));
        if matches!(self.way, Way::K3sReinstalls | Way::K3sAborts) {
            let done = self.helm("upgrade", base).await;
            done.unwrap_or_else(|said| panic!("{}: {said}", self.name()));
            self.fail().await;
        }
        let runs = self.runs().await;
        assert_eq!(runs, Some(made_of(base)), "{}", self.name());
    }

    /// As if its last upgrade had failed for whatever reason.
    async fn fail(&self) {
        let story = &self.ground.story;
        let secrets = Api::<Secret>::namespaced(story.client.clone(), &story.namespace);
        let name = format!("sh.helm.release.v1.{}.v2", self.name());
        let change = record::status(&secrets.get(&name).await.unwrap(), "failed");
        let change = Patch::Merge(story.done("edit a record", change));
        let done = secrets.patch(&name, &PatchParams::default(), &change).await;
        story.done("have an upgrade failed", done);
    }

    async fn act(&self) -> Seen {
        let (namespace, name) = (&self.ground.story.namespace, self.name());
        let before = self.ground.state(namespace, &name).await;
        let said = self.deploy(self.ground.chart(self.case)).await;
        Seen {
            said,
            after: self.ground.state(namespace, &name).await,
            before,
        }
    }

    /// Whether a deployer finds it in the repository that no policy names.
    fn is_elsewhere(&self, chart: &Chart) -> bool {
        self.case == Case::Tampered && chart.version == self.ground.chart(self.case).version
    }

    /// The word that the policy says of it. An Application is judged by what it asks for, and asks for these at a
    /// place that the rule does not name.
    fn word(&self) -> Option<&'static str> {
        let is_of_argo = matches!(self.way, Way::ArgoNew | Way::ArgoNext);
        match self.case {
            Case::Tampered | Case::Unknown if is_of_argo => Some(Cause::SourceUnknown.word()),
            case => case.word(),
        }
    }

    async fn runs(&self) -> Option<String> {
        let namespace = &self.ground.story.namespace;
        self.ground.state(namespace, &self.name()).await.runs
    }

    /// Has a chart deployed, waits until its deployer is done, and gives what can be read of that.
    async fn deploy(&self, chart: &Chart) -> Result<String, String> {
        match self.way {
            Way::FluxNew | Way::FluxNext | Way::FluxUninstalls => self.by_flux(chart).await,
            Way::K3sNew | Way::K3sNext | Way::K3sReinstalls | Way::K3sAborts => {
                self.by_k3s(chart).await
            }
            Way::ArgoNew | Way::ArgoNext => self.by_argo(chart).await,
        }
    }

    async fn by_flux(&self, chart: &Chart) -> Result<String, String> {
        let (story, name) = (&self.ground.story, self.name());
        let cluster = front().await.stage.cluster;
        let mut more = json!({"chart": {"spec": {"chart": chart.name}}});
        if self.is_elsewhere(chart) {
            more["chart"]["spec"]["sourceRef"] = json!({"name": ELSEWHERE});
            let url = self.ground.elsewhere.url();
            let made = flux::repository(cluster, story, ELSEWHERE, &url).await;
            story.done("declare a HelmRepository", made);
        }
        if self.way == Way::FluxUninstalls {
            more["upgrade"] = json!({"remediation": {"strategy": "uninstall", "retries": 1}});
        }
        let made = flux::release(cluster, story, &name, &chart.version, more).await;
        story.done("declare a HelmRelease", made);
        let kind = GroupVersionKind::gvk("helm.toolkit.fluxcd.io", "v2", "HelmRelease");
        let resource = ApiResource::from_gvk_with_plural(&kind, "helmreleases");
        let api = Api::<DynamicObject>::namespaced_with(
            story.client.clone(),
            &story.namespace,
            &resource,
        );
        eventually(SOON, &format!("Flux is done with {name}"), async || {
            let found = api.get(&name).await.map_err(|error| error.to_string())?;
            let found = serde_json::to_value(found).map_err(|error| error.to_string())?;
            done_by_flux(&found, chart).ok_or_else(|| found["status"].to_string())
        })
        .await
    }

    /// What the Job of a `HelmChart` does, where there is a node: `entry` of
    /// <https://github.com/k3s-io/klipper-helm/tree/09c5242>.
    async fn by_k3s(&self, chart: &Chart) -> Result<String, String> {
        let (story, name) = (&self.ground.story, self.name());
        let state = self.ground.state(&story.namespace, &name).await;
        match (state.records.last().map(String::as_str), self.way) {
            (None, _) => self.helm("install", chart).await,
            (Some("failed"), Way::K3sReinstalls) => {
                let gone = story.helm.uninstall(&story.namespace, &name).await;
                gone.map_err(|error| error.to_string())?;
                self.helm("install", chart).await
            }
            (Some("failed"), _) => Err("waiting for operator intervention".to_owned()),
            (Some(_), _) => self.helm("upgrade", chart).await,
        }
    }

    async fn helm(&self, verb: &str, chart: &Chart) -> Result<String, String> {
        let (story, name) = (&self.ground.story, self.name());
        let archive = chart.archive.to_string_lossy().into_owned();
        let arguments = [verb, &name, &archive, "--namespace", &story.namespace];
        let said = story.helm.told(&arguments).await;
        said.map_err(|error| error.to_string())
    }

    async fn by_argo(&self, chart: &Chart) -> Result<String, String> {
        let (story, name) = (&self.ground.story, self.name());
        let mut more = json!({"source": {"chart": chart.name, "helm": {"releaseName": name}}});
        if self.is_elsewhere(chart) {
            more["source"]["repoURL"] = json!(self.ground.elsewhere.url());
        }
        let own = format!("{}-{name}", story.namespace);
        let object = with_argo()
            .await
            .application(story, &own, &chart.version, more);
        let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
        std::fs::write(file.path(), object.to_string()).unwrap();
        let path = file.path().to_string_lossy().into_owned();
        let said = said_by_kubectl(&["apply", "--server-side", "-f", &path]).await;
        if !said.contains("serverside-applied") {
            return Err(said);
        }
        eventually(SOON, &format!("Argo CD deploys {own}"), async || {
            let runs = self.runs().await;
            if runs == Some(made_of(chart)) {
                Ok(())
            } else {
                Err(format!("{runs:?}"))
            }
        })
        .await;
        Ok(said)
    }
}

fn made_of(chart: &Chart) -> String {
    format!("{}-{}", chart.name, chart.version)
}

/// What a `HelmRelease` says when Flux has tried this version of the chart. Where no record was stored it tries again
/// and again, and remedies nothing.
fn done_by_flux(object: &Value, chart: &Chart) -> Option<Result<String, String>> {
    let status = &object["status"];
    let is_of_now = status["lastAttemptedGeneration"] == object["metadata"]["generation"]
        && status["lastAttemptedRevision"] == json!(chart.version);
    let conditions = status["conditions"].as_array().filter(|_| is_of_now)?;
    let ready = conditions.iter().find(|one| one["type"] == "Ready")?;
    let said = ready["message"].as_str().unwrap_or_default().to_owned();
    match (ready["status"].as_str()?, ready["reason"].as_str()?) {
        ("True", _) => Some(Ok(said)),
        ("False", "InstallFailed" | "UpgradeFailed") => Some(Err(said)),
        _ => None,
    }
}

type All<'a> = BTreeMap<(Mode, Way, Case), (&'a Cell<'a>, Seen)>;

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_what_deployers_do() {
    let front = front().await;
    tokio::join!(with_flux(), with_k3s(), with_argo());
    let door = front.door.read().await;
    let grounds = [
        Ground::lay("deployers-warn", Mode::Warn).await,
        Ground::lay("deployers-enforce", Mode::Enforce).await,
    ];
    called(&grounds[0].story).await;
    let cells = cells(&grounds);
    let prepare = cells.iter().map(|cell| Box::pin(cell.prepare()));
    futures::stream::iter(prepare)
        .buffer_unordered(AT_A_TIME)
        .collect::<Vec<()>>()
        .await;
    let mut policies = Vec::new();
    for ground in &grounds {
        let namespace = &ground.story.namespace;
        let of_argo = format!("{}/argocd.{namespace}-*", argo::NAMESPACE);
        let releases = [format!("{namespace}/*"), of_argo];
        policies.push(ground.begin(&releases, json!({})).await);
    }
    deletes_first(&grounds[1], &policies[1]).await;

    let mut all = All::new();
    let is_answered = |cell: &&Cell<'_>| !matches!(cell.case, Case::Down | Case::Late);
    let of = |case| {
        cells
            .iter()
            .filter(move |cell: &&Cell<'_>| cell.case == case)
    };
    act(cells.iter().filter(is_answered), &mut all).await;
    drop(door);
    let mut door = front.door.write().await;
    door.freeze();
    act(of(Case::Late), &mut all).await;
    door.thaw();
    door.kill();
    act(of(Case::Down), &mut all).await;
    restart(&mut door).await;
    drop(door);
    for ((mode, way, case), (cell, seen)) in &all {
        let policy = &policies[usize::from(*mode == Mode::Enforce)];
        let held = seen.holds((*case, cell.word()), *mode, policy);
        held.unwrap_or_else(|wrong| panic!("{mode:?} {way:?} {case:?}: {wrong}"));
    }
    shows(&Mode::ALL.map(|mode| shown(mode, &all)));
}

/// How many are waited for at a time.
const AT_A_TIME: usize = 16;

/// Those that this run takes: all with `CHARTTRUST_CHAOS=all`, and another shard of them for each commit, since each
/// controller is waited for.
fn cells(grounds: &[Ground]) -> Vec<Cell<'_>> {
    let of = |ground| {
        let ways = Way::ALL.into_iter();
        ways.flat_map(move |way| Case::ALL.map(|case| Cell { ground, way, case }))
    };
    let all = grounds.iter().flat_map(of).enumerate();
    let taken = all.filter(|(number, cell)| is_taken(*number, SHARDS) || cell.is_named_before());
    taken.map(|(_, cell)| cell).collect()
}

/// Each has cells of every way, of every case and of both modes.
const SHARDS: usize = 4;

async fn act<'a>(cells: impl Iterator<Item = &'a Cell<'a>>, all: &mut All<'a>) {
    let acting = cells.map(|cell| async move { (cell, Box::pin(cell.act()).await) });
    let acting = futures::stream::iter(acting).buffer_unordered(AT_A_TIME);
    let seen: Vec<_> = acting.collect().await;
    for (cell, seen) in seen {
        all.insert((cell.ground.mode, cell.way, cell.case), (cell, seen));
    }
}

fn shown(mode: Mode, all: &All<'_>) -> Table {
    let rows = Way::ALL.map(|way| {
        let seen = |case| all.get(&(mode, way, case)).map(|(_, seen)| seen.text());
        (way.title().to_owned(), Case::ALL.map(seen).to_vec())
    });
    Table {
        heading: format!("Deployers, mode {}", mode.word()),
        columns: Case::ALL.map(Case::title).to_vec(),
        rows: rows.to_vec(),
    }
}

/// Before anything is refused, `doctor` and `policy preview` name who would delete it first.
async fn deletes_first(ground: &Ground, policy: &str) {
    let story = &ground.story;
    let cluster = front().await.stage.cluster;
    let made = k3s::deploy(cluster, story, &story.namespace, "k3sreinstalls-stolen").await;
    story.done("declare a HelmChart", made);
    let at = &story.namespace;
    let named = [
        format!(
            "HelmRelease {at}/fluxuninstalls-stolen of release {at}/fluxuninstalls-stolen \
             (upgrade.remediation.strategy: uninstall"
        ),
        format!(
            "HelmChart {at}/k3sreinstalls-stolen of release {at}/k3sreinstalls-stolen (failurePolicy: reinstall"
        ),
    ];
    let (_, preview) = charttrust(&["policy", "preview", policy]).await;
    let (_, report) = charttrust(&["doctor"]).await;
    let deleting = preview["atDoor"]["deleting"].to_string();
    for one in &named {
        assert!(deleting.contains(one), "{one}: {preview}");
    }
    let checks = report["checks"].as_array().unwrap();
    let line = checks
        .iter()
        .find(|one| one["check"] == "deployers" && one["state"] == "warning");
    assert!(line.is_some(), "{report}");
}
