//! The main job: what a release is worth, on a real control plane, with both Helms.

use charttrust::api::{ChartTrustPolicy, TrustedKey};
use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{SOON, Story};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::setup::{stage, story, with_both_helms};

with_both_helms! {
    a_signed_chart_is_trusted
    a_chart_signed_by_a_key_that_is_not_listed_is_not_trusted
    an_unsigned_chart_is_not_trusted
    a_tampered_archive_is_not_trusted
    content_changed_in_the_secret_is_not_trusted
    without_a_policy_nothing_is_said
    a_revoked_key_is_acted_on_and_forgiven_while_running
    upgrade_rollback_and_uninstall_are_followed
    a_revocation_writes_what_it_concerns_and_downloads_nothing
}

async fn a_signed_chart_is_trusted(version: Version) {
    let story = story("signed", version).await;
    let key = story.trusted_key("platform").await;
    let chart = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.policy("policy", &[&key], json!({})).await;
    story.install("web", &chart).await;
    let trust = story.expect("web", "SignatureVerified").await;
    let status = trust.status.unwrap();
    assert_eq!(status.signers[0].fingerprint, key.key.fingerprint);
    assert!(status.signers[0].verified);
    let release = status.release.unwrap();
    assert_eq!(
        (release.chart.as_str(), release.version.as_str()),
        ("web", "1.0.0")
    );
}

async fn a_chart_signed_by_a_key_that_is_not_listed_is_not_trusted(version: Version) {
    let story = story("foreign", version).await;
    let ours = story.trusted_key("platform").await;
    let theirs = story.make_key("stranger");
    let known = story.trusted_key("known").await;
    let unknown = story
        .publish(&Source::new("web", "1.0.0"), Some(&theirs))
        .await;
    let unlisted = story
        .publish(&Source::new("shop", "1.0.0"), Some(&known))
        .await;
    story.policy("policy", &[&ours], json!({})).await;
    story.install("unknown", &unknown).await;
    story.install("unlisted", &unlisted).await;
    story.expect("unknown", "SignerNotTrusted").await;
    story.expect("unlisted", "SignerNotTrusted").await;
}

async fn an_unsigned_chart_is_not_trusted(version: Version) {
    let story = story("unsigned", version).await;
    let key = story.trusted_key("platform").await;
    let chart = story.publish(&Source::new("web", "1.0.0"), None).await;
    story.policy("policy", &[&key], json!({})).await;
    story.install("web", &chart).await;
    story.expect("web", "Unsigned").await;
}

