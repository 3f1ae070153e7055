//! The own archives of subcharts, where a rule wants those signed: files that are named beside the chart, or what
//! the repositories have that the archive names.

use charttrust_verify::chart;
use charttrust_verify::check::Vouchers;
use charttrust_verify::evidence::{Answer, ArchiveFacts, Bound, Claimed, Evidence, SubchartId};
use charttrust_verify::limits::ArchiveLimits;
use charttrust_verify::policy::{Dependencies, Rule};
use charttrust_verify::verdict::Cause;

use super::address::Asking;
use super::inputs::{self, Contents, Kind, UsageError};
use super::{Trust, Verify, Wanted, sigstore};
use crate::evidence::{unavailable, unreadable};
use crate::sources::Asked;

/// What is said of subcharts.
pub(super) type Answers = Vec<(SubchartId, Answer)>;

/// Whether a rule wants subcharts signed themselves.
fn are_wanted(rule: &Rule) -> bool {
    rule.verify.dependencies == Dependencies::Verify
}

/// Looks for the archives of subcharts among the files that are named: offline nobody else is asked.
///
/// # Errors
/// If one that is named cannot be read.
pub(super) fn beside(
    arguments: &Verify,
    facts: &ArchiveFacts,
    (trust, rule): (&Trust, &Rule),
) -> Result<Answers, UsageError> {
    let wanted = facts.subcharts.iter().filter(|_| are_wanted(rule));
    let answer = |id: &SubchartId| Ok((id.clone(), of_file(arguments, trust, id)?));
    wanted.map(|subchart| answer(&subchart.id)).collect()
}

fn of_file(arguments: &Verify, trust: &Trust, id: &SubchartId) -> Result<Answer, UsageError> {
    let name = format!("{}-{}.tgz", id.name, id.version);
    let is_it = |path: &&std::path::PathBuf| path.file_name() == Some(name.as_ref());
    let Some(path) = arguments.charts.iter().find(is_it) else {
        let message = format!("not asked: name {name} beside the chart, with its .prov");
        return Ok(unavailable(Cause::SourceUnavailable, message));
    };
    let archive = match inputs::read(path, Kind::Archive)? {
        Contents::Whole(archive) => archive,
        Contents::TooLarge(message, _) => {
            return Ok(unavailable(Cause::LimitExceeded, message));
        }
    };
    let chart = match chart::read(&archive, &ArchiveLimits::default()) {
        Ok(chart) => chart,
        Err(error) => return Ok(unreadable(&error)),
    };
    let own = Verify {
        chart: path.clone(),
        prov: None,
        bundle: Vec::new(),
        ..arguments.clone()
    };
    let claimed = Claimed {
        chart: &id.name,
        version: &id.version,
    };
    let provenance = inputs::provenance(&own, claimed)?;
    Ok(Answer::Archive(Box::new(ArchiveFacts {
        bundles: sigstore::bundles(&own, &archive, trust)?,
        content: Some(chart.content),
        ..ArchiveFacts::of(&chart, provenance, Bound::NotCompared)
    })))
}

/// What a source has shown, and the repositories that an archive names. These are asked as the operator does:
/// only if a known key has signed the archive or the rule pins it, and no further than its source could send us.
pub(super) async fn gathered(
    asking: &Asking,
    trust: &Trust,
    (wanted, rule): (&Wanted, &Rule),
    facts: &ArchiveFacts,
) -> Evidence {
    let mut evidence = trust.evidence(facts, rule);
    let mut answers = Vec::new();
    if are_wanted(rule) {
        let release = (wanted.chart.as_str(), wanted.version.as_str());
        let sources = rule.sources.iter();
        let vouchers = Vouchers {
            rules: &[rule],
            sigstore: &trust.sigstore,
        };
        let open =
            sources.flat_map(|source| evidence.open_subcharts(release, &source.url, vouchers));
        for id in open.map(|subchart| subchart.id) {
            let answer = asking
                .subchart(&id, (Asked::now(), trust.forms(rule)))
                .await;
            answers.push((id, answer));
        }
    }
    add(&mut evidence, facts, answers);
    evidence.try_sigstore(&trust.sigstore, trust.now);
    evidence
}

/// Adds what was answered. A subchart of which nothing was is as silent as its repository.
pub(super) fn add(evidence: &mut Evidence, facts: &ArchiveFacts, answers: Answers) {
    for (id, answer) in answers {
        evidence.subcharts.insert(id, answer);
    }
    for subchart in &facts.subcharts {
        if evidence.subcharts.get(&subchart.id).is_none() {
            let message = "it was not asked, because no known key has signed the chart";
            let answer = unavailable(Cause::SourceUnavailable, message.to_owned());
            evidence.subcharts.insert(subchart.id.clone(), answer);
        }
    }
}
