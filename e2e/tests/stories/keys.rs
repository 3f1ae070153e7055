//! What becomes of keys: their end, their revocation, their number, their scope, their place.

use charttrust::api::TrustedKey;
use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::gpg::{self, Algorithm, Revocation};
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{OPERATOR_NAMESPACE, SOON, Story, StoryKey};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::setup::{declare_at, keep_in_secret, story};

const MADE: &str = "20240101T000000";
const EARLIER: &str = "20240201T000000";
const BORDER: &str = "20240301T000000";
const LATER: &str = "20240401T000000";

/// A key of January 2024; nothing is declared yet.
fn old_key(story: &Story, name: &str) -> StoryKey {
    let key = story
        .keyring
        .key_made_at(name, Algorithm::Rsa2048, "never", MADE)
        .unwrap();
    story.adopt(name, key)
}

/// Publishes a chart, signed by one key at a time of our choice, and installs it under its name.
async fn release_signed_at(story: &Story, chart: &str, key: &StoryKey, at: &str) {
    release_signed(story, chart, &[key], &["--faked-system-time", at]).await;
}

async fn release_signed(story: &Story, chart: &str, keys: &[&StoryKey], options: &[&str]) {
    let source = Source::new(chart, "1.0.0");
    let chart = story.publish_signed(&source, keys, options).await;
    story.install(&chart.name, &chart).await;
}

