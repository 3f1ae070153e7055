//! The shop of the page: a chart repository, a key, a policy, and Pods that ask.

use std::path::Path;

use charttrust_e2e::charts::Source;
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::node::{CHARTS, POD, at};
use charttrust_e2e::repository::Repository;
use charttrust_e2e::stage::{SOON, Story, apply, kubectl};
use serde_json::{Value, json};

pub(crate) struct Shop<'a> {
    cluster: &'a Cluster,
    _story: Story,
}

impl<'a> Shop<'a> {
    /// Everything but releases, and the charts of these in a folder.
    pub(crate) async fn open(cluster: &'a Cluster, desk: &Path) -> Self {
        let mut story = Story::named(cluster, "shop", Version::V4).await;
        story.repository = Repository::start_at(at(80)).unwrap();
        let key = story.trusted_key("2026").await;
        let unsigned = story.publish(&chart("bare"), None).await;
        let signed = story.publish(&chart("web"), Some(&key)).await;
        for chart in [unsigned, signed] {
            let name = chart.archive.file_name().unwrap();
            std::fs::copy(&chart.archive, desk.join(name)).unwrap();
        }
        let rule = json!({
            "name": "all", "charts": ["*"], "sources": [{"url": format!("http://{CHARTS}")}],
            "verify": {"signers": {"keys": [key.name]}},
        });
        let quarantine = json!({
            "onReasons": ["KeyCompromised"], "approval": "Automatic", "after": "0s", "actions": ["ScaleToZero"],
            "limit": {"maxReleases": 100, "maxPercent": 100, "maxPerNamespace": 100},
        });
        let more = json!({"mode": "Enforce", "rules": [rule], "quarantine": quarantine});
        story.policy("charts", &[], more).await;
        let asks = [
            pod("client", &json!(["wait"])),
            pod("other", &serves("the other is here")),
        ];
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "other", "namespace": "shop"},
            "spec": {"selector": {"app": "other"}, "ports": [{"port": 80, "targetPort": 8080}]},
        });
        // A Pod is refused until its namespace has a service account.
        let objects = [&asks[..], &[service]].concat();
        eventually(SOON, "Pods that ask", async || {
            apply(cluster.kubeconfig(), &objects).await
        })
        .await;
        let ready = [
            "wait",
            "--for=condition=Ready",
            "pod",
            "--all",
            "-n",
            "shop",
            "--timeout=60s",
        ];
        kubectl(cluster.kubeconfig(), &ready).await.unwrap();
        Self {
            cluster,
            _story: story,
        }
    }

    /// Names and addresses of the release's Pods, and of the one that is not of it.
    pub(crate) async fn addresses(&self) -> Vec<(String, String)> {
        let columns = "jsonpath={range .items[*]}{.metadata.name} {.status.podIP}{\"\\n\"}{end}";
        let get = [
            "get",
            "pods",
            "-n",
            "shop",
            "-l",
            "app!=client",
            "-o",
            columns,
        ];
        let said = kubectl(self.cluster.kubeconfig(), &get).await.unwrap();
        let pods = said.lines().filter_map(|line| line.split_once(' '));
        let mut pods: Vec<_> = pods
            .map(|(name, at)| (name.to_owned(), at.to_owned()))
            .collect();
        pods.sort();
        assert_eq!(pods.len(), 3, "{said}");
        pods
    }

    /// Every Pod of the release reaches the other one, and is reached, by address.
    pub(crate) async fn all_answer(&self, pods: &[(String, String)]) {
        eventually(SOON, "everybody answers", async || {
            let answers = self.answers(pods).await;
            let all = answers
                .iter()
                .all(|(_, answer)| !answer.starts_with("no answer"));
            if all {
                Ok(())
            } else {
                Err(format!("{answers:?}"))
            }
        })
        .await;
    }

    /// None of them does.
    ///
    /// # Errors
    /// Who has answered.
    pub(crate) async fn nobody_answers(&self, pods: &[(String, String)]) -> Result<(), String> {
        let answers = self.answers(pods).await;
        let none = answers.iter().all(|(_, answer)| answer == "no answer\n");
        if none {
            Ok(())
        } else {
            Err(format!("{answers:?}"))
        }
    }

    async fn answers(&self, pods: &[(String, String)]) -> Vec<(String, String)> {
        let (other, web): (Vec<_>, Vec<_>) = pods.iter().partition(|(name, _)| name == "other");
        let mut answers = Vec::new();
        for (name, address) in &web {
            answers.push(self.ask("client", address).await);
            answers.push(self.ask(name, &other[0].1).await);
        }
        answers
    }

    async fn ask(&self, pod: &str, address: &str) -> (String, String) {
        let url = format!("http://{address}:8080");
        let exec = ["exec", "-n", "shop", pod, "--", "/pod", "get", &url];
        let answer = kubectl(self.cluster.kubeconfig(), &exec).await.unwrap();
        (format!("{pod} asks {address}"), answer)
    }
}

/// A release of two Pods that serve, and their Service.
fn chart(name: &str) -> Source {
    let container = container(&serves("the shop is open"));
    let labels = json!({"app.kubernetes.io/instance": name});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": 3, "containers": [container]},
            },
        },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
    });
    Source::new(name, "1.0.0")
        .with_file("templates/deployment.yaml", &deployment.to_string())
        .with_file("templates/service.yaml", &service.to_string())
}

fn pod(name: &str, arguments: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 3, "containers": [container(arguments)]},
    })
}

fn container(arguments: &Value) -> Value {
    let serves = arguments[0] == "serve";
    let probe = json!({"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1});
    json!({
        "name": "main", "image": POD, "args": arguments,
        "readinessProbe": if serves { probe } else { Value::Null },
    })
}

fn serves(sentence: &str) -> Value {
    json!(["serve", ":8080", sentence])
}
