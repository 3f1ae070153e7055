//! The lab: the folder and the cluster of a demo that was left up. Reads only.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use charttrust::api::{ChartTrustPolicy, Quarantine, ReleaseTrust, TrustedKey};
use charttrust_e2e::stage::LAB;
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::Value;

use crate::Result;

/// One thing to do.
#[derive(Debug)]
pub(crate) struct Task {
    /// As its heading on the page.
    pub(crate) title: &'static str,
    /// How to go on.
    pub(crate) hint: &'static str,
    /// Whether it is done, by what is there.
    pub(crate) is_done: bool,
}

impl Task {
    pub(crate) fn new(title: &'static str, hint: &'static str, is_done: bool) -> Self {
        Self {
            title,
            hint,
            is_done,
        }
    }
}

/// What the tasks are checked on.
pub(crate) struct Lab {
    folder: PathBuf,
    client: Client,
}

impl Lab {
    /// The one that is named, or else the only one that is up.
    pub(crate) async fn open(named: Option<&Path>) -> Result<Self> {
        let folder = match named {
            Some(folder) => folder.to_owned(),
            None => only(&std::env::temp_dir())?,
        };
        let kubeconfig = folder.join("kubeconfig");
        if !kubeconfig.exists() {
            let folder = folder.display();
            return Err(format!("{folder} is no lab that is up: {START}").into());
        }
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        let client = Client::try_from(config)?;
        let answer = tokio::time::timeout(ANSWER, client.apiserver_version()).await;
        let answer = answer.map_err(|_| format!("the lab does not answer: {START}"))?;
        answer.map_err(|error| format!("the lab does not answer: {START}: {error}"))?;
        Ok(Self { folder, client })
    }

    /// What stands in a file of the lab.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.join(name)).ok()
    }

    /// The same, as JSON.
    pub(crate) fn json(&self, name: &str) -> Value {
        let text = self.text(name).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// What our own program says of files in the lab: its exit code and what it prints.
    pub(crate) async fn charttrust(&self, line: &str) -> Result<(Option<i32>, String)> {
        let mut command = tokio::process::Command::new(self.folder.join("bin/charttrust"));
        command
            .args(line.split_whitespace())
            .current_dir(&self.folder)
            .env("KUBECONFIG", self.folder.join("kubeconfig"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = command.output().await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status.code(), said))
    }

    pub(crate) async fn key(&self, name: &str) -> Result<Option<TrustedKey>> {
        Ok(Api::all(self.client.clone()).get_opt(name).await?)
    }

    pub(crate) async fn policy(&self, name: &str) -> Result<Option<ChartTrustPolicy>> {
        Ok(Api::all(self.client.clone()).get_opt(name).await?)
    }

    /// Whether a rule of a policy lists a key.
    pub(crate) async fn lists(&self, policy: &str, key: &str) -> Result<bool> {
        let policy = self.policy(policy).await?;
        let rules = policy.iter().flat_map(|policy| &policy.spec.rules);
        let value = rules
            .map(serde_json::to_value)
            .collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(value.iter().any(|rule| {
            let keys = rule["verify"]["signers"]["keys"].as_array();
            keys.is_some_and(|keys| keys.iter().any(|listed| listed == key))
        }))
    }

    /// What is known of a release.
    pub(crate) async fn release(&self, namespace: &str, name: &str) -> Result<Seen> {
        let api = Api::<ReleaseTrust>::namespaced(self.client.clone(), namespace);
        let trust = api.get_opt(name).await?;
        let status = trust.as_ref().and_then(|trust| trust.status.as_ref());
        let Some(status) = status else {
            return Ok(Seen::default());
        };
        let release = status.release.as_ref();
        Ok(Seen {
            word: verdict(trust.as_ref()),
            version: release.map(|one| one.version.clone()).unwrap_or_default(),
            signer: status.signer.clone().unwrap_or_default(),
        })
    }

    pub(crate) async fn quarantine(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Quarantine>> {
        let api = Api::namespaced(self.client.clone(), namespace);
        Ok(api.get_opt(name).await?)
    }

    /// Whether an event tells that a release was contained, now or before.
    pub(crate) async fn was_contained(&self, namespace: &str, name: &str) -> Result<bool> {
        let events = Api::<Event>::namespaced(self.client.clone(), namespace);
        let events = events.list(&ListParams::default()).await?;
        Ok(events.iter().any(|event| {
            let about = event.regarding.as_ref().and_then(|one| one.name.as_deref());
            event.reason.as_deref() == Some("Quarantined") && about == Some(name)
        }))
    }
}

/// A release as its `ReleaseTrust` has it; empty where there is none.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) word: String,
    pub(crate) version: String,
    /// The keys that vouch.
    pub(crate) signer: String,
}

fn verdict(trust: Option<&ReleaseTrust>) -> String {
    let verdict = trust.and_then(ReleaseTrust::verdict);
    verdict
        .map(|verdict| verdict.reason.clone())
        .unwrap_or_default()
}

/// The only lab below a folder whose cluster is there.
fn only(below: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(below)?;
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_lab = |folder: &PathBuf| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(LAB) && folder.join("kubeconfig").exists()
    };
    let mut labs: Vec<_> = folders.filter(is_lab).collect();
    match labs.len() {
        0 => Err(format!("there is no lab: {START}").into()),
        1 => Ok(labs.remove(0)),
        many => Err(format!("there are {many} labs: name the folder of one with --lab").into()),
    }
}

const START: &str = "start one with `make demo KEEP=1`, and leave it up";
const ANSWER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_that_has_ended_is_none_and_of_two_one_is_named() {
        let below = tempfile::tempdir().unwrap();
        let begin = |name: &str| {
            let folder = below.path().join(format!("{LAB}{name}"));
            std::fs::create_dir(&folder).unwrap();
            folder
        };
        let ended = begin("ended");
        std::os::unix::fs::symlink("/nonexistent/kubeconfig", ended.join("kubeconfig")).unwrap();
        let said = only(below.path()).unwrap_err().to_string();
        assert!(said.contains("make demo KEEP=1"), "{said}");
        let up = begin("up");
        std::fs::write(up.join("kubeconfig"), "").unwrap();
        assert_eq!(only(below.path()).unwrap(), up);
        std::fs::write(begin("other").join("kubeconfig"), "").unwrap();
        let said = only(below.path()).unwrap_err().to_string();
        assert!(said.contains("2 labs"), "{said}");
    }
}
