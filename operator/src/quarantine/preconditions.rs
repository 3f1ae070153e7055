//! Every precondition of a write, alone: each of these turns red when the one that it names is gone.
//! What happens when several things go wrong at once is told by [`super::crash`].

use serde_json::{Value, json};

use super::annotation::Annotation;
use super::apply::{WriteError, apply};
use super::drift::Drift;
use super::listed::Unlisted;
use super::neighbourhood::Neighbourhoods;
use super::observed::Plans;
use super::original::Original;
use super::step::next;
use super::view::View;
use super::write::{Precondition, Write};
use super::{ANNOTATION, FINALIZER, actions, run};
use crate::api::Quarantine;
use crate::api::bounds;
use crate::api::conditions::find;
use crate::api::quarantine::{QuarantineStatus, UncontainedObject};
use crate::api::quarantine_words::{QuarantineAction, QuarantineCondition, QuarantineReason};
use crate::fake_cluster::FakeCluster;
use crate::inventory::ReleaseId;

const UID: &str = "quarantine-uid";

fn release() -> ReleaseId {
    ReleaseId {
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
    }
}

fn quarantine(objects: &Value) -> Value {
    json!({
        "apiVersion": "charttrust.io/v1alpha1", "kind": "Quarantine",
        "metadata": {"namespace": "shop", "name": "web", "uid": UID, "resourceVersion": "8",
            "generation": 1, "finalizers": [FINALIZER]},
        "spec": {"reason": "a test", "actions": ["PauseDeployer", "IsolateNetwork", "ScaleToZero"]},
        "status": {"incident": "manual/quarantine-uid", "objects": objects},
    })
}

/// A quarantine that recorded one object, which looks like this now.
#[expect(
    clippy::needless_pass_by_value,
    reason = "callers pass what json! makes"
)]
fn view(record: Value, live: Value) -> View {
    let object: Quarantine = serde_json::from_value(quarantine(&json!([record]))).unwrap();
    let mut view = View::of(&release(), &object, "2026-11-18T10:00:00Z".parse().unwrap());
    view.live = vec![(!live.is_null()).then_some(live)];
    view
}

fn ending(record: Value, live: Value) -> View {
    View {
        is_ending: true,
        ..view(record, live)
    }
}

fn record(state: &str) -> Value {
    json!({"action": "ScaleToZero", "apiVersion": "apps/v1", "kind": "Deployment", "name": "web",
        "uid": "web-uid", "original": "3", "state": state})
}

fn deployment(replicas: u32, annotation: Option<&Annotation>) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "namespace": "shop", "name": "web", "uid": "web-uid", "resourceVersion": "41",
            "labels": {"app.kubernetes.io/managed-by": "Helm"},
            "annotations": {
                "meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop",
            },
        },
        "spec": {"replicas": replicas},
    });
    if let Some(annotation) = annotation {
        object["metadata"]["annotations"][ANNOTATION] = annotation.text();
    }
    object
}

fn annotation() -> Annotation {
    Annotation {
        incident: "manual/quarantine-uid".to_owned(),
        quarantine: UID.to_owned(),
        uid: Some("web-uid".to_owned()),
        when_scaled: None,
        revision: None,
        time: "2026-11-18T10:00:00Z".to_owned(),
        original: Original::of(Some(&json!(3))),
        owners: Vec::new(),
    }
}

/// On a policy, whose uid nobody knows before it is made.
fn made() -> Annotation {
    Annotation {
        uid: None,
        ..annotation()
    }
}

/// The operations of the patch that comes next, if one comes.
fn change(view: &View) -> Option<Vec<Value>> {
    match next(view) {
        Some(Write::Change(_, operations)) => Some(
            operations
                .iter()
                .map(|operation| serde_json::to_value(operation).unwrap())
                .collect(),
        ),
        _ => None,
    }
}

fn tested(operations: &[Value], path: &str) -> Option<Value> {
    let is_test = |one: &&Value| one["op"] == "test" && one["path"] == path;
    operations
        .iter()
        .find(is_test)
        .map(|one| one["value"].clone())
}

const VERSION: &str = "/metadata/resourceVersion";
const CARRIED: &str = "/metadata/annotations/charttrust.io~1quarantine";

