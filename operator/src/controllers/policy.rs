//! Reads a `ChartTrustPolicy`, has the releases judged that it concerns, and writes its status.

use std::collections::BTreeMap;

use charttrust_verify::policy::ReleaseRef;
use jiff::Timestamp;
use kube::ResourceExt as _;
use tokio::time::Instant;

use super::key::LONGEST_WAIT;
use super::watches::Ours;
use super::world::Reading;
use super::{Context, Error, Task, containment, events, policy_status};
use crate::api::{ChartTrustPolicy, REQUESTED_AT, bounds};
use crate::clock;
use crate::inventory::ReleaseId;
use crate::parse::{self, LoadedPolicy};

/// Takes the object into what is known, and has every release judged that it selects or selected.
pub(super) fn read(context: &Context, name: &str) {
    let object = context.mirrors.policies.find(&name.to_owned());
    let now = clock::now();
    let reading = reading(object.as_deref(), now);
    if is_still_true(context, name, &reading) {
        return schedule(context, name, now);
    }
    let loaded = match object.as_deref() {
        None => None,
        Some(Err(problem)) => Some(parse::unreadable_policy(name, problem)),
        Some(Ok(object)) => Some(parse::policy(object)),
    };
    let requested = object
        .as_deref()
        .and_then(|object| object.as_ref().ok())
        .and_then(asks);
    let after = loaded.clone();
    let _change = context.world.change();
    let before = context
        .world
        .set_policy(name, loaded.map(|loaded| (reading, loaded)));
    schedule(context, name, now);
    let mut owed = BTreeMap::new();
    for id in context.world.release_ids() {
        if selects(context, before.as_ref(), &id) || selects(context, after.as_ref(), &id) {
            if requested.is_some() {
                let number = context.world.update(&id, |release| release.requests.ask());
                owed.insert(id.clone(), number);
            }
            context.examinations.add(id.clone());
            context.judge_again(&id);
        }
    }
    let requests = &context.world.policy_requests;
    match (requested, after) {
        (Some(asked), _) => requests.ask(name, asked, owed, Instant::now()),
        (None, Some(_)) => {}
        (None, None) => requests.forget(name),
    }
    context.queue.add(Task::PolicyStatus(name.to_owned()));
}

/// Which state of the object this is.
fn reading(object: Option<&Ours<ChartTrustPolicy>>, at: Timestamp) -> Reading {
    let Some(Ok(object)) = object else {
        return Reading {
            generation: 0,
            details: String::new(),
            at,
        };
    };
    let asked = object.annotations().get(REQUESTED_AT);
    let details = format!("{:?} {asked:?}", object.metadata.uid);
    Reading {
        generation: object.metadata.generation.unwrap_or_default(),
        details,
        at,
    }
}

/// Whether this very state was read, and no exception has ended since.
fn is_still_true(context: &Context, name: &str, reading: &Reading) -> bool {
    let trust = context.world.trust();
    let (Some(known), Some(loaded)) = (trust.policy_readings.get(name), trust.policies.get(name))
    else {
        return false;
    };
    let has_ended = ends(loaded).any(|end| end > known.at && end <= reading.at);
    known.is_of_same_state(reading) && reading.generation > 0 && !has_ended
}

/// The annotation, if it asks for looks that were not answered yet.
fn asks(object: &ChartTrustPolicy) -> Option<String> {
    let asked = object.annotations().get(REQUESTED_AT);
    let status = object.status.as_ref();
    let answered = status.and_then(|status| status.last_handled_reconcile_at.as_ref());
    let fits = |asked: &String| bounds::fit(asked, bounds::VERSION);
    asked
        .filter(|asked| answered != Some(&fits(asked)))
        .cloned()
}

/// The annotation, once every look that it asked for has ended.
fn handled(context: &Context, object: &ChartTrustPolicy, name: &str) -> Option<String> {
    let asked = object.annotations().get(REQUESTED_AT)?;
    let world = &context.world;
    let has_ended = |id: &ReleaseId, number| world.has_answered(id, number);
    let requests = &world.policy_requests;
    let is_handled = requests.is_handled(name, asked, Instant::now(), has_ended);
    if let Some(deadline) = requests.deadline(name) {
        let task = Task::PolicyStatus(name.to_owned());
        context.queue.add_at(task, deadline);
    }
    is_handled.then(|| bounds::fit(asked, bounds::VERSION))
}

fn selects(context: &Context, loaded: Option<&LoadedPolicy>, id: &ReleaseId) -> bool {
    let labels = context.namespace_labels(&id.namespace);
    let release = ReleaseRef {
        namespace: &id.namespace,
        namespace_labels: labels.as_deref(),
        name: &id.name,
    };
    loaded.is_some_and(|loaded| loaded.policy.selection.selects(&release))
}

/// Instants at which time alone changes what the policy forgives.
fn ends(loaded: &LoadedPolicy) -> impl Iterator<Item = Timestamp> {
    loaded
        .policy
        .exceptions
        .iter()
        .map(|exception| exception.expires_at)
}

/// Has the policy read again when an exception ends.
fn schedule(context: &Context, name: &str, now: Timestamp) {
    let trust = context.world.trust();
    let Some(loaded) = trust.policies.get(name) else {
        return;
    };
    let Some(next) = ends(loaded).filter(|end| *end > now).min() else {
        return;
    };
    let wait = next.duration_since(now).unsigned_abs().min(LONGEST_WAIT);
    context
        .queue
        .add_at(Task::Policy(name.to_owned()), Instant::now() + wait);
}

/// Writes the status if anything but the time has changed.
pub(super) async fn write_status(context: &Context, name: &str) -> Result<(), Error> {
    let object = context.mirrors.policies.find(&name.to_owned());
    let Some(Ok(object)) = object.as_deref() else {
        return Ok(());
    };
    let trust = context.world.trust();
    let Some(loaded) = trust.policies.get(name) else {
        return Ok(());
    };
    containment::decide(context, name, loaded).await?;
    let counted = policy_status::count(context, name);
    let watched = object.resource_version();
    let ours = context.world.policy_statuses.find(name, watched.as_deref());
    let old = ours
        .as_ref()
        .map(|ours| &ours.status)
        .or(object.status.as_ref());
    let handled = handled(context, object, name);
    let status = policy_status::conclude(old, loaded, &trust, &counted, handled, clock::now());
    if old == Some(&status) {
        return Ok(());
    }
    let announced = events::of_policy(name, old, &status);
    let mut changed = object.clone();
    changed.status = Some(status.clone());
    let statuses = &context.world.policy_statuses;
    statuses
        .write(
            context,
            changed,
            status,
            "write the status of a ChartTrustPolicy",
        )
        .await?;
    events::publish(context, announced).await;
    Ok(())
}
