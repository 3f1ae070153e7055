//! `IsolateNetwork`: `NetworkPolicies` that we make deny all traffic of the release's Pods.

use serde_json::Value;

use super::super::annotation::{Annotation, Carried};
use super::super::drift::Drift;
use super::super::observed::{Case, Need};
use super::super::placement::Placement;
use super::super::planned::{Plan, Runs};
use super::super::pods::{self, is_managed, selector_of};
use super::super::view::{Saying, View};
use super::super::write::{Precondition, Write};
use super::super::{fields, owners, policies};
use crate::api::conditions::Status;
use crate::api::quarantine::{ContainedObject, ObjectState};
use crate::api::quarantine_words::{QuarantineAction, QuarantineCondition, QuarantineReason};
use crate::inventory::ReleaseId;

/// What it has to know.
pub(super) const NEEDS: &[Need] = &[Need::Neighbours];

/// Records a policy for the Pods of each workload, or tells why they keep their network.
pub(super) fn plan(plan: &mut Plan, case: &Case) {
    let found = selectors(plan, case);
    // Policies of all actions share the numbers in their names.
    let is_policy = |one: &&ContainedObject| one.selector.is_some();
    let first = plan.objects.iter().filter(is_policy).count();
    for (index, selector) in (first..).zip(&found) {
        plan.objects.push(ContainedObject {
            action: QuarantineAction::IsolateNetwork,
            api_version: policies::API_VERSION.to_owned(),
            kind: policies::KIND.to_owned(),
            namespace: None,
            name: policies::name(case.release, index),
            uid: None,
            original: None,
            owners: None,
            when_scaled: None,
            left_by: None,
            selector: Some(selector.to_string()),
            autoscaler: None,
            undone: None,
            revision: Some(plan.revision),
            state: ObjectState::Planned,
            message: None,
        });
    }
}

/// What selects the Pods of the release, and no others.
fn selectors(plan: &mut Plan, case: &Case) -> Vec<Value> {
    let observed = case.observed;
    let workloads = observed.workloads.iter();
    let ours: Vec<&Value> = workloads
        .filter(|object| case.placement.owns(object))
        .collect();
    // What waits for a person keeps its network, whoever shares its labels.
    let waits = |object: &&&Value| case.waits_for(object).is_some();
    let isolated: Vec<&Value> = ours.iter().filter(|one| !waits(one)).copied().collect();
    // What is stopped as well needs no network to be contained.
    let runs = if case.actions.contains(&QuarantineAction::ScaleToZero) {
        Runs::Not
    } else {
        Runs::Pods
    };
    let mut found: Vec<Value> = Vec::new();
    for object in ours.iter().filter(|object| !is_managed(object, observed)) {
        let kind = fields::text(object, &["kind"]).unwrap_or_default();
        let name = fields::text(object, &["metadata", "name"]).unwrap_or_default();
        if let Some(served) = case.waits_for(object) {
            plan.wait(kind, name, &served);
            continue;
        }
        if pods::uses_host_network(object) {
            let why = "its Pods use the network of their node, which NetworkPolicies do not reach, \
                       so they are not isolated";
            plan.leave_that(runs, kind, name, why);
            plan.host_network.push(format!("{kind} {name}"));
            continue;
        }
        let Some(selector) = selector_of(object) else {
            let why = "its Pods cannot be told from others by their labels, so they are not \
                       isolated";
            plan.leave_that(runs, kind, name, why);
            continue;
        };
        if let Some(other) = pods::foreign(&selector, &isolated, observed) {
            let why = format!(
                "its labels select {other} of another owner too, so its Pods are not isolated"
            );
            plan.leave_that(runs, kind, name, &why);
            plan.shared.push(format!("{kind} {name}"));
        } else if !found.contains(&selector) {
            found.push(selector);
        }
    }
    policies::grouped(found)
}

/// How a recorded policy stands. One that we never made holds nothing up; one that we made, and that
/// does not say so any more, is for a person to delete. Whoever may write the status of a Quarantine can
/// record any name there: none but those of this release's policies is ours.
pub(super) fn drift(
    record: &ContainedObject,
    live: Option<&Value>,
    release: &ReleaseId,
    quarantine: &str,
) -> Drift {
    if !policies::is_name(release, &record.name) {
        return foreign();
    }
    let Some(live) = live else {
        return Drift::Unmade;
    };
    let annotation = match Annotation::of(live) {
        Carried::Annotation(annotation) => annotation,
        Carried::Nothing | Carried::Unreadable if is_made_by_us(live) => {
            let message = "somebody has changed its annotation; delete it by hand";
            return Drift::Contested(message.to_owned());
        }
        Carried::Nothing | Carried::Unreadable => return foreign(),
    };
    if annotation.quarantine != quarantine {
        if !policies::is_of(live, release) {
            return foreign();
        }
        let message = "was left by an earlier quarantine of this release".to_owned();
        return Drift::Kept(message, Some(annotation));
    }
    if is_as_made(record, live) {
        return Drift::Contained(annotation);
    }
    let message = "was changed by others; delete it, and it stays away".to_owned();
    Drift::Kept(message, Some(annotation))
}

fn foreign() -> Drift {
    let message = "a NetworkPolicy of that name is not ours, so these Pods are not isolated";
    Drift::Kept(message.to_owned(), None)
}

