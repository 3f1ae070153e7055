//! What becomes of verdicts when a registry answers otherwise later, or not at all.

use charttrust_e2e::charts::Source;
use charttrust_e2e::helm::Version;
use charttrust_e2e::registry::Kind;
use charttrust_e2e::stage::verdict;
use serde_json::json;

use crate::setup::{Logins, Published, offline};

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_down_takes_no_trust_away_and_gives_none() {
    let mut published = Published::begin("down", Version::V4, Kind::Distribution).await;
    let policy = published.policy(&json!({})).await;
    let key = published.key.clone();
    let web = published
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    let shop = published
        .publish(&Source::new("shop", "1.0.0"), Some(&key))
        .await;
    published.install("web", &web).await;
    published.story.expect("web", "SignatureVerified").await;

    published.registry.stop();
    published.story.install("shop", &shop).await;
    published.story.expect("shop", "SourceUnavailable").await;
    let said = published.verified(&shop, Logins::None).await;
    assert_eq!(said, offline("SourceUnavailable"));
    let trust = published
        .story
        .expect_finding("web", "SourceUnavailable")
        .await;
    assert_eq!(verdict(&trust), "SignatureVerified");
    let (trusts, policies) = (published.story.trusts(), published.story.policies());
    let expect = async |name: &str, condition: &str| {
        let story = &published.story;
        story.expect_condition(&trusts, name, condition).await;
    };
    expect("web", "Fresh=False/LookFailed").await;

    published.registry.restart().await.unwrap();
    let story = &published.story;
    story.expect("shop", "SignatureVerified").await;
    story
        .expect_condition(&trusts, "web", "Fresh=True/LookSucceeded")
        .await;
    let reachable = "SourcesReachable=True/AllReachable";
    story.expect_condition(&policies, &policy, reachable).await;
    let trust = story.expect("web", "SignatureVerified").await;
    assert_eq!(trust.status.unwrap().findings, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_pushed_again_is_a_finding_and_not_a_verdict() {
    let published = Published::begin("again", Version::V4, Kind::Distribution).await;
    published.policy(&json!({})).await;
    let (source, key) = (Source::new("web", "1.0.0"), Some(&published.key));
    let first = published.publish(&source, key).await;
    published.install("web", &first).await;
    published.story.expect("web", "SignatureVerified").await;
    let repository = ("charts/web", "1.0.0");
    let digest = published.registry.digest(repository).await.unwrap();
    let more = source.with_file("templates/more.yaml", "# more\n");
    let second = published.publish(&more, key).await;
    let trust = published.story.expect_finding("web", "Republished").await;
    assert_eq!(verdict(&trust), "SignatureVerified");
    // Who installs it now gets, and runs, the other archive.
    published.install("other", &second).await;
    published.story.expect("other", "SignatureVerified").await;
    // What was there before is there still, by its digest.
    assert_ne!(published.registry.digest(repository).await.unwrap(), digest);
    let url = published.registry.url();
    for last in [format!("web@{digest}"), format!("web:1.0.0@{digest}")] {
        let address = format!("{url}/{last}");
        let said = published.verified_at(&address, &[], Logins::None);
        assert_eq!(said.await, offline("SignatureVerified"), "{last}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_not_found_where_the_repository_is_known_and_else_unknown() {
    for kind in [Kind::Distribution, Kind::WithReferrers] {
        let published = Published::begin("absent", Version::V4, kind).await;
        published.policy(&json!({})).await;
        let (story, key) = (&published.story, Some(&published.key));
        published.publish(&Source::new("web", "1.0.0"), key).await;
        for (chart, version, word) in [
            ("web", "1.1.0", "ChartNotFound"),
            ("shop", "1.0.0", "SourceUnavailable"),
        ] {
            let chart = story.package(&Source::new(chart, version), key).await;
            story.install(&chart.name, &chart).await;
            story.expect(&chart.name, word).await;
            let said = published.verified(&chart, Logins::None).await;
            assert_eq!(said, offline(word), "{kind:?} {word}");
            published.push(&chart).await;
            story.expect(&chart.name, "SignatureVerified").await;
        }
    }
}
