//! Fields of JSON objects: reading them, and the operations of a JSON patch that change them.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchOperation, RemoveOperation, TestOperation};
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

/// Whether somebody has deleted the object, and it waits for its finalizers or its Pods.
pub(super) fn is_being_deleted(object: &Value) -> bool {
    value(object, &["metadata", "deletionTimestamp"]).is_some()
}

/// The operation that sets a field, and makes the objects around it that are missing.
pub(super) fn set(object: &Value, path: &[&str], new: Value) -> PatchOperation {
    let is_there = |end: &usize| value(object, &path[..*end]).is_some_and(Value::is_object);
    let present = (0..path.len()).rev().find(is_there).unwrap_or(0);
    let split = (present + 1).min(path.len());
    let (place, missing) = path.split_at(split);
    let nested = missing
        .iter()
        .rev()
        .fold(new, |inner, name| json!({ *name: inner }));
    PatchOperation::Add(AddOperation {
        path: pointer(place),
        value: nested,
    })
}

/// The operation that removes a field, if it is there.
pub(super) fn unset(object: &Value, path: &[&str]) -> Option<PatchOperation> {
    value(object, path)?;
    let path = pointer(path);
    Some(PatchOperation::Remove(RemoveOperation { path }))
}

/// The operation that fails unless a field has this value.
pub(super) fn test(path: &[&str], expected: Value) -> PatchOperation {
    PatchOperation::Test(TestOperation {
        path: pointer(path),
        value: expected,
    })
}

/// The operation that fails unless an object is still of the version that was read.
pub(super) fn of_this_version(live: &Value) -> PatchOperation {
    let path = ["metadata", "resourceVersion"];
    test(&path, value(live, &path).cloned().unwrap_or_default())
}

fn pointer(path: &[&str]) -> PointerBuf {
    PointerBuf::from_tokens(path.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(operation: &PatchOperation) -> Value {
        serde_json::to_value(operation).unwrap()
    }

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
        let escaped = "/metadata/annotations/charttrust.io~1a~0b";
        assert_eq!(pointer(&path).as_str(), escaped);
    }

    #[test]
    fn a_set_makes_what_is_missing_around_the_field() {
        let object = json!({"spec": {"template": {}}});
        let path = ["spec", "template", "spec", "nodeSelector", "a"];
        assert_eq!(
            told(&set(&object, &path, json!("b"))),
            json!({"op": "add", "path": "/spec/template/spec",
                "value": {"nodeSelector": {"a": "b"}}})
        );
        assert_eq!(
            told(&set(&object, &["spec", "replicas"], json!(0))),
            json!({"op": "add", "path": "/spec/replicas", "value": 0})
        );
        assert_eq!(
            told(&set(&json!({}), &["a", "b"], json!(1))),
            json!({"op": "add", "path": "/a", "value": {"b": 1}})
        );
    }

    #[test]
    fn only_what_is_there_is_removed() {
        let object = json!({"spec": {"suspend": true}});
        let removal = json!({"op": "remove", "path": "/spec/suspend"});
        let removed = unset(&object, &["spec", "suspend"]).unwrap();
        assert_eq!(told(&removed), removal);
        assert_eq!(unset(&object, &["spec", "other"]), None);
    }
}
