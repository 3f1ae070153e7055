//! A cold start with many releases of fewer charts, a warm one, and the revocation of a key.

use std::collections::BTreeMap;
use std::path::Path;

use charttrust::api::TrustedKey;
use charttrust_e2e::audit::Events;
use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{Story, StoryKey};
use charttrust_e2e::{eventually, record};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use serde_json::json;

use crate::run::{Bench, PATIENCE};
use crate::{Arguments, Result};

pub(crate) async fn row(bench: &Bench, arguments: &Arguments) -> Result {
    let story = Story::begin(bench.cluster, "bench", Version::V4).await;
    let (many, few) = (
        story.trusted_key("many").await,
        story.trusted_key("few").await,
    );
    let (charts, total) = (arguments.charts, total(arguments));
    println!("preparing {charts} charts and {total} releases …");
    let published = publish(arguments, &story, &many, &few).await?;
    let raw = populate(arguments.each, &story, &published).await?;
    story.policy("policy", &[&many, &few], json!({})).await;

    let mut operator = bench.start(&[])?;
    let cold = bench.cost(&mut operator, &story.namespace, total).await?;
    println!("\ncold start, {total} releases of {charts} charts");
    cold.print(&operator);
    println!("  records                {} MiB", raw >> 20);
    println!(
        "  downloads              {} (distinct charts: {charts})",
        downloads(&story)
    );

    operator.kill();
    let before = story.repository.requests().len();
    let mut operator = bench.start(&[])?;
    let warm = bench.cost(&mut operator, &story.namespace, total).await?;
    println!("\nwarm restart");
    warm.print(&operator);
    let asked = story.repository.requests().len() - before;
    println!("  repository requests    {asked}");
    revoke(bench, arguments, &story, &few).await
}

fn total(arguments: &Arguments) -> usize {
    arguments.charts * arguments.each
}

/// Charts of a few templates; the first is signed by `few`, all others by `many`.
async fn publish(
    arguments: &Arguments,
    story: &Story,
    many: &StoryKey,
    few: &StoryKey,
) -> Result<Vec<Chart>> {
    let package = async |index: usize| {
        let key = if index == 0 { few } else { many };
        let source = Source::new(&format!("chart-{index}"), "1.0.0");
        let chart = story.package(&source, Some(key)).await;
        for path in [chart.archive.clone(), chart.provenance()] {
            let name = path.file_name().unwrap_or_default().to_owned();
            std::fs::copy(&path, story.repository.dir().join(name))?;
        }
        Result::Ok(chart)
    };
    let all = futures::stream::iter(0..arguments.charts)
        .map(package)
        .buffered(2);
    let charts = all.try_collect().await?;
    story.repository.reindex(&story.helm).await?;
    Ok(charts)
}

/// Real Helm installs each chart once; the record it makes is stored again under other names.
/// Returns the bytes of all records.
pub(crate) async fn populate(each: usize, story: &Story, charts: &[Chart]) -> Result<usize> {
    let secrets = Api::<Secret>::namespaced(story.client.clone(), &story.namespace);
    let install = async |chart: &Chart| {
        story.install(&chart.name, chart).await;
        let name = format!("sh.helm.release.v1.{}.v1", chart.name);
        let original = secrets.get(&name).await?;
        let mut bytes = 0;
        for copy in 0..each {
            let secret = renamed(&original, &format!("{}-{copy}", chart.name))?;
            bytes += secret
                .data
                .iter()
                .flatten()
                .map(|(_, value)| value.0.len())
                .sum::<usize>();
            if copy > 0 {
                secrets.create(&PostParams::default(), &secret).await?;
            }
        }
        Result::Ok(bytes)
    };
    let all = futures::stream::iter(charts)
        .map(install)
        .buffer_unordered(2);
    Ok(all.try_collect::<Vec<_>>().await?.into_iter().sum())
}

/// The same record as that of another release.
fn renamed(original: &Secret, release: &str) -> Result<Secret> {
    let mut data = original.data.clone().unwrap_or_default();
    let payload = data.remove("release").ok_or("the record has no payload")?;
    let mut json = record::decode(&payload.0)?;
    json["name"] = json!(release);
    let encoded = record::encode(&json)?;
    let payload: ByteString = serde_json::from_value(json!(encoded))?;
    let mut labels = original.metadata.labels.clone().unwrap_or_default();
    labels.insert("name".to_owned(), release.to_owned());
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(format!("sh.helm.release.v1.{release}.v1")),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("release".to_owned(), payload)])),
        type_: original.type_.clone(),
        ..Secret::default()
    })
}

fn downloads(story: &Story) -> usize {
    let requests = story.repository.requests();
    requests
        .iter()
        .filter(|asked| is_archive(&asked.path) && asked.status == 200)
        .count()
}

fn is_archive(path: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "tgz")
}

/// Revokes the key of one chart and counts what is written for it.
async fn revoke(bench: &Bench, arguments: &Arguments, story: &Story, key: &StoryKey) -> Result {
    let audit = bench.cluster.audit()?;
    let mark = audit.mark()?;
    let asked = story.repository.requests().len();
    let revoke = json!({"spec": {"revocation": {"reason": "Compromised"}}});
    story.patch::<TrustedKey>(&key.name, revoke).await;
    let committed = charttrust::clock::now();
    let written = || -> Result<Events> {
        Ok(audit
            .since(mark)?
            .by(bench.identity.user())
            .writes()
            .of("releasetrusts"))
    };
    eventually(
        PATIENCE,
        "every dependent release was written",
        async || {
            let count = written().map_err(|error| error.to_string())?.len();
            if count >= arguments.each {
                Ok(())
            } else {
                Err(format!("{count}"))
            }
        },
    )
    .await;
    let writes = written()?;
    let last = writes
        .iter()
        .map(|event| event.time)
        .max()
        .unwrap_or(committed);
    println!(
        "\nrevocation of a key with {} of {} releases",
        arguments.each,
        total(arguments)
    );
    println!("  releases written       {}", writes.len());
    println!(
        "  time to the last       {} ms",
        last.duration_since(committed).as_millis()
    );
    println!(
        "  repository requests    {}",
        story.repository.requests().len() - asked
    );
    Ok(())
}
