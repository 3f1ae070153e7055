//! How much of what runs is trusted, in numbers and in one line. Touches nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use charttrust_verify::verdict::Cause;
use serde::Serialize;

use crate::api::ReleaseTrust;
use crate::api::chart_trust_policy::ReleaseCounts;
use crate::api::conditions::Status as Said;
use crate::leader::Unaccounted;

/// How a release stands, the worst first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(super) enum Standing {
    /// It is not trusted.
    Untrusted,
    /// It could not be judged.
    Unknown,
    /// An exception forgives it.
    Exempt,
    /// Proof was found.
    Trusted,
    /// A rule asks for nothing.
    Unmanaged,
}

impl Standing {
    /// How a release stands, and the word of its verdict.
    pub(super) fn of(trust: &ReleaseTrust) -> (Self, &str) {
        let said = trust.verdict();
        let reason = said.map_or(Cause::Pending.word(), |said| said.reason.as_str());
        let standing = match said.map(|said| said.status) {
            Some(Said::True) => Self::Trusted,
            Some(Said::False) => Self::Untrusted,
            Some(Said::Unknown) | None if reason == Cause::Exempt.word() => Self::Exempt,
            Some(Said::Unknown) | None if reason == Cause::Unmanaged.word() => Self::Unmanaged,
            Some(Said::Unknown) | None => Self::Unknown,
        };
        (standing, reason)
    }
}

/// The numbers of releases by verdict, and of the unknown by cause.
pub(super) fn counted(
    trusts: &[ReleaseTrust],
    unaccounted: Option<Unaccounted>,
) -> (ReleaseCounts, BTreeMap<&str, u32>) {
    let mut counts = ReleaseCounts::default();
    let mut causes = BTreeMap::new();
    for trust in trusts {
        count(trust, &mut counts, &mut causes);
    }
    let without_record = unaccounted.unwrap_or_default();
    counts.unaccounted = u32::try_from(without_record.releases).unwrap_or(u32::MAX);
    (counts, causes)
}

/// What is told below a list of verdicts; nothing if there is nothing.
pub(super) fn told(trusts: &[ReleaseTrust], unaccounted: Option<Unaccounted>) -> String {
    let (counts, causes) = counted(trusts, unaccounted);
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
    let (standing, reason) = Standing::of(trust);
    match standing {
        Standing::Trusted => counts.trusted += 1,
        Standing::Untrusted => counts.untrusted += 1,
        Standing::Exempt => counts.exempt += 1,
        Standing::Unmanaged => counts.unmanaged += 1,
        Standing::Unknown => {
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
