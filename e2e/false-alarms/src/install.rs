//! Installs charts in the ways people do, and makes sure that each leaves a release record.

use std::path::{Path, PathBuf};

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client};

use crate::Result;
use crate::gather::Packaged;
use charttrust_e2e::helm::{Helm, Version};

/// How a chart is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The archive with its own values.
    Archive,
    /// The folder that the archive was packaged from.
    Folder,
    /// The archive, with all conditions of dependencies off.
    Off,
    /// The archive, with all conditions of dependencies on.
    On,
    /// The archive, then upgraded to itself with `--reuse-values`.
    Reused,
}

/// One installation to make.
#[derive(Debug, Clone)]
pub(super) struct Order<'a> {
    pub(super) chart: &'a Packaged,
    pub(super) namespace: String,
    pub(super) version: Version,
    pub(super) way: Way,
}

/// A release that has a record.
#[derive(Debug)]
pub(super) struct Installed<'a> {
    pub(super) order: Order<'a>,
    pub(super) release: String,
    /// Whether the manifest was replaced, as the cluster does not take the chart's own.
    pub(super) replaced: bool,
    /// The record as it is stored.
    pub(super) payload: Vec<u8>,
}

/// Installs on one cluster.
pub(super) struct Installer {
    pub(super) client: Client,
    pub(super) helms: [Helm; 2],
    /// What a chart installs that could stop the next one is removed if it lies in these.
    pub(super) prefix: String,
    renderer: PathBuf,
}

impl Installer {
    pub(super) fn new(client: Client, helms: [Helm; 2], prefix: &str) -> Result<Self> {
        let renderer = write_renderer(&helms[1])?;
        Ok(Self {
            client,
            helms,
            prefix: format!("{prefix}-"),
            renderer,
        })
    }

    /// Installs a chart, as it is if possible; the error says why there is no record.
    pub(super) async fn install<'a>(&self, order: &Order<'a>) -> Result<Installed<'a>> {
        let release = release_name(&order.chart.name);
        let mut first = None;
        for attempt in self.attempts(order) {
            let said = self.attempt(order, &release, &attempt.arguments).await;
            self.clear_the_way().await?;
            if let Some(mut payload) = self.record(order, &release, 1).await? {
                if order.way == Way::Reused {
                    payload = self.reuse(order, &release, &attempt.arguments).await?;
                }
                let (order, replaced) = (order.clone(), attempt.replaced);
                return Ok(Installed {
                    order,
                    release,
                    replaced,
                    payload,
                });
            }
            let Err(error) = said else {
                return Err("Helm left no record".into());
            };
            let error = error.to_string();
            let hopeless = HOPELESS.iter().any(|word| error.contains(word));
            first.get_or_insert(error);
            if hopeless {
                break;
            }
        }
        Err(first.unwrap_or_default().into())
    }

    async fn attempt(&self, order: &Order<'_>, release: &str, arguments: &[String]) -> Result {
        let folder = order
            .chart
            .folder
            .as_ref()
            .filter(|_| order.way == Way::Folder);
        let chart = folder
            .unwrap_or(&order.chart.archive)
            .to_string_lossy()
            .into_owned();
        let more: Vec<_> = arguments.iter().map(String::as_str).collect();
        Ok(self
            .helm(order.version)
            .install(&order.namespace, release, &chart, &more)
            .await?)
    }

    /// Upgrades to the same chart with values of another one laid over.
    async fn reuse(
        &self,
        order: &Order<'_>,
        release: &str,
        arguments: &[String],
    ) -> Result<Vec<u8>> {
        let chart = order.chart.archive.to_string_lossy();
        let mut more = vec!["--reuse-values", "--set", "charttrustReused=1"];
        let known = ["--create-namespace", "--skip-crds"];
        more.extend(
            arguments
                .iter()
                .map(String::as_str)
                .filter(|word| !known.contains(word)),
        );
        // Charts with a schema that knows every value refuse the additional one.
        more.push("--skip-schema-validation");
        let said = self
            .helm(order.version)
            .upgrade(&order.namespace, release, &chart, &more)
            .await;
        self.clear_the_way().await?;
        match (self.record(order, release, 2).await?, said) {
            (Some(payload), _) => Ok(payload),
            (None, Err(error)) => Err(format!("not upgraded: {error}").into()),
            (None, Ok(())) => Err("Helm left no record of the upgrade".into()),
        }
    }

    /// Ever further from how the chart wants to be installed, until there is a record.
    fn attempts(&self, order: &Order<'_>) -> Vec<Attempt> {
        let mut fixed = vec!["--create-namespace".to_owned()];
        // Nothing of these reaches the chart in the record, and all would keep it from being made.
        let eased = [
            "--no-hooks",
            "--take-ownership",
            "--disable-openapi-validation",
        ];
        fixed.extend(eased.map(str::to_owned));
        fixed.extend(["--timeout", "5s"].map(str::to_owned));
        let switch = match order.way {
            Way::Off => Some(false),
            Way::On => Some(true),
            _ => None,
        };
        let set = |condition: &String| switch.map(|to| format!("{condition}={to}"));
        for value in order.chart.conditions.iter().filter_map(set) {
            fixed.extend(["--set".to_owned(), value]);
        }
        let mut values = vec![Vec::new()];
        let folder = order.chart.folder.as_deref();
        values.extend(
            folder
                .into_iter()
                .flat_map(example_values)
                .map(|path| vec!["--values".to_owned(), path.to_string_lossy().into_owned()]),
        );
        let renderer = match order.version {
            Version::V3 => self.renderer.to_string_lossy().into_owned(),
            Version::V4 => RENDERER.to_owned(),
        };
        let replace = [
            "--skip-crds".to_owned(),
            "--post-renderer".to_owned(),
            renderer,
        ];
        let plain = values.iter().map(|more| Attempt {
            arguments: [&fixed[..], more].concat(),
            replaced: false,
        });
        let replaced = values.iter().map(|more| Attempt {
            arguments: [&fixed[..], more, &replace].concat(),
            replaced: true,
        });
        plain.chain(replaced).collect()
    }

    fn helm(&self, version: Version) -> &Helm {
        match version {
            Version::V3 => &self.helms[0],
            Version::V4 => &self.helms[1],
        }
    }

    async fn record(
        &self,
        order: &Order<'_>,
        release: &str,
        revision: u32,
    ) -> Result<Option<Vec<u8>>> {
        let secrets = Api::<Secret>::namespaced(self.client.clone(), &order.namespace);
        let record = secrets.get_opt(&record_name(release, revision)).await?;
        Ok(record.and_then(|record| Some(record.data?.remove("release")?.0)))
    }

    /// Removes what charts install that answers or refuses requests of others: nothing of it runs.
    async fn clear_the_way(&self) -> Result {
        self.clear::<MutatingWebhookConfiguration>().await?;
        self.clear::<ValidatingWebhookConfiguration>().await?;
        self.clear::<ValidatingAdmissionPolicyBinding>().await?;
        self.clear::<APIService>().await
    }

    async fn clear<K>(&self) -> Result
    where
        K: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
    {
        let api = Api::<K>::all(self.client.clone());
        for object in api.list(&ListParams::default()).await? {
            let namespace = object
                .meta()
                .annotations
                .as_ref()
                .and_then(|all| all.get(NAMESPACE));
            let name = object.meta().name.as_deref().unwrap_or_default();
            if namespace.is_some_and(|namespace| namespace.starts_with(&self.prefix)) {
                match api.delete(name, &DeleteParams::default()).await {
                    Err(kube::Error::Api(status)) if status.is_not_found() => {}
                    other => drop(other?),
                }
            }
        }
        Ok(())
    }
}

