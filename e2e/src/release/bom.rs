//! The bill of materials: every crate that is in the binary or takes part in building it, in `CycloneDX`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Commit, ReleaseError, SENTENCE, VERSION, image, sha256};

/// What cargo says about a package and what it is made of.
#[derive(Debug)]
pub struct Crates {
    /// `cargo metadata` for the target.
    pub metadata: String,
    /// `cargo tree` of what is linked, one package a line.
    pub linked: String,
    /// `cargo tree` of what is linked or takes part in the build.
    pub needed: String,
    /// `Cargo.lock`, for the digests.
    pub lock: String,
    /// The version of Rust, of whose library each program has a part.
    pub rust: String,
    /// The version of the C library, which is linked too.
    pub libc: String,
}

/// The document.
pub(super) fn of(crates: &Crates, binary: &[u8], commit: &Commit) -> Result<Value, ReleaseError> {
    let own = package_of("charttrust");
    let described = Described::of(crates)?;
    let linked = named(&crates.linked);
    let mut used = named(&crates.needed);
    used.extend(linked.iter().cloned());
    used.remove(&own);
    // The image has them; they are no part of the binary.
    used.insert(described.only(image::AUTHORITIES)?);
    let mut components = vec![
        library("generic/rust-std", "rust-std", &crates.rust),
        library("generic/glibc", "glibc", &crates.libc),
    ];
    for package in &used {
        let is_there = linked.contains(package) || package.0 == image::AUTHORITIES;
        components.push(described.component(package, is_there)?);
    }
    let digest = sha256(binary);
    let mut main = library("cargo/charttrust", "charttrust", VERSION);
    main["type"] = json!("application");
    main["description"] = json!(SENTENCE);
    main["licenses"] = json!([{"expression": "Apache-2.0"}]);
    main["hashes"] = hashes(digest.trim_start_matches("sha256:"));
    used.insert(own);
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": serial(&format!("{} {digest}", commit.id)),
        "version": 1,
        "metadata": {
            "timestamp": commit.time()?,
            "tools": {"components": [{"type": "application", "name": "make release", "version": VERSION}]},
            "component": main,
        },
        "components": components,
        "dependencies": described.dependencies(&used),
    }))
}

type Package = (String, String);

fn package_of(name: &str) -> Package {
    (name.to_owned(), VERSION.to_owned())
}

/// The packages that `cargo tree` prints without a prefix: `name v1.2.3 (more)`.
fn named(tree: &str) -> BTreeSet<Package> {
    let package = |line: &str| {
        let (name, rest) = line.split_once(" v")?;
        let version = rest.split_whitespace().next()?;
        Some((name.to_owned(), version.to_owned()))
    };
    tree.lines().filter_map(package).collect()
}

/// What the metadata and the lock file say of packages.
struct Described {
    packages: BTreeMap<Package, Value>,
    checksums: BTreeMap<Package, String>,
    /// By id: the package, and those it is built of.
    edges: Vec<(Package, BTreeSet<Package>)>,
}

impl Described {
    fn of(crates: &Crates) -> Result<Self, ReleaseError> {
        let metadata: Value = serde_json::from_str(&crates.metadata)
            .map_err(|source| ReleaseError::Json { source })?;
        let packages = metadata["packages"].as_array().into_iter().flatten();
        let mut ids = BTreeMap::new();
        let mut described = BTreeMap::new();
        for package in packages {
            let key = (text(&package["name"]), text(&package["version"]));
            ids.insert(text(&package["id"]), key.clone());
            described.insert(key, package.clone());
        }
        Ok(Self {
            packages: described,
            checksums: checksums(&crates.lock),
            edges: edges(&metadata["resolve"]["nodes"], &ids),
        })
    }

    /// The package of this name, of which there is one version.
    fn only(&self, name: &str) -> Result<Package, ReleaseError> {
        let mut found = self.packages.keys().filter(|(one, _)| one == name);
        let first = found.next().cloned().filter(|_| found.next().is_none());
        let package = name.to_owned();
        first.ok_or(ReleaseError::UnknownCrate { package })
    }

    fn component(&self, package: &Package, is_there: bool) -> Result<Value, ReleaseError> {
        let (name, version) = package;
        let Some(said) = self.packages.get(package) else {
            let package = format!("{name} {version}");
            return Err(ReleaseError::UnknownCrate { package });
        };
        let mut component = library(&format!("cargo/{name}"), name, version);
        component["scope"] = json!(if is_there { "required" } else { "excluded" });
        if let Some(license) = said["license"].as_str() {
            // The older way of writing a choice.
            let expression = license.replace('/', " OR ");
            component["licenses"] = json!([{"expression": expression}]);
        }
        if let Some(checksum) = self.checksums.get(package) {
            component["hashes"] = hashes(checksum);
        }
        if let Some(url) = said["repository"].as_str() {
            component["externalReferences"] = json!([{"type": "vcs", "url": url}]);
        }
        Ok(component)
    }

