//! One user story: a namespace, a repository, a keyring and a Helm of its own.

use std::fmt::Debug;
use std::sync::OnceLock;

use charttrust::api::{ChartTrustPolicy, ReleaseTrust, TrustedKey};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::ClusterResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::charts::{Chart, Source};
use crate::cluster::Cluster;
use crate::gpg::{self, Algorithm, Keyring, Signer};
use crate::helm::{Helm, Version};
use crate::repository::Repository;

use super::{Result, chain};

/// One user story.
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
    pub async fn begin(cluster: &Cluster, prefix: &str, version: Version) -> Self {
        let namespace = cluster.namespace(prefix).await;
        let namespace = namespace.unwrap_or_else(|error| failed(prefix, "begin", error));
        Self::within(cluster, namespace, version).await
    }

    /// Prepares a story in a namespace of this very name, which must not be there.
    pub async fn named(cluster: &Cluster, name: &str, version: Version) -> Self {
        let namespace = cluster.namespace_named(name).await;
        let namespace = namespace.unwrap_or_else(|error| failed(name, "begin", error));
        Self::within(cluster, namespace, version).await
    }

    async fn within(cluster: &Cluster, namespace: String, version: Version) -> Self {
        let props = async || -> Result<_> {
            let client = cluster.client().await?;
            let helm = Helm::new(version)?.on(cluster.kubeconfig());
            let (repository, keyring) = (Repository::start()?, Keyring::new()?);
            Ok((client, helm, repository, keyring, tempfile::tempdir()?))
        };
        let props = props().await;
        let (client, helm, repository, keyring, charts) =
            props.unwrap_or_else(|error| failed(&namespace, "begin", error));
        Self {
            namespace,
            client,
            helm,
            repository,
            keyring,
            charts,
            scribe: OnceLock::new(),
        }
    }

    /// What a step of the story gave.
    ///
    /// # Panics
    /// If the step failed, with the story, the step and why.
    pub fn done<T>(&self, step: &str, result: std::result::Result<T, impl Into<Error>>) -> T {
        result.unwrap_or_else(|error| failed(&self.namespace, step, error))
    }

    /// Makes a key; nothing is declared yet.
    pub fn make_key(&self, name: &str) -> StoryKey {
        let key = self.keyring.key(name, Algorithm::Rsa2048);
        self.adopt(name, self.done(&format!("make the key {name}"), key))
    }

    /// Takes a key of the keyring into the story; nothing is declared yet.
    pub fn adopt(&self, name: &str, key: gpg::Key) -> StoryKey {
        let signer = self.keyring.signer(&key);
        let signer = self.done(&format!("sign with the key {name}"), signer);
        StoryKey {
            name: format!("{}-{name}", self.namespace),
            key,
            signer,
        }
    }

    /// The key under which Helm writes what others sign.
    fn scribe(&self) -> &StoryKey {
        self.scribe.get_or_init(|| self.make_key("scribe"))
    }

    /// The public part of a key, armored.
    pub fn public(&self, key: &StoryKey) -> String {
        let armored = self.keyring.public_armored(&key.key);
        self.done(&format!("export the key {}", key.name), armored)
    }

    /// Makes a key and declares it as `TrustedKey`.
    pub async fn trusted_key(&self, name: &str) -> StoryKey {
        let key = self.make_key(name);
        self.declare(&key, json!({})).await;
        key
    }

    /// Declares a key, with more fields in its spec.
    pub async fn declare(&self, key: &StoryKey, more: Value) {
        let mut spec = json!({
            "fingerprint": key.key.fingerprint,
            "publicKey": {"inline": self.public(key)},
        });
        merge(&mut spec, more);
        self.apply::<TrustedKey>(&key.name, spec).await;
    }

    /// Declares a policy for this namespace: Strict, this repository, these keys; with more fields.
    pub async fn policy(&self, name: &str, keys: &[&StoryKey], more: Value) -> String {
        let mut spec = json!({
            "match": {"releases": [format!("{}/*", self.namespace)]},
            "rules": [{
                "name": "all",
                "charts": ["*"],
                "sources": [{"url": self.repository.url()}],
                "verify": {"signers": {"keys": names(keys)}},
            }],
        });
        merge(&mut spec, more);
        let name = format!("{}-{name}", self.namespace);
        self.apply::<ChartTrustPolicy>(&name, spec).await;
        name
    }

    /// A rule of a policy: Strict, this repository, these keys; with more fields.
    pub fn rule(&self, charts: &str, keys: &[&StoryKey], more: Value) -> Value {
        let mut rule = json!({
            "name": charts.replace('*', "any"),
            "charts": [charts],
            "sources": [{"url": self.repository.url()}],
            "verify": {"signers": {"keys": names(keys)}},
        });
        merge(&mut rule, more);
        rule
    }

    /// Declares a policy for this namespace with these rules.
    pub async fn rules(&self, name: &str, rules: &[Value]) -> String {
        self.policy(name, &[], json!({"rules": rules})).await
    }

    /// Packages a chart and puts it into the repository, signed if there is a key.
    pub async fn publish(&self, source: &Source, key: Option<&StoryKey>) -> Chart {
        let chart = self.package(source, key).await;
        self.offer(&chart).await;
        chart
    }

    /// Packages a chart without publishing it. One that was packaged before under the same name and version
    /// stays what it is.
    pub async fn package(&self, source: &Source, key: Option<&StoryKey>) -> Chart {
        let signer = key.map(|key| &key.signer);
        let folder = self.done("make a folder", tempfile::tempdir_in(self.charts.path()));
        let chart = source.package(&self.helm, &folder.keep(), signer).await;
        self.done("package a chart", chart)
    }

    /// Puts a packaged chart into the repository.
    pub async fn offer(&self, chart: &Chart) {
        let offered = self.repository.publish(&self.helm, chart).await;
        self.done(
            &format!("publish {} {}", chart.name, chart.version),
            offered,
        );
    }

    /// Publishes a chart whose provenance has signatures by these keys, made by GnuPG with more
    /// options, such as `--faked-system-time`.
    pub async fn publish_signed(
        &self,
        source: &Source,
        keys: &[&StoryKey],
        options: &[&str],
    ) -> Chart {
        let chart = self.package(source, Some(self.scribe())).await;
        let keys: Vec<_> = keys.iter().map(|key| &key.key).collect();
        let prove = || -> Result {
            let signed = self
                .keyring
                .clearsign(&chart.statement()?, &keys, options)?;
            Ok(chart.prove(&signed)?)
        };
        self.done(&format!("sign {} {}", chart.name, chart.version), prove());
        self.offer(&chart).await;
        chart
    }

    /// Installs a chart under the name of the release.
    pub async fn install(&self, release: &str, chart: &Chart) {
        let installed = self.try_install(release, chart).await;
        self.done(&format!("install {release}"), installed);
    }

    /// Installs a chart that may be refused.
    ///
    /// # Errors
    /// What Helm says.
    pub async fn try_install(&self, release: &str, chart: &Chart) -> Result {
        let archive = chart.archive.to_string_lossy();
        let installed = self.helm.install(&self.namespace, release, &archive, &[]);
        Ok(installed.await?)
    }

    /// Upgrades a release to a chart.
    pub async fn upgrade(&self, release: &str, chart: &Chart) {
        let upgraded = self.try_upgrade(release, chart).await;
        self.done(&format!("upgrade {release}"), upgraded);
    }

    /// Upgrades a release to a chart that may be refused.
    ///
    /// # Errors
    /// What Helm says.
    pub async fn try_upgrade(&self, release: &str, chart: &Chart) -> Result {
        let archive = chart.archive.to_string_lossy();
        let upgraded = self.helm.upgrade(&self.namespace, release, &archive, &[]);
        Ok(upgraded.await?)
    }

    /// Applies an object without a namespace with this spec.
    pub async fn apply<K: ClusterWide>(&self, name: &str, spec: Value) {
        let object = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {"name": name},
            "spec": spec,
        });
        let (api, params) = (self.all::<K>(), PatchParams::apply("story").force());
        let applied = api.patch(name, &params, &Patch::Apply(&object)).await;
        self.done(&format!("apply {} {name}", K::kind(&())), applied);
    }

    /// Changes an object without a namespace by a merge patch.
    pub async fn patch<K: ClusterWide>(&self, name: &str, change: Value) {
        let (api, params) = (self.all::<K>(), PatchParams::default());
        let patched = api.patch(name, &params, &Patch::Merge(change)).await;
        self.done(&format!("patch {} {name}", K::kind(&())), patched);
    }

    /// Removes an object without a namespace.
    pub async fn delete<K: ClusterWide>(&self, name: &str) {
        let (api, params) = (self.all::<K>(), DeleteParams::default());
        let deleted = api.delete(name, &params).await;
        self.done(&format!("delete {} {name}", K::kind(&())), deleted);
    }

    fn all<K: ClusterWide>(&self) -> Api<K> {
        Api::all_with(self.client.clone(), &())
    }

    /// The `ReleaseTrust`s of this story.
    pub fn trusts(&self) -> Api<ReleaseTrust> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The keys of the cluster.
    pub fn keys(&self) -> Api<TrustedKey> {
        self.all()
    }

    /// The policies of the cluster.
    pub fn policies(&self) -> Api<ChartTrustPolicy> {
        self.all()
    }
}

/// A kind of objects without a namespace.
pub trait ClusterWide: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug {}

impl<K> ClusterWide for K where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone + DeserializeOwned + Debug
{
}

type Error = Box<dyn std::error::Error + Send + Sync>;

fn failed<T>(story: &str, step: &str, error: impl Into<Error>) -> T {
    panic!(
        "the story {story} cannot {step}: {}",
        chain(error.into().as_ref())
    )
}

fn names<'a>(keys: &[&'a StoryKey]) -> Vec<&'a str> {
    keys.iter().map(|key| key.name.as_str()).collect()
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
