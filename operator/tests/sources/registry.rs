//! A registry as scripted: what it holds, how it asks for a login, and where it leaves the path.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use charttrust::sources::{Credentials, FetchError, Fetched, Fetcher, Source};
use charttrust_verify::digest::Sha256Digest;
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::server::{CHART, GZIP, SIGNED, VERSION, fetcher, source};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
pub(crate) const ARCHIVE: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
pub(crate) const LEGACY: &str = "application/tar+gzip";
pub(crate) const PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";
pub(crate) const NAME: &str = "charts/payments";

/// Another answer than the registry's own, if there is one.
pub(crate) type Deviation = dyn Fn(&Request, &Content) -> Option<ResponseTemplate> + Send + Sync;

/// What a registry holds.
pub(crate) struct Content {
    /// Of its one repository.
    name: &'static str,
    blobs: Mutex<BTreeMap<String, Vec<u8>>>,
    manifests: Mutex<BTreeMap<String, Vec<u8>>>,
    /// The `Authorization` without which nothing is shown, and the challenge then.
    login: Mutex<Option<(String, String)>>,
}

/// A registry on loopback.
pub(crate) struct Registry {
    pub(crate) content: Arc<Content>,
    pub(crate) server: MockServer,
}

struct Script(Arc<Content>, Box<Deviation>);

impl Registry {
    /// An empty one that answers as it should.
    pub(crate) async fn empty() -> Self {
        Self::deviating(|_, _| None).await
    }

    /// One with the chart and its provenance file.
    pub(crate) async fn signed() -> Self {
        Self::signed_but(|_, _| None).await
    }

    pub(crate) async fn signed_but(
        deviation: impl Fn(&Request, &Content) -> Option<ResponseTemplate> + Send + Sync + 'static,
    ) -> Self {
        let registry = Self::deviating(deviation).await;
        registry.push(VERSION, &[(ARCHIVE, GZIP), (PROVENANCE, SIGNED.as_bytes())]);
        registry
    }

    /// An empty one that leaves the path where the function says so.
    pub(crate) async fn deviating(
        deviation: impl Fn(&Request, &Content) -> Option<ResponseTemplate> + Send + Sync + 'static,
    ) -> Self {
        Self::named(NAME, deviation).await
    }

    /// One whose only repository has this name.
    pub(crate) async fn named(
        name: &'static str,
        deviation: impl Fn(&Request, &Content) -> Option<ResponseTemplate> + Send + Sync + 'static,
    ) -> Self {
        let (server, content) = (MockServer::start().await, Arc::new(Content::of(name)));
        let script = Script(Arc::clone(&content), Box::new(deviation));
        Mock::given(any()).respond_with(script).mount(&server).await;
        Self { content, server }
    }

    /// Tags a manifest of these layers, in this order.
    pub(crate) fn push(&self, tag: &str, layers: &[(&str, &[u8])]) -> Sha256Digest {
        let manifest = self.content.manifest(layers);
        self.tag(tag, &manifest)
    }

    pub(crate) fn tag(&self, tag: &str, document: &Value) -> Sha256Digest {
        self.content.tag(tag, document.to_string().into_bytes())
    }

    /// Asks for this `Authorization`, with this challenge.
    pub(crate) fn log_in(&self, authorization: &str, challenge: &str) {
        let login = (authorization.to_owned(), challenge.to_owned());
        *self.content.login.lock().unwrap() = Some(login);
    }

    pub(crate) fn url(&self) -> String {
        format!("oci://{}/charts", self.server.address())
    }

    pub(crate) fn source(&self) -> Source {
        source(self.url())
    }

    pub(crate) fn source_with(&self, credentials: Credentials) -> Source {
        Source {
            credentials: Some(credentials),
            ..self.source()
        }
    }

    /// Asks once with a new fetcher.
    pub(crate) async fn fetch(&self) -> Result<Fetched<Vec<u8>>, FetchError> {
        self.fetch_with(&fetcher()).await
    }

