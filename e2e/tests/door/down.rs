//! The webhook does not answer, or the glass is broken: nobody is held up, and no release is left half made.

use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, SOON};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::setup::{heard, mode, records, story_alone, with_both_helms};

with_both_helms! {
    without_an_answer_everything_goes_in_and_is_whole
    a_broken_glass_lets_everything_in_and_says_so
}

async fn without_an_answer_everything_goes_in_and_is_whole(version: Version) {
    let (story, mut door) = story_alone("down", version).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("strict", &[&key], mode("Enforce")).await;
    heard(&story, &policy).await;
    let unsigned = story.publish(&Source::new("bare", "1.0.0"), None).await;
    door.freeze();
    let installed = story.try_install("bare", &unsigned).await;
    door.thaw();
    story.done("install while nobody answers", installed);
    assert_eq!(records(&story, "bare").await, ["deployed"]);
    // What went in unseen is seen by the operator.
    story.expect("bare", "Unsigned").await;
    door.ready().await;
    let newer = story.publish(&Source::new("bare", "1.1.0"), None).await;
    let said = story
        .try_upgrade("bare", &newer)
        .await
        .unwrap_err()
        .to_string();
    assert!(said.contains("Unsigned"), "{said}");
    assert_eq!(records(&story, "bare").await, ["deployed"]);
}

async fn a_broken_glass_lets_everything_in_and_says_so(version: Version) {
    let (story, door) = story_alone("glass", version).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("strict", &[&key], mode("Enforce")).await;
    heard(&story, &policy).await;
    let unsigned = story.publish(&Source::new("bare", "1.0.0"), None).await;
    let until = Timestamp::now() + SignedDuration::from_hours(1);
    annotate(&story.client, Some(&until.to_string())).await;
    let archive = unsigned.archive.to_string_lossy().into_owned();
    let install = ["install", "bare", &archive, "--namespace", &story.namespace];
    eventually(SOON, "everything is let in", async || {
        let said = story
            .helm
            .told(&install)
            .await
            .map_err(|error| error.to_string())?;
        if said.contains("nothing is checked until") {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    assert!(
        door.metrics()
            .await
            .unwrap()
            .contains("charttrust_admission_break_glass 1")
    );
    // Too far ahead is forgotten too easily.
    let later = Timestamp::now() + SignedDuration::from_hours(25);
    annotate(&story.client, Some(&later.to_string())).await;
    eventually(SOON, "it is closed again", async || {
        match story.try_install("more", &unsigned).await {
            Err(error) if error.to_string().contains("Unsigned") => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(()) => {
                let gone = story.helm.uninstall(&story.namespace, "more").await;
                Err(format!("it went in; {gone:?}"))
            }
        }
    })
    .await;
    annotate(&story.client, None).await;
}

pub(crate) async fn annotate(client: &kube::Client, until: Option<&str>) {
    let api = Api::<Namespace>::all(client.clone());
    let change = json!({"metadata": {"annotations": {"charttrust.io/break-glass-until": until}}});
    let patched = api
        .patch(
            OPERATOR_NAMESPACE,
            &PatchParams::default(),
            &Patch::Merge(change),
        )
        .await;
    patched.unwrap();
}