#[test]
fn every_patch_is_for_the_version_it_was_made_from() {
    let annotation = annotation();
    let mut owned = deployment(3, None);
    owned["metadata"]["managedFields"] = json!([{"manager": "charttrust", "operation": "Update",
        "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": {}}]);
    for (what, view) in [
        ("containing", view(record("Planned"), deployment(3, None))),
        (
            "restoring",
            ending(record("Contained"), deployment(0, Some(&annotation))),
        ),
        (
            "leaving a newer value",
            ending(record("Contained"), deployment(7, Some(&annotation))),
        ),
        ("giving fields back", ending(record("Contained"), owned)),
    ] {
        let operations = change(&view).unwrap_or_else(|| panic!("{what}: no patch"));
        assert_eq!(tested(&operations, VERSION), Some(json!("41")), "{what}");
        let is_marked = what == "restoring" || what == "leaving a newer value";
        let carried = is_marked.then(|| annotation.text());
        assert_eq!(tested(&operations, CARRIED), carried, "{what}");
    }
}

#[test]
fn what_was_contained_once_is_not_contained_again() {
    assert!(change(&view(record("Planned"), deployment(3, None))).is_some());
    for state in ["Contained", "Contested", "Gone", "Kept"] {
        let again = change(&view(record(state), deployment(3, None)));
        assert_eq!(again, None, "{state}");
    }
}

#[test]
fn a_deployer_that_deploys_something_else_by_now_is_left_alone() {
    let record = json!({"action": "PauseDeployer", "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease", "namespace": "flux", "name": "web", "uid": "flux-uid",
        "state": "Planned"});
    let live = |name: &str| {
        json!({
            "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
            "metadata": {"namespace": "flux", "name": "web", "uid": "flux-uid",
                "resourceVersion": "41"},
            "spec": {"chart": "web"},
            "status": {"storageNamespace": "shop", "history": [{"name": name, "version": 1}]},
        })
    };
    assert!(change(&view(record.clone(), live("web"))).is_some());
    assert_eq!(change(&view(record, live("forum"))), None);
}

#[test]
fn only_our_own_policy_is_deleted() {
    let selector = json!({"matchLabels": {"app": "web"}});
    let record = json!({"action": "IsolateNetwork", "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy", "name": "charttrust-quarantine-web",
        "selector": selector.to_string(), "state": "Contained"});
    let policy = |annotations: Value| {
        json!({"metadata": {"name": "charttrust-quarantine-web", "uid": "p",
            "resourceVersion": "5", "annotations": annotations},
            "spec": {"podSelector": selector, "policyTypes": ["Egress", "Ingress"]}})
    };
    let foreign = Annotation {
        quarantine: "another".to_owned(),
        ..made()
    };
    let is_deleted = |annotations: Value| {
        let view = ending(record.clone(), policy(annotations));
        matches!(next(&view), Some(Write::Delete(..)))
    };
    assert!(is_deleted(json!({ANNOTATION: made().text()})));
    assert!(!is_deleted(json!({ANNOTATION: foreign.text()})));
    assert!(!is_deleted(json!({})));
}

#[test]
fn an_edited_record_reaches_nothing_else() {
    let edited = |field: &str, value: &str| {
        let mut record = record("Planned");
        record[field] = json!(value);
        change(&view(record, deployment(3, None)))
    };
    assert!(edited("name", "web").is_some());
    assert_eq!(edited("action", "PauseDeployer"), None);
    assert_eq!(edited("apiVersion", "example.com/v1"), None);
    assert_eq!(edited("namespace", "bank"), None);
}

/// How a recorded Deployment stands that looks like this.
fn drift(record: Value, live: Value) -> Drift {
    actions::drift(&view(record, live), 0)
}

