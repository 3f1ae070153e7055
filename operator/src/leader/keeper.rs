//! Keeps the Leases of the ranges that this replica holds, where several replicas share the work.
//!
//! Reads all Leases of the operator's namespace, writes those of ranges. The first range has the Lease that the only
//! leader has otherwise, so whatever asks who leads asks there, and nobody works alone beside those who share.
//!
//! How many ranges there are is said by that Lease. Whoever changes it says first that it is changing, and waits
//! for as long as a Lease lasts; everybody else stops once it has not been seen for [`RENEW_DEADLINE`] to say what
//! they go by. So no two write by different cuts.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{ListParams, ObjectMeta};
use kube::{Api, Client, Config};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::elector::{
    Action, Elector, LEASE_DURATION, Loss, Observation, RENEW_DEADLINE, RETRY_PERIOD,
};
use super::ranges::{Plan, Seen, plan};
use super::told::{self, Told};
use super::{LEASE, Leadership, Newest, REQUEST_DEADLINE, is_lost_race};
use crate::api::create_params;
use crate::clock;

/// By how many ranges the replicas go, on the Lease of the first.
pub const SHARDS: &str = "charttrust.io/shards";

/// What stands there while the number changes.
pub(super) const CHANGING: &str = "changing";

/// Which replica asks for a range, on its Lease.
const WANTED_BY: &str = "charttrust.io/wanted-by";

/// The Lease of a range, by its number.
pub fn lease_of(range: usize) -> String {
    match range {
        0 => LEASE.to_owned(),
        other => format!("{PREFIX}{other}"),
    }
}

/// How long a range may be free that another asks for, before it is anybody's: it is taken at the next look.
const LEFT: Duration = Duration::from_secs(2 * RETRY_PERIOD.as_secs());

const PREFIX: &str = "charttrust-shard-";

/// Who holds each range, by its number, as far as that is known and lasts.
pub type Holders = BTreeMap<usize, String>;

/// What has become of a range.
#[derive(Debug)]
pub enum Turn {
    /// It is ours: work on it may begin.
    Taken {
        /// Which.
        range: usize,
        /// Until when may be written for it.
        leadership: Leadership,
        /// What its Lease tells.
        tell: watch::Sender<Told>,
    },
    /// All Leases were looked at.
    Looked,
    /// It is not ours any more: nothing may be written for it, and nothing is.
    Lost(usize),
    /// Another replica asks for it: work on it ends, and then [`Order::Release`] gives it away.
    Wanted(usize),
}

/// What the keeper is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// This process ends: nothing more is taken.
    Leave,
    /// Nothing is written for this range any more: it is given away.
    Release(usize),
}

/// Keeps Leases.
pub struct Keeper {
    leases: Api<Lease>,
    identity: String,
    slots: Vec<Slot>,
    /// When it was last asked for what has answered that the replicas go by as many ranges as this one.
    agreed: Option<Instant>,
    /// When the number of ranges that we have changed may be gone by.
    changed_at: Option<Instant>,
    is_leaving: bool,
    told: Told,
    turns: mpsc::UnboundedSender<Turn>,
    holders: watch::Sender<Holders>,
}

/// One range.
struct Slot {
    range: usize,
    name: String,
    elector: Elector,
    newest: Newest,
    /// Until when may be written for it, once work on it has begun.
    until: Option<watch::Sender<Option<Instant>>>,
    /// What its Lease tells, once work on it has begun.
    told: Option<watch::Receiver<Told>>,
    /// Since when nobody holds it, as far as it was looked at.
    free_since: Option<Instant>,
    /// Whether work on it is ending because another asks for it.
    is_wanted: bool,
}

/// What becomes of the wish of another replica for a range, when its Lease is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// It is not granted, and may be told again.
    Goes,
    /// It is granted.
    Stays,
}

/// What one look has found, by the names of the Leases.
type Found = BTreeMap<String, Lease>;

