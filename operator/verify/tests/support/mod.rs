//! Builds archives and records for the tests.
#![allow(dead_code, reason = "every test crate uses its own part")]

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use charttrust_verify::chart::{ArchiveError, Chart, read};
use charttrust_verify::limits::{ArchiveLimits, RecordLimits};
use charttrust_verify::release::{Record, RecordError, decode};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

/// A tar archive in the making.
#[derive(Clone, Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

/// One tar header, as a ustar writer would fill it.
pub(crate) struct Header(pub(crate) [u8; 512]);

impl Header {
    pub(crate) fn new(name: &[u8], kind: u8, size: usize) -> Self {
        let mut header = Self([0; 512]);
        header.put(0, &name[..name.len().min(100)]);
        header.put(100, b"0000644\0");
        header.put(108, b"0000000\0");
        header.put(116, b"0000000\0");
        header.put(124, format!("{size:011o}\0").as_bytes());
        header.put(136, b"00000000012\0");
        header.put(156, &[kind]);
        header.put(257, b"ustar\x0000");
        header
    }

    pub(crate) fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(crate) fn sealed(mut self) -> [u8; 512] {
        self.put(148, b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

impl Tar {
    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        let header = Header::new(name.as_bytes(), b'0', content.len());
        self.entry(header, content)
    }

    pub(crate) fn entry(mut self, header: Header, content: &[u8]) -> Self {
        self.0.extend(header.sealed());
        self.content(content)
    }

    pub(crate) fn content(mut self, content: &[u8]) -> Self {
        self.0.extend(content);
        let padding = (512 - content.len() % 512) % 512;
        self.0.extend(vec![0; padding]);
        self
    }

    /// An extended header.
    pub(crate) fn pax(self, kind: u8, records: &[(&str, &str)]) -> Self {
        let content: String = records
            .iter()
            .map(|(key, value)| pax_record(key, value))
            .collect();
        let header = Header::new(b"PaxHeaders/x", kind, content.len());
        self.entry(header, content.as_bytes())
    }

    pub(crate) fn gzip(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        gzip(&self.0)
    }
}

fn pax_record(key: &str, value: &str) -> String {
    let body = key.len() + value.len() + 3;
    let mut length = body + body.to_string().len();
    if length.to_string().len() + body != length {
        length = body + length.to_string().len();
    }
    format!("{length} {key}={value}\n")
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) const CHART_YAML: &str = "apiVersion: v2\nname: web\nversion: 1.2.3\nappVersion: 1.10\n\
                              description: A web server\nkeywords: [a, b]\n\
                              maintainers:\n- name: Ann\n  email: ann@example.com\n";
pub(crate) const VALUES: &str = "replicas: 1\nimage:\n  tag: x\n";

/// The files of the base chart, in archive order.
pub(crate) fn files() -> Vec<(String, Vec<u8>)> {
    [
        ("Chart.yaml", CHART_YAML),
        ("values.yaml", VALUES),
        ("values.schema.json", "{}"),
        ("templates/deployment.yaml", "kind: Deployment\n"),
        ("templates/service.yaml", "kind: Service\n"),
        ("README.md", "# web\n"),
        (
            "crds/thing.yaml",
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.com}\n",
        ),
    ]
    .map(|(name, content)| (name.to_owned(), content.as_bytes().to_vec()))
    .to_vec()
}

pub(crate) fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    files
        .iter()
        .fold(Tar::default(), |tar, (name, content)| {
            tar.file(&format!("web/{name}"), content)
        })
        .gzip()
}

pub(crate) fn load(archive: &[u8]) -> Result<Chart, ArchiveError> {
    read(archive, &ArchiveLimits::default())
}

/// The record that Helm 4 makes of the base chart.
pub(crate) fn record() -> Value {
    let part = |name: &str| {
        let content = files()
            .into_iter()
            .find(|(file, _)| file == name)
            .unwrap()
            .1;
        json!({"name": name, "data": STANDARD.encode(content), "modtime": "1970-01-01T00:00:10Z"})
    };
    json!({
        "name": "shop",
        "info": {
            "first_deployed": "2026-11-22T10:00:00.123456789Z",
            "last_deployed": "2026-11-22T12:00:00.5+02:00",
            "description": "Install complete",
            "status": "deployed",
            "notes": "<hi>",
        },
        "chart": {
            "metadata": {
                "name": "web",
                "version": "1.2.3",
                "description": "A web server",
                "keywords": ["a", "b"],
                "maintainers": [{"name": "Ann", "email": "ann@example.com"}],
                "apiVersion": "v2",
                "appVersion": "1.1",
            },
            "lock": null,
            "templates": [part("templates/deployment.yaml"), part("templates/service.yaml")],
            "values": {"replicas": 1, "image": {"tag": "x"}},
            "schema": STANDARD.encode("{}"),
            "schemamodtime": "1970-01-01T00:00:10Z",
            "files": [part("README.md"), part("crds/thing.yaml")],
            "modtime": "1970-01-01T00:00:10Z",
        },
        "config": {"image": {"tag": "y"}},
        "manifest": "---\n# Source: web/templates/service.yaml\napiVersion: v1\nkind: Service\n\
                     metadata:\n  name: shop-web\n---\n# Source: web/templates/deployment.yaml\n\
                     apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: shop-web\n  \
                     namespace: other\nspec: {}\n",
        "version": 3,
        "namespace": "prod",
        "apply_method": "ssa",
    })
}

/// Wraps JSON as Helm does.
pub(crate) fn payload(json: &[u8]) -> Vec<u8> {
    STANDARD.encode(gzip(json)).into_bytes()
}

pub(crate) fn decoded(record: &Value) -> Result<Record, RecordError> {
    decode(
        &payload(&serde_json::to_vec(record).unwrap()),
        &RecordLimits::default(),
    )
}
