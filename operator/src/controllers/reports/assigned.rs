//! Which report of a namespace tells of which release, and what is to be written for that. Touches nothing.
//!
//! A release keeps its report as long as it exists, so that one change is one write.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::row::{Outcome, Row, SOURCE};

/// A report: as it is, or as it is to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Page {
    /// From 1.
    pub(super) number: usize,
    /// Absent of one that is to be made.
    pub(super) resource_version: Option<String>,
    rows: Vec<Row>,
    /// Whether all that we write is as we write it.
    is_ours: bool,
}

/// A write.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Create(Page),
    Delete(Page),
    Replace(Page),
}

/// The name of a report by its number.
pub(super) fn name(number: usize) -> String {
    match number {
        1 => SOURCE.to_owned(),
        number => format!("{SOURCE}-{number}"),
    }
}

/// Most results of a report.
const MOST: usize = 200;

/// How many reports so many results need.
pub(super) fn pages_for(rows: usize) -> usize {
    rows.div_ceil(MOST)
}

impl Page {
    /// A report as it is. What does not have our form is written anew.
    pub(super) fn of(number: usize, object: &DynamicObject) -> Self {
        let rows = serde_json::from_value::<Vec<Row>>(object.data["results"].clone());
        let is_read = rows.is_ok();
        let mut page = Self {
            number,
            resource_version: object.metadata.resource_version.clone(),
            rows: rows.unwrap_or_default(),
            is_ours: false,
        };
        let own = page.data();
        page.is_ours = is_read && object.data["summary"] == own["summary"];
        page
    }

    /// What stands in it beside its metadata.
    pub(super) fn data(&self) -> Value {
        let count = |outcome| self.rows.iter().filter(|row| row.result == outcome).count();
        json!({
            "results": self.rows,
            "summary": {
                "error": count(Outcome::Error),
                "fail": count(Outcome::Fail),
                "pass": count(Outcome::Pass),
                "skip": count(Outcome::Skip),
                "warn": 0,
            },
        })
    }
}

/// The writes that bring the reports of a namespace in line; none if they are.
pub(super) fn plan(pages: &[Page], rows: Vec<Row>) -> Vec<Change> {
    let mut wanted = by_release(rows);
    let mut filled: BTreeMap<usize, Vec<Row>> = BTreeMap::new();
    for page in pages {
        let names: BTreeSet<_> = page.rows.iter().filter_map(Row::release).collect();
        let kept = names.into_iter().take(MOST);
        let kept = kept.filter_map(|name| wanted.remove(name)).collect();
        filled.insert(page.number, kept);
    }
    let mut number = 1;
    for (_, row) in wanted {
        while filled.get(&number).is_some_and(|rows| rows.len() >= MOST) {
            number += 1;
        }
        filled.entry(number).or_default().push(row);
    }
    let changes = filled.into_iter().filter_map(|(number, rows)| {
        let before = pages.iter().find(|page| page.number == number);
        change(before, number, rows)
    });
    changes.collect()
}

fn by_release(rows: Vec<Row>) -> BTreeMap<String, Row> {
    let named = rows.into_iter().filter_map(|row| {
        let name = row.release()?.to_owned();
        Some((name, row))
    });
    named.collect()
}

fn change(before: Option<&Page>, number: usize, mut rows: Vec<Row>) -> Option<Change> {
    rows.sort_by(|one, other| one.release().cmp(&other.release()));
    let page = Page {
        number,
        resource_version: before.and_then(|before| before.resource_version.clone()),
        is_ours: true,
        rows,
    };
    match before {
        Some(before) if page.rows.is_empty() => Some(Change::Delete(before.clone())),
        Some(before) if *before == page => None,
        Some(_) => Some(Change::Replace(page)),
        None if page.rows.is_empty() => None,
        None => Some(Change::Create(page)),
    }
}

#[cfg(test)]
mod tests {
    use kube::api::ApiResource;
    use kube::core::GroupVersionKind;

    use super::super::row::row;
    use super::*;
    use crate::api::ReleaseTrust;

