//! What the story needs around it: a control plane, a chart repository, an operator and eyes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use charttrust::api::{ChartTrustPolicy, ReleaseTrust, TrustedKey};
use charttrust_e2e::cluster::{Cluster, Identity, built};
use charttrust_e2e::gpg::Keyring;
use charttrust_e2e::operator::{Operator, Options};
use charttrust_e2e::repository::Repository;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, Power, root, verdict};
use charttrust_e2e::tools::{self, Tool};
use futures::{Stream, TryStreamExt};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt};
use tokio::task::JoinHandle;

use crate::Result;
use crate::screen::Screen;
use crate::shell::Shell;

/// The verdict of each release, by `namespace/name`.
pub(crate) type Verdicts = BTreeMap<String, String>;

/// Everything around the story. Dropping it ends it all.
pub(crate) struct Setup {
    pub(crate) screen: Screen,
    pub(crate) shell: Shell,
    pub(crate) repository: Repository,
    client: Client,
    // Dropped in this order: nobody loses the server while still asking it.
    operator: Option<(Operator, Identity)>,
    cluster: Cluster,
    _keyring: Keyring,
}

impl Setup {
    /// Builds the foreign programs where they are missing, and starts the control plane.
    pub(crate) async fn build(screen: Screen) -> Result<Self> {
        screen.heading("The stage");
        screen.say(
            "The foreign programs come from their Go modules, once; later runs find them built.",
        );
        let tools = tokio::task::spawn_blocking(|| tools::ensure(&TOOLS));
        tools.await??;
        screen.say(
            "A control plane is started on this machine: etcd, API server, controller manager.",
        );
        let testbed = built("testbed")?;
        let started = Instant::now();
        let start = move || Cluster::start(&testbed.to_string_lossy());
        let cluster = tokio::task::spawn_blocking(start).await??;
        screen.say(&format!("It answers after {}.", seconds(started.elapsed())));
        let keyring = Keyring::new()?;
        let operator = built("charttrust")?;
        let shell = Shell::new(screen, &operator, cluster.kubeconfig(), keyring.home())?;
        std::fs::create_dir(shell.folder().join("src"))?;
        let repository = Repository::start()?;
        link(repository.dir(), &shell.folder().join("charts"))?;
        link(&root().join("crds"), &shell.folder().join("crds"))?;
        link(&root().join("operator"), &shell.folder().join("operator"))?;
        let client = cluster.client().await?;
        let stage = Self {
            screen,
            shell,
            repository,
            client,
            operator: None,
            cluster,
            _keyring: keyring,
        };
        stage.shell.run("kubectl version").await?;
        Ok(stage)
    }

    /// Starts the operator under its own identity, and returns when it has read everything once.
    pub(crate) async fn start_operator(&mut self, power: Power) -> Result {
        let (more, flag) = match power {
            Power::Contains => (vec!["--quarantine".to_owned()], " --quarantine"),
            Power::Reports => (Vec::new(), ""),
        };
        let identity = self
            .cluster
            .identity(OPERATOR_NAMESPACE, "charttrust")
            .await?;
        let options = Options {
            binary: built("charttrust")?,
            kubeconfig: identity.kubeconfig(),
            namespace: OPERATOR_NAMESPACE.to_owned(),
            allow_hosts: vec![self.repository.host()],
            more,
        };
        self.screen.command(&format!(
            "KUBECONFIG=its-own.kubeconfig charttrust run --allow-host {}{flag} &",
            self.repository.host()
        ));
        let started = Instant::now();
        let (operator, _) = self.operator.insert((Operator::start(&options)?, identity));
        operator.ready(SOON).await?;
        self.screen
            .output(&format!("Ready after {}.", seconds(started.elapsed())));
        Ok(())
    }

    /// The last lines that the operator logged.
    pub(crate) fn operator_log(&self) -> String {
        let log = self
            .operator
            .as_ref()
            .map(|(operator, _)| operator.log())
            .unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = lines
            .get(lines.len().saturating_sub(20)..)
            .unwrap_or_default();
        format!("The operator said last:\n{}\n", last.join("\n"))
    }

    /// Waits until exactly these verdicts stand.
    pub(crate) async fn expect(&self, expected: &[(&str, &str)]) -> Result {
        let expected = expected
            .iter()
            .map(|(id, word)| ((*id).to_owned(), (*word).to_owned()));
        let expected: Verdicts = expected.collect();
        self.until("verdicts", &expected, async || {
            let trusts = self
                .all::<ReleaseTrust>()
                .list(&ListParams::default())
                .await?;
            Ok(trusts
                .iter()
                .map(|trust| (id(trust), verdict(trust)))
                .collect())
        })
        .await
    }

    /// Waits until each key shows as many dependent releases.
    pub(crate) async fn expect_used(&self, expected: &[(&str, u32)]) -> Result {
        let expected = expected
            .iter()
            .map(|(key, releases)| ((*key).to_owned(), *releases));
        let expected: BTreeMap<_, _> = expected.collect();
        self.until("numbers of releases by key", &expected, async || {
            let keys = self
                .all::<TrustedKey>()
                .list(&ListParams::default())
                .await?;
            let used = |key: TrustedKey| (key.name_any(), key.status.unwrap_or_default().releases);
            Ok(keys.into_iter().map(used).collect())
        })
        .await
    }

    /// Waits until the policy shows these numbers of trusted and untrusted releases.
    pub(crate) async fn expect_counted(&self, policy: &str, expected: (u32, u32)) -> Result {
        self.until(
            "trusted and untrusted releases of the policy",
            &expected,
            async || {
                let found = self.all::<ChartTrustPolicy>().get(policy).await?;
                let releases = found.status.unwrap_or_default().releases;
                Ok((releases.trusted, releases.untrusted))
            },
        )
        .await
    }

