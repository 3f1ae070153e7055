//! Every point at which a run can stop, and every pair of them, over the very steps the operator
//! runs, against a small server in memory that behaves as the real one does where it matters.

use std::collections::BTreeMap;
use std::io::Write as _;

use charttrust_verify::release::ManifestObject;
use serde_json::{Value, json};

use super::mark::{ANNOTATION, Carried, Mark};
use super::plan::{Listed, Scene};
use super::step::{View, Write, next, patch};
use super::target::{TARGETS, Target};
use super::{field, network};
use crate::api::FIELD_MANAGER;
use crate::api::chart_trust_policy::QuarantineAction;
use crate::api::quarantine::{QuarantineSpec, QuarantineState, QuarantineStatus};
use crate::inventory::ReleaseId;

const UID: &str = "quarantine-uid";
const NAMESPACE: &str = "shop";

type Key = (String, String);

/// What the server holds.
#[derive(Clone, Debug)]
struct Server {
    objects: BTreeMap<Key, Value>,
    finalizer: bool,
    ending: bool,
    status: QuarantineStatus,
    version: u64,
    /// The version of the Quarantine itself.
    own_version: u64,
    /// The value that a person last gave each object, which is what a restore must bring back.
    wanted: BTreeMap<Key, Option<Value>>,
    /// How often each object was stopped and started by us.
    transitions: BTreeMap<Key, (u32, u32)>,
    writes: usize,
    /// As if our patches carried no precondition.
    ignores_preconditions: bool,
}

/// When a run stops: before or after its nth write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    Before(usize),
    After(usize),
}

/// What somebody else does just before our nth write.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meddling {
    EditOriginal,
    None,
    RemoveMark,
    Scale,
    Touch,
}

fn release() -> ReleaseId {
    ReleaseId {
        namespace: NAMESPACE.to_owned(),
        name: "web".to_owned(),
    }
}

/// What there is around the release of these runs.
pub(super) fn scene() -> Scene {
    Server::new().scene()
}

fn key(kind: &str, name: &str) -> Key {
    (kind.to_owned(), name.to_owned())
}

fn key_of(object: &Value) -> Key {
    key(
        field::text(object, &["kind"]).unwrap(),
        field::text(object, &["metadata", "name"]).unwrap(),
    )
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "callers pass what json! makes"
)]
fn owned_by(manager: &str, operation: &str, fields: Value) -> Value {
    json!([{
        "apiVersion": "any/v1", "fieldsType": "FieldsV1", "fieldsV1": fields,
        "manager": manager, "operation": operation, "time": "2026-11-18T00:00:00Z",
    }])
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "callers pass what json! makes"
)]
fn workload(api_version: &str, kind: &str, name: &str, owner: &str, spec: Value) -> Value {
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "namespace": NAMESPACE, "name": name, "uid": format!("{kind}-{name}"),
            "resourceVersion": "1",
            "labels": {"app.kubernetes.io/managed-by": "Helm"},
            "annotations": {
                "meta.helm.sh/release-name": owner,
                "meta.helm.sh/release-namespace": NAMESPACE,
            },
            "managedFields": owned_by("helm", "Apply", json!({"f:spec": {
                "f:replicas": {}, "f:suspend": {}, "f:selector": {},
            }})),
        },
        "spec": spec,
    })
}

fn objects() -> Vec<Value> {
    let labels = |name: &str| json!({"matchLabels": {"app": name}});
    let web = json!({"replicas": 3, "selector": labels("web")});
    let neighbour = json!({"replicas": 2, "selector": labels("neighbour")});
    let agent = json!({"selector": labels("agent"), "template": {"spec": {}}});
    let nightly = json!({"suspend": false, "jobTemplate": {"spec": {"template": {"metadata":
        {"labels": {"app": "nightly"}}}}}});
    vec![
        workload("apps/v1", "Deployment", "web", "web", web),
        workload("apps/v1", "Deployment", "neighbour", "other", neighbour),
        workload("apps/v1", "DaemonSet", "agent", "web", agent),
        workload("batch/v1", "CronJob", "nightly", "web", nightly),
        json!({
            "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
            "metadata": {"namespace": "flux", "name": "web", "uid": "flux-web",
                "resourceVersion": "1",
                "managedFields": owned_by("kubectl", "Update", json!({"f:spec": {"f:chart": {}}}))},
            "spec": {"chart": "web"},
            "status": {"storageNamespace": NAMESPACE, "history": [{"name": "web", "version": 7}]},
        }),
    ]
}

