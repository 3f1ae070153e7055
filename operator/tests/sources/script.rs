//! A registry as scripted: what it holds, what it answers, and where it leaves the path. The conformance suite of
//! the specification is run against it as well (`e2e/tests/registry/conformance.rs`), so nothing here knows the rest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use charttrust_verify::digest::Sha256Digest;
use serde_json::{Value, json};
use wiremock::{Request, Respond, ResponseTemplate};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
pub(crate) const ARCHIVE: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
pub(crate) const LEGACY: &str = "application/tar+gzip";
pub(crate) const PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";

/// Another answer than the registry's own, if there is one.
pub(crate) type Deviation = dyn Fn(&Request, &Content) -> Option<ResponseTemplate> + Send + Sync;

/// What a registry holds.
pub(crate) struct Content {
    /// Of its one repository.
    name: &'static str,
    blobs: Mutex<BTreeMap<String, Vec<u8>>>,
    manifests: Mutex<BTreeMap<String, Vec<u8>>>,
    /// What it lists as referring to a manifest, whichever, if it keeps such lists.
    referrers: Mutex<Option<Vec<u8>>>,
    /// The `Authorization` without which nothing is shown, and the challenge then.
    login: Mutex<Option<(String, String)>>,
}

/// Answers with the registry's own answer, but for the deviation.
pub(crate) struct Script(pub(crate) Arc<Content>, pub(crate) Box<Deviation>);

impl Content {
    pub(crate) fn of(name: &'static str) -> Self {
        Self {
            name,
            blobs: Mutex::default(),
            manifests: Mutex::default(),
            referrers: Mutex::default(),
            login: Mutex::default(),
        }
    }

    pub(crate) fn blob(&self, bytes: &[u8]) -> Sha256Digest {
        let digest = Sha256Digest::of(bytes);
        let mut blobs = self.blobs.lock().unwrap();
        blobs.insert(digest.to_string(), bytes.to_vec());
        digest
    }

    /// Bytes under a digest that may be another's.
    pub(crate) fn blob_as(&self, digest: &Sha256Digest, bytes: &[u8]) {
        let mut blobs = self.blobs.lock().unwrap();
        blobs.insert(digest.to_string(), bytes.to_vec());
    }

    pub(crate) fn manifest(&self, layers: &[(&str, &[u8])]) -> Value {
        let layers: Vec<_> = layers
            .iter()
            .map(|(kind, bytes)| descriptor(kind, &self.blob(bytes), bytes.len()))
            .collect();
        let config = descriptor(CONFIG, &self.blob(b"{}"), 2);
        json!({"schemaVersion": 2, "config": config, "layers": layers})
    }

    pub(crate) fn tag(&self, tag: &str, bytes: Vec<u8>) -> Sha256Digest {
        let digest = self.untagged(&bytes);
        let mut manifests = self.manifests.lock().unwrap();
        manifests.insert(tag.to_owned(), bytes);
        digest
    }

    /// A manifest that has no tag.
    pub(crate) fn untagged(&self, bytes: &[u8]) -> Sha256Digest {
        let digest = Sha256Digest::of(bytes);
        let mut manifests = self.manifests.lock().unwrap();
        manifests.insert(digest.to_string(), bytes.to_vec());
        digest
    }

    /// Lists what refers to a manifest.
    pub(crate) fn list_referrers(&self, index: Vec<u8>) {
        *self.referrers.lock().unwrap() = Some(index);
    }

    /// Whether a request shows what has to be shown.
    pub(crate) fn is_shown(&self, request: &Request) -> bool {
        let login = self.login.lock().unwrap();
        let given = request.headers.get("authorization");
        let is_it = |wanted: &str| given.is_some_and(|given| given == wanted);
        login.as_ref().is_none_or(|(wanted, _)| is_it(wanted))
    }

