//! The next write of a quarantine, if one is left: pure, from what is there now.
//!
//! Every write carries a precondition, and everything is derived anew from what the server says, so
//! it does not matter where a run stops: the next one goes on.

use jiff::Timestamp;
use serde_json::Value;

use super::home::Home;
use super::mark::{self, Mark};
use super::plan::{self, Plan, Scene, Share};
use super::standing::{self, Standing};
use super::target::{self, Target};
use super::{application, conclude, field, network, owners};
use crate::api::chart_trust_policy::QuarantineAction;
use crate::api::quarantine::{ContainedObject, ObjectState, QuarantineSpec, QuarantineStatus};
use crate::inventory::ReleaseId;

/// The Quarantine, and everything it is about, as last read.
#[derive(Clone, Debug)]
pub struct View {
    /// The release, which is also the name of the Quarantine.
    pub release: ReleaseId,
    /// uid of the Quarantine.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// Its resource version.
    pub resource_version: String,
    /// Whether it carries our finalizer.
    pub has_finalizer: bool,
    /// Whether it is being deleted.
    pub is_ending: bool,
    /// What is asked for.
    pub spec: QuarantineSpec,
    /// What was written about it.
    pub status: QuarantineStatus,
    /// What it is about: stands in the status once the originals were saved.
    pub incident: String,
    /// What there is around the release; needed until the originals were saved, and until then for
    /// every deployer and workload of Argo CD.
    pub scene: Option<Scene>,
    /// The recorded objects, as they are, in their order.
    pub live: Vec<Option<Value>>,
    /// Other NetworkPolicies that allow traffic which ours deny.
    pub allowing: Vec<String>,
    /// Namespaces in which nothing is ever changed.
    pub protected: Vec<String>,
    /// The present instant.
    pub now: Timestamp,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Puts our finalizer on the Quarantine.
    AddFinalizer,
    /// Changes a recorded object by a JSON patch.
    Change(usize, Vec<Value>),
    /// Makes a recorded object.
    Create(usize, Value),
    /// Deletes a recorded object that we made, if it is still this one.
    Delete(usize, Precondition),
    /// Takes our finalizer off the Quarantine.
    RemoveFinalizer,
    /// Writes the status of the Quarantine.
    Status(Box<QuarantineStatus>),
}

/// Which state of an object a write is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precondition {
    /// Its uid.
    pub uid: String,
    /// Its resource version.
    pub resource_version: String,
}

/// The next write, if one is left.
pub fn next(view: &View) -> Option<Write> {
    if view.is_ending {
        ending(view)
    } else {
        beginning(view)
    }
}

/// Originals are saved before the first change, each object is changed once, the result is told.
fn beginning(view: &View) -> Option<Write> {
    if !view.has_finalizer {
        return Some(Write::AddFinalizer);
    }
    if view.status.incident.is_none() {
        let plan = view.plan()?;
        return view.told(conclude::planned(view, &plan));
    }
    let change = (0..view.status.objects.len()).find_map(|index| view.contain(index));
    change.or_else(|| view.told(conclude::concluded(view)))
}

/// In reverse, so that nothing undoes the restore of something else; each object in two patches.
fn ending(view: &View) -> Option<Write> {
    if !view.has_finalizer {
        return None;
    }
    let change = (0..view.status.objects.len())
        .rev()
        .find_map(|index| view.restore(index));
    if change.is_some() {
        return change;
    }
    let is_contested = |index| matches!(view.standing(index), Standing::Contested(_));
    let contested = (0..view.status.objects.len()).any(is_contested);
    if contested {
        return view.told(conclude::concluded(view));
    }
    Some(Write::RemoveFinalizer)
}

impl View {
    fn plan(&self) -> Option<Plan> {
        let scene = self.scene.as_ref()?;
        let plan = plan::plan(&self.release, &self.spec.actions, scene);
        let home = scene.home(&self.release);
        Some(if self.protects(home.namespace()) {
            plan.sparing(home.namespace())
        } else {
            plan
        })
    }

    fn protects(&self, namespace: &str) -> bool {
        self.protected.iter().any(|one| one == namespace)
    }

