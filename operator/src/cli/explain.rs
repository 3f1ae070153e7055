//! `charttrust explain`: what a word of our kinds means, and what to do. Touches nothing.

use clap::Args;
use serde::Serialize;

use super::screen::{Format, Table, plain, tell};
use super::words::{self, Entry};
use super::{INTERNAL, SCHEMA_VERSION, USAGE, complain, print};

/// Tells what a word of a verdict, condition, event or field means, and what to do about it.
///
/// Without a word: all of them. It asks nobody. Exit code 0: the word is one of ours, 2: it is not.
#[derive(Args, Clone, Debug)]
pub struct Explain {
    /// The word, as conditions, events, metrics and commands write it, such as Unsigned.
    #[arg(value_name = "WORD")]
    pub word: Option<String>,
    /// Prints for programs.
    #[arg(short, long, value_enum)]
    pub output: Option<Format>,
}

/// What programs read.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explained<'a> {
    schema_version: u32,
    words: Vec<&'a Entry>,
}

/// Prints what is known of the word, and gives the exit code.
pub(super) fn main(arguments: &Explain) -> u8 {
    let all = words::all();
    let meanings = match &arguments.word {
        None => Ok(all.iter().collect()),
        Some(asked) => found(&all, asked),
    };
    let meanings = match meanings {
        Ok(meanings) => meanings,
        Err(message) => {
            tell(&format!("error: {message}\n"));
            return USAGE;
        }
    };
    match (arguments.output, &arguments.word) {
        (Some(format), _) => match format.write(&Explained {
            schema_version: SCHEMA_VERSION,
            words: meanings,
        }) {
            Ok(text) => print(&text),
            Err(error) => complain(&error, INTERNAL),
        },
        (None, None) => print(&table(&all).to_string()),
        (None, Some(_)) => print(&told(&meanings)),
    }
}

/// What the word means, in each place; it may be written as verdicts are, `Untrusted/Unsigned`.
fn found<'a>(all: &'a [Entry], asked: &str) -> Result<Vec<&'a Entry>, String> {
    let word = asked.rsplit('/').next().unwrap_or_default();
    let is_it = |one: &&Entry| one.word.eq_ignore_ascii_case(word);
    let meanings: Vec<_> = all.iter().filter(is_it).collect();
    if !meanings.is_empty() {
        return Ok(meanings);
    }
    let asked = plain(asked);
    Err(match nearest(all, word).as_slice() {
        [] => format!("{asked:?} is no word of charttrust: charttrust explain lists them"),
        near => format!(
            "{asked:?} is no word of charttrust; near it are {}",
            near.join(", ")
        ),
    })
}

/// The words that are most like it, the nearest first.
fn nearest<'a>(all: &'a [Entry], word: &str) -> Vec<&'a str> {
    let asked: String = word
        .chars()
        .take(LONGEST)
        .collect::<String>()
        .to_lowercase();
    let likeness = |one: &str| strsim::jaro_winkler(&asked, &one.to_lowercase());
    let mut near: Vec<_> = all
        .iter()
        .map(|one| (likeness(&one.word), one.word.as_str()))
        .filter(|(likeness, _)| *likeness > LIKE)
        .collect();
    near.sort_by(|(a, one), (b, other)| b.total_cmp(a).then(one.cmp(other)));
    near.dedup();
    near.into_iter().map(|(_, word)| word).take(MOST).collect()
}

/// No word is longer, and whoever typed it chose its length.
const LONGEST: usize = 64;
/// From here on words are like each other: clap suggests flags from 0.7 on, which is too much where there
/// are so many.
const LIKE: f64 = 0.85;
/// Most words that are suggested.
const MOST: usize = 4;

fn told(meanings: &[&Entry]) -> String {
    let one = |one: &&Entry| {
        let step = one.step.iter().map(|step| format!("  Next: {step}\n"));
        let step: String = step.collect();
        format!("{}   {}\n  {}\n{step}", one.word, one.place, one.meaning)
    };
    meanings.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn table(all: &[Entry]) -> Table {
    let mut table = Table::new(&["WORD", "WHERE", "MEANING"]);
    for one in all {
        table.add([&one.word, &one.place, &one.meaning]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(word: &str) -> Result<String, String> {
        let all = words::all();
        found(&all, word).map(|meanings| told(&meanings))
    }

    #[test]
    fn a_word_is_told_with_its_place_and_the_next_step() {
        let unsigned = "Unsigned   verdict: Untrusted, proof missing\n  \
            Packaged without `--sign`, the `.prov` not uploaded, or dropped by a mirror.\n  \
            Next: `helm package --sign`, and upload both files.\n";
        for word in ["Unsigned", "unsigned", "Untrusted/Unsigned"] {
            assert_eq!(explained(word).unwrap(), unsigned, "{word}");
        }
    }

    #[test]
    fn a_word_of_several_places_is_told_for_each() {
        let text = explained("InvalidSpec").unwrap();
        assert_eq!(text.matches("InvalidSpec   ").count(), 3, "{text}");
        for kind in [
            "TrustedKey: reason",
            "TrustedIdentity: reason",
            "ChartTrustPolicy: reason",
        ] {
            assert!(text.contains(kind), "{text}");
        }
        let text = explained("Compromised").unwrap();
        for place in [
            "status.state",
            "spec.revocation.reason",
            "reason of a condition",
        ] {
            assert!(text.contains(place), "{place}: {text}");
        }
    }

    #[test]
    fn a_word_that_is_none_names_those_that_are_like_it() {
        for (typed, meant) in [
            ("Unsinged", "Unsigned"),
            ("SourceUnavailabel", "SourceUnavailable"),
            ("keycompromized", "KeyCompromised"),
            ("KeyRevoke", "KeyRevoked"),
        ] {
            let message = explained(typed).unwrap_err();
            let first = message.split("near it are ").nth(1);
            assert!(
                first.is_some_and(|near| near.starts_with(meant)),
                "{message}"
            );
        }
        let message = explained("xyzzy\u{1b}[2J").unwrap_err();
        assert!(
            message.ends_with("charttrust explain lists them"),
            "{message}"
        );
        assert!(!message.contains('\u{1b}'), "{message}");
    }

    #[test]
    fn all_words_are_listed() {
        let all = words::all();
        assert_eq!(table(&all).to_string().lines().count(), all.len() + 1);
    }
}
