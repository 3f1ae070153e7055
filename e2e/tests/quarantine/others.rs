//! What others do to a contained release, and what they forbid.

use charttrust::api::quarantine::Quarantine;
use charttrust_e2e::eventually;
use charttrust_e2e::stage::{Opening, SOON, Scene};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::{ALL, charttrust, not_contained, stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_scaled_meanwhile_keeps_the_change_and_is_told() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("scaled")
        .trusted(stage.cluster)
        .await;
    scene.contain("web", &["ScaleToZero"]).await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    scene.scale(7).await;
    let deadline = std::time::Duration::from_secs(90);
    let api = scene.api::<Quarantine>();
    eventually(deadline, "it is contested", async || {
        let object = api.get("web").await.map_err(|error| error.to_string())?;
        let state = object.status.and_then(|status| status.state);
        let seen = format!("{state:?}");
        if seen == "Some(Contested)" {
            Ok(())
        } else {
            Err(seen)
        }
    })
    .await;
    assert_eq!(scene.replicas().await, 7);
    scene.delete_quarantine("web").await;
    assert_eq!(scene.replicas().await, 7);
    assert_eq!(
        scene.json::<StatefulSet>("web-db").await["spec"]["replicas"],
        2
    );
    let web = scene.json::<Deployment>("web").await;
    assert!(!web.to_string().contains("charttrust"), "{web}");
    let note = scene.event("Restored").await;
    assert!(
        note.contains("Deployment web was set to 7 by person"),
        "{note}"
    );
}

/// An admission policy that refuses something in the namespace of a story.
pub(crate) struct Freeze {
    bindings: Api<ValidatingAdmissionPolicyBinding>,
    binding: ValidatingAdmissionPolicyBinding,
    deployments: Api<Deployment>,
    quarantines: Api<Quarantine>,
    refuses: Refuses,
}

/// What it refuses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refuses {
    /// That the Deployment `web` is changed.
    Changes,
    /// That a Quarantine is made, as a quota would.
    Quarantines,
}

impl Refuses {
    fn rule(self) -> Value {
        match self {
            Self::Changes => json!({
                "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"],
                "resources": ["deployments"], "resourceNames": ["web"],
            }),
            Self::Quarantines => json!({
                "apiGroups": ["charttrust.io"], "apiVersions": ["*"], "operations": ["CREATE"],
                "resources": ["quarantines"],
            }),
        }
    }
}

