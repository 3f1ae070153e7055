//! What is planned and written where Argo CD deploys: tests over the very plan and steps that the
//! operator runs.

use std::collections::{BTreeMap, BTreeSet};

use charttrust_verify::release::ManifestObject;
use serde_json::{Value, json};

use super::actions;
use super::incident::IncidentId;
use super::listed::{Listed, Unlisted};
use super::observed::{Observed, Plans};
use super::plan::plan;
use super::planned::Plan;
use super::servers::Servers;
use super::step::next;
use super::view::{Again, View};
use super::write::Write;
use crate::api::quarantine::{ContainedObject, ObjectState, QuarantineSpec, QuarantineStatus};
use crate::api::quarantine_words::{QuarantineAction, QuarantineReason};
use crate::inventory::ReleaseId;

/// Written out: another action is another plan, and has tests of its own.
const EVERYTHING: &[QuarantineAction] = &[
    QuarantineAction::PauseDeployer,
    QuarantineAction::IsolateNetwork,
    QuarantineAction::ScaleToZero,
];

/// The Application `shop` of Argo CD, as a release.
fn shop() -> ReleaseId {
    ReleaseId {
        namespace: "argocd".to_owned(),
        name: "argocd.shop".to_owned(),
    }
}

/// A release with a record that Argo CD has taken over.
fn web() -> ReleaseId {
    ReleaseId {
        namespace: "web".to_owned(),
        name: "web".to_owned(),
    }
}

fn application() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"namespace": "argocd", "name": "shop", "uid": "app", "resourceVersion": "1"},
        "spec": {
            "destination": {"namespace": "web"},
            "syncPolicy": {"automated": {"selfHeal": true}},
        },
        "status": {"controllerNamespace": "argocd", "resources": [resource("a"), resource("b")]},
    })
}

fn resource(name: &str) -> Value {
    json!({"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "web", "name": name})
}

/// A workload that carries a tracking id of this Application.
fn workload(name: &str, application: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "namespace": "web", "name": name, "uid": format!("uid-{name}"), "resourceVersion": "1",
            "annotations": {
                "argocd.argoproj.io/tracking-id": format!("{application}:apps/Deployment:web/{name}"),
            },
        },
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": name}}},
    })
}

fn observed() -> Observed {
    Observed {
        listed: Err(Unlisted::NotFound),
        workloads: vec![workload("a", "shop"), workload("b", "other")],
        brought: Vec::new(),
        deployers: vec![application()],
        autoscalers: Vec::new(),
        neighbours: std::sync::Arc::default(),
        gone: BTreeSet::new(),
        servers: Servers::default(),
        unlisted_kinds: Vec::new(),
        is_unseen: false,
    }
}

/// The same objects as a release of Helm.
fn recorded() -> Observed {
    let listed = |name: &str| ManifestObject {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: None,
        name: name.to_owned(),
        generated: false,
    };
    let mut observed = observed();
    observed.listed = Ok(Listed {
        namespace: "web".to_owned(),
        objects: vec![listed("a"), listed("b")],
        ..Listed::default()
    });
    for workload in &mut observed.workloads {
        let metadata = &mut workload["metadata"];
        metadata["labels"] = json!({"app.kubernetes.io/managed-by": "Helm"});
        metadata["annotations"]["meta.helm.sh/release-name"] = json!("web");
        metadata["annotations"]["meta.helm.sh/release-namespace"] = json!("web");
    }
    observed
}

fn places(plan: &Plan) -> Vec<String> {
    let place = |object: &ContainedObject| {
        let namespace = object.namespace.as_deref().unwrap_or("-");
        format!("{} {namespace}/{}", object.kind, object.name)
    };
    plan.objects.iter().map(place).collect()
}

fn left(plan: &Plan) -> Vec<String> {
    let told = plan.uncontained.iter();
    told.map(|one| format!("{} {}", one.kind, one.name))
        .collect()
}

#[test]
fn an_application_is_paused_and_what_carries_its_tracking_id_is_contained() {
    let plan = plan(&shop(), EVERYTHING, &observed(), &[], Plans::of_a_person());
    assert_eq!(
        places(&plan),
        [
            "Application -/shop",
            "NetworkPolicy web/charttrust-quarantine-argocd.shop",
            "Deployment web/a",
        ]
    );
    let original = plan.objects[0].original.as_deref();
    assert_eq!(original, Some("{\"selfHeal\":true}"));
    assert_eq!(left(&plan), ["Deployment b"]);
    assert_eq!(plan.uncontained[0].namespace.as_deref(), Some("web"));
    assert_eq!(plan.problem, None);
}

