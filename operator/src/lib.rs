//! The operator.

pub mod clock;
pub mod inventory;
pub mod watch;
