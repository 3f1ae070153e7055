//! The definitions of all kinds: what the derived schemas lack is mended in one place.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use super::{ChartTrustPolicy, Quarantine, ReleaseTrust, TrustedIdentity, TrustedKey};

/// The definitions of all kinds, by name. Use this, not `crd()`: the derived schema lets every
/// optional field be null, and keeps the line ends of doc comments.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![
        finished(ChartTrustPolicy::crd()),
        finished(Quarantine::crd()),
        finished(ReleaseTrust::crd()),
        finished(TrustedIdentity::crd()),
        finished(TrustedKey::crd()),
    ]
}

fn finished(definition: CustomResourceDefinition) -> CustomResourceDefinition {
    // Invariant: a definition of our own kinds is plain JSON, and stays a definition.
    let mut json = serde_json::to_value(definition).expect("a definition is plain JSON");
    finish(&mut json);
    let status = "/spec/versions/0/schema/openAPIV3Schema/properties/status";
    if let Some(status) = json.pointer_mut(status) {
        // Without it, whatever waits for an object takes one that nobody has looked at for done.
        status["default"] = serde_json::json!({"observedGeneration": -1});
    }
    serde_json::from_value(json).expect("a finished definition is a definition")
}

fn finish(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(finish),
        Value::Object(fields) => {
            fields.remove("nullable");
            if let Some(Value::String(description)) = fields.get_mut("description") {
                *description = without_line_ends(description);
            }
            fields.values_mut().for_each(finish);
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

/// `kubectl explain` breaks lines itself; only paragraphs are ours.
fn without_line_ends(text: &str) -> String {
    let paragraphs: Vec<_> = text.split("\n\n").map(|p| p.replace('\n', " ")).collect();
    paragraphs.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every schema in a definition with its path, and what is wrong with it.
    fn faults(path: &str, schema: &Value, found: &mut Vec<String>) {
        let mut fault = |what: &str| found.push(format!("{path}: {what}"));
        let has = |field: &str| schema.get(field).is_some();
        match schema["type"].as_str() {
            Some("array") => {
                if !has("maxItems") {
                    fault("a list without maxItems");
                }
                if !has("x-kubernetes-list-type") {
                    fault("a list without list type");
                }
            }
            Some("integer") if !has("minimum") => fault("a number without minimum"),
            Some("boolean" | "integer") => {}
            Some("object") if has("properties") || has("maxProperties") => {}
            Some("object") => fault("a map without maxProperties"),
            Some("string") if has("enum") || has("maxLength") => {}
            Some("string") if schema["format"] == "date-time" => {}
            Some("string") => fault("a text without maxLength"),
            other => fault(&format!("type {other:?}")),
        }
        for field in [
            "nullable",
            "anyOf",
            "oneOf",
            "x-kubernetes-preserve-unknown-fields",
        ] {
            if has(field) {
                fault(field);
            }
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if property["description"].as_str().is_none_or(str::is_empty) {
                found.push(format!("{path}: no description"));
            }
            faults(&path, property, found);
        }
        if let Some(items) = schema.get("items") {
            faults(&format!("{path}[]"), items, found);
        }
        if let Some(values) = schema.get("additionalProperties") {
            faults(&format!("{path}{{}}"), values, found);
        }
    }

    fn faults_of(definition: &CustomResourceDefinition) -> Vec<String> {
        let json = serde_json::to_value(definition).unwrap();
        let mut found = Vec::new();
        let schema = &json["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        faults(&definition.spec.names.kind, schema, &mut found);
        found
    }

    #[test]
    fn everything_in_the_schemas_is_bounded_and_described() {
        let faults: Vec<_> = definitions().iter().flat_map(faults_of).collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn the_walk_finds_what_is_unbounded() {
        let schema = serde_json::json!({"type": "object", "properties": {
            "a": {"type": "string", "description": "a", "nullable": true},
            "b": {"type": "array", "items": {"type": "integer"}},
            "c": {"type": "object", "description": "c", "additionalProperties": {}},
        }});
        let mut found = Vec::new();
        faults("Kind", &schema, &mut found);
        assert_eq!(found.len(), 8, "{found:?}");
    }

    #[test]
    fn every_kind_is_in_the_category_and_has_status_of_its_own() {
        for definition in definitions() {
            assert_eq!(
                definition.spec.names.categories.as_deref(),
                Some(["charttrust".to_owned()].as_slice())
            );
            let subresources = definition.spec.versions[0].subresources.as_ref().unwrap();
            assert!(subresources.status.is_some());
        }
    }

    #[test]
    fn columns_are_the_ones_of_the_contract() {
        let columns = |plural: &str| {
            let mut definitions = definitions().into_iter();
            let definition = definitions.find(|d| d.spec.names.plural == plural).unwrap();
            let columns = definition.spec.versions[0]
                .additional_printer_columns
                .clone();
            let names = columns
                .into_iter()
                .flatten()
                .map(|column| match column.priority {
                    Some(1) => format!("({})", column.name),
                    _ => column.name,
                });
            names.collect::<Vec<_>>().join(" ").to_uppercase()
        };
        assert_eq!(
            columns("trustedkeys"),
            "READY STATE EXPIRES USED-BY AGE (FINGERPRINT) (OWNER) (STATUS)"
        );
        assert_eq!(
            columns("trustedidentities"),
            "READY STATE EXPIRES USED-BY AGE (ISSUER) (OWNER) (ROOT) (STATUS)"
        );
        assert_eq!(
            columns("charttrustpolicies"),
            "READY COMPLIANT TOTAL TRUSTED UNTRUSTED UNKNOWN UNMANAGED AGE (STATUS) (SUSPENDED) (INTERVAL)"
        );
        assert_eq!(
            columns("quarantines"),
            "STATE REASON ACTIONS OBJECTS AGE (POLICY) (INCIDENT)"
        );
        assert_eq!(
            columns("releasetrusts"),
            "TRUSTED REASON CHART VERSION SIGNER SINCE AGE (POLICY) (SOURCE) (DIGEST)"
        );
    }
}
