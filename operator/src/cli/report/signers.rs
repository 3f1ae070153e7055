//! Keys and identities in a report: how long each lives, and what rests on it. Touches nothing.

use jiff::Timestamp;
use serde::Serialize;

use super::gathered::Gathered;
use crate::api::trusted_key::KeyState;
use crate::cli::key::{Signed, Who, shown};
use crate::cli::{missing, revoke};

/// Which kind somebody is declared as.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) enum SignerKind {
    TrustedIdentity,
    TrustedKey,
}

/// Somebody who may vouch, or might once.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Signer {
    pub(super) kind: SignerKind,
    pub(super) name: String,
    /// Fingerprint of the key; of an identity who it has to be.
    pub(super) who: String,
    /// Of an identity: by whose word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
    /// As the operator has found it; absent if it has not read it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<KeyState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) algorithm: Option<String>,
    /// When the key was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<Timestamp>,
    /// When it ends; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) successor: Option<String>,
    /// What is declared void, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revoked: Option<String>,
    /// What rests on it: the releases with a good signature by it, and who else vouches for each.
    pub(super) releases: Vec<Signed>,
}

impl Signer {
    /// How many releases rest on it alone.
    pub(super) fn alone(&self) -> usize {
        let alone = self.releases.iter().filter(|one| one.others.is_empty());
        alone.count()
    }
}

/// A key that signatures name and nobody has declared: a claim.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MissingKey {
    /// Fingerprint, or key ID.
    pub(super) key: String,
    /// The releases that it is said to have signed.
    pub(super) releases: Vec<String>,
}

/// Everybody who is declared, with what rests on each; who has most comes first.
pub(super) fn signers(gathered: &Gathered) -> Vec<Signer> {
    let mut all: Vec<_> = gathered
        .known
        .all()
        .map(|who| signer(who, gathered))
        .collect();
    all.sort_by(|one, other| {
        let most = other.releases.len().cmp(&one.releases.len());
        most.then_with(|| one.name.cmp(&other.name))
    });
    all
}

fn signer(who: Who<'_>, gathered: &Gathered) -> Signer {
    let Gathered {
        trusts,
        known,
        question,
        ..
    } = gathered;
    let signed = trusts.iter();
    let mut releases: Vec<_> = signed
        .filter_map(|trust| Signed::of(trust, who, known, question.now))
        .collect();
    releases.sort_by(|one, other| {
        (&one.namespace, &one.release).cmp(&(&other.namespace, &other.release))
    });
    let about = Signer {
        kind: SignerKind::TrustedKey,
        name: who.name(),
        who: String::new(),
        issuer: None,
        owner: None,
        state: who.state(),
        algorithm: None,
        created: None,
        expires: who.expires(),
        successor: None,
        revoked: None,
        releases,
    };
    described(who, about)
}

/// With what its object says.
fn described(who: Who<'_>, about: Signer) -> Signer {
    match who {
        Who::Key(key) => {
            let status = key.status.clone().unwrap_or_default();
            let revocation = key.spec.revocation.as_ref();
            Signer {
                who: shown(&key.spec.fingerprint),
                owner: key.spec.owner.clone(),
                algorithm: status.algorithm,
                created: status.created.map(|at| at.0),
                successor: key.spec.successor.clone(),
                revoked: revocation.map(|it| match &it.since {
                    Some(since) => format!("{:?} since {since}", it.reason),
                    None => format!("{:?}", it.reason),
                }),
                ..about
            }
        }
        Who::Identity(one) => {
            let spec = &one.object.spec;
            let revocation = spec.revocation.as_ref();
            Signer {
                kind: SignerKind::TrustedIdentity,
                who: revoke::identity::subject(&one.object),
                issuer: Some(spec.issuer.clone()),
                owner: spec.owner.clone(),
                successor: spec.successor.clone(),
                revoked: revocation
                    .map(|it| format!("{:?}: {}", it.reason, revoke::identity::limits(it))),
                ..about
            }
        }
    }
}

/// The keys that are missing, and who wants them.
pub(super) fn missing_keys(gathered: &Gathered) -> Vec<MissingKey> {
    let all = missing::missing(&gathered.trusts, &gathered.known.keys);
    let keys = all.into_iter().map(|(key, releases)| MissingKey {
        key: key.to_owned(),
        releases,
    });
    keys.collect()
}
