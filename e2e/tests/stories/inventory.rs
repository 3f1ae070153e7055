//! Which releases there are: every driver, failed upgrades, records that cannot be believed.

use charttrust_e2e::charts::Source;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{Story, StoryKey};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::setup::{story, with_both_helms};

with_both_helms! {
    a_release_in_config_maps_is_found_and_judged
    a_failed_upgrade_is_judged_together_with_what_was_deployed
    what_a_failed_install_left_is_judged_with_the_failed_upgrade_after_it
    a_label_that_contradicts_the_record_makes_the_release_unreadable
    a_record_that_cannot_be_decoded_marks_its_release_only
}

/// A chart whose upgrade fails: the API server refuses one of its objects.
fn failing(version: &str) -> Source {
    let refused = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Not_A_Name}\n";
    Source::new("web", version).with_file("templates/refused.yaml", refused)
}

async fn story_with_policy(prefix: &str, version: Version) -> (Story, StoryKey) {
    let story = story(prefix, version).await;
    let key = story.trusted_key("platform").await;
    story.policy("policy", &[&key], json!({})).await;
    (story, key)
}

async fn a_release_in_config_maps_is_found_and_judged(version: Version) {
    let (mut story, key) = story_with_policy("config-maps", version).await;
    story.helm = story.helm.storing_in("configmap");
    let signed = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let unsigned = story.publish(&Source::new("web", "1.1.0"), None).await;
    story.install("web", &signed).await;
    let trust = story.expect("web", "SignatureVerified").await;
    let release = serde_json::to_value(trust.status.unwrap().release).unwrap();
    assert_eq!(release["driver"], "ConfigMap");
    story.upgrade("web", &unsigned).await;
    story.expect("web", "Unsigned").await;
    story.helm.uninstall(&story.namespace, "web").await.unwrap();
    story.expect_gone("web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_records_of_one_name_in_two_drivers_the_worse_counts() {
    let (mut story, key) = story_with_policy("two-drivers", Version::V4).await;
    let signed = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let unsigned = story.publish(&Source::new("web", "1.1.0"), None).await;
    story.install("web", &signed).await;
    story.expect("web", "SignatureVerified").await;
    story.helm = story.helm.storing_in("configmap");
    story.install("web", &unsigned).await;
    story.expect("web", "Unsigned").await;
    story.expect_finding("web", "OtherRevision").await;
}

async fn a_failed_upgrade_is_judged_together_with_what_was_deployed(version: Version) {
    let (story, key) = story_with_policy("failed", version).await;
    let signed = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let unsigned = story.publish(&failing("1.1.0"), None).await;
    let fine = story.publish(&failing("1.2.0"), Some(&key)).await;
    story.install("web", &signed).await;
    story.expect("web", "SignatureVerified").await;

    story.try_upgrade("web", &unsigned).await.unwrap_err();
    let trust = story.expect("web", "Unsigned").await;
    let release = trust.status.unwrap().release.unwrap();
    assert_eq!((release.revision, release.version.as_str()), (2, "1.1.0"));
    let findings = story
        .expect_finding("web", "OtherRevision")
        .await
        .status
        .unwrap()
        .findings;
    let other = "revision 1 (Secret) is Trusted/SignatureVerified";
    assert!(
        findings.iter().any(|finding| finding.message == other),
        "{findings:?}"
    );

    // Part of revision 2 may still run, whatever failed after it.
    story.try_upgrade("web", &fine).await.unwrap_err();
    story.expect("web", "Unsigned").await;
    story.upgrade("web", &signed).await;
    let trust = story.expect("web", "SignatureVerified").await;
    assert_eq!(trust.status.unwrap().release.unwrap().revision, 4);
}

/// None is deployed: what the first left runs, and the second may have applied nothing.
async fn what_a_failed_install_left_is_judged_with_the_failed_upgrade_after_it(version: Version) {
    let (story, key) = story_with_policy("never", version).await;
    let unsigned = story.publish(&failing("1.0.0"), None).await;
    let fine = story.publish(&failing("1.1.0"), Some(&key)).await;
    let signed = story
        .publish(&Source::new("web", "1.2.0"), Some(&key))
        .await;
    story.try_install("web", &unsigned).await.unwrap_err();
    story.expect("web", "Unsigned").await;
    story.try_upgrade("web", &fine).await.unwrap_err();
    story.expect_finding("web", "OtherRevision").await;
    story.expect("web", "Unsigned").await;
    story.upgrade("web", &signed).await;
    let trust = story.expect("web", "SignatureVerified").await;
    assert_eq!(trust.status.unwrap().release.unwrap().revision, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_was_never_finished_is_judged_too() {
    let (story, key) = story_with_policy("pending", Version::V4).await;
    let signed = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let unsigned = story.publish(&failing("1.1.0"), None).await;
    story.install("web", &signed).await;
    story.try_upgrade("web", &unsigned).await.unwrap_err();
    // What is left if Helm is killed in the middle.
    let name = "sh.helm.release.v1.web.v2";
    let secrets = Api::<Secret>::namespaced(story.client.clone(), &story.namespace);
    let payload = secrets.get(name).await.unwrap().data.unwrap()["release"].clone();
    let mut record = charttrust_e2e::record::decode(&payload.0).unwrap();
    record["info"]["status"] = json!("pending-upgrade");
    let payload = charttrust_e2e::record::encode(&record).unwrap();
    let labels = json!({"labels": {"status": "pending-upgrade"}});
    change(
        &story,
        name,
        json!({"metadata": labels, "data": {"release": payload}}),
    )
    .await;
    story.expect("web", "Unsigned").await;
    story.settled("web").await;
    let trust = story.expect("web", "Unsigned").await;
    assert_eq!(trust.status.unwrap().release.unwrap().revision, 2);
}

async fn a_label_that_contradicts_the_record_makes_the_release_unreadable(version: Version) {
    let (story, key) = story_with_policy("relabelled", version).await;
    let signed = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let unsigned = story.publish(&Source::new("web", "1.1.0"), None).await;
    story.install("web", &signed).await;
    story.upgrade("web", &unsigned).await;
    story.expect("web", "Unsigned").await;
    // As if the signed revision were what runs.
    label(&story, "sh.helm.release.v1.web.v2", "superseded").await;
    label(&story, "sh.helm.release.v1.web.v1", "deployed").await;
    let trust = story.expect("web", "ReleaseUnreadable").await;
    let findings = trust.status.unwrap().findings;
    assert!(findings[0].message.contains("status"), "{findings:?}");
    label(&story, "sh.helm.release.v1.web.v1", "superseded").await;
    label(&story, "sh.helm.release.v1.web.v2", "deployed").await;
    story.expect("web", "Unsigned").await;
}

async fn label(story: &Story, secret: &str, status: &str) {
    change(
        story,
        secret,
        json!({"metadata": {"labels": {"status": status}}}),
    )
    .await;
}

async fn change(story: &Story, secret: &str, change: Value) {
    let secrets = Api::<Secret>::namespaced(story.client.clone(), &story.namespace);
    secrets
        .patch(secret, &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
}

async fn a_record_that_cannot_be_decoded_marks_its_release_only(version: Version) {
    let (story, key) = story_with_policy("undecodable", version).await;
    let chart = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    for release in ["broken", "emptied", "sound"] {
        story.install(release, &chart).await;
        story.expect(release, "SignatureVerified").await;
        story.settled(release).await;
    }
    let secrets = Api::<Secret>::namespaced(story.client.clone(), &story.namespace);
    let name = "sh.helm.release.v1.broken.v1";
    let record = secrets.get(name).await.unwrap().data.unwrap()["release"].clone();
    let garbage = ByteString(b"this is no release".to_vec());
    change(&story, name, json!({"data": {"release": garbage}})).await;
    change(
        &story,
        "sh.helm.release.v1.emptied.v1",
        json!({"data": null}),
    )
    .await;
    story.expect("broken", "ReleaseUnreadable").await;
    story.expect("emptied", "ReleaseUnreadable").await;
    let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story
        .patch::<charttrust::api::TrustedKey>(&key.name, revoke)
        .await;
    story.expect("sound", "KeyCompromised").await;
    change(&story, name, json!({"data": {"release": record}})).await;
    story.expect("broken", "KeyCompromised").await;
}
