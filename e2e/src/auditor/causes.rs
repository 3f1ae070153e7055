//! I4: nothing is contained without a cause that stands.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{Breach, By, REACTION, text};
use crate::audit::Event;

/// What may lead to a quarantine, as it was declared.
#[derive(Debug, Default)]
pub(super) struct Causes {
    policies: BTreeMap<String, Cause>,
    keys: BTreeMap<String, Cause>,
    /// By namespace and name.
    quarantines: BTreeMap<(String, String), Cause>,
}

/// Whether something holds, and until when it did.
#[derive(Clone, Copy, Debug)]
enum Cause {
    Holds,
    Until(Timestamp),
}

impl Cause {
    /// What does not hold any more, or never did.
    fn ended(before: Option<Self>, now: Timestamp) -> Self {
        match before {
            Some(Self::Until(end)) => Self::Until(end),
            Some(Self::Holds) => Self::Until(now),
            None => Self::Until(Timestamp::MIN),
        }
    }

    fn held(self, now: Timestamp) -> bool {
        match self {
            Self::Holds => true,
            Self::Until(end) => end.checked_add(REACTION).is_ok_and(|late| now <= late),
        }
    }
}

impl Causes {
    /// Takes in a write of an object of ours.
    pub(super) fn note(&mut self, event: &Event, by: By) -> Option<Breach> {
        let name = event.response.as_ref();
        let name = name.and_then(|object| text(object, "/metadata/name"));
        let name = name.unwrap_or(&event.name).to_owned();
        let holds = |which: fn(&Value) -> bool| {
            event.verb != "delete" && event.response.as_ref().is_some_and(which)
        };
        let of = |all: &mut BTreeMap<String, Cause>, which: fn(&Value) -> bool| {
            let cause = if holds(which) {
                Cause::Holds
            } else {
                Cause::ended(all.get(&name).copied(), event.time)
            };
            all.insert(name.clone(), cause);
        };
        match event.resource.as_str() {
            "charttrustpolicies" => of(&mut self.policies, contains_by_itself),
            "trustedidentities" | "trustedkeys" => of(&mut self.keys, is_revoked),
            "quarantines" if event.verb == "create" && event.subresource.is_empty() => {
                let place = (event.namespace.clone(), name);
                self.quarantines.insert(place, Cause::Holds);
                return self.without_cause(event).filter(|_| by == By::Us);
            }
            "quarantines" if event.verb == "delete" => {
                let place = (event.namespace.clone(), name);
                let before = self.quarantines.get(&place).copied();
                let cause = Cause::ended(before, event.time);
                self.quarantines.insert(place, cause);
            }
            _ => {}
        }
        None
    }

    /// An automatic quarantine needs a policy that asks for it, and a key that was revoked.
    fn without_cause(&self, event: &Event) -> Option<Breach> {
        let policy = event.response.as_ref();
        let policy = policy.and_then(|object| text(object, "/spec/policy"));
        let policy = policy.unwrap_or_default();
        let held = |cause: &Cause| cause.held(event.time);
        if !self.policies.get(policy).is_some_and(held) {
            let message = format!("policy {policy:?} asks for no quarantine");
            return Some(Breach::of("I4", event, message));
        }
        let message = || "no key is revoked".to_owned();
        let is_revoked = self.keys.values().any(held);
        (!is_revoked).then(|| Breach::of("I4", event, message()))
    }

    /// Whether there is a Quarantine of this name, or was a moment ago.
    pub(super) fn asked(&self, namespace: &str, name: &str, now: Timestamp) -> bool {
        let place = (namespace.to_owned(), name.to_owned());
        self.quarantines.get(&place).is_some_and(|s| s.held(now))
    }

    /// Whether there ever was a Quarantine of this name.
    pub(super) fn ever_asked(&self, namespace: &str, name: &str) -> bool {
        let place = (namespace.to_owned(), name.to_owned());
        self.quarantines.contains_key(&place)
    }
}

fn contains_by_itself(policy: &Value) -> bool {
    let is_suspended = policy.pointer("/spec/suspend") == Some(&Value::Bool(true));
    text(policy, "/spec/quarantine/approval") == Some("Automatic") && !is_suspended
}

/// By our own word; or by a certificate that only somebody who reads keys can see.
fn is_revoked(key: &Value) -> bool {
    let conditions = key.pointer("/status/conditions").and_then(Value::as_array);
    let told = conditions.into_iter().flatten().any(|condition| {
        text(condition, "/type") == Some("Revoked") && text(condition, "/status") == Some("True")
    });
    let is_declared = key
        .pointer("/spec/revocation")
        .is_some_and(|word| !word.is_null());
    is_declared || told
}
