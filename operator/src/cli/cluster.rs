//! The cluster that a command asks: whom it asks as, and what it reads. Writes nothing.

use std::error::Error;
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use charttrust_verify::openpgp::Fingerprint;
use charttrust_verify::sigstore::{KnownIdentity, Root};
use clap::Args;
use kube::api::{DynamicObject, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::progress::Progress;
use super::screen::plain;
use super::{INTERNAL, UNKNOWN, USAGE, program};
use crate::api::{TrustedIdentity, TrustedKey};
use crate::parse;
use crate::watch::{Kind, discover, within_deadline};

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
    /// The API server did not answer, or not usably.
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
    /// The API server refused, in its own words, which say all that there is.
    #[error("failed to {0}: {1}")]
    Refused(String, String),
    /// The operator gave no answer yet.
    #[error("{0}")]
    Unanswered(String),
}

impl Failure {
    /// A request that failed.
    pub(super) fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        |error| match error {
            kube::Error::Api(status) => Self::Refused(what.into(), advised(&status)),
            error => Self::Api(what.into(), Box::new(error)),
        }
    }

    /// The exit code.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Asked(_) | Self::NoCluster(_) => USAGE,
            Self::Api(..) | Self::Refused(..) | Self::Unanswered(_) => UNKNOWN,
            Self::Output(_) => INTERNAL,
        }
    }
}

/// What the server said, and what to do where a right or a whole kind is missing.
fn advised(status: &kube::core::Status) -> String {
    let said = status.message.trim();
    match status.code {
        403 => {
            format!("{said}; ask for the role charttrust-view, or for charttrust-admin to write")
        }
        404 if said == NO_SUCH_PAGE => format!(
            "the cluster does not know this kind; if it is one of charttrust: {} crds | kubectl apply \
             --server-side -f -",
            program()
        ),
        _ => said.to_owned(),
    }
}

/// What an API server says of kinds that it does not know; of objects it speaks in objects.
const NO_SUCH_PAGE: &str = "404 page not found";

/// An error and what led to it, each said once and none of it as Rust prints values, which is what kube
/// does.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut said = Vec::<String>::new();
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.source();
        let part = match of_kube(error) {
            Some(kube::Error::Api(status)) => {
                said.push(advised(status));
                break;
            }
            // What it wraps says it without names of types.
            Some(_) if next.is_some() => continue,
            Some(_) | None => error.to_string(),
        };
        // Some say what led to them, and name it as their source too.
        if said.last().is_none_or(|last| !last.contains(&part)) {
            said.push(part);
        }
    }
    said.join(": ")
}

fn of_kube<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a kube::Error> {
    let boxed = || error.downcast_ref::<Box<kube::Error>>();
    error
        .downcast_ref()
        .or_else(|| boxed().map(std::convert::AsRef::as_ref))
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
        let read = match (&self.kubeconfig, &self.context) {
            (Some(path), _) => Kubeconfig::read_from(path).map(Some),
            (None, Some(_)) => Kubeconfig::read().map(Some),
            // A file that is named is meant: where it cannot be read, no other cluster is asked in its place.
            (None, None) => Kubeconfig::from_env(),
        };
        let Some(read) = read.map_err(|error| Failure::NoCluster(error.into()))? else {
            let config = Config::infer().await;
            return config.map_err(|error| Failure::NoCluster(error.into()));
        };
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
    chosen(api, ListParams::default(), what).await
}

/// The objects that are chosen so, read in pages.
pub(super) async fn chosen<K>(
    api: &Api<K>,
    params: ListParams,
    what: &str,
) -> Result<Vec<K>, Failure>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let mut found = Vec::new();
    let mut params = params.limit(PAGE);
    let mut progress = Progress::new();
    loop {
        let page = api.list(&params).await;
        let page = page.map_err(Failure::api(format!("list the {what}")))?;
        found.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => {
                progress.tell(&format!("{} {what} are read …", found.len()));
                params.continue_token = Some(token);
            }
            None => return Ok(found),
        }
    }
}

/// Objects in one answer.
const PAGE: u32 = 500;

/// The objects of a kind that others have defined; none if the cluster does not know it.
pub(super) async fn objects(client: &Client, kind: Kind) -> Result<Vec<Value>, Failure> {
    let what = kind.plural;
    let resource = within_deadline(discover(client, kind)).await;
    let resource = resource.map_err(Failure::api(format!("ask for the kind {what}")))?;
    let Some(resource) = resource else {
        return Ok(Vec::new());
    };
    let found = all(
        &Api::<DynamicObject>::all_with(client.clone(), &resource),
        what,
    )
    .await?;
    let values = found.into_iter().map(serde_json::to_value);
    let values: Result<_, _> = values.collect();
    values.map_err(|error| Failure::Asked(chain(&error)))
}

