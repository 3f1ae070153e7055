//! What the caller must help with, because the log alone does not tell when a fault was, which ends
//! belong together, or what is secret.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Breach, name_of, text};
use crate::audit::{Event, Events};

/// I6: nothing is written since an instant at which everything was at rest, leases aside.
pub fn quiet(events: &Events, operators: &[&str], since: Timestamp) -> Vec<Breach> {
    let is_loud = |event: &&Event| {
        event.is_write()
            && operators.contains(&event.user.as_str())
            && event.resource != "leases"
            && event.time >= since
    };
    let late = events.iter().filter(is_loud);
    late.map(|event| {
        Breach::of(
            "I6",
            event,
            format!("{} though all was at rest", event.verb),
        )
    })
    .collect()
}

/// I7: every object of which the log has bodies, as it was in the end, without what differs from run
/// to run: names that servers give, versions, instants and who wrote.
pub fn ends(events: &Events) -> BTreeMap<String, Value> {
    let mut ends: BTreeMap<String, Value> = BTreeMap::new();
    for event in events.iter().filter(|e| e.is_write() && e.code < 300) {
        if event.resource == "events" {
            continue;
        }
        let name = name_of(event);
        match event.response.as_ref().filter(|_| event.verb != "delete") {
            Some(object) if is_gone(object) => drop(ends.remove(&name)),
            Some(object) if object.get("metadata").is_some() => {
                ends.insert(name, without_chance(object.clone()));
            }
            // With finalizers left, the write that takes the last one off is still to come.
            None if event.verb == "delete" => drop(ends.remove(&name)),
            Some(_) | None => {}
        }
    }
    ends
}

fn is_gone(object: &Value) -> bool {
    let is_ending = text(object, "/metadata/deletionTimestamp").is_some();
    let finalizers = object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array);
    is_ending && finalizers.is_none_or(Vec::is_empty)
}

/// An object without what differs from run to run.
pub fn without_chance(mut value: Value) -> Value {
    strip(&mut value);
    value
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !CHANCE.contains(&name.as_str()));
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::String(text) if text.parse::<Timestamp>().is_ok() => "an instant".clone_into(text),
        _ => {}
    }
}

const CHANCE: [&str; 6] = [
    "creationTimestamp",
    "generation",
    "managedFields",
    "observedGeneration",
    "resourceVersion",
    "uid",
];

/// I10: at most `per_second` requests a second on the average of each ten seconds, watches and
/// leases aside.
pub fn within_budget(events: &Events, operator: &str, per_second: usize) -> Vec<Breach> {
    let counts = |event: &&Event| {
        event.user == operator && event.verb != "watch" && event.resource != "leases"
    };
    let mut asked: Vec<&Event> = events.iter().filter(counts).collect();
    asked.sort_by_key(|event| event.time);
    let most = per_second * WINDOW;
    let span = SignedDuration::from_secs(WINDOW.try_into().unwrap_or(i64::MAX));
    let over = asked.windows(most + 1).find(|window| {
        let [first, .., last] = window else {
            return false;
        };
        first.time.duration_until(last.time) < span
    });
    let message = || format!("more than {most} requests in {WINDOW} s");
    over.and_then(|window| window.last())
        .map(|event| Breach::of("I10", event, message()))
        .into_iter()
        .collect()
}

/// In seconds: bursts within it are fair.
const WINDOW: usize = 10;

/// I11: none of these words is in what the operator wrote, nor in what else it told (by name: its
/// log, its metrics). Also not in base64, as Secrets carry it.
pub fn leaks(
    events: &Events,
    operators: &[&str],
    told: &[(&str, &str)],
    canaries: &[&str],
) -> Vec<Breach> {
    use base64::Engine as _;
    let encoded = canaries
        .iter()
        .map(|word| base64::prelude::BASE64_STANDARD.encode(word));
    let words: Vec<String> = canaries
        .iter()
        .map(|word| (*word).to_owned())
        .chain(encoded)
        .collect();
    let has = |text: &str| words.iter().any(|word| text.contains(word.as_str()));
    let wrote = events.iter().filter(|event| {
        let sent = event.request.as_ref().map(Value::to_string);
        event.is_write()
            && operators.contains(&event.user.as_str())
            && sent.is_some_and(|sent| has(&sent))
    });
    let of_log = told.iter().filter(|(_, text)| has(text));
    wrote
        .map(|event| Breach::of("I11", event, "a secret was written".to_owned()))
        .chain(of_log.map(|(name, _)| Breach {
            invariant: "I11",
            object: (*name).to_owned(),
            message: "a secret was told".to_owned(),
        }))
        .collect()
}

/// I12: the log of a process tells of no panic.
pub fn panics(log: &str) -> Vec<Breach> {
    let lines = log.lines().filter(|line| line.contains("panicked"));
    lines
        .map(|line| Breach {
            invariant: "I12",
            object: "log".to_owned(),
            message: line.to_owned(),
        })
        .collect()
}
