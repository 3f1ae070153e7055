//! Refresh: revocations are learned from published copies of a key, and never forgotten.

use charttrust::api::TrustedKey;
use charttrust::controllers::key::learned;
use charttrust_e2e::audit::Event;
use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::gpg::{Algorithm, Revocation};
use charttrust_e2e::helm::Version;
use charttrust_e2e::repository::{Fault, Repository};
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, SOON, Story, StoryKey};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1::Event as Told;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::setup::{stage, story};

const PATH: &str = "platform.asc";

/// A server that publishes keys.
fn publisher() -> Repository {
    Repository::start_with_tls().unwrap()
}

fn from_url(publisher: &Repository) -> Value {
    let url = format!("{}/{PATH}", publisher.url());
    json!({"refresh": {"interval": "1s", "url": url}})
}

/// Publishes the key as it is in the keyring now.
fn publish(story: &Story, key: &StoryKey, publisher: &Repository, path: &str) {
    let copy = story.keyring.public_armored(&key.key).unwrap();
    publisher.put(path, copy).unwrap();
}

/// Takes a revocation into the keyring, from where it is published.
fn revoke(story: &Story, key: &StoryKey, reason: Revocation) {
    let word = story.keyring.revocation(&key.key, reason).unwrap();
    story.keyring.import(&word).unwrap();
}

/// A trusted release of this name, signed by the key.
async fn trusted_release(story: &Story, name: &str, key: &StoryKey) {
    let source = Source::new(name, "1.0.0");
    let chart = story.publish(&source, Some(key)).await;
    story.install(name, &chart).await;
    story.expect(name, "SignatureVerified").await;
}

/// Waits until the publisher was asked again twice, so that one look has begun and ended since.
async fn looked_again(publisher: &Repository) {
    let before = publisher.requests().len();
    eventually(SOON, "the key is looked for again", async || {
        let now = publisher.requests().len();
        if now >= before + 2 { Ok(()) } else { Err(now) }
    })
    .await;
}

async fn condition(story: &Story, key: &StoryKey, wanted: &str) -> String {
    story
        .expect_condition(&story.keys(), &key.name, wanted)
        .await
}

/// Events about a key, by their reason.
async fn events(story: &Story, key: &StoryKey, reason: &str) -> Vec<Told> {
    let api = Api::<Told>::namespaced(story.client.clone(), "default");
    let mut all = api.list(&ListParams::default()).await.unwrap().items;
    all.retain(|event| {
        let about = event
            .regarding
            .as_ref()
            .and_then(|object| object.name.clone());
        about.as_ref() == Some(&key.name) && event.reason.as_deref() == Some(reason)
    });
    all
}

