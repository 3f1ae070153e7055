//! Crashes while a release is contained and while it is restored.

use std::time::Duration;

use charttrust::api::quarantine::Quarantine;
use charttrust::api::{ChartTrustPolicy, TrustedKey};
use charttrust_e2e::audit::{Audit, Mark};
use charttrust_e2e::auditor;
use charttrust_e2e::helm::Version;
use charttrust_e2e::proxy::Fault;
use charttrust_e2e::shards::is_taken;
use charttrust_e2e::stage::{
    OPERATOR_NAMESPACE, Opening, SOON, Scene, kubectl,
    workloads::{CANARY, automatic},
};
use charttrust_e2e::{eventually, lasting};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::{Chaos, chaos, say};

/// What may happen to a write, and around it.
const FAULTS: [Fault; 11] = [
    Fault::CrashBefore,
    Fault::CrashAfter,
    Fault::LoseAnswer,
    Fault::Refuse(409),
    Fault::Refuse(410),
    Fault::Refuse(429),
    Fault::Refuse(500),
    Fault::Refuse(503),
    Fault::CutWatches,
    Fault::ExpireWatches,
    Fault::FreezeWatches,
];

/// With so many, a run of one takes a minute at most.
const SHARDS: usize = 17;

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantine_survives_a_fault_at_every_write() {
    survives(Version::V4, &FAULTS).await;
}

/// Who owns which field depends on who wrote it, and Helm 3 writes in another way.
#[tokio::test(flavor = "multi_thread")]
async fn what_helm_3_installed_survives_a_crash_at_every_write() {
    survives(Version::V3, &FAULTS[..2]).await;
}

async fn survives(version: Version, faults: &[Fault]) {
    let chaos = chaos().await;
    let (start, scene) = begin(&chaos, "struck", version).await;
    let before = scene.workloads().await;
    let writes = undisturbed(&chaos, &scene).await;
    let rest = at_rest(&scene).await;
    for (offset, fault) in faults.iter().enumerate() {
        let taken: Vec<usize> = (1..=writes)
            .filter(|number| is_taken(number + offset, SHARDS))
            .collect();
        let mut struck = 0;
        for number in &taken {
            let story = contained_and_restored(&scene);
            struck += usize::from(chaos.tell(*number, *fault, story).await);
            let point = format!("{fault:?} at write {number}");
            assert_eq!(scene.workloads().await, before, "{point}");
            same_end(&scene, &rest, &point).await;
        }
        say(&format!(
            "{fault:?} at {struck} of {writes} writes of a quarantine and its restore ({version:?})"
        ));
        // Who writes first is not the same each time, so a fault at one of the last may find nothing
        // left to strike.
        let least = taken.len() - taken.len().min(3);
        assert!(struck >= least.max(1), "{struck} of {taken:?}");
    }
    audited(&chaos, &scene, start).await;
}

async fn begin(chaos: &Chaos, prefix: &str, version: Version) -> (Mark, Scene) {
    let start = chaos.stage.cluster.mark();
    let scene = Opening::of_every_kind(prefix)
        .with_helm(version)
        .with_quarantine(automatic())
        .trusted(chaos.stage.cluster)
        .await;
    autoscale(&scene, chaos).await;
    (start, scene)
}

/// What release, key and policy say when nothing is left to say.
async fn at_rest(scene: &Scene) -> Value {
    let calm = eventually(SOON, "nothing is contained, and all say so", async || {
        let told = told(scene).await;
        let active = &told["policy"]["quarantine"]["active"];
        let is_calm = *active == json!(0) && !told.to_string().contains("Quarantined");
        if is_calm { Ok(told) } else { Err(told) }
    });
    calm.await
}

/// I7: whatever happened on the way, the end is the same.
async fn same_end(scene: &Scene, rest: &Value, point: &str) {
    let told = format!("after {point} all ends as if nothing had happened");
    eventually(SOON, &told, async || {
        let seen = self::told(scene).await;
        if seen == *rest {
            Ok(())
        } else {
            Err(format!("{seen} instead of {rest}"))
        }
    })
    .await;
}

async fn told(scene: &Scene) -> Value {
    let trust = scene.trusts().get("web").await.unwrap().status;
    let key = scene.keys().get(&scene.key.name).await.unwrap().status;
    let policy = scene.policies().get(&scene.policy).await.unwrap().status;
    auditor::without_chance(json!({"trust": trust, "key": key, "policy": policy}))
}

/// What the audit log says of everything since the beginning.
async fn audited(chaos: &Chaos, scene: &Scene, start: Mark) {
    let audit = chaos.stage.cluster.audit().unwrap();
    let us = [chaos.stage.identity.user()];
    quiet_in_the_end(&audit, us[0]).await;
    let events = audit.since(start).unwrap();
    let found = auditor::check(&events, &us, OPERATOR_NAMESPACE);
    assert_eq!(found.breaches, [], "of {} writes", found.checked);
    say(&format!(
        "{} writes to objects of others audited",
        found.checked
    ));
    let log = chaos.stage.operator(|operator| operator.log());
    assert_eq!(auditor::panics(&log), []);
    let url = chaos.stage.operator(|operator| operator.metrics_url());
    let metrics = reqwest::get(url).await.unwrap().text().await.unwrap();
    let told = [("log", log.as_str()), ("metrics", metrics.as_str())];
    assert_eq!(auditor::leaks(&events, &us, &told, &[CANARY]), []);
    scene.story.delete::<ChartTrustPolicy>(&scene.policy).await;
    scene.story.delete::<TrustedKey>(&scene.key.name).await;
}

