//! What a change of a signer of Sigstore means for releases: the same for public keys and identities.

use std::collections::BTreeSet;

use charttrust_verify::policy::Rule;
use charttrust_verify::sigstore::KnownPublicKey;

use super::context::Context;
use super::store::signers::Sought;
use super::task::Task;
use crate::clock::Moment;
use crate::inventory::ReleaseId;

/// The releases that a signer concerns, as it was or as it is.
pub(super) fn concerned<'a>(
    context: &Context,
    signers: impl Iterator<Item = Sought<'a>>,
) -> BTreeSet<ReleaseId> {
    signers
        .flat_map(|signer| context.store.concerned_by(signer))
        .collect()
}

/// The releases that a rule judges which lists a public key: whether their signatures are asked for may depend on it.
pub(super) fn asked_by(context: &Context, key: &KnownPublicKey) -> BTreeSet<ReleaseId> {
    let trust = context.store.trust();
    let (name, labels) = (&key.trusted.name, &key.labels);
    let lists = |rule: &Rule| rule.verify.signers.list_key(name, labels);
    let mut charts = Vec::new();
    context.store.each_release(|id, release| {
        let contents = release.contents().map(|content| content.chart.clone());
        charts.extend(contents.map(|chart| (id.clone(), chart)));
    });
    charts.retain(|(id, chart)| {
        let placed = context.cache.placed(id);
        let mut policies = trust.policies.values();
        policies.any(|loaded| {
            let rule = loaded.policy.rule_for(&placed.reference(), chart);
            rule.is_some_and(|rule| rule.is_ok_and(lists))
        })
    });
    charts.into_iter().map(|(id, _)| id).collect()
}

/// Has releases judged again, and policies and incidents looked at.
pub(super) fn judge_again(context: &Context, releases: BTreeSet<ReleaseId>, moment: Moment) {
    for id in releases {
        context.store.learn(&id, moment);
        context.judge_again(&id);
        // A signature that was never verified before may have to be fetched.
        context.queues.records.add(id);
    }
    for policy in context.store.trust().policies.keys() {
        context.queues.tasks.add(Task::Decide(policy.clone()));
    }
    context.queues.tasks.add(Task::Incidents);
}
