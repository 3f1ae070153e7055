//! The objects that a manifest lists.

use crate::chart::folds;
use crate::limits::{RecordLimits, YamlLimits};
use crate::yaml::{self, Reading, Value, YamlError};

use super::error::RecordError;
use super::field::{get, text};
use super::mark::{self, HelmReleaseMark};

/// An object of a manifest: where to look for it in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ManifestObject {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace, if the manifest names one; otherwise that of the release, if the kind has any.
    pub namespace: Option<String>,
    /// Name, or its beginning if `generated`.
    pub name: String,
    /// The object has a `generateName` only.
    pub generated: bool,
}

/// What a manifest contains.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    pub(super) objects: Vec<ManifestObject>,
    pub(super) stopped: Vec<ManifestObject>,
    pub(super) unread: usize,
    /// The first mark of Flux: it gives all objects the same.
    pub(super) mark: HelmReleaseMark,
}

/// Lists the objects of a manifest; what is none is counted.
///
/// # Errors
/// Fails if there are too many.
pub(super) fn objects(text: &str, limits: &RecordLimits) -> Result<Manifest, RecordError> {
    let mut manifest = Manifest::default();
    for document in documents(text) {
        if !matches!(manifest.mark, HelmReleaseMark::Of(_)) {
            let mark = mark::of(document, &limits.yaml);
            manifest.mark = std::mem::take(&mut manifest.mark).or(mark);
        }
        match quick(document) {
            Quick::Blank => {}
            Quick::Object(object) => {
                if may_be_stopped(document) && is_stopped_in(document, &limits.yaml) {
                    manifest.stopped.push(object.clone());
                }
                manifest.objects.push(object);
            }
            Quick::Unsure => manifest.read(document, &limits.yaml),
        }
        if manifest.objects.len().saturating_add(manifest.unread) > limits.objects {
            let limit = limits.objects;
            return Err(RecordError::TooLarge {
                what: "number of objects",
                limit,
            });
        }
    }
    Ok(manifest)
}

impl Manifest {
    /// Parses a document in full.
    fn read(&mut self, document: &str, limits: &YamlLimits) {
        match yaml::document(document, Reading::AsHelm, limits) {
            Ok(Value::Null) => {}
            Ok(value) => self.add(&value, None),
            Err(
                YamlError::NotJson | YamlError::NotPlain | YamlError::Syntax | YamlError::TooLarge,
            ) => {
                self.count_unread();
            }
        }
    }

    /// Whatever has `items` is a list for Helm, of whatever kind it says that it is, and so are items of
    /// items (`resource.Builder.Flatten`): a Deployment inside a `ConfigMap` is installed.
    fn add(&mut self, value: &Value, list: Option<&Value>) {
        if let Some(items) = items(value) {
            return items.iter().for_each(|item| self.add(item, Some(value)));
        }
        match object(value, list) {
            Some(object) => {
                if is_stopped(value) {
                    self.stopped.push(object.clone());
                }
                self.objects.push(object);
            }
            None => self.count_unread(),
        }
    }

    fn count_unread(&mut self) {
        self.unread = self.unread.saturating_add(1);
    }
}

/// A glance for what [`is_stopped`] would find, because most documents have nothing of it.
fn may_be_stopped(document: &str) -> bool {
    let says = |(key, value): (&str, &str)| {
        document.match_indices(key).any(|(at, _)| {
            let rest = document.get(at..).unwrap_or_default();
            let rest = rest.trim_start_matches(key);
            let rest = rest.trim_start_matches(['"', '\'', ' ']);
            rest.strip_prefix(':')
                .is_some_and(|rest| rest.trim_start().starts_with(value))
        })
    };
    [("replicas", "0"), ("suspend", "true")]
        .into_iter()
        .any(says)
}

fn is_stopped_in(document: &str, limits: &YamlLimits) -> bool {
    yaml::document(document, Reading::AsHelm, limits).is_ok_and(|value| is_stopped(&value))
}

