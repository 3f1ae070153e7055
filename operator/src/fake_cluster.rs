//! The one API server in memory of all tests: what is read and written, and by which precondition.
//!
//! [`FakeCluster`] answers over HTTP, [`Objects`] is what it holds; runs that try thousands of stops use
//! that alone, without a port.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use json_patch::PatchOperation;
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::sync::watch;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

/// The objects of an API server by their paths, and the writes that reached it.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeCluster(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    objects: Objects<String>,
    requests: watch::Sender<usize>,
    writes: Vec<Write>,
    /// What it answers to requests of a kind, by verb and part of the path.
    refusals: Vec<(&'static str, &'static str, Refusal)>,
    /// What nobody may do, as verb and resource.
    denied: Vec<&'static str>,
    /// What others write just before the next write at a path; nothing deletes it.
    meddling: Vec<(String, Option<Value>)>,
}

/// Code and reason.
pub(crate) type Refusal = (u16, &'static str);

/// A write that reached the server, whatever it answered.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) verb: String,
    pub(crate) path: String,
    pub(crate) body: Value,
}

impl FakeCluster {
    /// A server with these objects, and a client of it.
    pub(crate) async fn start(self) -> (MockServer, Client) {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(self).mount(&server).await;
        let client = Client::try_from(Config::new(server.uri().parse().unwrap())).unwrap();
        (server, client)
    }

    /// Puts an object at a path, as somebody else would.
    pub(crate) fn put(&self, path: &str, object: Value) -> Value {
        self.state().objects.put(path.to_owned(), object)
    }

    /// Puts an object at a path as it is, with the version that it names.
    pub(crate) fn hold(&self, path: &str, object: Value) {
        self.state().objects.insert(path.to_owned(), object);
    }

    /// What is at a path.
    pub(crate) fn find(&self, path: &str) -> Option<Value> {
        self.state().objects.get(path).cloned()
    }

    /// Deletes what is at a path, as somebody else would.
    pub(crate) fn remove(&self, path: &str) {
        self.state().objects.remove(path);
    }

    /// From now on, requests with this verb whose path contains this are answered so.
    pub(crate) fn refuse(&self, verb: &'static str, part: &'static str, refusal: Refusal) {
        self.state().refusals.push((verb, part, refusal));
    }

    #[allow(
        dead_code,
        reason = "only the tests of whole commands ask about rights"
    )]
    /// From now on, whoever asks about this right (as `list secrets`) is told that nobody has it.
    pub(crate) fn deny(&self, right: &'static str) {
        self.state().denied.push(right);
    }

    /// From now on, nothing is refused.
    pub(crate) fn allow(&self) {
        self.state().refusals.clear();
    }

    /// Just before the next write at a path, somebody else puts this there, or deletes what is.
    pub(crate) fn meddle(&self, path: &str, object: Option<Value>) {
        self.state().meddling.push((path.to_owned(), object));
    }

    /// Every write that reached the server.
    pub(crate) fn writes(&self) -> Vec<Write> {
        self.state().writes.clone()
    }

    /// How many requests have reached the server.
    pub(crate) fn requests(&self) -> usize {
        *self.state().requests.borrow()
    }

    #[allow(dead_code, reason = "only the tests of whole commands wait for it")]
    /// Waits until so many requests have reached the server.
    pub(crate) async fn asked(&self, requests: usize) {
        let mut all = self.state().requests.subscribe();
        // Invariant: the sender lives as long as this cluster.
        let _ = all.wait_for(|asked| *asked >= requests).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Respond for FakeCluster {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut state = self.state();
        state.requests.send_modify(|requests| *requests += 1);
        let path = request.url.path();
        let path = path.strip_suffix("/status").unwrap_or(path).to_owned();
        let body = serde_json::from_slice(&request.body).unwrap_or_default();
        let verb = request.method.as_str();
        // Reviews of rights are answered and kept nowhere.
        let is_review = path.ends_with("accessreviews");
        if verb != "GET" && !is_review {
            state.writes.push(Write {
                verb: verb.to_owned(),
                path: request.url.path().to_owned(),
                body: Value::clone(&body),
            });
        }
        if verb != "GET" {
            state.be_meddled_with(&path);
        }
        let refusal = state.refusal(verb, &path);
        let answer = match verb {
            _ if refusal.is_some() => Err(refusal.unwrap_or(NOT_FOUND)),
            // Groups may be known or not: kinds are asked for one by one.
            "GET" if path == "/apis" => Ok(json!({"kind": "APIGroupList", "groups": []})),
            // Everything has to be listed again: nothing is followed here.
            "GET" if is_watch(request) => Ok(json!({"type": "ERROR", "object": {
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "reason": "Expired", "message": "Expired", "code": 410,
            }})),
            "GET" if is_collection(&path) => Ok(state.list(&path, request.url.query())),
            "GET" => state.objects.found(&path),
            "POST" if is_review => Ok(state.review(body)),
            "POST" if path.ends_with("/selfsubjectreviews") => Ok(json!({"status": {"userInfo": {
                "username": "system:serviceaccount:charttrust-system:operator"}}})),
            "POST" if path.ends_with("/token") => Ok(token(&body, state.writes.len())),
            "POST" => state.objects.create(place(&path, &body), body),
            "PUT" if request.url.path() == path => state.objects.replace(&path, body),
            "PUT" => state.objects.replace_status(&path, body),
            "PATCH" => state.patch(&path, body),
            "DELETE" => state.objects.delete(&path, &body["preconditions"]),
            other => panic!("{other} {path}"),
        };
        match answer {
            Ok(object) => ResponseTemplate::new(200).set_body_json(object),
            Err(refusal) if refusal == UNKNOWN_KIND => {
                ResponseTemplate::new(404).set_body_string("404 page not found\n")
            }
            Err((code, reason)) => {
                let answer = ResponseTemplate::new(code).set_body_json(json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "reason": reason, "message": reason, "code": code,
                }));
                // As the real one does, which asks clients to come again.
                match code {
                    429 | 503 => answer.insert_header("Retry-After", "1"),
                    _ => answer,
                }
            }
        }
    }
}

