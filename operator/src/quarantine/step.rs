//! The next write of a quarantine, if one is left: pure, from what is there now.
//!
//! Every write carries a precondition, and everything is derived anew from what the server says, so
//! it does not matter where a run stops: the next one goes on.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::home::Home;
use super::mark::{self, Mark};
use super::plan::{self, Plan, Saved, Scene, Share};
use super::standing::{self, Standing};
use super::target::{self, Target};
use super::trouble::Trouble;
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
    /// Recorded objects that the server does not let be read or written, by their place.
    pub troubles: BTreeMap<usize, Trouble>,
    /// How often each was written by others before we did.
    pub misses: BTreeMap<usize, usize>,
    /// Other NetworkPolicies that allow traffic which ours deny.
    pub allowing: Vec<String>,
    /// Pods of others that our NetworkPolicies select, by the place of the policy.
    pub strangers: BTreeMap<usize, String>,
    /// Namespaces in which nothing is ever changed.
    pub protected: Vec<String>,
    /// Whether the namespace of the release is being deleted, with all that is in it.
    pub is_going: bool,
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

impl Write {
    /// The place of the recorded object that it is about, unless it is about the Quarantine itself.
    pub fn object(&self) -> Option<usize> {
        match self {
            Self::Change(index, _) | Self::Create(index, _) | Self::Delete(index, _) => {
                Some(*index)
            }
            Self::AddFinalizer | Self::RemoveFinalizer | Self::Status(_) => None,
        }
    }
}

/// How often an object is read again that others write at the same time, before it has to wait.
const MISSES: usize = 6;

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
/// What cannot be put back keeps the finalizer, and holds up nothing else.
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
    if (0..view.status.objects.len()).any(|index| view.holds(index)) {
        return view.told(conclude::concluded(view));
    }
    Some(Write::RemoveFinalizer)
}

impl View {
    fn plan(&self) -> Option<Plan> {
        let scene = self.scene.as_ref()?;
        let plan = plan::plan(&self.release, &self.spec.actions, scene);
        let home = scene.home(&self.release);
        let plan = if self.protects(home.namespace()) {
            plan.sparing(home.namespace())
        } else {
            plan
        };
        Some(plan.without_deployers_in(&self.protected))
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
        if let Some(trouble) = self.troubles.get(&index).filter(|one| one.is_unread) {
            return Standing::Contested(trouble.why.clone());
        }
        match self.status.objects.get(index) {
            Some(record) => Standing::of(record, self.live(index), &self.release, &self.uid),
            None => Standing::Gone,
        }
    }

    /// Contains an object that was recorded and not changed yet.
    fn contain(&self, index: usize) -> Option<Write> {
        let record = self.status.objects.get(index)?;
        if self.troubles.contains_key(&index) {
            return None;
        }
        if self.strangers.contains_key(&index) {
            return self.withdraw(index);
        }
        if record.state != ObjectState::Planned {
            return None;
        }
        if record.action == QuarantineAction::IsolateNetwork {
            return self.deny(index, record);
        }
        let live = self.live(index)?;
        let target = Target::of_record(record)?;
        if !self.owns(live, target, record) {
            return None;
        }
        match self.standing(index) {
            Standing::Left(_) | Standing::Untouched => {
                let operations = self.containment(record, live, target);
                Some(Write::Change(index, operations))
            }
            Standing::Moved(_) => self.save_again(index, live, target),
            _ => None,
        }
    }

    /// What an object is now is what it was before we do anything.
    fn save_again(&self, index: usize, live: &Value, target: &Target) -> Option<Write> {
        let saved = Saved::of(live, target)?;
        let mut status = self.status.clone();
        let record = status.objects.get_mut(index)?;
        record.original = saved.original;
        record.owners = saved.owners;
        record.left_by = saved.left_by;
        Some(Write::Status(Box::new(status)))
    }

    /// Read again before each change: what was recorded could have been edited, or belong to
    /// somebody else by now.
    fn owns(&self, live: &Value, target: &Target, record: &ContainedObject) -> bool {
        let namespace = record.namespace.as_ref().unwrap_or(&self.release.namespace);
        if self.protects(namespace) {
            return false;
        }
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
        if let Some(live) = self.live(index) {
            // What an earlier quarantine has left of us makes room.
            let is_left = matches!(
                self.standing(index),
                Standing::Kept(_, Some(mark)) if mark.quarantine != self.uid
            );
            return is_left.then(|| Write::Delete(index, Precondition::of(live)));
        }
        let home = self.home();
        if !self.may_isolate(&home, record) {
            return None;
        }
        let selector: Value = serde_json::from_str(record.selector.as_deref()?).ok()?;
        let mark = self.mark(None, Vec::new());
        let policy = network::denial(
            &self.release,
            home.namespace(),
            &record.name,
            &selector,
            &mark,
        );
        Some(Write::Create(index, policy))
    }

