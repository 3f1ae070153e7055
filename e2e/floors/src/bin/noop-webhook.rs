//! `make bench`: a webhook that lets everything in and looks at nothing, on the same TLS, with the same certificate
//! and over the same HTTP as `charttrust webhook`. What ours costs is told beside what this one costs.
//!
//! `noop-webhook ADDRESS NAMESPACE SECRET`, with the cluster of KUBECONFIG.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use charttrust::door::serve::PATH;
use charttrust::door::shown::{Shown, server_config};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use kube::Client;
use serde::Deserialize;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Deserialize)]
struct Review {
    request: Request,
}

#[derive(Deserialize)]
struct Request {
    uid: String,
}

#[tokio::main]
async fn main() -> Result {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [address, namespace, secret] = arguments.as_slice() else {
        return Err("noop-webhook ADDRESS NAMESPACE SECRET".into());
    };
    let address: SocketAddr = address.parse()?;
    let shown = Arc::new(Shown::default());
    let acceptor = TlsAcceptor::from(Arc::new(server_config(Arc::clone(&shown))?));
    let client = Client::try_default().await?;
    tokio::select! {
        () = shown.follow(client, namespace, secret) => Ok(()),
        ended = accept(address, &acceptor) => ended,
    }
}

async fn accept(address: SocketAddr, acceptor: &TlsAcceptor) -> Result {
    let answered = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&answered);
    let router = Router::new()
        .route(
            PATH,
            post(async move |body: Bytes| answer(&body, &answered)),
        )
        .route(
            "/answered",
            get(async move || count.load(Ordering::Relaxed).to_string()),
        );
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        // As ours does.
        stream.set_nodelay(true)?;
        tokio::spawn(connection(stream, acceptor.clone(), router.clone()));
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, router: Router) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let service = TowerToHyperService::new(router);
    // Whoever breaks off is left.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn answer(body: &Bytes, answered: &AtomicU64) -> axum::response::Response {
    let Ok(Review { request }) = serde_json::from_slice(body) else {
        return axum::http::StatusCode::BAD_REQUEST.into_response();
    };
    answered.fetch_add(1, Ordering::Relaxed);
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {"uid": request.uid, "allowed": true},
    });
    ([(CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
}
