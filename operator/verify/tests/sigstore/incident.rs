//! An identity was stolen for three hours: exactly what was signed in them is void, from evidence alone.

use charttrust_verify::key::RevocationReason;
use charttrust_verify::seal::Attestation;
use charttrust_verify::sigstore::{
    BundleRecord, Identity, IdentityRevocation, Standing, VerifiedBundle, Window,
};
use jiff::SignedDuration;

use crate::facts::verified;
use crate::forge::{Log, Shape, World, noon};
use crate::standing::{today, trusted};

/// Twenty releases, signed an hour apart; kept as text, as evidence is.
fn evidence() -> Vec<String> {
    let world = World::new();
    let releases = (0..20).map(|hour| {
        let at = noon() + SignedDuration::from_hours(hour);
        let shape = Shape {
            at,
            logged_at: at + SignedDuration::from_secs(4),
            stamped_at: (hour % 2 == 0).then_some(at + SignedDuration::from_secs(2)),
            log: if hour % 2 == 0 { Log::V2 } else { Log::V1 },
            ..world.good()
        };
        serde_json::to_string(verified(&shape).record()).unwrap()
    });
    releases.collect()
}

fn void(identity: &Identity, evidence: &[String]) -> Vec<usize> {
    let judged = evidence.iter().enumerate().filter_map(|(hour, text)| {
        let record: BundleRecord = serde_json::from_str(text).unwrap();
        let bundle = VerifiedBundle::restore(record, Attestation::supposed());
        match identity.standing(&bundle, &today()) {
            Ok(standing) => {
                assert_eq!(standing, Standing::Valid);
                None
            }
            Err(refusal) => {
                assert_eq!(refusal.said.word(), "KeyCompromised");
                Some(hour)
            }
        }
    });
    judged.collect()
}

#[test]
fn a_window_of_three_hours_voids_three_of_twenty() {
    let evidence = evidence();
    let mut identity = trusted();
    assert_eq!(void(&identity, &evidence), [0; 0]);
    let from = noon() + SignedDuration::from_hours(7);
    let window = |minutes: i64| {
        let from = from + SignedDuration::from_mins(minutes);
        Window::new(from, Some(from + SignedDuration::from_hours(3))).unwrap()
    };
    let revoke = |windows: Vec<Window>| {
        let digests = std::collections::BTreeSet::new();
        IdentityRevocation::new(RevocationReason::Compromised, windows, digests).unwrap()
    };
    // On the hour, at which certificates begin, and between two hours.
    for (minutes, expected) in [(0, [7, 8, 9]), (-30, [7, 8, 9]), (30, [8, 9, 10])] {
        identity.revocation = Some(revoke(vec![window(minutes)]));
        assert_eq!(void(&identity, &evidence), expected, "{minutes}");
    }
    // Two windows are two incidents; none is none.
    let early = Window::new(noon(), Some(noon() + SignedDuration::from_hours(1))).unwrap();
    identity.revocation = Some(revoke(vec![early, window(0)]));
    assert_eq!(void(&identity, &evidence), [0, 7, 8, 9]);
    identity.revocation = None;
    assert_eq!(void(&identity, &evidence), [0; 0]);
}
