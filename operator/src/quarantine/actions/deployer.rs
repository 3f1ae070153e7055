//! `PauseDeployer`: what deploys the release, and would undo the rest, rests.

use serde_json::Value;

use super::super::application::Application;
use super::super::fields;
use super::super::observed::{Case, Observed};
use super::super::planned::Plan;
use super::super::target::{self, Target};
use super::super::view::View;
use super::field;
use crate::api::quarantine::ContainedObject;
use crate::api::quarantine_words::QuarantineAction;
use crate::inventory::ReleaseId;

/// How much of what a deployer deploys is one release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    /// None of it.
    None,
    /// Some of it: it would be wrong to pause the rest.
    Part,
    /// All of it.
    Whole,
}

/// Records the deployers of a release, or tells why they go on.
pub(super) fn plan(plan: &mut Plan, case: &Case) {
    for object in &case.observed.deployers {
        let Some(target) = Target::of_object(object).filter(|target| target.is_deployer()) else {
            continue;
        };
        match share(case.observed, object, target, case.release) {
            Share::None => (),
            Share::Part => {
                let why = "deploys other objects too, so it is not paused, and may undo the rest";
                leave(plan, case, (object, target), why);
            }
            Share::Whole => plan_one(plan, case, object, target),
        }
    }
}

fn plan_one(plan: &mut Plan, case: &Case, object: &Value, target: &Target) {
    // Whoever may write a record can write a newer one, of another driver too.
    let listed = case.observed.listed.as_ref().ok();
    let revision = case.revision();
    let is_live =
        |one: u64| one == revision || listed.is_some_and(|listed| listed.revisions.contains(&one));
    let deployed = target::deployed_revision(object);
    if let Some(deployed) = deployed.filter(|deployed| !is_live(*deployed)) {
        let why = format!("says that it deployed revision {deployed}, not {revision}");
        plan.leave(target.kind, other(case, object), name(object), &why);
    } else if case.actions.contains(&QuarantineAction::PauseDeployer) {
        let before = field::before(case, object, target);
        field::record(plan, object, target, other(case, object), before);
    } else {
        let why = "is not paused, and may undo the rest; add PauseDeployer to the actions";
        leave(plan, case, (object, target), why);
    }
}

/// One that rests already undoes nothing.
fn leave(plan: &mut Plan, case: &Case, (object, target): (&Value, &Target), why: &str) {
    if !target.is_held(object) {
        plan.leave(target.kind, other(case, object), name(object), why);
    }
}

fn name(object: &Value) -> &str {
    fields::text(object, &["metadata", "name"]).unwrap_or_default()
}

/// Its namespace, if it is not that of the release.
fn other<'a>(case: &Case, object: &'a Value) -> Option<&'a str> {
    let namespace = fields::text(object, &["metadata", "namespace"]).unwrap_or_default();
    (namespace != case.release.namespace).then_some(namespace)
}

/// Whether a deployer is still of this release alone: read again before each change, because what was
/// recorded could have been edited, or deploy something else by now.
pub(super) fn is_owned(
    view: &View,
    live: &Value,
    target: &Target,
    record: &ContainedObject,
) -> bool {
    let is_whole =
        |observed: &Observed| share(observed, live, target, &view.release) == Share::Whole;
    !view.protects(view.namespace_of(record))
        && (target::deploys(live, target, &view.release)
            || view.observed.as_ref().is_some_and(is_whole))
}

/// How much of what a deployer deploys is this release.
fn share(observed: &Observed, object: &Value, target: &Target, release: &ReleaseId) -> Share {
    if target::deploys(object, target, release) {
        return Share::Whole;
    }
    let Some(listed) = observed
        .listed
        .as_ref()
        .ok()
        .filter(|_| target.kind == "Application")
    else {
        return Share::None;
    };
    let application = Application::of(object, &observed.applications());
    let is_both =
        |workload: &Value| target::is_of_release(workload, release) && application.owns(workload);
    match observed.workloads.iter().any(is_both) {
        true if application.is_within(listed) => Share::Whole,
        true => Share::Part,
        false => Share::None,
    }
}

/// What will be done, for people.
pub(super) fn preview(record: &ContainedObject) -> String {
    let before = record.original.as_deref().unwrap_or("absent");
    format!("paused (before: {before})")
}