impl Server {
    fn new() -> Self {
        let objects: BTreeMap<_, _> = objects().into_iter().map(|o| (key_of(&o), o)).collect();
        let wanted = objects
            .iter()
            .map(|(key, object)| (key.clone(), value(object).cloned()))
            .collect();
        Self {
            objects,
            finalizer: false,
            ending: false,
            status: QuarantineStatus::default(),
            version: 1,
            own_version: 1,
            wanted,
            transitions: BTreeMap::new(),
            writes: 0,
            ignores_preconditions: false,
        }
    }

    /// What a run reads before it writes.
    fn view(&self) -> View {
        let spec = QuarantineSpec {
            actions: vec![
                QuarantineAction::ScaleToZero,
                QuarantineAction::IsolateNetwork,
                QuarantineAction::PauseDeployer,
            ],
            reason: "a test".to_owned(),
            policy: None,
        };
        let live = self
            .status
            .objects
            .iter()
            .map(|record| self.objects.get(&key(&record.kind, &record.name)).cloned())
            .collect();
        View {
            release: release(),
            uid: UID.to_owned(),
            generation: 1,
            resource_version: self.own_version.to_string(),
            has_finalizer: self.finalizer,
            is_ending: self.ending,
            spec,
            status: self.status.clone(),
            incident: format!("manual/{UID}"),
            scene: self.status.incident.is_none().then(|| self.scene()),
            live,
            allowing: Vec::new(),
            protected: Vec::new(),
            now: "2026-11-18T10:00:00Z".parse().unwrap(),
        }
    }

    fn scene(&self) -> Scene {
        let is_workload = |object: &&Value| target(object).is_some_and(Target::is_workload);
        let workloads: Vec<_> = self.objects.values().filter(is_workload).cloned().collect();
        let listed = |object: &Value| ManifestObject {
            api_version: field::text(object, &["apiVersion"]).unwrap().to_owned(),
            kind: field::text(object, &["kind"]).unwrap().to_owned(),
            namespace: None,
            name: key_of(object).1,
            generated: false,
        };
        Scene {
            listed: Ok(Listed {
                namespace: NAMESPACE.to_owned(),
                // The record names a workload of a neighbour, as a forged one would.
                objects: workloads.iter().map(listed).collect(),
                unread: 0,
                revision: 7,
            }),
            workloads,
            deployers: vec![self.objects[&key("HelmRelease", "web")].clone()],
            autoscalers: Vec::new(),
            pods: Vec::new(),
            between: Vec::new(),
        }
    }

