//! A small API server in memory, for tests of what is read and written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::{Client, Config};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

/// The objects of an API server by their paths, and the writes that reached it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Value>,
    versions: u64,
    writes: Vec<Write>,
    /// What it answers to requests of a kind, by verb and part of the path.
    refusals: Vec<(&'static str, &'static str, Refusal)>,
    /// What others write just before the next write at a path; nothing deletes it.
    meddling: Vec<(String, Option<Value>)>,
}

/// Code and reason.
type Refusal = (u16, &'static str);

/// A write that reached the server, whatever it answered.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) verb: String,
    pub(crate) path: String,
    pub(crate) body: Value,
}

impl Cluster {
    /// A server with these objects, and a client of it.
    pub(crate) async fn start(self) -> (MockServer, Client) {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(self).mount(&server).await;
        let client = Client::try_from(Config::new(server.uri().parse().unwrap())).unwrap();
        (server, client)
    }

    /// Puts an object at a path, as somebody else would.
    pub(crate) fn put(&self, path: &str, object: Value) -> Value {
        self.state().put(path, object)
    }

    /// What is at a path.
    pub(crate) fn find(&self, path: &str) -> Option<Value> {
        self.state().objects.get(path).cloned()
    }

    /// From now on, requests with this verb whose path contains this are answered so.
    pub(crate) fn refuse(&self, verb: &'static str, part: &'static str, refusal: Refusal) {
        self.state().refusals.push((verb, part, refusal));
    }

    /// Just before the next write at a path, somebody else puts this there, or deletes what is.
    pub(crate) fn meddle(&self, path: &str, object: Option<Value>) {
        self.state().meddling.push((path.to_owned(), object));
    }

    /// Every write that reached the server.
    pub(crate) fn writes(&self) -> Vec<Write> {
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
        if verb != "GET" {
            state.be_meddled_with(&path);
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
            Some(object) => drop(self.put(path, object)),
            None => drop(self.objects.remove(path)),
        }
    }

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
        let items = self.objects.iter().filter(|(key, object)| {
            let is_in = |of: &str| key.strip_suffix(of).is_some_and(|key| key == path);
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let is_listed = is_in(&format!("/{name}")) || is_of_all_namespaces(key, path);
            is_listed && wanted.is_none_or(|wanted| name == wanted)
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
        if object["metadata"]["deletionTimestamp"].is_string() && !is_held(&object) {
            self.objects.remove(path);
            return Ok(object);
        }
        Ok(self.put(path, object))
    }

    fn delete(&mut self, path: &str, options: &Value) -> Answer {
        let mut object = self.get(path)?;
        for name in ["uid", "resourceVersion"] {
            let wanted = &options["preconditions"][name];
            if wanted.is_string() && *wanted != object["metadata"][name] {
                return Err(CONFLICT);
            }
        }
        if !is_held(&object) {
            self.objects.remove(path);
            return Ok(object);
        }
        object["metadata"]["deletionTimestamp"] = json!("2026-11-18T10:00:00Z");
        Ok(self.put(path, object))
    }
}

fn is_held(object: &Value) -> bool {
    let finalizers = object["metadata"]["finalizers"].as_array();
    finalizers.is_some_and(|all| !all.is_empty())
}
