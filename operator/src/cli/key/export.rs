//! `charttrust key export`: a keyring of the keys that are trusted, for `helm verify`. Reads only.

use std::path::PathBuf;

use charttrust_verify::key::Key;
use charttrust_verify::openpgp::{CertificateRevocation, Excerpt};
use clap::Args;
use jiff::Timestamp;
use kube::{Api, Client, ResourceExt as _};

use crate::api::TrustedKey;
use crate::api::trusted_key::KeyState;
use crate::cli::cluster::{Connection, Failure, all, chain};
use crate::cli::forecast;
use crate::cli::leading::Operator;
use crate::cli::screen::{plain, put, tell};
use crate::cli::verify::inputs;
use crate::cli::{TRUSTED, UNTRUSTED};
use crate::{clock, parse};

/// Prints a keyring for `helm verify --keyring`, of the TrustedKeys of the cluster or of files.
///
/// Keys that are revoked are left out, and those that cannot be used; they are named on standard error. Helm
/// knows no scope and no end date of ours: what it verifies may still be refused in the cluster.
///
/// Exit code 0: all that were asked for are in it; 1: one is left out; 2: the arguments cannot be used; 3: the
/// cluster does not answer.
#[derive(Args, Clone, Debug)]
pub struct Export {
    /// As Helm reads it: binary.
    #[arg(long, required = true)]
    pub helm: bool,
    /// Names of TrustedKeys; default: all.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Reads TrustedKeys from this file or folder, and asks no cluster. Repeatable.
    #[arg(short, long, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// Where the cluster is.
    #[command(flatten)]
    pub connection: Connection,
    /// Where the operator is.
    #[command(flatten)]
    pub operator: Operator,
}

/// Runs the command and gives its exit code.
///
/// # Errors
/// If the keys cannot be read, or one that is named is not there.
pub(super) async fn run(arguments: &Export) -> Result<u8, Failure> {
    let found = if arguments.file.is_empty() {
        of_cluster(arguments).await?
    } else {
        of_files(arguments)?
    };
    let missing = arguments.names.iter();
    let is_missing = |name: &&String| !found.iter().any(|one| one.object.name_any() == **name);
    if let Some(missing) = missing.clone().find(is_missing) {
        let missing = plain(missing);
        return Err(Failure::Asked(format!("there is no TrustedKey {missing}")));
    }
    let wanted = |one: &&Found| {
        arguments.names.is_empty() || arguments.names.contains(&one.object.name_any())
    };
    let (ring, left) = ring(found.iter().filter(wanted), clock::now());
    put(&ring)?;
    let lines: String = left.iter().map(|one| plain(one) + "\n").collect();
    tell(&lines);
    Ok(if left.is_empty() && !ring.is_empty() {
        TRUSTED
    } else {
        UNTRUSTED
    })
}

/// A TrustedKey with its material, or why that cannot be read.
struct Found {
    object: TrustedKey,
    material: Result<Vec<u8>, String>,
}

async fn of_cluster(arguments: &Export) -> Result<Vec<Found>, Failure> {
    let client: Client = arguments.connection.client().await?;
    let keys = all(&Api::<TrustedKey>::all(client.clone()), "TrustedKeys").await?;
    let namespace = &arguments.operator.operator_namespace;
    let mut found = Vec::new();
    for object in keys {
        let material = forecast::material(&client, namespace, &object.spec).await;
        found.push(Found { object, material });
    }
    Ok(found)
}

fn of_files(arguments: &Export) -> Result<Vec<Found>, Failure> {
    let objects = inputs::declared_keys(&arguments.file);
    let objects = objects.map_err(|error| Failure::Asked(chain(&error)))?;
    let found = objects.into_iter().map(|object| {
        let inline = object.spec.public_key.inline.clone();
        let why = "spec.publicKey names an object of the cluster, which is not read here";
        let material = inline.map(String::into_bytes).ok_or_else(|| why.to_owned());
        Found { object, material }
    });
    Ok(found.collect())
}

