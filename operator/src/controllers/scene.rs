//! A context over a small API server in memory, for tests of what is decided and written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use charttrust_verify::check::{Judgement, PolicyVerdict};
use charttrust_verify::key::{HardRevocation, RevocationWord};
use charttrust_verify::verdict::{Reason, Verdict};
use jiff::Timestamp;
use kube::{Client, Config};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::world::Reading;
use super::{ContainmentSettings, Context, Settings};
use crate::api::Quarantine;
use crate::inventory::ReleaseId;
use crate::inventory::helm::{Driver, RecordKey, RecordMeta};
use crate::leader::Mandate;
use crate::metrics::Metrics;
use crate::parse;
use crate::sources;

/// The operator's own namespace.
pub(super) const HOME: &str = "charttrust-system";
/// uid of each Quarantine.
pub(super) const UID: &str = "quarantine-uid";
/// The policy of [`Scene::automatic`].
pub(super) const POLICY: &str = "strict";

/// What is known of a cluster, and the cluster.
pub(super) struct Scene {
    pub(super) context: Context,
    pub(super) cluster: Cluster,
    _server: MockServer,
}

/// The objects of an API server by their paths, and the writes that reached it.
#[derive(Clone, Debug, Default)]
pub(super) struct Cluster(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Value>,
    versions: u64,
    writes: Vec<Write>,
    /// What it answers to writes of a kind, by verb and part of the path.
    refusals: Vec<(&'static str, &'static str, Refusal)>,
}

/// Code and reason.
type Refusal = (u16, &'static str);

/// A write that reached the server, whatever it answered.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) verb: String,
    pub(super) path: String,
    pub(super) body: Value,
}

impl Scene {
    /// With these settings of containment, and nothing known.
    pub(super) async fn with(containment: Option<ContainmentSettings>, mandate: Mandate) -> Self {
        let server = MockServer::start().await;
        let cluster = Cluster::default();
        let mock = Mock::given(any()).respond_with(cluster.clone());
        mock.mount(&server).await;
        let client = Client::try_from(Config::new(server.uri().parse().unwrap())).unwrap();
        let settings = Settings {
            namespace: HOME.to_owned(),
            sources: sources::Settings {
                allowed_hosts: Vec::new(),
                limits: sources::Limits::default(),
                user_agent: "charttrust".to_owned(),
            },
            containment,
        };
        Self {
            context: Context::new(client, mandate, settings, Arc::new(Metrics::default())),
            cluster,
            _server: server,
        }
    }

    /// One that contains by itself: `shop/web` was installed, and is bad by its policy.
    pub(super) async fn automatic() -> Self {
        let scene = Self::with(Some(ContainmentSettings::default()), Mandate::Alone).await;
        scene.declare(&json!({}));
        scene.install(&web(), Driver::Secret);
        scene.judge(&web(), vec![stolen()]);
        scene
    }

    /// Declares the policy, with changes to the quarantine that it asks for.
    pub(super) fn declare(&self, changes: &Value) {
        let mut quarantine = json!({
            "onReasons": ["KeyCompromised"], "approval": "Automatic", "after": "0s",
            "actions": ["ScaleToZero"], "limit": {"maxReleases": 5, "maxPercent": 100},
        });
        json_patch::merge(&mut quarantine, changes);
        self.declare_spec(&json!({"quarantine": quarantine}));
    }

