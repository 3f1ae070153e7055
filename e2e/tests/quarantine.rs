//! Quarantines on a real control plane with real Helm: what is changed, what comes back, and what
//! is never touched. The operator of this file runs with `--quarantine`.

use std::path::Path;

use charttrust::api::quarantine::Quarantine;
use charttrust::api::{ChartTrustPolicy, TrustedKey};
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, SOON, Stage, Story};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

mod scene;

use scene::{Scene, automatic, chart, scene};

/// One operator for all: stories that restart it have it alone.
async fn shared() -> &'static RwLock<Stage> {
    static STAGE: OnceCell<RwLock<Stage>> = OnceCell::const_new();
    let set = async || {
        let binary = binary();
        let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
        RwLock::new(
            Stage::containing(cluster, Path::new(&binary))
                .await
                .unwrap(),
        )
    };
    STAGE.get_or_init(set).await
}

fn binary() -> String {
    std::env::var("CHARTTRUST_BINARY").expect("CHARTTRUST_BINARY names the operator; run make test")
}

async fn stage() -> RwLockReadGuard<'static, Stage> {
    shared().await.read().await
}

async fn stage_alone() -> RwLockWriteGuard<'static, Stage> {
    shared().await.write().await
}

const ALL: [&str; 3] = ["PauseDeployer", "IsolateNetwork", "ScaleToZero"];

async fn a_person_contains_a_release_and_gets_it_back_as_it_was(version: Version) {
    let stage = stage().await;
    let scene = scene(&stage, "by-hand", version, Value::Null).await;
    let before = scene.workloads().await;

    scene.create_quarantine(&ALL).await;
    let object = scene.quarantine_is("Active=True/Contained").await;
    scene.quarantine_is("Isolated=True/TrafficDenied").await;
    let status = object.status.unwrap();
    assert_eq!(status.contained, 8, "{status:#?}");
    let left: Vec<_> = status.uncontained.iter().map(|one| &one.name).collect();
    assert_eq!(left, ["web-bare"]);
    assert_eq!(scene.replicas().await, 0);
    assert_eq!(
        scene.json::<StatefulSet>("web-db").await["spec"]["replicas"],
        0
    );
    assert_eq!(
        scene.json::<CronJob>("web-nightly").await["spec"]["suspend"],
        true
    );
    let agent = scene.json::<DaemonSet>("web-agent").await;
    let selector = &agent["spec"]["template"]["spec"]["nodeSelector"];
    assert_eq!(*selector, json!({"charttrust.io/quarantined": "true"}));
    let denial = scene
        .json::<NetworkPolicy>("charttrust-quarantine-web")
        .await;
    assert_eq!(denial["spec"]["policyTypes"], json!(["Egress", "Ingress"]));
    let trusts = scene.trusts();
    scene
        .expect_condition(&trusts, "web", "Quarantined=True/Active")
        .await;

    scene.delete_quarantine().await;
    assert_eq!(scene.workloads().await, before);
    let policies = scene
        .api::<NetworkPolicy>()
        .list(&ListParams::default())
        .await
        .unwrap();
    assert!(policies.items.is_empty());
    scene.event("Restored").await;

    let archive = scene
        .publish(&chart("1.0.1"), Some(&scene.key))
        .await
        .unwrap();
    let archive = archive.archive.to_string_lossy().into_owned();
    let helm = &scene.helm;
    let set = ["--set", "replicas=5"];
    helm.upgrade(&scene.namespace, "web", &archive, &set)
        .await
        .unwrap();
    assert_eq!(scene.replicas().await, 5);
}

