//! Decoding into typed fields by the rules of Go's `encoding/json`, with the conversions to text
//! of `sigs.k8s.io/yaml` in front of it.

use std::collections::BTreeMap;

use crate::yaml::{Value, float64, general_f32, general_f64};

/// A value does not fit the type of its field; Helm refuses the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a field has the wrong type")]
pub(crate) struct Mismatch;

/// Finds the field that a key means: keys are case-insensitive (`encoding/json`, `foldName`).
pub(crate) fn field(key: &str, fields: &[&'static str]) -> Option<&'static str> {
    fields.iter().find(|name| folds(key, name)).copied()
}

/// Says whether Go's decoder takes `key` for `name` (an ASCII name).
pub(crate) fn folds(key: &str, name: &str) -> bool {
    if key.is_ascii() {
        return key.eq_ignore_ascii_case(name);
    }
    let fold = |letter: char| match letter {
        // The only two letters beyond ASCII that fold into it: the long s and the Kelvin sign.
        '\u{17F}' => 's',
        '\u{212A}' => 'k',
        _ => letter.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(name.chars().map(fold))
}

pub(crate) fn only_null(value: &Value) -> Result<(), Mismatch> {
    if *value == Value::Null {
        Ok(())
    } else {
        Err(Mismatch)
    }
}

/// Decodes into a text; null leaves it alone.
pub(crate) fn text(target: &mut String, value: &Value) -> Result<(), Mismatch> {
    if let Some(text) = text_of(value)? {
        *target = text;
    }
    Ok(())
}

fn text_of(value: &Value) -> Result<Option<String>, Mismatch> {
    match value {
        Value::Null => Ok(None),
        Value::Text(text) => Ok(Some(text.clone())),
        Value::Bool(yes) => Ok(Some(yes.to_string())),
        Value::Int(number) => Ok(Some(number.to_string())),
        // `sigs.k8s.io/yaml` formats with 32 bits of precision (`strconv.FormatFloat(v, 'g', -1,
        // 32)`): an `appVersion` of 1.10 becomes the text 1.1 for every Helm.
        Value::Float(number) => Ok(Some(general_f32(*number))),
        Value::List(_) | Value::Map(_) => Err(Mismatch),
    }
}

pub(crate) fn flag(target: &mut bool, value: &Value) -> Result<(), Mismatch> {
    match value {
        Value::Bool(yes) => *target = *yes,
        Value::Null => {}
        _ => return Err(Mismatch),
    }
    Ok(())
}

pub(crate) fn list(value: &Value) -> Result<&[Value], Mismatch> {
    match value {
        Value::List(items) => Ok(items),
        Value::Null => Ok(&[]),
        _ => Err(Mismatch),
    }
}

/// Decodes into a list of texts, replacing it; a null item is an empty text.
pub(crate) fn texts(target: &mut Vec<String>, value: &Value) -> Result<(), Mismatch> {
    let items = list(value)?
        .iter()
        .map(|item| Ok(text_of(item)?.unwrap_or_default()));
    *target = items.collect::<Result<_, _>>()?;
    Ok(())
}

/// Decodes into a map of texts, adding to it; null empties it, a null value is an empty text.
pub(crate) fn merge_texts(
    target: &mut BTreeMap<String, String>,
    value: &Value,
) -> Result<(), Mismatch> {
    let Value::Map(pairs) = value else {
        target.clear();
        return only_null(value);
    };
    for (key, value) in pairs {
        target.insert(key.clone(), text_of(value)?.unwrap_or_default());
    }
    Ok(())
}

/// Decodes into a list of objects, merging by index: Go reuses the pointers that are there.
pub(crate) fn merge_objects<T: Default>(
    target: &mut Vec<T>,
    value: &Value,
    merge: impl Fn(&mut T, &Value) -> Result<(), Mismatch>,
) -> Result<(), Mismatch> {
    let items = list(value)?;
    let mut old = std::mem::take(target).into_iter();
    for item in items {
        let mut object = old.next().unwrap_or_default();
        merge(&mut object, item)?;
        target.push(object);
    }
    Ok(())
}

/// Writes a free-form JSON value as Go's `%v` does; numbers are `float64`.
pub(crate) fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(yes) => yes.to_string(),
        Value::Int(number) => general_f64(float64(*number)),
        Value::Float(number) => general_f64(*number),
        Value::Text(text) => text.clone(),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(go_text).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Map(pairs) => {
            let sorted: BTreeMap<_, _> = pairs.iter().map(|(key, value)| (key, value)).collect();
            let items: Vec<_> = sorted
                .iter()
                .map(|(key, value)| format!("{key}:{}", go_text(value)))
                .collect();
            format!("map[{}]", items.join(" "))
        }
    }
}
