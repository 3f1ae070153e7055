//! Repositories and raw servers for the tests.

use std::sync::Arc;
use std::time::Duration;

use charttrust::sources::{
    AuthHost, Cause, FetchError, Fetched, Fetcher, Limits, ProvenanceAnswer, Reader, Settings,
    Source,
};
use charttrust_verify::digest::Digested;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

pub(crate) const CHART: &str = "payments";
pub(crate) const VERSION: &str = "2.4.1";
pub(crate) const ARCHIVE: &str = "/payments-2.4.1.tgz";
pub(crate) const PROVENANCE: &str = "/payments-2.4.1.tgz.prov";
pub(crate) const INDEX: &str = "/index.yaml";
/// Begins as gzip does; nothing here looks any further.
pub(crate) const GZIP: &[u8] = b"\x1f\x8b\x08 an archive";
pub(crate) const SIGNED: &str =
    "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nname: payments\n";

/// Limits short enough for tests that wait for them.
pub(crate) fn limits() -> Limits {
    Limits {
        connect: Duration::from_secs(5),
        idle: Duration::from_secs(1),
        total: Duration::from_secs(3),
        index_bytes: 4096,
        archive_bytes: 4096,
        ..Limits::default()
    }
}

/// A fetcher that may talk to this machine, and keeps archives as they are.
pub(crate) fn fetcher() -> Fetcher<Vec<u8>> {
    fetcher_with(&["127.0.0.1", "localhost"], limits())
}

pub(crate) fn fetcher_with(named: &[&str], limits: Limits) -> Fetcher<Vec<u8>> {
    fetcher_by(named, Vec::new(), limits)
}

/// As [`fetcher`], for which token services of registries were named.
pub(crate) fn fetcher_of(auth_hosts: Vec<AuthHost>) -> Fetcher<Vec<u8>> {
    fetcher_by(&["127.0.0.1", "localhost"], auth_hosts, limits())
}

fn fetcher_by(named: &[&str], auth_hosts: Vec<AuthHost>, limits: Limits) -> Fetcher<Vec<u8>> {
    let allowed_hosts = named.iter().map(|host| host.parse().unwrap()).collect();
    let reader = Reader {
        read: Arc::new(|archive: &Digested<'_>| archive.bytes().to_vec()),
        cost: Vec::len,
    };
    Fetcher::new(
        Settings {
            allowed_hosts,
            auth_hosts,
            limits,
            user_agent: "charttrust/test".to_owned(),
        },
        reader,
    )
}

pub(crate) fn source(url: impl Into<String>) -> Source {
    Source::at(url)
}

/// Asks once with a new fetcher.
pub(crate) async fn fetch(url: impl Into<String>) -> Result<Fetched<Vec<u8>>, FetchError> {
    fetcher().fetch(&source(url), CHART, VERSION).await
}

/// The provenance answer of a fetch that found the archive.
pub(crate) async fn provenance(url: impl Into<String>) -> ProvenanceAnswer {
    fetch(url).await.unwrap().provenance
}

/// The cause of a fetch that failed.
pub(crate) async fn cause(url: impl Into<String>) -> Cause {
    fetch(url).await.unwrap_err().cause()
}

/// An index that lists one version at a URL.
pub(crate) fn index(url: &str) -> String {
    format!("apiVersion: v1\nentries:\n  {CHART}:\n  - version: {VERSION}\n    urls: ['{url}']\n")
}

/// A repository with the chart and its provenance file.
pub(crate) async fn repository() -> MockServer {
    let server = unsigned_repository().await;
    serve(
        &server,
        PROVENANCE,
        ResponseTemplate::new(200).set_body_string(SIGNED),
    )
    .await;
    server
}

/// A repository with the chart alone.
pub(crate) async fn unsigned_repository() -> MockServer {
    let server = MockServer::start().await;
    serve(
        &server,
        INDEX,
        ResponseTemplate::new(200).set_body_string(index("payments-2.4.1.tgz")),
    )
    .await;
    serve(&server, ARCHIVE, archive()).await;
    server
}

pub(crate) fn archive() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_bytes(GZIP)
}