/// A token, each another one. Whoever names no audience gets one for the API server's own.
fn token(request: &Value, number: usize) -> Value {
    let named = &request["spec"]["audiences"];
    let is_named = named.as_array().is_some_and(|named| !named.is_empty());
    let audiences = if is_named {
        named.clone()
    } else {
        json!([API_SERVER])
    };
    json!({"spec": {"audiences": audiences}, "status": {
        "token": format!("token-{number}"), "expirationTimestamp": "2100-01-01T00:00:00Z"}})
}

/// For whom tokens are that the API server takes.
pub(crate) const API_SERVER: &str = "https://kubernetes.default.svc";

pub(crate) type Answer = Result<Value, Refusal>;

/// As a server answers for a kind that it does not know: in plain text.
pub(crate) const UNKNOWN_KIND: Refusal = (404, "404 page not found");
const NOT_FOUND: Refusal = (404, "NotFound");
const CONFLICT: Refusal = (409, "Conflict");

fn is_watch(request: &Request) -> bool {
    let query = request.url.query().unwrap_or_default();
    query.contains("watch=true")
}

/// Whether a path names all objects of a kind, not one.
fn is_collection(path: &str) -> bool {
    let parts: Vec<_> = path.split('/').skip(1).collect();
    let prefix = if parts[0] == "api" { 2 } else { 3 };
    let rest = parts.get(prefix..).unwrap_or_default();
    rest.len() == 1 || (rest.first() == Some(&"namespaces") && rest.len() == 3)
}

/// Whether a path lists the object at `key`, whose namespace it does not name.
fn is_of_all_namespaces(key: &str, path: &str) -> bool {
    let Some((prefix, plural)) = path.rsplit_once('/') else {
        return false;
    };
    let inside = key.strip_prefix(&format!("{prefix}/namespaces/"));
    inside.is_some_and(|rest| rest.split('/').nth(1) == Some(plural))
}

impl State {
    fn be_meddled_with(&mut self, path: &str) {
        let Some(next) = self.meddling.iter().position(|(at, _)| at == path) else {
            return;
        };
        match self.meddling.remove(next).1 {
            Some(object) => drop(self.objects.put(path.to_owned(), object)),
            None => drop(self.objects.remove(path)),
        }
    }

    fn refusal(&self, verb: &str, path: &str) -> Option<Refusal> {
        let mut refusals = self.refusals.iter();
        let found = refusals.find(|(of, part, _)| *of == verb && path.contains(part));
        found.map(|(.., refusal)| *refusal)
    }

    fn review(&self, mut review: Value) -> Value {
        let asked = &review["spec"]["resourceAttributes"];
        let word = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
        let right = format!("{} {}", word("verb"), word("resource"));
        let allowed = !self.denied.iter().any(|denied| *denied == right);
        review["status"] = json!({"allowed": allowed});
        review
    }

    fn list(&self, path: &str, query: Option<&str>) -> Value {
        let wanted = query.and_then(|query| query.split("metadata.name%3D").nth(1));
        let wanted = wanted.and_then(|name| name.split('&').next());
        let items = self.objects.iter().filter(|(key, object)| {
            let is_in = |of: &str| key.strip_suffix(of).is_some_and(|key| key == path);
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let is_listed = is_in(&format!("/{name}")) || is_of_all_namespaces(key, path);
            is_listed && wanted.is_none_or(|wanted| name == wanted)
        });
        let number = |name: &str| {
            let mut all = query?.split('&').filter_map(|pair| pair.split_once('='));
            let (_, value) = all.find(|(key, _)| *key == name)?;
            value.parse::<usize>().ok()
        };
        let (from, limit) = (number("continue").unwrap_or_default(), number("limit"));
        let all: Vec<_> = items.map(|(_, object)| object).collect();
        let to = limit.map_or(all.len(), |limit| all.len().min(from + limit));
        let items = all.get(from..to).unwrap_or_default();
        let mut metadata = json!({"resourceVersion": self.objects.version.to_string()});
        if to < all.len() {
            metadata["continue"] = json!(to.to_string());
        }
        json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items})
    }

    fn patch(&mut self, path: &str, change: Value) -> Answer {
        let path_of = path.to_owned();
        let object = if change.is_array() {
            let patch: json_patch::Patch = serde_json::from_value(change).unwrap();
            self.objects.patched(&path_of, &patch)?
        } else {
            self.objects.merged(&path_of, &change)?
        };
        if object["metadata"]["deletionTimestamp"].is_string() && !is_held(&object) {
            self.objects.remove(path);
            return Ok(object);
        }
        Ok(self.objects.put(path.to_owned(), object))
    }
}

