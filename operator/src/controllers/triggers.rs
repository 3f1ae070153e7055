//! Which change starts which work: follows every kind, and turns changes into tasks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::Api;

use super::cache::{
    NamespaceName, OwnObject, keep_labels, keep_named, keep_own, keep_release, keep_sent,
    keep_trust, material_of, root_of,
};
use super::context::{Context, DeployerSecrets};
use super::key::learned;
use super::release::{credentials, poll};
use super::statements;
use super::task::Task;
use crate::clock::tick;
use crate::inventory::argocd::PREFIX;
use crate::inventory::helm::{self, RecordKey};
use crate::inventory::{Concerned, ReleaseId};
use crate::watch::{Followed, LeanMeta, config, follow, follow_each};

/// How long a new release may wait for its first look before it shows as `Pending`.
// Most charts are judged sooner, and a status that says Pending first would be one more write for
// each of them.
const PENDING_AFTER: Duration = Duration::from_secs(2);

/// Follows everything for ever.
pub(super) async fn follow_all(context: Arc<Context>) {
    Box::pin(follow_everything(&context)).await;
}

pub(super) async fn follow_everything(context: &Context) {
    if let Some(others) = context.cache.reach.others() {
        others.learn(&context.client).await;
    }
    tokio::join!(
        follow_records(context),
        follow_kinds(context),
        follow_namespaces(context),
        follow_own(context),
        follow_deployers(context),
        follow_unseen(context),
        follow_holders(context),
        follow_workloads(context),
        follow_applications(context),
    );
}

/// The records of releases, wherever Helm keeps them.
async fn follow_records(context: &Context) {
    let client = &context.client;
    let (records, reach) = (&context.cache.records, &context.cache.reach);
    let changed = || {
        working(context, |key: &RecordKey| {
            context.record_changed(&key.release);
        })
    };
    tokio::join!(
        helm::follow_secrets(client, reach, &records.secrets, changed()),
        helm::follow_config_maps(client, reach, &records.config_maps, changed()),
    );
}

/// Our own kinds.
async fn follow_kinds(context: &Context) {
    let (client, cache) = (&context.client, &context.cache);
    let tasks = &context.queues.tasks;
    // What others have counted stands in the status.
    let is_shared = context.share.is_some();
    let add_if_shared = |task: Task| {
        if is_shared {
            tasks.add(task);
        }
    };
    let key_changed = |name: &String| {
        tasks.add(Task::Key(name.clone()));
        add_if_shared(Task::KeyStatus(name.clone()));
    };
    let identity_changed = |name: &String| {
        tasks.add(Task::Identity(name.clone()));
        add_if_shared(Task::IdentityStatus(name.clone()));
    };
    let policy_changed = |name: &String| {
        tasks.add(Task::Policy(name.clone()));
        add_if_shared(Task::Decide(name.clone()));
    };
    let trust_changed = |id: &ReleaseId| context.trust_changed(id);
    let quarantine_changed = |id: &ReleaseId| context.quarantine_changed(id);
    let (reach, all) = (&cache.reach, config());
    tokio::join!(
        follow(
            Followed::whole(Api::all(client.clone())),
            &cache.keys,
            keep_sent,
            working(context, key_changed)
        ),
        follow(
            Followed::whole(Api::all(client.clone())),
            &cache.identities,
            keep_sent,
            working(context, identity_changed)
        ),
        follow(
            Followed::whole(Api::all(client.clone())),
            &cache.policies,
            keep_named,
            working(context, policy_changed)
        ),
        follow_each(
            Followed::each(client, reach, &all),
            &cache.trusts,
            keep_trust,
            working(context, trust_changed)
        ),
        follow_each(
            Followed::each(client, reach, &all),
            &cache.quarantines,
            keep_release,
            working(context, quarantine_changed)
        ),
    );
}