/// Whether an object itself says that it runs nothing.
fn is_stopped(value: &Value) -> bool {
    let of_spec = |key| get(get(value, "spec")?, key);
    matches!(of_spec("replicas"), Some(Value::Int(0)))
        || matches!(of_spec("suspend"), Some(Value::Bool(true)))
}

/// The items of a list. Go's decoder, which looks for them, takes the key in any case.
fn items(value: &Value) -> Option<&[Value]> {
    let Value::Map(pairs) = value else {
        return None;
    };
    let found = pairs.iter().find_map(|(key, value)| match value {
        Value::List(items) if folds(key, "items") => Some(items),
        _ => None,
    });
    found.map(Vec::as_slice)
}

/// An item that says neither kind nor version is of the kind that the list names (`PodList`).
fn object(value: &Value, list: Option<&Value>) -> Option<ManifestObject> {
    let metadata = get(value, "metadata")?;
    let name = text(metadata, "name").filter(|name| !name.is_empty());
    let said = |key| text(value, key).filter(|text| !text.is_empty());
    let (api_version, kind) = match (said("apiVersion"), said("kind"), list) {
        (None, None, Some(list)) => {
            let kind = text(list, "kind")?;
            let kind = kind.strip_suffix("List").unwrap_or(kind);
            (text(list, "apiVersion")?, kind)
        }
        (api_version, kind, _) => (api_version?, kind?),
    };
    Some(ManifestObject {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: text(metadata, "namespace")
            .filter(|text| !text.is_empty())
            .map(str::to_owned),
        name: name.or_else(|| text(metadata, "generateName"))?.to_owned(),
        generated: name.is_none(),
    })
}

/// Splits at `(?m)^---[ \t]*`, as Helm does: text right behind the dashes belongs to the document.
fn documents(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        let current = current
            .strip_prefix("---")
            .map_or(current, |current| current.trim_start_matches([' ', '\t']));
        let Some(end) = current.find("\n---") else {
            rest = None;
            return Some(current);
        };
        let (document, after) = current.split_at_checked(end)?;
        rest = after.get(1..);
        Some(document)
    })
}

/// What a glance at a document tells.
enum Quick {
    Blank,
    Object(ManifestObject),
    /// The document has to be parsed.
    Unsure,
}

/// Finds the object of a document in ordinary block style without parsing all of it.
///
/// Only plain `key: value` lines at the left margin and at the margin of `metadata` count. If one
/// of the wanted keys is there twice, or anything there looks unusual, the answer is
/// [`Quick::Unsure`]; so a quoted text over several lines can hide no key and pretend none.
fn quick(document: &str) -> Quick {
    let mut glance = Glance::default();
    for line in document.lines() {
        if glance.line(line).is_none() {
            return Quick::Unsure;
        }
    }
    glance.finish()
}

#[derive(Default)]
struct Glance<'a> {
    any: bool,
    /// The key at the left margin whose value the lines belong to.
    section: Section,
    /// Spaces before the keys of `metadata`, once known.
    margin: Option<usize>,
    api_version: Option<&'a str>,
    kind: Option<&'a str>,
    metadata: bool,
    name: Option<&'a str>,
    generate_name: Option<&'a str>,
    namespace: Option<&'a str>,
    /// The last key of `metadata`.
    last: Option<&'a str>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Section {
    #[default]
    None,
    /// A key with a value on its line, which must not continue.
    Closed,
    Metadata,
    Other,
}

impl<'a> Glance<'a> {
    /// Takes a line; `None` if it is unusual.
    fn line(&mut self, line: &'a str) -> Option<()> {
        let content = line.trim_start_matches(' ');
        if content.trim_end().is_empty() || content.starts_with('#') {
            return Some(());
        }
        self.any = true;
        match line.len().saturating_sub(content.len()) {
            0 => self.top(line),
            indent => self.nested(indent, content),
        }
    }