impl Keeper {
    /// Takes part under an identity that no other has, with as many ranges, each of whose Leases tells `told` and
    /// what else it is given; what becomes of ranges, and who holds which.
    ///
    /// # Errors
    /// If the configuration cannot be used.
    pub fn new(
        mut config: Config,
        (namespace, of): (&str, usize),
        identity: String,
        told: Told,
    ) -> kube::Result<(
        Self,
        mpsc::UnboundedReceiver<Turn>,
        watch::Receiver<Holders>,
    )> {
        // A renewal that comes late is worth nothing, so nothing is repeated behind our back.
        config.default_retry = false;
        let (turns, taken) = mpsc::unbounded_channel();
        let (holders, held) = watch::channel(Holders::new());
        let slots = (0..of).map(|range| Slot::new(range, &identity));
        let keeper = Self {
            leases: Api::namespaced(Client::try_from(config)?, namespace),
            slots: slots.collect(),
            identity,
            agreed: None,
            changed_at: None,
            is_leaving: false,
            told,
            turns,
            holders,
        };
        Ok((keeper, taken, held))
    }

    /// Keeps the Leases until nobody gives orders any more.
    ///
    /// # Errors
    /// [`Loss::GoneBack`], after which this process should end.
    pub async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) -> Result<(), Loss> {
        loop {
            let pause = self.look().await?;
            match tokio::time::timeout(pause, orders.recv()).await {
                Ok(Some(Order::Leave)) => self.is_leaving = true,
                Ok(Some(Order::Release(range))) => self.release(range).await,
                Ok(None) => return Ok(()),
                Err(_) => {}
            }
        }
    }

    /// Looks at all Leases once and does what follows; returns how long to wait for the next time.
    async fn look(&mut self) -> Result<Duration, Loss> {
        let sent = clock::tick();
        let found = self.read().await;
        if found
            .as_ref()
            .is_some_and(|found| self.has_gone_back(found))
        {
            self.slots.iter_mut().for_each(Slot::stop);
            return Err(Loss::GoneBack);
        }
        if let Some(found) = &found {
            self.agree(found, sent);
        }
        let (renewals, free) = self.step(found.as_ref());
        // Without an answer nothing is known of the others.
        if let Some(found) = &found {
            let seen = self.seen(found, &free);
            let plan = plan(&self.identity, &seen);
            for (range, spec) in renewals {
                let is_granted = plan.give_back.contains(&range) || self.is_ending(range);
                let wish = if is_granted { Wish::Stays } else { Wish::Goes };
                self.write(range, spec, found, wish).await;
            }
            self.follow(&plan, found, free).await;
            self.grant();
            self.publish(found);
            let _ = self.turns.send(Turn::Looked);
        }
        let now = clock::tick();
        let pauses = self.slots.iter().map(|slot| slot.elector.pause(now));
        Ok(pauses.min().unwrap_or(LEASE_DURATION))
    }

    async fn read(&self) -> Option<Found> {
        let listed = self.in_time(self.leases.list(&ListParams::default())).await;
        match listed {
            Ok(list) => {
                let named = |lease: Lease| Some((lease.metadata.name.clone()?, lease));
                let all = list.items.into_iter().filter_map(named);
                Some(
                    all.filter(|(name, _)| name == LEASE || name.starts_with(PREFIX))
                        .collect(),
                )
            }
            Err(error) => {
                warn("list", LEASE, &error);
                None
            }
        }
    }

    fn has_gone_back(&mut self, found: &Found) -> bool {
        let mut slots = self.slots.iter_mut();
        slots.any(|slot| {
            let lease = found.get(&slot.name);
            lease.is_some_and(|lease| slot.newest.has_gone_back(lease))
        })
    }

    /// Whether the others go by as many ranges. If they do not, nothing of what we hold means what we take it for.
    fn agree(&mut self, found: &Found, sent: Instant) {
        match found.get(LEASE).map(|lease| number(&lease.metadata)) {
            Some(number) if number == Some(self.text().as_str()) => self.agreed = Some(sent),
            Some(_) => self.agreed = None,
            // Nobody says otherwise.
            None => {}
        }
        let until = self.agreed_until();
        let now = clock::tick();
        if until.is_none_or(|until| until <= now) {
            let others = self.slots.iter_mut().skip(1).filter(|slot| slot.is_held());
            for slot in others {
                tracing::warn!(
                    range = slot.range,
                    "the replicas do not go by as many ranges"
                );
                slot.lose(&self.turns);
            }
        }
    }

    fn text(&self) -> String {
        self.slots.len().to_string()
    }

    fn agreed_until(&self) -> Option<Instant> {
        self.agreed.map(|agreed| agreed + RENEW_DEADLINE)
    }

    /// What each range asks for by itself: those to renew, and those that are free.
    fn step(
        &mut self,
        found: Option<&Found>,
    ) -> (Vec<(usize, LeaseSpec)>, BTreeMap<usize, LeaseSpec>) {
        let (now, date) = (clock::tick(), clock::now());
        let (mut renewals, mut free) = (Vec::new(), BTreeMap::new());
        for slot in &mut self.slots {
            let observed = match found.map(|found| found.get(&slot.name)) {
                None => Observation::Unanswered,
                Some(None) => Observation::Absent,
                Some(Some(lease)) => Observation::Present(lease.spec.clone().unwrap_or_default()),
            };
            match slot.elector.step(observed, now, date) {
                Action::Create(spec) | Action::Replace(spec) if slot.is_held() => {
                    renewals.push((slot.range, spec));
                }
                Action::Create(spec) | Action::Replace(spec) => {
                    free.insert(slot.range, spec);
                }
                Action::StepDown(loss) => {
                    tracing::warn!(range = slot.range, %loss, "a range was lost");
                    slot.lose(&self.turns);
                }
                Action::Wait => {}
            }
        }
        (renewals, free)
    }

    fn seen(&mut self, found: &Found, free: &BTreeMap<usize, LeaseSpec>) -> Vec<Seen> {
        let now = clock::tick();
        let seen = |slot: &mut Slot| {
            let is_free = free.contains_key(&slot.range);
            let since = is_free.then(|| slot.free_since.unwrap_or(now));
            slot.free_since = since;
            let lease = found.get(&slot.name);
            let holder = lease.and_then(holder).filter(|_| !is_free);
            Seen {
                holder,
                wanted_by: lease.and_then(|lease| annotation(&lease.metadata, WANTED_BY)),
                is_left: since.is_some_and(|since| since + LEFT <= now),
            }
        };
        self.slots.iter_mut().map(seen).collect()
    }

    fn is_ending(&self, range: usize) -> bool {
        self.slots.get(range).is_some_and(|slot| slot.is_wanted)
    }

    /// Takes, asks and gives back as planned.
    async fn follow(&mut self, plan: &Plan, found: &Found, mut free: BTreeMap<usize, LeaseSpec>) {
        for range in &plan.give_back {
            let slot = self
                .slots
                .get_mut(*range)
                .filter(|slot| slot.until.is_some());
            if let Some(slot) = slot.filter(|slot| !slot.is_wanted) {
                tracing::info!(range, "another replica asks for a range");
                slot.is_wanted = true;
                let _ = self.turns.send(Turn::Wanted(*range));
            }
        }
        for range in &plan.take {
            // What another number of ranges says is no range of ours.
            if self.is_leaving || (*range > 0 && self.agreed.is_none()) {
                continue;
            }
            if let Some(spec) = free.remove(range) {
                let lease = found.get(&lease_of(*range));
                self.changed_at = match range {
                    0 => self.changing(lease, found),
                    _ => self.changed_at,
                };
                self.write(*range, spec, found, Wish::Goes).await;
            }
        }
        if let Some(range) = plan.ask.filter(|_| !self.is_leaving) {
            self.ask(range, found).await;
        }
    }

    /// When the ranges may be gone by, if those who wrote before us may have gone by others.
    fn changing(&self, lease: Option<&Lease>, found: &Found) -> Option<Instant> {
        let is_other = match lease.and_then(|lease| number(&lease.metadata)) {
            Some(number) => number != self.text(),
            // One that works alone says nothing of it, and nobody has written beside it.
            None => found
                .iter()
                .any(|(name, lease)| name != LEASE && holder(lease).is_some()),
        };
        is_other.then(|| {
            tracing::warn!(ranges = self.slots.len(), "the number of ranges changes");
            clock::tick() + LEASE_DURATION
        })
    }

    /// Creates the Lease of a range, or replaces it as it was read.
    async fn write(&mut self, range: usize, spec: LeaseSpec, found: &Found, wish: Wish) {
        let sent = clock::tick();
        let number = match self.changed_at {
            Some(at) if sent < at => CHANGING.to_owned(),
            _ => self.text(),
        };
        let is_agreed = number != CHANGING;
        let name = lease_of(range);
        let lease = found.get(&name);
        let mut new = lease.cloned().unwrap_or_default();
        new.metadata.name = Some(name.clone());
        new.metadata.managed_fields = None;
        new.spec = Some(spec);
        let annotations = new.metadata.annotations.get_or_insert_default();
        if wish == Wish::Goes {
            annotations.remove(WANTED_BY);
        }
        if range == 0 {
            annotations.insert(SHARDS.to_owned(), number);
        }
        told::tell(&mut new.metadata, &self.told_of(range, found));
        match self.put(&name, &new).await {
            Ok(written) => {
                if range == 0 && is_agreed {
                    self.agreed = Some(sent);
                }
                if let Some(slot) = self.slots.get_mut(range) {
                    slot.newest.has_gone_back(&written);
                    slot.elector.wrote(sent);
                }
            }
            Err(kube::Error::Api(status)) if is_lost_race(&status) => {}
            Err(error) => warn("write", &name, &error),
        }
    }

    /// Creates what has no version yet, and replaces what has one.
    async fn put(&self, name: &str, lease: &Lease) -> kube::Result<Lease> {
        let params = create_params();
        if lease.metadata.resource_version.is_some() {
            self.in_time(self.leases.replace(name, &params, lease))
                .await
        } else {
            self.in_time(self.leases.create(&params, lease)).await
        }
    }

    /// What the Lease of a range tells; that of the first tells of all.
    fn told_of(&self, range: usize, found: &Found) -> Told {
        let slot = self.slots.get(range);
        let told = slot.and_then(|slot| slot.told.as_ref());
        let told = told.map_or_else(|| self.told.clone(), |told| told.borrow().clone());
        if range > 0 {
            return told;
        }
        let others = self.slots.iter().skip(1);
        let others: Vec<_> = others
            .map(|slot| found.get(&slot.name).map(|lease| &lease.metadata))
            .collect();
        told::of_all(told, &others)
    }

    /// Asks the holder of a range for it.
    async fn ask(&self, range: usize, found: &Found) {
        let name = lease_of(range);
        let Some(mut lease) = found.get(&name).cloned() else {
            return;
        };
        lease.metadata.managed_fields = None;
        let annotations = lease.metadata.annotations.get_or_insert_default();
        annotations.insert(WANTED_BY.to_owned(), self.identity.clone());
        match self.put(&name, &lease).await {
            Ok(_) => tracing::info!(range, "asked for a range of another replica"),
            Err(kube::Error::Api(status)) if is_lost_race(&status) => {}
            Err(error) => warn("write", &name, &error),
        }
    }

    /// Has work begin on what is held, and last as long as it is.
    fn grant(&mut self) {
        let is_changing = self.changed_at.is_some_and(|at| clock::tick() < at);
        let agreed = self.agreed_until();
        for slot in &mut self.slots {
            let Some(until) = slot.elector.leads_until().filter(|_| !is_changing) else {
                continue;
            };
            let until = match slot.range {
                0 => Some(until),
                _ => agreed.map(|agreed| agreed.min(until)),
            };
            let Some(until) = until else { continue };
            if slot.until.is_none() {
                let turn = slot.begin(self.told.clone());
                let _ = self.turns.send(turn);
            }
            if let Some(granted) = &slot.until {
                granted.send_replace(Some(until));
            }
        }
    }

    fn publish(&self, found: &Found) {
        let mut holders = Holders::new();
        for slot in &self.slots {
            let other = || found.get(&slot.name).and_then(holder);
            let holder = match slot.until {
                Some(_) => Some(self.identity.clone()),
                None if slot.free_since.is_some() => None,
                None => other().filter(|holder| *holder != self.identity),
            };
            holders.extend(holder.map(|holder| (slot.range, holder)));
        }
        self.holders.send_if_modified(|known| {
            let is_news = *known != holders;
            *known = holders;
            is_news
        });
    }

    /// Gives a range away, so that another replica need not wait for its end.
    async fn release(&mut self, range: usize) {
        let name = lease_of(range);
        let Some(slot) = self.slots.get_mut(range) else {
            return;
        };
        slot.stop();
        let lease = self.in_time(self.leases.get_opt(&name)).await;
        let (Ok(Some(mut lease)), Some(slot)) = (lease, self.slots.get_mut(range)) else {
            return;
        };
        let spec = lease.spec.take().unwrap_or_default();
        let Some(spec) = slot.elector.release(&spec) else {
            return;
        };
        lease.spec = Some(spec);
        lease.metadata.managed_fields = None;
        match self.put(&name, &lease).await {
            Ok(_) => tracing::info!(range, "a range was given back"),
            Err(error) => warn("release", &name, &error),
        }
    }

    /// Bounds a request, so that the end of no Lease is slept through.
    async fn in_time<T>(&self, request: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
        let patience = clock::tick() + REQUEST_DEADLINE;
        let ends = self
            .slots
            .iter()
            .filter_map(|slot| slot.elector.leads_until());
        let until = ends.min().map_or(patience, |until| until.min(patience));
        let answer = tokio::time::timeout_at(until, request).await;
        answer.unwrap_or_else(|_| Err(kube::Error::Service("no answer in time".into())))
    }
}

