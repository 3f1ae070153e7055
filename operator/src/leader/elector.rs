//! What to do next about the lease: pure, so that every order of events can be tried.
//!
//! Holds by time of this process only. The dates inside a lease are for people: they are written,
//! and never compared with a clock. The timings are those of Kubernetes' own client.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, TimestampRound, Unit};
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::time::Instant;

/// How long a lease must have been seen unchanged before another replica takes it.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// How long after it sent its last successful renewal a leader may write. Shorter than
/// [`LEASE_DURATION`], which bears clocks that run at different speeds.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Longest pause between two looks at the lease.
pub const RETRY_PERIOD: Duration = Duration::from_secs(2);

/// One replica's view of the lease.
#[derive(Debug)]
pub struct Elector {
    identity: String,
    /// The lease as it was last read, and since when it has looked like that.
    seen: Option<(LeaseSpec, Instant)>,
    /// Until when this replica may write.
    leads_until: Option<Instant>,
}

/// What a look at the lease brought.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// There is none.
    Absent,
    /// What the server has.
    Present(LeaseSpec),
    /// No answer, or a refusal.
    Unanswered,
}

/// What to do about it.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create the lease; it must not exist.
    Create(LeaseSpec),
    /// Replace what was read; it must not have changed since.
    Replace(LeaseSpec),
    /// Write nothing any more, to nothing: somebody else may.
    StepDown(Loss),
    /// Look again later.
    Wait,
}

/// Why a leader is none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// The lease could not be renewed in time.
    #[error("the lease was not renewed for {} s", RENEW_DEADLINE.as_secs())]
    Expired,
    /// What the server has is older than what it had.
    #[error(
        "the API server has gone back to an older state, as after a restored snapshot of etcd: everything is \
         read anew"
    )]
    GoneBack,
    /// Another replica has taken the lease.
    #[error("another replica holds the lease")]
    Taken,
}

impl Elector {
    /// A replica that has seen nothing yet. No two may ever have the same identity.
    pub fn new(identity: String) -> Self {
        Self {
            identity,
            seen: None,
            leads_until: None,
        }
    }

    /// Until when this replica may write, if at all.
    pub fn leads_until(&self) -> Option<Instant> {
        self.leads_until
    }

    /// Decides. `now` is after the look was answered; `date` is only written into the lease.
    pub fn step(&mut self, observed: Observation, now: Instant, date: Timestamp) -> Action {
        if self.leads_until.is_some_and(|until| until <= now) {
            return self.step_down(Loss::Expired);
        }
        let spec = match observed {
            Observation::Absent => return Action::Create(self.claim(LeaseSpec::default(), date)),
            Observation::Present(spec) => spec,
            Observation::Unanswered => return Action::Wait,
        };
        let is_stale = self.has_not_changed(&spec, now);
        match holder(&spec) {
            // Also after a claim whose answer was lost: nobody else has this identity.
            Some(holder) if *holder == self.identity => Action::Replace(renewed(spec, date)),
            Some(_) if self.leads_until.is_some() => self.step_down(Loss::Taken),
            Some(_) if !is_stale => Action::Wait,
            _ => Action::Replace(self.claim(spec, date)),
        }
    }

    /// The server has accepted what [`Self::step`] asked for, in a request sent at `sent`.
    pub fn wrote(&mut self, sent: Instant) {
        self.leads_until = Some(sent + RENEW_DEADLINE);
    }

    /// How long to wait before the next look.
    pub fn pause(&self, now: Instant) -> Duration {
        let stale = self.seen.as_ref().map(|(_, since)| *since + LEASE_DURATION);
        let until = self.leads_until.or(stale).filter(|until| *until > now);
        until.map_or(RETRY_PERIOD, |until| RETRY_PERIOD.min(until - now))
    }

    /// The lease without a holder, if it is ours to give away; leadership ends with it.
    pub fn release(&mut self, spec: &LeaseSpec) -> Option<LeaseSpec> {
        self.leads_until = None;
        let is_ours = holder(spec) == Some(&self.identity);
        is_ours.then(|| LeaseSpec {
            holder_identity: None,
            ..spec.clone()
        })
    }

    fn step_down(&mut self, loss: Loss) -> Action {
        self.leads_until = None;
        Action::StepDown(loss)
    }

    /// Whether the lease has looked the same for [`LEASE_DURATION`]. Each renewal changes it.
    fn has_not_changed(&mut self, spec: &LeaseSpec, now: Instant) -> bool {
        match &self.seen {
            Some((seen, since)) if seen == spec => *since + LEASE_DURATION <= now,
            _ => {
                self.seen = Some((spec.clone(), now));
                false
            }
        }
    }