/// The labels of namespaces, which select policies.
async fn follow_namespaces(context: &Context) {
    let all = Followed::named(&Api::all(context.client.clone()), &context.cache.reach);
    let namespaces = &context.cache.namespaces;
    let changed = working(context, |name: &NamespaceName| {
        context.namespace_changed(&name.0);
    });
    let keep = |object: &LeanMeta<Namespace>| {
        let (name, labels) = keep_labels(object)?;
        if let Some(others) = context.cache.reach.others() {
            others.saw(&name.0);
        }
        Some((name, labels))
    };
    follow_each(all, namespaces, keep, changed).await;
}

/// What is to be looked at and cannot be, or can again: policies say so.
async fn follow_unseen(context: &Context) {
    let (mut told_last, mut before) = (Vec::new(), Vec::new());
    loop {
        let unseen = context.cache.unseen();
        // Seen twice: what may be listed and not watched is listed for a moment at each attempt.
        let is_lasting = std::mem::replace(&mut before, unseen.clone()) == unseen;
        if is_lasting && unseen != told_last {
            told_last = unseen;
            let policies = context.cache.policies.all().into_iter();
            let told = working(context, |name: &String| {
                context.queues.tasks.add(Task::PolicyStatus(name.clone()));
            });
            policies.for_each(|(name, _)| told(&name));
        }
        tokio::time::sleep(UNSEEN_EVERY).await;
    }
}

/// Who holds the other ranges: what they say counts as long as they do.
async fn follow_holders(context: &Context) {
    let share = context.share.as_ref().filter(|share| share.range == 0);
    let Some(mut holders) = share.map(|share| share.holders.clone()) else {
        return std::future::pending().await;
    };
    // An error means that this process ends.
    while holders.changed().await.is_ok() {
        let policies = context.cache.policies.all().into_iter();
        let decide = working(context, |name: &String| {
            context.queues.tasks.add(Task::Decide(name.clone()));
        });
        policies.for_each(|(name, _)| decide(&name));
    }
    std::future::pending::<()>().await;
}

/// How often it is looked at what may be read; nothing is asked for that.
const UNSEEN_EVERY: Duration = Duration::from_secs(1);

/// What the operator's own namespace holds.
async fn follow_own(context: &Context) {
    let (client, namespace) = (&context.client, &context.settings.namespace);
    let secrets = Api::<LeanMeta<Secret>>::namespaced(client.clone(), namespace);
    let maps = Api::<LeanMeta<ConfigMap>>::namespaced(client.clone(), namespace);
    let cache = &context.cache;
    let (secret, map) = (keep_own(OwnObject::Secret), keep_own(OwnObject::ConfigMap));
    let changed = || working(context, |object: &OwnObject| context.own_changed(object));
    tokio::join!(
        follow(Followed::whole(secrets), &cache.own, secret, changed()),
        follow(
            Followed::whole(maps),
            &cache.own_config_maps,
            map,
            changed()
        ),
    );
}

/// What deploys releases, and says where their charts come from.
pub(super) async fn follow_deployers(context: &Context) {
    let changed = |concerned: &Concerned| context.deployer_changed(concerned);
    let following = context
        .cache
        .deployers
        .follow(&context.client, working(context, changed));
    // Five watches are too much for the future of all.
    Box::pin(following).await;
}

/// What runs, as far as it says to be of a release.
async fn follow_workloads(context: &Context) {
    if !context.settings.unaccounted {
        return std::future::pending().await;
    }
    let (client, cache) = (&context.client, &context.cache);
    let changed = working(context, |(): &()| context.account_again());
    let following = cache
        .workloads
        .follow(client, &cache.reach, || changed(&()));
    Box::pin(following).await;
}

/// What Argo CD deploys, which leaves no records.
pub(super) async fn follow_applications(context: &Context) {
    let changed = |concerned: &Concerned| context.application_changed(concerned);
    let applications = &context.cache.records.applications;
    let following = applications.follow(&context.client, working(context, changed));
    Box::pin(following).await;
}

