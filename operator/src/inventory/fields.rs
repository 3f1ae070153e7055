//! Fields of objects as JSON.

use serde_json::Value;

/// No name of a chart and no address of a source is longer.
const LONGEST: usize = 1024;

/// A text that is there, is not empty, and is not too long to be kept.
pub(super) fn text(object: &Value, at: &str) -> Option<String> {
    let text = object.pointer(at)?.as_str()?;
    (!text.is_empty() && text.len() <= LONGEST).then(|| text.to_owned())
}

/// Whether something is there.
pub(super) fn is_there(object: &Value, at: &str) -> bool {
    match object.pointer(at) {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    }
}
