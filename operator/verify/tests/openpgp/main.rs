//! The `OpenPGP` room against real tools' output and against forged input.
#![allow(
    clippy::disallowed_methods,
    reason = "how long hostile input takes is measured"
)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy.toml allows these in test functions, not in the helpers of tests"
)]

mod bindings;
mod cells;
mod cleartext;
mod forge;
mod gnupg;
mod hidden;
mod limits;
mod properties;
mod signatures;
mod summaries;