async fn event(story: &Story, key: &StoryKey, reason: &str) -> Told {
    let told = format!("an event {reason} about {}", key.name);
    eventually(SOON, &told, async || {
        let found = events(story, key, reason).await;
        found.into_iter().next().ok_or("none")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_revocation_is_learned_and_an_old_copy_gives_nothing_back() {
    let story = story("refresh", Version::V4).await;
    let publisher = publisher();
    let key = story.make_key("platform");
    publish(&story, &key, &publisher, PATH);
    story.declare(&key, from_url(&publisher)).await;
    story.policy("policy", &[&key], json!({})).await;
    trusted_release(&story, "web", &key).await;
    condition(&story, &key, "Refreshed=True/RefreshSucceeded").await;
    let original = story.keyring.public_armored(&key.key).unwrap();

    revoke(&story, &key, Revocation::Compromised);
    publish(&story, &key, &publisher, PATH);
    story.expect("web", "KeyCompromised").await;
    let message = condition(&story, &key, "Revoked=True/Compromised").await;
    assert!(message.contains("cannot be taken back"), "{message}");
    let event = event(&story, &key, "Compromised").await;
    assert_eq!(event.type_.as_deref(), Some("Warning"));
    let note = event.note.unwrap();
    assert!(note.contains("1 release depends on it"), "{note}");

    publisher.put(PATH, &original).unwrap();
    looked_again(&publisher).await;
    let stage = stage().await;
    stage.at_rest(&story.namespace).await;
    let mark = stage.cluster.mark();
    looked_again(&publisher).await;
    let writes = stage.cluster.asked_since(mark).by(stage.identity.user());
    let fingerprint = key.key.fingerprint.to_lowercase();
    let of_us = |event: &Event| {
        event.namespace == story.namespace
            || event.name.starts_with(&key.name)
            || event.name.contains(&fingerprint)
    };
    let writes = writes.writes().only(of_us);
    assert!(
        writes.is_empty(),
        "looks that learn nothing write: {writes:?}"
    );
    story.expect("web", "KeyCompromised").await;
    condition(&story, &key, "Revoked=True/Compromised").await;

    story.delete::<TrustedKey>(&key.name).await;
    story.expect("web", "SignerNotTrusted").await;
    let original = json!({"publicKey": {"inline": original}});
    story.declare(&key, original).await;
    story.expect("web", "KeyCompromised").await;
    condition(&story, &key, "Revoked=True/Compromised").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_memory_is_written_again() {
    let story = story("memory", Version::V4).await;
    let publisher = publisher();
    let key = story.make_key("platform");
    story.declare(&key, from_url(&publisher)).await;
    revoke(&story, &key, Revocation::Retired);
    publish(&story, &key, &publisher, PATH);
    condition(&story, &key, "Revoked=True/Retired").await;
    let maps = Api::<ConfigMap>::namespaced(story.client.clone(), OPERATOR_NAMESPACE);
    let name = learned::name_of(&key.key.fingerprint.parse().unwrap());
    let kept = async |other_than: Option<&str>| {
        eventually(SOON, "what was learned is kept", async || {
            let map = maps.get(&name).await.map_err(|error| error.to_string())?;
            let uid = map.metadata.uid.clone();
            if uid.as_deref() == other_than {
                return Err("it is the one from before".to_owned());
            }
            Ok(map)
        })
        .await
    };
    let first = kept(None).await;
    maps.delete(&name, &kube::api::DeleteParams::default())
        .await
        .unwrap();
    let second = kept(first.metadata.uid.as_deref()).await;
    assert_eq!(first.data, second.data);
    assert!(first.data.unwrap()[learned::ENTRY].contains("revocations"));
}

#[tokio::test(flavor = "multi_thread")]
async fn web_key_directories_and_key_servers_are_asked_as_they_expect() {
    let story = story("places", Version::V4).await;
    let publisher = publisher();
    let by_mail = story.make_key("by-mail");
    let by_server = story.make_key("by-server");
    let host = publisher.host();
    let mail = json!({"refresh": {"interval": "1s", "wkd": format!("Joe.Doe@{host}")}});
    let server = json!({"refresh": {"interval": "1s", "keyserver": format!("hkps://{host}")}});
    story.declare(&by_mail, mail).await;
    story.declare(&by_server, server).await;
    story
        .policy("policy", &[&by_mail, &by_server], json!({}))
        .await;
    trusted_release(&story, "mail", &by_mail).await;
    trusted_release(&story, "server", &by_server).await;
    let message = condition(&story, &by_server, "Refreshed=False/RefreshFailed").await;
    assert_eq!(message, format!("https://{host}/pks/lookup answered 404"));

    revoke(&story, &by_mail, Revocation::Unspecified);
    revoke(&story, &by_server, Revocation::Compromised);
    // The example of the draft, by the direct method: there is no host openpgpkey.127.0.0.1.
    let hashed = ".well-known/openpgpkey/hu/iy9q119eutrkn8s1mk4r39qejnbu3n5q";
    publisher
        .put(hashed, story.keyring.public_binary(&by_mail.key).unwrap())
        .unwrap();
    publish(&story, &by_server, &publisher, "pks/lookup");
    story.expect("mail", "KeyRevoked").await;
    story.expect("server", "KeyCompromised").await;
    let asked = |path: &str| publisher.count(path) > 0;
    assert!(asked(&format!("/{hashed}?l=Joe.Doe")));
    let fingerprint = &by_server.key.fingerprint;
    assert!(asked(&format!(
        "/pks/lookup?op=get&options=mr&search=0x{fingerprint}"
    )));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_life_is_learned_and_a_longer_one_only_told() {
    let story = story("lives", Version::V4).await;
    let made = |name: &str, expires| {
        let keyring = &story.keyring;
        let key = keyring.key_made_at(name, Algorithm::Rsa2048, expires, "20240101T000000");
        story.adopt(name, key.unwrap())
    };
    let shortened = made("shortened", "never");
    let extended = made("extended", "2024-03-01");
    let publishers = [publisher(), publisher()];
    let keys = [(&shortened, "2024-03-01"), (&extended, "never")];
    for ((key, ends), publisher) in keys.iter().zip(&publishers) {
        story.declare(key, from_url(publisher)).await;
        story
            .keyring
            .set_expiry(&key.key, ends, "20240201T000000")
            .unwrap();
        publish(&story, key, publisher, PATH);
    }
    condition(&story, &shortened, "Valid=False/Expired").await;
    let message = condition(&story, &extended, "Refreshed=True/RefreshSucceeded").await;
    assert!(
        message.contains("the copy offers a longer life"),
        "{message}"
    );
    condition(&story, &extended, "Valid=False/Expired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_copy_of_the_key_is_told_and_changes_nothing() {
    let story = story("no-copy", Version::V4).await;
    let publisher = publisher();
    let key = story.make_key("platform");
    let other = story.make_key("other");
    story.declare(&key, from_url(&publisher)).await;
    story.policy("policy", &[&key], json!({})).await;
    trusted_release(&story, "web", &key).await;
    let path = format!("/{PATH}");
    publish(&story, &other, &publisher, PATH);
    for (fault, why) in [
        (None, "it holds no key of this fingerprint"),
        (Some(Fault::Status(503)), "answered 503"),
        (Some(Fault::Html), "it is HTML"),
        (Some(Fault::Empty), "it is empty"),
        (
            Some(Fault::Endless),
            "OpenPGP key is larger than 1048576 bytes",
        ),
        (
            Some(Fault::Bytes(vec![0x99, 0xff])),
            "is not a usable OpenPGP key",
        ),
        (
            Some(Fault::Redirect("https://169.254.169.254/".to_owned())),
            "never allowed",
        ),
        (
            Some(Fault::Redirect("http://127.0.0.1:1/".to_owned())),
            "from https to http",
        ),
    ] {
        if let Some(fault) = fault {
            publisher.misbehave(&path, fault);
        }
        eventually(SOON, why, async || {
            let message = condition(&story, &key, "Refreshed=False/RefreshFailed").await;
            if message.contains(why) {
                Ok(())
            } else {
                Err(message)
            }
        })
        .await;
    }
    story.expect("web", "SignatureVerified").await;
    condition(&story, &key, "Ready=True/Accepted").await;
    publisher.behave();
    publish(&story, &key, &publisher, PATH);
    condition(&story, &key, "Refreshed=True/RefreshSucceeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_never_taken_back_and_our_own_word_is() {
    let story = story("taken-back", Version::V4).await;
    let certified = story.trusted_key("certified").await;
    let declared = story.trusted_key("declared").await;
    story
        .policy("policy", &[&certified, &declared], json!({}))
        .await;
    trusted_release(&story, "certified", &certified).await;
    trusted_release(&story, "declared", &declared).await;
    let word = story
        .keyring
        .revocation(&certified.key, Revocation::Compromised)
        .unwrap();
    let change = json!({"spec": {"revocationCertificates": [word]}});
    story.patch::<TrustedKey>(&certified.name, change).await;
    let change = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story.patch::<TrustedKey>(&declared.name, change).await;
    story.expect("certified", "KeyCompromised").await;
    story.expect("declared", "KeyCompromised").await;
    event(&story, &declared, "Compromised").await;

    let change = json!({"spec": {"revocation": null, "revocationCertificates": null}});
    for key in [&certified, &declared] {
        story.patch::<TrustedKey>(&key.name, change.clone()).await;
    }
    story.expect("declared", "SignatureVerified").await;
    let withdrawn = event(&story, &declared, "RevocationWithdrawn").await;
    assert_eq!(withdrawn.type_.as_deref(), Some("Normal"));
    story.expect("certified", "KeyCompromised").await;

    story.delete::<TrustedKey>(&certified.name).await;
    story.expect("certified", "SignerNotTrusted").await;
    story.declare(&certified, json!({})).await;
    story.expect("certified", "KeyCompromised").await;
    assert!(
        events(&story, &certified, "RevocationWithdrawn")
            .await
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_key_is_warned_of_once_for_each_step_with_the_releases_that_depend_on_it() {
    let story = story("ending", Version::V4).await;
    let key = story
        .keyring
        .expiring_key("platform", Algorithm::Rsa2048, "40d");
    let key = story.adopt("platform", key.unwrap());
    story.declare(&key, json!({})).await;
    story.policy("policy", &[&key], json!({})).await;
    trusted_release(&story, "web", &key).await;
    let named = format!("1 release depends on it: {}/web; ", story.namespace);
    eventually(SOON, "the warning names the release", async || {
        let message = condition(&story, &key, "Expiring=True/ExpiresIn90Days").await;
        if message.contains(&named) {
            Ok(())
        } else {
            Err(message)
        }
    })
    .await;
    let end = charttrust::clock::now() + SignedDuration::from_hours(7 * 24);
    let end = (end + SignedDuration::from_secs(20))
        .strftime("%FT%TZ")
        .to_string();
    let sooner = json!({"spec": {"notAfter": end}});
    story.patch::<TrustedKey>(&key.name, sooner).await;
    condition(&story, &key, "Expiring=True/ExpiresIn30Days").await;
    let message = condition(&story, &key, "Expiring=True/ExpiresIn7Days").await;
    assert!(
        message.contains(&named) && message.contains(&end),
        "{message}"
    );
    event(&story, &key, "ExpiresIn7Days").await;
    for reason in ["ExpiresIn90Days", "ExpiresIn30Days", "ExpiresIn7Days"] {
        assert_eq!(events(&story, &key, reason).await.len(), 1, "{reason}");
    }
    story.expect("web", "SignatureVerified").await;
    let url = stage().await.operator(|operator| operator.metrics_url());
    let metrics = reqwest::get(url).await.unwrap().text().await.unwrap();
    let seconds = end.parse::<jiff::Timestamp>().unwrap().as_second();
    let metric = "charttrust_trusted_key_expiry_timestamp_seconds";
    let line = format!("{metric}{{key=\"{}\"}} {seconds}\n", key.name);
    assert!(metrics.contains(&line), "no {line} in {metrics}");
}
