//! Figures that are fit to be told: percentiles, ratios with their spread, and what else the machine did meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Times in milliseconds, the shortest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    pub(crate) fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    /// All of several together.
    pub(crate) fn all(samples: &[Self]) -> Self {
        let times = samples.iter().flat_map(|sample| &sample.0);
        Self::of(times.copied().collect())
    }

    /// How many times there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The least that so many thousandths of all do not exceed.
    pub(crate) fn at(&self, thousandths: usize) -> f64 {
        let rank = (self.0.len() * thousandths).div_ceil(1000).max(1);
        self.0.get(rank - 1).copied().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, p999] = [500, 990, 999].map(|thousandths| self.at(thousandths));
        write!(f, "p50 {p50:.2}  p99 {p99:.2}  p99.9 {p999:.2} ms")
    }
}

/// A ratio, once for each round.
#[derive(Clone, Debug)]
pub(crate) struct Ratio(Vec<f64>);

impl Ratio {
    /// What was measured in each round, by what it is divided by in the same round.
    pub(crate) fn of(rounds: impl Iterator<Item = (f64, f64)>) -> Self {
        Self(rounds.map(|(ours, theirs)| ours / theirs).collect())
    }

    pub(crate) fn median(&self) -> f64 {
        median(&self.0)
    }

    fn interval(&self) -> [f64; 2] {
        interval(&self.0, |drawn| {
            let drawn: Vec<_> = drawn.into_iter().copied().collect();
            median(&drawn)
        })
    }
}

/// Between which a figure lies in 95 of 100 such runs, found by drawing rounds again and again.
fn interval<T>(rounds: &[T], figure: impl Fn(Vec<&T>) -> f64) -> [f64; 2] {
    let mut dice = 2026_u64;
    let mut draw = || {
        // Knuth's multiplicative generator (MMIX); any would do that is the same in each run.
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let index = usize::try_from(dice >> 33).unwrap_or_default() % rounds.len();
        &rounds[index]
    };
    let figures = (0..DRAWN).map(|_| figure(rounds.iter().map(|_| draw()).collect()));
    let figures = Sample::of(figures.collect());
    [25, 975].map(|thousandths| figures.at(thousandths))
}

const DRAWN: usize = 2000;

/// What two took in rounds in which it was the turn of both. A percentile of few is that of some that were unlucky:
/// it is taken of all rounds together, and rounds are drawn to find out how far it can be believed.
#[derive(Clone, Debug)]
pub(crate) struct Pairs<'a>(Vec<[&'a Sample; 2]>);

/// A percentile of one, by the same of the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compared {
    pub(crate) ratio: f64,
    interval: [f64; 2],
    rounds: usize,
}

impl<'a> Pairs<'a> {
    pub(crate) fn of(rounds: impl Iterator<Item = (&'a Sample, &'a Sample)>) -> Self {
        Self(rounds.map(|(ours, theirs)| [ours, theirs]).collect())
    }

    pub(crate) fn at(&self, thousandths: usize) -> Compared {
        let figure = |rounds: Vec<&[&Sample; 2]>| {
            let [ours, theirs] = [0, 1].map(|of| {
                let all = rounds.iter().flat_map(|pair| &pair[of].0).copied();
                ranked(all.collect(), thousandths)
            });
            ours / theirs
        };
        Compared {
            ratio: figure(self.0.iter().collect()),
            interval: interval(&self.0, figure),
            rounds: self.0.len(),
        }
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([low, high], rounds) = (self.interval, self.rounds);
        write!(
            f,
            "{:.2} (95 % {low:.2}–{high:.2}, {rounds} rounds)",
            self.ratio
        )
    }
}

/// The least that so many thousandths of all do not exceed.
fn ranked(mut times: Vec<f64>, thousandths: usize) -> f64 {
    let rank = (times.len() * thousandths).div_ceil(1000).max(1);
    if rank > times.len() {
        return f64::NAN;
    }
    *times.select_nth_unstable_by(rank - 1, f64::total_cmp).1
}

fn median(values: &[f64]) -> f64 {
    let sorted = Sample::of(values.to_vec()).0;
    let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
    match (sorted.get(low), sorted.get(high)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => f64::NAN,
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, median) = (Sample::of(self.0.clone()).0, self.median());
        let (Some(least), Some(most)) = (all.first(), all.last()) else {
            return write!(f, "no round");
        };
        let [low, high] = self.interval();
        write!(
            f,
            "{median:.2} (min–max {least:.2}–{most:.2}, 95 % {low:.2}–{high:.2}, {} rounds)",
            all.len()
        )
    }
}

/// What became of a goal, as it is told behind that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Met,
    Missed,
}

impl Outcome {
    pub(crate) fn at_most(goal: f64, value: f64) -> Self {
        if value <= goal {
            Self::Met
        } else {
            Self::Missed
        }
    }

    pub(crate) fn at_least(goal: f64, value: f64) -> Self {
        if value >= goal {
            Self::Met
        } else {
            Self::Missed
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "",
            Self::Missed => ", MISSED",
        })
    }
}

/// The slope of a line through points by least squares, with the share of the spread that it explains (R²). With
/// logarithms of sizes and costs it is the exponent by which the cost grows.
pub(crate) fn slope(points: &[(f64, f64)]) -> [f64; 2] {
    let count = points.iter().map(|_| 1.0).sum::<f64>();
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
        points
            .iter()
            .map(|point| of(point.0 - x, point.1 - y))
            .sum()
    };
    let (xx, xy, yy) = (sum(&|x, _| x * x), sum(&|x, y| x * y), sum(&|_, y| y * y));
    [xy / xx, xy * xy / (xx * yy)]
}

