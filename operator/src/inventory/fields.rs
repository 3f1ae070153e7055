//! Fields of objects as JSON.

use serde_json::Value;

/// No name of a chart and no address of a source is longer.
const LONGEST: usize = 1024;

/// No name of an object is longer.
const LONGEST_NAME: usize = 253;

/// A text that is there, is not empty, and is not too long to be kept.
pub(super) fn text(object: &Value, at: &str) -> Option<String> {
    let text = object.pointer(at)?.as_str()?;
    (!text.is_empty() && text.len() <= LONGEST).then(|| text.to_owned())
}

/// Whether an object may have this name: a DNS subdomain.
pub(super) fn is_object_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_part = |part: &str| {
        part.starts_with(is_letter)
            && part.ends_with(is_letter)
            && part.chars().all(|c| is_letter(c) || c == '-')
    };
    name.len() <= LONGEST_NAME && name.split('.').all(is_part)
}

/// Whether something is there.
pub(super) fn is_there(object: &Value, at: &str) -> bool {
    match object.pointer(at) {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    }
}
