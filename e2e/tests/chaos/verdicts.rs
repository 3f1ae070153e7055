//! Crashes while verdicts change.

use charttrust::api::{ChartTrustPolicy, TrustedKey};
use charttrust_e2e::charts::Source;
use charttrust_e2e::gpg::Revocation;
use charttrust_e2e::helm::Version;
use charttrust_e2e::proxy::Fault;
use charttrust_e2e::repository::Repository;
use charttrust_e2e::shards::is_taken;
use charttrust_e2e::stage::{Opening, Scene, Stage, Story, StoryKey};
use serde_json::json;

use crate::{Chaos, chaos, say};

const SHARDS: usize = 5;

impl Chaos {
    /// Takes the points of a story one after the other until the story has no more writes.
    async fn at_every_write(&self, fault: Fault, story: impl AsyncFn()) -> usize {
        let mut points = 0;
        for number in 1.. {
            if !is_taken(number, SHARDS) {
                continue;
            }
            if !self.tell(number, fault, story()).await {
                break;
            }
            points += 1;
        }
        points
    }
}

/// A release is judged; its key is revoked; it is judged again, and everybody is told.
async fn a_key_is_revoked(stage: &Stage) {
    let trusted = Opening::new("crash").trusted(stage.cluster).await;
    let Scene {
        story, key, policy, ..
    } = trusted;
    let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story.patch::<TrustedKey>(&key.name, revoke).await;
    story.expect("web", "KeyCompromised").await;
    everybody_is_told(&story, &key, &policy).await;
    story.delete::<ChartTrustPolicy>(&policy).await;
    story.delete::<TrustedKey>(&key.name).await;
}

async fn everybody_is_told(story: &Story, key: &StoryKey, policy: &str) {
    story
        .expect_condition(&story.keys(), &key.name, "Revoked=True/Compromised")
        .await;
    story.counted(key, policy, |counts| counts.untrusted).await;
}

/// A revocation is learned from a copy that is published for a moment only; the operator that comes
/// after still knows.
async fn a_revocation_is_learned(stage: &Stage) {
    let story = Story::begin(stage.cluster, "learn", Version::V4).await;
    let publisher = Repository::start_with_tls().unwrap();
    let key = story.make_key("platform");
    let original = story.keyring.public_armored(&key.key).unwrap();
    let url = format!("{}/platform.asc", publisher.url());
    publisher.put("platform.asc", &original).unwrap();
    let refresh = json!({"refresh": {"interval": "1s", "url": url}});
    story.declare(&key, refresh).await;
    let policy = story.policy("policy", &[&key], json!({})).await;
    let source = Source::new("web", "1.0.0");
    let chart = story.publish(&source, Some(&key)).await;
    story.install("web", &chart).await;
    story.expect("web", "SignatureVerified").await;
    let word = story.keyring.revocation(&key.key, Revocation::Compromised);
    story.keyring.import(&word.unwrap()).unwrap();
    let revoked = story.keyring.public_armored(&key.key).unwrap();
    publisher.put("platform.asc", revoked).unwrap();
    story.expect("web", "KeyCompromised").await;
    publisher.put("platform.asc", original).unwrap();
    stage.restart().await;
    stage.judged(&story.namespace, "KeyCompromised").await;
    everybody_is_told(&story, &key, &policy).await;
    story.delete::<ChartTrustPolicy>(&policy).await;
    story.delete::<TrustedKey>(&key.name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_learned_survives_a_crash_at_every_write() {
    let chaos = chaos().await;
    for fault in [Fault::CrashBefore, Fault::CrashAfter] {
        let points = chaos
            .at_every_write(fault, async || a_revocation_is_learned(&chaos.stage).await)
            .await;
        say(&format!("{fault:?} at {points} writes of learning"));
        assert!(points > 0, "no write was struck by {fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_survive_a_fault_at_every_write() {
    let chaos = chaos().await;
    for fault in [
        Fault::CrashBefore,
        Fault::CrashAfter,
        Fault::LoseAnswer,
        Fault::Refuse(409),
        Fault::Refuse(429),
        Fault::Refuse(500),
    ] {
        let points = chaos
            .at_every_write(fault, async || a_key_is_revoked(&chaos.stage).await)
            .await;
        say(&format!("{fault:?} at {points} writes of a verdict"));
        assert!(points > 0, "no write was struck by {fault:?}");
    }
    assert!(
        !chaos
            .stage
            .operator(|operator| operator.log())
            .contains("panicked")
    );
}