impl Freeze {
    pub(crate) async fn of(scene: &Scene, refuses: Refuses) -> Self {
        let name = format!("freeze-{}", scene.namespace);
        let policy = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "namespaceSelector": {"matchLabels": {
                        "kubernetes.io/metadata.name": scene.namespace,
                    }},
                    "resourceRules": [refuses.rule()],
                },
                "validations": [{"expression": "false", "message": "nothing is changed today"}],
            },
        }))
        .unwrap();
        let policies = Api::<ValidatingAdmissionPolicy>::all(scene.client.clone());
        let params = PostParams::default();
        policies.create(&params, &policy).await.unwrap();
        let binding = json!({
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        });
        Self {
            bindings: Api::all(scene.client.clone()),
            binding: serde_json::from_value(binding).unwrap(),
            deployments: scene.api(),
            quarantines: scene.api(),
            refuses,
        }
    }

    pub(crate) async fn begins(&self) {
        let params = PostParams::default();
        self.bindings.create(&params, &self.binding).await.unwrap();
        self.answers("the freeze is in force", Result::is_err).await;
    }

    pub(crate) async fn ends(&self) {
        let name = self.binding.metadata.name.as_deref().unwrap();
        let params = DeleteParams::default();
        self.bindings.delete(name, &params).await.unwrap();
        self.answers("the freeze is over", Result::is_ok).await;
    }

    /// The server takes a moment to learn of a policy.
    async fn answers(&self, what: &str, as_wanted: fn(&kube::Result<()>) -> bool) {
        eventually(SOON, what, async || {
            let answer = self.tried().await;
            if as_wanted(&answer) {
                Ok(())
            } else {
                Err(format!("{:?}", answer.err()))
            }
        })
        .await;
    }

    /// Tries what it refuses, and changes nothing.
    async fn tried(&self) -> kube::Result<()> {
        match self.refuses {
            Refuses::Changes => {
                let params = PatchParams {
                    dry_run: true,
                    ..PatchParams::default()
                };
                let change = Patch::Merge(json!({"metadata": {"labels": {"tried": "x"}}}));
                let tried = self.deployments.patch("web", &params, &change).await;
                tried.map(drop)
            }
            Refuses::Quarantines => {
                let params = PostParams {
                    dry_run: true,
                    ..PostParams::default()
                };
                let spec = json!({"reason": "a trial", "actions": ["ScaleToZero"]});
                let trial = json!({"metadata": {"name": "trial"}, "spec": spec});
                let trial = serde_json::from_value(trial).unwrap();
                let tried = self.quarantines.create(&params, &trial).await;
                tried.map(drop)
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_object_that_may_not_be_changed_holds_up_no_other() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("refused")
        .trusted(stage.cluster)
        .await;
    let quarantines = scene.api::<Quarantine>();
    let before = scene.workloads().await;
    let freeze = Freeze::of(&scene, Refuses::Changes).await;
    freeze.begins().await;
    scene.contain("web", &ALL).await;
    let refused = "Contested=True/ObjectRefused";
    let message = scene.expect_condition(&quarantines, "web", refused).await;
    for told in [
        "Deployment web",
        "cannot be contained",
        "nothing is changed today",
    ] {
        assert!(message.contains(told), "{told}: {message}");
    }
    let object = scene.quarantine_has("web", "Active=False/Containing").await;
    assert_eq!(not_contained(&object.status.unwrap()), ["web"]);
    assert_eq!(scene.replicas().await, 3);
    let stateful = scene.json::<StatefulSet>("web-db").await;
    assert_eq!(stateful["spec"]["replicas"], 0);
    let note = scene.event("Contested").await;
    assert!(note.contains("Deployment web"), "{note}");

    freeze.ends().await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    assert_eq!(scene.replicas().await, 0);

    freeze.begins().await;
    let params = DeleteParams::default();
    quarantines.delete("web", &params).await.unwrap();
    let message = scene.expect_condition(&quarantines, "web", refused).await;
    assert!(message.contains("cannot be put back"), "{message}");
    assert_eq!(scene.replicas().await, 0);
    let after = scene.workloads().await;
    for kind in ["StatefulSet", "DaemonSet", "CronJob"] {
        assert_eq!(after[kind], before[kind]);
    }
    let name = format!("{}/web", scene.namespace);
    let (code, said) = charttrust(&stage, &["restore", &name, "--yes"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Deployment web was not put back"), "{said}");

    freeze.ends().await;
    scene.no_quarantine("web").await;
    assert_eq!(scene.workloads().await, before);
}

/// A Deployment of somebody else in the same namespace, and one in another namespace.
async fn neighbour(scene: &Scene, namespace: &str) -> Api<Deployment> {
    let api = Api::<Deployment>::namespaced(scene.client.clone(), namespace);
    let object: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "neighbour"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "neighbour"}},
            "template": {
                "metadata": {"labels": {"app": "neighbour"}},
                "spec": {"containers": [{"name": "main", "image": "registry.example.com/pause:1"}]},
            },
        },
    }))
    .unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
    api
}

