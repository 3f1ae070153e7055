//! Which Quarantines this operator has begun itself, which it ends, and which are over.
//!
//! Whoever may create one may name any policy in it, and would use up what that policy may contain, or
//! stand in the place where it would begin one. So each that a policy begins carries a tag under the key of
//! the seal, over where it lies and what it asks for, which cannot be changed. It is written with the object
//! and costs no write of its own. Whoever may write the status of one could end it likewise, so that why it ends
//! carries a tag too.

use kube::ResourceExt as _;
use kube::api::ObjectMeta;
use serde_json::json;

use crate::api::Quarantine;
use crate::api::quarantine::{EndedBy, QuarantineSpec, QuarantineStatus};
use crate::api::quarantine_words::QuarantineAction;
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

/// Whether it names a policy that has not begun it, and nothing was changed for it. What was begun goes on,
/// or nothing would put it back.
pub(super) fn is_claim(seal: &Seal, object: &Quarantine) -> bool {
    object.spec.policy.is_some() && !has_begun(object) && !is_ours(seal, object)
}

/// Whether it is of no policy, and leaves out what a policy would do. Whoever may write a chart may write one into
/// it; what several policies do of one release is their authors' decision.
pub(super) fn does_less(object: &Quarantine, actions: &[QuarantineAction]) -> bool {
    let is_done = |action| object.spec.actions.contains(action);
    object.spec.policy.is_none() && !actions.iter().all(is_done)
}

/// What stands beside our word that a Quarantine ends: for this very object.
pub(in crate::controllers) fn end_tag(
    seal: &Seal,
    (id, uid): (&ReleaseId, &str),
    ended: EndedBy,
) -> String {
    seal.tag(end_text((id, uid), ended).as_bytes())
}

/// Whether we have written why a Quarantine ends.
pub(super) fn is_our_end(
    seal: &Seal,
    (id, uid): (&ReleaseId, &str),
    status: &QuarantineStatus,
) -> bool {
    let said = status.ended_by.zip(status.ended_tag.as_ref());
    said.is_some_and(|(ended, tag)| {
        let text = end_text((id, uid), ended);
        seal.attest(text.as_bytes(), tag).is_some()
    })
}

fn end_text((id, uid): (&ReleaseId, &str), ended: EndedBy) -> String {
    json!([ENDED, id.namespace, id.name, uid, ended]).to_string()
}

/// The word that a tag of an end begins with.
const ENDED: &str = "charttrust.io/ended";

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

    #[test]
    fn a_word_about_the_end_holds_for_one_object_and_no_other_word() {
        let id = |name: &str| ReleaseId {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        };
        let said = |ended_by: Option<EndedBy>, ended_tag: Option<String>| QuarantineStatus {
            ended_by,
            ended_tag,
            ..QuarantineStatus::default()
        };
        let (web, other) = (id("web"), id("other"));
        let spec = serde_json::from_value(quarantine()["spec"].clone()).unwrap();
        let back = EndedBy::TrustReturned;
        let tag = Some(end_tag(&seal(), (&web, "u"), back));
        let is_ours = |about: (&ReleaseId, &str), status: &QuarantineStatus| {
            is_our_end(&seal(), about, status)
        };
        let ours = said(Some(back), tag.clone());
        assert!(is_ours((&web, "u"), &ours));
        assert!(!is_ours((&web, "another"), &ours));
        assert!(!is_ours((&other, "u"), &ours));
        for forged in [
            said(Some(EndedBy::ReleaseGone), tag.clone()),
            said(Some(back), None),
            said(Some(back), Some(String::new())),
            said(None, tag),
            // No other tag of ours is one.
            said(Some(back), Some(super::tag(&seal(), &web, &spec))),
        ] {
            assert!(!is_ours((&web, "u"), &forged), "{forged:?}");
        }
        assert!(!is_our_end(
            &Seal::new(&[8; Seal::LENGTH]),
            (&web, "u"),
            &ours
        ));
    }
}
