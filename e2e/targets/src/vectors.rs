//! What the tests of the engine keep: real signatures, keys, charts and objects.

use std::path::{Path, PathBuf};

/// The folder of this name below the tests of the engine.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../operator/verify/tests")
        .join(name)
}

/// A file of the repository, by its path from the root.
pub(crate) fn of_repository(path: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    read_file(&root.join(path))
}

/// A file below the tests of the engine.
pub(crate) fn read(path: &str) -> Vec<u8> {
    read_file(&folder(path))
}

fn read_file(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of a folder whose names end so, in the order of their names, with these.
pub(crate) fn all(name: &str, end: &str) -> Vec<(String, Vec<u8>)> {
    of_folder(&folder(name), end)
}

/// The same, of a folder by its path from the root of the repository.
pub(crate) fn all_of_repository(path: &str, end: &str) -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    of_folder(&root.join(path), end)
}

fn of_folder(folder: &Path, end: &str) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
    names.retain(|name| name.ends_with(end));
    names.sort();
    let named = |name: String| {
        let bytes = read_file(&folder.join(&name));
        (name, bytes)
    };
    names.into_iter().map(named).collect()
}

/// What is between two lines of armor.
pub(crate) fn unarmored(text: &str, kind: &str) -> Vec<u8> {
    use base64::Engine as _;
    let begin = format!("-----BEGIN {kind}-----");
    let inside = text.lines().skip_while(|line| *line != begin).skip(1);
    let inside = inside.take_while(|line| !line.starts_with("-----END"));
    let is_base64 =
        |line: &&str| !line.is_empty() && !line.contains(": ") && !line.starts_with('=');
    let encoded: String = inside.filter(is_base64).collect();
    let decoded = base64::prelude::BASE64_STANDARD.decode(encoded);
    decoded.unwrap_or_else(|error| panic!("a vector has no armor of {kind}: {error}"))
}
