//! Records that anybody may write who may write Secrets somewhere: what Helm's look like by type, label
//! and name, with nothing inside and as many annotations as the API server takes.

use std::collections::BTreeMap;
use std::time::Instant;

use charttrust_e2e::record;
use charttrust_e2e::stage::Opening;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

use crate::Result;
use crate::run::{Bench, PATIENCE, judged, print_memory};

pub(crate) async fn row(bench: &Bench, junk: usize) -> Result {
    let scene = Opening::new("hostile").declared(bench.cluster).await;
    let source = charttrust_e2e::charts::Source::new("web", "1.0.0");
    let chart = scene.publish(&source, Some(&scene.key)).await;
    scene.install("web", &chart).await;
    println!("preparing {junk} Secrets and ConfigMaps with 256 KiB of annotations …");
    let tenant = bench.cluster.namespace("tenant").await?;
    let secrets = Api::<Secret>::namespaced(scene.client.clone(), &tenant);
    let maps = Api::<ConfigMap>::namespaced(scene.client.clone(), &tenant);
    let write = async |number: usize| {
        let params = PostParams::default();
        let secret = Secret {
            metadata: metadata(&format!("secret-{number}")),
            type_: Some("helm.sh/release.v1".to_owned()),
            ..Secret::default()
        };
        secrets.create(&params, &secret).await?;
        let map = ConfigMap {
            metadata: metadata(&format!("map-{number}")),
            ..ConfigMap::default()
        };
        maps.create(&params, &map).await.map(drop)
    };
    let all = futures::stream::iter(0..junk).map(write);
    all.buffer_unordered(8).try_collect::<()>().await?;

    for start in ["first start", "second start"] {
        let began = Instant::now();
        let mut operator = bench.start(&[])?;
        operator.ready(PATIENCE).await?;
        judged(&operator, &scene.namespace, 1).await;
        println!("\nhostile metadata, {junk} Secrets and {junk} ConfigMaps, {start}");
        let seconds = began.elapsed().as_secs_f64();
        println!("  time to the one verdict of somebody else {seconds:.1} s");
        print_memory(&operator);
    }
    Ok(())
}

fn metadata(release: &str) -> ObjectMeta {
    let labels = [("owner", "helm"), ("name", release), ("status", "deployed")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    ObjectMeta {
        name: Some(record::stored(release, 1)),
        labels: Some(BTreeMap::from(labels)),
        annotations: Some(BTreeMap::from([(
            "example.com/junk".to_owned(),
            "x".repeat(ANNOTATIONS),
        )])),
        ..ObjectMeta::default()
    }
}

/// What the API server takes, the key's own bytes apart (`TotalAnnotationSizeLimitB`).
const ANNOTATIONS: usize = 256 * 1024 - 64;
