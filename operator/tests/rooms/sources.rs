//! The source files of the workspace, and which of them each one imports: read as text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The files of one crate by their module path: `[]` is the root, `["a", "b"]` is `a::b`.
type Modules = BTreeMap<Vec<String>, File>;

struct File {
    path: PathBuf,
    /// What it imports under which name, as paths from the root.
    names: BTreeMap<String, Vec<String>>,
    /// Every path that it names, from the root.
    paths: BTreeSet<Vec<String>>,
}

/// Files that import each other in a circle, as groups.
pub(crate) fn circles(workspace: &Path) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in crate_roots(workspace) {
        let mut modules = Modules::new();
        read_module(&root, Vec::new(), &mut modules);
        found.extend(components(&arrows(&modules)));
    }
    let relative = |path: &PathBuf| {
        let path = path.strip_prefix(workspace).unwrap();
        path.to_string_lossy().into_owned()
    };
    let names = |group: Vec<PathBuf>| group.iter().map(relative).collect();
    found.into_iter().map(names).collect()
}

/// `lib.rs` and `main.rs` of every crate, and the root of every test and program.
fn crate_roots(workspace: &Path) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    for package in ["operator", "operator/verify", "e2e"].map(|name| workspace.join(name)) {
        for folder in ["src", "src/bin", "tests"].map(|name| package.join(name)) {
            for path in entries(&folder) {
                let nested = path.join("main.rs");
                let is_root = if folder.ends_with("src") {
                    path.ends_with("lib.rs") || path.ends_with("main.rs")
                } else {
                    path.extension().is_some_and(|extension| extension == "rs")
                };
                roots.extend(is_root.then_some(path));
                roots.extend((!folder.ends_with("src") && nested.exists()).then_some(nested));
            }
        }
    }
    roots
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<_> = listed.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Reads a file and those that it declares, but for those of tests: a test may know everything.
fn read_module(path: &Path, module: Vec<String>, modules: &mut Modules) {
    let code = code(&std::fs::read_to_string(path).unwrap());
    let children = declared(&code);
    let (names, paths) = named(&code, &module, &children);
    let folder = path.parent().unwrap();
    let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
    let is_folder = module.is_empty() || stem == "mod";
    let folder = if is_folder {
        folder.to_owned()
    } else {
        folder.join(stem)
    };
    for child in children {
        let flat = folder.join(format!("{child}.rs"));
        let nested = folder.join(&child).join("mod.rs");
        let below = module.iter().cloned().chain([child]).collect();
        if let Some(found) = [flat, nested].into_iter().find(|path| path.exists()) {
            read_module(&found, below, modules);
        }
    }
    let path = path.to_owned();
    modules.insert(module, File { path, names, paths });
}

/// The text without comments and without what is compiled for tests only.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines: Vec<_> = text.lines().collect();
    let is_test = |index: usize| {
        let before = index.checked_sub(1).map(|before| lines[before].trim());
        before.is_some_and(|line| line == "#[cfg(test)]")
    };
    let kept = lines
        .iter()
        .enumerate()
        .filter(|(index, line)| !line.trim_start().starts_with("//") && !is_test(*index));
    kept.map(|(_, line)| *line).collect::<Vec<_>>().join("\n")
}

/// The files that a file declares as modules.
fn declared(code: &str) -> BTreeSet<String> {
    let lines = code.lines().filter(|line| line.ends_with(';'));
    lines
        .filter_map(|line| {
            let (before, name) = line.trim_end_matches(';').split_once("mod ")?;
            let is_declaration = before.is_empty() || before.starts_with("pub");
            is_declaration.then(|| name.trim().to_owned())
        })
        .collect()
}

type Named = (BTreeMap<String, Vec<String>>, BTreeSet<Vec<String>>);

/// What a file names, as paths from the root of its crate.
fn named(code: &str, module: &[String], children: &BTreeSet<String>) -> Named {
    let (mut names, mut paths) = (BTreeMap::new(), BTreeSet::new());
    for text in uses(code) {
        let end = text.find(';').unwrap_or(text.len());
        let tree: String = text[..end].split_whitespace().collect::<Vec<_>>().join(" ");
        for (path, name) in leaves(&tree, &[]) {
            if let Some(path) = absolute(&path, module, children, Lead::Use) {
                names.insert(name, path.clone());
                paths.insert(path);
            }
        }
    }
    for path in inline(code) {
        paths.extend(absolute(&path, module, children, Lead::Inline));
    }
    (names, paths)
}

