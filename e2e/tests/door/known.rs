//! What is known needs nobody to be asked: what the operator has signed, and what the webhook remembers.

use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, SOON};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::setup::{heard, mode, records, steal_now, story, with_both_helms};

with_both_helms! {
    what_the_operator_has_signed_goes_in_with_the_repository_gone
    what_was_verified_before_a_theft_stays_upgradable
}

async fn what_the_operator_has_signed_goes_in_with_the_repository_gone(version: Version) {
    let (mut story, _door) = story("private", version).await;
    let key = story.trusted_key("platform").await;
    let login = format!("{}-login", story.namespace);
    let secrets = Api::<Secret>::namespaced(story.client.clone(), OPERATOR_NAMESPACE);
    let secret = json!({"metadata": {"name": login}, "stringData": {"username": "ann", "password": "secret"}});
    let secret = serde_json::from_value(secret).unwrap();
    story.done(
        "keep the login",
        secrets.create(&PostParams::default(), &secret).await,
    );
    story.repository.require_login("ann", "secret");
    let source = json!({"url": story.repository.url(), "credentialsSecretRef": {"name": login}});
    let strict = json!({
        "mode": "Enforce",
        "admission": {"onUnknown": "Deny"},
        "rules": [story.rule("*", &[&key], json!({"sources": [source]}))],
    });
    let signed = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let newer = story
        .publish(&Source::new("web", "1.1.0"), Some(&key))
        .await;
    let mut audit = strict.clone();
    audit["mode"] = json!("Audit");
    let policy = story.policy("strict", &[&key], audit).await;
    story.install("web", &signed).await;
    story.expect("web", "SignatureVerified").await;
    story.policy("strict", &[&key], strict).await;
    heard(&story, &policy).await;
    story.repository.stop();

    let archive = signed.archive.to_string_lossy().into_owned();
    let upgraded = story
        .helm
        .upgrade(&story.namespace, "web", &archive, &[])
        .await;
    story.done("upgrade to the same", upgraded);
    assert_eq!(records(&story, "web").await, ["superseded", "deployed"]);
    // Of what is new there, the webhook can find out nothing: it has no credentials.
    let said = story
        .try_upgrade("web", &newer)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("SourceUnavailable") && said.contains("needs credentials"),
        "{said}"
    );
    assert_eq!(records(&story, "web").await, ["superseded", "deployed"]);
}

async fn what_was_verified_before_a_theft_stays_upgradable(version: Version) {
    let (story, _door) = story("witnessed", version).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("strict", &[&key], mode("Enforce")).await;
    heard(&story, &policy).await;
    let signed = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let newer = story
        .publish(&Source::new("web", "1.1.0"), Some(&key))
        .await;
    story.install("web", &signed).await;
    story.expect("web", "SignatureVerified").await;
    steal_now(&story, &key).await;
    story.expect("web", "Grandfathered").await;
    eventually(SOON, "the webhook knows of the theft", async || match story
        .try_install("probe", &newer)
        .await
    {
        Err(error) if error.to_string().contains("KeyCompromised") => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(()) => {
            let gone = story.helm.uninstall(&story.namespace, "probe").await;
            Err(format!("it went in; {gone:?}"))
        }
    })
    .await;
    let refused = story.try_upgrade("web", &newer).await.unwrap_err();
    assert!(refused.to_string().contains("KeyCompromised"), "{refused}");
    let archive = signed.archive.to_string_lossy().into_owned();
    let upgraded = story
        .helm
        .upgrade(&story.namespace, "web", &archive, &["--set", "a=b"])
        .await;
    story.done("upgrade what was verified before", upgraded);
    story.expect("web", "Grandfathered").await;
}
