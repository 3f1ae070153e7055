//! How many releases a policy may contain by itself: pure.
//!
//! A circuit breaker: what is due is counted for the whole policy at once, and if it does not fit,
//! none of it starts. One bad revocation cannot stop a cluster.

use crate::api::chart_trust_policy::QuarantineLimit;

/// How many releases a policy that matches so many may contain at a time.
pub fn allowance(limit: &QuarantineLimit, matched: usize) -> usize {
    let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let share = number(limit.max_percent).saturating_mul(matched) / 100;
    share.min(number(limit.max_releases)).max(1)
}

/// Whether what is due may start beside what is in force.
pub fn fits(limit: &QuarantineLimit, matched: usize, active: usize, due: usize) -> bool {
    active.saturating_add(due) <= allowance(limit, matched)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(max_releases: u32, max_percent: u32) -> QuarantineLimit {
        QuarantineLimit {
            max_releases,
            max_percent,
        }
    }

    #[test]
    fn the_smaller_of_number_and_share_counts_and_at_least_one() {
        for (releases, percent, matched, allowed) in [
            (5, 10, 100, 5),
            (5, 10, 40, 4),
            (5, 10, 49, 4),
            (5, 10, 3, 1),
            (5, 10, 0, 1),
            (30, 100, 100, 30),
            (10_000, 100, 7, 7),
        ] {
            assert_eq!(allowance(&limit(releases, percent), matched), allowed);
        }
    }

    #[test]
    fn what_is_in_force_counts_too() {
        let limit = limit(5, 100);
        assert!(fits(&limit, 100, 0, 5));
        assert!(!fits(&limit, 100, 0, 6));
        assert!(fits(&limit, 100, 2, 3));
        assert!(!fits(&limit, 100, 3, 3));
        assert!(!fits(&limit, 100, 9, 0));
    }
}
