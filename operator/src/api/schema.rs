//! What the derived schemas lack: one place that makes them as strict as they should be.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::bounds;
use super::{ChartTrustPolicy, ReleaseTrust, TrustedKey};

/// The definitions of all kinds, by name. Use this, not `crd()`: the derived schema lets every
/// optional field be null.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![
        strict(ChartTrustPolicy::crd()),
        strict(ReleaseTrust::crd()),
        strict(TrustedKey::crd()),
    ]
}

/// An absent field is absent; null is a mistake that the server should name.
fn strict(definition: CustomResourceDefinition) -> CustomResourceDefinition {
    // Invariant: a definition of our own kinds is plain JSON and stays one without `nullable`.
    let mut json = serde_json::to_value(definition).expect("a definition is plain JSON");
    forbid_null(&mut json);
    serde_json::from_value(json).expect("a definition without `nullable` is a definition")
}

fn forbid_null(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(forbid_null),
        Value::Object(fields) => {
            fields.remove("nullable");
            fields.values_mut().for_each(forbid_null);
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

/// A point in time.
pub(super) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

/// A Kubernetes label selector with bounds, which the published schema has not.
pub(super) fn label_selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": {
                "description": "Labels that must have exactly these values.",
                "type": "object",
                "maxProperties": bounds::SHORT_LIST,
                "additionalProperties": { "type": "string", "maxLength": bounds::LABEL },
            },
            "matchExpressions": {
                "description": "Requirements that must all hold.",
                "type": "array",
                "x-kubernetes-list-type": "atomic",
                "maxItems": bounds::SHORT_LIST,
                "items": requirement(),
            },
        },
    })
}

fn requirement() -> Schema {
    json_schema!({
        "type": "object",
        "required": ["key", "operator"],
        "properties": {
            "key": {
                "description": "Name of the label.",
                "type": "string",
                "minLength": 1,
                "maxLength": bounds::GLOB,
            },
            "operator": {
                "description": "In and NotIn need values; Exists and DoesNotExist take none.",
                "type": "string",
                "enum": ["DoesNotExist", "Exists", "In", "NotIn"],
            },
            "values": {
                "description": "Values for In and NotIn.",
                "type": "array",
                "x-kubernetes-list-type": "atomic",
                "maxItems": bounds::LIST,
                "items": { "type": "string", "maxLength": bounds::LABEL },
            },
        },
        "x-kubernetes-validations": [{
            "rule": "self.operator in ['In', 'NotIn'] \
                == (has(self.values) && size(self.values) > 0)",
            "message": "give values with In and NotIn, and only with them",
        }],
    })
}
