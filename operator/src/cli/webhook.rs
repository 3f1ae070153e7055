//! `charttrust webhook`: answers whoever installs a release, before Helm makes anything of it.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};

use super::run::{self, LogFormat, RunError, unserved};
use crate::controllers::webhook::SHOWN;
use crate::door::shown::Shown;
use crate::door::{Door, Settings, serve};
use crate::metrics::door::Numbers;
use crate::quarantine::PROTECTED;
use crate::sources::{self, AllowedHost, AuthHost};

/// Runs the admission webhook, with the cluster of KUBECONFIG or the one it runs in.
///
/// It judges the record that Helm stores before it makes anything, by the same engine as the operator, and lets
/// it in, warns or refuses, as the mode of each policy says. It reads no Secret but its own certificate.
#[derive(Args, Clone, Debug)]
pub struct Webhook {
    /// The operator's own namespace, of which nothing is asked.
    #[arg(long, default_value = "charttrust-system")]
    pub namespace: String,
    /// Where API servers send reviews, over TLS.
    #[arg(long, default_value = "0.0.0.0:8443", value_name = "ADDR")]
    pub webhook_addr: SocketAddr,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, default_value = "0.0.0.0:8081", value_name = "ADDR")]
    pub health_addr: SocketAddr,
    /// The Secret with the certificate, in the operator's namespace.
    #[arg(long, default_value = SHOWN, value_name = "NAME")]
    pub tls_secret: String,
    /// Allows sources on this host to be private, loopback or plain HTTP. Repeatable.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub allow_host: Vec<AllowedHost>,
    /// A registry whose token service is elsewhere, and its host. Repeatable.
    #[arg(long, value_name = "REGISTRY=HOST")]
    pub auth_host: Vec<AuthHost>,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`RunError`].
pub async fn run(arguments: Webhook) -> Result<(), RunError> {
    run::log(arguments.log_format);
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let client = Client::try_from(run::config().await?).map_err(RunError::Client)?;
    let (namespace, secret) = (arguments.namespace.clone(), arguments.tls_secret.clone());
    let door = Arc::new(Door::new(client.clone(), settings(&arguments)));
    let (numbers, shown) = (Arc::new(Numbers::default()), Arc::new(Shown::default()));
    let both = || (Arc::clone(&door), Arc::clone(&numbers));
    let reviews = serve::reviews(arguments.webhook_addr, both(), Arc::clone(&shown));
    let probes = serve::probes(arguments.health_addr, both(), Arc::clone(&shown));
    let ended = tokio::select! {
        () = Box::pin(door.follow()) => Ok(()),
        () = Box::pin(shown.follow(client, &namespace, &secret)) => Ok(()),
        result = Box::pin(reviews) => result.map_err(unserved(arguments.webhook_addr, "--webhook-addr")),
        result = Box::pin(probes) => result.map_err(unserved(arguments.health_addr, "--health-addr")),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    tracing::info!("stopping");
    ended
}

fn settings(arguments: &Webhook) -> Settings {
    Settings {
        namespace: arguments.namespace.clone(),
        exempt: [PROTECTED.to_owned()].into(),
        sources: sources::Settings {
            allowed_hosts: arguments.allow_host.clone(),
            auth_hosts: arguments.auth_host.clone(),
            limits: sources::Limits::default(),
            user_agent: concat!("charttrust/", env!("CARGO_PKG_VERSION")).to_owned(),
        },
    }
}