/// A rule for charts `lenient-*` and one for charts `strict-*` that rejects expired keys.
async fn lenient_and_strict(story: &Story, key: &StoryKey) {
    let reject = json!({"verify": {"expiredKeys": "Reject"}});
    let lenient = story.rule("lenient-*", &[key], json!({}));
    let strict = story.rule("strict-*", &[key], reject);
    story.rules("policy", &[lenient, strict]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_vouches_for_what_it_signed_before_unless_the_rule_rejects_it() {
    let story = story("expired", Version::V4).await;
    let key = old_key(&story, "old");
    release_signed_at(&story, "lenient-before", &key, EARLIER).await;
    release_signed_at(&story, "lenient-after", &key, LATER).await;
    release_signed_at(&story, "strict-before", &key, EARLIER).await;
    release_signed_at(&story, "strict-after", &key, LATER).await;
    story
        .keyring
        .set_expiry(&key.key, "2024-03-01", "20240101T000001")
        .unwrap();
    story.declare(&key, json!({})).await;
    lenient_and_strict(&story, &key).await;
    story.expect("lenient-before", "SignatureVerified").await;
    for (release, fault) in [
        ("lenient-after", Some("Expired")),
        ("strict-before", None),
        ("strict-after", Some("Expired")),
    ] {
        let trust = story.expect(release, "KeyExpired").await;
        let signer = trust.status.unwrap().signers.remove(0);
        assert!(signer.verified, "{release}");
        assert_eq!(signer.fault.as_deref(), fault, "{release}");
    }
    story
        .expect_condition(&story.keys(), &key.name, "Valid=False/Expired")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_end_date_counts_like_the_expiry_of_the_key() {
    let story = story("not-after", Version::V4).await;
    let key = old_key(&story, "old");
    release_signed_at(&story, "lenient-before", &key, EARLIER).await;
    release_signed_at(&story, "lenient-after", &key, LATER).await;
    release_signed_at(&story, "strict-before", &key, EARLIER).await;
    story
        .declare(&key, json!({"notAfter": "2024-03-01T00:00:00Z"}))
        .await;
    lenient_and_strict(&story, &key).await;
    story.expect("lenient-before", "SignatureVerified").await;
    story.expect("lenient-after", "KeyExpired").await;
    story.expect("strict-before", "KeyExpired").await;
    story
        .expect_condition(&story.keys(), &key.name, "Valid=False/Expired")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_key_is_acted_on_when_it_happens() {
    let story = story("ends", Version::V4).await;
    let key = story.trusted_key("platform").await;
    for chart in ["lenient-web", "strict-web"] {
        let chart = story
            .publish(&Source::new(chart, "1.0.0"), Some(&key))
            .await;
        story.install(&chart.name, &chart).await;
    }
    lenient_and_strict(&story, &key).await;
    story.expect("lenient-web", "SignatureVerified").await;
    story.expect("strict-web", "SignatureVerified").await;
    let end = json!({"spec": {"notAfter": in_seconds(5)}});
    story.patch::<TrustedKey>(&key.name, end).await;
    story
        .expect_condition(&story.keys(), &key.name, "Expiring=True/ExpiresIn7Days")
        .await;
    story.expect("strict-web", "SignatureVerified").await;
    story.expect("strict-web", "KeyExpired").await;
    story
        .expect_condition(&story.keys(), &key.name, "Valid=False/Expired")
        .await;
    story.expect("lenient-web", "SignatureVerified").await;
}

fn in_seconds(seconds: i64) -> String {
    (charttrust::clock::now() + SignedDuration::from_secs(seconds))
        .strftime("%FT%TZ")
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_revocation_in_the_key_counts_from_its_date() {
    let story = story("soft", Version::V4).await;
    let key = old_key(&story, "old");
    release_signed_at(&story, "before", &key, EARLIER).await;
    release_signed_at(&story, "after", &key, LATER).await;
    let keyring = &story.keyring;
    let word = keyring
        .revocation_dated(&key.key, Revocation::Retired, BORDER)
        .unwrap();
    keyring.import(&word).unwrap();
    story.declare(&key, json!({})).await;
    story.policy("policy", &[&key], json!({})).await;
    story.expect("before", "SignatureVerified").await;
    story.expect("after", "KeyRetired").await;
    story
        .expect_condition(&story.keys(), &key.name, "Revoked=True/Retired")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_revocation_in_the_key_counts_whatever_the_date() {
    let story = story("hard", Version::V4).await;
    for (name, reason) in [
        ("stolen", Revocation::Compromised),
        ("unspecified", Revocation::Unspecified),
    ] {
        let key = old_key(&story, name);
        release_signed_at(&story, &format!("{name}-before"), &key, EARLIER).await;
        release_signed_at(&story, &format!("{name}-after"), &key, LATER).await;
        let word = story
            .keyring
            .revocation_dated(&key.key, reason, BORDER)
            .unwrap();
        story.keyring.import(&word).unwrap();
        story.declare(&key, json!({})).await;
        story
            .policy(name, &[&key], only(&story, &format!("{name}-*")))
            .await;
    }
    story.expect("stolen-before", "KeyCompromised").await;
    story.expect("stolen-after", "KeyCompromised").await;
    story.expect("unspecified-before", "KeyRevoked").await;
    story.expect("unspecified-after", "KeyRevoked").await;
}

/// Narrows a policy to some releases of the story.
fn only(story: &Story, releases: &str) -> Value {
    json!({"match": {"releases": [format!("{}/{releases}", story.namespace)]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_revocation_certificate_revokes() {
    let story = story("bare", Version::V4).await;
    let retired = old_key(&story, "retired");
    let stolen = old_key(&story, "stolen");
    for key in [&retired, &stolen] {
        story.declare(key, json!({})).await;
    }
    story
        .policy("policy", &[&retired, &stolen], json!({}))
        .await;
    release_signed_at(&story, "retired-before", &retired, EARLIER).await;
    release_signed_at(&story, "retired-after", &retired, LATER).await;
    release_signed_at(&story, "stolen", &stolen, EARLIER).await;
    for release in ["retired-before", "retired-after", "stolen"] {
        story.expect(release, "SignatureVerified").await;
    }
    for (key, reason) in [
        (&retired, Revocation::Superseded),
        (&stolen, Revocation::Compromised),
    ] {
        let word = story
            .keyring
            .revocation_dated(&key.key, reason, BORDER)
            .unwrap();
        let change = json!({"spec": {"revocationCertificates": [word]}});
        story.patch::<TrustedKey>(&key.name, change).await;
    }
    story.expect("retired-after", "KeyRetired").await;
    story.expect("stolen", "KeyCompromised").await;
    story.expect("retired-before", "SignatureVerified").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_certificate_counts_though_its_object_cannot_be_used() {
    let story = story("odd-twin", Version::V4).await;
    let stolen = story.trusted_key("stolen").await;
    story.policy("policy", &[&stolen], json!({})).await;
    release_signed(&story, "web", &[&stolen], &[]).await;
    story.expect("web", "SignatureVerified").await;
    let word = story
        .keyring
        .revocation(&stolen.key, Revocation::Compromised)
        .unwrap();
    // Neither its material is there, nor can its scope be used.
    let twin = format!("{}-twin", story.namespace);
    let spec = json!({
        "fingerprint": stolen.key.fingerprint,
        "publicKey": {"configMapRef": {"name": twin, "key": "key.asc"}},
        "scope": {"sources": ["https://charts.example.com/a/../b"]},
        "revocationCertificates": [word],
    });
    story.apply::<TrustedKey>(&twin, spec).await;
    story.expect("web", "KeyCompromised").await;
    let keys = story.keys();
    story
        .expect_condition(&keys, &twin, "Ready=False/MaterialMissing")
        .await;
    // What it said was learned: it can never be taken back.
    keys.delete(&twin, &DeleteParams::default()).await.unwrap();
    story
        .expect_condition(&keys, &stolen.name, "Revoked=True/Compromised")
        .await;
    story.expect("web", "KeyCompromised").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn badness_stays_when_the_material_of_a_revoked_key_is_deleted() {
    let story = story("clean-up", Version::V4).await;
    let stolen = story.make_key("stolen");
    let secrets = keep_in_secret(&story, &stolen).await;
    declare_at(&story, &stolen, "secretRef").await;
    story.policy("policy", &[&stolen], json!({})).await;
    release_signed(&story, "web", &[&stolen], &[]).await;
    story.expect("web", "SignatureVerified").await;
    let revoked = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story.patch::<TrustedKey>(&stolen.name, revoked).await;
    story.expect("web", "KeyCompromised").await;
    let params = DeleteParams::default();
    secrets.delete(&stolen.name, &params).await.unwrap();
    story
        .expect_condition(&story.keys(), &stolen.name, "Ready=False/MaterialMissing")
        .await;
    story.expect("web", "KeyCompromised").await;
    // Withdrawn, the key approves of nothing either.
    let withdrawn = json!({"spec": {"revocation": null}});
    story.patch::<TrustedKey>(&stolen.name, withdrawn).await;
    story.expect("web", "SignerNotTrusted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_word_revokes_as_its_reason_says() {
    let story = story("own-word", Version::V4).await;
    let key = old_key(&story, "old");
    story.declare(&key, json!({})).await;
    story.policy("policy", &[&key], json!({})).await;
    release_signed_at(&story, "before", &key, EARLIER).await;
    release_signed_at(&story, "after", &key, LATER).await;
    for (reason, since, before, after) in [
        (
            "Superseded",
            "2024-03-01T00:00:00Z",
            "SignatureVerified",
            "KeyRetired",
        ),
        (
            "Unspecified",
            "2024-03-01T00:00:00Z",
            "KeyRevoked",
            "KeyRevoked",
        ),
        (
            "Retired",
            "2024-03-01T00:00:00Z",
            "SignatureVerified",
            "KeyRetired",
        ),
        (
            "Compromised",
            "2024-03-01T00:00:00Z",
            "KeyCompromised",
            "KeyCompromised",
        ),
        (
            "Retired",
            "2024-01-15T00:00:00Z",
            "KeyRetired",
            "KeyRetired",
        ),
    ] {
        let word = json!({"spec": {"revocation": {"reason": reason, "since": since}}});
        story.patch::<TrustedKey>(&key.name, word).await;
        story.expect("after", after).await;
        story.expect("before", before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witnessed_release_stays_trusted_when_its_key_is_revoked_from_later_on() {
    let story = story("witnessed", Version::V4).await;
    let key = story.trusted_key("platform").await;
    story.policy("policy", &[&key], json!({})).await;
    let known = story
        .publish(&Source::new("known", "1.0.0"), Some(&key))
        .await;
    story.install("known", &known).await;
    story.expect("known", "SignatureVerified").await;
    let since = charttrust::clock::now() + SignedDuration::from_secs(3);
    let word = |since: &str| {
        let word = json!({
            "reason": "Compromised", "since": since, "grandfather": "Witnessed",
        });
        json!({"spec": {"revocation": word}})
    };
    let long_ago = word("2024-01-15T00:00:00Z");
    story.patch::<TrustedKey>(&key.name, long_ago).await;
    story.expect("known", "KeyCompromised").await;
    let lately = word(&since.strftime("%FT%TZ").to_string());
    story.patch::<TrustedKey>(&key.name, lately).await;
    story.expect("known", "Grandfathered").await;
    eventually(SOON, "the revocation has begun", async || {
        if charttrust::clock::now() > since {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
    let source = Source::new("unknown", "1.0.0");
    let unknown = story.publish(&source, Some(&key)).await;
    story.install("unknown", &unknown).await;
    story.expect("unknown", "KeyCompromised").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signers_are_counted_by_key_and_not_by_signature() {
    let story = story("two", Version::V4).await;
    let ann = story.trusted_key("ann").await;
    let bob = story.trusted_key("bob").await;
    let rule = story.rule(
        "*",
        &[&ann, &bob],
        json!({"verify": {"signers": {"threshold": 2}}}),
    );
    story.rules("policy", &[rule]).await;
    release_signed(&story, "one", &[&ann], &[]).await;
    release_signed(&story, "two", &[&ann, &bob], &[]).await;
    let twice = story
        .publish_signed(&Source::new("twice", "1.0.0"), &[&ann], &[])
        .await;
    let first = std::fs::read_to_string(twice.provenance()).unwrap();
    let statement = twice.statement().unwrap();
    let second = story
        .keyring
        .clearsign(&statement, &[&ann.key], &[])
        .unwrap();
    twice
        .prove(&gpg::with_both_signatures(&first, &second).unwrap())
        .unwrap();
    story.repository.publish(&story.helm, &twice).await.unwrap();
    story.install("twice", &twice).await;
    story.expect("one", "SignerNotTrusted").await;
    let trust = story.expect("two", "SignatureVerified").await;
    assert_eq!(trust.status.unwrap().signers.len(), 2);
    let trust = story.expect("twice", "SignerNotTrusted").await;
    assert_eq!(trust.status.unwrap().signers.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_over_sha1_is_weak() {
    let story = story("weak", Version::V4).await;
    let key = story.trusted_key("platform").await;
    story.policy("policy", &[&key], json!({})).await;
    release_signed(&story, "web", &[&key], &["--digest-algo", "SHA1"]).await;
    story.expect("web", "WeakSignature").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_speaks_only_for_the_charts_and_sources_of_its_scope() {
    let story = story("scope", Version::V4).await;
    let charts = story.make_key("charts");
    let sources = story.make_key("sources");
    story
        .declare(&charts, json!({"scope": {"charts": ["shop-*"]}}))
        .await;
    let elsewhere = json!({"scope": {"sources": ["https://charts.example.com"]}});
    story.declare(&sources, elsewhere).await;
    story
        .policy("policy", &[&charts, &sources], json!({}))
        .await;
    release_signed(&story, "shop-web", &[&charts], &[]).await;
    release_signed(&story, "web", &[&charts], &[]).await;
    release_signed(&story, "shop-api", &[&sources], &[]).await;
    story.expect("shop-web", "SignatureVerified").await;
    story.expect("web", "KeyOutOfScope").await;
    story.expect("shop-api", "KeyOutOfScope").await;
    let here = json!({"spec": {"scope": {"sources": [story.repository.url()]}}});
    story.patch::<TrustedKey>(&sources.name, here).await;
    story.expect("shop-api", "SignatureVerified").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_lists_no_signers_trusts_nobody() {
    let story = story("nobody", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("policy", &[], json!({})).await;
    release_signed(&story, "web", &[&key], &[]).await;
    story.expect("web", "SignerNotTrusted").await;
    story
        .expect_condition(&story.policies(), &policy, "Ready=True/Reconciled")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_chosen_by_labels() {
    let story = story("labels", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let team = story.namespace.clone();
    let selector = json!({"keySelector": {"matchLabels": {"team": team}}});
    let rule = story.rule("*", &[], json!({"verify": {"signers": selector}}));
    story.rules("policy", &[rule]).await;
    release_signed(&story, "web", &[&key], &[]).await;
    story.expect("web", "SignerNotTrusted").await;
    let label = |team: Value| json!({"metadata": {"labels": {"team": team}}});
    story
        .patch::<TrustedKey>(&key.name, label(json!(team)))
        .await;
    story.expect("web", "SignatureVerified").await;
    story
        .patch::<TrustedKey>(&key.name, label(Value::Null))
        .await;
    story.expect("web", "SignerNotTrusted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_unusable_key_marks_itself_and_the_others_count() {
    let story = story("unusable", Version::V4).await;
    let good = story.trusted_key("good").await;
    let missing = story.make_key("missing");
    let broken = story.make_key("broken");
    let garbage = json!({"publicKey": {"inline": "this is no key"}});
    story.declare(&broken, garbage).await;
    let policy = story
        .policy("policy", &[&good, &missing, &broken], json!({}))
        .await;
    release_signed(&story, "web", &[&good], &[]).await;
    release_signed(&story, "shop", &[&missing], &[]).await;
    story.expect("web", "SignatureVerified").await;
    story.expect("shop", "SignerNotTrusted").await;
    let policies = story.policies();
    let unresolved = "KeysResolved=False/KeysUnresolved";
    let message = story.expect_condition(&policies, &policy, unresolved).await;
    assert!(
        message.contains(&missing.name) && message.contains(&broken.name),
        "{message}"
    );
    assert!(!message.contains(&good.name), "{message}");
    let unusable = "Ready=False/MaterialUnusable";
    story
        .expect_condition(&story.keys(), &broken.name, unusable)
        .await;
    story.declare(&missing, json!({})).await;
    story.declare(&broken, json!({})).await;
    story.expect("shop", "SignatureVerified").await;
    story
        .expect_condition(&policies, &policy, "KeysResolved=True/AllResolved")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_than_the_pinned_one_is_refused() {
    let story = story("pinned", Version::V4).await;
    let ours = story.make_key("ours");
    let theirs = story.make_key("theirs");
    let exchanged = story.keyring.public_armored(&theirs.key).unwrap();
    let exchanged = json!({"publicKey": {"inline": exchanged}});
    story.declare(&ours, exchanged).await;
    story.policy("policy", &[&ours], json!({})).await;
    release_signed(&story, "web", &[&theirs], &[]).await;
    story.expect("web", "SignerNotTrusted").await;
    let mismatch = "Ready=False/FingerprintMismatch";
    story
        .expect_condition(&story.keys(), &ours.name, mismatch)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_a_config_map_is_read_again_when_that_changes() {
    let story = story("in-map", Version::V4).await;
    let key = story.make_key("platform");
    let maps = Api::<ConfigMap>::namespaced(story.client.clone(), OPERATOR_NAMESPACE);
    let map = |text: &str| json!({"metadata": {"name": key.name}, "data": {"key.asc": text}});
    let write = async |text: &str| {
        let change = Patch::Merge(map(text));
        maps.patch(&key.name, &PatchParams::default(), &change)
            .await
            .unwrap();
    };
    let first = serde_json::from_value(map(&story.keyring.public_armored(&key.key).unwrap()));
    maps.create(&PostParams::default(), &first.unwrap())
        .await
        .unwrap();
    declare_at(&story, &key, "configMapRef").await;
    story.policy("policy", &[&key], json!({})).await;
    release_signed(&story, "web", &[&key], &[]).await;
    story.expect("web", "SignatureVerified").await;

    write("this is no key").await;
    story
        .expect_condition(&story.keys(), &key.name, "Ready=False/MaterialUnusable")
        .await;
    story.expect("web", "SignerNotTrusted").await;

    let word = story
        .keyring
        .revocation(&key.key, Revocation::Compromised)
        .unwrap();
    story.keyring.import(&word).unwrap();
    write(&story.keyring.public_armored(&key.key).unwrap()).await;
    story.expect("web", "KeyCompromised").await;
    story
        .expect_condition(&story.keys(), &key.name, "Revoked=True/Compromised")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_a_secret_counts_as_soon_as_the_secret_is_there() {
    let story = story("in-secret", Version::V4).await;
    let key = story.make_key("platform");
    declare_at(&story, &key, "secretRef").await;
    let policy = story.policy("policy", &[&key], json!({})).await;
    release_signed(&story, "web", &[&key], &[]).await;
    story.expect("web", "SignerNotTrusted").await;
    let message = story
        .expect_condition(&story.keys(), &key.name, "Ready=False/MaterialMissing")
        .await;
    assert!(
        message.contains(&key.name) && message.contains(OPERATOR_NAMESPACE),
        "{message}"
    );
    let unresolved = "KeysResolved=False/KeysUnresolved";
    story
        .expect_condition(&story.policies(), &policy, unresolved)
        .await;

    let secrets = keep_in_secret(&story, &key).await;
    story.expect("web", "SignatureVerified").await;

    secrets
        .delete(&key.name, &DeleteParams::default())
        .await
        .unwrap();
    story.expect("web", "SignerNotTrusted").await;
}
