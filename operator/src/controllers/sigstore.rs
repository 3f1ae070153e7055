//! What a change of a signer of Sigstore means for releases: the same for public keys and identities.

use std::collections::BTreeSet;

use charttrust_verify::policy::Rule;
use charttrust_verify::sigstore::KnownPublicKey;

use super::context::Context;
use super::store::issuer_names;
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

/// Names of the objects that declare a key in one form or the other, if it is declared in both: what revokes the one
/// revokes both.
pub(super) fn both_forms(context: &Context, name: &str) -> BTreeSet<String> {
    let trust = context.store.trust();
    let forms = trust.forms(name);
    let names = forms.flat_map(|(key, public)| [key.name.clone(), public.trusted.name.clone()]);
    names.collect()
}

/// The releases with a signature by a key of one of these names, as it is.
pub(super) fn of_keys(context: &Context, names: &BTreeSet<String>) -> BTreeSet<ReleaseId> {
    let (trust, store) = (context.store.trust(), &context.store);
    let keys = trust.keys.iter().filter(|key| names.contains(&key.name));
    let issuers: BTreeSet<_> = keys.flat_map(issuer_names).collect();
    let public = trust.sigstore.keys.iter();
    let public = public.filter(|one| names.contains(&one.trusted.name));
    let public = public.map(|one| Sought::Key(one.trusted.fingerprint));
    let mut releases = concerned(context, public);
    releases.extend(store.releases_of_issuers(issuers.iter().map(String::as_str)));
    releases
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
