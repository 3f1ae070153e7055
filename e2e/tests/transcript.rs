//! The page about a stolen key, typed as it stands there, on a real control plane.

use std::path::Path;

use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::cluster::Cluster;
use charttrust_e2e::helm::Version;
use charttrust_e2e::operator::binary;
use charttrust_e2e::page::{Desk, steps};
use charttrust_e2e::stage::{Power, Setting, Stage, Story, path};
use serde_json::json;

const PAGE: &str = "docs/incident-key-stolen.md";

#[tokio::test(flavor = "multi_thread")]
async fn what_to_do_when_a_key_was_stolen() {
    let binary = binary();
    let cluster = Cluster::shared(env!("CARGO_BIN_EXE_testbed"));
    // As it is installed: commands learn from its Lease how it runs.
    let setting = Setting {
        more: Vec::new(),
        ..Setting::new(binary.clone(), Power::Contains)
    };
    let stage = Stage::set(cluster, setting).await;
    let story = shop(&stage).await;
    let desk = desk(&stage, &story, &binary).await;

    let page = std::fs::read_to_string(path(PAGE)).unwrap();
    let steps = steps(&page);
    assert!(steps.len() > 10, "{} commands", steps.len());
    desk.types_all(PAGE, &steps).await;
}

/// The shop of the page: two releases signed by the key that is stolen, one by another team's.
async fn shop(stage: &Stage) -> Story {
    let story = Story::named(stage.cluster, "shop", Version::V4).await;
    let key = story.trusted_key("2026").await;
    let other = story.trusted_key("payroll").await;
    let keys = [&key, &other];
    story.policy("charts", &keys, json!({})).await;
    for (name, version, key) in [
        ("payments", "2.4.1", &key),
        ("search", "2.0.0", &key),
        ("payroll", "0.9.3", &other),
    ] {
        let chart = story.publish(&source(name, version), Some(key)).await;
        story.install(name, &chart).await;
        story.expect(name, "SignatureVerified").await;
    }
    story
}

fn source(name: &str, version: &str) -> Source {
    Source::new(name, version).with_file("values.yaml", "replicas: 3\n")
}

/// A folder with the new key and the charts that it signed.
async fn desk(stage: &Stage, story: &Story, binary: &Path) -> Desk {
    let desk = Desk::new(stage.cluster.kubeconfig(), binary);
    let key = story.make_key("2027");
    let armored = story.keyring.public_armored(&key.key).unwrap();
    let object = json!({
        "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey",
        "metadata": {"name": key.name},
        "spec": {"fingerprint": key.key.fingerprint, "publicKey": {"inline": armored}},
    });
    std::fs::write(desk.folder().join("shop-2027.yaml"), object.to_string()).unwrap();
    for (name, version) in [("payments", "2.4.2"), ("search", "2.0.1")] {
        let signed: Chart = story.publish(&source(name, version), Some(&key)).await;
        let name = signed.archive.file_name().unwrap();
        std::fs::copy(&signed.archive, desk.folder().join(name)).unwrap();
    }
    desk
}
