//! What the audience sees. Colour only on a terminal, and never against `NO_COLOR`.

use std::io::IsTerminal;

/// Standard output, dressed for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    is_coloured: bool,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            is_coloured: std::io::stdout().is_terminal() && !is_refused,
        }
    }

    /// Begins a part of the story.
    pub(crate) fn heading(self, text: &str) {
        let line = "─".repeat(WIDTH.saturating_sub(text.chars().count() + 4));
        println!("\n{}", self.dressed(BOLD, &format!("── {text} {line}")));
    }

    /// Tells something, in a paragraph of its own.
    #[expect(
        clippy::unused_self,
        reason = "the screen is spoken to alike, dressed or not"
    )]
    pub(crate) fn say(self, text: &str) {
        println!("\n{}", text.trim_end());
    }

    /// Shows a command as it is typed.
    pub(crate) fn command(self, line: &str) {
        println!("\n{}", self.dressed(CYAN, &format!("$ {line}")));
    }

    /// Shows what a command said.
    #[expect(
        clippy::unused_self,
        reason = "the screen is spoken to alike, dressed or not"
    )]
    pub(crate) fn output(self, text: &str) {
        let text = text.trim_end();
        if !text.is_empty() {
            println!("{text}");
        }
    }

    fn dressed(self, code: &str, text: &str) -> String {
        if self.is_coloured {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

const BOLD: &str = "1";
const CYAN: &str = "36";
const WIDTH: usize = 96;
