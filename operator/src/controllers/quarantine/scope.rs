//! Where quarantines may be, which are in force, and what each is about: from what is known alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use charttrust_verify::check::PolicyVerdict;
use charttrust_verify::verdict::Verdict;

use super::made;
use crate::api::Quarantine;
use crate::api::conditions::{Status, find};
use crate::api::quarantine_words::{QuarantineCondition, QuarantineReason};
use crate::controllers::cache::Ours;
use crate::controllers::context::Context;
use crate::controllers::store::Release;
use crate::inventory::argocd::Claimed;
use crate::inventory::{RecordId, ReleaseId};
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

/// The quarantine of a release, unless it is over.
pub(super) fn quarantine(context: &Context, id: &ReleaseId) -> Option<Arc<Ours<Quarantine>>> {
    context.cache.quarantines.find(id).filter(goes_on)
}

/// All quarantines that are not over.
pub(super) fn quarantines(context: &Context) -> Vec<(ReleaseId, Arc<Ours<Quarantine>>)> {
    let mut all = context.cache.quarantines.all();
    all.retain(|(_, object)| goes_on(object));
    all
}

fn goes_on(object: &Arc<Ours<Quarantine>>) -> bool {
    let object = object.as_ref().as_ref();
    !object.is_ok_and(|object| made::is_over(&object.metadata))
}

/// How many releases are contained.
pub(in crate::controllers) fn active(context: &Context) -> usize {
    let all = quarantines(context);
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
    let all = quarantines(context);
    let readable = all.iter().filter_map(|(_, object)| {
        let object: &Result<Quarantine, String> = object;
        object.as_ref().ok()
    });
    readable.filter(|object| awaits(object)).count()
}

/// How the quarantine of a release stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::controllers) enum Containment {
    /// In force, in part too.
    InForce,
    /// There is none, or it is under way.
    None,
    /// There is one, and it contains nothing; the word that it gives for that.
    Nothing(String),
}

/// How the quarantine of a release stands, or that of the Application that it is of.
pub(in crate::controllers) fn containment(context: &Context, id: &ReleaseId) -> Containment {
    let wholes = context.cache.records.wholes(id);
    let mut stands = Containment::None;
    for whole in wholes {
        match of_whole(context, &whole) {
            Containment::InForce => return Containment::InForce,
            Containment::None => {}
            nothing @ Containment::Nothing(_) => stands = nothing,
        }
    }
    stands
}

fn of_whole(context: &Context, id: &ReleaseId) -> Containment {
    let object = quarantine(context, id);
    match object.as_deref().and_then(|object| object.as_ref().ok()) {
        Some(object) if is_in_force(object) => Containment::InForce,
        Some(object) => hindered(object).map_or(Containment::None, Containment::Nothing),
        None => Containment::None,
    }
}

/// Why a quarantine contains nothing. What is being contained, or put back, passes through that by
/// itself.
fn hindered(object: &Quarantine) -> Option<String> {
    let passing = [QuarantineReason::Containing, QuarantineReason::Restoring];
    let conditions = object.status.as_ref().map(|status| &status.conditions)?;
    let active = find(conditions, QuarantineCondition::Active)?;
    let is_passing = passing.iter().any(|word| active.reason == word.word());
    (active.status == Status::False && !is_passing).then(|| active.reason.clone())
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

/// Every incident that a release is in, or a chart of the Application, under any policy.
pub(in crate::controllers) fn revocations_of(
    context: &Context,
    id: &ReleaseId,
) -> BTreeSet<RevocationId> {
    let parts = context.cache.records.parts(id).into_iter();
    let releases = parts.filter_map(|part| context.store.release(&part));
    let judgements = releases.filter_map(|release| release.judgement);
    let policies = judgements.flat_map(|judgement| judgement.policies);
    policies.flat_map(|said| revocations(&said)).collect()
}

/// The newest revision of a release that is judged.
pub(super) fn newest_revision(context: &Context, id: &ReleaseId) -> Option<u64> {
    let judged = context.cache.records.judged(id).into_keys();
    judged.map(RecordId::revision).max()
}

/// The revocations that a verdict of badness rests on.
pub(super) fn revocations(said: &PolicyVerdict) -> BTreeSet<RevocationId> {
    said.revocations
        .iter()
        .filter_map(RevocationId::of)
        .collect()
}

/// What a policy says of all that a quarantine of a release contains: the worst of it.
pub(super) fn said(context: &Context, id: &ReleaseId, policy: &str) -> Option<PolicyVerdict> {
    let of_part = |part: &ReleaseId| {
        let said = |release: Option<&Release>| verdict_by(release?, policy).cloned();
        context.store.inspect(part, said)
    };
    let parts = context.cache.records.parts(id);
    parts.iter().filter_map(of_part).reduce(worse)
}

/// The worse of two verdicts of a policy, with what both rest on if it is badness.
pub(super) fn worse(one: PolicyVerdict, other: PolicyVerdict) -> PolicyVerdict {
    let worst = Verdict::worst([one.verdict, other.verdict]);
    let (mut worse, better) = if worst == Some(one.verdict) {
        (one, other)
    } else {
        (other, one)
    };
    worse.revocations.extend(better.revocations);
    worse
}

/// Where the workloads of a release lie: a record's namespace is theirs, an Application names one.
pub(super) fn place(context: &Context, id: &ReleaseId) -> String {
    let records = &context.cache.records;
    let application = records.application(id).filter(|_| !records.has_record(id));
    let destination = application.as_ref().and_then(Claimed::destination);
    destination.unwrap_or(&id.namespace).to_owned()
}

/// What a policy says of a release.
pub(in crate::controllers) fn verdict_by<'a>(
    release: &'a Release,
    policy: &str,
) -> Option<&'a PolicyVerdict> {
    let mut said = release.judgement.as_ref()?.policies.iter();
    said.find(|said| said.policy == policy)
}
