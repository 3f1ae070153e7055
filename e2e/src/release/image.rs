//! The image of the operator, as an archive of an OCI layout: what `operator/Dockerfile` builds, without a
//! container runtime.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::archive::{Entry, gzip, tar};
use super::binary::Machine;
use super::{Commit, ReleaseError, SENTENCE, VERSION, sha256};

/// An image that no registry has yet.
#[derive(Debug)]
pub(super) struct Image {
    /// The digest of its manifest, by which a registry knows it.
    pub(super) digest: String,
    /// The archive of its layout.
    pub(super) archive: Vec<u8>,
}

/// The image with this binary, made of nothing else but the certificates of public authorities and the user it
/// runs as.
pub(super) fn of(binary: &[u8], machine: Machine, commit: &Commit) -> Result<Image, ReleaseError> {
    let base = layer(&base(), commit)?;
    let program = layer(&[Entry::program("charttrust", binary)], commit)?;
    let created = commit.time()?;
    let config = blob("config", &config(machine, created, [&base, &program]))?;
    let layers = [&base, &program].map(|layer| layer.blob.descriptor.clone());
    let manifest = blob("manifest", &manifest(&config, &layers, created, commit))?;
    let index = serde_json::to_vec(&index(&manifest, machine))
        .map_err(|source| ReleaseError::Json { source })?;
    let digest = manifest.digest.clone();
    let mut blobs = vec![base.blob, program.blob, config, manifest];
    blobs.sort_by(|one, other| one.digest.cmp(&other.digest));
    let mut entries = vec![
        Entry::folder("blobs/", 0o755),
        Entry::folder("blobs/sha256/", 0o755),
    ];
    entries.extend(blobs.into_iter().map(|blob| {
        let hex = blob.digest.trim_start_matches("sha256:");
        Entry::file(format!("blobs/sha256/{hex}"), blob.content)
    }));
    entries.push(Entry::file("index.json", index));
    entries.push(Entry::file("oci-layout", LAYOUT));
    let archive = tar(&entries, commit.epoch)?;
    Ok(Image { digest, archive })
}

/// What the authorities of the base are called in a bill of materials.
pub(super) const AUTHORITIES: &str = "webpki-root-certs";

struct Blob {
    digest: String,
    descriptor: Value,
    content: Vec<u8>,
}

struct Layer {
    /// The digest of what is in it before it is compressed.
    content: String,
    blob: Blob,
}

fn layer(entries: &[Entry], commit: &Commit) -> Result<Layer, ReleaseError> {
    let tar = tar(entries, commit.epoch)?;
    let content = sha256(&tar);
    let blob = described("layer.v1.tar+gzip", gzip(&tar)?);
    Ok(Layer { content, blob })
}

fn blob(kind: &str, value: &Value) -> Result<Blob, ReleaseError> {
    let content = serde_json::to_vec(value).map_err(|source| ReleaseError::Json { source })?;
    Ok(described(&format!("{kind}.v1+json"), content))
}

fn described(kind: &str, content: Vec<u8>) -> Blob {
    let digest = sha256(&content);
    let media_type = format!("application/vnd.oci.image.{kind}");
    let descriptor = json!({"mediaType": media_type, "digest": digest, "size": content.len()});
    Blob {
        digest,
        descriptor,
        content,
    }
}

/// What is in the image beside the binary.
fn base() -> [Entry; 7] {
    [
        Entry::folder("etc/", 0o755),
        Entry::file("etc/group", "root:x:0:\nnonroot:x:65532:\n"),
        Entry::file(
            "etc/passwd",
            "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n",
        ),
        Entry::folder("etc/ssl/", 0o755),
        Entry::folder("etc/ssl/certs/", 0o755),
        Entry::file(&AUTHORITIES_FILE[1..], authorities()),
        Entry::folder("tmp/", 0o1777),
    ]
}

/// The public authorities that Mozilla lists, in PEM.
fn authorities() -> String {
    let all = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    all.map(|certificate| pem(certificate.as_ref())).collect()
}

fn pem(certificate: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(certificate);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let body: String = lines.flat_map(|line| [line, "\n".into()]).collect();
    format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
}

fn config(machine: Machine, created: Timestamp, layers: [&Layer; 2]) -> Value {
    let [base, program] = layers;
    json!({
        "created": created,
        "architecture": machine.name(),
        "os": "linux",
        "config": {
            "User": "65532:65532",
            "ExposedPorts": {"8080/tcp": {}, "8081/tcp": {}},
            "Env": ["PATH=/", format!("SSL_CERT_FILE={AUTHORITIES_FILE}")],
            "Entrypoint": ["/charttrust"],
            "Cmd": ["run"],
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [base.content, program.content]},
        "history": [
            {"created": created, "created_by": "make release", "comment": "certificates of public authorities, users"},
            {"created": created, "created_by": "make release", "comment": "charttrust"},
        ],
    })
}

fn manifest(config: &Blob, layers: &[Value], created: Timestamp, commit: &Commit) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor,
        "layers": layers,
        "annotations": {
            "org.opencontainers.image.created": created,
            "org.opencontainers.image.description": SENTENCE,
            "org.opencontainers.image.licenses": "Apache-2.0",
            "org.opencontainers.image.revision": commit.id,
            "org.opencontainers.image.title": "charttrust",
            "org.opencontainers.image.version": VERSION,
        },
    })
}

fn index(manifest: &Blob, machine: Machine) -> Value {
    let mut listed = manifest.descriptor.clone();
    listed["platform"] = json!({"architecture": machine.name(), "os": "linux"});
    // The first is what tools of OCI read, the second what a node's containerd calls it.
    listed["annotations"] = json!({
        "org.opencontainers.image.ref.name": VERSION,
        "io.containerd.image.name": format!("docker.io/library/charttrust:{VERSION}"),
    });
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [listed],
    })
}

const AUTHORITIES_FILE: &str = "/etc/ssl/certs/ca-certificates.crt";
const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
