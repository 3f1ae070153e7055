//! The image of a release, read as the OCI image specification says.

use std::collections::BTreeMap;

use charttrust_e2e::release::VERSION;
use charttrust_verify::digest::Sha256Digest;
use serde_json::{Value, json};

use crate::setup::{Bench, COMMIT, machine, made, packed, unzipped};

/// A layout in which every file is one that something refers to.
struct Layout {
    files: BTreeMap<String, Vec<u8>>,
}

impl Layout {
    fn of(archive: &[u8]) -> Self {
        let files = packed(archive).into_iter();
        let files = files.filter(|(path, ..)| !path.ends_with('/'));
        Self {
            files: files.map(|(path, _, content)| (path, content)).collect(),
        }
    }

    /// Takes what a descriptor is of.
    fn take(&mut self, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap();
        let path = format!("blobs/{}", digest.replace(':', "/"));
        let content = self
            .files
            .remove(&path)
            .unwrap_or_else(|| panic!("no {path}"));
        assert_eq!(descriptor["size"], content.len());
        assert_eq!(digest, Sha256Digest::of(&content).to_string());
        content
    }

    fn take_json(&mut self, descriptor: &Value, kind: &str) -> Value {
        assert_eq!(
            descriptor["mediaType"],
            format!("application/vnd.oci.image.{kind}.v1+json")
        );
        serde_json::from_slice(&self.take(descriptor)).unwrap()
    }
}

#[test]
fn its_layout_holds_the_program_the_authorities_and_nothing_else() {
    let bench = Bench::new();
    let said = made(&bench.release("dist", &[]));
    let name = machine();
    let archive = bench.path(&format!("dist/charttrust-{VERSION}-image-linux-{name}.tar"));
    let mut layout = Layout::of(&std::fs::read(archive).unwrap());
    let listed = listed(&mut layout);
    let digest = listed["digest"].as_str().unwrap();
    assert!(said.contains(&format!("image {digest}\n")), "{said}");
    let manifest = layout.take_json(&listed, "manifest");
    assert_eq!(manifest["mediaType"], listed["mediaType"]);
    let told = |name: &str| &manifest["annotations"][format!("org.opencontainers.image.{name}")];
    assert_eq!(told("revision"), COMMIT);
    assert_eq!(told("created"), "2026-01-02T03:04:05Z");
    assert_eq!(told("version"), VERSION);
    let config = layout.take_json(&manifest["config"], "config");
    let (base, program) = layers(&mut layout, &manifest, &config);
    assert!(
        layout.files.is_empty(),
        "nothing refers to {:?}",
        layout.files.keys()
    );

    runs_as_the_dockerfile_says(&config, name);
    let built = std::fs::read(bench.path("charttrust")).unwrap();
    assert!(program == [("charttrust".to_owned(), 0o755, built)]);
    let paths: Vec<_> = base
        .iter()
        .map(|(path, mode, _)| (path.as_str(), *mode))
        .collect();
    let expected = [
        ("etc/", 0o755),
        ("etc/group", 0o644),
        ("etc/passwd", 0o644),
        ("etc/ssl/", 0o755),
        ("etc/ssl/certs/", 0o755),
        ("etc/ssl/certs/ca-certificates.crt", 0o644),
        ("tmp/", 0o1777),
    ];
    assert_eq!(paths, expected);
    let authorities = reqwest::Certificate::from_pem_bundle(&base[5].2).unwrap();
    assert!(authorities.len() > 100, "{}", authorities.len());
    let users = String::from_utf8(base[2].2.clone()).unwrap();
    assert!(users.contains("\nnonroot:x:65532:65532:"), "{users}");
}

/// The one image that the index of the layout lists.
fn listed(layout: &mut Layout) -> Value {
    let own = layout.files.remove("oci-layout").unwrap();
    assert_eq!(own, br#"{"imageLayoutVersion":"1.0.0"}"#);
    let index = layout.files.remove("index.json").unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["schemaVersion"], 2);
    let kind = "application/vnd.oci.image.index.v1+json";
    assert_eq!(index["mediaType"], kind);
    let [listed] = index["manifests"].as_array().unwrap().as_slice() else {
        panic!("{index}");
    };
    let platform = json!({"architecture": machine(), "os": "linux"});
    assert_eq!(listed["platform"], platform);
    let names = json!({
        "org.opencontainers.image.ref.name": VERSION,
        "io.containerd.image.name": format!("docker.io/library/charttrust:{VERSION}"),
    });
    assert_eq!(listed["annotations"], names);
    listed.clone()
}

type Files = Vec<(String, u32, Vec<u8>)>;

/// What is in the two layers, which the configuration knows by what they are before they are compressed.
fn layers(layout: &mut Layout, manifest: &Value, config: &Value) -> (Files, Files) {
    let layers = manifest["layers"].as_array().unwrap();
    let contents = layers.iter().map(|layer| {
        assert_eq!(
            layer["mediaType"],
            "application/vnd.oci.image.layer.v1.tar+gzip"
        );
        unzipped(&layout.take(layer))
    });
    let contents: Vec<_> = contents.collect();
    let digests: Vec<_> = contents
        .iter()
        .map(|one| Sha256Digest::of(one).to_string())
        .collect();
    assert_eq!(
        config["rootfs"],
        json!({"type": "layers", "diff_ids": digests})
    );
    assert_eq!(config["history"].as_array().unwrap().len(), digests.len());
    let [base, program] = contents.as_slice() else {
        panic!("{} layers", contents.len());
    };
    (packed(base), packed(program))
}

/// The two ways of building an image agree on how it runs.
fn runs_as_the_dockerfile_says(config: &Value, machine: &str) {
    assert_eq!(
        (&config["os"], &config["architecture"]),
        (&json!("linux"), &json!(machine))
    );
    let text = std::fs::read_to_string(charttrust_e2e::stage::path("operator/Dockerfile")).unwrap();
    let last = |word: &str| {
        text.lines()
            .rev()
            .find_map(|line| line.strip_prefix(word))
            .unwrap()
            .trim()
    };
    let list = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let runs = &config["config"];
    assert_eq!(runs["User"], last("USER "));
    assert_eq!(runs["Entrypoint"], list(last("ENTRYPOINT ")));
    assert_eq!(runs["Cmd"], list(last("CMD ")));
    let ports: Value = last("EXPOSE ")
        .split(' ')
        .map(|port| (format!("{port}/tcp"), json!({})))
        .collect();
    assert_eq!(runs["ExposedPorts"], ports);
}
