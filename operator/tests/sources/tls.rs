//! TLS, certificates and the CA of a source.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use charttrust::sources::{Cause, Credentials, FetchError, Refused, Source};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::server::*;

const AUTHORITY: &[u8] = include_bytes!("testdata/authority.crt");
const STRANGER: &[u8] = include_bytes!("testdata/stranger.crt");
const SERVER: Pair = Pair {
    cert: include_bytes!("testdata/server.crt"),
    key: include_bytes!("testdata/server.key"),
};
const ELSEWHERE: Pair = Pair {
    cert: include_bytes!("testdata/elsewhere.crt"),
    key: include_bytes!("testdata/elsewhere.key"),
};
const EXPIRED: Pair = Pair {
    cert: include_bytes!("testdata/expired.crt"),
    key: include_bytes!("testdata/expired.key"),
};
const CLIENT: Pair = Pair {
    cert: include_bytes!("testdata/client.crt"),
    key: include_bytes!("testdata/client.key"),
};

#[derive(Clone, Copy)]
struct Pair {
    cert: &'static [u8],
    key: &'static [u8],
}

/// An HTTPS server that asks for a client certificate, and notes who showed one.
struct Tls {
    url: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    certificates: AtomicUsize,
    heads: Mutex<Vec<String>>,
}

type Answering = dyn Fn(&str) -> Vec<u8> + Send + Sync;

impl Tls {
    async fn serve(pair: Pair, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let seen = Arc::<Seen>::default();
        let (acceptor, answer): (_, Arc<Answering>) = (acceptor(pair), Arc::new(answer));
        let noted = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(
                    acceptor.clone(),
                    stream,
                    Arc::clone(&answer),
                    Arc::clone(&noted),
                ));
            }
        });
        Self { url, seen }
    }

    fn certificates(&self) -> usize {
        self.seen.certificates.load(Ordering::Relaxed)
    }

    fn requests(&self) -> usize {
        self.seen.heads.lock().unwrap().len()
    }
}

