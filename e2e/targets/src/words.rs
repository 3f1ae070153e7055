//! Short texts: versions and constraints, times, durations, digests, addresses.

use charttrust::parse;
use charttrust_verify::deployer::Place;
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::openpgp::Fingerprint;
use charttrust_verify::scheme::Scheme;
use charttrust_verify::version::{Constraint, is_exact};

use crate::{Target, joined, parts};

pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "constraint",
        reads: "a version constraint, and versions",
        holds: "The highest is one that is allowed; neither `v` nor build metadata nor blanks decide.",
        longest: 600,
        check: constraint,
        seeds: constraints,
    },
    Target {
        name: "words",
        reads: "durations, times, fingerprints, digests and addresses of policies and deployers",
        holds: "What is read and written again is read as the same.",
        longest: 300,
        check: words,
        seeds: texts,
    },
];

fn constraints() -> Vec<Vec<u8>> {
    let pairs = [
        (">=1.2, <2 || ~3.1", "1.2.3\u{1e}2.0.0\u{1e}v3.1.9+build"),
        ("1.2 - 1.4.5", "1.4.5\u{1e}1.5.0-rc.1"),
        ("^0.0.3 !=0.0.4", "0.0.3\u{1e}0.0.4"),
        ("*", "1"),
        ("~1.x || =>2.*.* =<2.4", "2.4.9"),
        (">=1.0.0-0", "1.0.0-alpha.1+x"),
    ];
    let joined = |(constraint, versions): (&str, &str)| {
        joined(&[constraint.as_bytes(), versions.as_bytes()])
    };
    pairs.map(joined).to_vec()
}

fn constraint(bytes: &[u8]) {
    let [constraint, versions] = parts(bytes).map(std::str::from_utf8);
    let (Ok(text), Ok(versions)) = (constraint, versions) else {
        return;
    };
    let Ok(constraint) = text.parse::<Constraint>() else {
        return;
    };
    assert!(text.len() <= 512, "longer than Helm reads");
    let versions: Vec<_> = versions.split('\u{1e}').take(8).collect();
    let highest = constraint.highest(versions.iter().copied());
    assert_eq!(
        highest.is_some(),
        versions.iter().any(|version| constraint.allows(version))
    );
    assert!(highest.is_none_or(|highest| constraint.allows(highest)));
    let is_room = |text: &str| text.len() < 200;
    for version in versions.into_iter().filter(|version| is_room(version)) {
        let allowed = constraint.allows(version);
        if !version.starts_with('v') {
            assert_eq!(
                constraint.allows(&format!("v{version}")),
                allowed,
                "a v decides of {version}"
            );
        }
        if is_exact(version) && !version.contains('+') {
            assert_eq!(
                constraint.allows(&format!("{version}+b.1")),
                allowed,
                "a build decides of {version}"
            );
        }
        if is_room(text) && text.matches("||").count() < 8 {
            let blanks: Constraint = format!(" {text} ")
                .parse()
                .unwrap_or_else(|_| panic!("blanks decide"));
            assert_eq!(blanks.allows(version), allowed, "blanks decide");
            // With blanks: to Masterminds a range may go on over a bar without.
            let twice: Constraint = format!("{text} || {text}")
                .parse()
                .unwrap_or_else(|_| panic!("or itself"));
            assert_eq!(twice.allows(version), allowed, "said twice it is another");
        }
    }
}

fn texts() -> Vec<Vec<u8>> {
    let all = [
        "1h30m",
        "1.5h",
        "500ms",
        "2026-11-18T00:00:00Z",
        "2026-11-18T00:00:00.123456789+02:00",
        "EBFE4F1E4C2E7AEF5D9A3DF4D5C3B2A1F0E9D8C7",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "https://charts.example.com/stable/",
        "https://charts.example.com/index.yaml",
        "oci://registry.example.com:5000/charts/web@sha256:00",
        "http://[::1]:8080/a?b#c",
        "1.2.3-rc.1+build",
    ];
    all.map(|text| text.as_bytes().to_vec()).to_vec()
}

fn words(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(duration) = parse::duration(text) {
        let again = format!("{}ms", duration.as_millis());
        let read = parse::duration(&again).map(|read| read.as_millis());
        assert_eq!(read, Ok(duration.as_millis()), "{text}");
    }
    if let Ok(time) = parse::timestamp(text) {
        assert_eq!(parse::timestamp(&time.to_string()), Ok(time), "{text}");
    }
    if let Ok(fingerprint) = text.parse::<Fingerprint>() {
        assert_eq!(
            fingerprint.as_str().parse::<Fingerprint>(),
            Ok(fingerprint.clone())
        );
        assert!(fingerprint.key_id().len() == 16, "{fingerprint}");
    }
    if let Ok(digest) = text.parse::<Sha256Digest>() {
        assert_eq!(digest.to_string(), text, "a digest in two spellings");
    }
    let is_place = parse::repository(text).is_ok();
    assert!(!is_place || Scheme::split(text).is_some(), "{text}");
    for place in [Place::new(text, "web"), Place::of_repository(text)]
        .into_iter()
        .flatten()
    {
        if let Some((address, chart)) = place.parts() {
            let again = Place::new(address, chart);
            assert_eq!(
                again.as_ref().and_then(Place::parts),
                place.parts(),
                "{text}"
            );
        }
    }
    if is_exact(text) {
        let exactly: Constraint = text
            .parse()
            .unwrap_or_else(|_| panic!("{text} is no constraint"));
        assert!(exactly.allows(text), "{text} is not itself");
    }
}
