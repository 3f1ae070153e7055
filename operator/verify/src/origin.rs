//! Which archives a release may come from: what the sources of a rule have answered.

use crate::case::Case;
use crate::evidence::{Answer, ArchiveFacts, Bound};
use crate::finding::Note;
use crate::policy::{Rule, Source};
use crate::rule_result::{RuleResult, Silence};
use crate::verdict::{Cause, Reason};

/// An archive that the release may be made of.
pub(crate) struct Candidate<'a> {
    pub(crate) source: &'a str,
    pub(crate) facts: &'a ArchiveFacts,
    /// Why it may give trust, and can prove nothing else: the thief of a key, or of a source, may answer
    /// while the others are kept silent. Empty if it counts in full.
    pub(crate) silence: Vec<Silence>,
}

impl<'a> Candidate<'a> {
    /// `others` is which sources that count have not answered themselves.
    fn new(source: &'a str, facts: &'a ArchiveFacts, others: &[Silence]) -> Self {
        let mut silence = Vec::new();
        if facts.is_of_mirror() {
            silence.push(of_mirror(source));
        } else if !facts.settled {
            silence.extend_from_slice(others);
        }
        Self {
            source,
            facts,
            silence,
        }
    }
}

/// Level Strict: every source is tried, and the archive whose content equals the record is the
/// origin. `ContentMismatch` only if all answered and none matches.
pub(crate) fn bound_archives<'a>(
    case: &Case<'a>,
    (rule, sources): Asked<'_, 'a>,
    result: &mut RuleResult,
) -> Vec<Candidate<'a>> {
    let answers: Vec<_> = answers(case, sources).collect();
    let silence: Vec<_> = answers.iter().filter_map(silence_of).collect();
    let same = of_binding(&answers, &silence, Bound::is_bound);
    if !same.is_empty() {
        return same;
    }
    // A source that is silent may have the very archive, so that nothing is known to be tampered
    // with.
    if without_answer(&answers, rule, result) {
        return Vec::new();
    }
    let is_old_writer = |bound: &Bound| matches!(bound, Bound::OldWriter(_));
    let old_writer = of_binding(&answers, &silence, is_old_writer);
    if old_writer.is_empty() {
        explain_no_origin(case, &answers, result);
    }
    old_writer
}