/// Where an object comes to lie that is posted to a collection.
fn place(path: &str, object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or("unnamed");
    format!("{path}/{name}")
}

/// Objects by their keys, with the versions and preconditions of an API server.
#[derive(Clone, Debug)]
pub(crate) struct Objects<K> {
    all: BTreeMap<K, Value>,
    /// The version that was given last.
    version: u64,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self {
            all: BTreeMap::new(),
            version: 0,
        }
    }
}

/// Objects that came with version 1.
impl<K: Ord> FromIterator<(K, Value)> for Objects<K> {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(all: I) -> Self {
        Self {
            all: all.into_iter().collect(),
            version: 1,
        }
    }
}

impl<K> Deref for Objects<K> {
    type Target = BTreeMap<K, Value>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl<K> DerefMut for Objects<K> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.all
    }
}

impl<K: Clone + Ord> Objects<K> {
    /// Puts an object, which gets the next version.
    pub(crate) fn put(&mut self, key: K, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.all.insert(key, object.clone());
        object
    }

    /// Puts an object where none is; it gets a uid that no other has had.
    pub(crate) fn create(&mut self, key: K, mut object: Value) -> Answer {
        if self.all.contains_key(&key) {
            return Err((409, "AlreadyExists"));
        }
        object["metadata"]["uid"] = json!(format!("uid-{}", self.version));
        Ok(self.put(key, object))
    }

    /// What an object becomes by a patch, all of whose tests hold; nothing is put.
    pub(crate) fn patched(&self, key: &K, operations: &[PatchOperation]) -> Answer {
        let mut object = self.all.get(key).cloned().ok_or(NOT_FOUND)?;
        json_patch::patch(&mut object, operations).map_err(|_| (422, "Invalid"))?;
        Ok(object)
    }

    /// What an object becomes by what is merged into it, on condition of the version and uid that are
    /// named there; nothing is put.
    pub(crate) fn merged(&self, key: &K, change: &Value) -> Answer {
        let mut object = self.all.get(key).cloned().ok_or(NOT_FOUND)?;
        for name in ["uid", "resourceVersion"] {
            let wanted = &change["metadata"][name];
            if wanted.is_string() && *wanted != object["metadata"][name] {
                return Err(CONFLICT);
            }
        }
        json_patch::merge(&mut object, change);
        Ok(object)
    }

    /// Deletes an object, or marks it as one that is to go, if the preconditions hold.
    pub(crate) fn delete(&mut self, key: &K, preconditions: &Value) -> Answer {
        let mut object = self.all.get(key).cloned().ok_or(NOT_FOUND)?;
        for name in ["uid", "resourceVersion"] {
            let wanted = &preconditions[name];
            if wanted.is_string() && *wanted != object["metadata"][name] {
                return Err(CONFLICT);
            }
        }
        if !is_held(&object) {
            self.all.remove(key);
            return Ok(object);
        }
        object["metadata"]["deletionTimestamp"] = json!("2026-11-18T10:00:00Z");
        Ok(self.put(key.clone(), object))
    }
}

impl Objects<String> {
    fn found(&self, path: &str) -> Answer {
        self.all.get(path).cloned().ok_or(NOT_FOUND)
    }

    fn replace(&mut self, path: &str, mut object: Value) -> Answer {
        let found = self.current(path, &object)?;
        object["metadata"]["uid"] = found["metadata"]["uid"].clone();
        Ok(self.put(path.to_owned(), object))
    }

    fn replace_status(&mut self, path: &str, mut object: Value) -> Answer {
        let found = self.current(path, &object)?;
        // A status carries the metadata that were read, not all that there are.
        object["metadata"] = found["metadata"].clone();
        Ok(self.put(path.to_owned(), object))
    }

    /// What is at a path, if what is to take its place was made of this version.
    fn current(&self, path: &str, object: &Value) -> Answer {
        let found = self.found(path)?;
        let version = &object["metadata"]["resourceVersion"];
        if version.is_string() && *version != found["metadata"]["resourceVersion"] {
            return Err(CONFLICT);
        }
        Ok(found)
    }
}

fn is_held(object: &Value) -> bool {
    let finalizers = object["metadata"]["finalizers"].as_array();
    finalizers.is_some_and(|all| !all.is_empty())
}
