//! I8 and I10: what is said is true, and said once.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Breach, By, name_of, text};
use crate::audit::Event;

/// What the operator has said.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Every object of ours, as it was written last.
    last: BTreeMap<String, Value>,
    /// The same, or as the operator would have written it since, had nobody else: it has told of that already.
    said: BTreeMap<String, Value>,
    /// How often what is said of something changed, and how many events there were about it.
    counts: BTreeMap<String, Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    transitions: usize,
    events: usize,
}

impl Told {
    /// Takes in a write of an object of ours, or of an event.
    pub(super) fn note(&mut self, event: &Event, by: By) -> Vec<Breach> {
        if event.resource == "events" {
            self.note_event(event, by);
            return Vec::new();
        }
        let name = name_of(event);
        let Some(object) = event.response.clone().filter(|_| event.verb != "delete") else {
            // A deletion is a transition of its own, and what comes after is another object.
            self.last.remove(&name);
            self.said.remove(&name);
            self.counted(&subject(event)).transitions += 1;
            return Vec::new();
        };
        let before = self.last.insert(name, object.clone());
        let before = before.filter(|before| uid(before) == uid(&object));
        self.say(event, &object);
        if by == By::Us && event.subresource == "status" {
            untrue(event, before.as_ref(), &object)
        } else {
            Vec::new()
        }
    }

    /// Takes in a status that the operator could not write, as somebody else had written meanwhile: what is told is told
    /// before it is written.
    pub(super) fn note_refused(&mut self, event: &Event) {
        if let Some(object) = event
            .request
            .clone()
            .filter(|_| event.subresource == "status")
        {
            self.say(event, &object);
        }
    }

    fn say(&mut self, event: &Event, object: &Value) {
        let before = self.said.insert(name_of(event), object.clone());
        let before = before.filter(|before| uid(before) == uid(object));
        let changed = changes(before.as_ref(), object);
        self.counted(&subject(event)).transitions += changed;
    }

    fn counted(&mut self, subject: &str) -> &mut Counts {
        self.counts.entry(subject.to_owned()).or_default()
    }

    fn note_event(&mut self, event: &Event, by: By) {
        let regarding = event.response.as_ref();
        let regarding = regarding.and_then(|object| object.get("regarding"));
        let Some(regarding) = regarding.filter(|_| by == By::Us && event.verb == "create") else {
            return;
        };
        let part = |name: &str| text(regarding, name).unwrap_or_default();
        let subject = format!("{}/{}", part("/namespace"), part("/name"));
        self.counted(&subject).events += 1;
    }

    /// More events than there was to tell.
    pub(super) fn too_many_events(&self) -> Vec<Breach> {
        let loud = |counts: &Counts| counts.events > counts.transitions;
        let all = self.counts.iter().filter(|(_, counts)| loud(counts));
        all.map(|(subject, counts)| Breach {
            invariant: "I10",
            object: subject.clone(),
            message: format!(
                "{} events about {} transitions",
                counts.events, counts.transitions
            ),
        })
        .collect()
    }
}

/// What an event would regard: a release has several objects of its name.
fn subject(event: &Event) -> String {
    let name = name_of(event);
    let (_, subject) = name.split_once('/').unwrap_or_default();
    subject.to_owned()
}

fn uid(object: &Value) -> Option<&str> {
    text(object, "/metadata/uid")
}

fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    let list = object
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    list.into_iter().flatten()
}

fn of_type<'a>(object: &'a Value, condition: &Value) -> Option<&'a Value> {
    conditions(object).find(|other| other.get("type") == condition.get("type"))
}

/// How many conditions say something else than before.
fn changes(before: Option<&Value>, object: &Value) -> usize {
    let is_same = |condition: &&Value| {
        let known = before.and_then(|before| of_type(before, condition));
        let said = |part: &str| known.is_some_and(|known| known.get(part) == condition.get(part));
        said("status") && said("reason") && said("message")
    };
    conditions(object).filter(|one| !is_same(one)).count()
}

fn untrue(event: &Event, before: Option<&Value>, object: &Value) -> Vec<Breach> {
    let generation = object
        .pointer("/metadata/generation")
        .and_then(Value::as_i64);
    let observed = |holder: &Value| holder.get("observedGeneration").and_then(Value::as_i64);
    let mut breaches = Vec::new();
    let mut breach = |message: String| breaches.push(Breach::of("I8", event, message));
    let status = object.get("status").unwrap_or(&Value::Null);
    for (what, holder) in std::iter::once(("status", status))
        .chain(conditions(object).map(|one| (text(one, "/type").unwrap_or("?"), one)))
    {
        if let (Some(seen), Some(is)) = (observed(holder), generation)
            && (seen > is || (seen < is && is_ready(holder)))
        {
            breach(format!("{what} observed generation {seen} of {is}"));
        }
    }
    for condition in conditions(object) {
        let known = before.and_then(|before| of_type(before, condition));
        let moved = |known: &&Value| {
            known.get("status") == condition.get("status")
                && known.get("lastTransitionTime") != condition.get("lastTransitionTime")
        };
        if known.as_ref().is_some_and(moved) {
            let name = text(condition, "/type").unwrap_or("?");
            breach(format!("{name} moved its time and not its status"));
        }
    }
    breaches
}

fn is_ready(condition: &Value) -> bool {
    text(condition, "/type") == Some("Ready") && text(condition, "/status") == Some("True")
}
