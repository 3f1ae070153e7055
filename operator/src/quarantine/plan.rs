//! From what a release is made of to the list of what will be changed, each with its original.

use charttrust_verify::release::ManifestObject;

use super::actions;
use super::fields;
use super::listed::{Listed, Unlisted};
use super::observed::{Case, Observed, Plans};
use super::placement::Placement;
use super::planned::{Plan, Runs};
use super::pod::Pod;
use super::pods;
use super::target::{self, Target};
use super::view::View;
use crate::api::quarantine_words::{QuarantineAction, QuarantineReason};
use crate::inventory::ReleaseId;

/// Plans the quarantine of a release. In `protected` namespaces nothing is ever changed.
pub fn plan(
    release: &ReleaseId,
    actions: &[QuarantineAction],
    observed: &Observed,
    protected: &[String],
    plans: Plans,
) -> Plan {
    let placement = observed.placement(release);
    let case = Case {
        release,
        actions,
        placement: &placement,
        observed,
        plans,
    };
    let mut plan = Plan {
        revision: case.revision(),
        in_force: case.in_force(),
        ..Plan::default()
    };
    match observed.listed(&placement) {
        Err(unlisted) => plan.problem = Some(problem(unlisted, release)),
        Ok(listed) if listed.namespace != placement.namespace() => {
            elsewhere(&mut plan, &listed, release);
        }
        Ok(listed) if observed.is_unseen => unseen_there(&mut plan, &listed, &placement),
        Ok(listed) => {
            leave_others(&mut plan, &listed, &case);
            leave_missing(&mut plan, &listed, &case);
            leave_brought(&mut plan, &case);
            leave_pods_of_hooks(&mut plan, &listed, observed);
            actions::plan_within(&mut plan, &case);
        }
    }
    if placement.namespace() != release.namespace {
        plan.settle(placement.namespace());
    }
    if protected.iter().any(|one| one == placement.namespace()) {
        spare(&mut plan, placement.namespace());
    }
    actions::plan_deployers(&mut plan, &case);
    for (kind, why) in &observed.unlisted_kinds {
        let why = format!("cannot be listed, so none of that kind is contained: {why}");
        plan.leave(kind, None, "*", &why);
    }
    for (kind, why) in &observed.servers.unread {
        let why = format!(
            "cannot be read, so it is not known whether the release serves one that blocks others: {why}"
        );
        plan.leave(kind, None, "*", &why);
    }
    let why = "lies in a protected namespace, and may undo the rest: pause it by hand";
    plan.leave_if(why, |object| {
        let namespace = object.namespace.as_ref();
        namespace.is_some_and(|namespace| protected.contains(namespace))
    });
    plan.finish()
}

/// The plan of a Quarantine, if what is around its release was read.
pub(super) fn of(view: &View) -> Option<Plan> {
    let observed = view.observed.as_ref()?;
    let (release, actions) = (&view.release, &view.spec.actions);
    let protected = &view.protected;
    Some(plan(release, actions, observed, protected, view.plans()))
}

fn problem(unlisted: &Unlisted, release: &ReleaseId) -> (QuarantineReason, String) {
    match unlisted {
        Unlisted::NotFound => {
            let message = format!(
                "no release {} is recorded in namespace {}; name the Quarantine after a \
                 release that `helm list` shows there",
                release.name, release.namespace
            );
            (QuarantineReason::ReleaseNotFound, message)
        }
        Unlisted::Unfinished => {
            let message = "Helm or Argo CD is at work on the release; the quarantine begins \
                           when it has ended, or after a minute";
            (QuarantineReason::ProgressingWithRetry, message.to_owned())
        }
        Unlisted::Unreadable(message) => (QuarantineReason::ReleaseUnreadable, message.clone()),
    }
}

fn elsewhere(plan: &mut Plan, listed: &Listed, release: &ReleaseId) {
    let place = &listed.namespace;
    let message = format!(
        "the record in {} says that the release runs in {place}; a record is no proof of that, \
         so only its deployer is paused",
        release.namespace
    );
    for object in listed.objects.iter().filter(|object| runs_pods(object)) {
        let why = format!("runs in namespace {place}, the record lies elsewhere");
        plan.leave(&object.kind, None, &object.name, &why);
    }
    plan.problem = Some((QuarantineReason::OtherNamespace, message));
}

