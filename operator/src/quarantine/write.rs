//! One write, as it is decided on and before it is done.

use json_patch::PatchOperation;
use serde_json::Value;

use super::fields;
use crate::api::quarantine::QuarantineStatus;

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Puts our finalizer on the Quarantine.
    AddFinalizer,
    /// Changes a recorded object by a JSON patch.
    Change(usize, Vec<PatchOperation>),
    /// Makes a recorded object.
    Create(usize, Value),
    /// Deletes a recorded object that we made, if it is still this one.
    Delete(usize, Precondition),
    /// Takes our finalizer off the Quarantine.
    RemoveFinalizer,
    /// Writes the status of the Quarantine.
    Status(Box<QuarantineStatus>),
}

/// Which state of an object a write is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precondition {
    /// Its uid.
    pub uid: String,
    /// Its resource version.
    pub resource_version: String,
}

impl Write {
    /// The place of the recorded object that it is about, unless it is about the Quarantine itself.
    pub fn object(&self) -> Option<usize> {
        match self {
            Self::Change(index, _) | Self::Create(index, _) | Self::Delete(index, _) => {
                Some(*index)
            }
            Self::AddFinalizer | Self::RemoveFinalizer | Self::Status(_) => None,
        }
    }
}

impl Precondition {
    /// The object as it was read.
    pub(super) fn of(live: &Value) -> Self {
        let text = |name: &str| fields::text(live, &["metadata", name]).unwrap_or_default();
        Self {
            uid: text("uid").to_owned(),
            resource_version: text("resourceVersion").to_owned(),
        }
    }
}
