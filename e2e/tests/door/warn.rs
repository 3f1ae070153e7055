//! What cannot be told, by mode. What becomes of everything else, the table shows.

use charttrust_e2e::charts::Source;
use charttrust_e2e::helm::Version;
use serde_json::json;

use crate::setup::{heard, records, story, with_both_helms};

with_both_helms! {
    what_cannot_be_told_goes_in_with_a_warning_or_waits
}

async fn what_cannot_be_told_goes_in_with_a_warning_or_waits(version: Version) {
    let (story, _door) = story("unknown", version).await;
    let key = story.trusted_key("platform").await;
    let nowhere = json!({
        "mode": "Enforce",
        "rules": [story.rule("*", &[&key], json!({"sources": [{"url": "http://127.0.0.1:9"}]}))],
    });
    let policy = story.policy("strict", &[&key], nowhere.clone()).await;
    heard(&story, &policy).await;
    let chart = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let archive = chart.archive.to_string_lossy().into_owned();
    let install = ["install", "web", &archive, "--namespace", &story.namespace];
    let said = story.done("install what is unknown", story.helm.told(&install).await);
    assert!(
        said.contains("was not checked: SourceUnavailable"),
        "{said}"
    );
    assert_eq!(records(&story, "web").await, ["deployed"]);

    let mut strict = nowhere;
    strict["admission"] = json!({"onUnknown": "Deny"});
    story.policy("strict", &[&key], strict).await;
    charttrust_e2e::eventually(
        charttrust_e2e::stage::SOON,
        "the webhook has heard of it",
        async || match story.try_install("other", &chart).await {
            Err(error) if error.to_string().contains("onUnknown: Deny") => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(()) => {
                let gone = story.helm.uninstall(&story.namespace, "other").await;
                Err(format!("it went in; {gone:?}"))
            }
        },
    )
    .await;
    assert!(records(&story, "other").await.is_empty());
}
