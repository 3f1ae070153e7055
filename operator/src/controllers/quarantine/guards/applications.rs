//! An Application is contained as a whole, if one of its charts is bad.

use std::collections::BTreeSet;

use charttrust_verify::key::{HardRevocation, RevokedBy};
use charttrust_verify::verdict::{Cause, Verdict};
use serde_json::{Value, json};

use super::{
    LONG, NOTHING, TRUSTED, WORKLOAD, contained, decided, decided_after, of_argo_cd, outcomes,
};
use crate::clock::{Moment, tick};
use crate::controllers::quarantine;
use crate::controllers::quarantine::scope::{self, Containment, containment};
use crate::controllers::store::Waiting;
use crate::controllers::testing::{
    POLICY, Scene, id, quarantine_of, revocation, said, stolen, web,
};
use crate::fake_cluster::FakeCluster;
use crate::inventory::ReleaseId;
use crate::inventory::helm::Driver;
use crate::quarantine::holds;
use crate::watch::ObjectName;

const START: &str = "POST argocd/quarantines";

/// The Application `shop`, which has deployed two charts into the namespace `web`, the second of which is bad.
async fn of_two(protected: &[&str]) -> (Scene, ReleaseId) {
    let (scene, shop) = of_argo_cd(protected).await;
    scene.declare(&json!({}));
    know(&scene, "shop", &["web", "api"]);
    scene.judge(&shop, vec![said(TRUSTED)]);
    scene.judge(&second(), vec![stolen()]);
    (scene, shop)
}

fn know(scene: &Scene, name: &str, charts: &[&str]) {
    let source = |chart: &&str| json!({"repoURL": "https://a.example", "chart": chart});
    let sources: Vec<Value> = charts.iter().map(source).collect();
    let versions = vec!["1.0.0"; charts.len()];
    let object = json!({
        "spec": {"destination": {"namespace": "web"}, "sources": sources},
        "status": {"history": [{"id": 4, "sources": sources, "revisions": versions}]},
    });
    let name = ObjectName {
        namespace: "argocd".to_owned(),
        name: name.to_owned(),
    };
    scene.context.cache.records.applications.hold(name, &object);
}

fn second() -> ReleaseId {
    id("argocd", "argocd.shop.2")
}

fn waiting(scene: &Scene, release: &ReleaseId) -> Option<Waiting> {
    let release = scene.context.store.release(release).unwrap();
    release.decisions.get(POLICY).copied().flatten()
}

#[tokio::test]
async fn an_application_is_due_if_any_of_its_charts_is_bad() {
    let (scene, shop) = of_two(&[]).await;
    assert_eq!(decided(&scene).await, [START]);
    let path = format!(
        "/apis/charttrust.io/v1alpha1/namespaces/argocd/quarantines/{}",
        shop.name
    );
    assert!(scene.cluster.find(&path).is_some());
    assert_eq!(
        (outcomes(&scene).active, outcomes(&scene).allowance),
        (1, 1)
    );
    // All good, it is left alone.
    let (scene, _) = of_two(&[]).await;
    scene.judge(&second(), vec![said(TRUSTED)]);
    assert_eq!(decided(&scene).await, NOTHING);
}

/// Two releases of Helm and one Application are three, of which one may be contained.
#[tokio::test]
async fn all_charts_of_an_application_count_as_one() {
    let (scene, shop) = of_two(&[]).await;
    scene.judge(&shop, vec![stolen()]);
    scene.declare(&json!({"limit": {"maxReleases": 1}}));
    assert_eq!(decided(&scene).await, [START]);
}

#[tokio::test]
async fn it_counts_where_it_deploys_to() {
    let (scene, shop) = of_two(&[]).await;
    scene.declare(&json!({"limit": {"maxReleases": 5, "maxPercent": 100, "maxPerNamespace": 1}}));
    let bad = id("web", "forum");
    scene.install(&bad, Driver::Secret);
    scene.judge(&bad, vec![stolen()]);
    assert_eq!(decided(&scene).await, NOTHING);
    let crowded = outcomes(&scene).crowded;
    assert_eq!(crowded, [shop.clone(), bad]);
    for chart in [shop, second()] {
        assert_eq!(waiting(&scene, &chart), Some(Waiting::ForRoom), "{chart}");
    }
}