/// Leaves what is listed for a namespace that nobody looks at: that it is not there is not known.
fn unseen_there(plan: &mut Plan, listed: &Listed, placement: &Placement) {
    let namespace = placement.namespace();
    let outside = "outside the namespaces that the operator looks at";
    let workloads = listed.objects.iter().filter(|object| runs_pods(object));
    for object in workloads {
        let why =
            format!("was not seen, as it lies in namespace {namespace}, {outside}: it may run on");
        plan.leave_that(Runs::Pods, &object.kind, &object.name, &why);
    }
    if plan.uncontained.is_empty() {
        let why = format!("is {outside}: what the release runs there was not seen, and may run on");
        plan.leave_that(Runs::Pods, "Namespace", namespace, &why);
    }
}

/// Leaves everything but the deployer: nothing is changed in a protected namespace.
fn spare(plan: &mut Plan, namespace: &str) {
    plan.objects.clear();
    plan.shared.clear();
    let message = format!("namespace {namespace} is protected, so only the deployer is paused");
    plan.problem = Some((QuarantineReason::Protected, message));
}

/// Tells of what is listed and is no workload we know how to contain.
fn leave_others(plan: &mut Plan, listed: &Listed, case: &Case) {
    let (release, observed) = (case.release, case.observed);
    for object in &listed.objects {
        let foreign = object
            .namespace
            .as_ref()
            .filter(|n| **n != listed.namespace);
        if let Some(namespace) = foreign {
            if runs_pods(object) {
                let why = "lies in a namespace that is not the release's";
                plan.leave(&object.kind, Some(namespace), &object.name, why);
                plan.last_runs(unseen(object));
            }
        } else if object.generated && runs_pods(object) {
            let why = "has a generated name";
            plan.leave_that(unseen(object), &object.kind, &object.name, why);
        } else if object.api_version == "v1" && is_bare(&object.kind) {
            let why = "has no controller that could stop it and start it again";
            plan.leave_that(bare(object, observed), &object.kind, &object.name, why);
        } else if is_custom(&object.api_version) {
            let why = "is of a kind that others define; what it runs is not known";
            plan.leave(&object.kind, None, &object.name, why);
        }
    }
    for why in &listed.unreadable_records {
        let why = format!("cannot be used, so what it lists is not known: {why}");
        plan.leave("record", None, &release.name, &why);
    }
    if listed.unread > 0 {
        let why = format!("{} documents cannot be read as objects", listed.unread);
        plan.leave_that(Runs::Pods, "manifest", &release.name, &why);
    }
}

/// What is known of something that is listed, and that nobody looks at. Of kinds that others define it is
/// not known whether they run anything at all.
fn unseen(object: &ManifestObject) -> Runs {
    if is_custom(&object.api_version) {
        Runs::Not
    } else {
        Runs::Pods
    }
}

/// A Pod that has not ended runs, or will as soon as there is a node for it; what makes Pods goes on making
/// them.
fn bare(object: &ManifestObject, observed: &Observed) -> Runs {
    let neighbours = &observed.neighbours;
    let is_over = |pod: &Pod| object.kind == "Pod" && pod.has_ended;
    let makes = |pod: &Pod| pods::is_made_by(pod, &object.kind, &object.name, neighbours);
    if neighbours
        .pods
        .iter()
        .any(|pod| makes(pod) && !is_over(pod))
    {
        Runs::Pods
    } else {
        Runs::Not
    }
}

/// Tells of deployers that the release brings: what they deploy is another release, listed by another record.
fn leave_brought(plan: &mut Plan, case: &Case) {
    for object in &case.observed.brought {
        let target = Target::of_object(object);
        let other = target.filter(|target| !target::deploys(object, target, case.release));
        let Some(target) = other else {
            continue;
        };
        let (runs, why) = if target.is_held(object) {
            (Runs::Not, "rests, and what it has deployed before runs on")
        } else {
            (
                Runs::Pods,
                "deploys what no record of this release lists: suspend it, and contain that too",
            )
        };
        let text = |name: &str| fields::text(object, &["metadata", name]).unwrap_or_default();
        let namespace = Some(text("namespace")).filter(|place| *place != case.release.namespace);
        plan.leave(target.kind, namespace, text("name"), why);
        plan.last_runs(runs);
    }
}

