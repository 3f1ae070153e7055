//! Patterns of subjects and refs: what stands in for a run of characters cannot reach into another's
//! name.

use std::fmt;
use std::str::FromStr;

use super::limits;

/// A pattern: `*` is any run of characters but `/` and `@`, `**` any but `@`; all else is itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

/// A [`Pattern`] of subjects, in which whose they are stands literally: scheme, host and first path
/// segment of an address, and of an e-mail all from `@` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPattern(Pattern);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Is(char),
    /// Any run that does not cross `/` or `@`.
    Star,
    /// Any run that does not cross `@`.
    Stars,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing matches it.
    #[error("an empty pattern matches nobody")]
    Empty,
    /// Neither an address nor an e-mail.
    #[error(
        "a pattern of subjects is an address such as `https://github.com/example/**` or an e-mail such \
         as `*@example.com`"
    )]
    NoSubject,
    /// More stars than mean something.
    #[error("`***` is no pattern: use `*` within a path segment, or `**` across segments")]
    Stars,
    /// Longer than any subject.
    #[error("the pattern is longer than {limit} bytes")]
    TooLong {
        /// Most bytes.
        limit: usize,
    },
    /// A star reaches into whose the subject is.
    #[error(
        "scheme, host and first path segment stand before the first `*`, and of an e-mail all from `@` \
         on has none: others could take a name that matches"
    )]
    WideOpen,
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let limit = limits::PATTERN_BYTES;
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > limit {
            return Err(PatternError::TooLong { limit });
        }
        if text.contains("***") {
            return Err(PatternError::Stars);
        }
        let mut parts = Vec::new();
        for character in text.chars() {
            let part = match character {
                '*' if parts.last() == Some(&Part::Star) => {
                    parts.pop();
                    Part::Stars
                }
                '*' => Part::Star,
                other => Part::Is(other),
            };
            parts.push(part);
        }
        let text = text.to_owned();
        Ok(Self { text, parts })
    }
}

impl Pattern {
    /// Whether the whole text matches. Takes a step for each character of both, whatever they are.
    pub fn matches(&self, text: &str) -> bool {
        if text.len() > limits::FACT_BYTES {
            return false;
        }
        // Which parts may come next, the place behind the last one included.
        let mut open: Vec<bool> = vec![false; self.parts.len().saturating_add(1)];
        if let Some(first) = open.first_mut() {
            *first = true;
        }
        self.skip_runs(&mut open);
        for character in text.chars() {
            let mut next = vec![false; open.len()];
            for (at, part) in self.parts.iter().enumerate() {
                if !open.get(at).is_some_and(|is_open| *is_open) {
                    continue;
                }
                let to = match part {
                    Part::Is(wanted) => (*wanted == character).then(|| at.saturating_add(1)),
                    Part::Star => (!['/', '@'].contains(&character)).then_some(at),
                    Part::Stars => (character != '@').then_some(at),
                };
                if let Some(place) = to.and_then(|to| next.get_mut(to)) {
                    *place = true;
                }
            }
            self.skip_runs(&mut next);
            open = next;
        }
        open.last().is_some_and(|is_open| *is_open)
    }

    /// A run may be empty.
    fn skip_runs(&self, open: &mut [bool]) {
        for (at, part) in self.parts.iter().enumerate() {
            let is_run = matches!(part, Part::Star | Part::Stars);
            let is_open = open.get(at).is_some_and(|is_open| *is_open);
            if let Some(next) = open.get_mut(at.saturating_add(1)) {
                *next |= is_run && is_open;
            }
        }
    }
}

impl FromStr for SubjectPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let pattern: Pattern = text.parse()?;
        let literal = text.split('*').next().unwrap_or_default();
        let is_literal = if let Some((scheme, _)) = text.split_once("://") {
            is_scheme(scheme) && names_owner(literal)
        } else {
            let Some((_, domain)) = text.split_once('@') else {
                return Err(PatternError::NoSubject);
            };
            !domain.is_empty() && !domain.contains(['*', '@', '/'])
        };
        if is_literal {
            Ok(Self(pattern))
        } else {
            Err(PatternError::WideOpen)
        }
    }
}

impl SubjectPattern {
    /// Whether the whole subject matches.
    pub fn matches(&self, subject: &str) -> bool {
        self.0.matches(subject)
    }
}

/// `https`, and not a host that a `@` or a `/` has led there.
fn is_scheme(text: &str) -> bool {
    let is_of_scheme = |c: char| c.is_ascii_alphanumeric() || ['+', '-', '.'].contains(&c);
    !text.is_empty() && text.chars().all(is_of_scheme)
}

