//! Fields of JSON objects: reading them, and the operations of a JSON patch that change them.

use serde_json::{Value, json};

/// The value of a field; null counts as absent, as it does for Kubernetes.
pub(super) fn value<'a>(object: &'a Value, path: &[impl AsRef<str>]) -> Option<&'a Value> {
    let found = path
        .iter()
        .try_fold(object, |object, name| object.get(name.as_ref()))?;
    (!found.is_null()).then_some(found)
}

/// The text of a field.
pub(super) fn text<'a>(object: &'a Value, path: &[&str]) -> Option<&'a str> {
    value(object, path)?.as_str()
}

/// A JSON pointer (RFC 6901).
pub(super) fn pointer(path: &[&str]) -> String {
    path.iter().fold(String::new(), |pointer, name| {
        pointer + "/" + &name.replace('~', "~0").replace('/', "~1")
    })
}

/// The operation that sets a field, and makes the objects around it that are missing.
pub(super) fn set(object: &Value, path: &[&str], new: Value) -> Value {
    let is_there = |end: &usize| value(object, &path[..*end]).is_some_and(Value::is_object);
    let present = (0..path.len()).rev().find(is_there).unwrap_or(0);
    let split = (present + 1).min(path.len());
    let (place, missing) = path.split_at(split);
    let nested = missing
        .iter()
        .rev()
        .fold(new, |inner, name| json!({ *name: inner }));
    json!({"op": "add", "path": pointer(place), "value": nested})
}

/// The operation that removes a field, if it is there.
pub(super) fn unset(object: &Value, path: &[&str]) -> Option<Value> {
    value(object, path)?;
    Some(json!({"op": "remove", "path": pointer(path)}))
}

/// The operation that fails unless a field has this value.
pub(super) fn test(path: &[&str], expected: &Value) -> Value {
    json!({"op": "test", "path": pointer(path), "value": expected})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_is_absent() {
        let object = json!({"spec": {"suspend": null, "replicas": 0}});
        assert_eq!(value(&object, &["spec", "suspend"]), None);
        assert_eq!(value(&object, &["spec", "replicas"]), Some(&json!(0)));
        assert_eq!(value(&object, &["status", "replicas"]), None);
    }

    #[test]
    fn pointers_escape_slashes_and_tildes() {
        let path = ["metadata", "annotations", "charttrust.io/a~b"];
        assert_eq!(pointer(&path), "/metadata/annotations/charttrust.io~1a~0b");
    }

    #[test]
    fn a_set_makes_what_is_missing_around_the_field() {
        let object = json!({"spec": {"template": {}}});
        let path = ["spec", "template", "spec", "nodeSelector", "a"];
        assert_eq!(
            set(&object, &path, json!("b")),
            json!({"op": "add", "path": "/spec/template/spec",
                "value": {"nodeSelector": {"a": "b"}}})
        );
        assert_eq!(
            set(&object, &["spec", "replicas"], json!(0)),
            json!({"op": "add", "path": "/spec/replicas", "value": 0})
        );
        assert_eq!(
            set(&json!({}), &["a", "b"], json!(1)),
            json!({"op": "add", "path": "/a", "value": {"b": 1}})
        );
    }

    #[test]
    fn only_what_is_there_is_removed() {
        let object = json!({"spec": {"suspend": true}});
        let removal = json!({"op": "remove", "path": "/spec/suspend"});
        assert_eq!(unset(&object, &["spec", "suspend"]), Some(removal));
        assert_eq!(unset(&object, &["spec", "other"]), None);
    }
}
