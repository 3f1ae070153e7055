//! What whoever may write in one namespace makes of it for everybody.

use charttrust_e2e::charts::Source;
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::Story;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::setup::{stage, story};

const MIB: usize = 1 << 20;

/// Two dozen Secrets of 20 KiB. What a record says is kept as long as the release is judged, several times over.
#[tokio::test(flavor = "multi_thread")]
async fn records_that_name_things_at_length_cost_the_operator_little() {
    let story = story("at-length", Version::V4).await;
    let key = story.trusted_key("platform").await;
    story.policy("policy", &[&key], json!({})).await;
    let chart = Source::new("web", "1.0.0");
    let chart = story.publish(&chart, Some(&key)).await;
    story.install("web", &chart).await;
    story.expect("web", "SignatureVerified").await;
    let secrets = Api::<Secret>::namespaced(story.client.clone(), &story.namespace);
    let template = secrets.get("sh.helm.release.v1.web.v1").await.unwrap();
    let operator = stage().await.operator(|operator| operator.id());
    let before = reset_peak(operator);
    for number in 0..8 {
        for field in ["/chart/metadata/name", "/chart/metadata/version", "/name"] {
            // What is told of it would be six times as long.
            let long = "\u{7f}".repeat(15 * MIB);
            let name = field.trim_start_matches('/').replace('/', "-");
            copy(
                &story,
                &template,
                &format!("{name}-{number}"),
                (field, &long),
            )
            .await;
        }
    }
    for number in 0..8 {
        for name in ["chart-metadata-name", "chart-metadata-version", "name"] {
            story
                .expect(&format!("{name}-{number}"), "ReleaseUnreadable")
                .await;
        }
    }
    let grown = memory(operator, "VmHWM:").saturating_sub(before) / MIB;
    println!("{grown} MiB");
    // Others work on the same operator meanwhile. Without the limit it was 1400.
    assert!(grown < 400, "{grown} MiB");
}

/// Copies a record as another release, with something changed.
async fn copy(story: &Story, template: &Secret, name: &str, (field, value): (&str, &str)) {
    let change = |record: &mut Value| *record.pointer_mut(field).unwrap() = json!(value);
    let secret = charttrust_e2e::record::copy(template, name, change).unwrap();
    let secrets = Api::<Secret>::namespaced(story.client.clone(), &story.namespace);
    let created = secrets.create(&PostParams::default(), &secret).await;
    story.done("write a record", created);
}

/// Has the greatest memory of a process measured from now on; gives what it takes now.
fn reset_peak(process: u32) -> usize {
    std::fs::write(format!("/proc/{process}/clear_refs"), "5").unwrap();
    memory(process, "VmRSS:")
}

/// A line of the kernel's account of a process, in bytes.
fn memory(process: u32, field: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .unwrap();
    let kib: usize = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    kib * 1024
}
