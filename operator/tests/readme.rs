//! What the README says about words, columns and files, against the code.

use std::path::{Path, PathBuf};

use charttrust::api::fields;
use charttrust::api::reasons::{KeyReason, PolicyReason, QuarantineReason, ReleaseReason};
use charttrust_verify::finding::Note;
use charttrust_verify::openpgp::Word;
use charttrust_verify::verdict::{Basis, Cause, Reason};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

#[test]
fn the_reasons_are_exactly_the_words_of_the_engine() {
    let words = Basis::ALL.iter().map(|word| word.word());
    let words = words.chain(Reason::ALL.iter().map(|word| word.word()));
    let words: Vec<_> = words
        .chain(Cause::ALL.iter().map(|word| word.word()))
        .collect();
    let section = section("## Reasons");
    let listed: Vec<_> = section.lines().filter_map(first_cell).collect();
    assert_eq!(listed, words);
}

#[test]
fn the_notes_and_faults_are_exactly_the_words_of_the_engine() {
    let notes: Vec<_> = Note::ALL.iter().map(|note| note.word()).collect();
    assert_eq!(table("## Other words", "note"), notes);
    let faults: Vec<_> = Word::FAULTS.iter().map(|word| word.as_str()).collect();
    assert_eq!(table("## Other words", "fault"), faults);
}

#[test]
fn the_reasons_of_conditions_are_exactly_those_of_the_kinds() {
    let words: Vec<_> = KeyReason::ALL.iter().map(|word| word.word()).collect();
    assert_eq!(table("## Other words", "`TrustedKey`"), words);
    let words: Vec<_> = PolicyReason::ALL.iter().map(|word| word.word()).collect();
    assert_eq!(table("## Other words", "`ChartTrustPolicy`"), words);
    let words: Vec<_> = ReleaseReason::ALL.iter().map(|word| word.word()).collect();
    assert_eq!(table("## Other words", "`ReleaseTrust`"), words);
    let words: Vec<_> = QuarantineReason::ALL
        .iter()
        .map(|word| word.word())
        .collect();
    assert_eq!(table("## Other words", "`Quarantine`"), words);
}

#[test]
fn every_word_has_a_cause_and_a_next_step() {
    let sections = [section("## Reasons"), section("## Other words")].concat();
    let rows = sections.lines().filter(|line| first_cell(line).is_some());
    let mut number = 0;
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 3, "{row}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{row}");
        number += 1;
    }
    assert!(number > 80, "{number} rows");
}

#[test]
fn every_field_of_every_kind_is_listed() {
    let readme = readme();
    let renewed = fields::renewed(&readme).expect("the README has marks for the fields");
    assert!(
        renewed == readme,
        "the fields are out of date; run `make crds`"
    );
    let section = section("## Every field");
    let listed: Vec<_> = section.lines().filter_map(first_cell).collect();
    for definition in charttrust::api::definitions() {
        let kind = definition.spec.names.kind.clone();
        let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
        let paths = paths(&schema["openAPIV3Schema"], "");
        assert!(paths.len() > 20, "{kind}: {paths:?}");
        for path in paths {
            assert!(
                listed.contains(&shared(&path).as_str()),
                "{kind} has no row for {path}"
            );
        }
    }
}

/// Every path of a schema, with a mark for each list.
fn paths(schema: &Value, path: &str) -> Vec<String> {
    if schema["items"].is_object() {
        return paths(&schema["items"], &format!("{path}[]"));
    }
    let Some(fields) = schema["properties"].as_object() else {
        return vec![path.to_owned()];
    };
    let below = fields.iter().flat_map(|(name, field)| {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        paths(field, &path)
    });
    let own = Some(path.to_owned()).filter(|path| !path.is_empty());
    below.chain(own).collect()
}

/// What several kinds share is listed once.
fn shared(path: &str) -> String {
    for common in ["conditions[].", "Selector."] {
        if let Some((_, field)) = path.split_once(common) {
            let common = common.replace("Selector", "…Selector");
            return format!("{common}{field}");
        }
    }
    path.to_owned()
}

#[test]
fn the_columns_are_those_of_kubectl() {
    let section = section("## How it works");
    for definition in charttrust::api::definitions() {
        let kind = &definition.spec.names.kind;
        let row = section.lines().find(|line| first_cell(line) == Some(kind));
        let row = row.unwrap_or_else(|| panic!("no row for {kind}"));
        let said = row
            .trim_end_matches('|')
            .rsplit('|')
            .next()
            .unwrap_or_default()
            .trim();
        assert_eq!(said, columns(&definition), "{kind}");
    }
}

#[test]
fn every_linked_file_exists() {
    let readme = readme();
    let links = readme
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let files: Vec<_> = links.filter(|link| !link.starts_with(['#', 'h'])).collect();
    assert!(!files.is_empty());
    for file in files {
        assert!(root().join(file).exists(), "{file}");
    }
}

/// The words of the table with this head, in a section.
fn table(heading: &str, head: &str) -> Vec<String> {
    let section = section(heading);
    let start = format!("| {head} |");
    let mut lines = section.lines().skip_while(|line| !line.starts_with(&start));
    assert!(lines.next().is_some(), "no table of {head}");
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    rows.filter_map(first_cell).map(str::to_owned).collect()
}

/// The word in backquotes that begins a row of a table.
fn first_cell(line: &str) -> Option<&str> {
    line.strip_prefix("| `")?.split('`').next()
}

/// What kubectl prints at the head of a list, without `-o wide`.
fn columns(definition: &CustomResourceDefinition) -> String {
    let columns = definition.spec.versions[0]
        .additional_printer_columns
        .iter()
        .flatten();
    let shown = columns.filter(|column| column.priority.unwrap_or(0) == 0);
    shown
        .map(|column| column.name.to_uppercase())
        .collect::<Vec<_>>()
        .join(" ")
}

/// From a heading to the next one.
fn section(heading: &str) -> String {
    let readme = readme();
    let start = readme
        .find(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("no {heading}"));
    let rest = &readme[start + heading.len() + 1..];
    rest[..rest.find("\n## ").unwrap_or(rest.len())].to_owned()
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
