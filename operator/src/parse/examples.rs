//! Every example, and every object of the table for servers, through the types and through here.
//!
//! The keys in `examples/` are throw-away ones, made by `gpg --quick-generate-key
//! "Example Platform 2026 (…) <charts@example.com>" ed25519 sign 20y` at 2026-01-05; their secrets
//! are gone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use charttrust_verify::sigstore::Root;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Problem, identity, key, policy, public_key, quarantine_problems};
use crate::api::reasons::KeyReason;
use crate::api::trusted_key::KeyType;
use crate::api::{ChartTrustPolicy, Quarantine, TrustedIdentity, TrustedKey};

#[test]
fn every_example_says_when_to_use_it_and_can_be_used() {
    let files = files("../examples");
    assert!(files.len() > 10);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let use_it = text.starts_with("# Use this ");
        assert!(
            use_it,
            "{} does not begin with `# Use this …`",
            file.display()
        );
        let documents = documents(&text);
        let material = material(&documents);
        for document in documents {
            let problems = problems(&document, &material);
            assert_eq!(problems, Ok(Vec::new()), "{}", file.display());
        }
    }
}

#[test]
fn examples_of_one_object_say_that_one_of_them_is_to_be_applied() {
    let mut declared: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files("../examples") {
        let text = fs::read_to_string(&file).unwrap();
        for one in documents(&text) {
            let name = format!("{}/{}", one["kind"], one["metadata"]["name"]);
            declared.entry(name).or_default().push(text.clone());
        }
    }
    let several = declared.into_iter().filter(|(_, texts)| texts.len() > 1);
    let several: Vec<_> = several.collect();
    assert!(several.len() > 1);
    for (name, texts) in several {
        for text in texts {
            let says_so = text.contains(": apply one of them");
            assert!(says_so, "{name} is in several files: {text}");
        }
    }
}

#[test]
fn no_example_overwrites_what_the_tutorial_makes() {
    let tutorial = fs::read_to_string("../docs/getting-started.md").unwrap();
    let mut materials = 0;
    for file in files("../examples") {
        let text = fs::read_to_string(&file).unwrap();
        for one in documents(&text) {
            let kind = one["kind"].as_str().unwrap();
            let name = one["metadata"]["name"].as_str().unwrap();
            if ["ConfigMap", "Secret"].contains(&kind) {
                materials += 1;
                assert!(
                    !tutorial.contains(name),
                    "{}: {kind} {name}",
                    file.display()
                );
            }
        }
    }
    assert!(materials > 1);
}

#[test]
fn what_the_server_accepts_is_accepted_here() {
    for file in files("tests/api/accepts") {
        for document in documents(&fs::read_to_string(&file).unwrap()) {
            assert_eq!(
                problems(&document, &NOTHING),
                Ok(Vec::new()),
                "{}",
                file.display()
            );
        }
    }
}

#[test]
fn what_the_server_refuses_is_refused_here_unless_it_is_a_mere_bound() {
    for file in files("tests/api/rejects") {
        let documents = documents(&fs::read_to_string(&file).unwrap());
        let accepted = |one: &Value| problems(one, &NOTHING) == Ok(Vec::new());
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert_eq!(
            documents.iter().all(accepted),
            HARMLESS.contains(&name),
            "{name}"
        );
    }
}

/// Refused by the server only because schemas need bounds, or because a set has no duplicates.
const HARMLESS: [&str; 4] = [
    "policy-65-rules",
    "policy-key-listed-twice",
    "policy-threshold-65",
    "quarantine-twice-the-same",
];

const NOTHING: BTreeMap<String, String> = BTreeMap::new();

/// What is wrong with a document; `Err` if it does not even have the form.
fn problems(document: &Value, material: &BTreeMap<String, String>) -> Result<Vec<Problem>, String> {
    match document["kind"].as_str() {
        Some("ChartTrustPolicy") => Ok(policy(&read::<ChartTrustPolicy>(document)?).problems),
        Some("Quarantine") => Ok(quarantine_problems(&read::<Quarantine>(document)?)),
        Some("TrustedIdentity") => Ok(identity_problems(&read(document)?)),
        Some("TrustedKey") => key_problems(&read(document)?, material),
        Some("ConfigMap" | "Secret") => Ok(Vec::new()),
        other => Err(format!("kind {other:?}")),
    }
}

fn identity_problems(object: &TrustedIdentity) -> Vec<Problem> {
    let read = identity(object, Root::Unknown(String::new()));
    read.err().unwrap_or_default()
}

fn key_problems(
    object: &TrustedKey,
    material: &BTreeMap<String, String>,
) -> Result<Vec<Problem>, String> {
    let place = &object.spec.public_key;
    let elsewhere = place.config_map_ref.as_ref().or(place.secret_ref.as_ref());
    let text = place
        .inline
        .as_ref()
        .or_else(|| material.get(&elsewhere?.key));
    let bytes = text.map(String::as_bytes).unwrap_or_default();
    let read = match object.spec.key_type {
        KeyType::OpenPGP => key(object, bytes).map(drop),
        KeyType::PublicKey => public_key(object, bytes, Root::Unknown(String::new())).map(drop),
    };
    match read {
        Err(problem) if problem.reason == KeyReason::InvalidSpec || !material.is_empty() => {
            Err(problem.message)
        }
        // The table for servers has no real keys.
        Err(_) | Ok(()) => Ok(Vec::new()),
    }
}

/// The object, if its type knows every field that is written.
fn read<T: DeserializeOwned + Serialize>(document: &Value) -> Result<T, String> {
    let object = T::deserialize(document).map_err(|error| error.to_string())?;
    let known = serde_json::to_value(&object).unwrap();
    match unknown(document, &known, "") {
        Some(path) => Err(format!("{path}: unknown field")),
        None => Ok(object),
    }
}

fn unknown(written: &Value, known: &Value, path: &str) -> Option<String> {
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => {
            written.iter().find_map(|(name, value)| {
                let path = format!("{path}.{name}");
                match known.get(name) {
                    Some(known) => unknown(value, known, &path),
                    None => (!value.is_null()).then_some(path),
                }
            })
        }
        (Value::Array(written), Value::Array(known)) => written
            .iter()
            .zip(known)
            .find_map(|(one, other)| unknown(one, other, path)),
        _ => None,
    }
}

fn material(documents: &[Value]) -> BTreeMap<String, String> {
    let maps = documents.iter().filter_map(|one| one["data"].as_object());
    let entries = maps
        .flatten()
        .map(|(key, value)| (key.clone(), value.as_str().unwrap().into()));
    let mut entries: BTreeMap<_, _> = entries.collect();
    entries.insert("real keys".to_owned(), "are expected here".to_owned());
    entries
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "yaml"));
    files.sort();
    assert!(!files.is_empty());
    files
}
