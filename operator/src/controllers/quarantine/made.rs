//! Which Quarantines this operator has begun itself, and which are over.
//!
//! Whoever may create one may name any policy in it, and would use up what that policy may contain, or
//! stand in the place where it would begin one. So each that a policy begins carries a tag under the key of
//! the seal, over where it lies and what it asks for, which cannot be changed. It is written with the object
//! and costs no write of its own.

use kube::ResourceExt as _;
use kube::api::ObjectMeta;
use serde_json::json;

use crate::api::Quarantine;
use crate::api::quarantine::QuarantineSpec;
use crate::controllers::store::seal::Seal;
use crate::inventory::ReleaseId;
use crate::quarantine::FINALIZER;

/// The annotation that carries the tag.
pub(in crate::controllers) const MADE: &str = "charttrust.io/made";

/// What a Quarantine of ours carries.
pub(in crate::controllers) fn tag(seal: &Seal, id: &ReleaseId, spec: &QuarantineSpec) -> String {
    seal.tag(text(id, spec).as_bytes())
}

/// Whether we have made it for the policy that it names.
pub(super) fn is_ours(seal: &Seal, object: &Quarantine) -> bool {
    let id = ReleaseId {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    };
    let tag = object.annotations().get(MADE);
    let attested = tag.and_then(|tag| seal.attest(text(&id, &object.spec).as_bytes(), tag));
    object.spec.policy.is_some() && attested.is_some()
}

/// Whether anything was changed for it, or is about to be.
pub(super) fn has_begun(object: &Quarantine) -> bool {
    let status = object.status.as_ref();
    status.is_some_and(|status| status.incident.is_some())
}

/// Begins with a word of its own: nothing else that is sealed could be taken for it.
fn text(id: &ReleaseId, spec: &QuarantineSpec) -> String {
    json!([MADE, id.namespace, id.name, spec]).to_string()
}

/// Whether a quarantine is over. Everything was put back when our finalizer went; that somebody else's
/// keeps the object is nothing to us.
pub(super) fn is_over(meta: &ObjectMeta) -> bool {
    let mut held_by = meta.finalizers.iter().flatten();
    meta.deletion_timestamp.is_some() && !held_by.any(|name| name == FINALIZER)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn quarantine() -> Value {
        let id = ReleaseId {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        };
        let spec = json!({"reason": "a test", "policy": "strict", "actions": ["ScaleToZero"]});
        let typed = serde_json::from_value(spec.clone()).unwrap();
        json!({
            "metadata": {"namespace": id.namespace, "name": id.name,
                "annotations": {MADE: tag(&seal(), &id, &typed)}},
            "spec": spec,
        })
    }

    fn seal() -> Seal {
        Seal::new(&[7; Seal::LENGTH])
    }

    fn is_ours(changes: &Value) -> bool {
        let mut object = quarantine();
        json_patch::merge(&mut object, changes);
        super::is_ours(&seal(), &serde_json::from_value(object).unwrap())
    }

    /// Every field that whoever creates one can choose.
    #[test]
    fn a_tag_holds_for_one_place_and_what_is_asked_for_there() {
        assert!(is_ours(&json!({})));
        assert!(is_ours(
            &json!({"metadata": {"uid": "u", "labels": {"a": "b"}}})
        ));
        for forged in [
            json!({"metadata": {"namespace": "bank"}}),
            json!({"metadata": {"name": "forum"}}),
            json!({"metadata": {"annotations": {MADE: "AAAA"}}}),
            json!({"metadata": {"annotations": {MADE: ""}}}),
            json!({"metadata": {"annotations": null}}),
            json!({"spec": {"policy": "another"}}),
            json!({"spec": {"policy": null}}),
            json!({"spec": {"reason": "another"}}),
            json!({"spec": {"actions": ["IsolateNetwork"]}}),
            json!({"spec": {"actions": ["IsolateNetwork", "ScaleToZero"]}}),
        ] {
            assert!(!is_ours(&forged), "{forged}");
        }
        let other = Seal::new(&[8; Seal::LENGTH]);
        let object = serde_json::from_value(quarantine()).unwrap();
        assert!(!super::is_ours(&other, &object));
    }
}