/// Tells of workloads that are listed and are not there; nobody has looked in another cluster.
fn leave_missing(plan: &mut Plan, listed: &Listed, case: &Case) {
    let is_there = |kind: &str, name: &str| {
        case.observed.workloads.iter().any(|object| {
            fields::text(object, &["kind"]) == Some(kind)
                && fields::text(object, &["metadata", "name"]) == Some(name)
        })
    };
    for object in listed.objects.iter().filter(|object| !object.generated) {
        let is_missing = Target::of_manifest(object).is_some()
            && object
                .namespace
                .as_ref()
                .is_none_or(|namespace| *namespace == listed.namespace)
            && !is_there(&object.kind, &object.name);
        if is_missing {
            if let Some(cluster) = case.placement.other_cluster() {
                let why =
                    format!("is not here, and the Application deploys to {cluster}: stop it there");
                plan.leave_that(Runs::Pods, &object.kind, &object.name, &why);
                continue;
            }
            let why = "is listed and not there; should it appear, it is contained";
            plan.leave(&object.kind, None, &object.name, why);
        }
    }
}

/// Tells of Pods that hooks have made and that are there.
fn leave_pods_of_hooks(plan: &mut Plan, listed: &Listed, observed: &Observed) {
    let pods: Vec<&str> = observed
        .neighbours
        .pods
        .iter()
        .map(|pod| pod.name.as_str())
        .collect();
    for hook in listed.hooks.iter().filter(|hook| is_bare(&hook.kind)) {
        if hook.kind != "Pod" || pods.contains(&hook.name.as_str()) {
            let why = "was made by a hook, and has no controller that could stop it";
            plan.leave_that(bare(hook, observed), &hook.kind, &hook.name, why);
        }
    }
}

fn runs_pods(object: &ManifestObject) -> bool {
    Target::of_manifest(object).is_some()
        || (object.api_version == "v1" && is_bare(&object.kind))
        || is_custom(&object.api_version)
}

fn is_bare(kind: &str) -> bool {
    matches!(kind, "Pod" | "ReplicationController")
}

