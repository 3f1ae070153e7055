//! What an action is that denies traffic: `NetworkPolicies` that we make for the release's Pods. Each such
//! action is a value of [`Denial`]; a Pod may be selected by the policies of several.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::annotation::{Annotation, Carried};
use super::super::drift::Drift;
use super::super::observed::{Case, Need};
use super::super::placement::Placement;
use super::super::planned::{Plan, Runs};
use super::super::pods::{self, is_managed, selector_of};
use super::super::policies::{self, Way};
use super::super::view::{Saying, View};
use super::super::write::{Precondition, Write};
use super::super::{fields, owners};
use crate::api::conditions::Status;
use crate::api::quarantine::{ContainedObject, ObjectState};
use crate::api::quarantine_words::{QuarantineAction, QuarantineCondition, QuarantineReason};
use crate::inventory::ReleaseId;

/// An action that denies the release's Pods some of their traffic.
#[derive(Debug)]
pub(super) struct Denial {
    /// Which one.
    pub action: QuarantineAction,
    /// The ways of traffic that its policies deny. Policies of others that allow one of these undo it.
    pub ways: &'static [Way],
    /// Whether it is so.
    pub condition: QuarantineCondition,
    /// Why it is so.
    pub reason: QuarantineReason,
    /// What is denied, as "all traffic".
    pub traffic: &'static str,
    /// What the Pods are then, as "isolated".
    pub state: &'static str,
}

/// What each has to know.
pub(super) const NEEDS: &[Need] = &[Need::Neighbours];

impl Denial {
    /// Records a policy for the Pods of each workload, or tells why they keep their network.
    pub(super) fn plan(&self, plan: &mut Plan, case: &Case) {
        let found = self.selectors(plan, case);
        // Policies of all actions share the numbers in their names.
        let is_policy = |one: &&ContainedObject| one.selector.is_some();
        let first = plan.objects.iter().filter(is_policy).count();
        for (index, selector) in (first..).zip(&found) {
            plan.objects.push(ContainedObject {
                action: self.action,
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
                revision: Some(plan.in_force),
                state: ObjectState::Planned,
                message: None,
            });
        }
    }

    /// What selects the Pods of the release, and no others.
    fn selectors(&self, plan: &mut Plan, case: &Case) -> Vec<Value> {
        let observed = case.observed;
        let workloads = observed.workloads.iter();
        let ours: Vec<&Value> = workloads
            .filter(|object| case.placement.owns(object))
            .collect();
        // What waits for a person keeps its network, whoever shares its labels.
        let waits = |object: &&&Value| case.waits_for(object).is_some();
        let denied: Vec<&Value> = ours.iter().filter(|one| !waits(one)).copied().collect();
        // What is stopped as well needs no network to be contained.
        let runs = if case.actions.contains(&QuarantineAction::ScaleToZero) {
            Runs::Not
        } else {
            Runs::Pods
        };
        let state = self.state;
        let mut found: Vec<Value> = Vec::new();
        for object in ours.iter().filter(|object| !is_managed(object, observed)) {
            let kind = fields::text(object, &["kind"]).unwrap_or_default();
            let name = fields::text(object, &["metadata", "name"]).unwrap_or_default();
            if let Some(served) = case.waits_for(object) {
                plan.wait(kind, name, &served);
                continue;
            }
            if pods::uses_host_network(object) {
                let why = format!(
                    "its Pods use the network of their node, which NetworkPolicies do not reach, so \
                     they are not {state}"
                );
                plan.leave_that(runs, kind, name, &why);
                add(&mut plan.host_network, format!("{kind} {name}"));
                continue;
            }
            let Some(selector) = selector_of(object) else {
                let why = format!(
                    "its Pods cannot be told from others by their labels, so they are not {state}"
                );
                plan.leave_that(runs, kind, name, &why);
                continue;
            };
            if let Some(other) = pods::foreign(&selector, &denied, observed) {
                let why = format!(
                    "its labels select {other} of another owner too, so its Pods are not {state}"
                );
                plan.leave_that(runs, kind, name, &why);
                add(&mut plan.shared, format!("{kind} {name}"));
            } else if !found.contains(&selector) {
                found.push(selector);
            }
        }
        policies::grouped(found)
    }

