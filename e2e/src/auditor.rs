//! Checks from outside what a quarantine may do to objects of others: from the audit log alone, with
//! code that shares nothing with the operator.
//!
//! The invariants are those of a containment that can always be undone: I1 to I5 of our limits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::audit::{Event, Events};

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

/// Checks every write of `operator` to an object that is not its own, and every state of an object
/// that carries its mark, whoever wrote it.
///
/// `events` must begin before the first quarantine; successful writes carry their answers.
pub fn check(events: &Events, operator: &str, own_namespace: &str) -> Findings {
    let mut audit = Audit::default();
    for event in events
        .iter()
        .filter(|event| event.is_write() && event.code < 300)
    {
        let by_us = event.user == operator;
        if is_own(event, own_namespace) {
            audit.note_quarantine(event);
            continue;
        }
        if by_us {
            audit.findings.checked += 1;
            audit.check_bounds(event);
        }
        audit.follow(event, by_us);
    }
    audit.findings
}

/// Whether an object belongs to the operator, wherever it lies.
fn is_own(event: &Event, own_namespace: &str) -> bool {
    let is_our_kind = OWN_KINDS.contains(&event.resource.as_str());
    let lies_with_us = event.namespace == own_namespace
        && ["configmaps", "leases", "secrets"].contains(&event.resource.as_str());
    is_our_kind || lies_with_us || event.resource == "events"
}

const OWN_KINDS: [&str; 4] = [
    "charttrustpolicies",
    "quarantines",
    "releasetrusts",
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
    /// Namespace and name of every Quarantine that ever was.
    quarantines: BTreeSet<(String, String)>,
}

/// What is known of one object.
#[derive(Default)]
struct History {
    mark: Option<Value>,
    /// How often each incident began and ended on it.
    began: BTreeMap<String, usize>,
    ended: BTreeMap<String, usize>,
}

impl Audit {
    fn breach(&mut self, invariant: &'static str, event: &Event, message: String) {
        let object = name_of(event);
        self.findings.breaches.push(Breach {
            invariant,
            object,
            message,
        });
    }

    fn note_quarantine(&mut self, event: &Event) {
        if event.resource == "quarantines" && event.verb == "create" {
            let name = event
                .response
                .as_ref()
                .and_then(|object| text(object, "/metadata/name"));
            let name = name.unwrap_or(&event.name).to_owned();
            self.quarantines.insert((event.namespace.clone(), name));
        }
    }

