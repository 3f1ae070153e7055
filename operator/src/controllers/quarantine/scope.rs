//! Where quarantines may be, which are in force, and what each is about: from what is known alone.

use std::collections::BTreeSet;

use charttrust_verify::check::PolicyVerdict;

use crate::api::Quarantine;
use crate::api::conditions::{Status, find};
use crate::api::quarantine_words::{QuarantineCondition, QuarantineReason};
use crate::controllers::context::Context;
use crate::controllers::store::Release;
use crate::inventory::ReleaseId;
use crate::quarantine::PROTECTED;
use crate::quarantine::incident::RevocationId;

/// Whether nothing is ever changed in a namespace.
pub(in crate::controllers) fn is_protected(context: &Context, namespace: &str) -> bool {
    protected(context).any(|name| name == namespace)
}

pub(super) fn protected(context: &Context) -> impl Iterator<Item = &str> {
    let settings = context.settings.quarantine.iter();
    let named = settings.flat_map(|settings| settings.protected.iter().map(String::as_str));
    named.chain([PROTECTED, &context.settings.namespace])
}

/// How many releases are contained.
pub(in crate::controllers) fn active(context: &Context) -> usize {
    let all = context.cache.quarantines.all();
    let readable = all.iter().filter_map(|(_, object)| {
        let object: &Result<Quarantine, String> = object;
        object.as_ref().ok()
    });
    readable.filter(|object| is_in_force(object)).count()
}

/// How many quarantines wait for a person, because something of the release would block others.
pub(in crate::controllers) fn awaiting(context: &Context) -> usize {
    let word = QuarantineReason::AwaitingApproval.word();
    let awaits = |object: &Quarantine| {
        let status = object.status.as_ref();
        let conditions = status.map(|status| status.conditions.as_slice());
        find(conditions.unwrap_or_default(), QuarantineCondition::Active)
            .is_some_and(|active| active.reason == word)
    };
    let all = context.cache.quarantines.all();
    let readable = all.iter().filter_map(|(_, object)| {
        let object: &Result<Quarantine, String> = object;
        object.as_ref().ok()
    });
    readable.filter(|object| awaits(object)).count()
}

/// Whether a quarantine of a release is in force.
pub(in crate::controllers) fn is_active(context: &Context, id: &ReleaseId) -> bool {
    let object = context.cache.quarantines.find(id);
    let object = object.as_deref().and_then(|object| object.as_ref().ok());
    object.is_some_and(is_in_force)
}

pub(super) fn is_in_force(object: &Quarantine) -> bool {
    let status = object.status.as_ref();
    let conditions = status
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    let is_whole = find(conditions, QuarantineCondition::Active)
        .is_some_and(|active| active.status == Status::True);
    // One object that is refused, or left out, makes the others no less contained.
    is_whole || status.is_some_and(|status| status.incident.is_some() && status.contained > 0)
}

/// Every incident that a release is in, under any policy.
pub(in crate::controllers) fn revocations_of(
    context: &Context,
    id: &ReleaseId,
) -> BTreeSet<RevocationId> {
    let release = context.store.release(id).unwrap_or_default();
    let judgement = release.judgement.iter();
    let policies = judgement.flat_map(|judgement| &judgement.policies);
    policies.flat_map(revocations).collect()
}

/// The revocations that a verdict of badness rests on.
pub(super) fn revocations(said: &PolicyVerdict) -> BTreeSet<RevocationId> {
    said.revocations
        .iter()
        .filter_map(RevocationId::of)
        .collect()
}

/// What a policy says of a release.
pub(in crate::controllers) fn verdict_by<'a>(
    release: &'a Release,
    policy: &str,
) -> Option<&'a PolicyVerdict> {
    let mut said = release.judgement.as_ref()?.policies.iter();
    said.find(|said| said.policy == policy)
}
