//! Where nothing changes, nothing is written.

use charttrust::api::TrustedKey;
use charttrust_e2e::charts::Source;
use charttrust_e2e::eventually;
use charttrust_e2e::helm::Version;
use charttrust_e2e::repository::Fault;
use charttrust_e2e::stage::{SOON, Story};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::setup::{stage, story};

#[tokio::test(flavor = "multi_thread")]
async fn looks_that_find_nothing_new_write_nothing() {
    let story = story("steady", Version::V4).await;
    let good = story.trusted_key("good").await;
    let stolen = story.trusted_key("stolen").await;
    let stranger = story.make_key("stranger");
    let often = json!({"interval": "1s"});
    story.policy("policy", &[&good, &stolen], often).await;
    story
        .repository
        .misbehave("/silent-1.0.0.tgz.prov", Fault::Status(500));
    for (chart, key) in [
        ("trusted", Some(&good)),
        ("revoked", Some(&stolen)),
        ("foreign", Some(&stranger)),
        ("unsigned", None),
        ("silent", Some(&good)),
        ("unreadable", Some(&good)),
    ] {
        let chart = story.publish(&Source::new(chart, "1.0.0"), key).await;
        story.install(&chart.name, &chart).await;
    }
    let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story.patch::<TrustedKey>(&stolen.name, revoke).await;
    spoil(&story, "sh.helm.release.v1.unreadable.v1").await;
    for (release, word) in [
        ("trusted", "SignatureVerified"),
        ("revoked", "KeyCompromised"),
        ("foreign", "SignerNotTrusted"),
        ("unsigned", "Unsigned"),
        ("silent", "SourceUnavailable"),
        ("unreadable", "ReleaseUnreadable"),
    ] {
        story.expect(release, word).await;
    }
    story
        .expect_condition(&story.trusts(), "silent", "Fresh=False/LookFailed")
        .await;

    eventually(SOON, "the operator has come to rest", async || {
        let written = written_during_looks(&story, 2).await;
        if written.is_empty() {
            Ok(())
        } else {
            Err(format!("{written:?}"))
        }
    })
    .await;
    let written = written_during_looks(&story, 8).await;
    assert!(written.is_empty(), "{written:?}");
}

async fn spoil(story: &Story, name: &str) {
    let secrets = Api::<Secret>::namespaced(story.client.clone(), &story.namespace);
    let change = Patch::Merge(json!({"data": {"release": "Z2FyYmFnZQ=="}}));
    secrets
        .patch(name, &PatchParams::default(), &change)
        .await
        .unwrap();
}

/// What the operator writes about this story while it looks at a source so many times.
async fn written_during_looks(story: &Story, looks: usize) -> Vec<String> {
    let stage = stage().await;
    let mark = stage.cluster.mark();
    let count = || story.repository.count("/unsigned-1.0.0.tgz.prov");
    let before = count();
    eventually(SOON, "the source is looked at", async || {
        if count() >= before + looks {
            Ok(())
        } else {
            Err(count() - before)
        }
    })
    .await;
    let ours = stage.written_since(mark, &story.namespace);
    ours.iter()
        .map(|event| format!("{} {} {}", event.verb, event.resource, event.name))
        .collect()
}
