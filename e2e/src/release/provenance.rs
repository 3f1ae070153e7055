//! Where a release comes from: a statement of in-toto with the predicate of SLSA 1.0.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::bom::Crates;
use super::{Commit, Publishing, VERSION, sha256};

/// The statement about what was made, by name and digest.
pub(super) fn of(
    subjects: &BTreeMap<String, String>,
    crates: &Crates,
    target: &str,
    publishing: &Publishing,
    commit: &Commit,
) -> Value {
    let subject =
        |(name, digest): (&String, &String)| json!({"name": name, "digest": sha256_of(digest)});
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects.iter().map(subject).collect::<Vec<_>>(),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "version": VERSION,
                    "target": target,
                    "image": publishing.image,
                    "url": publishing.url,
                },
                "internalParameters": {"SOURCE_DATE_EPOCH": commit.epoch.to_string()},
                "resolvedDependencies": [
                    {"name": "source", "digest": {"gitCommit": commit.id}},
                    {"name": "Cargo.lock", "digest": sha256_of(&sha256(crates.lock.as_bytes()))},
                    {"name": "rustc", "annotations": {"version": crates.rust}},
                    {"name": "glibc", "annotations": {"version": crates.libc}},
                ],
            },
            "runDetails": {"builder": {"id": publishing.builder}},
        },
    })
}

fn sha256_of(digest: &str) -> Value {
    json!({"sha256": digest.trim_start_matches("sha256:")})
}

/// What `docs/releasing.md` describes.
const BUILD_TYPE: &str = "https://charttrust.io/releasing/v1";
