//! What policies ask for: versions, pins, levels, exceptions, and several of them together.

use charttrust::api::{ChartTrustPolicy, TrustedKey};
use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{SOON, Story, StoryKey};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::setup::{story, with_both_helms};

with_both_helms! {
    level_none_is_unmanaged_and_level_signature_compares_no_content
}

/// Publishes a chart and installs it under its name.
async fn release(story: &Story, chart: &str, version: &str, key: Option<&StoryKey>) -> Chart {
    let chart = story.publish(&Source::new(chart, version), key).await;
    story.install(&chart.name, &chart).await;
    chart
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_outside_the_rule_is_not_allowed_though_signed() {
    let story = story("versions", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let rule = story.rule("*", &[&key], json!({"versions": ">=2.0.0"}));
    let policy = story.rules("policy", &[rule]).await;
    release(&story, "old", "1.9.9", Some(&key)).await;
    release(&story, "new", "2.0.0", Some(&key)).await;
    story.expect("old", "VersionNotAllowed").await;
    story.expect("new", "SignatureVerified").await;
    let rule = story.rule("*", &[&key], json!({"versions": ">=1.0.0"}));
    let relaxed = json!({"spec": {"rules": [rule]}});
    story.patch::<ChartTrustPolicy>(&policy, relaxed).await;
    story.expect("old", "SignatureVerified").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_replaces_a_missing_signature_but_never_a_revoked_one() {
    let story = story("pins", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let stranger = story.make_key("stranger");
    let stolen = story.trusted_key("stolen").await;
    let unsigned = release(&story, "unsigned", "1.0.0", None).await;
    let foreign = release(&story, "foreign", "1.0.0", Some(&stranger)).await;
    let revoked = release(&story, "revoked", "1.0.0", Some(&stolen)).await;
    release(&story, "wrong", "1.0.0", None).await;
    let pins = [
        pin(&unsigned, &unsigned),
        pin(&foreign, &foreign),
        pin(&revoked, &revoked),
        json!({"chart": "wrong", "version": "1.0.0", "digest": digest(&unsigned)}),
    ];
    let rule = story.rule("*", &[&key, &stolen], json!({"digests": pins}));
    story.rules("policy", &[rule]).await;
    story.expect("unsigned", "DigestPinned").await;
    story.expect("foreign", "DigestPinned").await;
    story.expect("wrong", "Unsigned").await;
    story.expect("revoked", "SignatureVerified").await;
    let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story.patch::<TrustedKey>(&stolen.name, revoke).await;
    story.expect("revoked", "KeyCompromised").await;
}

fn pin(chart: &Chart, bytes_of: &Chart) -> Value {
    json!({"chart": chart.name, "version": chart.version, "digest": digest(bytes_of)})
}

fn digest(chart: &Chart) -> String {
    chart.digest().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_policies_the_one_that_refuses_wins() {
    let story = story("both", Version::V4).await;
    let ours = story.trusted_key("ours").await;
    let theirs = story.trusted_key("theirs").await;
    let agrees = story.policy("agrees", &[&ours], json!({})).await;
    release(&story, "web", "1.0.0", Some(&ours)).await;
    story.expect("web", "SignatureVerified").await;
    let refuses = story.policy("refuses", &[&theirs], json!({})).await;
    let trust = story.expect("web", "SignerNotTrusted").await;
    let policies = trust.status.unwrap().policies;
    let said: Vec<_> = policies
        .iter()
        .map(|p| (p.policy.as_str(), p.reason.as_str()))
        .collect();
    let expected = [
        (agrees.as_str(), "SignatureVerified"),
        (refuses.as_str(), "SignerNotTrusted"),
    ];
    assert_eq!(said, expected);
    let policies = story.policies();
    story
        .expect_condition(&policies, &agrees, "Compliant=True/AllTrusted")
        .await;
    story
        .expect_condition(&policies, &refuses, "Compliant=False/ReleasesUntrusted")
        .await;
    story.delete::<ChartTrustPolicy>(&refuses).await;
    story.expect("web", "SignatureVerified").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_in_an_excluded_namespace_has_no_policy() {
    let story = story("excluded", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let exclude = json!({"match": {"excludeNamespaces": [story.namespace]}});
    let policy = story.policy("policy", &[&key], exclude).await;
    release(&story, "web", "1.0.0", None).await;
    story.expect("web", "NoPolicy").await;
    let include = json!({"spec": {"match": {"excludeNamespaces": null}}});
    story.patch::<ChartTrustPolicy>(&policy, include).await;
    story.expect("web", "Unsigned").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_are_chosen_by_labels() {
    let story = story("selected", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let select = json!({"match": {"namespaceSelector": {"matchLabels": {"tier": "prod"}}}});
    story.policy("policy", &[&key], select).await;
    release(&story, "web", "1.0.0", None).await;
    story.expect("web", "NoPolicy").await;
    let label = json!({"metadata": {"labels": {"tier": "prod"}}});
    story
        .patch::<k8s_openapi::api::core::v1::Namespace>(&story.namespace, label)
        .await;
    story.expect("web", "Unsigned").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_forgives_what_it_names_until_it_ends() {
    let story = story("exempt", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("policy", &[&key], json!({})).await;
    for chart in ["forgiven", "otherwise"] {
        release(&story, chart, "1.0.0", None).await;
        story.expect(chart, "Unsigned").await;
    }
    let exceptions = json!({"spec": {"exceptions": [
        exception(&story, "forgiven", "Unsigned", 8),
        exception(&story, "otherwise", "SignerNotTrusted", 3600),
    ]}});
    story.patch::<ChartTrustPolicy>(&policy, exceptions).await;
    let trust = story.expect("forgiven", "Exempt").await;
    let findings = trust.status.unwrap().findings;
    assert!(
        findings.iter().any(|finding| finding.reason == "Unsigned"),
        "{findings:?}"
    );
    counts(&story, &policy, json!({"exempt": 1, "untrusted": 1})).await;
    let policies = story.policies();
    let soon = "ExceptionExpiring=True/ExceptionExpiresSoon";
    story.expect_condition(&policies, &policy, soon).await;

    story.expect("forgiven", "Unsigned").await;
    counts(&story, &policy, json!({"exempt": 0, "untrusted": 2})).await;
    let ended = "ExceptionExpiring=True/ExceptionExpired";
    story.expect_condition(&policies, &policy, ended).await;
    story.expect("otherwise", "Unsigned").await;
}

fn exception(story: &Story, release: &str, reason: &str, seconds: i64) -> Value {
    let end = charttrust::clock::now() + SignedDuration::from_secs(seconds);
    json!({
        "name": release,
        "releases": [format!("{}/{release}", story.namespace)],
        "reasons": [reason],
        "expiresAt": end.strftime("%FT%TZ").to_string(),
        "justification": "a test",
    })
}

/// Waits until a policy counts releases like this.
async fn counts(story: &Story, policy: &str, wanted: Value) {
    let policies = story.policies();
    eventually(SOON, &format!("{policy} counts {wanted}"), async || {
        let found = policies
            .get(policy)
            .await
            .map_err(|error| error.to_string())?;
        let seen = serde_json::to_value(found.status.unwrap_or_default().releases).unwrap();
        let is_so = wanted
            .as_object()
            .unwrap()
            .iter()
            .all(|(word, count)| seen[word] == *count);
        if is_so { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
}

async fn level_none_is_unmanaged_and_level_signature_compares_no_content(version: Version) {
    let story = story("levels", version).await;
    let key = story.trusted_key("platform").await;
    let signature = json!({"verify": {"level": "Signature"}});
    let rules = [
        story.rule("free", &[], json!({"verify": {"level": "None"}})),
        story.rule("*", &[&key], signature),
    ];
    story.rules("policy", &rules).await;
    release(&story, "free", "1.0.0", None).await;
    release(&story, "signed", "1.0.0", Some(&key)).await;
    // What is installed differs from what was signed; this level does not look at it.
    let other = Source::new("other", "1.0.0");
    let published = story.publish(&other, Some(&key)).await;
    let changed = other.with_file("templates/more.yaml", "# more\n");
    let changed = story.package(&changed, None).await;
    assert_eq!(published.archive.file_name(), changed.archive.file_name());
    story.install("other", &changed).await;
    release(&story, "unsigned", "1.0.0", None).await;
    story.expect("free", "Unmanaged").await;
    story.expect("signed", "ArchiveVerified").await;
    story.expect("other", "ArchiveVerified").await;
    story.expect("unsigned", "Unsigned").await;
    assert_eq!(story.repository.count("/free-1.0.0.tgz"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_policy_asks_no_source_and_goes_on_judging() {
    let story = story("suspended", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let policy = story.policy("policy", &[&key], json!({})).await;
    release(&story, "known", "1.0.0", Some(&key)).await;
    story.expect("known", "SignatureVerified").await;
    story.settled("known").await;
    let suspend = json!({"spec": {"suspend": true}});
    story.patch::<ChartTrustPolicy>(&policy, suspend).await;
    let suspended = "SourcesReachable=Unknown/Suspended";
    story
        .expect_condition(&story.policies(), &policy, suspended)
        .await;
    let asked = story.repository.requests().len();
    release(&story, "new", "1.0.0", Some(&key)).await;
    story.expect("new", "Pending").await;
    let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story.patch::<TrustedKey>(&key.name, revoke).await;
    story.expect("known", "KeyCompromised").await;
    assert_eq!(story.repository.requests().len(), asked);
    let resume = json!({"spec": {"suspend": false}});
    story.patch::<ChartTrustPolicy>(&policy, resume).await;
    story.expect("new", "KeyCompromised").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_with_an_unusable_field_names_it_and_trusts_nobody() {
    let story = story("malformed", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let sound = story
        .policy("sound", &[&key], releases(&story, "sound"))
        .await;
    let broken = story
        .policy("broken", &[&key], releases(&story, "broken"))
        .await;
    for chart in ["sound", "broken"] {
        release(&story, chart, "1.0.0", Some(&key)).await;
        story.expect(chart, "SignatureVerified").await;
    }
    let rule = |versions: &str| {
        let rule = story.rule("*", &[&key], json!({"versions": versions}));
        json!({"spec": {"rules": [rule]}})
    };
    let unusable = rule("not a constraint");
    story.patch::<ChartTrustPolicy>(&broken, unusable).await;
    story.expect("broken", "SignerNotTrusted").await;
    let policies = story.policies();
    let message = story
        .expect_condition(&policies, &broken, "Ready=False/InvalidSpec")
        .await;
    assert!(message.contains("spec.rules[0].versions"), "{message}");
    story
        .expect_condition(&policies, &broken, "Stalled=True/InvalidSpec")
        .await;
    story
        .expect_condition(&policies, &sound, "Ready=True/Reconciled")
        .await;
    story.expect("sound", "SignatureVerified").await;
    story
        .patch::<ChartTrustPolicy>(&broken, rule(">=1.0.0"))
        .await;
    story.expect("broken", "SignatureVerified").await;
    story
        .expect_condition(&policies, &broken, "Ready=True/Reconciled")
        .await;
}

fn releases(story: &Story, name: &str) -> Value {
    json!({"match": {"releases": [format!("{}/{name}", story.namespace)]}})
}
