//! What commands print: foreign text made harmless, and tables.

use std::fmt::{self, Write as _};

use charttrust_verify::finding::is_deceptive;
use clap::ValueEnum;
use serde::Serialize;

/// For programs.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Format {
    /// As JSON.
    Json,
    /// As YAML.
    Yaml,
}

impl Format {
    /// A value in this form; what could deceive on a terminal is escaped.
    ///
    /// # Errors
    /// If the value cannot be written so.
    pub(super) fn write(self, value: &impl Serialize) -> std::io::Result<String> {
        let value = serde_json::to_value(value)?;
        match self {
            Self::Json => Ok(escaped(&serde_json::to_string_pretty(&value)?) + "\n"),
            Self::Yaml => {
                let text = serde_saphyr::to_string(&value).map_err(std::io::Error::other)?;
                // JSON is YAML too, and knows escapes everywhere.
                let is_clear = text.split('\n').all(|line| !line.chars().any(is_deceptive));
                if is_clear {
                    Ok(text)
                } else {
                    Self::Json.write(&value)
                }
            }
        }
    }
}

/// The same JSON, in which only line ends and visible characters stand as they are.
fn escaped(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        if character == '\n' || !is_deceptive(character) {
            shown.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    shown
}

/// Text that others wrote, fit for a terminal: what could move the cursor, hide or reorder anything
/// is shown as `\u{…}`.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_deceptive(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Prints to standard output. Whoever closes the pipe has read enough, and is no failure.
///
/// # Errors
/// If the text is lost otherwise, such as on a full disk.
pub(super) fn say(text: &str) -> std::io::Result<()> {
    put(text.as_bytes())
}

/// The same of what is no text.
///
/// # Errors
/// As [`say`].
pub(super) fn put(bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let printed = out.write_all(bytes).and_then(|()| out.flush());
    printed.or_else(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    })
}

/// Prints to standard output what was done already: nothing that happens to the text stops what follows.
pub(super) fn note(text: &str) {
    say(text).unwrap_or_default();
}

/// Prints to standard error. If nobody hears it, the exit code still tells; `eprintln!` would panic.
pub(super) fn tell(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stderr().lock();
    out.write_all(text.as_bytes()).unwrap_or_default();
    out.flush().unwrap_or_default();
}

/// Rows under headings, in columns as kubectl prints them.
#[derive(Debug)]
pub(super) struct Table(Vec<Vec<String>>);

impl Table {
    /// A table without rows yet.
    pub(super) fn new(headings: &[&str]) -> Self {
        Self(vec![headings.iter().map(ToString::to_string).collect()])
    }

    /// Adds a row of foreign text.
    pub(super) fn add<const N: usize>(&mut self, cells: [&str; N]) {
        self.0.push(cells.map(plain).into());
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        };
        (0..columns).map(width).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for row in &self.0 {
            let cells = row.iter().zip(&widths);
            let cells: Vec<_> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            writeln!(f, "{}", cells.join("   ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_move_the_cursor_or_hide() {
        assert_eq!(
            plain("a\u{1b}[31mb\r\nc\u{202e}d\u{200b}\u{feff}é 漢"),
            "a\\u{1b}[31mb\\u{d}\\u{a}c\\u{202e}d\\u{200b}\\u{feff}é 漢"
        );
    }

    #[test]
    fn what_programs_read_cannot_deceive_a_terminal_and_is_the_same() {
        let value = serde_json::json!({"message": "a\u{9b}b\u{202e}\u{e0041}\né", "since": "2026"});
        for format in [Format::Json, Format::Yaml] {
            let text = format.write(&value).unwrap();
            let mut shown = text.chars().filter(|character| *character != '\n');
            assert!(!shown.any(is_deceptive), "{text:?}");
            let read: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
            assert_eq!(read, value);
        }
        let plain = Format::Yaml.write(&serde_json::json!({"reason": "Unsigned"}));
        assert_eq!(plain.unwrap(), "reason: Unsigned\n");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAMESPACE", "RELEASE", "DETAIL"]);
        table.add(["shop", "a-long-release", ""]);
        table.add(["shöp\n", "b", "x"]);
        let lines = [
            "NAMESPACE   RELEASE          DETAIL",
            "shop        a-long-release",
            "shöp\\u{a}   b                x",
            "",
        ];
        assert_eq!(table.to_string(), lines.join("\n"));
    }
}
