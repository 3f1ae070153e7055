//! A proxy between the operator and the API server that fails on purpose.
//!
//! It numbers the writes that pass and strikes at one of them. A request that a crash is to
//! interrupt is held, so that the operator can be killed while it waits for the answer.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use tokio::sync::watch;

use crate::server::Server;

mod reading;

pub use reading::Refusal;
use reading::{Frames, Reading};

/// The proxy; it ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    _server: Server,
}

/// What to do to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The API server never hears of it, and no answer comes.
    CrashBefore,
    /// The API server has done it, and no answer comes.
    CrashAfter,
    /// The API server has done it, and the answer breaks off.
    LoseAnswer,
    /// Before it, every watch breaks off.
    CutWatches,
    /// Before it, every watch breaks off, and the next one of each kind is told that what it asks for
    /// is too old (410).
    ExpireWatches,
    /// From then on, watches stay open and say nothing.
    FreezeWatches,
    /// From then on, it and everything else is on its way and arrives nowhere: see [`Proxy::join`].
    Part,
    /// The API server never hears of it; this is the status of the answer.
    Refuse(u16),
}

/// Which write is struck.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Aim {
    /// The one of this number; the first has number 1.
    Number(usize),
    /// The first of this method to a path with this end.
    First(String, String),
}

/// What happens to watches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Watches {
    /// Connections stay open and say nothing.
    frozen: bool,
    /// How often all of them were cut.
    cuts: u32,
    /// How often those that were open have fallen silent for ever.
    silenced: u32,
    /// The resources of which nothing is said for now.
    held: BTreeSet<String>,
    /// Everything is said twice.
    doubled: bool,
}

