//! Schemas of fields that the derived ones would leave without bounds.

use std::borrow::Cow;

use charttrust_verify::verdict::{Class, Reason};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::bounds;

/// A point in time.
pub(super) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

/// The engine's words for what fails, as a type of the schema only: the engine knows no schemas.
pub(super) struct FailingReason;

/// Those of them that prove badness.
pub(super) struct BadnessReason;

impl JsonSchema for FailingReason {
    fn schema_name() -> Cow<'static, str> {
        "FailingReason".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        reasons("Why a release is not trusted.", |_| true)
    }
}

impl JsonSchema for BadnessReason {
    fn schema_name() -> Cow<'static, str> {
        "BadnessReason".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let only = "Proof of badness: the only reasons that may start a quarantine.";
        reasons(only, |reason| reason.class() == Class::Badness)
    }
}

/// What may start a quarantine, as the schema says it.
pub(super) fn described_badness() -> String {
    format!(
        "The verdicts that lead to containment. Only proof of badness is accepted: {}.",
        Class::Badness.listed()
    )
}

/// In alphabetical order, as every list of words in the schemas.
fn reasons(description: &str, is_listed: impl Fn(Reason) -> bool) -> Schema {
    let listed = Reason::ALL.iter().filter(|reason| is_listed(**reason));
    let mut words: Vec<_> = listed.map(|reason| reason.word()).collect();
    words.sort_unstable();
    json_schema!({ "description": description, "type": "string", "enum": words })
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
