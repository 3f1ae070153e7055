//! How far something is that takes long, for whoever sits before a terminal. Writes to standard error only.

use std::io::{IsTerminal as _, Stderr, Write};

/// One line that is written over, and gone at the end. Without a terminal nothing is written: logs are no place for it.
#[derive(Debug)]
pub(super) struct Progress<W: Write = Stderr> {
    out: Option<W>,
    /// How many columns are written.
    width: usize,
}

impl Progress {
    /// On standard error, if that is a terminal.
    pub(super) fn new() -> Self {
        let error = std::io::stderr();
        let is_seen = error.is_terminal();
        Self::on(is_seen.then_some(error))
    }
}

impl<W: Write> Progress<W> {
    fn on(out: Option<W>) -> Self {
        Self { out, width: 0 }
    }

    /// Makes room for what is said on a line of its own.
    pub(super) fn clear(&mut self) {
        if self.width > 0 {
            self.tell("");
            if let Some(out) = &mut self.out {
                write!(out, "\r").unwrap_or_default();
                out.flush().unwrap_or_default();
            }
        }
    }

    /// How far it is, in place of what was told before. The text is our own.
    pub(super) fn tell(&mut self, text: &str) {
        let width = self.width;
        if let Some(out) = &mut self.out {
            // Blanks in place of codes: a terminal need not know any.
            write!(out, "\r{text:width$}").unwrap_or_default();
            out.flush().unwrap_or_default();
            self.width = text.chars().count();
        }
    }
}

impl<W: Write> Drop for Progress<W> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_over_and_gone_at_the_end() {
        let mut seen = Vec::new();
        {
            let mut progress = Progress::on(Some(&mut seen));
            progress.tell("500 of 1000");
            progress.tell("done");
        }
        let seen = String::from_utf8(seen).unwrap();
        assert_eq!(seen, "\r500 of 1000\rdone       \r    \r");
    }

    #[test]
    fn what_is_never_told_leaves_nothing() {
        let mut seen = Vec::new();
        drop(Progress::on(Some(&mut seen)));
        assert!(seen.is_empty());
        Progress::<Vec<u8>>::on(None).tell("500 of 1000");
    }
}