    /// I4 and I5: nothing is written without a Quarantine, nor to anything but what it may contain.
    fn check_bounds(&mut self, event: &Event) {
        if event.resource == "networkpolicies" {
            let release = event.name.strip_prefix(OWN_POLICY).map(str::to_owned);
            let is_known = release
                .is_some_and(|name| self.quarantines.contains(&(event.namespace.clone(), name)));
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
        let is_at_home = annotation("meta.helm.sh/release-namespace") == Some(&event.namespace);
        let is_asked = self
            .quarantines
            .contains(&(event.namespace.clone(), release));
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
    fn follow(&mut self, event: &Event, by_us: bool) {
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
                if by_us {
                    self.breach("I1", event, "our mark cannot be read".to_owned());
                }
                return;
            }
        };
        let before = self
            .objects
            .get(&name_of(event))
            .and_then(|known| known.mark.clone());
        if by_us {
            self.check_change(event, before.as_ref(), mark.as_ref());
        }
        let history = self.objects.entry(name_of(event)).or_default();
        if by_us {
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
        if let Some(message) = twice.filter(|_| by_us) {
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

fn name_of(event: &Event) -> String {
    format!("{}/{}/{}", event.resource, event.namespace, event.name)
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const US: &str = "system:serviceaccount:charttrust-system:charttrust";

    fn event(user: &str, verb: &str, path: &str, response: Value) -> Event {
        let mut parts = path.split('/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        Event {
            time: "2026-11-22T00:00:00Z".parse().unwrap(),
            user: user.to_owned(),
            verb: verb.to_owned(),
            resource: next(),
            namespace: next(),
            name: next(),
            subresource: next(),
            code: 200,
            user_agent: String::new(),
            request: None,
            response: Some(response),
        }
    }

    fn quarantine() -> Event {
        event(
            "ann",
            "create",
            "quarantines/shop/web",
            json!({"metadata": {"name": "web"}}),
        )
    }

    fn web(mark: Option<Value>) -> Value {
        let mut annotations = json!({
            "meta.helm.sh/release-name": "web",
            "meta.helm.sh/release-namespace": "shop",
        });
        if let Some(mark) = mark {
            annotations[MARK] = Value::String(mark.to_string());
        }
        json!({"metadata": {"annotations": annotations}})
    }

    fn mark(incident: &str, original: u32) -> Value {
        json!({"incident": incident, "quarantine": "uid", "original": original})
    }

    fn change(object: Value) -> Event {
        event(US, "patch", "deployments/shop/web", object)
    }

    fn breaches(events: Vec<Event>) -> Vec<String> {
        let found = check(&Events::from(events), US, "charttrust-system");
        found
            .breaches
            .iter()
            .map(|breach| breach.invariant.to_owned())
            .collect()
    }

    #[test]
    fn a_quarantine_and_its_restore_breach_nothing() {
        let told = vec![
            quarantine(),
            event(US, "update", "quarantines/shop/web/status", json!({})),
            change(web(Some(mark("a", 3)))),
            change(web(None)),
            event(
                US,
                "create",
                "networkpolicies/shop/charttrust-quarantine-web",
                json!({}),
            ),
            event(
                US,
                "delete",
                "networkpolicies/shop/charttrust-quarantine-web",
                json!({}),
            ),
            event(US, "create", "events/shop/web.1", json!({})),
            event(
                US,
                "update",
                "secrets/charttrust-system/charttrust-evidence",
                json!({}),
            ),
        ];
        let found = check(&Events::from(told), US, "charttrust-system");
        assert_eq!(found.checked, 4);
        assert_eq!(found.breaches, Vec::new());
    }

    #[test]
    fn each_breach_has_its_number() {
        let elsewhere = json!({"metadata": {"annotations": {
            "meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "other",
        }}});
        let garbled = json!({"metadata": {"annotations": {
            "meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop", MARK: "{",
        }}});
        let twice = || {
            let once = [change(web(Some(mark("a", 3)))), change(web(None))];
            [once.clone(), once].concat()
        };
        for (what, events, expected) in [
            (
                "no Quarantine",
                vec![change(web(Some(mark("a", 3))))],
                vec!["I4"],
            ),
            (
                "another namespace",
                vec![quarantine(), change(elsewhere)],
                vec!["I5"],
            ),
            (
                "a garbled mark",
                vec![quarantine(), change(garbled)],
                vec!["I1"],
            ),
            (
                "another original",
                vec![
                    quarantine(),
                    change(web(Some(mark("a", 3)))),
                    change(web(Some(mark("a", 1)))),
                ],
                vec!["I2"],
            ),
            (
                "our own zero",
                vec![quarantine(), change(web(Some(mark("a", 0))))],
                vec!["I2"],
            ),
            (
                "contained twice",
                [vec![quarantine()], twice()].concat(),
                vec!["I3", "I3"],
            ),
            (
                "a Secret of somebody",
                vec![event(US, "update", "secrets/shop/db", json!({}))],
                vec!["I5"],
            ),
            (
                "a deleted workload",
                vec![
                    quarantine(),
                    event(US, "delete", "deployments/shop/web", json!({})),
                ],
                vec!["I5"],
            ),
            (
                "a foreign policy",
                vec![
                    quarantine(),
                    event(US, "delete", "networkpolicies/shop/deny", json!({})),
                ],
                vec!["I5"],
            ),
            (
                "by another hand",
                vec![event("ann", "delete", "deployments/shop/web", json!({}))],
                vec![],
            ),
        ] {
            assert_eq!(breaches(events), expected, "{what}");
        }
    }
}