    /// Declares the policy, with changes to its whole specification.
    pub(super) fn declare_spec(&self, changes: &Value) {
        let mut spec = json!({"rules": [{
            "name": "all", "charts": ["*"],
            "sources": [{"url": "https://charts.example.com"}],
            "verify": {"signers": {"keys": ["platform"]}},
        }]});
        json_patch::merge(&mut spec, changes);
        let object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
            "metadata": {"name": POLICY, "generation": 1}, "spec": spec,
        });
        let loaded = parse::policy(&serde_json::from_value(object).unwrap());
        assert_eq!(loaded.problems, []);
        let reading = Reading {
            generation: 1,
            details: String::new(),
            at: Timestamp::UNIX_EPOCH,
        };
        self.context
            .world
            .set_policy(POLICY, Some((reading, loaded)));
    }

    /// A record of a release appears.
    pub(super) fn install(&self, release: &ReleaseId, driver: Driver) {
        let key = RecordKey {
            release: release.clone(),
            driver,
            revision: 1,
        };
        let meta = RecordMeta {
            resource_version: "1".to_owned(),
            claimed_status: "deployed".to_owned(),
        };
        self.context.records(driver).set(key, Some(meta));
    }

    /// The release is judged so.
    pub(super) fn judge(&self, release: &ReleaseId, policies: Vec<PolicyVerdict>) {
        let verdicts = policies.iter().map(|said| said.verdict);
        let judgement = Judgement {
            verdict: Verdict::worst(verdicts).unwrap(),
            policies,
            findings: Vec::new(),
        };
        self.context
            .world
            .update(release, |known| known.judgement = Some(judgement));
    }

    /// Its record goes.
    pub(super) fn uninstall(&self, release: &ReleaseId) {
        let key = RecordKey {
            release: release.clone(),
            driver: Driver::Secret,
            revision: 1,
        };
        self.context.mirrors.secrets.set(key, None);
    }

    /// A Quarantine of a release is on the server, started by the policy, and seen.
    pub(super) fn quarantine(&self, release: &ReleaseId, changes: &Value) {
        let ReleaseId { namespace, name } = release;
        let mut object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "Quarantine",
            "metadata": {"namespace": namespace, "name": name, "uid": UID, "generation": 1,
                "finalizers": [crate::quarantine::FINALIZER]},
            "spec": {"reason": "a test", "policy": POLICY, "actions": ["ScaleToZero"]},
        });
        json_patch::merge(&mut object, changes);
        let object = self.cluster.put(&quarantine_of(release), object);
        let object: Quarantine = serde_json::from_value(object).unwrap();
        let quarantines = &self.context.mirrors.quarantines;
        quarantines.set(release.clone(), Some(Ok(object)));
    }

    /// The writes to Quarantines, in words.
    pub(super) fn of_quarantines(&self) -> Vec<String> {
        let all = self.cluster.writes().into_iter();
        all.filter(|write| write.path.contains("/quarantines"))
            .map(|write| {
                let place = write.path.split("/namespaces/").nth(1).unwrap();
                format!("{} {place}", write.verb)
            })
            .collect()
    }
}

