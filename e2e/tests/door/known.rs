//! What is known needs nobody to be asked: what the operator has signed, and what the webhook remembers.

use charttrust::api::TrustedKey;
use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, SOON};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
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
    // What else is called so is not what the operator has judged.
    let other = Source::new("web", "1.0.0").with_file("templates/NOTES.txt", "Another one.\n");
    let other = story.package(&other, None).await;
    let said = story
        .try_upgrade("web", &other)
        .await
        .unwrap_err()
        .to_string();
    assert!(said.contains("SourceUnavailable"), "{said}");
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

/// The webhook may read no Secret; of a key that lies in one, the operator shows it the public half.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_a_secret_is_believed_as_long_as_it_is_there() {
    let (story, _door) = story("hidden", Version::V4).await;
    let key = story.make_key("platform");
    let secrets = Api::<Secret>::namespaced(story.client.clone(), OPERATOR_NAMESPACE);
    let secret = json!({
        "metadata": {"name": key.name},
        "stringData": {"key.asc": story.public(&key), "other": "canary-2b7d"},
    });
    let secret = serde_json::from_value(secret).unwrap();
    let kept = secrets.create(&PostParams::default(), &secret).await;
    story.done("keep the key in a Secret", kept);
    let place = json!({"secretRef": {"name": key.name, "key": "key.asc"}});
    let spec = json!({"fingerprint": key.key.fingerprint, "publicKey": place});
    story.apply::<TrustedKey>(&key.name, spec).await;
    let deny = json!({"mode": "Enforce", "admission": {"onUnknown": "Deny"}});
    let policy = story.policy("strict", &[&key], deny).await;
    heard(&story, &policy).await;
    let signed = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let bare = story.publish(&Source::new("bare", "1.0.0"), None).await;

    eventually(SOON, "what it has signed goes in", async || {
        let installed = story.try_install("web", &signed).await;
        installed.map_err(|error| error.to_string())
    })
    .await;
    let said = story.try_install("bare", &bare).await.unwrap_err();
    assert!(said.to_string().contains("): Unsigned by"), "{said}");
    let maps = Api::<ConfigMap>::namespaced(story.client.clone(), OPERATOR_NAMESPACE);
    let shown = format!("{:?}", maps.get("charttrust-seal").await.unwrap());
    assert!(
        shown.contains(&key.name) && !shown.contains("canary-2b7d"),
        "{shown}"
    );

    let gone = secrets.delete(&key.name, &DeleteParams::default()).await;
    story.done("delete the Secret", gone.map(drop));
    eventually(SOON, "without it nobody can tell", async || {
        let refused = story.try_install("bare", &bare).await;
        let said = refused.expect_err("it is refused").to_string();
        if said.contains("): Pending by") && said.contains("the operator does not show its key") {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
}
