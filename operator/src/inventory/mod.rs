//! Which releases exist, and what their records say, and what deploys them. Reads only.

pub mod argocd;
mod deployers;
mod fields;
pub mod flux;
pub mod helm;
mod item;
pub mod k3s;
mod kept;
pub(crate) mod manifest;
pub mod paged;
mod stored;
pub mod submitted;
pub mod workloads;

use std::fmt;

pub use deployers::{Concerned, Deployed, Deployers, Mark, Missing};
pub use item::{Claim, Item, Owner, RecordId};
pub use kept::Kept;
pub use manifest::{Published, Trace};
pub use stored::Stored;

use crate::watch::Located;

/// A release by the namespace of its stored record and its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReleaseId {
    /// Namespace of the stored record.
    pub namespace: String,
    /// Name of the release.
    pub name: String,
}

impl Located for ReleaseId {
    fn namespace(&self) -> &str {
        &self.namespace
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
