//! What the README says about words, columns and files, against the code.

use std::path::{Path, PathBuf};

use charttrust_verify::verdict::{Basis, Cause, Reason};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

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
