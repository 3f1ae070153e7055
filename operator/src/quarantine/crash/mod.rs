//! Every point at which a run can stop, and every pair of them, over the very steps the operator
//! runs, against the objects of the server in memory that all tests have, with the ownership of fields
//! that the real one keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Arc;

use charttrust_verify::release::ManifestObject;
use jiff::Timestamp;
use json_patch::PatchOperation;
use serde_json::{Value, json};

use super::annotation::{ANNOTATION, Annotation, Carried};
use super::incident::IncidentId;
use super::listed::Listed;
use super::neighbourhood::Neighbourhood;
use super::object_error::ObjectError;
use super::observed::{Observed, Starter};
use super::original::Original;
use super::pod::Pod;
use super::servers::Servers;
use super::step::next;
use super::target::{TARGETS, Target};
use super::view::{Again, View};
use super::write::{Precondition, Write};
use super::{fields, plan, policies};
use crate::api::FIELD_MANAGER;
use crate::api::conditions::find;
use crate::api::quarantine::{
    ContainedObject, ObjectState, QuarantineSpec, QuarantineState, QuarantineStatus,
};
use crate::api::quarantine_words::{QuarantineAction, QuarantineCondition};
use crate::fake_cluster::Objects;
use crate::inventory::ReleaseId;

mod again;
mod denials;
mod ends;
mod hindered;
mod left;
mod stops;
mod tools;
mod upgrades;
mod volumes;

/// Of what the record lists, the workload of a neighbour goes on.
const IN_FORCE: QuarantineState = QuarantineState::Partial;
const UID: &str = "quarantine-uid";
const NAMESPACE: &str = "shop";

type Key = (String, String);

/// What the server holds.
#[derive(Clone, Debug)]
struct Server {
    objects: Objects<Key>,
    finalizer: bool,
    end: End,
    status: QuarantineStatus,
    /// The version of the Quarantine itself.
    own_version: u64,
    /// The value that a person last gave each object, which is what a restore must bring back.
    wanted: BTreeMap<Key, Option<Value>>,
    /// How often each object was stopped and started by us.
    transitions: BTreeMap<Key, (u32, u32)>,
    writes: usize,
    /// As if our patches carried no precondition.
    ignores_preconditions: bool,
    /// What it does not let be written, and how often.
    refuses: Option<(Key, Refusing)>,
    /// What it does not let be read.
    hides: Option<Key>,
    /// A policy of ours that selects a Pod of somebody else.
    shares: Option<Key>,
    /// uid of the Quarantine.
    uid: String,
    /// uids of Quarantines that were removed by force.
    gone: BTreeSet<String>,
    /// What the last run knew at its end.
    told: QuarantineStatus,
    /// The newest revision of the release, and whether it is bad too.
    revision: u64,
    /// The newest that Helm has applied whole; with none it is that.
    settled: u64,
    again: Again,
    pods: Vec<Value>,
    /// What the newest revision says that it runs nothing.
    stopped: Option<Key>,
    /// Who has started the quarantine, and what of the release the API server calls.
    by: Starter,
    servers: Servers,
    now: Timestamp,
}

/// What is being deleted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Namespace,
    Nowhere,
    Quarantine,
}

/// How often writes of an object are refused though their preconditions hold.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Refusing {
    Always,
    Once,
}

/// Why a write was not done.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Denied {
    Changed,
    Refused,
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
pub(super) fn observed() -> Observed {
    Server::new().observed()
}

fn was(replicas: u32) -> Original {
    Original::of(Some(&json!(replicas)))
}

fn key(kind: &str, name: &str) -> Key {
    (kind.to_owned(), name.to_owned())
}

fn key_of(object: &Value) -> Key {
    key(
        fields::text(object, &["kind"]).unwrap(),
        fields::text(object, &["metadata", "name"]).unwrap(),
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
                "f:persistentVolumeClaimRetentionPolicy": {"f:whenScaled": {}},
            }})),
        },
        "spec": spec,
    })
}

/// A Deployment of the release.
fn deployment(name: &str, replicas: u32) -> Value {
    let spec = json!({"replicas": replicas, "selector": {"matchLabels": {"app": name}}});
    workload("apps/v1", "Deployment", name, "web", spec)
}

