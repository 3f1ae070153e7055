//! The files that `charttrust verify` reads: bounded, and named where they cannot be used.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use charttrust_verify::check::Known;
use charttrust_verify::evidence::{Claimed, ProvenanceFacts};
use charttrust_verify::finding::error_chain;
use charttrust_verify::key::{Key, Scope};
use charttrust_verify::openpgp;
use charttrust_verify::policy::{
    Demands, Dependencies, ExpiredKeys, Level, Pattern, Policy, Rule, Selection, Signers,
};
use charttrust_verify::sigstore::PublicKey;
use charttrust_verify::verdict::Cause;
use kube::Resource;
use serde::de::DeserializeOwned;

use super::{CheckLevel, Verify};
use crate::api::trusted_key::KeyType;
use crate::api::{ChartTrustPolicy, TrustedKey, fields};
use crate::cli::screen::{plain, tell};
use crate::parse;
use crate::sources::{EMPTY, Part, ProvenanceBody};

/// Why nothing could be verified.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum UsageError {
    #[error(
        "{0}: name chart and version, or the digest of its manifest: oci://HOST/PATH/CHART:VERSION, \
         oci://HOST/PATH/CHART@sha256:DIGEST"
    )]
    Address(String),
    #[error("{0}: name the .tgz that the repository lists, or the repository itself with --repo")]
    Archive(String),
    #[error("--chart and --version go together where an archive is named")]
    ChartAlone,
    #[error("{0}: a digest is sha256: and 64 hexadecimal digits in lower case")]
    Digest(String),
    #[error("{path}: cannot be read")]
    File {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{path}: a folder: {step}")]
    Folder { path: String, step: &'static str },
    #[error("{0}")]
    TooLarge(String),
    #[error("{path}: {problem}")]
    Unusable { path: String, problem: String },
    #[error("no request can be made")]
    Runtime(#[source] std::io::Error),
    #[error("{0}: source and provenance are what the registry has: leave out --source and --prov")]
    SaidTwice(String),
    #[error(
        "--bundle needs somebody to believe: name an identity with --identity, or a public key (PEM) with --key"
    )]
    BundleAlone,
    #[error("no TrustedIdentity was found: --identity takes YAML, files or folders")]
    NoIdentity,
    #[error("--bundle is about a file: {0} is asked for its Sigstore signatures itself")]
    BundleOfFile(String),
    #[error("--prov, --bundle, --chart and --version are about one archive: name one")]
    SeveralArchives,
    #[error("{0}: no chart archive: name the .tgz that helm package makes or helm pull fetches")]
    NoArchive(String),
    #[error(
        "no key was found: --key takes OpenPGP keys and public keys in PEM (.asc, .gpg, .key, .pem, .pgp, .pub \
         in a folder) and TrustedKey YAML, files or folders; with --policy only the latter"
    )]
    NoKey,
    #[error("{0} has no rule for chart {1}")]
    NoRule(String, String),
    #[error(
        "{place:?} is no version that is verified here: --after takes CHART:VERSION as it was told"
    )]
    NoPlace { place: String },
    #[error("--version is about one chart: name it with --chart, or in the address of --repo")]
    NoChart,
    #[error("{0}: a registry lists no charts: name one, oci://HOST/PATH/CHART")]
    Registry(String),
    #[error(
        "{0}: --repo is about every version of a chart: leave out what comes after its name, or verify this one \
         with `charttrust verify {0}`"
    )]
    OneVersion(String),
    #[error("{path}: only files are read here: {step}")]
    Url { path: String, step: &'static str },
}

/// What a file is read as.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) enum Kind {
    Archive,
    Bundle,
    Identity,
    Key,
    Logins,
    /// An archive that is to be signed.
    Package,
    Policy,
    Provenance,
    TrustedRoot,
}

/// What a file holds.
pub(super) enum Contents {
    Whole(Vec<u8>),
    /// More than is read: what is said of it, and its beginning.
    TooLarge(String, Vec<u8>),
}

impl Kind {
    /// Most bytes that are read, as for sources over the network.
    fn limit(self) -> u64 {
        match self {
            Self::Archive | Self::Package => 20 * 1024 * 1024,
            Self::Key => 512 * 1024,
            Self::Bundle | Self::Identity | Self::Logins | Self::Policy | Self::TrustedRoot => {
                1024 * 1024
            }
            Self::Provenance => 64 * 1024,
        }
    }