/// Changes are work only once this replica leads. One that stands by keeps no queue: it would grow with
/// every release that comes and goes, and all of it would be done at the take-over.
fn working<K>(context: &Context, changed: impl Fn(&K)) -> impl Fn(&K) {
    move |key| {
        if context.queues.are_open.load(Ordering::SeqCst) {
            changed(key);
        }
    }
}

impl Context {
    /// Takes everything that there is for changed, and from now on what changes.
    pub(super) fn take_over(&self) {
        // First, so that no change is missed in between.
        self.queues.are_open.store(true, Ordering::SeqCst);
        let (cache, tasks) = (&self.cache, &self.queues.tasks);
        cache
            .keys
            .all()
            .into_iter()
            .for_each(|(name, _)| tasks.add(Task::Key(name)));
        cache
            .identities
            .all()
            .into_iter()
            .for_each(|(name, _)| tasks.add(Task::Identity(name)));
        cache
            .policies
            .all()
            .into_iter()
            .for_each(|(name, _)| tasks.add(Task::Policy(name)));
        cache
            .records
            .releases()
            .iter()
            .for_each(|id| self.record_changed(id));
        cache
            .trusts
            .all()
            .iter()
            .for_each(|(id, _)| self.trust_changed(id));
        cache
            .quarantines
            .all()
            .iter()
            .for_each(|(id, _)| self.quarantine_changed(id));
        cache
            .own_config_maps()
            .for_each(|object| self.own_changed(&object));
        // Its key.
        self.state_again("");
        self.account_again();
    }

    fn record_changed(&self, id: &ReleaseId) {
        self.queues.records.add(id.clone());
        let task = Task::Release(id.clone());
        self.queues.tasks.add_at(task, tick() + PENDING_AFTER);
        self.queue_quarantine(id);
        self.account_again();
    }

    /// Of a `ReleaseTrust` that is gone, nothing stands that we wrote: it is written again.
    pub(super) fn trust_changed(&self, id: &ReleaseId) {
        // Somebody has deleted it, or the CRD was made again: whatever we remember as written is
        // not there any more.
        match self.cache.trusts.find(id) {
            None => self.store.note_deleted(id),
            Some(shown) => self.store.note_shown(id, &shown),
        }
        self.calmly(Task::Release(id.clone()));
        self.report_again(&id.namespace);
        self.state_again(&id.namespace);
    }

    /// Asks for work on what others may change as often as they please.
    fn calmly(&self, task: Task) {
        let at = self.queues.calm.at(&task, tick());
        self.queues.tasks.add_at(task, at);
    }

    /// A quarantine is looked at, shown at its release, and counted by its policy.
    fn quarantine_changed(&self, id: &ReleaseId) {
        if self.cache.quarantines.find(id).is_none() {
            self.store.at_rest.forget(id);
            self.store.begun.forget([id].into_iter());
        }
        self.calmly(Task::Seen(id.clone()));
        for part in self.cache.records.parts(id) {
            self.calmly(Task::Release(part));
        }
        // Every policy and not the one it names: whether its place is free again is a question for
        // all that would contain something there.
        for (name, _) in self.cache.policies.all() {
            self.calmly(Task::Decide(name));
        }
    }

    /// Where a chart comes from decides which source counts.
    pub(super) fn deployer_changed(&self, concerned: &Concerned) {
        let tasks = &self.queues.tasks;
        let judge = |id: ReleaseId| {
            let task = Task::Release(id.clone());
            let at = self.queues.calm.at(&task, tick());
            // With another login a source is asked in another way.
            if self.settings.deployer_secrets == DeployerSecrets::Read {
                self.queues.records.add_at(id, at);
            }
            tasks.add_at(task, at);
        };
        match concerned {
            Concerned::Marked(name) => self.store.each_release(|id, release| {
                if release.is_marked(name) {
                    judge(id.clone());
                }
            }),
            // Anybody's object may name what nobody has installed.
            Concerned::Release(id) if self.cache.records.has_none(id) => {}
            Concerned::Release(id) => judge(id.clone()),
            Concerned::All => {
                self.cache.records.releases().into_iter().for_each(judge);
                for (name, _) in self.cache.policies.all() {
                    tasks.add(Task::PolicyStatus(name));
                }
            }
        }
    }

