//! What a report does not prove: what nobody has checked, and what could not be. Touches nothing.

use charttrust_verify::verdict::{Basis, Cause};
use serde::Serialize;

use super::gathered::Gathered;
use super::release::Release;

/// Something that was not checked.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NotChecked {
    /// What, in a few words.
    pub(super) what: String,
    /// Why, or what follows from that.
    pub(super) why: String,
    /// The releases it is about; none: all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) releases: Vec<String>,
}

/// What was not checked here, and then what never is.
pub(super) fn not_checked(gathered: &Gathered, releases: &[Release]) -> Vec<NotChecked> {
    let mut all = Vec::new();
    all.extend(old(gathered));
    all.extend(unread(gathered));
    all.extend(elsewhere(gathered));
    all.extend(by_word(releases));
    all.extend(stale(releases));
    all.extend(NEVER.map(|(what, why)| of_all(what, why)));
    all
}

fn of_all(what: impl Into<String>, why: impl Into<String>) -> NotChecked {
    NotChecked {
        what: what.into(),
        why: why.into(),
        releases: Vec::new(),
    }
}

/// Whether the verdicts are those of now.
fn old(gathered: &Gathered) -> impl Iterator<Item = NotChecked> {
    let doubts = &gathered.doubts;
    let old = doubts.old.iter().chain(&doubts.not_checked);
    old.map(|why| of_all("Whether the verdicts are up to date", why))
}

/// What whoever has made the report may not read.
fn unread(gathered: &Gathered) -> impl Iterator<Item = NotChecked> {
    gathered.reads.iter().filter_map(|read| {
        let why = read.refused.as_ref()?;
        let why =
            format!("They could not be read: {why}. What rests on them is missing in this report.");
        Some(of_all(format!("Everything about {}", read.what), why))
    })
}

/// What lies where nobody looks.
fn elsewhere(gathered: &Gathered) -> Vec<NotChecked> {
    let mut all = Vec::new();
    if let Some(namespace) = &gathered.question.namespace {
        all.push(of_all(
            "Other namespaces",
            format!("The report was asked for about namespace {namespace} only."),
        ));
    }
    let seen = gathered.discovering.iter().flat_map(|it| &it.namespaces);
    let seen: Vec<_> = seen.map(String::as_str).collect();
    if !seen.is_empty() {
        all.push(of_all(
            "Releases elsewhere",
            format!(
                "The operator looks in these namespaces only: {}.",
                seen.join(", ")
            ),
        ));
    }
    all.push(match gathered.unaccounted {
        Some(found) => of_all(
            "What runs without a record of Helm",
            format!(
                "Workloads that carry Helm's marks and have no record: {}, of releases: {}. Nobody can tell what \
                 they are made of. `charttrust status --unaccounted` lists them. What carries no mark is not seen \
                 at all.",
                found.workloads, found.releases
            ),
        ),
        None => of_all(
            "What runs without a record of Helm",
            "Nobody counts it here: the operator does not look for it, or does not tell.",
        ),
    });
    all
}

/// Releases whose verdict says itself that something was left out.
fn by_word(releases: &[Release]) -> impl Iterator<Item = NotChecked> {
    let unknown = Cause::ALL.iter();
    let unknown = unknown.map(|cause| (cause.word(), "Whether these are trusted", cause.cause()));
    let archive = Basis::ArchiveVerified;
    let content = "Whether what runs is what was signed";
    let all = unknown.chain([(archive.word(), content, archive.cause())]);
    all.filter_map(|(word, what, why)| {
        let own = releases.iter().filter(|release| release.reason == word);
        let own: Vec<_> = own.map(Release::id).collect();
        (!own.is_empty()).then(|| NotChecked {
            what: format!("{what} ({word})"),
            why: why.to_owned(),
            releases: own,
        })
    })
}

/// Releases of which sources have not told anything lately.
fn stale(releases: &[Release]) -> Option<NotChecked> {
    let stale = releases
        .iter()
        .filter(|release| release.fresh == Some(false));
    let stale: Vec<_> = stale.map(Release::id).collect();
    (!stale.is_empty()).then(|| NotChecked {
        what: "What their sources say now".to_owned(),
        why:
            "The last looks at them were not answered. The verdict rests on what was found before."
                .to_owned(),
        releases: stale,
    })
}

/// What a verdict never says; docs/limits-and-threats.md has all of it.
const NEVER: [(&str, &str); 5] = [
    (
        "Objects in the cluster",
        "A verdict is about the record that Helm keeps of a release. Changes by `kubectl edit`, by other controllers \
         and by post-renderers are not compared.",
    ),
    (
        "Subcharts of what runs",
        "Helm does not record them. A rule with `dependencies: Verify` compares those in the archive with their own \
         signed archives.",
    ),
    (
        "Values",
        "Values that a release is installed with are not read, and differences in default values are no tampering.",
    ),
    (
        "Who wrote the record",
        "Whoever may write release Secrets may present another chart as the signed one, as long as its content is \
         what was signed.",
    ),
    (
        "The seal of the evidence",
        "The operator checks it. This report takes what it has written: whoever may write `releasetrusts/status` can \
         change that until the operator writes it again.",
    ),
];
