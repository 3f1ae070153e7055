//! What sources answer, and what becomes of verdicts when they answer otherwise later.

use std::time::Duration;

use charttrust::api::{ChartTrustPolicy, ReleaseTrust, TrustedKey};
use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::repository::{Fault, Repository};
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, SOON, Story, StoryKey, verdict};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::setup::{story, with_both_helms};

with_both_helms! {
    an_old_signed_version_served_as_the_newer_is_never_trusted_as_that
}

/// A story with a key, a policy that looks every second, and a release `web` that is trusted.
async fn trusted_release(prefix: &str) -> (Story, StoryKey, String, Chart) {
    let story = story(prefix, Version::V4).await;
    let key = story.trusted_key("platform").await;
    let policy = story
        .policy("policy", &[&key], json!({"interval": "1s"}))
        .await;
    let chart = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.install("web", &chart).await;
    story.expect("web", "SignatureVerified").await;
    story.settled("web").await;
    (story, key, policy, chart)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provenance_of_another_chart_is_a_metadata_mismatch() {
    let story = story("other-chart", Version::V4).await;
    let key = story.trusted_key("platform").await;
    story.policy("policy", &[&key], json!({})).await;
    let shop = story
        .publish(&Source::new("shop", "1.0.0"), Some(&key))
        .await;
    let web = story.package(&Source::new("web", "1.0.0"), None).await;
    std::fs::copy(shop.provenance(), web.provenance()).unwrap();
    story.repository.publish(&story.helm, &web).await.unwrap();
    story.install("web", &web).await;
    story.expect("web", "MetadataMismatch").await;
}

async fn an_old_signed_version_served_as_the_newer_is_never_trusted_as_that(version: Version) {
    let story = story("replayed", version).await;
    let key = story.trusted_key("platform").await;
    let old = story
        .package(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let newer = Source::new("web", "1.1.0").with_file("templates/fix.yaml", "# the fix\n");
    let new = story.package(&newer, Some(&key)).await;
    let served = story.repository.dir();
    std::fs::copy(&old.archive, served.join("web-1.1.0.tgz")).unwrap();
    std::fs::copy(old.provenance(), served.join("web-1.1.0.tgz.prov")).unwrap();
    story.repository.reindex(&story.helm).await.unwrap();
    let index = std::fs::read_to_string(served.join("index.yaml")).unwrap();
    assert!(index.contains("version: 1.0.0"));
    std::fs::write(
        served.join("index.yaml"),
        index.replace("version: 1.0.0", "version: 1.1.0"),
    )
    .unwrap();

    let narrow = |release: &str| {
        json!({
            "match": {"releases": [format!("{}/{release}", story.namespace)]},
        })
    };
    story.policy("strict", &[&key], narrow("genuine")).await;
    story.policy("lost", &[&key], narrow("replayed")).await;
    let mut signature = narrow("signature");
    signature["rules"] =
        json!([story.rule("*", &[&key], json!({"verify": {"level": "Signature"}}))]);
    story.policy("signature", &[&key], signature).await;
    let mut new_only = narrow("demanded");
    new_only["rules"] = json!([story.rule("*", &[&key], json!({"versions": ">=1.1.0"}))]);
    story.policy("demanded", &[&key], new_only).await;

    story.install("genuine", &new).await;
    story.install("signature", &new).await;
    story
        .helm
        .repo_add("served", &story.repository.url())
        .await
        .unwrap();
    for release in ["replayed", "demanded"] {
        let version = ["--version", "1.1.0"];
        story
            .helm
            .install(&story.namespace, release, "served/web", &version)
            .await
            .unwrap();
    }
    story.expect("genuine", "ContentMismatch").await;
    story.expect("signature", "MetadataMismatch").await;
    // Helm records what it was given, which is 1.0.0; the source lists no such version.
    let trust = story.expect("replayed", "ChartNotFound").await;
    assert_eq!(trust.status.unwrap().release.unwrap().version, "1.0.0");
    story.expect("demanded", "VersionNotAllowed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_or_version_that_no_index_lists_is_not_found() {
    let story = story("not-found", Version::V4).await;
    let key = story.trusted_key("platform").await;
    story
        .policy("policy", &[&key], json!({"interval": "1s"}))
        .await;
    story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let shop = story
        .package(&Source::new("shop", "1.0.0"), Some(&key))
        .await;
    let web = story
        .package(&Source::new("web", "1.1.0"), Some(&key))
        .await;
    story.install("shop", &shop).await;
    story.install("web", &web).await;
    story.expect("shop", "ChartNotFound").await;
    story.expect("web", "ChartNotFound").await;
    story.repository.publish(&story.helm, &shop).await.unwrap();
    story.expect("shop", "SignatureVerified").await;
    story.expect("web", "ChartNotFound").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_for_the_provenance_file_has_its_reason() {
    let story = story("answers", Version::V4).await;
    let key = story.trusted_key("platform").await;
    story.policy("policy", &[&key], json!({})).await;
    let answers = [
        ("s401", Fault::Status(401), "SourceUnavailable"),
        ("s403", Fault::Status(403), "SourceUnavailable"),
        ("s404", Fault::Status(404), "Unsigned"),
        ("s410", Fault::Status(410), "Unsigned"),
        ("s429", Fault::RateLimited(1), "SourceUnavailable"),
        ("s500", Fault::Status(500), "SourceUnavailable"),
        ("s503", Fault::Status(503), "SourceUnavailable"),
        ("empty", Fault::Empty, "ProvenanceMalformed"),
        (
            "garbage",
            Fault::Bytes(b"not signed at all\n".to_vec()),
            "ProvenanceMalformed",
        ),
        ("html", Fault::Html, "SourceUnavailable"),
        (
            "large",
            Fault::Bytes(vec![b'x'; 65 * 1024]),
            "LimitExceeded",
        ),
    ];
    for (name, fault, _) in &answers {
        story
            .repository
            .misbehave(&format!("/{name}-1.0.0.tgz.prov"), fault.clone());
        let chart = story.publish(&Source::new(name, "1.0.0"), Some(&key)).await;
        story.install(name, &chart).await;
    }
    for (name, _, word) in &answers {
        story.expect(name, word).await;
    }
    story.repository.behave();
    for (name, ..) in answers
        .iter()
        .filter(|(.., word)| *word == "SourceUnavailable")
    {
        story.expect(name, "SignatureVerified").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_index_says_nothing_about_a_release() {
    for (prefix, fault) in [
        (
            "index-garbage",
            Fault::Bytes(b"entries: [unfinished".to_vec()),
        ),
        ("index-bare", Fault::Bytes(b"apiVersion: v1\n".to_vec())),
        ("index-html", Fault::Html),
        ("index-absent", Fault::Status(404)),
    ] {
        let story = story(prefix, Version::V4).await;
        let key = story.trusted_key("platform").await;
        let policy = story.policy("policy", &[&key], json!({})).await;
        let chart = story
            .publish(&Source::new("web", "1.0.0"), Some(&key))
            .await;
        story.repository.misbehave("/index.yaml", fault);
        story.install("web", &chart).await;
        story.expect("web", "SourceUnavailable").await;
        let silent = "SourcesReachable=False/SourceUnavailable";
        let message = story
            .expect_condition(&story.policies(), &policy, silent)
            .await;
        let index = format!("{}/index.yaml", story.repository.url());
        assert_eq!(message.matches(&index).count(), 1, "{message}");
        assert!(message.contains("--allow-host"), "{message}");
        story.repository.behave();
        story.expect("web", "SignatureVerified").await;
        let answering = "SourcesReachable=True/AllReachable";
        story
            .expect_condition(&story.policies(), &policy, answering)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_down_on_the_first_look_leaves_the_verdict_open() {
    let mut story = story("down", Version::V4).await;
    let key = story.trusted_key("platform").await;
    story.policy("policy", &[&key], json!({})).await;
    let chart = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.repository.stop();
    story.install("web", &chart).await;
    story.expect("web", "SourceUnavailable").await;
    story.repository.restart().unwrap();
    story.expect("web", "SignatureVerified").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_source_that_left_the_rule_is_told_no_more() {
    let (story, _, policy, _) = trusted_release("left").await;
    let source = json!({"url": story.repository.url()});
    let silent = json!({"url": "http://127.0.0.1:9/charts"});
    let change = async |sources: Value| {
        let patch = json!([{"op": "replace", "path": "/spec/rules/0/sources", "value": sources}]);
        let patch = Patch::<Value>::Json(serde_json::from_value(patch).unwrap());
        let params = PatchParams::default();
        let policies = story.policies();
        policies.patch(&policy, &params, &patch).await.unwrap();
    };
    let trusts = story.trusts();
    change(json!([source, silent])).await;
    story
        .expect_condition(&trusts, "web", "Fresh=False/LookFailed")
        .await;
    change(json!([source])).await;
    story
        .expect_condition(&trusts, "web", "Fresh=True/LookSucceeded")
        .await;
    let reachable = "SourcesReachable=True/AllReachable";
    story
        .expect_condition(&story.policies(), &policy, reachable)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_with_evidence_outlives_its_repository_and_a_revocation_is_judged() {
    let (mut story, key, ..) = trusted_release("outlives").await;
    let trusts = story.trusts();
    story
        .expect_condition(&trusts, "web", "Fresh=True/LookSucceeded")
        .await;
    story.repository.stop();
    story
        .expect_condition(&trusts, "web", "Fresh=False/LookFailed")
        .await;
    story.expect_finding("web", "SourceUnavailable").await;
    story.expect("web", "SignatureVerified").await;

    let revoke = |reason| json!({"spec": {"revocation": {"reason": reason}}});
    story
        .patch::<TrustedKey>(&key.name, revoke("Compromised"))
        .await;
    story.expect("web", "KeyCompromised").await;
    let withdraw = json!({"spec": {"revocation": null}});
    story.patch::<TrustedKey>(&key.name, withdraw).await;
    story.expect("web", "SignatureVerified").await;

    story.repository.restart().unwrap();
    story
        .expect_condition(&trusts, "web", "Fresh=True/LookSucceeded")
        .await;
    eventually(SOON, "the finding is gone", async || {
        let findings = trusts.get("web").await.unwrap().status.unwrap().findings;
        if findings.is_empty() {
            Ok(())
        } else {
            Err(format!("{findings:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provenance_file_garbled_later_changes_nothing_but_a_finding() {
    let (story, _, _, chart) = trusted_release("garbled").await;
    let served = story.repository.dir().join("web-1.0.0.tgz.prov");
    for (text, word) in [
        (Some("garbled\n"), "ProvenanceMalformed"),
        (None, "Unsigned"),
    ] {
        match text {
            Some(text) => std::fs::write(&served, text).unwrap(),
            None => std::fs::remove_file(&served).unwrap(),
        }
        let trust = story.expect_finding("web", word).await;
        assert_eq!(verdict(&trust), "SignatureVerified");
        assert!(trust.status.unwrap().signers[0].verified);
    }
    std::fs::copy(chart.provenance(), &served).unwrap();
    let trusts = story.trusts();
    eventually(SOON, "the finding is gone", async || {
        let trust = trusts.get("web").await.unwrap();
        assert_eq!(verdict(&trust), "SignatureVerified");
        let findings = trust.status.unwrap().findings;
        if findings.is_empty() {
            Ok(())
        } else {
            Err(format!("{findings:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_version_that_changes_is_a_finding_and_not_a_verdict() {
    let (story, key, ..) = trusted_release("republished").await;
    let other = Source::new("web", "1.0.0").with_file("templates/more.yaml", "# more\n");
    let other = story.publish(&other, Some(&key)).await;
    let trust = story.expect_finding("web", "Republished").await;
    assert_eq!(verdict(&trust), "SignatureVerified");
    // Who installs it now gets, and runs, the other archive.
    story.install("other", &other).await;
    story.expect("other", "SignatureVerified").await;
    story.expect("web", "SignatureVerified").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_withdrawn_later_is_a_finding_and_not_a_verdict() {
    let (story, ..) = trusted_release("withdrawn").await;
    std::fs::remove_file(story.repository.dir().join("web-1.0.0.tgz")).unwrap();
    story.repository.reindex(&story.helm).await.unwrap();
    let trust = story.expect_finding("web", "ChartNotFound").await;
    assert_eq!(verdict(&trust), "SignatureVerified");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_added_later_gives_trust() {
    let story = story("signed-later", Version::V4).await;
    let key = story.trusted_key("platform").await;
    story
        .policy("policy", &[&key], json!({"interval": "1s"}))
        .await;
    let chart = story
        .package(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story
        .repository
        .misbehave("/web-1.0.0.tgz.prov", Fault::Status(404));
    story.repository.publish(&story.helm, &chart).await.unwrap();
    story.install("web", &chart).await;
    story.expect("web", "Unsigned").await;
    story.repository.behave();
    story.expect("web", "SignatureVerified").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_can_be_asked_for_at_once() {
    let story = story("asked", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let rarely = json!({"interval": "24h"});
    let policy = story.policy("policy", &[&key], rarely).await;
    story
        .repository
        .misbehave("/web-1.0.0.tgz.prov", Fault::Status(404));
    let source = Source::new("web", "1.0.0");
    let chart = story.publish(&source, Some(&key)).await;
    story.install("web", &chart).await;
    story.expect("web", "Unsigned").await;
    story.settled("web").await;
    let asked = |at: &str| json!({"metadata": {"annotations": {"charttrust.io/requestedAt": at}}});

    let before = looks(&story);
    let trusts = story.trusts();
    let monday = Patch::Merge(asked("monday"));
    trusts
        .patch("web", &PatchParams::default(), &monday)
        .await
        .unwrap();
    handled(&trusts, "web", "monday").await;
    assert!(looks(&story) > before);

    // The provenance file is there now, but nobody would look before tomorrow.
    story.repository.behave();
    story
        .patch::<ChartTrustPolicy>(&policy, asked("tuesday"))
        .await;
    story.expect("web", "SignatureVerified").await;
    handled(&story.policies(), &policy, "tuesday").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_is_asked_for_during_another_is_made_after_it() {
    let story = story("asked-twice", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let rarely = json!({"interval": "24h"});
    story.policy("policy", &[&key], rarely).await;
    let source = Source::new("web", "1.0.0");
    let chart = story.publish(&source, Some(&key)).await;
    let served = story.repository.dir().join("web-1.0.0.tgz.prov");
    std::fs::remove_file(&served).unwrap();
    story.install("web", &chart).await;
    story.expect("web", "Unsigned").await;
    story.settled("web").await;

    let slow = Fault::Slow(Duration::from_secs(2));
    story.repository.misbehave("/web-1.0.0.tgz.prov", slow);
    let archives = || story.repository.count("/web-1.0.0.tgz");
    let (before, archives_before) = (looks(&story), archives());
    let trusts = story.trusts();
    let ask = async |at: &str| {
        let change = json!({"metadata": {"annotations": {"charttrust.io/requestedAt": at}}});
        let parameters = PatchParams::default();
        trusts
            .patch("web", &parameters, &Patch::Merge(change))
            .await
            .unwrap();
    };
    ask("monday").await;
    eventually(
        SOON,
        "the first look has come as far as the provenance file",
        async || {
            if archives() > archives_before {
                Ok(())
            } else {
                Err("it has not")
            }
        },
    )
    .await;
    ask("tuesday").await;
    eventually(
        SOON,
        "the first look has its answer, which is no",
        async || {
            if looks(&story) > before {
                Ok(())
            } else {
                Err("it has not")
            }
        },
    )
    .await;
    std::fs::copy(chart.provenance(), &served).unwrap();
    story.expect("web", "SignatureVerified").await;
    handled(&trusts, "web", "tuesday").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_unusable_answer_for_the_archive_leaves_the_verdict_open() {
    let story = story("archives", Version::V4).await;
    let key = story.trusted_key("platform").await;
    // What is too large is asked for again after this, and not before.
    let often = json!({"interval": "2s"});
    story.policy("policy", &[&key], often).await;
    let answers = [
        ("html", Fault::Html, "SourceUnavailable"),
        ("empty", Fault::Empty, "SourceUnavailable"),
        (
            "garbage",
            Fault::Bytes(b"this is no archive".to_vec()),
            "SourceUnavailable",
        ),
        ("cut", Fault::WrongLength, "SourceUnavailable"),
        ("s401", Fault::Status(401), "SourceUnavailable"),
        ("s500", Fault::Status(500), "SourceUnavailable"),
        ("endless", Fault::Endless, "LimitExceeded"),
    ];
    for (name, fault, _) in &answers {
        let chart = story.publish(&Source::new(name, "1.0.0"), Some(&key)).await;
        story
            .repository
            .misbehave(&format!("/{name}-1.0.0.tgz"), fault.clone());
        story.install(name, &chart).await;
    }
    for (name, _, word) in &answers {
        story.expect(name, word).await;
    }
    story.repository.behave();
    for (name, ..) in &answers {
        story.expect(name, "SignatureVerified").await;
    }
}

/// How often the provenance file was asked for.
fn looks(story: &Story) -> usize {
    story.repository.count("/web-1.0.0.tgz.prov")
}

async fn handled<K>(api: &Api<K>, name: &str, value: &str)
where
    K: Clone + serde::de::DeserializeOwned + serde::Serialize + std::fmt::Debug,
{
    eventually(SOON, &format!("{name} has handled {value}"), async || {
        let object = api.get(name).await.map_err(|error| error.to_string())?;
        let object = serde_json::to_value(object).unwrap();
        let seen = &object["status"]["lastHandledReconcileAt"];
        if seen == value {
            Ok(())
        } else {
            Err(seen.to_string())
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_repository_is_asked_with_the_credentials_of_its_secret() {
    let story = story("private", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let chart = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.repository.require_login("ann", "secret");
    let login = format!("{}-login", story.namespace);
    let source = json!({"url": story.repository.url(), "credentialsSecretRef": {"name": login}});
    let rule = story.rule("*", &[&key], json!({"sources": [source]}));
    let policy = story.rules("policy", &[rule]).await;
    story.install("web", &chart).await;
    story.expect("web", "SourceUnavailable").await;
    let trust: ReleaseTrust = story.expect_finding("web", "SourceUnavailable").await;
    let findings = trust.status.unwrap().findings;
    assert!(findings[0].message.contains(&login), "{findings:?}");

    let secrets = Api::<Secret>::namespaced(story.client.clone(), OPERATOR_NAMESPACE);
    let secret = |password: &str| {
        let data = json!({"username": "ann", "password": password});
        json!({"metadata": {"name": login}, "stringData": data})
    };
    let wrong = serde_json::from_value(secret("wrong")).unwrap();
    secrets
        .create(&PostParams::default(), &wrong)
        .await
        .unwrap();
    eventually(SOON, "the repository refused the login", async || {
        let refused = story
            .repository
            .requests()
            .iter()
            .any(|asked| asked.status == 401);
        if refused {
            Ok(())
        } else {
            Err("it was not asked")
        }
    })
    .await;
    story.expect("web", "SourceUnavailable").await;
    let right = Patch::Merge(secret("secret"));
    secrets
        .patch(&login, &PatchParams::default(), &right)
        .await
        .unwrap();
    story.expect("web", "SignatureVerified").await;
    let answering = "SourcesReachable=True/AllReachable";
    story
        .expect_condition(&story.policies(), &policy, answering)
        .await;
    secrets
        .delete(&login, &DeleteParams::default())
        .await
        .unwrap();
}

/// Rules for the charts of another server and for all others, and releases of the former.
async fn beside(story: &Story, key: &StoryKey, other: &Repository, releases: usize) {
    let source = json!({"sources": [{"url": other.url()}]});
    let of_other = story.rule("other-*", &[key], source);
    let rest = story.rule("*", &[key], json!({}));
    story.rules("policy", &[of_other, rest]).await;
    for number in 0..releases {
        let name = format!("other-{number}");
        let chart = story.package(&Source::new(&name, "1.0.0"), None).await;
        story.install(&name, &chart).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_hangs_delays_no_verdict_about_another() {
    let story = story("hangs", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let other = Repository::start().unwrap();
    // Longer than all patience of this story.
    other.misbehave("/index.yaml", Fault::Slow(SOON * 10));
    let chart = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    beside(&story, &key, &other, 20).await;
    story.install("web", &chart).await;
    story.expect("web", "SignatureVerified").await;
    let hanging = story.trusts().get("other-0").await.unwrap();
    assert_ne!(verdict(&hanging), "ChartNotFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_asks_for_an_hour_of_rest_is_asked_once_by_all_its_releases() {
    let story = story("rests", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let other = Repository::start().unwrap();
    other.misbehave("/index.yaml", Fault::RateLimited(3600));
    beside(&story, &key, &other, 8).await;
    for number in 0..8 {
        story
            .expect(&format!("other-{number}"), "SourceUnavailable")
            .await;
    }
    let asked = json!({"metadata": {"annotations": {"charttrust.io/requestedAt": "monday"}}});
    let trusts = story.trusts();
    let (params, patch) = (PatchParams::default(), Patch::Merge(asked));
    trusts.patch("other-0", &params, &patch).await.unwrap();
    handled(&trusts, "other-0", "monday").await;
    assert_eq!(other.requests().len(), 1, "{:?}", other.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_without_credentials_takes_nothing_from_one_that_has_them() {
    let story = story("two-ways", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let chart = story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.repository.require_login("ann", "secret");
    let login = format!("{}-login", story.namespace);
    let secrets = Api::<Secret>::namespaced(story.client.clone(), OPERATOR_NAMESPACE);
    let data = json!({"username": "ann", "password": "secret"});
    let secret = json!({"metadata": {"name": login}, "stringData": data});
    let secret = serde_json::from_value(secret).unwrap();
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    let without = story.rule("*", &[&key], json!({}));
    let source = json!({"url": story.repository.url(), "credentialsSecretRef": {"name": login}});
    let with = story.rule("*", &[&key], json!({"sources": [source]}));
    story.rules("a-without", &[without]).await;
    story.rules("b-with", &[with]).await;
    story.install("web", &chart).await;
    story.expect("web", "SignatureVerified").await;
    secrets
        .delete(&login, &DeleteParams::default())
        .await
        .unwrap();
}
