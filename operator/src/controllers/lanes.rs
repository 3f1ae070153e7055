//! Lanes of a queue: what is slow in one keeps no worker from another.

use std::collections::{HashMap, HashSet};

use tokio::time::Instant;

/// How many items of one lane are worked on at a time.
pub(super) const SHARE: usize = 3;
/// As many while what was done last there was slow or came to nothing: one probes, others wait.
const SHARE_OF_SLOW: usize = 1;
/// How many items of all slow lanes together are worked on at a time: however many sources hang, some
/// workers are left for the others.
pub(super) const SHARE_OF_ALL_SLOW: usize = 8;

/// How quickly a lane moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// What was done last there took no time to speak of.
    Quick,
    /// It took long, or nothing came of it.
    Slow,
}

/// What is being done in each lane. The lane without a name has no limit.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    running: HashMap<String, usize>,
    slow: HashSet<String>,
    /// When something last came to its end there, where that was no slow lane.
    moved: HashMap<String, Instant>,
}

impl Lanes {
    /// Whether one more item may be begun there.
    pub(super) fn is_open(&self, lane: &str) -> bool {
        if lane.is_empty() {
            return true;
        }
        let running = self.running.get(lane).copied().unwrap_or_default();
        if !self.slow.contains(lane) {
            return running < SHARE;
        }
        let of_slow = self.slow.iter().filter_map(|lane| self.running.get(lane));
        running < SHARE_OF_SLOW && of_slow.sum::<usize>() < SHARE_OF_ALL_SLOW
    }

    pub(super) fn begin(&mut self, lane: &str) {
        if !lane.is_empty() {
            *self.running.entry(lane.to_owned()).or_default() += 1;
        }
    }

    pub(super) fn end(&mut self, lane: &str, now: Instant) {
        if !lane.is_empty() && !self.slow.contains(lane) {
            self.moved.insert(lane.to_owned(), now);
        }
        if let Some(running) = self.running.get_mut(lane) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(lane);
            }
        }
    }

    pub(super) fn set(&mut self, lane: &str, pace: Pace) {
        match pace {
            Pace::Quick => self.slow.remove(lane),
            Pace::Slow => self.slow.insert(lane.to_owned()),
        };
    }

    /// When something last came quickly to its end there, as far as that is remembered.
    pub(super) fn moved(&self, lane: &str) -> Option<Instant> {
        let moved = self.moved.get(lane).copied();
        moved.filter(|_| !self.slow.contains(lane))
    }

    /// Nothing waits or runs there any more.
    pub(super) fn forget(&mut self, lane: &str) {
        if !self.running.contains_key(lane) {
            self.slow.remove(lane);
            self.moved.remove(lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::tick;

    fn begun(lanes: &mut Lanes, lane: &str) -> usize {
        let mut begun = 0;
        while lanes.is_open(lane) {
            lanes.begin(lane);
            begun += 1;
        }
        begun
    }

    #[test]
    fn a_lane_has_its_share_and_a_slow_one_probes() {
        let mut lanes = Lanes::default();
        assert_eq!(begun(&mut lanes, "a"), SHARE);
        assert_eq!(begun(&mut lanes, "b"), SHARE, "each has its own");
        lanes.set("a", Pace::Slow);
        lanes.end("a", tick());
        lanes.end("a", tick());
        assert!(!lanes.is_open("a"), "one of them still runs");
        lanes.end("a", tick());
        assert_eq!(begun(&mut lanes, "a"), SHARE_OF_SLOW);
        lanes.set("a", Pace::Quick);
        assert_eq!(begun(&mut lanes, "a"), SHARE - SHARE_OF_SLOW);
    }

    #[test]
    fn however_many_are_slow_others_are_begun() {
        let mut lanes = Lanes::default();
        let slow: Vec<_> = (0..100).map(|number| format!("slow-{number}")).collect();
        for lane in &slow {
            lanes.set(lane, Pace::Slow);
        }
        let begun_of_slow: usize = slow.iter().map(|lane| begun(&mut lanes, lane)).sum();
        assert_eq!(begun_of_slow, SHARE_OF_ALL_SLOW);
        assert_eq!(begun(&mut lanes, "quick"), SHARE);
        assert!(lanes.is_open(""), "what has no lane has no limit");
    }

    #[test]
    fn a_lane_moves_when_something_ends_there_that_was_not_slow() {
        let (mut lanes, now) = (Lanes::default(), tick());
        lanes.begin("a");
        assert_eq!(lanes.moved("a"), None, "what has begun may hang");
        lanes.end("a", now);
        assert_eq!((lanes.moved("a"), lanes.moved("b")), (Some(now), None));
        lanes.set("a", Pace::Slow);
        assert_eq!(lanes.moved("a"), None);
        lanes.begin("a");
        lanes.end("a", now);
        assert_eq!(lanes.moved("a"), None);
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut lanes = Lanes::default();
        lanes.begin("a");
        lanes.set("a", Pace::Slow);
        lanes.forget("a");
        assert!(lanes.slow.contains("a"), "it still runs");
        lanes.end("a", tick());
        lanes.forget("a");
        assert!(lanes.running.is_empty() && lanes.slow.is_empty() && lanes.moved.is_empty());
    }
}