    /// Deletes a policy of ours, if one is there.
    fn withdraw(&self, index: usize) -> Option<Write> {
        let live = self.live(index)?;
        let is_ours = matches!(
            self.standing(index),
            Standing::Contained(_) | Standing::Kept(_, Some(_))
        );
        is_ours.then(|| Write::Delete(index, Precondition::of(live)))
    }

    /// Puts an object back, takes away what is left of us, and then gives back what we own of it.
    fn restore(&self, index: usize) -> Option<Write> {
        let record = self.status.objects.get(index)?;
        if self.troubles.contains_key(&index) || self.goes(record) {
            return None;
        }
        let live = self.live(index)?;
        if record.action == QuarantineAction::IsolateNetwork {
            return self.withdraw(index);
        }
        let standing = self.standing(index);
        let target = Target::of_record(record)?;
        let operations = match standing {
            Standing::Contained(mark) | Standing::Left(mark) => {
                restoration(live, target, mark.original)
            }
            Standing::Kept(_, Some(_)) => unmarking(live),
            Standing::Kept(_, None) | Standing::Moved(_) | Standing::Untouched => {
                return_of_fields(live, target, &standing::former(record))?
            }
            Standing::Contested(_) | Standing::Gone => return None,
        };
        Some(Write::Change(index, operations))
    }

    /// Whether we have put back what we had changed.
    pub(super) fn is_put_back(&self, record: &ContainedObject, standing: &Standing) -> bool {
        let was_ours = matches!(
            record.state,
            ObjectState::Contained | ObjectState::Contested | ObjectState::Restored
        );
        let is_back = match standing {
            Standing::Untouched => true,
            Standing::Gone => record.action == QuarantineAction::IsolateNetwork,
            _ => false,
        };
        self.is_ending && was_ours && is_back
    }

    /// Whether an object goes with the namespace of the release.
    fn goes(&self, record: &ContainedObject) -> bool {
        self.is_going && record.namespace.is_none()
    }

    /// Whether the finalizer has to stay for an object. A namespace that goes is not held up by what
    /// only a person can mend: what lies elsewhere carries its original, and `charttrust restore`
    /// finds it.
    fn holds(&self, index: usize) -> bool {
        let trouble = self.troubles.get(&index);
        if self.is_going {
            let record = self.status.objects.get(index);
            let is_elsewhere = record.is_some_and(|record| !self.goes(record));
            return is_elsewhere && trouble.is_some_and(|trouble| trouble.is_passing);
        }
        trouble.is_some() || matches!(self.standing(index), Standing::Contested(_))
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

    /// Takes in the recorded objects as they are, or why nobody can tell.
    pub fn take_in(&mut self, all: Vec<Result<Option<Value>, Trouble>>) {
        self.troubles.retain(|_, trouble| !trouble.is_unread);
        self.live = Vec::new();
        for (index, one) in all.into_iter().enumerate() {
            let live = one.unwrap_or_else(|trouble| {
                self.troubles.insert(index, trouble);
                None
            });
            self.live.push(live);
        }
    }

    /// Takes in that the server did not write a recorded object, which is `live` now. If it is as
    /// it was, every precondition held, and the server would not write it all the same.
    pub fn miss(&mut self, index: usize, live: Result<Option<Value>, Trouble>, why: Trouble) {
        let live = match live {
            Ok(live) => live,
            Err(unread) => {
                self.troubles.insert(index, unread);
                return;
            }
        };
        let misses = self.misses.entry(index).or_default();
        *misses = misses.saturating_add(1);
        if self.live(index).map(Precondition::of) == live.as_ref().map(Precondition::of) {
            self.troubles.insert(index, why);
        } else if self
            .misses
            .get(&index)
            .is_some_and(|misses| *misses >= MISSES)
        {
            self.troubles.insert(index, Trouble::restless());
        }
        if let Some(place) = self.live.get_mut(index) {
            *place = live;
        }
    }

    /// Whether it may help to go on soon.
    pub fn is_hindered(&self) -> bool {
        self.troubles.values().any(|trouble| trouble.is_passing)
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
            Write::RemoveFinalizer => {
                // Nobody can read it any more but whoever tells how it has ended.
                self.status = conclude::concluded(self);
                self.has_finalizer = false;
            }
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
    pub(super) fn of(live: &Value) -> Self {
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
