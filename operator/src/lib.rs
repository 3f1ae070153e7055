//! The operator.
pub mod sources;
