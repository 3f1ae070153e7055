//! The operator.

pub mod api;
pub mod cli;
pub mod clock;
pub mod inventory;
pub mod watch;
