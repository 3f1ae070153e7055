//! How one recorded object stands: what we recorded, held against what is there.

use serde_json::Value;

use super::mark::{Carried, Mark};
use super::target::Target;
use super::{field, network, owners};
use crate::api::chart_trust_policy::QuarantineAction;
use crate::api::quarantine::{ContainedObject, ObjectState};

/// How an object stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Standing {
    /// Changed by us, and both records of it agree.
    Contained(Box<Mark>),
    /// As we would set it, but the records of that disagree: nobody can tell what it was before.
    Contested(String),
    /// It is not there, or another object has its name.
    Gone,
    /// Others have changed it since we recorded it. The mark is what is left of us, if anything.
    Kept(String, Option<Box<Mark>>),
    /// As it was when we recorded it.
    Untouched,
}

impl Standing {
    /// How one record stands; `quarantine` is the uid of the Quarantine that recorded it.
    pub(super) fn of(record: &ContainedObject, live: Option<&Value>, quarantine: &str) -> Self {
        let Some(live) = live else {
            return Self::Gone;
        };
        if record.action == QuarantineAction::IsolateNetwork {
            return of_denial(record, live, quarantine);
        }
        let is_same = field::text(live, &["metadata", "uid"]) == record.uid.as_deref();
        match Target::of_record(record) {
            Some(target) if is_same && record.uid.is_some() => {
                of_change(record, live, target, quarantine)
            }
            Some(_) => Self::Gone,
            None => Self::Contested("is of a kind that this version does not contain".to_owned()),
        }
    }

    /// The word for the status. What is untouched was restored, or waits for its turn.
    pub(super) fn state(&self, record: &ContainedObject) -> ObjectState {
        match self {
            Self::Contained(_) => ObjectState::Contained,
            Self::Contested(_) => ObjectState::Contested,
            Self::Gone if is_waiting(record) => ObjectState::Planned,
            Self::Gone => ObjectState::Gone,
            Self::Untouched if record.state == ObjectState::Planned => ObjectState::Planned,
            Self::Kept(..) | Self::Untouched => ObjectState::Kept,
        }
    }

    /// What is to be said about it.
    pub(super) fn message(&self) -> Option<String> {
        match self {
            Self::Contested(message) | Self::Kept(message, _) => Some(message.clone()),
            Self::Contained(_) | Self::Gone | Self::Untouched => None,
        }
    }
}

/// Whether a policy of ours was recorded and not made yet.
fn is_waiting(record: &ContainedObject) -> bool {
    record.action == QuarantineAction::IsolateNetwork && record.state == ObjectState::Planned
}

fn of_denial(record: &ContainedObject, live: &Value, quarantine: &str) -> Standing {
    let Carried::Mark(mark) = Mark::of(live) else {
        return Standing::Contested("a NetworkPolicy of that name is not ours".to_owned());
    };
    if mark.quarantine != quarantine {
        return Standing::Contested("it was made for another Quarantine".to_owned());
    }
    let selector = field::value(live, &["spec", "podSelector"]).map(Value::to_string);
    let lets_through = !network::allowing(
        std::slice::from_ref(live),
        &[network::labels(
            live,
            &["spec", "podSelector", "matchLabels"],
        )],
        "",
    )
    .is_empty();
    if selector != record.selector || lets_through {
        let message = "was changed by others; delete it, and it stays away".to_owned();
        return Standing::Kept(message, Some(mark));
    }
    Standing::Contained(mark)
}

fn of_change(
    record: &ContainedObject,
    live: &Value,
    target: &Target,
    quarantine: &str,
) -> Standing {
    let original = saved(record);
    let carried = Mark::of(live);
    if !target.is_held(live) {
        let mark = match carried {
            Carried::Mark(mark) if mark.quarantine == quarantine => Some(mark),
            _ => None,
        };
        if mark.is_none() && target.value(live) == original.as_ref() {
            return Standing::Untouched;
        }
        return Standing::Kept(changed_to(live, target), mark);
    }
    match carried {
        Carried::Mark(mark) if mark.quarantine != quarantine => {
            Standing::Contested("carries the mark of another Quarantine".to_owned())
        }
        Carried::Mark(mark) if mark.original == original => Standing::Contained(mark),
        Carried::Mark(mark) => Standing::Contested(format!(
            "its annotation says that it was {}, we recorded {}",
            told(mark.original.as_ref()),
            told(original.as_ref())
        )),
        Carried::Unreadable => Standing::Contested(format!(
            "its annotation cannot be read; we recorded {}",
            told(original.as_ref())
        )),
        Carried::Nothing if owners::is_with_us(live, target.owned) => Standing::Contested(format!(
            "somebody has removed its annotation; we recorded {}",
            told(original.as_ref())
        )),
        Carried::Nothing => Standing::Kept(changed_to(live, target), None),
    }
}

/// The value that was recorded; one that cannot be read counts as none, and so disagrees.
pub(super) fn saved(record: &ContainedObject) -> Option<Value> {
    serde_json::from_str(record.original.as_deref()?).ok()
}

/// Who has owned the field, as recorded.
pub(super) fn former(record: &ContainedObject) -> Vec<Value> {
    let text = record.owners.as_deref().unwrap_or_default();
    serde_json::from_str(text).unwrap_or_default()
}

fn changed_to(live: &Value, target: &Target) -> String {
    let value = told(target.value(live));
    let by: Vec<_> = owners::others(live, target.owned);
    if by.is_empty() {
        return format!("is now {value}, and stays so");
    }
    format!("was set to {value} by {}, and stays so", by.join(", "))
}

fn told(value: Option<&Value>) -> String {
    value.map_or_else(|| "absent".to_owned(), Value::to_string)
}