    /// How a recorded policy stands. One that we never made holds nothing up; one that we made, and that
    /// does not say so any more, is for a person to delete. Whoever may write the status of a Quarantine
    /// can record any name there: none but those of this release's policies is ours.
    pub(super) fn drift(
        &self,
        record: &ContainedObject,
        live: Option<&Value>,
        release: &ReleaseId,
        quarantine: &str,
    ) -> Drift {
        if !policies::is_name(release, &record.name) {
            return self.foreign();
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
            Carried::Nothing | Carried::Unreadable => return self.foreign(),
        };
        if annotation.quarantine != quarantine {
            if !policies::is_of(live, release) {
                return self.foreign();
            }
            let message = "was left by an earlier quarantine of this release".to_owned();
            return Drift::Kept(message, Some(annotation));
        }
        if self.is_as_made(record, live) {
            return Drift::Contained(annotation);
        }
        let message = "was changed by others; delete it, and it stays away".to_owned();
        Drift::Kept(message, Some(annotation))
    }

    fn foreign(&self) -> Drift {
        let state = self.state;
        let message =
            format!("a NetworkPolicy of that name is not ours, so these Pods are not {state}");
        Drift::Kept(message, None)
    }

    /// Whether it selects what was recorded, and denies just what this action denies.
    fn is_as_made(&self, record: &ContainedObject, live: &Value) -> bool {
        let selector = fields::value(live, &["spec", "podSelector"]).map(Value::to_string);
        selector == record.selector && policies::denies(live, self.ways)
    }

    /// Makes a policy that was recorded and not made yet; withdraws one that selects Pods of others.
    pub(super) fn contain(&self, view: &View, index: usize, drift: &Drift) -> Option<Write> {
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
        if view.live(index).is_some() || !may_be_made(view, &placement, record) {
            return None;
        }
        let selector: Value = serde_json::from_str(record.selector.as_deref()?).ok()?;
        let policy = policies::ours(
            &view.release,
            placement.namespace(),
            &record.name,
            &view.annotation(),
            &policies::denial(&selector, self.ways),
        );
        Some(Write::Create(index, policy))
    }

    /// What is not denied, as planned.
    pub(super) fn planned_condition(&self, plan: &Plan) -> Option<(QuarantineCondition, Saying)> {
        left_open(plan).map(|saying| (self.condition, saying))
    }

    /// Whether it is so.
    pub(super) fn condition(
        &self,
        view: &View,
        objects: &[ContainedObject],
    ) -> Option<(QuarantineCondition, Saying)> {
        self.saying(view, objects)
            .map(|saying| (self.condition, saying))
    }

    fn saying(&self, view: &View, objects: &[ContainedObject]) -> Option<Saying> {
        let not = |reason, message| Some(((Status::False, reason), message));
        let is_one = |object: &ContainedObject| object.action == self.action;
        let made: BTreeMap<usize, &ContainedObject> = objects
            .iter()
            .enumerate()
            .filter(|(_, object)| is_one(object))
            .collect();
        if made.is_empty() {
            return view.plan.as_ref().and_then(left_open);
        }
        let strangers = view.foreign_pods.iter();
        let strangers = strangers.filter(|(index, _)| made.contains_key(index));
        let strangers: Vec<_> = strangers.map(|(_, pod)| pod.clone()).collect();
        if !strangers.is_empty() {
            let message = format!(
                "{} of another owner: the same labels are selected, so that policy is withdrawn until \
                 it is gone",
                strangers.join(", ")
            );
            return not(QuarantineReason::SelectorShared, message);
        }
        if let Some(saying) = view.plan.as_ref().and_then(left_open) {
            return Some(saying);
        }
        if let Some(others) = policies::told(&view.allowing, self.ways) {
            let message = format!(
                "NetworkPolicies add up, and these allow traffic to the same Pods: {others}"
            );
            return not(QuarantineReason::OtherPoliciesAllow, message);
        }
        let is_missing = |object: &&ContainedObject| object.state != ObjectState::Contained;
        if made.into_values().any(|object| is_missing(&object)) {
            let message = "a NetworkPolicy of ours is not there, or was changed".to_owned();
            return not(QuarantineReason::ChangedByOthers, message);
        }
        let message = "whether the network plugin obeys NetworkPolicies was not checked".to_owned();
        Some(((Status::True, self.reason), message))
    }