    /// Asks for this `Authorization`, with this challenge.
    pub(crate) fn log_in(&self, authorization: &str, challenge: &str) {
        let login = (authorization.to_owned(), challenge.to_owned());
        *self.login.lock().unwrap() = Some(login);
    }

    /// The answer that a registry should give.
    pub(crate) fn answer(&self, request: &Request) -> ResponseTemplate {
        if !self.is_shown(request) {
            let login = self.login.lock().unwrap();
            let (_, challenge) = login.as_ref().unwrap();
            let refusal = refusal(401, "UNAUTHORIZED");
            return refusal.append_header("www-authenticate", challenge.as_str());
        }
        let Some(rest) = request.url.path().strip_prefix("/v2/") else {
            return ResponseTemplate::new(404);
        };
        if rest.is_empty() {
            return ResponseTemplate::new(200).set_body_json(json!({}));
        }
        if let Some((name, reference)) = rest.split_once("/manifests/") {
            return self.manifest_at(name, reference);
        }
        if let Some((_, digest)) = rest.split_once("/blobs/") {
            return match self.blobs.lock().unwrap().get(digest) {
                Some(bytes) => digested(digest, bytes, "application/octet-stream"),
                None => refusal(404, "BLOB_UNKNOWN"),
            };
        }
        if rest.contains("/referrers/") {
            return match &*self.referrers.lock().unwrap() {
                Some(index) => ResponseTemplate::new(200).set_body_raw(index.clone(), INDEX),
                None => ResponseTemplate::new(404),
            };
        }
        match rest.strip_suffix("/tags/list") {
            Some(name) if name == self.name => {
                let mut query = request.url.query_pairs();
                let last = query.find(|(name, _)| name == "last");
                let tags = self.tags(last.as_ref().map_or("", |(_, last)| last));
                ResponseTemplate::new(200).set_body_json(json!({"name": name, "tags": tags}))
            }
            _ => refusal(404, "NAME_UNKNOWN"),
        }
    }

    /// The tags that come after this one.
    fn tags(&self, last: &str) -> Vec<String> {
        let manifests = self.manifests.lock().unwrap();
        let is_next = |key: &&String| !key.starts_with("sha256:") && key.as_str() > last;
        manifests.keys().filter(is_next).cloned().collect()
    }

    /// The manifest at a tag, wherever it was asked for.
    pub(crate) fn tagged(&self, tag: &str) -> ResponseTemplate {
        self.manifest_at(self.name, tag)
    }

    fn manifest_at(&self, name: &str, reference: &str) -> ResponseTemplate {
        if name != self.name {
            return refusal(404, "NAME_UNKNOWN");
        }
        let manifests = self.manifests.lock().unwrap();
        let Some(bytes) = manifests.get(reference) else {
            return refusal(404, "MANIFEST_UNKNOWN");
        };
        let document = serde_json::from_slice::<Value>(bytes).unwrap_or_default();
        let kind = document["mediaType"].as_str().unwrap_or(MANIFEST);
        digested(&Sha256Digest::of(bytes).to_string(), bytes, kind)
    }
}

/// Bytes under their digest. Of the answer to a HEAD the server sends the headers alone.
fn digested(digest: &str, bytes: &[u8], kind: &str) -> ResponseTemplate {
    ResponseTemplate::new(200)
        .append_header("docker-content-digest", digest)
        .set_body_raw(bytes.to_vec(), kind)
}

impl Respond for Script {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let other = (self.1)(request, &self.0);
        other.unwrap_or_else(|| self.0.answer(request))
    }
}

pub(crate) fn descriptor(kind: &str, digest: &Sha256Digest, size: usize) -> Value {
    json!({"mediaType": kind, "digest": digest, "size": size})
}

pub(crate) fn refusal(code: u16, word: &str) -> ResponseTemplate {
    let body = json!({"errors": [{"code": word, "message": "canary"}]});
    ResponseTemplate::new(code).set_body_json(body)
}
