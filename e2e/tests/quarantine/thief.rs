//! What the thief of a signing key writes into a chart, so that something runs on and is called
//! contained, or that nothing is contained at all, or that it is called trusted.

use charttrust::api::{ChartTrustPolicy, TrustedKey};
use charttrust_e2e::charts::Source;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{
    Opening, Scene, Stage, StoryKey,
    workloads::{automatic, chart, left_out},
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::{ALL, stage};

pub(crate) fn plain() -> Source {
    Source::new("web", "1.0.0")
}

/// A Deployment of three; `more` goes into its metadata.
pub(crate) fn deployment(name: &str, more: &str) -> String {
    format!(
        "\
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}{more}}}
{}",
        spec(name)
    )
}

pub(crate) fn spec(app: &str) -> String {
    format!(
        "\
spec:
  replicas: 3
  selector: {{matchLabels: {{app: {app}}}}}
  template:
    metadata: {{labels: {{app: {app}}}}}
    spec: {{containers: [{{name: main, image: registry.example.com/pause:1}}]}}
"
    )
}

pub(crate) async fn replicas(scene: &Scene, name: &str) -> Option<i64> {
    let live = scene.json::<Deployment>(name).await;
    live["spec"]["replicas"].as_i64()
}

/// A key that is trusted until it is stolen, beside the good one.
async fn stolen(scene: &Scene) -> StoryKey {
    let stolen = scene.trusted_key("stolen").await;
    let rules = json!([scene.rule("*", &[&scene.key, &stolen], json!({}))]);
    let change = json!({"spec": {"rules": rules}});
    let policy = &scene.policy;
    scene.patch::<ChartTrustPolicy>(policy, change).await;
    stolen
}

async fn revoke(scene: &Scene, key: &StoryKey) {
    let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    scene.patch::<TrustedKey>(&key.name, revoke).await;
}

/// The record that a good chart has when it is installed as this revision, as a template of a chart.
async fn record_of_good(stage: &Stage, scene: &Scene, revision: u32, more: Value) -> String {
    let good = scene.publish(&plain(), Some(&scene.key)).await;
    let home = stage.cluster.namespace("thief-home").await.unwrap();
    let archive = good.archive.to_string_lossy().into_owned();
    let installed = scene.helm.install(&home, "web", &archive, &[]).await;
    installed.unwrap();
    let secrets = Api::<Secret>::namespaced(scene.client.clone(), &home);
    let secret = secrets.get("sh.helm.release.v1.web.v1").await.unwrap();
    let payload = secret.data.unwrap()["release"].clone();
    let mut record = charttrust_e2e::record::decode(&payload.0).unwrap();
    record["namespace"] = json!(scene.namespace);
    record["version"] = json!(revision);
    let labels = json!({
        "owner": "helm", "name": "web", "status": "deployed", "version": revision.to_string(),
    });
    let mut object = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
        "metadata": {"name": format!("sh.helm.release.v1.web.v{revision}"), "labels": labels},
        "data": {"release": charttrust_e2e::record::encode(&record).unwrap()},
    });
    for (field, value) in more.as_object().unwrap() {
        object[field] = value.clone();
    }
    object.to_string()
}

/// Installs what the stolen key signed, with this record in it.
async fn install_with(scene: &Scene, key: &StoryKey, record: &str) {
    let source = Source::new("web", "1.0.5")
        .with_file("templates/evil.yaml", &deployment("evil", ""))
        .with_file("templates/record.yaml", record);
    let chart = scene.publish(&source, Some(key)).await;
    scene.install("web", &chart).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_a_chart_brings_stands_in_front_of_none() {
    let stage = stage().await;
    let opening = Opening::new("brought").with_quarantine(automatic());
    let scene = opening.declared(stage.cluster).await;
    let key = stolen(&scene).await;
    let record = record_of_good(&stage, &scene, 9, json!({})).await;
    install_with(&scene, &key, &record).await;
    scene.expect("web", "ReleaseUnreadable").await;
    revoke(&scene, &key).await;
    scene.expect("web", "KeyCompromised").await;
    let object = scene
        .quarantine_has("web", "Active=False/PartlyContained")
        .await;
    assert_eq!(replicas(&scene, "evil").await, Some(0));
    assert_eq!(left_out(&object), ["manifest web"]);
}

/// Helm says nothing where its own record cannot be written.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_a_hook_puts_in_place_of_helms_gives_no_trust() {
    let stage = stage().await;
    for version in [Version::V3, Version::V4] {
        let opening = Opening::new("replaced").with_helm(version);
        let scene = opening.declared(stage.cluster).await;
        let key = stolen(&scene).await;
        let hook = json!({
            "immutable": true,
            "metadata": {
                "name": "sh.helm.release.v1.web.v1",
                "labels": {"owner": "helm", "name": "web", "status": "deployed", "version": "1"},
                "annotations": {"helm.sh/hook": "post-install"},
            },
        });
        let record = record_of_good(&stage, &scene, 1, hook).await;
        install_with(&scene, &key, &record).await;
        scene.expect("web", "ReleaseUnreadable").await;
        scene.contain("web", &ALL).await;
        scene
            .quarantine_has("web", "Active=False/PartlyContained")
            .await;
        assert_eq!(replicas(&scene, "web").await, Some(0), "{version:?}");
    }
}

/// To YAML 1.1, which Helm reads, this ends a line; to YAML 1.2 it does not.
const LINE: char = '\u{2028}';

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_from_the_record_is_never_called_contained() {
    let stage = stage().await;
    let hidden = format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: decoy}}\n# {LINE}apiVersion: apps/v1\
         {LINE}kind: Deployment{LINE}metadata: {{name: hidden}}\n{}",
        spec("hidden")
    );
    let old_kind = "\
---
apiVersion: v1
kind: ReplicationController
metadata: {name: old-kind}
spec:
  replicas: 2
  selector: {app: old-kind}
  template:
    metadata: {labels: {app: old-kind}}
    spec: {containers: [{name: main, image: registry.example.com/pause:1}]}