    /// What to do where the file is no file.
    fn step(self) -> &'static str {
        match self {
            Self::Archive => "fetch it with helm pull --prov, and name the .tgz",
            Self::Bundle => {
                "download the bundle that cosign sign-blob --bundle wrote, and name the file"
            }
            Self::Identity => "write the TrustedIdentity to a file, and name it",
            Self::Key => "download the key, and compare its fingerprint with what its owner says",
            Self::Logins => {
                "name the file with HELM_REGISTRY_CONFIG, its folder with DOCKER_CONFIG"
            }
            Self::Package => "package it with helm package, and name the .tgz",
            Self::Policy => "write the ChartTrustPolicy to a file, and name it",
            Self::Provenance => "download the .prov, and name the file",
            Self::TrustedRoot => "write the trusted_root.json to a file, and name it",
        }
    }
}

/// Reads a file of a kind.
pub(super) fn read(path: &Path, kind: Kind) -> Result<Contents, UsageError> {
    use std::io::Read as _;
    let (name, step) = (path.display().to_string(), kind.step());
    if name.contains("://") {
        return Err(UsageError::Url { path: name, step });
    }
    if path.is_dir() {
        return Err(UsageError::Folder { path: name, step });
    }
    let read = || {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path)?;
        file.take(kind.limit() + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) if bytes.len() as u64 > kind.limit() => {
            let message = format!("{name}: larger than {} bytes", kind.limit());
            Ok(Contents::TooLarge(message, bytes))
        }
        Ok(bytes) => Ok(Contents::Whole(bytes)),
        Err(source) => Err(UsageError::File { path: name, source }),
    }
}

/// Reads a file without which nothing can be verified.
pub(in crate::cli) fn read_whole(path: &Path, kind: Kind) -> Result<Vec<u8>, UsageError> {
    match read(path, kind)? {
        Contents::Whole(bytes) => Ok(bytes),
        Contents::TooLarge(message, _) => Err(UsageError::TooLarge(message)),
    }
}

/// The keys that are given, revocations of equal fingerprints shared.
pub(super) fn keys(arguments: &Verify) -> Result<Vec<Key>, UsageError> {
    let mut keys = Vec::new();
    let counting = match arguments.policy {
        Some(_) => Counting::TrustedKeys,
        None => Counting::AnyKey,
    };
    for path in &arguments.key {
        for file in files(path)? {
            keys.extend(keys_of(&file, counting)?);
        }
    }
    Ok(parse::share_revocations(keys.iter()))
}

/// The public keys (PEM) that are given; none with a policy, which lists TrustedKeys.
pub(super) fn public_keys(arguments: &Verify) -> Result<Vec<PublicKey>, UsageError> {
    let mut keys = Vec::new();
    for path in arguments.key.iter().filter(|_| arguments.policy.is_none()) {
        for file in files(path)?.iter().filter(|file| !is_yaml(file)) {
            let bytes = read_whole(file, Kind::Key)?;
            if !is_pem(&bytes) {
                continue;
            }
            let key = PublicKey::parse(&bytes);
            keys.push(key.map_err(|error| UsageError::Unusable {
                path: file.display().to_string(),
                problem: error.to_string(),
            })?);
        }
    }
    Ok(keys)
}

/// Whether a file is a key of another kind than OpenPGP's.
pub(in crate::cli) fn is_pem(bytes: &[u8]) -> bool {
    let has = |what: &str| {
        bytes
            .windows(what.len())
            .any(|part| part == what.as_bytes())
    };
    has("-----BEGIN ") && !has("-----BEGIN PGP ")
}

/// The file itself, or the files of a folder in the order of their names that can hold keys.
fn files(path: &Path) -> Result<Vec<PathBuf>, UsageError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |source| UsageError::File {
        path: path.display().to_string(),
        source,
    };
    let entries = std::fs::read_dir(path).map_err(failed)?;
    let paths: Result<Vec<_>, _> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect();
    let mut files: Vec<_> = paths
        .map_err(failed)?
        .into_iter()
        .filter(|path| path.is_file() && (is_yaml(path) || is_key(path)))
        .collect();
    files.sort();
    Ok(files)
}

/// The YAML file itself, or those of a folder.
pub(super) fn yaml_files(path: &Path) -> Result<Vec<PathBuf>, UsageError> {
    let files = files(path)?.into_iter();
    Ok(files
        .filter(|file| !path.is_dir() || is_yaml(file))
        .collect())
}

/// Which keys count: a policy lists `TrustedKey`s by their names, which a bare key has not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counting {
    AnyKey,
    TrustedKeys,
}

