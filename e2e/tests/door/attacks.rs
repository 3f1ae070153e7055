//! People who want past the door: what each may do, and that it does not help. What helps by its nature is told in
//! `docs/admission.md`, and shown here too.

use charttrust::api::ReleaseTrust;
use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::record;
use charttrust_e2e::repository::{Fault, Repository};
use charttrust_e2e::stage::{SOON, Story, apply};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::setup::{front, heard, mode, records, steal_now, story, story_alone, with_both_helms};

with_both_helms! {
    a_tenant_who_counts_very_far_hides_no_upgrade
    a_chart_that_is_too_large_to_be_read_is_refused_where_doubts_are
}

/// Somebody who may do in his namespace what `edit` allows, Secrets included.
async fn tenant(story: &Story) -> Client {
    let cluster = front().await.stage.cluster;
    let namespace = &story.namespace;
    let tenant = cluster.identity(namespace, "tenant").await.unwrap();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "tenant", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "ServiceAccount", "name": "tenant", "namespace": namespace}],
    });
    let bound = apply(cluster.kubeconfig(), &[binding]).await;
    story.done("let the tenant edit", bound);
    tenant.client().await.unwrap()
}

/// Helm names the next record after the newest, whoever has written that: beyond 32 bits the door and the operator
/// must know it for a record too.
async fn a_tenant_who_counts_very_far_hides_no_upgrade(version: Version) {
    let (story, _door) = story("counts", version).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("strict", &[&key], mode("Enforce")).await;
    heard(&story, &policy).await;
    let signed = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let unsigned = story.publish(&Source::new("web", "1.1.0"), None).await;
    story.install("web", &signed).await;
    let tenant = Api::<Secret>::namespaced(tenant(&story).await, &story.namespace);
    let template = tenant.get("sh.helm.release.v1.web.v1").await.unwrap();
    let far = u64::from(u32::MAX);
    let copied = record::copy(&template, "web", |record| record["version"] = json!(far));
    let mut secret = story.done("copy a record", copied);
    secret.metadata.name = Some(format!("sh.helm.release.v1.web.v{far}"));
    let labels = secret.metadata.labels.get_or_insert_default();
    labels.insert("version".to_owned(), far.to_string());
    labels.insert("status".to_owned(), "deployed".to_owned());
    let created = tenant.create(&PostParams::default(), &secret).await;
    story.done("write a record of what is trusted", created);

    let said = story.try_upgrade("web", &unsigned).await;
    let said = said.expect_err("it is refused").to_string();
    assert!(said.contains("Unsigned"), "{said}");
    assert_eq!(records(&story, "web").await.len(), 2);
    // Where nobody refuses, the operator sees what runs.
    story.policy("strict", &[&key], mode("Audit")).await;
    eventually(SOON, "it goes in", async || {
        let upgraded = story.try_upgrade("web", &unsigned).await;
        upgraded.map_err(|error| error.to_string())
    })
    .await;
    let trust = story.expect("web", "Unsigned").await;
    let release = trust.status.unwrap().release.unwrap();
    assert_eq!(release.revision, 1 << 32);
}

/// Files of zeros weigh nothing in an archive and in Helm's record, and are more than anybody reads to judge. What
/// cannot be told goes in with a warning; where that is not wanted there is `onUnknown: Deny`.
async fn a_chart_that_is_too_large_to_be_read_is_refused_where_doubts_are(version: Version) {
    let (story, _door) = story("zeros", version).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("strict", &[&key], mode("Enforce")).await;
    heard(&story, &policy).await;
    let zeros = vec![0; 4 << 20];
    let large = (0..4).fold(Source::new("web", "1.0.0"), |source, number| {
        source.with_bytes(&format!("files/{number}"), &zeros)
    });
    let large = story.publish(&large, None).await;
    let archive = large.archive.to_string_lossy().into_owned();
    let install = ["install", "web", &archive, "--namespace", &story.namespace];
    let said = story.done("install it", story.helm.told(&install).await);
    assert!(
        said.contains("was not checked: ReleaseUnreadable"),
        "{said}"
    );
    assert_eq!(records(&story, "web").await, ["deployed"]);

    let strict = json!({"mode": "Enforce", "admission": {"onUnknown": "Deny"}});
    story.policy("strict", &[&key], strict).await;
    eventually(SOON, "it is refused", async || {
        match story.try_install("again", &large).await {
            Err(error) if error.to_string().contains("ReleaseUnreadable") => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(()) => {
                let gone = story.helm.uninstall(&story.namespace, "again").await;
                Err(format!("it went in; {gone:?}"))
            }
        }
    })
    .await;
    assert!(records(&story, "again").await.is_empty());
}

