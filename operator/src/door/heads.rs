//! Nobody holds a connection by beginning a request and not ending its head.
//!
//! Between requests a connection may rest for longer, as those of API servers do. `hyper` has one deadline for both.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Longest time from the first byte of a request to the end of its head. No API server waits longer for the answer.
pub(super) const LONGEST_HEAD: Duration = Duration::from_secs(5);

/// How many changes there were between rest and answering on one connection: odd while something is answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Heads(Arc<AtomicUsize>);

/// A whole head came, and is being answered until this is dropped: its body has a deadline of its own.
#[derive(Debug)]
pub(super) struct Whole(Heads);

/// What comes in by a connection, in time or not at all.
#[derive(Debug)]
pub(super) struct Timed<S> {
    stream: S,
    heads: Heads,
    /// When what has begun is late, and how many changes there were before.
    late: Option<(usize, Pin<Box<Sleep>>)>,
}

impl Heads {
    /// A connection on which heads come in time.
    pub(super) fn timed<S>(&self, stream: S) -> Timed<S> {
        Timed {
            stream,
            heads: self.clone(),
            late: None,
        }
    }

    /// A whole head came.
    pub(super) fn whole(&self) -> Whole {
        self.0.fetch_add(1, Ordering::Relaxed);
        Whole(self.clone())
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl<S> Timed<S> {
    /// Whether what has begun is late. Something begins when bytes come while nothing is answered.
    fn is_late(&mut self, have_come: usize, context: &mut Context<'_>) -> bool {
        let now = self.heads.0.load(Ordering::Relaxed);
        self.late = self.late.take().filter(|(of, _)| *of == now);
        if have_come > 0 && now.is_multiple_of(2) && self.late.is_none() {
            self.late = Some((now, Box::pin(sleep(LONGEST_HEAD))));
        }
        let late = self.late.as_mut();
        late.is_some_and(|(_, late)| late.as_mut().poll(context).is_ready())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let have_come = buffer.filled().len().saturating_sub(before);
        if self.is_late(have_come, context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
