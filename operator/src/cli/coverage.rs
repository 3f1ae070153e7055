//! How much of what runs is trusted, in one line. Touches nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use charttrust_verify::verdict::Cause;

use crate::api::ReleaseTrust;
use crate::api::chart_trust_policy::ReleaseCounts;
use crate::api::conditions::Status as Said;
use crate::leader::Unaccounted;

/// What is told below a list of verdicts; nothing if there is nothing.
pub(super) fn told(trusts: &[ReleaseTrust], unaccounted: Option<Unaccounted>) -> String {
    let mut counts = ReleaseCounts::default();
    let mut causes: BTreeMap<&str, u32> = BTreeMap::new();
    for trust in trusts {
        count(trust, &mut counts, &mut causes);
    }
    let without_record = unaccounted.unwrap_or_default();
    counts.unaccounted = u32::try_from(without_record.releases).unwrap_or(u32::MAX);
    let Some(percent) = counts.trusted_percent() else {
        return String::new();
    };
    let all = counts.total.saturating_add(counts.unaccounted);
    let mut line = format!("\n{percent} % trusted: {} of {all}", counts.trusted);
    let mut add = |number: u32, word: &str| {
        if number > 0 {
            // Invariant: writing to a String does not fail.
            let _ = write!(line, ", {number} {word}");
        }
    };
    add(counts.untrusted, "not trusted");
    let causes: Vec<_> = causes
        .iter()
        .map(|(cause, many)| format!("{cause} {many}"))
        .collect();
    add(counts.unknown, &format!("unknown ({})", causes.join(", ")));
    add(counts.unmanaged, "unmanaged");
    add(counts.exempt, "exempt");
    add(
        counts.unaccounted,
        "without a record (charttrust status --unaccounted)",
    );
    line + "\n"
}

fn count<'a>(
    trust: &'a ReleaseTrust,
    counts: &mut ReleaseCounts,
    causes: &mut BTreeMap<&'a str, u32>,
) {
    counts.total += 1;
    let said = trust.verdict();
    let reason = said.map_or(Cause::Pending.word(), |said| said.reason.as_str());
    match said.map(|said| said.status) {
        Some(Said::True) => counts.trusted += 1,
        Some(Said::False) => counts.untrusted += 1,
        Some(Said::Unknown) | None if reason == Cause::Exempt.word() => counts.exempt += 1,
        Some(Said::Unknown) | None if reason == Cause::Unmanaged.word() => counts.unmanaged += 1,
        Some(Said::Unknown) | None => {
            counts.unknown += 1;
            *causes.entry(reason).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::status::tests::trust;
    use super::*;

    #[test]
    fn a_line_says_how_much_is_trusted_and_why_the_rest_is_not() {
        let all = |words: &[&str]| {
            words
                .iter()
                .map(|word| trust("web", word))
                .collect::<Vec<_>>()
        };
        let unaccounted = |releases| Unaccounted {
            releases,
            workloads: releases,
        };
        assert_eq!(told(&[], None), "");
        assert_eq!(
            told(&all(&["SignatureVerified", "DigestPinned"]), None),
            "\n100 % trusted: 2 of 2\n"
        );
        let words = [
            "SignatureVerified",
            "Unsigned",
            "KeyCompromised",
            "SourceUnavailable",
            "NoPolicy",
            "NoPolicy",
            "Exempt",
            "Unmanaged",
        ];
        assert_eq!(
            told(&all(&words), Some(unaccounted(2))),
            "\n10 % trusted: 1 of 10, 2 not trusted, 3 unknown (NoPolicy 2, SourceUnavailable 1), \
             1 unmanaged, 1 exempt, 2 without a record (charttrust status --unaccounted)\n"
        );
        let told = told(&[ReleaseTrust::default()], None);
        assert_eq!(told, "\n0 % trusted: 0 of 1, 1 unknown (Pending 1)\n");
        assert_eq!(super::told(&[], Some(unaccounted(1))).lines().count(), 2);
    }
}
