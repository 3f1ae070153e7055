//! Which signatures stand for the archive of a release. Touches nothing.

use std::collections::BTreeSet;

use charttrust_verify::policy::Rule;
use charttrust_verify::sigstore::KnownIdentity;
use kube::ResourceExt as _;

use super::sigstore::{is_signed, signatures};
use crate::api::release_trust::{ReleaseTrustStatus, Signer};
use crate::api::{ReleaseTrust, TrustedIdentity, TrustedKey};
use crate::controllers::stated;
use crate::controllers::store::signers::Sought;

/// Whether a rule lists a key, by its name or its labels.
pub(super) fn list(rule: &Rule, key: &TrustedKey) -> bool {
    let signers = &rule.verify.signers;
    let by_labels = signers.selector.as_ref();
    signers.keys.contains(&key.name_any())
        || by_labels.is_some_and(|selector| selector.matches(key.labels()))
}

/// Whether a release has a verified signature by an identity, whatever became of it.
pub(super) fn has_signed(trust: &ReleaseTrust, identity: &KnownIdentity) -> bool {
    let content = trust.status.as_ref().and_then(stated);
    content.is_some_and(|content| is_signed(&content, Sought::Identity(identity)))
}

/// Whether a rule lists an identity, by its name or its labels.
pub(super) fn list_identity(rule: &Rule, identity: &TrustedIdentity) -> bool {
    let signers = &rule.verify.signers;
    signers.list_identity(&identity.name_any(), identity.labels())
}

/// The signatures of a release that hold and are about its archive, whatever became of their keys. One about
/// another archive rests on nothing here, and signing anew would not mend it.
pub(super) fn of_archive(trust: &ReleaseTrust) -> impl Iterator<Item = &Signer> {
    trust.status.iter().flat_map(|status| {
        let is_stated = is_about_archive(status);
        let bundles = bundles_of_archive(status);
        status.signers.iter().filter(move |signer| {
            let is_about_it = match &signer.bundle {
                None => is_stated,
                Some(bundle) => bundles.contains(bundle),
            };
            signer.verified && is_about_it
        })
    })
}

/// Digests of the Sigstore signatures that are about the archive.
fn bundles_of_archive(status: &ReleaseTrustStatus) -> BTreeSet<String> {
    let has_any = status.signers.iter().any(|signer| signer.bundle.is_some());
    let content = has_any.then(|| stated(status)).flatten();
    let signatures = content.iter().flat_map(signatures);
    signatures.map(|it| it.bundle.digest.to_string()).collect()
}

/// Whether a signed statement of a source names the archive that the source has. Signers are those of all
/// sources; where no statement is known, nothing speaks against them.
fn is_about_archive(status: &ReleaseTrustStatus) -> bool {
    let sources = status.evidence.iter();
    let sources = sources.flat_map(|evidence| &evidence.sources);
    let mut statements = sources
        .filter(|source| source.provenance.is_some())
        .peekable();
    let are_known = statements.peek().is_some();
    !are_known || statements.any(|source| source.signed_archive.is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn counted(sources: &Value) -> usize {
        let digest = format!("sha256:{}", "a".repeat(64));
        let all = sources.as_array().unwrap().iter().map(|source| {
            let mut whole = json!({"url": "https://charts.example.com", "archive": digest});
            json_patch::merge(&mut whole, source);
            whole
        });
        let all: Vec<_> = all.collect();
        let trust = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "ReleaseTrust",
            "metadata": {"namespace": "shop", "name": "web"}, "spec": {},
            "status": {
                "signers": [
                    {"fingerprint": "A".repeat(40), "algorithm": "Ed25519/SHA512", "verified": true},
                    {"fingerprint": "B".repeat(40), "algorithm": "Ed25519/SHA512", "verified": false},
                ],
                "evidence": {"content": "AAAA", "sources": all},
            },
        });
        of_archive(&serde_json::from_value(trust).unwrap()).count()
    }

    #[test]
    fn a_signature_about_another_archive_is_not_counted() {
        let own = json!({"provenance": format!("sha256:{}", "b".repeat(64))});
        let mut other = own.clone();
        other["signedArchive"] = json!(format!("sha256:{}", "c".repeat(64)));
        let mut none = own.clone();
        none["signedArchive"] = json!("");
        let bare = json!({"provenanceProblem": "Missing"});
        for (sources, expected) in [
            (json!([own]), 1),
            (json!([other]), 0),
            (json!([none]), 0),
            (json!([other, own]), 1),
            (json!([bare, other]), 0),
            (json!([bare]), 1),
            (json!([]), 1),
        ] {
            assert_eq!(counted(&sources), expected, "{sources}");
        }
    }
}
