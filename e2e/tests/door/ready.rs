//! What policies, events, `doctor` and `policy preview` say of the webhook.

use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::operator::binary;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, SOON};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde_json::Value;
use tokio::sync::RwLockWriteGuard;

use crate::down::annotate;
use crate::setup::{front, heard, mode, story};

/// Runs a command of the real binary as the administrator, for JSON.
pub(crate) async fn charttrust(arguments: &[&str]) -> (Option<i32>, Value) {
    let mut command = tokio::process::Command::new(binary());
    command
        .args(arguments)
        .args(["--operator-namespace", OPERATOR_NAMESPACE, "-o", "json"])
        .env("KUBECONFIG", front().await.stage.cluster.kubeconfig());
    let output = command.output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = serde_json::from_slice(&output.stdout);
    (
        output.status.code(),
        json.unwrap_or_else(|error| panic!("{error}: {told}")),
    )
}

async fn line(check: &str) -> Option<(String, String)> {
    let (_, report) = charttrust(&["doctor"]).await;
    let all = report["checks"].as_array().unwrap();
    let found = all.iter().find(|one| one["check"] == check)?;
    let part = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    Some((part("state"), part("message")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_and_doctor_say_whether_api_servers_are_answered() {
    let (story, door) = story("ready", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("strict", &[&key], mode("Enforce")).await;
    let policies = story.policies();
    story
        .expect_condition(&policies, &policy, "WebhookReady=True/WebhookAnswered")
        .await;
    let (state, said) = line("webhook").await.unwrap();
    assert_eq!(state, "ok", "{said}");
    let (state, said) = line("its certificate").await.unwrap();
    assert_eq!(state, "ok", "{said}");
    assert_eq!(line("break-glass").await, None);

    drop(door);
    let mut door = front().await.door.write().await;
    door.freeze();
    story
        .expect_condition(&policies, &policy, "WebhookReady=False/WebhookUnreachable")
        .await;
    let (_, report) = charttrust(&["doctor"]).await;
    assert!(
        report
            .to_string()
            .contains("WebhookReady=False, WebhookUnreachable"),
        "{report}"
    );
    door.thaw();
    let door = RwLockWriteGuard::downgrade(door);
    story
        .expect_condition(&policies, &policy, "WebhookReady=True/WebhookAnswered")
        .await;
    drop(door);

    let door = front().await.door.write().await;
    let until = (Timestamp::now() + SignedDuration::from_hours(1)).to_string();
    annotate(&story.client, Some(&until)).await;
    story
        .expect_condition(&policies, &policy, "WebhookReady=False/BreakGlass")
        .await;
    let events = Api::<Event>::namespaced(story.client.clone(), "default");
    eventually(SOON, "an event tells it", async || {
        let all = events.list(&ListParams::default()).await;
        let all = all.map_err(|error| error.to_string())?.items;
        let is_it = |one: &&Event| {
            let about = one.regarding.as_ref().and_then(|it| it.name.as_deref());
            one.reason.as_deref() == Some("BreakGlass") && about == Some(OPERATOR_NAMESPACE)
        };
        let found = all.iter().find(is_it).ok_or("none")?;
        let note = found.note.clone().unwrap_or_default();
        note.contains("let in unchecked").then_some(()).ok_or(note)
    })
    .await;
    let (state, said) = line("break-glass").await.unwrap();
    assert_eq!(state, "warning", "{said}");
    annotate(&story.client, None).await;
    let _door = RwLockWriteGuard::downgrade(door);
    story
        .expect_condition(&policies, &policy, "WebhookReady=True/WebhookAnswered")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn preview_names_the_revisions_that_would_have_been_refused() {
    let (story, _door) = story("since", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("strict", &[&key], mode("Audit")).await;
    for (version, key) in [
        ("1.0.0", Some(&key)),
        ("1.1.0", None),
        ("1.2.0", Some(&key)),
    ] {
        let chart = story.publish(&Source::new("web", version), key).await;
        let archive = chart.archive.to_string_lossy().into_owned();
        let verb = if version == "1.0.0" {
            "install"
        } else {
            "upgrade"
        };
        let done = [verb, "web", &archive, "--namespace", &story.namespace];
        story.done("deploy a revision", story.helm.run(&done).await);
    }
    story.expect("web", "SignatureVerified").await;
    let preview = ["policy", "preview", &policy, "--mode", "Enforce", "--since"];
    let hosts = ["--allow-host", "127.0.0.1"];
    let (code, told) = charttrust(&[&preview[..], &["1h"], &hosts].concat()).await;
    let (door, past) = (&told["atDoor"], &told["past"]);
    assert_eq!((code, &door["silent"]), (Some(1), &1.into()), "{told}");
    assert_eq!(
        (&past["silent"], &past["caveats"]),
        (&2.into(), &serde_json::json!([])),
        "{told}"
    );
    let refused = past["refused"].as_array().unwrap();
    assert_eq!(refused.len(), 1, "{told}");
    assert_eq!(
        (&refused[0]["release"], &refused[0]["revision"]),
        (&"web".into(), &2.into())
    );
    let said = refused[0]["text"].as_str().unwrap();
    assert!(
        said.contains("(chart web 1.1.0): Unsigned by policy"),
        "{said}"
    );
    // All of them are older than that.
    let (code, told) = charttrust(&[&preview[..], &["0s"], &hosts].concat()).await;
    assert_eq!(
        (code, &told["past"]["silent"]),
        (Some(0), &0.into()),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_preview_foretells_is_what_the_webhook_says() {
    let (story, _door) = story("foretold", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("strict", &[&key], mode("Audit")).await;
    let signed = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let bare = story.publish(&Source::new("bare", "1.0.0"), None).await;
    story.install("web", &signed).await;
    story.install("bare", &bare).await;
    story.expect("web", "SignatureVerified").await;
    story.expect("bare", "Unsigned").await;

    let (code, told) = charttrust(&["policy", "preview", &policy, "--mode", "Enforce"]).await;
    let door = &told["atDoor"];
    assert_eq!(code, Some(1), "{told}");
    assert_eq!(door["silent"], 1, "{told}");
    assert_eq!(door["refused"].as_array().unwrap().len(), 1, "{told}");
    let text = door["refused"][0]["text"].as_str().unwrap().to_owned();
    let (code, told) = charttrust(&["policy", "preview", &policy, "--mode", "Warn"]).await;
    let warned = told["atDoor"]["warned"][0]["text"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(code, Some(0), "{told}");

    let change = serde_json::json!({"spec": {"mode": "Warn"}});
    story
        .patch::<charttrust::api::ChartTrustPolicy>(&policy, change)
        .await;
    heard(&story, &policy).await;
    let archive = bare.archive.to_string_lossy().into_owned();
    let upgrade = ["upgrade", "bare", &archive, "--namespace", &story.namespace];
    let said = story.done("upgrade what is unsigned", story.helm.told(&upgrade).await);
    assert!(said.contains(&warned), "{said}, and not {warned}");
    let change = serde_json::json!({"spec": {"mode": "Enforce"}});
    story
        .patch::<charttrust::api::ChartTrustPolicy>(&policy, change)
        .await;
    eventually(
        SOON,
        "it is refused in the words that were foretold",
        async || match story.try_upgrade("bare", &bare).await {
            Ok(()) => Err("it went in".to_owned()),
            Err(error) if error.to_string().contains(&text) => Ok(()),
            Err(error) => Err(format!("{error}, and not {text}")),
        },
    )
    .await;
    story.upgrade("web", &signed).await;
}