/// Whether what stands before the first star is `scheme://host/segment/`, or the whole pattern is literal.
fn names_owner(literal: &str) -> bool {
    let rest = literal.split_once("://").map(|(_, rest)| rest);
    let parts = rest.and_then(|rest| rest.split_once('/'));
    let Some((host, path)) = parts else {
        return false;
    };
    let segment = path.split_once('/').map(|(segment, _)| segment);
    !host.is_empty() && segment.is_some_and(|segment| !segment.is_empty())
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for SubjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(text)
    }

    #[test]
    fn a_star_stays_within_a_segment_and_no_run_crosses_the_at_sign() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "A", false),
            ("a", "ab", false),
            ("*", "", true),
            ("*", "abc", true),
            ("*", "a/b", false),
            ("*", "a@b", false),
            ("**", "a/b", true),
            ("**", "a@b", false),
            ("a*c", "abbc", true),
            ("a*c", "ab/c", false),
            ("a**c", "ab/c", true),
            ("refs/tags/v*", "refs/tags/v1.2.3", true),
            ("refs/tags/v*", "refs/tags/v1/evil", false),
            ("refs/tags/v*", "refs/heads/v1", false),
            ("a?c", "abc", false),
            ("*b*b", "abab", true),
            ("*b*b", "aba", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn whose_a_subject_is_stands_literally() {
        let wide = Err(PatternError::WideOpen);
        for (text, expected) in [
            ("https://github.com/example/**", Ok(())),
            (
                "https://github.com/example/*/.github/workflows/release.yml@refs/tags/v*",
                Ok(()),
            ),
            (
                "https://github.com/example/charts/.github/workflows/release.yml@refs/heads/main",
                Ok(()),
            ),
            ("spiffe://cluster.local/ns/*/sa/release", Ok(())),
            ("*@example.com", Ok(())),
            ("release-*@example.com", Ok(())),
            ("https://github.com/example*/**", wide.clone()),
            ("https://github.com/*/charts", wide.clone()),
            ("https://github.com/**", wide.clone()),
            ("https://github.com//**", wide.clone()),
            ("https://*.example.com/a/b", wide.clone()),
            ("https:///example/**", wide.clone()),
            ("*://github.com/example/**", wide.clone()),
            ("http*://github.com/example/**", wide.clone()),
            ("*@*.example.com", wide.clone()),
            ("*@example.*", wide.clone()),
            ("*@", wide.clone()),
            ("a@b@example.com", wide.clone()),
            ("a@b/https://github.com/example/**", wide),
            ("example", Err(PatternError::NoSubject)),
            ("**", Err(PatternError::NoSubject)),
            ("", Err(PatternError::Empty)),
            ("https://github.com/example/***", Err(PatternError::Stars)),
        ] {
            assert_eq!(
                text.parse::<SubjectPattern>().map(|_| ()),
                expected,
                "{text}"
            );
        }
        let limit = limits::PATTERN_BYTES;
        let at = |length: usize| "a".repeat(length).parse::<Pattern>().map(|_| ());
        assert_eq!(at(limit), Ok(()));
        assert_eq!(at(limit + 1), Err(PatternError::TooLong { limit }));
    }

    #[test]
    fn a_name_that_only_begins_alike_is_anothers() {
        let pattern: SubjectPattern =
            "https://github.com/example/*/.github/workflows/release.yml@refs/tags/v*"
                .parse()
                .unwrap();
        let of = |owner: &str, repository: &str, rest: &str| {
            pattern.matches(&format!(
                "https://github.com/{owner}/{repository}/.github/workflows/{rest}"
            ))
        };
        assert!(of("example", "charts", "release.yml@refs/tags/v1"));
        for (owner, repository, rest) in [
            ("example-evil", "charts", "release.yml@refs/tags/v1"),
            ("Example", "charts", "release.yml@refs/tags/v1"),
            ("example", "charts/evil", "release.yml@refs/tags/v1"),
            ("example", "charts", "evil.yml@refs/tags/v1"),
            ("example", "charts", "release.yml@refs/heads/v1"),
            ("example", "charts", "release.yml@refs/tags/v1@refs/tags/v1"),
            ("example", "a@b", "release.yml@refs/tags/v1"),
        ] {
            assert!(!of(owner, repository, rest), "{owner} {repository} {rest}");
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_characters() {
        let pattern: Pattern = "*a".repeat(limits::PATTERN_BYTES / 2).parse().unwrap();
        let text = "a".repeat(limits::FACT_BYTES - 1) + "b";
        assert!(!pattern.matches(&text));
        assert!(!pattern.matches(&"a".repeat(limits::FACT_BYTES + 1)));
    }

    proptest! {
        #[test]
        fn it_is_what_the_rules_say(pattern in "[ab/@*]{1,8}", text in "[ab/@]{0,8}") {
            prop_assume!(!pattern.contains("***"));
            prop_assert_eq!(matches(&pattern, &text), by_the_rules(pattern.as_bytes(), text.as_bytes()));
        }
    }

    /// The same as a recursion: slow, and plain.
    fn by_the_rules(pattern: &[u8], text: &[u8]) -> bool {
        let run = |rest: &[u8], forbidden: &[u8]| {
            let reach = text
                .iter()
                .take_while(|byte| !forbidden.contains(byte))
                .count();
            (0..=reach).any(|length| by_the_rules(rest, &text[length..]))
        };
        match (pattern, text) {
            ([], []) => true,
            ([b'*', b'*', rest @ ..], _) => run(rest, b"@"),
            ([b'*', rest @ ..], _) => run(rest, b"/@"),
            ([wanted, rest @ ..], [found, others @ ..]) => {
                wanted == found && by_the_rules(rest, others)
            }
            _ => false,
        }
    }
}
