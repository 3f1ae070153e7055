//! I9: of several replicas, one writes.

use jiff::Timestamp;

use super::{Breach, By};
use crate::audit::Event;

/// Who leads, as the Lease tells it.
#[derive(Debug, Default)]
pub(super) struct Writers {
    /// The replica that wrote the lease last, since it took it over from another.
    leader: Option<(String, Timestamp)>,
}

impl Writers {
    /// Takes in a write that succeeded. What arrived before another replica had taken the lease was
    /// its sender's right.
    pub(super) fn note(&mut self, event: &Event, by: By) -> Option<Breach> {
        if by == By::Others {
            return None;
        }
        if event.resource == "leases" {
            let is_new = self
                .leader
                .as_ref()
                .is_none_or(|(leader, _)| *leader != event.user);
            if is_new {
                self.leader = Some((event.user.clone(), event.time));
            }
            return None;
        }
        if event.resource == "events" {
            // What it says was so when it was sent, and it changes nothing.
            return None;
        }
        let (leader, since) = self.leader.as_ref()?;
        let is_late = *leader != event.user && event.time > *since;
        let message = || format!("{} wrote, and {leader} leads", event.user);
        is_late.then(|| Breach::of("I9", event, message()))
    }
}
