//! A web server on loopback, for charts and for copies of keys, that remembers requests and can
//! misbehave.
//!
//! Runs on a thread of its own, so that it answers while a test blocks.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures::{StreamExt as _, stream};
use tempfile::TempDir;
use tokio_rustls::rustls::ServerConfig;

use crate::charts::Chart;
use crate::helm::{Helm, HelmError};
use crate::ports;
use crate::server::Server;
use crate::tls;

/// A folder of charts, served.
#[derive(Debug)]
pub struct Repository {
    shared: Arc<Shared>,
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    server: Option<Server>,
    dir: TempDir,
}

impl Repository {
    /// An empty repository.
    pub fn start() -> Result<Self, RepositoryError> {
        Self::serve(ports::listen()?, None)
    }

    /// The same, at this address.
    pub fn start_at(address: SocketAddr) -> Result<Self, RepositoryError> {
        Self::serve(TcpListener::bind(address)?, None)
    }

    /// An empty folder behind TLS, with a certificate by [`tls::authority`], for copies of keys.
    pub fn start_with_tls() -> Result<Self, RepositoryError> {
        Self::serve(ports::listen()?, Some(tls::config()?))
    }

    fn serve(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
    ) -> Result<Self, RepositoryError> {
        let dir = tempfile::Builder::new()
            .prefix("charttrust-repository-")
            .tempdir()?;
        let shared = Arc::new(Shared {
            dir: dir.path().to_owned(),
            state: Mutex::default(),
        });
        let address = listener.local_addr()?;
        let server = Server::start_with(listener, tls.clone(), app(shared.clone()))?;
        Ok(Self {
            shared,
            address,
            tls,
            server: Some(server),
            dir,
        })
    }

    /// Where it answers, without a slash at the end.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// `HOST:PORT`, as `--allow-host` takes it.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The served folder. Run [`Repository::reindex`] after a change of its charts.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Adds a chart, with its provenance if it has one, and writes the index anew.
    pub async fn publish(&self, helm: &Helm, chart: &Chart) -> Result<(), RepositoryError> {
        for file in [&chart.archive, &chart.provenance()] {
            if let (true, Some(name)) = (file.exists(), file.file_name()) {
                std::fs::copy(file, self.dir().join(name))?;
            }
        }
        self.reindex(helm).await
    }

    /// Puts a file below the folder, over one that is there.
    pub fn put(&self, path: &str, content: impl AsRef<[u8]>) -> Result<(), RepositoryError> {
        let file = self.dir().join(path);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(std::fs::write(file, content)?)
    }

    /// Writes the index anew, with Helm.
    pub async fn reindex(&self, helm: &Helm) -> Result<(), RepositoryError> {
        Ok(helm.index(self.dir()).await?)
    }

    /// From now on, answers requests for `path` (such as `/index.yaml`) with `fault`.
    pub fn misbehave(&self, path: &str, fault: Fault) {
        self.shared.state().faults.insert(path.to_owned(), fault);
    }

    /// From now on, answers all requests properly again.
    pub fn behave(&self) {
        self.shared.state().faults.clear();
    }

    /// From now on, refuses requests without this name and password (HTTP Basic).
    pub fn require_login(&self, user: &str, password: &str) {
        let login = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        self.shared.state().login = Some(login);
    }

    /// From now on, refuses requests without a token of the cluster for this audience. Whether the token is a
    /// good one is for the API server to say ([`Repository::bearers`]).
    pub fn require_bearer(&self, audience: &str) {
        self.shared.state().audience = Some(audience.to_owned());
    }

    /// From now on, refuses this token, as one that has ended.
    pub fn refuse_bearer(&self, token: &str) {
        self.shared.state().ended.insert(token.to_owned());
    }

    /// Every token that was sent so far, in order.
    pub fn bearers(&self) -> Vec<String> {
        self.shared.state().bearers.clone()
    }

    /// What was asked so far, oldest first.
    pub fn requests(&self) -> Vec<Asked> {
        self.shared.state().requests.clone()
    }

    /// How often `path` was asked for.
    pub fn count(&self, path: &str) -> usize {
        self.shared
            .state()
            .requests
            .iter()
            .filter(|asked| asked.path == path)
            .count()
    }

