//! Our readers beside those of Helm and GnuPG, on many inputs: whatever we read, they read as the same. Where we read
//! less, the classes of it are told, and `docs/fuzzing.md` says why.
//!
//! `READERS=10` tries ten times as many.

mod archives;
mod charts;
mod constraints;
mod signatures;
mod statements;

use std::collections::BTreeMap;

/// So many times as many inputs as usual.
fn times(usual: usize) -> usize {
    let times = std::env::var("READERS").ok();
    times
        .and_then(|times| times.parse::<usize>().ok())
        .unwrap_or(1)
        * usual
}

/// How often something was told.
#[derive(Default)]
struct Tally(BTreeMap<String, usize>);

impl Tally {
    fn count(&mut self, word: impl Into<String>) {
        *self.0.entry(word.into()).or_default() += 1;
    }

    fn of(&self, word: &str) -> usize {
        self.0.get(word).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (word, count) in &self.0 {
            writeln!(f, "{count:>9}  {word}")?;
        }
        Ok(())
    }
}
