//! A registry in memory that counts what it is asked, and wants a token for each repository.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use charttrust_e2e::charts::Chart;
use serde_json::{Value, json};

use crate::Result;

/// It ends with the process.
pub(crate) struct Registry {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Bytes and media type by path.
    content: Mutex<HashMap<String, (Vec<u8>, String)>>,
    asked: AtomicUsize,
    tokens: AtomicUsize,
}

impl Registry {
    pub(crate) async fn start() -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let app = Router::new()
            .fallback(answer)
            .with_state((Arc::clone(&shared), address));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { address, shared })
    }

    /// What a policy names as source.
    pub(crate) fn url(&self) -> String {
        format!("oci://{}/charts", self.address)
    }

    /// Requests so far, those for tokens left out.
    pub(crate) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }

    /// Tokens given so far.
    pub(crate) fn tokens(&self) -> usize {
        self.shared.tokens.load(Ordering::Relaxed)
    }

    /// Puts a chart there with its provenance, as Helm does.
    pub(crate) fn push(&self, chart: &Chart) -> Result {
        let repository = format!("/v2/charts/{}", chart.name);
        let blob = |bytes: Vec<u8>, kind: &str| {
            let layer = described(&bytes, kind);
            let place = format!("{repository}/blobs/{}", named(&bytes));
            self.keep(place, bytes, kind);
            layer
        };
        let archive = std::fs::read(&chart.archive)?;
        let provenance = std::fs::read(chart.provenance())?;
        let config = blob(b"{}".to_vec(), "application/vnd.cncf.helm.config.v1+json");
        let layers = [
            blob(
                archive,
                "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
            ),
            blob(
                provenance,
                "application/vnd.cncf.helm.chart.provenance.v1.prov",
            ),
        ];
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
        });
        let bytes = manifest.to_string().into_bytes();
        for reference in [chart.version.clone(), named(&bytes)] {
            let place = format!("{repository}/manifests/{reference}");
            self.keep(place, bytes.clone(), MANIFEST);
        }
        Ok(())
    }

    fn keep(&self, place: String, bytes: Vec<u8>, kind: &str) {
        let content = &self.shared.content;
        let mut content = content.lock().unwrap_or_else(PoisonError::into_inner);
        content.insert(place, (bytes, kind.to_owned()));
    }
}

async fn answer(
    State((shared, address)): State<(Arc<Shared>, SocketAddr)>,
    request: Request<Body>,
) -> Response {
    if request.uri().path() == "/token" {
        shared.tokens.fetch_add(1, Ordering::Relaxed);
        return json!({"token": "for-a-while", "expires_in": 3600})
            .to_string()
            .into_response();
    }
    shared.asked.fetch_add(1, Ordering::Relaxed);
    if !request.headers().contains_key(AUTHORIZATION) {
        let challenge = format!("Bearer realm=\"http://{address}/token\",service=\"bench\"");
        return (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)]).into_response();
    }
    let content = shared
        .content
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    match content.get(request.uri().path()) {
        Some((bytes, kind)) => {
            let headers = [
                ("content-type", kind.clone()),
                ("docker-content-digest", named(bytes)),
            ];
            (headers, bytes.clone()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn named(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(digest(&SHA256, bytes)))
}

fn described(bytes: &[u8], kind: &str) -> Value {
    json!({"mediaType": kind, "digest": named(bytes), "size": bytes.len()})
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
