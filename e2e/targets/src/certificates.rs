//! Certificates in PEM, as cert-manager and others write them into Secrets and configurations.

use charttrust::certificates::{believed, life};
use jiff::Timestamp;

use crate::{Target, joined, parts, vectors};

pub(crate) const TARGETS: &[Target] = &[Target {
    name: "certificate",
    reads: "the certificate of the webhook, and the bundle that callers believe",
    holds: "What is believed has a life that is read, and is believed until its end and not after it.",
    longest: 4096,
    check: certificate,
    seeds: certificates,
}];

fn certificates() -> Vec<Vec<u8>> {
    let read =
        |name: &str| vectors::of_repository(&format!("operator/tests/sources/testdata/{name}.crt"));
    let authority = read("authority");
    let mut all = Vec::new();
    for name in ["server", "client", "elsewhere", "expired", "stranger"] {
        all.push(joined(&[&authority, &read(name)]));
    }
    all
}

fn certificate(bytes: &[u8]) {
    let [bundle, shown] = parts(bytes);
    let shown = String::from_utf8_lossy(shown);
    let own = life(&shown);
    for name in [None, Some("127.0.0.1"), Some("localhost")] {
        let Ok(until) = believed((bundle, &shown), name, NOW) else {
            continue;
        };
        assert_eq!(own.map(|own| own.until), Some(until));
        assert!(
            own.is_some_and(|own| own.from <= NOW && NOW <= own.until),
            "{own:?}"
        );
    }
}

const NOW: Timestamp = Timestamp::constant(1_796_000_000, 0);
