//! Checks from outside what the operator may do: from the audit log, with code that shares nothing
//! with the operator.
//!
//! | invariant | checked by | what cannot be seen from outside |
//! |---|---|---|
//! | I1 restorable | [`check`] | |
//! | I2 the original is never overwritten | [`check`] | |
//! | I3 contained once, restored once | [`check`] | |
//! | I4 a cause for every quarantine | [`check`] | whether the policy selects the release, which would take a second engine; a certificate inside a key, for which the condition `Revoked` is believed |
//! | I5 no bystanders | [`check`] | whether a manifest lists the object: its live marks are looked at |
//! | I6 then quiet | [`quiet`] | when the last fault was: the caller says it |
//! | I7 the same end | [`ends`] | which ends belong together: the caller compares them |
//! | I8 true status | [`check`] | whether a transition time is the right one: only that it moves with the status |
//! | I9 one writer | [`check`] | events, which say what was so when they were sent |
//! | I10 quiet while it fails | [`check`] for events, [`within_budget`] for requests | what a proxy refused is not in the log of the API server |
//! | I11 nothing leaks | [`leaks`] | |
//! | I12 alive | [`panics`] | answers and memory: [`Operator::pulse`](crate::operator::Operator::pulse) |

use std::collections::BTreeMap;
use std::fmt;

use jiff::SignedDuration;
use serde_json::Value;

use crate::audit::{Event, Events};

mod causes;
mod rest;
mod told;
mod writers;

pub use rest::{ends, leaks, panics, quiet, within_budget, without_chance};

const MARK: &str = "charttrust.io/quarantine";
const OWN_POLICY: &str = "charttrust-quarantine-";

/// What was found in a log, or that nothing was.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// How many writes to objects of others were checked.
    pub checked: usize,
    /// Every breach, in the order of the log.
    pub breaches: Vec<Breach>,
}

/// One breach of an invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Its number.
    pub invariant: &'static str,
    /// Kind, namespace and name of the object.
    pub object: String,
    /// What was seen.
    pub message: String,
}

impl Breach {
    fn of(invariant: &'static str, event: &Event, message: String) -> Self {
        Self {
            invariant,
            object: name_of(event),
            message,
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            invariant,
            object,
            message,
        } = self;
        write!(f, "{invariant}: {object}: {message}")
    }
}

/// Checks every write of the operator to an object that is not its own, every status that it wrote,
/// every event, and every state of an object that carries its mark, whoever wrote it.
///
/// `operators` are the names of its replicas. `events` must begin before the keys and policies that
/// lead to a quarantine; successful writes carry their answers.
pub fn check(events: &Events, operators: &[&str], own_namespace: &str) -> Findings {
    let mut audit = Audit::default();
    for event in events.iter().filter(|event| event.is_write()) {
        let by = By::of(event, operators);
        if event.code >= 300 {
            if by == By::Us && event.code == CONFLICT && is_own(event, own_namespace) {
                audit.told.note_refused(event);
            }
            continue;
        }
        audit
            .findings
            .breaches
            .extend(audit.writers.note(event, by));
        if is_own(event, own_namespace) {
            audit.follow_own(event, by);
            continue;
        }
        if by == By::Us {
            audit.findings.checked += 1;
            audit.check_bounds(event);
        }
        audit.follow(event, by);
    }
    audit.findings.breaches.extend(audit.told.too_many_events());
    audit.findings
}

const CONFLICT: u16 = 409;

/// How long after a cause is withdrawn the operator may still act on it.
const REACTION: SignedDuration = SignedDuration::from_secs(60);

/// Whether an object belongs to the operator, wherever it lies.
fn is_own(event: &Event, own_namespace: &str) -> bool {
    let is_our_kind = OWN_KINDS.contains(&event.resource.as_str());
    let lies_with_us = event.namespace == own_namespace
        && ["configmaps", "leases", "secrets"].contains(&event.resource.as_str());
    is_our_kind || lies_with_us || event.resource == "events"
}

const OWN_KINDS: [&str; 5] = [
    "charttrustpolicies",
    "quarantines",
    "releasetrusts",
    "trustedidentities",
    "trustedkeys",
];

/// Kinds whose objects a quarantine may change.
const WORKLOADS: [&str; 6] = [
    "cronjobs",
    "daemonsets",
    "deployments",
    "jobs",
    "replicasets",
    "statefulsets",
];
const DEPLOYERS: [&str; 3] = ["applications", "helmcharts", "helmreleases"];

#[derive(Default)]
struct Audit {
    findings: Findings,
    objects: BTreeMap<String, History>,
    causes: causes::Causes,
    told: told::Told,
    writers: writers::Writers,
}

/// What is known of one object.
#[derive(Default)]
struct History {
    mark: Option<Value>,
    /// How often each incident began and ended on it.
    began: BTreeMap<String, usize>,
    ended: BTreeMap<String, usize>,
}

/// Who wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Anybody else.
    Others,
    /// An operator.
    Us,
}

impl By {
    fn of(event: &Event, operators: &[&str]) -> Self {
        if operators.contains(&event.user.as_str()) {
            Self::Us
        } else {
            Self::Others
        }
    }
}

impl Audit {
    fn breach(&mut self, invariant: &'static str, event: &Event, message: String) {
        let breach = Breach::of(invariant, event, message);
        self.findings.breaches.push(breach);
    }

    fn follow_own(&mut self, event: &Event, by: By) {
        let breaches = &mut self.findings.breaches;
        breaches.extend(self.causes.note(event, by));
        breaches.extend(self.told.note(event, by));
    }

