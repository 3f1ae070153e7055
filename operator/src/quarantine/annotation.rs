//! The annotation that a contained object carries: what it was before, and why it was changed.
//!
//! It is written by the very patch that changes the object, so that whatever crashes, the object
//! alone tells how to restore it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields;
use super::original::Original;
use super::owners;

/// The annotation.
pub const ANNOTATION: &str = "charttrust.io/quarantine";

pub(super) const PATH: [&str; 3] = ["metadata", "annotations", ANNOTATION];

/// What the annotation says.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Annotation {
    /// What it is about.
    pub incident: String,
    /// uid of the Quarantine.
    pub quarantine: String,
    /// uid of the object that it was written on; absent on what we made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The revision of the release that it was written for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// When it was written (RFC 3339).
    pub time: String,
    /// The changed field before; absent if it was not there.
    #[serde(default, skip_serializing_if = "Original::is_absent")]
    pub original: Original,
    /// `whenScaled` of a `StatefulSet` before, if it would have deleted volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_scaled: Option<String>,
    /// Who owned the fields before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<Value>,
}

/// What an object carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Carried {
    /// A readable annotation.
    Annotation(Box<Annotation>),
    /// No annotation.
    Nothing,
    /// An annotation that nobody can read.
    Unreadable,
}

impl Annotation {
    /// What counts of what an object carries. Kubernetes copies annotations: the Deployment controller
    /// to each `ReplicaSet`, `kubectl rollout undo` from there to a Deployment, backups to new objects.
    /// It counts only on the object that it was written on.
    pub fn of(object: &Value) -> Carried {
        match Self::carried(object) {
            Carried::Annotation(annotation) if annotation.is_copied_to(object) => Carried::Nothing,
            carried => carried,
        }
    }

    /// The same, of a quarantine that is gone, where the annotation is all there is: it also counts
    /// only if we have written it, which the server itself writes down.
    pub(super) fn left_on(object: &Value) -> Carried {
        match Self::of(object) {
            Carried::Annotation(annotation)
                if annotation.uid.is_none() || !owners::is_with_us(object, &PATH) =>
            {
                Carried::Nothing
            }
            carried => carried,
        }
    }

    fn is_copied_to(&self, object: &Value) -> bool {
        let uid = fields::text(object, &["metadata", "uid"]);
        self.uid.is_some() && self.uid.as_deref() != uid
    }

    /// What an object carries, be it a copy.
    pub(super) fn carried(object: &Value) -> Carried {
        let Some(text) = fields::value(object, &PATH) else {
            return Carried::Nothing;
        };
        let annotation = text
            .as_str()
            .and_then(|text| serde_json::from_str(text).ok());
        annotation.map_or(Carried::Unreadable, |annotation| {
            Carried::Annotation(Box::new(annotation))
        })
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
        let annotation = Annotation {
            incident: "manual/1".to_owned(),
            quarantine: "1".to_owned(),
            uid: None,
            when_scaled: Some("Delete".to_owned()),
            revision: None,
            time: "2026-11-18T00:00:00Z".to_owned(),
            original: Original::of(Some(&json!(3))),
            owners: vec![json!({"manager": "helm"})],
        };
        let object = json!({"metadata": {"annotations": {ANNOTATION: annotation.text()}}});
        assert_eq!(
            Annotation::of(&object),
            Carried::Annotation(Box::new(annotation))
        );
    }

    #[test]
    fn what_is_no_mark_is_unreadable() {
        let object = |text: Value| json!({"metadata": {"annotations": {ANNOTATION: text}}});
        assert_eq!(Annotation::of(&object(json!("3"))), Carried::Unreadable);
        assert_eq!(Annotation::of(&object(json!(""))), Carried::Unreadable);
        let more = r#"{"incident":"a","quarantine":"b","time":"c","replicas":1}"#;
        assert_eq!(Annotation::of(&object(json!(more))), Carried::Unreadable);
        assert_eq!(Annotation::of(&json!({})), Carried::Nothing);
    }

    #[test]
    fn an_annotation_counts_only_on_the_object_it_was_written_on() {
        let annotation = Annotation {
            incident: "manual/1".to_owned(),
            quarantine: "1".to_owned(),
            uid: Some("deployment".to_owned()),
            revision: None,
            time: "2026-11-18T00:00:00Z".to_owned(),
            original: Original::of(Some(&json!(3))),
            when_scaled: None,
            owners: Vec::new(),
        };
        let on = |uid: &str, manager: &str| {
            json!({"metadata": {
                "uid": uid,
                "annotations": {ANNOTATION: annotation.text()},
                "managedFields": [{"manager": manager, "fieldsV1":
                    {"f:metadata": {"f:annotations": {format!("f:{ANNOTATION}"): {}}}}}],
            }})
        };
        let is = |carried: Carried| matches!(carried, Carried::Annotation(_));
        assert!(is(Annotation::of(&on("deployment", "charttrust"))));
        assert!(!is(Annotation::of(&on("replica-set", "charttrust"))));
        assert!(is(Annotation::of(&on("deployment", "kubectl-rollout"))));
        assert!(is(Annotation::left_on(&on("deployment", "charttrust"))));
        assert!(!is(Annotation::left_on(&on(
            "deployment",
            "kubectl-rollout"
        ))));
    }
}
