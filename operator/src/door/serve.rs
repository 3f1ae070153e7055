//! The port of the door, and that of its probes.
//!
//! Anybody who can reach it may send anything: a body has a limit and a deadline, few are read at a time, fewer of
//! one address, and nothing of one is told.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::Door;
use super::callers::{Admitted, Callers, Place};
use super::heads::Heads;
use super::review::{Review, Subject};
use super::shown::{Shown, server_config};
use crate::clock::Moment;
use crate::metrics::door::{Fate, Numbers};
use crate::serve::{METRICS, serve};

/// Where reviews of records are sent.
pub const PATH: &str = "/v1/records";

/// Where the operator finds out whether API servers would be answered.
const READY: &str = "/readyz";

/// A Secret of a mebibyte is a third more as base64, and the API server says more beside it.
const LARGEST_BODY: usize = 3 << 20;
/// Longest wait for a body, or for a place to read it.
const LONGEST_BODY: Duration = Duration::from_secs(1);
/// Longest wait until a connection is secured.
const LONGEST_HELLO: Duration = Duration::from_secs(5);
/// Longest rest between requests. API servers end a connection after less: one that we end could meet their next
/// request, which nobody would answer.
const LONGEST_IDLE: Duration = Duration::from_secs(120);

/// What requests need.
#[derive(Clone)]
struct Serving {
    door: Arc<Door>,
    numbers: Arc<Numbers>,
}

/// Answers API servers until the process ends.
///
/// # Errors
/// If the address cannot be bound.
pub async fn reviews(
    address: SocketAddr,
    (door, numbers): (Arc<Door>, Arc<Numbers>),
    shown: Arc<Shown>,
) -> std::io::Result<()> {
    let config = server_config(shown).map_err(std::io::Error::other)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "listening for reviews");
    let serving = Serving { door, numbers };
    let router = Router::new()
        .route(PATH, post(review))
        .route(READY, get(readyz))
        .with_state(serving);
    tokio::select! {
        ended = accept(&listener, &acceptor, &router) => ended,
        never = keep_time() => match never {},
    }
}

/// Keeps a deadline that is earlier than all others. Whoever sets the earliest of all wakes the thread that waits for
/// sockets, so that it waits no longer than until then (tokio): one more switch of threads for each request, of which
/// each sets a few deadlines and meets none.
async fn keep_time() -> Infallible {
    loop {
        tokio::time::sleep(EARLIEST).await;
    }
}

/// Half of the shortest deadline that a request sets.
const EARLIEST: Duration = Duration::from_millis(500);

/// Serves probes and metrics until the process ends.
///
/// # Errors
/// If the address cannot be bound.
pub async fn probes(
    address: SocketAddr,
    (door, numbers): (Arc<Door>, Arc<Numbers>),
    shown: Arc<Shown>,
) -> std::io::Result<()> {
    let asked = Arc::clone(&door);
    let readyz = move || {
        let missing = if !asked.is_ready() {
            Some("keys and policies were not read yet")
        } else if !shown.is_there() {
            Some("there is no certificate yet")
        } else {
            None
        };
        async move {
            match missing {
                None => (StatusCode::OK, "ready"),
                Some(what) => (StatusCode::SERVICE_UNAVAILABLE, what),
            }
        }
    };
    let metrics = move || {
        let text = numbers.text(door.broken_until(Moment::now().date));
        async move { ([(CONTENT_TYPE, METRICS)], text).into_response() }
    };
    let router = Router::new()
        .route("/healthz", get(async || "alive"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics));
    serve(address, router).await
}