/// Who has the key signs with any date. Only what the operator had verified before counts, and that nobody else can
/// write, nor take from another release.
#[tokio::test(flavor = "multi_thread")]
async fn a_thief_who_signs_with_an_earlier_date_gets_nothing_in() {
    let (story, _door) = story("thief", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("strict", &[&key], mode("Enforce")).await;
    heard(&story, &policy).await;
    let honest = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    // As old as the honest one, by its own word.
    let day = Timestamp::now().strftime("%Y%m%dT%H%M%S").to_string();
    story.install("web", &honest).await;
    story.expect("web", "SignatureVerified").await;
    steal_now(&story, &key).await;
    story.expect("web", "Grandfathered").await;

    let options = ["--faked-system-time", &day];
    let evil = Source::new("web", "1.0.1").with_file("templates/NOTES.txt", "Evil.\n");
    let evil = story.publish_signed(&evil, &[&key], &options).await;
    for (release, act) in [("web", "upgrade"), ("fresh", "install")] {
        eventually(SOON, "the theft is known", async || {
            let done = match act {
                "upgrade" => story.try_upgrade(release, &evil).await,
                _ => story.try_install(release, &evil).await,
            };
            match done {
                Err(error) if error.to_string().contains("KeyCompromised") => Ok(()),
                Err(error) => Err(error.to_string()),
                Ok(()) => panic!("{release} went in"),
            }
        })
        .await;
    }
    assert_eq!(records(&story, "web").await, ["deployed"]);

    // What was verified of one release vouches for no other, though somebody may copy all of it. The operator deletes
    // what no record stands behind, at any moment.
    let cluster = front().await.stage.cluster;
    let elsewhere = cluster.namespace(&story.namespace).await.unwrap();
    let more = json!({"mode": "Enforce", "match": {"releases": [format!("{elsewhere}/*")]}});
    story.policy("elsewhere", &[&key], more).await;
    let trust = story.trusts().get("web").await.unwrap();
    let there = Api::<ReleaseTrust>::namespaced(story.client.clone(), &elsewhere);
    let mut copied = ReleaseTrust::clone(&trust);
    copied.metadata = kube::api::ObjectMeta {
        name: trust.metadata.name.clone(),
        ..Default::default()
    };
    let created = there.create(&PostParams::default(), &copied).await;
    story.done("copy what was found", created);
    let status = json!({"status": trust.status});
    let (params, status) = (PatchParams::default(), Patch::Merge(&status));
    match there.patch_status("web", &params, &status).await {
        Err(kube::Error::Api(gone)) if gone.code == 404 => {}
        written => drop(story.done("copy the evidence", written)),
    }
    let archive = evil.archive.to_string_lossy().into_owned();
    eventually(SOON, "it does not go in silently", async || {
        let install = ["install", "web", &archive, "--namespace", &elsewhere];
        match story.helm.told(&install).await {
            Err(error) if error.to_string().contains("KeyCompromised") => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(said) => {
                let gone = story.helm.uninstall(&elsewhere, "web").await;
                Err(format!("it went in: {said}; {gone:?}"))
            }
        }
    })
    .await;
}

/// A tenant may neither write what the operator says nor freeze anybody's upgrades, or end that.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_writes_no_verdict_and_freezes_nobody() {
    let (story, _door) = story("tenant", Version::V4).await;
    let tenant = tenant(&story).await;
    let of = |kind: &str, spec: Value| {
        json!({"apiVersion": "charttrust.io/v1alpha1", "kind": kind,
            "metadata": {"name": "web", "namespace": story.namespace}, "spec": spec})
    };
    let frozen = json!({"reason": "mine", "actions": ["PauseDeployer", "FreezeUpgrades"]});
    for (plural, object) in [
        ("quarantines", of("Quarantine", frozen)),
        ("releasetrusts", of("ReleaseTrust", json!({}))),
    ] {
        let path = format!(
            "/apis/charttrust.io/v1alpha1/namespaces/{}/{plural}",
            story.namespace
        );
        let request = posted(&path, &object);
        let refused = tenant.request::<Value>(request).await.unwrap_err();
        let is_forbidden = matches!(&refused, kube::Error::Api(status) if status.code == 403);
        assert!(is_forbidden, "{plural}: {refused}");
    }
}

fn posted(path: &str, object: &Value) -> axum::http::Request<Vec<u8>> {
    let request = axum::http::Request::post(path).header("content-type", "application/json");
    request.body(object.to_string().into_bytes()).unwrap()
}