    fn release(name: &str, reason: &str) -> Row {
        let status = if reason == "Unsigned" {
            "False"
        } else {
            "True"
        };
        let trust: ReleaseTrust = serde_json::from_value(json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ReleaseTrust",
            "metadata": {"namespace": "shop", "name": name}, "spec": {},
            "status": {"conditions": [{"type": "Trusted", "status": status, "reason": reason,
                "observedGeneration": 1, "lastTransitionTime": "2026-11-18T10:00:00Z"}]},
        }))
        .unwrap();
        row(&trust).unwrap()
    }

    fn releases(numbers: impl Iterator<Item = usize>) -> Vec<Row> {
        numbers
            .map(|number| release(&format!("r{number:04}"), "SignatureVerified"))
            .collect()
    }

    /// What the server has after these writes.
    fn after(before: &[Page], changes: Vec<Change>) -> Vec<Page> {
        let mut pages: BTreeMap<_, _> = before
            .iter()
            .map(|page| (page.number, page.clone()))
            .collect();
        for change in changes {
            match change {
                Change::Delete(page) => drop(pages.remove(&page.number)),
                Change::Create(page) | Change::Replace(page) => {
                    let gvk = GroupVersionKind::gvk("openreports.io", "v1alpha1", "Report");
                    let resource = ApiResource::from_gvk_with_plural(&gvk, "reports");
                    let mut object = DynamicObject::new(&name(page.number), &resource);
                    object.data = page.data();
                    object.metadata.resource_version = Some("2".to_owned());
                    pages.insert(page.number, Page::of(page.number, &object));
                }
            }
        }
        pages.into_values().collect()
    }

    #[test]
    fn what_is_as_it_should_be_is_not_written_again() {
        let rows = releases(0..450);
        let changes = plan(&[], rows.clone());
        assert_eq!(changes.len(), 3);
        let pages = after(&[], changes);
        assert_eq!(
            pages.iter().map(|page| page.rows.len()).collect::<Vec<_>>(),
            [200, 200, 50]
        );
        assert_eq!(plan(&pages, rows), []);
        assert_eq!(plan(&[], Vec::new()), []);
    }

    #[test]
    fn one_change_is_one_write_and_a_release_keeps_its_report() {
        let pages = after(&[], plan(&[], releases(0..450)));
        let mut rows = releases(0..450);
        rows[3] = release("r0003", "Unsigned");
        let changes = plan(&pages, rows.clone());
        let [Change::Replace(page)] = changes.as_slice() else {
            panic!("{changes:?}");
        };
        assert_eq!(
            (page.number, page.resource_version.as_deref()),
            (1, Some("2"))
        );
        let summary = &page.data()["summary"];
        assert_eq!(
            (&summary["fail"], &summary["pass"]),
            (&json!(1), &json!(199))
        );
        // One that goes makes room for the next that comes, and moves nobody.
        let pages = after(&pages, changes);
        rows.remove(0);
        let pages = after(&pages, plan(&pages, rows.clone()));
        rows.insert(0, release("a-new-one", "SignatureVerified"));
        let changes = plan(&pages, rows.clone());
        assert!(
            matches!(changes.as_slice(), [Change::Replace(page)] if page.number == 1),
            "{changes:?}"
        );
        assert_eq!(plan(&after(&pages, changes), rows), []);
    }

    #[test]
    fn a_report_without_results_goes_and_a_gap_is_filled() {
        let pages = after(&[], plan(&[], releases(0..450)));
        let rest = releases(200..450);
        let changes = plan(&pages, rest.clone());
        assert!(
            matches!(changes.as_slice(), [Change::Delete(page)] if page.number == 1),
            "{changes:?}"
        );
        let pages = after(&pages, changes);
        let more = [rest, releases(0..2)].concat();
        let changes = plan(&pages, more);
        assert!(
            matches!(changes.as_slice(), [Change::Create(page)] if page.number == 1),
            "{changes:?}"
        );
        assert_eq!(plan(&pages, Vec::new()).len(), 2);
    }

    #[test]
    fn what_others_have_written_is_written_anew() {
        let rows = releases(0..3);
        let pages = after(&[], plan(&[], rows.clone()));
        let mut lie = pages[0].clone();
        lie.rows[1].result = Outcome::Other;
        let mut short = pages[0].clone();
        short.rows.pop();
        let mut twice = pages[0].clone();
        twice.rows.push(twice.rows[0].clone());
        let mut counted = pages[0].clone();
        counted.is_ours = false;
        for other in [lie, short, twice, counted] {
            let changes = plan(std::slice::from_ref(&other), rows.clone());
            assert!(
                matches!(changes.as_slice(), [Change::Replace(_)]),
                "{other:?}"
            );
            assert_eq!(plan(&after(&[other], changes), rows.clone()), []);
        }
    }
}
