//! The arrows between the rooms, as the head of `lib.rs` draws them.

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which rooms a room may import. A new arrow edits this table and the picture in `lib.rs`.
const ALLOWED: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("certificates", &[]),
    (
        "cli",
        &[
            "api",
            "certificates",
            "clock",
            "controllers",
            "door",
            "evidence",
            "leader",
            "inventory",
            "metrics",
            "parse",
            "quarantine",
            "serve",
            "sources",
            "watch",
        ],
    ),
    ("clock", &[]),
    (
        "controllers",
        &[
            "api",
            "certificates",
            "clock",
            "evidence",
            // For tests only.
            "cost",
            "fake_chart",
            "fake_cluster",
            // Of the tests of the engine.
            "forge",
            "inventory",
            "leader",
            "metrics",
            "names",
            "parse",
            "quarantine",
            "sources",
            "watch",
        ],
    ),
    (
        "door",
        &[
            "api",
            "certificates",
            "clock",
            "controllers",
            "evidence",
            // For tests only.
            "cost",
            "fake_chart",
            // Of the tests of the engine.
            "forge",
            "inventory",
            "metrics",
            "parse",
            "serve",
            "sources",
            "watch",
        ],
    ),
    // Work that is measured, for tests only.
    ("cost", &["fake_chart"]),
    ("evidence", &["sources"]),
    // A chart and its record, and an API server in memory, for tests only.
    ("fake_chart", &["archive"]),
    ("fake_cluster", &[]),
    ("inventory", &["names", "watch"]),
    ("leader", &["api", "clock", "fake_cluster"]),
    ("metrics", &["api", "sources"]),
    ("names", &["api"]),
    ("parse", &["api"]),
    (
        "quarantine",
        &["api", "fake_cluster", "inventory", "names", "watch"],
    ),
    ("serve", &["clock", "controllers", "metrics"]),
    ("sources", &[]),
    ("watch", &[]),
];

#[test]
fn rooms_import_only_what_the_table_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
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
fn no_two_files_import_each_other() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let circles = sources::circles(workspace);
    assert!(circles.is_empty(), "these import each other: {circles:#?}");
}

/// Whoever verifies signatures of Sigstore asks nobody: of all that the engine takes for that nothing can open a
/// connection.
#[test]
fn what_verifies_signatures_of_sigstore_is_made_of_nothing_that_speaks_to_others() {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    let lock = std::fs::read_to_string(lock).unwrap();
    let mut packages = BTreeMap::<_, BTreeSet<_>>::new();
    for package in lock.split("[[package]]").skip(1) {
        let quoted = package.lines().filter_map(|line| line.split('"').nth(1));
        let mut names = quoted.filter_map(|text| text.split(' ').next());
        let name = names.next().unwrap();
        // Its own version, source and checksum are names of no package.
        packages.entry(name).or_default().extend(names);
    }
    let (mut found, mut next) = (BTreeSet::new(), vec!["sigstore-verify"]);
    while let Some(name) = next.pop() {
        if let Some(needed) = packages.get(name).filter(|_| found.insert(name)) {
            next.extend(needed);
        }
    }
    assert!(
        found.len() > 20 && found.contains("sigstore-trust-root"),
        "{found:?}"
    );
    for name in [
        "hyper", "reqwest", "rustls", "socket2", "tokio", "tough", "ureq",
    ] {
        assert!(
            packages.contains_key(name) || name == "tough" || name == "ureq",
            "{name}"
        );
        assert!(!found.contains(name), "{name} is needed");
    }
}

/// What decides takes values or the store: whoever has a `Context` may read the API server and write.
#[test]
fn what_decides_cannot_name_what_acts() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let pure = ["judge.rs", "status.rs", "decide.rs", "plan.rs"];
    let deciding = rust_files(&src).into_iter().filter(|file| {
        let is_command = file.starts_with(src.join("cli"));
        !is_command && pure.iter().any(|name| file.ends_with(name))
    });
    let mut seen = 0;
    for file in deciding {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let mut words = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let names = words.any(|word| word == "Context");
        assert!(!names, "{} names Context", file.display());
        seen += 1;
    }
    assert!(seen >= 6, "only {seen} files decide");
}

/// Tests of a file may be long; a file that needs more code than this has a second subject.
const LONGEST_FILE: usize = 600;

#[test]
fn no_file_is_longer_than_one_subject_needs() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folders = [
        "operator/src",
        "operator/verify/src",
        "e2e/src",
        "e2e/cost/src",
        "e2e/false-alarms/src",
        "e2e/floors/src",
    ];
    let files = folders.map(|folder| rust_files(&workspace.join(folder)));
    let mut seen = 0;
    for file in files.iter().flatten().filter(|file| !is_of_tests(file)) {
        let text = std::fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let lines = code.lines().count();
        assert!(lines <= LONGEST_FILE, "{}: {lines} lines", file.display());
        seen += 1;
    }
    assert!(seen > 200, "only {seen} files");
}

/// Whether the module that declares the file does so for tests only.
fn is_of_tests(file: &Path) -> bool {
    let is_test = |module: &Path| {
        let (Some(folder), Some(name)) = (module.parent(), module.file_stem()) else {
            return false;
        };
        let declared = format!("#[cfg(test)]\nmod {};", name.to_string_lossy());
        let parents = [folder.join("mod.rs"), folder.with_extension("rs")];
        let declares = |parent: &PathBuf| {
            std::fs::read_to_string(parent).is_ok_and(|text| text.contains(&declared))
        };
        parents.iter().any(declares)
    };
    file.ancestors().take(4).any(is_test)
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

#[test]
fn the_api_knows_the_words_of_the_engine_and_nothing_else_of_it() {
    let api = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
    for file in rust_files(&api) {
        let text = std::fs::read_to_string(&file).unwrap();
        for after in text.split("charttrust_verify::").skip(1) {
            let is_words = ["scheme", "verdict", "words"]
                .iter()
                .any(|room| after.starts_with(room));
            assert!(is_words, "{} imports more of the engine", file.display());
        }
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