    async fn until<T: PartialEq + std::fmt::Debug>(
        &self,
        what: &str,
        expected: &T,
        mut look: impl AsyncFnMut() -> Result<T>,
    ) -> Result {
        let start = Instant::now();
        loop {
            let seen = look().await?;
            if seen == *expected {
                return Ok(());
            }
            if start.elapsed() > SOON {
                return Err(format!("{what}: expected {expected:?}, but there is {seen:?}").into());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn all<K: kube::Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all_with(self.client.clone(), &())
    }

    /// Begins to measure: the time from the moment a change of the key is visible until each of
    /// `affected` has the verdict `word`, as another client of the API server sees both.
    ///
    /// A task of its own looks, so that an answer counts when it comes and not when it is asked for.
    pub(crate) async fn measure(
        &self,
        key: &'static str,
        affected: &[&'static str],
        word: &'static str,
    ) -> Result<JoinHandle<Result<Duration>>> {
        let keys = Box::pin(changes(self.all::<TrustedKey>()).await?);
        let trusts = Box::pin(changes(self.all::<ReleaseTrust>()).await?);
        let changed = first(keys, move |changed: &TrustedKey| changed.name_any() == key);
        let mut open = affected.to_vec();
        let done = first(trusts, move |trust: &ReleaseTrust| {
            if verdict(trust) == word {
                open.retain(|wanted| *wanted != id(trust));
            }
            open.is_empty()
        });
        let late = format!("the verdicts {word} of {affected:?} did not come");
        Ok(tokio::spawn(async move {
            let both = async { tokio::try_join!(changed, done) };
            let (changed, done) = tokio::time::timeout(SOON, both).await.map_err(|_| late)??;
            Ok(done.saturating_duration_since(changed))
        }))
    }

    /// Lets the operator contain releases, which the lessons need and the story does not.
    pub(crate) async fn open_lab(&mut self) -> Result {
        self.screen.heading("The lab");
        self.screen.say(
            "All this stays up, for you to look around and for the lessons of docs/training. The operator is
started anew, as one that may also contain releases.",
        );
        let install = "kubectl apply --server-side -f operator/install/quarantine/";
        self.shell.run(install).await?;
        if let Some((operator, _)) = &mut self.operator {
            operator.stop();
        }
        self.start_operator(Power::Contains).await
    }

    pub(crate) fn explain_how_to_look_around(&self) {
        let folder = self.shell.folder().display();
        self.screen.say(&format!(
            "In another terminal:\n\n{}export CHARTS={}\nexport CHARTTRUST_LAB={folder}\ncd {folder}\n\nThen, for example:",
            self.shell.exports(),
            self.repository.url(),
        ));
        for line in LOOKS {
            self.screen.command(line);
        }
        self.screen.say(
            "`lesson 1` there, or `make lesson 1` in the repository, checks the first lesson.",
        );
        self.screen.say("Ctrl-C here ends everything.");
    }

    /// Ends everything in order, and says so.
    pub(crate) fn close(mut self) {
        self.screen.heading("The end");
        if let Some((operator, _)) = &mut self.operator {
            let started = Instant::now();
            let ended = operator.stop().is_some_and(|status| status.success());
            let how = if ended {
                "ended in order"
            } else {
                "did not end in order"
            };
            let took = seconds(started.elapsed());
            self.screen
                .say(&format!("The operator {how} on SIGTERM, after {took}."));
        }
        let screen = self.screen;
        drop(self);
        screen
            .say("Control plane, repository, keys and folders are gone. Only built programs stay.");
    }
}

/// When the first change came that `is_it` accepts.
async fn first<K>(
    mut changes: impl Stream<Item = kube::Result<WatchEvent<K>>> + Unpin,
    mut is_it: impl FnMut(&K) -> bool,
) -> Result<Instant> {
    while let Some(event) = changes.try_next().await? {
        if let WatchEvent::Modified(object) | WatchEvent::Added(object) = event
            && is_it(&object)
        {
            return Ok(Instant::now());
        }
    }
    Err("the API server ended the watch".into())
}

async fn changes<K>(api: Api<K>) -> Result<impl Stream<Item = kube::Result<WatchEvent<K>>> + Send>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let now = api.list(&ListParams::default().limit(1)).await?;
    let version = now.metadata.resource_version.unwrap_or_default();
    Ok(api.watch(&WatchParams::default(), &version).await?)
}

fn id(trust: &ReleaseTrust) -> String {
    format!(
        "{}/{}",
        trust.namespace().unwrap_or_default(),
        trust.name_any()
    )
}

fn link(to: &Path, from: &Path) -> Result {
    Ok(std::os::unix::fs::symlink(to, from)?)
}

/// Short, with what matters.
pub(crate) fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

const TOOLS: [Tool; 6] = [
    Tool::Etcd,
    Tool::KubeApiserver,
    Tool::KubeControllerManager,
    Tool::Kubectl,
    Tool::Helm3,
    Tool::Helm4,
];
const LOOKS: [&str; 5] = [
    "kubectl get charttrust -A -o wide",
    "kubectl get rtrust -n shop invoices -o yaml",
    "kubectl explain charttrustpolicy.spec.rules.verify",
    "kubectl get events -A --field-selector reason=KeyCompromised",
    "kubectl patch tkey platform-2026 --type merge -p '{\"spec\":{\"revocation\":null}}'",
];
const POLL: Duration = Duration::from_millis(50);
/// How long a verdict may take on a busy machine before the demo counts as failed.
const SOON: Duration = Duration::from_secs(60);
