//! What a change of a signer of Sigstore means for releases: the same for public keys and identities.

use std::collections::BTreeSet;

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
