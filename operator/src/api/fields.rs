//! Every field of every kind as tables for people, out of the definitions themselves; and fields that
//! no kind has.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use serde_json::Value;

/// The fields of `spec` or `status` as a Markdown table; `None` if the kind has no such part.
pub fn table(definition: &CustomResourceDefinition, part: &str) -> Option<String> {
    let schema = schema(definition)?;
    schema.properties.as_ref()?.get(part)?;
    let mut rows = Vec::new();
    collect(schema, "", &mut rows);
    let below = format!("{part}.");
    let own = rows
        .iter()
        .filter(|row| row.path == part || row.path.starts_with(&below));
    let head = "| field | default | meaning |\n|---|---|---|\n".to_owned();
    Some(own.fold(head, |text, row| {
        let Row {
            path,
            default,
            meaning,
        } = row;
        format!("{text}| `{path}` | {default} | {meaning} |\n")
    }))
}

/// A field and what is said of it.
struct Row {
    path: String,
    default: String,
    meaning: String,
}

/// The path of a field that an object of a kind has and its definition does not: the API server would
/// refuse or drop it, and whoever misspelt it means something.
pub fn unknown(kind: &str, object: &Value) -> Option<String> {
    let definitions = super::definitions();
    let mut definitions = definitions.iter();
    let definition = definitions.find(|definition| definition.spec.names.kind == kind)?;
    let fields = schema(definition)?.properties.as_ref()?;
    let of_all = ["apiVersion", "kind", "metadata"];
    let own = object.as_object()?.iter();
    own.filter(|(name, _)| !of_all.contains(&name.as_str()))
        .find_map(|(name, value)| match fields.get(name) {
            Some(field) => unknown_below(field, value, name),
            None => Some(name.clone()),
        })
}

fn unknown_below(field: &JSONSchemaProps, value: &Value, path: &str) -> Option<String> {
    match (value, &field.properties, &field.items) {
        (Value::Object(values), Some(fields), _) => values.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            match fields.get(name) {
                Some(field) => unknown_below(field, value, &path),
                None => Some(path),
            }
        }),
        (Value::Array(values), _, Some(JSONSchemaPropsOrArray::Schema(items))) => {
            let mut numbered = values.iter().enumerate();
            numbered
                .find_map(|(index, value)| unknown_below(items, value, &format!("{path}[{index}]")))
        }
        _ => None,
    }
}

fn schema(definition: &CustomResourceDefinition) -> Option<&JSONSchemaProps> {
    let version = definition.spec.versions.first()?;
    version.schema.as_ref()?.open_api_v3_schema.as_ref()
}

fn collect(parent: &JSONSchemaProps, path: &str, rows: &mut Vec<Row>) {
    for (name, field) in parent.properties.iter().flatten() {
        let (below, marks) = innermost(field);
        let path = match path {
            "" => format!("{name}{marks}"),
            parent => format!("{parent}.{name}{marks}"),
        };
        rows.push(Row {
            default: default(parent, name, field),
            meaning: meaning(field),
            path: path.clone(),
        });
        collect(below, &path, rows);
    }
}

/// The items of a list, however deep, with a mark for each list.
fn innermost(field: &JSONSchemaProps) -> (&JSONSchemaProps, String) {
    match &field.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => {
            let (below, marks) = innermost(items);
            (below, format!("[]{marks}"))
        }
        _ => (field, String::new()),
    }
}

fn default(parent: &JSONSchemaProps, name: &str, field: &JSONSchemaProps) -> String {
    let required = parent.required.iter().flatten().any(|one| one == name);
    let value = field.default.as_ref().map(|default| &default.0);
    match value {
        _ if required => "required".to_owned(),
        // What an object defaults to is what its fields do.
        None | Some(serde_json::Value::Object(_)) => String::new(),
        Some(serde_json::Value::String(text)) => format!("`{text}`"),
        Some(other) => format!("`{other}`"),
    }
}

/// The description in one line, without the default, which has a column of its own.
fn meaning(field: &JSONSchemaProps) -> String {
    let text = field.description.as_deref().unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentences = text.trim_end_matches('.').split(". ");
    let kept: Vec<_> = sentences
        .filter(|sentence| !sentence.starts_with("Default "))
        .collect();
    format!("{}.", kept.join(". ")).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(kind: &str) -> String {
        let definitions = crate::api::definitions();
        let mut definitions = definitions.iter();
        let definition = definitions.find(|definition| definition.spec.names.kind == kind);
        let parts = ["spec", "status"].map(|part| table(definition.unwrap(), part));
        parts.into_iter().flatten().collect()
    }

    fn row(kind: &str, path: &str) -> String {
        let start = format!("| `{path}` |");
        let tables = tables(kind);
        let row = tables.lines().find(|line| line.starts_with(&start));
        row.unwrap_or_else(|| panic!("no row for {path}"))
            .to_owned()
    }

    #[test]
    fn a_row_names_default_meaning_and_example() {
        assert_eq!(
            row("TrustedKey", "spec.refresh.interval"),
            "| `spec.refresh.interval` | `24h` | How often, as a Go duration of at least one second. \
             Example: `12h`. |"
        );
        let policy = |path| row("ChartTrustPolicy", path);
        assert!(policy("spec.rules[].name").contains("| required |"));
        assert!(policy("spec.match").starts_with("| `spec.match` |  |"));
        assert!(policy("spec.rules[].digests[].digest").ends_with("print it. |"));
        assert!(policy("status.conditions[].reason").contains("| required |"));
    }

    #[test]
    fn every_cell_is_one_cell() {
        for definition in crate::api::definitions() {
            let tables = tables(&definition.spec.names.kind);
            let rows = tables.lines().filter(|line| line.starts_with("| `"));
            for row in rows {
                let cells = row.replace("\\|", "").matches('|').count();
                assert_eq!(cells, 4, "{row}");
            }
        }
    }
}
