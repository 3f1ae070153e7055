//! Foreign text made fit for a status: escaped, bounded, without secrets.

use std::fmt::Write;

use reqwest::Url;

/// Escapes what a terminal or a reader could be deceived by, and cuts long text.
pub(super) fn escaped(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars() {
        if shown.len() >= LONGEST {
            shown.push_str("...");
            break;
        }
        push_escaped(&mut shown, letter);
    }
    shown
}

/// A URL without user information, query and fragment.
pub(super) fn redacted(url: &Url) -> String {
    let mut plain = url.clone();
    // Both fail only for URLs that cannot have user information at all.
    let _ = plain.set_username("");
    let _ = plain.set_password(None);
    plain.set_query(None);
    plain.set_fragment(None);
    escaped(plain.as_str())
}

fn push_escaped(shown: &mut String, letter: char) {
    if letter.is_control() || deceives(letter) {
        // Writing to a `String` cannot fail.
        let _ = write!(shown, "\\u{{{:x}}}", u32::from(letter));
    } else {
        shown.push(letter);
    }
}

/// Invisible characters and those that change the direction of text.
fn deceives(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Bytes of one piece of foreign text in a message.
const LONGEST: usize = 240;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_direction_characters_are_escaped() {
        assert_eq!(
            escaped("a\u{1b}[31m\u{202e}b\n\0"),
            "a\\u{1b}[31m\\u{202e}b\\u{a}\\u{0}"
        );
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(escaped(&"x".repeat(240)).len(), 240);
        assert_eq!(escaped(&"x".repeat(241)), format!("{}...", "x".repeat(240)));
        assert!(escaped(&"\u{202e}".repeat(10_000)).len() < 260);
    }

    #[test]
    fn a_url_is_shown_without_user_query_and_fragment() {
        let url = Url::parse("https://user:secret@charts.example.com:8443/a/b?token=secret#secret")
            .unwrap();
        assert_eq!(redacted(&url), "https://charts.example.com:8443/a/b");
    }

    proptest::proptest! {
        #[test]
        fn escaped_text_is_short_and_printable(text: String) {
            let shown = escaped(&text);
            proptest::prop_assert!(shown.len() <= LONGEST + 16);
            proptest::prop_assert!(!shown.chars().any(|letter| letter.is_control() || deceives(letter)));
        }
    }
}