    /// A write, as the real server takes or refuses it.
    fn write(&mut self, view: &View, write: &Write) -> Result<Option<Value>, ()> {
        let own = |server: &mut Self| {
            let version = json!({"metadata": {"resourceVersion": server.own_version.to_string()}});
            Ok(Some(version))
        };
        match write {
            Write::AddFinalizer | Write::RemoveFinalizer | Write::Status(_)
                if view.resource_version != self.own_version.to_string() =>
            {
                Err(())
            }
            Write::AddFinalizer => {
                self.own_version += 1;
                self.finalizer = true;
                own(self)
            }
            Write::RemoveFinalizer => {
                self.own_version += 1;
                self.finalizer = false;
                own(self)
            }
            Write::Status(status) => {
                self.own_version += 1;
                self.status = (**status).clone();
                own(self)
            }
            Write::Create(_, object) => {
                let key = key_of(object);
                if self.objects.contains_key(&key) {
                    return Err(());
                }
                let mut object = object.clone();
                object["metadata"]["uid"] = json!(format!("made-{}", self.version));
                self.version += 1;
                object["metadata"]["resourceVersion"] = json!(self.version.to_string());
                self.objects.insert(key, object.clone());
                Ok(Some(object))
            }
            Write::Delete(index, precondition) => {
                let record = &view.status.objects[*index];
                let key = key(&record.kind, &record.name);
                let there = self.objects.get(&key).ok_or(())?;
                let meta = |name: &str| there["metadata"][name].as_str().unwrap();
                if meta("uid") != precondition.uid
                    || meta("resourceVersion") != precondition.resource_version
                {
                    return Err(());
                }
                self.objects.remove(&key);
                Ok(None)
            }
            Write::Change(index, operations) => {
                let record = &view.status.objects[*index];
                self.patch(&key(&record.kind, &record.name), operations, FIELD_MANAGER)
            }
        }
    }

    fn patch(
        &mut self,
        key: &Key,
        operations: &[Value],
        manager: &str,
    ) -> Result<Option<Value>, ()> {
        let before = self.objects.get(key).ok_or(())?.clone();
        let mut after = before.clone();
        let mut operations = operations.to_vec();
        operations.retain(|one| !self.ignores_preconditions || one["op"] != "test");
        json_patch::patch(&mut after, &patch(&operations)).map_err(drop)?;
        self.version += 1;
        after["metadata"]["resourceVersion"] = json!(self.version.to_string());
        attribute(&before, &mut after, manager);
        prune(&mut after);
        let target = target(&after).unwrap();
        let held = (target.is_held(&before), target.is_held(&after));
        if manager == FIELD_MANAGER {
            let count = self.transitions.entry(key.clone()).or_default();
            count.0 += u32::from(held == (false, true));
            count.1 += u32::from(held == (true, false));
        }
        self.objects.insert(key.clone(), after.clone());
        Ok(Some(after))
    }

    /// Somebody else acts on the object that is about to be written.
    fn meddle(&mut self, view: &View, write: &Write, meddling: Meddling) {
        let (Write::Change(index, _), true) = (write, meddling != Meddling::None) else {
            return;
        };
        let record = &view.status.objects[*index];
        let key = key(&record.kind, &record.name);
        let live = self.objects[&key].clone();
        let target = target(&live).unwrap();
        let marked = field::value(&live, &super::mark::PATH).is_some();
        let operations = match meddling {
            Meddling::Scale if key.0 == "Deployment" => {
                self.wanted.insert(key.clone(), Some(json!(5)));
                vec![field::set(&live, target.field, json!(5))]
            }
            Meddling::RemoveMark if marked => field::unset(&live, &super::mark::PATH)
                .into_iter()
                .collect(),
            Meddling::EditOriginal if marked => {
                let Carried::Mark(mut mark) = Mark::of(&live) else {
                    return;
                };
                mark.original = Some(json!(99));
                vec![field::set(&live, &super::mark::PATH, mark.text())]
            }
            Meddling::Touch => vec![field::set(
                &live,
                &["metadata", "labels", "seen"],
                json!("x"),
            )],
            _ => return,
        };
        self.patch(&key, &operations, "person").unwrap();
    }

    /// One run of the operator: reads, then writes until nothing is left or it is stopped.
    fn run(&mut self, stops: &[Stop], meddling: Option<(usize, Meddling)>) -> Result<(), ()> {
        for _ in 0..20 {
            let mut view = self.view();
            loop {
                let Some(write) = next(&view) else {
                    return Ok(());
                };
                let number = self.writes;
                self.writes += 1;
                if stops.contains(&Stop::Before(number)) {
                    return Err(());
                }
                if let Some((_, meddling)) = meddling.filter(|(at, _)| *at == number) {
                    self.meddle(&view, &write, meddling);
                }
                let answer = self.write(&view, &write);
                self.check(&write, &view);
                if stops.contains(&Stop::After(number)) {
                    return Err(());
                }
                match answer {
                    Ok(answer) => view.absorb(&write, answer),
                    Err(()) => break,
                }
                assert!(number < 200, "no end in sight: {write:?}");
            }
        }
        panic!("never at rest");
    }

