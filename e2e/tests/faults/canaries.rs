//! I11: what is secret is told nowhere, whatever goes wrong with it.

use charttrust::api::{ChartTrustPolicy, TrustedKey};
use charttrust_e2e::auditor;
use charttrust_e2e::eventually;
use charttrust_e2e::operator::binary;
use charttrust_e2e::record;
use charttrust_e2e::stage::{
    OPERATOR_NAMESPACE, Opening, SOON, Scene,
    workloads::{CANARY, automatic, chart},
};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::{Failing, WHILE, failing};

/// Part of everything that is secret here.
const SECRET: &str = "canary";

/// Every form in which credentials can lie in a Secret, good and broken.
fn logins() -> Vec<(&'static str, Value)> {
    let auth = base64("canary-user:canary-password");
    let docker = |text: String| json!({".dockerconfigjson": text});
    vec![
        (
            "basic",
            json!({"username": "canary-user", "password": "canary-password"}),
        ),
        ("half", json!({"password": "canary-password"})),
        (
            "odd",
            json!({"username": "canary\nuser", "password": "canary\u{0}password"}),
        ),
        ("bearer", json!({"bearerToken": "canary-token"})),
        ("line", json!({"bearerToken": "canary\r\nX-Canary: token"})),
        (
            "pem",
            json!({"tls.crt": "-----BEGIN CERTIFICATE-----\ncanary\n", "tls.key": "canary-key"}),
        ),
        ("garbled", docker("{\"auths\": {\"a\": canary".to_owned())),
        ("listed", docker("{\"auths\": [\"canary\"]}".to_owned())),
        (
            "typed",
            docker("{\"auths\": {\"127.0.0.1\": \"canary\"}}".to_owned()),
        ),
        (
            "docker",
            docker(json!({"auths": {"127.0.0.1": {"auth": auth}}}).to_string()),
        ),
        (
            "helper",
            docker(json!({"auths": {}, "credHelpers": {"127.0.0.1": "canary"}}).to_string()),
        ),
    ]
}

fn base64(text: &str) -> String {
    use ::base64::Engine as _;
    ::base64::prelude::BASE64_STANDARD.encode(text)
}

/// Logins that are good, refused and broken; a key's Secret that holds no key; records that are garbled; and what
/// repositories answer instead.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_told_whatever_goes_wrong() {
    let failing = failing().await;
    let start = failing.stage.cluster.mark();
    let scene = Opening::of_every_kind("secret")
        .with_quarantine(automatic())
        .declared(failing.stage.cluster)
        .await;
    let published = scene.publish(&chart("1.0.0"), Some(&scene.key)).await;
    let values = [
        "--set-string",
        "password=canary-value,nested.token=canary-nested",
    ];
    let archive = published.archive.to_string_lossy();
    let installed = scene
        .helm
        .install(&scene.namespace, "web", &archive, &values)
        .await;
    scene.done("install web", installed);
    scene.expect("web", "SignatureVerified").await;

    keys(&scene).await;
    records(&scene).await;
    // Before a login is wanted.
    answers(&scene).await;
    sources(&scene).await;
    // And what is told while something is contained, refused and put back.
    let behaves = json!({"spec": {"rules": [scene.rule("*", &[&scene.key], json!({}))]}});
    scene
        .patch::<ChartTrustPolicy>(&scene.policy, behaves)
        .await;
    scene.repository.behave();
    scene.expect("web", "SignatureVerified").await;
    failing.proxy.refuse(Some(500));
    scene.revoke().await;
    failing.lives(WHILE).await;
    failing.proxy.behave();
    scene.contained("web").await;
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    failing.stage.restart().await;
    scene.expect("web", "SignatureVerified").await;
    nothing_was_told(&failing, &scene, start).await;
}

async fn secret(scene: &Scene, name: &str, data: &Value) {
    let api = Api::<Secret>::namespaced(scene.client.clone(), OPERATOR_NAMESPACE);
    let object: Secret =
        serde_json::from_value(json!({"metadata": {"name": name}, "stringData": data})).unwrap();
    let created = api.create(&PostParams::default(), &object).await;
    drop(scene.done(&format!("create the Secret {name}"), created));
}

/// A Secret is named as the material of a key, and holds another secret.
async fn keys(scene: &Scene) {
    let name = format!("{}-material", scene.namespace);
    for (number, text) in [
        "canary-password",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\ncanary\n",
    ]
    .iter()
    .enumerate()
    {
        let secret_name = format!("{name}-{number}");
        secret(scene, &secret_name, &json!({"key": text})).await;
        let spec = json!({
            "fingerprint": scene.key.key.fingerprint,
            "publicKey": {"secretRef": {"name": secret_name, "key": "key"}},
        });
        let key = format!("{name}-{number}");
        scene.apply::<TrustedKey>(&key, spec).await;
        eventually(SOON, "the key says that it cannot be used", async || {
            let object = scene
                .keys()
                .get_status(&key)
                .await
                .map_err(|error| error.to_string())?;
            let status = serde_json::to_value(object.status).map_err(|error| error.to_string())?;
            let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
            let is_unusable = |one: &Value| one["type"] == "Ready" && one["status"] == "False";
            if conditions.iter().any(is_unusable) {
                Ok(())
            } else {
                Err(status.to_string())
            }
        })
        .await;
        scene.delete::<TrustedKey>(&key).await;
    }
}

type Change = fn(&mut Value);

