//! Every precondition of a write, alone: each of these turns red when the one that it names is gone.
//! What happens when several things go wrong at once is told by [`super::crash`].

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::apply::{WriteError, apply};
use super::mark::Mark;
use super::plan::Unlisted;
use super::standing::Standing;
use super::step::{Precondition, View, Write, next};
use super::{ANNOTATION, FINALIZER, drive};
use crate::api::Quarantine;
use crate::api::bounds;
use crate::api::chart_trust_policy::QuarantineAction;
use crate::api::quarantine::UncontainedObject;
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

fn deployment(replicas: u32, mark: Option<&Mark>) -> Value {
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
    if let Some(mark) = mark {
        object["metadata"]["annotations"][ANNOTATION] = mark.text();
    }
    object
}

fn mark() -> Mark {
    Mark {
        incident: "manual/quarantine-uid".to_owned(),
        quarantine: UID.to_owned(),
        time: "2026-11-18T10:00:00Z".to_owned(),
        original: Some(json!(3)),
        owners: Vec::new(),
    }
}

/// The operations of the patch that comes next, if one comes.
fn change(view: &View) -> Option<Vec<Value>> {
    match next(view) {
        Some(Write::Change(_, operations)) => Some(operations),
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
    let mark = mark();
    let mut owned = deployment(3, None);
    owned["metadata"]["managedFields"] = json!([{"manager": "charttrust", "operation": "Update",
        "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": {}}]);
    for (what, view) in [
        ("containing", view(record("Planned"), deployment(3, None))),
        (
            "restoring",
            ending(record("Contained"), deployment(0, Some(&mark))),
        ),
        (
            "leaving a newer value",
            ending(record("Contained"), deployment(7, Some(&mark))),
        ),
        ("giving fields back", ending(record("Contained"), owned)),
    ] {
        let operations = change(&view).unwrap_or_else(|| panic!("{what}: no patch"));
        assert_eq!(tested(&operations, VERSION), Some(json!("41")), "{what}");
        let is_marked = what == "restoring" || what == "leaving a newer value";
        let carried = is_marked.then(|| mark.text());
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
    let foreign = Mark {
        quarantine: "another".to_owned(),
        ..mark()
    };
    let is_deleted = |annotations: Value| {
        let view = ending(record.clone(), policy(annotations));
        matches!(next(&view), Some(Write::Delete(..)))
    };
    assert!(is_deleted(json!({ANNOTATION: mark().text()})));
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
fn standing(record: Value, live: Value) -> Standing {
    view(record, live).standing(0)
}

#[test]
fn an_object_stands_by_what_both_records_say() {
    let contained = || record("Contained");
    let of_another = Mark {
        quarantine: "another".to_owned(),
        ..mark()
    };
    let edited = Mark {
        original: Some(json!(9)),
        ..mark()
    };
    let kept = |standing: &Standing| matches!(standing, Standing::Kept(_, None));
    let marked = |standing: &Standing| matches!(standing, Standing::Kept(_, Some(_)));
    let contested = |standing: &Standing| matches!(standing, Standing::Contested(_));
    let is = |replicas, mark: Option<&Mark>| standing(contained(), deployment(replicas, mark));

    assert_eq!(is(0, Some(&mark())), Standing::Contained(Box::new(mark())));
    assert_eq!(is(3, None), Standing::Untouched);
    assert!(kept(&is(7, None)));
    assert!(marked(&is(7, Some(&mark()))));
    assert!(
        marked(&is(3, Some(&mark()))),
        "the annotation is left of us"
    );
    assert!(kept(&is(7, Some(&of_another))), "not ours to take away");
    assert!(contested(&is(0, Some(&of_another))));
    assert!(contested(&is(0, Some(&edited))));
    assert!(kept(&is(0, None)), "others have stopped it");

    let mut made_again = deployment(0, Some(&mark()));
    made_again["metadata"]["uid"] = json!("another");
    assert!(contested(&standing(contained(), made_again.clone())));
    made_again["spec"]["replicas"] = json!(7);
    assert_eq!(standing(contained(), made_again), Standing::Gone);
    let mut nobody = deployment(7, Some(&mark()));
    nobody["metadata"]["uid"] = Value::Null;
    let mut anybody = contained();
    anybody["uid"] = Value::Null;
    assert_eq!(standing(anybody, nobody), Standing::Gone);
}

#[test]
fn a_policy_stands_only_as_it_was_made() {
    let selector = json!({"matchLabels": {"app": "web"}});
    let record = json!({"action": "IsolateNetwork", "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy", "name": "charttrust-quarantine-web",
        "selector": selector.to_string(), "state": "Contained"});
    let policy = |mark: &Mark| {
        let name = "charttrust-quarantine-web";
        super::network::denial(&release(), "shop", name, &selector, mark)
    };
    let is = |live: Value| standing(record.clone(), live);
    assert_eq!(is(policy(&mark())), Standing::Contained(Box::new(mark())));
    let mut other_pods = policy(&mark());
    other_pods["spec"]["podSelector"] = json!({"matchLabels": {"app": "db"}});
    assert!(matches!(is(other_pods), Standing::Kept(_, Some(_))));
    let mut open = policy(&mark());
    open["spec"]["ingress"] = json!([{}]);
    assert!(matches!(is(open.clone()), Standing::Kept(_, Some(_))));
    let pods = [[("app".to_owned(), "web".to_owned())].into()];
    let others = super::network::allowing(&[open], &pods, UID);
    assert_eq!(
        others,
        Vec::<String>::new(),
        "it is ours, and told of elsewhere"
    );
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
        let mut scene = super::crash::scene();
        scene.deployers[0]["status"]["history"][0]["name"] = json!(name);
        let plan = super::plan(&release(), &[QuarantineAction::PauseDeployer], &scene);
        plan.objects.len()
    };
    assert_eq!([planned("web"), planned("forum")], [1, 0]);
}

/// The kinds and names that are planned for one action, after a change of the Deployment.
fn planned(action: QuarantineAction, change: impl Fn(&mut Value)) -> Vec<String> {
    let mut scene = super::crash::scene();
    let is_web =
        |object: &&mut Value| object["kind"] == "Deployment" && object["metadata"]["name"] == "web";
    change(scene.workloads.iter_mut().find(is_web).unwrap());
    let plan = super::plan(&release(), &[action], &scene);
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
    let isolate = QuarantineAction::IsolateNetwork;
    let all = planned(isolate, |_| {}).len();
    let huge = |object: &mut Value| {
        let values = vec!["x".repeat(60); bounds::SAVED / 60];
        object["spec"]["selector"]["matchExpressions"] =
            json!([{"key": "app", "operator": "In", "values": values}]);
    };
    assert_eq!(planned(isolate, huge).len(), all - 1);
}

#[test]
fn no_more_is_planned_than_the_list_holds() {
    let mut scene = super::crash::scene();
    let web = deployment(3, None);
    scene.workloads = (0..=bounds::LONG_LIST)
        .map(|number| {
            let mut one = web.clone();
            one["metadata"]["name"] = json!(format!("web-{number}"));
            one
        })
        .collect();
    let plan = super::plan(&release(), &[QuarantineAction::ScaleToZero], &scene);
    assert_eq!(plan.objects.len(), bounds::LONG_LIST);
    let left = |one: &UncontainedObject| one.message.starts_with("does not fit");
    assert_eq!(plan.uncontained.iter().filter(|one| left(one)).count(), 1);
}

#[test]
fn nothing_is_saved_while_it_is_not_known_what_there_is() {
    let saved = |unlisted: Option<Unlisted>| {
        let mut scene = super::crash::scene();
        scene.deployers.clear();
        if let Some(unlisted) = unlisted {
            scene.listed = Err(unlisted);
        }
        let mut view = ours();
        view.status.incident = None;
        view.status.objects.clear();
        view.scene = Some(scene);
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

/// What reaches the API server, if it answers every request with this Quarantine.
async fn sent(view: &View, write: &Write, found: Value) -> (Result<(), WriteError>, Vec<Request>) {
    let (server, client) = answering(found).await;
    let result = apply(&client, view, write).await.map(drop);
    (result, server.received_requests().await.unwrap())
}

async fn answering(found: Value) -> (MockServer, kube::Client) {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_json(found);
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let config = kube::Config::new(server.uri().parse().unwrap());
    (server, kube::Client::try_from(config).unwrap())
}

fn body(requests: &[Request]) -> Value {
    serde_json::from_slice(&requests.last().unwrap().body).unwrap()
}

fn ours() -> View {
    view(record("Planned"), deployment(3, None))
}

#[tokio::test]
async fn a_finalizer_goes_only_from_this_state_of_this_quarantine() {
    for write in [Write::AddFinalizer, Write::RemoveFinalizer] {
        let (result, requests) = sent(&ours(), &write, quarantine(&json!([]))).await;
        result.unwrap();
        let body = body(&requests);
        let operations = body.as_array().unwrap();
        assert_eq!(tested(operations, "/metadata/uid"), Some(json!(UID)));
        assert_eq!(tested(operations, VERSION), Some(json!("8")));

        let mut other = quarantine(&json!([]));
        other["metadata"]["uid"] = json!("of the same name");
        let (result, requests) = sent(&ours(), &write, other).await;
        assert!(matches!(result, Err(WriteError::Changed(..))));
        assert_eq!(requests.len(), 1, "nothing is written");
    }
}

#[tokio::test]
async fn a_status_is_written_only_to_this_state_of_this_quarantine() {
    let view = ours();
    let write = Write::Status(Box::new(view.status.clone()));
    let (result, requests) = sent(&view, &write, quarantine(&json!([]))).await;
    result.unwrap();
    let meta = &body(&requests)["metadata"];
    assert_eq!([&meta["uid"], &meta["resourceVersion"]], [UID, "8"]);
}

#[tokio::test]
async fn a_policy_is_deleted_only_if_it_is_still_this_one() {
    let precondition = Precondition {
        uid: "p".to_owned(),
        resource_version: "5".to_owned(),
    };
    let write = Write::Delete(0, precondition);
    let (result, requests) = sent(&ours(), &write, json!({"metadata": {"name": "x"}})).await;
    result.unwrap();
    let expected = json!({"uid": "p", "resourceVersion": "5"});
    assert_eq!(body(&requests)["preconditions"], expected);
}

/// How many writes a run sends that has only to take the finalizer off.
async fn writes_of_a_run(found: Value, may: bool) -> usize {
    let (server, client) = answering(found).await;
    let mut view = ending(record("Contained"), Value::Null);
    view.status.objects.clear();
    view.live.clear();
    let _ = drive::advance(&client, view, &[], || may).await;
    let requests = server.received_requests().await.unwrap();
    let is_write = |request: &&Request| request.method.as_str() != "GET";
    requests.iter().filter(is_write).count()
}

#[tokio::test]
async fn a_run_writes_only_while_it_may_and_only_to_its_own_quarantine() {
    let mut gone = quarantine(&json!([]));
    gone["metadata"]["deletionTimestamp"] = json!("2026-11-18T00:00:00Z");
    assert_eq!(writes_of_a_run(gone.clone(), true).await, 1);
    assert_eq!(writes_of_a_run(gone.clone(), false).await, 0);
    gone["metadata"]["uid"] = json!("of the same name");
    assert_eq!(writes_of_a_run(gone, true).await, 0);
}
