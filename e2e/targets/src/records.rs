//! Records of releases, and what they say beside the archive.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use charttrust_verify::binding::{Binding, compare};
use charttrust_verify::chart::{self, Chart};
use charttrust_verify::limits::{ArchiveLimits, RecordLimits};
use charttrust_verify::release::{Record, RecordError, decode};
use serde_json::{Value, json};

use crate::archives::{Tar, gzipped};
use crate::{Target, vectors};

pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "record",
        reads: "the record of a release: base64 of gzip of JSON, or of JSON",
        holds: "In gzip or plain it is the same record; another reader of JSON reads the same name and revision.",
        longest: 8192,
        check: record,
        seeds: records,
    },
    Target {
        name: "record-layers",
        reads: "the payload of a record as it is stored",
        holds: "Within limits, whatever is packed in it.",
        longest: 8192,
        check: layers,
        seeds: payloads,
    },
    Target {
        name: "binding",
        reads: "a record beside the archive that it is said to be made of",
        holds: "The same each time; a record of another chart, or with another template, is never the same.",
        longest: 8192,
        check: binding,
        seeds: records,
    },
];

const METADATA: &str = "apiVersion: v2\nname: web\nversion: 1.2.3\n";
const TEMPLATE: &str = "kind: Deployment\n";
const VALUES: &str = "replicas: 1\nimage: {tag: x}\n";

fn base() -> Value {
    let part = |name: &str, content: &str| json!({"name": name, "data": BASE64_STANDARD.encode(content), "modtime": "1970-01-01T00:00:10Z"});
    json!({
        "name": "shop",
        "info": {
            "first_deployed": "2026-11-22T10:00:00.123456789Z",
            "last_deployed": "2026-11-22T12:00:00.5+02:00",
            "status": "deployed",
        },
        "chart": {
            "metadata": {"name": "web", "version": "1.2.3", "apiVersion": "v2"},
            "lock": null,
            "templates": [part("templates/a.yaml", TEMPLATE)],
            "values": {"replicas": 1, "image": {"tag": "x"}},
            "schema": null,
            "files": [part("README.md", "# web\n")],
            "modtime": "1970-01-01T00:00:10Z",
        },
        "config": {"image": {"tag": "y"}},
        "manifest": "---\n# Source: web/templates/a.yaml\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n",
        "hooks": [{"name": "h", "kind": "Job", "manifest": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: h}\n"}],
        "version": 3,
        "namespace": "prod",
        "apply_method": "ssa",
    })
}

fn records() -> Vec<Vec<u8>> {
    let mut pending = base();
    pending["info"]["status"] = json!("pending-install");
    pending["version"] = json!(1);
    let mut nested = base();
    nested["manifest"] = json!(
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n"
    );
    nested["chart"]["metadata"]["dependencies"] = json!([{"name": "db", "version": "1.0.0", "repository": "", "enabled": true, "import-values": ["a"]}]);
    [base(), pending, nested]
        .map(|record| record.to_string().into_bytes())
        .to_vec()
}

fn payloads() -> Vec<Vec<u8>> {
    let all = records();
    let packed = all
        .iter()
        .map(|json| BASE64_STANDARD.encode(gzipped(json)).into_bytes());
    let plain = all
        .iter()
        .map(|json| BASE64_STANDARD.encode(json).into_bytes());
    packed.chain(plain).collect()
}

/// Little, so that a fuzzer reaches the limits.
fn limits() -> RecordLimits {
    RecordLimits {
        json_bytes: 256 * 1024,
        values: 10_000,
        objects: 100,
        ..RecordLimits::default()
    }
}

fn decoded(json: &[u8]) -> Result<Record, RecordError> {
    decode(BASE64_STANDARD.encode(gzipped(json)).as_bytes(), &limits())
}

fn record(json: &[u8]) {
    let packed = decoded(json);
    let plain = decode(BASE64_STANDARD.encode(json).as_bytes(), &limits());
    // What begins as gzip does is no JSON, and taken for gzip where it stands alone.
    if !json.starts_with(b"\x1f\x8b\x08") {
        assert_eq!(
            told(&packed),
            told(&plain),
            "gzip makes another record of it"
        );
    }
    let Ok(record) = packed else { return };
    assert!(record.objects.len() + record.hooks.len() <= 2 * limits().objects);
    // Go replaces what is no UTF-8, where another reader stops.
    let Ok(value) = serde_json::from_slice::<Value>(json) else {
        return;
    };
    // Go takes a field in any case.
    let is_plain = |name: &str| {
        let fields = value.as_object().into_iter().flatten();
        fields
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .count()
            == 1
    };
    if is_plain("name") && value["name"].is_string() {
        assert_eq!(value["name"].as_str(), Some(record.name.as_str()));
    }
    if is_plain("version") && value["version"].is_i64() {
        assert_eq!(value["version"].as_i64(), Some(record.revision));
    }
}

fn told(read: &Result<Record, RecordError>) -> String {
    match read {
        Ok(record) => format!("{record:?} {}", record.content_digest()),
        Err(error) => format!("{error:?}"),
    }
}

fn layers(bytes: &[u8]) {
    if let Ok(record) = decode(bytes, &limits()) {
        assert!(bytes.len() <= limits().payload_bytes);
        assert_eq!(
            told(&decode(bytes, &limits())),
            told(&Ok(record)),
            "read in two ways"
        );
    }
}

static CHARTS: LazyLock<[Chart; 2]> = LazyLock::new(|| {
    let own = Tar::default()
        .file("web/Chart.yaml", METADATA.as_bytes())
        .file("web/values.yaml", VALUES.as_bytes())
        .file("web/templates/a.yaml", TEMPLATE.as_bytes())
        .file("web/README.md", b"# web\n");
    [own.gzip(), vectors::read("data/frobnitz-1.2.3.tgz")].map(|archive| {
        let read = chart::read(&archive, &ArchiveLimits::default());
        read.unwrap_or_else(|error| panic!("a chart of the vectors: {error}"))
    })
});

fn binding(json: &[u8]) {
    let Ok(record) = decoded(json) else { return };
    for chart in CHARTS.iter() {
        let binding = compare(chart, &record);
        assert_eq!(binding, compare(chart, &record), "compared in two ways");
        if let Binding::Same { .. } = binding {
            let (own, theirs) = (&chart.metadata, &record.chart.metadata);
            assert_eq!((&own.name, &own.version), (&theirs.name, &theirs.version));
            let mut digests: Vec<_> = chart
                .templates
                .iter()
                .map(|part| (&part.name, part.digest))
                .collect();
            let mut recorded: Vec<_> = record
                .chart
                .templates
                .iter()
                .map(|part| (&part.name, part.digest))
                .collect();
            digests.sort_unstable();
            recorded.sort_unstable();
            assert_eq!(digests.len(), recorded.len(), "a template more or less");
            let names = |all: &[(&String, _)]| {
                all.iter()
                    .map(|(name, _)| (*name).clone())
                    .collect::<Vec<_>>()
            };
            assert_eq!(names(&digests), names(&recorded));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else that nothing is the same would say nothing.
    #[test]
    fn the_base_is_made_of_its_archive() {
        let record = decoded(&records()[0]).unwrap();
        let binding = compare(&CHARTS[0], &record);
        assert!(matches!(binding, Binding::Same { .. }), "{binding:?}");
    }
}
