//! Helm's `sanitizeString` (`pkg/chart/v2/metadata.go`) and the tolerance that different Unicode
//! versions need.

use super::since_14::SINCE_14;
use unicode_general_category::{GeneralCategory, get_general_category};

/// Replaces every Unicode space by `' '` and removes what Go does not call printable.
pub(crate) fn sanitize(text: &mut String) {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return;
    }
    *text = text.chars().filter_map(sanitize_char).collect();
}

fn sanitize_char(letter: char) -> Option<char> {
    // Go's `unicode.IsSpace` and this agree on every character up to Unicode 16.
    if letter.is_whitespace() {
        return Some(' ');
    }
    (!is_other(letter)).then_some(letter)
}

/// Removes what a writer with another Unicode version may have kept or removed: the categories C*
/// and all characters that Unicode 13 did not know.
pub(crate) fn remove_unstable(text: &mut String) {
    text.retain(|letter| !is_other(letter) && !is_newer_than_13(letter));
}

fn is_other(letter: char) -> bool {
    use GeneralCategory::{Control, Format, PrivateUse, Surrogate, Unassigned};
    matches!(
        get_general_category(letter),
        Control | Format | PrivateUse | Surrogate | Unassigned
    )
}

fn is_newer_than_13(letter: char) -> bool {
    let letter = u32::from(letter);
    SINCE_14
        .binary_search_by(|(first, last)| {
            if *last < letter {
                std::cmp::Ordering::Less
            } else if *first > letter {
                std::cmp::Ordering::Greater
            } else {
                std::cmp::Ordering::Equal
            }
        })
        .is_ok()
}