/// Answers a path; of two answers for one path the first counts.
pub(crate) async fn serve(server: &MockServer, at: &str, answer: impl Respond + 'static) {
    Mock::given(path(at))
        .respond_with(answer)
        .mount(server)
        .await;
}

/// Forgets every answer and every request, and answers these paths.
pub(crate) async fn replace(server: &MockServer, at: &[(&str, ResponseTemplate)]) {
    server.reset().await;
    for (at, answer) in at {
        Mock::given(path(*at))
            .respond_with(answer.clone())
            .mount(server)
            .await;
    }
}

/// The paths asked for, in order.
pub(crate) async fn paths(server: &MockServer) -> Vec<String> {
    server
        .received_requests()
        .await
        .unwrap()
        .iter()
        .map(|request| request.url.path().to_owned())
        .collect()
}

/// How often a path was asked for.
pub(crate) async fn asked(server: &MockServer, at: &str) -> usize {
    paths(server)
        .await
        .iter()
        .filter(|path| *path == at)
        .count()
}

/// Whether a request carries anything that could be a secret.
pub(crate) fn has_secret(request: &Request) -> bool {
    format!("{request:?}").contains("canary") || request.headers.contains_key("authorization")
}

/// A TCP server that answers each connection by writing what a function makes of the request head.
pub(crate) struct Raw {
    pub(crate) url: String,
}

impl Raw {
    /// Answers every connection as the function says.
    pub(crate) async fn serve(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(accept(listener, Arc::new(answer)));
        Self { url }
    }
}

/// What a raw server does after it has read a request head.
pub(crate) enum Answer {
    /// Writes and closes.
    Close(Vec<u8>),
    /// Writes, then writes the second part again and again for ever.
    Endless(Vec<u8>, Vec<u8>),
    /// Writes, then the second part again and again with a pause before each.
    Slow(Vec<u8>, Vec<u8>, Duration),
    /// Writes and keeps the connection open in silence.
    Silence(Vec<u8>),
}

type Answering = dyn Fn(&str) -> Answer + Send + Sync;

async fn accept(listener: TcpListener, answer: Arc<Answering>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(converse(stream, Arc::clone(&answer)));
    }
}

async fn converse(mut stream: TcpStream, answer: Arc<Answering>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            // Who does not speak TLS answers its beginning in plain text.
            Ok(0x16) if head.is_empty() => {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                return;
            }
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    // The client may hang up at any time.
    let _ = write(&mut stream, answer(&head)).await;
}

async fn write(stream: &mut TcpStream, answer: Answer) -> std::io::Result<()> {
    match answer {
        Answer::Close(bytes) => stream.write_all(&bytes).await?,
        Answer::Endless(first, next) => {
            stream.write_all(&first).await?;
            loop {
                stream.write_all(&next).await?;
            }
        }
        Answer::Slow(first, next, pause) => {
            stream.write_all(&first).await?;
            let mut ticks = tokio::time::interval(pause);
            loop {
                ticks.tick().await;
                stream.write_all(&next).await?;
            }
        }
        Answer::Silence(bytes) => {
            stream.write_all(&bytes).await?;
            std::future::pending::<()>().await;
        }
    }
    stream.shutdown().await
}

/// A whole HTTP answer.
pub(crate) fn http(head: &str, body: &[u8]) -> Vec<u8> {
    [
        format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n").as_bytes(),
        body,
    ]
    .concat()
}

/// A 200 with its length.
pub(crate) fn ok(body: &[u8]) -> Answer {
    Answer::Close(http(
        &format!("200 OK\r\ncontent-length: {}", body.len()),
        body,
    ))
}

/// The usual repository, but for one path.
pub(crate) fn usual_but(at: &'static str, other: impl Fn() -> Answer) -> impl Fn(&str) -> Answer {
    move |head| match head.split(' ').nth(1) {
        Some(path) if path == at => other(),
        Some(INDEX) => ok(index("payments-2.4.1.tgz").as_bytes()),
        Some(ARCHIVE) => ok(GZIP),
        Some(PROVENANCE) => ok(SIGNED.as_bytes()),
        _ => Answer::Close(http("404 Not Found\r\ncontent-length: 0", b"")),
    }
}
