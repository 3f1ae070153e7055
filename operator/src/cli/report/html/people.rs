//! Keys and identities within the page: their lives, and what rests on each. Touches nothing.

use jiff::Timestamp;

use super::super::model::Report;
use super::super::signers::{Signer, SignerKind};
use super::drawing::{Life, Times};
use super::page::{Cell, Page, day, many};
use crate::api::trusted_key::KeyState;
use crate::cli::coverage::Standing;
use crate::cli::key::Signed;

/// How many end soon, or have ended, and still have releases that rest on them.
pub(super) fn ending(report: &Report) -> usize {
    let ends = |signer: &&Signer| signer.state.is_some_and(|state| state != KeyState::Active);
    report.signers.iter().filter(ends).count()
}

/// Everybody who may vouch, and how long.
pub(super) fn lives(page: &mut Page, report: &Report) {
    page.raw("<section id=\"signers\"><h2>Keys and identities</h2>\n");
    if report.signers.is_empty() {
        page.raw("<p>None is declared: only pins can give trust.</p>\n");
    } else {
        page.raw("<p>Each line is a life, from a year ago to two years ahead; the upright mark is today.</p>\n");
        page.raw("<ul class=\"lives\">\n");
        for signer in &report.signers {
            life(page, signer, report.about.generated);
        }
        page.raw("</ul>\n<div class=\"scale\" aria-hidden=\"true\"><span>a year ago</span><span>today</span>");
        page.raw("<span><span>in a year</span><span>in two years</span></span></div>\n");
    }
    let missing = report.missing_keys.iter();
    let rows = missing.map(|one| {
        vec![
            Cell::Code(one.key.clone()),
            Cell::Names(one.releases.clone()),
        ]
    });
    let caption = "Keys that signatures name and nobody has declared. Compare the fingerprint with what the owner says \
                   before you declare one.";
    page.table(
        caption,
        &["Key", "Releases it is said to have signed"],
        rows.collect(),
    );
    page.raw("</section>\n");
}

fn life(page: &mut Page, signer: &Signer, now: Timestamp) {
    page.within(("<li><p><strong>", "</strong> "), &signer.name);
    page.badge(worth(signer.state), &state(signer.state));
    page.raw(" ").text(&end(signer, now));
    if let Some(successor) = &signer.successor {
        page.raw(", successor ").text(successor);
    }
    if let Some(revoked) = &signer.revoked {
        page.raw(" · revoked: ").text(revoked);
    }
    page.raw("</p>\n<p class=\"quiet\">");
    page.raw(match signer.kind {
        SignerKind::TrustedIdentity => "identity ",
        SignerKind::TrustedKey => "key ",
    });
    page.within(("<code>", "</code>"), &signer.who);
    for (before, text) in [
        (" by the word of ", &signer.issuer),
        (" · ", &signer.algorithm),
        (" · owner: ", &signer.owner),
    ] {
        if let Some(text) = text {
            page.raw(before).text(text);
        }
    }
    page.raw(" · ")
        .text(&many(signer.releases.len(), "release", "releases"))
        .raw("</p>\n");
    let life = Life {
        created: signer.created,
        expires: if is_over(signer.state) {
            signer.expires.min(Some(now)).or(Some(now))
        } else {
            signer.expires
        },
        state: signer.state,
    };
    Times::around(now).life(page, life);
    page.raw("</li>\n");
}

/// Whether somebody has ended it before its time.
fn is_over(state: Option<KeyState>) -> bool {
    matches!(state, Some(KeyState::Compromised | KeyState::Revoked))
}

fn state(state: Option<KeyState>) -> String {
    state.map_or_else(|| "not read yet".to_owned(), |state| format!("{state:?}"))
}

fn worth(state: Option<KeyState>) -> Standing {
    match state {
        Some(KeyState::Active) => Standing::Trusted,
        Some(KeyState::Expiring | KeyState::Retiring) => Standing::Unknown,
        Some(KeyState::Compromised | KeyState::Invalid | KeyState::Revoked) => Standing::Untrusted,
        Some(KeyState::Expired) | None => Standing::Unmanaged,
    }
}

fn end(signer: &Signer, now: Timestamp) -> String {
    if is_over(signer.state) {
        // When it would have ended by itself would read as if it were good until then.
        return "is believed no longer".to_owned();
    }
    let Some(end) = signer.expires else {
        return "never ends".to_owned();
    };
    let days = end.duration_since(now).as_hours() / 24;
    match days {
        _ if end <= now => format!("ended {}", day(end)),
        0 => format!("ends {}, within a day", day(end)),
        1 => format!("ends {}, in a day", day(end)),
        days => format!("ends {}, in {days} days", day(end)),
    }
}

/// What would be lost with each of them.
pub(super) fn resting(page: &mut Page, report: &Report) {
    page.raw("<section id=\"resting\"><h2>What rests on each</h2>\n<p>If a key is stolen, every release with a signature \
              by it has to be looked at. Those that it signed alone have nobody else to vouch for them.</p>\n");
    let signing = report
        .signers
        .iter()
        .filter(|signer| !signer.releases.is_empty());
    let rows = signing.clone().map(|signer| {
        let others = signer.releases.len() - signer.alone();
        vec![
            Cell::Text(signer.name.clone()),
            Cell::Verdict(worth(signer.state), state(signer.state)),
            Cell::Text(signer.releases.len().to_string()),
            Cell::Text(signer.alone().to_string()),
            Cell::Text(others.to_string()),
        ]
    });
    let heads = [
        "Key or identity",
        "State",
        "Releases",
        "By it alone",
        "By others too",
    ];
    page.table(
        "Releases with a good signature, by who has made it",
        &heads,
        rows.collect(),
    );
    for signer in signing {
        page.raw("<details><summary>").text(&signer.name).raw(": ");
        page.text(&many(signer.releases.len(), "release", "releases"))
            .raw("</summary><ul class=\"names\">\n");
        for signed in &signer.releases {
            page.within(("<li>", "</li>\n"), &line(signed));
        }
        page.raw("</ul></details>\n");
    }
    let unused = report
        .signers
        .iter()
        .filter(|signer| signer.releases.is_empty());
    let unused: Vec<_> = unused.map(|signer| signer.name.as_str()).collect();
    if !unused.is_empty() {
        page.raw("<p>No release has a good signature by ")
            .text(&unused.join(", "))
            .raw(".</p>\n");
    }
    page.raw("</section>\n");
}

fn line(signed: &Signed) -> String {
    let id = format!("{}/{}", signed.namespace, signed.release);
    match signed.others.as_slice() {
        [] => id,
        others => format!("{id} (also by {})", others.join(", ")),
    }
}
