//! Trusted roots: which are read, how old they are, and who is missing in a later one.

use charttrust_verify::sigstore::{AuthorityKind, TrustedRoot};
use serde_json::{Value, json};

use crate::facts::verified;
use crate::forge::{Key, Log, Shape, World, at, noon, root};

#[test]
fn the_public_good_root_is_compiled_in() {
    let root = TrustedRoot::public_good().unwrap();
    let kinds = |kind| {
        root.authorities()
            .iter()
            .filter(|one| one.kind == kind)
            .count()
    };
    assert!(kinds(AuthorityKind::CertificateAuthority) >= 2);
    assert!(kinds(AuthorityKind::TransparencyLog) >= 1);
    assert!(kinds(AuthorityKind::CertificateLog) >= 2);
    assert!(root.date().unwrap() > at("2022-01-01T00:00:00Z"));
    assert_eq!(root.digest(), TrustedRoot::public_good().unwrap().digest());
}

#[test]
fn a_root_is_as_old_as_its_newest_entry() {
    let world = World::new();
    let mut json = world.root_json();
    assert_eq!(root(&json).date(), Some(at("1990-01-01T00:00:00Z")));
    json["timestampAuthorities"][0]["validFor"]["start"] = json!("2026-07-01T00:00:00Z");
    assert_eq!(root(&json).date(), Some(at("2026-07-01T00:00:00Z")));
}

#[test]
fn what_is_no_root_is_told_why() {
    let good = World::new().root_json();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut json = good.clone();
        change(&mut json);
        let outcome = TrustedRoot::parse(json.to_string().as_bytes());
        outcome.unwrap_err().reason()
    };
    let nothing = TrustedRoot::parse(b"").unwrap_err();
    assert_eq!(nothing.said().word(), "TrustRootUnknown");
    assert_eq!(nothing.reason(), "RootMalformed");
    assert_eq!(
        TrustedRoot::parse(b"\xff").unwrap_err().reason(),
        "RootMalformed"
    );
    assert_eq!(
        with(&|it| it["mediaType"] = json!("application/json")),
        "RootMalformed"
    );
    assert_eq!(
        with(&|it| {
            for part in ["tlogs", "certificateAuthorities", "timestampAuthorities"] {
                it[part] = json!([]);
            }
        }),
        "RootMalformed"
    );
    // A time that has no beginning would have none at all.
    assert_eq!(
        with(&|it| it["tlogs"][0]["publicKey"]["validFor"] = json!({"end": "2030-01-01T00:00:00Z"})),
        "RootMalformed"
    );
    let backwards = json!({"start": "2030-01-01T00:00:00Z", "end": "2029-01-01T00:00:00Z"});
    assert_eq!(
        with(&|it| it["certificateAuthorities"][0]["validFor"] = backwards.clone()),
        "RootUnusable"
    );
    assert_eq!(
        with(&|it| it["certificateAuthorities"][0]["certChain"]["certificates"] = json!([])),
        "RootUnusable"
    );
    assert_eq!(
        with(&|it| it["tlogs"][0]["publicKey"]["rawBytes"] = json!("AAAA")),
        "RootUnusable"
    );
}

/// A rotation flips nothing: entries that are kept, with an end or not, stay good; one that is removed
/// takes trust away.
#[test]
fn who_is_removed_from_the_root_is_missed() {
    let world = World {
        certificates: Some(Key::new()),
        ..World::new()
    };
    let shape = Shape {
        log: Log::V2,
        stamped_at: Some(noon()),
        ..world.good()
    };
    let verified = verified(&shape);
    let record = verified.record();
    let other = World {
        certificates: Some(Key::new()),
        ..World::new()
    };
    let (good, other) = (world.root_json(), other.root_json());
    assert_eq!(root(&good).lacks(record), None);
    let parts = [
        "tlogs",
        "certificateAuthorities",
        "timestampAuthorities",
        "ctlogs",
    ];
    let mut added = good.clone();
    let mut ended = good.clone();
    for part in parts {
        let entries = added[part].as_array_mut().unwrap();
        entries.insert(0, other[part][0].clone());
        let entry = &mut ended[part][0];
        let until = json!({"start": "1990-01-01T00:00:00Z", "end": "1991-01-01T00:00:00Z"});
        if part.ends_with("logs") {
            entry["publicKey"]["validFor"] = until;
        } else {
            entry["validFor"] = until;
        }
    }
    assert_eq!(root(&added).lacks(record), None);
    assert_eq!(root(&ended).lacks(record), None);
    for (part, kind) in parts.into_iter().zip([
        AuthorityKind::TransparencyLog,
        AuthorityKind::CertificateAuthority,
        AuthorityKind::TimestampAuthority,
        AuthorityKind::CertificateLog,
    ]) {
        for replaced in [json!([]), other[part].clone()] {
            let mut json = good.clone();
            json[part] = replaced;
            let root = root(&json);
            let missed = root.lacks(record).map(|one| one.kind);
            // A root without any log of certificates asks for no stamp.
            let is_asked = root.asks_for_stamps() || kind != AuthorityKind::CertificateLog;
            assert_eq!(missed, is_asked.then_some(kind), "{part}");
            assert!(!root.lacks_stamp(record));
        }
    }
}

#[test]
fn a_stamp_that_no_root_has_asked_for_is_missed_by_one_that_does() {
    let asking = World {
        certificates: Some(Key::new()),
        ..World::new()
    };
    let mut json = asking.root_json();
    json["ctlogs"] = json!([]);
    let (asking, silent) = (asking.root(), root(&json));
    assert!(asking.asks_for_stamps() && !silent.asks_for_stamps());
    let world = World::new();
    let unstamped = verified(&world.good());
    assert!(asking.lacks_stamp(unstamped.record()));
    assert!(!silent.lacks_stamp(unstamped.record()));
}
