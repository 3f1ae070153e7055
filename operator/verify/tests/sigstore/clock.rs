//! The machine's clock decides nothing but what lies ahead of it.

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::sigstore::{BundleRecord, Code, SignerRecord};
use jiff::{SignedDuration, Timestamp};

use crate::facts::verified;
use crate::forge::{Key, Log, Shape, World, at};
use crate::words::fault_of;

fn signed_at(world: &World, at: Timestamp, log: Log) -> Shape<'_> {
    Shape {
        at,
        logged_at: at + SignedDuration::from_secs(5),
        stamped_at: Some(at + SignedDuration::from_secs(3)),
        log,
        ..world.good()
    }
}

/// Times relative to the certificate, so that records of different years can be compared.
fn relative(record: &BundleRecord) -> (Vec<i64>, BundleRecord) {
    let mut record = record.clone();
    let SignerRecord::Identity(identity) = &mut record.signer else {
        panic!("an identity");
    };
    let start = identity.not_before;
    identity.not_after = Timestamp::UNIX_EPOCH + identity.not_after.duration_since(start);
    identity.not_before = Timestamp::UNIX_EPOCH;
    // Another year, another certificate.
    identity.certificate = Sha256Digest::of(b"");
    let times = std::mem::take(&mut record.times);
    let times = times
        .into_iter()
        .map(|time| time.at.duration_since(start).as_secs());
    (times.collect(), record)
}

/// The same signature made in other years is the same: a clock that stood anywhere after them would have
/// given the same facts.
#[test]
fn the_years_between_signing_and_looking_change_no_fact() {
    let world = World {
        certificates: Some(Key::new()),
        ..World::new()
    };
    for log in [Log::V1, Log::V2] {
        let mut all = [
            "1999-12-31T23:59:50Z",
            "2010-06-01T00:00:00Z",
            "2026-11-01T12:00:00Z",
        ]
        .map(|text| relative(verified(&signed_at(&world, at(text), log)).record()))
        .into_iter();
        let first = all.next().unwrap();
        assert!(all.all(|one| one == first), "{log:?}");
    }
}

/// The exception: what a log dates ahead of the clock is refused until the clock is there.
#[test]
fn what_is_logged_ahead_of_the_clock_is_refused() {
    let world = World::new();
    let shape = signed_at(&world, at("2150-01-01T00:00:00Z"), Log::V1);
    let fault = fault_of(&shape.claimed(), &world.root());
    assert_eq!(fault.code(), Code::FromFuture, "{fault}");
    // A timestamp authority is not compared with it: facts have the date, and judging has a time.
    let shape = signed_at(&world, at("2150-01-01T00:00:00Z"), Log::V2);
    let verified = verified(&shape);
    assert_eq!(verified.proven(), Some(at("2150-01-01T00:00:03Z")));
}