/// The keyring, and who is left out of it and why. A key that two objects declare is in it once, and not at
/// all if one of them revokes it.
fn ring<'a>(found: impl Iterator<Item = &'a Found>, now: Timestamp) -> (Vec<u8>, Vec<String>) {
    let all: Vec<_> = found.collect();
    let (mut ring, mut left) = (Vec::new(), Vec::new());
    let mut taken = Vec::new();
    for one in &all {
        let name = one.object.name_any();
        let fingerprint = one.object.spec.fingerprint.to_ascii_uppercase();
        let mut same = all.iter().filter(|other| {
            let other = &other.object.spec.fingerprint;
            other.eq_ignore_ascii_case(&fingerprint)
        });
        let revoked = same.find_map(|other| revoked(other, now));
        match (revoked, excerpt(one)) {
            (Some(why), _) | (None, Err(why)) => {
                left.push(format!("TrustedKey {name} is left out: {why}"));
            }
            (None, Ok(_)) if taken.contains(&fingerprint) => {}
            (None, Ok(bytes)) => {
                taken.push(fingerprint);
                ring.extend(bytes);
            }
        }
    }
    (ring, left)
}

fn excerpt(found: &Found) -> Result<Vec<u8>, String> {
    let material = found.material.as_ref().map_err(Clone::clone)?;
    let key = key(found)?;
    let excerpt = Excerpt::of(material, key.fingerprint());
    excerpt
        .map(|excerpt| excerpt.binary())
        .map_err(|error| chain(&error))
}

fn key(found: &Found) -> Result<Key, String> {
    let material = found.material.as_ref().map_err(Clone::clone)?;
    parse::key(&found.object, material).map_err(|problem| problem.to_string())
}

/// That a key is revoked, by its object, by itself or by what the operator has learned.
fn revoked(found: &Found, now: Timestamp) -> Option<String> {
    let name = found.object.name_any();
    if let Some(revocation) = &found.object.spec.revocation {
        return Some(format!(
            "TrustedKey {name} revokes it as {:?}",
            revocation.reason
        ));
    }
    let status = found.object.status.as_ref();
    let state = status.and_then(|status| status.state);
    if let Some(state @ (KeyState::Compromised | KeyState::Revoked)) = state {
        return Some(format!("the operator has found it {state:?}"));
    }
    let summary = key(found).ok()?.certificate.summary(now);
    let own: Option<CertificateRevocation> = summary.revocation;
    own.map(|_| "it carries a revocation of its own".to_owned())
}

#[cfg(test)]
mod tests {
    use charttrust_verify::openpgp::load_all;
    use serde_json::json;

    use super::*;

    fn found(name: &str, vector: &str) -> Found {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/verify/tests/openpgp/vectors/");
        let material = std::fs::read(format!("{folder}{vector}")).unwrap();
        let all = load_all(&material).unwrap();
        let object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedKey", "metadata": {"name": name},
            "spec": {"fingerprint": all[0].fingerprint(), "publicKey": {"inline": "x"}},
        });
        Found {
            object: serde_json::from_value(object).unwrap(),
            material: Ok(material),
        }
    }

    fn now() -> Timestamp {
        "2026-11-29T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn what_is_revoked_or_unusable_is_left_out_and_named() {
        let good = found("good", "ed25519.asc");
        let other = found("other", "rsa2048.asc");
        let own = found("own", "revoked-compromised.asc");
        let mut lost = found("lost", "rsa3072.asc");
        lost.material = Err("signing-keys has no key a.asc".to_owned());
        let mut declared = found("declared", "nistp256.asc");
        declared.object.spec.revocation =
            serde_json::from_value(json!({"reason": "Retired"})).unwrap();
        let all = [good, other, own, lost, declared];
        let (bytes, left) = ring(all.iter(), now());
        let names: Vec<_> = load_all(&bytes).unwrap();
        let names: Vec<_> = names
            .iter()
            .map(|one| one.fingerprint().to_string())
            .collect();
        assert_eq!(names.len(), 2, "{names:?} {left:?}");
        for (line, part) in left.iter().zip([
            "TrustedKey own is left out: it carries a revocation",
            "TrustedKey lost is left out: signing-keys has no key",
            "TrustedKey declared is left out: TrustedKey declared revokes it as Retired",
        ]) {
            assert!(line.starts_with(part), "{line}");
        }
    }

    #[test]
    fn a_revocation_counts_for_every_object_of_the_key() {
        let first = found("first", "ed25519.asc");
        let mut second = found("second", "ed25519.asc");
        let (once, left) = ring([&first, &second].into_iter(), now());
        assert_eq!((load_all(&once).unwrap().len(), left.len()), (1, 0));
        let (alone, _) = ring(std::iter::once(&first), now());
        assert_eq!(
            once, alone,
            "readers other than ours need not look over a second one"
        );
        second.object.spec.revocation =
            serde_json::from_value(json!({"reason": "Compromised"})).unwrap();
        let (none, left) = ring([&first, &second].into_iter(), now());
        assert!(none.is_empty());
        assert_eq!(left.len(), 2, "{left:?}");
    }
}
