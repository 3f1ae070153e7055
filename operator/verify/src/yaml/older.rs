//! What YAML 1.1, as go-yaml v2 reads it (`scannerc.go`), takes otherwise than YAML 1.2: a text with it is not read at
//! all rather than differently.

use granit_parser::{Event, ScalarStyle, Span, StructureStyle};

/// Where in a text the parser is.
pub(super) struct Older<'a> {
    text: &'a str,
    /// Collections in brackets or braces that are open, and all in them.
    flows: usize,
    has_tabs: bool,
}

impl<'a> Older<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            flows: 0,
            has_tabs: text.contains('\t'),
        }
    }

    /// Whether the older reader takes what the event is about for the same.
    pub(super) fn agrees(&mut self, event: &Event<'_>, span: &Span) -> bool {
        match event {
            Event::SequenceStart(style, ..) | Event::MappingStart(style, ..) => {
                let agrees = self.flows > 0 || !self.is_behind_tab(span);
                if self.flows > 0 || *style == StructureStyle::Flow {
                    self.flows = self.flows.saturating_add(1);
                }
                agrees
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.flows = self.flows.saturating_sub(1);
                true
            }
            Event::Scalar(text, style, ..) if self.flows > 0 => {
                *style != ScalarStyle::Plain || !self.ends_otherwise(text, span)
            }
            // What is not there has no place.
            Event::Scalar(text, ScalarStyle::Plain, ..) if text.is_empty() => true,
            Event::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded, ..) => {
                !self.is_behind_tab(span) && !self.is_indented_by_tab(span)
            }
            Event::Scalar(..) | Event::Alias(_) => self.flows > 0 || !self.is_behind_tab(span),
            _ => true,
        }
    }

    /// In brackets and braces a question mark ends a plain text, a colon at its beginning is no part of it, and one at
    /// its end is, whatever follows.
    fn ends_otherwise(&self, plain: &str, span: &Span) -> bool {
        let end = span.end.byte_offset();
        let rest = end.and_then(|end| self.text.get(end..)).unwrap_or_default();
        let behind = rest.strip_prefix(':').filter(|_| !plain.is_empty());
        let is_key = behind.is_some_and(|behind| behind.starts_with([',', '[', ']', '{', '}']));
        plain.contains('?') || plain.starts_with(':') || is_key
    }

    /// A tab before the first text of a line, where a key could stand.
    fn is_behind_tab(&self, span: &Span) -> bool {
        if !self.has_tabs {
            return false;
        }
        let start = span.start.byte_offset();
        let before = start
            .and_then(|start| self.text.get(..start))
            .unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        let is_blank = |letter: char| [' ', '\t', '-', '?', ':'].contains(&letter);
        line.contains('\t') && line.chars().all(is_blank)
    }

    /// A tab in the indentation of a text of lines, before it is known how deep that is.
    fn is_indented_by_tab(&self, span: &Span) -> bool {
        if !self.has_tabs {
            return false;
        }
        let start = span.start.byte_offset().unwrap_or_default();
        let text = self.text;
        let marks = ['|', '>'];
        // Where it begins, or before its first line, whichever the parser tells.
        let here = text
            .get(start..)
            .is_some_and(|rest| rest.starts_with(marks));
        let before = || text.get(..start).and_then(|before| before.rfind(marks));
        let head = if here { Some(start) } else { before() };
        let rest = head.and_then(|at| text.get(at..)).unwrap_or_default();
        let mut lines = rest.lines();
        let head = lines.next().unwrap_or_default();
        let indicators = head.split(' ').next().unwrap_or_default();
        if indicators.contains(|letter: char| letter.is_ascii_digit()) {
            return false;
        }
        let mut lines = lines.map(|line| line.trim_start_matches(' '));
        let first = lines.find(|line| !line.is_empty());
        first.is_some_and(|line| line.starts_with('\t'))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Reading, YamlError, document};
    use crate::limits::YamlLimits;

    /// Each as go-yaml has it under `sigs.k8s.io/yaml` 1.6.0: what it reads otherwise, or not at all.
    #[test]
    fn what_the_older_reader_takes_otherwise_is_not_read() {
        for text in [
            "{a:, b: c}",
            "{b: c, a:}",
            "{a: b:}",
            "{a: [b:]}",
            "{a: b?c}",
            "{a?b: c}",
            "{a: [b?c]}",
            "{a: :b}",
            "{:a: b}",
            "{a: ?b}",
            "a:\n \tb: c",
            "a:\n\tb: c",
            "a:\n   \tb",
            "\ta: b",
            "a:\n  ? \tb\n  : c",
            "a:\n -\tb",
            "a:\n \t{b: c}",
            "a:\n \t'b'",
            "a: |\n   \tb",
            "a: >-\n\n  \tb",
        ] {
            let read = document(text, Reading::AsHelm, &YamlLimits::default());
            assert_eq!(read, Err(YamlError::Syntax), "{text:?}");
        }
    }

    #[test]
    fn what_both_take_for_the_same_is_read() {
        for text in [
            "{\"a\":b}",
            "{'a': ,b: c}",
            "{a : b}",
            "{a: b#c, http://a: http://b}",
            "{\n\ta: b}",
            "{a: b,\t\tc: d}",
            "{a: \"b?\", c: '?'}",
            "a:\tb",
            "a: \tb",
            "a: \t{b: c}",
            "a: x\n \ty",
            "a: 'x\n \t y'",
            "a: b?c",
            "a: |\n  b\n  \tc",
            "a: |\n  b\tc",
            "a:\nb: c",
        ] {
            let read = document(text, Reading::AsHelm, &YamlLimits::default());
            assert!(read.is_ok(), "{text:?}: {read:?}");
        }
    }
}
