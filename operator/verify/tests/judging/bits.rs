//! From bytes to verdict: no bit of a chart or of what was signed can change unnoticed.

use charttrust_verify::chart;
use charttrust_verify::evidence::{Answer, ArchiveFacts, Bound};
use charttrust_verify::limits::ArchiveLimits;
use charttrust_verify::policy::Level;
use charttrust_verify::release::Record;
use charttrust_verify::verdict::{Basis, Verdict};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::forge;
use crate::support;
use crate::world::{ARCHIVE, SOURCE, World, facts, key, person, read, signature, text};

/// Judges bytes as they come from a source; `None` if there is no archive to judge.
fn judged(archive: &[u8], signed: &[u8], record: Option<&Record>, level: Level) -> Option<Verdict> {
    let chart = chart::read(archive, &ArchiveLimits::default()).ok()?;
    let binding = record.map_or(Bound::NotCompared, |record| Bound::compare(&chart, record));
    let facts = ArchiveFacts {
        binding,
        ..facts(&chart, read(signed))
    };
    let mut world = World::good();
    world.keys = vec![key(&person(1))];
    world.level(level);
    world.answer(SOURCE, Answer::Archive(Box::new(facts)));
    Some(world.verdict())
}

fn message() -> Vec<u8> {
    forge::message_of(&text(), &[signature(&person(1))]).into_bytes()
}

fn is_trusted(archive: &[u8], signed: &[u8]) -> bool {
    let record = support::decoded(&support::record()).unwrap();
    let levels = [Level::Strict, Level::Signature];
    let records = [None, Some(&record)];
    let all = levels
        .iter()
        .flat_map(|level| records.map(|record| (*level, record)));
    let mut verdicts = all.map(|(level, record)| judged(archive, signed, record, level));
    verdicts.any(|verdict| verdict.is_some_and(Verdict::is_trusted))
}

#[test]
fn what_nobody_touched_is_trusted() {
    let record = support::decoded(&support::record()).unwrap();
    for (record, level, basis) in [
        (Some(&record), Level::Strict, Basis::SignatureVerified),
        (None, Level::Strict, Basis::ArchiveVerified),
        (Some(&record), Level::Signature, Basis::ArchiveVerified),
    ] {
        let verdict = judged(&ARCHIVE, &message(), record, level);
        assert_eq!(verdict, Some(Verdict::Trusted(basis)));
    }
}

#[test]
fn no_bit_of_the_signed_text_can_be_flipped() {
    let message = message();
    let start = message.windows(2).position(|two| two == b"\n\n").unwrap() + 2;
    for byte in start..start + text().len() - 1 {
        for bit in 0..8 {
            let mut flipped = message.clone();
            flipped[byte] ^= 1 << bit;
            let verdict = judged(&ARCHIVE, &flipped, None, Level::Signature).unwrap();
            assert!(!verdict.is_trusted(), "byte {byte}, bit {bit}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bit_of_the_archive_can_be_flipped(byte in any::<Index>(), bit in 0..8) {
        let mut flipped = ARCHIVE.clone();
        let byte = byte.index(flipped.len());
        flipped[byte] ^= 1 << bit;
        prop_assert!(!is_trusted(&flipped, &message()));
    }

    #[test]
    fn no_end_or_beginning_of_the_archive_can_be_cut(at in any::<Index>()) {
        let at = at.index(ARCHIVE.len() - 1) + 1;
        prop_assert!(!is_trusted(&ARCHIVE[..at - 1], &message()));
        prop_assert!(!is_trusted(&ARCHIVE[at..], &message()));
    }

    #[test]
    fn no_line_can_be_put_into_the_message(
        at in any::<Index>(),
        line in "(name: web|version: 1.2.3|files:|\\.\\.\\.|- [a-z]{1,5}|[a-z]{1,9}: [a-z]{1,9})",
    ) {
        let message = String::from_utf8(message()).unwrap();
        let mut lines: Vec<_> = message.lines().collect();
        let end = lines.iter().position(|line| line.contains("BEGIN PGP SIGNATURE")).unwrap();
        lines.insert(at.index(end + 1), &line);
        prop_assert!(!is_trusted(&ARCHIVE, lines.join("\n").as_bytes()));
    }
}
