//! What lies in a registry, and what it is worth.

use charttrust_e2e::charts::Source;
use charttrust_e2e::helm::Version;
use charttrust_e2e::registry::Kind;
use serde_json::json;

use crate::setup::{Logins, Published, offline, with_both_helms};

with_both_helms! {
    charts_are_worth_what_is_pushed_with_them
    a_registry_with_the_referrers_api_serves_them_as_well
    another_archive_than_was_signed_is_a_digest_mismatch
    a_release_of_other_content_is_a_content_mismatch
}

async fn charts_are_worth_what_is_pushed_with_them(version: Version) {
    as_pushed("pushed", version, Kind::Distribution).await;
}

async fn a_registry_with_the_referrers_api_serves_them_as_well(version: Version) {
    as_pushed("referrers", version, Kind::WithReferrers).await;
}

async fn as_pushed(prefix: &str, version: Version, kind: Kind) {
    let published = Published::begin(prefix, version, kind).await;
    let stranger = published.story.make_key("stranger");
    published.policy(&json!({})).await;
    for (name, version, key, word) in [
        ("web", "1.0.0", Some(&published.key), "SignatureVerified"),
        // Tags have no `+`.
        (
            "built",
            "1.0.0+build.7",
            Some(&published.key),
            "SignatureVerified",
        ),
        ("shop", "1.0.0", None, "Unsigned"),
        ("forum", "1.0.0", Some(&stranger), "SignerNotTrusted"),
    ] {
        let chart = published.publish(&Source::new(name, version), key).await;
        published.install(name, &chart).await;
        let trust = published.story.expect(name, word).await;
        let evidence = published.evidence(&trust);
        assert_eq!(evidence.archive, Some(chart.digest().unwrap()), "{name}");
        assert!(!evidence.index_disagrees, "{name}");
        let said = published.verified(&chart, Logins::None).await;
        assert_eq!(said, offline(word), "{name}");
    }
}

async fn another_archive_than_was_signed_is_a_digest_mismatch(version: Version) {
    let published = Published::begin("tampered", version, Kind::Distribution).await;
    published.policy(&json!({})).await;
    let source = Source::new("web", "1.0.0");
    let chart = published.story.package(&source, Some(&published.key)).await;
    chart.tamper().unwrap();
    published.push(&chart).await;
    published.install("web", &chart).await;
    published.story.expect("web", "DigestMismatch").await;
    let said = published.verified(&chart, Logins::None).await;
    assert_eq!(said, offline("DigestMismatch"));
}

async fn a_release_of_other_content_is_a_content_mismatch(version: Version) {
    let published = Published::begin("other", version, Kind::Distribution).await;
    published.policy(&json!({})).await;
    let source = Source::new("web", "1.0.0");
    published.publish(&source, Some(&published.key)).await;
    let other = source.with_file("templates/more.yaml", "# more\n");
    let other = published.story.package(&other, Some(&published.key)).await;
    published.story.install("web", &other).await;
    published.story.expect("web", "ContentMismatch").await;
}
