//! Which ranges of the namespaces this replica takes, asks for and gives back: pure.
//!
//! Nobody hands out ranges. Each replica sees who holds which by their Leases and does its own part: it takes what
//! is free up to a fair share, asks the one that holds most for one of its ranges as long as that one holds two
//! more, and gives back what another asks for by the same rule. So each move makes the shares more equal, and once
//! they differ by one at most, nothing moves.

use std::collections::{BTreeMap, BTreeSet};

/// What is seen of the Lease of one range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Who holds it, as far as that lasts.
    pub(super) holder: Option<String>,
    /// Who asks for it.
    pub(super) wanted_by: Option<String>,
    /// Whether it has been free for so long that whoever was promised it would have taken it.
    pub(super) is_left: bool,
}

/// What to do about the ranges, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Free ones to take, in this order.
    pub(super) take: Vec<usize>,
    /// One of another to ask for.
    pub(super) ask: Option<usize>,
    /// Own ones to give back.
    pub(super) give_back: Vec<usize>,
}

/// Decides for one replica, from what it sees of all ranges.
pub(super) fn plan(us: &str, all: &[Seen]) -> Plan {
    let counts = counts(us, all);
    let ours = counts.get(us).copied().unwrap_or_default();
    let give_back = given_back(us, all, counts.clone());
    let take = taken(us, all, ours, counts.len());
    let is_idle = take.is_empty() && give_back.is_empty();
    let is_asking = all.iter().any(|one| one.wanted_by.as_deref() == Some(us));
    let are_held = all.iter().all(|one| one.holder.is_some());
    let ask = (is_idle && !is_asking && are_held)
        .then(|| largest(all, &counts, ours))
        .flatten();
    Plan {
        take,
        ask,
        give_back,
    }
}

/// How many ranges everybody holds, with ourselves and those who ask for one.
fn counts<'a>(us: &'a str, all: &'a [Seen]) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::from([(us, 0)]);
    for one in all {
        if let Some(wanted_by) = &one.wanted_by {
            counts.entry(wanted_by).or_default();
        }
        if let Some(holder) = &one.holder {
            *counts.entry(holder).or_default() += 1;
        }
    }
    counts
}

/// What is free, up to a fair share; what is left by all others, whatever that comes to.
fn taken(us: &str, all: &[Seen], ours: usize, members: usize) -> Vec<usize> {
    let fair = all.len().div_ceil(members.max(1));
    let room = fair.saturating_sub(ours);
    let free = all
        .iter()
        .enumerate()
        .filter(|(_, one)| one.holder.is_none());
    // Another was promised it, and takes it at its next look.
    let is_ours = |one: &Seen| one.is_left || one.wanted_by.as_deref().is_none_or(|by| by == us);
    let (mut taken, mut room) = (Vec::new(), room);
    for (index, one) in free.filter(|(_, one)| is_ours(one)) {
        if room > 0 || one.is_left {
            taken.push(index);
            room = room.saturating_sub(1);
        }
    }
    taken
}

/// What others ask for who hold two ranges less.
fn given_back<'a>(
    us: &'a str,
    all: &'a [Seen],
    mut counts: BTreeMap<&'a str, usize>,
) -> Vec<usize> {
    let mut given = Vec::new();
    for (index, one) in all.iter().enumerate().rev() {
        let is_ours = one.holder.as_deref() == Some(us);
        let Some(other) = one
            .wanted_by
            .as_deref()
            .filter(|other| is_ours && *other != us)
        else {
            continue;
        };
        let [ours, theirs] = [us, other].map(|who| counts.get(who).copied().unwrap_or_default());
        if ours >= theirs + 2 {
            counts.insert(us, ours - 1);
            counts.insert(other, theirs + 1);
            given.push(index);
        }
    }
    given
}

