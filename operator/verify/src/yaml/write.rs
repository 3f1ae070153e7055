//! YAML as Helm writes it: `sigs.k8s.io/yaml` over go-yaml v2, byte for byte (`encode.go`, `emitterc.go`).
//!
//! Only what Helm signs has to be written so: mappings, lists and scalars in block style, with lines folded
//! after 80 columns. Touches nothing but the value.

use super::natural::sorted;
use super::{Value, general_f64, scalar};

/// What go-yaml does not write, or writes in a way that it does not read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unwritable {
    /// JSON, through which Helm goes, lets it pass, and go-yaml takes it for no character, or for a line end.
    #[error("the character U+{0:04X} cannot be written")]
    Character(u32),
    /// A key of a mapping that go-yaml does not find again (`scannerc.go`).
    #[error("a key longer than 1000 bytes cannot be written")]
    Key,
}

/// Writes a document.
///
/// # Errors
/// See [`Unwritable`].
pub(crate) fn write(value: &Value) -> Result<String, Unwritable> {
    check(value)?;
    let mut writer = Writer {
        text: String::new(),
        column: 0,
        is_spaced: true,
        is_indented: true,
    };
    writer.node(value, None, Place::Item);
    writer.line(0);
    Ok(writer.text)
}

fn check(value: &Value) -> Result<(), Unwritable> {
    match value {
        Value::Bool(_) | Value::Float(_) | Value::Int(_) | Value::Null => Ok(()),
        Value::List(items) => items.iter().try_for_each(check),
        Value::Map(pairs) => pairs.iter().try_for_each(|(key, value)| {
            if key.len() > LONGEST_KEY {
                return Err(Unwritable::Key);
            }
            readable(key).and_then(|()| check(value))
        }),
        Value::Text(text) => readable(text),
    }
}

/// A key has to end within 1024 characters of its beginning in the JSON between.
const LONGEST_KEY: usize = 1000;

fn readable(text: &str) -> Result<(), Unwritable> {
    let refused = |letter: &char| {
        matches!(
            letter,
            '\u{7F}'..='\u{9F}' | '\u{2028}' | '\u{2029}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}'
        )
    };
    match text.chars().find(refused) {
        Some(letter) => Err(Unwritable::Character(u32::from(letter))),
        None => Ok(()),
    }
}

/// Where a node stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the top, or in a list.
    Item,
    /// Before the colon on the same line.
    Key,
    /// Anywhere else in a mapping.
    Mapping,
}

struct Writer {
    text: String,
    /// How many characters the line has.
    column: usize,
    /// Nothing has to be put between what is there and what comes.
    is_spaced: bool,
    /// The line has nothing but indentation, and marks that count as such.
    is_indented: bool,
}

impl Writer {
    fn node(&mut self, value: &Value, indent: Option<usize>, place: Place) {
        match value {
            Value::List(items) if items.is_empty() => self.atom("[]"),
            Value::Map(pairs) if pairs.is_empty() => self.atom("{}"),
            Value::Bool(yes) => self.atom(&yes.to_string()),
            Value::Float(number) => self.atom(&general_f64(*number)),
            Value::Int(number) => self.atom(&number.to_string()),
            Value::Null => self.atom("null"),
            Value::List(items) => {
                // A list below a key stands in the key's own column.
                let is_beside = place == Place::Mapping && !self.is_indented;
                let inner = match indent {
                    Some(indent) if is_beside => indent,
                    indent => deeper(indent),
                };
                for item in items {
                    self.line(inner);
                    self.mark('-');
                    self.node(item, Some(inner), Place::Item);
                }
            }
            Value::Map(pairs) => {
                let inner = deeper(indent);
                for (key, value) in sorted(pairs) {
                    self.pair(key, value, inner);
                }
            }
            Value::Text(text) => {
                let indent = indent.map_or(INDENT, |indent| indent.saturating_add(INDENT));
                self.scalar(text, indent, place);
            }
        }
    }

    fn pair(&mut self, key: &str, value: &Value, indent: usize) {
        self.line(indent);
        if key.len() <= SIMPLE_KEY && !key.contains(is_break) {
            let inner = indent.saturating_add(INDENT);
            self.scalar(key, inner, Place::Key);
            self.put(':');
            self.is_spaced = false;
        } else {
            self.mark('?');
            let inner = indent.saturating_add(INDENT);
            self.scalar(key, inner, Place::Mapping);
            self.line(indent);
            self.mark(':');
        }
        self.node(value, Some(indent), Place::Mapping);
    }

    fn scalar(&mut self, text: &str, indent: usize, place: Place) {
        let folded = (place != Place::Key).then_some(indent);
        match style(text) {
            Style::Double => self.quoted(text, '"', folded),
            Style::Literal => self.literal(text, indent),
            Style::Plain => {
                self.space();
                self.flow(text, None, folded);
            }
            Style::Single => self.quoted(text, '\'', folded),
        }
    }

    fn quoted(&mut self, text: &str, quote: char, folded: Option<usize>) {
        self.space();
        self.put(quote);
        self.flow(text, Some(quote), folded);
        self.put(quote);
        self.is_spaced = false;
        self.is_indented = false;
    }