#[test]
fn an_object_stands_by_what_both_records_say() {
    let contained = || record("Contained");
    let of_another = Annotation {
        quarantine: "another".to_owned(),
        ..annotation()
    };
    let edited = Annotation {
        original: Original::of(Some(&json!(9))),
        ..annotation()
    };
    let kept = |drift: &Drift| matches!(drift, Drift::Kept(_, None));
    let marked = |drift: &Drift| matches!(drift, Drift::Kept(_, Some(_)));
    let contested = |drift: &Drift| matches!(drift, Drift::Contested(_));
    let is = |replicas, annotation: Option<&Annotation>| {
        drift(contained(), deployment(replicas, annotation))
    };

    assert_eq!(
        is(0, Some(&annotation())),
        Drift::Contained(Box::new(annotation()))
    );
    assert_eq!(is(3, None), Drift::Untouched);
    assert!(kept(&is(7, None)));
    assert!(marked(&is(7, Some(&annotation()))));
    assert!(
        marked(&is(3, Some(&annotation()))),
        "the annotation is left of us"
    );
    assert!(kept(&is(7, Some(&of_another))), "not ours to take away");
    assert!(contested(&is(0, Some(&of_another))));
    assert!(contested(&is(0, Some(&edited))));
    assert!(kept(&is(0, None)), "others have stopped it");

    let mut made_again = deployment(0, Some(&annotation()));
    made_again["metadata"]["uid"] = json!("another");
    assert!(contested(&drift(contained(), made_again.clone())));
    made_again["spec"]["replicas"] = json!(7);
    assert_eq!(drift(contained(), made_again), Drift::Gone);
    let mut nobody = deployment(7, Some(&annotation()));
    nobody["metadata"]["uid"] = Value::Null;
    let mut anybody = contained();
    anybody["uid"] = Value::Null;
    assert_eq!(drift(anybody, nobody), Drift::Gone);
}

#[test]
fn what_we_own_has_no_former_owner() {
    let fields = json!({"f:spec": {"f:replicas": {}}});
    let mut ours = deployment(0, None);
    ours["metadata"]["managedFields"] = json!([{"manager": "charttrust", "operation": "Update",
        "apiVersion": "apps/v1", "time": "2026-11-18T00:00:00Z", "fieldsV1": fields}]);
    assert_eq!(
        super::owners::of(&ours, &["spec", "replicas"]),
        Vec::<Value>::new()
    );
}

#[test]
fn only_a_deployer_of_this_release_is_planned() {
    let planned = |name: &str| {
        let mut observed = super::crash::observed();
        observed.deployers[0]["status"]["history"][0]["name"] = json!(name);
        let plan = super::plan(
            &release(),
            &[QuarantineAction::PauseDeployer],
            &observed,
            &[],
            Plans::of_a_person(),
        );
        plan.objects.len()
    };
    assert_eq!([planned("web"), planned("forum")], [1, 0]);
}

/// The kinds and names that are planned for one action, after a change of the Deployment.
fn planned(action: QuarantineAction, change: impl Fn(&mut Value)) -> Vec<String> {
    let mut observed = super::crash::observed();
    let is_web =
        |object: &&mut Value| object["kind"] == "Deployment" && object["metadata"]["name"] == "web";
    change(observed.workloads.iter_mut().find(is_web).unwrap());
    let plan = super::plan(&release(), &[action], &observed, &[], Plans::of_a_person());
    plan.objects
        .iter()
        .filter(|object| object.kind == "Deployment" || object.selector.is_some())
        .map(|object| format!("{} {}", object.kind, object.name))
        .collect()
}

#[test]
fn what_is_being_deleted_is_left_to_its_end() {
    let scale = QuarantineAction::ScaleToZero;
    assert_eq!(planned(scale, |_| {}), ["Deployment web"]);
    let deleted = |object: &mut Value| {
        object["metadata"]["deletionTimestamp"] = json!("2026-11-18T00:00:00Z");
    };
    assert_eq!(planned(scale, deleted), Vec::<String>::new());
}

#[test]
fn a_selector_that_cannot_be_saved_isolates_nothing() {
    let is_isolated = |change: fn(&mut Value)| {
        let mut observed = super::crash::observed();
        let is_web = |object: &&mut Value| {
            object["kind"] == "Deployment" && object["metadata"]["name"] == "web"
        };
        change(observed.workloads.iter_mut().find(is_web).unwrap());
        let isolate = [QuarantineAction::IsolateNetwork];
        let plan = super::plan(&release(), &isolate, &observed, &[], Plans::of_a_person());
        let mut selectors = plan.objects.iter().filter_map(|one| one.selector.as_ref());
        selectors.any(|selector| selector.contains("\"web\""))
    };
    assert!(is_isolated(|_| ()));
    assert!(!is_isolated(|object| {
        let values = vec!["x".repeat(60); bounds::SAVED / 60];
        object["spec"]["selector"]["matchExpressions"] =
            json!([{"key": "app", "operator": "In", "values": values}]);
    }));
}

