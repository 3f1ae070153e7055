//! Builds a [`Value`] out of parser events, within a budget and without recursion.

use std::collections::{BTreeMap, HashMap};

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use super::older::Older;
use super::scalar::resolve;
use super::{Value, YamlError, general_f32};
use crate::limits::YamlLimits;

/// How forgiving the reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As Helm reads: the last of repeated keys wins, anchors and tags count.
    AsHelm,
    /// Anchors, aliases, tags and repeated keys are refused.
    Plain,
}

/// Reads the first document of `text`; what follows it is not looked at, as in Helm.
///
/// # Errors
/// Fails if the document is not YAML, contains line breaks that only YAML 1.1 knows, has no JSON form, or costs more than `limits`.
pub(crate) fn document(
    text: &str,
    reading: Reading,
    limits: &YamlLimits,
) -> Result<Value, YamlError> {
    // NEL, LS and PS end a line in YAML 1.1 and not in 1.2: the two would see different keys.
    if !text.is_ascii() && text.contains(OLD_BREAKS) {
        return Err(YamlError::Syntax);
    }
    let (mut builder, mut older) = (Builder::new(reading, *limits), Older::new(text));
    for event in Parser::new_from_str_with_options(text, options(limits)) {
        let (event, span) = event.map_err(|_| YamlError::Syntax)?;
        if !older.agrees(&event, &span) {
            return Err(YamlError::Syntax);
        }
        // Helm reads the first document of a Chart.yaml and no more (`yaml.Unmarshal`).
        if matches!(event, Event::DocumentEnd) {
            break;
        }
        builder.take(event)?;
    }
    Ok(builder.root.unwrap_or(Value::Null))
}

fn options(limits: &YamlLimits) -> granit_parser::Options {
    granit_parser::options! {
        // As libyaml, from which go-yaml v2 was translated.
        block_scalar_eof_without_line_feed: true,
        bom_inside_document_as_content: true,
        emit_comments: false,
        flow_nesting_limit: limits.depth,
        block_nesting_limit: limits.depth,
    }
}

struct Builder {
    reading: Reading,
    limits: YamlLimits,
    nodes: usize,
    scalar_bytes: usize,
    open: Vec<Open>,
    anchors: HashMap<usize, Value>,
    root: Option<Value>,
}

/// A sequence or mapping whose end has not been seen.
struct Open {
    anchor: usize,
    node: Node,
}

enum Node {
    List(Vec<Value>),
    Map {
        pairs: BTreeMap<String, Value>,
        key: Key,
    },
}

/// What the next value in a mapping is.
enum Key {
    Awaited,
    Merge,
    Named(String),
}

impl Builder {
    fn new(reading: Reading, limits: YamlLimits) -> Self {
        let anchors = HashMap::new();
        Self {
            reading,
            limits,
            nodes: 0,
            scalar_bytes: 0,
            open: Vec::new(),
            anchors,
            root: None,
        }
    }

    fn take(&mut self, event: Event<'_>) -> Result<(), YamlError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(text.into_owned(), style, anchor, tag.as_deref())
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.start(anchor, tag.as_deref(), Node::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                let node = Node::Map {
                    pairs: BTreeMap::new(),
                    key: Key::Awaited,
                };
                self.start(anchor, tag.as_deref(), node)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor),
            Event::UnresolvedAlias(_) => Err(YamlError::Syntax),
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: String,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
    ) -> Result<(), YamlError> {
        self.check_plain(anchor, tag)?;
        self.spend(1, text.len())?;
        let tag = tag.map(short).unwrap_or_default();
        let plain = style == ScalarStyle::Plain && tag.is_empty();
        // go-yaml v2 `isMerge`.
        // A quoted "<<" is a key like any other, in go-yaml as well.
        if text == "<<" && (plain || tag == "!!merge") && self.at_key() {
            return self.set_key(Key::Merge);
        }
        let value = if plain || !(tag.is_empty() || tag == "!") {
            resolve(&tag, text)?
        } else {
            Value::Text(text)
        };
        self.place(anchor, value)
    }

