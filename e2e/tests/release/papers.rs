//! The papers of a release: its bill of materials, and where it comes from.

use std::collections::{BTreeMap, BTreeSet};

use charttrust_e2e::release::VERSION;
use charttrust_e2e::stage::path;
use charttrust_verify::digest::Sha256Digest;
use serde_json::{Value, json};

use crate::setup::{Bench, COMMIT, EPOCH, files, made};

fn document(bench: &Bench, name: &str) -> Value {
    let name = format!("dist/charttrust-{VERSION}.{name}.json");
    let text = std::fs::read(bench.path(&name)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The packages of `Cargo.lock`, by name and version, with their digests.
fn locked() -> BTreeMap<(String, String), Option<String>> {
    let lock = std::fs::read_to_string(path("Cargo.lock")).unwrap();
    let packages = lock.split("[[package]]").skip(1).map(|block| {
        let field = |name: &str| {
            let start = format!("{name} = \"");
            let line = block.lines().find_map(|line| line.strip_prefix(&start));
            line.map(|line| line.trim_end_matches('"').to_owned())
        };
        (
            (field("name").unwrap(), field("version").unwrap()),
            field("checksum"),
        )
    });
    packages.collect()
}

#[test]
fn the_bill_of_materials_lists_what_is_in_it_and_what_built_it() {
    let bench = Bench::new();
    made(&bench.release("dist", &[]));
    let bom = document(&bench, "cdx");
    assert_eq!(
        (&bom["bomFormat"], &bom["specVersion"]),
        (&json!("CycloneDX"), &json!("1.5"))
    );
    assert_eq!(bom["metadata"]["timestamp"], "2026-01-02T03:04:05Z");
    let program = Sha256Digest::of(&std::fs::read(bench.path("charttrust")).unwrap()).to_string();
    let own = &bom["metadata"]["component"];
    assert_eq!(
        format!("sha256:{}", own["hashes"][0]["content"].as_str().unwrap()),
        program
    );

    let scopes = scopes(&bom);
    let scope = |name: &str| scopes.get(name).map(String::as_str);
    for linked in [
        "charttrust-verify",
        "kube-client",
        "pgp",
        "aws-lc-sys",
        "tokio",
        "webpki-root-certs",
    ] {
        assert_eq!(scope(linked), Some("required"), "{linked}");
    }
    for builds in ["cc", "serde_derive", "syn", "clap_derive"] {
        assert_eq!(scope(builds), Some("excluded"), "{builds}");
    }
    // Of our tests, of our tools, of other systems.
    for elsewhere in [
        "wiremock",
        "proptest",
        "charttrust-e2e",
        "clap_mangen",
        "windows-sys",
        "security-framework",
    ] {
        assert_eq!(scope(elsewhere), None, "{elsewhere}");
    }
    referred(&bom);
}

/// Whether each crate is in the program, by its name. What else is said of it is true.
fn scopes(bom: &Value) -> BTreeMap<String, String> {
    let locked = locked();
    let mut scopes = BTreeMap::new();
    for component in bom["components"].as_array().unwrap() {
        let field = |name: &str| component[name].as_str().unwrap_or_default().to_owned();
        let (name, version, purl) = (field("name"), field("version"), field("purl"));
        assert_eq!(component["bom-ref"], *purl);
        if ["rust-std", "glibc"].contains(&&*name) {
            assert!(
                purl.starts_with("pkg:generic/") && version.contains('.'),
                "{component}"
            );
            continue;
        }
        assert_eq!(purl, format!("pkg:cargo/{name}@{version}"));
        let digest = locked
            .get(&(name.clone(), version))
            .unwrap_or_else(|| panic!("{purl}"));
        assert_eq!(
            component["hashes"][0]["content"].as_str(),
            digest.as_deref(),
            "{purl}"
        );
        assert!(
            component["licenses"][0]["expression"].is_string(),
            "{purl} has no licence"
        );
        scopes.insert(name, field("scope"));
    }
    scopes
}

/// Each edge leads from one component to another, and all are reached.
fn referred(bom: &Value) {
    let components = bom["components"].as_array().unwrap().iter();
    let mut known: BTreeSet<_> = components
        .map(|one| one["bom-ref"].as_str().unwrap())
        .collect();
    let count = known.len();
    assert!(known.insert(OWN) && count == bom["components"].as_array().unwrap().len());
    let edges: BTreeMap<_, Vec<_>> = bom["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let needs = one["dependsOn"]
                .as_array()
                .unwrap()
                .iter()
                .map(|to| to.as_str().unwrap());
            (one["ref"].as_str().unwrap(), needs.collect())
        })
        .collect();
    let (mut found, mut next) = (BTreeSet::new(), vec![OWN]);
    while let Some(one) = next.pop() {
        assert!(known.contains(one), "{one} is no component");
        if found.insert(one) {
            next.extend(&edges[one]);
        }
    }
    let left: Vec<_> = known.difference(&found).collect();
    let beside = left
        .iter()
        .all(|one| one.contains("generic/") || one.contains("webpki-root-certs"));
    assert!(left.len() == 3 && beside, "{left:?}");
}

#[test]
fn the_provenance_is_about_every_file_and_says_what_it_is_made_of() {
    let bench = Bench::new();
    let published = [
        "--url",
        "https://example.com/v0",
        "--builder",
        "https://ci.example.com/release",
    ];
    let said = made(&bench.release("dist", &published));
    let statement = document(&bench, "provenance");
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let mut subjects = BTreeMap::new();
    for subject in statement["subject"].as_array().unwrap() {
        let digest = format!("sha256:{}", subject["digest"]["sha256"].as_str().unwrap());
        subjects.insert(subject["name"].as_str().unwrap(), digest);
    }
    let image = subjects.remove(&*format!("charttrust:{VERSION}")).unwrap();
    assert!(said.contains(&format!("image {image}\n")), "{said}");
    let program = Sha256Digest::of(&std::fs::read(bench.path("charttrust")).unwrap());
    assert_eq!(subjects.remove("charttrust").unwrap(), program.to_string());
    let mut there = files(&bench.path("dist"));
    for own in ["SHA256SUMS", PROVENANCE] {
        there.remove(own).unwrap();
    }
    assert!(
        subjects.keys().copied().eq(there.keys()),
        "{:?}",
        subjects.keys()
    );
    for (name, digest) in subjects {
        assert_eq!(digest, Sha256Digest::of(&there[name]).to_string(), "{name}");
    }
    let predicate = &statement["predicate"];
    let build = &predicate["buildDefinition"];
    assert_eq!(build["internalParameters"]["SOURCE_DATE_EPOCH"], EPOCH);
    assert_eq!(build["externalParameters"]["url"], "https://example.com/v0");
    let of = build["resolvedDependencies"].as_array().unwrap();
    assert_eq!(
        of[0],
        json!({"name": "source", "digest": {"gitCommit": COMMIT}})
    );
    let lock = Sha256Digest::of(&std::fs::read(path("Cargo.lock")).unwrap()).to_string();
    assert_eq!(
        of[1]["digest"]["sha256"],
        lock.trim_start_matches("sha256:")
    );
    assert_eq!(
        predicate["runDetails"]["builder"]["id"],
        "https://ci.example.com/release"
    );
    let page = std::fs::read_to_string(path("docs/releasing.md")).unwrap();
    let kind = build["buildType"].as_str().unwrap();
    assert!(
        page.contains(&format!("`{kind}`")),
        "docs/releasing.md does not say what {kind} is"
    );
}

const OWN: &str = concat!("pkg:cargo/charttrust@", env!("CARGO_PKG_VERSION"));
const PROVENANCE: &str = concat!("charttrust-", env!("CARGO_PKG_VERSION"), ".provenance.json");
