//! What a registry says when it has no manifest.

use serde::Deserialize;

/// What a 404 for a manifest means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotThere {
    /// The registry knows the repository, and says that it has no such manifest.
    Manifest,
    /// Anything else: the repository may be private, or somewhere in between something is wrong.
    Unclear,
}

impl NotThere {
    /// Reads the body of a 404. Only the word of the specification counts, and nothing beside it.
    pub(super) fn of(body: &[u8]) -> Self {
        let Ok(Body { errors }) = serde_json::from_slice(body) else {
            return Self::Unclear;
        };
        let is_of_manifest = |error: &Word| error.code == "MANIFEST_UNKNOWN";
        if !errors.is_empty() && errors.iter().all(is_of_manifest) {
            Self::Manifest
        } else {
            Self::Unclear
        }
    }
}

#[derive(Deserialize)]
struct Body {
    errors: Vec<Word>,
}

#[derive(Deserialize)]
struct Word {
    code: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_registrys_own_word_says_that_a_manifest_is_not_there() {
        for (body, expected) in [
            (
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"1"}}]}"#,
                NotThere::Manifest,
            ),
            (r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#, NotThere::Unclear),
            (
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN"},{"code":"DENIED"}]}"#,
                NotThere::Unclear,
            ),
            // Harbor: of a project that one may not see as well.
            (
                r#"{"errors":[{"code":"NOT_FOUND","message":"artifact not found"}]}"#,
                NotThere::Unclear,
            ),
            (r#"{"errors":[]}"#, NotThere::Unclear),
            (r#"{"errors":null}"#, NotThere::Unclear),
            ("MANIFEST_UNKNOWN", NotThere::Unclear),
            ("<html>404</html>", NotThere::Unclear),
            ("", NotThere::Unclear),
        ] {
            assert_eq!(NotThere::of(body.as_bytes()), expected, "{body}");
        }
    }
}
