//! How one recorded object stands: what we recorded, held against what is there.

use serde_json::Value;

use super::mark::{Carried, Mark};
use super::target::Target;
use super::{field, network, owners};
use crate::api::chart_trust_policy::QuarantineAction;
use crate::api::quarantine::{ContainedObject, ObjectState};
use crate::inventory::ReleaseId;

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
    /// Still as a quarantine that is gone has left it, with the original that was taken over.
    Left(Box<Mark>),
    /// Others have changed it since we recorded it, and before we did anything.
    Moved(String),
    /// As it was when we recorded it.
    Untouched,
}

impl Standing {
    /// How one record stands; `quarantine` is the uid of the Quarantine of the release that recorded
    /// it.
    pub(super) fn of(
        record: &ContainedObject,
        live: Option<&Value>,
        release: &ReleaseId,
        quarantine: &str,
    ) -> Self {
        if record.action == QuarantineAction::IsolateNetwork {
            return live.map_or(Self::Gone, |live| {
                of_denial(record, live, release, quarantine)
            });
        }
        let Some(target) = Target::of_record(record) else {
            let message = "is of a kind that this version does not contain";
            return Self::Contested(message.to_owned());
        };
        let Some(live) = live else {
            return Self::Gone;
        };
        let is_same = field::text(live, &["metadata", "uid"]) == record.uid.as_deref();
        if is_same && record.uid.is_some() {
            of_change(record, live, target, quarantine)
        } else {
            of_another(record, live, target, quarantine)
        }
    }

    /// The word for the status. What is untouched was restored, or waits for its turn.
    pub(super) fn state(&self, record: &ContainedObject) -> ObjectState {
        match self {
            Self::Contained(_) => ObjectState::Contained,
            Self::Contested(_) => ObjectState::Contested,
            Self::Gone if is_waiting(record) => ObjectState::Planned,
            Self::Gone => ObjectState::Gone,
            Self::Left(_) | Self::Moved(_) => ObjectState::Planned,
            Self::Untouched if record.state == ObjectState::Planned => ObjectState::Planned,
            Self::Kept(..) | Self::Untouched => ObjectState::Kept,
        }
    }

    /// What is to be said about it.
    pub(super) fn message(&self) -> Option<String> {
        match self {
            Self::Contested(message) | Self::Kept(message, _) | Self::Moved(message) => {
                Some(message.clone())
            }
            Self::Contained(_) | Self::Gone | Self::Left(_) | Self::Untouched => None,
        }
    }
}

/// Whether a policy of ours was recorded and not made yet.
fn is_waiting(record: &ContainedObject) -> bool {
    record.action == QuarantineAction::IsolateNetwork && record.state == ObjectState::Planned
}

/// A policy that we never made holds nothing up; one that we made, and that does not say so any more,
/// is for a person to delete.
fn of_denial(
    record: &ContainedObject,
    live: &Value,
    release: &ReleaseId,
    quarantine: &str,
) -> Standing {
    let mark = match Mark::of(live) {
        Carried::Mark(mark) => mark,
        Carried::Nothing | Carried::Unreadable if is_made_by_us(live) => {
            let message = "somebody has changed its annotation; delete it by hand";
            return Standing::Contested(message.to_owned());
        }
        Carried::Nothing | Carried::Unreadable => return foreign(),
    };
    if mark.quarantine != quarantine {
        if !network::is_of(live, release) {
            return foreign();
        }
        let message = "was left by an earlier quarantine of this release".to_owned();
        return Standing::Kept(message, Some(mark));
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

fn foreign() -> Standing {
    let message = "a NetworkPolicy of that name is not ours, so these Pods are not isolated";
    Standing::Kept(message.to_owned(), None)
}

/// Only the server writes down whose a field is.
fn is_made_by_us(policy: &Value) -> bool {
    owners::is_with_us(policy, &["spec", "policyTypes"])
}

/// Another object of that name is none of ours, unless it was made from ours while that was
/// contained: then it is stopped by our change, and nobody else puts it back.
fn of_another(
    record: &ContainedObject,
    live: &Value,
    target: &Target,
    quarantine: &str,
) -> Standing {
    match Mark::of(live) {
        Carried::Mark(mark) if mark.quarantine == quarantine && target.is_held(live) => {
            Standing::Contested(format!(
                "was made again while it was contained, with our annotation; we recorded {}",
                told(saved(record).as_ref())
            ))
        }
        _ => Standing::Gone,
    }
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
            Carried::Mark(_) | Carried::Nothing
                if record.state == ObjectState::Planned
                    && target.value(live) != original.as_ref() =>
            {
                let value = told(target.value(live));
                return Standing::Moved(format!("is {value} by now"));
            }
            _ => None,
        };
        if mark.is_none() && target.value(live) == original.as_ref() {
            return Standing::Untouched;
        }
        return Standing::Kept(changed_to(live, target), mark);
    }
    match carried {
        Carried::Mark(mark) if is_left(record, &mark) && mark.original == original => {
            Standing::Left(mark)
        }
        Carried::Mark(mark) if mark.quarantine != quarantine => {
            let message = "carries the mark of another Quarantine; should that be gone, charttrust \
                           restore puts it back as it was before";
            Standing::Contested(message.to_owned())
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

/// Whether what an object carries is of the Quarantine from which its original was taken over.
fn is_left(record: &ContainedObject, mark: &Mark) -> bool {
    record.state == ObjectState::Planned && record.left_by.as_ref() == Some(&mark.quarantine)
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