#[test]
fn no_more_is_planned_than_the_list_holds() {
    let mut observed = super::crash::observed();
    let web = deployment(3, None);
    observed.workloads = (0..=bounds::OBJECTS)
        .map(|number| {
            let mut one = web.clone();
            one["metadata"]["name"] = json!(format!("web-{number}"));
            one
        })
        .collect();
    let plan = super::plan(
        &release(),
        &[QuarantineAction::ScaleToZero],
        &observed,
        &[],
        Plans::of_a_person(),
    );
    assert_eq!(plan.objects.len(), bounds::OBJECTS);
    let left = |one: &UncontainedObject| one.message.starts_with("does not fit");
    assert_eq!(plan.uncontained.iter().filter(|one| left(one)).count(), 1);
}

#[test]
fn nothing_is_saved_while_it_is_not_known_what_there_is() {
    let saved = |unlisted: Option<Unlisted>| {
        let mut observed = super::crash::observed();
        observed.deployers.clear();
        if let Some(unlisted) = unlisted {
            observed.listed = Err(unlisted);
        }
        let mut view = ours();
        view.status.incident = None;
        view.status.objects.clear();
        view.observed = Some(observed);
        match next(&view) {
            Some(Write::Status(status)) => status.incident,
            other => panic!("{other:?}"),
        }
    };
    assert!(saved(None).is_some());
    for unlisted in [
        Unlisted::NotFound,
        Unlisted::Unfinished,
        Unlisted::Unreadable(String::new()),
    ] {
        assert_eq!(saved(Some(unlisted.clone())), None, "{unlisted:?}");
    }
}

/// Whatever Helm does next, a person who named a release that was not there is told so until the
/// release of that name is one that was meant.
#[test]
fn that_there_was_no_release_is_not_forgotten_while_helm_installs_one() {
    let said = |before: QuarantineStatus, policy: Option<&str>, unlisted: Unlisted| {
        let mut view = ours();
        view.spec.policy = policy.map(str::to_owned);
        view.status = before;
        let mut observed = super::crash::observed();
        observed.listed = Err(unlisted);
        view.observed = Some(observed);
        let Some(Write::Status(status)) = next(&view) else {
            panic!("nothing is said");
        };
        *status
    };
    let reason = |status: &QuarantineStatus| {
        let active = find(&status.conditions, QuarantineCondition::Active).unwrap();
        active.reason.clone()
    };
    let missing = QuarantineReason::ReleaseNotFound.word();
    let at_work = QuarantineReason::ProgressingWithRetry.word();
    let new = QuarantineStatus::default;

    let told = said(new(), None, Unlisted::NotFound);
    assert_eq!(reason(&told), missing);
    assert!(told.release_missing_at.is_some());
    for later in [
        Unlisted::Unfinished,
        Unlisted::Unreadable("half".to_owned()),
    ] {
        let later = said(told.clone(), None, later);
        assert_eq!(reason(&later), missing);
        assert_eq!(later.release_missing_at, told.release_missing_at);
    }
    // A condition is for people: what it says is no memory.
    let only_said = QuarantineStatus {
        release_missing_at: None,
        ..told
    };
    assert_eq!(
        reason(&said(only_said, None, Unlisted::Unfinished)),
        at_work
    );
    assert_eq!(reason(&said(new(), None, Unlisted::Unfinished)), at_work);
    let of_policy = said(new(), Some("p"), Unlisted::NotFound);
    assert_eq!(of_policy.release_missing_at, None, "nobody has named it");
}

#[test]
fn a_persons_word_is_about_the_release_that_was_there() {
    let is_begun = |installed: &str, policy: Option<&str>, missing_at: Option<&str>| {
        let mut observed = super::crash::observed();
        observed.listed.as_mut().unwrap().installed = Some(installed.parse().unwrap());
        let mut view = ours();
        view.status = QuarantineStatus::default();
        view.created = Some("2026-11-18T10:00:00Z".parse().unwrap());
        view.spec.policy = policy.map(str::to_owned);
        view.status.release_missing_at = missing_at.map(|at| crate::api::time(at.parse().unwrap()));
        view.observed = Some(observed);
        match next(&view) {
            Some(Write::Status(status)) => status.incident.is_some(),
            _ => false,
        }
    };
    assert!(is_begun("2026-11-18T09:00:00Z", None, None));
    assert!(
        is_begun("2026-11-18T10:00:30Z", None, None),
        "clocks differ"
    );
    assert!(!is_begun(
        "2026-11-18T10:00:30Z",
        None,
        Some("2026-11-18T10:00:01Z")
    ));
    assert!(is_begun(
        "2026-11-18T09:00:00Z",
        None,
        Some("2026-11-18T10:00:01Z")
    ));
    assert!(!is_begun("2026-12-01T10:00:00Z", None, None));
    assert!(is_begun("2026-12-01T10:00:00Z", Some("policy"), None));
}

