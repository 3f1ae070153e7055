//! What whoever may write in one namespace makes of it for everybody.

use charttrust_e2e::charts::Source;
use charttrust_e2e::helm::Version;
use charttrust_e2e::process::{memory, reset_peak};
use charttrust_e2e::stage::Story;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::setup::{stage, story};

const MIB: usize = 1 << 20;

/// M1. With all rights in his namespace that a cluster gives there, he makes none of what decides.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_adds_no_signer_and_no_policy_and_lifts_nothing() {
    let story = story("tenant", Version::V4).await;
    let key = story.trusted_key("platform").await;
    story.policy("policy", &[&key], json!({})).await;
    let own = story.make_key("own");
    let chart = Source::new("web", "1.0.0");
    let chart = story.publish(&chart, Some(&own)).await;
    story.install("web", &chart).await;
    story.expect("web", "SignerNotTrusted").await;
    let client = tenant(&story).await;
    let spec =
        json!({"fingerprint": own.key.fingerprint, "publicKey": {"inline": story.public(&own)}});
    let objects = [
        ("trustedkeys", "TrustedKey", spec),
        ("trustedidentities", "TrustedIdentity", json!({})),
        (
            "charttrustpolicies",
            "ChartTrustPolicy",
            json!({"rules": []}),
        ),
    ];
    for (plural, kind, spec) in objects {
        let object = json!({"apiVersion": "charttrust.io/v1alpha1", "kind": kind,
            "metadata": {"name": format!("{}-mine", story.namespace)}, "spec": spec});
        let path = format!("/apis/charttrust.io/v1alpha1/{plural}");
        assert_eq!(
            refused(&client, "POST", &path, &object).await,
            403,
            "{kind}"
        );
        let path = format!("{path}/{}", key.name);
        assert_eq!(
            refused(&client, "DELETE", &path, &json!({})).await,
            403,
            "{kind}"
        );
    }
    let path = format!(
        "/apis/charttrust.io/v1alpha1/namespaces/{}",
        story.namespace
    );
    for (method, kind) in [
        ("DELETE", "releasetrusts/web"),
        ("DELETE", "quarantines/web"),
        ("POST", "quarantines"),
    ] {
        let path = format!("{path}/{kind}");
        assert_eq!(
            refused(&client, method, &path, &json!({})).await,
            403,
            "{method} {kind}"
        );
    }
    story.expect("web", "SignerNotTrusted").await;
}

/// A client with the role `admin` of the cluster in the story's namespace.
async fn tenant(story: &Story) -> kube::Client {
    let cluster = stage().await.cluster;
    let identity = cluster.identity(&story.namespace, "tenant").await.unwrap();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "tenant", "namespace": story.namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "tenant", "namespace": story.namespace}],
    });
    let bound = charttrust_e2e::stage::apply(cluster.kubeconfig(), &[binding]).await;
    story.done("give the tenant his rights", bound);
    let client = identity.client().await.unwrap();
    // The token is good without the file that goes with it.
    let secrets = Api::<Secret>::namespaced(client.clone(), &story.namespace);
    charttrust_e2e::eventually(
        charttrust_e2e::stage::SOON,
        "the tenant has his rights",
        async || {
            let listed = secrets.list(&kube::api::ListParams::default()).await;
            listed.map(drop).map_err(|error| error.to_string())
        },
    )
    .await;
    client
}

/// The code of the answer to a request.
async fn refused(client: &kube::Client, method: &str, path: &str, body: &Value) -> u16 {
    let request = axum::http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes());
    match client.request::<Value>(request.unwrap()).await {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(error) => panic!("{error}"),
    }
}

