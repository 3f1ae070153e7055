//! What is judged of releases that something deploys, over kinds that come, go and may not be read.

use std::future::Future;
use std::time::Duration;

use charttrust_verify::digest::Sha256Digest;
use futures::future::LocalBoxFuture;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::store::shown::Shown;
use super::task::Task;
use super::testing::{Scene, id, signed_revision, web};
use super::{policy, release};
use crate::clock::Moment;
use crate::fake_cluster::UNKNOWN_KIND;
use crate::inventory::helm::Driver;
use crate::inventory::{Mark, Missing, Owner, RecordId, ReleaseId};
use crate::leader::Leadership;
use crate::watch::ObjectName;

pub(super) const RELEASES: &str = "/apis/helm.toolkit.fluxcd.io";
pub(super) const SOURCES: &str = "/apis/source.toolkit.fluxcd.io";
const K3S: &str = "/apis/helm.cattle.io";
const SOURCE: &str = "https://charts.example.com";
const ELSEWHERE: &str = "https://elsewhere.example.com";
const NOW: &str = "2026-11-22T00:00:00Z";
const PATH: &str = "/apis/charttrust.io/v1alpha1/namespaces/shop/releasetrusts/web";

/// A release of a pinned archive, whose record says this of who has made it.
async fn scene(mark: Mark) -> Scene {
    let scene = Scene::with(None, Leadership::Alone).await;
    let digest = Sha256Digest::of(b"archive").to_string();
    scene.declare_spec(&json!({"rules": [{
        "name": "all", "charts": ["*"], "sources": [{"url": SOURCE}],
        "verify": {"signers": {"keys": ["platform"]}},
        "digests": [{"chart": "web", "version": "1.0.0", "digest": digest}],
    }]}));
    install(&scene, &web(), mark);
    scene
}

fn install(scene: &Scene, release: &ReleaseId, mark: Mark) {
    scene.install(release, Driver::Secret);
    let record = RecordId::Helm {
        driver: Driver::Secret,
        revision: 1,
    };
    let key = "0123456789ABCDEF0123456789ABCDEF01234567".parse().unwrap();
    let mut revision = signed_revision(&key, &[None]);
    revision.mark = mark;
    scene.context.store.update(release, |known| {
        known.revisions.insert(record, revision);
    });
}

/// The definitions of a group are installed.
pub(super) fn define(scene: &Scene, group: &str, version: &str, plurals: &[&str]) {
    let name = group.rsplit('/').next().unwrap();
    let of = json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let served = json!({
        "kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": [of], "preferredVersion": of,
    });
    scene.cluster.hold(group, served);
    let resource = |plural: &&str| json!({"name": plural, "singularName": "", "namespaced": true, "kind": "", "verbs": ["list"]});
    let resources: Vec<_> = plurals.iter().map(resource).collect();
    let list = json!({
        "kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": format!("{name}/{version}"), "resources": resources,
    });
    scene.cluster.hold(&format!("{group}/{version}"), list);
}

pub(super) fn flux(scene: &Scene) {
    define(scene, RELEASES, "v2", &["helmreleases"]);
    let sources = ["helmrepositories", "helmcharts", "ocirepositories"];
    define(scene, SOURCES, "v1", &sources);
}

fn named(name: &str) -> Mark {
    Mark::Of(ObjectName {
        namespace: "flux".to_owned(),
        name: name.to_owned(),
    })
}

fn helm_release(scene: &Scene, version: &str) {
    helm_release_of(scene, "any", version);
}

fn helm_release_of(scene: &Scene, name: &str, version: &str) {
    let object = json!({
        "metadata": {"namespace": "flux", "name": name},
        "spec": {"storageNamespace": "shop", "chart": {"spec": {
            "chart": "web", "sourceRef": {"kind": "HelmRepository", "name": "charts"},
        }}},
        "status": {"history": [{"name": "web", "version": 1}]},
    });
    let path = format!("{RELEASES}/{version}/namespaces/flux/helmreleases/{name}");
    scene.cluster.put(&path, object);
}

fn repository(scene: &Scene, url: &str) {
    let object = json!({"metadata": {"namespace": "flux", "name": "charts"}, "spec": {"url": url}});
    let path = format!("{SOURCES}/v1/namespaces/flux/helmrepositories/charts");
    scene.cluster.put(&path, object);
}