    /// Goes down: open connections break, new ones are refused.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Comes up again at the same address.
    pub fn restart(&mut self) -> Result<(), RepositoryError> {
        self.stop();
        let listener = TcpListener::bind(self.address)?;
        let app = app(self.shared.clone());
        self.server = Some(Server::start_with(listener, self.tls.clone(), app)?);
        Ok(())
    }
}

/// A wrong answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Other bytes than the file's.
    Bytes(Vec<u8>),
    /// Success with nothing in it.
    Empty,
    /// Bytes without end.
    Endless,
    /// Success with a web page, as a login portal sends it.
    Html,
    /// Too many requests, with `Retry-After` in seconds.
    RateLimited(u32),
    /// To another address.
    Redirect(String),
    /// The right answer, late.
    Slow(Duration),
    /// Only this status.
    Status(u16),
    /// The right answer, a byte each time this has passed.
    Trickle(Duration),
    /// The file's first half under the length of the whole.
    WrongLength,
}

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
}

/// Why there is no repository, or none with that chart.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The folder or the port cannot be used.
    #[error("failed to serve the chart repository")]
    Io(#[from] std::io::Error),
    /// Helm did not write the index.
    #[error(transparent)]
    Index(#[from] HelmError),
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    state: Mutex<Behaviour>,
}

#[derive(Debug, Default)]
struct Behaviour {
    /// For whom tokens have to be.
    audience: Option<String>,
    bearers: Vec<String>,
    /// Tokens that are refused.
    ended: HashSet<String>,
    faults: HashMap<String, Fault>,
    login: Option<String>,
    requests: Vec<Asked>,
}

impl Shared {
    /// The state is valid between any two statements, so a panic elsewhere does not spoil it.
    fn state(&self) -> MutexGuard<'_, Behaviour> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn app(shared: Arc<Shared>) -> Router {
    Router::new().fallback(answer).with_state(shared)
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    // Without its body a request may be shared between threads while the answer waits.
    let request = request.map(drop);
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    let fault = shared.state().faults.get(&path).cloned();
    let response = match refusal(&shared, request.headers()) {
        Some(refusal) => refusal,
        None => faulty_or_file(&shared, &request, fault).await,
    };
    let method = request.method().to_string();
    let status = response.status().as_u16();
    shared.state().requests.push(Asked {
        method,
        path,
        status,
    });
    response
}

fn refusal(shared: &Shared, headers: &HeaderMap) -> Option<Response> {
    let sent = headers
        .get(AUTHORIZATION)
        .and_then(|sent| sent.to_str().ok());
    let bearer = sent.and_then(|sent| sent.strip_prefix("Bearer "));
    let mut state = shared.state();
    state.bearers.extend(bearer.map(str::to_owned));
    if let Some(audience) = &state.audience {
        let is_good = |token: &&str| is_for(token, audience) && !state.ended.contains(*token);
        let is_known = bearer.is_some_and(|token| is_good(&token));
        return (!is_known).then(|| StatusCode::UNAUTHORIZED.into_response());
    }
    let login = state.login.clone()?;
    drop(state);
    if headers
        .get(AUTHORIZATION)
        .is_some_and(|sent| sent == login.as_str())
    {
        return None;
    }
    let challenge = [(WWW_AUTHENTICATE, "Basic realm=\"charts\"")];
    Some((StatusCode::UNAUTHORIZED, challenge).into_response())
}

/// Whether a token (a JWT, whose second part is JSON) says that it is for an audience.
fn is_for(token: &str, audience: &str) -> bool {
    let payload = token
        .split('.')
        .nth(1)
        .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims = payload.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    let audiences = claims.and_then(|claims| claims["aud"].as_array().cloned());
    audiences.is_some_and(|all| all.iter().any(|one| one == audience))
}

async fn faulty_or_file(shared: &Shared, request: &Request<()>, fault: Option<Fault>) -> Response {
    let Some(fault) = fault else {
        return file(shared, request);
    };
    match fault {
        Fault::Bytes(bytes) => bytes.into_response(),
        Fault::Empty => StatusCode::OK.into_response(),
        Fault::Endless => Body::from_stream(stream::repeat_with(some_bytes)).into_response(),
        Fault::Html => ([(CONTENT_TYPE, "text/html")], LOGIN_PAGE).into_response(),
        Fault::RateLimited(seconds) => {
            let header = [(RETRY_AFTER, seconds.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, header).into_response()
        }
        Fault::Redirect(to) => (StatusCode::FOUND, [(LOCATION, to)]).into_response(),
        Fault::Slow(delay) => {
            tokio::time::sleep(delay).await;
            file(shared, request)
        }
        Fault::Status(code) => StatusCode::from_u16(code)
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            .into_response(),
        Fault::Trickle(pause) => trickle(shared, request, pause),
        Fault::WrongLength => half(shared, request),
    }
}

fn file(shared: &Shared, request: &Request<()>) -> Response {
    let Some(bytes) = read(shared, request.uri().path()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tag = format!("\"{}\"", hex::encode(digest(&SHA256, &bytes)));
    if request
        .headers()
        .get(IF_NONE_MATCH)
        .is_some_and(|known| known == tag.as_str())
    {
        return (StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response();
    }
    let content_type = content_type(request.uri().path());
    (
        [(ETAG, tag), (CONTENT_TYPE, content_type.to_owned())],
        bytes,
    )
        .into_response()
}

/// A stream hides its length, so the server sends the header as it stands and then gives up.
fn half(shared: &Shared, request: &Request<()>) -> Response {
    let bytes = read(shared, request.uri().path()).unwrap_or_default();
    let length = HeaderValue::from(bytes.len());
    let half = Bytes::copy_from_slice(&bytes[..bytes.len() / 2]);
    let body = Body::from_stream(stream::iter([Ok::<_, Infallible>(half)]));
    ([(CONTENT_LENGTH, length)], body).into_response()
}

fn trickle(shared: &Shared, request: &Request<()>, pause: Duration) -> Response {
    let bytes = read(shared, request.uri().path()).unwrap_or_default();
    let each = stream::iter(bytes).then(move |byte| async move {
        tokio::time::sleep(pause).await;
        Ok::<_, Infallible>(Bytes::copy_from_slice(&[byte]))
    });
    Body::from_stream(each).into_response()
}

fn read(shared: &Shared, path: &str) -> Option<Vec<u8>> {
    let path = decoded(path)?;
    let relative = Path::new(path.trim_start_matches('/'));
    let plain = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    plain
        .then(|| std::fs::read(shared.dir.join(relative)).ok())
        .flatten()
}

/// The path without its percent escapes; nothing if it is not text then.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut parts = path.split('%');
    bytes.extend(parts.next()?.bytes());
    for part in parts {
        let (escape, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(escape, 16).ok()?);
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).ok()
}

fn content_type(path: &str) -> &'static str {
    match Path::new(path)
        .extension()
        .and_then(|extension| extension.to_str())
    {
        Some("tgz") => "application/gzip",
        Some("yaml") => "text/yaml",
        _ => "application/octet-stream",
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a body is a stream of results")]
fn some_bytes() -> Result<Bytes, Infallible> {
    Ok(Bytes::from_static(&[b'x'; 16 * 1024]))
}

const LOGIN_PAGE: &str = "<!DOCTYPE html><html><body>Please log in.</body></html>\n";

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(repository: &Repository, path: &str) -> reqwest::Result<(u16, String)> {
        let response = reqwest::get(repository.url() + path).await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    fn with_file() -> Repository {
        let repository = Repository::start().unwrap();
        std::fs::write(repository.dir().join("a.txt"), "abcdef").unwrap();
        repository
    }

    #[tokio::test]
    async fn files_are_served_and_requests_remembered() {
        let repository = with_file();
        assert_eq!(
            get(&repository, "/a.txt").await.unwrap(),
            (200, "abcdef".to_owned())
        );
        assert_eq!(get(&repository, "/none").await.unwrap().0, 404);
        let asked = Asked {
            method: "GET".into(),
            path: "/none".into(),
            status: 404,
        };
        assert_eq!(repository.requests()[1], asked);
        assert_eq!(repository.count("/a.txt"), 1);
    }

    #[tokio::test]
    async fn escapes_in_a_path_are_undone() {
        let repository = with_file();
        std::fs::write(repository.dir().join("${A}+1.txt"), "odd").unwrap();
        for path in ["/$%7BA%7D+1.txt", "/%24%7bA%7D%2B1.txt"] {
            assert_eq!(
                get(&repository, path).await.unwrap(),
                (200, "odd".to_owned())
            );
        }
        for path in ["/x%2F..%2Fa.txt", "/a.txt%", "/%ff", "/a%2"] {
            assert_eq!(get(&repository, path).await.unwrap().0, 404, "{path}");
        }
    }

    #[tokio::test]
    async fn known_content_is_not_sent_again() {
        let repository = with_file();
        let first = reqwest::get(repository.url() + "/a.txt").await.unwrap();
        let tag = first.headers()[ETAG].clone();
        let client = reqwest::Client::new();
        let again = client
            .get(repository.url() + "/a.txt")
            .header(IF_NONE_MATCH, tag);
        assert_eq!(again.send().await.unwrap().status(), 304);
    }

    #[tokio::test]
    async fn faults_last_until_told_to_behave() {
        let repository = with_file();
        let answers = [
            (Fault::Bytes(b"other".to_vec()), 200, "other"),
            (Fault::Empty, 200, ""),
            (Fault::Html, 200, LOGIN_PAGE),
            (Fault::RateLimited(7), 429, ""),
            (Fault::Slow(Duration::from_millis(1)), 200, "abcdef"),
            (Fault::Status(403), 403, ""),
        ];
        for (fault, status, body) in answers {
            repository.misbehave("/a.txt", fault);
            assert_eq!(
                get(&repository, "/a.txt").await.unwrap(),
                (status, body.to_owned())
            );
        }
        repository.behave();
        assert_eq!(get(&repository, "/a.txt").await.unwrap().1, "abcdef");
    }

    #[tokio::test]
    async fn redirect_leads_elsewhere() {
        let repository = with_file();
        repository.misbehave("/b.txt", Fault::Redirect(repository.url() + "/a.txt"));
        assert_eq!(get(&repository, "/b.txt").await.unwrap().1, "abcdef");
    }

    #[tokio::test]
    async fn short_body_is_an_error_of_the_client() {
        let repository = with_file();
        repository.misbehave("/a.txt", Fault::WrongLength);
        get(&repository, "/a.txt").await.unwrap_err();
    }

    #[tokio::test]
    async fn endless_body_goes_on() {
        let repository = with_file();
        repository.misbehave("/a.txt", Fault::Endless);
        let mut response = reqwest::get(repository.url() + "/a.txt").await.unwrap();
        let mut received = 0;
        while received < 1 << 20 {
            received += response.chunk().await.unwrap().unwrap().len();
        }
    }

    #[tokio::test]
    async fn login_is_required_once_set() {
        let repository = with_file();
        repository.require_login("ann", "secret");
        assert_eq!(get(&repository, "/a.txt").await.unwrap().0, 401);
        let client = reqwest::Client::new();
        let request = client
            .get(repository.url() + "/a.txt")
            .basic_auth("ann", Some("secret"));
        assert_eq!(request.send().await.unwrap().status(), 200);
    }

    #[tokio::test]
    async fn stopped_repository_refuses_and_comes_back_at_the_same_address() {
        let mut repository = with_file();
        repository.stop();
        assert!(get(&repository, "/a.txt").await.unwrap_err().is_connect());
        repository.restart().unwrap();
        assert_eq!(get(&repository, "/a.txt").await.unwrap().0, 200);
    }

    /// What is known of the address of one that has ended must not be met by another.
    #[test]
    fn no_two_repositories_have_one_address() {
        let hosts: Vec<_> = (0..20)
            .map(|_| Repository::start().unwrap().host())
            .collect();
        let different: std::collections::BTreeSet<_> = hosts.iter().collect();
        assert_eq!(different.len(), hosts.len(), "{hosts:?}");
    }
}