pub(super) fn id(namespace: &str, name: &str) -> ReleaseId {
    ReleaseId {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

pub(super) fn web() -> ReleaseId {
    id("shop", "web")
}

pub(super) fn quarantine_of(release: &ReleaseId) -> String {
    let ReleaseId { namespace, name } = release;
    format!("/apis/charttrust.io/v1alpha1/namespaces/{namespace}/quarantines/{name}")
}

/// The policy has nothing against it, or something that names no revocation.
pub(super) fn said(verdict: Verdict) -> PolicyVerdict {
    PolicyVerdict {
        policy: POLICY.to_owned(),
        rule: Some("all".to_owned()),
        verdict,
        exempt_by: None,
        origin: None,
        revocations: BTreeSet::new(),
    }
}

/// The policy says that its key was stolen.
pub(super) fn stolen() -> PolicyVerdict {
    PolicyVerdict {
        revocations: BTreeSet::from([revocation()]),
        ..said(Verdict::Untrusted(Reason::KeyCompromised))
    }
}

pub(super) fn revocation() -> HardRevocation {
    HardRevocation {
        fingerprint: "0123456789ABCDEF0123456789ABCDEF01234567".parse().unwrap(),
        word: RevocationWord::Certificate("5eed".to_owned()),
    }
}

impl Cluster {
    /// Puts an object at a path, as somebody else would.
    pub(super) fn put(&self, path: &str, object: Value) -> Value {
        self.state().put(path, object)
    }

    /// What is at a path.
    pub(super) fn find(&self, path: &str) -> Option<Value> {
        self.state().objects.get(path).cloned()
    }

    /// From now on, requests with this verb whose path contains this are answered so.
    pub(super) fn refuse(&self, verb: &'static str, part: &'static str, refusal: Refusal) {
        self.state().refusals.push((verb, part, refusal));
    }

    /// Every write that reached the server.
    pub(super) fn writes(&self) -> Vec<Write> {
        self.state().writes.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Respond for Cluster {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut state = self.state();
        let path = request.url.path();
        let path = path.strip_suffix("/status").unwrap_or(path).to_owned();
        let body = serde_json::from_slice(&request.body).unwrap_or_default();
        let verb = request.method.as_str();
        if verb != "GET" {
            state.writes.push(Write {
                verb: verb.to_owned(),
                path: request.url.path().to_owned(),
                body: Value::clone(&body),
            });
        }
        let refusal = state.refusal(verb, &path);
        let answer = match verb {
            _ if refusal.is_some() => Err(refusal.unwrap_or(NOT_FOUND)),
            "GET" if is_collection(&path) => Ok(state.list(&path, request.url.query())),
            "GET" => state.get(&path),
            "POST" => state.create(&path, body),
            "PUT" => state.replace(&path, body),
            "PATCH" => state.patch(&path, body),
            "DELETE" => state.delete(&path, &body),
            other => panic!("{other} {path}"),
        };
        match answer {
            Ok(object) => ResponseTemplate::new(200).set_body_json(object),
            Err((code, reason)) => ResponseTemplate::new(code).set_body_json(json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "reason": reason, "message": reason, "code": code,
            })),
        }
    }
}

type Answer = Result<Value, Refusal>;

const NOT_FOUND: Refusal = (404, "NotFound");
const CONFLICT: Refusal = (409, "Conflict");

/// Whether a path names all objects of a kind, not one.
fn is_collection(path: &str) -> bool {
    let parts: Vec<_> = path.split('/').skip(1).collect();
    let prefix = if parts[0] == "api" { 2 } else { 3 };
    let rest = &parts[prefix..];
    rest.len() == 1 || (rest[0] == "namespaces" && rest.len() == 3)
}

impl State {
    fn refusal(&self, verb: &str, path: &str) -> Option<Refusal> {
        let mut refusals = self.refusals.iter();
        let found = refusals.find(|(of, part, _)| *of == verb && path.contains(part));
        found.map(|(.., refusal)| *refusal)
    }

    fn put(&mut self, path: &str, mut object: Value) -> Value {
        self.versions += 1;
        object["metadata"]["resourceVersion"] = json!(self.versions.to_string());
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    fn get(&self, path: &str) -> Answer {
        self.objects.get(path).cloned().ok_or(NOT_FOUND)
    }

    fn list(&self, path: &str, query: Option<&str>) -> Value {
        let wanted = query.and_then(|query| query.split("metadata.name%3D").nth(1));
        let wanted = wanted.and_then(|name| name.split('&').next());
        let inside = format!("{path}/");
        let items = self.objects.iter().filter(|(key, object)| {
            let name = key.strip_prefix(&inside);
            name.is_some_and(|name| !name.contains('/'))
                && wanted.is_none_or(|wanted| object["metadata"]["name"] == wanted)
        });
        let items: Vec<_> = items.map(|(_, object)| object).collect();
        json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items})
    }

    fn create(&mut self, path: &str, mut object: Value) -> Answer {
        let name = object["metadata"]["name"].as_str().unwrap_or("unnamed");
        let path = format!("{path}/{name}");
        if self.objects.contains_key(&path) {
            return Err((409, "AlreadyExists"));
        }
        object["metadata"]["uid"] = json!(format!("uid-{}", self.versions));
        Ok(self.put(&path, object))
    }

    fn replace(&mut self, path: &str, mut object: Value) -> Answer {
        let found = self.get(path)?;
        let version = &object["metadata"]["resourceVersion"];
        if version.is_string() && *version != found["metadata"]["resourceVersion"] {
            return Err(CONFLICT);
        }
        // A status carries the metadata that were read, not all that there are.
        object["metadata"] = found["metadata"].clone();
        Ok(self.put(path, object))
    }

    fn patch(&mut self, path: &str, operations: Value) -> Answer {
        let mut object = self.get(path)?;
        let patch: json_patch::Patch = serde_json::from_value(operations).unwrap();
        json_patch::patch(&mut object, &patch).map_err(|_| (422, "Invalid"))?;
        let rests = |object: &Value| {
            let finalizers = object["metadata"]["finalizers"].as_array();
            finalizers.is_some_and(|all| !all.is_empty())
        };
        if object["metadata"]["deletionTimestamp"].is_string() && !rests(&object) {
            self.objects.remove(path);
            return Ok(object);
        }
        Ok(self.put(path, object))
    }

    fn delete(&mut self, path: &str, options: &Value) -> Answer {
        let mut object = self.get(path)?;
        let uid = &options["preconditions"]["uid"];
        if uid.is_string() && *uid != object["metadata"]["uid"] {
            return Err(CONFLICT);
        }
        object["metadata"]["deletionTimestamp"] = json!("2026-11-18T10:00:00Z");
        Ok(self.put(path, object))
    }
}