impl Slot {
    fn new(range: usize, identity: &str) -> Self {
        Self {
            range,
            name: lease_of(range),
            elector: Elector::new(identity.to_owned()),
            newest: Newest::default(),
            until: None,
            told: None,
            free_since: None,
            is_wanted: false,
        }
    }

    fn is_held(&self) -> bool {
        self.elector.leads_until().is_some()
    }

    fn begin(&mut self, told: Told) -> Turn {
        let (until, granted) = watch::channel(None);
        let (tell, told) = watch::channel(told);
        self.until = Some(until);
        self.told = Some(told);
        self.free_since = None;
        tracing::info!(range = self.range, "this replica takes a range");
        Turn::Taken {
            range: self.range,
            leadership: Leadership::Elected(granted),
            tell,
        }
    }

    /// Nothing may be written for it from now on.
    fn stop(&mut self) {
        if let Some(until) = self.until.take() {
            // Whoever holds the other end keeps what was sent last.
            until.send_replace(None);
        }
        self.told = None;
        self.is_wanted = false;
    }

    fn lose(&mut self, turns: &mpsc::UnboundedSender<Turn>) {
        let had_begun = self.until.is_some();
        self.stop();
        // What the Lease says stays; nothing is renewed by it.
        self.elector.release(&LeaseSpec::default());
        if had_begun {
            let _ = turns.send(Turn::Lost(self.range));
        }
    }
}

