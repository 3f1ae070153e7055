//! What is judged of Applications of Argo CD, which leave no record.

use std::future::Future;
use std::time::Duration;

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::evidence::{Answer, Bound};
use futures::future::LocalBoxFuture;
use serde_json::{Value, json};

use super::deployed::define;
use super::release;
use super::release::read::read_changed;
use super::store::shown::Shown;
use super::task::Task;
use super::testing::{Scene, id, signed_revision};
use crate::clock::Moment;
use crate::fake_cluster::UNKNOWN_KIND;
use crate::inventory::ReleaseId;
use crate::inventory::helm::Driver;
use crate::leader::Leadership;
use crate::watch::MOST;

const GROUP: &str = "/apis/argoproj.io";
const SOURCE: &str = "https://charts.example.com";
const ELSEWHERE: &str = "https://elsewhere.example.com";
const NOW: &str = "2026-11-22T00:00:00Z";

/// With a policy of this level that has pinned the archive of `web 1.0.0`.
async fn scene(level: &str) -> Scene {
    let scene = Scene::with(None, Leadership::Alone).await;
    let digest = Sha256Digest::of(b"archive").to_string();
    scene.declare_spec(&json!({"rules": [{
        "name": "all", "charts": ["*"], "sources": [{"url": SOURCE}],
        "verify": {"level": level, "signers": {"keys": ["platform"]}},
        "digests": [{"chart": "web", "version": "1.0.0", "digest": digest}],
    }]}));
    scene
}

fn argo(scene: &Scene) {
    define(scene, GROUP, "v1alpha1", &["applications"]);
}

fn source(url: &str, chart: &str, version: &str) -> Value {
    json!({"repoURL": url, "chart": chart, "targetRevision": version})
}

/// An Application of one chart that is deployed.
fn of_one(source: &Value) -> Value {
    json!({
        "spec": {"source": source, "destination": {"namespace": "web"}},
        "status": {
            "history": [{"id": 3, "source": source, "revision": source["targetRevision"]}],
            "sync": {"revision": source["targetRevision"]},
        },
    })
}

/// An Application of several that are deployed.
fn of_several(sources: &[Value]) -> Value {
    let versions: Vec<_> = sources.iter().map(|one| &one["targetRevision"]).collect();
    json!({
        "spec": {"sources": sources, "destination": {"namespace": "web"}},
        "status": {"history": [{"id": 0, "sources": sources, "revisions": versions, "source": {"repoURL": ""}}]},
    })
}

fn put(scene: &Scene, name: &str, mut object: Value) {
    object["metadata"] = json!({"namespace": "argocd", "name": name});
    let path = format!("{GROUP}/v1alpha1/namespaces/argocd/applications/{name}");
    scene.cluster.put(&path, object);
}

fn path(release: &ReleaseId) -> String {
    let ReleaseId { namespace, name } = release;
    format!("/apis/charttrust.io/v1alpha1/namespaces/{namespace}/releasetrusts/{name}")
}

/// Source and key have said what `signed_revision` says of each revision that is read.
fn answered(scene: &Scene, release: &ReleaseId) {
    let key = "0123456789ABCDEF0123456789ABCDEF01234567".parse().unwrap();
    scene.context.store.update(release, |known| {
        let pinned = known.contents_mut().filter(|one| one.version == "1.0.0");
        for content in pinned {
            let evidence = signed_revision(&key, &[None]).content.unwrap().evidence;
            content.evidence = evidence;
            for answer in content.evidence.answers.values_mut() {
                if let Answer::Archive(facts) = answer {
                    facts.binding = Bound::NoRecord;
                }
            }
        }
    });
}

/// Reads and judges a release; gives the reason and the owner that its status has then.
async fn judged(scene: &Scene, release: &ReleaseId) -> (String, String) {
    read_changed(&scene.context, release, crate::clock::tick()).await;
    answered(scene, release);
    let object = scene.cluster.find(&path(release));
    let object = object.map(|object| serde_json::from_value(object).map_err(|e| e.to_string()));
    scene
        .context
        .cache
        .trusts
        .set(release.clone(), object.map(Shown::of));
    let (date, now) = (NOW.parse().unwrap(), crate::clock::tick());
    let is_first = scene.cluster.find(&path(release)).is_none();
    // And long after whatever stands, or is not said, for a while.
    let waits = [0, 100].map(Duration::from_secs);
    for wait in waits.into_iter().skip(usize::from(!is_first)) {
        let tick = now + wait;
        let _ = release::reconcile(&scene.context, release, Moment { date, tick }).await;
    }
    let status = status(scene, release);
    let none = Vec::new();
    let conditions = status["conditions"].as_array().unwrap_or(&none);
    let trusted = conditions.iter().find(|one| one["type"] == "Trusted");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let reason = trusted.map(|one| text(&one["reason"]));
    (
        reason.unwrap_or_default(),
        text(&status["release"]["owner"]),
    )
}