    /// I4 and I5: nothing is written without a Quarantine, nor to anything but what it may contain.
    fn check_bounds(&mut self, event: &Event) {
        if event.resource == "networkpolicies" {
            let is_known = release_of_policy(&event.name)
                .is_some_and(|release| self.causes.ever_asked(&event.namespace, release));
            if !is_known || !["create", "delete"].contains(&event.verb.as_str()) {
                self.breach(
                    "I5",
                    event,
                    format!("{} of a policy that is not ours", event.verb),
                );
            }
            return;
        }
        let may_change = WORKLOADS.contains(&event.resource.as_str())
            || DEPLOYERS.contains(&event.resource.as_str());
        if !may_change || event.verb != "patch" || !event.subresource.is_empty() {
            self.breach("I5", event, format!("{} of what is not ours", event.verb));
            return;
        }
        let object = event.response.clone().unwrap_or_default();
        if WORKLOADS.contains(&event.resource.as_str()) {
            self.check_ownership(event, &object);
        }
    }

    fn check_ownership(&mut self, event: &Event, object: &Value) {
        let annotation = |name: &str| {
            let annotations = object.pointer("/metadata/annotations");
            annotations
                .and_then(|all| all.get(name))
                .and_then(Value::as_str)
        };
        let release = annotation("meta.helm.sh/release-name")
            .unwrap_or_default()
            .to_owned();
        let is_begun = object
            .pointer("/metadata/annotations")
            .is_some_and(|all| all.get(MARK).is_some());
        let is_at_home = annotation("meta.helm.sh/release-namespace") == Some(&event.namespace);
        let is_asked = if is_begun {
            self.causes.asked(&event.namespace, &release, event.time)
        } else {
            self.causes.ever_asked(&event.namespace, &release)
        };
        if !is_at_home {
            self.breach(
                "I5",
                event,
                "its live marks name another namespace".to_owned(),
            );
        } else if !is_asked {
            self.breach("I4", event, "no Quarantine names its release".to_owned());
        }
    }

    /// I1, I2 and I3: the saved original stays derivable and equal, and each incident passes once.
    fn follow(&mut self, event: &Event, by: By) {
        let Some(object) = event.response.as_ref().filter(|_| event.verb != "delete") else {
            self.objects.remove(&name_of(event));
            return;
        };
        let carried = object
            .pointer("/metadata/annotations")
            .and_then(|all| all.get(MARK));
        let mark = match carried
            .and_then(Value::as_str)
            .map(serde_json::from_str::<Value>)
        {
            Some(Ok(mark)) => Some(mark),
            None => None,
            Some(Err(_)) => {
                if by == By::Us {
                    self.breach("I1", event, "our mark cannot be read".to_owned());
                }
                return;
            }
        };
        let before = self
            .objects
            .get(&name_of(event))
            .and_then(|known| known.mark.clone());
        if by == By::Us {
            self.check_change(event, before.as_ref(), mark.as_ref());
        }
        let history = self.objects.entry(name_of(event)).or_default();
        if by == By::Us {
            match (&before, &mark) {
                (None, Some(new)) => *history.began.entry(incident(new)).or_default() += 1,
                (Some(old), None) => *history.ended.entry(incident(old)).or_default() += 1,
                _ => {}
            }
        }
        history.mark = mark;
        let twice = [("began", &history.began), ("ended", &history.ended)]
            .into_iter()
            .find_map(|(what, counts)| {
                let (incident, count) = counts.iter().find(|(_, count)| **count > 1)?;
                Some(format!("{incident} {what} {count} times"))
            });
        if let Some(message) = twice.filter(|_| by == By::Us) {
            self.breach("I3", event, message);
        }
    }

    fn check_change(&mut self, event: &Event, before: Option<&Value>, after: Option<&Value>) {
        if let (Some(before), Some(after)) = (before, after) {
            let is_same = incident(before) == incident(after);
            if !is_same || before.get("original") != after.get("original") {
                self.breach("I2", event, format!("{before} became {after}"));
            }
        }
        if let (None, Some(after)) = (before, after)
            && after.get("original").is_some_and(is_nothing_running)
            && event.resource != "helmreleases"
        {
            self.breach("I2", event, format!("saved what we set ourselves: {after}"));
        }
    }
}

/// The release whose denial of traffic has this name: `…-RELEASE`, and `…--2-RELEASE` for its second
/// set of labels. No name of a release begins with a hyphen.
fn release_of_policy(name: &str) -> Option<&str> {
    let own = name.strip_prefix(OWN_POLICY)?;
    match own.strip_prefix('-') {
        Some(numbered) => numbered.split_once('-').map(|(_, release)| release),
        None => Some(own),
    }
}

/// Zero replicas and `suspend: true` are what a quarantine sets; saving them as an original is
/// right only for what did not run before, which is not contained at all.
fn is_nothing_running(original: &Value) -> bool {
    original.as_i64() == Some(0) || original.as_bool() == Some(true)
}

/// What a mark is about: the incident and the Quarantine of it.
fn incident(mark: &Value) -> String {
    let part = |name: &str| {
        mark.get(name)
            .and_then(Value::as_str)
            .unwrap_or("?")
            .to_owned()
    };
    format!("{} of {}", part("incident"), part("quarantine"))
}

/// Kind, namespace and name; a name that the server gave stands in the answer only.
fn name_of(event: &Event) -> String {
    let given = event.response.as_ref();
    let given = given.and_then(|object| text(object, "/metadata/name"));
    let is_unnamed = event.name.is_empty();
    let name = given.filter(|_| is_unnamed).unwrap_or(&event.name);
    format!("{}/{}/{name}", event.resource, event.namespace)
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

#[cfg(test)]
mod tests;
