//! Reports in a small cluster: which kind, when they are written, and when not.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::controllers::context::Reports;
use crate::controllers::deployed;
use crate::controllers::store::shown::Shown;
use crate::controllers::testing::{Scene, id};
use crate::fake_cluster::FakeCluster;

const OPENREPORTS: (&str, &str, &str) = ("openreports.io", "v1alpha1", "reports");
const WGPOLICYK8S: (&str, &str, &str) = ("wgpolicyk8s.io", "v1alpha2", "policyreports");

/// The cluster has a kind, as its discovery says.
fn define(scene: &Scene, (group, version, plural): (&str, &str, &str)) {
    deployed::define(scene, &format!("/apis/{group}"), version, &[plural]);
}

fn path((group, version, plural): (&str, &str, &str), name: &str) -> String {
    format!("/apis/{group}/{version}/namespaces/shop/{plural}/{name}")
}

/// The verdict on a release of the namespace shop; none: it is gone.
fn judged(scene: &Scene, name: &str, verdict: Option<(&str, &str)>) {
    let shown = verdict.map(|(status, reason)| {
        let object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ReleaseTrust",
            "metadata": {"namespace": "shop", "name": name}, "spec": {},
            "status": {"conditions": [{"type": "Trusted", "status": status, "reason": reason,
                "observedGeneration": 1, "lastTransitionTime": "2026-11-18T10:00:00Z"}]},
        });
        Shown::of(serde_json::from_value(object).map_err(|error| error.to_string()))
    });
    scene.context.cache.trusts.set(id("shop", name), shown);
}

async fn reported(scene: &Scene) -> usize {
    reported_at(scene, Duration::ZERO).await.unwrap()
}

/// How many writes it took.
async fn reported_at(scene: &Scene, later: Duration) -> Result<usize, Error> {
    let before = scene.cluster.writes().len();
    let now = Moment::now();
    let moment = Moment {
        tick: now.tick + later,
        ..now
    };
    reconcile(&scene.context, "shop", moment).await?;
    Ok(scene.cluster.writes().len() - before)
}