/// Kubernetes' own groups have no dot, or end in `.k8s.io`.
fn is_custom(api_version: &str) -> bool {
    let group = api_version.split_once('/').map(|(group, _)| group);
    group.is_some_and(|group| group.contains('.') && !group.ends_with(".k8s.io"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::super::neighbourhood::Neighbourhood;
    use super::super::observed::Starter;
    use super::super::servers::{Server, Servers};
    use super::*;
    use crate::api::bounds;
    use crate::api::quarantine::ContainedObject;

    /// Written out: another action is another plan, and has tests of its own.
    const EVERYTHING: &[QuarantineAction] = &[
        QuarantineAction::PauseDeployer,
        QuarantineAction::IsolateNetwork,
        QuarantineAction::ScaleToZero,
    ];

    fn web() -> ReleaseId {
        ReleaseId {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        }
    }

    fn listed(api_version: &str, kind: &str, name: &str) -> ManifestObject {
        ManifestObject {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: None,
            name: name.to_owned(),
            generated: false,
        }
    }

    fn deployment(name: &str) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "namespace": "shop", "name": name, "uid": format!("uid-{name}"),
                "labels": {"app.kubernetes.io/managed-by": "Helm"},
                "annotations": {
                    "meta.helm.sh/release-name": "web",
                    "meta.helm.sh/release-namespace": "shop",
                },
            },
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": name}}},
        })
    }

    /// A Pod of a `ReplicaSet` that the Deployment of this uid controls.
    fn pod(name: &str, app: &str, replica_set: &str) -> Value {
        json!({"metadata": {
            "name": name, "labels": {"app": app},
            "ownerReferences": [{"controller": true, "uid": replica_set}],
        }})
    }

    fn observed() -> Observed {
        Observed {
            listed: Ok(Listed {
                namespace: "shop".to_owned(),
                objects: vec![listed("apps/v1", "Deployment", "web")],
                revision: 7,
                ..Listed::default()
            }),
            workloads: vec![deployment("web")],
            deployers: Vec::new(),
            brought: Vec::new(),
            gone: BTreeSet::new(),
            servers: Servers::default(),
            unlisted_kinds: Vec::new(),
            is_unseen: false,
            autoscalers: Vec::new(),
            neighbours: Arc::new(Neighbourhood {
                pods: Pod::of(&pod("web-1", "web", "rs-web"))
                    .into_iter()
                    .collect(),
                intermediates: vec![json!({"metadata": {
                    "uid": "rs-web",
                    "ownerReferences": [{"controller": true, "uid": "uid-web"}],
                }})],
                pod_owners: vec![deployment("web")],
            }),
        }
    }

    fn neighbours(observed: &mut Observed) -> &mut Neighbourhood {
        Arc::make_mut(&mut observed.neighbours)
    }

    /// One good base, one change, and what is planned and left.
    fn planned(change: impl FnOnce(&mut Observed)) -> Plan {
        let mut observed = observed();
        change(&mut observed);
        plan(&web(), EVERYTHING, &observed, &[], Plans::of_a_person())
    }

    fn names(plan: &Plan) -> Vec<String> {
        let name = |object: &ContainedObject| format!("{} {}", object.kind, object.name);
        plan.objects.iter().map(name).collect()
    }

    fn left(plan: &Plan) -> Vec<&str> {
        plan.uncontained
            .iter()
            .map(|one| one.name.as_str())
            .collect()
    }

    #[test]
    fn a_release_is_isolated_and_then_stopped() {
        let plan = planned(|_| ());
        assert_eq!(
            names(&plan),
            ["NetworkPolicy charttrust-quarantine-web", "Deployment web"]
        );
        assert_eq!(plan.objects[1].original.as_deref(), Some("3"));
        assert_eq!(left(&plan), Vec::<&str>::new());
    }

    #[test]
    fn only_what_was_asked_for_is_planned() {
        let only = |action| {
            names(&plan(
                &web(),
                &[action],
                &observed(),
                &[],
                Plans::of_a_person(),
            ))
        };
        assert_eq!(only(QuarantineAction::ScaleToZero), ["Deployment web"]);
        assert_eq!(only(QuarantineAction::IsolateNetwork).len(), 1);
        assert_eq!(only(QuarantineAction::PauseDeployer), Vec::<String>::new());
    }

    #[test]
    fn a_workload_of_somebody_else_is_left() {
        let plan = planned(|observed| {
            let annotations = &mut observed.workloads[0]["metadata"]["annotations"];
            annotations["meta.helm.sh/release-name"] = json!("other");
        });
        assert_eq!(names(&plan), Vec::<String>::new());
        assert_eq!(left(&plan), ["web"]);
    }

    #[test]
    fn what_another_object_controls_is_left() {
        let plan = planned(|observed| {
            let owner = json!([{"controller": true, "kind": "Deployment", "uid": "maker"}]);
            observed.workloads[0]["kind"] = json!("ReplicaSet");
            observed.workloads[0]["metadata"]["ownerReferences"] = owner;
            let mut maker = deployment("maker");
            maker["metadata"]["uid"] = json!("maker");
            neighbours(observed).pod_owners.push(maker);
        });
        assert_eq!(names(&plan), Vec::<String>::new());
        assert!(left(&plan).contains(&"web"));
    }

    #[test]
    fn an_owner_that_makes_no_such_object_is_only_a_claim() {
        for (kind, uid) in [
            ("Namespace", "any"),
            ("Deployment", "uid-web"),
            ("Deployment", "nobody"),
        ] {
            let plan = planned(|observed| {
                let owner = json!([{"controller": true, "kind": kind, "uid": uid}]);
                observed.workloads[0]["metadata"]["ownerReferences"] = owner;
            });
            assert!(names(&plan).contains(&"Deployment web".to_owned()));
        }
    }

    #[test]
    fn pods_on_the_network_of_their_node_are_never_isolated() {
        let host = json!({"spec": {"hostNetwork": true}});
        let plan = planned(|observed| observed.workloads[0]["spec"]["template"] = host.clone());
        assert_eq!(names(&plan), ["Deployment web"]);
        assert_eq!(plan.host_network, ["Deployment web"]);
        let left_out = |actions: &[QuarantineAction]| {
            let mut observed = observed();
            observed.workloads[0]["spec"]["template"] = host.clone();
            super::plan(&web(), actions, &observed, &[], Plans::of_a_person()).left_out
        };
        assert_eq!(left_out(&[QuarantineAction::IsolateNetwork]), 1);
        assert_eq!(left_out(EVERYTHING), 0, "it is stopped");
    }

    #[test]
    fn finished_pods_of_others_are_nobody() {
        let plan = planned(|observed| {
            let mut done = pod("done", "web", "rs-other");
            done["status"]["phase"] = json!("Succeeded");
            neighbours(observed).pods.extend(Pod::of(&done));
        });
        assert_eq!(plan.shared, Vec::<String>::new());
    }

    #[test]
    fn what_a_hook_has_made_is_contained_or_told() {
        let hooked = |change: fn(&mut Value)| {
            planned(|observed| {
                let Ok(listed) = &mut observed.listed else {
                    panic!("it is listed");
                };
                listed.hooks = vec![self::listed("apps/v1", "Deployment", "late")];
                let mut late = deployment("late");
                change(&mut late);
                observed.workloads.push(late);
            })
        };
        assert!(names(&hooked(|_| ())).contains(&"Deployment late".to_owned()));
        let unmarked = hooked(|late| late["metadata"]["annotations"] = json!({}));
        assert_eq!(left(&unmarked), ["late"]);
        assert_eq!(unmarked.left_out, 1);
    }

    #[test]
    fn a_kind_that_may_not_be_listed_is_told() {
        let plan = planned(|observed| {
            let kind = ("Application".to_owned(), "no right".to_owned());
            observed.unlisted_kinds.push(kind);
        });
        assert_eq!(names(&plan).len(), 2);
        assert!(plan.uncontained[0].message.contains("no right"));
    }

    #[test]
    fn what_is_stopped_already_is_not_stopped() {
        let plan = planned(|observed| observed.workloads[0]["spec"]["replicas"] = json!(0));
        assert_eq!(names(&plan), ["NetworkPolicy charttrust-quarantine-web"]);
    }

    #[test]
    fn a_job_is_suspended_only_while_no_pod_of_it_has_run() {
        let job = |status: Value| {
            let mut job = deployment("web");
            job["apiVersion"] = json!("batch/v1");
            job["kind"] = json!("Job");
            job["spec"] = json!({"suspend": false});
            job["status"] = status;
            plan(
                &web(),
                &[QuarantineAction::ScaleToZero],
                &Observed {
                    listed: Ok(Listed {
                        namespace: "shop".to_owned(),
                        objects: vec![listed("batch/v1", "Job", "web")],
                        ..Listed::default()
                    }),
                    workloads: vec![job],
                    ..observed()
                },
                &[],
                Plans::of_a_person(),
            )
        };
        assert_eq!(names(&job(json!({}))), ["Job web"]);
        for status in ["active", "failed", "succeeded", "terminating", "ready"] {
            let plan = job(json!({ status: 1 }));
            assert_eq!(names(&plan), Vec::<String>::new(), "{status}");
            assert_eq!(left(&plan), ["web"], "{status}");
        }
        let complete = json!({"succeeded": 1,
            "conditions": [{"type": "Complete", "status": "True"}]});
        assert_eq!(left(&job(complete)), Vec::<&str>::new());
    }

    #[test]
    fn pods_of_others_with_the_same_labels_keep_their_network() {
        let plan = planned(|observed| {
            neighbours(observed)
                .pods
                .extend(Pod::of(&pod("stranger", "web", "rs-other")));
        });
        assert_eq!(names(&plan), ["Deployment web"]);
        assert_eq!(plan.shared, ["Deployment web"]);
        assert!(plan.uncontained[0].message.contains("stranger"));
        let apart = planned(|observed| {
            neighbours(observed)
                .pods
                .extend(Pod::of(&pod("stranger", "other", "rs-other")));
        });
        assert_eq!(apart.shared, Vec::<String>::new());
    }

    #[test]
    fn what_will_make_pods_with_the_same_labels_counts_before_it_has_any() {
        let template = json!({"metadata": {"labels": {"app": "web"}}});
        let maker = |kind: &str, spec: Value| json!({"kind": kind, "metadata": {"name": "stranger", "uid": "other"}, "spec": spec});
        let idle = maker("Deployment", json!({"replicas": 0, "template": template}));
        let nightly = maker(
            "CronJob",
            json!({"jobTemplate": {"spec": {"template": template}}}),
        );
        let told = |change: fn(&mut Observed, Value), maker: &Value| {
            planned(|observed| change(observed, maker.clone())).shared
        };
        let is_pod_owner: fn(&mut Observed, Value) =
            |observed, maker| neighbours(observed).pod_owners.push(maker);
        let is_intermediate: fn(&mut Observed, Value) =
            |observed, maker| neighbours(observed).intermediates.push(maker);
        assert_eq!(told(is_pod_owner, &idle), ["Deployment web"]);
        assert_eq!(told(is_pod_owner, &nightly), ["Deployment web"]);
        let job = maker("Job", json!({"template": template}));
        assert_eq!(told(is_intermediate, &job), ["Deployment web"]);

        let mut ended = job.clone();
        ended["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
        assert_eq!(told(is_intermediate, &ended), Vec::<String>::new());
        // An old ReplicaSet makes no Pods by itself; what controls it is looked at.
        let mut old = job.clone();
        old["kind"] = json!("ReplicaSet");
        old["metadata"]["ownerReferences"] = json!([{"controller": true, "uid": "uid-web"}]);
        assert_eq!(told(is_intermediate, &old), Vec::<String>::new());
        let apart = maker(
            "Deployment",
            json!({"template": {"metadata": {"labels": {"app": "x"}}}}),
        );
        assert_eq!(told(is_pod_owner, &apart), Vec::<String>::new());
    }

    #[test]
    fn a_job_that_a_cron_job_has_started_is_told_until_it_ends() {
        let with = |status: Value| {
            planned(|observed| {
                let mut nightly = deployment("nightly");
                nightly["apiVersion"] = json!("batch/v1");
                nightly["kind"] = json!("CronJob");
                nightly["spec"] = json!({"suspend": false});
                observed.workloads.push(nightly);
                neighbours(observed).intermediates.push(json!({
                    "kind": "Job", "status": status,
                    "metadata": {"name": "nightly-1", "uid": "job", "ownerReferences": [
                        {"controller": true, "uid": "uid-nightly"},
                    ]},
                }));
            })
        };
        let told = |plan: &Plan| left(plan).contains(&"nightly-1");
        let running = with(json!({"active": 1}));
        assert!(names(&running).contains(&"CronJob nightly".to_owned()));
        assert!(told(&running));
        let complete = json!({"conditions": [{"type": "Complete", "status": "True"}]});
        assert!(!told(&with(complete)));
    }

    #[test]
    fn a_deployer_in_a_protected_namespace_is_left_and_told() {
        let mut observed = observed();
        observed.deployers.push(flux(7));
        let with = |protected: &[String]| {
            plan(
                &web(),
                EVERYTHING,
                &observed,
                protected,
                Plans::of_a_person(),
            )
        };
        assert_eq!(with(&["kube-system".to_owned()]), with(&[]));
        let plan = with(&["flux".to_owned()]);
        assert_eq!(
            names(&plan),
            ["NetworkPolicy charttrust-quarantine-web", "Deployment web"]
        );
        assert_eq!(left(&plan), ["web"]);
        assert_eq!(plan.uncontained[0].namespace.as_deref(), Some("flux"));
        assert!(plan.uncontained[0].message.contains("pause it by hand"));
    }

    #[test]
    fn a_workload_that_selects_everything_is_not_isolated() {
        let plan = planned(|observed| observed.workloads[0]["spec"]["selector"] = json!({}));
        assert_eq!(names(&plan), ["Deployment web"]);
        assert_eq!(left(&plan), ["web"]);
    }

    #[test]
    fn what_cannot_be_contained_is_told() {
        let plan = planned(|observed| {
            let objects = &mut observed.listed.as_mut().unwrap().objects;
            objects.push(listed("v1", "Pod", "bare"));
            objects.push(listed("v1", "ConfigMap", "settings"));
            objects.push(listed("kafka.strimzi.io/v1", "Kafka", "events"));
            objects.push(listed("networking.k8s.io/v1", "Ingress", "front"));
            let mut far = listed("apps/v1", "Deployment", "far");
            far.namespace = Some("bank".to_owned());
            objects.push(far);
            let mut made = listed("batch/v1", "Job", "made-");
            made.generated = true;
            objects.push(made);
        });
        assert_eq!(left(&plan), ["far", "made-", "events", "bare"]);
        assert_eq!(plan.uncontained[0].namespace.as_deref(), Some("bank"));
    }

    #[test]
    fn a_listed_workload_that_is_not_there_is_told() {
        let plan = planned(|observed| {
            let objects = &mut observed.listed.as_mut().unwrap().objects;
            objects.push(listed("apps/v1", "StatefulSet", "later"));
        });
        assert_eq!(left(&plan), ["later"]);
    }

    #[test]
    fn a_record_that_lies_elsewhere_contains_no_workload() {
        let plan = planned(|observed| {
            observed.listed.as_mut().unwrap().namespace = "bank".to_owned();
        });
        assert_eq!(names(&plan), Vec::<String>::new());
        assert_eq!(left(&plan), ["web"]);
        let (reason, _) = plan.problem.unwrap();
        assert_eq!(reason, QuarantineReason::OtherNamespace);
    }

    #[test]
    fn without_a_readable_record_nothing_is_planned() {
        for (unlisted, reason) in [
            (Unlisted::NotFound, QuarantineReason::ReleaseNotFound),
            (
                Unlisted::Unreadable("no gzip".to_owned()),
                QuarantineReason::ReleaseUnreadable,
            ),
            (Unlisted::Unfinished, QuarantineReason::ProgressingWithRetry),
        ] {
            let plan = planned(|observed| observed.listed = Err(unlisted));
            assert_eq!(names(&plan), Vec::<String>::new());
            assert_eq!(plan.problem.unwrap().0, reason);
        }
    }

    fn flux(version: u64) -> Value {
        json!({
            "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
            "metadata": {"namespace": "flux", "name": "web", "uid": "flux-web"},
            "spec": {},
            "status": {"storageNamespace": "shop", "history": [{"name": "web", "version": version}]},
        })
    }

    #[test]
    fn a_deployer_is_paused_before_all_else_if_it_deployed_this_revision() {
        let plan = planned(|observed| observed.deployers.push(flux(7)));
        assert_eq!(plan.objects[0].kind, "HelmRelease");
        assert_eq!(plan.objects[0].namespace.as_deref(), Some("flux"));
        assert_eq!(plan.objects[0].original, None);
        let older = planned(|observed| observed.deployers.push(flux(6)));
        assert_eq!(older.objects[0].kind, "NetworkPolicy");
        assert_eq!(left(&older), ["web"]);
    }

    #[test]
    fn a_deployer_that_is_not_to_be_paused_is_told_and_one_that_is_paused_stays_so() {
        let told = |suspend: bool, actions: &[QuarantineAction]| {
            let mut observed = observed();
            observed.deployers.push(flux(7));
            observed.deployers[0]["spec"]["suspend"] = json!(suspend);
            plan(&web(), actions, &observed, &[], Plans::of_a_person())
        };
        let stop = [QuarantineAction::ScaleToZero];
        assert_eq!(left(&told(false, &stop)), ["web"]);
        assert_eq!(left(&told(true, &stop)), Vec::<&str>::new());
        assert_eq!(names(&told(true, EVERYTHING)).len(), 2);
    }

    #[test]
    fn an_autoscaler_is_recorded_and_not_changed() {
        let plan = planned(|observed| {
            observed.autoscalers.push(json!({
                "metadata": {"name": "web-hpa"},
                "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}},
            }));
        });
        assert_eq!(plan.objects[1].autoscaler.as_deref(), Some("web-hpa"));
        assert_eq!(names(&plan).len(), 2);
    }

    #[test]
    fn a_field_too_large_to_be_saved_is_left() {
        let plan = planned(|observed| {
            let owned = json!({"f:spec": {"f:replicas": {"x".repeat(bounds::SAVED): {}}}});
            observed.workloads[0]["metadata"]["managedFields"] =
                json!([{"manager": "a", "time": "now", "fieldsV1": owned}]);
        });
        assert_eq!(names(&plan).len(), 1);
        assert_eq!(left(&plan), ["web"]);
    }

    fn serving(by: Starter, change: impl FnOnce(&mut Observed)) -> Plan {
        let mut observed = observed();
        let labels = json!({"metadata": {"labels": {"app": "web"}}});
        observed.workloads[0]["spec"]["template"] = labels;
        observed.servers.all.push(Server {
            what: "APIService v1.guard".to_owned(),
            selector: [("app".to_owned(), "web".to_owned())].into(),
            port: None,
        });
        change(&mut observed);
        let plans = Plans {
            by,
            ..Plans::of_a_person()
        };
        super::plan(&web(), EVERYTHING, &observed, &[], plans)
    }

    /// Kubernetes gives the annotations of a Deployment to its `ReplicaSets`, and not the label.
    #[test]
    fn what_a_deployment_has_made_is_told_when_nothing_manages_it_any_more() {
        let left = |owner: &str, change: fn(&mut Value)| {
            let plan = planned(|observed| {
                let mut set = deployment("orphan");
                set["kind"] = json!("ReplicaSet");
                set["metadata"]["labels"] = json!({});
                set["metadata"]["ownerReferences"] =
                    json!([{"controller": true, "kind": "Deployment", "uid": owner}]);
                let all = neighbours(observed);
                all.intermediates.push(set);
                change(&mut all.pod_owners[0]);
            });
            plan.left_out
        };
        assert_eq!(left("uid-web", |_| ()), 0);
        assert_eq!(left("uid-gone", |_| ()), 1);
        let goes = |web: &mut Value| {
            web["metadata"]["deletionTimestamp"] = json!("2026-11-18T00:00:00Z");
        };
        assert_eq!(left("uid-web", goes), 1, "a finalizer keeps it for ever");
    }

    #[test]
    fn what_may_make_a_pod_is_never_counted_as_stopped() {
        let left_out = |kind: &str, name: &str, change: fn(&mut Observed)| {
            let plan = planned(|observed| {
                let listed = self::listed("v1", kind, name);
                observed.listed.as_mut().unwrap().objects.push(listed);
                change(observed);
            });
            plan.left_out
        };
        assert_eq!(left_out("Pod", "bare", |_| ()), 0, "it is not there");
        let pending = |observed: &mut Observed| {
            let bare = pod("bare", "bare", "nobody");
            neighbours(observed).pods.extend(Pod::of(&bare));
        };
        assert_eq!(left_out("Pod", "bare", pending), 1);
        let over = |observed: &mut Observed| {
            let mut bare = pod("bare", "bare", "nobody");
            bare["status"] = json!({"phase": "Succeeded"});
            neighbours(observed).pods.extend(Pod::of(&bare));
        };
        assert_eq!(left_out("Pod", "bare", over), 0);
        let between = |observed: &mut Observed| {
            let mut job = deployment("tries");
            job["apiVersion"] = json!("batch/v1");
            job["kind"] = json!("Job");
            job["status"] = json!({"failed": 1});
            observed.workloads.push(job);
        };
        assert_eq!(left_out("Job", "other", between), 1);
    }

    #[test]
    fn a_deployer_that_the_release_brings_is_told_and_runs_unless_it_rests() {
        let left_out = |suspend: bool, is_own: bool| {
            let plan = planned(|observed| {
                let mut child = flux(7);
                child["spec"]["suspend"] = json!(suspend);
                if !is_own {
                    child["status"]["history"][0]["name"] = json!("child");
                }
                observed.brought.push(child);
            });
            plan.left_out
        };
        assert_eq!(left_out(false, false), 1);
        assert_eq!(left_out(true, false), 0);
        assert_eq!(left_out(false, true), 0, "it deploys this very release");
    }

    #[test]
    fn what_the_api_server_calls_waits_for_a_person() {
        let waits = serving(Starter::Policy, |_| ());
        assert_eq!(names(&waits), Vec::<String>::new());
        assert_eq!(waits.left_out, 1, "it runs, and is named once");
        let left = &waits.uncontained[0];
        assert_eq!(left.waits_for.as_deref(), Some("APIService v1.guard"));
        assert!(left.message.contains("charttrust quarantine"), "{left:?}");
        let by_hand = serving(Starter::Person, |_| ());
        assert_eq!(names(&by_hand).len(), 2);
        assert_eq!(self::left(&by_hand), ["v1.guard"], "told how to get out");
    }

    #[test]
    fn what_serves_nobody_is_contained_at_once() {
        let contained = |change: fn(&mut Observed)| {
            let plan = serving(Starter::Policy, change);
            assert_eq!(names(&plan).len(), 2, "{:?}", plan.uncontained);
        };
        contained(|observed| observed.servers = Servers::default());
        contained(|observed| {
            observed.servers.all[0].selector = [("app".to_owned(), "nobody".to_owned())].into();
        });
        contained(|observed| observed.servers.all[0].port = Some("webhook".to_owned()));
    }

    #[test]
    fn others_with_the_labels_of_what_waits_are_stopped_and_not_isolated() {
        let plan = serving(Starter::Policy, |observed| {
            let mut beside = deployment("beside");
            beside["spec"]["selector"] = observed.workloads[0]["spec"]["selector"].clone();
            observed.workloads.push(beside);
        });
        assert_eq!(names(&plan), ["Deployment beside"]);
        assert_eq!(plan.shared, ["Deployment beside"]);
    }

    #[test]
    fn what_may_not_be_read_is_told_and_contains_the_rest() {
        let plan = planned(|observed| {
            let forbidden = ("APIService".to_owned(), "may not".to_owned());
            observed.servers.unread.push(forbidden);
        });
        assert_eq!(names(&plan).len(), 2);
        assert_eq!(left(&plan), ["*"]);
    }
}