/// The texts that follow `use `, at the begin of a statement.
fn uses(code: &str) -> impl Iterator<Item = &str> {
    code.match_indices("use ").filter_map(|(index, word)| {
        let line = code[..index].rsplit('\n').next().unwrap_or_default().trim();
        let starts = line.is_empty() || line.starts_with("pub");
        starts.then(|| &code[index + word.len()..])
    })
}

/// `a::{b, c as d}` as `a::b` under `b` and `a::c` under `d`.
fn leaves(tree: &str, before: &[String]) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    if let Some((head, group)) = tree.split_once('{') {
        let path = segments(head, before);
        let group = group.trim_end().trim_end_matches('}');
        return split(group)
            .into_iter()
            .flat_map(|part| leaves(part, &path))
            .collect();
    }
    let (path, name) = tree.split_once(" as ").unwrap_or((tree, ""));
    let path = segments(path, before);
    let name = if name.is_empty() {
        path.last().cloned()
    } else {
        Some(name.trim().to_owned())
    };
    name.map(|name| (path, name)).into_iter().collect()
}

fn segments(path: &str, before: &[String]) -> Vec<String> {
    let own = path
        .split("::")
        .map(str::trim)
        .filter(|segment| !segment.is_empty());
    before
        .iter()
        .cloned()
        .chain(own.map(str::to_owned))
        .collect()
}

/// Parts of a group, at the commas that are in no inner group.
fn split(group: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (index, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Paths in the text of functions and types.
fn inline(code: &str) -> BTreeSet<Vec<String>> {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let words = code.split(|letter| !is_part(letter));
    let paths = words.filter(|word| word.contains("::"));
    paths.map(|path| segments(path, &[])).collect()
}

/// Where a path stands: in an import a child may be named without `self`.
#[derive(Clone, Copy, PartialEq)]
enum Lead {
    Inline,
    Use,
}

/// A path from the root of the crate; `None` for one into another crate.
fn absolute(
    path: &[String],
    module: &[String],
    children: &BTreeSet<String>,
    lead: Lead,
) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    let mut base = module.to_vec();
    match first.as_str() {
        "crate" => base.clear(),
        "self" => {}
        "super" => drop(base.pop()),
        child if children.contains(child) && lead == Lead::Use => base.push(child.to_owned()),
        _ => return None,
    }
    let mut rest = rest;
    while rest.first().is_some_and(|segment| segment == "super") {
        base.pop();
        rest = &rest[1..];
    }
    base.extend(rest.iter().filter(|segment| *segment != "self").cloned());
    Some(base)
}

/// Which file imports which, beside those that it lies below.
fn arrows(modules: &Modules) -> BTreeMap<PathBuf, BTreeSet<PathBuf>> {
    let arrow = |(module, file): (&Vec<String>, &File)| {
        let targets = file
            .paths
            .iter()
            .filter_map(|path| target(modules, path, 8));
        // What a folder shares lies in its `mod.rs`, above and below its files at once.
        let others = targets.filter(|target| !module.starts_with(target));
        let others = others.filter_map(|target| Some(modules.get(target)?.path.clone()));
        (file.path.clone(), others.collect())
    };
    modules.iter().map(arrow).collect()
}

/// The module in which the thing of a path is defined; what a file passes on is followed.
fn target<'a>(modules: &'a Modules, path: &[String], depth: u8) -> Option<&'a Vec<String>> {
    let length = (0..=path.len())
        .rev()
        .find(|length| modules.contains_key(&path[..*length]))?;
    let (module, file) = modules.get_key_value(&path[..length])?;
    let passed_on = path.get(length).and_then(|name| file.names.get(name));
    match passed_on {
        Some(other) if depth > 0 && other != path => target(modules, other, depth - 1),
        _ => Some(module),
    }
}

/// Groups of more than one file in which each reaches each.
fn components(arrows: &BTreeMap<PathBuf, BTreeSet<PathBuf>>) -> Vec<Vec<PathBuf>> {
    let reached: BTreeMap<_, _> = arrows
        .keys()
        .map(|file| (file, reach(arrows, file)))
        .collect();
    let mut groups = BTreeSet::new();
    for file in arrows.keys().filter(|file| reached[file].contains(*file)) {
        let back = |other: &&PathBuf| reached[other].contains(file);
        groups.insert(
            reached[file]
                .iter()
                .filter(back)
                .cloned()
                .collect::<Vec<_>>(),
        );
    }
    groups.into_iter().collect()
}

fn reach(arrows: &BTreeMap<PathBuf, BTreeSet<PathBuf>>, from: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut next = vec![from.to_owned()];
    while let Some(file) = next.pop() {
        for other in arrows.get(&file).into_iter().flatten() {
            if found.insert(other.clone()) {
                next.push(other.clone());
            }
        }
    }
    found
}