/// Who runs a mirror serves what he likes while the source is silent: he can give no trust, and what the source has
/// said before stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_serves_something_else_gets_nothing_in_that_is_known() {
    let (mut story, _door) = story("mirror", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let mirror = Repository::start().unwrap();
    let source = json!({"url": story.repository.url(), "mirrors": [mirror.url()]});
    let rule = story.rule("*", &[&key], json!({"sources": [source]}));
    let enforce = json!({"mode": "Enforce", "rules": [rule]});
    let policy = story.policy("strict", &[&key], enforce.clone()).await;
    heard(&story, &policy).await;
    let honest = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let other = story
        .publish(&Source::new("web", "1.1.0"), Some(&key))
        .await;
    story.install("web", &honest).await;
    story.expect("web", "SignatureVerified").await;
    // The same name and version, and something else in it; with the honest provenance, and without any.
    let evil = |version: &str| {
        let source = Source::new("web", version);
        source.with_file("templates/NOTES.txt", "Evil.\n")
    };
    let helm = Helm::new(Version::V4).unwrap();
    let evil_known = story.package(&evil("1.0.0"), None).await;
    std::fs::copy(honest.provenance(), evil_known.provenance()).unwrap();
    mirror.publish(&helm, &evil_known).await.unwrap();
    let evil_other = story.package(&evil("1.1.0"), None).await;
    mirror.publish(&helm, &evil_other).await.unwrap();
    let told = async |story: &Story, release: &str, chart: &charttrust_e2e::charts::Chart| {
        let archive = chart.archive.to_string_lossy().into_owned();
        let install = [
            "install",
            release,
            &archive,
            "--namespace",
            &story.namespace,
        ];
        let said = story.helm.told(&install).await;
        said.map_err(|error| error.to_string())
    };
    // While the source answers, it is the one that counts.
    for chart in [&evil_known, &evil_other] {
        let said = told(&story, "evil", chart).await.unwrap_err();
        assert!(said.contains("ContentMismatch"), "{said}");
    }
    story.repository.stop();
    for chart in [&evil_known, &evil_other] {
        let said = told(&story, "evil", chart).await.unwrap_err();
        assert!(said.contains("ContentMismatch"), "{said}");
    }
    let said = told(&story, "honest", &other).await.unwrap();
    assert!(!said.contains("charttrust"), "{said}");
    // What nobody has asked for yet is in doubt, and never trusted.
    let unheard = story.package(&evil("1.2.0"), None).await;
    mirror.publish(&helm, &unheard).await.unwrap();
    let said = told(&story, "unheard", &unheard).await.unwrap();
    assert!(
        said.contains("was not checked: SourceUnavailable"),
        "{said}"
    );
    let mut strict = enforce;
    strict["admission"] = json!({"onUnknown": "Deny"});
    story.policy("strict", &[&key], strict).await;
    eventually(SOON, "doubts are refused", async || {
        match told(&story, "doubt", &unheard).await {
            Err(said) if said.contains("onUnknown: Deny") => Ok(()),
            Err(said) => Err(said),
            Ok(said) => {
                let gone = story.helm.uninstall(&story.namespace, "doubt").await;
                Err(format!("{said}; {gone:?}"))
            }
        }
    })
    .await;
}

/// A source that answers a byte at a time, asked for in one namespace again and again, makes others wait in no other.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_slow_source_asked_takes_no_time_of_others() {
    let (story, _door) = story_alone("slow", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let slow = Repository::start().unwrap();
    slow.misbehave(
        "/index.yaml",
        Fault::Trickle(std::time::Duration::from_millis(500)),
    );
    slow.put("index.yaml", "apiVersion: v1\nentries: {}\n")
        .unwrap();
    let slowly = json!({"sources": [{"url": slow.url()}]});
    let rules = [
        story.rule("dark", &[&key], slowly),
        story.rule("*", &[&key], json!({})),
    ];
    let cluster = front().await.stage.cluster;
    let elsewhere = cluster.namespace(&story.namespace).await.unwrap();
    let releases = [&story.namespace, &elsewhere].map(|namespace| format!("{namespace}/*"));
    let more = json!({"mode": "Enforce", "rules": rules, "match": {"releases": releases}});
    let policy = story.policy("strict", &[&key], more).await;
    heard(&story, &policy).await;
    let bare = story.publish(&Source::new("bare", "1.0.0"), None).await;
    let dark = story.package(&Source::new("dark", "1.0.0"), None).await;
    let archive = dark.archive.to_string_lossy().into_owned();
    let story_ref = &story;
    let slowly = (0..6).map(|number| {
        let (name, archive) = (format!("dark-{number}"), archive.clone());
        async move {
            let done = story_ref
                .helm
                .install(&story_ref.namespace, &name, &archive, &[])
                .await;
            story_ref.done("install what nobody can tell", done);
        }
    });
    let archive = bare.archive.to_string_lossy().into_owned();
    let meanwhile = async {
        for number in 0..3 {
            let name = format!("bare-{number}");
            let done = story.helm.install(&elsewhere, &name, &archive, &[]).await;
            let said = done.expect_err("it is refused").to_string();
            assert!(said.contains("Unsigned"), "{said}");
        }
    };
    tokio::join!(futures::future::join_all(slowly), meanwhile);
}