fn keys_of(path: &Path, counting: Counting) -> Result<Vec<Key>, UsageError> {
    let bytes = read_whole(path, Kind::Key)?;
    let unusable = |problem: String| UsageError::Unusable {
        path: path.display().to_string(),
        problem,
    };
    if is_yaml(path) {
        return trusted_keys(&bytes).map_err(unusable);
    }
    if counting == Counting::TrustedKeys || is_pem(&bytes) {
        return Ok(Vec::new());
    }
    let certificates = openpgp::load_all(&bytes).map_err(|error| unusable(error_chain(&error)))?;
    for version in openpgp::skipped_versions(&bytes) {
        let path = plain(&path.display().to_string());
        tell(&format!(
            "{path}: skipped a key of version {version}, which is not supported\n"
        ));
    }
    Ok(certificates.into_iter().map(bare).collect())
}

/// A key without a TrustedKey, which is believed for everything.
pub(super) fn bare(certificate: openpgp::Certificate) -> Key {
    Key {
        name: certificate.fingerprint().to_string(),
        labels: BTreeMap::new(),
        certificate,
        scope: Scope::default(),
        not_after: None,
        unusable: None,
        revocations: Vec::new(),
    }
}

fn is_yaml(path: &Path) -> bool {
    matches!(extension(path), Some("yaml" | "yml" | "json"))
}

/// Whether a file is a key by its name.
fn is_key(path: &Path) -> bool {
    matches!(
        extension(path),
        Some("asc" | "gpg" | "key" | "pem" | "pgp" | "pub")
    )
}

fn extension(path: &Path) -> Option<&str> {
    path.extension().and_then(|extension| extension.to_str())
}

/// The TrustedKeys of YAML files, or of those in folders, as they were written.
pub(in crate::cli) fn declared_keys(paths: &[PathBuf]) -> Result<Vec<TrustedKey>, UsageError> {
    let mut objects = Vec::new();
    for path in paths {
        for file in files(path)?.iter().filter(|file| is_yaml(file)) {
            let bytes = read_whole(file, Kind::Key)?;
            let found =
                objects_of::<TrustedKey>(&bytes).map_err(|problem| UsageError::Unusable {
                    path: file.display().to_string(),
                    problem,
                })?;
            objects.extend(found);
        }
    }
    Ok(objects)
}

/// The objects of a kind among the documents of a file; other kinds are not ours to judge.
pub(super) fn objects_of<K>(bytes: &[u8]) -> Result<Vec<K>, String>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let wanted = K::kind(&());
    let mut objects = Vec::new();
    for document in documents(bytes)? {
        if document.get("kind").and_then(|kind| kind.as_str()) != Some(&*wanted) {
            continue;
        }
        known(&wanted, &document)?;
        objects.push(serde_json::from_value(document).map_err(|e| e.to_string())?);
    }
    Ok(objects)
}

fn trusted_keys(bytes: &[u8]) -> Result<Vec<Key>, String> {
    let mut keys = Vec::new();
    let objects = objects_of::<TrustedKey>(bytes)?.into_iter();
    for object in objects.filter(|one| one.spec.key_type == KeyType::OpenPGP) {
        let Some(material) = object.spec.public_key.inline.clone() else {
            let name = object.metadata.name.unwrap_or_default();
            return Err(format!(
                "TrustedKey {name}: spec.publicKey names an object of the cluster, which is not read \
                 here: put the key into spec.publicKey.inline"
            ));
        };
        keys.push(parse::key(&object, material.as_bytes()).map_err(|p| p.to_string())?);
    }
    Ok(keys)
}

/// A field that nobody knows is a demand that nobody would check.
fn known(kind: &str, document: &serde_json::Value) -> Result<(), String> {
    match fields::unknown(kind, document) {
        None => Ok(()),
        Some(path) => Err(format!(
            "{path}: {kind} has no such field; docs/spec/v1alpha1 lists all of them"
        )),
    }
}

fn documents(bytes: &[u8]) -> Result<Vec<serde_json::Value>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8 text".to_owned())?;
    // What the parser says shows the lines around: of a file that was named by mistake, too.
    serde_saphyr::from_multiple(text).map_err(|error| match error.location() {
        Some(at) => format!(
            "not valid YAML (line {}, column {})",
            at.line(),
            at.column()
        ),
        None => "not valid YAML".to_owned(),
    })
}

/// The policy of `--policy`, or one that believes everybody given.
pub(super) fn policy(arguments: &Verify, known: Known<'_>) -> Result<Policy, UsageError> {
    let Some(path) = &arguments.policy else {
        return Ok(anybody(arguments.level, known));
    };
    policy_of(path)
}

