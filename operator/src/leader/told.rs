//! What a leader tells beside leading: annotations of its Lease, which is renewed anyway and may be read by
//! whoever may ask for verdicts. Commands learn from it how the operator runs.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

/// Whether the operator contains releases, and the namespaces in which it changes nothing.
pub const QUARANTINE: &str = "charttrust.io/quarantine";

/// Since when each source that a policy asks was asked about each release.
pub const LOOKED: &str = "charttrust.io/looked-at";

/// Where the operator looks for releases.
pub const DISCOVERY: &str = "charttrust.io/discovery";

/// How much runs without a record.
pub const UNACCOUNTED: &str = "charttrust.io/unaccounted";

/// The annotations by their names; what is not there stays as it is.
pub type Told = BTreeMap<&'static str, String>;

/// Whether releases may be contained, and where never.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Containing {
    /// Whether the operator runs with `--quarantine`.
    pub enabled: bool,
    /// Namespaces in which it never changes anything.
    pub protected: BTreeSet<String>,
}

impl Containing {
    /// As the annotation has it.
    pub fn text(&self) -> String {
        // Invariant: plain data, which JSON can always hold.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From the annotations of a Lease; `None` if no leader has told it, or not readably.
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        let text = metadata.annotations.as_ref()?.get(QUARANTINE)?;
        serde_json::from_str(text).ok()
    }
}

/// Where releases are looked for, and what else.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Discovering {
    /// The namespaces; empty is all of them.
    pub namespaces: BTreeSet<String>,
    /// Whether workloads without a record are looked for.
    #[serde(default)]
    pub unaccounted: bool,
    /// The kinds of others in which verdicts may be reported, each as `resource.group`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub reports: BTreeSet<String>,
    /// Whether verdicts are signed for programs of others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub vsa: bool,
}

impl Discovering {
    /// As the annotation has it.
    pub fn text(&self) -> String {
        // Invariant: plain data, which JSON can always hold.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From the annotations of a Lease; `None` if no leader has told it, or not readably.
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        let text = metadata.annotations.as_ref()?.get(DISCOVERY)?;
        serde_json::from_str(text).ok()
    }
}

/// What runs, by Helm's marks on it, and has no record.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Unaccounted {
    /// Releases.
    pub releases: usize,
    /// Workloads of them.
    pub workloads: usize,
}

impl Unaccounted {
    /// As the annotation has it.
    pub fn text(self) -> String {
        // Invariant: plain data, which JSON can always hold.
        serde_json::to_string(&self).unwrap_or_default()
    }

    /// From the annotations of a Lease; `None` if no leader has told it, or not readably.
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        let text = metadata.annotations.as_ref()?.get(UNACCOUNTED)?;
        serde_json::from_str(text).ok()
    }
}

/// By policy, since when each of its sources was asked about each release that it decides.
pub type Looked = BTreeMap<String, Look>;

/// The looks of one policy.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Look {
    /// Generation of the policy.
    pub generation: i64,
    /// Absent until all were asked once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// What whoever holds the first range tells, together with what stands on the Leases of the others: a source was
/// asked since then if it was everywhere, and what runs without a record is the sum.
pub(super) fn of_all(mut own: Told, others: &[Option<&ObjectMeta>]) -> Told {
    if let Some(text) = own.get_mut(LOOKED) {
        let mut all = serde_json::from_str::<Looked>(text).unwrap_or_default();
        for other in others {
            let is_told = other.is_some_and(|it| annotation(it, LOOKED).is_some());
            let theirs = other.map(looked).unwrap_or_default();
            for (policy, look) in theirs {
                let known = all.entry(policy).or_insert_with(|| look.clone());
                let since = known
                    .since
                    .zip(look.since)
                    .map(|(one, other)| one.min(other));
                known.since = since.filter(|_| known.generation == look.generation);
            }
            if !is_told {
                for look in all.values_mut() {
                    look.since = None;
                }
            }
        }
        *text = looked_text(&all);
    }
    if let Some(text) = own.get_mut(UNACCOUNTED) {
        let mut all = serde_json::from_str::<Unaccounted>(text).unwrap_or_default();
        for other in others.iter().flatten().filter_map(|it| Unaccounted::of(it)) {
            all.releases += other.releases;
            all.workloads += other.workloads;
        }
        *text = all.text();
    }
    own
}

