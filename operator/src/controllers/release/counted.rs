//! Keeps what was concluded of a release, and has those look again who count it: policies and signers.

use std::collections::BTreeSet;

use charttrust_verify::openpgp::Fingerprint;

use super::status::Judged;
use crate::controllers::context::Context;
use crate::controllers::store::Requests;
use crate::controllers::task::Task;
use crate::inventory::ReleaseId;

/// Keeps the judgement, and has those counted again whom it concerns.
pub(super) fn note_judgement(context: &Context, id: &ReleaseId, judged: &Judged, begun: Requests) {
    let judgement = &judged.judgement;
    let sigstore = context.store.trust().sigstore;
    let (before, contradicted, then, now) = context.store.update(id, |release| {
        release.judgings.answer(begun);
        let contradicted =
            std::mem::replace(&mut release.contradicted, judged.contradicted.clone());
        let now = Signing {
            keys: release.good_signers(),
            sigstore: release.sigstore_signers(&sigstore),
        };
        let keys = std::mem::replace(&mut release.signers, now.keys.iter().cloned().collect());
        let names = now.sigstore.iter().cloned().collect();
        let names = std::mem::replace(&mut release.sigstore, names);
        let then = Signing {
            keys: BTreeSet::from_iter(keys),
            sigstore: BTreeSet::from_iter(names),
        };
        let before = release.judgement.replace(judgement.clone());
        (before, contradicted, then, now)
    });
    if before.as_ref() == Some(judgement) && contradicted == judged.contradicted {
        return count_again(context, &then.xor(&now));
    }
    count_again(context, &then.or(&now));
    context.metrics.judged(judgement.verdict);
    context.queue_quarantine(id);
    let before = before.iter().flat_map(|judgement| &judgement.policies);
    for policy in judgement.policies.iter().chain(before) {
        context
            .queues
            .tasks
            .add(Task::Decide(policy.policy.clone()));
    }
}

/// Who has signed a release.
#[derive(Debug, Default)]
struct Signing {
    /// Keys of OpenPGP.
    keys: BTreeSet<Fingerprint>,
    /// Names of the objects of public keys and identities.
    sigstore: BTreeSet<String>,
}

impl Signing {
    fn xor(&self, other: &Self) -> Self {
        Self {
            keys: &self.keys ^ &other.keys,
            sigstore: &self.sigstore ^ &other.sigstore,
        }
    }

    fn or(&self, other: &Self) -> Self {
        Self {
            keys: &self.keys | &other.keys,
            sigstore: &self.sigstore | &other.sigstore,
        }
    }
}

/// Has the signers count their releases that have, or had, signed one.
fn count_again(context: &Context, signing: &Signing) {
    let (trust, tasks) = (context.store.trust(), &context.queues.tasks);
    for (name, loaded) in trust.loaded.iter() {
        let fingerprint = loaded.fingerprint.as_ref();
        if fingerprint.is_some_and(|fingerprint| signing.keys.contains(fingerprint)) {
            tasks.add(Task::KeyStatus(name.clone()));
        }
    }
    for name in &signing.sigstore {
        if trust.public_keys.contains_key(name) {
            tasks.add(Task::KeyStatus(name.clone()));
        }
        if trust.identities.contains_key(name) {
            tasks.add(Task::IdentityStatus(name.clone()));
        }
    }
}

/// Has every signer count its releases.
pub(super) fn count_all(context: &Context) {
    let (trust, tasks) = (context.store.trust(), &context.queues.tasks);
    for name in trust.loaded.keys().chain(trust.public_keys.keys()) {
        tasks.add(Task::KeyStatus(name.clone()));
    }
    for name in trust.identities.keys() {
        tasks.add(Task::IdentityStatus(name.clone()));
    }
}
