//! What deployers do: the controllers of Flux, the Job of a `HelmChart` of k3s, and Argo CD.

use std::collections::BTreeMap;

use charttrust_e2e::argo::{self, Argo};
use charttrust_e2e::charts::Chart;
use charttrust_e2e::eventually;
use charttrust_e2e::flux::{self, Flux};
use charttrust_e2e::k3s::{self, K3s};
use charttrust_e2e::record;
use charttrust_e2e::stage::SOON;
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
use super::page::{shows, table};
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

/// The charts that deployers take from where they are published.
const CASES: [Case; 4] = [Case::Trusted, Case::Unsigned, Case::Stolen, Case::Down];

struct Cell<'a> {
    ground: &'a Ground,
    way: Way,
    case: Case,
}

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

    /// What there is before. No policy is in force yet.
    async fn prepare(&self) {
        if self.way.is_new() {
            return;
        }
        let base = &self.ground.base;
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
        let mut more = json!({"chart": {"spec": {"chart": chart.name}}});
        if self.way == Way::FluxUninstalls {
            more["upgrade"] = json!({"remediation": {"strategy": "uninstall", "retries": 1}});
        }
        let cluster = front().await.stage.cluster;
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
        let more = json!({"source": {"chart": chart.name, "helm": {"releaseName": name}}});
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

type All = BTreeMap<(Mode, Way, Case), Seen>;

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_what_deployers_do() {
    let front = front().await;
    tokio::join!(with_flux(), with_k3s(), with_argo());
    let mut door = front.door.lock().await;
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
    act(
        cells.iter().filter(|cell| cell.case != Case::Down),
        &mut all,
    )
    .await;
    door.kill();
    act(
        cells.iter().filter(|cell| cell.case == Case::Down),
        &mut all,
    )
    .await;
    restart(&mut door).await;
    for ((mode, way, case), seen) in &all {
        let held = seen.holds(*case, *mode, &policies[usize::from(*mode == Mode::Enforce)]);
        held.unwrap_or_else(|wrong| panic!("{mode:?} {way:?} {case:?}: {wrong}"));
    }
    shows(&Mode::ALL.map(|mode| {
        (
            format!("Deployers, mode {}", mode.word()),
            shown(mode, &all),
        )
    }));
}

/// How many are waited for at a time.
const AT_A_TIME: usize = 16;

fn cells(grounds: &[Ground]) -> Vec<Cell<'_>> {
    let of = |ground| {
        let ways = Way::ALL.into_iter();
        ways.flat_map(move |way| CASES.map(|case| Cell { ground, way, case }))
    };
    grounds.iter().flat_map(of).collect()
}

async fn act<'a>(cells: impl Iterator<Item = &'a Cell<'a>>, all: &mut All) {
    let acting = cells.map(|cell| async move { (cell, Box::pin(cell.act()).await) });
    let acting = futures::stream::iter(acting).buffer_unordered(AT_A_TIME);
    let seen: Vec<_> = acting.collect().await;
    for (cell, seen) in seen {
        all.insert((cell.ground.mode, cell.way, cell.case), seen);
    }
}

fn shown(mode: Mode, all: &All) -> String {
    let rows = Way::ALL.map(|way| {
        let cells = CASES.map(|case| all.get(&(mode, way, case)).map(Seen::text));
        let cells = cells.map(Option::unwrap_or_default);
        (way.title().to_owned(), cells.to_vec())
    });
    let mut columns = vec!["what is done"];
    columns.extend(CASES.map(Case::title));
    table(&columns, &rows)
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
