//! Where charts come from: several sources, mirrors, archives and subcharts that cannot be trusted,
//! and looks that are made at once.

use std::time::{Duration, Instant};

use charttrust::api::ChartTrustPolicy;
use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::repository::{Asked, Fault, Repository};
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, SOON, Story, StoryKey};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::setup::{story, with_both_helms};

with_both_helms! {
    an_archive_that_can_be_read_in_two_ways_is_not_trusted_though_signed
    each_subchart_is_signed_if_the_rule_asks_for_that
    a_statement_that_begins_with_dashes_verifies_as_in_helm
}

async fn an_archive_that_can_be_read_in_two_ways_is_not_trusted_though_signed(version: Version) {
    let story = story("ambiguous", version).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("policy", &[&key], json!({})).await;
    let source = Source::new("web", "1.0.0");
    let chart = story.package(&source, Some(&key)).await;
    let (statement, before) = (chart.statement().unwrap(), chart.digest().unwrap());
    chart.repeat_templates().unwrap();
    let statement = statement.replace(&before, &chart.digest().unwrap());
    let signed = story.keyring.clearsign(&statement, &[&key.key], &[]);
    chart.prove(&signed.unwrap()).unwrap();
    story.repository.publish(&story.helm, &chart).await.unwrap();
    story.install("web", &chart).await;
    story.expect("web", "ArchiveAmbiguous").await;
    let trusts = story.trusts();
    let message = story
        .expect_condition(&trusts, "web", "Trusted=False/ArchiveAmbiguous")
        .await;
    assert!(message.contains("templates/"), "{message}");
    let level = story.rule("*", &[&key], json!({"verify": {"level": "Signature"}}));
    let level = json!({"spec": {"rules": [level]}});
    story.patch::<ChartTrustPolicy>(&policy, level).await;
    story.expect("web", "ArchiveAmbiguous").await;
}

