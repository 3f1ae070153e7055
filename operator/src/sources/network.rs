//! What the HTTP client says of a failure, in words that do not vary.

use std::error::Error;
use std::io;

use super::error::FetchError;
use super::guard::Refused;
use super::text::escaped;

/// Translates a failure of the client. The client's own text is not used as it is: it holds URLs,
/// and of certificates the time.
pub(super) fn failure(error: &reqwest::Error, shown: &str) -> FetchError {
    let url = shown.to_owned();
    if let Some(refused) = find::<Refused>(error) {
        return FetchError::Refused {
            url,
            refused: *refused,
        };
    }
    if error.is_timeout() {
        return FetchError::Timeout(url);
    }
    if error.is_connect() && is_no_tls(error) {
        return FetchError::NotTls(url);
    }
    FetchError::Network {
        url,
        why: why(error),
    }
}

/// Whether the other side answers the beginning of TLS as a server of plain HTTP does.
fn is_no_tls(error: &reqwest::Error) -> bool {
    let innermost = causes(error).last().map(ToString::to_string);
    innermost.is_some_and(|text| NO_TLS.iter().any(|known| text.starts_with(known)))
}

/// The words of the TLS library for an answer in plain text, and for none.
const NO_TLS: [&str; 2] = [
    "received corrupt message of type InvalidContentType",
    "tls handshake eof",
];

fn why(error: &reqwest::Error) -> String {
    let innermost = causes(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default();
    if let Some(certificate) = innermost.strip_prefix("invalid peer certificate: ") {
        return format!("its certificate is not accepted: {}", constant(certificate));
    }
    if let Some(word) = find::<io::Error>(error).and_then(|error| word(error.kind())) {
        return word.to_owned();
    }
    match innermost.split(':').next() {
        Some("failed to lookup address information") => "its name cannot be resolved".to_owned(),
        _ if error.is_connect() => format!("no connection: {}", constant(&innermost)),
        _ => format!("the answer broke off: {}", constant(&innermost)),
    }
}

fn word(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::ConnectionRefused => Some("connection refused"),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Some("connection reset"),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Some("host unreachable")
        }
        io::ErrorKind::UnexpectedEof => Some("the connection was closed too early"),
        _ => None,
    }
}

/// The leading words of a message, up to what may vary.
fn constant(message: &str) -> String {
    let varies =
        |letter: char| matches!(letter, ':' | '(' | '"' | ';' | '{') || letter.is_ascii_digit();
    escaped(message.split(varies).next().unwrap_or_default().trim())
}

fn find<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause: &&(dyn Error + 'static)| {
        (*cause).source()
    })
}
