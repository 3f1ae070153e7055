//! How many releases a policy may contain by itself: pure.
//!
//! A circuit breaker: what is due is counted for the whole policy at once, and if it does not fit,
//! none of it starts. One bad revocation cannot stop a cluster. A second brake is in each namespace,
//! so that whoever may write there uses up nobody else's.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::chart_trust_policy::QuarantineLimit;

/// What counts against the limit of a policy: a value, so that several may count, each the releases
/// of its own namespaces, and one decides about the sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Releases that the policy matches.
    pub matched: usize,
    /// What is in force and due, by the namespace in which the workloads lie.
    pub places: BTreeMap<String, Tally>,
}

/// What counts in one namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Quarantines that the policy has started and that are in force or on their way.
    pub active: usize,
    /// What is bad and not contained, due now or later.
    pub due: usize,
}

/// What may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// How many may be in force at a time.
    pub allowance: usize,
    /// Namespaces in which more is due than may be contained there: nothing starts in them.
    pub crowded: BTreeSet<String>,
    /// Whether all the rest may start; if not, none of it does.
    pub fits: bool,
}

impl Load {
    /// Takes in what was counted elsewhere.
    pub fn add(&mut self, other: Self) {
        self.matched = self.matched.saturating_add(other.matched);
        for (place, tally) in other.places {
            let own = self.places.entry(place).or_default();
            own.active = own.active.saturating_add(tally.active);
            own.due = own.due.saturating_add(tally.due);
        }
    }

    /// Counts a quarantine in force.
    pub fn add_active(&mut self, place: &str) {
        let tally = self.places.entry(place.to_owned()).or_default();
        tally.active = tally.active.saturating_add(1);
    }

    /// Counts a release that is bad and not contained.
    pub fn add_due(&mut self, place: &str) {
        let tally = self.places.entry(place.to_owned()).or_default();
        tally.due = tally.due.saturating_add(1);
    }

    /// How many are in force.
    pub fn active(&self) -> usize {
        self.places.values().map(|tally| tally.active).sum()
    }
}

/// What of all that is due may start beside what is in force.
pub fn admit(limit: &QuarantineLimit, load: &Load) -> Admitted {
    let most = number(limit.max_per_namespace);
    let is_crowded = |tally: &Tally| tally.due > 0 && tally.active.saturating_add(tally.due) > most;
    let (crowded, other): (Vec<_>, Vec<_>) =
        load.places.iter().partition(|(_, tally)| is_crowded(tally));
    let due = other.iter().map(|(_, tally)| tally.due);
    let wanted = due.fold(load.active(), usize::saturating_add);
    let allowance = allowance(limit, load.matched);
    Admitted {
        allowance,
        crowded: crowded
            .into_iter()
            .map(|(place, _)| place.clone())
            .collect(),
        fits: wanted <= allowance,
    }
}

/// How many releases a policy that matches so many may contain at a time.
pub fn allowance(limit: &QuarantineLimit, matched: usize) -> usize {
    let share = number(limit.max_percent).saturating_mul(matched) / 100;
    share.min(number(limit.max_releases)).max(1)
}

fn number(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(max_releases: u32, max_percent: u32) -> QuarantineLimit {
        QuarantineLimit {
            max_releases,
            max_percent,
            ..QuarantineLimit::default()
        }
    }

    fn load(matched: usize, places: &[(&str, usize, usize)]) -> Load {
        let tally = |(place, active, due): &(&str, usize, usize)| {
            let (active, due) = (*active, *due);
            ((*place).to_owned(), Tally { active, due })
        };
        Load {
            matched,
            places: places.iter().map(tally).collect(),
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

    /// In each row: what is in force and due by namespace, those in which nothing starts, and whether the
    /// rest may.
    #[test]
    fn what_is_in_force_and_due_counts_in_its_namespace_and_in_all() {
        type Row<'a> = (&'a [(&'a str, usize, usize)], &'a [&'a str], bool);
        let rows: [Row; 9] = [
            (&[], &[], true),
            (&[("a", 0, 3), ("b", 0, 2)], &[], true),
            (&[("a", 0, 3), ("b", 0, 3)], &[], false),
            (&[("a", 0, 4), ("b", 0, 1)], &["a"], true),
            (&[("a", 0, 4), ("b", 0, 3), ("c", 0, 3)], &["a"], false),
            (&[("a", 3, 1), ("b", 0, 2)], &["a"], true),
            (&[("a", 3, 1), ("b", 0, 3)], &["a"], false),
            (&[("a", 4, 0), ("b", 0, 1)], &[], true),
            (&[("a", 2, 1), ("b", 2, 0)], &[], true),
        ];
        for (places, crowded, fits) in rows {
            let admitted = admit(&limit(5, 100), &load(100, places));
            let names: Vec<_> = admitted.crowded.iter().map(String::as_str).collect();
            assert_eq!(
                (names.as_slice(), admitted.fits),
                (crowded, fits),
                "{places:?}"
            );
        }
    }

    fn tallies() -> impl Strategy<Value = Load> {
        let tally = (0_usize..5, 0_usize..9).prop_map(|(active, due)| Tally { active, due });
        let places = prop::collection::btree_map("[a-f]", tally, 0..6);
        (0_usize..200, places).prop_map(|(matched, places)| Load { matched, places })
    }

    proptest! {
        #[test]
        fn it_does_not_matter_who_has_counted_what(parts in prop::collection::vec(tallies(), 0..5)) {
            let sum = |parts: &[Load]| {
                let mut all = Load::default();
                for part in parts { all.add(part.clone()); }
                all
            };
            let reversed: Vec<_> = parts.iter().rev().cloned().collect();
            prop_assert_eq!(sum(&parts), sum(&reversed));
            let whole = sum(&parts);
            let active: usize = parts.iter().map(Load::active).sum();
            prop_assert_eq!(whole.active(), active);
        }

        /// Never harm beyond the limit; and what one namespace asks for keeps nothing from starting in
        /// another.
        #[test]
        fn no_namespace_uses_up_anothers(load in tallies(), more in 1_usize..1000) {
            let limit = limit(5, 100);
            let before = admit(&limit, &load);
            let mut flooded = load.clone();
            let tally = flooded.places.entry("tenant".to_owned()).or_default();
            tally.due = more.saturating_add(3);
            let after = admit(&limit, &flooded);
            prop_assert_eq!(after.fits, before.fits);
            let others: BTreeSet<_> =
                after.crowded.into_iter().filter(|place| place != "tenant").collect();
            prop_assert_eq!(others, before.crowded);
        }

        #[test]
        fn what_starts_stays_within_both_limits(load in tallies()) {
            let limit = limit(5, 100);
            let admitted = admit(&limit, &load);
            let starting = |(place, tally): (&String, &Tally)| {
                let starts = admitted.fits && !admitted.crowded.contains(place);
                if starts { tally.due } else { 0 }
            };
            let started: usize = load.places.iter().map(starting).sum();
            prop_assert!(started == 0 || load.active() + started <= admitted.allowance);
            for (place, tally) in &load.places {
                let starts = starting((place, tally));
                prop_assert!(starts == 0 || tally.active + starts <= 3);
            }
        }
    }
}