    /// Where the workloads lie, as far as that is known.
    fn home(&self) -> Home<'_> {
        let scene = self.scene.as_ref();
        scene.map_or(Home::Record(&self.release), |scene| {
            scene.home(&self.release)
        })
    }

    /// Whether a record lies where the workloads of the release may be changed.
    fn is_at(&self, home: &Home, record: &ContainedObject) -> bool {
        let namespace = record.namespace.as_ref().unwrap_or(&self.release.namespace);
        namespace == home.namespace() && !self.protects(namespace)
    }

    /// The status, unless it stands there already.
    fn told(&self, status: QuarantineStatus) -> Option<Write> {
        (status != self.status).then(|| Write::Status(Box::new(status)))
    }

    pub(super) fn live(&self, index: usize) -> Option<&Value> {
        self.live.get(index)?.as_ref()
    }

    pub(super) fn standing(&self, index: usize) -> Standing {
        match self.status.objects.get(index) {
            Some(record) => Standing::of(record, self.live(index), &self.uid),
            None => Standing::Gone,
        }
    }

    /// Contains an object that was recorded and not changed yet.
    fn contain(&self, index: usize) -> Option<Write> {
        let record = self.status.objects.get(index)?;
        if record.state != ObjectState::Planned {
            return None;
        }
        if record.action == QuarantineAction::IsolateNetwork {
            return self.deny(index, record);
        }
        let live = self.live(index)?;
        let target = Target::of_record(record)?;
        let may = self.standing(index) == Standing::Untouched && self.owns(live, target, record);
        may.then(|| Write::Change(index, self.containment(record, live, target)))
    }

    /// Read again before each change: what was recorded could have been edited, or belong to
    /// somebody else by now.
    fn owns(&self, live: &Value, target: &Target, record: &ContainedObject) -> bool {
        if target.is_workload() {
            let home = self.home();
            return self.is_at(&home, record) && home.owns(live);
        }
        let share = |scene: &Scene| scene.share(live, target, &self.release) == Share::Whole;
        target::deploys(live, target, &self.release) || self.scene.as_ref().is_some_and(share)
    }

    /// Beyond the namespace of the Quarantine, only what would be planned just so is made.
    fn may_isolate(&self, home: &Home, record: &ContainedObject) -> bool {
        let is_planned = |plan: Plan| {
            let mut same = plan
                .objects
                .iter()
                .filter(|one| one.action == record.action);
            same.any(|one| one.name == record.name && one.selector == record.selector)
        };
        self.is_at(home, record)
            && match home {
                Home::Application(_) => self.plan().is_some_and(is_planned),
                Home::Record(_) => true,
            }
    }

    /// Whether what is still to be done cannot be decided by the objects alone.
    pub(super) fn needs_scene(&self) -> bool {
        let is_waiting = |record: &ContainedObject| record.state == ObjectState::Planned;
        let is_argo = |record: &ContainedObject| {
            application::may_be(&self.release) || record.kind == "Application"
        };
        let mut waiting = self
            .status
            .objects
            .iter()
            .filter(|record| is_waiting(record));
        self.status.incident.is_none() || waiting.any(is_argo)
    }

    fn containment(&self, record: &ContainedObject, live: &Value, target: &Target) -> Vec<Value> {
        let mark = self.mark(standing::saved(record), standing::former(record));
        let mut operations = vec![of_this_version(live)];
        operations.push(field::set(live, &mark::PATH, mark.text()));
        // The annotation above may have made the place that the field is in.
        let mut marked = live.clone();
        json_patch::patch(&mut marked, &patch(&operations)).ok();
        operations.extend(target.change(&marked, target.held()));
        operations
    }

    fn mark(&self, original: Option<Value>, owners: Vec<Value>) -> Mark {
        Mark {
            incident: self.status.incident.clone().unwrap_or_default(),
            quarantine: self.uid.clone(),
            time: crate::api::time(self.now).0.to_string(),
            original,
            owners,
        }
    }

    fn deny(&self, index: usize, record: &ContainedObject) -> Option<Write> {
        let home = self.home();
        if self.live(index).is_some() || !self.may_isolate(&home, record) {
            return None;
        }
        let selector: Value = serde_json::from_str(record.selector.as_deref()?).ok()?;
        let mark = self.mark(None, Vec::new());
        let policy = network::denial(home.namespace(), &record.name, &selector, &mark);
        Some(Write::Create(index, policy))
    }

    /// Puts an object back, takes away what is left of us, and then gives back what we own of it.
    fn restore(&self, index: usize) -> Option<Write> {
        let record = self.status.objects.get(index)?;
        let live = self.live(index)?;
        let standing = self.standing(index);
        if record.action == QuarantineAction::IsolateNetwork {
            let ours = matches!(
                standing,
                Standing::Contained(_) | Standing::Kept(_, Some(_))
            );
            return ours.then(|| Write::Delete(index, Precondition::of(live)));
        }
        let target = Target::of_record(record)?;
        let operations = match standing {
            Standing::Contained(mark) => restoration(live, target, mark.original),
            Standing::Kept(_, Some(_)) => unmarking(live),
            Standing::Kept(_, None) | Standing::Untouched => {
                return_of_fields(live, target, &standing::former(record))?
            }
            Standing::Contested(_) | Standing::Gone => return None,
        };
        Some(Write::Change(index, operations))
    }

    /// What was read for the plan is what the recorded objects are like.
    fn take_in_scene(&mut self) {
        let Some(scene) = &self.scene else {
            return;
        };
        let all = || scene.workloads.iter().chain(&scene.deployers);
        let own = &self.release.namespace;
        let is_of = |record: &ContainedObject, object: &&Value| {
            let text = |path: &[&str]| field::text(object, path);
            text(&["kind"]) == Some(&record.kind)
                && text(&["metadata", "name"]) == Some(&record.name)
                && text(&["metadata", "namespace"])
                    == record.namespace.as_ref().or(Some(own)).map(String::as_str)
        };
        let records = self.status.objects.iter();
        self.live = records
            .map(|record| all().find(|object| is_of(record, object)).cloned())
            .collect();
    }

    /// Takes in what the server made of a write.
    pub fn absorb(&mut self, write: &Write, answer: Option<Value>) {
        match write {
            Write::Change(index, _) | Write::Create(index, _) | Write::Delete(index, _) => {
                let left = answer.filter(|_| !matches!(write, Write::Delete(..)));
                if let Some(live) = self.live.get_mut(*index) {
                    *live = left;
                }
                return;
            }
            Write::AddFinalizer => self.has_finalizer = true,
            Write::RemoveFinalizer => self.has_finalizer = false,
            Write::Status(status) => {
                let is_planned = self.status.incident.is_none();
                self.status = (**status).clone();
                if is_planned {
                    self.take_in_scene();
                }
            }
        }
        if let Some(version) = answer.as_ref().and_then(resource_version) {
            self.resource_version = version;
        }
    }
}

