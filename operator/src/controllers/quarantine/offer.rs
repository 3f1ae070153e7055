//! What is due in one part of the work, as it is offered to whoever decides for all.

use crate::api::shards::{PLACES, ShardDue, ShardPlace, ShardQuarantine};
use crate::controllers::shares::number;
use crate::inventory::ReleaseId;
use crate::quarantine::limit::{Load, Tally};

/// What one part has found due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    /// What counts against the limit.
    pub(super) load: Load,
    /// Due later, or waiting for approval or for workloads.
    pub(super) waiting: usize,
    /// What may begin now, if it fits.
    pub(super) due: Vec<Offered>,
    /// Whether more is due than was told: nothing may begin.
    pub(super) overflows: bool,
}

/// A release that may be contained now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offered {
    pub(super) id: ReleaseId,
    /// Where its workloads lie.
    pub(super) place: String,
    /// Why.
    pub(super) word: String,
}

impl Offer {
    /// How many are in force.
    pub(super) fn active(&self) -> usize {
        self.load.active()
    }

    /// As it stands in a status.
    pub(super) fn told(&self, waiting: usize) -> ShardQuarantine {
        let place = |(namespace, tally): (&String, &Tally)| ShardPlace {
            namespace: namespace.clone(),
            active: number(tally.active),
            due: number(tally.due),
        };
        let due = |one: &Offered| ShardDue {
            namespace: one.id.namespace.clone(),
            name: one.id.name.clone(),
            place: (one.place != one.id.namespace).then(|| one.place.clone()),
            reason: one.word.clone(),
        };
        let is_one = |(_, tally): &(&String, &Tally)| tally.active + tally.due > 0;
        let counting = self.load.places.iter().filter(is_one);
        ShardQuarantine {
            waiting: number(waiting),
            overflows: counting.clone().count() > PLACES,
            places: counting.map(place).take(PLACES).collect(),
            // What is not told now is told when these have begun; all of it counts.
            due: self.due.iter().take(PLACES).map(due).collect(),
        }
    }

    /// From a status, of a part with so many releases that the policy applies to.
    pub(super) fn of(matched: u32, told: &ShardQuarantine) -> Self {
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let place = |one: &ShardPlace| {
            let (active, due) = (count(one.active), count(one.due));
            (one.namespace.clone(), Tally { active, due })
        };
        let due = |one: &ShardDue| Offered {
            id: ReleaseId {
                namespace: one.namespace.clone(),
                name: one.name.clone(),
            },
            place: one.place.as_ref().unwrap_or(&one.namespace).clone(),
            word: one.reason.clone(),
        };
        Self {
            load: Load {
                matched: count(matched),
                places: told.places.iter().map(place).collect(),
            },
            waiting: count(told.waiting),
            due: told.due.iter().map(due).collect(),
            overflows: told.overflows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(namespace: &str, name: &str, place: &str) -> Offered {
        Offered {
            id: ReleaseId {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
            place: place.to_owned(),
            word: "KeyCompromised".to_owned(),
        }
    }

    fn offer(places: usize) -> Offer {
        let mut load = Load {
            matched: 9,
            ..Load::default()
        };
        load.add_active("bank");
        (1..places).for_each(|n| load.add_due(&format!("shop-{n}")));
        Offer {
            load,
            waiting: 4,
            due: vec![
                offered("shop", "web", "shop"),
                offered("argocd", "argocd.web", "shop-1"),
            ],
            overflows: false,
        }
    }

    #[test]
    fn what_is_told_is_read_back() {
        for (places, overflows) in [(2, false), (PLACES, false), (PLACES + 1, true)] {
            let offer = offer(places);
            let read = Offer::of(9, &offer.told(4));
            assert_eq!(read.overflows, overflows, "{places}");
            let is_whole = Offer {
                overflows: false,
                ..read
            } == offer;
            assert_eq!(is_whole, !overflows, "{places}");
        }
    }
}