/// I6: it comes to rest by itself.
async fn quiet_in_the_end(audit: &Audit, operator: &str) {
    eventually(SOON, "three seconds without a write", async || {
        let since = audit.mark().map_err(|error| error.to_string())?;
        lasting(Duration::from_secs(3), async || {
            let events = audit.since(since).map_err(|error| error.to_string())?;
            let loud = auditor::quiet(&events, &[operator], Timestamp::MIN);
            if loud.is_empty() {
                Ok(())
            } else {
                Err(format!("{loud:?}"))
            }
        })
        .await
    })
    .await;
}

/// A quarantine and its restore without a fault: how many writes there are to strike at.
async fn undisturbed(chaos: &Chaos, scene: &Scene) -> usize {
    chaos
        .tell(
            usize::MAX,
            Fault::CrashBefore,
            contained_and_restored(scene),
        )
        .await;
    let writes = chaos.proxy.writes();
    for (method, object, times) in EXPECTED {
        let found = writes
            .iter()
            .filter(|write| write.starts_with(method) && write.ends_with(object))
            .count();
        assert!(
            found >= times,
            "{method} {object} {found} times in {writes:#?}"
        );
    }
    writes.len()
}

/// The writes that there are at least: the points below which none may be missed.
const EXPECTED: [(&str, &str, usize); 14] = [
    ("POST", "/quarantines", 1),
    ("PUT", "/quarantines/web/status", 2),
    ("DELETE", "/quarantines/web", 1),
    ("PATCH", "/quarantines/web", 1),
    // Stopped, started, and given back; what was unset before is given back as it is unset.
    ("PATCH", "/deployments/web", 3),
    ("PATCH", "/statefulsets/web-db", 3),
    ("PATCH", "/daemonsets/web-agent", 2),
    ("PATCH", "/cronjobs/web-nightly", 3),
    ("POST", "/networkpolicies", 2),
    ("DELETE", "/networkpolicies/charttrust-quarantine-web", 1),
    ("DELETE", "/networkpolicies/charttrust-quarantine--2-web", 1),
    ("PUT", "/releasetrusts/web/status", 2),
    ("PUT", "/status", 6),
    ("PUT", "/configmaps/charttrust-incidents", 1),
];

/// The key is revoked, everything stops; the revocation is withdrawn, everything is there again.
async fn contained_and_restored(scene: &Scene) {
    scene.revoke().await;
    scene.quarantine_has("web", "Active=True/Contained").await;
    scene
        .quarantine_has("web", "Isolated=True/TrafficDenied")
        .await;
    assert_eq!(scene.replicas().await, 0);
    let database = scene.json::<StatefulSet>("web-db").await;
    assert_eq!(database["spec"]["replicas"], 0);
    let nightly = scene.json::<CronJob>("web-nightly").await;
    assert_eq!(nightly["spec"]["suspend"], true);
    let agent = scene.json::<DaemonSet>("web-agent").await;
    let selector = &agent["spec"]["template"]["spec"]["nodeSelector"];
    assert_eq!(*selector, json!({"charttrust.io/quarantined": "true"}));
    // One for the Deployment; the other three differ in one label, and share one.
    assert_eq!(denials(scene).await, 2);
    // A second later; of a revocation that was withdrawn before, nothing is kept.
    scene.incident_is_remembered("web").await;

    scene.withdraw().await;
    scene.no_quarantine("web").await;
    scene.expect("web", "SignatureVerified").await;
    assert_eq!(denials(scene).await, 0);
    assert!(
        scene
            .api::<Quarantine>()
            .get_opt("web")
            .await
            .unwrap()
            .is_none()
    );
}

async fn denials(scene: &Scene) -> usize {
    let policies = scene.api::<NetworkPolicy>();
    policies
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .len()
}

/// An autoscaler that would keep the Deployment alive.
async fn autoscale(scene: &Scene, chaos: &Chaos) {
    let kubeconfig = chaos.stage.cluster.kubeconfig();
    let namespace = ["--namespace", &scene.namespace];
    let create = [
        "autoscale",
        "deployment",
        "web",
        "--min=3",
        "--max=5",
        "--cpu-percent=80",
    ];
    kubectl(kubeconfig, &[&create[..], &namespace].concat())
        .await
        .unwrap();
}

/// How long every write is refused.
const STORM: Duration = Duration::from_secs(5);

/// While each write fails the operator keeps to its budget, and goes on when they are taken again.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_refusals_is_borne_quietly() {
    let chaos = chaos().await;
    let (start, scene) = begin(&chaos, "storm", Version::V4).await;
    let before = scene.workloads().await;
    let taken = |number: &usize| is_taken(*number, STATUSES.len());
    for status in (0..STATUSES.len())
        .filter(taken)
        .map(|number| STATUSES[number])
    {
        scene.revoke().await;
        weather(&chaos, status).await;
        scene.quarantine_has("web", "Active=True/Contained").await;
        scene.withdraw().await;
        weather(&chaos, status).await;
        scene.no_quarantine("web").await;
        assert_eq!(scene.workloads().await, before, "{status}");
    }
    audited(&chaos, &scene, start).await;
}

const STATUSES: [u16; 4] = [409, 429, 500, 503];

async fn weather(chaos: &Chaos, status: u16) {
    chaos.proxy.strike(usize::MAX, Fault::CrashBefore);
    chaos.proxy.refuse(Some(status));
    chaos.lives(STORM).await;
    let writes = chaos.proxy.writes();
    chaos.proxy.behave();
    say(&format!(
        "{} writes were refused by {status} in {STORM:?}",
        writes.len()
    ));
    // I10: ten requests a second.
    let most = usize::try_from(STORM.as_secs()).unwrap() * 10;
    assert!(writes.len() <= most, "{writes:#?}");
}