#[test]
fn without_an_application_there_is_no_release() {
    let mut observed = observed();
    observed.deployers[0]["metadata"]["namespace"] = json!("tenant");
    let plan = plan(&shop(), EVERYTHING, &observed, &[], Plans::of_a_person());
    assert_eq!(places(&plan), Vec::<String>::new());
    assert_eq!(plan.problem.unwrap().0, QuarantineReason::ReleaseNotFound);
}

/// Where only some namespaces are looked at: that nothing was seen there is no word that nothing is there.
#[test]
fn what_an_application_deploys_where_nobody_looks_was_not_seen_and_may_run() {
    let unseen = |resources: Value| {
        let mut observed = observed();
        observed.is_unseen = true;
        observed.workloads = Vec::new();
        observed.deployers[0]["status"]["resources"] = resources;
        plan(&shop(), EVERYTHING, &observed, &[], Plans::of_a_person())
    };
    let config = json!({"version": "v1", "kind": "ConfigMap", "namespace": "web", "name": "c"});
    for (resources, expected) in [
        (
            json!([resource("a"), resource("b"), config]),
            &["Deployment a", "Deployment b"][..],
        ),
        (json!([config]), &["Namespace web"][..]),
        (json!([]), &["Namespace web"][..]),
    ] {
        let plan = unseen(resources);
        assert_eq!(places(&plan), ["Application -/shop"]);
        assert_eq!(left(&plan), expected);
        assert_eq!(plan.left_out, expected.len(), "it is not contained");
        for one in &plan.uncontained {
            let said = &one.message;
            assert!(
                said.contains("outside the namespaces that the operator looks at"),
                "{said}"
            );
            assert!(
                said.contains("may run on") && !said.contains("not there"),
                "{said}"
            );
            assert_eq!(one.namespace.as_deref(), Some("web"));
        }
    }
}

#[test]
fn an_application_without_automated_sync_is_left_and_its_workloads_are_contained() {
    let mut observed = observed();
    observed.deployers[0]["spec"]["syncPolicy"] = json!({});
    let plan = plan(
        &shop(),
        &[
            QuarantineAction::PauseDeployer,
            QuarantineAction::ScaleToZero,
        ],
        &observed,
        &[],
        Plans::of_a_person(),
    );
    assert_eq!(places(&plan), ["Deployment web/a"]);
}

#[test]
fn an_application_that_deploys_one_release_of_helm_is_paused_with_it() {
    let paused = |change: fn(&mut Observed)| {
        let mut observed = recorded();
        change(&mut observed);
        let plan = plan(
            &web(),
            &[QuarantineAction::PauseDeployer],
            &observed,
            &[],
            Plans::of_a_person(),
        );
        (places(&plan), left(&plan))
    };
    let none = Vec::<String>::new;
    let whole = (vec!["Application argocd/shop".to_owned()], none());
    assert_eq!(paused(|_| ()), whole);
    let deploys_more = |observed: &mut Observed| {
        let resources = observed.deployers[0]["status"]["resources"].as_array_mut();
        resources.unwrap().push(resource("c"));
    };
    assert_eq!(
        paused(deploys_more),
        (none(), vec!["Application shop".to_owned()])
    );
    let tracks_nothing =
        |observed: &mut Observed| observed.workloads = vec![workload("b", "other")];
    let missing = vec!["Deployment a".to_owned()];
    assert_eq!(paused(tracks_nothing), (none(), missing));
    let is_not_helms = |observed: &mut Observed| {
        observed.workloads[0]["metadata"]["labels"] = json!({});
    };
    assert_eq!(paused(is_not_helms), (none(), none()));
}

/// A quarantine whose status names these objects, as anybody could have written who may write it.
fn recorded_as(
    release: ReleaseId,
    observed: Observed,
    records: Vec<(ContainedObject, Value)>,
) -> View {
    let (objects, live): (Vec<_>, Vec<_>) = records.into_iter().unzip();
    View {
        release,
        uid: "uid".to_owned(),
        generation: 1,
        resource_version: "1".to_owned(),
        has_finalizer: true,
        is_ending: false,
        word: super::view::Word::Nothing,
        spec: QuarantineSpec {
            actions: EVERYTHING.to_vec(),
            reason: "a test".to_owned(),
            policy: None,
        },
        by: super::observed::Starter::Person,
        status: QuarantineStatus {
            incident: Some("manual/uid".to_owned()),
            objects,
            ..QuarantineStatus::default()
        },
        incident: IncidentId::Manual("uid".to_owned()),
        observed: Some(observed),
        plan: None,
        again: Again::SameRevision,
        created: None,
        live: live.into_iter().map(Some).collect(),
        allowing: Vec::new(),
        foreign_pods: BTreeMap::new(),
        errors: BTreeMap::new(),
        conflicts: BTreeMap::new(),
        freeze: crate::quarantine::Freeze::default(),
        since: None,
        is_going: false,
        protected: Vec::new(),
        now: "2026-11-18T10:00:00Z".parse().unwrap(),
    }
}