fn status(scene: &Scene, release: &ReleaseId) -> Value {
    scene.cluster.find(&path(release)).unwrap_or_default()["status"].take()
}

/// Runs a test while Applications are followed, as a replica that leads does it.
fn following<'a>(scene: &'a Scene, test: impl Future<Output = ()> + 'a) -> LocalBoxFuture<'a, ()> {
    scene.following(super::triggers::follow_applications(&scene.context), test)
}

/// Reads and judges whenever the release is queued, until its reason is this.
async fn until(scene: &Scene, release: &ReleaseId, expected: &str) {
    while judged(scene, release).await.0 != expected {
        loop {
            let work = scene.context.queues.records.next().await;
            if work.item == *release {
                break;
            }
        }
        scene
            .context
            .queues
            .tasks
            .forget(&Task::Release(release.clone()));
    }
}

fn shop() -> ReleaseId {
    id("argocd", "argocd.shop")
}

fn found(scene: &Scene, release: &ReleaseId, word: &str) -> String {
    let findings = status(scene, release)["findings"].take();
    let all = findings.as_array().cloned().unwrap_or_default();
    let it = all.into_iter().find(|one| one["reason"] == word);
    it.map_or_else(String::new, |one| one["message"].to_string())
}

/// Nothing compares what runs with the archive: under `Strict` that is told, under `Signature` not asked.
#[tokio::test]
async fn an_application_is_judged_by_the_archive_that_it_names() {
    for (level, expected) in [("Signature", "DigestPinned"), ("Strict", "NotBindable")] {
        let scene = scene(level).await;
        argo(&scene);
        put(&scene, "shop", of_one(&source(SOURCE, "web", "1.0.0")));
        following(&scene, async {
            until(&scene, &shop(), expected).await;
            let status = status(&scene, &shop());
            assert_eq!(
                status["release"],
                json!({
                    "driver": "Application", "owner": "ArgoCD", "revision": 3, "chart": "web",
                    "version": "1.0.0", "resourceVersion": status["release"]["resourceVersion"],
                })
            );
            let origin = &status["evidence"]["sources"][0];
            let digest = Sha256Digest::of(b"archive").to_string();
            assert_eq!(
                (&origin["url"], &origin["archive"]),
                (&json!(SOURCE), &json!(digest))
            );
            assert_eq!(origin["binding"], "NoRecord");
        })
        .await;
    }
}

#[tokio::test]
async fn a_chart_of_the_same_name_from_elsewhere_is_never_trusted() {
    for url in [
        ELSEWHERE,
        "charts.example.com",
        "http://charts.example.com",
        "ftp://charts.example.com",
    ] {
        let scene = scene("Signature").await;
        argo(&scene);
        put(&scene, "shop", of_one(&source(url, "web", "1.0.0")));
        following(&scene, async {
            until(&scene, &shop(), "SourceUnknown").await;
            let told = found(&scene, &shop(), "SourceUnknown");
            assert!(told.contains("Application argocd/shop"), "{url}: {told}");
            put(&scene, "shop", of_one(&source(SOURCE, "web", "1.0.0")));
            until(&scene, &shop(), "DigestPinned").await;
        })
        .await;
    }
}

/// What is deployed is told by the history, not by what the spec asks for.
#[tokio::test]
async fn nothing_is_said_of_what_was_not_deployed() {
    let scene = scene("Signature").await;
    argo(&scene);
    let mut object = of_one(&source(SOURCE, "web", "1.0.0"));
    object["status"] = json!({"sync": {"revision": "1.0.0"}});
    put(&scene, "shop", object.clone());
    following(&scene, async {
        until(&scene, &shop(), "Pending").await;
        put(&scene, "shop", of_one(&source(SOURCE, "web", "1.0.0")));
        until(&scene, &shop(), "DigestPinned").await;
        assert_eq!(found(&scene, &shop(), "OutOfSync"), "");
        let mut newer = of_one(&source(SOURCE, "web", "1.0.0"));
        newer["spec"]["source"]["targetRevision"] = json!("2.0.0");
        newer["status"]["sync"]["revision"] = json!("2.0.1");
        put(&scene, "shop", newer);
        while found(&scene, &shop(), "OutOfSync").is_empty() {
            let _ = scene.context.queues.records.next().await;
            judged(&scene, &shop()).await;
        }
        let told = status(&scene, &shop())["findings"].to_string();
        assert!(
            told.contains("asks for 2.0.0 of web of https://charts.example.com"),
            "{told}"
        );
        assert!(told.contains("is compared with 2.0.1"), "{told}");
    })
    .await;
}

