//! The chart of a release: what Helm packs, with the image, the key and the links of the release.

use std::collections::BTreeMap;
use std::io::Read as _;

use charttrust_e2e::gpg::{Algorithm, Keyring};
use charttrust_e2e::helm::{Helm, Version};
use charttrust_e2e::release::VERSION;
use charttrust_e2e::stage::path;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::setup::{Bench, CHART, files, made, packed, unzipped};

fn chart_of(bench: &Bench, out: &str) -> BTreeMap<String, Vec<u8>> {
    let bytes = std::fs::read(bench.path(out).join(CHART)).unwrap();
    let entries = packed(&unzipped(&bytes)).into_iter();
    entries
        .map(|(path, mode, content)| {
            assert_eq!(mode, 0o644, "{path}");
            (path, content)
        })
        .collect()
}

fn yaml(bytes: &[u8]) -> Value {
    serde_saphyr::from_str(std::str::from_utf8(bytes).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_more_it_is_what_both_helms_pack() {
    let bench = Bench::new();
    made(&bench.release("dist", &[]));
    let ours = chart_of(&bench, "dist");
    for version in [Version::V3, Version::V4] {
        let helm = Helm::new(version).unwrap();
        let by_helm = bench.path(&format!("{version:?}"));
        let source = path("operator/chart");
        helm.package(source.as_ref(), &by_helm, None).await.unwrap();
        let archive = std::fs::File::open(by_helm.join(CHART)).unwrap();
        let mut archive = tar::Archive::new(GzDecoder::new(archive));
        let mut theirs = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            theirs.insert(
                entry.path().unwrap().to_string_lossy().into_owned(),
                content,
            );
        }
        assert!(
            ours.len() > 20 && ours.keys().eq(theirs.keys()),
            "{:?} {:?}",
            ours.keys(),
            theirs.keys()
        );
        for (name, content) in &ours {
            let same = if name == "charttrust/Chart.yaml" {
                yaml(content) == yaml(&theirs[name])
            } else {
                theirs[name] == *content
            };
            assert!(same, "{name} differs from that of {version:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_pins_its_image_and_names_its_key_and_papers() {
    let bench = Bench::new();
    let keyring = Keyring::new().unwrap();
    let key = keyring.key("releases", Algorithm::Ed25519).unwrap();
    let said = made(&bench.release_by(
        &keyring,
        "dist",
        &[
            "--image",
            "registry.example.com/team/charttrust",
            "--url",
            "https://example.com/v0/",
            "--key",
            &key.fingerprint,
        ],
    ));
    let image = said
        .lines()
        .find_map(|line| line.strip_prefix("image "))
        .unwrap();
    let packed = chart_of(&bench, "dist");
    let metadata = yaml(&packed["charttrust/Chart.yaml"]);
    let annotation = |name: &str| {
        let text = metadata["annotations"][format!("artifacthub.io/{name}")].as_str();
        yaml(
            text.unwrap_or_else(|| panic!("no {name}: {metadata}"))
                .as_bytes(),
        )
    };
    let pinned = format!("registry.example.com/team/charttrust:{VERSION}@{image}");
    assert_eq!(
        annotation("images"),
        json!([{"name": "charttrust", "image": pinned}])
    );
    let at = |file: &str| format!("https://example.com/v0/{file}");
    let sign_key = json!({"fingerprint": key.fingerprint, "url": at("signing-key.asc")});
    assert_eq!(annotation("signKey"), sign_key);
    let there = files(&bench.path("dist"));
    let links = annotation("links");
    assert_eq!(links.as_array().unwrap().len(), 3);
    for link in links.as_array().unwrap() {
        let file = link["url"].as_str().unwrap().strip_prefix(&at("")).unwrap();
        assert!(
            there.contains_key(file) && link["name"].is_string(),
            "{link}"
        );
    }
    installs(&bench, &pinned).await;
    let values = String::from_utf8(packed["charttrust/values.yaml"].clone()).unwrap();
    assert!(!values.contains("no published image"), "{values}");
}

/// Both Helms take the chart as it is, and every object that runs something has the image.
async fn installs(bench: &Bench, pinned: &str) {
    let archive = bench
        .path("dist")
        .join(CHART)
        .to_string_lossy()
        .into_owned();
    for version in [Version::V3, Version::V4] {
        let helm = Helm::new(version).unwrap();
        helm.run(&["lint", "--strict", &archive, "--kube-version", "1.36.3"])
            .await
            .unwrap();
        let rendered = helm
            .run(&[
                "template",
                "charttrust",
                &archive,
                "--kube-version",
                "1.36.3",
                "--set",
                "admission.enabled=true",
            ])
            .await
            .unwrap();
        let images: Vec<_> = rendered
            .lines()
            .filter(|line| line.trim().starts_with("image:"))
            .collect();
        assert!(
            images.len() >= 2 && images.iter().all(|line| line.contains(pinned)),
            "{images:?}"
        );
    }
}

/// The annotations that stand in the tree, as Artifact Hub reads them.
#[test]
fn artifact_hub_reads_what_the_chart_says_of_itself() {
    let text = std::fs::read_to_string(path("operator/chart/Chart.yaml")).unwrap();
    let metadata = yaml(text.as_bytes());
    let annotations = metadata["annotations"].as_object().unwrap();
    assert!(
        annotations.values().all(Value::is_string),
        "{annotations:?}"
    );
    let known =
        ["category", "crds", "license", "operator"].map(|name| format!("artifacthub.io/{name}"));
    assert!(annotations.keys().eq(&known), "{annotations:?}");
    assert_eq!(annotations["artifacthub.io/category"], "security");
    let workspace = std::fs::read_to_string(path("Cargo.toml")).unwrap();
    let license = annotations["artifacthub.io/license"].as_str().unwrap();
    assert!(workspace.contains(&format!("license = \"{license}\"")));
    let listed = yaml(
        annotations["artifacthub.io/crds"]
            .as_str()
            .unwrap()
            .as_bytes(),
    );
    let mut listed = listed.as_array().unwrap().clone();
    for one in &mut listed {
        let texts = ["displayName", "description"].map(|field| one[field].take());
        assert!(
            texts
                .iter()
                .all(|text| text.as_str().is_some_and(|text| !text.is_empty())),
            "{one}"
        );
    }
    let definitions = charttrust::api::definitions()
        .into_iter()
        .map(|definition| {
            json!({
                "kind": definition.spec.names.kind, "version": definition.spec.versions[0].name,
                "name": definition.metadata.name, "displayName": null, "description": null,
            })
        });
    let mut definitions: Vec<_> = definitions.collect();
    definitions.sort_by_key(ToString::to_string);
    listed.sort_by_key(ToString::to_string);
    assert_eq!(listed, definitions);
    let repository = std::fs::read(path("operator/artifacthub-repo.yml")).unwrap();
    assert!(yaml(&repository)["owners"].is_array());
}
