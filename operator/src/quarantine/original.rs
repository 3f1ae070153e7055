//! A field before it was changed: as JSON in an annotation, as text in a status.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a field was; it may not have been there.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Original(Option<Value>);

impl Original {
    /// The field as it is now.
    pub fn of(value: Option<&Value>) -> Self {
        Self(value.cloned())
    }

    /// What a status says. Text that cannot be read counts as absent, and so disagrees with what the
    /// object itself carries: then nothing is written.
    pub(super) fn from_text(text: Option<&str>) -> Self {
        Self(text.and_then(|text| serde_json::from_str(text).ok()))
    }

    /// What a status is to say.
    pub(super) fn to_text(&self) -> Option<String> {
        self.0.as_ref().map(Value::to_string)
    }

    /// Whether the field was not there.
    pub fn is_absent(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the field is so now.
    pub(super) fn is(&self, value: Option<&Value>) -> bool {
        self.0.as_ref() == value
    }

    /// The value that the field gets back.
    pub(super) fn into_value(self) -> Option<Value> {
        self.0
    }
}

impl fmt::Display for Original {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("absent"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_and_value_are_one() {
        for value in [json!(3), json!("true"), json!({"prune": true}), json!(0)] {
            let original = Original::of(Some(&value));
            assert_eq!(Original::from_text(original.to_text().as_deref()), original);
            assert!(original.is(Some(&value)) && !original.is(None));
        }
        assert_eq!(Original::default().to_text(), None);
        assert_eq!(Original::from_text(None), Original::default());
    }

    #[test]
    fn text_that_cannot_be_read_is_absent() {
        assert!(Original::from_text(Some("{")).is_absent());
    }
}
