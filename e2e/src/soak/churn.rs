//! What comes and goes: from a seed and pure, so that a run can be repeated.

use std::collections::BTreeMap;

/// Whose chart a release is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Signed by a key that stays good.
    Good,
    /// Signed by a key that is stolen again and again.
    Stolen,
    /// Signed by nobody.
    Unsigned,
}

/// What happens next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A release comes, in its first revision.
    Install(String, Kind),
    /// One has a new revision.
    Upgrade(String),
    /// One goes.
    Uninstall(String),
    /// The key of [`Kind::Stolen`] is revoked.
    Revoke,
    /// And it is not.
    Withdraw,
}

/// Which releases there are, and what comes next.
#[derive(Debug)]
pub(super) struct Churn {
    chance: u64,
    present: BTreeMap<String, (Kind, i64)>,
    steps: u64,
    is_revoked: bool,
}

impl Churn {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            chance: seed,
            present: BTreeMap::new(),
            steps: 0,
            is_revoked: false,
        }
    }

    /// The releases, each with whose it is and its revision.
    pub(super) fn present(&self) -> &BTreeMap<String, (Kind, i64)> {
        &self.present
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // The multiplier and the increment of Knuth's MMIX.
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005);
        self.chance = self.chance.wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) % end.max(1)
    }

    /// Takes the next step.
    pub(super) fn step(&mut self) -> Step {
        self.steps += 1;
        if self.steps.is_multiple_of(KEY_CHANGES) {
            return self.turn();
        }
        let count = u64::try_from(self.present.len()).unwrap_or(u64::MAX);
        let chosen = usize::try_from(self.below(count)).unwrap_or_default();
        let chosen = self.present.keys().nth(chosen).cloned();
        match (self.below(3), chosen) {
            (1, Some(name)) => {
                if let Some((_, revision)) = self.present.get_mut(&name) {
                    *revision += 1;
                }
                Step::Upgrade(name)
            }
            (2, Some(name)) if count > FEWEST => self.goes(name),
            (_, Some(name)) if count >= MOST => self.goes(name),
            _ => {
                let kind = match self.below(3) {
                    0 => Kind::Good,
                    1 => Kind::Stolen,
                    _ => Kind::Unsigned,
                };
                let name = format!("soak-{}", self.steps);
                self.present.insert(name.clone(), (kind, 1));
                Step::Install(name, kind)
            }
        }
    }

    fn goes(&mut self, name: String) -> Step {
        self.present.remove(&name);
        Step::Uninstall(name)
    }

    fn turn(&mut self) -> Step {
        self.is_revoked = !self.is_revoked;
        if self.is_revoked {
            Step::Revoke
        } else {
            Step::Withdraw
        }
    }

    /// From now on the key of [`Kind::Stolen`] is good.
    pub(super) fn withdraw(&mut self) {
        self.is_revoked = false;
    }

    /// The verdict of a release of this kind.
    pub(super) fn verdict(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Stolen if self.is_revoked => "KeyCompromised",
            Kind::Good | Kind::Stolen => "SignatureVerified",
            Kind::Unsigned => "Unsigned",
        }
    }
}

/// So many steps after each other one concerns the key.
const KEY_CHANGES: u64 = 15;
/// From so many releases on, some go.
const FEWEST: u64 = 5;
/// There are never more.
const MOST: u64 = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_run() {
        let run = |seed| {
            let mut churn = Churn::new(seed);
            (0..200).map(|_| churn.step()).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn each_step_is_taken_and_there_are_never_too_many() {
        let mut churn = Churn::new(7);
        let mut taken = [0; 5];
        for _ in 0..2_000 {
            let step = churn.step();
            let which = match &step {
                Step::Install(name, _) => {
                    assert_eq!(churn.present()[name].1, 1);
                    0
                }
                Step::Upgrade(name) => {
                    assert!(churn.present()[name].1 > 1);
                    1
                }
                Step::Uninstall(name) => {
                    assert!(!churn.present().contains_key(name));
                    2
                }
                Step::Revoke => 3,
                Step::Withdraw => 4,
            };
            taken[which] += 1;
            assert!(churn.present().len() <= 40);
        }
        assert!(taken.iter().all(|count| *count > 50), "{taken:?}");
    }

    #[test]
    fn only_what_the_stolen_key_has_signed_changes_with_it() {
        let mut churn = Churn::new(0);
        while churn.step() != Step::Revoke {}
        let [good, stolen, unsigned] =
            [Kind::Good, Kind::Stolen, Kind::Unsigned].map(|kind| churn.verdict(kind));
        assert_eq!(
            [good, stolen, unsigned],
            ["SignatureVerified", "KeyCompromised", "Unsigned"]
        );
        churn.withdraw();
        assert_eq!(churn.verdict(Kind::Stolen), "SignatureVerified");
    }
}