    fn top(&mut self, line: &'a str) -> Option<()> {
        if line.starts_with("- ") {
            return (self.section == Section::Other).then_some(());
        }
        let (key, value) = pair(line)?;
        if folds(key, "items") {
            return None;
        }
        self.section = match key {
            "apiVersion" => once(&mut self.api_version, value)?,
            "kind" => once(&mut self.kind, value)?,
            "metadata" if self.metadata || !value.is_empty() => return None,
            "metadata" => {
                self.metadata = true;
                Section::Metadata
            }
            _ => Section::Other,
        };
        Some(())
    }

    fn nested(&mut self, indent: usize, content: &'a str) -> Option<()> {
        match self.section {
            Section::None | Section::Closed => return None,
            Section::Other => return Some(()),
            Section::Metadata => {}
        }
        let margin = *self.margin.get_or_insert(indent);
        if indent > margin {
            // Below the name, this would continue it.
            return (!self.after_wanted()).then_some(());
        }
        if indent < margin {
            return None;
        }
        let (key, value) = pair(content)?;
        self.last = Some(key);
        match key {
            "name" => once(&mut self.name, value).map(drop),
            "generateName" => once(&mut self.generate_name, value).map(drop),
            "namespace" => once(&mut self.namespace, value).map(drop),
            _ => Some(()),
        }
    }

    fn after_wanted(&self) -> bool {
        matches!(self.last, Some("name" | "generateName" | "namespace"))
    }

    fn finish(self) -> Quick {
        if !self.any {
            return Quick::Blank;
        }
        let (Some(api_version), Some(kind), Some(name)) = (
            self.api_version,
            self.kind,
            self.name.or(self.generate_name),
        ) else {
            return Quick::Unsure;
        };
        if kind == "List" {
            return Quick::Unsure;
        }
        Quick::Object(ManifestObject {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: self.namespace.map(str::to_owned),
            name: name.to_owned(),
            generated: self.name.is_none(),
        })
    }
}

/// Splits `key: value` with a plain key.
fn pair(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.trim_end().split_once(':')?;
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/' | b'-' | b'_');
    let is_key = key
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic());
    let separated = value.is_empty() || value.starts_with(' ');
    (is_key && separated && key.bytes().all(plain)).then(|| (key, value.trim_start()))
}

/// Sets a value that must be there once and be a plain or simply quoted text.
fn once<'a>(target: &mut Option<&'a str>, value: &'a str) -> Option<Section> {
    let quoted = |mark: char| value.strip_prefix(mark)?.strip_suffix(mark);
    let inner = quoted('"').or_else(|| quoted('\''));
    let text = inner.unwrap_or(value);
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/' | b'-' | b'_');
    if text.is_empty() || !text.bytes().all(plain) || target.is_some() {
        return None;
    }
    // A plain text that could be a number, a boolean or null is left to the parser.
    if inner.is_none() && !is_plain_text(text) {
        return None;
    }
    *target = Some(text);
    Some(Section::Closed)
}

