//! Statements that lie elsewhere than the archives.

use charttrust::api::TrustedKey;
use charttrust_e2e::charts::Source;
use charttrust_e2e::helm::Version;
use charttrust_e2e::repository::Repository;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, Story, StoryKey};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::setup::story;

/// Publishes a chart, and its statement in the folder `prov` of another server.
async fn publish(story: &Story, key: &StoryKey, name: &str, statements: &Repository) {
    let source = Source::new(name, "1.0.0");
    let chart = story.package(&source, Some(key)).await;
    let statement = std::fs::read(chart.provenance()).unwrap();
    std::fs::remove_file(chart.provenance()).unwrap();
    story.offer(&chart).await;
    let file = format!("prov/{name}-1.0.0.tgz.prov");
    statements.put(&file, statement).unwrap();
    story.install(name, &chart).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_of_a_private_folder_prove_archives_that_lie_elsewhere() {
    let story = story("elsewhere", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let statements = Repository::start().unwrap();
    statements.require_login("reader", "secret");
    let folder = format!("{}/prov", statements.url());
    let login = format!("{}-statements", story.namespace);
    let provenance = json!({"url": folder, "credentialsSecretRef": {"name": login}});
    let source = json!({"url": story.repository.url(), "provenance": provenance});
    let rule = story.rule("*", &[&key], json!({"sources": [source]}));
    let more = json!({"interval": "1s", "rules": [rule]});
    story.policy("policy", &[&key], more).await;

    publish(&story, &key, "web", &statements).await;
    let trusts = story.trusts();
    let unread = "Trusted=Unknown/SourceUnavailable";
    let message = story.expect_condition(&trusts, "web", unread).await;
    assert!(message.contains(&login), "{message}");
    let secrets = Api::<Secret>::namespaced(story.client.clone(), OPERATOR_NAMESPACE);
    let secret = json!({
        "metadata": {"name": login},
        "stringData": {"username": "reader", "password": "secret"},
    });
    let secret = serde_json::from_value(secret).unwrap();
    let created = secrets.create(&PostParams::default(), &secret).await;
    story.done("create the Secret", created);
    story.expect("web", "SignatureVerified").await;
    let asked = story.repository.requests();
    let of_statements = asked.iter().filter(|asked| asked.path.contains(".prov"));
    assert_eq!(of_statements.count(), 0, "{asked:?}");

    // What was believed is as bad as beside the archive; what comes after the theft proves nothing bad.
    let stolen = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story.patch::<TrustedKey>(&key.name, stolen).await;
    story.expect("web", "KeyCompromised").await;
    publish(&story, &key, "late", &statements).await;
    let trust = story.expect("late", "SignerNotTrusted").await;
    let told = format!("{:?}", trust.status.unwrap().findings);
    assert!(told.contains("KeyCompromised"), "{told}");
    story.expect("web", "KeyCompromised").await;
    let deleted = secrets.delete(&login, &DeleteParams::default()).await;
    story.done("delete the Secret", deleted);
}
