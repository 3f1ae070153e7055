//! Findings: single facts that were checked, in the words of the vocabulary.

use std::error::Error;
use std::fmt;

use crate::verdict::{Cause, Reason};
use crate::words;

/// One checked fact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Which fact.
    pub fact: Fact,
    /// What exactly, in at most [`MAX_MESSAGE`] bytes; nothing that varies between equal looks.
    pub message: String,
    /// The policy under which it was found.
    pub policy: Option<String>,
}

/// Longest message of a finding, in bytes (so that a status stays small).
pub const MAX_MESSAGE: usize = 512;

/// Which fact a finding states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// Something that could not be found out.
    Doubt(Cause),
    /// A check that failed.
    Failure(Reason),
    /// Something worth knowing that decides nothing.
    Note(Note),
}

words! {
    /// Facts that decide nothing.
    Note {
        /// Several things have the name under which the release is judged.
        NameShared:
            "A chart of an Application and a release of Helm, or charts of two Applications, have one name \
             in common: one of them was named so that it hides behind the other, or by chance."
            => "Rename one of them. What is bad under that name waits for a person to contain it.",
        /// Something signed beside the archive that does not say "I sign this".
        NotASignature:
            "What was signed is an attestation, such as an SBOM or where something was built: whoever makes one \
             does not approve of the chart."
            => "None, if the chart is signed otherwise; else sign it (`cosign sign`, `cosign sign-blob`).",
        /// A check was not made; the message says which and why.
        NotChecked:
            "The level or the command does not make this check: the content at level `Signature`, \
             the source in CI."
            => "Use `level: Strict`, or `--source`, where possible.",
        /// Another judged revision of the same release.
        OtherRevision:
            "Another revision may be running too, after an upgrade that failed or is pending, or \
             under a second driver."
            => "Finish the upgrade, or uninstall what is not meant.",
        /// A signature that does not count.
        OtherSignature: "There is a further signature that does not count."
            => "None, unless you know the signer: then declare and list the key or identity.",
        /// What is wrong with an archive of another source, which does not decide.
        OtherSource:
            "Another source of the rule has the version with other content, or something is wrong \
             with it there; or only with its signatures of the same archive the threshold is met."
            => "See to it that all sources publish the same archive and provenance.",
        /// An Application asks for something else than it has deployed.
        OutOfSync:
            "An Argo CD Application asks for, or is compared with, another chart or version than that which it \
             has deployed last and which is judged."
            => "Sync it. Until then the verdict is about what was deployed.",
        /// A published version changed, or index and archive disagree.
        Republished:
            "A published version has changed since it was bound, or the index names another \
             digest than the archive's, or a registry's tag another archive than Flux has deployed."
            => "Find out who published it again; publish changes under a new version.",
        /// Default values differ from the archive's, as `--reuse-values` makes them.
        ValuesDiffer: "Default values are not the archive's: `--reuse-values` makes them so."
            => "None; `--reset-then-reuse-values` records the defaults of the new chart.",
    }
}

impl Finding {
    /// A finding that belongs to no policy yet.
    pub fn new(fact: Fact, message: impl Into<String>) -> Self {
        Self {
            fact,
            message: bounded(&message.into()),
            policy: None,
        }
    }

    /// The same finding, made under a policy.
    #[must_use]
    pub fn of_policy(mut self, policy: &str) -> Self {
        self.policy = Some(policy.to_owned());
        self
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Doubt(cause) => cause.fmt(f),
            Self::Failure(reason) => reason.fmt(f),
            Self::Note(note) => note.fmt(f),
        }
    }
}

/// An error and what caused it, in one sentence: each layer says only its own part.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Cuts at a character border and replaces control and direction characters, which foreign text
/// could use to forge what a terminal shows.
pub fn bounded(message: &str) -> String {
    // Most messages, of which nothing is cut or replaced.
    let is_plain = |byte: &u8| (b' '..=b'~').contains(byte);
    if message.len() <= MAX_MESSAGE && message.as_bytes().iter().all(is_plain) {
        return message.to_owned();
    }
    let mut clean = String::with_capacity(message.len().min(MAX_MESSAGE));
    for character in message.chars() {
        let shown = if is_deceptive(character) {
            '\u{fffd}'
        } else {
            character
        };
        if clean.len().saturating_add(shown.len_utf8()) > MAX_MESSAGE {
            break;
        }
        clean.push(shown);
    }
    clean
}

/// Controls and everything invisible or reordering: foreign text could forge by it what a terminal
/// shows.
pub fn is_deceptive(character: char) -> bool {
    use unicode_general_category::{GeneralCategory as Category, get_general_category};
    // Most letters; a build without optimisation copies the whole table of categories for each that it looks up.
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    matches!(
        get_general_category(character),
        Category::Control
            | Category::Format
            | Category::LineSeparator
            | Category::ParagraphSeparator
            | Category::PrivateUse
            | Category::Surrogate
            | Category::Unassigned
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        Finding::new(Fact::Note(Note::NotChecked), text).message
    }

    #[test]
    fn letters_of_ascii_are_deceptive_if_their_category_says_so() {
        use unicode_general_category::{GeneralCategory, get_general_category};
        for letter in (0..128_u8).map(char::from) {
            let is_control = get_general_category(letter) == GeneralCategory::Control;
            assert_eq!(is_deceptive(letter), is_control, "{letter:?}");
        }
    }

    #[test]
    fn a_message_is_cut_at_its_limit_and_at_a_character() {
        assert_eq!(message(&"a".repeat(MAX_MESSAGE)).len(), MAX_MESSAGE);
        assert_eq!(message(&"a".repeat(MAX_MESSAGE + 1)).len(), MAX_MESSAGE);
        assert_eq!(message(&"ä".repeat(MAX_MESSAGE)).len(), MAX_MESSAGE);
        assert_eq!(message("a\u{7f} ~"), "a\u{fffd} ~");
        assert_eq!(
            message(&format!("a{}", "ä".repeat(MAX_MESSAGE))).len(),
            MAX_MESSAGE - 1
        );
    }

    #[test]
    fn foreign_text_cannot_move_the_cursor() {
        assert_eq!(
            message("a\u{1b}[31mb\nc\u{202e}d"),
            "a\u{fffd}[31mb\u{fffd}c\u{fffd}d"
        );
    }

    #[test]
    fn foreign_text_hides_nothing() {
        let invisible = "\u{ad}\u{61c}\u{200b}\u{2028}\u{2060}\u{2066}\u{feff}\u{e000}\u{e0041}";
        for character in invisible.chars() {
            assert_eq!(
                message(&format!("a{character}b")),
                "a\u{fffd}b",
                "{character:?}"
            );
        }
        assert_eq!(message("é 漢 ✔ 😀"), "é 漢 ✔ 😀");
    }
}
