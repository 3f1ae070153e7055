//! Who owns a field (`metadata.managedFields`), and how it is given back.
//!
//! A restore alone leaves the field with us, and the next `helm upgrade` of Helm 4 fails with a
//! conflict. A second patch that touches only this list cures it; both in one patch do not, because
//! the server attributes the change of a value after it has read the list (tried with Helm 4.3).

use serde_json::{Map, Value, json};

use super::fields;
use crate::api::FIELD_MANAGER;

/// The entries that own a field or a part of it, each reduced to that.
pub(super) fn of(object: &Value, path: &[&str]) -> Vec<Value> {
    let owner = |entry: &Value| {
        let owned = fields::value(entry.get("fieldsV1")?, &names(path))?.clone();
        let mut reduced = identity(entry);
        reduced.insert("time".to_owned(), entry.get("time")?.clone());
        reduced.insert("owned".to_owned(), owned);
        // Without us: to give a field back to ourselves would leave Helm 4 with the conflict that
        // this is to prevent.
        (!is_ours(entry)).then_some(Value::Object(reduced))
    };
    entries(object).iter().filter_map(owner).collect()
}

/// The same of a second field, whose path each entry names.
pub(super) fn beside(object: &Value, path: &[&str]) -> Vec<Value> {
    let mut owners = of(object, path);
    for owner in owners.iter_mut().filter_map(Value::as_object_mut) {
        owner.insert("path".to_owned(), json!(path));
    }
    owners
}

/// Those of owners that are named so.
pub(super) fn of_second(owners: Vec<Value>) -> Vec<Value> {
    let mut owners = owners;
    owners.retain(|owner| field_path(owner).is_some());
    owners
}

/// Whether we own a field.
pub(super) fn is_with_us(object: &Value, path: &[&str]) -> bool {
    entries(object)
        .iter()
        .filter(|entry| is_ours(entry))
        .any(|entry| {
            let fields = entry.get("fieldsV1");
            fields.is_some_and(|fields| fields::value(fields, &names(path)).is_some())
        })
}

/// Who else owns a field now, for people.
pub(super) fn others(object: &Value, path: &[&str]) -> Vec<String> {
    let names = of(object, path);
    let names = names
        .iter()
        .filter_map(|entry| fields::text(entry, &["manager"]));
    names.map(str::to_owned).collect()
}

/// The list without us; what was ours of the field goes back to those who had it. `None` if we own
/// nothing of the object.
pub(super) fn without_us(object: &Value, path: &[&str], former: &[Value]) -> Option<Value> {
    let all = entries(object);
    if !all.iter().any(is_ours) {
        return None;
    }
    let mut kept: Vec<Value> = all
        .iter()
        .filter(|entry| !is_ours(entry))
        .cloned()
        .collect();
    for owner in former {
        let beside: Option<Vec<&str>> = field_path(owner);
        let path = beside.as_deref().unwrap_or(path);
        if is_with_us(object, path) {
            give(&mut kept, path, owner);
        }
    }
    Some(Value::Array(kept))
}

/// The path that an entry names, if it is about a second field.
fn field_path(owner: &Value) -> Option<Vec<&str>> {
    let path = owner.get("path")?.as_array()?;
    path.iter().map(Value::as_str).collect()
}

fn give(entries: &mut Vec<Value>, path: &[&str], owner: &Value) {
    let Some(owned) = owner.get("owned") else {
        return;
    };
    let same = identity(owner);
    if !entries.iter().any(|entry| identity(entry) == same) {
        entries.push(fresh(same.clone(), owner));
    }
    let there = entries.iter_mut().find(|entry| identity(entry) == same);
    if let Some(fields) = there.and_then(|entry| entry.get_mut("fieldsV1")) {
        join(nest(fields, &names(path)), owned);
    }
}

fn fresh(mut identity: Map<String, Value>, owner: &Value) -> Value {
    identity.insert("fieldsType".to_owned(), json!("FieldsV1"));
    identity.insert("fieldsV1".to_owned(), json!({}));
    if let Some(time) = owner.get("time") {
        identity.insert("time".to_owned(), time.clone());
    }
    Value::Object(identity)
}

/// The object below a path; what is missing is made.
fn nest<'a>(fields: &'a mut Value, path: &[String]) -> &'a mut Value {
    path.iter().fold(fields, |fields, name| child(fields, name))
}

/// Everything that either of two sets of fields names.
fn join(fields: &mut Value, more: &Value) {
    for (name, inner) in more.as_object().into_iter().flatten() {
        join(child(fields, name), inner);
    }
}

