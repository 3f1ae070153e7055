//! The same chart from a repository over HTTP and from a registry: every word the same, but for the address. And
//! a repository that has another name than its chart.

use charttrust::api::ReleaseTrust;
use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::helm::Version;
use charttrust_e2e::registry::Kind;
use charttrust_e2e::stage::StoryKey;
use serde_json::{Value, json};

use crate::setup::{Logins, Published, offline, with_both_helms};

with_both_helms! {
    http_and_oci_say_the_same_of_the_same_chart
    a_repository_has_another_name_than_its_chart
}

/// What is done to a chart after it was signed.
type Change = fn(&Chart);

fn as_it_is(_: &Chart) {}

async fn http_and_oci_say_the_same_of_the_same_chart(version: Version) {
    let published = Published::begin("agree", version, Kind::Distribution).await;
    let stranger = published.story.make_key("stranger");
    let (http, oci) = (published.story.repository.url(), published.registry.url());
    let key = Some(&published.key);
    let charts: [(&str, Option<&StoryKey>, Change, &str); 4] = [
        ("web", key, as_it_is, "SignatureVerified"),
        ("shop", None, as_it_is, "Unsigned"),
        ("forum", Some(&stranger), as_it_is, "SignerNotTrusted"),
        (
            "bank",
            key,
            |chart| chart.tamper().unwrap(),
            "DigestMismatch",
        ),
    ];
    for (name, key, change, word) in charts {
        let chart = published
            .story
            .package(&Source::new(name, "1.0.0"), key)
            .await;
        change(&chart);
        published.push(&chart).await;
        published.story.offer(&chart).await;
        let mut told = Vec::new();
        for (url, kind) in [(&http, "http"), (&oci, "oci")] {
            let release = format!("{name}-{kind}");
            let trust = judged(&published, &release, &json!({"url": url}), &chart, word).await;
            told.push(essence(&trust, &[(url, "SOURCE"), (&release, "RELEASE")]));
        }
        assert_eq!(told[0], told[1], "{name}");
        assert!(told[0].to_string().contains("SOURCE"), "{}", told[0]);
    }
}

/// A release of a chart, under a policy of its own with one source, once nothing is left to write.
async fn judged(
    published: &Published,
    release: &str,
    source: &Value,
    chart: &Chart,
    word: &str,
) -> ReleaseTrust {
    let story = &published.story;
    let rule = story.rule("*", &[&published.key], json!({"sources": [source]}));
    let only = json!({"releases": [format!("{}/{release}", story.namespace)]});
    let spec = json!({"match": only, "interval": "1s", "rules": [rule]});
    story.policy(release, &[], spec).await;
    story.install(release, chart).await;
    story.expect(release, word).await;
    story.settled(release).await;
    story.expect(release, word).await
}

/// What is said of a release, but for its name, when that was, and the seal over all of it.
fn essence(trust: &ReleaseTrust, names: &[(&str, &str)]) -> Value {
    let status = serde_json::to_value(trust.status.as_ref().unwrap()).unwrap();
    let mut text = status.to_string();
    for (name, word) in names {
        text = text.replace(name, word);
    }
    let mut status: Value = serde_json::from_str(&text).unwrap();
    without(
        &mut status,
        &[
            "firstVerified",
            "lastTransitionTime",
            "resourceVersion",
            "tag",
        ],
    );
    status
}

fn without(value: &mut Value, fields: &[&str]) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(|one| without(one, fields)),
        Value::Object(all) => {
            all.retain(|field, _| !fields.contains(&field.as_str()));
            all.values_mut().for_each(|one| without(one, fields));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

async fn a_repository_has_another_name_than_its_chart(version: Version) {
    let published = Published::begin("named", version, Kind::Distribution).await;
    let key = published.key.clone();
    let chart = published
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    published.done_copying(&chart, "team/helm-web").await;
    let repository = format!("oci://{}/team/helm-web", published.registry.host());
    // Nothing lies below the address itself.
    let url = format!("oci://{}/team", published.registry.host());
    let source = json!({"url": url, "repository": repository});
    let rule = published
        .story
        .rule("web", &[&key], json!({"sources": [source]}));
    let spec = json!({"interval": "1s", "rules": [rule]});
    published.story.policy("policy", &[], spec).await;
    published.story.install("web", &chart).await;
    let trust = published.story.expect("web", "SignatureVerified").await;
    let evidence = trust.status.unwrap().evidence.unwrap();
    let [source] = evidence.sources.as_slice() else {
        panic!("{:?}", evidence.sources);
    };
    assert_eq!(source.url, format!("{repository}#web"));
    assert_eq!(source.archive, Some(chart.digest().unwrap()));
    let (address, named) = (
        format!("{repository}:1.0.0"),
        ["--chart", "web", "--version", "1.0.0"],
    );
    let said = published.verified_at(&address, &named, Logins::None);
    assert_eq!(said.await, offline("SignatureVerified"));
}
