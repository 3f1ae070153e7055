//! Every target with its seeds and some changes of them, the same each time. What takes longer is `make fuzz`; here
//! `TRIES=100` tries a hundred times as many, and `TARGET=name` one target only.

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
const MOST: u32 = 4000;
const LEAST: u32 = 200;
const LONGEST: Duration = Duration::from_secs(1);

/// What was tried of one target: how much, and the first input of which something did not hold.
struct Tried {
    count: u32,
    found: Option<Vec<u8>>,
}

fn tried(target: &Target, number: u64, times: u32) -> Tried {
    let (start, seeds) = (Instant::now(), target.seeds());
    assert!(!seeds.is_empty(), "{} has no seed", target.name);
    let mut tried = Tried {
        count: 0,
        found: None,
    };
    let changed = Mutations::new(&seeds, target.longest, number);
    for bytes in seeds.iter().cloned().chain(changed) {
        if catch_unwind(AssertUnwindSafe(|| target.check(&bytes))).is_err() {
            tried.found = Some(bytes);
            return tried;
        }
        tried.count += 1;
        let is_late = tried.count >= LEAST * times && start.elapsed() > LONGEST * times;
        if is_late || tried.count >= MOST * times {
            break;
        }
    }
    tried
}

#[test]
fn every_target_holds_of_its_seeds_and_of_changes_of_them() {
    let times = std::env::var("TRIES").ok();
    let times = times.and_then(|times| times.parse().ok()).unwrap_or(1);
    let only = std::env::var("TARGET").unwrap_or_default();
    let (mut found, mut total) = (Vec::new(), 0);
    for (number, target) in (1..).zip(all()) {
        if !only.is_empty() && target.name != only {
            continue;
        }
        let start = Instant::now();
        let tried = tried(&target, number, times);
        let seconds = start.elapsed().as_secs_f32();
        println!(
            "{:<20} {:>9} tried in {seconds:.1} s",
            target.name, tried.count
        );
        total += tried.count;
        if let Some(bytes) = tried.found {
            let text = bytes.escape_ascii().to_string();
            found.push(format!("{}, of {} bytes: {text}", target.name, bytes.len()));
        }
    }
    assert!(found.is_empty(), "does not hold: {}", found.join("\n"));
    assert!(total >= LEAST, "no target is called {only}");
}

#[test]
fn no_two_targets_have_one_name_and_each_is_in_the_documents() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/fuzzing.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (_, document) = document.split_once("## Targets").unwrap();
    let mut names = BTreeSet::new();
    for target in all() {
        assert!(names.insert(target.name), "{} is there twice", target.name);
        let row = format!(
            "| `{}` | {} | {} |",
            target.name, target.reads, target.holds
        );
        assert!(document.contains(&row), "docs/fuzzing.md has no row {row}");
    }
    let is_row = |line: &&str| line.starts_with("| `") && line.matches(" | ").count() == 2;
    let rows = document.lines().filter(is_row);
    assert_eq!(rows.count(), names.len(), "a row of no target");
}