/// The one ChartTrustPolicy of a file, to judge by.
pub(in crate::cli) fn policy_of(path: &Path) -> Result<Policy, UsageError> {
    Ok(parse::policy(&declared_policy(path)?).policy)
}

/// The one ChartTrustPolicy of a file, which can be used.
pub(in crate::cli) fn declared_policy(path: &Path) -> Result<ChartTrustPolicy, UsageError> {
    let bytes = read_whole(path, Kind::Policy)?;
    let unusable = |problem: String| UsageError::Unusable {
        path: path.display().to_string(),
        problem,
    };
    let wanted = |document: &serde_json::Value| {
        document.get("kind").and_then(|kind| kind.as_str()) == Some("ChartTrustPolicy")
    };
    let mut found = documents(&bytes)
        .map_err(unusable)?
        .into_iter()
        .filter(wanted);
    let (Some(document), None) = (found.next(), found.next()) else {
        return Err(unusable(
            "holds not exactly one ChartTrustPolicy".to_owned(),
        ));
    };
    known("ChartTrustPolicy", &document).map_err(unusable)?;
    let object: ChartTrustPolicy =
        serde_json::from_value(document).map_err(|error| unusable(error.to_string()))?;
    let parsed = parse::policy(&object);
    match parsed.problems.first() {
        Some(problem) => Err(unusable(problem.to_string())),
        None => Ok(object),
    }
}

fn anybody(level: CheckLevel, known: Known<'_>) -> Policy {
    Policy {
        name: "command line".to_owned(),
        suspended: false,
        selection: Selection::default(),
        demands: Demands::Rules(vec![believing(level, known)]),
        exceptions: Vec::new(),
    }
}

/// A rule that believes everybody given, whatever the chart.
pub(super) fn believing(level: CheckLevel, known: Known<'_>) -> Rule {
    let public = known.sigstore.keys.iter().map(|key| &key.trusted.name);
    let keys = known.keys.iter().map(|key| &key.name).chain(public);
    let identities = known.sigstore.identities.iter();
    Rule {
        name: "command line".to_owned(),
        charts: vec![Pattern::new("*")],
        versions: None,
        sources: Vec::new(),
        verify: charttrust_verify::policy::Verify {
            level: match level {
                CheckLevel::Signature => Level::Signature,
                CheckLevel::Strict => Level::Strict,
            },
            signers: Signers {
                keys: keys.cloned().collect(),
                selector: None,
                identities: identities.map(|one| one.identity.name.clone()).collect(),
                identity_selector: None,
                threshold: NonZeroU32::MIN,
            },
            expired_keys: ExpiredKeys::AcceptIfSignedBefore,
            dependencies: Dependencies::Inherit,
        },
        pins: Vec::new(),
        problem: None,
    }
}

/// The provenance that is named, or lies beside the archive.
pub(super) fn provenance(
    arguments: &Verify,
    claimed: Claimed<'_>,
) -> Result<ProvenanceFacts, UsageError> {
    let beside = || {
        let mut name = arguments.chart.clone().into_os_string();
        name.push(".prov");
        PathBuf::from(name)
    };
    let (path, is_named) = match &arguments.prov {
        Some(path) => (path.clone(), true),
        None => (beside(), false),
    };
    if !is_named && !path.exists() {
        return Ok(ProvenanceFacts::Missing);
    }
    let contents = read(&path, Kind::Provenance)?;
    let beginning = match &contents {
        Contents::Whole(bytes) | Contents::TooLarge(_, bytes) => ProvenanceBody::of(bytes),
    };
    Ok(match (beginning, contents) {
        // What a server has answered in its place, saved by whoever asked: as if it had answered now.
        (ProvenanceBody::Mistaken(why), _) => ProvenanceFacts::Unavailable {
            cause: Cause::SourceUnavailable,
            message: format!(
                "{} is not a usable {}: {why}",
                path.display(),
                Part::Provenance
            ),
        },
        (ProvenanceBody::Empty, _) => ProvenanceFacts::Malformed {
            message: EMPTY.to_owned(),
        },
        (ProvenanceBody::Statement, Contents::Whole(bytes)) => {
            ProvenanceFacts::read(&bytes, claimed)
        }
        (ProvenanceBody::Statement, Contents::TooLarge(message, _)) => {
            ProvenanceFacts::Unavailable {
                cause: Cause::LimitExceeded,
                message,
            }
        }
    })
}