/// The writes that reach the API server, if it holds this Quarantine.
async fn sent(view: &View, write: &Write, found: Value) -> (Result<(), WriteError>, Vec<Value>) {
    let cluster = holding(found);
    let (_server, client) = cluster.clone().start().await;
    let result = apply(&client, view, write).await.map(drop);
    let writes = cluster.writes().into_iter().map(|write| write.body);
    (result, writes.collect())
}

fn holding(quarantine: Value) -> FakeCluster {
    let cluster = FakeCluster::default();
    let path = "/apis/charttrust.io/v1alpha1/namespaces/shop/quarantines/web";
    cluster.hold(path, quarantine);
    cluster
}

fn ours() -> View {
    view(record("Planned"), deployment(3, None))
}

#[tokio::test]
async fn a_finalizer_goes_only_from_this_state_of_this_quarantine() {
    for write in [Write::AddFinalizer, Write::RemoveFinalizer] {
        let (result, bodies) = sent(&ours(), &write, quarantine(&json!([]))).await;
        result.unwrap();
        let operations = bodies[0].as_array().unwrap();
        assert_eq!(tested(operations, "/metadata/uid"), Some(json!(UID)));
        assert_eq!(tested(operations, VERSION), Some(json!("8")));

        let mut other = quarantine(&json!([]));
        other["metadata"]["uid"] = json!("of the same name");
        let (result, bodies) = sent(&ours(), &write, other).await;
        assert!(matches!(result, Err(WriteError::Changed(..))));
        assert!(bodies.is_empty(), "nothing is written");
    }
}

#[tokio::test]
async fn a_status_is_written_only_to_this_state_of_this_quarantine() {
    let view = ours();
    let write = Write::Status(Box::new(view.status.clone()));
    let (result, bodies) = sent(&view, &write, quarantine(&json!([]))).await;
    result.unwrap();
    let meta = &bodies[0]["metadata"];
    assert_eq!([&meta["uid"], &meta["resourceVersion"]], [UID, "8"]);
}

#[tokio::test]
async fn a_policy_is_deleted_only_if_it_is_still_this_one() {
    let precondition = Precondition {
        uid: "p".to_owned(),
        resource_version: "5".to_owned(),
    };
    let write = Write::Delete(0, precondition);
    let (result, bodies) = sent(&ours(), &write, quarantine(&json!([]))).await;
    result.unwrap();
    let expected = json!({"uid": "p", "resourceVersion": "5"});
    assert_eq!(bodies[0]["preconditions"], expected);
}

/// How many writes a run sends that has only to take the finalizer off.
async fn writes_of_a_run(found: Value, may: impl Fn() -> bool) -> usize {
    let cluster = holding(found);
    let (_server, client) = cluster.clone().start().await;
    let mut view = ending(record("Contained"), Value::Null);
    view.status.objects.clear();
    view.live.clear();
    let neighbourhoods = Neighbourhoods::new(client, || panic!("nothing is listed"));
    let _ = run::to_rest(&neighbourhoods, view, &[], may).await;
    cluster.writes().len()
}

#[tokio::test]
async fn a_run_writes_only_while_it_may_and_only_to_its_own_quarantine() {
    let mut gone = quarantine(&json!([]));
    gone["metadata"]["deletionTimestamp"] = json!("2026-11-18T00:00:00Z");
    assert_eq!(writes_of_a_run(gone.clone(), || true).await, 1);
    assert_eq!(writes_of_a_run(gone.clone(), || false).await, 0);
    gone["metadata"]["uid"] = json!("of the same name");
    assert_eq!(writes_of_a_run(gone, || true).await, 0);
}
