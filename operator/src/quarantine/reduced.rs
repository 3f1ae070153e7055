//! Objects of which only what is needed is decoded: of the many of a namespace, whoever wrote them
//! decides how large the rest is.

use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::{ObjectList, Request};
use kube::{Api, Client};
use serde::de::DeserializeSeed as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::reading::{GatherError, unless_unknown};
use super::resources::say_kind;
use crate::watch::{Only, PAGE, Path, each};

/// What is needed of the many objects of a namespace: names, owners, labels, how they run.
const NEEDED: &[Path] = &[
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "uid"],
    &["metadata", "deletionTimestamp"],
    &["metadata", "labels"],
    &["metadata", "ownerReferences"],
    &["metadata", "annotations", "meta.helm.sh/release-name"],
    &["metadata", "annotations", "meta.helm.sh/release-namespace"],
    &["metadata", "annotations", "argocd.argoproj.io/tracking-id"],
    &[
        "spec",
        "jobTemplate",
        "spec",
        "template",
        "metadata",
        "labels",
    ],
    &["spec", "nodeName"],
    &["spec", "replicas"],
    &["spec", "suspend"],
    &["spec", "template", "spec", "nodeSelector"],
    &["spec", "template", "metadata", "labels"],
    &["status", "active"],
    &["status", "conditions"],
    &["status", "phase"],
];

/// Everything of a kind in a namespace, in pages, each object reduced before the next page is asked
/// for. A kind that the server does not know has no objects.
///
/// # Errors
/// If the API server does not answer.
pub(super) async fn all<T>(
    client: &Client,
    resource: &ApiResource,
    namespace: &str,
    keep: impl Fn(Value) -> Option<T>,
) -> Result<Vec<T>, GatherError> {
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, resource);
    let mut found = Vec::new();
    let page = |params| page(client, api.resource_url(), params);
    let take = |object: Reduced| found.extend(keep(say_kind(object.0, resource)));
    let listed = each(ListParams::default().limit(PAGE), page, take).await;
    unless_unknown(resource, listed)?;
    Ok(found)
}

async fn page(client: &Client, url: &str, params: ListParams) -> kube::Result<ObjectList<Reduced>> {
    let request = Request::new(url).list(&params);
    let request = request.map_err(kube::Error::BuildRequest)?;
    client.request(request).await
}

/// An object with what is needed of it.
#[derive(Clone)]
struct Reduced(Value);

impl<'de> Deserialize<'de> for Reduced {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Only::of(NEEDED).deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_needed_is_kept_whatever_the_rest_looks_like() {
        let object = json!({
            "metadata": {
                "name": "web", "labels": {"app": "web"}, "managedFields": [{"manager": "a"}],
                "annotations": {"example.com/junk": "x".repeat(1 << 18), "meta.helm.sh/release-name": "web"},
                "ownerReferences": [{"controller": true, "uid": "r"}],
            },
            "spec": {"nodeName": "node", "containers": [{"image": "a"}], "template": null},
            "status": {"phase": "Running", "podIPs": []},
        });
        let reduced: Reduced = serde_json::from_str(&object.to_string()).unwrap();
        assert_eq!(
            reduced.0,
            json!({
                "metadata": {
                    "name": "web", "labels": {"app": "web"},
                    "annotations": {"meta.helm.sh/release-name": "web"},
                    "ownerReferences": [{"controller": true, "uid": "r"}],
                },
                "spec": {"nodeName": "node"}, "status": {"phase": "Running"},
            })
        );
        for odd in [
            json!([1]),
            json!(true),
            json!(-1),
            json!(1),
            json!(0.5),
            json!("a"),
            json!(null),
        ] {
            let object = json!({"metadata": {"name": "web"}, "spec": odd});
            let reduced: Reduced = serde_json::from_str(&object.to_string()).unwrap();
            assert_eq!(reduced.0, json!({"metadata": {"name": "web"}}), "{odd}");
        }
    }
}