/// Lists two neighbours in the record of `web`, one of them in another namespace.
async fn forge_record(scene: &Scene, far: &str) {
    let secrets = scene.api::<Secret>();
    let name = "sh.helm.release.v1.web.v1";
    let payload = secrets.get(name).await.unwrap().data.unwrap()["release"].clone();
    let mut record = charttrust_e2e::record::decode(&payload.0).unwrap();
    let manifest = record["manifest"].as_str().unwrap().to_owned();
    let forged = format!(
        "{manifest}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: neighbour\n\
         ---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: neighbour\n  \
         namespace: {far}\n"
    );
    record["manifest"] = json!(forged);
    let payload: ByteString =
        serde_json::from_value(json!(charttrust_e2e::record::encode(&record).unwrap())).unwrap();
    let change = json!({"data": {"release": payload}});
    secrets
        .patch(name, &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_record_reaches_no_neighbour() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("forged")
        .trusted(stage.cluster)
        .await;
    let far = stage.cluster.namespace("forged-far").await.unwrap();
    let near = neighbour(&scene, &scene.namespace).await;
    let other = neighbour(&scene, &far).await;
    forge_record(&scene, &far).await;
    let mark = stage.cluster.mark();

    scene.contain("web", &ALL).await;
    let object = scene
        .quarantine_has("web", "Active=False/PartlyContained")
        .await;
    assert_eq!(scene.replicas().await, 0);
    let left = object.status.unwrap().uncontained;
    let told: Vec<_> = left.iter().filter(|one| one.name == "neighbour").collect();
    assert_eq!(told.len(), 2, "{left:#?}");

    // As somebody could who may write the status of Quarantines.
    let quarantines = scene.api::<Quarantine>();
    let mut status = quarantines.get("web").await.unwrap().status.unwrap();
    let mut entry = status
        .objects
        .iter()
        .find(|o| o.kind == "Deployment")
        .unwrap()
        .clone();
    entry.name = "neighbour".to_owned();
    entry.uid = near.get("neighbour").await.unwrap().metadata.uid;
    entry.state = charttrust::api::quarantine::ObjectState::Planned;
    entry.original = Some("2".to_owned());
    let mut far_entry = entry.clone();
    far_entry.namespace = Some(far.clone());
    far_entry.uid = other.get("neighbour").await.unwrap().metadata.uid;
    status.objects.extend([entry, far_entry]);
    let change = Patch::Merge(json!({ "status": status }));
    quarantines
        .patch_status("web", &PatchParams::default(), &change)
        .await
        .unwrap();
    scene.quarantine_has("web", "Active=False/Containing").await;
    scene.delete_quarantine("web").await;

    for api in [near, other] {
        let object = api.get("neighbour").await.unwrap();
        assert_eq!(object.spec.unwrap().replicas, Some(2));
    }
    assert_eq!(scene.replicas().await, 3);
    let audit = stage.cluster.asked_since(mark);
    let foreign = audit
        .by(stage.identity.user())
        .writes()
        .only(|e| e.name == "neighbour");
    assert!(foreign.is_empty(), "{foreign:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_original_is_contested_and_never_believed() {
    let stage = stage().await;
    let scene = Opening::of_every_kind("edited")
        .trusted(stage.cluster)
        .await;
    scene.contain("web", &["ScaleToZero"]).await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    let web = scene.json::<Deployment>("web").await;
    let mark = web["metadata"]["annotations"]["charttrust.io/quarantine"]
        .as_str()
        .unwrap();
    let forged = mark.replace("\"original\":3", "\"original\":500");
    assert_ne!(forged, mark);
    let change = json!({"metadata": {"annotations": {"charttrust.io/quarantine": forged}}});
    let deployments = scene.api::<Deployment>();
    deployments
        .patch("web", &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
    let quarantines = scene.api::<Quarantine>();
    quarantines
        .delete("web", &DeleteParams::default())
        .await
        .unwrap();
    scene
        .quarantine_has("web", "Contested=True/OriginalsDisagree")
        .await;
    assert_eq!(scene.replicas().await, 0);
    assert_eq!(
        scene.json::<StatefulSet>("web-db").await["spec"]["replicas"],
        2
    );
    scene.event("Contested").await;

    // The way out: say by hand what it shall be.
    let change = json!({
        "metadata": {"annotations": {"charttrust.io/quarantine": null}},
        "spec": {"replicas": 3},
    });
    deployments
        .patch("web", &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
    scene.no_quarantine("web").await;
    assert_eq!(scene.replicas().await, 3);
}