    /// Runs again after every stop, as a restarted operator does.
    fn run_through(&mut self, stops: &[Stop], meddling: Option<(usize, Meddling)>) {
        while self.run(stops, meddling).is_err() {}
    }

    /// A whole life: contained, then deleted and restored.
    fn live_through(stops: &[Stop], meddling: Option<(usize, Meddling)>) -> Self {
        let mut server = Self::new();
        server.run_through(stops, meddling);
        server.ending = true;
        server.own_version += 1;
        server.run_through(stops, meddling);
        server
    }

    /// What must hold after every write (`limits.md` 2.2).
    fn check(&self, write: &Write, view: &View) {
        for (key, object) in &self.objects {
            let Some(target) = target(object) else {
                continue;
            };
            let (stopped, started) = self.transitions.get(key).copied().unwrap_or_default();
            assert!(stopped <= 1 && started <= 1, "I3 {key:?} {write:?}");
            let mark = match Mark::of(object) {
                Carried::Mark(mark) => Some(mark),
                Carried::Nothing | Carried::Unreadable => None,
            };
            let by_us = stopped > started && target.is_held(object);
            if let Some(mark) = mark.filter(|mark| by_us && mark.original != Some(json!(99))) {
                assert_eq!(mark.original, self.wanted[key], "I1 {key:?} {write:?}");
            }
        }
        for record in &self.status.objects {
            let saved = super::standing::saved(record);
            let first = objects()
                .into_iter()
                .find(|object| key_of(object) == key(&record.kind, &record.name));
            let first = first.and_then(|object| value(&object).cloned());
            assert_eq!(saved, first, "I2 {} {}", record.kind, record.name);
        }
        if let Write::Change(index, _) | Write::Delete(index, _) = write {
            let record = &view.status.objects[*index];
            assert_ne!(record.name, "neighbour", "I5");
            assert!(view.status.incident.is_some(), "originals are saved first");
        }
    }

    /// The objects without what no two runs have in common.
    fn essence(&self) -> BTreeMap<Key, Value> {
        let mut objects = self.objects.clone();
        for object in objects.values_mut() {
            object["metadata"]["resourceVersion"] = Value::Null;
        }
        objects
    }
}

fn target(object: &Value) -> Option<&'static Target> {
    let kind = field::text(object, &["kind"])?;
    TARGETS.iter().find(|target| target.kind == kind)
}

fn value(object: &Value) -> Option<&Value> {
    target(object)?.value(object)
}

/// Fields that were changed belong to whoever changed them (structured-merge-diff).
fn attribute(before: &Value, after: &mut Value, manager: &str) {
    let target = target(after).unwrap();
    for path in [target.owned, &super::mark::PATH] {
        let (old, new) = (field::value(before, path), field::value(after, path));
        if old == new {
            continue;
        }
        let exists = new.is_some();
        let names: Vec<String> = path.iter().map(|name| format!("f:{name}")).collect();
        let list = after["metadata"]["managedFields"].as_array_mut().unwrap();
        for entry in list.iter_mut() {
            forget(&mut entry["fieldsV1"], &names);
        }
        list.retain(|entry| entry["fieldsV1"] != json!({}));
        if exists {
            if !list.iter().any(|entry| entry["manager"] == manager) {
                let fresh = owned_by(manager, "Update", json!({}));
                list.push(fresh[0].clone());
            }
            let entry = list.iter_mut().find(|entry| entry["manager"] == manager);
            let mut fields = &mut entry.unwrap()["fieldsV1"];
            for name in &names {
                if fields[name].is_null() {
                    fields[name] = json!({});
                }
                fields = &mut fields[name];
            }
        }
    }
}