/// The first patch of a restore: value and annotation together, if they are still as we left them.
pub(super) fn restoration(live: &Value, target: &Target, original: Option<Value>) -> Vec<Value> {
    let mut operations = vec![
        of_this_version(live),
        field::test(&mark::PATH, &carried(live)),
    ];
    operations.extend(target.change(live, original));
    operations.extend(field::unset(live, &mark::PATH));
    operations
}

/// Leaves the value to whoever has changed it.
fn unmarking(live: &Value) -> Vec<Value> {
    let mut operations = vec![
        of_this_version(live),
        field::test(&mark::PATH, &carried(live)),
    ];
    operations.extend(field::unset(live, &mark::PATH));
    operations
}

/// The second patch of a restore: only who owns what.
pub(super) fn return_of_fields(
    live: &Value,
    target: &Target,
    former: &[Value],
) -> Option<Vec<Value>> {
    let entries = owners::without_us(live, target.owned, former)?;
    let path = ["metadata", "managedFields"];
    Some(vec![
        of_this_version(live),
        field::set(live, &path, entries),
    ])
}

fn of_this_version(live: &Value) -> Value {
    let path = ["metadata", "resourceVersion"];
    field::test(&path, field::value(live, &path).unwrap_or(&Value::Null))
}

/// Operations as a JSON patch.
pub(super) fn patch(operations: &[Value]) -> json_patch::Patch {
    // Invariant: every operation is built in this room, in the form of RFC 6902.
    serde_json::from_value(Value::Array(operations.to_vec())).unwrap_or_default()
}

fn resource_version(object: &Value) -> Option<String> {
    field::text(object, &["metadata", "resourceVersion"]).map(str::to_owned)
}

impl Precondition {
    fn of(live: &Value) -> Self {
        let text = |name: &str| field::text(live, &["metadata", name]).unwrap_or_default();
        Self {
            uid: text("uid").to_owned(),
            resource_version: text("resourceVersion").to_owned(),
        }
    }
}

/// The annotation as it stands on the object: that very text must still be there.
fn carried(live: &Value) -> Value {
    field::value(live, &mark::PATH).cloned().unwrap_or_default()
}
