//! The HTTP endpoints for probes and for Prometheus. Nothing here takes input.
//!
//! Anybody in the cluster may open connections where no network policy stands before them. Each is one request
//! that must come soon, and the newest displaces the oldest where there are too many: a probe is answered in
//! milliseconds, so it is never the one that is displaced.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use crate::clock;
use crate::controllers::Contexts;
use crate::metrics::Metrics;

/// Serves `/healthz` and `/readyz` until the process ends.
///
/// # Errors
/// If the address cannot be bound.
pub async fn health(address: SocketAddr, contexts: Arc<Contexts>) -> std::io::Result<()> {
    let alive = Arc::clone(&contexts);
    let healthz = move || {
        let stuck = alive.stuck(clock::tick());
        async move {
            match stuck {
                None => (StatusCode::OK, "alive".to_owned()),
                Some(what) => (StatusCode::SERVICE_UNAVAILABLE, what),
            }
        }
    };
    let readyz = move || {
        let ready = contexts.are_ready();
        async move {
            if ready {
                (StatusCode::OK, "ready")
            } else {
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "not everything has been read yet",
                )
            }
        }
    };
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz));
    serve(address, router).await
}

/// Serves `/metrics` until the process ends.
///
/// # Errors
/// If the address cannot be bound.
pub async fn metrics(
    address: SocketAddr,
    metrics: Arc<Metrics>,
    contexts: Arc<Contexts>,
) -> std::io::Result<()> {
    // One at a time: the text of ten thousand releases is a megabyte for whoever asks.
    let one = Arc::new(Mutex::new(()));
    let text = move || {
        let (one, metrics, contexts) = (
            Arc::clone(&one),
            Arc::clone(&metrics),
            Arc::clone(&contexts),
        );
        async move {
            let _alone = one.lock().await;
            contexts.observe(&metrics);
            ([(CONTENT_TYPE, METRICS)], metrics.text()).into_response()
        }
    };
    serve(address, Router::new().route("/metrics", get(text))).await
}

/// The form of the metrics.
pub const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves a port of input-less questions until the process ends.
///
/// # Errors
/// If the address cannot be bound.
pub async fn serve(address: SocketAddr, router: Router) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    accept(&listener, &router).await
}

async fn accept(listener: &TcpListener, router: &Router) -> std::io::Result<()> {
    let mut open = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                make_room(&mut open);
                let answered = tokio::spawn(answer(stream, router.clone()));
                open.push_back(answered.abort_handle());
            }
            // Too few file descriptors, or a peer that went before it was taken: the next may do.
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn make_room(open: &mut VecDeque<AbortHandle>) {
    if open.len() < MOST_CONNECTIONS {
        return;
    }
    open.retain(|connection| !connection.is_finished());
    if open.len() >= MOST_CONNECTIONS
        && let Some(oldest) = open.pop_front()
    {
        oldest.abort();
    }
}

async fn answer(stream: TcpStream, router: Router) {
    let service = TowerToHyperService::new(router);
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(LONGEST_REQUEST)
        .max_buf_size(LARGEST_REQUEST)
        .keep_alive(false);
    let connection = server.serve_connection(TokioIo::new(stream), service);
    // Whoever does not take its answer in time, or sends what is no request, is left.
    let _ = tokio::time::timeout(LONGEST_ANSWER, connection).await;
}

/// Open connections of one port, far more than probes and scrapes need.
const MOST_CONNECTIONS: usize = 64;
/// A request is one short line and a few headers. hyper takes no less than 8 KiB.
const LARGEST_REQUEST: usize = 8 * 1024;
/// kubelet and Prometheus send theirs at once.
const LONGEST_REQUEST: Duration = Duration::from_secs(5);
/// Prometheus gives up after ten seconds unless told otherwise.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/healthz", get(async || "alive"));
        tokio::spawn(async move { accept(&listener, &router).await });
        address
    }

    async fn half_a_request(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\n")
            .await
            .unwrap();
        stream
    }

    async fn rest_of(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text).await;
        String::from_utf8(text).unwrap()
    }

    async fn is_answered(address: SocketAddr) {
        let mut stream = half_a_request(address).await;
        stream.write_all(b"host: a\r\n\r\n").await.unwrap();
        let answer = rest_of(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.ends_with("alive"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_request_is_not_waited_for() {
        let address = server().await;
        let mut slow = half_a_request(address).await;
        let end = tokio::time::timeout(2 * LONGEST_REQUEST, rest_of(&mut slow));
        assert_eq!(end.await.as_deref(), Ok(""));
        is_answered(address).await;
    }

    /// Whoever may reach the port may send anything: it ends, and others are answered.
    #[tokio::test]
    async fn whatever_is_sent_others_are_answered() {
        let address = server().await;
        let long = "a".repeat(2 * LARGEST_REQUEST);
        let many = "a: b\r\n".repeat(500);
        let texts = [
            String::new(),
            "\r\n\r\n\r\n".to_owned(),
            "\u{0}\u{1}\u{16}\u{3}\u{1}".repeat(300),
            format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"),
            format!("GET /healthz HTTP/1.1\r\nhost: a\r\n{many}\r\n"),
            format!("GET /healthz HTTP/1.1\r\nhost: {long}\r\n\r\n"),
            "POST /healthz HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\n".to_owned(),
            "POST /healthz HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n".to_owned(),
            "GET http://169.254.169.254/ HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
            "CONNECT a.example:443 HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
            "GET /../../etc/passwd HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        ];
        for text in texts {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // What is too long is cut off while it is sent.
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
            let answer = tokio::time::timeout(LONGEST_REQUEST, rest_of(&mut stream))
                .await
                .unwrap();
            let start: String = text.chars().take(40).collect();
            assert!(
                !answer.contains("alive") || text.contains("POST"),
                "{start:?}: {answer}"
            );
            is_answered(address).await;
        }
    }

    #[tokio::test]
    async fn the_newest_connection_displaces_the_oldest() {
        let address = server().await;
        let mut held = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            held.push(half_a_request(address).await);
        }
        is_answered(address).await;
        assert_eq!(rest_of(&mut held[0]).await, "");
        held[1].write_all(b"host: a\r\n\r\n").await.unwrap();
        let answer = rest_of(&mut held[1]).await;
        assert!(answer.ends_with("alive"), "{answer}");
    }
}
