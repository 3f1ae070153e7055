//! Kinds of ours are deleted and made again while something is contained. A program of its own: with the kind go
//! all objects of it in the cluster, and what other stories left contained would keep it from going.

use std::fmt::Debug;

use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::eventually;
use charttrust_e2e::operator::binary;
use charttrust_e2e::stage::workloads::automatic;
use charttrust_e2e::stage::{Opening, Power, SOON, Scene, Setting, Stage, apply};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_is_deleted_and_made_again_leaves_nothing_stopped() {
    let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
    let stage = Stage::set(cluster, Setting::new(binary(), Power::Contains)).await;
    let scene = Opening::of_every_kind("kind")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    scene.contained("web").await;
    stage.at_rest(&scene.namespace).await;

    // Without its verdicts: what is contained stays so, and they come back.
    let trusts = deleted(&scene, "releasetrusts.charttrust.io").await;
    made_again(&stage, &trusts).await;
    served(&scene.trusts()).await;
    scene.expect("web", "KeyCompromised").await;
    scene.contained("web").await;
    assert_eq!(scene.replicas().await, 0);

    // Without its quarantines nothing holds.
    let quarantines = deleted(&scene, "quarantines.charttrust.io").await;
    eventually(SOON, "everything is put back", async || {
        match (scene.replicas().await, scene.policies_of_network().await) {
            (3, policies) if policies.is_empty() => Ok(()),
            found => Err(format!("{found:?}")),
        }
    })
    .await;
    made_again(&stage, &quarantines).await;
    served(&scene.quarantines()).await;
    // Who deletes all of them has ended all of them.
    let released = "Quarantined=False/Released";
    scene
        .expect_condition(&scene.trusts(), "web", released)
        .await;
    assert_eq!(scene.replicas().await, 3);
    // And the next revocation contains again.
    scene.withdraw().await;
    scene.expect("web", "SignatureVerified").await;
    scene.revoke().await;
    scene.contained("web").await;
    assert_eq!(scene.replicas().await, 0);
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    assert_eq!(scene.replicas().await, 3);
}

/// Deletes a definition, and waits until it is gone with all objects of its kind.
async fn deleted(scene: &Scene, name: &str) -> CustomResourceDefinition {
    let kinds = Api::<CustomResourceDefinition>::all(scene.client.clone());
    let definition = scene.done("read a definition", kinds.get(name).await);
    let deleted = kinds.delete(name, &DeleteParams::default()).await;
    drop(scene.done("delete a definition", deleted));
    eventually(SOON, "the kind is gone", async || {
        match kinds.get_opt(name).await {
            Ok(None) => Ok(()),
            seen => Err(format!(
                "{:?}",
                seen.map(|kind| kind.and_then(|kind| kind.status))
            )),
        }
    })
    .await;
    definition
}

async fn made_again(stage: &Stage, definition: &CustomResourceDefinition) {
    let meta = &definition.metadata;
    let again = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": meta.name, "labels": meta.labels, "annotations": meta.annotations},
        "spec": definition.spec,
    });
    apply(stage.cluster.kubeconfig(), &[again]).await.unwrap();
}

async fn served<K>(api: &Api<K>)
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned,
{
    eventually(SOON, "the kind is served", async || {
        let listed = api.list(&ListParams::default()).await;
        listed.map(drop).map_err(|error| error.to_string())
    })
    .await;
}
