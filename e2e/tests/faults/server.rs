//! The API server and etcd are started anew, go back to what they once were, or have no room.

use std::time::Duration;

use charttrust::leader::elector::RETRY_PERIOD;
use charttrust_e2e::auditor;
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::operator::{Operator, binary};
use charttrust_e2e::plane::Plane;
use charttrust_e2e::proxy::{Fault, Proxy};
use charttrust_e2e::stage::{
    OPERATOR_NAMESPACE, Opening, Power, SOON, Scene, Setting, Stage, workloads::automatic,
};
use charttrust_e2e::{eventually, lasting};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::{audited, breaches_nothing, say};

/// A plane of our own, as the shared one must not be ended; and the cluster that it is, which lasts as long as the
/// process.
async fn plane(quota: Option<u64>) -> (Plane, &'static Cluster) {
    let plane = match quota {
        Some(bytes) => Plane::start_with_room(bytes).await.unwrap(),
        None => Plane::start(None).await.unwrap(),
    };
    let cluster = Cluster::of(plane.access().clone());
    (plane, Box::leak(Box::new(cluster)))
}

/// F17. What happens while the API server, or etcd, is started anew is done afterwards, as if nothing had been.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_or_etcd_that_is_started_anew_is_followed_again() {
    let (mut plane, cluster) = plane(None).await;
    let stage = Stage::set(cluster, Setting::new(binary(), Power::Contains)).await;
    let start = cluster.mark();
    let scene = Opening::of_every_kind("anew")
        .with_quarantine(automatic())
        .trusted(cluster)
        .await;
    let before = scene.workloads().await;
    plane.restart_api_server().await.unwrap();
    scene.revoke().await;
    scene.contained("web").await;
    scene.incident_is_remembered("web").await;
    plane.restart_etcd().await.unwrap();
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    scene.expect("web", "SignatureVerified").await;
    assert_eq!(scene.workloads().await, before);
    let answered = cluster.audit().unwrap().answered_since(start);
    breaches_nothing(&stage, &answered.unwrap());
}

/// F17. etcd comes back as it was before the key was revoked, and its versions are smaller than those that were
/// seen. Whoever stands by loses no lease meanwhile, and its watches go on and say nothing: it would take over with
/// what is no more, and be deaf.
#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_has_gone_back_is_not_waited_for() {
    let (mut plane, cluster) = plane(None).await;
    let setting = Setting {
        more: Vec::new(),
        ..Setting::new(binary(), Power::Contains)
    };
    let stage = Stage::set(cluster, setting).await;
    let scene = Opening::of_every_kind("back")
        .with_quarantine(automatic())
        .trusted(cluster)
        .await;
    let before = scene.workloads().await;
    stage.at_rest(&scene.namespace).await;
    stage.operator(Operator::kill);
    plane.keep().await.unwrap();

    let another = tokio::spawn(leads(scene.client.clone()));
    eventually(SOON, "another leads", async || {
        let lease = leases(&scene.client)
            .get(LEASE)
            .await
            .map_err(|error| error.to_string())?;
        let holder = lease.spec.and_then(|spec| spec.holder_identity);
        if holder.as_deref() == Some(ANOTHER) {
            Ok(())
        } else {
            Err(format!("{holder:?}"))
        }
    })
    .await;
    stage.restart().await;
    scene.revoke().await;
    // So many versions that it would be deaf for long.
    fill(&scene, 600, 10).await;
    // It has to have seen a lease that was written after all that: what it has never seen it cannot miss.
    let stands_by = lasting(2 * RETRY_PERIOD, async || {
        let now = scene.workloads().await;
        if now == before { Ok(()) } else { Err(now) }
    });
    assert_eq!(stands_by.await, Ok(()));
    plane.go_back().await.unwrap();
    let ended = eventually(SOON, "the operator ends, to start anew", async || {
        stage.operator(Operator::ended).ok_or("it runs")
    })
    .await;
    let log = stage.operator(|operator| operator.log());
    assert_eq!(ended.code(), Some(4), "{log}");
    assert!(log.contains("gone back"), "{log}");
    assert_eq!(auditor::panics(&log), []);

    // As a kubelet does.
    stage.restart().await;
    another.abort();
    eventually(SOON, "it leads", async || {
        let url = stage.operator(|operator| operator.metrics_url());
        let text = reqwest::get(url)
            .await
            .map_err(|error| error.to_string())?
            .text()
            .await;
        let text = text.map_err(|error| error.to_string())?;
        if text.contains("charttrust_leader 1") {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    })
    .await;
    stage.at_rest(&scene.namespace).await;
    scene.expect("web", "SignatureVerified").await;
    assert_eq!(scene.workloads().await, before);
    scene.revoke().await;
    scene.contained("web").await;
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    assert_eq!(scene.workloads().await, before);
}

