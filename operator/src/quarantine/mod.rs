//! Containing one release, and putting it back: what is to be done, and the only code that writes
//! to objects of others.
//!
//! [`next`] is pure: it takes what is recorded and what is there ([`View`]) and says the next
//! [`Write`], each with a precondition. [`gather`] reads, [`apply`] writes. The operator and
//! `charttrust restore` run the same steps.
//!
//! # Guarantees
//! - What an object was before is saved in the status of the Quarantine before anything is changed,
//!   and again on the object by the very patch that changes it.
//! - An object is changed once and put back once. What others change meanwhile is kept.
//! - Only objects are changed that a record lists *and* whose live marks name the release, in its
//!   own namespace; and deployers whose own spec or status names it. Where an Argo CD Application
//!   stands for the release, its status is the list, and its destination the namespace.
//! - Nothing is deleted that was not made here.
//! - One object that the server does not let be read or written holds up no other.

mod application;
pub mod apply;
#[cfg(test)]
pub(crate) mod cluster;
mod conclude;
#[cfg(test)]
mod crash;
pub mod drive;
mod field;
pub mod gather;
mod home;
pub mod incident;
pub mod limit;
mod mark;
mod network;
pub mod orphan;
#[cfg(test)]
mod orphans;
mod owners;
mod plan;
#[cfg(test)]
mod preconditions;
mod standing;
mod step;
mod target;
#[cfg(test)]
mod tracked;
mod trouble;

pub use conclude::refused;
pub use mark::{ANNOTATION, Carried, Mark};
pub use plan::{Listed, Plan, Scene, Unlisted, plan};
pub use step::{Precondition, View, Write, next};
pub use target::{TARGETS, Target};
pub use trouble::Trouble;

/// The finalizer of a Quarantine: it goes when everything was put back.
pub const FINALIZER: &str = "charttrust.io/restore";

/// The namespace in which nothing is ever changed, whatever is configured.
pub const PROTECTED: &str = "kube-system";
