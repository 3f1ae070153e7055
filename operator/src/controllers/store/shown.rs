//! A `ReleaseTrust` as it was last seen, packed.

use crate::api::ReleaseTrust;

/// A `ReleaseTrust`, or why it cannot be read, as text: there may be ten thousand, each is looked at now and
/// then, and taken apart they are more than twice as large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown(Result<Box<[u8]>, Box<str>>);

impl Shown {
    /// Packs one. What others fill and we never read is left out.
    pub fn of(object: Result<ReleaseTrust, String>) -> Self {
        let packed = object.and_then(|mut object| {
            object.metadata.managed_fields = None;
            serde_json::to_vec(&object).map_err(|error| error.to_string())
        });
        Self(match packed {
            Ok(text) => Ok(text.into_boxed_slice()),
            Err(why) => Err(why.into_boxed_str()),
        })
    }

    /// Takes it apart.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn open(&self) -> Result<ReleaseTrust, String> {
        let text = self.0.as_deref().map_err(ToString::to_string)?;
        serde_json::from_slice(text).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_packed_is_what_is_opened() {
        let object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ReleaseTrust",
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7",
                "creationTimestamp": "2026-11-18T00:00:00Z",
                "annotations": {"charttrust.io/requestedAt": "now"},
            },
            "status": {
                "observedGeneration": 1, "signer": "platform",
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "Evaluated", "message": "",
                    "lastTransitionTime": "2026-11-18T00:00:01Z", "observedGeneration": 1,
                }],
            },
        });
        let object: ReleaseTrust = serde_json::from_value(object).unwrap();
        assert_eq!(Shown::of(Ok(object.clone())).open(), Ok(object.clone()));
        let mut managed = object.clone();
        managed.metadata.managed_fields = Some(Vec::new());
        assert_eq!(Shown::of(Ok(managed)), Shown::of(Ok(object)));
        let why = "it has no form".to_owned();
        assert_eq!(Shown::of(Err(why.clone())).open(), Err(why));
    }
}
