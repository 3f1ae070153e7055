//! Mode Enforce: what is not trusted is not installed, and nothing of it is left. Each operation is in the table.

use charttrust::api::TrustedKey;
use charttrust_e2e::charts::Source;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::Story;
use serde_json::json;

use crate::setup::{heard, mode, records, story, with_both_helms};

with_both_helms! {
    a_trusted_chart_goes_in_and_an_unsigned_one_does_not
    a_stolen_key_opens_no_door_and_closes_none_to_uninstall
}

/// What Helm says when it is refused.
async fn refused(story: &Story, release: &str, chart: &charttrust_e2e::charts::Chart) -> String {
    let refused = story.try_install(release, chart).await;
    let said = refused.expect_err("it is refused").to_string();
    assert!(
        said.contains(r#"admission webhook "releases.charttrust.io" denied the request"#),
        "{said}"
    );
    said
}

async fn a_trusted_chart_goes_in_and_an_unsigned_one_does_not(version: Version) {
    let (story, _door) = story("enforce", version).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("strict", &[&key], mode("Enforce")).await;
    heard(&story, &policy).await;

    let signed = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.install("web", &signed).await;
    assert_eq!(records(&story, "web").await, ["deployed"]);
    story.expect("web", "SignatureVerified").await;

    let unsigned = story.publish(&Source::new("bare", "1.0.0"), None).await;
    let said = refused(&story, "bare", &unsigned).await;
    let told = format!(
        "release {}/bare (chart bare 1.0.0): Unsigned by policy {policy}, rule all",
        story.namespace
    );
    assert!(
        said.contains(&told) && said.contains("charttrust explain Unsigned"),
        "{said}"
    );
    assert!(records(&story, "bare").await.is_empty());

    // Once it is signed, the same name goes in.
    let mended = story
        .publish(&Source::new("bare", "1.0.1"), Some(&key))
        .await;
    story.install("bare", &mended).await;
    assert_eq!(records(&story, "bare").await, ["deployed"]);
}

async fn a_stolen_key_opens_no_door_and_closes_none_to_uninstall(version: Version) {
    let (story, _door) = story("stolen", version).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("strict", &[&key], mode("Enforce")).await;
    heard(&story, &policy).await;
    let signed = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.install("web", &signed).await;
    let stolen = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story.patch::<TrustedKey>(&key.name, stolen).await;
    story.expect("web", "KeyCompromised").await;
    charttrust_e2e::eventually(
        charttrust_e2e::stage::SOON,
        "the webhook knows of the theft",
        async || {
            let archive = signed.archive.to_string_lossy();
            let installed = story
                .helm
                .install(&story.namespace, "again", &archive, &[])
                .await;
            match installed {
                Err(error) if error.to_string().contains("KeyCompromised") => Ok(()),
                Err(error) => Err(error.to_string()),
                Ok(()) => {
                    let gone = story.helm.uninstall(&story.namespace, "again").await;
                    Err(format!("it went in; {gone:?}"))
                }
            }
        },
    )
    .await;
    assert!(records(&story, "again").await.is_empty());
    let gone = story.helm.uninstall(&story.namespace, "web").await;
    story.done("uninstall what runs", gone);
    assert!(records(&story, "web").await.is_empty());
}
