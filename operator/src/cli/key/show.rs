//! `charttrust key show`: what a key file holds, and whether it could sign charts. Reads the named file.

use std::path::{Path, PathBuf};

use charttrust_verify::finding::error_chain;
use charttrust_verify::openpgp::{self, Certificate, Code, Summary};
use charttrust_verify::sigstore::PublicKey;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::cluster::{Failure, chain};
use crate::cli::screen::{Format, say};
use crate::cli::status::shown;
use crate::cli::verify::inputs::{self, Kind};
use crate::cli::{SCHEMA_VERSION, TRUSTED, UNTRUSTED};
use crate::clock;

/// Tells what a key file holds, and whether it could sign charts.
///
/// Exit code 0: a key of it could vouch for a chart that is signed now; 1: none could; 2: the file cannot be
/// used.
#[derive(Args, Clone, Debug)]
pub struct Show {
    /// An OpenPGP key or a keyring, armored or binary; or a public key in PEM, as `cosign public-key` prints it.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The reference time instead of now, such as 2026-11-18T00:00Z, or the day 2026-11-18.
    #[arg(long, value_name = "TIME", value_parser = crate::cli::instant)]
    pub at: Option<Timestamp>,
    /// Prints for programs.
    #[arg(short, long, value_enum)]
    pub output: Option<Format>,
}

/// Runs the command and gives its exit code.
///
/// # Errors
/// If the file cannot be read or holds no key.
#[expect(clippy::unused_async, reason = "as all commands are run")]
pub(super) async fn run(arguments: &Show) -> Result<u8, Failure> {
    let material = read(&arguments.file)?;
    if inputs::is_pem(&material) {
        return public(arguments, &material);
    }
    let found = found(&material, arguments.at.unwrap_or_else(clock::now));
    let found = found.map_err(|why| unusable(&arguments.file, &why))?;
    say(&match arguments.output {
        Some(format) => format.write(&found)?,
        None => shown(found.lines()),
    })?;
    Ok(found.code())
}

/// A public key: what a TrustedKey of type `PublicKey` is pinned by.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FoundPublic {
    schema_version: u32,
    fingerprint: String,
    algorithm: String,
}

fn public(arguments: &Show, material: &[u8]) -> Result<u8, Failure> {
    let key = PublicKey::parse(material);
    let key = key.map_err(|error| unusable(&arguments.file, &error_chain(&error)))?;
    let found = FoundPublic {
        schema_version: SCHEMA_VERSION,
        fingerprint: key.fingerprint().to_string(),
        algorithm: key.algorithm(),
    };
    let FoundPublic {
        fingerprint,
        algorithm,
        ..
    } = &found;
    say(&match arguments.output {
        Some(format) => format.write(&found)?,
        None => shown(vec![
            format!("Key:      {fingerprint} ({algorithm})"),
            "Charts:   could vouch for one, as a TrustedKey of type PublicKey".to_owned(),
        ]),
    })?;
    Ok(TRUSTED)
}

/// The bytes of a key file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = inputs::read_whole(path, Kind::Key);
    bytes.map_err(|error| Failure::Asked(chain(&error)))
}

fn unusable(path: &Path, why: &str) -> Failure {
    Failure::Asked(format!("{}: {why}", path.display()))
}

/// What a file holds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    schema_version: u32,
    keys: Vec<Described>,
    /// Versions of keys that cannot be used here.
    skipped_versions: Vec<u8>,
}

/// One key.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Described {
    fingerprint: String,
    algorithm: String,
    /// Anybody can put any name into a key.
    #[serde(rename = "userIDs")]
    user_ids: Vec<String>,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    /// The keys that may sign now.
    signing_keys: Vec<String>,
    /// Whether a signature made now could vouch for a chart.
    pub(super) could_sign: bool,
    /// Why not, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<&'static str>,
    /// The same in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'static str>,
}

fn found(material: &[u8], now: Timestamp) -> Result<Found, String> {
    let all = openpgp::load_all(material).map_err(|error| error_chain(&error))?;
    Ok(Found {
        schema_version: SCHEMA_VERSION,
        keys: all.iter().map(|one| Described::of(one, now)).collect(),
        skipped_versions: openpgp::skipped_versions(material).into_iter().collect(),
    })
}

