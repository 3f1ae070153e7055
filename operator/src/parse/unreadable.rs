//! What can be read of a `TrustedKey` that does not have the form, as one from another version may not.
//!
//! Nothing here can give trust. What takes it away is read piece by piece.

use std::fmt;

use charttrust_verify::digest::Sha256Digest;
use charttrust_verify::key::{DeclaredRevocation, Grandfather, RevocationReason, Scope};
use charttrust_verify::openpgp::{ClaimedRevocations, Fingerprint};
use charttrust_verify::sigstore::{KnownPublicKey, Transparency, TrustedPublicKey};
use serde_json::Value;

use super::{KeyProblem, Remains, timestamp};

/// A `TrustedKey` that does not have the form.
#[derive(Clone, Debug)]
pub struct UnreadableKey {
    /// Why not.
    pub problem: String,
    /// The fingerprint that it names, if it names one.
    pub fingerprint: Option<Fingerprint>,
    /// The public key that it names, if it names one.
    pub public: Option<Sha256Digest>,
    /// What it declares against its key.
    pub revocation: Option<DeclaredRevocation>,
    /// What else remains of it.
    pub remains: Remains,
}

impl fmt::Display for UnreadableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl UnreadableKey {
    /// The public key of the object, which approves of nothing; what is declared against it counts.
    pub fn public_key(
        &self,
        name: &str,
        fingerprint: Sha256Digest,
        problem: &KeyProblem,
    ) -> KnownPublicKey {
        KnownPublicKey {
            trusted: TrustedPublicKey {
                name: name.to_owned(),
                fingerprint,
                transparency: Transparency::Required,
                scope: Scope::default(),
                not_after: None,
                revocations: self.revocation.iter().cloned().collect(),
            },
            labels: self.remains.labels.clone(),
            key: None,
            root: None,
            unusable: Some(problem.message.clone()),
        }
    }
}

/// Reads an object as far as it can be read.
pub fn unreadable_key(object: &Value, problem: String) -> UnreadableKey {
    let spec = &object["spec"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let certificates = spec["revocationCertificates"].as_array();
    let mut texts: Vec<_> = certificates
        .into_iter()
        .flatten()
        .filter_map(text)
        .collect();
    texts.extend(text(&spec["revocationCertificates"]));
    texts.extend(text(&spec["publicKey"]["inline"]));
    let mut claimed = ClaimedRevocations::default();
    for text in texts {
        claimed.join(ClaimedRevocations::read(text.as_bytes()));
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let declared = &spec["revocation"];
    let revocation = revocation(name, declared);
    let is_doubtful = !declared.is_null() && revocation.is_none();
    UnreadableKey {
        problem,
        fingerprint: spec["fingerprint"]
            .as_str()
            .and_then(|text| text.parse().ok()),
        public: spec["fingerprint"]
            .as_str()
            .and_then(|text| text.parse().ok()),
        revocation,
        remains: Remains {
            claimed,
            doubt: is_doubtful
                .then(|| format!("TrustedKey {name} says that it is revoked, and not how")),
            ..Remains::default()
        },
    }
}

/// A revocation whose reason can be read: every other part only makes it milder.
fn revocation(name: &str, declared: &Value) -> Option<DeclaredRevocation> {
    let reason = match declared["reason"].as_str()? {
        "Compromised" => RevocationReason::Compromised,
        "Retired" => RevocationReason::Retired,
        "Superseded" => RevocationReason::Superseded,
        "Unspecified" => RevocationReason::Unspecified,
        _ => return None,
    };
    let grandfather = match declared["grandfather"].as_str() {
        Some("Witnessed") => Grandfather::Witnessed,
        _ => Grandfather::Never,
    };
    let since = declared["since"].as_str();
    Some(DeclaredRevocation {
        declared_by: name.to_owned(),
        reason,
        since: since.and_then(|since| timestamp(since).ok()),
        grandfather,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef01234567";

    fn read(revocation: &Value) -> UnreadableKey {
        let object = json!({
            "metadata": {"name": "odd"},
            "spec": {"fingerprint": KEY, "owner": {}, "revocation": revocation},
        });
        unreadable_key(&object, "spec.owner: expected a string".to_owned())
    }

    #[test]
    fn what_is_declared_counts_as_far_as_its_reason_can_be_read() {
        for (declared, since) in [
            (json!({"reason": "Compromised"}), None),
            (
                json!({"reason": "Compromised", "since": 5, "grandfather": []}),
                None,
            ),
            (
                json!({"reason": "Compromised", "since": "2026-11-18T00:00:00Z", "new": 1}),
                Some("2026-11-18T00:00:00Z".parse().unwrap()),
            ),
        ] {
            let read = read(&declared);
            assert_eq!(read.fingerprint, KEY.parse().ok());
            let revocation = read.revocation.unwrap();
            assert_eq!(revocation.reason, RevocationReason::Compromised);
            assert_eq!(revocation.since, since);
            assert_eq!(revocation.grandfather, Grandfather::Never);
            assert_eq!(read.remains.doubt, None);
        }
    }

    #[test]
    fn a_revocation_that_cannot_be_read_is_doubt_and_none_is_none() {
        for declared in [
            json!({"reason": "Stolen"}),
            json!({}),
            json!("Compromised"),
            json!(true),
        ] {
            let read = read(&declared);
            assert_eq!(read.revocation, None, "{declared}");
            assert!(read.remains.doubt.is_some(), "{declared}");
        }
        let read = read(&Value::Null);
        assert_eq!((read.revocation, read.remains.doubt), (None, None));
    }

    #[test]
    fn an_object_of_any_form_is_no_error() {
        for object in [
            json!(null),
            json!([]),
            json!({"spec": 5}),
            json!({"spec": {"fingerprint": 1}}),
        ] {
            let read = unreadable_key(&object, String::new());
            assert_eq!(read.fingerprint, None);
            assert!(read.remains.claimed.is_empty());
        }
    }
}