fn acceptor(pair: Pair) -> TlsAcceptor {
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(AUTHORITY).unwrap())
        .unwrap();
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .unwrap();
    let chain = vec![CertificateDer::from_pem_slice(pair.cert).unwrap()];
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(pair.key).unwrap())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn converse(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    answer: Arc<Answering>,
    seen: Arc<Seen>,
) {
    // Clients that do not like the certificate go away here.
    let Ok(mut stream) = acceptor.accept(stream).await else {
        return;
    };
    if stream.get_ref().1.peer_certificates().is_some() {
        seen.certificates.fetch_add(1, Ordering::Relaxed);
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let body = answer(&head);
    seen.heads.lock().unwrap().push(head);
    // The client may hang up at any time.
    let _ = stream.write_all(&body).await;
    let _ = stream.shutdown().await;
}

fn found(body: &[u8]) -> Vec<u8> {
    http(&format!("200 OK\r\ncontent-length: {}", body.len()), body)
}

fn moved(to: &str) -> Vec<u8> {
    http(
        &format!("302 Found\r\nlocation: {to}\r\ncontent-length: 0"),
        b"",
    )
}

fn usual(head: &str) -> Vec<u8> {
    match head.split(' ').nth(1) {
        Some(INDEX) => found(index("payments-2.4.1.tgz").as_bytes()),
        Some(ARCHIVE) => found(GZIP),
        Some(PROVENANCE) => found(SIGNED.as_bytes()),
        _ => http("404 Not Found\r\ncontent-length: 0", b""),
    }
}

fn trusting(url: &str) -> Source {
    Source {
        ca: Some(AUTHORITY.to_vec()),
        ..source(url)
    }
}

fn client_certificate() -> Credentials {
    Credentials::Tls {
        cert: CLIENT.cert.to_vec(),
        key: CLIENT.key.to_vec().into(),
    }
}

async fn failure(source: &Source) -> FetchError {
    let error = fetcher().fetch(source, CHART, VERSION).await.unwrap_err();
    assert_eq!(error.cause(), Cause::SourceUnavailable);
    error
}

#[tokio::test]
async fn the_ca_of_a_source_vouches_for_it() {
    let server = Tls::serve(SERVER, usual).await;
    assert!(
        fetcher()
            .fetch(&trusting(&server.url), CHART, VERSION)
            .await
            .is_ok()
    );
    let literal = server.url.replace("localhost", "127.0.0.1");
    assert!(
        fetcher()
            .fetch(&trusting(&literal), CHART, VERSION)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn certificates_that_are_not_good_are_refused_with_a_constant_message() {
    for (pair, ca, why) in [
        (SERVER, None, "UnknownIssuer"),
        (SERVER, Some(STRANGER), "UnknownIssuer"),
        (EXPIRED, Some(AUTHORITY), "certificate expired"),
        (ELSEWHERE, Some(AUTHORITY), "certificate not valid for name"),
    ] {
        let server = Tls::serve(pair, usual).await;
        let error = failure(&Source {
            ca: ca.map(<[u8]>::to_vec),
            ..source(&server.url)
        })
        .await;
        let text = format!(
            "{}/index.yaml: its certificate is not accepted: {why}",
            server.url
        );
        assert_eq!(error.to_string(), text);
        assert_eq!(server.requests(), 0);
    }
}

#[tokio::test]
async fn the_ca_of_a_source_replaces_the_public_authorities() {
    let (server, other) = (
        Tls::serve(SERVER, usual).await,
        Tls::serve(SERVER, usual).await,
    );
    let bundle = Source {
        ca: Some([STRANGER, AUTHORITY].concat()),
        ..source(&server.url)
    };
    assert!(fetcher().fetch(&bundle, CHART, VERSION).await.is_ok());
    let fetcher = fetcher();
    fetcher
        .fetch(&trusting(&other.url), CHART, VERSION)
        .await
        .unwrap();
    let stranger = Source {
        ca: Some(STRANGER.to_vec()),
        ..source(&other.url)
    };
    assert!(
        fetcher.fetch(&stranger, CHART, VERSION).await.is_err(),
        "a connection was shared"
    );
}

#[tokio::test]
async fn a_ca_or_client_certificate_that_is_none_is_refused_before_any_request() {
    let server = Tls::serve(SERVER, usual).await;
    for ca in [
        &b""[..],
        b"nonsense",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let error = failure(&Source {
            ca: Some(ca.to_vec()),
            ..source(&server.url)
        })
        .await;
        assert!(matches!(error, FetchError::Credentials(_)), "{error}");
    }
    for (cert, key) in [
        (&b""[..], &b""[..]),
        (CLIENT.cert, b"canary"),
        (b"canary", CLIENT.key),
        (CLIENT.cert, SERVER.key),
    ] {
        let credentials = Credentials::Tls {
            cert: cert.to_vec(),
            key: key.to_vec().into(),
        };
        let error = failure(&Source {
            credentials: Some(credentials),
            ..trusting(&server.url)
        })
        .await;
        assert!(matches!(error, FetchError::Credentials(_)), "{error}");
        assert!(!error.to_string().contains("canary"));
    }
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_the_source() {
    let server = Tls::serve(SERVER, usual).await;
    let source = Source {
        credentials: Some(client_certificate()),
        ..trusting(&server.url)
    };
    fetcher().fetch(&source, CHART, VERSION).await.unwrap();
    assert_eq!((server.certificates(), server.requests()), (3, 3));
}

#[tokio::test]
async fn a_client_certificate_is_not_shown_to_another_origin() {
    let honeypot = Tls::serve(SERVER, usual).await;
    let target = honeypot.url.clone();
    let server = Tls::serve(SERVER, move |head| match head.split(' ').nth(1) {
        Some(path @ (ARCHIVE | PROVENANCE)) => moved(&format!("{target}{path}")),
        _ => usual(head),
    })
    .await;
    let source = Source {
        credentials: Some(client_certificate()),
        ..trusting(&server.url)
    };
    fetcher().fetch(&source, CHART, VERSION).await.unwrap();
    assert_eq!((server.certificates(), server.requests()), (3, 3));
    assert_eq!((honeypot.certificates(), honeypot.requests()), (0, 2));
}

#[tokio::test]
async fn the_same_host_on_another_port_sees_no_client_certificate() {
    let honeypot = Tls::serve(SERVER, usual).await;
    let listed = index(&format!("{}{ARCHIVE}", honeypot.url));
    let server = Tls::serve(SERVER, move |_| found(listed.as_bytes())).await;
    let source = Source {
        credentials: Some(client_certificate()),
        ..trusting(&server.url)
    };
    fetcher().fetch(&source, CHART, VERSION).await.unwrap();
    assert_eq!(
        (
            server.certificates(),
            honeypot.certificates(),
            honeypot.requests()
        ),
        (1, 0, 2)
    );
}

#[tokio::test]
async fn basic_credentials_travel_over_tls() {
    let server = Tls::serve(SERVER, usual).await;
    let credentials = Credentials::Basic {
        username: "ada".to_owned().into(),
        password: "canary".to_owned().into(),
    };
    let source = Source {
        credentials: Some(credentials),
        ..trusting(&server.url)
    };
    fetcher().fetch(&source, CHART, VERSION).await.unwrap();
    let heads = server.seen.heads.lock().unwrap().join("").to_lowercase();
    assert_eq!(heads.matches("authorization: basic ").count(), 3);
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_not_followed() {
    let plain = repository().await;
    let target = format!("{}/index.yaml", plain.uri());
    let server = Tls::serve(SERVER, move |_| moved(&target)).await;
    let error = failure(&trusting(&server.url)).await;
    assert!(
        matches!(
            error,
            FetchError::Refused {
                refused: Refused::Downgrade,
                ..
            }
        ),
        "{error}"
    );
    assert!(paths(&plain).await.is_empty());
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_and_gets_none_is_unavailable() {
    let server = Tls::serve(SERVER, |_| http("403 Forbidden\r\ncontent-length: 0", b"")).await;
    assert!(matches!(
        failure(&trusting(&server.url)).await,
        FetchError::Status { code: 403, .. }
    ));
}
