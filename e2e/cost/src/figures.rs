//! What is stored, and what may be more than that. Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// By how many percent more is too much.
const LIMIT: u64 = 3;

/// What a piece of work costs each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cost {
    /// As callgrind counts them.
    pub(crate) instructions: u32,
    /// Calls of the allocator that may give memory.
    pub(crate) allocations: u32,
}

/// By the names of the work.
pub(crate) type Costs = BTreeMap<String, Cost>;

/// By what it is counted: figures of another are none to compare with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Way(String);

/// All that is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures(BTreeMap<String, Costs>);

impl Way {
    /// By what `rustc -vV` and `valgrind --version` say, and whether the processor has what valgrind passes on.
    pub(crate) fn of(rustc: &str, valgrind: &str) -> Option<Self> {
        let version = rustc.lines().next()?;
        let host = rustc.lines().find_map(|line| line.strip_prefix("host: "))?;
        let vectors = if has_vectors() { "" } else { ", no AVX2" };
        Some(Self(format!(
            "{version}, {host}, {}{vectors}",
            valgrind.trim()
        )))
    }
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(target_arch = "x86_64")]
fn has_vectors() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_vectors() -> bool {
    true
}

impl Figures {
    pub(crate) fn read(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text).map(Self)
    }

    pub(crate) fn of(&self, way: &Way) -> Option<&Costs> {
        self.0.get(&way.0)
    }

    pub(crate) fn store(&mut self, way: Way, costs: Costs) {
        self.0.insert(way.0, costs);
    }

    pub(crate) fn text(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&self.0).map(|text| text + "\n")
    }
}

/// By how many percent it is more.
pub(crate) fn more_than(now: u32, before: u32) -> f64 {
    (f64::from(now) / f64::from(before) - 1.0) * 100.0
}

/// What costs more than it may, in words. Work that is not stored, and what is stored of no work, is told as well.
pub(crate) fn dearer(counted: &Costs, stored: &Costs) -> Vec<String> {
    let missing = counted.keys().filter(|name| !stored.contains_key(*name));
    let missing = missing.map(|name| format!("{name} has no figures that are stored"));
    let gone = stored.keys().filter(|name| !counted.contains_key(*name));
    let gone = gone.map(|name| format!("{name} is stored, and nobody counts it"));
    let more = both(counted, stored).filter(|(_, now, before)| exceeds(*now, *before));
    let more = more.map(|(what, now, before)| {
        let percent = more_than(now, before);
        format!("{what}: {percent:.1} % more than is stored (limit {LIMIT} %)")
    });
    missing.chain(gone).chain(more).collect()
}

/// Whether something costs so much less that it could become dearer again unnoticed.
pub(crate) fn is_cheaper(counted: &Costs, stored: &Costs) -> bool {
    both(counted, stored).any(|(_, now, before)| exceeds(before, now))
}

/// Whether it is more by more than the limit.
fn exceeds(one: u32, other: u32) -> bool {
    u64::from(one) * 100 > u64::from(other) * (100 + LIMIT)
}

/// What is counted of each work, now and as it is stored.
fn both<'a>(
    counted: &'a Costs,
    stored: &'a Costs,
) -> impl Iterator<Item = (String, u32, u32)> + 'a {
    let both = counted
        .iter()
        .filter_map(|(name, now)| Some((name, now, stored.get(name)?)));
    both.flat_map(|(name, now, before)| {
        [
            (
                format!("{name}, instructions"),
                now.instructions,
                before.instructions,
            ),
            (
                format!("{name}, allocations"),
                now.allocations,
                before.allocations,
            ),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(instructions: u32, allocations: u32) -> Costs {
        let cost = Cost {
            instructions,
            allocations,
        };
        BTreeMap::from([("verify".to_owned(), cost)])
    }

    #[test]
    fn three_percent_more_are_borne_and_no_more() {
        let stored = costs(100_000, 1000);
        for (counted, words) in [
            (costs(103_000, 1030), vec![]),
            (
                costs(103_100, 1000),
                vec!["verify, instructions: 3.1 % more than is stored (limit 3 %)"],
            ),
            (
                costs(100_000, 1031),
                vec!["verify, allocations: 3.1 % more than is stored (limit 3 %)"],
            ),
            (costs(50_000, 10), vec![]),
        ] {
            assert_eq!(dearer(&counted, &stored), words);
        }
        assert!(is_cheaper(&costs(96_000, 1000), &stored));
        assert!(!is_cheaper(&costs(98_000, 1000), &stored));
    }

    #[test]
    fn work_and_figures_are_of_the_same_names() {
        let (some, none) = (costs(1, 1), Costs::new());
        assert_eq!(
            dearer(&some, &none),
            ["verify has no figures that are stored"]
        );
        assert_eq!(
            dearer(&none, &some),
            ["verify is stored, and nobody counts it"]
        );
    }

    #[test]
    fn what_is_stored_is_read_again_and_is_of_one_compiler_alone() {
        let rustc = |version: &str| {
            format!("rustc {version}\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\n")
        };
        let way = |version: &str| Way::of(&rustc(version), "valgrind-3.19.0\n").unwrap();
        let mut figures = Figures::default();
        figures.store(way("1.95.0"), costs(10, 3));
        figures.store(way("1.96.0"), costs(11, 3));
        let read = Figures::read(&figures.text().unwrap()).unwrap();
        assert_eq!(read, figures);
        assert_eq!(read.of(&way("1.95.0")), Some(&costs(10, 3)));
        assert_eq!(read.of(&way("1.97.0")), None);
        assert_eq!(
            Way::of(&rustc("1.95.0"), "valgrind-3.24.0").map(|other| read.of(&other).is_none()),
            Some(true)
        );
        assert_eq!(Way::of("", "valgrind-3.19.0"), None);
    }
}
