//! The cluster that a command asks: whom it asks as, and what it reads. Writes nothing.

use std::error::Error;
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;

use super::{INTERNAL, UNKNOWN, USAGE};

/// Which cluster to ask, as kubectl takes it.
#[derive(Args, Clone, Debug)]
pub struct Connection {
    /// The kubeconfig, instead of KUBECONFIG or ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig, instead of its current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The API server refused or did not answer.
    #[error("failed to {0}")]
    Api(String, #[source] Box<kube::Error>),
    /// What was asked for cannot be done as it was asked.
    #[error("{0}")]
    Asked(String),
    /// No cluster is configured, or not usably.
    #[error("no usable cluster is configured: set KUBECONFIG, or name a file with --kubeconfig")]
    NoCluster(#[source] Box<dyn Error + Send + Sync>),
    /// The result cannot be printed.
    #[error("failed to print the result")]
    Output(#[from] std::io::Error),
    /// The operator gave no answer yet.
    #[error("{0}")]
    Unanswered(String),
}

impl Failure {
    /// A request that failed.
    pub(super) fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        |error| Self::Api(what.into(), Box::new(error))
    }

    /// The exit code.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Asked(_) | Self::NoCluster(_) => USAGE,
            Self::Api(..) | Self::Unanswered(_) => UNKNOWN,
            Self::Output(_) => INTERNAL,
        }
    }
}

impl Connection {
    /// A client of the cluster.
    pub(super) async fn client(&self) -> Result<Client, Failure> {
        let mut config = self.config().await?;
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(ANSWER);
        config.write_timeout = Some(ANSWER);
        Client::try_from(config).map_err(|error| Failure::NoCluster(error.into()))
    }

    async fn config(&self) -> Result<Config, Failure> {
        if self.kubeconfig.is_none() && self.context.is_none() {
            let config = Config::infer().await;
            return config.map_err(|error| Failure::NoCluster(error.into()));
        }
        let read = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let read = read.map_err(|error| Failure::NoCluster(error.into()))?;
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let config = Config::from_custom_kubeconfig(read, &options).await;
        config.map_err(|error| Failure::NoCluster(error.into()))
    }
}

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest silence of the API server.
const ANSWER: Duration = Duration::from_secs(30);

/// Every object, read in pages.
pub(super) async fn all<K>(api: &Api<K>, what: &str) -> Result<Vec<K>, Failure>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let mut found = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await;
        let page = page.map_err(Failure::api(format!("list the {what}")))?;
        found.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(found),
        }
    }
}

/// Objects in one answer.
const PAGE: u32 = 500;

/// Whether an object can have this name.
pub(super) fn is_name(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    !text.is_empty() && text.chars().all(is_letter)
}

/// A release as people name it.
pub(super) fn release(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if is_name(namespace) && is_name(name) => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("write it as NAMESPACE/RELEASE, for example shop/payments".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_named_with_its_namespace() {
        assert_eq!(
            release("shop/payments"),
            Ok(("shop".into(), "payments".into()))
        );
        assert_eq!(
            release("argocd/argocd.shop"),
            Ok(("argocd".into(), "argocd.shop".into()))
        );
        for text in [
            "",
            "payments",
            "/payments",
            "shop/",
            "a/b/c",
            "a b/c",
            "Shop/web",
            "a/\u{1b}",
        ] {
            assert!(release(text).is_err(), "{text:?}");
        }
    }
}
