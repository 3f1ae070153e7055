//! What both Helms record of a chart, beside what we take for the record of that chart.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use charttrust_e2e::reader::{Question, Reader};
use charttrust_targets::mutation::Mutations;
use charttrust_targets::{archive_of_documents, named};
use charttrust_verify::binding::{Binding, compare};
use charttrust_verify::chart::{self, Chart};
use charttrust_verify::limits::{ArchiveLimits, RecordLimits};
use charttrust_verify::release::decode;
use serde_json::{Value, json};

use crate::{Tally, times};

/// What users set; some of it meets what the charts have.
fn values() -> Vec<Value> {
    vec![
        json!({}),
        json!({"a": {"b": null}, "x": 1}),
        json!({"a": "text", "global": {"on": true}, "tags": {"back": false}}),
        json!({"b": {"enabled": false}, "a": {"b": {"c": [1, 2.5, 1e21]}}}),
    ]
}

#[test]
fn what_both_helms_record_of_a_chart_is_the_record_of_that_chart() {
    let mut helms = [
        ("3", Reader::of_helm3().unwrap()),
        ("4", Reader::of_helm4().unwrap()),
    ];
    let (mut tally, values) = (Tally::default(), values());
    let target = named("documents").unwrap();
    let seeds = target.seeds();
    let inputs = Mutations::new(&seeds, target.longest, 4).take(times(10_000));
    for (bytes, values) in inputs.zip(values.iter().cycle()) {
        let archive = archive_of_documents(&bytes);
        let ours = chart::read(&archive, &ArchiveLimits::default());
        for (helm, reader) in &mut helms {
            let theirs = recorded(reader, values, &archive);
            let word = match (&ours, theirs) {
                (Ok(chart), Ok(recorded)) => judged(chart, &recorded, values, &bytes),
                (Ok(_), Err(error)) => format!("Helm alone refuses: {}", class(&error)),
                (Err(_), Err(_)) => "neither reads it".to_owned(),
                (Err(error), Ok(_)) => format!("we alone refuse: {}", error.without_names()),
            };
            tally.count(format!("Helm {helm}: {word}"));
        }
    }
    println!("{tally}");
    for helm in ["3", "4"] {
        assert!(
            tally.of(&format!("Helm {helm}: the same []")) > 1000,
            "{tally}"
        );
    }
}

/// The chart as a record has it, or what Helm says against it.
fn recorded(reader: &mut Reader, values: &Value, archive: &[u8]) -> Result<Value, String> {
    let text = values.to_string().into_bytes();
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    let question = [length.as_slice(), &text, archive].concat();
    reader
        .read(Question::Recorded, &question)
        .unwrap()
        .map(|answer| answer["chart"].clone())
}

fn judged(chart: &Chart, recorded: &Value, values: &Value, bytes: &[u8]) -> String {
    let record = json!({"name": "shop", "info": {"status": "deployed"}, "chart": recorded,
        "config": values, "manifest": "", "version": 1, "namespace": "prod"});
    let payload = BASE64_STANDARD.encode(record.to_string());
    let decoded = decode(payload.as_bytes(), &RecordLimits::default());
    match decoded.map(|decoded| compare(chart, &decoded)) {
        Ok(Binding::Same { notes }) => format!("the same {notes:?}"),
        other => panic!("{other:?}: {record} of {}", String::from_utf8_lossy(bytes)),
    }
}

/// What Helm says, without what is of this chart.
fn class(error: &str) -> String {
    error
        .split([':', '"', '\n'])
        .next()
        .unwrap_or_default()
        .chars()
        .take(60)
        .collect()
}
