//! Network policies: ours, and those of others.

use charttrust::api::quarantine::Quarantine;
use charttrust_e2e::stage::Opening;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use serde_json::json;

use crate::stage;

#[tokio::test(flavor = "multi_thread")]
async fn other_policies_that_allow_are_named() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("allowed")
        .trusted(stage.cluster)
        .await;
    let object = NetworkPolicy {
        metadata: ObjectMeta {
            name: Some("lets-all-in".to_owned()),
            ..ObjectMeta::default()
        },
        spec: serde_json::from_value(json!({"podSelector": {}, "ingress": [{}]})).unwrap(),
    };
    let policies = scene.api::<NetworkPolicy>();
    policies
        .create(&PostParams::default(), &object)
        .await
        .unwrap();
    scene.contain("web", &["IsolateNetwork"]).await;
    let api = scene.api::<Quarantine>();
    let message = scene
        .expect_condition(&api, "web", "Isolated=False/OtherPoliciesAllow")
        .await;
    assert!(message.contains("lets-all-in (Ingress)"), "{message}");
    scene.delete_quarantine("web").await;
    let left = policies.list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_labels_are_not_isolated_but_reported() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("labels")
        .trusted(stage.cluster)
        .await;
    // A Pod of somebody else with the labels of the Deployment.
    let pods = scene.api::<k8s_openapi::api::core::v1::Pod>();
    let pod = serde_json::from_value(json!({
        "metadata": {"name": "stranger", "labels": {"app.kubernetes.io/instance": "web"}},
        "spec": {"containers": [{"name": "main", "image": "registry.example.com/pause:1"}]},
    }))
    .unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    scene.contain("web", &["IsolateNetwork"]).await;
    let object = scene
        .quarantine_has("web", "Isolated=False/SelectorShared")
        .await;
    let left = object.status.unwrap().uncontained;
    let told = left
        .iter()
        .any(|one| one.name == "web" && one.message.contains("stranger"));
    assert!(told, "{left:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_somebody_else_that_comes_later_gets_its_network_back() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("later").trusted(stage.cluster).await;
    scene.contain("web", &["IsolateNetwork"]).await;
    scene
        .quarantine_has("web", "Isolated=True/TrafficDenied")
        .await;
    assert_eq!(scene.policies_of_network().await.len(), 2);
    let pods = scene.api::<k8s_openapi::api::core::v1::Pod>();
    let pod = serde_json::from_value(json!({
        "metadata": {"name": "stranger", "labels": {"app.kubernetes.io/instance": "web"}},
        "spec": {"containers": [{"name": "main", "image": "registry.example.com/pause:1"}]},
    }))
    .unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    let api = scene.api::<Quarantine>();
    let shared = "Isolated=False/SelectorShared";
    let message = scene.expect_condition(&api, "web", shared).await;
    assert!(message.contains("Pod stranger"), "{message}");
    let left = scene.policies_of_network().await;
    assert_eq!(left.len(), 1, "{left:?}");

    // When it is gone, they are isolated again.
    pods.delete("stranger", &DeleteParams::default())
        .await
        .unwrap();
    scene.look().await;
    scene
        .quarantine_has("web", "Isolated=True/TrafficDenied")
        .await;
    assert_eq!(scene.policies_of_network().await.len(), 2);
    scene.delete_quarantine("web").await;
    assert_eq!(scene.policies_of_network().await, Vec::<String>::new());
}
