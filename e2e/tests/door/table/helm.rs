//! What people and pipelines do with Helm.

use std::collections::BTreeMap;

use charttrust_e2e::door::Door;
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::operator::binary;
use charttrust_e2e::record;
use charttrust_e2e::stage::OPERATOR_NAMESPACE;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::cell::{Case, Mode, Seen};
use super::ground::Ground;
use super::page::{Table, shows};
use crate::setup::{called, front};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operation {
    Install,
    InConfigMap,
    DryRun,
    Upgrade,
    Atomic,
    Rollback,
    OverPending,
    BackOverPending,
}

/// What a release is made of before, by revision.
#[derive(Clone, Copy, Debug)]
enum Made {
    OfBase,
    OfCase,
}

impl Operation {
    const ALL: [Self; 8] = [
        Self::Install,
        Self::InConfigMap,
        Self::DryRun,
        Self::Upgrade,
        Self::Atomic,
        Self::Rollback,
        Self::OverPending,
        Self::BackOverPending,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Install => "`helm install`",
            Self::InConfigMap => "`HELM_DRIVER=configmap helm install`",
            Self::DryRun => "`helm install --dry-run=server`",
            Self::Upgrade => "`helm upgrade`",
            Self::Atomic => "`helm upgrade --atomic` (Helm 4: `--rollback-on-failure`)",
            Self::Rollback => "`helm rollback` to it",
            Self::OverPending => "`helm upgrade` over a record that is pending",
            Self::BackOverPending => "`helm rollback` to it over a record that is pending",
        }
    }

    fn before(self) -> &'static [Made] {
        match self {
            Self::Install | Self::InConfigMap | Self::DryRun => &[],
            Self::Upgrade | Self::Atomic => &[Made::OfBase],
            Self::OverPending => &[Made::OfBase, Made::OfBase],
            Self::Rollback | Self::BackOverPending => &[Made::OfCase, Made::OfBase],
        }
    }

    fn is_over_pending(self) -> bool {
        matches!(self, Self::OverPending | Self::BackOverPending)
    }
}

/// One cell of the table of one Helm.
struct Cell<'a> {
    ground: &'a Ground,
    version: Version,
    namespace: &'a str,
    operation: Operation,
    case: Case,
}

impl Cell<'_> {
    fn release(&self) -> String {
        let operation = format!("{:?}", self.operation).to_lowercase();
        format!("{operation}-{}", self.case.name())
    }

    fn archive(&self, made: Made) -> String {
        let chart = match made {
            Made::OfBase => self.ground.base(self.case),
            Made::OfCase => self.ground.chart(self.case),
        };
        chart.archive.to_string_lossy().into_owned()
    }

    /// What there is before. No policy is in force yet.
    async fn prepare(&self, helm: &Helm) {
        let release = self.release();
        for (index, made) in self.operation.before().iter().enumerate() {
            let archive = self.archive(*made);
            let done = if index == 0 {
                helm.install(self.namespace, &release, &archive, &[]).await
            } else {
                helm.upgrade(self.namespace, &release, &archive, &[]).await
            };
            self.ground.story.done(&format!("prepare {release}"), done);
        }
        if self.operation.is_over_pending() {
            self.leave_pending(&release).await;
        }
    }

    /// As if Helm had been killed during the upgrade.
    async fn leave_pending(&self, release: &str) {
        let client = self.ground.story.client.clone();
        let secrets = Api::<Secret>::namespaced(client, self.namespace);
        let name = format!("sh.helm.release.v1.{release}.v2");
        let change = record::status(&secrets.get(&name).await.unwrap(), "pending-upgrade");
        let change = Patch::Merge(self.ground.story.done("edit a record", change));
        let done = secrets.patch(&name, &PatchParams::default(), &change).await;
        self.ground.story.done("leave a record pending", done);
    }

    async fn act(&self, helm: &Helm) -> Seen {
        let release = self.release();
        let before = self.ground.state(self.namespace, &release).await;
        let archive = self.archive(Made::OfCase);
        let atomic = match self.version {
            Version::V3 => "--atomic",
            Version::V4 => "--rollback-on-failure",
        };
        let mut arguments = match self.operation {
            Operation::Install | Operation::InConfigMap => vec!["install", &release, &archive],
            Operation::DryRun => vec!["install", &release, &archive, "--dry-run=server"],
            Operation::Upgrade | Operation::OverPending => vec!["upgrade", &release, &archive],
            Operation::Atomic => vec!["upgrade", &release, &archive, atomic],
            Operation::Rollback | Operation::BackOverPending => vec!["rollback", &release, "1"],
        };
        arguments.extend(["--namespace", self.namespace]);
        let said = helm.told(&arguments).await;
        Seen {
            said: said.map_err(|error| error.to_string()),
            after: self.ground.state(self.namespace, &release).await,
            before,
        }
    }
}

/// Both Helms, and each keeping its records in `ConfigMap`s.
struct Helms(BTreeMap<(bool, bool), Helm>);

impl Helms {
    async fn new() -> Self {
        let cluster = front().await.stage.cluster;
        let mut all = BTreeMap::new();
        for version in VERSIONS {
            for in_config_maps in [false, true] {
                let helm = Helm::new(version).unwrap().on(cluster.kubeconfig());
                let helm = if in_config_maps {
                    helm.storing_in("configmap")
                } else {
                    helm
                };
                all.insert((version == Version::V4, in_config_maps), helm);
            }
        }
        Self(all)
    }

