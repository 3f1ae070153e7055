//! Charts and records that somebody made to stop whoever reads them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests may stop where they fail"
)]

mod support;

use std::fmt::Write as _;
use std::sync::mpsc;
use std::time::Duration;

use charttrust_verify::binding::{Binding, Note, compare};
use charttrust_verify::chart::{ArchiveError, Chart};
use charttrust_verify::limits::RecordLimits;
use charttrust_verify::release::{Record, RecordError, decode};
use serde_json::{Value, json};
use support::{CHART_YAML, archive, decoded, files, load, payload, record};

/// The base chart with a subchart whose values are imported.
fn importing(imports: &str, subvalues: &str) -> Result<Chart, ArchiveError> {
    let chart = format!(
        "{CHART_YAML}dependencies:\n- name: sub\n  version: 1.0.0\n  import-values:\n{imports}"
    );
    let mut files = files();
    files[0].1 = chart.into_bytes();
    for (name, content) in [
        (
            "charts/sub/Chart.yaml",
            "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
        ),
        ("charts/sub/values.yaml", subvalues),
    ] {
        files.push((name.to_owned(), content.as_bytes().to_vec()));
    }
    load(&archive(&files))
}

fn import(child: &str, parent: &str) -> String {
    format!("  - {{child: {child}, parent: {parent}}}\n")
}

/// What becomes of a comparison, which must end soon.
fn compared(chart: Chart, record: Record) -> Binding {
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || done.send(compare(&chart, &record)));
    wait.recv_timeout(Duration::from_secs(60))
        .expect("an answer in time")
}

/// What cannot be compared is neither the same nor tampered with.
fn not_compared() -> Binding {
    Binding::OldWriter {
        notes: vec![Note::ValuesUnreadable],
    }
}

#[test]
fn values_that_are_imported_below_themselves_end() {
    let imports = [import("c", "x"), import("c", "x.y"), import("c", "x.y")].concat();
    let chart = importing(&imports, "c: {z: 1}\n").unwrap();
    assert_eq!(compared(chart, decoded(&record()).unwrap()), not_compared());
}

#[test]
fn values_that_are_imported_very_often_end() {
    let mut subvalues = "c:\n".to_owned();
    for key in 0..40_000 {
        writeln!(subvalues, "  k{key}: 1").unwrap();
    }
    let imports: String = (0..20_000)
        .map(|at| import("c", &format!("p{at}")))
        .collect();
    let chart = importing(&imports, &subvalues).unwrap();
    assert_eq!(compared(chart, decoded(&record()).unwrap()), not_compared());
}

#[test]
fn values_are_imported_only_so_deep() {
    let deep = vec!["a"; 1_000_000].join(".");
    let chart = importing(&import("c", &deep), "c: {z: 1}\n").unwrap();
    assert_eq!(compared(chart, decoded(&record()).unwrap()), not_compared());
}

/// A table of so many keys, each with this value.
fn table(prefix: &str, keys: usize, value: &Value) -> Value {
    (0..keys)
        .map(|key| (format!("{prefix}{key:06}"), value.clone()))
        .collect()
}

#[test]
fn values_of_a_record_are_compared_in_time_that_grows_with_them() {
    let chart = importing(&import("c", "x"), "c: {z: 1}\n").unwrap();
    let mut record = record();
    record["config"] = json!({"t": table("n", 60_000, &Value::Null)});
    record["chart"]["values"] = json!({"t": table("k", 60_000, &json!(1))});
    let binding = compared(chart, decoded(&record).unwrap());
    assert!(matches!(binding, Binding::Different { .. }), "{binding:?}");
}

fn with(field: &str, text: &str) -> Result<Record, RecordError> {
    let mut base = record();
    let (owner, field) = field.rsplit_once('/').unwrap_or(("", field));
    base.pointer_mut(owner).unwrap()[field] = json!("HERE");
    let text = base.to_string().replace("\"HERE\"", text);
    decode(&payload(text.as_bytes()), &RecordLimits::default())
}

#[test]
fn small_values_without_number_are_too_many() {
    for (field, item) in [
        ("config", "0,"),
        ("/chart/values", "0,"),
        ("/chart/metadata/annotations", "null,"),
        ("/chart/files", "{},"),
        ("/chart/templates", "{},"),
    ] {
        let items = item.repeat(1_000_000);
        let many = format!("[{}]", items.trim_end_matches(','));
        let error = with(field, &many).unwrap_err();
        assert!(
            matches!(error, RecordError::TooLarge { .. }),
            "{field}: {error}"
        );
    }
}