    /// What will be done, for people.
    pub(super) fn preview(&self, record: &ContainedObject) -> String {
        let selector = record.selector.as_deref().unwrap_or_default();
        format!("deny {} of the pods {selector}", self.traffic)
    }
}

/// Deletes a policy of ours, if one is there.
pub(super) fn withdraw(view: &View, index: usize, drift: &Drift) -> Option<Write> {
    let live = view.live(index).filter(|live| !goes(live))?;
    let is_ours = matches!(drift, Drift::Contained(_) | Drift::Kept(_, Some(_)));
    is_ours.then(|| Write::Delete(index, Precondition::of(live)))
}

/// Only the server writes down whose a field is.
fn is_made_by_us(policy: &Value) -> bool {
    owners::is_with_us(policy, &["spec", "policyTypes"])
}

/// Only what would be planned just so is made: a record could name the Pods of others.
fn may_be_made(view: &View, placement: &Placement, record: &ContainedObject) -> bool {
    let is_it = |planned: &ContainedObject| {
        planned.action == record.action
            && planned.selector.is_some()
            && planned.selector == record.selector
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

/// Several actions may leave the same workload.
fn add(all: &mut Vec<String>, one: String) {
    if !all.contains(&one) {
        all.push(one);
    }
}

/// Why the Pods of some workloads keep their network, whatever is denied.
fn left_open(plan: &Plan) -> Option<Saying> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::original::Original;
    use super::super::network;
    use super::*;

    fn release() -> ReleaseId {
        ReleaseId {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        }
    }

    fn annotation() -> Annotation {
        Annotation {
            incident: "manual/uid".to_owned(),
            quarantine: "uid".to_owned(),
            uid: None,
            when_scaled: None,
            revision: None,
            time: String::new(),
            original: Original::default(),
            owners: Vec::new(),
        }
    }

    fn of(ways: &'static [Way]) -> Denial {
        Denial {
            ways,
            ..network::DENIAL
        }
    }

    /// Whatever its selector asks for (that of many workloads asks for no single value of a label), and
    /// whatever is denied: only what was made is as it was made.
    #[test]
    fn a_policy_stands_only_as_it_was_made() {
        let several = json!([{"key": "app", "operator": "In", "values": ["api", "web"]}]);
        let selectors = [
            json!({}),
            json!({"matchLabels": {"app": "web"}}),
            json!({"matchExpressions": several}),
            json!({"matchExpressions": several, "matchLabels": {"of": "web"}}),
        ];
        let all: [&[Way]; 3] = [
            &[Way::Egress, Way::Ingress],
            &[Way::Egress],
            &[Way::Ingress],
        ];
        let changes = [
            json!({"podSelector": {"matchLabels": {"app": "db"}}}),
            json!({"egress": [{}]}),
            json!({"ingress": [{}]}),
            json!({"ingress": [{}], "policyTypes": ["Egress", "Ingress"]}),
            json!({"policyTypes": []}),
            json!({"policyTypes": null}),
        ];
        for (selector, ways) in selectors.iter().flat_map(|one| all.map(|ways| (one, ways))) {
            let is = |spec: Value| drift_of(&of(ways), selector, &spec);
            for spec in [json!({}), json!({"egress": [], "ingress": []})] {
                assert_eq!(is(spec), Drift::Contained(Box::new(annotation())));
            }
            let of_ways = all.iter().map(|ways| json!({"policyTypes": ways}));
            let others = of_ways.filter(|other| *other != json!({"policyTypes": ways}));
            for changed in changes.iter().cloned().chain(others) {
                let drift = is(changed.clone());
                let is_kept = matches!(drift, Drift::Kept(_, Some(_)));
                assert!(is_kept, "{ways:?} {selector} {changed}: {drift:?}");
            }
        }
    }

    fn drift_of(denial: &Denial, selector: &Value, change: &Value) -> Drift {
        let name = policies::name(&release(), 0);
        let record = json!({"action": denial.action, "apiVersion": policies::API_VERSION,
            "kind": policies::KIND, "name": name, "selector": selector.to_string(),
            "state": "Contained"});
        let record: ContainedObject = serde_json::from_value(record).unwrap();
        let spec = policies::denial(selector, denial.ways);
        let mut live = policies::ours(&release(), "shop", &name, &annotation(), &spec);
        json_patch::merge(&mut live, &json!({"spec": change}));
        denial.drift(&record, Some(&live), &release(), "uid")
    }
}