/// A rule, and those of its sources that count.
pub(crate) type Asked<'r, 'a> = (&'r Rule, &'r [&'a Source]);

type SourceAnswer<'a> = (&'a str, Option<&'a Answer>);

fn answers<'a>(case: &Case<'a>, sources: &[&'a Source]) -> impl Iterator<Item = SourceAnswer<'a>> {
    let evidence = case.evidence;
    sources
        .iter()
        .map(|source| (source.url.as_str(), evidence.answers.get(&source.url)))
}

fn of_binding<'a>(
    answers: &[SourceAnswer<'a>],
    silence: &[Silence],
    wanted: impl Fn(&Bound) -> bool,
) -> Vec<Candidate<'a>> {
    let archive = |(source, answer): &SourceAnswer<'a>| match answer {
        Some(Answer::Archive(facts)) if wanted(&facts.binding) => {
            Some(Candidate::new(source, facts, silence))
        }
        _ => None,
    };
    answers.iter().filter_map(archive).collect()
}

/// Whether some source of the rule has not answered, so that nothing can be concluded.
fn without_answer(answers: &[SourceAnswer<'_>], rule: &Rule, result: &mut RuleResult) -> bool {
    if answers.is_empty() {
        let message = format!("rule {:?} names no source", rule.name);
        result.doubt(Cause::SourceUnknown, message);
        return true;
    }
    for (cause, message) in answers.iter().filter_map(silence_of) {
        result.doubt(cause, message);
    }
    !answers
        .iter()
        .all(|(_, answer)| answer.is_some_and(Answer::is_known))
}

/// That a source has not answered itself, if so.
fn silence_of((source, answer): &SourceAnswer<'_>) -> Option<Silence> {
    match answer {
        None => Some((Cause::Pending, format!("{source} was not asked yet"))),
        Some(Answer::Unavailable { cause, message }) => {
            Some((*cause, format!("{source}: {message}")))
        }
        Some(answer) if !answer.is_known() => Some(of_mirror(source)),
        Some(_) => None,
    }
}

/// The messages of two looks do not differ by what the network has just said.
fn of_mirror(source: &str) -> Silence {
    let message = format!(
        "{source} itself did not serve it, and what its mirrors have proves nothing against it"
    );
    (Cause::SourceUnavailable, message)
}

/// All sources answered and none has the content of the record. An archive that cannot be compared
/// may be the origin, so that nothing is known to be tampered with.
fn explain_no_origin(case: &Case<'_>, answers: &[SourceAnswer<'_>], result: &mut RuleResult) {
    let ambiguous = messages(answers, |source, answer| match answer {
        Answer::Ambiguous { message } => Some(format!("{source}: {message}")),
        _ => None,
    });
    let different = messages(answers, |source, answer| match answer {
        Answer::Archive(facts) => Some(difference(source, facts)),
        _ => None,
    });
    match (ambiguous.is_empty(), different.is_empty()) {
        (true, true) => not_found(case, answers, result),
        (true, false) => result.fail_each(Reason::ContentMismatch, different),
        (false, _) => {
            result.fail_each(Reason::ArchiveAmbiguous, ambiguous);
            result.note_each(Note::OtherSource, different);
        }
    }
}

fn messages(
    answers: &[SourceAnswer<'_>],
    message: impl Fn(&str, &Answer) -> Option<String>,
) -> Vec<String> {
    let all = answers
        .iter()
        .filter_map(|(source, answer)| message(source, (*answer)?));
    all.collect()
}

/// How the release differs from an archive.
pub(crate) fn difference(source: &str, facts: &ArchiveFacts) -> String {
    let ArchiveFacts {
        name,
        version,
        binding,
        ..
    } = facts;
    let differences = match binding {
        Bound::Different(differences) | Bound::OldWriter(differences) => differences.join("; "),
        Bound::NoRecord | Bound::NotCompared | Bound::Same(_) => String::new(),
    };
    format!("the release differs from {name} {version} of {source}: {differences}")
}

fn not_found(case: &Case<'_>, answers: &[SourceAnswer<'_>], result: &mut RuleResult) {
    let sources: Vec<_> = answers.iter().map(|(source, _)| *source).collect();
    let Case { chart, version, .. } = case;
    let message = format!("{chart} {version} is in no index of {}", sources.join(", "));
    result.fail(Reason::ChartNotFound, message);
}

/// Level Signature: the first source that has the chart and version decides. One that is silent does not
/// end the search, but from those after it only trust is taken.
pub(crate) fn first_archive<'a>(
    case: &Case<'a>,
    (rule, sources): Asked<'_, 'a>,
    result: &mut RuleResult,
) -> Vec<Candidate<'a>> {
    let answers: Vec<_> = answers(case, sources).collect();
    let (mut found, mut silence) = (Vec::new(), Vec::new());
    for answer in &answers {
        match answer {
            (source, Some(Answer::Archive(facts))) => {
                let candidate = Candidate::new(source, facts, &silence);
                let decides = candidate.silence.is_empty();
                found.push(candidate);
                if decides {
                    return found;
                }
            }
            (source, Some(Answer::Ambiguous { message })) if silence.is_empty() => {
                result.fail(Reason::ArchiveAmbiguous, format!("{source}: {message}"));
                return found;
            }
            (_, Some(_) | None) => {}
        }
        silence.extend(silence_of(answer));
    }
    if found.is_empty() && !without_answer(&answers, rule, result) {
        not_found(case, &answers, result);
    }
    found
}
