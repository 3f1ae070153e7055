//! The signed text of provenance files beside Helm's reader, which is that of `sigs.k8s.io/yaml`.

use std::collections::BTreeMap;

use charttrust_e2e::reader::{Question, Reader};
use charttrust_targets::mutation::Mutations;
use charttrust_targets::named;
use charttrust_verify::provenance;

use crate::{Tally, times};

#[test]
fn whatever_statement_we_read_helm_reads_as_the_same() {
    let mut reader = Reader::of_helm4().unwrap();
    let mut tally = Tally::default();
    let target = named("provenance").unwrap();
    let seeds = target.seeds();
    for bytes in Mutations::new(&seeds, target.longest, 3).take(times(20_000)) {
        let Ok(text) = std::str::from_utf8(&bytes) else {
            continue;
        };
        let theirs = reader.read(Question::Signed, text.as_bytes()).unwrap();
        match (provenance::parse(text), theirs) {
            (Ok(ours), Ok(theirs)) => {
                let metadata = &theirs["metadata"];
                assert_eq!(metadata["name"], ours.claimed_name.as_str(), "{text}");
                assert_eq!(metadata["version"], ours.claimed_version.as_str(), "{text}");
                let files: BTreeMap<String, String> =
                    serde_json::from_value(theirs["files"].clone()).unwrap();
                let own = ours
                    .files
                    .iter()
                    .map(|(name, digest)| (name.clone(), digest.to_string()));
                assert_eq!(own.collect::<BTreeMap<_, _>>(), files, "{text}");
                tally.count("both read it");
            }
            (Ok(_), Err(error)) => panic!("we read what Helm does not: {error}: {text}"),
            (Err(_), Err(_)) => tally.count("neither reads it"),
            (Err(error), Ok(_)) => tally.count(format!("we alone refuse: {error}")),
        }
    }
    println!("{tally}");
    assert!(tally.of("both read it") > 1000, "{tally}");
}