fn annotation<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a String> {
    metadata.annotations.as_ref()?.get(name)
}

/// As the annotation has it.
pub fn looked_text(looked: &Looked) -> String {
    // Invariant: plain data, which JSON can always hold.
    serde_json::to_string(looked).unwrap_or_default()
}

/// From the annotations of a Lease; nothing if no leader has told it, or not readably.
pub fn looked(metadata: &ObjectMeta) -> Looked {
    let annotations = metadata.annotations.as_ref();
    let text = annotations.and_then(|annotations| annotations.get(LOOKED));
    let looked = text.and_then(|text| serde_json::from_str(text).ok());
    looked.unwrap_or_default()
}

/// Puts what is told into the metadata of a Lease.
pub(super) fn tell(metadata: &mut ObjectMeta, told: &Told) {
    if told.is_empty() {
        return;
    }
    let annotations = metadata.annotations.get_or_insert_default();
    let told = told.iter();
    annotations.extend(told.map(|(name, text)| ((*name).to_owned(), text.clone())));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(generation: i64, minute: Option<i64>) -> Look {
        let since = minute.map(|minute| Timestamp::from_second(60 * minute).unwrap());
        Look { generation, since }
    }

    fn of_range(looks: &[(&str, Look)], releases: usize) -> ObjectMeta {
        let looks = looks.iter();
        let looks = looks.map(|(name, look)| ((*name).to_owned(), look.clone()));
        let told = Told::from([
            (LOOKED, looked_text(&looks.collect())),
            (UNACCOUNTED, unaccounted(releases).text()),
        ]);
        let mut metadata = ObjectMeta::default();
        tell(&mut metadata, &told);
        metadata
    }

    fn unaccounted(releases: usize) -> Unaccounted {
        Unaccounted {
            releases,
            workloads: 10 * releases,
        }
    }

    fn told(metadata: &ObjectMeta) -> Told {
        let annotations = metadata.annotations.clone().unwrap();
        let own = [LOOKED, UNACCOUNTED].into_iter();
        own.map(|name| (name, annotations[name].clone())).collect()
    }

    /// What commands say of all ranges is no better than the worst of them.
    #[test]
    fn the_first_tells_of_all_ranges() {
        let ours = of_range(
            &[
                ("a", look(1, Some(9))),
                ("b", look(1, Some(9))),
                ("c", look(2, Some(9))),
            ],
            1,
        );
        let theirs = of_range(
            &[
                ("a", look(1, Some(7))),
                ("b", look(1, None)),
                ("c", look(1, Some(9))),
                ("d", look(1, Some(8))),
            ],
            2,
        );
        let mut metadata = ObjectMeta::default();
        tell(&mut metadata, &of_all(told(&ours), &[Some(&theirs)]));
        let expected = [
            ("a", look(1, Some(7))),
            ("b", look(1, None)),
            ("c", look(2, None)),
            ("d", look(1, Some(8))),
        ];
        let expected = expected.map(|(name, look)| (name.to_owned(), look));
        assert_eq!(looked(&metadata), Looked::from(expected));
        assert_eq!(Unaccounted::of(&metadata), Some(unaccounted(3)));
        for silent in [None, Some(&ObjectMeta::default())] {
            let mut metadata = ObjectMeta::default();
            tell(
                &mut metadata,
                &of_all(told(&ours), &[Some(&theirs), silent]),
            );
            assert!(looked(&metadata).values().all(|look| look.since.is_none()));
        }
        assert_eq!(of_all(told(&ours), &[]), told(&ours));
    }
}