    fn start(&mut self, anchor: usize, tag: Option<&Tag>, node: Node) -> Result<(), YamlError> {
        self.check_plain(anchor, tag)?;
        self.spend(1, 0)?;
        if self.open.len() >= self.limits.depth {
            return Err(YamlError::TooLarge);
        }
        self.open.push(Open { anchor, node });
        Ok(())
    }

    fn end(&mut self) -> Result<(), YamlError> {
        let Open { anchor, node } = self.open.pop().ok_or(YamlError::Syntax)?;
        let value = match node {
            Node::List(items) => Value::List(items),
            Node::Map { pairs, .. } => Value::Map(pairs.into_iter().collect()),
        };
        self.place(anchor, value)
    }

    fn alias(&mut self, anchor: usize) -> Result<(), YamlError> {
        // An anchor that is still open contains itself, which go-yaml refuses, too.
        let value = self.anchors.get(&anchor).ok_or(YamlError::NotJson)?;
        // Paid again at each use: nine aliases of nine aliases (the "billion laughs") cost what
        // they unfold to, before they do.
        let (nodes, bytes, depth) = cost(value);
        if self.open.len().saturating_add(depth) > self.limits.depth {
            return Err(YamlError::TooLarge);
        }
        let value = value.clone();
        self.spend(nodes, bytes)?;
        self.place(0, value)
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, anchor: usize, value: Value) -> Result<(), YamlError> {
        if anchor != 0 {
            let (nodes, bytes, _) = cost(&value);
            self.spend(nodes, bytes)?;
            self.anchors.insert(anchor, value.clone());
        }
        let reading = self.reading;
        let Some(open) = self.open.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        match &mut open.node {
            Node::List(items) => items.push(value),
            Node::Map { pairs, key } => match std::mem::replace(key, Key::Awaited) {
                Key::Awaited => *key = Key::Named(key_text(value)?),
                Key::Merge => merge(pairs, value)?,
                Key::Named(name) => {
                    // go-yaml v2 takes the last of repeated keys where Helm does not ask for
                    // strictness; in a signed text the first would be what a person reads.
                    if pairs.insert(name, value).is_some() && reading == Reading::Plain {
                        return Err(YamlError::NotPlain);
                    }
                }
            },
        }
        Ok(())
    }

    fn at_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open {
                node: Node::Map {
                    key: Key::Awaited,
                    ..
                },
                ..
            })
        )
    }

    fn set_key(&mut self, next: Key) -> Result<(), YamlError> {
        if self.reading == Reading::Plain {
            return Err(YamlError::NotPlain);
        }
        if let Some(Open {
            node: Node::Map { key, .. },
            ..
        }) = self.open.last_mut()
        {
            *key = next;
        }
        Ok(())
    }

    fn check_plain(&self, anchor: usize, tag: Option<&Tag>) -> Result<(), YamlError> {
        if self.reading == Reading::Plain && (anchor != 0 || tag.is_some()) {
            Err(YamlError::NotPlain)
        } else {
            Ok(())
        }
    }

    fn spend(&mut self, nodes: usize, bytes: usize) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        self.scalar_bytes = self.scalar_bytes.saturating_add(bytes);
        if self.nodes > self.limits.nodes || self.scalar_bytes > self.limits.scalar_bytes {
            Err(YamlError::TooLarge)
        } else {
            Ok(())
        }
    }
}

/// Merges as go-yaml v2 `merge` does: in place, so that a later key wins, and an earlier item of a
/// list of mappings over a later one.
fn merge(pairs: &mut BTreeMap<String, Value>, value: Value) -> Result<(), YamlError> {
    match value {
        Value::Map(map) => pairs.extend(map),
        Value::List(items) => {
            for item in items.into_iter().rev() {
                let Value::Map(map) = item else {
                    return Err(YamlError::NotJson);
                };
                pairs.extend(map);
            }
        }
        _ => return Err(YamlError::NotJson),
    }
    Ok(())
}

