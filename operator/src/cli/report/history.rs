//! What changed since a date, as far as the cluster keeps it. Touches nothing.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt as _;
use serde::Serialize;

use super::gathered::{EVENTS, Gathered};
use crate::api::conditions::{Condition, KeyCondition, Status, find};
use crate::api::{Quarantine, REPORTER, ReleaseTrust};
use crate::cli::coverage::Standing;
use crate::cli::key::Who;

/// What changed, and what of that cannot be known.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct History {
    pub(super) since: Timestamp,
    /// The latest comes first.
    pub(super) changes: Vec<Change>,
    /// Sentences.
    pub(super) not_known: Vec<String>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Change {
    pub(super) at: Timestamp,
    /// Kind of the object.
    pub(super) kind: &'static str,
    /// Its name, with its namespace.
    pub(super) name: String,
    /// What became of it, in words of the vocabulary.
    pub(super) became: String,
    pub(super) message: String,
    /// What tells of it: the object itself, or an event, which others may have written.
    pub(super) told_by: Teller,
}

/// What tells of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Teller {
    Condition,
    Event,
    Object,
}

/// What changed since then.
pub(super) fn history(gathered: &Gathered) -> History {
    let since = gathered.question.since;
    let verdicts: Vec<_> = gathered.trusts.iter().filter_map(verdict).collect();
    let told = gathered.events.iter().filter_map(of_event);
    let more = told.filter(|event| !verdicts.iter().any(|own| is_same(own, event)));
    let more: Vec<_> = more.collect();
    let keys = gathered.known.all().filter_map(revoked);
    let held = gathered.quarantines.iter().filter_map(begun);
    let all = verdicts.into_iter().chain(more).chain(keys).chain(held);
    let mut changes: Vec<_> = all.filter(|change| change.at >= since).collect();
    changes.sort_by(|one, other| {
        let latest = other.at.cmp(&one.at);
        latest.then_with(|| one.name.cmp(&other.name))
    });
    History {
        since,
        changes,
        not_known: not_known(gathered),
    }
}

/// The last change of a verdict.
fn verdict(trust: &ReleaseTrust) -> Option<Change> {
    let said = trust.verdict()?;
    let (standing, reason) = Standing::of(trust);
    Some(Change {
        at: said.last_transition_time.0,
        kind: "ReleaseTrust",
        name: id(trust.namespace(), &trust.name_any()),
        became: became(standing, reason),
        message: said.message.clone(),
        told_by: Teller::Condition,
    })
}

/// A verdict in two words; in one where they say the same.
fn became(standing: Standing, reason: &str) -> String {
    match format!("{standing:?}") {
        standing if standing == reason => standing,
        standing => format!("{standing}/{reason}"),
    }
}

/// An event of the operator about a verdict.
fn of_event(event: &Event) -> Option<Change> {
    let regarding = event.regarding.as_ref()?;
    let is_verdict = event.reporting_controller.as_deref() == Some(REPORTER)
        && event.action.as_deref() == Some("Verify")
        && regarding.kind.as_deref() == Some("ReleaseTrust");
    let at = event.event_time.as_ref().filter(|_| is_verdict)?.0;
    let name = regarding.name.as_deref().unwrap_or_default();
    Some(Change {
        at,
        kind: "ReleaseTrust",
        name: id(event.namespace(), name),
        became: event.reason.clone().unwrap_or_default(),
        message: event.note.clone().unwrap_or_default(),
        told_by: Teller::Event,
    })
}

/// Whether an event tells of the change that the condition tells of: it is written a moment later.
fn is_same(own: &Change, event: &Change) -> bool {
    let apart = own.at.duration_since(event.at).abs();
    let word = own.became.rsplit('/').next();
    own.name == event.name && word == Some(event.became.as_str()) && apart <= MOMENT
}

/// What the operator needs from a verdict to its event, with room for a slow API server.
const MOMENT: SignedDuration = SignedDuration::from_secs(60);

/// That a key or an identity counts as revoked.
fn revoked(who: Who<'_>) -> Option<Change> {
    let (kind, conditions) = match who {
        Who::Key(key) => ("TrustedKey", &key.status.as_ref()?.conditions),
        Who::Identity(one) => ("TrustedIdentity", &one.object.status.as_ref()?.conditions),
    };
    let said = find(conditions, KeyCondition::Revoked);
    let said: &Condition = said.filter(|said| said.status == Status::True)?;
    Some(Change {
        at: said.last_transition_time.0,
        kind,
        name: who.name(),
        became: format!("Revoked/{}", said.reason),
        message: said.message.clone(),
        told_by: Teller::Condition,
    })
}

/// That a quarantine was asked for.
fn begun(quarantine: &Quarantine) -> Option<Change> {
    let at = quarantine.metadata.creation_timestamp.as_ref()?.0;
    Some(Change {
        at,
        kind: "Quarantine",
        name: id(quarantine.namespace(), &quarantine.name_any()),
        became: "Created".to_owned(),
        message: quarantine.spec.reason.clone(),
        told_by: Teller::Object,
    })
}

fn id(namespace: Option<String>, name: &str) -> String {
    format!("{}/{name}", namespace.unwrap_or_default())
}

fn not_known(gathered: &Gathered) -> Vec<String> {
    let refused = gathered.reads.iter().find(|read| read.what == EVENTS);
    let refused = refused.and_then(|read| read.refused.as_ref());
    let events = match refused {
        Some(why) => format!(
            "Of each release only its last change is known: events could not be read ({why})."
        ),
        None => "Of each release its last change is known, and earlier ones as long as the API server keeps \
                 their events: an hour, unless it is told otherwise. Whoever may write events in a namespace \
                 may have written one there."
            .to_owned(),
    };
    vec![
        events,
        "What is gone, releases that were uninstalled and quarantines that have ended, is not listed.".to_owned(),
    ]
}
