//! Objects of which only what is needed is decoded: of the many of a namespace, whoever wrote them
//! decides how large the rest is.

use std::fmt;

use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::{ObjectList, Request};
use kube::{Api, Client};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::reading::{GatherError, unless_unknown};
use super::resources::say_kind;
use crate::watch::{PAGE, each};

type Path = &'static [&'static str];

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
        let paths = NEEDED.to_vec();
        Only { paths }.deserialize(deserializer).map(Self)
    }
}

/// Decodes what these paths name, and skips the rest.
struct Only {
    paths: Vec<Path>,
}

impl<'de> DeserializeSeed<'de> for Only {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Only {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = match self.below(&name) {
                Some(below) if below.paths.iter().any(|path| path.is_empty()) => {
                    map.next_value::<Value>()?
                }
                Some(below) => map.next_value_seed(below)?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if !value.is_null() {
                object.insert(name, value);
            }
        }
        Ok(Value::Object(object))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

impl Only {
    /// What of the paths lies below a name.
    fn below(&self, name: &str) -> Option<Self> {
        let steps = self.paths.iter().filter_map(|path| path.split_first());
        let paths: Vec<Path> = steps
            .filter_map(|(first, rest)| (*first == name).then_some(rest))
            .collect();
        (!paths.is_empty()).then_some(Self { paths })
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