/// What the machine had done at one moment, in ticks of all its cores.
pub(crate) struct Load {
    /// All of it, and its idle part.
    all: [u64; 2],
    ours: u64,
}

impl Load {
    pub(crate) fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = numbers(line, 1);
        // user nice system idle iowait irq softirq steal; what guests take stands in `user` too.
        let sum = ticks.iter().take(8).sum();
        let idle = ticks.iter().skip(3).take(2).sum();
        Self {
            all: [sum, idle],
            ours: ours(),
        }
    }

    /// Which hundredths of the machine something took since then that is neither this program nor started by it.
    pub(crate) fn outside(&self) -> u64 {
        let now = Self::now();
        let [all, idle] = [0, 1].map(|index| now.all[index].saturating_sub(self.all[index]));
        let ours = now.ours.saturating_sub(self.ours);
        let outside = all.saturating_sub(idle).saturating_sub(ours);
        outside * 100 / all.max(1)
    }
}

/// The time that a process has taken, and all that it has waited for, in ticks.
pub(crate) fn ticks(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    of_stat(&stat).map_or(0, |[_, took]| took)
}

/// Parent and ticks of a process: the fields 4 and 14 to 17 of proc(5).
fn of_stat(stat: &str) -> Option<[u64; 2]> {
    // The name of a program may hold anything, and ends with the last bracket.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields = numbers(fields, 1);
    let took = fields.iter().skip(10).take(4).sum();
    Some([*fields.first()?, took])
}

/// What this program has taken, and all that it has started.
fn ours() -> u64 {
    let mut parents = BTreeMap::new();
    let mut took = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u64>() else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some([parent, ticks]) = of_stat(&stat) {
            parents.insert(id, parent);
            took.insert(id, ticks);
        }
    }
    let mut known = BTreeSet::from([u64::from(std::process::id())]);
    loop {
        let children = parents.iter().filter(|(_, parent)| known.contains(*parent));
        let more: BTreeSet<_> = children.map(|(id, _)| *id).collect();
        if more.is_subset(&known) {
            break;
        }
        known.extend(more);
    }
    known.iter().filter_map(|id| took.get(id)).sum()
}

fn numbers(line: &str, skipped: usize) -> Vec<u64> {
    let words = line.split_whitespace().skip(skipped);
    words.map(|word| word.parse().unwrap_or_default()).collect()
}

/// A number of things as one to divide.
pub(crate) fn real(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(number: f64) -> String {
        number.to_string()
    }

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let sample = Sample::of((1..=1000).rev().map(f64::from).collect());
        let at = [1, 500, 990, 999, 1000].map(|thousandths| sample.at(thousandths));
        assert_eq!(at.map(shown), ["1", "500", "990", "999", "1000"]);
        let few = Sample::of(vec![3.0, 1.0, 2.0]);
        assert_eq!([few.at(500), few.at(990)].map(shown), ["2", "3"]);
        assert!(Sample::default().at(500).is_nan());
    }

    #[test]
    fn a_ratio_is_told_with_its_spread() {
        let rounds = [(2.0, 1.0), (9.0, 3.0), (8.0, 2.0)];
        let ratio = Ratio::of(rounds.into_iter());
        assert!((ratio.median() - 3.0).abs() < 1e-9);
        assert!(
            ratio
                .to_string()
                .starts_with("3.00 (min–max 2.00–4.00, 95 % ")
        );
        let even = Ratio::of([(1.0, 1.0), (2.0, 1.0)].into_iter());
        assert!((even.median() - 1.5).abs() < 1e-9);
        assert_eq!(Ratio::of(std::iter::empty()).to_string(), "no round");
    }

    #[test]
    fn a_percentile_of_all_rounds_is_told_with_how_far_it_can_be_believed() {
        let around = |middle: f64| {
            let times = (0..100).map(|index| middle + f64::from(index) / 100.0);
            Sample::of(times.collect())
        };
        let (ours, theirs) = ([2.0, 2.5, 3.0].map(around), [1.0, 1.5, 1.0].map(around));
        let pairs = Pairs::of(ours.iter().zip(&theirs));
        for thousandths in [500, 990] {
            let compared = pairs.at(thousandths);
            let all = [&ours, &theirs].map(|samples| Sample::all(samples).at(thousandths));
            assert_eq!(shown(compared.ratio), shown(all[0] / all[1]));
            let [low, high] = compared.interval;
            assert!(low < compared.ratio && compared.ratio < high, "{compared}");
        }
        let same = Pairs::of(ours.iter().zip(&ours)).at(990);
        assert_eq!(same.to_string(), "1.00 (95 % 1.00–1.00, 3 rounds)");
        assert!(ranked(Vec::new(), 500).is_nan());
    }

    #[test]
    fn what_grows_with_the_square_has_slope_two() {
        let points = [1.0_f64, 10.0, 100.0].map(|size| (size.ln(), (3.0 * size * size).ln()));
        let [slope, explained] = slope(&points);
        assert!((slope - 2.0).abs() < 1e-9 && (explained - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_this_program_does_is_no_load_from_outside() {
        let (load, mut sum) = (Load::now(), 0_u64);
        while ours() < load.ours + 20 {
            sum = (0..1_000_000).fold(sum, u64::wrapping_add);
        }
        assert!(ours() >= load.ours + 20 && sum > 0);
        assert!(load.outside() <= 100);
    }
}
