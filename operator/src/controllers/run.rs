//! Starts the controllers in order, and hands each task to the one that it is for.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;

use super::context::{Context, RETRY};

use super::key::{self, learned, refresh};
use super::quarantine::{self, incidents, start};
use super::queue::Work;
use super::release::{self, poll, read, seal};
use super::store::seal::Seal;
use super::task::Task;
use super::{gate, identity, policy, reports, statements, triggers, unaccounted, webhook};
use crate::clock::{Moment, tick};

/// How many things are judged and written at a time.
// Writes wait for the API server and not for a core; more of them at a time would only take from
// the share of other clients (API Priority and Fairness).
const WORKERS: usize = 8;
/// How many releases are read at a time. Bounds the memory of decoded records.
const READERS: usize = 8;
/// How many looks at sources are taken at a time, of which each way of asking has a share. Bounds the memory
/// of archives, and of records that are compared with them.
pub(super) const POLLERS: usize = 16;
/// How many copies of keys are looked for at a time.
const REFRESHERS: usize = 2;

/// A task that runs for ever has ended: the process cannot be relied on, and has to be started anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} has ended")]
pub struct Ended(&'static str);

impl Ended {
    /// All of it.
    pub const WORK: Self = Self("work");
}

impl Context {
    /// Runs until `stop` turns true. `ready` turns true when everything has been read once. A replica
    /// that does not lead keeps watching, so that it can go on at once when it does.
    ///
    /// # Errors
    /// If the watches or a worker have ended, which none does by itself.
    pub async fn run(
        self: Arc<Self>,
        ready: watch::Sender<bool>,
        stop: watch::Receiver<bool>,
    ) -> Result<(), Ended> {
        let mut tasks = JoinSet::new();
        let watches = triggers::follow_all(Arc::clone(&self));
        tasks.spawn(watches.map(|()| Ended("the watches")));
        tasks.spawn(Arc::clone(&self).work(ready));
        let mut stop = stop;
        tokio::select! {
            // Invariant: an error means that the sender is gone, which is as good as a stop.
            _ = stop.wait_for(|stop| *stop) => Ok(()),
            ended = first(&mut tasks) => Err(ended),
        }
    }

    async fn work(self: Arc<Self>, ready: watch::Sender<bool>) -> Ended {
        self.cache.completed().await;
        if !self.leadership.is_held() {
            ready.send_replace(true);
            tracing::info!("standing by until this replica leads");
            self.leadership.granted().await;
        }
        self.start(&ready).await;
        let mut tasks = JoinSet::new();
        if self.is_first() {
            let webhook = webhook::keep_for_ever(Arc::clone(&self));
            tasks.spawn(webhook.map(|()| Ended("the webhook's certificates")));
        }
        let gate = gate::look_for_ever(Arc::clone(&self));
        tasks.spawn(gate.map(|()| Ended("the look at the webhook")));
        self.begin(&mut tasks);
        first(&mut tasks).await
    }

    /// Begins to work off the queues.
    pub(super) fn begin(self: &Arc<Self>, tasks: &mut JoinSet<Ended>) {
        for _ in 0..WORKERS {
            tasks.spawn(Arc::clone(self).reconcile_for_ever());
        }
        // One reads what waits in turns from the begin: nobody waits for the records of others.
        tasks.spawn(Arc::clone(self).read_for_ever());
        let first = Arc::new(OnceCell::new());
        for _ in 1..READERS {
            tasks.spawn(Arc::clone(self).read_after(Arc::clone(&first)));
        }
        for _ in 0..POLLERS {
            tasks.spawn(Arc::clone(self).poll_for_ever());
        }
        for _ in 0..REFRESHERS {
            tasks.spawn(Arc::clone(self).refresh_for_ever());
        }
        tasks.spawn(Arc::clone(self).forget_for_ever());
    }

    /// Takes in what is there, in the order in which one thing needs another.
    async fn start(&self, ready: &watch::Sender<bool>) {
        let records = &self.cache.records;
        self.store.present.get_or_init(|| records.releases());
        // The seal before everything: without it nothing that an earlier process has found out can
        // be believed, and all archives would be fetched again.
        let key = self.unlock().await;
        learned::restore(self).await;
        seal::restore(self, &key).await;
        self.store.seal.get_or_init(|| key);
        self.read_all_trust().await;
        if self.is_first() {
            policy::report_gone(self).await;
        }
        // Only now: a change that came first would be judged by no keys.
        self.take_over();
        ready.send_replace(true);
        tracing::info!(
            releases = records.secrets.len() + records.config_maps.len(),
            keys = self.cache.keys.len(),
            identities = self.cache.identities.len(),
            policies = self.cache.policies.len(),
            "everything was read once"
        );
    }

    /// The key of the seal; without it nothing is judged, because nothing could be kept.
    async fn unlock(&self) -> Seal {
        loop {
            match seal::unlock(self).await {
                Ok(key) => return key,
                Err(error) => {
                    tracing::warn!(%error, "waiting for the key of the evidence");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Keys first, then policies, so that no release is judged by half of them.
    async fn read_all_trust(&self) {
        for (name, _) in self.cache.keys.all() {
            key::reconcile(self, &name, Moment::now()).await;
        }
        for (name, _) in self.cache.identities.all() {
            identity::reconcile(self, &name, Moment::now()).await;
        }
        for (name, _) in self.cache.policies.all() {
            policy::reconcile(self, &name, Moment::now()).await;
        }
    }

    async fn reconcile_for_ever(self: Arc<Self>) -> Ended {
        loop {
            let work = self.queues.tasks.next().await;
            if caught(Box::pin(self.reconcile(&work))).await.is_err() {
                self.retry(&work.item);
            }
        }
    }

    /// Reads what waits, after one of those who do so has read by pages what there is much of.
    async fn read_after(self: Arc<Self>, first: Arc<OnceCell<()>>) -> Ended {
        // One that panics has told so, and what it has not read waits as before.
        let read = caught(Box::pin(release::first::read_all(&self)));
        first
            .get_or_init(|| read.map(Result::unwrap_or_default))
            .await;
        self.read_for_ever().await
    }

    async fn read_for_ever(self: Arc<Self>) -> Ended {
        loop {
            let work = self.queues.records.next().await;
            if caught(read::read_changed(&self, &work.item, work.due))
                .await
                .is_err()
            {
                self.queues
                    .records
                    .add_at(work.item.clone(), tick() + AFTER_PANIC);
            }
        }
    }

    pub(super) async fn poll_for_ever(self: Arc<Self>) -> Ended {
        loop {
            let work = self.queues.polls.next().await;
            // A look holds the state of every step of a fetch: too much for a worker's own future.
            if caught(Box::pin(poll::poll(&self, &work))).await.is_err() {
                self.queues
                    .polls
                    .add_at(work.item.clone(), tick() + AFTER_PANIC);
            }
        }
    }

    async fn refresh_for_ever(self: Arc<Self>) -> Ended {
        loop {
            let work = self.queues.refreshes.next().await;
            if caught(refresh::run(&self, &work.item)).await.is_err() {
                self.queues
                    .refreshes
                    .add_at(work.item.clone(), tick() + AFTER_PANIC);
            }
        }
    }

    /// Wipes the records that were kept for somebody who did not come.
    async fn forget_for_ever(self: Arc<Self>) -> Ended {
        loop {
            tokio::time::sleep(FORGET_EVERY).await;
            self.kept.expire(tick());
        }
    }

    fn retry(&self, task: &Task) {
        let pause = self.queues.failures.pause(task);
        self.queues.tasks.add_at(task.clone(), tick() + pause);
    }

    /// Hands a task to its controller, with the moment at which it is done.
    async fn reconcile(&self, work: &Work<Task>) {
        let moment = Moment::now();
        let (controller, result) = match &work.item {
            Task::Key(name) => ("key", {
                key::reconcile(self, name, moment).await;
                Ok(())
            }),
            Task::Identity(name) => ("identity", {
                identity::reconcile(self, name, moment).await;
                Ok(())
            }),
            Task::IdentityStatus(name) => {
                ("identity", identity::write_status(self, name, moment).await)
            }
            Task::Policy(name) => ("policy", {
                policy::reconcile(self, name, moment).await;
                Ok(())
            }),
            Task::Release(id) => ("release", release::reconcile(self, id, moment).await),
            Task::Show(id) => ("release", release::show(self, id, moment).await),
            Task::KeyStatus(name) => ("key", key::write_status(self, name, moment).await),
            Task::Learned(key) => ("key", learned::keep(self, key).await),
            Task::Decide(name) => ("policy", start::reconcile(self, name, moment).await),
            Task::PolicyStatus(name) => ("policy", policy::write_status(self, name, moment).await),
            Task::Quarantine(id) => ("quarantine", {
                quarantine::reconcile(self, id, moment, work.due).await
            }),
            Task::Seen(id) => ("quarantine", {
                quarantine::look_unless_ours(self, id);
                Ok(())
            }),
            Task::Report(namespace) => ("report", {
                reports::reconcile(self, namespace, moment).await
            }),
            Task::Statements(namespace) => ("statement", {
                statements::reconcile(self, namespace, moment).await
            }),
            Task::Incidents => ("quarantine", incidents::reconcile(self, moment).await),
            Task::Unaccounted => ("policy", {
                unaccounted::reconcile(self, moment);
                Ok(())
            }),
        };
        let took = tick().saturating_duration_since(moment.tick);
        self.metrics.reconciled(controller, &result, took);
        if let Err(error) = result {
            tracing::warn!(task = ?work.item, error = &error as &dyn std::error::Error, "will retry");
            self.retry(&work.item);
        } else {
            // One success begins the count anew, so that a later failure waits for 2 s again and
            // not for 15.
            self.queues.failures.forget(&work.item);
        }
    }
}

/// Waits for the first task that ends; the others end with the set.
async fn first(tasks: &mut JoinSet<Ended>) -> Ended {
    match tasks.join_next().await {
        Some(Ok(ended)) => ended,
        Some(Err(_)) | None => Ended("a worker"),
    }
}

/// Does one piece of work. One that panics is reported and tried again later: it must not take the
/// worker with it, or a release that somebody has prepared stops the judging of all.
async fn caught<T>(work: impl Future<Output = T>) -> Result<T, ()> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.map_err(|_| {
        tracing::error!("work has panicked, and is tried again later; please report it");
    })
}

/// How much longer a record may be kept than it is to be.
const FORGET_EVERY: Duration = Duration::from_secs(10);

/// How long to wait after a panic, which is likely to come again.
// The same input is likely to panic again, and each time it writes a page of log.
const AFTER_PANIC: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_piece_of_work_and_not_the_worker() {
        assert_eq!(caught(async { 1 }).await, Ok(1));
        let panics = async { panic!("a prepared release") };
        assert_eq!(caught::<u8>(panics).await, Err(()));
    }

    #[tokio::test]
    async fn a_task_that_ends_is_noticed_whatever_the_others_do() {
        let mut tasks = JoinSet::new();
        tasks.spawn(std::future::pending());
        tasks.spawn(async { Ended("the watches") });
        assert_eq!(first(&mut tasks).await, Ended("the watches"));
        let mut tasks = JoinSet::new();
        tasks.spawn(std::future::pending());
        tasks.spawn(async { panic!("a watch") });
        assert_eq!(first(&mut tasks).await, Ended("a worker"));
    }
}
