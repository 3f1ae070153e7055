//! `charttrust run`: the operator.

mod sharing;

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::USER_AGENT as USER_AGENT_HEADER;
use clap::{Args, ValueEnum};
use kube::Config;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing_subscriber::EnvFilter;

use crate::controllers::{
    self, Certificates, Context, Contexts, DeployerSecrets, QuarantineSettings, Reports, Settings,
    WebhookSettings,
};
use crate::leader::{
    self, Containing, DISCOVERY, Discovering, Election, Leadership, Loss, QUARANTINE, Told,
};
use crate::metrics::Metrics;
use crate::quarantine::PROTECTED;
use crate::serve;
use crate::sources::{self, AllowedHost, AuthHost, TokenAudience};
use crate::watch::Reach;

/// Runs the operator, with the cluster of KUBECONFIG or the one it runs in.
#[derive(Args, Clone, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own, as people type it"
)]
pub struct Run {
    /// The operator's own namespace: key material and credentials are read there.
    #[arg(long, default_value = "charttrust-system")]
    pub namespace: String,
    /// Where /metrics is served.
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "ADDR")]
    pub metrics_addr: SocketAddr,
    /// Where /healthz and /readyz are served.
    #[arg(long, default_value = "0.0.0.0:8081", value_name = "ADDR")]
    pub health_addr: SocketAddr,
    /// Judges and writes without asking for the lease. No other replica may run then.
    #[arg(long)]
    pub no_leader_election: bool,
    /// Cuts the namespaces into so many ranges, which the replicas share: each judges and writes for its own. All
    /// replicas are to name the same number.
    #[arg(long, default_value_t = 1, value_name = "N", conflicts_with = "no_leader_election",
        value_parser = clap::value_parser!(u8).range(1..=64))]
    pub shards: u8,
    /// Allows sources on this host to be private, loopback or plain HTTP. Repeatable.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub allow_host: Vec<AllowedHost>,
    /// A registry whose token service is elsewhere, and its host: credentials of the registry go there.
    /// Repeatable.
    #[arg(long, value_name = "REGISTRY=HOST")]
    pub auth_host: Vec<AuthHost>,
    /// A registry or repository, and the audience of tokens of the operator's own service account that policies
    /// may have sent there. Without a port: 443. Repeatable.
    #[arg(long, value_name = "HOST[:PORT]=AUDIENCE")]
    pub token_audience: Vec<TokenAudience>,
    /// Logs in to a source of a policy that names no login as the object of Flux does that deploys the release
    /// from there: reads the Secret that this object names in its own namespace.
    #[arg(long)]
    pub read_deployer_secrets: bool,
    /// Contains releases as Quarantines and policies say. Without it the operator only reports.
    #[arg(long)]
    pub quarantine: bool,
    /// Never changes anything in this namespace, as in kube-system and the operator's own.
    /// Repeatable.
    #[arg(long, value_name = "NAMESPACE")]
    pub protect_namespace: Vec<String>,
    /// Looks for releases in these namespaces only, and asks for nothing in others but its own. Separated by
    /// commas, or repeated.
    #[arg(long, value_name = "NAMESPACE", value_delimiter = ',', value_parser = namespace_name)]
    pub discover_namespaces: Vec<String>,
    /// Looks for workloads that carry Helm's marks and of whose release there is no record: nobody can tell what
    /// they are made of. Needs the right to list and watch workloads.
    #[arg(long)]
    pub discover_unaccounted: bool,
    /// Provides what `charttrust webhook` needs: by what it checks evidence.
    #[arg(long)]
    pub webhook: bool,
    /// The `ValidatingWebhookConfiguration` that has API servers call the webhook: whether they can is looked at,
    /// and its certificates are kept.
    #[arg(long, value_name = "NAME", requires = "webhook")]
    pub webhook_configuration: Option<String>,
    /// Who makes the certificates of the webhook, and tells API servers whom to believe.
    #[arg(long, value_enum, default_value_t, value_name = "BY")]
    pub webhook_certificates: Certificates,
    /// The `ValidatingAdmissionPolicy`, and the binding of the same name, that refuse upgrades of releases whose
    /// Quarantine has the action `FreezeUpgrades`: whether both are there is looked at.
    #[arg(long, value_name = "NAME")]
    pub freeze_policy: Option<String>,
    /// In which kind of others the verdicts of each namespace are reported too.
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    pub reports: Reports,
    /// Signs what it concludes about each release, for programs of others: a Verification Summary Attestation of
    /// SLSA, in ConfigMaps of its own namespace.
    #[arg(long)]
    pub vsa: bool,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Why the operator ended on its own.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another replica may write now.
    #[error("this replica does not lead any more")]
    LeadershipLost(#[source] Loss),
    /// What is known is of a state of the cluster that is no more.
    #[error("the operator has to start anew")]
    GoneBack(#[source] Loss),
    /// Something that runs for ever has ended.
    #[error("the operator cannot go on")]
    Ended(#[source] controllers::Ended),
    /// No cluster is configured.
    #[error("no cluster is configured: set KUBECONFIG, or run in a Pod with a service account")]
    NoCluster(#[source] kube::config::InferConfigError),
    /// The configuration of the cluster cannot be used.
    #[error("the configuration of the cluster cannot be used")]
    Client(#[source] kube::Error),
    /// The system gives no randomness, which the name of a replica needs.
    #[error("the system gives no randomness")]
    Randomness,
    /// A port cannot be served.
    #[error("failed to serve at {address}, choose another address with {flag}")]
    Serve {
        /// What was asked for.
        address: SocketAddr,
        /// What says where.
        flag: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Signals cannot be received.
    #[error("failed to listen for signals")]
    Signals(#[source] std::io::Error),
}

/// Runs until SIGTERM or SIGINT, or until another replica may lead.
///
/// # Errors
/// [`RunError`]: before any work starts, or when leadership is lost.
pub async fn run(arguments: Run) -> Result<(), RunError> {
    log(arguments.log_format);
    // Before the Lease may be taken: whoever is ended then has to give it back.
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let config = config().await?;
    if arguments.shards > 1 {
        return Box::pin(sharing::run(&arguments, config, (terminate, interrupt))).await;
    }
    let (step_down, stepped_down) = watch::channel(false);
    let (tell, told) = watch::channel(told(&arguments));
    let (leadership, mut election) = elect(&arguments, &config, stepped_down, told)?;
    let client = leadership.guard(config).map_err(RunError::Client)?;
    let metrics = Arc::new(Metrics::default());
    let settings = settings(&arguments);
    let context = Context::new(client, leadership, settings, Arc::clone(&metrics));
    let context = Arc::new(context);
    let (ready, is_ready) = watch::channel(false);
    let (stop, stopped) = watch::channel(false);
    let contexts = Arc::new(Contexts::whole(Arc::clone(&context), is_ready));
    let health = serve::health(arguments.health_addr, Arc::clone(&contexts));
    let scrape = serve::metrics(arguments.metrics_addr, metrics, contexts);
    let telling = context.tell_for_ever(tell);
    let mut work = tokio::spawn(Arc::clone(&context).run(ready, stopped));
    let ended = tokio::select! {
        lost = &mut election => return Err(lost_by(loss(&lost))),
        result = health => result.map_err(unserved(arguments.health_addr, "--health-addr")),
        result = scrape => result.map_err(unserved(arguments.metrics_addr, "--metrics-addr")),
        () = telling => Ok(()),
        ended = &mut work => return Err(RunError::Ended(end(&ended))),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    tracing::info!("stopping");
    stop.send_replace(true);
    // Whatever was being written carries a precondition, so it may be cut off.
    let _ = tokio::time::timeout(GRACE, work).await;
    // Only now, when nothing is written any more, may another replica lead.
    step_down.send_replace(true);
    let _ = tokio::time::timeout(RELEASE_OF_LEASE, election).await;
    ended
}

/// Work ends only when it is told to, which nobody has done yet.
fn end(
    ended: &Result<Result<(), controllers::Ended>, tokio::task::JoinError>,
) -> controllers::Ended {
    match ended {
        Ok(Err(ended)) => *ended,
        Ok(Ok(())) | Err(_) => controllers::Ended::WORK,
    }
}

pub(super) fn unserved(
    address: SocketAddr,
    flag: &'static str,
) -> impl FnOnce(std::io::Error) -> RunError {
    move |source| RunError::Serve {
        address,
        flag,
        source,
    }
}

/// How long work may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// How long giving the lease away may take.
const RELEASE_OF_LEASE: Duration = Duration::from_secs(10);

fn lost_by(loss: Loss) -> RunError {
    match loss {
        Loss::GoneBack => RunError::GoneBack(loss),
        Loss::Expired | Loss::Taken => RunError::LeadershipLost(loss),
    }
}

type RunningElection = JoinHandle<Result<(), Loss>>;

/// Whether and when this process may write, and the task that decides it until `stepped_down`.
fn elect(
    arguments: &Run,
    config: &Config,
    stepped_down: watch::Receiver<bool>,
    told: watch::Receiver<Told>,
) -> Result<(Leadership, RunningElection), RunError> {
    if arguments.no_leader_election {
        let forever = async move {
            let mut stepped_down = stepped_down;
            // Invariant: an error means that the sender is gone, which is as good as its word.
            let _ = stepped_down.wait_for(|stepped_down| *stepped_down).await;
            Ok(())
        };
        return Ok((Leadership::Alone, tokio::spawn(forever)));
    }
    let identity = leader::identity(&pod()).map_err(|_| RunError::Randomness)?;
    let election = Election::new(config.clone(), &arguments.namespace, identity, told);
    let (election, leadership) = election.map_err(RunError::Client)?;
    Ok((leadership, tokio::spawn(election.run(stepped_down))))
}

/// The name of the Pod, as the chart says it or else as Kubernetes names the host.
fn pod() -> String {
    let names = ["POD_NAME", "HOSTNAME"].into_iter();
    let mut set = names.filter_map(|name| std::env::var(name).ok());
    set.find(|name| !name.is_empty())
        .unwrap_or_else(|| "charttrust".to_owned())
}

/// A task that ended without a word renews nothing any more.
fn loss(ended: &Result<Result<(), Loss>, tokio::task::JoinError>) -> Loss {
    match ended {
        Ok(Err(loss)) => *loss,
        Ok(Ok(())) | Err(_) => Loss::Expired,
    }
}

/// A watch is quiet for less than this: the server ends each after 60 s, as `watch::config` asks. A
/// list or a watch that a broken network swallows is noticed then, too.
const READ_TIMEOUT: Duration = Duration::from_secs(75);

pub(super) async fn config() -> Result<Config, RunError> {
    let config = Config::infer().await.map_err(RunError::NoCluster)?;
    Ok(lasting(config))
}

/// As what runs for ever asks.
fn lasting(mut config: Config) -> Config {
    config.read_timeout = Some(READ_TIMEOUT);
    // kube repeats what was refused for as long as `Retry-After` says: a watch that is deaf for an hour.
    // Everything here has pauses of its own.
    config.default_retry = false;
    config.headers.push((USER_AGENT_HEADER, USER_AGENT));
    config
}

const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("charttrust/", env!("CARGO_PKG_VERSION")));

/// The name of a namespace, as the API server takes it (RFC 1123 label).
fn namespace_name(text: &str) -> Result<String, String> {
    let is_inner = |letter: u8| matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let is_outer = |letter: Option<&u8>| letter.is_some_and(|letter| *letter != b'-');
    let bytes = text.as_bytes();
    let is_name = (1..=63).contains(&bytes.len())
        && bytes.iter().copied().all(is_inner)
        && is_outer(bytes.first())
        && is_outer(bytes.last());
    if is_name {
        Ok(text.to_owned())
    } else {
        let example = "lower-case letters, digits and -, at most 63, such as team-a,team-b";
        Err(format!("is no name of a namespace: {example}"))
    }
}

/// What the leader tells from the start.
fn told(arguments: &Run) -> Told {
    let discovering = Discovering {
        namespaces: arguments.discover_namespaces.iter().cloned().collect(),
        unaccounted: arguments.discover_unaccounted,
        reports: arguments.reports.resources(),
        vsa: arguments.vsa,
    };
    Told::from([
        (DISCOVERY, discovering.text()),
        (QUARANTINE, containing(arguments).text()),
    ])
}

/// What commands are told of it, so that none promises what would be refused.
fn containing(arguments: &Run) -> Containing {
    let named = arguments.protect_namespace.iter().cloned();
    let always = [PROTECTED.to_owned(), arguments.namespace.clone()];
    Containing {
        enabled: arguments.quarantine,
        protected: named.chain(always).collect(),
    }
}

fn settings(arguments: &Run) -> Settings {
    Settings {
        namespace: arguments.namespace.clone(),
        instance: pod(),
        reach: Reach::of(arguments.discover_namespaces.iter().cloned()),
        unaccounted: arguments.discover_unaccounted,
        sources: sources::Settings {
            allowed_hosts: arguments.allow_host.clone(),
            auth_hosts: arguments.auth_host.clone(),
            limits: sources::Limits::default(),
            user_agent: concat!("charttrust/", env!("CARGO_PKG_VERSION")).to_owned(),
        },
        deployer_secrets: if arguments.read_deployer_secrets {
            DeployerSecrets::Read
        } else {
            DeployerSecrets::Unread
        },
        token_audiences: arguments.token_audience.clone(),
        webhook: arguments.webhook.then(|| WebhookSettings {
            configuration: arguments.webhook_configuration.clone(),
            certificates: arguments.webhook_certificates,
        }),
        freeze: arguments.freeze_policy.clone(),
        quarantine: arguments.quarantine.then(|| QuarantineSettings {
            protected: arguments.protect_namespace.clone(),
        }),
        reports: arguments.reports,
        signs_statements: arguments.vsa,
    }
}

pub(super) fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // It would tell by `eprintln!` that a line was lost, and panic where nobody reads the log.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => builder.with_ansi(false).init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        tracing::error!(at, why = own_words(panic.payload()), "panicked");
    }));
}

/// What a panic says, if that is a text of the program: what was put together may quote what lies in a Secret or
/// in a record.
fn own_words(payload: &(dyn Any + Send)) -> &'static str {
    let text = payload.downcast_ref::<&'static str>();
    text.copied()
        .unwrap_or("not told, as it may quote what is secret")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use kube::Client;
    use kube::api::{Api, ListParams};
    use wiremock::matchers::any;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    /// The operator and the webhook ask alike.
    #[tokio::test]
    async fn nothing_is_repeated_for_as_long_as_a_server_says() {
        for code in [429, 503, 504] {
            let busy = ResponseTemplate::new(code).insert_header("Retry-After", "1");
            let server = MockServer::start().await;
            Mock::given(any()).respond_with(busy).mount(&server).await;
            let config = lasting(Config::new(server.uri().parse().unwrap()));
            let secrets = Api::<Secret>::all(Client::try_from(config).unwrap());
            secrets.list(&ListParams::default()).await.unwrap_err();
            let asked = server.received_requests().await.unwrap();
            assert_eq!(asked.len(), 1, "{code}");
        }
    }

    #[test]
    fn a_panic_quotes_nothing() {
        let told = |panics: fn()| {
            let payload = std::panic::catch_unwind(panics).unwrap_err();
            own_words(&*payload)
        };
        assert_eq!(told(|| panic!("a text of ours")), "a text of ours");
        let formatted: fn() = || panic!("{}", String::from("canary"));
        let within_a_letter: fn() = || assert_eq!("canary\u{e9}"[..7].len(), 7);
        for quoted in [formatted, within_a_letter] {
            assert!(!told(quoted).contains("canary"));
        }
    }

    #[test]
    fn only_names_of_namespaces_are_taken() {
        let longest = "a".repeat(63);
        for name in ["a", "team-a", "1", longest.as_str()] {
            assert_eq!(namespace_name(name).as_deref(), Ok(name));
        }
        let longer = "a".repeat(64);
        for name in [
            "",
            "-a",
            "a-",
            "A",
            "a.b",
            "a/b",
            "*",
            "a b",
            longer.as_str(),
        ] {
            let said = namespace_name(name).unwrap_err();
            assert!(said.contains("team-a,team-b"), "{name}: {said}");
        }
    }
}