async fn a_revocation_contains_and_its_withdrawal_restores(version: Version) {
    let stage = stage().await;
    let scene = scene(&stage, "automatic", version, automatic()).await;
    let before = scene.workloads().await;
    scene.revoke().await;
    let object = scene.quarantine_is("Active=True/Contained").await;
    assert_eq!(object.spec.policy.as_ref(), Some(&scene.policy));
    let incident = object.status.unwrap().incident.unwrap();
    assert!(
        incident.starts_with(&scene.key.key.fingerprint),
        "{incident}"
    );
    assert_eq!(scene.replicas().await, 0);
    eventually(SOON, "the policy counts it", async || {
        let policy = scene
            .policies()
            .get(&scene.policy)
            .await
            .map_err(|e| e.to_string())?;
        let counts = policy.status.unwrap_or_default().quarantine;
        if counts.active == 1 {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    })
    .await;

    scene.withdraw().await;
    scene.no_quarantine().await;
    assert_eq!(scene.workloads().await, before);
    scene.expect("web", "SignatureVerified").await;

    // Declared again it is another incident.
    scene.revoke().await;
    scene.quarantine_is("Active=True/Contained").await;
    scene.withdraw().await;
    scene.no_quarantine().await;
    assert_eq!(scene.workloads().await, before);
}

macro_rules! with_both_helms {
    ($($name:ident)+) => {
        mod helm_3 { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(charttrust_e2e::helm::Version::V3).await; })+ }
        mod helm_4 { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name(charttrust_e2e::helm::Version::V4).await; })+ }
    };
}

with_both_helms! {
    a_person_contains_a_release_and_gets_it_back_as_it_was
    a_revocation_contains_and_its_withdrawal_restores
    an_upgrade_to_a_trusted_chart_ends_it_and_its_values_stand
}

