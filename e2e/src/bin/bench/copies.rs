//! Releases that are copies of one that Helm has installed, with workloads of their own: Helm would take minutes for a
//! thousand.

use std::fmt::Debug;

use charttrust_e2e::charts::Chart;
use charttrust_e2e::eventually;
use charttrust_e2e::record;
use charttrust_e2e::stage::Story;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{DeleteParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::Result;
use crate::run::PATIENCE;

/// The release that Helm installs: its name stands for nothing else in its record and its objects.
const ORIGINAL: &str = "web-00000";

/// So many releases of a chart, the first by Helm. Gives their names.
pub(crate) async fn make(story: &Story, chart: &Chart, count: usize) -> Result<Vec<String>> {
    story.install(ORIGINAL, chart).await;
    let secrets = api::<Secret>(story);
    let record = secrets.get(&record::stored(ORIGINAL, 1)).await?;
    let deployment = api::<Deployment>(story).get(ORIGINAL).await?;
    let config = api::<ConfigMap>(story).get(ORIGINAL).await?;
    let names: Vec<_> = (0..count)
        .map(|number| format!("web-{number:05}"))
        .collect();
    let copy = async |name: &String| -> Result {
        create(story, &renamed(&config, name)?).await?;
        create(story, &renamed(&deployment, name)?).await?;
        create(story, &record_of(&record, name)?).await
    };
    let others = names.iter().skip(1).map(copy);
    let others = futures::stream::iter(others).buffer_unordered(16);
    others.try_collect::<()>().await?;
    Ok(names)
}

/// The namespace goes, with everything in it.
pub(crate) async fn remove(story: &Story) {
    let all = Api::<Namespace>::all(story.client.clone());
    let deleted = all.delete(&story.namespace, &DeleteParams::default()).await;
    story.done("delete the namespace", deleted);
    eventually(PATIENCE, "the namespace is gone", async || {
        match all.get_metadata_opt(&story.namespace).await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// The record of another release, that lists objects of its own.
fn record_of(original: &Secret, name: &str) -> Result<Secret> {
    let mut secret = record::copy(original, name, |record| {
        let manifest = record["manifest"].as_str().unwrap_or_default();
        record["manifest"] = json!(manifest.replace(ORIGINAL, name));
    })?;
    secret.metadata.managed_fields = None;
    Ok(secret)
}

/// The same object under another name, as nobody has stored it yet.
fn renamed<K: Serialize + DeserializeOwned>(object: &K, name: &str) -> Result<K> {
    let text = serde_json::to_string(object)?.replace(ORIGINAL, name);
    let mut object: serde_json::Value = serde_json::from_str(&text)?;
    for field in [
        "uid",
        "resourceVersion",
        "managedFields",
        "creationTimestamp",
        "generation",
    ] {
        object["metadata"]
            .as_object_mut()
            .and_then(|fields| fields.remove(field));
    }
    object
        .as_object_mut()
        .and_then(|fields| fields.remove("status"));
    Ok(serde_json::from_value(object)?)
}

async fn create<K>(story: &Story, object: &K) -> Result
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    api::<K>(story)
        .create(&PostParams::default(), object)
        .await?;
    Ok(())
}

fn api<K>(story: &Story) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(story.client.clone(), &story.namespace)
}
