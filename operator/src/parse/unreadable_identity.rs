//! What can be read of a `TrustedIdentity` that does not have the form, as one from another version may not.
//!
//! Nothing here can give trust. What takes it away is read piece by piece.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::TrustedIdentity;

/// A `TrustedIdentity` that does not have the form.
#[derive(Clone, Debug)]
pub struct UnreadableIdentity {
    /// Why not.
    pub problem: String,
    /// Who it is and what it revokes, if that can be read. Nothing else of it is believed.
    pub remains: Option<TrustedIdentity>,
}

impl fmt::Display for UnreadableIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

/// Reads an object as far as it can be read.
pub fn unreadable_identity(object: &Value, problem: String) -> UnreadableIdentity {
    UnreadableIdentity {
        problem,
        remains: remains(object),
    }
}

fn remains(object: &Value) -> Option<TrustedIdentity> {
    let (metadata, spec) = (&object["metadata"], &object["spec"]);
    let read = json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"],
        "metadata": {"name": metadata["name"], "labels": metadata["labels"], "uid": metadata["uid"]},
        "spec": {
            "issuer": spec["issuer"],
            "subject": spec["subject"],
            "claims": spec["claims"],
            "trustedRootRef": spec["trustedRootRef"],
            "revocation": revocation(&spec["revocation"]),
        },
    });
    serde_json::from_value(read).ok()
}

/// What of a revocation has the form. Without a reason nothing of it is known; of windows and digests those
/// that cannot be read are left out, and if none is left, all is.
fn revocation(declared: &Value) -> Option<Value> {
    let parts = |name: &str| declared[name].as_array().cloned().unwrap_or_default();
    let (windows, digests) = (parts("windows"), parts("digests"));
    let is_whole = declared["windows"].is_null() && declared["digests"].is_null();
    let windows = with_form::<crate::api::trusted_identity::Window>(windows);
    let digests = with_form::<String>(digests);
    let is_left = is_whole || !(windows.is_empty() && digests.is_empty());
    is_left
        .then(|| json!({"reason": declared["reason"], "windows": windows, "digests": digests}))
        .filter(|read| serde_json::from_value::<Revocation>(read.clone()).is_ok())
}

type Revocation = crate::api::trusted_identity::IdentityRevocation;

fn with_form<T: DeserializeOwned>(values: Vec<Value>) -> Vec<Value> {
    let has_form = |value: &Value| serde_json::from_value::<T>(value.clone()).is_ok();
    values.into_iter().filter(has_form).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(change: &Value) -> Option<TrustedIdentity> {
        let mut object = json!({
            "apiVersion": "charttrust.io/v1alpha1", "kind": "TrustedIdentity",
            "metadata": {"name": "odd"},
            "spec": {
                "issuer": "https://issuer.example.com", "subject": {"exact": "a@example.com"}, "owner": {},
                "revocation": {"reason": "Compromised"},
            },
        });
        json_patch::merge(&mut object, change);
        unreadable_identity(&object, "spec.owner: expected a string".to_owned()).remains
    }

    #[test]
    fn what_is_revoked_counts_as_far_as_it_can_be_read() {
        let window = json!({"from": "2026-11-01T00:00:00Z", "until": null});
        for (declared, windows) in [
            (json!({}), Some(0)),
            (json!({"new": 1}), Some(0)),
            (json!({"windows": [window, 5]}), Some(1)),
            (json!({"windows": [5]}), None),
            (json!({"windows": "all"}), None),
            (json!({"digests": [5], "windows": [window]}), Some(1)),
            (json!({"reason": "Stolen"}), None),
        ] {
            let read = read(&json!({"spec": {"revocation": declared}})).unwrap();
            let found = read.spec.revocation.map(|it| it.windows.len());
            assert_eq!(found, windows, "{declared}");
        }
    }

    #[test]
    fn who_is_meant_is_read_whole_or_not_at_all() {
        for change in [
            json!({"spec": {"issuer": 5}}),
            json!({"spec": {"subject": "a"}}),
            json!({"spec": {"claims": {"ref": 5}}}),
            json!({"spec": 5}),
            json!([]),
        ] {
            assert!(read(&change).is_none(), "{change}");
        }
    }
}