    fn dependencies(&self, used: &BTreeSet<Package>) -> Value {
        let reference = |(name, version): &Package| format!("pkg:cargo/{name}@{version}");
        let of_used = self
            .edges
            .iter()
            .filter(|(package, _)| used.contains(package));
        let mut listed: Vec<_> = of_used
            .map(|(package, needs)| {
                let needs: Vec<_> = needs.intersection(used).map(reference).collect();
                json!({"ref": reference(package), "dependsOn": needs})
            })
            .collect();
        listed.sort_by_key(|one| text(&one["ref"]));
        listed.into()
    }
}

/// What each package is built of, without what only its tests need.
fn edges(nodes: &Value, ids: &BTreeMap<String, Package>) -> Vec<(Package, BTreeSet<Package>)> {
    let is_built_of = |edge: &&Value| {
        let mut kinds = edge["dep_kinds"].as_array().into_iter().flatten();
        kinds.any(|kind| kind["kind"] != "dev")
    };
    let node = |node: &Value| {
        let package = ids.get(&text(&node["id"]))?.clone();
        let edges = node["deps"].as_array().into_iter().flatten();
        let needs = edges.filter(is_built_of);
        let needs = needs.filter_map(|edge| ids.get(&text(&edge["pkg"])).cloned());
        Some((package, needs.collect()))
    };
    nodes
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(node)
        .collect()
}

/// The digest of each crate's archive, from `Cargo.lock`.
fn checksums(lock: &str) -> BTreeMap<Package, String> {
    let package = |block: &str| {
        let field = |name: &str| {
            let mut lines = block.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
            value.map(|value| value.trim_end_matches('"').to_owned())
        };
        Some(((field("name")?, field("version")?), field("checksum")?))
    };
    lock.split("[[package]]").filter_map(package).collect()
}

fn library(path: &str, name: &str, version: &str) -> Value {
    let purl = format!("pkg:{path}@{version}");
    json!({"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl})
}

fn hashes(sha256: &str) -> Value {
    json!([{"alg": "SHA-256", "content": sha256}])
}

/// A number for the document that follows from what it is about (a UUID of version 8).
fn serial(about: &str) -> String {
    let digest = sha256(about.as_bytes());
    let hex = digest.trim_start_matches("sha256:");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 15),
        part(15, 18),
        part(18, 30)
    )
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_from_what_cargo_prints() {
        let tree =
            "charttrust v0.1.0 (/work/a)\nserde v1.0.1\nserde_derive v1.0.1 (proc-macro) (*)\n\n";
        let names: Vec<_> = named(tree).into_iter().collect();
        let expected = [
            ("charttrust", "0.1.0"),
            ("serde", "1.0.1"),
            ("serde_derive", "1.0.1"),
        ];
        assert_eq!(names, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"x\"\nchecksum = \"00ff\"\n\
            dependencies = [\n \"b\",\n]\n\n[[package]]\nname = \"b\"\nversion = \"2.0.0\"\n";
        let read = checksums(lock);
        assert_eq!(read.len(), 1);
        assert_eq!(read[&("a".to_owned(), "1.0.0".to_owned())], "00ff");
    }

    #[test]
    fn a_package_that_cargo_does_not_describe_is_named() {
        let crates = |metadata: &str| Crates {
            metadata: metadata.to_owned(),
            linked: "serde v1.0.1\n".to_owned(),
            needed: String::new(),
            lock: String::new(),
            rust: "1".to_owned(),
            libc: "2".to_owned(),
        };
        let commit = Commit {
            id: "0".to_owned(),
            epoch: 0,
        };
        let roots = r#"{"name": "webpki-root-certs", "version": "1.0.0", "id": "a"}"#;
        for (packages, missing) in [
            (String::new(), "webpki-root-certs"),
            (roots.to_owned(), "serde 1.0.1"),
        ] {
            let metadata = format!(r#"{{"packages": [{packages}]}}"#);
            let said = of(&crates(&metadata), b"", &commit).unwrap_err();
            let said = said.to_string();
            assert!(said.contains(&format!("the crate {missing},")), "{said}");
        }
    }

    #[test]
    fn the_number_of_a_document_is_a_uuid_and_another_for_another() {
        let number = serial("a");
        let parts: Vec<_> = number
            .trim_start_matches("urn:uuid:")
            .split('-')
            .map(str::len)
            .collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{number}");
        assert_ne!(number, serial("b"));
    }
}
