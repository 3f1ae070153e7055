//! HTML that foreign text cannot break out of: markup is written by us, at compile time, and everything else
//! is escaped. Touches nothing.

use crate::cli::coverage::Standing;
use crate::cli::screen::plain;

/// A page that grows.
#[derive(Debug, Default)]
pub(super) struct Page(String);

/// What stands in a cell of a table, whoever wrote it.
#[derive(Debug)]
pub(super) enum Cell {
    /// Digests and other text that programs compare.
    Code(String),
    /// A date.
    Date(String),
    /// Names, one below the other.
    Names(Vec<String>),
    /// A sentence; what stands between backticks is code.
    Prose(String),
    /// Plain text.
    Text(String),
    /// A verdict.
    Verdict(Standing, String),
}

impl Page {
    /// Markup of ours.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, whoever wrote it; fit for the value of an attribute too.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for character in plain(text).chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        self
    }

    /// A number.
    pub(super) fn number(&mut self, number: impl std::fmt::Display) -> &mut Self {
        self.text(&number.to_string())
    }

    /// A sentence, in which code stands between backticks.
    pub(super) fn prose(&mut self, text: &str) -> &mut Self {
        let parts: Vec<_> = text.split('`').collect();
        // A backtick without another is only that.
        if parts.len() % 2 == 0 {
            return self.text(text);
        }
        for (place, part) in parts.into_iter().enumerate() {
            if place % 2 == 0 {
                self.text(part);
            } else {
                self.raw("<code>").text(part).raw("</code>");
            }
        }
        self
    }

    /// Text within an element of ours.
    pub(super) fn within(
        &mut self,
        (open, close): (&'static str, &'static str),
        text: &str,
    ) -> &mut Self {
        self.raw(open).text(text).raw(close)
    }

    /// A table under headings, each row of which can be read alone where the screen is narrow. Without rows it
    /// is nothing.
    pub(super) fn table(&mut self, caption: &str, heads: &[&'static str], rows: Vec<Vec<Cell>>) {
        if rows.is_empty() {
            return;
        }
        self.raw("<table><caption>")
            .text(caption)
            .raw("</caption><thead><tr>");
        for head in heads {
            self.within(("<th scope=\"col\">", "</th>"), head);
        }
        self.raw("</tr></thead><tbody>\n");
        for row in rows {
            self.raw("<tr>");
            for (cell, head) in row.into_iter().zip(heads) {
                self.raw("<td data-head=\"").text(head).raw("\" class=\"");
                self.raw(cell.class()).raw("\">");
                self.cell(cell);
                self.raw("</td>");
            }
            self.raw("</tr>\n");
        }
        self.raw("</tbody></table>\n");
    }

    fn cell(&mut self, cell: Cell) {
        match cell {
            Cell::Code(text) => {
                self.within(("<code>", "</code>"), &text);
            }
            Cell::Names(names) => {
                for name in names {
                    self.within(("<span class=\"name\">", "</span>"), &name);
                }
            }
            Cell::Prose(text) => {
                self.prose(&text);
            }
            Cell::Date(text) | Cell::Text(text) => {
                self.text(&text);
            }
            Cell::Verdict(standing, word) => self.badge(standing, &word),
        }
    }

    /// A verdict, which shows without colours too.
    pub(super) fn badge(&mut self, standing: Standing, word: &str) {
        self.raw("<span class=\"badge ")
            .raw(class(standing))
            .raw("\">");
        self.text(word).raw("</span>");
    }

    /// The page as it is.
    pub(super) fn written(self) -> String {
        self.0
    }
}

impl Cell {
    /// How its text may be broken: dates never, and within a word only where that is too long for a column.
    fn class(&self) -> &'static str {
        let is_long = |text: &String| {
            text.split_whitespace()
                .any(|word| word.chars().count() > LONG)
        };
        match self {
            Self::Date(_) => "date",
            Self::Names(names) if names.iter().any(is_long) => "long",
            Self::Code(text) | Self::Prose(text) | Self::Text(text) if is_long(text) => "long",
            Self::Code(_) | Self::Names(_) | Self::Prose(_) | Self::Text(_) | Self::Verdict(..) => {
                ""
            }
        }
    }
}

/// Letters of a long word.
const LONG: usize = 40;

/// The class that gives a verdict its colour.
pub(super) fn class(standing: Standing) -> &'static str {
    match standing {
        Standing::Exempt => "exempt",
        Standing::Trusted => "trusted",
        Standing::Unknown => "unknown",
        Standing::Unmanaged => "unmanaged",
        Standing::Untrusted => "untrusted",
    }
}

/// The day of an instant, in UTC.
pub(super) fn day(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// A number with its noun.
pub(super) fn many(number: usize, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    }
}

/// An instant as people read it, in UTC.
pub(super) fn day_and_time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_no_markup() {
        let mut page = Page::default();
        page.text("<script>\"'&\u{202e}\n")
            .prose("a `<b>` c")
            .prose("one ` <i>");
        assert_eq!(
            page.written(),
            "&lt;script&gt;&quot;&#39;&amp;\\u{202e}\\u{a}a <code>&lt;b&gt;</code> cone ` &lt;i&gt;"
        );
    }

    #[test]
    fn a_table_without_rows_is_nothing_and_each_cell_names_its_column() {
        let mut page = Page::default();
        page.table("nothing", &["A"], Vec::new());
        assert_eq!(page.0, "");
        let row = vec![
            Cell::Text("<a>".to_owned()),
            Cell::Verdict(Standing::Untrusted, "<b>".to_owned()),
            Cell::Names(vec!["<c>".to_owned()]),
            Cell::Code("<d>".to_owned()),
        ];
        page.table("<t>", &["One", "Two", "Three", "Four"], vec![row]);
        let text = page.written();
        for part in [
            "<caption>&lt;t&gt;</caption>",
            "<td data-head=\"One\" class=\"\">&lt;a&gt;</td>",
            "<span class=\"badge untrusted\">&lt;b&gt;</span>",
            "<span class=\"name\">&lt;c&gt;</span>",
            "<code>&lt;d&gt;</code>",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
