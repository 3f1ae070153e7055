//! Objects as the watches decode them: without what others fill and we never read.
//!
//! Whoever may write an object at all may give it 256 KiB of annotations, a ConfigMap or Secret of any tenant
//! like a `ReleaseTrust` made by hand, and the API server adds `managedFields`. Both are skipped while the
//! bytes are decoded, so that they are never held, and so are owners and the finalizers of others.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Of an implementation of `Resource` for part of an object: it is of that object's kind.
macro_rules! as_its_kind {
    ($kind:ident) => {
        type DynamicType = <$kind as ::kube::Resource>::DynamicType;
        type Scope = <$kind as ::kube::Resource>::Scope;

        fn kind(dt: &Self::DynamicType) -> ::std::borrow::Cow<'_, str> {
            $kind::kind(dt)
        }

        fn group(dt: &Self::DynamicType) -> ::std::borrow::Cow<'_, str> {
            $kind::group(dt)
        }

        fn version(dt: &Self::DynamicType) -> ::std::borrow::Cow<'_, str> {
            $kind::version(dt)
        }

        fn plural(dt: &Self::DynamicType) -> ::std::borrow::Cow<'_, str> {
            $kind::plural(dt)
        }
    };
}
pub(crate) use as_its_kind;

/// The metadata of an object that is somebody else's; the rest is not asked for.
#[derive(Clone, Debug)]
pub struct LeanMeta<K> {
    /// What is left of it.
    pub metadata: ObjectMeta,
    kind: PhantomData<fn() -> K>,
}

/// An object of ours, its metadata as in [`LeanMeta`].
#[derive(Clone, Debug)]
pub struct Lean<K>(pub K);

impl<'de, K> Deserialize<'de> for LeanMeta<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object {
            #[serde(default)]
            metadata: Metadata,
        }
        let object = Object::deserialize(deserializer)?;
        Ok(Self {
            metadata: object.metadata.into(),
            kind: PhantomData,
        })
    }
}

impl<'de, K: serde::de::DeserializeOwned> Deserialize<'de> for Lean<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object {
            #[serde(default)]
            metadata: Metadata,
            #[serde(flatten)]
            rest: Map<String, Value>,
        }
        let object = Object::deserialize(deserializer)?;
        // Through a value, because serde cannot hand the rest of an object on to a type that wants
        // the metadata too.
        let metadata = serde_json::to_value(ObjectMeta::from(object.metadata));
        let mut rest = object.rest;
        rest.insert("metadata".to_owned(), metadata.map_err(D::Error::custom)?);
        let object = K::deserialize(Value::Object(rest));
        object.map(Self).map_err(D::Error::custom)
    }
}

impl<K: Resource> Resource for LeanMeta<K> {
    as_its_kind!(K);

    fn metadata_api() -> bool {
        true
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl<K: Resource> Resource for Lean<K> {
    as_its_kind!(K);

    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }
}

/// What we read of an object's metadata.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    annotations: Option<Annotations>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Finalizers>,
    generation: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
    uid: Option<String>,
}

impl From<Metadata> for ObjectMeta {
    fn from(lean: Metadata) -> Self {
        Self {
            annotations: lean.annotations.map(|annotations| annotations.0),
            creation_timestamp: lean.creation_timestamp,
            deletion_timestamp: lean.deletion_timestamp,
            finalizers: lean.finalizers.map(|finalizers| finalizers.0),
            generation: lean.generation,
            labels: lean.labels,
            name: lean.name,
            namespace: lean.namespace,
            resource_version: lean.resource_version,
            uid: lean.uid,
            ..Self::default()
        }
    }
}

/// Ours alone, such as `charttrust.io/requestedAt`.
fn is_ours(name: &str) -> bool {
    name.starts_with("charttrust.io/")
}

/// A time, or a mark in full, is shorter; nothing longer is ever read on an object of ours.
const LONGEST_ANNOTATION: usize = 1024;

struct Annotations(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Ours)
    }
}

