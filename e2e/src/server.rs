//! An HTTP server on loopback, on a thread of its own, so that it answers while a test blocks.

use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;
use tokio::sync::oneshot;
use tokio_rustls::rustls::ServerConfig;

use crate::tls;

/// A thread with a runtime; both end, and all connections with them, when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Answers what arrives at `listener`.
    pub(crate) fn start(listener: TcpListener, app: Router) -> std::io::Result<Self> {
        Self::start_with(listener, None, app)
    }

    /// The same, behind TLS if there is a configuration for it.
    pub(crate) fn start_with(
        listener: TcpListener,
        config: Option<Arc<ServerConfig>>,
        app: Router,
    ) -> std::io::Result<Self> {
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let serve = async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            match config {
                None => axum::serve(listener, app).await,
                Some(config) => axum::serve(tls::Listener::new(listener, config), app).await,
            }
        };
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = serve => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
