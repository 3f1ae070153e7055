//! How one recorded object stands: what was recorded, held against what is there.

use super::annotation::Annotation;
use crate::api::quarantine::{ContainedObject, ObjectState};

/// How an object stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Drift {
    /// Still as a quarantine that is gone has left it, with the original that was taken over.
    Adopted(Box<Annotation>),
    /// Others have changed it since we recorded it, and before we did anything.
    ChangedBefore(String),
    /// Changed by us, and both records of it agree.
    Contained(Box<Annotation>),
    /// As we would set it, but the records of that disagree: nobody can tell what it was before.
    Contested(String),
    /// It is not there, or another object has its name.
    Gone,
    /// Others have changed it since we recorded it. The annotation is what is left of us, if anything.
    Kept(String, Option<Box<Annotation>>),
    /// A tool has put it back, which is nobody's decision; its field manager.
    Undone(String),
    /// We are to make it, and it is not there.
    Unmade,
    /// As it was when we recorded it.
    Untouched,
}

impl Drift {
    /// The word for the status. What is untouched was restored, or waits for its turn.
    pub(super) fn state(&self, record: &ContainedObject) -> ObjectState {
        let is_planned = record.state == ObjectState::Planned;
        match self {
            Self::Adopted(_) | Self::ChangedBefore(_) => ObjectState::Planned,
            Self::Contained(_) => ObjectState::Contained,
            Self::Contested(_) => ObjectState::Contested,
            Self::Unmade | Self::Untouched if is_planned => ObjectState::Planned,
            Self::Gone | Self::Unmade => ObjectState::Gone,
            Self::Kept(..) | Self::Undone(_) | Self::Untouched => ObjectState::Kept,
        }
    }

    /// What is to be said about it.
    pub(super) fn message(&self) -> Option<String> {
        match self {
            Self::ChangedBefore(message) | Self::Contested(message) | Self::Kept(message, _) => {
                Some(message.clone())
            }
            Self::Undone(tool) => Some(format!("was put back by {tool}, which nobody has decided")),
            Self::Adopted(_) | Self::Contained(_) | Self::Gone | Self::Unmade | Self::Untouched => {
                None
            }
        }
    }

    /// Whether it is as it was before us.
    pub(super) fn is_put_back(&self) -> bool {
        matches!(self, Self::Unmade | Self::Untouched)
    }

    /// Whether nothing is there.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Gone | Self::Unmade)
    }
}