const LEASE: &str = "charttrust";
const ANOTHER: &str = "another";

fn leases(client: &Client) -> Api<Lease> {
    Api::namespaced(client.clone(), OPERATOR_NAMESPACE)
}

/// Renews the lease for ever, as another replica that leads.
async fn leads(client: Client) {
    loop {
        let now = MicroTime(jiff::Timestamp::now());
        let spec = json!({"spec": {"holderIdentity": ANOTHER, "leaseDurationSeconds": 15, "renewTime": now}});
        let renewed = leases(&client)
            .patch(LEASE, &PatchParams::default(), &Patch::Merge(spec))
            .await;
        // While there is no API server, nobody can renew.
        drop(renewed);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// F18. etcd is full in the middle of a quarantine: what is read is read, nothing is written, and nothing is lost
/// of what was saved. With room again it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_without_room_leaves_nothing_half_done() {
    let (plane, cluster) = plane(Some(ROOM)).await;
    let proxy = Proxy::start(cluster.kubeconfig()).await.unwrap();
    let setting = Setting {
        proxy: Some(&proxy),
        ..Setting::new(binary(), Power::Contains)
    };
    let stage = Stage::set(cluster, setting).await;
    let start = cluster.mark();
    let scene = Opening::of_every_kind("full")
        .with_quarantine(automatic())
        .trusted(cluster)
        .await;
    let before = scene.workloads().await;
    proxy.strike_first("PATCH", "/deployments/web", Fault::Part);
    scene.revoke().await;
    eventually(SOON, "it is in the middle", async || {
        if proxy.is_parted() {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
    let written = fill(&scene, usize::MAX, 500_000).await;
    say(&format!("etcd was full after {written} objects of 500 kB"));
    let full = cluster.mark();
    proxy.join();
    let (health, id) = stage.operator(|operator| (operator.health().to_owned(), operator.id()));
    let alive = lasting(Duration::from_secs(8), async || {
        Operator::pulse(&health, id).await
    });
    assert_eq!(alive.await, Ok(()));
    let refused = cluster.asked_since(full).by(stage.identity.user());
    let refused = refused.writes().only(|event| event.code >= 500);
    assert!(!refused.is_empty(), "nothing was refused");

    let maps = scene.api::<ConfigMap>();
    let deleted = maps
        .delete_collection(&DeleteParams::default(), &filling())
        .await;
    drop(scene.done("delete what fills it", deleted));
    plane.make_room().await.unwrap();
    scene.contained("web").await;
    scene.incident_is_remembered("web").await;
    scene.withdraw().await;
    scene.no_quarantine("web").await;
    scene.expect("web", "SignatureVerified").await;
    assert_eq!(scene.workloads().await, before);
    audited(&stage, start);
}

/// Room for what a cluster at rest holds, and a little.
const ROOM: u64 = 24 << 20;

fn filling() -> ListParams {
    ListParams::default().labels("story=fills")
}

/// Writes so many objects of this size, or until nothing more is taken; how many were.
async fn fill(scene: &Scene, most: usize, bytes: usize) -> usize {
    let maps: Api<ConfigMap> = scene.api();
    for number in 0..most {
        let object: ConfigMap = serde_json::from_value(json!({
            "metadata": {"generateName": "fills-", "labels": {"story": "fills"}},
            "data": {"text": "x".repeat(bytes)},
        }))
        .unwrap();
        match maps.create(&PostParams::default(), &object).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.message.contains("space exceeded") => {
                return number;
            }
            Err(error) => panic!("{error}"),
        }
    }
    most
}
