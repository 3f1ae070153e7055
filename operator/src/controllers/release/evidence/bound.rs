//! Whether a release is made of an archive, as a `ReleaseTrust` keeps it.

use charttrust_verify::evidence::Bound;

use crate::api::bounds;
use crate::api::release_trust as v1;

/// In one word.
pub(super) fn written(bound: &Bound) -> v1::Binding {
    match bound {
        Bound::Different(_) => v1::Binding::Different,
        Bound::NoRecord | Bound::NotCompared => v1::Binding::NoRecord,
        Bound::OldWriter(_) => v1::Binding::OldWriter,
        Bound::Same(_) => v1::Binding::Same,
    }
}

/// A few of the differences, or those that do not matter.
pub(super) fn differences(bound: &Bound) -> Vec<String> {
    match bound {
        Bound::Different(all) | Bound::OldWriter(all) | Bound::Same(all) => {
            let bounded = all.iter().map(|text| bounds::fit(text, bounds::MESSAGE));
            bounded.take(bounds::SHORT_LIST).collect()
        }
        Bound::NoRecord | Bound::NotCompared => Vec::new(),
    }
}

/// What was written, read back.
pub(super) fn read(binding: v1::Binding, differences: &[String]) -> Bound {
    let differences = differences.to_vec();
    match binding {
        v1::Binding::Different => Bound::Different(differences),
        v1::Binding::NoRecord => Bound::NoRecord,
        v1::Binding::OldWriter => Bound::OldWriter(differences),
        v1::Binding::Same => Bound::Same(differences),
    }
}
