//! Every field of every kind as tables for people, out of the definitions themselves.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use serde_json::Value;

/// A table for each kind, and one of what several kinds have in common, as Markdown.
pub fn tables() -> String {
    let mut shared = BTreeMap::new();
    let mut text = String::new();
    for definition in super::definitions() {
        let mut rows = Vec::new();
        if let Some(schema) = schema(&definition) {
            collect(schema, "", &mut rows, &mut shared);
        }
        write_table(&mut text, &definition.spec.names.kind, &rows);
    }
    let shared: Vec<_> = shared.into_values().collect();
    write_table(&mut text, "In several places", &shared);
    text
}

/// The text of a README with the tables of today between their marks; `None` if it has no marks.
pub fn renewed(readme: &str) -> Option<String> {
    let (before, rest) = readme.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n{END}{after}", tables()))
}

const BEGIN: &str = "<!-- fields: `make crds` writes them -->";
const END: &str = "<!-- end of fields -->";

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

fn collect(
    parent: &JSONSchemaProps,
    path: &str,
    rows: &mut Vec<Row>,
    shared: &mut BTreeMap<String, Row>,
) {
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
        let Some(common) = common(name) else {
            collect(below, &path, rows, shared);
            continue;
        };
        let mut inner = Vec::new();
        collect(below, common, &mut inner, shared);
        shared.extend(inner.into_iter().map(|row| (row.path.clone(), row)));
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

/// Under which name the parts of a field are listed that has the same ones everywhere.
fn common(name: &str) -> Option<&'static str> {
    match name {
        "conditions" => Some("conditions[]"),
        "keySelector" | "namespaceSelector" => Some("…Selector"),
        _ => None,
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

fn write_table(text: &mut String, title: &str, rows: &[Row]) {
    // Invariant: writing to a String does not fail.
    let _ = write!(
        text,
        "\n### {title}\n\n| field | default | meaning |\n|---|---|---|\n"
    );
    for Row {
        path,
        default,
        meaning,
    } in rows
    {
        let _ = writeln!(text, "| `{path}` | {default} | {meaning} |");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(path: &str) -> String {
        let start = format!("| `{path}` |");
        let tables = tables();
        let row = tables.lines().find(|line| line.starts_with(&start));
        row.unwrap_or_else(|| panic!("no row for {path}"))
            .to_owned()
    }

    #[test]
    fn a_row_names_default_meaning_and_example() {
        assert_eq!(
            row("spec.refresh.interval"),
            "| `spec.refresh.interval` | `24h` | How often, as a Go duration of at least one second. \
             Example: `12h`. |"
        );
        assert!(row("spec.rules[].name").contains("| required |"));
        assert!(row("spec.match").starts_with("| `spec.match` |  |"));
        assert!(row("spec.rules[].digests[].digest").ends_with("print it. |"));
    }

    #[test]
    fn only_what_is_between_the_marks_is_renewed() {
        let readme = format!("before {BEGIN} of yesterday {END} after");
        let renewed = renewed(&readme).unwrap();
        assert!(renewed.starts_with("before <!-- fields") && renewed.ends_with("--> after"));
        assert!(renewed.contains("### TrustedKey") && !renewed.contains("yesterday"));
        assert_eq!(super::renewed(&renewed), Some(renewed.clone()));
        assert_eq!(super::renewed("no marks"), None);
    }

    #[test]
    fn what_several_kinds_share_is_listed_once() {
        let tables = tables();
        for once in ["| `conditions[].reason` |", "| `…Selector.matchLabels` |"] {
            assert_eq!(tables.matches(once).count(), 1, "{once}");
        }
        assert!(!tables.contains("| `status.conditions[].reason` |"));
    }

    #[test]
    fn every_cell_is_one_cell() {
        let tables = tables();
        let rows = tables.lines().filter(|line| line.starts_with("| `"));
        for row in rows {
            let cells = row.replace("\\|", "").matches('|').count();
            assert_eq!(cells, 4, "{row}");
        }
    }
}
