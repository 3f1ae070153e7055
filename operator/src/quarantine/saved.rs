//! What has to be known of an object to put it back, as a status records it.

use serde_json::Value;

use super::annotation::Annotation;
use super::original::Original;
use super::owners;
use super::target::Target;
use crate::api::bounds;
use crate::api::quarantine::ContainedObject;

/// A field before it was changed, and whose it was.
pub(super) struct Saved {
    original: Option<String>,
    when_scaled: Option<String>,
    owners: Option<String>,
    left_by: Option<String>,
}

impl Saved {
    /// As the object is; `None` if that is too large.
    pub(super) fn of(object: &Value, target: &Target) -> Option<Self> {
        let original = Original::of(target.value(object));
        let when_scaled = target.guarded(object);
        let mut owners = owners::of(object, target.owned);
        if let Some(guard) = target.guard().filter(|_| when_scaled.is_some()) {
            owners.extend(match guard.left(object) {
                Some(left) => owners::of_second(left.owners),
                None => owners::beside(object, guard.field),
            });
        }
        owners.retain(is_plain);
        let saved = Self::fitting(&original, owners)?;
        Some(Self {
            when_scaled,
            ..saved
        })
    }

    /// As an earlier quarantine has found it, and not as it has left it.
    pub(super) fn of_annotation(annotation: &Annotation) -> Option<Self> {
        let saved = Self::fitting(&annotation.original, annotation.owners.clone())?;
        Some(Self {
            when_scaled: annotation.when_scaled.clone(),
            left_by: Some(bounds::fit(&annotation.quarantine, bounds::LABEL)),
            ..saved
        })
    }

    fn fitting(original: &Original, owners: Vec<Value>) -> Option<Self> {
        let original = original.to_text();
        let owners = (!owners.is_empty()).then(|| Value::Array(owners).to_string());
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let fits = length(&original).max(length(&owners)) <= bounds::SAVED;
        fits.then_some(Self {
            original,
            when_scaled: None,
            owners,
            left_by: None,
        })
    }

    /// Writes it into the record of the object.
    pub(super) fn write(self, record: &mut ContainedObject) {
        record.original = self.original;
        record.when_scaled = self.when_scaled;
        record.owners = self.owners;
        record.left_by = self.left_by;
    }
}

/// Whether the admission policy that holds us to true annotations can read it: it reads text, no JSON
/// (`fence.yaml`). Whoever has an odd name loses the field, and nobody evades containment by one.
fn is_plain(owner: &Value) -> bool {
    // The last step of a path is what the policy expects.
    let text = owner.to_string().replace("\"whenScaled\"]", "");
    let odd = ["\\", "\"original\"", "\"whenScaled\""];
    !odd.iter().any(|odd| text.contains(odd))
}

/// The field before, as recorded.
pub(super) fn original(record: &ContainedObject) -> Original {
    Original::from_text(record.original.as_deref())
}

/// Who has owned the field, as recorded.
pub(super) fn owners_of(record: &ContainedObject) -> Vec<Value> {
    let text = record.owners.as_deref().unwrap_or_default();
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_owner_with_an_odd_name_is_left_out_and_the_object_is_contained() {
        let target = Target::of("apps", "Deployment").unwrap();
        let saved = |manager: &str| {
            let entry = json!({"manager": manager, "operation": "Update", "time": "t",
                "apiVersion": "apps/v1", "fieldsV1": {"f:spec": {"f:replicas": {}}}});
            let object = json!({"metadata": {"managedFields": [entry]}, "spec": {"replicas": 3}});
            Saved::of(&object, target).unwrap()
        };
        assert!(saved("helm").owners.is_some());
        for odd in ["a\"b", "a\\b", "original", "whenScaled"] {
            let saved = saved(odd);
            assert_eq!(saved.owners, None, "{odd}");
            assert_eq!(saved.original.as_deref(), Some("3"), "{odd}");
        }
    }
}
