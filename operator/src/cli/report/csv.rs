//! A row for each release, for spreadsheets. Touches nothing.

use jiff::Timestamp;

use super::model::Report;
use super::release::Release;
use crate::cli::screen::plain;

/// The table, as RFC 4180 has it.
pub(super) fn written(report: &Report) -> String {
    let head = HEAD.map(str::to_owned);
    let rows = report.releases.iter().map(row);
    let rows = std::iter::once(head).chain(rows);
    rows.map(|row| row.map(|cell| quoted(&cell)).join(",") + "\r\n")
        .collect()
}

const HEAD: [&str; 18] = [
    "namespace",
    "release",
    "chart",
    "version",
    "revision",
    "owner",
    "standing",
    "reason",
    "class",
    "since",
    "message",
    "next",
    "signer",
    "source",
    "archive",
    "policies",
    "exceptions",
    "contained",
];

fn row(release: &Release) -> [String; 18] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let policies = release.policies.iter();
    let rules = policies.clone().map(|said| {
        let rule = said.rule.as_deref().unwrap_or("-");
        format!("{}/{rule}: {:?}/{}", said.policy, said.verdict, said.reason)
    });
    let exceptions = policies.filter_map(|said| {
        let exception = said.exception.as_ref()?;
        Some(format!("{}/{exception}", said.policy))
    });
    let owner = release.owner.map(|owner| format!("{owner:?}"));
    let revision = release.revision.map(|revision| revision.to_string());
    [
        release.namespace.clone(),
        release.name.clone(),
        release.chart.clone(),
        release.version.clone(),
        text(&revision),
        text(&owner),
        format!("{:?}", release.standing),
        release.reason.clone(),
        release.class.unwrap_or_default().to_owned(),
        release
            .since
            .as_ref()
            .map(Timestamp::to_string)
            .unwrap_or_default(),
        release.message.clone(),
        release.next.unwrap_or_default().to_owned(),
        text(&release.signer),
        text(&release.source),
        text(&release.archive),
        rules.collect::<Vec<_>>().join("; "),
        exceptions.collect::<Vec<_>>().join("; "),
        text(&release.contained),
    ]
}

/// A cell that no spreadsheet takes for a formula: those begin so, after spaces too.
/// See <https://owasp.org/www-community/attacks/CSV_Injection>.
fn quoted(cell: &str) -> String {
    let shown = plain(cell);
    let is_formula = shown
        .trim_start()
        .starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    let guard = if is_formula { "'" } else { "" };
    format!("\"{guard}{}\"", shown.replace('"', "\"\""))
}
