//! A share of all namespaces, so that several processes can look at a cluster together.
//!
//! Touches nothing. All of a release lies in one namespace: its records, what is said of it, its Quarantine.
//!
//! Decision: a mixed hash, and not the one by which an API server shards lists (KEP-5866). That is FNV-1a, cut into
//! ranges by its first bits, and those hardly depend on the last letters of a text: of `team-01` to `team-99` all
//! fall into one of two, of three and of eight ranges. A test has the figures, and [`super::others`] what servers are
//! asked instead.

use std::fmt;

/// One of so many shares of all namespaces. Those of one number cover each namespace exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Range {
    index: u32,
    of: u32,
}

impl Range {
    /// The share of this number, counted from 0; `None` if there are not so many.
    pub fn new(index: usize, of: usize) -> Option<Self> {
        let (index, of) = (u32::try_from(index).ok()?, u32::try_from(of).ok()?);
        (index < of).then_some(Self { index, of })
    }

    /// Which one it is, counted from 0.
    pub fn index(self) -> u32 {
        self.index
    }

    /// How many there are.
    pub fn of(self) -> u32 {
        self.of
    }

    /// Whether a namespace belongs to it.
    pub fn contains(self, namespace: &str) -> bool {
        // The upper half of the product is the hash scaled to the number of ranges.
        let scaled = (u128::from(mixed(namespace)) * u128::from(self.of)) >> u64::BITS;
        scaled == u128::from(self.index)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.index, self.of)
    }
}

/// FNV-1a, and then what makes the first bits depend on every letter in the finalizer of `MurmurHash3` (`fmix64`).
/// Part of the contract between replicas: another hash is another cut, as another number of ranges is.
fn mixed(text: &str) -> u64 {
    let mut hash = fnv(text);
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53_u64] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash
}

/// FNV-1a of 64 bits, by which API servers shard lists
/// ([KEP-5866](https://github.com/kubernetes/enhancements/issues/5866)).
pub(super) fn fnv(text: &str) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    text.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(of: usize) -> impl Iterator<Item = Range> {
        (0..of).filter_map(move |index| Range::new(index, of))
    }

    proptest! {
        #[test]
        fn every_namespace_belongs_to_exactly_one_range(name in "[a-z0-9-]{1,63}", of in 1..64_usize) {
            prop_assert_eq!(all(of).filter(|range| range.contains(&name)).count(), 1);
        }
    }

    #[test]
    fn there_is_no_range_beyond_the_last() {
        assert_eq!(Range::new(2, 2), None);
        assert_eq!(Range::new(0, 0), None);
        assert_eq!(
            Range::new(1, 2).map(|range| range.to_string()).as_deref(),
            Some("1 of 2")
        );
    }

    /// Replicas of several versions run side by side during an upgrade, and must cut alike.
    #[test]
    fn the_cut_is_this_one_for_good() {
        let cut = |name: &str| all(8).find(|range| range.contains(name)).unwrap().index();
        let names = [
            "default",
            "kube-system",
            "shop",
            "bank",
            "team-1",
            "team-2",
            "",
        ];
        assert_eq!(names.map(cut), CUT);
    }

    const CUT: [u32; 7] = [6, 7, 5, 0, 0, 0, 7];

    /// By that hash servers leave out what lies in other ranges.
    #[test]
    fn names_of_one_hash_are_in_one_range() {
        let names = ["7cqlefsflw3pe", "ntc3cjkjmbzmp"];
        assert_eq!(names.map(fnv), [0x178c_594c_411e_caf5; 2]);
        for of in 1..64 {
            assert!(all(of).any(|range| names.iter().all(|name| range.contains(name))));
        }
    }

    /// Names that differ in their last letters only, as people number them.
    #[test]
    fn numbered_names_are_spread() {
        for (of, most) in [(2, 60), (4, 34), (8, 21)] {
            let names: Vec<_> = (1..100).map(|n| format!("team-{n:02}")).collect();
            let held = |range: Range| names.iter().filter(|name| range.contains(name)).count();
            let largest = all(of).map(held).max().unwrap();
            assert!(largest <= most, "{largest} of 99 in one of {of} ranges");
        }
    }
}