struct Finalizers(Vec<String>);

impl<'de> Deserialize<'de> for Finalizers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(OursOfList)
    }
}

/// Takes what is ours and skips everything else.
struct Ours;

impl<'de> Visitor<'de> for Ours {
    type Value = Annotations;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("annotations")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
        let mut ours = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if !is_ours(&name) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let text = map.next_value::<String>()?;
            if text.len() <= LONGEST_ANNOTATION {
                ours.insert(name, text);
            }
        }
        Ok(Annotations(ours))
    }
}

/// The same of a list.
struct OursOfList;

impl<'de> Visitor<'de> for OursOfList {
    type Value = Finalizers;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("finalizers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Finalizers, A::Error> {
        let mut ours = Vec::new();
        while let Some(name) = list.next_element::<String>()? {
            if is_ours(&name) {
                ours.push(name);
            }
        }
        Ok(Finalizers(ours))
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ConfigMap, Secret};
    use kube::core::DeserializeGuard;
    use serde_json::json;

    use super::*;

    fn metadata() -> Value {
        json!({
            "name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 2,
            "creationTimestamp": "2026-11-18T00:00:00Z", "labels": {"status": "deployed"},
            "annotations": {"example.com/junk": "x".repeat(1 << 18), "a.b/c": "d", "charttrust.io/requestedAt": "now",
                "charttrust.io/long": "x".repeat(LONGEST_ANNOTATION + 1)},
            "finalizers": ["example.com/held", "charttrust.io/restore"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "A", "name": "a", "uid": "b"}],
            "managedFields": [{"manager": "helm", "operation": "Apply"}],
        })
    }

    fn is_lean(metadata: &ObjectMeta) {
        let annotations = metadata.annotations.clone().unwrap();
        let expected = ("charttrust.io/requestedAt".to_owned(), "now".to_owned());
        assert_eq!(annotations, BTreeMap::from([expected]));
        let finalizers = metadata.finalizers.clone().unwrap();
        assert_eq!(finalizers, ["charttrust.io/restore"]);
        assert_eq!(metadata.managed_fields, None);
        assert_eq!(metadata.owner_references, None);
        assert_eq!(metadata.name.as_deref(), Some("web"));
        assert_eq!(metadata.resource_version.as_deref(), Some("7"));
        assert_eq!(metadata.generation, Some(2));
        assert!(metadata.creation_timestamp.is_some());
        assert_eq!(metadata.labels.clone().unwrap()["status"], "deployed");
    }

    #[test]
    fn the_metadata_of_others_is_decoded_without_what_they_fill() {
        let text = json!({"kind": "PartialObjectMetadata", "metadata": metadata()}).to_string();
        let lean: LeanMeta<Secret> = serde_json::from_str(&text).unwrap();
        is_lean(&lean.metadata);
        let nothing = json!({"metadata": {"name": "a", "annotations": null, "finalizers": null}});
        let lean: LeanMeta<Secret> = serde_json::from_value(nothing).unwrap();
        assert_eq!(lean.metadata.annotations, None);
        assert_eq!(lean.metadata.finalizers, None);
    }

    #[test]
    fn an_object_of_ours_is_decoded_whole_otherwise() {
        let object = json!({"metadata": metadata(), "data": {"a": "b"}});
        let lean: Lean<ConfigMap> = serde_json::from_str(&object.to_string()).unwrap();
        is_lean(&lean.0.metadata);
        assert_eq!(lean.0.data.unwrap()["a"], "b");
    }

    #[test]
    fn an_object_that_cannot_be_read_keeps_its_name_and_says_why() {
        let object = json!({"metadata": metadata(), "data": 7});
        let text = object.to_string();
        let guarded: DeserializeGuard<Lean<ConfigMap>> = serde_json::from_str(&text).unwrap();
        assert_eq!(guarded.meta().name.as_deref(), Some("web"));
        let why = guarded.0.unwrap_err().error;
        assert!(why.contains("invalid type: integer `7`"), "{why}");
    }
}
