//! What `charttrust verify` reads for Sigstore: identities, public keys, the trusted root, and bundles.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use charttrust_verify::bundles::{BundleFacts, Bundles};
use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::key::Scope;
use charttrust_verify::sigstore::{
    Artifact, BundleError, KnownIdentity, KnownPublicKey, PublicKey, Root, SigstoreSigners,
    Transparency, TrustedPublicKey, TrustedRoot, limits,
};

use kube::ResourceExt as _;

use super::inputs::{self, Contents, Kind, UsageError};
use super::{Trust, Verify};
use crate::api::trusted_key::KeyType;
use crate::api::trusted_root::TrustedRootRef;
use crate::api::{TrustedIdentity, TrustedKey};
use crate::parse;

/// The identities and public keys that are given.
pub(super) fn signers(arguments: &Verify) -> Result<SigstoreSigners, UsageError> {
    let pem = inputs::public_keys(arguments)?;
    let declared = inputs::declared_keys(&arguments.key)?.into_iter();
    let declared = declared.filter(|one| one.spec.key_type == KeyType::PublicKey);
    let declared: Vec<_> = declared.collect();
    if pem.is_empty() && declared.is_empty() && arguments.identity.is_empty() {
        return Ok(SigstoreSigners::default());
    }
    let root = root(arguments)?;
    let bare = pem.into_iter().map(|key| bare(key, &root));
    let mut keys: Vec<_> = bare.collect();
    for object in &declared {
        keys.push(declared_key(object, (arguments, &root))?);
    }
    parse::share_public_revocations(&mut keys);
    let mut identities = Vec::new();
    for path in &arguments.identity {
        for file in inputs::yaml_files(path)? {
            identities.extend(identities_of(&file, (arguments, &root))?);
        }
    }
    if identities.is_empty() && !arguments.identity.is_empty() {
        return Err(UsageError::NoIdentity);
    }
    Ok(SigstoreSigners { keys, identities })
}

/// A key as somebody has declared it.
fn declared_key(
    object: &TrustedKey,
    (arguments, root): (&Verify, &Arc<TrustedRoot>),
) -> Result<KnownPublicKey, UsageError> {
    let unusable = |problem: String| UsageError::Unusable {
        path: format!("TrustedKey {}", object.name_any()),
        problem,
    };
    let elsewhere = "spec.publicKey names an object of the cluster, which is not read here: put the key into \
                     spec.publicKey.inline";
    let material = object.spec.public_key.inline.as_ref();
    let material = material.ok_or_else(|| unusable(elsewhere.to_owned()))?;
    let root = root_of(object.spec.trusted_root_ref.as_ref(), (arguments, root));
    let key = parse::public_key(object, material.as_bytes(), root);
    key.map_err(|problem| unusable(problem.to_string()))
}

/// A key alone: it may speak for anything, for ever.
fn bare(key: PublicKey, root: &Arc<TrustedRoot>) -> KnownPublicKey {
    let fingerprint = key.fingerprint();
    KnownPublicKey {
        trusted: TrustedPublicKey {
            name: fingerprint.to_string(),
            fingerprint,
            transparency: Transparency::IfPresent,
            scope: Scope::default(),
            not_after: None,
            revocations: Vec::new(),
        },
        labels: BTreeMap::new(),
        key: Some(key),
        root: Some(Root::Known(root.clone())),
        unusable: None,
    }
}

fn root(arguments: &Verify) -> Result<Arc<TrustedRoot>, UsageError> {
    let (name, root) = match &arguments.trusted_root {
        None => (COMPILED_IN.to_owned(), TrustedRoot::public_good()),
        Some(path) => {
            let bytes = inputs::read_whole(path, Kind::TrustedRoot)?;
            (path.display().to_string(), TrustedRoot::parse(&bytes))
        }
    };
    root.map(Arc::new).map_err(|error| UsageError::Unusable {
        path: name,
        problem: error.to_string(),
    })
}

const COMPILED_IN: &str = "the trusted root that is compiled in";

fn identities_of(
    path: &Path,
    (arguments, root): (&Verify, &Arc<TrustedRoot>),
) -> Result<Vec<KnownIdentity>, UsageError> {
    let bytes = inputs::read_whole(path, Kind::Identity)?;
    let unusable = |problem: String| UsageError::Unusable {
        path: path.display().to_string(),
        problem,
    };
    let objects = inputs::objects_of::<TrustedIdentity>(&bytes).map_err(unusable)?;
    let identity = |object: &TrustedIdentity| {
        let root = root_of(object.spec.trusted_root_ref.as_ref(), (arguments, root));
        parse::identity(object, root).map_err(|problems| {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            unusable(problems.join("; "))
        })
    };
    objects.iter().map(identity).collect()
}

/// The root of an object, unless it names one of the cluster and none is given in its place.
fn root_of(
    named: Option<&TrustedRootRef>,
    (arguments, root): (&Verify, &Arc<TrustedRoot>),
) -> Root {
    if named.is_some() && arguments.trusted_root.is_none() {
        Root::Unknown(NOT_READ.to_owned())
    } else {
        Root::Known(root.clone())
    }
}

const NOT_READ: &str = "spec.trustedRootRef names an object of the cluster, which is not read here: give its \
                        content with --trusted-root";

/// The bundles that are named, or lie beside the archive. Absent where nobody is given whose they could be.
pub(super) fn bundles(
    arguments: &Verify,
    archive: &[u8],
    trust: &Trust,
) -> Result<Option<Box<Bundles>>, UsageError> {
    if trust.sigstore.is_empty() {
        return Ok(None);
    }
    let mut signatures = Vec::new();
    for path in paths(arguments) {
        let mut facts = match inputs::read(&path, Kind::Bundle)? {
            Contents::Whole(bytes) => BundleFacts::read(&bytes),
            Contents::TooLarge(_, beginning) => {
                let (what, limit) = ("bundle", limits::BUNDLE_BYTES);
                let error = BundleError::TooLarge { what, limit };
                BundleFacts::of(Sha256Digest::of(&beginning), Err(error))
            }
        };
        // With the archive itself: some kinds of keys sign no digest of it.
        facts.try_signers(Artifact::Bytes(archive), &trust.sigstore, trust.now);
        signatures.push(facts);
    }
    Ok(Some(Box::new(Bundles::beside(signatures))))
}

fn paths(arguments: &Verify) -> Vec<PathBuf> {
    if !arguments.bundle.is_empty() {
        return arguments.bundle.clone();
    }
    let mut name = arguments.chart.clone().into_os_string();
    name.push(SUFFIX);
    let beside = PathBuf::from(name);
    if beside.exists() {
        vec![beside]
    } else {
        Vec::new()
    }
}

/// What a bundle beside an archive is called.
const SUFFIX: &str = ".sigstore.json";