fn is_plain_text(text: &str) -> bool {
    let letter = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic());
    let reserved = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    letter && !reserved.iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(document: &str) -> Vec<ManifestObject> {
        let mut manifest = Manifest::default();
        manifest.read(document, &RecordLimits::default().yaml);
        manifest.objects
    }

    #[test]
    fn ordinary_documents_are_read_at_a_glance_and_rightly() {
        for document in [
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n",
            "# c\n\nkind: Pod\napiVersion: apps/v1 \nmetadata:\n  # c\n  name: a.b-c_d\n  namespace: ns\n",
            "metadata:\n    labels:\n        name: x\n    name: 'a'\nkind: \"Pod\"\napiVersion: v1\n",
            "apiVersion: v1\nkind: Pod\nmetadata:\n  generateName: g-\nspec:\n- name: x\n  y: z\n",
            "apiVersion: v1\nkind: Pod\nmetadata:\n  generateName: g-\n  name: \"1\"\ndata: x\n",
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels:\n    x: y\nspec:\n  name: b\n",
        ] {
            let Quick::Object(object) = quick(document) else {
                panic!("{document}")
            };
            assert_eq!(vec![object], full(document), "{document}");
        }
    }

    #[test]
    fn unusual_documents_are_left_to_the_parser() {
        const HEAD: &str = "apiVersion: v1\nkind: Pod\n";
        for rest in [
            "",
            "metadata:\n",
            "metadata: {name: a}\n",
            "metadata:\n  name: a\nmetadata:\n  name: b\n",
            "metadata:\n  name: a\nmetadata:\n  labels:\n",
            "metadata: &a\n  name: a\n",
            "metadata:\n  name: a\n  name: b\n",
            "metadata:\n  generateName: a\n  generateName: b\n",
            "metadata:\n  namespace: a\n  namespace: b\n  name: c\n",
            "metadata:\n  name: a\nkind: Job\n",
            "metadata:\n  name: a\napiVersion: v2\n",
            "metadata:\n  name: a\n    b\n",
            "metadata:\n  name: a\n  namespace: b\n    c\n",
            "metadata:\n  generateName: a\n    b\n",
            "metadata:\n    name: a\n  b: c\n",
            "metadata:\n  name: a\n- b\n",
            "- a\nmetadata:\n  name: a\n",
            "  Job\nmetadata:\n  name: a\n",
            "metadata:\n  name: 1\n",
            "metadata:\n  name: null\n",
            "metadata:\n  name: No\n",
            "metadata:\n  name: \"\"\n",
            "metadata:\n  name: a b\n",
            "metadata:\n  name: \"a\\tb\"\n",
            "metadata:\n  name:a\n",
            "metadata:\n  name: a\n'b': c\n",
            "metadata:\n  name: a\n1: c\n",
            "metadata:\n  name: a\nb c: d\n",
            "metadata:\n  name: a\n<<: b\n",
        ] {
            let document = format!("{HEAD}{rest}");
            assert!(matches!(quick(&document), Quick::Unsure), "{document}");
        }
        for document in [
            "kind: Pod\nmetadata:\n  name: a\n",
            "apiVersion: v1\nmetadata:\n  name: a\n",
            "apiVersion: v1\nkind: List\nmetadata:\n  name: a\n",
            "  apiVersion: v1\n",
        ] {
            assert!(matches!(quick(document), Quick::Unsure), "{document}");
        }
    }

    #[test]
    fn documents_of_nothing_but_comments_are_blank() {
        for document in ["", "\n", "  \t\n", "# c\n  # d\n"] {
            assert!(matches!(quick(document), Quick::Blank), "{document:?}");
        }
    }

    #[test]
    fn empty_names_are_none() {
        let document =
            "{apiVersion: v1, kind: Pod, metadata: {name: '', generateName: g-, namespace: ''}}";
        let object = full(document).remove(0);
        assert_eq!((object.name.as_str(), object.generated), ("g-", true));
        assert_eq!(object.namespace, None);
        let document = "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: ns}}";
        assert_eq!(full(document)[0].namespace.as_deref(), Some("ns"));
    }

    #[test]
    fn whatever_has_items_is_a_list_as_it_is_for_helm() {
        let names = |text: &str| {
            let found = objects(text, &RecordLimits::default()).unwrap();
            assert_eq!(found.unread, 0, "{text}");
            let name = |object: &ManifestObject| {
                format!("{} {} {}", object.api_version, object.kind, object.name)
            };
            found.objects.iter().map(name).collect::<Vec<_>>()
        };
        let web = "apiVersion: apps/v1, kind: Deployment, metadata: {name: web}";
        for list in [
            format!("apiVersion: v1\nkind: List\nitems:\n- {{{web}}}\n"),
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\nitems:\n- {{{web}}}\n"),
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\nITEMS:\n- {{{web}}}\n"),
            format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\nitem\u{17f}:\n- {{{web}}}\n"
            ),
            format!("{{apiVersion: v1, kind: List, items: [{{kind: Any, items: [{{{web}}}]}}]}}"),
            "apiVersion: apps/v1\nkind: DeploymentList\nitems:\n- metadata:\n    name: web\n"
                .to_owned(),
        ] {
            assert_eq!(names(&list), ["apps/v1 Deployment web"], "{list}");
        }
        let inside = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n  items: y\n";
        assert_eq!(names(inside), ["v1 ConfigMap x"]);
    }

    #[test]
    fn the_mark_of_flux_is_found_among_the_labels_of_an_object_alone() {
        const HEAD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n";
        let marked = |text: &str| {
            let found = objects(text, &RecordLimits::default()).unwrap();
            match found.mark {
                HelmReleaseMark::Of(mark) => Some((mark.namespace, mark.name)),
                HelmReleaseMark::None => None,
                HelmReleaseMark::Unclear => Some(("unclear".to_owned(), String::new())),
            }
        };
        let labels = |at: &str, name: &str| {
            format!(
                "{HEAD}{at}labels:\n{at}  helm.toolkit.fluxcd.io/name: {name}\n\
                 {at}  helm.toolkit.fluxcd.io/namespace: flux\n"
            )
        };
        let found = Some(("flux".to_owned(), "web".to_owned()));
        let plain = format!("{HEAD}data:\n  x: y\n");
        assert_eq!(marked(&labels("  ", "web")), found);
        assert_eq!(
            marked(&format!("{plain}---\n{}", labels("  ", "web"))),
            found
        );
        assert_eq!(
            marked(&labels("  ", "\"123\"")),
            Some(("flux".to_owned(), "123".to_owned()))
        );
        for other in [
            plain,
            labels("", "web"),
            labels("  ", "\"\""),
            labels("  ", &"a".repeat(64)),
            labels("  ", "[web]"),
            format!(
                "{HEAD}data:\n  x: |\n    helm.toolkit.fluxcd.io/name: web\n    helm.toolkit.fluxcd.io/namespace: flux\n"
            ),
            format!("{HEAD}  labels:\n    helm.toolkit.fluxcd.io/name: web\n"),
        ] {
            assert_eq!(marked(&other), None, "{other}");
        }
        // Whoever writes the chart chooses how deep and how large its objects are.
        let depth = RecordLimits::default().yaml.depth;
        let nodes = RecordLimits::default().yaml.nodes;
        let unclear = Some(("unclear".to_owned(), String::new()));
        for hidden in [
            format!("spec: {}{}\n", "{a: ".repeat(depth), "}".repeat(depth)),
            format!("spec:\n{}", "- a\n".repeat(nodes)),
        ] {
            let hiding = |labels: String| format!("{labels}{hidden}");
            let large = hiding(labels("  ", "web"));
            assert_eq!(marked(&large), unclear);
            assert_eq!(
                marked(&format!("{large}---\n{}", labels("  ", "web"))),
                found
            );
            assert_eq!(marked(&hiding(HEAD.to_owned())), None);
        }
    }

    #[test]
    fn what_runs_nothing_by_its_own_words_is_known() {
        const HEAD: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: a\n";
        let stopped = |rest: &str| {
            let found = objects(&format!("{HEAD}{rest}"), &RecordLimits::default()).unwrap();
            assert_eq!(found.objects.len(), 1, "{rest}");
            found.stopped.len()
        };
        for rest in [
            "spec:\n  replicas: 0\n",
            "spec:\n  suspend: true\n",
            "spec: {replicas: 0}\n",
            "spec: {\"replicas\": 0}\n",
            "spec:\n  x: replicas\n  replicas:  0 # off\n",
        ] {
            assert_eq!(stopped(rest), 1, "{rest}");
        }
        for rest in [
            "",
            "spec:\n  replicas: 3\n",
            "spec:\n  replicas: 01\n",
            "spec:\n  suspend: false\n",
            "spec:\n  template:\n    replicas: 0\n",
            "data:\n  replicas: 0\n",
            "# replicas: 0\n",
        ] {
            assert_eq!(stopped(rest), 0, "{rest}");
        }
        let list = "kind: List\napiVersion: v1\nitems:\n- {apiVersion: apps/v1, kind: Deployment, \
                    metadata: {name: a}, spec: {replicas: 0}}\n";
        let found = objects(list, &RecordLimits::default()).unwrap();
        assert_eq!(found.stopped, found.objects);
    }
}
