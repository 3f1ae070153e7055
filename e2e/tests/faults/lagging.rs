//! What an API server says too late, or in a form that nobody can read.

use charttrust::api::ChartTrustPolicy;
use charttrust_e2e::charts::Source;
use charttrust_e2e::stage::{Opening, SOON, apply, kubectl, workloads::automatic};
use charttrust_e2e::{eventually, lasting};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use serde_json::{Value, json};

use crate::{Failing, WHILE, alone, audited, failing};

/// F12. After a restart the keys are told as they were a while ago, when the one that matters was revoked: nothing
/// is stopped by what was taken back since, and all is done by what is said once it is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_before_a_restart_contains_nothing_though_it_is_told_late() {
    let failing = failing().await;
    let start = failing.stage.cluster.mark();
    let scene = Opening::of_every_kind("late")
        .with_quarantine(automatic())
        .trusted(failing.stage.cluster)
        .await;
    let before = scene.workloads().await;
    scene.revoke().await;
    scene.contained("web").await;
    scene.incident_is_remembered("web").await;
    failing.stage.at_rest(&scene.namespace).await;
    failing.proxy.remember();
    failing.stage.restart().await;
    failing
        .stage
        .judged(&scene.namespace, "KeyCompromised")
        .await;
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    scene.expect("web", "SignatureVerified").await;
    failing.stage.at_rest(&scene.namespace).await;

    failing.proxy.lag("trustedkeys");
    failing.stage.restart().await;
    failing
        .stage
        .judged(&scene.namespace, "KeyCompromised")
        .await;
    let since = failing.stage.cluster.mark();
    let nothing = lasting(WHILE, async || {
        let written = failing.stage.cluster.asked_since(since).writes();
        let begun = written.of("quarantines").only(|event| event.code < 300);
        if begun.is_empty() {
            Ok(())
        } else {
            Err(format!("{begun:?}"))
        }
    });
    assert_eq!(nothing.await, Ok(()));
    assert_eq!(scene.workloads().await, before);

    failing.proxy.behave();
    scene.expect("web", "SignatureVerified").await;
    // And the next revocation contains as the first did.
    scene.revoke().await;
    scene.contained("web").await;
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    assert_eq!(scene.workloads().await, before);
    audited(&failing.stage, start);
}

/// F12. A list is asked for as it is now, and never as a cache may have it.
#[tokio::test(flavor = "multi_thread")]
async fn no_list_is_asked_for_as_a_cache_has_it() {
    let failing = failing().await;
    failing.stage.restart().await;
    let asked = failing.proxy.asked();
    let lists: Vec<_> = asked.iter().filter(|one| one.contains("limit=")).collect();
    assert!(lists.len() >= 10, "{asked:#?}");
    let of_caches: Vec<_> = lists
        .iter()
        .filter(|one| one.contains("resourceVersion="))
        .collect();
    assert!(of_caches.is_empty(), "{of_caches:#?}");
}

/// F19. The definition of a kind is loosened, an object is stored that nobody can read, and the definition is as
/// before: whoever lists it says so, and the others go on.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_cannot_be_decoded_holds_up_no_other() {
    let failing = alone().await;
    let scene = Opening::new("decoded").trusted(failing.stage.cluster).await;
    let chart = scene
        .publish(&Source::new("web", "1.1.0"), Some(&scene.key))
        .await;
    let good = definition(&failing).await;
    defined(&failing, loose(good.clone())).await;
    let odd = format!("{}-odd", scene.namespace);
    let object = json!({
        "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey", "metadata": {"name": odd},
        "spec": {"fingerprint": ["canary"], "owner": {"team": 7}},
    });
    let kubeconfig = failing.stage.cluster.kubeconfig();
    eventually(SOON, "the object is stored", async || {
        apply(kubeconfig, std::slice::from_ref(&object))
            .await
            .map_err(|error| error.to_string())
    })
    .await;
    let both = json!({"verify": {"signers": {"keys": [scene.key.name, odd]}}});
    let rules = json!({"spec": {"rules": [scene.rule("*", &[&scene.key], both)]}});
    scene.patch::<ChartTrustPolicy>(&scene.policy, rules).await;
    for definition in [None, Some(good)] {
        if let Some(definition) = definition {
            defined(&failing, definition).await;
        }
        failing.stage.restart().await;
        // It has no status of its own: whoever lists it says so.
        eventually(
            SOON,
            "the policy says that the key cannot be used",
            async || {
                let policy = scene.policies().get_status(&scene.policy).await;
                let policy = policy.map_err(|error| error.to_string())?;
                let told =
                    serde_json::to_string(&policy.status).map_err(|error| error.to_string())?;
                if told.contains(&odd) {
                    Ok(())
                } else {
                    Err(told)
                }
            },
        )
        .await;
        scene.install("later", &chart).await;
        scene.expect("later", "SignatureVerified").await;
        scene.revoke().await;
        scene.expect("later", "KeyCompromised").await;
        scene.withdraw().await;
        scene.expect("web", "SignatureVerified").await;
        let gone = scene.helm.uninstall(&scene.namespace, "later").await;
        scene.done("uninstall", gone);
        scene.expect_gone("later").await;
    }
    let deleted = kubectl(kubeconfig, &["delete", "trustedkey", &odd]).await;
    scene.done("delete the object", deleted);
}

const KIND: &str = "trustedkeys.charttrust.io";

async fn definition(failing: &Failing) -> Value {
    let client = failing.stage.cluster.client().await.unwrap();
    let kinds = Api::<CustomResourceDefinition>::all(client);
    serde_json::to_value(kinds.get(KIND).await.unwrap().spec).unwrap()
}

/// A definition that takes everything.
fn loose(mut spec: Value) -> Value {
    spec["versions"][0]["schema"]["openAPIV3Schema"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    spec
}

async fn defined(failing: &Failing, spec: Value) {
    let client = failing.stage.cluster.client().await.unwrap();
    let kinds = Api::<CustomResourceDefinition>::all(client);
    let change = kube::api::Patch::Merge(json!({"spec": spec}));
    let params = kube::api::PatchParams::default();
    kinds.patch(KIND, &params, &change).await.unwrap();
}
