//! The next write of a quarantine, if one is left: pure, from what is there now.
//!
//! Every write carries a precondition, and everything is derived anew from what the server says, so
//! it does not matter where a run stops: the next one goes on.

use serde_json::Value;

use super::view::View;
use super::write::Write;
use super::{actions, again, conclude, fields, plan};
use crate::api::quarantine::QuarantineStatus;

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
    let plan = view.plan.clone().or_else(|| plan::of(view));
    if view.status.incident.is_none() {
        return write_status(view, conclude::planned(view, &plan?));
    }
    let more = plan.and_then(|plan| again::planned(view, &plan));
    if let Some(status) = more {
        return Some(Write::Status(Box::new(status)));
    }
    let mut all = in_order(view).into_iter();
    // One write at a time, each derived from what the server answered to the last: nothing is
    // remembered between them that a crash could lose.
    let change = all.find_map(|index| actions::contain(view, index));
    change.or_else(|| write_status(view, conclude::concluded(view)))
}

/// In reverse, so that nothing undoes the restore of something else; each object in two patches.
/// What cannot be put back keeps the finalizer, and holds up nothing else.
fn ending(view: &View) -> Option<Write> {
    if !view.has_finalizer {
        return None;
    }
    let mut all = in_order(view).into_iter().rev();
    let change = all.find_map(|index| actions::restore(view, index));
    if change.is_some() {
        return change;
    }
    if (0..view.status.objects.len()).any(|index| conclude::holds(view, index)) {
        return write_status(view, conclude::concluded(view));
    }
    Some(Write::RemoveFinalizer)
}

/// The places of the recorded objects, deployers first: later ones were added at the end.
fn in_order(view: &View) -> Vec<usize> {
    let objects = &view.status.objects;
    let mut all: Vec<usize> = (0..objects.len()).collect();
    // Flux, Argo CD and k3s first: a workload that is scaled before its deployer pauses comes back
    // within seconds.
    all.sort_by_key(|index| objects.get(*index).map(|one| one.action));
    all
}

/// The status, unless it stands there already.
fn write_status(view: &View, status: QuarantineStatus) -> Option<Write> {
    (status != view.status).then(|| Write::Status(Box::new(status)))
}

impl View {
    /// Takes in what the server made of a write.
    pub fn take_result(&mut self, write: &Write, answer: Option<Value>) {
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
                self.take_in_records((**status).clone());
            }
        }
        if let Some(version) = answer.as_ref().and_then(resource_version) {
            self.resource_version = version;
        }
    }
}

fn resource_version(object: &Value) -> Option<String> {
    fields::text(object, &["metadata", "resourceVersion"]).map(str::to_owned)
}