    fn claim(&self, before: LeaseSpec, date: Timestamp) -> LeaseSpec {
        let transitions = before.lease_transitions.map(|n| n.saturating_add(1));
        let claimed = renewed(before, date);
        LeaseSpec {
            acquire_time: claimed.renew_time.clone(),
            holder_identity: Some(self.identity.clone()),
            lease_transitions: Some(transitions.unwrap_or(0)),
            ..claimed
        }
    }
}

/// An empty holder is none: other clients release a lease that way.
fn holder(spec: &LeaseSpec) -> Option<&String> {
    spec.holder_identity
        .as_ref()
        .filter(|holder| !holder.is_empty())
}

fn renewed(spec: LeaseSpec, date: Timestamp) -> LeaseSpec {
    let renew_time = Some(MicroTime(after(spec.renew_time.as_ref(), date)));
    LeaseSpec {
        lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
        renew_time,
        ..spec
    }
}

/// The date, or a microsecond after the last renewal if the clock went back or stands still: a
/// renewal must change the lease, or others would take it for abandoned.
fn after(last: Option<&MicroTime>, date: Timestamp) -> Timestamp {
    let micros = TimestampRound::new()
        .smallest(Unit::Microsecond)
        .mode(jiff::RoundMode::Floor);
    // Invariant: rounding down stays representable.
    let date = date.round(micros).unwrap_or(date);
    let next = last.and_then(|last| last.0.checked_add(SignedDuration::from_micros(1)).ok());
    next.map_or(date, |next| date.max(next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const A: &str = "a";
    const B: &str = "b";

    fn elector(identity: &str) -> Elector {
        Elector::new(identity.to_owned())
    }

    fn date(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn held(holder: &str, renewed: i64) -> LeaseSpec {
        LeaseSpec {
            acquire_time: Some(MicroTime(date(0))),
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(3),
            renew_time: Some(MicroTime(date(renewed))),
            ..LeaseSpec::default()
        }
    }

    fn present(holder: &str, renewed: i64) -> Observation {
        Observation::Present(held(holder, renewed))
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// What a replica that neither leads nor has looked before does.
    fn first_step(observed: Observation) -> Action {
        elector(A).step(observed, clock::tick(), date(5))
    }

    #[test]
    fn an_absent_lease_is_created() {
        let Action::Create(spec) = first_step(Observation::Absent) else {
            panic!("not created");
        };
        assert_eq!(spec.holder_identity.as_deref(), Some(A));
        assert_eq!(spec.lease_transitions, Some(0));
        assert_eq!(spec.lease_duration_seconds, Some(15));
        assert_eq!((spec.acquire_time, spec.renew_time), {
            let at = Some(MicroTime(date(5)));
            (at.clone(), at)
        });
    }

    #[test]
    fn a_released_lease_is_taken_at_once_and_counted() {
        for nobody in [None, Some(String::new())] {
            let spec = LeaseSpec {
                holder_identity: nobody,
                ..held(B, 4)
            };
            let Action::Replace(spec) = first_step(Observation::Present(spec)) else {
                panic!("not taken");
            };
            assert_eq!(spec.holder_identity.as_deref(), Some(A));
            assert_eq!(spec.lease_transitions, Some(4));
        }
    }

    #[test]
    fn a_lease_of_another_is_waited_for_whatever_its_date() {
        for renewed in [-1_000_000_000, 5, 1_000_000_000] {
            assert_eq!(first_step(present(B, renewed)), Action::Wait);
        }
    }

    #[test]
    fn no_answer_is_waited_for() {
        assert_eq!(first_step(Observation::Unanswered), Action::Wait);
    }

    #[test]
    fn a_lease_is_taken_once_it_was_seen_unchanged_long_enough() {
        let start = clock::tick();
        let mut us = elector(A);
        let mut step = |at, renewed| us.step(present(B, renewed), start + at, date(0));
        assert_eq!(step(seconds(0), 1), Action::Wait);
        assert_eq!(step(seconds(14), 2), Action::Wait, "it was renewed");
        assert_eq!(step(seconds(28), 2), Action::Wait, "14 s unchanged");
        assert!(matches!(step(seconds(29), 2), Action::Replace(_)));
    }

    #[test]
    fn missing_answers_do_not_hide_a_renewal() {
        let start = clock::tick();
        let mut us = elector(A);
        us.step(present(B, 1), start, date(0));
        us.step(Observation::Unanswered, start + seconds(10), date(0));
        let action = us.step(present(B, 2), start + seconds(20), date(0));
        assert_eq!(action, Action::Wait);
    }

    /// Clock of the writer before and after: ordinary, standing still, a year back, a year ahead.
    #[test]
    fn every_renewal_changes_the_lease_whatever_the_clock_does() {
        for jump in [2, 0, -31_536_000, 31_536_000] {
            let before = held(A, 0);
            let Action::Replace(after) = elector(A).step(
                Observation::Present(before.clone()),
                clock::tick(),
                date(jump),
            ) else {
                panic!("not renewed");
            };
            assert!(after.renew_time > before.renew_time, "{jump}");
            assert_eq!(after.acquire_time, before.acquire_time);
            assert_eq!(after.lease_transitions, before.lease_transitions);
        }
    }

    #[test]
    fn a_renewal_is_later_by_what_the_server_stores() {
        let last = MicroTime(date(0));
        let sooner = date(0) + SignedDuration::from_nanos(900);
        assert_eq!(
            after(Some(&last), sooner),
            date(0) + SignedDuration::from_micros(1)
        );
    }

    #[test]
    fn a_claim_whose_answer_was_lost_is_known_by_its_identity() {
        let action = first_step(present(A, 1));
        assert!(matches!(action, Action::Replace(_)), "{action:?}");
    }

    #[test]
    fn leadership_counts_from_when_the_request_was_sent() {
        let sent = clock::tick();
        let mut us = elector(A);
        us.wrote(sent);
        assert_eq!(us.leads_until(), Some(sent + RENEW_DEADLINE));
        assert_eq!(
            us.step(Observation::Unanswered, sent + seconds(9), date(0)),
            Action::Wait
        );
        let late = us.step(present(A, 1), sent + seconds(10), date(0));
        assert_eq!(late, Action::StepDown(Loss::Expired));
        assert_eq!(us.leads_until(), None);
    }

    #[test]
    fn a_leader_that_sees_another_holder_steps_down() {
        let sent = clock::tick();
        let mut us = elector(A);
        us.wrote(sent);
        let action = us.step(present(B, 1), sent + seconds(1), date(0));
        assert_eq!(action, Action::StepDown(Loss::Taken));
        assert_eq!(us.leads_until(), None);
    }

    #[test]
    fn a_leader_whose_lease_was_removed_makes_it_again() {
        let sent = clock::tick();
        let mut us = elector(A);
        us.wrote(sent);
        let action = us.step(Observation::Absent, sent + seconds(1), date(0));
        assert!(matches!(action, Action::Create(_)));
    }

    #[test]
    fn only_the_own_lease_is_released() {
        let mut us = elector(A);
        us.wrote(clock::tick());
        let released = us.release(&held(A, 1)).unwrap();
        assert_eq!(holder(&released), None);
        assert_eq!(released.lease_transitions, Some(3));
        assert_eq!(us.leads_until(), None);
        assert_eq!(us.release(&held(B, 1)), None);
        assert_eq!(us.release(&released), None);
    }

    #[test]
    fn the_next_look_is_when_something_could_change() {
        let start = clock::tick();
        let mut us = elector(A);
        assert_eq!(us.pause(start), RETRY_PERIOD);
        us.step(present(B, 1), start, date(0));
        assert_eq!(us.pause(start), RETRY_PERIOD);
        assert_eq!(us.pause(start + seconds(14)), seconds(1));
        assert_eq!(us.pause(start + seconds(16)), RETRY_PERIOD);
        us.wrote(start);
        assert_eq!(us.pause(start + seconds(9)), seconds(1));
    }
}

#[cfg(test)]
mod simulation {
    //! Replicas and a server in every order that chance brings: answers are lost on the way, writes
    //! arrive late, clocks jump. Nobody may ever write beside another.

    use proptest::prelude::*;

    use super::*;

    const REPLICAS: usize = 3;

    /// What happens next to one replica.
    #[derive(Clone, Debug)]
    struct Turn {
        replica: usize,
        /// Milliseconds that pass before its look, and before its write arrives.
        delays: [u64; 2],
        fate: Fate,
        /// Seconds by which the wall clock is off.
        date: i64,
    }

    /// How a turn goes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Fate {
        /// The write arrives, its answer does not.
        AnswerLost,
        /// All messages arrive.
        Delivered,
        /// The look is not answered.
        LookLost,
        /// The replica gives the lease away.
        Released,
        /// The write does not arrive.
        WriteLost,
    }

    fn fate() -> impl Strategy<Value = Fate> {
        prop_oneof![
            1 => Just(Fate::AnswerLost),
            8 => Just(Fate::Delivered),
            1 => Just(Fate::LookLost),
            1 => Just(Fate::Released),
            1 => Just(Fate::WriteLost),
        ]
    }

    prop_compose! {
        fn turn()(
            replica in 0..REPLICAS,
            delays in [0..6_000_u64, 0..3_000_u64],
            fate in fate(),
            date in -100_000_000..100_000_000_i64,
        ) -> Turn {
            Turn { replica, delays, fate, date }
        }
    }

    /// The server: a lease and how often it was written.
    #[derive(Clone, Debug, Default)]
    struct Server {
        lease: Option<LeaseSpec>,
        version: u64,
    }

    impl Server {
        fn write(&mut self, expected: u64, spec: LeaseSpec) -> bool {
            let matches = self.version == expected;
            if matches {
                self.lease = Some(spec);
                self.version += 1;
            }
            matches
        }
    }

    /// A write that is on its way.
    struct OnItsWay {
        replica: usize,
        arrives: Instant,
        sent: Instant,
        expected: u64,
        spec: LeaseSpec,
        is_answered: bool,
    }

    struct Play {
        now: Instant,
        server: Server,
        electors: Vec<Elector>,
        on_its_way: Vec<OnItsWay>,
        gone: [bool; REPLICAS],
        takeovers: usize,
    }

    impl Play {
        fn new() -> Self {
            Self {
                now: crate::clock::tick(),
                server: Server::default(),
                electors: (0..REPLICAS)
                    .map(|n| Elector::new(format!("replica-{n}")))
                    .collect(),
                on_its_way: Vec::new(),
                gone: [false; REPLICAS],
                takeovers: 0,
            }
        }

        fn pass(&mut self, millis: u64) {
            let end = self.now + Duration::from_millis(millis);
            let (mut due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.on_its_way)
                .into_iter()
                .partition(|write| write.arrives <= end);
            self.on_its_way = later;
            due.sort_by_key(|write| write.arrives);
            for write in due {
                self.now = write.arrives;
                let taken = self.server.write(write.expected, write.spec);
                if taken && write.is_answered && !self.gone[write.replica] {
                    let elector = &mut self.electors[write.replica];
                    self.takeovers += usize::from(elector.leads_until().is_none());
                    elector.wrote(write.sent);
                }
                self.check();
            }
            self.now = end;
            self.check();
        }

        fn check(&self) {
            let writers = self.electors.iter().enumerate().filter(|(n, elector)| {
                !self.gone[*n] && elector.leads_until().is_some_and(|until| self.now < until)
            });
            assert!(writers.count() <= 1, "two leaders");
        }

        fn take(&mut self, turn: &Turn) {
            self.pass(turn.delays[0]);
            let n = turn.replica;
            if self.gone[n] || self.on_its_way.iter().any(|write| write.replica == n) {
                return;
            }
            let expected = self.server.version;
            let observed = match (&self.server.lease, turn.fate) {
                (_, Fate::LookLost) => Observation::Unanswered,
                (Some(lease), _) => Observation::Present(lease.clone()),
                (None, _) => Observation::Absent,
            };
            let elector = &mut self.electors[n];
            if let (Fate::Released, Observation::Present(lease)) = (turn.fate, &observed) {
                if let Some(spec) = elector.release(lease) {
                    self.server.write(expected, spec);
                }
                return;
            }
            let date = Timestamp::from_second(1_800_000_000 + turn.date).unwrap();
            match elector.step(observed, self.now, date) {
                Action::Create(spec) | Action::Replace(spec) if turn.fate != Fate::WriteLost => {
                    self.on_its_way.push(OnItsWay {
                        replica: n,
                        arrives: self.now + Duration::from_millis(turn.delays[1]),
                        sent: self.now,
                        expected,
                        spec,
                        is_answered: turn.fate != Fate::AnswerLost,
                    });
                }
                Action::Create(_) | Action::Replace(_) | Action::Wait => {}
                Action::StepDown(_) => self.gone[n] = true,
            }
            // A process that ended is started again, under another identity.
            if self.gone[n] {
                self.gone[n] = false;
                self.electors[n] = Elector::new(format!("again-{n}-{}", self.server.version));
            }
            self.check();
        }
    }

    proptest! {
        #[test]
        fn two_never_lead_at_a_time(turns in prop::collection::vec(turn(), 1..200)) {
            let mut play = Play::new();
            for turn in &turns {
                play.take(turn);
            }
        }
    }

    /// The property says nothing if nobody ever leads.
    #[test]
    fn an_undisturbed_replica_leads_and_one_that_stops_is_followed() {
        let mut play = Play::new();
        let quiet = |replica| Turn {
            replica,
            delays: [1_000, 10],
            fate: Fate::Delivered,
            date: 0,
        };
        for _ in 0..5 {
            play.take(&quiet(0));
            play.take(&quiet(1));
        }
        assert_eq!(play.takeovers, 1);
        let mut seconds_until_taken = 0;
        while play.takeovers == 1 {
            play.take(&quiet(1));
            seconds_until_taken += 1;
        }
        assert!(
            (14..=17).contains(&seconds_until_taken),
            "{seconds_until_taken}"
        );
    }
}