    /// Writes a text that is broken at a single blank where the line is long, if it may be.
    fn flow(&mut self, text: &str, quote: Option<char>, folded: Option<usize>) {
        let is_double = quote == Some('"');
        let mut letters = text.chars().peekable();
        let (mut is_first, mut after_blank) = (true, false);
        while let Some(letter) = letters.next() {
            let next = letters.peek().copied();
            let fits = self.column <= WIDTH || after_blank || is_first || next.is_none();
            match (letter, folded) {
                (' ', Some(indent)) if !fits && (is_double || next != Some(' ')) => {
                    self.line(indent);
                    if next == Some(' ') {
                        self.put('\\');
                    }
                }
                (letter, _) if is_double && has_escape(letter) => self.escape(letter),
                ('\'', _) if quote == Some('\'') => {
                    self.put('\'');
                    self.put('\'');
                }
                (letter, _) => self.put(letter),
            }
            after_blank = letter == ' ';
            is_first = false;
        }
        self.is_spaced = false;
        self.is_indented = false;
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.space();
        self.put('|');
        if text.starts_with([' ', '\n']) {
            self.put('2');
        }
        match text.strip_suffix('\n') {
            None => self.put('-'),
            Some("") => self.put('+'),
            Some(rest) if rest.ends_with('\n') => self.put('+'),
            Some(_) => {}
        }
        self.end_line();
        self.is_spaced = true;
        self.is_indented = true;
        let mut begins = true;
        for letter in text.chars() {
            if letter == '\n' {
                self.end_line();
                self.is_indented = true;
                begins = true;
                continue;
            }
            if begins {
                self.line(indent);
            }
            self.put(letter);
            self.is_indented = false;
            begins = false;
        }
    }

    fn escape(&mut self, letter: char) {
        self.put('\\');
        let short = match letter {
            '\0' => '0',
            '\u{7}' => 'a',
            '\u{8}' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\u{B}' => 'v',
            '\u{C}' => 'f',
            '\r' => 'r',
            '\u{1B}' => 'e',
            '"' | '\\' => letter,
            _ => {
                let code = u32::from(letter);
                let long = match code {
                    0..=0xFF => format!("x{code:02X}"),
                    0x100..=0xFFFF => format!("u{code:04X}"),
                    _ => format!("U{code:08X}"),
                };
                long.chars().for_each(|letter| self.put(letter));
                return;
            }
        };
        self.put(short);
    }

    /// Something short that needs no quotes.
    fn atom(&mut self, text: &str) {
        self.space();
        text.chars().for_each(|letter| self.put(letter));
        self.is_spaced = false;
        self.is_indented = false;
    }

    /// A mark that counts as indentation, where nothing but indentation is before it.
    fn mark(&mut self, mark: char) {
        self.space();
        self.put(mark);
        self.is_spaced = false;
    }

    fn space(&mut self) {
        if !self.is_spaced {
            self.put(' ');
        }
    }

    /// Goes to a column of a line that has nothing else yet.
    fn line(&mut self, indent: usize) {
        let is_taken = self.column == indent && !self.is_spaced;
        if !self.is_indented || self.column > indent || is_taken {
            self.end_line();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.is_spaced = true;
        self.is_indented = true;
    }

    fn end_line(&mut self) {
        self.text.push('\n');
        self.column = 0;
    }

    fn put(&mut self, letter: char) {
        self.text.push(letter);
        self.column = self.column.saturating_add(1);
    }
}

const INDENT: usize = 2;
/// Longest key, in bytes, that stands before its colon.
const SIMPLE_KEY: usize = 128;
const WIDTH: usize = 80;

fn deeper(indent: Option<usize>) -> usize {
    indent.map_or(0, |indent| indent.saturating_add(INDENT))
}

enum Style {
    Double,
    Literal,
    Plain,
    Single,
}

fn style(text: &str) -> Style {
    let is_special = !text.chars().all(is_printable);
    let ends_in_blanks = text.contains(" \n") || text.ends_with(' ');
    if text.contains('\n') && !is_special && !ends_in_blanks {
        Style::Literal
    } else if text.contains('\n') || is_special || !scalar::is_text(text) {
        Style::Double
    } else if text.starts_with(' ') || text.ends_with(' ') || has_indicator(text) {
        Style::Single
    } else {
        Style::Plain
    }
}

/// Whether something in a plain text would be read as the beginning of something else.
fn has_indicator(text: &str) -> bool {
    if text.starts_with("---") || text.starts_with("...") {
        return true;
    }
    let mut letters = text.chars().peekable();
    let mut before = None;
    while let Some(letter) = letters.next() {
        let ends = letters.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
        let begins = before.is_none_or(|before| before == ' ');
        let is_one = match letter {
            ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
            | '`' => before.is_none(),
            '#' => begins,
            ':' => ends,
            '-' | '?' => before.is_none() && ends,
            _ => false,
        };
        if is_one {
            return true;
        }
        before = Some(letter);
    }
    false
}

/// What stands as it is, by go-yaml; what it does not read at all was refused before.
fn is_printable(letter: char) -> bool {
    matches!(letter, '\n' | ' '..='~' | '\u{A0}'..='\u{FFFD}')
}

fn has_escape(letter: char) -> bool {
    !is_printable(letter) || matches!(letter, '\n' | '"' | '\\')
}

fn is_break(letter: char) -> bool {
    matches!(letter, '\n' | '\r')
}