/// A `TrustedKey` by its name.
pub(super) async fn key(client: &Client, name: &str) -> Result<TrustedKey, Failure> {
    let missing = || {
        let name = plain(name);
        Failure::Asked(format!(
            "there is no TrustedKey {name}: kubectl get tkey lists them"
        ))
    };
    if !is_name(name) {
        return Err(missing());
    }
    let found = Api::<TrustedKey>::all(client.clone()).get_opt(name).await;
    let found = found.map_err(Failure::api("read the TrustedKey"))?;
    found.ok_or_else(missing)
}

/// A `TrustedKey` by its name, or by the fingerprint that it declares: a warning about a stolen key has no other name.
pub(super) async fn key_of(client: &Client, text: &str) -> Result<TrustedKey, Failure> {
    let is_fingerprint = text.contains(':') || text.parse::<Fingerprint>().is_ok();
    if !is_fingerprint {
        return key(client, text).await;
    }
    let declared = all(&Api::<TrustedKey>::all(client.clone()), "TrustedKeys").await?;
    let is_it = |key: &TrustedKey| {
        key.name_any() == text || key.spec.fingerprint.eq_ignore_ascii_case(text)
    };
    declared.into_iter().find(is_it).ok_or_else(|| {
        let text = plain(text);
        Failure::Asked(format!(
            "there is no TrustedKey with the fingerprint {text}: kubectl get tkey lists them; {} status tells whose \
             signatures name a key that nobody has declared",
            program()
        ))
    })
}

/// A `TrustedIdentity` by its name.
pub(super) async fn identity(client: &Client, name: &str) -> Result<TrustedIdentity, Failure> {
    let missing = || {
        let name = plain(name);
        Failure::Asked(format!(
            "there is no TrustedIdentity {name}: kubectl get tid lists them"
        ))
    };
    if !is_name(name) {
        return Err(missing());
    }
    let api = Api::<TrustedIdentity>::all(client.clone());
    let found = api.get_opt(name).await;
    let found = found.map_err(Failure::api("read the TrustedIdentity"))?;
    found.ok_or_else(missing)
}

/// A `TrustedIdentity` by its name, to be compared with signatures: by whose word it is one is not asked.
pub(super) async fn known_identity(client: &Client, name: &str) -> Result<KnownIdentity, Failure> {
    let object = identity(client, name).await?;
    let root = Root::Unknown("it is not read here".to_owned());
    parse::identity_remains(&object, root, "").ok_or_else(|| {
        let name = plain(name);
        Failure::Asked(format!("TrustedIdentity {name} does not say who is meant"))
    })
}

/// Every `TrustedIdentity`; none where an earlier version is installed, which has no such kind.
pub(super) async fn identities(client: &Client) -> Result<Vec<TrustedIdentity>, Failure> {
    let api = Api::<TrustedIdentity>::all(client.clone());
    match api.list(&ListParams::default().limit(1)).await {
        Err(kube::Error::Api(said)) if said.code == 404 => Ok(Vec::new()),
        _ => all(&api, "TrustedIdentities").await,
    }
}

/// What is said of a policy that is not there.
pub(super) fn no_policy(name: &str) -> Failure {
    let name = plain(name);
    Failure::Asked(format!(
        "there is no ChartTrustPolicy {name}: kubectl get ctp lists them"
    ))
}

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

/// A release by its name and the flag `-n`, or by both in one word.
pub(super) fn named(text: &str, namespace: Option<&str>) -> Result<(String, String), Failure> {
    let whole = match namespace {
        Some(namespace) if !text.contains('/') => format!("{namespace}/{text}"),
        Some(namespace) if text.split('/').next() != Some(namespace) => {
            return Err(Failure::Asked(format!(
                "{text} is not in namespace {namespace}: name the namespace once"
            )));
        }
        Some(_) | None => text.to_owned(),
    };
    release(&whole).map_err(|advice| Failure::Asked(format!("{whole:?}: {advice}, or with -n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_named_in_the_word_or_by_the_flag() {
        let shop = ("shop".to_owned(), "web".to_owned());
        for (text, namespace) in [
            ("shop/web", None),
            ("web", Some("shop")),
            ("shop/web", Some("shop")),
        ] {
            assert_eq!(
                named(text, namespace).unwrap(),
                shop,
                "{text} {namespace:?}"
            );
        }
        for (text, namespace) in [
            ("web", None),
            ("bank/web", Some("shop")),
            ("", Some("shop")),
        ] {
            let failure = named(text, namespace).unwrap_err();
            assert_eq!(failure.code(), USAGE, "{text} {namespace:?}");
        }
    }

    #[test]
    fn a_refusal_is_told_once_in_one_line() {
        let status =
            kube::core::Status::failure("secrets is forbidden", "Forbidden").with_code(403);
        let failure = Failure::api("list the Secrets")(kube::Error::Api(Box::new(status)));
        assert_eq!(
            failure.to_string(),
            "failed to list the Secrets: secrets is forbidden; ask for the role charttrust-view, or for \
             charttrust-admin to write"
        );
        assert!(std::error::Error::source(&failure).is_none());
        assert_eq!(failure.code(), UNKNOWN);
    }

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
