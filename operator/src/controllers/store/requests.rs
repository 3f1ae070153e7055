//! Looks that policies asked for by annotation, remembered until all of them have ended.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::inventory::ReleaseId;

/// How long an answer waits for the looks; one source that hangs holds no answer back for ever.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The last request of each policy, by its name.
#[derive(Debug, Default)]
pub struct PolicyRequests(Mutex<BTreeMap<String, Request>>);

#[derive(Debug)]
struct Request {
    /// The value of the annotation.
    asked: String,
    /// Releases that are to be looked up, each with the number of its own request.
    owed: BTreeMap<ReleaseId, u64>,
    /// When the answer comes in any case.
    until: Instant,
}

impl PolicyRequests {
    /// Notes what a value of the annotation has asked for; an earlier request is superseded.
    pub fn ask(&self, policy: &str, asked: String, owed: BTreeMap<ReleaseId, u64>, now: Instant) {
        let request = Request {
            asked,
            owed,
            until: now + PATIENCE,
        };
        self.requests().insert(policy.to_owned(), request);
    }

    /// Whether every look that this value asked for has ended, or patience has.
    pub fn is_handled(
        &self,
        policy: &str,
        asked: &str,
        now: Instant,
        has_ended: impl Fn(&ReleaseId, u64) -> bool,
    ) -> bool {
        let mut requests = self.requests();
        let Some(request) = requests.get_mut(policy).filter(|r| r.asked == asked) else {
            return false;
        };
        request.owed.retain(|id, number| !has_ended(id, *number));
        if request.until <= now {
            request.owed.clear();
        }
        request.owed.is_empty()
    }

    /// When the answer to a policy comes in any case; `None` if nothing is owed.
    pub fn deadline(&self, policy: &str) -> Option<Instant> {
        let requests = self.requests();
        let request = requests.get(policy)?;
        (!request.owed.is_empty()).then_some(request.until)
    }

    /// The policies whose answer waits for a look at this release.
    pub fn waiting_for(&self, id: &ReleaseId) -> Vec<String> {
        let requests = self.requests();
        let waiting = requests
            .iter()
            .filter(|(_, request)| request.owed.contains_key(id));
        waiting.map(|(policy, _)| policy.clone()).collect()
    }

    /// Forgets a policy that is gone.
    pub fn forget(&self, policy: &str) {
        self.requests().remove(policy);
    }

    fn requests(&self) -> MutexGuard<'_, BTreeMap<String, Request>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ReleaseId {
        ReleaseId {
            namespace: "shop".into(),
            name: name.into(),
        }
    }

    fn asked(now: Instant) -> PolicyRequests {
        let requests = PolicyRequests::default();
        let owed = BTreeMap::from([(id("a"), 3), (id("b"), 1)]);
        requests.ask("policy", "monday".into(), owed, now);
        requests
    }

    #[test]
    fn a_request_is_handled_when_the_last_look_has_ended() {
        let now = crate::clock::tick();
        let requests = asked(now);
        let handled = |ended: &[(&str, u64)]| {
            let has_ended = |one: &ReleaseId, number: u64| {
                ended
                    .iter()
                    .any(|(name, answered)| *one == id(name) && number <= *answered)
            };
            requests.is_handled("policy", "monday", now, has_ended)
        };
        assert!(!handled(&[]));
        assert!(!handled(&[("a", 2), ("b", 1)]), "an earlier look at a");
        assert_eq!(requests.waiting_for(&id("a")), ["policy"]);
        assert!(requests.waiting_for(&id("b")).is_empty());
        assert!(handled(&[("a", 3)]));
        assert!(handled(&[]), "what was handled stays so");
        assert_eq!(requests.deadline("policy"), None);
    }

    #[test]
    fn only_the_value_that_asked_is_answered() {
        let now = crate::clock::tick();
        let requests = asked(now);
        let all = |_: &ReleaseId, _| true;
        assert!(!requests.is_handled("policy", "tuesday", now, all));
        assert!(!requests.is_handled("other", "monday", now, all));
        assert!(requests.is_handled("policy", "monday", now, all));
        requests.forget("policy");
        assert!(!requests.is_handled("policy", "monday", now, all));
    }

    #[test]
    fn a_request_without_releases_is_handled_at_once() {
        let requests = PolicyRequests::default();
        let now = crate::clock::tick();
        requests.ask("policy", "monday".into(), BTreeMap::new(), now);
        assert!(requests.is_handled("policy", "monday", now, |_, _| false));
    }

    #[test]
    fn patience_ends() {
        let now = crate::clock::tick();
        let requests = asked(now);
        let none = |_: &ReleaseId, _| false;
        let end = requests.deadline("policy").unwrap();
        assert_eq!(end, now + PATIENCE);
        let before = end.checked_sub(Duration::from_millis(1)).unwrap();
        assert!(!requests.is_handled("policy", "monday", before, none));
        assert!(requests.is_handled("policy", "monday", end, none));
        assert!(requests.waiting_for(&id("a")).is_empty());
    }
}