/// Its objects are there, though it is in no history: whoever wrote the chart can have each sync fail.
#[tokio::test]
async fn what_a_sync_has_begun_is_judged_too() {
    let begun = |operation: Value| {
        let mut object = of_one(&source(SOURCE, "web", "1.0.0"));
        object["status"]["operationState"] = operation;
        object
    };
    let result = |url: &str, version: &str| json!({"source": source(url, "web", version), "revision": version});
    for (operation, expected) in [
        (
            json!({"phase": "Failed", "syncResult": result(SOURCE, "2.0.0")}),
            "Pending",
        ),
        (
            json!({"phase": "Succeeded", "syncResult": result(ELSEWHERE, "1.0.0")}),
            "SourceUnknown",
        ),
        (
            json!({"phase": "Succeeded", "syncResult": result(SOURCE, "1.0.0")}),
            "DigestPinned",
        ),
        (
            json!({"phase": "Error", "syncResult": {"source": source(SOURCE, "web", "2.0.0"), "revision": ""}}),
            "DigestPinned",
        ),
        (
            json!({"phase": "Succeeded", "syncResult": result(SOURCE, "2.0.0"), "operation": {"sync": {"dryRun": true}}}),
            "DigestPinned",
        ),
    ] {
        let scene = scene("Signature").await;
        argo(&scene);
        put(&scene, "shop", begun(operation.clone()));
        following(&scene, async {
            scene.context.cache.records.applications.answered().await;
            until(&scene, &shop(), expected).await;
            let said = scene.context.cache.records.judged(&shop()).len();
            assert_eq!(
                said,
                if expected == "DigestPinned" { 1 } else { 2 },
                "{operation}"
            );
        })
        .await;
    }
}

#[tokio::test]
async fn each_chart_of_an_application_is_a_release() {
    let scene = scene("Signature").await;
    argo(&scene);
    let git = json!({"repoURL": "https://git.example.com/a", "path": "base"});
    let values = json!({"repoURL": "https://git.example.com/a", "ref": "values"});
    put(
        &scene,
        "shop",
        of_several(&[
            values,
            source(SOURCE, "web", "1.0.0"),
            git,
            source(ELSEWHERE, "web", "1.0.0"),
        ]),
    );
    following(&scene, async {
        until(&scene, &shop(), "DigestPinned").await;
        let further = id("argocd", "argocd.shop.4");
        assert_eq!(judged(&scene, &further).await.0, "SourceUnknown");
        let all = scene.context.cache.records.releases();
        assert_eq!(all.into_iter().collect::<Vec<_>>(), [shop(), further]);
        let told = status(&scene, &shop())["findings"].to_string();
        assert!(
            told.contains("what those deploy is judged nowhere"),
            "{told}"
        );
    })
    .await;
}

/// The names of two charts may be one, and a release of Helm may have it too.
#[tokio::test]
async fn of_several_with_one_name_the_worst_counts() {
    let scene = scene("Signature").await;
    argo(&scene);
    let good = source(SOURCE, "web", "1.0.0");
    put(&scene, "shop", of_several(&[good.clone(), good.clone()]));
    put(&scene, "shop.2", of_one(&source(ELSEWHERE, "web", "1.0.0")));
    let shared = id("argocd", "argocd.shop.2");
    following(&scene, async {
        until(&scene, &shared, "SourceUnknown").await;
        let told = found(&scene, &shared, "NameShared");
        assert!(
            told.contains("Application argocd/shop.2 and Application argocd/shop have this name"),
            "{told}"
        );
        put(&scene, "shop.2", of_one(&good));
        until(&scene, &shared, "DigestPinned").await;
        assert_ne!(found(&scene, &shared, "NameShared"), "");
        // A release of Helm of which nothing is known yet.
        scene.install(&shop(), Driver::Secret);
        assert_eq!(judged(&scene, &shop()).await.0, "Pending");
        let told = found(&scene, &shop(), "NameShared");
        assert!(told.contains("a release of Helm"), "{told}");
    })
    .await;
}

#[tokio::test]
async fn definitions_that_come_late_or_in_another_version_are_read() {
    let scene = scene("Signature").await;
    following(&scene, async {
        let applications = &scene.context.cache.records.applications;
        applications.answered().await;
        define(&scene, GROUP, "v1beta7", &["applications"]);
        let mut object = of_one(&source(SOURCE, "web", "1.0.0"));
        object["metadata"] = json!({"namespace": "argocd", "name": "shop"});
        let path = format!("{GROUP}/v1beta7/namespaces/argocd/applications/shop");
        scene.cluster.put(&path, object);
        assert!(applications.look_again(&scene.context.client).await);
        until(&scene, &shop(), "DigestPinned").await;
    })
    .await;
}

