//! Fields of the objects of a manifest.

use crate::yaml::Value;

/// A field of a map.
pub(super) fn get<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Map(pairs) = value else {
        return None;
    };
    pairs
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
}

/// A field that is a text.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    match get(value, name)? {
        Value::Text(text) => Some(text),
        _ => None,
    }
}
