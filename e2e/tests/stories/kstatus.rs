//! What those make of our objects who wait for them by kstatus: nothing is done before we have looked.

use std::time::Duration;

use charttrust::api::{ChartTrustPolicy, Quarantine, ReleaseTrust, TrustedKey};
use charttrust_e2e::charts::Source;
use charttrust_e2e::helm::Version;
use charttrust_e2e::repository::Fault;
use charttrust_e2e::stage::{SOON, Story, apply, kubectl, path};
use charttrust_e2e::{eventually, kstatus};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::setup::{stage, story};

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_nobody_has_looked_at_is_not_done() {
    let cluster = stage().await.cluster;
    for name in ["trusted-key.yaml", "policy-strict-in-house.yaml"] {
        let file = path(&format!("examples/{name}"));
        let create = ["create", "--dry-run=server", "-o", "json", "-f", &file];
        let created = kubectl(cluster.kubeconfig(), &create).await.unwrap();
        is_in_progress(&serde_json::from_str(&created).unwrap());
    }
    let client = cluster.client().await.unwrap();
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let quarantine = json!({
        "metadata": {"name": "unseen"}, "spec": {"reason": "a story", "actions": ["ScaleToZero"]},
    });
    let quarantine: Quarantine = serde_json::from_value(quarantine).unwrap();
    let api = Api::<Quarantine>::namespaced(client.clone(), "default");
    let created = api.create(&dry, &quarantine).await.unwrap();
    is_in_progress(&serde_json::to_value(created).unwrap());
    let trust = ReleaseTrust {
        metadata: quarantine.metadata,
        ..ReleaseTrust::default()
    };
    let api = Api::<ReleaseTrust>::namespaced(client, "default");
    let created = api.create(&dry, &trust).await.unwrap();
    is_in_progress(&serde_json::to_value(created).unwrap());
}

/// Those of ours, if it is a list.
fn is_in_progress(created: &Value) {
    let items = created["items"].as_array().cloned();
    let all = items.unwrap_or_else(|| vec![created.clone()]);
    let ours = |one: &&Value| one["apiVersion"] == "charttrust.io/v1alpha1";
    for object in all.iter().filter(ours) {
        assert_eq!(kstatus::of(object).unwrap(), "InProgress", "{object}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_looked_at_is_done_and_what_needs_a_person_has_failed() {
    let story = story("kstatus", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("policy", &[&key], json!({})).await;
    let chart = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.install("web", &chart).await;
    is(&story, "trustedkey", &key.name, "Current").await;
    is(&story, "charttrustpolicy", &policy, "Current").await;
    is(&story, "releasetrust", "web", "Current").await;

    let misspelt = story.rule("*", &[&key], json!({"versions": "no constraint"}));
    let misspelt = json!({"spec": {"rules": [misspelt]}});
    story.patch::<ChartTrustPolicy>(&policy, misspelt).await;
    is(&story, "charttrustpolicy", &policy, "Failed").await;
    let garbage = json!({"spec": {"publicKey": {"inline": "no key"}}});
    story.patch::<TrustedKey>(&key.name, garbage).await;
    is(&story, "trustedkey", &key.name, "Failed").await;
    let quarantine = json!({
        "apiVersion": "charttrust.io/v1alpha1", "kind": "Quarantine",
        "metadata": {"name": "web", "namespace": story.namespace},
        "spec": {"reason": "a story", "actions": ["ScaleToZero"]},
    });
    let kubeconfig = stage().await.cluster.kubeconfig();
    apply(kubeconfig, &[quarantine]).await.unwrap();
    is(&story, "quarantine", "web", "Failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_source_is_being_asked_release_and_policy_are_under_way() {
    let story = story("underway", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("policy", &[&key], json!({})).await;
    let chart = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story
        .repository
        .misbehave("/index.yaml", Fault::Slow(Duration::from_secs(12)));
    story.install("web", &chart).await;
    is(&story, "releasetrust", "web", "InProgress").await;
    let interval = json!({"spec": {"interval": "2h"}});
    story.patch::<ChartTrustPolicy>(&policy, interval).await;
    is(&story, "charttrustpolicy", &policy, "InProgress").await;
    story
        .expect_condition(&story.policies(), &policy, "Reconciling=True/Progressing")
        .await;
    story.repository.behave();
    is(&story, "releasetrust", "web", "Current").await;
    is(&story, "charttrustpolicy", &policy, "Current").await;
    story.expect("web", "SignatureVerified").await;
}

async fn is(story: &Story, kind: &str, name: &str, word: &str) {
    let kubeconfig = stage().await.cluster.kubeconfig();
    eventually(SOON, &format!("{kind} {name} is {word}"), async || {
        let get = ["get", kind, name, "-n", &story.namespace, "-o", "json"];
        let object = kubectl(kubeconfig, &get)
            .await
            .map_err(|error| error.to_string())?;
        let object: Value = serde_json::from_str(&object).map_err(|error| error.to_string())?;
        let said = kstatus::of(&object).map_err(|error| error.to_string())?;
        if said == word {
            Ok(())
        } else {
            Err(format!("{said}: {}", object["status"]["conditions"]))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn field_selectors_find_releases_by_verdict_reason_and_key() {
    let story = story("selected-by", Version::V4).await;
    let key = story.trusted_key("platform").await;
    story.policy("policy", &[&key], json!({})).await;
    let signed = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let unsigned = story.publish(&Source::new("api", "1.0.0"), None).await;
    story.install("web", &signed).await;
    story.install("api", &unsigned).await;
    story.expect("web", "SignatureVerified").await;
    story.expect("api", "Unsigned").await;
    let kubeconfig = stage().await.cluster.kubeconfig();
    let signer = format!("status.signer={}", key.name);
    for (selector, found) in [
        ("status.reason=", "releasetrust.charttrust.io/web\n"),
        ("status.reason!=", "releasetrust.charttrust.io/api\n"),
        ("status.reason=Unsigned", "releasetrust.charttrust.io/api\n"),
        (&signer, "releasetrust.charttrust.io/web\n"),
        ("status.reason=KeyCompromised", ""),
    ] {
        let get = ["get", "rtrust", "-n", &story.namespace, "-o", "name"];
        let get = [&get[..], &["--field-selector", selector]].concat();
        let listed = kubectl(kubeconfig, &get).await.unwrap();
        assert_eq!(listed, found, "{selector}");
    }
}
