//! How fast the engine is, in one thread: for `make bench`, which runs other programs beside it.
//!
//! `speed verify MILLISECONDS ARCHIVE PROVENANCE KEYRING` verifies one chart again and again: statement, signature
//! and digest, by keys that were read before. `speed decode MILLISECONDS RECORD` decodes one record again and again.
//! `speed bundle MILLISECONDS BUNDLE ROOT SHA256 ISSUER SUBJECT` verifies one Sigstore bundle of an identity again and
//! again, from its bytes to its signer, by a trusted root that was read before. Each prints how many nanoseconds it takes.

use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs};

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::key::Scope;
use charttrust_verify::limits::RecordLimits;
use charttrust_verify::openpgp::{self, Certificate};
use charttrust_verify::sigstore::{
    self, Artifact, ClaimRules, ClaimedBundle, Identity, Means, SubjectRule, TrustedRoot,
};
use charttrust_verify::{provenance, release};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(nanoseconds) => {
            println!("{nanoseconds}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("speed: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[&str]) -> Outcome<u128> {
    match arguments {
        ["verify", time, archive, provenance, keyring] => {
            let keys = openpgp::load_all(&fs::read(keyring)?)?;
            let (archive, provenance) = (fs::read(archive)?, fs::read(provenance)?);
            repeated(time, || verified(&archive, &provenance, &keys))
        }
        ["decode", time, record] => {
            let (record, limits) = (fs::read(record)?, RecordLimits::default());
            repeated(time, || {
                black_box(release::decode(&record, &limits)?);
                Ok(())
            })
        }
        ["bundle", time, bundle, root, digest, issuer, subject] => {
            let (bundle, root) = (fs::read(bundle)?, TrustedRoot::parse(&fs::read(root)?)?);
            let digest = format!("sha256:{digest}").parse()?;
            let signer = identity(issuer, subject);
            repeated(time, || signed(&bundle, (digest, &root), &signer))
        }
        _ => Err(USAGE.into()),
    }
}

const USAGE: &str = "usage: speed verify MILLISECONDS ARCHIVE PROVENANCE KEYRING, speed decode MILLISECONDS RECORD, or \
                     speed bundle MILLISECONDS BUNDLE ROOT SHA256 ISSUER SUBJECT";

/// Repeats something for so long; how many nanoseconds it takes once.
fn repeated(time: &str, act: impl Fn() -> Outcome<()>) -> Outcome<u128> {
    let time = Duration::from_millis(time.parse()?);
    let (begun, mut count) = (Instant::now(), 0_u128);
    while begun.elapsed() < time {
        act()?;
        count = count.saturating_add(1);
    }
    Ok(begun.elapsed().as_nanos() / count.max(1))
}

/// What `helm verify` does, with keys that were read before.
fn verified(archive: &[u8], provenance: &[u8], keys: &[Certificate]) -> Outcome<()> {
    let message = openpgp::parse_cleartext(black_box(provenance))?;
    let statement = provenance::parse(message.text())?;
    let mut signatures = message.signatures().iter();
    let is_good = signatures.any(|signature| {
        let mut keys = keys.iter();
        keys.any(|key| openpgp::verify(&message, signature, key).is_ok())
    });
    let claimed = statement.digest_of(&statement.claimed_name, &statement.claimed_version);
    if !is_good || claimed != Some(Sha256Digest::of(black_box(archive))) {
        return Err("the chart is not verified".into());
    }
    Ok(())
}

/// Whoever has exactly this issuer and this subject.
fn identity(issuer: &str, subject: &str) -> Identity {
    Identity {
        name: "expected".to_owned(),
        issuer: issuer.to_owned(),
        subject: SubjectRule::Exact(subject.to_owned()),
        claims: ClaimRules::default(),
        scope: Scope::default(),
        not_after: None,
        revocation: None,
    }
}

/// What `cosign verify` does, with a trusted root that was read before.
fn signed(bundle: &[u8], of: (Sha256Digest, &TrustedRoot), expected: &Identity) -> Outcome<()> {
    let (digest, root) = of;
    let claimed = ClaimedBundle::parse(black_box(bundle))?;
    let verified = sigstore::verify(&claimed, Artifact::Digest(digest), Means::Identity(root))?;
    let signer = verified.identity().ok_or("it is signed by a key")?;
    let matched = expected.matches(signer);
    matched.map_err(|mismatch| mismatch.to_string())?;
    Ok(())
}