async fn an_upgrade_to_a_trusted_chart_ends_it_and_its_values_stand(version: Version) {
    let stage = stage().await;
    let scene = scene(&stage, "forward", version, automatic()).await;
    let fresh = scene.trusted_key("fresh").await.unwrap();
    let rules = [scene.rule("*", &[&scene.key, &fresh], json!({}))];
    let change = json!({"spec": {"rules": rules}});
    scene
        .story
        .patch::<ChartTrustPolicy>(&scene.policy, change)
        .await
        .unwrap();
    scene.revoke().await;
    scene.quarantine_is("Active=True/Contained").await;
    let source = chart("2.0.0").with_file("values.yaml", "replicas: 4\n");
    let signed = scene.publish(&source, Some(&fresh)).await.unwrap();
    let archive = signed.archive.to_string_lossy().into_owned();
    let force: &[&str] = match version {
        Version::V3 => &[],
        // Helm 4 says whose fields it would take; the person who goes on takes them.
        Version::V4 => &["--force-conflicts"],
    };
    scene
        .helm
        .upgrade(&scene.namespace, "web", &archive, force)
        .await
        .unwrap();
    scene.expect("web", "SignatureVerified").await;
    scene.no_quarantine().await;
    assert_eq!(scene.replicas().await, 4);
    let stateful = scene.json::<StatefulSet>("web-db").await;
    assert_eq!(stateful["spec"]["replicas"], 2);
    assert!(!stateful.to_string().contains("charttrust.io/quarantine"));

    // Back to what the stolen key has signed: trust had ended the quarantine, not a person.
    scene
        .helm
        .rollback(&scene.namespace, "web", 1)
        .await
        .unwrap();
    scene.quarantine_is("Active=True/Contained").await;
    assert_eq!(scene.replicas().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_and_does_not_fit_starts_not_at_all() {
    let stage = stage().await;
    let mut quarantine = automatic();
    quarantine["limit"] = json!({"maxReleases": 2, "maxPercent": 100});
    let scene = scene(&stage, "limit", Version::V4, quarantine).await;
    let archive = scene
        .publish(&chart("1.0.0"), Some(&scene.key))
        .await
        .unwrap();
    for release in ["shop", "forum"] {
        scene.install(release, &archive).await.unwrap();
        scene.expect(release, "SignatureVerified").await;
    }
    scene.revoke().await;
    let policies = scene.policies();
    let message = scene
        .expect_condition(
            &policies,
            &scene.policy,
            "QuarantineStopped=True/LimitReached",
        )
        .await;
    let named = format!("{}/forum,shop,web", scene.namespace);
    assert!(message.contains(&named), "{message}");
    assert!(message.contains("raise spec.quarantine.limit"), "{message}");
    let started = scene
        .api::<Quarantine>()
        .list(&ListParams::default())
        .await
        .unwrap();
    assert!(started.items.is_empty());
    assert_eq!(scene.replicas().await, 3);

    // The way on.
    let raise = json!({"spec": {"quarantine": {"limit": {"maxReleases": 3}}}});
    scene
        .story
        .patch::<ChartTrustPolicy>(&scene.policy, raise)
        .await
        .unwrap();
    scene.quarantine_is("Active=True/Contained").await;
    assert_eq!(scene.replicas().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_automatic_approval_it_is_recommended_and_nothing_is_changed() {
    let stage = stage().await;
    let mut quarantine = automatic();
    quarantine["approval"] = json!("Manual");
    let scene = scene(&stage, "approval", Version::V4, quarantine).await;
    scene.revoke().await;
    let trusts = scene.trusts();
    let waiting = "Quarantined=False/AwaitingApproval";
    scene.expect_condition(&trusts, "web", waiting).await;
    let note = scene.event("AwaitingApproval").await;
    assert!(note.contains(&scene.policy), "{note}");
    assert_eq!(scene.replicas().await, 3);
    scene.create_quarantine(&["ScaleToZero"]).await;
    scene.quarantine_is("Active=True/Contained").await;
    scene
        .expect_condition(&trusts, "web", "Quarantined=True/Active")
        .await;
    assert_eq!(scene.replicas().await, 0);
}

/// Each in a namespace of its own, under a policy that would contain it but for one thing.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_due_is_not_contained() {
    let stage = stage().await;
    let mut later = automatic();
    later["after"] = json!("1h");
    let later = scene(&stage, "later", Version::V4, later).await;
    let suspended = scene(&stage, "suspended", Version::V4, automatic()).await;
    let suspend = json!({"spec": {"suspend": true}});
    suspended
        .story
        .patch::<ChartTrustPolicy>(&suspended.policy, suspend)
        .await
        .unwrap();
    let other_reason = scene(&stage, "other-reason", Version::V4, automatic()).await;
    later.revoke().await;
    suspended.revoke().await;
    let unspecified = json!({"spec": {"revocation": {"reason": "Unspecified"}}});
    other_reason
        .story
        .patch::<TrustedKey>(&other_reason.key.name, unspecified)
        .await
        .unwrap();
    later.expect("web", "KeyCompromised").await;
    suspended.expect("web", "KeyCompromised").await;
    other_reason.expect("web", "KeyRevoked").await;

    // What is due is contained meanwhile.
    let due = scene(&stage, "due", Version::V4, automatic()).await;
    due.revoke().await;
    due.quarantine_is("Active=True/Contained").await;
    for scene in [&later, &suspended, &other_reason] {
        let all = scene.api::<Quarantine>();
        let all = all.list(&ListParams::default()).await.unwrap();
        assert!(all.items.is_empty(), "{}", scene.namespace);
        assert_eq!(scene.replicas().await, 3, "{}", scene.namespace);
    }
    eventually(SOON, "the policy says that it waits", async || {
        let policy = later.policies().get(&later.policy).await;
        let policy = policy.map_err(|error| error.to_string())?;
        let counts = policy.status.unwrap_or_default().quarantine;
        if counts.waiting == 1 {
            Ok(())
        } else {
            Err(format!("{counts:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_scaled_meanwhile_keeps_the_change_and_is_told() {
    let stage = stage().await;
    let scene = scene(&stage, "scaled", Version::V4, Value::Null).await;
    scene.create_quarantine(&["ScaleToZero"]).await;
    scene.quarantine_is("Active=True/Contained").await;
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
    scene.delete_quarantine().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_ended_stays_ended_through_a_restart() {
    let stage = stage_alone().await;
    let scene = scene(&stage, "ended", Version::V4, automatic()).await;
    scene.revoke().await;
    scene.quarantine_is("Active=True/Contained").await;
    scene.delete_quarantine().await;
    let trusts = scene.trusts();
    scene
        .expect_condition(&trusts, "web", "Quarantined=False/Released")
        .await;
    assert_eq!(scene.replicas().await, 3);
    stage.restart().await.unwrap();
    let other = self::scene(&stage, "ended-other", Version::V4, automatic()).await;
    other.revoke().await;
    other.quarantine_is("Active=True/Contained").await;
    assert_eq!(scene.replicas().await, 3);
    scene
        .expect_condition(&trusts, "web", "Quarantined=False/Released")
        .await;
    assert!(
        scene
            .api::<Quarantine>()
            .get_opt("web")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_changes_nothing_twice() {
    let stage = stage_alone().await;
    let scene = scene(&stage, "restarted", Version::V4, automatic()).await;
    let before = scene.workloads().await;
    scene.revoke().await;
    scene.quarantine_is("Active=True/Contained").await;
    let audit = stage.cluster.audit().unwrap();
    let mark = audit.mark().unwrap();
    stage.restart().await.unwrap();
    let other = self::scene(&stage, "restarted-other", Version::V4, automatic()).await;
    other.revoke().await;
    other.quarantine_is("Active=True/Contained").await;
    let writes = audit
        .since(mark)
        .unwrap()
        .by(stage.identity.user())
        .writes();
    let writes = writes.only(|event| event.namespace == scene.namespace);
    assert!(writes.is_empty(), "{writes:#?}");
    scene.withdraw().await;
    scene.no_quarantine().await;
    assert_eq!(scene.workloads().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_policy_or_key_it_stays_until_a_person_ends_it() {
    let stage = stage().await;
    let scene = scene(&stage, "orphaned", Version::V4, automatic()).await;
    let before = scene.workloads().await;
    scene.revoke().await;
    scene.quarantine_is("Active=True/Contained").await;
    scene
        .story
        .delete::<ChartTrustPolicy>(&scene.policy)
        .await
        .unwrap();
    scene.expect("web", "NoPolicy").await;
    scene
        .story
        .delete::<TrustedKey>(&scene.key.name)
        .await
        .unwrap();
    scene.quarantine_is("Active=True/Contained").await;
    assert_eq!(scene.replicas().await, 0);
    scene.delete_quarantine().await;
    assert_eq!(scene.workloads().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_release_gone_it_ends_and_leaves_nothing() {
    let stage = stage().await;
    let scene = scene(&stage, "uninstalled", Version::V4, automatic()).await;
    scene.revoke().await;
    scene.quarantine_is("Active=True/Contained").await;
    scene.helm.uninstall(&scene.namespace, "web").await.unwrap();
    scene.no_quarantine().await;
    let policies = scene
        .api::<NetworkPolicy>()
        .list(&ListParams::default())
        .await
        .unwrap();
    assert!(policies.items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_goes_is_not_held_up() {
    let stage = stage().await;
    let scene = scene(&stage, "going", Version::V4, automatic()).await;
    scene.revoke().await;
    scene.quarantine_is("Active=True/Contained").await;
    // Somebody holds up the Deployment, so that it could still be started.
    hold(&scene, &["example.com/hold"]).await;
    let audit = stage.cluster.audit().unwrap();
    let mark = audit.mark().unwrap();
    let namespaces = Api::<Namespace>::all(scene.client.clone());
    namespaces
        .delete(&scene.namespace, &DeleteParams::default())
        .await
        .unwrap();
    scene.no_quarantine().await;
    assert_eq!(scene.replicas().await, 0);
    hold(&scene, &[]).await;
    eventually(SOON, "the namespace is gone", async || {
        match namespaces.get_opt(&scene.namespace).await {
            Ok(None) => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    })
    .await;
    // Nothing is started again only to be deleted.
    let us = stage.identity.user();
    let of_others = audit.since(mark).unwrap().by(us).writes().only(|event| {
        let ours = ["events", "quarantines", "releasetrusts"];
        event.namespace == scene.namespace && !ours.contains(&event.resource.as_str())
    });
    assert!(of_others.is_empty(), "{of_others:#?}");
}

async fn hold(scene: &Scene, finalizers: &[&str]) {
    let change = json!({"metadata": {"finalizers": finalizers}});
    scene
        .api::<Deployment>()
        .patch("web", &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
}

/// An admission policy that lets nobody change the Deployment `web` of a namespace.
struct Freeze {
    bindings: Api<ValidatingAdmissionPolicyBinding>,
    binding: ValidatingAdmissionPolicyBinding,
    deployments: Api<Deployment>,
}

impl Freeze {
    async fn of(scene: &Scene) -> Self {
        let name = format!("freeze-{}", scene.namespace);
        let policy = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "namespaceSelector": {"matchLabels": {
                        "kubernetes.io/metadata.name": scene.namespace,
                    }},
                    "resourceRules": [{
                        "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"],
                        "resources": ["deployments"], "resourceNames": ["web"],
                    }],
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
        }
    }

    async fn begins(&self) {
        let params = PostParams::default();
        self.bindings.create(&params, &self.binding).await.unwrap();
        self.is("in force", true).await;
    }

    async fn ends(&self) {
        let name = self.binding.metadata.name.as_deref().unwrap();
        let params = DeleteParams::default();
        self.bindings.delete(name, &params).await.unwrap();
        self.is("no longer in force", false).await;
    }

    /// The server takes a moment to learn of a policy.
    async fn is(&self, what: &str, wanted: bool) {
        let params = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        let change = Patch::Merge(json!({"metadata": {"labels": {"tried": "x"}}}));
        eventually(SOON, &format!("the freeze is {what}"), async || {
            let answer = self.deployments.patch("web", &params, &change).await;
            if answer.is_err() == wanted {
                Ok(())
            } else {
                Err(format!("{:?}", answer.err()))
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_object_that_may_not_be_changed_holds_up_no_other() {
    let stage = stage().await;
    let scene = scene(&stage, "refused", Version::V4, Value::Null).await;
    let quarantines = scene.api::<Quarantine>();
    let before = scene.workloads().await;
    let freeze = Freeze::of(&scene).await;
    freeze.begins().await;
    scene.create_quarantine(&ALL).await;
    let refused = "Contested=True/ObjectRefused";
    let message = scene.expect_condition(&quarantines, "web", refused).await;
    for told in [
        "Deployment web",
        "cannot be contained",
        "nothing is changed today",
    ] {
        assert!(message.contains(told), "{told}: {message}");
    }
    let object = scene.quarantine_is("Active=False/Containing").await;
    assert_eq!(object.status.unwrap().contained, 7);
    assert_eq!(scene.replicas().await, 3);
    let stateful = scene.json::<StatefulSet>("web-db").await;
    assert_eq!(stateful["spec"]["replicas"], 0);
    let note = scene.event("Contested").await;
    assert!(note.contains("Deployment web"), "{note}");

    freeze.ends().await;
    scene.quarantine_is("Active=True/Contained").await;
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
    scene.no_quarantine().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_record_reaches_no_neighbour() {
    let stage = stage().await;
    let scene = scene(&stage, "forged", Version::V4, Value::Null).await;
    let far = stage.cluster.namespace("forged-far").await.unwrap();
    let near = neighbour(&scene, &scene.namespace).await;
    let other = neighbour(&scene, &far).await;
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
    let mark = stage.cluster.audit().unwrap().mark().unwrap();

    scene.create_quarantine(&ALL).await;
    let object = scene.quarantine_is("Active=True/Contained").await;
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
    scene.quarantine_is("Active=False/Containing").await;
    scene.delete_quarantine().await;

    for api in [near, other] {
        let object = api.get("neighbour").await.unwrap();
        assert_eq!(object.spec.unwrap().replicas, Some(2));
    }
    assert_eq!(scene.replicas().await, 3);
    let audit = stage.cluster.audit().unwrap().since(mark).unwrap();
    let foreign = audit
        .by(stage.identity.user())
        .writes()
        .only(|e| e.name == "neighbour");
    assert!(foreign.is_empty(), "{foreign:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_original_is_contested_and_never_believed() {
    let stage = stage().await;
    let scene = scene(&stage, "edited", Version::V4, Value::Null).await;
    scene.create_quarantine(&["ScaleToZero"]).await;
    scene.quarantine_is("Active=True/Contained").await;
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
        .quarantine_is("Contested=True/OriginalsDisagree")
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
    scene.no_quarantine().await;
    assert_eq!(scene.replicas().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_policies_that_allow_are_named() {
    let stage = stage().await;
    let scene = scene(&stage, "allowed", Version::V4, Value::Null).await;
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
    scene.create_quarantine(&["IsolateNetwork"]).await;
    let api = scene.api::<Quarantine>();
    let message = scene
        .expect_condition(&api, "web", "Isolated=False/OtherPoliciesAllow")
        .await;
    assert!(message.contains("lets-all-in"), "{message}");
    scene.delete_quarantine().await;
    let left = policies.list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_labels_are_not_isolated_but_reported() {
    let stage = stage().await;
    let scene = scene(&stage, "labels", Version::V4, Value::Null).await;
    // A Pod of somebody else with the labels of the Deployment.
    let pods = scene.api::<k8s_openapi::api::core::v1::Pod>();
    let pod = serde_json::from_value(json!({
        "metadata": {"name": "stranger", "labels": {"app.kubernetes.io/instance": "web"}},
        "spec": {"containers": [{"name": "main", "image": "registry.example.com/pause:1"}]},
    }))
    .unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    scene.create_quarantine(&["IsolateNetwork"]).await;
    let object = scene.quarantine_is("Isolated=False/SelectorShared").await;
    let left = object.status.unwrap().uncontained;
    let told = left
        .iter()
        .any(|one| one.name == "web" && one.message.contains("stranger"));
    assert!(told, "{left:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_somebody_else_that_comes_later_gets_its_network_back() {
    let stage = stage().await;
    let scene = scene(&stage, "later", Version::V4, Value::Null).await;
    scene.create_quarantine(&["IsolateNetwork"]).await;
    scene.quarantine_is("Isolated=True/TrafficDenied").await;
    assert_eq!(scene.policies_of_network().await.len(), 4);
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
    assert_eq!(left.len(), 3, "{left:?}");
    scene.delete_quarantine().await;
    assert_eq!(scene.policies_of_network().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_does_not_exist_is_waited_for() {
    let stage = stage().await;
    let story = Story::begin(stage.cluster, "nobody", Version::V4)
        .await
        .unwrap();
    let key = story.trusted_key("platform").await.unwrap();
    let scene = Scene {
        policy: String::new(),
        story,
        key,
    };
    scene.create_quarantine(&["ScaleToZero"]).await;
    scene.quarantine_is("Active=False/ReleaseNotFound").await;
    let archive = scene.publish(&chart("1.0.0"), None).await.unwrap();
    scene.install("web", &archive).await.unwrap();
    scene.quarantine_is("Active=True/Contained").await;
    assert_eq!(scene.replicas().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_own_namespace_is_protected() {
    let stage = stage().await;
    let client = stage.cluster.client().await.unwrap();
    let api = Api::<Quarantine>::namespaced(client, "kube-system");
    let object: Quarantine = serde_json::from_value(json!({
        "metadata": {"name": "dns"},
        "spec": {"reason": "a story", "actions": ["ScaleToZero"]},
    }))
    .unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
    eventually(SOON, "it is refused", async || {
        let object = api.get("dns").await.map_err(|error| error.to_string())?;
        let status = serde_json::to_value(object.status).unwrap();
        let is_protected = status["conditions"][0]["reason"] == "Protected";
        if is_protected {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .await;
    api.delete("dns", &DeleteParams::default()).await.unwrap();
}

/// Runs a command of the real binary as the administrator; its exit code and what it printed.
async fn charttrust(stage: &Stage, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::new(binary());
    command
        .args(arguments)
        .env("KUBECONFIG", stage.cluster.kubeconfig())
        .stdin(std::process::Stdio::null());
    let output = command.output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_needs_no_operator_and_no_quarantine() {
    let stage = stage_alone().await;
    let scene = scene(&stage, "restore", Version::V4, Value::Null).await;
    let orphaned = self::scene(&stage, "restore-orphan", Version::V4, Value::Null).await;
    let before = [scene.workloads().await, orphaned.workloads().await];
    for scene in [&scene, &orphaned] {
        scene.create_quarantine(&ALL).await;
        scene.quarantine_is("Active=True/Contained").await;
    }
    stage.operator(charttrust_e2e::operator::Operator::kill);

    // As somebody does who cannot wait for the finalizer.
    let force = json!({"metadata": {"finalizers": null}});
    let quarantines = orphaned.api::<Quarantine>();
    quarantines
        .patch("web", &PatchParams::default(), &Patch::Merge(force))
        .await
        .unwrap();
    orphaned.delete_quarantine().await;
    assert_eq!(orphaned.replicas().await, 0);
    assert_eq!(orphaned.policies_of_network().await.len(), 4);

    let name = format!("{}/web", scene.namespace);
    let (code, said) = charttrust(&stage, &["restore", &name, "--dry-run"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Deployment web: 3"), "{said}");
    assert_eq!(scene.replicas().await, 0);
    let (code, said) = charttrust(&stage, &["restore", &name]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--yes"), "{said}");
    let (code, said) = charttrust(&stage, &["restore", &name, "--yes"]).await;
    assert_eq!(code, Some(0), "{said}");
    scene.no_quarantine().await;
    let orphan = format!("{}/web", orphaned.namespace);
    let (code, said) = charttrust(&stage, &["restore", &orphan, "--yes"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("whose Quarantine is gone"), "{said}");
    let denial = "charttrust-quarantine-web, whose Quarantine is gone: made for it, to be deleted";
    assert!(said.contains(denial), "{said}");
    for scene in [&scene, &orphaned] {
        assert_eq!(scene.policies_of_network().await, Vec::<String>::new());
    }
    assert_eq!(
        [scene.workloads().await, orphaned.workloads().await],
        before
    );
    let (code, said) = charttrust(&stage, &["restore", &orphan, "--yes"]).await;
    assert_eq!((code, said.trim()), (Some(0), "nothing is contained"));
    stage.restart().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_shows_first_and_then_creates() {
    let stage = stage().await;
    let scene = scene(&stage, "command", Version::V4, Value::Null).await;
    let name = format!("{}/web", scene.namespace);
    let arguments = ["quarantine", &name, "--reason", "a story", "--dry-run"];
    let (code, said) = charttrust(&stage, &arguments).await;
    assert_eq!(code, Some(0), "{said}");
    for told in [
        "web: stopped (before: 3)",
        "charttrust-quarantine-web: deny all traffic",
        "left alone: Pod web-bare",
        "Undo: kubectl delete quarantine",
    ] {
        assert!(said.contains(told), "{told} in {said}");
    }
    let quarantines = scene.api::<Quarantine>();
    assert!(quarantines.get_opt("web").await.unwrap().is_none());
    let git = ["quarantine", &name, "--reason", "a story", "-o", "yaml"];
    let (code, yaml) = charttrust(&stage, &git).await;
    assert_eq!(code, Some(0), "{yaml}");
    let documents: Vec<Value> = serde_saphyr::from_multiple(&yaml).unwrap();
    assert_eq!(documents[0]["kind"], "Quarantine");

    let key = scene.key.name.clone();
    let arguments = ["quarantine", "--key", &key, "--reason", "a story"];
    let more = ["--action", "ScaleToZero", "--yes"];
    let (code, said) = charttrust(&stage, &[&arguments[..], &more].concat()).await;
    assert_eq!(code, Some(0), "{said}");
    let object = scene.quarantine_is("Active=True/Contained").await;
    assert_eq!(object.spec.reason, "a story");
    assert_eq!(scene.replicas().await, 0);
    let (code, said) = charttrust(&stage, &["quarantine", "web", "--reason", "x"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("NAMESPACE/RELEASE"), "{said}");
}

/// Anybody who may create `ConfigMap`s could claim that a release is what a stolen key signed.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_another_driver_contains_nothing_by_itself() {
    let stage = stage().await;
    let scene = scene(&stage, "drivers", Version::V4, automatic()).await;
    let stolen = scene.trusted_key("stolen").await.unwrap();
    let rules = json!([scene.rule("*", &[&scene.key, &stolen], json!({}))]);
    let change = json!({"spec": {"rules": rules}});
    let policies = &scene.policy;
    scene
        .story
        .patch::<ChartTrustPolicy>(policies, change)
        .await
        .unwrap();
    let old = scene.publish(&chart("0.9.0"), Some(&stolen)).await.unwrap();
    let elsewhere = stage.cluster.namespace("drivers-far").await.unwrap();
    let archive = old.archive.to_string_lossy().into_owned();
    scene
        .helm
        .install(&elsewhere, "web", &archive, &[])
        .await
        .unwrap();
    let far = Api::<Secret>::namespaced(scene.story.client.clone(), &elsewhere);
    let secret = far.get("sh.helm.release.v1.web.v1").await.unwrap();
    let payload = secret.data.unwrap()["release"].clone();
    let mut record = charttrust_e2e::record::decode(&payload.0).unwrap();
    record["namespace"] = json!(scene.namespace);
    record["version"] = json!(9);
    let payload = charttrust_e2e::record::encode(&record).unwrap();
    let payload: ByteString = serde_json::from_value(json!(payload)).unwrap();
    let forged: ConfigMap = serde_json::from_value(json!({
        "metadata": {
            "name": "sh.helm.release.v1.web.v9",
            "labels": {"owner": "helm", "name": "web", "status": "deployed", "version": "9"},
        },
        "data": {"release": String::from_utf8(payload.0).unwrap()},
    }))
    .unwrap();
    let maps = scene.api::<ConfigMap>();
    maps.create(&PostParams::default(), &forged).await.unwrap();
    let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    scene
        .story
        .patch::<TrustedKey>(&stolen.name, revoke)
        .await
        .unwrap();
    scene.expect("web", "KeyCompromised").await;
    let trusts = scene.trusts();
    scene
        .expect_condition(&trusts, "web", "Quarantined=False/AwaitingApproval")
        .await;
    let quarantines = scene.api::<Quarantine>();
    assert!(quarantines.get_opt("web").await.unwrap().is_none());
    assert_eq!(scene.replicas().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_policy_asks_for_no_more_is_not_begun() {
    let stage = stage().await;
    let mut manual = automatic();
    manual["approval"] = json!("Manual");
    let scene = scene(&stage, "withdrawn", Version::V4, manual).await;
    scene.revoke().await;
    scene.expect("web", "KeyCompromised").await;
    // As it was left by a crash between the decision and the first write.
    let object: Quarantine = serde_json::from_value(json!({
        "apiVersion": "charttrust.io/v1alpha1", "kind": "Quarantine",
        "metadata": {"name": "web", "finalizers": [charttrust::quarantine::FINALIZER]},
        "spec": {"reason": "a story", "actions": ["ScaleToZero"], "policy": scene.policy},
    }))
    .unwrap();
    let quarantines = scene.api::<Quarantine>();
    quarantines
        .create(&PostParams::default(), &object)
        .await
        .unwrap();
    scene.no_quarantine().await;
    assert_eq!(scene.replicas().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_bad_one_by_one_meets_the_limit_as_a_whole() {
    let stage = stage().await;
    let mut quarantine = automatic();
    quarantine["limit"] = json!({"maxReleases": 1, "maxPercent": 100});
    quarantine["after"] = json!("40s");
    let scene = scene(&stage, "one-by-one", Version::V4, quarantine).await;
    scene.revoke().await;
    scene.expect("web", "KeyCompromised").await;
    let archive = scene
        .publish(&chart("1.0.0"), Some(&scene.key))
        .await
        .unwrap();
    scene.install("shop", &archive).await.unwrap();
    scene.expect("shop", "KeyCompromised").await;
    let policies = scene.policies();
    let stopped = "QuarantineStopped=True/LimitReached";
    let message = scene
        .expect_condition(&policies, &scene.policy, stopped)
        .await;
    let named = format!("{}/shop,web", scene.namespace);
    assert!(message.contains(&named), "{message}");
    let quarantines = scene.api::<Quarantine>();
    assert!(quarantines.get_opt("web").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_began_and_ended_without_the_operator_stays_ended() {
    let stage = stage_alone().await;
    let mut manual = automatic();
    manual["approval"] = json!("Manual");
    let scene = scene(&stage, "by-hand", Version::V4, manual).await;
    scene.revoke().await;
    scene.expect("web", "KeyCompromised").await;
    scene.create_quarantine(&["ScaleToZero"]).await;
    scene.quarantine_is("Active=True/Contained").await;
    let remembered = Api::<ConfigMap>::namespaced(scene.story.client.clone(), OPERATOR_NAMESPACE);
    let name = format!("{}/web", scene.namespace);
    eventually(SOON, "the operator remembers it", async || {
        let map = remembered.get("charttrust-incidents").await;
        let data = map
            .map_err(|error| error.to_string())?
            .data
            .unwrap_or_default();
        let is_noted = data.values().any(|entry| entry.contains(&name));
        if is_noted {
            Ok(())
        } else {
            Err(format!("{data:?}"))
        }
    })
    .await;
    stage.operator(charttrust_e2e::operator::Operator::kill);
    let (code, said) = charttrust(&stage, &["restore", &name, "--yes"]).await;
    assert_eq!(code, Some(0), "{said}");
    scene.no_quarantine().await;
    let change = json!({"spec": {"quarantine": {"approval": "Automatic"}}});
    scene
        .story
        .patch::<ChartTrustPolicy>(&scene.policy, change)
        .await
        .unwrap();
    stage.restart().await.unwrap();
    let trusts = scene.trusts();
    scene
        .expect_condition(&trusts, "web", "Quarantined=False/Released")
        .await;
    assert_eq!(scene.replicas().await, 3);
    scene.no_quarantine().await;
}
