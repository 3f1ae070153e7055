//! What our programs have in common: how they are ended, and how they tell what went wrong.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

/// Completes on Ctrl-C, SIGTERM or a closed terminal. Listens from the call on, not from the first
/// poll, so that a signal during the start is not lost.
///
/// # Errors
/// If signals cannot be received.
pub fn ended() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// An error with all its causes.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
