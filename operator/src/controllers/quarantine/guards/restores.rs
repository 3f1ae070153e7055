//! What is put back at the end, and what stays.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    FREE, NOTHING, TELL, WORKLOAD, being_deleted, by_a_person, incident, is_due_after, of_argo_cd,
    of_revocation, reconciled, remember, remembered, report_only,
};
use crate::clock::{Moment, tick};
use crate::controllers::context::QuarantineSettings;
use crate::controllers::quarantine;
use crate::controllers::task::Task;
use crate::controllers::testing::{Scene, UID, quarantine_of, stolen, web};
use crate::leader::Leadership;
use crate::quarantine::{ANNOTATION, Annotation, FINALIZER, Original};

#[tokio::test]
async fn what_the_server_cannot_put_back_is_tried_again_soon() {
    let (scene, shop) = of_argo_cd(&[]).await;
    scene.quarantine(&shop, &by_a_person(json!({})));
    quarantine::reconcile(&scene.context, &shop, Moment::now(), crate::clock::tick())
        .await
        .unwrap();
    let mut object = scene.cluster.find(&quarantine_of(&shop)).unwrap();
    object["metadata"]["deletionTimestamp"] = json!("2026-11-18T10:00:00Z");
    scene.cluster.put(&quarantine_of(&shop), object);
    scene
        .cluster
        .refuse("PATCH", "/deployments/a", (500, "InternalError"));
    let task = Task::Quarantine(shop.clone());
    scene.context.queues.tasks.forget(&task);
    let before = tick();
    quarantine::reconcile(&scene.context, &shop, Moment::now(), crate::clock::tick())
        .await
        .unwrap();
    let soon = Duration::from_secs(2);
    assert!(is_due_after(&scene, &task, before, soon));
    let workload = scene.cluster.find(WORKLOAD).unwrap();
    assert_eq!(workload["spec"]["replicas"], 0);
    assert!(scene.cluster.find(&quarantine_of(&shop)).is_some());
}

/// Never lose the way back: a ConfigMap that cannot be written must not keep a workload stopped.
#[tokio::test]
async fn what_is_held_is_put_back_even_if_nobody_s_word_can_be_written() {
    for verb in ["POST", "GET"] {
        let (scene, shop) = of_argo_cd(&[]).await;
        scene.quarantine(&shop, &by_a_person(json!({})));
        let moment = Moment::now();
        quarantine::reconcile(&scene.context, &shop, moment, crate::clock::tick())
            .await
            .unwrap();
        let stopped = scene.cluster.find(WORKLOAD).unwrap();
        assert_eq!(stopped["spec"]["replicas"], 0);
        let mut object = scene.cluster.find(&quarantine_of(&shop)).unwrap();
        object["metadata"]["deletionTimestamp"] = json!("2026-11-18T10:00:00Z");
        scene.cluster.put(&quarantine_of(&shop), object);
        scene
            .cluster
            .refuse(verb, "/configmaps", (403, "Forbidden"));
        quarantine::reconcile(&scene.context, &shop, moment, crate::clock::tick())
            .await
            .unwrap();
        let workload = scene.cluster.find(WORKLOAD).unwrap();
        assert_eq!(workload["spec"]["replicas"], 3, "{verb}");
        assert_eq!(scene.cluster.find(&quarantine_of(&shop)), None, "{verb}");
    }
}

/// Never lose the way back: its end is for `end` to decide, which asks first whose word it is and
/// whether the namespace goes, and remembers that before anything is put back.
#[tokio::test]
async fn one_that_is_deleted_while_it_is_begun_is_put_back_by_its_end_alone() {
    let (scene, shop) = of_argo_cd(&[]).await;
    let reconcile = async || {
        let reconciled =
            quarantine::reconcile(&scene.context, &shop, Moment::now(), crate::clock::tick()).await;
        reconciled.unwrap();
    };
    scene.quarantine(&shop, &by_a_person(json!({})));
    reconcile().await;
    let replicas = || scene.cluster.find(WORKLOAD).unwrap()["spec"]["replicas"].clone();
    assert_eq!(replicas(), 0);

    // Something is to be written of it, and just before that somebody deletes it.
    let mut object = scene.cluster.find(&quarantine_of(&shop)).unwrap();
    object["metadata"]["generation"] = json!(2);
    scene.cluster.put(&quarantine_of(&shop), object.clone());
    object["metadata"]["deletionTimestamp"] = json!("2026-11-18T10:00:00Z");
    scene.cluster.meddle(&quarantine_of(&shop), Some(object));
    reconcile().await;
    assert_eq!(replicas(), 0, "nobody has asked yet whose word it is");
    assert!(scene.cluster.find(&quarantine_of(&shop)).is_some());

    reconcile().await;
    assert_eq!(replicas(), 3);
    assert_eq!(scene.cluster.find(&quarantine_of(&shop)), None);
}

#[tokio::test]
async fn one_without_our_finalizer_is_none_of_ours() {
    let scene = Scene::automatic().await;
    let of_others = json!({"metadata": {"finalizers": ["example.com/other"]}});
    scene.quarantine(&web(), &being_deleted(&of_others));
    assert_eq!(reconciled(&scene).await, NOTHING);
    assert_eq!(
        scene.cluster.writes().len(),
        0,
        "nobody's word is remembered"
    );
}