async fn accept(
    listener: &TcpListener,
    acceptor: &TlsAcceptor,
    router: &Router,
) -> std::io::Result<()> {
    let callers = Arc::new(Callers::default());
    loop {
        match next(listener).await {
            Ok((stream, from)) => {
                // Who is turned away tries again, if it is an API server.
                let Some(admitted) = callers.admit(from.ip()) else {
                    continue;
                };
                let router = router.clone().layer(Extension(admitted.clone()));
                tokio::spawn(connection(stream, acceptor.clone(), (router, admitted)));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

const PAUSE: Duration = Duration::from_millis(100);

/// The next connection. What is answered on it leaves at once: an answer is small, and would else wait until the
/// other side has told that it has what came before.
async fn next(listener: &TcpListener) -> std::io::Result<(TcpStream, SocketAddr)> {
    let (stream, from) = listener.accept().await?;
    // One that is gone already is found out when it is read.
    let _ = stream.set_nodelay(true);
    Ok((stream, from))
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    (router, admitted): (Router, Admitted),
) {
    let answered = async {
        let heads = Heads::default();
        let greeting = heads.whole();
        let accepted = acceptor.accept(heads.timed(stream));
        let Ok(Ok(stream)) = timeout(LONGEST_HELLO, accepted).await else {
            return;
        };
        drop(greeting);
        converse(stream, router, heads).await;
    };
    tokio::select! {
        () = answered => {}
        () = admitted.ended() => {}
    }
}

/// Answers what comes by one connection, request by request.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    router: Router,
    heads: Heads,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request| {
        let (whole, answered) = (heads.whole(), router.call(request));
        async move {
            let answered = answered.await;
            drop(whole);
            answered
        }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(LONGEST_IDLE);
    // Who sends what is no request, or does not take its answer, is left.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn readyz(State(serving): State<Serving>) -> StatusCode {
    if serving.door.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

async fn review(
    State(serving): State<Serving>,
    Extension(admitted): Extension<Admitted>,
    body: Body,
) -> Response {
    let moment = Moment::now();
    let (counted, response) = Box::pin(serving.review(body, &admitted, moment)).await;
    let took = Moment::now().tick.saturating_duration_since(moment.tick);
    serving.numbers.answered(counted, took);
    response
}

impl Serving {
    async fn review(&self, body: Body, from: &Admitted, moment: Moment) -> (Fate, Response) {
        let (review, place) = match timeout(LONGEST_BODY, read(body, from)).await {
            Ok(Ok(read)) => read,
            Ok(Err(refused)) => return (Fate::Failed, refused),
            Err(_) => return failed(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"),
        };
        let _answering = from.answering();
        let uid = review.uid().to_owned();
        let is_record = !matches!(review.subject, Subject::Other);
        match Box::pin(self.door.answer((review.subject, place), moment)).await {
            Ok(answer) => {
                let counted = match (is_record, answer.refusal.is_some(), answer.warnings.len()) {
                    (false, ..) => Fate::Passed,
                    (true, true, _) => Fate::Denied,
                    (true, false, 0) => Fate::Allowed,
                    (true, false, _) => Fate::Warned,
                };
                let body = Review::answered(&uid, &answer);
                (
                    counted,
                    ([(CONTENT_TYPE, "application/json")], body).into_response(),
                )
            }
            Err(error) => failed(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        }
    }
}

/// Few at a time: a body, and what is made of it, are the largest things here.
async fn read(body: Body, from: &Admitted) -> Result<(Review, Place), Response> {
    let told = |code, why: &str| (code, why.to_owned()).into_response();
    // Invariant: nobody closes the places.
    let place = from.place().await;
    let place = place.ok_or_else(|| told(StatusCode::SERVICE_UNAVAILABLE, "no place"))?;
    let bytes = to_bytes(body, LARGEST_BODY).await;
    let bytes = bytes.map_err(|_| {
        told(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is too large or was cut off",
        )
    })?;
    let review = Review::read(&bytes);
    review.map(|review| (review, place)).map_err(|error| {
        tracing::warn!(%error, "no review");
        told(StatusCode::BAD_REQUEST, &error.to_string())
    })
}

fn failed(code: StatusCode, why: &str) -> (Fate, Response) {
    (Fate::Failed, (code, why.to_owned()).into_response())
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};

    use futures::stream;
    use kube::{Client, Config};
    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

    use super::*;
    use crate::door::Settings;
    use crate::door::callers::{MOST_BODIES, MOST_BODIES_OF_ONE};
    use crate::door::heads::LONGEST_HEAD;
    use crate::sources;

    /// What serves, and one that calls.
    fn serving() -> (Serving, Arc<Callers>, Admitted) {
        let callers = Arc::new(Callers::default());
        let admitted = callers.admit([10, 0, 0, 1].into()).unwrap();
        (serves(), callers, admitted)
    }

    fn serves() -> Serving {
        let nowhere = Config::new("http://127.0.0.1:1".parse().unwrap());
        let settings = Settings {
            namespace: "charttrust-system".to_owned(),
            exempt: std::collections::BTreeSet::new(),
            sources: sources::Settings {
                allowed_hosts: Vec::new(),
                auth_hosts: Vec::new(),
                limits: sources::Limits::default(),
                user_agent: "test".to_owned(),
            },
        };
        let client = Client::try_from(nowhere).unwrap();
        Serving {
            door: Arc::new(Door::new(client, settings)),
            numbers: Arc::new(Numbers::default()),
        }
    }

    /// What a body is answered: what it counts as, the code, and the text.
    async fn answered((serving, from): (&Serving, &Admitted), body: Body) -> (Fate, u16, String) {
        let (fate, response) = serving.review(body, from, Moment::now()).await;
        let code = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (fate, code, String::from_utf8(bytes.to_vec()).unwrap())
    }

    fn review(padding: usize) -> Vec<u8> {
        let request = json!({
            "uid": "u-1", "kind": {"group": "", "kind": "Pod"}, "namespace": "shop", "operation": "CREATE",
        });
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        let mut text = review.to_string().into_bytes();
        text.resize(padding.max(text.len()), b' ');
        text
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit_and_no_further() {
        let (serving, callers, from) = serving();
        let by = (&serving, &from);
        let largest = answered(by, Body::from(review(LARGEST_BODY))).await;
        assert_eq!((largest.0, largest.1), (Fate::Passed, 200));
        assert!(
            largest.2.contains("u-1") && largest.2.contains("true"),
            "{}",
            largest.2
        );
        let larger = answered(by, Body::from(review(LARGEST_BODY + 1))).await;
        assert_eq!((larger.0, larger.1), (Fate::Failed, 413));
        assert_eq!(callers.free(), MOST_BODIES);
    }

    #[tokio::test]
    async fn what_is_no_review_is_answered_without_quoting_it() {
        let (serving, _callers, from) = serving();
        let deep = "{\"a\":".repeat(100_000);
        for body in ["password", "", "{}", "[[[[", &deep] {
            let (fate, code, text) = answered((&serving, &from), Body::from(body.to_owned())).await;
            assert_eq!((fate, code), (Fate::Failed, 400));
            assert!(!text.contains("password"), "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_do_not_come_hold_places_for_a_second_and_of_one_address_only_some() {
        let (serving, callers, from) = serving();
        let never = || Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let slow = (0..3 * MOST_BODIES).map(|_| answered((&serving, &from), never()));
        let slow = futures::future::join_all(slow);
        let other = callers.admit([10, 0, 0, 2].into()).unwrap();
        let begun = Moment::now().tick;
        let answer = async {
            // After all that are slow have begun.
            tokio::task::yield_now().await;
            let free = callers.free();
            let answered = answered((&serving, &other), Body::from(review(0))).await;
            (free, answered.1, Moment::now().tick - begun)
        };
        let (slow, answer) = tokio::join!(slow, answer);
        let free = MOST_BODIES - MOST_BODIES_OF_ONE;
        assert_eq!(answer, (free, 200, Duration::ZERO));
        assert_eq!(Moment::now().tick - begun, Duration::from_secs(1));
        for (fate, code, _) in slow {
            assert_eq!((fate, code), (Fate::Failed, 408));
        }
        assert_eq!(
            answered((&serving, &from), Body::from(review(0))).await.1,
            200
        );
    }

    /// Somebody who sends this, and what his connection is answered with until something ends it.
    async fn sends(parts: impl IntoIterator<Item = (Duration, &str)>) -> (usize, Duration) {
        let (mut ours, theirs) = tokio::io::duplex(1 << 16);
        let router = Router::new().route(READY, get(async || "ready"));
        let heads = Heads::default();
        let begun = Moment::now().tick;
        let served = tokio::spawn(async move {
            converse(heads.timed(theirs), router, heads).await;
            Moment::now().tick - begun
        });
        for (wait, part) in parts {
            tokio::time::sleep(wait).await;
            if ours.write_all(part.as_bytes()).await.is_err() {
                break;
            }
        }
        let took = served.await.unwrap();
        let mut answers = Vec::new();
        ours.read_to_end(&mut answers).await.unwrap();
        let answers = String::from_utf8(answers).unwrap();
        (answers.matches("HTTP/1.1 200").count(), took)
    }

    #[tokio::test(start_paused = true)]
    async fn the_head_of_a_request_comes_in_time_and_rests_between_requests_are_long() {
        let (at_once, second) = (Duration::ZERO, Duration::from_secs(1));
        let whole = "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n";
        let byte = (second, "a");
        // Whoever dribbles, at once or after an answer.
        let dribbled =
            std::iter::once((at_once, "GET /readyz HTTP/1.1\r\nX-A: ")).chain([byte; 60]);
        assert_eq!(sends(dribbled.clone()).await, (0, LONGEST_HEAD));
        let later = [(at_once, whole), (60 * second, "GET /")];
        let later = later.into_iter().chain([byte; 60]);
        assert_eq!(sends(later).await, (1, 60 * second + LONGEST_HEAD));
        // Whoever is slow once, and in time.
        let (first, rest) = whole.split_at(9);
        let slow = [(at_once, first), (4 * second, rest), (4 * second, whole)];
        assert_eq!(sends(slow).await, (2, 8 * second + LONGEST_IDLE));
        // Whoever rests, as API servers do.
        let rests = [
            (at_once, whole),
            (100 * second, whole),
            (100 * second, whole),
        ];
        assert_eq!(sends(rests).await, (3, 200 * second + LONGEST_IDLE));
    }

    /// What is secured is sent in a record for each write, and each of those in a packet.
    #[tokio::test]
    async fn an_answer_leaves_at_once_and_in_one_piece() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (ours, theirs) = tokio::join!(connecting, next(&listener));
        let (mut ours, (stream, _)) = (ours.unwrap(), theirs.unwrap());
        assert!(stream.nodelay().unwrap());
        let (serving, _callers, admitted) = serving();
        let router = Router::new().route(PATH, post(super::review));
        let router = router.with_state(serving).layer(Extension(admitted));
        let written = Arc::new(AtomicUsize::new(0));
        let counted = Counted(stream, Arc::clone(&written));
        let heads = Heads::default();
        tokio::spawn(async move { converse(heads.timed(counted), router, heads).await });
        let body = review(0);
        for times in 1..4 {
            let head = format!(
                "POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            ours.write_all(&[head.as_bytes(), &body].concat())
                .await
                .unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"}}") {
                assert!(ours.read_buf(&mut answer).await.unwrap() > 0, "{answer:?}");
            }
            assert!(answer.starts_with(b"HTTP/1.1 200"));
            assert_eq!(written.load(Ordering::Relaxed), times);
        }
    }

    /// Counts what is written.
    struct Counted(TcpStream, Arc<AtomicUsize>);

    impl AsyncRead for Counted {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            Pin::new(&mut self.0).poll_read(context, buffer)
        }
    }

    impl AsyncWrite for Counted {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<std::io::Result<usize>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut self.0).poll_write(context, bytes)
        }

        fn poll_flush(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<std::io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(context)
        }

        fn poll_shutdown(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<std::io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(context)
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            parts: &[std::io::IoSlice<'_>],
        ) -> Poll<std::io::Result<usize>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut self.0).poll_write_vectored(context, parts)
        }

        fn is_write_vectored(&self) -> bool {
            self.0.is_write_vectored()
        }
    }

    /// The body has a deadline of its own, and begins no request.
    #[tokio::test(start_paused = true)]
    async fn what_comes_while_something_is_answered_is_not_late() {
        let (mut ours, theirs) = tokio::io::duplex(1 << 16);
        let heads = Heads::default();
        let mut timed = heads.timed(theirs);
        let whole = heads.whole();
        ours.write_all(b"ab").await.unwrap();
        assert_eq!(timed.read_u8().await.unwrap(), b'a');
        tokio::time::sleep(2 * LONGEST_HEAD).await;
        assert_eq!(timed.read_u8().await.unwrap(), b'b');
        drop(whole);
        ours.write_all(b"cd").await.unwrap();
        assert_eq!(timed.read_u8().await.unwrap(), b'c');
        tokio::time::sleep(2 * LONGEST_HEAD).await;
        let late = timed.read_u8().await.unwrap_err();
        assert_eq!(late.kind(), std::io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_record_is_not_answered_before_everything_was_read() {
        let mut review: serde_json::Value = serde_json::from_slice(&review(0)).unwrap();
        review["request"]["kind"]["kind"] = json!("Secret");
        review["request"]["object"] = json!({
            "metadata": {"name": "sh.helm.release.v1.web.v1"}, "type": "helm.sh/release.v1",
        });
        let (serving, _callers, from) = serving();
        let answer = answered((&serving, &from), Body::from(review.to_string())).await;
        assert_eq!((answer.0, answer.1), (Fate::Failed, 503));
    }
}
