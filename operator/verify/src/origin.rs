//! Which archives a release may come from: what the sources of a rule have answered.

use crate::check::Case;
use crate::evidence::{Answer, ArchiveFacts, Bound};
use crate::finding::Note;
use crate::opinion::Opinion;
use crate::policy::Rule;
use crate::verdict::{Cause, Reason};

pub(crate) type Candidate<'a> = (&'a str, &'a ArchiveFacts);

/// Level Strict: every source is tried, and the archive whose content equals the record is the
/// origin. `ContentMismatch` only if all answered and none matches.
pub(crate) fn bound_archives<'a>(
    case: &Case<'a>,
    rule: &'a Rule,
    opinion: &mut Opinion,
) -> Vec<Candidate<'a>> {
    let answers: Vec<_> = answers(case, rule).collect();
    let same = of_binding(&answers, |bound| {
        matches!(bound, Bound::NoRecord | Bound::NotCompared | Bound::Same(_))
    });
    if !same.is_empty() {
        return same;
    }
    if without_answer(&answers, rule, opinion) {
        return Vec::new();
    }
    let old_writer = of_binding(&answers, |bound| matches!(bound, Bound::OldWriter(_)));
    if old_writer.is_empty() {
        explain_no_origin(case, &answers, opinion);
    }
    old_writer
}

fn answers<'a>(
    case: &Case<'a>,
    rule: &'a Rule,
) -> impl Iterator<Item = (&'a str, Option<&'a Answer>)> {
    let evidence = case.evidence;
    rule.sources
        .iter()
        .map(|source| (source.url.as_str(), evidence.answers.get(&source.url)))
}

fn of_binding<'a>(
    answers: &[(&'a str, Option<&'a Answer>)],
    wanted: impl Fn(&Bound) -> bool,
) -> Vec<Candidate<'a>> {
    let archive = |(source, answer): &(&'a str, Option<&'a Answer>)| match answer {
        Some(Answer::Archive(facts)) if wanted(&facts.binding) => Some((*source, facts.as_ref())),
        _ => None,
    };
    answers.iter().filter_map(archive).collect()
}

/// Whether some source of the rule has not answered, so that nothing can be concluded.
fn without_answer(answers: &[(&str, Option<&Answer>)], rule: &Rule, opinion: &mut Opinion) -> bool {
    if answers.is_empty() {
        let message = format!("rule {:?} names no source", rule.name);
        opinion.doubt(Cause::SourceUnknown, message);
        return true;
    }
    for (source, answer) in answers {
        explain_silence(source, *answer, opinion);
    }
    !answers
        .iter()
        .all(|(_, answer)| answer.is_some_and(Answer::is_known))
}

fn explain_silence(source: &str, answer: Option<&Answer>, opinion: &mut Opinion) {
    match answer {
        None => opinion.doubt(Cause::Pending, format!("{source} was not asked yet")),
        Some(Answer::Unavailable { cause, message }) => {
            opinion.doubt(*cause, format!("{source}: {message}"));
        }
        Some(Answer::Archive(_) | Answer::Ambiguous { .. } | Answer::NotFound) => {}
    }
}

/// All sources answered and none has the content of the record. An archive that cannot be compared
/// may be the origin, so that nothing is known to be tampered with.
fn explain_no_origin(case: &Case<'_>, answers: &[(&str, Option<&Answer>)], opinion: &mut Opinion) {
    let ambiguous = messages(answers, |source, answer| match answer {
        Answer::Ambiguous { message } => Some(format!("{source}: {message}")),
        _ => None,
    });
    let different = messages(answers, |source, answer| match answer {
        Answer::Archive(facts) => Some(difference(source, facts)),
        _ => None,
    });
    match (ambiguous.is_empty(), different.is_empty()) {
        (true, true) => not_found(case, answers, opinion),
        (true, false) => opinion.fail_each(Reason::ContentMismatch, different),
        (false, _) => {
            opinion.fail_each(Reason::ArchiveAmbiguous, ambiguous);
            opinion.note_each(Note::OtherSource, different);
        }
    }
}

fn messages(
    answers: &[(&str, Option<&Answer>)],
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

fn not_found(case: &Case<'_>, answers: &[(&str, Option<&Answer>)], opinion: &mut Opinion) {
    let sources: Vec<_> = answers.iter().map(|(source, _)| *source).collect();
    let Case { chart, version, .. } = case;
    let message = format!("{chart} {version} is in no index of {}", sources.join(", "));
    opinion.fail(Reason::ChartNotFound, message);
}

/// Level Signature: the first source that has the chart and version decides.
pub(crate) fn first_archive<'a>(
    case: &Case<'a>,
    rule: &'a Rule,
    opinion: &mut Opinion,
) -> Vec<Candidate<'a>> {
    let answers: Vec<_> = answers(case, rule).collect();
    for (source, answer) in &answers {
        match answer {
            Some(Answer::Archive(facts)) => return vec![(*source, facts.as_ref())],
            Some(Answer::NotFound) => {}
            Some(Answer::Ambiguous { message }) => {
                opinion.fail(Reason::ArchiveAmbiguous, format!("{source}: {message}"));
                return Vec::new();
            }
            None | Some(Answer::Unavailable { .. }) => {
                explain_silence(source, *answer, opinion);
                return Vec::new();
            }
        }
    }
    if !without_answer(&answers, rule, opinion) {
        not_found(case, &answers, opinion);
    }
    Vec::new()
}
