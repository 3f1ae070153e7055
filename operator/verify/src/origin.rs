//! Which archives a release may come from: what the sources of a rule have answered.

use crate::check::Case;
use crate::evidence::{Answer, ArchiveFacts, Bound};
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
        opinion.doubt(
            Cause::SourceUnknown,
            format!("rule {:?} names no source", rule.name),
        );
        return true;
    }
    let before = opinion.doubts.len();
    for (source, answer) in answers {
        explain_silence(source, *answer, opinion);
    }
    opinion.doubts.len() > before
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

/// All sources answered and none has the content of the record.
fn explain_no_origin(case: &Case<'_>, answers: &[(&str, Option<&Answer>)], opinion: &mut Opinion) {
    for (source, answer) in answers {
        match answer {
            Some(Answer::Archive(facts)) => differs(source, facts, opinion),
            Some(Answer::Ambiguous { message }) => {
                opinion.fail(Reason::ArchiveAmbiguous, format!("{source}: {message}"));
            }
            Some(Answer::NotFound | Answer::Unavailable { .. }) | None => {}
        }
    }
    if opinion.failing.is_empty()
        || opinion
            .failing
            .iter()
            .all(|r| *r == Reason::VersionNotAllowed)
    {
        not_found(case, answers.iter().map(|(source, _)| *source), opinion);
    }
}

pub(crate) fn differs(source: &str, facts: &ArchiveFacts, opinion: &mut Opinion) {
    let differences = match &facts.binding {
        Bound::Different(differences) | Bound::OldWriter(differences) => differences.join("; "),
        Bound::NoRecord | Bound::NotCompared | Bound::Same(_) => return,
    };
    let message = format!(
        "the release differs from {} {} of {source}: {differences}",
        facts.name, facts.version
    );
    opinion.fail(Reason::ContentMismatch, message);
}

fn not_found<'a>(case: &Case<'_>, sources: impl Iterator<Item = &'a str>, opinion: &mut Opinion) {
    let sources: Vec<_> = sources.collect();
    let message = format!(
        "{} {} is in no index of {}",
        case.chart,
        case.version,
        sources.join(", ")
    );
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
        not_found(case, answers.iter().map(|(source, _)| *source), opinion);
    }
    Vec::new()
}