/// Whoever may write Applications may name any chart and any destination.
#[tokio::test]
async fn one_of_which_nothing_runs_holds_nothing() {
    type Case = (&'static str, fn(&Scene));
    let cases: [Case; 3] = [
        ("no workload is there", |scene| {
            scene.cluster.remove(WORKLOAD);
        }),
        ("it is of another Application", |scene| {
            let mut object = scene.cluster.find(WORKLOAD).unwrap();
            object["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] =
                json!("other:apps/Deployment:web/a");
            scene.cluster.put(WORKLOAD, object);
        }),
        ("it is not listed", |scene| {
            let path = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/shop";
            let mut object = scene.cluster.find(path).unwrap();
            object["status"]["resources"] = json!([]);
            scene.cluster.put(path, object);
        }),
    ];
    for (case, change) in cases {
        let (scene, shop) = of_two(&[]).await;
        change(&scene);
        assert_eq!(decided(&scene).await, NOTHING, "{case}");
        assert_eq!(
            waiting(&scene, &shop),
            Some(Waiting::ForWorkloads),
            "{case}"
        );
    }
}

#[tokio::test]
async fn nothing_begins_where_it_deploys_into_a_protected_namespace() {
    for (protected, expected) in [(&["web"][..], &NOTHING[..]), (&["bank"][..], &[START][..])] {
        let (scene, _) = of_two(protected).await;
        assert_eq!(decided(&scene).await, expected, "{protected:?}");
    }
}

/// What is bad need not be what would be contained.
#[tokio::test]
async fn a_name_that_others_have_too_waits_for_a_person() {
    let (scene, shop) = of_two(&[]).await;
    scene.context.store.update(&second(), |release| {
        release.contradicted.insert(POLICY.to_owned());
    });
    assert_eq!(decided(&scene).await, NOTHING);
    assert_eq!(waiting(&scene, &shop), Some(Waiting::ForApproval));
    // Unless another of its charts is bad without doubt.
    scene.judge(&shop, vec![stolen()]);
    assert_eq!(decided(&scene).await, [START]);
}

async fn reconciled(scene: &Scene, release: &ReleaseId) -> Vec<String> {
    let done =
        quarantine::reconcile(&scene.context, release, Moment::now(), crate::clock::tick()).await;
    done.unwrap();
    let writes = scene.of_quarantines().into_iter();
    writes.filter(|write| write.starts_with("DELETE")).collect()
}

/// Whoever may change an Application may say that it deploys into what no namespace can be called: what cannot be
/// looked at is told, and holds up nothing else.
#[tokio::test]
async fn a_destination_that_none_can_have_is_told_and_holds_up_nothing() {
    let (scene, shop) = of_two(&[]).await;
    let path = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/shop";
    let mut object = scene.cluster.find(path).unwrap();
    object["spec"]["destination"]["namespace"] = json!("a b");
    scene.cluster.put(path, object);
    scene.quarantine(&shop, &json!({"spec": {"policy": null}}));
    let done =
        quarantine::reconcile(&scene.context, &shop, Moment::now(), crate::clock::tick()).await;
    assert!(done.is_ok(), "{done:?}");
    let told = scene.cluster.find(&quarantine_of(&shop)).unwrap()["status"].to_string();
    assert!(told.contains(r#""type":"Active""#), "{told}");
}

#[tokio::test]
async fn it_ends_when_all_charts_are_trusted_and_not_before() {
    let unbound = Verdict::Unknown(Cause::NotBindable);
    for (first, second_, ends) in [
        (said(TRUSTED), stolen(), false),
        (said(TRUSTED), said(unbound), false),
        (stolen(), said(TRUSTED), false),
        (said(TRUSTED), said(TRUSTED), true),
    ] {
        let (scene, shop) = of_two(&[]).await;
        scene.quarantine(&shop, &contained(&json!({})));
        scene.judge(&shop, vec![first]);
        scene.judge(&second(), vec![second_.clone()]);
        let ended = reconciled(&scene, &shop).await;
        assert_eq!(!ended.is_empty(), ends, "{second_:?}");
    }
}

/// What one of its charts is contained by is that of the whole.
#[tokio::test]
async fn each_chart_says_that_the_application_is_contained() {
    let (scene, shop) = of_two(&[]).await;
    scene.quarantine(&shop, &contained(&json!({})));
    for chart in [&shop, &second()] {
        assert_eq!(
            containment(&scene.context, chart),
            Containment::InForce,
            "{chart}"
        );
    }
    assert_eq!(containment(&scene.context, &web()), Containment::None);
}

/// The record is the Application; its workloads lie elsewhere, and may outlive it.
#[tokio::test]
async fn it_ends_when_the_application_and_what_it_has_stopped_are_gone() {
    for (is_left, ends) in [(true, false), (false, true)] {
        let (scene, shop) = of_two(&[]).await;
        let stopped = json!({"status": {"objects": [{
            "action": "ScaleToZero", "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "web",
            "name": "a", "uid": "w", "original": "3", "state": "Contained",
        }]}});
        let mut object = contained(&json!({}));
        json_patch::merge(&mut object, &stopped);
        scene.quarantine(&shop, &object);
        let name = ObjectName {
            namespace: "argocd".to_owned(),
            name: "shop".to_owned(),
        };
        scene
            .context
            .cache
            .records
            .applications
            .hold(name, &json!({}));
        if !is_left {
            scene.cluster.remove(WORKLOAD);
        }
        let ended = reconciled(&scene, &shop).await;
        assert_eq!(!ended.is_empty(), ends, "{is_left}");
    }
}

/// What cannot be read is not gone. A release of Helm of that name is known by its record all the same.
#[tokio::test]
async fn nothing_ends_because_applications_cannot_be_read() {
    for (has_record, ends) in [(false, false), (true, true)] {
        let (scene, shop) = of_two(&[]).await;
        scene.quarantine(&shop, &contained(&json!({})));
        let applications = &scene.context.cache.records.applications;
        let name = ObjectName {
            namespace: "argocd".to_owned(),
            name: "shop".to_owned(),
        };
        applications.hold(name, &json!({}));
        applications.suppose_unreadable();
        scene.cluster.remove(WORKLOAD);
        if has_record {
            scene.record(&shop, Driver::Secret);
        }
        let ended = reconciled(&scene, &shop).await;
        assert_eq!(!ended.is_empty(), ends, "{has_record}");
    }
}

/// Of two charts that two stolen keys have signed, both thefts count.
#[tokio::test]
async fn it_is_contained_by_all_that_its_charts_are_bad_by() {
    let (scene, shop) = of_two(&[]).await;
    let mut other = stolen();
    other.revocations = [HardRevocation {
        by: RevokedBy::Certificate("0ther".to_owned()),
        ..revocation()
    }]
    .into();
    scene.judge(&shop, vec![other]);
    let said = scope::said(&scene.context, &shop, POLICY).unwrap();
    assert_eq!(said.revocations.len(), 2);
    assert_eq!(scope::revocations_of(&scene.context, &shop).len(), 2);
}

/// Nothing begins by what was said before a key or policy has changed, of whichever chart.
#[tokio::test]
async fn it_waits_until_each_of_its_bad_charts_was_judged_again() {
    for open in [id("argocd", "argocd.shop"), second()] {
        let (scene, shop) = of_two(&[]).await;
        let store = &scene.context.store;
        store.present.get_or_init(BTreeSet::new);
        scene.judge(&shop, vec![stolen()]);
        drop(scene.context.change(None, tick()));
        store.update(&open, |release| release.judgings.ask());
        assert_eq!(decided_after(&scene, LONG).await, NOTHING, "{open}");
    }
}

/// Where nobody looks, nobody knows what runs.
#[tokio::test]
async fn nothing_is_asked_for_beyond_the_namespaces_that_are_looked_at() {
    let scene = Scene::limited(FakeCluster::default(), &["argocd"]).await;
    let path = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/shop";
    scene.cluster.put(
        path,
        json!({
            "metadata": {"namespace": "argocd", "name": "shop", "uid": "app"},
            "spec": {"destination": {"namespace": "web"}},
        }),
    );
    let shop = BTreeSet::from([id("argocd", "argocd.shop")]);
    let empty = holds::empty_applications(&scene.context.neighbourhoods, &shop).await;
    assert_eq!(empty, BTreeSet::new());
    let asked = scene.asked().await;
    let elsewhere: Vec<_> = asked.iter().filter(|one| one.contains("/web/")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

/// Under a name that a release of Helm has too, each is contained by its own.
#[tokio::test]
async fn a_record_of_its_name_lies_where_it_lies() {
    let (scene, shop) = of_two(&[]).await;
    let records = &scene.context.cache.records;
    assert_eq!(scope::place(&scene.context, &shop), "web");
    assert_eq!(records.wholes(&second()), [shop.clone()].into());
    scene.record(&shop, Driver::Secret);
    scene.record(&second(), Driver::Secret);
    assert_eq!(scope::place(&scene.context, &shop), "argocd");
    assert_eq!(records.wholes(&second()), [shop.clone(), second()].into());
    assert_eq!(records.parts(&shop), [shop, second()].into());
}
