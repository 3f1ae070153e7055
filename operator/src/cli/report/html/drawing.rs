//! Drawings within the page: how much is trusted, and how long keys live. Touches nothing.

use jiff::{SignedDuration, Timestamp};

use super::page::{Page, class};
use crate::api::chart_trust_policy::ReleaseCounts;
use crate::api::trusted_key::KeyState;
use crate::cli::coverage::Standing;

/// The parts of all that runs, the good ones first, with what each is called.
pub(super) fn parts(counts: ReleaseCounts) -> [(Standing, &'static str, u32); 5] {
    [
        (Standing::Trusted, "trusted", counts.trusted),
        (Standing::Untrusted, "not trusted", counts.untrusted),
        (Standing::Unknown, "could not be judged", counts.unknown),
        (Standing::Exempt, "exempt", counts.exempt),
        (Standing::Unmanaged, "unmanaged", counts.unmanaged),
    ]
}

/// A bar of the releases by verdict; its numbers stand beside it in words.
pub(super) fn bar(page: &mut Page, counts: ReleaseCounts) {
    let parts: Vec<_> = parts(counts)
        .into_iter()
        .filter(|(.., many)| *many > 0)
        .collect();
    let all: u64 = parts.iter().map(|(.., many)| u64::from(*many)).sum();
    if all == 0 {
        return;
    }
    page.raw("<svg class=\"bar\" viewBox=\"0 0 1000 36\" preserveAspectRatio=\"none\"");
    page.raw(" role=\"img\" aria-label=\"");
    for (place, (_, name, many)) in parts.iter().enumerate() {
        page.raw(if place == 0 { "" } else { ", " });
        page.number(many).raw(" ").text(name);
    }
    page.raw("\">");
    let mut from = 0;
    for (standing, _, many) in &parts {
        let wide = u64::from(*many) * WIDTH / all;
        page.raw("<rect y=\"0\" height=\"36\" x=\"").number(from);
        page.raw("\" width=\"")
            .number(wide.max(LEAST))
            .raw("\" class=\"");
        page.raw(class(*standing)).raw("\"/>");
        from += wide;
    }
    page.raw("</svg>\n");
}

/// Width of every drawing, in its own units.
const WIDTH: u64 = 1000;
/// Width of the smallest part, so that one release among thousands shows.
const LEAST: u64 = 6;

/// The time that lives of keys are drawn in: a year back, two ahead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    now: Timestamp,
}

/// How long somebody may vouch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) created: Option<Timestamp>,
    pub(super) expires: Option<Timestamp>,
    pub(super) state: Option<KeyState>,
}

impl Times {
    pub(super) fn around(now: Timestamp) -> Self {
        Self { now }
    }

    /// Where an instant lies, within the drawing.
    fn place(self, at: Timestamp) -> u64 {
        let from = self.now - YEAR;
        let seconds = at.duration_since(from).as_secs().clamp(0, SPAN);
        u64::try_from(seconds * THOUSAND / SPAN).unwrap_or_default()
    }

    /// A line from the beginning of a life to its end, and where today is. Its dates stand beside it in words.
    pub(super) fn life(self, page: &mut Page, life: Life) {
        let begin = life.created.map_or(0, |at| self.place(at));
        let end = life.expires.map_or(WIDTH, |at| self.place(at));
        page.raw("<svg class=\"life\" viewBox=\"0 0 1000 14\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
        page.raw("<rect class=\"ground\" x=\"0\" y=\"5\" width=\"1000\" height=\"4\"/>");
        page.raw("<rect y=\"2\" height=\"10\" x=\"").number(begin);
        page.raw("\" width=\"")
            .number(end.saturating_sub(begin).max(LEAST))
            .raw("\" class=\"");
        page.raw(worth(life.state)).raw("\"/>");
        page.raw("<rect class=\"now\" y=\"0\" height=\"14\" width=\"3\" x=\"");
        page.number(self.place(self.now)).raw("\"/></svg>\n");
    }
}

/// The colour of a state.
fn worth(state: Option<KeyState>) -> &'static str {
    match state {
        Some(KeyState::Active) => class(Standing::Trusted),
        Some(KeyState::Expiring | KeyState::Retiring) => class(Standing::Unknown),
        Some(KeyState::Compromised | KeyState::Invalid | KeyState::Revoked) => {
            class(Standing::Untrusted)
        }
        Some(KeyState::Expired) | None => class(Standing::Unmanaged),
    }
}

const YEAR: SignedDuration = SignedDuration::from_hours(24 * 365);
const SPAN: i64 = 3 * 365 * 24 * 3600;
const THOUSAND: i64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_part_shows_and_what_is_not_there_does_not() {
        let mut page = Page::default();
        let counts = ReleaseCounts {
            total: 1000,
            trusted: 999,
            untrusted: 1,
            ..ReleaseCounts::default()
        };
        bar(&mut page, counts);
        let text = page.written();
        assert!(
            text.contains("aria-label=\"999 trusted, 1 not trusted\""),
            "{text}"
        );
        assert!(
            text.contains("x=\"999\" width=\"6\" class=\"untrusted\""),
            "{text}"
        );
        assert_eq!(text.matches("<rect").count(), 2, "{text}");
        let mut page = Page::default();
        bar(&mut page, ReleaseCounts::default());
        assert_eq!(page.written(), "");
    }

    #[test]
    fn lives_are_cut_at_the_edges_and_without_an_end_go_on() {
        let now: Timestamp = "2026-11-30T00:00:00Z".parse().unwrap();
        let at = |text: &str| Some(text.parse().unwrap());
        for (created, expires, expected) in [
            (None, None, "x=\"0\" width=\"1000\""),
            (
                at("2001-01-01T00:00:00Z"),
                at("2099-01-01T00:00:00Z"),
                "x=\"0\" width=\"1000\"",
            ),
            (
                at("2026-11-30T00:00:00Z"),
                at("2027-11-30T00:00:00Z"),
                "x=\"333\" width=\"333\"",
            ),
            (
                at("2020-01-01T00:00:00Z"),
                at("2021-01-01T00:00:00Z"),
                "x=\"0\" width=\"6\"",
            ),
        ] {
            let mut page = Page::default();
            let life = Life {
                created,
                expires,
                state: Some(KeyState::Active),
            };
            Times::around(now).life(&mut page, life);
            let text = page.written();
            assert!(
                text.contains(&format!("height=\"10\" {expected} class=\"trusted\"")),
                "{text}"
            );
            assert!(text.contains("width=\"3\" x=\"333\""), "{text}");
        }
    }
}
