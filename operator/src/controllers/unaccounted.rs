//! Finds out what runs and says to be of a release of which there is no record: nobody can tell whether it is
//! to be trusted. Writes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use charttrust_verify::policy::{ReleaseRef, Selection};

use super::context::Context;
use super::task::Task;
use crate::clock::{Moment, tick};
use crate::inventory::ReleaseId;
use crate::inventory::workloads::{Claimant, Claimed};

/// How soon after a change of a record or a workload it is looked again; each look takes in all changes.
const SOON: Duration = Duration::from_secs(2);

/// Looks which claims have no record, and has policies tell it if that is news.
pub(super) fn reconcile(context: &Context, moment: Moment) {
    let cache = &context.cache;
    let mut claimed = cache.workloads.claimed(|id| is_missing(context, id));
    let applications = cache.records.applications.unaccounted().into_iter();
    claimed.extend(applications.map(|(namespace, workloads)| Claimed {
        namespace,
        of: Claimant::Applications,
        workloads,
    }));
    let noted = context.store.unaccounted.note(claimed, moment.tick);
    let tasks = &context.queues.tasks;
    if let Some(next) = noted.next {
        tasks.add_at(Task::Unaccounted, next);
    }
    if noted.is_news {
        for (name, _) in context.cache.policies.all() {
            tasks.add(Task::PolicyStatus(name));
        }
    }
}

/// Whether it is certain that there is no record of a release.
fn is_missing(context: &Context, id: &ReleaseId) -> bool {
    let cache = &context.cache;
    cache.reach.covers(&id.namespace)
        && !cache.records.are_refused(&id.namespace)
        && !cache.records.has_record(id)
}

impl Context {
    /// A record or a workload has changed.
    pub(super) fn account_again(&self) {
        if self.settings.unaccounted {
            let tasks = &self.queues.tasks;
            tasks.add_at(Task::Unaccounted, tick() + SOON);
        }
    }

    /// How many releases without a record a policy would select: by the namespaces in which their workloads
    /// are, as whoever writes those writes to which release they say to belong.
    pub(super) fn unaccounted(&self, selection: &Selection) -> u32 {
        let all = self.store.unaccounted.all();
        let selected = all.iter().filter(|one| {
            let labels = self.cache.namespace_labels(&one.namespace);
            selection.selects(&ReleaseRef {
                namespace: &one.namespace,
                namespace_labels: labels.as_deref(),
                name: one.name(),
            })
        });
        let releases: usize = selected.map(Claimed::releases).sum();
        u32::try_from(releases).unwrap_or(u32::MAX)
    }

    /// How many workloads without a record each namespace has.
    pub(super) fn unaccounted_workloads(&self) -> BTreeMap<String, usize> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for one in self.store.unaccounted.all().iter() {
            *counts.entry(one.namespace.clone()).or_default() += one.workloads;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::{POLICY, Scene, id, web};
    use crate::fake_cluster::FakeCluster;
    use crate::inventory::helm::Driver;

    fn look(scene: &Scene, after: u64) {
        let tick = crate::clock::tick() + Duration::from_secs(after);
        reconcile(
            &scene.context,
            Moment {
                tick,
                ..Moment::now()
            },
        );
    }

    fn counted(scene: &Scene) -> BTreeMap<String, usize> {
        scene.context.unaccounted_workloads()
    }

    #[tokio::test]
    async fn what_has_no_record_is_counted_where_it_runs_and_told_by_policies() {
        let scene = Scene::automatic().await;
        let workloads = &scene.context.cache.workloads;
        workloads.suppose("shop", "web", web());
        workloads.suppose("shop", "api", id("shop", "api"));
        workloads.suppose("shop", "worker", id("shop", "api"));
        // Whoever may write in one namespace says to be of another's.
        workloads.suppose("yard", "evil", id("bank", "gone"));
        workloads.suppose("yard", "honest", web());
        look(&scene, 0);
        assert_eq!(counted(&scene), BTreeMap::new());
        let tasks = &scene.context.queues.tasks;
        assert!(
            tasks.due_at(&Task::Unaccounted).is_some(),
            "it is looked again"
        );
        look(&scene, 20);
        let expected = [("shop".to_owned(), 2), ("yard".to_owned(), 1)];
        assert_eq!(counted(&scene), BTreeMap::from(expected));
        let trust = scene.context.store.trust();
        let mut selection = trust.policies[POLICY].policy.selection.clone();
        assert_eq!(scene.context.unaccounted(&selection), 2);
        selection.excluded_namespaces.insert("yard".to_owned());
        assert_eq!(scene.context.unaccounted(&selection), 1);
        scene.record(&id("shop", "api"), Driver::ConfigMap);
        look(&scene, 21);
        assert_eq!(counted(&scene), BTreeMap::from([("yard".to_owned(), 1)]));
    }

    #[tokio::test]
    async fn where_nobody_looks_or_may_nothing_is_missed() {
        let scene = Scene::limited(FakeCluster::default(), &["shop"]).await;
        let workloads = &scene.context.cache.workloads;
        workloads.suppose("shop", "web", id("bank", "web"));
        workloads.suppose("shop", "api", id("shop", "api"));
        look(&scene, 0);
        look(&scene, 20);
        assert_eq!(counted(&scene), BTreeMap::from([("shop".to_owned(), 1)]));
        scene.context.cache.records.config_maps.suppose_refused();
        look(&scene, 40);
        assert_eq!(counted(&scene), BTreeMap::new());
    }
}
