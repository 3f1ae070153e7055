//! Why a reconcile has to be tried again.

use super::store::seal;

/// Why a reconcile has to be tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The API server refused or did not answer.
    #[error("failed to {0}")]
    Api(&'static str, #[source] kube::Error),
    /// A quarantine could not be brought further.
    #[error("{0}")]
    Quarantine(String),
    /// The key of the evidence cannot be used.
    #[error("Secret {SECRET} {0}", SECRET = seal::SECRET)]
    Seal(&'static str),
    /// The webhook has no certificates.
    #[error("failed to {0}")]
    Webhook(&'static str),
}

/// An error with its causes, in one line. What the API server says is told in its words, once: whoever wraps it adds
/// what it was parsed into.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        if let Some(kube::Error::Api(status)) = next.downcast_ref() {
            return format!("{text}: {}", status.message);
        }
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
