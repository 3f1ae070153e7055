//! Names of objects that are made for others: one rule for all. Pure.

use charttrust_verify::digest::Sha256Digest;

use crate::api::bounds::NAME;

/// The name of an object that is made for another: `before`, the other's name, `after`. Where that fills
/// the longest name, or is longer, the other's name is cut, and digits of a digest of the whole follow.
///
/// A name that was cut is as long as any can be, and one that was not is shorter: no two are the same
/// unless they are made of the same.
pub fn derived(before: &str, name: &str, after: &str) -> String {
    let whole = format!("{before}{name}{after}");
    if whole.len() < NAME {
        return whole;
    }
    let digest = Sha256Digest::of(whole.as_bytes()).to_string();
    let digits: String = digest.chars().rev().take(DIGITS).collect();
    let taken = before
        .len()
        .saturating_add(after.len())
        .saturating_add(DIGITS);
    // Names are ASCII, but this one may not be one yet.
    let cut: String = name.chars().filter(char::is_ascii).collect();
    let cut: String = cut.chars().take(NAME.saturating_sub(taken)).collect();
    // No part of a name ends with anything but a letter or digit, and digits begin no new part.
    let cut = cut.trim_end_matches(['-', '.']);
    let filler = "0".repeat(NAME.saturating_sub(taken).saturating_sub(cut.len()));
    format!("{before}{cut}{filler}{digits}{after}")
}

/// Whether the name that a derived one was made of cannot be read from it any more.
pub fn is_cut(derived: &str) -> bool {
    derived.len() >= NAME
}

/// So many digits of a digest tell names apart.
const DIGITS: usize = 32;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// As the API server sees a name.
    fn is_name(text: &str) -> bool {
        let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let is_part = |part: &str| {
            part.starts_with(is_letter)
                && part.ends_with(is_letter)
                && part.chars().all(|c| is_letter(c) || c == '-')
        };
        text.len() <= NAME && text.split('.').all(is_part)
    }

    /// The names that there can be of this length, by what stands at the place of a cut.
    fn names_of(length: usize) -> Vec<String> {
        let made_of = |part: &str| {
            part.chars()
                .cycle()
                .take(length.saturating_sub(1))
                .collect()
        };
        let ends = |made: String| format!("{made}z");
        ["a", "a-", "a.b", "a--b", "a.b-c.", "0"]
            .map(made_of)
            .map(ends)
            .to_vec()
    }

    #[test]
    fn a_derived_name_is_a_name_whatever_the_length_of_the_other() {
        for (before, after) in [
            ("", ".0123456789abcdef"),
            ("charttrust-quarantine-", ""),
            ("charttrust-quarantine--2048-", ""),
        ] {
            let mut all = BTreeSet::new();
            let mut known = BTreeSet::new();
            for length in 1..=NAME {
                for name in names_of(length).into_iter().filter(|name| is_name(name)) {
                    let derived = derived(before, &name, after);
                    assert!(is_name(&derived), "{derived}");
                    assert!(derived.starts_with(before) && derived.ends_with(after));
                    assert_eq!(is_cut(&derived), !derived.contains(&name), "{derived}");
                    all.insert(derived);
                    known.insert(name);
                }
            }
            assert_eq!(all.len(), known.len(), "no two are the same");
        }
    }

    #[test]
    fn short_names_stay_as_they_are() {
        assert_eq!(
            derived("charttrust-quarantine-", "web", ""),
            "charttrust-quarantine-web"
        );
        let longest = "a".repeat(NAME - "charttrust-quarantine-".len() - 1);
        assert!(derived("charttrust-quarantine-", &longest, "").ends_with(&longest));
    }

    proptest! {
        #[test]
        fn whatever_it_is_made_of_it_is_not_too_long(name in ".{0,300}", cut in "[a-z]{200,260}") {
            prop_assert!(derived("before-", &name, ".after").len() <= NAME || name.len() < NAME);
            let whole = derived("", &cut, ".x");
            let other = derived("", &whole, "");
            prop_assert!(whole.len() <= NAME && other.len() <= NAME);
            prop_assert!(cut.len() + 2 < NAME || other != whole);
        }
    }
}
