//! `ScaleToZero`: the workloads of the release run no Pods.

use serde_json::Value;

use super::super::fields;
use super::super::observed::{Case, Need, Observed};
use super::super::planned::{Plan, Runs};
use super::super::pod::controller;
use super::super::pods::{has_finished, is_managed};
use super::super::target::Target;
use super::field;
use crate::api::quarantine::ContainedObject;

/// What it has to know.
pub(super) const NEEDS: &[Need] = &[Need::Neighbours];

/// Records the workloads of a release, or tells why they go on.
pub(super) fn plan(plan: &mut Plan, case: &Case) {
    let workload = |object| {
        let target = Target::of_object(object)?;
        Some((object, target)).filter(|(_, target)| target.is_workload())
    };
    for (object, target) in case.observed.workloads.iter().filter_map(workload) {
        let before = field::before(case, object, target);
        if before.is_none() || has_finished(object) {
            continue;
        }
        if let Some(why) = refusal(object, target, case) {
            let name = fields::text(object, &["metadata", "name"]).unwrap_or_default();
            plan.leave_that(Runs::Pods, target.kind, name, why);
        } else if let Some(served) = stops(object, target, case) {
            let name = fields::text(object, &["metadata", "name"]).unwrap_or_default();
            plan.wait(target.kind, name, &served);
        } else {
            warn(plan, case, object);
            field::record(plan, object, target, None, before);
            let autoscaler = autoscaler(object, &case.observed.autoscalers);
            scaled_by(plan, object, autoscaler);
            warn_of_return(plan, object, target);
        }
        leave_running(plan, object, case.observed);
    }
    leave_unlisted(plan, case);
}

/// Tells of workloads that carry the marks of the release, and that its record does not list (any more):
/// an upgrade leaves what its chart wants kept, a hook or a person may have made others, and a Deployment
/// gives its marks on to what it makes, which may outlive it.
fn leave_unlisted(plan: &mut Plan, case: &Case) {
    let observed = case.observed;
    let uid = |object: &Value| fields::text(object, &["metadata", "uid"]).map(str::to_owned);
    let known: Vec<_> = observed.workloads.iter().map(uid).collect();
    let neighbours = &observed.neighbours;
    let all = neighbours.pod_owners.iter();
    let all = all.chain(&neighbours.intermediates);
    let is_left = |object: &&Value| {
        case.placement.is_marked(object)
            && !is_managed(object, observed)
            && !known.contains(&uid(object))
            && !has_finished(object)
    };
    for object in all.filter(is_left) {
        let Some(target) = Target::of_object(object).filter(|target| !target.is_held(object))
        else {
            continue;
        };
        let name = fields::text(object, &["metadata", "name"]).unwrap_or_default();
        let why = "carries the marks of the release and is not in its record: stop it by hand";
        plan.leave_that(Runs::Pods, target.kind, name, why);
    }
}

/// What stops with a workload that runs, and that only a person may stop.
fn stops(object: &Value, target: &Target, case: &Case) -> Option<String> {
    (!target.is_held(object)).then(|| case.waits_for(object))?
}

/// Why a workload that is listed is not changed.
fn refusal(object: &Value, target: &Target, case: &Case) -> Option<&'static str> {
    if !case.placement.owns(object) {
        return Some(case.placement.missing());
    }
    if is_managed(object, case.observed) {
        return Some("is controlled by another object");
    }
    if fields::is_being_deleted(object) {
        return Some("is being deleted");
    }
    (target.kind == "Job" && has_run(object)).then_some("has run already, and is left to end")
}

/// Tells a person who stops what the API server calls how to get out.
fn warn(plan: &mut Plan, case: &Case, object: &Value) {
    let Some(served) = case.observed.servers.behind(object) else {
        return;
    };
    let why = format!(
        "{} {} serves it: while that is stopped, whoever waits for it is blocked, the restore too; if \
         so, delete it with kubectl first",
        fields::text(object, &["kind"]).unwrap_or_default(),
        fields::text(object, &["metadata", "name"]).unwrap_or_default()
    );
    let (kind, name) = served.split_once(' ').unwrap_or((&served, ""));
    plan.leave(kind, None, name, &why);
}

