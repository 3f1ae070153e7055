//! Objects of which only what is needed is decoded: whoever wrote them decides how large the rest is.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ApiResource;
use kube::{Resource, core::DynamicResourceScope};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// The names on the way to a field.
pub type Path = &'static [&'static str];

/// In place of a name: the first of a list. The rest is skipped.
pub const FIRST: &str = "[0]";
/// In place of a name: the last of a list. The rest is skipped.
pub const LAST: &str = "[-1]";
/// In place of a name: each of a list, as far as [`MOST`] go, in its place.
pub const EACH: &str = "[]";
/// So many of a list are kept at most.
pub const MOST: usize = 32;
/// At the end of a path: whether something is there, and not what.
pub const PRESENT: &str = "?";

/// Decodes what some paths name, and skips the rest.
pub struct Only {
    paths: Vec<Path>,
    ends: Ends,
}

/// What is taken at the end of a path.
#[derive(Clone, Copy)]
enum Ends {
    /// Whatever is there.
    Anything,
    /// A text, a number or the like. Where a definition leaves open what is there, somebody may put something so
    /// deep there that no decoder takes it, and with it the list in which it stands.
    Scalar,
}

impl Only {
    /// Of these paths.
    pub fn of(paths: &[Path]) -> Self {
        let (paths, ends) = (paths.to_vec(), Ends::Anything);
        Self { paths, ends }
    }

    /// Of these paths, which end with texts, numbers and the like.
    fn scalars(paths: &[Path]) -> Self {
        let (paths, ends) = (paths.to_vec(), Ends::Scalar);
        Self { paths, ends }
    }

    /// What of the paths lies below a name.
    fn below(&self, name: &str) -> Option<Self> {
        let steps = self.paths.iter().filter_map(|path| path.split_first());
        let paths: Vec<Path> = steps
            .filter_map(|(first, rest)| (*first == name).then_some(rest))
            .collect();
        let ends = self.ends;
        (!paths.is_empty()).then_some(Self { paths, ends })
    }

    fn is_whole(&self) -> bool {
        self.paths.iter().any(|path| path.is_empty())
    }

    /// The next of a list, as far as the paths name what is in it.
    fn element<'de, A: SeqAccess<'de>>(
        &self,
        list: &mut A,
        name: &str,
    ) -> Result<Option<Value>, A::Error> {
        match self.below(name) {
            Some(below) => list.next_element_seed(below),
            None => Ok(None),
        }
    }

    /// What is left of something that is no map.
    fn presence(&self) -> Value {
        match self.below(PRESENT) {
            Some(_) => Value::Bool(true),
            None => Value::Null,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Only {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match (self.is_whole(), self.ends) {
            (true, Ends::Anything) => Value::deserialize(deserializer),
            (true, Ends::Scalar) => deserializer.deserialize_any(Scalar),
            (false, _) => deserializer.deserialize_any(self),
        }
    }
}

/// A text, a number or the like; anything else is as good as absent.
struct Scalar;

impl<'de> Visitor<'de> for Scalar {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text or a number")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, it: bool) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_i64<E>(self, it: i64) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_u64<E>(self, it: u64) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_f64<E>(self, it: f64) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
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
            let Some(below) = self.below(&name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value_seed(below)?;
            if !value.is_null() {
                object.insert(name, value);
            }
        }
        match self.presence() {
            Value::Null => Ok(Value::Object(object)),
            present => Ok(present),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let kept = if let Some(below) = self.below(FIRST) {
            list.next_element_seed(below)?.map(|first| vec![first])
        } else if self.below(LAST).is_some() {
            let mut last = None;
            while let Some(next) = self.element(&mut list, LAST)? {
                last = Some(vec![next]);
            }
            last
        } else {
            let mut each = Vec::new();
            while each.len() < MOST {
                let Some(next) = self.element(&mut list, EACH)? else {
                    break;
                };
                each.push(next);
            }
            (!each.is_empty()).then_some(each)
        };
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(kept.map_or_else(|| self.presence(), Value::Array))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(self.presence())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(self.presence())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(self.presence())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(self.presence())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        // An empty text is what Go's types write for nothing.
        Ok(if text.is_empty() {
            Value::Null
        } else {
            self.presence()
        })
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

/// What is kept of objects of somebody else's kind.
pub trait Kept: Clone + fmt::Debug + PartialEq + Sized {
    /// What it is made of, beside name, namespace and version.
    const PATHS: &'static [Path];

    /// Made of an object, whole or picked; `None` of one that it cannot be made of.
    fn of(object: &Value) -> Option<Self>;
}

/// An object of somebody else's kind with what is needed of it.
#[derive(Clone, Debug)]
pub struct Picked<P> {
    metadata: ObjectMeta,
    /// What was picked.
    pub value: Value,
    picks: PhantomData<fn() -> P>,
}

const METADATA: [Path; 3] = [
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "resourceVersion"],
];

impl<'de, P: Kept> Deserialize<'de> for Picked<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let only = Only::scalars(&[&METADATA, P::PATHS].concat());
        let value = only.deserialize(deserializer)?;
        let text = |path: &str| Some(value.pointer(path)?.as_str()?.to_owned());
        let metadata = ObjectMeta {
            name: text("/metadata/name"),
            namespace: text("/metadata/namespace"),
            resource_version: text("/metadata/resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self {
            metadata,
            value,
            picks: PhantomData,
        })
    }
}

impl<P> Resource for Picked<P> {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(dt: &ApiResource) -> Cow<'_, str> {
        dt.kind.as_str().into()
    }

