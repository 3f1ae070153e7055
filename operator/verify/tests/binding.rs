//! Records against archives.

mod support;

use charttrust_verify::binding::{Binding, Note, compare, compare_as};
use serde_json::{Value, json};
use support::{archive, decoded, files, load, record};

fn compared(
    change_files: impl Fn(&mut Vec<(String, Vec<u8>)>),
    change_record: impl Fn(&mut Value),
) -> Binding {
    let mut files = files();
    change_files(&mut files);
    let mut record = record();
    change_record(&mut record);
    compare(&load(&archive(&files)).unwrap(), &decoded(&record).unwrap())
}

fn same() -> Binding {
    Binding::Same { notes: Vec::new() }
}

#[test]
fn record_of_the_archive_is_the_same() {
    assert_eq!(compared(|_| {}, |_| {}), same());
}
