//! Containing one release, and putting it back: what is to be done, and the only code that writes
//! to objects of others.
//!
//! [`next`] is pure: it takes what is recorded and what is there ([`View`]) and says the next
//! [`Write`], each with a precondition. [`gather`] reads, [`apply`] writes. Each action has its own file in `actions`. The operator and
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

mod actions;
mod again;
mod annotation;
mod application;
#[cfg(test)]
mod application_tests;
pub mod apply;
mod callers;
mod conclude;
#[cfg(test)]
mod crash;
mod drift;
mod failed;
mod fields;
mod freeze;
pub mod gather;
pub mod holds;
pub mod incident;
pub mod limit;
mod listed;
mod neighbourhood;
mod object_error;
mod observed;
mod original;
pub mod orphan;
#[cfg(test)]
mod orphan_tests;
mod owners;
mod placement;
mod plan;
mod planned;
mod pod;
mod pods;
mod policies;
#[cfg(test)]
mod preconditions;
mod reading;
mod recent;
mod reduced;
mod resources;
pub mod run;
mod saved;
mod servers;
mod serving;
mod step;
mod surroundings;
mod target;
mod undone;
mod view;
mod write;

pub use actions::preview;
pub use annotation::{ANNOTATION, Annotation, Carried};
pub use conclude::refused;
pub use failed::failed_look;
pub use listed::{Listed, Unlisted};
pub use neighbourhood::{Neighbourhood, Neighbourhoods};
pub use object_error::ObjectError;
pub use observed::{Held, Observed, Plans, Starter};
pub use original::Original;
pub use plan::plan;
pub use planned::Plan;
pub use step::next;
pub use target::{TARGETS, Target};
pub use view::{APPROVED, Again, FINALIZER, Freeze, PROTECTED, RELEASED, View, Word};
pub use write::{Precondition, Write};
