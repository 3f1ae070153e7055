//! What a story waits for.

use charttrust::api::ReleaseTrust;
use charttrust::api::chart_trust_policy::ReleaseCounts;
use charttrust::api::conditions::{self, ReleaseCondition};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::Value;

use crate::eventually;
use crate::record;

use super::{SOON, Story, StoryKey};

impl Story {
    /// Waits until a release has this word as verdict, and gives its `ReleaseTrust`.
    pub async fn expect(&self, release: &str, word: &str) -> ReleaseTrust {
        let what = format!("{release} is {word}");
        self.until(release, &what, |trust| verdict(trust) == word)
            .await
    }

    /// Waits until a release has a finding of this word, whatever its verdict.
    pub async fn expect_finding(&self, release: &str, word: &str) -> ReleaseTrust {
        let what = format!("{release} has a finding {word}");
        let is_there = |trust: &ReleaseTrust| {
            let findings = trust.status.iter().flat_map(|status| &status.findings);
            findings.into_iter().any(|finding| finding.reason == word)
        };
        self.until(release, &what, is_there).await
    }

    /// Waits until a finding of a release says this.
    pub async fn expect_told(&self, release: &str, part: &str) -> ReleaseTrust {
        let what = format!("a finding of {release} says {part:?}");
        let is_told = |trust: &ReleaseTrust| {
            let findings = trust.status.iter().flat_map(|status| &status.findings);
            findings
                .into_iter()
                .any(|finding| finding.message.contains(part))
        };
        self.until(release, &what, is_told).await
    }

    /// Waits until something is true of what is said of a release, and gives it.
    pub async fn until(
        &self,
        release: &str,
        what: &str,
        is_so: impl Fn(&ReleaseTrust) -> bool,
    ) -> ReleaseTrust {
        let trusts = self.trusts();
        eventually(SOON, what, async || {
            let found = trusts.get_opt(release).await;
            let found = found.map_err(|error| error.to_string())?;
            let found = found.ok_or("there is no ReleaseTrust")?;
            if is_so(&found) {
                Ok(found)
            } else {
                Err(describe(&found))
            }
        })
        .await
    }

    /// Waits until a release has no `ReleaseTrust` any more.
    pub async fn expect_gone(&self, release: &str) {
        let trusts = self.trusts();
        let what = format!("the ReleaseTrust {release} is gone");
        eventually(SOON, &what, async || match trusts.get_opt(release).await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
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
            let conditions = object["status"]["conditions"].as_array();
            let conditions = conditions.map(Vec::as_slice).unwrap_or_default();
            match conditions.iter().find(|one| summary(one) == wanted) {
                Some(found) => Ok(found["message"].as_str().unwrap_or("").to_owned()),
                None => Err(conditions
                    .iter()
                    .map(summary)
                    .collect::<Vec<_>>()
                    .join(", ")),
            }
        })
        .await
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
        let what = format!("{release} was judged as it is");
        eventually(SOON, &what, async || {
            let trust = trusts.get(release).await;
            let trust = trust.map_err(|error| error.to_string())?;
            let judged = trust.status.and_then(|status| status.release);
            let judged = judged.ok_or("nothing was judged")?;
            let name = record::stored(release, judged.revision);
            let secret = secrets.get(&name).await;
            let secret = secret.map_err(|error| error.to_string())?;
            let judged = Some(judged.resource_version);
            if judged == secret.metadata.resource_version {
                Ok(())
            } else {
                Err(format!("{judged:?}"))
            }
        })
        .await;
    }
}

/// A condition, as `Ready=True/Accepted`.
pub fn summary(condition: &Value) -> String {
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
