//! Releases within the page: those that need somebody, and all of them. Touches nothing.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use charttrust_verify::verdict::{Class, Verdict};

use super::super::model::Report;
use super::super::release::Release;
use super::page::{Cell, Page, day, many};
use crate::cli::coverage::Standing;

/// What is not trusted or could not be judged, by reason, the worst first.
pub(super) fn attention(page: &mut Page, report: &Report) {
    page.raw("<section id=\"attention\"><h2>What needs attention</h2>\n");
    let mut groups = BTreeMap::<_, Vec<&Release>>::new();
    for standing in [Standing::Untrusted, Standing::Unknown] {
        for release in report.standing(standing) {
            groups.entry(rank(release)).or_default().push(release);
        }
    }
    if groups.is_empty() {
        page.raw("<p>Nothing: every release is trusted, or a policy says on purpose that it need not be.</p>\n");
    }
    for releases in groups.values() {
        group(page, releases);
    }
    page.raw("</section>\n");
}

/// What releases are grouped by: how bad, and the word.
fn rank(release: &Release) -> (Standing, Reverse<Option<Class>>, &str) {
    let class = Verdict::of_word(&release.reason).map(Verdict::class);
    (release.standing, Reverse(class), &release.reason)
}

/// The releases of one reason, what it means and what to do.
fn group(page: &mut Page, releases: &[&Release]) {
    let Some(first) = releases.first() else {
        return;
    };
    page.raw("<div class=\"group\"><h3>");
    page.badge(first.standing, &first.reason);
    page.raw(" ")
        .text(&many(releases.len(), "release", "releases"));
    if let Some(class) = first.class {
        page.raw(" <span class=\"quiet\">· ")
            .text(class)
            .raw("</span>");
    }
    page.raw("</h3>\n");
    if let Some(cause) = first.cause {
        page.raw("<p>Usual cause: ").prose(cause).raw("</p>\n");
    }
    if let Some(next) = first.next {
        page.raw("<p><strong>Next step:</strong> ")
            .prose(next)
            .raw("</p>\n");
    }
    let rows = releases.iter().map(|release| {
        vec![
            Cell::Text(release.id()),
            Cell::Text(chart(release)),
            Cell::Date(since(release)),
            Cell::Prose(release.message.clone()),
        ]
    });
    let caption = format!("Releases with {}", first.reason);
    page.table(
        &caption,
        &["Release", "Chart", "Since", "What was found"],
        rows.collect(),
    );
    page.raw("</div>\n");
}

/// Every release with its verdict.
pub(super) fn all(page: &mut Page, report: &Report) {
    page.raw("<section id=\"releases\"><h2>All releases</h2>\n");
    if report.releases.is_empty() {
        page.raw("<p>No release is known.</p>\n");
    }
    let rows = report.releases.iter().map(|release| {
        let signer = release.signer.clone().unwrap_or_default();
        let policies = release.policies.iter().map(|said| match &said.exception {
            Some(exception) => format!("{} (exception {exception})", said.policy),
            None => said.policy.clone(),
        });
        vec![
            Cell::Text(release.id()),
            Cell::Text(chart(release)),
            Cell::Verdict(release.standing, release.reason.clone()),
            Cell::Date(since(release)),
            Cell::Text(signer),
            Cell::Names(policies.collect()),
        ]
    });
    let heads = [
        "Release",
        "Chart",
        "Verdict",
        "Since",
        "Signed by",
        "Policies",
    ];
    page.table("Every release and its verdict", &heads, rows.collect());
    page.raw("</section>\n");
}

fn chart(release: &Release) -> String {
    format!("{} {}", release.chart, release.version)
        .trim()
        .to_owned()
}

fn since(release: &Release) -> String {
    release.since.map_or_else(|| "-".to_owned(), day)
}