async fn a_tampered_archive_is_not_trusted(version: Version) {
    let story = story("tampered", version).await;
    let key = story.trusted_key("platform").await;
    let chart = story
        .package(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    chart.tamper().unwrap();
    story.repository.publish(&story.helm, &chart).await.unwrap();
    story.policy("policy", &[&key], json!({})).await;
    story.install("web", &chart).await;
    story.expect("web", "DigestMismatch").await;
}

async fn content_changed_in_the_secret_is_not_trusted(version: Version) {
    let story = story("changed", version).await;
    let key = story.trusted_key("platform").await;
    let chart = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.policy("policy", &[&key], json!({})).await;
    story.install("web", &chart).await;
    story.expect("web", "SignatureVerified").await;
    edit_record(&story, "sh.helm.release.v1.web.v1").await;
    let trust = story.expect("web", "ContentMismatch").await;
    let findings = trust.status.unwrap().findings;
    assert!(
        findings
            .iter()
            .any(|f| f.message.contains("templates/config.yaml")),
        "{findings:?}"
    );
}

/// Changes a template inside a stored release, as somebody with rights on Secrets could.
async fn edit_record(story: &Story, name: &str) {
    let secrets = Api::<Secret>::namespaced(story.client.clone(), &story.namespace);
    let secret = secrets.get(name).await.unwrap();
    let payload = &secret.data.unwrap()["release"].0;
    let mut release = charttrust_e2e::record::decode(payload).unwrap();
    let templates = release["chart"]["templates"].as_array_mut().unwrap();
    let changed = templates
        .iter_mut()
        .find(|t| t["name"] == "templates/config.yaml")
        .unwrap();
    changed["data"] = json!("a2luZDogQ29uZmlnTWFwCg==");
    let payload = charttrust_e2e::record::encode(&release).unwrap();
    let change = json!({"data": {"release": payload}});
    secrets
        .patch(name, &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
}

async fn without_a_policy_nothing_is_said(version: Version) {
    let story = story("no-policy", version).await;
    let chart = story.publish(&Source::new("web", "1.0.0"), None).await;
    story.install("web", &chart).await;
    let trust = story.expect("web", "NoPolicy").await;
    assert_eq!(trust.status.unwrap().policies, []);
    assert_eq!(story.repository.count("/web-1.0.0.tgz"), 0);
}

async fn a_revoked_key_is_acted_on_and_forgiven_while_running(version: Version) {
    let story = story("revoked", version).await;
    let key = story.trusted_key("platform").await;
    let chart = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.policy("policy", &[&key], json!({})).await;
    story.install("web", &chart).await;
    story.expect("web", "SignatureVerified").await;

    let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story.patch::<TrustedKey>(&key.name, revoke).await;
    story.expect("web", "KeyCompromised").await;
    key_state(&story, &key.name, "Compromised").await;

    let withdraw = json!({"spec": {"revocation": null}});
    story.patch::<TrustedKey>(&key.name, withdraw).await;
    story.expect("web", "SignatureVerified").await;
    key_state(&story, &key.name, "Active").await;
}

async fn key_state(story: &Story, name: &str, state: &str) {
    let keys = Api::<TrustedKey>::all(story.client.clone());
    eventually(SOON, &format!("key {name} is {state}"), async || {
        let key = keys.get(name).await.map_err(|error| error.to_string())?;
        let status = key.status.unwrap_or_default();
        let seen = format!("{:?}", status.state);
        if seen == format!("Some({state})") {
            Ok(())
        } else {
            Err(seen)
        }
    })
    .await;
}

async fn upgrade_rollback_and_uninstall_are_followed(version: Version) {
    let story = story("upgraded", version).await;
    let key = story.trusted_key("platform").await;
    let signed = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let unsigned = story.publish(&Source::new("web", "1.1.0"), None).await;
    story.policy("policy", &[&key], json!({})).await;
    story.install("web", &signed).await;
    story.expect("web", "SignatureVerified").await;
    story.upgrade("web", &unsigned).await;
    story.expect("web", "Unsigned").await;
    story
        .helm
        .rollback(&story.namespace, "web", 1)
        .await
        .unwrap();
    let trust = story.expect("web", "SignatureVerified").await;
    assert_eq!(trust.status.unwrap().release.unwrap().revision, 3);
    story.helm.uninstall(&story.namespace, "web").await.unwrap();
    story.expect_gone("web").await;
}

async fn a_revocation_writes_what_it_concerns_and_downloads_nothing(version: Version) {
    let story = story("audited", version).await;
    let stolen = story.trusted_key("stolen").await;
    let other = story.trusted_key("other").await;
    let policy = story.policy("policy", &[&stolen, &other], json!({})).await;
    for (chart, key) in [("a", &stolen), ("b", &stolen), ("c", &other)] {
        let chart = story.publish(&Source::new(chart, "1.0.0"), Some(key)).await;
        story.install(&chart.name, &chart).await;
    }
    for release in ["a", "b", "c"] {
        story.expect(release, "SignatureVerified").await;
        story.settled(release).await;
    }
    counted(&story, &stolen.name, 2).await;
    counted(&story, &other.name, 1).await;
    compliant(&story, &policy, "True").await;

    let stage = stage().await;
    stage.at_rest(&story.namespace).await;
    let mark = stage.cluster.mark();
    let asked = story.repository.requests().len();
    let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story.patch::<TrustedKey>(&stolen.name, revoke).await;
    story.expect("a", "KeyCompromised").await;
    story.expect("b", "KeyCompromised").await;
    compliant(&story, &policy, "False").await;
    key_state(&story, &stolen.name, "Compromised").await;

    let writes = stage.written_since(mark, &story.namespace);
    let writes = writes.only(|event| event.resource != "events");
    let mut written: Vec<_> = writes
        .iter()
        .map(|e| format!("{}/{} {}", e.resource, e.subresource, e.name))
        .collect();
    written.sort();
    let expected = [
        format!("charttrustpolicies/status {policy}"),
        "releasetrusts/status a".to_owned(),
        "releasetrusts/status b".to_owned(),
        format!("trustedkeys/status {}", stolen.name),
    ];
    assert_eq!(written, expected);
    assert_eq!(story.repository.requests().len(), asked);
}

async fn counted(story: &Story, key: &str, releases: u32) {
    let keys = Api::<TrustedKey>::all(story.client.clone());
    eventually(
        SOON,
        &format!("{key} has {releases} dependents"),
        async || {
            let found = keys.get(key).await.map_err(|error| error.to_string())?;
            let seen = found.status.unwrap_or_default().releases;
            if seen == releases {
                Ok(())
            } else {
                Err(format!("{seen}"))
            }
        },
    )
    .await;
}

async fn compliant(story: &Story, policy: &str, status: &str) {
    let policies = Api::<ChartTrustPolicy>::all(story.client.clone());
    eventually(
        SOON,
        &format!("{policy} has Compliant={status}"),
        async || {
            let found = policies
                .get(policy)
                .await
                .map_err(|error| error.to_string())?;
            let conditions = found.status.unwrap_or_default().conditions;
            let seen = conditions.iter().find(|c| c.type_ == "Compliant");
            let seen = seen.map(|c| format!("{:?}", c.status)).unwrap_or_default();
            if seen == status { Ok(()) } else { Err(seen) }
        },
    )
    .await;
}