fn forget(fields: &mut Value, path: &[String]) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    let Some(inner) = fields.get_mut(first) else {
        return;
    };
    forget(inner, rest);
    if rest.is_empty() || *inner == json!({}) {
        fields.as_object_mut().unwrap().remove(first);
    }
}

/// The real server writes no empty maps.
fn prune(object: &mut Value) {
    for path in ["/metadata/annotations", "/spec/template/spec/nodeSelector"] {
        if object.pointer(path) == Some(&json!({})) {
            let (parent, name) = path.rsplit_once('/').unwrap();
            let parent = object.pointer_mut(parent).unwrap();
            parent.as_object_mut().unwrap().remove(name);
        }
    }
}

fn every_stop(writes: usize) -> Vec<Stop> {
    (0..writes)
        .flat_map(|number| [Stop::Before(number), Stop::After(number)])
        .collect()
}

#[test]
fn a_quarantine_contains_and_its_end_restores_everything() {
    let mut server = Server::new();
    let before = server.essence();
    server.run_through(&[], None);
    assert_eq!(server.status.state, Some(QuarantineState::Active));
    assert_eq!(server.status.contained, 7);
    let contained = |kind: &str, name: &str| {
        let object = &server.objects[&key(kind, name)];
        target(object).unwrap().is_held(object)
    };
    assert!(contained("Deployment", "web"));
    assert!(contained("DaemonSet", "agent"));
    assert!(contained("CronJob", "nightly"));
    assert!(contained("HelmRelease", "web"));
    assert!(!contained("Deployment", "neighbour"));
    let left: Vec<_> = server
        .status
        .uncontained
        .iter()
        .map(|one| &one.name)
        .collect();
    assert_eq!(left, ["neighbour"]);
    let denials = server.objects.keys().filter(|key| key.0 == network::KIND);
    assert_eq!(denials.count(), 3);

    server.ending = true;
    server.own_version += 1;
    server.run_through(&[], None);
    assert!(!server.finalizer);
    assert_eq!(server.essence(), before);
}

#[test]
fn a_second_run_writes_nothing() {
    let mut server = Server::new();
    server.run_through(&[], None);
    let writes = server.writes;
    server.run_through(&[], None);
    assert_eq!(server.writes, writes);
}

#[test]
fn wherever_one_run_or_two_stop_the_end_is_the_same() {
    let reference = Server::live_through(&[], None);
    let stops = every_stop(reference.writes + 2);
    let mut runs = 0;
    for first in &stops {
        let server = Server::live_through(&[*first], None);
        assert_eq!(server.essence(), reference.essence(), "{first:?}");
        runs += 1;
    }
    for first in &stops {
        for second in stops.iter().filter(|second| *second > first) {
            let server = Server::live_through(&[*first, *second], None);
            assert_eq!(
                server.essence(),
                reference.essence(),
                "{first:?} {second:?}"
            );
            assert!(!server.finalizer);
            runs += 1;
        }
    }
    say(&format!(
        "{} writes, {} points, {runs} runs with one or two stops",
        reference.writes,
        stops.len()
    ));
}

#[test]
fn others_may_act_before_any_write_and_a_stop_after_it() {
    let reference = Server::live_through(&[], None);
    let mut runs = 0;
    for at in 0..reference.writes + 4 {
        for meddling in [
            Meddling::Scale,
            Meddling::Touch,
            Meddling::RemoveMark,
            Meddling::EditOriginal,
        ] {
            for stop in [
                Stop::Before(0),
                Stop::After(at),
                Stop::Before(at + 1),
                Stop::After(at + 1),
            ] {
                let server = Server::live_through(&[stop], Some((at, meddling)));
                judge(&server, &reference, (at, meddling, stop));
                runs += 1;
            }
        }
    }
    say(&format!(
        "{runs} runs with one stop and one act of somebody else"
    ));
}