/// Writes a key as `sigs.k8s.io/yaml` does (`convertToJSONableObject`).
fn key_text(value: Value) -> Result<String, YamlError> {
    match value {
        Value::Text(text) => Ok(text),
        // A key beyond 64 bits is an error in `convertToJSONableObject`, not a text.
        Value::Int(number) if i64::try_from(number).is_ok() => Ok(number.to_string()),
        Value::Float(number) => Ok(match general_f32(number).as_str() {
            "+Inf" => ".inf".to_owned(),
            "-Inf" => "-.inf".to_owned(),
            "NaN" => ".nan".to_owned(),
            text => text.to_owned(),
        }),
        Value::Bool(yes) => Ok(yes.to_string()),
        Value::Null | Value::Int(_) | Value::List(_) | Value::Map(_) => Err(YamlError::NotJson),
    }
}

/// Counts values, bytes of text and depth.
pub(super) fn cost(value: &Value) -> (usize, usize, usize) {
    let sum = |children: &mut dyn Iterator<Item = (usize, usize, usize)>| {
        children.fold((1, 0, 0_usize), |all: (usize, usize, usize), one| {
            (
                all.0.saturating_add(one.0),
                all.1.saturating_add(one.1),
                all.2.max(one.2),
            )
        })
    };
    let (nodes, bytes, depth) = match value {
        Value::Text(text) => return (1, text.len(), 0),
        Value::List(items) => sum(&mut items.iter().map(cost)),
        Value::Map(pairs) => sum(&mut pairs.iter().map(|(key, value)| {
            let (nodes, bytes, depth) = cost(value);
            (
                nodes.saturating_add(1),
                bytes.saturating_add(key.len()),
                depth,
            )
        })),
        _ => return (1, 0, 0),
    };
    (nodes, bytes, depth.saturating_add(1))
}

/// Writes a tag as go-yaml does: `!!int` for `tag:yaml.org,2002:int`.
fn short(tag: &Tag) -> String {
    let full = format!("{}{}", tag.handle(), tag.suffix());
    match full.strip_prefix("tag:yaml.org,2002:") {
        Some(name) => format!("!!{name}"),
        None => full,
    }
}

