//! Templates, files, schema and lock: equal, or not.

use std::collections::BTreeMap;

use super::{Change, ChartPart, Found, Note};
use crate::chart::{Chart, Part};
use crate::release::RecordedChart;

pub(super) fn compare(chart: &Chart, recorded: &RecordedChart, found: &mut Found) {
    let old = chart.metadata.api_version == "v1";
    let templates = list(
        &chart.templates,
        &recorded.templates,
        Requirements::Recorded,
        ChartPart::Template,
        found,
    );
    let requirements = if old {
        Requirements::MayBeLeftOut
    } else {
        Requirements::Recorded
    };
    let files = list(
        &chart.files,
        &recorded.files,
        requirements,
        ChartPart::File,
        found,
    );
    order(templates, files, recorded, found);
    schema(chart, recorded, found);
    // Compared as parsed: records hold no text of it, and `generated` is a time that is signed with
    // the archive.
    if chart.lock != recorded.lock {
        if old && chart.lock.is_none() && may_be_unpacked(recorded) {
            found.explained.push(Note::DirectoryV1);
        } else {
            found.differ(
                ChartPart::Lock,
                change(chart.lock.as_ref(), recorded.lock.as_ref()),
            );
        }
    }
    if !times_agree(chart, recorded) {
        found.notes.push(Note::ModificationTimes);
    }
}

/// Whether a record can be that of a chart installed from a directory: every Helm lists the files of a
/// directory in the order of its walk.
///
/// # Caveats
/// `helm package` keeps that order, so that a record of an archive usually passes too. A lock that is
/// added to the record of a v1 chart therefore stays unexplained but unproven: `helm install ./folder`
/// honestly records a Chart.lock that `helm package ./folder` leaves out, with every Helm.
pub(super) fn may_be_unpacked(recorded: &RecordedChart) -> bool {
    is_walk(&recorded.templates) && is_walk(&recorded.files)
}

/// Whether two lists that have the same parts have them in the same order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Other,
    Same,
}

/// Whether the files of requirements must be in a record: Helm before 3.1 did not keep those of charts
/// of apiVersion v1 among the files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Requirements {
    MayBeLeftOut,
    Recorded,
}

/// Compares two lists; an archive has no name twice.
fn list(
    archive: &[Part],
    recorded: &[Part],
    requirements: Requirements,
    part: fn(String) -> ChartPart,
    found: &mut Found,
) -> Order {
    let mut left: BTreeMap<&str, &Part> = archive
        .iter()
        .map(|part| (part.name.as_str(), part))
        .collect();
    let mut kept = Vec::with_capacity(recorded.len());
    for record in recorded {
        let Some(archived) = left.remove(record.name.as_str()) else {
            found.differ(part(record.name.clone()), Change::Added);
            continue;
        };
        kept.push(record.name.as_str());
        if archived.digest != record.digest {
            if record.without_mark == Some(archived.digest) {
                found.explained.push(Note::ByteOrderMark);
            } else {
                found.differ(part(record.name.clone()), Change::Changed);
            }
        }
    }
    for name in left.keys() {
        let is_of_requirements = matches!(*name, "requirements.yaml" | "requirements.lock");
        if is_of_requirements && requirements == Requirements::MayBeLeftOut {
            found.explained.push(Note::RequirementsFiles);
        } else {
            found.differ(part((*name).to_owned()), Change::Removed);
        }
    }
    let in_both = archive.iter().map(|part| part.name.as_str());
    if in_both.filter(|name| !left.contains_key(name)).eq(kept) {
        Order::Same
    } else {
        Order::Other
    }
}

/// Another order is honest only where all lists are in the order in which Helm walks a directory.
fn order(templates: Order, files: Order, recorded: &RecordedChart, found: &mut Found) {
    if templates == Order::Same && files == Order::Same {
        return;
    }
    if may_be_unpacked(recorded) {
        found.notes.push(Note::DirectoryOrder);
        return;
    }
    if templates == Order::Other {
        found.differ(ChartPart::Templates, Change::Reordered);
    }
    if files == Order::Other {
        found.differ(ChartPart::Files, Change::Reordered);
    }
}

/// Says whether the names are in the order of `internal/sympath/walk.go`: entries of a directory
/// by name, folders walked where they stand.
fn is_walk(parts: &[Part]) -> bool {
    parts.is_sorted_by(|one, next| one.name.split('/').lt(next.name.split('/')))
}

fn schema(chart: &Chart, recorded: &RecordedChart, found: &mut Found) {
    if chart.schema == recorded.schema {
        return;
    }
    if chart.schema.is_some() && chart.schema == recorded.schema_without_mark {
        found.explained.push(Note::ByteOrderMark);
    } else {
        found.differ(
            ChartPart::Schema,
            change(chart.schema.as_ref(), recorded.schema.as_ref()),
        );
    }
}

fn change<T>(archive: Option<&T>, recorded: Option<&T>) -> Change {
    match (archive, recorded) {
        (None, Some(_)) => Change::Added,
        (Some(_), None) => Change::Removed,
        _ => Change::Changed,
    }
}

/// Compares the modification times that are there; they corroborate, and prove nothing.
fn times_agree(chart: &Chart, recorded: &RecordedChart) -> bool {
    let agree = |archive: &[Part], recorded: &[Part]| {
        archive.iter().zip(recorded).all(|(archived, record)| {
            record.modified.is_none() || record.modified == archived.modified
        })
    };
    (recorded.modified.is_none() || recorded.modified == chart.modified)
        && agree(&chart.templates, &recorded.templates)
        && agree(&chart.files, &recorded.files)
}
