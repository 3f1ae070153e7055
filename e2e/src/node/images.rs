//! Images of a node's Pods, in its registry.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde_json::{Value, json};

use super::Result;
use crate::registry::Registry;
use crate::release::archive::{Entry, gzip, tar};
use crate::release::{Machine, sha256};
use crate::tools::{self, Tool};

/// Puts the image of an archive of an OCI layout into a registry, as `skopeo copy` does.
pub(super) async fn push(registry: &Registry, name: &str, archive: &[u8]) -> Result {
    let files = files(archive)?;
    let file = |path: &str| files.get(path).ok_or(format!("the archive has no {path}"));
    let blob = |of: &Value| {
        let digest = of["digest"].as_str().unwrap_or_default();
        file(&format!("blobs/{}", digest.replace(':', "/")))
    };
    let index: Value = serde_json::from_slice(file("index.json")?)?;
    let manifest: Value = serde_json::from_slice(blob(&index["manifests"][0])?)?;
    let layers = manifest["layers"].as_array().into_iter().flatten();
    let blobs = layers.chain([&manifest["config"]]).map(blob);
    let blobs = blobs.collect::<std::result::Result<Vec<_>, _>>()?;
    let blobs: Vec<&[u8]> = blobs.into_iter().map(Vec::as_slice).collect();
    let place = name.split_once(':').ok_or("a name without a tag")?;
    Ok(registry.put(place, &manifest, &blobs).await?)
}

/// The image with which Pods of a story wait, serve and ask: one program and nothing else.
pub(super) async fn push_pod(registry: &Registry) -> Result {
    let program = std::fs::read(tools::path(Tool::Pod)?)?;
    let machine = Machine::of(&program)?;
    let content = tar(&[Entry::program("pod", program)], 0)?;
    let layer = gzip(&content)?;
    let config = json!({
        "architecture": machine.name(), "os": "linux",
        "config": {"Entrypoint": ["/pod"], "Cmd": ["wait"], "User": "65532:65532"},
        "rootfs": {"type": "layers", "diff_ids": [sha256(&content)]},
    });
    let config = config.to_string();
    let described = |kind: &str, bytes: &[u8]| {
        let media_type = format!("application/vnd.oci.image.{kind}");
        json!({"mediaType": media_type, "digest": sha256(bytes), "size": bytes.len()})
    };
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("config.v1+json", config.as_bytes()),
        "layers": [described("layer.v1.tar+gzip", &layer)],
    });
    let blobs: [&[u8]; 2] = [config.as_bytes(), &layer];
    Ok(registry.put(("pod", "1"), &manifest, &blobs).await?)
}

fn files(archive: &[u8]) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        files.insert(entry.path()?.to_string_lossy().into_owned(), content);
    }
    Ok(files)
}
