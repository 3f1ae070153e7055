//! Runs other projects' bundles through the engine, each with the artifact's bytes, where they are there, and with its
//! digest, and lists what is not as it has to be: those of the crate `sigstore-verify` (of sigstore-go, sigstore-python,
//! sigstore-js, cosign and GitHub), which cargo has downloaded anyway, and the folders of sigstore-conformance.
//!
//! `make conformance`, or with `DIR=…`, `test/assets/bundle-verify` of sigstore-conformance, both.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::key::Scope;
use charttrust_verify::sigstore::{
    Artifact, ClaimRules, ClaimedBundle, Identity, Means, PublicKey, SubjectRule, TrustedRoot,
    verify,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A bundle, and what has to be found of it.
struct Case {
    name: String,
    bundle: PathBuf,
    /// None if it is not there: then its digest is said.
    artifact: Option<PathBuf>,
    digest: Option<Sha256Digest>,
    /// None: the root of the public instance.
    root: Option<PathBuf>,
    signer: Signer,
    is_good: bool,
}

enum Signer {
    Key(PathBuf),
    /// Issuer and subject.
    Identity(String, String),
}

fn main() -> ExitCode {
    let folder = env::args_os().nth(1).filter(|folder| !folder.is_empty());
    let all = cases_of_crate().and_then(|of_crate| {
        let of_folder = match &folder {
            Some(folder) => cases_of_folder(Path::new(folder))?,
            None => Vec::new(),
        };
        Ok((of_crate, of_folder))
    });
    let (of_crate, of_folder) = match all {
        Ok(all) => all,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let suites = [
        ("sigstore-verify", of_crate),
        ("sigstore-conformance", of_folder),
    ];
    let failed: usize = suites.iter().map(|(name, cases)| run(name, cases)).sum();
    if folder.is_none() {
        println!(
            "sigstore-conformance: not run (DIR= its folder test/assets/bundle-verify runs it)"
        );
    }
    ExitCode::from(u8::from(failed > 0))
}

/// Runs the cases of a suite, and says how many are not as expected.
fn run(suite: &str, cases: &[Case]) -> usize {
    let runs: Vec<_> = cases.iter().flat_map(runs).collect();
    let unexpected = runs.iter().filter(|is_expected| !**is_expected).count();
    if !runs.is_empty() {
        println!(
            "{suite}: {} passed, {unexpected} failed",
            runs.len().saturating_sub(unexpected)
        );
    }
    unexpected
}

/// Runs a case in each way, and says whether each was as expected.
fn runs(case: &Case) -> Vec<bool> {
    let bytes = case.artifact.as_ref().map(fs::read);
    let bytes = match bytes.transpose() {
        Ok(bytes) => bytes,
        Err(error) => {
            println!("FAIL {}: its artifact: {error}", case.name);
            return vec![false];
        }
    };
    let digest = bytes.as_deref().map(Sha256Digest::of).or(case.digest);
    let ways = [
        ("bytes", bytes.as_deref().map(Artifact::Bytes)),
        ("digest", digest.map(Artifact::Digest)),
    ];
    let ways = ways
        .into_iter()
        .filter_map(|(how, artifact)| Some((how, artifact?)));
    ways.map(|(how, artifact)| {
        let outcome = judge(case, artifact);
        let told = match &outcome {
            Ok(()) => "good".to_owned(),
            Err(error) => error.to_string(),
        };
        let is_expected = outcome.is_ok() == case.is_good;
        let mark = if is_expected { "ok  " } else { "FAIL" };
        println!("{mark} {} ({how}): {told}", case.name);
        is_expected
    })
    .collect()
}

/// Whether a case verifies, and is signed by whom it names.
fn judge(case: &Case, artifact: Artifact<'_>) -> Outcome<()> {
    let root = match &case.root {
        Some(json) => TrustedRoot::parse(&fs::read(json)?)?,
        None => TrustedRoot::public_good()?,
    };
    let claimed = ClaimedBundle::parse(&fs::read(&case.bundle)?)?;
    let (issuer, subject) = match &case.signer {
        Signer::Key(key) => {
            let key = PublicKey::parse(&fs::read(key)?)?;
            let verified = verify(&claimed, artifact, Means::Key(&key, Some(&root)))?;
            // The suite asks for a log entry of every key.
            if verified.record().logs.is_empty() {
                return Err("no log entry is proven".into());
            }
            return Ok(());
        }
        Signer::Identity(issuer, subject) => (issuer.clone(), subject.clone()),
    };
    let identity = Identity {
        name: "expected".to_owned(),
        issuer,
        subject: SubjectRule::Exact(subject),
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

/// Who signs the cases of sigstore-conformance that do not name anybody (`docs/cli_protocol.md` and `test/conftest.py`
/// there).
const ISSUER: &str = "https://token.actions.githubusercontent.com";
const SUBJECT: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/\
                       .github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";

fn cases_of_folder(folder: &Path) -> Outcome<Vec<Case>> {
    let wrong = || format!("{} is not test/assets/bundle-verify", folder.display());
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", wrong()))? {
        let path = entry?.path();
        if path.join("bundle.sigstore.json").exists() {
            cases.push(case_of_folder(folder, &path));
        }
    }
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    if cases.is_empty() {
        return Err(format!("{}: it has no case", wrong()).into());
    }
    Ok(cases)
}

fn case_of_folder(folder: &Path, path: &Path) -> Case {
    let there = |path: PathBuf| path.exists().then_some(path);
    let read = |name: &str, usual: &str| match fs::read_to_string(path.join(name)) {
        Ok(text) => text.trim().to_owned(),
        Err(_) => usual.to_owned(),
    };
    let name = path.file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let signer = match there(path.join("key.pub")) {
        Some(key) => Signer::Key(key),
        None => Signer::Identity(read("issuer", ISSUER), read("identity", SUBJECT)),
    };
    Case {
        is_good: !name.ends_with("_fail"),
        name,
        bundle: path.join("bundle.sigstore.json"),
        artifact: there(path.join("artifact")).or_else(|| there(folder.join("a.txt"))),
        digest: None,
        root: there(path.join("trusted_root.json")),
        signer,
    }
}

/// What the crate has, and what its own tests, and those of the projects that it is from, find of it.
fn cases_of_crate() -> Outcome<Vec<Case>> {
    let data = folder_of_crate()?.join("test_data");
    Ok(OF_CRATE.iter().map(|case| case.read(&data)).collect())
}

/// A row of that table; files are relative to its folder.
struct OfCrate {
    bundle: &'static str,
    /// A file, or a digest in hex.
    artifact: &'static str,
    root: Option<&'static str>,
    /// Issuer and subject, or a file and nothing.
    signer: (&'static str, &'static str),
    is_good: bool,
}

impl OfCrate {
    fn read(&self, data: &Path) -> Case {
        let digest = format!("sha256:{}", self.artifact)
            .parse::<Sha256Digest>()
            .ok();
        Case {
            name: self.bundle.to_owned(),
            bundle: data.join(self.bundle),
            artifact: digest.is_none().then(|| data.join(self.artifact)),
            digest,
            root: self.root.map(|root| data.join(root)),
            signer: match self.signer {
                (key, "") => Signer::Key(data.join(key)),
                (issuer, subject) => Signer::Identity(issuer.to_owned(), subject.to_owned()),
            },
            is_good: self.is_good,
        }
    }
}

const GITHUB: &str = "https://github.com/login/oauth";
const GOOGLE: &str = "https://accounts.google.com";
const STAGING: Option<&str> = Some("sct-multi-intermediate/staging_trusted_root.json");

const OF_CRATE: &[OfCrate] = &[
    // The log entry is of another signature.
    OfCrate {
        bundle: "bundles/bundle_cve_2022_36056.txt.sigstore",
        artifact: "c87b5b213ab08b32970c106d0c7e4423e67f5449c2fd2d1e9b4ea6cc43b6ee7c",
        root: None,
        signer: (GITHUB, "william@yossarian.net"),
        is_good: false,
    },
    OfCrate {
        bundle: "bundles/bundle_invalid_version.txt.sigstore",
        artifact: "7a1f2b23ec9add163c6d0bbb454af45e1483b9bec7b72aea1b4fdf0e2f5644f0",
        root: None,
        signer: (GITHUB, "william@yossarian.net"),
        is_good: false,
    },
    OfCrate {
        bundle: "bundles/bundle_no_cert_v1.txt.sigstore",
        artifact: "1bc37d4fed3fd960bdf9d095f87283ba8ad1ab4481f38a34e8004f0c56ffe78d",
        root: None,
        signer: (GITHUB, "william@yossarian.net"),
        is_good: false,
    },
    OfCrate {
        bundle: "bundles/bundle_no_checkpoint.txt.sigstore",
        artifact: "802dd60ff88333802f2585e73043bd21c341285e1992fe5b31755e1cadeae30e",
        root: None,
        signer: (GITHUB, "william@yossarian.net"),
        is_good: false,
    },
    OfCrate {
        bundle: "bundles/bundle_no_log_entry.txt.sigstore",
        artifact: "9b469fc9761e8b933073b62725fbc98b549c3314199ded71cc8b286ef2c6fb9b",
        root: None,
        signer: (GOOGLE, "alex.cameron@trailofbits.com"),
        is_good: false,
    },
    OfCrate {
        bundle: "bundles/bundle_v3_github.whl.sigstore",
        artifact: "c4e92e9ecc828bef2aa7dba1de8ac983511f7532a0df11c770d39099a25cf201",
        root: None,
        signer: (
            ISSUER,
            "https://github.com/trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.2",
        ),
        is_good: true,
    },
    // Nobody says when it was signed.
    OfCrate {
        bundle: "bundles/bundle_v3_no_signed_time.txt.sigstore.json",
        artifact: "ca6de99a11d3d38056d838c7dc9a23a11a0c81bcace0d11eaa301a2ffb482c42",
        root: None,
        signer: (GITHUB, "william@yossarian.net"),
        is_good: false,
    },
    OfCrate {
        bundle: "bundles/conda-attestation-rekor2.sigstore.json",
        artifact: "bundles/signed-package-2.1.0-hb0f4dca_0.conda",
        root: STAGING,
        signer: (GITHUB, "jku@goto.fi"),
        is_good: true,
    },
    OfCrate {
        bundle: "bundles/conda-attestation.sigstore.json",
        artifact: "bundles/signed-package-2.1.0-hb0f4dca_0.conda",
        root: None,
        signer: (
            ISSUER,
            "https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml@refs/heads/main",
        ),
        is_good: true,
    },
    OfCrate {
        bundle: "bundles/cosign-v3-blob.sigstore.json",
        artifact: "bundles/cosign-v3-blob.txt",
        root: None,
        signer: (GITHUB, "w.vollprecht@gmail.com"),
        is_good: true,
    },
    OfCrate {
        bundle: "bundles/dsse-2sigs.sigstore.json",
        artifact: "0000000000000000000000000000000000000000000000000000000000000000",
        root: None,
        signer: (GITHUB, "brian@dehamer.com"),
        is_good: false,
    },
    OfCrate {
        bundle: "invalid-ct-key_fail/bundle.sigstore.json",
        artifact: "a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf",
        root: Some("invalid-ct-key_fail/trusted_root.json"),
        signer: (ISSUER, SUBJECT),
        is_good: false,
    },
    OfCrate {
        bundle: "managed-key/bundle.sigstore.json",
        artifact: "managed-key/artifact.txt",
        root: None,
        signer: ("managed-key/key.pub", ""),
        is_good: true,
    },
    OfCrate {
        bundle: "sct-multi-intermediate/staging_bundle.sigstore.json",
        artifact: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        root: STAGING,
        signer: (
            ISSUER,
            "https://github.com/sigstore/root-signing-staging/.github/workflows/custom-test.yml@refs/heads/main",
        ),
        is_good: true,
    },
    OfCrate {
        bundle: "timestamps/valid_bundle.json",
        artifact: "a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf",
        root: Some("timestamps/valid_trusted_root.json"),
        signer: (ISSUER, SUBJECT),
        is_good: true,
    },
    OfCrate {
        bundle: "upstream/sigstore-python/a.dsse.staging-rekor-v2.txt.sigstore.json",
        artifact: "a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf",
        root: STAGING,
        signer: (ISSUER, SUBJECT),
        is_good: true,
    },
    OfCrate {
        bundle: "upstream/sigstore-python/staging-rekor-v2.txt.sigstore.json",
        artifact: "upstream/sigstore-python/staging-rekor-v2.txt",
        root: STAGING,
        signer: (GITHUB, "jku@goto.fi"),
        is_good: true,
    },
];

/// Where cargo has put the sources of `sigstore-verify`.
fn folder_of_crate() -> Outcome<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut cargo = Command::new(cargo);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["metadata", "--locked", "--offline", "--format-version", "1"]);
    let output = cargo.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let mut packages = packages.filter(|package| package["name"] == "sigstore-verify");
    let manifest = packages
        .next()
        .and_then(|package| package["manifest_path"].as_str());
    let folder = manifest.and_then(|manifest| Path::new(manifest).parent());
    Ok(folder
        .ok_or("cargo does not say where sigstore-verify lies")?
        .to_owned())
}