/// What the release is worth now, and who deploys it, as its status says.
async fn judged(scene: &Scene) -> (String, String) {
    let object = scene.cluster.find(PATH);
    let object = object.map(|object| serde_json::from_value(object).map_err(|e| e.to_string()));
    scene.context.cache.trusts.set(web(), object.map(Shown::of));
    let (date, now) = (NOW.parse().unwrap(), crate::clock::tick());
    let is_first = scene.cluster.find(PATH).is_none();
    // And long after whatever stands, or is not said, for a while.
    let waits = [0, 100].map(Duration::from_secs);
    for wait in waits.into_iter().skip(usize::from(!is_first)) {
        let tick = now + wait;
        let _ = release::reconcile(&scene.context, &web(), Moment { date, tick }).await;
    }
    said(scene)
}

fn said(scene: &Scene) -> (String, String) {
    let status = &scene.cluster.find(PATH).unwrap_or_default()["status"];
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

fn message(scene: &Scene) -> String {
    scene.cluster.find(PATH).unwrap()["status"]["conditions"].to_string()
}

fn verdict(reason: &str, owner: &str) -> (String, String) {
    (reason.to_owned(), owner.to_owned())
}

/// Runs a test while the deployers are followed, as a replica that leads does it.
fn following<'a>(scene: &'a Scene, test: impl Future<Output = ()> + 'a) -> LocalBoxFuture<'a, ()> {
    scene.following(super::triggers::follow_deployers(&scene.context), test)
}

/// As for who asks now.
fn now() -> (Instant, Instant) {
    let now = crate::clock::tick();
    (now, now)
}

/// Judges whenever the release is queued, until it is worth this.
async fn until(scene: &Scene, expected: &(String, String)) {
    while judged(scene).await != *expected {
        queued(scene, &web()).await;
    }
}

/// Waits until the release is to be judged.
async fn queued(scene: &Scene, release: &ReleaseId) {
    loop {
        let work = scene.context.queues.tasks.next().await;
        if work.item == Task::Release(release.clone()) {
            return;
        }
    }
}

/// A kind that the server does not know delays nothing, and one that comes later is read without a restart.
#[tokio::test]
async fn definitions_that_come_after_the_start_are_noticed() {
    let scene = scene(named("any")).await;
    following(&scene, async {
        scene.context.cache.deployers.answered().await;
        assert_eq!(judged(&scene).await, verdict("DigestPinned", "Helm"));
        flux(&scene);
        repository(&scene, ELSEWHERE);
        helm_release(&scene, "v2");
        // As after each record that is read.
        let deployers = &scene.context.cache.deployers;
        let (client, mark) = (&scene.context.client, named("any"));
        deployers.look_again(client, &mark, now()).await.unwrap();
        let deployed = deployers.of(&web(), &named("any"));
        assert_eq!(
            deployed.missing,
            Some(Missing::Objects),
            "not before it was listed"
        );
        until(&scene, &verdict("SourceUnknown", "Flux")).await;
    })
    .await;
}

#[tokio::test]
async fn another_version_of_a_kind_is_read_as_well() {
    let scene = scene(named("any")).await;
    define(&scene, RELEASES, "v3alpha1", &["helmreleases"]);
    define(&scene, SOURCES, "v1", &["helmrepositories"]);
    helm_release(&scene, "v3alpha1");
    repository(&scene, SOURCE);
    following(&scene, until(&scene, &verdict("DigestPinned", "Flux"))).await;
}

/// What they said goes along with them: what is left is a release of Helm.
#[tokio::test]
async fn definitions_that_go_are_noticed_too() {
    let scene = scene(named("any")).await;
    flux(&scene);
    helm_release(&scene, "v2");
    repository(&scene, ELSEWHERE);
    following(&scene, async {
        until(&scene, &verdict("SourceUnknown", "Flux")).await;
        scene.cluster.remove(RELEASES);
        scene.cluster.refuse("GET", "/helmreleases", UNKNOWN_KIND);
        until(&scene, &verdict("DigestPinned", "Helm")).await;
    })
    .await;
}

/// A watch may be behind: an object of which a record tells is asked for by its name.
#[tokio::test]
async fn a_helm_release_of_which_only_the_record_tells_is_asked_for() {
    let scene = scene(named("any")).await;
    flux(&scene);
    repository(&scene, ELSEWHERE);
    let deployers = &scene.context.cache.deployers;
    let other = named("other");
    helm_release_of(&scene, "other", "v2");
    following(&scene, async {
        while deployers.of(&web(), &other).deployers.is_empty() {
            queued(&scene, &web()).await;
        }
    })
    .await;
    // Nothing is followed any more.
    helm_release(&scene, "v2");
    let client = &scene.context.client;
    scene
        .cluster
        .refuse("GET", "/helmreleases/any", (500, "InternalError"));
    let looked = deployers.look_again(client, &named("any"), now()).await;
    assert!(looked.is_err(), "and the record is read again later");
    scene.cluster.allow();
    let looked = deployers.look_again(client, &named("any"), now()).await;
    looked.unwrap();
    let deployed = deployers.of(&web(), &named("any"));
    assert_eq!(deployed.deployers.len(), 1);
}

/// And only the releases concerned are judged again.
#[tokio::test]
async fn another_address_of_a_repository_moves_the_verdict_and_back() {
    let scene = scene(named("any")).await;
    install(&scene, &id("bank", "other"), Mark::None);
    flux(&scene);
    helm_release(&scene, "v2");
    repository(&scene, SOURCE);
    following(&scene, async {
        scene.context.cache.deployers.answered().await;
        until(&scene, &verdict("DigestPinned", "Flux")).await;
        let tasks = &scene.context.queues.tasks;
        tasks.forget(&Task::Release(id("bank", "other")));
        for (url, expected) in [
            (ELSEWHERE, "SourceUnknown"),
            (SOURCE, "DigestPinned"),
            (
                "https://user:secret@elsewhere.example.com?token=secret",
                "SourceUnknown",
            ),
        ] {
            repository(&scene, url);
            queued(&scene, &web()).await;
            until(&scene, &verdict(expected, "Flux")).await;
        }
        let told = message(&scene);
        assert!(
            told.contains("HelmRelease flux/any takes web of https://elsewhere.example.com"),
            "{told}"
        );
        assert!(!told.contains("secret"), "{told}");
        assert_eq!(tasks.due_at(&Task::Release(id("bank", "other"))), None);
    })
    .await;
}

#[tokio::test]
async fn what_may_not_be_read_is_not_trusted_and_told_once_by_the_policy() {
    let scene = scene(named("any")).await;
    flux(&scene);
    helm_release(&scene, "v2");
    repository(&scene, SOURCE);
    scene
        .cluster
        .refuse("GET", "/helmreleases", (403, "Forbidden"));
    following(&scene, async {
        until(&scene, &verdict("SourceUnknown", "Flux")).await;
        let told = message(&scene);
        assert!(
            told.contains("HelmRelease flux/any cannot be read"),
            "{told}"
        );
        // What is of none is judged all the same.
        install(&scene, &web(), Mark::None);
        assert_eq!(judged(&scene).await, verdict("DigestPinned", "Helm"));
        let unread = scene.context.cache.deployers.unreadable();
        assert_eq!(
            unread,
            ["helmreleases.helm.toolkit.fluxcd.io: the operator may not list and watch them"]
        );
    })
    .await;
}

#[tokio::test]
async fn where_flux_has_no_helm_release_no_record_has_to_be_read_again() {
    let scene = scene(Mark::Unread).await;
    flux(&scene);
    let deployers = &scene.context.cache.deployers;
    following(&scene, async {
        // Where there is a kind, a mark that is unclear is of it.
        while deployers.of(&web(), &Mark::Unclear).owner == Owner::Helm {
            queued(&scene, &web()).await;
        }
        assert_eq!(deployers.of(&web(), &Mark::Unread).missing, None);
    })
    .await;
}

/// A record that an earlier process has read is read again before anybody can say who has made it.
#[tokio::test]
async fn a_record_that_was_not_read_since_the_start_is_not_trusted_where_flux_is() {
    let scene = scene(Mark::Unread).await;
    flux(&scene);
    helm_release(&scene, "v2");
    repository(&scene, SOURCE);
    following(&scene, async {
        while scene
            .context
            .cache
            .deployers
            .of(&web(), &named("any"))
            .deployers
            .is_empty()
        {
            queued(&scene, &web()).await;
        }
        assert_eq!(judged(&scene).await, verdict("Pending", "Helm"));
        let records = &scene.context.queues.records;
        assert!(records.due_at(&web()).is_some(), "it is read again");
    })
    .await;
}

/// Whoever writes the chart makes its objects so deep or large that nobody can read whose they are.
#[tokio::test]
async fn a_record_that_hides_its_helm_release_is_not_trusted_where_flux_is() {
    let scene = scene(Mark::Unclear).await;
    following(&scene, async {
        scene.context.cache.deployers.answered().await;
        assert_eq!(judged(&scene).await, verdict("DigestPinned", "Helm"));
        flux(&scene);
        until(&scene, &verdict("SourceUnknown", "Flux")).await;
        let told = message(&scene);
        assert!(told.contains("too deep or too large to be read"), "{told}");
    })
    .await;
}

/// Somebody who may write a `HelmRelease`, but no record, names the record of another in it: in its own
/// namespace or by `storageNamespace`. Nothing becomes of it, neither trust nor harm.
#[tokio::test]
async fn a_helm_release_that_a_record_does_not_name_changes_nothing() {
    for url in [SOURCE, ELSEWHERE] {
        for other in [
            Mark::None,
            Mark::Of(ObjectName {
                namespace: "shop".to_owned(),
                name: "any".to_owned(),
            }),
        ] {
            let scene = scene(other).await;
            flux(&scene);
            helm_release(&scene, "v2");
            repository(&scene, url);
            following(&scene, async {
                let deployers = &scene.context.cache.deployers;
                while deployers.of(&web(), &named("any")).deployers.is_empty() {
                    queued(&scene, &web()).await;
                }
                assert_eq!(
                    judged(&scene).await,
                    verdict("DigestPinned", "Helm"),
                    "{url}"
                );
            })
            .await;
        }
    }
}

/// Two deployers of one record: both have to name a source.
#[tokio::test]
async fn of_two_deployers_the_worse_counts() {
    let scene = scene(named("any")).await;
    flux(&scene);
    helm_release(&scene, "v2");
    repository(&scene, SOURCE);
    define(&scene, K3S, "v1", &["helmcharts"]);
    let chart = |namespace: &str, repo: &str| {
        let object = json!({
            "metadata": {"namespace": namespace, "name": "web"},
            "spec": {"chart": "web", "repo": repo, "targetNamespace": "shop"},
            "status": {"jobName": "helm-install-web"},
        });
        let path = format!("{K3S}/v1/namespaces/{namespace}/helmcharts/web");
        scene.cluster.put(&path, object);
    };
    following(&scene, async {
        until(&scene, &verdict("DigestPinned", "Flux")).await;
        chart("kube-system", ELSEWHERE);
        until(&scene, &verdict("SourceUnknown", "Flux")).await;
        chart("kube-system", SOURCE);
        until(&scene, &verdict("DigestPinned", "Flux")).await;
        chart("rancher", ELSEWHERE);
        until(&scene, &verdict("SourceUnknown", "Flux")).await;
    })
    .await;
}

#[tokio::test]
async fn a_helm_chart_of_k3s_names_the_origin_once_the_controller_has_taken_it_on() {
    let scene = scene(Mark::None).await;
    define(&scene, K3S, "v1", &["helmcharts"]);
    let chart = |status: Value| {
        let object = json!({
            "metadata": {"namespace": "kube-system", "name": "web"},
            "spec": {"chart": "web", "repo": ELSEWHERE, "targetNamespace": "shop"}, "status": status,
        });
        let path = format!("{K3S}/v1/namespaces/kube-system/helmcharts/web");
        scene.cluster.put(&path, object);
    };
    chart(json!({}));
    following(&scene, async {
        until(&scene, &verdict("DigestPinned", "Helm")).await;
        chart(json!({"jobName": "helm-install-web"}));
        until(&scene, &verdict("SourceUnknown", "K3s")).await;
    })
    .await;
}

/// Helm's record is there before Flux says which manifest it has deployed.
#[tokio::test]
async fn a_record_that_flux_has_marked_is_read_again_once_flux_says_of_which_manifest() {
    let scene = scene(named("any")).await;
    flux(&scene);
    repository(&scene, SOURCE);
    helm_release(&scene, "v2");
    let manifest = Sha256Digest::of(b"manifest").to_string();
    let marked = format!("1.0.0+{}", &manifest[7..19]);
    scene.context.store.update(&web(), |known| {
        for content in known.contents_mut() {
            content.version.clone_from(&marked);
            content.recorded = Some(marked.clone());
        }
    });
    let is_forgotten = || {
        let release = scene.context.store.release(&web()).unwrap();
        release
            .revisions
            .values()
            .all(|one| one.resource_version.is_empty())
    };
    following(&scene, async {
        while judged(&scene).await.1 != "Flux" {
            queued(&scene, &web()).await;
        }
        assert!(!is_forgotten());
        let path = format!("{RELEASES}/v2/namespaces/flux/helmreleases/any");
        let mut object = scene.cluster.find(&path).unwrap();
        object["status"]["history"][0]["ociDigest"] = manifest.clone().into();
        scene.cluster.put(&path, object);
        while !is_forgotten() {
            queued(&scene, &web()).await;
            judged(&scene).await;
        }
        let work = scene.context.queues.records.next().await;
        assert_eq!(work.item, web());
    })
    .await;
}

/// Labels in a record are any text, in hooks that no server has seen too, and so is the name of a source: what no
/// object can be called is not there, and keeps no record from being read.
#[tokio::test]
async fn a_name_that_no_object_can_have_is_that_of_none() {
    let scene = scene(named("any")).await;
    flux(&scene);
    helm_release(&scene, "v2");
    repository(&scene, ELSEWHERE);
    following(&scene, async {
        let deployers = &scene.context.cache.deployers;
        while deployers.of(&web(), &named("any")).deployers.is_empty() {
            queued(&scene, &web()).await;
        }
        let requests = scene.cluster.requests();
        for odd in ["a b", "a\n", "é", "a/../any", "any?a=b", "any/status"] {
            let places = [("flux", odd), (odd, "any")];
            for (namespace, name) in places {
                let mark = Mark::Of(ObjectName {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                });
                let looked = deployers
                    .look_again(&scene.context.client, &mark, now())
                    .await;
                assert!(looked.is_ok(), "{mark:?}: {looked:?}");
                assert_eq!(deployers.of(&web(), &mark).deployers, []);
            }
        }
        // And each time whether k3s has come.
        assert!(scene.cluster.requests() < requests + 20);
        let path = format!("{RELEASES}/v2/namespaces/flux/helmreleases/any");
        let mut object = scene.cluster.find(&path).unwrap();
        object["spec"]["chart"]["spec"]["sourceRef"]["name"] = json!("a b");
        scene.cluster.put(&path, object);
        let told = || match &deployers.of(&web(), &named("any")).deployers[..] {
            [one] => format!("{:?}", one.origin),
            other => format!("{other:?}"),
        };
        while !told().contains("does not exist") {
            queued(&scene, &web()).await;
        }
        let looked = deployers
            .look_again(&scene.context.client, &named("any"), now())
            .await;
        assert!(looked.is_ok(), "{looked:?}");
    })
    .await;
}

/// Whoever pushes a chart may call it as if Flux had marked it, with the digits of its own manifest.
#[tokio::test]
async fn a_tag_that_looks_like_a_mark_has_no_record_read_again_and_again() {
    let manifest = Sha256Digest::of(b"manifest");
    let digest = manifest.to_string();
    let other = format!("sha256:{}", "ab".repeat(32));
    let marked = |digest: &str| format!("1.0.0+{}", &digest[7..19]);
    // Its own, or that of another, which is named as well.
    for version in [marked(&digest), marked(&other)] {
        let scene = scene(named("any")).await;
        flux(&scene);
        repository(&scene, SOURCE);
        helm_release(&scene, "v2");
        let path = format!("{RELEASES}/v2/namespaces/flux/helmreleases/any");
        let mut object = scene.cluster.find(&path).unwrap();
        let tagged =
            |version: &str, digest: &str| format!("{}@{digest}", version.replace('+', "_"));
        object["status"]["history"][0]["ociDigest"] = tagged(&version, &digest).into();
        object["status"]["lastAttemptedRevisionDigest"] = tagged(&marked(&digest), &other).into();
        scene.cluster.put(&path, object);
        // As read with that.
        scene.context.store.update(&web(), |known| {
            for content in known.contents_mut() {
                content.version.clone_from(&version);
                content.manifest = Some(manifest);
                content.recorded = Some(marked(&digest));
            }
        });
        following(&scene, async {
            while judged(&scene).await.1 != "Flux" {
                queued(&scene, &web()).await;
            }
            let deployed = scene.context.cache.deployers.of(&web(), &named("any"));
            assert_eq!(deployed.traces.len(), 2);
            let release = scene.context.store.release(&web()).unwrap();
            let mut read = release.revisions.values();
            assert!(
                read.all(|one| !one.resource_version.is_empty()),
                "{version}"
            );
        })
        .await;
    }
}

/// k3s leaves no mark on a record, and a kind that was not there is asked for every ten seconds only: so whoever
/// reads a record looks. Of ordinary records that costs one request for all that are read in the same second.
#[tokio::test]
async fn a_helm_chart_of_a_kind_that_has_just_come_is_not_overlooked() {
    let scene = scene(Mark::None).await;
    let context = &scene.context;
    let secret = json!({"type": "helm.sh/release.v1", "metadata": {
        "namespace": "shop", "name": "sh.helm.release.v1.web.v1",
    }});
    let path = "/api/v1/namespaces/shop/secrets/sh.helm.release.v1.web.v1";
    scene.cluster.put(path, secret);
    following(&scene, async {
        context.cache.deployers.answered().await;
        assert_eq!(judged(&scene).await, verdict("DigestPinned", "Helm"));
        let before = scene.cluster.requests();
        let queued = crate::clock::tick();
        for _ in 0..20 {
            read_anew(&scene, queued).await;
        }
        let asked = scene.cluster.requests() - before;
        assert_eq!(
            asked, 21,
            "for each its record, and for all of them the kind"
        );
        assert_eq!(
            judged(&scene).await,
            verdict("DigestPinned", "Helm"),
            "and nothing waits"
        );

        define(&scene, K3S, "v1", &["helmcharts"]);
        let object = json!({
            "metadata": {"namespace": "kube-system", "name": "web"},
            "spec": {"chart": "web", "repo": ELSEWHERE, "targetNamespace": "shop"},
            "status": {"jobName": "helm-install-web"},
        });
        let path = format!("{K3S}/v1/namespaces/kube-system/helmcharts/web");
        scene.cluster.put(&path, object);
        read_anew(&scene, crate::clock::tick()).await;
        let deployed = context.cache.deployers.of(&web(), &Mark::None);
        let is_open = deployed.missing == Some(Missing::Objects);
        assert!(is_open || deployed.owner == Owner::K3s, "{deployed:?}");
        until(&scene, &verdict("SourceUnknown", "K3s")).await;
    })
    .await;
}

/// Reads the record as if it had changed.
async fn read_anew(scene: &Scene, queued: Instant) {
    let record = RecordId::Helm {
        driver: Driver::Secret,
        revision: 1,
    };
    let known = scene.context.store.release(&web()).unwrap();
    let revision = known.revisions.get(&record).unwrap().clone();
    scene
        .context
        .store
        .update(&web(), |release| release.forget_reading(record));
    release::read::read_changed(&scene.context, &web(), queued).await;
    // What the record says is not this test's matter.
    scene
        .context
        .store
        .update(&web(), |release| release.put(record, revision));
}

/// The condition of the policy names the kind; without such a kind it says nothing.
#[tokio::test]
async fn a_policy_says_which_deployers_it_does_not_see() {
    let scene = scene(Mark::None).await;
    let path = "/apis/charttrust.io/v1alpha1/charttrustpolicies/strict";
    let object = json!({
        "apiVersion": "charttrust.io/v1alpha1", "kind": "ChartTrustPolicy",
        "metadata": {"name": "strict", "generation": 1}, "spec": {"rules": []},
    });
    scene.cluster.put(path, object);
    flux(&scene);
    scene
        .cluster
        .refuse("GET", "/helmreleases", (403, "Forbidden"));
    let ready = || {
        let status = scene.cluster.find(path).unwrap()["status"].clone();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.into_iter().find(|one| one["type"] == "Ready");
        ready.unwrap_or_default()["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let write = async || {
        let object = serde_json::from_value(scene.cluster.find(path).unwrap());
        let object = object.map_err(|error| error.to_string());
        let policies = &scene.context.cache.policies;
        policies.set("strict".to_owned(), Some(object));
        let moment = Moment {
            date: NOW.parse().unwrap(),
            tick: crate::clock::tick(),
        };
        policy::write_status(&scene.context, "strict", moment)
            .await
            .unwrap();
    };
    judged(&scene).await;
    write().await;
    assert!(!ready().contains("helmreleases"), "{}", ready());
    following(&scene, async {
        while scene.context.cache.deployers.unreadable().is_empty() {
            let work = scene.context.queues.tasks.next().await;
            drop(work);
        }
        write().await;
        assert!(
            ready().contains("without helmreleases.helm.toolkit.fluxcd.io"),
            "{}",
            ready()
        );
        let writes = scene.cluster.writes().len();
        write().await;
        assert_eq!(scene.cluster.writes().len(), writes, "it is said once");
    })
    .await;
}
