//! What is forgiven, contained, demanded, changed and not checked, within the page. Touches nothing.

use super::super::history::Teller;
use super::super::model::Report;
use super::page::{Cell, Page, day, day_and_time};
use crate::api::conditions::Status;
use crate::cli::coverage::Standing;

/// What is forgiven, and how long.
pub(super) fn exceptions(page: &mut Page, report: &Report) {
    page.raw("<section id=\"exceptions\"><h2>Exceptions</h2>\n");
    if report.exceptions.is_empty() {
        page.raw("<p>No policy forgives anything.</p>\n");
    }
    let rows = report.exceptions.iter().map(|one| {
        let ends = match one.expired {
            Some(true) => format!("ended {}", one.expires_at),
            Some(false) => one.expires_at.clone(),
            None => format!("{} (no date: it forgives nothing)", one.expires_at),
        };
        vec![
            Cell::Text(format!("{}/{}", one.policy, one.name)),
            Cell::Text(one.reasons.join(", ")),
            Cell::Text(ends),
            Cell::Prose(one.justification.clone()),
            Cell::Names(if one.forgives.is_empty() {
                vec!["none".to_owned()]
            } else {
                one.forgives.clone()
            }),
        ]
    });
    let heads = ["Exception", "Forgives", "Until", "Why", "Releases now"];
    page.table(
        "Failures that are forgiven for a time; the real verdict stays visible",
        &heads,
        rows.collect(),
    );
    page.raw("</section>\n");
}

/// What is contained.
pub(super) fn quarantines(page: &mut Page, report: &Report) {
    page.raw("<section id=\"quarantines\"><h2>Quarantines</h2>\n");
    if report.quarantines.is_empty() {
        page.raw("<p>Nothing is contained.</p>\n");
    }
    let rows = report.quarantines.iter().map(|one| {
        let state = one
            .state
            .map_or_else(|| "not read yet".to_owned(), |state| format!("{state:?}"));
        let actions = one.actions.iter().map(|action| action.word().to_owned());
        let by = one.policy.as_ref();
        let by = by.map_or_else(
            || "a person".to_owned(),
            |policy| format!("policy {policy}"),
        );
        vec![
            Cell::Text(format!("{}/{}", one.namespace, one.name)),
            Cell::Text(state),
            Cell::Names(actions.collect()),
            Cell::Text(format!("{by}: {}", one.reason)),
            Cell::Date(one.since.map_or_else(String::new, day)),
            Cell::Prose(format!(
                "{} Objects contained: {}, not contained: {}; Pods that still run: {}.",
                sentence(&one.message),
                one.contained,
                one.uncontained,
                one.running
            )),
        ]
    });
    let heads = [
        "Release",
        "State",
        "Actions",
        "Asked for by",
        "Since",
        "How it stands",
    ];
    page.table("Releases that are contained", &heads, rows.collect());
    page.raw("</section>\n");
}

fn sentence(message: &str) -> String {
    match message.trim_end().trim_end_matches('.') {
        "" => String::new(),
        message => format!("{message}."),
    }
}

/// What is demanded.
pub(super) fn policies(page: &mut Page, report: &Report) {
    page.raw("<section id=\"policies\"><h2>Policies</h2>\n");
    if report.policies.is_empty() {
        page.raw("<p>There is none, so nothing is judged: <code>charttrust policy init</code> drafts one.</p>\n");
    }
    let rows = report.policies.iter().map(|policy| {
        let (standing, word) = match policy.compliant {
            Some(Status::True) => (Standing::Trusted, "compliant"),
            Some(Status::False) => (Standing::Untrusted, "not compliant"),
            Some(Status::Unknown) => (Standing::Unknown, "not known"),
            None => (Standing::Unknown, "not read yet"),
        };
        let mode = if policy.suspended { ", suspended" } else { "" };
        let counts = policy.releases;
        vec![
            Cell::Text(policy.name.clone()),
            Cell::Text(format!("{:?}{mode}", policy.mode)),
            Cell::Verdict(standing, word.to_owned()),
            Cell::Text(format!("{} of {}", counts.trusted, counts.total)),
            Cell::Prose(policy.message.clone()),
        ]
    });
    let heads = ["Policy", "Mode", "Compliance", "Trusted", "What it says"];
    page.table(
        "Policies and how the releases stand that they are about",
        &heads,
        rows.collect(),
    );
    page.raw("</section>\n");
}

/// What changed.
pub(super) fn history(page: &mut Page, report: &Report) {
    let history = &report.history;
    page.raw("<section id=\"history\"><h2>What changed since ")
        .text(&day_and_time(history.since));
    page.raw("</h2>\n");
    if history.changes.is_empty() {
        page.raw("<p>Nothing, as far as the cluster keeps it.</p>\n");
    }
    let rows = history.changes.iter().map(|change| {
        let teller = match change.told_by {
            Teller::Condition | Teller::Object => "the object",
            Teller::Event => "an event",
        };
        vec![
            Cell::Date(day_and_time(change.at)),
            Cell::Text(format!("{} {}", change.kind, change.name)),
            Cell::Text(change.became.clone()),
            Cell::Prose(change.message.clone()),
            Cell::Text(teller.to_owned()),
        ]
    });
    let heads = ["When", "What", "Became", "Because", "Told by"];
    page.table("Changes, the latest first", &heads, rows.collect());
    for sentence in &history.not_known {
        page.raw("<p class=\"quiet\">")
            .prose(sentence)
            .raw("</p>\n");
    }
    page.raw("</section>\n");
}

/// What nobody should read into this report.
pub(super) fn not_checked(page: &mut Page, report: &Report) {
    page.raw("<section id=\"not-checked\"><h2>What was not checked</h2>\n");
    let rows = report.not_checked.iter().map(|one| {
        let releases = match one.releases.as_slice() {
            [] => vec!["all".to_owned()],
            releases => releases.to_vec(),
        };
        vec![
            Cell::Text(one.what.clone()),
            Cell::Prose(one.why.clone()),
            Cell::Names(releases),
        ]
    });
    let heads = ["What", "Why", "Releases"];
    page.table("What this report does not prove", &heads, rows.collect());
    page.raw("</section>\n");
}