    /// Asks with a fetcher that may know something already.
    pub(crate) async fn fetch_with(
        &self,
        fetcher: &Fetcher<Vec<u8>>,
    ) -> Result<Fetched<Vec<u8>>, FetchError> {
        fetcher.fetch(&self.source(), CHART, VERSION).await
    }

    /// Method and path of each request, the common part left out.
    pub(crate) async fn asked(&self) -> Vec<String> {
        let requests = self.server.received_requests().await.unwrap();
        let line = |request: &Request| {
            let path = request.url.path().replace("/v2/charts/payments/", "");
            let digest = path
                .find("sha256:")
                .map_or(path.len(), |at| at + "sha256:".len());
            format!("{} {}", request.method, &path[..digest])
        };
        requests.iter().map(line).collect()
    }
}

impl Content {
    fn of(name: &'static str) -> Self {
        Self {
            name,
            blobs: Mutex::default(),
            manifests: Mutex::default(),
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
        let digest = Sha256Digest::of(&bytes);
        let mut manifests = self.manifests.lock().unwrap();
        manifests.insert(digest.to_string(), bytes.clone());
        manifests.insert(tag.to_owned(), bytes);
        digest
    }

    /// The answer that a registry should give.
    pub(crate) fn answer(&self, request: &Request) -> ResponseTemplate {
        if let Some((wanted, challenge)) = &*self.login.lock().unwrap() {
            let given = request.headers.get("authorization");
            if given.is_none_or(|given| given != wanted.as_str()) {
                return refusal(401, "UNAUTHORIZED")
                    .append_header("www-authenticate", challenge.as_str());
            }
        }
        let path = request.url.path();
        let Some(rest) = path.strip_prefix("/v2/") else {
            return ResponseTemplate::new(404);
        };
        if let Some((name, reference)) = rest.split_once("/manifests/") {
            return self.manifest_at(name, reference, request);
        }
        if let Some((_, digest)) = rest.split_once("/blobs/") {
            return match self.blobs.lock().unwrap().get(digest) {
                Some(bytes) => ResponseTemplate::new(200).set_body_bytes(bytes.clone()),
                None => refusal(404, "BLOB_UNKNOWN"),
            };
        }
        match rest.strip_suffix("/tags/list") {
            Some(name) if name == self.name => ResponseTemplate::new(200).set_body_json(json!({
                "name": name, "tags": self.tags(),
            })),
            _ => refusal(404, "NAME_UNKNOWN"),
        }
    }

    fn tags(&self) -> Vec<String> {
        let manifests = self.manifests.lock().unwrap();
        let is_tag = |key: &&String| !key.starts_with("sha256:");
        manifests.keys().filter(is_tag).cloned().collect()
    }

    fn manifest_at(&self, name: &str, reference: &str, request: &Request) -> ResponseTemplate {
        let manifests = self.manifests.lock().unwrap();
        let Some(bytes) = manifests.get(reference).filter(|_| name == self.name) else {
            let word = if name == self.name {
                "MANIFEST_UNKNOWN"
            } else {
                "NAME_UNKNOWN"
            };
            return refusal(404, word);
        };
        let digest = Sha256Digest::of(bytes).to_string();
        let answer =
            ResponseTemplate::new(200).append_header("docker-content-digest", digest.as_str());
        if request.method == "HEAD" {
            return answer;
        }
        answer.set_body_raw(bytes.clone(), MANIFEST)
    }
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

/// A token service that gives a token of its own to each scope, and counts.
pub(crate) async fn token_service() -> MockServer {
    let server = MockServer::start().await;
    let answer = |request: &Request| {
        let scope = request.url.query_pairs().find(|(name, _)| name == "scope");
        let token = scope.map_or("none".to_owned(), |(_, scope)| format!("token-of-{scope}"));
        ResponseTemplate::new(200).set_body_json(json!({"token": token, "expires_in": 300}))
    };
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

/// The `Authorization` that the token service gives for the chart.
pub(crate) const TOKEN: &str = "Bearer token-of-repository:charts/payments:pull";
