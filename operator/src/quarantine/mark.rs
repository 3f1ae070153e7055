//! The annotation that a contained object carries: what it was before, and why it was changed.
//!
//! It is written by the very patch that changes the object, so that whatever crashes, the object
//! alone tells how to restore it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::field;

/// The annotation.
pub const ANNOTATION: &str = "charttrust.io/quarantine";

pub(super) const PATH: [&str; 3] = ["metadata", "annotations", ANNOTATION];

/// What the annotation says.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// What it is about.
    pub incident: String,
    /// uid of the Quarantine.
    pub quarantine: String,
    /// When it was written (RFC 3339).
    pub time: String,
    /// The changed field before; absent if it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Value>,
    /// Who owned the field before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<Value>,
}

/// What an object carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Carried {
    /// A readable annotation.
    Mark(Box<Mark>),
    /// No annotation.
    Nothing,
    /// An annotation that nobody can read.
    Unreadable,
}

impl Mark {
    /// What an object carries.
    pub fn of(object: &Value) -> Carried {
        let Some(text) = field::value(object, &PATH) else {
            return Carried::Nothing;
        };
        let mark = text
            .as_str()
            .and_then(|text| serde_json::from_str(text).ok());
        mark.map_or(Carried::Unreadable, |mark| Carried::Mark(Box::new(mark)))
    }

    /// The value of the annotation.
    pub(crate) fn text(&self) -> Value {
        // Invariant: strings and JSON always serialize.
        Value::String(serde_json::to_string(self).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mark_reads_back_equal() {
        let mark = Mark {
            incident: "manual/1".to_owned(),
            quarantine: "1".to_owned(),
            time: "2026-11-18T00:00:00Z".to_owned(),
            original: Some(json!(3)),
            owners: vec![json!({"manager": "helm"})],
        };
        let object = json!({"metadata": {"annotations": {ANNOTATION: mark.text()}}});
        assert_eq!(Mark::of(&object), Carried::Mark(Box::new(mark)));
    }

    #[test]
    fn what_is_no_mark_is_unreadable() {
        let object = |text: Value| json!({"metadata": {"annotations": {ANNOTATION: text}}});
        assert_eq!(Mark::of(&object(json!("3"))), Carried::Unreadable);
        assert_eq!(Mark::of(&object(json!(""))), Carried::Unreadable);
        let more = r#"{"incident":"a","quarantine":"b","time":"c","replicas":1}"#;
        assert_eq!(Mark::of(&object(json!(more))), Carried::Unreadable);
        assert_eq!(Mark::of(&json!({})), Carried::Nothing);
    }
}
