//! What is wrong with an object, field by field.

use std::fmt::{self, Display};

/// One field that cannot be used, and what to do about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The field, for example `spec.rules[2].versions`.
    pub path: String,
    /// What is wrong, and the next step.
    pub message: String,
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// Notes what is wrong with a field.
    pub(super) fn add(&mut self, path: impl Into<String>, message: impl Display) {
        self.0.push(Problem {
            path: path.into(),
            message: message.to_string(),
        });
    }

    /// The value, or a note of why there is none.
    pub(super) fn take<T, E: Display>(&mut self, path: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(path, error)).ok()
    }

    /// Notes the names that occur more than once.
    pub(super) fn expect_unique<'a>(
        &mut self,
        path: &str,
        names: impl IntoIterator<Item = &'a str>,
    ) {
        let mut seen = std::collections::BTreeSet::new();
        for (index, name) in names.into_iter().enumerate() {
            if !seen.insert(name) {
                let message = format!("{name:?} is taken, give each a name of its own");
                self.add(format!("{path}[{index}].name"), message);
            }
        }
    }

    /// Notes a list that must have entries and has none.
    pub(super) fn expect_some<T>(&mut self, path: &str, list: &[T], what: &str) {
        if list.is_empty() {
            self.add(path, format_args!("is empty, name at least one {what}"));
        }
    }

    /// Those found so far.
    pub(super) fn found(&self) -> &[Problem] {
        &self.0
    }

    /// All of them.
    pub(super) fn into_vec(self) -> Vec<Problem> {
        self.0
    }

    /// All of them in one line; `None` if there are none.
    pub(super) fn summary(problems: &[Problem]) -> Option<String> {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        (!lines.is_empty()).then(|| lines.join("; "))
    }
}
