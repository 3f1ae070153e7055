//! Releases that real Flux installs.

use charttrust_e2e::charts::Source;
use charttrust_e2e::flux::{self, Flux};
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::Story;
use serde_json::json;
use tokio::sync::OnceCell;

use crate::setup::{stage, story};

/// One Flux for all stories of the cluster.
async fn with_flux() -> &'static Flux {
    static FLUX: OnceCell<Flux> = OnceCell::const_new();
    let start = async || Flux::start(stage().await.cluster).await.unwrap();
    FLUX.get_or_init(start).await
}

async fn deploy(story: &Story, version: &str) {
    let cluster = stage().await.cluster;
    flux::deploy(cluster, story, version, json!({}))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_of_flux_is_judged_and_judged_again_after_its_upgrade() {
    with_flux().await;
    let story = story("flux", Version::V4).await;
    let key = story.trusted_key("platform").await;
    story
        .publish(&Source::new("web", "1.0.0"), Some(&key))
        .await;
    story.policy("policy", &[&key], json!({})).await;
    deploy(&story, "1.0.0").await;
    story.expect("web", "SignatureVerified").await;

    story.publish(&Source::new("web", "1.1.0"), None).await;
    deploy(&story, "1.1.0").await;
    let trust = story.expect("web", "Unsigned").await;
    let release = trust.status.unwrap().release.unwrap();
    assert_eq!((release.version.as_str(), release.revision), ("1.1.0", 2));
}