    fn group(dt: &ApiResource) -> Cow<'_, str> {
        dt.group.as_str().into()
    }

    fn version(dt: &ApiResource) -> Cow<'_, str> {
        dt.version.as_str().into()
    }

    fn plural(dt: &ApiResource) -> Cow<'_, str> {
        dt.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Example;

    impl Kept for Example {
        const PATHS: &'static [Path] = &[
            &["spec", "url"],
            &["spec", "content", PRESENT],
            &["status", "history", FIRST, "name"],
            &["status", "done", LAST, "of", EACH, "name"],
            &["status", "revisions", EACH],
        ];

        fn of(_: &Value) -> Option<Self> {
            None
        }
    }

    fn picked(object: &Value) -> Value {
        let picked: Picked<Example> = serde_json::from_str(&object.to_string()).unwrap();
        picked.value
    }

    #[test]
    fn only_what_is_named_is_kept_whatever_the_rest_looks_like() {
        let object = json!({
            "kind": "A",
            "metadata": {"name": "web", "namespace": "shop", "resourceVersion": "7",
                "annotations": {"junk": "x".repeat(1 << 18)}},
            "spec": {"url": "https://a", "content": "x".repeat(1 << 20), "values": {"a": [1]}},
            "status": {"history": [{"name": "a", "digest": "b"}, {"name": "c"}], "more": 1},
        });
        assert_eq!(
            picked(&object),
            json!({
                "metadata": {"name": "web", "namespace": "shop", "resourceVersion": "7"},
                "spec": {"url": "https://a", "content": true},
                "status": {"history": [{"name": "a"}]},
            })
        );
        let picked: Picked<Example> = serde_json::from_value(object).unwrap();
        assert_eq!(picked.meta().resource_version.as_deref(), Some("7"));
        assert_eq!(picked.meta().namespace.as_deref(), Some("shop"));
    }

    #[test]
    fn of_a_list_the_last_is_kept_or_each_in_its_place_up_to_a_number() {
        let object = json!({"status": {
            "done": [{"of": [{"name": "old"}]}, {"of": [{"name": "a"}, {"url": "b"}, null, {"name": "c"}]}],
            "revisions": vec!["1.0.0"; MOST + 1],
        }});
        assert_eq!(
            picked(&object),
            json!({"status": {
                "done": [{"of": [{"name": "a"}, {}, null, {"name": "c"}]}],
                "revisions": vec!["1.0.0"; MOST],
            }})
        );
    }

    #[test]
    fn what_is_of_another_form_is_as_good_as_absent() {
        for (content, present) in [
            (json!(null), false),
            (json!(""), false),
            (json!("a"), true),
            (json!(1), true),
            (json!({"a": 1}), true),
            (json!(["a"]), true),
        ] {
            let expected = if present {
                json!({"content": true})
            } else {
                json!({})
            };
            let object = picked(&json!({"spec": {"content": content}}));
            assert_eq!(object, json!({"spec": expected}), "{content}");
        }
        for history in [json!([]), json!({}), json!("a"), json!([[]]), json!(null)] {
            let object = picked(&json!({"status": {"history": history}}));
            let name = object.pointer("/status/history/0/name");
            assert_eq!(name, None, "{history}");
        }
    }

    /// One object that no decoder took would hide all others of its list.
    #[test]
    fn nothing_that_somebody_puts_in_place_of_a_text_spoils_a_list() {
        let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
        let deep_map = format!("{}1{}", r#"{"a":"#.repeat(1000), "}".repeat(1000));
        for odd in [deep.as_str(), &deep_map, "[1]", "{}", "[{}]"] {
            for object in [
                format!(r#"{{"spec": {{"url": {odd}, "content": "a", "more": {odd}}}}}"#),
                format!(r#"{{"spec": {{"url": {odd}, "content": {odd}}}, "more": {odd}}}"#),
                format!(r#"{{"spec": {{"content": 1}}, "status": {{"revisions": [{odd}, "1"]}}}}"#),
            ] {
                let picked: Picked<Example> = serde_json::from_str(&object).unwrap();
                assert_eq!(picked.value["spec"], json!({"content": true}), "{object}");
            }
        }
    }
}