/// Straight to the terminal: the harness swallows what is printed.
fn say(text: &str) {
    writeln!(std::io::stderr(), "crashes in process: {text}").unwrap();
}

#[test]
fn without_preconditions_the_change_of_somebody_else_would_be_lost() {
    let lost = |ignores_preconditions: bool| {
        let mut lost = 0;
        for at in 0..Server::live_through(&[], None).writes {
            let mut server = Server::new();
            server.ignores_preconditions = ignores_preconditions;
            // Whoever reads the panics below finds which invariant noticed it.
            let run = std::panic::AssertUnwindSafe(|| {
                server.run_through(&[], Some((at, Meddling::Scale)));
            });
            let noticed = std::panic::catch_unwind(run).is_err();
            let web = key("Deployment", "web");
            let scaled = server.wanted[&web] == Some(json!(5));
            let is_kept = value(&server.objects[&web]) == Some(&json!(5));
            lost += usize::from(noticed || (scaled && !is_kept));
        }
        lost
    };
    assert_eq!(lost(false), 0);
    assert!(lost(true) > 0);
}

#[test]
fn a_forged_list_of_objects_reaches_no_neighbour() {
    let mut server = Server::new();
    server.run_through(&[], None);
    let web = server
        .status
        .objects
        .iter()
        .find(|one| one.kind == "Deployment");
    let mut forged = web.unwrap().clone();
    forged.name = "neighbour".to_owned();
    forged.uid = Some("Deployment-neighbour".to_owned());
    forged.original = Some("2".to_owned());
    forged.state = crate::api::quarantine::ObjectState::Planned;
    server.status.objects.push(forged);
    let before = server.objects[&key("Deployment", "neighbour")].clone();
    server.run_through(&[], None);
    server.ending = true;
    server.own_version += 1;
    server.run_through(&[], None);
    assert_eq!(server.objects[&key("Deployment", "neighbour")], before);
    assert!(!server.finalizer);
}

/// What must be true at the end, whatever others did.
fn judge(server: &Server, reference: &Server, what: (usize, Meddling, Stop)) {
    let web = &server.objects[&key("Deployment", "web")];
    let scaled = server.wanted[&key("Deployment", "web")] == Some(json!(5));
    if scaled {
        assert_eq!(
            value(web),
            Some(&json!(5)),
            "a newer change is kept: {what:?}"
        );
    }
    let is_contested = server.status.state == Some(QuarantineState::Contested);
    assert_eq!(
        server.finalizer,
        is_contested && server.finalizer,
        "{what:?}"
    );
    for (key, object) in &server.objects {
        let Some(target) = target(object) else {
            continue;
        };
        let is_held = target.is_held(object);
        if is_held {
            assert!(server.finalizer, "nothing is left behind: {key:?} {what:?}");
        } else {
            assert_eq!(
                value(object),
                server.wanted[key].as_ref(),
                "{key:?} {what:?}"
            );
            assert_eq!(
                field::value(object, &super::mark::PATH),
                None,
                "{key:?} {what:?}"
            );
        }
    }
    if what.1 == Meddling::Touch && !server.objects.values().any(has_label) {
        assert_eq!(server.essence(), reference.essence(), "{what:?}");
    }
    for object in server.objects.values() {
        let ours = object
            .to_string()
            .contains(&format!("\"manager\":\"{FIELD_MANAGER}\""));
        assert!(
            !ours || server.finalizer,
            "we own nothing at the end: {what:?}"
        );
    }
    assert!(
        !server
            .objects
            .values()
            .any(|o| o.to_string().contains(ANNOTATION))
            || server.finalizer
    );
}

fn has_label(object: &Value) -> bool {
    field::value(object, &["metadata", "labels", "seen"]).is_some()
}
