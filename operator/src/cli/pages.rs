//! The tables of the documents that are made of the code: fields, words, causes and next steps.
//! Touches nothing; `make crds` writes them, and a test holds the documents to them.

use charttrust_verify::finding::Note;
use charttrust_verify::openpgp::Code;
use charttrust_verify::sigstore;
use charttrust_verify::verdict::{Basis, Cause, Class};

use super::words::{self, Entry};
use crate::api::fields;
use crate::api::quarantine_words::{QuarantineAction, QuarantineReason};
use crate::api::reasons::{EventReason, KeyReason, PolicyReason, ReleaseReason};

/// A document with the tables that are written into it, each under its name.
#[derive(Debug)]
pub struct Page {
    /// Where it lies, from the root of the repository.
    pub path: String,
    /// Names and texts.
    pub tables: Vec<(&'static str, String)>,
}

/// Every document that has such tables.
pub fn all() -> Vec<Page> {
    let kinds = crate::api::definitions().into_iter().map(|definition| {
        let names = &definition.spec.names;
        let parts = ["spec", "status"].map(|part| (part, fields::table(&definition, part)));
        let parts = parts.into_iter();
        let fields = parts.filter_map(|(part, table)| table.map(|table| (part, table)));
        let reasons = std::iter::once(("reasons", condition_reasons(&names.kind)));
        let actions = (names.kind == "Quarantine").then(|| ("actions", actions()));
        Page {
            path: format!("docs/spec/{}/{}.md", crate::api::VERSION, names.plural),
            tables: fields.chain(reasons).chain(actions).collect(),
        }
    });
    let reasons = Page {
        path: "docs/reasons.md".to_owned(),
        tables: vec![
            ("reasons", verdicts()),
            ("notes", notes()),
            ("faults", faults()),
            ("faults of Sigstore", faults_of_sigstore()),
            ("events", events()),
            ("conditions", placed("condition", words::conditions())),
            ("values", placed("value", words::values())),
        ],
    };
    kinds.chain([reasons]).collect()
}

impl Page {
    /// The document with the tables of today between their marks; `None` if marks are missing.
    pub fn renewed(&self, text: &str) -> Option<String> {
        let mut tables = self.tables.iter();
        tables.try_fold(text.to_owned(), |text, (name, table)| {
            let begin = format!("<!-- {name}: `make crds` writes this table -->\n");
            let end = format!("\n<!-- end of {name} -->");
            let (before, rest) = text.split_once(&begin)?;
            let (_, after) = rest.split_once(&end)?;
            Some(format!("{before}{begin}\n{table}{end}{after}"))
        })
    }
}

/// Words that say by themselves what to do.
fn placed(head: &str, words: Vec<Entry>) -> String {
    let head = format!("| {head} | where | meaning |\n|---|---|---|\n");
    words.into_iter().fold(head, |text, one| {
        format!(
            "{text}| `{}` | {} | {} |\n",
            one.word, one.place, one.meaning
        )
    })
}

/// What is said of a word.
type Row = (&'static str, &'static str, &'static str);

fn table(head: &str, rows: impl IntoIterator<Item = Row>) -> String {
    let head = format!("| {head} | usual cause | next step |\n|---|---|---|\n");
    rows.into_iter().fold(head, |text, row| text + &line(row))
}

fn line((word, cause, step): Row) -> String {
    format!("| `{word}` | {cause} | {step} |\n")
}

/// What a quarantine can do, in the order in which it is done.
fn actions() -> String {
    let head = "| action | what it does | what it leaves |\n|---|---|---|\n".to_owned();
    let actions = QuarantineAction::ALL.iter();
    let rows = actions.map(|one| (one.word(), one.does(), one.leaves()));
    rows.fold(head, |text, row| text + &line(row))
}

/// The words of a verdict, the worst class of reasons first, each class under a heading.
fn verdicts() -> String {
    let basis = Basis::ALL
        .iter()
        .map(|one| (one.word(), one.cause(), one.step()));
    let unknown = Cause::ALL
        .iter()
        .map(|one| (one.word(), one.cause(), one.step()));
    let of_class = |class: Class| {
        let all = class.reasons();
        all.map(|one| (one.word(), one.cause(), one.step()))
    };
    let groups: [(&str, Vec<Row>); 5] = [
        ("Trusted: True", basis.collect()),
        (
            "Trusted: False, proof of badness",
            of_class(Class::Badness).collect(),
        ),
        (
            "Trusted: False, signs of tampering",
            of_class(Class::Tampering).collect(),
        ),
        (
            "Trusted: False, proof missing",
            of_class(Class::ProofMissing).collect(),
        ),
        ("Trusted: Unknown", unknown.collect()),
    ];
    let groups = groups.into_iter();
    groups.fold(table("word", []), |text, (heading, rows)| {
        let rows: String = rows.into_iter().map(line).collect();
        format!("{text}| **{heading}** | | |\n{rows}")
    })
}

fn notes() -> String {
    table(
        "note",
        Note::ALL
            .iter()
            .map(|one| (one.word(), one.cause(), one.step())),
    )
}

fn events() -> String {
    let all = EventReason::ALL.iter();
    table(
        "event",
        all.map(|one| (one.word(), one.cause(), one.step())),
    )
}

/// Each fault with the reason that a verdict has for it.
fn faults() -> String {
    let all = Code::FAULTS.iter().chain(Code::OF_KEYS);
    all.fold(table("fault", []), |text, one| {
        let reason = charttrust_verify::reason_of(*one);
        let reason = reason.map_or_else(String::new, |reason| format!(" `{reason}`."));
        let (word, cause, step) = (one.word(), one.cause(), one.step());
        format!("{text}| `{word}` | {cause}{reason} | {step} |\n")
    })
}

/// The same of Sigstore signatures.
fn faults_of_sigstore() -> String {
    sigstore::Code::ALL
        .iter()
        .fold(table("fault", []), |text, one| {
            let (word, cause, step) = (one.word(), one.cause(), one.step());
            format!("{text}| `{word}` | {cause} `{}`. | {step} |\n", one.said())
        })
}

/// The reasons of the conditions of a kind, other than `Trusted`.
fn condition_reasons(kind: &str) -> String {
    let rows: Vec<Row> = match kind {
        "TrustedIdentity" => rows_of(KeyReason::OF_IDENTITIES, |one| {
            (one.word(), one.cause(), one.step())
        }),
        "TrustedKey" => rows_of(&KeyReason::of_keys(), |one| {
            (one.word(), one.cause(), one.step())
        }),
        "ChartTrustPolicy" => rows_of(PolicyReason::ALL, |one| {
            (one.word(), one.cause(), one.step())
        }),
        "ReleaseTrust" => rows_of(ReleaseReason::ALL, |one| {
            (one.word(), one.cause(), one.step())
        }),
        "Quarantine" => rows_of(QuarantineReason::ALL, |one| {
            (one.word(), one.cause(), one.step())
        }),
        _ => Vec::new(),
    };
    table("reason", rows)
}

fn rows_of<T: Copy>(all: &[T], row: impl Fn(T) -> Row) -> Vec<Row> {
    all.iter().map(|one| row(*one)).collect()
}

#[cfg(test)]
mod tests {
    use charttrust_verify::verdict::Reason;

    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_renewed() {
        let page = Page {
            path: String::new(),
            tables: vec![("a", "| 1 |\n".to_owned()), ("b", "| 2 |\n".to_owned())],
        };
        let marked = |name: &str, text: &str| {
            format!(
                "<!-- {name}: `make crds` writes this table -->\n{text}\n<!-- end of {name} -->"
            )
        };
        let old = format!(
            "before {} between {}",
            marked("a", ""),
            marked("b", "yesterday")
        );
        let new = format!(
            "before {} between {}",
            marked("a", "\n| 1 |\n"),
            marked("b", "\n| 2 |\n")
        );
        assert_eq!(page.renewed(&old), Some(new.clone()));
        assert_eq!(page.renewed(&new), Some(new));
        assert_eq!(page.renewed(&marked("a", "")), None);
    }

    #[test]
    fn every_word_is_in_a_table_once_with_cause_and_step() {
        let verdicts = verdicts();
        let words = Reason::ALL.iter().map(|one| one.word());
        let words = words.chain(Basis::ALL.iter().map(|one| one.word()));
        for word in words.chain(Cause::ALL.iter().map(|one| one.word())) {
            let begin = format!("| `{word}` | ");
            assert_eq!(verdicts.matches(&begin).count(), 1, "{word}");
        }
        for page in all() {
            for (name, table) in page.tables {
                let rows = table.lines().filter(|row| row.starts_with("| `"));
                for row in rows {
                    let cells = row.replace("\\|", "").matches('|').count();
                    assert_eq!(cells, 4, "{name}: {row}");
                    assert!(
                        name == "spec" || name == "status" || !row.contains("|  |"),
                        "{row}"
                    );
                }
            }
        }
    }
}
