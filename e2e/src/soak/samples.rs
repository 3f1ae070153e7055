//! What was measured each second, and what it says of the whole.

use std::time::Duration;

use crate::process::memory;

/// One second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// Since the start.
    pub second: u64,
    /// Resident memory of the operator, in KiB.
    pub memory: u64,
    /// Descriptors that it has open.
    pub descriptors: u64,
    /// What it has asked the API server since the last sample.
    pub requests: u64,
    /// How many of these wrote something.
    pub writes: u64,
    /// Since when the longest verdict is wanted that is not there, in milliseconds.
    pub oldest: u64,
    /// How many releases there are.
    pub releases: u64,
}

/// Memory and open descriptors of a process, as the kernel counts them; none of one that has ended.
pub(super) fn of_process(id: u32) -> [u64; 2] {
    let opened = std::fs::read_dir(format!("/proc/{id}/fd"));
    let descriptors = opened.map_or(0, Iterator::count);
    [memory(id, "VmRSS:") / 1024, descriptors].map(|n| u64::try_from(n).unwrap_or(u64::MAX))
}

/// By how many KiB memory grows in an hour: the slope of the least squares, of the second half. What is read for
/// the first time is kept, and no leak.
pub fn growth(samples: &[Sample]) -> f64 {
    let (_, later) = samples.split_at(samples.len() / 2);
    let count = number(later.len() as u64);
    let mean = |of: fn(&Sample) -> u64| later.iter().map(|s| number(of(s))).sum::<f64>() / count;
    let (seconds, memory) = (mean(|s| s.second), mean(|s| s.memory));
    let (mut above, mut below) = (0.0, 0.0);
    for sample in later {
        let apart = number(sample.second) - seconds;
        above += apart * (number(sample.memory) - memory);
        below += apart * apart;
    }
    if below > 0.0 {
        above / below * 3600.0
    } else {
        0.0
    }
}

/// The most of something, and when.
pub fn most(samples: &[Sample], of: fn(&Sample) -> u64) -> (u64, Duration) {
    let most = samples.iter().max_by_key(|sample| of(sample));
    most.map_or_else(Default::default, |sample| {
        (of(sample), Duration::from_secs(sample.second))
    })
}

/// Exact for all that a machine has.
pub(super) fn number(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rising(by: u64) -> Vec<Sample> {
        let sample = |second| Sample {
            second,
            memory: 50_000 + if second < 50 { 9 * second } else { by * second },
            ..Sample::default()
        };
        (0..100).map(sample).collect()
    }

    #[test]
    fn growth_is_that_of_the_second_half() {
        assert!(growth(&rising(0)).abs() < 1e-6);
        assert!((growth(&rising(2)) - 7_200.0).abs() < 1e-6);
        assert!(growth(&[]).abs() < 1e-6);
        assert!(growth(&rising(2)[..1]).abs() < 1e-6);
    }

    #[test]
    fn the_most_is_told_with_its_time() {
        let samples = rising(2);
        assert_eq!(
            most(&samples, |sample| sample.memory),
            (50_441, Duration::from_secs(49))
        );
        assert_eq!(most(&[], |sample| sample.memory).0, 0);
    }

    #[test]
    fn this_process_has_memory_and_descriptors() {
        let [memory, descriptors] = of_process(std::process::id());
        assert!(memory > 1_000, "{memory}");
        assert!(descriptors >= 3, "{descriptors}");
        assert_eq!(of_process(u32::MAX), [0, 0]);
    }
}
