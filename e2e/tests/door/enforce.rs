//! Mode Enforce: what is not trusted is not installed, and nothing of it is left.

use charttrust::api::TrustedKey;
use charttrust_e2e::charts::Source;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::Story;
use serde_json::json;

use crate::setup::{heard, mode, records, story, with_both_helms};

with_both_helms! {
    a_trusted_chart_goes_in_and_an_unsigned_one_does_not
    an_upgrade_to_what_is_not_signed_leaves_what_runs
    a_stolen_key_opens_no_door_and_closes_none_to_uninstall
    what_differs_from_what_was_signed_does_not_go_in
    records_in_config_maps_are_asked_about_too
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

async fn an_upgrade_to_what_is_not_signed_leaves_what_runs(version: Version) {
    let (story, _door) = story("upgrade", version).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("strict", &[&key], mode("Enforce")).await;
    heard(&story, &policy).await;
    let signed = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.install("web", &signed).await;
    let unsigned = story.publish(&Source::new("web", "1.1.0"), None).await;
    let said = story
        .try_upgrade("web", &unsigned)
        .await
        .unwrap_err()
        .to_string();
    assert!(said.contains("Unsigned"), "{said}");
    assert_eq!(records(&story, "web").await, ["deployed"]);

    // A dry run makes no record, and is not asked about.
    let archive = unsigned.archive.to_string_lossy().into_owned();
    let dry = story
        .helm
        .upgrade(&story.namespace, "web", &archive, &["--dry-run=server"]);
    story.done("dry-run the upgrade", dry.await);

    let newer = story
        .publish(&Source::new("web", "1.2.0"), Some(&key))
        .await;
    story.upgrade("web", &newer).await;
    let back = story.helm.rollback(&story.namespace, "web", 1).await;
    story.done("roll back to what is signed", back);
    assert_eq!(
        records(&story, "web").await,
        ["superseded", "superseded", "deployed"]
    );
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

async fn what_differs_from_what_was_signed_does_not_go_in(version: Version) {
    let (story, _door) = story("tampered", version).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("strict", &[&key], mode("Enforce")).await;
    heard(&story, &policy).await;
    story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    // Of the same name and version, and not what was published.
    let other = Source::new("web", "1.0.0").with_file(
        "templates/more.yaml",
        "kind: ConfigMap\napiVersion: v1\nmetadata: {name: more}\n",
    );
    let other = story.package(&other, None).await;
    let said = refused(&story, "web", &other).await;
    assert!(said.contains("ContentMismatch"), "{said}");
    assert!(records(&story, "web").await.is_empty());
}

async fn records_in_config_maps_are_asked_about_too(version: Version) {
    let (mut story, _door) = story("driver", version).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("strict", &[&key], mode("Enforce")).await;
    heard(&story, &policy).await;
    let helm = charttrust_e2e::helm::Helm::new(version).unwrap();
    let cluster = crate::setup::front().await.stage.cluster;
    story.helm = helm.on(cluster.kubeconfig()).storing_in("configmap");
    let unsigned = story.publish(&Source::new("bare", "1.0.0"), None).await;
    let said = refused(&story, "bare", &unsigned).await;
    assert!(said.contains("Unsigned"), "{said}");
    assert!(records(&story, "bare").await.is_empty());
    let signed = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.install("web", &signed).await;
    assert_eq!(records(&story, "web").await, ["deployed"]);
}
