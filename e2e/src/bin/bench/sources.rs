//! A cold start with charts of a repository and of a registry: what the sources are asked.

use charttrust_e2e::charts::{Chart, Source};
use charttrust_e2e::helm::Version;
use charttrust_e2e::stage::{Story, StoryKey};
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::json;

use crate::registry::Registry;
use crate::releases::populate;
use crate::run::Bench;
use crate::{Arguments, Result};

/// As many charts over HTTP as in a registry, and the releases shared among them.
pub(crate) async fn row(bench: &Bench, arguments: &Arguments) -> Result {
    let story = Story::begin(bench.cluster, "sources", Version::V4).await;
    let key = story.trusted_key("platform").await;
    let registry = Registry::start().await?;
    let (of_each, copies) = (arguments.charts, arguments.each.div_ceil(2));
    let (charts, total) = (2 * of_each, 2 * of_each * copies);
    println!("preparing {charts} charts, half of them in a registry, and {total} releases …");
    let published = publish(of_each, &story, &key, &registry).await?;
    populate(0..copies, &story, &published).await?;
    let of_registry = json!({"sources": [{"url": registry.url()}]});
    let rules = [
        story.rule("oci-*", &[&key], of_registry),
        story.rule("*", &[&key], json!({})),
    ];
    story.rules("policy", &rules).await;

    let mut operator = bench.start(&[])?;
    let cost = bench.cost(&mut operator, &story.namespace, total).await?;
    println!(
        "\n{total} releases of {charts} charts, {of_each} over HTTP and {of_each} in a registry"
    );
    cost.print(&operator);
    let (http, oci, tokens) = (
        story.repository.requests().len(),
        registry.asked(),
        registry.tokens(),
    );
    let (asked, most) = (http + oci + tokens, 3 * charts + tokens);
    println!("  requests over HTTP     {http}");
    println!("  requests of registry   {oci}, and {tokens} for tokens");
    println!("  all, and the most      {asked}, {most}");
    if asked > most {
        return Err(format!("{asked} requests, and {most} are enough").into());
    }
    Ok(())
}

/// Charts `chart-*` in the repository of the story, and `oci-*` in the registry.
async fn publish(
    of_each: usize,
    story: &Story,
    key: &StoryKey,
    registry: &Registry,
) -> Result<Vec<Chart>> {
    let package = async |(prefix, index): (&'static str, usize)| {
        let source = Source::new(&format!("{prefix}-{index}"), "1.0.0");
        let chart = story.package(&source, Some(key)).await;
        if prefix == "oci" {
            registry.push(&chart)?;
            return Result::Ok(chart);
        }
        for path in [chart.archive.clone(), chart.provenance()] {
            let name = path.file_name().unwrap_or_default().to_owned();
            std::fs::copy(&path, story.repository.dir().join(name))?;
        }
        Ok(chart)
    };
    let wanted = (0..of_each).flat_map(|index| [("chart", index), ("oci", index)]);
    let all = futures::stream::iter(wanted).map(package).buffered(2);
    let charts = all.try_collect().await?;
    story.repository.reindex(&story.helm).await?;
    Ok(charts)
}
