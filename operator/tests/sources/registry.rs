//! A scripted registry on loopback, and how it is asked.

use std::sync::Arc;

use charttrust::sources::{Credentials, FetchError, Fetched, Fetcher, Source};
use charttrust_verify::digest::Sha256Digest;
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

pub(crate) use crate::script::*;
use crate::server::{CHART, GZIP, SIGNED, VERSION, fetcher, source};

pub(crate) const NAME: &str = "charts/payments";

/// A registry on loopback.
pub(crate) struct Registry {
    pub(crate) content: Arc<Content>,
    pub(crate) server: MockServer,
}

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
        self.content.log_in(authorization, challenge);
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
