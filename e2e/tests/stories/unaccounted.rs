//! What runs with Helm's marks and has no record.

use charttrust::api::chart_trust_policy::ReleaseCounts;
use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{SOON, Story, apply};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::commands::charttrust;
use crate::setup::{stage, story};

/// A workload that says to be of a release, whoever has made it.
pub(crate) fn marked(kind: (&str, &str), name: &str, story: &Story, release: &str) -> Value {
    let (version, kind) = kind;
    let pods = json!({
        "metadata": {"labels": {"app": name}},
        "spec": {"restartPolicy": "Never",
            "containers": [{"name": "one", "image": "registry.example.com/one:1"}]},
    });
    let mut object = json!({
        "apiVersion": version, "kind": kind,
        "metadata": {
            "name": name, "namespace": story.namespace,
            "annotations": {
                "meta.helm.sh/release-name": release,
                "meta.helm.sh/release-namespace": story.namespace,
            },
        },
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": pods},
    });
    let spec = &mut object["spec"];
    if kind == "CronJob" {
        *spec = json!({"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": pods}}});
    } else {
        spec["template"]["spec"]["restartPolicy"] = json!("Always");
    }
    object
}

/// Waits until the status of a policy counts so many releases, trusted ones and without a record.
async fn counts(story: &Story, policy: &str, expected: (u32, u32)) {
    let told = format!("{policy} counts {expected:?}");
    eventually(SOON, &told, async || {
        let found = story.policies().get_status(policy).await;
        let found = found.map_err(|error| error.to_string())?;
        let counted = found.status.unwrap_or_default().releases;
        let ReleaseCounts {
            trusted,
            unaccounted,
            ..
        } = counted;
        if (trusted, unaccounted) == expected {
            Ok(())
        } else {
            Err(format!("{counted:?}"))
        }
    })
    .await;
}

/// Waits until the metrics have a line.
async fn measured(line: &str) {
    eventually(SOON, line, async || {
        let url = stage().await.operator(|operator| operator.metrics_url());
        let text = async { reqwest::get(url).await?.text().await };
        let text = text.await.map_err(|error| error.to_string())?;
        if text.lines().any(|one| one == line) {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_record_is_counted_measured_and_listed_until_it_has_one() {
    let story = story("unaccounted", Version::V4).await;
    let namespace = story.namespace.as_str();
    let key = story.trusted_key("platform").await;
    let policy = story.policy("policy", &[&key], json!({})).await;
    for name in ["web", "api"] {
        let source = Source::new(name, "1.0.0");
        let chart = story.publish(&source, Some(&key)).await;
        story.install(name, &chart).await;
        story.expect(name, "SignatureVerified").await;
    }
    counts(&story, &policy, (2, 0)).await;
    let list = ["status", "--unaccounted", "-n", namespace];
    charttrust(&list).await.with(0, &["has a record"]);

    // Whoever may delete Secrets takes the record away, and what it has installed stays.
    let secrets = Api::<Secret>::namespaced(story.client.clone(), namespace);
    let name = "sh.helm.release.v1.web.v1";
    let mut record = story.done("read the record", secrets.get(name).await);
    let deleted = secrets.delete(name, &DeleteParams::default()).await;
    story.done("delete the record", deleted);
    // And somebody makes workloads that look like a part of a release.
    let ghosts = [
        marked(("apps/v1", "Deployment"), "ghost", &story, "ghost"),
        marked(("batch/v1", "CronJob"), "ghost", &story, "ghost"),
    ];
    let made = apply(stage().await.cluster.kubeconfig(), &ghosts).await;
    story.done("make workloads with marks", made);
    counts(&story, &policy, (1, 2)).await;
    let line = format!("charttrust_unaccounted_workloads{{namespace=\"{namespace}\"}}");
    measured(&format!("{line} 3")).await;
    let share = format!("charttrust_coverage_ratio{{policy=\"{policy}\"}} 0.3333333333333333");
    measured(&share).await;
    let web = format!("{namespace}/web");
    let ghost = format!("{namespace}/ghost");
    let listed = charttrust(&list).await;
    let listed = listed.with(3, &["Deployment", "CronJob", &web, &ghost]);
    assert_eq!(listed.text.lines().count(), 4, "{}", listed.text);
    assert!(!listed.text.contains("/api"), "{}", listed.text);

    record.metadata.resource_version = None;
    record.metadata.uid = None;
    let created = secrets.create(&PostParams::default(), &record).await;
    story.done("give the record back", created);
    counts(&story, &policy, (2, 1)).await;
    measured(&format!("{line} 2")).await;
    let listed = charttrust(&list).await.with(3, &[&ghost]);
    assert!(!listed.text.contains(&web), "{}", listed.text);
}
