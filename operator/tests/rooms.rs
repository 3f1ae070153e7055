//! The arrows between the rooms, as the head of `lib.rs` draws them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which rooms a room may import. A new arrow edits this table and the picture in `lib.rs`.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("api", &[] as &[_]),
        (
            "cli",
            &[
                "api",
                "clock",
                "controllers",
                "leader",
                "inventory",
                "metrics",
                "parse",
                "quarantine",
                "serve",
                "sources",
                "watch",
            ] as &[_],
        ),
        ("clock", &[]),
        (
            "controllers",
            &[
                "api",
                "clock",
                "inventory",
                "leader",
                "metrics",
                "parse",
                "quarantine",
                "sources",
                "watch",
            ],
        ),
        ("inventory", &["watch"]),
        ("leader", &["clock"]),
        ("metrics", &["api", "sources"]),
        ("parse", &["api"]),
        ("quarantine", &["api", "inventory", "watch"]),
        ("serve", &["controllers", "metrics"]),
        ("sources", &[]),
        ("watch", &[]),
    ])
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let allowed = allowed();
    let mut seen = BTreeSet::new();
    for file in rust_files(&src) {
        let room = room_of(&src, &file);
        if room == "lib" || room == "main" {
            continue;
        }
        seen.insert(room.clone());
        let may = allowed
            .get(room.as_str())
            .unwrap_or_else(|| panic!("{room} is not in the table"));
        for other in imports(&std::fs::read_to_string(&file).unwrap()) {
            let is_known = other == room || may.contains(&other.as_str());
            assert!(is_known, "{} imports crate::{other}", file.display());
        }
    }
    let table: BTreeSet<_> = allowed.keys().map(ToString::to_string).collect();
    assert_eq!(seen, table, "the table names every room and no other");
}

#[test]
fn the_engine_depends_on_nothing_that_touches_the_world() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("verify/Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    for forbidden in [
        "kube",
        "k8s-openapi",
        "tokio",
        "reqwest",
        "hyper",
        "axum",
        "charttrust.",
    ] {
        let depends = manifest.lines().any(|line| line.starts_with(forbidden));
        assert!(!depends, "the engine depends on {forbidden}");
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn room_of(src: &Path, file: &Path) -> String {
    let first = file.strip_prefix(src).unwrap().components().next().unwrap();
    first
        .as_os_str()
        .to_string_lossy()
        .trim_end_matches(".rs")
        .to_owned()
}

/// The rooms that a file names after `crate::`, in grouped imports too.
fn imports(text: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for after in text.split("crate::").skip(1) {
        let names = match after.strip_prefix('{') {
            Some(group) => group
                .split('}')
                .next()
                .unwrap_or_default()
                .split(',')
                .collect(),
            None => vec![after],
        };
        for name in names {
            let word: String = name
                .trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            rooms.extend((!word.is_empty()).then_some(word));
        }
    }
    rooms
}