/// Tells of Jobs that a `CronJob` has started and that go on without it: until one has ended it makes Pods in
/// place of those that fail, and those that it still has to make.
fn leave_running(plan: &mut Plan, owner: &Value, observed: &Observed) {
    let uid = fields::text(owner, &["metadata", "uid"]);
    let name = |object| fields::text(object, &["metadata", "name"]).unwrap_or_default();
    let is_job = |object: &&Value| fields::text(object, &["kind"]) == Some("Job");
    let jobs = observed.neighbours.intermediates.iter().filter(is_job);
    let goes_on = |job: &&Value| {
        let is_suspended = fields::value(job, &["spec", "suspend"]) == Some(&Value::Bool(true));
        !is_suspended && !has_finished(job)
    };
    for job in jobs.filter(|job| controller(job) == uid && goes_on(job)) {
        let why = format!(
            "was started by CronJob {} before, and is left to end",
            name(owner)
        );
        plan.leave_that(Runs::Pods, "Job", name(job), &why);
    }
}

fn has_run(job: &Value) -> bool {
    ["active", "failed", "ready", "succeeded", "terminating"]
        .iter()
        .any(|count| {
            let count = fields::value(job, &["status", count]).and_then(Value::as_u64);
            count.is_some_and(|count| count > 0)
        })
}

/// Names the autoscaler of the workload that was recorded last.
fn scaled_by(plan: &mut Plan, object: &Value, autoscaler: Option<String>) {
    let uid = fields::text(object, &["metadata", "uid"]);
    let last = plan.objects.last_mut();
    if let Some(last) = last.filter(|last| last.uid.as_deref() == uid) {
        last.autoscaler = autoscaler;
    }
}

/// Says of the workload that was recorded last what putting it back will do.
fn warn_of_return(plan: &mut Plan, object: &Value, target: &Target) {
    let uid = fields::text(object, &["metadata", "uid"]);
    let last = plan.objects.last_mut();
    if let Some(last) = last.filter(|last| last.uid.as_deref() == uid) {
        last.message = target.on_return(object).map(str::to_owned);
    }
}

fn autoscaler(object: &Value, autoscalers: &[Value]) -> Option<String> {
    let is_of = |autoscaler: &&Value| {
        let aimed = |name: &str| fields::text(autoscaler, &["spec", "scaleTargetRef", name]);
        aimed("kind") == fields::text(object, &["kind"])
            && aimed("name") == fields::text(object, &["metadata", "name"])
    };
    let found = autoscalers.iter().find(is_of)?;
    fields::text(found, &["metadata", "name"]).map(str::to_owned)
}

/// What will be done, for people.
pub(super) fn preview(record: &ContainedObject) -> String {
    let before = record.original.as_deref().unwrap_or("absent");
    let kept = record.when_scaled.as_ref();
    let kept = kept.map(|_| "its volumes are kept (whenScaled: Retain)");
    let said = [kept, record.message.as_deref()];
    let said = said.into_iter().flatten().map(|said| format!("; {said}"));
    format!("stopped (before: {before}){}", said.collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::crash::observed;
    use super::super::super::observed::Plans;
    use super::super::super::plan::plan;
    use super::*;
    use crate::api::quarantine_words::QuarantineAction;
    use crate::inventory::ReleaseId;

    #[test]
    fn what_putting_back_will_do_is_said_before() {
        let release = ReleaseId {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        };
        let previewed = |kind: &str, spec: Value| {
            let mut observed = observed();
            let mut all = observed.workloads.iter_mut();
            let workload = all.find(|one| one["kind"] == kind).unwrap();
            json_patch::merge(workload, &json!({ "spec": spec }));
            let actions = [QuarantineAction::ScaleToZero];
            let plan = plan(&release, &actions, &observed, &[], Plans::of_a_person());
            preview(plan.objects.iter().find(|one| one.kind == kind).unwrap())
        };
        let without = json!({"startingDeadlineSeconds": null});
        assert_eq!(
            previewed("CronJob", without),
            "stopped (before: false); has no startingDeadlineSeconds, so a run that it misses starts at \
             once when it is put back"
        );
        assert_eq!(previewed("CronJob", json!({})), "stopped (before: false)");
        let kept = previewed("StatefulSet", json!({}));
        assert_eq!(
            kept,
            "stopped (before: 2); its volumes are kept (whenScaled: Retain)"
        );
    }
}