/// M2. Labels and annotations of what is judged, and of where it lies, opt nobody out.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_tenant_takes_off_his_objects_the_verdict_stays() {
    let story = story("opts-out", Version::V4).await;
    let key = story.trusted_key("platform").await;
    story.policy("policy", &[&key], json!({})).await;
    let chart = story.publish(&Source::new("web", "1.0.0"), None).await;
    story.install("web", &chart).await;
    story.expect("web", "Unsigned").await;
    let client = tenant(&story).await;
    let names = [
        "charttrust.io/ignore",
        "charttrust.io/exempt",
        "charttrust.io/skip",
        "charttrust.io/break-glass-until",
    ];
    let marks: serde_json::Map<_, _> = names
        .iter()
        .map(|name| ((*name).to_owned(), json!("true")))
        .collect();
    let labels =
        ["owner", "name", "version", "modifiedAt"].map(|name| (name.to_owned(), Value::Null));
    let marked = json!({"metadata": {"labels": marks, "annotations": marks}});
    let bare = json!({"metadata": {"labels": serde_json::Map::from_iter(labels)}});
    let secrets = Api::<Secret>::namespaced(client.clone(), &story.namespace);
    let trusts = story.trusts();
    let params = kube::api::PatchParams::default();
    for change in [marked, bare] {
        let patched = secrets
            .patch(
                "sh.helm.release.v1.web.v1",
                &params,
                &kube::api::Patch::Merge(&change),
            )
            .await;
        story.done("change the record's labels", patched);
        let read = secrets.get_metadata("sh.helm.release.v1.web.v1").await;
        let version = story
            .done("read the record", read)
            .metadata
            .resource_version
            .unwrap();
        // Read again as it is now, and judged.
        charttrust_e2e::eventually(
            charttrust_e2e::stage::SOON,
            "it is judged as it is",
            async || {
                let trust = trusts.get("web").await.map_err(|error| error.to_string())?;
                let told = charttrust_e2e::stage::verdict(&trust);
                let judged = trust
                    .status
                    .and_then(|status| status.release)
                    .map(|release| release.resource_version);
                if judged == Some(version.clone()) && told.contains("Unsigned") {
                    Ok(())
                } else {
                    Err(format!("{told} {judged:?}"))
                }
            },
        )
        .await;
    }
}

/// Two dozen Secrets of 20 KiB. What a record says is kept as long as the release is judged, several times over.
#[tokio::test(flavor = "multi_thread")]
async fn records_that_name_things_at_length_cost_the_operator_little() {
    let story = story("at-length", Version::V4).await;
    let key = story.trusted_key("platform").await;
    story.policy("policy", &[&key], json!({})).await;
    let chart = Source::new("web", "1.0.0");
    let chart = story.publish(&chart, Some(&key)).await;
    story.install("web", &chart).await;
    story.expect("web", "SignatureVerified").await;
    let secrets = Api::<Secret>::namespaced(story.client.clone(), &story.namespace);
    let template = secrets.get("sh.helm.release.v1.web.v1").await.unwrap();
    let operator = stage().await.operator(|operator| operator.id());
    let before = reset_peak(operator).unwrap();
    for number in 0..8 {
        for field in ["/chart/metadata/name", "/chart/metadata/version", "/name"] {
            // What is told of it would be six times as long.
            let long = "\u{7f}".repeat(15 * MIB);
            let name = field.trim_start_matches('/').replace('/', "-");
            copy(
                &story,
                &template,
                &format!("{name}-{number}"),
                (field, &long),
            )
            .await;
        }
    }
    for number in 0..8 {
        for name in ["chart-metadata-name", "chart-metadata-version", "name"] {
            story
                .expect(&format!("{name}-{number}"), "ReleaseUnreadable")
                .await;
        }
    }
    let grown = memory(operator, "VmHWM:").saturating_sub(before) / MIB;
    println!("{grown} MiB");
    // Others work on the same operator meanwhile. Without the limit it was 1400.
    assert!(grown < 400, "{grown} MiB");
}

/// Copies a record as another release, with something changed.
async fn copy(story: &Story, template: &Secret, name: &str, (field, value): (&str, &str)) {
    let change = |record: &mut Value| *record.pointer_mut(field).unwrap() = json!(value);
    let secret = charttrust_e2e::record::copy(template, name, change).unwrap();
    let secrets = Api::<Secret>::namespaced(story.client.clone(), &story.namespace);
    let created = secrets.create(&PostParams::default(), &secret).await;
    story.done("write a record", created);
}