/// A Pod of a Deployment, on a node.
fn pod(name: &str, owner: &str, phase: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "labels": {"app": owner},
            "ownerReferences": [{"controller": true, "kind": "Deployment", "name": owner,
                "uid": format!("Deployment-{owner}")}],
        },
        "spec": {"nodeName": "node"},
        "status": {"phase": phase},
    })
}

fn objects() -> Vec<Value> {
    let labels = |name: &str| json!({"matchLabels": {"app": name}});
    let web = json!({"replicas": 3, "selector": labels("web")});
    let neighbour = json!({"replicas": 2, "selector": labels("neighbour")});
    let agent = json!({"selector": labels("agent"), "template": {"spec": {}}});
    let db = json!({"replicas": 2, "selector": labels("db"),
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Delete"}});
    let nightly = json!({"suspend": false, "startingDeadlineSeconds": 60, "jobTemplate": {"spec": {"template": {"metadata":
        {"labels": {"app": "nightly"}}}}}});
    vec![
        workload("apps/v1", "Deployment", "web", "web", web),
        workload("apps/v1", "Deployment", "neighbour", "other", neighbour),
        workload("apps/v1", "DaemonSet", "agent", "web", agent),
        workload("apps/v1", "StatefulSet", "db", "web", db),
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

/// No object.
const NOBODY: [&str; 0] = [];

/// The names of the policies that deny traffic.
fn denials(server: &Server) -> Vec<Key> {
    let all = server.objects.keys().filter(|key| key.0 == policies::KIND);
    all.cloned().collect()
}

impl Server {
    fn new() -> Self {
        let objects: Objects<_> = objects().into_iter().map(|o| (key_of(&o), o)).collect();
        let wanted = objects
            .iter()
            .map(|(key, object)| (key.clone(), value(object).cloned()))
            .collect();
        Self {
            objects,
            finalizer: false,
            end: End::Nowhere,
            status: QuarantineStatus::default(),
            own_version: 1,
            wanted,
            transitions: BTreeMap::new(),
            writes: 0,
            ignores_preconditions: false,
            refuses: None,
            hides: None,
            shares: None,
            uid: UID.to_owned(),
            gone: BTreeSet::new(),
            told: QuarantineStatus::default(),
            revision: 7,
            settled: 0,
            again: Again::SameRevision,
            pods: Vec::new(),
            stopped: None,
            by: Starter::Person,
            servers: Servers::default(),
            now: "2026-11-18T10:00:00Z".parse().unwrap(),
        }
    }

    /// The release gets another object.
    fn add(&mut self, object: &Value) {
        self.wanted.insert(key_of(object), value(object).cloned());
        self.objects.insert(key_of(object), object.clone());
    }

    /// Somebody, or an upgrade, scales a Deployment.
    fn scale(&mut self, name: &str, replicas: u32) {
        let web = key("Deployment", name);
        let live = self.objects[&web].clone();
        let scale = fields::set(&live, &["spec", "replicas"], json!(replicas));
        self.patch(&web, &[scale], "person").unwrap();
        self.wanted.insert(web.clone(), Some(json!(replicas)));
        self.transitions.insert(web, (0, 0));
    }

    /// A person lets a deployer go on.
    fn resume(&mut self, deployer: &Key) {
        let live = self.objects[deployer].clone();
        let resume = fields::set(&live, &["spec", "suspend"], json!(false));
        self.patch(deployer, &[resume], "person").unwrap();
        self.wanted.insert(deployer.clone(), Some(json!(false)));
        self.transitions.insert(deployer.clone(), (0, 0));
    }

    /// One that refuses an object.
    fn refusing(key: &Key, refusing: Refusing) -> Self {
        Self {
            refuses: Some((key.clone(), refusing)),
            ..Self::new()
        }
    }

    /// The objects that are recorded and not contained. How many are depends on the actions that there are,
    /// and all are taken here.
    fn not_contained(&self) -> Vec<&str> {
        let all = self.status.objects.iter();
        let left = all.filter(|record| record.state != ObjectState::Contained);
        left.map(|record| record.name.as_str()).collect()
    }

    /// What a run reads before it writes.
    fn view(&self) -> View {
        let spec = QuarantineSpec {
            actions: QuarantineAction::ALL.iter().rev().copied().collect(),
            reason: "a test".to_owned(),
            policy: None,
        };
        let records = self.status.objects.iter();
        let hidden = |record: &ContainedObject| is(self.hides.as_ref(), record);
        let live: Vec<_> = records
            .clone()
            .map(|record| {
                if hidden(record) {
                    Err(ObjectError::unread("cannot be read".to_owned()))
                } else {
                    Ok(self.live(record))
                }
            })
            .collect();
        let shared = records
            .enumerate()
            .filter(|(_, record)| is(self.shares.as_ref(), record));
        let foreign_pods = shared.map(|(index, _)| (index, "Pod stranger".to_owned()));
        let mut view = View {
            release: release(),
            uid: self.uid.clone(),
            by: self.by,
            generation: 1,
            resource_version: self.own_version.to_string(),
            has_finalizer: self.finalizer,
            is_ending: self.end != End::Nowhere,
            word: super::view::Word::Nothing,
            spec,
            status: self.status.clone(),
            incident: IncidentId::Manual(self.uid.clone()),
            observed: Some(match self.end {
                End::Nowhere => self.observed(),
                End::Namespace | End::Quarantine => Observed::of(self.observed().listed),
            }),
            plan: None,
            again: self.again,
            created: None,
            live: Vec::new(),
            errors: BTreeMap::new(),
            conflicts: BTreeMap::new(),
            allowing: Vec::new(),
            foreign_pods: foreign_pods.collect(),
            protected: Vec::new(),
            freeze: crate::quarantine::Freeze::default(),
            is_going: self.end == End::Namespace,
            since: None,
            now: self.now,
        };
        view.take_in(live);
        if self.end == End::Nowhere {
            view.plan = plan::of(&view);
        }
        view
    }

    fn live(&self, record: &ContainedObject) -> Option<Value> {
        self.objects.get(&key(&record.kind, &record.name)).cloned()
    }

    fn observed(&self) -> Observed {
        let is_workload = |object: &&Value| target(object).is_some_and(Target::is_workload);
        let workloads: Vec<_> = self.objects.values().filter(is_workload).cloned().collect();
        let listed = |object: &Value| ManifestObject {
            api_version: fields::text(object, &["apiVersion"]).unwrap().to_owned(),
            kind: fields::text(object, &["kind"]).unwrap().to_owned(),
            namespace: None,
            name: key_of(object).1,
            generated: false,
        };
        let is_stopped = |object: &&Value| self.stopped.as_ref() == Some(&key_of(object));
        Observed {
            listed: Ok(Listed {
                namespace: NAMESPACE.to_owned(),
                // The record names a workload of a neighbour, as a forged one would.
                objects: workloads.iter().map(listed).collect(),
                revision: self.revision,
                settled: self.settled,
                stopped: workloads.iter().filter(is_stopped).map(listed).collect(),
                ..Listed::default()
            }),
            workloads,
            deployers: vec![self.objects[&key("HelmRelease", "web")].clone()],
            brought: Vec::new(),
            autoscalers: Vec::new(),
            neighbours: Arc::new(Neighbourhood {
                pods: self.pods.iter().filter_map(Pod::of).collect(),
                ..Neighbourhood::default()
            }),
            gone: self.gone.clone(),
            servers: self.servers.clone(),
            unlisted_kinds: Vec::new(),
            is_unseen: false,
        }
    }

    /// A write, as the real server takes or refuses it.
    fn write(&mut self, view: &View, write: &Write) -> Result<Option<Value>, Denied> {
        let own = |server: &mut Self| {
            let version = json!({"metadata": {"resourceVersion": server.own_version.to_string()}});
            Ok(Some(version))
        };
        if let Some(index) = write.object() {
            self.admit(&view.status.objects[index])?;
        }
        match write {
            Write::AddFinalizer | Write::RemoveFinalizer | Write::Status(_)
                if view.resource_version != self.own_version.to_string() =>
            {
                Err(Denied::Changed)
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
                let mut object = object.clone();
                let spec = json!({"f:spec": {"f:podSelector": {}, "f:policyTypes": {}}});
                object["metadata"]["managedFields"] = owned_by(FIELD_MANAGER, "Update", spec);
                let created = self.objects.create(key_of(&object), object);
                created.map(Some).map_err(|_| Denied::Changed)
            }
            Write::Delete(index, precondition) => {
                let record = &view.status.objects[*index];
                let key = key(&record.kind, &record.name);
                let Precondition {
                    uid,
                    resource_version,
                } = precondition;
                let wanted = json!({"uid": uid, "resourceVersion": resource_version});
                let deleted = self.objects.delete(&key, &wanted);
                deleted.map(|_| None).map_err(|_| Denied::Changed)
            }
            Write::Change(index, operations) => {
                let record = &view.status.objects[*index];
                self.patch(&key(&record.kind, &record.name), operations, FIELD_MANAGER)
            }
        }
    }

    /// As an admission policy does, which is asked before any precondition is looked at.
    fn admit(&mut self, record: &ContainedObject) -> Result<(), Denied> {
        let Some((refused, refusing)) = &self.refuses else {
            return Ok(());
        };
        if *refused != key(&record.kind, &record.name) {
            return Ok(());
        }
        if *refusing == Refusing::Once {
            self.refuses = None;
        }
        Err(Denied::Refused)
    }

    fn patch(
        &mut self,
        key: &Key,
        operations: &[PatchOperation],
        manager: &str,
    ) -> Result<Option<Value>, Denied> {
        let before = self.objects.get(key).ok_or(Denied::Changed)?.clone();
        let mut operations = operations.to_vec();
        let is_test = |one: &PatchOperation| matches!(one, PatchOperation::Test(_));
        operations.retain(|one| !self.ignores_preconditions || !is_test(one));
        let after = self.objects.patched(key, &operations);
        let mut after = after.map_err(|_| Denied::Changed)?;
        attribute(&before, &mut after, manager);
        prune(&mut after);
        let target = target(&after).unwrap();
        let held = (target.is_held(&before), target.is_held(&after));
        if manager == FIELD_MANAGER {
            let count = self.transitions.entry(key.clone()).or_default();
            count.0 += u32::from(held == (false, true));
            count.1 += u32::from(held == (true, false));
        }
        Ok(Some(self.objects.put(key.clone(), after)))
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
        let marked = fields::value(&live, &super::annotation::PATH).is_some();
        let operations = match meddling {
            Meddling::Scale if key.0 == "Deployment" => {
                self.wanted.insert(key.clone(), Some(json!(5)));
                vec![fields::set(&live, target.field, json!(5))]
            }
            Meddling::RemoveMark if marked => fields::unset(&live, &super::annotation::PATH)
                .into_iter()
                .collect(),
            Meddling::EditOriginal if marked => {
                let Carried::Annotation(mut annotation) = Annotation::of(&live) else {
                    return;
                };
                annotation.original = was(99);
                vec![fields::set(
                    &live,
                    &super::annotation::PATH,
                    annotation.text(),
                )]
            }
            Meddling::Touch => vec![fields::set(
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
                    self.told = view.status;
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
                match (answer, write.object()) {
                    (Ok(answer), _) => view.take_result(&write, answer),
                    (Err(denied), Some(index)) => {
                        let live = self.live(&view.status.objects[index]);
                        view.note_conflict(index, Ok(live), object_error(denied));
                    }
                    (Err(_), None) => break,
                }
                assert!(number < 1000, "no end in sight: {write:?}");
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
        server.end();
        server.run_through(stops, meddling);
        server
    }

    fn end(&mut self) {
        self.end = End::Quarantine;
        self.own_version += 1;
    }

    /// The condition names the object.
    fn is_told(&self, object: &Key, condition: QuarantineCondition) {
        let told = find(&self.status.conditions, condition).unwrap();
        let name = format!("{} {}", object.0, object.1);
        assert!(told.message.contains(&name), "{name}: {}", told.message);
        assert!(told.message.contains("refuses"), "{}", told.message);
    }

    /// What must hold after every write; the auditor of the stories has the whole list of these.
    fn check(&self, write: &Write, view: &View) {
        self.check_objects(write);
        self.check_records();
        self.check_write(write, view);
    }

    /// No value is lost, and none flaps.
    fn check_objects(&self, write: &Write) {
        for (key, object) in self.objects.iter() {
            let Some(target) = target(object) else {
                continue;
            };
            let (stopped, started) = self.transitions.get(key).copied().unwrap_or_default();
            assert!(stopped <= 1 && started <= 1, "I3 {key:?} {write:?}");
            let annotation = match Annotation::of(object) {
                Carried::Annotation(annotation) => Some(annotation),
                Carried::Nothing | Carried::Unreadable => None,
            };
            let by_us = stopped > started && target.is_held(object);
            assert!(
                !by_us || target.guarding(object).is_none(),
                "I6 volumes are deleted: {key:?} {write:?}"
            );
            if let Some(annotation) =
                annotation.filter(|annotation| by_us && annotation.original != was(99))
            {
                assert_eq!(
                    annotation.original,
                    Original::of(self.wanted[key].as_ref()),
                    "I1 {key:?} {write:?}"
                );
            }
        }
    }

    /// What is recorded is what was there, and the annotations agree.
    fn check_records(&self) {
        for record in &self.status.objects {
            let saved = super::saved::original(record);
            let first = objects()
                .into_iter()
                .find(|object| key_of(object) == key(&record.kind, &record.name));
            let first = Original::of(first.as_ref().and_then(value));
            let key = key(&record.kind, &record.name);
            let is_moved = self
                .wanted
                .get(&key)
                .is_some_and(|wanted| saved.is(wanted.as_ref()))
                && record.state == ObjectState::Planned;
            let is_saved = self.transitions.contains_key(&key) || saved == first || is_moved;
            assert!(is_saved, "I2 {key:?}");
            let annotation = self.objects.get(&key).map(Annotation::of);
            if let Some(Carried::Annotation(annotation)) =
                annotation.filter(|_| target(&self.objects[&key]).is_some())
            {
                let is_edited = annotation.original == was(99);
                // Of what a later revision has set again, or a tool, the older one is still there.
                let is_of_another = annotation.quarantine != self.uid
                    || annotation.revision != record.revision
                    || record.undone.is_some() && record.state == ObjectState::Planned;
                assert!(
                    is_edited || is_of_another || annotation.original == saved,
                    "I2 {key:?}"
                );
            }
        }
    }

    /// Nothing of others is written, and nothing before its original is saved.
    fn check_write(&self, write: &Write, view: &View) {
        if let Write::Change(index, _) | Write::Delete(index, _) = write {
            let record = &view.status.objects[*index];
            assert_ne!(record.name, "neighbour", "I5");
            let is_here = record.namespace.is_none();
            assert!(
                !(self.end == End::Namespace && is_here),
                "what goes is left: {write:?}"
            );
            assert!(view.status.incident.is_some(), "originals are saved first");
        }
    }

    /// The objects without what no two runs have in common.
    fn essence(&self) -> BTreeMap<Key, Value> {
        let mut objects = BTreeMap::clone(&self.objects);
        for object in objects.values_mut() {
            object["metadata"]["resourceVersion"] = Value::Null;
        }
        objects
    }
}

fn target(object: &Value) -> Option<&'static Target> {
    let kind = fields::text(object, &["kind"])?;
    TARGETS.iter().find(|target| target.kind == kind)
}

fn value(object: &Value) -> Option<&Value> {
    target(object)?.value(object)
}

/// Fields that were changed belong to whoever changed them (structured-merge-diff).
fn attribute(before: &Value, after: &mut Value, manager: &str) {
    let target = target(after).unwrap();
    let guard = target.guard().map(|guard| guard.field);
    let paths = [target.owned, &super::annotation::PATH];
    for path in paths.into_iter().chain(guard) {
        let (old, new) = (fields::value(before, path), fields::value(after, path));
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

fn is(wanted: Option<&Key>, record: &ContainedObject) -> bool {
    wanted == Some(&key(&record.kind, &record.name))
}

fn object_error(denied: Denied) -> ObjectError {
    ObjectError {
        why: format!("the API server refuses the change: {denied:?}"),
        is_passing: false,
        is_unread: false,
    }
}

fn every_stop(writes: usize) -> Vec<Stop> {
    (0..writes)
        .flat_map(|number| [Stop::Before(number), Stop::After(number)])
        .collect()
}

/// Every object that a quarantine of the test changes or makes.
fn changed() -> Vec<Key> {
    let mut server = Server::new();
    server.run_through(&[], None);
    let records = server.status.objects.iter();
    records.map(|one| key(&one.kind, &one.name)).collect()
}