/// What cannot be listed is not gone; what is gone is.
#[tokio::test]
async fn what_may_not_be_read_any_more_keeps_its_object_and_loses_its_trust() {
    let scene = scene("Signature").await;
    argo(&scene);
    put(&scene, "shop", of_one(&source(SOURCE, "web", "1.0.0")));
    let applications = &scene.context.cache.records.applications;
    following(&scene, until(&scene, &shop(), "DigestPinned")).await;
    scene
        .cluster
        .refuse("GET", "/applications", (403, "Forbidden"));
    following(&scene, until(&scene, &shop(), "SourceUnknown")).await;
    let told = found(&scene, &shop(), "SourceUnknown");
    assert!(told.contains("cannot be read"), "{told}");
    assert_eq!(
        applications.unreadable().as_deref(),
        Some("applications.argoproj.io: the operator may not list and watch them")
    );
    // Nobody else's name is taken for one.
    assert_eq!(judged(&scene, &id("argocd", "argocd.other")).await.0, "");
    scene.cluster.allow();
    following(&scene, until(&scene, &shop(), "DigestPinned")).await;
    scene.cluster.remove(GROUP);
    scene.cluster.refuse("GET", "/applications", UNKNOWN_KIND);
    following(&scene, until(&scene, &shop(), "")).await;
    assert_eq!(scene.cluster.find(&path(&shop())), None);
}

/// Who looks at sources does so for the policies of all, and counts what he cannot judge.
#[tokio::test]
async fn applications_of_no_chart_are_counted_by_namespace() {
    let scene = scene("Signature").await;
    argo(&scene);
    let git = json!({"repoURL": "https://git.example.com/a", "path": "base"});
    put(&scene, "git", of_one(&git));
    put(&scene, "nothing", json!({"spec": {}}));
    put(
        &scene,
        "shop",
        of_several(&[source(SOURCE, "web", "1.0.0"), git]),
    );
    following(&scene, async {
        until(&scene, &shop(), "DigestPinned").await;
        let counted = scene.context.cache.records.applications.unaccounted();
        assert_eq!(
            counted.into_iter().collect::<Vec<_>>(),
            [("argocd".to_owned(), 1)]
        );
    })
    .await;
}

/// One that is written again and again costs nothing unless it says something else.
#[tokio::test]
async fn what_argo_cd_writes_without_saying_anything_else_is_no_work() {
    let scene = scene("Signature").await;
    argo(&scene);
    put(&scene, "shop", of_one(&source(SOURCE, "web", "1.0.0")));
    following(&scene, async {
        until(&scene, &shop(), "DigestPinned").await;
        let of_shop = || {
            let writes = scene.cluster.writes().into_iter();
            writes
                .filter(|write| write.path.contains("argocd.shop"))
                .count()
        };
        let writes = of_shop();
        scene.context.queues.records.forget(&shop());
        for round in 0..20 {
            let mut object = of_one(&source(SOURCE, "web", "1.0.0"));
            object["status"]["reconciledAt"] = json!(round);
            put(&scene, "shop", object);
        }
        put(&scene, "other", of_one(&source(SOURCE, "web", "1.0.0")));
        until(&scene, &id("argocd", "argocd.other"), "DigestPinned").await;
        assert_eq!(scene.context.queues.records.due_at(&shop()), None);
        assert_eq!(of_shop(), writes);
    })
    .await;
}

/// Whoever may edit an Application may hide a chart after all that are looked at: its first is trusted by nobody.
#[tokio::test]
async fn an_application_of_more_sources_than_are_looked_at_is_not_trusted() {
    let good = source(SOURCE, "web", "1.0.0");
    for (count, expected) in [(MOST - 1, "DigestPinned"), (MOST, "LimitExceeded")] {
        let scene = scene("Signature").await;
        argo(&scene);
        put(&scene, "shop", of_several(&vec![good.clone(); count]));
        following(&scene, async {
            until(&scene, &shop(), expected).await;
            let second = id("argocd", "argocd.shop.2");
            assert_eq!(judged(&scene, &second).await.0, "DigestPinned", "{count}");
        })
        .await;
    }
}

/// A person may contain one of no chart: what it says counts for its quarantine.
#[tokio::test]
async fn a_change_of_an_application_of_no_chart_is_looked_at_by_its_quarantine() {
    let scene = scene("Signature").await;
    argo(&scene);
    let git = json!({"repoURL": "https://git.example.com/a", "path": "base"});
    let into =
        |namespace: &str| json!({"spec": {"source": git, "destination": {"namespace": namespace}}});
    put(&scene, "git", into("web"));
    let release = id("argocd", "argocd.git");
    following(&scene, async {
        let records = &scene.context.cache.records;
        records.applications.answered().await;
        scene.quarantine(&release, &json!({"spec": {"policy": null}}));
        put(&scene, "git", into("bank"));
        loop {
            let work = scene.context.queues.tasks.next().await;
            if work.item == Task::Quarantine(release.clone()) {
                return;
            }
        }
    })
    .await;
}
