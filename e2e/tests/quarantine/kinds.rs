//! Kinds with rules of their own: Jobs, which end by themselves, and kinds that the cluster does not
//! serve any more.

use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::eventually;
use charttrust_e2e::operator::Operator;
use charttrust_e2e::stage::{Opening, SOON, Scene, apply, kubectl, workloads::chart};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use crate::{charttrust, stage, stage_alone};

/// One that has started a Pod, and one that has not.
const JOBS: &str = "\
apiVersion: batch/v1
kind: Job
metadata: {name: {{ .Release.Name }}-runs}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: registry.example.com/pause:1}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: {{ .Release.Name }}-waits}
spec:
  parallelism: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: registry.example.com/pause:1}]
";

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_run_are_left_to_end_and_told_and_those_that_do_not_are_suspended() {
    let stage = stage().await;
    let scene = Opening::new("jobs").keyed(stage.cluster).await;
    let source = chart("1.0.0").with_file("templates/jobs.yaml", JOBS);
    let archive = scene.publish(&source, None).await;
    scene.install("web", &archive).await;
    let by_hand = [
        "create",
        "job",
        "--from=cronjob/web-nightly",
        "web-nightly-1",
    ];
    let place = ["--namespace", &scene.namespace];
    let kubeconfig = stage.cluster.kubeconfig();
    kubectl(kubeconfig, &[&by_hand[..], &place].concat())
        .await
        .unwrap();
    scene.job_runs("web-nightly-1").await;
    scene.job_runs("web-runs").await;
    let before = scene.json::<Job>("web-waits").await;

    scene.contain("web", &["ScaleToZero"]).await;
    let status = scene
        .quarantine_has("web", "Active=False/PartlyContained")
        .await
        .status
        .unwrap();
    assert_eq!(status.left_out, 2, "{status:#?}");
    let told = |name: &str| {
        let mut all = status.uncontained.iter();
        let found = all.find(|one| one.kind == "Job" && one.name == name);
        found.map(|one| one.message.clone())
    };
    let started = "was started by CronJob web-nightly before, and is left to end";
    assert_eq!(told("web-nightly-1").as_deref(), Some(started));
    let has_run = "has run already, and is left to end";
    assert_eq!(told("web-runs").as_deref(), Some(has_run));
    assert_eq!(told("web-waits"), None, "{status:#?}");
    let suspended = async |name: &str| scene.json::<Job>(name).await["spec"]["suspend"].clone();
    assert_eq!(suspended("web-waits").await, true);
    assert_eq!(suspended("web-runs").await, false);
    assert_eq!(suspended("web-nightly-1").await, false);
    assert_eq!(
        scene.json::<CronJob>("web-nightly").await["spec"]["suspend"],
        true
    );
    scene.job_runs("web-nightly-1").await;

    scene.delete_quarantine("web").await;
    let after = scene.json::<Job>("web-waits").await;
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!(
        after["metadata"]["annotations"],
        before["metadata"]["annotations"]
    );
    assert_eq!(
        scene.json::<CronJob>("web-nightly").await["spec"]["suspend"],
        false
    );
}

/// Whether the cluster serves the version of a kind that we speak.
#[derive(Clone, Copy, PartialEq)]
enum Serves {
    /// No version at all.
    Nothing,
    /// A later one, but not ours.
    Later,
    /// Ours too.
    Ours,
}

const NAME: &str = "helmcharts.helm.cattle.io";

/// A deployer's kind, as somebody changes what the cluster serves of it.
struct Kind<'a> {
    cluster: &'a Cluster,
    objects: Api<DynamicObject>,
}

impl<'a> Kind<'a> {
    async fn served(cluster: &'a Cluster, scene: &Scene) -> Self {
        let kind = GroupVersionKind::gvk("helm.cattle.io", "v1", "HelmChart");
        let resource = ApiResource::from_gvk_with_plural(&kind, "helmcharts");
        let kind = Self {
            cluster,
            objects: Api::namespaced_with(scene.client.clone(), &scene.namespace, &resource),
        };
        kind.is(Serves::Ours).await;
        kind
    }

