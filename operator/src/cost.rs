//! Work whose cost must not creep: `make cost` has callgrind count the instructions and allocations of these tests,
//! and compares them with what is stored (`e2e/cost`).
//!
//! Only what happens within [`measured`] is counted, and divided by the number of calls of [`once`]: a start, and what
//! is made the first time and kept, are no part of it. Both are found by their names.

use std::hint::black_box;

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::limits::RecordLimits;
use charttrust_verify::openpgp;
use charttrust_verify::{provenance, release};
use serde_json::{Value, json};

const CHART: &[u8] = include_bytes!("../verify/tests/data/hashtest-1.2.3.tgz");
const STATEMENT: &[u8] =
    include_bytes!("../verify/tests/openpgp/vectors/helm-hashtest-1.2.3.tgz.prov");
const SIGNER: &[u8] = include_bytes!("../verify/tests/openpgp/vectors/helm-test-key.pub");

/// How often the work is done before it is measured: what is made once is there then.
const BEFORE: usize = 3;
/// How often it is measured: hash tables have another order each time, and that comes to a mean.
const TIMES: usize = 30;

/// Does work that can be done again, so often that its cost can be told.
pub(crate) fn measure(mut work: impl FnMut()) {
    (0..BEFORE).for_each(|_| work());
    measured(&mut work);
}

#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    // A closure would bear its name as well.
    for _ in 0..TIMES {
        once(work);
    }
}

#[inline(never)]
fn once(work: &mut dyn FnMut()) {
    work();
}

/// What `helm verify` does with a small chart, by keys that were read before.
#[test]
fn verify() {
    let keys = openpgp::load_all(SIGNER).unwrap();
    measure(|| {
        let message = openpgp::parse_cleartext(black_box(STATEMENT)).unwrap();
        let statement = provenance::parse(message.text()).unwrap();
        let verified = openpgp::verify(&message, &message.signatures()[0], &keys[0]);
        assert!(verified.is_ok(), "{verified:?}");
        let claimed = statement.digest_of("hashtest", "1.2.3");
        assert_eq!(claimed, Some(Sha256Digest::of(black_box(CHART))));
    });
}

/// A record of a middling chart, as Helm stores it.
#[test]
fn decode() {
    let payload = crate::fake_chart::payload(&middling());
    let limits = RecordLimits::default();
    measure(|| {
        let record = release::decode(black_box(&payload), &limits).unwrap();
        assert_eq!(record.name, "web");
    });
}

/// With twelve templates, values and a manifest: 28 KiB of JSON, of which every fourth record has more.
fn middling() -> Value {
    use base64::prelude::{BASE64_STANDARD, Engine as _};

    let lines = |of: &str, count: usize| {
        let all =
            (0..count).map(|line| format!("  {of}-{line}: {{{{ .Values.{of}.of{line} }}}}\n"));
        all.collect::<String>()
    };
    let templates = (0..12).map(|number| {
        let text = format!("kind: ConfigMap\ndata:\n{}", lines("part", 34 + number));
        json!({"name": format!("templates/part-{number}.yaml"), "data": BASE64_STANDARD.encode(text)})
    });
    let manifest = (0..12).map(|number| {
        let data = (0..12).map(|line| format!("  part-{line}: value {line} of {number}\n"));
        let data: String = data.collect();
        format!(
            "---\n# Source: web/templates/part-{number}.yaml\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  \
             name: web-{number}\ndata:\n{data}"
        )
    });
    let values = (0..40).map(|number| (format!("of{number}"), json!({"enabled": number % 2 == 0})));
    let values: serde_json::Map<_, _> = values.collect();
    let mut record = crate::fake_chart::recorded("web", "1.0.0", "deployed");
    record["chart"]["templates"] = templates.collect();
    record["chart"]["values"] = values.clone().into();
    record["config"] = json!({"of1": values["of1"]});
    record["manifest"] = manifest.collect::<String>().into();
    record
}

#[test]
fn the_middling_record_is_one() {
    let length = middling().to_string().len();
    assert!((24 << 10..32 << 10).contains(&length), "{length}");
}
