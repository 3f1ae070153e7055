//! Which Pods belong to whom: by who controls them, and by labels.

use serde_json::Value;

use super::fields;
use super::listed::Listed;
use super::neighbourhood::Neighbourhood;
use super::observed::Observed;
use super::pod::{Owner, Pod, controller, owner};
use super::policies;
use crate::api::bounds;

/// Whether another object controls this one.
pub(super) fn is_controlled(object: &Value) -> bool {
    controller(object).is_some()
}

/// Whether what controls this one makes and scales it: a Deployment its `ReplicaSets`, a `CronJob` its
/// Jobs, and it is there to stay: one that goes manages nothing any more, however long a finalizer keeps it.
/// Any other owner is only a claim of whoever wrote the chart.
pub(super) fn is_managed(object: &Value, observed: &Observed) -> bool {
    let maker = match fields::text(object, &["kind"]) {
        Some("Job") => "CronJob",
        Some("ReplicaSet") => "Deployment",
        _ => return false,
    };
    let Some(uid) = controller(object) else {
        return false;
    };
    let is_it = |one: &Value| {
        fields::text(one, &["kind"]) == Some(maker)
            && fields::text(one, &["metadata", "uid"]) == Some(uid)
            && !fields::is_being_deleted(one)
    };
    observed.neighbours.pod_owners.iter().any(is_it)
}

/// Whether Pods of a workload use the network of their node.
pub(super) fn uses_host_network(workload: &Value) -> bool {
    let of_job = [
        "spec",
        "jobTemplate",
        "spec",
        "template",
        "spec",
        "hostNetwork",
    ];
    let of_template = ["spec", "template", "spec", "hostNetwork"];
    let says = |path: &[&str]| fields::value(workload, path) == Some(&Value::Bool(true));
    says(&of_job) || says(&of_template)
}

/// The Pods of a release that are on a node and have not ended.
pub(super) fn running<'a>(listed: &Listed, observed: &'a Observed) -> Vec<&'a Pod> {
    let is_of = |pod: &&Pod| {
        let mut line = lineage(pod, &observed.neighbours);
        line.any(|(kind, name)| is_listed(listed, kind, name))
    };
    let pods = observed.neighbours.pods.iter();
    let running = pods.filter(|pod| pod.is_on_node && !pod.has_ended);
    running.filter(is_of).collect()
}

fn is_listed(listed: &Listed, kind: &str, name: &str) -> bool {
    let mut all = listed.objects.iter().chain(&listed.hooks);
    all.any(|object| {
        object.kind == kind
            && (object.name == name || object.generated && name.starts_with(&object.name))
    })
}

/// Kind and name of a Pod and of those that control it.
fn lineage<'a>(
    pod: &'a Pod,
    neighbours: &'a Neighbourhood,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let owners = owners_of(pod, neighbours).map(|owner| (owner.kind, owner.name));
    std::iter::once(("Pod", pod.name.as_str())).chain(owners)
}

/// Whether this Pod is there because of an object of this kind and name.
pub(super) fn is_made_by(pod: &Pod, kind: &str, name: &str, neighbours: &Neighbourhood) -> bool {
    lineage(pod, neighbours).any(|one| one == (kind, name))
}

/// Those that control a Pod, its direct controller first.
fn owners_of<'a>(pod: &'a Pod, neighbours: &'a Neighbourhood) -> impl Iterator<Item = Owner<'a>> {
    std::iter::successors(pod.owner(), |last| {
        let has_uid = |one: &&Value| fields::text(one, &["metadata", "uid"]) == Some(last.uid);
        let mut known = neighbours
            .intermediates
            .iter()
            .chain(&neighbours.pod_owners);
        owner(known.find(has_uid)?)
    })
    .take(LONGEST_LINE)
}

/// Whether a Job has ended.
pub(super) fn has_finished(object: &Value) -> bool {
    let conditions = fields::value(object, &["status", "conditions"]).and_then(Value::as_array);
    let is_end = |condition: &Value| {
        matches!(
            fields::text(condition, &["type"]),
            Some("Complete" | "Failed")
        ) && fields::text(condition, &["status"]) == Some("True")
    };
    let is_job = fields::text(object, &["kind"]) == Some("Job");
    is_job && conditions.into_iter().flatten().any(is_end)
}

/// What selects the Pods of a workload, if anything does.
pub(super) fn selector_of(object: &Value) -> Option<Value> {
    let selector = fields::value(object, &["spec", "selector"]);
    let of_template = || {
        let path = [
            "spec",
            "jobTemplate",
            "spec",
            "template",
            "metadata",
            "labels",
        ];
        let labels = fields::value(object, &path)?;
        Some(serde_json::json!({ "matchLabels": labels }))
    };
    let selector = selector.cloned().or_else(of_template)?;
    let is_empty = selector
        .as_object()
        .is_none_or(|parts| parts.values().all(is_blank));
    // An empty selector means every Pod of the namespace, those of others among them.
    (!is_empty && selector.to_string().len() <= bounds::SAVED).then_some(selector)
}

fn is_blank(part: &Value) -> bool {
    match part {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => true,
    }
}

/// A Pod that a selector selects and that belongs to none of these workloads; or, because a Pod comes
/// and goes, what will make such Pods.
pub(super) fn foreign(selector: &Value, ours: &[&Value], observed: &Observed) -> Option<String> {
    let ours: Vec<&str> = ours
        .iter()
        .filter_map(|object| fields::text(object, &["metadata", "uid"]))
        .collect();
    let neighbours = &observed.neighbours;
    let is_selected = |pod: &&Pod| policies::selects(Some(selector), &pod.labels);
    let is_foreign =
        |pod: &&Pod| !owners_of(pod, neighbours).any(|owner| ours.contains(&owner.uid));
    let living = neighbours.pods.iter().filter(|pod| !pod.has_ended);
    if let Some(pod) = living.filter(is_selected).find(is_foreign) {
        return Some(format!("Pod {}", pod.name));
    }
    let makes_foreign = |object: &&Value| {
        let uid = fields::text(object, &["metadata", "uid"]);
        let is_ours = uid.is_some_and(|uid| ours.contains(&uid));
        let is_on_its_own = !is_controlled(object) && !has_finished(object);
        is_on_its_own && !is_ours && makes(object, selector)
    };
    let mut all = neighbours
        .pod_owners
        .iter()
        .chain(&neighbours.intermediates);
    let maker = all.find(makes_foreign)?;
    let text = |path: &[&str]| fields::text(maker, path).unwrap_or_default();
    let (kind, name) = (text(&["kind"]), text(&["metadata", "name"]));
    Some(format!("the Pods of {kind} {name}"))
}

/// Whether the Pods that a workload makes are selected.
fn makes(workload: &Value, selector: &Value) -> bool {
    let of_job = ["spec", "jobTemplate", "spec", "template"];
    let template =
        fields::value(workload, &of_job).or_else(|| fields::value(workload, &["spec", "template"]));
    template.is_some_and(|template| {
        let labels = policies::labels(template, &["metadata", "labels"]);
        policies::selects(Some(selector), &labels)
    })
}

/// `CronJob`, Job, Pod is the longest there is.
const LONGEST_LINE: usize = 4;