    async fn is(&self, serves: Serves) {
        if serves == Serves::Nothing {
            let kubeconfig = self.cluster.kubeconfig();
            kubectl(kubeconfig, &["delete", "crd", NAME]).await.unwrap();
        } else {
            let definition = definition(serves);
            apply(self.cluster.kubeconfig(), &[definition])
                .await
                .unwrap();
        }
        let client = self.objects.clone().into_client();
        eventually(SOON, "the server says what it serves", async || {
            let groups = client.list_api_groups().await;
            let groups = groups.map_err(|error| error.to_string())?.groups;
            let group = groups
                .into_iter()
                .find(|group| group.name == "helm.cattle.io");
            let versions: Vec<_> = group.into_iter().flat_map(|group| group.versions).collect();
            let is_told = versions.iter().any(|version| version.version == "v1");
            let listed = self.objects.list(&kube::api::ListParams::default()).await;
            let expected = serves == Serves::Ours;
            if is_told == expected && listed.is_ok() == expected {
                Ok(())
            } else {
                Err(format!("{versions:?}, {:?}", listed.err()))
            }
        })
        .await;
    }

    /// What a person declares: the release of the story.
    async fn declare(&self, scene: &Scene) -> Value {
        let chart = json!({
            "apiVersion": "helm.cattle.io/v1", "kind": "HelmChart",
            "metadata": {"name": "web", "namespace": scene.namespace,
                "annotations": {"example.com/own": "stays"}},
            "spec": {"chart": "web", "targetNamespace": scene.namespace},
        });
        apply(self.cluster.kubeconfig(), &[chart]).await.unwrap();
        self.essence().await
    }

    async fn essence(&self) -> Value {
        let object = self.objects.get("web").await.unwrap();
        json!([
            object.metadata.annotations,
            object.metadata.managed_fields,
            object.data
        ])
    }
}

fn definition(serves: Serves) -> Value {
    let anything = json!({"openAPIV3Schema": {
        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
    }});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": {
            "group": "helm.cattle.io", "scope": "Namespaced",
            "names": {"kind": "HelmChart", "listKind": "HelmChartList", "plural": "helmcharts",
                "singular": "helmchart"},
            "versions": [
                {"name": "v1", "served": serves == Serves::Ours, "storage": true, "schema": anything},
                {"name": "v2", "served": true, "storage": false, "schema": anything},
            ],
        },
    })
}

/// Deletes the Quarantine, and gives why it cannot end.
async fn refused_to_end(scene: &Scene) -> String {
    let quarantines = scene.quarantines();
    let deleted = quarantines.delete("web", &DeleteParams::default()).await;
    scene.done("delete the Quarantine", deleted);
    let refused = "Contested=True/ObjectRefused";
    scene.expect_condition(&quarantines, "web", refused).await
}

/// Alone, because `charttrust restore` tells everybody of a kind that it cannot look for.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_a_kind_that_is_not_served_any_more_is_not_gone() {
    let stage = stage_alone().await;
    let scene = Opening::of_every_kind("unserved")
        .trusted(stage.cluster)
        .await;
    let kind = Kind::served(stage.cluster, &scene).await;
    let before = kind.declare(&scene).await;
    let actions = ["PauseDeployer", "ScaleToZero"];
    let not_served = "the cluster does not serve helm.cattle.io/v1 HelmChart";
    let name = format!("{}/web", scene.namespace);
    let restore = ["restore", &name, "--yes"];

    scene.contain("web", &actions).await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    assert_ne!(kind.essence().await, before);
    kind.is(Serves::Later).await;
    let message = refused_to_end(&scene).await;
    assert!(
        message.contains("HelmChart web") && message.contains(not_served),
        "{message}"
    );
    assert_eq!(scene.replicas().await, 3, "all else is put back");
    let (code, said) = charttrust(&stage, &restore).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("not looked for: helm.cattle.io/v1 HelmChart"),
        "{said}"
    );
    assert!(
        said.contains(&format!("HelmChart web was not put back: {not_served}")),
        "{said}"
    );
    kind.is(Serves::Ours).await;
    scene.look().await;
    scene.no_quarantine("web").await;
    assert_eq!(kind.essence().await, before);

    // It goes as a whole, and comes back empty: then what we held is gone indeed.
    scene.contain("web", &actions).await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    kind.is(Serves::Nothing).await;
    let message = refused_to_end(&scene).await;
    assert!(message.contains(not_served), "{message}");
    stage.operator(Operator::kill);
    let (code, said) = charttrust(&stage, &restore).await;
    assert_eq!(code, Some(1), "{said}");
    kind.is(Serves::Ours).await;
    let declared = kind.declare(&scene).await;
    let (code, said) = charttrust(&stage, &restore).await;
    assert_eq!(code, Some(0), "{said}");
    scene.no_quarantine("web").await;
    assert_eq!(kind.essence().await, declared);
    kind.is(Serves::Nothing).await;
    stage.restart().await;
}
