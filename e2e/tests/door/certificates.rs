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

use crate::setup::{front, heard, mode, records, said_by_kubectl, story};

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
    let (story, door) = story("certificates", Version::V4).await;
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

    // Until it is mended nobody is asked.
    drop(door);
    let _door = front().await.door.write().await;
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
    let _door = front.door.read().await;
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
        (
            "/webhooks/0/objectSelector",
            json!({"matchLabels": {"a": "b"}}),
        ),
        ("/webhooks/0/matchPolicy", json!("Exact")),
        (
            "/webhooks/0/admissionReviewVersions",
            json!(["v1", "v1beta1"]),
        ),
        ("/webhooks/0/sideEffects", json!("NoneOnDryRun")),
        ("/webhooks/-", webhook("more.example.com")),
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
    let fewer = json!({"op": "remove", "path": "/webhooks/1"});
    let said = change(&operator, fewer).await.unwrap_err().to_string();
    assert!(said.contains("the operator changes"), "{said}");
}

fn webhook(name: &str) -> Value {
    json!({
        "name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "clientConfig": {"url": "https://evil.example/"},
    })
}

/// Whatever rights somebody gives it besides: of a kind that would have Secrets of the whole cluster sent elsewhere it
/// makes none, and deletes none.
#[tokio::test(flavor = "multi_thread")]
async fn the_fence_has_the_operator_make_and_delete_no_configuration() {
    let front = front().await;
    let _door = front.door.read().await;
    let user = format!("--as={}", front.stage.identity.user());
    let tried = async |arguments: &[&str]| {
        let all = [&user, "--as-group=system:masters", "--dry-run=server"];
        said_by_kubectl(&[arguments, &all].concat()).await
    };
    for kind in [
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    ] {
        let object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
            "metadata": {"name": "other"}, "webhooks": [webhook("other.example.com")],
        });
        let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
        std::fs::write(file.path(), object.to_string()).unwrap();
        let path = file.path().to_string_lossy().into_owned();
        let said = tried(&["create", "-f", &path]).await;
        assert!(
            said.contains("changes one ValidatingWebhookConfiguration only"),
            "{kind}: {said}"
        );
    }
    let said = tried(&["delete", "validatingwebhookconfiguration", NAME]).await;
    assert!(
        said.contains("changes one ValidatingWebhookConfiguration only"),
        "{said}"
    );
}
