//! Which `ConfigMap` of a namespace has the statement about which release, and what is to be written for that.
//! Touches nothing.
//!
//! A statement is signed anew only where it does not say what it should, or does not carry our signature: signatures
//! differ each time, and what has not changed is not written.

use std::collections::BTreeMap;

use charttrust_verify::seal::Seal;
use jiff::Timestamp;

use super::envelope::Envelope;
use super::statement::Statement;

/// A `ConfigMap`: as it is, or as it is to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Page {
    /// From 1.
    pub(super) number: usize,
    /// Absent of one that is to be made.
    pub(super) resource_version: Option<String>,
    /// Envelopes by the names of releases.
    pub(super) entries: BTreeMap<String, String>,
}

/// A write.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Create(Page),
    Delete(Page),
    Replace(Page),
}

/// What is to stand of a release.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    /// What stands there, which nobody has looked at yet.
    AsItIs,
    Nothing,
    This(Box<Statement>),
}

/// Most statements of one `ConfigMap`, which holds a mebibyte: one whose names are all as long as they may be has
/// twelve thousand bytes.
const MOST: usize = 64;

/// How many pages so many releases need.
pub(super) fn pages_for(releases: usize) -> usize {
    releases.div_ceil(MOST)
}

/// The writes that bring the pages of a namespace in line; `None` if nothing can be signed.
pub(super) fn plan(
    pages: &[Page],
    mut wanted: BTreeMap<String, Wanted>,
    by: (&Seal, Timestamp),
) -> Option<Vec<Change>> {
    let mut filled: BTreeMap<usize, BTreeMap<String, String>> = BTreeMap::new();
    for page in pages {
        let kept = filled.entry(page.number).or_default();
        for (name, text) in &page.entries {
            // Taken out: a release is stated once, whoever has written it elsewhere too.
            match wanted.remove(name) {
                Some(Wanted::AsItIs) => drop(kept.insert(name.clone(), text.clone())),
                Some(Wanted::This(statement)) => {
                    drop(kept.insert(name.clone(), signed(Some(text), *statement, by)?));
                }
                Some(Wanted::Nothing) | None => {}
            }
        }
    }
    let mut number = 1;
    for (name, one) in wanted {
        let Wanted::This(statement) = one else {
            continue;
        };
        while filled.get(&number).is_some_and(|page| page.len() >= MOST) {
            number += 1;
        }
        let text = signed(None, *statement, by)?;
        filled.entry(number).or_default().insert(name, text);
    }
    let changes = filled.into_iter().filter_map(|(number, entries)| {
        let before = pages.iter().find(|page| page.number == number);
        change(before, number, entries)
    });
    Some(changes.collect())
}

/// The envelope that is there, if it says the same by our signature, or a new one.
fn signed(
    before: Option<&String>,
    statement: Statement,
    (seal, now): (&Seal, Timestamp),
) -> Option<String> {
    let key = seal.key_for_others()?;
    let stands = |text: &&String| {
        let envelope = serde_json::from_str::<Envelope>(text).ok();
        let said = envelope.and_then(|envelope| envelope.opened(&key));
        said.is_some_and(|said| said.says_the_same(&statement))
    };
    match before.filter(stands) {
        Some(before) => Some(before.clone()),
        None => serde_json::to_string(&Envelope::signed(&statement.at(now), seal)?).ok(),
    }
}