/// Next line, line separator and paragraph separator end a line for go-yaml, but not for the parser
/// used here; what contains them is not read at all rather than differently.
const OLD_BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Value, YamlError> {
        document(text, Reading::AsHelm, &YamlLimits::default())
    }

    fn map(pairs: &[(&str, Value)]) -> Value {
        Value::Map(
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect(),
        )
    }

    #[test]
    fn keys_are_converted_sorted_and_the_last_one_wins() {
        let value = read("n: 1\n2: 2\nb: 3\nb: 4\n1.5: 5\n").unwrap();
        let ints = [("1.5", 5), ("2", 2), ("b", 4), ("false", 1)];
        assert_eq!(
            value,
            map(&ints.map(|(key, number)| (key, Value::Int(number))))
        );
    }

    #[test]
    fn only_the_first_document_is_read() {
        assert_eq!(read("a: 1\n---\n{{{\n"), Ok(map(&[("a", Value::Int(1))])));
        assert_eq!(read("# nothing\n"), Ok(Value::Null));
        assert_eq!(read(""), Ok(Value::Null));
        assert_eq!(read("---\n...\n"), Ok(Value::Null));
    }

    #[test]
    fn merge_keys_and_aliases_are_followed() {
        let value = read("p: &x {a: 1, b: 2}\nq: {a: 0, <<: *x, b: 3}\nr: *x\n").unwrap();
        let Value::Map(pairs) = value else { panic!() };
        let q = map(&[("a", Value::Int(1)), ("b", Value::Int(3))]);
        assert_eq!(pairs[1], ("q".to_owned(), q));
        assert_eq!(pairs[0].1, pairs[2].1);
    }

    #[test]
    fn line_breaks_of_yaml_1_1_are_refused() {
        for text in ["a: \u{2028}", "a: b\u{2029}c", "a: 'b\u{85}'"] {
            assert_eq!(read(text), Err(YamlError::Syntax));
        }
    }

    #[test]
    fn quoted_merge_key_is_an_ordinary_key() {
        assert_eq!(read("'<<': 1\n"), Ok(map(&[("<<", Value::Int(1))])));
    }

    #[test]
    fn quoted_scalars_are_texts() {
        let value = Value::Text("yes".to_owned());
        assert_eq!(read("a: 'yes'\n"), Ok(map(&[("a", value.clone())])));
        assert_eq!(read("a: ! yes\n"), Ok(map(&[("a", value)])));
    }

    #[test]
    fn null_list_and_map_keys_are_refused() {
        assert_eq!(read("~: 1\n"), Err(YamlError::NotJson));
        assert_eq!(read("[a]: 1\n"), Err(YamlError::NotJson));
    }

    #[test]
    fn anchors_aliases_tags_and_repeated_keys_are_refused_in_plain_reading() {
        for text in [
            "a: &x 1\n",
            "a: !!str 1\n",
            "a: 1\na: 2\n",
            "<<: {a: 1}\n",
            "a: &x {}\n",
            "a: &x [1]\n",
            "a: !!map {}\n",
            "a: !!seq []\n",
        ] {
            let value = document(text, Reading::Plain, &YamlLimits::default());
            assert_eq!(value, Err(YamlError::NotPlain), "{text}");
        }
    }

    #[test]
    fn depth_is_limited_at_n_and_n_plus_1() {
        let limits = YamlLimits::default();
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(limits.depth)).is_ok());
        assert!(read(&nested(limits.depth + 1)).is_err());
        assert!(read(&nested(100_000)).is_err());
        let block = |depth: usize| {
            (0..depth)
                .map(|level| " ".repeat(level) + "a:\n")
                .collect::<String>()
        };
        assert!(read(&block(limits.depth)).is_ok());
        assert!(read(&block(limits.depth + 1)).is_err());
    }

    #[test]
    fn nodes_and_text_are_limited_at_n_and_n_plus_1() {
        let limits = YamlLimits {
            nodes: 4,
            scalar_bytes: 6,
            ..YamlLimits::default()
        };
        let read = |text: &str| document(text, Reading::AsHelm, &limits);
        assert!(read("[1, 2, 3]").is_ok());
        assert_eq!(read("[1, 2, 3, 4]"), Err(YamlError::TooLarge));
        assert!(read("abcdef").is_ok());
        assert_eq!(read("abcdefg"), Err(YamlError::TooLarge));
    }

    #[test]
    fn aliases_cost_the_depth_and_text_of_what_they_stand_for() {
        let read = |text: &str, depth: usize, scalar_bytes: usize| {
            let limits = YamlLimits {
                depth,
                scalar_bytes,
                ..YamlLimits::default()
            };
            document(text, Reading::AsHelm, &limits)
        };
        let deep = "{a: &a [[[1]]], b: [[*a]]}";
        assert!(read(deep, 6, 100).is_ok());
        assert_eq!(read(deep, 5, 100), Err(YamlError::TooLarge));
        // Two keys, and three times the text: as it stands, for the anchor, for the alias.
        let long = "{a: &a abcde, b: *a}";
        assert!(read(long, 2, 17).is_ok());
        assert_eq!(read(long, 2, 16), Err(YamlError::TooLarge));
    }

    #[test]
    fn alias_bomb_is_stopped_by_the_budget() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let line = format!("*a{}, ", level - 1).repeat(9);
            bomb = format!("{bomb}a{level}: &a{level} [{line}]\n");
        }
        assert_eq!(read(&bomb), Err(YamlError::TooLarge));
    }

    #[test]
    fn block_text_at_the_end_of_the_file_gets_no_line_feed() {
        assert_eq!(
            read("a: |\n  x"),
            Ok(map(&[("a", Value::Text("x".to_owned()))]))
        );
    }
}
