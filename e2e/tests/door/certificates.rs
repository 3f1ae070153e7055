//! The certificates of the webhook on a real API server: made, mended, and nothing more than that.

use charttrust::controllers::webhook::{AUTHORITY, SHOWN};
use charttrust_e2e::charts::Source;
use charttrust_e2e::door::NAME;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, SOON};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::setup::{front, heard, mode, records, story};

fn configurations(client: &Client) -> Api<ValidatingWebhookConfiguration> {
    Api::all(client.clone())
}

pub(crate) async fn bundle(client: &Client) -> Vec<u8> {
    let known = configurations(client).get(NAME).await.unwrap();
    let webhook = known.webhooks.unwrap().remove(0);
    webhook
        .client_config
        .ca_bundle
        .unwrap_or(ByteString(Vec::new()))
        .0
}

/// The certificates of a bundle.
fn parts(bundle: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bundle);
    let parts = text.split_inclusive("-----END CERTIFICATE-----");
    parts.map(|part| part.trim().to_owned()).collect()
}

/// The newest one.
fn first(bundle: &[u8]) -> String {
    parts(bundle).swap_remove(0)
}

async fn change(client: &Client, change: Value) -> kube::Result<()> {
    let patch = serde_json::from_value(json!([change])).unwrap();
    let patch = Patch::<()>::Json(patch);
    configurations(client)
        .patch(NAME, &PatchParams::default(), &patch)
        .await
        .map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_or_changed_by_hand_is_mended_and_no_answer_is_missing() {
    let (story, _door) = story("certificates", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("strict", &[&key], mode("Enforce")).await;
    heard(&story, &policy).await;
    let unsigned = story.publish(&Source::new("bare", "1.0.0"), None).await;
    let is_asked = async || {
        let said = story
            .try_install("bare", &unsigned)
            .await
            .unwrap_err()
            .to_string();
        assert!(said.contains("Unsigned"), "{said}");
        assert!(records(&story, "bare").await.is_empty());
    };
    let before = bundle(&story.client).await;
    assert!(!before.is_empty());

    let secrets = Api::<Secret>::namespaced(story.client.clone(), OPERATOR_NAMESPACE);
    for lost in [SHOWN, AUTHORITY] {
        secrets
            .delete(lost, &DeleteParams::default())
            .await
            .unwrap();
        is_asked().await;
        eventually(SOON, "it is made anew", async || {
            secrets.get(lost).await.map(drop).map_err(|e| e.to_string())
        })
        .await;
        is_asked().await;
    }
    eventually(SOON, "both authorities are believed", async || {
        let now = bundle(&story.client).await;
        // What lay in the authority's Secret from before is gone with it.
        let (now_newest, newest) = (first(&now), first(&before));
        let are_both = now_newest != newest && parts(&now).contains(&newest);
        are_both
            .then_some(())
            .ok_or_else(|| String::from_utf8_lossy(&now).into_owned())
    })
    .await;
    is_asked().await;

    let right = bundle(&story.client).await;
    let wrong = json!({"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"});
    change(&story.client, wrong).await.unwrap();
    eventually(SOON, "it is mended", async || {
        let now = bundle(&story.client).await;
        (now == right)
            .then_some(())
            .ok_or_else(|| String::from_utf8_lossy(&now).into_owned())
    })
    .await;
    heard(&story, &policy).await;
    is_asked().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fence_lets_the_operator_change_nothing_but_whom_to_believe() {
    let front = front().await;
    let _door = front.door.lock().await;
    let operator = front.stage.identity.client().await.unwrap();
    for (path, value) in [
        ("/webhooks/0/failurePolicy", json!("Fail")),
        ("/webhooks/0/timeoutSeconds", json!(30)),
        (
            "/webhooks/0/clientConfig/url",
            json!("https://evil.example/"),
        ),
        ("/webhooks/0/rules/0/operations", json!(["*"])),
        ("/webhooks/0/matchConditions", json!([])),
        ("/webhooks/0/namespaceSelector", json!({})),
        ("/webhooks/0/sideEffects", json!("NoneOnDryRun")),
        ("/metadata/annotations", json!({"a": "b"})),
        ("/metadata/labels", json!({"a": "b"})),
    ] {
        let tried = change(
            &operator,
            json!({"op": "add", "path": path, "value": value}),
        )
        .await;
        let said = tried.expect_err(path).to_string();
        assert!(said.contains("the operator changes"), "{path}: {said}");
    }
    let known = bundle(&operator).await;
    let mut other = known.clone();
    other.extend_from_slice(b"\n");
    let same = json!({"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": ByteString(other)});
    change(&operator, same).await.unwrap();
}