struct Attempt {
    arguments: Vec<String>,
    replaced: bool,
}

/// The name of the Secret of a record.
pub(super) fn record_name(release: &str, revision: u32) -> String {
    format!("sh.helm.release.v1.{release}.v{revision}")
}

/// The name of the chart, made fit for a release.
fn release_name(chart: &str) -> String {
    let fit = |letter: char| {
        if letter.is_ascii_alphanumeric() {
            letter
        } else {
            '-'
        }
    };
    let name: String = chart
        .to_ascii_lowercase()
        .chars()
        .map(fit)
        .take(MAX_RELEASE)
        .collect();
    let name = name.trim_matches('-');
    if name.is_empty() {
        "release".to_owned()
    } else {
        name.to_owned()
    }
}

/// The values that a chart keeps for its own tests.
fn example_values(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("ci"))
        .into_iter()
        .flatten()
        .flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with("values.yaml"))
        .collect();
    files.sort();
    files.truncate(MAX_EXAMPLES);
    files
}

/// Writes what replaces a manifest: a program for Helm 3, and a plugin around it for Helm 4.
fn write_renderer(helm: &Helm) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let folder = helm.plugins().join(RENDERER);
    std::fs::create_dir_all(&folder)?;
    let program = folder.join("replace.sh");
    std::fs::write(&program, REPLACE)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    std::fs::write(folder.join("plugin.yaml"), PLUGIN)?;
    Ok(program)
}

/// Errors that no other way of installing avoids.
const HOPELESS: [&str; 4] = [
    "library charts are not installable",
    "chart requires kubeVersion",
    "validation: chart.metadata",
    "invalid release name",
];
const MAX_EXAMPLES: usize = 2;
/// Charts add to the name of the release and cut at 63 or break.
const MAX_RELEASE: usize = 30;
const NAMESPACE: &str = "meta.helm.sh/release-namespace";
const RENDERER: &str = "replace-manifest";
const REPLACE: &str = "#!/bin/sh
cat > /dev/null
echo 'apiVersion: v1
kind: ConfigMap
metadata:
  name: replaced'
";
const PLUGIN: &str = "name: replace-manifest
version: 1.0.0
type: postrenderer/v1
apiVersion: v1
runtime: subprocess
runtimeConfig:
  platformCommand:
    - command: ${HELM_PLUGIN_DIR}/replace.sh
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_release_is_one_that_kubernetes_takes() {
        assert_eq!(release_name("web"), "web");
        assert_eq!(release_name("My_Chart.v2-"), "my-chart-v2");
        assert_eq!(release_name(&"a".repeat(60)), "a".repeat(30));
        assert_eq!(release_name("___"), "release");
    }
}
