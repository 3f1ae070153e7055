//! A stage for user stories: the operator installed as its manifests say, running as itself, and
//! a namespace with a repository and keys of its own for each story.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use charttrust::api::chart_trust_policy::ReleaseCounts;
use charttrust::api::conditions::{self, ReleaseCondition};
use charttrust::api::{ChartTrustPolicy, ReleaseTrust, TrustedKey};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::charts::{Chart, Source};
use crate::cluster::{Cluster, Identity};
use crate::eventually;
use crate::gpg::{self, Algorithm, Keyring, Signer};
use crate::helm::{Helm, Version};
use crate::operator::{Operator, Options};
use crate::process::{LOG_TAIL, tail};
use crate::repository::Repository;
use crate::tools::{self, Tool};

/// How long a verdict may take on a busy machine before a story counts as failed.
pub const SOON: Duration = Duration::from_secs(60);

/// The operator's namespace.
pub const OPERATOR_NAMESPACE: &str = "charttrust-system";

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

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
    /// Installs the operator's chart, and starts the operator with the permissions that this gives
    /// it. It runs alone, so that a restart need not wait for the lease of one that was killed.
    pub async fn set(cluster: &'static Cluster, binary: &Path) -> Result<Self> {
        Self::set_with(cluster, binary, |_| Ok(())).await
    }

    /// The same, with the permissions and the flag to contain releases.
    pub async fn containing(cluster: &'static Cluster, binary: &Path) -> Result<Self> {
        Self::containing_with(cluster, binary, |_| Ok(())).await
    }

    /// The same, with other options of the operator.
    pub async fn containing_with(
        cluster: &'static Cluster,
        binary: &Path,
        change: impl FnOnce(&mut Options) -> Result,
    ) -> Result<Self> {
        let contain = |options: &mut Options| {
            options.more.push("--quarantine".to_owned());
            change(options)
        };
        let more = ["--set", "quarantine.enabled=true"];
        Self::installed(cluster, binary, &more, contain).await
    }

    /// The same, with other options of the operator.
    pub async fn set_with(
        cluster: &'static Cluster,
        binary: &Path,
        change: impl FnOnce(&mut Options) -> Result,
    ) -> Result<Self> {
        Self::installed(cluster, binary, &[], change).await
    }

    /// With these arguments of Helm.
    async fn installed(
        cluster: &'static Cluster,
        binary: &Path,
        more: &[&str],
        change: impl FnOnce(&mut Options) -> Result,
    ) -> Result<Self> {
        let helm = Helm::new(Version::V4)?.on(cluster.kubeconfig());
        install_chart(&helm, cluster.kubeconfig(), more).await?;
        let identity = cluster.identity(OPERATOR_NAMESPACE, OPERATOR).await?;
        let mut options = Options {
            binary: binary.to_owned(),
            kubeconfig: identity.kubeconfig(),
            namespace: OPERATOR_NAMESPACE.to_owned(),
            allow_hosts: vec!["127.0.0.1".to_owned()],
            more: vec!["--no-leader-election".to_owned()],
        };
        change(&mut options)?;
        let mut operator = Operator::start(&options)?;
        operator.ready(SOON).await?;
        tell_log_on_panic(operator.log_file().to_owned());
        Ok(Self {
            cluster,
            identity,
            operator: Mutex::new(operator),
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

    /// Ends the operator as a crash does, and starts it again.
    pub async fn restart(&self) -> Result {
        self.operator(Operator::kill);
        let mut operator = Operator::start(&self.options)?;
        operator.ready(SOON).await?;
        tell_log_on_panic(operator.log_file().to_owned());
        self.operator(|running| *running = operator);
        Ok(())
    }
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

/// The root of this repository's checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Applies what a user without Helm applies: the definitions, then the permissions.
pub async fn install(kubeconfig: &Path) -> Result {
    kubectl(kubeconfig, &["apply", "--server-side", "-f", &path("crds")]).await?;
    established(kubeconfig).await?;
    let permissions = path("operator/install/rbac.yaml");
    kubectl(kubeconfig, &["apply", "--server-side", "-f", &permissions]).await?;
    Ok(())
}

/// Installs or upgrades the operator's chart, with more arguments. The test bed has no nodes, so no
/// replica is asked for.
pub async fn install_chart(helm: &Helm, kubeconfig: &Path, more: &[&str]) -> Result {
    let chart = path(CHART);
    let fixed = [
        "upgrade",
        "--install",
        OPERATOR,
        &chart,
        "--namespace",
        OPERATOR_NAMESPACE,
        "--create-namespace",
        "--set",
        "replicas=0",
    ];
    helm.run(&[&fixed, more].concat()).await?;
    established(kubeconfig).await
}

/// The folder of the operator's chart, below the root.
pub const CHART: &str = "operator/chart";

/// The name of the operator's release, and of its service account.
pub const OPERATOR: &str = "charttrust";

/// Another service account in place of the operator's, with the same rights: a replica with an
/// identity of its own, so that the audit log tells it from the other. These cluster roles.
pub async fn twin(cluster: &Cluster, cluster_roles: &[&str]) -> Result<Identity> {
    let identity = cluster.identity(OPERATOR_NAMESPACE, "twin").await?;
    let account = format!("--serviceaccount={OPERATOR_NAMESPACE}:twin");
    let bind = async |kind: &str, name: &str, role: &str| {
        let namespace = format!("--namespace={OPERATOR_NAMESPACE}");
        let binding = ["create", kind, name, role, &account, &namespace];
        kubectl(cluster.kubeconfig(), &binding).await
    };
    let role = format!("--role={OPERATOR}");
    bind("rolebinding", "twin", &role).await?;
    for name in cluster_roles {
        let role = format!("--clusterrole={name}");
        let binding = format!("twin-{name}");
        bind("clusterrolebinding", &binding, &role).await?;
    }
    Ok(identity)
}

/// Somebody who may do everything, as the controllers of others ask for: a service account.
pub async fn administrator(cluster: &Cluster, namespace: &str, name: &str) -> Result<Identity> {
    let identity = cluster.identity(namespace, name).await?;
    let account = format!("--serviceaccount={namespace}:{name}");
    let role = "--clusterrole=cluster-admin";
    let binding = ["create", "clusterrolebinding", name, role, &account];
    kubectl(cluster.kubeconfig(), &binding).await?;
    Ok(identity)
}

async fn established(kubeconfig: &Path) -> Result {
    let wait = ["wait", "--for=condition=Established", "--timeout=60s", "-f"];
    kubectl(kubeconfig, &[&wait[..], &[&path("crds")]].concat()).await?;
    Ok(())
}

/// A file or folder of this repository.
pub fn path(below: &str) -> String {
    root().join(below).to_string_lossy().into_owned()
}

/// Runs the real kubectl, and gives what it prints.
pub async fn kubectl(kubeconfig: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = tokio::process::Command::new(tools::path(Tool::Kubectl)?);
    command
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .args(arguments)
        .kill_on_drop(true);
    let output = command.output().await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("kubectl {} failed: {said}", arguments.join(" ")).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Applies objects as a person does, by the real kubectl.
pub async fn apply(kubeconfig: &Path, objects: &[Value]) -> Result {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let file = tempfile::NamedTempFile::with_suffix(".json")?;
    std::fs::write(file.path(), list.to_string())?;
    let path = file.path().to_string_lossy().into_owned();
    kubectl(kubeconfig, &["apply", "--server-side", "-f", &path]).await?;
    Ok(())
}

/// One user story: a namespace, a repository, a keyring and a Helm of its own.
pub struct Story {
    /// The namespace; names of cluster-wide objects start with it.
    pub namespace: String,
    /// The administrator's client.
    pub client: Client,
    /// The Helm that installs.
    pub helm: Helm,
    /// The chart repository.
    pub repository: Repository,
    /// The keys.
    pub keyring: Keyring,
    charts: tempfile::TempDir,
    scribe: OnceLock<StoryKey>,
}

/// A story with a release `web` that is trusted.
pub struct Trusted {
    /// The story.
    pub story: Story,
    /// The key that signed it.
    pub key: StoryKey,
    /// The policy that demands it.
    pub policy: String,
}

/// A key that signs charts, and the `TrustedKey` that names it.
#[derive(Clone, Debug)]
pub struct StoryKey {
    /// Name of the `TrustedKey`.
    pub name: String,
    /// The key in the keyring.
    pub key: gpg::Key,
    /// What signs.
    pub signer: Signer,
}

impl Story {
    /// Prepares a story.
    pub async fn begin(cluster: &Cluster, prefix: &str, version: Version) -> Result<Self> {
        Self::within(cluster, cluster.namespace(prefix).await?, version).await
    }

    /// Prepares a story in a namespace of this very name, which must not be there.
    pub async fn named(cluster: &Cluster, name: &str, version: Version) -> Result<Self> {
        Self::within(cluster, cluster.namespace_named(name).await?, version).await
    }

    async fn within(cluster: &Cluster, namespace: String, version: Version) -> Result<Self> {
        Ok(Self {
            client: cluster.client().await?,
            helm: Helm::new(version)?.on(cluster.kubeconfig()),
            repository: Repository::start()?,
            keyring: Keyring::new()?,
            charts: tempfile::tempdir()?,
            scribe: OnceLock::new(),
            namespace,
        })
    }

    /// Makes a key; nothing is declared yet.
    pub fn make_key(&self, name: &str) -> Result<StoryKey> {
        let key = self.keyring.key(name, Algorithm::Rsa2048)?;
        self.adopt(name, key)
    }

    /// Makes a key and declares it as `TrustedKey`.
    pub async fn trusted_key(&self, name: &str) -> Result<StoryKey> {
        let key = self.make_key(name)?;
        self.declare(&key, json!({})).await?;
        Ok(key)
    }

    /// Declares a key, with more fields in its spec.
    pub async fn declare(&self, key: &StoryKey, more: Value) -> Result {
        let armored = self.keyring.public_armored(&key.key)?;
        let mut spec = json!({
            "fingerprint": key.key.fingerprint,
            "publicKey": {"inline": armored},
        });
        merge(&mut spec, more);
        self.apply::<TrustedKey>(&key.name, spec).await
    }

    /// Declares a policy for this namespace: Strict, this repository, these keys; with more fields.
    pub async fn policy(&self, name: &str, keys: &[&StoryKey], more: Value) -> Result<String> {
        let keys: Vec<_> = keys.iter().map(|key| &key.name).collect();
        let mut spec = json!({
            "match": {"releases": [format!("{}/*", self.namespace)]},
            "rules": [{
                "name": "all",
                "charts": ["*"],
                "sources": [{"url": self.repository.url()}],
                "verify": {"signers": {"keys": keys}},
            }],
        });
        merge(&mut spec, more);
        let name = format!("{}-{name}", self.namespace);
        self.apply::<ChartTrustPolicy>(&name, spec).await?;
        Ok(name)
    }

    /// A rule of a policy: Strict, this repository, these keys; with more fields.
    pub fn rule(&self, charts: &str, keys: &[&StoryKey], more: Value) -> Value {
        let keys: Vec<_> = keys.iter().map(|key| &key.name).collect();
        let mut rule = json!({
            "name": charts.replace('*', "any"),
            "charts": [charts],
            "sources": [{"url": self.repository.url()}],
            "verify": {"signers": {"keys": keys}},
        });
        merge(&mut rule, more);
        rule
    }

    /// Declares a policy for this namespace with these rules.
    pub async fn rules(&self, name: &str, rules: &[Value]) -> Result<String> {
        self.policy(name, &[], json!({"rules": rules})).await
    }

    /// Applies an object of ours with this spec.
    pub async fn apply<K>(&self, name: &str, spec: Value) -> Result
    where
        K: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
    {
        let object = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {"name": name},
            "spec": spec,
        });
        let api = Api::<K>::all_with(self.client.clone(), &());
        api.patch(
            name,
            &PatchParams::apply("story").force(),
            &Patch::Apply(&object),
        )
        .await?;
        Ok(())
    }

    /// Changes an object of ours by a merge patch.
    pub async fn patch<K>(&self, name: &str, change: Value) -> Result
    where
        K: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
    {
        let api = Api::<K>::all_with(self.client.clone(), &());
        api.patch(name, &PatchParams::default(), &Patch::Merge(change))
            .await?;
        Ok(())
    }

    /// Removes an object of ours.
    pub async fn delete<K>(&self, name: &str) -> Result
    where
        K: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
    {
        Api::<K>::all_with(self.client.clone(), &())
            .delete(name, &DeleteParams::default())
            .await?;
        Ok(())
    }

    /// Packages a chart and puts it into the repository, signed if there is a key.
    pub async fn publish(&self, source: &Source, key: Option<&StoryKey>) -> Result<Chart> {
        let chart = self.package(source, key).await?;
        self.repository.publish(&self.helm, &chart).await?;
        Ok(chart)
    }

    /// Packages a chart without publishing it.
    pub async fn package(&self, source: &Source, key: Option<&StoryKey>) -> Result<Chart> {
        let signer = key.map(|key| &key.signer);
        Ok(source
            .package(&self.helm, self.charts.path(), signer)
            .await?)
    }

    /// Publishes a chart whose provenance has signatures by these keys, made by GnuPG with more
    /// options, such as `--faked-system-time`.
    pub async fn publish_signed(
        &self,
        source: &Source,
        keys: &[&StoryKey],
        options: &[&str],
    ) -> Result<Chart> {
        let scribe = self.scribe()?;
        let chart = self.package(source, Some(&scribe)).await?;
        let keys: Vec<_> = keys.iter().map(|key| &key.key).collect();
        let statement = chart.statement()?;
        chart.prove(&self.keyring.clearsign(&statement, &keys, options)?)?;
        self.repository.publish(&self.helm, &chart).await?;
        Ok(chart)
    }

    /// The key under which Helm writes what others sign.
    fn scribe(&self) -> Result<StoryKey> {
        if let Some(scribe) = self.scribe.get() {
            return Ok(scribe.clone());
        }
        let scribe = self.make_key("scribe")?;
        Ok(self.scribe.get_or_init(|| scribe).clone())
    }

    /// Takes a key of the keyring into the story; nothing is declared yet.
    pub fn adopt(&self, name: &str, key: gpg::Key) -> Result<StoryKey> {
        let signer = self.keyring.signer(&key)?;
        Ok(StoryKey {
            name: format!("{}-{name}", self.namespace),
            key,
            signer,
        })
    }

    /// Installs a chart under the name of the release.
    pub async fn install(&self, release: &str, chart: &Chart) -> Result {
        let archive = chart.archive.to_string_lossy();
        Ok(self
            .helm
            .install(&self.namespace, release, &archive, &[])
            .await?)
    }

    /// Upgrades a release to a chart.
    pub async fn upgrade(&self, release: &str, chart: &Chart) -> Result {
        let archive = chart.archive.to_string_lossy();
        Ok(self
            .helm
            .upgrade(&self.namespace, release, &archive, &[])
            .await?)
    }

    /// Begins a story with a policy, and a release `web` of a signed chart that is trusted.
    pub async fn trusted(cluster: &Cluster, prefix: &str) -> Result<Trusted> {
        let story = Self::begin(cluster, prefix, Version::V4).await?;
        let key = story.trusted_key("platform").await?;
        let chart = story
            .publish(&Source::new("web", "1.0.0"), Some(&key))
            .await?;
        let policy = story.policy("policy", &[&key], json!({})).await?;
        story.install("web", &chart).await?;
        story.expect("web", "SignatureVerified").await;
        Ok(Trusted { story, key, policy })
    }

    /// Waits until the status of a key counts one release, and that of a policy one in `which`.
    pub async fn counted(&self, key: &StoryKey, policy: &str, which: fn(&ReleaseCounts) -> u32) {
        eventually(SOON, "key and policy count the release", async || {
            let key = self.keys().get_status(&key.name).await;
            let policy = self.policies().get_status(policy).await;
            let key = key.map_err(|error| error.to_string())?;
            let policy = policy.map_err(|error| error.to_string())?;
            let of_key = key.status.map(|status| status.releases);
            let of_policy = policy.status.map(|status| which(&status.releases));
            match (of_key, of_policy) {
                (Some(1), Some(1)) => Ok(()),
                seen => Err(format!("{seen:?}")),
            }
        })
        .await;
    }

    /// Helm writes a record several times; waits until the last state of a release's first
    /// revision was judged, so that nothing is left to write.
    pub async fn settled(&self, release: &str) {
        let secrets = Api::<Secret>::namespaced(self.client.clone(), &self.namespace);
        let trusts = self.trusts();
        eventually(
            SOON,
            &format!("{release} was judged as it is"),
            async || {
                let trust = trusts.get(release).await;
                let trust = trust.map_err(|error| error.to_string())?;
                let judged = trust.status.and_then(|status| status.release);
                let judged = judged.ok_or("nothing was judged")?;
                let name = format!("sh.helm.release.v1.{release}.v{}", judged.revision);
                let secret = secrets.get(&name).await;
                let secret = secret.map_err(|error| error.to_string())?;
                let judged = Some(judged.resource_version);
                if judged == secret.metadata.resource_version {
                    Ok(())
                } else {
                    Err(format!("{judged:?}"))
                }
            },
        )
        .await;
    }

    /// The `ReleaseTrust`s of this story.
    pub fn trusts(&self) -> Api<ReleaseTrust> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Waits until a release has this word as verdict, and gives its `ReleaseTrust`.
    pub async fn expect(&self, release: &str, word: &str) -> ReleaseTrust {
        let trusts = self.trusts();
        eventually(SOON, &format!("{release} is {word}"), async || {
            let found = trusts
                .get_opt(release)
                .await
                .map_err(|error| error.to_string())?;
            let found = found.ok_or("there is no ReleaseTrust")?;
            let verdict = verdict(&found);
            if verdict == word {
                Ok(found)
            } else {
                Err(describe(&found))
            }
        })
        .await
    }
}

impl Story {
    /// Waits until a release has no `ReleaseTrust` any more.
    pub async fn expect_gone(&self, release: &str) {
        let trusts = self.trusts();
        eventually(
            SOON,
            &format!("the ReleaseTrust {release} is gone"),
            async || match trusts.get_opt(release).await {
                Ok(None) => Ok(()),
                other => Err(format!("{other:?}")),
            },
        )
        .await;
    }

    /// Waits until a release has a finding of this word, whatever its verdict.
    pub async fn expect_finding(&self, release: &str, word: &str) -> ReleaseTrust {
        let trusts = self.trusts();
        eventually(
            SOON,
            &format!("{release} has a finding {word}"),
            async || {
                let found = trusts
                    .get(release)
                    .await
                    .map_err(|error| error.to_string())?;
                let findings = found.status.iter().flat_map(|status| &status.findings);
                let is_there = findings.into_iter().any(|finding| finding.reason == word);
                if is_there {
                    Ok(found)
                } else {
                    Err(describe(&found))
                }
            },
        )
        .await
    }

    /// Waits until an object of ours has a condition such as `Ready=True/Accepted`, and gives the
    /// condition's message.
    pub async fn expect_condition<K>(&self, api: &Api<K>, name: &str, wanted: &str) -> String
    where
        K: Clone + serde::de::DeserializeOwned + serde::Serialize + std::fmt::Debug,
    {
        eventually(SOON, &format!("{name} has {wanted}"), async || {
            let object = api.get(name).await.map_err(|error| error.to_string())?;
            let object = serde_json::to_value(object).map_err(|error| error.to_string())?;
            let conditions = object["status"]["conditions"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let told: Vec<_> = conditions.iter().map(tell).collect();
            match told.iter().position(|condition| condition == wanted) {
                Some(found) => Ok(conditions[found]["message"]
                    .as_str()
                    .unwrap_or("")
                    .to_owned()),
                None => Err(told.join(", ")),
            }
        })
        .await
    }

    /// The keys of the cluster.
    pub fn keys(&self) -> Api<TrustedKey> {
        Api::all(self.client.clone())
    }

    /// The policies of the cluster.
    pub fn policies(&self) -> Api<ChartTrustPolicy> {
        Api::all(self.client.clone())
    }
}

fn tell(condition: &Value) -> String {
    let field = |name: &str| condition[name].as_str().unwrap_or_default();
    format!("{}={}/{}", field("type"), field("status"), field("reason"))
}

/// The word of a verdict.
pub fn verdict(trust: &ReleaseTrust) -> String {
    let conditions = trust.status.iter().flat_map(|status| &status.conditions);
    let conditions: Vec<_> = conditions.cloned().collect();
    conditions::find(&conditions, ReleaseCondition::Trusted)
        .map(|condition| condition.reason.clone())
        .unwrap_or_default()
}

fn describe(trust: &ReleaseTrust) -> String {
    let findings = trust.status.iter().flat_map(|status| &status.findings);
    let findings: Vec<_> = findings
        .map(|f| format!("{}: {}", f.reason, f.message))
        .collect();
    format!("{} [{}]", verdict(trust), findings.join(" | "))
}

/// Puts the fields of `more` over those of `base`.
pub(crate) fn merge(base: &mut Value, more: Value) {
    match (base, more) {
        (Value::Object(base), Value::Object(more)) => {
            for (key, value) in more {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, more) => *base = more,
    }
}
