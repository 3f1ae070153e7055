//! A policy of one mode, charts of every kind, and what there is of a release.

use std::collections::BTreeMap;

use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::repository::Repository;
use charttrust_e2e::stage::{Story, StoryKey};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::{Value, json};

use super::cell::{Case, Mode, State};
use crate::setup::{front, heard, records_in};

/// Everything that cells of one mode share.
pub(crate) struct Ground {
    pub(crate) story: Story,
    pub(crate) mode: Mode,
    /// What has run before, and what has under the name of a chart whose source does not answer; both signed.
    bases: [Chart; 2],
    charts: BTreeMap<Case, Chart>,
    /// A repository that no policy names, with the chart that differs from what was signed.
    pub(crate) elsewhere: Repository,
    keys: [StoryKey; 2],
}

/// Where nobody answers.
const NOWHERE: &str = "http://127.0.0.1:9";

/// As every chart of tests; its workload says of which it is made, and is ready at once.
const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
  labels: {made-of: {{ .Chart.Name }}-{{ .Chart.Version }}}
spec:
  replicas: 0
  selector:
    matchLabels: {app.kubernetes.io/instance: {{ .Release.Name }}}
  template:
    metadata:
      labels: {app.kubernetes.io/instance: {{ .Release.Name }}}
    spec:
      containers:
        - name: main
          image: registry.example.com/pause:1
";

pub(crate) fn source(name: &str, version: &str) -> Source {
    Source::new(name, version).with_file("templates/deployment.yaml", DEPLOYMENT)
}

impl Ground {
    /// Publishes the charts. No policy is there yet, so that everything goes in.
    pub(crate) async fn lay(prefix: &str, mode: Mode) -> Self {
        let cluster = front().await.stage.cluster;
        let story = Story::begin(cluster, prefix, Version::V4).await;
        let key = story.trusted_key("platform").await;
        let thief = story.make_key("stolen");
        let stolen = json!({"revocation": {"reason": "Compromised"}});
        story.declare(&thief, stolen).await;
        let signed = |name: &str, version: &str| (source(name, version), Some(&key));
        let base = story.publish(&source("web", "1.0.0"), Some(&key)).await;
        let dark = story.publish(&source("dark", "0.9.0"), Some(&key)).await;
        let mut charts = BTreeMap::new();
        for (case, (source, key)) in [
            (Case::Trusted, signed("web", "1.1.0")),
            (Case::Unsigned, (source("web", "1.4.0"), None)),
            (Case::Tampered, signed("web", "1.2.0")),
            (Case::Stolen, (source("web", "1.3.0"), Some(&thief))),
            (Case::Unknown, signed("dark", "1.0.0")),
            (Case::Down, (source("web", "1.5.0"), None)),
            (Case::Late, (source("web", "1.6.0"), None)),
        ] {
            charts.insert(case, story.publish(&source, key).await);
        }
        let other = source("web", "1.2.0").with_file("templates/NOTES.txt", "Another one.\n");
        let tampered = story.package(&other, None).await;
        let elsewhere = Repository::start().unwrap();
        let helm = Helm::new(Version::V4).unwrap();
        story.done(
            "publish it elsewhere",
            elsewhere.publish(&helm, &tampered).await,
        );
        charts.insert(Case::Tampered, tampered);
        Self {
            story,
            mode,
            bases: [base, dark],
            charts,
            elsewhere,
            keys: [key, thief],
        }
    }

    /// What has run before: of the same name, since another name is another chart to deployers.
    pub(crate) fn base(&self, case: Case) -> &Chart {
        let [base, dark] = &self.bases;
        if case == Case::Unknown { dark } else { base }
    }

    pub(crate) fn chart(&self, case: Case) -> &Chart {
        &self.charts[&case]
    }

    /// From now on the policy is in force, for releases of these names and with more fields in its rules. Gives
    /// its name.
    pub(crate) async fn begin(&self, releases: &[String], verify: Value) -> String {
        let keys: Vec<_> = self.keys.iter().collect();
        let mut rules = vec![
            self.story
                .rule("dark", &keys, json!({"sources": [{"url": NOWHERE}]})),
            self.story.rule("*", &keys, json!({"name": "all"})),
        ];
        for rule in &mut rules {
            for (name, value) in verify.as_object().into_iter().flatten() {
                rule["verify"][name] = value.clone();
            }
        }
        let more = json!({
            "mode": self.mode.word(), "rules": rules, "match": {"releases": releases},
        });
        let policy = self.story.policy("door", &keys, more).await;
        if releases
            .iter()
            .any(|one| one.starts_with(&format!("{}/", self.story.namespace)))
        {
            heard(&self.story, &policy).await;
        }
        policy
    }

    /// What there is of a release.
    pub(crate) async fn state(&self, namespace: &str, release: &str) -> State {
        let client = &self.story.client;
        let workloads = Api::<Deployment>::namespaced(client.clone(), namespace);
        let workload = workloads.get_opt(release).await.unwrap();
        State {
            runs: workload.and_then(|one| one.metadata.labels?.remove("made-of")),
            records: records_in(client, namespace, release).await,
        }
    }
}