#[tokio::test]
async fn one_that_goes_with_its_namespace_was_ended_by_nobody() {
    let goes = json!({"metadata": {
        "name": "shop", "deletionTimestamp": "2026-11-18T10:00:00Z",
    }});
    for quarantine in [Some(QuarantineSettings::default()), None] {
        let scene = Scene::with(quarantine, Leadership::Alone).await;
        scene.judge(&web(), vec![stolen()]);
        scene.cluster.put("/api/v1/namespaces/shop", goes.clone());
        remember(&scene, |incidents| {
            incidents.note_active(&of_revocation(), &web());
        });
        scene.quarantine(&web(), &being_deleted(&json!({})));
        assert_eq!(reconciled(&scene).await, [FREE]);
        let incidents = remembered(&scene).await;
        assert!(!incidents.is_released(&of_revocation(), &web()));
        assert!(!incidents.was_active(&of_revocation(), &web()));
    }
}

#[tokio::test]
async fn without_the_switch_what_was_changed_keeps_its_way_back() {
    let scene = report_only().await;
    scene.quarantine(&web(), &being_deleted(&json!({})));
    assert_eq!(reconciled(&scene).await, [TELL]);
    let object = scene.cluster.find(&quarantine_of(&web())).unwrap();
    assert_eq!(object["metadata"]["finalizers"], json!([FINALIZER]));

    // Nothing was changed, so nothing is lost.
    let scene = report_only().await;
    let untouched = json!({"status": {"incident": null}});
    scene.quarantine(&web(), &being_deleted(&untouched));
    assert_eq!(reconciled(&scene).await, [FREE]);
}

#[tokio::test]
async fn of_a_namespace_that_goes_only_the_deployer_elsewhere_is_put_back() {
    let scene = Scene::automatic().await;
    let mark = |uid: &str, original: Option<Value>| Annotation {
        incident: incident(),
        quarantine: UID.to_owned(),
        uid: Some(uid.to_owned()),
        when_scaled: None,
        revision: None,
        time: "2026-11-18T10:00:00Z".to_owned(),
        original: Original::of(original.as_ref()),
        owners: Vec::new(),
    };
    let workload = "/apis/apps/v1/namespaces/shop/deployments/web";
    scene.cluster.put(
        workload,
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "namespace": "shop", "name": "web", "uid": "web-uid",
                "labels": {"app.kubernetes.io/managed-by": "Helm"},
                "annotations": {
                    "meta.helm.sh/release-name": "web",
                    "meta.helm.sh/release-namespace": "shop",
                    ANNOTATION: mark("web-uid", Some(json!(3))).text(),
                },
            },
            "spec": {"replicas": 0},
        }),
    );
    let deployer = "/apis/helm.toolkit.fluxcd.io/v2/namespaces/flux-system/helmreleases/web";
    scene.cluster.put(
        deployer,
        json!({
            "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
            "metadata": {
                "namespace": "flux-system", "name": "web", "uid": "flux-uid",
                "annotations": {ANNOTATION: mark("flux-uid", Some(json!(false))).text()},
            },
            "spec": {"suspend": true},
            "status": {"history": [{"name": "web", "namespace": "shop"}]},
        }),
    );
    let goes = json!({"metadata": {
        "name": "shop", "deletionTimestamp": "2026-11-18T10:00:00Z",
    }});
    scene.cluster.put("/api/v1/namespaces/shop", goes);
    let records = json!([
        {"action": "PauseDeployer", "apiVersion": "helm.toolkit.fluxcd.io/v2",
            "kind": "HelmRelease", "namespace": "flux-system", "name": "web", "uid": "flux-uid",
            "original": "false", "state": "Contained"},
        {"action": "ScaleToZero", "apiVersion": "apps/v1", "kind": "Deployment", "name": "web",
            "uid": "web-uid", "original": "3", "state": "Contained"},
    ]);
    let held = json!({"status": {"objects": records}});
    scene.quarantine(&web(), &being_deleted(&held));
    reconciled(&scene).await;
    let deployer = scene.cluster.find(deployer).unwrap();
    assert_eq!(deployer["spec"], json!({"suspend": false}));
    let workload = scene.cluster.find(workload).unwrap();
    assert_eq!(workload["spec"], json!({"replicas": 0}));
    assert_eq!(scene.cluster.find(&quarantine_of(&web())), None);
}

#[tokio::test]
async fn the_end_is_told_when_it_is_reached() {
    let restored = |scene: &Scene| {
        let all = scene.cluster.writes().into_iter();
        let events = all.filter(|write| write.path.ends_with("/events"));
        events
            .filter(|write| write.body["reason"] == "Restored")
            .count()
    };
    let scene = Scene::automatic().await;
    scene.quarantine(&web(), &being_deleted(&json!({})));
    assert_eq!(reconciled(&scene).await, [FREE]);
    assert_eq!(restored(&scene), 1);

    let scene = Scene::automatic().await;
    let unknown = json!([{"action": "ScaleToZero", "apiVersion": "example.com/v9", "kind": "Robot",
        "name": "web", "uid": "web-uid", "original": "3", "state": "Contained"}]);
    let held = json!({"status": {"objects": unknown}});
    scene.quarantine(&web(), &being_deleted(&held));
    assert!(!reconciled(&scene).await.contains(&FREE.to_owned()));
    assert_eq!(restored(&scene), 0);
}
