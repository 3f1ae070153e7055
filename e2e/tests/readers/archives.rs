//! Archives beside Go's readers of gzip and tar, as Helm uses them.

use charttrust_e2e::reader::{Question, Reader};
use charttrust_targets::mutation::Mutations;
use charttrust_targets::{archive_of_stream, named};
use charttrust_verify::chart::{self, Chart, Part};
use charttrust_verify::limits::ArchiveLimits;
use serde_json::Value;

use crate::{Tally, times};

#[test]
fn whatever_archive_we_read_go_reads_as_the_same() {
    let mut reader = Reader::of_helm4().unwrap();
    let mut tally = Tally::default();
    for (target, number) in [("tar", 1), ("gzip", 2)] {
        let target = named(target).unwrap();
        let seeds = target.seeds();
        for bytes in Mutations::new(&seeds, target.longest, number).take(times(10_000)) {
            let archive = match target.name {
                "tar" => archive_of_stream(&bytes),
                _ => bytes,
            };
            compare(&mut reader, &archive, &mut tally);
        }
    }
    println!("{tally}");
    assert!(tally.of("both read it") > 500, "{tally}");
}

fn compare(reader: &mut Reader, archive: &[u8], tally: &mut Tally) {
    let ours = chart::read(archive, &ArchiveLimits::default());
    let theirs = reader.read(Question::Archive, archive).unwrap();
    match (ours, theirs) {
        (Ok(chart), Ok(theirs)) => {
            same(&chart, &theirs);
            tally.count("both read it");
        }
        (Ok(_), Err(error)) => panic!(
            "we read what Go does not: {error}: {}",
            hex::encode(archive)
        ),
        (Err(_), Err(_)) => tally.count("neither reads it"),
        (Err(error), Ok(_)) => {
            let class = error.without_names();
            tally.count(format!("we alone refuse: {class}"));
        }
    }
}

/// That every part is a file of theirs, and every template of theirs is a part.
fn same(chart: &Chart, theirs: &Value) {
    let files = theirs["files"].as_array().unwrap();
    let files: Vec<_> = files
        .iter()
        .map(|file| (file[0].as_str().unwrap(), file[1].as_str().unwrap()))
        .collect();
    let text = |part: &Part| part.digest.to_string().replace("sha256:", "");
    for part in chart.templates.iter().chain(&chart.files) {
        let is_theirs = files.contains(&(part.name.as_str(), text(part).as_str()));
        assert!(is_theirs, "{} is not in {files:?}", part.name);
    }
    let templates = files
        .iter()
        .filter(|(name, _)| name.starts_with("templates/"));
    let ours: Vec<_> = chart
        .templates
        .iter()
        .map(|part| (part.name.clone(), text(part)))
        .collect();
    let templates: Vec<_> = templates
        .map(|(name, digest)| ((*name).to_owned(), (*digest).to_owned()))
        .collect();
    assert_eq!(ours, templates);
}