impl Found {
    fn code(&self) -> u8 {
        if self.keys.iter().any(|key| key.could_sign) {
            TRUSTED
        } else {
            UNTRUSTED
        }
    }

    fn lines(&self) -> Vec<String> {
        let keys = self.keys.iter().flat_map(Described::lines);
        let skipped = self.skipped_versions.iter();
        let skipped =
            skipped.map(|version| format!("A key of version {version}, which cannot be used here"));
        keys.chain(skipped).collect()
    }
}

impl Described {
    /// A key at a reference time.
    pub(super) fn of(certificate: &Certificate, now: Timestamp) -> Self {
        let Summary {
            algorithm,
            user_ids,
            created,
            expires,
            signing_keys,
            usable,
            ..
        } = certificate.summary(now);
        let fault: Option<Code> = usable.err();
        let signing = signing_keys.iter().map(|key| {
            let expires = key
                .expires
                .map_or_else(String::new, |end| format!(", until {end}"));
            format!("{} ({}{expires})", key.fingerprint, key.algorithm)
        });
        Self {
            fingerprint: certificate.fingerprint().to_string(),
            algorithm,
            user_ids,
            created: created.to_string(),
            expires: expires.map(|end| end.to_string()),
            signing_keys: signing.collect(),
            could_sign: fault.is_none(),
            fault: fault.map(Code::word),
            because: fault.map(Code::cause),
        }
    }

    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let expires = self.expires.as_deref().unwrap_or("never");
        let mut lines = vec![format!(
            "Key:      {} ({})",
            self.fingerprint, self.algorithm
        )];
        lines.extend(self.user_ids.iter().map(|id| format!("Says:     {id}")));
        lines.push(format!("Life:     made {}, ends {expires}", self.created));
        lines.extend(
            self.signing_keys
                .iter()
                .map(|key| format!("Signs by: {key}")),
        );
        lines.push(match (self.fault, self.because) {
            (Some(word), because) => {
                let because = because.unwrap_or_default();
                format!("Charts:   could not vouch for one that is signed now: {word}: {because}")
            }
            (None, _) => "Charts:   could vouch for one that is signed now".to_owned(),
        });
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/verify/tests/openpgp/vectors/");
        std::fs::read(format!("{folder}{name}")).unwrap()
    }

    fn shown_of(name: &str) -> (u8, String) {
        let now = "2026-11-29T00:00:00Z".parse().unwrap();
        let found = found(&vector(name), now).unwrap();
        (found.code(), shown(found.lines()))
    }

    #[test]
    fn a_key_is_told_with_whether_it_could_sign_charts() {
        let (code, good) = shown_of("ed25519.asc");
        assert_eq!(code, TRUSTED, "{good}");
        for part in [
            "(Ed25519)",
            "Says:     ",
            "ends never",
            "could vouch for one",
        ] {
            assert!(good.contains(part), "{part}: {good}");
        }
        for (name, word) in [
            ("revoked-compromised.asc", "RevokedHard"),
            ("rsa1024.asc", "WeakKey"),
            ("short.asc", "Expired"),
        ] {
            let (code, bad) = shown_of(name);
            assert_eq!(code, UNTRUSTED, "{bad}");
            assert!(
                bad.contains("could not vouch") && bad.contains(word),
                "{name}: {bad}"
            );
        }
    }

    #[test]
    fn programs_read_the_same() {
        let now = "2026-11-29T00:00:00Z".parse().unwrap();
        let json = serde_json::to_value(found(&vector("ed25519.asc"), now).unwrap()).unwrap();
        assert_eq!(json["schemaVersion"], 1);
        assert_eq!(json["keys"][0]["couldSign"], true);
        assert!(json["keys"][0]["fault"].is_null());
        assert_eq!(json["keys"][0]["signingKeys"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_key_says_what_to_do() {
        let now = Timestamp::UNIX_EPOCH;
        let why = |name: &str| found(&vector(name), now).unwrap_err();
        assert!(why("keybox.kbx").contains("gpg --export --armor"));
        assert!(
            found(b"<html>", now)
                .unwrap_err()
                .contains("BEGIN PGP PUBLIC KEY BLOCK")
        );
    }
}