";
    let kept = deployment("kept", ", annotations: {helm.sh/resource-policy: keep}");
    let far = stage.cluster.namespace("thief-far").await.unwrap();
    let away = deployment("away", &format!(", namespace: {far}"));
    let all = [&hidden, old_kind, &away].concat();
    let first = plain().with_file("templates/evil.yaml", &format!("{kept}{all}"));
    let scene = Opening::new("hidden-away")
        .with_chart(first)
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    let second = Source::new("web", "1.0.1").with_file("templates/evil.yaml", &all);
    let second = scene.publish(&second, Some(&scene.key)).await;
    scene.upgrade("web", &second).await;
    scene.settled("web").await;
    scene.revoke().await;

    let object = scene
        .quarantine_has("web", "Active=False/PartlyContained")
        .await;
    let told = [
        "Deployment away",
        "Deployment hidden",
        "Deployment kept",
        "ReplicationController old-kind",
        "manifest web",
    ];
    assert_eq!(left_out(&object), told);
    assert_eq!(replicas(&scene, "web").await, Some(0));

    // What was kept may be stopped by hand, and is told no more.
    let stop = Patch::Merge(json!({"spec": {"replicas": 0}}));
    let deployments = scene.api::<Deployment>();
    let params = PatchParams::default();
    deployments.patch("kept", &params, &stop).await.unwrap();
    scene.look().await;
    charttrust_e2e::eventually(
        charttrust_e2e::stage::SOON,
        "it is told no more",
        async || {
            let object = scene.quarantines().get("web").await;
            let told = left_out(&object.map_err(|error| error.to_string())?);
            if told.contains(&"Deployment kept".to_owned()) {
                Err(format!("{told:?}"))
            } else {
                Ok(())
            }
        },
    )
    .await;
}

/// Names that no object can have, in hooks that are never run.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nothing_can_have_keeps_nothing_from_being_contained() {
    let stage = stage().await;
    let names = [
        "..",
        ".",
        "../../../..",
        "a/b",
        "a?watch=1",
        "#",
        "%2e%2e",
        "é",
        "a\\nb",
    ];
    let mut hooks = String::new();
    for name in names {
        hooks += &deployment(
            &format!("\"{name}\""),
            ", annotations: {helm.sh/hook: test}",
        )
        .replace(&format!("app: \"{name}\""), "app: never");
    }
    let long = "n".repeat(9000);
    hooks += &deployment(&long, ", annotations: {helm.sh/hook: test}");
    let scene = Opening::new("names")
        .with_chart(plain().with_file("templates/hooks.yaml", &hooks))
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    assert_eq!(replicas(&scene, "web").await, Some(0));
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    assert_eq!(replicas(&scene, "web").await, Some(1));
}

/// `argocd.APP` is what charttrust calls an Application; a release of Helm may have that name.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_named_like_an_application_is_contained_as_what_it_is() {
    let stage = stage().await;
    let opening = Opening::new("dotted").with_quarantine(automatic());
    let scene = opening.declared(stage.cluster).await;
    let chart = scene.publish(&plain(), Some(&scene.key)).await;
    scene.install("argocd.shop", &chart).await;
    scene.expect("argocd.shop", "SignatureVerified").await;
    scene.revoke().await;
    scene
        .quarantine_has("argocd.shop", "Active=True/Contained")
        .await;
    assert_eq!(replicas(&scene, "argocd.shop").await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_out_of_its_history_comes_back_contained() {
    let stage = stage().await;
    let scene = Opening::new("history")
        .with_chart(chart("1.0.0"))
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    let uninstall = ["uninstall", "web", "--keep-history", "--namespace"];
    let uninstall = [&uninstall[..], &[&scene.namespace]].concat();
    scene.helm.run(&uninstall).await.unwrap();
    let back = scene.helm.rollback(&scene.namespace, "web", 1).await;
    back.unwrap();
    charttrust_e2e::eventually(
        charttrust_e2e::stage::SOON,
        "it is stopped",
        async || match scene.replicas().await {
            0 => Ok(()),
            other => Err(other.to_string()),
        },
    )
    .await;
    scene.quarantine_has("web", "Active=True/Contained").await;
}

/// What an earlier quarantine wrote is no original for a later one, whoever puts it there.
#[tokio::test(flavor = "multi_thread")]
async fn an_annotation_of_an_earlier_quarantine_is_no_original() {
    let stage = stage().await;
    let scene = Opening::new("replayed")
        .with_quarantine(automatic())
        .trusted(stage.cluster)
        .await;
    scene.revoke().await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    let web = scene.json::<Deployment>("web").await;
    let old = web["metadata"]["annotations"]["charttrust.io/quarantine"].clone();
    let forged = old
        .as_str()
        .unwrap()
        .replace("\"original\":1", "\"original\":77");
    assert_ne!(old, forged);
    scene.withdraw().await;
    scene.no_quarantine("web").await;

    let replay = json!({"metadata": {"annotations": {"charttrust.io/quarantine": forged}}});
    let deployments = scene.api::<Deployment>();
    let params = PatchParams::default();
    let replay = Patch::Merge(replay);
    deployments.patch("web", &params, &replay).await.unwrap();
    scene.revoke().await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    assert_eq!(replicas(&scene, "web").await, Some(0));
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    assert_eq!(replicas(&scene, "web").await, Some(1));
}
