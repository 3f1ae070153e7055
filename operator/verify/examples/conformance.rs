//! Runs the folders of sigstore-conformance (`test/assets/bundle-verify`) through the engine, each with
//! the artifact's bytes and with its digest, and lists what is not as their names say.
//!
//! `make conformance DIR=…`

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::key::Scope;
use charttrust_verify::sigstore::{
    Artifact, ClaimRules, ClaimedBundle, Identity, Means, PublicKey, SubjectRule, TrustedRoot,
    verify,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!(
            "usage: conformance DIR, the folder test/assets/bundle-verify of sigstore-conformance"
        );
        return ExitCode::from(2);
    };
    match run(&folder) {
        Ok((0, _)) => {
            eprintln!(
                "{} has no case: is it test/assets/bundle-verify?",
                folder.display()
            );
            ExitCode::from(2)
        }
        Ok((runs, unexpected)) => {
            println!(
                "{} passed, {unexpected} failed",
                runs.saturating_sub(unexpected)
            );
            ExitCode::from(u8::from(unexpected > 0))
        }
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            ExitCode::from(2)
        }
    }
}

/// How many runs there were, and how many were not as expected.
fn run(folder: &Path) -> Outcome<(usize, usize)> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        cases.extend(path.join("bundle.sigstore.json").exists().then_some(path));
    }
    cases.sort();
    let (mut runs, mut unexpected) = (0_usize, 0_usize);
    for case in &cases {
        let own = case.join("artifact");
        let artifact = if own.exists() {
            own
        } else {
            folder.join("a.txt")
        };
        let artifact = fs::read(artifact)?;
        let digest = Sha256Digest::of(&artifact);
        for (how, artifact) in [
            ("bytes", Artifact::Bytes(&artifact)),
            ("digest", Artifact::Digest(digest)),
        ] {
            let outcome = judge(case, artifact);
            let name = case.file_name().unwrap_or_default().to_string_lossy();
            let told = match &outcome {
                Ok(()) => "good".to_owned(),
                Err(error) => error.to_string(),
            };
            let is_expected = outcome.is_ok() != name.ends_with("_fail");
            let mark = if is_expected { "ok  " } else { "FAIL" };
            println!("{mark} {name} ({how}): {told}");
            runs = runs.saturating_add(1);
            unexpected = unexpected.saturating_add(usize::from(!is_expected));
        }
    }
    Ok((runs, unexpected))
}

/// Whether a case verifies, and is signed by whom it names.
fn judge(case: &Path, artifact: Artifact<'_>) -> Outcome<()> {
    let root = match fs::read(case.join("trusted_root.json")) {
        Ok(json) => TrustedRoot::parse(&json)?,
        Err(_) => TrustedRoot::public_good()?,
    };
    let claimed = ClaimedBundle::parse(&fs::read(case.join("bundle.sigstore.json"))?)?;
    if let Ok(key) = fs::read(case.join("key.pub")) {
        let key = PublicKey::parse(&key)?;
        let verified = verify(&claimed, artifact, Means::Key(&key, Some(&root)))?;
        // The suite asks for a log entry of every key.
        if verified.record().logs.is_empty() {
            return Err("no log entry is proven".into());
        }
        return Ok(());
    }
    let read = |name: &str, usual: &str| match fs::read_to_string(case.join(name)) {
        Ok(text) => text.trim().to_owned(),
        Err(_) => usual.to_owned(),
    };
    let identity = Identity {
        name: "expected".to_owned(),
        issuer: read("issuer", ISSUER),
        subject: SubjectRule::Exact(read("identity", SUBJECT)),
        claims: ClaimRules::default(),
        scope: Scope::default(),
        not_after: None,
        revocation: None,
    };
    let verified = verify(&claimed, artifact, Means::Identity(&root))?;
    let signer = verified.identity().ok_or("signed by a key")?;
    identity
        .matches(signer)
        .map_err(|mismatch| mismatch.to_string())?;
    Ok(())
}

/// Who signs the cases that do not name anybody (`docs/cli_protocol.md` and `test/conftest.py` there).
const ISSUER: &str = "https://token.actions.githubusercontent.com";
const SUBJECT: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/\
                       .github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
