//! What a token is asked for.

use std::fmt;

/// The right to read one repository, and nothing else.
///
/// What a registry says in its challenge is not asked for: it could name more. Some registries answer 403 to
/// a token of another scope, so that a scope is part of what tokens are kept by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope(String);

impl Scope {
    /// To read the repository of this name.
    pub(super) fn pull(repository: &str) -> Self {
        Self(format!("repository:{repository}:pull"))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
