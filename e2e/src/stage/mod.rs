//! A stage for user stories: the operator installed as its manifests say, running as itself, and
//! a namespace with a repository and keys of its own for each story.
//!
//! A story goes on only if every step of it succeeds, so its steps panic where they fail, and say which
//! story, which step and why. What a program asks for, such as `make bench`, does the same.

mod conditions;
mod install;
mod kubectl;
mod scene;
mod story;
pub mod workloads;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use conditions::{summary, verdict};
pub use install::{
    CHART, OPERATOR, OPERATOR_NAMESPACE, administrator, install, install_chart, path, root, twin,
};
pub use kubectl::{apply, established, kubectl};
pub use scene::{Opening, Scene};
pub(crate) use story::merge;
pub use story::{Story, StoryKey};

use crate::audit::{Events, Mark};
use crate::cluster::{Cluster, Identity};
use crate::helm::{Helm, Version};
use crate::operator::{Operator, Options};
use crate::process::{LOG_TAIL, tail};
use crate::program::chain;
use crate::proxy::Proxy;
use crate::{eventually, lasting};

/// How the name of the folder begins in which the demo leaves its lab.
pub const LAB: &str = "charttrust-demo-";

/// How long a verdict may take on a busy machine before a story counts as failed.
pub const SOON: Duration = Duration::from_secs(60);

/// How long nothing is written before all counts as told.
const STILL: Duration = Duration::from_secs(2);

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What the operator may do about a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It may contain it: with the permissions and the flag.
    Contains,
    /// It only reports.
    Reports,
}

/// How the operator runs on a stage.
#[derive(Debug, Clone)]
pub struct Setting<'a> {
    /// The `charttrust` binary.
    pub binary: PathBuf,
    /// What it may do.
    pub power: Power,
    /// What it reaches the API server through, if not directly.
    pub proxy: Option<&'a Proxy>,
    /// Further arguments of `charttrust run`.
    pub more: Vec<String>,
    /// Values of the operator's chart, each as `--set` takes it.
    pub values: Vec<String>,
}

impl Setting<'_> {
    /// An operator that runs alone, so that a restart need not wait for the lease of one that was killed.
    pub fn new(binary: PathBuf, power: Power) -> Self {
        Self {
            binary,
            power,
            proxy: None,
            more: vec!["--no-leader-election".to_owned()],
            values: Vec::new(),
        }
    }

    /// One that looks for releases in these namespaces only, and has no rights elsewhere.
    #[must_use]
    pub fn within(mut self, namespaces: &[&str]) -> Self {
        let names = namespaces.join(",");
        self.more.push(format!("--discover-namespaces={names}"));
        self.values
            .push(format!("discovery.namespaces={{{names}}}"));
        self
    }
}

/// The operator on a cluster.
#[derive(Debug)]
pub struct Stage {
    /// The cluster.
    pub cluster: &'static Cluster,
    /// Whom the operator acts as.
    pub identity: Identity,
    operator: Mutex<Operator>,
    options: Options,
}

impl Stage {
    /// Installs the operator's chart, and starts the operator with the permissions that this gives it.
    ///
    /// # Panics
    /// If any of this fails: no story can be told then.
    pub async fn set(cluster: &'static Cluster, setting: Setting<'_>) -> Self {
        let set = Self::try_set(cluster, setting).await;
        set.unwrap_or_else(|error| panic!("the stage cannot be set: {}", chain(error.as_ref())))
    }

    async fn try_set(cluster: &'static Cluster, setting: Setting<'_>) -> Result<Self> {
        let helm = Helm::new(Version::V4)?.on(cluster.kubeconfig());
        let mut more = setting.more;
        let mut values = setting.values;
        if setting.power == Power::Contains {
            more.push("--quarantine".to_owned());
            values.push("quarantine.enabled=true".to_owned());
        }
        let arguments: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
        install_chart(&helm, cluster.kubeconfig(), &arguments).await?;
        let identity = cluster.identity(OPERATOR_NAMESPACE, OPERATOR).await?;
        let options = Options {
            binary: setting.binary,
            kubeconfig: way(&identity, setting.proxy)?,
            namespace: OPERATOR_NAMESPACE.to_owned(),
            allow_hosts: vec!["127.0.0.1".to_owned()],
            more,
        };
        Ok(Self {
            cluster,
            identity,
            operator: Mutex::new(started(&options).await?),
            options,
        })
    }

    /// Calls `act` with the running operator.
    pub fn operator<T>(&self, act: impl FnOnce(&mut Operator) -> T) -> T {
        act(&mut self.operator.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until the operator that runs now counts a release of a namespace under this word.
    pub async fn judged(&self, namespace: &str, word: &str) {
        let told = format!("the operator counts a release as {word}");
        eventually(SOON, &told, async || {
            let url = self.operator(|operator| operator.metrics_url());
            let text = text(&url).await.map_err(|error| error.to_string())?;
            let of_us = text.lines().any(|line| {
                line.starts_with("charttrust_releases{")
                    && line.contains(&format!("namespace=\"{namespace}\""))
                    && line.contains(&format!("reason=\"{word}\""))
            });
            if of_us { Ok(()) } else { Err(text) }
        })
        .await;
    }

    /// Waits until the operator has written nothing about a namespace, or about what is named after it,
    /// for two seconds. What comes true last is not always what a story waits for: a Quarantine is in force
    /// before its release says so.
    pub async fn at_rest(&self, namespace: &str) {
        eventually(SOON, "two seconds without a write", async || {
            let mark = self.cluster.mark();
            lasting(STILL, async || {
                let written = self.written_since(mark, namespace);
                if written.is_empty() {
                    Ok(())
                } else {
                    Err(format!("{written:?}"))
                }
            })
            .await
        })
        .await;
    }

    /// What the operator has written since then about a namespace, or about what is named after it.
    pub fn written_since(&self, mark: Mark, namespace: &str) -> Events {
        let written = self.cluster.asked_since(mark);
        written
            .by(self.identity.user())
            .writes()
            .only(|event| event.namespace == namespace || event.name.starts_with(namespace))
    }

    /// Ends the operator as a crash does, and starts it again.
    ///
    /// # Panics
    /// If it does not become ready again.
    pub async fn restart(&self) {
        self.operator(Operator::kill);
        let operator = started(&self.options).await;
        let operator = operator.unwrap_or_else(|error| panic!("{}", chain(error.as_ref())));
        self.operator(|running| *running = operator);
    }
}

/// The kubeconfig that an identity takes, through a proxy if there is one.
fn way(identity: &Identity, proxy: Option<&Proxy>) -> Result<PathBuf> {
    let direct = identity.kubeconfig();
    let Some(proxy) = proxy else {
        return Ok(direct);
    };
    // Beside it, as what is made for an identity goes with it.
    let through = direct.with_file_name("kubeconfig-through-proxy");
    proxy.kubeconfig(&direct, &through)?;
    Ok(through)
}

async fn started(options: &Options) -> Result<Operator> {
    let mut operator = Operator::start(options)?;
    operator.ready(SOON).await?;
    tell_log_on_panic(operator.log_file().to_owned());
    Ok(operator)
}

async fn text(url: &str) -> reqwest::Result<String> {
    reqwest::get(url).await?.text().await
}

/// A failed story says what the operator said.
fn tell_log_on_panic(log: PathBuf) {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        hook(panic);
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        eprintln!("the operator said last:\n{}", tail(&text, LOG_TAIL));
    }));
}