/// Records of which each layer is broken where a value stands.
async fn records(scene: &Scene) {
    let secrets = Api::<Secret>::namespaced(scene.client.clone(), &scene.namespace);
    let template = secrets.get("sh.helm.release.v1.web.v1").await.unwrap();
    let changes: [(&str, Change); 4] = [
        ("typed", |record| record["chart"] = json!("canary-password")),
        ("listed", |record| {
            record["config"] = json!(["canary-password"]);
        }),
        ("unnamed", |record| {
            record["chart"]["metadata"] = json!({"name": ["canary-password"]});
        }),
        ("garbled", |record| {
            record["manifest"] = json!("password: canary\n\t- {canary: [\n---\n");
        }),
    ];
    for (name, change) in changes {
        let copy = record::copy(&template, name, change).unwrap();
        scene.done(
            "write a record",
            secrets.create(&PostParams::default(), &copy).await,
        );
        eventually(SOON, "it is judged", async || {
            scene
                .trusts()
                .get_status(name)
                .await
                .map(drop)
                .map_err(|error| error.to_string())
        })
        .await;
    }
    let plain = |text: &str| ByteString(text.as_bytes().to_vec());
    for (name, payload) in [
        ("plain", "canary-password"),
        ("json", "{\"name\": \"canary-password\""),
    ] {
        let mut copy = record::copy(&template, name, |_| {}).unwrap();
        copy.data = Some([("release".to_owned(), plain(payload))].into());
        scene.done(
            "write a record",
            secrets.create(&PostParams::default(), &copy).await,
        );
        scene.expect(name, "ReleaseUnreadable").await;
    }
}

/// Every login, where it is wanted and where it is refused.
async fn sources(scene: &Scene) {
    scene.repository.require_login("somebody", "else");
    for (name, data) in logins() {
        let name = format!("{}-{name}", scene.namespace);
        secret(scene, &name, &data).await;
        let urls = [
            scene.repository.url(),
            scene.repository.url().replace("http://", "oci://"),
        ];
        for url in urls {
            let source = json!({"url": url, "credentialsSecretRef": {"name": name}});
            let rule = scene.rule("*", &[&scene.key], json!({"sources": [source]}));
            asked(scene, rule).await;
        }
    }
    let name = format!("{}-ca", scene.namespace);
    secret(
        scene,
        &name,
        &json!({"ca.crt": "-----BEGIN CERTIFICATE-----\ncanary"}),
    )
    .await;
    let source = json!({"url": scene.repository.url(), "caRef": {"kind": "Secret", "name": name}});
    asked(
        scene,
        scene.rule("*", &[&scene.key], json!({"sources": [source]})),
    )
    .await;
}

/// What a repository answers instead may hold what it knows of its askers.
async fn answers(scene: &Scene) {
    let index = |text: &str| scene.repository.put("index.yaml", text).unwrap();
    for text in [
        "password: canary\n\t- {",
        "apiVersion: v1\nentries: canary-password\n",
        "apiVersion: v1\nentries:\n  web: [canary-password, 5]\n",
        "apiVersion: v1\nentries:\n  web:\n  - {version: 1.0.0, urls: ['https://u:canary@127.0.0.1/web.tgz?token=canary']}\n",
        "{\"token\": \"canary-password\"",
    ] {
        index(text);
        asked(scene, scene.rule("*", &[&scene.key], json!({}))).await;
    }
}

/// Gives the policy a rule, and waits until a look at its source has ended.
async fn asked(scene: &Scene, rule: Value) {
    let before = scene.repository.requests().len();
    let change = json!({"spec": {"interval": "1s", "rules": [rule]}});
    scene.patch::<ChartTrustPolicy>(&scene.policy, change).await;
    let request =
        json!({"metadata": {"annotations": {"charttrust.io/requestedAt": before.to_string()}}});
    let params = PatchParams::default();
    let patched = scene
        .policies()
        .patch(&scene.policy, &params, &Patch::Merge(request))
        .await;
    drop(scene.done("ask for a look", patched));
    eventually(SOON, "the look has ended", async || {
        let policy = scene.policies().get_status(&scene.policy).await;
        let status = policy.map_err(|error| error.to_string())?.status;
        let handled = status.and_then(|status| status.last_handled_reconcile_at);
        if handled.as_deref() == Some(&before.to_string()) {
            Ok(())
        } else {
            Err(format!("{handled:?}"))
        }
    })
    .await;
}

async fn nothing_was_told(failing: &Failing, scene: &Scene, start: charttrust_e2e::audit::Mark) {
    failing.stage.at_rest(&scene.namespace).await;
    let events = failing.stage.cluster.asked_since(start);
    let log = failing.stage.operator(|operator| operator.log());
    let url = failing.stage.operator(|operator| operator.metrics_url());
    let metrics = reqwest::get(url).await.unwrap().text().await.unwrap();
    let mut told = vec![("log".to_owned(), log), ("metrics".to_owned(), metrics)];
    for arguments in [
        &["status", "-A"][..],
        &["doctor"],
        &["why", "-n", &scene.namespace, "web"],
    ] {
        for output in ["text", "json"] {
            let printed = printed(failing, &[arguments, &["-o", output]].concat()).await;
            assert!(!printed.is_empty(), "{arguments:?}");
            told.push((arguments.join(" "), printed));
        }
    }
    let told: Vec<_> = told
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let us = [failing.stage.identity.user()];
    let encoded = base64(SECRET);
    let words = [SECRET, CANARY, encoded.trim_end_matches('=')];
    assert_eq!(auditor::leaks(&events, &us, &told, &words), []);
}

async fn printed(failing: &Failing, arguments: &[&str]) -> String {
    let mut command = tokio::process::Command::new(binary());
    command
        .args(arguments)
        .env("KUBECONFIG", failing.stage.cluster.kubeconfig())
        .stdin(std::process::Stdio::null());
    let output = command.output().await.unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}
