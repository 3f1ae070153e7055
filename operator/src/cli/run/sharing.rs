//! `charttrust run --shards`: the parts of the work that this replica has taken, each with all that it needs for
//! itself, so that nothing of one is left when it goes to another replica.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Config;
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::{RELEASE_OF_LEASE, Run, RunError, loss, lost_by, pod, settings, told, unserved};
use crate::controllers::{self, Context, Contexts, Ended, Settings, fetcher_of};
use crate::evidence::Fetcher;
use crate::leader::{self, Holders, Keeper, Leadership, Order, Share, Told, Turn};
use crate::metrics::Metrics;
use crate::serve;

/// Runs until a signal comes, with whatever ranges this replica takes and gives back meanwhile.
///
/// # Errors
/// [`RunError`]: before any work starts, or if what runs for ever has ended.
pub(super) async fn run(
    arguments: &Run,
    config: Config,
    (mut terminate, mut interrupt): (Signal, Signal),
) -> Result<(), RunError> {
    let identity = leader::identity(&pod()).map_err(|_| RunError::Randomness)?;
    let cut = (arguments.namespace.as_str(), usize::from(arguments.shards));
    let keeper = Keeper::new(config.clone(), cut, identity.clone(), told(arguments));
    let (keeper, mut turns, holders) = keeper.map_err(RunError::Client)?;
    let (orders, given) = mpsc::unbounded_channel();
    let mut keeping = tokio::spawn(keeper.run(given));
    let (contexts, metrics) = (Arc::<Contexts>::default(), Arc::<Metrics>::default());
    let (health, scrape) = (arguments.health_addr, arguments.metrics_addr);
    let answers = serve::health(health, Arc::clone(&contexts));
    let numbers = serve::metrics(scrape, Arc::clone(&metrics), Arc::clone(&contexts));
    let (mut answers, mut numbers) = (Box::pin(answers), Box::pin(numbers));
    let settings = settings(arguments);
    let mut ranges = Ranges {
        fetcher: fetcher_of(&settings),
        settings,
        of: cut.1,
        identity,
        holders,
        config,
        metrics,
        contexts,
        orders,
        running: BTreeMap::new(),
        ends: JoinSet::new(),
    };
    let ended = loop {
        tokio::select! {
            lost = &mut keeping => return Err(lost_by(loss(&lost))),
            result = &mut answers => break result.map_err(unserved(health, "--health-addr")),
            result = &mut numbers => break result.map_err(unserved(scrape, "--metrics-addr")),
            Some(turn) = turns.recv() => ranges.turn(turn)?,
            Some(end) = ranges.ends.join_next() => ranges.ended(end)?,
            _ = terminate.recv() => break Ok(()),
            _ = interrupt.recv() => break Ok(()),
        }
    };
    tracing::info!("stopping");
    ranges.leave().await;
    let _ = tokio::time::timeout(RELEASE_OF_LEASE, keeping).await;
    ended
}

/// The parts of the work that run here, and what a new one is made of.
struct Ranges {
    settings: Settings,
    fetcher: Fetcher,
    of: usize,
    identity: String,
    holders: watch::Receiver<Holders>,
    config: Config,
    metrics: Arc<Metrics>,
    contexts: Arc<Contexts>,
    orders: mpsc::UnboundedSender<Order>,
    running: BTreeMap<usize, Running>,
    ends: JoinSet<End>,
}

struct Running {
    stop: watch::Sender<bool>,
    work: AbortHandle,
    telling: AbortHandle,
}

/// Which part has ended, and how.
type End = (usize, Result<(), Ended>);

impl Ranges {
    fn turn(&mut self, turn: Turn) -> Result<(), RunError> {
        match turn {
            Turn::Looked => self.contexts.known(),
            Turn::Lost(range) => self.end(range),
            Turn::Taken {
                range,
                leadership,
                tell,
            } => self.begin(range, leadership, tell)?,
            Turn::Wanted(range) => {
                if let Some(running) = self.running.get(&range) {
                    running.stop.send_replace(true);
                }
            }
        }
        Ok(())
    }

    fn begin(
        &mut self,
        range: usize,
        leadership: Leadership,
        tell: watch::Sender<Told>,
    ) -> Result<(), RunError> {
        let client = leadership.guard(self.config.clone());
        let client = client.map_err(RunError::Client)?;
        let share = Share {
            range,
            of: self.of,
            identity: self.identity.clone(),
            holders: self.holders.clone(),
        };
        let (settings, metrics) = (self.settings.clone(), Arc::clone(&self.metrics));
        let context = Context::new(client, leadership, settings, metrics);
        let context = Arc::new(context.sharing(share, self.fetcher.clone()));
        let (ready, is_ready) = watch::channel(false);
        let (stop, stopped) = watch::channel(false);
        self.contexts.put(range, Arc::clone(&context), is_ready);
        let told = Arc::clone(&context);
        let telling = tokio::spawn(async move { told.tell_for_ever(tell).await });
        let work = context.run(ready, stopped);
        let work = self.ends.spawn(async move { (range, work.await) });
        let running = Running {
            stop,
            work,
            telling: telling.abort_handle(),
        };
        self.running.insert(range, running);
        Ok(())
    }

    /// Cuts off a part for which nothing may be written any more.
    fn end(&mut self, range: usize) {
        self.contexts.remove(range);
        if let Some(running) = self.running.remove(&range) {
            running.work.abort();
            running.telling.abort();
        }
    }

    /// What has ended because another asks for it is given away. Whatever was being written carries a precondition.
    fn ended(&mut self, end: Result<End, JoinError>) -> Result<(), RunError> {
        match end {
            Ok((range, Ok(()))) => {
                self.end(range);
                // Without a keeper there is nothing to give away.
                let _ = self.orders.send(Order::Release(range));
                Ok(())
            }
            Ok((_, Err(ended))) => Err(RunError::Ended(ended)),
            Err(error) if error.is_cancelled() => Ok(()),
            Err(_) => Err(RunError::Ended(controllers::Ended::WORK)),
        }
    }

    /// Ends everything and gives all of it away.
    async fn leave(mut self) {
        let _ = self.orders.send(Order::Leave);
        for running in self.running.values() {
            running.stop.send_replace(true);
        }
        while let Some(end) = self.ends.join_next().await {
            if self.ended(end).is_err() {
                return;
            }
        }
    }
}
