//! Globs and other short texts.

use charttrust_verify::policy::{Pattern, ReleasePattern};

use super::Problems;

/// Globs of chart names.
pub(super) fn chart_globs(path: &str, globs: &[String], problems: &mut Problems) -> Vec<Pattern> {
    problems.expect_some(path, globs, "glob of chart names, for example \"shop-*\"");
    for (index, glob) in globs.iter().enumerate() {
        if !is_glob(glob) {
            problems.add(
                format!("{path}[{index}]"),
                "is no glob of chart names, as \"shop-*\" is",
            );
        }
    }
    globs.iter().map(|glob| Pattern::new(glob)).collect()
}

/// Globs of `name` or `namespace/name`.
pub(super) fn release_globs(
    path: &str,
    globs: &[String],
    problems: &mut Problems,
) -> Vec<ReleasePattern> {
    problems.expect_some(path, globs, "glob of releases, for example \"shop/*\"");
    for (index, glob) in globs.iter().enumerate() {
        let (namespace, name) = glob.split_once('/').unwrap_or(("*", glob));
        if !is_glob(namespace) || !is_glob(name) {
            let message = "is no glob of name or namespace/name, as \"shop/*\" is";
            problems.add(format!("{path}[{index}]"), message);
        }
    }
    globs.iter().map(|glob| ReleasePattern::new(glob)).collect()
}

fn is_glob(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::super::problem::Problem;
    use super::*;

    fn problems_of(globs: &[&str]) -> Vec<Problem> {
        let globs: Vec<_> = globs.iter().map(ToString::to_string).collect();
        let mut problems = Problems::default();
        release_globs("releases", &globs, &mut problems);
        problems.into_vec()
    }

    #[test]
    fn a_glob_names_a_release_or_a_namespace_and_a_release() {
        assert_eq!(
            problems_of(&["*", "shop-?", "shop/*", "*/payments", "argocd.shop"]),
            []
        );
    }

    #[test]
    fn what_can_match_no_release_is_refused() {
        for glob in ["", "/", "shop/", "/payments", "a/b/c", "a b"] {
            assert_eq!(problems_of(&[glob]).len(), 1, "{glob}");
        }
        assert_eq!(problems_of(&[])[0].path, "releases");
    }
}