/// As the plugin helm-gpg leaves it, which signs `Chart.yaml` as it stands in the archive.
async fn a_statement_that_begins_with_dashes_verifies_as_in_helm(version: Version) {
    let story = story("dashes", version).await;
    let key = story.trusted_key("platform").await;
    story.policy("policy", &[&key], json!({})).await;
    let chart = story
        .package(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let statement = format!("---\n{}", chart.statement().unwrap());
    let signed = story.keyring.clearsign(&statement, &[&key.key], &[]);
    chart.prove(&signed.unwrap()).unwrap();

    let public = story.keyring.public_keyring().unwrap();
    let (public, archive) = (public.to_string_lossy(), chart.archive.to_string_lossy());
    let verify = ["verify", &archive, "--keyring", &public];
    let said = story.helm.run(&verify).await.unwrap();
    assert!(said.contains(&key.key.fingerprint), "{said}");

    story.offer(&chart).await;
    story.install("web", &chart).await;
    story.expect("web", "SignatureVerified").await;
}

/// A chart whose objects have its own name, so that several go into one release.
pub(crate) fn part(name: &str) -> Source {
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-{{ .Chart.Name }}\n";
    Source::new(name, "1.0.0")
        .with_file("templates/config.yaml", config)
        .with_file("templates/deployment.yaml", "")
}

/// A chart of charts from a repository.
pub(crate) fn umbrella(name: &str, parts: &[&Chart], repository: &str) -> Source {
    let mut declared = Vec::new();
    let mut source = Source::new(name, "1.0.0");
    for part in parts {
        let Chart { name, version, .. } = part;
        declared.push(json!({"name": name, "version": version, "repository": repository}));
        let bytes = std::fs::read(&part.archive).unwrap();
        source = source.with_bytes(&format!("charts/{name}-{version}.tgz"), &bytes);
    }
    let metadata =
        json!({"apiVersion": "v2", "name": name, "version": "1.0.0", "dependencies": declared});
    source.with_file("Chart.yaml", &metadata.to_string())
}

async fn each_subchart_is_signed_if_the_rule_asks_for_that(version: Version) {
    let story = story("subcharts", version).await;
    let key = story.trusted_key("platform").await;
    let repository = Repository::start().unwrap();
    let mut parts = Vec::new();
    for name in ["cache", "db", "queue"] {
        let chart = story.package(&part(name), Some(&key)).await;
        repository.publish(&story.helm, &chart).await.unwrap();
        parts.push(chart);
    }
    repository.misbehave("/db-1.0.0.tgz.prov", Fault::Status(404));
    let changed = part("db").with_file("README.md", "Of somebody else.");
    let changed = story.package(&changed, None).await;
    let demand = |dependencies: &str| {
        story.rule(
            "*",
            &[&key],
            json!({"verify": {"dependencies": dependencies}}),
        )
    };
    let mut policy = story.rules("policy", &[demand("Inherit")]).await;
    let honest: Vec<_> = parts.iter().collect();
    let tampered = [&parts[0], &changed];
    for (name, parts) in [("shop", &honest[..]), ("forged", &tampered), ("plain", &[])] {
        let source = umbrella(name, parts, &repository.url());
        let chart = story.publish(&source, Some(&key)).await;
        story.install(&chart.name, &chart).await;
        story.expect(&chart.name, "SignatureVerified").await;
    }
    let strict = json!({"spec": {"rules": [demand("Verify")], "interval": "1s"}});
    story.patch::<ChartTrustPolicy>(&policy, strict).await;
    let trusts = story.trusts();
    for (name, state, part) in [
        (
            "shop",
            "Trusted=False/DependencyNotTrusted",
            "subchart db 1.0.0: Unsigned: ",
        ),
        (
            "forged",
            "Trusted=False/ContentMismatch",
            "subchart db 1.0.0: ",
        ),
    ] {
        let message = story.expect_condition(&trusts, name, state).await;
        assert!(message.starts_with(part), "{message}");
    }
    story.expect("plain", "SignatureVerified").await;
    repository.behave();
    story.expect("shop", "SignatureVerified").await;
    story.expect("forged", "ContentMismatch").await;
    // What was verified needs no repository any more.
    let mut repository = repository;
    repository.stop();
    policy = story.rules("policy", &[demand("Verify")]).await;
    story.expect("shop", "SignatureVerified").await;
    story.expect("forged", "ContentMismatch").await;
    drop(policy);
}

/// A rule with these sources, in this order.
fn rule_from(story: &Story, key: &StoryKey, sources: &[&Repository], more: Value) -> Value {
    let sources: Vec<_> = sources
        .iter()
        .map(|source| json!({"url": source.url()}))
        .collect();
    let mut rule = story.rule("*", &[key], more);
    rule["sources"] = json!(sources);
    rule
}

/// Publishes what is no other version, and yet another chart.
async fn publish_other(story: &Story, chart: &str, key: &StoryKey) {
    let other = Source::new(chart, "1.0.0").with_file("templates/other.yaml", "# other\n");
    story.publish(&other, Some(key)).await;
}

async fn publish_at(story: &Story, place: &Repository, chart: &str, key: &StoryKey) -> Chart {
    let source = Source::new(chart, "1.0.0");
    let chart = story.package(&source, Some(key)).await;
    place.publish(&story.helm, &chart).await.unwrap();
    chart
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_sources_the_one_with_the_content_of_the_release_is_its_origin() {
    let story = story("origin", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let second = Repository::start().unwrap();
    let sources = [&story.repository, &second];
    let strict = rule_from(&story, &key, &sources, json!({}));
    let policy = story.rules("policy", &[strict]).await;
    publish_other(&story, "web", &key).await;
    let chart = publish_at(&story, &second, "web", &key).await;
    story.install("web", &chart).await;
    let trusts = story.trusts();
    let expected = format!("content as signed; archive of {}", second.url());
    // Which of two archives it is can be told when both sources have answered.
    eventually(SOON, &expected, async || {
        let origin = story
            .expect_condition(&trusts, "web", "Trusted=True/SignatureVerified")
            .await;
        if origin == expected {
            Ok(())
        } else {
            Err(origin)
        }
    })
    .await;
    // At this level nothing is compared: the first source that has the version decides.
    let level = json!({"verify": {"level": "Signature"}});
    let signature = rule_from(&story, &key, &sources, level);
    let signature = json!({"spec": {"rules": [signature]}});
    story.patch::<ChartTrustPolicy>(&policy, signature).await;
    let origin = story
        .expect_condition(&trusts, "web", "Trusted=True/ArchiveVerified")
        .await;
    let expected = format!(
        "signed; content not compared; archive of {}",
        story.repository.url()
    );
    assert_eq!(origin, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_down_is_not_taken_for_one_that_differs() {
    let story = story("half-down", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let mut second = Repository::start().unwrap();
    let rule = rule_from(&story, &key, &[&story.repository, &second], json!({}));
    story.rules("policy", &[rule]).await;
    for chart in ["elsewhere", "changed"] {
        publish_other(&story, chart, &key).await;
    }
    let elsewhere = publish_at(&story, &second, "elsewhere", &key).await;
    let changed = Source::new("changed", "1.0.0");
    let changed = story.package(&changed, Some(&key)).await;
    let here = Source::new("here", "1.0.0");
    let here = story.publish(&here, Some(&key)).await;
    second.stop();
    for chart in [&elsewhere, &changed, &here] {
        story.install(&chart.name, chart).await;
    }
    story.expect("here", "SignatureVerified").await;
    story.expect("elsewhere", "SourceUnavailable").await;
    story.expect("changed", "SourceUnavailable").await;
    second.restart().unwrap();
    story.expect("elsewhere", "SignatureVerified").await;
    story.expect("changed", "ContentMismatch").await;
    story.expect("here", "SignatureVerified").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_adds_proof_and_what_it_lacks_proves_nothing() {
    let mut story = story("mirrored", Version::V4).await;
    let key = story.make_key("platform");
    let scope = json!({"scope": {"sources": [story.repository.url()]}});
    story.declare(&key, scope).await;
    let mirror = Repository::start().unwrap();
    let source = json!({"url": story.repository.url(), "mirrors": [mirror.url()]});
    let rule = story.rule("*", &[&key], json!({"sources": [source]}));
    let policy = story.rules("policy", &[rule]).await;
    let mut charts = Vec::new();
    for name in ["mirrored", "unproven", "missing"] {
        let chart = Source::new(name, "1.0.0");
        charts.push(story.publish(&chart, Some(&key)).await);
    }
    for chart in &charts[..2] {
        mirror.publish(&story.helm, chart).await.unwrap();
    }
    std::fs::remove_file(mirror.dir().join("unproven-1.0.0.tgz.prov")).unwrap();
    story.repository.stop();
    for chart in &charts {
        story.install(&chart.name, chart).await;
    }
    // The mirror is asked on behalf of the source, so the key's scope is about the source.
    story.expect("mirrored", "SignatureVerified").await;
    story.expect("unproven", "SourceUnavailable").await;
    story.expect("missing", "SourceUnavailable").await;
    story.repository.restart().unwrap();
    for chart in &charts {
        story.expect(&chart.name, "SignatureVerified").await;
    }
    let answering = "SourcesReachable=True/AllReachable";
    story
        .expect_condition(&story.policies(), &policy, answering)
        .await;
}

/// What gives no trust is silence, whoever says it: the next is asked.
#[tokio::test(flavor = "multi_thread")]
async fn no_mirror_silences_those_after_it() {
    let mut story = story("first-mirror", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let (hostile, sound) = (Repository::start().unwrap(), Repository::start().unwrap());
    let mirrors = [hostile.url(), sound.url()];
    let source = json!({"url": story.repository.url(), "mirrors": mirrors});
    let rule = story.rule("*", &[&key], json!({"sources": [source]}));
    story.rules("policy", &[rule]).await;
    let mut charts = Vec::new();
    for name in ["otherwise", "nonsense", "damaged"] {
        let chart = story.publish(&Source::new(name, "1.0.0"), Some(&key)).await;
        hostile.publish(&story.helm, &chart).await.unwrap();
        sound.publish(&story.helm, &chart).await.unwrap();
        charts.push(chart);
    }
    let other = Source::new("otherwise", "1.0.0").with_file("README.md", "Of somebody else.");
    let other = story.package(&other, Some(&story.make_key("thief"))).await;
    for end in ["", ".prov"] {
        let bytes = std::fs::read(format!("{}{end}", other.archive.display())).unwrap();
        hostile
            .put(&format!("otherwise-1.0.0.tgz{end}"), bytes)
            .unwrap();
    }
    hostile.put("nonsense-1.0.0.tgz.prov", "nonsense").unwrap();
    hostile
        .put("damaged-1.0.0.tgz", b"\x1f\x8b\x08damaged")
        .unwrap();
    story.repository.stop();
    for chart in &charts {
        story.install(&chart.name, chart).await;
        story.expect(&chart.name, "SignatureVerified").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_index_marks_its_own_source_only() {
    let story = story("one-index", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let sound = Repository::start().unwrap();
    let of = |charts: &str, source: &Repository| {
        let sources = json!([{"url": source.url()}]);
        story.rule(charts, &[&key], json!({"sources": sources}))
    };
    let rules = [of("web", &story.repository), of("shop", &sound)];
    let policy = story.rules("policy", &rules).await;
    let garbage = Fault::Bytes(b"apiVersion: v1\nentries: [this is no map]\n".to_vec());
    story.repository.misbehave("/index.yaml", garbage);
    let web = publish_at(&story, &story.repository, "web", &key).await;
    let shop = publish_at(&story, &sound, "shop", &key).await;
    story.install("web", &web).await;
    story.install("shop", &shop).await;
    story.expect("shop", "SignatureVerified").await;
    let trusts = story.trusts();
    let message = story
        .expect_condition(&trusts, "web", "Trusted=Unknown/SourceUnavailable")
        .await;
    assert!(message.contains("index"), "{message}");
    let silent = "SourcesReachable=False/SourceUnavailable";
    let message = story
        .expect_condition(&story.policies(), &policy, silent)
        .await;
    let (named, other) = (story.repository.url(), sound.url());
    assert!(
        message.contains(&named) && !message.contains(&other),
        "{message}"
    );
    story.repository.behave();
    story.expect("web", "SignatureVerified").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_has_handled_a_request_only_when_every_look_has_ended() {
    let story = story("all-ended", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let rarely = json!({"interval": "24h"});
    let policy = story.policy("policy", &[&key], rarely).await;
    let charts = ["quick", "slow", "slower"];
    for name in charts {
        let source = Source::new(name, "1.0.0");
        let chart = story.publish(&source, Some(&key)).await;
        story.install(name, &chart).await;
    }
    for name in charts {
        story.expect(name, "SignatureVerified").await;
        story.settled(name).await;
    }
    let looks = || charts.map(|name| story.repository.count(&proof(name)));
    let before = looks();
    for (name, seconds) in [("slow", 2), ("slower", 4)] {
        let late = Fault::Slow(Duration::from_secs(seconds));
        story.repository.misbehave(&proof(name), late);
    }
    let asked = json!({"metadata": {"annotations": {"charttrust.io/requestedAt": "monday"}}});
    story.patch::<ChartTrustPolicy>(&policy, asked).await;
    let policies = story.policies();
    eventually(SOON, "the policy has handled monday", async || {
        let found = policies
            .get(&policy)
            .await
            .map_err(|error| error.to_string())?;
        let handled = found.status.unwrap_or_default().last_handled_reconcile_at;
        match handled.as_deref() {
            Some("monday") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let after = looks();
    let all_looked = before
        .iter()
        .zip(&after)
        .all(|(before, after)| after > before);
    assert!(all_looked, "{before:?} before, {after:?} after");
}

fn proof(chart: &str) -> String {
    format!("/{chart}-1.0.0.tgz.prov")
}

/// A rule whose only source needs more than its URL.
fn rule_with(story: &Story, key: &StoryKey, mut source: Value) -> Value {
    source["url"] = json!(story.repository.url());
    story.rule("*", &[key], json!({"sources": [source]}))
}

/// A Secret of the operator with this password.
fn login(name: &str, password: &str) -> Value {
    let data = json!({"username": "ann", "password": password});
    json!({"metadata": {"name": name}, "stringData": data})
}

fn own_secrets(story: &Story) -> Api<Secret> {
    Api::namespaced(story.client.clone(), OPERATOR_NAMESPACE)
}

async fn change_login(story: &Story, name: &str, password: &str) {
    let change = Patch::Merge(login(name, password));
    own_secrets(story)
        .patch(name, &PatchParams::default(), &change)
        .await
        .unwrap();
}

/// A private repository, a chart in it, and a policy whose Secret holds this password.
async fn private(story: &Story, password: &str) -> (String, Chart) {
    let key = story.trusted_key("platform").await;
    let source = Source::new("web", "1.0.0");
    let chart = story.publish(&source, Some(&key)).await;
    story.repository.require_login("ann", "right");
    let name = format!("{}-login", story.namespace);
    let secret = serde_json::from_value(login(&name, password)).unwrap();
    own_secrets(story)
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    let source = json!({"credentialsSecretRef": {"name": name}});
    let rules = json!([rule_with(story, &key, source)]);
    let rarely = json!({"interval": "24h", "rules": rules});
    story.policy("policy", &[], rarely).await;
    (name, chart)
}

async fn remove(story: &Story, login: &str) {
    own_secrets(story)
        .delete(login, &DeleteParams::default())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_is_tried_again_as_soon_as_its_secret_is_corrected() {
    let story = story("corrected", Version::V4).await;
    let (login, chart) = private(&story, "wrong").await;
    story.install("web", &chart).await;
    story.expect("web", "SourceUnavailable").await;
    // The pauses grow to 2, 4, 8 and then 16 seconds.
    eventually(SOON, "the login was refused four times", async || {
        let requests = story.repository.requests();
        let refused = requests.iter().filter(|asked| asked.status == 401).count();
        if refused >= 4 { Ok(()) } else { Err(refused) }
    })
    .await;
    let corrected = Instant::now();
    change_login(&story, &login, "right").await;
    story.expect("web", "SignatureVerified").await;
    let took = corrected.elapsed();
    assert!(took < Duration::from_secs(12), "{took:?}");
    remove(&story, &login).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_login_is_used_at_once() {
    let story = story("renewed", Version::V4).await;
    let (login, chart) = private(&story, "right").await;
    story.install("web", &chart).await;
    story.expect("web", "SignatureVerified").await;
    story.settled("web").await;
    story.repository.require_login("ann", "newer");
    let before = story.repository.requests().len();
    change_login(&story, &login, "newer").await;
    looked_again(&story, before).await;
    let since = &story.repository.requests()[before..];
    let is_refused = |asked: &Asked| asked.status == 401;
    assert!(!since.iter().any(is_refused), "{since:?}");
    remove(&story, &login).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_authority_is_used_at_once() {
    let story = story("authority", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let maps = Api::<ConfigMap>::namespaced(story.client.clone(), OPERATOR_NAMESPACE);
    let authority = eventually(SOON, "the cluster gave its certificate", async || {
        let map = maps.get("kube-root-ca.crt").await;
        let data = map.map_err(|error| error.to_string())?.data;
        data.and_then(|mut data| data.remove("ca.crt"))
            .ok_or("it holds none".to_owned())
    })
    .await;
    let name = format!("{}-ca", story.namespace);
    let map = |text: &str| json!({"metadata": {"name": name}, "data": {"ca.crt": text}});
    let first = serde_json::from_value(map(&authority)).unwrap();
    maps.create(&PostParams::default(), &first).await.unwrap();
    let source = json!({"caRef": {"kind": "ConfigMap", "name": name}});
    let rules = json!([rule_with(&story, &key, source)]);
    let rarely = json!({"interval": "24h", "rules": rules});
    story.policy("policy", &[], rarely).await;
    let source = Source::new("web", "1.0.0");
    let chart = story.publish(&source, Some(&key)).await;
    story.install("web", &chart).await;
    story.expect("web", "SignatureVerified").await;
    story.settled("web").await;
    let before = story.repository.requests().len();
    let two = Patch::Merge(map(&format!("{authority}\n{authority}")));
    maps.patch(&name, &PatchParams::default(), &two)
        .await
        .unwrap();
    looked_again(&story, before).await;
    maps.delete(&name, &DeleteParams::default()).await.unwrap();
}

/// Waits until the provenance file of `web` was given after so many requests.
async fn looked_again(story: &Story, before: usize) {
    eventually(SOON, "the source was asked again", async || {
        let since = &story.repository.requests()[before..];
        let is_answered = |asked: &Asked| asked.path == proof("web") && asked.status < 400;
        if since.iter().any(is_answered) {
            Ok(())
        } else {
            Err(format!("{since:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_an_ordinary_release_is_small() {
    let story = story("shop", Version::V4).await;
    let key = story.trusted_key("2026").await;
    story.policy("all", &[&key], json!({})).await;
    let source = Source::new("payments", "2.14.1");
    let chart = story.publish(&source, Some(&key)).await;
    story.install("payments", &chart).await;
    let trust = story.expect("payments", "SignatureVerified").await;
    let text = serde_json::to_string(&trust.status).unwrap();
    let bytes = text.len();
    println!("the status of an ordinary release has {bytes} bytes");
    assert!(bytes <= MAX_STATUS, "{bytes} bytes: {text}");
}

/// What the status of an ordinary release may take: 1.2 KiB.
const MAX_STATUS: usize = 12 * 1024 / 10;