fn change(
    before: Option<&Page>,
    number: usize,
    entries: BTreeMap<String, String>,
) -> Option<Change> {
    let page = Page {
        number,
        resource_version: before.and_then(|before| before.resource_version.clone()),
        entries,
    };
    match before {
        Some(before) if page.entries.is_empty() => Some(Change::Delete(before.clone())),
        Some(before) if *before == page => None,
        Some(_) => Some(Change::Replace(page)),
        None if page.entries.is_empty() => None,
        None => Some(Change::Create(page)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::statement::tests::{NOW, status};
    use super::*;
    use crate::inventory::ReleaseId;

    fn release(number: usize, changes: &serde_json::Value) -> (String, Wanted) {
        let id = ReleaseId {
            namespace: "shop".to_owned(),
            name: format!("r{number:04}"),
        };
        let statement = Statement::of(&id, &status(changes), Timestamp::UNIX_EPOCH);
        (id.name, Wanted::This(Box::new(statement.unwrap())))
    }

    fn releases(numbers: impl Iterator<Item = usize>) -> BTreeMap<String, Wanted> {
        numbers.map(|number| release(number, &json!({}))).collect()
    }

    fn planned(pages: &[Page], wanted: BTreeMap<String, Wanted>) -> Vec<Change> {
        let seal = Seal::new(&[7; Seal::LENGTH]);
        plan(pages, wanted, (&seal, NOW.parse().unwrap())).unwrap()
    }

    fn after(before: &[Page], changes: Vec<Change>) -> Vec<Page> {
        let pages = before.iter().map(|page| (page.number, page.clone()));
        let mut pages: BTreeMap<_, _> = pages.collect();
        for change in changes {
            match change {
                Change::Delete(page) => drop(pages.remove(&page.number)),
                Change::Create(mut page) | Change::Replace(mut page) => {
                    page.resource_version = Some("2".to_owned());
                    pages.insert(page.number, page);
                }
            }
        }
        pages.into_values().collect()
    }

    fn sizes(pages: &[Page]) -> Vec<usize> {
        pages.iter().map(|page| page.entries.len()).collect()
    }

    #[test]
    fn what_says_what_it_should_is_not_signed_again() {
        let pages = after(&[], planned(&[], releases(0..150)));
        assert_eq!(sizes(&pages), [64, 64, 22]);
        assert_eq!(planned(&pages, releases(0..150)), []);
        assert_eq!(planned(&[], BTreeMap::new()), []);
        let mut wanted = releases(0..150);
        wanted.extend([release(3, &json!({"release": {"revision": 8}}))]);
        let changes = planned(&pages, wanted.clone());
        let [Change::Replace(page)] = changes.as_slice() else {
            panic!("{changes:?}");
        };
        let differ = page
            .entries
            .iter()
            .filter(|(name, text)| pages[0].entries[*name] != **text);
        let differ: Vec<_> = differ.map(|(name, _)| name.as_str()).collect();
        assert_eq!((page.number, differ), (1, vec!["r0003"]));
        assert_eq!(planned(&after(&pages, changes), wanted), []);
    }

    #[test]
    fn what_is_gone_or_cannot_be_told_any_more_is_taken_back() {
        let pages = after(&[], planned(&[], releases(0..150)));
        let mut wanted = releases(1..150);
        wanted.insert("r0001".to_owned(), Wanted::Nothing);
        wanted.insert("r0002".to_owned(), Wanted::AsItIs);
        wanted.insert("new-and-not-read".to_owned(), Wanted::AsItIs);
        let rest = after(&pages, planned(&pages, wanted));
        assert_eq!(sizes(&rest), [62, 64, 22]);
        assert_eq!(rest[0].entries["r0002"], pages[0].entries["r0002"]);
        let changes = planned(&rest, releases(64..150));
        assert!(matches!(changes.as_slice(), [Change::Delete(page)] if page.number == 1));
        let rest = after(&rest, changes);
        let more = planned(&rest, releases(0..150));
        assert!(matches!(more.as_slice(), [Change::Create(page)] if page.entries.len() == 64));
    }

    #[test]
    fn what_others_have_written_is_signed_anew_or_goes() {
        let pages = after(&[], planned(&[], releases(0..3)));
        let changed = |change: &dyn Fn(&mut BTreeMap<String, String>)| {
            let mut page = pages[0].clone();
            change(&mut page.entries);
            let changes = planned(std::slice::from_ref(&page), releases(0..3));
            assert!(
                matches!(changes.as_slice(), [Change::Replace(_)]),
                "{page:?}"
            );
            let after = after(&[page], changes);
            assert_eq!(planned(&after, releases(0..3)), []);
            after
        };
        let of = |name: &str| pages[0].entries[name].clone();
        changed(&|entries| drop(entries.insert("r0001".to_owned(), of("r0002"))));
        changed(&|entries| drop(entries.insert("r0001".to_owned(), "{}".to_owned())));
        changed(&|entries| drop(entries.remove("r0001")));
        let rest = changed(&|entries| drop(entries.insert("foreign".to_owned(), of("r0002"))));
        assert_eq!(sizes(&rest), [3]);
        let seal = Seal::new(&[8; Seal::LENGTH]);
        let foreign = plan(&[], releases(0..1), (&seal, NOW.parse().unwrap())).unwrap();
        let [Change::Create(foreign)] = foreign.as_slice() else {
            panic!("{foreign:?}");
        };
        changed(&|entries| entries.extend(foreign.entries.clone()));
    }
}
