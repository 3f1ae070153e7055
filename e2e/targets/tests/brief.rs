//! Every target with its seeds and some changes of them, the same each time. What takes longer is `make fuzz`.

#![allow(
    clippy::disallowed_methods,
    reason = "how long it takes is what is asked"
)]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use charttrust_targets::mutation::Mutations;
use charttrust_targets::{Target, all};

/// Changes of the seeds of one target; fewer of one that takes long for each.
const MOST: usize = 4000;
const LEAST: usize = 200;
const LONGEST: Duration = Duration::from_millis(1500);

/// Tries one input, and tells which it was if something does not hold.
fn holds(target: &Target, bytes: &[u8]) {
    let outcome = catch_unwind(AssertUnwindSafe(|| target.check(bytes)));
    if outcome.is_err() {
        let text = String::from_utf8_lossy(bytes);
        panic!(
            "{}: does not hold of {} bytes: {text:?}",
            target.name,
            bytes.len()
        );
    }
}

#[test]
fn every_target_holds_of_its_seeds_and_of_changes_of_them() {
    let mut told = Vec::new();
    for (number, target) in (1..).zip(all()) {
        let (start, seeds) = (Instant::now(), target.seeds());
        assert!(!seeds.is_empty(), "{}", target.name);
        for seed in &seeds {
            assert!(
                seed.len() <= target.longest.max(1 << 16),
                "{}: a long seed",
                target.name
            );
            holds(&target, seed);
        }
        let mut tried = 0;
        for bytes in Mutations::new(&seeds, target.longest, number).take(MOST) {
            holds(&target, &bytes);
            tried += 1;
            if tried >= LEAST && start.elapsed() > LONGEST {
                break;
            }
        }
        told.push(format!(
            "{:<20} {} seeds, {tried} changes, {:?}",
            target.name,
            seeds.len(),
            start.elapsed()
        ));
    }
    println!("{}", told.join("\n"));
}

#[test]
fn no_two_targets_have_one_name_and_each_is_in_the_documents() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/fuzzing.md");
    let document = std::fs::read_to_string(path).unwrap();
    let mut names = BTreeSet::new();
    for target in all() {
        assert!(names.insert(target.name), "{} is there twice", target.name);
        let row = format!(
            "| `{}` | {} | {} |",
            target.name, target.reads, target.holds
        );
        assert!(document.contains(&row), "docs/fuzzing.md has no row {row}");
    }
    let rows = document
        .lines()
        .filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 2);
    assert_eq!(rows.count(), names.len(), "a row of no target");
}