/// Whether it selects what was recorded, and denies both ways.
fn is_as_made(record: &ContainedObject, live: &Value) -> bool {
    let selector = fields::value(live, &["spec", "podSelector"]).map(Value::to_string);
    selector == record.selector && policies::denied(live) == policies::WAYS
}

/// Only the server writes down whose a field is.
fn is_made_by_us(policy: &Value) -> bool {
    owners::is_with_us(policy, &["spec", "policyTypes"])
}

/// Makes a policy that was recorded and not made yet; withdraws one that selects Pods of others.
pub(super) fn contain(view: &View, index: usize, drift: &Drift) -> Option<Write> {
    if view.foreign_pods.contains_key(&index) {
        return withdraw(view, index, drift);
    }
    let record = view.status.objects.get(index)?;
    if record.state != ObjectState::Planned {
        return None;
    }
    if let Some(live) = view.live(index).filter(|live| !goes(live)) {
        // What an earlier quarantine has left of us makes room.
        let is_left = matches!(
            drift,
            Drift::Kept(_, Some(annotation)) if annotation.quarantine != view.uid
        );
        return is_left.then(|| Write::Delete(index, Precondition::of(live)));
    }
    let placement = view.placement();
    if view.live(index).is_some() || !may_isolate(view, &placement, record) {
        return None;
    }
    let selector: Value = serde_json::from_str(record.selector.as_deref()?).ok()?;
    let policy = policies::denial(
        &view.release,
        placement.namespace(),
        &record.name,
        &selector,
        &view.annotation(),
    );
    Some(Write::Create(index, policy))
}

/// Only what would be planned just so is made: a record could name the Pods of others.
fn may_isolate(view: &View, placement: &Placement, record: &ContainedObject) -> bool {
    let is_it = |planned: &ContainedObject| {
        planned.selector.is_some() && planned.selector == record.selector
    };
    let is_planned = |plan: &Plan| plan.objects.iter().any(is_it);
    view.is_at(placement, record)
        && policies::is_name(&view.release, &record.name)
        && view.plan.as_ref().is_some_and(is_planned)
}

/// Whether a policy is being deleted already. Somebody's finalizer may keep it for long.
fn goes(live: &Value) -> bool {
    fields::is_being_deleted(live)
}

/// Deletes a policy of ours, if one is there.
pub(super) fn withdraw(view: &View, index: usize, drift: &Drift) -> Option<Write> {
    let live = view.live(index).filter(|live| !goes(live))?;
    let is_ours = matches!(drift, Drift::Contained(_) | Drift::Kept(_, Some(_)));
    is_ours.then(|| Write::Delete(index, Precondition::of(live)))
}

/// What is not isolated, as planned.
pub(super) fn planned_condition(plan: &Plan) -> Option<(QuarantineCondition, Saying)> {
    not_isolated(plan).map(|saying| (QuarantineCondition::Isolated, saying))
}

fn not_isolated(plan: &Plan) -> Option<Saying> {
    if !plan.shared.is_empty() {
        let message = format!(
            "Pods of others have the same labels: {}",
            plan.shared.join(", ")
        );
        return Some(((Status::False, QuarantineReason::SelectorShared), message));
    }
    let message = format!(
        "their Pods use the network of their node: {}",
        plan.host_network.join(", ")
    );
    let is_any = !plan.host_network.is_empty();
    is_any.then_some(((Status::False, QuarantineReason::HostNetwork), message))
}

/// Whether the Pods of the release are isolated.
pub(super) fn condition(
    view: &View,
    objects: &[ContainedObject],
) -> Option<(QuarantineCondition, Saying)> {
    isolated(view, objects).map(|saying| (QuarantineCondition::Isolated, saying))
}

fn isolated(view: &View, objects: &[ContainedObject]) -> Option<Saying> {
    let not = |reason, message| Some(((Status::False, reason), message));
    let is_one = |object: &&ContainedObject| object.action == QuarantineAction::IsolateNetwork;
    let mut denials = objects.iter().filter(is_one).peekable();
    if denials.peek().is_none() {
        return view.plan.as_ref().and_then(not_isolated);
    }
    if !view.foreign_pods.is_empty() {
        let others: Vec<_> = view.foreign_pods.values().cloned().collect();
        let message = format!(
            "{} of another owner: the same labels are selected, so that policy is withdrawn until \
             it is gone",
            others.join(", ")
        );
        return not(QuarantineReason::SelectorShared, message);
    }
    if let Some(saying) = view.plan.as_ref().and_then(not_isolated) {
        return Some(saying);
    }
    if !view.allowing.is_empty() {
        let message = format!(
            "NetworkPolicies add up, and these allow traffic to the same Pods: {}",
            policies::told(&view.allowing)
        );
        return not(QuarantineReason::OtherPoliciesAllow, message);
    }
    if denials.any(|object| object.state != ObjectState::Contained) {
        let message = "a NetworkPolicy of ours is not there, or was changed".to_owned();
        return not(QuarantineReason::ChangedByOthers, message);
    }
    let message = "whether the network plugin obeys NetworkPolicies was not checked".to_owned();
    Some(((Status::True, QuarantineReason::TrafficDenied), message))
}

/// What will be done, for people.
pub(super) fn preview(record: &ContainedObject) -> String {
    let selector = record.selector.as_deref().unwrap_or_default();
    format!("deny all traffic of the pods {selector}")
}