fn child<'a>(fields: &'a mut Value, name: &str) -> &'a mut Value {
    if !fields.is_object() {
        *fields = json!({});
    }
    // Invariant: made an object just now, in which an index makes what is missing.
    let inner = &mut fields[name];
    if inner.is_null() {
        *inner = json!({});
    }
    inner
}

/// What tells an entry from others.
fn identity(entry: &Value) -> Map<String, Value> {
    let field = |name: &&str| Some(((*name).to_owned(), entry.get(*name)?.clone()));
    let names = ["apiVersion", "manager", "operation", "subresource"];
    names.iter().filter_map(field).collect()
}

fn is_ours(entry: &Value) -> bool {
    fields::text(entry, &["manager"]) == Some(FIELD_MANAGER)
}

fn entries(object: &Value) -> &[Value] {
    let list = fields::value(object, &["metadata", "managedFields"]);
    list.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `f:name`, as the list writes each step of a path.
fn names(path: &[&str]) -> Vec<String> {
    path.iter().map(|name| format!("f:{name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLICAS: [&str; 2] = ["spec", "replicas"];

    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers pass what json! makes"
    )]
    fn entry(manager: &str, operation: &str, fields: Value) -> Value {
        json!({
            "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": fields,
            "manager": manager, "operation": operation, "time": "2026-11-18T00:00:00Z",
        })
    }

    fn object(entries: &[Value]) -> Value {
        json!({"metadata": {"managedFields": entries}})
    }

    fn helm(fields: Value) -> Value {
        entry("helm", "Apply", fields)
    }

    fn ours() -> Value {
        entry(
            FIELD_MANAGER,
            "Update",
            json!({"f:spec": {"f:replicas": {}}}),
        )
    }

    #[test]
    fn the_field_goes_back_to_whom_it_belonged() {
        let before = object(&[helm(
            json!({"f:spec": {"f:replicas": {}, "f:template": {}}}),
        )]);
        let former = of(&before, &REPLICAS);
        assert_eq!(former.len(), 1);
        let taken = object(&[helm(json!({"f:spec": {"f:template": {}}})), ours()]);
        let given = without_us(&taken, &REPLICAS, &former).unwrap();
        assert_eq!(given, before["metadata"]["managedFields"]);
    }

    #[test]
    fn an_owner_that_owned_nothing_else_is_made_again() {
        let before = object(&[helm(json!({"f:spec": {"f:replicas": {}}}))]);
        let former = of(&before, &REPLICAS);
        let given = without_us(&object(&[ours()]), &REPLICAS, &former).unwrap();
        assert_eq!(given, before["metadata"]["managedFields"]);
    }

    #[test]
    fn parts_of_a_field_go_back_too() {
        let path = ["spec", "syncPolicy", "automated"];
        let fields = json!({"f:spec": {"f:syncPolicy": {"f:automated": {".": {}, "f:prune": {}}}}});
        let before = object(&[entry("argocd", "Update", fields.clone())]);
        let former = of(&before, &path);
        let taken = object(&[entry(FIELD_MANAGER, "Update", fields)]);
        let given = without_us(&taken, &path, &former).unwrap();
        assert_eq!(given, before["metadata"]["managedFields"]);
    }

    #[test]
    fn what_somebody_else_took_meanwhile_stays_theirs() {
        let former = of(
            &object(&[helm(json!({"f:spec": {"f:replicas": {}}}))]),
            &REPLICAS,
        );
        let annotation = json!({"f:metadata": {"f:annotations": {"f:x": {}}}});
        let scaled = entry("kubectl", "Update", json!({"f:spec": {"f:replicas": {}}}));
        let taken = object(&[entry(FIELD_MANAGER, "Update", annotation), scaled.clone()]);
        assert_eq!(others(&taken, &REPLICAS), ["kubectl"]);
        let given = without_us(&taken, &REPLICAS, &former).unwrap();
        assert_eq!(given, json!([scaled]));
    }

    #[test]
    fn where_we_own_nothing_there_is_nothing_to_give() {
        let theirs = object(&[helm(json!({"f:spec": {"f:replicas": {}}}))]);
        assert_eq!(without_us(&theirs, &REPLICAS, &[]), None);
        assert!(!is_with_us(&theirs, &REPLICAS));
        assert_eq!(without_us(&json!({}), &REPLICAS, &[]), None);
    }
}