fn record(namespace: Option<&str>, object: &Value) -> (ContainedObject, Value) {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap()
            .to_owned()
    };
    let kind = text("/kind");
    let (action, original) = match kind.as_str() {
        "Application" => (QuarantineAction::PauseDeployer, "{\"selfHeal\":true}"),
        _ => (QuarantineAction::ScaleToZero, "3"),
    };
    let record = ContainedObject {
        action,
        api_version: text("/apiVersion"),
        kind,
        namespace: namespace.map(str::to_owned),
        name: text("/metadata/name"),
        uid: Some(text("/metadata/uid")),
        original: Some(original.to_owned()),
        owners: None,
        selector: None,
        autoscaler: None,
        undone: None,
        left_by: None,
        when_scaled: None,
        revision: Some(0),
        state: ObjectState::Planned,
        message: None,
    };
    (record, object.clone())
}

fn is_changed(view: &View) -> bool {
    matches!(actions::contain(view, 0), Some(Write::Change(0, _)))
}

#[test]
fn only_what_both_sides_say_is_changed_whatever_the_status_names() {
    let changes = |namespace: Option<&str>, object: &Value| {
        is_changed(&recorded_as(
            shop(),
            observed(),
            vec![record(namespace, object)],
        ))
    };
    assert!(changes(Some("web"), &workload("a", "shop")));
    assert!(changes(Some("web"), &workload("a", "argocd_shop")));
    assert!(!changes(Some("web"), &workload("b", "other")));
    assert!(
        !changes(None, &workload("a", "shop")),
        "in the namespace of the Quarantine"
    );
    assert!(
        !changes(Some("bank"), &workload("a", "shop")),
        "beyond the destination"
    );
    assert!(!changes(Some("web"), &workload("c", "shop")), "not listed");
    let mut helms = recorded().workloads[0].clone();
    helms["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = json!("x");
    assert!(
        !changes(Some("web"), &helms),
        "Helm's marks count for records only"
    );
}

#[test]
fn without_its_application_nothing_more_is_changed() {
    let mut view = recorded_as(
        shop(),
        observed(),
        vec![record(Some("web"), &workload("a", "shop"))],
    );
    assert!(is_changed(&view));
    view.observed.as_mut().unwrap().deployers.clear();
    assert!(!is_changed(&view));
    view.observed = None;
    assert!(!is_changed(&view));
}

#[test]
fn nothing_is_changed_in_a_protected_destination() {
    let protect = |mut view: View| {
        view.protected = vec!["web".to_owned()];
        view
    };
    let workload = record(Some("web"), &workload("a", "shop"));
    assert!(!is_changed(&protect(recorded_as(
        shop(),
        observed(),
        vec![workload]
    ))));
    let mut view = protect(recorded_as(shop(), observed(), Vec::new()));
    view.status = QuarantineStatus::default();
    let Some(Write::Status(status)) = next(&view) else {
        panic!("the plan is saved");
    };
    let kinds: Vec<_> = status.objects.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(kinds, ["Application"]);
    assert_eq!(status.conditions[0].reason, "Protected");
}

#[test]
fn an_application_is_paused_only_with_proof_at_that_moment() {
    let paused = |change: fn(&mut Observed)| {
        let mut observed = recorded();
        change(&mut observed);
        let application = observed.deployers[0].clone();
        is_changed(&recorded_as(
            web(),
            observed,
            vec![record(Some("argocd"), &application)],
        ))
    };
    assert!(paused(|_| ()));
    assert!(!paused(|observed| observed.workloads.clear()));
    assert!(!paused(|observed| observed.listed = Err(Unlisted::NotFound)));
}

#[test]
fn a_denial_beyond_the_namespace_is_made_only_as_planned() {
    let planned = plan(&shop(), EVERYTHING, &observed(), &[], Plans::of_a_person());
    let denial = planned.objects[1].clone();
    let makes = |change: fn(&mut ContainedObject)| {
        let mut denial = denial.clone();
        change(&mut denial);
        let mut view = recorded_as(shop(), observed(), vec![(denial, Value::Null)]);
        view.live = vec![None];
        view.plan = Some(planned.clone());
        match actions::contain(&view, 0) {
            Some(Write::Create(0, policy)) => Some(policy["metadata"]["namespace"].clone()),
            _ => None,
        }
    };
    assert_eq!(makes(|_| ()), Some(json!("web")));
    assert_eq!(
        makes(|denial| denial.selector = Some("{}".to_owned())),
        None
    );
    assert_eq!(
        makes(|denial| denial.name = "lets-nothing-through".to_owned()),
        None
    );
    assert_eq!(
        makes(|denial| denial.namespace = Some("bank".to_owned())),
        None
    );
    assert_eq!(makes(|denial| denial.namespace = None), None);
}