fn results(object: &Value) -> Vec<(String, String)> {
    let rows = object["results"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.map(|row| (text(&row["resources"][0]["name"]), text(&row["result"])))
        .collect()
}

#[tokio::test]
async fn the_kind_is_the_one_that_is_asked_for_and_there() {
    use Reports::{Auto, Openreports, Wgpolicyk8s};
    for (asked, there, expected) in [
        (Auto, &[OPENREPORTS, WGPOLICYK8S][..], Some(OPENREPORTS)),
        (Auto, &[WGPOLICYK8S], Some(WGPOLICYK8S)),
        (Auto, &[], None),
        (Openreports, &[OPENREPORTS, WGPOLICYK8S], Some(OPENREPORTS)),
        (Openreports, &[WGPOLICYK8S], None),
        (Wgpolicyk8s, &[OPENREPORTS, WGPOLICYK8S], Some(WGPOLICYK8S)),
        (Reports::None, &[OPENREPORTS], None),
    ] {
        let scene = Scene::reporting(FakeCluster::default(), asked).await;
        for kind in there {
            define(&scene, *kind);
        }
        judged(&scene, "web", Some(("True", "SignatureVerified")));
        let writes = reported(&scene).await;
        assert_eq!(
            writes,
            usize::from(expected.is_some()),
            "{asked:?} {there:?}"
        );
        for kind in [OPENREPORTS, WGPOLICYK8S] {
            let found = scene.cluster.find(&path(kind, "charttrust"));
            let source = found.as_ref().and_then(|report| report.get("source"));
            let has_place = kind == OPENREPORTS && found.is_some();
            assert_eq!(
                source,
                has_place.then_some(&json!("charttrust")),
                "{asked:?}"
            );
            assert_eq!(
                found.is_some(),
                expected == Some(kind),
                "{asked:?} {there:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_verdict_is_written_when_it_changes_and_only_then() {
    let scene = Scene::reporting(FakeCluster::default(), Reports::Auto).await;
    define(&scene, OPENREPORTS);
    assert_eq!(reported(&scene).await, 0, "there is nothing to report");
    judged(&scene, "web", Some(("True", "SignatureVerified")));
    judged(&scene, "other", Some(("Unknown", "NoPolicy")));
    assert_eq!(reported(&scene).await, 1);
    let own = path(OPENREPORTS, "charttrust");
    let object = scene.cluster.find(&own).unwrap();
    assert_eq!(object["apiVersion"], "openreports.io/v1alpha1");
    assert_eq!(object["kind"], "Report");
    assert_eq!(results(&object), [("web".to_owned(), "pass".to_owned())]);
    assert_eq!(reported(&scene).await, 0, "nothing has changed");

    judged(&scene, "web", Some(("False", "KeyCompromised")));
    assert_eq!(reported(&scene).await, 1);
    let object = scene.cluster.find(&own).unwrap();
    assert_eq!(object["summary"]["fail"], 1);
    assert_eq!(object["results"][0]["severity"], "critical");

    // What somebody else writes stands until something changes, and then goes.
    let mut lie = object.clone();
    lie["results"][0]["result"] = json!("pass");
    lie["metadata"].as_object_mut().unwrap().remove("labels");
    scene.cluster.put(&own, lie);
    assert_eq!(reported(&scene).await, 1);
    assert_eq!(
        scene.cluster.find(&own).unwrap()["results"][0]["result"],
        "fail"
    );

    judged(&scene, "web", None);
    assert_eq!(reported(&scene).await, 1);
    assert_eq!(scene.cluster.find(&own), None);
}

#[tokio::test]
async fn verdicts_that_may_not_be_read_are_not_reported_as_gone() {
    let scene = Scene::reporting(FakeCluster::default(), Reports::Auto).await;
    define(&scene, OPENREPORTS);
    judged(&scene, "web", Some(("True", "SignatureVerified")));
    assert_eq!(reported(&scene).await, 1);
    judged(&scene, "web", None);
    scene.context.cache.trusts.suppose_refused();
    assert_eq!(reported(&scene).await, 0);
}

#[tokio::test]
async fn more_releases_than_one_report_takes_are_in_the_next() {
    let scene = Scene::reporting(FakeCluster::default(), Reports::Auto).await;
    define(&scene, OPENREPORTS);
    for number in 0..201 {
        judged(
            &scene,
            &format!("r{number:04}"),
            Some(("True", "SignatureVerified")),
        );
    }
    assert_eq!(reported(&scene).await, 2);
    let count = |name: &str| results(&scene.cluster.find(&path(OPENREPORTS, name)).unwrap()).len();
    assert_eq!((count("charttrust"), count("charttrust-2")), (200, 1));
    assert_eq!(reported(&scene).await, 0);
    judged(&scene, "r0200", None);
    assert_eq!(reported(&scene).await, 1);
    assert_eq!(scene.cluster.find(&path(OPENREPORTS, "charttrust-2")), None);
}

#[tokio::test]
async fn a_kind_that_comes_late_is_found_and_one_that_goes_is_no_failure() {
    let scene = Scene::reporting(FakeCluster::default(), Reports::Auto).await;
    judged(&scene, "web", Some(("True", "SignatureVerified")));
    assert_eq!(reported(&scene).await, 0);
    let task = Task::Report("shop".to_owned());
    assert!(
        scene.context.queues.tasks.due_at(&task).is_some(),
        "it is looked again"
    );
    define(&scene, WGPOLICYK8S);
    assert_eq!(reported_at(&scene, AGAIN).await.unwrap(), 1);

    scene.cluster.remove(&path(WGPOLICYK8S, "charttrust"));
    scene.cluster.remove("/apis/wgpolicyk8s.io");
    scene
        .cluster
        .refuse("POST", "/policyreports", (404, "NotFound"));
    assert!(reported_at(&scene, AGAIN).await.is_ok());
    scene.cluster.allow();
    assert_eq!(
        reported_at(&scene, AGAIN * 2).await.unwrap(),
        0,
        "nobody knows the kind"
    );
    define(&scene, OPENREPORTS);
    assert_eq!(reported_at(&scene, AGAIN * 3).await.unwrap(), 1);
}

/// Some dashboards show one of the kinds only, whichever it is: two that say different things would deceive.
#[tokio::test]
async fn what_an_earlier_choice_has_left_in_the_other_kind_goes() {
    let cluster = FakeCluster::default();
    let before = Scene::reporting(cluster.clone(), Reports::Auto).await;
    define(&before, WGPOLICYK8S);
    judged(&before, "web", Some(("True", "SignatureVerified")));
    assert_eq!(reported(&before).await, 1);
    define(&before, OPENREPORTS);
    let after = Scene::reporting(cluster, Reports::Auto).await;
    judged(&after, "web", Some(("True", "SignatureVerified")));
    assert_eq!(reported(&after).await, 2);
    assert!(
        after
            .cluster
            .find(&path(OPENREPORTS, "charttrust"))
            .is_some()
    );
    assert_eq!(after.cluster.find(&path(WGPOLICYK8S, "charttrust")), None);
    assert_eq!(reported(&after).await, 0);
}

#[tokio::test]
async fn a_server_that_refuses_is_asked_again() {
    let scene = Scene::reporting(FakeCluster::default(), Reports::Auto).await;
    define(&scene, OPENREPORTS);
    judged(&scene, "web", Some(("True", "SignatureVerified")));
    scene.cluster.refuse("POST", "/reports", (403, "Forbidden"));
    assert!(reported_at(&scene, Duration::ZERO).await.is_err());
    scene.cluster.allow();
    assert_eq!(reported(&scene).await, 1);
}

#[tokio::test]
async fn a_changed_verdict_asks_for_a_report_only_where_there_are_reports() {
    let task = Task::Report("shop".to_owned());
    for (reports, is_asked) in [(Reports::Auto, true), (Reports::None, false)] {
        let scene = Scene::reporting(FakeCluster::default(), reports).await;
        scene.context.trust_changed(&id("shop", "web"));
        let due = scene.context.queues.tasks.due_at(&task);
        assert_eq!(due.is_some(), is_asked, "{reports:?}");
    }
}