/// The last range of the one that holds most, if that is two more than ours. The first is left where it is: whoever
/// holds it decides for all.
fn largest(all: &[Seen], counts: &BTreeMap<&str, usize>, ours: usize) -> Option<usize> {
    let most = counts.values().copied().max()?;
    let holders: BTreeSet<_> = counts.iter().filter(|(_, count)| **count == most).collect();
    let (holder, _) = holders.into_iter().next()?;
    let is_theirs = |one: &Seen| one.holder.as_deref() == Some(*holder) && one.wanted_by.is_none();
    let last = all.iter().rposition(is_theirs)?;
    (most >= ours + 2).then_some(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held(holder: &str) -> Seen {
        Seen {
            holder: Some(holder.to_owned()),
            ..Seen::default()
        }
    }

    fn free() -> Seen {
        Seen::default()
    }

    fn wanted(holder: &str, by: &str) -> Seen {
        Seen {
            wanted_by: Some(by.to_owned()),
            ..held(holder)
        }
    }

    fn left() -> Seen {
        Seen {
            is_left: true,
            ..Seen::default()
        }
    }

    #[test]
    fn one_replica_takes_everything() {
        assert_eq!(plan("a", &[free(), free(), free()]).take, [0, 1, 2]);
    }

    #[test]
    fn what_is_free_is_shared_with_those_who_are_seen() {
        let all = [held("b"), free(), free(), free()];
        assert_eq!(plan("a", &all).take, [1, 2]);
        let all = [held("b"), held("b"), free(), held("a"), held("a")];
        assert_eq!(plan("a", &all).take, [2], "a fair share of five is three");
        let all = [held("a"), held("a"), free(), held("b")];
        assert_eq!(plan("a", &all).take, [] as [usize; 0]);
    }

    #[test]
    fn what_nobody_takes_is_taken_beyond_a_fair_share() {
        let all = [held("a"), held("a"), left(), held("b")];
        assert_eq!(plan("a", &all).take, [2]);
    }

    #[test]
    fn what_was_promised_to_another_is_left_to_it_for_a_look() {
        let promised = Seen {
            wanted_by: Some("b".to_owned()),
            ..free()
        };
        assert_eq!(
            plan("a", &[held("a"), promised.clone()]).take,
            [] as [usize; 0]
        );
        assert_eq!(plan("b", &[held("a"), promised.clone()]).take, [1]);
        let others = [promised.clone(), held("c"), held("c")];
        assert_eq!(
            plan("a", &others).take,
            [] as [usize; 0],
            "though it has room"
        );
        assert_eq!(plan("a", &others).ask, None, "before all are held");
        let is_left = Seen {
            is_left: true,
            ..promised
        };
        assert_eq!(
            plan("a", &[held("a"), is_left]).take,
            [1],
            "it did not come"
        );
    }

    #[test]
    fn one_that_comes_asks_whoever_holds_most_for_its_last() {
        let all = [held("a"), held("a"), held("b"), held("a")];
        assert_eq!(plan("c", &all).ask, Some(3));
        assert_eq!(plan("b", &all).ask, Some(3));
        assert_eq!(plan("a", &all).ask, None);
        assert_eq!(
            plan("c", &[held("a"), held("b")]).ask,
            None,
            "one more is no reason to move"
        );
        let asked = [held("a"), held("a"), wanted("a", "c")];
        assert_eq!(plan("c", &asked).ask, None, "it has asked");
    }

    #[test]
    fn what_is_asked_for_is_given_back_as_long_as_that_makes_shares_more_equal() {
        let all = [held("a"), wanted("a", "b"), wanted("a", "c")];
        assert_eq!(plan("a", &all).give_back, [2, 1]);
        let all = [held("a"), wanted("a", "b"), wanted("a", "b")];
        assert_eq!(
            plan("a", &all).give_back,
            [2],
            "then it has two, and the other one"
        );
        let all = [held("a"), held("a"), wanted("a", "b"), wanted("a", "c")];
        assert_eq!(plan("a", &all).give_back, [3, 2]);
        assert_eq!(
            plan("a", &[held("b"), wanted("a", "b")]).give_back,
            [] as [usize; 0]
        );
        assert_eq!(
            plan("b", &all).give_back,
            [] as [usize; 0],
            "they are not its own"
        );
    }

    /// Everybody looks in turn and does what it plans, as the keeper of the Leases does.
    fn turn(us: &str, all: &mut [Seen]) -> usize {
        let Plan {
            take,
            ask,
            give_back,
        } = plan(us, all);
        for index in &give_back {
            all[*index].holder = None;
        }
        for index in &take {
            all[*index] = held(us);
        }
        if let Some(index) = ask {
            all[index].wanted_by = Some(us.to_owned());
        }
        give_back.len()
    }

    proptest! {
        /// From whatever is held by whom: in the end everything is held once, shares differ by one at most, and no
        /// more was moved than had to be.
        #[test]
        fn shares_become_equal_and_stay_so(
            holders in prop::collection::vec(prop::option::of(0..4_usize), 1..24),
            members in 1..4_usize,
        ) {
            let name = |member: usize| format!("replica-{member}");
            // Of a member that is gone nothing is left but its Leases, which have ended.
            let mut all: Vec<_> = holders
                .iter()
                .map(|holder| match holder {
                    Some(member) if *member < members => held(&name(*member)),
                    Some(_) | None => free(),
                })
                .collect();
            let count = |all: &[Seen], member: usize| {
                all.iter().filter(|one| one.holder == Some(name(member))).count()
            };
            let before: Vec<_> = (0..members).map(|member| count(&all, member)).collect();
            let mut moved = 0;
            for _ in 0..200 {
                let were_free: Vec<_> = all.iter().map(|one| one.holder.is_none()).collect();
                for member in 0..members {
                    moved += turn(&name(member), &mut all);
                }
                // Everybody has looked since it is free, whoever was promised it too.
                for (one, was_free) in all.iter_mut().zip(were_free) {
                    one.is_left = was_free && one.holder.is_none();
                }
            }
            let after: Vec<_> = (0..members).map(|member| count(&all, member)).collect();
            prop_assert_eq!(after.iter().sum::<usize>(), all.len());
            let (most, fewest) = (after.iter().max().unwrap(), after.iter().min().unwrap());
            prop_assert!(most - fewest <= 1, "{:?}", after);
            let fair = all.len() / members;
            let surplus: usize = before.iter().map(|count| count.saturating_sub(fair)).sum();
            let was_whole = before.iter().sum::<usize>() == all.len();
            prop_assert!(!was_whole || moved <= surplus, "{} moves of a surplus of {}", moved, surplus);
        }
    }
}
