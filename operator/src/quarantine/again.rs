//! Planned again: what a release has got since its quarantine was planned, and what of that is
//! contained too. Pure.
//!
//! Whoever wrote the chart decides when its workloads appear: behind a slow hook, by a scaler of
//! events, with the next `helm upgrade`. So a plan is never final. What people change stays as they
//! have left it, for as long as the revision and the object are the same.

use super::actions;
use super::drift::Drift;
use super::planned::{self, Plan};
use super::policies;
use super::view::{Again, View};
use crate::api::bounds;
use crate::api::quarantine::{ContainedObject, ObjectState, QuarantineStatus};
use crate::api::quarantine_words::{QuarantineAction, QuarantineReason};

/// The status that saves the originals of what is to be contained as well, if there is anything.
pub(super) fn planned(view: &View, plan: &Plan) -> Option<QuarantineStatus> {
    if is_unknown(plan) || is_later(view, plan) {
        return None;
    }
    let mut objects = view.status.objects.clone();
    for (index, object) in objects.iter_mut().enumerate() {
        let is_contained = matches!(actions::drift(view, index), Drift::Contained(_));
        if is_contained && object.revision != Some(plan.in_force) {
            object.revision = Some(plan.in_force);
        }
    }
    let mut taken = None;
    for found in &plan.objects {
        match objects.iter().position(|one| is_one(one, found)) {
            Some(index) if is_new(objects.get(index)?, found) => {
                *objects.get_mut(index)? = renewed(objects.get(index)?, found);
            }
            Some(index) => {
                if let Some(undone) = actions::is_to_be_contained_again(view, index) {
                    *objects.get_mut(index)? = ContainedObject {
                        undone: Some(undone),
                        ..renewed(objects.get(index)?, found)
                    };
                }
            }
            None => {
                let name = free_name(view, &objects, found);
                let found = ContainedObject {
                    name,
                    ..found.clone()
                };
                let all = || objects.iter().map(planned::size).sum();
                let taken = taken.get_or_insert_with(all);
                add(view, (&mut objects, taken), found);
            }
        }
    }
    (objects != view.status.objects).then(|| QuarantineStatus {
        objects,
        ..view.status.clone()
    })
}

/// Records one more object. What a status cannot hold beside the others takes the place of one that was
/// contained and is gone: a chart that names its workloads anew with every revision must not fill it up.
fn add(
    view: &View,
    (objects, taken): (&mut Vec<ContainedObject>, &mut usize),
    found: ContainedObject,
) {
    let all = taken.saturating_add(planned::size(&found));
    if objects.len() < bounds::OBJECTS && all <= bounds::OBJECTS_SIZE {
        *taken = all;
        return objects.push(found);
    }
    let without = |record: &ContainedObject| all.saturating_sub(planned::size(record));
    let is_over = |index: usize, record: &ContainedObject| {
        record.action == QuarantineAction::ScaleToZero
            && view.status.objects.get(index) == Some(record)
            && actions::drift(view, index) == Drift::Gone
            && without(record) <= bounds::OBJECTS_SIZE
    };
    let mut places = objects.iter_mut().enumerate();
    if let Some((_, place)) = places.find(|(index, one)| is_over(*index, one)) {
        *taken = without(place);
        *place = found;
    }
}

/// What is planned, and is not recorded because there is no room: it is left out, and counted.
pub(super) fn unrecorded<'a>(
    view: &'a View,
    plan: &'a Plan,
) -> impl Iterator<Item = &'a ContainedObject> {
    plan.objects.iter().filter(|found| {
        let is_it = |one: &ContainedObject| is_one(one, found) && one.uid == found.uid;
        !view.status.objects.iter().any(is_it)
    })
}

/// Whether the plan says nothing because it is not known what there is.
pub(super) fn is_unknown(plan: &Plan) -> bool {
    let reason = plan.problem.as_ref().map(|(reason, _)| *reason);
    matches!(
        reason,
        Some(
            QuarantineReason::ProgressingWithRetry
                | QuarantineReason::ReleaseNotFound
                | QuarantineReason::ReleaseUnreadable
        )
    )
}

/// Whether a revision came later that nobody says is bad.
pub(super) fn is_later(view: &View, plan: &Plan) -> bool {
    let recorded = view.status.objects.iter().filter_map(|one| one.revision);
    let is_later = recorded.max().is_some_and(|last| last < plan.revision);
    view.again == Again::SameRevision && is_later
}

/// Whether two records are about the same thing. A policy is the Pods that it selects.
fn is_one(one: &ContainedObject, other: &ContainedObject) -> bool {
    if one.action != other.action {
        return false;
    }
    if one.selector.is_some() || other.selector.is_some() {
        return one.selector == other.selector;
    }
    one.kind == other.kind && one.namespace == other.namespace && one.name == other.name
}

/// Whether what was found is contained anew: another object of that name, or one that another revision has
/// set again; revisions are counted from 1 anew when a release is installed again. A deployer that a person
/// has resumed stays so.
fn is_new(record: &ContainedObject, found: &ContainedObject) -> bool {
    if found.selector.is_some() {
        return false;
    }
    record.uid != found.uid
        || (record.action != QuarantineAction::PauseDeployer
            && record.state != ObjectState::Planned
            && record.revision != found.revision)
}

/// What was found, with what the object does not show any more: that its volumes are kept since it was
/// contained first.
fn renewed(record: &ContainedObject, found: &ContainedObject) -> ContainedObject {
    let before = record
        .when_scaled
        .as_ref()
        .filter(|_| record.uid == found.uid);
    ContainedObject {
        when_scaled: found.when_scaled.as_ref().or(before).cloned(),
        ..found.clone()
    }
}

/// Policies are numbered, and no two have one number.
fn free_name(view: &View, objects: &[ContainedObject], found: &ContainedObject) -> String {
    if found.selector.is_none() {
        return found.name.clone();
    }
    let is_free = |name: &String| !objects.iter().any(|one| one.name == *name);
    let mut names = (0..=objects.len()).map(|index| policies::name(&view.release, index));
    names.find(is_free).unwrap_or_else(|| found.name.clone())
}