    fn of(&self, cell: &Cell<'_>) -> &Helm {
        let in_config_maps = cell.operation == Operation::InConfigMap;
        &self.0[&(cell.version == Version::V4, in_config_maps)]
    }
}

const VERSIONS: [Version; 2] = [Version::V3, Version::V4];

/// What was seen, by mode, operation, case and Helm.
type All = BTreeMap<(Mode, Operation, Case), Vec<Seen>>;

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_each_operation_of_helm() {
    let front = front().await;
    let door = front.door.read().await;
    let helms = Helms::new().await;
    let grounds = [
        Ground::lay("table-warn", Mode::Warn).await,
        Ground::lay("table-enforce", Mode::Enforce).await,
    ];
    called(&grounds[0].story).await;
    let mut places = Vec::new();
    for ground in &grounds {
        let of_helm_3 = front.stage.cluster.namespace(&ground.story.namespace).await;
        places.push([of_helm_3.unwrap(), ground.story.namespace.clone()]);
    }
    let cells = cells(&grounds, &places);
    let prepare = cells
        .iter()
        .map(|cell| Box::pin(cell.prepare(helms.of(cell))));
    futures::stream::iter(prepare)
        .buffer_unordered(AT_A_TIME)
        .collect::<Vec<()>>()
        .await;
    let mut policies = Vec::new();
    for (ground, places) in grounds.iter().zip(&places) {
        let releases = places.each_ref().map(|place| format!("{place}/*"));
        policies.push(ground.begin(&releases, json!({})).await);
    }

    let is_answered = |cell: &&Cell<'_>| !matches!(cell.case, Case::Down | Case::Late);
    let of = |case| {
        cells
            .iter()
            .filter(move |cell: &&Cell<'_>| cell.case == case)
    };
    let mut all = All::new();
    act(
        cells.iter().filter(is_answered),
        (&helms, AT_A_TIME),
        &mut all,
    )
    .await;
    drop(door);
    let mut door = front.door.write().await;
    door.freeze();
    // They wait more than they work.
    act(of(Case::Late), (&helms, cells.len()), &mut all).await;
    door.thaw();
    door.kill();
    act(of(Case::Down), (&helms, AT_A_TIME), &mut all).await;
    restart(&mut door).await;
    drop(door);

    for ((mode, operation, case), seen) in &all {
        let policy = &policies[usize::from(*mode == Mode::Enforce)];
        for seen in seen {
            let held = seen.holds((*case, case.word()), *mode, policy);
            held.unwrap_or_else(|wrong| panic!("{mode:?} {operation:?} {case:?}: {wrong}"));
        }
    }
    let tables = Mode::ALL.map(|mode| shown(mode, &all));
    // What went in unseen is seen by the operator.
    for ground in &grounds {
        for release in ["install-down", "upgrade-late"] {
            ground.story.expect(release, "Unsigned").await;
        }
    }
    shows(&tables);
}

/// How many programs run at a time.
const AT_A_TIME: usize = 8;

fn cells<'a>(grounds: &'a [Ground], places: &'a [[String; 2]]) -> Vec<Cell<'a>> {
    let mut cells = Vec::new();
    for (ground, places) in grounds.iter().zip(places) {
        for (version, namespace) in VERSIONS.into_iter().zip(places) {
            let namespace = namespace.as_str();
            for operation in Operation::ALL {
                cells.extend(Case::ALL.map(|case| Cell {
                    ground,
                    version,
                    namespace,
                    operation,
                    case,
                }));
            }
        }
    }
    cells
}

async fn act<'a>(
    cells: impl Iterator<Item = &'a Cell<'a>>,
    (helms, at_a_time): (&Helms, usize),
    all: &mut All,
) {
    let acting = cells.map(|cell| async move { (cell, Box::pin(cell.act(helms.of(cell))).await) });
    let acting = futures::stream::iter(acting).buffer_unordered(at_a_time);
    let mut seen: Vec<_> = acting.collect().await;
    seen.sort_by_key(|(cell, _)| cell.version == Version::V4);
    for (cell, seen) in seen {
        let key = (cell.ground.mode, cell.operation, cell.case);
        all.entry(key).or_default().push(seen);
    }
}

/// Starts it anew where it was.
pub(crate) async fn restart(door: &mut Door) {
    let address = door.address().to_owned();
    let kubeconfig = front().await.identity.kubeconfig();
    // The place is free before the next one asks for it.
    door.kill();
    let started = Door::start(&binary(), &kubeconfig, OPERATOR_NAMESPACE, Some(&address));
    *door = started.unwrap();
    door.ready().await;
}

/// The table of a mode. Where the Helms differ, both are told.
fn shown(mode: Mode, all: &All) -> Table {
    let cell = |operation, case| {
        let seen = all.get(&(mode, operation, case)).into_iter().flatten();
        let mut texts: Vec<_> = seen.map(Seen::text).collect();
        if texts.first() == texts.last() {
            texts.truncate(1);
            return texts.concat();
        }
        texts.join("; Helm 4: ")
    };
    let rows = Operation::ALL.map(|operation| {
        let cells = Case::ALL.map(|case| Some(cell(operation, case)));
        (operation.title().to_owned(), cells.to_vec())
    });
    Table {
        heading: format!("Helm, mode {}", mode.word()),
        columns: Case::ALL.map(Case::title).to_vec(),
        rows: rows.to_vec(),
    }
}
