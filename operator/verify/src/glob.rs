//! Globs: `*` is any run of characters, `?` is one.

use wildmatch::WildMatch;

/// A glob: `*` is any run of characters, `?` is one.
#[derive(Clone, Debug)]
pub struct Pattern(WildMatch);

impl Pattern {
    /// A glob from its text.
    pub fn new(text: &str) -> Self {
        Self(WildMatch::new(text))
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        self.0.matches(text)
    }
}
