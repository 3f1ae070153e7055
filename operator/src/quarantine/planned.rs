//! The list of what will be changed, and of what will not.

use std::collections::BTreeSet;

use crate::api::bounds;
use crate::api::quarantine::{ContainedObject, UncontainedObject};
use crate::api::quarantine_words::QuarantineReason;

/// What the status will say about an object later, in bytes.
const SAID: usize = 200;

/// Why something is not recorded, and so not contained.
pub(super) const NO_ROOM: &str = "does not fit into the list of contained objects";

/// How much of a status a record takes, in bytes.
pub(super) fn size(record: &ContainedObject) -> usize {
    let own = serde_json::to_string(record).map_or(0, |text| text.len());
    own.saturating_add(SAID)
}

/// What will be changed, and what will not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order of the changes.
    pub objects: Vec<ContainedObject>,
    /// What is left as it is.
    pub uncontained: Vec<UncontainedObject>,
    /// Why nothing, or only the deployer, can be contained.
    pub problem: Option<(QuarantineReason, String)>,
    /// Workloads that are not isolated, because their labels select Pods of others too.
    pub shared: Vec<String>,
    /// Workloads that are not isolated, because their Pods use the network of the node.
    pub host_network: Vec<String>,
    /// The newest revision that it is made for.
    pub revision: u64,
    /// The newest revision that is applied whole: what is recorded is recorded for that one.
    pub in_force: u64,
    /// How many objects that run are left out, also where there is no room to name them.
    pub left_out: usize,
}

/// Whether what is left out runs Pods, or makes new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    /// As far as is known.
    Not,
    /// It does, or will.
    Pods,
}

impl Plan {
    /// Tells of an object that is left as it is, and runs nothing as far as is known.
    pub(super) fn leave(&mut self, kind: &str, namespace: Option<&str>, name: &str, why: &str) {
        self.uncontained.push(UncontainedObject {
            kind: bounds::fit(kind, bounds::LABEL),
            namespace: namespace.map(|namespace| bounds::fit(namespace, bounds::LABEL)),
            name: bounds::fit(name, bounds::NAME),
            message: bounds::fit(why, bounds::MESSAGE),
            runs: false,
            waits_for: None,
        });
    }

    /// Tells of a workload that only a person may stop, and what for.
    pub(super) fn wait(&mut self, kind: &str, name: &str, served: &str) {
        let why = format!(
            "its Pods serve {served}, which blocks others while they do not answer, so a policy alone \
             does not stop them; charttrust quarantine approves it"
        );
        self.leave_that(Runs::Pods, kind, name, &why);
        if let Some(last) = self.uncontained.last_mut() {
            last.waits_for = Some(bounds::fit(served, bounds::NAME));
        }
    }

    /// The same, with what is known of whether it runs.
    pub(super) fn leave_that(&mut self, runs: Runs, kind: &str, name: &str, why: &str) {
        self.leave(kind, None, name, why);
        self.last_runs(runs);
    }

    /// Says of what was left last whether it runs.
    pub(super) fn last_runs(&mut self, runs: Runs) {
        if let Some(last) = self.uncontained.last_mut() {
            last.runs = runs == Runs::Pods;
        }
    }

    /// What was left open so far lies in this namespace.
    pub(super) fn settle(&mut self, namespace: &str) {
        let objects = self.objects.iter_mut().map(|one| &mut one.namespace);
        let left = self.uncontained.iter_mut().map(|one| &mut one.namespace);
        for open in objects.chain(left).filter(|open| open.is_none()) {
            *open = Some(bounds::fit(namespace, bounds::LABEL));
        }
    }

    /// Leaves what is recorded and meets a test, and tells why.
    pub(super) fn leave_if(&mut self, why: &str, is_left: impl Fn(&ContainedObject) -> bool) {
        let objects = std::mem::take(&mut self.objects);
        let (left, kept): (Vec<_>, Vec<_>) = objects.into_iter().partition(is_left);
        self.objects = kept;
        for object in left {
            self.leave(&object.kind, object.namespace.as_deref(), &object.name, why);
        }
    }

    /// Sorts, and keeps to the bounds of the schema and of etcd: what does not fit is not contained,
    /// and said. What stops Pods goes before what isolates them.
    pub(super) fn finish(mut self) -> Self {
        let is_made = |one: &ContainedObject| one.selector.is_some();
        let order = |one: &ContainedObject| (is_made(one), one.kind.clone(), one.name.clone());
        self.objects.sort_by_cached_key(order);
        let mut size = 0_usize;
        let fits = |one: &ContainedObject| {
            size = size.saturating_add(self::size(one));
            size <= bounds::OBJECTS_SIZE
        };
        let fitting = self.objects.iter().take(bounds::OBJECTS);
        let fitting = fitting.map(fits).take_while(|fits| *fits).count();
        for object in self.objects.split_off(fitting) {
            self.leave_that(Runs::Pods, &object.kind, &object.name, NO_ROOM);
        }
        let order = |one: &ContainedObject| (one.action, one.kind.clone(), one.name.clone());
        self.objects.sort_by_cached_key(order);
        self.uncontained.sort();
        self.uncontained.dedup();
        // What runs is named before what does not.
        self.uncontained.sort_by_key(|one| !one.runs);
        let running = self.uncontained.iter().filter(|one| one.runs);
        let running = running.map(|one| (&one.kind, &one.namespace, &one.name));
        // Several actions may leave the same object, each for a reason of its own.
        self.left_out = running.collect::<BTreeSet<_>>().len();
        self.uncontained.truncate(bounds::LONG_LIST);
        self.uncontained.sort();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_actions_leave_counts_once() {
        let mut plan = Plan::default();
        plan.leave_that(Runs::Pods, "Deployment", "web", "is not isolated");
        plan.leave_that(Runs::Pods, "Deployment", "web", "is not stopped");
        plan.leave_that(Runs::Pods, "Deployment", "api", "is not stopped");
        plan.leave_that(Runs::Not, "Job", "done", "has ended");
        let plan = plan.finish();
        assert_eq!(plan.left_out, 2);
        assert_eq!(plan.uncontained.len(), 4);
    }
}