    /// Whoever may edit an Application may do so as often as he pleases, and adds no record by it.
    fn said_otherwise(&self, id: &ReleaseId) {
        let task = Task::Release(id.clone());
        let at = self.queues.calm.at(&task, tick());
        self.queues.records.add_at(id.clone(), at);
        self.queues.tasks.add_at(task, at + PENDING_AFTER);
        for whole in self.cache.records.wholes(id) {
            if self.cache.quarantines.find(&whole).is_some() {
                self.calmly(Task::Quarantine(whole));
            }
        }
    }

    /// What an Application says takes the place of a record.
    fn application_changed(&self, concerned: &Concerned) {
        self.account_again();
        match concerned {
            Concerned::Release(id) => self.said_otherwise(id),
            Concerned::Marked(_) => {}
            Concerned::All => {
                let records = &self.cache.records;
                let shown = self.cache.trusts.all().into_iter().map(|(id, _)| id);
                let shown = shown.filter(|id| id.name.starts_with(PREFIX));
                let all = records.applications.releases().into_iter().chain(shown);
                all.for_each(|id| self.said_otherwise(&id));
                for (name, _) in self.cache.policies.all() {
                    self.queues.tasks.add(Task::PolicyStatus(name));
                }
            }
        }
    }

    /// Labels of a namespace select policies.
    fn namespace_changed(&self, name: &str) {
        let ids = self.store.release_ids();
        for id in ids.into_iter().filter(|id| id.namespace == name) {
            self.queues.records.add(id);
        }
    }

    /// Keys and identities whose material or trusted root lies in a changed object are read again, what was learned is kept, and
    /// sources are asked again whose credentials or authorities it holds.
    fn own_changed(&self, object: &OwnObject) {
        if let Some(key) = learned::key_of(object) {
            self.queues.tasks.add(Task::Learned(key));
        }
        if let Some(namespace) = statements::namespace_in(object) {
            self.state_again(namespace);
        }
        let outdated = credentials::outdated(self, object);
        if !outdated.is_empty() {
            poll::ask_again(self, &outdated);
        }
        let holds = |place: Option<OwnObject>| place.as_ref() == Some(object);
        for (name, key) in self.cache.keys.all() {
            let key = key.as_ref().as_ref();
            let is_concerned = key.is_ok_and(|key| {
                holds(material_of(key)) || holds(root_of(key.spec.trusted_root_ref.as_ref()))
            });
            if is_concerned {
                self.queues.tasks.add(Task::Key(name));
            }
        }
        for (name, identity) in self.cache.identities.all() {
            let root = match identity.as_ref() {
                Ok(object) => object.spec.trusted_root_ref.as_ref(),
                Err(unreadable) => {
                    let remains = unreadable.remains.as_ref();
                    remains.and_then(|it| it.spec.trusted_root_ref.as_ref())
                }
            };
            if holds(root_of(root)) {
                self.queues.tasks.add(Task::Identity(name));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::controllers::testing::{Scene, web};

    #[tokio::test]
    async fn one_that_stands_by_keeps_no_queue_and_begins_everything_when_it_leads() {
        let scene = Scene::automatic().await;
        let (context, queues) = (&scene.context, &scene.context.queues);
        scene.quarantine(&web(), &json!({}));
        let changed = working(context, |id: &ReleaseId| context.record_changed(id));
        (0..1000).for_each(|_| changed(&web()));
        assert!(queues.tasks.is_empty() && queues.records.is_empty());
        context.take_over();
        assert!(queues.records.due_at(&web()).is_some());
        for task in [Task::Release(web()), Task::Seen(web())] {
            assert!(queues.tasks.due_at(&task).is_some(), "{task:?}");
        }
        queues.records.forget(&web());
        changed(&web());
        assert!(queues.records.due_at(&web()).is_some());
    }
}