/// An empty holder is none: other clients release a lease that way.
fn holder(lease: &Lease) -> Option<String> {
    let holder = lease.spec.as_ref()?.holder_identity.clone();
    holder.filter(|holder| !holder.is_empty())
}

/// By how many ranges those go who hold the Lease of the first, or that it changes.
pub(super) fn number(metadata: &ObjectMeta) -> Option<&str> {
    let annotations = metadata.annotations.as_ref()?;
    annotations.get(SHARDS).map(String::as_str)
}

fn annotation(metadata: &ObjectMeta, name: &str) -> Option<String> {
    metadata.annotations.as_ref()?.get(name).cloned()
}

fn warn(what: &str, lease: &str, error: &kube::Error) {
    tracing::warn!(
        lease,
        error = error as &dyn std::error::Error,
        "failed to {what} the leases of ranges; without them nothing is judged"
    );
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::fake_cluster::FakeCluster;

    const NAMESPACE: &str = "charttrust-system";

    /// A replica, and what it has become of its ranges so far.
    struct Replica {
        keeper: Keeper,
        turns: mpsc::UnboundedReceiver<Turn>,
        holders: watch::Receiver<Holders>,
        held: BTreeMap<usize, Leadership>,
        wanted: BTreeSet<usize>,
    }

    impl Replica {
        fn new(config: &Config, identity: &str, of: usize) -> Self {
            let told = Told::default();
            let keeper = Keeper::new(config.clone(), (NAMESPACE, of), identity.to_owned(), told);
            let (keeper, turns, holders) = keeper.unwrap();
            Self {
                keeper,
                turns,
                holders,
                held: BTreeMap::new(),
                wanted: BTreeSet::new(),
            }
        }

        async fn look(&mut self) {
            self.keeper.look().await.unwrap();
            while let Ok(turn) = self.turns.try_recv() {
                match turn {
                    Turn::Taken {
                        range, leadership, ..
                    } => drop(self.held.insert(range, leadership)),
                    Turn::Lost(range) => drop(self.held.remove(&range)),
                    Turn::Wanted(range) => drop(self.wanted.insert(range)),
                    Turn::Looked => {}
                }
            }
        }

        /// As when work on what is asked for has ended.
        async fn give_back(&mut self) {
            for range in std::mem::take(&mut self.wanted) {
                self.held.remove(&range);
                self.keeper.release(range).await;
            }
        }

        /// The ranges for which it may write at this moment.
        fn may_write(&self) -> Vec<usize> {
            let held = self
                .held
                .iter()
                .filter(|(_, leadership)| leadership.is_held());
            held.map(|(range, _)| *range).collect()
        }
    }

    async fn server() -> (FakeCluster, Config) {
        let cluster = FakeCluster::default();
        let (server, _) = cluster.clone().start().await;
        let config = Config::new(server.uri().parse().unwrap());
        // The server has to outlive this.
        Box::leak(Box::new(server));
        (cluster, config)
    }

    async fn passes(time: Duration) {
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
    }

    fn path(range: usize) -> String {
        let name = lease_of(range);
        format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{name}")
    }

    #[tokio::test]
    async fn one_takes_everything_and_shares_it_with_one_that_comes() {
        let (_, config) = server().await;
        let mut first = Replica::new(&config, "a", 4);
        first.look().await;
        assert_eq!(first.may_write(), [0, 1, 2, 3]);
        let mut second = Replica::new(&config, "b", 4);
        for _ in 0..6 {
            second.look().await;
            first.look().await;
            first.give_back().await;
            let both: BTreeSet<_> = first.may_write().into_iter().collect();
            assert!(second.may_write().iter().all(|range| !both.contains(range)));
        }
        second.look().await;
        assert_eq!(first.may_write(), [0, 1]);
        assert_eq!(second.may_write(), [2, 3]);
        first.look().await;
        let holders = [(0, "a"), (1, "a"), (2, "b"), (3, "b")];
        let holders = holders.map(|(range, who)| (range, who.to_owned()));
        for replica in [&first, &second] {
            assert_eq!(*replica.holders.borrow(), Holders::from(holders.clone()));
        }
    }

    #[tokio::test]
    async fn what_is_not_renewed_is_taken_over_and_was_not_written_for_before() {
        let (_, config) = server().await;
        let [mut first, mut second] = ["a", "b"].map(|name| Replica::new(&config, name, 2));
        first.look().await;
        second.look().await;
        first.look().await;
        first.give_back().await;
        second.look().await;
        assert_eq!((first.may_write(), second.may_write()), (vec![0], vec![1]));
        // The second hangs.
        first.look().await;
        passes(Duration::from_secs(9)).await;
        first.look().await;
        assert_eq!(second.may_write(), [1]);
        passes(Duration::from_secs(1)).await;
        assert_eq!(second.may_write(), [] as [usize; 0]);
        passes(Duration::from_secs(4)).await;
        first.look().await;
        assert_eq!(first.may_write(), [0], "14 s");
        passes(Duration::from_secs(1)).await;
        for _ in 0..2 {
            first.look().await;
        }
        assert_eq!(first.may_write(), [0, 1]);
        second.look().await;
        assert!(second.held.is_empty());
    }

    /// Looks follow each other at once where several ranges are given back.
    #[tokio::test]
    async fn what_was_promised_is_left_to_whoever_asks_unless_it_does_not_come() {
        let (_, config) = server().await;
        let [mut first, mut second] = ["a", "b"].map(|name| Replica::new(&config, name, 4));
        first.look().await;
        second.look().await;
        first.look().await;
        first.give_back().await;
        for _ in 0..5 {
            first.look().await;
        }
        assert_eq!(first.may_write(), [0, 1, 2]);
        passes(LEFT).await;
        first.look().await;
        assert_eq!(first.may_write(), [0, 1, 2, 3]);
    }

    /// Nobody works by another number of ranges beside those who still may by the old one.
    #[tokio::test]
    async fn whoever_changes_the_number_of_ranges_waits_until_all_others_have_ended() {
        let (cluster, config) = server().await;
        let mut old = Replica::new(&config, "old", 2);
        old.look().await;
        assert_eq!(old.may_write(), [0, 1]);
        // It gives away the first range, and still works on the other.
        old.held.remove(&0);
        old.keeper.is_leaving = true;
        old.keeper.release(0).await;
        let mut new = Replica::new(&config, "new", 3);
        new.look().await;
        assert!(
            new.held.is_empty(),
            "it has only said that the number changes"
        );
        let lease = cluster.find(&path(0)).unwrap();
        assert_eq!(lease["metadata"]["annotations"][SHARDS], CHANGING);
        assert_eq!(old.may_write(), [1]);
        old.look().await;
        assert_eq!(old.may_write(), [] as [usize; 0]);
        let second = Duration::from_secs(1);
        for _ in 0..7 {
            passes(2 * second).await;
            new.look().await;
        }
        assert!(new.held.is_empty(), "14 s");
        passes(2 * second).await;
        new.look().await;
        assert_eq!(new.may_write()[..1], [0]);
        new.look().await;
        let lease = cluster.find(&path(0)).unwrap();
        assert_eq!(lease["metadata"]["annotations"][SHARDS], "3");
        for _ in 0..2 {
            new.look().await;
        }
        assert_eq!(new.may_write(), [0, 1, 2]);
    }

    #[tokio::test]
    async fn one_that_goes_by_another_number_takes_nothing_and_waits_for_nobody_who_works_alone() {
        let (cluster, config) = server().await;
        let alone =
            serde_json::json!({"metadata": {"name": LEASE}, "spec": {"holderIdentity": "alone"}});
        cluster.put(&path(0), alone.clone());
        let mut replica = Replica::new(&config, "a", 2);
        for _ in 0..3 {
            replica.look().await;
        }
        assert!(replica.held.is_empty());
        // What works alone gives its Lease away when nothing is written any more.
        let mut released = alone;
        released["spec"]["holderIdentity"] = serde_json::Value::Null;
        cluster.put(&path(0), released);
        replica.look().await;
        assert_eq!(replica.may_write(), [0, 1]);
    }

    #[tokio::test]
    async fn a_server_that_has_gone_back_ends_everything() {
        let (cluster, config) = server().await;
        for _ in 0..9 {
            cluster.put(
                &path(1),
                serde_json::json!({"metadata": {"name": lease_of(1)}}),
            );
        }
        let mut replica = Replica::new(&config, "a", 2);
        replica.look().await;
        assert_eq!(replica.may_write(), [0, 1]);
        let mut older = cluster.find(&path(1)).unwrap();
        older["metadata"]["resourceVersion"] = serde_json::json!("1");
        cluster.hold(&path(1), older);
        assert_eq!(replica.keeper.look().await, Err(Loss::GoneBack));
        assert_eq!(replica.may_write(), [] as [usize; 0]);
    }
}