#[derive(Debug)]
struct Shared {
    api: reqwest::Client,
    url: String,
    state: Mutex<Plan>,
    held: watch::Sender<u32>,
    watches: watch::Sender<Watches>,
    parted: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Plan {
    writes: Vec<String>,
    strike: Option<(Aim, Fault)>,
    refusal: Option<u16>,
    /// The watches that were told that they are too old, if they are to be told.
    expired: Option<BTreeSet<String>>,
    reading: Reading,
}

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The kubeconfig of the API server cannot be used.
    #[error("failed to use a kubeconfig")]
    Kubeconfig(#[from] KubeconfigError),
    /// A client of the API server cannot be made.
    #[error("failed to make a client of the API server")]
    Client(#[from] reqwest::Error),
    /// No port, or a file cannot be written.
    #[error("failed to prepare the proxy")]
    Io(#[from] std::io::Error),
    /// A kubeconfig cannot be written.
    #[error("failed to write a kubeconfig")]
    Json(#[from] serde_json::Error),
}

impl Proxy {
    /// Passes everything on to the API server that a kubeconfig names.
    pub async fn start(kubeconfig: &Path) -> Result<Self, ProxyError> {
        let known = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(known, &KubeConfigOptions::default()).await?;
        let mut api = reqwest::Client::builder().no_proxy().http1_only();
        for root in config.root_cert.iter().flatten() {
            api = api.add_root_certificate(reqwest::Certificate::from_der(root)?);
        }
        let shared = Arc::new(Shared {
            api: api.build()?,
            url: config
                .cluster_url
                .to_string()
                .trim_end_matches('/')
                .to_owned(),
            state: Mutex::default(),
            held: watch::Sender::new(0),
            watches: watch::Sender::new(Watches::default()),
            parted: watch::Sender::new(false),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let app = Router::new().fallback(pass).with_state(shared.clone());
        Ok(Self {
            shared,
            address,
            _server: Server::start(listener, app)?,
        })
    }

    /// Writes a kubeconfig like `known` whose server is this proxy.
    pub fn kubeconfig(&self, known: &Path, to: &Path) -> Result<(), ProxyError> {
        let mut config = Kubeconfig::read_from(known)?;
        for cluster in config
            .clusters
            .iter_mut()
            .filter_map(|named| named.cluster.as_mut())
        {
            cluster.server = Some(format!("http://{}", self.address));
            cluster.certificate_authority = None;
            cluster.certificate_authority_data = None;
        }
        Ok(std::fs::write(to, serde_json::to_string(&config)?)?)
    }

    /// Forgets the writes so far, and does this to one that comes; the first has number 1.
    pub fn strike(&self, number: usize, fault: Fault) {
        self.aim(Aim::Number(number), fault);
    }

    /// Forgets the writes so far, and does this to the first that comes of a method to a path that
    /// ends like this.
    pub fn strike_first(&self, method: &str, end: &str, fault: Fault) {
        self.aim(Aim::First(method.to_owned(), end.to_owned()), fault);
    }

    fn aim(&self, aim: Aim, fault: Fault) {
        let mut plan = self.shared.plan();
        plan.writes.clear();
        plan.strike = Some((aim, fault));
        self.shared.held.send_replace(0);
    }

    /// From now on, answers every write with this status; `None`: passes them on again.
    pub fn refuse(&self, status: Option<u16>) {
        self.shared.plan().refusal = status;
    }

    /// Lets everything pass again.
    pub fn behave(&self) {
        let mut plan = self.shared.plan();
        plan.strike = None;
        plan.refusal = None;
        plan.expired = None;
        plan.reading = Reading::default();
        self.shared.held.send_replace(0);
        self.shared.watches.send_modify(|watches| {
            watches.frozen = false;
            watches.doubled = false;
            watches.held.clear();
        });
    }

    /// The writes since [`Proxy::strike`], as `METHOD PATH`, leases left out.
    pub fn writes(&self) -> Vec<String> {
        self.shared.plan().writes.clone()
    }

    /// Whether a request is held for which the operator should be killed.
    pub fn holds(&self) -> bool {
        *self.shared.held.borrow() > 0
    }

    /// Returns when a request is held for which the operator should be killed.
    pub async fn held(&self) {
        let mut held = self.shared.held.subscribe();
        // Invariant: the sender lives as long as `self`.
        let _ = held.wait_for(|held| *held > 0).await;
    }

    /// Returns when watches say nothing.
    pub async fn frozen(&self) {
        let mut watches = self.shared.watches.subscribe();
        // Invariant: the sender lives as long as `self`.
        let _ = watches.wait_for(|watches| watches.frozen).await;
    }

    /// Whether watches say nothing.
    pub fn is_frozen(&self) -> bool {
        self.shared.watches.borrow().frozen
    }

    /// Nothing reaches the API server and nothing comes back, as when the network is parted. What was
    /// sent arrives in the end, even if the sender has given up: see [`Proxy::join`].
    pub fn part(&self) {
        self.shared.part();
    }

    /// Whether the network is parted.
    pub fn is_parted(&self) -> bool {
        *self.shared.parted.borrow()
    }

    /// The network is whole again, and everything that is on its way arrives.
    pub fn join(&self) {
        self.shared.parted.send_replace(false);
        self.shared
            .watches
            .send_modify(|watches| watches.frozen = false);
    }

    /// Watches stay open and say nothing, as behind a dead connection.
    pub fn freeze_watches(&self) {
        self.shared
            .watches
            .send_modify(|watches| watches.frozen = true);
    }

    /// Every open watch breaks off.
    pub fn cut_watches(&self) {
        self.shared.watches.send_modify(|watches| watches.cuts += 1);
    }
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers a write, and says what is to be done to it.
    fn note(&self, method: &Method, path: &str) -> Option<Fault> {
        let is_write = ![Method::GET, Method::HEAD].contains(method);
        if !is_write || path.contains("/leases") {
            return None;
        }
        let mut plan = self.plan();
        plan.writes.push(format!("{method} {path}"));
        let number = plan.writes.len();
        let is_meant = |(aim, _): &mut (Aim, Fault)| match aim {
            Aim::Number(at) => *at == number,
            Aim::First(of, end) => method == of.as_str() && path.ends_with(end.as_str()),
        };
        let strike = plan.strike.take_if(is_meant).map(|(_, fault)| fault);
        if strike == Some(Fault::ExpireWatches) {
            plan.expired = Some(BTreeSet::new());
        }
        let fault = strike.or(plan.refusal.map(Fault::Refuse));
        drop(plan);
        if fault == Some(Fault::Part) {
            self.part();
        }
        self.watches.send_if_modified(|watches| match fault {
            Some(Fault::CutWatches | Fault::ExpireWatches) => {
                watches.cuts += 1;
                true
            }
            Some(Fault::FreezeWatches) => {
                watches.frozen = true;
                true
            }
            _ => false,
        });
        fault
    }

    fn part(&self) {
        self.parted.send_replace(true);
        self.watches.send_modify(|watches| watches.frozen = true);
    }

    /// Whether a watch is to be told, for the first time, that it is too old.
    fn is_expired(&self, path: &str) -> bool {
        let mut plan = self.plan();
        let told = plan.expired.as_mut();
        told.is_some_and(|told| told.insert(path.to_owned()))
    }

    /// Returns when the network is whole.
    async fn joined(&self) {
        let mut parted = self.parted.subscribe();
        // Invariant: the sender lives as long as the server that runs this.
        let _ = parted.wait_for(|parted| !parted).await;
    }

    /// Never returns; the connection ends with the operator.
    async fn hold(&self) -> Response {
        self.held.send_modify(|held| *held += 1);
        std::future::pending().await
    }

    async fn forward(&self, request: Request<Body>) -> Result<reqwest::Response, Response> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, LARGEST_BODY)
            .await
            .map_err(|_| StatusCode::PAYLOAD_TOO_LARGE.into_response())?;
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let path = self.plan().reading.shortened(path);
        let asked = self
            .api
            .request(parts.method, format!("{}{path}", self.url))
            .headers(passed_on(parts.headers))
            .body(body);
        asked
            .send()
            .await
            .map_err(|_| StatusCode::BAD_GATEWAY.into_response())
    }

    /// The answer as it comes, unless watches are held up or cut meanwhile.
    fn watched(&self, answer: reqwest::Response, path: &str) -> Response {
        let frames = Frames::of(answer, self.watches.subscribe(), path);
        let frames = stream::unfold(frames, |mut frames| async move {
            let next = frames.next().await?;
            Some((next, frames))
        });
        Response::new(Body::from_stream(frames))
    }
}

/// What a parted network has taken in arrives, whether or not somebody still waits for the answer.
async fn pass(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let fault = shared.note(request.method(), request.uri().path());
    if !*shared.parted.borrow() {
        return answer(shared, request, fault).await;
    }
    let later = tokio::spawn(async move {
        shared.joined().await;
        answer(shared, request, fault).await
    });
    later
        .await
        .unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
}

async fn answer(shared: Arc<Shared>, request: Request<Body>, fault: Option<Fault>) -> Response {
    match fault {
        Some(Fault::CrashBefore) => return shared.hold().await,
        Some(Fault::Refuse(status)) => return Refusal::of(status).answer(),
        _ => {}
    }
    let instead = shared
        .plan()
        .reading
        .instead(request.method(), request.uri());
    match instead {
        Some(reading::Instead::Answer(answer)) => return answer,
        Some(reading::Instead::Silence) => return std::future::pending().await,
        None => {}
    }
    let (path, asked) = (request.uri().path().to_owned(), request.uri().to_string());
    let is_watch = request
        .uri()
        .query()
        .is_some_and(|query| query.contains("watch=true"));
    if is_watch && shared.is_expired(&path) {
        return Response::new(Body::from(EXPIRED));
    }
    if is_watch {
        let mut watches = shared.watches.subscribe();
        // Invariant: the sender lives as long as the server that runs this.
        let _ = watches.wait_for(|watches| !watches.frozen).await;
    }
    let answer = match shared.forward(request).await {
        Ok(answer) => answer,
        Err(refusal) => return refusal,
    };
    // An answer on its way is held up as well.
    shared.joined().await;
    let status = answer.status();
    let headers = passed_on(answer.headers().clone());
    let mut passed = if is_watch {
        shared.watched(answer, &path)
    } else {
        let Ok(whole) = answer.bytes().await else {
            return StatusCode::BAD_GATEWAY.into_response();
        };
        shared.plan().reading.note(&asked, status, &whole);
        match fault {
            Some(Fault::CrashAfter) => return shared.hold().await,
            Some(Fault::LoseAnswer) => broken_off(&whole),
            _ => Response::new(Body::from(whole)),
        }
    };
    *passed.status_mut() = status;
    passed.headers_mut().extend(headers);
    passed
}

/// Half an answer, and then the connection ends.
fn broken_off(whole: &Bytes) -> Response {
    let half = whole.slice(..whole.len() / 2);
    let end = Err(std::io::Error::other("broken off"));
    Response::new(Body::from_stream(stream::iter([Ok(half), end])))
}

/// All headers but those about this one connection.
fn passed_on(mut headers: HeaderMap) -> HeaderMap {
    for name in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

/// What the API server says to a watch that asks for what it has forgotten.
const EXPIRED: &str = concat!(
    r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"#,
    r#""status":"Failure","message":"too old resource version","reason":"Expired","code":410}}"#,
    "\n",
);

/// Longest body of a request, above what the API server takes.
const LARGEST_BODY: usize = 8 << 20;
